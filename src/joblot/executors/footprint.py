"""How much memory processes hold, and whether the kernel has killed for want of it. Standard library only; Linux.

Counted is what cannot be taken back: anonymous and shared memory, and what of them was swapped out. Pages of files are not: the kernel
drops them when it needs room, so a job that maps a large file is no large job.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_MAX_RATE: Final = 4e9
"""Bytes a second: how fast a job is taken to allocate, at the most."""
_MAX_PAUSE_S: Final = 0.2
_MIN_PAUSE_S: Final = 0.01
_PAUSE_PER_COST: Final = 10
"""Looking takes at most one part in so many of the time."""
_SAMPLE_S: Final = 1.0
_MIB: Final = 2**20


class Watch:
    """The memory limit of one running attempt, in bytes. `peak` is the most that was seen, `breach` what was seen when it was first too much; 0 before.

    `base` is what its process was born with and does not count.
    """

    __slots__ = ("base", "breach", "due", "limit", "peak")

    def __init__(self, limit: int, now: float, base: int = 0) -> None:
        self.limit = limit
        self.base = base
        self.peak = 0
        self.breach = 0
        self.due = now

    def add_sample(self, used: int, began: float) -> bool:
        """Take in a measurement that began at a time; whether it is the first above the limit. Says in `due` when to look again.

        The less room there is, the sooner: at the fastest, the limit is passed by a twentieth and 32 MiB.
        """
        now = time.monotonic()
        self.peak = max(self.peak, used)
        room = self.limit + self.limit / 20 + 32 * _MIB - used
        self.due = now + max(_PAUSE_PER_COST * (now - began), min(_MAX_PAUSE_S, max(_MIN_PAUSE_S, room / _MAX_RATE)))
        if used <= self.limit or self.breach:
            return False
        self.breach = used
        return True

    def verdict(self) -> str:
        """What to say of an attempt that was killed for passing its limit."""
        return f"out of memory: used {-(-self.breach // _MIB)} MiB of {-(-self.limit // _MIB)} MiB"


def held_bytes(pids: Sequence[int], limit: int, base: int = 0) -> int:
    """Bytes that processes hold together; the first of them, less what it was born with.

    What forked processes share is counted once, but only when that decides whether they pass the limit: it costs a look at every page.
    """
    first, *others = (_fields(pid, "status", (b"RssAnon:", b"RssShmem:", b"VmSwap:")) for pid in pids)
    together = max(0, first - base) + sum(others)
    if together <= limit or not others:
        return together
    first, *others = (_fields(pid, "smaps_rollup", (b"Pss_Anon:", b"Pss_Shmem:", b"SwapPss:")) for pid in pids)
    return max(0, first - base) + sum(others) if first or any(others) else together


def _fields(pid: int, name: str, names: tuple[bytes, ...]) -> int:
    """The sum of some fields of a file in `/proc/PID`, in bytes; 0 when the process is gone."""
    try:
        fd = os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        text = os.read(fd, 8192)
    except OSError:
        return 0
    finally:
        os.close(fd)
    total = 0
    for field in names:
        at = text.find(field)
        if at >= 0:
            total += int(text[at + len(field) : text.index(b"kB", at)])
    return total * 1024


class KernelKills:
    """Whether the kernel's own out-of-memory killer has struck lately. `path` is `/proc/vmstat` or a file like it."""

    def __init__(self, path: str = "/proc/vmstat") -> None:
        self._path = path
        self._before = self._last = self._count()
        self._at = time.monotonic()

    def sample(self, now: float) -> None:
        """To be called now and then, so that `killed_lately` means the last seconds."""
        if now - self._at >= _SAMPLE_S:
            self._before, self._last, self._at = self._last, self._count(), now

    def killed_lately(self) -> bool:
        """Whether it killed anything since the sample before the last."""
        return self._count() > self._before

    def _count(self) -> int:
        try:
            with open(self._path, "rb") as file:
                text = file.read()
        except OSError:
            return 0
        at = text.find(b"\noom_kill ")
        return int(text[at + 10 : text.index(b"\n", at + 10)]) if at >= 0 else 0
