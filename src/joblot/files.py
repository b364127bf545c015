"""Opening, writing and removing files: which of them are trusted, how they are finished in one step, and why the system refuses something.

Two kinds of places. *Below a state folder* every folder and file must be the user's own alone, no link is followed and nothing is waited
for (`open_own`, `replace_file`, `make_own_folder`, `remove_own_folder`). *Elsewhere* is where users say: links of their own are followed,
those of strangers are not, and what is replaced keeps its mode and owner (`write_atomically`, `append_to`, `atomic_write`).

Nothing else in joblot forces a file to disk (but `journal.runfile` its own one), renames a finished file into place or asks for the text of an
error's number. It does not know what files say.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from joblot.errors import JoblotError, StateError, UntrustedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    Chunks = Iterable[bytes | bytearray]

_PART: Final = ".joblot-{}.part"
"""The name of a temporary file: a short one of its own, not the target's with a suffix, which could be longer than names may be."""
_PART_FOLDER: Final = ".{}.{}.part"
"""The name of the folder of a temporary file, which says whose it is."""
_TOKEN_BYTES: Final = 8
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_PASSED: Final = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""A folder on the way to a file: it need not be readable."""
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PRIVATE: Final = 0o600
_OTHERS_MAY_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_MOST_LINKS: Final = 40
"""On the way to one file, as the system counts them."""
RUN_FILE: Final = 3
"""The folders from a run's file up to the state folder: the run's own, `runs`, the state folder."""
LOG_FILE: Final = 5
"""The same for the log of an attempt, in the folder of its job in `logs`."""


def reason_of(error: Exception) -> str:
    """Why the system refused something, in lower case for a message: `no space left on device`.

    Libraries also raise errors with a number and no text, or with a text and no number; Rust's append the number to the text.
    """
    number, text = getattr(error, "errno", None), getattr(error, "strerror", None)
    return (text or (os.strerror(number) if number else str(error).partition(" (os error")[0])).lower()


def room_hint(error: OSError, more: str) -> str:
    """What to do where the disk is full, and what comes then; empty when something else is wrong."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return f"make room on that disk{more}" if full else ""


def system_error(number: int) -> OSError:
    """The error of this number as the system would raise it, of the class that goes with it."""
    return OSError(number, os.strerror(number))


def write_all(handle: int, data: bytes) -> None:
    """Write the whole of `data`, also to a pipe that takes less at a time."""
    while data:
        data = data[os.write(handle, data) :]


# --- whose files are trusted ------------------------------------------------------------------------


def _is_ours(status: os.stat_result) -> bool:
    """Whether nobody but the user and root decides what it is."""
    return status.st_uid in (0, os.geteuid())


def _is_shared(status: os.stat_result) -> bool:
    """Whether somebody else may write to a file, or put something into a folder."""
    return not _is_ours(status) or bool(status.st_mode & _OTHERS_MAY_WRITE)


def _check_alone(path: Path, status: os.stat_result, root: Path) -> None:
    """Refuse what is not the user's own alone at or below the state folder `root`, unless the user trusts that folder."""
    if not _is_shared(status) or _is_trusted(root):
        return
    where = "" if path == root else f" `{path.relative_to(root)}` in it"
    trust = f'`trusted_folders = ["{root}"]` in `{_settings_path()}`'
    if not _is_ours(status):
        raise UntrustedError(
            f"the state folder `{root}` is not trusted: user {_name_of(status.st_uid)} owns{where or ' it'}",
            hint=f"choose another with `--state`; to use it nevertheless: {trust}",
        )
    raise UntrustedError(
        f"the state folder `{root}` is not trusted: other users may write to{where or ' it'}",
        hint=f"`chmod -R go-w {root}` keeps them out; to share it: {trust}",
    )


def _name_of(uid: int) -> str:
    import pwd

    try:
        return f"`{pwd.getpwuid(uid).pw_name}`"
    except KeyError:
        return str(uid)


def _settings_path() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config", "joblot", "settings.toml").expanduser()


