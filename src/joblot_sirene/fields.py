"""The keys of a mapping in a job file or a file of profiles, read one by one; problems are added to its document.

It knows no key: whoever reads a mapping reads the keys that it knows, and `finish` refuses the others.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from joblot_sirene.errors import SireneError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from joblot import Document

CODE = "sirene"
"""The code of everything that is wrong with what a file says, as JSON shows it."""


class Fields:
    """The mapping to which the keys of `path` lead. Where there is none it has no keys."""

    def __init__(self, document: Document, *path: str) -> None:
        self.document = document
        self.path = path
        value = document.data
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        self._read_keys: set[str] = set()
        self._values: dict[str, Any] = value if isinstance(value, dict) else {}
        if value is not None and not isinstance(value, dict):
            self.add_problem(None, f"{self._name()} must be a mapping of keys, not {quoted(value)}")

    def section(self, key: str) -> Fields:
        """The mapping inside this one."""
        self._read_keys.add(key)
        return Fields(self.document, *self.path, key)

    def add_problem(self, key: str | None, message: str, hint: str = "", *, at_key: bool = False) -> None:
        """Note a problem of a value, of its key, or of the mapping itself."""
        keys = self.path if key is None else (*self.path, key)
        self.document.add_problem(keys, message, hint=hint, code=CODE, at_key=at_key)

    def add_mismatch(self, key: str, expected: str, hint: str = "") -> None:
        """Note that the value of a key is not what is expected."""
        self.add_problem(
            key, f"{self._name(key)} must be {expected}, not {quoted(self.written(key) or self.raw(key))}", hint
        )

    def raw(self, key: str) -> Any:
        """The value as it is in the file, or None."""
        self._read_keys.add(key)
        return self._values.get(key)

    def written(self, key: str) -> str | None:
        """A text, number or truth value as it was typed, or None."""
        self._read_keys.add(key)
        return self.document.written((*self.path, key))

    def flag(self, key: str, default: bool) -> bool:
        """A `true` or `false`."""
        value = self.raw(key)
        if value is not None and not isinstance(value, bool):
            self.add_mismatch(key, "`true` or `false`")
        return value if isinstance(value, bool) else default

    def number(
        self, key: str, default: float | None, *, least: float = 0, most: float = inf, whole: bool = False
    ) -> Any:
        """A number within its bounds."""
        value = self.raw(key)
        is_number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        if is_number and least <= value <= most:
            return value
        if value is not None:
            bounds = f"of {least} or more" if most == inf else f"from {least} to {most}"
            self.add_mismatch(key, f"a {'whole ' if whole else ''}number {bounds}")
        return default

    def choice(self, key: str, choices: Sequence[str], default: str | None) -> str | None:
        """One of the choices."""
        text = self.written(key)
        if text in choices:
            return text
        if self.raw(key) is not None:
            *others, last = (f"`{choice}`" for choice in choices)
            self.add_mismatch(
                key, f"{', '.join(others)} or {last}" if others else last, did_you_mean(text or "", choices)
            )
        return default

    def text(self, key: str, default: str | None = None) -> str | None:
        """One text; a number is taken as it was typed."""
        text = self.written(key)
        if not text and self.raw(key) is not None:
            self.add_mismatch(key, "a text")
        return text or default

    def texts(
        self, key: str, read: Callable[[str], str | None], expected: str, *, known: Iterable[str] = ()
    ) -> tuple[str, ...]:
        """A list of texts or numbers as they were typed (a single one stands for a list of it), each passed through `read`.

        `read` returns None for what it does not accept, or raises a `SireneError`. `known` are texts to suggest. Repeats are dropped.
        """
        value = self.raw(key)
        is_list = isinstance(value, list)
        results: dict[str, None] = {}  # a set that keeps its order
        for number, item in enumerate(value if isinstance(value, list) else [] if value is None else [value]):
            keys: tuple[str | int, ...] = (*self.path, key, number) if is_list else (*self.path, key)
            text = self.document.written(keys)
            try:
                result = None if text is None else read(text)
            except SireneError as error:
                self.document.add_problem(keys, error.message, hint=error.hint, code=CODE)
                continue
            if result is None:
                message = f"{self._name(key)}: {quoted(text or item)} is not {expected}"
                self.document.add_problem(keys, message, hint=did_you_mean(text or "", known), code=CODE)
            else:
                results[result] = None
        return tuple(results)

    def finish(self, *, unlisted: Iterable[str] = ()) -> None:
        """Note every key that was not read. Of those that are, the hint does not name the unlisted."""
        listed = self._read_keys.difference(unlisted)
        for key in self._values:
            if key not in self._read_keys:
                hint = did_you_mean(key, listed) or f"known keys: {', '.join(sorted(listed))}"
                self.add_problem(key, f"unknown key {self._name(key)}", hint, at_key=True)

    def _name(self, *key: str) -> str:
        return quoted(".".join((*self.path, *key)) or "the document")


def quoted(value: Any, most: int = 60) -> str:
    """A value for an error message: in backticks, at most so many characters, none of which could confuse a terminal."""
    if isinstance(value, (dict, list)):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    text = "".join(char if char.isprintable() and char != "`" else "?" for char in text[: most + 1])
    return f"`{text if len(text) <= most else text[:most] + '...'}`"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint that names the nearest known words, or an empty text."""
    from difflib import get_close_matches

    found = get_close_matches(word[:100], list(known), n=2, cutoff=0.6)
    return f"did you mean {' or '.join(f'`{name}`' for name in found)}?" if found else ""
