"""What a job is made of, and what differs, in words."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from joblot.core.model import Config, JobSpec, Retry
from joblot.core.plan import expand
from joblot.core.provenance import (
    FileFact,
    Files,
    Parts,
    always_runs,
    changes,
    decoded_files,
    encoded,
    parts_of,
    paths_read,
)

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def said(old: Parts, new: Parts) -> list[str]:
    return [str(change) for change in changes(encoded(old), encoded(new))]


def test_every_kind_of_change_is_named_with_its_old_and_its_new_value():
    old = Parts(
        action="a",
        code="1",
        params={"pattern": "a", "deep": {"x": 1}},
        env={"LANG": "C"},
        input="in.csv",
        outputs=("o",),
    )
    new = Parts(
        action="b",
        code="2",
        params={"pattern": "b", "deep": {"x": 2}, "more": True},
        input=["in.csv"],
        outputs=("o", "p"),
    )
    assert said(old, new) == [
        "action 'a' -> 'b'",
        "code of the action",
        "params.pattern 'a' -> 'b'",
        "params.deep.x 1 -> 2",
        "params.more (none) -> True",
        "env.LANG 'C' -> (none)",
        "input 'in.csv' -> ['in.csv']",
        "outputs ['o'] -> ['o', 'p']",
    ]


def test_a_long_value_is_cut():
    (text,) = said(Parts(run="echo a"), Parts(run="echo " + "b" * 100))
    assert text == f"run 'echo a' -> 'echo {'b' * 51}..."


def test_the_order_of_parameters_is_no_change():
    assert said(Parts(params={"a": 1, "b": 2}), Parts(params={"b": 2, "a": 1})) == []


def test_what_cannot_be_read_any_more_counts_as_changed():
    for old in (b"not json", b'{"run":"\xff"}', b""):
        (change,) = changes(old, encoded(Parts(run="x")))
        assert str(change) == "what was kept of it cannot be read"


@given(
    st.dictionaries(st.text(max_size=3), values, max_size=4), st.dictionaries(st.text(max_size=3), values, max_size=4)
)
def test_equal_parts_have_no_changes_and_different_ones_have_some(one, other):
    same = msgspec.json.encode(one, order="sorted") == msgspec.json.encode(other, order="sorted")
    assert (changes(encoded(Parts(params=one)), encoded(Parts(params=other))) == []) == same


def test_true_is_not_one_and_nothing_is_not_null():
    assert said(Parts(params={"x": True}), Parts(params={"x": 1})) == ["params.x True -> 1"]
    assert said(Parts(params={"x": None}), Parts(params={})) == ["params.x None -> (none)"]


def plan_of(*jobs: JobSpec, **settings):
    return expand(Config(name="b", folder="/batch", jobs=list(jobs), **settings))


def test_what_cannot_change_the_outputs_is_no_part():
    plain = JobSpec(name="a", run="x", outputs=("o",))
    rich = JobSpec(
        name="b",
        run="x",
        outputs=("o",),
        retry=Retry(3),
        timeout_s=5.0,
        priority=3,
        tags=("t",),
        description="d",
        resources={"cpu": 2.0},
    )
    one, other = plan_of(plain), plan_of(rich)
    assert encoded(parts_of(one, 0, "")) == encoded(parts_of(other, 0, ""))


def test_the_batchs_environment_is_a_part_and_the_jobs_own_wins():
    plan = plan_of(JobSpec(name="a", run="x", env={"A": "job"}), env={"A": "batch", "B": "batch"})
    assert parts_of(plan, 0, "").env == {"A": "job", "B": "batch"}


def test_values_that_were_filled_in_stand_in_place_of_references():
    spec = JobSpec(name="a", run="echo ${{ jobs.b.result }}", input="${{ run.id }}", deferred=True)
    filled = {"params": {"p": 1}, "env": {"E": "e"}, "run": "echo 3", "input": "i"}
    parts = parts_of(plan_of(spec, JobSpec(name="b", run="x")), 0, "c", filled)
    assert parts == Parts(code="c", run="echo 3", params={"p": 1}, env={"E": "e"}, input="i")


def test_a_command_counts_as_a_person_would_type_it():
    """So it did when values were put into the text, and what was made then stays up to date."""
    spec = JobSpec(name="a", run="echo ${{ vars.x }} ${{ jobs.b.result }}", given={"vars.x": "a b"}, deferred=True)
    plan = plan_of(spec, JobSpec(name="b", run="x"))
    filled = {"params": {}, "env": {}, "given": {"vars.x": "a b", "jobs.b.result": ["c", "d e"]}}
    assert parts_of(plan, 0, "", filled).run == "echo 'a b' c 'd e'"
    assert parts_of(plan, 0, "").run == "echo 'a b' ${{ jobs.b.result }}"


def test_what_needs_make_is_read_too_each_file_once():
    plan = plan_of(
        JobSpec(name="a", run="x", outputs=("one", "two")), JobSpec(name="b", run="x", needs=("a",), outputs=("three",))
    )
    assert paths_read(plan, 1, ["own", "two"]) == ["own", "two", "one"]
    assert paths_read(plan, 1, "own") == ["own", "one", "two"]
    assert paths_read(plan, 0, None) == []


def test_files_can_be_kept():
    files = Files([FileFact("gone")], [FileFact("é", 3, 4, "ab")])
    assert decoded_files(encoded(files)) == files


def test_why_a_job_always_runs():
    assert always_runs(JobSpec(name="a", run="x")) == "no outputs declared"
    assert always_runs(JobSpec(name="a", function=print)) == "no outputs declared"
    assert always_runs(JobSpec(name="a", function=print, outputs=("o",))) == ""
    assert always_runs(JobSpec(name="a", function=print, cache=True)) == ""
    assert always_runs(JobSpec(name="a", run="x", outputs=("o",))) == ""
