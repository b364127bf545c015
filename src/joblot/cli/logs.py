"""`joblot logs`: what jobs printed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import click

from joblot.cli.options import job_argument, job_help, no_color_option, run_or_job_argument, state_option
from joblot.core.plan import PATTERN
from joblot.errors import EXIT_OK, StateError, UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from joblot.cli.output import Output
    from joblot.cli.runs import Run
    from joblot.reports.view import RunView

POLL_S: Final = 0.2
_SHARE: Final = 10
"""Reading the journal again may take at most one part in so many of the time."""


@click.command(
    "logs",
    help=f"Print what jobs printed: one job, those that match a pattern, or all.\n\n{job_help} Terminal escapes are left out.",
)
@run_or_job_argument
@job_argument
@click.option("--attempt", metavar="N", type=click.IntRange(min=1), help="this attempt (default: the last one)")
@click.option("-f", "--follow", is_flag=True, help="print what is added until the job has ended")
@click.option("--failed", is_flag=True, help="only jobs that failed")
@click.option("--tail", metavar="N", type=click.IntRange(min=0), help="only the last N lines of each log")
@state_option
@no_color_option
@click.pass_obj
def command(
    output: Output,
    run: str | None,
    job: str | None,
    state: str | None,
    *,
    attempt: int | None,
    tail: int | None,
    follow: bool,
    failed: bool,
) -> int:
    """Find the logs and print them."""
    from joblot.cli.runs import open_job

    with open_job(output, run, job, state) as (past, named):
        if follow:
            if named is None:
                raise UsageError("`--follow` follows one job", hint=f"`joblot logs -f {f'{run} ' if run else ''}JOB`")
            _follow(output, past, past.job(named), tail)
        elif named is not None and not PATTERN.search(named):
            _one_job(output, past, past.job(named), attempt, tail)
        elif past.of_program:
            output.note(f"run `{past.id}` has no jobs: `joblot show {past.id} --events` shows what its program logged")
        else:
            _all(output, past, past.jobs(named) if named else None, tail, failed=failed)
    return EXIT_OK


def _one_job(output: Output, run: Run, job: int, attempt: int | None, tail: int | None) -> None:
    name = run.plan.name(job)
    view = run.view()
    last = view.facts(job).attempts
    number = attempt or last
    if number > last or not last:
        had = f"had {last} attempts" if last else "has not begun"
        raise StateError(f"job `{name}` {had}", hint=f"`joblot explain {run.id} {name}` says why")
    path = _path(run, view, job, number)
    if not path.exists():
        output.note(f"attempt {number} of `{name}` printed nothing")
        return
    bundle = view.bundle(job)
    if bundle is not None and number == last:
        output.note(f"`{name}` was run as one with {bundle.jobs - 1} more: this is what they printed together")
    _print(output, path, tail)


def _path(run: Run, view: RunView, job: int, number: int) -> Path:
    """The log of an attempt. While a bundle runs it is the first job's alone."""
    path, bundle = run.files.log_path(run.plan.name(job), number), view.bundle(job)
    if bundle is None or number != view.facts(job).attempts or path.exists():
        return path
    return run.files.log_path(run.plan.name(bundle.first), bundle.attempt)


def _all(output: Output, run: Run, jobs: list[int] | None, tail: int | None, *, failed: bool) -> None:
    view, logged, printed = run.view(), run.files.logged, set[int]()
    chosen: Collection[int] = range(len(run.plan)) if jobs is None else dict.fromkeys(jobs)
    for job in [job for job in view.failures if job in chosen] if failed else chosen:
        name = run.plan.name(job)
        if name not in logged:
            continue
        path = run.files.log_path(name, view.facts(job).attempts)
        if path.exists() and path.stat().st_ino not in printed:
            bundle = view.bundle(job)
            printed |= {path.stat().st_ino} if bundle is not None else set()
            output.result(f"==> {name}{f' and {bundle.jobs - 1} more, as one' if bundle else ''} ({path}) <==")
            _print(output, path, tail)


def _print(output: Output, path: Path, tail: int | None) -> None:
    from joblot.cli.tail import blocks
    from joblot.reports.tail import last_lines

    if tail is not None:
        lines = last_lines(path, tail)
        if lines:
            output.result("\n".join(lines), tabs=True)
        return
    for text in blocks(path):
        output.result(text, tabs=True)


def _follow(output: Output, run: Run, job: int, tail: int | None) -> None:
    from joblot.cli.tail import Follower
    from joblot.reports.tail import last_lines

    number, follower = 0, None
    for view in _views(run, job):
        current = view.facts(job).attempts
        if current != number:
            if follower is not None:
                _print_text(output, follower.rest())
            number, follower = current, Follower(_path(run, view, job, current))
            if tail is not None:
                _print_text(output, "\n".join(last_lines(follower.path, tail)))
                follower.skip()
                tail = None
        if follower is not None:
            _print_text(output, follower.news())
    if follower is not None:
        _print_text(output, follower.rest())


def _print_text(output: Output, text: str) -> None:
    if text:
        output.result(text, tabs=True)


def _views(run: Run, job: int) -> Iterator[RunView]:
    """The run as it stands, several times a second, until the job has ended or nobody drives the run."""
    due, view = 0.0, run.view()
    while True:
        held = run.held
        now = time.monotonic()
        if now >= due or not held:
            view = run.view()
            due = now + max(POLL_S, _SHARE * (time.monotonic() - now))
        yield view
        if not held or view.has_ended(job):
            return
        time.sleep(POLL_S)
