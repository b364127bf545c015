"""The judge of a run: it reads events as they are recorded and objects to what must never happen.

It knows the promises, and nothing of how `RunState` keeps them.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from joblot.core import events as ev
from joblot.core.model import RETRIABLE, STATES
from joblot.testing.order import before

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from joblot.core.commands import Kill
    from joblot.core.limits import Limits
    from joblot.core.model import Held
    from joblot.core.plan import Plan
    from joblot.core.resources import Demand

_NOTHING: Final[Mapping[str, bytes]] = MappingProxyType({})
GOOD: Final = frozenset({"success", "cached"})
ENDED: Final = frozenset(STATES[4:])


class Referee:
    """Judges a run by its events and kills alone. The plan is the judge's own: it grows as it is recorded to.

    Every method raises AssertionError with the rule that was broken.
    """

    def __init__(
        self,
        plan: Plan,
        limits: Limits,
        *,
        unknown_actions: Collection[int] = (),
        left_out: Collection[int] = (),
        continued: Mapping[str, bytes] = _NOTHING,
    ) -> None:
        self._plan = plan
        self._limits = limits
        self._unknown = frozenset(unknown_actions)
        self._left_out = set(left_out)
        """Jobs that take no part, for as long as nobody asks for them by name."""
        self._continued = continued
        """By name, the results of the jobs that ended well in the run that this one continues."""
        self._otherwise: set[int] = set()
        """Jobs that ran here and whose result is not the one that they had there, or that failed and may not."""
        self._ran: set[int] = set()
        self._before = before(plan)
        self._states = ["open"] * len(plan)
        self._numbers = [0] * len(plan)
        self._tries = [0] * len(plan)
        self._losses = [0] * len(plan)
        self._short = [0] * len(plan)
        """How often each job has had too little memory, and was to be tried again."""
        self._live: dict[int, list[int]] = {}
        """The running jobs, each with those that began with it in the same process, itself included."""
        self._slots: dict[int, Held] = {}
        """The slots with names that running jobs hold."""
        self._halves: dict[int, tuple[int, list[int]]] = {}
        """By identity of a bundle that failed, half of what was left of it; and the bundle, so that no other gets its identity."""
        self._max_sizes: dict[int, int] = {}
        """How many jobs the next bundle with a job may have, where a bundle has failed."""
        self._pressed: set[int] = set()
        self._weight = 0
        self._graces: dict[int, float] = {}
        self._was_live: frozenset[int] = frozenset()
        self._unknown_end: set[int] = set()
        self._failures: set[int] = set()
        """Jobs that failed, were stopped, or were skipped because of one that did."""
        self._stopping = ""
        self._must_stop = False
        self._status = ""
        self._settled = ""
        self._results: dict[int, bytes] = {}
        self._kept_status = ""
        """How the run ended before only jobs of `finally` were taken back."""
        self._granted = dict.fromkeys(limits.shared, 0.0)
        self._granted_slots: dict[str, set[int | str]] = {}
        """Of those whose slots have names, which it may hold."""
        """How much the machine lets the run use of what all its runs share."""
        self._is_driven = True
        """Whether what ran is not that of an earlier process, before this one takes it for lost."""
        self._ceded: dict[str, float] = {}
        """What others wait for, and how much of it the run may hold after the next decision: it gives back what ends."""

    def asked(self, needed: Demand, granted: Held | None) -> None:
        """Judge what the machine was asked for: what a job needs, all of it, with nothing kept that was not in use. None: it was refused."""
        held = self._held()
        for name, amount in needed:
            assert name in self._granted, f"asked for `{name}`, which is the run's own"
            assert self._granted[name] <= held[name] + 1e-6, f"asked for `{name}` and kept some of it"
            if granted is not None:
                self._granted[name] = held[name] + amount
                self._ceded.pop(name, None)
                self._granted_slots[name] = self._taken(name) | set(granted.get(name, ()))

    def ceded(self, names: Iterable[str]) -> None:
        """Others wait for these."""
        held = self._held()
        self._ceded = {name: held[name] for name in names}
        for name, amount in self._ceded.items():
            self._granted[name] = min(self._granted[name], amount)

    def settled(self, granted: Mapping[str, float], slots: Held) -> None:
        """Judge what the run keeps after a decision: all that it uses, and no more than it was granted."""
        held = self._held() if self._is_driven else dict.fromkeys(granted, 0.0)
        for name, amount in granted.items():
            assert amount <= self._granted[name] + 1e-6, f"{amount:g} `{name}` kept of {self._granted[name]:g}"
            assert held[name] <= amount + 1e-6, f"{held[name]:g} `{name}` in use, and {amount:g} granted"
            self._granted[name] = amount
        for name, kept in slots.items():
            assert self._granted_slots.get(name, set()) >= set(kept), f"slots of `{name}` kept that were not granted"
            assert not self._is_driven or len(kept) == granted[name], (
                f"{len(kept)} slots kept of {granted[name]:g} `{name}`"
            )
            self._granted_slots[name] = set(kept)
        self._ceded = {}

    def begun_anew(self) -> None:
        """Another process drives the run: what the last one was granted went with it."""
        self._granted = dict.fromkeys(self._granted, 0.0)
        self._is_driven, self._ceded, self._granted_slots = False, {}, {}

    def _held(self) -> dict[str, float]:
        processes = {id(bundle): bundle[0] for bundle in self._live.values()}
        demands = [dict(self._plan.demand(job)) for job in processes.values()]
        return {name: sum(demand.get(name, 0.0) for demand in demands) for name in self._granted}

    def recorded(self, events: Iterable[ev.AnyEvent], capacity: int) -> None:
        """Judge the events of one decision. `capacity` is what the executor took at once when it was made."""
        others_in_flight = len(self._live) - 1  # before any of them: attempts that one decision ends were lost together
        for event in events:
            match event:
                case ev.AttemptsStarted():
                    before = self._held() if self._ceded else {}
                    self._started(event, capacity)
                    for name in self._ceded:
                        assert self._held()[name] <= before[name], f"`{name}` was used again that others wait for"
                case ev.AttemptEnded():
                    self._attempt_ended(event, others_in_flight)
                case ev.JobsEnded():
                    self._jobs_ended(event)
                case ev.PlanExtended():
                    self._extended(event)
                case ev.BackoffEnded():
                    self._rule(event.job, self._states[event.job] == "backing_off", "a wait ended that never began")
                    self._states[event.job] = "open"
                case ev.RunStopping():
                    assert not self._stopping, "a run stops once"
                    assert not self._status, "a run that has ended does not stop"
                    self._stopping = event.reason
                case ev.RunSettled():
                    self._run_settled(event.status)
                case ev.RunEnded():
                    self._run_ended(event.status)
                case ev.RunReopened():
                    self._reopened(event.jobs)
                case ev.RunStarted() | ev.RunResumed():
                    self._is_driven = True

    def _extended(self, event: ev.PlanExtended) -> None:
        self._rule(event.job, event.job in self._live, "a plan grew by a job that does not run")
        assert not self._stopping, "a plan grew after the stop"
        assert event.first == len(self._states), "jobs were added somewhere else than at the end"
        self._plan.extend(event.job, event.columns)
        self._before = before(self._plan)
        self._states += ["open"] * event.jobs
        for column in (self._numbers, self._tries, self._losses, self._short):
            column.extend([0] * event.jobs)

    def weighed(self, held: int) -> None:
        """The run is told that all that runs holds so many bytes."""
        self._weight = held

    def given(self, job: int, memory: int) -> None:
        """Judge what an attempt may use that begins now: bytes, 0 for what the job declares."""
        due = self._memory(job) if self._short[job] and self._plan.spec(job).retry.memory_factor > 1 else 0
        self._rule(job, abs(memory - due) < 1, f"given {memory} bytes of memory, and {due:g} are due")

    def _memory(self, job: int) -> float:
        """What the job's next attempt may use: what it declares, raised once for each time that it was too little."""
        spec = self._plan.spec(job)
        policy, amount = spec.retry, spec.resources.get("memory", 0.0)
        for _ in range(self._short[job]):
            amount = min(amount * policy.memory_factor, policy.max_memory or float("inf"))
        return amount

    def _demand(self, job: int) -> dict[str, float]:
        """What the job asks for by now."""
        demand = dict(self._plan.demand(job))
        return {**demand, "memory": self._memory(job)} if "memory" in demand else demand

    def killed(self, kill: Kill) -> None:
        """Judge a kill: of an attempt that lives, and again only when it shall be quicker."""
        self._rule(kill.job, kill.job in self._live, "a kill of what does not run")
        self._rule(kill.job, kill.number == self._numbers[kill.job], "a kill of another attempt")
        self._rule(
            kill.job, kill.grace_s < self._graces.get(kill.job, float("inf")), "a second kill that is no quicker"
        )
        for job in self._same_process(kill.job):
            self._graces[job] = kill.grace_s

    def _same_process(self, job: int) -> list[int]:
        """The jobs that run in the same process, itself included."""
        bundle = self._live[job]
        return [other for other in bundle if self._live.get(other) is bundle]

    def _rule(self, job: int, holds: bool, broken: str) -> None:
        assert holds, f"{broken}: job `{self._plan.name(job)}` ({self._states[job]}, attempt {self._numbers[job]})"

    def _started(self, event: ev.AttemptsStarted, capacity: int) -> None:
        jobs = event.jobs
        assert not self._stopping, "something started after the stop"
        assert not self._must_stop, "something started after the last failure that was allowed"
        for job in jobs:
            policy = self._plan.spec(job).retry
            self._rule_of_phase(job)
            takes = [need for need in self._before[job].needs if self._is_allowed(need) and self._takes(job, need)]
            is_early = any(self._states[maker] not in ENDED for maker in self._before[job].needs)
            self._rule(job, self._plan.condition(job, self._results) is not False, "a job started whose `if` is false")
            self._rule(job, not takes, "a job started that takes in what one did not make")
            self._rule(job, job not in self._live, "two live attempts of one job")
            self._rule(job, self._states[job] == "open", "a job started that has ended or waits")
            self._rule(job, job not in self._unknown, "a job started whose action is unknown")
            self._rule(job, job not in self._left_out, "a job started that was left out")
            self._rule(job, job not in self._unknown_end, "a job started again that must run once")
            self._rule(job, self._tries[job] < policy.max_attempts, "more tries than allowed")
            self._rule(job, job in self._was_live or self._may_start(job), "a job started before its needs allow it")
            self._rule(job, not is_early, "a job started before all that it needs or reads had its end")
            self._numbers[job] += 1
        for bundle in self._bundles(event):
            self._judge_bundle(bundle)
            self._judge_slots(bundle, event.slots)
            self._live.update(dict.fromkeys(bundle, bundle))
        for job in self._live:
            suspect = self._losses[job] >= self._limits.crash_limit
            self._rule(job, not suspect or len(self._live) == 1, "beside others after so many losses")
            pressed = job in self._pressed and self._limits.max_memory is not None
            self._rule(job, not pressed or len(self._live) == 1, "beside others after it was ended for their memory")
        self._judge_resources(capacity)

    def _rule_of_phase(self, job: int) -> None:
        """The jobs of `finally` come behind the end of all others, and nothing else does."""
        if job in self._plan.finals:
            self._rule(job, bool(self._settled), "a job of `finally` before the run was settled")
        else:
            self._rule(job, not self._settled, "no job of `finally`, and the run was settled")

    def _bundles(self, event: ev.AttemptsStarted) -> list[list[int]]:
        if not event.bundles:
            return [[job] for job in event.jobs]
        assert sum(event.bundles) == len(event.jobs), "bundles of more or fewer jobs than start"
        ends = list(accumulate(event.bundles, initial=0))
        return [event.jobs[start:end] for start, end in pairwise(ends)]

    def _judge_bundle(self, bundle: Sequence[int]) -> None:
        assert len(bundle) <= self._limits.max_bundle, f"a bundle of {len(bundle)} jobs"
        for job in bundle:
            spec = self._plan.spec(job)
            self._rule(
                job, len(bundle) <= self._max_sizes.get(job, len(bundle)), "in more than half of a bundle that failed"
            )
            self._rule(job, len(bundle) == 1 or not spec.once, "in a bundle, and must run once")
            self._rule(job, self._agreed(job) == self._agreed(bundle[0]), "in a bundle with a job of another kind")

    def _judge_slots(self, bundle: Sequence[int], chosen: Mapping[int, Held]) -> None:
        """A process holds as many slots with names as one of its jobs asks for: of those that nobody else holds the first."""
        demand, named = dict(self._plan.demand(bundle[0])), self._plan.named_slots
        for job in bundle:
            held = chosen.get(job, {})
            self._rule(job, held == chosen.get(bundle[0], {}), "other slots than the first of its bundle")
            self._rule(job, held.keys() == demand.keys() & named.keys(), "slots of other limits than it asks for")
        for limit, slots in chosen.get(bundle[0], {}).items():
            taken = self._taken(limit)
            may_hold = self._granted_slots.get(limit, set()) if limit in self._granted else set(named[limit])
            free = [slot for slot in named[limit] if slot in may_hold - taken]
            self._rule(bundle[0], len(slots) == demand[limit], "more or fewer slots than it asks for")
            self._rule(bundle[0], set(slots) <= set(named[limit]), "a slot that is none of the limit's")
            self._rule(bundle[0], set(slots).isdisjoint(taken), "a slot that another holds")
            self._rule(bundle[0], slots == free[: len(slots)], "a slot behind one that is free")
        self._slots.update({job: chosen[job] for job in bundle if job in chosen})

    def _taken(self, limit: str) -> set[int | str]:
        return {slot for its in self._slots.values() for slot in its.get(limit, ())}

    def _agreed(self, job: int) -> object:
        spec = self._plan.spec(job)
        return spec.action, spec.input, spec.priority, self._demand(job), spec.timeout_s, spec.grace_s, spec.env

    def _ends_of_needs(self, job: int) -> list[str]:
        """The states of what a job needs; what was left out, or failed and may, counts as a success."""
        needs = self._before[job].needs
        return ["success" if need in self._left_out or self._is_allowed(need) else self._states[need] for need in needs]

    def _takes(self, job: int, need: int) -> bool:
        """Whether a job takes in what another one makes. What is not written comes before an alarm and decides nothing of it."""
        decides = self._plan.spec(job).when == "success" or need in self._deciding(job)
        reads = need in self._before[job].makers and decides
        return reads or need in self._plan.results_used(job)

    def _is_allowed(self, job: int) -> bool:
        return self._states[job] == "failed" and self._plan.spec(job).allow_failure

    def _may_start(self, job: int) -> bool:
        needs = self._ends_of_needs(job)
        good = all(state in GOOD for state in needs) and (job not in self._plan.finals or self._settled == "success")
        comes_true = {"success": good, "failure": self._need_failed(job), "always": True}
        return all(state in ENDED for state in needs) and comes_true[self._plan.spec(job).when]

    def _need_failed(self, job: int) -> bool:
        run_failed = job in self._plan.finals and self._settled not in ("", "success")
        return run_failed or any(need in self._failures for need in self._deciding(job))

    def _deciding(self, job: int) -> set[int]:
        """The needs whose failure a job with `when: failure` runs after: those that are written, with what they found."""
        row = self._before[job]
        found = {one for need in row.written for one in self._plan.grown.get(need, ())}
        return row.written | (found & row.needs)

    def _judge_resources(self, capacity: int) -> None:
        # Amounts are floats here and millionths in `Resources`, hence the tolerance: its arithmetic is what is judged.
        processes = {id(bundle): bundle[0] for bundle in self._live.values()}
        demands = [self._demand(job) for job in processes.values()]
        heavy = [demand for demand in demands if demand]
        used = sum(demand.get("cpu", 1.0) for demand in demands)
        alone = len(demands) == 1
        if heavy:
            assert alone or used <= self._limits.slots + 1e-6, f"{used:g} of {self._limits.slots} slots in use"
        else:
            assert used <= max(capacity, self._limits.slots), f"{used:g} attempts out, capacity {capacity}"
        amounts = self._limits.named
        if self._limits.max_memory is not None:
            amounts = {**amounts, "memory": self._limits.max_memory}
            assert alone or self._weight < self._limits.max_memory, f"started beside what holds {self._weight} bytes"
        for name, limit in amounts.items():
            held = [demand[name] for demand in demands if name in demand]
            assert len(held) <= 1 or sum(held) <= limit + 1e-6, f"{sum(held):g} of {limit:g} `{name}` in use"
        for name, amount in self._held().items():
            assert amount <= self._granted[name] + 1e-6, (
                f"{amount:g} `{name}` in use, and {self._granted[name]:g} granted"
            )

    def _attempt_ended(self, event: ev.AttemptEnded, others_in_flight: int) -> None:
        job, spec = event.job, self._plan.spec(event.job)
        self._rule(job, job in self._live, "an end of what does not run")
        self._rule(job, event.attempt == self._numbers[job], "an end of another attempt")
        self._rule(job, (event.outcome == "ok") == (event.state == "success"), "a success that is none")
        if event.state == "success":
            self._results[job] = bytes(event.result)
        left = len(self._same_process(job))
        bundle = self._live.pop(job)
        self._slots.pop(job, None)
        killed = self._graces.pop(job, None) is not None
        # A stop or a kill makes ends that are not the job's own: only then may tries be left over.
        if event.outcome == "returned":
            self._numbers[job] -= 1
        elif event.reason == "bundle":
            self._judge_split(event, bundle, left)
        elif event.reason == "memory_pressure" and event.outcome == "oom":
            self._rule(job, event.state == "ready", "the end for the memory of others is not a job's own")
            self._rule(job, not spec.once, "ended for the memory of others, and must run once")
            self._rule(job, job not in self._pressed, "alone, and ended for the memory of others")
            self._pressed.add(job)
        elif event.outcome in RETRIABLE and event.state not in ("cancelled", "aborted"):
            self._tries[job] += 1
            self._short[job] += event.outcome == "oom" and event.state != "failed"
            if not self._stopping and not killed:
                retried = _is_meant(event, spec.retry.only) and self._tries[job] < spec.retry.max_attempts
                self._rule(job, retried == (event.state != "failed"), "a failure with tries left, or a try too many")
        elif event.outcome in ("lost", "interrupted") and spec.once and (self._settled or job not in self._plan.finals):
            self._unknown_end.add(job)
        elif event.outcome == "lost" and not self._stopping:
            self._judge_loss(event, others_in_flight)
        self._set_state(job, event.state)
        if event.state in ENDED:
            self._ran.add(job)
            same = self._is_allowed(job) or self._continued.get(self._plan.name(job)) == bytes(event.result)
            if job not in self._plan.growing:
                (self._otherwise.discard if same else self._otherwise.add)(job)

    def _judge_split(self, event: ev.AttemptEnded, bundle: list[int], left: int) -> None:
        """The first of those that are left when a bundle fails tells how many may be together next."""
        job = event.job
        self._rule(job, len(bundle) > 1, "alone, and taken for a bundle")
        self._rule(job, event.state == "ready", "the end of a bundle is not a job's own")
        half = self._halves.setdefault(id(bundle), (max(1, left // 2), bundle))[0]
        self._max_sizes[job] = half

    def _judge_loss(self, event: ev.AttemptEnded, others_in_flight: int) -> None:
        job = event.job
        self._losses[job] += 1
        if event.state == "failed":
            self._rule(job, not others_in_flight, "given up after a loss with others in flight")
        else:
            allowed = bool(others_in_flight) or self._losses[job] < self._limits.crash_limit
            self._rule(job, allowed, "lost alone once more than allowed")

    def _set_state(self, job: int, state: str) -> None:
        self._states[job] = "open" if state in ("ready", "waiting") else state
        if self._is_allowed(job):
            return
        if state in ("failed", "cancelled", "aborted"):
            self._failures.add(job)
        if state == "failed" and job not in self._plan.finals:
            most = self._limits.max_failures
            failed = [
                other for other, its in enumerate(self._states) if its == "failed" and not self._is_allowed(other)
            ]
            if isinstance(most, float):
                part = [other for other in range(len(self._states)) if other not in self._left_out | self._plan.finals]
                self._must_stop = self._must_stop or len(failed) * 100 > round(most * 100, 4) * len(part)
            else:
                self._must_stop = self._must_stop or (most is not None and len(failed) >= most)

    def _jobs_ended(self, event: ev.JobsEnded) -> None:
        stopped = {"cancelled": "cancelled", "fail_fast": "aborted", "max_failures": "aborted", "time_limit": "aborted"}
        for job in event.jobs:
            self._rule(job, job not in self._live, "a job ended whose attempt lives")
            self._rule(job, self._states[job] not in ENDED, "a final state changed")
            if event.reason not in ("unknown_action", "not_selected") and event.cause not in self._plan.finals:
                self._rule_of_phase(job)
            if event.state in ("cancelled", "aborted"):
                self._rule(job, stopped.get(self._stopping) == event.state, "a job was stopped and the run was not")
            elif event.state == "cached":
                if event.reason == ev.CARRIED_OVER:
                    self._judge_carried(job)
                else:
                    self._rule(job, bool(self._plan.spec(job).outputs), "a job without outputs was up to date")
                self._rule(job, self._may_start(job), "a job was up to date before its needs allow it")
                self._rule(job, not self._stopping, "a job was up to date after the stop")
            elif event.state == "skipped":
                self._rule(job, self._may_skip(job, event), f"a job was skipped without cause ({event.reason})")
        for job in event.jobs:
            if event.state == "cached":
                self._results[job] = bytes(event.results.get(job, b""))
            self._set_state(job, event.state)
            if event.reason == "need_failed" or (event.reason == "need_skipped" and event.cause in self._failures):
                self._failures.add(job)

    def _judge_carried(self, job: int) -> None:
        needs = self._plan.needs[job]
        self._rule(job, self._plan.name(job) in self._continued, "carried over from nowhere")
        self._rule(job, job not in self._plan.finals, "a job of `finally` was carried over")
        if not self._plan.spec(job).once:
            is_handler = self._plan.spec(job).when != "success"
            self._rule(job, not is_handler or self._ran.isdisjoint(needs), "carried over below another end")
            self._rule(job, self._otherwise.isdisjoint(needs), "carried over below what came out otherwise")

    def _may_skip(self, job: int, event: ev.JobsEnded) -> bool:
        # What takes no part must be skipped for that reason and no other, or what needs it would be skipped as well.
        if event.reason == "not_selected" or job in self._left_out:
            return event.reason == "not_selected" and job in self._left_out
        match event.reason:
            case "unknown_action":
                return job in self._unknown
            case "condition":
                if event.message:
                    return self._may_start(job) and self._plan.condition(job, self._results) is False
                ended = all(state in ENDED for state in self._ends_of_needs(job))
                if job in self._plan.finals and self._plan.spec(job).when == "success":
                    return self._settled not in ("", "success")
                return self._plan.spec(job).when == "failure" and ended and not self._need_failed(job)
            case "no_result":
                gone = self._is_allowed(event.cause) or (
                    job in self._plan.finals and self._states[event.cause] in ENDED - GOOD
                )
                return gone and self._takes(job, event.cause)
            case "need_failed" | "need_skipped":
                return self._plan.spec(job).when == "success" and self._is_cause(event, job)
            case _:
                return False

    def _is_cause(self, event: ev.JobsEnded, job: int) -> bool:
        """Whether what a skipped job names as the cause is one: the failure, wherever it was, or the need that was skipped itself."""
        state = self._states[event.cause]
        if self._is_allowed(event.cause):
            return False
        if event.reason == "need_failed":
            return state == "failed" and any(need in ENDED - GOOD for need in self._ends_of_needs(job))
        return state in ENDED - GOOD and event.cause in self._before[job].needs and event.cause not in self._left_out

    def _run_settled(self, status: str) -> None:
        assert not self._settled, "a run is settled once"
        assert not self._status, "a run that has ended is not settled"
        finals = self._plan.finals
        left = [
            self._plan.name(job) for job, state in enumerate(self._states) if state not in ENDED and job not in finals
        ]
        assert not left, f"the run was settled before {left}"
        assert status == self._due_status(), f"settled as {status}"
        self._settled, self._stopping, self._must_stop = status, "", False

    def _run_ended(self, status: str) -> None:
        assert not self._status, "a run ends once"
        left = [self._plan.name(job) for job, state in enumerate(self._states) if state not in ENDED]
        assert not left, f"the run ended before {left}"
        assert status == (self._settled or self._due_status()), status
        self._status = status

    def _due_status(self) -> str:
        """The status that the ends of all jobs but those of `finally` come to."""
        if self._kept_status:
            return self._kept_status
        if self._stopping == "cancelled":
            return "cancelled"
        finals = self._plan.finals
        states = (state for job, state in enumerate(self._states) if job not in finals and not self._is_allowed(job))
        return "failed" if any(state in ("failed", "aborted") for state in states) else "success"

    def _reopened(self, jobs: Iterable[int]) -> None:
        jobs, finals = set(jobs), self._plan.finals
        only_finals = bool(finals) and jobs <= finals
        self._kept_status = (self._settled or self._kept_status) if only_finals else ""
        for job in () if only_finals else finals - jobs - self._left_out:
            self._rule(
                job, self._states[job] not in ENDED, "the run goes on, and this job of `finally` is not taken back"
            )
        self._status = self._stopping = self._settled = ""
        self._must_stop = False
        self._was_live = frozenset(self._live)
        for job in jobs:
            self._rule(job, self._states[job] in ENDED, "a job was taken back that had not ended")
            self._states[job], self._tries[job], self._losses[job], self._short[job] = "open", 0, 0, 0
            self._failures.discard(job)
            self._results.pop(job, None)
            self._left_out.discard(job)
            self._unknown_end.discard(job)
            self._otherwise.discard(job)
            self._ran.discard(job)
            self._max_sizes.pop(job, None)
            self._pressed.discard(job)
        for job, state in enumerate(self._states):
            if state == "backing_off" and (
                job in finals or any(self._states[need] not in ENDED for need in self._before[job].needs)
            ):
                self._states[job] = "open"  # it waits again, and not only for the time of its next try


def _is_meant(event: ev.AttemptEnded, only: tuple[str, ...]) -> bool:
    """Whether a failed try may be tried again; exceptions are told by what the message begins with."""
    found = {event.outcome, event.reason, f"reason {event.reason}", event.message.partition(":")[0]}
    if event.outcome == "exit":
        spans = [entry.removeprefix("exit ").split("..") for entry in only if entry.startswith("exit ")]
        found |= {
            f"exit {'..'.join(span)}" for span in spans if int(span[0]) <= (event.exit_code or 0) <= int(span[-1])
        }
    return not only or not found.isdisjoint(only)
