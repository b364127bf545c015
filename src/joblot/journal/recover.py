"""Makes the journal again from the runs' own files, and a run's file from the journal: what `joblot recover` does.

A record is taken from whichever copy has it as it was written; the chain of hashes decides. What is replaced is kept aside. It opens no
state folder, because it has to work where none can be opened, and it runs nothing.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from joblot.config.load import decode
from joblot.core.events import SCHEMA
from joblot.core.fan_out import count_jobs
from joblot.digest import blake2b
from joblot.errors import StateError, why_unreadable
from joblot.files import atomic_write, check_own_folder, read_own, reason_of, remove_parts, replace_file
from joblot.journal.codec import CHAIN_START, NOT_JSON, jsonl_line, link
from joblot.journal.folder import JOURNAL_FILE, Hold, RunFolder, is_text
from joblot.journal.runfile import read_lines
from joblot.journal.sqlite import (
    EVENTS_FILE,
    READ_FAULTS,
    SEQ_BITS,
    SEQ_MASK,
    TABLES,
    SqliteJournal,
    has_lines,
    keep_aside,
    refuse_what_is_no_file,
    removed,
    run_info,
    sql,
    text_or_bytes,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from joblot.journal.runfile import Row

_OUR_TABLES: Final = {"meta", "run", "record", "request"}
_MADE_TYPES: Final = (str, str, bytes, bytes, bytes, str, float)
_OTHER_PLAN: Final = "no copy of its plan is what it began with"


class Recovered(Struct, frozen=True):
    """What became of one run.

    `records` are those that there are now; `in_journal` and `in_file` how many sound ones each copy had before; `beyond` how many were
    found after the first one that neither copy has. `lost` says why the run could not be recovered, `hint` what became of its files; both
    are empty when it was.
    """

    run_id: str
    records: int = 0
    in_journal: int = 0
    in_file: int = 0
    beyond: int = 0
    plan_from: str = ""
    """Which copy of the plan was taken, when the other one was lost or changed: `plan.json` or `journal`."""
    kept: str = ""
    """Where the run's old file is."""
    lost: str = ""
    hint: str = ""

    @property
    def changed(self) -> bool:
        """Whether anything was made again."""
        return bool(self.plan_from or self.kept) or not self.records == self.in_journal == self.in_file


class Recovery(Struct, frozen=True):
    """What was found and made: whether the journal is a new one, and where the old one is kept, if there was one."""

    replaced: bool
    kept: Path | None
    runs: list[Recovered]


def recover(state: Path, run_id: str | None = None) -> Recovery:
    """Make both copies of one run, or of all runs, sound again from what is sound in either.

    The journal is replaced as a whole, in one step, and only when it is not what it should be. A run that cannot be recovered is left as
    it is, and keeps no other from it.

    Raises:
        StateError: there is nothing to recover from, or the disk does not take it.
        RunHeldError: a live process drives one of the runs.
    """
    with suppress(OSError):  # where there is none, there is nothing to recover
        check_own_folder(state)
    old = _OldJournal(state / JOURNAL_FILE)
    try:
        with closing(old), ExitStack() as holds:
            old.read()
            folders = _run_folders(state)
            names = sorted({*old.runs, *folders} - removed(state))
            if run_id is None and not names:
                raise StateError(
                    f"nothing to recover in `{state}`: it has no runs", hint="choose another with `--state`"
                )
            if run_id is not None and run_id not in names:
                hint = "give the whole id: the name of its folder in `runs`"
                raise StateError(f"no run `{run_id}` in `{state}`", hint=hint)
            # All runs are held, whichever is asked for: a new journal takes the place of the one that a live process writes.
            runs = [_Run(name, old, folders.get(name), _hold(name, folders, holds)) for name in names]
            asked = [run for run in runs if run_id in (None, run.run_id)]
            replaced = not old.sound or any(run.journal_is_behind for run in asked)
            kept = _replace_journal(state / JOURNAL_FILE, old, runs) if replaced else None
            # A new journal has all runs in it as well, so their files are brought in step with it.
            return Recovery(replaced, kept, [run.renew_file() for run in (runs if replaced else asked)])
    except OSError as error:
        raise StateError(_refused("write to", state, error)) from None
    except sqlite3.Error as error:
        raise StateError(f"cannot make the journal again: {error}") from None


