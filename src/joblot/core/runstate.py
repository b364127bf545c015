"""The state of one run.

Everything that decides what happens next in a run is in this file, and only here. It is pure: no clock, no I/O, no randomness, no
logging. Time comes in as `now` (monotonic seconds); the engine records the events and carries out the commands.

Theory of operation
-------------------
A job is in exactly one state; NEXT lists the legal moves. Every input method decides, turns its decisions into events, applies them and
adds the commands that follow. `apply` is the only code that changes a job's state, and it decides nothing: resuming a run is applying
its journal, then `resume`. The events of one input are recorded together, so a reader of the journal never sees half of a decision.

What `apply` derives without an event of its own is only arithmetic: a waiting job becomes ready when the last of its needs has ended as
its `when` asks. Everything else that happens to a job is written down.

Timers (deadlines, waits before a retry) and the queues of ready jobs (`ready`) are indexes. Timers belong to one process and are made
again by `resume`.

The jobs of `finally` are a phase of their own. The run is one more need of each of them: it ends with `run_settled`, which fixes the status
when all other jobs have ended, whatever stopped them. From then on the run's own limits and the reason for its stop no longer hold; a
second stop is theirs.

Jobs that can be run together (`fusing`) start as a bundle, which holds what one of them asks for; each ends for itself. A bundle whose
process fails as a whole tells nothing of the jobs that were not done: they are ready again, without a try counted, in bundles of half as
many (`bundles`), down to single jobs, for which the ordinary rules hold.

What this file does not know: executors, processes, files, values, the text of the batch.
"""

from __future__ import annotations

from array import array
from collections import deque
from heapq import heappop, heappush
from itertools import accumulate, pairwise, repeat
from math import ceil
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from msgspec import Raw

from joblot.core import events as ev
from joblot.core.bundles import Bundles
from joblot.core.commands import Decision, Kill
from joblot.core.fusing import Fusing
from joblot.core.memory import Memory
from joblot.core.model import (
    ABORTED,
    BACKING_OFF,
    CACHED,
    CANCELLED,
    FAILED,
    FINAL,
    READY,
    RETRIABLE,
    RUNNING,
    SKIPPED,
    STATE_OF,
    STATES,
    SUCCESS,
    WAITING,
    Outcome,
)
from joblot.core.ready import Picked, ReadyQueues
from joblot.core.resources import PLAIN, NamedSlots, Resources
from joblot.core.retry import memory_after, retry_delay
from joblot.units import format_size

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from joblot.core.fusing import Rules
    from joblot.core.limits import Limits
    from joblot.core.model import Held
    from joblot.core.plan import Plan

NEXT: Final[dict[int, frozenset[int]]] = {
    WAITING: frozenset({READY, SKIPPED, CACHED, CANCELLED, ABORTED}),
    READY: frozenset({RUNNING, SKIPPED, CACHED, CANCELLED, ABORTED}),
    RUNNING: frozenset({SUCCESS, FAILED, BACKING_OFF, READY, WAITING, CANCELLED, ABORTED}),
    BACKING_OFF: frozenset({READY, CANCELLED, ABORTED}),
    **dict.fromkeys((SUCCESS, FAILED, SKIPPED, CACHED, CANCELLED, ABORTED), frozenset()),
}
"""The legal moves. A running job becomes ready again when its attempt was lost or never began, or is retried without a wait; it waits
again when, by then, a person has taken jobs that it needs back to the beginning."""

_NONE: Final[Mapping[int, bytes]] = MappingProxyType({})
_OF_BUNDLES: Final = frozenset({*RETRIABLE, "lost"})
"""Outcomes that a bundle can have as a whole."""
_GOOD: Final = frozenset({SUCCESS, CACHED})
_BAD: Final = FINAL - _GOOD
_WHEN: Final = {"success": 0, "failure": 1, "always": 2}
_STOPPED: Final = {"cancelled": CANCELLED, "fail_fast": ABORTED, "max_failures": ABORTED, "time_limit": ABORTED}


class IllegalMoveError(AssertionError):
    """BUG: an event asked for a move that NEXT does not list. The text carries the job's story so far."""


