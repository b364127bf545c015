"""Jobs of `finally`: a phase behind the end of all others. Every verb of a `World` also checks a replay and the referee's rules."""

import pytest

from joblot.core import events as ev
from joblot.core.limits import Limits
from joblot.core.model import Config, JobSpec
from joblot.core.plan import expand
from joblot.core.selection import Selection, leave_out
from joblot.errors import ConfigError, UsageError
from joblot.testing import World, declare


def begun(text, **options):
    world = World(text, **options)
    world.start()
    return world


def settled(world):
    return [event.status for event in world.events() if isinstance(event, ev.RunSettled)]


RUN = "a; b needs a; mail finally=yes"
ALL = "a; always finally=yes; good finally=yes when=success; bad finally=yes when=failure"


def test_they_start_when_all_others_have_ended_in_the_same_decision():
    world = begun(RUN)
    world.ok("a")
    decision = world.ok("b")
    assert [type(event) for event in decision.events] == [ev.AttemptEnded, ev.RunSettled, ev.AttemptsStarted]
    assert (world.running(), world.status) == (["mail"], "")
    world.ok("mail")
    assert world.status == "success"


@pytest.mark.parametrize(
    ("ending", "status", "runs"),
    [
        (lambda world: world.ok("a"), "success", ["always", "good"]),
        (lambda world: world.fail("a"), "failed", ["always", "bad"]),
        (lambda world: (world.cancel(), world.ok("a")), "cancelled", ["always", "bad"]),
        (lambda world: (world.cancel(), world.kill(0.0), world.fail("a", "crash")), "cancelled", ["always", "bad"]),
        (lambda world: (world.advance(11), world.fail("a", "crash")), "failed", ["always", "bad"]),
    ],
    ids=["well", "failed", "stopped", "killed", "time limit"],
)
def test_their_when_asks_how_the_run_ended_whatever_ended_it(ending, status, runs):
    world = begun(ALL, timeout_s=10.0)
    ending(world)
    assert (settled(world), world.running()) == ([status], runs)
    skipped = [name for name, state in world.states().items() if state == "skipped"]
    assert {world.why(name) for name in skipped} == {("condition", "")}
    for name in runs:
        world.fail(name)
    assert world.status == status
    assert world.events()[-1].status == status


def test_a_batch_of_nothing_else_runs_them():
    world = begun("mail finally=yes; sad finally=yes when=failure")
    assert (settled(world), world.running(), world.states()["sad"]) == (["success"], ["mail"], "skipped")
    world.ok("mail")
    assert world.status == "success"


def test_without_them_no_event_is_written_that_there_was_not_before():
    world = begun("a")
    world.ok("a")
    assert settled(world) == []


@pytest.mark.parametrize("limits", [{"fail_fast": True}, {"max_failures": 1}, {"timeout_s": 5.0}], ids=str)
def test_the_limits_of_the_run_do_not_hold_for_them(limits):
    world = begun("a; b; x finally=yes; y finally=yes; z needs x finally=yes", slots=1, **limits)
    if "timeout_s" in limits:
        world.advance(6)
    world.fail("a", "crash")
    assert world.states()["b"] == "aborted"
    world.advance(1000)
    world.fail("x")
    world.fail("y")
    world.ok("z")
    assert (world.status, settled(world)) == ("failed", ["failed"])


def test_one_that_fails_changes_nothing_of_the_status():
    world = begun(RUN)
    world.ok("a")
    world.ok("b")
    world.fail("mail")
    assert (world.status, world.states()["mail"]) == ("success", "failed")


def test_needs_among_them_are_needs_like_others():
    world = begun(
        "a; x finally=yes; y needs x finally=yes when=success; z needs x finally=yes when=failure; w needs x finally=yes"
    )
    world.ok("a")
    assert world.running() == ["x"]
    world.fail("x")
    assert world.why("y") == ("need_failed", "x")
    assert world.running() == ["z", "w"]


def test_a_handler_behind_one_that_ended_well_in_a_run_that_did_is_skipped():
    world = begun("a; x finally=yes; z needs x finally=yes when=failure")
    world.ok("a")
    world.ok("x")
    assert (world.why("z"), world.status) == (("condition", ""), "success")


# --- results --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ending",
    [
        lambda world: world.fail("a"),
        lambda world: (world.cancel(), world.kill(0.0), world.fail("a", "crash")),
        lambda world: (world.lose("a"), world.fail("a")),
    ],
    ids=["failed", "stopped", "lost, then failed"],
)
def test_one_that_refers_to_a_result_that_is_not_there_is_skipped(ending):
    world = begun("a; mail finally=yes reads=a; last needs mail finally=yes")
    ending(world)
    assert world.why("mail") == ("no_result", "a")
    assert world.running() == ["last"]


