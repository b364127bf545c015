"""Graphs over small integers in compact arrays. It knows no jobs, no names and no files.

A relation is stored as two arrays (compressed sparse rows): the partners of node `i` are `partners[starts[i]:starts[i + 1]]`.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


class Relation:
    """Which nodes belong to which, for nodes `0 .. n-1`."""

    __slots__ = ("partners", "starts")

    def __init__(self, rows: Iterable[Sequence[int]]) -> None:
        self.starts = array("q", [0])
        self.partners = array("i")
        for row in rows:
            self.partners.extend(row)
            self.starts.append(len(self.partners))

    @classmethod
    def empty(cls, nodes: int) -> Relation:
        """A relation in which no node has a partner."""
        relation = cls(())
        relation.starts = array("q", bytes(8 * (nodes + 1)))
        return relation

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, node: int) -> array[int]:
        return self.partners[self.starts[node] : self.starts[node + 1]]

    def __iter__(self) -> Iterator[array[int]]:
        return (self[node] for node in range(len(self)))

    def count(self, node: int) -> int:
        """How many partners a node has."""
        return self.starts[node + 1] - self.starts[node]

    def counts(self) -> array[int]:
        """How many partners each node has."""
        starts = self.starts
        return array("i", (starts[node + 1] - starts[node] for node in range(len(self))))

    def inverse(self) -> Relation:
        """The same pairs seen from the other side; each row in ascending order."""
        nodes = len(self)
        if not self.partners:
            return Relation.empty(nodes)
        sizes = [0] * (nodes + 1)
        for partner in self.partners:
            sizes[partner + 1] += 1
        for node in range(nodes):
            sizes[node + 1] += sizes[node]
        inverse = Relation(())
        inverse.starts = array("q", sizes)
        inverse.partners = array("i", bytes(4 * len(self.partners)))
        free = sizes  # by partner, where its next node goes: a counting sort, linear and without a list for each node
        for node in range(nodes):
            for partner in self.partners[self.starts[node] : self.starts[node + 1]]:
                inverse.partners[free[partner]] = node
                free[partner] += 1
        return inverse


def tiers(needs: Relation, dependents: Relation) -> list[list[int]]:
    """The nodes in tiers: each node one tier after the last of its needs (Kahn, ascending within a tier).

    Nodes on a cycle, and those that need one, are in no tier.
    """
    missing = needs.counts()
    tier = [node for node, count in enumerate(missing) if count == 0]
    result: list[list[int]] = []
    while tier:
        result.append(tier)
        following = []
        for node in tier:
            for dependent in dependents[node]:
                missing[dependent] -= 1
                if missing[dependent] == 0:
                    following.append(dependent)
        following.sort()
        tier = following
    return result


def order(needs: Relation, dependents: Relation) -> list[int]:
    """A topological order: by tier, ascending within a tier. Shorter than the graph when it has a cycle."""
    return [node for tier in tiers(needs, dependents) for node in tier]


def find_cycle(needs: Relation, dependents: Relation) -> list[int]:
    """The nodes of one cycle, each needing the next, or an empty list.

    Of all cycles the one that is met first from the smallest node on it is given, beginning with its smallest node.
    """
    done = bytearray(len(needs))
    for node in order(needs, dependents):
        done[node] = 1
    node = done.find(0)
    if node < 0:
        return []
    # Every node left needs another one that is left, so walking along the needs must come back to a node that it has passed.
    steps: dict[int, int] = {}
    walk: list[int] = []
    while node not in steps:
        steps[node] = len(walk)
        walk.append(node)
        node = next(need for need in needs[node] if not done[need])
    cycle = walk[steps[node] :]
    smallest = cycle.index(min(cycle))
    return cycle[smallest:] + cycle[:smallest]


def find_cycles(needs: Relation, most: int) -> list[list[int]]:
    """At most so many cycles, as `find_cycle` gives them: of each its last pair is taken away before the next one is looked for."""
    rows: list[list[int]] | None = None
    cycles: list[list[int]] = []
    while len(cycles) < most and (cycle := find_cycle(needs, needs.inverse())):
        cycles.append(cycle)
        if rows is None:
            rows = [list(row) for row in needs]
        rows[cycle[-1]].remove(cycle[0])
        needs = Relation(rows)
    return cycles


def critical_path(needs: Relation, dependents: Relation, weights: Sequence[float]) -> list[int]:
    """The chain of needs with the largest sum of weights, first node first. The graph must have no cycle."""
    best = array("d", weights)
    before = array("i", [-1]) * len(needs)
    for node in order(needs, dependents):
        for dependent in dependents[node]:
            candidate = best[node] + weights[dependent]
            if candidate > best[dependent]:
                best[dependent] = candidate
                before[dependent] = node
    if not len(best):
        return []
    node = max(range(len(best)), key=best.__getitem__)
    path = [node]
    while before[node] >= 0:
        node = before[node]
        path.append(node)
    return path[::-1]
