"""Before a run: `init`, `validate`, `plan`, `graph`, `actions`, `schema`."""

import json
import re
import resource
import subprocess
import sys
from functools import partial

import pytest

from joblot.cli.history import processors

CHAIN = """\
name: chain
jobs:
  - {name: fetch, run: "sleep 0.1; echo a > data.txt", retry: {max_attempts: 5, delay: 2s}}
  - {name: count, action: count_lines, input: data.txt, needs: [fetch], timeout: 10m}
  - {name: other, run: "true"}
  - {name: alert, run: "true", needs: [count, other], when: failure}
"""


def test_init_writes_a_file_that_runs_and_overwrites_nothing(joblot):
    assert joblot("init") == (0, "wrote `joblot.yaml`; next: joblot run\n", "")
    assert joblot("validate") == (0, "ok: 4 jobs\n", "")
    assert joblot("run").code == 0
    hint = "hint: give another name: `joblot init other.yaml`\n"
    assert joblot("init") == (2, "", f"error: `joblot.yaml` exists already\n{hint}")
    assert joblot("init", "b.yaml").out == "wrote `b.yaml`; next: joblot run b.yaml\n"
    assert joblot("init", "no/b.yaml").err == "error: cannot write `no/b.yaml`: no such file or directory\n"


@pytest.mark.alone
def test_init_on_a_full_disk_names_the_file(joblot):
    """It said that standard output cannot be written."""
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (0, 0))
    assert joblot("init", preexec_fn=limit) == (2, "", "error: cannot write `joblot.yaml`: file too large\n")


# --- validate -----------------------------------------------------------------------------------------


def test_validate_lists_every_error_in_the_order_of_the_file(joblot):
    """D7, R18: exit code 2, places, and how many."""
    joblot.write(
        "joblot.yaml", "jobs:\n  - {name: a, retrys: 2, run: x}\n  - {name: b}\n  - {name: c, action: count_lines}\n"
    )
    done = joblot("validate")
    assert (done.code, done.out) == (2, "")
    heads = [line.split(": ")[:2] for line in done.err.splitlines() if line.startswith("joblot.yaml:")]
    assert heads == [["joblot.yaml:2:15", "error"], ["joblot.yaml:3:5", "error"], ["joblot.yaml:4:5", "error"]]
    assert "unknown field `retrys` in job `a`" in done.err
    assert done.err.endswith("\n3 errors\n")


def test_validate_takes_an_unknown_action_for_an_error(joblot):
    """D7"""
    joblot.write("joblot.yaml", "jobs:\n  - {name: a, action: cuont_lines, input: x}\n")
    done = joblot("validate")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "joblot.yaml:2:23: error: unknown action `cuont_lines`\n"
        "    2 |   - {name: a, action: cuont_lines, input: x}\n"
        "      |                       ^\n"
        "hint: did you mean `count_lines`?\n"
    )


CASE = """\
jobs:
  - {name: a, run: "true", retrys: 3}
  - {name: b, run: "true", needs: [nope]}
  - {name: c, run: "true", needs: [d]}
  - {name: d, run: "true", needs: [c]}
"""


@pytest.mark.parametrize("command", [["validate"], ["plan"], ["run"], ["run", "--dry-run"]])
def test_fields_needs_and_cycles_are_told_at_once(joblot, command):
    """R100, R104, D7"""
    joblot.write("joblot.yaml", CASE)
    done = joblot(*command)
    assert (done.code, done.out) == (2, "")
    assert [line for line in done.err.splitlines() if line.startswith("joblot.yaml:")] == [
        "joblot.yaml:2:28: error: unknown field `retrys` in job `a`",
        "joblot.yaml:3:5: error: job `b` needs unknown job `nope`",
        "joblot.yaml:4:5: error: jobs need each other: c -> d -> c",
    ]


