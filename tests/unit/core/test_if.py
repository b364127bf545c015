"""`if` in the core. Every verb of a `World` also checks a replay and the referee's rules."""

import pytest
from msgspec.structs import replace

from joblot.core.model import FanOut, JobSpec
from joblot.core.plan import expand
from joblot.testing import World, declare


def begun(text, **options):
    world = World(text, **options)
    world.start()
    return world


@pytest.mark.parametrize(
    ("text", "odd", "state"),
    [
        ("a; b needs a if=a.result.odd", True, "running"),
        ("a; b needs a if=a.result.odd", False, "skipped"),
        ("a; b needs a unless=a.result.odd", True, "skipped"),
        ("a; b needs a unless=a.result.odd", False, "running"),
        ("a; b needs a if=a.result.odd when=always", False, "skipped"),
        ("a; b finally=yes if=a.result.odd", False, "skipped"),
        ("a; b finally=yes if=a.result.odd", True, "running"),
    ],
)
def test_the_result_of_a_need_decides(text, odd, state):
    world = begun(text)
    world.ok("a", {"odd": odd})
    assert world.states()["b"] == state
    if state == "skipped":
        assert (world.why("b"), world.status) == (("condition", ""), "success")


@pytest.mark.parametrize(
    "result", [None, {"odd": "true"}, {"odd": 1}, {"odd": None}, {"even": True}, {"odd": ["x"]}, "true"]
)
def test_what_is_no_truth_value_is_for_the_attempt_to_tell(result):
    """The core knows no way to fail a job that did not run."""
    world = begun("a; b needs a if=a.result.odd")
    world.ok("a", result)
    assert world.running() == ["b"]


def test_dependents_of_a_job_that_is_not_run_do_as_behind_any_that_is_skipped():
    world = begun("a; b needs a if=a.result; c needs b; d needs b when=always; e needs b when=failure; f needs d")
    world.ok("a", False)
    assert {name: world.why(name) for name in "bce"} == {
        "b": ("condition", ""),
        "c": ("need_skipped", "b"),
        "e": ("condition", ""),
    }
    world.ok("d")
    world.ok("f")
    assert world.status == "success"


def test_a_need_that_failed_comes_first():
    world = begun("a; b needs a if=a.result")
    world.fail("a")
    assert world.why("b") == ("need_failed", "a")


def test_a_result_that_is_not_there_after_a_failure_that_is_allowed():
    world = begun("a allowed=yes; b needs a if=a.result")
    world.fail("a")
    assert world.why("b") == ("no_result", "a")


def test_a_chain_of_them_is_asked_at_once():
    world = begun("a; b needs a if=a.result; c needs b when=always if=a.result; d needs c when=always")
    world.plan
    world.ok("a", False)
    assert world.running() == ["d"]


def test_after_a_kill_and_a_retry_it_is_asked_again():
    world = begun("a; b needs a if=a.result; c")
    world.ok("a", False)
    world.crash()
    assert world.states()["b"] == "skipped"
    world.ok("c")
    world.reopen("a", "b")
    world.ok("a", True)
    assert world.running() == ["b"]


def test_a_retry_of_an_attempt_asks_again_and_comes_to_the_same():
    world = begun("a; b needs a if=a.result max_attempts=2 delay=1")
    world.ok("a", True)
    world.fail("b")
    world.advance(2)
    assert world.running() == ["b"]


def test_known_values_need_no_result():
    config = declare("a; b; c needs b")
    a, b, c = config.jobs
    world = World(replace(config, jobs=[a, replace(b, if_=False), c]))
    world.start()
    assert world.states() == {"a": "running", "b": "skipped", "c": "skipped"}
    assert world.plan.condition(1, {}) is False


def fanned(columns, **fields):
    fan = FanOut("rows", columns)
    return JobSpec(name="x-${{ item.n }}", action="test", fan_out=fan, **fields)


def test_each_item_has_its_own():
    columns = {"n": ["p", "q"], "on": [True, False]}
    for denied, runs in ((False, ["x-p"]), (True, ["x-q"])):
        config = replace(declare(""), jobs=[fanned(columns, if_="${{ item.on }}", if_not=denied)])
        world = World(config)
        world.start()
        assert world.running() == runs


def test_items_that_are_found_have_their_own_and_the_job_that_finds_them_runs():
    fan = FanOut("result", source="${{ jobs.list.result }}")
    spec = JobSpec(
        name="one-${{ item }}", action="test", needs=("list",), fan_out=fan, deferred=True, if_="${{ item }}"
    )
    world = World(replace(declare("list; after"), jobs=[*declare("list").jobs, spec]))
    world.start()
    world.ok("list")
    assert world.running() == ["one-*"]


@pytest.mark.parametrize("on", [True, False])
def test_a_growing_job_as_a_whole(on):
    fan = FanOut("result", source="${{ jobs.list.result.items }}")
    spec = JobSpec(
        name="one-${{ item }}",
        action="test",
        needs=("list",),
        fan_out=fan,
        deferred=True,
        if_="${{ jobs.list.result.on }}",
    )
    world = World(replace(declare("list"), jobs=[*declare("list").jobs, spec]))
    world.start()
    world.ok("list", {"on": on, "items": []})
    assert world.states()["one-*"] == ("running" if on else "skipped")
    if on:
        world.find("one-*", "p", "q")
        assert world.running() == ["one-p", "one-q"]


def test_what_declares_outputs_is_asked_before_it_is_looked_at():
    world = begun("a; b needs a output=x if=a.result", slots=1)
    world.ok("a", False)
    assert (world.why("b"), world.status) == (("condition", ""), "success")


def test_a_stored_plan_says_nothing_of_it_where_the_word_is_not_used():
    assert b'"if' not in expand(declare("a; b needs a")).encoded
