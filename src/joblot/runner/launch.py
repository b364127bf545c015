"""Puts a run together, drives it, and takes it apart again in the right order.

It knows all the parts: the executor comes first, because it forks and what is forked must not hold the journal's descriptors; then the
journal, the hold on the run, the state, and the engine. It decides nothing about how a run goes.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec.structs import replace

from joblot.clock import SystemClock, day_of, new_run_id
from joblot.cluster.targets import check_on, is_cluster
from joblot.config.load import env_files_of
from joblot.core.events import NOT_SELECTED, RunReopened, RunStarted
from joblot.core.limits import Limits
from joblot.core.model import FINAL, Limit
from joblot.core.numbered import job_problem
from joblot.core.plan import expand
from joblot.core.references import OPENING
from joblot.core.runstate import RunState
from joblot.core.selection import EVERYTHING, Selection, leave_out, unmade_input
from joblot.errors import (
    ConfigError,
    Diagnostic,
    JoblotError,
    RunHeldError,
    RunSkippedError,
    StateError,
    UsageError,
    did_you_mean,
    why_unreadable,
)
from joblot.executors.protocol import RunContext
from joblot.files import read_own, reason_of, remove_own_folder, replace_file, settings, write_atomically
from joblot.garbage import collection_paused
from joblot.journal.codec import NOT_JSON
from joblot.journal.stored_plan import runnable_plan, sound_plan, stored_config
from joblot.reports.view import LiveView
from joblot.runner.engine import Engine, Observer, answers
from joblot.runner.interrupts import Interrupts
from joblot.runner.options import Options, reports_of
from joblot.runner.values import Values

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from joblot.core.carryover import Past
    from joblot.core.commands import Decision
    from joblot.core.fan_out import Making
    from joblot.core.model import JobSpec, Outcome
    from joblot.core.plan import Plan
    from joblot.core.provenance import LastSuccess
    from joblot.executors.protocol import Executor
    from joblot.journal import Journal
    from joblot.journal.claims import Claims
    from joblot.journal.folder import Hold, RunFolder, StateFolder
    from joblot.journal.sqlite import SqliteJournal
    from joblot.outputs import OutputWatch
    from joblot.reports.report import Report
    from joblot.runner.continuing import Continuing
    from joblot.runner.permits import Permits
    from joblot.runner.uptodate import Judge

_NONE_GIVEN: Final[Mapping[str, Any]] = MappingProxyType({})
SELECTION_FILE: Final = "selection.json"
"""Beside a run's events: which jobs were asked for, where not all were, and what else it was begun with."""
MOST_WORKERS: Final = 10_000
_LOOK_BACK: Final = 200
_MOST_TOLD: Final = 5
_LEARN_FROM: Final = 5
"""So many runs of the same batch, among the last so many of all, tell how much memory jobs take."""
_RUN_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def start_run(
    plan: Plan, options: Options, *, observers: Sequence[Observer] = (), given: Mapping[str, Any] = _NONE_GIVEN
) -> Report:
    """Begin a new run of a plan and drive it to its end. `given` are the values of variables that were not the batch's own."""
    run_id = _new_id(options)
    plan = plan.fresh()
    left_out = leave_out(plan, options.selection)
    options = _placed(plan, options, observers)
    _refuse_state_folder(plan, options)
    with _faults_in_one_line():
        return _Driver(plan, options, run_id, observers, given=given, moment=_due_at(plan)).start(left_out)


def _due_at(plan: Plan) -> float:
    """The due time for which a schedule has started the run, in seconds since the epoch; 0: none has."""
    return datetime.fromisoformat(plan.config.scheduled_for).timestamp() if plan.config.scheduled_for else 0.0


def continue_run(
    name: str,
    plan: Plan,
    options: Options,
    *,
    observers: Sequence[Observer] = (),
    given: Mapping[str, Any] = _NONE_GIVEN,
    jobs: Collection[int] = (),
) -> Report:
    """Begin a new run, of another plan, that continues an earlier one: what succeeded there and is as it was does not run again.

    The selection is that of the earlier run. With `jobs` only these run, whatever they did there, what needs them, and what was done there
    and is not as it was.

    Raises:
        StateError: no such run, or another one continues it already.
        RunHeldError: it is being driven, or another run is in the way.
    """
    from joblot.journal.folder import StateFolder
    from joblot.runner.continuing import as_it_was_hint, mark_continued, read_past, refuse_continued

    if options.state is False:
        raise UsageError("a run that was kept nowhere cannot be continued")
    options = _placed(plan, options, observers)
    _refuse_state_folder(plan, options)
    with closing(StateFolder(options.state or None, read_only=True)) as folder:
        info = folder.resolve(name)
        refuse_continued(folder, info.run_id)
        past = read_past(folder.journal, info.run_id)
        _refuse_gone_folder(past.plan.config.folder, info.run_id)
        begun = begun_with(folder, info.run_id)
    selection = begun.selection
    if jobs:
        selection, forced = _only_these(plan, past, jobs, selection)
        options = replace(options, force=forced)
    options = replace(
        options, only=selection.only, upto=selection.upto, from_=selection.from_, exclude=selection.exclude
    )
    plan = plan.fresh()
    try:
        left_out = leave_out(plan, selection)
    except UsageError as error:
        message = f"{error.message}; run `{info.run_id}` was begun with that selection"
        raise UsageError(message, hint=as_it_was_hint(error.hint, info.run_id)) from None
    run_id = _new_id(options)
    with _faults_in_one_line():
        held = _Driver(past.plan.fresh(), replace(options, on="inline", force=()), info.run_id, observers).settle()
        try:
            with closing(StateFolder(options.state or None, read_only=True)) as folder:
                refuse_continued(folder, info.run_id)
            mark_continued(held.folder, run_id)
            driver = _Driver(plan, options, run_id, observers, given=given, continues=info.run_id, moment=begun.moment)
            return driver.start(left_out, begun=held.release)
        finally:
            held.release()


def _new_id(options: Options) -> str:
    run_id = options.run_id or new_run_id(SystemClock().wall())
    if not _RUN_ID.fullmatch(run_id) or ".." in run_id:
        hint = "letters, digits, `.`, `_` and `-`, at most 100, a letter or digit first"
        raise UsageError(f"bad run id `{run_id}`", hint=hint)
    return run_id