def _hold(run_id: str, folders: dict[str, RunFolder], holds: ExitStack) -> str:
    """Hold a run that has a folder until `holds` ends. Returns what the system refused; empty when nothing."""
    if run_id in folders:
        try:
            holds.callback(Hold(run_id, folders[run_id]).release)
        except OSError as error:
            return _refused("write to", folders[run_id].lock, error)
        except StateError as error:
            return error.message
    return ""


def _run_folders(state: Path) -> dict[str, RunFolder]:
    try:
        names = sorted(os.listdir(state / "runs"))  # noqa: PTH208 - names are wanted, not paths
    except OSError:
        return {}
    return {name: RunFolder(state / "runs" / name) for name in names if _is_run(state / "runs" / name)}


def _is_run(path: Path) -> bool:
    """Whether it is a run's folder, or one in which nobody may look for what makes it one."""
    try:
        inside = os.listdir(path)  # noqa: PTH208
    except NotADirectoryError:
        return False
    except OSError:
        inside = [EVENTS_FILE]
    return is_text(path.name) and not {"plan.json", EVENTS_FILE}.isdisjoint(inside)


def _refused(what: str, path: Path, error: OSError) -> str:
    return f"cannot {what} `{error.filename2 or error.filename or path}`: {reason_of(error)}"


class _OldJournal:
    """What can be read of a journal that may be damaged or gone."""

    def __init__(self, path: Path) -> None:
        self.runs: dict[str, tuple[Any, ...]] = {}
        self.sound = False
        self._path = path
        self._db: sqlite3.Connection | None = None
        refuse_what_is_no_file(path, writes=False)
        if path.exists():
            with suppress(sqlite3.Error):
                self._db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
                self._db.text_factory = text_or_bytes

    def read(self) -> None:
        """Find out which runs there are and whether all is sound. Raises StateError when it is no journal, or a newer joblot's."""
        if self._db is not None:
            with suppress(*READ_FAULTS):
                self.sound = self._db.execute("PRAGMA integrity_check(1)").fetchone()[0] == "ok"
            self._refuse_foreign()
        for row in self._rows(sql("whole_runs")):
            if isinstance(row[0], int) and isinstance(row[1], str):
                self.runs.setdefault(row[1], row)
            self.sound = self.sound and _is_row(row)

    def _refuse_foreign(self) -> None:
        tables = {name for (name,) in self._rows(sql("tables"))}
        if self.sound and tables and not tables & _OUR_TABLES:
            raise StateError(f"`{self._path}` is not a joblot journal")
        numbers = dict(self._rows(sql("numbers")))
        if self.sound and (numbers.get("tables", 0) > TABLES or numbers.get("events", 0) > SCHEMA):
            raise StateError(f"journal `{self._path}` was written by a newer joblot", hint="upgrade joblot")
        self.sound = self.sound and tables >= _OUR_TABLES and numbers.keys() >= {"tables", "events"}

    def rows(self, run_id: str) -> list[Row]:
        """The records of a run from both ends, as far as they can be read; some may be of the wrong types."""
        if run_id not in self.runs:
            return []
        first = self.runs[run_id][0] << SEQ_BITS
        records = {}
        for query in ("records", "records_from_the_end"):
            for row in self._rows(sql(query), (first, first | SEQ_MASK)):
                records[row[0]] = (row[0] & SEQ_MASK, *row[1:])
        return list(records.values())

    def last_successes(self) -> Iterator[tuple[Any, ...]]:
        """What is kept of jobs that are up to date. A row that cannot be taken costs one job run again."""
        return (row for row in self._rows(sql("all_last_successes")) if tuple(map(type, row)) == _MADE_TYPES)

    def _rows(self, query: str, arguments: tuple[int, ...] = ()) -> Iterator[Any]:
        if self._db is None:
            return
        try:
            yield from self._db.execute(query, arguments)
        except (*READ_FAULTS, OverflowError):
            return

    def close(self) -> None:
        """Let go of the file."""
        if self._db is not None:
            self._db.close()


