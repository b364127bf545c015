"""The fan-out of a job: `matrix`, `zip` or `foreach` read to a `FanOut`, and every item held against what the job does with it.

Knows nothing of the jobs that are made; `fan_out` makes them.
"""

from __future__ import annotations

import os
import types
import typing
from functools import partial
from itertools import product
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Final

from joblot.config.fields import Mismatch, Sink, is_variable_name, label, mapping
from joblot.config.items import (
    SOURCES,
    Columns,
    ItemsError,
    files_matching,
    items_of_command,
    read_items,
    rows_to_columns,
    source_of,
)
from joblot.config.params import convert_params
from joblot.config.tree import Keys, describe, inspect
from joblot.core import references as template
from joblot.core.model import VARYING, FanOut, Signature, is_unread
from joblot.core.patterns import as_literal, literal_length
from joblot.core.references import OF_ITEM, OPENING, Reference, TemplateError
from joblot.core.written import RawScalar, plain, shorten
from joblot.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from joblot.config.secrets import Secrets
    from joblot.core.model import JobSpec

    Kept = Callable[[Any], Any]
    """What becomes of a value before it is kept."""

_NOWHERE: Final = Path()
_KINDS: Final = ("string", "int", "number", "bool")
_ABOUT_FOREACH: Final = f"a list, a file, or one of {', '.join(f'`{kind}`' for kind in SOURCES)}"


def read_fan_out(
    sink: Sink, way: str, value: Any, keys: Keys, folder: str, *, secrets: Secrets | None = None
) -> FanOut | None:
    """The fan-out that a field declares, its references filled in; None when something is wrong, which is noted.

    `secrets` are values that no item may hold. Values of a file become the texts that were typed; those of a
    program stay what they are.
    """
    before = len(sink.problems)
    try:
        kind, columns = _READERS[way](sink, value, keys, folder, plain if sink.typed else _as_written)
    except ItemsError as error:
        sink.add("items", f"`{label(keys)}`: {error.message}", keys, hint=error.hint)
        return None
    except Mismatch as error:
        sink.add(error.code, f"`{label(keys)}` {error.message}", keys, hint=error.hint)
        return None
    inspect_values(sink, columns, keys)
    _refuse_secrets(sink, columns, secrets or {}, keys)
    wrong = any(problem.severity == "error" for problem in sink.problems[before:])
    return None if wrong else FanOut(kind, columns)


def file_of_items(value: Any) -> str:
    """The file, or the pattern of files, that `foreach` reads its items from; empty where it reads none."""
    if isinstance(value, dict):
        value = next((value[kind] for kind in SOURCES if kind != "command" and kind in value), None)
    text = value.text if isinstance(value, RawScalar) else value
    return text if isinstance(text, str) else ""


def maker_by_links(jobs: Sequence[JobSpec], source: str, folder: str) -> JobSpec | None:
    """As `maker_of_items`, links followed: of the source, of the folders in which a pattern finds files, and of what jobs make.

    A link that a pattern finds is an item whether or not what it leads to is there; that is looked at when a run begins.
    """
    from msgspec.structs import replace

    from joblot.core.dataflow import maker_of_items

    base = os.path.realpath(folder)

    def followed(path: str, end: int) -> str:
        """The path with the folders real that are known up to `end`; the last name as well where all of it is."""
        begin = path if end == len(path) else path[:end].rpartition("/")[0]
        real = os.path.realpath(os.path.join(base, begin))  # noqa: PTH118 - pathlib costs start-up time
        return real if begin == path else f"{real}/{path[len(begin) :].lstrip('/')}"

    real_jobs = [
        replace(spec, outputs=tuple(followed(path, len(path.partition(OPENING)[0])) for path in spec.outputs))
        for spec in jobs
        if spec.outputs
    ]
    if not real_jobs:
        return None
    known = literal_length(source)
    sources = {followed(source, known)}
    if known < len(source):
        last = source.rpartition("/")[2].replace("**", "*")
        found = {path.rpartition("/")[0] for path in files_matching(source, folder)}
        sources |= {f"{as_literal(followed(path, len(path)))}/{last}" for path in found}
    return next((maker for one in sources if (maker := maker_of_items(real_jobs, one, base))), None)


