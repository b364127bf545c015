"""joblot from Python: make a batch or load one, run it, read its report.

```python
from joblot import Batch

batch = Batch("nightly")

@batch.job(max_attempts=3, timeout="10m")
def fetch(): ...

@batch.job(needs=[fetch])
def report(): ...

result = batch.run()
```

This module puts the parts together: it knows them all, and decides nothing about how a run goes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, overload

import msgspec

from joblot.clock import SystemClock, new_run_id
from joblot.engine import STOP_GRACE_S, Engine, Interrupts, Observer
from joblot.errors import ConfigError, Diagnostic, StateError, UsageError, did_you_mean
from joblot.executors import RunContext
from joblot.model import RETRIABLE, Config, JobSpec, Retry
from joblot.plan import Plan, expand
from joblot.run import Limits, RunState
from joblot.units import parse_duration, parse_size

if TYPE_CHECKING:
    from joblot.executors import Executor
    from joblot.journal import Journal
    from joblot.journal.folder import Hold, StateFolder
    from joblot.reports.report import Report

F = TypeVar("F", bound=Callable[..., Any])
EXECUTORS: Final = ("local", "inline")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How to run a batch. What is None is taken from the batch, then from the defaults.

    `on` is an executor (`local`, `inline`); `workers` how many attempts run at once (default: the batch's `max_workers`, else the
    machine's processors); `state` the state folder, or False to keep nothing on disk; `stop_grace_s` how long running jobs may go on
    after the first Ctrl-C.
    """

    on: str = "local"
    workers: int | None = None
    fail_fast: bool | None = None
    max_failures: int | None = None
    timeout_s: float | None = None
    state: str | Path | Literal[False] | None = None
    run_id: str | None = None
    strict: bool = False
    stop_grace_s: float = STOP_GRACE_S
    max_memory: int | None = None
    capture: bool = True


