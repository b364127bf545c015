"""From a batch to numbered jobs and what each needs."""

import pytest

from joblot.core.model import Config, FilePosition, JobSpec, Retry
from joblot.core.plan import expand
from joblot.errors import ConfigError, CyclicDependencyError
from joblot.testing import declare


def plan_of(*jobs, **settings):
    return expand(Config(name="b", folder="/", jobs=list(jobs), **settings))


def job(name, *needs, **fields):
    return JobSpec(name=name, action="x", needs=needs, **fields)


def needs_of(plan):
    return {plan.name(number): [plan.name(need) for need in plan.needs[number]] for number in range(len(plan))}


def mistakes(*jobs):
    with pytest.raises(ConfigError) as caught:
        plan_of(*jobs)
    return [(found.code, found.message, found.hint) for found in caught.value.diagnostics]


def test_jobs_are_numbered_in_the_order_of_the_batch():
    plan = plan_of(job("b", "a"), job("a"))
    assert [plan.name(number) for number in range(len(plan))] == ["b", "a"]
    assert plan.find("a") == 1
    assert plan.find("c") is None
    assert list(plan.needs[0]) == [1]
    assert list(plan.dependents[1]) == [0]


def test_an_empty_batch_is_an_empty_plan():
    """R121."""
    plan = plan_of()
    assert (len(plan), plan.tiers) == (0, [])


def test_needs_stand_once_in_the_order_written():
    assert needs_of(expand(declare("a; b; c; d needs c, a, c")))["d"] == ["c", "a"]


def test_the_same_order_100_times():
    """R98: declaration order among equals."""
    text = "e; d; c needs e; b needs d, e; a needs c, b; f"
    orders = {tuple(tuple(tier) for tier in expand(declare(text)).tiers) for _ in range(100)}
    assert orders == {((0, 1, 5), (2, 3), (4,))}


def test_the_seven_steps_of_a_pipeline_in_order():
    """R118."""
    text = "fetch; parse needs fetch; clean needs parse; enrich needs clean; score needs enrich; export needs score; notify needs export"
    plan = expand(declare(text))
    assert [[plan.name(number) for number in tier] for tier in plan.tiers] == [
        ["fetch"], ["parse"], ["clean"], ["enrich"], ["score"], ["export"], ["notify"],
    ]  # fmt: skip


def test_a_pattern_needs_all_other_jobs_that_match():
    plan = plan_of(
        job("build-a"), job("build-b"), job("build-all", "build-*"), job("test"), job("end", "build-?", "test")
    )
    assert needs_of(plan)["build-all"] == ["build-a", "build-b"]
    assert needs_of(plan)["end"] == ["build-a", "build-b", "test"]
    assert plan.match("build-[ab]") == [0, 1]
    assert plan.match("test") == [3]
    assert plan.match("nothing") == []
    assert plan.match("*") == [0, 1, 2, 3, 4]


def test_a_pattern_is_matched_with_its_case_and_as_a_whole():
    plan = plan_of(job("Load"), job("load"), job("reload"), job("end", "l*"))
    assert needs_of(plan)["end"] == ["load"]


def test_an_unknown_need_names_both_jobs_and_the_nearest():
    """R99: before anything runs, and it is a ValueError."""
    with pytest.raises(ValueError, match="job `load` needs unknown job `extrakt`"):
        plan_of(job("extract"), job("load", "extrakt"))
    assert mistakes(job("extract"), job("load", "extrakt")) == [
        ("unknown_need", "job `load` needs unknown job `extrakt`", "did you mean `extract`?")
    ]


def test_a_pattern_without_a_match_is_an_unknown_need():
    """R99: a job does not match its own pattern."""
    assert mistakes(job("build-a", "build-*")) == [
        ("unknown_need", "job `build-a` needs `build-*`, which matches no other job", "")
    ]


