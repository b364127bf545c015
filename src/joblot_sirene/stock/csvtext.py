"""The text of a stock file, plain or inside a zip, in blocks of whole rows.

It finds the delimiter and the header, and cuts blocks where a row ends, which is not at every line feed: quoted names hold
some. It does not know what the columns mean beyond asking which names are those of a stock file.
"""

from __future__ import annotations

import csv
import io
import zipfile
import zlib
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, Final

from joblot_sirene.errors import LayoutError, SireneError
from joblot_sirene.register.layout import recognise

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from joblot_sirene.register.layout import Kind

ROW_BYTES: Final = 200
"""About what a row of the stock takes as text."""
DELIMITERS: Final = (",", ";", "\t")
_BOM: Final = b"\xef\xbb\xbf"
_HEADER_BYTES: Final = 64 * 2**10
_ROW_MOST: Final = 64 * 2**20


class SourceError(SireneError):
    """A file that is missing, empty, damaged, or not what its first bytes promise."""

    exit_code = 1


def open_text(path: Path, *, zipped: bool, expected: Kind | None = None) -> CsvText:
    """Find the text in a file and read its header.

    Raises:
        SourceError: the file cannot be read, or a zip has no stock file or several in it.
        LayoutError: the columns are not those of a stock file.
    """
    if not zipped:
        return CsvText(path, None)
    try:
        with zipfile.ZipFile(path) as archive:
            members = [
                found.filename
                for found in archive.infolist()
                if not found.is_dir()
                and found.filename.lower().endswith((".csv", ".txt"))
                and not found.filename.startswith("__MACOSX/")
            ]
            others = len(archive.infolist())
    except (zipfile.BadZipFile, OSError) as error:
        raise SourceError(
            f"`{path}` is damaged: it begins like a zip, but its list of contents cannot be read",
            hint="download the stock file again",
        ) from error
    if not members:
        raise SourceError(
            f"`{path}` has no CSV file in it, only {others} other"
            if others
            else f"`{path}` is a zip with nothing in it"
        )
    if len(members) == 1:
        return CsvText(path, members[0])
    return _the_stock_file(path, members, expected)


def _the_stock_file(path: Path, members: list[str], expected: Kind | None) -> CsvText:
    found = []
    for member in members:
        text = CsvText(path, member)
        try:
            recognise(text.names, expected=expected)
        except LayoutError:
            continue
        found.append(text)
    if len(found) == 1:
        return found[0]
    shown = ", ".join(f"`{name}`" for name in ([text.member or "" for text in found] or members)[:5])
    which = "several stock files" if found else "no stock file"
    raise SourceError(f"`{path}` has {which} in it: {shown}", hint="unpack the one that you mean")


