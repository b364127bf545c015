"""The state folder: where the journal is, where each run's own files are, and who holds a run.

```
.joblot/.gitignore  journal.db  runs/RUN/events.jsonl  runs/RUN/plan.json  runs/RUN/logs/JOB/ATTEMPT.log  runs/RUN/report.json  runs/RUN/lock
```
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
import time
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from joblot.errors import NoRunsError, RunHeldError, StateError, UntrustedError
from joblot.files import (
    RUN_FILE,
    check_kinds,
    check_own_file,
    check_own_folder,
    make_own_folder,
    open_own,
    read_own,
    reason_of,
    replace_file,
    room_hint,
)
from joblot.journal.codec import NOT_JSON
from joblot.journal.mounts import MOUNTS, network_type
from joblot.journal.runfile import RunFile
from joblot.journal.sqlite import EVENTS_FILE, SqliteJournal, removed
from joblot.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from joblot.journal import Chosen, RunInfo

DEFAULT: Final = ".joblot"
JOURNAL_FILE: Final = "journal.db"
_RUN_FILES: Final = frozenset(
    {
        EVENTS_FILE,
        "plan.json",
        "report.json",
        "settled.json",
        "settled.txt",
        "lock",
        "selection.json",
        "cluster.json",
        "found.jsonl",
        "continued.json",
        "cleared.json",
    }
)
_RUN_FOLDERS: Final = frozenset({"live", "logs", "partial", "kept"})
_SHORT: Final = 4
"""So many characters of an id are told at the least: fewer may be the name of a job."""
_MOST_RIVALS: Final = 1000
_TRIES: Final = 10
_TRY_AGAIN_S: Final = 0.01


def state_path(chosen: str | Path | None = None) -> Path:
    """The state folder to use: as chosen, else `JOBLOT_STATE`, else `.joblot` in the working folder. Of a batch `place.state_of` tells it.

    Raises:
        StateError: its path is not UTF-8 text.
    """
    path = Path(chosen or os.environ.get("JOBLOT_STATE") or DEFAULT).absolute()
    if not is_text(str(path)):
        raise StateError(
            f"the state folder `{path}` cannot be used: its path is not UTF-8 text",
            hint="choose another with `--state`",
        )
    return path


@contextmanager
def past_runs(path: str | Path | None, *, needed: bool = True) -> Iterator[StateFolder | None]:
    """The state folder, to look at earlier runs; None where nothing has run yet, or, unless it is `needed`, where it cannot be used.

    Raises:
        StateError: there is a journal, and it cannot be read.
        UntrustedError: the folder is not the user's own alone, `needed` or not.
    """
    folder, state = None, state_path(path)
    try:
        folder = StateFolder(state, read_only=True)
    except NoRunsError:
        pass
    except StateError as error:
        if needed or isinstance(error, UntrustedError):
            raise
    try:
        yield folder
    finally:
        if folder is not None:
            folder.close()


class RunFolder:
    """The files of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.logs = path / "logs"
        self.events = path / EVENTS_FILE
        self.plan = path / "plan.json"
        self.report = path / "report.json"
        self.settled = path / "settled.json", path / "settled.txt"
        """The report and the digest that jobs of `finally` are given."""
        self.lock = path / "lock"
        self.mark = path / "continued.json"
        """The id of the run that continues this one."""

    @property
    def continued_by(self) -> str:
        """The id of the run that was to continue this one; empty when none was. Whether there is one is another question."""
        try:
            return msgspec.json.decode(read_own(self.mark), type=str)
        except (OSError, *NOT_JSON):
            return ""

    def told(self, status: str) -> dict[str, str]:
        """What jobs of `finally` find in their environment: how the run ended, and where the files say more."""
        as_data, as_text = (str(path.absolute()) for path in self.settled)
        return {"JOBLOT_STATUS": status, "JOBLOT_REPORT": as_data, "JOBLOT_DIGEST": as_text}

    def log_path(self, job: str, attempt: int) -> Path:
        """Where what an attempt printed is kept. The file exists once something was printed (or the attempt takes long)."""
        return self.logs / job / f"{attempt}.log"

    @cached_property
    def logged(self) -> frozenset[str]:
        """The jobs that have a folder of logs: most of a large run print nothing, and asking for each would take long."""
        try:
            return frozenset(os.listdir(self.logs))  # noqa: PTH208 - names are wanted, not paths
        except OSError:
            return frozenset()

    def log(self, job: str, attempt: int) -> str:
        """The path of what an attempt printed; empty when nothing is kept of it."""
        if job not in self.logged:
            return ""
        path = self.log_path(job, attempt)
        return str(path) if path.exists() else ""


