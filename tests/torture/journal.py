"""kill -9 of a process that writes a run's journal, at random moments; what it had acknowledged must be there afterwards.

The writer says on a pipe how far it has come, after each append has returned. After each kill the run is taken up again as `joblot resume`
does it: what is there must begin with all that was acknowledged, have no gap, no other event, and take further records.

    python tests/torture/journal.py --kills 2000 --durability normal|full [--seed 1] [--runs-on 8]
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from joblot.core import events as ev
from joblot.journal.folder import StateFolder


def write_until_killed(path: Path, run_id: str, begin: int, durability: str, pipe: int, seed: int) -> None:
    """Append records of one to five events for ever; number `n` of all events is `BackoffEnded(n)`."""
    rng = random.Random(seed)
    state = StateFolder(path, durability=durability)
    if state.journal.info(run_id) is None:
        state.journal.create(run_id, batch="b", source="", jobs=1, plan=b"{}", at=0.0)
    hold = state.hold(run_id)
    hold.attach(state.journal, durability, plan=b"{}" if begin == 0 else b"")
    number = begin
    os.write(pipe, b"go:")
    while True:
        count = rng.choice((1, 1, 2, 5))
        state.journal.append(run_id, [ev.BackoffEnded(number + more) for more in range(count)], float(number))
        number += count
        os.write(pipe, b"%d," % number)
        if rng.random() < 0.01:
            state.journal.requests(run_id)


def one_kill(path: Path, run_id: str, begin: int, durability: str, rng: random.Random, tally: Counter) -> int:
    """Returns how many events the run has afterwards."""
    read_fd, write_fd = os.pipe()
    seed = rng.randrange(2**32)
    pid = os.fork()
    if not pid:
        try:
            os.close(read_fd)
            write_until_killed(path, run_id, begin, durability, write_fd, seed)
        finally:
            os._exit(1)
    os.close(write_fd)
    said = b""
    if rng.random() < 0.9:
        said = os.read(read_fd, 3)
    until = time.monotonic() + min(rng.expovariate(1 / 0.03), 0.5)
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, 0.005))
        os.set_blocking(read_fd, False)
        said += drain(read_fd)
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    os.set_blocking(read_fd, True)
    said += drain(read_fd)
    os.close(read_fd)
    tally["writers that ended by themselves"] += os.WIFEXITED(status)
    numbers = said.rpartition(b",")[0].rpartition(b":")[2].split(b",")
    acknowledged = int(numbers[-1]) if numbers[-1] else begin
    tally["kills"] += 1
    tally["acknowledged"] += acknowledged - begin
    return taken_up(path, run_id, durability, acknowledged, tally)


def drain(fd: int) -> bytes:
    parts = []
    try:
        while part := os.read(fd, 1 << 20):
            parts.append(part)
    except BlockingIOError:
        pass
    return b"".join(parts)


def taken_up(path: Path, run_id: str, durability: str, acknowledged: int, tally: Counter) -> int:
    began = time.monotonic()
    state = StateFolder(path, durability=durability)
    try:
        if state.journal.info(run_id) is None:
            tally["lost"] += acknowledged
            return 0
        hold = state.hold(run_id)
        aside = hold.attach(state.journal, durability)
        found = [event.job for record in state.journal.records(run_id) for event in record.events]
        hold.release()
        tally["reopened"] += 1
        tally["kept aside as damaged"] += aside is not None
        tally["lost"] += max(0, acknowledged - len(found))
        tally["gaps or other events"] += found != list(range(len(found)))
        tally["not acknowledged, but there"] += max(0, len(found) - acknowledged)
        tally["longest reopening (ms)"] = max(tally["longest reopening (ms)"], round(1000 * (time.monotonic() - began)))
        return len(found)
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
        tally["not reopened"] += 1
        raise
    finally:
        state.close()


GOOD = ("kills", "acknowledged", "reopened", "not acknowledged, but there", "longest reopening (ms)")
BAD = ("lost", "gaps or other events", "not reopened", "kept aside as damaged", "writers that ended by themselves")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--durability", choices=["normal", "full"], default="normal")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs-on", type=int, default=8, help="kills of one run, before the next run begins")
    options = parser.parse_args()
    rng, tally = random.Random(options.seed), Counter(dict.fromkeys(GOOD + BAD, 0))
    path = Path(tempfile.mkdtemp(prefix="joblot-journal-"))
    began = time.monotonic()
    number = 0
    while tally["kills"] < options.kills:
        number, reached = number + 1, 0
        for _ in range(options.runs_on):
            reached = one_kill(path / "state", f"r{number}", reached, options.durability, rng, tally)
        if number % 20 == 0:
            shutil.rmtree(path / "state")
    shutil.rmtree(path)
    print(", ".join(f"{key} {tally[key]}" for key in GOOD))
    print(", ".join(f"{key} {tally[key]}" for key in BAD), f"({options.durability}, {time.monotonic() - began:.0f} s)")
    return 1 if any(tally[key] for key in BAD) else 0


if __name__ == "__main__":
    sys.exit(main())
