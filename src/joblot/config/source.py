"""A batch file on disk, or a text, as plain data with the means to say where each value stands.

Knows how files fail and which format they are in; the formats have a module each.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, Literal

from msgspec import Struct

from joblot.config.tree import BrokenTextError, Position, Positions, Problem, Wanted, to_diagnostics
from joblot.errors import ConfigError, Diagnostic
from joblot.files import reason_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Format = Literal["yaml", "json", "toml"]

MIB: Final = 1 << 20
SIZE_LIMITS: Final[dict[str, int]] = {"json": 256 * MIB, "yaml": 16 * MIB, "toml": 16 * MIB}
_ESCAPES: Final[dict[str, tuple[str, ...]]] = {
    "json": ("\\u", "\\b", "\\f", "\\r", "\x7f"),
    "yaml": ("\\",),
    "toml": ("\\", "\x7f"),
}
"""Without these, and in ASCII, no text in a document can hold a character that a batch may not hold: the parsers see to the rest."""


class ParsedText(Struct, frozen=True):
    """A parsed text. `positions` are those of the jobs; `clean` says that no text in it can hold a character that is not allowed."""

    data: Any
    file: str = ""
    text: str = ""
    positions: list[Position] = []
    clean: bool = False
    problems: list[Problem] = []
    lines: Callable[[], list[str]] = list
    locate: Callable[[Wanted], Positions] = lambda _: {}

    def diagnostics(self, problems: Iterable[Problem]) -> list[Diagnostic]:
        """The problems with their positions, in the order of the file."""
        return to_diagnostics(problems, file=self.file, lines=self.lines, locate=self.locate)


def format_of(path: str | os.PathLike[str]) -> Format:
    """The format that a file's ending stands for; YAML when it stands for none."""
    ending = os.path.splitext(os.fspath(path))[1].lower()  # noqa: PTH122 - pathlib costs start-up time
    return "json" if ending == ".json" else "toml" if ending == ".toml" else "yaml"


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a batch file.

    Raises:
        ConfigError: there is no such file, or it cannot be read, or it is too large.
    """
    shown = os.fspath(path)
    limit = SIZE_LIMITS[format_of(path)]
    try:
        with open(path, "rb") as stream:  # noqa: PTH123
            content = stream.read(limit + 1)
    except FileNotFoundError:
        raise _refused(f"no such file: `{shown}`") from None
    except IsADirectoryError:
        raise _refused(f"a directory, not a batch file: `{shown}`") from None
    except (OSError, ValueError) as error:
        raise _refused(f"cannot read `{shown}`: {reason_of(error)}") from None
    if len(content) > limit:
        raise _refused(
            f"larger than {limit // MIB} MiB: `{shown}`", hint="large batches are read from JSON, up to 256 MiB"
        )
    return content


def _refused(message: str, *, hint: str = "") -> ConfigError:
    return ConfigError([Diagnostic("file", message, hint=hint)])


def decode_text(content: bytes, shown: str) -> str:
    """The text of a batch file, without a byte order mark.

    Raises:
        ConfigError: not UTF-8.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _refused(f"not UTF-8 text: `{shown}` (byte {error.start})", hint="save the file as UTF-8") from None


def parse(text: str, file: str, kind: Format, noun: str = "batch file") -> ParsedText:
    """The document that a text holds; what can be reported together with other problems stands in its `problems`.

    `noun` is what messages call it.

    Raises:
        ConfigError: the text cannot be read to its end.
    """
    if kind == "json":
        from joblot.config import jsontext as reader
    elif kind == "toml":
        from joblot.config import tomltext as reader  # type: ignore[no-redef]
    else:
        from joblot.config import yaml12 as reader  # type: ignore[no-redef]
    problems: list[Problem] = []
    lines = lambda: reader.lines(text)  # noqa: E731
    locate = lambda key_tree: reader.locate(text, key_tree)  # noqa: E731
    try:
        data, positions = reader.parse(text, problems, noun)
    except BrokenTextError as error:
        problems.append(error.problem)
        raise ConfigError(to_diagnostics(problems, file=file, lines=lines, locate=locate)) from None
    clean = text.isascii() and not any(part in text for part in _ESCAPES[kind])
    return ParsedText(data, file, text, positions, clean, problems, lines, locate)
