"""What is left after `kill -9` of joblot and of its peers: 12 jobs of half a second, 4 at a time, killed at a random moment, then resumed.

A job writes half of its file, sleeps, writes the rest, and says when it began and ended. Killed is the runner alone, or with `--group` its
process group; then the peer's own resume command runs until it ends well. Counted over all rounds:

- manual step: the resume command did not end well by itself; what unlocks it was run, or it was called again
- completed twice: jobs that ran to their end more than once
- overlapped: jobs whose next try began while an orphan of the first one still ran
- wrong bytes: files that are not what one undisturbed job leaves
- lost: jobs that never ran to their end, though the peer said that all is done

Peers are looked for on PATH and in a virtual environment; those that are not there are named so. Prints a Markdown table. Exits 1 when
joblot's row is not all zeros.

    python benchmarks/others.py --rounds 6 [--group] [--venv DIR] [--only NAME ...] [--seed 1]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

JOBS = 12
AT_ONCE = 4
FIRST_JOB_S = 30.0
RESUME_S = 60.0
TRIES = 4
COLUMNS = ("manual step", "completed twice", "overlapped", "wrong bytes", "lost")
WHOLE = "half full\n"

JOB = """#!/bin/bash
out=${2:-out.$1}
echo "begin $1 $$ $(date +%s.%N)" >> log
printf 'half ' > "$out"
sleep 0.5
printf 'full\\n' >> "$out"
echo "end $1 $$ $(date +%s.%N)" >> log
"""

LUIGI = f"""
import subprocess
import luigi

class Job(luigi.Task):
    number = luigi.IntParameter()
    def output(self):
        return luigi.LocalTarget(f"out.{{self.number}}")
    def run(self):
        with self.output().temporary_path() as path:
            subprocess.check_call(["./job", str(self.number), path])

class All(luigi.WrapperTask):
    def requires(self):
        return [Job(number=number) for number in range({JOBS})]
"""

DBOS = f"""
import subprocess
from dbos import DBOS, SetWorkflowID

DBOS(config={{
    "name": "jobs", "system_database_url": "sqlite:///dbos.sqlite", "run_admin_server": False, "log_level": "CRITICAL",
    "application_version": "1", "executor_id": "local",
}})

@DBOS.step()
def job(number):
    subprocess.check_call(["./job", str(number)])

@DBOS.workflow()
def work(number):
    job(number)

if __name__ == "__main__":
    DBOS.launch()
    queue = DBOS.register_queue("jobs", concurrency={AT_ONCE}, polling_interval_sec=0.1)
    handles = []
    for number in range({JOBS}):
        with SetWorkflowID(f"job-{{number}}"):
            handles.append(queue.enqueue(work, number))
    for handle in handles:
        handle.get_result()
"""

DOIT = f"""
from doit.tools import run_once

DOIT_CONFIG = {{"default_tasks": ["job"]}}

def task_job():
    for number in range({JOBS}):
        yield {{"name": str(number), "actions": [f"./job {{number}}"], "targets": [f"out.{{number}}"], "uptodate": [run_once]}}
