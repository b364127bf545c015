"""The queues of ready jobs, and which of them start next. Part of the core: pure, and nothing but an index over the jobs' states.

Jobs with the same priority and the same demand wait in one queue, in the order in which they became ready: one that does not fit holds up
exactly those that ask for the same. A queue may hold jobs that have left the ready state; they are dropped when they come to the front.
"""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop, heappush
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from joblot.model import READY
from joblot.resources import PLAIN, Demand, Resources

if TYPE_CHECKING:
    from collections.abc import Mapping

    from joblot.plan import Plan

Key = tuple[int, Demand]
_ORDINARY: Final[Key] = (0, PLAIN)


class ReadyQueues:
    """The ready jobs of a run. `states` is the run's own array of job states, which is read and never written here.

    `expected_memory` is what jobs that declare no memory are taken to need, in bytes by number.
    """

    def __init__(self, plan: Plan, states: bytearray, expected_memory: Mapping[int, int]) -> None:
        self._states = states
        self._queues: dict[Key, deque[int]] = {}
        self._keys: dict[int, Key] = {}
        """The keys of the jobs that are not ordinary."""
        last, key = None, _ORDINARY  # the jobs of a fan-out stand side by side and are alike
        for job, spec in enumerate(plan.declarations):
            if spec is not last:
                last, key = spec, (-spec.priority, plan.demand(job))
            if job in expected_memory:
                demand = tuple(sorted({**dict(key[1]), "memory": float(expected_memory[job])}.items()))
                self._keys[job] = (key[0], demand)
            elif key != _ORDINARY:
                self._keys[job] = key

    def demand(self, job: int) -> Demand:
        """What the job holds while it runs."""
        return self._keys[job][1] if job in self._keys else PLAIN

    def put(self, job: int) -> None:
        """A job has become ready."""
        key = self._keys.get(job, _ORDINARY)
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = deque()
        queue.append(job)

    def leave(self, job: int) -> None:
        """A job starts. What stands before it and is not ready any more goes as well.

        Were it left there, it would stand in the queue twice after it became ready again, and be started twice.
        """
        queue = self._queues[self._keys.get(job, _ORDINARY)]
        while queue[0] != job:
            if self._states[queue[0]] == READY:
                queue.remove(job)
                return
            queue.popleft()
        queue.popleft()

    def clean(self) -> None:
        """Drop everything that is not ready, wherever it stands."""
        self._queues = {key: deque(self._living(queue)) for key, queue in self._queues.items()}

    def pick(self, resources: Resources, room: int, capacity: int) -> list[int]:
        """The jobs to start now: by priority, then in the order in which they became ready. They stay in their queues until they start.

        A job that waits for slots holds back everything behind it, or it would never find enough of them free at once; one that waits for
        a named limit holds back only those that ask for the same. `room` is how many plain jobs may start while only such jobs are about,
        `capacity` how many attempts the executor takes at once.
        """
        if len(self._queues) == 1:
            ((key, queue),) = self._queues.items()
            if key[1] is PLAIN:
                return list(islice(self._living(queue), room)) if room > 0 else []
        return self._pick_by_demand(resources, capacity)

    def _pick_by_demand(self, resources: Resources, capacity: int) -> list[int]:
        heads = []
        for (urgency, demand), queue in self._queues.items():
            living = self._living(queue)
            head = next(living, None)
            if head is not None:
                heads.append((urgency, head, demand, living))
        heapify(heads)
        picked: list[int] = []
        while heads:
            urgency, job, demand, living = heappop(heads)
            lacking = resources.lacks(demand, capacity)
            if lacking == "slots":
                break
            if lacking:
                continue
            resources.take(demand)
            picked.append(job)
            following = next(living, None)
            if following is not None:
                heappush(heads, (urgency, following, demand, living))
        for job in picked:  # taken only to see what fits beside what; they take it for good when they start
            resources.give_back(self.demand(job))
        return picked

    def _living(self, queue: deque[int]) -> Any:
        """The jobs of a queue that are still ready; dead ones at the front are dropped for good."""
        states = self._states
        while queue and states[queue[0]] != READY:
            queue.popleft()
        return (job for job in queue if states[job] == READY)

    def contents(self) -> dict[Key, list[int]]:
        """The ready jobs by queue, for comparing and checking."""
        living = {key: list(self._living(queue)) for key, queue in self._queues.items()}
        return {key: jobs for key, jobs in living.items() if jobs}
