"""Stopping and going on: Ctrl-C, `cancel`, `resume`, `retry`."""

import json
import os
import re
import signal
from contextlib import suppress
from pathlib import Path

import pytest

pytestmark = pytest.mark.alone

WAITING = """\
name: waiting
jobs:
  - {name: a, run: "touch began; while [ ! -e go ]; do sleep 0.05; done; touch ended", grace: 100ms}
  - {name: b, run: "true", needs: [a]}
"""
FLAKY = """\
name: flaky
jobs:
  - {name: good, run: "echo x >> good.txt"}
  - {name: bad, run: "test -e mended"}
  - {name: after, run: "true", needs: [bad]}
  - {name: alert, run: "true", needs: [good], when: failure}
"""


@pytest.fixture
def waiting(joblot):
    """A run whose first job waits for the file `go`."""
    joblot.write("joblot.yaml", WAITING)
    with joblot.popen("run", "--run-id", "r1") as process:
        joblot.wait_for("began")
        yield process
        process.kill()


def ended(joblot, process):
    out, err = (stream.decode().replace(str(joblot.path), "DIR") for stream in process.communicate(timeout=60))
    return process.returncode, out, err


def statuses(joblot):
    return [one["status"] for one in json.loads(joblot("show", "last", "--json").out)["results"]]


