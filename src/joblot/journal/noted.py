"""Last successes that the database has not got yet: a file for each batch beside it, a line a success, each with its own hash.

The database takes them in groups, and a kill may come first. A success that is noted here and was never recorded is none the less true: its
files are compared before anything is made of it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Raw, Struct

from joblot.core.provenance import LastSuccess
from joblot.digest import blake2b
from joblot.errors import UntrustedError
from joblot.files import open_own, read_own

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_NONE: Final = b"null"


class _Line(Struct, array_like=True):
    job: str
    parts: Raw
    files: Raw
    result: Raw
    run: str
    at: float


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(_Line).decode


class NotedSuccesses:
    """The file of one batch. What the system refuses is passed over: a success that is lost here is only made again."""

    def __init__(self, folder: Path, batch: str) -> None:
        name = blake2b(batch.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
        self._path = folder / f"made-{name}.jsonl"
        self._fd = -1
        self._ours = False

    def add(self, successes: Sequence[LastSuccess]) -> None:
        """Append them."""
        lines = [b""]  # an earlier line may have been cut short
        for one in successes:
            body = _encode(_Line(one.job, Raw(one.parts), Raw(one.files), Raw(one.result or _NONE), one.run, one.at))
            lines.append(b"%b %b" % (_hash(body), body))
        with suppress(OSError, UntrustedError):
            if self._fd < 0:
                self._fd = open_own(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, above=1)
            os.write(self._fd, b"\n".join((*lines, b"")))

    def read(self) -> dict[str, LastSuccess]:
        """Those that are there, by job, the last one of each; without lines that are not as they were written."""
        try:
            return {one.job: one for one in _sound(read_own(self._path, above=1).split(b"\n"))}
        except (OSError, UntrustedError):
            return {}

    def left(self) -> list[LastSuccess]:
        """What a process has left that was killed; nothing once the database has it."""
        return [] if self._ours else list(self.read().values())

    def clear(self) -> None:
        """The database has them, and will be given those that are added from now on."""
        self._ours = True
        with suppress(OSError, UntrustedError):
            fd = open_own(self._path, os.O_WRONLY, above=1)
            try:
                os.ftruncate(fd, 0)
            finally:
                os.close(fd)

    def close(self) -> None:
        """Let go of the file, and remove it when nothing waits in it."""
        if self._fd >= 0:
            if os.fstat(self._fd).st_size == 0:
                with suppress(OSError):
                    self._path.unlink()
            os.close(self._fd)
            self._fd = -1


def _hash(body: bytes) -> bytes:
    return blake2b(body, digest_size=8).hexdigest().encode()


def _sound(lines: Sequence[bytes]) -> Iterator[LastSuccess]:
    for line in lines:
        known, _, body = line.partition(b" ")
        if body and known == _hash(body):
            with suppress(msgspec.MsgspecError, UnicodeDecodeError):
                one = _decode(body)
                result = bytes(one.result)
                result = b"" if result == _NONE else result
                yield LastSuccess(one.job, bytes(one.parts), bytes(one.files), result, one.run, one.at)
