"""YAML text to plain data, by the rules of YAML 1.2 and stricter still.

The event stream of PyYAML's parser goes through limits before anything is built, and nothing but texts, numbers, truth values, null,
lists and mappings is ever built. Numbers are written as in JSON; all else that is plain is a text. Knows nothing of batches but that
the items of the top-level `jobs` need their positions.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from joblot.config.tree import (
    MAX_DEPTH,
    MAX_NODES,
    MAX_TEXT,
    BrokenTextError,
    Keys,
    Position,
    Positions,
    Problem,
    Wanted,
)
from joblot.core.written import RawScalar, shorten

if TYPE_CHECKING:
    from collections.abc import Iterator

_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_TRUTHS: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_CORE: Final = "tag:yaml.org,2002:"
_TAGGED: Final = {"int": (int,), "float": (int, float), "bool": (bool,), "null": (type(None),)}
_MAX_DIGITS: Final = 4000
"""Longer numbers would be refused by `int` itself, with an error of its own."""
_TEXT_SHIFT: Final = 6
"""Each 64 characters of a text count as a value: a long one that aliases repeat costs its readers as much as many short ones."""

_HINTS: Final = (
    ("cannot start any token", "indent with spaces, and quote a text that begins with a special character"),
    ("mapping values are not allowed", "quote a text that holds `: `"),
    ("could not find expected ':'", "a field is written `name: value`"),
    ("did not find expected key", "check the indentation, and quotes or brackets left open"),
    ("did not find expected '-' indicator", "check the indentation of the list"),
    ("unexpected end of stream", "a quote or a bracket is left open"),
    ("did not find expected ',' or ']'", "a `[` is left open"),
    ("did not find expected ',' or '}'", "a `{` is left open"),
)


class _Open:
    """A list or mapping that is being filled."""

    __slots__ = ("anchor", "height", "in_jobs", "items", "key", "weight")

    def __init__(self, items: Any, anchor: str | None, in_jobs: bool) -> None:
        self.items = items
        self.anchor = anchor
        self.key: Any = _NO_KEY
        self.weight = 1  # how many values it expands to
        self.height = 1  # how many levels
        self.in_jobs = in_jobs


_NO_KEY: Final = object()
_DROPPED: Final = object()
"""Stands for a key that was refused: its value is read and forgotten."""


def parse(text: str, problems: list[Problem], noun: str = "batch file") -> tuple[Any, list[Position]]:
    """The document, and the positions of the items of `jobs`. `noun` is what messages call it.

    Raises:
        BrokenTextError: the text cannot be read to its end.
    """
    return _Builder(problems, noun).build(text)


class _Builder:
    def __init__(self, problems: list[Problem], noun: str) -> None:
        self.problems = problems
        self.noun = noun
        self.stack: list[_Open] = []
        self.anchors: dict[str, tuple[Any, int, int]] = {}
        self.root: Any = None
        self.nodes = 0
        self.job_positions: list[Position] = []

    def build(self, text: str) -> tuple[Any, list[Position]]:
        import yaml

        # By exact type, and not a method by the event's name: this runs for each value of the file.
        documents = 0
        for event in _events(text):
            kind = type(event)
            if kind is yaml.ScalarEvent:
                self._note_job(event)
                self._place(self._scalar(event), 1 + (len(event.value) >> _TEXT_SHIFT), 0, event)
            elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
                self._note_job(event)
                self._open(event, {} if kind is yaml.MappingStartEvent else [])
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                done = self.stack.pop()
                if done.anchor:
                    self.anchors[done.anchor] = (done.items, done.weight, done.height)
                self._place(done.items, done.weight, done.height, event)
            elif kind is yaml.AliasEvent:
                self._note_job(event)
                self._place(*self._alias(event), event)
            elif kind is yaml.DocumentStartEvent:
                documents += 1
                if documents > 1:
                    raise _broken(event, f"a second document begins here: a {self.noun} holds one", "limit")
        return self.root, self.job_positions

    def _note_job(self, event: Any) -> None:
        if self.stack and self.stack[-1].in_jobs:
            self.job_positions.append(_position(event.start_mark))

    def _open(self, event: Any, items: Any) -> None:
        self._check_tag(event, "map" if isinstance(items, dict) else "seq")
        if len(self.stack) >= MAX_DEPTH:
            raise _broken(event, f"nested deeper than {MAX_DEPTH} levels", "limit")
        in_jobs = isinstance(items, list) and len(self.stack) == 1 and self.stack[0].key == "jobs"
        self.stack.append(_Open(items, event.anchor, in_jobs))

    def _alias(self, event: Any) -> tuple[Any, int, int]:
        name = event.anchor
        if any(item.anchor == name for item in self.stack):
            raise _broken(event, f"alias `*{name}` stands inside the value that it names", "alias")
        if name not in self.anchors:
            raise _broken(event, f"alias `*{name}` has no anchor `&{name}` before it", "alias")
        if len(self.stack) + self.anchors[name][2] > MAX_DEPTH:
            raise _broken(event, f"nested deeper than {MAX_DEPTH} levels", "limit")
        return self.anchors[name]

    def _place(self, value: Any, weight: int, height: int, event: Any) -> None:
        self.nodes += 1
        if not self.stack:
            self.root = value
            return
        top = self.stack[-1]
        top.weight += weight
        if height >= top.height:
            top.height = height + 1
        if top.weight > MAX_NODES or self.nodes > MAX_NODES:
            raise _broken(event, f"aliases expand to more than {MAX_NODES} values", "limit")
        if isinstance(top.items, list):
            top.items.append(value)
        elif top.key is _NO_KEY:
            top.key = self._key(value, event, top.items)
        else:
            if top.key is not _DROPPED:
                top.items[top.key] = value
            top.key = _NO_KEY

    def _key(self, value: Any, event: Any, items: dict[str, Any]) -> Any:
        if not isinstance(value, str):
            shown = f"key `{value.text}`" if isinstance(value, RawScalar) else "a key"
            hint = f'write `"{value.text}"`' if isinstance(value, RawScalar) else "a key is a text"
            self._complain(event, f"{shown} is not a text", hint, code="key")
            return _DROPPED
        if value == "<<" and event.implicit[0]:
            in_batch = self.noun == "batch file"
            hint = "write what all jobs share under `defaults`" if in_batch else "write the keys themselves"
            self._complain(event, "merge key `<<` is not part of YAML 1.2", hint, code="key")
            return _DROPPED
        if value in items:
            keys, position = (*self._keys(), value), _position(event.start_mark)
            self.problems.append(
                Problem("duplicate_key", f"duplicate key `{shorten(value)}`", keys, position=position, twin=keys)
            )
            return _DROPPED
        return value

    def _keys(self) -> Keys:
        """The keys to the mapping that is being filled."""
        return tuple(
            len(item.items) if isinstance(item.items, list) else item.key if isinstance(item.key, str) else "?"
            for item in self.stack[:-1]
        )

    def _scalar(self, event: Any) -> Any:
        if len(event.value) > MAX_TEXT:
            raise _broken(event, f"a text is longer than {MAX_TEXT >> 20} MiB", "limit")
        if event.tag is not None and event.tag != "!":
            value = self._tagged(event)
        else:
            value = self._resolve(event.value, event) if event.implicit[0] and event.tag is None else event.value
        if event.anchor:
            self.anchors[event.anchor] = (value, 1 + (len(event.value) >> _TEXT_SHIFT), 0)
        return value

    def _resolve(self, text: str, event: Any) -> Any:
        """What a plain scalar stands for."""
        if text in _NULLS:
            return None
        if text in _TRUTHS:
            return RawScalar(text, _TRUTHS[text])
        number = _NUMBER.fullmatch(text)
        if number:
            if number[1] or number[2] or text == "-0":
                return RawScalar(text, float(text))
            if len(text) <= _MAX_DIGITS:
                return RawScalar(text, int(text))
            return RawScalar(shorten(text), 1 << 64)
        if _NOT_FINITE.fullmatch(text):
            self._complain(
                event, f"`{text}` is not a number that a batch can hold", "quote it if a text is meant", code="value"
            )
        return text

    def _tagged(self, event: Any) -> Any:
        name = event.tag.removeprefix(_CORE) if event.tag.startswith(_CORE) else ""
        if name == "str":
            return event.value
        if name not in _TAGGED:
            self._refuse_tag(event)
            return event.value
        value = self._resolve(event.value, event)
        core = value.value if isinstance(value, RawScalar) else value
        if type(core) not in _TAGGED[name]:
            self._complain(event, f"`{shorten(event.value)}` is not what its tag `!!{name}` says", code="tag")
        return value

    def _check_tag(self, event: Any, name: str) -> None:
        if event.tag not in (None, "!", _CORE + name):
            self._refuse_tag(event)

    def _refuse_tag(self, event: Any) -> None:
        shown = shorten(event.tag.replace(_CORE, "!!"))
        self._complain(event, f"unknown tag `{shown}`", f"a {self.noun} needs no tags: remove it", code="tag")

    def _complain(self, event: Any, message: str, hint: str = "", *, code: str) -> None:
        self.problems.append(Problem(code, message, self._keys(), hint, position=_position(event.start_mark)))


def _events(text: str) -> Iterator[Any]:
    """The parser's events; whatever goes wrong in it comes out as `BrokenTextError`."""
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        yield from yaml.parse(text, Loader=loader)
    except yaml.MarkedYAMLError as error:
        raise BrokenTextError(_from_marked(text, error)) from None
    except (yaml.YAMLError, ValueError, IndexError, OverflowError) as error:
        # On damaged input PyYAML lets a few errors through that are not of its own classes.
        reason = str(getattr(error, "reason", "") or error).split("\n", maxsplit=1)[0]
        offset = getattr(error, "position", None)
        position = _position_of(text, offset) if isinstance(offset, int) else None
        raise BrokenTextError(Problem("syntax", f"not valid YAML: {shorten(reason, 200)}", position=position)) from None


