"""`joblot resume` of 10 000 jobs of which half were done when the runner was killed: how long until it goes on, and what runs again.

One of the jobs, half-way, kills the runner with signal 9. Then the run is resumed, by turns with the command line and from Python. Printed,
best of the rounds: wall seconds from the start of the process to the first attempt (by the journal's own times), CPU seconds until then,
what of them is the decision itself (from the call of `resume_run`, after all imports), and the whole. Counted, over all rounds: recorded
successes that ran again, jobs that ran again without a recorded success (those in flight), jobs that have no success in the end.

With `--venv DIR` the same for DBOS on SQLite: one workflow of as many steps, killed half-way, then started again. Exits 1 when a recorded
success ran again, a job is missing, or the decision takes more than LIMIT CPU seconds.

    python benchmarks/resume.py [--jobs 10000] [--rounds 3] [--on local] [--venv DIR]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from measure import JOBLOT, PYTHON, Figure, compile_all, once

LIMIT = 0.15
ACTIONS = """
import os
from pathlib import Path
from joblot import action

@action("noop")
def noop() -> None:
    "Nothing."

@action("kill_runner")
def kill_runner() -> None:
    "Kill who is named in a file, once."
    victim = Path(__file__).with_name("victim")
    if victim.exists():
        pid = int(victim.read_text())
        victim.unlink()
        os.kill(pid, 9)
        os.read(os.pipe()[0], 1)
"""
RESUME = """
import sys, time
began = time.process_time()
import joblot.cli.drive, joblot.runner.engine, joblot.executors.local, joblot.executors.inline, joblot.journal.folder, joblot.reports.report
from joblot.runner.options import Options
from joblot.runner.launch import resume_run

class First:
    def started(self, run_id, state): pass
    def recorded(self, record):
        if not self.seen and any(type(event).__name__ == "AttemptsStarted" for event in record.events):
            self.seen = time.process_time()
    def idle(self): pass
    def warned(self, message): pass
    def ended(self, status): pass
    seen = 0.0

first = First()
entered = time.process_time()
report = resume_run("killed", Options(on=sys.argv[1], workers=2, state=sys.argv[2]), observers=[first])
assert report.ok, report.counts
print(first.seen, first.seen - entered)
"""
DBOS = """
import os, signal
from pathlib import Path
from dbos import DBOS, SetWorkflowID

DBOS(config={{
    "name": "steps", "system_database_url": "sqlite:///dbos.sqlite", "run_admin_server": False, "log_level": "CRITICAL",
    "application_version": "1", "executor_id": "local",
}})

@DBOS.step()
def step(number):
    with open("ran", "a") as file:
        file.write(f"{{number}}\\n")
    if number == {half} and os.path.exists("victim"):
        os.unlink("victim")
        os.kill(os.getpid(), signal.SIGKILL)

@DBOS.workflow()
def work():
    for number in range({jobs}):
        step(number)

if __name__ == "__main__":
    DBOS.launch()
    with SetWorkflowID("steps"):
        DBOS.start_workflow(work).get_result()
