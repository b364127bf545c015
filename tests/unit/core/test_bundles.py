"""Jobs that are run as one: what starts together, what a bundle holds, and what becomes of it when it fails."""

import pytest

from joblot.core import events as ev
from joblot.core.fusing import Fusing
from joblot.core.model import Config, FanOut, JobSpec
from joblot.core.plan import expand
from joblot.testing import World
from joblot.testing.declare import FUSED, declare

FIVE = "; ".join(f"{name} fuse=big" for name in "abcde")


def starts(world):
    """The jobs of every start and the sizes of their bundles."""
    return [
        ("".join(world.plan.name(job) for job in event.jobs), event.bundles)
        for event in world.events()
        if isinstance(event, ev.AttemptsStarted)
    ]


# --- starting -------------------------------------------------------------------------------------


def test_jobs_that_can_be_fused_start_together_in_one_slot():
    """R129: one process reads the input, whatever the number of slots."""
    world = World(FIVE + "; x; y", slots=2)
    world.start()
    assert world.bundles() == [["a", "b", "c", "d", "e"]]
    assert world.running() == ["a", "b", "c", "d", "e", "x"]
    assert starts(world) == [("abcdex", [5, 1])]


def test_each_job_of_a_bundle_ends_for_itself_and_the_slot_is_free_when_all_have():
    world = World("a fuse=big; b fuse=big; c; d needs a", slots=1)
    world.start()
    assert world.running() == ["a", "b"]
    world.ok("a", {"n": 1})
    assert world.states() == {"a": "success", "b": "running", "c": "ready", "d": "ready"}
    world.fail("b")
    assert world.states() == {"a": "success", "b": "failed", "c": "running", "d": "ready"}


def test_a_bundle_holds_once_what_one_of_its_jobs_asks_for():
    world = World("a fuse=big db=2; b fuse=big db=2; c db=1; d fuse=big", slots=4, named={"db": 2})
    world.start()
    assert world.running() == ["a", "b", "d"]
    assert world.bundles() == [["a", "b"]]
    world.ok("a")
    assert world.state.resources.snapshot()["db"] == 2
    world.ok("b")
    assert world.running() == ["c", "d"]


def test_nothing_is_fused_when_that_is_not_wanted():
    world = World(FIVE, slots=2, fuse=False)
    world.start()
    assert (world.running(), world.bundles()) == (["a", "b"], [])


def test_a_bundle_has_no_more_jobs_than_allowed():
    world = World(FIVE, slots=2, max_bundle=3)
    world.start()
    assert world.bundles() == [["a", "b", "c"], ["d", "e"]]


def test_only_what_is_ready_is_taken_along():
    world = World("a fuse=big; b fuse=big; s; c fuse=big needs s; d fuse=big needs s", slots=2)
    world.start()
    assert world.bundles() == [["a", "b"]]
    world.ok("s")
    assert world.bundles() == [["a", "b"], ["c", "d"]]


def test_plain_jobs_are_queued_ahead_beside_a_bundle_no_more_than_there_are_slots():
    world = World(FIVE + "; v; w; x; y; z", slots=2, capacity=8)
    world.start()
    assert world.running() == ["a", "b", "c", "d", "e", "v"]


def test_a_job_that_may_run_once_only_is_in_no_bundle():
    world = World("a fuse=big once=yes; b fuse=big; c fuse=big", slots=3)
    world.start()
    assert world.bundles() == [["b", "c"]]


# --- failing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["crash", "error", "timeout", "oom", "lost"])
def test_a_bundle_that_fails_is_tried_again_in_halves_and_no_try_counts(kind):
    world = World(FIVE, slots=4)
    world.start()
    world.ok("a")
    world.fail_bundle("b", kind)
    assert world.bundles() == [["b", "c"], ["d", "e"]]
    world.fail_bundle("b", kind)
    assert world.bundles() == [["d", "e"]]
    assert world.running() == ["b", "c", "d", "e"]
    assert (world.state.failed_tries, world.state.losses) == ({}, {})
    for name in "bcde":
        world.ok(name)
    assert world.status == "success"


def test_alone_a_job_fails_by_the_ordinary_rules():
    """A bad job costs its neighbours attempts, never their results; what it ends as is its own."""
    world = World("a fuse=big max_attempts=2; b fuse=big max_attempts=2", slots=2)
    world.start()
    world.fail_bundle("a")
    assert world.why("a") == ("bundle", "")
    world.ok("b")
    world.fail("a", "crash")
    assert world.running() == ["a"]
    world.fail("a", "crash")
    assert world.states() == {"a": "failed", "b": "success"}
    assert world.attempts("a") == 3