def find_column(reference: Reference, fan: FanOut) -> None:
    """Make sure that a reference to the item means something.

    Raises:
        TemplateError: no item has such a value.
    """
    root, parts = reference.root, reference.parts[1:]
    if is_unread(fan) and parts:
        raise _single_values(reference, [])
    if fan.kind == "result" or fan.columns.get("") == []:
        return  # nothing is known of items that are not there
    if parts and parts[0] in fan.columns:
        return
    if "" in fan.columns:
        # What single values have inside is looked at item by item; here only what none of them can have is refused.
        if parts and not any(isinstance(value, (dict, list)) for value in fan.columns[""]):
            raise _single_values(reference, [name for name in fan.columns if name])
        return
    if not parts:
        listed = ", ".join(f"`{root}.{name}`" for name in list(fan.columns)[:8])
        raise TemplateError(f"`{root}` alone is not a value", hint=f"it has {listed}")
    listed = ", ".join(f"`{name}`" for name in list(fan.columns)[:8])
    raise TemplateError(f"`{root}` has no `{parts[0]}`", hint=did_you_mean(parts[0], fan.columns) or f"it has {listed}")


def _single_values(reference: Reference, columns: list[str]) -> TemplateError:
    root, part = reference.root, reference.parts[1]
    listed = ", ".join(f"`{root}.{name}`" for name in columns)
    hint = did_you_mean(part, columns) or (f"of an item there are {listed}" if columns else f"write `{root}`")
    return TemplateError(f"`{reference.text}` stands for nothing: the items are single values", hint=hint)


def check_items(sink: Sink, fan: FanOut, fields: dict[str, Any], signature: Signature | None, keys: Keys) -> None:
    """Hold what items give against where it is put: ways that lead to something, paths that lead nowhere else, parameters of the right types."""
    before = len(sink.problems)
    for field in VARYING:
        if field in fields:
            _check_ways(sink, fan, fields[field], (*keys, field))
    for field in ("if", "if_"):
        if isinstance(fields.get(field), str):
            _check_ways(sink, fan, fields[field], (*keys, field))
    if len(sink.problems) != before:
        return  # what follows looks into the items by these ways
    for field in ("if", "if_"):
        if isinstance(fields.get(field), str):
            _check_truth(sink, fan, fields[field], (*keys, field))
    for field in ("outputs", "cwd"):
        if field in fields:
            _check_paths(sink, fan, fields[field], (*keys, field))
    if signature is None:
        return
    for name, value in fields["params"].items():
        parameter = signature.parameters.get(name)
        known = all(reference.root in OF_ITEM for reference in _references(value))
        if parameter is not None and known and not takes_any_text(parameter.type, value):
            _check_param(sink, fan, signature, name, value, (*keys, "params", name))


def _check_ways(sink: Sink, fan: FanOut, value: Any, keys: Keys) -> None:
    """Each item has what references look for inside it."""
    for reference in _references(value):
        name, way = _way_into(reference, fan)
        if way and reference.root in OF_ITEM:
            place = f"{reference.root}.{name}" if name else reference.root
            try:
                for number, item in enumerate(fan.columns[name], 1):  # noqa: B007 - it is used when one fails
                    template.descend(reference, place, way, item)
            except TemplateError as error:
                sink.add("reference", f"{_which(fan, name, number)}: {error.message}", keys, hint=error.hint)
                return


def _check_truth(sink: Sink, fan: FanOut, value: str, keys: Keys) -> None:
    """Each item has a truth value where `if` looks for one."""
    for reference in _references(value):
        if reference.root not in OF_ITEM:
            continue
        name, way = _way_into(reference, fan)
        for number, item in enumerate(fan.columns[name], 1):
            found = plain(template.descend(reference, name, way, item))
            if not isinstance(found, bool) and found not in ("true", "false"):
                message = f"{_which(fan, name, number)}: `if` must be `true` or `false`, and `{reference.text}` is {describe(found)}"
                sink.add("type", message, keys, hint="write it like that in the items")
                return


