"""`joblot prune`: clears up runs that are not wanted any more."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import click

from joblot.cli.options import DURATION, SIZE, json_option, no_color_option, state_option
from joblot.errors import EXIT_OK, EXIT_STATE, UsageError

if TYPE_CHECKING:
    from joblot.cli.output import Output
    from joblot.errors import StateError
    from joblot.journal.prune import Unwanted
    from joblot.journal.sqlite import SqliteJournal

_HELP: Final = """Remove runs from the state folder, with all that is kept of them. Each option is a limit by itself; without any those of `retention` in the settings hold.

These stay, whatever the limits: runs that go on or can be resumed, and of each batch the last that succeeded, that failed and that was cancelled. What is up to date stays up to date."""
_FROM: Final = 2**20
"""So much that stays free in the journal is told."""


@click.command("prune", help=_HELP)
@click.option("--keep", metavar="N", type=click.IntRange(min=0), help="of each batch only the last N runs stay")
@click.option("--older", metavar="D", type=DURATION, help="runs that began longer ago go, such as `30d`")
@click.option(
    "--max-size", metavar="SIZE", type=SIZE, help="the oldest go until the state folder takes no more, such as `5GiB`"
)
@click.option("--dry-run", is_flag=True, help="list the runs that would go, and why")
@state_option
@json_option
@no_color_option
@click.pass_obj
def command(
    output: Output,
    keep: int | None,
    older: float | None,
    max_size: int | None,
    state: str | None,
    *,
    dry_run: bool,
) -> int:
    """Choose the runs, and have each of them go."""
    from joblot.journal.folder import StateFolder
    from joblot.journal.prune import Pruning, Retention, retention_of_settings, shrink, unwanted

    retention: Retention | None = Retention(keep=keep, older_s=older, max_bytes=max_size)
    if retention == Retention():
        retention = retention_of_settings()
    folder = StateFolder(state, read_only=True)
    path = folder.path
    opened: list[StateFolder] = []
    wrong: list[StateError] = []

    def journal() -> SqliteJournal:
        """The same to be written to, which a full disk may refuse at first."""
        if not opened:
            opened.append(StateFolder(path))
        return opened[0].journal

    try:
        now = time.time()
        pruning = Pruning(path, journal, wrong.append)
        if not dry_run:
            if pruning.finish():  # what was opened before may not see that, where the disk was full
                folder.close()
                folder = StateFolder(path, read_only=True)
            pruning.remove_abandoned(folder.journal.ids, now=now)
        if retention is None:
            hint = "`--keep 100`, `--older 30d`, `--max-size 5GiB`, or `retention` in the settings"
            raise UsageError("nothing says which runs are to go", hint=hint)
        going = unwanted(folder, retention, output.warn, now=now)
        if not dry_run:
            going = [one for one in going if pruning.remove(one.run.run_id)]
            if wrong:  # there is room now
                wrong.clear()
                pruning.finish()
        free = shrink(folder, journal()) if going and not dry_run and not wrong else 0
    finally:
        for one in (folder, *opened):
            one.close()
    for error in wrong:
        output.warn(error)
    if output.json:
        output.document({"runs": [_as_data(one) for one in going], "bytes": sum(one.bytes for one in going)})
    else:
        output.result("\n".join(_text(going, dry_run=dry_run)))
        if free >= _FROM:
            _tell_free(output, free)
    return EXIT_STATE if wrong else EXIT_OK


def _tell_free(output: Output, free: int) -> None:
    from joblot.units import format_size

    output.note(f"{format_size(free)} of the journal are free for later runs")


def _as_data(one: Unwanted) -> dict[str, Any]:
    from joblot.clock import iso_utc

    run = one.run
    return {
        "run_id": run.run_id, "batch": run.batch, "source": run.source, "status": run.status, "started_at": iso_utc(run.started_at),
        "bytes": one.bytes, "why": one.why,
    }  # fmt: skip


def _text(going: list[Unwanted], *, dry_run: bool) -> list[str]:
    from joblot.cli.runs import columns, local_time
    from joblot.core.written import shorten
    from joblot.units import format_size

    lines = []
    if dry_run and going:
        rows = [
            [one.run.run_id, shorten(one.run.batch), one.run.status, local_time(one.run.started_at), format_size(one.bytes), one.why]
            for one in going
        ]  # fmt: skip
        lines = columns([["RUN", "BATCH", "STATUS", "STARTED", "SIZE", "WHY"], *rows])
    count = f"{len(going)} run{'' if len(going) == 1 else 's'}"
    done = "would go" if dry_run else "cleared up"
    size = f", about {format_size(sum(one.bytes for one in going))}" if going else ""
    return [*lines, f"{count} {done}{size}"]