"""


def killed_run(folder: Path, jobs: int, on: str) -> None:
    """A run whose runner was killed half-way."""
    (folder / "acts.py").write_text(ACTIONS)
    listed = [{"name": f"j{n}", "action": "kill_runner" if n == jobs // 2 else "noop"} for n in range(jobs)]
    (folder / "batch.json").write_text(json.dumps({"imports": ["./acts.py"], "jobs": listed}))
    words = [*JOBLOT, "run", str(folder / "batch.json"), "--run-id", "killed", "-q", "-j", "2", "--on", on]
    process = subprocess.Popen([*words, "--state", str(folder / "state")], stdout=subprocess.DEVNULL)
    (folder / "victim").write_text(str(process.pid))
    if process.wait() != -signal.SIGKILL:
        sys.exit(f"the run was not killed but ended with {process.returncode}")


def events(folder: Path) -> list[tuple[float, dict]]:
    """Every whole event of the run with its time."""
    found = []
    for line in (folder / "state" / "runs" / "killed" / "events.jsonl").read_bytes().split(b"\n")[:-1]:
        record = json.loads(line)
        found += [(record["at"], event) for event in record["events"]]
    return found


def tally_of(folder: Path, jobs: int) -> tuple[Counter[str], float]:
    """What ran again, and when the resumed run started its first attempt, in seconds since the epoch."""
    tally: Counter[str] = Counter()
    begun: set[int] = set()
    done: set[int] = set()
    first = 0.0
    resumed = False
    for at, event in events(folder):
        resumed = resumed or event["type"] == "run_resumed"
        if event["type"] == "attempts_started":
            first = first or (at if resumed else 0.0)
            for job in event["jobs"]:
                tally["recorded successes run again"] += job in done
                tally["others run again"] += job in begun and job not in done
                begun.add(job)
        elif event["type"] == "attempt_ended" and event.get("outcome", "ok") == "ok":
            tally["done before the kill"] += not resumed
            done.add(event["job"])
    tally["without a success"] = jobs - len(done)
    return tally, first


def by_command(folder: Path, on: str) -> tuple[Figure, float]:
    """The whole, and the moment at which it began."""
    words = [*JOBLOT, "resume", "killed", "-q", "-j", "2", "--on", on, "--state", str(folder / "state")]
    quiet = ["/bin/sh", "-c", 'exec "$@" 2> /dev/null', "sh"]  # it says of each job in flight that it runs again
    began = time.time()
    return once([*quiet, *words]), began


def by_program(folder: Path, on: str) -> tuple[float, float]:
    """CPU seconds of the runner until the first attempt: all of them, and those of the decision."""
    program = folder / "resume.py"
    program.write_text(RESUME)
    done = subprocess.run([PYTHON, str(program), on, str(folder / "state")], capture_output=True, text=True, check=True)
    whole, decision = map(float, done.stdout.split())
    return whole, decision


def dbos(python: str, jobs: int) -> None:
    with tempfile.TemporaryDirectory(prefix="joblot-resume-") as name:
        folder = Path(name)
        (folder / "steps.py").write_text(DBOS.format(jobs=jobs, half=jobs // 2))
        (folder / "victim").write_text("")
        if subprocess.run([python, "steps.py"], cwd=folder, capture_output=True).returncode != -signal.SIGKILL:
            sys.exit("DBOS was not killed")
        figure = once([python, "steps.py"], folder=folder)
        ran = Counter((folder / "ran").read_text().split())
        again = sum(count > 1 for count in ran.values())
        print(
            f"DBOS on SQLite, {jobs} steps: resumed run {figure.wall:.2f} s wall, {figure.cpu:.2f} CPU-s;"
            f" run again {again}, missing {jobs - len(ran)}"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--on", choices=["local", "inline"], default="local")
    parser.add_argument("--venv", type=Path, help="a virtual environment with dbos in it")
    options = parser.parse_args()
    compile_all()
    total: Counter[str] = Counter()
    wall, whole, cpu, decision = [], [], [], []
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory(prefix="joblot-resume-") as name:
            folder = Path(name)
            killed_run(folder, options.jobs, options.on)
            figure, began = by_command(folder, options.on)
            tally, first = tally_of(folder, options.jobs)
            total += tally
            wall.append(first - began)
            whole.append(figure)
        with tempfile.TemporaryDirectory(prefix="joblot-resume-") as name:
            folder = Path(name)
            killed_run(folder, options.jobs, options.on)
            figures = by_program(folder, options.on)
            total += tally_of(folder, options.jobs)[0]
            cpu.append(figures[0])
            decision.append(figures[1])
    print(
        f"joblot resume, {options.jobs} jobs, {options.on}: first attempt after {min(wall):.3f} s wall, {min(cpu):.3f} CPU-s,"
        f" of them {min(decision):.3f} the decision (limit {LIMIT}); whole {min(f.wall for f in whole):.2f} s wall,"
        f" {min(f.cpu for f in whole):.2f} CPU-s"
    )
    for name in ("done before the kill", "recorded successes run again", "others run again", "without a success"):
        total.setdefault(name, 0)
    print(f"in {2 * options.rounds} kills: {', '.join(f'{name} {count}' for name, count in total.items())}")
    if options.venv is not None:
        dbos(os.path.join(options.venv, "bin", "python"), options.jobs)
    bad = total["recorded successes run again"] or total["without a success"] or min(decision) > LIMIT
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
