"""The built-in action `search_pattern`: count the matches of a regular expression in a file, in linear time and flat memory.

The expression is RE2's, and each line stands alone: no match goes over a line break, `^` and `$` stand for the ends of a line. To be
fast, many lines are handed to RE2 at once, and only those that hold a text without which the expression cannot match.

Many expressions on one file are searched for in one pass: one expression made of all finds the lines in which any of them matches, a set
tells which of them do, and only those count there, as they would alone.
"""

from __future__ import annotations

import os
import re
import stat
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from joblot.actions.builtin.forked import Forked, cores
from joblot.actions.builtin.literals import plain, required
from joblot.actions.builtin.reading import line_blocks
from joblot.actions.context import Context
from joblot.actions.registry import action, fused
from joblot.errors import ActionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from joblot.actions.bundle import BundleContext, FusedJob

_ALONE: Final = re.compile(r"\\[AzC]|\(\?[a-zA-Z]*[m-]")
"""What means something else in a line than in a block of lines: ends of the text, any byte, the flag `m`. Too often is safe."""
_DENSE_BYTES: Final = 1024
"""With a candidate line in so many bytes or fewer, looking for candidates costs more than it saves."""
_JOINED_DENSE_BYTES: Final = 4096
"""The same for expressions that are joined, to be divided by how many they are: each candidate line is searched once for all."""
_RETRY_BLOCKS: Final = 64
"""After so many blocks without looking for candidates, look again: the file may have changed its character."""
_QUOTED: Final = re.compile(r"\\[QE]")
"""A quotation would swallow the end of its group in the joined expression, or reach into the next."""
_FORK_BYTES: Final = 16 * 2**20
"""From this size on more processes are worth their start."""
_TOGETHER: Final = 100
"""At most so many expressions are joined into one."""
_DFA_BYTES: Final = 64 * 2**20
"""Memory that RE2 may take for a joined expression: with too little it becomes slow."""
_UNSUPPORTED: Final = (
    (re.compile(r"\(\?<[=!]"), "look-behind"),
    (re.compile(r"\(\?[=!]"), "look-ahead"),
    (re.compile(r"\(\?>"), "atomic group"),
    (re.compile(r"\(\?P(=|$)|\\[1-9]"), "back-reference"),
    (re.compile(r"bad repetition operator: .\+"), "possessive repetition"),
    (re.compile(r"invalid repetition size"), "more than 1000 repetitions"),
    (re.compile(r"pattern too large"), "too large"),
)
"""RE2's words for what it leaves out, and what people call it."""


@action("search_pattern")
def search_pattern(
    input: Path,
    *,
    pattern: str,
    ignore_case: bool = False,
    ctx: Context,
) -> dict[str, Any]:
    """Count the matches of a regular expression (RE2 syntax) in a UTF-8 text file, and the lines that hold one.

    A match never goes over a line break; `^` and `$` stand for the ends of a line.

    Raises:
        ActionError: the input cannot be read or is not UTF-8, or the expression is wrong or not supported.
    """
    search = LineSearch(pattern, ignore_case=ignore_case)
    for block in line_blocks(input, ctx):
        search.add(block)
    return {"matches": search.matches, "matching_lines": search.matching_lines, "pattern": pattern}


@fused("search_pattern", on=("input",))
def search_patterns(jobs: Sequence[FusedJob], ctx: BundleContext) -> None:
    """Search one file for the expressions of many jobs in one pass."""
    searches: dict[tuple[str, bool], LineSearch] = {}
    for job in jobs:
        key = _search_key(job)
        try:
            searches[key] = searches.get(key) or LineSearch(key[0], ignore_case=key[1])
        except ActionError as error:
            ctx.failed(job, error)
    if not searches:
        return
    try:
        _search(jobs[0].input, jobs[0].ctx, LineSearches(list(searches.values())))
    except ActionError as error:
        if error.reason == "crash":
            raise  # not the input's fault: with fewer expressions it may go well
        for job in ctx.open:
            ctx.failed(job, error)
    for job in ctx.open:
        search = searches[_search_key(job)]
        ctx.done(job, {"matches": search.matches, "matching_lines": search.matching_lines, "pattern": search.pattern})