def test_the_message_says_that_the_end_was_not_the_jobs_own():
    world = World("a fuse=big timeout=5; b fuse=big timeout=5")
    world.start()
    world.fail_bundle("a", "crash", "killed by SIGSEGV")
    ended = [event for event in world.events() if isinstance(event, ev.AttemptEnded)]
    assert [(one.outcome, one.state, one.reason) for one in ended] == [("crash", "ready", "bundle")] * 2
    assert ended[0].message == "a bundle of 2 jobs ended: killed by SIGSEGV"


def test_the_last_one_left_of_a_bundle_runs_alone():
    """It is the one that was being worked on when the process died."""
    world = World(FIVE, slots=4)
    world.start()
    for name in "abcd":
        world.ok(name)
    world.fail_bundle("e")
    assert (world.running(), world.bundles()) == (["e"], [])


def test_a_job_that_fails_by_itself_is_retried_as_its_policy_says_and_the_bundle_goes_on():
    world = World("a fuse=big max_attempts=2; b fuse=big max_attempts=2; c fuse=big max_attempts=2", slots=2)
    world.start()
    world.fail("b")
    assert world.running() == ["a", "b", "c"]
    assert world.bundles() == [["a", "c"]]
    assert world.state.failed_tries == {world.plan.find("b"): 1}


def test_a_reason_that_an_action_makes_up_is_not_taken_for_a_bundles():
    world = World("a fuse=big; b fuse=big")
    world.start()
    job = world.plan.find("a")
    world.end(ev.Outcome(job, 1, "error", message="odd", reason="bundle"))
    assert world.states()["a"] == "failed"
    assert world.why("a") == ("error", "")


# --- killing --------------------------------------------------------------------------------------


def test_a_timeout_kills_the_process_once_and_counts_for_nobody():
    """R110"""
    world = World("a fuse=big timeout=5; b fuse=big timeout=5; c fuse=big timeout=5", slots=2)
    world.start()
    world.ok("a")
    decision = world.advance(5)
    assert [(kill.job, kill.kind) for kill in decision.kills] == [(world.plan.find("b"), "timeout")]
    world.fail_bundle("b", "crash")
    ended = [event for event in world.events() if isinstance(event, ev.AttemptEnded)][-2:]
    assert [(one.outcome, one.message) for one in ended] == [("timeout", "a bundle of 3 jobs timed out after 5 s")] * 2
    assert world.running() == ["b", "c"]
    assert world.bundles() == []
    world.advance(5)
    world.fail("b", "crash")
    assert world.states() == {"a": "success", "b": "failed", "c": "running"}


def test_what_a_killed_bundle_still_gets_done_counts():
    world = World("a fuse=big timeout=5; b fuse=big timeout=5")
    world.start()
    world.advance(5)
    world.ok("a")
    world.fail("b", "error")  # the action caught the kill and blamed the job: it was the timeout's doing
    assert world.states() == {"a": "success", "b": "running"}
    assert world.state.failed_tries == {}


def test_cancelling_kills_each_bundle_once_and_what_is_left_is_cancelled():
    world = World(FIVE + "; x", slots=2)
    world.start()
    world.cancel()
    decision = world.kill()
    assert [world.plan.name(kill.job) for kill in decision.kills] == ["a", "x"]
    assert [kill.grace_s for kill in world.kill(0.0).kills] == [0.0, 0.0]
    assert world.kill(0.0).kills == []
    world.ok("a")
    world.fail_bundle("b", "crash")
    world.fail("x", "crash")
    assert world.states() == {"a": "success", **dict.fromkeys("bcdex", "cancelled")}
    assert world.status == "cancelled"


def test_a_bundle_that_dies_after_the_stop_has_not_failed():
    world = World("a fuse=big; b fuse=big")
    world.start()
    world.cancel()
    world.fail_bundle("a", "crash")
    assert world.states() == {"a": "cancelled", "b": "cancelled"}


def test_a_first_failure_with_fail_fast_kills_the_rest_of_its_own_bundle():
    world = World("a fuse=big; b fuse=big; c fuse=big", fail_fast=True)
    world.start()
    decision = world.fail("b")
    assert [world.plan.name(kill.job) for kill in decision.kills] == ["a"]
    world.fail_bundle("a", "crash")
    assert world.states() == {"a": "aborted", "b": "failed", "c": "aborted"}


