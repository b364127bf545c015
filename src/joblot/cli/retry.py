"""`joblot retry`: run again what failed in a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from joblot.cli.options import driving_options, run_argument, run_help
from joblot.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from joblot.cli.output import Output
    from joblot.reports.view import LiveView

_HELP = f"""Run again what did not succeed in a run (`--failed`, the default), or single jobs and everything that needs them.

What succeeded stays as it is. Attempts go on counting.

{run_help}"""


@click.command("retry", help=_HELP)
@run_argument()
@click.option("--failed", is_flag=True, help="every job that did not succeed (default)")
@click.option("--job", "names", metavar="NAME", multiple=True, help="this job and what needs it; may be given often")
@driving_options
@click.pass_obj
def command(output: Output, /, run: str, names: tuple[str, ...], *, failed: bool, **driving: Any) -> int:
    """Choose the jobs and resume the run with them."""
    from joblot.cli.resume import go_on
    from joblot.cli.runs import open_run

    if failed and names:
        raise UsageError("`--failed` and `--job` exclude each other")
    with open_run(run, driving["state"]) as past:
        run_id, chosen = past.id, [past.job(name) for name in names]
    return go_on(output, run_id, driving, _downstream(chosen) if chosen else _unsuccessful)


def _unsuccessful(view: LiveView) -> list[int]:
    bad, finals = view.in_state("failed", "skipped", "cancelled", "aborted"), view.plan.finals
    if finals:
        # What was skipped for another reason than a failure has nothing to make up for, and would only bring the end about once more.
        bad = [
            job for job in bad if view.state(job) != "skipped" or view.reason(job) == "need_failed" or job not in finals
        ]
        if all(job in finals or view.state(job) == "skipped" for job in bad):
            bad = [job for job in bad if job in finals]
    return _with_handlers(view, bad)


def _with_handlers(view: LiveView, jobs: list[int]) -> list[int]:
    """The jobs, and those that ran because one of them failed, or whatever became of it: that belongs to an end that is none any more."""
    plan, again = view.plan, dict.fromkeys(jobs)
    for job in (queue := list(jobs)):  # it grows while it is gone through
        for other in plan.dependents[job]:
            spec = plan.declarations[other]
            unknown = spec.once and view.reason(other) == "unknown"
            takes_part = view.has_ended(other) and other not in view.left_out
            if spec.when != "success" and takes_part and not unknown and other not in again:
                again[other] = None
                queue.append(other)
    return list(again)


def _downstream(chosen: list[int]) -> Callable[[LiveView], Sequence[int]]:
    def reopen(view: LiveView) -> list[int]:
        from joblot.core.selection import refuse_missing_results

        jobs, left_out = dict.fromkeys(chosen), view.left_out
        for job in (queue := list(jobs)):  # it grows while it is gone through
            fresh = [other for other in view.plan.dependents[job] if other not in jobs and other not in left_out]
            jobs.update(dict.fromkeys(fresh))
            queue.extend(fresh)
        refuse_missing_results(view.plan, jobs, left_out.difference(jobs))
        return [job for job in jobs if view.has_ended(job)]

    return reopen
