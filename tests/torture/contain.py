"""Fourteen nasty shapes of jobs, ended in every way there is, many times: how many processes are left, and how long until they are gone.

Each case is a run of its own with all shapes as commands and as Python actions at once. When all of them are there, it is ended by: a
timeout, `joblot cancel --kill`, a failing job with `--fail-fast`, two Ctrl-C, HUP twice, TERM twice, kill -9 of the runner, of the warden
(the run is then ended by TERM, as it is when the warden was stopped), or it ends by itself while its daemons stay. Every process carries a marker in its command line or its
environment, or is a descendant noted before; survivors after LIMIT seconds are counted, printed and killed. Prints one table; exits 1 if
there were any.

    python tests/torture/contain.py --rounds 50 [--seed 1] [--ways cancel,kill ...]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIMIT = 5.0
GRACE = 0.2

SHAPES = {
    "plain": "sleep {n}",
    "ignores-term": "trap '' TERM INT HUP; sleep {n} & wait; sleep {n}",
    "children": "sleep {n} & sleep {n} & wait",
    "own-session": "setsid sleep {n} & wait; sleep {n}",
    "double-fork": "(setsid sh -c 'sleep {n} & sleep {n}' &) ; sleep {n}",
    "stopped": "sleep {n} & kill -STOP $!; sleep {n}",
    "no-environment": "(env -i setsid sleep {n} &) ; sleep {n}",
    "renamed": """(perl -e '$0 = "{n} " x 2000; sleep 1000' &) ; sleep {n}""",
    "cleared": "exec env -i sleep {n}",
    "holds-output": "(sleep {n} &) ; exec sleep {n}",
    "forks-on": "while :; do sh -c 'sleep {n} & sleep 0.05' & sleep 0.1; done",
}
ACTIONS = '''
import os, signal, subprocess, time
from joblot import action

@action("hang")
def hang(*, marker: str, how: str) -> None:
    """Wait, with children of several kinds."""
    if how == "deaf":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
    if how == "daemon":
        subprocess.run(["sh", "-c", f"setsid sleep {marker} </dev/null >/dev/null 2>&1 &"])
    if how == "fork":
        if not os.fork():
            os.setsid()
            if not os.fork():
                os.execlp("sleep", "sleep", marker)
            os._exit(0)
        os.wait()
    subprocess.Popen(["sleep", marker])
    while True:
        time.sleep(1)
'''
WAYS = ("timeout", "cancel", "fail-fast", "ctrl-c", "hup", "term", "kill", "kill-warden", "stop-warden")


def batch(folder: Path, marker: str, way: str) -> int:
    """Write the batch. Returns how many jobs will hang."""
    (folder / "acts.py").write_text(ACTIONS)
    jobs: list[dict[str, object]] = [{"name": name, "run": shape.format(n=marker)} for name, shape in SHAPES.items()]
    jobs += [
        {"name": how, "action": "hang", "params": {"marker": marker, "how": how}} for how in ("deaf", "daemon", "fork")
    ]
    for job in jobs:
        job["grace"] = GRACE
        if way == "timeout":
            job["timeout"] = 1.5
    hanging = len(jobs)
    if way == "fail-fast":
        jobs.append({"name": "fails", "run": "while ! test -e go; do sleep 0.02; done; false"})
    (folder / "batch.json").write_text(json.dumps({"imports": ["./acts.py"], "jobs": jobs}))
    return hanging


def processes() -> dict[int, tuple[int, str, bytes]]:
    """Every process: parent, state, command line."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = Path(f"/proc/{entry}/stat").read_bytes().rpartition(b")")[2].split()
                found[int(entry)] = int(fields[1]), fields[0].decode(), Path(f"/proc/{entry}/cmdline").read_bytes()
            except OSError:
                continue
    return found


def below(root: int, table: dict) -> set[int]:
    found, left = set(), [root]
    while left:
        parent = left.pop()
        for pid, (of, _, _) in table.items():
            if of == parent and pid not in found:
                found.add(pid)
                left.append(pid)
    return found


def living(noted: dict[int, bytes], marker: str) -> list[int]:
    table = processes()
    return [
        pid
        for pid, (_, state, line) in table.items()
        if state not in "ZX" and pid != os.getpid() and (marker.encode() in line or noted.get(pid) == line)
    ]