def begun_of(name: str, batch: Path, options: Options) -> Begun:
    """What a run of a batch file was begun with."""
    from joblot.journal.folder import DEFAULT, StateFolder

    state = options.state or os.environ.get("JOBLOT_STATE") or batch.absolute().parent / DEFAULT
    with closing(StateFolder(state, read_only=True)) as folder:
        return begun_with(folder, folder.resolve(name).run_id)


def begun_with(folder: StateFolder, run_id: str) -> Begun:
    """What a run was begun with, as its first record says it, or the note that was made before that.

    Raises:
        StateError: the note is damaged.
    """
    first, info = next(iter(folder.journal.records(run_id)), None), folder.journal.info(run_id)
    if first is None:
        begun = _noted(folder.run_folder(run_id).path / SELECTION_FILE)
    else:
        begun = Begun.of(next((event.settings for event in first.events if isinstance(event, RunStarted)), {}))
    return begun if begun.moment or info is None else replace(begun, moment=info.started_at)


def _noted(path: Path) -> Begun:
    try:
        return Begun.of(msgspec.json.decode(read_own(path), type=dict[str, Any]))
    except FileNotFoundError:
        return Begun()  # all jobs were asked for
    except NOT_JSON as error:
        raise StateError(
            f"`{path}` is damaged: {why_unreadable(error)}", hint="nothing has run: begin a new run"
        ) from None


def retry_run(
    name: str,
    plan: Plan,
    options: Options,
    *,
    observers: Sequence[Observer] = (),
    given: Mapping[str, Any] = _NONE_GIVEN,
) -> Report:
    """Run again what did not succeed: in the same run where the plan is as it was, else in a new one that continues it."""
    from joblot.journal.folder import StateFolder
    from joblot.runner.continuing import is_same

    if options.state is False:
        raise UsageError("a run that was kept nowhere cannot be tried again")
    _refuse_choices(options)
    placed = _placed(plan, options, observers)
    with closing(StateFolder(placed.state or None, read_only=True)) as folder:
        info = folder.resolve(name)
        begun = stored_config(sound_plan(folder.journal, info.run_id), info.run_id)
        moment = begun_with(folder, info.run_id).moment
    if plan.config.date:  # of a batch made in Python, which knows of no other run
        day = begun.date if begun.timezone == plan.config.timezone else ""
        plan = expand(replace(plan.config, date=day or day_of(moment, plan.config.timezone)))
    if not is_same(plan.config, begun):
        return continue_run(info.run_id, plan, placed, observers=observers, given=given)

    def unsuccessful(view: LiveView) -> Sequence[int]:
        return view.in_state("failed", "skipped", "cancelled", "aborted")

    of_python = any(spec.function is not None for spec in plan.config.jobs)
    return resume_run(info.run_id, placed, observers=observers, plan=plan if of_python else None, reopen=unsuccessful)


def _only_these(
    plan: Plan, past: Past, jobs: Collection[int], selection: Selection
) -> tuple[Selection, tuple[str, ...]]:
    """The selection that also leaves out what did not succeed and is not to run again, and the names of what is to run in any case.

    Raises:
        UsageError: a job needs one that did not succeed.
    """
    again = dict.fromkeys(jobs)
    for job in (queue := list(again)):  # it grows while it is gone through
        fresh = [other for other in plan.dependents[job] if other not in again]
        again.update(dict.fromkeys(fresh))
        queue += fresh
    out = set(leave_out(plan, selection))
    undone = {
        job
        for job in range(len(plan))
        if not (job in again or job in out or job in plan.finals or past.done(plan.name(job)) is not None)
    }
    for job in again:
        for need in sorted(undone.intersection(plan.needs[job])) if plan.declarations[job].when == "success" else ():
            may_fail = plan.declarations[need].allow_failure and past.was_allowed(plan.name(need))
            if may_fail and not plan.takes_from(job, need):
                continue
            message = f"job `{plan.name(job)}` needs `{plan.name(need)}`, which did not succeed"
            raise UsageError(message, hint=f"`--job {plan.name(need)}` runs it as well")
    exclude = (*selection.exclude, *(plan.name(job) for job in sorted(undone)))
    return replace(selection, exclude=exclude), tuple(plan.name(job) for job in again if job not in out)


def resume_run(
    name: str | None,
    options: Options,
    *,
    observers: Sequence[Observer] = (),
    plan: Plan | None = None,
    reopen: Callable[[LiveView], Sequence[int]] | None = None,
) -> Report:
    """Go on with a run: everything without a recorded success runs, nothing with one.

    `plan` is needed for runs of Python batches, whose functions cannot be stored. `reopen` chooses the jobs to take back to the
    beginning when the run has ended; by default all that did not succeed.

    Raises:
        StateError: no such run, or it cannot be resumed like this.
        RunHeldError: it is being driven.
    """
    from joblot.journal.folder import StateFolder, state_path
    from joblot.runner.continuing import refuse_continued

    if options.state is False:
        raise UsageError("a run that was kept nowhere cannot be resumed")
    _refuse_choices(options)
    if plan is not None:
        options = _placed(plan, options, observers)
    else:  # settled before a module of the batch is imported, which may do anything to this process
        options = replace(options, state=state_path(options.state or None))
    folder = StateFolder(options.state or None, read_only=True)
    try:
        info = folder.resolve(name)
        refuse_continued(folder, info.run_id)
        stored = sound_plan(folder.journal, info.run_id)
    finally:
        folder.close()
    if plan is None:
        plan = runnable_plan(stored, info.run_id, refuse=_refuse_gone_folder)
    else:
        plan = _as_begun(plan, stored, info.run_id)
        _refuse_gone_folder(plan.config.folder, info.run_id)
    plan.encoded = stored  # a run that was killed before its first record tells its fingerprint only now, and it is that of what is stored
    with _faults_in_one_line():
        return _Driver(plan, options, info.run_id, observers).resume(reopen)


def _refuse_gone_folder(folder: str, run_id: str) -> None:
    """A run goes on where it was: its folder would be made anew for what it puts back and makes, and the batch may have been moved.

    Raises:
        StateError: the folder is not there.
    """
    if not os.path.isdir(folder):  # noqa: PTH112 - as it stands in the plan
        hint = "move it back, or begin a new run: that puts back what this one was making"
        raise StateError(f"the folder of run `{run_id}` is not there: `{folder}`", hint=hint)


