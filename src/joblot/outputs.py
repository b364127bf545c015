"""The outputs that jobs declare: their stamps and hashes, and moving aside what a failed attempt has left.

It knows paths and attempts; it does not know what makes a job up to date, nor how attempts are run.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Final

from joblot.core.model import Artifact
from joblot.core.provenance import FileFact
from joblot.files import reason_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from joblot.core.model import Outcome
    from joblot.core.plan import Plan

MAX_HASHED: Final = 2**29
"""Bytes: larger files are identified by size and time of change alone."""
LARGE: Final = 4 * 2**20
"""Bytes from which on hashing takes long enough to have another process do it."""
_CHUNK: Final = 2**20
Stamp = tuple[int, int]
"""Size in bytes, and time of change in nanoseconds since the epoch. Of a folder: the sum of its files, and the latest change in it."""


def stamp(path: str) -> Stamp | None:
    """The stamp of a file or folder; None when it is missing."""
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            return _folder_stamp(path, status.st_mtime_ns)
    except (OSError, ValueError):  # it is missing, or no valid path
        return None
    return status.st_size, status.st_mtime_ns


def _folder_stamp(path: str, latest: int) -> Stamp:
    size = 0
    for folder, _, names in os.walk(path):
        latest = max(latest, os.stat(folder).st_mtime_ns)
        for name in names:
            status = os.lstat(os.path.join(folder, name))
            size += status.st_size
            latest = max(latest, status.st_mtime_ns)
    return size, latest


def content_hash(path: str) -> str:
    """The SHA-256 of a file's contents, or of a folder's names and contents, in hexadecimal; empty when it cannot be read.

    Pipes, sockets and devices have no contents: reading them might never end.
    """
    from hashlib import sha256

    digest = sha256()
    try:
        if os.path.isdir(path):
            for folder, folders, names in os.walk(path):
                folders.sort()
                for name in sorted(names):
                    inner = os.path.join(folder, name)
                    digest.update(
                        f"{os.path.relpath(inner, path)}\0{content_hash(inner)}\n".encode("utf-8", "surrogateescape")
                    )
            return digest.hexdigest()
        if not os.path.isfile(path):
            return ""
        # Not blocking: it may have become a pipe since, and opening one waits for a writer.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0) as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError:
        return ""
    return digest.hexdigest()


class Hashes:
    """Hashes of files, each computed once as long as its stamp stays the same."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._known: dict[str, tuple[Stamp, str]] = {}

    def absolute(self, path: str) -> str:
        """A path of the batch, from the root."""
        return path if path.startswith("/") else f"{self._folder}/{path}"

    def learn(self, fact: FileFact) -> None:
        """Add a hash from an earlier run, unless there is a newer one."""
        if fact.sha256:
            self._known.setdefault(fact.path, ((fact.size, fact.mtime_ns), fact.sha256))

    def take_over(self, looked: Sequence[tuple[str, int, int, str]]) -> None:
        """Add the facts that `look` has found in another process."""
        for path, size, mtime_ns, sha256 in looked:
            self._known[path] = ((size, mtime_ns), sha256)

    def look(self, paths: Sequence[str]) -> tuple[tuple[str, int, int, str], ...]:
        """Path, size, time of change and hash of each file, for `take_over` in another process; without missing files."""
        stamps = [(path, stamp(self.absolute(path))) for path in paths]
        facts = [self.fact(path, current) for path, current in stamps if current is not None]
        return tuple((fact.path, fact.size, fact.mtime_ns, fact.sha256) for fact in facts)

    def are_large(self, paths: Sequence[str]) -> bool:
        """Whether hashing these takes a while; of a folder that is assumed."""
        for path in paths:
            try:
                status = os.stat(self.absolute(path))
            except (OSError, ValueError):
                continue
            if stat.S_ISDIR(status.st_mode) or status.st_size >= LARGE:
                return True
        return False

    def fact(self, path: str, current: Stamp | None) -> FileFact:
        """The fact about a file whose stamp, `current`, was just taken; a `current` of None: it is missing."""
        if current is None:
            return FileFact(path)
        known = self._known.get(path)
        if known is None or known[0] != current:
            known = self._known[path] = (current, content_hash(self.absolute(path)) if current[0] <= MAX_HASHED else "")
        return FileFact(path, *current, known[1])


