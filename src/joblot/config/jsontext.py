"""JSON text to plain data, with duplicate keys, too long numbers and too deep nesting refused.

The items of the top-level `jobs` are decoded one by one, so that each has its position at no cost; all other positions are only looked for
when a message needs them. Knows nothing else of batches.
"""

from __future__ import annotations

import re
from json import JSONDecodeError, JSONDecoder
from typing import TYPE_CHECKING, Any, Final

from joblot.config.tree import MAX_DEPTH, BrokenTextError, Keys, Position, Positions, Problem, Wanted, too_long_number
from joblot.core.written import shorten

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_SPACES: Final = frozenset(" \t\n\r")
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)

_REASONS: Final = {
    "Expecting value": "a value is missing here",
    "Expecting property name enclosed in double quotes": "a key in double quotes is missing here",
    "Expecting ':' delimiter": "a `:` is missing here",
    "Expecting ',' delimiter": "a `,` is missing here",
    "Unterminated string starting at": "a text that begins here has no closing quote",
    "Invalid control character at": "a text holds a raw control character",
    "Invalid \\escape": "a text holds an unknown `\\` escape",
    "Invalid \\uXXXX escape": "a text holds a broken `\\u` escape",
    "Extra data": "the document has ended, but something follows",
}


class _UnexpectedError(Exception):
    """The text is not laid out as expected: the ordinary decoder says what is wrong with it."""


