"""Fan-outs from one end to the other: run, resumed, retried, found up to date, asked about; in files and from Python."""

import json
import re

import pytest

from cli.conftest import Project
from joblot import Batch
from joblot.errors import ConfigError

BATCH = """\
name: fan
jobs:
  - name: make-${{ item.code }}
    run: test -e ok-${{ item.code }} && printf %s ${{ item.text }} > out/${{ item.code }}.txt && echo ${{ item.code }} >> ran.txt
    outputs: ["out/${{ item.code }}.txt"]
    foreach: codes.csv
  - name: all
    run: cat out/*.txt > all.txt
    needs: ["make-*"]
"""
NASTY = [
    "$(touch x)",
    "`id`",
    "'; rm -rf /; '",
    '"',
    "a\\b",
    "$HOME",
    "two\nlines",
    "-n",
    "*",
    "é 日本",
    "${{ run.id }}",
]


@pytest.fixture
def joblot(tmp_path):
    project = Project(tmp_path)
    project.write("joblot.yaml", BATCH)
    project.write("codes.csv", "code,text\n01.10,a b\n6920Z,no\nno,1e3\n")
    (tmp_path / "out").mkdir()
    return project


def ready(project, *codes):
    for code in codes:
        project.write(f"ok-{code}", "")


def states(project, run="last"):
    return {one["job"]: one["status"] for one in json.loads(project("show", run, "--json").out)["results"]}


def test_a_run_makes_a_job_of_each_row(joblot):
    ready(joblot, "01.10", "6920Z", "no")
    done = joblot("run", "--json")
    assert (done.code, list(states(joblot))) == (0, ["make-01.10", "make-6920Z", "make-no", "all"])
    assert (joblot.path / "all.txt").read_text() == "a bno1e3"


@pytest.mark.parametrize("on", ["local", "inline"])
def test_values_reach_a_command_byte_for_byte(tmp_path, on):
    project = Project(tmp_path)
    project.write("items.jsonl", "\n".join(json.dumps({"n": n, "v": value}) for n, value in enumerate(NASTY)))
    batch = {
        "jobs": [
            {
                "name": "j-${{ item.n }}",
                "run": 'printf %s ${{ item.v }} > ${{ item.n }}.run; printf %s "$V" > ${{ item.n }}.env',
                "env": {"V": "${{ item.v }}"},
                "foreach": "items.jsonl",
            }
        ]
    }
    project.write("joblot.json", json.dumps(batch))
    assert project("run", "--on", on).code == 0
    for number, value in enumerate(NASTY):
        assert (tmp_path / f"{number}.run").read_text() == (tmp_path / f"{number}.env").read_text() == value
    assert not (tmp_path / "x").exists()


def test_what_failed_is_retried_alone_and_what_waited_goes_on(joblot):
    ready(joblot, "01.10", "6920Z")
    assert joblot("run").code == 1
    assert states(joblot) == {"make-01.10": "success", "make-6920Z": "success", "make-no": "failed", "all": "skipped"}
    ready(joblot, "no")
    assert joblot("retry", "last", "--failed").code == 0
    assert set(states(joblot).values()) == {"success"}
    assert sorted((joblot.path / "ran.txt").read_text().split()) == ["01.10", "6920Z", "no"]  # each once


def test_one_job_of_a_fan_out_is_named_like_any_other(joblot):
    ready(joblot, "01.10")
    joblot("run")
    ready(joblot, "6920Z")
    assert joblot("retry", "last", "--job", "make-6920Z").code == 1  # the third has still failed
    assert states(joblot)["make-6920Z"] == "success"
    explained = joblot("explain", "last", "make-no").out
    assert explained.startswith("make-no: failed\n  exit_code: ")
    assert "needed by: all" in explained
    assert "test -e ok-6920Z && printf %s no > out/6920Z.txt" in joblot("plan", "--json").out


def test_logs_of_one_job(tmp_path):
    project = Project(tmp_path)
    project.write("joblot.yaml", "jobs: [{name: 'say-${{ item }}', run: 'echo it is ${{ item }}', foreach: [a b, c]}]")
    assert project("run").code == 0
    assert project("logs", "last", "say-a-b").out == "it is a b\n"
    assert re.findall(r"^(?:==> (\S+)|it is .*)", project("logs", "last").out, re.MULTILINE) == [
        "say-a-b",
        "",
        "say-c",
        "",
    ]


def test_what_is_up_to_date_does_not_run_again_and_a_changed_row_does(joblot):
    ready(joblot, "01.10", "6920Z", "no", "new")
    joblot("run")
    assert states(joblot)["make-no"] == "success"
    (joblot.path / "ran.txt").unlink()
    joblot.write("codes.csv", "code,text\n01.10,a b\n6920Z,changed\nno,1e3\nnew,x\n")
    plan = {one["job"]: one["why"] for one in json.loads(joblot("plan", "--json").out)["jobs"]}
    assert plan["make-01.10"] == plan["make-no"] == "up to date"
    assert plan["make-6920Z"].startswith("changed: ")
    assert plan["make-new"] == "new"
    joblot("run")
    assert sorted((joblot.path / "ran.txt").read_text().split()) == ["6920Z", "new"]
    assert (joblot.path / "all.txt").read_text() == "a bchangedx1e3"


