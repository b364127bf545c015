"""A whole run from one seed: a fake executor, a clock that jumps, and everything that can go wrong.

`RunState` is driven as the engine drives it: decide, record, act. Between any two of these the runner may be killed; then a fresh state
takes in the journal and goes on. After every step the state is checked against its own indexes, against a second state that has only
seen the journal, and by the referee. The same seed gives the same bytes.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from joblot.core import events as ev
from joblot.core.carryover import CarryOver, Past
from joblot.core.limits import Limits
from joblot.core.model import RETRIABLE, STATES, Outcome
from joblot.core.resources import UNIT
from joblot.core.runstate import RunState
from joblot.journal.codec import encode_events
from joblot.testing.audit import audit, snapshot
from joblot.testing.declare import FUSED, started, story
from joblot.testing.referee import ENDED, GOOD, Referee

if TYPE_CHECKING:
    from collections.abc import Collection

    from joblot.core.commands import Decision, Kill
    from joblot.core.model import Held
    from joblot.core.plan import Plan
    from joblot.core.resources import Demand

_NEVER: Final = float("inf")
_CHANGED: Final = 0.2
_SECONDS: Final = (0.0, 0.001, 0.5, 1.0, 1.0, 2.0, 7.0, 30.0)
_SHARES: Final = (0.0, 0.05, 0.3, 0.3, 0.6, 0.9, 1.2)
"""Of the memory that the run may take, what a job takes."""
_BAD_KINDS: Final = (*RETRIABLE, "lost", "cancelled", "returned")
_decoder: Final = msgspec.json.Decoder(list[ev.AnyEvent])


class Faults(Struct, frozen=True, kw_only=True):
    """What goes wrong in a simulated world. Chances lie between 0 and 1: of an attempt, or of a step of the simulation."""

    bad: float = 0.0
    """An attempt ends otherwise than well."""
    hang: float = 0.0
    """An attempt with a timeout never ends by itself."""
    late: float = 0.0
    """The news of an attempt's end waits for the next step."""
    stale: float = 0.0
    """A step reports the end of an attempt that was reported before."""
    lost: float = 0.0
    """A step loses a worker with what it runs."""
    returned: float = 0.0
    """A step gives attempts back that never began."""
    cancel: float = 0.0
    """In a step a person stops the run; once more, and what runs is killed."""
    runner_killed: float = 0.0
    """The runner is killed before it recorded, and again after it recorded but before it acted."""
    current: float = 0.5
    """A job that declares outputs is found up to date."""
    crowded: float = 0.3
    """In a step other runs wait for something of what all of the machine share, or take some of it, or give it back."""
    most_kills: int = 4
    reopened: float = 0.0
    """The run is reopened after its end."""
    most_reopened: int = 2


CALM: Final = Faults()
ROUGH: Final = Faults(
    bad=0.3, hang=0.1, late=0.15, stale=0.1, lost=0.04, returned=0.05, cancel=0.01, runner_killed=0.02, reopened=0.5
)


class SimulationError(AssertionError):
    """A promise was broken. The text holds the seed and the story."""


class Simulation(Struct, frozen=True):
    """How a simulated run went."""

    seed: int
    status: str
    states: dict[str, str]
    records: list[ev.Record]
    journal: bytes
    """All events as bytes: equal for equal inputs."""
    starts: list[str]
    """The names of the jobs in the order in which their attempts started."""
    runners: int
    """How many processes it took."""
    steps: int
    story: str


def simulate(
    plan: Plan,
    *,
    seed: int,
    limits: Limits | None = None,
    faults: Faults = ROUGH,
    unknown_actions: Collection[int] = (),
    left_out: Collection[int] = (),
    continues: Past | None = None,
) -> Simulation:
    """One run of a plan (without the jobs that are left out) from start to end, through everything that the seed brings.

    It may continue an earlier run: then some of its jobs, by the seed, are not what they were there.

    Raises:
        SimulationError: something happened that must not; the same seed shows it again.
    """
    simulator = _Simulator(plan, seed, limits or Limits(slots=2), faults, unknown_actions, left_out, continues)
    try:
        simulator.run()
    except Exception as error:
        text = f"seed {seed}: {type(error).__name__}: {error}\n{story(simulator.plan, simulator.records)}"
        raise SimulationError(text) from error
    return simulator.result()


