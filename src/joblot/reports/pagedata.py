"""What the page of a run draws and searches, as data: columns of jobs, and curves over the time in which something ran.

`PageData.packed` is a line of JSON, then columns of 32-bit floats one behind the other (little end first), compressed with zlib: a hundred
thousand jobs take less than a megabyte. Of a run with more than `LISTED` jobs only those that somebody looks for are listed: failures, the
slowest, and those that were tried most.

It knows no HTML, and asks for no file.
"""

from __future__ import annotations

import sys
import zlib
from array import array
from bisect import bisect_right
from functools import cached_property
from heapq import nlargest
from itertools import islice
from math import isnan, nan
from operator import add
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import msgspec

from joblot.core.graph import critical_path
from joblot.core.model import (
    BACKING_OFF,
    CACHED,
    FAILED,
    FINAL,
    RUNNING,
    STATE_OF,
    SUCCESS,
)
from joblot.reports.markup import bare
from joblot.reports.text import normalise

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from collections.abc import Set as AbstractSet

    from joblot.core.plan import Plan
    from joblot.reports.view import RunView

T = TypeVar("T")
LISTED: Final = 100_000
"""Of a run of more jobs not every one is listed."""
_SLOWEST: Final = 1000
_FAILURES: Final = 5000
BINS: Final = 400
"""So many values has a curve."""
_IDLE: Final = 0.05
"""A time without work that is longer than this share of the rest, and than `_SHORT_S`, is cut out."""
_SHORT_S: Final = 1.0
_CUTS: Final = 50
_LOOKED_AT: Final = 1000
"""So many attempts mostly show that a run was never idle."""
_TRIES: Final = 20_000
_TEXT: Final = 200
"""Characters of a message."""
_TEXTS: Final = 120_000
"""Characters of all messages together; behind them stand messages without what differs, then reason codes."""
_OPEN: Final = ("waiting", "ready", "cancelled", "aborted")
_BAD: Final = frozenset({FAILED, BACKING_OFF})
_MET: Final = frozenset({SUCCESS, CACHED})
_LEVEL: Final = 1
"""The fastest of zlib: a better one would cost more than all the rest, for a tenth less."""


class Spans(NamedTuple):
    """Attempts side by side: the job, the state that it left, when it began in seconds since the run's start, seconds, CPU seconds, peak bytes."""

    jobs: array[int]
    states: array[int]
    began: array[float]
    took: array[float]
    cpu_s: array[float]
    peak_bytes: array[float]

    def add(self, job: int, state: int, began: float, took: float, cpu_s: float, peak_bytes: int) -> None:
        """One more."""
        self.jobs.append(job)
        self.states.append(state)
        for column, value in zip(self[2:], (max(began, 0.0), took, cpu_s, peak_bytes), strict=True):
            column.append(value)


