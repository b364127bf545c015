"""Trees of processes: which belong together, and killing all of one. Standard library only; reads `/proc` where there is one.

What belongs to a run carries its mark: a number in a resource limit that nothing runs into. The kernel hands limits on to whatever a
process starts, so the mark outlives a cleared environment, another name, sessions, parents that are gone, and the run's folder; it ends
with the process, so a number of a process that comes again says nothing. Programs that set all limits anew lose it (`su`); they are found
by their environment.

Elsewhere (macOS) only the process group is known; the documentation says so.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from joblot.digest import blake2b

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

COOKIE: Final = b"JOBLOT_RUN="
_NUMBER_BITS: Final = 24
"""So many of the lowest bits of a mark are the number of an attempt, those above are the run's."""
MARKED_NUMBERS: Final = 1 << _NUMBER_BITS
"""Numbers of attempts are marked modulo this."""
_MARK_FIELD: Final = b"Max realtime timeout"
_MAX_SWEEPS: Final = 200
_PAUSE_S: Final = 0.001
_DEATH_S: Final = 1.0
"""How long processes that were killed are waited for: the kernel may keep one until it has written what it was asked to."""
DEFAULTS: Final = tuple(number for number in range(1, 32) if number not in (signal.SIGKILL, signal.SIGSTOP))
"""Signals that commands begin with as the system sets them, whatever this program or whoever started it does with them."""
_HAS_PROC: Final = os.path.isdir("/proc/self/task")


def children(pid: int) -> list[int]:
    """The direct children of a process, of all its threads. Empty when it is gone."""
    pids: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return pids
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                pids += map(int, file.read().split())
        except OSError:
            continue
    return pids


_PIECE: Final = 1 << 16
_FULL: Final = 4000
"""The kernel gives a page of 4 KiB or more at a time, cut between two pids: what is shorter is the last one."""


