"""A run that continues an earlier one with another plan: what is read of the earlier one, and which of its jobs are carried over.

A retry takes the batch as it is now. Where that is as it was the same run goes on; else a new run begins, which continues the first.
It knows the journal and what jobs are made of; which jobs may be carried over is decided by `core.carryover`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from joblot.actions.registry import ACTIONS
from joblot.core.carryover import CarryOver, Past
from joblot.core.plan import encoded as encoded_config
from joblot.core.provenance import changes, encoded, parts_of
from joblot.errors import JoblotError, StateError
from joblot.files import replace_file
from joblot.journal.stored_plan import sound_plan, stored_config, stored_plan
from joblot.runner.uptodate import LASTING_ID
from joblot.runner.values import Values

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from joblot.core import events as ev
    from joblot.core.model import Config
    from joblot.core.plan import Plan
    from joblot.core.provenance import Parts
    from joblot.core.runstate import RunState
    from joblot.journal.folder import RunFolder, StateFolder
    from joblot.journal.sqlite import SqliteJournal
    from joblot.runner.uptodate import Judge


def read_past(journal: SqliteJournal, run_id: str) -> Past:
    """What came of a run.

    Raises:
        JournalDamagedError: it cannot be read.
        StateError: it is there no more.
    """
    if journal.info(run_id) is None:
        message = f"run `{run_id}`, which is continued here, was cleared up: nobody knows what was done in it"
        raise StateError(message, hint="`joblot run` begins a new one")
    plan = stored_plan(stored_config(sound_plan(journal, run_id), run_id), run_id)
    past = Past(plan, bytearray(len(plan)))
    for record in journal.records(run_id):
        past.apply(record)
    return past


def is_same(config: Config, begun: Config) -> bool:
    """Whether a batch as it is now does what it did when a run of it began: where things stand in its file does not count."""
    if not begun.rules:  # of an earlier program: by the rules of then
        config = replace(config, rules=0, jobs=[replace(spec, needs_none=False) for spec in config.jobs])
    return _without_places(config) == _without_places(begun)


def _without_places(config: Config) -> bytes:
    from joblot.config.load import decode

    # Read back, as the other one was: defaults are left out then, and functions stand as their names.
    config = decode(encoded_config(config))
    files = dict.fromkeys(config.files, "")
    return encoded_config(
        replace(config, digest="", files=files, schedule=None, jobs=[replace(spec, place=None) for spec in config.jobs])
    )


def changed_files(config: Config) -> list[str]:
    """The files of a batch that are not what they were; one that cannot be read now is not what it was either."""
    digests = config.files or {config.source: config.digest}
    return [path for path, digest in digests.items() if _has_changed(path, digest)]


def _has_changed(source: str, digest: str) -> bool:
    """Whether a batch file is not what it was; one that cannot be read now is not what it was either."""
    if not source or not digest:
        return False
    from joblot.config.source import read_bytes
    from joblot.digest import blake2b
    from joblot.errors import ConfigError

    try:
        return blake2b(read_bytes(source), digest_size=len(digest) // 2).hexdigest() != digest
    except ConfigError:
        return True


def as_it_was_hint(hint: str, run_id: str, what: str = "") -> str:
    """A hint, with the way out where what a run was begun with does not fit its batch any more."""
    begin = f"{hint} " if hint.endswith("?") else f"{hint}; " if hint else ""
    between = f"{what}; " if what else ""
    return f"{begin}{between}`joblot retry {run_id} --as-it-was` goes on with the batch as it was"


# --- one run is continued once --------------------------------------------------------------------


def refuse_continued(folder: StateFolder, run_id: str) -> None:
    """Make sure that no other run continues this one.

    Raises:
        StateError: one does; the last of those that follow each other is named.
    """
    last, following = run_id, _continued_by(folder, run_id)
    while following:
        last, following = following, _continued_by(folder, following)
    if last != run_id:
        raise StateError(f"run `{run_id}` was continued by run `{last}`", hint=f"`joblot retry {last}`")


def _continued_by(folder: StateFolder, run_id: str) -> str:
    other = folder.run_folder(run_id).continued_by
    # Whoever was killed before there was the new run has left the mark only.
    return other if other != run_id and folder.journal.info(other) is not None else ""


def mark_continued(folder: RunFolder, run_id: str) -> None:
    """Write down, for a run that is held, which run continues it."""
    replace_file(folder.mark, [msgspec.json.encode(run_id)])


# --- carrying over --------------------------------------------------------------------------------


class Continuing:
    """What is carried over in one run. `warn` is told of jobs that may run only once, did so, and would have run again."""

    def __init__(
        self,
        plan: Plan,
        state: RunState,
        past: Past,
        *,
        judge: Judge | None,
        forced: Collection[str],
        warn: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self._past = past
        self._now = Values(plan, state, LASTING_ID)
        self._then = Values(past.plan, past, LASTING_ID)
        self._warn = warn

        def was_made_since(job: int) -> bool:
            return judge is not None and judge.made_at(job) > past.ended_at

        self._carry = CarryOver(plan, past, differs=self._differs, was_made_since=was_made_since, forced=forced)

    def apply(self, events: Iterable[ev.AnyEvent]) -> None:
        """Take in events of the run; to do so twice changes nothing."""
        self._carry.apply(events)

    def carried(self, jobs: Iterable[int]) -> dict[int, bytes]:
        """Those of the ready jobs that are carried over, with their results as JSON."""
        carried, kept = self._carry.carried(jobs)
        for job, why in kept.items():
            name = self._plan.name(job)
            self._warn(
                f"{name}: kept as it is, because it may run only once and did ({why}); `--job {name}` runs it again"
            )
        return carried

    def _differs(self, job: int, old: int) -> str:
        try:
            then, now = _parts(self._past.plan, old, self._then), _parts(self._plan, job, self._now)
        except (JoblotError, ValueError, RecursionError):
            return "what it takes in is not known"
        changed = changes(encoded(then), encoded(now))
        return "changed: " + ", ".join(map(str, changed)) if changed else ""


def _parts(plan: Plan, job: int, values: Values) -> Parts:
    """The parts of a job, but for the code of its action, of which nothing was kept."""
    spec = plan.spec(job)
    filled: dict[str, Any] | None = values.of(job) if spec.deferred else None
    known = spec.action is not None and ACTIONS.signature(spec.action) is not None
    return parts_of(plan, job, "", filled, ACTIONS[spec.action].tuning if known and spec.action else ())
