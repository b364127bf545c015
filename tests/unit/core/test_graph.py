"""Graphs over small integers, against brute force."""

from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joblot.core import graph
from joblot.core.graph import Relation

DIAMOND = [[], [0], [0], [1, 2]]


@st.composite
def acyclic(draw, most=9):
    count = draw(st.integers(0, most))
    rows = [sorted(draw(st.sets(st.integers(0, number - 1)))) if number else [] for number in range(count)]
    names = draw(st.permutations(range(count)))
    renamed: list[list[int]] = [[] for _ in range(count)]
    for number, row in enumerate(rows):
        renamed[names[number]] = [names[need] for need in row]
    return renamed


any_graph = st.integers(1, 6).flatmap(
    lambda count: st.lists(st.lists(st.integers(0, count - 1), max_size=3, unique=True), min_size=count, max_size=count)
)


def both(rows):
    needs = Relation(rows)
    return needs, needs.inverse()


def depth(rows, node):
    return 1 + max((depth(rows, need) for need in rows[node]), default=-1)


def chains(rows, node):
    """All chains of needs that end in a node."""
    return [[node]] + [[*chain, node] for need in rows[node] for chain in chains(rows, need)]


def test_a_relation_gives_its_rows_back():
    needs = Relation(DIAMOND)
    assert [list(row) for row in needs] == DIAMOND
    assert len(needs) == 4
    assert list(needs[3]) == [1, 2]
    assert needs.count(3) == 2
    assert list(needs.counts()) == [0, 1, 1, 2]


def test_the_empty_relation_has_nodes_and_no_partners():
    empty = Relation.empty(3)
    assert [list(row) for row in empty] == [[], [], []]
    assert [list(row) for row in empty.inverse()] == [[], [], []]
    assert len(Relation.empty(0)) == 0


@given(any_graph)
def test_the_inverse_holds_the_same_pairs_in_ascending_rows(rows):
    inverse = Relation(rows).inverse()
    assert [list(row) for row in inverse] == [
        [node for node, row in enumerate(rows) if partner in row] for partner in range(len(rows))
    ]


def test_tiers_of_a_diamond():
    """R111: [[a], [b, c], [d]]."""
    assert graph.tiers(*both(DIAMOND)) == [[0], [1, 2], [3]]


@given(acyclic())
def test_a_tier_is_the_longest_chain_of_needs_before_a_node(rows):
    tiers = graph.tiers(*both(rows))
    assert tiers == [[node for node in range(len(rows)) if depth(rows, node) == tier] for tier in range(len(tiers))]
    assert sum(map(len, tiers)) == len(rows)


@given(acyclic())
def test_the_order_is_topological_and_the_same_each_time(rows):
    """R98: by Kahn, ascending among equals, the same 100 times."""
    order = graph.order(*both(rows))
    place = {node: number for number, node in enumerate(order)}
    assert sorted(order) == list(range(len(rows)))
    assert all(place[need] < place[node] for node, row in enumerate(rows) for need in row)
    assert all(graph.order(*both(rows)) == order for _ in range(100 if len(rows) > 7 else 3))


@given(acyclic())
def test_a_graph_without_a_cycle_has_none(rows):
    assert graph.find_cycle(*both(rows)) == []


@given(any_graph)
def test_a_cycle_is_found_if_there_is_one_and_each_of_its_nodes_needs_the_next(rows):
    """R100."""
    cycle = graph.find_cycle(*both(rows))
    assert bool(cycle) == (len(graph.order(*both(rows))) < len(rows))
    if cycle:
        assert cycle[0] == min(cycle)
        assert len(set(cycle)) == len(cycle)
        assert all(following in rows[node] for node, following in pairwise([*cycle, cycle[0]]))


@pytest.mark.parametrize(
    ("rows", "cycle"),
    [
        ([[0]], [0]),
        ([[1], [0]], [0, 1]),
        ([[], [0, 3], [1], [2]], [1, 3, 2]),
        ([[1], [2], [1]], [1, 2]),
    ],
    ids=["self", "pair", "three", "a node that leads into one"],
)
def test_the_cycle_begins_with_its_smallest_node(rows, cycle):
    """R100: a self-loop counts."""
    assert graph.find_cycle(*both(rows)) == cycle


@pytest.mark.parametrize(
    ("rows", "cycles"),
    [
        ([[1], [0], [3], [2]], [[0, 1], [2, 3]]),
        ([[1, 2], [0], [0]], [[0, 1], [0, 2]]),
        ([[0, 1], [1]], [[0], [1]]),
        ([[1], [0], [1, 3], [2]], [[0, 1], [2, 3]]),
        ([[], [0]], []),
    ],
    ids=["apart", "sharing a node", "of themselves", "one behind the other", "none"],
)
def test_every_cycle_is_found(rows, cycles):
    """R100"""
    needs = both(rows)[0]
    assert graph.find_cycles(needs, 20) == cycles
    assert graph.find_cycles(needs, 1) == cycles[:1]


@given(any_graph)
def test_without_one_pair_of_each_cycle_there_is_none(rows):
    left = [list(row) for row in rows]
    for cycle in graph.find_cycles(both(rows)[0], 1000):
        left[cycle[-1]].remove(cycle[0])
    assert graph.find_cycle(*both(left)) == []


def test_nodes_on_a_cycle_and_behind_it_are_in_no_tier():
    assert graph.tiers(*both([[], [2], [1], [2], [0]])) == [[0], [4]]


@given(acyclic(most=7), st.data())
def test_the_critical_path_is_the_heaviest_chain(rows, data):
    weights = data.draw(st.lists(st.integers(0, 9), min_size=len(rows), max_size=len(rows)))
    path = graph.critical_path(*both(rows), weights)
    everything = [chain for node in range(len(rows)) for chain in chains(rows, node)]
    heaviest = max((sum(weights[node] for node in chain) for chain in everything), default=0)
    assert sum(weights[node] for node in path) == heaviest
    assert all(need in rows[node] for need, node in pairwise(path))


def test_a_long_chain_needs_no_recursion():
    rows = [[node - 1] if node else [] for node in range(20_000)]
    needs, dependents = both(rows)
    assert len(graph.tiers(needs, dependents)) == 20_000
    assert len(graph.critical_path(needs, dependents, [1.0] * 20_000)) == 20_000
    closed = Relation([[19_999], *rows[1:]])
    assert len(graph.find_cycle(closed, closed.inverse())) == 20_000


def test_every_graph_of_three_nodes_agrees_with_brute_force():
    subsets = [[], [0], [1], [2], [0, 1], [0, 2], [1, 2], [0, 1, 2]]
    for rows in product(subsets, repeat=3):
        reach = [set(row) for row in rows]
        for _ in range(3):
            reach = [found.union(*(reach[node] for node in found)) if found else found for found in reach]
        cyclic = any(node in found for node, found in enumerate(reach))
        assert bool(graph.find_cycle(*both(rows))) == cyclic
