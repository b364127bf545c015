"""Runs that are killed, stopped, resumed, or begun twice: nothing is lost, nothing runs twice, nothing is left behind."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sqlite3
import sys
import textwrap
import time
from contextlib import closing
from typing import Any

import pytest

JOBLOT = [sys.executable, "-m", "joblot"]


# --- who drives a run -------------------------------------------------------------------------------


@pytest.mark.parametrize("second", [["resume", "R"], ["run", "batch.yaml", "--run-id", "R"]])
def test_a_second_runner_leaves_the_run_of_the_first_alone(hostile: Any, second: list[str]) -> None:
    """S1, G5: it is refused, and the running jobs go on: one attempt each, result and log whole."""
    hostile.yaml("""
        jobs: [{name: a, run: "echo one; echo a >> ran; sleep 1; echo two; echo r=1 > $JOBLOT_OUTPUT", once: true}]
    """)
    first = hostile.start(*JOBLOT, "run", "batch.yaml", "--run-id", "R")
    hostile.wait_for("ran")
    assert hostile.joblot(*second).code == 5
    ended = hostile.end(first)
    assert (ended.code, "BUG" in ended.err) == (0, False), ended.err
    assert (hostile.folder / "ran").read_text() == "a\n"
    assert hostile.joblot("logs", "R", "a").out == "one\ntwo\n"


def test_a_run_of_the_same_id_in_another_state_folder_is_not_swept(hostile: Any) -> None:
    """P10, G5: `--run-id nightly` of another project is a stranger."""
    waits = "echo a >> ran; test $(wc -l < ran) = 3 || until test -e go; do sleep 0.02; done"
    hostile.yaml(f"jobs: [{{name: a, run: '{waits}'}}]")
    other = hostile.start(*JOBLOT, "run", "batch.yaml", "--run-id", "nightly", "--state", "one")
    hostile.wait_for("ran")
    killed = hostile.start(*JOBLOT, "run", "batch.yaml", "--run-id", "nightly", "--state", "two")
    while (hostile.folder / "ran").read_text() != "a\na\n":
        time.sleep(0.02)
    killed.kill()
    hostile.end(killed)
    assert hostile.joblot("resume", "nightly", "--state", "two").code == 0
    (hostile.folder / "go").touch()
    ended = hostile.end(other)
    assert ended.code == 0, ended.err


# --- resuming ---------------------------------------------------------------------------------------


def test_a_job_that_may_run_once_is_not_started_by_a_second_resume_either(hostile: Any) -> None:
    """G2: `once: true` with an unknown end stays `unknown` until somebody asks for it with `retry`."""
    hostile.yaml("""
        jobs:
          - {name: a, run: "echo a >> ran; sleep 2", once: true}
          - {name: b, run: "echo b"}
    """)
    killed = hostile.start(*JOBLOT, "run", "batch.yaml", "--run-id", "R")
    hostile.wait_for("ran")
    killed.kill()
    hostile.end(killed)
    assert [hostile.joblot("resume", "R").code for _ in range(3)] == [1, 1, 1]
    assert (hostile.folder / "ran").read_text() == "a\n"


def test_a_request_to_a_dead_runner_does_not_cancel_the_resumed_run(hostile: Any) -> None:
    """G2: `joblot cancel` was for the process that is gone."""
    hostile.yaml("""
        jobs:
          - {name: a, run: "echo a >> ran; sleep 0.5"}
          - {name: b, run: "echo b >> ran;", needs: [a]}
    """)
    killed = hostile.start(*JOBLOT, "run", "batch.yaml", "--run-id", "R")
    hostile.wait_for("ran")
    killed.send_signal(signal.SIGSTOP)
    asking = hostile.start(*JOBLOT, "cancel", "R")
    with closing(sqlite3.connect(hostile.folder / ".joblot/journal.db")) as journal:
        while not journal.execute("SELECT count(*) FROM request").fetchone()[0]:
            time.sleep(0.01)
    killed.kill()
    hostile.end(killed)
    assert hostile.end(asking).code == 0
    ended = hostile.joblot("resume", "R")
    assert (ended.code, (hostile.folder / "ran").read_text()) == (0, "a\na\nb\n")


KILLED_AT_THE_END = """
    import os
    from joblot import Batch
    class Kill:
        def started(self, *_): ...
        def idle(self): ...
        def warned(self, message): ...
        def ended(self, status): ...
        def recorded(self, record):
            if any(type(event).__name__ == "RunEnded" for event in record.events):
                os.kill(os.getpid(), 9)
    batch = Batch("t")
    batch.command("a", "echo hi")
    batch.run(run_id="R", observers=[Kill()])
