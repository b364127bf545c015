"""The variables of a batch: what `vars` declares, and the values that the command line gives.

A value given as text (`--var day=2026-11-20`) is read as the declared type says. Knows nothing of where values are used.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from joblot.config.fields import (
    MISSING,
    Field,
    Mismatch,
    Sink,
    as_it_is,
    choice,
    each,
    filled_text,
    flag,
    is_variable_name,
    mapping,
    read_fields,
    text,
)
from joblot.config.tree import MAX_INT, Keys, describe, inspect
from joblot.core.written import RawScalar, plain, shorten
from joblot.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from joblot.config.secrets import Secrets

    Fill = Callable[[str, Any], Any]

_ANY: Final[dict[str, Any]] = {}
KINDS: Final = ("string", "int", "number", "bool", "date", "path", "list")
DECLARATION: Final = {
    "type": Field(choice(*KINDS), {"enum": list(KINDS)}, "What kind of value it is."),
    "default": Field(as_it_is, _ANY, "The value when none is given."),
    "required": Field(flag, {"type": "boolean"}, "A value must be given."),
    "enum": Field(as_it_is, {"type": "array"}, "The values that it may have."),
    "pattern": Field(filled_text, {"type": "string"}, "A regular expression that the whole text must match."),
    "min": Field(as_it_is, _ANY, "The least value."),
    "max": Field(as_it_is, _ANY, "The greatest value."),
    "description": Field(text, {"type": "string"}, "A line for people."),
}
_INT: Final = re.compile(r"[-+]?\d{1,19}", re.ASCII)
_NUMBER: Final = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?", re.ASCII)
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_MEANING: Final = {
    "string": "a text",
    "int": "a whole number",
    "number": "a number",
    "bool": "`true` or `false`",
    "date": "a date such as `2026-11-20`",
    "path": "a path",
    "list": "a list",
}


class Variable(Struct, frozen=True):
    """One declared variable, its limits already of its own kind."""

    name: str
    kind: str
    default: Any = MISSING
    required: bool = False
    enum: tuple[Any, ...] = ()
    pattern: str = ""
    low: Any = None
    high: Any = None


def read_variables(
    sink: Sink, declared: Any, given: Mapping[str, Any], secrets: Secrets, values: dict[str, Any], fill: Fill
) -> None:
    """Put the value of every variable into `values`, `MISSING` where it is wrong.

    `fill` is called for each in turn, with its name and what is declared, to fill in what refers to those above it. Numbers and truth
    values are `RawScalar`, so that a text made of them is what was typed.
    """
    try:
        items = mapping(declared)
    except Mismatch as error:
        sink.add("type", f"`vars` {error.message}", ("vars",))
        return
    for name, item in items.items():
        if name.startswith("x-"):
            continue
        if not is_variable_name(name):
            hint = "a variable is named with letters, digits, `_` and `-`"
            sink.add("name", f"`{shorten(name)}` cannot be a variable", ("vars", name), hint=hint, at_key=True)
            continue
        filled = MISSING if item is MISSING else fill(name, item)
        if filled is MISSING:
            values[name] = MISSING
            continue
        variable = _declare(sink, name, filled)
        values[name] = (
            MISSING if variable is None or _is_secret(sink, variable, given, secrets) else _value(sink, variable, given)
        )
    _report_unknown(sink, [name for name in items if not name.startswith("x-")], given)


def _is_secret(sink: Sink, variable: Variable, given: Mapping[str, Any], secrets: Secrets) -> bool:
    """Whether the value of a variable holds a secret's: it is stored with each run and stands in texts."""
    value = given.get(variable.name, variable.default)
    if not secrets or value is MISSING:
        return False
    from joblot.config.secrets import secret_in

    held = [plain(value) if isinstance(value, (list, dict)) else value]
    if variable.kind == "list" and isinstance(value, str) and (items := from_text("list", value)) is not MISSING:
        held += items  # JSON may write it otherwise
    name = next(filter(None, (secret_in(one, secrets) for one in held)), "")
    if name:
        message = f"variable `{variable.name}` holds the value of the secret `{name}`"
        hint = f"a command finds it in its environment: write `${name}`"
        sink.add("variable", message, ("vars", variable.name), hint=hint, at_key=True)
    return bool(name)


