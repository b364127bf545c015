"""A log in pieces, and what is added to it, without anything that could drive a terminal."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from joblot.errors import StateError
from joblot.executors.spool import omission_line
from joblot.files import reason_of
from joblot.reports.tail import open_log
from joblot.reports.text import plain

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BLOCK: Final = 65536
_LONG: Final = 1 << 20
_MOST_AT_ONCE: Final = 1 << 26


def blocks(path: Path) -> Iterator[str]:
    """A log in pieces of whole lines, so that one of any size can be printed; a longer line than 1 MiB is cut.

    Raises:
        StateError: it cannot be read.
    """
    rest = b""
    try:
        file = open_log(path)
    except OSError as error:
        raise StateError(f"cannot read `{path}`: {reason_of(error)}") from None
    with file:
        while block := file.read(_BLOCK):
            content = rest + block
            cut = content.rfind(b"\n") + 1 or (len(content) if len(content) > _LONG else 0)
            rest = content[cut:]
            if cut:
                yield plain(content[:cut].decode("utf-8", errors="replace"))
    if rest:
        yield plain(rest.decode("utf-8", errors="replace"))


class Follower:
    """What has been added to a file since the last look. The file need not exist yet."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0
        self._rest = b""

    def skip(self) -> None:
        """Leave out what is there now."""
        self._read()

    def news(self) -> str:
        """Whole lines that are new."""
        content = self._rest + self._read()
        cut = content.rfind(b"\n") + 1
        self._rest = content[cut:]
        return plain(content[:cut].decode("utf-8", errors="replace"))

    def rest(self) -> str:
        """What is new, the unfinished last line too."""
        text = self.news() + plain(self._rest.decode("utf-8", errors="replace"))
        self._rest = b""
        return text

    def _read(self) -> bytes:
        """What has been added. The middle of a log that grew too large was given back and is a hole: one line stands for it."""
        parts: list[bytes] = []
        try:
            with open_log(self.path) as file:
                end = file.seek(0, os.SEEK_END)
                while self._offset < end and sum(map(len, parts)) < _MOST_AT_ONCE:
                    start, stop = _next_span(file.fileno(), self._offset, end)
                    if start > self._offset:
                        parts.append(omission_line(start - self._offset))
                    file.seek(start)
                    parts.append(file.read(min(stop - start, _MOST_AT_ONCE)).rstrip(b"\0" if stop < end else b""))
                    self._offset = file.tell()
        except OSError:
            pass  # it is not there yet, or gone: what was read is what there is
        return b"".join(parts)


def _next_span(fd: int, start: int, end: int) -> tuple[int, int]:
    """Start and end of the next bytes that are not a hole."""
    try:
        begin = os.lseek(fd, start, os.SEEK_DATA)
        return begin, min(os.lseek(fd, begin, os.SEEK_HOLE), end)
    except (OSError, AttributeError):  # a hole up to the end, or a system that cannot tell
        return start, end
