"""`RunLogger`: the run log for people's own programs, written from the same events as a batch's.

A logger turns calls into records and hands each to up to four readers: the run log (one JSON file, written at the end), a
stream (a JSONL file that grows event by event), a text stream to watch, and the journal of a state folder. It does not know what the program does, and it
makes no decision beyond the run's final status.
"""

from __future__ import annotations

import atexit
import os
import re
import signal
import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

import msgspec

from joblot.clock import Clock, SystemClock, new_run_id
from joblot.core import events as ev
from joblot.errors import EXIT_SIGTERM, JoblotError, UsageError
from joblot.files import append_to, check_writable, reason_of, write_all
from joblot.reports.runlog import RunLog
from joblot.reports.text import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import FrameType, TracebackType
    from typing import TextIO

    from joblot.journal.program import ProgramRun

_RUN_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_STATUSES: Final = {"completed": "success", "failed": "failed", "cancelled": "cancelled"}
"""How a logger's run can end, and the word for it in events."""
_DEPTH: Final = 32
"""How deep nested data is logged as it is; what lies deeper is logged as text."""


class RunJournal(Protocol):
    """What a logger needs of a journal: methods for the beginning of the run, for each event, and for the end."""

    def create(self, run_id: str, *, batch: str, source: str, jobs: int, plan: bytes, at: float) -> Any:
        """A run begins; `at` is wall time in seconds."""

    def append(self, run_id: str, events: Sequence[ev.AnyEvent], at: float) -> Any:
        """Something happened in it."""

    def summarise(self, run_id: str, *, status: str, ended_at: float | None, counts: dict[str, Any]) -> Any:
        """What a list of runs shows of it; `counts` is empty, for there are no jobs."""


