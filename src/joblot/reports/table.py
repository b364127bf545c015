"""Rows as a table in a text: separated by commas or tabs, as RFC 4180 has it, for spreadsheets, pandas and `foreach`."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from joblot.core.references import as_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""How a text begins that a spreadsheet runs."""
_AT_ONCE: Final = 1000
_LARGE: Final = 1e15
"""From here on a float has no digits behind the point that mean anything."""


def table_text(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], delimiter: str) -> Iterator[bytes]:
    """A header and a line for each row, in UTF-8 and in pieces. Lines end with a line feed.

    What holds the delimiter, a quote or a line break stands in double quotes, in which a quote is doubled. A text that a spreadsheet would take
    for a formula has a `'` in front. Numbers are plain, times ISO 8601 in UTC, truth values `true` and `false`, lists and mappings JSON; what
    there is not is empty.
    """
    # Not by the module `csv`, of which only newer versions put a lone carriage return in quotes.
    quoted = re.compile(f'[{re.escape(delimiter)}"\\r\\n]').search
    lines = [delimiter.join([_cell(name, quoted) for name in columns])]
    for row in rows:
        lines.append(delimiter.join([_cell(row.get(name), quoted) for name in columns]))
        if len(lines) == _AT_ONCE:
            yield ("\n".join(lines) + "\n").encode()
            lines.clear()
    if lines:
        yield ("\n".join(lines) + "\n").encode()


def _cell(value: Any, quoted: Callable[[str], Any]) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"{value:.6f}".rstrip("0").rstrip(".") if abs(value) < _LARGE else repr(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    text = as_text(value)
    text = f"'{text}" if text.startswith(_FORMULA) else text
    return '"' + text.replace('"', '""') + '"' if quoted(text) else text
