"""Failures that are allowed. Every verb of a `World` also checks a replay and the referee's rules."""

import pytest

from joblot.core import events as ev
from joblot.core.plan import expand
from joblot.testing import World, declare


def begun(text, **options):
    world = World(text, **options)
    world.start()
    return world


def test_dependents_go_on_as_after_a_success_and_the_run_is_one():
    world = begun("lint allowed=yes; build needs lint; alert needs lint when=failure; clean needs lint when=always")
    world.fail("lint")
    assert world.states() == {"lint": "failed", "build": "running", "alert": "skipped", "clean": "running"}
    assert world.why("alert") == ("condition", "")
    world.ok("build")
    world.ok("clean")
    assert world.status == "success"


@pytest.mark.parametrize("kind", ["error", "exit", "timeout", "crash", "oom"])
@pytest.mark.parametrize("limits", [{"fail_fast": True}, {"max_failures": 1}], ids=str)
def test_they_count_for_no_limit(kind, limits):
    world = begun("lint allowed=yes; other allowed=yes; build; last needs lint, other", **limits)
    world.fail("lint", kind)
    world.fail("other", kind)
    assert world.state.stopping == ""
    assert world.running() == ["build", "last"]
    world.fail("build")
    assert (world.state.stopping, world.status) == (next(iter(limits)), "")


def test_beside_others_they_still_count_for_no_limit():
    world = begun("lint allowed=yes; a; b; c", max_failures=2)
    world.fail("lint")
    world.fail("a")
    assert world.state.stopping == ""
    world.fail("b")
    assert world.state.stopping == "max_failures"


def test_tries_come_first():
    world = begun("lint allowed=yes max_attempts=2; build needs lint")
    world.fail("lint")
    assert world.running() == ["lint"]
    world.fail("lint")
    assert world.running() == ["build"]


def test_another_failure_makes_the_run_one():
    world = begun("lint allowed=yes; build")
    world.fail("lint")
    world.fail("build")
    assert world.status == "failed"


TAKES = [
    ("lint allowed=yes; use needs lint reads=lint", "lint"),
    ("lint allowed=yes; use needs lint when=always reads=lint", "lint"),
    ("make allowed=yes output=a.txt; use needs make input=a.txt", "make"),
    ("make allowed=yes output=out; use needs make input=out/a.txt", "make"),
    ("make allowed=yes output=out/a.txt; use needs make input=out", "make"),
    ("make allowed=yes output=./x/../a.txt; use needs make input=/a.txt", "make"),
    ("make allowed=yes output=a.txt; use needs make input=*.txt", "make"),
    ("make allowed=yes output=out/a.txt; use needs make input=out/?.txt", "make"),
    ("make allowed=yes output=out/x/a.txt; use needs make input=out/**/*.txt", "make"),
    ("make allowed=yes output=out; use needs make input=out/*.txt", "make"),
    ("make allowed=yes output=a.txt; use needs make when=always input=*.txt", "make"),
]


@pytest.mark.parametrize(("text", "name"), TAKES)
def test_what_takes_in_what_it_did_not_make_is_skipped(text, name):
    world = begun(f"{text}; behind needs use; other needs {name}")
    world.fail(name)
    assert world.why("use") == ("no_result", name)
    assert world.why("behind") == ("need_skipped", "use")
    assert world.running() == ["other"]
    world.ok("other")
    assert world.status == "success"


@pytest.mark.parametrize(
    "text",
    [
        "make allowed=yes output=a.txt; use needs make input=b.txt",
        "make allowed=yes output=a.txt; use needs make input=a.txt.bak",
        "make allowed=yes output=out; use needs make input=out2/a.txt",
        "make allowed=yes output=out/a.txt; use needs make input=out/*.csv",
        "make allowed=yes output=[a].txt; use needs make input=a.txt",
        "make allowed=yes; use needs make input=a.txt",
        "make allowed=yes; data; use needs make, data reads=data",
    ],
)
def test_what_takes_in_nothing_of_it_runs(text):
    world = begun(text)
    world.fail("make")
    if "data" in world.running():
        world.ok("data", 1)
    assert world.running() == ["use"]


@pytest.mark.parametrize(
    "text",
    [
        "use when=always input=a.txt",
        "use when=always input=*.txt",
        "other; use needs other when=always input=a.txt",
        "other; use needs other when=failure input=a.txt",
        "other; use needs other when=failure input=*.txt",
    ],
)
def test_what_only_makes_the_input_of_an_alarm_decides_nothing_of_it(text):
    """As if the failure were not allowed: what is there is read."""
    for allowed in ("yes", "no"):
        world = begun(declare(f"make allowed={allowed} output=a.txt; {text}", rules=1))
        assert "use" not in world.running()
        world.fail("make")
        if "other" in world.running():
            world.fail("other")
        assert world.running() == ["use"]


def test_after_a_kill_what_takes_in_what_is_not_there_is_still_skipped():
    world = begun("lint allowed=yes; slow; use needs lint, slow reads=lint; other needs lint, slow")
    world.fail("lint")
    assert world.why("use") == ("no_result", "lint")
    world.crash()
    world.ok("slow")
    world.ok("other")
    world.reopen("use")
    assert (world.why("use"), world.status) == (("no_result", "lint"), "success")


def test_taken_back_it_is_tried_again_and_counts_anew():
    world = begun("lint allowed=yes; build needs lint; use needs lint reads=lint")
    world.fail("lint")
    world.ok("build")
    world.reopen("lint", "use")
    assert world.state.allowed_failures == 0
    world.ok("lint", 5)
    assert world.running() == ["use"]
    world.ok("use")
    assert world.status == "success"


def test_what_a_stop_ended_is_no_failure_of_its_own():
    world = begun("lint allowed=yes; build needs lint", timeout_s=5.0)
    world.advance(6)
    world.fail("lint", "crash")
    assert (world.states()["lint"], world.status) == ("aborted", "failed")


def test_one_of_finally_may_fail_too():
    world = begun("a; x finally=yes allowed=yes; y needs x finally=yes when=success")
    world.ok("a")
    world.fail("x")
    assert world.running() == ["y"]


def test_what_cannot_be_known_of_a_job_that_may_run_once_is_allowed_as_well():
    world = begun("lint allowed=yes once=yes; build needs lint")
    world.crash()
    assert (world.states()["lint"], world.running()) == ("failed", ["build"])


def test_items_that_it_did_not_find_make_no_jobs():
    from msgspec.structs import replace

    from joblot.core.model import FanOut, JobSpec

    config = declare("list allowed=yes; other needs list")
    fan = JobSpec(
        name="one-${{ item }}",
        action="test",
        needs=("list",),
        fan_out=FanOut("result", source="${{ jobs.list.result }}"),
        deferred=True,
    )
    world = World(replace(config, jobs=[*config.jobs, fan, JobSpec(name="last", action="test", needs=("one-*",))]))
    world.start()
    world.fail("list")
    assert world.why("one-*") == ("no_result", "list")
    assert world.why("last") == ("need_skipped", "one-*")
    assert world.running() == ["other"]


def test_a_stored_plan_says_nothing_of_it_where_the_word_is_not_used():
    assert b"allow_failure" not in expand(declare("a; b needs a")).encoded
    assert not [event for event in begun("a allowed=yes").events() if isinstance(event, ev.RunSettled)]
