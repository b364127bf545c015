"""The journal in one SQLite file (WAL).

One row holds what one decision recorded: one INSERT is one transaction, so a decision is in the file whole or not at all. With
`durability="full"` SQLite forces the write-ahead log at each commit. With `normal` a commit goes to the page cache, which any process may
be killed under without loss, and a thread forces the log to disk at most 50 ms later.

It knows nothing of what events mean.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from joblot.errors import JournalDamagedError, JournalWriteError, StateError
from joblot.events import SCHEMA, Record
from joblot.journal import Request, RunInfo
from joblot.journal.codec import CHAIN_START, encode_events, link, verified

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from joblot.events import AnyEvent

TABLES: Final = 1
"""The number of `schema.sql`."""
FORCE_AFTER_S: Final = 0.05
_SEQ_BITS: Final = 36
_SEQ_MASK: Final = (1 << _SEQ_BITS) - 1
_ALL: Final = -1


class SqliteJournal:
    """`Journal` in the file `path`. With `read_only=True` nothing is ever written or created.

    Raises:
        StateError: the file cannot be opened, is not a journal, or was written by a newer joblot.
    """

    def __init__(
        self, path: Path, *, durability: Literal["normal", "full"] = "normal", read_only: bool = False
    ) -> None:
        self.path = path
        self._read_only = read_only
        self._numbers: dict[str, int] = {}
        self._tails: dict[str, tuple[int, bytes]] = {}
        """Per run that is written here: the next event's number and the chain so far."""
        self._seen_version = -1
        self._forcer: _Forcer | None = None
        self._copy: Callable[[int, float, bytes, bytes], None] | None = None
        try:
            self._db = self._connect(durability)
            self._check_schema()
        except sqlite3.Error as error:
            raise self._unusable(error) from None
        if durability == "normal" and not read_only:
            self._forcer = _Forcer(Path(f"{path}-wal"))

    # --- writing --------------------------------------------------------------------------------

    def create(self, run_id: str, *, batch: str, source: str, jobs: int, plan: bytes, at: float) -> None:
        """See `Journal.create`."""
        try:
            cursor = self._db.execute(_sql("insert_run"), (run_id, batch, source, jobs, at, plan))
        except sqlite3.IntegrityError:
            raise StateError(f"run `{run_id}` exists already") from None
        except sqlite3.Error as error:
            raise self._not_written(error) from None
        assert cursor.lastrowid is not None
        self._numbers[run_id] = cursor.lastrowid
        self._tails[run_id] = (1, CHAIN_START)

    def append(self, run_id: str, events: Sequence[AnyEvent], at: float) -> Record:
        """See `Journal.append`."""
        seq, chain = self._tails.get(run_id) or self._read_tail(run_id)
        body = encode_events(events)
        chain = link(chain, seq, at, body)
        try:
            self._db.execute(_INSERT_RECORD, (self._numbers[run_id] << _SEQ_BITS | seq, at, body, chain))
        except sqlite3.Error as error:
            raise self._not_written(error) from None
        self._tails[run_id] = (seq + len(events), chain)
        if self._forcer is not None:
            self._forcer.wrote()
        if self._copy is not None:
            self._copy(seq, at, body, chain)
        return Record(seq, at, list(events))

    def copy_to(self, copy: Callable[[int, float, bytes, bytes], None] | None) -> None:
        """Call `copy(seq, at, events as JSON, chain)` after each record that is written from now on."""
        self._copy = copy

    def summarise(self, run_id: str, *, status: str, ended_at: float | None, counts: dict[str, Any]) -> None:
        """See `Journal.summarise`."""
        self._write("summarise", (status, ended_at, msgspec.json.encode(counts).decode(), run_id))

    def request(self, run_id: str, kind: str, by: str, at: float) -> None:
        """See `Journal.request`."""
        self._write("insert_request", (self._number(run_id), at, kind, by))

    def requests(self, run_id: str) -> list[Request]:
        """See `Journal.requests`. Asks only for SQLite's change counter while no other process has written."""
        version = self._db.execute("PRAGMA data_version").fetchone()[0]
        if version == self._seen_version:
            return []
        self._seen_version = version
        number = self._number(run_id)
        rows = self._db.execute(_sql("requests"), (number,)).fetchall()
        if rows:
            self._write("drop_requests", (number, rows[-1][0]))
        return [Request(kind, by, at) for _, kind, by, at in rows]

    def force(self) -> None:
        """See `Journal.force`."""
        if self._forcer is not None:
            self._forcer.force()

    def close(self) -> None:
        """See `Journal.close`."""
        if self._forcer is not None:
            self._forcer.close()
        self._db.close()

    # --- reading --------------------------------------------------------------------------------

    def records(self, run_id: str, after: int = 0) -> Iterator[Record]:
        """See `Journal.records`. The chain is checked from the run's first record on, whatever `after` says."""
        rows = self._rows("records", self._range(run_id))
        plain = ((row[0] & _SEQ_MASK, row[1], row[2], row[3]) for row in rows)
        return (record for record in verified(plain, what=f"journal `{self.path}`") if record.seq > after)

    def raw_records(self, run_id: str) -> Iterator[tuple[int, float, bytes, bytes]]:
        """Seq, time, events as JSON, chain of each record, not checked."""
        return ((row[0] & _SEQ_MASK, row[1], row[2], row[3]) for row in self._rows("records", self._range(run_id)))

    def plan(self, run_id: str) -> bytes:
        """See `Journal.plan`."""
        rows = list(self._rows("run_plan", (run_id,)))
        if not rows:
            raise StateError(f"no run `{run_id}` in `{self.path}`")
        return bytes(rows[0][0])

    def runs(self, *, limit: int | None = None) -> list[RunInfo]:
        """See `Journal.runs`."""
        return [_info(row) for row in self._rows("runs", (_ALL if limit is None else limit,))]

    def info(self, run_id: str) -> RunInfo | None:
        """See `Journal.info`."""
        return next((_info(row) for row in self._rows("run_info", (run_id,))), None)

    # --- inside ---------------------------------------------------------------------------------

    def _connect(self, durability: str) -> sqlite3.Connection:
        # The engine's thread is the only one that uses the connection; the check would cost and protects nothing here.
        options = {"isolation_level": None, "check_same_thread": False, "timeout": 10.0, "cached_statements": 32}
        if self._read_only:
            return sqlite3.connect(f"file:{_quoted(self.path)}?mode=ro", uri=True, **options)  # type: ignore[call-overload, no-any-return]
        database = sqlite3.connect(self.path, **options)  # type: ignore[call-overload]
        database.execute("PRAGMA journal_mode=WAL")
        database.execute(f"PRAGMA synchronous={'FULL' if durability == 'full' else 'NORMAL'}")
        return database  # type: ignore[no-any-return]

    def _check_schema(self) -> None:
        known = self._db.execute("SELECT name FROM sqlite_master WHERE name = 'meta'").fetchone()
        if known is None:
            if self._read_only or self._db.execute("SELECT name FROM sqlite_master LIMIT 1").fetchone():
                raise StateError(f"`{self.path}` is not a joblot journal")
            self._db.executescript(f"BEGIN IMMEDIATE;{_text('schema.sql')};COMMIT;")
            self._db.executemany("INSERT OR IGNORE INTO meta VALUES (?, ?)", [("tables", TABLES), ("events", SCHEMA)])
        numbers = dict(self._db.execute("SELECT key, value FROM meta"))
        if numbers.get("tables", 0) > TABLES or numbers.get("events", 0) > SCHEMA:
            raise StateError(f"journal `{self.path}` was written by a newer joblot", hint="upgrade joblot, or use another `--state`")

    def _number(self, run_id: str) -> int:
        if run_id not in self._numbers:
            rows = list(self._rows("run_number", (run_id,)))
            if not rows:
                raise StateError(f"no run `{run_id}` in `{self.path}`")
            self._numbers[run_id] = rows[0][0]
        return self._numbers[run_id]

    def _range(self, run_id: str) -> tuple[int, int]:
        first = self._number(run_id) << _SEQ_BITS
        return first, first | _SEQ_MASK

    def _read_tail(self, run_id: str) -> tuple[int, bytes]:
        """Where to go on, from the whole run: a chain is only worth going on with when it holds."""
        seq, chain = 1, CHAIN_START
        for record in self.records(run_id):
            seq = record.seq + len(record.events)
        for row in self._rows("last_record", self._range(run_id)):
            chain = row[3]
        self._tails[run_id] = (seq, chain)
        return seq, chain

    def _rows(self, query: str, arguments: tuple[Any, ...]) -> Iterator[Any]:
        try:
            yield from self._db.execute(_sql(query), arguments)
        except sqlite3.Error as error:
            raise self._unusable(error) from None

    def _write(self, query: str, arguments: tuple[Any, ...]) -> None:
        try:
            self._db.execute(_sql(query), arguments)
        except sqlite3.Error as error:
            raise self._not_written(error) from None

    def _unusable(self, error: sqlite3.Error) -> StateError:
        if isinstance(error, sqlite3.OperationalError):
            return StateError(f"cannot use journal `{self.path}`: {error}")
        return JournalDamagedError(f"journal `{self.path}` is damaged: {error}")

    def _not_written(self, error: sqlite3.Error) -> StateError:
        if isinstance(error, sqlite3.OperationalError):
            return JournalWriteError(f"cannot write to journal `{self.path}`: {error}", hint=_advice(str(error)))
        return JournalDamagedError(f"journal `{self.path}` is damaged: {error}")


