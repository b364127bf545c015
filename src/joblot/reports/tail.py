"""The end of a log without anything that could drive a terminal: what is shown of a failure."""

from __future__ import annotations

import os
import re
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from joblot.errors import StateError
from joblot.files import LOG_FILE, open_own
from joblot.reports.text import one_line, plain

if TYPE_CHECKING:
    from joblot.reports.report import JobReport

_BLOCK: Final = 65536
_LONG: Final = 80
"""Characters of a last line."""
_CRASH: Final = "Fatal Python error: "
_OWN_FRAME: Final = re.compile(r'  File ".*/joblot/(?:executors|actions)/\w+\.py", line ')
"""What has called the action, in the dump of a crash."""


def last_lines(path: Path, count: int) -> list[str]:
    """The last lines of a text file, of its last 64 KiB at most; empty when there is no such file."""
    try:
        with open_log(path) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - _BLOCK, 0))
            content = file.read()
    except OSError:
        return []
    lines = plain(content.decode("utf-8", errors="replace")).splitlines()
    if size > _BLOCK:
        del lines[:1]  # its beginning was cut off
    return lines[-count:] if count else []


def telling_lines(path: Path, count: int) -> list[str]:
    """The lines of a log that tell most of a failure: the last ones, or the action's own frames when its process has crashed.

    A crash is dumped with the innermost frame first, so the last lines are joblot's own frames and a list of extension modules.
    """
    lines = last_lines(path, _BLOCK)
    crashes = [number for number, line in enumerate(lines) if line.startswith(_CRASH)]
    if not crashes:
        return lines[-count:]
    before, dump = lines[: crashes[-1]], lines[crashes[-1] :]
    current = next((number for number, line in enumerate(dump) if line.startswith("Current thread ")), len(dump))
    frames = list(takewhile(bool, dump[current:]))
    own = next((number for number, line in enumerate(frames) if _OWN_FRAME.match(line)), 0)
    frames = frames[:own] if own > 1 else frames  # from joblot's first frame on there is nothing else
    shown = [dump[0], *frames][:count]
    return before[len(before) - min(len(before), count - len(shown)) :] + shown


def last_printed(job: JobReport) -> str:
    """The last line that a failed job printed, shortened; empty when there is none, or it is what its message says."""
    try:
        lines = telling_lines(Path(job.log), 1) if job.log else []
    except StateError:  # the job has put something else in its place
        return ""
    line = one_line(lines[-1]).removeprefix("error: ") if lines else ""
    if line in one_line(job.message):
        return ""
    return line if len(line) <= _LONG else f"{line[: _LONG - 1]}…"


def open_log(path: Path) -> BinaryIO:
    """A log, to be read.

    Raises:
        OSError: there is none, or it cannot be read.
        StateError: something else stands in its place.
    """
    return os.fdopen(open_own(path, above=LOG_FILE), "rb")
