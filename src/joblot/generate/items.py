"""The items that files are made for: `code=6920Z,4329A`, `code=@codes.txt`, `@codes.csv`. It does not know what they are put into."""

from __future__ import annotations

import os
import re
from itertools import chain
from itertools import product as combinations
from math import prod
from typing import TYPE_CHECKING, Final, NamedTuple
from unicodedata import normalize

from joblot.config.items import delimiter_of
from joblot.core.written import shorten
from joblot.errors import ConfigError, Diagnostic, UsageError, did_you_mean
from joblot.generate.text import NAME, read_text, unfit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MOST_ITEMS: Final = 100_000
_TABLES: Final = (".csv", ".tsv")
_LINE_BREAK: Final = re.compile(r"\r\n|\n|\r")
_FORM: Final = "write `NAME=VALUE,VALUE`, `NAME=@FILE`, or `@FILE.csv`"


class Axis(NamedTuple):
    """Items that differ in one thing: the names of their variables, and the values of each. `warnings` is for people."""

    names: Sequence[str]
    rows: Sequence[tuple[str, ...]]
    warnings: Sequence[str] = ()


class _Row(NamedTuple):
    values: tuple[str, ...]
    file: str = ""
    line: int = 0


def read_axis(option: str) -> Axis:
    """What one `--each` says. Items that stand there twice are taken once, with a warning.

    Raises:
        UsageError: it is not written as one, or its file cannot be read.
        ConfigError: something in the file cannot be used.
    """
    if option.startswith("@"):
        return _from_table(option[1:], option)
    name, equals, values = option.partition("=")
    if not equals:
        raise UsageError(f"`{shorten(option)}` is not a list of items", hint=_FORM)
    name = variable_name(name)
    if not values.startswith("@"):
        return _axis([name], (_Row((value,)) for value in _split_values(name, values)))
    path = values[1:]
    if path.lower().endswith(_TABLES):
        return _column(path, name)
    lines = enumerate(_LINE_BREAK.split(read_text(path)), 1)
    rows = (_Row((line.strip(),), path, number) for number, line in lines)
    return _axis([name], (row for row in rows if row.values[0] and not row.values[0].startswith("#")))


def product(axes: Sequence[Axis], constants: Mapping[str, str]) -> list[dict[str, str]]:
    """One item for each combination, the last axis changing fastest, each with the constants.

    Raises:
        UsageError: a variable is given twice, or there are too many items.
    """
    seen: set[str] = set()
    for name in (*chain.from_iterable(axis.names for axis in axes), *constants):
        if name in seen:
            raise UsageError(f"variable `{name}` is given twice", hint="keep one `--each` or `--set` of it")
        seen.add(name)
    count = prod(len(axis.rows) for axis in axes)
    if count > MOST_ITEMS:
        raise UsageError(f"{count:,} items are too many: at most {MOST_ITEMS:,}")
    names = [*chain.from_iterable(axis.names for axis in axes)]
    rows = combinations(*(axis.rows for axis in axes))
    return [dict(zip(names, chain.from_iterable(row), strict=True)) | dict(constants) for row in rows]


def variable_name(name: str) -> str:
    """The name as it is compared with those in a template.

    Raises:
        UsageError: no variable can be called so.
    """
    name = normalize("NFC", name.strip())
    if not NAME.fullmatch(name):
        raise UsageError(f"`{shorten(name)}` cannot be a variable", hint="letters, digits and `_` make a name")
    return name


def _split_values(name: str, values: str) -> Iterator[str]:
    for value in values.split(","):
        if not value.strip():
            raise UsageError(
                f"an empty value in `{shorten(f'{name}={values}')}`", hint="values are parted by single commas"
            )
        yield value.strip()


def _axis(names: Sequence[str], rows: Iterator[_Row]) -> Axis:
    """The rows without repeats; no value has a character that is refused everywhere."""
    kept: dict[tuple[str, ...], None] = {}
    warnings: list[str] = []
    problems: list[Diagnostic] = []
    for row in rows:
        for name, value in zip(names, row.values, strict=True):
            if reason := unfit(value):
                message = f"the value `{shorten(value)}` of `{name}` {reason}"
                problems.append(Diagnostic("value", message, file=row.file, line=row.line, column=int(row.line > 0)))
        if row.values in kept:
            position = f"{row.file}:{row.line}: " if row.file else ""
            warnings.append(f"{position}`{shorten(', '.join(row.values))}` is there twice: taken once")
        kept[row.values] = None
    if problems:
        raise ConfigError(problems)
    return Axis(tuple(names), tuple(kept), tuple(warnings))


def _from_table(path: str, option: str) -> Axis:
    if not path.lower().endswith(_TABLES):
        hint = f"name it: `NAME={shorten(option)}`; a `.csv` has the names in its first line"
        raise UsageError(f"`{shorten(option)}` does not say which variable its lines are for", hint=hint)
    header, rows = _table(path)
    names = [_column_name(path, name) for name in header]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise _error(path, 1, f"column `{repeated}` is there twice", hint="give each column its own name")
    return _axis(names, rows)


def _column_name(path: str, name: str) -> str:
    try:
        return variable_name(name)
    except UsageError as error:
        raise _error(path, 1, f"column {error.message}", hint=error.hint) from None


def _column(path: str, name: str) -> Axis:
    header, rows = _table(path)
    names = [normalize("NFC", column.strip()) for column in header]
    if name not in names:
        listed = ", ".join(f"`{shorten(column)}`" for column in names)
        raise _error(path, 1, f"no column `{name}`", hint=did_you_mean(name, names) or f"it has {listed}")
    number = names.index(name)
    return _axis([name], (_Row((row.values[number],), row.file, row.line) for row in rows))


def _table(path: str) -> tuple[list[str], Iterator[_Row]]:
    """The first line and the others."""
    import csv
    from io import StringIO

    text = read_text(path)
    first = text.split("\n", 1)[0]
    delimiter = "\t" if path.lower().endswith(".tsv") else delimiter_of(first)
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header = _next(path, reader)
    if not header:
        raise _error(path, 1, "no names of columns", hint="the first line names the columns: `code,label`")
    return header, _cells(path, reader, len(header))


def _cells(path: str, reader: Iterator[list[str]], width: int) -> Iterator[_Row]:
    while (cells := _next(path, reader)) is not None:
        line: int = reader.line_num  # type: ignore[attr-defined]  # typeshed hides the reader's own type
        if cells and len(cells) != width:
            raise _error(
                path, line, f"{len(cells)} cells, but there are {width} columns", hint="quote a cell with a comma"
            )
        if any(cells):
            yield _Row(tuple(cells), path, line)


def _next(path: str, reader: Iterator[list[str]]) -> list[str] | None:
    import csv

    try:
        return next(reader, None)
    except csv.Error as error:
        raise _error(path, reader.line_num, f"not valid CSV: {error}") from None  # type: ignore[attr-defined]


def _error(path: str, line: int, message: str, *, hint: str = "") -> ConfigError:
    return ConfigError([Diagnostic("value", message, file=os.fspath(path), line=line, column=1, hint=hint)])