def _which(fan: FanOut, name: str, number: int) -> str:
    """An item, or a value in a list of a matrix, for messages."""
    if fan.kind == "matrix":
        return f"value {number} of `{name}`"
    return f"`{name}` of item {number}" if name else f"item {number}"


def _check_paths(sink: Sink, fan: FanOut, value: Any, keys: Keys) -> None:
    texts = [value] if isinstance(value, str) else value
    # Only a path that is nothing but the item must not be empty: `out/${{ item }}.csv` is a path without it too.
    whole = {name for text in texts if len(template.split(text)) == 1 for name in _columns_in(text, fan)}
    for name in _columns_in(value, fan):
        for number, item in enumerate(fan.columns[name], 1):
            text = item if type(item) is str else template.as_text(item)
            why, hint = "", ""
            if ".." in text and ".." in text.replace("\\", "/").split("/"):
                why, hint = f"`{shorten(text)}` holds `..`", "a value must not lead out of a folder"
            elif name in whole and not text.strip():
                why = "it is empty"
            if why:
                at = _which(fan, name, number)
                sink.add("reference", f"{at} cannot be part of a path: {why}", keys, hint=hint)
                return


def _check_param(sink: Sink, fan: FanOut, signature: Signature, name: str, value: Any, keys: Keys) -> None:
    """Each value that a parameter gets, once: what the action's annotation refuses is found before anything runs."""
    used = _columns_in(value, fan)
    if not used:
        return
    lists = [fan.columns[column] for column in used]
    combined = product(*lists) if fan.kind == "matrix" else zip(*lists, strict=True)
    alone = Signature(signature.name, {name: signature.parameters[name]}, "none")
    seen = set()
    for number, values in enumerate(combined, 1):
        mark = repr(values)
        if mark in seen:
            continue
        seen.add(mark)
        item = dict(zip(used, values, strict=True))
        try:
            filled = template.fill(value, partial(_of_item, item))
            convert_params(alone, {name: filled}, _NOWHERE)
        except (ValueError, TemplateError) as error:
            shown = ", ".join(
                f"{column}={template.as_text(given)}" if column else template.as_text(given)
                for column, given in item.items()
            )
            where = f" (item {number}: {shorten(shown)})" if fan.kind == "rows" else f" (with {shorten(shown)})"
            sink.add("params", f"{error}{where}", keys)
            return


def _of_item(item: dict[str, Any], reference: Reference) -> Any:
    parts = reference.parts[1:]
    if parts and parts[0] in item:
        return template.descend(reference, reference.root, parts[1:], item[parts[0]])
    return template.descend(reference, reference.root, parts, item[""])


def takes_any_text(kind: Any, value: Any) -> bool:
    """Whether whatever an item gives fits: the parameter is a text or a path, or anything."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return any(takes_any_text(member, value) for member in typing.get_args(kind))
    return isinstance(value, str) and (
        kind in (str, Any, object) or (isinstance(kind, type) and issubclass(kind, PurePath))
    )


def _columns_in(value: Any, fan: FanOut) -> list[str]:
    """The columns that a value's references take from."""
    if not fan.columns:
        return []
    return list(dict.fromkeys(_way_into(one, fan)[0] for one in _references(value) if one.root in OF_ITEM))


def _way_into(reference: Reference, fan: FanOut) -> tuple[str, list[str]]:
    """The column that a reference means, and the way into its values."""
    parts = reference.parts[1:]
    return (parts[0], parts[1:]) if parts and parts[0] in fan.columns else ("", parts)


def _references(value: Any) -> list[Reference]:
    return template.references(list(value) if isinstance(value, tuple) else value)


def _matrix(sink: Sink, value: Any, keys: Keys, _: str, kept: Kept) -> tuple[Any, Columns]:
    given = dict(mapping(value))
    include, exclude = given.pop("include", None), given.pop("exclude", None)
    axes = _axes(sink, given, keys, kept)
    if not given and not include:
        raise Mismatch("must not be empty", code="value")
    if include is None and exclude is None:
        return "matrix", axes
    added = _mappings(sink, include, (*keys, "include"), kept)
    dropped = _mappings(sink, exclude, (*keys, "exclude"), kept)
    for number, pattern in enumerate(dropped):
        for name in pattern:
            if name not in axes:
                at = (*keys, "exclude", number, name)
                sink.add("items", f"`exclude` names `{shorten(name)}`, which the matrix does not have", at,
                         hint=did_you_mean(name, axes), at_key=True)  # fmt: skip
    return "rows", _combined(axes, added, dropped)


