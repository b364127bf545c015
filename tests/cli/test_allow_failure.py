"""Jobs that may fail, through the command line and from Python."""

import json

import pytest

from joblot import Batch

BATCH = """
name: checks
fail_fast: true
jobs:
  - name: lint
    run: exit 3
    allow_failure: true
    outputs: [lint.txt]
  - name: test
    run: "true"
    needs: [lint]
  - name: show
    run: cat lint.txt
    input: lint.txt
    needs: [lint]
"""


def test_it_is_told_apart_in_every_view(joblot):
    joblot.write("joblot.yaml", BATCH)
    done = joblot("run", "--run-id", "r1")
    assert (done.code, done.result) == (0, "run r1: 3 jobs: 1 succeeded, 1 failed (1 allowed), 1 skipped, in T\n")
    assert "WARNING | [1/3] lint: failed (allowed): exit status 3 (1 attempt, T)" in done.plain
    assert "[failed ] lint (1 attempt, T): exit status 3 (allowed)" in done.plain
    assert "[skipped] show: what it uses of `lint` is not there" in done.plain
    assert done.plain.endswith("INFO | Batch complete: 1 ok, 1 failed (1 allowed), 1 skipped\n")
    report = json.loads(joblot("show", "r1", "--json").out)
    assert {name: report[name] for name in ("status", "exit_code", "failed", "allowed_failures", "all_passed")} == {
        "status": "success", "exit_code": 0, "failed": 1, "allowed_failures": 1, "all_passed": False,
    }  # fmt: skip
    assert [one.get("allowed") for one in report["results"]] == [True, None, None]
    (listed,) = json.loads(joblot("ls", "--json").out)
    assert (listed["status"], listed["counts"]) == ("success", {"success": 1, "skipped": 1, "allowed_failures": 1})
    assert joblot("ls").out.splitlines()[1].endswith("3: 1 success, 1 skipped, 1 allowed failures")
    assert joblot("explain", "r1", "lint").out.splitlines()[:3] == [
        "lint: failed",
        "  exit_code: exit status 3",
        "  its failure is allowed (`allow_failure`): the run goes on as after a success",
    ]
    assert "    lint: failed (allowed): exit status 3\n" in joblot("explain", "r1", "test").out
    assert "; may fail" in joblot("plan").out
    assert [one.get("allow_failure") for one in json.loads(joblot("plan", "--json").out)["jobs"]] == [True, None, None]


def test_retry_tries_it_again_and_resume_leaves_it(joblot):
    joblot.write("joblot.yaml", BATCH.replace("exit 3", "test -e mended && echo fine > lint.txt"))
    assert joblot("run", "--run-id", "r1").code == 0
    joblot.write("mended", "")
    assert joblot("resume", "r1").code == 0
    report = json.loads(joblot("show", "r1", "--json").out)
    assert [(one["status"], one["attempts"]) for one in report["results"]] == [
        ("failed", 1),
        ("success", 1),
        ("skipped", 0),
    ]
    assert joblot("retry", "r1").code == 0
    report = json.loads(joblot("show", "r1", "--json").out)
    assert [(one["status"], one["attempts"]) for one in report["results"]] == [
        ("success", 2),
        ("success", 1),
        ("success", 1),
    ]


@pytest.mark.parametrize(
    "fields", ["retry: 2", "timeout: 10ms, grace: 0", "once: true", "resources: {cpu: 1}", "foreach: [a, b]"]
)
def test_whatever_else_it_says_it_may_fail(joblot, fields):
    joblot.write(
        "joblot.yaml",
        f"jobs: [{{name: x, run: 'sleep 0.05; exit 1', allow_failure: true, {fields}}}, {{name: y, run: 'true', needs: ['x*']}}]",
    )
    done = joblot("run", "--json")
    report = json.loads(done.out)
    assert (done.code, report["status"], report["results"][-1]["status"]) == (0, "success", "success")
    assert report["failed"] == report["allowed_failures"] == len(report["results"]) - 1


def test_from_python(tmp_path):
    batch = Batch("checks", folder=tmp_path, fail_fast=True)
    batch.command("lint", "exit 3", allow_failure=True)
    batch.command("last", "exit 4", allow_failure=True, finally_=True)
    report = batch.run(on="inline", state=False)
    report.check()
    assert (report.status, report.exit_code, report.allowed_failures) == ("success", 0, 2)
    assert [(job.state, job.allowed) for job in report.jobs.values()] == [("failed", True), ("failed", True)]


def test_a_retry_takes_back_what_runs_whatever_its_needs_do_or_because_they_failed(joblot):
    """What it did belongs to an end that is not the end any more; a success behind it stays one."""
    text = """
    jobs:
      - {name: a, run: test -e mended}
      - {name: alert, run: 'true', needs: [a], when: failure}
      - {name: clean, run: 'true', needs: [a], when: always}
      - {name: last, run: 'true', needs: [alert], when: always}
      - {name: told, run: 'true', needs: [clean]}
      - {name: apart, run: 'true', when: always}
    """
    joblot.write("joblot.yaml", text)
    assert joblot("run", "--run-id", "r1").code == 1
    assert joblot("resume", "r1").code == 1
    report = json.loads(joblot("show", "r1", "--json").out)
    assert [one["attempts"] for one in report["results"]] == [2, 1, 1, 1, 1, 1]
    joblot.write("mended", "")
    assert joblot("retry", "r1").code == 0
    report = json.loads(joblot("show", "r1", "--json").out)
    assert {one["job"]: (one["status"], one["attempts"]) for one in report["results"]} == {
        "a": ("success", 3),
        "alert": ("skipped", 1),
        "clean": ("success", 2),
        "last": ("success", 2),
        "told": ("success", 1),
        "apart": ("success", 1),
    }


def test_a_retry_leaves_what_was_left_out_and_what_may_run_once_and_may_have_run(joblot):
    text = """
    jobs:
      - {name: a, run: exit 1}
      - {name: b, run: 'true', needs: [a], when: always}
      - {name: c, run: 'true', needs: [a], when: always, once: true}
    """
    joblot.write("joblot.yaml", text)
    assert joblot("run", "--run-id", "r1", "--exclude", "b").code == 1
    assert joblot("retry", "r1").code == 1
    report = json.loads(joblot("show", "r1", "--json").out)
    assert {one["job"]: one["attempts"] for one in report["results"]} == {"a": 2, "c": 2}