class StateFolder:
    """A folder of runs. With `read_only=True` nothing is created or written.

    `network_ok=False` refuses a folder on a network file system; otherwise the journal does there without shared memory. `mounts` is the
    kernel's table of mounts.

    Raises:
        NoRunsError: it is only to be read, and nothing has run there.
        UntrustedError: somebody else owns it or may write to it, and the user's settings do not name it.
        StateError: the folder cannot be made or used.
    """

    LISTS: Final = "`joblot ls` lists the runs"
    """The hint where a run is not known."""

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        durability: Literal["normal", "full"] = "normal",
        read_only: bool = False,
        network_ok: bool = True,
        mounts: Path = MOUNTS,
    ) -> None:
        self.path = state_path(path)
        network = ""
        if read_only:
            if not self._has_journal():
                raise NoRunsError(
                    f"no runs here: `{self.path}` does not exist or holds no journal",
                    hint="`joblot run` makes it beside the batch file: go there, or name it with `--state`",
                )
        else:
            network = network_type(self.path, mounts)
            if network and not network_ok:
                raise StateError(
                    f"the state folder `{self.path}` is on a network file system ({network}), where a journal is not safe",
                    hint="choose a local disk with `--state`, or take the risk with `--allow-network-fs`",
                )
            self._make()
        self.journal = SqliteJournal(
            self.path / JOURNAL_FILE, durability=durability, read_only=read_only, wal=not network
        )

    def _has_journal(self) -> bool:
        try:
            check_own_folder(self.path)
            return check_own_file(self.path / JOURNAL_FILE, self.path, "journal ")
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise StateError(
                f"cannot read the state folder `{self.path}`: {reason_of(error)}", hint="choose another with `--state`"
            ) from None

    def _make(self) -> None:
        try:
            if not self.path.is_dir():
                self.path.mkdir(parents=True, exist_ok=True, mode=0o700)  # somebody else may just have made it
            check_own_folder(self.path)
            ignore = self.path / ".gitignore"
            if not os.path.lexists(ignore):
                replace_file(ignore, [b"*\n"], above=1, forced=False)
        except OSError as error:
            raise StateError(
                f"cannot make the state folder `{self.path}`: {reason_of(error)}",
                hint="choose another with `--state`",
            ) from None

    def run_folder(self, run_id: str) -> RunFolder:
        """The files of a run; the folder is made when the run is held."""
        return RunFolder(self.path / "runs" / run_id)

    def hold(self, run_id: str) -> Hold:
        """Become the process that drives the run; the lock ends with this process, however it ends.

        Raises:
            RunHeldError: another live process drives it; the message says which.
        """
        folder = self.run_folder(run_id)
        try:
            make_own_folder(folder.path, above=RUN_FILE)
            check_kinds(folder.path, _RUN_FILES, _RUN_FOLDERS)
            hold = Hold(run_id, folder)
        except OSError as error:
            hint = room_hint(error, f"; what failed attempts have left is in `{folder.path.parent}/*/partial`")
            raise StateError(
                f"cannot write to `{error.filename or folder.path}`: {reason_of(error)}", hint=hint
            ) from None

        if run_id in removed(self.path):
            hold.release()
            raise StateError(
                f"run `{run_id}` was cleared up, and something is left of it",
                hint="`joblot prune` clears that up as well",
            )
        return hold

    def is_held(self, run_id: str) -> bool:
        """Whether a live process drives the run."""
        return holder(self.run_folder(run_id).lock) is not None

    def status(self, info: RunInfo) -> str:
        """The run's status for people: `interrupted` when no end is recorded and nobody drives it."""
        return "interrupted" if info.status == "running" and not self.is_held(info.run_id) else info.status

    def elapsed_s(self, info: RunInfo) -> float | None:
        """For how long the run has gone on; None when nobody drives it."""
        who = holder(self.run_folder(info.run_id).lock)
        if who is None:
            return None
        since, began = who.get("since"), who.get("monotonic")
        if who.get("host") == os.uname().nodename and isinstance(since, float) and isinstance(began, float):
            # What came before this process is known by dates alone.
            return max(0.0, since - info.started_at) + max(0.0, time.monotonic() - began)
        return max(0.0, time.time() - info.started_at)

    def runs(self, warn: Callable[[StateError], None], *, limit: int | None = None) -> list[RunInfo]:
        """The runs, newest first. Each of them that cannot be read is left out and told to `warn`."""
        return list(self._sound(self.journal.runs(limit=limit), warn))

    def chosen(
        self,
        chosen: Chosen,
        warn: Callable[[StateError], None],
        *,
        longer: Callable[[str], float] | None = None,
    ) -> Iterator[RunInfo]:
        """As `runs`, of those that are meant; `interrupted` is one of their statuses. `longer` as `SqliteJournal.chosen` has it."""
        statuses = chosen.statuses
        if "interrupted" in statuses:  # which the journal does not know
            chosen = msgspec.structs.replace(chosen, statuses=(*statuses, "running"))
        for info in self._sound(self.journal.chosen(chosen, longer=longer), warn):
            if not statuses or self.status(info) in statuses:
                yield info

    def _sound(self, runs: Iterable[RunInfo], warn: Callable[[StateError], None]) -> Iterator[RunInfo]:
        for info in runs:
            if info.fault:
                warn(self.journal.unreadable(info))
            else:
                yield info

    def shortest(self, run_ids: Collection[str]) -> dict[str, str]:
        """Of each of these runs the shortest end of its id that no other run's id begins or ends with; of at least four characters."""
        ends = {run_id[-_SHORT:] for run_id in run_ids}
        # All but a few differ in these already, and a look at each is what takes the time.
        rivals = [other for other in self.journal.ids() if other[-_SHORT:] in ends or other[:_SHORT] in ends]
        return {run_id: _shortest(run_id, rivals) for run_id in run_ids}

    def resolve(self, name: str | None) -> RunInfo:
        """The run that a person means: its id, the beginning or the end of it when only one run has it, or the last run.

        Raises:
            NoRunsError: the last one is asked for, and nothing has run.
            StateError: there is none, or more than one, or it cannot be read: another one is never meant in its place.
        """
        if name is None or name == "last":
            runs = self.journal.runs(limit=1)
            if not runs:
                raise NoRunsError(f"no runs in `{self.path}`", hint="`joblot run BATCH` makes one")
            return self._readable(runs[0])
        matches = self.matches(name)
        if len(matches) == 1:
            return self._readable(matches[0])
        if matches:
            ids = ", ".join(f"`{info.run_id}`" for info in matches[:5])
            raise StateError(f"`{name}` could be any of {len(matches)} runs: {ids}", hint="give more of the run id")
        hint = self.LISTS
        if _is_plain(name) and os.path.exists(self.run_folder(name).events):  # noqa: PTH110 - pathlib raises where nothing may be looked at
            hint = f"the journal has lost it, its files have not: `joblot recover {name}`"
        raise StateError(f"no run `{name}` in `{self.path}`", hint=hint)

    def matches(self, name: str) -> list[RunInfo]:
        """The run of that id, else those whose ids begin or end so, newest first; those with a fault too.

        Left out, they would make a beginning stand for another run than is meant.

        Raises:
            JournalDamagedError: the run of that id has a fault.
        """
        info = self.journal.info(name) if is_text(name) else None
        if info is not None:
            return [info]
        return self.journal.matching(name) if is_text(name) else []

    def _readable(self, info: RunInfo) -> RunInfo:
        if info.fault:
            raise self.journal.unreadable(info)
        return info

    def close(self) -> None:
        """Close the journal."""
        self.journal.close()