def _combined(axes: Columns, include: list[dict[str, Any]], exclude: list[dict[str, Any]]) -> Columns:
    """The combinations of a matrix, without those that `exclude` matches; `include` adds values to combinations, or new ones.

    As GitHub Actions defines it: an included mapping goes into every combination none of whose own values it would change, and is a
    combination of its own when there is none.
    """
    combinations: list[dict[str, Any]] = []
    if axes:
        names = list(axes)
        combinations = [dict(zip(names, values, strict=True)) for values in product(*axes.values())]
        combinations = [one for one in combinations if not any(pattern.items() <= one.items() for pattern in exclude)]
    originals = [dict(one) for one in combinations]
    for extra in include:
        shared = extra.keys() & axes.keys()
        fitting = [
            one
            for one, original in zip(combinations, originals, strict=False)
            if all(original[name] == extra[name] for name in shared)  # what `include` added before does not count
        ]
        if fitting and axes:
            for one in fitting:
                one.update(extra)
        else:
            combinations.append(dict(extra))
    names = list(dict.fromkeys([*axes, *(name for one in combinations for name in one)]))
    return {name: [one.get(name) for one in combinations] for name in names}


def _zip(sink: Sink, value: Any, keys: Keys, _: str, kept: Kept) -> tuple[Any, Columns]:
    axes = _axes(sink, mapping(value), keys, kept)
    if not value:
        raise Mismatch("must not be empty", code="value")
    lengths = {name: len(values) for name, values in axes.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"`{name}` has {length}" for name, length in lengths.items())
        raise Mismatch(f"must have lists of one length: {listed}", hint="`matrix` makes all combinations", code="value")
    return "rows", axes


def _axes(sink: Sink, given: dict[str, Any], keys: Keys, kept: Kept) -> Columns:
    axes: Columns = {}
    for name, values in given.items():
        at = (*keys, name)
        if not is_variable_name(name):
            sink.add(
                "name", f"`{shorten(name)}` cannot be a name here", at, hint="letters, digits, `_` and `-`", at_key=True
            )
        elif not isinstance(values, list):
            sink.add("type", f"`{label(at)}` must be a list, not {describe(values)}", at)
        elif not values:
            sink.add("value", f"`{label(at)}` must not be empty", at)
        else:
            axes[name] = [kept(item) for item in values]
    return axes


