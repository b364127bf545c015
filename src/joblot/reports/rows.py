"""A run as a table: one row a job, for whatever takes rows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec.structs import replace

from joblot.core.events import AttemptEnded
from joblot.core.fan_out import FanOutJobs
from joblot.core.references import Joined, as_text
from joblot.core.written import RawScalar, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from joblot.core.model import JobSpec
    from joblot.core.plan import Plan
    from joblot.reports.view import RunView

COLUMNS: Final = (
    "job", "state", "reason", "attempts", "queued_at", "started_at", "ended_at", "wait_s", "duration_s", "cpu_s", "peak_bytes",
    "read_bytes", "written_bytes", "exit_code", "signal", "host", "log",
)  # fmt: skip
"""The columns that every table has, behind those of the items; behind them come those of slots and results."""


_MAPPING: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_BRACE: Final = ord("{")
_NONE_MOVED: Final = (0, 0)
_SIMPLE: Final = frozenset({str, int, float, bool})


class _Moments(dict[float, datetime]):
    """Moments in UTC by seconds since the epoch: jobs that began or were recorded together share one."""

    def __missing__(self, at: float) -> datetime:
        made = self[at] = datetime.fromtimestamp(at, UTC)
        return made


def rows_of(
    plan: Plan, view: RunView, log: Callable[[str, int], str] | None, left_out: Collection[int]
) -> list[dict[str, Any]]:
    """A row for each job that takes part, in the order of the batch, by the names of `Table`. Times are UTC."""
    table = Table(plan, view, log, left_out)
    columns = table.columns
    return [dict(zip(columns, row, strict=True)) for row in table.rows(_Moments().__getitem__)]


class Table:
    """A run as a table: a row for each job that takes part.

    Columns of items stand first; one that is called as a column of every table is `item.NAME`, an item that is one value `item`. Of each limit
    whose slots have names `slot.LIMIT` has the one that the last attempt held, of several a text with commas. Results that are
    mappings have a column `result.KEY` for each key, others are `result`. Durations are seconds. What there is not, or is not known,
    is None; a reason or a log that there is not is an empty text. Rows are made one at a time, so a table may have any number of them.
    """

    def __init__(
        self, plan: Plan, view: RunView, log: Callable[[str, int], str] | None, left_out: Collection[int]
    ) -> None:
        self._plan = plan
        self._view = view
        self._log = log
        self._left_out = left_out
        self._fans = [_Items(spec, jobs) for spec, jobs in plan.fan_outs]
        of_items = list(dict.fromkeys(name for fan in self._fans for name in fan.names))
        for fan in self._fans:
            fan.places = [of_items.index(name) for name in fan.names]
        self._blank = [None] * len(of_items)
        self._of_results = list(self._keys())
        self.columns: tuple[str, ...] = (
            *of_items,
            *COLUMNS,
            *(f"slot.{limit}" for limit in plan.named_slots),
            *self._of_results,
        )

    def _keys(self) -> dict[str, None]:
        """The columns of results, as they come."""
        keys: dict[str, None] = {}
        known: dict[str, None] = {}
        left_out, read = self._left_out, _MAPPING.decode
        for job, result in enumerate(self._view.results()):
            if not result or job in left_out:
                continue
            if result[0] != _BRACE:
                keys |= dict.fromkeys(_result(result))
                continue
            for key in read(result):
                if key not in known:
                    known[key] = keys[f"result.{key}"] = None
        return keys

    def rows(self, moment: Callable[[float], Any]) -> Iterator[list[Any]]:
        """The rows, with the values in the order of the columns; `moment` makes a time of seconds since the epoch."""
        plan, view, log, left_out, blank = self._plan, self._view, self._log, self._left_out, self._blank
        started_at, host, needs, keys = view.started_at, _host(view), plan.needs, self._of_results
        ends, name_of, count, moved = view.arrays().ended, plan.name, needs.count, view.moved_by_job()
        limits = list(plan.named_slots)
        fans = iter(self._fans)
        fan = next(fans, None)
        for job, (state, attempts, wall_s, cpu_s, peak, began, ended, result, why) in enumerate(view.columns()):
            items = blank
            if fan is not None and job >= fan.first:
                items = blank.copy()
                for place, value in zip(fan.places, next(fan.rows), strict=True):
                    items[place] = value
                if job == fan.last:
                    fan = next(fans, None)
            if job in left_out:
                continue
            name = name_of(job)
            ended_at = moment(ended) if ended == ended and state != "running" else None  # noqa: PLR0124 - what is not known is not a number
            exit_code = signal = queued_at = wait_s = None
            reason = why.reason if why else ""
            if attempts:
                known = ended == ended  # noqa: PLR0124
                queued = max([ends[need] for need in needs[job]], default=started_at) if count(job) else started_at
                # Of a job whose needs ran again later nobody knows since when it could have begun.
                if queued is not None and queued <= began:
                    queued_at, wait_s = moment(queued), round(began - queued, 6)
                if type(why) is AttemptEnded:
                    exit_code, signal = why.exit_code, why.signal
                elif state == "success" and plan.declarations[job].run is not None:
                    exit_code = 0
                read, written = moved.get(job, _NONE_MOVED) if moved else _NONE_MOVED
                facts = [
                    *items, name, state, reason, attempts, queued_at, moment(began), ended_at, wait_s,
                    round(wall_s, 6) if known else None, round(cpu_s, 6) if known else None, (peak or None) if known else None,
                    read or None, written or None, exit_code, signal, host, log(name, attempts) if log is not None else "",
                ]  # fmt: skip
            else:
                facts = [
                    *items, name, state, reason, 0, None, None, ended_at, None, None, None, None, None, None, None, None, None, "",
                ]  # fmt: skip
            if limits:
                held = view.slots(job).get(attempts, {})
                facts += [_held(held[limit]) if limit in held else None for limit in limits]
            if keys:
                found = _result(result) if result else {}
                facts += [found.get(key) for key in keys]
            yield facts


class _Items:
    """The items of a fan-out whose jobs stand side by side: the names of their columns, and their values one after another."""

    def __init__(self, spec: JobSpec, jobs: range) -> None:
        fan = spec.fan_out
        assert fan is not None, "BUG: not a fan-out"
        columns = {
            name: [value if type(value) in _SIMPLE else _value(value) for value in values]
            for name, values in fan.columns.items()
        }
        self.first, self.last = jobs.start, jobs.stop - 1
        self.rows = iter(FanOutJobs(replace(spec, fan_out=replace(fan, columns=columns))).items())
        self.names = _names(columns)
        self.places: list[int] = []
        """Where its columns stand among those of all items."""


def _host(view: RunView) -> str | None:
    """The machine on which all jobs ran, if it is one and known."""
    on = view.settings.get("on", "local")
    return next(iter(view.hosts)) or None if len(view.hosts) == 1 and on in ("local", "inline") else None


def _held(slots: list[Any]) -> int | str:
    return as_text(Joined(slots)) if len(slots) > 1 else slots[0]


def _names(columns: Iterable[str]) -> list[str]:
    names = [name or "item" for name in columns]
    return [f"item.{name}" if name in COLUMNS or name.startswith("result") else name for name in names]


def _value(value: Any) -> Any:
    """A value of an item: a number that was typed in another way than numbers are written, such as `01.10`, is the text."""
    if isinstance(value, RawScalar):
        return value.value if str(value.value).lower() == value.text.lower() else value.text
    return plain(value)


def _result(raw: bytes) -> dict[str, Any]:
    if not raw:
        return {}
    result = msgspec.json.decode(raw)
    if isinstance(result, dict):
        return {f"result.{key}": value for key, value in result.items()}
    return {} if result is None else {"result": result}