class PageData:
    """The data of a run as far as its records go. `apart` are jobs that take no part in it."""

    def __init__(self, plan: Plan, view: RunView, apart: AbstractSet[int]) -> None:
        self._plan = plan
        self._view = view
        self._apart = apart
        self._facts = view.arrays()
        self._zero = view.started_at or 0.0
        self.end_s = max(0.0, (view.ended_at or view.last_at) - self._zero)
        """When the run ended, or its last record was made, in seconds since its start."""

    # --- jobs -----------------------------------------------------------------------------------

    @cached_property
    def jobs(self) -> Sequence[int]:
        """The jobs that take part, in the order of the batch."""
        every = range(len(self._plan))
        return [job for job in every if job not in self._apart] if self._apart else every

    def slowest(self, most: int) -> list[int]:
        """The jobs that took longest, the longest first."""
        took = self._facts.wall_s
        return [job for job in nlargest(most, self.jobs, key=took.__getitem__) if took[job] > 0]

    def most_tried(self, most: int) -> list[int]:
        """The jobs that were tried most, of those that were tried more than once."""
        attempts = self._facts.attempts
        again = (job for job in self._view.tried_again() if attempts[job] > 1 and job not in self._apart)
        return sorted(again, key=lambda job: (-attempts[job], job))[:most]

    @cached_property
    def listed(self) -> Sequence[int]:
        """The jobs that the page can search."""
        if len(self.jobs) <= LISTED:
            return self.jobs
        failed = [job for job in islice(self._view.failures, _FAILURES) if job not in self._apart]
        return sorted({*failed, *self.slowest(_SLOWEST), *self.most_tried(_SLOWEST)})

    @cached_property
    def path(self) -> list[int]:
        """The chain of needs that took longest, its first job first; empty where no job needs another."""
        if not self._plan.needs.partners:
            return []
        path = critical_path(self._plan.needs, self._plan.dependents, self._facts.wall_s)
        while path and not self._facts.attempts[path[-1]]:
            path.pop()
        return path if len(path) > 1 else []

    # --- time -----------------------------------------------------------------------------------

    @cached_property
    def _once(self) -> Sequence[int]:
        """The jobs that were tried once and have ended: nearly all of most runs."""
        attempts, view = self._facts.attempts, self._view
        odd = {*view.tried_again(), *(job for job, _ in view.running()), *self._apart}
        if not odd and attempts.count(1) == len(attempts):
            return range(len(attempts))
        return [job for job, tries in enumerate(attempts) if tries == 1 and job not in odd]

    @cached_property
    def spans(self) -> Spans:
        """Every attempt of which is known when it began: first those of `_once`."""
        facts, once, zero = self._facts, self._once, self._zero
        every = len(once) == len(facts.attempts)
        began = array("d", [at - zero for at in (facts.began if every else map(facts.began.__getitem__, once))])
        if min(began, default=0.0) < 0.0:  # somebody has set the clock
            began = array("d", [max(at, 0.0) for at in began])
        spans = Spans(
            array("i", once), array("B", _of(facts.states, once, every)), began,
            *(array("d", _of(column, once, every)) for column in (facts.wall_s, facts.cpu_s, facts.peak_bytes)),
        )  # fmt: skip
        for job, ends in self._view.tried_again().items():
            for ended in ends:
                if ended.began_s is not None and job not in self._apart:
                    left = STATE_OF[ended.state]
                    left = left if left in FINAL else BACKING_OFF  # it was tried again, at once or later
                    spans.add(job, left, ended.began_s, ended.wall_s, ended.cpu_s, ended.peak_bytes)
        for job, _ in self._view.running():
            at = self._view.running_since(job) - zero
            spans.add(job, RUNNING, at, max(self.end_s - at, 0.0), 0.0, 0)
        return spans

    @cached_property
    def pieces(self) -> list[tuple[float, float]]:
        """The times in which something ran, from and to, in seconds since the start; short idle times are left in them."""
        starts, took, end = self.spans.began, self.spans.took, self.end_s
        total = max(end, max(map(add, starts, took), default=0.0))
        if _is_dense(starts, total):
            return [(0.0, total)]
        gaps: list[tuple[float, float, float]] = []
        reach = 0.0
        for index in sorted(range(len(starts)), key=starts.__getitem__):
            if starts[index] > reach + _SHORT_S:
                gaps.append((starts[index] - reach, reach, starts[index]))
            reach = max(reach, starts[index] + took[index])
        if end > reach + _SHORT_S:
            gaps.append((end - reach, reach, end))
        rest, cut = total, []
        for length, start, stop in sorted(gaps, reverse=True)[:_CUTS]:
            if length <= _IDLE * rest:
                break
            rest -= length
            cut.append((start, stop))
        edges = [0.0, *(edge for gap in sorted(cut) for edge in gap), total]
        return list(zip(edges[::2], edges[1::2], strict=True))

    @cached_property
    def curves(self) -> dict[str, Sequence[float]]:
        """What was under way in each of `BINS` equal parts of the time in which something ran, on average.

        `running` jobs, `waiting` jobs that could have run, `cpu` processors, `memory` bytes (the peaks of what ran, added up), `failed` attempts.
        """
        pieces, spans = self.pieces, self.spans
        width = (sum(stop - start for start, stop in pieces) or 1e-3) / BINS
        place = _Place(pieces)
        running, cpu, memory = _Curve(width), _Curve(width), _Curve(width)
        ran, worked, held = running.amounts, cpu.amounts, memory.amounts
        starts = spans.began if len(pieces) == 1 else array("d", map(place, spans.began))
        bins = 1 / width
        for at, took, cpu_s, peak in zip(starts, spans.took, spans.cpu_s, spans.peak_bytes, strict=True):
            first = int(at * bins)
            if first == int((at + took) * bins):  # as with most of a hundred thousand: by far the shortest way
                ran[first] += took
                worked[first] += cpu_s
                held[first] += peak * took
            else:
                running.add(at, took, took)
                cpu.add(at, took, cpu_s)
                memory.add(at, took, peak * took)
        failed = [0] * BINS
        if self._view.failures:
            states = self._facts.states
            for job, state, at, took in zip(spans.jobs, spans.states, starts, spans.took, strict=True):
                if state in _BAD and states[job] != SUCCESS:
                    failed[min(int((at + took) * bins), BINS - 1)] += 1
        since, until = self._waits()
        if len(pieces) > 1:
            since, until = map(place, since), map(place, until)
        waiting = [
            round(max(late - early, 0.0), 1)
            for late, early in zip(_later(until, width), _later(since, width), strict=True)
        ]
        return {
            "running": running.values(2), "waiting": waiting, "cpu": cpu.values(3), "memory": memory.values(0), "failed": failed,
        }  # fmt: skip

    def _waits(self) -> tuple[Iterable[float], Iterable[float]]:
        """From when and to when jobs could have run and did not, in seconds since the start; what could from the start on has no beginning."""
        facts, zero, end, needs = self._facts, self._zero, self.end_s, self._plan.needs
        states, ended = facts.states, facts.ended
        if not needs.partners and len(self._once) == len(states):
            return (), self.spans.began
        since: list[float] = []
        if needs.partners:
            starts = needs.starts
            for job, tries in enumerate(facts.attempts):
                row = needs[job] if starts[job + 1] > starts[job] else ()
                met = tries or all(states[need] in _MET for need in row)
                since.append(max([ended[need] - zero for need in row], default=0.0) if met else end)
        else:
            since = [0.0] * len(states)
        until = [at - zero if tries else 0.0 for at, tries in zip(facts.began, facts.attempts, strict=True)]
        for job in self._view.in_state(*_OPEN):
            if not facts.attempts[job] and job not in self._apart:
                until[job] = end if isnan(ended[job]) else ended[job] - zero
        pairs = [(start, stop) for start, stop in zip(since, until, strict=True) if start < stop <= end]
        return [start for start, _ in pairs if start], [stop for _, stop in pairs]

    # --- the form -------------------------------------------------------------------------------

    def packed(self) -> bytes:
        """All of it, compressed."""
        facts, listed, zero, attempts = self._facts, self.listed, self._zero, self._facts.attempts
        names, every = self._plan.names(), len(listed) == len(facts.states) == len(self._plan.names())
        states = facts.states if every else bytes(map(facts.states.__getitem__, listed))
        numbers = None if every else {job: number for number, job in enumerate(listed)}
        jobs, left, starts, took = self._tries(numbers)
        texts, whys = self._whys(listed)
        again = sorted(set(jobs))
        head = {
            "began": zero, "end": round(self.end_s, 6), "total": len(self.jobs), "jobs": len(listed),
            "names": " ".join(names if every else map(self._plan.name, listed)),
            "states": states.translate(_DIGITS).decode(),
            "attempts": [again, [attempts[listed[number]] for number in again]],
            "texts": texts, "whys": [[job for job, _ in whys], [text for _, text in whys]],
            "tries": [jobs.tolist(), left.tolist()],
            "pieces": [(round(start, 6), round(stop, 6)) for start, stop in self.pieces],
            "curves": self.curves,
            "slots": self._view.settings.get("workers", 0),
        }  # fmt: skip
        began = array("f", [at - zero for at in _of(facts.began, listed, every)])
        for number in again:  # each of these has its attempts one by one
            began[number] = nan
        columns = (array("f", _of(column, listed, every)) for column in (facts.wall_s, facts.cpu_s, facts.peak_bytes))
        text = msgspec.json.encode(head)
        text += b" " * (-(len(text) + 1) % 4) + b"\n"  # so that the columns begin where a machine likes to read them
        return zlib.compress(text + b"".join(map(_bytes, (began, *columns, starts, took))), _LEVEL)

    def _tries(self, numbers: dict[int, int] | None) -> tuple[array[int], array[int], array[float], array[float]]:
        """The attempts of listed jobs that took more than one or go on: job, state that it left, begin and seconds."""
        jobs, states, starts, seconds = array("i"), array("i"), array("f"), array("f")
        rows = zip(*(column[len(self._once) :] for column in self.spans[:4]), strict=True)
        for job, state, began, took in islice(rows, _TRIES):
            number = job if numbers is None else numbers.get(job)
            if number is not None:
                jobs.append(number)
                states.append(state)
                starts.append(began)
                seconds.append(took)
        return jobs, states, starts, seconds

    def _whys(self, listed: Sequence[int]) -> tuple[list[str], list[tuple[int, int]]]:
        """The messages of jobs that did not end well, each once, and which of the listed jobs has which."""
        numbers: dict[str, int] = {}
        known: dict[tuple[str, str], str] = {}
        room, whys, explanation = _TEXTS, [], self._view.explanation
        states = self._facts.states
        if states.count(SUCCESS) == len(states):
            return [], []
        for number, job in enumerate(listed):
            if states[job] == SUCCESS:
                continue
            message, reason = why = explanation(job)
            if not reason and not message:
                continue
            text = known.get(why)
            if text is None:
                text = bare(message)[:_TEXT] if message else reason.replace("_", " ")
                if room < len(text):
                    text = normalise(message)[:_TEXT]
                    if room < 0 and text not in numbers:
                        text = reason.replace("_", " ")
                known[why] = text
            place = numbers.get(text)
            if place is None:
                place = numbers[text] = len(numbers)
                room -= len(text)
            whys.append((number, place))
        return list(numbers), whys


