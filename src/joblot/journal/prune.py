"""Clears up runs that are not wanted any more: which these are, and how one goes, as a whole or not at all.

A run is gone once its folder has another name, for which readers look. Then its files are removed, which makes room where the disk is full,
after them its rows, and its lock with the folder at last. What a kill leaves of that is no run for anybody, and whoever clears up next does
the rest. It knows folders, locks and the list of runs; what runs have recorded it does not read.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from joblot.copies import remove as remove_all
from joblot.errors import StateError
from joblot.files import allocated, open_own, reason_of, replace_file, settings, wrong_settings
from joblot.journal.folder import is_at, locked
from joblot.journal.sqlite import EVENTS_FILE, REMOVED, removed
from joblot.units import format_duration, format_size, parse_duration, parse_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from joblot.journal import RunInfo
    from joblot.journal.folder import StateFolder
    from joblot.journal.sqlite import SqliteJournal

_LOCK: Final = "lock"
_STAMP: Final = "pruned"
"""In the state folder: its time is when a run last cleared up at its end, as the settings ask."""
_DAY_S: Final = 86400.0
_AT_AN_END: Final = 1000
"""So many runs are cleared up at the end of one at the most: nobody waits for it longer than for a second or two."""
_ABANDONED_S: Final = 3600.0
"""A folder without a run that is younger may be that of one that begins."""
_SAMPLED: Final = 100
_LOOKED_AT: Final = 5000
"""So many folders of runs, and so many files in them, tell about how large a state folder is."""
_SHRINK_FROM: Final = 16 * 2**20


class Retention(Struct, frozen=True, kw_only=True):
    """How much is kept. Each is a limit of its own, and None is none: a run that is beyond any of them is not wanted any more."""

    keep: int | None = None
    """So many runs of each batch, the last ones."""
    older_s: float | None = None
    """Runs that began no longer ago, in seconds."""
    max_bytes: int | None = None
    """What the state folder takes on the disk."""


class Unwanted(Struct, frozen=True, kw_only=True):
    """A run that is to go, why, and about how many bytes it takes."""

    run: RunInfo
    why: str
    bytes: int


def retention_of_settings() -> Retention | None:
    """What the table `retention` of the user's settings says; None where there is none.

    Raises:
        StateError: it is wrong, or the settings cannot be read.
    """
    table = settings().get("retention")
    if table is None:
        return None
    readers: dict[str, tuple[str, Callable[[Any], Any]]] = {
        "keep": ("keep", _count),
        "older": ("older_s", _duration),
        "max_size": ("max_bytes", parse_size),
    }
    if not isinstance(table, dict) or not table:
        raise wrong_settings("`retention` must be a table with `keep`, `older` or `max_size`")
    read: dict[str, Any] = {}
    for name, value in table.items():
        if name not in readers:
            raise wrong_settings(f"unknown key `retention.{name}`: it has `keep`, `older` and `max_size`")
        field, reader = readers[name]
        try:
            read[field] = reader(value)
        except ValueError as error:
            raise wrong_settings(f"`retention.{name}`: {error}") from None
    return Retention(**read)


def _duration(value: Any) -> float:
    if not isinstance(value, (int, float, str)):
        raise ValueError(f"`{value}` is no duration")
    return parse_duration(value)


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"`{value}` is no number of runs")
    return value


# --- which runs -----------------------------------------------------------------------------------


def unwanted(
    folder: StateFolder, retention: Retention, warn: Callable[[StateError], None], *, now: float
) -> list[Unwanted]:
    """The runs that are to go, the oldest first. These stay, whatever the limits say.

    Those that go on or can be resumed; of each batch the last that succeeded, that failed and that was cancelled; and what one continues
    that stays and has not succeeded. `warn` is told of runs that cannot be read, which stay as well.
    """
    runs = folder.runs(warn)
    going: dict[str, str] = {}
    bound = _bound(folder, runs)
    counts: dict[tuple[str, str], int] = {}

    def goes(run_id: str) -> bool:
        if run_id in bound:
            needed_by = bound[run_id]
            return bool(needed_by) and needed_by in going
        return True

    for info in runs:  # newest first: what one continues comes behind it
        count = counts[info.batch, info.source] = counts.get((info.batch, info.source), 0) + 1
        if retention.keep is not None and count > retention.keep:
            why = f"not one of the last {retention.keep} of its batch"
        elif retention.older_s is not None and info.started_at < now - retention.older_s:
            why = f"began more than {format_duration(retention.older_s).removesuffix('00h')} ago"
        else:
            continue
        if goes(info.run_id):
            going[info.run_id] = why
    sizes = {run_id: _size(folder, run_id) for run_id in going}
    if retention.max_bytes is not None:
        left = _whole_size(folder) - sum(sizes.values())
        for info in reversed(runs):
            if left <= retention.max_bytes:
                break
            if info.run_id not in going and goes(info.run_id):
                going[info.run_id] = f"the state folder is above {format_size(retention.max_bytes)}"
                sizes[info.run_id] = _size(folder, info.run_id)
                left -= sizes[info.run_id]
    return [
        Unwanted(run=info, why=going[info.run_id], bytes=sizes[info.run_id])
        for info in reversed(runs)
        if info.run_id in going
    ]


def _bound(folder: StateFolder, runs: Sequence[RunInfo]) -> dict[str, str]:
    """The runs that stay, each with the run that it stays for: empty, whatever the others do."""
    bound: dict[str, str] = {}
    last: set[tuple[str, str, str]] = set()
    programs = folder.journal.programs_without_end()
    statuses = {info.run_id: info.status for info in runs}
    for info in runs:
        following = folder.run_folder(info.run_id).continued_by if info.status != "success" else ""
        if statuses.get(following, "success") != "success":
            bound[info.run_id] = following  # which takes from it what was done there
        if info.status == "running":
            nobody_can = info.run_id in programs or following in statuses
            if not nobody_can or folder.is_held(info.run_id):
                bound[info.run_id] = ""
        elif (kind := (info.batch, info.source, info.status)) not in last:
            last.add(kind)
            bound[info.run_id] = ""
    return bound


def _size(folder: StateFolder, run_id: str) -> int:
    return allocated(folder.run_folder(run_id).path)[0] + folder.journal.bytes_of(run_id)


def _whole_size(folder: StateFolder) -> int:
    return allocated(folder.path / "runs")[0] + folder.journal.bytes_used()[0]


def size_about(folder: StateFolder) -> int:
    """About how many bytes a state folder takes: the journal, and the runs as some of them are, from the whole list."""
    run_ids, count = folder.journal.sample(_SAMPLED)
    size = sampled = looked = 0
    for run_id in run_ids:
        if looked >= _LOOKED_AT:
            break
        taken, seen = allocated(folder.run_folder(run_id).path, most=_LOOKED_AT - looked)
        size, looked, sampled = size + taken, looked + seen + 1, sampled + 1
    return size * count // max(1, sampled) + sum(folder.journal.bytes_used())


# --- how they go ----------------------------------------------------------------------------------


class Pruning:
    """Clears up in one state folder. `journal` gives the one to take rows out of; on a full disk it may be had only after some files are gone."""

    def __init__(self, state: Path, journal: Callable[[], SqliteJournal], warn: Callable[[StateError], None]) -> None:
        self._state = state
        self._journal = journal
        self._warn = warn

    def remove(self, run_id: str) -> bool:
        """Have a run go. Whether it has: one that somebody drives by now stays."""
        home, lock = self._state / "runs" / run_id, -1
        try:
            lock = _taken(home)
            if lock < 0:
                return False
            os.rename(home, self._state / f"{REMOVED}{run_id}")  # noqa: PTH104 - from here on it is gone
            self._finish(run_id)
        except FileNotFoundError:  # somebody has removed its files
            self._journal().remove(run_id)
        except OSError as error:
            self._warn(StateError(f"cannot remove `{error.filename or home}`: {reason_of(error)}"))
            return False
        except StateError as error:
            self._warn(error)
            return False
        finally:
            if lock >= 0:
                os.close(lock)
        return True

    def finish(self) -> int:
        """Do the rest of what a killed process had begun, and what could not be done on a full disk. Returns how many runs that was."""
        done = 0
        for run_id in sorted(removed(self._state)):
            gone = self._state / f"{REMOVED}{run_id}"
            try:
                lock = _taken(gone, above=2)
            except (OSError, StateError) as error:  # a link, or a stranger's
                reason = reason_of(error) if isinstance(error, OSError) else error.message
                self._warn(StateError(f"cannot remove `{gone}`: {reason}", hint="move it away"))
                continue
            if lock >= 0:
                try:
                    done += self._finish(run_id)
                finally:
                    os.close(lock)
        return done

    def _finish(self, run_id: str) -> bool:
        """The files, the rows, the lock and the folder, in this order: who holds the lock is the only one who takes rows out."""
        gone = self._state / f"{REMOVED}{run_id}"
        try:
            for name in os.listdir(gone):  # noqa: PTH208
                if name != _LOCK:
                    remove_all(f"{gone}/{name}")
            self._journal().remove(run_id)
            (gone / _LOCK).unlink()
            gone.rmdir()
        except OSError as error:
            self._warn(StateError(f"cannot remove `{error.filename}`: {reason_of(error)}", hint=f"remove `{gone}`"))
        except StateError as error:  # there may be room once more files are gone
            self._warn(error)
        else:
            return True
        return False

    def remove_abandoned(self, ids: Callable[[], Sequence[str]], *, now: float) -> None:
        """Remove the folders of runs that never began: killed before anything of them was recorded. Those with records are for `recover`."""
        suspects = [path for path in _abandoned(self._state / "runs") if path.stat().st_mtime < now - _ABANDONED_S]
        known = frozenset(ids()) if suspects else frozenset()
        for path in suspects:
            if path.name not in known:
                self.remove(path.name)


def _abandoned(runs: Path) -> Iterator[Path]:
    with suppress(OSError), os.scandir(runs) as entries:
        for entry in entries:
            with suppress(OSError):
                if entry.is_dir(follow_symlinks=False) and not {EVENTS_FILE, "plan.json"} & set(os.listdir(entry.path)):  # noqa: PTH208
                    yield Path(entry.path)


def _taken(folder: Path, *, above: int = 3) -> int:
    """The lock of a run's folder, ours; -1 when somebody has it, or the run went on elsewhere meanwhile.

    Nothing is written to it, for which a full disk has no room.
    """
    lock = folder / _LOCK
    fd = open_own(lock, os.O_RDWR | os.O_CREAT, above=above)
    if locked(fd, fcntl.LOCK_EX) and is_at(fd, lock):
        return fd
    os.close(fd)
    return -1


def prune_at_end(folder: StateFolder, warn: Callable[[StateError], None]) -> None:
    """Clear up as the user's settings ask, at most once a day. What cannot be done is told and no fault of the run that ends."""
    try:
        retention = retention_of_settings()
        if retention is None or not _is_due(folder.path / _STAMP):
            return
        now = time.time()
        replace_file(folder.path / _STAMP, [], above=1, forced=False)
        pruning = Pruning(folder.path, lambda: folder.journal, warn)
        pruning.finish()
        going = unwanted(folder, retention, warn, now=now)
        for one in going[:_AT_AN_END]:
            pruning.remove(one.run.run_id)
        if len(going) > _AT_AN_END:
            (folder.path / _STAMP).unlink()
    except StateError as error:
        warn(error)
    except OSError as error:
        warn(StateError(f"cannot clear up `{error.filename or folder.path}`: {reason_of(error)}"))


def _is_due(stamp: Path) -> bool:
    try:
        return not 0 <= time.time() - stamp.lstat().st_mtime < _DAY_S
    except OSError:
        return True


def shrink(folder: StateFolder, journal: SqliteJournal) -> int:
    """Give the room that is free in the journal back, where that is much and nobody needs the journal. Returns what stays free in it, in bytes."""
    used, free = journal.bytes_used()
    disk = os.statvfs(folder.path)
    room = disk.f_bavail * disk.f_frsize > 2 * used
    busy = any(folder.is_held(run_id) for run_id, *_ in journal.open_runs())
    if free >= max(_SHRINK_FROM, used // 2) and room and not busy and journal.shrink():
        used, free = journal.bytes_used()
    return free