def _mappings(sink: Sink, value: Any, keys: Keys, kept: Kept) -> list[dict[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, list):
        sink.add("type", f"`{label(keys)}` must be a list, not {describe(value)}", keys)
        return []
    found = []
    for number, item in enumerate(value):
        if isinstance(item, dict) and item:
            found.append({name: kept(inner) for name, inner in item.items()})
        else:
            sink.add("type", f"`{label((*keys, number))}` must be a mapping, not {describe(item)}", (*keys, number))
    return found


def _foreach(sink: Sink, value: Any, keys: Keys, folder: str, kept: Kept) -> tuple[Any, Columns]:
    declared: dict[str, Any] = {}
    if isinstance(value, dict):
        given = dict(value)
        declared = _types(given.pop("types", None))
        if len(given) != 1:
            raise Mismatch(f"must have one of {', '.join(f'`{kind}`' for kind in SOURCES)}, and perhaps `types`")
        ((kind, source),) = given.items()
        if kind not in SOURCES:
            raise Mismatch(f"cannot be read from `{shorten(kind)}`", hint=did_you_mean(kind, SOURCES) or _ABOUT_FOREACH)
        if kind == "command" and not sink.commands:
            _apply_types(sink, {"": []}, declared, (*keys, "types"))
            return "result", {}
        if isinstance(source, tuple):  # a command with values
            shown, call = source
            columns = items_of_command(shown, call, folder)
        else:
            columns = read_items(kind, _source_text(source, kind), folder)
    elif isinstance(value, list):
        columns = rows_to_columns(map(kept, value))
    else:
        text = _source_text(value, "foreach")
        found = source_of(text)  # the kind by its suffix or its wildcards, as a reader of the file would tell it
        if found is None:
            raise Mismatch(f"must be {_ABOUT_FOREACH}, not {describe(text)}")
        columns = read_items(found, text, folder)
    _apply_types(sink, columns, declared, (*keys, "types"))
    if not columns or not any(columns.values()):
        sink.add("items", f"`{label(keys)}` has no items, so no job is made of it", keys)
        sink.problems[-1] = _as_warning(sink.problems[-1])
    return "rows", columns or {"": []}


def _types(value: Any) -> dict[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise Mismatch(f"has `types` that must be a mapping, not {describe(value)}", hint="write `types: {NAME: int}`")
    return value or {}


def _as_warning(problem: Any) -> Any:
    import msgspec

    return msgspec.structs.replace(problem, severity="warning")


def _source_text(value: Any, what: str) -> str:
    text = value.text if isinstance(value, RawScalar) else value
    if not isinstance(text, str) or not text.strip():
        where = _ABOUT_FOREACH if what == "foreach" else f"a text behind `{what}`"
        raise Mismatch(f"must be {where}, not {describe(value)}")
    return text


def _apply_types(sink: Sink, columns: Columns, types: dict[str, Any], keys: Keys) -> None:
    """Make numbers and truth values of the columns that are declared to hold them."""
    for name, kind in types.items():
        at = (*keys, name)
        if name not in columns:
            sink.add("items", f"`types` names `{shorten(name)}`, which the items do not have", at,
                     hint=did_you_mean(name, columns), at_key=True)  # fmt: skip
        elif kind not in _KINDS:
            listed = ", ".join(f"`{one}`" for one in _KINDS)
            sink.add("value", f"`{shorten(name)}` must be one of {listed}, not {describe(kind)}", at)
        else:
            _apply_type(sink, columns, name, kind, at)


def _apply_type(sink: Sink, columns: Columns, name: str, kind: str, keys: Keys) -> None:
    from joblot.config.variables import from_text

    values = []
    for number, value in enumerate(columns[name], 1):
        made = plain(from_text(kind, value)) if isinstance(value, str) else value
        if isinstance(value, str) and not isinstance(made, (str, bool, int, float)):
            sink.add("items", f"item {number}: `{name}` is {describe(value)}, not of the type `{kind}`", keys)
            return
        values.append(made)
    columns[name] = values


def _as_written(value: Any) -> Any:
    """An item as a text: what was typed. A mapping keeps its names."""
    if isinstance(value, dict):
        return {name: _as_written(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_as_written(item) for item in value]
    return value if value is None else template.as_text(value)


def inspect_values(sink: Sink, columns: Columns, keys: Keys) -> None:
    """Items come from anywhere: none may hold what no batch may hold."""
    for name, values in columns.items():
        odd: list[Any] = []
        inspect({name: None}, keys, odd)
        if odd:
            sink.add(odd[0].code, odd[0].message, keys)
            return
        for number, value in enumerate(values, 1):
            if type(value) is str and value.isprintable() and len(value) < 10_000:
                continue
            found: list[Any] = []
            inspect(value, keys, found)
            if found:
                column = f"`{name}` " if name else ""
                sink.add(found[0].code, f"item {number}: {column}{found[0].message}", keys, hint=found[0].hint)
                return


def _refuse_secrets(sink: Sink, columns: Columns, secrets: Secrets, keys: Keys) -> None:
    """Items stand in names, texts and the journal, where no secret may be."""
    if not any(secrets.values()):
        return
    from joblot.config.secrets import secret_in

    for name, values in columns.items():
        for number, value in enumerate(values, 1):
            if secret := secret_in(value, secrets):
                column = f"`{name}` of item {number}" if name else f"item {number}"
                hint = f"a command finds it in its environment: write `${secret}`"
                sink.add("items", f"{column} holds the value of the secret `{secret}`", keys, hint=hint)
                return


_READERS: Final[dict[str, Callable[[Sink, Any, Keys, str, Kept], tuple[Any, Columns]]]] = {
    "matrix": _matrix,
    "zip": _zip,
    "foreach": _foreach,
}
