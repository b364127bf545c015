"""Puts a run together, drives it, and takes it apart again in the right order.

It knows all the parts: the executor comes first, because it forks and what is forked must not hold the journal's descriptors; then the
journal, the hold on the run, the state, and the engine. It decides nothing about how a run goes.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from joblot.clock import SystemClock, new_run_id
from joblot.engine import STOP_GRACE_S, Engine, Interrupts, Observer
from joblot.errors import ConfigError, StateError, UsageError, did_you_mean
from joblot.executors import RunContext
from joblot.plan import Plan, expand
from joblot.runstate import Limits, RunState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from joblot.executors import Executor
    from joblot.journal import Journal
    from joblot.journal.folder import Hold, StateFolder
    from joblot.reports.report import Report

EXECUTORS: Final = ("local", "inline")
_RUN_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


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


def start_run(plan: Plan, options: Options, *, observers: Sequence[Observer] = ()) -> Report:
    """Begin a new run of a plan and drive it to its end."""
    clock = SystemClock()
    run_id = options.run_id or new_run_id(clock.wall())
    if not _RUN_ID.fullmatch(run_id) or ".." in run_id:
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
            return self._drive(
                state, journal, executor, None, lambda now, room: state.start(now, room, **self._words())
            )
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
            again = (
                sorted((reopen or _unsuccessful)(state)) if state.ended or state.stopping or reopen is not None else []
            )
            if again:
                record = journal.append(self._run_id, state.reopen(again).events, self._clock.wall())
                view.apply(record)
            if state.ended:
                return self._report(view)
            journal.summarise(self._run_id, status="running", ended_at=None, counts={})
            began = view.started_at or info.started_at
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
        began_at: float | None,
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

        config, options = self._plan.config, self._options
        settings = {
            "on": options.on,
            "workers": self._slots,
            "fail_fast": config.fail_fast if options.fail_fast is None else options.fail_fast,
        }
        return {"by": {**owner(), "joblot": __version__, "python": _python_version()}, "settings": settings}


def _python_version() -> str:
    """The version of this Python, such as `3.11.7`."""
    return ".".join(map(str, sys.version_info[:3]))


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
