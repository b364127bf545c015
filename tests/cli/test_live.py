"""On a terminal: the live display, colours, and Ctrl-C as a terminal sends it."""

import json
import os
import pty
import select
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.alone

SLOW = """\
name: slow
jobs:
  - {name: first, run: "touch began; while [ ! -e go ]; do sleep 0.05; done"}
  - {name: bad, run: "echo why; exit 3"}
  - {name: last, run: "true", needs: [first]}
"""


class Terminal:
    """joblot with standard error (and input) on a terminal of its own."""

    def __init__(self, joblot, *arguments, env=None):
        self.master, slave = pty.openpty()
        command = [sys.executable, "-m", "joblot", *arguments]
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=subprocess.PIPE,
            stderr=slave,
            cwd=joblot.path,
            env=joblot.env | {"TERM": "xterm", "COLUMNS": "100", "LINES": "30"} | (env or {}),
            start_new_session=True,
            preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0),
        )
        os.close(slave)
        self.seen = ""

    def read(self, until: str) -> None:
        end = time.monotonic() + 30
        while until not in self.seen:
            assert time.monotonic() < end, self.seen
            self._take()

    def _take(self) -> bool:
        if not select.select([self.master], [], [], 0.1)[0]:
            return True
        try:
            data = os.read(self.master, 65536)
        except OSError:
            return False
        self.seen += data.decode()
        return bool(data)

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def end(self) -> int:
        end = time.monotonic() + 30
        while self.process.poll() is None or select.select([self.master], [], [], 0)[0]:
            assert time.monotonic() < end, self.seen
            if not self._take():
                break
        code = self.process.wait(30)
        self.out = self.process.stdout.read().decode()
        self.process.stdout.close()
        os.close(self.master)
        return code


@pytest.fixture
def slow(joblot):
    joblot.write("joblot.yaml", SLOW)
    return joblot


def test_the_live_display_shows_what_runs_and_keeps_failures_above_it(slow):
    terminal = Terminal(slow, "run", "--run-id", "r1")
    terminal.read("  first")
    terminal.read("1/3 done, \x1b[31m1 failed\x1b[0m, 1 running")
    slow.write("go", "")
    assert terminal.end() == 1
    assert "[1/3] bad: failed: exit status 3" in terminal.seen
    assert "  | why" in terminal.seen
    assert "\x1b[31mERROR\x1b[0m" in terminal.seen
    assert "\x1b[32msuccess\x1b[0m" in terminal.seen.rpartition("Batch slow")[2]
    assert terminal.out.startswith("run r1: 3 jobs: 2 succeeded, 1 failed, in ")
    assert "\x1b" not in terminal.out
    assert "\x1b[?25" not in terminal.seen  # the cursor stays as it is


def test_standard_output_carries_only_json_also_on_a_terminal(slow):
    """D6, R2"""
    slow.write("go", "")
    terminal = Terminal(slow, "run", "--json")
    assert terminal.end() == 1
    assert json.loads(terminal.out)["failed"] == 1


@pytest.mark.parametrize("env", [{"TERM": "dumb"}, {"CI": "true"}])
def test_no_live_display_where_lines_cannot_be_redrawn(slow, env):
    """I17: plain lines instead."""
    slow.write("go", "")
    terminal = Terminal(slow, "run", env=env)
    assert terminal.end() == 1
    assert "first: success" in terminal.seen
    assert "\x1b" not in terminal.seen


@pytest.mark.parametrize(("arguments", "env"), [(["--no-color"], {}), ([], {"NO_COLOR": "1"})])
def test_no_colours_when_they_are_not_wanted(slow, arguments, env):
    slow.write("go", "")
    terminal = Terminal(slow, "run", *arguments, env=env)
    assert terminal.end() == 1
    assert "\x1b[31m" not in terminal.seen
    assert "bad: failed: exit status 3" in terminal.seen


def test_ctrl_c_once_lets_running_jobs_end(slow):
    """D1: 130"""
    terminal = Terminal(slow, "run")
    terminal.read("  first")
    terminal.type("\x03")
    terminal.read("SIGINT: starting nothing more")
    slow.write("go", "")
    assert terminal.end() == 130
    assert terminal.out.startswith("run 2")
    assert "1 succeeded, 1 failed, 1 cancelled" in terminal.out


def test_ctrl_c_twice_kills_them(slow):
    """D1: 130"""
    terminal = Terminal(slow, "run")
    terminal.read("  first")
    terminal.type("\x03")
    terminal.read("SIGINT: starting nothing more")
    terminal.type("\x03")
    assert terminal.end() == 130
    assert "1 failed, 2 cancelled" in terminal.out
    assert "\x1b[?25" not in terminal.seen  # the cursor stays as it is
