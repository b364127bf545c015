"""A run in the hands of another process: after a kill, and when it is taken up again after its end."""

from joblot.core import events as ev
from joblot.testing import World


def begun(text, **options):
    world = World(text, **options)
    world.start()
    return world


def test_another_process_runs_what_has_no_success():
    """R130: a is done; b ran when the runner died and runs again under a new number."""
    world = begun("a; b needs a; c needs b; d max_attempts=2 delay=5")
    world.ok("a")
    world.fail("d")
    world.crash()
    assert world.states() == {"a": "success", "b": "running", "c": "waiting", "d": "backing_off"}
    assert (world.attempts("a"), world.attempts("b")) == (1, 2)
    world.advance(5)
    assert world.running() == ["b", "d"]
    world.ok("b")
    world.ok("c")
    world.ok("d")
    assert world.status == "success"


def test_tries_are_not_forgotten():
    world = begun("a max_attempts=2")
    world.fail("a")
    world.crash()
    world.fail("a")
    assert (world.states()["a"], world.attempts("a")) == ("failed", 3)


def test_an_interrupted_job_that_may_run_only_once_is_not_run_again():
    world = begun("a once=yes; b")
    world.crash()
    assert world.states() == {"a": "failed", "b": "running"}
    assert world.why("a") == ("unknown", "")


def test_an_interrupted_job_that_fails_the_run_stops_it_without_killing_the_dead():
    world = begun("a once=yes; b; c", slots=2, fail_fast=True)
    assert world.crash().kills == []
    assert world.states() == {"a": "failed", "b": "aborted", "c": "aborted"}
    assert world.status == "failed"


def test_results_that_others_refer_to_survive():
    world = begun("a; b needs a reads=a; c")
    world.ok("a", result={"rows": 3})
    world.ok("c", result=1)
    world.crash()
    assert world.state.results == {0: b'{"rows":3}'}


def test_an_attempt_without_a_result_can_be_read_back():
    """R113: an empty result was written as nothing at all, which no reader could decode."""
    world = begun("a reads=b; b")
    world.ok("b")
    assert world.events()[-1] == ev.AttemptEnded(1, 1)


def test_a_run_that_ended_is_taken_up_again_for_what_did_not_succeed():
    """R130."""
    world = begun("a; b; c needs b")
    world.ok("a")
    world.fail("b")
    assert world.status == "failed"
    world.reopen()
    assert world.states() == {"a": "success", "b": "running", "c": "waiting"}
    assert world.attempts("b") == 2
    world.ok("b")
    world.ok("c")
    assert world.status == "success"


def test_a_cancelled_run_is_taken_up_again():
    """Ready jobs that were cancelled stood in their queue twice afterwards, and were started twice."""
    world = begun("a; b; c; d", slots=1)
    world.cancel()
    world.ok("a")
    assert world.status == "cancelled"
    world.limits.slots = world.capacity = 4
    world.reopen()
    assert world.running() == ["b", "c", "d"]


def test_reopened_jobs_have_all_their_tries_again():
    world = begun("a max_attempts=2")
    world.fail("a")
    world.fail("a")
    world.reopen()
    world.fail("a")
    assert (world.running(), world.attempts("a")) == (["a"], 4)


def test_a_job_for_failures_that_was_skipped_is_skipped_again():
    """It had no open need and did not come true, and the run never ended."""
    world = begun("a; b; alert needs a when=failure")
    world.ok("a")
    world.fail("b")
    assert world.states()["alert"] == "skipped"
    world.reopen()
    world.ok("b")
    assert world.states()["alert"] == "skipped"
    assert world.status == "success"


def test_a_job_whose_failed_need_stays_failed_is_skipped_again():
    world = begun("a; b; c needs a, b")
    world.fail("a")
    world.ok("b")
    world.reopen("b", "c")
    assert world.states() == {"a": "failed", "b": "running", "c": "skipped"}
    assert world.why("c") == ("need_failed", "a")
    world.ok("b")
    assert world.status == "failed"


