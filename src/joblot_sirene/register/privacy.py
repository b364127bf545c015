"""Who may be shown, as data: partial diffusion, natural persons, the licence, and how long a package may be kept.

Persons with partial diffusion (status P, N in files before March 2023) must not be fully re-diffused nor used for prospecting (article
R123-232-1 of the French code of commerce): their rows are left out and counted unless a job asks to keep them for statistics; then every
name and address field is masked here, because the files mask irregularly. Natural persons are personal data whatever their status,
and their names are shown only when a job asks for them. Nothing is ever rebuilt from other columns. This module knows columns and rows; it opens no file and knows no profile's steps.
"""

from __future__ import annotations

import datetime as dt
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from joblot_sirene.register.code_lists import LEGAL_FORM_COLUMN
from joblot_sirene.register.layout import COLUMNS, GEO_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import polars as pl

    from joblot_sirene.fields import Fields
    from joblot_sirene.register.stock_date import StockDate

MASK: Final = "[ND]"
"""The value of a masked field, in the register's files and in ours."""

PUBLIC: Final = "O"
PARTIAL: Final = "P"
"""The values of the status: to be shown, and of what is masked here (files before March 2023 have `N` too)."""

STATUS_COLUMN: Final = "statutDiffusionEtablissement"
UNIT_STATUS_COLUMN: Final = "statutDiffusionUniteLegale"

_SHOWN_COLUMNS: Final = frozenset(
    {
        "libelleCommuneEtablissement",
        "libelleCommuneEtrangerEtablissement",
        "codeCommuneEtablissement",
        "codePaysEtrangerEtablissement",
        "libellePaysEtrangerEtablissement",
    }
)
_ADDRESS_START: Final = tuple(COLUMNS).index("complementAdresseEtablissement")
_ADDRESS_END: Final = tuple(COLUMNS).index("dateDebut")

ADDRESS_COLUMNS: Final = tuple(
    name
    for name in tuple(COLUMNS)[_ADDRESS_START:_ADDRESS_END]
    if name.replace("2Etablissement", "Etablissement") not in _SHOWN_COLUMNS
)
"""Address and coordinate columns of an establishment that are masked; the commune and the country stay."""

NAME_COLUMNS: Final = (
    "enseigne1Etablissement",
    "enseigne2Etablissement",
    "enseigne3Etablissement",
    "denominationUsuelleEtablissement",
)
"""Names of an establishment that may be a person's name."""

UNIT_NAME_COLUMNS: Final = (
    "sigleUniteLegale",
    "denominationUniteLegale",
    "denominationUsuelle1UniteLegale",
    "denominationUsuelle2UniteLegale",
    "denominationUsuelle3UniteLegale",
)
"""Names of a legal unit."""

PERSON_COLUMNS: Final = (
    "sexeUniteLegale",
    "prenom1UniteLegale",
    "prenom2UniteLegale",
    "prenom3UniteLegale",
    "prenom4UniteLegale",
    "prenomUsuelUniteLegale",
    "pseudonymeUniteLegale",
    "nomUniteLegale",
    "nomUsageUniteLegale",
)
"""Names and sex of a natural person: in a dataset only when a job asks for them."""

_LAST_NAMES: Final = ("nomUniteLegale", "nomUsageUniteLegale", "pseudonymeUniteLegale")
_LEAST_NAME: Final = 3
"""Letters of a name that is looked for in signs: shorter ones, and what is left of `[ND]`, stand in many words."""

MASKED_COLUMNS: Final = frozenset((*ADDRESS_COLUMNS, *GEO_COLUMNS, *NAME_COLUMNS, *UNIT_NAME_COLUMNS, *PERSON_COLUMNS))
"""Every column that is masked in a row with partial diffusion."""

LICENCE: Final = "Licence Ouverte 2.0 (Etalab)"
LICENCE_URL: Final = "https://www.etalab.gouv.fr/licence-ouverte-open-licence/"

_RULES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "partial_diffusion": "rows with partial diffusion are left out and counted, or kept with every name and address field masked",
        "natural_persons": "names of natural persons are in the dataset only when the job asks for them",
        "masked_names": "a masked name is never rebuilt from signs, history or older files",
        "prospecting": "rows with partial diffusion must not be used for prospecting",
    }
)


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What a job asks for. `partial_diffusion` is `exclude` or `mask`; `person_names` asks for natural persons' names.

    `retention_days` is how long a package may be kept; None: as long as its owner wants.
    """

    partial_diffusion: Literal["exclude", "mask"] = "exclude"
    person_names: bool = False
    retention_days: int | None = None


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of a selection: rows kept, rows left out or masked for partial diffusion, rows of natural persons (None: unknown).

    `unknown_forms` are rows without a legal form where others may have one: some of them may be of natural persons too.
    """

    kept: int
    excluded: int = 0
    masked: int = 0
    natural_persons: int | None = None
    unknown_forms: int = 0


