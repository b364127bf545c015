"""Runs small hostile programs in processes of their own, with a time limit, and ends whatever they leave behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from command_server import server

JOBLOT = [sys.executable, "-m", "joblot"]

HEAD = """
import json, os, signal, sys, time
from joblot import ActionError, Batch, Context
options = {}
batch = Batch("hostile", max_workers=2)
"""
TAIL = """
report = batch.run(**options)
jobs = {}
for job in report.jobs.values():
    jobs[job.name] = {"state": job.state, "reason": job.reason, "message": job.message, "attempts": job.attempts,
                      "result": job.result, "log": open(job.log, errors="replace").read() if job.log else ""}
open(os.environ["HOSTILE_REPORT"], "w").write(json.dumps({"status": report.status, "jobs": jobs}))
"""


class Ended(NamedTuple):
    """How a program ended."""

    code: int
    out: str
    err: str


class Hostile:
    """One test's folder and the programs started in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mark = f"HOSTILE_MARK={folder}"
        self.env = {**os.environ, "HOSTILE_MARK": str(folder), "HOSTILE_REPORT": str(folder / "report.out")}

    def start(self, *words: str, **more: Any) -> subprocess.Popen[str]:
        """Start a program in the folder."""
        options = {
            "cwd": self.folder,
            "env": self.env,
            "text": True,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
        }
        return subprocess.Popen(words, **{**options, **more})

    def end(self, process: subprocess.Popen[str], limit: float = 60.0) -> Ended:
        """Wait for a program; one that does not end fails the test."""
        try:
            out, err = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            self.sweep()
            process.communicate()
            pytest.fail(f"did not end within {limit:g} s")
        return Ended(process.returncode, out, err)

    def joblot(self, *words: str, limit: float = 60.0) -> Ended:
        """Run a joblot command line, from the command server: what it starts without a new program has not the mark."""
        done = server().run(["-m", "joblot", *words], self.folder, self.env, timeout_s=limit)
        return Ended(done.returncode, done.stdout, done.stderr)

    def script(self, text: str, *words: str, name: str = "program.py", limit: float = 60.0) -> Ended:
        """Run a Python program."""
        (self.folder / name).write_text(textwrap.dedent(text))
        return self.end(self.start(sys.executable, name, *words), limit)

    def batch(self, text: str, limit: float = 15.0) -> dict[str, Any]:
        """Run a batch made in Python to its end; its report. A run that breaks fails the test."""
        program = HEAD + textwrap.dedent(text) + TAIL
        ended = self.script(program, limit=limit)
        assert ended.code == 0, f"the run broke: {ended.code} {ended.err.strip().rpartition(chr(10))[2]}"
        assert "BUG" not in ended.err, ended.err
        report: dict[str, Any] = json.loads((self.folder / "report.out").read_text())
        return report

    def yaml(self, text: str, name: str = "batch.yaml") -> str:
        """Write a batch file; its name."""
        (self.folder / name).write_text(textwrap.dedent(text))
        return name

    def wait_for(self, path: str, limit: float = 60.0) -> str:
        """Wait until a file has contents, and read it."""
        until = time.monotonic() + limit
        while time.monotonic() < until:
            try:
                if content := (self.folder / path).read_text():
                    return content
            except FileNotFoundError:
                pass
            time.sleep(0.01)
        pytest.fail(f"`{path}` did not appear")

    def children(self, pid: int) -> list[int]:
        """The direct children of a process."""
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def left(self) -> list[int]:
        """Every living process that was started from this folder's programs."""
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit() and int(entry) != os.getpid():
                try:
                    environ = Path(f"/proc/{entry}/environ").read_bytes().split(b"\0")
                    state = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[0]
                except OSError:
                    continue
                if self.mark.encode() in environ and state not in "ZX":
                    found.append(int(entry))
        return found

    def sweep(self) -> None:
        """Kill what is left."""
        for _ in range(20):
            left = self.left()
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            if not left:
                return
            time.sleep(0.02)


@pytest.fixture
def hostile(tmp_path: Path) -> Any:
    made = Hostile(tmp_path)
    yield made
    made.sweep()
