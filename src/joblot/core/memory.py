"""The limit of what all running jobs may hold together: how much each is expected to take, and which may start beside what runs. Pure.

It decides about starts only. What runs is weighed where it runs, and there the youngest is ended when it grows beyond the limit all the
same. Such a job is *pressed*: from then on it is expected to take the whole limit, and so runs alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from joblot.core.resources import Demand  # noqa: TC001 - the fields of a struct can be read

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from joblot.core.plan import Plan
    from joblot.core.ready import Picked

SMALLEST: Final = 64 * 2**20
"""Bytes. Jobs that took less count for nothing: a Python process alone takes about half of it."""


class _Claim(Struct):
    """What a process is expected to take: an `amount` of bytes, until the last of its jobs has ended; `job` is the first of them."""

    job: int
    demand: Demand
    amount: int
    is_alone: bool
    jobs: int = 1


class Memory:
    """What the running jobs of a run are expected to take of `limit` bytes, and what its jobs have been seen to take.

    A job is expected to take what it declares; else the most that it took in earlier runs (`earlier`, by number) and that jobs of its
    declaration took in this one; else the average of what is known of others; at first a slot's share. One that needs more than `largest`,
    as much as there is in any one place, runs alone; so do those that are `pressed`.
    """

    def __init__(
        self, plan: Plan, limit: int, slots: int, pressed: Collection[int], earlier: Mapping[int, int], largest: int = 0
    ) -> None:
        self.limit = limit
        self.held = 0
        """Bytes that all that runs was last seen to hold."""
        self.seen: dict[str, int] = {}
        """The most that an attempt took, by the name of the declaration; 0 for less than SMALLEST."""
        self._seen = 0
        """Their sum."""
        self._plan = plan
        self._pressed = pressed
        self._earlier = earlier
        self._largest = largest or limit
        self._share = limit // slots
        self._claims: dict[int, _Claim] = {}
        """Of the running processes: by job, of bundles by their number below zero."""
        self._claimed = 0

    def learn(self, job: int, peak_bytes: int, *, ended_well: bool) -> None:
        """An attempt has ended, and this is the most that it was seen to take; 0: not known, and little."""
        took, name = peak_bytes if peak_bytes >= SMALLEST else 0, self._plan.declarations[job].name
        known = self.seen.get(name, -1)
        if took > known and (took or ended_well):
            self.seen[name] = took
            self._seen += took - max(known, 0)
            for claim in self._claims.values() if took else ():
                if self._plan.declarations[claim.job].name == name:
                    self._raise(claim, self._expected(claim.job, claim.demand))

    def take(self, job: int, demand: Demand, bundle: int) -> None:
        """A job starts, with those of its bundle in one process; 0: with no other."""
        amount, claim = self._expected(job, demand), self._claims.get(-bundle) if bundle else None
        if claim is not None:
            claim.jobs += 1
            self._raise(claim, amount)
            return
        self._claims[-bundle or job] = _Claim(job, demand, amount, amount >= self.limit)
        self._claimed += amount

    def _raise(self, claim: _Claim, amount: int) -> None:
        """More is expected of a process that runs than when it started."""
        more = max(0, amount - claim.amount)
        claim.amount += more
        self._claimed += more

    def give_back(self, job: int, bundle: int) -> None:
        """A running job has ended."""
        claim = self._claims[-bundle or job]
        claim.jobs -= 1
        if not claim.jobs:
            self._claimed -= self._claims.pop(-bundle or job).amount

    def runs_alone(self, job: int) -> bool:
        """Whether a running job that is in no bundle has had all of the limit to itself from its start."""
        claim = self._claims.get(job)
        return claim is not None and claim.is_alone

    def fitting(self, picked: Picked, demand: Callable[[int], Demand]) -> Picked:
        """Of the jobs to start, and the sizes of their bundles, those up to the first for which there is no room. One may always run."""
        jobs, sizes = picked
        expected = max(self._claimed, self.held)
        first, fitting = 0, 0
        for size in sizes or (1,) * len(jobs):
            claim = max(self._expected(job, demand(job)) for job in jobs[first : first + size])
            is_free = max(expected, claim) < self.limit >= expected + claim
            if (first or self._claims) and not is_free:
                break
            expected += claim
            first += size
            fitting += 1
        return jobs[:first], sizes[:fitting]

    def _expected(self, job: int, demand: Demand) -> int:
        if job in self._pressed:
            return self.limit
        if job in self._plan.growing:  # no process
            return 0
        for name, amount in demand:
            if name == "memory":
                return self._within(int(amount))
        spec, earlier = self._plan.declarations[job], self._earlier.get(job, 0)
        if earlier or spec.name in self.seen:
            return self._within(max(earlier, self.seen.get(spec.name, 0)))
        return self._within(self._seen // len(self.seen) if self.seen else self._share)

    def _within(self, amount: int) -> int:
        return amount if amount <= self._largest else self.limit

    def audit(self, running: Iterable[int]) -> None:
        """Raise AssertionError unless the claims are those of so many jobs as run, and come to what is kept of their sum."""
        assert sum(claim.jobs for claim in self._claims.values()) == len(list(running)), self._claims
        assert self._claimed == sum(claim.amount for claim in self._claims.values()), (self._claimed, self._claims)

    def snapshot(self) -> dict[str, Any]:
        """What a replay must reproduce, in a form that can be compared."""
        return {"seen": dict(self.seen), "claims": {key: claim.amount for key, claim in self._claims.items()}}