@pytest.mark.parametrize(
    ("jobs", "messages"),
    [
        (
            "{name: a, run: x, needs: [b]}, {name: b, run: x, needs: [a]}, {name: c, run: x, needs: [d]}, {name: d, run: x, needs: [c]}",
            ["jobs need each other: a -> b -> a", "jobs need each other: c -> d -> c"],
        ),
        (
            "{name: a, run: x, needs: [b, c]}, {name: b, run: x, needs: [a]}, {name: c, run: x, needs: [a]}",
            ["jobs need each other: a -> b -> a", "jobs need each other: a -> c -> a"],
        ),
        (
            "{name: a, run: x, needs: [a, nope]}, {name: b, run: x, outputs: [o]}, {name: c, run: x, outputs: [o]}",
            ["job `a` needs unknown job `nope`", "jobs need each other: a -> a",
             "job `c` writes `o`, which job `b` (line 1) writes too"],
        ),
        (
            "{name: a, run: x, retrys: 1, needs: [b], outputs: [o]}, {name: b, run: x, needs: [a]}, {name: c, run: x, outputs: [o]}",
            ["jobs need each other: a -> b -> a", "unknown field `retrys` in job `a`",
             "job `c` writes `o`, which job `a` (line 1) writes too"],
        ),
        (
            "{name: a, run: 'echo ${{ jobs.nope.result }}'}, {name: b, run: x, needs: [gone]}, {name: c, run: x, tiemout: 1}",
            ["`jobs.nope.result` is the result of a job that this one does not need", "job `b` needs unknown job `gone`",
             "unknown field `tiemout` in job `c`"],
        ),
        (
            "{name: a, action: cuont_lines, input: x, needs: [b, gone]}, {name: b, run: x, needs: [a]}",
            ["job `a` needs unknown job `gone`", "jobs need each other: a -> b -> a", "unknown action `cuont_lines`"],
        ),
        (
            "{name: a, run: x, needs: [f-1, nope]}, {name: 'f-${{ item }}', run: x, foreach: [1], retrys: 1}",
            ["job `a` needs unknown job `nope`", "unknown field `retrys` in job `f-${{ item }}`"],
        ),
        ("{run: x}, {name: b, run: x, needs: [it]}", ["jobs[0] is missing `name`"]),
        (
            "{name: a, run: x}, {name: a, run: x, needs: [nope]}, {name: b, run: x, needs: [a, nope]}",
            ["duplicate job name `a` (first on line 1)", "job `a` needs unknown job `nope`", "job `b` needs unknown job `nope`"],
        ),
    ],
)  # fmt: skip
def test_what_can_be_known_of_a_wrong_batch_is_told_at_once(joblot, jobs, messages):
    joblot.write("joblot.yaml", f"jobs: [{jobs}]\n")
    found = json.loads(joblot("validate", "--json").out)["errors"]
    assert sorted(one["message"] for one in found) == sorted(messages)


def test_what_is_wrong_in_one_of_several_files_does_not_hide_the_others(joblot):
    joblot.write("a.yaml", "jobs: [{name: a, run: x, retrys: 1}]\n")
    joblot.write("b.yaml", "jobs: [{name: a, run: x, needs: [b]}, {name: b, run: x, needs: [a]}]\n")
    done = joblot("validate", "a.yaml", "b.yaml")
    assert done.code == 2
    assert [line for line in done.err.splitlines() if line.startswith(("a.yaml:", "b.yaml:"))] == [
        "a.yaml:1:26: error: unknown field `retrys` in job `a`",
        "b.yaml:1:8: error: jobs need each other: a -> b -> a",
    ]


def test_validate_as_json(joblot):
    joblot.write("joblot.yaml", CHAIN)
    assert json.loads(joblot("validate", "--json").out) == {"ok": True, "jobs": 4, "errors": [], "warnings": []}
    joblot.write("joblot.yaml", "jobs:\n  - {name: a, run: x, needs: [b]}\n")
    done = joblot("validate", "--json")
    found = json.loads(done.out)
    assert (done.code, found["ok"], [one["message"] for one in found["errors"]]) == (
        2,
        False,
        ["job `a` needs unknown job `b`"],
    )