class OwnChildren:
    """The direct children of this process's main thread, mostly by one system call, since it is asked after every attempt."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        try:
            self._fd = os.open(f"/proc/self/task/{self._pid}/children", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._fd = -1

    def pids(self) -> list[int]:
        """Their pids; empty where the system has no such file."""
        if self._fd < 0:
            return []
        pids = part = os.pread(self._fd, _PIECE, 0)
        while len(part) > _FULL:
            part = os.pread(self._fd, _PIECE, len(pids))
            pids += part
        return [int(pid) for pid in pids.split()]

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def in_kernel() -> bool:
    """Whether this process is the kernel of a notebook."""
    shell_of: Any = getattr(
        sys.modules.get("IPython"), "get_ipython", None
    )  # it may be half imported, or another one's
    return shell_of is not None and hasattr(shell_of(), "kernel")


def threads() -> int:
    """How many threads this process has, with those of native code; 1 where the system does not tell."""
    return len(os.listdir("/proc/self/task")) if _HAS_PROC else 1


def has_thread(begin: str) -> bool:
    """Whether this process has a thread whose name begins like that, one of native code too."""
    for thread in os.listdir("/proc/self/task") if _HAS_PROC else ():
        try:
            with open(f"/proc/self/task/{thread}/comm") as file:
                if file.read().startswith(begin):
                    return True
        except OSError:
            continue  # it has ended
    return False


def max_descriptors() -> int:
    """How many descriptors this process may open."""
    import resource

    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def descendants(pid: int) -> list[int]:
    """The children of a process, their children, and so on; without the process itself."""
    pids: list[int] = []
    parents = [pid]
    while parents:
        below = children(parents.pop())
        pids += below
        parents += below
    return pids


def writers(root: int) -> dict[tuple[int, int], int]:
    """The descendants of a process, by the device and the number of the file that is their standard output; of several the first."""
    found: dict[tuple[int, int], int] = {}
    for pid in descendants(root) if _HAS_PROC else ():
        try:
            status = os.stat(f"/proc/{pid}/fd/1")
        except OSError:
            continue  # it has ended, has closed it, or is somebody else's
        found.setdefault((status.st_dev, status.st_ino), pid)
    return found


def send(pid: int, number: int) -> bool:
    """Send a signal; whether there was a process to take it."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def send_group(pid: int, number: int) -> bool:
    """Send a signal to a process group; whether there was one."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def send_tree(pid: int, number: int) -> None:
    """Send a signal to a process, its group and all its descendants, each once."""
    below = descendants(pid) if _HAS_PROC else []
    if not send_group(pid, number):
        send(pid, number)
    for other in below:
        if _group_of(other) != pid:
            send(other, number)


def kill_tree(pid: int, *, keep_root: bool = False) -> None:
    """Stop, then kill, a process and all its descendants, again until none is left.

    Stopping first keeps a tree from growing while it is being cut down. `keep_root` spares the process itself.
    """
    for _ in range(_MAX_SWEEPS):
        living = [other for other in descendants(pid) if is_alive(other)]
        if not keep_root:
            send_group(pid, signal.SIGSTOP)
        for other in living:
            send(other, signal.SIGSTOP)
        for other in descendants(pid):
            send(other, signal.SIGKILL)
        if not keep_root:
            _ = send_group(pid, signal.SIGKILL) or send(pid, signal.SIGKILL)
            # The root is dead now; children that it still had go to the subreaper, which kills strays.
        if not living:
            return
        time.sleep(_PAUSE_S)


def run_mark(cookie: bytes) -> int:
    """The mark of a run, which `cookie` names. Its lowest bits are 0."""
    # More than a hundred thousand years of microseconds, so that no realtime process ever runs into it.
    return 1 << 62 | int.from_bytes(blake2b(cookie, digest_size=5).digest(), "big") >> 3 << _NUMBER_BITS


def mark_of(pid: int) -> int:
    """The mark of a process; 0 when it has none."""
    try:
        with open(f"/proc/{pid}/limits", "rb") as file:  # readable whoever the process belongs to
            words = file.read().partition(_MARK_FIELD)[2].split(None, 1)
    except OSError:
        return 0
    return int(words[0]) if words and words[0].isdigit() else 0


class Marker:
    """Marks processes as those of a run. Does nothing where the system has no such limit, or has set it."""

    def __init__(self, cookie: bytes) -> None:
        import resource

        self._run = run_mark(cookie)
        self._limit = getattr(resource, "RLIMIT_RTTIME", -1)
        self._no_limit = resource.RLIM_INFINITY
        self._set = resource.prlimit if hasattr(resource, "prlimit") else None
        if self._limit < 0 or resource.getrlimit(self._limit)[1] != self._no_limit:
            self._set = None

    def set(self, number: int, pid: int = 0) -> None:
        """Mark a process, and whatever it starts from now on, as of an attempt; 0 is this process."""
        if self._set is not None:
            try:
                self._set(pid, self._limit, (self._run | number % MARKED_NUMBERS, self._no_limit))
            except OSError:
                pass  # it has ended, or is another user's by now

    def attempt_of(self, pid: int) -> int:
        """The number of the attempt that a process was marked as of, without its higher bits; -1 when it is not marked as of the run."""
        mark = mark_of(pid)
        return mark - self._run if 0 <= mark - self._run < MARKED_NUMBERS else -1


def sweep(cookie: str, adopted: Callable[[], Iterable[int]] = tuple) -> int:
    """Kill everything that a run left behind when its warden was killed too, and the warden. Returns how many processes that were.

    Whose they are, the mark says, or the cookie in their environment; what they started is below them. `adopted` returns further ones.
    """
    return _kill_all(lambda: [*pids_of_run(cookie), *adopted()])


def pids_of_run(cookie: str) -> list[int]:
    """All living processes that carry the run's mark or name it in their environment; not this one."""
    name = os.fsencode(cookie)
    mark, entry = run_mark(name) >> _NUMBER_BITS, COOKIE + name
    return [
        pid
        for pid in _all_pids()
        if pid != os.getpid() and (mark_of(pid) >> _NUMBER_BITS == mark or entry in _environment(pid)) and is_alive(pid)
    ]


def is_of_run(pid: int, cookie: str) -> bool:
    """Whether a process lives that carries the run's mark or names it in its environment."""
    name = os.fsencode(cookie)
    is_marked = mark_of(pid) >> _NUMBER_BITS == run_mark(name) >> _NUMBER_BITS
    return (is_marked or COOKIE + name in _environment(pid)) and is_alive(pid)


