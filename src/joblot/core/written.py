"""Values as a file gives them, before their field decides what they are; how a text is shown in one line."""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class RawScalar(Struct, frozen=True):
    """A number or a truth value from a file, which its field may still want as a text: `6920`, `01.10`, `1e3`, `true`."""

    text: str
    value: bool | float


def plain(value: Any, done: dict[int, Any] | None = None) -> Any:
    """The value with each `RawScalar` replaced by its number or truth value.

    What stands in it at several places stays one object: copied for each, a hundred bytes of aliases would become millions of values.
    """
    if isinstance(value, RawScalar):
        return value.value
    if not isinstance(value, (dict, list)):
        return value
    done = {} if done is None else done
    if id(value) not in done:
        done[id(value)] = (
            {key: plain(item, done) for key, item in value.items()}
            if isinstance(value, dict)
            else [plain(item, done) for item in value]
        )
    return done[id(value)]


def shorten(text: str, limit: int = 60) -> str:
    """The text on one line, cut after `limit` characters, with whatever cannot be shown escaped."""
    cut = text if len(text) <= limit else text[: limit - 3] + "..."
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in cut)