def test_a_result_that_is_there_is_one_whatever_became_of_the_run():
    world = begun("a; b; mail finally=yes reads=a")
    world.ok("a", {"rows": 3})
    world.fail("b")
    assert world.running() == ["mail"]


def test_of_jobs_that_were_left_out_there_is_no_result():
    world = begun("a; b; mail finally=yes reads=a", left_out=["a"])
    world.ok("b")
    assert (world.why("mail"), world.status) == (("no_result", "a"), "success")


def test_one_that_needs_another_and_refers_to_its_result_is_skipped_where_that_has_none():
    world = begun("a; x finally=yes; y needs x finally=yes reads=x")
    world.ok("a")
    world.fail("x")
    assert (world.why("y"), world.status) == (("no_result", "x"), "success")


# --- stopping them --------------------------------------------------------------------------------


def test_a_stop_of_the_run_leaves_them_and_a_second_one_is_theirs():
    world = begun("a; x finally=yes; y finally=yes; z finally=yes", slots=2)
    world.cancel("first")
    assert world.states()["x"] == "waiting"
    world.ok("a")
    assert world.running() == ["x", "y"]
    world.cancel("second")
    assert world.states()["z"] == "cancelled"
    world.kill(0.0)
    world.ok("x")
    world.fail("y", "crash")
    assert world.states() == {"a": "success", "x": "success", "y": "cancelled", "z": "cancelled"}
    assert (world.status, settled(world)) == ("cancelled", ["cancelled"])


def test_a_success_stays_one_when_they_are_stopped():
    world = begun("a; x finally=yes; y needs x finally=yes")
    world.ok("a")
    world.cancel()
    world.kill()
    world.fail("x", "crash")
    assert (world.status, world.states()["y"]) == ("success", "cancelled")


def test_what_is_unknown_or_left_out_does_not_run_and_is_not_waited_for():
    world = begun("a; x finally=yes; y finally=yes; z needs x finally=yes", unknown=["x"], left_out=["y"])
    assert world.states()["x"] == "skipped"
    world.ok("a")
    assert world.running() == ["z"]
    world.ok("z")
    assert world.status == "success"
    alone = begun("a; x finally=yes", unknown=["x"])
    alone.ok("a")
    assert (alone.status, settled(alone)) == ("success", [])


# --- going on -------------------------------------------------------------------------------------


def test_a_runner_killed_among_them_leaves_the_rest_to_the_next_process():
    world = begun("a; x finally=yes; y needs x finally=yes")
    world.fail("a")
    world.crash()
    assert (world.running(), world.attempts("a"), world.attempts("x")) == (["x"], 1, 2)
    world.ok("x")
    world.crash()
    assert world.running() == ["y"]
    world.ok("y")
    assert (world.status, settled(world)) == ("failed", ["failed"])


def test_the_reason_for_the_stop_is_forgotten_with_the_runner_and_the_status_is_not():
    world = begun("a; x finally=yes", timeout_s=5.0)
    world.cancel()
    world.ok("a")
    world.crash()
    world.advance(100)
    assert world.running() == ["x"]
    world.ok("x")
    assert world.status == "cancelled"


def test_one_that_may_run_once_and_may_have_run_is_not_started_again():
    world = begun("a; x finally=yes once=yes")
    world.ok("a")
    world.crash()
    assert (world.states()["x"], world.status) == ("failed", "success")


def test_a_reopened_run_ends_once_more_and_they_run_at_the_new_end():
    world = begun("a; b; x finally=yes once=yes; y finally=yes when=failure; z finally=yes when=success")
    world.fail("a")
    world.ok("b")
    world.lose("x")
    world.ok("y")
    assert (world.status, world.why("z")) == ("failed", ("condition", ""))
    world.reopen("a")
    assert world.states() == {"a": "running", "b": "success", "x": "waiting", "y": "waiting", "z": "waiting"}
    world.ok("a")
    assert settled(world) == ["failed", "success"]
    assert (world.running(), world.why("y")) == (["x", "z"], ("condition", ""))
    world.ok("x")
    world.ok("z")
    assert world.status == "success"


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        (lambda world: world.ok("a"), "success"),
        (lambda world: world.fail("a"), "failed"),
        (lambda world: (world.cancel(), world.ok("a")), "cancelled"),
        (lambda world: (world.advance(6), world.fail("a", "crash")), "failed"),
    ],
    ids=["success", "failed", "cancelled", "time limit"],
)
def test_taken_back_alone_they_leave_the_status(ending, status):
    world = begun("a; x finally=yes; y needs x finally=yes when=success", timeout_s=5.0)
    ending(world)
    world.fail("x")
    if status == "success":
        assert world.why("y") == ("need_failed", "x")
    world.reopen("x")
    assert (world.running(), world.attempts("a")) == (["x"], 1)
    world.crash()
    world.ok("x")
    assert (world.status, settled(world)) == (status, [status, status])
    world.reopen("x")
    world.ok("x")
    assert world.status == status


