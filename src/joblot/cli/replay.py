"""`joblot replay`: one job of a past run, alone."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import click

from joblot.cli.options import job_argument, job_help, no_color_option, run_or_job_argument, state_option
from joblot.errors import EXIT_JOBS_FAILED, EXIT_OK, StateError
from joblot.files import write_all

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from joblot.cli.output import Output
    from joblot.cli.runs import Run
    from joblot.core.model import Attempt, Outcome
    from joblot.core.plan import Plan
    from joblot.executors.mask import Mask
    from joblot.executors.protocol import RunContext

_HELP = f"""Run one job of a past run alone, in this process: with the same input and parameters, and the results of its needs as they
were recorded. What it prints goes to the terminal, and nothing is recorded. It writes the files that it writes in a run.

{job_help}"""


@click.command("replay", help=_HELP)
@run_or_job_argument
@job_argument
@click.option("--pdb", "debug", is_flag=True, help="when a Python action raises, look into it with Python's debugger")
@state_option
@no_color_option
@click.pass_obj
def command(output: Output, run: str | None, job: str | None, state: str | None, *, debug: bool) -> int:
    """Find the job, run it, and say how it ended."""
    import tempfile
    from pathlib import Path

    from joblot.cli.runs import needed_job, open_job
    from joblot.config.load import env_files_of
    from joblot.core.fan_out import Making
    from joblot.executors.protocol import RunContext
    from joblot.journal.claims import Claims

    with open_job(output, run, job, state) as (past, named):
        job = needed_job(past, named)
        plan = _plan(past, job)
        attempt = _attempt(past, plan, job)
        spec, env_files = plan.spec(attempt.job), env_files_of(plan.config)
        if env_files is not None:
            env_files.refuse([spec])
            values = attempt.values or {}
            attempt.values = {**values, "env": env_files.with_own(spec, values.get("env", spec.env))}
        run_id, claims = (
            past.id,
            Claims(past.id, batch=plan.config.name, folder=plan.config.folder, state=past.folder.path),
        )
    output.bare()  # the job prints to the terminal by itself
    outputs = spec.outputs
    with closing(claims), tempfile.TemporaryDirectory(prefix="joblot-replay-") as folder:
        if outputs:
            claims.take([Making(outputs)])
            claims.take_in_state()
        context = RunContext(run_id, plan, Path(folder), capture=False)
        if env_files is not None:
            context.from_files, context.environments = env_files.of_batch, env_files.environments
        outcome = _perform(context, attempt, Path(folder), debug=debug)
    took = f"{outcome.wall_s:.3f} s"
    if outcome.kind == "ok":
        result = f": {outcome.result.decode()}" if outcome.result else ""
        output.note(f"job `{job}` of run `{run_id}` ended well after {took}{result}")
        return EXIT_OK
    message = f": {outcome.message}" if outcome.message else ""
    output.error(f"job `{job}` of run `{run_id}` ended with `{outcome.kind}` after {took}{message}")
    return EXIT_JOBS_FAILED


def _plan(past: Run, job: str) -> Plan:
    from joblot.journal.stored_plan import runnable_plan, sound_plan

    past.job(job)
    return runnable_plan(sound_plan(past.folder.journal, past.id), past.id)


def _attempt(past: Run, plan: Plan, name: str) -> Attempt:
    """The job's last attempt, with everything filled in as the run's records say."""
    from joblot.core.limits import Limits
    from joblot.core.model import Attempt
    from joblot.core.resources import NamedSlots
    from joblot.core.runstate import RunState
    from joblot.runner.values import Values, with_slots

    state = RunState(plan, Limits(slots=1, named=plan.limits))
    for record in past.records():
        for event in record.events:
            state.apply(event)
    job = past.job(name)
    attempt = Attempt(job, max(1, state.attempts[job]))
    held = past.view().slots(job).get(attempt.number) or NamedSlots(plan.named_slots).choose(
        [(job, plan.demand(job))]
    ).get(job, {})
    if plan.spec(job).deferred:
        try:
            attempt.values = Values(plan, state, past.id).of(job, held=held)
        except ValueError as error:
            raise StateError(f"job `{name}` of run `{past.id}` cannot be run again: {error}") from None
    if held:
        attempt.values = with_slots(attempt.values, plan.spec(job).env, held)
    if job in plan.finals:
        values = attempt.values or {}
        attempt.values = {**values, "env": {**values.get("env", plan.spec(job).env), **past.files.told(state.settled)}}
    return attempt


def _perform(context: RunContext, attempt: Attempt, folder: Path, *, debug: bool) -> Outcome:
    from joblot.executors.command import is_command
    from joblot.executors.mask import Mask

    (folder / "live").mkdir()
    spec = context.plan.spec(attempt.job)
    mask = Mask.of(context.plan.config, context.environments)
    if is_command(spec):
        with _masked(mask):
            return _run_command(context, attempt)
    from joblot.actions.registry import ACTIONS
    from joblot.executors.perform import Performer

    assert spec.action is not None
    ACTIONS[spec.action]  # an unknown action is an error of its own, not the job's
    raised: list[BaseException] = []

    class Watched(Performer):
        """Keeps what the action raised."""

        def record_error(self, outcome: Outcome, error: BaseException) -> None:
            raised.append(error)
            super().record_error(outcome, error)

    with _masked(mask):
        outcome = Watched(context).perform(attempt)
    if debug and raised:
        import pdb  # noqa: T100 - it was asked for

        pdb.post_mortem(raised[0].__traceback__)
    return outcome


def _run_command(context: RunContext, attempt: Attempt) -> Outcome:
    from joblot.core.commands import Kill
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


@contextmanager
def _masked(mask: Mask) -> Iterator[None]:
    """Have what is printed meanwhile go through the mask, in a process of its own; without secrets straight to the terminal."""
    if not mask:
        yield
        return
    pipes, end = [os.pipe(), os.pipe()], os.pipe()
    _flush()
    pid = os.fork()
    if pid == 0:
        try:
            for _, writing in (*pipes, end):
                os.close(writing)
            _pass_on(mask, {pipes[0][0]: 1, pipes[1][0]: 2}, end[0])
        finally:
            os._exit(0)
    terminal = [os.dup(1), os.dup(2)]
    for fd, (reading, writing) in enumerate(pipes, 1):
        os.dup2(writing, fd)
        os.close(writing)
        os.close(reading)
    try:
        yield
    finally:
        _flush()
        for fd, copy in enumerate(terminal, 1):
            os.dup2(copy, fd)
            os.close(copy)
        os.close(end[1])  # which tells that the end has come, even if something still holds the pipes open
        os.close(end[0])
        os.waitpid(pid, 0)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass  # the action has closed it, or nobody reads it


def _pass_on(mask: Mask, targets: dict[int, int], end: int) -> None:
    """Copy from each descriptor to its target, masked, until all have ended or `end` has and nothing more is there."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends after what it serves
    pending = dict.fromkeys(targets, b"")
    while pending:
        ready = select.select([*pending, end], [], [])[0]
        if ready == [end]:
            break
        for fd in ready:
            if fd != end:
                piece = os.read(fd, 65536)
                data = pending[fd] + piece
                cut = mask.cut(data) if piece else len(data)
                write_all(targets[fd], mask.data(data[:cut]))
                pending[fd] = data[cut:]
                if not piece:
                    del pending[fd]
    for fd, data in pending.items():
        write_all(targets[fd], mask.data(data))
