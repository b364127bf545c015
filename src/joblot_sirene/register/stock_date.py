"""The date of a stock, which the licence asks for and ages are counted to: what the user or the file says, never a guess that is not named.

Stocks are made on the first of a month and, now and then, within it (16 December 2025). So the newest treatment in a file dates it to the
next day when that begins a month, and to itself otherwise, and is named as what it is.
"""

from __future__ import annotations

import datetime as dt
import re
from contextlib import suppress
from typing import Final, Literal

import msgspec

from joblot_sirene.errors import SireneError
from joblot_sirene.fields import quoted

DatedBy = Literal["option", "file name", "newest treatment", "unknown"]

_FILE: Final = re.compile(r"stock_?-?etablissement", re.IGNORECASE)
_DAY: Final = re.compile(r"(?<!\d)(20\d\d)([-_]?)(\d\d)(?:\2(\d\d))?(?!\d)")
_MOST_DAYS: Final = 45
"""Between the newest treatment and the date in a file's name; a name that is later is the day of a download."""


class StockDate(msgspec.Struct, frozen=True):
    """The day, None when it is not known, and what says so."""

    day: dt.date | None = None
    by: DatedBy = "unknown"

    @property
    def attribution(self) -> str:
        """The line that the licence asks for."""
        if self.day is None:
            return "Source: INSEE, base Sirene, stock of unknown date"
        # the first of a month after a newest treatment on the last day of the month before is how stocks are made
        is_named = self.by != "newest treatment" or self.day.day == 1
        return f"Source: INSEE, base Sirene, {'stock of' if is_named else 'newest treatment on'} {self.day.isoformat()}"


def stock_date(newest: dt.date | None, *, given: dt.date | None = None, file_name: str = "") -> StockDate:
    """The date of a stock from what the user gave, from the name of a file of data.gouv.fr, or from its newest treatment until today."""
    if given is not None:
        return StockDate(given, "option")
    if newest is None:
        return StockDate()
    named = _of_name(file_name)
    if named is not None and newest <= named <= newest + dt.timedelta(days=_MOST_DAYS):
        return StockDate(named, "file name")
    after = newest + dt.timedelta(days=1)
    return StockDate(after if after.day == 1 else newest, "newest treatment")


def read_day(text: str) -> dt.date | None:
    """The date of the stock that the user gave.

    Raises:
        SireneError: it is none, or lies in the future.
    """
    if not text:
        return None
    try:
        day = dt.date.fromisoformat(text) if len(text) == len("2026-11-01") else None
    except ValueError:
        day = None
    if day is None:
        raise SireneError(f"the date of a stock is a day such as `2026-11-01`, not {quoted(text)}")
    if day > dt.datetime.now(dt.UTC).date():
        raise SireneError(f"the date of a stock does not lie in the future: `{day}`")
    return day


def _of_name(name: str) -> dt.date | None:
    match = _DAY.search(name) if _FILE.search(name) else None
    if match is not None:
        with suppress(ValueError):
            return dt.date(int(match[1]), int(match[3]), int(match[4] or 1))
    return None
