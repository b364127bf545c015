"""TOML text to plain data. Positions come from a reader of its own, which trusts that the text is valid TOML."""

from __future__ import annotations

import re
from bisect import bisect_left
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from joblot.config.tree import (
    MAX_DEPTH,
    BrokenTextError,
    Keys,
    Position,
    Positions,
    Problem,
    Wanted,
    from_python,
    too_long_number,
)
from joblot.core.written import shorten

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOKEN: Final = re.compile(
    r"""(?P<text>\"{3}(?:[^\\]|\\.)*?\"{3,5}|'{3}.*?'{3,5}|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
    r"""|(?P<skip>[ \t\r]+|\#[^\n]*)|(?P<mark>[\[\]{}=,.\n])|(?P<word>[^\s\[\]{}=,.\#"']+)""",
    re.DOTALL,
)
_AT_END: Final = re.compile(r"\(at line (\d+), column (\d+)\)|\(at end of document\)")


def parse(text: str, problems: list[Problem], _noun: str = "") -> tuple[Any, list[Position]]:
    """The document, and the positions of the items of `jobs`.

    Raises:
        BrokenTextError: the text cannot be read to its end.
    """
    import tomllib

    try:
        data = from_python(tomllib.loads(text), (), problems)
    except tomllib.TOMLDecodeError as error:
        raise BrokenTextError(_from_decoder(text, str(error))) from None
    except RecursionError:
        raise BrokenTextError(_too_deep(text)) from None
    except (ValueError, OverflowError) as error:
        if "integer string conversion" in str(error):
            raise BrokenTextError(too_long_number(text)) from None
        raise BrokenTextError(Problem("value", f"not valid TOML: {shorten(str(error), 200)}")) from None
    jobs = data.get("jobs")
    positions: list[Position] = []
    if isinstance(jobs, list):
        located = locate(text, {"jobs": {number: {} for number in range(len(jobs))}})
        positions = [located.get(("jobs", number), ((0, 0), (0, 0)))[1] for number in range(len(jobs))]
    return data, positions


def _too_deep(text: str) -> Problem:
    depth, position = 0, None
    for token in _TOKEN.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        if depth > MAX_DEPTH:
            before = text[: token.start()]
            position = (before.count("\n") + 1, len(before) - before.rfind("\n"))
            break
    return Problem("limit", f"nested deeper than {MAX_DEPTH} levels", position=position)


def _from_decoder(text: str, message: str) -> Problem:
    match = _AT_END.search(message)
    reason = _AT_END.sub("", message).strip()
    if match and match[1]:
        position = (int(match[1]), int(match[2]))
    else:
        ending = text.rstrip("\n")
        position = (ending.count("\n") + 1, len(ending) - ending.rfind("\n"))
    hint = "texts stand in quotes" if reason == "Invalid value" else ""
    return Problem(
        "syntax", f"not valid TOML: {shorten(reason[:1].lower() + reason[1:], 200)}", hint=hint, position=position
    )


def lines(text: str) -> list[str]:
    """The lines as the decoder counts them."""
    return [line.removesuffix("\r") for line in text.split("\n")]


def locate(text: str, key_tree: Wanted) -> Positions:
    """The positions of the values asked for, headers of tables included."""
    reader = _Reader(text)
    with suppress(IndexError, RecursionError):  # messages then show the nearest offset that is known
        reader.read()
    return {keys: reader.positions[keys] for keys in _paths_in(key_tree) if keys in reader.positions}


def _paths_in(key_tree: Wanted) -> Iterator[Keys]:
    stack: list[tuple[Keys, Wanted]] = [((), key_tree)]
    while stack:
        keys, inner = stack.pop()
        yield keys
        stack += [((*keys, key), deeper) for key, deeper in inner.items()]


class _Reader:
    """Notes where each key and value of a valid TOML text stands."""

    def __init__(self, text: str) -> None:
        self.tokens = [token for token in _TOKEN.finditer(text) if token.lastgroup != "skip"]
        self.breaks = [match.start() for match in re.finditer("\n", text)]
        self.at = 0
        self.positions: Positions = {(): ((1, 1), (1, 1))}
        self.tables: dict[Keys, int] = {}  # how many tables each list of tables has so far

    def read(self) -> None:
        table: Keys = ()
        while self.at < len(self.tokens):
            if self._now() == "\n":
                self.at += 1
            elif self._now() == "[":
                table = self._header()
            else:
                self._pair(table)

    def _now(self) -> str:
        return self.tokens[self.at][0]

    def _header(self) -> Keys:
        position = self._position()
        repeated = self.tokens[self.at + 1][0] == "["
        self.at += 2 if repeated else 1
        *outer, last = self._names()
        self.at += 2 if repeated else 1
        keys: Keys = ()
        for name in outer:
            keys = (*keys, name)
            self.positions.setdefault(keys, (position, position))
            if keys in self.tables:
                keys = (*keys, self.tables[keys] - 1)
        keys = (*keys, last)
        self.positions.setdefault(keys, (position, position))
        if repeated:
            number = self.tables.get(keys, 0)
            self.tables[keys] = number + 1
            keys = (*keys, number)
            self.positions[keys] = (position, position)
        return keys

    def _names(self) -> list[str]:
        names = [_unquoted(self._now())]
        self.at += 1
        while self._now() == ".":
            names.append(_unquoted(self.tokens[self.at + 1][0]))
            self.at += 2
        return names

    def _pair(self, table: Keys) -> None:
        position = self._position()
        names = self._names()
        self.at += 1  # the `=`
        for length in range(1, len(names)):
            self.positions.setdefault((*table, *names[:length]), (position, position))
        keys = (*table, *names)
        self.positions.setdefault(keys, (position, self._position()))
        self._value(keys)

    def _value(self, keys: Keys) -> None:
        opening = self._now()
        if opening == "[":
            self._list(keys)
        elif opening == "{":
            self._inline_table(keys)
        else:
            while self.at < len(self.tokens) and self._now() not in (",", "]", "}", "\n"):
                self.at += 1

    def _list(self, keys: Keys) -> None:
        self.at += 1
        number = 0
        while self._now() != "]":
            if self._now() in (",", "\n"):
                self.at += 1
                continue
            position = self._position()
            self.positions[(*keys, number)] = (position, position)
            self._value((*keys, number))
            number += 1
        self.at += 1

    def _inline_table(self, keys: Keys) -> None:
        self.at += 1
        while self._now() != "}":
            if self._now() in (",", "\n"):
                self.at += 1
            else:
                self._pair(keys)
        self.at += 1

    def _position(self) -> Position:
        offset = self.tokens[self.at].start()
        line = bisect_left(self.breaks, offset)
        return (line + 1, offset - (self.breaks[line - 1] if line else -1))


def _unquoted(name: str) -> str:
    return name[1:-1] if name[:1] in ("'", '"') else name