def settings() -> dict[str, Any]:
    """The user's settings, from `joblot/settings.toml` in `$XDG_CONFIG_HOME` or `~/.config`; empty where there are none.

    Raises:
        StateError: they cannot be read, or are not the user's own alone.
    """
    path = _settings_path()
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123
            import tomllib

            status = os.fstat(file.fileno())
            if _is_shared(status) or not stat.S_ISREG(status.st_mode):  # else strangers could trust themselves
                raise StateError(f"the settings `{path}` are not trusted: they are not a file of yours alone")
            return tomllib.load(file)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        # What may not be read is another user's: of who started a service, or of root before `setpriv`.
        return {}
    except OSError as error:
        raise StateError(f"cannot read the settings `{path}`: {reason_of(error)}") from None
    except ValueError as error:
        raise StateError(f"cannot read the settings `{path}`: {error}") from None


def wrong_settings(what: str) -> StateError:
    """The error that something in the user's settings is wrong."""
    return StateError(f"in the settings `{_settings_path()}`: {what}")


def _is_trusted(root: Path) -> bool:
    """Whether the user's settings name the folder, or `*`. Read only when a folder would be refused."""
    names = settings().get("trusted_folders", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise wrong_settings("`trusted_folders` must be a list of texts")
    here = os.path.realpath(root)
    return "*" in names or any(os.path.realpath(Path(name).expanduser()) == here for name in names)


def allocated(path: Path | str, *, most: int | None = None) -> tuple[int, int]:
    """How many bytes a folder takes on the disk with all that is in it, links not followed, and how many things were looked at for that.

    At most so many are; what cannot be looked at takes nothing.
    """
    size, looked, waiting = 0, 0, [os.fspath(path)]
    while waiting and (most is None or looked < most):
        with suppress(OSError, ValueError), os.scandir(waiting.pop()) as entries:  # no folder has NUL in its name
            for entry in entries:
                with suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    size += entry.stat(follow_symlinks=False).st_blocks * 512
                looked += 1
    return size, looked


# --- below a state folder ---------------------------------------------------------------------------


def check_own_folder(path: Path, above: int = 1) -> None:
    """Refuse a state folder, or a folder below one, that is not the user's own alone. `above` counts it and those above it, as in `open_own`.

    Raises:
        UntrustedError: somebody else owns it or may write to it.
        OSError: it is a link or no folder, or cannot be looked at.
    """
    os.close(_own_folder(path, above))


def _own_folder(path: Path, above: int, *, make: bool = False) -> int:
    """A descriptor of a folder, after a look at it and at those above it, each opened from the one before.

    The state folder itself may be a link, if it is the user's own.
    """
    root = path.parents[above - 2] if above > 1 else path
    handle = _root_folder(root)
    try:
        if above:
            _check_alone(root, os.fstat(handle), root)
        there = root
        for name in path.relative_to(root).parts:
            there /= name
            if make:
                with suppress(FileExistsError):
                    os.mkdir(name, 0o700, dir_fd=handle)
            try:
                inner = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=handle)
            except OSError as error:
                if error.errno == errno.ENOTDIR and there.is_symlink():
                    error = system_error(errno.ELOOP)
                error.filename = str(there)
                raise error from None
            os.close(handle)
            handle = inner
            _check_alone(there, os.fstat(handle), root)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _root_folder(root: Path) -> int:
    try:
        return os.open(root, _FOLDER | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENOTDIR) or not root.is_symlink():
            raise
    link = root.lstat()
    if not _is_ours(link):
        _check_alone(root, link, root)
    return os.open(root, _FOLDER)


def open_own(path: Path, flags: int = os.O_RDONLY, *, above: int = RUN_FILE) -> int:
    """Open a file below a state folder: never through a link, never waiting at a pipe; a new one is for the user alone.

    `above` is how many folders are checked, from the file's own up to the state folder.

    Raises:
        UntrustedError: somebody else owns or may write to the file or one of the folders, or it is a pipe, a socket or a device.
        OSError: it is not there, or a link or a folder, or the system refuses it.
    """
    folder = -1
    try:
        folder = _own_folder(path.parent, above)
        handle = os.open(path.name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, _PRIVATE, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ENODEV):  # a pipe without a reader, a socket, a device that is not there
            raise _no_file(path) from None
        error.filename = str(path)
        raise
    finally:
        if folder >= 0:
            os.close(folder)
    try:
        status = os.fstat(handle)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(status.st_mode):
            raise _no_file(path)
        _check_alone(path, status, path.parents[above - 1])
        if flags & (os.O_WRONLY | os.O_RDWR):
            _refuse_second_name(path, status)
    except BaseException:
        os.close(handle)
        raise
    return handle


