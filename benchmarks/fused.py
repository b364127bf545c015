"""Many searches in one file: fused (one pass), unfused (a pass each), and a single one. `python benchmarks/fused.py [SIZE_MB] [PATTERNS]`

Whole runs of the command, each in a process of its own, with the state folder beside the data; the file is read once before, so that it is in memory.
The patterns are 20 ids, which are rare, 15 errors of one component, and 15 kinds of line that take long: what somebody looks for in a log.
Says how long each took, the two ratios, and whether the results are equal byte for byte.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WORDS = ("alpha", "beta", "gamma", "delta", "request", "response", "connection", "timeout", "user", "service")
VERBS = ("opened", "closed", "failed", "retried", "queued", "sent")


def make_log(path: Path, size_mb: int) -> int:
    """Write a log of about this size; the number of its lines."""
    dice = random.Random(1)
    lines = [
        f"2026-11-{dice.randint(1, 28):02d}T{dice.randint(0, 23):02d}:{dice.randint(0, 59):02d}:{dice.randint(0, 59):02d}Z"
        f" {dice.choices(('INFO', 'WARNING', 'ERROR'), (90, 7, 3))[0]} {dice.choice(WORDS)}.{dice.choice(WORDS)}"
        f" {dice.choice(VERBS)} id={dice.randint(0, 999_999):06d} code={dice.randint(100, 599)} took {dice.randint(1, 9999)} ms"
        for _ in range(20_000)
    ]
    count = 0
    with path.open("wb") as file:
        while file.tell() < size_mb * 2**20:
            dice.shuffle(lines)
            file.write(("\n".join(lines) + "\n").encode())
            count += len(lines)
    return count


def patterns(count: int) -> list[str]:
    ids = [f"id={number:05d}\\d" for number in range(0, 100_000, 5_000)]
    errors = [f"ERROR {one}\\.{two} (failed|closed)" for one in WORDS[:5] for two in WORDS[:3]]
    slow = [f"code=5{number:02d} took 9\\d{{3}} ms" for number in range(15)]
    mixed = [one for three in zip(ids, errors, slow, strict=False) for one in three] + ids[15:]
    return [mixed[number % len(mixed)] + f"|never{number}" * (number >= len(mixed)) for number in range(count)]


def run(folder: Path, wanted: list[str], *options: str) -> tuple[float, list[str]]:
    """Seconds, and the results as JSON, of searching for these."""
    jobs = [
        {"name": f"s{n}", "action": "search_pattern", "input": "big.log", "params": {"pattern": one}}
        for n, one in enumerate(wanted)
    ]
    (folder / "batch.json").write_text(json.dumps({"jobs": jobs}))
    command = [sys.executable, "-m", "joblot", "run", "batch.json", "--json", *options]
    began = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, check=True)
    seconds = time.perf_counter() - began
    return seconds, [json.dumps(job["result"]) for job in json.loads(done.stdout)["results"]]


def main() -> None:
    size_mb = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 50
    wanted = patterns(count)
    with tempfile.TemporaryDirectory(prefix="fused-", dir=".") as name:
        folder = Path(name)
        lines = make_log(folder / "big.log", size_mb)
        (folder / "big.log").read_bytes()
        ones = [run(folder, [wanted[at]])[0] for at in (0, 1, 2)]
        fused_s, fused = run(folder, wanted)
        unfused_s, unfused = run(folder, wanted, "--no-fuse")
    one_s = sum(ones) / len(ones)
    matched = sum(json.loads(one)["matching_lines"] for one in fused)
    print(f"{count} searches in one file of {size_mb} MB, {lines} lines, of which {matched} are found")
    print(f"one:     {one_s:8.2f} s  (" + ", ".join(f"{seconds:.2f}" for seconds in ones) + ")")
    print(f"fused:   {fused_s:8.2f} s  = {fused_s / one_s:.1f} times one")
    print(f"unfused: {unfused_s:8.2f} s  = {unfused_s / fused_s:.1f} times fused")
    print(f"results: {'equal, byte for byte' if fused == unfused else 'NOT EQUAL'}")


if __name__ == "__main__":
    main()
