"""kill -9 of a worker, a nanny, the scheduler or the runner at random moments of runs on a Dask cluster, then whatever a person would do.

The cluster is of separate processes that speak TLS, all on this machine: a scheduler and two workers of two threads each. A runner that is
killed, or that ends because its scheduler is gone, is resumed; a scheduler or a nanny that was killed is begun anew, as a cluster's own
supervisor would; a worker is begun anew by its nanny. Batches are the plain ones of `plans`, of Python actions and
commands, with `--plans finally` also with jobs at the end, or with `--plans kept` commands that change in place what is there.

Each attempt holds a lock for as long as any process of it lives, and the next one tries to take it: so an overlap of any length is seen.
Checked besides: what `kill.py` checks of states, bytes, histories and reports. Then a tree of processes is cancelled `--cancels` times by
a second SIGTERM, by `joblot cancel --kill` and by kill -9 of the runner, and the time until none of it lives is measured. Prints what was done
and found; exits 1 if anything was found.

    python tests/torture/dask_kill.py [--plans plain|kept|finally] [--kills 30] [--jobs 500] [--per-run 8] [--cancels 10] [--seed 1]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import kill
import plans

sys.path.insert(0, str(Path(__file__).parents[1]))

from dask_cluster import Certificates, DaskProcesses, certificates, cmdline

VICTIMS = ("worker", "nanny", "scheduler", "runner")
LOCKED = """
import fcntl

HELD = {}


