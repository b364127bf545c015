"""The state of one run, as stories. Every verb of a `World` also checks the indexes, a replay, and the referee's rules."""

import pytest

from joblot.core import events as ev
from joblot.core.commands import Kill
from joblot.core.model import Config, FanOut, JobSpec, Outcome
from joblot.testing import World


def begun(text, **options):
    world = World(text, **options)
    world.start()
    return world


def kinds(decision):
    return [type(event).__name__ for event in decision.events]


# --- needs ----------------------------------------------------------------------------------------


def test_an_empty_run_is_a_success():
    """R121: nothing to do is a success at once."""
    world = begun("")
    assert (world.status, world.running()) == ("success", [])


def test_jobs_run_in_the_order_of_their_needs():
    """R118: a chain of seven."""
    world = begun("a; b needs a; c needs b; d needs c; e needs d; f needs e; g needs f")
    for name in "abcdefg":
        assert world.running() == [name]
        world.ok(name)
    assert world.status == "success"
    assert world.started() == list("abcdefg")


def test_jobs_of_a_tier_run_beside_each_other():
    """R112: bounded by the slots."""
    world = begun("a; b needs a; c needs a; d needs a; e needs b, c, d", slots=2)
    world.ok("a")
    assert world.running() == ["b", "c"]
    world.ok("c")
    assert world.running() == ["b", "d"]


def test_the_end_of_a_job_and_the_start_of_its_dependent_are_one_decision():
    world = begun("a; b needs a")
    assert kinds(world.ok("a")) == ["AttemptEnded", "AttemptsStarted"]


def test_a_failed_need_skips_the_rest_of_the_chain_and_says_which():
    """R22 R108: every skipped job names the failure itself."""
    world = begun("a; b needs a; c needs b; d")
    world.fail("a")
    assert world.states() == {"a": "failed", "b": "skipped", "c": "skipped", "d": "running"}
    assert world.why("b") == world.why("c") == ("need_failed", "a")
    world.ok("d")
    assert world.status == "failed"


def test_going_on_skips_only_what_stands_behind_a_failure():
    """R107: the diamond; b fails, c runs, d is skipped."""
    world = begun("a; b needs a; c needs a; d needs b, c")
    world.ok("a")
    world.fail("b")
    world.ok("c")
    assert world.states() == {"a": "success", "b": "failed", "c": "success", "d": "skipped"}
    assert world.status == "failed"


def test_a_job_for_failures_runs_when_a_need_failed_and_is_skipped_when_none_did():
    world = begun("a; alert needs a when=failure; report needs alert")
    world.ok("a")
    assert world.states()["alert"] == "skipped"
    assert world.why("alert") == ("condition", "")
    assert world.why("report") == ("need_skipped", "alert")
    assert world.status == "success"
    world = begun("a; alert needs a when=failure; report needs alert")
    world.fail("a")
    assert world.running() == ["alert"]


def test_a_job_for_failures_waits_for_all_its_needs():
    world = begun("a; b; alert needs a, b when=failure")
    world.fail("a")
    assert world.states()["alert"] == "waiting"
    world.ok("b")
    assert world.running() == ["alert"]


def test_a_skipped_need_counts_as_a_failure_for_those_who_ask():
    world = begun("a; b needs a; alert needs b when=failure")
    world.fail("a")
    assert world.running() == ["alert"]


def test_a_need_whose_condition_did_not_come_true_is_no_failure_for_those_who_ask():
    """Nothing went wrong: the whole chain of handlers is skipped, and what needs it plainly says which need was."""
    world = begun(
        "a; alert needs a when=failure; second needs alert when=failure; c needs alert; third needs c when=failure"
    )
    world.ok("a")
    assert world.why("second") == world.why("third") == ("condition", "")
    assert world.why("c") == ("need_skipped", "alert")
    assert world.status == "success"