class _Run:
    """What both copies have of one run. `lost` says why that is not enough; it begins as `fault`, why the run could not be held."""

    def __init__(self, run_id: str, old: _OldJournal, folder: RunFolder | None, fault: str) -> None:
        self.run_id = run_id
        self.lost = fault
        self.plan: bytes | None = None
        self._folder = folder
        self._old_row = old.runs.get(run_id)
        stored = old.rows(run_id)
        from_journal = [row for row in stored if _is_record(row)]
        from_file = self._lines()
        # Records of both together: where each copy is damaged in another place, the one goes on where the other ends.
        self.rows = _chained([*from_journal, *from_file])
        self._in_journal = len(_chained(from_journal))
        self._journal_has_more = len(stored) > self._in_journal
        self._in_file = len(_chained(from_file)) if folder is not None else self._in_journal
        self._first_at = self.rows[0][1] if self.rows else 0.0
        reached = self.rows[-1][0] if self.rows else 0
        self._beyond = len({row[0] for row in (*from_journal, *from_file) if row[0] > reached})
        self._plan_from = ""
        if not self.lost and folder is not None and not self.rows and (stored or has_lines(folder.events, 0)):
            # With its plan alone it would be a run that has done nothing, and do everything again.
            self.lost, self._old_row = "none of its records is what was written", None
        if not self.lost:
            self._choose_plan()

    def _lines(self) -> list[Row]:
        if self._folder is None or self.lost:
            return []
        try:
            return [row for row in read_lines(self._folder.events) if row is not None]
        except StateError as error:
            self.lost = error.message
        except OSError as error:
            self.lost = _refused("read", self._folder.events, error)
        return []

    def _choose_plan(self) -> None:
        copies: dict[str, Any] = {"journal": self._old_row[9] if self._old_row is not None else None}
        faults = []
        if self._folder is not None:
            try:
                copies["plan.json"] = read_own(self._folder.plan)
            except FileNotFoundError:
                pass
            except StateError as error:
                faults.append(error.message)
            except OSError as error:
                faults.append(_refused("read", self._folder.plan, error))
        fingerprint = _fingerprint(self.rows)
        if not copies["journal"] and len(copies) == 1 and self.rows and not fingerprint:
            copies["journal"] = b""  # a program recorded it: there was no plan
        checked = {name: _plan_fault(plan, fingerprint) for name, plan in copies.items() if isinstance(plan, bytes)}
        fitting = [name for name, fault in checked.items() if not fault]
        if fitting:
            self.plan = copies[fitting[0]]
            one = (
                len(fitting) == 1 and self._folder is not None and bool(self.plan)
            )  # of a program's run there is no copy
            self._plan_from = fitting[0] if one else ""
        else:
            # A copy that cannot be read may be the right one, and a person can do something about it: that is said first.
            faults += checked.values()
            self.lost = next((fault for fault in faults if fault != _OTHER_PLAN), _OTHER_PLAN)

    @property
    def began_at(self) -> float:
        """When the run began, by which runs are listed."""
        row = self._old_row
        return row[6] if row is not None and isinstance(row[6], float) else self._first_at

    @property
    def old_number(self) -> int:
        """The old journal's number of the run; 0: it has lost it."""
        return self._old_row[0] if self._old_row is not None and isinstance(self._old_row[0], int) else 0

    @property
    def journal_is_behind(self) -> bool:
        """Whether the journal lacks something that is there."""
        return not self.lost and (
            self._old_row is None
            or self._journal_has_more
            or self._in_journal != len(self.rows)
            or self._plan_from == "plan.json"
        )

    def insert(self, database: sqlite3.Connection, number: int) -> None:
        """Write the run into a new journal; one that is lost as the old one had it."""
        plan = self.plan
        if plan is None:
            if self._old_row is None or not _is_row(self._old_row):
                return
            plan = self._old_row[9] if isinstance(self._old_row[9], bytes) else b""
        database.execute(sql("insert_whole_run"), (number, self.run_id, *self._about(), plan))
        rows = ((number << SEQ_BITS | row[0], *row[1:]) for row in self.rows)
        database.executemany(sql("insert_record"), rows)

    def _about(self) -> tuple[Any, ...]:
        """Batch, source, jobs, status, start, end, counts. What the old journal has is taken only when it is whole."""
        whole = self._in_journal == len(self.rows) or self.plan is None
        if self._old_row is not None and whole and _is_row(self._old_row):
            return self._old_row[2:9]
        config = decode(self.plan) if self.plan else None
        about = (
            (config.name, config.source, count_jobs(config.jobs)) if config is not None else (self._program(), "", 0)
        )
        return *about, "running", self._first_at, None, "{}"

    def _program(self) -> str:
        """What the program that recorded the run is called."""
        name = _first_event(self.rows).get("settings", {}).get("program")
        return name if isinstance(name, str) else self.run_id

    def renew_file(self) -> Recovered:
        """Write the run's own file and plan where they are not what they should be, and say what was done."""
        if self.lost:
            return Recovered(self.run_id, lost=self.lost, hint="its files were left as they are")
        kept: Path | None = None
        if self._folder is not None:
            try:
                kept = self._renew(self._folder)
            except (OSError, StateError) as error:
                lost = (
                    error.message if isinstance(error, StateError) else _refused("write to", self._folder.path, error)
                )
                hint = "what was found is in the journal; mend that, and recover again"
                return Recovered(self.run_id, lost=lost, hint=hint)
        in_journal = self._in_journal if self._old_row is not None else 0
        return Recovered(
            self.run_id, len(self.rows), in_journal, self._in_file, self._beyond, self._plan_from, str(kept or "")
        )

    def _renew(self, folder: RunFolder) -> Path | None:
        kept, there = None, folder.events.exists()
        size = sum(len(jsonl_line(*row)) for row in self.rows)
        if self._in_file != len(self.rows) or (there and folder.events.stat().st_size != size):
            kept = keep_aside(folder.events) if there else None
            replace_file(folder.events, (jsonl_line(*row) for row in self.rows))
        if self._plan_from == "journal":
            assert self.plan is not None
            replace_file(folder.plan, [self.plan])
        return kept


