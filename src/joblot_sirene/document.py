"""YAML texts with the place of every key and value, and a checker that finds everything wrong at once.

Codes keep their zeros: a scalar with a zero in front (`01`, `04000`) is text, and so is a date. Nothing here knows what keys mean.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NoReturn, Self

from joblot import ConfigError, Diagnostic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Path = tuple[str | int, ...]

_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}


class Decimal(float):
    """A number that remembers how it was written, because `43.20` may be a code."""

    def __new__(cls, text: str) -> Self:
        """The number that a text writes."""
        number = super().__new__(cls, text)
        number.text = text
        return number

    text: str

    def __str__(self) -> str:
        return self.text


class Document:
    """A tree of plain values, and where each of them stands (line and column from 1) when it came from a text."""

    def __init__(
        self, tree: Any, *, file: str = "", spots: dict[Path, tuple[int, int]] | None = None, lines: Sequence[str] = ()
    ) -> None:
        self.tree = tree
        self.file = file
        self._spots = {} if spots is None else spots
        self._lines = lines

    def diagnostic(self, path: Path, message: str, hint: str = "", *, severity: str = "error") -> Diagnostic:
        """One finding at a place of the tree, or at the nearest place above it that is known."""
        place = path
        while place and place not in self._spots:
            place = place[:-1]
        line, column = self._spots.get(place, (0, 0))
        source = self._lines[line - 1] if 0 < line <= len(self._lines) else ""
        return Diagnostic("sirene", message, written(path), self.file, line, column, source, hint, severity)


def read(text: str, *, file: str = "") -> Document:
    """The document of a YAML text.

    Raises:
        ConfigError: the text is not YAML, has several documents, a key twice, or a value that contains itself.
    """
    import yaml

    spots: dict[Path, tuple[int, int]] = {}
    lines = text.splitlines()
    try:
        node = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        message = str(getattr(error, "problem", None) or "cannot be read").splitlines()[0]
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (0, 0)
        source = lines[line - 1] if 0 < line <= len(lines) else ""
        raise ConfigError([Diagnostic("yaml", f"not YAML: {message}", "", file, line, column, source)]) from None
    reader = Document(None, file=file, spots=spots, lines=lines)
    tree = None if node is None else _build(node, (), spots, reader, set())
    return Document(tree, file=file, spots=spots, lines=lines)


def plain(tree: Any) -> Any:
    """A tree whose numbers have forgotten how they were written."""
    if isinstance(tree, dict):
        return {key: plain(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [plain(value) for value in tree]
    return float(tree) if isinstance(tree, Decimal) else tree


def written(path: Path) -> str:
    """A place as people write it: `filters.created.from`, `steps[2]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _build(node: Any, path: Path, spots: dict[Path, tuple[int, int]], document: Document, above: set[int]) -> Any:
    import yaml

    spots.setdefault(path, (node.start_mark.line + 1, node.start_mark.column + 1))
    if id(node) in above:
        raise ConfigError([document.diagnostic(path, "a value that contains itself", "write it without an alias")])
    inside = {*above, id(node)}
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, spots, document, inside)
    if isinstance(node, yaml.SequenceNode):
        return [_build(item, (*path, index), spots, document, inside) for index, item in enumerate(node.value)]
    return _scalar(node)


def _mapping(
    node: Any, path: Path, spots: dict[Path, tuple[int, int]], document: Document, inside: set[int]
) -> dict[str, Any]:
    import yaml

    tree: dict[str, Any] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise ConfigError([document.diagnostic(path, "a key must be a word", "quote it")])
        here = (*path, key.value)
        spots[here] = (key.start_mark.line + 1, key.start_mark.column + 1)
        if key.value in tree:
            raise ConfigError([document.diagnostic(here, f"the key `{key.value}` is there twice", "keep one of them")])
        tree[key.value] = _build(value, here, spots, document, inside)
    return tree


def _scalar(node: Any) -> Any:
    text: str = node.value
    if node.style in {"'", '"', "|", ">"}:
        return text
    if text.casefold() in _WORDS:
        return _WORDS[text.casefold()]
    if re.fullmatch(r"[-+]?(0|[1-9]\d*)", text):
        return int(text)
    if re.fullmatch(r"[-+]?(0|[1-9]\d*)\.\d+", text):
        return Decimal(text)
    return text


class Checker:
    """Reads a mapping of a document key by key; what is wrong is noted, and all of it raised at the end."""

    def __init__(self, document: Document, path: Path = (), problems: list[Diagnostic] | None = None) -> None:
        self.document = document
        self.path = path
        self.problems: list[Diagnostic] = [] if problems is None else problems
        tree = document.tree
        for part in path:
            tree = tree[part]
        self._asked: set[str] = set()
        if tree is None:
            tree = {}
        elif not isinstance(tree, dict):
            self.wrong(None, f"{self._name(None)} must be a mapping of keys, not {shown(tree)}")
            tree = {}
        self.tree: dict[str, Any] = tree

    def section(self, key: str) -> Checker:
        """The checker of a mapping inside this one; problems go to the same list."""
        self._asked.add(key)
        return (
            Checker(self.document, (*self.path, key), self.problems)
            if key in self.tree
            else Checker(Document({}), (), self.problems)
        )

    def wrong(self, key: str | int | None, message: str, hint: str = "") -> None:
        """Note what is wrong with a key (or with the mapping itself)."""
        self.problems.append(self.document.diagnostic(self.path if key is None else (*self.path, key), message, hint))

    def has(self, key: str) -> bool:
        """Whether the key is there with a value."""
        return self.tree.get(key) is not None

    def raw(self, key: str) -> Any:
        """The value as it stands, or None."""
        self._asked.add(key)
        return self.tree.get(key)

    def flag(self, key: str, default: bool) -> bool:
        """A `true` or `false`."""
        value = self.raw(key)
        if value is None or isinstance(value, bool):
            return default if value is None else value
        self.wrong(key, f"{self._name(key)} must be `true` or `false`, not {shown(value)}")
        return default

    def number(
        self, key: str, default: float | None, *, least: float = 0, most: float | None = None, whole: bool = False
    ) -> Any:
        """A number within its bounds."""
        value = self.raw(key)
        if value is None:
            return default
        kinds = int if whole else (int, float)
        if (
            isinstance(value, bool)
            or not isinstance(value, kinds)
            or value < least
            or (most is not None and value > most)
        ):
            bounds = f"of {least} or more" if most is None else f"from {least} to {most}"
            self.wrong(
                key, f"{self._name(key)} must be a {'whole ' if whole else ''}number {bounds}, not {shown(value)}"
            )
            return default
        return value

    def choice(self, key: str, choices: Sequence[str], default: str | None) -> str | None:
        """One of some words."""
        value = self.raw(key)
        if value is None or value in choices:
            return default if value is None else str(value)
        self.wrong(
            key, f"{self._name(key)} must be {_either(choices)}, not {shown(value)}", did_you_mean(str(value), choices)
        )
        return default

    def text(self, key: str, default: str | None = None) -> str | None:
        """One text."""
        value = self.raw(key)
        if value is None or (isinstance(value, str) and value):
            return default if value is None else value
        self.wrong(key, f"{self._name(key)} must be a text, not {shown(value)}")
        return default

    def words(
        self, key: str, read: Callable[[str], str | None], expected: str, *, known: Iterable[str] = ()
    ) -> tuple[str, ...]:
        """A list of texts or numbers (or one alone), each passed through `read`, which says None to what it does not accept.

        `known` are words to hint at.
        """
        value = self.raw(key)
        items = value if isinstance(value, list) else [] if value is None else [value]
        found: list[str] = []
        for index, item in enumerate(items):
            one = read(str(item)) if isinstance(item, (str, int, float)) and not isinstance(item, bool) else None
            if one is None:
                place = (*self.path, key, index) if isinstance(value, list) else (*self.path, key)
                self.problems.append(
                    self.document.diagnostic(
                        place, f"{self._name(key)}: {shown(item)} is not {expected}", did_you_mean(str(item), known)
                    )
                )
            elif one not in found:
                found.append(one)
        return tuple(found)

    def finish(self) -> None:
        """Note every key that nobody asked for."""
        for key in self.tree:
            if key not in self._asked:
                self.wrong(
                    key,
                    f"unknown key `{written((*self.path, key))}`",
                    did_you_mean(key, self._asked) or f"known keys: {', '.join(sorted(self._asked))}",
                )

    def done(self) -> None:
        """Raise everything that was noted, in the order of the file.

        Raises:
            ConfigError: at least one thing is wrong.
        """
        if self.problems:
            raise ConfigError(sorted(self.problems, key=lambda problem: (problem.line, problem.column)))

    def _name(self, key: str | None) -> str:
        return f"`{written(self.path if key is None else (*self.path, key)) or 'the document'}`"


def refuse(document: Document, path: Path, message: str, hint: str = "") -> NoReturn:
    """Raise one thing that is wrong."""
    raise ConfigError([document.diagnostic(path, message, hint)])


def shown(value: Any) -> str:
    """A value in an error message: short, and without anything that could confuse a terminal."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    text = "".join(char if char.isprintable() and char != "`" else "?" for char in text)
    return f"`{text if len(text) <= 60 else text[:60] + '...'}`"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint that names the nearest known words, or an empty text."""
    from difflib import get_close_matches

    found = get_close_matches(word, list(known), n=2, cutoff=0.6)
    return f"did you mean {' or '.join(f'`{name}`' for name in found)}?" if found else ""


def _either(choices: Sequence[str]) -> str:
    quoted = [f"`{choice}`" for choice in choices]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"
