"""`joblot retry`: run again what failed in a run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from joblot.cli.options import Command, driving_options, job_argument, job_help, job_of_run, run_or_job_argument
from joblot.errors import ConfigError, UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from joblot.cli.output import Output
    from joblot.cli.runs import Run
    from joblot.core.plan import Plan
    from joblot.errors import Diagnostic
    from joblot.reports.view import LiveView

_HELP = f"""Run again what did not succeed in a run (`--failed`, the default), or single jobs and everything that needs them.

What succeeded stays as it is. If the batch is as it was, the same run goes on, and attempts go on counting. If its file was changed, a new run begins that continues this one, with the same `--var` values and selection.

{job_help}"""


@click.command("retry", cls=Command, help=_HELP)
@run_or_job_argument
@job_argument
@click.option("--failed", is_flag=True, help="every job that did not succeed (default)")
@click.option(
    "--job",
    "names",
    metavar="NAME",
    multiple=True,
    shell_complete=job_of_run,
    help="this job and what needs it; may be given often",
)
@click.option(
    "--as-it-was", is_flag=True, help="go on with the same run and its recorded plan, whatever the batch file says now"
)
@driving_options
@click.pass_obj
def command(
    output: Output,
    /,
    run: str | None,
    job: str | None,
    names: tuple[str, ...],
    *,
    failed: bool,
    as_it_was: bool,
    **driving: Any,
) -> int:
    """Choose the jobs and resume the run with them, or begin one that continues it."""
    from joblot.cli.resume import go_on
    from joblot.cli.runs import open_job
    from joblot.runner.continuing import refuse_continued

    if failed and names:
        raise UsageError("`--failed` and `--job` exclude each other")
    with open_job(output, run, job, driving["state"]) as (past, named):
        if named is not None:
            if failed:
                raise UsageError("`--failed` and a job exclude each other")
            names = (named, *names)
        refuse_continued(past.folder, past.id)
        now = None if as_it_was else _as_it_is(output, past)
        run_id, driving["state"] = past.id, str(past.folder.path)
        changed = now is not None and not now.is_like(past)
        chosen = [] if changed else [number for name in names for number in past.jobs(name)]
        if now is not None and changed:
            _refuse_renamed(names, now.plan, past)
    if now is not None and changed:
        return _continue(output, run_id, now, names, driving)
    reopen = _downstream(chosen) if chosen else _unsuccessful
    return go_on(output, run_id, driving, reopen, is_same=now is not None)


class _Now(NamedTuple):
    """A batch as its files have it now."""

    plan: Plan
    given: dict[str, Any]
    skip_unknown_actions: bool

    def is_like(self, past: Run) -> bool:
        """Whether it does what it did when the run began."""
        from joblot.runner.continuing import is_same

        return is_same(self.plan.config, past.config)


def _as_it_is(output: Output, past: Run) -> _Now | None:
    """The batch of a run as it is now, with the values that the run was given; None where there is no file to read it from.

    Raises:
        ConfigError: it is wrong now.
    """
    from joblot.cli import batch as batches
    from joblot.runner.launch import begun_with

    files = list(past.config.files or {past.config.source: ""})
    if past.of_program or not all(map(os.path.isfile, files)):
        return None
    begun = begun_with(past.folder, past.id)
    view = past.view()
    skipping = any(view.reason(job) == "unknown_action" for job in view.in_state("skipped"))
    try:
        plan, warnings = batches.read(
            files, begun.given.items(), skip_unknown_actions=skipping, moment=begun.moment, scheduled=begun.scheduled
        )
    except ConfigError as error:
        raise ConfigError(_of_then(one, past.id) for one in error.diagnostics) from None
    now = _Now(plan, begun.given, skipping)
    if not now.is_like(past):
        batches.warn(output, warnings)
    return now


def _of_then(problem: Diagnostic, run_id: str) -> Diagnostic:
    """What is wrong with a variable, whose value nobody has given now: it is that of the run, or lacks there."""
    from joblot.runner.continuing import as_it_was_hint

    if problem.code != "variable":
        return problem
    hint = "" if problem.hint.startswith("give it") else problem.hint
    return problem._replace(hint=as_it_was_hint(hint, run_id, "a retry takes the values that the run was given"))


def _refuse_renamed(names: Sequence[str], plan: Plan, past: Run) -> None:
    from joblot.runner.continuing import as_it_was_hint

    for name in names:
        if not plan.match(name) and past.plan.match(name):
            message = f"no job is called `{name}` any more, as in run `{past.id}`"
            raise UsageError(message, hint=as_it_was_hint(did_you_mean(name, plan.names()), past.id))


def _continue(output: Output, old: str, now: _Now, names: tuple[str, ...], driving: dict[str, Any]) -> int:
    from joblot.cli.drive import Choices, drive
    from joblot.clock import SystemClock, new_run_id
    from joblot.runner.launch import continue_run
    from joblot.runner.uptodate import matching

    jobs = sorted(job for name in names for job in matching(now.plan, [name]))
    choices, chosen = Choices(**driving), new_run_id(SystemClock().wall())
    options = choices.options(run_id=chosen, skip_unknown_actions=now.skip_unknown_actions)
    output.log(
        "INFO",
        f"the batch has changed since run `{old}` began: a new run continues it (`--as-it-was` goes on with the old one)",
    )
    return drive(
        output,
        choices,
        chosen,
        lambda observers: continue_run(old, now.plan, options, observers=observers, given=now.given, jobs=jobs),
    )


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
