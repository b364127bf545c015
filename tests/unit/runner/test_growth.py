"""A run whose plan grows: a job finds items in a result, and each becomes a job."""

import pytest

from joblot.core import events as ev
from joblot.core.model import Config, FanOut, JobSpec
from joblot.core.plan import expand
from joblot.errors import ConfigError
from joblot.testing import World

FOUND = FanOut("result", source="${{ jobs.list.result }}")


def batch(*more, when="success", **fields):
    jobs = [
        JobSpec(name="list", action="test"),
        JobSpec(
            name="make-${{ item }}", action="test", needs=("list",), when=when, deferred=True, fan_out=FOUND, **fields
        ),
        JobSpec(name="all", action="test", needs=("make-*",)),
        *more,
    ]
    return Config(name="world", folder="/", jobs=jobs)


def begun(*more, when="success", fields=None, **options):
    world = World(batch(*more, when=when, **(fields or {})), **options)
    world.start()
    world.ok("list")
    return world


def test_each_item_becomes_a_job_and_dependents_wait_for_them_all():
    world = begun()
    assert world.running() == ["make-*"]
    world.find("make-*", "a", "b")
    assert ev.PlanExtended(1, 3, 2, {"": ["a", "b"]}) in world.events()
    assert world.states() == {
        "list": "success", "make-*": "success", "all": "waiting", "make-a": "running", "make-b": "running",
    }  # fmt: skip
    world.ok("make-a")
    assert world.states()["all"] == "waiting"
    world.ok("make-b")
    world.ok("all")
    assert world.status == "success"


def test_no_items_make_no_jobs():
    world = begun()
    world.find("make-*")
    assert world.running() == ["all"]


def test_a_job_that_was_added_and_fails_takes_the_dependents_with_it():
    world = begun()
    world.find("make-*", "a", "b")
    world.fail("make-a")
    assert world.why("all") == ("need_failed", "make-a")
    world.ok("make-b")
    assert world.status == "failed"


def test_items_that_cannot_be_found_fail_like_any_job():
    world = begun()
    world.fail("make-*", message="the items must be a list, not the text `x`")
    assert world.states() == {"list": "success", "make-*": "failed", "all": "skipped"}


def test_another_process_goes_on_with_the_jobs_that_were_added():
    world = begun()
    world.find("make-*", "a", "b")
    world.ok("make-a")
    world.crash()
    assert (world.running(), world.attempts("make-b"), world.attempts("make-a")) == (["make-b"], 2, 1)
    world.ok("make-b")
    world.ok("all")
    assert world.status == "success"


def test_a_runner_that_died_before_the_items_were_recorded_looks_for_them_again():
    world = begun()
    world.crash()
    assert world.attempts("make-*") == 2
    world.find("make-*", "c")
    assert world.running() == ["make-c"]


def test_a_growing_job_that_is_taken_back_keeps_its_items():
    world = begun()
    world.find("make-*", "a")
    world.fail("make-a")
    world.reopen("make-*", "make-a", "all")
    assert world.running() == ["make-*"]
    world.find("make-*", "other")
    assert world.running() == ["make-a"]
    world.ok("make-a")
    world.ok("all")
    assert world.status == "success"


def test_nothing_is_added_to_a_run_that_is_to_end():
    world = begun()
    world.cancel()
    world.find("make-*", "a")
    assert world.states() == {"list": "success", "make-*": "cancelled", "all": "cancelled"}
    assert world.status == "cancelled"
    world.reopen()
    world.find("make-*", "a")
    assert world.running() == ["make-a"]


def test_what_the_growing_job_waited_for_its_jobs_need_not_wait_for():
    """Its `when` came true already; theirs is that it found them."""
    world = World(batch(when="always"))
    world.start()
    world.fail("list")
    world.find("make-*", "a")
    assert world.running() == ["make-a"]


def test_max_parallel_holds_for_jobs_that_were_added():
    jobs = [
        JobSpec(
            name="m-${{ item }}", action="test", deferred=True, fan_out=FanOut("result", source="x", max_parallel=1)
        )
    ]
    world = World(Config(name="world", folder="/", jobs=jobs), named={"max_parallel of m-*": 1})
    world.start()
    world.find("m-*", "a", "b", "c")
    assert world.running() == ["m-a"]
    world.ok("m-a")
    assert world.running() == ["m-b"]


def test_patterns_mean_what_the_batch_declares_and_not_what_is_found_later():
    """Else a job that has ended could come to need one that has not."""
    world = World(batch(JobSpec(name="make-up", action="test"), JobSpec(name="b", action="test", needs=("make-u*",))))
    world.start()
    world.ok("list")
    world.ok("make-up")
    assert "b" in world.running()
    world.find("make-*", "u1")
    assert world.states()["b"] == "running"
    assert list(world.plan.needs[4]) == [3]


def test_a_plan_that_cannot_grow_stays_what_it_was():
    plan = expand(batch(JobSpec(name="make-x", action="test")))
    with pytest.raises(ConfigError) as caught:
        plan.extend(1, {"": ["x", "y"]})
    assert caught.value.diagnostics[0].message == "duplicate job name `make-x` (also jobs[3])"
    assert (len(plan), plan.grown) == (4, {})
    assert plan.extend(1, {"": ["y"]}) == plan.extend(1, {"": ["never looked at"]}) == range(4, 5)
    assert (plan.name(4), list(plan.needs[4]), list(plan.needs[2])) == ("make-y", [1], [1, 4])


def test_a_run_begins_with_a_plan_that_has_not_grown():
    plan = expand(batch())
    plan.extend(1, {"": ["a"]})
    assert (len(plan), len(plan.fresh()), plan.fresh().grown) == (4, 3, {})
    unchanging = expand(Config(name="b", folder="/", jobs=[JobSpec(name="a", action="x")]))
    assert unchanging.fresh() is unchanging


def test_what_is_declared_holds_for_the_jobs_that_are_added():
    plan = expand(batch(outputs=("out/${{ item }}",), params={"x": "${{ item }} ${{ run.id }}"}, timeout_s=5.0))
    plan.extend(1, {"": ["a"]})
    spec = plan.spec(3)
    assert (spec.outputs, spec.params, spec.deferred, spec.timeout_s) == (
        ("out/a",),
        {"x": "a ${{ run.id }}"},
        True,
        5.0,
    )
    assert plan.item(3) == "a"
    assert plan.item(1) == ""
