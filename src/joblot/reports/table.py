"""Rows as a table in a text: separated by commas or tabs, as RFC 4180 has it, for spreadsheets, pandas and `foreach`."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final

from joblot.clock import iso_utc
from joblot.core.references import as_text
from joblot.reports.rows import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from joblot.reports.report import Report

_SIGNS: Final = ("=", "+", "-", "@")
_FORMULA: Final = (*_SIGNS, "\t", "\r")
"""How a text begins that a spreadsheet runs."""
_CONTROLS: Final = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
_AT_ONCE: Final = 1000


def csv_table(report: Report) -> Iterator[bytes]:
    """The jobs of a run with commas, in parts."""
    return _of_run(report, ",")


def tsv_table(report: Report) -> Iterator[bytes]:
    """The jobs of a run with tabs, in parts."""
    return _of_run(report, "\t")


def _of_run(report: Report, delimiter: str) -> Iterator[bytes]:
    table = Table(report.plan, report.view, report.log, report.left_out)
    return table_text(table.rows(lru_cache(4096)(iso_utc)), table.columns, delimiter)


def table_text(rows: Iterable[Sequence[Any]], columns: Sequence[str], delimiter: str) -> Iterator[bytes]:
    """A header and a line for each row, in UTF-8 and in pieces. Lines end with a line feed.

    What holds the delimiter, a quote or a line break stands in double quotes, in which a quote is doubled. A text that a spreadsheet would take
    for a formula has a `'` in front; other control characters are taken out. Numbers are plain, times ISO 8601 in UTC, truth values `true` and
    `false`, lists and mappings JSON; what there is not is empty.
    """
    # Not by the module `csv`, of which only newer versions put a lone carriage return in quotes.
    text_of = partial(_text, quoted=re.compile(f'[{re.escape(delimiter)}"\\r\\n]').search)
    equals, plus, minus, at = (f"{delimiter}{sign}" for sign in _SIGNS)
    parts, blank = len(columns) - 1, "" if delimiter.isprintable() else delimiter
    lines = [delimiter.join(map(text_of, columns))]
    for row in rows:
        # Of a million rows nearly all hold nothing odd, which is seen in the whole line at once.
        line = delimiter.join(
            [
                value
                if type(value) is str
                else ""
                if value is None
                else str(value)
                if type(value) is int
                else _plain(value)
                for value in row
            ]
        )
        shown = line.replace(blank, "") if blank else line
        if (
            not shown.isprintable()
            or line.count(delimiter) != parts
            or '"' in line
            or equals in line
            or plus in line
            or minus in line
            or at in line
            or line.startswith(_SIGNS)
        ):
            line = delimiter.join([text_of(value) if type(value) is str else _cell(value, text_of) for value in row])
        lines.append(line)
        if len(lines) >= _AT_ONCE:
            yield ("\n".join(lines) + "\n").encode()
            lines.clear()
    if lines:
        yield ("\n".join(lines) + "\n").encode()


def _plain(value: Any) -> str:
    """What is no text, as a text that holds a quote or the delimiter only where a list or a mapping does."""
    kind = type(value)
    if value is None:
        return ""
    if kind is int:
        return str(value)
    if kind is float:
        text = repr(value)
        if text.endswith(".0"):
            return text[:-2]
        return f"{value:.6f}".rstrip("0").rstrip(".") if "e-" in text else text
    if kind is bool:
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return as_text(value)


def _cell(value: Any, text_of: Callable[[str], str]) -> str:
    return text_of(as_text(value)) if isinstance(value, (list, dict)) else _plain(value)


def _text(text: str, quoted: Callable[[str], Any]) -> str:
    text = re.sub(_CONTROLS, "", text)
    text = f"'{text}" if text.startswith(_FORMULA) else text
    return '"' + text.replace('"', '""') + '"' if quoted(text) else text
