"""A template as literal text and variables, and what fills them.

`{name}` is a variable if that name is known, `{{` and `}}` that belong together are braces, and every other brace is what it is:
`{a: {b: 1}}` stays. What belongs to others is left alone to the character: references of joblot (`${{ ... }}`) and variables of the
shell (`${HOME}`). It does not know what the text is written in.
"""

from __future__ import annotations

import os
import re
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple
from unicodedata import category, normalize

from joblot.errors import ConfigError, Diagnostic, UsageError, did_you_mean
from joblot.files import reason_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

MOST_BYTES: Final = 16 << 20
"""No template and no list of items is larger."""
NAME: Final = re.compile("[^\\W\\d][\\w\u0300-\u036f]*")
"""What a variable may be called, with accents as parts of letters or on their own."""
_MARK: Final = re.compile(
    r"(?P<kept>\$\{\{\s*[^\n]*?\s*\}\}|\$\{\{)"  # a reference of joblot, whatever stands in it
    rf"|\$\{{(?P<shell>{NAME.pattern})\}}|(?P<pair>\{{\{{|\}}\}})|\{{(?P<name>{NAME.pattern})\}}|[{{}}]"
)
_UNFIT: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Control characters, halves of surrogate pairs, and what some readers take for the end of a line."""


class Piece(NamedTuple):
    """Literal text, or with a `name` the variable that stands in its place; `offset` is where it begins in the template."""

    text: str
    offset: int
    name: str = ""


class Template:
    """A template's text, cut into pieces. `file` is what messages and the headers of generated files call it."""

    def __init__(self, text: str, *, file: str) -> None:
        self.text = text
        self.file = file
        self.pieces: Sequence[Piece] = tuple(_merged(_split(text)))
        self.variables: Sequence[Piece] = tuple(piece for piece in self.pieces if piece.name)

    @cached_property
    def names(self) -> frozenset[str]:
        """The names of all variables in it."""
        return frozenset(piece.name for piece in self.variables)

    @cached_property
    def _shell(self) -> list[Piece]:
        return [
            Piece(match[0], match.start(), normalize("NFC", match["shell"]))
            for match in _MARK.finditer(self.text)
            if match["shell"]
        ]

    def problems(self, known: Collection[str]) -> list[Diagnostic]:
        """The variables that are not known, and those that could be the shell's as well as the template's."""
        unknown = [self._unknown(piece, known) for piece in self.variables if piece.name not in known]
        unclear = [self._unclear(piece) for piece in self._shell if piece.name in known]
        return sorted(unknown + unclear, key=lambda problem: (problem.line, problem.column))

    def fill(self, texts: Sequence[str]) -> str:
        """The text with the variables replaced, `texts[n]` for the n-th of them."""
        values = iter(texts)
        return "".join(next(values) if piece.name else piece.text for piece in self.pieces)

    def diagnostic(self, code: str, message: str, offset: int, *, hint: str = "") -> Diagnostic:
        """Something wrong at an offset of the template."""
        before = self.text[:offset]
        start = before.rfind("\n") + 1
        source = self.text[start:].split("\n", 1)[0].rstrip("\r")
        line = before.count("\n") + 1
        return Diagnostic(code, message, "", self.file, line, offset - start + 1, source, hint)

    def origin(self, texts: Sequence[str], offset: int) -> int:
        """Where in the template an offset of `fill(texts)` comes from."""
        values = iter(texts)
        at = 0
        for piece in self.pieces:
            length = len(next(values)) if piece.name else len(piece.text)
            if offset < at + length:
                return piece.offset if piece.name else piece.offset + offset - at
            at += length
        return len(self.text)

    def _unknown(self, piece: Piece, known: Collection[str]) -> Diagnostic:
        listed = ", ".join(f"`{name}`" for name in sorted(known)[:8])
        hint = did_you_mean(piece.name, known) or (f"known: {listed}." if known else "no variable was given.")
        hint = f"{hint} For the characters themselves write `{{{piece.text}}}`"
        return self.diagnostic("variable", f"unknown variable `{piece.name}`", piece.offset, hint=hint)

    def _unclear(self, piece: Piece) -> Diagnostic:
        message = f"`{piece.text}` may be the shell's variable or the template's"
        hint = f"write `${piece.name}` for the shell's, or give the template's another name"
        return self.diagnostic("variable", message, piece.offset, hint=hint)


def _split(text: str) -> Iterator[Piece]:
    at = 0
    doubled: list[bool] = []  # of each brace that is open, whether it was written twice
    while match := _MARK.search(text, at):
        start, mark = match.span()[0], match[0]
        yield Piece(text[at:start], at)
        at = match.end()
        if match["name"]:
            yield Piece(mark, start, normalize("NFC", match["name"]))
        elif mark == "}}" and doubled and not doubled[-1]:
            doubled.pop()
            at = start + 1
            yield Piece("}", start)
        elif match["pair"]:
            _track(doubled, mark)
            yield Piece(mark[0], start + 1)
        else:
            _track(doubled, mark)
            yield Piece(mark, start)
    yield Piece(text[at:], at)


def _track(doubled: list[bool], mark: str) -> None:
    if mark in ("{", "{{"):
        doubled.append(mark == "{{")
    elif doubled and doubled[-1] is (mark == "}}") and mark[0] == "}":
        doubled.pop()


def _merged(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Without empty pieces, and with neighbours that stand side by side in the template as one."""
    last: Piece | None = None
    for piece in pieces:
        if not piece.text:
            continue
        if last and not piece.name and not last.name and last.offset + len(last.text) == piece.offset:
            last = Piece(last.text + piece.text, last.offset)
            continue
        if last:
            yield last
        last = piece
    if last:
        yield last


def unfit(value: str) -> str:
    """Why a value can stand nowhere, as the rest of a sentence after "the value ..."; empty when nothing is wrong with it."""
    char = next((char for char in value if category(char) in _UNFIT or char == "\ufeff"), None)
    if char is None:
        return ""
    return f"holds {'a line break' if char in _BREAKS else 'a control character'} (U+{ord(char):04X})"


_BREAKS: Final = "\n\r\x85\u2028\u2029"


def read_template(path: str | os.PathLike[str]) -> Template:
    """The template in a file; UTF-8, with or without a byte order mark.

    Raises:
        UsageError: it cannot be read.
        ConfigError: its name cannot stand in a header.
    """
    shown = os.fspath(path)
    reason = unfit(os.path.basename(shown))  # noqa: PTH119 - as it was given
    if reason:
        raise ConfigError([Diagnostic("name", f"the template's name {reason}")])
    return Template(read_text(path), file=shown)


def read_text(path: str | os.PathLike[str]) -> str:
    """The text of a file that somebody named.

    Raises:
        UsageError: there is none, or it is no UTF-8 text, or too large.
    """
    shown = os.fspath(path)
    try:
        with open(path, "rb") as stream:  # noqa: PTH123
            content = stream.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise UsageError(f"larger than {MOST_BYTES >> 20} MiB: `{shown}`")
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"not UTF-8 text: `{shown}` (byte {error.start})", hint="save the file as UTF-8") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read `{shown}`: {reason_of(error)}") from None
