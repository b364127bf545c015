"""Trees of processes: which belong together, and killing all of one. Standard library only; reads `/proc` where there is one.

Elsewhere (macOS) only the process group is known; the documentation says so.
"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

COOKIE: Final = b"JOBLOT_RUN="
_MAX_SWEEPS: Final = 200
_PAUSE_S: Final = 0.001
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


class OwnChildren:
    """The direct children of this process's main thread, by one system call each time, since it is asked after every attempt."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        try:
            self._fd = os.open(f"/proc/self/task/{self._pid}/children", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._fd = -1

    def pids(self) -> list[int]:
        """Their pids; empty where the system has no such file."""
        return [int(pid) for pid in os.pread(self._fd, 1 << 20, 0).split()] if self._fd >= 0 else []


def threads() -> int:
    """How many threads this process has, with those of native code; 1 where the system does not tell."""
    return len(os.listdir("/proc/self/task")) if _HAS_PROC else 1


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
        living = [other for other in descendants(pid) if _is_alive(other)]
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


def pids_with_cookie(cookie: str) -> list[int]:
    """All living processes whose environment names the run; not this one."""
    entry = COOKIE + os.fsencode(cookie)
    return [pid for pid in _all_pids() if pid != os.getpid() and entry in _environment(pid) and _is_alive(pid)]


def sweep(cookie: str, live: str) -> int:
    """Kill everything that a run left behind when its warden was killed too. Returns how many processes that were.

    Commands have the run's cookie in their environment, and what they started is below them. What an action forked has the environment
    of the runner instead; it is found by its session, whose leader wrote its number into a file of the folder `live`.
    """
    return _kill_all(lambda: [*pids_with_cookie(cookie), *_pids_in_sessions(_recorded_sessions(live))])


def sweep_marked(variable: str, matches: Callable[[str], bool]) -> int:
    """Kill every process with a matching value of an environment variable, and its descendants. Returns how many that were."""
    return _kill_all(lambda: [pid for pid, value in _with_variable(variable) if matches(value)])


def _kill_all(find: Callable[[], Iterable[int]]) -> int:
    """Kill the processes that `find` returns and their descendants, again until it returns none. Returns how many that were."""
    killed = 0
    for _ in range(_MAX_SWEEPS):
        roots = set(find()) - {os.getpid()}
        if not roots:
            break
        for pid in roots:
            send(pid, signal.SIGSTOP)
        below = {pid for root in roots for pid in descendants(root)} - {os.getpid()}
        killed += sum(send(pid, signal.SIGKILL) for pid in roots | below)
        time.sleep(_PAUSE_S)
    return killed


def _with_variable(variable: str) -> Iterator[tuple[int, str]]:
    prefix = os.fsencode(variable) + b"="
    for pid in _all_pids():
        for entry in _environment(pid):
            if entry.startswith(prefix) and pid != os.getpid() and _is_alive(pid):
                yield pid, os.fsdecode(entry[len(prefix) :])


def attempt_of(pid: int) -> tuple[bytes, bytes]:
    """Job and attempt number, from the environment of a process; empty when it has none."""
    variables = dict(entry.partition(b"=")[::2] for entry in _environment(pid))
    return variables.get(b"JOBLOT_JOB", b""), variables.get(b"JOBLOT_ATTEMPT", b"")


def _environment(pid: int) -> list[bytes]:
    """The entries of a process's environment as it was started; none when it is gone or somebody else's."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read().split(b"\0")
    except OSError:
        return []


def record_session(path: str) -> None:
    """Write the number of the session that this process leads to a file, for `sweep`."""
    pid = os.getpid()
    with open(path, "wb") as file:
        file.write(b"%d %d" % (pid, _start_ticks(pid)))


def _recorded_sessions(live: str) -> set[int]:
    """The sessions recorded in a folder, without those whose number a later process has: nobody is left in these."""
    sessions: set[int] = set()
    try:
        names = [name for name in os.listdir(live) if name.endswith(".pid")]
    except OSError:
        return sessions
    for name in names:
        try:
            with open(f"{live}/{name}", "rb") as file:
                pid, ticks = map(int, file.read().split())
        except (OSError, ValueError):
            continue
        if _start_ticks(pid) in (0, ticks):
            sessions.add(pid)
    return sessions


def _pids_in_sessions(sessions: set[int]) -> list[int]:
    if not sessions:
        return []
    pids = []
    for pid in _all_pids():
        stat = _stat(pid)
        if stat and int(stat[3]) in sessions and stat[0] not in (b"Z", b"X"):
            pids.append(pid)
    return pids


def _all_pids() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()] if _HAS_PROC else []


def _stat(pid: int) -> list[bytes]:
    """The fields of `/proc/PID/stat` after the name: state, parent, group, session and so on. Empty when there is no process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return []


def _start_ticks(pid: int) -> int:
    """When a process started, in the kernel's ticks since boot; 0 when there is no process."""
    stat = _stat(pid)
    return int(stat[19]) if stat else 0


def _group_of(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except OSError:
        return 0


def _is_alive(pid: int) -> bool:
    stat = _stat(pid)
    return bool(stat) and stat[0] not in (b"Z", b"X")


def fill_standard_descriptors() -> None:
    """Open the null device for standard descriptors that are closed, or the next file that is opened would become one of them."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
