"""Validates a job's `params` by the signature of its action.

One walk along the annotated type serves both ends: `fit_params` before a run, when values are as written and some are not known
yet, and `convert_params` when an attempt starts and the action wants real `Path`s, dates and enumerations.
"""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path, PurePath
from typing import Any, Final

import msgspec

from joblot.config.tree import Keys, describe, path_text
from joblot.core.references import OPENING
from joblot.core.written import RawScalar, plain
from joblot.errors import did_you_mean

if typing.TYPE_CHECKING:
    from joblot.core.model import Signature

_NAMES: Final = {str: "text", bool: "`true` or `false`", int: "a whole number", float: "a number", type(None): "null"}
_LISTS: Final = (list, tuple, set, frozenset, Sequence, Iterable, Collection, AbstractSet)
_CONTAINERS: Final = (*_LISTS, dict, Mapping)
_NO_TEXT_BOOLS: Final = frozenset({"yes", "no", "on", "off", "y", "n", "true", "false"})


class Unfit(Exception):  # noqa: N818 - always caught here: what it says becomes a problem or a ValueError
    """A value is not of the annotated type: `message` goes on from the parameter's name, `keys` lead to the position inside the value."""

    def __init__(self, message: str, *, hint: str = "", keys: Keys = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.keys = keys


class Misfit(msgspec.Struct, frozen=True):
    """One thing wrong with `params`: at a value, or at its key."""

    keys: Keys
    message: str
    hint: str = ""
    at_key: bool = False


Leaf = Callable[[Any, Any, bool], Any]
"""Fits a single value to a type that holds no others; the last argument allows for a value written in another type's form."""


def fit_params(
    signature: Signature, params: Mapping[str, Any], *, deferred_ok: bool = True
) -> tuple[dict[str, Any], list[Misfit]]:
    """The parameters as plain JSON values, with texts where the action wants texts, and what is wrong with them.

    With `deferred_ok` a value that holds a `${{ ... }}` reference fits any type.
    """
    # Everything wrong is gathered: who writes a batch file mends it in one go. `convert_params` stops at the first.
    leaf = _check_leaf_or_reference if deferred_ok else _check_leaf
    fitted: dict[str, Any] = {}
    misfits: list[Misfit] = []
    for name, value in params.items():
        parameter = signature.parameters.get(name)
        if parameter is None:
            if not signature.open:
                misfits.append(_unknown(signature, name))
            fitted[name] = plain(value)
            continue
        try:
            fitted[name] = _fit(value, parameter.type, leaf, as_json=True)
        except Unfit as error:
            label = path_text((name, *error.keys))
            message = f"parameter `{label}` of action `{signature.name}` must be {error.message}"
            misfits.append(Misfit((name, *error.keys), message, error.hint))
    # A parameter that a misspelt key stands for is not told of as missing too.
    meant = " ".join(misfit.hint for misfit in misfits if misfit.at_key and misfit.hint.startswith("did you"))
    misfits += [
        Misfit((), f"action `{signature.name}` needs the parameter `{name}`", "add it to `params`")
        for name, parameter in signature.parameters.items()
        if parameter.required and name not in params and f"`{name}`" not in meant
    ]
    return fitted, misfits


def _unknown(signature: Signature, name: str) -> Misfit:
    known = signature.parameters
    listed = ", ".join(f"`{parameter}`" for parameter in known)
    hint = did_you_mean(name, known) or (f"it takes {listed}" if known else "it takes none")
    return Misfit((name,), f"action `{signature.name}` has no parameter `{name}`", hint, at_key=True)


def convert_params(signature: Signature, params: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The parameters as the action's annotations ask for them; a relative `Path` is one below `folder`.

    Raises:
        ValueError: a value cannot be converted, a parameter is missing or unknown; the message names it.
    """
    leaf = _converting(folder)
    converted: dict[str, Any] = {}
    known = signature.parameters
    for name, value in params.items():
        parameter = known.get(name)
        if parameter is None:
            if not signature.open:
                raise ValueError(_unknown(signature, name).message)
            converted[name] = value
            continue
        try:
            converted[name] = _fit(value, parameter.type, leaf, as_json=False)
        except Unfit as error:
            raise ValueError(f"parameter `{path_text((name, *error.keys))}` must be {error.message}") from None
    for name, parameter in known.items():
        if parameter.required and name not in params:
            raise ValueError(f"action `{signature.name}` needs the parameter `{name}`")
    return converted


def _fit(value: Any, kind: Any, leaf: Leaf, *, as_json: bool, lenient: bool = True) -> Any:
    if kind is Any or kind is object:
        return plain(value)
    # By hand and not by `msgspec.convert` alone: that knows neither texts as they were typed nor references that
    # are not filled in yet, refuses types that only the action understands, and its messages name no keys of ours.
    origin = typing.get_origin(kind) or (kind if kind in _CONTAINERS else None)
    if origin is None:
        if hasattr(kind, "__supertype__"):
            return _fit(value, kind.__supertype__, leaf, as_json=as_json, lenient=lenient)
        return leaf(value, kind, lenient)
    if isinstance(value, str) and OPENING in value and leaf is _check_leaf_or_reference:
        return value
    if origin is typing.Union or origin is types.UnionType:
        return _fit_union(value, typing.get_args(kind), leaf, as_json=as_json)
    if origin is typing.Annotated:
        return _fit_annotated(value, kind, leaf, as_json=as_json, lenient=lenient)
    if origin is typing.Literal:
        return _fit_literal(value, typing.get_args(kind), lenient)
    if origin in _LISTS:
        return _fit_list(value, origin, typing.get_args(kind), leaf, as_json=as_json)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _fit_mapping(value, typing.get_args(kind), leaf, as_json=as_json)
    return leaf(value, kind, lenient)


def _fit_union(value: Any, kinds: tuple[Any, ...], leaf: Leaf, *, as_json: bool) -> Any:
    """The first member that takes the value as it is; else the first that takes it in another form."""
    # Two rounds, or `str | int` would make a text of 5. The message of the member that got deepest into the value is the most useful.
    failed: Unfit | None = None
    for lenient in (False, True):
        for kind in kinds:
            try:
                return _fit(value, kind, leaf, as_json=as_json, lenient=lenient)
            except Unfit as error:
                if failed is None or len(error.keys) > len(failed.keys):
                    failed = error
    if failed is not None and (failed.keys or len([kind for kind in kinds if kind is not type(None)]) == 1):
        raise failed
    names = " or ".join(type_name(kind) for kind in kinds)
    raise Unfit(f"{names}, not {describe(value)}")


def _fit_annotated(value: Any, kind: Any, leaf: Leaf, *, as_json: bool, lenient: bool) -> Any:
    fitted = _fit(value, typing.get_args(kind)[0], leaf, as_json=as_json, lenient=lenient)
    if isinstance(fitted, str) and OPENING in fitted:
        return fitted
    try:
        msgspec.convert(fitted, kind)
    except msgspec.ValidationError as error:
        raise Unfit(f"as its type says: {_lowered(str(error))}") from None
    except TypeError:
        pass  # annotated for somebody else
    return fitted


def _fit_literal(value: Any, choices: tuple[Any, ...], lenient: bool) -> Any:
    # Types are compared as well: True == 1 == 1.0 in Python, but no batch file means one by the other.
    for choice in choices:
        if isinstance(value, RawScalar):
            if (type(choice) is type(value.value) and choice == value.value) or (lenient and choice == value.text):
                return choice
        elif type(choice) is type(value) and choice == value:
            return choice
    texts = [choice for choice in choices if isinstance(choice, str)]
    hint = did_you_mean(value, texts) if isinstance(value, str) else ""
    raise Unfit(f"{_one_of(choices)}, not {describe(value)}", hint=hint)


def _one_of(choices: Iterable[Any]) -> str:
    return " or ".join(f"`{'true' if item is True else 'false' if item is False else item}`" for item in choices)


def _fit_list(value: Any, origin: Any, kinds: tuple[Any, ...], leaf: Leaf, *, as_json: bool) -> Any:
    if not isinstance(value, (list, tuple)):
        text = value.text if isinstance(value, RawScalar) else value
        hint = f"write `[{text}]`" if isinstance(text, str) and 0 < len(text) < 40 else ""
        raise Unfit(f"a list, not {describe(value)}", hint=hint)
    if origin is tuple and kinds and kinds[-1] is not Ellipsis:
        if len(kinds) != len(value):
            raise Unfit(f"a list of {len(kinds)}, not of {len(value)}")
        each = list(kinds)
    else:
        each = [kinds[0] if kinds else Any] * len(value)
    # As JSON a set is a list: the plan is stored, and the set is made when the attempt starts.
    fitted = [
        _fit_inside(item, kind, number, leaf, as_json=as_json)
        for number, (item, kind) in enumerate(zip(value, each, strict=True))
    ]
    return fitted if as_json or origin not in (tuple, set, frozenset, AbstractSet) else _collected(fitted, origin)


def _collected(items: list[Any], origin: Any) -> Any:
    try:
        return set(items) if origin is AbstractSet else origin(items)
    except TypeError:
        raise Unfit("a list of single values") from None


def _fit_mapping(value: Any, kinds: tuple[Any, ...], leaf: Leaf, *, as_json: bool) -> Any:
    if not isinstance(value, Mapping):
        raise Unfit(f"a mapping, not {describe(value)}")
    key_kind, kind = kinds if len(kinds) == 2 else (str, Any)
    fitted = {}
    for key, item in value.items():
        inner = _fit_inside(item, kind, key, leaf, as_json=as_json)
        fitted[key if as_json or key_kind is str else _fit_inside(key, key_kind, key, leaf, as_json=False)] = inner
    return fitted


def _fit_inside(value: Any, kind: Any, key: str | int, leaf: Leaf, *, as_json: bool) -> Any:
    try:
        return _fit(value, kind, leaf, as_json=as_json)
    except Unfit as error:
        raise Unfit(error.message, hint=error.hint, keys=(key, *error.keys)) from None


def _check_leaf_or_reference(value: Any, kind: Any, lenient: bool) -> Any:
    if isinstance(value, str) and OPENING in value:
        return value
    return _check_leaf(value, kind, lenient)


def _check_leaf(value: Any, kind: Any, lenient: bool) -> Any:
    """The value as JSON, when it is of the type as written."""
    # Exact types, because True is an `int` in Python; a whole number may stand for a float, as JSON has only numbers.
    core = value.value if isinstance(value, RawScalar) else value
    if kind is str or _is_path(kind):
        if isinstance(value, str):
            return value
        if isinstance(value, RawScalar) and lenient:
            return value.text
    elif kind is float:
        if isinstance(core, (int, float)) and not isinstance(core, bool):
            return core
    elif kind in _NAMES:
        if type(core) is kind:
            return core
    else:
        return _check_other(value, kind)
    raise _wrong(value, kind)


def _wrong(value: Any, kind: Any) -> Unfit:
    hint = ""
    if kind is bool and isinstance(value, str) and value.lower() in _NO_TEXT_BOOLS:
        hint = "write `true` or `false`, without quotes"
    elif kind in (int, float) and isinstance(value, str) and value.strip().lstrip("-").isdecimal():
        hint = "write the number without quotes, in the form `12`"
    elif kind is str and isinstance(value, (int, float)):
        hint = "put it in quotes"
    return Unfit(f"{type_name(kind)}, not {describe(value)}", hint=hint)


def _check_other(value: Any, kind: Any) -> Any:
    """Dates, enumerations, structs: what can be converted may stay as it was written."""
    written = value.text if isinstance(value, RawScalar) and _reads_text(kind) else plain(value)
    _convert_other(written, kind, Path(), strict=True)
    return written


def _reads_text(kind: Any) -> bool:
    """Whether the type is read from a text, so that what was typed matters."""
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return any(isinstance(member.value, str) for member in kind)
    return isinstance(kind, type) and kind.__module__ in ("datetime", "decimal", "uuid")


def _converting(folder: Path) -> Leaf:
    def convert_leaf(value: Any, kind: Any, lenient: bool) -> Any:
        if type(value) is kind:
            return value
        if _is_path(kind) and isinstance(value, (str, PurePath)):
            return folder / value
        if kind in _NAMES:
            return _convert_simple(value, kind, lenient)
        return _convert_other(value, kind, folder, strict=not lenient)

    return convert_leaf


def _convert_simple(value: Any, kind: Any, lenient: bool) -> Any:
    # A reference to an item of a CSV file brings a text, whatever the column holds: it becomes what the annotation says.
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is str and lenient and isinstance(value, (int, float)):
        return ("true" if value else "false") if isinstance(value, bool) else str(value)
    if lenient and isinstance(value, str) and kind is not str:
        try:
            return msgspec.convert(value, kind, strict=False)
        except msgspec.ValidationError:
            pass
    raise _wrong(value, kind)


def _convert_other(value: Any, kind: Any, folder: Path, *, strict: bool) -> Any:
    def hook(kind: type, item: Any) -> Any:
        if _is_path(kind) and isinstance(item, str):
            return folder / item
        if kind in type(item).__mro__:
            return item
        raise NotImplementedError

    if kind in type(value).__mro__:  # not `isinstance`: some types refuse to be asked
        return value
    try:
        return msgspec.convert(value, kind, strict=strict, dec_hook=hook)
    except msgspec.ValidationError as error:
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            choices = [member.value for member in kind]
            hint = did_you_mean(value, [str(choice) for choice in choices]) if isinstance(value, str) else ""
            raise Unfit(f"{_one_of(choices)}, not {describe(value)}", hint=hint) from None
        hint = "" if _reads_text(kind) else _lowered(str(error))
        raise Unfit(f"{type_name(kind)}, not {describe(value)}", hint=hint) from None
    except (TypeError, NotImplementedError):
        return value  # a type that only the action itself understands


def _is_path(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, PurePath)


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]


def type_name(kind: Any) -> str:
    """How a message calls a type."""
    if kind in _NAMES:
        return _NAMES[kind]
    if _is_path(kind):
        return "a path"
    name = getattr(kind, "__name__", "")
    known = {
        "date": "a date such as `2026-11-20`",
        "datetime": "a time such as `2026-11-20T10:24:57Z`",
        "Decimal": "a decimal number",
    }
    origin = typing.get_origin(kind)
    if origin in _LISTS or kind in _LISTS:
        return "a list"
    if origin is typing.Literal:
        return _one_of(typing.get_args(kind))
    if origin is dict or kind is dict:
        return "a mapping"
    return known.get(name, f"a `{name or kind}`")
