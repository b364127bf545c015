"""The run log: a run's records as a list of events that a person or any program can read, and its file.

The same for a batch and for a `RunLogger`: every recorded event becomes one entry `{run_id, timestamp, event_type, data}`. Entries are
kept as encoded text in one buffer. It does not know where the records come from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from joblot.clock import iso_utc
from joblot.core import events as ev
from joblot.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

_STATUS: Final = {"success": "completed"}
"""A run log says `completed` where a run says `success`."""
_KINDS: Final = {"run_ended": "run_finished"}
"""Events that have another name in a run log."""


class RunLog:
    """The log of one run, as far as its records have been applied. `name` gives the name of a job from its number.

    Without `keep` entries are counted and given back, and not kept: then there is nothing to write at the end.
    """

    def __init__(self, run_id: str, name: Callable[[int], str] = str, *, keep: bool = True) -> None:
        self.run_id = run_id
        self._keep = keep
        self.status = "running"
        self.event_count = 0
        self.error_count = 0
        """Errors that were logged, and jobs that failed."""
        self.warning_count = 0
        self.duration_ms = 0
        self._name = name
        self._started_at: float | None = None
        self._ended_at: float | None = None
        self._entries = bytearray()
        self._encode = msgspec.json.Encoder().encode

    def apply(self, record: ev.Record) -> list[bytes]:
        """Take in what was recorded together; gives the new entries, each as one line of JSON."""
        timestamp = iso_utc(record.at)
        lines = []
        for event in record.events:
            self._count(event, record.at)
            data = self._data(event)
            entry = {"run_id": self.run_id, "timestamp": timestamp, "event_type": _kind(event), "data": data}
            line = self._encode(entry)
            if self._keep:
                if self.event_count:
                    self._entries += b",\n    "
                self._entries += line
            self.event_count += 1
            lines.append(line)
        return lines

    def apply_all(self, records: Iterable[ev.Record]) -> RunLog:
        """Apply records one after another; the log itself is returned."""
        for record in records:
            self.apply(record)
        return self

    def _count(self, event: ev.AnyEvent, at: float) -> None:
        match event:
            case ev.Logged():
                self.error_count += event.level == "error"
                self.warning_count += event.level == "warning"
            case ev.AttemptEnded():
                self.error_count += event.state == "failed"
            case ev.RunStarted():
                self._started_at = at
            case ev.RunResumed():
                self.status, self._ended_at = "running", None
            case ev.RunEnded():
                self.status, self._ended_at = _STATUS.get(event.status, event.status), at
                elapsed = event.wall_s or max(0.0, at - (self._started_at or at))
                self.duration_ms = round(elapsed * 1000)

    def _data(self, event: ev.AnyEvent) -> dict[str, Any]:
        match event:
            case ev.Logged():
                return self._logged(event)
            case ev.RunStarted():
                return {"run_id": self.run_id} | ({"jobs": event.jobs} if event.jobs else {})
            case ev.RunEnded():
                return {"status": self.status, "duration_ms": self.duration_ms, "errors": self.error_count}
            case ev.AttemptEnded():
                return self._attempt_ended(event)
            case ev.PlanExtended():
                return {"job": self._name(event.job), "jobs": event.jobs}
            case _:
                return self._named(msgspec.to_builtins(event))

    def _logged(self, event: ev.Logged) -> dict[str, Any]:
        data: dict[str, Any] = {"message": event.message} if event.message else {}
        data |= event.data or {}
        if event.job >= 0:
            data |= {"job": self._name(event.job), "attempt": event.attempt}
        return data

    def _attempt_ended(self, event: ev.AttemptEnded) -> dict[str, Any]:
        data: dict[str, Any] = {"job": self._name(event.job), "attempt": event.attempt, "outcome": event.outcome}
        data |= {"state": event.state, "duration_ms": round(event.wall_s * 1000)}
        seldom = {key: getattr(event, key) for key in ("reason", "message", "exit_code", "signal", "delay_s")}
        return data | {key: value for key, value in seldom.items() if value}

    def _named(self, data: dict[str, Any]) -> dict[str, Any]:
        """The fields of an event, with names of jobs in place of their numbers."""
        del data["type"]
        if "jobs" in data:
            data["jobs"] = [self._name(job) for job in data["jobs"]]
        for key in ("job", "cause"):
            if key in data:
                data[key] = self._name(data[key])
        return data

    def to_dict(self) -> dict[str, Any]:
        """The log file as plain data."""
        plain: dict[str, Any] = msgspec.json.decode(b"".join(self._chunks()))
        return plain

    def write(self, path: str | Path) -> None:
        """Write the log file in one step; missing folders are made.

        Raises:
            JoblotError: the file cannot be written.
        """
        write_atomically(path, self._chunks())

    def _chunks(self) -> Iterator[bytes | bytearray]:
        head = {
            "run_id": self.run_id,
            "status": self.status,
            "start_time": None if self._started_at is None else iso_utc(self._started_at),
            "end_time": None if self._ended_at is None else iso_utc(self._ended_at),
            "duration_ms": self.duration_ms,
            "event_count": self.event_count,
            "error_count": self.error_count,
            "warning_count": self.warning_count,
        }
        yield msgspec.json.format(msgspec.json.encode(head), indent=2)[:-2] + b',\n  "events": [\n    '
        yield self._entries
        yield b"\n  ]\n}\n"


def _kind(event: ev.AnyEvent) -> str:
    if isinstance(event, ev.Logged):
        return event.event
    tag = str(event.__struct_config__.tag)
    return _KINDS.get(tag, tag)
