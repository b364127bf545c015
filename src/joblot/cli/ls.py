"""`joblot ls`: the runs of a state folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from joblot.cli.options import DURATION, json_option, no_color_option, state_option
from joblot.errors import EXIT_OK

if TYPE_CHECKING:
    from collections.abc import Callable

    from joblot.cli.output import Output
    from joblot.journal import RunInfo
    from joblot.journal.folder import StateFolder

_LEAVING: Final = ("STARTED", "TOOK", "BATCH", "JOBS")
"""What a narrow terminal goes without, in this order: a run's id says when it began, in UTC, and `joblot show` the rest."""
STATUSES: Final = ("running", "interrupted", "success", "failed", "cancelled")


@click.command("ls", help="List the runs, newest first.")
@click.option(
    "-n", "--limit", metavar="N", type=click.IntRange(min=1), default=20, show_default=True, help="at most so many"
)
@click.option("--status", type=click.Choice(STATUSES), help="only runs of this status")
@click.option("--longer", metavar="D", type=DURATION, help="only runs that took longer, such as `5s`")
@state_option
@json_option
@no_color_option
@click.pass_obj
def command(output: Output, limit: int, status: str | None, longer: float | None, state: str | None) -> int:
    """Read the list of runs."""
    from joblot.journal.folder import StateFolder

    folder = StateFolder(state, read_only=True)
    try:
        runs = folder.runs(output.warn, limit=limit if status is None and longer is None else None)
        rows = [(info, folder.status(info), *_took(folder, info)) for info in runs]
    finally:
        folder.close()
    # The journal cannot choose: whether a run is interrupted shows in its lock, and how long one has taken is known only now.
    rows = [row for row in rows if status in (None, row[1]) and (longer is None or (row[2] or 0.0) > longer)][:limit]
    if output.json:
        output.document([_as_data(*row) for row in rows])
    elif rows:
        output.result("\n".join(_table(rows, output.tint, output.columns)))
    else:
        output.note("no runs match")
    return EXIT_OK


def _took(folder: StateFolder, info: RunInfo) -> tuple[float | None, float | None]:
    """Seconds of work, and since the beginning where that is more, by clocks that nobody sets, as the report has them.

    Of a run that was interrupted nobody knows.
    """
    if info.ended_at is None:
        return folder.elapsed_s(info), None
    from joblot.core.events import RunEnded

    ended = next((event for event in folder.journal.last_events(info.run_id) if isinstance(event, RunEnded)), None)
    since = round((ended.wall_s if ended else 0.0) or max(0.0, info.ended_at - info.started_at), 3)
    return (round(ended.worked_s, 3), since) if ended and ended.worked_s else (since, None)


def _jobs(info: RunInfo) -> int:
    """How many jobs the run has; at its end those are counted as well that were found on its way."""
    return max(info.jobs, sum(info.counts.values()))


def _as_data(info: RunInfo, status: str, took: float | None, since: float | None) -> dict[str, Any]:
    from joblot.clock import iso_utc

    began = {} if since is None else {"since_began_ms": round(since * 1000)}
    return {
        "run_id": info.run_id,
        "batch": info.batch,
        "source": info.source,
        "status": status,
        "started_at": iso_utc(info.started_at),
        "ended_at": None if info.ended_at is None else iso_utc(info.ended_at),
        "duration_ms": None if took is None or status == "interrupted" else round(took * 1000),
        **began,
        "total_jobs": _jobs(info),
        "counts": {state: count for state, count in info.counts.items() if count},
    }


def _table(
    runs: list[tuple[RunInfo, str, float | None, float | None]], tint: Callable[[str, str], str], room: int | None
) -> list[str]:
    from joblot.cli.runs import columns, local_time
    from joblot.core.written import shorten
    from joblot.units import format_duration

    table: dict[str, list[str]] = {name: [name] for name in ("RUN", "BATCH", "STATUS", "STARTED", "TOOK", "JOBS")}
    for info, status, took, since in runs:
        duration = "-" if took is None or status == "interrupted" else format_duration(took)
        if since is not None:
            duration += f" of {format_duration(since)}"
        counts = ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in info.counts.items() if count)
        jobs = f"{_jobs(info)}: {counts}" if counts else str(info.jobs)
        row = (info.run_id, shorten(info.batch), status, local_time(info.started_at), duration, jobs)
        for cells, cell in zip(table.values(), row, strict=True):
            cells.append(cell)
    for name in _LEAVING:
        if room is not None and max(map(len, columns(_rows(table)))) > room:
            del table[name]
    at = list(table).index("STATUS")
    return columns(_rows(table), lambda _row, column, text: tint(text, text) if column == at else text)


def _rows(table: dict[str, list[str]]) -> list[list[str]]:
    return [list(cells) for cells in zip(*table.values(), strict=True)]
