"""Plain data as a batch file gives it, and what can be wrong with it.

Knows nothing of file formats and nothing of batches: only values, the keys that lead to them, and problems found on the way.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from msgspec import Struct

from joblot.core.written import RawScalar, shorten
from joblot.errors import Diagnostic

MAX_DEPTH: Final = 64
MAX_NODES: Final = 2_000_000
MAX_TEXT: Final = 1 << 20
MAX_INT: Final = 1 << 63

PLAIN: Final = frozenset({str, int, float, bool, type(None)})
"""The types of single values."""

Keys = tuple[str | int, ...]
"""The way from the root of a document to a value: names of fields and numbers of list items."""
Position = tuple[int, int]
"""A line and a column, both from 1."""
Wanted = dict[str | int, Any]
"""The values whose positions are asked for, as a tree of keys; a leaf is an empty dict."""
Positions = dict[Keys, tuple[Position, Position]]
"""Of each value found: the position of its key, and its own. The same for an item of a list."""

# Two patterns: one class that reaches from controls to surrogates takes `re` seven times as long to compile.
_CONTROL: Final = "[\x00-\x08\x0b-\x1f\x7f-\x9f]"
_SURROGATE: Final = "[\ud800-\udfff]"


class Problem(Struct, frozen=True):
    """Something wrong at a value, or at its key.

    `position` is given when the parser knew it; `twin` names an earlier value that this one clashes with; `inside` is the part of the
    value's text that is meant.
    """

    code: str
    message: str
    keys: Keys = ()
    hint: str = ""
    at_key: bool = False
    severity: str = "error"
    position: Position | None = None
    twin: Keys | None = None
    inside: str = ""


class BrokenTextError(Exception):
    """The text cannot be read any further."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def path_text(keys: Keys) -> str:
    """`jobs[3].retry.max_attempts` for the keys to a value."""
    parts = [f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys]
    return "".join(parts).removeprefix(".")


def from_python(value: Any, keys: Keys, problems: list[Problem], *, iterables: bool = False) -> Any:
    """Data made in Python as a file would give it: tuples as lists, paths and dates as texts.

    With `iterables` all of them are lists, and a number may be a key: so much is taken of items, which come from anywhere.

    Raises:
        RecursionError: it is nested too deeply, or holds itself.
    """
    if type(value) is dict or isinstance(value, Mapping):
        made = {}
        for key, item in value.items():
            number = type(key) is int and -MAX_INT <= key < MAX_INT
            if isinstance(key, str) or (iterables and number):
                name = key if type(key) is str else str(single(key))
                made[name] = (  # most items are plain: no call for those
                    item if type(item) in PLAIN else from_python(item, (*keys, name), problems, iterables=iterables)
                )
            else:
                shown = f"`{key}`" if number else f"of type `{type(key).__name__}`"
                problems.append(Problem("key", f"key {shown} is not a text", keys))
        return made
    if isinstance(value, (list, tuple)) or (iterables and is_listed(value)):
        return [
            item if type(item) in PLAIN else from_python(item, (*keys, number), problems, iterables=iterables)
            for number, item in enumerate(value)
        ]
    found = single(value)
    if type(found) not in PLAIN:
        problems.append(Problem("type", f"a value of type `{type(value).__name__}` cannot stand in a batch", keys))
        return None
    return found


def is_listed(value: Any) -> bool:
    """Whether a value is an iterable that stands for a list: neither a text nor a mapping."""
    return isinstance(value, Iterable) and not isinstance(value, (str, bytes, bytearray, Mapping))