def read(fields: Fields) -> Policy:
    """The policy of a job file; problems are added to its document."""
    policy = Policy(
        partial_diffusion="mask"
        if fields.choice("partial_diffusion", ("exclude", "mask"), "exclude") == "mask"
        else "exclude",
        person_names=fields.flag("person_names", default=False),
        retention_days=fields.number("retention_days", None, least=1, whole=True),
    )
    fields.finish()
    return policy


class Hidden(msgspec.Struct, frozen=True):
    """Numbers of establishments and of legal units that are not to be shown whatever their rows say, as 64 bits: others of theirs hide them."""

    establishments: pl.Series
    units: pl.Series

    def has(self, frame: pl.DataFrame) -> pl.Series:
        """Whether each row is of one of these."""
        from joblot_sirene.register import expressions

        hidden = expressions.siren_numbers(frame).is_in(self.units.implode())
        if "siret" in frame.columns:
            hidden |= expressions.numbers(frame["siret"]).is_in(self.establishments.implode())
        return hidden.fill_null(value=False)

    def also(self, other: Hidden) -> Hidden:
        """These numbers and others."""
        import polars as pl

        return Hidden(
            pl.concat([self.establishments, other.establishments]).unique(),
            pl.concat([self.units, other.units]).unique(),
        )

    def __bool__(self) -> bool:
        return bool(len(self.establishments) or len(self.units))


def hidden_of(establishments: Iterable[int], units: Iterable[int]) -> Hidden:
    """The numbers of hidden establishments and legal units as series."""
    import polars as pl

    return Hidden(pl.Series(sorted(establishments), dtype=pl.UInt64), pl.Series(sorted(units), dtype=pl.UInt64))


def is_hidden(status: str = STATUS_COLUMN) -> pl.Expr:
    """Whether a row of an establishment, or of a legal unit, says that it is not to be shown; a missing status says so too."""
    import polars as pl

    return pl.col(status).ne_missing(PUBLIC)


def unit_is_hidden(columns: Iterable[str]) -> pl.Expr:
    """Whether a row with these columns, of an establishment and its legal unit, says so of the unit.

    A row with neither a status nor a legal form has no unit: not every one is in its file.
    """
    import polars as pl

    known = [name for name in (UNIT_STATUS_COLUMN, LEGAL_FORM_COLUMN) if name in columns]
    return is_hidden(UNIT_STATUS_COLUMN) & pl.any_horizontal(pl.col(name).is_not_null() for name in known)


def masked(frame: pl.DataFrame, hidden: pl.Expr) -> pl.DataFrame:
    """The rows with every name and address field of the hidden ones masked, whatever the file shows: it masks irregularly."""
    import polars as pl

    columns = [name for name in frame.columns if name in MASKED_COLUMNS]
    values = [pl.when(hidden).then(pl.lit(MASK)).otherwise(name).alias(name) for name in columns]
    if STATUS_COLUMN in frame.columns:
        # hidden by its unit, by another row, or by having no status: none is to be called public
        called_public = hidden & pl.col(STATUS_COLUMN).is_in([PUBLIC, ""]).fill_null(value=True)
        values.append(pl.when(called_public).then(pl.lit(PARTIAL)).otherwise(STATUS_COLUMN).alias(STATUS_COLUMN))
    return frame.with_columns(values)


def hidden_rows(frame: pl.DataFrame, hidden_by_others: Hidden | None = None) -> pl.Expr:
    """Which rows are not to be shown: by their own status, by that of their unit, or by other rows.

    Raises:
        ValueError: the frame has no status column, so it is not known who may be shown.
    """
    import polars as pl

    if STATUS_COLUMN not in frame.columns:
        raise ValueError(f"BUG: `{STATUS_COLUMN}` is needed to tell who may be shown")
    hides = is_hidden()
    if UNIT_STATUS_COLUMN in frame.columns:
        hides |= unit_is_hidden(frame.columns)
    if hidden_by_others is not None:
        hides |= pl.lit(hidden_by_others.has(frame))
    return hides


def protect(frame: pl.DataFrame, policy: Policy, hidden_by_others: Hidden | None = None) -> tuple[pl.DataFrame, Counts]:
    """The rows that the policy lets through, masked where it says so, and the counts. Column names are canonical.

    Names of natural persons are taken out unless asked for: what is a name in the row of a company is somebody's name in theirs.

    Raises:
        ValueError: the frame has no status column, so it is not known who may be shown.
    """
    hides = hidden_rows(frame, hidden_by_others)
    hidden = int(frame.select(hides.sum()).item()) if frame.height else 0
    excluded = hidden if policy.partial_diffusion == "exclude" else 0
    if excluded:
        frame = frame.filter(~hides)
    elif hidden:
        frame = masked(frame, hides)
    if not policy.person_names:
        frame = _without_person_names(frame)
    return frame, count_persons(frame, Counts(kept=frame.height, excluded=excluded, masked=hidden - excluded))


