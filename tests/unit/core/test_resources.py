"""What a run may use at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joblot.core.resources import PLAIN, Resources


def demand(**amounts):
    return tuple(sorted(amounts.items()))


def test_plain_jobs_fill_the_capacity_and_no_more():
    resources = Resources(2, {})
    for _ in range(5):
        assert resources.lacks(PLAIN, 5) == ""
        resources.take(PLAIN)
    assert resources.lacks(PLAIN, 5) == "slots"
    assert resources.snapshot() == {"plain": 5, "heavy_slots": 0}


def test_a_capacity_below_the_slots_still_leaves_the_slots():
    resources = Resources(2, {})
    resources.take(PLAIN)
    assert resources.lacks(PLAIN, 1) == ""


def test_a_job_that_declares_something_waits_for_slots_that_are_really_free():
    """Plain jobs may be queued ahead in the workers; a job with a demand may not stand behind them."""
    resources = Resources(2, {"db": 2})
    for _ in range(3):
        resources.take(PLAIN)
    assert resources.lacks(demand(db=1), 8) == "slots"
    resources.give_back(PLAIN)
    assert resources.lacks(demand(db=1), 8) == "slots"
    resources.give_back(PLAIN)
    assert resources.lacks(demand(db=1), 8) == ""


def test_beside_it_plain_jobs_take_slots_not_capacity():
    resources = Resources(2, {})
    resources.take(demand(cpu=1))
    assert resources.lacks(PLAIN, 8) == ""
    resources.take(PLAIN)
    assert resources.lacks(PLAIN, 8) == "slots"


def test_half_a_slot_is_not_enough_for_a_plain_job():
    resources = Resources(1, {})
    resources.take(demand(cpu=0.5))
    assert resources.lacks(PLAIN, 8) == "slots"
    assert resources.lacks(demand(cpu=0.5), 8) == ""


def test_the_lacking_limit_is_named():
    resources = Resources(8, {"db": 2, "net": 1})
    resources.take(demand(db=2))
    assert resources.lacks(demand(db=1), 8) == "db"
    assert resources.lacks(demand(net=1), 8) == ""
    resources.take(demand(net=1))
    assert resources.lacks(demand(net=1), 8) == "net"


def test_a_name_without_a_limit_is_unlimited():
    resources = Resources(8, {})
    resources.take(demand(memory=2**40))
    assert resources.lacks(demand(memory=2**40), 8) == ""


def test_a_demand_above_the_total_starts_when_nothing_else_runs():
    resources = Resources(2, {"db": 1})
    assert resources.lacks(demand(cpu=5, db=3), 2) == ""
    resources.take(demand(cpu=5, db=3))
    assert resources.lacks(PLAIN, 2) == "slots"
    resources.give_back(demand(cpu=5, db=3))
    resources.take(PLAIN)
    assert resources.lacks(demand(cpu=5), 2) == "slots"


def test_tenths_leave_nothing_behind():
    """0.1 + 0.2 - 0.1 - 0.2 is not 0 in floating point, and a job above the total would have waited for ever."""
    resources = Resources(2, {"db": 0.3})
    tenth, fifth = demand(cpu=0.1, db=0.1), demand(cpu=0.2, db=0.2)
    for step in (tenth, fifth):
        assert resources.lacks(step, 2) == ""
        resources.take(step)
    for step in (tenth, fifth):
        resources.give_back(step)
    assert resources.snapshot() == {"db": 0, "plain": 0, "heavy_slots": 0}
    assert resources.lacks(demand(cpu=5, db=0.3), 2) == ""


amounts = st.dictionaries(st.sampled_from(("cpu", "db", "net")), st.floats(0.001, 50), max_size=3)


@given(st.lists(amounts, max_size=12), st.data())
def test_what_is_taken_and_given_back_in_any_order_is_nothing(taken, data):
    resources = Resources(4, {"db": 2, "net": 1})
    demands = [demand(**one) for one in taken]
    for one in demands:
        resources.take(one)
    for one in data.draw(st.permutations(demands)):
        resources.give_back(one)
    assert resources.snapshot() == Resources(4, {"db": 2, "net": 1}).snapshot()


@given(st.lists(amounts, min_size=1, max_size=30), st.integers(1, 4))
def test_what_starts_when_nothing_lacks_stays_within_the_limits_or_is_alone(wanted, slots):
    limits = {"db": 2.0, "net": 1.0}
    resources = Resources(slots, limits)
    running: list[dict[str, float]] = []
    for one in wanted:
        if resources.lacks(demand(**one), slots):
            continue
        resources.take(demand(**one))
        running.append(one)
        used = sum(other.get("cpu", 1.0) for other in running)
        assert len(running) == 1 or used <= slots + 1e-4
        for name, limit in limits.items():
            held = [other[name] for other in running if name in other]
            assert len(held) <= 1 or sum(held) <= limit + 1e-4


@pytest.mark.parametrize("capacity", [1, 4, 100])
def test_something_may_always_start_when_nothing_runs(capacity):
    resources = Resources(1, {"db": 1})
    for one in (PLAIN, demand(cpu=9), demand(db=9), demand(cpu=0.1, db=0.1)):
        assert resources.lacks(one, capacity) == ""