_TOO_DEEP: Final = "exceeded maximum nesting depth"
"""What libyaml says when it looks ahead and finds a thousand levels or more, before we have counted them."""


def _from_marked(text: str, error: Any) -> Problem:
    reason = error.problem or error.context or "cannot be read"
    mark = error.problem_mark or error.context_mark
    position = _position(mark) if mark else None
    if reason == _TOO_DEEP:
        return Problem("limit", f"nested deeper than {MAX_DEPTH} levels", position=position)
    hint = next((hint for part, hint in _HINTS if part in reason), "")
    # Of a tab libyaml only says that no token begins with such a character, which nobody sees.
    if mark and "".join(lines(text)[mark.line : mark.line + 1])[mark.column : mark.column + 1] == "\t":
        reason, hint = "a tab stands where only spaces may", "indent with spaces"
    return Problem("syntax", f"not valid YAML: {shorten(reason, 200)}", hint=hint, position=position)


def _broken(event: Any, message: str, code: str) -> BrokenTextError:
    return BrokenTextError(Problem(code, message, position=_position(event.start_mark)))


def _position(mark: Any) -> Position:
    return (mark.line + 1, mark.column + 1)


def _position_of(text: str, offset: int) -> Position:
    before = text[:offset]
    return (before.count("\n") + 1, offset - before.rfind("\n"))


