"""The journal in one SQLite file (WAL).

One row holds what one decision recorded: one INSERT is one transaction, so a decision is in the file whole or not at all.

A run that is being driven also has a `RunFile`, which is written first: a record is safe as soon as it is there, and the database takes
records in groups, which costs a tenth. Readers get what the file has beyond the database, so the groups are never seen.

It knows nothing of what events mean.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections import deque
from contextlib import closing, contextmanager, suppress
from functools import cache
from itertools import islice
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
from msgspec import Struct

from joblot.core.events import SCHEMA, Record
from joblot.core.provenance import LastSuccess
from joblot.errors import JournalDamagedError, JournalWriteError, NoRunsError, StateError, why_unreadable
from joblot.files import check_own_file, open_own, reason_of, replace_file, room_hint, system_error
from joblot.journal import Journal, Request, RunInfo
from joblot.journal.codec import CHAIN_START, NOT_JSON, decode_events, encode_events, jsonl_line, link, verified
from joblot.journal.noted import NotedSuccesses
from joblot.journal.runfile import RunFile, read_lines, read_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from joblot.core.events import AnyEvent
    from joblot.journal import Chosen

TABLES: Final = 2
"""The number of `schema.sql`."""
GROUP_S: Final = 0.05
"""How long records wait for others before the database takes them, at the most (while there are others)."""
GROUP: Final = 512
_HURRY_MS: Final = 20
_PATIENCE_MS: Final = 10_000
"""How long a lock of another program on the database is waited for: while a run goes on, and when there is nothing else to do."""
LONGEST_PATH: Final = 504
"""How many bytes the path of a journal may have, links followed: what SQLite is compiled for (512), less the ending of its log."""
SEQ_BITS: Final = 36
SEQ_MASK: Final = (1 << SEQ_BITS) - 1
_INFO: Final = ("run_id", "batch", "source", "jobs", "status", "started_at", "ended_at")
EVENTS_FILE: Final = "events.jsonl"
REMOVED: Final = "pruned-"
"""How the name of a folder beside the journal begins that was the folder of the run whose id follows. That run is gone, whatever is left of it."""
_SHARED_BYTES: Final = 32768
"""What the memory takes that readers and writers of a journal share."""
_BESIDE: Final = ("", "-wal", "-shm", "-journal")
"""The ends of the names of a journal's files."""
READ_FAULTS: Final = (sqlite3.Error, UnicodeDecodeError)
"""What reading a damaged file raises: texts that are none any more come as the second."""


class _Vars(Struct):
    vars: dict[str, Any] = {}


class _Last(Struct):
    type: str = ""
    wall_s: float = 0.0
    worked_s: float = 0.0


_decode_vars: Final = msgspec.json.Decoder(_Vars).decode
_decode_last: Final = msgspec.json.Decoder(list[_Last]).decode


