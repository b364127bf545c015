"""Makes the journal again from the runs' own files, and a run's file from the journal: what `joblot recover` does.

A record is taken from whichever copy has it as it was written; the chain of hashes decides. What is replaced is kept aside. It opens no
state folder, because it has to work where none can be opened, and it runs nothing.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from joblot.config.load import decode
from joblot.core.events import SCHEMA
from joblot.core.fan_out import count_jobs
from joblot.digest import blake2b
from joblot.errors import StateError
from joblot.files import atomic_write, reason_of, remove_parts, replace_file
from joblot.journal.codec import CHAIN_START, jsonl_line, link
from joblot.journal.folder import JOURNAL_FILE, Hold, RunFolder
from joblot.journal.runfile import read_lines, read_rows
from joblot.journal.sqlite import TABLES, SqliteJournal, keep_aside, refuse_device

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from joblot.journal.runfile import Row

_FAULTS: Final = (sqlite3.Error, UnicodeDecodeError)
_OUR_TABLES: Final = {"meta", "run", "record", "request"}
_SEQ_BITS: Final = 36
_SEQ_MASK: Final = (1 << _SEQ_BITS) - 1
_MADE_COLUMNS: Final = "batch, job, parts, files, result, run, at"
_MADE_KINDS: Final = (str, str, bytes, bytes, bytes, str, float)
_RUN_COLUMNS: Final = "number, run_id, batch, source, jobs, started_at, status, ended_at, counts, plan"


class Recovered(Struct, frozen=True):
    """What became of one run.

    `records` are those that there are now; `in_journal` and `in_file` how many sound ones each copy had before; `beyond` how many were
    found after the first one that neither copy has. `lost` says why there is nothing to rebuild the run from; empty when it was rebuilt.
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

    The journal is replaced as a whole, in one step, and only when it is not what it should be.

    Raises:
        StateError: there is nothing to recover from, or the disk does not take it.
        RunHeldError: a live process drives one of the runs.
    """
    old = _Old(state / JOURNAL_FILE)
    holds: list[Hold] = []
    try:
        old.read()
        folders = _run_folders(state)
        names = sorted({*old.runs, *folders})
        if run_id is not None:
            if run_id not in names:
                raise StateError(
                    f"no run `{run_id}` in `{state}`", hint="give the whole id: the name of its folder in `runs`"
                )
        elif not names:
            raise StateError(f"nothing to recover in `{state}`: it has no runs", hint="choose another with `--state`")
        holds.extend(Hold(name, folders[name]) for name in names if name in folders)
        found = [_Found(name, old, folders.get(name)) for name in names]
        wanted = [one for one in found if run_id in (None, one.run_id)]
        replaced = not old.sound or any(one.journal_is_behind for one in wanted)
        kept = _replace_journal(state / JOURNAL_FILE, old, found) if replaced else None
        # A new journal has all runs in it, whichever was asked for.
        return Recovery(replaced, kept, [one.renew_file() for one in (found if replaced else wanted)])
    except OSError as error:
        raise StateError(f"cannot write to `{error.filename or state}`: {reason_of(error)}") from None
    except sqlite3.Error as error:
        raise StateError(f"cannot make the journal again: {error}") from None
    finally:
        for hold in holds:
            hold.release()
        old.close()


def _run_folders(state: Path) -> dict[str, RunFolder]:
    try:
        folders = [RunFolder(path) for path in sorted((state / "runs").iterdir()) if path.is_dir()]
    except OSError:
        return {}
    return {folder.path.name: folder for folder in folders if folder.plan.exists() or folder.events.exists()}


class _Old:
    """What can be read of a journal that may be damaged or gone."""

    def __init__(self, path: Path) -> None:
        self.runs: dict[str, tuple[Any, ...]] = {}
        self.sound = False
        self._path = path
        self._db: sqlite3.Connection | None = None
        refuse_device(path)
        if path.exists():
            with suppress(sqlite3.Error):
                self._db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
                self._db.text_factory = lambda value: value.decode("utf-8", "replace")

    def read(self) -> None:
        """Find out which runs there are and whether all is sound. Raises StateError when it is no journal, or a newer joblot's."""
        if self._db is not None:
            with suppress(*_FAULTS):
                self.sound = self._db.execute("PRAGMA integrity_check(1)").fetchone()[0] == "ok"
            self._refuse_what_is_not_ours(self._path)
        for row in self._rows(f"SELECT {_RUN_COLUMNS} FROM run ORDER BY number"):  # noqa: S608 - a constant of ours
            if isinstance(row[0], int) and isinstance(row[1], str):
                self.runs.setdefault(row[1], row)
            self.sound = self.sound and _is_row(row)

    def _refuse_what_is_not_ours(self, path: Path) -> None:
        tables = {name for (name,) in self._rows("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if self.sound and tables and not tables & _OUR_TABLES:
            raise StateError(f"`{path}` is not a joblot journal")
        numbers = dict(self._rows("SELECT key, value FROM meta WHERE typeof(value) = 'integer'"))
        if self.sound and (numbers.get("tables", 0) > TABLES or numbers.get("events", 0) > SCHEMA):
            raise StateError(f"journal `{path}` was written by a newer joblot", hint="upgrade joblot")
        self.sound = self.sound and tables >= _OUR_TABLES and numbers.keys() >= {"tables", "events"}

    def rows(self, run_id: str) -> list[Row]:
        """The records of a run from both ends, as far as they can be read; some may come twice, and some be of the wrong types."""
        if run_id not in self.runs:
            return []
        first = self.runs[run_id][0] << _SEQ_BITS
        query = "SELECT id, at, events, chain FROM record WHERE id BETWEEN ? AND ? ORDER BY id"
        found = {}
        for order in (" ASC", " DESC"):
            for row in self._rows(query + order, (first, first | _SEQ_MASK)):
                found[row[0]] = (row[0] & _SEQ_MASK, *row[1:])
        return list(found.values())

    def made(self) -> Iterator[tuple[Any, ...]]:
        """What is kept of jobs that are up to date. A row that cannot be taken costs one job run again."""
        for row in self._rows(f"SELECT {_MADE_COLUMNS} FROM made"):  # noqa: S608 - a constant of ours
            if all(isinstance(value, kind) for value, kind in zip(row, _MADE_KINDS, strict=True)):
                yield row

    def _rows(self, query: str, arguments: tuple[int, ...] = ()) -> Iterator[Any]:
        if self._db is None:
            return
        try:
            yield from self._db.execute(query, arguments)
        except (*_FAULTS, OverflowError):
            return

    def close(self) -> None:
        """Let go of the file."""
        if self._db is not None:
            self._db.close()


class _Found:
    """What both copies have of one run."""

    def __init__(self, run_id: str, old: _Old, folder: RunFolder | None) -> None:
        self.run_id = run_id
        self._folder = folder
        self._old_row = old.runs.get(run_id)
        in_journal = old.rows(run_id)
        from_journal = [row for row in in_journal if _is_record(row)]
        from_file = [row for row in read_lines(folder.events) if row is not None] if folder is not None else []
        self.rows = _chained([*from_journal, *from_file])
        self._in_journal = len(_chained(from_journal))
        self._journal_has_more = len(in_journal) > self._in_journal
        self._in_file = sum(1 for _ in read_rows(folder.events)) if folder is not None else self._in_journal
        reached = self.rows[-1][0] if self.rows else 0
        self._beyond = len({row[0] for row in (*from_journal, *from_file) if row[0] > reached})
        self._choose_plan()

    def _choose_plan(self) -> None:
        stored = self._old_row[9] if self._old_row is not None else None
        in_file = self._folder.plan.read_bytes() if self._folder is not None and self._folder.plan.exists() else None
        wanted = _fingerprint(self.rows)
        fitting = {
            name: content
            for name, content in (("journal", stored), ("plan.json", in_file))
            if isinstance(content, bytes) and _fits(content, wanted)
        }
        self.plan = next(iter(fitting.values()), None)
        self._plan_from = next(iter(fitting)) if len(fitting) == 1 and self._folder is not None else ""

    @property
    def journal_is_behind(self) -> bool:
        """Whether the journal lacks something that is there."""
        return self.plan is not None and (
            self._old_row is None
            or self._journal_has_more
            or self._in_journal != len(self.rows)
            or self._plan_from == "plan.json"
        )

    def insert(self, database: sqlite3.Connection, number: int) -> None:
        """Write the run into a new journal; one whose plan is lost as the old one had it."""
        plan = self.plan
        if plan is None:
            if self._old_row is None or not _is_row(self._old_row):
                return
            plan = self._old_row[9] if isinstance(self._old_row[9], bytes) else b""
        database.execute(
            f"INSERT INTO run ({_RUN_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - a constant of ours
            (number, self.run_id, *self._about(), plan),
        )
        database.executemany(
            "INSERT INTO record (id, at, events, chain) VALUES (?, ?, ?, ?)",
            ((number << _SEQ_BITS | row[0], *row[1:]) for row in self.rows),
        )

    def _about(self) -> tuple[Any, ...]:
        """Batch, source, jobs, start, status, end, counts. What the old journal has is taken only when it is whole."""
        whole = self._in_journal == len(self.rows) or self.plan is None
        if self._old_row is not None and whole and _is_row(self._old_row):
            return self._old_row[2:9]
        config = decode(self.plan) if self.plan else None
        began = self.rows[0][1] if self.rows else 0.0
        if config is None:
            return self.run_id, "", 0, began, "running", None, "{}"
        return config.name, config.source, count_jobs(config.jobs), began, "running", None, "{}"

    def renew_file(self) -> Recovered:
        """Write the run's own file and plan where they are not what they should be, and say what was done."""
        if self.plan is None:
            return Recovered(self.run_id, lost="no copy of its plan is what it began with")
        kept: Path | None = None
        folder = self._folder
        if folder is not None:
            if self._in_file != len(self.rows) or _has_more(folder.events, self.rows):
                kept = keep_aside(folder.events) if folder.events.exists() else None
                replace_file(folder.events, (jsonl_line(*row) for row in self.rows))
            if self._plan_from == "journal":
                replace_file(folder.plan, [self.plan])
        return Recovered(
            self.run_id,
            len(self.rows),
            self._in_journal if self._old_row is not None else 0,
            self._in_file,
            self._beyond,
            self._plan_from,
            str(kept or ""),
        )


def _chained(rows: Iterable[Row]) -> list[Row]:
    """The records that follow from each other, from the first one on."""
    by_number: dict[int, list[Row]] = {}
    for row in rows:
        by_number.setdefault(row[0], []).append(row)
    found: list[Row] = []
    seq, chain = 1, CHAIN_START
    while True:
        following = [row for row in by_number.get(seq, ()) if row[3] == link(chain, *row[:3])]
        if not following:
            return found
        found.append(following[0])
        seq, chain = seq + len(msgspec.json.decode(following[0][2])), following[0][3]


def _fingerprint(rows: list[Row]) -> str | None:
    """What the plan's hash is to be, from the first event; None when nothing says."""
    if not rows:
        return None
    first = msgspec.json.decode(rows[0][2])[0]
    return str(first.get("fingerprint", "")) if first.get("type") == "run_started" else None


def _fits(plan: bytes, fingerprint: str | None) -> bool:
    if fingerprint:
        return blake2b(plan, digest_size=16).hexdigest() == fingerprint
    try:
        return not plan or bool(decode(plan))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False


def _is_row(row: tuple[Any, ...]) -> bool:
    kinds = ((str,), (str,), (int,), (float,), (str,), (float, type(None)), (str,))
    if not all(isinstance(value, kind) for value, kind in zip(row[2:9], kinds, strict=True)):
        return False
    try:
        return bool(msgspec.json.decode(row[8], type=dict[str, int]) is not None)
    except msgspec.MsgspecError:
        return False


def _is_record(row: tuple[Any, ...]) -> bool:
    if not (isinstance(row[1], float) and isinstance(row[2], bytes) and isinstance(row[3], bytes)):
        return False
    try:
        return isinstance(msgspec.json.decode(row[2]), list)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False


def _has_more(path: Path, rows: list[Row]) -> bool:
    return path.exists() and path.stat().st_size != sum(len(jsonl_line(*row)) for row in rows)


def _replace_journal(path: Path, old: _Old, found: list[_Found]) -> Path | None:
    """Make a new journal of all runs and put it in the old one's place. Returns where the old one is."""
    remove_parts(path.parent)  # nobody else writes there: every run is held
    kept = None
    with atomic_write(path) as part:
        SqliteJournal(part, durability="full").close()
        database = sqlite3.connect(part, isolation_level=None)
        try:
            database.execute("BEGIN IMMEDIATE")
            for number, one in enumerate(sorted(found, key=lambda one: _order(one, old)), 1):
                one.insert(database, number)
            made = f"INSERT OR REPLACE INTO made ({_MADE_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - a constant of ours
            database.executemany(made, old.made())
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


def _order(one: _Found, old: _Old) -> tuple[float, str]:
    """Runs are listed by when they began."""
    row = old.runs.get(one.run_id)
    began = row[5] if row is not None and isinstance(row[5], float) else one.rows[0][1] if one.rows else 0.0
    return began, one.run_id