def test_a_need_that_was_skipped_by_an_unknown_action_is_no_failure_for_those_who_ask():
    """R15"""
    world = begun("a; b needs a; alert needs b when=failure; other needs a when=failure; c", unknown=["a"])
    assert world.why("alert") == world.why("other") == ("condition", "")


def test_one_need_that_failed_is_enough_beside_one_that_was_skipped_for_nothing():
    world = begun("a; b; quiet needs a when=failure; alert needs quiet, b when=failure")
    world.ok("a")
    assert world.states()["alert"] == "waiting"
    world.fail("b")
    assert world.running() == ["alert"]


def test_always_means_after_whatever_came():
    world = begun("a; b; end needs a, b when=always")
    world.fail("a")
    assert world.states()["end"] == "waiting"
    world.ok("b")
    assert world.running() == ["end"]


def test_a_job_for_failures_without_needs_is_skipped():
    world = begun("a when=failure; b when=always")
    assert world.states() == {"a": "skipped", "b": "running"}


def test_a_job_with_an_unknown_action_is_skipped_and_so_is_what_needs_it():
    """R15: it does not stop the others and is no failure."""
    world = begun("a; b needs a; c", unknown=["a"])
    assert world.states() == {"a": "skipped", "b": "skipped", "c": "running"}
    assert (world.why("a"), world.why("b")) == (("unknown_action", ""), ("need_skipped", "a"))
    world.ok("c")
    assert world.status == "success"


# --- order ----------------------------------------------------------------------------------------


def test_the_same_order_100_times():
    """R98: among equals in the order of the batch."""

    def order():
        world = begun("f; b; e needs f; a; d needs b; c", slots=1)
        while not world.status:
            world.ok(world.running()[0])
        return tuple(world.started())

    assert {order() for _ in range(100)} == {("f", "b", "a", "c", "e", "d")}


def test_a_higher_priority_goes_first_among_what_is_ready():
    world = begun("a; b priority=1; c priority=5 needs a; d priority=1; e priority=-1", slots=1)
    while not world.status:
        world.ok(world.running()[0])
    assert world.started() == ["b", "d", "a", "c", "e"]


def test_a_job_that_waits_for_slots_is_not_starved_by_smaller_ones():
    world = begun("a; wide cpu=2; b; c; d", slots=2)
    assert world.running() == ["a"]
    world.ok("a")
    assert world.running() == ["wide"]
    world.ok("wide")
    assert world.running() == ["b", "c"]


def test_a_job_that_waits_for_a_limit_holds_up_only_those_that_ask_for_the_same():
    world = begun("a db=1; b db=1; c net=1; d", slots=4, named={"db": 1, "net": 1})
    assert world.running() == ["a", "c", "d"]
    world.ok("a")
    assert world.running() == ["b", "c", "d"]


def test_a_demand_above_the_total_runs_alone():
    world = begun("a; huge cpu=9 db=7; b", slots=2, named={"db": 2})
    assert world.running() == ["a"]
    world.ok("a")
    assert world.running() == ["huge"]
    world.ok("huge")
    assert world.running() == ["b"]


def test_tenths_of_a_slot_do_not_keep_a_wide_job_waiting_for_ever():
    world = begun("a cpu=0.1; b cpu=0.2; wide cpu=5 needs a, b", slots=2)
    world.ok("a")
    world.ok("b")
    assert world.running() == ["wide"]


def test_plain_jobs_are_handed_over_up_to_the_capacity():
    world = begun("a; b; c; d; e; f", slots=2, capacity=5)
    assert world.running() == ["a", "b", "c", "d", "e"]


def test_skipped_jobs_in_the_queue_take_no_room():
    world = begun("a; x; b; y; c", slots=3, unknown=["x", "y"])
    assert world.running() == ["a", "b", "c"]


def test_a_job_behind_a_skipped_one_can_be_tried_again():
    """It stood in the queue twice, and was started twice."""
    world = begun("a; x; b; c needs a", slots=3, unknown=["x"])
    world.lose("b")
    assert world.running() == ["a", "b"]
    assert world.attempts("b") == 2


