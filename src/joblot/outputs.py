"""The outputs that jobs declare: their stamps and hashes, and that what was there is there again after a failed attempt.

It knows paths and attempts; it does not know what makes a job up to date, nor how attempts are run.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from msgspec import Struct

from joblot.core.model import ABSENT, Artifact, FileFact
from joblot.core.patterns import STATE_NAME
from joblot.digest import blake2b
from joblot.errors import JournalWriteError, UntrustedError
from joblot.files import (
    force_to_disk,
    make_own_folder,
    read_own,
    reason_of,
    replace_file,
    room_hint,
    target_of,
    write_all,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from joblot.copies import Copier
    from joblot.core.model import Outcome
    from joblot.core.plan import Plan

MAX_HASHED: Final = 2**29
"""Bytes: larger files are identified by their stamps alone."""
LARGE: Final = 4 * 2**20
"""Bytes from which on hashing takes long enough to have another process do it."""
_CHUNK: Final = 2**20
_YOUNG_NS: Final = 20_000_000
"""Two changes of a file so close together can have the same time: kernels take the time from ticks of up to 10 ms."""
_YOUNG_WHOLE_S_NS: Final = 2_000_000_000
"""The same where a file system keeps whole seconds, or every other one."""
_SECOND: Final = 1_000_000_000
_ASIDE: Final = 6
"""The folders from where an attempt's outputs are moved up to the state folder: the attempt's own, its job's, `partial`, the run's, `runs`, the state folder."""
_MOST_TOLD: Final = 3
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_PART: Final = r"(?s)\.(joblot-.+|.+\.[0-9a-f]+)\.part"
"""Names of joblot's own temporary files: nothing takes them for content."""
FOUND_FILE: Final = "found.jsonl"
"""In a run's folder: what attempts found under the names of their outputs.

Line 1 is the boot of the machine in which this began. While it lasts, an attempt that is missing found nothing; after it a power cut may
have taken what was not forced to disk, and attempts are noted that found nothing.
"""
CLEARED_FILE: Final = "cleared.json"
"""In the folder of a run that was killed: the attempts, job and number, after which a later run has put things in order."""
KEPT: Final = "kept"
"""The folder in a run's folder in which what attempts found is kept until they have ended."""

Stamp = tuple[int, int, int, int]
"""Size in bytes, time of change in nanoseconds since the epoch, inode, and the time of change of the inode, which no program can set.

Of a folder: the sum of the files below it, the latest change of an inode among them, and two halves of a digest over all that is below it.
"""
Key = str | tuple[str, frozenset[str]]
"""What is looked at: a path of the batch, or a folder without some paths below it (absolute, without links)."""


class Tree(NamedTuple):
    """A folder's stamp, and the real paths of the folders that were entered through links, its own first."""

    stamp: Stamp
    roots: tuple[str, ...]


def tree(path: str, left_out: frozenset[str] = frozenset(), *, within: bool = False) -> Tree:
    """A folder as its stamp, without the paths that are left out. `within`: links that lead out of it are not followed.

    Raises:
        OSError: there is no such folder.
    """
    digest = blake2b(digest_size=16)
    roots = [os.path.realpath(path)]
    size = latest = 0
    for name, _, status, what in _below(roots, left_out, within=within):
        if status is None:
            text = f"{name}\0{what}\n"
        else:
            size += status.st_size
            latest = max(latest, status.st_ctime_ns)
            text = f"{name}\0{status.st_size} {status.st_mtime_ns} {status.st_ino} {status.st_ctime_ns}\n"
        digest.update(text.encode("utf-8", "surrogateescape"))
    both = digest.digest()
    # Never 0, which stands for a stamp that is no proof; 63 bits are what every reader of JSON takes for a whole number.
    halves = (int.from_bytes(both[:8], "big") >> 1, int.from_bytes(both[8:], "big") >> 1 | 1)
    return Tree((size, latest, *halves), tuple(roots))


