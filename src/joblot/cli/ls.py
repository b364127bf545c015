"""`joblot ls`: the runs of a state folder."""

from __future__ import annotations

import os
import time
from functools import cache
from itertools import islice
from math import inf
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click
from msgspec.json import encode

from joblot.cli.options import (
    DURATION,
    Command,
    Moment,
    Several,
    Variable,
    job_of_run,
    json_option,
    no_color_option,
    state_option,
)
from joblot.errors import EXIT_OK, StateError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from joblot.cli.output import Output
    from joblot.journal import Chosen, RunInfo
    from joblot.journal.folder import StateFolder
    from joblot.runner.permits import Entry

    Row = tuple[RunInfo, str, float | None, float | None, Sequence[str]]
    """A run, its status, how long it took, as `_took` tells it, and the limits of the machine that it waits for."""
    Listed = tuple[list[Row], dict[str, str], str]
    """The runs, by their ids the ends that are enough to name them, where these are shown, and what there is to say of the folder's size."""

_LEAVING: Final = ("STARTED", "TOOK", "BATCH", "JOBS")
"""What a narrow terminal goes without, in this order: a run's id says when it began, in UTC, and `joblot show` the rest."""
STATUSES: Final = ("running", "interrupted", "success", "failed", "cancelled")
_USUAL_RUNS: Final = 20
"""How long a run of a batch usually takes is told by so many runs, the last ones that succeeded."""
_USUAL_FROM: Final = 3
_WATCH_S: Final = 1.0
_NONE: Final = "no runs match"
_LARGE: Final = 2**30
_LOOKED_AT: Final = 1000
"""So many runs are looked at for a job."""


