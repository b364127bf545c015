"""A profile at work: rows go through its steps, the privacy policy and the filters on legal units.

It knows the steps by their names and reads or writes no files.
"""

from __future__ import annotations

from itertools import takewhile
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import msgspec

from joblot_sirene.register import privacy
from joblot_sirene.register.filters import Filters, unit_part

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import polars as pl

    from joblot_sirene.jobs.profiles import Profile, StepCall
    from joblot_sirene.steps.model import Inputs, Step

ROW_BY_ROW: Final = frozenset({"units", "normalise", "identifiers"})
"""Steps that look at each row for itself. Their modules have a function `warn`, and each of their facts is a count or the same for all rows."""


class StepReport(msgspec.Struct, frozen=True):
    """What one step did: rows before and after, facts, warnings; and how long it took."""

    name: str
    rows_in: int
    rows_out: int
    facts: dict[str, Any]
    warnings: tuple[str, ...]
    duration_ms: int = 0


class Result(msgspec.Struct, frozen=True):
    """A finished dataset, how many rows were left out of it, and what its steps did."""

    frame: pl.DataFrame
    counts: privacy.Counts
    steps: tuple[StepReport, ...]


def run(
    profile: Profile,
    frames: Iterable[pl.DataFrame],
    inputs: Inputs,
    filters: Filters | None = None,
    *,
    most_rows: int | None = None,
) -> Result:
    """Take rows with canonical columns through a profile; with `most_rows` only the first so many that may be shown.

    The rows come in one frame or several, which gives the same result. Who may not be shown is taken out or masked as soon as the legal
    units are joined, whatever the profile says.
    """
    import polars as pl

    from joblot_sirene.steps import model

    # frame by frame as long as steps allow it: the rows as they came, which are the larger ones, are never all in memory
    first_steps = list(takewhile(lambda call: call.name in ROW_BY_ROW, profile.steps))
    reports_by_step: dict[str, list[StepReport]] = {call.name: [] for call in first_steps}
    parts: list[pl.DataFrame] = []
    counts: list[privacy.Counts] = []
    for frame in frames:
        limit = None if most_rows is None else most_rows - sum(part.height for part in parts)
        part, part_counts = _row_by_row(first_steps, frame, inputs, filters, reports_by_step, limit)
        parts.append(part)
        counts.append(part_counts)
    rows = pl.concat(parts)
    del parts
    reports = [_merged_report(call, reports_by_step[call.name]) for call in first_steps]
    for call in profile.steps[len(first_steps) :]:
        rows, report = _run_step(call, rows, inputs)
        reports.append(report)
    return Result(model.in_order(rows), privacy.total(counts), tuple(reports))


def _row_by_row(
    calls: Sequence[StepCall],
    frame: pl.DataFrame,
    inputs: Inputs,
    filters: Filters | None,
    reports_by_step: dict[str, list[StepReport]],
    most_rows: int | None,
) -> tuple[pl.DataFrame, privacy.Counts]:
    """Some of the rows after the first steps of a profile, and how many were left out of them."""
    calls = list(calls)
    if calls and calls[0].name == "units":
        frame, report = _run_step(calls.pop(0), frame, inputs)
        reports_by_step["units"].append(report)
    frame = _in_shown_area(_matching_units(frame, filters), filters, inputs)
    if most_rows is not None and inputs.policy.partial_diffusion == "mask":
        frame = frame.head(most_rows)  # none of them is left out, and only those that are shown are to count as masked
    frame, counts = privacy.protect(frame, inputs.policy, inputs.hidden)
    if most_rows is not None and frame.height > most_rows:
        frame = frame.head(most_rows)
        counts = privacy.count_persons(frame, counts)
    for call in calls:
        frame, report = _run_step(call, frame, inputs)
        reports_by_step[call.name].append(report)
    return frame, counts


def _merged_report(call: StepCall, parts: Sequence[StepReport]) -> StepReport:
    """The reports on several frames as if these had been one."""
    facts = dict(parts[0].facts)
    for part in parts[1:]:
        for key, value in part.facts.items():
            facts[key] = value if isinstance(value, bool) else facts[key] + value
    return StepReport(
        call.name,
        sum(part.rows_in for part in parts),
        sum(part.rows_out for part in parts),
        facts,
        _module(call.name).warn(facts, call.parameters),
        sum(part.duration_ms for part in parts),
    )


def _matching_units(frame: pl.DataFrame, filters: Filters | None) -> pl.DataFrame:
    if filters is None or not filters.needs_unit:
        return frame
    from joblot_sirene.register import expressions

    return frame.filter(expressions.keeps(unit_part(filters)))


def _in_shown_area(frame: pl.DataFrame, filters: Filters | None, inputs: Inputs) -> pl.DataFrame:
    """The rows without those that only a postal code which is masked puts into the area: that they are there would tell it."""
    if filters is None or not filters.has_area:
        return frame
    import polars as pl

    from joblot_sirene.register import expressions

    shown = pl.when(~privacy.hidden_rows(frame, inputs.hidden))
    places = frame.select(
        shown.then(name).alias(name) if name == expressions.POSTAL_CODE else pl.col(name)
        for name in expressions.AREA_COLUMNS
        if name in frame.columns
    )
    lacking = [pl.lit(None, pl.String).alias(name) for name in expressions.AREA_COLUMNS if name not in frame.columns]
    return frame.filter(places.with_columns(lacking).select(expressions.in_area(filters)).to_series())


def _run_step(call: StepCall, frame: pl.DataFrame, inputs: Inputs) -> tuple[pl.DataFrame, StepReport]:
    start = monotonic()
    step: Step = _module(call.name).run
    outcome = step(frame, call.parameters, inputs)
    duration_ms = round((monotonic() - start) * 1000)
    report = StepReport(call.name, frame.height, outcome.frame.height, outcome.facts, outcome.warnings, duration_ms)
    return outcome.frame, report


def _module(name: str) -> Any:
    """A step's module, imported when it is needed: the data engine takes a while to load."""
    from importlib import import_module

    return import_module(f"joblot_sirene.steps.{name}")
