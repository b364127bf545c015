"""Copies of files and folders that may have to take their place again: clones where the file system can, with times, modes and owners.

It does not know why they are kept.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import sys
from contextlib import suppress
from typing import Final

from joblot.files import system_error, write_all

MAX_COPIED: Final = 2**29
"""Bytes: what is larger is kept only where the file system can clone it."""
_CLONE: Final = 0x40049409
"""The kernel's FICLONE: two files share their blocks until one of them is written to."""
_CHUNK: Final = 2**20
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PRIVATE: Final = 0o600


class Copier:
    """Copies of one run. With `forced` they survive a power cut. What was found out about file systems that cannot clone is kept."""

    def __init__(self, *, forced: bool = False) -> None:
        self._forced = forced
        self._cannot_clone: set[int] = set()
        self._left, self._hashed = 0, False

    def copy(self, source: str, target: str, *, most: int = MAX_COPIED, hashed: bool = False) -> str:
        """Copy a file or a folder to a name that nothing has; links in a folder stay links.

        Returns the SHA-256 of a file that had to be read, if that is wanted; else nothing.

        Raises:
            OSError: EFBIG: more than `most` bytes would have to be copied; EINVAL: it is neither file nor folder, or has such in it; or what
                the system refuses. Nothing has the name then.
        """
        self._left, self._hashed = most, hashed
        try:
            if os.path.isdir(source):
                if size_of(source) > most:
                    self._left = 0  # or half of it would be read in vain
                self._folder(source, target)
                return ""
            return self._file(source, target)
        except BaseException:
            remove(target)
            raise

    def _folder(self, source: str, target: str) -> None:
        status = os.stat(source)
        os.mkdir(target, 0o700)
        with os.scandir(source) as entries:
            for entry in entries:
                inner = f"{target}/{entry.name}"
                if entry.is_symlink():
                    os.symlink(os.readlink(entry.path), inner)
                elif entry.is_dir(follow_symlinks=False):
                    self._folder(entry.path, inner)
                else:
                    self._file(entry.path, inner)
        handle = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            self._settle(handle, status)
        finally:
            os.close(handle)

    def _file(self, source: str, target: str) -> str:
        reading = os.open(source, _READ)
        try:
            status = os.fstat(reading)
            if not stat.S_ISREG(status.st_mode):
                raise system_error(errno.EINVAL)
            writing = os.open(target, _NEW, _PRIVATE)
            try:
                digest = (
                    ""
                    if self._cloned(reading, writing, status.st_dev)
                    else self._read(reading, writing, status.st_size)
                )
                with suppress(OSError):  # not every file system has them
                    for name in os.listxattr(reading):  # access lists among them
                        with suppress(OSError):
                            os.setxattr(writing, name, os.getxattr(reading, name))
                self._settle(writing, status)
            finally:
                os.close(writing)
        finally:
            os.close(reading)
        return digest

    def _cloned(self, reading: int, writing: int, device: int) -> bool:
        if device in self._cannot_clone:
            return False
        try:
            fcntl.ioctl(writing, _CLONE, reading)
        except OSError:
            self._cannot_clone.add(device)
            return False
        return True

    def _read(self, reading: int, writing: int, size: int) -> str:
        if size > self._left:
            raise system_error(errno.EFBIG)
        self._left -= size
        digest = None
        if self._hashed:
            from hashlib import sha256

            digest = sha256()
        while chunk := os.read(reading, _CHUNK):
            if digest is not None:
                digest.update(chunk)
            write_all(writing, chunk)
        return digest.hexdigest() if digest is not None else ""

    def _settle(self, handle: int, status: os.stat_result) -> None:
        """Give a copy the owner, the mode and the times of what it was made from."""
        mode = stat.S_IMODE(status.st_mode)
        made = os.fstat(handle)
        if (made.st_uid, made.st_gid) != (status.st_uid, status.st_gid):
            try:
                os.fchown(handle, status.st_uid, status.st_gid)
            except PermissionError:
                mode &= 0o777  # what runs as somebody else must not run as its new owner
        os.fchmod(handle, mode)
        os.utime(handle, ns=(status.st_atime_ns, status.st_mtime_ns))
        if self._forced:
            os.fsync(handle)


def size_of(path: str) -> int:
    """How many bytes a file has, or all in a folder, links not followed.

    Raises:
        OSError: it is not there, or a folder cannot be read.
    """
    status = os.stat(path)
    if not stat.S_ISDIR(status.st_mode):
        return status.st_size
    size, waiting = 0, [path]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    size += entry.stat(follow_symlinks=False).st_size
    return size


def put(copy: str, target: str) -> None:
    """Give a copy its name, in place of a file if one has it. Missing folders are made; from another file system it comes by a temporary name.

    Raises:
        OSError: the system refuses it; the copy is where it was.
    """
    folder = os.path.dirname(target)
    os.makedirs(folder, exist_ok=True)
    try:
        _rename(copy, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        part = f"{folder}/.joblot-{os.urandom(8).hex()}.part"
        Copier(forced=True).copy(copy, part, most=sys.maxsize)
        _rename(part, target)
        remove(copy)


def put_status(copy: str, target: str) -> None:
    """Give a file with the contents of the copy its times, mode and owner too, as far as the system lets that be.

    Not a folder: one that is being removed has other times than it was copied with.
    """
    with suppress(OSError):
        was, now = os.lstat(copy), os.stat(target)
        if not stat.S_ISREG(was.st_mode):
            return
        if (was.st_uid, was.st_gid) != (now.st_uid, now.st_gid):
            os.chown(target, was.st_uid, was.st_gid)
        if (was.st_mode, was.st_mtime_ns) != (now.st_mode, now.st_mtime_ns):
            shutil.copystat(copy, target)


def _rename(copy: str, target: str) -> None:
    try:
        os.rename(copy, target)
    except PermissionError:
        mode = os.lstat(copy).st_mode
        if not stat.S_ISDIR(mode) or mode & stat.S_IWUSR:
            raise
        os.chmod(copy, 0o700)  # a folder that may not be written to may not move to another one
        os.rename(copy, target)
        os.chmod(target, stat.S_IMODE(mode))


def remove(copy: str) -> None:
    """Remove a copy, if it is there and the system lets that be."""
    try:
        os.unlink(copy)
    except FileNotFoundError:
        pass
    except OSError:
        shutil.rmtree(copy, ignore_errors=True)
        with suppress(OSError):  # folders in it may not be written to
            os.chmod(copy, 0o700)
            for folder, names, _ in os.walk(copy):
                for name in names:
                    if not os.path.islink(f"{folder}/{name}"):
                        os.chmod(f"{folder}/{name}", 0o700)
            shutil.rmtree(copy, ignore_errors=True)
