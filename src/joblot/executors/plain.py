"""What an action returned as plain data that JSON can say without changing it, or the place of what it cannot say.

Loaded only when the encoder refuses a result, or when it does not read back as it was: the walk costs more than the encoding.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping, Sequence, ValuesView
from collections.abc import Set as AbstractSet
from enum import Enum
from math import isfinite
from typing import Any, Final, NoReturn

import msgspec

from joblot.core.written import shorten
from joblot.errors import JoblotError

_BYTES: Final = (bytes, bytearray, memoryview)
_LISTS: Final = (Sequence, AbstractSet, ValuesView, deque)
_KEY_TYPES: Final = "Only dicts with str-like or number-like keys are supported"


def plain_result(result: Any) -> Any:
    """The result as dictionaries, lists, texts, numbers, truth values and None.

    Paths and what has an ISO form become texts, subclasses of texts and numbers their plain kind, scalars of number libraries
    what `.item()` gives, sequences and sets lists.

    Raises:
        JoblotError: JSON cannot say it: not a number, infinity, two keys that become the same text, an object of another type.
    """
    try:
        return _plain(result, "")
    except RecursionError:
        raise JoblotError("the result cannot be written as JSON: it is nested too deeply") from None


def _plain(value: Any, place: str) -> Any:
    kind = type(value)
    if value is None or kind is bool:
        return value
    if isinstance(value, Enum):
        return _plain(value.value, place)
    if isinstance(value, str):
        return _text(str.__str__(value), place)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return _finite(float.__float__(value), place)
    if isinstance(value, Mapping):
        return _mapping(value, place)
    if isinstance(value, _LISTS) and not isinstance(value, _BYTES):
        items = []
        for number, item in enumerate(value):
            items.append(_plain(item, f"{place}[{number}]"))  # a comprehension is a frame more for each level
        return items
    if isinstance(value, os.PathLike):
        return _text(os.fsdecode(value), place)
    return _object(value, place)


def _mapping(value: Mapping[Any, Any], place: str) -> dict[str, Any]:
    built: dict[str, Any] = {}
    for key, item in value.items():
        text = _key(key, place)
        if text in built:
            _refuse(place, f"two keys become the same text `{shorten(text)}`")
        built[text] = _plain(item, f"{place}.{text}" if place else text)
    return built


def _key(key: Any, place: str) -> str:
    """The text that a key becomes, as the encoder writes it."""
    plain = None if isinstance(key, (Mapping, tuple, frozenset)) else _plain(key, place)
    if plain is None or isinstance(plain, (bool, list, dict)):
        _refuse(place, _KEY_TYPES)
    return plain if isinstance(plain, str) else msgspec.json.encode(plain).decode()


def _object(value: Any, place: str) -> Any:
    """What is none of Python's own containers, texts and numbers: an object of a library, or one that the encoder knows."""
    if (scalar := _scalar(value, place)) is not None:
        return scalar
    try:
        built = msgspec.to_builtins(value, enc_hook=lambda inner: _known(inner, place))
    except (TypeError, ValueError, OverflowError) as error:
        _refuse(place, str(error))
    if built != built or built in ("NaN", "-NaN", "sNaN", "-sNaN", "Infinity", "-Infinity"):  # noqa: PLR0124 - of decimal numbers
        _refuse(place, f"JSON has no {shorten(str(value))}")
    return _plain(built, place)


def _known(value: Any, place: str) -> Any:
    """What stands within a dataclass or a struct and the encoder does not know."""
    if isinstance(value, (str, int, float, Mapping, os.PathLike, *_LISTS)):
        return _plain(value, place)
    scalar = _scalar(value, place)
    if scalar is None:
        raise TypeError(f"Encoding objects of type {type(value).__name__} is unsupported")
    return scalar


def _scalar(value: Any, place: str) -> Any:
    """The plain form of a moment in time or a single number of a library; None when it is neither."""
    if isinstance(value, type) or getattr(value, "shape", ()) != ():
        return None
    unit = getattr(getattr(value, "dtype", None), "kind", "")
    moment = unit in ("M", "m") and unit != ""
    isoformat, item = getattr(value, "isoformat", None), getattr(value, "item", None)
    if type(value).__module__ == "datetime" or not (moment or callable(isoformat) or callable(item)):
        return None  # the encoder knows those of the standard library
    mask = getattr(value, "mask", False)  # `.item()` of a masked scalar is a number that is none
    if value != value or (not callable(mask) and mask):  # noqa: PLR0124 - the mark of not a number and not a time
        _refuse(place, f"JSON has no {shorten(str(value))}")
    if moment:  # `.item()` of nanoseconds is a bare number
        return _text(str(value), place)
    if callable(isoformat):
        return _text(str(isoformat()), place)
    assert callable(item)
    number = item()
    if type(number) is type(value) or number is None:  # a long double of NumPy gives itself
        return None
    return _plain(number, place)


def _finite(number: float, place: str) -> float:
    if not isfinite(number):
        _refuse(place, f"JSON has no {number}")
    return number


def _text(text: str, place: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        _refuse(place, str(error))
    return text


def _refuse(place: str, why: str) -> NoReturn:
    at = f" at `{shorten(place, 200)}`" if place else ""
    raise JoblotError(f"the result cannot be written as JSON{at}: {why}")