def _below(
    roots: list[str], left_out: frozenset[str], *, within: bool
) -> Iterator[tuple[str, str, os.stat_result | None, str]]:
    """All that is below a folder: its name from there, its path, and its status; without a status a word that says what it is.

    Of each folder the files come first, in the order of their names, then what is below its folders. Links are followed, but a folder is
    entered once only: however often others lead to it, and be it from inside itself. `roots` has the folder, and gets those behind links.
    `within`: of a link that leads out of the folder it is what it says that counts.
    """
    status = os.stat(roots[0])
    inside = f"{roots[0].rstrip('/')}/"
    entered = {(status.st_dev, status.st_ino): "."}
    waiting = [("", roots[0])]
    while waiting:
        prefix, folder = waiting.pop()
        try:
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=_name_of)
        except OSError:
            yield prefix, folder, None, "not readable"
            continue
        folders = []
        empty = True
        for entry in entries:
            name, path = entry.name, f"{folder}/{entry.name}"
            if path in left_out or name == STATE_NAME or (name[0] == "." and re.fullmatch(_PART, name)):
                continue
            empty = False
            try:
                if entry.is_symlink():
                    link = path
                    path = os.path.realpath(path)
                    if within and not f"{path}/".startswith(inside):
                        yield prefix + name, path, None, f"leads to {os.readlink(link)}"
                        continue
                    if left_out and any(path == out or path.startswith(f"{out}/") for out in left_out):
                        yield prefix + name, path, None, "left out"
                        continue
                    status = os.stat(path)
                    if stat.S_ISDIR(status.st_mode):
                        roots.append(path)
                elif entry.is_dir(follow_symlinks=False):
                    status = os.stat(path)
                else:
                    status = entry.stat(follow_symlinks=False)
            except OSError:
                yield prefix + name, path, None, ""  # a link that leads nowhere, or it has just gone
                continue
            if not stat.S_ISDIR(status.st_mode):
                yield prefix + name, path, status, ""
                continue
            first = entered.setdefault((status.st_dev, status.st_ino), prefix + name)
            if first == prefix + name:
                folders.append((f"{prefix}{name}/", path))
            else:
                yield prefix + name, path, None, f"the same as {first}"
        if empty and prefix:
            yield prefix, folder, None, "empty"
        waiting += reversed(folders)


def _name_of(entry: os.DirEntry[str]) -> str:
    return entry.name


def _hash_of(path: str, _: os.stat_result) -> str:
    return content_hash(path)


def content_hash(
    path: str,
    left_out: frozenset[str] = frozenset(),
    hash_of: Callable[[str, os.stat_result], str] = _hash_of,
    *,
    within: bool = False,
) -> str:
    """The SHA-256 of a file's contents, or of a folder's names and contents, in hexadecimal; empty when it cannot be read.

    Pipes, sockets and devices have no contents: reading them might never end. `within` is as in `tree`.
    """
    from hashlib import sha256

    digest = sha256()
    try:
        if os.path.isdir(path):
            for name, inner, status, what in _below([os.path.realpath(path)], left_out, within=within):
                text = f"{name}\0{hash_of(inner, status) if status is not None else what}\n"
                digest.update(text.encode("utf-8", "surrogateescape"))
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


def _youth(current: Stamp, folder: bool) -> int:
    """For how many nanoseconds more the thing may still be changed without another time; 0: it cannot, its stamp is a proof.

    A time that is ahead of the clock is young for as long as it is. The change of the inode counts: a program can set the other time.
    """
    changed = current[1] if folder else current[3]
    limit = _YOUNG_NS if changed % _SECOND else _YOUNG_WHOLE_S_NS
    return max(0, changed + limit - time.time_ns())


