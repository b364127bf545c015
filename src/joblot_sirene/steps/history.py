"""Openings and closings per year of the establishments of a dataset.

An opening is a period that begins open where none or a closed one was before, a closing the other way round; so an establishment may open and
close more than once. Without the file of the history only what the rows themselves say is known: one creation, and one end when they are closed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from joblot_sirene.register import expressions
from joblot_sirene.register.filters import UNKNOWN_CREATION
from joblot_sirene.steps.model import Inputs, Outcome

if TYPE_CHECKING:
    import datetime as dt

    from joblot_sirene.steps.parameters import History

NEEDED: Final = (
    "siret",
    "dateDebut",
    "dateFin",
    "etatAdministratifEtablissement",
    "changementEtatAdministratifEtablissement",
)
"""The columns of the history that `Inputs.history` has."""

FIRST_YEAR: Final = 1800
"""Years before it, and those after the next one, are mistakes of the register: real files hold 0001, 0199 and 2925."""

_STATE: Final = "etatAdministratifEtablissement"
_CHANGED: Final = "changementEtatAdministratifEtablissement"


def run(frame: pl.DataFrame, parameters: History, inputs: Inputs) -> Outcome:
    """Count openings and closings by year (as text, as JSON has keys), absurd and unknown dates apart. Rows stay as they are."""
    if inputs.history is None:
        warning = "no file of the history: openings and closings come from the rows themselves, one of each at most"
        facts = {"from_file": False, **_counts(_events_of_rows(frame), inputs.today)}
        return Outcome(frame=frame, facts=facts, warnings=(warning,) if parameters.required else ())
    # by their numbers, as everywhere: a spreadsheet may have been through the one file and not through the other
    places = frame.select(siret=expressions.numbers(frame["siret"]))
    periods = inputs.history.select(NEEDED).with_columns(siret=expressions.numbers(inputs.history["siret"]))
    periods = periods.join(places, on="siret", how="semi")
    without = places.join(periods, on="siret", how="anti").height
    warnings = (f"{without} rows have no period in the history given: is it of the same month?",) if without else ()
    facts = {"from_file": True, "rows_without_history": without, **_counts(_events_of_periods(periods), inputs.today)}
    return Outcome(frame=frame, facts=facts, warnings=warnings)


def _events_of_rows(frame: pl.DataFrame) -> pl.DataFrame:
    """The changes of state that rows of the dataset show: the state that began, and the day."""
    opened = frame.select(state=pl.lit("A"), day="date_creation")
    closed = frame.filter(pl.col("etat") == "F").select(state=pl.lit("F"), day="date_debut")
    return pl.concat([opened, closed])


def _events_of_periods(periods: pl.DataFrame) -> pl.DataFrame:
    """The changes of state that periods show: those at whose beginning the state changed.

    The file says so itself, but not of the first period of an establishment; where it says nothing, the period before decides. Periods are
    put in order by their ends, because the absurd dates of the register are mostly first days.
    """
    ordered = periods.unique(maintain_order=True).sort("siret", "dateFin", "dateDebut", nulls_last=True)
    before = pl.col(_STATE).shift(1).over("siret")
    is_change = before.is_null() | pl.col(_CHANGED).fill_null(pl.col(_STATE).ne_missing(before))
    return ordered.filter(is_change).select(state=_STATE, day="dateDebut")


def _counts(events: pl.DataFrame, today: dt.date) -> dict[str, Any]:
    day = pl.col("day").replace(UNKNOWN_CREATION, None)
    dated = events.with_columns(year=day.dt.year())
    absurd = ~pl.col("year").is_between(FIRST_YEAR, today.year + 1)
    sound = dated.filter(~absurd)
    return {
        "openings": _by_year(sound, "A"),
        "closings": _by_year(sound, "F"),
        "absurd_dates": dated.filter(absurd).height,
        "unknown_dates": dated["year"].null_count(),
    }


def _by_year(events: pl.DataFrame, state: str) -> dict[str, int]:
    counts = events.filter(pl.col("state") == state)["year"].value_counts().sort("year")
    return {str(year): count for year, count in counts.iter_rows()}
