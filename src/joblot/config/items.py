"""The items of a fan-out, from wherever they are: a table, a file of lines, a pattern of file names, the output of a command.

What comes back are columns: lists of equal length by name. The column named "" is the item as a whole. Values from texts stay texts;
JSON Lines and Parquet say themselves what a value is. Knows nothing of jobs.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from joblot.config.tree import MAX_DEPTH, MAX_TEXT, describe
from joblot.core.patterns import is_in_state_folder
from joblot.core.written import shorten
from joblot.errors import did_you_mean
from joblot.files import reason_of, write_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from subprocess import Popen

    from joblot.core.shells import Call

Columns = dict[str, list[Any]]

COMMAND_TIMEOUT_S: Final = 60.0
COMMAND_PRINTS: Final = 256 << 20
"""A command may print so many bytes."""
_KEYS: Final = re.compile(r'"\s*:')
_ERRORS_KEPT: Final = 1 << 14
_DELIMITERS: Final = ",;\t|"
_ENDINGS: Final = {
    ".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".txt": "lines",
}  # fmt: skip


class ItemsError(Exception):
    """Items cannot be had. `message` goes on from the name of the source."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def source_of(text: str) -> str | None:
    """The kind of source that a bare text means, by its ending; None when it means none."""
    if any(char in text for char in "*?["):
        return "glob"
    return _ENDINGS.get(os.path.splitext(text)[1].lower())  # noqa: PTH122 - pathlib costs start-up time


def read_items(kind: str, source: str, folder: str) -> Columns:
    """The items of a source; a relative path is one below `folder`.

    Raises:
        ItemsError: they cannot be read, or do not hang together.
    """
    return SOURCES[kind](source, folder)


def items_of_text(kind: str, content: bytes, source: str) -> Columns:
    """The items in what was read from somewhere else than a file; `source` is what messages call it, `kind` one of `TEXTS`.

    Raises:
        ItemsError: as `read_items`.
    """
    return TEXTS[kind](source, content)


def rows_to_columns(rows: Iterable[Any]) -> Columns:
    """Mappings with the same keys, or single values, as columns.

    Raises:
        ItemsError: they are not alike.
    """
    rows = list(rows)
    if not any(isinstance(row, dict) for row in rows):
        number = next((number for number, row in enumerate(rows, 1) if isinstance(row, list)), 0)
        if number:
            raise ItemsError(f"item {number} is a list", hint="an item is a value, or a mapping of names to values")
        return {"": rows} if rows else {}
    # The names of all rows, and not of the first: a name that only a later one has is a typing error there, or lacks here.
    names = list(dict.fromkeys(name for row in rows if isinstance(row, dict) for name in row))
    if "" in names:
        raise ItemsError("items have a value without a name", hint="name it, or leave it out")
    for number, row in enumerate(rows, 1):
        _check_row(number, row, names)
    return {name: [row[name] for row in rows] for name in names}


def _check_row(number: int, row: Any, names: list[str]) -> None:
    """Refuse a row without one of the names: null in its place would hide a typing error."""
    if not isinstance(row, dict):
        raise ItemsError(f"item {number} is {describe(row)}, and others are mappings")
    missing = next((name for name in names if name not in row), None)
    if missing is not None:
        raise ItemsError(f"item {number} has no `{shorten(missing)}`", hint=did_you_mean(missing, row))


def delimiter_of(header: str) -> str:
    """What parts the cells of a table, by its first line: what stands in it most. Spreadsheets of half of Europe write `;`."""
    return max(_DELIMITERS, key=header.count)


def _table(source: str, content: bytes, delimiter: str | None = None) -> Columns:
    import csv
    import io

    reader = None
    with io.StringIO(_decoded(source, content), newline=None) as file:
        try:
            head = file.readline()
            if not head.strip():
                raise ItemsError(f"`{source}` has no header line", hint="the first line names the columns")
            delimiter = delimiter or delimiter_of(head)
            with _wide_cells():
                (names,) = csv.reader([head], delimiter=delimiter, strict=True)
                reader = csv.reader(file, delimiter=delimiter, strict=True)
                rows = [row for row in reader if row]
        except (csv.Error, ValueError) as error:
            line = 1 if reader is None else reader.line_num + 1
            raise ItemsError(f"`{source}`, line {line}, cannot be read: {_first_line(error)}") from None
    names = [name.strip() for name in names]
    _check_names(source, names)
    # `csv.DictReader` would fill short rows with None and gather what is too much under None: such a row is damaged.
    number, row = next(((number, row) for number, row in enumerate(rows, 1) if len(row) != len(names)), (0, []))
    if number:
        fields = "1 field" if len(row) == 1 else f"{len(row)} fields"
        hint = "put values that hold the separator in double quotes"
        raise ItemsError(f"`{source}`: item {number} has {fields}, the header has {len(names)}", hint=hint)
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)) if rows else {name: [] for name in names}