def _search(path: Path, ctx: Context, searches: LineSearches) -> None:
    """Search a file, a large one with a process for each core: all of them read it, and each looks at its own share of the blocks.

    Reading is a tenth of the work, so each process reads all, and this one sees every error in the order of the file.
    """
    parts = cores() if _is_large(ctx.path(path)) else 1

    def share(part: int, orphaned: Callable[[], bool]) -> list[tuple[int, int]]:
        for number, block in enumerate(line_blocks(path, ctx)):
            if number % parts == part:
                searches.add(block)
                if orphaned():
                    os._exit(1)
        return searches.counts()

    with ExitStack() as stack:
        helpers = [Forked(partial(share, part)) for part in range(1, parts)]
        for helper in helpers:
            stack.callback(helper.end)
        share(0, lambda: False)
        for helper in helpers:
            searches.add_counts(helper.result())


def _is_large(path: Path) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False  # reading it says what is wrong
    return stat.S_ISREG(status.st_mode) and status.st_size >= _FORK_BYTES


def _search_key(job: FusedJob) -> tuple[str, bool]:
    return job.params["pattern"], job.params["ignore_case"]


class LineSearch:
    """Counts the matches of a regular expression in blocks of lines."""

    def __init__(self, pattern: str, *, ignore_case: bool = False) -> None:
        self.matches = 0
        self.matching_lines = 0
        self.pattern = pattern
        self.ignore_case = ignore_case
        self._regex = compiled(pattern, ignore_case=ignore_case)
        self._one_by_one = _ALONE.search(pattern) is not None
        self._literals = [] if ignore_case or self._one_by_one else required(pattern)
        self._blind_blocks = 0
        self._text = None if ignore_case else plain(pattern)

    @property
    def can_be_joined(self) -> bool:
        """Whether it can be a part of an expression that is searched for in many lines at once."""
        return not self._one_by_one and not _QUOTED.search(self.pattern)

    def add(self, block: bytes) -> None:
        r"""Count in some lines, joined by `\n`, without a line break at the end."""
        if self._one_by_one:
            for line in block.split(b"\n"):
                self.count(line, 0, len(line))
        elif not self._literals or self._blind_blocks:
            self._blind_blocks = max(0, self._blind_blocks - 1)
            self.count(block, 0, len(block))
        else:
            self._count_candidates(block)

    def _count_candidates(self, block: bytes) -> None:
        candidates = 0
        for start, end in _lines_with(block, self._literals):
            self.count(block, start, end)
            candidates += 1
        if candidates * _DENSE_BYTES > len(block):
            self._blind_blocks = _RETRY_BLOCKS

    def count_line(self, text: bytes, start: int, end: int) -> None:
        """Count in one line."""
        if self._text is None:
            self.count(text, start, end)
        else:
            hits = text.count(self._text, start, end)
            self.matches += hits
            self.matching_lines += hits > 0

    def count(self, text: bytes, start: int, end: int) -> None:
        """Count in the lines between two offsets, in bytes."""
        line_end = empty = start - 1
        for match in self._regex.finditer(text, start, end):
            first, last = match.span()
            if first == last:
                # RE2's iterator gives an empty match twice when it was not where the search began, and others within a character
                if first == empty or (first < end and text[first] & 0xC0 == 0x80):
                    continue
                empty = first
            self.matches += 1
            if first > line_end:
                self.matching_lines += 1
                line_end = text.find(b"\n", last, end)
                if line_end < 0:
                    line_end = end


