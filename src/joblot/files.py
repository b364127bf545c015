"""Writing a finished file in one step: complete under its name, or not there. It does not know what the file says."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from joblot.errors import JoblotError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable


def write_atomically(path: str | Path, chunks: Iterable[bytes | bytearray]) -> None:
    """Write the chunks to a temporary file in the same folder, force it to disk, and give it the name `path`.

    Missing folders are made. A symbolic link is followed; a device or a pipe is written to as it is.

    Raises:
        JoblotError: the file cannot be written; whatever had that name before is untouched.
    """
    try:
        target = Path(path).resolve()
        if _is_special(target):
            with target.open("wb", buffering=0) as file:
                file.writelines(chunks)
            return
        make_folder_of(target)
        _replace(target, chunks)
    except OSError as error:
        raise JoblotError(_cannot_write(path, error)) from error


def check_writable(path: str | Path) -> None:
    """Find out before any work is done whether `write_atomically` could write there; missing folders are made.

    Raises:
        UsageError: it could not.
    """
    try:
        target = Path(path).resolve()
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not _is_special(target):
            make_folder_of(target)
            handle, partial = _create_beside(target)
            os.close(handle)
            partial.unlink()
    except OSError as error:
        raise UsageError(
            _cannot_write(path, error), hint="give a path to a file in a folder that you may write to"
        ) from error


def make_folder_of(target: Path) -> None:
    """Make the folder that a file is to stand in, and those above it.

    Raises:
        OSError: it cannot be made; when something else has its name, that says so and not "file exists".
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), error.filename) from None


def _is_special(target: Path) -> bool:
    """Whether something that a rename would destroy has the name, such as `/dev/null` or a pipe."""
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _replace(target: Path, chunks: Iterable[bytes | bytearray]) -> None:
    handle, partial = _create_beside(target)
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(chunks)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise
    _force_folder(target.parent)


def _create_beside(target: Path) -> tuple[int, Path]:
    # A short name of its own, not the target's with a suffix: that could be longer than names may be.
    partial = target.with_name(f".joblot-{os.urandom(8).hex()}.part")
    return os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666), partial


def _force_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _cannot_write(path: str | Path, error: OSError) -> str:
    return f"cannot write `{path}`: {(error.strerror or str(error)).lower()}"