def _refuse_choices(options: Options) -> None:
    """What is chosen when a run begins is not chosen again when it goes on, or is continued by another one."""
    if options.wait:
        raise UsageError("`wait` is for a run that begins: one that goes on does not wait for another")
    if options.selection:
        raise UsageError(
            "which jobs take part in a run is said when it begins, and cannot be said again when it goes on",
            hint="`joblot retry RUN --job NAME` takes in a job that was left out",
        )


def _unmade_input(plan: Plan, left_out: Collection[int]) -> list[str]:
    """What is to be told of input that is read as it is, because what makes it was not selected.

    Raises:
        UsageError: it is not there.
    """
    told = []
    for job, need, path in unmade_input(plan, left_out):
        name, maker = plan.name(job), plan.name(need)
        try:
            changed = datetime.fromtimestamp(Path(plan.config.folder, path).stat().st_mtime).astimezone()
        except OSError:
            message = f"job `{name}` reads `{path}`, which is not there; `{maker}`, which makes it, is not selected"
            raise UsageError(message, hint=f"`--upto {name}` runs both") from None
        told.append(
            f"{name} reads `{path}` as it is, of {changed:%Y-%m-%d %H:%M:%S}: `{maker}`, which makes it, is not selected"
        )
    if len(told) > _MOST_TOLD:
        more = f"{len(told) - _MOST_TOLD} more jobs read what is there, because what makes it is not selected"
        told[_MOST_TOLD:] = [more]
    return told


def _as_begun(plan: Plan, stored: bytes, run_id: str) -> Plan:
    """The plan of a batch made in Python, by the rules and with the day that its run began with.

    Raises:
        StateError: the run is of another plan.
    """
    if plan.encoded == stored:
        return plan.fresh()
    # The bytes alone may differ: an earlier joblot wrote out some fields that are as when they are left out.
    begun = stored_config(stored, run_id)
    config = replace(plan.config, date=begun.date) if plan.config.date else plan.config
    if not begun.rules:
        config = replace(config, rules=0, jobs=[replace(spec, needs_none=False) for spec in config.jobs])
    if stored_config(expand(config).encoded, run_id) != begun:
        hint = "run the batch anew, or bring back what it was"
        raise StateError(f"run `{run_id}` is of another plan than this batch", hint=hint)
    return expand(config)


def _placed(plan: Plan, options: Options, observers: Sequence[Observer]) -> Options:
    """The options with the batch's state folder in them, if anything is kept on disk."""
    if options.state is False:
        return options
    from joblot.journal.place import state_of

    def warn(message: str) -> None:
        for observer in observers:
            observer.warned(message)

    return replace(options, state=state_of(plan.config, options.state, warn))


def _refuse_state_folder(plan: Plan, options: Options) -> None:
    """What a run keeps of itself is no output: half of it would be kept, moved aside and put back like one.

    Raises:
        ConfigError: an output is the state folder, lies in it or around it.
    """
    if options.state is False or not any(spec.outputs for spec in plan.config.jobs):
        return
    from joblot.journal.folder import state_path

    state, folder = str(state_path(options.state or None)), plan.config.folder
    states = [f"{path}/" for path in dict.fromkeys((state, os.path.realpath(state)))]
    beginnings = tuple(os.path.relpath(path, folder).partition("/")[0] for path in states)
    for spec in plan.config.jobs:
        for path in spec.outputs:
            # Most are told by how they begin; a million paths would take a second to be compared.
            if not path.startswith(("/", ".", *beginnings)) and "/.." not in path:
                continue
            known = path.partition(OPENING)[0]
            whole = os.path.normpath(f"{folder}/{known}" if known[:1] != "/" else known) + "/" * (
                known == path or known.endswith("/")
            )
            if any(whole.startswith(one) or (known == path and one.startswith(whole)) for one in states):
                message = (
                    f"output `{path}` of job `{spec.name}` is the state folder `{state}`, or lies in it or around it"
                )
                problem = job_problem("output_conflict", spec, message, hint="`--state` takes another folder")
                raise ConfigError([problem])


class Begun(msgspec.Struct, frozen=True):
    """What a run is begun with, as far as a process that goes on with it has to know: it stands in the run's first record."""

    selection: Selection = EVERYTHING
    force: tuple[str, ...] = ()
    """Jobs that run though they were done in the run that this one continues."""
    continues: str = ""
    given: dict[str, Any] = {}
    moment: float = 0.0
    """When the first of the runs that continue each other began, or was due, in seconds since the epoch: the day of `run.date`; 0: when this run began."""
    scheduled: bool = False
    """Whether a schedule has started it for that instant."""

    def as_settings(self) -> dict[str, Any]:
        """What is not as it mostly is, by the names of the first record."""
        settings: dict[str, Any] = msgspec.to_builtins(self.selection)
        for name in ("force", "continues", "given", "moment", "scheduled"):
            if value := getattr(self, name):
                settings[name] = msgspec.to_builtins(value)
        return settings

    @staticmethod
    def of(settings: Mapping[str, Any]) -> Begun:
        """As `as_settings` gave it.

        Raises:
            msgspec.ValidationError: it is something else.
        """
        continues = settings.get("continues", "")
        force = tuple(settings.get("force", ())) if continues else ()
        fields = {word: settings[word] for word in ("only", "upto", "from", "exclude") if word in settings}
        selection = msgspec.convert(fields, Selection)
        moment, scheduled = settings.get("moment", 0.0), settings.get("scheduled", False)
        return Begun(selection, force, continues, settings.get("given", {}), moment, scheduled)


