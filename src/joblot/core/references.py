"""References in texts: `${{ vars.day }}`, `${{ jobs.fetch.result.rows }}`.

A reference is a dotted name and nothing else: no expressions, no calls, no attributes. Substitution is one pass: what is put in is
never looked at again. `${{ "${{" }}` stands for the three characters themselves.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct

from joblot.core.written import RawScalar, plain, shorten
from joblot.errors import did_you_mean

OPENING: Final = "${{"
LITERAL: Final = '${{ "${{" }}'
LATER: Final = frozenset({"run", "jobs", "slots"})
"""The roots whose values are known only when a job starts."""
OF_FILES: Final = frozenset({"input", "outputs"})
"""The roots that stand for the files of the job itself."""
OF_ITEM: Final = frozenset({"matrix", "item"})
"""The roots whose values differ from job to job of a fan-out."""

_INSIDE: Final = r"""\s*(?:(?P<literal>"\$\{\{")|(?P<name>[A-Za-z_][\w-]*(?:\.[\w-]+|\[\d+\])*))\s*\}\}"""
_INDEX: Final = r"\[(\d+)\]"


class TemplateError(ValueError):
    """A reference that is not written as one, or that stands for nothing."""

    def __init__(self, message: str, *, hint: str = "", inside: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.inside = inside


class Reference(Struct, frozen=True):
    """One dotted name; `text` is how it is written, without the braces."""

    text: str

    @property
    def parts(self) -> list[str]:
        """The names between the dots; `[0]` counts as `.0`."""
        text = re.sub(_INDEX, r".\1", self.text) if "[" in self.text else self.text
        return text.split(".")

    @property
    def root(self) -> str:
        """The first name."""
        return self.text.partition(".")[0].partition("[")[0]


Piece = str | Reference


def split(text: str) -> list[Piece]:
    """The text as literal pieces and references.

    Raises:
        TemplateError: a `${{` that is not closed, or that holds something else than a dotted name.
    """
    pieces: list[Piece] = []
    at = 0
    while (start := text.find(OPENING, at)) >= 0:
        match = re.compile(_INSIDE, re.ASCII).match(text, start + len(OPENING))
        if match is None:
            raise _malformed(text, start)
        literal = text[at:start] + (OPENING if match["literal"] else "")
        if literal:
            pieces.append(literal)
        if match["name"]:
            pieces.append(Reference(match["name"]))
        at = match.end()
    if at < len(text):
        pieces.append(text[at:])
    return pieces


def _malformed(text: str, start: int) -> TemplateError:
    end = text.find("}}", start)
    if end < 0:
        hint = f"to write the characters themselves: `{LITERAL}`"
        return TemplateError("`${{` has no closing `}}`", hint=hint, inside=text[start:].split("\n", maxsplit=1)[0])
    inside = text[start + len(OPENING) : end].strip()
    if not inside:
        return TemplateError(
            "`${{ }}` is empty", hint="write a name such as `${{ vars.day }}`", inside=text[start : end + 2]
        )
    return TemplateError(
        f"`{shorten(inside)}` is not a reference",
        hint="only dotted names such as `vars.day` stand between `${{` and `}}`: no expressions",
        inside=text[start : end + 2].split("\n", maxsplit=1)[0],
    )


def references(value: Any) -> list[Reference]:
    """The references in a text, or in all texts of a list or mapping.

    Raises:
        TemplateError: as `split`.
    """
    result: list[Reference] = []
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            if OPENING in item:
                result += [piece for piece in split(item) if isinstance(piece, Reference)]
        elif isinstance(item, dict):
            stack += item.values()
        elif isinstance(item, list):
            stack += item
    return result


def sound_references(value: Any) -> list[Reference]:
    """As `references`; none where something is not written as one."""
    try:
        return references(value)
    except TemplateError:
        return []


def lookup(reference: Reference, scope: Mapping[str, Any]) -> Any:
    """What a reference stands for.

    Raises:
        TemplateError: it stands for nothing; the hint names the nearest that does.
    """
    root, *rest = reference.parts
    if root not in scope:
        hint = did_you_mean(root, scope) or f"references begin with {', '.join(f'`{name}`' for name in scope)}"
        raise TemplateError(f"nothing is called `{root}` (in `{reference.text}`)", hint=hint)
    if root == "jobs":
        return _lookup_result(reference, rest, scope["jobs"])
    if not rest:
        raise TemplateError(f"`{root}` alone is not a value", hint=f"write `{root}.` and a name")
    return descend(reference, root, rest, scope[root])


def split_result(parts: list[str], known: Callable[[str], bool]) -> tuple[str, list[str]] | None:
    """The job's name and the parts that lead into its result, from the parts behind `jobs`; a job's name may hold dots itself."""
    ends = [number for number, part in enumerate(parts) if part == "result" and number]
    for end in ends:
        name = ".".join(parts[:end])
        if known(name):
            return name, parts[end + 1 :]
    return (".".join(parts[: ends[0]]), parts[ends[0] + 1 :]) if ends else None


def _lookup_result(reference: Reference, parts: list[str], jobs: Mapping[str, Any]) -> Any:
    name_and_rest = split_result(parts, jobs.__contains__)
    if name_and_rest is None:
        raise TemplateError(
            f"`{reference.text}` does not name a result", hint="write `jobs.NAME.result` or `jobs.NAME.result.FIELD`"
        )
    name, rest = name_and_rest
    if name not in jobs:
        raise TemplateError(f"no result of a job `{name}` is known here (in `{reference.text}`)")
    return descend(reference, f"jobs.{name}.result", rest, jobs[name]["result"])


def descend(reference: Reference, label: str, parts: list[str], value: Any) -> Any:
    """What the names in `parts` lead to inside a value; `label` is what messages call the value.

    Raises:
        TemplateError: there is no such part.
    """
    for part in parts:
        if isinstance(value, Mapping):
            if part not in value:
                raise _missing(reference, label, part, value)
            value = value[part]
        elif isinstance(value, (list, tuple)) and part.isdecimal():
            if int(part) >= len(value):
                raise TemplateError(
                    f"`{label}` has {len(value)} item{'s' * (len(value) != 1)}, so there is no `{part}` (in `{reference.text}`)"
                )
            value = value[int(part)]
        else:
            raise TemplateError(f"`{label}` has no parts, so there is no `{part}` (in `{reference.text}`)")
        label = f"{label}.{part}"
    return value


def _missing(reference: Reference, label: str, part: str, known: Mapping[str, Any]) -> TemplateError:
    if label == "vars":
        shown = ", ".join(f"`{name}`" for name in sorted(known)[:8])
        hint = did_you_mean(part, known) or (f"the batch has {shown}" if known else "the batch has no `vars`")
        return TemplateError(f"no variable `{part}`", hint=hint)
    if label == "env":
        return TemplateError(f"environment variable `{part}` is not set", hint=did_you_mean(part, known))
    return TemplateError(f"`{label}` has no `{part}` (in `{reference.text}`)", hint=did_you_mean(part, known))


class Joined(Struct, frozen=True):
    """What a resolver returns for several values that stand in a text with commas between them, and as a list where nothing else does."""

    items: list[Any]


def as_text(value: Any) -> str:
    """A value as it stands inside a text: null is empty, truth values are `true` and `false`, lists and mappings are JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, RawScalar):
        return value.text
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, Joined):
        return ",".join(map(str, value.items))
    import msgspec

    return msgspec.json.encode(plain(value)).decode()


