"""kill -9 at random moments of a run of 5 to 200 jobs, then `joblot resume`, again and again until the run has ended.

The victim is the runner, the warden that holds its jobs, a worker or command of it, or all of them at once (`any`: by turns). A runner
whose warden or worker was killed goes on by itself. With `--plans hiding` the jobs hide from joblot; wardens are stopped as well, with the
runner alive (`stop`) or killed (`left`: the stopped one goes on while another process resumes); and strangers stand by that look like
processes of the run, some with the numbers of processes that were killed. The batches are those of `plans`: plain graphs, fused jobs, plans that grow (`mixed`: by
turns). With `--plans wait` two runs of one batch, each with `--wait`, change the same files in place: whichever is killed, while it goes on or waits, the other one
has its turn, finds whole files and meets no process of the first; the killed one is resumed as soon as it may. Half of the runners of growing plans are killed at a chosen moment: when the plan is about to grow, or has just grown.

Checked after each run: no job of `finally` began before the run was settled, no other after it; no job with a recorded success was started again, no recorded success was lost, each job has come to what it must
and its file holds exactly what its attempts leave, attempts of one job never overlapped, no process of the run is left, and the final
report equals that of an undisturbed run (times, attempts and run id aside); where jobs hide, nobody could take a lock that an earlier attempt
held, no lock is held in the end, and every stranger lives. Prints what was done and what was found, a line each; exits 1
if anything was found.

    python tests/torture/kill.py --kills 200 [--victim runner|warden|worker|all|stop|left|any]
        [--plans plain|fused|growing|hiding|kept|finally|wait|mixed]
        [--check history] [--seed 1] [--jobs 200] [--per-run 12]
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
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
from collections.abc import Iterator
from pathlib import Path

import plans

TRAPPED = """
import os, signal, sys
import joblot.runner.growth
from joblot.__main__ import main
from joblot.core.events import PlanExtended
from joblot.journal.sqlite import SqliteJournal

moment, left = sys.argv[1], int(sys.argv[2])
find_items, append = joblot.runner.growth.find_items, SqliteJournal.append

def reached(what):
    global left
    left -= what == moment
    if what == moment and not left:
        os.kill(os.getpid(), signal.SIGKILL)

def finding(*arguments):
    reached("looking")
    return find_items(*arguments)

def appending(journal, run_id, events, at):
    grows = any(isinstance(event, PlanExtended) for event in events)
    if grows:
        reached("found")
    record = append(journal, run_id, events, at)
    if grows:
        reached("grown")
    return record

joblot.runner.growth.find_items, SqliteJournal.append = finding, appending
sys.exit(main(sys.argv[3:]))
"""
"""A runner that is killed when it looks for the items that its plan grows by, when it has found them, or when they have been recorded."""
MOMENTS = ("looking", "found", "grown")


def command(folder: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "joblot", words[0], *words[1:], "--state", str(folder / "state")]


def records(folder: Path, run_id: str) -> Iterator[list[dict]]:
    """The events of each record in the run's own file, torn last line aside."""
    path = folder / "state" / "runs" / run_id / "events.jsonl"
    if path.exists():
        for line in path.read_bytes().split(b"\n")[:-1]:
            yield json.loads(line)["events"]


def is_success(event: dict) -> bool:
    return event["type"] == "attempt_ended" and event.get("outcome", "ok") == "ok"


def recorded_successes(folder: Path, run_id: str) -> set[int]:
    """The jobs whose success stands in the run's own file."""
    return {event["job"] for events in records(folder, run_id) for event in events if is_success(event)}


def comparable(report: dict) -> list[tuple]:
    """What a run must come to. Whether a job did its work or had done it is another thing when the runner was killed as it ended."""
    return sorted(
        (item["job"], item["status"].replace("cached", "success"), json.dumps(item.get("result")))
        for item in report["results"]
    )


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