def test_what_is_there_is_accepted(joblot):
    for code in ("01.10", "6920Z", "no"):
        joblot.write(f"out/{code}.txt", "by hand\n")
    done = joblot("accept", "joblot.yaml", "make-*")
    assert done.code == 0, done.err
    assert joblot("run").code == 0
    assert [states(joblot)[f"make-{code}"] for code in ("01.10", "6920Z", "no")] == ["cached"] * 3


def test_a_run_that_was_stopped_goes_on_with_the_items_that_it_began_with(tmp_path):
    """The items of a run are those that were read when it began, whatever has become of the file."""
    project = Project(tmp_path)
    project.write("items.txt", "a\nb\nc\n")
    run = "if test ${{ item }} = b && ! test -e go; then touch waits; sleep 60; fi; echo ${{ item }} >> ran.txt"
    project.write("joblot.json", json.dumps({"jobs": [{"name": "j", "run": run, "foreach": "items.txt"}]}))
    with project.popen("run", "--workers", "1", "--stop-grace", "100ms") as process:
        project.wait_for("waits")
        project.interrupt(process)
        assert process.wait(timeout=30) == 130
        process.communicate()
    project.write("items.txt", "x\n")
    project.write("go", "")
    done = project("resume", "--workers", "1")
    assert done.code == 0, done.err
    assert (tmp_path / "ran.txt").read_text().split() == ["a", "b", "c"]


def test_one_job_is_replayed(tmp_path):
    project = Project(tmp_path)
    project.write("joblot.yaml", "jobs: [{name: 'say-${{ item }}', run: 'echo it is ${{ item }}', foreach: [a b, c]}]")
    project("run")
    done = project("replay", "last", "say-a-b")
    assert done.code == 0, done.err
    assert "it is a b" in done.out + done.err


def test_no_more_than_max_parallel_run_at_a_time(tmp_path):
    project = Project(tmp_path)
    run = "mkdir lock && sleep 0.05 && rmdir lock"
    batch = {"jobs": [{"name": "j", "run": run, "foreach": ["a", "b", "c", "d"], "max_parallel": 1}]}
    project.write("joblot.json", json.dumps(batch))
    assert project("run", "--workers", "4").code == 0


# --- what people see of many jobs ---------------------------------------------------------------------

MANY = """\
name: many
jobs:
  - {name: first, run: "true"}
  - {name: "n-${{ matrix.a }}-${{ matrix.b }}", action: check, params: {n: "${{ matrix.a }}"}, matrix: {a: "${{ vars.axis }}", b: [1, 2]}, needs: [first]}
  - {name: last, run: "true", needs: ["n-*"], when: always}
imports: [actions.py]
vars: {axis: {type: list, default: AXIS}}
"""
ACTION = """\
from joblot import action

@action
def check(*, n: int):
    if n % 20 == 0:
        raise ValueError(f"{n} cannot be")
"""


@pytest.fixture
def many(tmp_path):
    project = Project(tmp_path)
    project.write("joblot.yaml", MANY.replace("AXIS", str(list(range(1, 61)))))
    project.write("actions.py", ACTION)
    return project


def test_a_large_plan_has_a_line_for_each_fan_out(many):
    assert many("plan").out == (
        "Batch many: 122 jobs in 3 tiers\n"
        "Tier 1: 1 job: first\n"
        "Tier 2: 120 jobs\n"
        "  n-*-*: 120 jobs (matrix a × b)\n"
        "Tier 3: 1 job: last\n"
    )


def test_a_large_plan_in_json_is_complete(many):
    plan = json.loads(many("plan", "--json").out)
    assert [len(tier) for tier in plan["tiers"]] == [1, 120, 1]
    assert (plan["total_jobs"], len(plan["jobs"])) == (122, 122)
    assert plan["jobs"][1]["job"] == "n-1-1"
    assert plan["jobs"][1]["params"] == {"n": "1"}
    assert plan["jobs"][121]["needs"] == plan["tiers"][1]
    assert plan["estimate"] is None


