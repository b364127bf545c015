"""Jobs made from items: names, values, needs; a declaration is kept once, whatever it stands for."""

import pytest

from joblot.core.fan_out import FanOutJobs, count_items, named, pattern_of, shortened, word
from joblot.core.model import Config, FanOut, JobSpec
from joblot.core.plan import expand
from joblot.core.provenance import shown_command
from joblot.errors import ConfigError

CODES = FanOut("matrix", {"code": ["6920Z", "01.10"], "day": ["1", "02"]})


def plan(*jobs):
    return expand(Config(name="b", folder="/b", jobs=list(jobs)))


def fan(name, items, **fields):
    return JobSpec(name=name, fan_out=FanOut("rows", {"": items}), **fields)


def refused(*jobs):
    with pytest.raises(ConfigError) as caught:
        plan(*jobs)
    return [(problem.message, problem.hint) for problem in caught.value.diagnostics]


def test_a_matrix_makes_a_job_for_each_combination_the_last_axis_turning_fastest():
    made = plan(JobSpec(name="b-${{ matrix.code }}-${{ matrix.day }}", run="x", fan_out=CODES))
    assert [made.name(job) for job in range(len(made))] == ["b-6920Z-1", "b-6920Z-02", "b-01.10-1", "b-01.10-02"]
    assert made.item(2) == "code=01.10, day=1"
    assert count_items(CODES) == len(made) == 4


def test_texts_are_filled_in_for_each_job_and_quoted_for_the_shell():
    spec = JobSpec(
        name="b-${{ item }}",
        run="echo ${{ item }} > x",
        outputs=("out/${{ item }}.txt",),
        env={"A": "<${{ item }}>"},
        cwd="w",
        fan_out=FanOut("rows", {"": ["a b", "c"]}),
    )
    made = plan(spec)
    one = made.spec(0)
    assert (one.name, shown_command(one), one.outputs, one.env, one.cwd) == (
        "b-a-b", "echo 'a b' > x", ("out/a b.txt",), {"A": "<a b>"}, "w",
    )  # fmt: skip
    assert one.fan_out is None
    assert made.declarations[0] is made.declarations[1] is spec


def test_a_whole_reference_keeps_the_kind_of_its_value_in_params_and_is_a_text_elsewhere():
    columns = {"n": [3], "tags": [["a", "b"]], "deep": [{"x": 1.5}]}
    spec = JobSpec(
        name="j-${{ item.n }}",
        action="a",
        input="${{ item.n }}",
        params={"n": "${{ item.n }}", "t": "${{ item.tags }}", "x": "${{ item.deep.x }}", "s": "n=${{ item.n }}"},
        fan_out=FanOut("rows", columns),
    )
    one = plan(spec).spec(0)
    assert one.params == {"n": 3, "t": ["a", "b"], "x": 1.5, "s": "n=3"}
    assert one.input == "3"


def test_what_is_filled_in_when_the_job_starts_stays_and_items_do_not_look_like_it():
    spec = JobSpec(
        name="j-${{ item.n }}",
        run="echo ${{ item.v }} ${{ run.id }}",
        deferred=True,
        fan_out=FanOut("rows", {"n": ["1"], "v": ["${{ run.id }}"]}),
    )
    one = plan(spec).spec(0)
    assert (one.run, one.given) == (spec.run, {"item.v": '${{ "${{" }} run.id }}'})
    assert shown_command(one) == "echo '${{ run.id }}' ${{ run.id }}"


def test_needs_may_name_the_item_or_all_jobs_of_a_fan_out():
    made = plan(
        fan("get-${{ item }}", ["a", "b"], run="x"),
        fan("use-${{ item }}", ["a", "b"], run="x", needs=("get-${{ item }}",)),
        JobSpec(name="all", run="x", needs=("use-*",)),
    )
    assert [list(row) for row in made.needs] == [[], [], [0], [1], [2, 3]]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "a"), ("a/b c", "a-b-c"), ("Île-de-France", "Ile-de-France"), ("a..b", "a-.b"), ("x.", "x"), (3, "3"), (True, "true"),
        ("-5", "-5"), ("日本", "ce47dfba"), ("", "1271cf25"), (None, "1271cf25"),
    ],
)  # fmt: skip
def test_a_value_as_a_part_of_a_name(value, text):
    assert word(value) == text


def test_names_that_say_nothing_of_the_item_have_it_behind_them():
    assert named("lines", ("a b", "1")) == "lines-a-b-1"
    assert [plan(fan("l", ["x", "y"], run="r")).name(job) for job in (0, 1)] == ["l-x", "l-y"]


def test_long_names_end_with_a_hash_of_the_whole():
    long = "x" * 150
    assert shortened(long) == "x" * 91 + "-" + shortened(long)[-8:]
    assert len(shortened(long)) == 100
    assert shortened(long) != shortened(long + "y")


@pytest.mark.parametrize(
    ("name", "pattern"), [("b-${{ item }}", "b-*"), ("b", "b-*"), ("${{ matrix.a }}.x-${{ matrix.b }}", "*.x-*")]
)
def test_the_names_of_a_fan_out_as_a_pattern(name, pattern):
    assert pattern_of(name) == pattern


def test_max_parallel_is_a_limit_of_its_own():
    spec = JobSpec(name="b-${{ item }}", run="x", fan_out=FanOut("rows", {"": ["1", "2"]}, max_parallel=1))
    made = plan(spec)
    assert made.limits == {"max_parallel of b-*": 1}
    assert made.demand(0) == made.demand(1) == (("max_parallel of b-*", 1.0),)