class _Driver:
    """One run in this process, from the parts that it needs to its report."""

    def __init__(
        self,
        plan: Plan,
        options: Options,
        run_id: str,
        observers: Sequence[Observer],
        *,
        given: Mapping[str, Any] = _NONE_GIVEN,
        continues: str = "",
        moment: float = 0.0,
    ) -> None:
        from joblot.actions.registry import ACTIONS

        self._plan = plan
        self._options = options
        self._run_id = run_id
        self._observers = observers
        self._clock = SystemClock()
        self._on = check_on(options.on)
        self._slots = _slots(plan, options)
        self._most_memory = 0
        self._max_memory = plan.config.max_memory if options.max_memory is None else options.max_memory
        self._actions = {spec.action for spec in plan.config.jobs if spec.action is not None}
        missing = {name for name in self._actions if ACTIONS.signature(name) is None}
        self._unknown = [n for n, spec in enumerate(plan.declarations) if spec.action in missing] if missing else []
        self._folder: StateFolder | None = None
        self._hold: Hold | None = None
        judged = [job for job, spec in enumerate(plan.declarations) if spec.outputs or spec.cache]
        makes = any(plan.declarations[job].outputs for job in judged)
        self._checkable = judged if options.state is not False else []
        self._watch = self._make_watch() if judged else None
        self._judge: Judge | None = None
        self._env_files = env_files_of(plan.config)
        scheduled = bool(plan.config.scheduled_for)
        self._begun = Begun(
            options.selection, options.force if continues else (), continues, dict(given), moment, scheduled
        )
        self._carry: Continuing | None = None
        takes_turns = makes or plan.config.concurrency or plan.config.schedule
        self._claims = self._unclaimed(makes=makes) if takes_turns else None
        self._permits: Permits | None = None
        self._shared: tuple[str, ...] = ()
        self._left_out: Sequence[int] = ()
        self._has_put_back = False
        self._told_in: Path | None = None
        """The folder of what jobs of `finally` are given, of a run that is kept nowhere."""

    def start(self, left_out: Sequence[int], *, begun: Callable[[], None] = lambda: None) -> Report:
        """A new run, without the jobs that are left out. `begun` is called when the journal knows of it."""
        if not self._options.skip_unknown_actions:
            self._refuse_unknown_actions(self._unknown)
        self._left_out = left_out
        self._refuse_env_files(left_out)
        self._refuse_own_files()
        told, refused = self._look_at_files()
        if refused is not None and not self._may_put_back():
            raise refused
        at = self._clock.wall()
        executor = None
        try:
            self._share_limits()
            self._take_turn()
            last_successes = self._read_last_successes() if self._watch is not None else {}
            if self._has_put_back:  # what killed runs were making was looked at
                told, refused = self._look_at_files()
            if refused is not None:
                raise refused
            for line in told:
                self._warn(line)
            # How much can run at once is known of a cluster only when it is there.
            executor = self._executor(self._on) if is_cluster(self._on) else None
            state = self._state()
            is_decided = bool(self._checkable) or self._begun.continues
            first = self._decide_ahead(state, last_successes) if is_decided else self._first(state)
            # The executor comes first: it forks, and what is forked must not hold the journal's descriptors. For nothing, nothing is forked.
            executor = executor or self._executor("inline" if state.ended else self._on)
            journal = self._open()
            if self._watch is None and self._folder is not None:
                self._put_back(self._folder)
            if self._claims is not None:
                with self._skipping():
                    self._claims.take_in_state()
            self._take_hold()
            self._refuse_what_has_events(journal)
            self._note_begun(journal)
            config, plan, jobs = self._plan.config, self._plan.encoded, len(self._plan) - len(left_out)
            journal.create(self._run_id, batch=config.name, source=config.source, jobs=jobs, plan=plan, at=at)
            self._attach(plan)
            begun()
            return self._drive(state, LiveView(self._plan), journal, executor, None, first)
        finally:
            if executor is not None:
                executor.close()
            self._release()

    def _refuse_env_files(self, left_out: Collection[int]) -> None:
        """What files set must be known before anything runs; those of jobs that do not take part may be missing."""
        if self._env_files is not None:
            declared = self._plan.declarations
            named = [job for job in range(len(self._plan)) if declared[job].env_file]
            out = set(left_out)
            self._env_files.refuse([declared[job] for job in named if job not in out])
            for told in self._env_files.too_open():
                self._warn(told)

    def _look_at_files(self) -> tuple[list[str], JoblotError | None]:
        """What is to be told of input that is read as it is, and why the run cannot begin with the files that are there."""
        try:
            told = _unmade_input(self._plan, self._left_out) if self._left_out else []
            if self._claims is not None:
                from joblot.runner.links import refuse_links

                refuse_links(self._plan, self._left_out)
        except (ConfigError, UsageError) as refused:
            return [], refused
        return told, None

    def _may_put_back(self) -> bool:
        """Whether a killed run has left something under the names of its outputs."""
        from joblot.journal.folder import past_runs
        from joblot.runner.killed import killed_runs

        if self._options.state is False:
            return False
        with past_runs(self._options.state or None) as folder:
            return folder is not None and bool(killed_runs(folder, self._plan.config))

    def _put_back(self, folder: StateFolder) -> None:
        """Put back what killed runs but this one were making."""
        if folder.journal.open_runs():
            from joblot.runner.killed import killed_runs, settle

            for run_id in killed_runs(folder, self._plan.config):
                if run_id != self._run_id:
                    self._has_put_back = True
                    settle(folder, run_id, self._plan.config, self._warn, self._claims)

    def _lost_actions(self, view: LiveView, again: Sequence[int]) -> list[int]:
        """The jobs that would run but for their action, which was known when the run began: what it skipped then was to be skipped."""
        to_run = [job for job in self._unknown if job in again or view.state(job) not in ("success", "cached")]
        return [job for job in to_run if view.facts(job).reason not in ("unknown_action", NOT_SELECTED)]

    def _refuse_unknown_actions(self, jobs: Sequence[int]) -> None:
        if jobs and (problems := unknown_actions(self._plan.declarations[job] for job in jobs)):
            raise ConfigError(problems)

    def _first(self, state: RunState) -> Callable[[float, int], Decision]:
        """What a run begins with."""

        def first(now: float, room: int) -> Decision:
            said = self._run_settings()
            said["settings"] |= self._begun.as_settings()
            return state.start(now, room, left_out=self._left_out, **said)

        return first

    def _decide_ahead(
        self, state: RunState, last_successes: dict[str, LastSuccess]
    ) -> Callable[[float, int], Decision]:
        """What a run begins with, decided before there is an executor or a journal: perhaps nothing has to run."""
        from joblot.journal.folder import past_runs

        judge = self._make_judge(state, last_successes) if self._watch is not None else None
        carry = None
        if self._begun.continues:
            with past_runs(self._options.state or None) as folder:
                assert folder is not None
                carry = self._make_carry(state, folder.journal)
        decision = self._first(state)(self._clock.now(), self._slots)
        if carry is not None:
            carry.apply(decision.events)
        for following in answers(decision, state, judge, self._clock.now, lambda: self._slots, carry):
            decision.events += following.events
            decision.starts, decision.asks = following.starts, following.asks
            if carry is not None:
                carry.apply(following.events)
        decision.checks = []
        return lambda _now, _room: decision

    def _read_last_successes(self) -> dict[str, LastSuccess]:
        """The last successes of the jobs in earlier runs; the journal is closed again. What killed runs were making is as before by then."""
        from joblot.journal.folder import StateFolder, past_runs
        from joblot.runner.uptodate import batch_key

        if self._options.state is False:
            return {}
        with past_runs(self._options.state or None) as folder:
            if folder is None:
                return {}
            if not folder.journal.open_runs():
                return folder.journal.last_successes(batch_key(self._plan))
        folder = StateFolder(self._options.state or None, network_ok=self._options.allow_network_fs)
        try:
            self._put_back(folder)
            return folder.journal.last_successes(batch_key(self._plan))
        finally:
            folder.close()

    def _make_judge(
        self, state: RunState, last_successes: dict[str, LastSuccess], force: Sequence[str] | None = None
    ) -> Judge:
        from joblot.runner.uptodate import LASTING_ID, Judge, matching

        values = Values(self._plan, state, LASTING_ID)
        forced = matching(self._plan, force if force is not None else self._begun.force or self._options.force)
        assert self._watch is not None
        lost = [name for name, kept in last_successes.items() if not kept.parts]
        if lost:
            others = f" and {len(lost) - 1} more jobs" if len(lost) > 1 else ""
            self._warn(f"what was kept of `{lost[0]}`{others} cannot be read: nobody can tell whether it is up to date")
        self._judge = Judge(
            self._plan,
            last_successes,
            self._watch.hashes,
            values.of,
            forced=forced,
            env_files=self._env_files,
            warn=self._warn,
        )
        return self._judge

    def _make_carry(self, state: RunState, journal: SqliteJournal) -> Continuing:
        """What is carried over from the run that this one continues."""
        from joblot.runner.continuing import Continuing, read_past

        past = read_past(journal, self._begun.continues)
        self._carry = Continuing(self._plan, state, past, judge=self._judge, forced=self._begun.force, warn=self._warn)
        return self._carry

    def settle(self) -> Hold:
        """End what an earlier run has left behind when it was killed, and hold it while another one is begun that continues it."""
        from joblot.executors.processes import sweep

        try:
            journal = self._open()
            self._take_hold()
            sweep(str(self._run_dir()))
            self._await_other_cluster()
            self._attach()
            state, view = self._state(), LiveView(self._plan)
            self._replay(journal, state, view)
            if self._claims is not None:
                self._claims.take(self._plan.makings())
                self._claims.take_in_state()
            if self._checkable:
                from joblot.runner.uptodate import batch_key

                journal.save_last_successes(batch_key(self._plan), ())
                made = journal.last_successes(batch_key(self._plan))
                self._make_judge(state, made, ())
                assert self._watch is not None
                self._watch.settle(self._clear_after_crash(state, made, view.started_at or 0.0))
            hold, self._hold = self._hold, None
            assert hold is not None
            return hold
        finally:
            self._release()

    def _clear_after_crash(
        self, state: RunState, made: Mapping[str, LastSuccess], began_at: float
    ) -> list[tuple[int, int]]:
        """Nobody saw the end of what ran when the runner died: nothing half made may keep its final name. Returns those attempts."""
        from joblot.runner.killed import open_attempts

        assert self._watch is not None
        attempts = open_attempts(state, made)
        for wrong in self._watch.clear_after_crash(attempts, began_at):
            self._warn(wrong)
        return [(job, number) for job, number, _ in attempts]

    def _noted_only(self, state: RunState, view: LiveView, made: Mapping[str, LastSuccess]) -> list[Outcome]:
        """The attempts that ended well, as the notes for later runs say, and of which the record is missing: the kill came in between."""
        from joblot.core.model import Artifact, Outcome
        from joblot.runner.killed import open_attempts
        from joblot.runner.uptodate import is_json

        assert self._watch is not None
        found = []
        for job, number, left in open_attempts(state, made):
            last = made.get(self._plan.name(job))
            # A later attempt may follow one of this run that ended well and was taken back.
            is_of_it = last is not None and last.run == self._run_id and number == 1
            if last is not None and is_of_it and is_json(last.result) and self._watch.are_as(job, left):
                wall_s = round(max(0.0, last.at - (view.facts(job).began_at or last.at)), 6)
                artifacts = tuple(Artifact(fact.path, fact.size, fact.sha256) for fact in left)
                found.append(Outcome(job, number, "ok", wall_s=wall_s, result=last.result, artifacts=artifacts))
        return found

    def resume(self, reopen: Callable[[LiveView], Sequence[int]] | None) -> Report:
        """An earlier run."""
        from joblot.executors.processes import sweep

        if self._env_files is not None:
            self._env_files.refuse(())  # those of all jobs, which executors must know
        self._refuse_own_files()
        executor = None
        try:
            self._share_limits()
            executor = self._executor(self._on)
            journal = self._open()
            assert self._folder is not None
            self._take_hold()
            sweep(str(self._run_dir()))
            self._await_other_cluster()
            if self._permits is not None:
                self._permits.forget_earlier()
            self._attach()
            info = journal.info(self._run_id)
            if info is None:
                raise StateError(f"run `{self._run_id}` was cleared up meanwhile")
            self._begun = begun_with(self._folder, self._run_id)
            state, view = self._state(), LiveView(self._plan)
            force = self._replay(journal, state, view)
            began_at = view.started_at or info.started_at
            if self._claims is not None:  # only now it is known what the plan has grown to
                self._claims.take(self._plan.makings())
                self._claims.take_in_state()
            self._put_back(self._folder)
            noted: list[Outcome] = []
            if self._checkable:
                from joblot.runner.uptodate import batch_key

                journal.save_last_successes(batch_key(self._plan), ())  # what was noted of them when the runner died
                made = journal.last_successes(batch_key(self._plan))
                self._make_judge(state, made, force)
                self._clear_after_crash(state, made, began_at)
                noted = self._noted_only(state, view, made)
            if self._begun.continues:
                carry = self._make_carry(state, self._folder.journal)
                for past in journal.records(self._run_id):
                    carry.apply(past.events)
            if force is None:  # killed before its first record: nothing has begun
                self._refuse_unknown_actions(self._unknown)
                self._left_out = leave_out(self._plan, self._begun.selection)
                self._refuse_env_files(self._left_out)
                return self._drive(state, view, journal, executor, None, self._first(state))
            again = reopen(view) if reopen else _unsuccessful(state) if state.ended or state.stopping else ()
            reopened = state.reopen(again).events if again else []
            taken_back = [job for event in reopened if isinstance(event, RunReopened) for job in event.jobs]
            self._refuse_unknown_actions(self._lost_actions(view, taken_back))
            self._refuse_env_files([job for job, code in enumerate(state.states) if code in FINAL])
            worked_s = view.worked_s
            if reopened:
                view.apply(journal.append(self._run_id, reopened, self._clock.wall()))
            if state.ended:
                return self._finish_report(journal, view, view.ended_at)
            journal.requests(self._run_id)  # what was asked of the process that is gone
            journal.summarise(self._run_id, status="running", ended_at=None, counts={})

            def first(now: float, room: int) -> Decision:
                elapsed_s = max(0.0, self._clock.wall() - began_at)  # no other clock goes on between two processes
                settings = self._run_settings()
                return state.resume(now, room, elapsed_s=elapsed_s, worked_s=worked_s, noted=noted, **settings)

            return self._drive(state, view, journal, executor, began_at, first)
        finally:
            if executor is not None:
                executor.close()
            self._release()

    def _replay(self, journal: Journal, state: RunState, view: LiveView) -> list[str] | None:
        """Apply all records. Returns which jobs the run was begun with `force` for; None when nothing is recorded."""
        force: list[str] | None = None
        for record in journal.records(self._run_id):
            view.apply(record)
            force = force or []
            for event in record.events:
                state.apply(event)
                if isinstance(event, RunStarted):
                    force = event.settings.get("force", [])
        return force

    def _await_other_cluster(self) -> None:
        """Where the run goes on now, nobody can be asked what a killed process has left on the cluster that it used: that ends by itself."""
        from joblot.cluster.session import read

        noted = read(self._run_dir())
        if noted is not None and noted.open and noted.on != self._on:
            from joblot.runner.killed import ELSEWHERE_S

            self._warn(
                f"the run was on `{noted.on}` when its runner was killed: waiting {ELSEWHERE_S:g} s for what may still end there"
            )
            time.sleep(ELSEWHERE_S)

    @collection_paused()
    def _drive(
        self,
        state: RunState,
        view: LiveView,
        journal: Journal,
        executor: Executor,
        began_at: float | None,
        first: Callable[[float, int], Decision],
    ) -> Report:
        interrupts, began_cpu_s = Interrupts(), time.process_time()
        with interrupts:
            if self._permits is not None:
                if interrupts.fd >= 0:
                    self._permits.wake.register(interrupts.fd)
                executor.wake_on(self._permits.wake.fileno())
            elif interrupts.fd >= 0:
                executor.wake_on(interrupts.fd)
            engine = Engine(
                run_id=self._run_id,
                state=state,
                journal=journal,
                executor=executor,
                clock=self._clock,
                began_at=began_at,
                view=view,
                observers=self._observers,
                stop_grace_s=self._options.stop_grace_s,
                disk_wait_s=self._options.disk_wait_s,
                watch=self._watch,
                judge=self._judge,
                carry=self._carry,
                known=self._known,
                claim=self._claim,
                permits=self._permits,
                tell=lambda: self._tell(view),
                env_files=self._env_files,
            )
            engine.drive(first(self._clock.now(), engine.capacity), interrupts)
        if self._watch is not None:
            self._watch.close(ended=state.ended)
        report = self._finish_report(journal, view, self._clock.wall(), time.process_time() - began_cpu_s)
        self._clear_up()
        for observer in self._observers:
            observer.ended(report.status)
        return report

    def _clear_up(self) -> None:
        """Have runs go that are not wanted any more, if the user's settings say which."""
        if self._folder is None:
            return
        try:
            asked = "retention" in settings()
        except StateError as error:
            self._warn(error.message)
            return
        if asked:
            from joblot.journal.prune import prune_at_end

            prune_at_end(self._folder, lambda error: self._warn(f"nothing was cleared up: {error.message}"))

    def _finish_report(self, journal: Journal, view: LiveView, ended_at: float | None, cpu_s: float = 0.0) -> Report:
        """What is kept of a run that has ended, beside its events. `cpu_s` is what this process took, jobs that it ran itself included."""
        report = self._report(view)
        report.own_cpu_s = max(0.0, cpu_s - (view.cpu_s if self._on == "inline" else 0.0))
        journal.summarise(self._run_id, status=report.status, ended_at=ended_at, counts=report.listed_counts)
        if self._hold is not None:
            try:
                report.keep(self._hold.folder.report)
            except OSError as error:  # the journal has all that it says
                self._warn(f"cannot write `{self._hold.folder.report}`: {reason_of(error)}")
        return report

    def _tell(self, view: LiveView) -> dict[str, str]:
        """How the run went, for the environment of the jobs of `finally`: in a word, as a report, and as a short text."""
        from joblot.reports.report import Report
        from joblot.reports.tail import last_printed
        from joblot.reports.text import closing

        folder = self._hold.folder if self._hold is not None else self._folder_to_tell_in()
        log = folder.log if self._hold is not None else None
        report = Report(self._plan, view, run_id=self._run_id, log=log, settled=True)
        text = [f"Run {self._run_id}\n{closing(report, printed=last_printed)}\n".encode(errors="replace")]
        as_data, as_text = folder.settled
        try:
            if self._hold is not None:
                report.keep(as_data)
                replace_file(as_text, text)
            else:
                report.write(as_data)
                write_atomically(as_text, text)
        except (OSError, JoblotError) as error:
            reason = error.message if isinstance(error, JoblotError) else reason_of(error)
            self._warn(f"jobs of `finally` are not told how the run went: {reason}")
            return {"JOBLOT_STATUS": view.settled}
        return folder.told(view.settled)

    def _folder_to_tell_in(self) -> RunFolder:
        """A folder that goes with this process, of a run that is kept nowhere."""
        from tempfile import mkdtemp

        from joblot.journal.folder import RunFolder

        self._told_in = Path(mkdtemp(prefix="joblot-"))
        return RunFolder(self._told_in)

    def _report(self, view: LiveView) -> Report:
        from joblot.reports.report import Report

        if self._hold is None:
            return Report(self._plan, view, run_id=self._run_id)
        folder = self._hold.folder
        return Report(self._plan, view, run_id=self._run_id, log=folder.log, state=folder.path.parents[1])

    def _make_watch(self) -> OutputWatch:
        from joblot.journal.place import shared_folder
        from joblot.outputs import Hashes, OutputWatch

        run_dir = self._run_dir()
        apart = [] if run_dir is None else [run_dir.parents[1]]
        plan = self._plan
        hashes = Hashes(
            plan.config.folder,
            [shared_folder(), *apart, *self._options.written, *reports_of(self._plan.config)],
            plan.is_made,
        )
        return OutputWatch(plan, run_dir, hashes)

    def _refuse_own_files(self) -> None:
        """Make sure that no file that is written about the run takes the place of its batch, or lies among what is recorded.

        Raises:
            UsageError: one would.
        """
        written = [*self._options.written, *reports_of(self._plan.config)]
        if not written:
            return
        config, run_dir = self._plan.config, self._run_dir()
        batch = {os.path.realpath(path) for path in (config.source, *config.files) if path}
        for path in written:
            real = os.path.realpath(path)
            if real in batch:
                raise UsageError(
                    f"`{path}` is the batch file: it would be replaced", hint="name another file to write to"
                )
            if run_dir is not None and Path(real).is_relative_to(os.path.realpath(run_dir.parents[1])):
                raise UsageError(
                    f"`{path}` lies in the state folder, which is joblot's own", hint="name another file to write to"
                )

    def _run_dir(self) -> Path | None:
        if self._options.state is False:
            return None
        from joblot.journal.folder import state_path

        return state_path(self._options.state or None) / "runs" / self._run_id

    def _executor(self, on: str) -> Executor:
        options = self._options
        self._known = len(self._plan)
        context = RunContext(
            self._run_id, self._plan, self._run_dir(), options.capture, max_log=options.max_log, warn=self._warn
        )
        if self._env_files is not None:
            context.from_files, context.environments = self._env_files.of_batch, self._env_files.environments
        if self._permits is not None:
            context.kept_open = (self._permits.fd,)
        context.max_memory = self._max_memory or 0
        context.observed = any(
            hasattr(observer, "of_program") or not type(observer).__module__.startswith("joblot.")
            for observer in self._observers
        )
        if on == "inline":
            if context.max_memory and self._on == "inline":
                self._warn("`max_memory` is not held with `--on inline`: nothing is ended that passes it")
            from joblot.executors.inline import InlineExecutor

            return InlineExecutor(context)
        if on == "local":
            from joblot.executors.local import LocalExecutor

            return LocalExecutor(context, self._slots)
        return self._on_cluster(context)

    def _on_cluster(self, context: RunContext) -> Executor:
        from joblot.cluster.connect import open_cluster
        from joblot.cluster.dask import DaskExecutor
        from joblot.cluster.settings import read_settings

        most = self._options.workers or self._plan.config.max_workers
        cluster = open_cluster(self._on, read_settings(self._options.cluster), self._slots)
        executor = DaskExecutor(context, cluster, most)
        self._slots, self._most_memory = executor.slots, executor.most_memory
        return executor

    def _open(self) -> Journal:
        if self._options.state is False:
            from joblot.journal.memory import MemoryJournal

            return MemoryJournal()
        from joblot.journal.folder import StateFolder

        self._folder = StateFolder(
            self._options.state, durability=self._plan.config.durability, network_ok=self._options.allow_network_fs
        )
        return self._folder.journal

    @property
    def _on_conflict(self) -> str:
        """What happens when another run is in the way."""
        concurrency = self._plan.config.concurrency
        if self._begun.continues:
            return "fail"
        if self._options.wait:
            return "wait"
        usual = "skip" if self._plan.config.scheduled_for else "fail"
        return (concurrency.on_conflict if concurrency else "") or usual

    def _take_turn(self) -> None:
        """Claim what a new run claims, before anything is looked at that another run may be making."""
        if self._claims is None:
            return
        if not self._begun.continues:
            self._claims.hint = "wait for its end with `--wait`"
        wait = self._tell_of_wait if self._on_conflict == "wait" else None
        with self._skipping():
            seen_by_all = self._claims.take(self._plan.makings(), wait=wait)
            if wait is not None:
                self._claims.take_in_state(wait=wait)
        concurrency = self._plan.config.concurrency
        if concurrency and concurrency.group and not seen_by_all:
            from joblot.journal.place import shared_folder

            what = f"group `{' '.join(concurrency.group.split())}` holds among the runs of this state folder only"
            self._warn(f"{what}: `{shared_folder()}` cannot be used")

    def _tell_of_wait(self, held: RunHeldError) -> None:
        self._warn(f"waiting: {held.message}")

    @contextmanager
    def _skipping(self) -> Iterator[None]:
        """Another run in the way leaves this one out, where the batch asks for that."""
        try:
            yield
        except RunHeldError as held:
            if self._on_conflict != "skip":
                raise
            raise RunSkippedError(held.message, hint=held.hint) from None

    def _unclaimed(self, *, makes: bool) -> Claims:
        """The claims of the run, before any is taken."""
        from joblot.journal.claims import Claims
        from joblot.journal.folder import state_path

        config, state = self._plan.config, self._options.state
        folder = None if state is False else state_path(state)
        group = config.concurrency.group if config.concurrency else ""
        return Claims(self._run_id, batch=config.name, folder=config.folder, state=folder, group=group, makes=makes)

    def _share_limits(self) -> None:
        """Take part in the limits of the machine that jobs ask for."""
        config = self._plan.config
        shared = {
            name: limit
            for name, limit in config.limits.items()
            if isinstance(limit, Limit)
            and limit.across == "machine"
            and any(name in spec.resources for spec in config.jobs)
        }
        if shared:
            from joblot.runner.killed import ELSEWHERE_S
            from joblot.runner.permits import Permits

            self._permits = Permits(
                self._run_id,
                batch=config.name,
                cookie=RunContext(self._run_id, self._plan, self._run_dir()).cookie,
                limits=shared,
                lingers_s=ELSEWHERE_S if is_cluster(self._on) else 0.0,
            )
            self._shared = tuple(shared)

    def _claim(self, making: Making) -> None:
        if self._claims is not None:
            self._claims.add(making)

    def _take_hold(self) -> None:
        if self._folder is not None:
            self._hold = self._folder.hold(self._run_id)

    def _refuse_what_has_events(self, journal: Journal) -> None:
        """A run that the journal has lost must not be written on as a new one."""
        if self._hold is not None and self._hold.folder.events.exists() and journal.info(self._run_id) is None:
            hint = f"the journal has lost it, its files have not: `joblot recover {self._run_id}`"
            raise StateError(f"run `{self._run_id}` exists already", hint=hint)

    def _note_begun(self, journal: Journal) -> None:
        """Keep what the run is begun with where a resume finds it, if this process is killed before the run's first record."""
        if self._hold is None or journal.info(self._run_id) is not None:  # that run keeps its own
            return
        path = self._hold.folder.path / SELECTION_FILE
        noted = self._begun.as_settings()
        if noted:
            replace_file(path, [msgspec.json.encode(noted)])
        else:
            path.unlink(missing_ok=True)  # of a run of the same id that never began

    def _attach(self, plan: bytes = b"") -> None:
        if self._folder is None or self._hold is None:
            return
        aside = self._hold.attach(self._folder.journal, self._plan.config.durability, plan=plan)
        if aside is not None:
            name = self._hold.folder.events.name
            self._warn(f"the run's own `{name}` was damaged; it was made again, the old one is kept as `{aside}`")

    def _warn(self, message: str) -> None:
        for observer in self._observers:
            observer.warned(message)

    def _pass_over(self, error: StateError) -> None:
        """Tell of another run that cannot be read: this one goes on without what it would have said."""
        self._warn(f"{error.message}; {error.hint}")

    def _release(self) -> None:
        if self._watch is not None:
            self._watch.close(ended=False)
        if self._hold is not None:
            # Whoever does not hold the run must leave these to the one who does.
            remove_own_folder(self._hold.folder.path / "live")
            self._hold.release()
        if self._told_in is not None:
            remove_own_folder(self._told_in)
        if self._claims is not None:
            self._claims.close()
        if self._permits is not None:
            self._permits.close()
        if self._folder is not None:
            self._folder.close()

    @collection_paused()
    def _state(self) -> RunState:
        config, options = self._plan.config, self._options
        limits = Limits(
            slots=self._slots,
            named=dict(self._plan.limits),
            shared=self._shared,
            fail_fast=config.fail_fast if options.fail_fast is None else options.fail_fast,
            max_failures=config.max_failures if options.max_failures is None else options.max_failures,
            timeout_s=config.timeout_s if options.timeout_s is None else options.timeout_s,
            seed=self._run_id,
            max_memory=self._max_memory,
            most_memory=self._most_memory,
            expected_memory=self._expected_memory(),
        )
        # Of a run that continues another one any job may be carried over.
        checkable = range(len(self._plan)) if self._begun.continues else self._checkable
        return RunState(
            self._plan, limits, unknown_actions=self._unknown, checkable=checkable, fuse_rules=self._fuse_rules()
        )

    def _fuse_rules(self) -> dict[str, dict[str, Any]]:
        """The actions of the plan that can do many jobs in one call, if that is wanted."""
        from joblot.actions.registry import ACTIONS

        return ACTIONS.fuse_rules(self._actions) if self._options.fuse else {}

    def _expected_memory(self) -> dict[int, int]:
        """What the last runs of this batch tell of the jobs that do not declare how much memory they need."""
        if self._max_memory is None or self._options.state is False:
            return {}
        from joblot.journal.folder import past_runs
        from joblot.reports.peaks import observed_peaks

        with past_runs(self._options.state or None) as folder:
            if folder is None:
                return {}
            runs = folder.runs(self._pass_over, limit=_LOOK_BACK)
            past = [run.run_id for run in runs if run.batch == self._plan.config.name]
            reports = [folder.run_folder(run_id).report for run_id in past[:_LEARN_FROM]]
            return observed_peaks(self._plan, reports, self._pass_over)

    def _run_settings(self) -> dict[str, Any]:
        """What the first event of this process says of it: who drives the run, and how."""
        from joblot.journal.folder import driver

        config, options = self._plan.config, self._options
        settings: dict[str, Any] = {
            "on": self._on,
            "workers": self._slots,
            "fail_fast": config.fail_fast if options.fail_fast is None else options.fail_fast,
        }
        if self._max_memory is not None:
            settings["max_memory"] = self._max_memory
        if not options.fuse:
            settings["fuse"] = False
        if options.force:
            settings["force"] = list(options.force)
        return {"by": driver(), "settings": settings}


