"""`joblot replay`: one job of a past run, alone."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from joblot.cli.options import no_color_option, run_argument, run_help, state_option
from joblot.errors import EXIT_JOBS_FAILED, EXIT_OK, StateError

if TYPE_CHECKING:
    from pathlib import Path

    from joblot.cli.output import Output
    from joblot.cli.runs import Run
    from joblot.executors import RunContext
    from joblot.model import Attempt, Outcome
    from joblot.plan import Plan

_HELP = f"""Run one job of a past run alone, in this process: with the same input and parameters, and the results of its needs as they
were recorded. What it prints goes to the terminal, and nothing is recorded. It writes the files that it writes in a run.

{run_help}"""


@click.command("replay", help=_HELP)
@run_argument()
@click.argument("job")
@click.option("--pdb", "debug", is_flag=True, help="when a Python action raises, look into it with Python's debugger")
@state_option
@no_color_option
@click.pass_obj
def command(output: Output, run: str, job: str, state: str | None, *, debug: bool) -> int:
    """Find the job, run it, and say how it ended."""
    import tempfile
    from pathlib import Path

    from joblot.cli.runs import open_run

    with open_run(run, state) as found:
        plan = _plan(found, job)
        attempt = _attempt(found, plan, job)
        run_id = found.id
    with tempfile.TemporaryDirectory(prefix="joblot-replay-") as folder:
        outcome = _perform(plan, attempt, run_id, Path(folder), debug=debug)
    took = f"{outcome.wall_s:.3f} s"
    if outcome.kind == "ok":
        result = f": {outcome.result.decode()}" if outcome.result else ""
        output.note(f"job `{job}` of run `{run_id}` ended well after {took}{result}")
        return EXIT_OK
    message = f": {outcome.message}" if outcome.message else ""
    output.error(f"job `{job}` of run `{run_id}` ended with `{outcome.kind}` after {took}{message}")
    return EXIT_JOBS_FAILED


def _plan(found: Run, job: str) -> Plan:
    from joblot.launch import sound_plan, stored_plan

    found.job(job)
    return stored_plan(sound_plan(found.folder, found.id), found.id)


def _attempt(found: Run, plan: Plan, name: str) -> Attempt:
    """The job's last attempt, with everything filled in as the run's records say."""
    from joblot.limits import Limits
    from joblot.model import Attempt
    from joblot.runstate import RunState
    from joblot.values import Values

    state = RunState(plan, Limits(slots=1, limits=plan.config.limits))
    for record in found.records():
        for event in record.events:
            state.apply(event)
    job = found.job(name)
    attempt = Attempt(job, max(1, state.attempts[job]))
    if plan.spec(job).deferred:
        try:
            attempt.values = Values(plan, state, found.id).of(job)
        except ValueError as error:
            raise StateError(f"job `{name}` of run `{found.id}` cannot be run again: {error}") from None
    return attempt


def _perform(plan: Plan, attempt: Attempt, run_id: str, folder: Path, *, debug: bool) -> Outcome:
    from joblot.executors import RunContext
    from joblot.executors.command import is_command

    context = RunContext(run_id, plan, folder, capture=False)
    (folder / "live").mkdir()
    spec = plan.spec(attempt.job)
    if is_command(spec):
        return _run_command(context, attempt)
    from joblot.actions.registry import ACTIONS
    from joblot.executors.perform import Performer

    assert spec.action is not None
    ACTIONS[spec.action]  # an unknown action is an error of its own, not the job's
    raised: list[BaseException] = []

    class Watched(Performer):
        """Keeps what the action raised."""

        def _failed(self, outcome: Outcome, error: BaseException) -> None:
            raised.append(error)
            super()._failed(outcome, error)

    outcome = Watched(context).perform(attempt)
    if debug and raised:
        import pdb  # noqa: T100 - it was asked for

        pdb.post_mortem(raised[0].__traceback__)
    return outcome


def _run_command(context: RunContext, attempt: Attempt) -> Outcome:
    from joblot.commands import Kill
    from joblot.executors.inline import InlineExecutor

    spec = context.plan.spec(attempt.job)
    executor = InlineExecutor(context)
    try:
        executor.start([attempt])
        until = None if spec.timeout_s is None else time.monotonic() + spec.timeout_s
        while not (ended := executor.wait(None if until is None else max(0.0, until - time.monotonic()))):
            if until is not None and time.monotonic() >= until:
                executor.kill([Kill(attempt.job, attempt.number, "timeout", spec.grace_s)])
                until = None
        if until is None and spec.timeout_s is not None:
            ended[0].kind, ended[0].message = "timeout", f"took longer than {spec.timeout_s:g} s"
        return ended[0]
    finally:
        executor.close()
