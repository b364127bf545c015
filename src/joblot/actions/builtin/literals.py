"""Texts that a regular expression cannot match without: what a search may look for first, because finding a text is cheap.

A small reader of RE2's syntax that gives up at whatever it does not know for certain: giving up costs time, a wrong answer would lose
matches. It says nothing about whether the expression is valid.
"""

from __future__ import annotations

from itertools import product
from typing import Final, NamedTuple

_MAX_TEXTS: Final = 8
"""More texts than this are slower to look for, one after the other, than the expression itself."""
_MIN_LENGTH: Final = 2
_PLAIN_ESCAPES: Final = frozenset(r".*+?()[]{}|^$\/-_ '\"#&~@!%,:;<=>`")
_SPECIAL: Final = frozenset(r"\.+*?()[]{}|^$")
_SETS: Final = frozenset("dDsSwW")
_EMPTY_ESCAPES: Final = frozenset("bB")


class _GaveUpError(Exception):
    """The expression holds something that this reader does not know."""


class _Part(NamedTuple):
    """What is known of a part of an expression.

    `exact`: it matches these texts and no others. `needed`: each of its matches holds one of these. None: not known.
    """

    exact: tuple[str, ...] | None
    needed: tuple[str, ...] | None


_NOTHING: Final = _Part(("",), None)
_ANYTHING: Final = _Part(None, None)


def required(pattern: str) -> list[bytes]:
    """Texts of which every match of `pattern` holds at least one; empty when there are none worth looking for."""
    try:
        reader = _Reader(pattern)
        part = reader.alternatives()
        if reader.position < len(pattern):
            return []
    except (_GaveUpError, IndexError, RecursionError):
        return []
    best = _better(part.exact, part.needed)
    return [text.encode() for text in best] if best and _worth(best)[0] >= _MIN_LENGTH else []


def plain(pattern: str) -> bytes | None:
    """The one text that an expression without any special sign stands for; None for all other expressions."""
    text, position = "", 0
    while position < len(pattern):
        char = pattern[position]
        if char == "\\" and pattern[position + 1 : position + 2] in _PLAIN_ESCAPES:
            position += 1
            char = pattern[position]
        elif char in _SPECIAL:
            return None
        text += char
        position += 1
    return text.encode() if text and "\n" not in text else None


def _worth(texts: tuple[str, ...]) -> tuple[int, int]:
    return min(map(len, texts)), -len(texts)


def _better(first: tuple[str, ...] | None, second: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """The choice that is rarer in a text: longer texts first, then fewer."""
    if not first or not second:
        return first or second
    return first if _worth(first) >= _worth(second) else second


class _Reader:
    """Reads an expression from left to right, one method a level of its grammar."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.position = 0

    def _peek(self) -> str:
        return self.pattern[self.position : self.position + 1]

    def _next(self) -> str:
        char = self.pattern[self.position]
        self.position += 1
        return char

    def alternatives(self) -> _Part:
        """`a|b|c`."""
        parts = [self._sequence()]
        while self._peek() == "|":
            self.position += 1
            parts.append(self._sequence())
        if len(parts) == 1:
            return parts[0]
        return _Part(_union([part.exact for part in parts]), _union([_better(*part) for part in parts]))

    def _sequence(self) -> _Part:
        """`abc`: neighbours that match known texts are joined to longer ones."""
        joined: tuple[str, ...] | None = ("",)
        whole, needed = True, None
        while self._peek() not in ("", "|", ")"):
            part = self._repeated()
            together = _join(joined, part.exact)
            if together is not None:
                joined = together
                continue
            whole = False
            needed = _better(_better(needed, joined), part.needed)
            joined = part.exact or ("",)
        return _Part(joined if whole else None, _better(needed, joined))

    def _repeated(self) -> _Part:
        """An atom and the repetition after it."""
        atom = self._atom()
        char = self._peek()
        if char in ("*", "?"):
            part = _ANYTHING
        elif char == "+":
            part = _Part(None, _better(*atom))
        elif char == "{":
            raise _GaveUpError
        else:
            return atom
        self.position += 1
        if self._peek() == "?":
            self.position += 1
        return part

    def _atom(self) -> _Part:
        char = self._next()
        if char == "(":
            return self._group()
        if char == "[":
            return self._set()
        if char == "\\":
            return self._escape()
        if char == ".":
            return _ANYTHING
        if char in "^$":
            return _NOTHING
        if char in "*+?{}]":
            raise _GaveUpError
        return _Part((char,), None)

    def _group(self) -> _Part:
        if self._peek() == "?":
            if not self.pattern.startswith("?:", self.position):
                raise _GaveUpError
            self.position += 2
        part = self.alternatives()
        if self._next() != ")":
            raise _GaveUpError
        return part

    def _escape(self) -> _Part:
        char = self._next()
        if char in _SETS:
            return _ANYTHING
        if char in _EMPTY_ESCAPES:
            return _NOTHING
        if char not in _PLAIN_ESCAPES:
            raise _GaveUpError
        return _Part((char,), None)

    def _set(self) -> _Part:
        """`[abc]`: a few plain characters are alternatives, anything else may match anything."""
        chars: list[str] = []
        if self._peek() in ("^", "]"):
            raise _GaveUpError
        while (char := self._next()) != "]":
            if char in "[\\":
                raise _GaveUpError
            chars.append(char)
        plain = "-" not in chars and len(chars) <= _MAX_TEXTS
        return _Part(tuple(dict.fromkeys(chars)), None) if plain and chars else _ANYTHING


def _union(choices: list[tuple[str, ...] | None]) -> tuple[str, ...] | None:
    merged: dict[str, None] = {}
    for choice in choices:
        if choice is None:
            return None
        merged |= dict.fromkeys(choice)
    return tuple(merged) if len(merged) <= _MAX_TEXTS else None


def _join(before: tuple[str, ...] | None, after: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if before is None or after is None or len(before) * len(after) > _MAX_TEXTS:
        return None
    return tuple(dict.fromkeys(a + b for a, b in product(before, after)))
