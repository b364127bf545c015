"""A run as a trace that Perfetto and Chrome show: what ran when, in rows in which nothing overlaps.

Those programs draw only what is nested or apart in a row, so each attempt has the first row that is free when it begins. Of a run of more
than `SLICES` attempts each declaration has a row, with how many of its jobs ran in each of a number of equal times.
"""

from __future__ import annotations

from heapq import heappop, heappush
from operator import add
from typing import TYPE_CHECKING, Any, Final

import msgspec

from joblot.core.fan_out import pattern_of
from joblot.core.model import BACKING_OFF, FAILED, RUNNING, STATES
from joblot.reports.pagedata import PageData

if TYPE_CHECKING:
    from collections.abc import Iterator

    from joblot.core.plan import Plan
    from joblot.reports.pagedata import Spans
    from joblot.reports.report import Report

SLICES: Final = 250_000
_POINTS: Final = 20_000
"""Values of a counter."""
_PART: Final = 1000
_PID: Final = 1
_MICRO: Final = 1_000_000
_ENDED_BADLY: Final = (FAILED, BACKING_OFF)

Event = dict[str, Any]


def trace(report: Report) -> Iterator[bytes]:
    """The file, in parts."""
    encode, separator, part = msgspec.json.encode, b"\n", list[bytes]()
    yield b'{"displayTimeUnit":"ms","traceEvents":['
    for event in _events(report):
        part.append(encode(event))
        if len(part) == _PART:
            yield separator + b",\n".join(part)
            separator = b",\n"
            part.clear()
    yield (separator + b",\n".join(part) if part else b"") + b"\n]}\n"


def _events(report: Report) -> Iterator[Event]:
    plan = report.plan
    spans = PageData(plan, report.view, report.left_out).spans
    yield {"ph": "M", "pid": _PID, "name": "process_name", "args": {"name": f"{report.batch} {report.run_id}"}}
    if len(spans.jobs) <= SLICES:
        yield from _attempts(plan, spans)
    else:
        yield from _declarations(plan, spans)
    yield from _counters(spans)


def _attempts(plan: Plan, spans: Spans) -> Iterator[Event]:
    rows = 0
    free: list[int] = []
    busy: list[tuple[int, int]] = []
    """The rows in which something runs, by when that ends."""
    seen: dict[int, tuple[int, int, int]] = {}
    """By job that was tried before, how often, and where and when that ended."""
    again = _tried_again(spans)
    for index in sorted(range(len(spans.jobs)), key=spans.began.__getitem__):
        job, state = spans.jobs[index], spans.states[index]
        start, stop = _micro(spans.began[index]), _micro(spans.began[index] + spans.took[index])
        while busy and busy[0][0] <= start:
            heappush(free, heappop(busy)[1])
        row = heappop(free) if free else rows
        if row == rows:
            rows += 1
            yield {"ph": "M", "pid": _PID, "tid": row + 1, "name": "thread_name", "args": {"name": f"row {row + 1}"}}
            yield {"ph": "M", "pid": _PID, "tid": row + 1, "name": "thread_sort_index", "args": {"sort_index": row}}
        heappush(busy, (stop, row))
        args: Event = {"job": job, "state": "failed" if state == BACKING_OFF else STATES[state]}
        if spans.cpu_s[index]:
            args["cpu_s"] = round(spans.cpu_s[index], 6)
        if spans.peak_bytes[index]:
            args["peak_bytes"] = int(spans.peak_bytes[index])
        if job in again:
            number, before, end = seen.get(job, (0, 0, 0))
            args["attempt"] = number + 1
            if number:
                flow = {"pid": _PID, "cat": "retry", "name": "again", "id": job * 1000 + number}
                yield {"ph": "s", "tid": before, "ts": end, **flow}
                yield {"ph": "f", "bp": "e", "tid": row + 1, "ts": start, **flow}
            seen[job] = number + 1, row + 1, max(stop - 1, start)
        colour = (
            {"cname": "terrible"} if state in _ENDED_BADLY else {"cname": "generic_work"} if state == RUNNING else {}
        )
        yield {
            "ph": "X", "pid": _PID, "tid": row + 1, "ts": start, "dur": stop - start, "name": plan.name(job), "cat": STATES[state],
            "args": args, **colour,
        }  # fmt: skip


def _tried_again(spans: Spans) -> frozenset[int]:
    """The jobs of which there are several attempts."""
    met: set[int] = set()
    twice: set[int] = set()
    for job in spans.jobs:
        (twice if job in met else met).add(job)
    return frozenset(twice)


def _declarations(plan: Plan, spans: Spans) -> Iterator[Event]:
    rows: dict[int, int] = {}
    """By identity of a declaration, its row."""
    names: list[str] = []
    end = max((began + took for began, took in zip(spans.began, spans.took, strict=True)), default=0.0)
    for job in spans.jobs:
        spec = plan.declarations[job]
        if id(spec) not in rows:
            rows[id(spec)] = len(rows)
            names.append(pattern_of(spec.name) if spec.fan_out is not None else spec.name)
    bins = max(1, min(2000, SLICES // len(rows)))
    width = max(1.0, end / bins)
    counts: dict[tuple[int, int], int] = {}
    for job, began, took in zip(spans.jobs, spans.began, spans.took, strict=True):
        row = rows[id(plan.declarations[job])]
        for place in range(int(began / width), int((began + took) / width) + 1):
            counts[row, place] = counts.get((row, place), 0) + 1
    for row, name in enumerate(names):
        yield {"ph": "M", "pid": _PID, "tid": row + 1, "name": "thread_name", "args": {"name": name}}
    for (row, place), count in sorted(counts.items()):
        start, stop = _micro(place * width), _micro((place + 1) * width)
        yield {
            "ph": "X", "pid": _PID, "tid": row + 1, "ts": start, "dur": stop - start, "name": f"{names[row]}: {count:,}", "cat": "jobs",
            "args": {"jobs": count},
        }  # fmt: skip


def _counters(spans: Spans) -> Iterator[Event]:
    """How many attempts ran, and had ended badly, at each time; of very many times only some."""
    end = max(map(add, spans.began, spans.took), default=0.0)
    width = 1 / _MICRO if len(spans.jobs) * 2 <= _POINTS else max(end / _POINTS, 1 / _MICRO)
    changes: dict[int, list[int]] = {}
    for state, began, took in zip(spans.states, spans.began, spans.took, strict=True):
        changes.setdefault(round(began / width), [0, 0])[0] += 1
        end_of_one = changes.setdefault(round((began + took) / width), [0, 0])
        end_of_one[0] -= 1
        end_of_one[1] += state in _ENDED_BADLY
    running = failed = 0
    for moment, (more, bad) in sorted(changes.items()):
        running, failed = running + more, failed + bad
        args = {"running": running, "failed": failed}
        yield {"ph": "C", "pid": _PID, "ts": _micro(moment * width), "name": "attempts", "args": args}


def _micro(seconds: float) -> int:
    return round(seconds * _MICRO)
