"""A run whose steps a test takes itself: no processes, no disk, no waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from joblot.clock import ManualClock
from joblot.core import events as ev
from joblot.core.limits import Limits
from joblot.core.model import STATES, Config, Outcome
from joblot.core.plan import expand
from joblot.core.resources import UNIT
from joblot.core.runstate import RunState
from joblot.journal.memory import MemoryJournal
from joblot.testing.audit import audit, snapshot
from joblot.testing.declare import FUSED, declare, started, story
from joblot.testing.referee import GOOD, Referee

if TYPE_CHECKING:
    from collections.abc import Collection

    from joblot.core.commands import Decision, Kill
    from joblot.core.model import Held
    from joblot.core.resources import Demand

RUN_ID: Final = "world"


class World:
    """A run whose every step a test takes itself. The clock starts at 0 and stands still between the verbs.

    All that is decided goes into `journal`; after every verb the state is checked against itself, against a replay of the journal, and by
    a referee. Verbs return the decision that followed.
    """

    def __init__(
        self,
        batch: str | Config,
        *,
        slots: int = 4,
        capacity: int = 0,
        unknown: Collection[str] = (),
        left_out: Collection[str] = (),
        fuse: bool = True,
        **limits: Any,
    ) -> None:
        self.plan = expand(declare(batch) if isinstance(batch, str) else batch)
        self._rules = FUSED if fuse else {}
        self.limits = Limits(slots=slots, **limits)
        self.capacity = capacity or slots
        self.clock = ManualClock(wall=0.0)
        self.journal = MemoryJournal()
        self.others: dict[str, float] = dict.fromkeys(self.limits.shared, 0.0)
        """What other runs hold of what all of the machine share."""
        self.asks: list[Demand] = []
        """What the machine was asked for, in order."""
        self.kills: list[Kill] = []
        """Every kill that was asked for, in order."""
        self._unknown = [self._number(name) for name in unknown]
        self._left_out = [self._number(name) for name in left_out]
        self._referee = Referee(self.plan.fresh(), self.limits, unknown_actions=self._unknown, left_out=self._left_out)
        self.state = self._fresh()
        self.plan = self.state.plan
        self.journal.create(RUN_ID, batch="world", source="", jobs=len(self.plan), plan=self.plan.encoded, at=0.0)

    # --- verbs ----------------------------------------------------------------------------------

    def start(self) -> Decision:
        """Begin the run."""
        return self._record(self.state.start(self.now, self.capacity, left_out=self._left_out))

    def ok(self, name: str, result: Any = None) -> Decision:
        """The job's attempt ends well."""
        encoded = b"" if result is None else msgspec.json.encode(result)
        return self.end(Outcome(self._running(name), self.attempts(name), "ok", result=encoded))

    def find(self, name: str, *items: str) -> Decision:
        """The growing job's attempt ends well, and these are the items that it found."""
        return self.end(Outcome(self._running(name), self.attempts(name), "ok", items={"": list(items)}))

    def fail(self, name: str, kind: str = "error", message: str = "it failed") -> Decision:
        """The job's attempt ends otherwise than well; any outcome kind."""
        return self.end(Outcome(self._running(name), self.attempts(name), kind, message=message, reason=kind))

    def fail_bundle(self, name: str, kind: str = "crash", message: str = "it died") -> Decision:
        """The process that the job shares with others fails as a whole."""
        number = self.state.bundles.number(self._running(name))
        assert number, f"`{name}` runs alone\n{self.story()}"
        return self.end(
            *(
                Outcome(job, self.state.attempts[job], kind, message=message, reason=kind, shared=True)
                for job in self.state.bundles.running
                if self.state.bundles.number(job) == number
            )
        )

    def end(self, *outcomes: Outcome) -> Decision:
        """The executor reports outcomes, which may be of any attempt."""
        return self._record(self.state.attempts_ended(outcomes, self.now, self.capacity))

    def lose(self, *names: str) -> Decision:
        """The machinery around the jobs' attempts dies."""
        attempts = [(self._running(name), self.attempts(name)) for name in names]
        return self.end(
            *(Outcome(*attempt, "lost", message="the worker died", reason="lost", shared=True) for attempt in attempts)
        )

    def advance(self, seconds: float) -> Decision:
        """Time passes."""
        self.clock.advance(seconds)
        return self._record(self.state.tick(self.now, self.capacity))

    def cancel(self, by: str = "test") -> Decision:
        """A person stops the run; what runs may end."""
        return self._record(self.state.stop("cancelled", self.now, self.capacity, by=by))

    def kill(self, grace_s: float | None = None) -> Decision:
        """What still runs is killed."""
        return self._record(self.state.kill_running(self.now, self.capacity, grace_s=grace_s))

    def give_back(self, **others: float) -> Decision:
        """Other runs hold these amounts from now on, and what the machine did not grant is asked for again."""
        self.others.update(others)
        return self._record(self.state.ask_again(self.now, self.capacity))

    def cede(self, *names: str) -> None:
        """Other runs wait for these."""
        self.state.cede(names)
        self._referee.ceded(names)

    def crash(self) -> Decision:
        """The runner is killed; another process resumes the run from its journal."""
        self._referee.begun_anew()
        self.state = self._replayed()
        self.plan = self.state.plan
        return self._record(self.state.resume(self.now, self.capacity))

    def reopen(self, *names: str) -> Decision:
        """Another process takes jobs back to the beginning (by default all that did not succeed) and resumes the run."""
        self._referee.begun_anew()
        self.state = self._replayed()
        self.plan = self.state.plan
        jobs = [self._number(name) for name in names] or [
            job
            for job, state in enumerate(self.state.states)
            if STATES[state] not in GOOD and job not in self.state.left_out
        ]
        self._record(self.state.reopen(jobs))
        return self._record(self.state.resume(self.now, self.capacity))

    # --- questions ------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Seconds since the world began."""
        return self.clock.now()

    @property
    def status(self) -> str:
        """The run's final status; empty until it has one."""
        return self.state.status

    def states(self) -> dict[str, str]:
        """The state of every job by name."""
        return {self.plan.name(job): STATES[state] for job, state in enumerate(self.state.states)}

    def running(self) -> list[str]:
        """The names of the jobs with a live attempt, in the order of the batch."""
        return [name for name, state in self.states().items() if state == "running"]

    def bundles(self) -> list[list[str]]:
        """The names of the jobs that run in bundles, bundle by bundle."""
        bundles: dict[int, list[str]] = {}
        for job in self.state.bundles.running:
            bundles.setdefault(self.state.bundles.number(job), []).append(self.plan.name(job))
        return list(bundles.values())

    def attempts(self, name: str) -> int:
        """The number of the job's last attempt; 0 before the first."""
        return self.state.attempts[self._number(name)]

    def events(self) -> list[ev.AnyEvent]:
        """Everything recorded so far."""
        return [event for record in self.journal.records(RUN_ID) for event in record.events]

    def started(self) -> list[str]:
        """The names of the jobs in the order in which their attempts started."""
        return started(self.plan, self.journal.records(RUN_ID))

    def why(self, name: str) -> tuple[str, str]:
        """The reason code of a job that did not run or failed, and the name of the job that caused it (empty: none)."""
        job = self._number(name)
        for event in reversed(self.events()):
            if isinstance(event, ev.JobsEnded) and job in event.jobs:
                return event.reason, self.plan.name(event.cause) if event.cause >= 0 else ""
            if isinstance(event, ev.AttemptEnded) and event.job == job:
                return event.reason, ""
        return "", ""

    def story(self) -> str:
        """What happened, one line an event."""
        return story(self.plan, self.journal.records(RUN_ID))

    # --- inside ---------------------------------------------------------------------------------

    def _number(self, name: str) -> int:
        job = self.plan.find(name)
        assert job is not None, f"no job `{name}` in this world"
        return job

    def _running(self, name: str) -> int:
        assert name in self.running(), f"`{name}` does not run\n{self.story()}"
        return self._number(name)

    def _fresh(self) -> RunState:
        return RunState(self.plan.fresh(), self.limits, unknown_actions=self._unknown, fuse_rules=self._rules)

    def _replayed(self) -> RunState:
        state = self._fresh()
        for event in self.events():
            state.apply(event)
        return state

    def _record(self, decision: Decision) -> Decision:
        if decision.events:
            self.journal.append(RUN_ID, decision.events, self.clock.wall())
        self._referee.recorded(decision.events, self.capacity)
        for job in decision.starts:
            self._referee.given(job, self.state.memory(job))
        for kill in decision.kills:
            self._referee.killed(kill)
            self.kills.append(kill)
        audit(self.state)
        assert snapshot(self._replayed()) == snapshot(self.state), f"a replay gives another state\n{self.story()}"
        granted = {name: amount / UNIT for name, amount in self.state.resources.granted.items()}
        self._referee.settled(granted, self.state.granted_slots)
        if decision.asks:
            self._ask(decision)
        return decision

    def _last_slots(self, limit: str, amount: int) -> list[int | str]:
        """The last slots that this run does not hold: other runs have the first."""
        free = [slot for slot in self.plan.named_slots[limit] if slot not in self.state.granted_slots[limit]]
        return free[-amount:]

    def _ask(self, decision: Decision) -> None:
        """The machine grants what others do not hold; what follows becomes a part of the decision."""
        used, named, slots = self.state.resources.granted, self.limits.named, self.plan.named_slots
        self.asks.append(decision.asks)
        granted: Held | None = None
        if all(self.others[name] + used[name] / UNIT + amount <= named[name] for name, amount in decision.asks):
            granted = {name: self._last_slots(name, int(amount)) for name, amount in decision.asks if name in slots}
        self._referee.asked(decision.asks, granted)
        following = self._record(self.state.asked(granted, self.now, self.capacity))
        decision.events += following.events
        decision.starts += following.starts
        decision.kills += following.kills
