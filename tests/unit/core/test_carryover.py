"""Which jobs are carried over from the run that this one continues: decided from events alone."""

import pytest
from msgspec import Raw

from joblot.core import events as ev
from joblot.core.carryover import CarryOver, Past
from joblot.core.limits import Limits
from joblot.core.model import Artifact, Config, JobSpec
from joblot.core.plan import expand
from joblot.core.runstate import RunState


def plan_of(*jobs):
    return expand(Config(name="b", folder="/", jobs=[JobSpec(action="x", **job) for job in jobs]))


def ended(job, result=b"", *, state="success", made=""):
    artifacts = (Artifact("f", 1, made),) if made else ()
    return ev.AttemptEnded(
        job, 1, "ok" if state == "success" else "exit", state, result=Raw(result), artifacts=artifacts
    )


CHAIN = ({"name": "a"}, {"name": "b", "needs": ("a",)})
MAKING = ({"name": "a", "outputs": ("f",)}, {"name": "b", "needs": ("a",)})
SUCCEEDED = ev.JobsEnded([0], "cached", "carried_over")


@pytest.mark.parametrize(
    ("jobs", "then", "now", "is_carried"),
    [
        (CHAIN, [ended(0), ended(1)], [SUCCEEDED], True),
        (CHAIN, [ended(0, b"1"), ended(1)], [ended(0, b"1")], True),
        (CHAIN, [ended(0, b"1"), ended(1)], [ended(0, b"2")], False),
        (CHAIN, [ended(0), ended(1)], [ended(0)], False),  # it may have done anything
        (CHAIN, [ended(0, b"1"), ended(1)], [ended(0, b"2"), ev.RunReopened([0]), ended(0, b"1")], True),
        (CHAIN, [ended(0, b"1"), ended(1), ev.RunReopened([1])], [ended(0, b"1")], False),
        (CHAIN, [ended(0, b"1"), ended(1, state="failed")], [SUCCEEDED], False),
        (CHAIN, [ended(0, b"1"), ended(1)], [ended(0, b"1", state="failed")], False),
        (CHAIN, [ended(0), ended(1)], [ev.JobsEnded([0], "skipped", "not_selected")], True),
        (CHAIN, [ended(0), ended(1)], [ev.JobsEnded([0], "skipped", "condition")], False),
        (CHAIN, [ev.JobsEnded([0, 1], "cached", "carried_over")], [SUCCEEDED], True),
        (MAKING, [ended(0, made="x"), ended(1)], [ended(0, made="x")], True),
        (MAKING, [ended(0, made="x"), ended(1)], [ended(0, made="y")], False),
        (MAKING, [ended(0, b"1", made="x"), ended(1)], [ended(0, b"2", made="x")], False),
        (MAKING, [ended(0), ended(1)], [ended(0)], False),  # nobody took a hash
        (MAKING, [ended(0, made="x"), ended(1)], [ev.JobsEnded([0], "cached", "up_to_date")], True),
    ],
)
def test_a_need_that_brought_nothing_new_does_not_count_as_run(jobs, then, now, is_carried):
    past = Past(plan_of(*jobs), bytearray(2))
    past.apply(ev.Record(1, 5.0, then))
    carry = CarryOver(plan_of(*jobs), past, differs=lambda _job, _old: "")
    for _ in range(2):  # to take in events twice changes nothing
        carry.apply(now)
    assert carry.carried([1]) == (({1: past.results.get(1, b"")}, {}) if is_carried else ({}, {}))


def test_the_past_knows_who_was_not_selected():
    """Such a job makes no input then, as in the run itself."""
    past = Past(plan_of(*CHAIN), bytearray(2))
    past.apply(ev.Record(1, 5.0, [ev.JobsEnded([0], "skipped", ev.NOT_SELECTED), ended(1)]))
    assert past.left_out == {0}
    past.apply(ev.Record(2, 6.0, [ev.RunReopened([0])]))
    assert past.left_out == set()


def test_what_a_need_that_was_judged_by_files_did_not_see_is_passed_on():
    jobs = ({"name": "m"}, {"name": "a", "outputs": ("f",), "needs": ("m",)}, {"name": "b", "needs": ("a",)})
    past = Past(plan_of(*jobs), bytearray(3))
    past.apply(ev.Record(1, 5.0, [ended(0), ended(1, made="x"), ended(2)]))
    carry = CarryOver(plan_of(*jobs), past, differs=lambda _job, _old: "")
    carry.apply([ended(0), ev.JobsEnded([1], "cached", "up_to_date")])
    assert carry.carried([2]) == ({}, {})


@pytest.mark.parametrize(
    ("fields", "options", "expected"),
    [
        ({}, {"differs": lambda _job, _old: "changed"}, ({}, {})),
        ({}, {"forced": ["b"]}, ({}, {})),
        ({"outputs": ("g",)}, {}, ({}, {})),
        ({"once": True}, {"differs": lambda _job, _old: "changed"}, ({1: b"2"}, {1: "changed"})),
        ({"once": True, "outputs": ("g",)}, {}, ({1: b"2"}, {})),
        ({"once": True}, {"forced": ["b"]}, ({}, {})),
        ({"name": "c"}, {}, ({}, {})),
    ],
)
def test_parts_outputs_names_and_what_is_asked_for_decide(fields, options, expected):
    past = Past(plan_of(*CHAIN), bytearray(2))
    past.apply(ev.Record(1, 5.0, [ended(0), ended(1, b"2")]))
    plan = plan_of(CHAIN[0], CHAIN[1] | fields)
    carry = CarryOver(plan, past, **{"differs": lambda _job, _old: ""} | options)
    carry.apply([SUCCEEDED])
    assert carry.carried([1]) == expected


