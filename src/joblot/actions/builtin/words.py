"""The built-in action `word_frequency`: the most frequent words of a text file, in flat memory, on all cores.

A word is what stands between white space, in lower case, both as Python's `str.split` and `str.lower` have it. The file is cut at white
space into a part for each core; forked processes count, this one merges. Large files are cut up by DuckDB where it is installed: it
only splits at spaces and counts, everything that depends on Unicode is done here, so the answer is the same.
"""

from __future__ import annotations

import os
import stat
from codecs import BOM_UTF8
from contextlib import ExitStack
from heapq import nsmallest
from itertools import chain, pairwise
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Literal, NamedTuple

from joblot.actions.builtin.counting import Counted, Tally, merged, read_run
from joblot.actions.builtin.forked import Forked, cores
from joblot.actions.builtin.reading import BLOCK_BYTES, LINE_BYTES_MAX, reading, texts
from joblot.actions.context import Context
from joblot.actions.registry import action, fused
from joblot.errors import ActionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from joblot.actions.bundle import BundleContext, FusedJob

FORK_BYTES: Final = 8 * 2**20
"""A part for a process of its own is at least this large; below, starting it costs more than it saves."""
DUCKDB_BYTES: Final = 64 * 2**20
"""From this size on DuckDB is worth its start."""
_SPACE: Final = b" \t\n\r\x0b\x0c"
"""White space that is one byte: a file may be cut there."""


class _Counts(NamedTuple):
    """The counts of one process: how many words in all, and its runs to be merged."""

    total: int
    runs: list[Iterator[Counted]]


@action("word_frequency")
def word_frequency(
    input: Path,
    *,
    top_n: int = 10,
    engine: Literal["auto", "python", "duckdb"] = "auto",
    ctx: Context,
) -> dict[str, Any]:
    """Count the words of a UTF-8 text file, in lower case, and list the `top_n` most frequent; equals are in order of code points.

    The engine changes only how long it takes: `auto` uses DuckDB for large files when it is installed.

    Raises:
        ActionError: the input cannot be read, is not UTF-8 or has a word of more than 16 MiB; `top_n` is negative; `duckdb` is
            asked for and cannot be used.
    """
    if top_n < 0:
        raise _negative(top_n)
    with reading(input, ctx) as descriptor, ExitStack() as stack:
        counts = _with_duckdb(descriptor, stack) if _wants_duckdb(descriptor, engine) else None
        if counts is None:
            try:
                counts = _with_python(descriptor, ctx.shown(input), stack)
            except UnicodeDecodeError as error:
                raise _bad_text(input, ctx) from error
        top = nsmallest(top_n, merged(counts.runs), key=lambda counted: (-counted[1], counted[0]))
    return {"total_words": counts.total, "top_words": [[word, count] for word, count in top]}


@fused("word_frequency", on=("input", "engine"))
def word_frequencies(jobs: Sequence[FusedJob], ctx: BundleContext) -> None:
    """Count the words of one file once; each job gets as many of the most frequent as it asks for."""
    for job in jobs:
        if job.params["top_n"] < 0:
            ctx.failed(job, _negative(job.params["top_n"]))
    most = max(ctx.open, key=lambda job: job.params["top_n"], default=None)
    if most is None:
        return
    try:
        counted = word_frequency(most.input, **most.params, ctx=most.ctx)
    except ActionError as error:
        for job in ctx.open:
            ctx.failed(job, error)
    for job in ctx.open:
        top = counted["top_words"][: job.params["top_n"]]
        ctx.done(job, {"total_words": counted["total_words"], "top_words": top})


def _negative(top_n: int) -> ActionError:
    return ActionError(f"`top_n` must not be negative, got {top_n}", reason="bad_params")


def _bad_text(path: Path, ctx: Context) -> ActionError:
    """Counting notices bad text without knowing its offset: read again up to it, for the message."""
    for _ in texts(path, ctx):
        pass
    return ActionError(f"not valid UTF-8 text: {ctx.shown(path)}", reason="bad_input")


# --- in Python ------------------------------------------------------------------------------------


def _with_python(descriptor: int, shown: str, stack: ExitStack) -> _Counts:
    """Count with as many processes as there are cores; this one counts the first part. `stack` is what lives as long as the counts."""
    status = os.fstat(descriptor)
    cuts = _cuts(descriptor, status.st_size, shown) if stat.S_ISREG(status.st_mode) else [0, None]
    children: list[_Child] = []
    for start, end in pairwise(cuts[1:]):
        children.append(_Child(_blocks(descriptor, start, end), shown, _scratch(stack)))
        stack.callback(children[-1].end)
    file = _scratch(stack)
    tally = Tally(file)
    _count(tally, _without_mark(_blocks(descriptor, 0, cuts[1])), shown)
    parts = [_counts_of(file, tally.total, tally.runs), *(child.result() for child in children)]
    return _Counts(sum(part.total for part in parts), list(chain.from_iterable(part.runs for part in parts)))


def _scratch(stack: ExitStack) -> IO[bytes]:
    """A temporary file without a name: nothing is left of it, however this process ends."""
    from tempfile import TemporaryFile

    return stack.enter_context(TemporaryFile())


