"""`joblot diff`: what is different between two runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from joblot.cli.options import json_option, no_color_option, run_help, run_of_history, state_option
from joblot.errors import EXIT_JOBS_FAILED, EXIT_OK, StateError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from joblot.cli.output import Output
    from joblot.journal import RunInfo
    from joblot.journal.folder import StateFolder
    from joblot.reports.differences import Differences

_HELP: Final = f"""Say what is different in run B from run A: variables, versions, definitions, jobs, why jobs failed, which took longer, and files with other contents.

Of one run: from the last run of its batch before it that succeeded. Without any: of the last run. {run_help}"""
_SHOWN: Final = 10


@click.command("diff", help=_HELP)
@click.argument("a", required=False, shell_complete=run_of_history)
@click.argument("b", required=False, shell_complete=run_of_history)
@click.option("--exit-code", is_flag=True, help="end with 1 when anything is different")
@state_option
@json_option
@no_color_option
@click.pass_obj
def command(output: Output, a: str | None, b: str | None, state: str | None, *, exit_code: bool) -> int:
    """Read both runs."""
    from joblot.cli.runs import Run
    from joblot.journal.folder import StateFolder
    from joblot.reports.differences import differences

    folder = StateFolder(state, read_only=True)
    try:
        new = folder.resolve(b if b is not None else a)
        old = folder.resolve(a) if b is not None else _last_good_before(folder, new)
        found = differences(Run(folder, old).report(), Run(folder, new).report())
    finally:
        folder.close()
    if output.json:
        output.document(_as_data(found))
    else:
        output.result("\n".join(_text(output, found)))
    return EXIT_JOBS_FAILED if exit_code and found else EXIT_OK


def _last_good_before(folder: StateFolder, run: RunInfo) -> RunInfo:
    """The last run of the same batch that succeeded before this one began.

    Raises:
        StateError: there is none.
    """
    from joblot.cli.runs import last_good_before

    info = last_good_before(folder, run)
    if info is None:
        raise StateError(
            f"no run of `{' '.join(run.batch.split())}` before `{run.run_id}` succeeded",
            hint="name the run to compare with: `joblot diff A B`",
        )
    return info


def _as_data(found: Differences) -> dict[str, Any]:
    from msgspec import to_builtins

    from joblot.clock import iso_utc

    data: dict[str, Any] = to_builtins(found)
    for name in ("old", "new"):
        at = data[name]["started_at"]
        data[name]["started_at"] = None if at is None else iso_utc(at)
    for name in ("failed", "mended"):
        data[name] = [
            {"text": cause.text, "reason": cause.reason, "failures": cause.failures, "example": cause.example}
            for cause in getattr(found, name)
        ]
    return {"different": bool(found), **data}


def _text(output: Output, found: Differences) -> Iterator[str]:
    from joblot.cli.runs import local_time
    from joblot.reports.differences import told

    old, new = found.old, found.new
    if not found:
        yield f"nothing is different in run {new.run_id} from run {old.run_id}"
        return
    for word, side in (("old", old), ("new", new)):
        yield f"{word}: run {side.run_id}  {output.tint(side.status, side.status)}  {local_time(side.started_at)}"
    for title, lines, count in told(found):
        yield f"{title}:"
        yield from (f"  {line}" for line in lines[:_SHOWN])
        if count > _SHOWN:
            yield f"  ... and {count - _SHOWN} more"