class RunLogger:
    """A log of one run of a program: structured events, counted errors and warnings, one status.

    Used as a context manager it finishes whatever happens: an exception makes the run `failed`, Ctrl-C and SIGTERM make it `cancelled`,
    and each goes on to the caller. Without `with`, `finish` is called by the program, and a run that nobody finished is `failed`
    when the interpreter exits.

    Args:
        run_id: letters, digits, `.`, `_`, `-`; unique and sorted by time when not given.
        log: path of the run log, a JSON file that is written in one step when the run finishes.
        stream: path of a JSONL file to which each event is appended as it happens.
        verbose: True prints each event on stdout as it happens; a text stream prints it there.
        clock: where time comes from.
        keep: of the events of `log_item` keep each `keep`-th; None keeps all. How many were left out is logged at the end.
        state: a state folder in which the run is recorded as well, event by event, for `joblot ls` and `show`; True: `JOBLOT_STATE`, else
            `.joblot` in the working folder. It has each `run_id` once.
        name: what the list of runs calls the program; by default the name of the script.
        journal: a journal instead of a state folder's.

    Raises:
        ValueError: `run_id` or `keep` cannot be used, or both `state` and `journal` are given.
        UsageError: `log` or `stream` cannot be written.
        StateError: the state folder cannot be used, or has a run of that id.
    """

    def __init__(
        self,
        run_id: str | None = None,
        *,
        log: str | Path | None = None,
        stream: str | Path | None = None,
        verbose: bool | TextIO = False,
        clock: Clock | None = None,
        keep: int | None = None,
        state: str | Path | bool | None = None,
        name: str = "",
        journal: RunJournal | None = None,
    ) -> None:
        if keep is not None and keep < 1:
            raise ValueError(f"`keep` must be at least 1, got {keep}")
        if state and journal is not None:
            raise ValueError("`state` and `journal` exclude each other")
        self._clock = clock or SystemClock()
        self._began = self._clock.now()
        at = self._clock.wall()
        self.last_error = ""
        """The message of the last error that was logged; empty while there is none."""
        self.run_id = _checked(run_id) if run_id is not None else new_run_id(at)
        self._log = RunLog(self.run_id, keep=log is not None)
        # Absolute, because the program may go elsewhere before the end.
        self._log_path = None if log is None else Path(log).absolute()
        # All paths are tried before the journal learns of the run: a wrong one must not leave a run there that never ends.
        if log is not None:
            check_writable(log)
        self._stream = -1 if stream is None else _open_stream(stream)
        self._screen = sys.stdout if verbose is True else verbose or None
        self._keep = keep
        self._items = 0
        self._left_out = 0
        self._journal = journal
        self._recorded: ProgramRun | None = None
        self._seq = 1
        self._lock = threading.RLock()
        self._logged_exception: BaseException | None = None
        self._summary: dict[str, Any] | None = None
        self._signals = _Signals()
        self._pid = os.getpid()
        by: dict[str, Any] = {"pid": self._pid}
        program = _encodable(name or Path(sys.argv[0]).stem or "python")
        try:
            if state:
                self._journal, by = self._open_state(None if state is True else state)
            if self._journal is not None:
                self._journal.create(self.run_id, batch=program, source="", jobs=0, plan=b"", at=at)
            self._record([ev.RunStarted("", 0, settings={"program": program}, by=by)], at)
        except BaseException:
            self._close_files()
            raise
        atexit.register(self._at_exit)

    def _open_state(self, state: str | Path | None) -> tuple[RunJournal, dict[str, Any]]:
        from joblot.journal.folder import driver
        from joblot.journal.program import ProgramRun

        self._recorded = ProgramRun(state)
        return self._recorded, driver()

    # --- events and the end ---------------------------------------------------------------------

    def log_event(self, event_type: str, data: Mapping[str, Any] | None = None, /, **fields: Any) -> None:
        """Something happened: a type, and any data about it (what JSON cannot hold is logged as text)."""
        self._record([ev.Logged(_encodable(event_type), data=_as_json(data, fields))])

    def log_item(self, event_type: str, data: Mapping[str, Any] | None = None, /, **fields: Any) -> None:
        """As `log_event`, for what happens once for each of many items: thinned out when the logger was made with `keep`."""
        with self._lock:
            self._items += 1
            if self._keep is not None and (self._items - 1) % self._keep:
                self._refuse_after_finish()
                self._left_out += 1
                return
            self.log_event(event_type, data, **fields)

    def log_error(self, message: object, data: Mapping[str, Any] | None = None, /, **details: Any) -> None:
        """Something went wrong, in words or as an exception: counted, and logged as an `error` event. The run goes on."""
        if isinstance(message, BaseException):
            self._logged_exception = message
        self._record([_error(message, {**(data or {}), **details})])

    def log_warning(self, message: object, data: Mapping[str, Any] | None = None, /, **details: Any) -> None:
        """Something is doubtful: counted, and logged as a `warning` event. It is no error."""
        self._record([ev.Logged("warning", "warning", message=_text(message), data=_as_json(data, details))])

    def finish(self, status: str | None = None) -> dict[str, Any]:
        """End the run, write the run log, and give the summary: `run_id`, `status`, `events`, `errors`, `warnings`, `duration_ms`.

        `status` is `completed` (also when None), `failed` or `cancelled`. Only the first call counts; later ones give the same summary.

        Raises:
            ValueError: no such status.
            JoblotError: the run log cannot be written.
        """
        ending = _STATUSES.get(status or "completed")
        if ending is None:
            raise ValueError(f"a run ends as `completed`, `failed` or `cancelled`, not as `{status}`")
        self._finish(ending)
        return self.summary

    @property
    def summary(self) -> dict[str, Any]:
        """The counts and the status so far; final once the run is finished."""
        return dict(self._summary or self._sum_up())

    # --- as a context manager -------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._signals.take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            with self._signals.held():
                self._leave(error)
        finally:
            self._signals.give_back()

    def _leave(self, error: BaseException | None) -> None:
        try:
            self._finish(*self._ending(error))
        except Exception as trouble:
            # The program's own exception matters more than the trouble with its log.
            if error is None:
                raise
            error.add_note(str(trouble))

    def _ending(self, error: BaseException | None) -> tuple[str, list[ev.AnyEvent]]:
        """The status that an exception means, and the event that records it."""
        if error is None or (isinstance(error, SystemExit) and not error.code):
            return "success", []
        terminated = isinstance(error, SystemExit) and error.code == EXIT_SIGTERM
        if terminated or isinstance(error, KeyboardInterrupt):
            return "cancelled", [ev.RunStopping("cancelled", "SIGTERM" if terminated else "SIGINT")]
        return "failed", [] if error is self._logged_exception else [_error(error, {})]

    # --- recording ------------------------------------------------------------------------------

    def _record(self, events: list[ev.AnyEvent], at: float | None = None) -> None:
        with self._lock:
            self._refuse_after_finish()
            with self._signals.held():
                record = ev.Record(self._seq, self._clock.wall() if at is None else at, events)
                self._seq += len(events)
                for event in events:
                    if isinstance(event, ev.Logged) and event.level == "error":
                        self.last_error = event.message
                lines = self._log.apply(record)
                try:
                    self._write_stream(lines)
                finally:
                    self._write_journal(record)
            for line in lines:
                self._show(line)

    def _refuse_after_finish(self) -> None:
        if self._summary is not None:
            raise RuntimeError(f"run `{self.run_id}` is finished and takes no more events")

    def _finish(self, ending: str, last: Sequence[ev.AnyEvent] = ()) -> None:
        with self._lock, self._signals.held():
            if self._summary is not None:
                return
            events = [*last, *self._thinned(), ev.RunEnded(ending, max(self._clock.now() - self._began, 1e-9))]
            try:
                self._record(events)
            finally:
                # A stream or a journal that failed does not keep the log from being written, nor the run from being finished.
                self._summary = self._sum_up()
                atexit.unregister(self._at_exit)
                try:
                    self._close_files()
                finally:
                    if self._log_path is not None:
                        self._log.write(self._log_path)

    def _thinned(self) -> list[ev.AnyEvent]:
        if not self._left_out:
            return []
        kept = self._items - self._left_out
        return [ev.Logged("items_left_out", data={"kept": kept, "left_out": self._left_out, "every": self._keep})]

    def _sum_up(self) -> dict[str, Any]:
        log = self._log
        return {
            "run_id": self.run_id,
            "status": log.status,
            "events": log.event_count,
            "errors": log.error_count,
            "warnings": log.warning_count,
            "duration_ms": log.duration_ms,
        }

    def _at_exit(self) -> None:
        if os.getpid() == self._pid:
            try:
                self._finish("failed", [_error("the program ended without finishing the run", {})])
            except JoblotError as error:
                sys.stderr.write(f"error: {error.message}\n")

    def _write_journal(self, record: ev.Record) -> None:
        if self._journal is None:
            return
        try:
            self._journal.append(self.run_id, record.events, record.at)
            last = record.events[-1]
            if isinstance(last, ev.RunEnded):
                self._journal.summarise(self.run_id, status=last.status, ended_at=record.at, counts={})
        except BaseException:
            # Raised once: after a gap, later records would not fit the earlier ones.
            self._journal = None
            raise

    # --- the stream and the screen --------------------------------------------------------------

    def _write_stream(self, lines: list[bytes]) -> None:
        if self._stream < 0:
            return
        try:
            write_all(self._stream, b"".join(line + b"\n" for line in lines))
        except OSError as error:
            self._close_stream()
            raise JoblotError(f"cannot write the stream of run `{self.run_id}`: {reason_of(error)}") from error

    def _close_stream(self) -> None:
        if self._stream >= 0:
            os.close(self._stream)
            self._stream = -1

    def _close_files(self) -> None:
        self._close_stream()
        if self._recorded is not None:
            self._recorded.close()

    def _show(self, line: bytes) -> None:
        if self._screen is None:
            return
        entry = msgspec.json.decode(line)
        text = f"{entry['timestamp']} {entry['event_type']} {msgspec.json.encode(entry['data']).decode()}"
        encoding = getattr(self._screen, "encoding", None) or "utf-8"
        try:
            print(plain(text).encode(encoding, "backslashreplace").decode(encoding), file=self._screen, flush=True)
        except (OSError, ValueError):
            # Nobody is watching any more (`| head`, a closed stream): no reason to end the run.
            self._screen = None


