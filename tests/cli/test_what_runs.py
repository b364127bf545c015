"""SIGUSR1 asks what runs, of a run without a terminal too; and every way out leaves the terminal as it was."""

import re
import signal
import subprocess
import sys
import time

import pyte
import pytest
from tests.cli.test_live import Terminal

pytestmark = pytest.mark.alone

BATCH = r"""
name: asked
max_workers: 4
imports: [./asked.py]
jobs:
  - {name: command, run: "echo one; printf 'last \\033[31mline\\n'; echo $$ > command.pid; sleep 60 & wait"}
  - {name: python, action: waits}
  - {name: done, run: "true"}
  - {name: later, run: "true", needs: [command]}
"""
ACTION = r"""
import os, signal, time
from pathlib import Path
from joblot import action

@action()
def waits():
    print("in python", flush=True)
    Path("python.pid").write_text(f"{os.getpid()} {signal.getsignal(signal.SIGUSR1)!r}\n")
    time.sleep(60)
"""

LOGS = ".joblot/runs/r1/logs"
FILES = ("command.pid", "python.pid", f"{LOGS}/command/1.log", f"{LOGS}/python/1.log")


def until(condition, what=lambda: ""):
    end = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < end, what()
        time.sleep(0.02)


@pytest.fixture
def begin(joblot):
    """Begins a run in the background, whose long jobs both run and have logs; it does not outlive the test."""
    joblot.write("joblot.yaml", BATCH)
    joblot.write("asked.py", ACTION)
    begun = []

    def begin(*arguments, until_there=FILES, **options):
        with (joblot.path / "err.txt").open("w") as err:
            process = subprocess.Popen(
                [sys.executable, "-m", "joblot", "run", "--run-id", "r1", *arguments],
                cwd=joblot.path, env=joblot.env | {"TOKEN": "hunter22-hunter22"}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err, **options,
            )  # fmt: skip
        begun.append(process)
        files = [joblot.path / file for file in until_there]
        until(lambda: all(path.exists() and path.stat().st_size for path in files), lambda: said(joblot))
        return process

    yield begin
    for process in begun:
        process.kill()
        process.wait()


def said(joblot):
    return (joblot.path / "err.txt").read_text()


@pytest.mark.parametrize("arguments", [(), ("-q",), ("--json",)])
def test_sigusr1_tells_what_runs_and_the_run_goes_on(joblot, begin, arguments):
    """Pid, age, attempt, last line."""
    process = begin(*arguments)
    process.send_signal(signal.SIGUSR1)
    until(lambda: "in python" in said(joblot), lambda: said(joblot))
    told = said(joblot)[said(joblot).index("what runs:") :]
    command = (joblot.path / "command.pid").read_text().strip()
    python, _, disposition = (joblot.path / "python.pid").read_text().strip().partition(" ")
    assert re.search(rf"^ +(<1|\d+) s  command \(attempt 1, pid {command}\)\n +\| last line$", told, re.MULTILINE)
    assert re.search(rf"^ +(<1|\d+) s  python \(attempt 1, pid {python}\)\n +\| in python$", told, re.MULTILINE)
    assert disposition == "<Handlers.SIG_DFL: 0>"
    assert "\x1b" not in said(joblot)
    process.send_signal(signal.SIGUSR1)
    until(lambda: said(joblot).count("what runs:") == 2)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    until(lambda: "starting nothing more" in said(joblot))
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 143


def test_of_a_batch_with_secrets_no_line_is_shown(joblot, begin):
    joblot.write(
        "joblot.yaml", "name: s\nsecrets: [TOKEN]\njobs: [{name: a, run: 'echo $TOKEN; echo 1 > began; sleep 60'}]\n"
    )
    process = begin(until_there=["began"])
    process.send_signal(signal.SIGUSR1)
    until(lambda: "  a (attempt 1" in said(joblot), lambda: said(joblot))
    assert "hunter22" not in said(joblot)
    assert "| " not in said(joblot).partition("what runs")[2]