class OutputWatch:
    """Watches the declared outputs of a run's attempts: after a success all exist, after a failure only those that it did not touch.

    `run_dir` is the run's own folder, where leftovers are moved to; without one they stay in their folders as hidden files.
    """

    def __init__(self, plan: Plan, run_dir: Path | None, hashes: Hashes) -> None:
        self._plan = plan
        self._run_dir = run_dir
        self.hashes = hashes
        self._before: dict[int, list[Stamp | None]] = {}
        self.finished: dict[int, list[FileFact]] = {}
        """By job, its outputs after a success, until the engine takes them."""

    def began(self, job: int) -> None:
        """Note the outputs before an attempt is handed out."""
        outputs = self._plan.spec(job).outputs
        if outputs:
            self._before[job] = self._stamps(outputs)

    def ended(self, outcome: Outcome) -> None:
        """Complete the outcome of an attempt that ended well, else move its outputs aside."""
        before = self._before.pop(outcome.job, None)
        if before is None or outcome.kind == "returned":
            return
        if outcome.kind == "ok":
            self._check(outcome)
        if outcome.kind != "ok":
            try:
                self._clear(outcome.job, outcome.number, before)
            except OSError as error:
                why = f"cannot move `{error.filename}` aside: {reason_of(error)}"
                outcome.message = f"{outcome.message}; {why}" if outcome.message else why

    def clear_after_crash(self, job: int, number: int, left: Sequence[FileFact], began_at: float) -> None:
        """Move outputs aside after an attempt of a killed runner.

        Outputs stay that are as the last success left them (`left`), or older than the run, which began at `began_at` (seconds since the epoch).
        """
        kept = {fact.path: (fact.size, fact.mtime_ns) for fact in left}
        outputs = self._plan.spec(job).outputs
        before = [
            now if now is not None and now[1] < began_at * 1e9 else kept.get(path)
            for path, now in zip(outputs, self._stamps(outputs), strict=True)
        ]
        self._clear(job, number, before)

    def _clear(self, job: int, number: int, before: Sequence[Stamp | None]) -> None:
        """Move outputs aside that have changed since."""
        outputs = self._plan.spec(job).outputs
        for path, old, now in zip(outputs, before, self._stamps(outputs), strict=True):
            if now is not None and now != old:
                self._move_aside(self.hashes.absolute(path), self._plan.name(job), number)

    def _stamps(self, outputs: Sequence[str]) -> list[Stamp | None]:
        return [stamp(self.hashes.absolute(path)) for path in outputs]

    def _check(self, outcome: Outcome) -> None:
        outputs = self._plan.spec(outcome.job).outputs
        stamps = self._stamps(outputs)
        missing = [path for path, current in zip(outputs, stamps, strict=True) if current is None]
        if missing:
            and_more = f" (nor {len(missing) - 1} more)" if len(missing) > 1 else ""
            outcome.kind, outcome.reason, outcome.result = "error", "missing_output", b""
            outcome.message = f"declared output `{missing[0]}` was not made{and_more}"
            return
        self.hashes.take_over(outcome.looked)
        facts = [self.hashes.fact(path, current) for path, current in zip(outputs, stamps, strict=True)]
        self.finished[outcome.job] = facts
        declared = {self.hashes.absolute(path) for path in outputs}
        others = [artifact for artifact in outcome.artifacts if self.hashes.absolute(artifact.path) not in declared]
        outcome.artifacts = (*(Artifact(fact.path, fact.size, fact.sha256) for fact in facts), *others)

    def _move_aside(self, path: str, job: str, number: int) -> None:
        folder, name = os.path.split(path.rstrip("/"))
        if self._run_dir is None:
            target = os.path.join(folder, f".{name}.{number}.part")
        else:
            aside = f"{self._run_dir}/partial/{job}/{number}"
            os.makedirs(aside, exist_ok=True)
            target = _unused_path(os.path.join(aside, name))
        try:
            os.rename(path, target)
        except OSError as error:
            if error.errno != errno.EXDEV:  # on another file system it has to be copied
                raise
            import shutil

            shutil.move(path, target)


def _unused_path(path: str) -> str:
    """The path, with a number behind it when it exists: outputs of two folders may have the same name."""
    free, number = path, 2
    while os.path.lexists(free):
        free, number = f"{path}.{number}", number + 1
    return free
