"""A few lines of a terminal that are drawn again and again in one place, while other text goes by above them.

It knows columns and rows, not what the lines say; they are harmless already.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import IO, Final

_END: Final = "\x1b\\"
_NO_PROGRESS: Final = f"\x1b]9;4;0;0{_END}"
_NOT_A_TERMINAL: Final = (80, 24)


class Screen:
    """The lines at the foot of the terminal that `stream` writes to.

    Between two frames the cursor waits at the beginning of the first line. Whatever a terminal does to its lines when it is resized, the
    cursor stays at its character, so all from there on can be erased, however many rows it takes by now. Price: what is typed, and the
    prompt after a `kill -9`, stand on the first line.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._rows = 0
        self._progress = ""
        # iTerm2 took this sequence for a message to pop up, until 3.6.6.
        self._tells_progress = os.environ.get("TERM_PROGRAM") != "iTerm.app"

    def size(self) -> tuple[int, int]:
        """Columns and rows, as they are now. A line may have one column less: at the last one some terminals go on to the next line."""
        try:
            columns, rows = os.get_terminal_size(self._stream.fileno())
        except (OSError, ValueError):
            columns, rows = 0, 0
        if columns and rows:
            return columns, rows
        asked = [os.environ.get(name, "") for name in ("COLUMNS", "LINES")]
        given = [int(number) if number.isdecimal() and int(number) else 0 for number in asked]
        return given[0] or _NOT_A_TERMINAL[0], given[1] or _NOT_A_TERMINAL[1]

    def draw(self, lines: list[str], *, above: str = "", progress: tuple[int, bool] | None = None) -> None:
        """Draw these lines in place of those before, in one write. The height never shrinks, so that nothing jumps.

        `above` is text that goes by and stays; `progress` is a percentage and whether something failed, for the terminal's own display.

        Raises:
            OSError: the terminal has gone.
        """
        most = self.size()[1] - 1
        self._rows = min(max(self._rows, len(lines)), most)
        lines = (lines + [""] * self._rows)[: self._rows]
        frame = "\x1b[K\n".join(lines) + "\x1b[J"
        up = f"\x1b[{len(lines) - 1}A" if len(lines) > 1 else ""
        text = f"\r\x1b[J{above}\n" if above else "\r"
        self._write(f"{text}{frame}\r{up}{self._told(progress)}")

    def close(self, above: str = "") -> None:
        """Take the lines away, and leave `above` there.

        Raises:
            OSError: the terminal has gone.
        """
        if self._rows:
            text = f"{above}\n" if above else ""
            self._write(f"\r\x1b[J{text}{self._told(None)}")
        self._rows = 0

    def abandon(self) -> None:
        """The same from a signal's handler, where the stream may be in use."""
        with suppress(OSError, ValueError):
            os.write(self._stream.fileno(), f"\r\x1b[J{_NO_PROGRESS if self._progress else ''}".encode())

    def _told(self, progress: tuple[int, bool] | None) -> str:
        """What tells the terminal how far it is; empty when it knows."""
        told = f"\x1b]9;4;{2 if progress[1] else 1};{progress[0]}{_END}" if progress and self._tells_progress else ""
        if told == self._progress:
            return ""
        self._progress = told
        return told or _NO_PROGRESS

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def width(text: str) -> int:
    """How many columns a text takes, at the most: terminals do not agree about all signs."""
    if text.isascii():
        return len(text)
    import unicodedata

    wide, marks = ("W", "F"), ("Mn", "Me")
    # U+FE0F makes some terminals show the sign before it as a picture of two columns.
    return sum(
        2 if unicodedata.east_asian_width(char) in wide else char == "\ufe0f" or unicodedata.category(char) not in marks
        for char in text
    )


def cropped(text: str, columns: int, *, middle: bool = False) -> str:
    """The text in so many columns, with `…` where something was left out: at the end, or in the middle."""
    if width(text) <= columns:
        return text
    if columns < 1:
        return ""
    tail = ""
    if middle:
        tail = _first(text[::-1], (columns - 1) // 2)[::-1]
        while tail and not width(tail[0]):  # a mark whose letter is left out
            tail = tail[1:]
    return f"{_first(text, columns - 1 - width(tail))}…{tail}"


def _first(text: str, columns: int) -> str:
    """As much of the beginning as fits."""
    taken = 0
    for end, char in enumerate(text):
        taken += width(char)
        if taken > columns:
            return text[:end]
    return text
