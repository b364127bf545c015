"""`joblot explain`: why a job is in the state it is in."""

from __future__ import annotations

import re
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click

from joblot.cli import declared
from joblot.cli.options import job_argument, job_help, json_option, no_color_option, run_or_job_argument, state_option
from joblot.core.events import MEMORY_PRESSURE
from joblot.core.model import FINAL, STATE_OF, STATES, Limit
from joblot.core.plan import PATTERN
from joblot.core.references import Joined, as_text
from joblot.core.retry import memory_after
from joblot.errors import EXIT_OK
from joblot.reports.text import normalise, one_line
from joblot.units import format_duration, format_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from joblot.cli.output import Output
    from joblot.cli.runs import Run
    from joblot.core.model import Held
    from joblot.reports.report import JobReport, Report
    from joblot.reports.view import RunView

_STATE: Final = rf"^( *(?:because )?[^:]+: (?:\d+ jobs: )?)({'|'.join(STATES)})\b"


@click.command(
    "explain",
    help=f"Say why a job is in the state it is in. JOB may be a pattern; without it all jobs are told, those of a declaration together.\n\n{job_help}",
)
@run_or_job_argument
@job_argument
@state_option
@json_option
@no_color_option
@click.pass_obj
def command(output: Output, run: str | None, job: str | None, state: str | None) -> int:
    """Find the run and the job."""
    from joblot.cli.runs import open_job

    with open_job(output, run, job, state) as (opened, named):
        explain(output, opened, named or "*")
    return EXIT_OK


def explain(output: Output, run: Run, name: str) -> None:
    """Read the run's records and print what they hold of a job, or of those that match a pattern."""
    if PATTERN.search(name):
        has_none = not run.of_program and not len(run.plan)
        _explain_all(output, run, [] if has_none else run.jobs(name))
        return
    number, report = run.job(name), run.report()
    if output.json:
        output.document(_as_data(run, report, number))
    else:
        _print(output, _lines(run, report, number))


def _explain_all(output: Output, run: Run, jobs: list[int]) -> None:
    report = run.report()
    if output.json:
        output.document([_as_data(run, report, job) for job in jobs])
    else:
        lines = declared.lines(run.plan, jobs, partial(_said, run, report), rest=" (`--json` lists all)")
        lost = [] if all(map(report.view.has_ended, jobs)) else _lost(run, report)
        _print(output, [*lines, *lost] if jobs else ["no jobs: nothing to do"])


def _print(output: Output, lines: Iterable[str]) -> None:
    """Print lines, with the states of jobs, which follow their names, in colour."""
    output.result(
        "\n".join(re.sub(_STATE, lambda found: found[1] + output.tint(found[2], found[2]), line) for line in lines)
    )


def _said(run: Run, report: Report, job: int) -> declared.Said:
    """The state of a job with its cause, which is of one kind with those that differ in numbers, paths and the like."""
    state = report.view.state(job)
    if state in ("success", "cached"):
        return state, state
    if words := run.going_on(report.view, job, time.time()):
        return state, f"{state}: {words}"
    text = _outcome(report.jobs[run.plan.name(job)])
    return normalise(text), text


def _as_data(run: Run, report: Report, number: int) -> dict[str, Any]:
    job = report.jobs[run.plan.name(number)]
    return {
        "run_id": run.id,
        "run_status": report.status,
        **({"continues": report.view.continues} if report.view.continues else {}),
        "job": job,
        **_moments(run, report.view, number),
        "why": _why(run, report, number, job),
        "causes": [cause.name for cause in _causes(report, job)],
        "needs": {need: report.jobs[need].state for need in job.needs},
        "input_made_by": {run.plan.name(need): path for need, path in run.plan.made_input(number).items()},
        "dependents": [run.plan.name(other) for other in run.plan.dependents[number]],
    }


def _moments(run: Run, view: RunView, number: int) -> dict[str, str | int]:
    """When the attempt that runs began, and its process, or when the next one is due."""
    from joblot.clock import iso_utc

    due = run.next_try_at(view, number)
    if due is not None:
        return {"next_try_at": iso_utc(due)}
    if view.state(number) != "running":
        return {}
    pid = run.pid(view, number) if run.held else None
    return {"running_since": iso_utc(view.running_since(number)), **({} if pid is None else {"pid": pid})}


