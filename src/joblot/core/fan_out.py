"""Jobs made from items: a declaration with a `FanOut` stands for as many jobs as it has items. Part of the core: pure.

Texts of the declaration are compiled once, to what is the same for all jobs and what an item gives; a job is then made on demand, by its
number. Where items come from, and checking them, is up to `config`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product, repeat
from math import prod
from typing import Any, Final

import msgspec

from joblot.core.model import DEFERRABLE, VARYING, FanOut, JobSpec
from joblot.core.names import LONGEST_NAME, is_plain_word
from joblot.core.patterns import as_literal
from joblot.core.references import (
    LATER,
    LITERAL,
    OF_FILES,
    OF_ITEM,
    OPENING,
    Reference,
    as_text,
    descend,
    protect,
    references,
    split,
)
from joblot.digest import blake2b

Item = Sequence[Any]
"""The values of one item, in the order of the columns."""
Fill = Callable[[Item], Any]

_TUPLES: Final = frozenset({"needs", "outputs"})
_LISTS: Final = frozenset({*_TUPLES, "run", "input"})
_TYPED: Final = frozenset({"params", "given", "if_"})
"""The fields whose values keep their types."""
_RESERVED: Final = ("con", "prn", "aux", "nul", "com", "lpt")
"""How the names that Windows reserves begin."""
_NOT_IN_NAMES: Final = r"[^A-Za-z0-9._-]+|\.(?=\.)"
_HASH_LENGTH: Final = 8


class Making(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the jobs of a declaration make: its outputs, with references to the items of `fan_out` where it has them."""

    outputs: tuple[str, ...]
    fan_out: FanOut | None = None


