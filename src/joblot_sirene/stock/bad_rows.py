"""Rows of text that are put aside because nobody knows which of their fields is which: counted, and told of in a file.

A row that does not say of itself, in a field before the damage, that it may be shown hides whoever it is of, like any other; the file has the
text of rows only that neither they nor any other row hides.
"""

from __future__ import annotations

import csv
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from joblot import atomic_write, reason_of
from joblot_sirene.register import privacy
from joblot_sirene.stock.csvtext import SourceError
from joblot_sirene.stock.repeated import hidden_by_rows
from joblot_sirene.stock.source import CsvSource

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from joblot_sirene.stock.source import Source

HEADER: Final = ("file", "line", "fields", "row")
_MOST_KEPT: Final = 10_000
"""Rows whose text is kept; of the others the file has the line."""


class _BadRow(NamedTuple):
    file: str
    line: int
    fields: int
    text: str
    numbers: tuple[int, ...]


class Aside:
    """The rows that have been put aside so far."""

    def __init__(self) -> None:
        self._rows: list[_BadRow] = []
        self._sirets: set[int] = set()
        self._sirens: set[int] = set()

    def watch(self, source: CsvSource) -> None:
        """Put the bad rows of a file aside from now on."""
        names = [source.layout.canonical.get(name) for name in source.names]
        statuses = [names.index(name) for name in (privacy.STATUS_COLUMN, privacy.UNIT_STATUS_COLUMN) if name in names]
        length = 9 if source.key == "siren" else 14
        hidden = self._sirens if source.key == "siren" else self._sirets
        key = names.index(source.key)

        def aside(line: int, fields: Sequence[str], text: bytes) -> None:
            numbers = {
                int(field)
                for at, field in enumerate(fields)
                if field.isascii() and field.isdigit() and (len(field) == length or at == key)
            }
            is_public = bool(statuses) and all(fields[at : at + 1] == [privacy.PUBLIC] for at in statuses)
            if not is_public and statuses:
                hidden.update(numbers)
            keeps = is_public and len(self._rows) < _MOST_KEPT
            shown = text.decode("utf-8", "replace").rstrip("\r\n") if keeps else ""
            self._rows.append(_BadRow(source.path.name, line, len(fields), shown, tuple(numbers) if keeps else ()))

        source.put_aside(aside)

    @property
    def hidden(self) -> privacy.Hidden:
        """Whom these rows hide."""
        return privacy.hidden_of(self._sirets, self._sirens)

    def write(self, path: Path, sources: Sequence[Source]) -> None:
        """Tell of the rows in a file for its owner alone.

        Raises:
            OSError: it cannot be written.
        """
        rows = self._rows
        if any(row.text for row in rows):
            hidden = hidden_by_rows(sources).also(self.hidden)
            numbers = {*hidden.establishments, *hidden.units}
            units = set(hidden.units)
            rows = [
                row._replace(text="") if any(n in numbers or n // 100_000 in units for n in row.numbers) else row
                for row in rows
            ]
        with atomic_write(path, mode=0o600) as part, part.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(HEADER)
            writer.writerows(row[:4] for row in rows)


@contextmanager
def put_aside(path: Path | None, sources: Sequence[Source]) -> Iterator[Aside]:
    """While the block runs, put bad rows of these files aside and count them (`Source.bad_rows`); then tell of them at a path. None refuses them.

    Raises:
        SourceError: the file cannot be written.
    """
    aside = Aside()
    if path is not None:
        for source in sources:
            if isinstance(source, CsvSource):
                aside.watch(source)
    yield aside
    if path is not None:
        try:
            aside.write(path, sources)
        except OSError as error:
            raise SourceError(f"cannot write `{path}`: {reason_of(error)}") from error
