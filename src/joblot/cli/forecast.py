"""How long a plan may take, and how much memory, from what its jobs took in the last runs of the same batch. A guess, and labelled as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from joblot.cli.history import processors, read
from joblot.units import format_duration, format_size

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from joblot.cli.history import History
    from joblot.core.fusing import Rules
    from joblot.core.plan import Plan
    from joblot.errors import StateError

_NAMED: Final = 12


class Row(NamedTuple):
    """What a run is expected to take with so many at once: seconds, and bytes (0: not known)."""

    workers: int
    total_s: float
    peak_bytes: int


class Forecast(msgspec.Struct, frozen=True):
    """What a run with `workers` at once may take, what it would take with others, and the chain of needs that takes the longest.

    `known` of the plan's `jobs` that are selected were in one of the `runs` (ids, newest first); the others are taken to be like the
    average of their fan-out, or of all.
    """

    runs: list[str]
    known: int
    jobs: int
    workers: int
    rows: list[Row]
    path: list[int]
    path_s: float

    @property
    def row(self) -> Row:
        """With as many at once as are wanted."""
        return next(row for row in self.rows if row.workers == self.workers)

    @property
    def total_s(self) -> float:
        """Seconds of the whole run."""
        return self.row.total_s

    def as_data(self, plan: Plan) -> dict[str, Any]:
        """As `--json` prints it."""
        return {
            "from_run": self.runs[0],
            "from_runs": self.runs,
            "known_jobs": self.known,
            "workers": self.workers,
            "total_s": round(self.total_s, 3),
            "peak_bytes": self.row.peak_bytes or None,
            "what_if": [
                {"workers": row.workers, "total_s": round(row.total_s, 3), "peak_bytes": row.peak_bytes or None}
                for row in self.rows
            ],
            "critical_path": [plan.name(job) for job in self.path],
            "critical_path_s": round(self.path_s, 3),
        }

    def lines(self, plan: Plan) -> Iterator[str]:
        """As text."""
        runs = f"run {self.runs[0]}" if len(self.runs) == 1 else f"the last {len(self.runs)} runs"
        guessed = "" if self.known == self.jobs else f", in which {self.known} of these {self.jobs} jobs have succeeded"
        memory = f", {format_size(self.row.peak_bytes)} of memory" if self.row.peak_bytes else ""
        took = format_duration(self.total_s)
        yield f"Estimate: about {took} with {self.workers} at once{memory} (from {runs}{guessed})"
        others = [row for row in self.rows if row.workers != self.workers]
        if others:
            words = (f"-j {row.workers}: {format_duration(row.total_s)}" for row in others)
            sizes = (f" ({format_size(row.peak_bytes)})" if row.peak_bytes else "" for row in others)
            yield f"  with {', '.join(word + size for word, size in zip(words, sizes, strict=True))}"
        names = [plan.name(job) for job in self.path]
        if len(names) > _NAMED:
            names = [*names[: _NAMED - 1], f"... ({len(names) - _NAMED} more)", names[-1]]
        yield f"Critical path: {' -> '.join(names)} ({format_duration(self.path_s)})"


def forecast(
    plan: Plan,
    state: str | None,
    workers: int | None,
    *,
    warn: Callable[[StateError], None] = lambda _: None,
    up_to_date: Collection[int] = (),
    left_out: Collection[int] = (),
    fuse_rules: Rules | None = None,
    history: History | None = None,
) -> Forecast | None:
    """The forecast for a plan, or None when there is no earlier run of a batch of that name, or nothing in it is known.

    The jobs in `up_to_date` are up to date and take no time; those in `left_out` do not count. `warn` is told of runs that cannot be read.
    `history` is what has been read of them already.
    """
    if history is None:
        history = read(plan, state, warn)
    known = history.known(left_out)
    if not known:
        return None
    slots = workers or plan.config.max_workers or processors()
    done = frozenset(left_out) | frozenset(up_to_date)
    rows = []
    for count in sorted({slots, *(2**power for power in range(processors().bit_length()))}):
        expected = history.expected(count, done, fused=bool(fuse_rules))
        total_s, peak_bytes = history.predict(count, expected, done=done, fuse_rules=fuse_rules)
        rows.append(Row(count, total_s, peak_bytes))
        if count == slots:
            wanted = expected
    path = wanted.path(plan)
    path_s = sum(wanted.took[job] for job in path)
    return Forecast(history.runs(), known, len(plan) - len(left_out), slots, rows, path, path_s)
