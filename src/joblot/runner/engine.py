"""The loop: wait for outcomes, a timer or a signal; ask RunState; record; act.

One thread. Every decision is recorded before any of its commands is carried out, so nothing has ever begun that the journal does not
know of. The engine decides nothing and prints nothing; observers are told of every record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from joblot.core import events as ev
from joblot.core.model import Attempt, Outcome
from joblot.errors import ActionError, JoblotError, JournalWriteError
from joblot.garbage import pause_collection, resume_collection
from joblot.reports.view import LiveView
from joblot.runner.values import Values, with_slots

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from joblot.clock import Clock
    from joblot.config.env_files import EnvFiles
    from joblot.core.commands import Decision
    from joblot.core.fan_out import Making
    from joblot.core.model import Held
    from joblot.core.runstate import RunState
    from joblot.executors.protocol import Executor
    from joblot.journal import Journal
    from joblot.outputs import OutputWatch
    from joblot.runner.continuing import Continuing
    from joblot.runner.interrupts import Interrupts
    from joblot.runner.permits import Permits
    from joblot.runner.uptodate import Judge

POLL_S: Final = 0.25
"""How often a waiting engine looks for requests of other processes and lets observers refresh."""
STOP_GRACE_S: Final = 10.0
"""How long running jobs may go on after the first Ctrl-C."""
DISK_WAIT_S: Final = 60.0
"""How long a run waits for room when its facts cannot be written."""
_NONE: Final[dict[Any, Any]] = {}
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 2.0


class Observer(Protocol):
    """Is told what happens. Called on the engine's thread, so it has to be quick."""

    def started(self, run_id: str, view: LiveView) -> None:
        """The first decision of this process is recorded, and will be carried out next. What `view` says is as new as the journal, until the end."""

    def recorded(self, record: ev.Record) -> None:
        """These events are in the journal now."""

    def idle(self) -> None:
        """Some time has passed (about POLL_S), with or without news."""

    def warned(self, message: str) -> None:
        """Something that a person should know and that is not an event."""

    def ended(self, status: str) -> None:
        """The run has ended or this process lets go of it."""


def answers(
    decision: Decision,
    state: RunState,
    judge: Judge | None,
    now: Callable[[], float],
    capacity: Callable[[], int],
    carry: Continuing | None = None,
) -> Iterator[Decision]:
    """The decisions that follow from what a decision asks: which jobs are up to date, which of those that needed them are, and so on."""
    while decision.checks:
        jobs, carried = decision.checks, {}
        if carry is not None:
            carried = carry.carried(jobs)
            jobs = [job for job in jobs if job not in carried]
        current = judge.up_to_date(jobs) if judge is not None else {}
        decision = state.checked(decision.checks, current, now(), capacity(), carried=carried)
        yield decision