def substitute(value: Any, scope: Mapping[str, Any]) -> Any:
    """The value with every reference filled in from `scope`, such as `{"run": {"id": ...}, "jobs": {"fetch": {"result": ...}}}`.

    A text that is one reference becomes the value itself, whatever its type. Lists and mappings are gone through.

    Raises:
        TemplateError: a reference that is malformed or stands for nothing.
    """
    return fill(value, lambda reference: lookup(reference, scope))


class Deferred(Struct, frozen=True):
    """What a resolver returns for a reference that stays for later."""

    reference: Reference


class Template(Struct, frozen=True):
    """What a resolver returns for a value that may hold references itself, which stay for later."""

    value: Any


def fill(value: Any, resolve: Callable[[Reference], Any], *, keep: bool = False) -> Any:
    """As `substitute`, with a function that finds the values.

    With `keep` the outcome is a template again: references for which `resolve` returns `Deferred` stay, and a `${{` in anything that was
    put in is written so that it stays a text when the rest is filled in.
    """
    if isinstance(value, str):
        return _fill_text(value, resolve, keep) if OPENING in value else value
    if isinstance(value, list):
        return [fill(item, resolve, keep=keep) for item in value]
    if isinstance(value, dict):
        return {key: fill(item, resolve, keep=keep) for key, item in value.items()}
    return value


def _fill_text(text: str, resolve: Callable[[Reference], Any], keep: bool) -> Any:
    pieces = split(text)
    # A text that is one reference keeps the type of its value.
    if len(pieces) == 1 and isinstance(pieces[0], Reference):
        value = resolve(pieces[0])
        if isinstance(value, Deferred):
            return text
        if isinstance(value, (Template, Joined)):
            return value.value if isinstance(value, Template) else value.items
        return protect(value) if keep else value
    parts: list[str] = []
    literal = ""
    for piece in pieces:
        value = resolve(piece) if isinstance(piece, Reference) else piece
        if isinstance(value, (Deferred, Template)):
            kept = as_text(value.value) if isinstance(value, Template) else f"${{{{ {value.reference.text} }}}}"
            parts += [literal.replace(OPENING, LITERAL), kept]
            literal = ""
        else:
            literal += as_text(value)
    parts.append(literal.replace(OPENING, LITERAL) if keep else literal)
    return "".join(parts)


def protect(value: Any) -> Any:
    """The value written so that filling it in again leaves it as it is."""
    if isinstance(value, str):
        return value.replace(OPENING, LITERAL)
    if isinstance(value, list):
        return [protect(item) for item in value]
    if isinstance(value, dict):
        return {key: protect(item) for key, item in value.items()}
    return value