def _lines(run: Run, report: Report, number: int) -> Iterator[str]:
    job = report.jobs[run.plan.name(number)]
    yield f"{job.name}: {job.state}"
    yield from (f"  {line}" for line in _why(run, report, number, job))
    if job.reason == "carried_over":
        yield f"  done in run `{one_line(report.view.continues)}`: `joblot explain {one_line(report.view.continues)} {job.name}`"
    if job.finally_:
        yield "  of `finally`: runs when all others have ended, whatever ended the run"
    spec = run.plan.spec(number)
    if spec.if_ is not True:
        from joblot.cli.plan import shown_condition

        yield f"  if: {shown_condition(spec)}"
    if job.allowed:
        yield "  its failure is allowed (`allow_failure`): the run goes on as after a success"
    if job.state == "failed" and spec.outputs:
        yield "  the next run of its batch does it again, whatever is there: `failed last time`"
    yield from (f"  because {cause.name}: {_outcome(cause)}" for cause in _causes(report, job))
    shell = run.plan.spec(number).shell
    if shell:
        yield f"  its text is run by `{' '.join(shell)}`"
    yield from _attempts(job, {number: _slots(held) for number, held in report.view.slots(number).items()})
    if job.needs:
        yield "  needs:"
        files = {run.plan.name(need): path for need, path in run.plan.files_read(number).items()}
        if len(job.needs) > declared.SINGLY:
            told = declared.lines(
                run.plan, run.plan.needs[number], partial(_said, run, report), rest=" (`--json` lists all)"
            )
            yield from (f"    {line}" for line in told)
        for need in job.needs if len(job.needs) <= declared.SINGLY else ():
            made = f" (makes `{files[need]}`)" if need in files else ""
            was = (
                spec.when != "success"
                and made
                and job.attempts
                and report.jobs[need].state not in ("success", "cached")
            )
            yield f"    {need}{made}: {_outcome(report.jobs[need])}{'; what was there before was read, if anything' if was else ''}"
    dependents = declared.names(run.plan, run.plan.dependents[number])
    if dependents:
        others = f" and {len(dependents) - declared.SINGLY} more" if len(dependents) > declared.SINGLY else ""
        yield f"  needed by: {', '.join(dependents[: declared.SINGLY])}{others}"
    if job.log:
        yield f"  log: {job.log}"


def _outcome(job: JobReport) -> str:
    message = one_line(job.message or job.reason)
    state = f"{job.state} (allowed)" if job.allowed else job.state
    return f"{state}: {message}" if message else state


def _attempts(job: JobReport, held: Mapping[int, str]) -> Iterator[str]:
    if job.history:
        yield "  attempts:"
    if len(job.history) > declared.SINGLY:
        yield f"    ... {len(job.history) - declared.SINGLY} earlier ones (`--json` lists all)"
    for ended in job.history[-declared.SINGLY :]:
        message = f": {text}" if (text := one_line(ended.message)) else ""
        wait = f"; waited {format_duration(ended.delay_s)}" if ended.delay_s else ""
        on = f" with {held[ended.attempt]}" if ended.attempt in held else ""
        yield f"    {ended.attempt}: {ended.outcome} after {format_duration(ended.wall_s)}{on}{message}{wait}"
    if job.bundle:
        yield f"  attempt {job.attempts} was run as one with {job.bundle - 1} other job{'s' if job.bundle > 2 else ''}"
    if not job.history and job.attempts and job.state != "running":
        on = f", with {held[job.attempts]}" if job.attempts in held else ""
        yield f"  attempts: {job.attempts}, {format_duration(job.duration_ms / 1000)}{on}"


def _causes(report: Report, job: JobReport) -> Iterator[JobReport]:
    """The job that this one's end follows from, the job that that one's follows from, and so on."""
    met = {job.name}
    while job.cause and job.cause not in met:
        met.add(job.cause)
        job = report.jobs[job.cause]
        yield job


