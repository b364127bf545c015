"""Where time and new ids come from. The core gets both as arguments; tests pass their own."""

from __future__ import annotations

import os
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock(Protocol):
    """A source of time."""

    def now(self) -> float:
        """Monotonic seconds: for timeouts, delays and durations."""

    def wall(self) -> float:
        """Seconds since the epoch (UTC): to be shown and kept, never for timeouts."""


class SystemClock:
    """The machine's clocks."""

    now = staticmethod(time.monotonic)
    wall = staticmethod(time.time)


class ManualClock:
    """A clock that stands still until it is moved: for tests and simulations."""

    def __init__(self, now: float = 0.0, wall: float = 1_800_000_000.0) -> None:
        self._now = now
        self._wall = wall

    def now(self) -> float:
        """Monotonic seconds."""
        return self._now

    def wall(self) -> float:
        """Seconds since the epoch."""
        return self._wall

    def advance(self, seconds: float) -> None:
        """Move both clocks forward."""
        self._now += seconds
        self._wall += seconds

    def jump(self, seconds: float) -> None:
        """Move the wall clock only, forward or back, as a correction of the machine's time does."""
        self._wall += seconds


def iso_utc(wall: float) -> str:
    """`2026-11-20T10:24:57.123Z` for seconds since the epoch."""
    whole = int(wall // 1)
    return f"{_to_the_second(whole)}.{int((wall - whole) * 1000):03d}Z"


@lru_cache(maxsize=8)  # a run records many events a second
def _to_the_second(whole: int) -> str:
    year, month, day, hour, minute, second = time.gmtime(whole)[:6]
    return f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}"


def day_of(wall: float, zone: str = "") -> str:
    """`2026-11-20`, the day that seconds since the epoch lie in; `zone` is a name such as `Europe/Paris`, empty: that of the system."""
    if not zone:
        year, month, day = time.localtime(wall)[:3]
        return f"{year:04d}-{month:02d}-{day:02d}"
    from datetime import datetime
    from zoneinfo import ZoneInfo

    return datetime.fromtimestamp(wall, ZoneInfo(zone)).date().isoformat()


def offset_at(zone: str = "") -> Callable[[float], int]:
    """What tells how many seconds a clock is ahead of UTC at an instant, in seconds since the epoch; `zone` as for `day_of`."""
    if not zone:
        return lambda wall: time.localtime(wall).tm_gmtoff
    from datetime import datetime, timedelta
    from zoneinfo import ZoneInfo

    there = ZoneInfo(zone)
    # A zone always tells its offset.
    return lambda wall: datetime.fromtimestamp(wall, there).utcoffset() // timedelta(seconds=1)  # type: ignore[operator]


def iso_in(wall: float, zone: str = "") -> str:
    """`2026-11-20T02:30:00+01:00`, the second that an instant lies in by the clock of a zone; `zone` as for `day_of`."""
    from datetime import datetime, timedelta, timezone

    offset = timezone(timedelta(seconds=offset_at(zone)(wall)))
    return datetime.fromtimestamp(wall // 1, offset).isoformat()


def new_run_id(wall: float) -> str:
    """An id that sorts by time and does not repeat: `20261120-102457-1a2b3c4d`."""
    year, month, day, hour, minute, second = time.gmtime(wall)[:6]
    return f"{year:04d}{month:02d}{day:02d}-{hour:02d}{minute:02d}{second:02d}-{os.urandom(4).hex()}"
