"""The example `operational-run-logger`, run as its README says."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from command_server import server

EXAMPLE = Path(__file__).parents[2] / "examples" / "operational-run-logger"
DOCUMENTED = [
    "--input",
    "data/sample_input.txt",
    "--output",
    "data/processed.json",
    "--log",
    "data/run_log.json",
    "--run-id",
    "demo-001",
]


@pytest.fixture
def folder(tmp_path):
    """A copy of the example as it is in the repository, without what earlier runs made."""
    shutil.copytree(
        EXAMPLE, tmp_path / "example", ignore=shutil.ignore_patterns("processed.json", "run_log.json", "__pycache__")
    )
    return tmp_path / "example"


def project(folder, *args):
    return server().run(["project.py", *args], folder)


def log_of(folder):
    return json.loads((folder / "data" / "run_log.json").read_text())


def events_of(folder):
    return [event["event_type"] for event in log_of(folder)["events"]]


def test_the_documented_command_r31_r32_r43(folder):
    """R31 R32 R43: completed, 19 items, 23 events."""
    done = project(folder, *DOCUMENTED)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {
        "run_id": "demo-001",
        "status": "completed",
        "events": 23,
        "errors": 0,
        "warnings": 0,
    }
    assert list(json.loads(done.stdout))[:3] == ["run_id", "status", "events"]
    assert events_of(folder) == [
        "run_started", "processing_started", *["item_processed"] * 19, "processing_completed", "run_finished"
    ]  # fmt: skip


def test_the_readme_shows_what_is_printed(folder):
    assert project(folder, *DOCUMENTED).stdout in (EXAMPLE / "README.md").read_text()
    assert f"python project.py {' '.join(DOCUMENTED)}" in (EXAMPLE / "README.md").read_text()


def test_without_options_the_defaults_hold_r31_r39(folder):
    """R31 R39: files at their default places, ids of their own."""
    first, second = (json.loads(project(folder).stdout) for _ in range(2))
    assert first["run_id"] != second["run_id"]
    assert (first["status"], first["events"]) == ("completed", 23)
    assert log_of(folder)["run_id"] == second["run_id"]
    assert len(json.loads((folder / "data" / "processed.json").read_text())) == 19


def test_items_are_the_stripped_lines_in_order_r33_r34(folder):
    """R33 R34."""
    (folder / "in.txt").write_text("a\n\n b \n\t\nc d\r\nété")
    project(folder, "--input", "in.txt", "--output", "new/out.json")
    assert json.loads((folder / "new" / "out.json").read_text()) == [
        {"index": index, "item": item, "processed": True} for index, item in enumerate(["a", "b", "c d", "été"])
    ]


def test_verbose_shows_each_event_on_stdout_before_the_summary_r44(folder):
    """R44 D6: as the document says it."""
    done = project(folder, *DOCUMENTED, "--verbose")
    lines, summary = done.stdout.splitlines()[:23], "\n".join(done.stdout.splitlines()[23:])
    assert (json.loads(summary)["events"], done.stderr) == (23, "")
    assert [line.split(" ")[1] for line in lines] == events_of(folder)
    assert lines[2].split(" ", 1)[1] == 'item_processed {"index":0,"item":"rotate web server logs","length":22}'


def test_runs_are_kept_where_joblot_lists_them_r52(folder):
    """R52: with `--state`, also one that failed."""
    project(folder, *DOCUMENTED, "--state", ".joblot")
    project(folder, "--input", "nowhere.txt", "--run-id", "demo-002", "--state", ".joblot")
    again = project(folder, *DOCUMENTED, "--state", ".joblot")
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr.startswith("error: run `demo-001` exists already")
    words = [sys.executable, "-m", "joblot", "ls", "--json"]
    listed = json.loads(subprocess.run(words, cwd=folder, capture_output=True, check=True, timeout=60).stdout)
    assert [(run["run_id"], run["batch"], run["status"]) for run in listed] == [
        ("demo-002", "project", "failed"), ("demo-001", "project", "success")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "file not found: in.txt"),
        (lambda path: path.mkdir(), "is a directory: in.txt"),
        (
            lambda path: path.write_bytes(b"a\n\xff\n"),
            "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff in position 2: invalid start byte",
        ),
    ],
)
def test_input_that_cannot_be_read_r45_r49(folder, make, message):
    """R45 R49: failed, the log is there, exit code 1, no traceback, no output file."""
    make(folder / "in.txt")
    done = project(folder, "--input", "in.txt", "--run-id", "r1")
    assert (done.returncode, done.stderr) == (1, f"error: {message}\n")
    assert json.loads(done.stdout) == {"run_id": "r1", "status": "failed", "events": 3, "errors": 1, "warnings": 0}
    assert events_of(folder) == ["run_started", "error", "run_finished"]
    assert log_of(folder)["events"][1]["data"]["message"] == message
    assert not (folder / "data" / "processed.json").exists()


@pytest.mark.parametrize("text", ["", "\n \n\t\n"])
def test_empty_input_is_a_success_that_says_so_r46_r49(folder, text):
    """R46 R49 D16."""
    (folder / "in.txt").write_text(text)
    done = project(folder, "--input", "in.txt", "--run-id", "r1")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"run_id": "r1", "status": "completed", "events": 5, "errors": 0, "warnings": 1}
    assert events_of(folder) == ["run_started", "processing_started", "warning", "processing_completed", "run_finished"]
    assert json.loads((folder / "data" / "processed.json").read_text()) == []


def test_an_output_that_cannot_be_written_fails_the_run_r47(folder):
    """R47: and the run has its log."""
    (folder / "file").touch()
    done = project(folder, "--output", "file/out.json", "--run-id", "r1")
    assert (done.returncode, done.stderr) == (1, "error: file exists: file\n")
    assert events_of(folder)[-2:] == ["error", "run_finished"]
    assert log_of(folder)["status"] == "failed"


def test_a_log_that_cannot_be_written_r48(folder):
    """R48: one clear line before any work is done."""
    done = project(folder, "--log", "data")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "error: cannot write `data`: is a directory\n")
    assert not (folder / "data" / "processed.json").exists()


def test_an_unsafe_id_is_refused_r39(folder):
    """R39."""
    done = project(folder, "--run-id", "../x")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: run id `../x` cannot be used: write at most 100 letters, digits, `.`, `_` or `-`, the first a letter or digit\n"
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_has_its_log_r44_r47(folder, number, code):
    """R44 R47: events are shown while the run waits for its input; then it is stopped."""
    import os

    os.mkfifo(folder / "pipe")
    running = subprocess.Popen(
        [sys.executable, "project.py", "--input", "pipe", "--verbose"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with running:
        assert "run_started" in running.stdout.readline()
        writer = os.open(folder / "pipe", os.O_WRONLY)
        running.send_signal(number)
        out, _ = running.communicate(timeout=30)
        os.close(writer)
    assert running.returncode == code
    assert json.loads(out[out.index("{\n") :])["status"] == "cancelled"
    assert events_of(folder) == ["run_started", "run_stopping", "run_finished"]
