"""What a plan would do with what is there: the verdict on each job, from the state folder, which is read only."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from joblot.config.load import env_files_of
from joblot.core.limits import Limits
from joblot.core.provenance import always_runs
from joblot.core.runstate import RunState
from joblot.errors import StateError
from joblot.journal.folder import past_runs
from joblot.journal.place import shared_folder
from joblot.outputs import Hashes
from joblot.runner.options import reports_of
from joblot.runner.uptodate import LASTING_ID, NEW, Judge, Verdict, batch_key, matching
from joblot.runner.values import Values

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from joblot.core.plan import Plan
    from joblot.core.provenance import LastSuccess


def verdicts_on(
    plan: Plan, state: str | None, force: Sequence[str] = (), left_out: Collection[int] = ()
) -> list[Verdict]:
    """Of each job, whether it is up to date, and why or why not. What is left out is taken as it is.

    Raises:
        UsageError: `force` names a job that is not there.
    """
    matching(plan, force)
    last_successes, folder = _last_successes(plan, state)
    if last_successes is None:
        return [NEW] * len(plan)
    if not any(spec.outputs for spec in plan.config.jobs):
        return [Verdict(to_run=True, why=always_runs(spec)) for spec in plan.declarations]
    return judge_of(plan, last_successes, folder, force).forecast(left_out)


def too_large_to_keep(plan: Plan, verdicts: Sequence[Verdict]) -> dict[int, list[str]]:
    """Of jobs that will run, by job, the outputs that are there and so large that a copy is kept only where the file system can clone them."""
    from joblot.copies import MAX_COPIED, size_of

    found: dict[int, list[str]] = {}
    if not any(spec.outputs for spec in plan.config.jobs):
        return found
    for job, verdict in enumerate(verdicts):
        for path in plan.spec(job).outputs if verdict.to_run else ():
            with suppress(OSError, ValueError):
                if size_of(str(Path(plan.config.folder, path))) > MAX_COPIED:
                    found.setdefault(job, []).append(path)
    return found


def judge_of(plan: Plan, last_successes: Mapping[str, LastSuccess], folder: str, force: Sequence[str] = ()) -> Judge:
    """The judge of a plan of which nothing runs. `folder` is the state folder. References to results are taken from what the jobs made last."""
    state = RunState(plan, Limits())
    for job in plan.referenced_results:
        last = last_successes.get(plan.name(job))
        if last is not None:
            state.results[job] = last.result
    values = Values(plan, state, LASTING_ID)
    return Judge(
        plan,
        last_successes,
        Hashes(plan.config.folder, [shared_folder(), folder, *reports_of(plan.config)], plan.is_made),
        values.of,
        forced=matching(plan, force),
        env_files=env_files_of(plan.config),
    )


def _last_successes(plan: Plan, state: str | None) -> tuple[Mapping[str, LastSuccess] | None, str]:
    """The last successes of the jobs in earlier runs, and the state folder; None when there is none to ask."""
    with past_runs(state, needed=False) as folder, suppress(StateError):
        if folder is not None:
            return folder.journal.last_successes(batch_key(plan)), str(folder.path)
    return None, ""
