"""kill -9 of `joblot prune` at its n-th system call that changes something, for every n; then what is left of each run.

The kill comes from strace, which must be installed (Debian: `strace`), before the call is carried out. Three batches in one folder have 21
runs: successes, failures, one that was cancelled, one that was killed and can be resumed, with outputs, logs and what failed attempts have
left. Checked after each kill: every run that is listed is told as before, with all its rows and files, and no other is found;
the same once more from the files alone, with the journal lost and recovered; what was up to date is, and a changed input is seen; the next
`prune` does the rest, and leaves nothing but what is to stay.

    python tests/torture/prune.py [--kills 200] [--first 1] [--step 1]
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import joblot.cli.ls
import joblot.cli.prune
import joblot.cli.recover
import joblot.cli.run
import joblot.cli.show
import joblot.reports.report
import joblot.runner.launch  # noqa: F401 - imported before the forks, so that each costs little
from joblot.__main__ import main as joblot_main

CALLS = "write,pwrite64,writev,pwritev,unlink,unlinkat,rmdir,rename,renameat,renameat2,ftruncate,fsync,fdatasync,mkdir,mkdirat,fchmod"
BATCHES = {
    "made": "jobs:\n  - {name: a, run: 'cat in.txt > out.txt; echo said', input: in.txt, outputs: [out.txt]}\n"
    "  - {name: b, run: 'test -e good', needs: [a]}\n",
    "broken": "jobs:\n  - {name: c, run: 'echo half > half.txt; exit 3', outputs: [half.txt], retry: 2}\n",
    "slow": "jobs:\n  - {name: d, run: 'touch began; sleep 60', outputs: [slow.txt]}\n",
}
PRUNE = ("prune", "--keep", "1")
BAD = ("half", "resurrected", "not up to date", "stale", "left", "traceback", "refused")


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def command(folder: Path, *words: str, state: str = ".joblot") -> Done:
    """joblot in a forked child: a process of its own for each question would take most of the time."""
    out, err = folder.parent / "stdout", folder.parent / "stderr"
    pid = os.fork()
    if not pid:
        code = 99
        try:
            os.chdir(folder)
            for number, path in ((0, Path(os.devnull)), (1, out), (2, err)):
                os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC), number)
            sys.stdout, sys.stderr = io.open(1, "w", closefd=False), io.open(2, "w", closefd=False)
            code = joblot_main([*words, "--state", str(folder / state)])
            sys.stdout.flush()
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return Done(code, out.read_text(), err.read_text())


def make(folder: Path) -> None:
    """The runs, and the dates by which they are old."""
    for name, jobs in BATCHES.items():
        (folder / f"{name}.yaml").write_text(f"name: {name}\n{jobs}")
    (folder / "in.txt").write_text("x\n")
    for number in range(10):
        (folder / "good").touch() if number % 2 else (folder / "good").unlink(missing_ok=True)
        command(folder, "run", "made.yaml", "-q", "-f", "--run-id", f"made-{number}")
    for number in range(8):
        command(folder, "run", "broken.yaml", "-q", "--run-id", f"broken-{number}")
    for number, how in enumerate((signal.SIGTERM, signal.SIGKILL, signal.SIGTERM)):
        (folder / "began").unlink(missing_ok=True)
        line = [
            sys.executable,
            "-m",
            "joblot",
            "run",
            "slow.yaml",
            "-q",
            "--stop-grace",
            "0s",
            "--run-id",
            f"slow-{number}",
        ]
        with subprocess.Popen(line, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while not (folder / "began").exists():
                time.sleep(0.02)
            process.send_signal(how)
    with closing(sqlite3.connect(folder / ".joblot/journal.db")) as database, database:
        database.execute("UPDATE run SET started_at = started_at - 1e6")


def listed(folder: Path, state: str = ".joblot") -> set[str]:
    done = command(folder, "ls", "--json", "-n", "100", state=state)
    return {run["run_id"] for run in json.loads(done.stdout)} if done.returncode == 0 else set()


def kept(folder: Path, run: str, state: str = ".joblot") -> dict[str, str]:
    """The files of a run, but for its lock."""
    home = folder / state / "runs" / run
    files = (path for path in home.rglob("*") if path.is_file() and path.name != "lock")
    return {str(path.relative_to(home)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def rows(folder: Path) -> dict[str, str]:
    """By run what the journal has of it: its row and its records."""
    found: dict[str, str] = {}
    with closing(sqlite3.connect(folder / ".joblot/journal.db")) as database:
        for number, run, *row in database.execute("SELECT number, run_id, * FROM run").fetchall():
            records = database.execute("SELECT * FROM record WHERE id >> 36 = ? ORDER BY id", (number,)).fetchall()
            found[run] = hashlib.sha256(repr((row, records)).encode()).hexdigest()
    return found


def told(folder: Path) -> dict[str, tuple[str, dict[str, str]]]:
    """What each run is: its rows and its files."""
    return {run: (digest, kept(folder, run)) for run, digest in rows(folder).items()}


def killed(folder: Path, at: int) -> bool:
    """Clear up, killed at this call. Whether it came so far."""
    pid = os.fork()
    if not pid:
        try:
            os.kill(os.getpid(), signal.SIGSTOP)  # until it is traced
            os.dup2(os.open(os.devnull, os.O_RDWR), 1)
            os.dup2(1, 2)
            sys.stdout, sys.stderr = io.open(1, "w", closefd=False), io.open(2, "w", closefd=False)
            joblot_main([*PRUNE, "--state", str(folder / ".joblot")])
        finally:
            os._exit(0)
    os.waitpid(pid, os.WUNTRACED)
    inject = ["-e", f"trace={CALLS}", "-e", f"inject={CALLS}:signal=KILL:when={at}"]
    with subprocess.Popen(["strace", "-o", "/dev/null", *inject, "-p", str(pid)], stderr=subprocess.DEVNULL):
        while "\nTracerPid:\t0\n" in Path(f"/proc/{pid}/status").read_text():
            time.sleep(0.01)
        os.kill(pid, signal.SIGCONT)
        return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def look_after(
    folder: Path, before: dict[str, tuple[str, dict[str, str]]], stays: set[str], tally: Counter[str]
) -> list[str]:
    """What went wrong."""
    wrong = []
    there = listed(folder)
    tally["gone"] += len(before) - len(there)
    tally["whole"] += len(there)
    if not stays <= there:
        wrong.append(f"half: of what stays {stays - there} is not listed")
    now = told(folder)
    wrong += [f"half: {run} is not as it was" for run in there if now[run] != before[run]]
    wrong += [
        f"resurrected: {run}" for run in sorted(set(before) - there)[:1] if command(folder, "show", run).returncode != 4
    ]
    shutil.copytree(folder / ".joblot", folder / "lost")
    for file in (folder / "lost").glob("journal.db*"):
        file.unlink()
    recovered = command(folder, "recover", state="lost")
    if recovered.returncode or listed(folder, "lost") != there:
        wrong.append(f"resurrected: without the journal {listed(folder, 'lost') ^ there}: {recovered.stderr}")
    wrong += [
        f"half: {run} is not as it was without the journal"
        for run in there
        if kept(folder, run, "lost") != before[run][1]
    ]
    for text, word, bad in (("x\n", "cached", "not up to date"), ("y\n", "success", "stale")):
        (folder / "in.txt").write_text(text)
        done = command(folder, "run", "made.yaml", "--json", "--run-id", f"after-{word}")
        if done.returncode or json.loads(done.stdout)["results"][0]["status"] != word:
            wrong.append(f"{bad}: {done.stdout} {done.stderr}")
    rest = command(folder, *PRUNE)
    if rest.returncode or "Traceback" in rest.stderr:
        wrong.append(f"refused: {rest.stderr}")
    left = {path.name for path in (folder / ".joblot/runs").iterdir()} ^ listed(folder)
    left |= {path.name for path in (folder / ".joblot").iterdir() if path.name.startswith("pruned-")}
    with closing(sqlite3.connect(folder / ".joblot/journal.db")) as database:
        rows = database.execute(
            "SELECT count(*) FROM record WHERE id >> 36 NOT IN (SELECT number FROM run)"
        ).fetchone()[0]
    if left or rows:
        wrong.append(f"left: {left}, {rows} rows")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10**6)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--step", type=int, default=1)
    asked = parser.parse_args()
    if shutil.which("strace") is None:
        sys.exit("strace is not installed")
    tally: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="joblot-prune-") as name:
        folder, whole = Path(name, "here"), Path(name, "whole")
        folder.mkdir()
        make(folder)
        before = told(folder)
        shutil.copytree(folder, whole)
        assert not killed(folder, 65535)
        stays = listed(folder)
        assert len(before) == 21 and 0 < len(stays) < 8, (before.keys(), stays)
        at = asked.first - asked.step
        while tally["kills"] < asked.kills:
            at += asked.step
            shutil.rmtree(folder)
            shutil.copytree(whole, folder)
            if not killed(folder, at):
                break
            tally["kills"] += 1
            if tally["kills"] % 10 == 0:
                print(f"{tally['kills']} kills", file=sys.stderr, flush=True)
            for problem in look_after(folder, before, stays, tally):
                tally[problem.partition(":")[0]] += 1
                print(f"call {at}: {problem}", flush=True)
    bad = ", ".join(f"{what} {tally[what]}" for what in BAD)
    print(f"{tally['kills']} kills, {tally['whole']} runs whole, {tally['gone']} gone: {bad}")
    return 1 if any(tally[what] for what in BAD) or not tally["kills"] else 0


if __name__ == "__main__":
    os.environ.pop("JOBLOT_STATE", None)
    sys.exit(main())