"""


@dataclass(frozen=True)
class Peer:
    """One runner: how to find it, its batch, the command (first and resume), and what a person does when that is refused."""

    name: str
    program: str
    version: list[str]
    write: Callable[[Path], None]
    first: list[str]
    resume: list[str] | None = None
    unlock: list[str] | None = None


def _file(name: str, text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(text) and None


def _no_file(_: Path) -> None:
    pass  # the jobs are arguments


def peers() -> list[Peer]:
    """All of them, the words of the commands still without the folders of their programs."""
    outs = " ".join(f"out.{number}" for number in range(JOBS))
    ninja = "rule job\n  command = ./job $number $out\n" + "".join(
        f"build out.{number}: job\n  number = {number}\n" for number in range(JOBS)
    )
    snakefile = (
        f"rule all:\n    input: expand('out.{{number}}', number=range({JOBS}))\n"
        "rule job:\n    output: 'out.{number}'\n    shell: './job {wildcards.number} {output}'\n"
    )
    batch = json.dumps({"jobs": [{"name": f"job{n}", "run": f"./job {n}"} for n in range(JOBS)]})
    numbers = [str(number) for number in range(JOBS)]
    luigi = ["python", "-m", "luigi", "--module", "jobs", "All", "--local-scheduler", "--workers", str(AT_ONCE)]
    return [
        Peer(
            "GNU parallel `--joblog --resume`",
            "parallel",
            ["parallel", "--version"],
            _no_file,
            ["parallel", f"-j{AT_ONCE}", "--joblog", "joblog", "--resume", "./job {}", ":::", *numbers],
        ),
        Peer(
            "ninja",
            "ninja",
            ["ninja", "--version"],
            _file("build.ninja", f"{ninja}default {outs}\n"),
            ["ninja", f"-j{AT_ONCE}"],
        ),
        Peer(
            "make",
            "make",
            ["make", "--version"],
            _file("Makefile", f"all: {outs}\nout.%:\n\t./job $* $@\n"),
            ["make", f"-j{AT_ONCE}", "-s"],
        ),
        Peer(
            "Snakemake `--rerun-incomplete`",
            "snakemake",
            ["snakemake", "--version"],
            _file("Snakefile", snakefile),
            ["snakemake", f"-j{AT_ONCE}", "--rerun-incomplete", "-q", "all"],
            unlock=["snakemake", "--unlock"],
        ),
        Peer(
            "Luigi, `temporary_path`",
            "luigi",
            ["python", "-c", "from importlib.metadata import version; print(version('luigi'))"],
            _file("jobs.py", LUIGI),
            [*luigi, "--log-level", "ERROR"],
        ),
        Peer(
            "DBOS on SQLite",
            "dbos",
            ["python", "-c", "from importlib.metadata import version; print(version('dbos'))"],
            _file("jobs.py", DBOS),
            ["python", "jobs.py"],
        ),
        Peer(
            "doit",
            "doit",
            ["doit", "--version"],
            _file("dodo.py", DOIT),
            ["doit", "-n", str(AT_ONCE), "-v0"],
        ),
        Peer(
            "joblot",
            sys.executable,
            [sys.executable, "-m", "joblot", "--version"],
            _file("batch.json", batch),
            [sys.executable, "-m", "joblot", "run", "batch.json", "--run-id", "killed", "-q", "-j", str(AT_ONCE)],
            resume=[sys.executable, "-m", "joblot", "resume", "killed", "-q", "-j", str(AT_ONCE)],
        ),
    ]


def placed(words: list[str], found: str) -> list[str]:
    """The command with its program's own folder written out: `python` is the one beside the program."""
    beside = Path(found).parent / words[0]
    return [str(beside if beside.exists() else words[0]), *words[1:]]


def version(peer: Peer, found: str) -> str:
    said = subprocess.run(placed(peer.version, found), capture_output=True, text=True, check=False).stdout
    match = re.search(r"\d+(?:\.\d+)*", said)
    return match[0] if match else "?"


def one_round(peer: Peer, found: str, rng: random.Random, group: bool) -> dict[str, int]:
    """One kill and what follows it. The folder is kept, and named, when the peer never came to an end."""
    folder = Path(tempfile.mkdtemp(prefix="joblot-others-"))
    (folder / "job").write_text(JOB)
    (folder / "job").chmod(0o755)
    peer.write(folder)
    _kill_first(peer, found, folder, rng, group)
    manual = _resume(peer, found, folder)
    time.sleep(0.7)  # an orphan may still write
    counts = {"manual step": manual, **_counts(folder)}
    _end_orphans(folder)
    shutil.rmtree(folder)
    return counts


def _spawn(words: list[str], folder: Path) -> subprocess.Popen[bytes]:
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "JOBLOT_STATE": str(folder / "state")}
    with (folder / "said").open("ab") as said:
        return subprocess.Popen(
            words,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
            env=environment,
        )