"""


def test_a_run_killed_right_after_its_end_is_listed_as_ended(hostile: Any) -> None:
    """G1, G5: its end is recorded, so it is no `interrupted` run; at the latest `joblot resume` says so everywhere."""
    assert hostile.script(KILLED_AT_THE_END).code == -signal.SIGKILL
    resumed = hostile.joblot("resume", "R")
    assert (resumed.code, "1 succeeded" in resumed.out) == (0, True)
    assert " success " in hostile.joblot("ls").out
    assert (hostile.folder / ".joblot/runs/R/report.json").exists()


def test_a_run_that_was_killed_before_its_first_record_is_resumed_with_sane_times(hostile: Any) -> None:
    """G2: the kill struck between the entry of the run and its `run_started`."""
    hostile.yaml("jobs: [{name: a, run: 'echo hi'}]")
    hostile.script("""
        import time
        from joblot.api import load
        from joblot.journal.folder import StateFolder
        from joblot.core.plan import expand
        plan = expand(load("batch.yaml"))
        StateFolder().journal.create("R", batch="b", source=plan.config.source, jobs=1, plan=plan.encoded, at=time.time())
    """)
    ended = hostile.joblot("resume", "R")
    assert ended.code == 0
    assert "d" not in ended.out.rpartition(" in ")[2], ended.out
    assert "started: -" not in hostile.joblot("show", "R").out


# --- nothing is left behind -------------------------------------------------------------------------

FORKED = """
    import multiprocessing, os, sys, time
    from joblot import Batch
    def child():
        time.sleep(60)
    def fork():
        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
        with open("pids.part", "w") as file:
            file.write(f"{os.getppid()} {process.pid}")
        os.rename("pids.part", "pids")
        process.join()
    batch = Batch("t")
    batch.add("a", fork)
    if sys.argv[1:]:
        batch.run(resume="R", timeout=0.5)
    else:
        batch.run(run_id="R")