def read_own(path: Path, *, above: int = RUN_FILE) -> bytes:
    """The contents of a file below a state folder; raises as `open_own`."""
    with os.fdopen(open_own(path, above=above), "rb") as file:
        return file.read()


def check_own_file(path: Path, root: Path, noun: str = "", *, may_have_names: bool = True) -> bool:
    """Whether something has that name in the state folder `root`; `noun` is what a message calls it.

    It is not opened: closing it again would take away the locks that another connection of this process has.

    Raises:
        UntrustedError: as `open_own`.
    """
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    if not (
        stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)
    ):  # a folder cannot do harm, and SQLite refuses it
        raise _no_file(path, noun)
    _check_alone(path, status, root)
    if not may_have_names:
        _refuse_second_name(path, status)
    return True


def _found(name: str, folder: int) -> os.stat_result | None:
    """What has a name in a folder, links not followed; None when nothing has."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _refuse_second_name(path: Path, status: os.stat_result) -> None:
    """Refuse to write to what is another file too: a link that cannot be seen."""
    if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
        raise UntrustedError(f"cannot use `{path}`: it has another name elsewhere", hint="put a copy in its place")


def _no_file(path: Path | str, noun: str = "") -> UntrustedError:
    return UntrustedError(f"cannot use {noun}`{path}`: it is not a file", hint="move it away")


def open_plain(path: str | Path, flags: int = os.O_RDONLY) -> int:
    """Open a file in a folder that was checked before: not through a link, and not waiting at a pipe.

    Raises:
        OSError: it is not there, or no file.
    """
    handle = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, _PRIVATE)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise system_error(errno.EINVAL)
    return handle


def make_own_folder(path: Path, *, above: int) -> None:
    """Make a folder below a state folder, for the user alone, and those above it; raises as `check_own_folder`."""
    os.close(_own_folder(path, above, make=True))


def make_private_folder(path: Path) -> None:
    """Make a folder for the user alone, and those above it, in one that was checked before; that it is there is no error.

    Raises:
        OSError: it cannot be made.
    """
    try:
        path.mkdir(0o700)
    except FileExistsError:
        pass  # if it is no folder, that shows at its first use
    except FileNotFoundError:
        make_private_folder(path.parent)
        with suppress(FileExistsError):
            path.mkdir(0o700)


def check_kinds(folder: Path, files: frozenset[str], folders: frozenset[str]) -> None:
    """Refuse a run's folder in which one of `files` is a pipe or a device, one of `folders` is or has in it a link, or one is not the user's own alone.

    Links in the place of `files` are refused where they are opened.

    Raises:
        UntrustedError: the first that is not what it should be.
    """
    root = folder.parents[RUN_FILE - 2]
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # the warden of a run that has just ended removes what is its own
                _check_kind(entry, root, files, folders)


def _check_kind(entry: os.DirEntry[str], root: Path, files: frozenset[str], folders: frozenset[str]) -> None:
    is_folder = entry.is_dir(follow_symlinks=False)
    if entry.name in files and not (is_folder or entry.is_symlink() or entry.is_file()):
        raise _no_file(entry.path)
    if entry.name in files and not entry.is_symlink():
        _check_alone(Path(entry.path), entry.stat(follow_symlinks=False), root)
    if entry.name in folders:
        if not is_folder:
            raise UntrustedError(f"cannot use `{entry.path}`: it is not a folder", hint="move it away")
        _check_alone(Path(entry.path), entry.stat(follow_symlinks=False), root)
        # Links further down are met where a file is opened, which follows none.
        with os.scandir(entry.path) as inside:
            link = next((inner.path for inner in inside if inner.is_symlink()), None)
        if link is not None:
            raise UntrustedError(f"cannot use `{link}`: it is a link", hint="move it away")


def replace_file(path: Path, chunks: Chunks, *, above: int = RUN_FILE, forced: bool = True) -> None:
    """Write a file below a state folder in one step: to a temporary file beside it, which is forced to disk and renamed. For the user alone.

    A link of that name is replaced.

    Without `forced` a power cut may leave an empty file: for what is forced later with more, or not worth a wait. With `above=0` the
    caller has looked at the folders.

    Raises:
        UntrustedError: as `open_own`; what stands there is untouched.
        OSError: it cannot be written; whatever had that name before is untouched.
    """
    folder = -1
    try:
        folder = _own_folder(path.parent, above)
        status = _found(path.name, folder)
        if _is_special(status) and not stat.S_ISLNK(status.st_mode):
            raise _no_file(path)
        _replace(folder, path.name, chunks, forced=forced)
    except OSError as error:
        error.filename, error.filename2 = str(path), None  # the temporary name says nothing to anybody
        raise
    finally:
        if folder >= 0:
            os.close(folder)


def remove_own_folder(path: Path) -> None:
    """Remove a folder of plain files, if it is one and there."""
    try:
        folder = os.open(path, _FOLDER | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        for name in os.listdir(folder):  # noqa: PTH208 - by the descriptor, not by the path
            os.unlink(name, dir_fd=folder)
        path.rmdir()
    except OSError:
        pass  # something holds on to it: the next run of the same id clears it
    finally:
        os.close(folder)


# --- elsewhere --------------------------------------------------------------------------------------


def write_atomically(path: str | Path, chunks: Chunks) -> None:
    """Write a file that a user has named, in one step: to a temporary file beside it, which is forced to disk and renamed.

    Missing folders are made. What is replaced keeps its mode, and its owner where that is allowed. A symbolic link is followed, and a
    device or a pipe written to as it is, unless a stranger has put it where others may write.

    Raises:
        JoblotError: the file cannot be written; whatever had that name before is untouched.
    """
    try:
        with _reached(path) as (folder, name, status):
            if _is_special(status):
                handle = os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=folder)
                with open(handle, "wb", buffering=0) as file:  # noqa: PTH123
                    file.writelines(chunks)
            else:
                _replace(folder, name, chunks, mode=0o666, old=status)
    except OSError as error:
        raise JoblotError(f"cannot write `{path}`: {reason_of(error)}") from error


def check_writable(path: str | Path) -> None:
    """Find out before any work is done whether `write_atomically` could write there; missing folders are made.

    Raises:
        UsageError: it could not.
    """
    try:
        with _reached(path) as (folder, _, status):
            if status is not None and stat.S_ISDIR(status.st_mode):
                raise system_error(errno.EISDIR)
            if not _is_special(status):
                part = _new_name()
                os.close(os.open(part, _NEW, _PRIVATE, dir_fd=folder))
                os.unlink(part, dir_fd=folder)
    except OSError as error:
        raise UsageError(
            f"cannot write `{path}`: {reason_of(error)}", hint="give a path to a file in a folder that you may write to"
        ) from error


def append_to(path: str | Path) -> int:
    """Open a file that a user has named to be appended to (and read); missing folders are made. Links are followed as in `write_atomically`.

    Raises:
        OSError: the system refuses it.
        UsageError: a stranger has put it there.
    """
    with _reached(path) as (folder, name, _):
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(name, flags, 0o666, dir_fd=folder)
        if os.fstat(handle).st_nlink > 1 and _is_shared(os.fstat(folder)):
            os.close(handle)
            raise _planted(path, "a second name of another file")
        return handle


def target_of(path: Path) -> Path:
    """What has a name, through links of the user's own or of root's: those stay when it is replaced. A stranger's link leads nowhere."""
    for _ in range(_MOST_LINKS):
        try:
            status = path.lstat()
            if not stat.S_ISLNK(status.st_mode) or not _is_ours(status):
                break
            path = path.parent / path.readlink()
        except OSError:
            break
    return path