# --- tries ----------------------------------------------------------------------------------------


def test_a_second_try_may_succeed():
    """R102: attempts 2."""
    world = begun("a max_attempts=3")
    world.fail("a")
    assert (world.running(), world.attempts("a")) == (["a"], 2)
    world.ok("a")
    assert world.status == "success"


def test_all_tries_fail():
    """R103: failed, attempts = max, the last error kept."""
    world = begun("a max_attempts=3; b needs a")
    for number in (1, 2, 3):
        assert world.attempts("a") == number
        world.fail("a", message=f"error {number}")
    assert world.states() == {"a": "failed", "b": "skipped"}
    last = [event for event in world.events() if isinstance(event, ev.AttemptEnded)][-1]
    assert (last.attempt, last.message, last.state) == (3, "error 3", "failed")


def test_the_next_try_waits_as_the_policy_says():
    world = begun("a max_attempts=3 delay=10 backoff=3; b")
    world.fail("a")
    assert world.states()["a"] == "backing_off"
    assert world.state.next_due() == 10.0
    world.advance(9.9)
    assert world.running() == ["b"]
    world.advance(0.1)
    assert world.running() == ["a", "b"]
    world.fail("a")
    assert world.state.next_due() == 40.0


def test_only_some_outcomes_are_tried_again():
    world = begun("a max_attempts=5 only=exit,timeout; b max_attempts=5 only=exit,timeout")
    world.fail("a", "exit")
    world.fail("b", "error")
    assert world.states() == {"a": "running", "b": "failed"}


@pytest.mark.parametrize("kind", ["error", "exit", "timeout", "crash", "oom"])
def test_every_bad_outcome_is_the_reason_code(kind):
    world = begun("a")
    world.fail("a", kind)
    assert world.why("a") == (kind, "")


def test_an_attempt_that_never_began_is_no_try():
    world = begun("a max_attempts=1")
    world.fail("a", "returned")
    assert (world.running(), world.attempts("a")) == (["a"], 1)
    world.ok("a")
    assert world.status == "success"


def test_a_lost_attempt_is_no_try_but_not_for_ever():
    """It runs again under a new number until it was lost too often."""
    world = begun("a; b needs a", crash_limit=3)
    world.lose("a")
    world.fail("a", "lost", message="the worker died")
    assert (world.running(), world.attempts("a")) == (["a"], 3)
    world.lose("a")
    assert world.states() == {"a": "failed", "b": "skipped"}
    last = [event for event in world.events() if isinstance(event, ev.AttemptEnded)][-1]
    assert (last.outcome, last.message) == ("lost", "the worker died; lost 3 times")


def test_what_was_lost_with_others_in_flight_runs_alone_before_it_is_given_up():
    """P2: a warden's end says nothing about any one of the jobs in it, so each gets the chance to show that it was not its doing."""
    world = begun("a; b; c; d needs c", slots=3, crash_limit=2)
    world.lose("a", "b")
    world.ok("c")
    world.lose("a", "b", "d")
    assert world.running() == ["a"]
    assert world.states()["d"] == "ready"
    world.ok("a")
    assert world.running() == ["b"]
    world.lose("b")
    assert world.why("b") == ("lost", "")
    assert world.events()[-2].message == "the worker died; lost 3 times"
    assert world.running() == ["d"]
    world.ok("d")
    assert world.status == "failed"


def test_a_job_that_is_to_run_alone_waits_until_nothing_else_runs():
    world = begun("a; b; c needs b", slots=3, crash_limit=1)
    world.lose("a")
    assert world.running() == ["b"]
    world.ok("b")
    assert world.running() == ["a"]
    world.ok("a")
    assert world.running() == ["c"]


def test_another_process_knows_what_is_to_run_alone():
    world = begun("a; b; c", slots=3, crash_limit=1)
    world.lose("a", "b")
    world.crash()
    assert world.running() == ["a"]
    world.ok("a")
    world.ok("b")
    world.ok("c")
    assert (world.status, world.attempts("c")) == ("success", 2)