"""


def test_a_resume_sweeps_what_an_action_forked_without_a_new_program(hostile: Any) -> None:
    """P2, G3: warden and runner killed; a forked child has the environment of the program it was forked from, not the cookie."""
    (hostile.folder / "program.py").write_text(textwrap.dedent(FORKED))
    runner = hostile.start(sys.executable, "program.py")
    warden, child = map(int, hostile.wait_for("pids").split())
    os.kill(runner.pid, signal.SIGKILL)
    os.kill(warden, signal.SIGKILL)
    hostile.end(runner)
    hostile.script(FORKED, "resume")
    assert child not in hostile.left()


def test_what_an_action_forked_is_gone_when_the_warden_was_killed(hostile: Any) -> None:
    """P2, G3: the runner sweeps at once, before the job runs again."""
    (hostile.folder / "program.py").write_text(textwrap.dedent(FORKED))
    runner = hostile.start(sys.executable, "program.py")
    warden, child = map(int, hostile.wait_for("pids").split())
    (hostile.folder / "pids").unlink()
    os.kill(warden, signal.SIGKILL)
    hostile.wait_for("pids")  # the second attempt
    left = hostile.left()
    runner.kill()
    hostile.end(runner)
    assert child not in left


def test_a_run_inside_a_job_is_swept_with_it(hostile: Any) -> None:
    """P2, G3: warden and runner of the outer run killed; resume leaves nothing of the inner one."""
    inner = f"{shlex.quote(sys.executable)} -m joblot run inner.yaml --state inner -q"
    hostile.yaml("jobs: [{name: x, run: 'echo x > began; sleep 60; echo'}]", "inner.yaml")
    hostile.yaml(json.dumps({"jobs": [{"name": "o", "run": f"if test -e began; then exit 0; fi; {inner}"}]}))
    runner = hostile.start(*JOBLOT, "run", "batch.yaml", "--run-id", "R", "--state", "outer")
    hostile.wait_for("began")
    (warden,) = hostile.children(runner.pid)
    os.kill(runner.pid, signal.SIGKILL)
    os.kill(warden, signal.SIGKILL)
    hostile.end(runner)
    assert hostile.joblot("resume", "R", "--state", "outer").code == 0
    assert hostile.left() == []


def test_a_warden_killed_between_a_record_and_its_start_is_replaced(hostile: Any) -> None:
    """P2, P3: the runner finds a broken socket where it wants to hand over a worker's descriptors."""
    report = hostile.batch("""
        class Kill:
            done = False
            def started(self, *_): ...
            def idle(self): ...
            def warned(self, message): ...
            def ended(self, status): ...
            def recorded(self, record):
                if not self.done and any(type(event).__name__ == "AttemptsStarted" for event in record.events):
                    self.done = True
                    for pid in open(f"/proc/self/task/{os.getpid()}/children").read().split():
                        os.kill(int(pid), 9)
                    time.sleep(0.1)
        options["observers"] = [Kill()]
        batch.add("a", lambda: 1)
    """)
    assert report["jobs"]["a"]["state"] == "success"


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1), (0, 1, 2)])
def test_a_program_without_standard_streams_can_run_a_batch(hostile: Any, closed: tuple[int, ...]) -> None:
    """I17, G3: the run ends, and so does its warden."""
    (hostile.folder / "program.py").write_text(
        "from joblot import Batch\n"
        "batch = Batch('t')\n"
        "batch.add('p', lambda: print('from python'))\n"
        "batch.command('c', 'echo from command')\n"
        "batch.run(run_id='R')\n"
    )
    closing = " ".join(f"{fd}>&-" if fd else "<&-" for fd in closed)
    ended = hostile.end(hostile.start("/bin/sh", "-c", f"{shlex.quote(sys.executable)} program.py {closing}"), limit=10)
    assert ended.code == 0
    logs = hostile.folder / ".joblot/runs/R/logs"
    assert (logs / "p/1.log").read_text() + (logs / "c/1.log").read_text() == "from python\nfrom command\n"
    assert hostile.left() == []


# --- signals ----------------------------------------------------------------------------------------


def test_the_third_interrupt_ends_an_inline_run_whose_action_hangs(hostile: Any) -> None:
    """P12: exit now, 130."""
    (hostile.folder / "program.py").write_text(
        "import time\nfrom joblot import Batch\nbatch = Batch('t')\n"
        "def hang():\n    open('began', 'w').write('x')\n    time.sleep(60)\n"
        "batch.add('a', hang)\nraise SystemExit(batch.run(on='inline').exit_code)\n"
    )
    process = hostile.start(sys.executable, "program.py")
    hostile.wait_for("began")
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
    assert hostile.end(process, limit=3).code == 130


@pytest.mark.parametrize(
    "text",
    [
        "signal.signal(signal.SIGUSR1, lambda *_: None); batch.command('a', f'kill -USR1 {os.getpid()}; sleep 1.5;')",
        "options['on'] = 'inline'; batch.add('t', lambda: time.sleep(5), timeout=0.1); batch.command('a', 'sleep 1.5;', needs=['t'], when='always')",
    ],
    ids=["a program's own signal handler", "a timeout inline"],
)
def test_a_signal_that_is_not_a_stop_does_not_keep_the_processor_busy(hostile: Any, text: str) -> None:
    """A waiting run costs next to nothing; the wake-up pipe is emptied whatever signal filled it."""
    hostile.batch(f"""
        import atexit
        before = time.process_time()
        atexit.register(lambda: open("cpu", "w").write(str(time.process_time() - before)))
        {text}
    """)
    assert float((hostile.folder / "cpu").read_text()) < 0.5


