"""Writing finished files in one step, complete under their names or not there, and why the system refuses something, as text.

Nothing else in joblot forces a file to disk (but `journal.runfile` its own one), renames a finished file into place or asks for the text of an
error's number. It does not know what files say.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from joblot.errors import JoblotError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_PART: Final = ".joblot-{}.part"
"""The name of a temporary file: a short one of its own, not the target's with a suffix, which could be longer than names may be."""

_MOST_LINKS: Final = 40


def reason_of(error: Exception) -> str:
    """Why the system refused something, in lower case for a message: `no space left on device`.

    Libraries also raise errors with a number and no text, or with a text and no number; Rust's append the number to the text.
    """
    number, text = getattr(error, "errno", None), getattr(error, "strerror", None)
    return (text or (os.strerror(number) if number else str(error).partition(" (os error")[0])).lower()


def system_error(number: int) -> OSError:
    """The error of this number as the system would raise it, of the class that goes with it."""
    return OSError(number, os.strerror(number))


def write_all(handle: int, data: bytes) -> None:
    """Write the whole of `data`, also to a pipe that takes less at a time."""
    while data:
        data = data[os.write(handle, data) :]


def write_atomically(path: str | Path, chunks: Iterable[bytes | bytearray]) -> None:
    """Write a file that a user has named, as `replace_file` does.

    Missing folders are made. A symbolic link is followed; a device or a pipe is written to as it is.

    Raises:
        JoblotError: the file cannot be written; whatever had that name before is untouched.
    """
    try:
        target = Path(os.path.realpath(path))  # `resolve` has an error of its own for links in a circle
        if _is_special(target):
            with target.open("wb", buffering=0) as file:
                file.writelines(chunks)
            return
        make_folder_of(target)
        replace_file(target, chunks)
    except OSError as error:
        raise JoblotError(f"cannot write `{path}`: {reason_of(error)}") from error


def check_writable(path: str | Path) -> None:
    """Find out before any work is done whether `write_atomically` could write there; missing folders are made.

    Raises:
        UsageError: it could not.
    """
    try:
        target = Path(os.path.realpath(path))  # `resolve` has an error of its own for links in a circle
        if target.is_dir():
            raise system_error(errno.EISDIR)
        if not _is_special(target):
            make_folder_of(target)
            with _beside(target) as (handle, part):
                os.close(handle)
                part.unlink()
    except OSError as error:
        raise UsageError(
            f"cannot write `{path}`: {reason_of(error)}", hint="give a path to a file in a folder that you may write to"
        ) from error


def make_folder_of(target: Path) -> None:
    """Make the folder that a file is to stand in, and those above it.

    Raises:
        OSError: it cannot be made; when something else has its name, that says so and not "file exists".
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise system_error(errno.ENOTDIR) from None


def _is_special(target: Path) -> bool:
    """Whether something that a rename would destroy has the name, such as `/dev/null` or a pipe."""
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def replace_file(path: Path, chunks: Iterable[bytes | bytearray], *, mode: int = 0o666, forced: bool = True) -> None:
    """Write the chunks to a temporary file in the same folder, force it to disk, and give it the name `path`: a link of that name is replaced.

    `mode` is less the umask. Without `forced` a power cut may leave an empty file: for what is forced later with more, or not worth a wait.

    Raises:
        OSError: it cannot be written; whatever had that name before is untouched.
    """
    with _beside(path, mode) as (handle, part):
        with os.fdopen(handle, "wb") as file:
            file.writelines(chunks)
            file.flush()
            if forced:
                os.fsync(handle)
        part.replace(path)
    if forced:
        force_to_disk(path.parent)


def target_of(path: Path) -> Path:
    """What has a name, through links of the user's own or of root's: those stay when it is replaced. A stranger's link leads nowhere."""
    for _ in range(_MOST_LINKS):
        try:
            status = path.lstat()
            if not stat.S_ISLNK(status.st_mode) or status.st_uid not in (0, os.geteuid()):
                break
            path = path.parent / path.readlink()
        except OSError:
            break
    return path


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """As `replace_file`, for a block that writes by a path: `frame.write_parquet(part)`.

    Yields the path of an empty temporary file in the same folder. When the block ends well, the file is forced to disk and takes
    the name; when it raises, the file is removed and what had the name stays.

    Raises:
        OSError: the file cannot be written.
    """
    target = Path(path)
    with _beside(target) as (handle, part):
        os.close(handle)
        yield part
        rename_together({part: target})


def rename_together(targets: Mapping[Path, Path]) -> None:
    """Force temporary files to disk, and when all are there, give them the names beside them, in their order.

    Raises:
        OSError: of a file that is not there, or cannot be forced to disk or renamed.
    """
    for part in targets:
        force_to_disk(part)
    for part, target in targets.items():
        part.replace(target)
    for folder in dict.fromkeys(target.parent for target in targets.values()):
        force_to_disk(folder)


def force_to_disk(path: Path) -> None:
    """Make a file's contents, or a folder's entries, survive a power cut."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_parts(folder: Path) -> None:
    """Remove the temporary files that killed processes have left in a folder. Nobody else may be writing there."""
    for part in folder.glob(f"{_PART.format('*')}*"):  # SQLite has files beside its own, with more behind the name
        part.unlink(missing_ok=True)


@contextmanager
def _beside(target: Path, mode: int = 0o666) -> Iterator[tuple[int, Path]]:
    """A new file in the target's folder, as a descriptor and a path that nobody can have guessed; removed when the block raises."""
    part = target.with_name(_PART.format(os.urandom(8).hex()))
    try:
        yield os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), part
    except BaseException as error:
        with suppress(OSError):
            part.unlink()
        if isinstance(error, OSError) and error.filename in (part, str(part)):
            error.filename = str(target)  # the temporary name says nothing to anybody
        raise