def test_a_run_that_was_killed_among_them_and_is_reopened_runs_them_behind_the_others():
    world = begun("a; x finally=yes once=yes; y finally=yes max_attempts=2 delay=5; z finally=yes", slots=2)
    world.fail("a")
    world.fail("y")
    world.reopen("a")
    assert world.states() == {"a": "running", "x": "waiting", "y": "waiting", "z": "waiting"}
    world.ok("a")
    assert settled(world) == ["failed", "success"]
    assert len(world.running()) == 2


def test_jobs_that_are_found_on_the_way_come_before_them():
    config = declare("list; mail finally=yes")
    from msgspec.structs import replace

    from joblot.core.model import FanOut

    fan = JobSpec(
        name="one-${{ item }}",
        action="test",
        needs=("list",),
        fan_out=FanOut("result", source="${{ jobs.list.result }}"),
    )
    world = World(replace(config, jobs=[config.jobs[0], fan, config.jobs[1]]))
    world.start()
    world.ok("list", ["p", "q"])
    world.find("one-*", "p", "q")
    assert world.running() == ["one-p", "one-q"]
    world.ok("one-p")
    assert settled(world) == []
    world.ok("one-q")
    assert world.running() == ["mail"]
    world.crash()
    world.ok("mail")
    assert world.status == "success"


# --- the plan -------------------------------------------------------------------------------------


def test_a_pattern_of_needs_means_jobs_of_its_own_phase_only():
    plan = expand(declare("a; b needs * when=always; x finally=yes; y needs * finally=yes"))
    names = {plan.name(job): [plan.name(need) for need in plan.needs[job]] for job in range(len(plan))}
    assert names == {"a": [], "b": ["a"], "x": [], "y": ["x"]}
    assert [[plan.name(job) for job in tier] for tier in plan.tiers] == [["a"], ["b"], ["x"], ["y"]]


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            "a needs x; x finally=yes",
            "job `a` needs `x`, which is a job of `finally`",
            "those start when all others have ended",
        ),
        (
            "a; x needs a finally=yes",
            "job `x` of `finally` needs `a`, which is not",
            "it starts when all others have ended: leave that need out",
        ),
        ("a; b needs x*; x finally=yes", "job `b` needs `x*`, which matches no other job", ""),
        ("a; x needs a* finally=yes", "job `x` needs `a*`, which matches no other job", ""),
        ("a; x needs * finally=yes", "job `x` needs `*`, which matches no other job", ""),
        (
            "a; x finally=yes; y finally=yes reads=x",
            "job `y` refers to the result of `x`, a job of `finally` that it does not need",
            "add `x` to `needs`",
        ),
        (
            "abc; y finally=yes reads=abd",
            "job `y` refers to the result of `abd`, and no job has that name",
            "did you mean `abc`?",
        ),
        (
            "a; x needs y finally=yes; y needs x finally=yes",
            "jobs need each other: x -> y -> x",
            "`a -> b` means that `a` needs `b`; remove one of these needs",
        ),
    ],
)
def test_what_cannot_be_needed_is_told(text, message, hint):
    with pytest.raises(ConfigError) as caught:
        expand(declare(text))
    assert [(one.message, one.hint) for one in caught.value.diagnostics] == [(message, hint)]


@pytest.mark.parametrize(
    ("selection", "names"),
    [
        (Selection(only=("a",)), ["b"]),
        (Selection(upto=("b",)), []),
        (Selection(from_=("b",)), ["a"]),
        (Selection(exclude=("x",)), ["x"]),
        (Selection(only=("a",), exclude=("y",)), ["b", "y"]),
        (Selection(only=("x",)), ["a", "b"]),
        (Selection(exclude=("a", "b")), ["a", "b"]),
    ],
    ids=str,
)
def test_a_selection_leaves_them_in_unless_it_excludes_them(selection, names):
    plan = expand(declare("a; b needs a; x finally=yes; y finally=yes reads=b"))
    assert [plan.name(job) for job in leave_out(plan, selection)] == names


def test_one_cannot_be_had_without_the_one_whose_result_it_needs():
    plan = expand(declare("a; x finally=yes; y needs x finally=yes reads=x"))
    with pytest.raises(UsageError) as caught:
        leave_out(plan, Selection(exclude=("x",)))
    assert str(caught.value) == "job `y` takes in the result of job `x`, which is not selected"
    assert caught.value.hint == "do not exclude `x`"


def test_a_stored_plan_says_nothing_of_it_where_the_word_is_not_used():
    assert b"finally" not in expand(declare("a; b needs a")).encoded
    assert b'"finally":true' in expand(declare("a; x finally=yes")).encoded
    assert expand(Config(name="b", folder="/", jobs=[])).finals == frozenset()
    assert Limits().max_failures is None
