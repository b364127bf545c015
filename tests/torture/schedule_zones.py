"""The due times of schedules in all time zones, beside an oracle that goes through every minute with cron's own rule.

The oracle is written from Debian's manual page of cron, and knows neither cronsim nor joblot: a clock is looked at each minute. Where it has
gone on by a minute all expressions are run that match. Where it was changed by less than three hours, expressions whose minute or hour begins
with `*` go by what it says; the others are run at once for the minutes that were left out, and not again for those that come twice. Where it
was changed by more it is believed.

    python tests/torture/schedule_zones.py [--first 2020] [--last 2035] [--zones Europe/Paris,...] [--processes 2]
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import numpy as np

from joblot.clock import offset_at
from joblot.core.model import Schedule
from joblot.core.schedule import due_times

SPECIAL = 180
"""Minutes: a smaller change of the clock is a special one."""
EXPRESSIONS = (
    "30 2 * * *", "0 0 * * *", "15 1-3 * * *", "0,30 2,3 * * *", "59 23 * * 0", "5 0-23 * 3,4,9,10,11 *", "30 1 29 2 *", "0 2 1-7 * 7", "10 3 13 * 5",
    "5 * * * *", "*/20 1-3 * * *", "0 */2 * * *", "*/7 1,2 * * *", "0 2 L * *",
)  # fmt: skip


def values(text: str, low: int, high: int) -> set[int]:
    """The numbers that a field of cron means."""
    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, _, last = (f"{low}-{high}" if span == "*" else span).partition("-")
        found |= set(range(int(first), int(last or first) + 1, int(step or 1)))
    return found


def matches(cron: str, days: np.ndarray, minutes: np.ndarray) -> np.ndarray:
    """Which times of day, as days since 1970 and minutes of the day, an expression means."""
    minute, hour, day, month, weekday = cron.split()
    first, last = int(days.min()), int(days.max())
    date_ok = np.zeros(last - first + 1, dtype=bool)
    for number in range(first, last + 1):
        date = datetime(1970, 1, 1) + timedelta(days=number)
        is_last = (date + timedelta(days=1)).day == 1
        day_ok = is_last if day == "L" else date.day in values(day, 1, 31)
        weekday_ok = date.isoweekday() % 7 in {one % 7 for one in values(weekday, 0, 7)}
        both = day.startswith("*") or weekday.startswith("*")
        wanted = day_ok and weekday_ok if both else day_ok or weekday_ok
        date_ok[number - first] = wanted and date.month in values(month, 1, 12)
    of_day = np.array([n % 60 in values(minute, 0, 59) and n // 60 in values(hour, 0, 23) for n in range(1440)])
    return date_ok[days - first] & of_day[minutes]


def clock(zone: ZoneInfo, begin: int, end: int) -> np.ndarray:
    """What the clock says at each minute from `begin` on, in minutes since 1970. It is asked each quarter of an hour, and each minute where that differs."""

    def offset(at: int) -> int:
        return datetime.fromtimestamp(at, zone).utcoffset() // timedelta(minutes=1)  # type: ignore[operator]

    quarters = np.array([offset(at) for at in range(begin, end + 900, 900)])
    offsets = np.repeat(quarters, 15)
    for quarter in np.flatnonzero(np.diff(quarters)):
        for minute in range(quarter * 15, quarter * 15 + 15):
            offsets[minute] = offset(begin + minute * 60)
    return np.arange(begin // 60, end // 60) + offsets[: (end - begin) // 60]


def oracle(cron: str, said: np.ndarray) -> np.ndarray:
    """At which of the minutes the expression is run."""
    run = matches(cron, said // 1440, said % 1440)
    minute, hour = cron.split()[:2]
    if minute.startswith("*") or hour.startswith("*"):
        return run
    for at in np.flatnonzero(np.diff(said) != 1) + 1:
        change = int(said[at] - said[at - 1]) - 1
        if 0 < change < SPECIAL:
            left_out = np.arange(said[at - 1] + 1, said[at])
            run[at] |= matches(cron, left_out // 1440, left_out % 1440).any()
        elif -SPECIAL < change < 0:
            run[at : at - change] = False  # `-change` minutes come twice
    return run


def differences(name: str, first: int, last: int) -> list[str]:
    """What is not as the oracle has it, in one zone."""
    zone = ZoneInfo(name)
    begin = int(datetime(first, 1, 1, tzinfo=UTC).timestamp())
    end = int(datetime(last + 1, 1, 1, tzinfo=UTC).timestamp())
    said = clock(zone, begin, end)
    wrong = []
    for cron in EXPRESSIONS:
        expected = {int(at) * 60 + begin for at in np.flatnonzero(oracle(cron, said))}
        found = list(due_times(Schedule(cron=(cron,)), offset_at(name), begin - 1, end - 60))
        if found != sorted(set(found)):
            wrong.append(f"{name}: {cron}: not in order")
        for at in sorted(expected.symmetric_difference(found))[:5]:
            kind = "not found" if at in expected else "too many"
            wrong.append(f"{name}: {cron}: {kind}: {datetime.fromtimestamp(at, zone).isoformat()}")
    return wrong


def signature(name: str, first: int, last: int) -> tuple[tuple[int, timedelta | None], ...]:
    """When the offset of a zone changes, and to what: zones that agree in that are one."""
    zone = ZoneInfo(name)
    begin, end = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in (first, last + 1))

    def offset(at: int) -> timedelta | None:
        return datetime.fromtimestamp(at, zone).utcoffset()

    changes = [(begin, offset(begin))]
    for day in range(begin, end, 86_400):
        if offset(day + 86_400) != changes[-1][1]:
            low, high = day, day + 86_400
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset(middle) == changes[-1][1] else (low, middle)
            changes.append((high, offset(high)))
    return tuple(changes)


def distinct(names: list[str], first: int, last: int) -> list[str]:
    """One zone of each that agree at all times."""
    seen: dict[int, str] = {}
    for name in names:
        seen.setdefault(hash(signature(name, first, last)), name)
    return list(seen.values())


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--first", type=int, default=2020)
    parser.add_argument("--last", type=int, default=2035)
    parser.add_argument("--zones", default="")
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    names = options.zones.split(",") if options.zones else sorted(available_timezones())
    chosen, began, bad = distinct(names, options.first, options.last), time.monotonic(), 0
    print(f"{len(names)} zones, {len(chosen)} of which differ, {len(EXPRESSIONS)} expressions", flush=True)
    count = len(chosen)
    with ProcessPoolExecutor(options.processes) as pool:
        for wrong in pool.map(differences, chosen, [options.first] * count, [options.last] * count):
            bad += len(wrong)
            for line in wrong:
                print(line, flush=True)
    print(f"{bad} differences, in {time.monotonic() - began:.0f} s")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