class Batch:
    """A batch made in Python. Jobs may be any callables; relative paths are relative to `folder` (default: the working folder)."""

    def __init__(
        self,
        name: str = "batch",
        *,
        folder: str | Path | None = None,
        env: Mapping[str, str] | None = None,
        limits: Mapping[str, int] | None = None,
        secrets: Iterable[str] = (),
        fail_fast: bool = False,
        max_failures: int | None = None,
        timeout: str | float | None = None,
        max_workers: int | None = None,
        durability: Literal["normal", "full"] = "normal",
    ) -> None:
        self.name = name
        self.folder = Path(folder or ".").absolute()
        self._settings: dict[str, Any] = {
            "env": dict(env or {}),
            "limits": dict(limits or {}),
            "secrets": tuple(secrets),
            "fail_fast": fail_fast,
            "max_failures": _at_least(1, max_failures, "max_failures"),
            "timeout_s": _seconds(timeout, "timeout"),
            "max_workers": _at_least(1, max_workers, "max_workers"),
            "durability": durability,
        }
        self._jobs: list[JobSpec] = []
        self._names: dict[Any, str] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def jobs(self) -> Sequence[JobSpec]:
        """The jobs so far, in the order in which they were added."""
        return tuple(self._jobs)

    @overload
    def job(self, name: F, /) -> F: ...

    @overload
    def job(self, name: str | None = None, /, **options: Any) -> Callable[[F], F]: ...

    def job(self, name: str | Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """Make a function a job: `@batch.job`, `@batch.job("name")`, `@batch.job(needs=[...], max_attempts=3)`.

        The options are those of `add`. The function stays what it was.
        """
        if callable(name):
            self.add(name.__name__, name)
            return name

        def register(function: F) -> F:
            self.add(name or function.__name__, function, **options)
            return function

        return register

    def command(self, name: str, run: str | Sequence[str], **options: Any) -> None:
        """Add a shell command (a text), or a program with its arguments (a list; no shell). The options are those of `add`."""
        self.add(name, None, run=run if isinstance(run, str) else list(run), **options)

    def add(
        self,
        name: str,
        what: Callable[..., Any] | str | None,
        *,
        input: str | os.PathLike[str] | None = None,
        params: Mapping[str, Any] | None = None,
        needs: Iterable[str | Callable[..., Any]] = (),
        when: Literal["success", "failure", "always"] = "success",
        max_attempts: int = 1,
        delay: str | float = 0,
        backoff: float = 1.0,
        max_delay: str | float = 3600.0,
        jitter: float = 0.0,
        retry_only: Iterable[str] = (),
        timeout: str | float | None = None,
        grace: str | float = 5.0,
        resources: Mapping[str, Any] | None = None,
        outputs: Iterable[str] = (),
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        once: bool = False,
        tags: Iterable[str] = (),
        priority: int = 0,
        description: str = "",
        run: str | list[str] | None = None,
    ) -> None:
        """Add a job that calls a function or a registered action.

        `needs` are names, patterns, or functions that were made jobs before. Durations are seconds or texts such as `5m`.

        Raises:
            ValueError: a name, number or word that cannot be right; nothing is added.
        """
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"bad job name `{name}`", hint="letters, digits, `.`, `_` and `-`, at most 100, a letter or digit first"
            )
        params = dict(params or {})
        texts = (params, str(input or ""), run, env)
        spec = JobSpec(
            name=name,
            action=what if isinstance(what, str) else None,
            function=what if callable(what) else None,
            run=run,
            input=None if input is None else os.fspath(input),
            params=params,
            needs=tuple(self._need(name, need) for need in needs),
            when=when,
            retry=_retry(max_attempts, delay, backoff, max_delay, jitter, retry_only),
            timeout_s=_seconds(timeout, "timeout"),
            grace_s=_seconds(grace, "grace", least=0.0) or 0.0,
            resources=_resources(resources, self._settings["limits"]),
            outputs=tuple(outputs),
            env=dict(env or {}),
            cwd=cwd,
            once=once,
            tags=tuple(tags),
            priority=priority,
            description=description,
            deferred=bool(params or input or run or env) and "${{" in repr(texts),
        )
        self._jobs.append(spec)
        if callable(what):
            self._names[what] = name

    def _need(self, name: str, need: str | Callable[..., Any]) -> str:
        if isinstance(need, str):
            return need
        if need not in self._names:
            raise ConfigError(
                f"job `{name}` needs `{getattr(need, '__name__', need)}`, which is not a job of this batch"
            )
        return self._names[need]

    def config(self) -> Config:
        """The batch as the plan takes it."""
        return Config(name=self.name, folder=str(self.folder), jobs=list(self._jobs), **self._settings)

    def plan(self) -> Plan:
        """The expanded plan.

        Raises:
            ConfigError: (a ValueError) unknown needs or duplicate names.
            CyclicDependencyError: jobs that need each other.
        """
        return expand(self.config())

    def run(
        self,
        *,
        on: str = "local",
        workers: int | None = None,
        observers: Sequence[Observer] = (),
        resume: str | None = None,
        **options: Any,
    ) -> Report:
        """Run the batch to its end and return its report. Options as in `run`; `resume` goes on with an earlier run of this batch."""
        return run(self, on=on, workers=workers, observers=observers, resume=resume, **options)


# --- running ----------------------------------------------------------------------------------------


def load(path: str | Path, *, vars: Mapping[str, str] | None = None, strict: bool = False) -> Config:
    """Read and check a batch file, the needs of its jobs as well.

    Raises:
        ConfigError: everything that is wrong with it.
    """
    config = load_with_warnings(path, vars=vars, strict=strict)[0]
    expand(config)
    return config


def load_with_warnings(
    path: str | Path,
    *,
    vars: Mapping[str, str] | None = None,
    strict: bool = False,
) -> tuple[Config, list[Diagnostic]]:
    """Read a batch file and check it job by job; also what is doubtful in it. Whether the jobs hang together is the plan's affair."""
    from joblot.actions.registry import ACTIONS, import_modules
    from joblot.config.load import load as load_file

    return load_file(
        path, vars=vars or {}, lookup=ACTIONS.signature, names=ACTIONS.names, strict=strict, importer=import_modules
    )


def run(
    batch: Batch | Config | str | Path,
    *,
    vars: Mapping[str, str] | None = None,
    observers: Sequence[Observer] = (),
    resume: str | None = None,
    report: str | Path | None = None,
    **options: Any,
) -> Report:
    """Run a batch, a loaded configuration or a batch file to its end.

    `resume` is an earlier run of the same batch to go on with; `report` is a file to write; the rest is `Options`, with
    `timeout` also as a text such as `1h`.

    Raises:
        ConfigError: the batch is wrong; nothing ran.
        StateError: the state folder or its journal cannot be used.
        RunHeldError: another process drives the run.
    """
    if "timeout" in options:
        options["timeout_s"] = _seconds(options.pop("timeout"), "timeout")
    chosen = Options(**options)
    config = batch.config() if isinstance(batch, Batch) else batch
    if isinstance(config, (str, Path)):
        config = load_with_warnings(config, vars=vars, strict=chosen.strict)[0]
    plan = expand(config)
    if resume is not None:
        made = resume_run(resume, chosen, observers=observers, plan=plan)
    else:
        made = start_run(plan, chosen, observers=observers)
    if report is not None:
        made.write(report)
    return made


