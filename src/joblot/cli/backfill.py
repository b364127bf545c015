"""`joblot backfill`: run a batch file for the past due times of its schedule that have no success."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import click

from joblot.cli.options import FilePath, no_color_option, quiet_option, state_option
from joblot.errors import EXIT_OK, EXIT_SIGINT, EXIT_SIGTERM

if TYPE_CHECKING:
    from pathlib import Path

    from joblot.cli.output import Output
    from joblot.runner.schedule import Planned


@click.command(
    "backfill",
    help="""Run a batch file for the past times at which its schedule was due and that have no success, oldest first, one after the other.

TIME is a date or a date with a time, such as `2026-11-20T02:30`, by the clock of the batch.""",
)
@click.argument("file", metavar="FILE", type=FilePath())
@click.option("--from", "begin", metavar="TIME", required=True, help="the first time that is meant")
@click.option("--to", "end", metavar="TIME", help="the last one; a day counts as a whole (default: now)")
@click.option("-n", "--dry-run", is_flag=True, help="only list the times that would be run for")
@state_option
@quiet_option
@no_color_option
@click.pass_obj
def command(output: Output, file: str, begin: str, end: str | None, state: str | None, *, dry_run: bool) -> int:
    """Start one run after the other."""
    from joblot.cli.schedule import state_of
    from joblot.runner.schedule import planned_of, read_instant

    planned = planned_of(file)
    place = state_of(os.path.dirname(planned.source), state)  # noqa: PTH120
    now = time.time()
    until = now if end is None else min(now, read_instant(planned, end, end=True))
    code, runs, done = EXIT_OK, 0, 0
    for at in planned.due_from(read_instant(planned, begin) - 1, until):
        if _succeeded(planned, at, place):
            done += 1
            continue
        runs += 1
        if dry_run:
            output.result(planned.told(at))
            continue
        output.log("INFO", f"{planned.name}: for {planned.told(at)}")
        ended = _run(output, planned, at, place)
        code = code or ended
        if ended in (EXIT_SIGINT, EXIT_SIGTERM):
            break
    already = f", {done} had a success" if done else ""
    output.log("INFO", f"{planned.name}: {runs} run{'s' * (runs != 1)}{' to do' * dry_run}{already}")
    return code


def _succeeded(planned: Planned, at: int, state: Path) -> bool:
    from joblot.journal.folder import past_runs
    from joblot.journal.schedules import Schedules

    with past_runs(state) as folder:
        row = None if folder is None else Schedules(folder.journal, read_only=True).of(planned.source, at)
        info = (
            folder.journal.info(row.run)
            if folder is not None and row is not None and row.at == at and row.run
            else None
        )
        if row is None or row.at != at or row.fate not in ("claimed", "started"):
            return False
        return (row.why if info is None else info.status) == "success"  # of a run that was pruned the row knows it


def _run(output: Output, planned: Planned, at: int, state: Path) -> int:
    """One run to its end, whatever ran for that time before; returns its exit code.

    Raises:
        RunHeldError: a run that the schedule has started is going on.
    """
    from joblot.clock import new_run_id
    from joblot.journal.schedules import opened, take_lock
    from joblot.runner.schedule import held, spawn_run

    run = new_run_id(time.time())
    with opened(state) as (_, schedules):
        lock = take_lock(state, planned.source)
        if lock < 0:
            raise held(planned, schedules)
        try:
            with schedules.deciding():
                schedules.claim(planned.source, at, run)
            pid = spawn_run(planned, at, run, state, lock, ["--wait", *(["-q"] if output.quiet else [])])
        finally:
            os.close(lock)
    while True:
        try:
            ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        except KeyboardInterrupt:  # the run was asked too, and ends
            continue
        return ended if ended >= 0 else 128 - ended