def processes_in(folder):
    """The processes whose working folder this is."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").readlink() == folder:
                found.append((process / "cmdline").read_bytes())
    return found


# --- signals ------------------------------------------------------------------------------------------


def test_the_first_interrupt_lets_running_jobs_end(joblot, waiting):
    """D1: SIGINT is 130."""
    joblot.interrupt(waiting)
    joblot.write("go", "")
    code, _, err = ended(joblot, waiting)
    assert code == 130
    assert "WARNING | SIGINT: starting nothing more; 1 running may end within 10 s (once more: kill them)\n" in err
    assert (joblot.path / "ended").exists()
    assert statuses(joblot) == ["success", "cancelled"]


def test_the_second_interrupt_kills_them(joblot, waiting):
    """D1: SIGINT is 130, also the second time."""
    joblot.interrupt(waiting)
    while b"starting nothing more" not in waiting.stderr.readline():
        pass
    joblot.interrupt(waiting)
    code, out, err = ended(joblot, waiting)
    assert (code, out.startswith("run r1: 2 jobs: 2 cancelled, in ")) == (130, True)
    assert ": cancelled\n" in err
    assert "cancelled: cancelled" not in err
    assert "INFO | Batch cancelled: 0 ok, 0 failed, 0 skipped, 2 stopped\n" in err
    assert err.endswith("to go on with the rest: joblot resume r1\n")
    assert not (joblot.path / "ended").exists()
    assert statuses(joblot) == ["cancelled", "cancelled"]


def test_a_termination_has_an_exit_code_of_its_own(joblot, waiting):
    """D1: SIGTERM is 143."""
    joblot.interrupt(waiting, signal.SIGTERM)
    joblot.write("go", "")
    assert ended(joblot, waiting)[0] == 143


def test_ctrl_c_before_anything_runs_is_130(joblot):
    """D1: while the batch file is read."""
    os.mkfifo(joblot.path / "b.yaml")
    # Opening the pipe's other end succeeds once joblot reads it.
    with joblot.popen("validate", "b.yaml") as process, (joblot.path / "b.yaml").open("w"):
        joblot.interrupt(process)
        code, out, err = ended(joblot, process)
    assert (code, out, err) == (130, "", "")


# --- resume -------------------------------------------------------------------------------------------


def test_a_killed_run_is_interrupted_and_can_be_resumed(joblot, waiting):
    waiting.kill()
    waiting.wait(60)
    assert json.loads(joblot("ls", "--json").out)[0]["status"] == "interrupted"
    shown = joblot("show", "last").out
    assert shown.endswith("nobody drives this run any more: `joblot resume r1` goes on with it\n")
    why = joblot("explain", "last", "a").out.splitlines()
    assert why[:3] == [
        "a: running",
        "  an attempt was running when the runner ended; how it ended is not known",
        "  nobody drives the run: `joblot resume r1` goes on with it",
    ]
    assert joblot("explain", "last", "b").out.splitlines()[1] == "  waits for 1 of 1 needs: a"
    joblot.write("go", "")
    done = joblot("resume")
    assert (done.code, done.result) == (0, "run r1: 2 jobs: 2 succeeded, in T of work, T since it began\n")
    listed = json.loads(joblot("ls", "--json").out)[0]
    report = json.loads(joblot("show", "last", "--json").out)
    assert listed["status"] == "success"
    for one in (listed, report):
        assert 0 < one["duration_ms"] < one["since_began_ms"]
    assert re.search(r"  success .*  [0-9.]+ m?s of [0-9.]+ m?s  2: 2 success", joblot("ls").out)


def test_resume_runs_what_is_left_and_nothing_twice(joblot):
    """R130"""
    joblot.write("joblot.yaml", FLAKY)
    assert joblot("run", "--run-id", "r1").code == 1
    joblot.write("mended", "")
    assert joblot("resume", "r1").code == 0
    assert (joblot.path / "good.txt").read_text() == "x\n"
    again = joblot("resume", "r1")
    assert (again.code, again.result) == (0, "run r1: 4 jobs: 3 succeeded, 1 skipped, in T of work, T since it began\n")
    assert (joblot.path / "good.txt").read_text() == "x\n"


def test_resume_of_a_run_that_succeeded_says_that_there_is_nothing_to_do(joblot):
    """D16, R130"""
    joblot.write("joblot.yaml", "jobs:\n  - {name: a, run: 'echo x >> x.txt'}\n")
    joblot("run")
    done = joblot("resume")
    assert done.code == 0
    assert "INFO | nothing to do: no job of run " in done.err
    assert (joblot.path / "x.txt").read_text() == "x\n"


def test_resume_keeps_to_the_recorded_plan_when_the_file_has_changed(joblot):
    joblot.write("joblot.yaml", FLAKY)
    joblot("run", "--run-id", "r1")
    joblot.write("joblot.yaml", "jobs: []\n")
    joblot.write("mended", "")
    done = joblot("resume", "r1")
    assert done.plain.startswith(
        "WARNING | `DIR/joblot.yaml` has changed since run `r1` began: its recorded plan is used\n"
    )
    assert (done.code, done.result) == (0, "run r1: 4 jobs: 3 succeeded, 1 skipped, in T of work, T since it began\n")


def test_a_resumed_run_has_a_complete_run_log(joblot):
    """R124"""
    joblot.write("joblot.yaml", FLAKY)
    joblot("run", "--run-id", "r1")
    joblot.write("mended", "")
    joblot("resume", "r1", "--log", "log.json")
    kinds = [event["event_type"] for event in json.loads((joblot.path / "log.json").read_text())["events"]]
    assert kinds[0] == "run_started"
    assert {"run_reopened", "run_resumed"} <= set(kinds)


def test_a_run_that_another_process_drives_cannot_be_resumed(joblot, waiting):
    """D1: 5 when the run is held."""
    done = joblot("resume", "r1")
    assert (done.code, done.out) == (5, "")
    assert done.err.startswith(f"error: run `r1` is held by process {waiting.pid} of ")
    joblot.write("go", "")
    assert ended(joblot, waiting)[0] == 0


def test_resume_without_any_run(joblot):
    assert joblot("resume").code == 4
    assert joblot("retry", "last").code == 4


# --- retry --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [[], ["--failed"]])
def test_retry_runs_again_what_did_not_succeed(joblot, arguments):
    joblot.write("joblot.yaml", FLAKY)
    joblot("run", "--run-id", "r1")
    assert statuses(joblot) == ["success", "failed", "skipped", "skipped"]
    joblot.write("mended", "")
    done = joblot("retry", "r1", *arguments)
    assert (done.code, done.result) == (0, "run r1: 4 jobs: 3 succeeded, 1 skipped, in T of work, T since it began\n")
    assert (joblot.path / "good.txt").read_text() == "x\n"


def test_retry_of_a_job_runs_it_and_what_needs_it(joblot):
    joblot.write("joblot.yaml", "jobs:\n" + "".join(
        f"  - {{name: {name}, run: 'echo x >> {name}.txt', needs: [{need}]}}\n" for name, need in ["a ", "ba", "cb", "d "]
    ))  # fmt: skip
    joblot("run", "--run-id", "r1")
    assert joblot("retry", "r1", "--job", "b").code == 0
    assert [(joblot.path / f"{name}.txt").read_text().count("x") for name in "abcd"] == [1, 2, 2, 1]


def test_retry_behind_a_need_that_failed_skips_again(joblot):
    joblot.write("joblot.yaml", FLAKY)
    joblot("run", "--run-id", "r1")
    assert joblot("retry", "r1", "--job", "after").code == 1
    assert statuses(joblot) == ["success", "failed", "skipped", "skipped"]


def test_retry_skips_unknown_actions_again(joblot):
    """R15"""
    joblot.write("joblot.yaml", "jobs:\n  - {name: odd, action: nope, input: x}\n  - {name: bad, run: 'false'}\n")
    joblot("run", "--run-id", "r1", "--skip-unknown-actions")
    assert joblot("retry", "r1").code == 1
    assert statuses(joblot) == ["skipped", "failed"]


@pytest.mark.parametrize("command", [("retry", "r1"), ("retry", "r1", "--job", "own"), ("resume", "r1")])
def test_an_action_that_has_gone_since_the_run_began_is_not_skipped(joblot, command):
    """D7"""
    joblot.write("acts.py", "from joblot import action\n@action('own')\ndef own():\n    raise ValueError('no')\n")
    joblot.write("joblot.yaml", "imports: [./acts.py]\njobs: [{name: own, action: own}]\n")
    assert joblot("run", "--run-id", "r1").code == 1
    joblot.write("acts.py", "")
    done = joblot(*command)
    assert (done.code, done.out) == (2, "")
    if command[0] == "retry":  # it reads the batch again, so it knows the place
        assert done.err.startswith("DIR/joblot.yaml:2:28: error: unknown action `own`\n")
        done = joblot(*command, "--as-it-was")
    assert (done.code, done.err.splitlines()[-1]) == (2, "error: unknown action `own`")
    assert statuses(joblot) == ["failed"]


def test_retry_refuses_what_contradicts_itself(joblot):
    assert joblot("retry", "r1", "--failed", "--job", "a") == (
        2,
        "",
        "error: `--failed` and `--job` exclude each other\n",
    )
    joblot.write("joblot.yaml", FLAKY)
    joblot("run", "--run-id", "r1")
    assert joblot("retry", "r1", "--job", "bda").err == "error: run `r1` has no job `bda`\nhint: did you mean `bad`?\n"


@pytest.mark.parametrize(
    "written", ['"when":"success"', '"when":"success","once":false', '"priority":0', '"description":"","tags":[]', '"deferred":false']
)  # fmt: skip
def test_a_run_that_was_killed_before_its_first_record_has_the_fingerprint_of_what_is_stored(joblot, written):
    """Whatever of it this program would leave out when it writes the plan."""
    from joblot.config.load import load
    from joblot.core.plan import encoded
    from joblot.journal.folder import StateFolder

    joblot.write("joblot.yaml", "jobs: [{name: a, run: 'true'}]\n")
    config, _ = load(joblot.path / "joblot.yaml", vars={}, lookup=lambda _: None, names=list)
    stored = encoded(config).replace(b'"run":"true"', b'"run":"true",' + written.encode())
    folder = StateFolder(joblot.path / ".joblot")
    folder.journal.create("r1", batch="joblot", source=config.source, jobs=1, plan=stored, at=1.0)
    folder.close()
    assert joblot("resume", "r1").code == 0
    assert (joblot("show", "r1").code, statuses(joblot)) == (0, ["success"])


# --- cancel -------------------------------------------------------------------------------------------


def test_cancel_with_kill_ends_a_run_of_another_process(joblot, waiting):
    """D1: a run that was cancelled ends with 130."""
    assert joblot("cancel", "r1", "--kill") == (0, "run `r1` has ended: cancelled\n", "")
    code, _, err = ended(joblot, waiting)
    assert code == 130
    assert "WARNING | stopping: `joblot cancel --kill` by process " in err
    assert statuses(joblot) == ["cancelled", "cancelled"]


def test_cancel_lets_running_jobs_end(joblot, waiting):
    with joblot.popen("cancel", "r1") as process:
        while b"starting nothing more" not in waiting.stderr.readline():
            pass
        joblot.write("go", "")
        out, _ = process.communicate(timeout=60)
    assert out == b"run `r1` has ended: cancelled\n"
    assert waiting.wait(60) == 130
    assert statuses(joblot) == ["success", "cancelled"]


def test_cancel_of_a_run_that_is_not_running_says_so(joblot):
    joblot.write("joblot.yaml", FLAKY)
    joblot("run", "--run-id", "r1")
    assert joblot("cancel", "r1") == (0, "run `r1` is not running: failed\n", "")
    assert json.loads(joblot("cancel", "r1", "--json").out)["status"] == "failed"


def test_nothing_of_a_run_is_left_when_its_shell_goes_away(joblot, waiting):
    """G3 through the command line: HUP is an orderly stop."""
    joblot.interrupt(waiting, signal.SIGHUP)
    joblot.wait_for(".joblot/runs/r1/events.jsonl", "run_stopping")  # two at once are one to the kernel
    joblot.interrupt(waiting, signal.SIGHUP)
    assert ended(joblot, waiting)[0] in (130, 143)
    assert processes_in(joblot.path) == []
