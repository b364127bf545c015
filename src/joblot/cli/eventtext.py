"""Events as lines for people: one line an event, jobs by their names. It does not know where records come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from joblot.clock import iso_utc
from joblot.reports.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from joblot.core.events import Record

_MANY: Final = 10
"""Of longer lists of jobs only the beginning is shown."""
_LONG: Final = 300
"""Of longer results only the beginning is shown."""
_JOBS: Final = ("job", "cause")
"""Fields that hold the number of a job, or -1."""


def event_lines(record: Record, name: Callable[[int], str]) -> Iterator[str]:
    """`2026-11-20T10:24:57.123Z attempt_ended job=fetch attempt=1 outcome=ok ...` for each event of a record.

    What is empty or 0 is left out.
    """
    at = iso_utc(record.at)
    for event in record.events:
        fields = {key: _shown(key, value, name) for key, value in msgspec.structs.asdict(event).items()}
        kind = str(event.__struct_config__.tag)
        yield " ".join([at, kind, *(f"{key}={text}" for key, text in fields.items() if text)])


def _shown(key: str, value: Any, name: Callable[[int], str]) -> str:
    # Jobs come first: 0 is a job's number as well as an empty value. A text is quoted only where a space would break `key=value` apart, so
    # that ids and states can be cut out of a line by any tool.
    if key in _JOBS:
        return name(value) if value >= 0 else ""
    if key == "jobs" and isinstance(value, list):
        names = [name(job) for job in value[:_MANY]]
        return ",".join(names) + (f",...({len(value)})" if len(value) > _MANY else "")
    if not value:
        return ""
    if isinstance(value, str):
        text = one_line(value)
        return msgspec.json.encode(text).decode() if " " in text else text
    if isinstance(value, float):
        return f"{value:.6g}"
    text = one_line(msgspec.json.encode(value).decode())
    return text if len(text) <= _LONG else f"{text[:_LONG]}..."
