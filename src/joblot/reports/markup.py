"""Texts of anybody's as HTML: bounded, and nothing in them is markup, drives a terminal or turns the text around it."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from typing import Final

from joblot.errors import StateError
from joblot.reports.tail import telling_lines
from joblot.reports.text import one_line, plain

SIGNS: Final = {
    "success": "✓", "cached": "=", "failed": "✗", "skipped": "-", "cancelled": "!", "aborted": "!", "interrupted": "!",
}  # fmt: skip
"""What stands beside the word for a state, so that no colour is needed to see it."""
_TURNING: Final = re.compile("[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Marks that turn text round, and line breaks that only some programs take for such."""


def bare(text: str, *, joined: bool = True) -> str:
    """A text without what drives terminals, turns text round or is no character; lines are joined, or become blanks."""
    if text.isascii() and text.isprintable():
        return " ".join(text.split()) if joined else text
    text = _TURNING.sub("", one_line(text) if joined else plain(text).replace("\n", " "))
    return text.encode("utf-8", "replace").decode()


def html_text(text: str, most: int, *, joined: bool = True) -> str:
    """A text as HTML of at most so many bytes; of a longer one the middle is left out."""
    text = bare(text, joined=joined)
    half = most // 2
    short = text if len(text) <= most else f"{text[:half]}…{text[-half:]}"
    while len(made := escape(short).encode()) > most:
        half = half * 3 // 4
        short = f"{text[:half]}…{text[-half:]}"
    return made.decode()


def end_of_log(path: str, lines: int, most: int, most_of_line: int) -> str:
    """The lines of a log that tell most, as HTML of at most so many bytes; empty when there are none."""
    try:
        found = telling_lines(Path(path), lines) if path else []
    except StateError:  # the job has put something else in its place
        found = []
    shown: list[str] = []
    for line in reversed(found):  # the last ones tell most
        text = html_text(line, most_of_line, joined=False)
        most -= len(text.encode()) + 1
        if most < 0:
            break
        shown.append(text)
    return "\n".join(reversed(shown))