@contextmanager
def _reached(path: str | Path) -> Iterator[tuple[int, str, os.stat_result | None]]:
    """The folder that a path leads to, as a descriptor, the last name in it, and what has that name.

    Each folder is opened from the one before, and each link read before it is followed, so nobody can put another in its place meanwhile.
    Missing folders are made.

    Raises:
        UsageError: a stranger's link is on the way, or a stranger's pipe or device at its end, where others may write.
        OSError: the system refuses a part of it.
    """
    waiting = list(reversed(Path(path).absolute().parts[1:])) or ["."]
    folder, links = os.open("/", _PASSED), 0
    try:
        while True:
            name = waiting.pop()
            status = _found(name, folder)
            if status is not None and stat.S_ISLNK(status.st_mode):
                # Where only its user may write, that one has put it there.
                if not _is_ours(status) and _is_shared(os.fstat(folder)):
                    raise _planted(path, "a link")
                links += 1
                if links > _MOST_LINKS:
                    raise system_error(errno.ELOOP)
                text = os.readlink(name, dir_fd=folder)
                waiting += [part for part in reversed(text.split("/")) if part] or ["."]
                if text.startswith("/"):
                    folder = _moved(folder, "/")
            elif waiting:
                if status is None and name != "..":
                    with suppress(FileExistsError):
                        os.mkdir(name, dir_fd=folder)
                folder = _moved(folder, name)
            else:
                if _is_special(status) and not _is_ours(status) and _is_shared(os.fstat(folder)):
                    raise _planted(path, "a pipe or device")
                yield folder, name, status
                return
    finally:
        os.close(folder)


