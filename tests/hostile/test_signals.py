"""Signals in workers are those of any Python program, those of commands the system's; what whoever starts joblot has set hurts nobody."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

FIRST_LINE = """
def first_line():
    import subprocess
    return subprocess.run(["head", "-n", "1"], input="line\\n" * 1_000_000, text=True, capture_output=True).stdout
"""
RAISING = {
    "a closed pipe": ("r, w = os.pipe(); os.close(r); os.write(w, b'x')", "BrokenPipeError"),
    "a closed socket": (
        "import socket; a, b = socket.socketpair(); b.close(); a.send(b'x')",
        "BrokenPipeError",
    ),
    "a file too large": (
        (
            "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (8, resource.getrlimit(resource.RLIMIT_FSIZE)[1]));"
            "open('large', 'wb', buffering=0).write(b'x' * 8); f = open('large', 'ab', buffering=0); f.write(b'x' * 8)"
        ),
        "OSError",
    ),
    "an interrupt": ("import _thread; _thread.interrupt_main(); time.sleep(10)", "KeyboardInterrupt"),
    "a signal": ("os.kill(os.getpid(), signal.SIGINT); time.sleep(10)", "KeyboardInterrupt"),
    "a raised signal": ("signal.raise_signal(signal.SIGPIPE); raise LookupError", "LookupError"),
}


def test_a_program_that_does_not_read_to_the_end_is_no_failure(hostile: Any) -> None:
    """The case: `head` closes the pipe."""
    report = hostile.batch(FIRST_LINE + "batch.add('a', first_line)")
    assert report["jobs"]["a"]["result"] == "line\n", report["jobs"]["a"]


@pytest.mark.parametrize("case", RAISING)
def test_signals_come_as_exceptions(hostile: Any, case: str) -> None:
    """`finally` blocks run, the job says which exception it was, and the worker goes on."""
    code, raised = RAISING[case]
    report = hostile.batch(f"""
        options["workers"] = 1
        def raise_():
            try:
                {code}
            finally:
                open("finally", "w").close()
        batch.add("a", raise_)
        batch.add("b", lambda: 2)
    """)
    assert (hostile.folder / "finally").exists()
    assert report["jobs"]["a"]["message"].split(":")[0] == raised
    assert report["jobs"]["b"]["result"] == 2


def test_commands_begin_with_the_signals_of_the_system(hostile: Any) -> None:
    """Whatever joblot or whoever started it ignores or blocks: nothing is ignored in a command, and nothing blocked."""
    hostile.yaml("""
        jobs: [{name: a, run: "grep -E '^Sig(Ign|Blk)' /proc/self/status > status"}]
    """)
    for on in ("local", "inline"):
        ended = hostile.script(f"""
            import os, signal, sys
            for number in (signal.SIGUSR1, signal.SIGHUP, signal.SIGCHLD, signal.SIGALRM, signal.SIGTTOU):
                signal.signal(number, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGCHLD, signal.SIGALRM, signal.SIGTERM))
            os.execv(sys.executable, [sys.executable, "-m", "joblot", "run", "-q", "batch.yaml", "--on", "{on}"])
        """)
        assert ended.code == 0, ended
        status = (hostile.folder / "status").read_text()
        # Without real-time signals, of which the C library keeps two for itself.
        assert {int(line.split()[1], 16) % 2**31 for line in status.splitlines()} == {0}, status
        (hostile.folder / "status").unlink()


FOREACH = 'jobs: [{name: "a${{ item }}", run: "true", foreach: {command: "echo 1; false"}}]'
ENDS = {
    "a command": ('jobs: [{name: a, run: "true"}]', 0),
    "a command that fails": ('jobs: [{name: a, run: "exit 3"}]', 1),
    "a command that ends before": (
        'jobs: [{name: a, run: "sleep 0.2; exit 3", retry: {max_attempts: 2}}, {name: b, run: "true"}]',
        1,
    ),
    "a list of items that fails": (FOREACH, 2),
    "an action": ("jobs: [{name: a, action: count_lines, input: batch.yaml}]", 0),
}


@pytest.mark.parametrize(
    ("batch", "on"), [*((batch, "inline") for batch in ENDS), ("a command that fails", "local"), ("an action", "local")]
)
def test_whoever_ignores_the_ends_of_its_children_may_start_joblot(hostile: Any, batch: str, on: str) -> None:
    """SIGCHLD is ignored or blocked by some supervisors, and that is handed on."""
    text, code = ENDS[batch]
    hostile.yaml(text)
    ended = hostile.script(f"""
        import os, signal, sys
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        os.execv(sys.executable, [sys.executable, "-m", "joblot", "run", "-q", "batch.yaml", "--on", "{on}"])
    """)
    assert ended.code == code, ended


def test_a_program_that_ignores_the_ends_of_its_children_gets_its_own_back(hostile: Any) -> None:
    """`inline` in somebody's program sets what it needs while it runs."""
    report = hostile.batch("""
        options["on"] = "inline"
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        batch.add("a", None, run="exit 3")
        assert batch.run(**options).failed
        assert signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN
    """)
    assert report["jobs"]["a"]["message"] == "exit status 3"


