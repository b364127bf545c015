"""The texts of pages for people, in French, from one table (`data/page_fr.tsv`): sentences, numbers, dates.

It knows no page: what it returns is not yet escaped. Sentences that are marked up (`<b>`) are few and say so in the table.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

NARROW: Final = "\u202f"
"""The space inside a number and before a percent sign: no line is broken there."""

_MONTHS: Final = (
    "janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre", "novembre", "décembre",
)  # fmt: skip


def text(key: str, **values: Any) -> str:
    """The text of a key. Of `singular|plural` the one that goes with `n` is taken; numbers are spelt as in French.

    Raises:
        KeyError: there is no such text.
    """
    template = table()[key]
    if "n" in values and "|" in template:
        singular, _, plural = template.partition("|")
        template = singular if abs(values["n"]) < 2 else plural
    spelt = {name: _spelt(value) for name, value in values.items()}
    return template.format_map(spelt) if spelt else template


def label(kind: str, name: str) -> str:
    """The text for a name of some kind (`issue`, `kpi`, `column`...); the name itself when there is none."""
    return table().get(f"{kind}.{name}", name)


def warning(english: str) -> str | None:
    """A step's warning in French; None when the table does not have it."""
    for pattern, french in _warnings():
        match = pattern.fullmatch(english)
        if match is not None:
            return french.format_map({name: _filled_in(name, value) for name, value in match.groupdict().items()})
    return None


def number(value: float, decimals: int = 0) -> str:
    """A number with narrow spaces between thousands and a comma before decimals, no more of them than needed."""
    digits = f"{value:,.{decimals}f}".replace(",", NARROW).replace(".", ",")
    return digits.rstrip("0").rstrip(",") if decimals else digits


def share(part: float) -> str:
    """A share from 0 to 1 in percent. Rounding never makes nothing of what is there, nor all of what is not quite all."""
    percent = part * 100
    if 0 < percent < 0.1:
        text = "< 0,1"
    elif 99.9 < percent < 100:
        text = "> 99,9"
    else:
        text = number(percent, 1)
    return f"{text}{NARROW}%"


def date(day: dt.date) -> str:
    """A day in words: 1er novembre 2026."""
    return f"{'1er' if day.day == 1 else day.day} {_MONTHS[day.month - 1]} {day.year}"


@cache
def table() -> Mapping[str, str]:
    """All texts by key."""
    return {row[0]: row[1] for row in _rows() if row[0] != "warning"}


@cache
def _warnings() -> list[tuple[re.Pattern[str], str]]:
    return [(_pattern(row[1]), row[2]) for row in _rows() if row[0] == "warning"]


def _rows() -> list[list[str]]:
    from importlib.resources import files

    lines = (files("joblot_sirene") / "data" / "page_fr.tsv").read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines if line and not line.startswith("#")]


def _pattern(warning: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+)", re.escape(warning)))


def _filled_in(name: str, value: str) -> str:
    """A value of a warning as the page shows it: targets by their label, numbers spelt as in French."""
    if name == "kpi":
        return label("kpi", value)
    if name in ("code", "file") or re.fullmatch(r"\d+(\.\d+)?", value) is None:
        return value
    return share(float(value)) if "." in value else number(int(value))


def _spelt(value: Any) -> Any:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return number(value, 1 if isinstance(value, float) else 0)
    return value
