"""Which jobs need not run, because what they make is there and nothing that it was made from has changed.

A job is up to date when its parts, the contents of what it reads and the contents of what it made are those of its last success. The run's
state asks about ready jobs, so what the needs of a job made is looked at after they have made it.

It knows files, what jobs are made of and the store of last successes; it does not know how runs go.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from joblot.actions.registry import ACTIONS, UnseenError
from joblot.core.provenance import (
    Change,
    Files,
    LastSuccess,
    always_runs,
    changes,
    decoded_files,
    encoded,
    parts_of,
    paths_read,
)
from joblot.errors import JoblotError, UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from joblot.config.env_files import EnvFiles
    from joblot.core.model import FileFact, JobSpec
    from joblot.core.plan import Plan
    from joblot.journal import Journal
    from joblot.outputs import Hashes, Key, Stamp

    Seen = dict[Key, Stamp | None]
    """Glances at files that need not be taken twice."""

LASTING_ID: Final = "${{ run.id }}"
"""Stands for the run's id in what is compared: another run is no reason to run a job again."""
_KEEP_AT: Final = 512
_NONE_SET: Final[Mapping[str, str]] = {}
_NO_FILES: Final = Files([], [])


class Verdict(Struct, frozen=True):
    """Whether a job is to run, and why or why not: one line, and the changes that it speaks of."""

    to_run: bool
    why: str
    changes: tuple[Change, ...] = ()


UP_TO_DATE: Final = Verdict(False, "up to date")
NEW: Final = Verdict(True, "new")
FAILED_LAST_TIME: Final = Verdict(True, "failed last time")
NOT_SELECTED: Final = Verdict(False, "not selected")


def batch_key(plan: Plan) -> str:
    """What the successes of a batch are kept under: its folder, links followed, and its name."""
    return f"{os.path.realpath(plan.config.folder)}/{plan.config.name}"


def matching(plan: Plan, patterns: Iterable[str]) -> frozenset[int]:
    """The jobs that are named, or whose names match.

    Raises:
        UsageError: a name or pattern stands for no job.
    """
    matched: set[int] = set()
    for pattern in patterns:
        jobs = plan.match(pattern)
        if not jobs:
            names = map(plan.name, range(len(plan)))
            raise UsageError(f"no job is called `{pattern}`", hint=did_you_mean(pattern, names))
        matched.update(jobs)
    return frozenset(matched)


