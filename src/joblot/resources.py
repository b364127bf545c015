"""What a run may use at once, and what its running jobs hold of it. Pure bookkeeping, without an opinion about order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

Demand = tuple[tuple[str, float], ...]
"""What one job holds while it runs: names and amounts, sorted by name. Empty for a plain job."""

PLAIN: Final[Demand] = ()


class Resources:
    """Slots, memory and named limits: how much there is, and how much is held.

    `slots` is how many cpu-slots the executor has (jobs that declare nothing take one each). Limits that are not given are unlimited.
    """

    def __init__(self, slots: int, limits: Mapping[str, float]) -> None:
        self.slots = slots
        self.limits: dict[str, float] = dict(limits)
        self.held: dict[str, float] = dict.fromkeys(self.limits, 0.0)
        self.plain = 0
        """Running jobs that declare nothing."""
        self.heavy_slots = 0.0
        """Slots held by running jobs that declare something."""

    def lacks(self, demand: Demand, capacity: int) -> str:
        """What keeps a job with this demand from starting now: `slots`, the name of a limit, or nothing (an empty text).

        `capacity` is how many attempts the executor takes at once. Plain jobs may fill it, queued ahead in the workers; a job that
        declares what it needs only starts when its share is really free. A demand above the total starts when nothing else runs.
        """
        used = self.plain + self.heavy_slots
        if not demand:
            return "" if used < (self.slots if self.heavy_slots else max(capacity, self.slots)) else "slots"
        cpu = 1.0
        for name, amount in demand:
            if name == "cpu":
                cpu = amount
            elif name in self.limits:
                held = self.held[name]
                if held and held + amount > self.limits[name]:
                    return name
        return "" if used == 0 or used + cpu <= self.slots else "slots"

    def take(self, demand: Demand) -> None:
        """A job with this demand starts."""
        self._move(demand, 1)

    def give_back(self, demand: Demand) -> None:
        """A job with this demand has ended."""
        self._move(demand, -1)

    def _move(self, demand: Demand, sign: int) -> None:
        if not demand:
            self.plain += sign
            return
        cpu = 1.0
        for name, amount in demand:
            if name == "cpu":
                cpu = amount
            elif name in self.held:
                self.held[name] += sign * amount
        self.heavy_slots += sign * cpu

    def snapshot(self) -> dict[str, float]:
        """What is held now, for checks and displays."""
        return {**self.held, "plain": self.plain, "heavy_slots": self.heavy_slots}
