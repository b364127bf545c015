"""How much memory processes hold, and whether the kernel has killed for lack of it. Standard library only; Linux.

Counted is what the kernel cannot drop: anonymous and shared memory, and the part of them that is swapped out. Pages of files are not
counted: they are dropped when memory is needed, so a job that maps a large file is not a large job.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

_MAX_RATE: Final = 4e9
"""Bytes a second: the fastest allocation that the time of the next measurement is computed for."""
_MAX_PAUSE_S: Final = 0.2
_MIN_PAUSE_S: Final = 0.01
_PAUSE_PER_COST: Final = 10
"""Seconds between measurements for each second that one takes."""
_MIN_TOTAL_PAUSE_S: Final = 0.005
_TOTAL_PAUSE_PER_COST: Final = 3
"""The same while all attempts are measured: what passes the limit is many times as much there."""
_TELL_SHARE: Final = 64
_MUCH_SHARE: Final = 64
_SHARED_LEAST: Final = 32 * 2**20
"""Bytes. Processes that may share less than this are taken to share nothing."""
KIB: Final = 1024 if sys.platform == "linux" else 1
"""Bytes in which the kernel counts a largest resident size."""
BLOCK: Final = 512
"""Bytes in which it counts what was read from and written to storage."""
_SAMPLE_S: Final = 1.0
LOOK_S: Final = 0.02
"""How old a command is when it is first looked at. Most that end before that are over before anybody could."""
_OFTEN_S: Final = 0.2
LOOK_SHARE: Final = 0.1
"""A command is looked at again when it is twice as old, then every `_OFTEN_S` or, when it is old, every such part of its age."""
_DRIFT: Final = 2**20
"""Bytes by which the kernel's counts of one process may differ: each processor keeps some pages back before it adds them."""
_MIB: Final = 2**20


class Watch:
    """The memory limit of one running attempt. Amounts are bytes; `due` is when to measure next (monotonic seconds).

    `peak` is the largest measurement, `breach` the first one above the limit, 0 until then. `base` is what its process held at the
    start, as a copy of the warden, and is not counted.
    """

    __slots__ = ("base", "breach", "due", "limit", "peak")

    def __init__(self, limit: int, now: float, base: int = 0) -> None:
        self.limit = limit
        self.base = base
        self.peak = 0
        self.breach = 0
        self.due = now

    def add_sample(self, used: int, began: float) -> bool:
        """Add a measurement that began at a time; whether it is the first above the limit. Sets `due`.

        The less room is left, the sooner: at `_MAX_RATE` the limit is passed by 5 % and 32 MiB at the most before that is seen.
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
        """The message of an attempt that was killed for passing its limit."""
        return f"out of memory: used {-(-self.breach // _MIB)} MiB of {-(-self.limit // _MIB)} MiB"


class Total:
    """The memory limit of all running attempts together. Amounts are bytes; `due` is when to measure next (monotonic seconds).

    `held` is what the processes of each attempt were last seen to hold, `peaks` the most that they were, by the pid of the first.
    """

    def __init__(self, limit: int, now: float) -> None:
        self.limit = limit
        self.is_whole = True
        """Whether it is the whole limit of the run, and not the share of one worker of a cluster."""
        self.held: dict[int, int] = {}
        self.peaks: dict[int, int] = {}
        self.due = now
        self.told = 0
        """What was last told of the sum."""
        # A process grows as fast as one processor can clear pages.
        self._most_rate = _MAX_RATE * max(1.0, len(os.sched_getaffinity(0)) / 2)

    def add_samples(self, held: dict[int, int], began: float) -> int:
        """Add a measurement of all attempts that began at a time. Sets `due`, and returns their sum."""
        now = time.monotonic()
        self.held, together = held, sum(held.values())
        self.peaks = {pid: max(now_held, self.peaks.get(pid, 0)) for pid, now_held in held.items()}
        pause = min(_MAX_PAUSE_S, max(_MIN_TOTAL_PAUSE_S, (self.limit - together) / self._most_rate))
        self.due = now + max(_TOTAL_PAUSE_PER_COST * (now - began), pause)
        return together

    def news(self) -> int:
        """The sum, where it differs by more than a `_TELL_SHARE` of the limit from what was told; else -1."""
        together = sum(self.held.values())
        if abs(together - self.told) * _TELL_SHARE < self.limit:
            return -1
        self.told = together
        return together

    def is_much(self, held: int) -> bool:
        """Whether an attempt that holds so much has a part worth naming in what all hold."""
        return held * _MUCH_SHARE >= self.limit


def verdict(used: int, limit: int, *, alone: bool, is_whole: bool) -> tuple[str, str]:
    """The reason and the message of an attempt that was ended for the limit of all: for its own size, or for what all held together."""
    amounts = f"used {-(-used // _MIB)} MiB of {-(-limit // _MIB)} MiB"
    if not is_whole:
        return "memory_pressure", f"out of memory: all that ran on its worker {amounts} (a share of max_memory)"
    if alone:
        return "oom", f"out of memory: {amounts} (max_memory)"
    return "memory_pressure", f"out of memory: all that ran {amounts} (max_memory)"


class Peak:
    """The largest resident size that any process of one command had, in bytes.

    What the kernel tells of a child that has ended begins with the size of the process that started it, which is handed on over `exec`.
    Above that it is the command's own. Below it counts what was seen of the command's processes: in the second half of its life, or
    nothing is known.
    """

    __slots__ = ("_began", "_seen", "_seen_at", "due")

    def __init__(self, began: float) -> None:
        self._began = self._seen_at = began
        self._seen = 0
        self.due = began + LOOK_S

    def look(self, pids: Iterable[int], now: float) -> None:
        """See how large these processes have been so far. Sets `due`."""
        self._seen = max(self._seen, *(_fields(pid, "status", (b"VmHWM:",)) for pid in pids))
        self._seen_at = now
        age = now - self._began
        self.due = now + min(age, max(_OFTEN_S, LOOK_SHARE * age))

    def told(self, kernels: int, starters: int, now: float) -> int:
        """The peak of a command that ended now; 0: not known. The kernel's figure, and the peak of the process that started it, are bytes."""
        if kernels > starters + _DRIFT:
            return kernels
        return self._seen if 2 * (self._seen_at - self._began) >= now - self._began else 0