def test_a_job_that_may_run_only_once_is_not_started_again_when_its_end_is_unknown():
    world = begun("a once=yes; b needs a")
    world.lose("a")
    assert world.states() == {"a": "failed", "b": "skipped"}
    assert world.why("a") == ("unknown", "")


def test_news_of_an_old_attempt_is_ignored():
    world = begun("a max_attempts=3")
    world.fail("a")
    for outcome in (Outcome(0, 1, "ok"), Outcome(0, 1, "error"), Outcome(0, 7, "ok")):
        assert not world.end(outcome)
    assert (world.running(), world.attempts("a")) == (["a"], 2)


def test_news_that_comes_twice_counts_once():
    world = begun("a max_attempts=3; b")
    world.end(*[Outcome(0, 1, "error", message="x")] * 2)
    assert (world.running(), world.attempts("a")) == (["a", "b"], 2)


# --- timeouts -------------------------------------------------------------------------------------


def test_a_timeout_kills_and_fails():
    """R109: the kill is asked for at the deadline; the end is the executor's to report."""
    world = begun("a timeout=5 grace=2")
    assert world.state.next_due() == 5.0
    assert world.advance(4.9).kills == []
    assert world.advance(0.1).kills == [Kill(0, 1, "timeout", 2.0)]
    assert world.running() == ["a"]
    world.fail("a", "crash", message="signal 15")
    last = [event for event in world.events() if isinstance(event, ev.AttemptEnded)][-1]
    assert (last.outcome, last.reason, last.message) == ("timeout", "timeout", "timed out after 5 s")


def test_a_timeout_counts_per_attempt():
    """R110 D8: a timed-out attempt may be tried again, with the whole time."""
    world = begun("a timeout=5 max_attempts=2")
    world.advance(5)
    world.fail("a", "crash")
    assert (world.running(), world.attempts("a")) == (["a"], 2)
    assert world.advance(4.9).kills == []
    assert world.advance(0.1).kills == [Kill(0, 2, "timeout", 5.0)]


def test_nothing_goes_on_before_the_end_of_a_killed_attempt_is_known():
    """R110: a cancelled attempt keeps its slot until its death is reported."""
    world = begun("a timeout=5 max_attempts=2; b", slots=1)
    world.advance(5)
    assert world.running() == ["a"]
    world.fail("a", "crash")
    assert world.running() == ["b"]


def test_a_success_at_the_last_moment_is_a_success():
    world = begun("a timeout=5")
    world.advance(5)
    world.ok("a")
    assert world.status == "success"


def test_a_deadline_dies_with_its_attempt_even_when_the_number_is_given_out_again():
    """An attempt that was given back and started anew was killed by the first one's deadline."""
    world = begun("a timeout=10")
    world.advance(6)
    world.fail("a", "returned")
    assert (world.running(), world.attempts("a")) == (["a"], 1)
    assert world.advance(4).kills == []
    assert world.state.next_due() == 16.0
    assert world.advance(6).kills == [Kill(0, 1, "timeout", 5.0)]


def test_a_timeout_that_an_executor_reports_of_a_job_without_one_is_taken_as_it_is():
    world = begun("a")
    world.fail("a", "timeout", message="the server gave up")
    last = [event for event in world.events() if isinstance(event, ev.AttemptEnded)][-1]
    assert (last.outcome, last.message) == ("timeout", "the server gave up")


# --- stopping -------------------------------------------------------------------------------------


def test_fail_fast_starts_nothing_more_and_stops_what_runs():
    """R106 R108: b is independent of a and does not run either; the reason is fail-fast and the cause is a."""
    world = begun("a; b; c; d needs c", slots=2, fail_fast=True)
    assert [kill.job for kill in world.fail("a").kills] == [1]
    assert world.states() == {"a": "failed", "b": "running", "c": "aborted", "d": "aborted"}
    assert world.why("c") == ("fail_fast", "a")
    world.fail("b", "crash")
    assert world.states()["b"] == "aborted"
    assert world.status == "failed"