def start_run(plan: Plan, options: Options, *, observers: Sequence[Observer] = ()) -> Report:
    """Begin a new run of a plan and drive it to its end."""
    clock = SystemClock()
    run_id = options.run_id or new_run_id(clock.wall())
    if not _NAME.fullmatch(run_id) or ".." in run_id:
        raise UsageError(
            f"bad run id `{run_id}`", hint="letters, digits, `.`, `_` and `-`, at most 100, a letter or digit first"
        )
    return _Driver(plan, options, run_id, observers).start()


def resume_run(
    name: str | None,
    options: Options,
    *,
    observers: Sequence[Observer] = (),
    plan: Plan | None = None,
    reopen: Callable[[RunState], Iterable[int]] | None = None,
) -> Report:
    """Go on with a run: everything without a recorded success runs, nothing with one.

    `plan` is needed for runs of Python batches, whose functions cannot be stored. `reopen` chooses the jobs to take back to the
    beginning when the run has ended; by default all that did not succeed.

    Raises:
        StateError: no such run, or it cannot be resumed like this.
        RunHeldError: it is being driven.
    """
    from joblot.journal.folder import StateFolder

    if options.state is False:
        raise UsageError("a run that was kept nowhere cannot be resumed")
    folder = StateFolder(options.state, read_only=True)
    try:
        info = folder.resolve(name)
        stored = folder.journal.plan(info.run_id)
    finally:
        folder.close()
    if plan is None:
        plan = stored_plan(stored, info.run_id)
    elif plan.encoded != stored:
        raise StateError(
            f"run `{info.run_id}` is of another plan than this batch",
            hint="run the batch anew, or bring back what it was",
        )
    return _Driver(plan, options, info.run_id, observers).resume(reopen)


def stored_plan(stored: bytes, run_id: str) -> Plan:
    """The plan of a run, from what the journal keeps.

    Raises:
        StateError: it has jobs that are Python functions, which only their own program has.
    """
    from joblot.config.load import decode

    config = decode(stored)
    if any(spec.function is not None for spec in config.jobs):
        raise StateError(
            f"run `{run_id}` was made by a Python program, which alone has its functions",
            hint="there: `batch.run(resume=...)`",
        )
    if config.imports:
        from joblot.actions.registry import import_modules

        import_modules(list(config.imports))
    return expand(config)


