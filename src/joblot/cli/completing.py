"""What a shell is offered for a word: runs, jobs of a run, jobs of a batch file. Files are read as data: nothing is run, imported or written for it.

Whatever is wrong meanwhile is not told: the command will say it. It does not know shells.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from joblot.cli.usual import usual_file
from joblot.errors import JoblotError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import click

    from joblot.core.plan import Plan
    from joblot.journal.folder import StateFolder

_RUNS: Final = 100
_FANS: Final = frozenset({"matrix", "zip", "foreach"})
_LOOKED_AT: Final = 100_000
"""So many jobs are looked at, from the first on."""


def runs(ctx: click.Context, incomplete: str) -> Iterator[str]:
    """`last`, and the ids of runs, the last ones first."""
    yield from _beginning(incomplete, ["last"])
    with suppress(JoblotError), _state_folder(ctx) as folder:
        infos = folder.journal.runs(limit=_RUNS)
        yield from _beginning(incomplete, (info.run_id for info in infos if not info.fault))


def run_or_job(ctx: click.Context, incomplete: str) -> Iterator[str]:
    """What one word may be: a run, or a job of the last one."""
    yield from runs(ctx, incomplete)
    yield from jobs_of_run(ctx, incomplete)


def jobs_of_run(ctx: click.Context, incomplete: str) -> Iterator[str]:
    """The jobs of the run that the command line names, or of the last one."""
    from joblot.cli.runs import Run

    with suppress(JoblotError), _state_folder(ctx) as folder:
        run = Run(folder, folder.resolve(ctx.params.get("run") or next(iter(ctx.args), None)))
        if not run.of_program:
            yield from _beginning(incomplete, _names(run.plan))


def jobs_of_batch(ctx: click.Context, incomplete: str) -> Iterator[str]:
    """The jobs of the batch file that the command line names, or of the usual one; of several with commas the last one."""
    before, comma, last = incomplete.rpartition(",")
    yield from (f"{before}{comma}{name}" for name in _beginning(last, _names_in_files(ctx)))


@contextmanager
def _state_folder(ctx: click.Context) -> Iterator[StateFolder]:
    from joblot.journal.folder import StateFolder

    folder = StateFolder(ctx.params.get("state"), read_only=True)
    try:
        yield folder
    finally:
        folder.close()


def _names_in_files(ctx: click.Context) -> Iterable[str]:
    given = ctx.params.get("batch") or ctx.args  # behind an option that wants its value, click leaves words there
    files = [given] if isinstance(given, str) else list(given)
    with suppress(JoblotError, OSError):
        files = files or [usual_file()]
        written = _written_names(files[0]) if len(files) == 1 else [""]
        if all(written):  # most batches have no fan-out, and checking them takes most of the time
            return written
        try:
            return _names(_plan(files, dict(ctx.params.get("variables") or ())))
        except JoblotError:
            return filter(None, written)
    return ()


def _plan(files: list[str], variables: dict[str, str]) -> Plan:
    """The plan of batch files, whose actions are not known: nothing is imported, and no command that lists items is run."""
    from joblot.config.load import load
    from joblot.config.several import load_several
    from joblot.core.plan import expand

    options: dict[str, Any] = {"vars": variables, "lookup": lambda _name: None, "names": list, "unknown": "skipped"}
    options["commands"] = False
    config, _ = load_several(files, **options) if len(files) > 1 else load(files[0], **options)
    return expand(config)


def _written_names(file: str) -> list[str]:
    """The names of the jobs as they stand in a file; an empty one for a fan-out."""
    from joblot.config.source import decode_text, format_of, parse, read_bytes

    data = parse(decode_text(read_bytes(file), file), file, format_of(file)).data
    names = []
    for section in ("jobs", "finally"):
        jobs = data.get(section) if isinstance(data, dict) else None
        for job in jobs if isinstance(jobs, list) else ():
            name = job.get("name") if isinstance(job, dict) else None
            is_fan_out = isinstance(job, dict) and not _FANS.isdisjoint(job)
            names.append(name if isinstance(name, str) and "${{" not in name and not is_fan_out else "")
    return names


def _names(plan: Plan) -> Iterator[str]:
    return map(plan.name, range(min(len(plan), _LOOKED_AT)))


def _beginning(incomplete: str, words: Iterable[str]) -> Iterator[str]:
    return (word for word in words if word.startswith(incomplete))