def held_bytes(pids: Sequence[int], limit: int, base: int = 0) -> int:
    """Bytes that processes hold together, less the `base` of the first.

    Memory that forked processes share is counted once, but only where that decides whether they pass the limit: for it the kernel walks
    all their pages.
    """
    first, *others = (_fields(pid, "status", (b"RssAnon:", b"RssShmem:", b"VmSwap:")) for pid in pids)
    together = max(0, first - base) + sum(others)
    if together <= limit or not others:
        return together
    first, *others = (_fields(pid, "smaps_rollup", (b"Pss_Anon:", b"Pss_Shmem:", b"SwapPss:")) for pid in pids)
    return max(0, first - base) + sum(others) if first or any(others) else together


def held_by_trees(trees: dict[int, list[int]], limit: int, base: int, copies: Collection[int]) -> dict[int, int]:
    """Bytes that each of several trees of processes holds, by its first process; those in `copies` began as a copy of a process that held `base`.

    Memory that processes share is counted once, but only where that decides whether all together pass the limit.
    """
    held, may_share = {}, []
    for root, tree in trees.items():
        texts = [_text(pid, "status") for pid in tree]
        sizes = [_sum(text, (b"RssAnon:", b"VmSwap:")) for text in texts]
        shared = sum(_sum(text, (b"RssShmem:",)) for text in texts)
        own = max(0, sizes[0] - base) if root in copies else sizes[0]
        held[root] = own + sum(sizes[1:]) + shared
        if held[root] - max(sizes) > _SHARED_LEAST:
            may_share.append(root)
    if sum(held.values()) > limit:
        for root in may_share:
            held[root] = held_bytes(trees[root], 0, base if root in copies else 0)
    return held


def _fields(pid: int, name: str, names: tuple[bytes, ...]) -> int:
    """The sum of some fields of a file in `/proc/PID`, in bytes; 0 when the process is gone."""
    return _sum(_text(pid, name), names)


def _text(pid: int, name: str) -> bytes:
    try:
        fd = os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(fd, 8192)
    except OSError:
        return b""
    finally:
        os.close(fd)


def _sum(text: bytes, names: tuple[bytes, ...]) -> int:
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
        """Keep a count about every second, so that `killed_lately` covers the last seconds."""
        if now - self._at >= _SAMPLE_S:
            self._before, self._last, self._at = self._last, self._count(), now

    def killed_lately(self) -> bool:
        """Whether it has killed anything since the sample before the last."""
        return self._count() > self._before

    def _count(self) -> int:
        try:
            with open(self._path, "rb") as file:
                text = file.read()
        except OSError:
            return 0
        at = text.find(b"\noom_kill ")
        return int(text[at + 10 : text.index(b"\n", at + 10)]) if at >= 0 else 0
