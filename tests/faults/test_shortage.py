"""The system refuses descriptors or processes: a run gets slower, says so once, and goes on."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

from joblot.errors import JoblotError
from joblot.executors import shortage
from joblot.files import system_error

pytestmark = pytest.mark.usefixtures("unmeasured")

FEW_FILES = "the system has no room for more processes (`ulimit -n` is low): fewer jobs run at once"
NO_PROCESS = "the system has no room for more processes (resource temporarily unavailable): fewer jobs run at once"


def program(folder, text):
    """Run a Python program; its last line of output as JSON."""
    (folder / "program.py").write_text(HEAD + textwrap.dedent(text))
    done = subprocess.run([sys.executable, "program.py"], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "BUG" not in done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout.splitlines()[-1])


HEAD = """
import ctypes, json, os, resource, sys, time
from joblot import Batch

class Told:
    warnings = []
    def started(self, run_id, view): pass
    def recorded(self, record): pass
    def idle(self): pass
    def warned(self, message): self.warnings.append(message)
    def ended(self, status): pass

def finish(batch, **options):
    report = batch.run(observers=[Told()], **options)
    print(json.dumps({"counts": report.counts, "warnings": Told.warnings}))
"""


@pytest.mark.parametrize("kind", ["command", "action"])
def test_with_few_descriptors_fewer_jobs_run_at_once(tmp_path, kind):
    """S16: RLIMIT_NOFILE 64, sixty jobs at once."""
    add = (
        "batch.command(f'j{n}', 'sleep 0.05; echo x')"
        if kind == "command"
        else "batch.add(f'j{n}', lambda: time.sleep(0.05))"
    )
    found = program(
        tmp_path,
        f"""
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        batch = Batch("few")
        for n in range(80):
            {add}
        finish(batch, workers=60)
        """,
    )
    assert found["counts"]["success"] == 80
    assert found["warnings"] == [FEW_FILES]


AS_NOBODY = """
warm = Batch("warm")
warm.add("a", lambda: 1)
warm.command("b", "true")
warm.run(state="warm")
resource.setrlimit(resource.RLIMIT_NPROC, ({count}, {count}))
os.setgid(54321)
os.setuid(54321)
"""
"""A user without other processes. Everything is imported before, as that user may not be able to read it."""
only_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become a user without other processes")


@pytest.fixture
def open_folder():
    folder = Path(tempfile.mkdtemp(prefix="joblot-test-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@only_root
@pytest.mark.parametrize("kind", ["command", "action"])
def test_with_few_processes_fewer_jobs_run_at_once(open_folder, kind):
    """S16: fork and spawn fail with EAGAIN."""
    add = (
        "batch.command(f'j{n}', ['sleep', '0.05'])"
        if kind == "command"
        else "batch.add(f'j{n}', lambda: time.sleep(0.05))"
    )
    text = f"""
batch = Batch("few")
for n in range(40):
    {add}
finish(batch, workers=20, state="state")
"""
    found = program(open_folder, AS_NOBODY.format(count=8) + text)
    assert found["counts"]["success"] == 40
    assert found["warnings"] == [NO_PROCESS]


@only_root
def test_without_room_for_any_process_a_run_ends_with_one_error(open_folder):
    """S16, G7"""
    text = """
from joblot import JoblotError
from joblot.executors import shortage
shortage.GIVE_UP_S = 0.5
batch = Batch("none")
batch.add("a", lambda: 1)
try:
    finish(batch, workers=2, state="state")
except JoblotError as error:
    print(json.dumps({"message": str(error), "hint": error.hint}))
