"""Draws `docs/terminal.svg`: a run as a terminal of 100 columns shows it, in the middle and at its end.

`python docs/make_picture.py` runs a batch in a pseudo-terminal and writes what `pyte` makes of its output. Times differ from run to run, so
it is made anew only when the display changes.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import tempfile
import termios
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyte

if TYPE_CHECKING:
    from collections.abc import Iterator

Row = dict[int, pyte.screens.Char]
TARGET: Final = Path(__file__).resolve().parent / "terminal.svg"
_COLUMNS: Final = 100
_ROWS: Final = 40
_CELL: Final = (8.43, 18)
_BATCH: Final = """\
name: nightly
jobs:
  - name: load-${{ item }}
    run: |
      sleep $(( ${{ item }} * 7 % 3 )).$(( ${{ item }} % 10 ))
      if [ ${{ item }} -eq 23 ]; then echo "no table t${{ item }}" >&2; exit 1; fi
    foreach: {command: seq 80}
  - {name: total, run: echo done, needs: ["load-*"]}
finally:
  - {name: mail, run: 'cat "$JOBLOT_DIGEST"', when: failure}
"""
_COLOURS: Final = {"red": "#ff7b72", "green": "#7ee787", "brown": "#e3b341", "cyan": "#76e3ea", "magenta": "#d2a8ff", "default": "#d6dbe0"}  # fmt: skip


def screens(folder: str) -> list[list[Row]]:
    """The rows of the screen when three quarters are done, and at the end."""
    screen = pyte.Screen(_COLUMNS, _ROWS)
    stream = pyte.ByteStream(screen)
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.environ["TERM"] = "xterm-256color"
        for name in ("CI", "NO_COLOR"):
            os.environ.pop(name, None)
        os.read(0, 1)  # until the terminal has its size
        os.execv(sys.executable, [sys.executable, "-m", "joblot", "run", "-j", "6"])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0))
    os.write(terminal, b"\n")
    found: list[list[Row]] = []
    while True:
        select.select([terminal], [], [])
        try:
            data = os.read(terminal, 65536)
        except OSError:  # the other end is closed
            break
        stream.feed(data)
        done = re.search(r"(\d+)/82 done", "\n".join(screen.display))
        if done and int(done[1]) >= 60 and not found:
            found.append(rows_of(screen))
    os.waitpid(pid, 0)
    return [*found, rows_of(screen)]


def rows_of(screen: pyte.Screen) -> list[Row]:
    """The rows between the empty ones at both ends."""
    rows = [dict(screen.buffer[row]) for row in range(_ROWS)]
    full = [number for number, row in enumerate(rows) if any(char.data.strip() for char in row.values())]
    return rows[full[0] : full[-1] + 1]


def picture(shown: list[list[Row]]) -> str:
    """The SVG of screens, one below the other, dark whatever the page is."""
    rows: list[Row] = [row for screen in shown for row in (*screen, {})][:-1]
    width, height = _COLUMNS * _CELL[0] + 24, len(rows) * _CELL[1] + 24
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" font-family="monospace" font-size="14">',
        '<title>a run on a terminal</title><rect width="100%" height="100%" rx="8" fill="#161b22"/>',
    ]
    for number, row in enumerate(rows):
        parts = "".join(_parts(row))
        if parts:
            lines.append(f'<text x="12" y="{number * _CELL[1] + 26}" xml:space="preserve">{parts}</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"


def _parts(row: Row) -> Iterator[str]:
    text, colour = "", "default"
    for column in range(max(row, default=-1) + 1):
        char = row.get(column)
        own = char.fg if char is not None and char.fg in _COLOURS else "default"
        if own != colour and text:
            yield _span(text, colour)
            text = ""
        colour = own
        text += char.data if char is not None else " "
    if text.strip():
        yield _span(text.rstrip(), colour)


def _span(text: str, colour: str) -> str:
    return f'<tspan fill="{_COLOURS[colour]}">{escape(text)}</tspan>'


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="nightly-") as name:
        Path(name, "joblot.yaml").write_text(_BATCH, encoding="utf-8")
        # A run before it, from which the time that is left is known.
        subprocess.run(
            [sys.executable, "-m", "joblot", "run", "-q", "-j", "6"], check=False, cwd=name, stderr=subprocess.DEVNULL
        )
        made = picture(screens(name))
        TARGET.write_text(made.replace(name, "/home/you/nightly"), encoding="utf-8")
