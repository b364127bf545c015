"""What a run may use at once, and what its running jobs hold of it. Pure bookkeeping: it does not decide what starts first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from joblot.core.model import Held

Demand = tuple[tuple[str, float], ...]
"""What one job holds while it runs: names and amounts, sorted by name. Empty for a plain job."""

PLAIN: Final[Demand] = ()
ONE_SLOT: Final[Demand] = (("cpu", 1.0),)
"""Of a job that must not be queued behind others in a worker."""
UNIT: Final = 1_000_000
"""Amounts are counted in millionths, as integers: 0.1 and 0.2 taken and given back must leave nothing."""
PERMITS: Final = " permits"
"""What a job lacks that has all else that it needs, while the machine has not been asked. With a blank, which no limit has in its name."""


class Resources:
    """Slots, memory and named limits: how much there is, and how much is held.

    `slots` is how many cpu-slots the executor has (jobs that declare nothing take one each). Limits that are not given are unlimited.
    Amounts below a millionth do not count. Of limits that are `shared` with the other runs of the machine no more is used than it has granted.
    """

    def __init__(self, slots: int, limits: Mapping[str, float], shared: Collection[str] = ()) -> None:
        self._slots = slots
        self._limits = {name: _units(limit) for name, limit in limits.items()}
        self._held = dict.fromkeys(self._limits, 0)
        self.granted = dict.fromkeys(shared, 0)
        """How much this process may use of what is shared, in millionths. It is no part of what a replay gives: it ends with the process."""
        self.refused: set[Demand] = set()
        """What the machine was asked for and did not grant, until it is asked again."""
        self._plain = 0
        self._heavy = 0
        self._counted: dict[Demand, tuple[int, list[tuple[str, int]]]] = {}
        """Of every demand met so far: slots, and shares of the limits that there are."""

    def lacks(self, demand: Demand, capacity: int) -> str:
        """What keeps a job with this demand from starting now: `slots`, the name of a limit, or nothing (an empty text).

        `capacity` is how many attempts the executor takes at once. Plain jobs may fill it, queued ahead in the workers; a job that
        declares what it needs only starts when its share is really free. A demand above the total starts when nothing else runs. `PERMITS`:
        the machine has to be asked first; when it has refused, what was refused is told as any other limit is.
        """
        used = self._plain * UNIT + self._heavy
        slots = self._slots * UNIT
        if not demand:
            free = used + UNIT <= slots if self._heavy else self._plain < max(capacity, self._slots)
            return "" if free else "slots"
        cpu, shares = self._counted.get(demand) or self._count(demand)
        for name, share in shares:
            held = self._held[name]
            if held and held + share > self._limits[name]:
                return name
        if self.granted and (asked := self.to_ask(demand)) and asked in self.refused:
            return asked[0][0]
        if used and used + cpu > slots:
            return "slots"
        return PERMITS if self.granted and asked else ""

    # --- what all runs of the machine share -----------------------------------------------------

    def to_ask(self, demand: Demand) -> Demand:
        """What a job with this demand needs of what is shared, if the machine has not granted all of that."""
        needed = tuple(entry for entry in demand if entry[0] in self.granted)
        lacking = any(self._held[name] + _units(amount) > self.granted[name] for name, amount in needed)
        return needed if lacking else PLAIN

    def grant(self, needed: Demand) -> None:
        """The machine lets a job with these needs start, beside those that run."""
        for name, amount in needed:
            self.granted[name] = max(self.granted[name], self._held[name] + _units(amount))

    def cede(self, names: Iterable[str]) -> None:
        """Use no more of these than what is held now."""
        for name in names:
            self.granted[name] = self._held[name]

    def take(self, demand: Demand) -> None:
        """A job with this demand starts."""
        if demand:
            self._move(demand, 1)
        else:
            self._plain += 1

    def give_back(self, demand: Demand) -> None:
        """A job with this demand has ended."""
        if demand:
            self._move(demand, -1)
        else:
            self._plain -= 1

    def _move(self, demand: Demand, sign: int) -> None:
        cpu, shares = self._counted.get(demand) or self._count(demand)
        for name, share in shares:
            self._held[name] += sign * share
        self._heavy += sign * cpu

    def _count(self, demand: Demand) -> tuple[int, list[tuple[str, int]]]:
        cpu = _units(dict(demand).get("cpu", 1.0))
        shares = [(name, _units(amount)) for name, amount in demand if name != "cpu" and name in self._limits]
        self._counted[demand] = cpu, shares
        return cpu, shares

    def snapshot(self) -> dict[str, float]:
        """What is held now, for checks and displays: named limits, `plain` jobs, and the `heavy_slots` of the others."""
        held = {name: amount / UNIT for name, amount in self._held.items()}
        return {**held, "plain": self._plain, "heavy_slots": self._heavy / UNIT}


class NamedSlots:
    """Which slots running jobs hold, of limits whose slots have names. `slots` are those names, by limit.

    How many may be held is for `Resources` to say: here are always enough of them free. Jobs of a bundle hold the same ones together. Of limits
    that are `shared` with the other runs of the machine those are held that it has granted.
    """

    def __init__(self, slots: Mapping[str, tuple[int | str, ...]], shared: Collection[str] = ()) -> None:
        self._slots = slots
        self._granted = {limit: 0 for limit in slots if limit in shared}
        """By limit that is shared, the bits of what this process may use. As `Resources.granted`, it is no part of what a replay gives."""
        self._places = {limit: {slot: at for at, slot in enumerate(names)} for limit, names in slots.items()}
        self._free = {limit: (1 << len(names)) - 1 for limit, names in slots.items()}
        """By limit, a bit for each slot that nobody holds: the lowest is found at once, whatever was given back in which order."""
        self.held: dict[int, Held] = {}
        """What each running job holds; of jobs that hold something."""

    def choose(self, demands: Iterable[tuple[int, Demand]]) -> dict[int, Held]:
        """What jobs that start next, each alone or first of its bundle, are to hold: the free slots that stand first in the batch, in their order."""
        free, chosen = dict(self._free), {}
        for limit, granted in self._granted.items():
            free[limit] &= granted
        for job, demand in demands:
            wanted = [(limit, round(amount)) for limit, amount in demand if limit in free]
            if wanted:
                chosen[job] = {limit: self._take(free, limit, amount) for limit, amount in wanted}
        return chosen

    def _take(self, free: dict[str, int], limit: str, amount: int) -> list[int | str]:
        taken = []
        for _ in range(amount):
            lowest = free[limit] & -free[limit]
            assert lowest, f"BUG: a job starts that asks for more `{limit}` than is free"
            free[limit] ^= lowest
            taken.append(self._slots[limit][lowest.bit_length() - 1])
        return taken

    def grant(self, slots: Held) -> None:
        """The machine lets the next job hold these, beside what is held."""
        for limit, bits in self._bits(slots):
            self._granted[limit] |= bits

    def cede(self, limits: Iterable[str]) -> None:
        """Use none of these but what is held now."""
        for limit in limits:
            if limit in self._granted:
                self._granted[limit] &= ~self._free[limit]

    @property
    def granted(self) -> Held:
        """What this process may use of limits that are shared."""
        return {
            limit: [slot for slot, at in self._places[limit].items() if bits >> at & 1]
            for limit, bits in self._granted.items()
        }

    def hold(self, chosen: Mapping[int, Held]) -> None:
        """Jobs start that hold these slots."""
        self.held.update(chosen)
        for held in chosen.values():
            for limit, bits in self._bits(held):
                self._free[limit] &= ~bits

    def leave(self, job: int, *, last: bool) -> None:
        """A running job has ended. With the `last` one of its process the slots are free."""
        held = self.held.pop(job, None)
        if held is not None and last:
            for limit, bits in self._bits(held):
                self._free[limit] |= bits

    def _bits(self, held: Held) -> Iterable[tuple[str, int]]:
        return ((limit, sum(1 << self._places[limit][slot] for slot in slots)) for limit, slots in held.items())

    def snapshot(self) -> tuple[dict[int, Held], dict[str, int]]:
        """What jobs hold, and the bits of the free slots, for comparing and checking."""
        return dict(self.held), dict(self._free)


def _units(amount: float) -> int:
    return round(amount * UNIT)