def sweep_marked(variable: str, matches: Callable[[str], bool]) -> int:
    """Kill every process with a matching value of an environment variable, and its descendants. Returns how many that were."""
    return _kill_all(lambda: [pid for pid, value in _with_variable(variable) if matches(value)])


def _kill_all(find: Callable[[], Iterable[int]]) -> int:
    """Kill the processes that `find` returns and their descendants, again until it returns none. Returns how many that were."""
    killed: set[int] = set()
    spared = {os.getpid()}
    for _ in range(_MAX_SWEEPS):
        roots = set(find()) - spared
        if not roots:
            break
        for pid in roots:
            send(pid, signal.SIGSTOP)
        for pid in {pid for root in roots for pid in descendants(root)} - spared | roots:
            try:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
            except ProcessLookupError:
                pass
            except PermissionError:  # another user's
                spared.add(pid)
        time.sleep(_PAUSE_S)
    until = time.monotonic() + _DEATH_S
    for pid in killed:
        await_end(pid, max(0.0, until - time.monotonic()))
    return len(killed)


def _with_variable(variable: str) -> Iterator[tuple[int, str]]:
    prefix = os.fsencode(variable) + b"="
    for pid in _all_pids():
        for entry in _environment(pid):
            if entry.startswith(prefix) and pid != os.getpid() and is_alive(pid):
                yield pid, os.fsdecode(entry[len(prefix) :])


def _environment(pid: int) -> list[bytes]:
    """The entries of a process's environment as it was started; none when it is gone or somebody else's."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read().split(b"\0")
    except OSError:
        return []


def _all_pids() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()] if _HAS_PROC else []


def _stat(pid: int) -> list[bytes]:
    """The fields of `/proc/PID/stat` after the name: state, parent, group, session and so on. Empty when there is no process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return []


def session_of(pid: int) -> int:
    """The session of a process; 0 when it is gone."""
    try:
        return os.getsid(pid)
    except OSError:
        return 0


def _group_of(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except OSError:
        return 0


def is_alive(pid: int) -> bool:
    """Whether there is such a process, and it has not ended and only waits to be reaped."""
    stat = _stat(pid)
    return bool(stat) and stat[0] not in (b"Z", b"X")


def is_stopped(pid: int) -> bool:
    """Whether a process was stopped by a signal or is held by a debugger."""
    return _stat(pid)[:1] in ([b"T"], [b"t"])


def await_end(pid: int, limit_s: float) -> bool:
    """Wait for the end of a process, without reaping it; whether it has ended. At once False where the system cannot wait for any."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    except (AttributeError, OSError):  # another system, an old kernel, or no free descriptor
        return False
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    ended = bool(poll.poll(limit_s * 1000))
    os.close(fd)
    return ended


def reap(pid: int, limit_s: float) -> int | None:
    """Wait for the end of a child, and reap it. Returns its wait status, 0 where somebody else has that, or None: it goes on."""
    until = time.monotonic() + limit_s
    while True:
        ended = await_end(pid, max(0.0, until - time.monotonic()))
        try:
            # A process that a debugger holds has ended, but is its parent's to reap only when the debugger lets go.
            reaped, status = os.waitpid(pid, os.WNOHANG)
            if reaped or ended:
                return status
        except ChildProcessError:  # the program that embeds us has reaped it, or ignores the ends of its children
            return 0
        if time.monotonic() >= until:
            return None
        time.sleep(_PAUSE_S)


def take_child_signals() -> Any:
    """Have the system keep the ends of children, which whoever started this program may ignore. Returns the handler to put back.

    None: there is nothing to put back, or this is not the main thread, where nothing can be set.
    """
    if (
        signal.getsignal(signal.SIGCHLD) is not signal.SIG_IGN
        or threading.current_thread() is not threading.main_thread()
    ):
        return None
    return signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def fill_standard_descriptors() -> None:
    """Open the null device for standard descriptors that are closed, or the next file that is opened would become one of them."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
