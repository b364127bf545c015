"""`joblot schedule` is killed, by -9, at any moment: every due time has one run, or a reason why it has none.

Most kills are cheap ones: a forked process looks at the schedules, as `tick` and `run` do, and ends without another word at its n-th call of a
function, wherever that is; mostly one process, sometimes two at once. In place of a run there is the first thing that one does, its row in the
journal, and a lock that it holds. Time goes on by itself. `--real` of the kills are real: `joblot schedule tick` and `run` and the runs that they
have started, each killed after a random time.

Checked at the end: each due time is in one row; each row that tells of a run has one, and no run stands for none; nothing is still to begin.

`--days` are simulated, in which the machine sleeps and its clock is set back as well.

    python tests/torture/schedule_kill.py --kills 10000 --real 100 --days 365 [--seed 1]
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from bisect import bisect_right
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path

from joblot.clock import offset_at
from joblot.core.model import Schedule
from joblot.core.schedule import due_times
from joblot.errors import StateError
from joblot.journal.folder import StateFolder
from joblot.journal.schedules import Schedules, opened
from joblot.runner.schedule import Files, Scheduler, Start

BATCH = "timezone: Europe/Paris\nschedule: {{cron: '{cron}', missed: {missed}, within: 24h}}\njobs: [{{name: a, run: 'true'}}]\n"
BAD = ("without a row", "doubled", "without a run", "still to begin", "refused")
BEGIN = 1_795_000_000


def lay_out(folder: Path, cron: str = "*/2 * * * *", missed: tuple[str, ...] = ("once", "all", "skip")) -> None:
    for word in missed:
        (folder / f"{word}.yaml").write_text(BATCH.format(cron=cron, missed=word))


def look(folder: Path, now: float, calls: int, begins: bool) -> int:
    """Look at the schedules once, and begin what is due, until the n-th call; without a number to the end."""
    left = calls

    def count(_frame: object, event: str, _arg: object) -> None:
        nonlocal left
        if event in ("call", "c_call"):
            left -= 1
            if left == 0:
                os._exit(9)

    scheduler = Scheduler(Files(str(folder)), folder / ".joblot", lambda *_: None, wall=lambda: now)
    if calls:
        sys.setprofile(count)
    starts = scheduler.look()
    for start in starts:
        if begins:
            with closing(StateFolder(folder / ".joblot")) as state, suppress(StateError):
                state.journal.create(start.run, batch="b", source=start.planned.source, jobs=1, plan=b"{}", at=now)
        if random.random() < 0.5:
            scheduler.settled(start, 0)
        os.close(start.lock)
    sys.setprofile(None)
    return len(starts)


def forked(folder: Path, now: float, calls: int, begins: bool) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        random.seed(calls)
        look(folder, now, calls, begins)
        code = 0
    finally:
        os._exit(code)


def findings(folder: Path, begin: float, now: float, cron: str, zone: str = "Europe/Paris") -> Counter[str]:
    """What is not as it must be, where all batch files have one expression; or in those that a mapping names with their own."""
    found: Counter[str] = Counter()
    with closing(StateFolder(folder / ".joblot", read_only=True)) as state:
        schedules = Schedules(state.journal, read_only=True)
        runs = Counter(info.source for info in state.journal.runs())
        for path in sorted(folder.glob("*.yaml")):
            source = str(path)
            cron, zone = WEEKS.get(path.stem, (cron, zone))
            rows = schedules.last_rows(source, -1)
            spans = sorted((row.first, row.at) for row in rows)
            found["doubled"] += sum(
                after[0] <= before[1] and after[0] != after[1] and before[0] != before[1]
                for before, after in zip(spans, spans[1:], strict=False)
            )
            times = list(due_times(Schedule((cron,)), offset_at(zone), begin, now))
            covered = sum(any(low <= at <= high for low, high in _near(spans, at)) for at in times)
            found["without a row"] += len(times) - covered
            started = [row for row in rows if row.fate in ("claimed", "started")]
            ids = {row.run for row in started}
            found["doubled"] += len(started) - len(ids)
            found["without a run"] += sum(state.journal.info(run) is None for run in ids)
            found["doubled"] += runs[source] - len(ids)
            claim = schedules.claimed(source)
            found["still to begin"] += claim is not None and not claim.has_begun
            found["refused"] += sum(row.fate == "refused" for row in rows)
            found["due times"] += len(times)
            found["runs"] += len(ids)
    return found


WEEKS = {
    "nightly": ("30 2 * * *", "Europe/Paris"),
    "hours": ("15 */4 * * *", "UTC"),
    "weekly": ("0 3 * * 1", "America/New_York"),
    "often": ("45 1,2 * * *", "Australia/Lord_Howe"),
}


def simulate(folder: Path, days: int, seed: int) -> Counter[str]:
    """Weeks in which the machine sleeps, its clock is set back, and schedulers and runs are killed; runs take up to two hours."""
    rng, now = random.Random(seed), float(BEGIN)
    for (name, (cron, zone)), missed in zip(WEEKS.items(), ("once", "skip", "all", "once"), strict=True):
        text = BATCH.format(cron=cron, missed=missed).replace("Europe/Paris", zone)
        (folder / f"{name}.yaml").write_text(text)

    def scheduler() -> Scheduler:
        return Scheduler(Files(str(folder)), folder / ".joblot", lambda *_: None, wall=lambda: now)

    def end(start: Start) -> None:
        os.close(start.lock)
        current.settled(start, 0)

    def begin(start: Start) -> None:
        with closing(StateFolder(folder / ".joblot")) as state:
            state.journal.create(start.run, batch="b", source=start.planned.source, jobs=1, plan=b"{}", at=now)

    current, running, furthest = scheduler(), [], now
    current.look()
    while now < BEGIN + days * 86_400:
        now = max(now, min([current.next_at, *(until for until, _ in running)]))
        chance = rng.random()
        if chance < 0.05:
            now += rng.uniform(0, 3 * 86_400)
        elif chance < 0.07:
            now -= rng.uniform(0, 5 * 3600)
        elif chance < 0.12:
            current = scheduler()
        furthest = max(furthest, now)
        for until, start in list(running):
            if until <= now:
                running.remove((until, start))
                end(start)
        for start in current.look():
            if rng.random() < 0.1:  # killed before it began
                os.close(start.lock)
            else:
                begin(start)
                running.append((now + rng.uniform(0, 7200), start))
        now += 1
    for _, start in running:
        end(start)
    now = furthest + 86_400
    while starts := current.look():
        for start in starts:
            begin(start)
            end(start)
    return findings(folder, BEGIN, now, "")


def _near(spans: list[tuple[int, int]], at: int) -> list[tuple[int, int]]:
    """The spans that may hold a due time: one that was missed may have others inside, which came before the clock was set back."""
    place = bisect_right(spans, (at, 10**12))
    return spans[max(0, place - 50) : place]


def cheap(folder: Path, kills: int, seed: int) -> Counter[str]:
    rng, cron, now = random.Random(seed), "*/2 * * * *", float(BEGIN)
    lay_out(folder, cron)
    look(folder, now, 0, True)
    longest, killed = measure(folder, now), 0
    while killed < kills:
        # A while of nobody looking, now and then; else about a minute, as of a crontab.
        now += rng.choice((0.0, 1.0, 30.0, 60.0, 60.0, 60.0, 60.0, 500.0)) + rng.random()
        pids = [
            forked(folder, now + rng.random(), rng.randint(1, longest), rng.random() < 0.9)
            for _ in range(rng.choice((1, 1, 1, 2)))
        ]
        for pid in pids:
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            assert code in (0, 9), code
            killed += code == 9
    for _ in range(1000):
        now += 0.001
        if not look(folder, now, 0, True):
            break
    return findings(folder, BEGIN, now, cron) + Counter(kills=killed)


def measure(folder: Path, now: float) -> int:
    """How many calls a look takes in which all is due."""
    calls = 0

    def count(_frame: object, event: str, _arg: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    scheduler = Scheduler(Files(str(folder)), folder / ".joblot", lambda *_: None, wall=lambda: now)
    sys.setprofile(count)
    scheduler.look()
    sys.setprofile(None)
    return calls * 2


def real(folder: Path, kills: int, seed: int) -> Counter[str]:
    """Real processes, which make up for what was missed one after the other: so there is always something to begin."""
    rng, cron, begin = random.Random(seed), "* * * * *", time.time()
    lay_out(folder, cron, ("all",))
    joblot = [sys.executable, "-m", "joblot", "schedule"]
    subprocess.run([*joblot, "tick", str(folder)], check=True, capture_output=True)
    begin, killed = time.time() - kills * 30, 0
    with opened(folder / ".joblot") as (_, schedules):
        source = str(folder / "all.yaml")
        schedules.take_in(source, schedules.kept(source).asked, begin)
    while killed < kills:
        process = subprocess.Popen(
            [*joblot, rng.choice(("tick", "run")), str(folder)], stderr=subprocess.DEVNULL, process_group=0
        )
        time.sleep(rng.uniform(0.1, 3.0))
        if process.poll() is None:
            children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
            victims = [process.pid] if rng.random() < 0.5 else [process.pid, *map(int, children)]
            for pid in victims:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            killed += 1
        process.wait()
    now = time.time()
    subprocess.run([*joblot, "tick", str(folder)], check=True, capture_output=True)
    return findings(folder, begin, now, cron) + Counter(kills=killed)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--real", type=int, default=0)
    parser.add_argument("--days", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    bad = 0
    for campaign, kills in ((cheap, options.kills), (real, options.real), (simulate, options.days)):
        if kills:
            began = time.monotonic()
            with tempfile.TemporaryDirectory(prefix="schedule-") as folder:
                found = campaign(Path(folder), kills, options.seed)
            words = ", ".join(f"{word} {found[word]}" for word in ("kills", "due times", "runs", *BAD))
            print(f"{campaign.__name__}: {words}, in {time.monotonic() - began:.0f} s")
            bad += sum(found[word] for word in BAD)
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
