"""Keeps declared secrets out of everything that joblot writes: logs, results, messages."""

from __future__ import annotations

import os
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from joblot.core.model import Artifact, Config, LogLine, Outcome
    from joblot.executors.spellings import Spellings

STARS: Final = b"***"
_PROTECTED: Final = '${{ "${{" }}'
"""How the texts of a job that are templates write the three characters that open a reference."""
_MAX_MEMORY: Final = 256 * 2**20
"""Bytes that RE2 may take for a pattern; one for a secret of a line needs less than a hundredth."""
_LARGE: Final = 150_000
"""Bytes of spellings from which on there is one more pattern: RE2 refuses patterns that are several times larger."""


class Mask:
    """Replaces the values of secrets by `***`, as they are and as programs escape and encode them.

    `names` are environment variables. A value is whatever one of them has in this process's environment, or in one of `environments`.
    """

    def __init__(self, names: Iterable[str] = (), environments: Iterable[Mapping[str, str]] = ()) -> None:
        names = tuple(names)
        self._forms = _forms_of(frozenset(_values(names, environments))) if names else None

    @classmethod
    def of(cls, config: Config, environments: Iterable[Mapping[str, str]] = ()) -> Mask:
        """The mask of a batch: its own `env` and that of its jobs are looked at too, beside the given ones."""
        if not config.secrets:
            return cls()
        return cls(config.secrets, [config.env, *(spec.env for spec in config.jobs if spec.env), *environments])

    def __bool__(self) -> bool:
        return self._forms is not None

    @property
    def longest(self) -> int:
        """Bytes of the longest text that is masked; 1 when there is none."""
        return self._forms.longest if self._forms is not None else 1

    def data(self, data: bytes) -> bytes:
        """The bytes without the secrets."""
        return self._forms.masked(data) if self._forms is not None else data

    def cut(self, data: bytes) -> int:
        """Where the bytes can be cut when others may follow: no secret, whole or begun, stands across the cut."""
        return self._forms.cut(data) if self._forms is not None else len(data)

    def text(self, text: str) -> str:
        """The text without the secrets."""
        if self._forms is None:
            return text
        data = text.encode("utf-8", "surrogateescape")
        masked = self._forms.masked(data)
        return text if masked == data else masked.decode("utf-8", "replace")

    def outcome(self, outcome: Outcome) -> None:
        """Take the secrets out of all texts of an outcome."""
        if self._forms is not None:
            outcome.result = self._json(outcome.result)
            outcome.message = self.text(outcome.message)
            outcome.reason = self.text(outcome.reason)
            outcome.logs = tuple(self._line(line) for line in outcome.logs)
            outcome.artifacts = tuple(self._artifact(artifact) for artifact in outcome.artifacts)

    def _json(self, encoded: bytes) -> bytes:
        """The JSON text without the secrets. It stays JSON: replaced is what its texts and numbers say, not how they are written."""
        import json  # not msgspec: the warden has this module

        if not encoded:
            return encoded
        try:
            value = json.loads(encoded)
            masked = self._value(value)
            return (
                encoded if masked == value else json.dumps(masked, ensure_ascii=False, separators=(",", ":")).encode()
            )
        except (ValueError, RecursionError):  # a secret may be in it, and nobody can tell where
            return b'"***"'

    def _line(self, line: LogLine) -> LogLine:
        from joblot.core.model import LogLine

        return LogLine(self.text(line.level), self.text(line.message), self._value(line.data))

    def _artifact(self, artifact: Artifact) -> Artifact:
        from joblot.core.model import Artifact

        return Artifact(self.text(artifact.path), artifact.size, artifact.sha256)

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            shown = repr(value)
            masked = self.text(shown)
            return value if masked == shown else masked
        if isinstance(value, list):
            return [self._value(item) for item in value]
        if isinstance(value, dict):
            return {self.text(key): self._value(item) for key, item in value.items()}
        return value


def _values(names: Iterable[str], environments: Iterable[Mapping[str, str]]) -> Iterable[bytes]:
    for name in names:
        yield os.environb.get(name.encode(), b"")
    for environment in environments:
        for name in names:
            text = environment.get(name, "")
            yield os.fsencode(text)
            yield os.fsencode(text.replace(_PROTECTED, "${{"))