THREE = ({"name": "a"}, {"name": "b"}, {"name": "c", "needs": ("a",)})


@pytest.mark.parametrize(
    ("needs", "options", "why"),
    [
        (("a",), {}, None),
        (("[a]",), {}, None),
        (("b",), {}, "it did not need `b`"),
        (("a", "b"), {}, "it did not need `b`"),
        (("*",), {}, "it did not need `b`"),
        ((), {}, "it needed `a`"),
        (("b",), {"once": True}, "it did not need `b`"),
        ((), {"once": True}, "it needed `a`"),
    ],
)
def test_with_other_needs_it_may_have_run_too_early(needs, options, why):
    past = Past(plan_of(*THREE), bytearray(3))
    past.apply(ev.Record(1, 5.0, [ended(0), ended(1), ended(2, b"2")]))
    plan = plan_of(*THREE[:2], {"name": "c", "needs": needs} | options)
    carry = CarryOver(plan, past, differs=lambda _job, _old: "")
    carry.apply([ev.JobsEnded([0, 1], "cached", "carried_over")])
    kept = {2: why} if why and options else {}
    assert carry.carried([2]) == (({2: b"2"}, kept) if why is None or options else ({}, {}))


def test_what_another_run_has_made_since_counts_as_new():
    past = Past(plan_of(*MAKING), bytearray(2))
    past.apply(ev.Record(1, 5.0, [ended(0, made="x"), ended(1)]))
    carry = CarryOver(plan_of(*MAKING), past, differs=lambda _job, _old: "", was_made_since=lambda job: job == 0)
    carry.apply([ev.JobsEnded([0], "cached", "up_to_date")])
    assert carry.carried([1]) == ({}, {})


def test_the_state_ends_what_is_carried_over():
    state = RunState(plan_of(*CHAIN), Limits(), checkable=[0, 1])
    decision = state.start(0.0, 1)
    assert decision.checks == [0]
    decision = state.checked([0], {}, 0.0, 1, carried={0: b"7"})
    assert decision.events == [ev.JobsEnded([0], "cached", "carried_over", results={0: Raw(b"7")})]
    assert decision.checks == [1]


HANDLER = ({"name": "a"}, {"name": "b", "needs": ("a",), "when": "always"})
MAY_FAIL = ({"name": "a", "allow_failure": True}, {"name": "b", "needs": ("a",)})
FAILED = ended(0, state="failed")
OFF = ev.JobsEnded([0], "skipped", "condition")


@pytest.mark.parametrize(
    ("jobs", "then", "now", "is_carried"),
    [
        (HANDLER, [ended(0, b"1"), ended(1)], [ended(0, b"1")], False),  # another end of what it belongs to
        (HANDLER, [ended(0, b"1"), ended(1)], [SUCCEEDED], True),
        (HANDLER, [ended(0, b"1"), ended(1)], [ended(0, b"1"), ev.RunReopened([0]), SUCCEEDED], True),
        (HANDLER, [OFF, ended(1)], [OFF], True),
        (HANDLER, [ended(0), ended(1)], [OFF], False),
        (HANDLER, [OFF, ended(1)], [ended(0)], False),
        (HANDLER, [ev.JobsEnded([0], "skipped", "need_failed"), ended(1)], [OFF], False),
        (HANDLER, [OFF, ended(1)], [ev.JobsEnded([0], "skipped", "need_failed")], False),
        (HANDLER, [OFF, ev.RunReopened([0]), FAILED, ended(1)], [OFF], False),
        (MAY_FAIL, [FAILED, ended(1)], [FAILED], True),
        (MAY_FAIL, [FAILED, ended(1)], [ended(0)], False),
        (MAY_FAIL, [ended(0), ended(1)], [FAILED], False),
        (CHAIN, [FAILED, ended(1)], [FAILED], False),
    ],
)
def test_what_failed_and_may_or_was_skipped_brings_nothing_new_the_second_time(jobs, then, now, is_carried):
    past = Past(plan_of(*jobs), bytearray(2))
    past.apply(ev.Record(1, 5.0, then))
    carry = CarryOver(plan_of(*jobs), past, differs=lambda _job, _old: "")
    for _ in range(2):
        carry.apply(now)
    assert carry.carried([1]) == (({1: b""}, {}) if is_carried else ({}, {}))


@pytest.mark.parametrize("fields", [{"finally_": True}, {"finally_": True, "once": True}])
def test_a_job_of_finally_belongs_to_the_end_of_each_run(fields):
    past = Past(plan_of({"name": "a"} | fields), bytearray(1))
    past.apply(ev.Record(1, 5.0, [ended(0)]))
    assert CarryOver(plan_of({"name": "a"} | fields), past, differs=lambda _job, _old: "").carried([0]) == ({}, {})
