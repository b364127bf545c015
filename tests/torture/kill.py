"""kill -9 at random moments of a run of 5 to 200 jobs, then `joblot resume`, again and again until the run has ended.

The victim is the runner, the warden that holds its jobs, a worker or command of it, or all of them at once (`any`: by turns). A runner
whose warden or worker was killed goes on by itself.

Checked after each run: no job with a recorded success was started again, no recorded success was lost, each job's file holds exactly what
one undisturbed run leaves, attempts of one job never overlapped, no process of the run is left, and the final report equals that of an
undisturbed run (times, attempts and run id aside). Prints one line of counts; exits 1 if any of the bad ones is not 0.

    python tests/torture/kill.py --kills 200 [--victim runner|warden|worker|all|any] [--check history] [--seed 1] [--jobs 200]
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

ACTIONS = '''
import os, time
from pathlib import Path
from joblot import action, Context

@action("work")
def work(*, name: str, seconds: float, ctx: Context) -> dict:
    """Say when it began and ended, and make a file in between."""
    folder = ctx.batch_dir / "out"
    log = os.open(ctx.batch_dir / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, f"begin {name} {ctx.attempt} {time.monotonic()}\\n".encode())
    with ctx.output(folder / name) as part:
        part.write_text("half ")
        time.sleep(seconds)
        with part.open("a") as file:
            file.write("full\\n")
    os.write(log, f"end {name} {ctx.attempt} {time.monotonic()}\\n".encode())
    return {"name": name}
'''

COMMAND = (
    'echo "begin $JOBLOT_JOB $JOBLOT_ATTEMPT $(cut -d" " -f1 /proc/uptime)" >> log; printf "half " > out/.$JOBLOT_JOB.part; sleep {seconds};'
    ' printf "full\\n" >> out/.$JOBLOT_JOB.part; mv out/.$JOBLOT_JOB.part out/$JOBLOT_JOB;'
    ' echo "end $JOBLOT_JOB $JOBLOT_ATTEMPT $(cut -d" " -f1 /proc/uptime)" >> log; echo name=$JOBLOT_JOB > $JOBLOT_OUTPUT'
)


def make_batch(folder: Path, rng: random.Random, jobs: int) -> None:
    """A random graph of Python actions and commands, some failing once and retried."""
    (folder / "out").mkdir(parents=True)
    (folder / "acts.py").write_text(ACTIONS)
    made = []
    for number in range(jobs):
        name = f"j{number:03d}"
        needs = (
            sorted({f"j{rng.randrange(max(0, number - 30), number):03d}" for _ in range(rng.choice((0, 1, 1, 2)))})
            if number
            else []
        )
        seconds = round(rng.uniform(0.0, 0.03), 3)
        # A killed worker is a failed try of its job.
        job: dict[str, object] = {"name": name, "needs": needs, "retry": {"max_attempts": 50, "delay": 0}}
        if rng.random() < 0.7:
            job |= {"action": "work", "params": {"name": name, "seconds": seconds}}
        else:
            job["run"] = COMMAND.format(seconds=seconds)
        made.append(job)
    (folder / "batch.json").write_text(json.dumps({"imports": ["./acts.py"], "jobs": made}))


def command(folder: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "joblot", words[0], *words[1:], "--state", str(folder / "state")]


def recorded_successes(folder: Path, run_id: str) -> set[int]:
    """The jobs whose success stands in the run's own file, torn last line aside."""
    path = folder / "state" / "runs" / run_id / "events.jsonl"
    done: set[int] = set()
    if path.exists():
        for line in path.read_bytes().split(b"\n")[:-1]:
            for event in json.loads(line)["events"]:
                if event["type"] == "attempt_ended" and event.get("outcome", "ok") == "ok":
                    done.add(event["job"])
    return done


def comparable(report: dict) -> list[tuple]:
    return [(item["job"], item["status"], json.dumps(item.get("result"))) for item in report["results"]]