class Strangers:
    """Processes that look like those of a run, and are none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen] = []
        self.reused: list[int] = []
        self.stopped: list[int] = []
        """Wardens that were stopped and left behind."""

    def begin(self) -> None:
        """Some that name the run, stand in its folder, or have another run's name."""
        state, sleep = f"{self.folder}/state/runs/victim", ["sleep", "1000"]
        for words, options in (
            (sleep, {"env": {"JOBLOT_RUN": f"{state}-2"}}),
            (sleep, {"env": {}, "cwd": self.folder}),
            (["tail", "-f", str(self.folder / "log")], {"env": {}}),
            (["sh", "-c", "sleep 1000; :", f"JOBLOT_RUN={state}"], {"env": {"RUN": state}}),
        ):
            self.processes.append(
                subprocess.Popen(
                    words,
                    start_new_session=True,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    **options,
                )
            )

    def reuse(self, pids: list[int]) -> int:
        """Have strangers get the numbers of sessions that are gone, as far as the system lets that be; how many did."""
        got = 0
        for pid in pids:
            try:
                Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
            except OSError:
                return got
            words = ["setsid", "sh", "-c", "env -i sleep 1000 >/dev/null 2>&1 & echo $$ $!"]
            leader, stranger = map(int, subprocess.run(words, capture_output=True, check=True).stdout.split())
            self.reused.append(stranger)
            got += leader == pid
        return got

    def go_on(self) -> None:
        for pid in self.stopped:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass
        self.stopped.clear()

    def end(self) -> int:
        """How many were killed. Ends those that live."""
        killed = sum(process.poll() is not None for process in self.processes)
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # it leads a session, and one has a child
            process.wait()
        for pid in self.reused:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                killed += 1
        return killed


def strike(runner: subprocess.Popen, victim: str, rng: random.Random, strangers: Strangers, tally: Counter) -> bool:
    """Kill, or stop. Whether there was something to kill."""
    wardens = children(runner.pid)
    workers = [pid for warden in wardens for pid in children(warden)]
    if victim == "runner":
        chosen = [runner.pid]
    elif victim == "warden":
        chosen = wardens[:1]
    elif victim in ("stop", "left"):
        for warden in wardens[:1]:
            os.kill(warden, signal.SIGSTOP)
        if victim == "stop":
            return bool(wardens)
        strangers.stopped += wardens[:1]
        chosen = [runner.pid]
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
    if victim == "warden":
        wait_for_another(runner, wardens)
    if runner.pid in chosen:
        runner.wait()
    if strangers.processes and victim == "all":
        until = time.monotonic() + 3
        while time.monotonic() < until and any(Path(f"/proc/{pid}").exists() for pid in workers[:2]):
            time.sleep(0.02)
        tally["numbers that came again"] += strangers.reuse(workers[:2])
    return bool(chosen)


def wait_for_another(runner: subprocess.Popen, wardens: list[int]) -> None:
    """Until the runner has another warden: then it knows what was lost."""
    until = time.monotonic() + 10
    while runner.poll() is None and time.monotonic() < until and set(children(runner.pid)) <= set(wardens):
        time.sleep(0.01)


def is_one_loss_from_failing(folder: Path, run_id: str) -> bool:
    """Whether a job has lost its warden so often that, were it lost once more while it runs alone, it would be to blame, and rightly."""
    losses: Counter = Counter()
    for events in records(folder, run_id):
        for event in events:
            if event["type"] == "attempt_ended":
                if event.get("state", "success") in ("success", "failed"):
                    del losses[event["job"]]
                elif event["outcome"] == "lost" and event["reason"] == "lost":
                    losses[event["job"]] += 1
    return max(losses.values(), default=0) >= CRASH_LIMIT - 1


