"""A batch of Python functions; `program.py RUN` goes on with a run. The second waits for the file `go`."""

import sys
import time
from pathlib import Path

from joblot import Batch

batch = Batch("python", max_workers=1)


def note(name):
    with Path("ran").open("a") as file:
        file.write(f"{name}\n")


@batch.job
def first():
    note("first")
    return {"n": 7}


@batch.job(needs=[first], max_attempts=2, timeout="5m")
def second():
    note("second")
    print("second prints", flush=True)
    Path("began").touch()
    until = time.monotonic() + 60
    while not Path("go").exists() and time.monotonic() < until:
        time.sleep(0.01)
    return "done"


@batch.job("third", needs=[second])
def last():
    note("third")


batch.command("fourth", "echo fourth >> ran; echo ${{ jobs.first.result.n }}", needs=["first", "third"])

if __name__ == "__main__":
    report = batch.run(resume=sys.argv[1]) if len(sys.argv) > 1 else batch.run(run_id="killed")
    for job in report.jobs.values():
        print(job.name, job.state, job.attempts, job.result)
    sys.exit(report.exit_code)