@contextmanager
def _faults_in_one_line() -> Iterator[None]:
    """What the system refuses to the machinery of a run (no more files, a folder that is gone) as an error that a person can read."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        what = "the system refused what the run needs" if error.filename is None else f"cannot use `{error.filename}`"
        hint = "nothing recorded is lost; `joblot resume` goes on from there"
        raise StateError(f"{what}: {reason_of(error)}", hint=hint) from error


def unknown_actions(jobs: Iterable[JobSpec]) -> list[Diagnostic]:
    """The actions of jobs that nobody has registered, each once."""
    from joblot.actions.registry import ACTIONS

    named = {spec.action for spec in jobs if spec.action is not None}
    names = sorted(name for name in named if ACTIONS.signature(name) is None)
    known = ACTIONS.names() if names else ()
    return [Diagnostic("unknown_action", f"unknown action `{name}`", hint=did_you_mean(name, known)) for name in names]


def _unsuccessful(state: RunState) -> list[int]:
    """What a resume takes back to the beginning: all that did not succeed, but for what may run once and may have run.

    Jobs of `finally` that were not to run have nothing to make up for.
    """
    from joblot.core.model import CACHED, FAILED, SUCCESS

    if state.plan.finals and state.status == "success":
        return [job for job in sorted(state.plan.finals) if state.counts_as_failure[job]]
    return [
        job
        for job, code in enumerate(state.states)
        if code not in (SUCCESS, CACHED)
        and job not in state.left_out
        and not state.is_allowed(job)
        and not (code == FAILED and state.plan.declarations[job].once and job not in state.failed_tries)
        and (job not in state.plan.finals or state.counts_as_failure[job])
    ]


def _slots(plan: Plan, options: Options) -> int:
    asked = options.workers
    if asked is not None and (type(asked) is not int or not 1 <= asked <= MOST_WORKERS):
        raise UsageError(f"`workers` must be a whole number between 1 and {MOST_WORKERS}, got {asked!r}")
    if options.on == "inline":
        return 1
    chosen = asked or plan.config.max_workers
    return chosen or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else chosen or os.cpu_count() or 1