def test_a_duplicate_name_says_where_the_first_one_is():
    """R101."""
    placed = [job("a", place=FilePosition("b.yaml", 3, 5)), job("b"), job("a", place=FilePosition("b.yaml", 9, 5))]
    with pytest.raises(ConfigError) as caught:
        plan_of(*placed)
    assert str(caught.value) == "b.yaml:9:5: error: duplicate job name `a` (also on line 3)"
    assert mistakes(job("a"), job("a")) == [
        ("duplicate_name", "duplicate job name `a` (also jobs[0])", "give each job its own name")
    ]


def test_all_mistakes_come_at_once():
    found = mistakes(job("a", "x"), job("a"), job("b", "y*"), job("c", "z"))
    assert [message for _, message, _ in found] == [
        "duplicate job name `a` (also jobs[0])",
        "job `a` needs unknown job `x`",
        "job `b` needs `y*`, which matches no other job",
        "job `c` needs unknown job `z`",
    ]


@pytest.mark.parametrize(
    ("text", "cycle"),
    [
        ("a needs b; b needs a", "a -> b -> a"),
        ("a needs a", "a -> a"),
        ("x; a needs x, c; b needs a; c needs b; d needs c", "a -> c -> b -> a"),
    ],
)
def test_a_cycle_is_shown(text, cycle):
    """R100: mutual needs and a self-loop, before anything runs."""
    with pytest.raises(CyclicDependencyError) as caught:
        expand(declare(text))
    assert str(caught.value) == f"jobs need each other: {cycle}"
    assert caught.value.hint == "`a -> b` means that `a` needs `b`; remove one of these needs"
    assert caught.value.cycle == tuple(cycle.split(" -> "))


def test_a_cycle_is_placed_at_its_first_job():
    with pytest.raises(CyclicDependencyError) as caught:
        plan_of(job("a", "b", place=FilePosition("b.yaml", 4, 3)), job("b", "a"))
    assert str(caught.value) == "b.yaml:4:3: error: jobs need each other: a -> b -> a"


def test_what_a_job_holds_while_it_runs():
    plan = plan_of(
        job("plain"),
        job("long", timeout_s=60.0),
        job("short", timeout_s=1.0),
        job("once", once=True),
        job("big", resources={"memory": 5.0, "cpu": 2.0}, once=True),
    )
    assert [plan.demand(number) for number in range(5)] == [
        (), (), (("cpu", 1.0),), (("cpu", 1.0),), (("cpu", 2.0), ("memory", 5.0)),
    ]  # fmt: skip


def test_the_results_that_others_refer_to():
    reads = {"value": "${{ jobs.a.result }}", "rows": ["${{jobs.b-1.x.result.rows}}", "${{ run.id }}"]}
    plan = plan_of(
        job("a"), job("b-1.x"), job("c"), job("d", "a", "b-1.x", params=reads, deferred=True),
        job("e", "c", run="echo ${{ jobs.c.result }}"),
    )  # fmt: skip
    assert plan.referenced_results == {0, 1}


def test_equal_batches_have_equal_fingerprints_and_others_do_not():
    one, same = plan_of(job("a"), job("b", "a")), plan_of(job("a"), job("b", "a"))
    assert one.fingerprint == same.fingerprint
    others = [
        plan_of(job("a"), job("b")),
        plan_of(job("a"), job("b", "a", retry=Retry(2))),
        plan_of(job("b", "a"), job("a")),
        plan_of(job("a"), job("b", "a"), limits={"db": 1}),
    ]
    assert len({one.fingerprint, *(plan.fingerprint for plan in others)}) == 5
    assert len(one.fingerprint) == 32


def test_a_python_function_is_stored_by_its_name():
    plan = plan_of(JobSpec(name="f", function=needs_of))
    assert b':needs_of"' in plan.encoded


def test_plans_are_compact():
    """Two numbers a need and one a job, in arrays; no dictionary for each job."""
    count = 10_000
    plan = plan_of(*(job(f"j{number}", *([f"j{number - 1}"] if number else [])) for number in range(count)))
    assert plan.needs.partners.itemsize * len(plan.needs.partners) < 4 * count
    assert plan.needs.starts.itemsize * len(plan.needs.starts) == 8 * (count + 1)
    assert len(plan.tiers) == count