def test_a_kill_goes_to_a_job_that_still_runs():
    """The outcomes of one look may end the very job that stood for its process."""
    world = World("a fuse=big; b fuse=big; x", slots=2, fail_fast=True)
    world.start()
    a, x = world.plan.find("a"), world.plan.find("x")
    decision = world.end(ev.Outcome(x, 1, "error"), ev.Outcome(a, 1, "ok"))
    assert [world.plan.name(kill.job) for kill in decision.kills] == ["b"]


# --- going on -------------------------------------------------------------------------------------


def test_after_a_crash_of_the_runner_what_was_not_done_is_one_bundle_again():
    """R130: the others stay done."""
    world = World(FIVE, slots=2)
    world.start()
    world.ok("a")
    world.crash()
    assert world.states()["a"] == "success"
    assert world.bundles() == [["b", "c", "d", "e"]]


def test_a_resumed_run_knows_how_small_the_bundles_have_become():
    world = World(FIVE, slots=1)
    world.start()
    world.fail_bundle("a")
    assert world.bundles() == [["a", "b"]]
    world.crash()
    assert world.bundles() == [["c", "d"]]
    world.ok("c")
    world.ok("d")
    assert world.bundles() == [["e", "a"]]


def test_a_reopened_job_begins_anew():
    world = World("a fuse=big; b fuse=big", slots=1)
    world.start()
    world.fail_bundle("a")
    world.fail("a")
    world.fail("b")
    world.reopen()
    assert world.bundles() == [["a", "b"]]


def test_an_attempt_that_never_began_changes_nothing():
    world = World("a fuse=big; b fuse=big; c", slots=2)
    world.start()
    world.end(*(ev.Outcome(world.plan.find(name), 1, "returned") for name in "ab"))
    assert world.bundles() == [["a", "b"]]
    assert world.attempts("a") == 1


# --- who belongs together -------------------------------------------------------------------------


def groups(*jobs, rules=FUSED):
    plan = expand(Config(name="g", folder="/", jobs=list(jobs)))
    return [[plan.name(job) for job in group.jobs] for group in Fusing(plan, rules).groups]


def job(name, **fields):
    return JobSpec(name=name, **({"action": "fused", "input": "x"} | fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"input": "y"},
        {"action": "other"},
        {"timeout_s": 5.0},
        {"grace_s": 1.0},
        {"priority": 1},
        {"resources": {"db": 1.0}},
        {"env": {"A": "1"}},
        {"once": True},
    ],
)
def test_jobs_that_differ_in_what_a_process_has_once_are_not_fused(fields):
    assert groups(job("a"), job("b", **fields)) == []
    assert groups(job("a"), job("b")) == [["a", "b"]]


def test_jobs_may_differ_in_everything_else():
    other = {"params": {"p": 1}, "outputs": ("o",), "tags": ("t",), "when": "always"}
    assert groups(job("a"), job("b", **other)) == [["a", "b"]]


def test_a_parameter_that_is_not_given_stands_for_its_default():
    rules = {"fused": {"input": None, "profile": "quick"}}
    quick, deep = job("b", params={"profile": "quick"}), job("c", params={"profile": "deep"})
    assert groups(job("a"), quick, deep, rules=rules) == [["a", "b"]]


def test_the_jobs_of_a_fan_out_are_fused_with_each_other_and_with_others():
    fan = FanOut("matrix", {"code": ["1", "2", "3"]})
    same = job("f-${{ matrix.code }}", params={"code": "${{ matrix.code }}"}, fan_out=fan)
    assert groups(job("a"), same, job("b")) == [["a", "f-1", "f-2", "f-3", "b"]]
    files = FanOut("matrix", {"file": ["p", "q"], "code": ["1", "2"]})
    by_file = job("f-${{ matrix.file }}-${{ matrix.code }}", input="${{ matrix.file }}", fan_out=files)
    assert groups(job("a"), by_file) == [["f-p-1", "f-p-2"], ["f-q-1", "f-q-2"]]


def test_references_that_are_filled_in_later_are_fused_by_their_text():
    one = {"input": "${{ jobs.a.result.path }}", "deferred": True, "needs": ("a",)}
    assert groups(JobSpec(name="a", action="test"), job("b", **one), job("c", **one)) == [["b", "c"]]


def test_jobs_of_which_one_needs_the_other_are_a_group_and_never_a_bundle():
    world = World(declare("a fuse=big; b fuse=big needs a; c fuse=big"))
    world.start()
    assert world.bundles() == [["a", "c"]]


def test_the_expected_memory_of_a_group_is_that_of_its_neediest_job():
    plan = expand(declare("a fuse=big; b fuse=big; c"))
    assert Fusing(plan, FUSED).with_group_maximum({0: 5, 2: 9}) == {0: 5, 1: 5, 2: 9}
