"""The agents of a run on a cluster, what runs at each, and where there is room. Pure bookkeeping: no cluster, no clock, no attempts.

Dask is told where each task goes. So a task can only ever run in the one process that its parcel names, and no worker gets more than it
can start at once. Only of short attempts some are sent ahead, so that the worker need not wait for messages to travel.
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
    """What an attempt takes of a worker: slots (threads), and amounts by name."""

    __slots__ = ("amounts", "slots")

    def __init__(self, resources: Mapping[str, float], named: Iterable[str] = ()) -> None:
        self.slots = max(1, math.ceil(resources.get("cpu", 1.0) - _ROUNDING))
        known = {"memory", *named}
        self.amounts = {name: amount for name, amount in resources.items() if name in known}

    @property
    def is_plain(self) -> bool:
        """Whether any free slot will do."""
        return self.slots == 1 and not self.amounts


PLAIN: Final = Demand({})


class RemoteAgent:
    """An agent as the runner sees it. `totals` are the amounts that its worker has, by name; other names are not counted."""

    def __init__(
        self, address: str, name: str, threads: int, totals: Mapping[str, float], *, clock_offset_s: float = 0.0
    ) -> None:
        self.address = address
        self.host = address.partition("://")[2].rpartition(":")[0]
        self.name = name
        self.threads = threads
        self.totals = dict(totals)
        self.clock_offset_s = clock_offset_s
        """Seconds to add to its monotonic clock to get ours."""
        self.busy = 0
        self.parcels: dict[int, Demand] = {}
        """What its parcels take, by their numbers."""
        self.active_at = 0.0
        """When it last got work while idle, or last sent a receipt (monotonic seconds)."""
        self._used = dict.fromkeys(self.totals, 0.0)
        self.gone = False
        self.is_offered = False
        """Whether it is in the fleet's queue of agents with a free slot."""

    def could_take(self, demand: Demand, named: Iterable[str] = ()) -> bool:
        """Whether it has room for this when idle. Of `named`, the names of Dask resources, it must have the amounts; other names it may lack."""
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
        """Add a parcel."""
        self.parcels[parcel] = demand
        self._move(demand, 1)

    def give_back(self, parcel: int) -> int:
        """Remove a parcel that has ended. Returns how many slots that frees."""
        demand = self.parcels.pop(parcel)
        self._move(demand, -1)
        return demand.slots

    def _move(self, demand: Demand, sign: int) -> None:
        self.busy += sign * demand.slots
        for name, amount in demand.amounts.items():
            if name in self._used:
                self._used[name] += sign * amount


class Fleet:
    """All agents of a run. `max_slots` bounds how many slots are used at once."""

    def __init__(self, max_slots: int | None) -> None:
        self._max_slots = max_slots
        self.agents: dict[str, RemoteAgent] = {}
        """By the addresses of their workers."""
        self.named: set[str] = set()
        """Names of Dask resources that any worker has, `memory` aside."""
        self._free: deque[RemoteAgent] = deque()
        """Every agent with a free slot, once; whether it still has one is checked when it is used."""
        self.busy = 0
        self._threads = 0

    @property
    def slots(self) -> int:
        """How many attempts can run at once."""
        return self._threads if self._max_slots is None else min(self._max_slots, self._threads)

    @property
    def threads(self) -> int:
        """Those of all agents."""
        return self._threads

    @property
    def may_spread(self) -> bool:
        """Whether a parcel may have many attempts, which an agent runs on all its threads.

        That is so unless `max_slots` is below the number of threads; with one slot at each agent it is so anyway.
        """
        return self._max_slots is None or self._threads <= self._max_slots or self._threads == len(self.agents)

    @property
    def may_run_ahead(self) -> bool:
        """Whether more may be sent than runs at once: not when the workers could then run more than `max_slots`."""
        return self._max_slots is None or self._threads <= self._max_slots

    def add(self, agent: RemoteAgent) -> None:
        """Add an agent."""
        self.agents[agent.address] = agent
        self._threads += agent.threads
        self.named.update(name for name in agent.totals if name != "memory")
        self._offer(agent)

    def remove(self, address: str) -> RemoteAgent | None:
        """Remove an agent that is gone, with its parcels in it."""
        agent = self.agents.pop(address, None)
        if agent is not None:
            agent.gone = True
            self._threads -= agent.threads
            self.busy -= agent.busy
        return agent

    def demand(self, spec: JobSpec, memory: int = 0) -> Demand:
        """What a job takes of a worker. Resources that no worker has are limits of the run only, which the core keeps.

        `memory` is what an attempt may use that may use more than the job declares; the largest worker takes it however much that is.
        """
        if not memory:
            return Demand(spec.resources, self.named) if spec.resources else PLAIN
        there = max((agent.totals.get("memory", math.inf) for agent in self.agents.values()), default=math.inf)
        return Demand({**spec.resources, "memory": min(memory, there)}, self.named)

    def could_ever(self, demand: Demand) -> bool:
        """Whether any worker is large enough."""
        return any(agent.could_take(demand, self.named) for agent in self.agents.values())

    def room(self, demand: Demand, ahead: int = 0) -> RemoteAgent | None:
        """An agent with room for this, if there is one. For a plain demand each slot counts `1 + ahead` times."""
        # A demand above the bound may run while nothing else does, or it never would.
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
        """Add a parcel to an agent with room for it."""
        agent.take(parcel, demand)
        self.busy += demand.slots
        if self._free and self._free[0] is agent:  # the next one goes to another
            self._free.rotate(-1)

    def give_back(self, agent: RemoteAgent, parcel: int) -> None:
        """Remove a parcel that has ended."""
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
