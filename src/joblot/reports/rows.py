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
    from collections.abc import Callable, Collection, Iterable

    from joblot.core.fan_out import Item
    from joblot.core.plan import Plan
    from joblot.reports.view import RunView

COLUMNS: Final = (
    "job", "state", "reason", "attempts", "queued_at", "started_at", "ended_at", "wait_s", "duration_s", "cpu_s", "peak_bytes",
    "exit_code", "signal", "host", "log",
)  # fmt: skip
"""The columns that every table has, behind those of the items; behind them come those of slots and results."""


_SIMPLE: Final = frozenset({str, int, float, bool})


class _Moments(dict[float, datetime]):
    """Moments in UTC by seconds since the epoch: jobs that began or were recorded together share one."""

    def __missing__(self, at: float) -> datetime:
        made = self[at] = datetime.fromtimestamp(at, UTC)
        return made


def rows_of(
    plan: Plan, view: RunView, log: Callable[[str, int], str] | None, left_out: Collection[int]
) -> list[dict[str, Any]]:
    """A row for each job that takes part, in the order of the batch; all rows have the same columns.

    Columns of items stand first; one that is called as a column of every table is `item.NAME`, an item that is one value `item`. Of each limit
    whose slots have names `slot.LIMIT` has the one that the last attempt held, of several a text with commas. Results that are
    mappings have a column `result.KEY` for each key, others are `result`. Times are UTC, durations seconds. What there is not, or is not known,
    is None; a reason or a log that there is not is an empty text.
    """
    items, facts, started_at = _items(plan), list(view.columns()), view.started_at
    results = {job: _result(fact[7]) for job, fact in enumerate(facts) if fact[7] and job not in left_out}
    of_items = dict.fromkeys(
        name for names in {id(names): names for names, _ in items.values()}.values() for name in names
    )
    of_results = dict.fromkeys(name for result in results.values() for name in result)
    blank = dict.fromkeys((*of_items, *COLUMNS, *(f"slot.{limit}" for limit in plan.named_slots), *of_results))
    host, needs, moments, rows = _host(view), plan.needs, _Moments(), []
    for job, (state, attempts, wall_s, cpu_s, peak, began, ended, _, why) in enumerate(facts):
        if job in left_out:
            continue
        row = blank.copy()
        if job in items:
            names, item = items[job]
            row.update(zip(names, item, strict=True))
        row["job"] = name = plan.name(job)
        row["state"], row["attempts"], row["reason"] = state, attempts, why.reason if why else ""
        row["log"] = log(name, attempts) if log is not None and attempts else ""
        if ended == ended and state != "running":  # noqa: PLR0124 - a time that is not known is not a number
            row["ended_at"] = moments[ended]
        if attempts:
            if ended == ended:  # noqa: PLR0124
                row["duration_s"], row["cpu_s"], row["peak_bytes"] = round(wall_s, 6), round(cpu_s, 6), peak or None
            row["started_at"], row["host"] = moments[began], host
            queued = (
                max([facts[need][6] for need in needs[job]], default=started_at) if needs.count(job) else started_at
            )
            # Of a job whose needs ran again later nobody knows since when it could have begun.
            if queued is not None and queued <= began:
                row["queued_at"], row["wait_s"] = moments[queued], round(began - queued, 6)
            if isinstance(why, AttemptEnded):
                row["exit_code"], row["signal"] = why.exit_code, why.signal
            elif state == "success" and plan.declarations[job].run is not None:
                row["exit_code"] = 0
        if plan.named_slots:
            for limit, slots in view.slots(job).get(attempts, {}).items():
                row[f"slot.{limit}"] = as_text(Joined(slots)) if len(slots) > 1 else slots[0]
        if job in results:
            row.update(results[job])
        rows.append(row)
    return rows


def _host(view: RunView) -> str | None:
    """The machine on which all jobs ran, if it is one and known."""
    on = view.settings.get("on", "local")
    return next(iter(view.hosts)) or None if len(view.hosts) == 1 and on in ("local", "inline") else None


def _items(plan: Plan) -> dict[int, tuple[list[str], Item]]:
    """By job that an item made, the names of its columns and its values."""
    items: dict[int, tuple[list[str], Item]] = {}
    for spec, jobs in plan.fan_outs:
        fan = spec.fan_out
        assert fan is not None, "BUG: not a fan-out"
        columns = {
            name: [value if type(value) in _SIMPLE else _value(value) for value in values]
            for name, values in fan.columns.items()
        }
        rows = FanOutJobs(replace(spec, fan_out=replace(fan, columns=columns))).items()
        names = _names(columns)
        items.update(zip(jobs, ((names, row) for row in rows), strict=True))
    return items


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
