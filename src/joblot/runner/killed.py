"""What runs that were killed have left under the names of their outputs, put back before a new run of the batch decides what is up to date.

It does what `resume` does first, for a run that nobody resumes. It decides nothing about how runs go.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

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

    from joblot.core.model import FileFact
    from joblot.core.plan import Plan
    from joblot.core.provenance import LastSuccess
    from joblot.journal.folder import StateFolder

ELSEWHERE_S: Final = 2.0
"""A worker ends the attempts of a runner that is gone within a tenth of a second of its scheduler's noticing."""


def killed_runs(folder: StateFolder, batch: str) -> list[str]:
    """The runs of batches of that name that have no end and may have left something."""
    folders = ((run_id, folder.run_folder(run_id).path) for run_id in folder.journal.open_runs(batch))
    return [run_id for run_id, path in folders if (path / FOUND_FILE).exists() or (path / KEPT).exists()]


def settle(folder: StateFolder, run_id: str, plan: Plan, warn: Callable[[str], None]) -> None:
    """End what lives of a killed run of the same batch as `plan`, and put back what its attempts had begun to change.

    A run that cannot be read takes no other with it: that is told, and nothing is touched.

    Raises:
        JournalWriteError: it was put back, and that cannot be noted.
    """
    from joblot.cluster.session import read
    from joblot.executors.processes import sweep

    try:
        old = stored_plan(stored_config(sound_plan(folder.journal, run_id), run_id), run_id)
        key = batch_key(old)
        if key != batch_key(plan):
            return
        hold = folder.hold(run_id)
    except RunHeldError:
        return  # it lives
    except StateError as error:
        warn(f"{error.message}; {error.hint}" if error.hint else error.message)
        return
    try:
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
    except JournalWriteError:
        raise  # what is not noted would be put back once more by a resume, over what others have made since
    except StateError as error:
        warn(f"{error.message}; {error.hint}" if error.hint else error.message)
    finally:
        hold.release()


def _settle_attempts(
    state: RunState, run_dir: Path, began_at: float, made: dict[str, LastSuccess], warn: Callable[[str], None]
) -> None:
    hashes = Hashes(state.plan.config.folder, [shared_folder(), run_dir.parents[1]])
    watch, attempts = OutputWatch(state.plan, run_dir, hashes), open_attempts(state, made)
    for wrong in watch.clear_after_crash(attempts, began_at):
        warn(wrong)
    if attempts:
        warn(f"run `{run_dir.name}` was killed and not resumed: what it was making is as it was before")
    watch.settle([(job, number) for job, number, _ in attempts])


def open_attempts(state: RunState, made: Mapping[str, LastSuccess]) -> list[tuple[int, int, list[FileFact]]]:
    """The attempts of jobs with outputs whose ends nobody saw: job, number, and what the job's last success left."""
    plan, found = state.plan, []
    for job, now in enumerate(state.states):
        if now == RUNNING and job not in plan.growing and (spec := plan.spec(job)).outputs:
            found.append((job, state.attempts[job], files_of(made.get(spec.name)).outputs))
    return found
