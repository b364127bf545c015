"""The due times of a schedule, and what becomes of those that have come.

A due time is an instant at which a schedule asks for a run, in whole seconds since the epoch. `cronsim` says which dates and times of day an
expression means; from which clock they are read, and what a change of that clock does to them, is decided here, by the rule of Debian's cron:
of an expression whose minute and hour do not begin with `*`, what a change of less than three hours leaves out is due at the change, and what
it brings twice is due once; all others go by the clock. It knows neither the time nor files.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from heapq import merge
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from joblot.core.model import Schedule

ON_TIME_S: Final = 60
"""A run that begins so much later than it was due has missed its time."""
MOST_MISSED: Final = 1000
"""So many due times, the newest, are told apart when they were missed."""
_CORRECTION_S: Final = 3 * 3600
"""From so large a change on a clock was corrected, and goes by what it says."""
_DAY_S: Final = 86_400
_PIECE_DAYS: Final = 32
_LONGEST_S: Final = 50 * 366 * _DAY_S
"""A due time that does not come for so long never does."""
LATEST: Final = 250_000_000_000
"""In the year 9892: what comes after it is not looked for."""
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - times of day, of whatever clock

Offset: TypeAlias = "Callable[[float], int]"
"""How many seconds a clock is ahead of UTC at an instant."""
Fate = Literal["start", "merged", "missed"]


class Verdict(Struct, frozen=True):
    """What becomes of due times that follow each other, from `first` to `last`.

    A run is started for one of them (`start`), they are `merged` into the one for which a run is started, or they are `missed`.
    """

    fate: Fate
    first: int
    last: int
    count: int = 1
    more: bool = False
    """Whether they are more than `count`."""
    into: int = 0


def fault_of(cron: str) -> str:
    """What is wrong with an expression; empty when nothing is."""
    from cronsim import CronSim, CronSimError

    if len(cron.split()) != 5:
        return "it has not five fields"
    try:
        coming = next(CronSim(cron, _EPOCH), None)
    except CronSimError as error:
        return f"the {str(error).removeprefix('Bad ')} is wrong"
    return "" if coming else "it never comes"


def due_times(schedule: Schedule, offset_at: Offset, after: float, until: float = LATEST) -> Iterator[int]:
    """The due times later than `after` and not later than `until`, in order, each once."""
    until = min(until, LATEST)
    found = [_times(cron, offset_at, after, until) for cron in schedule.cron if after < until]
    last = None
    for time in merge(*found):
        if time != last:
            yield time
        last = time


def due(
    schedule: Schedule, offset_at: Offset, last: float, now: float, taken: Sequence[tuple[int, int]] = ()
) -> list[Verdict]:
    """What becomes of the due times since `last`, in order, but for those from and to `taken`: something became of them already.

    Of `missed: all` only the oldest is decided: the others are due when its run has ended.
    """
    horizon = max(last, now - schedule.within_s - 1e-6)
    old, recent = _newest(schedule, offset_at, last, horizon), _newest(schedule, offset_at, horizon, now)
    is_all, are_old_all = len(recent) <= MOST_MISSED, len(old) <= MOST_MISSED
    old, recent = (_without(taken, times) for times in (old, recent))
    on_time = recent.pop() if recent and now - recent[-1] < ON_TIME_S else None
    verdicts = []
    if schedule.missed == "skip":
        old, recent = [*old, *recent], []
    elif schedule.missed == "all" and not is_all:
        old, recent = [*old, recent[0]], recent[1:]
    if old:
        first = old[0] if is_all and are_old_all else next(due_times(schedule, offset_at, last))
        verdicts.append(_together("missed", old, first))
    if recent and schedule.missed == "all":
        return [*verdicts, Verdict("start", recent[0], recent[0])]
    started = on_time if on_time is not None else recent.pop() if recent else None
    if recent and started is not None:
        first = recent[0] if is_all else next(due_times(schedule, offset_at, horizon))
        verdicts.append(_together("merged", recent, first, into=started))
    if started is not None:
        verdicts.append(Verdict("start", started, started))
    return verdicts


def _without(taken: Sequence[tuple[int, int]], times: list[int]) -> list[int]:
    return [time for time in times if not any(first <= time <= last for first, last in taken)] if taken else times


def _together(fate: Fate, times: Sequence[int], first: int, into: int = 0) -> Verdict:
    more = first < times[0]
    return Verdict(fate, first, times[-1], len(times) - (more and len(times) > MOST_MISSED), more, into)


def _newest(schedule: Schedule, offset_at: Offset, after: float, until: float) -> list[int]:
    """The newest due times of a span of time, in order: all, or one more than `MOST_MISSED`."""
    span = 3600.0
    while True:
        begin = max(after, until - span)
        found = list(due_times(schedule, offset_at, begin, until))
        if len(found) > MOST_MISSED or begin == after:
            return found[-MOST_MISSED - 1 :]
        span *= 2


# --- one expression ---------------------------------------------------------------------------------


def _times(cron: str, offset_at: Offset, after: float, until: float) -> Iterator[int]:
    """The due times of one expression. It is read as times of day, over each stretch of time in which the clock does not change."""
    minute, hour, *_ = cron.split()
    by_the_clock = minute.startswith("*") or hour.startswith("*")
    coming, following, high = None, _following(cron, 0), 0
    for begin, end, offset, before in _stretches(offset_at, int(after), int(min(until, after + _LONGEST_S))):
        low, shift = begin + offset, offset - before
        if not by_the_clock and 0 < shift < _CORRECTION_S:
            left_out = next(_following(cron, begin + before), low)
            if left_out < low and after < begin <= until:
                yield begin
        elif not by_the_clock and -_CORRECTION_S < shift < 0:
            low = begin + before
        if coming is None or not high <= low <= coming:
            following = _following(cron, low)
            coming = next(following, None)
        high = end + offset
        while coming is not None and coming < high:
            if after < coming - offset <= until:
                yield coming - offset
            coming = next(following, None)
        if coming is None:
            return


def _following(cron: str, since: int) -> Iterator[int]:
    """The times of day that an expression means, in seconds since 1970 on that clock, from `since` on."""
    from cronsim import CronSim

    with suppress(OverflowError):  # after the year 9999
        for coming in CronSim(cron, _EPOCH + timedelta(seconds=since - 1)):
            yield (coming - _EPOCH) // timedelta(seconds=1)


def _stretches(offset_at: Offset, after: int, until: int) -> Iterator[tuple[int, int, int, int]]:
    """Stretches of time without a change of the clock, from some hours before `after` on: begin, end, offset, the offset before it.

    They are short, so that nobody who asks for the next due time has half a year looked at.
    """
    begin = after - 2 * _CORRECTION_S
    offset = before = offset_at(begin)
    for day in range(1, (until - begin) // _DAY_S + 2):
        probe = after - 2 * _CORRECTION_S + day * _DAY_S
        then = offset_at(probe)
        if then != offset:
            change = _change(offset_at, probe - _DAY_S, probe, offset)
            yield begin, change, offset, before
            begin, before, offset = change, offset, then
        if day % _PIECE_DAYS == 0 and probe > begin:
            yield begin, probe, offset, before
            begin, before = probe, offset
    yield begin, until + 1, offset, before


def _change(offset_at: Offset, low: int, high: int, offset: int) -> int:
    """The instant between the two at which the offset is no longer this one."""
    while high - low > 1:
        middle = (low + high) // 2
        if offset_at(middle) == offset:
            low = middle
        else:
            high = middle
    return high