def test_validate_finds_a_cycle(joblot):
    joblot.write("joblot.yaml", "jobs:\n  - {name: a, run: x, needs: [b]}\n  - {name: b, run: x, needs: [a]}\n")
    done = joblot("validate")
    assert done.code == 2
    assert "error: jobs need each other: a -> b -> a\n" in done.err


def test_validate_needs_little_time(joblot):
    """Twenty jobs within 0.15 s of CPU; the limit here leaves room for slower machines."""
    jobs = "".join(
        f"  - {{name: j{n}, action: count_lines, input: x.txt, params: {{pattern: p}}}}\n" for n in range(20)
    )
    joblot.write("joblot.yaml", f"jobs:\n{jobs}")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert joblot.real("validate").out == "ok: 20 jobs\n"
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.45


@pytest.mark.usefixtures("unmeasured")
def test_validate_imports_neither_the_engine_nor_the_journal(joblot):
    batch = joblot.write("b.yaml", CHAIN)
    code = (
        f"import sys\nfrom joblot.__main__ import main\nmain(['validate', {str(batch)!r}])\nprint(sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    modules = set(eval(done.stdout.splitlines()[-1]))
    assert not modules & {
        "joblot.runner.engine",
        "joblot.core.runstate",
        "joblot.journal.sqlite",
        "sqlite3",
        "rich",
        "subprocess",
        "joblot.api",
    }


# --- plan ---------------------------------------------------------------------------------------------


def test_plan_shows_tiers_and_what_each_job_is(joblot):
    joblot.write("joblot.yaml", CHAIN)
    done = joblot("plan")
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "Batch chain: 4 jobs in 3 tiers\n"
        "Tier 1\n"
        "  fetch  run: sleep 0.1; echo a > data.txt  new; 5 attempts\n"
        "  other  run: true                          new\n"
        "Tier 2\n"
        "  count  count_lines data.txt               new; needs fetch; timeout 10m00s\n"
        "Tier 3\n"
        "  alert  run: true                          new; needs count, other; when: failure\n"
    )
    assert not (joblot.path / ".joblot").exists()


def test_plan_says_which_jobs_will_be_skipped(joblot):
    """R15"""
    joblot.write("joblot.yaml", "jobs:\n  - {name: a, action: cuont_lines, input: x}\n")
    done = joblot("plan", "--skip-unknown-actions")
    assert done.code == 0
    assert done.out == joblot("run", "--dry-run", "--skip-unknown-actions").out
    assert "  a  cuont_lines x  unknown action `cuont_lines`: will be skipped\n" in done.out


def test_plan_estimates_from_the_last_run_of_the_same_batch(joblot):
    joblot.write("joblot.yaml", CHAIN)
    joblot("run", "--run-id", "r1")
    lines = re.sub(r"[0-9.]+ MiB", "S", joblot("plan", "-j", "2").result).splitlines()[-3:]
    others = ", ".join(f"-j {2**power}: T (S)" for power in range(processors().bit_length()) if power != 1)
    assert lines == [
        "Estimate: about T with 2 at once, S of memory (from run r1, in which 3 of these 4 jobs have succeeded)",
        f"  with {others}",
        "Critical path: fetch -> count -> alert (T)",
    ]
    estimate = json.loads(joblot("plan", "--json", "-j", "2").out)["estimate"]
    assert (estimate["from_run"], estimate["critical_path"]) == ("r1", ["fetch", "count", "alert"])
    assert estimate["total_s"] >= 0.1


def test_plan_as_json(joblot):
    joblot.write("joblot.yaml", CHAIN)
    plan = json.loads(joblot("plan", "--json").out)
    assert plan["tiers"] == [["fetch", "other"], ["count"], ["alert"]]
    assert plan["estimate"] is None
    assert plan["jobs"][1] == {
        "job": "count", "action": "count_lines", "input": "data.txt", "params": {}, "needs": ["fetch"], "when": "success",
        "max_attempts": 1, "timeout_s": 600.0, "resources": {}, "outputs": [], "will_run": True, "why": "new",
    }  # fmt: skip


