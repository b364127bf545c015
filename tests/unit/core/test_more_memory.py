"""More memory from attempt to attempt: what a job may use after it had too little, and what it is weighed by then."""

import pytest

from joblot.core.model import JobSpec, Retry
from joblot.core.retry import memory_after
from joblot.testing import World

RAISED = "a memory=100 memory_factor=2 max_attempts=5 max_memory=350"


def test_after_oom_the_next_attempt_may_use_more_up_to_the_most():
    world = World(RAISED)
    world.start()
    given = [world.state.memory(0)]
    for _ in range(4):
        world.fail("a", "oom", "out of memory: used 9 MiB of 1 MiB")
        given.append(world.state.memory(0))
    assert given == [0, 200, 350, 350, 350]
    world.ok("a")
    assert world.status == "success"


def test_the_message_says_what_comes_next_and_the_last_one_does_not():
    world = World("a memory=1048576 memory_factor=1.5 max_attempts=2 max_memory=2097152")
    world.start()
    world.fail("a", "oom", "out of memory")
    world.fail("a", "oom", "out of memory")
    messages = [event.message for event in world.events() if hasattr(event, "outcome")]
    assert messages == ["out of memory; the next attempt may use 1.5 MiB", "out of memory"]


@pytest.mark.parametrize("kind", ["error", "exit", "timeout", "crash"])
def test_no_other_failure_raises_it(kind):
    world = World(RAISED)
    world.start()
    world.fail("a", kind)
    assert world.state.memory(0) == 0
    world.fail("a", "oom")
    world.fail("a", kind)
    assert world.state.memory(0) == 200


def test_what_is_no_try_does_not_raise_it():
    world = World(RAISED)
    world.start()
    world.lose("a")
    world.fail("a", "returned")
    assert world.state.memory(0) == 0


@pytest.mark.parametrize("delay", [0, 3])
def test_the_next_attempt_is_weighed_by_what_it_may_use(delay):
    world = World(f"a memory=100 memory_factor=2 max_attempts=3 delay={delay}; b memory=60; c memory=60", named={"memory": 200})  # fmt: skip
    world.start()
    assert world.running() == ["a", "b"]
    world.fail("a", "oom")
    world.advance(delay)
    assert world.running() == ["b", "c"], "200 for `a` are not free"
    world.ok("b")
    assert world.running() == ["c"]
    world.ok("c")
    assert world.running() == ["a"]


def test_another_process_goes_on_with_what_had_been_come_to():
    world = World(RAISED + " delay=5")
    world.start()
    world.fail("a", "oom")
    world.crash()
    assert world.state.memory(0) == 200
    world.advance(5)
    world.crash()
    assert world.running() == ["a"]
    assert world.state.memory(0) == 200


def test_a_job_that_is_taken_back_begins_with_what_it_declares():
    world = World("a memory=100 memory_factor=2 max_attempts=2; b memory=100", named={"memory": 200})
    world.start()
    world.fail("a", "oom")
    world.ok("b")
    world.fail("a", "oom")
    assert world.status == "failed"
    world.reopen("a", "b")
    assert world.state.memory(0) == 0
    assert world.running() == ["a", "b"]


def test_a_job_of_a_bundle_leaves_it_when_it_may_use_more():
    many = "; ".join(f"{name} fuse=x memory=100 memory_factor=2 max_attempts=3" for name in "abc")
    world = World(many, slots=1)
    world.start()
    assert world.bundles() == [["a", "b", "c"]]
    world.fail_bundle("a", "oom")
    while world.bundles():
        world.fail_bundle(world.running()[0], "oom")
    name = world.running()[0]
    world.fail(name, "oom")
    assert world.state.memory("abc".index(name)) == 200
    while not world.status:
        assert not any(name in bundle for bundle in world.bundles())
        for running in world.running():
            world.ok(running)
    assert world.status == "success"


@pytest.mark.parametrize(
    ("retry", "times", "memory"),
    [
        (Retry(), 3, 100.0),
        (Retry(memory_factor=2), 0, 100.0),
        (Retry(memory_factor=1.5), 2, 225.0),
        (Retry(memory_factor=2, max_memory=150.0), 1, 150.0),
        (Retry(memory_factor=1000), 999, 2.0**60),
        (Retry(memory_factor=1000, max_memory=500.0), 999, 500.0),
    ],
)
def test_the_amount(retry, times, memory):
    assert memory_after(JobSpec(name="a", retry=retry, resources={"memory": 100.0}), times) == memory


def test_a_job_without_memory_has_none_to_raise():
    assert memory_after(JobSpec(name="a", retry=Retry(memory_factor=2)), 3) == 0
    world = World("a memory_factor=2 max_attempts=2")
    world.start()
    world.fail("a", "oom")
    assert world.state.memory(0) == 0