def check_history(folder: Path, run_id: str, tally: Counter, *, status: str) -> None:
    """The whole record against the state machine's rules: every event must be a legal move, and the end must be where they lead."""
    from joblot.config.load import decode
    from joblot.journal.folder import StateFolder
    from joblot.core.plan import expand
    from joblot.core.limits import Limits
    from joblot.core.runstate import RunState
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
        tally["illegal histories"] += machine.status != status or any(
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
    spans: dict[str, dict[str, list[float]]] = {}
    ends: Counter = Counter()
    for line in (folder / "log").read_text().splitlines():
        what, name, attempt, at = line.split()
        if what == "begin":
            spans.setdefault(name, {})[attempt] = [float(at), float("inf")]
        else:
            spans[name][attempt][1] = float(at)
            ends[name] += 1
    for name, attempts in spans.items():
        finite = [span for span in attempts.values() if span[1] != float("inf")]
        tally["overlaps"] += sum(a[1] > b[0] + 0.02 for a, b in zip(finite, finite[1:], strict=False))
        tally["ran to the end twice (unrecorded the first time)"] += ends[name] > 1


class Books:
    """What a run's own file says of each job, by number; names come from the batch and from the items that were found."""

    def __init__(self, made: plans.Made, tally: Counter) -> None:
        self.made, self.tally, self.names = made, tally, made.names
        self.started: Counter = Counter()
        self.succeeded: dict[int, list[int]] = {}
        self.bundle: dict[int, tuple[int, int]] = {}
        self.struck: set[tuple[int, int]] = set()
        self.finals = range(len(made.jobs), len(made.jobs) + len(made.finals))
        self.settled = 0

    def read(self, number: int, events: list[dict]) -> None:
        """Take in a record."""
        for event in events:
            if event["type"] == "plan_extended":
                self.tally["wrong plans"] += event["first"] != len(self.names)
                self.names += [self.made.grows[event["job"]] + n for n in event.get("columns", {}).get("n", ())]
            elif event["type"] == "run_settled":
                self.settled += 1
            elif event["type"] == "run_reopened":  # it was killed when its end was recorded: it comes to another one
                self.settled = 0
                for job in self.finals:
                    self.succeeded.pop(job, None)
            elif event["type"] == "attempts_started":
                self.begin(number, event)
            elif event["type"] == "attempt_ended":
                self.end(event)
            elif event["type"] == "jobs_ended" and event["state"] == "cached":
                # the runner was killed when the success was noted for later runs and not yet recorded: it is done, and not done again
                for job in event["jobs"]:
                    if self.started[job] and self.names[job] in self.made.kept:
                        self.succeeded.setdefault(job, []).append(0)
                        self.made.status[self.names[job]] = "cached"
                        self.tally["noted and not recorded"] += 1

    def begin(self, number: int, event: dict) -> None:
        sizes = event.get("bundles") or [1] * len(event["jobs"])
        shared = [(number, first) if size > 1 else None for first, size in enumerate(sizes) for _ in range(size)]
        for job, bundle in zip(event["jobs"], shared, strict=True):
            self.started[job] += 1
            self.tally["out of their phase"] += (job in self.finals) != bool(self.settled)
            self.tally["attempts of finally"] += job in self.finals
            self.tally["recorded success run again"] += job in self.succeeded
            self.bundle.pop(job, None)
            if bundle is not None:
                self.bundle[job] = bundle

    def end(self, event: dict) -> None:
        job, outcome = event["job"], event.get("outcome", "ok")
        if outcome == "ok":
            self.succeeded.setdefault(job, []).append(event["attempt"])
        elif outcome in ("crash", "lost", "interrupted"):
            if job in self.bundle:
                self.struck.add(self.bundle[job])
            self.tally["growing jobs interrupted"] += job in self.made.grows
            self.tally["jobs of finally interrupted"] += job in self.finals

    def close(self) -> None:
        """Count."""
        tally = self.tally
        expected = {name for name, status in self.made.status.items() if status in ("success", "cached")}
        tally["recorded twice"] += sum(len(ends) - 1 for ends in self.succeeded.values())
        tally["lost"] += len(expected - {self.names[job] for job in self.succeeded})
        tally["attempts"] += sum(self.started.values())
        tally["bundles struck"] += len(self.struck)
        tally["jobs"] += len(self.made.status)
        tally["out of their phase"] += self.settled != bool(self.finals)

    def wrong_bytes(self, out: Path) -> list[str]:
        """The jobs whose file is not what their attempts must have left."""
        last = {self.names[job]: ends[-1] for job, ends in self.succeeded.items()}
        wrong = []
        for name, status in self.made.status.items():
            there = (out / name).read_text() if (out / name).exists() else None
            if name in self.made.kept:
                pair = out.parent / "pair" / name
                whole = "before\n" if status == "failed" else "half full\n"
                right = there == whole and {path.name: path.read_text() for path in pair.glob("*")} == {"f": whole}
                wrong += [] if right else [name]
                continue
            if status != "success" or name.endswith("*"):
                right = there is None
            elif name in self.made.appended:
                right = there is not None and is_appended(there, name, last.get(name, 0))
            else:
                right = there == "half full\n"
            wrong += [] if right else [name]
        return wrong


def is_appended(text: str, name: str, last: int) -> bool:
    """Whether these are whole lines of attempts, each at most once and in their order, and nothing after the one that is on record."""
    numbers = [int(line.rpartition(" ")[2]) for line in text.splitlines()]
    whole = text == "".join(f"{name} {number}\n" for number in numbers)
    return whole and numbers == sorted(set(numbers)) and numbers[-1:] == [last]


def launched(words: list[str], said: Path, rng: random.Random, *, trapped: bool) -> subprocess.Popen:
    """joblot, perhaps with a trap that kills it when its plan is about to grow. What it says is in the file `said`."""
    if trapped:
        words = [sys.executable, "-c", TRAPPED, rng.choice(MOMENTS), str(rng.randint(1, 3)), *words[3:]]
    with said.open("wb") as error:
        return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=error, start_new_session=True)