def _why(run: Run, report: Report, number: int, job: JobReport) -> list[str]:
    """In sentences without a period: what decided the state, or what the job waits for."""
    lost = _lost(run, report)
    holds = [f"holds {_slots(job.slots)}"] if job.slots else []
    match job.state:
        case "waiting" | "ready":
            return [*_waits_for(run, report, number, job), *lost]
        case "running":
            if report.status not in ("running", "stopping"):
                return ["an attempt was running when the runner ended; how it ended is not known", *lost]
            return [f"an attempt is running: {run.going_on(report.view, number, time.time())}", *holds]
        case "backing_off":
            delay = job.history[-1].delay_s if job.history else 0.0
            when = run.next_try(report.view, number, time.time())
            return [f"the last attempt failed; the next is due {delay:g} s after it{when and f': {when}'}", *lost]
        case "success":
            return ["an attempt ended well"]
        case "failed" if 0 < job.attempts < (policy := run.plan.spec(number).retry).max_attempts and policy.only:
            listed = ", ".join(policy.only)
            tries_left = [f"tries left, but it is tried again only after: {listed}"]
        case _:
            tries_left = []
    return [one_line(f"{job.reason}: {job.message}" if job.message else job.reason), *tries_left]


def _lost(run: Run, report: Report) -> list[str]:
    """What there is to say of a run that has no end and no process."""
    live = report.status in ("running", "stopping")
    return [] if live or report.view.ended else [f"nobody drives the run: `joblot resume {run.id}` goes on with it"]


def _demands(run: Run, report: Report, number: int, job: JobReport) -> Iterator[str]:
    spec, most = run.plan.spec(number), report.view.settings.get("max_memory")
    resources = spec.resources
    if times := _times_short_of_memory(job):
        resources = {**resources, "memory": memory_after(spec, times)}
    for name, amount in resources.items():
        if name != "memory":
            yield f"{name}: {amount:g}"
        elif most is not None:
            yield f"memory: {format_size(amount)} of {format_size(most)} (max_memory)"


def _times_short_of_memory(job: JobReport) -> int:
    """How many attempts ended for lack of memory since the job began, or was taken back to the beginning."""
    times = 0
    for ended in job.history:
        times = 0 if STATE_OF[ended.state] in FINAL else times + (ended.reason == "oom")
    return times


def _waits_for(run: Run, report: Report, number: int, job: JobReport) -> list[str]:
    open_states = ("waiting", "ready", "running", "backing_off")
    if job.finally_ and not report.view.settled:
        return ["waits for the end of all jobs that are not of `finally`"]
    missing = [need for need in job.needs if report.jobs[need].state in open_states]
    if missing:
        others = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
        return [f"waits for {len(missing)} of {len(job.needs)} needs: {', '.join(missing[:10])}{others}"]
    resources = run.plan.spec(number).resources
    if any(isinstance(limit, Limit) and limit.across == "machine" for limit in run.config.limits.values()) and run.held:
        from joblot.runner.permits import look, waits_of

        waits = waits_of(str(run.files.path), look())
        if mine := [words for name, words in waits.items() if name in resources]:
            return [f"ready: waits for {words}" for words in mine]
    if job.history and job.history[-1].reason == MEMORY_PRESSURE:
        return ["ready: waits until nothing else runs, since all that ran together held too much memory"]
    demand = ", ".join(_demands(run, report, number, job))
    ready = f"ready: waits for a free slot and for {demand}" if demand else "ready: waits for a free slot"
    return [ready, *(_held(run, report, limit) for limit in resources if limit in run.plan.limits)]


def _held(run: Run, report: Report, limit: str) -> str:
    """How much of a limit is held, and by whom."""
    view, plan = report.view, run.plan
    processes: dict[tuple[int, int], float] = {}
    holders = []
    for job, attempt in view.running() if run.held else ():
        amount = dict(plan.demand(job)).get(limit)
        if amount is not None:
            bundle = view.bundle(job)
            processes[(bundle.first, bundle.attempt) if bundle else (job, attempt)] = amount
            slots = view.slots(job).get(attempt, {}).get(limit)
            holders.append(f"{plan.name(job)}{f' ({as_text(Joined(slots))})' if slots else ''}")
    others = f" and {len(holders) - 10} more" if len(holders) > 10 else ""
    by = f" by {', '.join(holders[:10])}{others}" if holders else ""
    return f"{limit}: {sum(processes.values()):g} of {plan.limits[limit]} held{by}"


def _slots(held: Held) -> str:
    """Slots with names, as `gpu 0,1 and port 8080`."""
    return " and ".join(f"{limit} {as_text(Joined(slots))}" for limit, slots in held.items())
