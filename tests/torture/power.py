"""Simulated power cuts: what was written since the last force reaches the disk in part, in any order, in torn 512-byte sectors.

Of the run's own file every write and every force is known, through an `os` of our own under `joblot.journal.runfile`. The database is
cut in two ways. By what SQLite promises: after a cut it has some beginning of what was committed, with `full` all of it. And, where apsw
is there (it is no dependency), by a VFS that loses and tears what was not synced under our own tables and statements; what is left is
opened by joblot.

Checked after each cut: the run is taken up; its records are a beginning of what was written; with `full` it has every acknowledged one,
with `normal` every one that was forced.

    python tests/torture/power.py --cuts 5000 [--durability normal|full|both] [--seed 1]
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
from typing import Any

from joblot.core import events as ev
from joblot.errors import StateError
from joblot.journal import runfile
from joblot.journal.codec import CHAIN_START, encode_events, link
from joblot.journal.folder import StateFolder
from joblot.journal.sqlite import _INSERT_RECORD, SCHEMA, TABLES, SqliteJournal, _text, sql

SECTOR = 512


class Disk:
    """`os`, with a memory of what of one file has been forced."""

    def __init__(self) -> None:
        self.fd = -1
        self.durable = b""
        self.content = bytearray()
        self.marks: list[int] = []
        """The sizes of the file after each record."""

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: Any, flags: int, *more: Any, **options: Any) -> int:
        fd = os.open(path, flags, *more, **options)
        if flags & os.O_APPEND:
            self.fd = fd
            self.content = bytearray(Path(path).read_bytes())
            self.durable = bytes(self.content)
        return fd

    def write(self, fd: int, data: bytes) -> int:
        self.content += data
        return len(data)

    def ftruncate(self, fd: int, size: int) -> None:
        del self.content[size:]

    def fdatasync(self, fd: int) -> None:
        self.durable = bytes(self.content)

    def cut(self, rng: random.Random) -> bytes:
        """What the disk holds after the power went: the size may be the new one while sectors are not there yet."""
        size = rng.choice((len(self.durable), len(self.content), rng.randint(len(self.durable), len(self.content))))
        left = bytearray(self.content[:size])
        share = rng.random()
        first = len(self.durable) // SECTOR
        for sector in range(first, size // SECTOR + 1):
            if rng.random() > share:
                begin, end = max(sector * SECTOR, len(self.durable)), min((sector + 1) * SECTOR, size)
                left[begin:end] = bytes(max(0, end - begin))
        return bytes(left)


def one_cut(path: Path, durability: str, rng: random.Random, tally: Counter) -> None:
    disk = Disk()
    runfile.os = disk  # type: ignore[attr-defined]
    written = acknowledged = 0
    try:
        state = StateFolder(path, durability=durability)
        state.journal.create("r1", batch="b", source="", jobs=1, plan=b"{}", at=0.0)
        hold = state.hold("r1")
        hold.attach(state.journal, durability, plan=b"{}")
        ends = []
        for number in range(rng.randrange(1, 80)):
            message = "x" * rng.choice((0, 10, 100, 700, 3000))
            state.journal.append("r1", [ev.Logged("log", job=number, message=message)], float(number))
            ends.append(len(disk.content))
            if rng.random() < 0.05:
                state.journal.force()
        written = len(ends)
        forced = sum(end <= len(disk.durable) for end in ends)
        acknowledged = written if durability == "full" else forced
        left = disk.cut(rng)
    finally:
        runfile.os = os  # type: ignore[attr-defined]
    state.journal._file = None  # the process is gone: nothing is flushed
    state.journal._group = []
    in_database = state.journal._db.execute("SELECT count(*) FROM record").fetchone()[0]
    kept = rng.randint(0, in_database)
    state.journal._db.execute("DELETE FROM record WHERE id NOT IN (SELECT id FROM record ORDER BY id LIMIT ?)", (kept,))
    state.close()
    hold.release()
    hold.folder.events.write_bytes(left)
    tally["cuts"] += 1
    tally["records written"] += written
    check(path, durability, acknowledged, written, tally)


def check(path: Path, durability: str, acknowledged: int, written: int, tally: Counter) -> None:
    try:
        state = StateFolder(path, durability=durability)
        hold = state.hold("r1")
        hold.attach(state.journal, durability)
        found = [event.job for record in state.journal.records("r1") for event in record.events]
        state.journal.append("r1", [ev.BackoffEnded(1)], 1.0)
        state.close()
        hold.release()
    except StateError as error:
        print(f"not taken up: {error}")
        tally["not taken up"] += 1
        return
    tally["not a beginning of what was written"] += found != list(range(len(found)))
    tally["promised, but lost"] += max(0, acknowledged - len(found))
    tally[f"lost of what was only written ({durability})"] += max(0, written - max(acknowledged, len(found)))


def database_cuts(cuts: int, durability: str, rng: random.Random, tally: Counter) -> None:
    """The database alone, under a VFS that forgets."""
    import apsw

    class PowerCut(Exception):
        pass

    class Power:
        left = 0
        off = False
        pending: dict[str, list[tuple[int, bytes] | tuple[str, int]]] = {}
        durable: dict[str, bytearray] = {}

    def put(content: bytearray, change: tuple[Any, Any]) -> None:
        if change[0] == "cut":
            del content[change[1] :]
            return
        offset, data = change
        content.extend(bytes(max(0, offset - len(content))))
        content[offset : offset + len(data)] = data

    class File(apsw.VFSFile):
        def __init__(self, _vfs: Any, name: Any, flags: Any) -> None:
            self.name = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
            super().__init__("unix", name, flags)
            Power.pending.setdefault(self.name, [])
            Power.durable.setdefault(self.name, bytearray())

        def _step(self) -> None:
            Power.left -= 1
            if Power.left <= 0:
                Power.off = True
            if Power.off:
                raise PowerCut

        def xWrite(self, data: bytes, offset: int) -> None:
            self._step()
            Power.pending[self.name].append((offset, bytes(data)))
            super().xWrite(data, offset)

        def xTruncate(self, size: int) -> None:
            self._step()
            Power.pending[self.name].append(("cut", size))
            super().xTruncate(size)

        def xSync(self, flags: int) -> None:
            if Power.off:
                raise PowerCut
            for change in Power.pending[self.name]:
                put(Power.durable[self.name], change)
            Power.pending[self.name] = []

    class Vfs(apsw.VFS):
        def __init__(self) -> None:
            super().__init__("power", "unix")

        def xOpen(self, name: Any, flags: Any) -> File:
            return File("unix", name, flags)

    vfs = Vfs()
    sys.unraisablehook = lambda _: None
    folder = Path(tempfile.mkdtemp(prefix="joblot-power-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
    for turn in range(cuts):
        Power.pending, Power.durable, Power.off, Power.left = {}, {}, False, 10**9
        path = folder / f"{turn}.db"
        database = apsw.Connection(str(path), vfs="power")
        # Without another process there is no shared memory to model.
        for pragma in (
            "locking_mode=EXCLUSIVE",
            "journal_mode=WAL",
            f"synchronous={'FULL' if durability == 'full' else 'NORMAL'}",
            f"wal_autocheckpoint={rng.choice((5, 20, 1000))}",
        ):
            list(database.execute(f"PRAGMA {pragma}"))
        list(
            database.execute(
                f"BEGIN;{_text('schema.sql')};INSERT INTO meta VALUES ('tables', {TABLES}), ('events', {SCHEMA});COMMIT"
            )
        )
        list(database.execute("PRAGMA wal_checkpoint"))
        acknowledged, chain = -1, CHAIN_START
        Power.left = rng.randrange(2, 400)
        try:
            database.execute(sql("insert_run"), ("r1", "b", "", 1, 0.0, b"{}"))
            acknowledged = 0
            while True:
                group = []
                for number in range(acknowledged, acknowledged + rng.randrange(1, 9)):
                    body = encode_events([ev.Logged("log", job=number, message="x" * rng.choice((0, 100, 700, 3000)))])
                    chain = link(chain, number + 1, float(number), body)
                    group.append(((1 << 36) + number + 1, float(number), body, chain))
                database.execute("BEGIN IMMEDIATE")
                database.executemany(_INSERT_RECORD, group)
                database.execute("COMMIT")
                acknowledged += len(group)
        except (PowerCut, apsw.Error):
            if not Power.off:
                raise
        try:
            database.close(True)
        except (PowerCut, apsw.Error):
            pass
        for name, changes in Power.pending.items():
            content, share = Power.durable[name], rng.random()
            for change in changes:
                if rng.random() > share:
                    continue
                if change[0] != "cut" and rng.random() < 0.2:
                    torn, (offset, data) = bytearray(), change
                    now = bytes(content[offset : offset + len(data)]).ljust(len(data), b"\0")
                    for place in range(0, len(data), SECTOR):
                        torn += (data if rng.random() < 0.5 else now)[place : place + SECTOR]
                    change = (offset, bytes(torn))
                put(content, change)
            if os.path.exists(name):
                Path(name).write_bytes(content)
        tally["cuts of the database"] += 1
        check_database(path, durability, acknowledged, tally)
        for leftover in folder.iterdir():
            leftover.unlink()
    shutil.rmtree(folder)
    del vfs


def check_database(path: Path, durability: str, acknowledged: int, tally: Counter) -> None:
    try:
        journal = SqliteJournal(path)
        known = journal.info("r1") is not None
        found = [event.job for record in journal.records("r1") for event in record.events] if known else []
        journal.close()
    except (StateError, sqlite3.Error) as error:
        print(f"the database is not opened: {error}")
        tally["database not opened"] += 1
        return
    tally["database: not a beginning of what was written"] += found != list(range(len(found)))
    if durability == "full":
        tally["database: acknowledged, but lost"] += max(0, acknowledged - len(found)) + (
            acknowledged >= 0 and not known
        )
    else:
        tally["database: ends lost (normal)"] += len(found) < acknowledged


BAD = (
    "promised, but lost",
    "not a beginning of what was written",
    "not taken up",
    "database: acknowledged, but lost",
    "database: not a beginning of what was written",
    "database not opened",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=500)
    parser.add_argument("--durability", choices=["normal", "full", "both"], default="both")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    settings = ("normal", "full") if options.durability == "both" else (options.durability,)
    tally: Counter = Counter(dict.fromkeys(BAD, 0))
    began = time.monotonic()
    base = Path(tempfile.mkdtemp(prefix="joblot-power-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
    for durability in settings:
        for number in range(options.cuts):
            one_cut(base / str(number), durability, random.Random(f"{options.seed} {durability} {number}"), tally)
            shutil.rmtree(base / str(number))
        try:
            database_cuts(options.cuts, durability, random.Random(f"{options.seed} database {durability}"), tally)
        except ImportError:
            print("apsw is not installed: the database's own cuts are left out")
    shutil.rmtree(base)
    print(", ".join(f"{key} {count}" for key, count in tally.items() if key not in BAD))
    print(", ".join(f"{key} {tally[key]}" for key in BAD), f"({time.monotonic() - began:.0f} s)")
    return 1 if any(tally[key] for key in BAD) else 0


if __name__ == "__main__":
    sys.exit(main())