def disturbed(
    folder: Path,
    run_id: str,
    rng: random.Random,
    budget: int,
    tally: Counter,
    strangers: Strangers,
    *,
    victim: str,
    grows: bool,
) -> int:
    """Run the batch, and resume it, until it has ended. Returns the last exit code."""
    first = command(folder, "run", str(folder / "batch.json"), "--run-id", run_id, "-j", "4", "-q")
    again = command(folder, "resume", run_id, "-j", "4", "-q")
    words, before = first, set()
    kills = 0
    while True:
        trapped = grows and kills < budget and victim in ("runner", "all", "any") and rng.random() < TRAPS
        process = launched(words, folder / "stderr", rng, trapped=trapped)
        struck = False
        while process.poll() is None:
            try:
                process.wait(rng.uniform(0.05, 0.9 if victim in ("runner", "all") else 0.4) if kills < budget else 120)
            except subprocess.TimeoutExpired:
                strangers.go_on()
                aim = rng.choice(VICTIMS if strangers.processes else KILLED) if victim == "any" else victim
                if aim == "warden" and is_one_loss_from_failing(folder, run_id):
                    continue
                if strike(process, aim, rng, strangers, tally):
                    kills += 1
                    struck = aim in ("runner", "all", "left")
                    tally["kills"] += 1
                    tally[f"of them {aim}"] += 1
        if process.returncode != -signal.SIGKILL:
            return process.returncode
        if not struck:
            kills += 1
            tally["kills"] += 1
            tally["of them runner, as a plan grew"] += 1
        time.sleep(rng.choice((0, 0.02, 0.2)))
        after = recorded_successes(folder, run_id)
        tally["successes lost from the file"] += len(before - after)
        before = after
        words = again if knows(folder, run_id) else first


def one_run(
    folder: Path, rng: random.Random, made: plans.Made, budget: int, tally: Counter, *, victim: str, history: bool
) -> None:
    made.write(folder)
    run_id = "victim"
    (folder / "log").touch()
    strangers = Strangers(folder)
    if made.hides:
        strangers.begin()
    code = disturbed(folder, run_id, rng, budget, tally, strangers, victim=victim, grows=bool(made.grows))
    if code != made.exit_code:
        print(f"exit {code} instead of {made.exit_code}: {(folder / 'stderr').read_text()}")
        tally["manual steps"] += 1
    time.sleep(0.05)
    strangers.go_on()
    tally["strangers killed"] += strangers.end()
    tally["processes left"] += len(of_the_run(folder, run_id)) + len(held_locks(folder))
    if (folder / "overlaps").exists():
        tally["overlaps"] += len((folder / "overlaps").read_text().splitlines())
    if history:
        check_history(folder, run_id, tally, status="failed" if made.exit_code else "success")
    books = Books(made, tally)
    for number, events in enumerate(records(folder, run_id)):
        books.read(number, events)
    books.close()
    wrong = books.wrong_bytes(folder / "out")
    if wrong:
        print(f"wrong bytes: {', '.join(wrong)}")
    tally["wrong bytes"] += len(wrong)
    check_log(folder, tally)
    check_report(folder, run_id, made, tally)
    tally["runs"] += 1