def test_the_end_of_a_large_run_has_failures_first_and_a_line_for_each_fan_out(many):
    done = many("run")
    table = done.plain[done.plain.index("Batch many: failed") :].splitlines()
    assert sorted(table[1:7]) == [
        f"  [failed] n-{n}-{b} (1 attempt, T): ValueError: {n} cannot be" for n in (20, 40, 60) for b in (1, 2)
    ]
    assert table[7:10] == [
        "  n-*-*: 120 jobs (matrix a × b)  114 success, 6 failed",
        "Failures by cause:",
        f"      6 x ValueError: <n> cannot be (such as `{table[1].split()[1]}`)",
    ]
    shown = many("show", "last").out.splitlines()
    assert "  n-*-*: 120 jobs (matrix a × b)  114 success, 6 failed" in shown
    assert len(shown) < 25
    report = json.loads(many("show", "last", "--json").out)
    assert (report["failed"], len(report["results"])) == (6, 122)


@pytest.mark.parametrize(
    ("form", "lines"),
    [
        ("mermaid", ["flowchart LR", '  j0["first"]', '  j1["n-*-* (120)"]', '  j121["last"]', "  j0 --> j1", "  j1 --> j121"]),
        ("dot", ['digraph "many" {', "  rankdir=LR", '  j0 [label="first"]', '  j1 [label="n-*-* (120)"]', '  j121 [label="last"]', "  j0 -> j1", "  j1 -> j121", "}"]),
    ],
)  # fmt: skip
def test_a_large_graph_has_a_node_for_each_fan_out(many, form, lines):
    assert many("graph", "--format", form).out.splitlines() == lines


# --- from Python --------------------------------------------------------------------------------------


def kind(*, value, text=""):
    return f"{type(value).__name__} {text}"


@pytest.mark.alone
@pytest.mark.parametrize("on", ["local", "inline"])
def test_items_from_python_keep_their_types(tmp_path, on):
    batch = Batch("b", folder=tmp_path)
    batch.add("n-${{ matrix.n }}", kind, params={"value": "${{ matrix.n }}"}, matrix={"n": range(2)})
    rows = ({"v": value, "s": name} for name, value in {"x": 1.5, "none": None, "list": ["a"]}.items())
    batch.add(
        "r-${{ item.s }}",
        kind,
        params={"value": "${{ item.v }}", "text": "<${{ item.s }}>"},
        foreach=rows,
        needs=[kind],
    )
    batch.command(
        "c-${{ matrix.a }}",
        "printf %s ${{ matrix.a }} > ${{ matrix.b }}",
        zip={"a": ("x y", "$HOME"), "b": (1, 2)},
    )
    report = batch.run(on=on, state=tmp_path / "state", workers=2)
    report.check()
    assert {name: job.result for name, job in report.jobs.items()} == {
        "n-0": "int ", "n-1": "int ", "r-x": "float <x>", "r-none": "NoneType <none>", "r-list": "list <list>", "c-x-y": None, "c-HOME": None,
    }  # fmt: skip
    assert report.jobs["r-x"].needs == ("n-0", "n-1")
    assert [(tmp_path / name).read_text() for name in "12"] == ["x y", "$HOME"]


def test_python_may_name_a_source_too(tmp_path):
    (tmp_path / "codes.csv").write_text("code,n\n01,7\n")
    batch = Batch("b", folder=tmp_path)
    source = {"csv": "codes.csv", "types": {"n": "int"}}
    batch.add("j-${{ item.code }}", kind, params={"value": "${{ item.n }}"}, foreach=source)
    plan = batch.plan()
    assert plan.spec(0).params == {"value": 7}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"matrix": {"a": [1]}, "foreach": [1]}, "job `j`: `matrix` and `foreach` cannot stand together"),
        ({"max_parallel": 2}, "job `j`: `max_parallel` has no fan-out to bound"),
        ({"foreach": [1], "max_parallel": 0}, "job `j`: `max_parallel` must be at least 1, got 0"),
        ({"matrix": {"a": 1}}, "job `j`: `matrix.a`: `a` must be a list, not the number 1"),
        ({"foreach": "no.csv"}, "job `j`: `foreach`: cannot read `no.csv`: no such file or directory"),
        ({"foreach": [1], "params": {"value": "${{ matrix.a }}"}}, "job `j`: `params.value`: `matrix.a` stands for nothing here"),
        ({"matrix": {"a": [1]}, "params": {"value": "${{ matrix.b }}"}}, "job `j`: `params.value`: `matrix` has no `b`"),
        ({"foreach": [{"x": 1}], "outputs": ["${{ item.x.y }}"]}, "job `j`: `outputs`: `x` of item 1: `item.x` has no parts, so there is no `y` (in `item.x.y`)"),
        ({"foreach": ["../x"], "outputs": ["${{ item }}"]}, "job `j`: `outputs`: item 1 cannot be part of a path: `../x` holds `..`"),
    ],
)  # fmt: skip
def test_a_fan_out_in_python_that_cannot_be(options, message, tmp_path):
    batch = Batch("b", folder=tmp_path)
    with pytest.raises(ConfigError) as caught:
        batch.add("j", kind, **options)
    assert caught.value.message == message
    assert len(batch) == 0