class Hashes:
    """Stamps and hashes of files; each hash is computed once as long as the stamp stays the same.

    `folder` is the batch's; `apart` are paths that are no part of any folder that is looked at, such as the state folder. `is_made` says
    whether a job makes a path or a folder around it: what links lead out of such a folder to is no part of it, for nobody keeps it, and it may be everything.
    """

    def __init__(
        self, folder: str, apart: Iterable[str | Path] = (), is_made: Callable[[str], bool] = lambda _path: False
    ) -> None:
        self._folder = folder
        self._is_made = is_made
        self._made: dict[str, bool] = {}
        self._apart = frozenset(map(os.path.realpath, apart))
        self._known: dict[Key, tuple[Stamp, FileFact]] = {}
        self._inner: dict[str, tuple[Stamp, str]] = {}
        self._real_folders: dict[str, str] = {}
        self.folders: dict[str, tuple[str, ...]] = {}
        """Of each folder that was looked at, its real path and those that links in it lead to."""

    def absolute(self, path: str) -> str:
        """A path of the batch, from the root."""
        return path if path.startswith("/") else f"{self._folder}/{path}"

    def stamp(self, key: Key) -> Stamp | None:
        """The stamp of a file or folder as it is now, links followed; None when it is missing."""
        path, left_out = (key, self._apart) if isinstance(key, str) else (key[0], self._apart | key[1])
        absolute = self.absolute(path)
        try:
            status = os.stat(absolute)
            if stat.S_ISDIR(status.st_mode):
                if path not in self._made:
                    self._made[path] = self._is_made(path)
                found = tree(absolute, left_out, within=self._made[path])
                self.folders[path] = found.roots
                return found.stamp
        except (OSError, ValueError):
            return None
        return status.st_size, status.st_mtime_ns, status.st_ino, status.st_ctime_ns

    def key(self, path: str, outputs: Sequence[str]) -> Key:
        """What stands for a folder that a job reads and whose stamp was just taken: what the job itself makes there is no part of it."""
        roots = self.folders[path]
        own = frozenset(
            real for real in map(self._real, outputs) if any(f"{real}/".startswith(f"{root}/") for root in roots)
        )
        return (path, own) if own else path

    def _real(self, output: str) -> str:
        """Where an output stands, by a path without links but for the output itself."""
        folder, name = os.path.split(os.path.normpath(self.absolute(output)))
        if folder not in self._real_folders:
            self._real_folders[folder] = os.path.realpath(folder)
        return os.path.join(self._real_folders[folder], name)

    def learn(self, key: Key, fact: FileFact) -> None:
        """Add a hash from an earlier run, unless there is a newer one, or its stamp is no proof."""
        if fact.sha256 and fact.changed_ns:
            self._known.setdefault(key, (_stamp_of(fact), fact))

    def take_over(self, looked: Sequence[tuple[Stamp, FileFact]]) -> None:
        """Add the facts that `look` has found in another process."""
        for current, fact in looked:
            self._known[fact.path] = current, fact

    def look(self, paths: Sequence[str]) -> tuple[tuple[Stamp, FileFact], ...]:
        """The stamp of each file and the fact about it, for `take_over` in another process; without missing files."""
        stamps = [(path, self.stamp(path)) for path in paths]
        return tuple((current, self.fact(path, current)) for path, current in stamps if current is not None)

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

    def fact(self, key: Key, current: Stamp | None) -> FileFact:
        """The fact about a file whose stamp was just taken; one without contents for a missing file.

        The stamp of a file that may still change without another time is left out of the fact: whoever compares has to compare contents.
        """
        path, own = (key, frozenset[str]()) if isinstance(key, str) else key
        if current is None:
            return FileFact(path)
        known = self._known.get(key)
        if known is None or known[0] != current:
            # The clock is asked before the contents are read: what changes them from now on changes the time too, unless it is young.
            young = _youth(current, path in self.folders)
            if current[0] >= LARGE and 0 < young <= _YOUNG_NS:
                time.sleep(young / 1e9)  # cheaper than to read so much once more
                young = 0
            readable = current[0] <= MAX_HASHED
            hash_of = self._hash_of if own else _hash_of
            within = self._made.get(path, False)
            sha256 = content_hash(self.absolute(path), self._apart | own, hash_of, within=within) if readable else ""
            size, mtime_ns, inode, changed_ns = current
            fact = FileFact(path, size, mtime_ns, sha256, inode, 0 if young and sha256 else changed_ns)
            known = self._known[key] = current, fact
        return known[1]

    def _hash_of(self, path: str, status: os.stat_result) -> str:
        """The hash of a file in a folder that many jobs may read, each without what it makes itself: not to read all for each of them."""
        current = status.st_size, status.st_mtime_ns, status.st_ino, status.st_ctime_ns
        known = self._inner.get(path)
        if known is None or known[0] != current:
            known = self._inner[path] = current, content_hash(path)
        return known[1]

    def glance(self, path: str, current: Stamp | None) -> FileFact:
        """As `fact`, but without a hash where only reading would give one and the stamp is a proof."""
        if current is not None:
            known = self._known.get(path)
            if (known is None or known[0] != current) and not _youth(current, path in self.folders):
                size, mtime_ns, inode, changed_ns = current
                return FileFact(path, size, mtime_ns, "", inode, changed_ns)
        return self.fact(path, current)

    def same_contents(self, key: Key, fact: FileFact, now: Stamp) -> bool:
        """Whether something whose stamp is another than the fact's, or no proof, still has the contents that it had."""
        if not fact.sha256:
            # Nobody has read it. Earlier programs kept nothing but size and time, and took them for enough.
            return not fact.changed_ns and (fact.size, fact.mtime_ns) == now[:2]
        if fact.size != now[0] and (key if isinstance(key, str) else key[0]) not in self.folders:
            return False
        return self.fact(key, now).sha256 == fact.sha256