class RunState:
    """The state machine of one run of one plan."""

    def __init__(
        self,
        plan: Plan,
        limits: Limits,
        *,
        unknown_actions: Collection[int] = (),
        checkable: Collection[int] = (),
        fuse_rules: Rules | None = None,
    ) -> None:
        self._declared = count = len(plan)
        self.plan = plan
        self.limits = limits
        self.states = bytearray(count)
        self.attempts = array("i", bytes(4 * count))
        """Number of the last attempt handed out; 0 before the first."""
        self.failed_tries: dict[int, int] = {}
        self.losses: dict[int, int] = {}
        """How often the jobs were lost; those that were too often run alone, so that the next loss can only be their own doing."""
        self.raised: dict[int, int] = {}
        """How often attempts of the jobs ended for lack of memory whose next ones may use more for that."""
        self.pressed: set[int] = set()
        """Jobs that were ended because all that ran held too much memory: they run alone."""
        self.results: dict[int, bytes] = {}
        """Results as JSON of the jobs that others refer to."""
        self.counts = [0] * len(STATES)
        self.counts[WAITING] = count
        self.open_needs = plan.needs.counts()
        """How many needs of a job have not ended."""
        self.need_unsuccessful = bytearray(count)
        """Whether some need of the job ended otherwise than well."""
        self.counts_as_failure = bytearray(count)
        """Whether the job failed, was stopped, or was skipped because of one that did."""
        self.need_failed = bytearray(count)
        """Whether some need of the job counts as a failure."""
        self.left_out: set[int] = set()
        """Jobs that were not selected: they end as skipped, and whatever needs them takes them as they are."""
        self.resources = Resources(limits.slots, limits.named, limits.shared)
        self.named_slots = NamedSlots(plan.named_slots, limits.shared) if plan.named_slots else None
        """Which slots with names running jobs hold; None where none have names."""
        self._ceded: tuple[str, ...] = ()
        self.stopping = ""
        """Why nothing starts any more; empty while things do."""
        self.settled = ""
        """How the run will end; empty until only jobs of `finally` are left."""
        self._kept_status = ""
        """How the run ended before only jobs of `finally` were taken back: it ends so again."""
        self._finals = plan.finals
        self.waiting_finals = len(self._finals)
        """How many jobs of `finally` have not ended, until the run is settled."""
        self.status = ""
        """The run's final status; empty until it has one."""
        self.kills: dict[int, str] = {}
        """Running jobs that are to be killed, and the outcome that this will be."""
        self._graces: dict[int, float] = {}
        """For these, the shortest time that they were given."""
        self._unknown = sorted(unknown_actions)
        self._checkable = set(checkable)
        """Jobs that may be up to date: to be checked when they become ready."""
        self._conditional = (
            {job for job, spec in enumerate(plan.declarations) if spec.if_ is not True}
            if any(spec.if_ is not True for spec in plan.config.jobs)
            else set[int]()
        )
        """Jobs with an `if`: to be asked when they become ready."""
        self._unasked: dict[int, None] = {}
        """Ready jobs still to be asked for; an index."""
        self._unchecked: dict[int, None] = {}
        """Ready jobs still to be checked; nothing starts while there are any. An index, as timers are."""
        self._forced: set[int] = set()
        """Jobs that were done and that a person wants to run again, up to date or not."""
        self.was_reopened = False
        self._stood_s = 0.0
        """How long nobody has driven the run since it began."""
        self._began: float | None = None
        """When the run began, if that was in this process."""
        self._when = bytearray(_WHEN[spec.when] for spec in plan.declarations)
        declared = plan.config.jobs
        self._has_handlers = any(spec.when == "failure" for spec in declared)
        """Whether any job starts only when a need of it failed, and so has no use for a need that ends well."""
        self._allows_failures = any(spec.allow_failure for spec in declared)
        self.allowed_failures = 0
        """How many jobs have failed that may."""
        self._has_timeouts = any(spec.timeout_s is not None for spec in declared)
        self.fusing = Fusing(plan, fuse_rules or {})
        self.ready = ReadyQueues(plan, self.fusing)
        self.bundles = Bundles(limits.max_bundle)
        self._sharing = self.bundles.running
        self.room = self._make_memory(limits) if limits.max_memory is not None else None
        self._deadlines: list[tuple[float, int]] = []
        self._deadline_of: dict[int, float] = {}
        """By job, the deadline of its last attempt: an attempt that was given back leaves its own behind, under the same number."""
        self._backoffs: list[tuple[float, int]] = []
        self._end_by: float | None = None
        for job in self._finals:
            self.open_needs[job] += 1  # the run
        for job in range(count):
            if not self.open_needs[job] and self._comes_true(job):
                self._move(job, READY)

    def _make_memory(self, limits: Limits) -> Memory:
        assert limits.max_memory is not None
        earlier = self.fusing.with_group_maximum(limits.expected_memory)
        return Memory(self.plan, limits.max_memory, limits.slots, self.pressed, earlier, limits.most_memory)

    # --- inputs ---------------------------------------------------------------------------------

    def start(
        self,
        now: float,
        capacity: int,
        *,
        by: dict[str, Any] | None = None,
        settings: dict[str, Any] | None = None,
        left_out: Collection[int] = (),
    ) -> Decision:
        """Begin the run; the jobs in `left_out` take no part in it."""
        decision = Decision([], [], [])
        started = ev.RunStarted(self.plan.fingerprint, len(self.plan), settings or {}, by or {})
        self._emit(decision, started)
        if left_out:
            self._emit(decision, ev.JobsEnded(sorted(left_out), "skipped", ev.NOT_SELECTED))
        self._began = now
        self._begin(now)
        self._skip_what_cannot_start(decision)
        return self._finish(decision, now, capacity)

    def resume(
        self,
        now: float,
        capacity: int,
        *,
        by: dict[str, Any] | None = None,
        settings: dict[str, Any] | None = None,
        elapsed_s: float | None = None,
        worked_s: float = 0.0,
        noted: Iterable[Outcome] = (),
    ) -> Decision:
        """Go on with a run whose journal was applied: attempts without an end are lost and their jobs run again.

        `elapsed_s` is how long ago the run began, if that is known, `worked_s` for how long it has been driven since then. `noted` are
        attempts that ended well, of which only the record is missing.
        """
        decision = Decision([], [], [])
        self._began = None if elapsed_s is None else now - elapsed_s
        self._stood_s = max(0.0, elapsed_s - worked_s) if elapsed_s is not None else 0.0
        self._emit(decision, ev.RunResumed(by or {}, settings or {}))
        self._begin(now)
        for outcome in noted:
            if self.states[outcome.job] == RUNNING and self.attempts[outcome.job] == outcome.number:
                self._emit(decision, ev.ended_well(outcome))
                self._skip_dependents(decision, outcome.job)
        for job in range(len(self.plan)):
            if self.states[job] == RUNNING:
                self._lost(decision, job, "the runner ended while it ran", 0, counted=False)
            elif self.states[job] == BACKING_OFF:
                heappush(self._backoffs, (now + self.plan.declarations[job].retry.delay_s, job))
        # A journal that ends inside a run can leave a consequence unrecorded only if a decision was cut, which cannot be. But reopened jobs
        # may stand behind needs that were not reopened with them.
        self._skip_what_cannot_start(decision)
        return self._finish(decision, now, capacity)

    def reopen(self, jobs: Iterable[int]) -> Decision:
        """Take jobs back to the beginning, and the run with them; `resume` then goes on. Nothing starts yet.

        With them go the jobs of `finally`, unless only such jobs are given: they belong to the end of the run, and there will be another.
        Jobs that have not ended go on anyway and are left as they are.
        """
        decision = Decision([], [], [])
        again = {job for job in jobs if self.states[job] in FINAL}
        if not again <= self._finals:
            again.update(job for job in self._finals - self.left_out if self.states[job] in FINAL)
        self._emit(decision, ev.RunReopened(sorted(again)))
        return decision

    def attempts_ended(self, outcomes: Iterable[Outcome], now: float, capacity: int) -> Decision:
        """Attempts came to an end. News of an attempt that is not the current one is ignored."""
        decision = Decision([], [], [])
        states, attempts, others_in_flight = self.states, self.attempts, self.in_flight - 1
        for outcome in outcomes:
            job = outcome.job
            if states[job] == RUNNING and attempts[job] == outcome.number:
                if outcome.items is not None and self.stopping:
                    outcome.kind = "cancelled"  # nothing is added to a run that is to end: the next process looks again
                if outcome.kind == "ok":
                    if outcome.items is not None:
                        self._grow(decision, job, outcome.items)
                    self._emit(decision, ev.ended_well(outcome))
                    self._skip_dependents(decision, job)
                    if outcome.items is not None:  # what makes their input may have ended badly before they were found
                        self._skip_what_cannot_start(decision, self.plan.grown[job])
                else:
                    self._ended_badly(decision, outcome, now, others_in_flight)
        return self._finish(decision, now, capacity)

    def _grow(self, decision: Decision, job: int, items: dict[str, list[Any]]) -> None:
        """Add the jobs for the items that a growing job found. Those of an earlier attempt stand."""
        if job not in self.plan.grown:
            jobs = len(next(iter(items.values()), ()))
            self._emit(decision, ev.PlanExtended(job, len(self.plan), jobs, items))

    def checked(
        self,
        jobs: Iterable[int],
        up_to_date: Mapping[int, bytes],
        now: float,
        capacity: int,
        *,
        carried: Mapping[int, bytes] = _NONE,
    ) -> Decision:
        """Ready jobs were looked at. Those in `up_to_date` are up to date and have ended, those in `carried` are carried over.

        The values are their results as JSON, empty for none.
        """
        decision = Decision([], [], [])
        for job in jobs:
            self._unchecked.pop(job, None)
        for found, reason in ((up_to_date, "up_to_date"), (carried, ev.CARRIED_OVER)):
            done = [job for job in found if self.states[job] == READY and job not in self._forced]
            if done:
                results = {job: Raw(found[job]) for job in done if found[job]}
                self._emit(decision, ev.JobsEnded(done, "cached", reason, results=results))
                for job in done:
                    self._skip_dependents(decision, job)
        return self._finish(decision, now, capacity)

    def asked(self, granted: Held | None, now: float, capacity: int) -> Decision:
        """The machine was asked for what the last decision asks, and has granted it, with these slots where they have names, or has not (None).

        What was not granted is not asked for again before `ask_again`.
        """
        needed, self.ready.to_ask = self.ready.to_ask, PLAIN
        if granted is None:
            self.resources.refused.add(needed)
        else:
            self.resources.grant(needed)
            if granted and self.named_slots is not None:
                self.named_slots.grant(granted)
        return self._finish(Decision([], [], []), now, capacity)

    def ask_again(self, now: float, capacity: int) -> Decision:
        """What the machine did not grant may be free by now."""
        self.resources.refused.clear()
        return self._finish(Decision([], [], []), now, capacity)

    def cede(self, names: Iterable[str]) -> None:
        """Other runs wait for these: what is not held of them now, and what the next input gives back, is not used for the next job."""
        self._ceded = tuple(names)
        self._release(self._ceded)

    def release(self) -> None:
        """Use no more of what the machine has granted than what is held now."""
        self._release(self.limits.shared)

    def tick(self, now: float, capacity: int) -> Decision:
        """Time has passed: waits end, deadlines strike, and free capacity is used."""
        return self._finish(Decision([], [], []), now, capacity)

    def stop(self, reason: str, now: float, capacity: int, *, by: str = "") -> Decision:
        """Start nothing any more; what runs may end. `reason`: `cancelled` or `time_limit`."""
        decision = Decision([], [], [])
        if not self.status:
            self._stop(decision, reason, by=by)
        return self._finish(decision, now, capacity)

    def kill_running(self, now: float, capacity: int, *, grace_s: float | None = None) -> Decision:
        """Kill what still runs after `stop`, with each job's own grace unless another is given."""
        decision = Decision([], [], [])
        self._kill_all(decision, "cancelled", grace_s)
        return self._finish(decision, now, capacity)

    # --- questions ------------------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        """Whether every job is in a final state and the run has its status."""
        return bool(self.status)

    @property
    def in_flight(self) -> int:
        """How many attempts are out."""
        return self.counts[RUNNING]

    def next_due(self) -> float | None:
        """When `tick` has something to do, if that is known: monotonic seconds."""
        if not self._deadlines and not self._backoffs and self._end_by is None:
            return None
        # Timers of what has ended since are dropped when they come up: to take one out of the middle of a heap is linear.
        while self._deadlines and not self._is_pending(self._deadlines[0]):
            heappop(self._deadlines)
        while self._backoffs and self.states[self._backoffs[0][1]] != BACKING_OFF:
            heappop(self._backoffs)
        due = [heap[0][0] for heap in (self._deadlines, self._backoffs) if heap]
        if self._end_by is not None and not self.stopping and not self.settled and not self.status:
            due.append(self._end_by)
        return min(due, default=None)

    def is_allowed(self, job: int) -> bool:
        """Whether the job has failed and may: for what needs it, and for the run, it ended well."""
        return self.states[job] == FAILED and self.plan.declarations[job].allow_failure

    def memory(self, job: int) -> int:
        """Bytes that the job's attempt may use, where that is more than it declares; else 0."""
        times = self.raised.get(job, 0)
        return ceil(memory_after(self.plan.declarations[job], times)) if times else 0

    # --- deciding -------------------------------------------------------------------------------

    def _begin(self, now: float) -> None:
        if self.limits.timeout_s is not None:
            self._end_by = now + self.limits.timeout_s

    def _finish(self, decision: Decision, now: float, capacity: int) -> Decision:
        """The end of every input: timers that are due, starts, and the end of the run."""
        if self._backoffs or self._deadlines or self._end_by is not None:
            self._timers(decision, now)
        if decision.kills:
            decision.kills = self._distinct_kills(decision.kills)
        if self._ceded:
            self._release(self._ceded)
            self._ceded = ()
        if not self.stopping:
            self._start_ready(decision, now, capacity)
        if self.waiting_finals and not self.settled and self._open() == self.waiting_finals:
            self._settle_run(decision)
            self._start_ready(decision, now, capacity)
        if not self.status and not self._open():
            wall_s = 0.0 if self._began is None else round(now - self._began, 6)
            worked_s = max(1e-6, round(wall_s - self._stood_s, 6)) if self._stood_s else 0.0
            self._emit(decision, ev.RunEnded(self.settled or self._final_status(), wall_s, worked_s))
        return decision

    def _settle_run(self, decision: Decision) -> None:
        """Only jobs of `finally` are left: fix the status, and skip those that it does not let start, or that lack a result."""
        self._emit(decision, ev.RunSettled(self._final_status()))
        finals, results = self._finals, self.results
        for job in sorted(self._finals):
            used = self.plan.results_used(job) - finals
            lacking = min((need for need in used if need not in results), default=None)
            if lacking is not None:
                self._skip_all(decision, [job], ev.MISSING_RESULT, lacking)
        self._skip_waiting(decision, sorted(self._finals))

    def _distinct_kills(self, kills: Sequence[Kill]) -> list[Kill]:
        """Each process once. What one outcome asked to kill may have ended by a later one, or with the process before this one."""
        distinct, bundles = [], set[int]()
        for kill in kills:
            bundle = self.bundles.number(kill.job)
            if self.states[kill.job] == RUNNING and bundle not in bundles:
                distinct.append(kill)
                bundles |= {bundle} - {0}
        return distinct

    def _open(self) -> int:
        counts = self.counts
        return counts[WAITING] + counts[READY] + counts[RUNNING] + counts[BACKING_OFF]

    def _final_status(self) -> str:
        if self._kept_status:
            return self._kept_status
        if self.stopping == "cancelled":
            return "cancelled"
        return "failed" if self.counts[FAILED] > self.allowed_failures or self.counts[ABORTED] else "success"

    def _timers(self, decision: Decision, now: float) -> None:
        # The run's own limit first: what it kills is then not killed once more for a deadline that is due as well.
        if self._end_by is not None and now >= self._end_by and not self.stopping and not self.settled and self._open():
            self._stop(decision, "time_limit")
            self._kill_all(decision, "cancelled", None)
        while self._backoffs and self._backoffs[0][0] <= now:
            job = heappop(self._backoffs)[1]
            if self.states[job] == BACKING_OFF:
                self._emit(decision, ev.BackoffEnded(job))
        while self._deadlines and self._deadlines[0][0] <= now:
            entry = heappop(self._deadlines)
            if self._is_pending(entry):
                self._kill(decision, entry[1], "timeout", None)

    def _is_pending(self, entry: tuple[float, int]) -> bool:
        moment, job = entry
        return self.states[job] == RUNNING and self._deadline_of[job] == moment and job not in self.kills

    def _start_ready(self, decision: Decision, now: float, capacity: int) -> None:
        while self._unasked:  # what is skipped may let others become ready
            asked = [job for job in self._unasked if self.states[job] == READY]
            self._unasked.clear()
            off = [job for job in asked if self.plan.condition(job, self.results) is False]
            if off:
                self._skip_all(decision, off, "condition", -1, "its `if` is false")
        if self._unchecked:
            decision.checks = [job for job in self._unchecked if self.states[job] == READY]
            if decision.checks:
                return
            self._unchecked.clear()
        picked, sizes = self._pick(capacity)
        if picked:
            if self.named_slots is None:
                self._emit(decision, ev.AttemptsStarted(picked, sizes))
            else:
                chosen = self._choose_slots(self.named_slots, picked, sizes)
                self._emit(decision, ev.AttemptsStarted(picked, sizes, chosen))
            decision.starts.extend(picked)
        if self.ready.to_ask:
            decision.asks = self.ready.to_ask
            # What is left of it is asked for again with the rest: nothing is held while it is waited for more.
            self._release([name for name, _ in decision.asks])
        if not self._has_timeouts:
            return
        for job in picked:
            timeout = self.plan.declarations[job].timeout_s
            if timeout is not None:
                self._deadline_of[job] = now + timeout
                heappush(self._deadlines, (now + timeout, job))

    def _choose_slots(self, named: NamedSlots, picked: Sequence[int], sizes: Sequence[int]) -> dict[int, Held]:
        """The slots that jobs are to hold which start now, by job: each process has its own, so jobs of a bundle share them."""
        ends = list(accumulate(sizes, initial=0)) if sizes else range(len(picked) + 1)
        processes = [picked[start:end] for start, end in pairwise(ends)]
        chosen = named.choose((jobs[0], self.ready.demand(jobs[0])) for jobs in processes)
        return {job: chosen[jobs[0]] for jobs in processes if jobs[0] in chosen for job in jobs}

    def _pick(self, capacity: int) -> Picked:
        """The ready jobs that start now, and the bundles that they form. One that was lost too often has the machine to itself."""
        if self.resources.granted:
            self.ready.to_ask = PLAIN
        if self.losses:
            limit, open_states = self.limits.crash_limit, (READY, RUNNING)
            suspects = [job for job, times in self.losses.items() if times >= limit and self.states[job] in open_states]
            if self.resources.granted:
                suspects = [job for job in suspects if self.states[job] == RUNNING or not self._is_refused(job)]
            if suspects:
                return [] if self.in_flight else self._pick_alone(suspects[0]), []
        processes = self.counts[RUNNING] - (self.bundles.processes_saved if self._sharing else 0)
        picked = self.ready.pick(
            self.resources, max(capacity, self.limits.slots) - processes, capacity, self.bundles.max_size
        )
        return picked if self.room is None else self._fitting(self.room, picked)

    def _fitting(self, room: Memory, picked: Picked) -> Picked:
        """What of it there is memory for. Nothing is asked of the machine for what stands behind a job that waits for memory."""
        fitting = room.fitting(picked, self.ready.demand)
        if len(fitting[0]) < len(picked[0]):
            self.ready.to_ask = PLAIN
        return fitting

    def _release(self, names: Collection[str]) -> None:
        self.resources.cede(names)
        if self.named_slots is not None:
            self.named_slots.cede(names)

    @property
    def granted_slots(self) -> Held:
        """The slots with names that the machine has granted of what all its runs share."""
        return self.named_slots.granted if self.named_slots is not None else {}

    def _is_refused(self, job: int) -> bool:
        """Whether the machine has refused what the job needs."""
        return self.resources.to_ask(self.ready.demand(job)) in self.resources.refused

    def _pick_alone(self, job: int) -> list[int]:
        """The job, once the machine has granted what it needs."""
        needed = self.resources.to_ask(self.ready.demand(job)) if self.resources.granted else PLAIN
        if needed:
            self.ready.to_ask = needed
        return [] if needed else [job]

    def _ended_badly(self, decision: Decision, outcome: Outcome, now: float, others_in_flight: int) -> None:
        job, kind, reason = outcome.job, outcome.kind, outcome.reason
        if reason == ev.BUNDLE_FAILED:
            reason = ""  # an action may give any reason code but this one, by which `apply` knows a bundle's end
        # How a process ends that is being killed says nothing about its job: what counts is why it was killed. One that never began was not.
        kill_kind = self.kills.get(job)
        if kill_kind is not None and kind != "returned":
            kind, reason = kill_kind, kill_kind if kill_kind == "timeout" else ""
        # A deadline is the process's: whatever the executor says of one of its jobs, it was the bundle that took too long.
        if self.bundles.size(job) > 1 and kind in _OF_BUNDLES and (outcome.shared or kill_kind == "timeout"):
            self._split(decision, outcome, kind)
            return
        if kind == "lost":
            self._lost(decision, job, outcome.message, others_in_flight, counted=True)
            return
        if reason == ev.MEMORY_PRESSURE:
            if self._may_press(job, kind):
                self._press(decision, outcome)
                return
            reason = ""  # an action has given it, or nothing ran beside the job
        state, delay, message = FAILED, 0.0, outcome.message
        if kill_kind == "timeout" == kind:
            message = f"timed out after {self.plan.declarations[job].timeout_s:g} s"
        if kind in ("cancelled", "returned"):
            state = _STOPPED[self.stopping] if self.stopping else READY
            reason, message = self.stopping, ""
        else:
            tries = self.failed_tries.get(job, 0) + 1
            policy, seed = self.plan.declarations[job].retry, self.limits.seed
            wait = retry_delay(policy, tries, kind, seed=seed, job=job, outcome=outcome)
            if wait is not None and not self.stopping:
                state, delay = (BACKING_OFF, wait) if wait > 0 else (READY, 0.0)
                if kind == "oom" and self._raises_memory(job):
                    amount = memory_after(self.plan.declarations[job], self.raised.get(job, 0) + 1)
                    message = f"{message}; the next attempt may use {format_size(amount)}"
        self._emit(decision, ev.ended(outcome, kind, STATES[state], reason or kind, message, delay))
        if state == BACKING_OFF:
            heappush(self._backoffs, (now + delay, job))
        elif state in FINAL:
            self._ended_without_success(decision, job)

    def _raises_memory(self, job: int) -> bool:
        spec = self.plan.declarations[job]
        return spec.retry.memory_factor > 1 and "memory" in spec.resources

    def _split(self, decision: Decision, outcome: Outcome, kind: str) -> None:
        """The bundle failed as a whole, and it is not known by which of its jobs: again, with fewer others."""
        state = _STOPPED[self.stopping] if self.stopping else READY
        message = f"a bundle of {self.bundles.size(outcome.job)} jobs ended: {outcome.message or kind}"
        if kind == "timeout" and outcome.job in self.kills:
            timeout = self.plan.declarations[outcome.job].timeout_s
            message = f"a bundle of {self.bundles.size(outcome.job)} jobs timed out after {timeout:g} s"
        self._emit(decision, ev.ended(outcome, kind, STATES[state], self.stopping or ev.BUNDLE_FAILED, message, 0.0))
        if state in FINAL:
            self._ended_without_success(decision, outcome.job)

    def _may_press(self, job: int, kind: str) -> bool:
        once, room = self.plan.declarations[job].once, self.room
        return kind == "oom" and room is not None and not once and not room.runs_alone(job)

    def _press(self, decision: Decision, outcome: Outcome) -> None:
        """All that ran held too much, which is no fault of this job's: again, and alone."""
        state, reason = STATES[_STOPPED[self.stopping] if self.stopping else READY], self.stopping
        self._emit(decision, ev.ended(outcome, "oom", state, reason or ev.MEMORY_PRESSURE, outcome.message, 0.0))
        if self.stopping:
            self._ended_without_success(decision, outcome.job)

    def _ended_without_success(self, decision: Decision, job: int) -> None:
        """What follows for the dependents, and perhaps for the whole run, when a job has its final state and it is not a success."""
        self._skip_dependents(decision, job)
        failed = self.states[job] == FAILED and not self.is_allowed(job)
        if failed and not self.stopping and not self.settled and self._too_many_failures():
            self._stop(decision, "fail_fast" if self.limits.fail_fast else "max_failures", job=job)
            self._kill_all(decision, "cancelled", None)

    def _too_many_failures(self) -> bool:
        allowed, failed = self.limits.max_failures, self.counts[FAILED] - self.allowed_failures
        if allowed is None or isinstance(allowed, int):
            return allowed is not None and failed >= allowed
        taking_part = len(self.plan) - len(self.left_out) - sum(job not in self.left_out for job in self._finals)
        return failed > round(allowed * taking_part, 6)  # 29 % of 100 jobs is 28.999999999999996

    def _lost(self, decision: Decision, job: int, message: str, others_in_flight: int, *, counted: bool) -> None:
        """How the attempt ended is not known: again, unless it may run only once, or was lost too often and now with no other in flight.

        `others_in_flight` is how many other attempts were out: one of those may have been the cause.
        """
        if counted and self.bundles.size(job) > 1:
            self._split(decision, Outcome(job, self.attempts[job], "lost", message=message), "lost")
            return
        times = self.losses.get(job, 0) + 1
        state, reason = WAITING if self.open_needs[job] else READY, "lost"
        if self.stopping:
            state, reason = _STOPPED[self.stopping], self.stopping
        elif self.plan.declarations[job].once and (
            self.settled or job not in self._finals
        ):  # after a retry it is a new end of the run
            state, reason, message = FAILED, "unknown", f"{message}; it may run only once, so it is not started again"
        elif counted and not others_in_flight and times >= self.limits.crash_limit:  # alone: it was this job
            state, message = FAILED, f"{message}; lost {times} times"
        outcome = "lost" if counted else "interrupted"
        number = self.attempts[job]
        self._emit(decision, ev.AttemptEnded(job, number, outcome, STATES[state], message=message, reason=reason))
        if state in FINAL:
            self._ended_without_success(decision, job)

    def _skip_dependents(self, decision: Decision, job: int) -> None:
        """Skip the dependents that can no longer start, now that a job has ended."""
        good = self.states[job] in _GOOD
        if not good and (self._finals or self._allows_failures):
            self._skip_takers(decision, job)
            good = self.is_allowed(job)
        if good and not self._has_handlers:
            return
        for dependent in self.plan.dependents[job]:
            if self.states[dependent] != WAITING:
                continue
            when = self._when[dependent]
            if when == 0:
                if not good:
                    reason = "need_failed" if self.states[job] == FAILED else "need_skipped"
                    self._skip_all(decision, [dependent], reason, job)
            elif when == 1 and not self.open_needs[dependent]:
                self._skip_all(decision, [dependent], "condition", -1)

    def _skip_takers(self, decision: Decision, job: int) -> None:
        """Skip those of the dependents that would go on though the job has ended badly, and take from it what it did not make."""
        allowed = self.is_allowed(job)
        for dependent in self.plan.dependents[job]:
            waits = self.states[dependent] in (WAITING, READY) and (allowed or dependent in self._finals)
            if waits and self.plan.takes_from(dependent, job):
                self._skip_all(decision, [dependent], ev.MISSING_RESULT, job)

    def _skip_what_cannot_start(self, decision: Decision, jobs: range | None = None) -> None:
        """Skip jobs whose actions are unknown, and those whose needs have ended so that their `when` never comes true."""
        if self._unknown:
            self._skip_all(decision, self._unknown, "unknown_action", -1)
        if self._allows_failures:  # of a failure that stands, jobs may have been taken back
            for job, state in enumerate(self.states):
                if state == FAILED:
                    self._skip_takers(decision, job)
        # Once, when a process begins: later on `_skip_dependents` looks at the neighbours of what has ended only.
        self._skip_waiting(decision, range(len(self.plan)) if jobs is None else jobs)

    def _skip_waiting(self, decision: Decision, jobs: Iterable[int]) -> None:
        """Skip those of the jobs whose `when` can no longer come true."""
        for job in jobs:
            if self.states[job] != WAITING or (job in self._finals and not self.settled):
                continue
            if self._when[job] == 0 and self.need_unsuccessful[job]:
                bad = [need for need in self.plan.needs[job] if self._is_bad(need)]
                if not bad:  # but the run
                    self._skip_all(decision, [job], "condition", -1)
                    continue
                cause = next((need for need in bad if self.counts_as_failure[need]), bad[0])
                self._skip_all(
                    decision, [job], "need_failed" if self.states[cause] == FAILED else "need_skipped", cause
                )
            elif not self.open_needs[job]:
                self._skip_all(decision, [job], "condition", -1)

    def _skip_all(self, decision: Decision, jobs: Sequence[int], reason: str, cause: int, message: str = "") -> None:
        """Skip jobs, then everything that only they kept waiting; without recursion, chains are long."""
        left = deque([(list(jobs), reason, cause)])
        while left:
            skipped, reason, cause = left.popleft()
            skipped = [job for job in skipped if self.states[job] in (WAITING, READY)]
            if not skipped:
                continue
            self._emit(decision, ev.JobsEnded(skipped, "skipped", reason, cause, message))
            message = ""
            for job in skipped:
                # Downstream of a failure every skipped job names the failure itself, not the skipped job before it.
                origin = cause if reason == "need_failed" else job
                inherited = reason if reason == "need_failed" else "need_skipped"
                waiting = [d for d in self.plan.dependents[job] if self.states[d] == WAITING]
                left.append(([d for d in waiting if self._when[d] == 0], inherited, origin))
                left.append(([d for d in waiting if self._when[d] == 1 and not self.open_needs[d]], "condition", -1))

    def _stop(self, decision: Decision, reason: str, *, by: str = "", job: int = -1) -> None:
        if self.stopping:
            return
        self._emit(decision, ev.RunStopping(reason, by, job))
        of_phase, finals = bool(self.settled), self._finals
        idle = [
            number
            for number, state in enumerate(self.states)
            if state in (WAITING, READY, BACKING_OFF) and (number in finals) == of_phase
        ]
        if idle:
            self._emit(decision, ev.JobsEnded(idle, STATES[_STOPPED[reason]], reason, job))

    def _kill_all(self, decision: Decision, kind: str, grace_s: float | None) -> None:
        for job, state in enumerate(self.states):
            if state == RUNNING:
                self._kill(decision, job, kind, grace_s)

    def _kill(self, decision: Decision, job: int, kind: str, grace_s: float | None) -> None:
        """Ask for the end of a running attempt. Asked again it is passed on only when it shall be quicker."""
        grace = self.plan.declarations[job].grace_s if grace_s is None else grace_s
        if job in self.kills and grace >= self._graces[job]:
            return
        self.kills.setdefault(job, kind)
        self._graces[job] = grace
        decision.kills.append(Kill(job, self.attempts[job], kind, grace))

    def _emit(self, decision: Decision, event: ev.AnyEvent) -> None:
        self.apply(event)
        decision.events.append(event)

    # --- applying -------------------------------------------------------------------------------

    def apply(self, event: ev.AnyEvent) -> None:
        """Change the state as a recorded event says. The only code that does."""
        if isinstance(event, ev.AttemptEnded):  # the most frequent first: this runs for every event
            self._apply_attempt_ended(event)
        elif isinstance(event, ev.AttemptsStarted):
            if event.bundles:
                self.bundles.begin(event.jobs, event.bundles)
            if self.named_slots is not None:
                self.named_slots.hold(event.slots)
            for job in event.jobs:
                self._move(job, RUNNING)
                self.attempts[job] += 1
        elif isinstance(event, ev.JobsEnded):
            self._apply_jobs_ended(event)
        elif isinstance(event, ev.BackoffEnded):
            self._move(event.job, READY)
        elif isinstance(event, ev.PlanExtended):
            self._apply_extended(event)
        elif isinstance(event, ev.RunStopping):
            self.stopping = event.reason
        elif isinstance(event, ev.RunSettled):
            self._apply_settled(event.status)
        elif isinstance(event, ev.RunEnded):
            self.status = event.status
        elif isinstance(event, ev.RunReopened):
            self._apply_reopened(event.jobs)

    def _apply_attempt_ended(self, event: ev.AttemptEnded) -> None:
        job, outcome = event.job, event.outcome
        state = STATE_OF[event.state]
        if self.room is not None:
            self.room.learn(job, event.peak_bytes, ended_well=state == SUCCESS)
        if event.reason == ev.BUNDLE_FAILED:
            self.bundles.failed(job)
        self._move(job, state)
        if self.kills:  # mostly there are none, and this runs once for every attempt
            self.kills.pop(job, None)
            self._graces.pop(job, None)
        if state == SUCCESS:
            if job in self.plan.referenced_results:
                self.results[job] = bytes(event.result)
            self._settle(job, good=True)
            return
        if event.reason == ev.BUNDLE_FAILED:
            return  # the end was not the job's own: it counts neither as a try nor as a loss
        if event.reason == ev.MEMORY_PRESSURE and outcome == "oom":
            self.pressed.add(job)
            self.bundles.part(job)
            return
        if outcome == "lost":
            self.losses[job] = self.losses.get(job, 0) + 1
        elif outcome == "returned":
            self.attempts[job] -= 1  # it never began, so nothing else will ever be heard of that number
        elif outcome in RETRIABLE and state not in (CANCELLED, ABORTED):
            self.failed_tries[job] = self.failed_tries.get(job, 0) + 1
            if outcome == "oom" and state not in FINAL and self._raises_memory(job):
                self._raise_memory(job, self.raised.get(job, 0) + 1)
        if state in FINAL:
            allowed = self.is_allowed(job)
            self.allowed_failures += allowed
            self.counts_as_failure[job] = not allowed
            self._settle(job, good=allowed)

    def _raise_memory(self, job: int, times: int) -> None:
        self.raised[job] = times
        self.bundles.part(job)  # it asks for more than those that it could run with
        amount = memory_after(self.plan.declarations[job], times)
        self.ready.set_memory(job, amount, is_ready=self.states[job] == READY)

    def _apply_jobs_ended(self, event: ev.JobsEnded) -> None:
        state, left_out = STATE_OF[event.state], event.reason == ev.NOT_SELECTED
        if left_out:
            self.left_out.update(event.jobs)
        for job in event.jobs:
            self._move(job, state)
            if state == CACHED and job in self.plan.referenced_results:
                self.results[job] = bytes(event.results.get(job, ev.NO_RESULT))
            if state not in _GOOD:
                self.counts_as_failure[job] = self._is_failure(event, state)
        if self.waiting_finals and not self.settled:
            self.waiting_finals -= len(self._finals.intersection(event.jobs))
        # Only now: jobs of one event may need each other, and none of them may become ready in between.
        for job in event.jobs:
            self._settle(job, good=left_out or state in _GOOD)

    def _apply_settled(self, status: str) -> None:
        """The run as a need of the jobs of `finally` has ended, and with it what stopped the others."""
        self.settled, self.stopping = status, ""
        for job in sorted(self._finals):
            self.open_needs[job] -= 1
            if status != "success":
                self.need_unsuccessful[job] = self.need_failed[job] = 1
            if not self.open_needs[job] and self.states[job] == WAITING and self._comes_true(job):
                self._move(job, READY)

    def _is_failure(self, event: ev.JobsEnded, state: int) -> bool:
        """Whether jobs that ended without an attempt were stopped, or skipped because of a failure."""
        if state != SKIPPED or event.reason == "need_failed":
            return True
        return event.reason == "need_skipped" and bool(self.counts_as_failure[event.cause])

    def _apply_extended(self, event: ev.PlanExtended) -> None:
        """Make room for jobs that were added: they wait for the one that found them, and its dependents wait for them."""
        added = self.plan.extend(event.job, event.columns)
        assert added.start == len(self.states), "BUG: a run begins with a plan that has not grown"
        count = len(added)
        for column in (self.states, self.need_unsuccessful, self.counts_as_failure, self.need_failed):
            column.extend(bytes(count))
        self.attempts.extend(repeat(0, count))
        self.open_needs.extend(repeat(0, count))
        for job in added:
            self._count_needs(job)
        self.counts[WAITING] += count
        self._when.extend(bytes(count))
        self.fusing.extend(added)
        self.ready.extend(added)
        if event.job in self._checkable:
            self._checkable.update(added)
        if event.job in self._conditional:
            self._conditional.update(added)
        for dependent in self.plan.dependents[event.job]:
            if dependent < self._declared:
                self.open_needs[dependent] += count
            elif dependent < added.start:  # found before: of these jobs it needs those that make what it reads
                self.open_needs[dependent] += sum(need in added for need in self.plan.needs[dependent])

    def _apply_reopened(self, jobs: Sequence[int]) -> None:
        """The only way out of a final state. The indexes are computed anew: this happens once in the life of a process."""
        self._kept_status = (self.settled or self._kept_status) if self._finals.issuperset(jobs) else ""
        self.stopping = self.settled = self.status = ""
        self.was_reopened = True
        for job in jobs:
            if self.states[job] in _GOOD:
                self._forced.add(job)
            self.allowed_failures -= self.is_allowed(job)
            self.counts[self.states[job]] -= 1
            self.counts[WAITING] += 1
            self.states[job] = WAITING
            self.counts_as_failure[job] = 0
            self.left_out.discard(job)
            if self.raised.pop(job, 0):
                self.ready.set_memory(job, memory_after(self.plan.declarations[job], 0), is_ready=False)
            self.bundles.forget(job)
            self.pressed.discard(job)
            for by_job in (self.failed_tries, self.losses, self.results):
                by_job.pop(job, None)
        for job in range(len(self.plan)):
            self._count_needs(job)
            if self.open_needs[job] and self.states[job] in (READY, BACKING_OFF):
                # Back to waiting without `_move`: NEXT lists no such move, so that only a person's reopening can make it.
                if self.states[job] == READY:
                    self.ready.leave(job)
                self.counts[self.states[job]] -= 1
                self.counts[WAITING] += 1
                self.states[job] = WAITING
        self.waiting_finals = sum(self.states[job] not in FINAL for job in self._finals)
        for job in jobs:
            if not self.open_needs[job] and self._comes_true(job):
                self._move(job, READY)

    def _count_needs(self, job: int) -> None:
        """Count anew what `_settle` counts down."""
        needs = self.plan.needs[job]
        self.open_needs[job] = sum(self.states[need] not in FINAL for need in needs) + (job in self._finals)
        self.need_unsuccessful[job] = any(map(self._is_bad, needs))
        self.need_failed[job] = any(self.counts_as_failure[need] and self._decides(need, job) for need in needs)

    def _decides(self, need: int, job: int) -> bool:
        """Whether a job that runs when a need failed runs because of this one, and not only after it."""
        ordered = self.plan.only_ordered
        return not ordered or need not in ordered.get(job, ())

    def _move(self, job: int, state: int) -> None:
        """Put a job into a state, with everything that is counted by state."""
        # Counts, queues and resources follow the states here only, but for a reopening. `testing.audit` computes them anew and compares.
        before = self.states[job]
        if state not in NEXT[before]:
            raise IllegalMoveError(self._story(job, state))
        self.states[job] = state
        self.counts[before] -= 1
        self.counts[state] += 1
        if before == READY:
            self.ready.leave(job)
        elif before == RUNNING:
            if self.room is not None:
                self.room.give_back(job, self.bundles.number(job))
            last = not self._sharing or self.bundles.leave(job)
            if last:
                self.resources.give_back(self.ready.demand(job) if self.ready.keys else PLAIN)
            if self.named_slots is not None:
                self.named_slots.leave(job, last=last)
        if state == RUNNING:
            if not self._sharing or self.bundles.leads(job):
                self.resources.take(self.ready.demand(job) if self.ready.keys else PLAIN)
            if self.room is not None:
                self.room.take(job, self.ready.demand(job), self.bundles.number(job))
        elif state == READY:
            self.ready.put(job)
            if job in self._conditional:
                self._unasked[job] = None
            if job in self._checkable and job not in self.plan.growing:
                self._unchecked[job] = None

    def _settle(self, job: int, *, good: bool) -> None:
        """Count a job's end down in its dependents; those with no need left become ready if their `when` came true."""
        open_needs, need_unsuccessful = self.open_needs, self.need_unsuccessful
        for dependent in self.plan.dependents[job]:
            open_needs[dependent] -= 1
            if not good:
                need_unsuccessful[dependent] = 1
                if self._decides(job, dependent):
                    self.need_failed[dependent] |= self.counts_as_failure[job]
            if not open_needs[dependent] and self.states[dependent] == WAITING and self._comes_true(dependent):
                self._move(dependent, READY)

    def _is_bad(self, job: int) -> bool:
        """Whether a job has ended otherwise than well, for those that need it."""
        return self.states[job] in _BAD and job not in self.left_out and not self.is_allowed(job)

    def _comes_true(self, job: int) -> bool:
        """Whether a job whose needs have all ended may start."""
        when = self._when[job]
        return when == 2 or bool(self.need_failed[job]) if when else not self.need_unsuccessful[job]

    def _story(self, job: int, state: int) -> str:
        return (
            f"BUG: job `{self.plan.name(job)}` cannot go from {STATES[self.states[job]]} to {STATES[state]}"
            f" (attempt {self.attempts[job]}, failed tries {self.failed_tries.get(job, 0)}, open needs {self.open_needs[job]},"
            f" stopping {self.stopping!r}, status {self.status!r})"
        )
