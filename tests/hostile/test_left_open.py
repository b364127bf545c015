"""What an inline action leaves open ends with the program, as it does where a script leaves it: none of it holds up the end of a run."""

import os
import signal
import subprocess
import sys

import pytest

from joblot import Batch

pytestmark = pytest.mark.alone

BEGINNING = """
import multiprocessing, os, signal, sys, time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing.pool import ThreadPool

KEPT = []
fork = multiprocessing.get_context("fork")

def kept(thing):
    KEPT.append(thing)
    return thing

def square(number):
    return number * number

def sleeps(_):
    time.sleep(1000)

def says(pipe):
    os.write(pipe, b"x")
    time.sleep(1000)

def action():
"""
BODIES = {
    "a pool": "kept(fork.Pool(2)).map(square, range(4))",
    "a pool that nobody keeps": "fork.Pool(2).map(square, range(4))",
    "a pool that works": "kept(fork.Pool(2)).map_async(sleeps, range(4))",
    "a pool whose results nobody takes": "next(kept(fork.Pool(2)).imap(square, range(100_000)))",
    "two pools": "[kept(fork.Pool(2)).map_async(sleeps, range(2)) for _ in range(2)]",
    "a process that may be ended": "kept(fork.Process(target=sleeps, args=(1,), daemon=True)).start()",
    "a pool of threads": "kept(ThreadPool(2)).map(square, range(4))",
    "a pool of threads that works": "kept(ThreadPool(2)).map_async(sleeps, range(4))",
    "an executor of threads": "list(kept(ThreadPoolExecutor(2)).map(square, range(4)))",
    "an executor of processes": "list(kept(ProcessPoolExecutor(2, mp_context=fork)).map(square, range(4)))",
    "a server": "kept(fork.Manager()).list().append(1)",
    "an error with a pool open": "kept(fork.Pool(2)).map_async(sleeps, range(4)); raise ValueError",
}
AS_SCRIPT = """
if __name__ == "__main__":
    try:
        action()
    except ValueError:
        pass
"""
AS_JOB = """
if __name__ == "__main__":
    from joblot import Batch

    batch = Batch("b")
    batch.add("a", action)
    batch.command("after", "true", needs=["a"], when="always")
    print(batch.run(on="inline", state=False).status)
"""


def ends(folder, body, ending):
    """What a program prints, which has half a minute to end, with the processes that it began."""
    (folder / "program.py").write_text(f"{BEGINNING}    {body}\n{ending}")
    words = [sys.executable, "-W", "ignore", "program.py"]
    process = subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        out, _ = process.communicate(timeout=30)  # the children have the pipe too
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        pytest.fail("it did not end")
    assert process.returncode == 0
    return out


@pytest.mark.parametrize("name", BODIES)
def test_what_an_inline_action_leaves_open_ends_as_that_of_a_script(tmp_path, name):
    expected = "failed\n" if "raise" in BODIES[name] else "success\n"
    assert ends(tmp_path, BODIES[name], AS_JOB) == expected


def test_a_script_ends_with_all_of_them(tmp_path):
    """Otherwise the promise would be another."""
    body = "\n    ".join(body.replace("raise ValueError", "pass") for body in BODIES.values())
    assert ends(tmp_path, body, AS_SCRIPT) == ""


def test_what_an_inline_action_forks_has_the_signals_from_before_the_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def handlers():
        return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]

    before, seen = handlers(), []

    def action():
        seen.append(handlers() == before)
        child = os.fork()
        if not child:
            os._exit(0 if handlers() == before and signal.set_wakeup_fd(-1) == -1 else 1)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    batch = Batch("b")
    batch.add("a", action)
    assert batch.run(on="inline", state=False).jobs["a"].result == 0
    assert seen == [False]
    assert handlers() == before