class FanOutJobs:
    """The jobs that one declaration stands for, numbered from 0."""

    def __init__(self, spec: JobSpec) -> None:
        fan = spec.fan_out
        assert fan is not None, "BUG: not a fan-out"
        self._spec = spec
        self._fan = fan
        self._columns = list(fan.columns)
        self._values = list(fan.columns.values())
        # Once for all items: a million of them would read the same templates a million times. A text for the shell keeps its references.
        self._fills = {
            field: self._fill_of(field, value)
            for field, value in ((field, getattr(spec, field)) for field in (*VARYING, "if_") if field != "name")
            if _varies(value) and not (field == "run" and isinstance(value, str) and _has_reference(value))
        }
        given = self._given()
        if given:
            self._fills["given"] = _compiled(given, self._column, keep=spec.deferred)
        filled = _has_reference(spec.name)
        self._name = _compiled_name(spec.name, self._column) if filled else self._name_and_item()

    def __len__(self) -> int:
        return count_items(self._fan)

    def item(self, number: int) -> tuple[Any, ...]:
        """The values of an item, in the order of the columns."""
        if self._fan.kind == "rows":
            return tuple([column[number] for column in self._values])
        values = []
        for axis in reversed(self._values):  # the last axis turns fastest, as nested loops do
            number, index = divmod(number, len(axis))
            values.append(axis[index])
        return tuple(values[::-1])

    def items(self) -> Iterator[Item]:
        """All items, in order."""
        return zip(*self._values, strict=True) if self._fan.kind == "rows" else product(*self._values)

    def shown(self, number: int) -> str:
        """An item for people: `code=6920Z, day=1`."""
        pairs = zip(self._columns, self.item(number), strict=True)
        return ", ".join(f"{name}={as_text(value)}" if name else as_text(value) for name, value in pairs)

    def names(self) -> list[str]:
        """The names of all jobs."""
        pieces = split(self._spec.name)
        columns = [self._column(piece) for piece in pieces if isinstance(piece, Reference)]
        if not columns or any(parts for _, parts in columns):
            return list(map(self._name, self.items()))
        text = "".join("%s" if isinstance(piece, Reference) else piece.replace("%", "%%") for piece in pieces)
        names = self._plain_names(text, [index for index, _ in columns])
        return names if max(map(len, names), default=0) <= LONGEST_NAME else list(map(shortened, names))

    def _plain_names(self, text: str, columns: list[int]) -> list[str]:
        """The names of all jobs, of a format and the numbers of the columns whose values stand in it."""
        # Most names are made of plain columns: each value becomes a word once, however many jobs have it.
        words = {index: list(map(word, self._values[index])) for index in columns}
        if self._fan.kind == "rows":
            return list(map(text.__mod__, zip(*(words[index] for index in columns), strict=True)))
        rows = product(*(words.get(index, values) for index, values in enumerate(self._values)))
        if columns == list(range(len(self._values))):
            return [text % row for row in rows]
        return [text % tuple([row[index] for index in columns]) for row in rows]

    @property
    def pattern(self) -> str:
        """The names of all jobs as a pattern."""
        return pattern_of(self._spec.name)

    @property
    def names_always_valid(self) -> bool:
        """Whether the names are valid whatever the items are."""
        first = split(self._spec.name)[0]
        if not isinstance(first, str) or not first[:1].isalnum():
            return False
        start = first.lower()
        return not any(start.startswith(name) or name.startswith(start) for name in _RESERVED)

    def values(self, field: str) -> Iterator[Any]:
        """What a field holds in each job, in order."""
        fill = self._fills.get(field)
        if fill is None:
            return repeat(getattr(self._spec, field), len(self))
        if field in _TUPLES:
            return (tuple(_texts(field, fill(item))) for item in self.items())
        return (_texts(field, fill(item)) for item in self.items())

    def spec(self, number: int, name: str) -> JobSpec:
        """A job of its own, with everything that the item gives filled in."""
        if not self._fills:
            return msgspec.structs.replace(self._spec, name=name, fan_out=None)
        item = self.item(number)
        changes: dict[str, Any] = {
            field: fill(item) if field in _TYPED else _texts(field, fill(item)) for field, fill in self._fills.items()
        }
        for field in _TUPLES & changes.keys():
            changes[field] = tuple(changes[field])
        return msgspec.structs.replace(self._spec, name=name, fan_out=None, **changes)

    def _fill_of(self, field: str, value: Any) -> Fill:
        if field == "needs":
            needs = [_compiled_name(need, self._column) if _has_reference(need) else _constant(need) for need in value]
            return lambda item: [need(item) for need in needs]
        keep = self._spec.deferred and field in (*DEFERRABLE, "if_")
        if field == "input" and self._spec.patterns:
            return self._input_with_patterns(value, keep=keep)
        return _compiled(value, self._column, keep=keep)

    def _input_with_patterns(self, value: Any, *, keep: bool) -> Fill:
        """In patterns what an item gives stands for itself."""
        patterns, many = self._spec.patterns, isinstance(value, list)
        entries = value if many else [value]
        fills = [
            _compiled(entry, self._column, keep=keep, in_pattern=at in patterns) for at, entry in enumerate(entries)
        ]
        return (lambda item: [fill(item) for fill in fills]) if many else fills[0]

    def _given(self) -> dict[str, Any]:
        """What references of the command stand for. Earlier programs kept those to the item in the text alone."""
        run = self._spec.run
        names = [one.text for one in references(run) if one.root in OF_ITEM] if isinstance(run, str) else []
        return {**{name: f"{OPENING} {name} }}}}" for name in names}, **(self._spec.given or {})}

    def _name_and_item(self) -> Callable[[Item], str]:
        """A name without references gets the item appended: as a whole, or all its values."""
        name = self._spec.name
        if "" in self._columns:
            whole = self._columns.index("")
            return lambda item: named(name, (item[whole],))
        return lambda item: named(name, item)

    def _column(self, reference: Reference) -> tuple[int, list[str]]:
        """Which column a reference means, and the parts that lead into its values."""
        parts = reference.parts[1:]
        if parts and parts[0] in self._columns:
            return self._columns.index(parts[0]), parts[1:]
        return self._columns.index(""), parts


def count_items(fan: FanOut) -> int:
    """How many jobs a fan-out stands for."""
    sizes = [len(column) for column in fan.columns.values()]
    return 0 if not sizes else sizes[0] if fan.kind == "rows" else prod(sizes)


def count_jobs(specs: Iterable[JobSpec]) -> int:
    """How many jobs declarations stand for, before any is made from a result."""
    fans = (spec.fan_out for spec in specs)
    return sum(1 if fan is None or fan.kind == "result" else count_items(fan) for fan in fans)


def making_of(spec: JobSpec) -> Making:
    """What a declaration's jobs make. Of the items only what the outputs refer to: the rest is nobody's affair."""
    fan, roots = spec.fan_out, references(list(spec.outputs))
    if fan is None or not roots:
        return Making(spec.outputs)
    wanted = {part for root in roots for part in ("", *root.parts[1:2])}
    columns = {name: values for name, values in fan.columns.items() if name in wanted}
    return Making(spec.outputs, FanOut(fan.kind, columns))


def outputs_of(making: Making) -> Iterable[str]:
    """The outputs of all its jobs, one by one."""
    if making.fan_out is None:
        return making.outputs
    jobs = FanOutJobs(JobSpec(name="job", outputs=making.outputs, fan_out=making.fan_out))
    return (path for paths in jobs.values("outputs") for path in paths)


