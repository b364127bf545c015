"""What all running jobs may hold together: which starts wait, and what becomes of a job that was ended for it."""

import pytest

from joblot.core import events as ev
from joblot.core.limits import Limits
from joblot.core.model import Config, FanOut, JobSpec, Outcome
from joblot.core.runstate import RunState
from joblot.testing import World

MIB = 2**20


def begun(text, mib=1000, **options):
    world = World(text, max_memory=mib * MIB, **options)
    world.start()
    return world


def took(world, name, mib, kind="ok"):
    """The job's attempt ends, and this is what it was seen to take."""
    job = world.plan.find(name)
    return world.end(Outcome(job, world.attempts(name), kind, peak_bytes=mib * MIB, reason=kind))


def press(world, name):
    """All that runs holds too much, and this job's attempt is ended for it."""
    job = world.plan.find(name)
    return world.end(Outcome(job, world.attempts(name), "oom", reason="memory_pressure", message="all that ran"))


def declared(mib):
    return f"memory={mib * MIB}"


# --- starts ---------------------------------------------------------------------------------------


def test_jobs_start_as_long_as_what_they_declare_fits_and_nothing_passes_the_first_that_does_not():
    world = begun(f"a {declared(600)}; b {declared(600)}; c {declared(100)}")
    assert world.running() == ["a"]
    world.ok("a")
    assert world.running() == ["b", "c"]


def test_one_job_may_always_run():
    world = begun(f"a {declared(5000)}; b")
    assert world.running() == ["a"]
    world.ok("a")
    assert world.running() == ["b"]


@pytest.mark.parametrize(("slots", "running"), [(2, ["a", "b"]), (4, ["a", "b", "c", "d"])])
def test_of_jobs_of_which_nothing_is_known_as_many_start_as_there_are_slots(slots, running):
    """And none ahead of a slot, before it is known how much they take."""
    assert begun("a; b; c; d; e", slots=slots, capacity=64).running() == running


def test_a_job_is_expected_to_take_what_it_took_in_earlier_runs():
    assert begun("a; b; c", expected_memory={0: 600 * MIB, 1: 600 * MIB}).running() == ["a"]


def test_a_job_of_which_nothing_is_known_is_expected_to_take_what_others_took_on_average():
    world = begun("a; b; c; d; e", slots=2)
    took(world, "a", 400)
    took(world, "b", 900)
    assert world.running() == ["c"]


def test_the_jobs_of_a_declaration_are_expected_to_take_the_most_that_one_of_them_took():
    fan = FanOut("matrix", {"n": [1, 2, 3, 4]})
    jobs = [JobSpec(name="f${{ matrix.n }}", action="test", fan_out=fan), JobSpec(name="x", action="test")]
    world = begun(Config(name="world", folder="/", jobs=jobs), slots=2)
    took(world, "f1", 100)
    took(world, "f2", 600)
    assert world.running() == ["f3"]
    world.ok("f3")
    assert world.running() == ["f4"]


def test_small_jobs_may_run_ahead_of_slots_once_one_was_seen():
    """A Python process alone takes half of what counts."""
    world = begun("a; b; c; d; e; f", slots=1, capacity=4)
    assert world.running() == ["a"]
    took(world, "a", 63)
    assert world.running() == ["b", "c", "d", "e"]


def test_a_failure_tells_nothing_of_how_much_others_will_take():
    world = begun("a; b; c; d", slots=2)
    world.fail("a")
    assert world.state.room.seen == {}
    took(world, "b", 900, "exit")
    assert world.state.room.seen == {"b": 900 * MIB}


def test_nothing_starts_beside_what_is_seen_to_hold_too_much():
    world = begun("a; b; c; d", slots=2)
    world.state.room.held = 1000 * MIB
    world.ok("a")
    assert world.running() == ["b"]
    world.state.room.held = 300 * MIB
    world.advance(1)
    assert world.running() == ["b", "c"]


def test_the_jobs_of_a_bundle_are_one_process():
    expected = dict.fromkeys(range(3), 600 * MIB)
    world = begun("a fuse=big; b fuse=big; c fuse=big; d", expected_memory=expected)
    assert world.running() == ["a", "b", "c", "d"]


def test_a_bundle_is_expected_to_take_as_much_until_its_last_job_has_ended():
    world = begun(f"a fuse=big {declared(600)}; b fuse=big {declared(600)}; c {declared(600)}")
    assert world.running() == ["a", "b"]
    world.ok("a")
    assert world.running() == ["b"]
    world.ok("b")
    assert world.running() == ["c"]