class LineSearches:
    """Counts the matches of many regular expressions in blocks of lines, each as it would alone."""

    def __init__(self, searches: list[LineSearch]) -> None:
        self._all = searches
        joinable = [search for search in searches if search.can_be_joined]
        parts = [joinable[start : start + _TOGETHER] for start in range(0, len(joinable), _TOGETHER)]
        self._joined: list[_Joined] = []
        self._alone = [search for search in searches if not search.can_be_joined]
        while parts:
            part = parts.pop()
            joined = _Joined.of(part) if len(part) > 1 else None
            if joined is not None:
                self._joined.append(joined)
            elif len(part) > 1:  # too large for RE2
                parts += [part[: len(part) // 2], part[len(part) // 2 :]]
            else:
                self._alone += part

    def add(self, block: bytes) -> None:
        r"""Count in some lines, joined by `\n`, for each of the expressions."""
        for search in self._alone:
            search.add(block)
        for joined in self._joined:
            joined.add(block)

    def counts(self) -> list[tuple[int, int]]:
        """Matches and matching lines of each so far."""
        return [(search.matches, search.matching_lines) for search in self._all]

    def add_counts(self, counts: Iterable[tuple[int, int]]) -> None:
        """Add the counts of another process, in the same order."""
        for search, (matches, lines) in zip(self._all, counts, strict=True):
            search.matches += matches
            search.matching_lines += lines


class _Joined:
    """Expressions that are looked for as one: `any_of` matches where any does, `which` tells which of them match in a line."""

    def __init__(self, searches: list[LineSearch], any_of: Any, which: Any) -> None:
        self._searches = searches
        self._any_of = any_of
        self._which = which
        self._dense_bytes = _JOINED_DENSE_BYTES // len(searches)
        self._blind_blocks = 0

    @classmethod
    def of(cls, searches: list[LineSearch]) -> _Joined | None:
        """These as one; None when they are too many for RE2."""
        import re2

        options = _options(re2)
        options.max_mem = _DFA_BYTES
        which = re2.Set.SearchSet(options)
        texts = [f"(?{'i' * search.ignore_case}m:{search.pattern})".encode() for search in searches]
        try:
            for text in texts:
                which.Add(text)
            which.Compile()
            return cls(searches, re2.compile(b"|".join(texts), options), which)
        except re2.error:
            return None

    def add(self, block: bytes) -> None:
        r"""Count in some lines, joined by `\n`. Where too many lines match, each expression for itself is faster."""
        if self._blind_blocks:
            self._blind_blocks -= 1
            for search in self._searches:
                search.add(block)
        elif self._count_candidates(block) * self._dense_bytes > len(block):
            self._blind_blocks = _RETRY_BLOCKS

    def _count_candidates(self, block: bytes) -> int:
        offset = candidates = 0
        while offset <= len(block) and (match := self._any_of.search(block, offset)) is not None:
            first, last = match.span()
            start = block.rfind(b"\n", offset, first) + 1 or offset
            end = block.find(b"\n", last)
            end = len(block) if end < 0 else end
            # A set that runs out of memory says that nothing matches, and something does.
            for number in self._which.Match(block[start:end]) or range(len(self._searches)):
                self._searches[number].count_line(block, start, end)
            offset = end + 1
            candidates += 1
        return candidates


def _lines_with(block: bytes, literals: list[bytes]) -> Iterator[tuple[int, int]]:
    """Where the lines are that hold one of the literals: each once, in order."""
    hits = {literal: hit for literal in literals if (hit := block.find(literal)) >= 0}
    start = 0
    while hits:
        first = min(hits.values())
        start = block.rfind(b"\n", start, first) + 1 or start
        end = block.find(b"\n", first)
        end = len(block) if end < 0 else end
        yield start, end
        start = end
        behind = [literal for literal, hit in hits.items() if hit < end]
        for literal in behind:
            hits[literal] = block.find(literal, end)
            if hits[literal] < 0:
                del hits[literal]


def compiled(pattern: str, *, ignore_case: bool = False) -> Any:
    """The RE2 expression for searching bytes of UTF-8 text, blind to line breaks.

    Raises:
        ActionError: the expression is wrong, or needs what RE2 leaves out because it could take for ever.
    """
    import re2

    options = _options(re2)
    options.case_sensitive = not ignore_case
    try:
        encoded = pattern.encode()
        re2.compile(encoded, options)
        return re2.compile(b"(?m)" + encoded, options)
    except UnicodeEncodeError as error:
        raise ActionError("not a regular expression: it is not valid text", reason="bad_pattern") from error
    except re2.error as error:
        raise _refused(error) from error


def _options(re2: Any) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.never_nl = True
    options.never_capture = True
    return options


def _refused(error: Exception) -> ActionError:
    detail = error.args[0] if error.args else ""
    text = detail.decode(errors="replace") if isinstance(detail, bytes) else str(detail)
    for wording, name in _UNSUPPORTED:
        if wording.search(text):
            return ActionError(f"regular expression not supported: {name} ({text})", reason="bad_pattern", hint=_RE2)
    return ActionError(f"not a regular expression: {text}", reason="bad_pattern")


_RE2: Final = "expressions follow RE2's syntax, which never takes more than linear time"
