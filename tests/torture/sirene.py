"""kill -9 of a batch of datasets at random moments, then `joblot resume`, until it is done: every dataset whole, right, and built once.

A batch of CODES codes is run, its runner (or its worker) is killed, and the run is resumed. Counted are datasets that are not those of an
undisturbed batch, files that a manifest names and that are not what it says, datasets that were built again although their success was
recorded, processes left, and batches that no number of resumes brought to an end. Prints one line; exits 1 when one of these is not 0.

    python tests/torture/sirene.py --kills 40 [--rows 200000] [--seed 1]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

CODES = ("43", "47", "56", "68", "A", "C", "F", "G", "M", "69", "86", "96")
BAD = ("other bytes", "untrue manifests", "built again", "manual steps", "processes left")


def joblot(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "joblot", *words], cwd=folder, capture_output=True, text=True, check=False, timeout=600
    )


def batch(folder: Path, stock: Path, out: str) -> list[str]:
    named = [word for code in CODES for word in ("--naf", code)]
    return ["sirene", "batch", *named, "--input", str(stock), "--output-dir", out, "--profile", "standard"]


def sums(folder: Path) -> dict[str, str]:
    return {path.parent.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*/dataset.csv")}


def children(pid: int) -> list[int]:
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                parent = int(Path(entry.path, "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError, ValueError):
                continue
            if parent == pid:
                found.append(int(entry.name))
    return found


def ended(folder: Path) -> dict[str, int] | None:
    """The jobs with a recorded success, and when their dataset was made. None: killed before there was a run."""
    shown = json.loads(joblot(folder, "show", "last", "--json").stdout)
    if "errors" in shown:
        (error,) = shown["errors"]
        assert error["code"] == "no_runs", error
        return None
    done = [job["job"] for job in shown["results"] if job["status"] == "success"]
    return {name: (folder / "out" / name / "manifest.json").stat().st_mtime_ns for name in done}


def one(stock: Path, right: dict[str, str], took: float, rng: random.Random, tally: Counter[str]) -> int:
    """One batch, killed and resumed until it is done. How often it was killed."""
    kills = 0
    with tempfile.TemporaryDirectory(prefix="joblot-sirene-") as place:
        folder = Path(place)
        words = batch(folder, stock, "out")
        before: dict[str, int] = {}
        for round_ in range(40):
            runner = subprocess.Popen(
                [sys.executable, "-m", "joblot", *words],
                cwd=folder,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            time.sleep(rng.uniform(0.05, took))
            if runner.poll() is None and round_ < 3:
                kills += 1
                victim = rng.choice(["runner", "runner", "below"])
                below = children(runner.pid)
                if victim == "below" and below:
                    os.kill(rng.choice(below), signal.SIGKILL)
                else:
                    os.kill(runner.pid, signal.SIGKILL)
            code = runner.wait(timeout=600)
            now = ended(folder)
            if now is None:
                assert not before, "a run is gone"
                continue  # the same command again
            for name, at in before.items():
                tally["built again"] += now.get(name) != at
            before = now
            if code == 0:
                break
            words = ["resume", "last"]
        else:
            tally["manual steps"] += 1
        time.sleep(0.2)
        left = subprocess.run(["pgrep", "-f", place], capture_output=True, text=True, check=False).stdout.split()
        tally["processes left"] += len(left)
        found = sums(folder / "out")
        tally["other bytes"] += sum(found.get(name) != digest for name, digest in right.items())
        for path in (folder / "out").glob("*/manifest.json"):
            for file in json.loads(path.read_text())["files"]:
                content = (path.parent / file["path"]).read_bytes()
                tally["untrue manifests"] += hashlib.sha256(content).hexdigest() != file["sha256"]
        tally["datasets"] += len(found)
        tally["batches"] += 1
    return kills


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    rng, tally, kills = random.Random(asked.seed), Counter[str](), 0
    with tempfile.TemporaryDirectory(prefix="joblot-sirene-") as place:
        folder = Path(place)
        stock = folder / "stock.parquet"
        made = joblot(folder, "sirene", "sample", str(stock), "--rows", str(asked.rows))
        assert made.returncode == 0, made.stderr
        began = time.monotonic()
        done = joblot(folder, *batch(folder, stock, "out"))
        took = time.monotonic() - began
        assert done.returncode == 0, done.stderr
        right = sums(folder / "out")
        while kills < asked.kills:
            kills += one(stock, right, took, rng, tally)
    bad = ", ".join(f"{what} {tally[what]}" for what in BAD)
    print(f"{kills} kills, {tally['batches']} batches, {tally['datasets']} datasets, {bad}")
    return 1 if any(tally[what] for what in BAD) else 0


if __name__ == "__main__":
    sys.exit(main())
