"""Built-in actions that read a text file from end to end: counting, measuring, and splitting it into items."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from joblot.actions.builtin.reading import line_blocks, texts
from joblot.actions.context import Context
from joblot.actions.registry import action, fused
from joblot.errors import ActionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from joblot.actions.bundle import BundleContext, FusedJob

RESULT_BYTES_MAX: Final = 2**20
"""The largest result of a job, as JSON."""


@action("count_lines")
def count_lines(input: Path, *, pattern: str | None = None, ctx: Context) -> dict[str, Any]:
    """Count the lines of a UTF-8 text file and, with `pattern`, those that hold this text (taken as it is).

    A last line without a line break counts as well.

    Raises:
        ActionError: the input cannot be read or is not UTF-8, or the pattern holds a line break.
    """
    if pattern is None:
        return {"total_lines": _Lines().count(texts(input, ctx))}
    if "\n" in pattern:
        raise _line_break()
    lines, holding = _Lines(), _LinesHolding(pattern.encode())
    for text in texts(input, ctx):
        lines.add(text)
        holding.add(text)
    return _counts(lines, pattern, holding if pattern else None)


@fused("count_lines", on=("input",))
def count_lines_for_many(jobs: Sequence[FusedJob], ctx: BundleContext) -> None:
    """Count the lines of one file, and those that hold the text of each job, in one pass."""
    for job in jobs:
        if "\n" in (job.params["pattern"] or ""):
            ctx.failed(job, _line_break())
    # Jobs with the same text share a counter. When no job is left the file is not read: its own errors would tell nobody anything.
    lines = _Lines()
    holding = {pattern: _LinesHolding(pattern.encode()) for job in ctx.open if (pattern := job.params["pattern"])}
    try:
        for text in texts(jobs[0].input, jobs[0].ctx) if ctx.open else ():
            lines.add(text)
            for counter in holding.values():
                counter.add(text)
    except ActionError as error:
        for job in ctx.open:
            ctx.failed(job, error)
    for job in ctx.open:
        ctx.done(job, _counts(lines, job.params["pattern"], holding.get(job.params["pattern"])))


def _counts(lines: _Lines, pattern: str | None, holding: _LinesHolding | None) -> dict[str, Any]:
    if pattern is None:
        return {"total_lines": lines.total}
    # Every line holds the empty text, for which nothing is searched.
    matching = holding.count if holding is not None else lines.total
    return {"total_lines": lines.total, "matching_lines": matching, "pattern": pattern}


def _line_break() -> ActionError:
    return ActionError("`pattern` holds a line break, so no line can hold it", reason="bad_pattern")


class _Lines:
    """Counts lines: line breaks, and one more for a last line that has none."""

    def __init__(self) -> None:
        self._breaks = 0
        self._open = False

    def add(self, text: bytes) -> None:
        self._breaks += text.count(b"\n")
        if text:
            self._open = not text.endswith(b"\n")

    def count(self, blocks: Iterator[bytes]) -> int:
        for text in blocks:
            self.add(text)
        return self.total

    @property
    def total(self) -> int:
        return self._breaks + self._open


class _LinesHolding:
    """Counts the lines that hold some bytes, in blocks cut anywhere: lines of any length take no memory."""

    def __init__(self, needle: bytes) -> None:
        self.count = 0
        self._needle = needle
        self._tail = b""
        self._in_counted_line = False

    def add(self, block: bytes) -> None:
        if not self._needle:
            return
        text, start = self._tail + block, 0
        if self._in_counted_line:
            start = text.find(b"\n") + 1
            if not start:
                return
        self._in_counted_line = False
        while (hit := text.find(self._needle, start)) >= 0:
            self.count += 1
            start = text.find(b"\n", hit) + 1
            if not start:
                self._tail, self._in_counted_line = b"", True
                return
        # what may be the beginning of a hit that the next block completes
        self._tail = text[max(start, len(text) - len(self._needle) + 1) :]


@action("file_stats")
def file_stats(input: Path, *, ctx: Context) -> dict[str, int]:
    """Measure a UTF-8 text file: bytes, lines, characters (code points, line breaks included), and words between white space.

    Raises:
        ActionError: the input cannot be read or is not UTF-8.
    """
    lines, chars, words, in_word = _Lines(), 0, 0, False
    for block in texts(input, ctx):
        lines.add(block)
        text = block.decode()
        chars += len(text)
        words += len(text.split()) - (in_word and not text[:1].isspace())
        in_word = not text[-1:].isspace() if text else in_word
    size = ctx.path(input).stat().st_size
    return {"size_bytes": size, "line_count": lines.total, "char_count": chars, "word_count": words}


@action("process_items")
def process_items(input: Path, *, output: Path | None = None, ctx: Context) -> Any:
    """Make an item `{index, item, processed}` of each line that is not blank, without the white space around it.

    The items are the result; with `output` they are written to that file as a JSON list, and the result says how many there are.

    Raises:
        ActionError: the input cannot be read or is not UTF-8, or the items are too many for a result and there is no `output`.
    """
    items = ({"index": index, "item": item, "processed": True} for index, item in enumerate(_items(input, ctx)))
    if output is None:
        return _as_result(items)
    count = 0
    with ctx.output(output) as part, part.open("w", encoding="utf-8") as file:
        file.write("[")
        for count, item in enumerate(items, 1):
            file.write(f"{',' if count > 1 else ''}\n  {json.dumps(item, ensure_ascii=False)}")
        file.write("\n]\n" if count else "]\n")
    return {"items": count, "output": ctx.shown(output)}


def _items(path: Path, ctx: Context) -> Iterator[str]:
    for block in line_blocks(path, ctx):
        for line in block.decode().split("\n"):
            if item := line.strip():
                yield item


def _as_result(items: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    kept, size = [], 0
    for item in items:
        kept.append(item)
        size += len(json.dumps(item)) + 1
        if size > RESULT_BYTES_MAX:
            message = "the items do not fit into a result of 1 MiB: name a file in `output`"
            raise ActionError(message, reason="too_large")
    return kept