def of_the_run(folder: Path, run_id: str) -> list[int]:
    """Living processes that carry the run's cookie: its id, and the state folder where the cookie says it."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                words = Path(f"/proc/{entry}/environ").read_bytes().split(b"\0")
                cookie = next((word for word in words if word.startswith(b"JOBLOT_RUN=")), b"").decode()
                ours = cookie in (f"JOBLOT_RUN={run_id}", f"JOBLOT_RUN={folder}/state/runs/{run_id}")
                if ours and Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                    found.append(int(entry))
            except OSError:
                continue
    return found


def children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def strike(runner: subprocess.Popen, victim: str, rng: random.Random) -> bool:
    """Kill. Whether there was something to kill."""
    wardens = children(runner.pid)
    workers = [pid for warden in wardens for pid in children(warden)]
    if victim == "runner":
        chosen = [runner.pid]
    elif victim == "warden":
        chosen = wardens[:1]
    elif victim == "worker":
        chosen = [rng.choice(workers)] if workers else []
    else:
        chosen = [runner.pid, *wardens, *workers]
        rng.shuffle(chosen)
    for pid in chosen:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    if runner.pid in chosen:
        runner.wait()
    return bool(chosen)


def check_history(folder: Path, run_id: str, tally: Counter) -> None:
    """The whole record against the state machine's rules: every event must be a legal move, and the end must be where they lead."""
    from joblot.config.load import decode
    from joblot.journal.folder import StateFolder
    from joblot.plan import expand
    from joblot.limits import Limits
    from joblot.runstate import RunState
    from joblot.testing import audit

    state = StateFolder(folder / "state", read_only=True)
    plan = expand(decode(state.journal.plan(run_id)))
    machine = RunState(plan, Limits(slots=4))
    numbers: Counter = Counter()
    try:
        for record in state.journal.records(run_id):
            for event in record.events:
                for job in getattr(event, "jobs", ()) if type(event).__name__ == "AttemptsStarted" else ():
                    numbers[job] += 1
                machine.apply(event)
        audit(machine)
        tally["illegal histories"] += machine.status != "success" or any(
            machine.attempts[job] > count for job, count in numbers.items()
        )
    except AssertionError as error:
        tally["illegal histories"] += 1
        print(f"illegal history: {error}")
    finally:
        state.close()
    tally["histories"] += 1


def check_log(folder: Path, tally: Counter) -> None:
    """Overlaps and second completions, from what the jobs themselves wrote."""
    spans: dict[str, list[list[float]]] = {}
    ends: Counter = Counter()
    for line in (folder / "log").read_text().splitlines():
        what, name, _, at = line.split()
        if what == "begin":
            spans.setdefault(name, []).append([float(at), float("inf")])
        else:
            spans[name][-1][1] = float(at)
            ends[name] += 1
    for name, times in spans.items():
        finite = [span for span in times if span[1] != float("inf")]
        tally["overlaps"] += sum(a[1] > b[0] + 0.02 for a, b in zip(finite, finite[1:], strict=False))
        tally["ran to the end twice (unrecorded the first time)"] += ends[name] > 1