class _Driver:
    """Puts a run together, drives it, and takes it apart again in the right order."""

    def __init__(self, plan: Plan, options: Options, run_id: str, observers: Sequence[Observer]) -> None:
        from joblot.actions.registry import ACTIONS

        self._plan = plan
        self._options = options
        self._run_id = run_id
        self._observers = observers
        self._clock = SystemClock()
        self._slots = _slots(plan, options)
        names = {spec.action for spec in plan.config.jobs if spec.action is not None}
        missing = {name for name in names if ACTIONS.signature(name) is None}
        self._unknown = [n for n, spec in enumerate(plan.config.jobs) if spec.action in missing] if missing else []
        if missing and options.strict:
            hint = did_you_mean(min(missing), ACTIONS.names())
            raise ConfigError(f"unknown action `{min(missing)}`", hint=hint)
        self._folder: StateFolder | None = None
        self._hold: Hold | None = None

    def start(self) -> Report:
        """A new run."""
        at = self._clock.wall()
        # The executor comes first: it forks, and what is forked must not hold the journal's descriptors.
        executor = self._executor()
        try:
            journal = self._open()
            source = self._plan.config.source
            journal.create(
                self._run_id,
                batch=self._plan.config.name,
                source=source,
                jobs=len(self._plan),
                plan=self._plan.encoded,
                at=at,
            )
            self._take_hold()
            state = self._state()
            return self._drive(state, journal, executor, at, lambda now, room: state.start(now, room, **self._words()))
        finally:
            executor.close()
            self._let_go()

    def resume(self, reopen: Callable[[RunState], Iterable[int]] | None) -> Report:
        """An earlier run."""
        from joblot.executors.processes import sweep_cookie
        from joblot.reports.view import RunView

        executor = self._executor()
        try:
            journal = self._open()
            assert self._folder is not None
            self._hold = self._folder.hold(self._run_id)
            sweep_cookie(self._run_id)
            self._hold.attach(self._folder.journal, self._plan.config.durability)
            info = journal.info(self._run_id)
            assert info is not None
            state, view = self._state(), RunView(self._plan.name, len(self._plan))
            for record in journal.records(self._run_id):
                view.apply(record)
                for event in record.events:
                    state.apply(event)
            again = sorted((reopen or _unsuccessful)(state)) if state.ended or reopen is not None else []
            if again:
                record = journal.append(self._run_id, state.reopen(again).events, self._clock.wall())
                view.apply(record)
            if state.ended:
                return self._report(view)
            journal.summarise(self._run_id, status="running", ended_at=None, counts={})
            began = info.started_at
            return self._drive(
                state, journal, executor, began, lambda now, room: state.resume(now, room, **self._words()), view
            )
        finally:
            executor.close()
            self._let_go()

    def _drive(
        self,
        state: RunState,
        journal: Journal,
        executor: Executor,
        began_at: float,
        first: Callable[[float, int], Any],
        view: Any = None,
    ) -> Report:
        from joblot.reports.view import RunView

        view = view or RunView(self._plan.name, len(self._plan))
        interrupts = Interrupts()
        with interrupts:
            if interrupts.fd >= 0:
                executor.wake_on(interrupts.fd)
            engine = Engine(
                run_id=self._run_id,
                state=state,
                journal=journal,
                executor=executor,
                clock=self._clock,
                began_at=began_at,
                observers=[_Feed(view), *self._observers],
                stop_grace_s=self._options.stop_grace_s,
            )
            engine.drive(first(self._clock.now(), engine.capacity), interrupts)
        report = self._report(view)
        journal.summarise(self._run_id, status=report.status, ended_at=self._clock.wall(), counts=report.counts)
        if self._hold is not None:
            report.write(self._hold.folder.report)
        for observer in self._observers:
            observer.ended(report.status)
        return report

    def _report(self, view: Any) -> Report:
        from joblot.reports.report import Report

        log = None
        if self._hold is not None:
            folder = self._hold.folder

            printed = frozenset(path.name for path in folder.logs.iterdir()) if folder.logs.is_dir() else frozenset()

            def log(job: str, attempt: int) -> str:
                if job not in printed:
                    return ""
                path = folder.log_path(job, attempt)
                return str(path) if path.exists() else ""

        return Report(self._plan, view, run_id=self._run_id, log=log)

    def _executor(self) -> Executor:
        kept = self._options.state is not False
        run_dir = None
        if kept:
            from joblot.journal.folder import state_path

            run_dir = state_path(self._options.state or None) / "runs" / self._run_id
        context = RunContext(self._run_id, self._plan, run_dir, self._options.capture)
        if self._options.on == "inline":
            from joblot.executors.inline import InlineExecutor

            return InlineExecutor(context)
        if self._options.on == "local":
            from joblot.executors.local import LocalExecutor

            return LocalExecutor(context, self._slots)
        raise UsageError(f"unknown executor `{self._options.on}`", hint=f"one of: {', '.join(EXECUTORS)}")

    def _open(self) -> Journal:
        if self._options.state is False:
            from joblot.journal.memory import MemoryJournal

            return MemoryJournal()
        from joblot.journal.folder import StateFolder

        self._folder = StateFolder(self._options.state, durability=self._plan.config.durability)
        return self._folder.journal

    def _take_hold(self) -> None:
        if self._folder is not None:
            self._hold = self._folder.hold(self._run_id)
            self._hold.attach(self._folder.journal, self._plan.config.durability)

    def _let_go(self) -> None:
        if self._folder is not None:
            _remove_flat(self._folder.run_folder(self._run_id).path / "live")
        if self._hold is not None:
            self._hold.release()
        if self._folder is not None:
            self._folder.close()

    def _state(self) -> RunState:
        config, options = self._plan.config, self._options
        caps: dict[str, float] = dict(config.limits)
        if options.max_memory is not None:
            caps["memory"] = options.max_memory
        limits = Limits(
            slots=self._slots,
            limits=caps,
            fail_fast=config.fail_fast if options.fail_fast is None else options.fail_fast,
            max_failures=config.max_failures if options.max_failures is None else options.max_failures,
            timeout_s=config.timeout_s if options.timeout_s is None else options.timeout_s,
            seed=self._run_id,
        )
        return RunState(self._plan, limits, unknown_actions=self._unknown)

    def _words(self) -> dict[str, Any]:
        from joblot import __version__
        from joblot.journal.folder import owner

        settings = {"on": self._options.on, "workers": self._slots}
        return {"by": {**owner(), "joblot": __version__}, "settings": settings}


