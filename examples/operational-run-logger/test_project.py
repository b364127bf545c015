"""The program as its users run it, in a copy of this folder."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from joblot import RunLogger

HERE = Path(__file__).parent


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data").mkdir()
    for name in ("project.py", "data/sample_input.txt"):
        shutil.copy(HERE / name, tmp_path / name)
    return tmp_path


def project(folder, *words):
    command = [sys.executable, "project.py", "--run-id", "demo-001", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def events(folder):
    log = json.loads((folder / "data" / "run_log.json").read_text())
    assert log["event_count"] == len(log["events"])
    return [event["event_type"] for event in log["events"]]


def test_every_item_is_processed_and_logged(folder):
    done = project(folder)
    assert json.loads(done.stdout) == {
        "run_id": "demo-001", "status": "completed", "events": 23, "errors": 0, "warnings": 0
    }  # fmt: skip
    assert events(folder).count("item_processed") == 19
    assert json.loads((folder / "data" / "processed.json").read_text())[0] == {
        "index": 0, "item": "rotate web server logs", "processed": True
    }  # fmt: skip


def test_verbose_prints_each_event_before_the_summary(folder):
    lines = project(folder, "--verbose").stdout.splitlines()
    assert [line.split(" ")[1] for line in lines[:23]] == events(folder)
    assert json.loads("\n".join(lines[23:]))["events"] == 23


def test_a_missing_input_fails_and_leaves_its_log(folder):
    done = project(folder, "--input", "nowhere.txt")
    assert (done.returncode, done.stderr) == (1, "error: file not found: nowhere.txt\n")
    assert json.loads(done.stdout)["status"] == "failed"
    assert events(folder) == ["run_started", "error", "run_finished"]


def test_an_empty_input_is_completed_with_a_warning(folder):
    (folder / "empty.txt").write_text("")
    done = project(folder, "--input", "empty.txt")
    assert [json.loads(done.stdout)[key] for key in ("status", "events", "warnings")] == ["completed", 5, 1]
    assert json.loads((folder / "data" / "processed.json").read_text()) == []


def test_a_run_is_finished_whatever_happens(tmp_path):
    def program():
        with RunLogger("r1", log=tmp_path / "log.json") as run:
            run.log_warning("careful")
            raise ValueError("no luck")

    with pytest.raises(ValueError, match="no luck"):
        program()
    log = json.loads((tmp_path / "log.json").read_text())
    assert (log["status"], log["error_count"], log["warning_count"]) == ("failed", 1, 1)
