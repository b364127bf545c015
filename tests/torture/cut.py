"""Both copies of a small run, cut at every byte and with bits flipped at random: opened, made again, or refused with one line.

Three copies are tried: the run's own file while the database has nothing, the database without the file, and either beside a sound other
one, where nothing at all may be lost once `joblot recover` was called. What is read must be a beginning of what was written (all of it
where one copy is sound); a flip inside an event must be noticed; no other exception than joblot's own may come out.

    python tests/torture/cut.py --flips 100000 [--seed 1] [--step 1]
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from joblot.errors import StateError
from joblot.journal.folder import StateFolder
from joblot.journal.recover import recover
from joblot.journal.runfile import read_rows
from joblot.runner.options import Options
from joblot.runner.launch import start_run
from joblot.core.model import Config, JobSpec
from joblot.core.plan import expand


def make_run(path: Path) -> None:
    jobs = [
        JobSpec(name=f"j{number}", run=f"exit {number // 4}", needs=(f"j{number - 1}",) if number % 3 else ())
        for number in range(6)
    ]
    start_run(
        expand(Config(name="small", folder=str(path.parent), jobs=jobs)), Options(state=path, run_id="r1", on="inline")
    )


class Copies:
    """The folder that is spoilt and restored, and what stands in it."""

    def __init__(self, path: Path) -> None:
        make_run(path)
        self.path = path
        self.journal = path / "journal.db"
        self.file = path / "runs" / "r1" / "events.jsonl"
        self.plan = self.file.with_name("plan.json").read_bytes()
        self.sound_file = self.file.read_bytes()
        self.sound_journal = self.journal.read_bytes()
        self.rows = [row for row, _ in read_rows(self.file)]
        empty = sqlite3.connect(self.journal, isolation_level=None)
        empty.execute("DELETE FROM record")
        empty.execute("VACUUM")
        empty.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        empty.close()
        self.empty_journal = self.journal.read_bytes()

    def put(self, journal: bytes, file: bytes | None) -> None:
        for leftover in self.path.iterdir():
            if leftover.name.startswith(("journal.db", ".journal.db")):
                leftover.unlink()
        for leftover in self.file.parent.iterdir():
            if leftover.name.startswith(("events.jsonl", ".events.jsonl")):
                leftover.unlink()
        self.journal.write_bytes(journal)
        if file is not None:
            self.file.write_bytes(file)

    def read(self, *, write: bool = False) -> list[tuple]:
        """The run's records as a reader sees them, or as who takes it up."""
        state = StateFolder(self.path, read_only=not write)
        try:
            if write:
                hold = state.hold("r1")
                try:
                    hold.attach(state.journal, "normal")
                finally:
                    hold.release()
            if state.journal.info("r1") is None:
                raise StateError("no run `r1`")
            state.journal.plan("r1")
            return [(record.seq, record.at, repr(record.events)) for record in state.journal.records("r1")]
        finally:
            state.close()


class Judge:
    def __init__(self, copies: Copies, tally: Counter) -> None:
        self.copies, self.tally = copies, tally
        copies.put(copies.sound_journal, copies.sound_file)
        self.whole = copies.read()

    def look(self, what: str, *, write: bool = False, at_least: int = 0) -> list[tuple] | None:
        """Read, and count how it went; None when it was refused."""
        self.tally["cases"] += 1
        try:
            found = self.copies.read(write=write)
        except StateError as error:
            self.tally[f"{what}: refused"] += 1
            self.tally["messages of several lines"] += "\n" in str(error)
            return None
        except Exception as error:
            self.tally["other exceptions"] += 1
            print(f"{what}: {type(error).__name__}: {error}")
            return None
        whole = found == self.whole
        self.tally[f"{what}: {'whole' if whole else 'shorter'}"] += 1
        if found != self.whole[: len(found)]:
            self.tally["another history"] += 1
            print(f"{what}: another history")
        self.tally["less than there was"] += len(found) < at_least
        return found

    def mended(self, what: str) -> None:
        """`recover` has one sound copy: nothing may be lost."""
        try:
            recover(self.copies.path)
            found = self.copies.read(write=True)
        except Exception as error:
            self.tally["not recovered"] += 1
            print(f"{what}: {type(error).__name__}: {error}")
            return
        self.tally["recovered"] += 1
        self.tally["lost by recovering"] += found != self.whole


def body_spans(content: bytes) -> list[range]:
    """Where the events of each line stand in the file."""
    spans, start = [], 0
    for line in content.splitlines(keepends=True):
        spans.append(range(start + line.index(b'"events":') + 9, start + len(line) - 2))
        start += len(line)
    return spans


def cuts(copies: Copies, judge: Judge, step: int) -> None:
    sound_lines = [n for n in range(len(copies.sound_file)) if copies.sound_file[n : n + 1] == b"\n"]
    for place in range(0, len(copies.sound_file), step):
        lines = sum(end < place for end in sound_lines)
        copies.put(copies.empty_journal, copies.sound_file[:place])
        judge.look("file cut, alone", write=True, at_least=lines)
        copies.put(copies.sound_journal, copies.sound_file[:place])
        judge.look("file cut, beside a sound journal", write=True, at_least=len(judge.whole))
    for place in range(0, len(copies.sound_journal), step):
        copies.put(copies.sound_journal[:place], None)
        judge.look("journal cut, alone")
        if place % (step * 64) == 0:
            copies.put(copies.sound_journal[:place], copies.sound_file)
            judge.mended(f"journal cut at {place}")


def flips(copies: Copies, judge: Judge, count: int, rng: random.Random, tally: Counter) -> None:
    spans = body_spans(copies.sound_file)
    for turn in range(count):
        if turn % 2:
            changed = bytearray(copies.sound_file)
            place = rng.randrange(len(changed))
            changed[place] ^= 1 << rng.randrange(8)
            copies.put(copies.empty_journal, bytes(changed))
            found = judge.look("file flipped, alone", write=rng.random() < 0.3)
            if any(place in span for span in spans):
                tally["flips inside events"] += 1
                tally["flips inside events not noticed"] += found == judge.whole
            if turn % 100 == 1:
                copies.put(copies.sound_journal, bytes(changed))
                judge.mended(f"file flipped at {place}")
        else:
            changed = bytearray(copies.sound_journal)
            place = rng.randrange(len(changed))
            changed[place] ^= 1 << rng.randrange(8)
            copies.put(bytes(changed), None)
            judge.look("journal flipped, alone")
            if turn % 100 == 0:
                copies.put(bytes(changed), copies.sound_file)
                judge.mended(f"journal flipped at {place}")


BAD = (
    "other exceptions",
    "messages of several lines",
    "another history",
    "less than there was",
    "flips inside events not noticed",
    "not recovered",
    "lost by recovering",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flips", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--step", type=int, default=1, help="cut at every so many bytes")
    options = parser.parse_args()
    tally: Counter = Counter(dict.fromkeys(BAD, 0))
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="joblot-cut-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
    copies = Copies(folder / "state")
    judge = Judge(copies, tally)
    cuts(copies, judge, options.step)
    flips(copies, judge, options.flips, random.Random(options.seed), tally)
    shutil.rmtree(folder)
    print(f"file of {len(copies.sound_file)} bytes, journal of {len(copies.sound_journal)} bytes")
    print(", ".join(f"{key} {count}" for key, count in sorted(tally.items()) if key not in BAD))
    print(", ".join(f"{key} {tally[key]}" for key in BAD), f"({time.monotonic() - began:.0f} s)")
    return 1 if any(tally[key] for key in BAD) else 0


if __name__ == "__main__":
    sys.exit(main())