WAYS = {
    "queue": "c = m.get_context(method); q = c.Queue(); p = c.Process(target=print); p.start(); p.join()",
    "pool": "p = m.get_context(method).Pool(1); p.apply(abs, (-1,)); p.terminate(); p.join()",
    "manager": "p = m.get_context(method).Manager(); p.list([1]).append(2); p.shutdown()",
    "left over": "m.get_context(method).Process(target=time.sleep, args=(60,)).start()",
    "shared memory": "s = shared_memory.SharedMemory(create=True, size=8); open('shared', 'a').write(s.name + ' ')",
}


@pytest.mark.parametrize(
    ("way", "method"),
    [
        ("queue", "spawn"),
        ("queue", "forkserver"),
        ("pool", "fork"),
        ("left over", "fork"),
        ("left over", "forkserver"),
    ],
)
def test_processes_can_be_used_again_and_again(hostile: Any, way: str, method: str) -> None:
    """The servers of `multiprocessing` end with their attempt, and the next attempt begins its own."""
    assert _uses(hostile, way, method) == [("success", 0)] * 3
    assert "unexpectedly" not in "".join(path.read_text() for path in hostile.folder.rglob("*.log"))


@pytest.mark.parametrize("way", ["shared memory", "manager"])
def test_what_processes_share_is_gone_with_its_attempt(hostile: Any, way: str) -> None:
    """Shared memory that nobody has deleted is deleted, as at the end of any program."""
    assert _uses(hostile, way, "fork") == [("success", 0)] * 3
    shared = hostile.folder / "shared"
    names = shared.read_text().split() if way == "shared memory" else []
    assert len(names) == (3 if way == "shared memory" else 0)
    assert [name for name in names if Path("/dev/shm", name).exists()] == []


def _uses(hostile: Any, way: str, method: str) -> list[tuple[str, int]]:
    """How three attempts in a worker ended, and how many children each knew when it began."""
    (hostile.folder / "acts.py").write_text(f"""
import multiprocessing as m, time
from multiprocessing import shared_memory
from joblot import action

@action("use")
def use(*, method):
    before = len(m.active_children())
    {WAYS[way]}
    return before
""")
    hostile.yaml(f"""
        imports: [./acts.py]
        max_workers: 1
        jobs: [{{name: "a${{{{ item }}}}", action: use, params: {{method: {method}}}, foreach: [1, 2, 3]}}]
    """)
    ended = hostile.joblot("run", "-q", "--json", "batch.yaml")
    return [(job["status"], job.get("result", -1)) for job in json.loads(ended.out)["results"]]


@pytest.mark.parametrize("quick", [0, 1, 2, 20, 30])
def test_an_interrupt_of_a_run_in_the_process_of_the_program_lets_nothing_more_begin(hostile: Any, quick: int) -> None:
    """Whatever is queued behind the job in which it comes, and however short those before were."""
    report = hostile.batch(f"""
        from joblot.executors.inline import SLICE_S
        options["on"] = "inline"
        def one(n):
            if n == {quick}:
                signal.raise_signal(signal.SIGINT)
                time.sleep(2 * SLICE_S)
        batch.add("one", one, foreach=range(60), params={{"n": "${{{{ item }}}}"}})
    """)
    states = [job["state"] for job in report["jobs"].values()]
    assert states == ["success"] * (quick + 1) + ["cancelled"] * (59 - quick)