def test_a_large_plan_is_summed_up(joblot):
    jobs = [{"name": f"j{n}", "run": "true"} for n in range(200)] + [{"name": "last", "run": "true", "needs": ["j*"]}]
    joblot.write("joblot.json", json.dumps({"name": "big", "jobs": jobs}))
    assert joblot("plan").out == (
        "Batch big: 201 jobs in 2 tiers\nTier 1: 200 jobs: j0, j1, j2, j3, j4, and 195 more\nTier 2: 1 job: last\n"
    )


# --- graph, actions, schema ----------------------------------------------------------------------------


def test_graph_for_mermaid_and_dot(joblot):
    joblot.write(
        "joblot.yaml", 'name: a "b"\njobs:\n  - {name: x, run: "true"}\n  - {name: y, run: "true", needs: [x]}\n'
    )
    assert joblot("graph").out == 'flowchart LR\n  j0["x"]\n  j1["y"]\n  j0 --> j1\n'
    dot = 'digraph "a \\"b\\"" {\n  rankdir=LR\n  j0 [label="x"]\n  j1 [label="y"]\n  j0 -> j1\n}\n'
    assert joblot("graph", "--format", "dot").out == dot


def test_actions_lists_and_describes(joblot):
    listed = joblot("actions")
    assert listed.code == 0
    assert [line.split()[0] for line in listed.out.splitlines()] == sorted(
        line.split()[0] for line in listed.out.splitlines()
    )
    assert "count_lines" in listed.out
    one = joblot("actions", "search_pattern").out
    assert "  input: required\n  params:\n" in one
    described = json.loads(joblot("actions", "search_pattern", "--json").out)
    assert (described["name"], described["input"]) == ("search_pattern", "required")
    assert (described["parameters"][0]["name"], described["parameters"][0]["required"]) == ("pattern", True)
    assert joblot("actions", "serch_pattern") == (
        2, "", "error: unknown action `serch_pattern`\nhint: did you mean `search_pattern`?\n",
    )  # fmt: skip


def test_actions_shows_a_batchs_own_too(joblot):
    """R19"""
    joblot.write(
        "mine.py", "from joblot import action\n\n@action\ndef mine(*, size: int = 3):\n    'Do my own thing.'\n"
    )
    assert joblot("actions", "mine", "--import", "mine.py").out == (
        "mine\n  Do my own thing.\n  input: none\n  params:\n    size  int  default 3\n  from: DIR/mine.py:3: `mine`\n"
    )


def test_actions_shows_types_as_they_are_written_whatever_python_makes_of_them(joblot):
    joblot.write(
        "mine.py",
        "from pathlib import Path\n"
        "from typing import Annotated, Literal, Optional\n"
        "from joblot import action\n\n"
        "@action\n"
        "def mine(*, a: Path, b: Path | None, c: list[Path], d: Optional[int], e: Literal['x'], f: Annotated[int, 'n']): ...\n",
    )
    described = json.loads(joblot("actions", "mine", "--import", "mine.py", "--json").out)
    types = ["Path", "Path | None", "list[Path]", "int | None", "Literal['x']", "Annotated[int, 'n']"]
    assert [one["type"] for one in described["parameters"]] == types


def test_schema_prints_all_or_a_part(joblot):
    schema = json.loads(joblot("schema").out)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert json.loads(joblot("schema", "jobs.retry.max_attempts").out)["type"] == "integer"
    assert joblot("schema", "jobs.retyr") == (
        2,
        "",
        "error: `jobs` has no field `retyr`\nhint: did you mean `retry`?\n",
    )


@pytest.mark.parametrize("command", ["validate", "plan", "graph"])
def test_variables_are_checked(joblot, command):
    joblot.write(
        "joblot.yaml", "vars: {day: {type: date, required: true}}\njobs:\n  - {name: a, run: 'echo ${{ vars.day }}'}\n"
    )
    assert joblot(command, "--var", "day=2026-11-20").code == 0
    assert joblot(command).code == 2
    assert joblot(command, "--var", "day=2026-11-20", "--var", "dya=1").code == 2