@lru_cache(maxsize=8)
def _forms_of(values: frozenset[bytes]) -> _Forms | None:
    """Made once a process, before others are forked from it; None when no value is long enough."""
    from joblot.executors.spellings import ways_to_write

    ways = {tuple(way) for value in sorted(values) for way in ways_to_write(value)}
    # The longest first: of a value of several lines the whole is looked for before its lines.
    return _Forms(sorted(ways, key=lambda way: (-len(way), way))) if ways else None


_Way = list[dict[int, "Spellings"]]
"""The characters of one way to write a secret; the spellings of each by their first byte."""


class _Forms:
    """All forms of all secrets, as one pattern."""

    def __init__(self, ways: Sequence[Sequence[Spellings]]) -> None:
        # RE2 looks for thousands of forms in one pass, in linear time: 150 to 400 MB/s, where `re` would try each at every byte.
        import re2

        options = re2.Options()
        options.encoding = re2.Options.Encoding.LATIN1  # bytes
        options.longest_match = True
        options.never_capture = True
        options.log_errors = False
        options.max_mem = _MAX_MEMORY
        self._patterns = [
            re2.compile(b"|".join(b"".join(map(_alternatives, way)) for way in some), options=options)
            for some in _in_parts(ways)
        ]
        self.longest = max(sum(max(map(len, spellings)) for spellings in way) for way in ways)
        self._by_first: dict[int, list[_Way]] = {}
        """The ways to write a secret by the first byte."""
        for way in ways:
            indexed = [_indexed(spellings) for spellings in way]
            for first in indexed[0]:
                self._by_first.setdefault(first, []).append(indexed)

    def masked(self, data: bytes) -> bytes:
        """The data with stars in place of the secrets."""
        for pattern in self._patterns:
            data = pattern.sub(STARS, data)
        return data

    def cut(self, data: bytes) -> int:
        """As `Mask.cut`."""
        start = max(0, len(data) - self.longest + 1)
        cut = next((at for at in range(start, len(data)) if self._begins_at(data, at)), len(data))
        while (earlier := min(self._starts_across(data, cut), default=cut)) < cut:
            cut = earlier  # it may lie in another secret now
        return cut

    def _starts_across(self, data: bytes, cut: int) -> Iterator[int]:
        near = data[: cut + self.longest]
        for pattern in self._patterns:
            for match in pattern.finditer(near, max(0, cut - self.longest)):
                first, end = match.span()
                if first < cut < end:
                    yield first

    def _begins_at(self, data: bytes, at: int) -> bool:
        """Whether all data from there on is the beginning of a secret, and more could follow."""
        ways = self._by_first.get(data[at], ())
        if ways and at + 1 < len(data) and not data[at + 1 :].strip(b"\r\n"):
            # One letter at the end of a line may begin a base64 text that is broken there. Nearly always it does not, and a line would
            # wait for the next one without its last letter.
            return False
        return any(_is_begun(data, at, way) for way in ways)


def _is_begun(data: bytes, at: int, way: _Way) -> bool:
    ends, size = {at}, len(data)
    for spellings in way:
        reached = set()
        for end in ends:
            if end == size:
                return True
            for spelling in spellings.get(data[end], ()):
                if data.startswith(spelling, end):
                    reached.add(end + len(spelling))
                elif size - end < len(spelling) and spelling.startswith(data[end:]):
                    return True
        if not reached:
            return False
        ends = reached
    return False


@cache
def _indexed(spellings: Spellings) -> dict[int, Spellings]:
    index: dict[int, Spellings] = {}
    for spelling in spellings:
        index[spelling[0]] = (*index.get(spelling[0], ()), spelling)
    return index


def _in_parts(ways: Sequence[Sequence[Spellings]]) -> Iterator[list[Sequence[Spellings]]]:
    part: list[Sequence[Spellings]] = []
    size = 0
    for way in ways:
        part.append(way)
        size += sum(sum(map(len, spellings)) for spellings in way)
        if size > _LARGE:
            yield part
            part, size = [], 0
    if part:
        yield part


@cache
def _alternatives(spellings: Spellings) -> bytes:
    import re

    escaped = [re.escape(spelling) for spelling in spellings]
    return escaped[0] if len(escaped) == 1 else b"(?:%s)" % b"|".join(escaped)