def _report_unknown(sink: Sink, known: list[str], given: Mapping[str, Any]) -> None:
    listed = ", ".join(f"`{name}`" for name in known)
    for name in given:
        if name not in known:
            hint = did_you_mean(name, known)
            has = f"it has {listed}" if known else "it has none"
            sink.add("variable", f"no variable `{shorten(name)}` in this batch: {has}", ("vars",), hint=hint)


def _declare(sink: Sink, name: str, item: Any) -> Variable | None:
    keys: Keys = ("vars", name)
    if not isinstance(item, dict):
        return Variable(name, _kind_of(item), default=item)
    before = len(sink.problems)
    fields = read_fields(sink, DECLARATION, item, keys, f"variable `{name}`")
    kind = fields.get("type") or _kind_of(plain(item.get("default")))

    def limit(field: str) -> Any:
        return None if field not in fields else plain(sink.read(_reader(kind), fields[field], (*keys, field)))

    enum = sink.read(each(_reader(kind)), fields["enum"], (*keys, "enum")) if "enum" in fields else ()
    variable = Variable(
        name,
        kind,
        default=fields.get("default", MISSING),
        required=fields.get("required", "default" not in fields),
        enum=tuple(map(plain, enum)) if enum is not MISSING else (),
        pattern=_pattern(sink, fields.get("pattern", ""), (*keys, "pattern")),
        low=limit("min"),
        high=limit("max"),
    )
    return variable if len(sink.problems) == before else None


def _pattern(sink: Sink, pattern: str, keys: Keys) -> str:
    if pattern:
        import re2

        options = re2.Options()
        options.log_errors = False
        try:
            re2.compile(pattern, options=options)
        except re2.error as error:
            reason = error.args[0] if error.args else error
            reason = reason.decode() if isinstance(reason, bytes) else str(reason)
            sink.add("value", f"`pattern` is not a regular expression: {reason}", keys)
    return pattern


def _kind_of(value: Any) -> str:
    core = value.value if isinstance(value, RawScalar) else value
    if isinstance(core, bool):
        return "bool"
    if isinstance(core, int):
        return "int"
    return "number" if isinstance(core, float) else "list" if isinstance(core, list) else "string"


def _value(sink: Sink, variable: Variable, given: Mapping[str, Any]) -> Any:
    keys: Keys = ("vars", variable.name)
    if variable.name in given:
        return _given(sink, variable, given[variable.name], keys)
    if variable.default is MISSING:
        if variable.required:
            hint = f"give it with `--var {variable.name}=...`"
            sink.add("variable", f"variable `{variable.name}` needs a value", keys, hint=hint, at_key=True)
            return MISSING
        return None
    if variable.default is None:
        return None
    value = sink.read(_reader(variable.kind), variable.default, (*keys, "default"))
    return value if value is MISSING else _allowed(sink, variable, value, (*keys, "default"))


def _given(sink: Sink, variable: Variable, raw: Any, keys: Keys) -> Any:
    """The value that the command line gives as text, or a program as what it is.

    A number or truth value of a program for a text is the text that the file would have; midnight for a date is its day.
    """
    before = len(sink.problems)
    inspect(raw, keys, sink.problems)
    if len(sink.problems) != before:
        return MISSING
    if variable.kind in ("string", "path") and isinstance(raw, (int, float)):
        raw = str(raw).lower() if isinstance(raw, bool) else str(raw)
    elif variable.kind == "date" and isinstance(raw, str):
        raw = raw.removesuffix("T00:00:00")
    if isinstance(raw, str):
        value, shown = from_text(variable.kind, raw), f"`{shorten(raw)}`"
    else:
        value, shown = raw if _fits(variable.kind, raw) else MISSING, describe(raw)
    if value is MISSING:
        message = f"variable `{variable.name}` must be {_MEANING[variable.kind]}, not {shown}"
        hint = "write `true` or `false`" if variable.kind == "bool" else ""
        if variable.kind == "list" and isinstance(raw, str):
            hint = 'what begins with `[` is a list in JSON, such as `["a", "b, c"]`; else commas part texts'
        sink.add("variable", message, keys, hint=hint, at_key=True)
        return MISSING
    inspect(value, keys, sink.problems)
    if len(sink.problems) != before:
        return MISSING
    return _allowed(sink, variable, value, keys)