class SqliteJournal(Journal):
    """`Journal` in the file `path`; without `wal` no shared memory is needed.

    With `read_only=True` nothing is written or created, but that what a killed process has half written is undone.

    Raises:
        StateError: the file cannot be opened, is not a journal, or was written by a newer joblot.
    """

    def __init__(
        self,
        path: Path,
        *,
        durability: Literal["normal", "full"] = "normal",
        read_only: bool = False,
        wal: bool = True,
    ) -> None:
        self.path = path
        self._read_only = read_only
        self._numbers: dict[str, int] = {}
        self._tails: dict[str, tuple[int, bytes]] = {}
        """Per run that is written here: the next event's number and the chain so far."""
        self._seen_versions: dict[str, int] = {}
        self._file: RunFile | None = None
        self._file_run = ""
        self._there: dict[Path, tuple[int, int] | None] = {}
        """Of the run that is driven here: which files have its records."""
        self._group: list[tuple[int, float, bytes, bytes]] = []
        self._group_at = 0.0
        self._noted: dict[str, NotedSuccesses] = {}
        self._has_schedules = False
        refuse_what_is_no_file(path, writes=not read_only)
        if not read_only:
            with suppress(OSError):  # it is there, or SQLite says why it cannot be made
                os.mknod(path, 0o600)  # SQLite makes its files for everybody, and those beside as this one
        try:
            self._db = self._open(f"file:{_quoted(path)}?mode=ro" if read_only else str(path))
        except READ_FAULTS as error:
            raise self._unusable(error) from None
        try:
            self._settle_mode(durability, wal=wal)
            self._check_schema()
        except READ_FAULTS as error:
            self._db.close()
            raise self._unusable(error) from None
        except StateError:
            self._db.close()
            raise
        self._db.text_factory = text_or_bytes

    # --- writing --------------------------------------------------------------------------------

    def create(self, run_id: str, *, batch: str, source: str, jobs: int, plan: bytes, at: float) -> None:
        try:
            cursor = self._db.execute(sql("insert_run"), (run_id, batch, source, jobs, at, plan))
        except sqlite3.IntegrityError:
            raise StateError(f"run `{run_id}` exists already") from None
        except sqlite3.Error as error:
            raise self._not_written(error) from None
        assert cursor.lastrowid is not None
        self._numbers[run_id] = cursor.lastrowid
        self._tails[run_id] = (1, CHAIN_START)

    def append(self, run_id: str, events: Sequence[AnyEvent], at: float) -> Record:
        seq, chain = self._tails.get(run_id) or self._read_tail(run_id)
        body = encode_events(events)
        chain = link(chain, seq, at, body)
        row = (self._numbers[run_id] << SEQ_BITS | seq, at, body, chain)
        if self._file is not None and run_id == self._file_run:
            self._file.write((seq, at, body, chain))
            self._gather(row)
        else:
            self._insert([row])
        self._tails[run_id] = (seq + len(events), chain)
        return Record(seq, at, list(events))

    def attach(self, run_id: str, file: RunFile) -> None:
        """Write a run's records to its file first from now on. The two must hold the same; see `mend`.

        From here on this is the engine's connection: a lock that another program holds on the database must not hold up the run, whose
        records are safe without it.
        """
        self._file, self._file_run = file, run_id
        self._there = {path: _identity(path) for path in (self.path, file.path)}
        self._wait_for_locks(_HURRY_MS)

    def _wait_for_locks(self, milliseconds: int) -> None:
        if self._file is not None:
            try:
                self._db.execute(f"PRAGMA busy_timeout={milliseconds}")
            except sqlite3.Error:
                pass  # it waits as long as before

    def mend(self, run_id: str, path: Path) -> Path | None:
        """Give the database what only the run's file has, and the file what only the database has: a kill or a cut can leave either behind.

        A file with damage that no kill explains (a line that is not what was written, with others behind it) is kept aside; returns where.

        Raises:
            JournalDamagedError: the file is to be written again, and the database is not sound itself.
        """
        end = self._end(run_id)
        fresh = [(self._numbers[run_id] << SEQ_BITS | row[0], *row[1:]) for row, _ in read_rows(path, end)]
        if fresh:
            self._insert(fresh)
        self._tails.pop(run_id, None)
        return self._renew_file(path, run_id)

    def _end(self, run_id: str) -> tuple[int, bytes]:
        """The number of the event after the last one that the database has, and the hash so far."""
        first, last = self._range(run_id)
        row = next(map(_plain, self._rows("last_record", (first, last))), None)
        if row is None:
            return 1, CHAIN_START
        try:
            return row[0] + len(msgspec.json.decode(row[2])), row[3]
        except (*NOT_JSON, TypeError):
            raise self._unusable(sqlite3.DatabaseError(f"the last event of run `{run_id}` cannot be read")) from None

    def _renew_file(self, path: Path, run_id: str) -> Path | None:
        """Write the file again where it is not what the database holds.

        A file that ends at any record of the database was only cut short, and is written over; any other, and one with whole lines behind
        its last sound one, may hold what the database lacks, and is kept.
        """
        sound, chain = 0, CHAIN_START
        # By the chain alone: equal ends mean equal records, so nothing has to be compared one by one.
        for row, _ in read_rows(path):
            sound, chain = sound + len(jsonl_line(*row)), row[3]
        if path.exists() and chain == self._end(run_id)[1] and path.stat().st_size == sound:
            return None
        rows = [_plain(row) for row in self._rows("records", self._range(run_id))]
        for _ in verified(rows, what=f"journal `{self.path}`"):
            pass
        is_prefix = chain == CHAIN_START or any(row[3] == chain for row in rows)
        aside = keep_aside(path) if not is_prefix or has_lines(path, sound) else None
        replace_file(path, (jsonl_line(*row) for row in rows))
        return aside

    def _gather(self, row: tuple[int, float, bytes, bytes]) -> None:
        """Let the database take the record with others. It is safe already."""
        group = self._group
        group.append(row)
        if len(group) == 1:
            self._group_at = time.monotonic()
        elif len(group) >= GROUP or time.monotonic() - self._group_at >= GROUP_S:
            self._take_group()

    def _take_group(self) -> None:
        """Write the gathered records to the database. If it cannot take them now, they wait: the file has them."""
        self._refuse_vanished()
        if self._group:
            try:
                self._insert(self._group)
            except JournalWriteError:
                self._group_at = time.monotonic()
            else:
                self._group = []

    def _refuse_vanished(self) -> None:
        """Notice that the files have lost their names: what is written to them nobody finds any more. Two calls a group, none a record.

        Raises:
            StateError: they have.
        """
        for path, identity in self._there.items():
            if _identity(path) != identity:
                raise StateError(
                    f"`{path}` was removed, moved away or replaced while the run went on",
                    hint="what was recorded until then is where the state folder is now: `joblot resume` goes on from there",
                )

    def _insert(self, rows: list[tuple[int, float, bytes, bytes]]) -> None:
        if len(rows) > 1:
            self._insert_all(_INSERT_RECORD, rows)
            return
        try:
            self._db.execute(_INSERT_RECORD, rows[0])
        except sqlite3.Error as error:
            raise self._not_written(error) from None

    def _insert_all(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """All of them or none."""
        database = self._db
        try:
            database.execute("BEGIN IMMEDIATE")
            try:
                database.executemany(statement, rows)
                database.execute("COMMIT")
            finally:
                if database.in_transaction:
                    database.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise self._not_written(error) from None

    def summarise(self, run_id: str, *, status: str, ended_at: float | None, counts: dict[str, Any]) -> None:
        self._number(run_id)
        self._wait_for_locks(_PATIENCE_MS)
        self._take_group()  # the list of runs reads the end of the run from the database
        self._write("summarise", (status, ended_at, msgspec.json.encode(counts).decode(), run_id))

    def request(self, run_id: str, kind: str, by: str, at: float) -> None:
        self._write("insert_request", (self._number(run_id), at, kind, by))
        self._seen_versions.pop(run_id, None)  # the counter tells of other connections only

    def requests(self, run_id: str) -> list[Request]:
        """What was asked and not yet taken. Asks only for SQLite's change counter while no other process has written."""
        self._take_group()
        number = self._number(run_id)
        try:
            version = self._db.execute("PRAGMA data_version").fetchone()[0]
            if version == self._seen_versions.get(run_id):
                return []
            rows = self._db.execute(sql("requests"), (number,)).fetchall()
        except READ_FAULTS as error:
            raise self._unusable(error) from None
        if rows:
            try:
                self._write("drop_requests", (number, rows[-1][0]))
            except JournalWriteError:
                return []  # another program holds the database: they are asked for again
        self._seen_versions[run_id] = version
        return [Request(kind, by, at) for _, kind, by, at in rows]

    def open_runs(self) -> list[tuple[str, str, str]]:
        """Runs that are going on or were killed, oldest first: the id, the batch and its source."""
        rows, gone = self._rows("open_runs", ()), removed(self.path.parent)
        return [
            row
            for row in rows
            if all(isinstance(text, str) for text in row) and "/" not in row[0] and row[0] not in gone
        ]

    def last_successes(self, batch: str) -> dict[str, LastSuccess]:
        if self._tables < TABLES:  # an older journal, opened to be read
            return {}
        try:
            kept = self._kept(batch, str)  # a function of ours for each text would take a third longer
        except StateError:
            kept = self._kept(batch, text_or_bytes)
        return kept | NotedSuccesses(self.path.parent, batch).read()

    def batches_made(self) -> list[str]:
        """The batches of which last successes are kept, as `last_successes` takes them."""
        if self._tables < TABLES:
            return []
        return [batch for (batch,) in self._rows("batches_made", ()) if isinstance(batch, str)]

    def _kept(self, batch: str, text_factory: Any) -> dict[str, LastSuccess]:
        self._db.text_factory = text_factory
        try:
            return {
                row[0]: LastSuccess(*row)
                if type(row[1]) is type(row[2]) is type(row[3]) is bytes
                and type(row[4]) is str
                and type(row[5]) is float
                else LastSuccess(row[0], b"", b"")
                for row in self._rows("last_successes", (batch,))
                if type(row[0]) is str
            }
        finally:
            self._db.text_factory = text_or_bytes

    def save_last_successes(self, batch: str, successes: Sequence[LastSuccess]) -> None:
        noted = self._noted_of(batch)
        successes = [*noted.left(), *successes]
        rows = [(batch, last.job, last.parts, last.files, last.result, last.run, last.at) for last in successes]
        if rows:
            self._insert_all(sql("save_last_success"), rows)
            noted.clear()

    def note_last_successes(self, batch: str, successes: Sequence[LastSuccess]) -> None:
        self._noted_of(batch).add(successes)

    def _noted_of(self, batch: str) -> NotedSuccesses:
        if batch not in self._noted:
            self._noted[batch] = NotedSuccesses(self.path.parent, batch)
        return self._noted[batch]

    def force(self) -> None:
        self._take_group()
        if self._file is not None:
            self._file.force()

    def close(self) -> None:
        try:
            self._wait_for_locks(_PATIENCE_MS)
            self._take_group()
        finally:
            for noted in self._noted.values():
                noted.close()
            self._noted.clear()
            if self._file is not None:
                self._file.close()
                self._file = None
            self._db.close()

    @contextmanager
    def deciding(self) -> Iterator[None]:
        """Have the database to oneself for what is asked and put in between: all that is put counts, or nothing.

        Raises:
            JournalWriteError: it cannot be had, or not be written to.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise self._not_written(error) from None

    def put(self, query: str, **values: Any) -> int:
        """Write by the query of that name; how many rows that concerned.

        Raises:
            JournalWriteError: it cannot be written.
        """
        try:
            return self._db.execute(sql(query), values).rowcount
        except sqlite3.Error as error:
            raise self._not_written(error) from None

    # --- reading --------------------------------------------------------------------------------

    def ask(self, query: str, **values: Any) -> list[Any]:
        """The rows that the query of that name finds; none where the tables of schedules, which it is about, are not there yet."""
        if not self._has_schedules:
            self._has_schedules = "due" in {name for (name,) in self._rows("tables", ())}
        return list(self._rows(query, values)) if self._has_schedules else []

    def make_schedules(self) -> None:
        """Make the tables of schedules, which most journals do without."""
        if not self._has_schedules:
            with self.deciding():
                for statement in _text("schedule.sql").split(";"):
                    self._db.execute(statement)
            self._has_schedules = True

    def records(self, run_id: str, after: int = 0) -> Iterator[Record]:
        """The records in order. The chain is checked from the run's first record on, whatever `after` says."""
        what = f"journal `{self.path}`"
        return (record for record in verified(self._all_rows(run_id), what=what) if record.seq > after)

    def _all_rows(self, run_id: str) -> Iterator[tuple[int, float, bytes, bytes]]:
        """The database's rows, then what the run's file has beyond them."""
        next_seq = 1
        for row in map(_plain, self._rows("records", self._range(run_id))):
            yield row
            next_seq = row[0] + 1
        for row, _ in read_rows(self.path.parent / "runs" / run_id / EVENTS_FILE):
            if row[0] >= next_seq:
                yield row

    def records_with(self, text: bytes) -> Iterator[tuple[str, float, list[AnyEvent]]]:
        """The records that have a text, of all runs, the newest run first: its id, seconds since the epoch, the events. No hash is looked at."""
        for run_id, at, body in self._rows("records_with", (text,)):
            with suppress(*NOT_JSON, TypeError):
                yield run_id, at, decode_events(body)

    def last_events(self, run_id: str) -> list[AnyEvent]:
        """The last record of the database, or of the run's file where that cannot be read; nothing where neither can. No hash is looked at."""
        with suppress(*NOT_JSON, TypeError, StateError):
            row = next(self._rows("last_record", self._range(run_id)), None)
            return decode_events(row[2]) if row is not None else []
        with suppress(*NOT_JSON, StateError):
            lines = read_lines(self.path.parent / "runs" / run_id / EVENTS_FILE)
            last = deque((line for line in lines if line is not None), maxlen=1)
            return decode_events(last[0][2]) if last else []
        return []

    def plan(self, run_id: str) -> bytes:
        plan = self._value("run_plan", run_id)
        if not isinstance(plan, bytes):
            raise JournalDamagedError(
                f"journal `{self.path}` is damaged: the plan of run `{run_id}` cannot be read",
                hint=f"`joblot recover {run_id}` takes it from the run's own `plan.json`",
            )
        return plan

    def runs(self, *, limit: int | None = None) -> list[RunInfo]:
        return list(islice(self._infos("runs", ()), limit))

    def chosen(self, chosen: Chosen, *, longer: Callable[[str], float] | None = None) -> Iterator[RunInfo]:
        """The runs that are meant, newest first, those with a `fault` among them. Only as far as they are asked for are they read.

        `longer` gives, by the name of a batch, how many seconds a run must have taken; one that has not ended is among them.
        """
        variables = [_Sought(*variable) for variable in chosen.variables]
        arguments = {name: getattr(chosen, name) for name in ("batch", "source", "since", "until")}
        arguments |= {"statuses": msgspec.json.encode(chosen.statuses).decode()}
        arguments |= {"plans": bool(variables), "ends": longer is not None}
        for number, batch, began, ended, plan, end in self._rows("chosen_runs", arguments):
            if all(variable.is_in(plan) for variable in variables) and (
                longer is None or ended is None or _took(end, began, ended) > longer(batch)
            ):
                # At once: whoever takes the run may ask the same of another before the next one.
                yield from list(self._infos("run_of_number", (number,)))

    def last_good(self, batch: str, limit: int) -> list[RunInfo]:
        """The last runs of a batch that succeeded, newest first, at most so many; without those that cannot be read."""
        return [info for info in self._infos("last_good_runs", (batch, limit)) if not info.fault]

    def ids(self) -> list[str]:
        """The ids of all runs that can be read."""
        gone = removed(self.path.parent)
        return [run_id for (run_id,) in self._rows("run_ids", ()) if isinstance(run_id, str) and run_id not in gone]

    def sample(self, most: int) -> tuple[list[str], int]:
        """The ids of some runs, spread over all of them, and how many there are."""
        first, last, count = next(self._rows("span_of_runs", ()))
        numbers = range(first, last + 1, max(1, -(-(last + 1 - first) // most)))
        found = [run_id for number in numbers for (run_id,) in self._rows("run_from_number", (number,))]
        return list(dict.fromkeys(run_id for run_id in found if isinstance(run_id, str))), count

    def matching(self, text: str) -> list[RunInfo]:
        """The runs whose ids begin or end with a text, newest first, those with a `fault` among them."""
        return list(self._infos("matching_runs", {"text": text}))

    def info(self, run_id: str) -> RunInfo | None:
        info = next(self._infos("run_info", (run_id,)), None)
        if info is not None and info.fault:
            raise self.unreadable(info)
        return info

    def has_runs_of(self, batch: str, source: str) -> bool:
        """Whether there are runs of the batch file `source`, or, where that is empty, of a batch without a file of that name."""
        return bool(next(self._rows("has_runs_of", {"batch": batch, "source": source}))[0])

    def has_other_batches(self, batch: str) -> bool:
        """Whether there are runs of batches of another name."""
        return bool(next(self._rows("has_other_batches", (batch,)))[0])

    def programs_without_end(self) -> set[str]:
        """The runs of programs that have no end: nobody can go on with them."""
        return {run_id for (run_id,) in self._rows("programs_without_end", ()) if isinstance(run_id, str)}

    def bytes_used(self) -> tuple[int, int]:
        """How many bytes of the file are used, and how many are free for later records."""
        try:
            page, pages, free = (
                self._db.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_size", "page_count", "freelist_count")
            )
        except READ_FAULTS as error:
            raise self._unusable(error) from None
        return page * (pages - free), page * free

    def bytes_of(self, run_id: str) -> int:
        """About how many bytes of the file a run takes."""
        first, last = self._range(run_id)
        row = next(self._rows("run_bytes", {"first": first, "last": last, "number": self._number(run_id)}), (0,))
        return row[0] if isinstance(row[0], int) else 0

    def remove(self, run_id: str) -> None:
        """Take out all rows of a run together; that there are none is no error.

        Raises:
            JournalWriteError: they are all there still.
        """
        for (number,) in list(self._rows("run_number", (run_id,))):
            first = number << SEQ_BITS
            with self.deciding():
                self._db.execute(sql("delete_records"), (first, first | SEQ_MASK))
                self._db.execute(sql("delete_requests"), (number,))
                self._db.execute(sql("delete_run"), (number,))

    def shrink(self) -> bool:
        """Give the free part of the file back to the disk; meanwhile nobody else can use it, and as much room again is needed. Whether that was done."""
        try:
            self._db.execute("VACUUM")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error:  # no room, or somebody is reading or writing
            return False
        return True

    def unreadable(self, info: RunInfo) -> JournalDamagedError:
        """The error that a run with a fault is for who asks for it, and the warning for who asks for others."""
        return JournalDamagedError(
            f"run `{info.run_id}` cannot be read: its row in journal `{self.path}` is damaged: {info.fault}",
            hint="`joblot recover` makes the journal again from the runs' own files",
        )

    # --- inside ---------------------------------------------------------------------------------

    def _settle_mode(self, durability: str, *, wal: bool) -> None:
        if not self._read_only:
            self._set_mode("WAL" if wal else "DELETE")
            self._db.execute(f"PRAGMA synchronous={'FULL' if durability == 'full' or not wal else 'NORMAL'}")
            return
        try:
            self._db.execute("SELECT 1 FROM sqlite_master")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_READONLY_ROLLBACK:
                self._undo_half_written(error)
                return
            # Readers share memory in a file beside the journal. Where none can be made, as on a full disk, and no writer has left its log, it is not needed.
            may_be_made = os.access(self.path.parent, os.W_OK) and not _lacks_memory(error)
            if may_be_made or _size(Path(f"{self.path}-wal")):
                raise
            self._db.close()
            self._db = self._open(f"file:{_quoted(self.path)}?mode=ro&immutable=1")

    def _undo_half_written(self, found: sqlite3.OperationalError) -> None:
        """A writer was killed that had no WAL: as the journal was made, or on a network file system. Only who may write can undo what it had begun."""
        try:
            with closing(sqlite3.connect(self.path, timeout=10.0)) as writer:
                writer.execute("SELECT 1 FROM sqlite_master")
        except sqlite3.OperationalError:
            raise found from None
        self._db.execute("SELECT 1 FROM sqlite_master")

    def _open(self, address: str) -> sqlite3.Connection:
        # The engine's thread is the only one that uses the connection; the check would cost and protects nothing here.
        return sqlite3.connect(
            address,
            uri=self._read_only,
            isolation_level=None,
            check_same_thread=False,
            timeout=10.0,
            cached_statements=32,
        )

    def _check_schema(self) -> None:
        # One query: between two of them another process may make the tables.
        known = {name for (name,) in self._db.execute(sql("tables"))}
        if "meta" not in known:
            if self._read_only and not known:  # a runner was killed, or the disk was full, when it was to be made
                raise NoRunsError(f"no runs here: journal `{self.path}` is empty", hint="`joblot run` makes one")
            if known:
                raise StateError(f"`{self.path}` is not a joblot journal")
            numbers = f"INSERT OR IGNORE INTO meta VALUES ('tables', {TABLES}), ('events', {SCHEMA})"  # noqa: S608 - two numbers of ours
            self._db.executescript(f"BEGIN IMMEDIATE;{_text('schema.sql')};{numbers};COMMIT;")
        elif "made" not in known and not self._read_only:  # tables of number 1
            self._db.executescript(f"BEGIN IMMEDIATE;{_text('schema.sql')};{_RENUMBER};COMMIT;")
        newest = dict(self._db.execute(sql("numbers")))
        self._tables = newest.get("tables", 0)
        if newest.get("tables", 0) > TABLES or newest.get("events", 0) > SCHEMA:
            raise StateError(
                f"journal `{self.path}` was written by a newer joblot", hint="upgrade joblot, or use another `--state`"
            )

    def _set_mode(self, mode: str) -> None:
        """Set how SQLite keeps its log. Two processes that do so at once do not wait for each other: SQLite refuses the second at once."""
        until = time.monotonic() + _PATIENCE_MS / 1000
        while True:
            try:
                self._db.execute(f"PRAGMA journal_mode={mode}")
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > until:
                    raise
                time.sleep(0.01)
            else:
                return

    def _number(self, run_id: str) -> int:
        if run_id not in self._numbers:
            number = self._value("run_number", run_id)
            if not isinstance(number, int):
                raise JournalDamagedError(f"journal `{self.path}` is damaged: run `{run_id}` cannot be read")
            self._numbers[run_id] = number
        return self._numbers[run_id]

    def _value(self, query: str, run_id: str) -> Any:
        rows = list(self._rows(query, (run_id,)))
        if not rows:
            raise StateError(f"no run `{run_id}` in `{self.path}`")
        return rows[0][0]

    def _range(self, run_id: str) -> tuple[int, int]:
        first = self._number(run_id) << SEQ_BITS
        return first, first | SEQ_MASK

    def _read_tail(self, run_id: str) -> tuple[int, bytes]:
        """Where to go on, from the whole run: a chain is only worth going on with when it holds."""
        rows = list(self._all_rows(run_id))
        seq, chain = 1, rows[-1][3] if rows else CHAIN_START
        for record in verified(rows, what=f"journal `{self.path}`"):
            seq = record.seq + len(record.events)
        self._number(run_id)
        self._tails[run_id] = (seq, chain)
        return seq, chain

    def _infos(self, query: str, arguments: tuple[Any, ...] | dict[str, Any]) -> Iterator[RunInfo]:
        """The runs of a query, but for those that are being removed."""
        gone = removed(self.path.parent)
        return (run_info(row) for row in self._rows(query, arguments) if row[0] not in gone)

    def _rows(self, query: str, arguments: tuple[Any, ...] | dict[str, Any]) -> Iterator[Any]:
        try:
            for row in self._db.execute(sql(query), arguments):  # noqa: UP028 - `yield from` would close the cursor, after the database
                yield row
        except READ_FAULTS as error:
            raise self._unusable(error) from None

    def _write(self, query: str, arguments: tuple[Any, ...]) -> None:
        try:
            self._db.execute(sql(query), arguments)
        except sqlite3.Error as error:
            raise self._not_written(error) from None

    def _unusable(self, error: Exception) -> StateError:
        if isinstance(error, sqlite3.OperationalError):
            size = len(os.fsencode(os.path.realpath(self.path)))
            if size > LONGEST_PATH:
                longest = LONGEST_PATH - size + len(os.fsencode(os.path.realpath(self.path.parent)))
                return StateError(
                    f"the path of the state folder `{self.path.parent}` is too long: SQLite takes {longest} bytes",
                    hint="choose another with `--state`",
                )
            why, hint = self._why(error)
            return StateError(f"cannot use journal `{self.path}`: {why}", hint=hint)
        return JournalDamagedError(f"journal `{self.path}` is damaged: {_one_line(error)}")

    def _not_written(self, error: sqlite3.Error) -> StateError:
        if isinstance(error, sqlite3.OperationalError):
            why, hint = self._why(error)
            return JournalWriteError(f"cannot write to journal `{self.path}`: {why}", hint=hint or _advice(why))
        return JournalDamagedError(f"journal `{self.path}` is damaged: {_one_line(error)}")

    def _why(self, error: sqlite3.OperationalError) -> tuple[str, str]:
        """What is wrong, and what to do."""
        if not self._is_out_of_room(error):
            return _one_line(error), ""
        full = system_error(errno.ENOSPC)
        return reason_of(full), room_hint(
            full, f"; what failed attempts have left is in `{self.path.parent}/runs/*/partial`"
        )

    def _is_out_of_room(self, error: sqlite3.OperationalError) -> bool:
        """Whether the memory that is shared in a file beside the journal found no room: SQLite says `disk I/O error`."""
        if not _lacks_memory(error):
            return False
        with suppress(OSError):
            disk = os.statvfs(self.path.parent)
            return disk.f_bavail * disk.f_frsize < _SHARED_BYTES
        return False


def removed(state: Path) -> frozenset[str]:
    """The ids of runs of a state folder that are gone though something is left of them."""
    try:
        names = os.listdir(state)  # noqa: PTH208 - names are wanted, not paths
    except OSError:
        return frozenset()
    return frozenset(name.removeprefix(REMOVED) for name in names if name.startswith(REMOVED))


def run_info(row: tuple[Any, ...]) -> RunInfo:
    """A run from what the list of runs has of it, with a fault when that cannot be."""
    try:
        counts = msgspec.json.decode(row[7])
        info = msgspec.convert(dict(zip(_INFO, row, strict=False)) | {"counts": counts}, RunInfo)
    except (*NOT_JSON, TypeError) as error:
        fault = _one_line(error)
    else:
        if info.run_id.isprintable() and "/" not in info.run_id:
            return info
        fault = "its id cannot be the name of a folder"
    name = row[0] if isinstance(row[0], str) and row[0].isprintable() else repr(row[0])
    return RunInfo(run_id=name, batch="", source="", jobs=0, status="", started_at=0.0, fault=fault)


class _Sought:
    """A variable and what it stood for, as a person types that: `2026-11-20`, `5`, `1.50`, `true`, `["a","b"]`."""

    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._values: list[Any] = [text]
        self._written = msgspec.json.encode(text)
        with suppress(*NOT_JSON):
            self._values.append(msgspec.json.decode(text))
            self._written = msgspec.json.encode(name) + b":"  # a number or a list may be written in another way there

    def is_in(self, plan: Any) -> bool:
        """Whether the plan of a run, as it is kept, has it. To look for the bytes is quicker than to read them."""
        try:
            if self._written not in plan:
                return False
            head, jobs, _ = plan.partition(b',"jobs":[')
            found = _decode_vars(head + b"}" if jobs else head).vars[self._name]
        except (*NOT_JSON, TypeError, KeyError):  # of a program, or damaged
            return False
        # `==` would take 1 for `True`.
        return any(one == found and isinstance(one, bool) == isinstance(found, bool) for one in self._values)


def _took(last: Any, began: Any, ended: Any) -> float:
    """How long a run took, in seconds: as its end says it, else by the dates."""
    try:
        end = _decode_last(last)[-1]
        if end.type == "run_ended" and (took := end.worked_s or end.wall_s):
            return took
    except (*NOT_JSON, TypeError, IndexError):
        pass
    return float(ended - began) if _are_numbers(began, ended) else inf


def _are_numbers(*values: Any) -> bool:
    return all(type(value) in (int, float) for value in values)


def text_or_bytes(value: bytes) -> str | bytes:
    """A text of the database. One that is none any more stays bytes, so that it costs its own row and not the whole query."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _lacks_memory(error: sqlite3.OperationalError) -> bool:
    """Whether the file of the shared memory could not be made as large as it has to be; errors of Python's own have no code."""
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_IOERR_SHMSIZE


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - asked while a run goes on
    except OSError:
        return None
    return status.st_dev, status.st_ino


def refuse_what_is_no_file(path: Path, *, writes: bool) -> None:
    """Refuse a link, a pipe or a device that stands where a journal or a file beside it is to be: SQLite would follow it, or wait for ever.

    Raises:
        UntrustedError: one is no file, or not the user's own alone; for who writes also: it has another name elsewhere.
    """
    for name in _BESIDE:
        with suppress(OSError):  # SQLite says what is wrong in its own words
            # The journal itself has two names, both here, where `recover` was killed just before it put a new one in its place.
            may_have_names = not name and (not writes or _has_all_names_here(path))
            check_own_file(Path(f"{path}{name}"), path.parent, "journal ", may_have_names=may_have_names)


def _has_all_names_here(path: Path) -> bool:
    status = path.lstat()
    if status.st_nlink == 1:
        return True
    with os.scandir(path.parent) as entries:
        return sum(entry.inode() == status.st_ino for entry in entries) == status.st_nlink


def keep_aside(path: Path, word: str = "damaged") -> Path:
    """Give a file a name that nothing reads, `NAME.damaged-20261120-102457`, under which it stays. Returns the name."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    names = (path.with_name(f"{path.name}.{word}-{stamp}{count}") for count in ("", *(f"-{n}" for n in range(2, 1000))))
    aside = next(name for name in names if not name.exists())
    # A link, not a rename: until the new file stands in its place, the old one is under its own name too.
    os.link(path, aside)
    return aside


def has_lines(path: Path, start: int) -> bool:
    """Whether a file has whole lines from an offset on. What a killed write leaves is less than one."""
    try:
        file = os.fdopen(open_own(path), "rb")
    except FileNotFoundError:
        return False
    with file:
        file.seek(start)
        return any(b"\n" in part for part in iter(lambda: file.read(1 << 20), b""))


def _plain(row: Any) -> tuple[int, float, bytes, bytes]:
    number = row[0] & SEQ_MASK if isinstance(row[0], int) else 0  # no event has the number 0: the chain's check fails
    return number, row[1], row[2], row[3]


def _one_line(error: Exception) -> str:
    """What is wrong, without what a damaged schema may bring into the message."""
    return "".join(char if char.isprintable() else "?" for char in " ".join(why_unreadable(error).split()))


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


def sql(name: str) -> str:
    """The query of that name in `queries.sql`."""
    return _queries()[name]


_RENUMBER: Final = f"UPDATE meta SET value = {TABLES} WHERE key = 'tables'"  # noqa: S608 - a number of ours
_INSERT_RECORD: Final = sql("insert_record")