class Hold:
    """That this process drives a run."""

    def __init__(self, run_id: str, folder: RunFolder) -> None:
        self.run_id = run_id
        self.folder = folder
        self._fd = open_own(folder.lock, os.O_RDWR | os.O_CREAT)
        if not self._take():
            who = _read_owner(self._fd)
            os.close(self._fd)
            raise RunHeldError(
                f"run `{run_id}` is held by {described(who)}",
                hint="`joblot cancel` stops it; it needs no unlock when it is gone",
            )
        if not is_at(self._fd, folder.lock):
            os.close(self._fd)
            raise StateError(f"run `{run_id}` was cleared up meanwhile")
        try:
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, msgspec.json.encode({**owner(), "monotonic": time.monotonic()}), 0)
        except OSError:
            os.close(self._fd)
            raise

    def _take(self) -> bool:
        """Whether the lock is ours now. Who only asks whether it is held has it for a moment too, so once is not enough."""
        for _ in range(_TRIES):
            if locked(self._fd, fcntl.LOCK_EX):
                return True
            time.sleep(_TRY_AGAIN_S)
        return False

    def attach(
        self, journal: SqliteJournal, durability: Literal["normal", "full", "end"], *, plan: bytes = b""
    ) -> Path | None:
        """Have the run's records written to its own file first from now on, after bringing file and database in step.

        `plan` is kept beside the file, so that the run can do without the database; empty: it is there. Returns where a damaged file was
        kept aside, if there was one.
        """
        folder = self.folder
        try:
            if plan:
                replace_file(folder.plan, [plan], forced=False)
            aside = journal.mend(self.run_id, folder.events)
            # Forced with the first record: without the plan, the names in the folders and the run's row it would be of no use.
            beside = [folder.plan, folder.path, folder.path.parent, Path(f"{journal.path}-wal"), journal.path.parent]
            journal.attach(self.run_id, RunFile(folder.events, durability=durability, beside=beside))
        except OSError as error:
            hint = room_hint(error, f"; what failed attempts have left is in `{folder.path.parent}/*/partial`")
            raise StateError(
                f"cannot write to `{error.filename or folder.events}`: {reason_of(error)}", hint=hint
            ) from None
        return aside

    def abandon(self) -> None:
        """In a forked process: the lock stays with the parent, and does not outlive it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def release(self) -> None:
        """Let go of the run."""
        if self._fd >= 0:
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = -1


def _shortest(run_id: str, rivals: Sequence[str]) -> str:
    rivals = [other for other in rivals if other != run_id]
    for size in range(_SHORT, len(run_id) if len(rivals) < _MOST_RIVALS else 0):
        end = run_id[-size:]
        rivals = [other for other in rivals if other.endswith(end) or other.startswith(end)]
        if not rivals:
            return end
    return run_id


def owner() -> dict[str, Any]:
    """Who this process is: pid, host, user, and when it took hold (seconds since the epoch)."""
    return {"pid": os.getpid(), "host": os.uname().nodename, "user": _user(), "since": time.time()}


def driver() -> dict[str, Any]:
    """Who drives a run, as its first event says it: an `owner`, with the versions of joblot and Python."""
    return {**owner(), "joblot": __version__, "python": ".".join(map(str, sys.version_info[:3]))}


def holder(lock: Path) -> dict[str, Any] | None:
    """Who holds a lock file, or None when nobody does.

    Raises:
        UntrustedError: it is not the user's own, or no file.
    """
    try:
        fd = open_own(lock)
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        return None
    except OSError as error:
        raise StateError(f"cannot read `{lock}`: {reason_of(error)}", hint="move it away") from None
    try:
        return None if locked(fd, fcntl.LOCK_SH) else _read_owner(fd)
    finally:
        os.close(fd)


def _is_plain(name: str) -> bool:
    return "/" not in name and name not in ("", ".", "..") and is_text(name)


def is_text(name: str) -> bool:
    """Whether it can be recorded and be a path: the system hands over bytes that are not UTF-8 as halves of surrogate pairs."""
    return "\0" not in name and not any("\ud800" <= char <= "\udfff" for char in name)


def is_at(fd: int, path: Path) -> bool:
    """Whether an open file has that path still, links not followed."""
    try:
        return os.path.samestat(os.fstat(fd), path.lstat())
    except OSError:
        return False


def locked(fd: int, kind: int) -> bool:
    """Whether the lock of that kind (`LOCK_SH`, `LOCK_EX`) on an open file is ours now; it is not waited for."""
    try:
        # flock, not fcntl: a POSIX lock would be lost as soon as any descriptor of the file is closed.
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True


def _read_owner(fd: int) -> dict[str, Any]:
    try:
        return msgspec.json.decode(os.pread(fd, 4096, 0), type=dict[str, Any])
    except (*NOT_JSON, OSError):
        return {}


def described(who: dict[str, Any]) -> str:
    """An `owner` for people."""
    if not who:
        return "another process"
    since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(who.get("since", 0)))
    return f"process {who.get('pid')} of {who.get('user')} on {who.get('host')}, since {since}"


def _user() -> str:
    user = os.environ.get("USER") or os.environ.get("LOGNAME")
    return user.encode("utf-8", "replace").decode() if user else f"uid {os.getuid()}"
