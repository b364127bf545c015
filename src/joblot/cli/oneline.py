"""A batch from one line: a command with placeholders, and items, as what a batch file with one declaration would say.

What a placeholder stands for is decided here. It reads no files, and knows nothing of how a batch is checked or run.
"""

from __future__ import annotations

import os
import re
from itertools import chain, product
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from joblot.core.fan_out import word as name_word
from joblot.core.references import LITERAL, OPENING, as_text, protect
from joblot.core.shelltext import programs_in, read
from joblot.core.written import shorten
from joblot.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Columns = dict[str, list[Any]]

_BRACES: Final = re.compile(r"(\$?)(?<!\{)(\{++)([^{}]*+)(\}++)")
_NAME: Final = re.compile(r"\w[\w-]*(?:\.[\w-]+)*")
_PLAIN_COLUMN: Final = re.compile(r"[\w-]+", re.ASCII)
_LONGEST_PROGRAM: Final = 30
"""Characters of a program's name in the names of its jobs."""
_LISTED: Final = 8


def _within(path: str) -> str:
    """The path without slashes at its end, which belong to no part of it."""
    return path.rstrip("/") or path


PARTS: Final[dict[str, Callable[[str], str]]] = {
    "root": lambda path: os.path.splitext(_within(path))[0],  # noqa: PTH122 - pathlib differs from Python to Python
    "name": lambda path: os.path.basename(_within(path)),  # noqa: PTH119
    "stem": lambda path: os.path.splitext(os.path.basename(_within(path)))[0],  # noqa: PTH119, PTH122
    "suffix": lambda path: os.path.splitext(_within(path))[1],  # noqa: PTH122
    "parent": lambda path: os.path.dirname(_within(path)) or ".",  # noqa: PTH120
}
"""The parts of an item that is a path, by what they are called in a command: `in/a.tar.gz` has the root `in/a.tar`, the name `a.tar.gz`, the stem `a.tar`."""
NUMBER: Final = "number"
"""The placeholder of an item's number, from 1."""
_OF_PARALLEL: Final = {".": "root", "/": "name", "//": "parent", "/.": "stem", "#": NUMBER}
_FOR_SHELLS: Final = "|&;<>()*?[\n"
"""What means something to a shell where it stands without quotes; `$` and a backquote also do in double quotes, `~` and `#` where a word begins."""


class Items(Struct):
    """Items as columns of equal length; the column "" is the item as a whole. `source` is what `foreach` of a batch file would say, where that is not a list."""

    columns: Columns
    lists: int = 1
    """So many lists were given side by side, whose values stand in columns of that number."""
    source: dict[str, str] | None = None

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))


class Placeholder(Struct, frozen=True):
    """What stands for a value of an item: a column, perhaps a part of the path in it, or what lies inside of it; or the item's number."""

    column: str
    part: str = ""
    inside: str = ""


Piece = str | Placeholder


# --- the line ---------------------------------------------------------------------------------------


def split_line(words: Sequence[str]) -> tuple[list[str], Items | None]:
    """The words of the command, and the items that stand behind `:::`; None where there is no `:::`.

    Raises:
        UsageError: lists that cannot be taken together.
    """
    starts = [number for number, one in enumerate(words) if one in (":::", ":::+")]
    foreign = next((one for one in words if one in ("::::", "::::+")), None)
    if foreign is not None:
        raise UsageError(f"`{foreign}` is GNU parallel's", hint="`--from FILE`, or the file as standard input")
    if not starts:
        return list(words), None
    groups: list[list[list[str]]] = []
    for start, end in zip(starts, [*starts[1:], len(words)], strict=True):
        values = list(words[start + 1 : end])
        if words[start] == ":::":
            groups.append([values])
        elif not groups:
            raise UsageError("`:::+` goes with the list before it, and there is none", hint="begin with `:::`")
        elif len(values) != len(groups[-1][0]):
            counts = f"{len(groups[-1][0])} and {len(values)}"
            raise UsageError(
                f"lists side by side must be of one length: {counts} items", hint="`:::` makes all combinations"
            )
        else:
            groups[-1].append(values)
    lists = sum(map(len, groups))
    if lists == 1:
        return list(words[: starts[0]]), Items({"": groups[0][0]})
    rows = [tuple(chain(*row)) for row in product(*(zip(*group, strict=True) for group in groups))]
    columns = {str(number + 1): [row[number] for row in rows] for number in range(lists)}
    return list(words[: starts[0]]), Items(columns, lists)