def test_fail_fast_waits_for_the_last_try():
    """R106: a failure is final before it stops anything."""
    world = begun("a max_attempts=2; b; c; d needs c", slots=3, fail_fast=True)
    world.fail("a")
    assert world.state.stopping == ""
    world.fail("a")
    assert world.state.stopping == "fail_fast"


def test_a_job_that_was_lost_too_often_is_a_failure_for_fail_fast_too():
    """R106."""
    world = begun("a; b; c; d", slots=1, fail_fast=True, crash_limit=1)
    world.lose("a")
    assert world.states() == {"a": "failed", "b": "aborted", "c": "aborted", "d": "aborted"}


def test_so_many_failures_and_no_more():
    world = begun("a; b; c; d", slots=1, max_failures=2)
    world.fail("a")
    assert world.running() == ["b"]
    world.fail("b")
    assert world.states() == {"a": "failed", "b": "failed", "c": "aborted", "d": "aborted"}
    assert world.why("d") == ("max_failures", "b")


def test_a_person_stops_the_run_and_what_runs_may_end():
    world = begun("a; b; c needs a", slots=1)
    assert world.cancel(by="ann").kills == []
    assert world.states() == {"a": "running", "b": "cancelled", "c": "cancelled"}
    world.ok("a")
    assert (world.status, world.states()["a"]) == ("cancelled", "success")
    assert ev.RunStopping("cancelled", "ann") in world.events()


def test_a_second_stop_changes_nothing():
    world = begun("a; b", slots=1)
    world.cancel()
    assert not world.cancel()


def test_what_is_killed_for_a_person_is_cancelled():
    world = begun("a grace=3; b", slots=2)
    world.cancel()
    assert world.kill().kills == [Kill(0, 1, "cancelled", 3.0), Kill(1, 1, "cancelled", 5.0)]
    world.fail("a", "crash")
    world.fail("b", "returned")
    assert world.states() == {"a": "cancelled", "b": "cancelled"}
    assert world.why("a") == ("cancelled", "")


def test_a_kill_is_sent_again_only_when_it_shall_be_quicker():
    world = begun("a grace=3")
    world.cancel()
    assert world.kill().kills == [Kill(0, 1, "cancelled", 3.0)]
    assert world.kill().kills == []
    assert world.kill(grace_s=3.0).kills == []
    assert world.kill(grace_s=0.0).kills == [Kill(0, 1, "cancelled", 0.0)]
    assert world.kill(grace_s=0.0).kills == []


def test_a_deadline_strikes_no_attempt_that_is_being_killed():
    world = begun("a timeout=5 grace=30")
    world.cancel()
    world.kill()
    assert world.advance(5).kills == []
    world.fail("a", "crash")
    assert world.states()["a"] == "cancelled"


def test_what_ended_with_the_failure_that_stops_the_run_is_not_killed():
    """Both were reported in one breath: the second is no longer there to be killed."""
    world = begun("a; b; c", slots=3, fail_fast=True)
    decision = world.end(Outcome(0, 1, "error"), Outcome(1, 1, "error"))
    assert decision.kills == [Kill(2, 1, "cancelled", 5.0)]


def test_a_wait_for_the_next_try_ends_with_a_stop():
    world = begun("a max_attempts=2 delay=60; b")
    world.fail("a")
    world.cancel()
    assert world.states()["a"] == "cancelled"


def test_a_failure_during_a_stop_is_not_tried_again():
    world = begun("a max_attempts=5; b")
    world.cancel()
    world.fail("a")
    world.ok("b")
    assert world.states()["a"] == "failed"


def test_the_run_has_a_time_limit_of_its_own():
    world = begun("a grace=2; b needs a; c", slots=1, timeout_s=30.0)
    assert world.state.next_due() == 30.0
    assert world.advance(30).kills == [Kill(0, 1, "cancelled", 2.0)]
    assert world.state.next_due() is None
    assert world.why("c") == ("time_limit", "")
    world.fail("a", "crash")
    assert world.states() == {"a": "aborted", "b": "aborted", "c": "aborted"}
    assert world.status == "failed"