class _Forcer:
    """Forces the write-ahead log to disk at most FORCE_AFTER_S after a commit, beside the loop.

    It has a descriptor of its own on the log. (SQLite's locks are on other files; closing this one releases none of them.)
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._fd = -1
        self._behind = False
        self._closing = False
        self._wake = threading.Event()
        self._error: OSError | None = None
        self._thread: threading.Thread | None = None

    def wrote(self) -> None:
        """Something was committed. Raises what the last forcing failed with, since that disk cannot be trusted again."""
        if self._error is not None:
            raise JournalWriteError(f"cannot force `{self._log}` to disk: {self._error}")
        if not self._behind:
            self._behind = True
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="joblot-journal", daemon=True)
                self._thread.start()
            self._wake.set()

    def force(self) -> None:
        """Force now."""
        self._behind = False
        try:
            if self._fd < 0:
                self._fd = os.open(self._log, os.O_RDONLY | os.O_CLOEXEC)
            os.fdatasync(self._fd)
        except FileNotFoundError:
            pass  # no commit yet, or everything is in the database already
        except OSError as error:
            self._error = error

    def _run(self) -> None:
        while True:
            self._wake.wait()
            if self._closing:
                return
            self._wake.clear()
            time.sleep(FORCE_AFTER_S)
            self.force()

    def close(self) -> None:
        """Force what is left and end the thread."""
        if self._behind:
            self.force()
        self._closing = True
        self._wake.set()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _info(row: Any) -> RunInfo:
    return RunInfo(
        run_id=row[0], batch=row[1], source=row[2], jobs=row[3], status=row[4],
        started_at=row[5], ended_at=row[6], counts=msgspec.json.decode(row[7]),
    )  # fmt: skip


def _advice(text: str) -> str:
    if "full" in text:
        return "make room on that disk, then `joblot resume`"
    return "nothing recorded is lost; `joblot resume` goes on from there" if "disk I/O" in text else ""


def _quoted(path: Path) -> str:
    from urllib.parse import quote

    return quote(str(path.absolute()))


def _text(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


@cache
def _queries() -> dict[str, str]:
    queries = {}
    for block in _text("queries.sql").split("-- ")[1:]:
        name, _, rest = block.partition(":")
        queries[name] = rest.partition("\n")[2].strip()
    return queries


def _sql(name: str) -> str:
    return _queries()[name]


_INSERT_RECORD: Final = _sql("insert_record")