def split_command(text: str) -> list[str]:
    """A command in one word, split as a shell would split it.

    Raises:
        UsageError: it has quotes that are not closed, or what only a shell reads.
    """
    # Not by `shlex`, which keeps the backslash of `"\$x"`, and would take `|` for a word like any other.
    words: list[str] = []
    word: str | None = None
    quote, text = "", text.lstrip()
    end = len(text.rstrip())
    chars = iter(enumerate(text))
    for at, char in chars:
        if quote == "'" and char != "'":
            word = f"{word}{char}"
        elif char == "\\":
            _, following = next(chars, (at, ""))
            if following != "\n":
                kept = "\\" if not following or (quote and following not in '$`"\\') else ""
                word = f"{word or ''}{kept}{following}"
        elif char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote, word = char, word or ""
        elif not quote and (char in " \t" or (char == "\n" and at >= end)):
            words += [] if word is None else [word]
            word = None
        elif char in "$`" or (not quote and (char in _FOR_SHELLS or (word is None and char in "~#"))):
            hint = "`--shell` has a shell run it; in quotes it stands for itself"
            raise UsageError(f"`{shorten(char)}` in `{shorten(text)}` is for a shell, and none reads it", hint=hint)
        else:
            word = f"{word or ''}{char}"
    if quote:
        raise UsageError(f"a quote is not closed in `{shorten(text)}`")
    return words if word is None else [*words, word]


# --- placeholders -----------------------------------------------------------------------------------


class _Reader:
    """Reads the words of a command; `used` are the placeholders in them, in order."""

    def __init__(self, items: Items) -> None:
        self._items = items
        self._columns = items.columns
        self.used: list[Placeholder] = []

    def read(self, text: str) -> list[Piece]:
        """The text between placeholders, and these.

        Raises:
            UsageError: what looks like one and stands for nothing.
        """
        pieces: list[Piece] = []
        at = 0
        for found in _BRACES.finditer(text):
            dollar, opened, inside, closed = found.groups()
            depth = min(len(opened), len(closed))
            if dollar and (inside or depth > 1):  # a variable of a shell
                continue
            column = self._find(inside, depth)
            if column is None and not _NAME.fullmatch(inside):
                continue
            pieces.append(text[at : found.start()] + dollar + opened[depth:])
            if depth > 1:  # braces around it are dropped by one pair: the text itself is meant
                pieces.append(f"{'{' * (depth - 1)}{inside}{'}' * (depth - 1)}")
            elif column is None:
                if inside.isdecimal() and self._items.lists == 1:  # so often `grep` wants what stands before it
                    pieces.append(f"{{{inside}}}")
                else:
                    raise self._unknown(inside)
            else:
                pieces.append(column)
                self.used.append(column)
            pieces.append(closed[depth:])
            at = found.end()
        pieces.append(text[at:])
        return [piece for piece in pieces if piece != ""]

    def _find(self, inside: str, depth: int) -> Placeholder | None:
        if inside == "":
            return self._whole(depth)
        if inside in self._columns:
            return Placeholder(inside)
        first, _, rest = inside.partition(".")
        if first == "1" and self._items.lists == 1 and "" in self._columns:
            first = ""
        if first in self._columns and (first or rest or inside == "1"):
            return self._inside(first, rest)
        if "" in self._columns and inside in PARTS:
            return Placeholder("", inside)
        if inside == NUMBER:
            return Placeholder("", NUMBER)
        if depth == 1:
            self._refuse_foreign(inside)
        return None

    def _whole(self, depth: int) -> Placeholder:
        if depth == 1 and "" not in self._columns and self._items.lists == 1:
            hint = f"there are {self._known()}; `{{{{}}}}` is the text itself"
            raise UsageError("`{}` stands for nothing: the items have columns", hint=hint)
        return Placeholder("")

    def _inside(self, column: str, rest: str) -> Placeholder | None:
        if not rest:
            return Placeholder(column)
        if rest in PARTS and not any(isinstance(value, dict) for value in self._columns[column][:1]):
            return Placeholder(column, rest)
        nested = any(isinstance(value, (dict, list)) for value in self._columns[column])
        return Placeholder(column, "", rest) if nested and _PLAIN_COLUMN.fullmatch(column) else None

    def _refuse_foreign(self, inside: str) -> None:
        found = re.fullmatch(r"(-?\d*)(\.|//?|/\.|#|%|)", inside)
        if found and (found[2] or found[1].startswith("-")):
            number, ours = found[1], _OF_PARALLEL.get(found[2], "")
            hint = f"write `{{{f'{number}.' if number else ''}{ours}}}`" if ours and number[:1] != "-" else ""
            hint = hint or ("slots have no number" if found[2] == "%" else "lists count from the left: `{1}`, `{2}`")
            raise UsageError(f"`{{{inside}}}` is GNU parallel's", hint=hint)
        if len(inside) > 1 and inside[0] == inside[-1] == "=":
            raise UsageError(
                f"`{{{shorten(inside)}}}` is GNU parallel's", hint="with `--shell` a shell can do it: `${x%.*}`"
            )

    def _unknown(self, inside: str) -> UsageError:
        near = did_you_mean(inside, self._names())
        hint = re.sub(r"`([^`]+)`", r"`{\1}`", near) if near else f"there are {self._known()};"
        return UsageError(f"`{{{inside}}}` stands for nothing", hint=f"{hint} `{{{{{inside}}}}}` is the text itself")

    def _known(self) -> str:
        return ", ".join(f"`{{{shorten(name)}}}`" for name in self._names()[:_LISTED])

    def _names(self) -> list[str]:
        return list(dict.fromkeys([*self._columns, *(PARTS if "" in self._columns else ()), NUMBER]))