def test_what_no_place_has_alone_runs_alone():
    """On a cluster each worker has a share."""
    expected = {0: 300 * MIB, 1: 300 * MIB}
    world = begun("a; b; c", expected_memory=expected, most_memory=250 * MIB)
    assert world.running() == ["a"]
    assert world.state.room.runs_alone(0)


# --- ends -----------------------------------------------------------------------------------------


def test_a_job_that_was_ended_for_all_runs_alone_later_and_no_try_is_counted():
    world = begun("a; b; c", slots=2)
    press(world, "b")
    assert (world.states()["b"], world.why("b"), world.state.failed_tries) == ("ready", ("memory_pressure", ""), {})
    assert world.running() == ["a", "c"]
    world.ok("a")
    assert world.running() == ["c"]
    world.ok("c")
    assert (world.running(), world.attempts("b")) == (["b"], 2)
    world.ok("b")
    assert world.status == "success"


def test_nothing_starts_beside_a_job_that_was_ended_for_all():
    world = begun("a; b", slots=2)
    press(world, "b")
    took(world, "a", 1)
    assert world.running() == ["b"]
    world.advance(1)
    assert world.state.room.runs_alone(1)


def test_alone_it_has_failed_and_that_is_a_try():
    world = begun("a; b max_attempts=2", slots=2)
    press(world, "b")
    world.ok("a")
    world.fail("b", "oom", "out of memory: used 1001 MiB of 1000 MiB (max_memory)")
    assert (world.running(), world.state.failed_tries) == (["b"], {1: 1})
    press(world, "b")
    assert (world.states()["b"], world.why("b"), world.state.failed_tries) == ("failed", ("oom", ""), {1: 2})


def test_a_job_that_may_run_only_once_is_not_started_again():
    """Nobody ends it for what others hold; if somebody did, its try would count."""
    world = begun("a; b once=yes", slots=2)
    press(world, "b")
    assert (world.states()["b"], world.why("b")) == ("failed", ("oom", ""))


def test_an_action_cannot_say_that_its_end_was_not_its_own():
    world = begun("a; b", slots=2)
    world.end(Outcome(1, 1, "error", reason="memory_pressure", message="me"))
    assert (world.states()["b"], world.why("b")) == ("failed", ("error", ""))


def test_a_bundle_is_split_as_when_its_process_fails():
    world = begun("a fuse=big; b fuse=big; c")
    ends = [Outcome(job, 1, "oom", reason="memory_pressure", message="all that ran", shared=True) for job in (0, 1)]
    world.end(*ends)
    assert (world.why("a"), world.why("b"), world.state.pressed) == (("bundle", ""), ("bundle", ""), set())


def test_a_job_that_was_ended_for_all_shares_no_process():
    world = begun("a fuse=big; b; c fuse=big needs b", slots=2)
    press(world, "a")
    world.ok("b")
    assert (world.running(), world.bundles()) == (["a"], [])


def test_a_run_that_goes_on_without_the_limit_counts_no_try_either():
    """A replay knows it by the record alone."""
    world = begun("a; b", slots=2)
    press(world, "b")
    state = RunState(world.plan.fresh(), Limits(slots=2))
    for event in world.events():
        state.apply(event)
    assert (state.pressed, state.failed_tries) == ({1}, {})


def test_it_runs_alone_after_the_runner_was_killed_too():
    world = begun("a; b", slots=2)
    press(world, "b")
    world.crash()
    assert world.running() == ["b"]
    world.ok("b")
    assert world.running() == ["a"]


def test_a_person_s_retry_begins_anew():
    world = begun("a; b", slots=2)
    press(world, "b")
    world.ok("a")
    world.fail("b", "oom")
    world.reopen("a", "b")
    assert world.running() == ["a", "b"]


def test_what_is_ended_for_all_while_the_run_stops_is_cancelled():
    world = begun("a; b", slots=2)
    world.cancel()
    press(world, "b")
    assert world.states() == {"a": "running", "b": "cancelled"}


def test_what_was_killed_for_its_time_has_timed_out():
    world = begun("a; b timeout=5", slots=2)
    world.advance(5)
    press(world, "b")
    assert world.why("b") == ("timeout", "")


def test_the_record_tells_it():
    world = begun("a; b", slots=2)
    press(world, "b")
    ends = [event for event in world.events() if isinstance(event, ev.AttemptEnded)]
    assert [(end.outcome, end.state, end.reason, end.message) for end in ends] == [
        ("oom", "ready", "memory_pressure", "all that ran")
    ]
