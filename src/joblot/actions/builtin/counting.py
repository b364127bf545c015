"""Counts of any number of words in bounded memory: what does not fit goes to disk in order, and is merged at the end.

Where words come from is not known here, nor what is done with the counts.
"""

from __future__ import annotations

import os
from collections import Counter
from heapq import merge
from itertools import groupby
from operator import itemgetter
from typing import IO, TYPE_CHECKING, Final

from joblot.errors import ActionError
from joblot.files import reason_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

WORDS_MAX: Final = 1_000_000
"""Distinct words held in memory; ordinary texts have a tenth of it."""
BYTES_MAX: Final = 64 * 2**20
"""Bytes of distinct words held in memory."""
_READ_BYTES: Final = 16 * 2**10

Counted = tuple[str, int]


class Tally:
    """Counts words, and writes them to `file` in runs, each sorted by word, so that runs can be merged.

    `total` is the number of words of all runs, `runs` lists where each starts and ends in the file, in bytes.
    """

    def __init__(self, file: IO[bytes], *, words_max: int = WORDS_MAX, bytes_max: int = BYTES_MAX) -> None:
        self.total = 0
        self.runs: list[tuple[int, int]] = []
        self._file = file
        self._words_max = words_max
        self._bytes_max = bytes_max
        self._pieces: Counter[bytes] = Counter()
        self._unweighed = 0

    def add(self, pieces: list[bytes], weight: int) -> None:
        """Count pieces of UTF-8 text: each is one word or more, in any case. Together they have at most `weight` bytes.

        Lower case and rarer white space are left for `flush`, which does them once a distinct piece instead of once a word.

        Raises:
            UnicodeDecodeError: a piece is not UTF-8.
            ActionError: there is no room on disk.
        """
        self._pieces.update(pieces)
        self._unweighed += weight
        if len(self._pieces) > self._words_max or self._too_heavy():
            self.flush()

    def _too_heavy(self) -> bool:
        """Weighing walks over all pieces, so it is done once in a while, when they could have become too heavy."""
        if self._unweighed <= self._bytes_max:
            return False
        self._unweighed = 0
        return sum(map(len, self._pieces)) > self._bytes_max

    def flush(self) -> None:
        """Write what is in memory as a run."""
        words: Counter[str] = Counter()
        for piece, count in self._pieces.items():
            self._fold(words, piece.decode(), count)
        self._pieces.clear()
        self._unweighed = 0
        self._write(words)

    def add_counted(self, pieces: Iterable[Counted]) -> None:
        """Count pieces that were counted elsewhere, and write them as runs."""
        words: Counter[str] = Counter()
        for piece, count in pieces:
            self._fold(words, piece, count)
            if len(words) > self._words_max:
                self._write(words)
                words.clear()
        self._write(words)

    def _fold(self, words: Counter[str], piece: str, count: int) -> None:
        for word in piece.lower().split():
            words[word] += count
            self.total += count

    def _write(self, words: Counter[str]) -> None:
        if not words:
            return
        start = self._file.tell()
        try:
            self._file.writelines(b"%s %d\n" % (word.encode(), count) for word, count in sorted(words.items()))
            self._file.flush()
        except OSError as error:
            message = f"cannot write temporary counts: {reason_of(error)}"
            raise ActionError(message, reason="output") from error
        self.runs.append((start, self._file.tell()))


def read_run(descriptor: int, start: int, end: int) -> Iterator[Counted]:
    """The words of one run, in order."""
    rest = b""
    while start < end:
        block = os.pread(descriptor, min(_READ_BYTES, end - start), start)
        start += len(block)
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            word, _, count = line.rpartition(b" ")
            yield word.decode(), int(count)


def merged(runs: Iterable[Iterator[Counted]]) -> Iterator[Counted]:
    """The words of all runs, each once with its count over all, in order."""
    for word, same in groupby(merge(*runs), key=itemgetter(0)):
        yield word, sum(count for _, count in same)