class _Times(click.ParamType):  # type: ignore[type-arg]  # not generic in click 8.2
    """How many times as much, such as `2x`."""

    name = "times"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number."""
        if isinstance(value, float):
            return value
        try:
            number = float(value.removesuffix("x"))
        except ValueError:
            number = 0.0
        if not (value.endswith("x") and 0 < number < inf):
            self.fail(f"`{value}` is not of the form `2x`", param, ctx)
        return number


@click.command(
    "ls",
    cls=Command,
    groups={
        "Which runs": ("status", "since", "until", "variables", "longer", "slower_than", "job", "limit"),
        "State and output": ("watch", "state", "json", "no_color", "help"),
    },
    help="List the runs, newest first; with BATCH, the name of a batch or its file, only those of that one.",
)
@click.argument("batch", required=False)
@click.option(
    "-n", "--limit", metavar="N", type=click.IntRange(min=1), default=20, show_default=True, help="at most so many"
)
@click.option(
    "--status",
    metavar="S",
    type=Several(STATUSES),
    default=(),
    help=f"only runs of these statuses: {', '.join(STATUSES)}",
)
@click.option(
    "--since", metavar="T", type=Moment(), help="only runs that began since: `7d` ago, `2026-11-20`, `2026-11-20T18:00`"
)
@click.option(
    "--until", metavar="T", type=Moment(end=True), help="only runs that began until then; a day counts as a whole"
)
@click.option(
    "--var",
    "variables",
    multiple=True,
    type=Variable(),
    help="only runs with this value of a variable; may be given often",
)
@click.option("--longer", metavar="D", type=DURATION, help="only runs that took longer, such as `5s`")
@click.option(
    "--slower-than",
    metavar="Nx",
    type=_Times(),
    help="only runs that took so many times as long as usual, such as `2x`",
)
@click.option(
    "--job",
    metavar="NAME",
    shell_complete=job_of_run,
    help="one job through these runs, and in which it is not what it was",
)
@click.option("--watch", is_flag=True, help="go on, and show every change until Ctrl-C")
@state_option
@json_option
@no_color_option
@click.pass_obj
def command(
    output: Output,
    batch: str | None,
    limit: int,
    status: tuple[str, ...],
    since: float | None,
    until: float | None,
    variables: tuple[tuple[str, str], ...],
    longer: float | None,
    slower_than: float | None,
    job: str | None,
    state: str | None,
    *,
    watch: bool,
) -> int:
    """Read the list of runs."""
    from joblot.journal import Chosen

    chosen = Chosen(
        batch=batch or "",
        source=os.path.abspath(batch) if batch else "",  # noqa: PTH100 - links stay as they are
        statuses=status,
        since=since or 0.0,
        until=Chosen().until if until is None else until,
        variables=variables,
    )
    if batch is not None and state is None and os.path.isfile(batch):  # noqa: PTH113
        from joblot.journal.folder import DEFAULT

        beside = os.path.join(os.path.dirname(batch), DEFAULT)  # noqa: PTH118, PTH120
        state = beside if os.path.lexists(beside) else None

    if job is not None:
        if watch:
            raise UsageError("`--watch` is for a list of runs: it cannot be with `--job`")
        return _through(output, job, state, chosen, limit, longer, slower_than)

    def read() -> Listed:
        from joblot.journal.folder import StateFolder

        folder = StateFolder(state, read_only=True)
        try:
            rows = list(islice(_rows(output, folder, chosen, limit, longer, slower_than), limit))
            is_shown = output.columns is not None and not output.colourless and not output.json
            short = folder.shortest([info.run_id for info, *_ in rows]) if is_shown else {}
            return rows, short, "" if watch or output.json else _large(folder)
        finally:
            folder.close()

    if watch:
        _watch(output, read)
    rows, short, large = read()
    if output.json:
        output.document([_as_data(*row) for row in rows])
    elif rows:
        output.result("\n".join(_table(rows, output.tint, output.columns, short)))
    else:
        output.note(_NONE)
    if large:
        output.note(large)
    return EXIT_OK


def _through(
    output: Output,
    job: str,
    state: str | None,
    chosen: Chosen,
    limit: int,
    longer: float | None,
    slower_than: float | None,
) -> int:
    """One job through the runs that are meant."""
    from joblot.cli.jobruns import as_data, table, through
    from joblot.cli.runs import Run, columns
    from joblot.journal.folder import StateFolder

    folder = StateFolder(state, read_only=True)
    try:
        rows = islice(_rows(output, folder, chosen, None, longer, slower_than), _LOOKED_AT)
        found = through((Run(folder, info) for info, *_ in rows), job, limit, output.warn)
    finally:
        folder.close()
    if not found:
        raise StateError(f"none of these runs has a job `{job}`", hint="`joblot show RUN` lists those of a run")
    if output.json:
        output.document([as_data(one, job) for one in found])
    else:
        lines = table(found)
        at = lines[0].index("STATE")
        output.result(
            "\n".join(columns(lines, lambda _row, column, text: output.tint(text, text) if column == at else text))
        )
    return EXIT_OK


def _large(folder: StateFolder) -> str:
    """What there is to say of a state folder that takes much room."""
    from joblot.journal.prune import size_about
    from joblot.units import format_size

    size = size_about(folder)
    hint = "`joblot prune --older 30d` clears up what is older"
    return f"the state folder takes about {format_size(size)}: {hint}" if size >= _LARGE else ""


def _watch(output: Output, read: Callable[[], Listed]) -> NoReturn:
    """Show the list whenever a run has begun or ended; on a terminal in one place, with how long runs have gone on.

    Raises:
        KeyboardInterrupt: enough was seen.
    """
    from joblot.errors import NoRunsError

    screen, shown, table = None, None, [""]
    if output.live and not output.json:
        from joblot.cli.screen import Screen

        screen = Screen(output.terminal)
    try:
        while True:
            try:
                rows, short, _ = read()
            except NoRunsError:  # the first one is waited for
                rows, short = [], {}
            now = [(info.run_id, status, info.counts, waits) for info, status, *_, waits in rows]
            if screen is not None:
                table = _table(rows, output.paint, screen.size()[0] - 1, short) if rows else [_NONE]
                screen.draw([output.shown(line) for line in table])
            elif now != shown and output.json:
                output.result(encode([_as_data(*row) for row in rows]).decode())
            elif now != shown:
                output.result("\n".join(_table(rows, output.tint, output.columns, short)) if rows else _NONE)
            shown = now
            time.sleep(_WATCH_S)
    finally:
        if screen is not None:
            screen.close("\n".join(map(output.shown, table)))


def _rows(
    output: Output,
    folder: StateFolder,
    chosen: Chosen,
    limit: int | None,
    longer: float | None,
    slower_than: float | None,
) -> Iterator[Row]:
    """The runs that are meant. Where all are, the journal gives no more than are shown; None: as many as are asked for."""
    from joblot.journal import Chosen

    @cache
    def entries() -> list[Entry]:
        from joblot.runner.permits import look

        return look()

    @cache
    def least_s(batch: str) -> float:
        usual = _usual_s(folder, batch) if slower_than is not None else 0.0
        return max(longer or 0.0, (slower_than or 0.0) * usual)

    timed = longer is not None or slower_than is not None
    if chosen == Chosen() and not timed and limit is not None:
        runs: Iterable[RunInfo] = folder.runs(output.warn, limit=limit)
    else:
        runs = folder.chosen(chosen, output.warn, longer=least_s if timed else None)
    for info in runs:
        took, since = _took(folder, info)
        if not timed or (took or 0.0) > least_s(info.batch):
            status = folder.status(info)
            waits: dict[str, str] = {}
            if status == "running" and entries():
                from joblot.runner.permits import waits_of

                waits = waits_of(str(folder.run_folder(info.run_id).path), entries())
            yield info, status, took, since, tuple(waits)


def _usual_s(folder: StateFolder, batch: str) -> float:
    """How long a run of a batch usually takes: the median of the last ones that succeeded. From too few nobody can tell."""
    from joblot.cli.history import median

    took = [_took(folder, info)[0] or 0.0 for info in folder.journal.last_good(batch, _USUAL_RUNS)]
    return median(took) if len(took) >= _USUAL_FROM else inf


def _took(folder: StateFolder, info: RunInfo) -> tuple[float | None, float | None]:
    """Seconds of work, and since the beginning where that is more, by clocks that nobody sets, as the report has them.

    Of a run that was interrupted nobody knows.
    """
    if info.ended_at is None:
        return folder.elapsed_s(info), None
    from joblot.core.events import RunEnded

    ended = next((event for event in folder.journal.last_events(info.run_id) if isinstance(event, RunEnded)), None)
    since = round((ended.wall_s if ended else 0.0) or max(0.0, info.ended_at - info.started_at), 3)
    return (round(ended.worked_s, 3), since) if ended and ended.worked_s else (since, None)


def _jobs(info: RunInfo) -> int:
    """How many jobs the run has; at its end those are counted as well that were found on its way."""
    return max(info.jobs, sum(info.counts.values()))


def _as_data(
    info: RunInfo, status: str, took: float | None, since: float | None, waits: Sequence[str]
) -> dict[str, Any]:
    from joblot.clock import iso_utc

    began = {} if since is None else {"since_began_ms": round(since * 1000)}
    return {
        "run_id": info.run_id,
        "batch": info.batch,
        "source": info.source,
        "status": status,
        "started_at": iso_utc(info.started_at),
        "ended_at": None if info.ended_at is None else iso_utc(info.ended_at),
        "duration_ms": None if took is None or status == "interrupted" else round(took * 1000),
        **began,
        "total_jobs": _jobs(info),
        "counts": {state: count for state, count in info.counts.items() if count},
        **({"waits_for": waits} if waits else {}),
    }


def _table(
    runs: Sequence[Row], tint: Callable[[str, str], str], room: int | None, short: Mapping[str, str]
) -> list[str]:
    from joblot.cli.runs import columns, local_time
    from joblot.core.written import shorten
    from joblot.units import format_duration

    table: dict[str, list[str]] = {name: [name] for name in ("RUN", "BATCH", "STATUS", "STARTED", "TOOK", "JOBS")}
    for info, status, took, since, waits in runs:
        duration = "-" if took is None or status == "interrupted" else format_duration(took)
        if since is not None:
            duration += f" of {format_duration(since)}"
        counts = ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in info.counts.items() if count)
        jobs = f"{_jobs(info)}: {counts}" if counts else str(info.jobs)
        if waits:
            jobs += f", waits for {' and '.join(f'`{name}`' for name in waits)} of this machine"
        row = (info.run_id, shorten(info.batch), status, local_time(info.started_at), duration, jobs)
        for cells, cell in zip(table.values(), row, strict=True):
            cells.append(cell)
    for name in _LEAVING:
        if room is not None and max(map(len, columns(_lines(table)))) > room:
            del table[name]
    at = list(table).index("STATUS")

    def paint(_row: int, column: int, text: str) -> str:
        if column == 0 and (end := short.get(text)):  # enough to name the run
            return text.removesuffix(end) + tint("short", end)
        return tint(text, text) if column == at else text

    return columns(_lines(table), paint)


def _lines(table: dict[str, list[str]]) -> list[list[str]]:
    return [list(cells) for cells in zip(*table.values(), strict=True)]
