"""The program as its users run it, in a copy of this folder."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data").mkdir()
    for name in ("project.py", "data/app.log", "data/batch_config.json"):
        shutil.copy(HERE / name, tmp_path / name)
    return tmp_path


def project(folder, *words):
    command = [sys.executable, "project.py", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def run(folder, *jobs):
    """A batch of these jobs: what the program printed, and the report's results by job."""
    (folder / "own.json").write_text(json.dumps({"jobs": jobs}))
    done = project(folder, "--config", "own.json", "--output", "report.json")
    report = json.loads((folder / "report.json").read_text()) if done.returncode < 2 else {"results": []}
    return done, {result["job"]: result for result in report["results"]}


def job(name, action="count_lines", file="data/app.log", **more):
    return {"name": name, "action": action, "input": file, **more}


def test_the_sample_runs(folder):
    done = project(folder)
    assert done.returncode == 0
    assert json.loads(done.stdout) == {"total_jobs": 4, "succeeded": 4, "failed": 0}
    results = json.loads((folder / "data" / "batch_report.json").read_text())["results"]
    assert results[1]["result"] == {"total_lines": 10, "matching_lines": 2, "pattern": "ERROR"}
    assert all(result["duration_ms"] >= 0 for result in results)


def test_matches_of_a_regular_expression_are_counted(folder):
    done, results = run(folder, job("both", "search_pattern", params={"pattern": "ERROR|WARNING"}))
    assert done.returncode == 0
    assert results["both"]["result"]["matches"] == 4


def test_a_dry_run_runs_nothing(folder):
    done = project(folder, "--dry-run")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"total_jobs": 4, "dry_run": True})
    assert not (folder / "data" / "batch_report.json").exists()


def test_a_missing_file_and_an_unknown_action_are_their_jobs_own(folder):
    done, results = run(folder, job("good"), job("gone", file="no.log"), job("odd", "count_stars"))
    assert done.returncode == 1
    assert {name: result["status"] for name, result in results.items()} == {
        "good": "ok",
        "gone": "error",
        "odd": "skipped",
    }
    assert results["odd"]["reason"] == "unknown action"
    assert "| ERROR | job gone (count_lines) error: file not found: " in done.stderr


def test_a_batch_without_jobs_is_no_error(folder):
    done, _ = run(folder)
    assert (done.returncode, json.loads(done.stdout)) == (0, {"total_jobs": 0, "succeeded": 0, "failed": 0})


def test_every_mistake_of_a_batch_file_is_told_before_anything_runs(folder):
    done, _ = run(folder, {"name": "a", "action": "count_lines"}, {"action": "count_lines", "input": "data/app.log"})
    assert (done.returncode, done.stdout) == (2, "")
    assert "jobs[0] is missing `input`" in done.stderr
    assert "jobs[1] is missing `name`" in done.stderr
