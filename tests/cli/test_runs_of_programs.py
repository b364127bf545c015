"""What `RunLogger(state=...)` records of a program is a run in the list as a batch is, and every command says the truth of it."""

import json
import os
import signal
import subprocess
import sys
from contextlib import closing

import pytest

from joblot import RunLogger, StateError
from joblot.journal.folder import StateFolder

PROGRAM = """
import os, signal, sys
from joblot import RunLogger

def logged(**options):
    return RunLogger("r1", state=".joblot", name="nightly", **options)
"""
NO_JOBS = "run `r1` has no jobs: a program recorded it"
SHOW = "hint: `joblot show r1 --events` shows what it logged\n"


def program(joblot, text, **options):
    joblot.write("program.py", PROGRAM + text)
    options = {"cwd": joblot.path, "env": joblot.env, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.Popen([sys.executable, "program.py"], text=True, **options)


def run_program(joblot, text):
    with program(joblot, text) as process:
        process.communicate(timeout=60)


def listed(joblot, *options):
    return {run["run_id"]: run["status"] for run in json.loads(joblot("ls", "--json", *options).out)}


ENDS = [
    ("with logged() as run:\n    run.log_event('rows', n=1)", "success", 3),
    ("with logged() as run:\n    raise OSError('no')", "failed", 3),
    ("run = logged()\nrun.finish('failed')", "failed", 2),
    ("run = logged()\nrun.log_event('rows', n=1)", "failed", 4),  # ended without `finish`
    ("with logged() as run:\n    sys.exit(3)", "failed", 3),
    ("with logged() as run:\n    sys.exit()", "success", 2),
    ("with logged() as run:\n    os.kill(os.getpid(), signal.SIGINT)", "cancelled", 3),
    ("with logged() as run:\n    os.kill(os.getpid(), signal.SIGTERM)", "cancelled", 3),
    ("with logged() as run:\n    os.kill(os.getpid(), signal.SIGKILL)", "interrupted", 1),
    ("with logged() as run:\n    run.log_event('rows', n=1)\n    os._exit(0)", "interrupted", 2),
    ("with logged() as run:\n    os.chdir('/')\n    run.log_event('rows', n=1)", "success", 3),
    ("with logged(log='log.json', stream='l.jsonl', keep=2) as run:\n    run.log_event('rows', n=1)", "success", 3),
]


@pytest.mark.parametrize(("text", "status", "events"), ENDS)
def test_a_run_of_a_program_is_listed_by_how_it_ended_r52_r124(joblot, text, status, events):
    """R52 R124: completed, failed, cancelled, and killed."""
    run_program(joblot, text)
    assert listed(joblot) == {"r1": status}
    assert listed(joblot, "--status", status) == {"r1": status}
    assert json.loads(joblot("show", "r1", "--events", "--json").out)["event_count"] == events
    shown = joblot("show", "r1").result.splitlines()
    assert shown[0] == "Run r1 of nightly"
    assert f"Program nightly: {status}" in shown
    last = "the program that recorded this run was ended before it could finish it"
    assert (last in shown) is (status == "interrupted")


def test_what_is_shown_of_a_run_of_a_program_r52(joblot):
    run_program(
        joblot,
        "with logged() as run:\n    run.log_warning('careful')\n    run.log_error('row 7')\n    run.log_event('rows')",
    )
    lines = joblot("show", "r1").result.splitlines()
    assert lines[2].startswith("  recorded by: process ")
    assert lines[3:6] == [
        "  files: DIR/.joblot/runs/r1",
        "Program nightly: success",
        "5 events, 1 error, 1 warning, in T",
    ]
    assert [line.split(maxsplit=2)[2] for line in lines[6:]] == ["warning: careful", "error: row 7", "info: rows"]


COMMANDS = [
    (("resume", "r1"), 4, f"error: {NO_JOBS}, and went on by itself\n"),
    (("retry", "r1"), 4, f"error: {NO_JOBS}, and went on by itself\n"),
    (("retry", "r1", "--job", "a"), 4, f"error: {NO_JOBS}\n{SHOW}"),
    (("explain", "r1", "a"), 4, f"error: {NO_JOBS}\n{SHOW}"),
    (("replay", "r1", "a"), 4, f"error: {NO_JOBS}\n{SHOW}"),
    (("logs", "r1", "a"), 4, f"error: {NO_JOBS}\n{SHOW}"),
    (("logs", "r1"), 0, "run `r1` has no jobs: `joblot show r1 --events` shows what its program logged\n"),
    (("cancel", "r1"), 0, ""),
]


def test_commands_that_are_about_jobs_say_that_a_program_s_run_has_none(joblot):
    run_program(joblot, "with logged() as run:\n    os.kill(os.getpid(), signal.SIGKILL)")
    for words, code, said in COMMANDS:
        done = joblot(*words)
        assert (words, done.code, done.err) == (words, code, said)
    assert joblot("cancel", "r1").out == "run `r1` is not running: interrupted\n"


WAITS = "with logged() as run:\n    print('runs', flush=True)\n    sys.stdin.read()\n"


@pytest.mark.alone
def test_a_program_that_runs_is_running_and_takes_no_requests(joblot):
    with program(joblot, WAITS, stdin=subprocess.PIPE) as process:
        process.stdout.readline()
        assert listed(joblot) == {"r1": "running"}
        assert "Program nightly: running" in joblot("show", "r1").out
        done = joblot("cancel", "r1")
        again = joblot("resume", "r1")
        process.communicate()
    who = f"process {process.pid} of "
    assert done.code == 4
    assert done.err.startswith(f"error: run `r1` is recorded by a program, which takes no requests: {who}")
    assert done.err.endswith("hint: end the program: Ctrl-C and SIGTERM make its run `cancelled`\n")
    assert (again.code, again.err) == (4, f"error: {NO_JOBS}, and went on by itself\n")
    assert listed(joblot) == {"r1": "success"}


CHILD = """
with logged() as run:
    if not os.fork():
        run.log_event('of the child')
        print('lives', flush=True)
        sys.stdin.read()
        os._exit(0)
    run.log_event('of the parent')
    signal.pause()
"""


@pytest.mark.alone
def test_a_child_that_outlives_its_program_neither_records_nor_keeps_the_run_alive(joblot):
    with program(joblot, CHILD, stdin=subprocess.PIPE) as process:
        process.stdout.readline()
        joblot.wait_for(".joblot/runs/r1/events.jsonl", "of the parent")
        process.kill()
        process.wait(30)
        try:
            assert listed(joblot) == {"r1": "interrupted"}
        finally:
            process.stdin.close()
            process.stdout.read()  # until the child has ended
    kinds = [json.loads(line)["events"][0].get("event") for line in records(joblot)]
    assert kinds == [None, "of the parent"]


def records(joblot):
    return (joblot.path / ".joblot/runs/r1/events.jsonl").read_text().splitlines()


@pytest.mark.parametrize("lost", ["journal.db", "runs/r1/events.jsonl", "runs/r1/lock"])
@pytest.mark.parametrize("text", [ENDS[0][0], ENDS[8][0]])
def test_a_run_of_a_program_can_be_recovered_from_either_copy(joblot, lost, text):
    run_program(joblot, text)
    before = joblot("show", "r1").out
    if lost == "runs/r1/events.jsonl":
        assert joblot("recover").code == 0  # so that the database has all that there is
    for file in (joblot.path / ".joblot").glob(f"{lost}*"):
        file.unlink()
    assert joblot("recover").code == 0
    assert joblot("show", "r1").out == before
    assert joblot("recover").out == "1 run: nothing to recover, both copies are sound\n"


def test_the_place_is_where_ls_looks_or_as_chosen(tmp_path, monkeypatch):
    """`state=True` is the folder of `joblot ls`; without `state` nothing is recorded, and no folder is made."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JOBLOT_STATE", raising=False)
    for nothing in (None, False, ""):
        RunLogger(state=nothing).finish()
    assert not os.listdir(tmp_path)
    RunLogger(state=True).finish()
    RunLogger(state=tmp_path / "own").finish()
    monkeypatch.setenv("JOBLOT_STATE", str(tmp_path / "set"))
    RunLogger(state=True).finish()
    assert sorted(os.listdir(tmp_path)) == [".joblot", "own", "set"]


def test_an_id_is_recorded_once(tmp_path):
    RunLogger("r1", state=tmp_path / "s").finish()
    with pytest.raises(
        StateError, match=r"^run `r1` exists already in `.*/s`\nhint: leave out `run_id`, or give each run its own$"
    ) as caught:
        RunLogger("r1", state=tmp_path / "s", log=tmp_path / "l", stream=tmp_path / "j")
    assert caught.value.hint == "leave out `run_id`, or give each run its own"
    running = RunLogger("r2", state=tmp_path / "s")
    with pytest.raises(StateError, match=r"^run `r2` exists already"):
        RunLogger("r2", state=tmp_path / "s")
    running.log_event("goes on")
    running.finish()
    with closing(StateFolder(tmp_path / "s")) as folder:
        assert [info.status for info in folder.journal.runs()] == ["success"] * 2


def test_a_folder_that_cannot_be_used_is_an_error_before_any_work(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match=r"^cannot make the state folder"):
        RunLogger(state=tmp_path / "file")
    with pytest.raises(ValueError, match=r"^`state` and `journal` exclude each other$"):
        RunLogger(state=tmp_path / "s", journal=object())


def test_a_state_folder_that_vanishes_is_told_once_and_the_log_is_written(tmp_path):
    run = RunLogger("r1", state=tmp_path / "s", log=tmp_path / "log.json")
    (tmp_path / "s").rename(tmp_path / "elsewhere")
    with pytest.raises(StateError, match="was removed, moved away or replaced while the run went on"):
        run.finish()
    run.finish()
    assert json.loads((tmp_path / "log.json").read_text())["status"] == "completed"


@pytest.mark.alone
def test_recording_begins_no_thread_and_costs_a_program_without_it_nothing(joblot):
    """Programs fork, and forking with threads is a risk and a warning."""
    text = "with logged() as run:\n    run.log_event('a')\n    print(len(os.listdir('/proc/self/task')))"
    with program(joblot, text) as process:
        assert process.communicate(timeout=60)[0] == "1\n"
    text = "with RunLogger() as run:\n    run.log_event('a')\nprint([m for m in ('sqlite3', 'joblot.journal') if m in sys.modules])"
    with program(joblot, text) as process:
        assert process.communicate(timeout=60)[0] == "[]\n"


@pytest.mark.alone
def test_a_batch_may_run_within_a_recorded_program_and_in_the_same_folder(joblot):
    text = (
        "from joblot import Batch\nbatch = Batch('inner')\nbatch.add('a', lambda: 1)\n"
        "with logged() as run:\n    report = batch.run(state='.joblot', run_id='r2', workers=1)\n    run.log_event(report.status)"
    )
    run_program(joblot, text)
    assert listed(joblot) == {"r2": "success", "r1": "success"}


def test_signals_are_the_program_s_own_again(tmp_path):
    with RunLogger(state=tmp_path / "s"):
        pass
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
