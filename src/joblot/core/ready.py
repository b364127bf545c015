"""The queues of ready jobs, and which of them start next. Part of the core: pure, and nothing but an index over the jobs' states.

Jobs with the same priority and the same demand wait in one queue, in the order in which they became ready: one that does not fit holds up
exactly those that ask for the same. A job that can be run together with others takes those along that are ready too.
"""

from __future__ import annotations

from collections import OrderedDict
from heapq import heapify, heappop, heappush
from itertools import islice
from typing import TYPE_CHECKING, Final

from joblot.core.resources import ONE_SLOT, PERMITS, PLAIN, Demand, Resources

if TYPE_CHECKING:
    from collections.abc import Callable

    from joblot.core.fusing import Fusing
    from joblot.core.plan import Plan

Key = tuple[int, Demand]
Queue = OrderedDict[int, None]
"""Jobs in order. Taking one out of the middle is as quick as taking the first."""
Picked = tuple[list[int], list[int]]
"""Jobs to start, and the sizes of the bundles that they form, one after another; no sizes when each runs alone."""
_ORDINARY: Final[Key] = (0, PLAIN)


class ReadyQueues:
    """The ready jobs of a run.

    A job that may be run together with others is long enough to have a slot of its own, and must not be queued behind others in a worker.
    """

    def __init__(self, plan: Plan, fusing: Fusing) -> None:
        self._fusing = fusing
        self._queues: dict[Key, Queue] = {}
        self._groups: dict[int, Queue] = {}
        """The ready jobs that can be run together, by group."""
        self.keys: dict[int, Key] = {}
        """The keys of the jobs that are not ordinary."""
        self.to_ask: Demand = PLAIN
        """What the machine has to be asked for before more is picked: the first job that `pick` did not pick for want of that."""
        self._plan = plan
        self.extend(range(len(plan)))

    def extend(self, jobs: range) -> None:
        """Take in jobs that were added to the plan."""
        # Ordinary jobs have no entry, and the demand of a declaration is computed once: plans of a million plain jobs stay small.
        plan, fusing = self._plan, self._fusing
        self._fuses = bool(fusing)
        last, key = None, _ORDINARY  # the jobs of a fan-out stand side by side and are alike
        declarations = plan.declarations
        for job in jobs:
            spec = declarations[job]
            if spec is not last:
                last, demand = spec, plan.demand(job)
                key = (-spec.priority, demand) if demand or spec.priority else _ORDINARY
                if key is _ORDINARY and not fusing:
                    continue
            if fusing.group_of(job) >= 0:
                self.keys[job] = (key[0], key[1] or ONE_SLOT)
            elif key != _ORDINARY:
                self.keys[job] = key

    def demand(self, job: int) -> Demand:
        """What the job holds while it runs: what it declares, and a slot if it can be fused."""
        return self.keys[job][1] if job in self.keys else PLAIN

    def set_memory(self, job: int, amount: float, *, is_ready: bool) -> None:
        """What a job asks for from now on, which declares some memory."""
        if is_ready:
            self.leave(job)
        rank, demand = self.keys[job]
        self.keys[job] = rank, tuple((name, amount if name == "memory" else asked) for name, asked in demand)
        if is_ready:
            self.put(job)

    def put(self, job: int) -> None:
        """A job has become ready."""
        key = self.keys.get(job, _ORDINARY)
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = OrderedDict()
        queue[job] = None
        if self._fuses:
            group = self._fusing.group_of(job)
            if group >= 0:
                self._groups.setdefault(group, OrderedDict())[job] = None

    def leave(self, job: int) -> None:
        """A job is no longer ready."""
        del self._queues[self.keys.get(job, _ORDINARY)][job]
        if self._fuses:
            group = self._fusing.group_of(job)
            if group >= 0:
                del self._groups[group][job]

    def pick(self, resources: Resources, free: int, capacity: int, max_size: Callable[[int], int]) -> Picked:
        """The jobs to start now: by priority, then in the order in which they became ready. They stay in their queues until they start.

        A job that waits for slots holds back everything behind it, or it would never find enough of them free at once; one that waits for
        a named limit holds back only those that ask for the same. What nobody has asked the machine for ends the picking (`to_ask`). `free` is how many plain jobs may start while there are only plain ones,
        `capacity` how many attempts the executor takes at once, `max_size` gives the largest size of a bundle with the job.
        """
        if len(self._queues) == 1:
            ((key, queue),) = self._queues.items()
            if key[1] is PLAIN:
                return (list(islice(queue, free)) if free > 0 else []), []
        return self._pick_by_demand(resources, capacity, max_size)

    def _pick_by_demand(self, resources: Resources, capacity: int, max_size: Callable[[int], int]) -> Picked:
        # A heap of the queues' first jobs: picking costs by what starts, not by what waits.
        heads = []
        for (rank, demand), queue in self._queues.items():
            waiting = iter(queue)
            head = next(waiting, None)
            if head is not None:
                heads.append((rank, head, demand, waiting))
        heapify(heads)
        picked: dict[int, None] = {}
        sizes: list[int] = []
        held: list[Demand] = []
        while heads:
            rank, job, demand, waiting = heappop(heads)
            lacking = resources.lacks(demand, capacity)
            if lacking == "slots":
                break
            if lacking is PERMITS:
                self.to_ask = resources.to_ask(demand)
                break
            if not lacking:
                resources.take(demand)
                held.append(demand)
                before = len(picked)
                self._pick_bundle(job, picked, max_size)
                sizes.append(len(picked) - before)
                following = next((other for other in waiting if other not in picked), None)
                if following is not None:
                    heappush(heads, (rank, following, demand, waiting))
        for demand in held:  # taken only to see what fits together: `RunState` takes it when they start
            resources.give_back(demand)
        return list(picked), sizes if len(sizes) < len(picked) else []

    def _pick_bundle(self, job: int, picked: dict[int, None], max_size: Callable[[int], int]) -> None:
        """Pick a job, and of those that can be run together with it as many as it and they allow."""
        picked[job] = None
        group = self._fusing.group_of(job)
        largest, size = max_size(job) if group >= 0 else 1, 1
        if largest == 1:
            return
        for other in self._groups[group]:
            if other not in picked and (allowed := max_size(other)) > size:
                picked[other] = None
                size += 1
                largest = min(largest, allowed)
                if size >= largest:
                    return

    def contents(self) -> dict[Key, list[int]]:
        """The ready jobs by queue, for comparing and checking."""
        return {key: list(queue) for key, queue in self._queues.items() if queue}

    def groups(self) -> dict[int, list[int]]:
        """The ready jobs by group, for comparing and checking."""
        return {group: list(queue) for group, queue in self._groups.items() if queue}