def test_a_job_behind_a_need_that_stays_skipped_is_skipped_again():
    world = begun("a; b needs a; c needs b")
    world.fail("a")
    world.reopen("c")
    assert world.why("c") == ("need_skipped", "b")


def test_a_need_that_was_stopped_or_skipped_behind_a_failure_is_one_for_those_who_ask():
    """Also when the need itself is not taken back with them."""
    world = begun("a; b needs a; c needs b; alert needs c when=failure", slots=1)
    world.fail("a")
    world.ok("alert")
    world.reopen("c", "alert")
    assert world.why("c") == ("need_skipped", "b")
    assert world.running() == ["alert"]
    world = begun("a; b; alert needs b when=failure", slots=1)
    world.cancel()
    world.ok("a")
    world.reopen("alert")
    assert world.running() == ["alert"]


def test_a_need_that_was_skipped_by_its_condition_is_no_failure_for_those_who_ask_again():
    world = begun("a; quiet needs a when=failure; alert needs quiet when=failure")
    world.ok("a")
    world.reopen("alert")
    assert world.why("alert") == ("condition", "")
    assert world.status == "success"


def test_unknown_actions_stay_unknown():
    world = begun("a; b; c needs a", unknown=["a"])
    world.fail("b")
    world.reopen()
    assert world.states() == {"a": "skipped", "b": "running", "c": "skipped"}


def test_only_jobs_that_have_ended_are_taken_back():
    """An interrupted run, and a person who asks for everything once more: what had not ended goes on as it would have."""
    world = begun("a; b; c needs b; d", slots=2)
    world.fail("a")
    assert world.running() == ["b", "d"]
    world.reopen("a", "b", "c", "d")
    assert ev.RunReopened([0]) in world.events()
    assert world.states() == {"a": "running", "b": "running", "c": "waiting", "d": "ready"}


def test_a_ready_job_waits_again_when_its_need_is_taken_back():
    world = begun("a; alert needs a when=failure; b", slots=1)
    world.fail("a")
    assert world.states() == {"a": "failed", "alert": "ready", "b": "running"}
    world.reopen("a")
    assert world.states() == {"a": "running", "alert": "waiting", "b": "ready"}
    world.ok("a")
    assert world.states()["alert"] == "skipped"


def test_a_success_whose_need_is_taken_back_stays_one():
    world = begun("a; alert needs a when=failure")
    world.fail("a")
    world.ok("alert")
    world.reopen()
    assert world.states() == {"a": "running", "alert": "success"}
    world.ok("a")
    assert world.status == "success"


def test_a_runner_killed_during_a_stop_leaves_a_run_that_can_be_taken_up():
    world = begun("a; b", slots=1)
    world.cancel()
    world.reopen()
    assert world.states() == {"a": "ready", "b": "running"}
    assert world.state.stopping == ""


def test_a_stop_is_carried_to_its_end_by_the_next_process_when_nobody_takes_the_run_up():
    world = begun("a; b", slots=1)
    world.cancel()
    world.crash()
    assert world.states() == {"a": "cancelled", "b": "cancelled"}
    assert world.status == "cancelled"


def test_a_job_that_ran_waits_again_when_its_need_is_taken_back():
    """It was found up to date, or started, before its need had run again."""
    world = begun("a; b needs a")
    world.ok("a")
    world.reopen("a")
    assert world.states() == {"a": "running", "b": "waiting"}
    world.ok("a")
    assert (world.running(), world.attempts("b")) == (["b"], 2)


def test_a_job_that_backs_off_waits_again_when_its_need_is_taken_back():
    world = begun("a; b needs a max_attempts=2 delay=5")
    world.ok("a")
    world.fail("b")
    world.reopen("a")
    world.advance(5)
    assert world.states() == {"a": "running", "b": "waiting"}
    world.ok("a")
    world.fail("b")
    assert world.states()["b"] == "failed"


def test_a_job_that_ran_is_skipped_when_its_need_is_taken_back_and_fails():
    world = begun("a; b needs a")
    world.ok("a")
    world.reopen("a")
    world.fail("a")
    assert world.why("b") == ("need_failed", "a")
    assert world.status == "failed"
