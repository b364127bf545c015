"""Which agents a run has on a cluster, what runs at each, and where there is room. Pure bookkeeping: no cluster, no clock, no attempts.

Dask is told where each task goes. So a task can only ever run in the one process that its parcel names, and no worker gets more than it
can begin at once, but for short attempts: of those a few more are sent ahead, so that it need not wait for news to travel.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from joblot.core.model import JobSpec

_ROUNDING: Final = 1e-9


class Demand:
    """What an attempt takes of a worker: places (threads) and amounts by name."""

    __slots__ = ("amounts", "slots")

    def __init__(self, resources: Mapping[str, float], named: Iterable[str] = ()) -> None:
        self.slots = max(1, math.ceil(resources.get("cpu", 1.0) - _ROUNDING))
        known = {"memory", *named}
        self.amounts = {name: amount for name, amount in resources.items() if name in known}

    @property
    def is_plain(self) -> bool:
        """Whether any free place will do."""
        return self.slots == 1 and not self.amounts


PLAIN: Final = Demand({})


class RemoteAgent:
    """An agent as the runner sees it. `totals` are amounts that its worker has, by name; what stands not there is not counted."""

    def __init__(
        self, address: str, name: str, threads: int, totals: Mapping[str, float], *, clock_offset_s: float = 0.0
    ) -> None:
        self.address = address
        self.host = address.partition("://")[2].rpartition(":")[0]
        self.name = name
        self.threads = threads
        self.totals = dict(totals)
        self.clock_offset_s = clock_offset_s
        """What its clock is to be moved by to be ours."""
        self.busy = 0
        self.parcels: dict[int, Demand] = {}
        """What is there, by the number of the parcel."""
        self.active_at = 0.0
        """When it was last given work while idle, or last sent a receipt."""
        self._used = dict.fromkeys(self.totals, 0.0)
        self.gone = False
        self.is_offered = False
        """Whether it stands among those with a free place."""

    def could_take(self, demand: Demand, named: Iterable[str] = ()) -> bool:
        """Whether it has room for this when it has nothing else to do; of the names of Dask resources it must have what is asked for."""
        return demand.slots <= self.threads and all(
            amount <= self.totals.get(name, 0.0 if name in named else math.inf)
            for name, amount in demand.amounts.items()
        )

    def has_room(self, demand: Demand, named: Iterable[str] = ()) -> bool:
        """Whether it has room for this now."""
        if self.busy + demand.slots > self.threads or not self.could_take(demand, named):
            return False
        return all(
            self._used[name] + amount <= self.totals[name] + _ROUNDING
            for name, amount in demand.amounts.items()
            if name in self.totals
        )

    def take(self, parcel: int, demand: Demand) -> None:
        """A parcel goes there."""
        self.parcels[parcel] = demand
        self._move(demand, 1)

    def give_back(self, parcel: int) -> int:
        """A parcel has ended. Returns how many places that frees."""
        demand = self.parcels.pop(parcel)
        self._move(demand, -1)
        return demand.slots

    def _move(self, demand: Demand, sign: int) -> None:
        self.busy += sign * demand.slots
        for name, amount in demand.amounts.items():
            if name in self._used:
                self._used[name] += sign * amount


class Fleet:
    """All agents of a run. `max_slots` bounds how many places are used at once."""

    def __init__(self, max_slots: int | None) -> None:
        self._max_slots = max_slots
        self.agents: dict[str, RemoteAgent] = {}
        """By the addresses of their workers."""
        self.named: set[str] = set()
        """Names of Dask resources that any worker has, `memory` aside."""
        self._free: deque[RemoteAgent] = deque()
        """Every agent with a free place stands here once; whether it still has one is asked when it is taken from here."""
        self.busy = 0
        self._threads = 0

    @property
    def slots(self) -> int:
        """How many attempts can run at once."""
        return self._threads if self._max_slots is None else min(self._max_slots, self._threads)

    @property
    def may_spread(self) -> bool:
        """Whether the attempts of a parcel may use all of an agent: there are no more slots than may be used, or only one at each agent."""
        return self._max_slots is None or self._threads <= self._max_slots or self._threads == len(self.agents)

    @property
    def may_run_ahead(self) -> bool:
        """Whether more may be sent than runs at once: the workers run no more than may run."""
        return self._max_slots is None or self._threads <= self._max_slots

    def add(self, agent: RemoteAgent) -> None:
        """An agent has begun."""
        self.agents[agent.address] = agent
        self._threads += agent.threads
        self.named.update(name for name in agent.totals if name != "memory")
        self._offer(agent)

    def remove(self, address: str) -> RemoteAgent | None:
        """An agent is gone; its parcels are still in it."""
        agent = self.agents.pop(address, None)
        if agent is not None:
            agent.gone = True
            self._threads -= agent.threads
            self.busy -= agent.busy
        return agent

    def demand(self, spec: JobSpec) -> Demand:
        """What a job takes of a worker. Names that no worker has are limits of the run only, which are looked after elsewhere."""
        return Demand(spec.resources, self.named) if spec.resources else PLAIN

    def could_ever(self, demand: Demand) -> bool:
        """Whether any worker is large enough."""
        return any(agent.could_take(demand, self.named) for agent in self.agents.values())

    def room(self, demand: Demand, ahead: int = 0) -> RemoteAgent | None:
        """An agent with room for this, if there is one. For each place of a plain demand there may be so many `ahead`."""
        if self.busy and self.busy + demand.slots > self.slots * (1 + ahead):
            return None
        if not demand.is_plain:
            fitting = (agent for agent in self.agents.values() if agent.has_room(demand, self.named))
            return min(fitting, key=lambda agent: agent.busy, default=None)
        while self._free:
            agent = self._free[0]
            if not agent.gone and agent.busy < agent.threads * (1 + ahead):
                return agent
            self._free.popleft()
            agent.is_offered = False
        return None

    def take(self, agent: RemoteAgent, parcel: int, demand: Demand) -> None:
        """A parcel goes to an agent with room for it."""
        agent.take(parcel, demand)
        self.busy += demand.slots
        if self._free and self._free[0] is agent:  # the next one goes to another
            self._free.rotate(-1)

    def give_back(self, agent: RemoteAgent, parcel: int) -> None:
        """A parcel has ended."""
        slots = agent.give_back(parcel)
        if not agent.gone:
            self.busy -= slots
            self._offer(agent)

    def _offer(self, agent: RemoteAgent) -> None:
        if not agent.is_offered:
            agent.is_offered = True
            self._free.append(agent)

    def free_slots(self, ahead: int = 0) -> int:
        """How many parcels of plain attempts can be sent now."""
        return max(0, self.slots * (1 + ahead) - self.busy)
