"""Which jobs selectors choose, what is said when they choose none, and what it means for a run that jobs are left out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joblot.core import events as ev
from joblot.core.limits import Limits
from joblot.core.model import Config, FanOut, FilePosition, JobSpec
from joblot.core.plan import expand
from joblot.core.selection import Selection, leave_out, match, refuse_missing_results, selectors
from joblot.errors import UsageError
from joblot.testing import ROUGH, World, declare, simulate
from simulation.cases import limits as any_limits
from simulation.cases import plans

CHAIN = expand(declare("a; b needs a; c needs b; d needs a; e"))
ROWS = FanOut("rows", {"code": ["6920Z", "4329A", "6920Z"], "day": [1, 2, 3]})
MATRIX = FanOut("matrix", {"code": ["x", "y"], "size": [1, 2, 3], "last": ["p", "q"]})
MADE = [
    JobSpec(name="fetch", action="load", tags=("nightly", "net"), place=FilePosition("batches/one.yaml", 2, 1)),
    JobSpec(name="build", run="true", tags=("nightly",), fan_out=ROWS, place=FilePosition("batches/two.yaml", 2, 1)),
    JobSpec(name="cell", run=["true"], fan_out=MATRIX, place=FilePosition("batches/two.yaml", 4, 1)),
    JobSpec(name="single", action="load", fan_out=FanOut("rows", {"": ["v1", "v2", "k=v"]})),
    JobSpec(name="call", function=len),
]
BATCH = expand(Config(name="made", folder="/", source="/x/made.yaml", jobs=MADE))
GROWING = expand(
    Config(
        name="grows",
        folder="/",
        jobs=[
            JobSpec(name="list", action="load"),
            JobSpec(
                name="build",
                action="load",
                needs=("list",),
                deferred=True,
                fan_out=FanOut("result", source="${{ jobs.list.result }}"),
            ),
            JobSpec(name="after", run="true", needs=("build-*",)),
        ],
    )
)


def chosen(plan=CHAIN, **given):
    left_out = leave_out(plan, Selection(**{word: selectors(text) for word, text in given.items()}))
    return [plan.name(job) for job in range(len(plan)) if job not in left_out]


def named(selector, plan=BATCH):
    return [plan.name(job) for job in match(plan, selector)]


def refused(plan=CHAIN, **given):
    with pytest.raises(UsageError) as caught:
        chosen(plan, **given)
    return caught.value.message, caught.value.hint


# --- what is chosen ---------------------------------------------------------------------------------


def test_only_takes_just_these():
    assert chosen(only="b") == ["b"]


def test_upto_takes_everything_that_they_need():
    assert chosen(upto="c") == ["a", "b", "c"]


def test_from_takes_everything_that_needs_them():
    assert chosen(from_="b") == ["b", "c"]


def test_the_three_are_united_and_exclude_takes_away():
    assert chosen(only="e", upto="b", from_="c") == ["a", "b", "c", "e"]
    assert chosen(only="e", upto="b", from_="c", exclude="a,e") == ["b", "c"]


def test_exclude_alone_takes_away_from_all():
    assert chosen(exclude="[bc]") == ["a", "d", "e"]


def test_no_selection_leaves_nothing_out():
    assert leave_out(CHAIN, Selection()) == []


def test_a_text_holds_selectors_with_commas_between_and_a_list_holds_them_as_they_are():
    assert selectors("a, b,c-*") == ("a", "b", "c-*")
    assert selectors(["item:name=Smith, John"]) == ("item:name=Smith, John",)


# --- selectors --------------------------------------------------------------------------------------


def test_tags_actions_and_files_choose_by_declaration():
    assert named("tag:nightly") == ["fetch", "build-6920Z-1", "build-4329A-2", "build-6920Z-3"]
    assert named("tag:n[!i]*") == ["fetch"]
    assert named("action:load") == ["fetch", "single-v1", "single-v2", "single-k-v"]
    assert named("action:run") == [name for name in named("*") if name.startswith(("build", "cell"))]
    assert named("action:len") == ["call"]
    assert named("file:one") == named("file:one.yaml") == named("file:o*") == ["fetch"]
    assert named("file:made") == ["single-v1", "single-v2", "single-k-v", "call"]


def test_items_choose_by_the_value_of_a_column():
    assert named("item:code=6920Z") == ["build-6920Z-1", "build-6920Z-3"]
    assert named("item:code=4*") == ["build-4329A-2"]
    assert named("item:day=2") == ["build-4329A-2"]
    assert named("item:size=2") == ["cell-x-2-p", "cell-x-2-q", "cell-y-2-p", "cell-y-2-q"]
    assert named("item:last=q") == [f"cell-{code}-{size}-q" for code in "xy" for size in "123"]
    assert named("item:code=y") == [f"cell-y-{size}-{last}" for size in "123" for last in "pq"]


def test_an_item_that_is_one_value_is_chosen_by_it():
    assert named("item:v2") == ["single-v2"]
    assert named("item:v?") == ["single-v1", "single-v2"]
    assert named("item:k=v") == ["single-k-v"]


PATHS = ["d/a.txt", "d/b.txt", "name=b.txt/c=1.txt", "e/a.txt"]


def of_paths(matching):
    names = [path.rpartition("/")[2] for path in PATHS]
    columns = {"": PATHS, "name": names, "stem": [name.removesuffix(".txt") for name in names]}
    jobs = [JobSpec(name="j-${{ item }}", run="true", fan_out=FanOut("rows", columns))]
    left_out = leave_out(expand(Config(name="b", folder="/", jobs=jobs)), matching)
    return [path for job, path in enumerate(PATHS) if job not in left_out]


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("item:d/a.txt", PATHS[:1]),
        ("item:d/*", PATHS[:2]),
        ("item:?/a.txt", [PATHS[0], PATHS[3]]),
        ("item:name=b.txt", PATHS[1:2]),
        ("item:stem=a", [PATHS[0], PATHS[3]]),
        ("item:name=b.txt/c=1.txt", PATHS[2:3]),
        ("item:*c=1.txt", PATHS[2:3]),
    ],
)
@pytest.mark.parametrize("option", ["only", "upto", "from_", "exclude"])
def test_an_item_with_columns_beside_it_is_chosen_by_its_own_value_too(selector, expected, option):
    """`item:d/a.txt` found no item, and the hint said to write that."""
    found = of_paths(Selection(**{option: (selector,)}))
    assert found == ([path for path in PATHS if path not in expected] if option == "exclude" else expected)


def test_a_growing_job_is_chosen_as_a_whole():
    assert chosen(GROWING, upto="build-*") == ["list", "build-*"]
    assert chosen(GROWING, only="list", from_="build-*") == ["list", "build-*", "after"]


@pytest.mark.parametrize(
    ("plan", "selector", "message", "hint"),
    [
        (CHAIN, "f", "no job is called `f`", ""),
        (BATCH, "fecth", "no job is called `fecth`", "did you mean `fetch`?"),
        (BATCH, "fecth*", "no job's name matches `fecth*`", "did you mean `fetch`?"),
        (BATCH, "build", "no job is called `build`", "`build-*` stands for all its jobs"),
        (BATCH, "tag:nigthly", "no job has the tag `nigthly`", "did you mean `nightly`?"),
        (BATCH, "tag:x*", "no job has a tag that matches `x*`", ""),
        (BATCH, "action:laod", "no job runs the action `laod`", "did you mean `load`?"),
        (BATCH, "action:q*", "no job runs an action that matches `q*`", ""),
        (BATCH, "file:tow", "no job stands in the file `tow`", "did you mean `two`?"),
        (BATCH, "file:z*", "no job stands in a file that matches `z*`", ""),
        (BATCH, "item:code=6920z", "no item has `6920z` as its `code`", "did you mean `6920Z`?"),
        (BATCH, "item:kode=1", "no item has a `kode`", "did you mean `code`?"),
        (BATCH, "item:zzz=1", "no item has a `zzz`", "items have `code`, `day`, `size`, `last`"),
        (BATCH, "item:4329A", "no item is `4329A`", "write `item:code=4329A`"),
        (BATCH, "item:v11", "no item is `v11`", "did you mean `v1`?"),
        (CHAIN, "item:x", "no job has an item `x`: no job of this batch is made from items", ""),
        (BATCH, "tga:x", "`tga:x` is no selector: there is no `tga:`", "did you mean `tag`?"),
        (
            GROWING,
            "build-7",
            "no job `build-7` is there before the run: `build-*` finds its items on the way",
            "select `build-*` as a whole",
        ),
        (
            GROWING,
            "build-7*",
            "no job `build-7*` is there before the run: `build-*` finds its items on the way",
            "select `build-*` as a whole",
        ),
        (GROWING, "lits", "no job is called `lits`", "did you mean `list`?"),
        (
            GROWING,
            "item:7",
            "no item `7` is there before the run: `build-*` finds its items on the way",
            "select `build-*` as a whole",
        ),
    ],
)
def test_a_selector_that_matches_nothing_is_refused(plan, selector, message, hint):
    assert refused(plan, exclude=selector) == (message, hint)


FORMS = "name jobs, or write a pattern such as `build-*`, `tag:NAME`, `item:COLUMN=VALUE`, `action:NAME`, `file:NAME`"


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        ("", "a selector is empty"),
        ("a,,b", "a selector is empty"),
        ("tag:", "`tag:` is no selector: nothing follows the `:`"),
        ("zzzzz:x", "`zzzzz:x` is no selector: there is no `zzzzz:`"),
    ],
)
def test_what_is_no_selector_is_refused(selector, message):
    assert refused(only=selector) == (message, FORMS)


def test_selecting_nothing_at_all_is_refused():
    assert refused(upto="b", exclude="a,b") == ("no job is selected: `exclude` takes away all that there is to run", "")


# --- results ----------------------------------------------------------------------------------------


def test_a_job_that_takes_in_the_result_of_one_that_is_left_out_is_refused():
    plan = expand(declare("fetch; other; report needs fetch, other reads=fetch"))
    message = "job `report` takes in the result of job `fetch`, which is not selected"
    assert refused(plan, only="report") == (message, "`--upto report` runs both")
    assert refused(plan, upto="report", exclude="fetch") == (message, "do not exclude `fetch`")
    assert chosen(plan, only="report,fetch") == ["fetch", "report"]


def test_a_growing_job_takes_in_the_result_that_it_finds_its_items_in():
    message = "job `build-*` takes in the result of job `list`, which is not selected"
    assert refused(GROWING, only="build-*") == (message, "`--upto build-*` runs both")


def test_of_many_such_jobs_the_first_is_named_and_a_fan_out_counts_once():
    refer = {"needs": ("fetch",), "run": "echo ${{ jobs.fetch.result }}", "deferred": True}
    jobs = [JobSpec(name="fetch", action="load"), *(JobSpec(name=name, **refer) for name in "abc")]
    plan = expand(Config(name="many", folder="/", jobs=[*jobs, JobSpec(name="f", fan_out=ROWS, **refer)]))
    message = "job `a` takes in the result of job `fetch`, which is not selected (and 3 more such jobs)"
    assert refused(plan, exclude="fetch") == (message, "do not exclude `fetch`")


def test_the_name_of_a_job_in_a_reference_may_hold_the_word_result():
    jobs = [
        JobSpec(name="my.result.fetch", action="load"),
        JobSpec(name="b", needs=("my.result.fetch",), deferred=True, run="${{ jobs.my.result.fetch.result.n }}"),
    ]
    plan = expand(Config(name="dots", folder="/", jobs=jobs))
    assert plan.referenced_results == {0}
    assert refused(plan, only="b")[0] == "job `b` takes in the result of job `my.result.fetch`, which is not selected"


def test_jobs_that_are_to_run_after_all_are_looked_at_in_the_same_way():
    plan = expand(declare("a; b needs a reads=a"))
    with pytest.raises(UsageError) as caught:
        refuse_missing_results(plan, [1], {0})
    assert caught.value.message == "job `b` takes in the result of job `a`, which is not selected"
    assert caught.value.hint == "`--job a` runs it as well"


# --- runs -------------------------------------------------------------------------------------------


def begun(text, *left_out, **options):
    world = World(text, left_out=left_out, **options)
    world.start()
    return world


def test_what_is_left_out_is_recorded_once_and_counts_as_met():
    world = begun("a; b needs a; c needs b", "a", "c")
    assert world.events()[1] == ev.JobsEnded([0, 2], "skipped", "not_selected")
    assert world.running() == ["b"]
    world.ok("b")
    assert (world.status, world.states()) == ("success", {"a": "skipped", "b": "success", "c": "skipped"})


def test_a_run_of_which_everything_is_left_out_ends_at_once():
    assert begun("a; b needs a", "a", "b").status == "success"


def test_a_job_for_failures_waits_for_those_that_take_part():
    world = begun("a; b; c needs a, b when=failure", "a")
    world.fail("b")
    assert world.running() == ["c"]


def test_a_job_for_failures_none_of_whose_needs_takes_part_is_skipped():
    world = begun("a; c needs a when=failure; d needs a when=always", "a")
    assert (world.why("c"), world.running()) == (("condition", ""), ["d"])


def test_failures_go_past_what_is_left_out():
    """`b` is taken as it is, so `c` runs although `a` failed."""
    world = begun("a; b needs a; c needs b", "b", slots=1)
    world.fail("a")
    assert world.running() == ["c"]
    world.ok("c")
    assert world.status == "failed"


def test_a_run_that_goes_on_does_not_take_back_what_was_left_out():
    world = begun("a; b needs a; c needs b", "a")
    world.crash()
    world.fail("b")
    assert world.status == "failed"
    world.reopen()
    assert world.running() == ["b"]
    assert world.states()["a"] == "skipped"


def test_what_was_left_out_takes_part_when_a_person_asks_for_it_by_name():
    world = begun("a; b needs a; c needs b", "a")
    world.ok("b")
    world.ok("c")
    world.reopen("a", "b", "c")
    assert world.running() == ["a"]
    world.fail("a")
    assert world.why("c") == ("need_failed", "a")
    assert world.state.left_out == set()


def test_a_growing_job_that_is_left_out_finds_nothing_and_counts_as_met():
    world = World(GROWING.config, left_out=["list", "build-*"])
    world.start()
    assert world.running() == ["after"]
    world.ok("after")
    assert (world.status, len(world.plan)) == ("success", 3)


def test_a_growing_job_that_takes_part_brings_the_jobs_that_it_finds():
    world = World(GROWING.config, left_out=["after"])
    world.start()
    world.ok("list")
    world.find("build-*", "x", "y")
    assert world.running() == ["build-x", "build-y"]
    world.ok("build-x")
    world.ok("build-y")
    assert (world.status, world.states()["after"]) == ("success", "skipped")


def test_fused_jobs_that_are_left_out_are_in_no_bundle():
    world = begun("a fuse=x; b fuse=x; c fuse=x", "b")
    assert world.bundles() == [["a", "c"]]


def test_the_referee_objects_when_a_job_starts_that_was_left_out():
    from joblot.testing import Referee

    referee = Referee(CHAIN, Limits(slots=2), left_out=[0])
    with pytest.raises(AssertionError, match="a job started that was left out: job `a`"):
        referee.recorded([ev.AttemptsStarted([0])], 2)
    with pytest.raises(AssertionError, match=r"a job was skipped without cause \(not_selected\): job `e`"):
        Referee(CHAIN, Limits(slots=2)).recorded([ev.JobsEnded([4], "skipped", "not_selected")], 2)


@given(plan=plans(most=12), limits=any_limits, seed=st.integers(0, 2**32 - 1), data=st.data())
def test_what_is_left_out_runs_only_when_it_was_asked_for(plan, limits, seed, data):
    left_out = data.draw(st.sets(st.integers(0, len(plan) - 1)))
    simulation = simulate(plan, seed=seed, limits=limits, faults=ROUGH, left_out=left_out)
    reopened = {
        plan.name(job)
        for record in simulation.records
        for event in record.events
        if isinstance(event, ev.RunReopened)
        for job in event.jobs
    }
    assert {plan.name(job) for job in left_out} & set(simulation.starts) <= reopened
