"""Where in a shell command a quoted value is safe.

A reference in a `run` text is put in as one quoted word. That is only one word where the shell reads words: not inside quotes, a
here-document, backquotes or a comment. Knows as much of the shell's grammar as that takes.
"""

from __future__ import annotations

import re
from typing import Final

from joblot.core.references import Piece, Reference

_MARK: Final = "\ue000"
_HERE: Final = re.compile(r"<<-?[ \t]*(?:'([^'\n]+)'|\"([^\"\n]+)\"|\\?([\w.-]+))")
_WORD_BEGINS: Final = frozenset(" \t\n;&|(")


def misplaced(pieces: list[Piece]) -> tuple[Reference, str] | None:
    """The first reference that stands where a quoted word is not safe, and what it stands in; None when all is well."""
    text = "".join(piece.replace(_MARK, "x") if isinstance(piece, str) else _MARK for piece in pieces)
    unsafe = _Reader(text).first_unsafe()
    if unsafe is None:
        return None
    position, where = unsafe
    references = [piece for piece in pieces if isinstance(piece, Reference)]
    return references[text.count(_MARK, 0, position)], where


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.inside: list[str] = []  # the open `"`, `` ` ``, `(` and `((`, outermost first
        self.delimiters: list[str] = []  # of the here-documents that begin on the next line

    def first_unsafe(self) -> tuple[int, str] | None:
        while self.at < len(self.text):
            char = self.text[self.at]
            top = self.inside[-1] if self.inside else ""
            if char == _MARK and "`" in self.inside:
                return self.at, "backquotes"
            if char == _MARK and top == '"':
                return self.at, "quotes"
            unsafe = self._step(char, top)
            if unsafe is not None:
                return unsafe
        return None

    def _step(self, char: str, top: str) -> tuple[int, str] | None:
        """Move over what begins here; a reference inside of it is the answer."""
        # By hand: `shlex` knows neither here-documents nor `$(`, and a full grammar would be a dependency for one question.
        if char == "\\":
            return self._pass(self.at + 2, "an escape")
        if char == "\n" and self.delimiters:
            return self._here_document()
        if char == "'" and top != '"':
            return self._pass(self._after("'"), "quotes")
        if char == "#" and top != '"' and (self.at == 0 or self.text[self.at - 1] in _WORD_BEGINS):
            return self._pass(self._after("\n") - 1, "a comment")
        if char == "<" and top not in ('"', "(("):  # within `((` it shifts bits
            return self._redirection()
        self._nest(char, top)
        self.at += 1
        return None

    def _after(self, ending: str) -> int:
        """Where the text goes on after the next such character; without one, one past its end."""
        end = self.text.find(ending, self.at + 1)
        return len(self.text) + 1 if end < 0 else end + 1

    def _nest(self, char: str, top: str) -> None:
        """Note what opens or closes here. Within double quotes only `$(` opens."""
        if (char in ('"', "`") and char == top) or (char == ")" and top in ("(", "((")):
            self.inside.pop()
            self.at += len(top) - 1
        elif char in ('"', "`"):
            self.inside.append(char)
        elif char == "(" and (top != '"' or self.text[self.at - 1 : self.at] == "$"):
            self.inside.append("((" if self.text.startswith("((", self.at) else "(")
            self.at += len(self.inside[-1]) - 1

    def _redirection(self) -> tuple[int, str] | None:
        if self.text.startswith("<<<", self.at):
            self.at += 3
            return None
        match = _HERE.match(self.text, self.at)
        if match is None:
            self.at += 1
            return None
        self.delimiters.append(match[1] or match[2] or match[3])
        return self._pass(match.end(), "a here-document")

    def _here_document(self) -> tuple[int, str] | None:
        ending = re.compile(rf"^\t*{re.escape(self.delimiters.pop(0))}$", re.MULTILINE)
        match = ending.search(self.text, self.at + 1)
        # The line break that ends the last line is left for the next here-document.
        return self._pass(match.end() if match else len(self.text), "a here-document")

    def _pass(self, end: int, where: str) -> tuple[int, str] | None:
        mark = self.text.find(_MARK, self.at, end)
        self.at = end
        return (mark, where) if mark >= 0 else None
