"""Runs one attempt of a Python action, or a bundle of them, in this process, and returns the outcome. Shared by all that run actions.

It knows the plan and the registry; it does not know slots, processes or the journal. Whatever the action raises, an outcome comes back.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, suppress
from math import isfinite
from pathlib import Path
from time import monotonic, process_time, tzset
from typing import TYPE_CHECKING, Any, Final, NoReturn

import msgspec
from msgspec.structs import replace

from joblot.actions.context import Context
from joblot.actions.registry import ACTIONS, Action
from joblot.config.params import convert_params
from joblot.core.model import Attempt, LogLine, Outcome
from joblot.errors import ActionError, JoblotError
from joblot.executors.mask import Mask
from joblot.executors.randomness import Seeds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from joblot.actions.bundle import FusedJob
    from joblot.core.model import JobSpec
    from joblot.executors.protocol import RunContext

_MAX_DEPTH: Final = 20
_ENCODE: Final = msgspec.json.Encoder().encode
_DECODE: Final = msgspec.json.Decoder().decode
MAX_RESULT: Final = 2**20
"""Bytes of JSON that a result may have."""
_TEMPORARY: Final = ("TMPDIR", "TEMP", "TMP")


class Stopped(BaseException):
    """The attempt was asked to end (SIGTERM). Raised inside the action, so that its `finally` blocks run."""


class Performer:
    """Runs attempts of one run in this process."""

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._plan = context.plan
        self._folder = Path(context.plan.config.folder)
        self.mask = Mask.of(context.plan.config, context.environments)
        self._actions: dict[Any, Action] = {}
        self._env = context.env
        self._pid = os.getpid()
        self._seeds = Seeds(context.run_id, context.plan.config.seed, context.plan.name)

    def perform(self, attempt: Attempt) -> Outcome:
        """Run the attempt to its end."""
        outcome = Outcome(attempt.job, attempt.number, "ok", monotonic())
        before = process_time()
        self._seeds.sow(attempt.job, attempt.number)
        try:
            result = self._call(attempt, outcome)
            if os.getpid() != self._pid:  # the action forked, and this is the child
                _exit_fork(None)
            if result is not None:
                outcome.result = _encoded_result(result)
        except BaseException as error:  # noqa: BLE001 - whatever an action raises ends its attempt, not this process
            if os.getpid() != self._pid:
                _exit_fork(error)
            self.record_error(outcome, error)
        outcome.cpu_s = process_time() - before
        outcome.wall_s = monotonic() - outcome.began  # type: ignore[operator]
        if self.mask:
            self.mask.outcome(outcome)
        return outcome

    def perform_bundle(self, attempts: Sequence[Attempt], report: Callable[[Outcome], None]) -> Outcome:
        """Run attempts of jobs that can be fused as one call of their action, to its end.

        Each outcome is reported as soon as it is known, but for the last one: that is returned, because the call may go on after it.
        """
        call = _FusedCall(self, attempts, report)
        self._seeds.sow(attempts[0].job, attempts[0].number)
        try:
            call.run()
            if os.getpid() != self._pid:
                _exit_fork(None)
            error: BaseException = ActionError("the action returned without saying how this job ended", reason="no_end")
        except BaseException as raised:  # noqa: BLE001 - as above
            if os.getpid() != self._pid:
                _exit_fork(raised)
            error = raised
        return call.end(error)

    def _call(self, attempt: Attempt, outcome: Outcome) -> Any:
        spec = self._plan.spec(attempt.job)
        if isinstance(spec.function, bytes):
            spec = replace(spec, function=_unpickled(spec.function))
        function = spec.function
        # Without parameters, input and environment there is nothing to convert or to set: the short way of tiny functions.
        bare = function is not None and not (spec.params or spec.env or self._env) and spec.input is None
        if bare and not attempt.values and _has_no_parameters(function):
            return function()
        action = self.action(spec)
        values = attempt.values or {}
        logs: list[LogLine] = []
        arguments, input_paths = self.arguments(action, spec, values)
        context = self.make_context(attempt, spec, logs)
        try:
            with self.environment(values.get("env", spec.env)):
                return action.call(input_paths, arguments, context)
        finally:
            outcome.logs = tuple(_json_safe_line(line) for line in logs)
            outcome.artifacts = tuple(context.artifacts)

    def spec(self, attempt: Attempt) -> JobSpec:
        """What the batch declares for the attempt's job."""
        return self._plan.spec(attempt.job)

    def arguments(self, action: Action, spec: JobSpec, values: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
        """A job's parameters, converted, and its input's path or paths, made absolute.

        Raises:
            ValueError: a parameter does not match the action's signature.
        """
        arguments = convert_params(action.signature, values.get("params", spec.params), self._folder)
        return arguments, self._resolved(values.get("input", spec.input))

    def action(self, spec: JobSpec) -> Action:
        """The action that a job runs."""
        key = spec.action if spec.action is not None else id(spec.function)
        action = self._actions.get(key)
        if action is None:
            action = ACTIONS[spec.action] if spec.action else Action(spec.name, spec.function, by_name=True)
            if spec.action:
                self._actions[key] = action
        return action

    def make_context(self, attempt: Attempt, spec: JobSpec, logs: list[LogLine]) -> Context:
        """The context of one attempt, alone or of a bundle."""
        return Context(
            run_id=self._context.run_id,
            job=spec.name,
            attempt=attempt.number,
            batch_dir=self._folder,
            run_dir=self._context.run_dir,
            slots=(attempt.values or {}).get("slots"),
            log=logs.append,
        )

    @contextmanager
    def environment(self, own: Mapping[str, str]) -> Iterator[None]:
        """Set the batch's and the job's environment variables during a call."""
        variables = {**self._env, **own} if own else self._env
        if not variables:
            yield
            return
        previous = {name: os.environ.get(name) for name in variables}
        os.environ.update(variables)
        read_before = _read_again(variables)
        try:
            yield
        finally:
            for name, value in previous.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
            _read_again(variables, read_before)

    def _resolved(self, input_paths: Any) -> Any:
        """An input's path or paths, relative to the batch's folder."""
        if isinstance(input_paths, str):
            return self._folder / input_paths
        if isinstance(input_paths, list):
            return [self._folder / item for item in input_paths]
        return input_paths

    def record_error(self, outcome: Outcome, error: BaseException) -> None:
        """Set the outcome of an attempt that raised, and write the error to its log: without a traceback when it is one for people."""
        outcome.kind = "error"
        outcome.result = b""
        if isinstance(error, Stopped):
            outcome.kind = "cancelled"
            return
        outcome.reason = "exception"
        outcome.raised = tuple(
            kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
            for kind in type(error).__mro__[:-1]
        )
        if isinstance(error, JoblotError):
            reason = getattr(error, "reason", "")
            outcome.reason = reason if isinstance(reason, str) and reason else "exception"
            outcome.message = _one_line(error.message)
            _write_log(f"error: {error.message}\n")
            return
        text = _one_line(_safe_str(error))
        name = type(error).__name__
        outcome.message = f"{name}: {text}" if text else name
        _log_traceback(error)


class _FusedCall:
    """One call of a fused action, and the outcomes of its jobs."""

    def __init__(self, performer: Performer, attempts: Sequence[Attempt], report: Callable[[Outcome], None]) -> None:
        self._performer = performer
        self._report = report
        self._began = monotonic()
        self._cpu_s = process_time()
        self._open: dict[str, _Member] = {}
        self._last: Outcome | None = None
        for attempt in attempts:
            member = _Member(performer, attempt, Outcome(attempt.job, attempt.number, "ok", self._began))
            self._open[member.spec.name] = member

    def run(self) -> None:
        """Call the action with the jobs whose parameters are valid; the others fail, each for itself."""
        from joblot.actions.bundle import BundleContext

        first = next(iter(self._open.values()))
        action = self._performer.action(first.spec)
        assert action.fused is not None, f"BUG: `{action.name}` cannot be fused"
        jobs = [job for member in list(self._open.values()) if (job := self._job(action, member)) is not None]
        context = BundleContext(
            jobs,
            run_id=first.context.run_id,
            batch_dir=first.context.batch_dir,
            run_dir=first.context.run_dir,
            ended=self._ended,
        )
        with self._performer.environment(first.values.get("env", first.spec.env)):
            if jobs:
                action.fused(jobs, context)

    def _job(self, action: Action, member: _Member) -> FusedJob | None:
        from joblot.actions.bundle import FusedJob

        try:
            arguments, input_paths = self._performer.arguments(action, member.spec, member.values)
            input_paths = action.fitting(input_paths)
        except (JoblotError, ValueError) as error:
            self._fail(member, error)
            return None
        return FusedJob(
            member.spec.name, member.outcome.number, input_paths, {**action.defaults, **arguments}, member.context
        )

    def _ended(self, job: FusedJob, result: Any, error: BaseException | None) -> None:
        member = self._open[job.name]
        if error is None:
            try:
                member.outcome.result = _encoded_result(result) if result is not None else b""
            except JoblotError as refused:
                error = refused
        if error is not None:
            self._fail(member, error)
        else:
            self._finish(member)

    def _fail(self, member: _Member, error: BaseException) -> None:
        _write_log(f"job {member.spec.name}:\n")
        self._performer.record_error(member.outcome, error)
        self._finish(member)

    def _finish(self, member: _Member) -> None:
        # Of a shared call nobody can tell whose the CPU seconds are: what was not charged yet is split evenly among the open jobs.
        outcome = member.outcome
        outcome.wall_s = monotonic() - self._began
        outcome.cpu_s = (process_time() - self._cpu_s) / len(self._open)
        outcome.logs = tuple(_json_safe_line(line) for line in member.logs)
        outcome.artifacts = tuple(member.context.artifacts)
        self._cpu_s += outcome.cpu_s
        if self._performer.mask:
            self._performer.mask.outcome(outcome)
        del self._open[member.spec.name]
        if self._open:
            self._report(outcome)
        else:
            self._last = outcome

    def end(self, error: BaseException) -> Outcome:
        """End the call: jobs that are open fail with the error. Returns the last outcome."""
        if self._open:
            failure = Outcome(-1, 0, "error")
            self._performer.record_error(failure, error)
            for member in list(self._open.values()):
                outcome = member.outcome
                outcome.kind, outcome.reason, outcome.message = failure.kind, failure.reason, failure.message
                outcome.result, outcome.shared, outcome.raised = b"", True, failure.raised
                self._finish(member)
        elif not isinstance(error, ActionError) or error.reason != "no_end":
            _log_traceback(error)
        assert self._last is not None, "BUG: a bundle without an end"
        return self._last


class _Member:
    """One attempt of a bundle."""

    def __init__(self, performer: Performer, attempt: Attempt, outcome: Outcome) -> None:
        self.spec = performer.spec(attempt)
        self.values = attempt.values or {}
        self.outcome = outcome
        self.logs: list[LogLine] = []
        self.context = performer.make_context(attempt, self.spec, self.logs)


def _read_again(variables: Mapping[str, str], temporary: str | None = None) -> str | None:
    """Have read again what libraries read once: the C library the time zone, `tempfile` its folder. Returns the folder read before."""
    if "TZ" in variables:
        tzset()
    tempfile: Any = sys.modules.get("tempfile")
    if tempfile is None or variables.keys().isdisjoint(_TEMPORARY):
        return None
    before: str | None = tempfile.tempdir
    tempfile.tempdir = temporary
    return before


def _exit_fork(error: BaseException | None) -> NoReturn:
    """End a process that an action forked and that returned from the action: its parent reports the end of the attempt."""
    code = 0
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    elif error is not None:
        code = 1
        _log_traceback(error)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # noqa: BLE001, S110 - the action may have put anything there
            pass
    os._exit(code & 0xFF)


def _safe_str(value: object) -> str:
    """`str(value)`, or an empty text when that raises."""
    try:
        return str(value)
    except BaseException:  # noqa: BLE001 - `__str__` is the action's code too
        return ""


def _json_safe_line(line: LogLine) -> LogLine:
    """The log line as JSON can hold it, whatever objects the action put into it."""
    data = line.data
    return LogLine(
        _without_surrogates(_safe_str(line.level)),
        _without_surrogates(_safe_str(line.message)),
        None if data is None else _json_safe(data, 0),
    )


def _json_safe(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return value if isfinite(value) else str(value)  # in JSON there is no number for it, and `null` would say less
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)
    if depth < _MAX_DEPTH:
        if isinstance(value, (list, tuple)):
            return [_json_safe(item, depth + 1) for item in value]
        if isinstance(value, dict):
            return {_without_surrogates(_safe_str(key)): _json_safe(item, depth + 1) for key, item in value.items()}
    return _without_surrogates(_safe_str(value))


def _without_surrogates(text: str) -> str:
    """The text without lone surrogates, which cannot be encoded as UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def _unpickled(function: bytes) -> Callable[..., Any]:
    """A function of a Python program that was sent over a cluster."""
    import pickle

    unpickled: Callable[..., Any] = pickle.loads(function)  # noqa: S301 - from the run's own program, over TLS or within this machine
    return unpickled


def _has_no_parameters(function: Callable[..., Any]) -> bool:
    code = getattr(function, "__code__", None)
    return code is not None and not code.co_argcount and not code.co_kwonlyargcount and not code.co_flags & 0x0C


def _encoded_result(result: Any) -> bytes:
    """A result as JSON.

    Raises:
        JoblotError: JSON cannot say it without changing it, or it is too large.
    """
    try:
        encoded = _ENCODE(result)
        # The encoder writes `null` for what is not a number, and both of two keys that become the same text. What reads back as it was
        # has been said as it is; the rest, such as tuples, is walked.
        sound = _DECODE(encoded) == result
    except (TypeError, ValueError, RecursionError, OverflowError):
        sound = False
    if not sound:
        from joblot.executors.plain import plain_result

        encoded = msgspec.json.encode(plain_result(result))
    if len(encoded) > MAX_RESULT:
        raise JoblotError(
            f"the result has {len(encoded)} bytes as JSON, at most {MAX_RESULT} are kept: write it to a file"
        )
    return encoded


def _one_line(text: str) -> str:
    """The first line of a text, at most 500 characters, without control characters."""
    first = text.strip().partition("\n")[0].strip()[:500]
    return "".join(char if char.isprintable() else "?" for char in first)


def _log_traceback(error: BaseException) -> None:
    """Write the traceback, from the action's own frames on, to the attempt's log."""
    import traceback

    try:
        frames = error.__traceback__
        while frames is not None and os.path.dirname(frames.tb_frame.f_code.co_filename).endswith(_OWN_FOLDERS):
            frames = frames.tb_next
        text = "".join(traceback.format_exception(type(error), error, frames))
    except BaseException as second:  # noqa: BLE001 - formatting runs the exception's own code
        text = f"{type(error).__name__} (its text cannot be shown: {type(second).__name__})\n"
    _write_log(text)


def _write_log(text: str) -> None:
    """Write to the attempt's log behind what it has printed, even when the action has closed or replaced its standard streams."""
    with suppress(Exception):  # the action may have put anything there
        sys.stdout.flush()
    try:
        sys.stderr.write(text)
    except Exception:  # noqa: BLE001 - the action may have put anything there
        try:
            os.write(2, text.encode("utf-8", "backslashreplace"))
        except OSError:
            pass  # it closed the descriptor too


_OWN_FOLDERS: Final = (os.path.join("joblot", "executors"), os.path.join("joblot", "actions"))