class _Rows:
    """The items as `foreach` takes them, with all that the command refers to; and what the references to it are.

    With `file` items are named by where they come from, if nothing has to be made of them.
    """

    def __init__(self, items: Items, used: Sequence[Placeholder], *, file: bool) -> None:
        self._items = items
        made = [one for one in dict.fromkeys(used) if one.part or not _is_plain(one.column) or self._is_nested(one)]
        self._source = items.source if file else None
        if self._source is not None and "glob" in self._source and {one.part for one in made} <= {"name", "stem"}:
            made = []  # that source says these itself
        if made:
            self._source = None
        self._keys = {one: self._key(one) for one in made}

    def _is_nested(self, one: Placeholder) -> bool:
        """Whether it stands for lists or mappings as a whole: each is one word, as JSON."""
        return not one.inside and any(type(value) in (list, dict) for value in self._items.columns.get(one.column, ()))

    def _key(self, one: Placeholder) -> str:
        """What a value that is made is called; no column is called so."""
        key = one.column if _is_plain(one.column) else f"column{list(self._items.columns).index(one.column) + 1}"
        key = "_".join(filter(None, [key, one.part]))
        while key in self._items.columns:
            key += "_"
        return key

    def reference(self, one: Placeholder) -> str:
        """How a text of the declaration refers to what a placeholder stands for."""
        if one in self._keys:
            return f"item.{self._keys[one]}"
        column = one.column or ("item" if self._keys else "")
        return ".".join(filter(None, ["item", column, one.part or one.inside]))

    def foreach(self) -> Any:
        """Where the items come from, or the items one by one: values, or mappings."""
        if self._source is not None:
            return self._source
        columns = self._items.columns
        if not self._keys and "" in columns:
            return columns[""]
        columns = {name or "item": values for name, values in columns.items()}
        columns |= {key: self._made(one) for one, key in self._keys.items()}
        names = list(columns)
        return [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def _made(self, one: Placeholder) -> list[Any]:
        if one.part == NUMBER:
            return list(map(str, range(1, len(self._items) + 1)))
        values = self._items.columns[one.column]
        return [PARTS[one.part](as_text(value)) if one.part else as_text(value) for value in values]


def _is_plain(column: str) -> bool:
    """Whether a reference can name the column."""
    return not column or _PLAIN_COLUMN.fullmatch(column) is not None


# --- the batch --------------------------------------------------------------------------------------


def batch_of(
    words: Sequence[str], items: Items, *, shell: bool, numbered: bool = False, file: bool = False
) -> dict[str, Any]:
    """The batch of a command and its items: `name`, `description`, and `jobs` with one declaration. Items are data, whatever is written in them.

    With `shell` the only word is a text for a shell; `numbered` puts the numbers of the items into the names of the jobs; with `file` items are
    named by the file that they come from.

    Raises:
        UsageError: a placeholder that stands for nothing or cannot stand there, or a column is missing.
    """
    whole = [Placeholder("")] if items.lists == 1 else [Placeholder(str(number + 1)) for number in range(items.lists)]
    reader = _Reader(items)
    pieces = [reader.read(one) for one in words]
    if not reader.used:
        if "" not in items.columns and items.lists == 1:
            names = ", ".join(f"`{{{shorten(name)}}}`" for name in list(items.columns)[:_LISTED])
            raise UsageError("the items have columns, and the command names none", hint=f"there are {names}")
        reader.used.append(Placeholder(""))
        pieces = [[*pieces[0], " ", Placeholder("")]] if shell else [*pieces, [Placeholder("")]]
    pieces = list(chain(*(_spread(one, whole, shell=shell) for one in pieces)))
    used = list(chain(*(whole if one == Placeholder("") else [one] for one in reader.used)))
    named = [Placeholder("", NUMBER)] if numbered else []
    named += whole if "" in items.columns or items.lists > 1 else _columns_of(used)
    rows = _Rows(items, [*used, *named], file=file)
    texts = [_text(one, rows) for one in pieces]
    _refuse_code(texts, {rows.reference(one): one for one in used}, shell=shell)
    program = _program(words[0])
    name = "-".join([program, *(f"{OPENING} {rows.reference(one)} }}}}" for one in named)])
    job = {"name": name, "run": texts[0] if shell else texts, "foreach": rows.foreach()}
    shown = words[0] if shell else _typed(words)
    return {"name": program, "description": protect(shown), "jobs": [job]}


def _spread(pieces: list[Piece], whole: list[Placeholder], *, shell: bool) -> list[list[Piece]]:
    """A word of the command, or the words that it becomes: with several lists `{}` is a word of each."""
    if len(whole) == 1 or Placeholder("") not in pieces:
        return [pieces]
    if pieces == [Placeholder("")] and not shell:
        return [[one] for one in whole]
    if not shell:
        hint = "write " + ", ".join(f"`{{{one.column}}}`" for one in whole)
        raise UsageError("`{}` within a word stands for one item, and there are several lists", hint=hint)
    found: list[Piece] = []
    for piece in pieces:
        if piece == Placeholder(""):
            for one in whole:
                found += [one] if one is whole[0] else [" ", one]
        else:
            found.append(piece)
    return [found]


def _columns_of(used: Sequence[Placeholder]) -> list[Placeholder]:
    """The columns that tell jobs apart; the number where no column does."""
    columns = [Placeholder(one.column, "", one.inside) for one in used if one.part != NUMBER or one.column]
    return list(dict.fromkeys(columns)) or [Placeholder("", NUMBER)]


def _text(pieces: Sequence[Piece], rows: _Rows) -> str:
    """A text of the declaration. What is meant as it stands there is no reference, whatever it looks like."""
    parts = [""]
    for piece in pieces:
        if isinstance(piece, str):
            parts[-1] += piece
        else:
            parts += [f"{OPENING} {rows.reference(piece)} }}}}", ""]
    parts[::2] = [part.replace(OPENING, LITERAL) for part in parts[::2]]
    return "".join(parts)


def _refuse_code(texts: list[str], used: dict[str, Placeholder], *, shell: bool) -> None:
    """A value is never code: not a part of what another program runs. That a whole item is run, such as a line by `sh -c`, may be meant."""
    for reference, program in read(texts[0]).programs if shell else programs_in(texts):
        is_whole = not shell and f"{OPENING} {reference.text} }}}}" in texts
        if not is_whole and program != "ssh":  # whose first argument is a host
            one = used[reference.text]
            shown = ".".join(filter(None, [one.column, one.part or one.inside]))
            hint = "give it as an argument, such as `sh -c 'echo \"$1\"' sh {}`"
            hint += "" if shell else "; or `--shell 'echo {}'`, which does so"
            message = f"`{{{shown}}}` stands in the text of `{program}`, which would run its value as code"
            raise UsageError(message, hint=hint)


def _program(text: str) -> str:
    """What jobs of a command are called, of its first word."""
    first = next(iter(text.split()), "").rpartition("/")[2]
    if "{" in first or not re.search("[A-Za-z0-9]", first):
        return "each"
    name = name_word(os.path.splitext(first)[0])[:_LONGEST_PROGRAM].rstrip("-.")  # noqa: PTH122
    return name if name[:1].isalnum() else "each"


def _typed(words: Sequence[str]) -> str:
    import shlex

    return shlex.join(words)


# --- as a file --------------------------------------------------------------------------------------

_PLAIN_TEXT: Final = re.compile(r"[A-Za-z_./][A-Za-z0-9_./-]*", re.ASCII)
_WORDS_OF_YAML: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n", ".inf", ".nan"})


def as_yaml(batch: dict[str, Any]) -> str:
    """The batch as the text of a YAML file, in which items would be searched for references."""
    lines = [f"{name}: {_flow(value)}" for name, value in batch.items() if name != "jobs"]
    lines.append("jobs:")
    for job in batch["jobs"]:
        for number, (name, value) in enumerate(job.items()):
            begin = f"  {'- ' if number == 0 else '  '}{name}:"
            if name == "foreach" and value and isinstance(value, list):
                lines += [begin, *(f"      - {_flow(protect(item))}" for item in value)]
            elif name == "foreach":
                lines.append(f"{begin} {_flow(protect(value))}")
            else:
                lines.append(f"{begin} {_flow(value)}")
    return "\n".join(lines) + "\n"


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flow(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if not isinstance(value, str):
        return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    if _PLAIN_TEXT.fullmatch(value) and value.lower() not in _WORDS_OF_YAML:
        return value
    return '"' + "".join(map(_escaped, value)) + '"'


_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}


def _escaped(char: str) -> str:
    if char.isprintable() and char not in '"\\':
        return char
    return _ESCAPES.get(char) or (f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}")
