"""Slots with names: which one an attempt holds, and that no other holds it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joblot.core import events as ev
from joblot.core.model import Limit
from joblot.core.resources import NamedSlots
from joblot.journal.codec import encode_events
from joblot.testing import World
from joblot.testing.declare import declare

CARDS = (0, 1, "GPU-7")


def world_of(text, cards=CARDS, **options):
    limits = {"gpu": Limit(len(cards), cards), "db": 2}
    return World(declare(text, limits=limits), named={"gpu": len(cards), "db": 2}, **options)


def held(world):
    """What each running job holds of the cards."""
    return {world.plan.name(job): its["gpu"] for job, its in world.state.named_slots.held.items()}


def chosen(world):
    """What each start recorded, in order."""
    return [event.slots for event in world.events() if isinstance(event, ev.AttemptsStarted)]


def test_jobs_hold_the_first_that_are_free_in_the_order_of_the_batch():
    world = world_of("a gpu=1; b gpu=1; c; d gpu=1; e gpu=1")
    world.start()
    assert held(world) == {"a": [0], "b": [1], "d": ["GPU-7"]}
    world.ok("b")
    assert held(world) == {"a": [0], "e": [1], "d": ["GPU-7"]}
    assert chosen(world) == [
        {0: {"gpu": [0]}, 1: {"gpu": [1]}, 3: {"gpu": ["GPU-7"]}},
        {4: {"gpu": [1]}},
    ]


def test_a_job_may_hold_several_of_several_limits():
    limits = {"gpu": Limit(3, CARDS), "port": Limit(2, (8080, 8081))}
    world = World(declare("a gpu=1; b gpu=2 port=1; c port=1", limits=limits), named={"gpu": 3, "port": 2})
    world.start()
    assert chosen(world) == [{0: {"gpu": [0]}, 1: {"gpu": [1, "GPU-7"], "port": [8080]}, 2: {"port": [8081]}}]


def test_what_is_given_back_in_another_order_is_chosen_in_the_order_of_the_batch():
    world = world_of("a gpu=1; b gpu=1; c gpu=1; d gpu=2 priority=-1")
    world.start()
    world.ok("c")
    world.ok("a")
    assert held(world) == {"b": [1], "d": [0, "GPU-7"]}


@pytest.mark.parametrize("end", ["fail", "lose"])
def test_another_try_chooses_anew(end):
    world = world_of("a gpu=1; b gpu=1 max_attempts=2 delay=5")
    world.start()
    if end == "lose":
        world.lose("b")
        assert held(world) == {"a": [0], "b": [1]}
        return
    world.fail("b")
    assert held(world) == {"a": [0]}
    world.ok("a")
    world.advance(5)
    assert held(world) == {"b": [0]}


def test_what_was_given_back_unbegun_frees_its_slot_and_chooses_anew():
    world = world_of("a gpu=1; b gpu=1; c gpu=3 priority=-1")
    world.start()
    world.fail("a", "returned")
    assert held(world) == {"a": [0], "b": [1]}
    world.ok("a")
    world.ok("b")
    assert held(world) == {"c": [0, 1, "GPU-7"]}


def test_a_resumed_run_chooses_anew():
    """Whatever ran died with the runner: all slots are free."""
    world = world_of("a gpu=1; b gpu=1; c gpu=1")
    world.start()
    world.ok("a")
    assert held(world) == {"b": [1], "c": ["GPU-7"]}
    world.crash()
    assert held(world) == {"b": [0], "c": [1]}


def test_jobs_of_a_bundle_hold_the_same_until_all_have_ended():
    world = world_of("a fuse=x gpu=1; b fuse=x gpu=1; c gpu=1; d gpu=2 priority=-1")
    world.start()
    assert held(world) == {"a": [0], "b": [0], "c": [1]}
    world.ok("a")
    world.ok("c")
    assert held(world) == {"b": [0], "d": [1, "GPU-7"]}
    world.ok("b")
    assert sorted(held(world)) == ["d"]


def test_the_halves_of_a_bundle_that_failed_hold_slots_of_their_own():
    world = world_of("; ".join(f"{name} fuse=x gpu=1" for name in "abcd"))
    world.start()
    world.fail_bundle("a")
    assert held(world) == {"a": [0], "b": [0], "c": [1], "d": [1]}


def test_a_job_that_was_lost_too_often_has_the_first_to_itself():
    world = world_of("a gpu=1; b gpu=1", crash_limit=1)
    world.start()
    world.lose("a", "b")
    assert held(world) == {"a": [0]}


def test_jobs_of_finally_and_growing_ones_hold_what_they_ask_for_when_they_run():
    world = world_of("a gpu=1; f gpu=2 finally=yes")
    world.start()
    assert held(world) == {"a": [0]}
    world.ok("a")
    assert held(world) == {"f": [0, 1]}


def test_a_start_without_such_slots_is_recorded_as_ever():
    """Neither in a batch without them, nor of jobs that do not ask for any, is there a byte more."""
    plain, named = World("a; b db=1", named={"db": 2}), world_of("a; b db=1")
    for world in (plain, named):
        world.start()
    starts = [[event for event in world.events() if isinstance(event, ev.AttemptsStarted)] for world in (plain, named)]
    assert {encode_events(events) for events in starts} == {b'[{"type":"attempts_started","jobs":[0,1]}]'}
    assert plain.state.named_slots is None


def test_more_than_is_free_is_never_chosen():
    slots = NamedSlots({"gpu": (0, 1)})
    slots.hold({3: {"gpu": [1]}})
    with pytest.raises(AssertionError, match="BUG: a job starts that asks for more `gpu` than is free"):
        slots.choose([(4, (("gpu", 2.0),))])


@given(amounts=st.lists(st.integers(1, 3), min_size=1, max_size=12), data=st.data())
def test_what_is_held_in_any_order_is_held_once_and_free_in_the_end(amounts, data):
    slots = NamedSlots({"gpu": tuple(range(5))})
    everything = slots.snapshot()
    waiting = list(enumerate(amounts))
    while waiting or slots.held:
        taken = [slot for its in slots.held.values() for slot in its["gpu"]]
        assert len(set(taken)) == len(taken)
        if waiting and waiting[0][1] <= 5 - len(taken) and (not slots.held or data.draw(st.booleans())):
            job, amount = waiting.pop(0)
            found = slots.choose([(job, (("cpu", 0.1), ("gpu", float(amount))))])
            free = [slot for slot in range(5) if slot not in taken]
            assert found == {job: {"gpu": free[:amount]}}
            slots.hold(found)
        else:
            slots.leave(data.draw(st.sampled_from(sorted(slots.held))), last=True)
    assert slots.snapshot() == everything
