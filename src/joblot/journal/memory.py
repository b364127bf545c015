"""A journal that lives and dies with the process: for tests, simulations, and runs that leave no trace on purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from joblot.core.events import Record
from joblot.errors import StateError
from joblot.journal import Journal, Request, RunInfo
from joblot.journal.codec import CHAIN_START, encode_events, link, verified

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from joblot.core.events import AnyEvent
    from joblot.core.provenance import LastSuccess


class MemoryJournal(Journal):
    """`Journal` in memory. What is read was encoded and decoded, so it is exactly what a file would give."""

    def __init__(self) -> None:
        self._infos: dict[str, RunInfo] = {}
        self._last_successes: dict[str, dict[str, LastSuccess]] = {}
        self._plans: dict[str, bytes] = {}
        self._rows: dict[str, list[tuple[int, float, bytes, bytes]]] = {}
        self._next: dict[str, int] = {}
        self._requests: dict[str, list[Request]] = {}

    def create(self, run_id: str, *, batch: str, source: str, jobs: int, plan: bytes, at: float) -> None:
        if run_id in self._infos:
            raise StateError(f"run `{run_id}` exists already")
        self._infos[run_id] = RunInfo(
            run_id=run_id, batch=batch, source=source, jobs=jobs, status="running", started_at=at
        )
        self._plans[run_id] = plan
        self._rows[run_id] = []
        self._next[run_id] = 1

    def append(self, run_id: str, events: Sequence[AnyEvent], at: float) -> Record:
        rows = self._rows_of(run_id)
        seq, body = self._next[run_id], encode_events(events)
        rows.append((seq, at, body, link(rows[-1][3] if rows else CHAIN_START, seq, at, body)))
        self._next[run_id] = seq + len(events)
        return Record(seq, at, list(events))

    def records(self, run_id: str, after: int = 0) -> Iterator[Record]:
        rows = list(self._rows_of(run_id))
        return (record for record in verified(rows, what="the journal in memory") if record.seq > after)

    def plan(self, run_id: str) -> bytes:
        self._rows_of(run_id)
        return self._plans[run_id]

    def runs(self, *, limit: int | None = None) -> list[RunInfo]:
        return list(reversed(self._infos.values()))[:limit]

    def info(self, run_id: str) -> RunInfo | None:
        return self._infos.get(run_id)

    def summarise(self, run_id: str, *, status: str, ended_at: float | None, counts: dict[str, Any]) -> None:
        self._rows_of(run_id)
        info = self._infos[run_id]
        self._infos[run_id] = msgspec.structs.replace(info, status=status, ended_at=ended_at, counts=counts)

    def request(self, run_id: str, kind: str, by: str, at: float) -> None:
        self._rows_of(run_id)
        self._requests.setdefault(run_id, []).append(Request(kind, by, at))

    def requests(self, run_id: str) -> list[Request]:
        self._rows_of(run_id)
        return self._requests.pop(run_id, [])

    def _rows_of(self, run_id: str) -> list[tuple[int, float, bytes, bytes]]:
        if run_id not in self._rows:
            raise StateError(f"no run `{run_id}` in the journal in memory")
        return self._rows[run_id]

    def last_successes(self, batch: str) -> dict[str, LastSuccess]:
        return dict(self._last_successes.get(batch, {}))

    def save_last_successes(self, batch: str, successes: Sequence[LastSuccess]) -> None:
        self._last_successes.setdefault(batch, {}).update((success.job, success) for success in successes)

    def note_last_successes(self, batch: str, successes: Sequence[LastSuccess]) -> None:
        pass  # what could outlive a kill would not be found again

    def force(self) -> None:
        pass  # there is no disk

    def close(self) -> None:
        pass