class _Signals:
    """SIGINT and SIGTERM while a `with` block is open: they end it by an exception, but never interrupt the writing of an event or a log.

    A signal for which the program has its own handler is left to it. Only the main thread is concerned: others get no signals.
    """

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}
        self._thread = 0
        """The thread that is to be interrupted; 0 while nobody listens."""
        self._holding = 0
        self._late = 0

    def take(self) -> None:
        """Begin to listen, if this is the main thread."""
        if threading.current_thread() is not threading.main_thread():
            return
        self._thread = threading.get_ident()
        for number, default in ((signal.SIGTERM, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
            if signal.getsignal(number) is default:
                self._before[number] = signal.signal(number, self._on_signal)

    def give_back(self) -> None:
        """Put the handlers back."""
        self._thread = 0
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """A context in which signals wait; one that came meanwhile strikes at its end."""
        if threading.get_ident() != self._thread:
            yield
            return
        self._holding += 1
        try:
            yield
        finally:
            self._holding -= 1
            if self._late and not self._holding:
                self._strike(self._late)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._holding:
            self._late = number
        else:
            self._strike(number)

    def _strike(self, number: int) -> None:
        self._late = 0
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(EXIT_SIGTERM)


def _checked(run_id: str) -> str:
    if not _RUN_ID.fullmatch(run_id):
        shown = run_id.encode("unicode_escape").decode()
        raise ValueError(
            f"run id `{shown}` cannot be used: write at most 100 letters, digits, `.`, `_` or `-`, the first a letter or digit"
        )
    return run_id


def _describe(error: BaseException) -> str:
    """An exception in one line, for people."""
    if isinstance(error, FileNotFoundError) and error.filename is not None:
        return f"file not found: {error.filename}"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{reason_of(error)}: {error.filename}"
    if isinstance(error, JoblotError):
        return error.message
    text = " ".join(_text(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _open_stream(path: str | Path) -> int:
    try:
        stream = append_to(path)
        with suppress(OSError):  # a pipe has no end to look at
            _end_last_line(stream)
    except OSError as error:
        raise UsageError(
            f"cannot write `{path}`: {reason_of(error)}", hint="give a path to a file that you may write"
        ) from error
    return stream


def _end_last_line(stream: int) -> None:
    """Close a line that a killed program left half written, so that the next event does not continue it."""
    size = os.lseek(stream, 0, os.SEEK_END)
    if size and os.pread(stream, 1, size - 1) != b"\n":
        os.write(stream, b"\n")


def _error(message: object, details: Mapping[str, Any]) -> ev.Logged:
    """The `error` event of a text or an exception."""
    if isinstance(message, BaseException):
        details = {"exception": type(message).__name__, **details}
        message = _describe(message)
    return ev.Logged("error", "error", message=_text(message), data=_as_json(details, {}))


def _as_json(data: Mapping[str, Any] | None, details: Mapping[str, Any]) -> dict[str, Any] | None:
    """A copy of the data that JSON can hold; None when there is none."""
    merged = {**(data or {}), **details}
    if not merged:
        return None
    try:
        copy: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(merged, enc_hook=str))
    except Exception:  # noqa: BLE001 - lone surrogates, cycles, objects whose text raises: none of it is the logger's to refuse
        copy = _json_value(merged)
    return copy


def _json_value(value: Any, above: tuple[int, ...] = ()) -> Any:
    """The value as JSON can hold it; `above` are the ids of the containers that it is in, so that a cycle ends."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if len(above) < _DEPTH and id(value) not in above:
        inside = (*above, id(value))
        if isinstance(value, dict):
            return {_text(key): _json_value(inner, inside) for key, inner in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [_json_value(inner, inside) for inner in value]
    return _text(value)


def _text(value: object) -> str:
    """The value's own text, whatever it takes."""
    try:
        return _encodable(str(value))
    except Exception as error:  # noqa: BLE001 - a logger must not fail for what it logs
        return f"<{type(value).__name__} whose text raises {type(error).__name__}>"


def _encodable(text: str) -> str:
    """The text with what UTF-8 cannot encode written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()