def test_a_run_that_ends_with_its_time_is_not_stopped():
    world = begun("a", timeout_s=30.0)
    world.clock.advance(31)
    world.ok("a")
    assert world.status == "success"
    assert not [event for event in world.events() if isinstance(event, ev.RunStopping)]
    assert world.state.next_due() is None
    assert not world.advance(100)


def test_a_run_that_has_ended_cannot_be_stopped():
    world = begun("a")
    world.ok("a")
    assert not world.cancel()
    assert world.status == "success"


# --- reading --------------------------------------------------------------------------------------


def test_the_story_can_be_read():
    world = begun("a max_attempts=2; b needs a")
    world.advance(1.5)
    world.fail("a", "exit")
    lines = world.story().splitlines()
    assert lines[1] == "    2       0.000  attempts_started jobs=a"
    assert lines[2] == (
        "    3       1.500  attempt_ended    job=a attempt=1 outcome=exit state=ready wall_s=0.0 cpu_s=0.0"
        " message=it failed reason=exit delay_s=0.0"
    )
    assert world.states()["b"] == "waiting"
    assert world.state.in_flight == 1


@pytest.mark.parametrize(
    ("share", "jobs", "most"),
    [
        (0.1, 5, 0),
        (0.1, 9, 0),
        (0.1, 10, 1),
        (0.1, 19, 1),
        (0.1, 20, 2),
        (0.29, 100, 29),
        (0.07, 100, 7),
        (0.5, 1, 0),
        (0.5, 2, 1),
        (0.999, 3, 2),
        (0.00001, 50, 0),
    ],
)
def test_a_share_of_failures_may_be_reached_and_not_passed(share, jobs, most):
    world = begun("; ".join(f"j{number}" for number in range(jobs)), slots=1, max_failures=share)
    for number in range(most):
        world.fail(f"j{number}")
        assert not world.state.stopping
    world.fail(f"j{most}")
    assert world.state.stopping == ("max_failures" if most < jobs else "")
    assert world.status == "failed"


def test_a_share_is_of_the_jobs_that_take_part():
    names = [f"j{number}" for number in range(10)]
    world = World("; ".join([*names, "f finally=yes"]), slots=1, max_failures=0.2, left_out=names[5:])
    world.start()
    world.fail("j0")
    assert not world.state.stopping, "one of 5 is no more than 20 %"
    world.fail("j1")
    assert world.state.stopping or world.state.settled
    assert world.why("j4") == ("max_failures", "j1")


@pytest.mark.parametrize("found", [0, 5])
def test_a_share_is_of_the_jobs_that_are_known_by_then(found):
    fan = FanOut("result", source="${{ jobs.n.result }}")
    jobs = [JobSpec(name=name, action="test") for name in ("n", "a", "b", "c")]
    jobs.append(JobSpec(name="x-${{ item }}", action="test", needs=("n",), fan_out=fan))
    world = World(Config(name="b", folder="/", jobs=jobs), slots=1, max_failures=0.2)
    world.start()
    world.ok("n")
    world.fail("a")
    assert not world.state.stopping, "one of 5 is no more than 20 %"
    world.ok("b")
    world.ok("c")
    if found:
        world.find("x-*", *map(str, range(found)))
        world.fail("x-0")
        assert not world.state.stopping, "two of 10"
        world.fail("x-1")
    else:
        world.fail("x-*")
    assert world.status == "failed"
    assert [event.reason for event in world.events() if isinstance(event, ev.RunStopping)] == ["max_failures"]


def test_failures_that_are_allowed_are_not_among_the_share():
    world = begun("a allowed=yes; b; c; d", slots=1, max_failures=0.25)
    world.fail("a")
    world.fail("b")
    assert not world.state.stopping
    world.fail("c")
    assert world.state.stopping == "max_failures"