def test_who_ignores_sigusr1_ignores_it(joblot, begin):
    process = begin(preexec_fn=lambda: signal.signal(signal.SIGUSR1, signal.SIG_IGN))
    process.send_signal(signal.SIGUSR1)
    process.send_signal(signal.SIGTERM)
    until(lambda: "starting nothing more" in said(joblot))
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 143
    assert "what runs" not in said(joblot)


@pytest.mark.parametrize("on", ["local", "inline"])
def test_commands_know_nothing_of_it(joblot, on):
    bit = 1 << (signal.SIGUSR1 - 1)
    joblot.write("joblot.yaml", "name: s\njobs: [{name: a, run: \"grep -E 'Sig(Ign|Cgt)' /proc/self/status\"}]\n")
    done = subprocess.run([sys.executable, "-m", "joblot", "run", "--run-id", "r1", "--on", on], cwd=joblot.path, env=joblot.env, capture_output=True, check=True, text=True)  # fmt: skip
    assert done.returncode == 0
    log = (joblot.path / ".joblot/runs/r1/logs/a/1.log").read_text()
    masks = [int(line.split()[1], 16) for line in log.splitlines()]
    assert len(masks) == 2
    assert not any(mask & bit for mask in masks)


WAITS = """\
name: s
jobs:
  - {name: a, run: sleep 60}
  - {name: b, run: exit 3}
  - {name: c, run: "true", needs: [a]}
"""


def ctrl_c(terminal):
    terminal.type("\x03")


def term(terminal):
    terminal.process.send_signal(signal.SIGTERM)


def three_at_once(terminal):
    for number in (signal.SIGSTOP, signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGCONT):
        terminal.process.send_signal(number)


@pytest.mark.parametrize(("ways", "code"), [([ctrl_c, ctrl_c], 130), ([term, term], 143), ([three_at_once], 143)])
def test_the_terminal_is_as_it_was_on_every_way_out(joblot, ways, code):
    """The progress is cleared, also by the third signal, which exits at once."""
    joblot.write("joblot.yaml", WAITS)
    terminal = Terminal(joblot, "run", "-j", "2", env={"TERM_PROGRAM": ""})
    terminal.read("\x1b]9;4;2;33\x1b\\")
    for number, way in enumerate(ways, 1):
        way(terminal)
        if number < len(ways):
            terminal.read("starting nothing more")
    assert terminal.end() == code
    assert terminal.seen.split("\x1b]9;4;")[-1].startswith("0;0\x1b\\")


MANY = """\
name: many
max_workers: 8
jobs:
  - {name: 'job-${{ item }}', run: 'echo line; exit $(( ${{ item }} % 3 + 1 ))', foreach: {lines: items.txt}}
"""


def test_the_last_screen_has_what_one_needs(joblot):
    """Status, causes with an example each, the report, and the commands to see and to retry."""
    joblot.write("joblot.yaml", MANY)
    joblot.write("items.txt", "".join(f"{number}\n" for number in range(60)))
    terminal = Terminal(joblot, "run", "--run-id", "r1")
    assert terminal.end() == 1
    screen = pyte.Screen(80, 24)
    pyte.Stream(screen).feed(terminal.seen)
    rows = [line.rstrip() for line in screen.display]
    last = rows[rows.index("Failures by cause:") :]
    assert all(re.fullmatch(r"     20 x exit status [123] \(such as `job-\d+`: line\)", line) for line in last[1:4])
    assert last[4] == "Batch complete: 0 ok, 60 failed, 0 skipped"
    assert last[5].startswith("the report: /")
    assert "report.json" in "".join(last[5:8])
    assert "to see what happened: joblot show r1" in last
    assert "to run again what failed: joblot retry r1 --failed" in last
    assert terminal.seen.count(": failed: exit status") == 20  # then only counts