def _cuts(descriptor: int, size: int, shown: str) -> list[int | None]:
    """Where to cut the file: at white space, into equal parts if possible, one a core."""
    if not size:
        return [0, 0]
    parts = min(cores(), max(1, size // FORK_BYTES))
    inner = (_next_space(descriptor, size * part // parts, shown) for part in range(1, parts))
    return [*sorted({0, *inner, size})]


def _next_space(descriptor: int, start: int, shown: str) -> int:
    """The next white space, or the end of the file."""
    for offset in range(start, start + LINE_BYTES_MAX, BLOCK_BYTES):
        block = os.pread(descriptor, BLOCK_BYTES, offset)
        offsets = [at for space in _SPACE if (at := block.find(space)) >= 0]
        if offsets:
            return offset + min(offsets)
        if len(block) < BLOCK_BYTES:
            return offset + len(block)
    raise _too_long(shown)


def _without_mark(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """A byte order mark is not part of the first word."""
    first = next(blocks, b"").removeprefix(BOM_UTF8)
    return chain([first] if first else [], blocks)


def _blocks(descriptor: int, start: int | None, end: int | None) -> Iterator[bytes]:
    """The bytes between two offsets; all bytes to the end, when that is not known (a pipe)."""
    if start is None or end is None:
        while block := os.read(descriptor, BLOCK_BYTES):
            yield block
        return
    while start < end and (block := os.pread(descriptor, min(BLOCK_BYTES, end - start), start)):
        start += len(block)
        yield block


def _count(tally: Tally, blocks: Iterator[bytes], shown: str) -> None:
    """Count the words of blocks cut anywhere.

    Splitting bytes instead of text is a third faster, and since a cut between pieces is never within a character, the pieces are
    UTF-8 if and only if the text is.
    """
    rest = b""
    for block in blocks:
        pieces = block.split()
        if rest and block[0] in _SPACE:
            pieces.insert(0, rest)
        elif rest:
            pieces[0] = rest + pieces[0]
        weight = len(rest) + len(block)
        rest = b"" if block[-1] in _SPACE else pieces.pop()
        if len(rest) > LINE_BYTES_MAX:
            raise _too_long(shown)
        tally.add(pieces, weight)
    tally.add([rest], len(rest))
    tally.flush()


def _too_long(shown: str) -> ActionError:
    return ActionError(f"word too long: {shown} has one of more than {LINE_BYTES_MAX >> 20} MiB", reason="bad_input")


def _counts_of(file: IO[bytes], total: int, runs: list[tuple[int, int]]) -> _Counts:
    return _Counts(total, [read_run(file.fileno(), start, end) for start, end in runs])


class _Child:
    """A forked process that counts one part of the file. Its runs come back in a file without a name, made before the fork."""

    def __init__(self, blocks: Iterator[bytes], shown: str, file: IO[bytes]) -> None:
        self._file = file
        self._process = Forked(lambda orphaned: _count_part(Tally(file), _until_orphaned(blocks, orphaned), shown))

    def result(self) -> _Counts:
        """Wait for its end.

        Raises:
            UnicodeDecodeError: its part is not UTF-8.
            ActionError: it failed, or was killed.
        """
        reply = self._process.result()
        if "not_utf8" in reply:
            raise UnicodeDecodeError("utf-8", b"", 0, 0, "in a part of the file")
        if "error" in reply:
            raise ActionError(reply["error"], reason=reply["reason"])
        return _counts_of(self._file, reply["total"], reply["runs"])

    def end(self) -> None:
        """Kill it if it still runs."""
        self._process.end()


def _count_part(tally: Tally, blocks: Iterator[bytes], shown: str) -> dict[str, Any]:
    """Count, and give the counts or the error as JSON can hold them."""
    try:
        _count(tally, blocks, shown)
    except UnicodeDecodeError:
        return {"not_utf8": True}
    except ActionError as error:
        return {"error": error.message, "reason": error.reason}
    return {"total": tally.total, "runs": tally.runs}


def _until_orphaned(blocks: Iterator[bytes], orphaned: Callable[[], bool]) -> Iterator[bytes]:
    for block in blocks:
        if orphaned():
            os._exit(1)
        yield block


# --- with DuckDB ----------------------------------------------------------------------------------


def _wants_duckdb(descriptor: int, engine: str) -> bool:
    if engine != "auto":
        return engine == "duckdb"
    from importlib.util import find_spec

    status = os.fstat(descriptor)
    large = stat.S_ISREG(status.st_mode) and status.st_size >= DUCKDB_BYTES
    return large and Path("/proc/self/fd").is_dir() and find_spec("duckdb") is not None


_PIECES: Final = """
SELECT piece, count(*)
FROM (SELECT unnest(string_split(line, ' ')) AS piece
      FROM read_csv($1, header = false, auto_detect = false, columns = {'line': 'VARCHAR'}, delim = chr(31), quote = '', escape = '',
                    comment = '', compression = 'none'))
GROUP BY piece
"""
"""The lines of a text file as a table of one column. A unit separator, a line of megabytes or bad UTF-8 makes it fail."""


def _with_duckdb(descriptor: int, stack: ExitStack) -> _Counts | None:
    """Count with DuckDB; None when this file is not for it, and the other way must do (or say what is wrong)."""
    from tempfile import TemporaryDirectory

    try:
        import duckdb
    except ImportError as error:
        raise ActionError(
            "`engine: duckdb` needs the package duckdb", reason="bad_params", hint="pip install 'joblot[sql]'"
        ) from error
    file = _scratch(stack)
    tally = Tally(file)
    with TemporaryDirectory() as folder:
        settings: dict[str, Any] = {"memory_limit": "256MB", "temp_directory": folder}
        try:
            with duckdb.connect(":memory:", config=settings) as connection:
                tally.add_counted(_fetched(connection.execute(_PIECES, [f"/proc/self/fd/{descriptor}"])))
        except duckdb.Error:
            return None
    return _counts_of(file, tally.total, tally.runs)


def _fetched(result: Any) -> Iterator[Counted]:
    while rows := result.fetchmany(10_000):
        for piece, count in rows:
            if piece:
                yield piece, count
