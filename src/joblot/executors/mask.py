"""Keeps declared secrets out of everything that joblot writes: logs, results, messages."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from joblot.core.model import LogLine, Outcome

STARS: Final = b"***"
SHORTEST: Final = 4
"""Values shorter than this are not masked: they occur everywhere, and would turn logs into stars."""


class Mask:
    """Replaces the values of environment variables, also as base64, URL-quoted or JSON-escaped text, by `***`."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        forms: set[bytes] = set()
        for name in names:
            value = os.environb.get(name.encode(), b"")
            if len(value) >= SHORTEST:
                forms |= _forms(value)
        self._forms = sorted(forms, key=len, reverse=True)

    def __bool__(self) -> bool:
        return bool(self._forms)

    @property
    def longest(self) -> int:
        """Bytes of the longest text that is masked; 1 when there is none."""
        return len(self._forms[0]) if self._forms else 1

    def data(self, data: bytes) -> bytes:
        """The bytes without the secrets."""
        for form in self._forms:
            data = data.replace(form, STARS)
        return data

    def cut(self, data: bytes) -> int:
        """Where the bytes can be cut when others may follow: no secret, whole or begun, stands across the cut."""
        overlap = max((_overlap(data, form) for form in self._forms), default=0)
        cut = len(data) - overlap
        # A cut that was moved out of one secret may lie in another now.
        moved = True
        while moved:
            moved = False
            for form in self._forms:
                at = data.find(form, max(0, cut - len(form) + 1), cut + len(form) - 1)
                if 0 <= at < cut:
                    cut, moved = at, True
        return cut

    def text(self, text: str) -> str:
        """The text without the secrets."""
        return (
            self.data(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")
            if self._forms
            else text
        )

    def outcome(self, outcome: Outcome) -> None:
        """Take the secrets out of all texts of an outcome."""
        if self._forms:
            outcome.result = self.data(outcome.result)
            outcome.message = self.text(outcome.message)
            outcome.reason = self.text(outcome.reason)
            outcome.logs = tuple(self._line(line) for line in outcome.logs)

    def _line(self, line: LogLine) -> LogLine:
        from joblot.core.model import LogLine

        return LogLine(self.text(line.level), self.text(line.message), self._value(line.data))

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self._value(item) for item in value]
        if isinstance(value, dict):
            return {self.text(key): self._value(item) for key, item in value.items()}
        return value


def _overlap(data: bytes, form: bytes) -> int:
    """How many bytes at the end of the data are a beginning of the form, and not all of it."""
    for count in range(min(len(form) - 1, len(data)), 0, -1):
        if data.endswith(form[:count]):
            return count
    return 0


def _forms(value: bytes) -> set[bytes]:
    import base64
    import json
    from urllib.parse import quote, quote_plus

    escaped = json.dumps(value.decode("utf-8", "replace"))[1:-1].encode()
    quoted = {quote(value, safe="").encode(), quote_plus(value).encode()}
    return {value, base64.b64encode(value), base64.urlsafe_b64encode(value).rstrip(b"="), escaped} | quoted