def note(ctx, what):
    if what == "begin":
        HELD[ctx.job] = os.open(ctx.batch_dir / "locks" / ctx.job, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(HELD[ctx.job], fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            what = "overlap"
    else:
        os.close(HELD.pop(ctx.job))
    log = os.open(ctx.batch_dir / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, f"{what} {ctx.job} {ctx.attempt} {time.monotonic()}\\n".encode())
    os.close(log)
"""
# Fused jobs that fail, and growing ones, do not say when they end: their locks say nothing.
KINDS = {
    "plain": plans.plain,
    "kept": plans.kept,
    "finally": lambda rng, jobs: plans.ending(rng, jobs, [plans.plain]),
}

LOCK = "exec 9>>locks/$JOBLOT_JOB; flock -n 9 || " + plans.NOTE.format("overlap")
BAD = (
    "overlaps",
    "successes lost from the file",
    "recorded success run again",
    "recorded twice",
    "lost",
    "wrong bytes",
    "wrong states",
    "manual steps",
    "processes left",
    "reports that differ",
    "illegal histories",
)
GOOD = (
    "kills",
    *(f"of them {victim}" for victim in VICTIMS),
    "runs",
    "jobs",
    "attempts",
    "lost attempts told",
    "histories",
)


class Cluster(DaskProcesses):
    """Whoever is killed in it is begun anew."""

    def strike(self, victim: str, rng: random.Random) -> bool:
        """Kill a part. Whether there was one."""
        if victim == "worker":
            living = self.worker_processes()
            if not living:
                return False
            os.kill(rng.choice(living), signal.SIGKILL)
        elif victim == "nanny":
            nanny = rng.choice(self.workers)
            self.kill(nanny)
            self.workers.remove(nanny)
            self.begin_worker()
        else:
            self.kill(self.scheduler)
        return True

    def begin_again(self) -> None:
        """The scheduler was killed: a new one at its address, and new workers."""
        for worker in self.workers:  # one that has lost its scheduler may take minutes to end
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
        count = len(self.workers)
        self.workers = []
        self.begin_scheduler()
        for _ in range(count):
            self.begin_worker()


def command(folder: Path, cluster: Cluster, settings: Path, *words: str) -> list[str]:
    return [*kill.command(folder, *words), "--on", cluster.address, "--cluster", str(settings), "-q"]


def disturbed(folder, cluster, settings, rng, budget, tally) -> int:
    """Run the batch, and resume it, until it has ended."""
    first = command(folder, cluster, settings, "run", str(folder / "batch.json"), "--run-id", "victim")
    again = command(folder, cluster, settings, "resume", "victim")
    words, before, kills = first, set(), 0
    turns = list(VICTIMS)
    while True:
        with (folder / "stderr").open("wb") as error:
            process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=error, start_new_session=True)
        struck, seen = "", progress(folder)
        while process.poll() is None:
            try:
                process.wait(rng.uniform(0.5, 2.5) if kills < budget and not struck else 120)
            except subprocess.TimeoutExpired:
                if progress(folder) == seen:
                    continue
                victim = turns[kills % len(turns)]
                if victim != "runner" and kill.is_one_loss_from_failing(folder, "victim"):
                    victim = "runner"
                if victim == "runner":
                    process.kill()
                    process.wait()
                elif not cluster.strike(victim, rng):
                    continue
                seen = progress(folder)
                struck = victim if victim in ("runner", "scheduler") else ""
                kills += 1
                tally["kills"] += 1
                tally[f"of them {victim}"] += 1
        if process.returncode == 4 and struck == "scheduler":
            said = (folder / "stderr").read_text()
            tally["manual steps"] += "is gone" not in said or "Traceback" in said
            cluster.begin_again()
        elif process.returncode != -signal.SIGKILL:
            if struck == "scheduler":  # it was killed as the run ended, which nobody noticed
                cluster.begin_again()
            return process.returncode
        after = kill.recorded_successes(folder, "victim")
        tally["successes lost from the file"] += len(before - after)
        before = after
        words = again if kill.knows(folder, "victim") else first


def progress(folder: Path) -> int:
    """What the jobs have written so far, in bytes: a kill is worth more when something runs."""
    log = folder / "log"
    return log.stat().st_size if log.exists() else 0


def one_run(folder: Path, cluster: Cluster, settings: Path, rng, made: plans.Made, budget: int, tally: Counter) -> None:
    for job in [*made.jobs, *made.finals]:
        if "run" in job:
            job["run"] = LOCK + job["run"].replace("sleep 0.", "sleep 0.1")
        else:
            job["params"]["seconds"] += 0.1
    made.write(folder)
    (folder / "locks").mkdir()
    actions = plans.ACTIONS.replace("class Unlucky", LOCKED + "\n\nclass Unlucky", 1)
    start, end = actions.rindex("\ndef note(ctx, what):\n    log ="), actions.index('@action("work")')
    rest = actions[start + 1 : end]
    actions = actions[: start + 1] + rest[rest.index("def file_made") :] + actions[end:]
    (folder / "acts.py").write_text(actions)
    code = disturbed(folder, cluster, settings, rng, budget, tally)
    if code != made.exit_code:
        print(f"exit {code} instead of {made.exit_code}: {(folder / 'stderr').read_text()}")
        tally["manual steps"] += 1
    tally["processes left"] += agents_left(cluster)
    kill.check_history(folder, "victim", tally, status="failed" if made.exit_code else "success")
    books = kill.Books(made, tally)
    for number, events in enumerate(kill.records(folder, "victim")):
        books.read(number, events)
        tally["lost attempts told"] += sum(
            event["type"] == "attempt_ended" and event.get("outcome") == "lost" for event in events
        )
    books.close()
    wrong = books.wrong_bytes(folder / "out")
    tally["wrong bytes"] += len(wrong)
    lines = (folder / "log").read_text().splitlines()
    found = [line for line in lines if line.startswith("overlap ")]
    print("\n".join(found), end="\n" if found else "")
    tally["overlaps"] += len(found)
    tally["runs"] += 1
    (folder / "log").write_text("")
    kill.check_report(folder, "victim", made, tally)


def agents_left(cluster: Cluster) -> int:
    """Processes of the cluster's agents that are there a second after their run."""
    until = time.monotonic() + 1.0
    mark = f"JOBLOT_SITE_FOLDER={cluster.folder}".encode()
    while True:
        left = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if mark in environ(pid)]
        if not left or time.monotonic() > until:
            return len(left)
        time.sleep(0.02)


def environ(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


SIGNALS, COMMAND = "a second SIGTERM", "`joblot cancel --kill`, its own start included"
KILL = "kill -9 of the runner"
TREE = "sleep {n} & setsid sleep {n} & (trap '' TERM; sleep {n}; sleep {n}) & wait"


def cancels(folder: Path, cluster: Cluster, settings: Path, count: int, how: str) -> list[float]:
    """How long after `how` was begun a tree of processes on a worker lived, each time."""
    took = []
    for number in range(count):
        marker = f"9{os.getpid()}{number:03d}"
        (folder / "tree.json").write_text(json.dumps({"jobs": [{"name": "tree", "run": TREE.format(n=marker)}]}))
        run_id = f"tree{number}-{how.split()[-1]}"
        words = command(folder, cluster, settings, "run", str(folder / "tree.json"), "--run-id", run_id)
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while sleeping(marker) < 3:
            time.sleep(0.01)
        if how == SIGNALS:
            process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
        began = time.monotonic()
        if how == SIGNALS:
            process.send_signal(signal.SIGTERM)
        elif how == KILL:
            process.kill()
        else:
            asked = kill.command(folder, "cancel", run_id, "--kill")
            subprocess.Popen(asked, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while sleeping(marker):
            time.sleep(0.002)
        took.append(time.monotonic() - began)
        process.wait()
    return sorted(took)


def sleeping(marker: str) -> int:
    words = f"sleep\0{marker}\0".encode()
    return sum(cmdline(int(entry)) == words for entry in os.listdir("/proc") if entry.isdigit())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--plans", choices=[*KINDS], default="plain")
    parser.add_argument("--per-run", type=int, default=8)
    parser.add_argument("--cancels", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    tally: Counter = Counter(dict.fromkeys(BAD, 0))
    began, turn = time.monotonic(), 0
    home = Path(tempfile.mkdtemp(prefix="joblot-dask-"))
    tls: Certificates = certificates(home, "cluster")
    settings = tls.settings(home / "cluster.json", min_workers=2, wait=60)
    cluster = Cluster(home, workers=2, threads=2, tls=tls)
    try:
        while tally["kills"] < options.kills:
            folder = Path(tempfile.mkdtemp(prefix="joblot-dask-run-"))
            rng = random.Random(options.seed * 1000 + turn)
            budget = min(options.per_run, options.kills - tally["kills"])
            print(f"seed {options.seed}, round {turn}, in {folder}", file=sys.stderr)
            one_run(folder, cluster, settings, rng, KINDS[options.plans](rng, options.jobs), budget, tally)
            shutil.rmtree(folder)
            turn += 1
        took = {
            how: cancels(home, cluster, settings, options.cancels, how)
            for how in (SIGNALS, COMMAND, KILL)
            if options.cancels
        }
    finally:
        cluster.close()
    shutil.rmtree(home)
    print(", ".join(f"{key} {tally[key]}" for key in GOOD))
    print(", ".join(f"{key} {tally[key]}" for key in BAD), f"({time.monotonic() - began:.0f} s)")
    for how, times in took.items():
        middle, most = times[len(times) // 2] * 1000, times[-1] * 1000
        print(f"{len(times)} trees gone {middle:.0f} ms (median), {most:.0f} ms (at most) after {how}")
    return 1 if any(tally[key] for key in BAD) else 0


if __name__ == "__main__":
    sys.exit(main())