# --- bad options ------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", ["-1", "'2'", "1.5", "0"])
def test_a_number_of_workers_that_cannot_be_is_refused(hostile: Any, workers: str) -> None:
    """G7: an error that names it; not a run that waits for ever, nor a traceback from inside."""
    ended = hostile.script(
        f"""
        from joblot import Batch
        from joblot.errors import JoblotError
        batch = Batch("t")
        batch.add("a", lambda: 1)
        batch.add("b", lambda: 1)
        try:
            batch.run(workers={workers}, state=False)
        except JoblotError as error:
            print("workers" in str(error))
        """,
        limit=5,
    )
    assert (ended.code, ended.out) == (0, "True\n"), ended.err


def test_a_huge_number_of_jobs_at_once_is_no_internal_error(hostile: Any) -> None:
    """G7: `-j` with twenty digits."""
    hostile.yaml("jobs: [{name: a, run: 'echo a'}]")
    ended = hostile.joblot("run", "batch.yaml", "-j", "99999999999999999999")
    assert ended.code in (0, 2)
    assert "internal error" not in ended.err


def test_a_parameter_that_is_no_text_in_utf8_is_refused(hostile: Any) -> None:
    """I6, G7: such as a file name from `os.listdir`; a ConfigError that names the job."""
    ended = hostile.script("""
        from joblot import Batch
        from joblot.errors import ConfigError
        batch = Batch("t")
        try:
            batch.add("a", lambda **_: 1, params={"x": chr(0xDCFF)})
            batch.run()
        except ConfigError as error:
            print("`a`" in str(error))
    """)
    assert (ended.code, ended.out) == (0, "True\n"), ended.err


def test_a_job_that_is_refused_is_not_added(hostile: Any) -> None:
    """`Batch.add`: nothing is added; a callable that cannot be hashed is no reason to refuse it, or is refused whole."""
    ended = hostile.script("""
        from joblot import Batch
        class Job(dict):
            def __call__(self): return 1
        batch = Batch("t")
        try:
            batch.add("a", Job())
        except (TypeError, ValueError):
            print(len(batch) == 0)
        else:
            print(batch.run().status == "success")
    """)
    assert (ended.code, ended.out) == (0, "True\n"), ended.err


# --- places -----------------------------------------------------------------------------------------


def test_an_inline_run_needs_no_working_folder(hostile: Any) -> None:
    """I17: the working folder was deleted, all paths are absolute; `local` runs this."""
    hostile.yaml("jobs: [{name: a, run: 'echo a;'}]")
    words = shlex.join(
        [*JOBLOT, "run", f"{hostile.folder}/batch.yaml", "--on", "inline", "--state", f"{hostile.folder}/state"]
    )
    ended = hostile.end(hostile.start("/bin/sh", "-c", f"mkdir gone; cd gone; rmdir ../gone; exec {words}"))
    assert ended.code == 0, ended.err


def test_a_locked_database_does_not_hold_up_timeouts(hostile: Any) -> None:
    """G6, S2: the run's own file takes the records; another program's lock on the database is not the engine's affair."""
    hostile.yaml("""
        jobs:
          - {name: a, run: "echo a > began; sleep 0.3"}
          - {name: t, run: "sleep 30", timeout: 500ms, grace: 0}
    """)
    process = hostile.start(*JOBLOT, "run", "batch.yaml", "--run-id", "R", "-j", "2", "--json")
    hostile.wait_for("began")
    other = sqlite3.connect(hostile.folder / ".joblot/journal.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    time.sleep(2)
    other.execute("ROLLBACK")
    other.close()
    hostile.end(process)
    report = (hostile.folder / ".joblot/runs/R/report.json").read_text()
    (took,) = [result["duration_ms"] for result in json.loads(report)["results"] if result["job"] == "t"]
    assert took < 1500