@contextmanager
def _wide_cells() -> Iterator[None]:
    """Let cells be as long as texts of batch files may be, which the values are held against later; the module's own limit is lower."""
    import csv

    before = csv.field_size_limit(MAX_TEXT + 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _check_names(source: str, names: list[str]) -> None:
    seen = set()
    for number, name in enumerate(names, 1):
        if not name:
            raise ItemsError(f"`{source}`: column {number} has no name")
        if name in seen:
            raise ItemsError(f"`{source}` has two columns `{shorten(name)}`")
        seen.add(name)


def _jsonl(source: str, content: bytes) -> Columns:
    import io

    import msgspec

    rows = []
    with io.StringIO(_decoded(source, content), newline=None) as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    row = msgspec.json.decode(line)
                    twice = "" if _counted(row) == len(_KEYS.findall(line)) else _twice(line)
                except msgspec.DecodeError as error:
                    raise ItemsError(f"`{source}`, line {number}: {_first_line(error)}") from None
                except RecursionError:
                    raise ItemsError(f"`{source}`, line {number}: nested deeper than {MAX_DEPTH} levels") from None
                if twice:
                    raise ItemsError(f"`{source}`, line {number}: the key `{shorten(twice)}` stands there twice")
                rows.append(row)
    return rows_to_columns(rows)


def _counted(value: Any) -> int:
    """How many keys a value of JSON has, those inside it too."""
    if isinstance(value, dict):
        return len(value) + sum(map(_counted, value.values()))
    return sum(map(_counted, value)) if isinstance(value, list) else 0


def _twice(line: str) -> str:
    """A key that stands twice in one object; empty when none does: what was counted may stand in a text."""
    import json

    found = []

    def note(pairs: list[tuple[str, Any]]) -> None:
        seen = set()
        for name, _ in pairs:
            if name in seen:
                found.append(name)
            seen.add(name)

    json.loads(line, object_pairs_hook=note)
    return next(iter(found), "")


def _parquet(source: str, folder: str) -> Columns:
    path = os.path.join(folder, source)  # noqa: PTH118 - pathlib costs start-up time
    if not os.path.isfile(path):  # noqa: PTH113
        raise ItemsError(f"`{source}` is not a file")
    try:
        from pyarrow import parquet
    except ImportError:
        raise ItemsError(
            "reading Parquet needs pyarrow", hint="`pip install pyarrow`, or give the items as CSV or JSON Lines"
        ) from None
    try:
        table = parquet.read_table(path)
        values = [column.to_pylist() for column in table.columns]
    except Exception as error:  # noqa: BLE001 - its errors share no class
        raise ItemsError(f"`{source}` cannot be read: {_first_line(error)}") from None
    _check_names(source, table.column_names)
    return dict(zip(table.column_names, [list(map(_json_value, column)) for column in values], strict=True))


def _json_value(value: Any) -> Any:
    """A value of Parquet as JSON has it: dates and times in ISO form, decimals as they are written."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, dict):
        return {str(name): _json_value(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json_value(item) for item in value]
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _lines(source: str, content: bytes) -> Columns:
    return _as_lines(_decoded(source, content))


def _command(command: str, folder: str) -> Columns:
    from joblot.core.shells import call

    return items_of_command(command, call((), command), folder)


def items_of_command(shown: str, call: Call, folder: str) -> Columns:
    """The lines that a command prints; `shown` is what messages call it.

    Raises:
        ItemsError: it fails, or prints too much, or for too long.
    """
    import subprocess

    shown = shorten(shown)
    files = []
    try:
        if call.by_file:
            files.append(os.memfd_create("joblot"))
            write_all(files[0], os.fsencode(call.text or ""))
        process = subprocess.Popen(
            call.argv(f"/dev/fd/{files[0]}" if files else ""),
            cwd=folder,
            pass_fds=files,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # so that all it started can be ended
        )
    except OSError as error:
        raise ItemsError(f"`{shown}` cannot be run: {reason_of(error)}") from None
    finally:
        for fd in files:
            os.close(fd)
    with process:
        try:
            printed, errors = _printed(process, shown)
        finally:
            _end(process.pid)
    code = process.returncode
    if code:
        lines = errors.decode("utf-8", "replace").strip().splitlines()
        ended = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
        raise ItemsError(f"`{shown}` {ended}", hint=shorten(lines[-1], 200) if lines else "")
    try:
        return _as_lines(printed.decode())
    except UnicodeDecodeError as error:
        raise ItemsError(f"`{shown}` printed something else than UTF-8 text (byte {error.start})") from None


def _printed(process: Popen[bytes], shown: str) -> tuple[bytes, bytes]:
    """What a command prints until it ends, and the end of its standard error.

    Both are read at once, or a command that fills the other pipe would wait for ever; `Popen.communicate` does so too, but without a limit.
    """
    import selectors
    import subprocess
    import time

    assert process.stdout is not None
    assert process.stderr is not None
    until = time.monotonic() + COMMAND_TIMEOUT_S
    printed, errors = bytearray(), bytearray()
    with selectors.DefaultSelector() as ready:
        ready.register(process.stdout, selectors.EVENT_READ, printed)
        ready.register(process.stderr, selectors.EVENT_READ, errors)
        while ready.get_map():
            if time.monotonic() > until:
                raise _too_long(shown)
            for key, _ in ready.select(max(0.0, until - time.monotonic())):
                block = os.read(key.fd, 1 << 16)
                key.data.extend(block)
                if not block:
                    ready.unregister(key.fileobj)
            del errors[:-_ERRORS_KEPT]
            if len(printed) > COMMAND_PRINTS:
                raise ItemsError(f"`{shown}` printed more than {COMMAND_PRINTS >> 20} MiB")
    try:
        process.wait(max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise _too_long(shown) from None
    return bytes(printed), bytes(errors)


def _too_long(shown: str) -> ItemsError:
    return ItemsError(f"`{shown}` took longer than {COMMAND_TIMEOUT_S:g} s", hint="let it write a file, and read that")


def _end(group: int) -> None:
    """End whatever a command has started and left."""
    import signal
    from contextlib import suppress

    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _as_lines(text: str) -> Columns:
    return {"": [line for line in text.replace("\r\n", "\n").split("\n") if line.strip()]}


def _glob(pattern: str, folder: str) -> Columns:
    paths = files_matching(pattern, folder)
    names = [os.path.basename(path) for path in paths]  # noqa: PTH119
    return {"": paths, "name": names, "stem": [os.path.splitext(name)[0] for name in names]}  # noqa: PTH122


def files_matching(pattern: str, folder: str) -> list[str]:
    """The files below a folder that match a pattern, in the order of their paths, without those of state folders."""
    matches = sorted(
        path for path in _matching(pattern, folder) if not path.endswith(os.sep) and not is_in_state_folder(path)
    )
    return [path for path in matches if not os.path.isdir(os.path.join(folder, path))]  # noqa: PTH112, PTH118


def _matching(pattern: str, folder: str) -> set[str]:
    """The paths that match. `**` does not go through links to folders: one that leads upwards has no end; a link that the pattern itself names is followed."""
    import glob

    first, *others = re.split(r"(?:(?<=/)|^)\*\*(?:/+\*\*)*(?:/+|$)", pattern)
    if not others:
        return set(glob.glob(pattern, root_dir=folder))  # noqa: PTH207 - names below a folder, not paths
    found = set(glob.glob(first, root_dir=folder)) if first else {""}  # noqa: PTH207
    for rest in others:
        # A pattern that ends with `**` means all files.
        bases = {below for base in found for below in _folders_below(base, folder)}
        found = {path for base in bases for path in glob.glob(glob.escape(base) + (rest or "*"), root_dir=folder)}  # noqa: PTH207
    return found


def _folders_below(base: str, folder: str) -> Iterator[str]:
    """A folder and all folders in it, each with a slash at its end; not those that begin with a dot, and no links."""
    top = os.path.join(folder, base)  # noqa: PTH118
    for path, names, _ in os.walk(top):
        names[:] = [name for name in names if not name.startswith(".")]
        below = os.path.relpath(path, top)
        yield base if below == "." else os.path.join(base, below, "")  # noqa: PTH118


def _of_file(parse: Callable[[str, bytes], Columns], source: str, folder: str) -> Columns:
    path = os.path.join(folder, source)  # noqa: PTH118 - pathlib costs start-up time
    # Opening a pipe without a writer would wait for ever; for a folder `open` has the better message.
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):  # noqa: PTH110, PTH112, PTH113
        raise ItemsError(f"`{source}` is not a file")
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            content = file.read()
    except OSError as error:
        raise ItemsError(f"cannot read `{source}`: {reason_of(error)}") from None
    return parse(source, content)


def _decoded(source: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ItemsError(f"`{source}` is not UTF-8 text (byte {error.start})", hint="save it as UTF-8") from None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


TEXTS: Final[dict[str, Callable[[str, bytes], Columns]]] = {
    "csv": _table,
    "tsv": partial(_table, delimiter="\t"),
    "jsonl": _jsonl,
    "lines": _lines,
}
"""By kind, what reads the items in a text."""
SOURCES: Final[dict[str, Callable[[str, str], Columns]]] = {
    "csv": partial(_of_file, TEXTS["csv"]),
    "tsv": partial(_of_file, TEXTS["tsv"]),
    "jsonl": partial(_of_file, TEXTS["jsonl"]),
    "parquet": _parquet,
    "lines": partial(_of_file, TEXTS["lines"]),
    "glob": _glob,
    "command": _command,
}
"""By kind, what reads the items of a source."""
