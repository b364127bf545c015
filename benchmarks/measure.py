"""Measures whole processes by what the kernel says of them and of all that they waited for, best of several runs.

CPU seconds are what is compared: wall time on a shared machine says little.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """CPU seconds (user and system) of the process tree, wall seconds, and the largest peak of one process in MiB."""

    cpu: float
    wall: float
    peak: float


def compile_all() -> None:
    """Byte-compile the packages, as an installer does: a checkout may not have been, and that would be measured."""
    import compileall

    import joblot

    compileall.compile_dir(Path(joblot.__file__).parents[1], quiet=2)


def once(words: list[str], *, folder: Path | None = None, env: dict[str, str] | None = None) -> Figure:
    """Run a command with its output thrown away."""
    home = os.getcwd()
    null = os.open(os.devnull, os.O_WRONLY)
    os.chdir(folder or home)
    began = time.monotonic()
    try:
        pid = os.posix_spawn(
            words[0], words, {**os.environ, **(env or {})}, file_actions=[(os.POSIX_SPAWN_DUP2, null, 1)]
        )
    finally:
        os.chdir(home)
        os.close(null)
    _, status, usage = os.wait4(pid, 0)
    wall = time.monotonic() - began
    if status:
        sys.exit(f"{' '.join(words)[:200]} ended with {os.waitstatus_to_exitcode(status)}")
    return Figure(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024)


def in_turn(commands: dict[str, list[str]], rounds: int = 5, **options) -> dict[str, Figure]:
    """Run the commands in turn, `rounds` times; the best of each. State folders are made fresh for every run."""
    compile_all()
    best: dict[str, Figure] = {}
    for _ in range(rounds):
        for name, words in commands.items():
            state = Path(tempfile.mkdtemp(prefix="joblot-bench-"))
            figure = once(words, env={"JOBLOT_STATE": str(state / "state")}, **options)
            shutil.rmtree(state, ignore_errors=True)
            old = best.get(name)
            best[name] = (
                figure
                if old is None
                else Figure(min(old.cpu, figure.cpu), min(old.wall, figure.wall), min(old.peak, figure.peak))
            )
    return best


def table(title: str, figures: dict[str, Figure], against: str, *, jobs: int = 0) -> None:
    """Print the figures, each with its ratio to the CPU of `against`."""
    print(f"\n{title}")
    rate = "   jobs/s wall" if jobs else ""
    print(f"  {'':44}{'CPU s':>9}{'ratio':>8}{'wall s':>9}{'MiB':>7}{rate}")
    base = figures[against].cpu
    for name, figure in figures.items():
        rate = f"{jobs / figure.wall:14,.0f}" if jobs else ""
        print(f"  {name:44}{figure.cpu:9.3f}{figure.cpu / base:8.2f}{figure.wall:9.3f}{figure.peak:7.0f}{rate}")


PYTHON = sys.executable
JOBLOT = [PYTHON, "-m", "joblot"]
SCRIPT = [str(Path(sys.executable).with_name("joblot"))]