class _Pairs:
    """Builds mappings and counts those in which a key is repeated."""

    def __init__(self) -> None:
        self.repeated = 0

    def __call__(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        built = dict(pairs)
        if len(built) != len(pairs):
            self.repeated += 1
        return built


def parse(text: str, problems: list[Problem], _noun: str = "") -> tuple[Any, list[Position]]:
    """The document, and the positions of the items of `jobs`.

    Raises:
        BrokenTextError: the text cannot be read to its end.
    """
    pairs = _Pairs()
    try:
        data, offsets = _read(text, JSONDecoder(object_pairs_hook=pairs))
    except JSONDecodeError as error:
        raise BrokenTextError(_from_decoder(text, error)) from None
    except RecursionError:
        raise BrokenTextError(_too_deep(text)) from None
    except ValueError:
        # The one thing left: `int` itself refuses more digits than it likes.
        raise BrokenTextError(too_long_number(text)) from None
    if pairs.repeated:
        _report_repeated(text, problems)
    return data, _positions(text, offsets)


def repeated_keys(text: str) -> list[Keys]:
    """The places of keys that stand twice in a mapping of a text that is valid JSON."""
    pairs = _Pairs()
    JSONDecoder(object_pairs_hook=pairs, parse_int=str).decode(text)  # `int` refuses more digits than it likes
    problems: list[Problem] = []
    if pairs.repeated:
        _report_repeated(text, problems)
    return [problem.keys for problem in problems]


class _Cursor:
    """A position in the text, moved over one value at a time."""

    def __init__(self, text: str, decoder: JSONDecoder) -> None:
        self.text = text
        self.at = 0
        self.decode = decoder.raw_decode
        self.space()

    def space(self) -> None:
        while self.text[self.at : self.at + 1] in _SPACES:
            self.at += 1

    def value(self) -> Any:
        value, self.at = self.decode(self.text, self.at)
        return value

    def members(self) -> Iterator[tuple[str, int]]:
        """Each key of the mapping here, and where it stands; before asking for the next the caller moves over the value."""
        self.expect("{")
        if self.take("}"):
            return
        while True:
            offset = self.at
            key = self.value()
            if not isinstance(key, str):
                raise _UnexpectedError
            self.space()
            self.expect(":")
            yield key, offset
            self.space()
            if self.take("}"):
                return
            self.expect(",")

    def items(self) -> Iterator[int]:
        """Where each item of the list here stands; before asking for the next the caller moves over it."""
        self.expect("[")
        if self.take("]"):
            return
        while True:
            yield self.at
            self.space()
            if self.take("]"):
                return
            self.expect(",")

    def take(self, char: str) -> bool:
        if self.text[self.at : self.at + 1] != char:
            return False
        self.at += 1
        self.space()
        return True

    def expect(self, char: str) -> None:
        if not self.take(char):
            raise _UnexpectedError


def _read(text: str, decoder: JSONDecoder) -> tuple[Any, list[int]]:
    """The data, and where its jobs begin."""
    offsets: list[int] = []
    data: dict[str, Any] = {}
    cursor = _Cursor(text, decoder)
    try:
        for key, _ in cursor.members():
            if key in data:
                raise _UnexpectedError
            if key == "jobs" and text[cursor.at] == "[":
                data[key] = _read_jobs(cursor, offsets)
            else:
                data[key] = cursor.value()
        if cursor.at != len(text):
            raise _UnexpectedError
    except (_UnexpectedError, JSONDecodeError, IndexError):
        return decoder.decode(text), []
    return data, offsets


def _read_jobs(cursor: _Cursor, offsets: list[int]) -> list[Any]:
    """The items of the list at the cursor. What `items` does, unrolled: there may be a hundred thousand."""
    jobs: list[Any] = []
    text, decode = cursor.text, cursor.decode
    if cursor.take("[") and cursor.take("]"):
        return jobs
    at = cursor.at
    while True:
        offsets.append(at)
        job, at = decode(text, at)
        jobs.append(job)
        if text[at] != ",":
            cursor.at = at
            cursor.space()
            if cursor.take("]"):
                return jobs
            cursor.expect(",")
            at = cursor.at
            continue
        at += 1
        if text[at] in _SPACES:
            cursor.at = at
            cursor.space()
            at = cursor.at


def _positions(text: str, offsets: Sequence[int]) -> list[Position]:
    """Lines and columns of growing offsets."""
    positions = []
    line, line_start, seen = 1, 0, 0
    for offset in offsets:
        breaks = text.count("\n", seen, offset)
        if breaks:
            line += breaks
            line_start = text.rfind("\n", seen, offset) + 1
        seen = offset
        positions.append((line, offset - line_start + 1))
    return positions


def _from_decoder(text: str, error: JSONDecodeError) -> Problem:
    reason = _REASONS.get(error.msg.removesuffix(": "), error.msg[:1].lower() + error.msg[1:])
    offset, hint = error.pos, ""
    before = text[:offset].rstrip()
    # Python 3.13 stops at the comma and has a message for it; those before stop at the bracket that follows.
    at_comma = error.msg.startswith("Illegal trailing comma")
    if at_comma or (before.endswith(",") and text[offset : offset + 1] in ("]", "}")):
        offset = offset if at_comma else len(before) - 1
        reason, hint = "a comma too many", "JSON has no comma after the last item: remove it"
    elif text[offset : offset + 1] == "'":
        hint = "JSON texts stand in double quotes"
    elif text[offset : offset + 2] == "//" or text[offset : offset + 1] == "#":
        hint = "JSON has no comments: write the batch in YAML or TOML if it needs them"
    return Problem(
        "syntax", f"not valid JSON: {shorten(reason, 200)}", hint=hint, position=_positions(text, [offset])[0]
    )


def _too_deep(text: str) -> Problem:
    depth = 0
    for token in _TOKEN.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        if depth > MAX_DEPTH:
            position = _positions(text, [token.start()])[0]
            return Problem("limit", f"nested deeper than {MAX_DEPTH} levels", position=position)
    return Problem("limit", f"nested deeper than {MAX_DEPTH} levels")


def _report_repeated(text: str, problems: list[Problem]) -> None:
    """Find the keys that are repeated, going only into values that hold one."""
    pairs = _Pairs()
    cursor = _Cursor(text, JSONDecoder(object_pairs_hook=pairs, parse_int=str))

    def look(keys: Keys) -> None:
        if len(keys) > MAX_DEPTH:
            cursor.value()
        elif text[cursor.at] == "{":
            seen: set[str] = set()
            for key, offset in cursor.members():
                if key in seen:
                    position = _positions(text, [offset])[0]
                    twin = (*keys, key)
                    problems.append(
                        Problem("duplicate_key", f"duplicate key `{shorten(key)}`", twin, position=position, twin=twin)
                    )
                seen.add(key)
                look_if_needed((*keys, key))
        else:
            for number, _ in enumerate(cursor.items()):
                look_if_needed((*keys, number))

    def look_if_needed(keys: Keys) -> None:
        start, before = cursor.at, pairs.repeated
        cursor.value()
        if pairs.repeated != before:
            cursor.at = start
            look(keys)

    look(())


def lines(text: str) -> list[str]:
    """The lines as the decoder counts them."""
    return [line.removesuffix("\r") for line in text.split("\n")]


def locate(text: str, key_tree: Wanted) -> Positions:
    """The positions of the values asked for."""
    cursor = _Cursor(text, JSONDecoder())
    offsets: list[tuple[Keys, int, int]] = [((), cursor.at, cursor.at)]
    try:
        _follow(cursor, key_tree, (), offsets)
    except (_UnexpectedError, ValueError, RecursionError, IndexError):
        pass  # it was reported when the text was parsed; what came before it has its positions
    return _offsets_to_positions(text, offsets)


def _follow(cursor: _Cursor, key_tree: Wanted, keys: Keys, offsets: list[tuple[Keys, int, int]]) -> None:
    char = cursor.text[cursor.at]
    if not key_tree or char not in "{[":
        cursor.value()
        return
    entries: Iterable[tuple[str | int, int]] = cursor.members() if char == "{" else enumerate(cursor.items())
    met: set[str | int] = set()
    for key, offset in entries:
        if key in key_tree and key not in met:
            met.add(key)
            offsets.append(((*keys, key), offset, cursor.at))
            _follow(cursor, key_tree[key], (*keys, key), offsets)
        else:
            cursor.value()


def _offsets_to_positions(text: str, offsets: list[tuple[Keys, int, int]]) -> Positions:
    ordered = sorted({offset for _, *pair in offsets for offset in pair})
    position_of = dict(zip(ordered, _positions(text, ordered), strict=True))
    return {keys: (position_of[key], position_of[value]) for keys, key, value in offsets}