class Found(Struct, frozen=True, array_like=True):
    """What stands under the name of an output: the fact about it, what it says when it is a link, and whether a copy of it is kept."""

    fact: FileFact
    link: str = ""
    kept: bool = False


class _Note(Struct, frozen=True, array_like=True):
    """What an attempt found, one entry for each of its job's outputs; None: nothing."""

    job: int
    number: int
    found: list[Found | None]


class OutputWatch:
    """Watches the declared outputs of a run's attempts: after a success all exist, after any other end what was there before does.

    What differs at the end from what the attempt found at its start is its doing, whatever the times of the files say. Of that a copy is
    kept meanwhile. `run_dir` is the run's own folder, where copies are kept, leftovers are moved to, and what attempts found is noted;
    without one all this stays beside the outputs, as hidden files.
    """

    def __init__(self, plan: Plan, run_dir: Path | None, hashes: Hashes) -> None:
        self._plan = plan
        self._run_dir = run_dir
        self.hashes = hashes
        self._before: dict[int, tuple[int, list[Found | None]]] = {}
        self._good: dict[int, tuple[int, list[Found | None]]] = {}
        self._notes, self._complete = -1, True
        self._copier: Copier | None = None
        self._stuck: set[str] = set()
        """Copies that could neither be put back nor moved aside: they stay where they are, whatever else goes."""
        self.doubts: list[str] = []
        """What is to be told of attempts that ended well, until the engine takes it."""
        self._untouched_told = 0
        self.finished: dict[int, list[FileFact]] = {}
        """By job, its outputs after a success, until the engine takes them."""

    def began(self, attempts: Iterable[tuple[int, int]]) -> None:
        """Look at the outputs of attempts (job and number) that are about to be handed out, keep what is there, and note where a kill does not lose it.

        The folders of those that are not there are made; where that cannot be, the attempt says so in its own words. What cannot be copied
        for another reason than want of room is told if it is lost.

        Raises:
            JournalWriteError: it cannot be kept or noted; the attempts must not begin.
        """
        notes, watched, folders = [], False, set()
        for job, number in attempts:
            outputs = self._plan.spec(job).outputs
            if outputs:
                watched = True
                found = [self._found(path) for path in outputs]
                for index, (path, one) in enumerate(zip(outputs, found, strict=True)):
                    if one is None:
                        folders.add(os.path.dirname(self._name(path)))
                    else:
                        found[index] = self._keep(job, number, index, path, one)
                self._before[job] = number, found
                notes.append(_Note(job, number, found))
        for folder in folders:
            try:
                os.mkdir(folder)  # mostly it is there: one call tells
            except FileNotFoundError:
                with suppress(OSError, ValueError):
                    os.makedirs(folder, exist_ok=True)
            except (OSError, ValueError):
                pass
        if watched and self._run_dir is not None:
            self._note(f"{self._run_dir}/{FOUND_FILE}", notes)

    def _keep(self, job: int, number: int, index: int, path: str, found: Found) -> Found:
        """Keep a copy of what stands under the name of an output, if that can be. Returns what is to be noted of it."""
        if found.fact.size == ABSENT:
            return found
        if self._copier is None:
            from joblot.copies import Copier

            if self._run_dir is not None:
                try:
                    make_own_folder(self._run_dir / KEPT, above=_ASIDE - 2)
                except OSError as error:
                    raise _not_kept(path, error) from None
            self._copier = Copier(forced=self._is_forced)
        source, copy = self._name(path), self._copy_of(job, number, index, path)
        if found.link:
            source = str(target_of(Path(source)))
            if os.path.islink(source):  # a stranger's: nobody knows who changes what that leads to
                return found
        if path in self.hashes.folders and os.path.realpath(copy).startswith(f"{os.path.realpath(source)}/"):
            return found
        try:
            try:
                sha256 = self._copier.copy(source, copy, hashed=not found.fact.sha256)
            except FileExistsError:  # the copy of an attempt that never began; it is gone now
                sha256 = self._copier.copy(source, copy, hashed=not found.fact.sha256)
        except OSError as error:
            if error.errno in _FULL:
                raise _not_kept(path, error) from None
            return found  # too large, or nobody may read it
        fact = found.fact
        if sha256 and not fact.sha256:
            fact = msgspec.structs.replace(fact, sha256=sha256)
        return Found(fact, found.link, kept=True)

    @property
    def _is_forced(self) -> bool:
        return self._plan.config.durability == "full"

    def _copy_of(self, job: int, number: int, index: int, path: str) -> str:
        """Where the copy is of what an attempt found under the name of an output."""
        name = f"{job}-{number}-{index}"
        if self._run_dir is None:
            folder = os.path.dirname(self._name(path))
            return os.path.join(folder, f".joblot-{os.getpid()}-{name}.part")
        return f"{self._run_dir}/{KEPT}/{name}"

    def _note(self, path: str, notes: list[_Note]) -> None:
        try:
            if self._notes < 0:
                boot, lines = _boot(), self._lines()
                self._complete = lines[:1] in ([], [boot])
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
                self._notes = os.open(path, flags, 0o600)
                if not lines:
                    write_all(self._notes, b"%b\n" % boot)
            if self._complete:
                notes = [note for note in notes if any(note.found)]
            if notes:
                # Begun on a line of its own: an earlier write may have been cut short.
                write_all(self._notes, b"\n%b\n" % b"\n".join(map(msgspec.json.encode, notes)))
                if self._is_forced and self._copier is not None:
                    run_dir = Path(path).parent
                    for forced in (run_dir / KEPT, Path(path), run_dir):
                        force_to_disk(forced)
        except OSError as error:
            hint = room_hint(error, ", then `joblot resume`")
            raise JournalWriteError(f"cannot write to `{path}`: {reason_of(error)}", hint=hint) from None

    def close(self, *, ended: bool) -> None:
        """Let go of the notes. Of a run that has ended nobody needs them, nor what is kept."""
        if self._notes >= 0:
            os.close(self._notes)
            self._notes = -1
        if ended:
            self._drop_all()
            with suppress(OSError):
                os.unlink(f"{self._run_dir}/{FOUND_FILE}")

    def _drop_all(self) -> None:
        """Remove every copy that the run has kept: no attempt goes on."""
        if self._run_dir is not None and os.path.lexists(kept := f"{self._run_dir}/{KEPT}"):
            from joblot.copies import remove

            if not self._stuck:
                remove(kept)
                return
            for name in os.listdir(kept):
                if f"{kept}/{name}" not in self._stuck:
                    remove(f"{kept}/{name}")

    def ended(self, outcome: Outcome) -> None:
        """Complete the outcome of an attempt that ended well, else put its outputs back as they were."""
        number, before = self._before.get(outcome.job, (-1, None))
        if before is None or number != outcome.number:  # it declares nothing, or this is news of an earlier attempt
            return
        del self._before[outcome.job]
        if outcome.kind == "returned":
            self._drop(outcome.job, number, before)
            return
        if outcome.kind == "ok":
            self._check(outcome, before)
        if outcome.kind == "ok":
            if self._copier is not None:
                self._good[outcome.job] = number, before
            return
        wrong = self._put_back(outcome.job, number, before, named=outcome.number)
        if wrong:
            outcome.message = f"{outcome.message}; {wrong}" if outcome.message else wrong

    def recorded(self, outcomes: Iterable[Outcome]) -> None:
        """That these attempts have ended is recorded: what those that ended well found is not needed any more."""
        if self._good:
            for outcome in outcomes:
                number, before = self._good.pop(outcome.job, (0, ()))
                self._drop(outcome.job, number, before)

    def _drop(self, job: int, number: int, before: Sequence[Found | None]) -> None:
        for index, (path, old) in enumerate(zip(self._plan.spec(job).outputs, before, strict=False)):
            if old is not None and old.kept and (copy := self._copy_of(job, number, index, path)) not in self._stuck:
                from joblot.copies import remove

                remove(copy)

    def clear_after_crash(self, attempts: Iterable[tuple[int, int, Sequence[FileFact]]], began_at: float) -> list[str]:
        """Put outputs back after attempts of a killed runner: job, number, and what the job's last success has left.

        Where nothing was noted of what they found (by an earlier program, or a power cut took it) those outputs stay that are as the last
        success left them, or older than the run, which began at `began_at` (seconds since the epoch). Where all outputs of a job are as
        the last success left them, they are whole and stay. Returns what is wrong, in words.
        """
        lines, settled, wrong = self._lines(), self._cleared_up(), []
        same_boot, notes = lines[:1] == [_boot()], _notes_of(lines)
        for job, number, left in attempts:
            if (job, number) in settled:  # by a later run, and others may have made these outputs since
                continue
            outputs = self._plan.spec(job).outputs
            kept = {fact.path: Found(fact) for fact in left}
            before = notes.get((job, number)) or [None] * len(outputs)
            if (job, number) not in notes and not same_boot:
                before = [self._older(path, began_at) or kept.get(path) for path in outputs]
            elif self.are_as(job, left):
                continue
            said = self._put_back(job, number, before, named=number, same_boot=same_boot)
            if said:
                wrong.append(f"{self._plan.name(job)}: {said}")
        self._drop_all()
        return wrong

    def are_as(self, job: int, left: Sequence[FileFact]) -> bool:
        """Whether all outputs of a job are as a success has left them."""
        kept = {fact.path: Found(fact) for fact in left}
        outputs = self._plan.spec(job).outputs
        return kept.keys() >= set(outputs) and all(self._is_as(path, kept[path]) for path in outputs)

    def settle(self, attempts: Sequence[tuple[int, int]]) -> None:
        """Note that these attempts of a killed runner were cleared up after, whoever resumes their run.

        Raises:
            JournalWriteError: that cannot be written.
        """
        path = Path(f"{self._run_dir}/{CLEARED_FILE}")
        try:
            replace_file(path, [msgspec.json.encode(attempts)])
        except OSError as error:
            hint = room_hint(error, ", then `joblot resume`")
            raise JournalWriteError(f"cannot write to `{path}`: {reason_of(error)}", hint=hint) from None
        with suppress(OSError):
            os.unlink(f"{self._run_dir}/{FOUND_FILE}")

    def _cleared_up(self) -> set[tuple[int, int]]:
        try:
            return set(
                msgspec.json.decode(read_own(Path(f"{self._run_dir}/{CLEARED_FILE}")), type=list[tuple[int, int]])
            )
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return set()

    def _is_as(self, path: str, old: Found) -> bool:
        now = self._found(path)
        return now is not None and self._untouched(path, msgspec.structs.replace(old, link=now.link), now)

    def _older(self, path: str, began_at: float) -> Found | None:
        found = self._found(path)
        return found if found is not None and found.fact.mtime_ns < began_at * 1e9 else None

    def _lines(self) -> list[bytes]:
        """The notes as they are in the file; nothing when there is none."""
        try:
            fd = os.open(f"{self._run_dir}/{FOUND_FILE}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
            with open(fd, "rb") as file:
                return file.read().split(b"\n")
        except OSError:
            return []

    def _put_back(
        self, job: int, number: int, before: Sequence[Found | None], *, named: int, same_boot: bool = True
    ) -> str:
        """Move aside what is not as it was found, then give the copies its names. Returns what is wrong, in words.

        A kill in between leaves the rest to the next one who does it: what has no copy any more was put back.
        """
        wrong: list[str] = []
        waiting, name_of_job = [], self._plan.name(job)
        for index, (path, old) in enumerate(zip(self._plan.spec(job).outputs, before, strict=True)):
            copy = self._copy_of(job, number, index, path) if old is not None and old.kept else ""
            try:
                target = self._cleared(path, old, copy, name_of_job, named, wrong, same_boot=same_boot)
            except (OSError, UntrustedError) as error:
                what = f"`{error.filename}`" if isinstance(error, OSError) else "outputs"
                wrong.append(f"cannot move {what} aside: {reason_of(error)}")
                # What was whole is worth more than what is half: it replaces that.
                target = str(target_of(Path(self._name(path)))) if copy and os.path.lexists(copy) else ""
            if target:
                waiting.append((target, path, copy))
        back = "\0"
        for target, path, copy in sorted(waiting):
            if target.startswith(back):  # in an output that came back as a whole
                continue
            from joblot.copies import put

            try:
                put(copy, target)
                back = f"{target}/"
                if self._is_forced:
                    force_to_disk(Path(target).parent)
            except OSError as error:
                where = self._kept_aside(copy, path, name_of_job, named)
                wrong.append(f"cannot put `{path}` back: {reason_of(error)}; what it was is `{where}`")
        if self._copier is not None:
            self._drop(job, number, before)
        return "; ".join(wrong[:_MOST_TOLD]) + (f"; and {more} more" if (more := len(wrong) - _MOST_TOLD) > 0 else "")

    def _kept_aside(self, copy: str, path: str, job: str, number: int) -> str:
        """Move a copy that does not get its name to where it is in nobody's way. Returns where it is then."""
        try:
            return self._move_aside(copy, f"{os.path.basename(path.rstrip('/'))}.before", job, number)
        except (OSError, UntrustedError):
            self._stuck.add(copy)
            return copy

    def _cleared(
        self,
        path: str,
        old: Found | None,
        copy: str,
        job: str,
        number: int,
        wrong: list[str],
        *,
        same_boot: bool,
    ) -> str:
        """Move an output aside that is not what was found. Returns where its copy goes; empty: nowhere. What is lost is added to `wrong`."""
        now = self._found(path)
        if now is not None and old is not None and self._untouched(path, old, now):
            if copy and os.path.lexists(copy):
                from joblot.copies import put_status

                put_status(copy, self._name(path))
            return ""
        name, absolute = os.path.basename(path.rstrip("/")), self._name(path)
        if old is not None and copy and not os.path.lexists(copy):
            if same_boot or (now is not None and _is_alike(now, old)):
                return ""  # it was put back
            copy = ""
        if old is not None and copy and not same_boot and not self._survived(copy, old.fact):
            if not old.fact.sha256:
                where = self._kept_aside(copy, path, job, number)
                wrong.append(f"nobody knows whether the copy of `{path}` is whole: it is `{where}`")
            copy = ""
        if old is not None and old.link and now is not None and now.link == old.link:
            # The attempt wrote through a link that it had found: that stays, and what it leads to goes. Unless it is a stranger's
            # link: nobody knows who changes what that leads to.
            absolute = str(target_of(Path(absolute)))
        if not _is_in_use(absolute, old):
            self._move_aside(absolute, name, job, number)
        there = os.path.lexists(absolute)
        if old is not None and not old.kept and old.fact.size != ABSENT and not there:
            wrong.append(f"no copy was kept of what `{path}` was")
        if old is None or not copy or there:
            return ""
        if old.link and (now is None or now.link != old.link):
            # The link goes back first: what it leads to may be as it was.
            os.makedirs(os.path.dirname(absolute), exist_ok=True)
            os.symlink(old.link, absolute)
            return self._cleared(path, old, copy, job, number, wrong, same_boot=same_boot)
        return absolute

    def _survived(self, copy: str, fact: FileFact) -> bool:
        """Whether a power cut has left a copy whole: by its contents, unless it was forced to disk before the attempt began."""
        return self._is_forced or (bool(fact.sha256) and content_hash(copy) == fact.sha256)

    def _untouched(self, path: str, old: Found, now: Found) -> bool:
        if old.link != now.link or (old.fact.size == ABSENT) != (now.fact.size == ABSENT):
            return False
        if now.fact.size == ABSENT:  # a link that led nowhere, and still does
            return True
        current = self.hashes.stamp(path)
        then = old.fact
        if current is None:
            return False
        if then.changed_ns and current == _stamp_of(then):
            return True
        return self.hashes.same_contents(path, then, current)

    def _name(self, path: str) -> str:
        """An output from the root, so that a link of that name is looked at and not what it leads to."""
        return self.hashes.absolute(path).rstrip("/")

    def _found(self, path: str) -> Found | None:
        """What stands under the name of an output; None: nothing, not even a link that leads nowhere."""
        absolute = self._name(path)
        try:
            status = os.lstat(absolute)
            link = os.readlink(absolute) if stat.S_ISLNK(status.st_mode) else ""
        except (OSError, ValueError):
            return None
        current: Stamp | None
        if stat.S_ISREG(status.st_mode):
            current = status.st_size, status.st_mtime_ns, status.st_ino, status.st_ctime_ns
        else:
            current = self.hashes.stamp(path)
        return Found(self.hashes.glance(path, current), link)

    def _check(self, outcome: Outcome, before: Sequence[Found | None]) -> None:
        outputs = self._plan.spec(outcome.job).outputs
        stamps = [self.hashes.stamp(path) for path in outputs]
        missing = [path for path, current in zip(outputs, stamps, strict=True) if current is None]
        if missing:
            and_more = f" (nor {len(missing) - 1} more)" if len(missing) > 1 else ""
            outcome.kind, outcome.reason, outcome.result = "error", "missing_output", b""
            outcome.message = f"declared output `{missing[0]}` was not made{and_more}"
            return
        if self._untouched_told <= _MOST_TOLD:
            self._doubt(outcome.job, before, stamps)
        self.hashes.take_over(outcome.looked)  # a worker may have read them: nothing is hashed twice
        facts = [self.hashes.fact(path, current) for path, current in zip(outputs, stamps, strict=True)]
        self.finished[outcome.job] = facts
        declared = {self.hashes.absolute(path) for path in outputs}
        others = [artifact for artifact in outcome.artifacts if self.hashes.absolute(artifact.path) not in declared]
        outcome.artifacts = (*(Artifact(fact.path, fact.size, fact.sha256) for fact in facts), *others)

    def _doubt(self, job: int, before: Sequence[Found | None], stamps: Sequence[Stamp | None]) -> None:
        """Note outputs that the attempt has left alone: it may have found them right, or have forgotten them, which nobody sees."""
        paths = zip(self._plan.spec(job).outputs, before, stamps, strict=True)
        same = [
            path for path, old, now in paths if old is not None and old.fact.changed_ns and now == _stamp_of(old.fact)
        ]
        if same:
            self._untouched_told += 1
            and_more = f" and {len(same) - 1} more" if len(same) > 1 else ""
            told = f"{self._plan.name(job)}: `{same[0]}`{and_more} was there before, and was not written"
            last = "other jobs have left outputs alone too: that is not told again"
            self.doubts.append(told if self._untouched_told <= _MOST_TOLD else last)

    def _move_aside(self, path: str, name: str, job: str, number: int) -> str:
        """Returns where to."""
        if self._run_dir is None:
            target = os.path.join(os.path.dirname(path), f".{name}.{number}.part")
        else:
            aside = f"{self._run_dir}/partial/{job}/{number}"
            make_own_folder(Path(aside), above=_ASIDE)
            target = _unused_path(os.path.join(aside, name))
        try:
            os.rename(path, target)
        except OSError as error:
            if error.errno != errno.EXDEV:  # on another file system it has to be copied
                raise
            import shutil

            shutil.move(path, target)
        return target


def _stamp_of(fact: FileFact) -> Stamp:
    return fact.size, fact.mtime_ns, fact.inode, fact.changed_ns


def _not_kept(path: str, error: OSError) -> JournalWriteError:
    return JournalWriteError(f"cannot keep a copy of `{path}`: {reason_of(error)}")


_decode_note: Final = msgspec.json.Decoder(_Note).decode


def _notes_of(lines: Iterable[bytes]) -> dict[tuple[int, int], list[Found | None]]:
    """What attempts found, by job and number."""
    notes = {}
    for line in lines:
        with suppress(msgspec.MsgspecError, UnicodeDecodeError):  # the boot, or a write that was cut short
            note = _decode_note(line)
            notes[note.job, note.number] = note.found
    return notes


def _boot() -> bytes:
    """What the kernel calls this boot; empty when it does not say. Notes of another one may lack what a power cut took."""
    try:
        with open("/proc/sys/kernel/random/boot_id", "rb") as file:
            return file.read().strip()
    except OSError:
        return b""


def _is_in_use(path: str, old: Found | None) -> bool:
    """Whether it is nothing that could be half made: a device, or a pipe or socket that was there before; or nothing at all."""
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    kind = stat.S_IFMT(status.st_mode)
    if kind in (stat.S_IFCHR, stat.S_IFBLK):
        return True
    if kind == stat.S_IFLNK:
        return old is not None and old.link == os.readlink(path)
    # A number may come again: what was kept was no pipe.
    return (
        kind in (stat.S_IFIFO, stat.S_IFSOCK) and old is not None and not old.kept and old.fact.inode == status.st_ino
    )


def _is_alike(now: Found, old: Found) -> bool:
    """Whether a copy that took its place again may be what is there: it has the size and the time of what it was made from."""
    return (now.fact.size, now.fact.mtime_ns) == (old.fact.size, old.fact.mtime_ns)


def _unused_path(path: str) -> str:
    """The path, with a number behind it when it exists: outputs of two folders may have the same name."""
    free, number = path, 2
    while os.path.lexists(free):
        free, number = f"{path}.{number}", number + 1
    return free