def wait_until_all_hang(runner: int, marker: str, hanging: int) -> dict[int, bytes]:
    """Returns the whole tree, with command lines."""
    until = time.monotonic() + 20
    while True:
        table = processes()
        tree = below(runner, table)
        sleepers = sum(marker.encode() in line and line.startswith(b"sleep") for _, _, line in table.values())
        if sleepers >= hanging + 5:
            return {pid: table[pid][2] for pid in tree if pid in table}
        if time.monotonic() > until:
            raise SystemExit(f"only {sleepers} of the jobs came up")
        time.sleep(0.02)


def one(folder: Path, marker: str, way: str) -> tuple[int, int, float]:
    """One case. Returns processes that were there, survivors, and seconds until all were gone."""
    hanging = batch(folder, marker, way)
    words = [sys.executable, "-m", "joblot", "run", "batch.json", "-q", "-j", "20", "--run-id", "victim"]
    words += ["--stop-grace", "5s", *(["--fail-fast"] if way == "fail-fast" else [])]
    runner = subprocess.Popen(
        words,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    began = time.monotonic()
    noted = wait_until_all_hang(runner.pid, marker, hanging)
    noted.pop(runner.pid, None)
    struck = time.monotonic()
    if way == "timeout":
        struck = max(struck, began + 1.5 + GRACE)
    elif way == "cancel":
        subprocess.run(
            [sys.executable, "-m", "joblot", "cancel", "--kill", "victim"], cwd=folder, capture_output=True, check=False
        )
    elif way == "fail-fast":
        (folder / "go").touch()
        struck += GRACE
    elif way in ("ctrl-c", "hup", "term"):
        number = {"ctrl-c": signal.SIGINT, "hup": signal.SIGHUP, "term": signal.SIGTERM}[way]
        os.kill(runner.pid, number)
        time.sleep(0.15)
        os.kill(runner.pid, number)
        struck = time.monotonic()
    elif way == "kill":
        runner.kill()
    elif way == "stop-warden":
        os.kill(next(pid for pid, (parent, _, _) in processes().items() if parent == runner.pid), signal.SIGSTOP)
        for _ in range(2):
            os.kill(runner.pid, signal.SIGTERM)
            time.sleep(0.05)
        struck = time.monotonic()
    elif way == "kill-warden":
        warden = next(pid for pid, (parent, _, _) in processes().items() if parent == runner.pid)
        os.kill(warden, signal.SIGKILL)
        noted = {pid: line for pid, line in noted.items() if pid != warden}
        time.sleep(0.3)  # a new warden begins; what ran is run again
        for _ in range(2):
            os.kill(runner.pid, signal.SIGTERM)
            time.sleep(0.05)
        struck = time.monotonic()
    alive = living(noted, marker)
    while alive and time.monotonic() - struck < LIMIT:
        time.sleep(0.005)
        alive = living(noted, marker)
    lasted = max(0.0, time.monotonic() - struck)
    if alive:
        table = processes()
        print(
            f"{way}: left {[table[pid][2].replace(bytes(1), b' ').decode() for pid in alive if pid in table]} in {folder}"
        )
    for pid in alive:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    try:
        runner.wait(10)
    except subprocess.TimeoutExpired:
        print(f"{way}: the runner did not end")
        runner.kill()
        runner.wait()
        return len(noted), len(alive) + 1, lasted
    return len(noted), len(alive), lasted


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ways", default=",".join(WAYS))
    options = parser.parse_args()
    # A shell ignores Ctrl-C in what it starts in the background, and `nohup` ignores a hangup: the runners would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    rng = random.Random(options.seed)
    bad = 0
    print(f"{'way':14}{'rounds':>8}{'processes':>11}{'left':>6}{'gone p50':>11}{'gone max':>11}", flush=True)
    for way in options.ways.split(","):
        there = left = 0
        times = []
        for _ in range(options.rounds):
            folder = Path(tempfile.mkdtemp(prefix="joblot-contain-"))
            found, alive, lasted = one(folder, f"9{os.getpid()}{rng.randrange(10**4):04}", way)
            there, left = there + found, left + alive
            times.append(lasted)
            if not alive:
                shutil.rmtree(folder, ignore_errors=True)
        bad += left
        row = f"{way:14}{options.rounds:8}{there:11}{left:6}{statistics.median(times) * 1000:8.0f} ms{max(times) * 1000:8.0f} ms"
        print(row, flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