class Engine:
    """Drives one run in this process.

    `began_at` is the wall time of the run's own start, its first record: events tell when attempts began relative to it. None: the run
    starts with the first decision here. `known` is how many jobs the plan had when the executor began, whose processes know of no others;
    by default all that there are. `view` has taken in what the journal has of the run, and goes on with it for the observers, who never see
    the state itself; by default it is made of the journal. `watch` looks after the files that jobs declare, `judge` says which jobs are up to date,
    `env_files` has what files set for single jobs, None when there are none,
    `carry` says which are carried over from the run that this one continues, `claim` takes outputs that are found on the way, or raises
    RunHeldError when another run makes them. `permits` knows what the machine grants of the limits that all its runs share. `tell` says what jobs of `finally` find in their environment about how the run went; it is asked
    once, when they start.
    """

    def __init__(
        self,
        *,
        run_id: str,
        state: RunState,
        journal: Journal,
        executor: Executor,
        clock: Clock,
        began_at: float | None,
        view: LiveView | None = None,
        observers: Sequence[Observer] = (),
        stop_grace_s: float = STOP_GRACE_S,
        disk_wait_s: float = 0.0,
        watch: OutputWatch | None = None,
        judge: Judge | None = None,
        carry: Continuing | None = None,
        known: int | None = None,
        claim: Callable[[Making], None] = lambda _: None,
        permits: Permits | None = None,
        tell: Callable[[], Mapping[str, str]] = dict,
        env_files: EnvFiles | None = None,
    ) -> None:
        self._env_files = env_files
        self._run_id = run_id
        self._state = state
        self._plan = state.plan
        self._known = len(state.plan) if known is None else known
        self._journal = journal
        self._executor = executor
        self._clock = clock
        self._is_new = began_at is None
        self._zero = clock.now() - (clock.wall() - began_at if began_at is not None else 0.0)
        self._view = view or LiveView(state.plan)
        if view is None:
            self._view.apply_all(journal.records(run_id))
        self._observers = list(observers)
        self._begun = False
        self._stop_grace_s = stop_grace_s
        self._disk_wait_s = disk_wait_s
        self._interrupts: Interrupts | None = None
        self._queued_outcomes: list[Outcome] = []
        self._kill_by: float | None = None
        self._look_at = 0.0
        self._once = any(spec.once for spec in self._plan.config.jobs)
        self._values = Values(state.plan, state, run_id)
        self._watch = watch
        self._judge = judge
        self._carry = carry
        self._claim = claim
        self._permits = permits
        self._told_waits: set[str] = set()
        self._tell = tell
        self._told: Mapping[str, str] | None = None
        self._ahead = state.limits.max_failures is None

    @property
    def capacity(self) -> int:
        """What RunState may hand over: no more than can really run at once where a failure must stop the next start."""
        executor = self._executor
        return executor.capacity if self._ahead else executor.slots

    def drive(self, first: Decision, interrupts: Interrupts | None = None) -> str:
        """Carry on from a first decision (`RunState.start` or `resume`) to the end. Returns the run's status.

        Raises:
            JournalWriteError: facts could not be recorded in `disk_wait_s`. Nothing that was not recorded has been acted on.
        """
        state, permits = self._state, self._permits
        self._interrupts = interrupts
        self._carry_out(first)
        while not state.ended:
            outcomes = self._wait()
            now = self._clock.now()
            if permits is not None and (wanted := permits.wanted()):
                state.cede(wanted)  # before what has ended is used for the next job
            if outcomes:
                self._carry_out(state.attempts_ended(outcomes, now, self.capacity), outcomes)
            else:
                self._carry_out(state.tick(now, self.capacity))
            if permits is not None:
                self._settle_permits(permits)
            # By the clock, not by idle waits: while outcomes keep coming, a cancel and the observers must have their turn too.
            if now >= self._look_at:
                self._look_at = now + POLL_S
                self._look_for_requests()
                if permits is not None:
                    self._tell_waits(permits)
                if self._judge is not None:
                    self._keep(self._judge)
                for observer in self._observers:
                    observer.idle()
            if interrupts is not None and (interrupts.count or not outcomes) and interrupts.news():
                self._stop(interrupts.name, at_once=interrupts.count == 2)
            if self._kill_by is not None and now >= self._kill_by:
                self._kill_by = None
                self._carry_out(state.kill_running(now, self.capacity))
        return state.status

    def _wait(self) -> list[Outcome]:
        outcomes = self._next_outcomes()
        if self._state.room is not None:
            self._state.room.held = self._executor.held_bytes
        return outcomes

    def _next_outcomes(self) -> list[Outcome]:
        if self._queued_outcomes:
            early, self._queued_outcomes = self._queued_outcomes, []
            return early
        due = self._state.next_due()
        if self._kill_by is not None:
            due = self._kill_by if due is None else min(due, self._kill_by)
        timeout = POLL_S if due is None else max(0.0, min(POLL_S, due - self._clock.now()))
        return self._arrived(timeout)

    def _arrived(self, timeout: float) -> list[Outcome]:
        resume_collection()  # attempts may run in there
        outcomes = self._executor.wait(timeout)
        pause_collection()
        zero = self._zero
        for outcome in outcomes:
            if self._watch is not None:
                self._watch.ended(outcome)
                while self._watch.doubts:
                    self._warn(self._watch.doubts.pop(0))
            # To the microsecond; `round` takes twice as long, and this is done for every attempt.
            if outcome.began is not None:
                outcome.began = int((outcome.began - zero) * 1e6 + 0.5) / 1e6
            outcome.wall_s = int(outcome.wall_s * 1e6 + 0.5) / 1e6
            outcome.cpu_s = int(outcome.cpu_s * 1e6 + 0.5) / 1e6
        return outcomes

    def _carry_out(self, decision: Decision, outcomes: Sequence[Outcome] = ()) -> None:
        """Record, then act; then look at what may be up to date, which leads to the next decision."""
        self._carry_out_one(decision, outcomes)
        while decision.checks or decision.asks:
            now, carry = self._clock.now, self._carry
            if decision.asks:
                assert self._permits is not None
                state = self._state
                granted = self._permits.ask(decision.asks, state.resources.granted, state.granted_slots)
                decision = self._state.asked(granted, now(), self.capacity)
                self._carry_out_one(decision)
                continue
            for following in answers(decision, self._state, self._judge, now, lambda: self.capacity, carry):
                self._carry_out_one(following)
                decision = following

    def _settle_permits(self, permits: Permits) -> None:
        """Give back to the machine what no job holds, and ask again when it may be this run's turn."""
        state = self._state
        # At once, though a job may soon need it again: this process may stand still, or run a job itself, for however long.
        state.release()
        permits.settle(state.resources.granted, state.granted_slots)
        if permits.again():
            self._carry_out(state.ask_again(self._clock.now(), self.capacity))
            permits.settle(state.resources.granted, state.granted_slots, again=True)

    def _tell_waits(self, permits: Permits) -> None:
        """Say once of each limit of the machine that others have what this run waits for."""
        waits = permits.waited_for()
        self._view.waits_for = tuple(waits)
        for name in waits.keys() - self._told_waits:
            self._told_waits.add(name)
            self._warn(f"waiting for {waits[name]}")

    def _carry_out_one(self, decision: Decision, outcomes: Sequence[Outcome] = ()) -> None:
        events = decision.events
        logged = [line for outcome in outcomes if outcome.logs for line in _logged(outcome)]
        if logged:
            events = [*logged, *events]
        if events:
            if self._judge is not None:
                self._note_successes(self._judge, events)
            record = self._record(events, decision.starts)
            if self._watch is not None:
                self._watch.recorded(outcomes)
            self._view.apply(record)
            if self._carry is not None:
                self._carry.apply(events)
            # Observers are told between the record and its commands: what they show is in the journal already.
            if not self._begun:
                self._begun = True
                if (
                    self._is_new
                ):  # the plan may have been written in between: attempts would seem to begin after they ended
                    self._zero = self._clock.now() - (self._clock.wall() - record.at)
                for observer in self._observers:
                    observer.started(self._run_id, self._view)
            for observer in self._observers:
                observer.recorded(record)
            if self._judge is not None:
                self._keep(self._judge, all=self._state.ended)
            if self._plan.finals and any(isinstance(event, ev.RunSettled) for event in events):
                self._kill_by = None  # what was to be killed has ended, and these jobs may run
                if self._interrupts is not None:
                    self._interrupts.begin_again()
        if decision.starts:
            self._start(decision.starts)
        if decision.kills:
            # A growing job is no attempt of the executor's; its end is on its way already.
            self._executor.kill([kill for kill in decision.kills if kill.job not in self._plan.growing])

    def _record(self, events: Sequence[ev.AnyEvent], starts: Sequence[int]) -> ev.Record:
        try:
            return self._append(events, starts)
        except JournalWriteError as error:
            if not self._disk_wait_s:
                raise
            return self._record_when_it_can(events, starts, error)

    def _append(self, events: Sequence[ev.AnyEvent], starts: Sequence[int]) -> ev.Record:
        """What attempts find is noted before it is recorded that they begin: a kill in between leaves no attempt of which nothing is known."""
        if starts and self._watch is not None:
            numbers, growing = self._state.attempts, self._plan.growing
            self._watch.began([(job, numbers[job]) for job in starts if job not in growing])
        return self._journal.append(self._run_id, events, self._clock.wall())

    def _record_when_it_can(
        self, events: Sequence[ev.AnyEvent], starts: Sequence[int], error: JournalWriteError
    ) -> ev.Record:
        """Try again and again, for as long as the run may wait. What ends meanwhile is kept; nothing starts. Any signal ends the wait."""
        since = self._clock.now()
        self._warn(f"{error.message}: starting nothing, trying again for {self._disk_wait_s:g} s")
        pause = _FIRST_PAUSE_S
        while (left := since + self._disk_wait_s - self._clock.now()) > 0:
            again_at = self._clock.now() + min(pause, left)
            while (rest := again_at - self._clock.now()) > 0:
                self._queued_outcomes += self._arrived(rest)
                if self._interrupts is not None and self._interrupts.news():
                    raise error
            pause = min(pause * 2, _LONGEST_PAUSE_S)
            try:
                record = self._append(events, starts)
            except JournalWriteError as latest:
                error = latest
            else:
                self._warn(f"the journal takes facts again, after {self._clock.now() - since:.1f} s: going on")
                return record
        raise error

    def _note_successes(self, judge: Judge, events: Sequence[ev.AnyEvent]) -> None:
        """Before they are recorded: whatever is killed, the next run knows of every success that is."""
        assert self._watch is not None
        for event in events:
            if isinstance(event, ev.AttemptEnded):
                files = self._watch.finished.pop(event.job, None)
                if event.state == "failed":
                    judge.record_failure(event.job)
                elif event.state == "success" and (files is not None or self._caches_only(event.job)):
                    judge.record_success(event.job, files or [], bytes(event.result), self._run_id, self._clock.wall())
        judge.note(self._journal)

    def _caches_only(self, job: int) -> bool:
        spec = self._plan.declarations[job]
        return spec.cache and not spec.outputs

    def _keep(self, judge: Judge, *, all: bool = True) -> None:
        """Keep what was made. If it cannot be kept now, it waits; if it never can, those jobs run again some day."""
        try:
            judge.keep(self._journal, all=all)
        except JournalWriteError:
            pass

    def _warn(self, message: str) -> None:
        for observer in self._observers:
            observer.warned(message)

    def _start(self, jobs: Sequence[int]) -> None:
        numbers, bundled = self._state.attempts, self._state.bundles.running
        slots = self._state.named_slots.held if self._state.named_slots is not None else _NONE
        # A power cut must not lose that a job which may run once has begun; to force every start would cost each run its speed.
        if self._once and any(self._plan.declarations[job].once for job in jobs):
            self._journal.force()
        attempts = []
        for job in jobs:
            attempt = Attempt(job, numbers[job], None, bundled[job].number if job in bundled else 0)
            if job in self._plan.growing:
                from joblot.runner.growth import find_items  # seldom needed, and it needs a lot

                now = self._clock.now() - self._zero
                outcome = find_items(self._plan, self._values, job, numbers[job], now, self._claim)
                if outcome.kind == "ok" and outcome.message:
                    self._warn(f"{self._plan.name(job)}: {outcome.message}")
                self._queued_outcomes.append(outcome)
                continue
            if job >= self._known:
                attempt.spec = self._plan.spec(job)
            declared = self._plan.declarations[job]
            if declared.deferred or declared.if_ is not True:
                try:
                    if declared.if_ is not True:
                        self._values.refuse_condition(job)
                    if declared.deferred:
                        attempt.values = self._values.of(job, self._warn, held=slots.get(job, _NONE))
                except (JoblotError, ValueError, RecursionError) as error:
                    message = error.message if isinstance(error, JoblotError) else str(error)
                    reason = (error.reason if isinstance(error, ActionError) else "") or "bad_reference"
                    outcome = Outcome(job, numbers[job], "error", None, message=message, reason=reason)
                    if self._watch is not None:
                        self._watch.ended(outcome)
                    self._queued_outcomes.append(outcome)
                    continue
            if declared.input is not None and (declared.when != "success" or job in self._plan.finals):
                for told in self._values.as_it_was(job):
                    self._warn(told)
            if job in self._plan.finals:
                if self._told is None:
                    self._told = self._tell()
                values = attempt.values or {}
                attempt.values = {**values, "env": {**values.get("env", self._plan.spec(job).env), **self._told}}
            attempts.append(attempt)
        if slots or self._env_files is not None or self._state.raised:
            self._add_what_is_seldom(attempts, slots)
        if self._state.room is not None and len(attempts) == 1:
            attempts[0].alone = self._state.room.runs_alone(attempts[0].job)
        self._executor.start(attempts)

    def _add_what_is_seldom(self, attempts: Sequence[Attempt], slots: Mapping[int, Held]) -> None:
        """What files set in the environment of single jobs, the slots that they hold, and more memory than the job declares."""
        for attempt in attempts:
            attempt.memory = self._state.memory(attempt.job)
            spec = self._plan.declarations[attempt.job]
            if spec.env_file and self._env_files is not None:
                values = attempt.values or {}
                env = values.get("env", self._plan.spec(attempt.job).env)
                attempt.values = {**values, "env": self._env_files.with_own(spec, env)}
            if attempt.job in slots:
                attempt.values = with_slots(attempt.values, self._plan.spec(attempt.job).env, slots[attempt.job])

    def _look_for_requests(self) -> None:
        for request in self._journal.requests(self._run_id):
            kill = request.kind == "kill"
            self._stop(f"`joblot cancel{' --kill' if kill else ''}` by {request.by}", at_once=kill)

    def _stop(self, by: str, *, at_once: bool) -> None:
        state, now = self._state, self._clock.now()
        if state.settled and not at_once:
            self._warn(f"{by}: only jobs of `finally` are left, which go on (once more: kill them)")
            return
        settled = state.settled
        if not state.stopping:
            self._carry_out(state.stop("cancelled", now, self.capacity, by=by))
        if (
            state.ended or state.settled != settled
        ):  # nothing was running: the jobs of `finally` are not what was to be stopped
            return
        if at_once:
            self._kill_by = None
            self._carry_out(state.kill_running(now, self.capacity, grace_s=0.0))
        else:
            self._kill_by = now + self._stop_grace_s
            if returned := self._executor.give_back():
                self._carry_out(state.attempts_ended(returned, now, self.capacity), returned)
                if state.ended or state.settled:
                    return
            message = f"{by}: starting nothing more; {state.in_flight} running may end within {self._stop_grace_s:g} s (once more: kill them)"
            self._warn(message)


def _logged(outcome: Outcome) -> list[ev.Logged]:
    return [ev.Logged("log", line.level, outcome.job, outcome.number, line.message, line.data) for line in outcome.logs]