class Judge:
    """Judges the jobs of one plan. `kept` is what the store has of them, `forced` are those that run whatever is there.

    `values` fills in the references of a job, in a way that does not differ from run to run.
    """

    def __init__(
        self,
        plan: Plan,
        kept: Mapping[str, LastSuccess],
        hashes: Hashes,
        values: Callable[[int], dict[str, Any]],
        *,
        forced: Collection[int] = (),
        env_files: EnvFiles | None = None,
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._plan = plan
        self._env_files = env_files
        self._batch = batch_key(plan)
        self._values = values
        self._kept = kept
        self._hashes = hashes
        self._forced = forced
        self._codes: dict[str, tuple[str, frozenset[str]]] = {}
        self._functions: dict[int, str | UnseenError] = {}
        self._warn = warn
        self._told: set[int] = set()
        self._begun: dict[int, tuple[bytes, list[FileFact]]] = {}
        self._fresh: list[LastSuccess] = []
        self._unnoted: list[LastSuccess] = []

    def up_to_date(self, jobs: Iterable[int]) -> dict[int, bytes]:
        """Those of the jobs that are up to date, with what they resulted in.

        What is found out about the others is kept until they have made what they make.
        """
        seen: Seen = {}
        results = {}
        for job in jobs:
            if self.verdict(job, seen) is UP_TO_DATE:
                results[job] = self._kept[self._plan.name(job)].result
        return results

    def verdict(self, job: int, seen: Seen, awaited: str = "") -> Verdict:
        """Whether one job is up to date. `seen` keeps glances at files; `awaited` names a need that will run and may change what is read."""
        spec = self._plan.spec(job)
        always = always_runs(spec)
        if always:
            return Verdict(to_run=True, why=always)
        if awaited and spec.deferred:
            return Verdict(to_run=True, why=f"need will run: {awaited}")
        try:
            filled = self._values(job) if spec.deferred else None
        except (JoblotError, ValueError):
            return NEW  # the attempt says what is wrong
        try:
            code, tuning = self._code(spec)
        except UnseenError as unseen:
            return self._uncomparable(spec, str(unseen))
        parts = encoded(parts_of(self._plan, job, code, filled, tuning, self._set_by_files(spec)))
        read = paths_read(self._plan, job, filled.get("input") if filled is not None else spec.input)
        last = self._kept.get(spec.name)
        files = files_of(last)
        verdict = self._compare(job, last, parts, read, files, seen, awaited)
        if verdict is not UP_TO_DATE:
            for fact in files.inputs:
                self._hashes.learn(self._key(fact.path, spec.outputs, seen), fact)
            for fact in files.outputs:
                self._hashes.learn(fact.path, fact)
            self._begun[job] = (parts, [self._fact(self._key(path, spec.outputs, seen), seen) for path in read])
        return verdict

    def _set_by_files(self, spec: JobSpec) -> Mapping[str, str]:
        return self._env_files.set_for(spec) if self._env_files is not None else _NONE_SET

    def _compare(
        self,
        job: int,
        last: LastSuccess | None,
        parts: bytes,
        read: list[str],
        files: Files,
        seen: Seen,
        awaited: str,
    ) -> Verdict:
        # The cheapest question first: contents are hashed only of files whose size and time do not answer.
        if job in self._forced:
            return Verdict(to_run=True, why="forced")
        if last is None or not is_json(last.result):
            return NEW
        if files.failed:  # what it had made was put back, and would look up to date
            return FAILED_LAST_TIME
        if parts != last.parts:
            changed = changes(last.parts, parts)
            if changed:
                return Verdict(to_run=True, why="changed: " + ", ".join(map(str, changed)), changes=tuple(changed))
        why, touched = self._differing("output", files.outputs, seen)
        if not why and awaited:
            why = f"need will run: {awaited}"
        if not why:
            own = self._plan.spec(job).outputs
            why, touched_too = self._inputs_differ(read, files, seen, own)
            touched = touched or touched_too
        if why:
            return Verdict(to_run=True, why=why)
        if touched:
            self._refresh(last, files, seen, own)
        return UP_TO_DATE

    def _inputs_differ(self, read: list[str], files: Files, seen: Seen, own: Sequence[str]) -> tuple[str, bool]:
        inputs = files.inputs
        # The same files in another order are no change.
        if read != [fact.path for fact in inputs]:
            known = {fact.path for fact in inputs}
            added = next((path for path in read if path not in known), None)
            gone = next((fact.path for fact in inputs if fact.path not in read), None)
            if added is not None or gone is not None:
                return f"input added: {added}" if added is not None else f"input removed: {gone}", False
        return self._differing("input", inputs, seen, own)

    def _differing(self, what: str, facts: list[FileFact], seen: Seen, own: Sequence[str] = ()) -> tuple[str, bool]:
        """The first of these files that is not as it was, in words, and whether the stamp of any is new or no proof, with the contents the same."""
        touched, folders = False, self._hashes.folders
        for fact in facts:
            key: Key = fact.path
            now = seen[key] if key in seen else self._look(key, seen)
            if own and key in folders:
                key = self._key(fact.path, own, seen)
                now = self._look(key, seen)
            if now is None:
                return f"{what} missing: {fact.path}", touched
            # The change time first: hardly anything leaves it as it was.
            if now[3] != fact.changed_ns or now[2] != fact.inode or now[1] != fact.mtime_ns or now[0] != fact.size:
                if not self._hashes.same_contents(key, fact, now):
                    return f"{what} changed: {fact.path}", touched
                touched = True
        return "", touched

    def _key(self, path: str, own: Sequence[str], seen: Seen) -> Key:
        """What to look at where a job that makes `own` reads a path."""
        self._look(path, seen)
        return self._hashes.key(path, own) if path in self._hashes.folders else path

    def _look(self, key: Key, seen: Seen) -> Stamp | None:
        if key not in seen:
            seen[key] = self._hashes.stamp(key)
        return seen[key]

    def _fact(self, key: Key, seen: Seen) -> FileFact:
        return self._hashes.fact(key, self._look(key, seen))

    def _refresh(self, last: LastSuccess, files: Files, seen: Seen, own: Sequence[str]) -> None:
        """Keep the new stamps of files whose contents are the same, or they would be read again every time."""
        for fact in files.inputs:
            self._hashes.learn(self._key(fact.path, own, seen), fact)
        for fact in files.outputs:
            self._hashes.learn(fact.path, fact)
        fresh = Files(
            [self._fact(self._key(fact.path, own, seen), seen) for fact in files.inputs],
            [self._fact(fact.path, seen) for fact in files.outputs],
        )
        self._fresh.append(msgspec.structs.replace(last, files=encoded(fresh)))

    def made_at(self, job: int) -> float:
        """When what a job makes was made last, as far as it is kept: seconds since the epoch."""
        last = self._kept.get(self._plan.name(job))
        return last.at if last is not None else 0.0

    def _code(self, spec: JobSpec) -> tuple[str, frozenset[str]]:
        """What stands for the code of a job's action or function, and which of its parameters change nothing.

        Raises:
            UnseenError: its function uses what cannot be compared.
        """
        function = spec.function
        if function is not None:
            known = self._functions.get(id(function))
            if known is None:
                known = self._functions[id(function)] = _code_of_function(function)
            if isinstance(known, UnseenError):
                raise known
            return known, frozenset()
        name = spec.action
        if name is None:
            return "", frozenset()
        if name not in self._codes:
            known_action = ACTIONS.signature(name) is not None
            self._codes[name] = code_of(name), ACTIONS[name].tuning if known_action else frozenset()
        return self._codes[name]

    def _uncomparable(self, spec: JobSpec, what: str) -> Verdict:
        why = f"its function uses {what}, which joblot cannot compare"
        if spec.cache and id(spec.function) not in self._told:
            self._told.add(id(spec.function))
            self._warn(f"{spec.name}: runs each time: {why}")
        return Verdict(to_run=True, why=why)

    # --- last successes -----------------------------------------------------------------------------

    def record_success(self, job: int, outputs: list[FileFact], result: bytes, run: str, at: float) -> None:
        """A job that was judged has succeeded, and made its outputs."""
        begun = self._begun.pop(job, None)
        if begun is not None:
            parts, inputs = begun
            success = LastSuccess(self._plan.name(job), parts, encoded(Files(inputs, outputs)), result, run, at)
            self._fresh.append(success)
            self._unnoted.append(success)

    def record_failure(self, job: int) -> None:
        """The last attempt of a job has failed: it runs again, though what it had made before was put back."""
        self._begun.pop(job, None)
        last = self._kept.get(self._plan.name(job))
        files = files_of(last)
        if last is not None and files is not _NO_FILES and not files.failed:
            failed = msgspec.structs.replace(last, files=encoded(msgspec.structs.replace(files, failed=True)))
            self._fresh.append(failed)
            self._unnoted.append(failed)

    def accept(self, job: int, at: float) -> None:
        """Take what is there for what the job makes now.

        Raises:
            UsageError: it declares no outputs, or one of its files is not there.
            JoblotError: a reference leads nowhere.
        """
        spec = self._plan.spec(job)
        seen: Seen = {}
        always = always_runs(spec)
        if always:
            raise UsageError(f"there is nothing to accept of job `{spec.name}`: {always}")
        if spec.deferred:
            self._values(job)
        self.verdict(job, seen)
        old = self._kept.get(spec.name)
        if job not in self._begun:  # `verdict` found it up to date: only the time is new
            assert old is not None
            self._fresh.append(msgspec.structs.replace(old, at=at))
            return
        outputs = [self._fact(path, seen) for path in spec.outputs]
        # A missing input is refused too: the next look would find it missing, and run the job all the same.
        for what, facts in (("output", outputs), ("input", self._begun[job][1])):
            gone = next((fact.path for fact in facts if fact.size < 0), None)
            if gone is not None:
                raise UsageError(
                    f"cannot accept job `{spec.name}`: {what} `{gone}` does not exist", hint="`joblot run` makes it"
                )
        self.record_success(job, outputs, old.result if old else b"", old.run if old else "", at)

    def note(self, store: Journal) -> None:
        """Have successes that are not kept yet survive a kill."""
        if self._unnoted:
            store.note_last_successes(self._batch, self._unnoted)
            self._unnoted = []

    def keep(self, store: Journal, *, all: bool = True) -> None:
        """Hand over what is new; with `all=False` only when it has become much."""
        if self._fresh and (all or len(self._fresh) >= _KEEP_AT):
            store.save_last_successes(self._batch, self._fresh)
            self._fresh = []

    # --- looking ahead ------------------------------------------------------------------------------

    def forecast(self, left_out: Collection[int] = ()) -> list[Verdict]:
        """The verdicts on all jobs, as they look before anything has run. What is left out does not run."""
        plan = self._plan
        seen: Seen = {}
        verdicts: dict[int, Verdict] = {}
        for tier in plan.tiers:
            for job in tier:
                awaited = "" if job in left_out else self._awaited(job, verdicts)
                verdicts[job] = NOT_SELECTED if job in left_out else self.verdict(job, seen, awaited)
        return [verdicts[job] for job in range(len(plan))]

    def _awaited(self, job: int, verdicts: Mapping[int, Verdict]) -> str:
        """A need that will run and whose files or result this job uses."""
        plan = self._plan
        for need in plan.needs[job]:
            if (
                need not in plan.growing
                and verdicts[need].to_run
                and (plan.spec(need).outputs or (plan.spec(job).deferred and need in plan.referenced_results))
            ):
                return plan.name(need)
        return ""


def files_of(last: LastSuccess | None) -> Files:
    """The files around a last success; none when there is none, or it cannot be read."""
    if last is None:
        return _NO_FILES
    try:
        return decoded_files(last.files)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _NO_FILES


def is_json(result: bytes) -> bool:
    """Whether a result can go into the journal as it is: what was kept may have been damaged."""
    if not result:
        return True
    try:
        msgspec.json.decode(result)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    return True


def code_of(name: str) -> str:
    """What stands for the code of an action: its version, and a hash of what it is made of (of joblot's own: joblot's version).

    That is its function with what this names, as `code_digest` says, or the whole file that defines it, with those of what this imports,
    where that cannot be compared.
    """
    from joblot.version import __version__

    signature = ACTIONS.signature(name)
    if signature is None:
        return ""
    action = ACTIONS[name]
    if action.origin.startswith("joblot."):
        return f"{action.version} joblot {__version__}"
    from joblot.actions.code import code_digest, file_digest

    functions = [action.function] if action.fused is None else [action.function, action.fused]
    try:
        return f"{action.version} {code_digest(*functions)}"
    except UnseenError:
        module = sys.modules.get(getattr(action.function, "__module__", ""))
        return (
            f"{action.version} file {file_digest(_source(action.function), getattr(module, '__package__', None) or '')}"
        )


def _code_of_function(function: Any) -> str | UnseenError:
    from joblot.actions.code import code_digest

    try:
        return code_digest(function)
    except UnseenError as unseen:
        return unseen


def _source(function: Any) -> str:
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    code = getattr(function, "__code__", None)
    if code is not None:
        return str(code.co_filename)
    module = sys.modules.get(getattr(function, "__module__", None) or type(function).__module__)
    return str(getattr(module, "__file__", "") or "")