def _chained(rows: Iterable[Row]) -> list[Row]:
    """The records that follow from each other, from the first one on."""
    by_number: dict[int, list[Row]] = {}
    for row in rows:
        by_number.setdefault(row[0], []).append(row)
    chained: list[Row] = []
    seq, chain = 1, CHAIN_START
    while following := next((row for row in by_number.get(seq, ()) if row[3] == link(chain, *row[:3])), None):
        chained.append(following)
        seq, chain = seq + len(msgspec.json.decode(following[2])), following[3]
    return chained


def _fingerprint(rows: list[Row]) -> str:
    """What the plan's hash is to be, from the first event; empty when nothing says."""
    return str(_first_event(rows).get("fingerprint", ""))


def _first_event(rows: list[Row]) -> dict[str, Any]:
    first = next(iter(msgspec.json.decode(rows[0][2])), None) if rows else None
    return first if isinstance(first, dict) and first.get("type") == "run_started" else {}


def _plan_fault(plan: bytes, fingerprint: str) -> str:
    """Why a copy of the plan cannot be taken; empty when it can."""
    if fingerprint and blake2b(plan, digest_size=16).hexdigest() != fingerprint:
        return _OTHER_PLAN
    try:
        if plan:
            decode(plan)
    except NOT_JSON as error:
        return f"its plan cannot be read: {why_unreadable(error)}"
    return ""


def _is_row(row: tuple[Any, ...]) -> bool:
    return not run_info(row[1:9]).fault


def _is_record(row: tuple[Any, ...]) -> bool:
    if not (isinstance(row[1], float) and isinstance(row[2], bytes) and isinstance(row[3], bytes)):
        return False
    try:
        return isinstance(msgspec.json.decode(row[2]), list)
    except NOT_JSON:
        return False


def _in_order(runs: Sequence[_Run]) -> list[_Run]:
    """As the old journal had them, whatever the clock said; one that it has lost behind the last one that began before it."""
    ordered = sorted((run for run in runs if run.old_number), key=lambda run: run.old_number)
    if not ordered:
        return sorted(runs, key=_by_clock)
    for run in sorted((run for run in runs if not run.old_number), key=_by_clock):
        place = len(ordered)
        while place and ordered[place - 1].began_at > run.began_at:
            place -= 1
        ordered.insert(place, run)
    return ordered


def _by_clock(run: _Run) -> tuple[float, str]:
    return run.began_at, run.run_id


def _replace_journal(path: Path, old: _OldJournal, runs: list[_Run]) -> Path | None:
    """Make a new journal of all runs and put it in the old one's place. Returns where the old one is."""
    remove_parts(path.parent)  # nobody else writes there: every run is held
    kept = None
    with atomic_write(path, mode=0o600) as part:
        SqliteJournal(part, durability="full").close()
        database = sqlite3.connect(part, isolation_level=None)
        try:
            database.execute("BEGIN IMMEDIATE")
            for number, run in enumerate(_in_order(runs), 1):
                run.insert(database, number)
            database.executemany(sql("save_last_success"), old.last_successes())
            database.execute("COMMIT")
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            database.close()
        old.close()
        if path.exists():
            kept = keep_aside(path, "corrupt")
            wal = Path(f"{path}-wal")
            # The old log must be out of the way before the new journal is there: SQLite would take it for the new one's.
            if wal.exists():
                wal.rename(f"{kept}-wal")
            Path(f"{path}-shm").unlink(missing_ok=True)
    return kept
