"""What runs that were killed have left under the names of their outputs, put back before a new run decides what is up to date.

It does what `resume` does first, for a run that nobody resumes, of any batch in the same folder: a new run may read what another batch
makes, and a batch may have another name or other outputs since. It decides nothing about how runs go.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from joblot.core.limits import Limits
from joblot.core.model import RUNNING
from joblot.core.runstate import RunState
from joblot.errors import JournalWriteError, RunHeldError, StateError
from joblot.journal.place import shared_folder
from joblot.journal.stored_plan import sound_plan, stored_config, stored_plan
from joblot.outputs import FOUND_FILE, KEPT, Hashes, OutputWatch
from joblot.runner.uptodate import batch_key, files_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from joblot.core.model import Config, FileFact
    from joblot.core.plan import Plan
    from joblot.core.provenance import LastSuccess
    from joblot.journal.claims import Claims
    from joblot.journal.folder import StateFolder

ELSEWHERE_S: Final = 2.0
"""A worker ends the attempts of a runner that is gone within a tenth of a second of its scheduler's noticing."""


def killed_runs(folder: StateFolder, config: Config) -> list[str]:
    """The runs that were killed and may have left something, of batches that may be of this one's folder, or were moved."""
    found = []
    for run_id, batch, source in folder.journal.open_runs():
        path = folder.run_folder(run_id).path
        may_be = batch == config.name or not source or _is_beside(source, config.folder)
        if may_be and ((path / FOUND_FILE).exists() or (path / KEPT).exists()) and not folder.is_held(run_id):
            found.append(run_id)
    return found


def _is_beside(source: str, folder: str) -> bool:
    """Whether a batch's source, a file or for several the folder itself, is in that folder, or the source's own folder is gone."""
    around = os.path.split(source)[0]
    return os.path.realpath(folder) in map(os.path.realpath, (source, around)) or not _is_folder(around)


def _is_folder(path: str) -> bool:
    return os.path.isdir(path)  # noqa: PTH112 - `Path` costs more, and raises where a name is too long


def settle(
    folder: StateFolder, run_id: str, config: Config, warn: Callable[[str], None], claims: Claims | None = None
) -> None:
    """End what lives of a killed run of a batch in this one's folder, and put back what its attempts had begun to change.

    `claims` are those of who asks. A run that cannot be read takes no other with it: that is told, and nothing is touched. Nor is
    anything that another run makes now.

    Raises:
        JournalWriteError: it was put back, and that cannot be noted.
    """
    from joblot.cluster.session import read
    from joblot.executors.processes import sweep

    hold = claimed = None
    try:
        begun = stored_config(sound_plan(folder.journal, run_id), run_id)
        old = stored_plan(begun, run_id)
        key = batch_key(old)
        if _has_moved_along(folder, begun, config):
            old = stored_plan(_moved(begun, os.path.realpath(config.folder)), run_id)
        if os.path.realpath(old.config.folder) != os.path.realpath(config.folder):
            return
        claimed = _claimed(folder, run_id, old, claims)
        hold = folder.hold(run_id)
        run_dir = hold.folder.path
        sweep(str(run_dir))
        noted = read(run_dir)
        if noted is not None and noted.open:
            time.sleep(ELSEWHERE_S)
        state = RunState(old, Limits())
        began_at = 0.0
        for record in folder.journal.records(run_id):
            began_at = began_at or record.at
            for event in record.events:
                state.apply(event)
        _settle_attempts(state, run_dir, began_at, folder.journal.last_successes(key), warn)
    except RunHeldError:
        pass  # it lives, or another run makes the same, and has put it back
    except JournalWriteError:
        raise  # what is not noted would be put back once more by a resume, over what others have made since
    except StateError as error:
        warn(f"{error.message}; {error.hint}" if error.hint else error.message)
    finally:
        if hold is not None:
            hold.release()
        if claimed is not None:
            claimed.close()


def _claimed(folder: StateFolder, run_id: str, old: Plan, claims: Claims | None) -> Claims:
    """Claim what a killed run was making, beside what who asks has claimed: its batch may make other files since.

    Raises:
        RunHeldError: another run makes some of it.
    """
    from joblot.journal.claims import Claims

    config = old.config
    claimed = Claims(run_id, batch=config.name, folder=config.folder, state=folder.path, beside=claims)
    try:
        claimed.take(old.makings())
        claimed.take_in_state()
    except BaseException:
        claimed.close()
        raise
    return claimed


def _has_moved_along(folder: StateFolder, begun: Config, config: Config) -> bool:
    """Whether the folder of a batch was moved since, with the state folder in it."""
    around = os.path.split(os.path.realpath(folder.path))[0]
    return not _is_folder(begun.folder) and around == os.path.realpath(config.folder)


def _moved(config: Config, folder: str) -> Config:
    """A batch in another folder than it was in, as far as it tells what was made there."""

    def there(path: str) -> str:
        below = path.removeprefix(f"{config.folder}/")
        return path if below == path else f"{folder}/{below}"

    jobs = [replace(spec, outputs=tuple(map(there, spec.outputs))) for spec in config.jobs]
    return replace(config, folder=folder, jobs=jobs)


def _settle_attempts(
    state: RunState, run_dir: Path, began_at: float, made: dict[str, LastSuccess], warn: Callable[[str], None]
) -> None:
    hashes = Hashes(state.plan.config.folder, [shared_folder(), run_dir.parents[1]], state.plan.is_made)
    watch, attempts = OutputWatch(state.plan, run_dir, hashes), open_attempts(state, made)
    for wrong in watch.clear_after_crash(attempts, began_at):
        warn(wrong)
    if attempts:
        told = f"run `{run_dir.name}` was killed and not resumed: what it was making is as it was before"
        aside = any(_has(run_dir, state.plan.name(job), number) for job, number, _ in attempts)
        warn(f"{told}; what stood there is in `{run_dir}/partial`" if aside else told)
    watch.settle([(job, number) for job, number, _ in attempts])


def _has(run_dir: Path, job: str, number: int) -> bool:
    return _is_folder(f"{run_dir}/partial/{job}/{number}")


def open_attempts(state: RunState, made: Mapping[str, LastSuccess]) -> list[tuple[int, int, list[FileFact]]]:
    """The attempts of jobs with outputs whose ends nobody saw: job, number, and what the job's last success left."""
    plan, found = state.plan, []
    for job, now in enumerate(state.states):
        if now == RUNNING and job not in plan.growing and (spec := plan.spec(job)).outputs:
            found.append((job, state.attempts[job], files_of(made.get(spec.name)).outputs))
    return found