def _moved(folder: int, name: str) -> int:
    inner = os.open(name, _PASSED, dir_fd=folder)
    os.close(folder)
    return inner


def _planted(path: str | Path, what: str) -> UsageError:
    return UsageError(
        f"cannot write `{path}`: another user may have put {what} there",
        hint="give the path that it leads to, or one in a folder where only you may write",
    )


def _is_special(status: os.stat_result | None) -> TypeGuard[os.stat_result]:
    """Whether something that a rename would destroy has the name, such as `/dev/null` or a pipe."""
    return status is not None and not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode))


def _new_name() -> str:
    return _PART.format(_token())


def _token() -> str:
    return os.urandom(_TOKEN_BYTES).hex()


def _replace(
    folder: int,
    name: str,
    chunks: Chunks,
    *,
    mode: int = _PRIVATE,
    old: os.stat_result | None = None,
    forced: bool = True,
) -> None:
    """Give a new file its name in a folder. It is private until it takes the mode and owner of the `old` one, or `mode` less the umask."""
    part = _new_name()
    handle = os.open(part, _NEW, _PRIVATE, dir_fd=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(chunks)
            file.flush()
            _settle(handle, old, os.fstat(folder), mode)
            if forced:
                os.fsync(handle)
        os.replace(part, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(OSError):
            os.unlink(part, dir_fd=folder)
        raise
    if forced:
        readable = os.open(".", _FOLDER, dir_fd=folder)  # a folder on the way was only passed
        try:
            os.fsync(readable)
        finally:
            os.close(readable)


def _settle(handle: int, old: os.stat_result | None, folder: os.stat_result, mode: int | None) -> None:
    """Give a finished file the mode and owner of what it replaces, else the mode less the umask; None: it keeps its own.

    What a stranger has put where everybody may is replaced as if it were not there: nobody has asked for a file of that one.
    """
    planted = old is not None and old.st_uid not in (0, os.geteuid()) and folder.st_mode & stat.S_IWOTH
    if old is None or planted or not stat.S_ISREG(old.st_mode):
        if mode is not None and mode != _PRIVATE:
            os.fchmod(handle, mode & ~_umask())
        return
    mode = old.st_mode & 0o777
    found = os.fstat(handle)
    if found.st_gid != old.st_gid:
        try:
            os.fchown(handle, -1, old.st_gid)
        except PermissionError:
            mode = mode & ~0o070 | (mode & 0o007) << 3  # another group gets what everybody has
    if found.st_uid != old.st_uid:
        with suppress(PermissionError):
            os.fchown(handle, old.st_uid, -1)
    os.fchmod(handle, mode)


def _umask() -> int:
    """The mask of new files. Asking for it by setting it would change it for other threads."""
    try:
        with open("/proc/self/status", "rb") as file:  # noqa: PTH123
            return next(int(line.split()[1], 8) for line in file if line.startswith(b"Umask:"))
    except (OSError, StopIteration):
        mask = os.umask(0o077)
        os.umask(mask)
        return mask


@contextmanager
def atomic_write(path: str | Path, *, mode: int = 0o666) -> Iterator[Path]:
    """As `write_atomically`, for a block that writes by a path: `frame.write_parquet(part)`. A link is replaced, and no folder made.

    Yields the path of an empty temporary file in the same folder, for the user alone. When the block ends well, the file is forced to disk
    and takes the name, and the mode and owner of what it replaces (`mode` less the umask when that is nothing); when it raises, the file is
    removed and what had the name stays.

    Raises:
        OSError: the file cannot be written.
    """
    target = Path(path)
    part = target.with_name(_new_name())
    try:
        os.close(os.open(part, _NEW, _PRIVATE))
        yield part
        rename_together({part: target}, mode=mode)
    except BaseException as error:
        with suppress(OSError):
            part.unlink()
        if isinstance(error, OSError) and error.filename in (part, str(part)):
            error.filename = str(target)  # the temporary name says nothing to anybody
        raise


def make_part(target: Path) -> Path:
    """A path of the target's name in a new folder beside it, into which nobody else can look or write. Nothing is there yet.

    The folder's name cannot be guessed, but tells whose it is: who is killed removes nothing, so the next one has to find it.

    Raises:
        OSError: no folder can be made there.
    """
    folder = target.with_name(_PART_FOLDER.format(target.name, _token()))
    folder.mkdir(0o700)
    return folder / target.name


def remove_part(part: Path) -> None:
    """Remove what `make_part` made, with whatever was written there."""
    try:
        part.parent.rmdir()
    except OSError:
        from shutil import rmtree

        rmtree(part.parent, ignore_errors=True)


def remove_left_parts(target: Path, *, again: bool) -> None:
    """Remove what `make_part` made for a target and a killed process has left.

    A process looks through a folder once, unless `again`: thousands of outputs may go there, and what was killed since left something to a
    second attempt only.
    """
    look = _left_parts.__wrapped__ if again else _left_parts
    for name in look(str(target.parent)).get(target.name, ()):
        remove_part(target.parent / name / target.name)


@lru_cache(maxsize=64)
def _left_parts(folder: str) -> dict[str, list[str]]:
    """The names of the user's own folders of temporary files, by the name of the file that was to be."""
    left: dict[str, list[str]] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            name, _, token = entry.name[1:].removesuffix(".part").rpartition(".")
            if entry.name != _PART_FOLDER.format(name, token) or len(token) != 2 * _TOKEN_BYTES:
                continue
            # Other jobs write into this folder: what is theirs may be gone by now.
            with suppress(FileNotFoundError):
                if entry.is_dir(follow_symlinks=False) and _is_ours(entry.stat(follow_symlinks=False)):
                    left.setdefault(name, []).append(entry.name)
    return left


def rename_together(targets: Mapping[Path, Path], *, mode: int | None = None) -> None:
    """Force temporary files to disk, and when all are there, give them the names, in their order.

    Each takes the mode and owner of what it replaces; where that is nothing, `mode` less the umask, None: it keeps its own.

    Raises:
        OSError: of a file that is not there, or cannot be forced to disk or renamed.
    """
    for part, target in targets.items():
        try:
            old = target.lstat()
        except OSError:
            old = None
        try:
            handle = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            continue  # a link has neither contents nor a mode
        try:
            _settle(handle, old, target.parent.stat(), mode)
            os.fsync(handle)
        finally:
            os.close(handle)
    for part, target in targets.items():
        part.replace(target)
    for folder in dict.fromkeys(target.parent for target in targets.values()):
        force_to_disk(folder)


def force_to_disk(path: Path) -> None:
    """Make a file's contents, or a folder's entries, survive a power cut."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_parts(folder: Path) -> None:
    """Remove the temporary files that killed processes have left in a folder. Nobody else may be writing there."""
    for part in folder.glob(f"{_PART.format('*')}*"):  # SQLite has files beside its own, with more behind the name
        part.unlink(missing_ok=True)