_LINE_BREAK: Final = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


def lines(text: str) -> list[str]:
    """The lines as the parser counts them."""
    return _LINE_BREAK.split(text)


def locate(text: str, key_tree: Wanted) -> Positions:
    """The positions of the values asked for, as far as they stand in the text themselves (not behind an alias)."""
    import yaml

    trail = _Trail()
    try:
        for event in _events(text):
            kind = type(event)
            if kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
                trail.enter(event, key_tree, kind is yaml.MappingStartEvent)
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                trail.leave()
            elif kind is yaml.ScalarEvent or kind is yaml.AliasEvent:
                trail.value(event, key_tree)
    except BrokenTextError:
        pass  # it was reported when the text was parsed; what came before it has its positions
    return trail.positions


class _Step:
    """A list or mapping on the way; `key_tree` is None when nothing in it is asked for."""

    __slots__ = ("count", "is_key", "key", "key_position", "key_tree", "keys", "mapping")

    def __init__(self, keys: Keys, key_tree: Wanted | None, *, mapping: bool, is_key: bool) -> None:
        self.keys = keys
        self.key_tree = key_tree
        self.mapping = mapping
        self.is_key = is_key
        self.key: Any = _NO_KEY
        self.key_position: Position = (0, 0)
        self.count = 0


class _Trail:
    """Follows the event stream along the keys asked for only."""

    def __init__(self) -> None:
        self.positions: Positions = {}
        self.stack: list[_Step] = []

    def enter(self, event: Any, key_tree: Wanted, mapping: bool) -> None:
        is_key = self._key_awaited()
        keys, inner = ((), None) if is_key else self._step(event, key_tree)
        self.stack.append(_Step(keys, inner, mapping=mapping, is_key=is_key))

    def leave(self) -> None:
        if self.stack.pop().is_key:
            self.stack[-1].key = _DROPPED
        else:
            self._done()

    def value(self, event: Any, key_tree: Wanted) -> None:
        if self._key_awaited():
            self.stack[-1].key = getattr(event, "value", _DROPPED)
            self.stack[-1].key_position = _position(event.start_mark)
        else:
            self._step(event, key_tree)
            self._done()

    def _key_awaited(self) -> bool:
        return bool(self.stack) and self.stack[-1].mapping and self.stack[-1].key is _NO_KEY

    def _step(self, event: Any, key_tree: Wanted) -> tuple[Keys, Wanted | None]:
        """Where the value that begins here stands, and what is asked for inside of it."""
        position = _position(event.start_mark)
        if not self.stack:
            self.positions[()] = (position, position)
            return (), key_tree
        top = self.stack[-1]
        step = top.key if top.mapping else top.count
        if top.key_tree is None or step not in top.key_tree:
            return top.keys, None
        keys = (*top.keys, step)
        self.positions.setdefault(keys, (top.key_position if top.mapping else position, position))
        return keys, top.key_tree[step]

    def _done(self) -> None:
        if self.stack:
            self.stack[-1].key = _NO_KEY
            self.stack[-1].count += 1