def _is_dense(starts: array[float], total: float) -> bool:
    """Whether attempts began so close after one another that no time is long enough to be cut out; that it is not says nothing.

    Such a time would hold a whole cell of half its length in which none began.
    """
    cell = max(_SHORT_S, _IDLE * total) / 2
    cells = range(int(total / cell))
    return any(
        {int(at / cell) for at in starts[::step]}.issuperset(cells) for step in (len(starts) // _LOOKED_AT + 1, 1)
    )


class _Place:
    """From seconds since the start to seconds of work: without the idle times that are cut out."""

    def __init__(self, pieces: Sequence[tuple[float, float]]) -> None:
        self._starts = [start for start, _ in pieces]
        self._ends = [stop for _, stop in pieces]
        self._before = [0.0]
        for start, stop in pieces:
            self._before.append(self._before[-1] + stop - start)

    def __call__(self, at: float) -> float:
        if len(self._starts) == 1:
            return at
        piece = max(bisect_right(self._starts, at) - 1, 0)
        return self._before[piece] + min(at, self._ends[piece]) - self._starts[piece]


class _Curve:
    """Amounts, each spread evenly over the time of a span, by bins of `width` seconds."""

    def __init__(self, width: float) -> None:
        self._width = width
        self.amounts = [0.0] * (BINS + 1)
        """What lies within a bin; what ends when the last one does stands behind it."""
        self._steps = [0.0] * (BINS + 1)
        """By how much more there is a second from a bin on than in the one before it, of spans that fill it."""

    def add(self, at: float, took: float, amount: float) -> None:
        """Spread an amount over the span that begins at `at`."""
        if not amount:
            return
        width, end = self._width, at + took
        first, stop = min(int(at / width), BINS), min(int(end / width), BINS)
        if first == stop:
            self.amounts[first] += amount
            return
        rate = amount / took
        self.amounts[first] += rate * ((first + 1) * width - at)
        self.amounts[stop] += rate * (end - stop * width)
        self._steps[first + 1] += rate
        self._steps[stop] -= rate

    def values(self, digits: int) -> list[float]:
        """The amount a second of each bin, on average."""
        self.amounts[BINS - 1] += self.amounts.pop()
        values, rate = [], 0.0
        for amount, step in zip(self.amounts, self._steps, strict=False):
            rate += step
            values.append(round(max(rate + amount / self._width, 0.0), digits))
        return values


def _later(points: Iterable[float], width: float) -> list[float]:
    """How many of the points are still to come in each bin, on average."""
    within, whole = [0.0] * (BINS + 1), [0] * (BINS + 1)
    bins = 1 / width
    for point in points:
        bin_ = int(point * bins)
        within[bin_] += point - bin_ * width
        whole[bin_] += 1
    counts, later = [], 0
    for part, count in zip(reversed(within[:BINS]), reversed(whole[1:]), strict=True):
        later += count
        counts.append(later + part / width)
    return counts[::-1]


_DIGITS: Final = bytes(ord("0") + state if state < 10 else 0 for state in range(256))


def _of(column: Sequence[T], jobs: Sequence[int], every: bool) -> Iterable[T]:
    return column if every else map(column.__getitem__, jobs)


def _bytes(column: array[Any]) -> bytes:
    if sys.byteorder == "big":
        column = column[:]
        column.byteswap()
    return column.tobytes()
