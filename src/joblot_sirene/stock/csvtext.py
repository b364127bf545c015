"""The text of a stock file, plain or inside a zip, in blocks of whole rows.

It finds the delimiter, the line ends and the header, and cuts blocks where a row ends, which is not at every line feed: quoted names hold
some. Every row of a block has as many fields as the header: the data engine would fill up or cut off others without a word. It does not know
what the columns mean beyond asking which names are those of a stock file.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
import zlib
from contextlib import ExitStack, suppress
from typing import IO, TYPE_CHECKING, Final

from joblot import reason_of
from joblot_sirene.errors import LayoutError, SireneError
from joblot_sirene.register.layout import fold, recognise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from joblot_sirene.register.layout import Kind

ROW_BYTES: Final = 200
"""About the size of a row of the stock as text."""
DELIMITERS: Final = (",", ";", "\t")
_BOM: Final = b"\xef\xbb\xbf"
_HEADER_BYTES: Final = 64 * 2**10
"""Within which a header ends; a longer first line is no header of a stock file."""
_MANY_QUOTES: Final = 4
"""Quotes for each row from which on a block is read field by field: to look at each quote by itself would take longer."""
_LISTED: Final = 5
"""Lines that an error names at most."""
_MOST_ROW_BYTES: Final = 64 * 2**20
"""Without the end of a row after which a quote must have been left open."""


_UNPACK: Final = "unpack it first"
_SAVE: Final = "save the sheet as CSV in UTF-8, or give the file as INSEE publishes it: zipped CSV or Parquet"
_GIVE: Final = "give the stock file as INSEE publishes it: zipped CSV or Parquet"
_FORMS: Final = (
    (b"\x1f\x8b", "packed with gzip", _UNPACK),
    (b"BZh", "packed with bzip2", _UNPACK),
    (b"\xfd7zXZ\0", "packed with xz", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "packed with zstandard", _UNPACK),
    (b"\x04\x22\x4d\x18", "packed with LZ4", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"Rar!", "a RAR archive", _UNPACK),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a workbook (xls)", _SAVE),
    (b"\xff\xfe", "text in UTF-16", "save the file as UTF-8"),
    (b"\xfe\xff", "text in UTF-16", "save the file as UTF-8"),
    (b"%PDF", "a PDF", _GIVE),
    (b"SQLite format 3\0", "a database of SQLite", _GIVE),
    (b"ARROW1", "an Arrow file", _GIVE),
    (b"{", "JSON, such as the replies of the register's API", _GIVE),
    (b"[", "JSON, such as the replies of the register's API", _GIVE),
    (b"<", "XML or a web page", _GIVE),
)
"""How files of other forms begin, what they are, and what to do with them."""
_MEMBERS: Final = (
    ("xl/workbook.xml", "a workbook (xlsx)"),
    ("xl/workbook.bin", "a workbook (xlsb)"),
    ("content.xml", "a workbook (ods)"),
)
"""Members by which a zip is known to be something else."""


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
            names = [member.filename for member in archive.infolist() if not member.is_dir()]
            others = len(archive.infolist())
    except (zipfile.BadZipFile, OSError) as error:
        raise SourceError(
            f"`{path}` is damaged: it begins like a zip, but its list of contents cannot be read",
            hint="download the stock file again",
        ) from error
    # beside the stock file a zip may hold a description, and what macOS adds
    members = [name for name in names if name.lower().endswith((".csv", ".txt")) and not name.startswith("__MACOSX/")]
    if not members:
        workbook = next((form for member, form in _MEMBERS if member in names), None)
        if workbook is not None:
            raise SourceError(f"`{path}` is {workbook}", hint=_SAVE)
        is_parquet = any(name.lower().endswith(".parquet") for name in names)
        raise SourceError(
            f"`{path}` has no CSV file in it, only {others} other"
            if others
            else f"`{path}` is a zip with nothing in it",
            hint="unpack the Parquet file in it, which is read as it is" if is_parquet else _GIVE,
        )
    if len(members) == 1:
        return CsvText(path, members[0])
    return _only_stock_file(path, members, expected)


def _only_stock_file(path: Path, members: list[str], expected: Kind | None) -> CsvText:
    stock_files = []
    for member in members:
        text = CsvText(path, member)
        with suppress(LayoutError):
            recognise(text.names, expected=expected)
            stock_files.append(text)
    if len(stock_files) == 1:
        return stock_files[0]
    names = ", ".join(f"`{name}`" for name in ([text.member or "" for text in stock_files] or members)[:5])
    count = "several stock files" if stock_files else "no stock file"
    raise SourceError(f"`{path}` has {count} in it: {names}", hint="unpack the one that you mean")


class CsvText:
    """Text with a header.

    Attributes:
        path: the file.
        member: the name inside the zip, None when the file is the text itself.
        names: the column names of the header.
        delimiter: what stands between fields.
        done: the share of the text that `blocks` has read, from 0 to 1.
        aside: what is called with the line, the fields and the text of each row that has not as many fields as the header; without it such
            a row is an error.
    """

    aside: Callable[[int, Sequence[str], bytes], None] | None = None

    def __init__(self, path: Path, member: str | None) -> None:
        self.path = path
        self.member = member
        with ExitStack() as stack:
            head = self._read(self._open(stack), _HEADER_BYTES)
        head = head.removeprefix(_BOM)
        for beginning, form, hint in _FORMS:
            if head.lstrip().startswith(beginning):
                raise SourceError(f"`{self.label}` is {form}", hint=hint)
        # a header that ends with a carriage return alone, as some spreadsheets write it: then all rows do
        first = re.search(rb"\r\n?|\n", re.sub(rb'"[^"]*"', lambda quoted: b"x" * len(quoted[0]), head))
        self._ends_with_cr = first is not None and first[0] == b"\r"
        head = self._with_line_feeds(head)
        end = _row_end(head)
        line = self._decoded(head[: end + 1] if end >= 0 else head)
        if "\0" in line or (end < 0 and len(head) == _HEADER_BYTES):
            raise SourceError(
                f"`{self.label}` is neither Parquet, nor CSV, nor a zip of CSV",
                hint="give the stock file as it is published",
            )
        self.delimiter = max(DELIMITERS, key=line.count)
        self.names = next(csv.reader(io.StringIO(line, newline=""), delimiter=self.delimiter), [])
        self.done = 0.0
        self._line = 2
        self._lines = 0
        self._block = b""
        mark = self.delimiter.encode()
        self._bare_row = mark * (len(self.names) - 1) + b"\n"
        self._ordinary = bytes(byte for byte in range(256) if byte not in mark + b'\r\n"')
        self._longest_name = max(self.names, key=len, default="").strip().encode()

    @property
    def label(self) -> str:
        """The file, and its member if it is a zip, for messages."""
        return f"{self.path}: {self.member}" if self.member else str(self.path)

    def blocks(self, size: int) -> Iterator[bytes]:
        """The rows after the header, in blocks of about `size` bytes, each a whole number of rows.

        Raises:
            SourceError: the file ends in the middle of a row, or cannot be read on.
        """
        with ExitStack() as stack:
            file = self._open(stack)
            total = self._size()
            tail = self._read(file, _HEADER_BYTES + len(_BOM))
            count = len(tail)
            tail = self._with_line_feeds(tail.removeprefix(_BOM))
            end = _row_end(tail)
            tail = tail[end + 1 :] if end >= 0 else b""
            self._line = 2
            # `tail` is the beginning of a row whose end has not been read yet; it goes in front of what is read next
            while read := self._read(file, size):
                text = tail + self._with_line_feeds(read)
                count += len(read)
                self.done = min(count / total, 1.0)
                end = _last_row_end(text)
                if end < 0 and len(text) > _MOST_ROW_BYTES:
                    raise SourceError(f"`{self.label}`: a quoted text that begins after line {self._line} does not end")
                tail = text[end + 1 :]
                if end >= 0:
                    yield from self._checked(text[: end + 1])
                    self._line += self._lines
            self.done = 1.0
            end = _last_row_end(tail)  # a short file is all in the tail
            if end >= 0:
                yield from self._checked(tail[: end + 1])
                self._line += self._lines
            if tail[end + 1 :].strip():
                self._check_end(tail[end + 1 :])
                yield from self._checked(tail[end + 1 :])

    def _checked(self, block: bytes) -> Iterator[bytes]:
        """The block without rows that are put aside, empty lines and repeated headers; nothing when no row is left."""
        self._block = block if self._is_even(block) else self._even_rows(block)
        if self._block:
            yield self._block

    def _is_even(self, block: bytes) -> bool:
        """Whether every row has as many fields as the header, and none is a header; false when that takes a closer look.

        What is left of rows without their ordinary characters is the same for each, so all are compared at once.
        """
        bare = block.translate(None, self._ordinary)
        self._lines = bare.count(b"\n")  # of a quarter of the bytes
        if len(self._longest_name) > 1 and self._longest_name in block:
            return False
        quotes = bare.count(b'"')
        if quotes:
            if quotes > _MANY_QUOTES * self._lines or not self._quotes_enclose(block):
                return False
            # a quote in a text is two, which changes nothing
            bare = re.sub(rb'"[^"]*"', b"", bare)
        if b"\r" in bare:
            bare = bare.replace(b"\r\n", b"\n")
        if not bare.endswith(b"\n"):
            bare += b"\n"
        return bare == self._bare_row * (len(bare) // len(self._bare_row))

    def _quotes_enclose(self, block: bytes) -> bool:
        """Whether quotes stand around whole fields only: others are text to the data engine, and would be boundaries here."""
        mark = self.delimiter.encode()
        before, after = mark + b"\n", mark + b"\r\n"
        at = block.find(b'"')
        while at >= 0:
            if at and block[at - 1] not in before:
                return False
            end = block.find(b'"', at + 1)
            while end >= 0 and block[end + 1 : end + 2] == b'"':
                end = block.find(b'"', end + 2)
            if end < 0 or (end + 1 < len(block) and block[end + 1] not in after):
                return False
            at = block.find(b'"', end + 1)
        return True

    def _even_rows(self, block: bytes) -> bytes:
        """The rows of a block that have as many fields as the header, each looked at by itself; the others are put aside or refused."""
        names = [fold(name) for name in self.names]
        kept: list[bytes] = []
        bad: list[tuple[int, int]] = []
        for line, text, fields in self._rows(block):
            if not text.strip():
                continue
            if len(fields) != len(names):
                bad.append((line, len(fields)))
                if self.aside is not None:
                    self.aside(line, fields, text)
            elif self._longest_name in text and sorted(map(fold, fields)) == sorted(names):
                if [*map(fold, fields)] != names:
                    raise SourceError(
                        f"`{self.label}`, line {line}: a second header, with the columns in another order",
                        hint="files with other columns must be given one by one",
                    )
            else:
                kept.append(text if b'"' not in text else _quoted(fields, self.delimiter))
        if bad and self.aside is None:
            raise self._uneven(bad)
        return b"".join(kept)

    def _rows(self, block: bytes) -> Iterator[tuple[int, bytes, list[str]]]:
        """Each row: its first line, its text, its fields (none when a carriage return stands in it)."""
        lines = io.BytesIO(block).readlines()
        reader = csv.reader((line.decode("utf-8", "surrogateescape") for line in lines), delimiter=self.delimiter)
        at = 0
        while at < len(lines):
            try:
                fields = next(reader)
            except csv.Error:
                fields = []
            yield self._line + at, b"".join(lines[at : reader.line_num]), fields
            at = reader.line_num

    def _uneven(self, bad: Sequence[tuple[int, int]]) -> SourceError:
        (line, fields), *others = bad
        is_torn = (
            "a carriage return in the row" if not fields else f"{fields} fields, but the header has {len(self.names)}"
        )
        listed = f"line{'s' if len(others) > 1 else ''} " + ", ".join(str(other) for other, _ in others[:_LISTED])
        more = f" and {len(others) - _LISTED} more" if len(others) > _LISTED else ""
        return SourceError(
            f"`{self.label}`, line {line}: {is_torn}" + (f" (also {listed}{more})" if others else ""),
            hint="a text with the delimiter in it must stand in quotes; `batch` and `inspect` put such rows aside with `--bad-rows FILE`",
        )

    def _with_line_feeds(self, text: bytes) -> bytes:
        return text.replace(b"\r", b"\n") if self._ends_with_cr else text

    def _check_end(self, tail: bytes) -> None:
        """The last bytes are a row without a line feed: it must be whole."""
        row = next(csv.reader(io.StringIO(self._decoded(tail), newline=""), delimiter=self.delimiter), [])
        if tail.count(b'"') & 1 or len(row) < len(self.names):
            raise SourceError(
                f"`{self.label}` ends in the middle of a row",
                hint="download the stock file again: the transfer broke off",
            )

    def damaged(self, error: BaseException) -> SourceError:
        """The error for a block that the data engine could not parse: it names the line, if that can be found. The engine does not say it."""
        line = self._line
        try:
            self._block.decode()
        except UnicodeDecodeError as undecodable:
            position = undecodable.start
            line += self._block.count(b"\n", 0, position)
            return SourceError(
                f"`{self.label}`, line {line}: the byte 0x{self._block[position]:02X} is not UTF-8",
                hint="save the file as UTF-8",
            )
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        return SourceError(f"`{self.label}`, after line {line}: {reason}")

    def _open(self, stack: ExitStack) -> IO[bytes]:
        try:
            if self.member is None:
                return stack.enter_context(self.path.open("rb", buffering=0))
            archive = stack.enter_context(zipfile.ZipFile(self.path))
            return stack.enter_context(archive.open(self.member))
        except RuntimeError as error:  # what zipfile raises when a member is encrypted
            raise SourceError(f"`{self.label}` needs a password", hint="unpack it first") from error
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
        reason = reason_of(error) if isinstance(error, OSError) else str(error)
        return SourceError(f"cannot read `{self.label}`: {reason}", hint="download the stock file again")

    def _decoded(self, text: bytes) -> str:
        return text.decode("utf-8", "replace")


def _quoted(fields: Sequence[str], delimiter: str) -> bytes:
    """The row with quotes as the data engine understands them: around whole fields."""
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, lineterminator="\n").writerow(fields)
    return out.getvalue().encode("utf-8", "surrogateescape")


def _row_end(text: bytes) -> int:
    """The position of the first row's end: a line feed after an even number of quotes. -1 when there is none."""
    end = text.find(b"\n")
    while end >= 0 and text.count(b'"', 0, end) & 1:
        end = text.find(b"\n", end + 1)
    return end


def _last_row_end(text: bytes) -> int:
    """The position of the last whole row's end; -1 when there is none."""
    end = text.rfind(b"\n")
    in_quotes = text.count(b'"', 0, end) & 1 if end >= 0 else 0
    while end >= 0 and in_quotes:
        before = text.rfind(b"\n", 0, end)
        in_quotes ^= text.count(b'"', max(before, 0), end) & 1
        end = before
    return end
