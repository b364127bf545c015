"""The plan of a run as the journal keeps it, read back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from joblot.core.events import RunStarted
from joblot.core.plan import Plan, expand
from joblot.digest import blake2b
from joblot.errors import JournalDamagedError, StateError

if TYPE_CHECKING:
    from joblot.journal.folder import StateFolder


def sound_plan(folder: StateFolder, run_id: str) -> bytes:
    """The plan of a run as the journal keeps it.

    Raises:
        JournalDamagedError: it is not the one that the run began with.
    """
    stored = folder.journal.plan(run_id)
    first = next(folder.journal.records(run_id), None)
    started = first.events[0] if first is not None else None
    wanted = started.fingerprint if isinstance(started, RunStarted) else ""
    if wanted and blake2b(stored, digest_size=16).hexdigest() != wanted:
        raise JournalDamagedError(
            f"journal `{folder.journal.path}` is damaged: the plan of run `{run_id}` is not the one that it began with",
            hint=f"`joblot recover {run_id}` takes it from the run's own `plan.json`",
        )
    return stored


def stored_plan(stored: bytes, run_id: str) -> Plan:
    """The plan of a run, from what the journal keeps.

    Raises:
        StateError: it has jobs that are Python functions, which only their own program has, or it cannot be read.
    """
    from joblot.config.load import decode

    if not stored:
        raise StateError(f"run `{run_id}` has no jobs: a program recorded it, and went on by itself")
    try:
        config = decode(stored)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise JournalDamagedError(f"the plan of run `{run_id}` cannot be read: {error}") from None
    if any(spec.function is not None for spec in config.jobs):
        raise StateError(
            f"run `{run_id}` was made by a Python program, which alone has its functions",
            hint="there: `batch.run(resume=...)`",
        )
    if config.imports:
        from joblot.actions.registry import import_modules

        import_modules(list(config.imports))
    return expand(config)
