"""What is kept of schedules: what each batch file asked for, and what became of its due times.

A due time has a row before its run is there, so whoever else looks finds it taken; `(batch file, due time)` is unique. Whether somebody is
about to start that run, or drives it, a lock tells that ends with the processes. It knows nothing of how a schedule is read.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

from joblot.digest import blake2b
from joblot.errors import StateError
from joblot.files import make_own_folder, open_own, reason_of
from joblot.journal.folder import StateFolder, locked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from joblot.core.schedule import Verdict
    from joblot.journal.sqlite import SqliteJournal

FOLDER: Final = "schedules"
Fate = Literal["claimed", "started", "skipped", "refused", "missed", "merged"]


class Row(Struct, frozen=True):
    """What became of the due times from `first` to `at`, in seconds since the epoch; `more` says that they are more than `count`.

    `claimed`: `run` is to begin; `started`: it did, and `why` is its status as far as that was seen; `skipped`: another run was going on; `refused`: it could not begin; `merged`: into the due time
    that `why` tells in seconds since the epoch; `missed`. `why` is for people.
    """

    at: int
    first: int
    fate: Fate
    run: str = ""
    why: str = ""
    count: int = 1
    more: bool = False


class Kept(Struct, frozen=True):
    """What is kept of a batch file: what it `asked` for, since when that counts, what its owner was `told` last, why nothing is decided (`held`)."""

    asked: str = ""
    since: float = 0.0
    told: str = ""
    held: str = ""


class Claim(Struct, frozen=True):
    """A due time for which a run is to begin: whether it did, and which try this is."""

    at: int
    run: str
    has_begun: bool
    tries: int


class Schedules:
    """The schedules in a journal. With `read_only=True` there may be none."""

    def __init__(self, journal: SqliteJournal, *, read_only: bool = False) -> None:
        self._journal = journal
        self.deciding = journal.deciding
        if not read_only:
            journal.make_schedules()

    def look(self, folder: str, now: float) -> float:
        """Note that the schedules of a folder are looked at now; returns when that was before, or now. A clock that was set back is believed."""
        with self.deciding():
            before = next((at for (at,) in self._journal.ask("look", folder=folder)), now)
            if before > now:
                for query in ("drop_to_come", "cut_to_come", "set_back_schedules"):
                    self._journal.put(query, now=int(now))
            self._journal.put("save_look", folder=folder, at=now)
        return min(before, now)

    def looked(self, folder: str) -> float | None:
        """When the schedules of a folder were looked at last."""
        return next((at for (at,) in self._journal.ask("look", folder=folder)), None)

    def kept(self, source: str) -> Kept:
        """What is kept of a batch file."""
        return next((Kept(*row) for row in self._journal.ask("schedule", source=source)), Kept())

    def sources(self, folder: str) -> list[str]:
        """The batch files of a folder that had a schedule when they were looked at last."""
        return [source for (source,) in self._journal.ask("schedules", folder=f"{folder.rstrip('/')}/")]

    def take_in(self, source: str, asked: str, since: float) -> None:
        """Keep what a batch file asks for from now on; nothing: it has no schedule any more."""
        self._journal.put("save_schedule", source=source, asked=asked, since=since)

    def tell(self, source: str, told: str) -> None:
        """Keep what its owner was told of a batch file."""
        self._journal.put("tell_of_schedule", source=source, told=told)

    def hold(self, source: str, why: str) -> None:
        """Keep why nothing can be decided now."""
        self._journal.put("hold_schedule", source=source, why=why)

    def last(self, source: str, now: float) -> float:
        """The due time until which all is decided."""
        (at,) = next(iter(self._journal.ask("last_due", source=source, now=now)), (None,))
        return float(at) if at is not None else 0.0

    def taken(self, source: str, last: float, now: float) -> list[tuple[int, int]]:
        """From when to when something became of due times already: somebody else looked meanwhile, or the clock was set back since."""
        return self._journal.ask("taken_dues", source=source, last=last, now=now)

    def claimed(self, source: str) -> Claim | None:
        """The due time for which a run is to begin."""
        rows = self._journal.ask("claimed_due", source=source)
        return next((Claim(at, run, bool(begun), tries) for at, run, begun, tries in rows), None)

    def add(self, source: str, verdict: Verdict, *, fate: Fate, run: str = "", why: str = "") -> None:
        """Keep what becomes of due times. It is an error if one has a row."""
        self._journal.put(
            "insert_due",
            source=source,
            at=verdict.last,
            first=verdict.first,
            fate=fate,
            run=run,
            why=why,
            count=verdict.count,
            more=verdict.more,
        )

    def settle(self, source: str, at: int, run: str, fate: Fate, why: str = "") -> None:
        """Keep what became of a due time whose run was to begin."""
        self._journal.put("settle_due", source=source, at=at, run=run, fate=fate, why=why)

    def count_killed(self, source: str, at: int) -> None:
        """Count that a run was killed before it had begun."""
        self._journal.put("count_due", source=source, at=at)

    def claim(self, source: str, at: int, run: str) -> None:
        """Have a due time that has a row of its own, or none, stand for a run that is to begin."""
        self._journal.put("cut_due", source=source, at=at)
        if not self._journal.put("claim_due", source=source, at=at, run=run):
            values = {"at": at, "first": at, "fate": "claimed", "run": run, "why": "", "count": 1, "more": False}
            self._journal.put("insert_due", source=source, **values)

    def of(self, source: str, at: int) -> Row | None:
        """What became of one due time."""
        return next((Row(*row) for row in self._journal.ask("one_due", source=source, at=at)), None)

    def last_rows(self, source: str, limit: int) -> list[Row]:
        """What became of the last due times, newest first."""
        rows = self._journal.ask("last_dues", source=source, limit=limit)
        return [Row(*row) for row in rows]

    def last_run(self, source: str) -> str:
        """The last run that was started, or is to begin."""
        return next((run for (run,) in self._journal.ask("last_scheduled", source=source)), "")


def lock_path(state: Path, source: str) -> Path:
    """The file that is locked while a run is started for a batch file's due time, and goes on."""
    return state / FOLDER / f"{blake2b(os.fsencode(source), digest_size=16).hexdigest()}.lock"


def take_lock(state: Path, source: str, *, given: bool = False) -> int:
    """The lock of a batch file, as a descriptor that has it until it and its copies are closed; -1: somebody else has it.

    With `given` one that this process was started with is its own.

    Raises:
        UntrustedError: it is not the user's own alone.
        StateError: it cannot be made.
    """
    path = lock_path(state, source)
    try:
        make_own_folder(path.parent, above=2)
        fd = open_own(path, os.O_RDWR | os.O_CREAT, above=2)
    except OSError as error:
        raise StateError(f"cannot use `{error.filename or path}`: {reason_of(error)}") from None
    if locked(fd, fcntl.LOCK_EX):
        return fd
    wanted = os.fstat(fd)
    os.close(fd)
    for number in map(int, os.listdir("/proc/self/fd") if given else ()):  # noqa: PTH208 - names are wanted, not paths
        with suppress(OSError):
            found = os.fstat(number)
            if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino) and locked(number, fcntl.LOCK_EX):
                os.set_inheritable(number, False)
                return number
    return -1


@contextmanager
def opened(state: Path, *, network_ok: bool = True) -> Iterator[tuple[StateFolder, Schedules]]:
    """The state folder and its schedules, to write to."""
    folder = StateFolder(state, network_ok=network_ok)
    try:
        yield folder, Schedules(folder.journal)
    finally:
        folder.close()
