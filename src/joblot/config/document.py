"""Files of other packages, read by the rules of batch files: the same limits, and problems with their positions.

It does not know what keys mean: whoever reads a document says what is wrong with its values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from joblot.config.source import MIB, SIZE_LIMITS, Format, ParsedText, parse
from joblot.config.tree import Problem, inspect
from joblot.core.written import RawScalar, plain
from joblot.errors import ConfigError, Diagnostic

if TYPE_CHECKING:
    from collections.abc import Iterable


class Document:
    """The data of a file or a program, and what is wrong with it.

    `data` is plain: texts, numbers, truth values, None, lists, mappings with texts as keys. What aliases repeat is one and the same object.
    A value is named by the keys that lead to it, such as `("codes", 0)`.
    """

    def __init__(self, data: Any, *, file: str = "") -> None:
        self._set(ParsedText(data, file))

    @classmethod
    def parse(cls, text: str, *, file: str = "", format: Format = "yaml") -> Document:
        """The document that a text holds; `file` is what messages call it.

        Keys that stand twice and the like are told by `raise_problems`, together with all else.

        Raises:
            ConfigError: the text cannot be read to its end, or holds what no batch may hold either.
        """
        if len(text) > SIZE_LIMITS[format]:
            raise ConfigError([Diagnostic("file", f"larger than {SIZE_LIMITS[format] // MIB} MiB", file=file)])
        source = parse(text.removeprefix("\ufeff"), file, format, "file")
        problems: list[Problem] = []
        inspect(source.data, (), problems)
        if problems:
            raise ConfigError(source.diagnostics([*source.problems, *problems]))
        document = cls(None)
        document._set(source)
        return document

    def written(self, keys: Iterable[str | int]) -> str | None:
        """The text, number or truth value there as it was typed: `1.10`, `1e3`, `True`; None where there is none.

        Of numbers in JSON and TOML no more is known than what they are.
        """
        value = self._source.data
        try:
            for key in keys:
                value = None if isinstance(value, str) else value[key]
        except (LookupError, TypeError):
            return None
        if isinstance(value, RawScalar):
            return value.text
        if isinstance(value, bool):
            return str(value).lower()
        return str(value) if isinstance(value, (str, int, float)) else None

    def add_problem(
        self, keys: Iterable[str | int], message: str, *, hint: str = "", code: str = "value", at_key: bool = False
    ) -> None:
        """Note what is wrong with the value there, or with its key; where nothing stands there, with what is around it."""
        self._problems.append(Problem(code, message, tuple(keys), hint, at_key))

    def raise_problems(self) -> None:
        """Raise what was noted, in the order of the file.

        Raises:
            ConfigError: something was.
        """
        if self._problems:
            raise ConfigError(self._source.diagnostics(self._problems))

    def _set(self, source: ParsedText) -> None:
        self._source = source
        self._problems = list(source.problems)
        self.data: Any = plain(source.data)