def _remove_flat(folder: Path) -> None:
    """Remove a folder of plain files, if it is there."""
    try:
        for entry in os.scandir(folder):
            Path(entry.path).unlink()
        folder.rmdir()
    except OSError:
        pass  # it was not there, or something holds on to it: the next run of the same id clears it


class _Feed:
    """Keeps the view in step with the journal."""

    def __init__(self, view: Any) -> None:
        self.recorded = view.apply

    def started(self, run_id: str, state: RunState) -> None:
        """Nothing to do."""

    def idle(self) -> None:
        """Nothing to do."""

    def warned(self, message: str) -> None:
        """Nothing to do."""

    def ended(self, status: str) -> None:
        """Nothing to do."""


def _unsuccessful(state: RunState) -> list[int]:
    from joblot.model import CACHED, SUCCESS

    return [job for job, code in enumerate(state.states) if code not in (SUCCESS, CACHED)]


def _slots(plan: Plan, options: Options) -> int:
    if options.on == "inline":
        return 1
    chosen = options.workers or plan.config.max_workers
    return chosen or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else chosen or os.cpu_count() or 1


# --- checking numbers -------------------------------------------------------------------------------


def _at_least(least: int, value: int | None, name: str) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
        raise ConfigError(f"`{name}` must be at least {least}, got {value}")
    return value


def _seconds(value: str | float | None, name: str, *, least: float | None = None) -> float | None:
    if value is None:
        return None
    try:
        seconds = parse_duration(value)
    except ValueError as error:
        raise ConfigError(f"`{name}`: {error}") from None
    if seconds == 0 and least is None:
        raise ConfigError(f"`{name}` must be more than 0")
    return seconds


_RETRIES: Final[dict[int, Retry]] = {}


def _retry(
    max_attempts: int, delay: str | float, backoff: float, max_delay: str | float, jitter: float, only: Iterable[str]
) -> Retry:
    _at_least(1, max_attempts, "max_attempts")
    if delay == 0 and backoff == 1.0 and jitter == 0.0 and not only:
        return _RETRIES.setdefault(max_attempts, Retry(max_attempts))
    if not 1 <= backoff <= 1000:
        raise ConfigError(f"`backoff` must be between 1 and 1000, got {backoff}")
    if not 0 <= jitter <= 1:
        raise ConfigError(f"`jitter` must be between 0 and 1, got {jitter}")
    kinds = tuple(only)
    for kind in kinds:
        if kind not in RETRIABLE:
            raise ConfigError(f"`retry_only`: unknown outcome `{kind}`", hint=f"one of: {', '.join(RETRIABLE)}")
    wait, cap = _seconds(delay, "delay", least=0.0) or 0.0, _seconds(max_delay, "max_delay", least=0.0) or 0.0
    return Retry(max_attempts, wait, backoff, cap, jitter, kinds)


_NO_RESOURCES: Final[dict[str, float]] = {}


def _resources(given: Mapping[str, Any] | None, limits: Mapping[str, int]) -> dict[str, float]:
    if not given:
        return _NO_RESOURCES
    resources: dict[str, float] = {}
    for name, amount in given.items():
        if name == "memory":
            resources[name] = parse_size(amount)
        elif name == "cpu" or name in limits:
            resources[name] = float(amount)
        else:
            raise ConfigError(f"unknown resource `{name}`", hint=did_you_mean(name, ["cpu", "memory", *limits]))
        if resources[name] <= 0 or (name in limits and resources[name] > limits[name]):
            raise ConfigError(f"resource `{name}` must be more than 0 and at most its limit, got {amount}")
    return resources