class _Simulator:
    def __init__(
        self,
        plan: Plan,
        seed: int,
        limits: Limits,
        faults: Faults,
        unknown: Collection[int],
        left_out: Collection[int],
        past: Past | None = None,
    ) -> None:
        self.records: list[ev.Record] = []
        self.plan = plan
        self._seed = seed
        self._limits = limits
        self._faults = faults
        self._unknown = unknown
        self._left_out = left_out
        self._rng = random.Random(seed)  # noqa: S311 - repeats exactly, which is what it is for
        self._past = past
        continued = {} if past is None else {past.plan.name(job): result for job, result in past.results.items()}
        self._referee = Referee(plan.fresh(), limits, unknown_actions=unknown, left_out=left_out, continued=continued)
        self._bundles: dict[int, list[int]] = {}
        """The live jobs of bundles, each with all that began with it."""
        self._state = self._fresh()
        self.plan = self._state.plan
        self._shadow = self._fresh()
        self._now = 0.0
        self._capacity = limits.slots
        self._live: dict[int, tuple[float, Outcome]] = {}
        self._sizes: dict[int, tuple[float, int]] = {}
        """By live job, when its attempt began and how many bytes it takes in the end."""
        self._reported: list[Outcome] = []
        self._journal = bytearray()
        self._next_seq = 1
        self._runners = 1
        self._reopened = 0
        self._steps = 0
        self._max_steps = 2000 + 200 * len(plan)
        self._others = dict.fromkeys(limits.shared, 0.0)
        """What other runs hold of what all of the machine share."""

    def run(self) -> None:
        """From the start to an end that stays."""
        if not self._commit(self._start()):
            self._new_runner()
        while True:
            while not self._state.ended:
                self._steps += 1
                assert self._steps <= self._max_steps, "the run does not end"
                if not self._commit(self._step()):
                    self._new_runner()
            assert not self._live, f"the run ended and these live: {sorted(self._live)}"
            self._state.cede(self._limits.shared)
            assert not any(self._state.resources.granted.values()), "the run ended and holds something of the machine's"
            if self._reopened >= self._faults.most_reopened or not self._chance(self._faults.reopened):
                break
            self._reopened += 1
            self._new_runner(reopen=True)
        self._replay_all()

    def result(self) -> Simulation:
        """How it went."""
        return Simulation(
            seed=self._seed,
            status=self._state.status,
            states={self.plan.name(job): STATES[state] for job, state in enumerate(self._state.states)},
            records=self.records,
            journal=bytes(self._journal),
            starts=started(self.plan, self.records),
            runners=self._runners,
            steps=self._steps,
            story=story(self.plan, self.records),
        )

    # --- steps ----------------------------------------------------------------------------------

    def _step(self) -> Decision:
        # At most one fault a step, so that the story shows which of them broke a promise.
        state, faults = self._state, self._faults
        self._capacity = self._rng.choice((1, self._limits.slots, self._limits.slots * 4))
        if self._others:
            state.release()
            self._tell_granted()
        if self._others and self._chance(faults.crowded):
            if self._rng.random() < 0.5:
                return self._others_change()
            waited_for = self._rng.sample(sorted(self._others), self._rng.randint(1, len(self._others)))
            state.cede(waited_for)
            self._referee.ceded(waited_for)
        if self._chance(faults.cancel):
            if state.stopping:
                grace_s = self._rng.choice((None, None, 0.0))
                return state.kill_running(self._now, self._capacity, grace_s=grace_s)
            return state.stop("cancelled", self._now, self._capacity, by="dice")
        if self._chance(faults.lost) and self._live:
            return self._lose_worker()
        if self._chance(faults.returned) and self._live:
            back = self._some_live()
            return self._report([Outcome(job, self._live.pop(job)[1].number, "returned") for job in back])
        if self._chance(faults.stale) and self._reported:
            return self._report([self._rng.choice(self._reported)])
        self._pass_time()
        if self._limits.max_memory is not None and (pressed := self._weigh(self._limits.max_memory)):
            return self._report(pressed)
        ended = [job for job, (due, _) in self._live.items() if due <= self._now and not self._chance(faults.late)]
        ended.sort(key=lambda job: self._live[job][0])
        return self._report([self._live.pop(job)[1] for job in ended])

    def _pass_time(self) -> None:
        """On to the next thing that is due, or past it, as a busy machine would."""
        due = [moment for moment, _ in self._live.values()]
        timer = self._state.next_due()
        moment = min([*due, _NEVER if timer is None else timer], default=_NEVER)
        if moment == _NEVER and self._state.resources.refused:
            return  # it waits for other runs, of which the next step may hear
        assert moment < _NEVER, "nothing runs, nothing is due, and the run has not ended"
        self._now = max(self._now, moment)
        if self._chance(0.2):
            self._now += self._rng.choice(_SECONDS)

    def _others_change(self) -> Decision:
        """Other runs take what is free, or give back what they hold."""
        for name, limit in self._limits.named.items():
            if name in self._others:
                free = max(0.0, limit - self._state.resources.granted[name] / UNIT)
                self._others[name] = self._rng.choice((0.0, 0.0, 0.5, 1.0)) * free
        return self._state.ask_again(self._now, self._capacity)

    def _ask(self, needed: Demand) -> Decision:
        """The machine grants what is free, or lets others have it first."""
        used = self._state.resources.granted
        is_free = all(
            not (others := self._others[name] + used[name] / UNIT) or others + amount <= self._limits.named[name] + 1e-6
            for name, amount in needed
        )
        granted: Held | None = None
        if is_free and not self._chance(self._faults.crowded / 2):
            granted = {
                name: self._free_slots(name, int(amount)) for name, amount in needed if name in self.plan.named_slots
            }
        self._referee.asked(needed, granted)
        return self._state.asked(granted, self._now, self._capacity)

    def _weigh(self, limit: int) -> list[Outcome]:
        """Tell the run what all that runs holds, mostly; above the limit end the youngest that may run again, or what is too large by itself."""
        sizes = {job: self._size(job) for job in self._live if job in self._sizes}
        held, memory = sum(sizes.values()), self._state.room
        if memory is not None and self._chance(0.8):
            memory.held = held
            self._referee.weighed(held)
        spared = [job for job in sizes if self.plan.spec(job).once]
        may_end = sorted(sizes.keys() - spared, key=lambda job: (self._sizes[job][0], job))
        if held <= limit or not may_end:
            return []
        job = next((job for job in may_end if sizes[job] > limit), may_end[-1])
        reason = "oom" if sizes[job] > limit else "memory_pressure"
        ended = []
        for one in self._same_process(job):
            number = self._live.pop(one)[1].number
            shared = len(self._bundles.get(one, [])) > 1
            ended.append(
                Outcome(one, number, "oom", peak_bytes=sizes[one], reason=reason, message="dice", shared=shared)
            )
        return ended

    def _size(self, job: int) -> int:
        """Bytes that a live job holds by now: it grows within a second."""
        began, most = self._sizes[job]
        return int(most * min(1.0, self._now - began))

    def _free_slots(self, limit: str, amount: int) -> list[int | str]:
        """Some of the slots that this run does not hold: other runs may have any of the others."""
        used = self._state.granted_slots[limit]
        return self._rng.sample([slot for slot in self.plan.named_slots[limit] if slot not in used], amount)

    def _report(self, outcomes: list[Outcome]) -> Decision:
        # A number that was given back is given out again, so news of it cannot come twice.
        self._reported += [outcome for outcome in outcomes if outcome.kind != "returned"]
        if self._chance(self._faults.stale):
            outcomes = outcomes + outcomes
        if not outcomes:
            return self._state.tick(self._now, self._capacity)
        return self._state.attempts_ended(outcomes, self._now, self._capacity)

    def _lose_worker(self) -> Decision:
        lost = []
        for job in self._some_live():
            _, outcome = self._live.pop(job)
            lost.append(Outcome(job, outcome.number, "lost", message="the worker died", reason="lost", shared=True))
            if outcome.kind != "returned":
                self._reported.append(outcome)
        return self._state.attempts_ended(lost, self._now, self._capacity)

    def _some_live(self) -> list[int]:
        """Some of the live jobs, each with those that share its process."""
        chosen = self._rng.sample(sorted(self._live), self._rng.randint(1, len(self._live)))
        return list(dict.fromkeys(other for job in chosen for other in self._same_process(job)))

    def _same_process(self, job: int) -> list[int]:
        bundle = self._bundles.get(job, [job])
        return [other for other in bundle if other in self._live and self._bundles.get(other, bundle) is bundle]

    def _chance(self, share: float) -> bool:
        return share > 0 and self._rng.random() < share

    # --- recording and acting -------------------------------------------------------------------

    def _commit(self, decision: Decision) -> bool:
        """Record, act, check. False: the runner was killed somewhere in between."""
        if self._killed():
            return False
        if decision.events:
            self._append(decision)
        audit(self._state)
        assert snapshot(self._state) == snapshot(self._shadow), "a replay gives another state"
        if self._killed():
            return False
        for job in decision.starts:
            self._referee.given(job, self._state.memory(job))
            self._begin(job)
        self._share_processes(decision.starts)
        for kill in decision.kills:
            self._kill(kill)
        self._tell_granted()
        if decision.asks:
            return self._commit(self._ask(decision.asks))
        return not decision.checks or self._commit(self._check(decision.checks))

    def _check(self, jobs: list[int]) -> Decision:
        carried: dict[int, bytes] = {}
        if self._past is not None:
            carry = CarryOver(self.plan, self._past, differs=self._differs)
            carry.apply(event for record in self.records for event in record.events)
            carried, _ = carry.carried(jobs)
        declaring = [job for job in jobs if job not in carried and self.plan.spec(job).outputs]
        current = {
            job: self._rng.choice((b"", b'{"value":0}')) for job in declaring if self._chance(self._faults.current)
        }
        return self._state.checked(jobs, current, self._now, self._capacity, carried=carried)

    def _differs(self, job: int, _old: int) -> str:
        return "changed" if random.Random(f"{self._seed} {self.plan.name(job)}").random() < _CHANGED else ""  # noqa: S311

    def _tell_granted(self) -> None:
        granted = {name: amount / UNIT for name, amount in self._state.resources.granted.items()}
        self._referee.settled(granted, self._state.granted_slots)

    def _killed(self) -> bool:
        return self._runners <= self._faults.most_kills and self._chance(self._faults.runner_killed)

    def _append(self, decision: Decision) -> None:
        encoded = encode_events(decision.events)
        events = _decoder.decode(encoded)
        self._journal += encoded + b"\n"
        self.records.append(ev.Record(self._next_seq, self._now, events))
        self._next_seq += len(events)
        self._referee.recorded(events, self._capacity)
        for event in events:
            self._shadow.apply(event)

    def _begin(self, job: int) -> None:
        assert job not in self._live, f"`{self.plan.name(job)}` was handed over and lives"
        number = self._state.attempts[job]
        if job in self.plan.growing:
            self._live[job] = self._now, self._items_outcome(job, number)
            return
        if self._limits.max_memory is not None:
            share = random.Random(f"{self._seed} {self.plan.name(job)}").choice(_SHARES)  # noqa: S311
            self._sizes[job] = self._now, int(share * self._limits.max_memory)
        spec = self.plan.spec(job)
        if spec.timeout_s is not None and self._chance(self._faults.hang):
            self._live[job] = _NEVER, Outcome(job, number, "ok", self._now)
            return
        seconds = self._rng.choice(_SECONDS)
        kind = self._rng.choice(_BAD_KINDS) if self._chance(self._faults.bad) else "ok"
        message = "" if kind == "ok" else f"the dice say {kind}"
        outcome = Outcome(job, number, kind, self._now, seconds, message=message)
        if kind == "exit":
            outcome.exit_code = 64 + (job + number) % 16
        elif kind == "error":
            name = ("KeyError", "OSError", "my.Error")[(job + number) % 3]
            outcome.raised, outcome.reason = (name, "Exception"), ("exception", "missing_input")[number % 2]
            outcome.message = f"{name}: {message}"
        if kind == "ok" and self._chance(0.5):
            outcome.result = b'{"value":%d,"odd":%s}' % (number, (b"true", b"false")[number % 2])
        self._live[job] = self._now + seconds, outcome

    def _items_outcome(self, job: int, number: int) -> Outcome:
        """How an attempt of a growing job ends: with some items, none, or something wrong with them."""
        if self._chance(self._faults.bad):
            return Outcome(job, number, "error", self._now, message="the dice say bad items")
        if job in self.plan.grown:
            return Outcome(job, number, "ok", self._now)
        return Outcome(
            job, number, "ok", self._now, items={"": [str(item) for item in range(self._rng.choice((0, 1, 3)))]}
        )

    def _share_processes(self, jobs: list[int]) -> None:
        """Those that were begun together share a process, which may fail before they are done."""
        bundles: dict[int, list[int]] = {}
        for job in jobs:
            self._bundles.pop(job, None)
            if self._state.bundles.number(job):
                bundles.setdefault(self._state.bundles.number(job), []).append(job)
        for bundle in bundles.values():
            self._bundles.update(dict.fromkeys(bundle, bundle))
            for job in bundle:
                due, outcome = self._live[job]
                if outcome.kind != "ok":
                    self._live[job] = due, Outcome(job, outcome.number, "error", self._now, message="its own fault")
            if self._chance(self._faults.bad):
                moment = self._now + self._rng.choice(_SECONDS)
                self._end_process(bundle, moment, self._rng.choice((*RETRIABLE, "lost")))

    def _end_process(self, jobs: list[int], moment: float, kind: str) -> None:
        """What is not done by then ends with the process."""
        for job in jobs:
            due, outcome = self._live[job]
            if due > moment:
                shared = len(jobs) > 1
                self._live[job] = moment, Outcome(job, outcome.number, kind, self._now, message="died", shared=shared)

    def _kill(self, kill: Kill) -> None:
        self._referee.killed(kill)
        assert self._live[kill.job][1].number == kill.number
        latest = self._now + kill.grace_s * self._rng.random()
        self._end_process(
            self._same_process(kill.job), latest, self._rng.choice(("crash", "crash", "exit", "ok", "returned"))
        )

    # --- another process ------------------------------------------------------------------------

    def _fresh(self) -> RunState:
        plan = self.plan.fresh()  # what grew and was not recorded died with the runner
        checkable = [job for job, spec in enumerate(plan.declarations) if spec.outputs or self._past is not None]
        return RunState(plan, self._limits, unknown_actions=self._unknown, checkable=checkable, fuse_rules=FUSED)

    def _new_runner(self, *, reopen: bool = False) -> None:
        """Everything that ran is killed, as the warden does it, and another process goes on with the journal."""
        while True:
            self._runners += 1
            self._referee.begun_anew()
            self._reported = []
            self._live.clear()
            self._sizes.clear()
            self._referee.weighed(0)
            self._bundles.clear()
            self._now += self._rng.choice(_SECONDS)
            self._state = self._replay()
            self.plan = self._state.plan
            if self._continue(reopen=reopen):
                return
            reopen = False

    def _continue(self, *, reopen: bool) -> bool:
        state = self._state
        if not self.records:
            return self._commit(self._start())
        if (reopen or (state.stopping and not state.ended)) and not self._commit(state.reopen(self._to_reopen())):
            return False
        return state.ended or self._commit(state.resume(self._now, self._capacity))

    def _start(self) -> Decision:
        return self._state.start(self._now, self._capacity, left_out=self._left_out)

    def _to_reopen(self) -> list[int]:
        """Jobs to take back to the beginning: all that did not succeed, or any that have ended, left out or not."""
        state = self._state
        ended = [job for job, code in enumerate(state.states) if STATES[code] in ENDED]
        if self._chance(0.5):
            return [job for job in ended if STATES[state.states[job]] not in GOOD and job not in state.left_out]
        return self._rng.sample(ended, self._rng.randint(0, len(ended)))

    def _replay(self) -> RunState:
        state = self._fresh()
        for record in self.records:
            for event in record.events:
                state.apply(event)
        return state

    def _replay_all(self) -> None:
        assert snapshot(self._replay()) == snapshot(self._state), "a replay of the whole run gives another state"
