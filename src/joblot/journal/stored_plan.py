"""The plan of a run as the journal keeps it, read back. No module of a batch is imported, but by `runnable_plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from joblot.core.events import RunStarted
from joblot.core.model import Config
from joblot.core.plan import Plan, expand
from joblot.digest import blake2b
from joblot.errors import ConfigError, JournalDamagedError, StateError, why_unreadable
from joblot.journal.codec import NOT_JSON

if TYPE_CHECKING:
    from collections.abc import Callable

    from joblot.journal.sqlite import SqliteJournal


def sound_plan(journal: SqliteJournal, run_id: str) -> bytes:
    """What the journal keeps of the plan of a run; empty for a run that a program recorded.

    Raises:
        JournalDamagedError: it is not the one that the run began with.
    """
    stored = journal.plan(run_id)
    first = next(journal.records(run_id), None)
    started = first.events[0] if first is not None and first.events else None
    fingerprint = started.fingerprint if isinstance(started, RunStarted) else ""
    if fingerprint and blake2b(stored, digest_size=16).hexdigest() != fingerprint:
        raise JournalDamagedError(
            f"journal `{journal.path}` is damaged: the plan of run `{run_id}` is not the one that it began with",
            hint=f"`joblot recover {run_id}` takes it from the run's own `plan.json`",
        )
    return stored


def stored_config(stored: bytes, run_id: str, batch: str = "") -> Config:
    """The batch of a run, from what the journal keeps; one without jobs, called `batch`, for a run that a program recorded.

    Raises:
        JournalDamagedError: it cannot be read.
    """
    if not stored:
        return Config(name=batch, folder="/")
    from joblot.config.load import decode

    try:
        return decode(stored)
    except NOT_JSON as error:
        raise _unreadable(run_id, why_unreadable(error)) from None


def stored_plan(config: Config, run_id: str) -> Plan:
    """The plan of a stored batch.

    Raises:
        JournalDamagedError: it is none that joblot makes.
    """
    try:
        return expand(config)
    except ConfigError as error:
        raise _unreadable(run_id, error.message) from None
    except (ValueError, TypeError, LookupError):
        # Only the types of its fields are known to be right. What a batch file is checked for, nobody has looked at here.
        raise _unreadable(run_id, "it is no plan that joblot makes") from None


def runnable_plan(
    stored: bytes, run_id: str, *, refuse: Callable[[str, str], None] = lambda _folder, _run_id: None
) -> Plan:
    """The plan of a run that is to go on, once the modules that register its actions are imported.

    `refuse` is called before that with the batch's folder and the run's id.

    Raises:
        StateError: it has jobs that are Python functions, which only their own program has, or it cannot be read.
    """
    if not stored:
        raise StateError(f"run `{run_id}` has no jobs: a program recorded it, and went on by itself")
    config = stored_config(stored, run_id)
    if any(spec.function is not None for spec in config.jobs):
        raise StateError(
            f"run `{run_id}` was made by a Python program, which alone has its functions",
            hint="there: `batch.run(resume=...)`",
        )
    refuse(config.folder, run_id)
    if config.imports:
        from joblot.actions.registry import import_modules

        import_modules(list(config.imports), config.folder)
    return stored_plan(config, run_id)


def _unreadable(run_id: str, why: str) -> JournalDamagedError:
    return JournalDamagedError(
        f"the plan of run `{run_id}` cannot be read: {why}",
        hint=f"`joblot recover {run_id}` looks for a copy that can; the other runs are not concerned",
    )