"""
    assert program(open_folder, AS_NOBODY.format(count=3) + text) == {
        "message": "cannot start any process: resource temporarily unavailable",
        "hint": "see `ulimit -n`, `ulimit -u` and the free memory",
    }


def test_each_kind_of_shortage_is_told_once_and_waited_for(monkeypatch):
    now = 100.0
    monkeypatch.setattr(shortage.time, "monotonic", lambda: now)
    told = []
    short = shortage.Shortage(told.append)
    assert short.may_try()
    for code in (errno.EMFILE, errno.EAGAIN, errno.ENFILE, errno.EAGAIN):
        short.add(OSError(code, "x"), nothing_runs=False)
    assert told == [FEW_FILES, NO_PROCESS]
    assert not short.may_try()
    now += shortage.PAUSE_S
    assert short.may_try()


def test_a_run_that_can_start_nothing_for_long_gives_up(monkeypatch):
    now = 100.0
    monkeypatch.setattr(shortage.time, "monotonic", lambda: now)
    short = shortage.Shortage(None)
    short.add(system_error(errno.ENOMEM), nothing_runs=True)
    now += shortage.GIVE_UP_S
    short.add(system_error(errno.ENOMEM), nothing_runs=True)
    now += 1
    with pytest.raises(JoblotError) as caught:
        short.add(system_error(errno.ENOMEM), nothing_runs=True)
    assert str(caught.value) == "cannot start any process: cannot allocate memory"
    short.add(system_error(errno.ENOMEM), nothing_runs=False)
    short.add(system_error(errno.ENOMEM), nothing_runs=True)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (1, "another thread runs in this process before the first job does"),
        (3, "3 other threads run in this process before the first job does"),
    ],
)
def test_threads_that_run_before_the_fork_are_warned_of_once(tmp_path, count, text):
    """P15"""
    found = program(
        tmp_path,
        f"""
        import threading
        stop = threading.Event()
        for _ in range({count}):
            threading.Thread(target=stop.wait).start()
        batch = Batch("threads")
        batch.add("a", lambda: 1)
        batch.command("b", "true")
        finish(batch)
        stop.set()
        """,
    )
    assert found["counts"]["success"] == 2
    assert found["warnings"] == [
        f"{text}: what is forked from it may hang (begin threads inside actions, not while modules are imported)"
    ]


def test_one_thread_is_no_reason_for_a_warning(tmp_path):
    """P15"""
    found = program(tmp_path, "batch = Batch('one')\nbatch.add('a', lambda: 1)\nfinish(batch)")
    assert found["warnings"] == []


# --- shortages that last ------------------------------------------------------------------------------

QUICKLY = """
from joblot import JoblotError
from joblot.executors import shortage
shortage.GIVE_UP_S = 0.5
batch = Batch("none")
"""
TELLING = """
try:
    finish(batch, workers=3, state="state")
except JoblotError as error:
    print(json.dumps({"message": str(error), "exit_code": error.exit_code}))