def single(value: Any) -> Any:
    """A path or a date as a text, and a kind of text or number as such, also those of numpy; anything else as it is."""
    if type(value) in PLAIN:
        return value
    if isinstance(value, str):
        return str.__str__(value)  # of a class such as an enumeration, which may show itself in another way
    if isinstance(value, (int, float)):
        return int.__int__(value) if isinstance(value, int) else float.__float__(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    from datetime import date, time
    from numbers import Integral, Real

    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return near if (near := float(value)) == value or near != near else value  # noqa: PLR0124 - not a number: refused later, as that
    return bool(value) if getattr(getattr(value, "dtype", None), "kind", "") == "b" and value.shape == () else value


def describe(value: Any) -> str:
    """What a wrong value is, for the end of a message."""
    if isinstance(value, RawScalar):
        return f"`{value.text}`"
    if value is None:
        return "null"
    if isinstance(value, bool):  # before numbers, which truth values are to Python
        return "`true`" if value else "`false`"
    if isinstance(value, int) and not -MAX_INT <= value < MAX_INT:
        return "a number of more than 64 bits"
    if isinstance(value, (int, float)):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the text `{shorten(value)}`" if value else "an empty text"
    if isinstance(value, (list, tuple)):
        return "a list"
    return "a mapping" if isinstance(value, Mapping) else f"a value of type `{type(value).__name__}`"


def inspect(value: Any, keys: Keys, problems: list[Problem]) -> None:
    """Report what no batch may hold, wherever it stands: odd characters, huge numbers and texts, too deep nesting.

    What aliases repeat is looked at where it stands first: a hundred bytes of them stand for millions of values.
    """
    # Not by recursion: what is nested too deeply is to be found, not to end the check.
    stack: list[tuple[Any, Keys]] = [(value, keys)]
    seen: set[int] = set()
    while stack:
        item, at = stack.pop()
        if isinstance(item, str):
            _inspect_text(item, at, problems)
        elif isinstance(item, (dict, list)):
            if len(at) >= MAX_DEPTH:
                problems.append(Problem("limit", f"nested deeper than {MAX_DEPTH} levels", at))
                continue
            if id(item) in seen:
                continue
            seen.add(id(item))
            pairs: Iterable[tuple[Any, Any]] = item.items() if isinstance(item, dict) else enumerate(item)
            for key, inner in pairs:
                if isinstance(key, str) and _unfit_character(key):
                    problems.append(Problem("character", f"key `{shorten(key)}` holds a control character", at))
                stack.append((inner, (*at, key)))
        else:
            _inspect_number(item.value if isinstance(item, RawScalar) else item, at, problems)


def _unfit_character(text: str) -> str:
    """A character that no text of a batch may hold; empty when there is none."""
    found = None if text.isprintable() else re.search(_CONTROL, text) or re.search(_SURROGATE, text)
    return found[0] if found else ""


def _inspect_text(text: str, keys: Keys, problems: list[Problem]) -> None:
    if len(text) > MAX_TEXT:
        problems.append(Problem("limit", f"a text is longer than {MAX_TEXT >> 20} MiB", keys))
    found = _unfit_character(text)
    if found:
        code = ord(found)
        kind = "half of a surrogate pair" if code >= 0xD800 else "a NUL" if code == 0 else "a control character"
        problems.append(Problem("character", f"a text holds {kind} (U+{code:04X})", keys))


def _inspect_number(value: Any, keys: Keys, problems: list[Problem]) -> None:
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):  # noqa: PLR0124
        hint = "quote it if a text is meant"
        problems.append(
            Problem("value", "not a number that a batch can hold: it is infinite or no number at all", keys, hint)
        )
    elif isinstance(value, int) and not -MAX_INT <= value < MAX_INT:
        problems.append(
            Problem("value", "a number is too large: whole numbers have 64 bits", keys, "quote it if a text is meant")
        )


def too_long_number(text: str) -> Problem:
    """The problem that a text holds a number with more digits than Python reads."""
    found = re.search(r"[0-9][0-9_]{3999,}", text)
    before = text[: found.start()] if found else ""
    position = (before.count("\n") + 1, len(before) - before.rfind("\n")) if found else None
    return Problem("value", "a number is too large: whole numbers have 64 bits", position=position)


def want(wanted: Wanted, keys: Keys) -> None:
    """Add one value to those whose positions are asked for."""
    for key in keys:
        wanted = wanted.setdefault(key, {})


def to_diagnostics(
    problems: Iterable[Problem],
    *,
    file: str,
    lines: Callable[[], list[str]],
    locate: Callable[[Wanted], Positions],
) -> list[Diagnostic]:
    """The problems with their places, in the order of the file."""
    problems = list(problems)
    unplaced = [problem.keys for problem in problems if problem.position is None]
    unplaced += [problem.twin for problem in problems if problem.twin is not None]
    wanted: Wanted = {}
    for keys in unplaced:
        want(wanted, keys)
    positions = locate(wanted) if unplaced else {}
    source = lines()
    found = [_diagnostic(problem, file, source, positions) for problem in problems]
    return sorted(found, key=lambda item: (item.line, item.column))


def _diagnostic(problem: Problem, file: str, source: list[str], positions: Positions) -> Diagnostic:
    line, column = problem.position or _nearest_position(problem.keys, problem.at_key, positions)
    message = problem.message
    if problem.twin is not None:
        first = _nearest_position(problem.twin, True, positions)[0]
        message += f" (first on line {first})" if first else f" (first at `{path_text(problem.twin)}`)"
    if problem.inside:
        line, column = _position_inside(problem.inside, line, column, source)
    text = source[line - 1] if 0 < line <= len(source) else ""
    return Diagnostic(
        problem.code, message, path_text(problem.keys), file, line, column, text, problem.hint, problem.severity
    )


def _position_inside(part: str, line: int, column: int, source: list[str]) -> Position:
    """Where a part of a value's text stands, if it can be told; else the position of the value."""
    for number, text in enumerate(source[max(line - 1, 0) : line + 200]):
        found = text.find(part, column - 1 if number == 0 else 0)
        if found >= 0:
            return (line + number, found + 1)
    return (line, column)


def _nearest_position(keys: Keys, at_key: bool, positions: Positions) -> Position:
    """The position of the value, or of the nearest one around it that stands in the file."""
    for length in range(len(keys), -1, -1):
        pair = positions.get(keys[:length])
        if pair is not None:
            return pair[0] if at_key and length == len(keys) else pair[1]
    return (0, 0)
