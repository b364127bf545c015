r"""Input files as checked blocks of UTF-8 text, in flat memory. What is looked for in them is not known here.

A line ends with `\n`, and a `\r` just before it is part of the line break; a `\r` anywhere else is a character as any other. A byte
order mark at the start is not part of the text.
"""

from __future__ import annotations

import os
from codecs import BOM_UTF8, utf_8_decode
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from joblot.errors import ActionError
from joblot.files import reason_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from joblot.actions.context import Context

BLOCK_BYTES: Final = 64 * 2**10
"""Small enough for the decoded text to stay in the processor's cache: blocks of 256 KiB cost a third more."""
LINE_BYTES_MAX: Final = 16 * 2**20
"""The longest line that actions which look at whole lines accept: it bounds their memory."""


@contextmanager
def reading(path: Path, ctx: Context) -> Iterator[int]:
    """A descriptor for reading `path`.

    Raises:
        ActionError: it is missing, a folder, or cannot be read; also when a read within the block fails.
    """
    shown = ctx.shown(path)
    try:
        descriptor = os.open(ctx.path(path), os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield descriptor
        finally:
            os.close(descriptor)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ActionError(f"file not found: {shown}", reason="missing_input") from error
    except IsADirectoryError as error:
        raise ActionError(f"is a directory: {shown}", reason="bad_input") from error
    except PermissionError as error:
        raise ActionError(f"permission denied: {shown}", reason="bad_input") from error
    except OSError as error:
        raise ActionError(f"cannot read {shown}: {reason_of(error)}", reason="bad_input") from error


def texts(path: Path, ctx: Context) -> Iterator[bytes]:
    """The file's text in blocks of whole characters.

    Raises:
        ActionError: as `reading`, or the file is not UTF-8 (the byte is counted from 0).
    """
    with reading(path, ctx) as descriptor:
        offset, pending = 0, b""
        while block := os.read(descriptor, BLOCK_BYTES):
            block = pending + block if pending else block
            end = _whole(block, offset, ctx.shown(path))
            pending = block[end:]
            checked = block[:end] if pending else block
            checked = checked.removeprefix(BOM_UTF8) if offset == 0 else checked
            offset += end
            if checked:
                yield checked
        if pending:
            raise not_utf8(ctx.shown(path), offset)


def _whole(block: bytes, offset: int, shown: str) -> int:
    """How many bytes of the block are whole characters."""
    if block.isascii():
        return len(block)
    try:
        return utf_8_decode(block, "strict", False)[1]
    except UnicodeDecodeError as error:
        raise not_utf8(shown, offset + error.start) from error


def not_utf8(shown: str, byte: int) -> ActionError:
    """The error of a file that is not text; `byte` is counted from 0."""
    return ActionError(f"not valid UTF-8 text: {shown} (byte {byte})", reason="bad_input")


def line_blocks(path: Path, ctx: Context) -> Iterator[bytes]:
    r"""The file's lines in blocks: lines joined by `\n`, without the last one's line break, `\r\n` made `\n`.

    An empty block is one empty line; a file without a byte gives no block.

    Raises:
        ActionError: as `texts`, or a line is longer than `LINE_BYTES_MAX`.
    """
    parts: list[bytes] = []
    size = 0
    for text in texts(path, ctx):
        cut = text.rfind(b"\n") + 1
        if cut:
            parts.append(text[:cut])
            yield _unix(b"".join(parts))[:-1]
            parts, size = [], 0
        if cut < len(text):
            parts.append(text[cut:])
            size += len(parts[-1])
        if size > LINE_BYTES_MAX:
            message = f"line too long: {ctx.shown(path)} has one of more than {LINE_BYTES_MAX >> 20} MiB"
            raise ActionError(message, reason="bad_input")
    if parts:
        yield _unix(b"".join(parts))


def _unix(text: bytes) -> bytes:
    return text.replace(b"\r\n", b"\n") if b"\r" in text else text