TURN = """\
exec 8< lock/$JOBLOT_RUN_ID; flock -s 8
flock lock/asking flock -n lock/{other} true || echo $JOBLOT_JOB >> overlaps
read number word < out/$JOBLOT_JOB; test "$word" = whole || echo $JOBLOT_JOB >> halves
echo half > out/$JOBLOT_JOB; sleep {seconds}; echo $((number + 1)) whole > out/$JOBLOT_JOB
"""
"""What a job does while its run has its turn: a lock of its run tells whether the other one has it too."""


def two_runs(folder: Path, rng: random.Random, jobs: int, budget: int, tally: Counter, *, victim: str) -> None:
    """Two runs of one batch that wait for each other, until both have ended well."""
    names, runs = [f"w{number:03d}" for number in range(jobs)], ("one", "two")
    other = "$(test $JOBLOT_RUN_ID = one && echo two || echo one)"
    batch = [
        {"name": name, "outputs": [f"out/{name}"], "retry": plans.RETRY, "grace": 0,
         "run": TURN.format(other=other, seconds=round(rng.uniform(0.0, 0.2), 3))}
        for name in names
    ]  # fmt: skip
    for path in ("out", "lock"):
        (folder / path).mkdir()
    for name in names:
        (folder / "out" / name).write_text("0 whole\n")
    for name in (*runs, "asking"):
        (folder / "lock" / name).touch()
    (folder / "batch.json").write_text(json.dumps({"name": "turns", "jobs": batch}))
    begin = ["run", str(folder / "batch.json"), "-j", "4", "-q", "--force", "--wait", "--run-id"]
    strangers, kills, until = Strangers(folder), 0, time.monotonic() + 300
    going = {run: launched(command(folder, *begin, run), folder / run, rng, trapped=False) for run in runs}
    while going:
        time.sleep(rng.uniform(0.05, 0.4))
        if time.monotonic() > until:
            raise RuntimeError(f"a run waits for ever: {sorted(going)}")
        run = rng.choice(sorted(going))
        aim = rng.choice(KILLED) if victim == "any" else victim
        lost = aim == "warden" and is_one_loss_from_failing(folder, run)
        if kills < budget and going[run].poll() is None and not lost:
            waits = len(going) == 2 and not children(going[run].pid)
            if strike(going[run], aim, rng, strangers, tally):
                kills += 1
                tally["kills"] += 1
                tally[f"of them {aim}"] += 1
                tally["waiting runs struck"] += waits
        for run, process in list(going.items()):
            if process.poll() is None:
                continue
            if process.returncode == 0:
                del going[run]
            elif process.returncode in (-signal.SIGKILL, 5):  # 5: the other one has its turn
                words = ["resume", run, "-j", "4", "-q"] if knows(folder, run) else [*begin, run]
                going[run] = launched(command(folder, *words), folder / run, rng, trapped=False)
            else:
                print(f"exit {process.returncode}: {(folder / run).read_text()}")
                tally["manual steps"] += 1
                del going[run]
    for what, file in (("overlaps", "overlaps"), ("wrong bytes", "halves")):
        if (folder / file).exists():
            tally[what] += len((folder / file).read_text().splitlines())
    tally["wrong bytes"] += sum((folder / "out" / name).read_text().split()[1:] != ["whole"] for name in names)
    for run in runs:
        states = [item["status"] for item in shown_report(folder, run)["results"]]
        tally["lost"] += len(names) - sum(state in ("success", "cached") for state in states)
        ends = Counter(event["job"] for events in records(folder, run) for event in events if is_success(event))
        tally["recorded twice"] += sum(count - 1 for count in ends.values())
        tally["processes left"] += len(of_the_run(folder, run))
        tally["attempts"] += sum(
            len(event["jobs"])
            for events in records(folder, run)
            for event in events
            if event["type"] == "attempts_started"
        )
    tally["jobs"] += 2 * len(names)
    tally["runs"] += 2


