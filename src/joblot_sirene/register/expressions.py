"""The rules of single rows as expressions over whole columns.

Tests hold each against the same rule for one row, which is in `identifiers` where the program needs that too, else with the tests.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Final

import polars as pl

from joblot_sirene.register import identifiers
from joblot_sirene.register.code_lists import DEPARTMENTS, LEGAL_FORM_COLUMN, NATURAL_PERSONS
from joblot_sirene.register.filters import UNKNOWN_CREATION, Filters, establishment_part
from joblot_sirene.register.naf import Selection, matching_rules

if TYPE_CHECKING:
    from collections.abc import Iterable


def matches(selection: Selection) -> pl.Expr:
    """Whether rows match an activity code: any of its rules holds."""
    return _any(
        pl.col(rule.code_column).is_in(sorted(rule.codes)).fill_null(value=False)
        & (
            pl.lit(value=True)
            if rule.nomenclature_column is None
            else pl.col(rule.nomenclature_column).fill_null("").is_in(sorted(rule.nomenclatures))
        )
        for rule in matching_rules(selection)
    )


def keeps(filters: Filters) -> pl.Expr:
    """Whether rows are taken, never null: a value that is missing never satisfies a filter that asks for one."""
    parts = [*_activity(filters), *_area(filters), *_creation(filters), *_form(filters)]
    if filters.active_only:
        parts.append(pl.col("etatAdministratifEtablissement") == "A")
    if filters.headcounts:
        parts.append(pl.col("trancheEffectifsEtablissement").is_in(sorted(filters.headcounts)))
    if filters.head_office_only:
        parts.append(pl.col("etablissementSiege"))
    if filters.employers_only:
        parts.append(pl.col("caractereEmployeurEtablissement") == "O")
    return pl.all_horizontal(part.fill_null(value=False) for part in parts) if parts else pl.lit(value=True)


def residual(filters: Filters) -> pl.Expr | None:
    """What is left to ask of establishments once rows match by the codes that are included; None when nothing is.

    What needs the legal unit is left out: `filters.unit_part` has it.
    """
    part = establishment_part(filters)
    return None if part == Filters(active_only=False) else keeps(part)


POSTAL_CODE: Final = "codePostalEtablissement"
AREA_COLUMNS: Final = ("codeCommuneEtablissement", POSTAL_CODE, "libellePaysEtrangerEtablissement")
"""What says where a place is."""


def in_area(filters: Filters) -> pl.Expr:
    """Whether rows with `AREA_COLUMNS` lie where the filters say, never null."""
    return _any(_area(filters))


def natural_person(column: str = LEGAL_FORM_COLUMN) -> pl.Expr:
    """Whether rows are of natural persons, by the legal form; null where that is not known."""
    form = pl.col(column).str.strip_chars()
    return pl.when(form != "").then(_any(form.str.starts_with(prefix) for prefix in NATURAL_PERSONS))


def whole_code(code: pl.Expr) -> pl.Expr:
    """Commune or postal codes with their zeros (`identifiers.whole_code`)."""
    is_number = code.str.contains(r"^([0-9]{4}|[0-9]{4,5}\.0+)$")
    return pl.when(is_number).then(code.str.replace(r"\.0+$", "").str.zfill(5)).otherwise(code)


def department(commune: pl.Expr, postal_code: pl.Expr, abroad: pl.Expr) -> pl.Expr:
    """The department of communes, or of postal codes where there is no commune (`identifiers.department`) and the place is not abroad."""
    commune, postal_code = whole_code(_tidy(commune)).str.to_uppercase(), whole_code(_tidy(postal_code))
    is_code = commune.str.contains(identifiers.COMMUNE).fill_null(value=False)
    by_commune = _listed(commune)
    two = postal_code.str.slice(0, 2)
    by_post = (
        pl.when(~postal_code.str.contains(r"^[0-9]{5}$"))
        .then(None)
        .when(two == "20")
        .then(pl.when(postal_code < "20200").then(pl.lit("2A")).otherwise(pl.lit("2B")))
        .when(postal_code == "97133")
        .then(pl.lit("977"))
        .when(postal_code == "97150")
        .then(pl.lit("978"))
        .otherwise(_listed(postal_code))
    )
    has_post = ~abroad & ~(is_code & commune.str.starts_with("99"))
    return pl.coalesce(pl.when(is_code).then(by_commune), pl.when(has_post).then(by_post))


def _listed(code: pl.Expr) -> pl.Expr:
    """The beginnings of codes that are departments."""
    overseas = code.str.slice(0, 2).is_in(["97", "98"])
    department = pl.when(overseas).then(code.str.slice(0, 3)).otherwise(code.str.slice(0, 2))
    return pl.when(department.is_in(list(DEPARTMENTS))).then(department)


def _tidy(code: pl.Expr) -> pl.Expr:
    return code.str.strip_chars()


def numbers(text: pl.Series) -> pl.Series:
    """SIREN or SIRET numbers as numbers, whether a spreadsheet took their zeros or added spaces and decimals; what is none is missing."""
    # nearly all are plain digits: regular expressions are for those only that do not convert
    result = text.cast(pl.UInt64, strict=False)
    failed = result.is_null() & text.is_not_null()
    if not failed.any():
        return result
    digits = text.filter(failed).str.replace_all(r"\s|[.,]0+\s*$", "").cast(pl.UInt64, strict=False)
    return result.scatter(failed.arg_true(), digits)


def siren_numbers(rows: pl.DataFrame) -> pl.Series:
    """The legal units of establishments as numbers: from the SIREN, without one from the SIRET."""
    siren = (
        numbers(rows["siren"]) if "siren" in rows.columns else pl.repeat(None, rows.height, dtype=pl.UInt64, eager=True)
    )
    if not siren.null_count() or "siret" not in rows.columns:
        return siren
    return siren.zip_with(siren.is_not_null(), numbers(rows["siret"]) // 100_000)


def digits(text: pl.Expr, length: int) -> pl.Expr:
    """The numbers of texts that are so many digits; null for others."""
    has_length = (text.str.len_bytes() == length) & ~text.str.starts_with("+")  # which a cast to a number lets through
    return pl.when(has_length).then(text.cast(pl.UInt64, strict=False))


def siren_valid(siren: pl.Expr) -> pl.Expr:
    """Whether texts are SIREN numbers (`identifiers.siren_valid`): never null."""
    number = digits(siren, 9)
    return ((_sum(number, 9, _luhn_table()) % 10 == 0) & (number > 0)).fill_null(value=False)


def siret_valid(siret: pl.Expr) -> pl.Expr:
    """Whether texts are SIRET numbers, La Poste included (`identifiers.siret_valid`): never null."""
    number = digits(siret, 14)
    siren = number // 100_000
    by_rule = _sum(number, 14, _luhn_table()) % 10 == 0
    by_digits = _sum(number, 14, _digits_table()) % 5 == 0
    post_office = (siren == int(identifiers.LA_POSTE)) & (number != int(identifiers.LA_POSTE_HEAD_OFFICE))
    return (
        pl.when(post_office).then(by_digits).otherwise(by_rule)
        & (_sum(siren, 9, _luhn_table()) % 10 == 0)
        & (siren > 0)
    ).fill_null(value=False)


def vat_number(siren: pl.Expr) -> pl.Expr:
    """The French VAT numbers of SIREN numbers, with the key (12 + 3 x (SIREN mod 97)) mod 97; null for what is not nine digits."""
    key = (12 + 3 * (digits(siren, 9) % 97)) % 97
    return pl.concat_str(pl.lit("FR"), key.cast(pl.String).str.zfill(2), siren)


def lambert93(x: pl.Expr, y: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
    """Longitude and latitude in degrees of points in Lambert-93 metres (`identifiers.lambert93`)."""
    east, south = x - identifiers.X_POLE, identifiers.Y_POLE - y
    longitude = 3 + pl.arctan2(east, south).degrees() / identifiers.CONE
    isometric = (-((east * east + south * south).sqrt() / identifiers.SCALE).log() / identifiers.CONE).exp()
    latitude = 2 * isometric.arctan() - math.pi / 2
    # fewer rounds than `identifiers.lambert93`, as each is a pass over the column; tests hold the two within 1e-7 degrees. The same function
    # as there, but written with `latitude` once: twice, the expression would double with each round, and cost more than a dataset's rows
    for _ in range(5):
        sine = identifiers.ECCENTRICITY * latitude.sin()
        latitude = 2 * ((identifiers.ECCENTRICITY * sine.arctanh()).exp() * isometric).arctan() - math.pi / 2
    return longitude, latitude.degrees()


def within(box: tuple[float, float, float, float]) -> pl.Expr:
    """Whether points (`longitude`, `latitude`) lie in a box of west, south, east and north in degrees."""
    west, south, east, north = box
    return pl.col("longitude").is_between(west, east) & pl.col("latitude").is_between(south, north)


def _any(parts: Iterable[pl.Expr]) -> pl.Expr:
    return pl.any_horizontal(list(parts))


def _activity(filters: Filters) -> list[pl.Expr]:
    parts = [_any(matches(selection) for selection in filters.naf_include)] if filters.naf_include else []
    return [*parts, *(~matches(selection) for selection in filters.naf_exclude)]


def _area(filters: Filters) -> list[pl.Expr]:
    if not filters.has_area:
        return []
    commune = whole_code(_tidy(pl.col("codeCommuneEtablissement"))).str.to_uppercase()
    post = whole_code(_tidy(pl.col(POSTAL_CODE)))
    parts = [commune.is_in(sorted(filters.communes))] if filters.communes else []
    if filters.departments:
        abroad = _tidy(pl.col("libellePaysEtrangerEtablissement")).fill_null("") != ""
        parts.append(department(commune, post, abroad).is_in(sorted(filters.departments)))
    parts += [post.str.starts_with(prefix) for prefix in filters.postal_prefixes]
    return [_any(part.fill_null(value=False) for part in parts)]


def _creation(filters: Filters) -> list[pl.Expr]:
    if filters.created_from is None and filters.created_to is None:
        return []
    created = pl.col("dateCreationEtablissement")
    parts = [created != UNKNOWN_CREATION]
    parts += [created >= filters.created_from] if filters.created_from else []
    return parts + ([created <= filters.created_to] if filters.created_to else [])


def _form(filters: Filters) -> list[pl.Expr]:
    if not filters.needs_unit:
        return []
    form = pl.col(LEGAL_FORM_COLUMN)
    parts = [form.is_not_null()] if filters.natural_persons else [~natural_person()]
    return parts + (
        [_any(form.str.starts_with(prefix) for prefix in filters.legal_forms)] if filters.legal_forms else []
    )


def _sum(number: pl.Expr, length: int, table: pl.Series) -> pl.Expr:
    """The sum over a number's digits, four at a time from the right by a table of all blocks of four."""
    # four look-ups for a SIRET instead of fourteen digits, each divided, doubled and reduced
    blocks = [(number // 10**position % 10_000).cast(pl.UInt32) for position in range(0, length, 4)]
    return pl.sum_horizontal(*(pl.lit(table).gather(block) for block in blocks), ignore_nulls=False)


@cache
def _luhn_table() -> pl.Series:
    """Luhn's sum of four digits: the second and the fourth from the right are doubled, and 9 taken away above 9."""
    doubled = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
    return pl.Series(
        [doubled[n // 1000] + n // 100 % 10 + doubled[n // 10 % 10] + n % 10 for n in range(10_000)], dtype=pl.UInt8
    )


@cache
def _digits_table() -> pl.Series:
    return pl.Series([n // 1000 + n // 100 % 10 + n // 10 % 10 + n % 10 for n in range(10_000)], dtype=pl.UInt8)