"""
SOME = {
    "command": "batch.command('a', 'echo hi; true')",
    "action": "batch.add('b', lambda: 1)",
    "both": "batch.command('a', 'true')\nbatch.add('b', lambda: 1)",
    "both the other way": "batch.add('b', lambda: 1)\nbatch.command('a', 'true', needs=['b'])",
    "retried": "batch.command('a', 'true', max_attempts=3)\nbatch.command('c', 'true', timeout=60)",
}


@pytest.mark.parametrize("kind", SOME)
def test_a_lasting_lack_of_descriptors_ends_a_run_with_what_is_short(tmp_path, kind):
    """Commands waited for ever: they were taken back before each try."""
    few = "resource.setrlimit(resource.RLIMIT_NOFILE, (21, 21))\n"
    found = program(tmp_path, few + QUICKLY + SOME[kind] + TELLING)
    assert found == {"message": "cannot start any process: too many open files", "exit_code": 4}


@only_root
@pytest.mark.parametrize("kind", SOME)
def test_a_lasting_lack_of_processes_ends_a_run_with_what_is_short(open_folder, kind):
    found = program(open_folder, AS_NOBODY.format(count=3) + QUICKLY + SOME[kind] + TELLING)
    assert found == {"message": "cannot start any process: resource temporarily unavailable", "exit_code": 4}


@only_root
def test_a_shortage_that_begins_in_the_middle_ends_a_run_too(open_folder):
    short = "resource.prlimit(os.getppid(), resource.RLIMIT_NPROC, (1, 1)) and 1"  # the worker's parent, which starts all processes
    jobs = f"batch.add('a', lambda: {short})\nbatch.command('c', 'true', needs=['a'])\n"
    found = program(open_folder, AS_NOBODY.format(count=9) + QUICKLY + jobs + TELLING)
    assert found == {"message": "cannot start any process: resource temporarily unavailable", "exit_code": 4}


@only_root
@pytest.mark.parametrize("order", [("add", "command"), ("command", "add"), ("add", "command", "add", "command")])
def test_with_room_for_one_process_a_worker_without_work_makes_it(open_folder, order):
    """A worker that waited for work kept a command from ever starting."""
    jobs = ""
    for number, way in enumerate(order):
        what = "lambda: 1" if way == "add" else "'true'"
        jobs += f"batch.{way}('j{number}', {what}, needs={[f'j{number - 1}'] if number else []})\n"
    found = program(open_folder, AS_NOBODY.format(count=4) + QUICKLY + jobs + TELLING)
    assert found["counts"]["success"] == len(order)


def test_an_earlier_stall_does_not_count_once_something_has_run(monkeypatch):
    now = 100.0
    monkeypatch.setattr(shortage.time, "monotonic", lambda: now)
    short = shortage.Shortage(None)
    for _ in range(3):
        short.add(system_error(errno.EAGAIN), nothing_runs=True)
        now += shortage.GIVE_UP_S * 2
        short.eased()
    short.add(system_error(errno.EAGAIN), nothing_runs=True)
    now += shortage.GIVE_UP_S * 2
    short.add(system_error(errno.EAGAIN), nothing_runs=None)
    with pytest.raises(JoblotError, match="cannot start any process"):
        short.add(system_error(errno.EAGAIN), nothing_runs=True)


AFTER_A_KILL = """
import signal
from joblot import JoblotError
from joblot.executors import local, shortage, warden
shortage.GIVE_UP_S = 0.5
class Kills(Told):
    def recorded(self, record):
        if os.path.exists("began"):
            os.remove("began")
            [child] = [int(pid) for pid in open(f"/proc/self/task/{os.getpid()}/children").read().split()]
            THEN
            os.kill(child, signal.SIGKILL)
batch = Batch("killed")
batch.command("a", "test -e waited || { touch waited began; sleep 60; }")
batch.command("b", "until test -e waited; do sleep 0.05; done")
try:
    report = batch.run(observers=[Kills()], workers=2)
    print(json.dumps({"counts": report.counts}))
except JoblotError as error:
    print(json.dumps({"message": str(error), "code": error.exit_code}))
"""
WITHOUT_A_WARDEN = {
    "no descriptors": (
        "resource.setrlimit(resource.RLIMIT_NOFILE, (5, 5))",
        {"message": "cannot start any process: too many open files", "code": 4},
    ),
    "no room in the new one": (
        "real = warden.Warden.__init__; warden.Warden.__init__ = lambda *_: os.pipe() and (_ for _ in ()).throw(OSError(11, 'x'))",
        {"message": "cannot start any process: resource temporarily unavailable", "code": 4},
    ),
    "a defect": (
        "warden.Warden.__init__ = lambda *_: 1 // 0; sys.stderr = open(os.devnull, 'w'); os.dup2(sys.stderr.fileno(), 2)",
        {"message": "the warden, which starts and ends processes, failed 4 times in a row", "code": 4},
    ),
}


@pytest.mark.parametrize("case", WITHOUT_A_WARDEN)
def test_a_run_ends_when_no_new_warden_can_begin(tmp_path, case):
    """S16: after its warden was killed. It was started again for ever."""
    then, message = WITHOUT_A_WARDEN[case]
    assert program(tmp_path, AFTER_A_KILL.replace("THEN", then)) == message


def test_a_run_goes_on_with_a_new_warden(tmp_path):
    """The same without a shortage."""
    found = program(tmp_path, AFTER_A_KILL.replace("THEN", "pass"))
    assert found["counts"]["success"] == 2
