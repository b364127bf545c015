"""The command in a process of its own, in an empty folder, with as little environment as there can be.

`popen`, `real`, and a call with options of `Popen` or a variable for the interpreter start the real command. Any other call has it from the
command server, which saves its imports.
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from command_server import JOBLOT, server

_TIME = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \| ", re.MULTILINE)
_DURATION = re.compile(r"\b\d+ ms|\b\d+\.\d s|\b\d+m\d\ds")


OF_THE_INTERPRETER = ("PYTHON", "LANG", "LC_")
"""How the names of variables begin that Python reads when it starts."""


class Done(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def plain(self):
        """Standard error without times, durations and the folder's name."""
        return _DURATION.sub("T", _TIME.sub("", self.err))

    @property
    def result(self):
        """Standard output without durations."""
        return _DURATION.sub("T", self.out)


class Project:
    """A folder, and joblot run in it."""

    def __init__(self, path: Path, modules: tuple[str, ...] = JOBLOT):
        self.path = path
        self.modules = modules
        # Which joblot is tested may be said by PYTHONPATH, and a process of its own must be of the same one.
        self.env = {"PATH": os.environ["PATH"], "HOME": str(path)} | {
            name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ
        }

    def write(self, name: str, text: str) -> Path:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    def popen(self, *arguments: str, env=None, **options) -> subprocess.Popen:
        command = [sys.executable, "-m", "joblot", *arguments]
        options = {
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "cwd": self.path,
            "stdin": subprocess.DEVNULL,
        } | options
        return subprocess.Popen(command, env=self.env | (env or {}), **options)

    def __call__(self, *arguments: str, cwd=None, env=None, **options) -> Done:
        environment = env or {}
        if options or any(name.startswith(OF_THE_INTERPRETER) for name in environment):
            return self.real(*arguments, cwd=cwd or self.path, env=env, **options)
        words = ["-m", "joblot", *map(str, arguments)]
        done = server(self.modules).run(words, Path(cwd or self.path), self.env | environment)
        return self._done(done.returncode, done.stdout, done.stderr)

    def real(self, *arguments: str, **options) -> Done:
        with self.popen(*arguments, **options) as process:
            streams = process.communicate(timeout=60)
        return self._done(process.returncode, *((text or b"").decode() for text in streams))

    def _done(self, code: int, *streams: str) -> Done:
        return Done(code, *(text.replace(str(self.path), "DIR") for text in streams))

    def wait_for(self, name: str, text: str = "") -> None:
        """Until a file is there and holds a text: how jobs of these tests say that they run."""
        until = time.monotonic() + 30
        while not ((self.path / name).exists() and text in (self.path / name).read_text()):
            assert time.monotonic() < until, f"{name} was never made"
            time.sleep(0.02)

    def interrupt(self, process: subprocess.Popen, number: int = signal.SIGINT) -> None:
        os.kill(process.pid, number)


@pytest.fixture
def joblot(tmp_path):
    return Project(tmp_path)