def one_run(
    folder: Path, rng: random.Random, jobs: int, budget: int, tally: Counter, *, victim: str, history: bool
) -> None:
    make_batch(folder, rng, jobs)
    run_id = "victim"
    first = command(folder, "run", str(folder / "batch.json"), "--run-id", run_id, "-j", "4", "-q")
    again = command(folder, "resume", run_id, "-j", "4", "-q")
    words, before = first, set()
    kills = wardens = 0
    while True:
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
        while process.poll() is None:
            try:
                process.wait(rng.uniform(0.05, 0.9 if victim in ("runner", "all") else 0.4) if kills < budget else 120)
            except subprocess.TimeoutExpired:
                aim = rng.choice(("runner", "warden", "worker", "all")) if victim == "any" else victim
                if aim == "warden" and wardens == WARDENS:
                    continue
                wardens += aim == "warden"
                if strike(process, aim, rng):
                    kills += 1
                    tally["kills"] += 1
                    tally[f"of them {aim}"] += 1
        if process.returncode == -signal.SIGKILL:
            time.sleep(rng.choice((0, 0.02, 0.2)))
            after = recorded_successes(folder, run_id)
            tally["successes lost from the file"] += len(before - after)
            before = after
            words = again if knows(folder, run_id) else first
            process.stderr.close()
            continue
        error = process.stderr.read().decode()
        process.stderr.close()
        if process.returncode:
            print(f"exit {process.returncode}: {error}")
            tally["manual steps"] += 1
        break
    time.sleep(0.05)
    tally["processes left"] += len(of_the_run(folder, run_id))
    if history:
        check_history(folder, run_id, tally)
    lines = (folder / "state" / "runs" / run_id / "events.jsonl").read_bytes().splitlines()
    started: Counter = Counter()
    succeeded: Counter = Counter()
    for line in lines:
        for event in json.loads(line)["events"]:
            if event["type"] == "attempts_started":
                for job in event["jobs"]:
                    started[job] += 1
                    tally["recorded success run again"] += succeeded[job]
            if event["type"] == "attempt_ended" and event.get("outcome", "ok") == "ok":
                succeeded[event["job"]] += 1
    tally["recorded twice"] += sum(count - 1 for count in succeeded.values())
    tally["lost"] += jobs - len(succeeded)
    tally["wrong bytes"] += sum(
        not (folder / "out" / f"j{n:03d}").exists() or (folder / "out" / f"j{n:03d}").read_text() != "half full\n"
        for n in range(jobs)
    )
    tally["attempts"] += sum(started.values())
    tally["jobs"] += jobs
    check_log(folder, tally)
    shown = subprocess.run(command(folder, "show", run_id, "--json"), capture_output=True, check=True)
    clean = folder / "clean"
    shutil.copytree(folder, clean, ignore=shutil.ignore_patterns("state", "out", "log"))
    (clean / "out").mkdir()
    subprocess.run(
        command(clean, "run", str(clean / "batch.json"), "--run-id", "clean", "-j", "4", "-q"),
        check=True,
        capture_output=True,
    )
    undisturbed = subprocess.run(command(clean, "show", "clean", "--json"), capture_output=True, check=True)
    tally["reports that differ"] += comparable(json.loads(shown.stdout)) != comparable(json.loads(undisturbed.stdout))
    tally["runs"] += 1


def knows(folder: Path, run_id: str) -> bool:
    """Whether the run had come as far as being in the journal when it was killed; before that nothing has begun."""
    listed = subprocess.run(command(folder, "ls", "--json"), capture_output=True, check=False)
    return listed.returncode == 0 and run_id in listed.stdout.decode()


WARDENS = 2
"""How many wardens of one run are killed: a job that lost its warden three times has failed."""
VICTIMS = ("runner", "warden", "worker", "all")
GOOD = (
    "kills",
    *(f"of them {victim}" for victim in VICTIMS),
    "runs",
    "histories",
    "jobs",
    "attempts",
    "ran to the end twice (unrecorded the first time)",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=200, help="at most so many jobs a run; at least 5")
    parser.add_argument("--victim", choices=[*VICTIMS, "any"], default="runner")
    parser.add_argument("--check", choices=["report", "history"], default="report")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--per-run", type=int, default=12)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    tally: Counter = Counter(
        dict.fromkeys(
            (
                "overlaps",
                "successes lost from the file",
                "recorded success run again",
                "recorded twice",
                "lost",
                "wrong bytes",
                "manual steps",
                "processes left",
                "reports that differ",
                "illegal histories",
            ),
            0,
        )
    )
    began = time.monotonic()
    round_number = 0
    while tally["kills"] < options.kills:
        folder = Path(tempfile.mkdtemp(prefix="joblot-kill-"))
        rng = random.Random(options.seed * 1000 + round_number)
        try:
            one_run(
                folder,
                rng,
                rng.randint(5, max(5, options.jobs)),
                min(options.per_run, options.kills - tally["kills"]),
                tally,
                victim=options.victim,
                history=options.check == "history",
            )
        except BaseException:
            print(f"seed {options.seed}, round {round_number}, in {folder}")
            raise
        shutil.rmtree(folder)
        round_number += 1
    bad = {key: count for key, count in tally.items() if key not in GOOD}
    print(", ".join(f"{key} {tally[key]}" for key in GOOD))
    print(", ".join(f"{key} {count}" for key, count in sorted(bad.items())), f"({time.monotonic() - began:.0f} s)")
    return 1 if any(bad.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