def _without_person_names(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows without the names of natural persons: neither in the columns for them, nor in those for companies, nor as a part of a sign."""
    import polars as pl

    from joblot_sirene.register import expressions

    if LEGAL_FORM_COLUMN in frame.columns:
        present = set(frame.columns)
        is_person = expressions.natural_person().fill_null(value=False)
        frame = frame.with_columns(
            *_signs_without_names(frame, is_person),
            *(pl.when(~is_person).then(name).alias(name) for name in UNIT_NAME_COLUMNS if name in present),
        )
    return frame.drop(PERSON_COLUMNS, strict=False)


def _signs_without_names(frame: pl.DataFrame, is_person: pl.Expr) -> list[pl.Expr]:
    """The signs of the frame, without those that hold a name of their natural person; few rows have one, and only these are looked at."""
    import polars as pl

    names = [name for name in (*UNIT_NAME_COLUMNS, *_LAST_NAMES) if name in frame.columns]
    signs = [sign for sign in NAME_COLUMNS if sign in frame.columns and names]
    if not signs:
        return []
    with_sign = pl.any_horizontal(pl.col(sign).is_not_null() for sign in signs)
    rows = frame.with_columns(_row=pl.int_range(pl.len())).filter(is_person & with_sign)
    rows = rows.select("_row", *(_words(name) for name in (*signs, *names)))
    held = {sign: rows.filter(_holds_any(sign, names))["_row"] for sign in signs}
    number = pl.int_range(pl.len())
    return [pl.when(~number.is_in(at.implode())).then(sign).alias(sign) for sign, at in held.items() if len(at)]


def _words(column: str) -> pl.Expr:
    """A text as its words of letters and digits, without case and accents: a sign writes a name as it likes."""
    import polars as pl

    letters = pl.col(column).str.to_lowercase().str.replace_many({"œ": "oe", "æ": "ae"}).str.normalize("NFKD")
    return (
        letters.str.replace_all(r"\p{M}", "").str.replace_all(r"[^\p{L}\p{N}]+", " ").str.strip_chars(" ").alias(column)
    )


def _holds_any(sign: str, names: Sequence[str]) -> pl.Expr:
    """Whether one of the names stands in a sign, both as words; a name of several words (`LE GOFF`) also written as one."""
    import polars as pl

    def holds(name: str) -> pl.Expr:
        words, glued = pl.col(name), pl.col(name).str.replace_all(" ", "", literal=True)
        in_words = pl.col(sign).str.contains(words, literal=True)
        in_letters = (glued != words) & pl.col(sign).str.replace_all(" ", "", literal=True).str.contains(
            glued, literal=True
        )
        return (glued.str.len_chars() >= _LEAST_NAME) & (in_words | in_letters)

    return pl.any_horizontal(holds(name) for name in names).fill_null(value=False)


def count_persons(frame: pl.DataFrame, counts: Counts) -> Counts:
    """The counts with how many of these rows are of natural persons, and how many may be."""
    from joblot_sirene.register import expressions

    if LEGAL_FORM_COLUMN not in frame.columns:
        return msgspec.structs.replace(counts, kept=frame.height)
    person = expressions.natural_person()
    persons, unknown = frame.select(person.sum(), unknown=person.is_null().sum()).row(0)
    return msgspec.structs.replace(counts, kept=frame.height, natural_persons=persons, unknown_forms=unknown)


def total(counts: Sequence[Counts]) -> Counts:
    """The counts of several parts of a selection together."""
    persons = [part.natural_persons for part in counts]
    return Counts(
        kept=sum(part.kept for part in counts),
        excluded=sum(part.excluded for part in counts),
        masked=sum(part.masked for part in counts),
        natural_persons=None if None in persons else sum(number or 0 for number in persons),
        unknown_forms=sum(part.unknown_forms for part in counts),
    )


def describe(policy: Policy, counts: Counts, stock_date: StockDate) -> dict[str, Any]:
    """What the manifest says of rights and persons. `personal_data` is `unknown` when a legal form is: then persons may be among the rows."""
    persons = counts.natural_persons
    may_be_among = bool(counts.unknown_forms) if persons is not None else bool(counts.kept)
    return {
        "source": stock_date.attribution,
        "licence": LICENCE,
        "licence_url": LICENCE_URL,
        "stock_date": None if stock_date.day is None else stock_date.day.isoformat(),
        "stock_date_from": stock_date.by,
        "personal_data": True if persons else "unknown" if may_be_among else False,
        "rows_of_natural_persons": persons,
        "rows_of_unknown_legal_form": counts.unknown_forms if persons is not None else counts.kept,
        "names_of_natural_persons": policy.person_names,
        "partial_diffusion": policy.partial_diffusion,
        "rows_excluded_for_partial_diffusion": counts.excluded,
        "rows_masked_for_partial_diffusion": counts.masked,
        "retention_days": policy.retention_days,
        "rules": dict(_RULES),
    }


def expires(made: dt.date, policy: Policy) -> dt.date | None:
    """The first day on which a package made on that day must be gone, or None."""
    return None if policy.retention_days is None else made + dt.timedelta(days=policy.retention_days)


def is_expired(manifest: Mapping[str, Any], today: dt.date) -> bool:
    """Whether a package's manifest (`expires`: an ISO date or null) says that it must be gone."""
    text = manifest.get("expires")
    try:
        return isinstance(text, str) and dt.date.fromisoformat(text) <= today
    except ValueError:
        return False  # no manifest of ours