def from_text(kind: str, raw: str) -> Any:
    """The value that a text on the command line stands for, or `MISSING`."""
    if kind in ("string", "path"):
        return raw
    if kind == "list" and raw.lstrip().startswith("["):
        return _json_list(raw)
    if kind == "list":
        return [part.strip() for part in raw.split(",")] if raw.strip() else []
    if kind == "date":
        return raw if _is_date(raw) else MISSING
    value: bool | float | None = None
    if kind == "bool":
        value = {"true": True, "false": False}.get(raw)
    elif _INT.fullmatch(raw):
        value = int(raw) if abs(int(raw)) < MAX_INT else None
    elif kind == "number" and _NUMBER.fullmatch(raw):
        value = float(raw)
    return MISSING if value is None else RawScalar(raw, value)  # as from a file: a job's field may want the text


def _json_list(raw: str) -> Any:
    from joblot.config.jsontext import parse
    from joblot.config.tree import BrokenTextError, Problem

    problems: list[Problem] = []
    try:
        value, _ = parse(raw, problems)
    except BrokenTextError:
        return MISSING
    return MISSING if problems else value


def _is_date(raw: str) -> bool:
    from datetime import date

    try:
        date.fromisoformat(raw)
    except ValueError:
        return False
    return bool(_DATE.fullmatch(raw))


def _reader(kind: str) -> Any:
    """Reads a value as it stands in the file."""

    def read(_: Sink, value: Any, __: Keys) -> Any:
        if not _fits(kind, value):
            hint = "write `true` or `false`" if kind == "bool" and isinstance(value, str) else ""
            raise Mismatch(f"must be {_MEANING[kind]}, not {describe(value)}", hint=hint)
        return value.text if isinstance(value, RawScalar) and kind in ("string", "path", "date") else value

    return read


def _fits(kind: str, value: Any) -> bool:
    """Whether a value is of that kind as it stands."""
    core = value.value if isinstance(value, RawScalar) else value
    if kind in ("string", "path", "date"):
        written = value.text if isinstance(value, RawScalar) else value
        return isinstance(written, str) and (kind != "date" or _is_date(written))
    if isinstance(core, bool) or kind == "bool":  # Python takes a truth value for an integer; no variable does
        return isinstance(core, bool) and kind == "bool"
    return isinstance(core, list) if kind == "list" else isinstance(core, (int, float) if kind == "number" else int)


def _allowed(sink: Sink, variable: Variable, value: Any, keys: Keys) -> Any:
    """The value, if the declaration allows for it."""
    name, core = variable.name, plain(value)
    found = len(sink.problems)
    # All rules are tried: who mends one wants to know of the others.
    if variable.enum and core not in variable.enum:
        listed = ", ".join(f"`{item}`" for item in variable.enum)
        hint = did_you_mean(value, [str(item) for item in variable.enum]) if isinstance(value, str) else ""
        sink.add("variable", f"variable `{name}` must be one of {listed}, not {describe(value)}", keys, hint=hint)
    if variable.low is not None and core < variable.low:
        sink.add("variable", f"variable `{name}` must be at least {variable.low}, got {core}", keys)
    if variable.high is not None and core > variable.high:
        sink.add("variable", f"variable `{name}` must be at most {variable.high}, got {core}", keys)
    if variable.pattern and isinstance(value, str) and not _matches(variable.pattern, value):
        sink.add(
            "variable", f"variable `{name}` must match `{variable.pattern}`, which {describe(value)} does not", keys
        )
    return value if len(sink.problems) == found else MISSING


def _matches(pattern: str, value: str) -> bool:
    import re2  # linear in time: a pattern of the file must not be able to hang the check

    return re2.fullmatch(pattern, value) is not None