def _kill_first(peer: Peer, found: str, folder: Path, rng: random.Random, group: bool) -> None:
    process = _spawn(placed(peer.first, found), folder)
    until = time.monotonic() + FIRST_JOB_S
    while not (folder / "log").exists():
        if time.monotonic() > until or process.poll() is not None:
            process.kill()
            sys.exit(f"{peer.name} started no job; what it said is in {folder / 'said'}")
        time.sleep(0.02)
    time.sleep(rng.uniform(0.05, 1.4))
    if group:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def _resume(peer: Peer, found: str, folder: Path) -> int:
    """1 when the resume command alone did not do."""
    for attempt in range(TRIES):
        process = _spawn(placed(peer.resume or peer.first, found), folder)
        try:
            code = process.wait(RESUME_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            code = -1
        if code == 0:
            return int(attempt > 0)
        if peer.unlock:
            subprocess.run(placed(peer.unlock, found), cwd=folder, capture_output=True, check=False)
    sys.exit(f"{peer.name} did not end well in {TRIES} tries; what it said is in {folder / 'said'}")


def _counts(folder: Path) -> dict[str, int]:
    ends: dict[str, int] = {}
    spans: dict[str, dict[str, list[float]]] = {}
    for line in (folder / "log").read_text().splitlines():
        what, number, pid, at = line.split()
        span = spans.setdefault(number, {}).setdefault(pid, [float(at), float("inf")])
        if what == "end":
            span[1] = float(at)
            ends[number] = ends.get(number, 0) + 1
    overlapped = 0
    for tries in spans.values():
        times = sorted(tries.values())
        overlapped += any(a[1] != float("inf") and b[0] < a[1] for a, b in pairwise(times))
    outs = [folder / f"out.{number}" for number in range(JOBS)]
    return {
        "completed twice": sum(count > 1 for count in ends.values()),
        "overlapped": overlapped,
        "wrong bytes": sum(not out.exists() or out.read_text() != WHOLE for out in outs),
        "lost": JOBS - len(ends),
    }


def _end_orphans(folder: Path) -> None:
    """What still runs in the folder is the peer's; the next round is not to meet it."""
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            try:
                if os.readlink(f"/proc/{entry}/cwd") == str(folder):
                    os.kill(int(entry), signal.SIGKILL)
            except OSError:
                continue


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--group", action="store_true", help="kill the runner's whole process group")
    parser.add_argument("--venv", type=Path, help="a virtual environment with peers in it")
    parser.add_argument("--only", nargs="*", default=(), help="peers to take, by their program's name (`joblot` too)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    path = os.pathsep.join([*([str(options.venv.absolute() / "bin")] if options.venv else []), os.environ["PATH"]])
    victim = "the runner's process group" if options.group else "the runner"
    print(f"\n{options.rounds} kills each of {victim}, {JOBS} jobs of 0.5 s, {AT_ONCE} at a time\n")
    print(f"| | {' | '.join(COLUMNS)} |\n|---|{'---|' * len(COLUMNS)}", flush=True)
    zeros = True
    for peer in peers():
        if options.only and not {peer.name.split(maxsplit=1)[0], Path(peer.program).name} & set(options.only):
            continue
        found = shutil.which(peer.program, path=path)
        if found is None:
            print(f"| {peer.name} | not installed{' |' * len(COLUMNS)}")
            continue
        total = dict.fromkeys(COLUMNS, 0)
        for number in range(options.rounds):
            rng = random.Random(options.seed * 1000 + number)
            for key, count in one_round(peer, found, rng, options.group).items():
                total[key] += count
        print(f"| {peer.name} {version(peer, found)} | {' | '.join(str(total[key]) for key in COLUMNS)} |", flush=True)
        zeros = zeros and (peer.name != "joblot" or not any(total.values()))
    return 0 if zeros else 1


if __name__ == "__main__":
    sys.exit(main())