class CsvText:
    """Text with a header.

    Attributes:
        path: the file.
        member: the name inside the zip, None when the file is the text itself.
        names: the column names of the header.
        delimiter: what stands between fields.
        done: the share of the text that `blocks` has gone through, from 0 to 1.
    """

    def __init__(self, path: Path, member: str | None) -> None:
        self.path = path
        self.member = member
        with ExitStack() as stack:
            head = self._read(self._open(stack), _HEADER_BYTES)
        head = head.removeprefix(_BOM)
        end = _row_end(head, 0)
        line = self._decoded(head[: end + 1] if end >= 0 else head)
        if "\0" in line or (end < 0 and len(head) == _HEADER_BYTES):
            raise SourceError(
                f"`{self.shown}` is neither Parquet, nor CSV, nor a zip of CSV",
                hint="give the stock file as it is published",
            )
        self.delimiter = max(DELIMITERS, key=line.count)
        self.names = next(csv.reader(io.StringIO(line, newline=""), delimiter=self.delimiter), [])
        self.done = 0.0
        self._line = 2
        self._block = b""

    @property
    def shown(self) -> str:
        """The file, and its member if it is a zip, for messages."""
        return f"{self.path}: {self.member}" if self.member else str(self.path)

    def blocks(self, size: int) -> Iterator[bytes]:
        """The rows after the header, in blocks of about `size` bytes, each a whole number of rows.

        Raises:
            SourceError: the file ends in the middle of a row, or cannot be read on.
        """
        with ExitStack() as stack:
            file = self._open(stack)
            size_in_all = self._size()
            rest = self._read(file, _HEADER_BYTES + len(_BOM))
            gone = len(rest)
            rest = rest.removeprefix(_BOM)
            rest = rest[_row_end(rest, 0) + 1 :] if _row_end(rest, 0) >= 0 else b""
            self._line = 2
            while read := self._read(file, size):
                block = rest + read
                gone += len(read)
                self.done = min(gone / size_in_all, 1.0)
                end = _last_row_end(block)
                if end < 0 and len(block) > _ROW_MOST:
                    raise SourceError(f"`{self.shown}`: a quoted text that begins after line {self._line} does not end")
                rest = block[end + 1 :]
                if end >= 0:
                    self._block = block[: end + 1]
                    yield self._block
                    self._line += self._block.count(b"\n")
            self.done = 1.0
            if rest.strip():
                self._check_end(rest)
                self._block = rest
                yield rest

    def _check_end(self, rest: bytes) -> None:
        """What is left is a row without a line feed, or rows of a short file: the last one must be whole."""
        last = None
        for row in csv.reader(io.StringIO(self._decoded(rest), newline=""), delimiter=self.delimiter, strict=False):
            last = row or last
        if rest.count(b'"') & 1 or (last is not None and len(last) < len(self.names)):
            raise SourceError(
                f"`{self.shown}` ends in the middle of a row",
                hint="download the stock file again: the transfer broke off",
            )

    def damaged(self, error: BaseException) -> SourceError:
        """What to tell of a block that could not be parsed: the first row that is wrong, if it can be found."""
        line = self._line
        try:
            text = self._block.decode()
        except UnicodeDecodeError as wrong:
            line += self._block.count(b"\n", 0, wrong.start)
            return SourceError(
                f"`{self.shown}`, line {line}: the byte 0x{self._block[wrong.start]:02X} is not UTF-8",
                hint="save the file as UTF-8",
            )
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=self.delimiter)
        begin = 0
        for row in reader:
            if len(row) > len(self.names):
                return SourceError(
                    f"`{self.shown}`, line {line + begin}: {len(row)} fields, but the header has {len(self.names)}",
                    hint="a text with the delimiter in it must stand in quotes",
                )
            begin = reader.line_num
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        return SourceError(f"`{self.shown}`, after line {line}: {reason}")

    def _open(self, stack: ExitStack) -> IO[bytes]:
        try:
            if self.member is None:
                return stack.enter_context(self.path.open("rb", buffering=0))
            archive = stack.enter_context(zipfile.ZipFile(self.path))
            return stack.enter_context(archive.open(self.member))
        except RuntimeError as error:  # zipfile says so of a password
            raise SourceError(f"`{self.shown}` needs a password", hint="unpack it first") from error
        except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
            raise self._unreadable(error) from error

    def _size(self) -> int:
        """Bytes of text, at least 1."""
        if self.member is None:
            return max(self.path.stat().st_size, 1)
        with zipfile.ZipFile(self.path) as archive:
            return max(archive.getinfo(self.member).file_size, 1)

    def _read(self, file: IO[bytes], size: int) -> bytes:
        try:
            return file.read(size)
        except (OSError, zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> SourceError:
        reason = (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)
        return SourceError(f"cannot read `{self.shown}`: {reason}", hint="download the stock file again")

    def _decoded(self, text: bytes) -> str:
        return text.decode("utf-8", "replace")


def _row_end(text: bytes, start: int) -> int:
    """Where the first row ends: at a line feed after an even number of quotes. -1 when it does not."""
    end = text.find(b"\n", start)
    while end >= 0 and text.count(b'"', 0, end) & 1:
        end = text.find(b"\n", end + 1)
    return end


def _last_row_end(text: bytes) -> int:
    """Where the last whole row ends; -1 when there is none."""
    end = text.rfind(b"\n")
    odd = text.count(b'"', 0, end) & 1 if end >= 0 else 0
    while end >= 0 and odd:
        before = text.rfind(b"\n", 0, end)
        odd ^= text.count(b'"', max(before, 0), end) & 1
        end = before
    return end