def test_nothing_is_made_of_a_job_before_it_is_asked_for():
    """A million jobs are a million names and one declaration."""
    jobs = FanOutJobs(
        JobSpec(
            name="j-${{ matrix.a }}-${{ matrix.b }}",
            run="x",
            fan_out=FanOut("matrix", {"a": list("ab"), "b": list("cd")}),
        )
    )
    assert jobs.spec(3, "j-b-d").name == "j-b-d"
    assert (len(jobs), jobs.item(3)) == (4, ("b", "d"))
    assert jobs.spec(3, "j-b-d").params is jobs.spec(0, "j-a-c").params  # what no item changes is the declaration's own


def test_duplicate_names_of_items_are_refused():
    assert refused(fan("b-${{ item }}", ["a/b", "a b", "c", "c", "C"], run="x")) == [
        ("duplicate job name `b-a-b` (items 1 and 2)", "put more of the item into `name`"),
        ("duplicate job name `b-c` (items 3 and 4)", "the item stands there twice"),
        ("job names `b-c` and `b-C` differ only in case (items 3 and 5)", "put more of the item into `name`"),
    ]


def test_a_name_of_an_item_and_one_of_another_job():
    assert refused(JobSpec(name="b-a", run="x"), fan("b-${{ item }}", ["a"], run="x")) == [
        ("duplicate job name `b-a` (also jobs[0])", "give each job its own name")
    ]


def test_items_that_cannot_name_a_job():
    assert refused(fan("${{ item }}", ["_x", "con", "ok"], run="x")) == [
        ("cannot name a job `_x` (item 1: _x)", "begin the name with a word of its own, such as `build-`"),
        ("cannot name a job `con` (item 2: con)", "begin the name with a word of its own, such as `build-`"),
    ]


def test_the_name_of_a_fan_out_alone_is_no_need():
    assert refused(fan("get-${{ item }}", ["a"], run="x"), JobSpec(name="all", run="x", needs=("get",))) == [
        ("job `all` needs unknown job `get`", "write `get-*` for all its jobs")
    ]


def test_two_jobs_of_a_fan_out_that_write_one_file():
    assert refused(fan("b-${{ item }}", ["a", "b"], run="x", outputs=("out.txt",))) == [
        ("jobs `b-a` and `b-b` both write `out.txt`", "let the item stand in `outputs`")
    ]


def test_too_many_pairs_of_needs_are_refused(monkeypatch):
    monkeypatch.setattr("joblot.core.plan.MOST_PAIRS", 5)
    assert refused(
        fan("a-${{ item }}", list("abc"), run="x"), fan("b-${{ item }}", list("abc"), run="x", needs=("a-*",))
    ) == [
        (
            "the needs of all jobs come to more than 5 pairs",
            "put one job between the two groups: it needs the first, and the second needs it",
        )
    ]


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("${{ matrix.b }}.${{ matrix.a }}-${{ matrix.b }}", ["x-y.1-x-y", "100%.1-100", "x-y.2-x-y", "100%.2-100"]),
        ("j%s-${{ matrix.a }}", ["j%s-1", "j%s-1", "j%s-2", "j%s-2"]),
        ("j-${{ matrix.b }}-${{ matrix.c.d }}", ["j-x-y-e", "j-100-e"] * 2),
    ],
)
def test_names_are_made_the_same_in_one_go_and_one_by_one(name, names):
    columns = {"a": ["1", "2"], "b": ["x y", "100%"], "c": [{"d": "e"}]}
    made = FanOutJobs(JobSpec(name=name, run="x", fan_out=FanOut("matrix", columns)))
    assert made.names() == [made._name(item) for item in made.items()]
    assert made.names() == [text.replace("100%", "100") for text in names]


@pytest.mark.parametrize(
    ("name", "fit"),
    [
        ("build-${{ item }}", True), ("n-${{ item }}", True), ("c${{ item }}", False), ("con${{ item }}", False),
        ("com1-${{ item }}", False), ("b${{ item }}", True), ("${{ item }}-b", False), ("_${{ item }}", False),
    ],
)  # fmt: skip
def test_names_with_a_beginning_of_their_own_are_not_looked_at_one_by_one(name, fit):
    assert FanOutJobs(fan(name, ["x"], run="x")).names_always_valid is fit


def test_a_name_without_the_item_has_the_whole_item_behind_it_and_not_its_parts():
    columns = {"": ["in/a.csv"], "name": ["a.csv"], "stem": ["a"]}
    assert FanOutJobs(JobSpec(name="j", run="x", fan_out=FanOut("rows", columns))).names() == ["j-in-a.csv"]


def test_what_an_item_lacks_is_no_part_of_a_name():
    assert named("j", ("a", None, "b")) == "j-a-b"
    assert named("j", (None,)) == f"j-{word(None)}"


def test_whoever_needs_a_fan_out_without_items_waits_for_nothing():
    made = plan(
        fan("a-${{ item }}", [], run="x"), JobSpec(name="all", run="x", needs=("a-*",)), fan("b", ["1"], run="x")
    )
    assert (len(made), list(made.needs[0])) == (2, [])
    assert [(spec.name, list(jobs)) for spec, jobs in made.fan_outs] == [("b", [1])]


def test_a_need_with_an_item_is_made_fit_for_a_name():
    made = plan(
        fan("get-${{ item }}", ["a b"], run="x"), fan("use-${{ item }}", ["a b"], run="x", needs=("get-${{ item }}",))
    )
    assert list(made.needs[1]) == [0]
