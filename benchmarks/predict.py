"""How near `joblot plan` comes to the next run: batches of jobs that take 10 ms to 1 s, at `-j` 1, 2 and 8.

    python benchmarks/predict.py [JOBS]

From the third run on the estimate is asked for before each run: the line says by how much it was off, as the median of five runs. `sleep`: no
job needs a processor; `spin`: a third of them do; `needs`: each job may need others.
"""

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def batch(kind: str, jobs: int) -> str:
    """A batch of commands, the same each time."""
    dice, made = random.Random(kind), []
    for number in range(jobs):
        seconds = dice.choice((0.01, 0.03, 0.1, 0.3, 1.0))
        command = ["sleep", str(seconds)]
        if kind == "spin" and number % 3 == 0:
            command = [sys.executable, "-I", "-S", "-c", f"import time\nwhile time.process_time() < {seconds}: pass"]
        needs = sorted({dice.randrange(number) for _ in range(dice.choice((0, 0, 1, 2)))}) if number else []
        made.append({"name": f"j{number}", "run": command})
        if kind == "needs":
            made[-1]["needs"] = [f"j{need}" for need in needs]
    return json.dumps({"name": kind, "jobs": made})


def joblot(*words: str) -> str:
    """What a command prints to standard output."""
    command = [sys.executable, "-m", "joblot", *words]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout


def measured(kind: str, workers: str, jobs: int) -> tuple[float, float, float]:
    """The middle one of five: seconds that were estimated, seconds that it took, and by which part that was off."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("batch.json").write_text(batch(kind, jobs))
        found = []
        for run in range(7):
            estimate = json.loads(joblot("plan", "batch.json", "-j", workers, "--json"))["estimate"] if run >= 2 else {}
            report = json.loads(joblot("run", "batch.json", "-j", workers, "-q", "--json"))
            if run >= 2:
                took, told = report["duration_ms"] / 1000, estimate["total_s"]
                found.append((abs(told - took) / took, told, took))
        os.chdir("/")
    off, told, took = statistics.median(found)
    return told, took, off


def main() -> None:
    """Print a line for each batch and number of jobs at once."""
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    print(f"{time.strftime('%Y-%m-%d')}, {jobs} jobs, {os.cpu_count()} processors")
    for kind in ("sleep", "spin", "needs"):
        for workers in ("1", "2", "8"):
            told, took, off = measured(kind, workers, jobs)
            print(f"{kind:<6} -j {workers}: {told:6.2f} s told, {took:6.2f} s taken, {off:5.1%} off", flush=True)


if __name__ == "__main__":
    main()
