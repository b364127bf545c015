"""The end of a file, and what is added to it. What jobs print is shown without anything that could drive a terminal."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from joblot.reports.text import plain

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BLOCK: Final = 65536
_LONG: Final = 1 << 20


def last_lines(path: Path, count: int) -> list[str]:
    """The last lines of a text file, of its last 64 KiB at most; empty when there is no such file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - _BLOCK, 0))
            content = file.read()
    except OSError:
        return []
    lines = plain(content.decode("utf-8", errors="replace")).splitlines()
    if size > _BLOCK:
        del lines[:1]  # its beginning was cut off
    return lines[-count:] if count else []


def blocks(path: Path) -> Iterator[str]:
    """A text file in pieces of whole lines, so that a log of any size can be printed; a longer line than 1 MiB is cut."""
    rest = b""
    with path.open("rb") as file:
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
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                content = file.read()
        except OSError:
            return b""
        self._offset += len(content)
        return content