def pattern_of(name: str) -> str:
    """The names of a fan-out's jobs as a pattern: what an item gives may be anything."""
    pieces = split(name)
    text = "".join("*" if isinstance(piece, Reference) else piece for piece in pieces)
    return text if len(pieces) > 1 or any(isinstance(piece, Reference) for piece in pieces) else f"{text}-*"


def _texts(field: str, value: Any) -> Any:
    """The value of a field, with all that an item gave as texts. Only `input` may be null, or become a list."""
    if isinstance(value, str) or (value is None and field == "input"):
        return value
    if isinstance(value, list) and field in _LISTS:
        return [as_text(item) for item in value]
    return {key: as_text(item) for key, item in value.items()} if field == "env" else as_text(value)


def _has_reference(text: str) -> bool:
    return OPENING in text and any(isinstance(piece, Reference) for piece in split(text))


def _constant(value: Any) -> Fill:
    return lambda _: value


def _varies(value: Any) -> bool:
    if isinstance(value, str):
        return OPENING in value
    if isinstance(value, dict):
        return any(_varies(item) for item in value.values())
    return isinstance(value, (list, tuple)) and any(_varies(item) for item in value)


def _compiled(value: Any, column: Callable[[Reference], Any], *, keep: bool, in_pattern: bool = False) -> Fill:
    """A function from an item to the value with the item filled in. With `keep` what it makes is a template again."""
    if isinstance(value, str) and OPENING in value:
        return _compiled_text(value, column, keep, in_pattern)
    if isinstance(value, dict):
        fills = {key: _compiled(item, column, keep=keep) for key, item in value.items()}
        return lambda item: {key: fill(item) for key, fill in fills.items()}
    if isinstance(value, (list, tuple)):
        each = [_compiled(item, column, keep=keep) for item in value]
        return lambda item: [fill(item) for fill in each]
    return lambda _: value


def _compiled_text(text: str, column: Callable[[Reference], Any], keep: bool, in_pattern: bool) -> Fill:
    parts = [_compiled_piece(piece, column, keep=keep, in_pattern=in_pattern) for piece in split(text)]
    if len(parts) == 1:
        only = parts[0]
        return only if callable(only) else lambda _: only

    def fill(item: Item) -> str:
        return "".join([as_text(part(item)) if callable(part) else part for part in parts])

    return fill


def _compiled_piece(
    piece: str | Reference, column: Callable[[Reference], Any], *, keep: bool, in_pattern: bool = False
) -> str | Fill:
    if isinstance(piece, str):
        return piece.replace(OPENING, LITERAL) if keep else piece
    if piece.root in LATER or piece.root in OF_FILES:
        return f"{OPENING} {piece.text} }}}}"
    index, parts = column(piece)

    def value(item: Item) -> Any:
        inner = descend(piece, piece.root, parts, item[index]) if parts else item[index]
        inner = as_literal(as_text(inner)) if in_pattern else inner
        return protect(inner) if keep else inner

    return value


def _compiled_name(name: str, column: Callable[[Reference], Any]) -> Callable[[Item], str]:
    """A function from an item to a job's name."""
    parts = [_compiled_piece(piece, column, keep=False) for piece in split(name)]

    def fill(item: Item) -> str:
        text = "".join([part if type(part) is str else word(part(item)) for part in parts])  # type: ignore[operator]
        return text if len(text) <= LONGEST_NAME else shortened(text)

    return fill


def named(name: str, item: Item) -> str:
    """The name of an item's job: the declaration's, and the item's values behind it, but for those that are null."""
    words = [word(value) for value in item if value is not None] or [word(None)]
    return shortened("-".join([name, *words]))


def word(value: Any) -> str:
    """A value as a part of a name: what a name cannot hold becomes `-`, accents are dropped; never empty."""
    text = as_text(value)
    if is_plain_word(text):
        return text
    if not text.isascii():
        from unicodedata import normalize

        text = "".join(char for char in normalize("NFKD", text) if char.isascii() or char.isspace())
    text = re.sub(_NOT_IN_NAMES, "-", text).strip("-.")
    return text or blake2b(as_text(value).encode("utf-8", "surrogatepass"), digest_size=_HASH_LENGTH // 2).hexdigest()


def shortened(name: str) -> str:
    """A name that is not too long: the end of one that is becomes a hash of the whole."""
    if len(name) <= LONGEST_NAME:
        return name
    digest = blake2b(name.encode(), digest_size=_HASH_LENGTH // 2).hexdigest()
    return f"{name[: LONGEST_NAME - _HASH_LENGTH - 1].rstrip('.')}-{digest}"