def held_locks(folder: Path) -> list[str]:
    """The jobs of which a process is left, whatever it calls itself."""
    held = []
    for path in (folder / "lock").iterdir():
        with path.open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held.append(path.name)
    return held


def check_report(folder: Path, run_id: str, made: plans.Made, tally: Counter) -> None:
    """The report against what the batch must come to, and against that of an undisturbed run."""
    shown = shown_report(folder, run_id)
    wrong = {item["job"]: item["status"] for item in shown["results"]}.items() ^ made.status.items()
    if wrong:
        print(f"wrong states: {sorted(wrong)}")
    tally["wrong states"] += len({name for name, _ in wrong})
    clean = folder / "clean"
    shutil.copytree(folder, clean, ignore=shutil.ignore_patterns("state", "out", "pair", "log", "lock", "done"))
    for name in ("out", "lock", "done"):
        (clean / name).mkdir()
    made.lay_out(clean)
    words = command(clean, "run", str(clean / "batch.json"), "--run-id", "clean", "-j", "4", "-q")
    if subprocess.run(words, check=False, capture_output=True).returncode != made.exit_code:
        raise RuntimeError("the undisturbed run does not come to what it must")
    tally["reports that differ"] += comparable(shown) != comparable(shown_report(clean, "clean"))


def shown_report(folder: Path, run_id: str) -> dict:
    return json.loads(subprocess.run(command(folder, "show", run_id, "--json"), capture_output=True, check=True).stdout)


def knows(folder: Path, run_id: str) -> bool:
    """Whether the run had come as far as being in the journal when it was killed; before that nothing has begun."""
    listed = subprocess.run(command(folder, "ls", "--json"), capture_output=True, check=False)
    return listed.returncode == 0 and run_id in listed.stdout.decode()


CRASH_LIMIT = 3
"""A job that was lost so often runs alone, and has failed when it is lost once more: wardens of a run that has come near it are spared."""
TRAPS = 0.5
"""The share of runners with a trap, where plans grow."""
KILLED = ("runner", "warden", "worker", "all")
VICTIMS = (*KILLED, "stop", "left")
GOOD = (
    "kills",
    *(f"of them {victim}" for victim in VICTIMS),
    "of them runner, as a plan grew",
    "numbers that came again",
    "growing jobs interrupted",
    "attempts of finally",
    "jobs of finally interrupted",
    "waiting runs struck",
    "bundles struck",
    "runs",
    "histories",
    "jobs",
    "attempts",
    "ran to the end twice (unrecorded the first time)",
    "noted and not recorded",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=200, help="at most so many jobs a run; at least 5")
    parser.add_argument("--victim", choices=[*VICTIMS, "any"], default="runner")
    parser.add_argument("--plans", choices=[*plans.KINDS, "wait", "mixed"], default="plain")
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
                "wrong states",
                "wrong plans",
                "out of their phase",
                "manual steps",
                "processes left",
                "strangers killed",
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
        kind = [*plans.KINDS][round_number % len(plans.KINDS)] if options.plans == "mixed" else options.plans
        budget = min(options.per_run, options.kills - tally["kills"])
        try:
            if kind == "wait":
                two_runs(folder, rng, rng.randint(5, max(5, options.jobs)), budget, tally, victim=options.victim)
                shutil.rmtree(folder)
                round_number += 1
                continue
            one_run(
                folder,
                rng,
                plans.KINDS[kind](rng, rng.randint(5, max(5, options.jobs))),
                budget,
                tally,
                victim=options.victim,
                history=options.check == "history",
            )
        except BaseException:
            print(f"seed {options.seed}, round {round_number}, {kind}, in {folder}")
            raise
        shutil.rmtree(folder)
        round_number += 1
    bad = {key: count for key, count in tally.items() if key not in GOOD}
    print(", ".join(f"{key} {tally[key]}" for key in GOOD))
    print(", ".join(f"{key} {count}" for key, count in sorted(bad.items())), f"({time.monotonic() - began:.0f} s)")
    return 1 if any(bad.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
