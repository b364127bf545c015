"""From the register's columns to the dataset's: numbers with their zeros, one address line, one name, real dates, one spelling of codes."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from joblot_sirene.register import code_lists, expressions, identifiers, naf
from joblot_sirene.register.filters import UNKNOWN_CREATION
from joblot_sirene.register.identifiers import repair_siren, repair_siret
from joblot_sirene.register.layout import COLUMNS as REGISTER
from joblot_sirene.register.layout import PLACE_COLUMNS, UNIT_COLUMNS
from joblot_sirene.register.privacy import MASK
from joblot_sirene.steps.model import Inputs, Outcome, in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from joblot_sirene.steps.parameters import Normalise

NEEDED: Final = (
    "siren", "siret", "statutDiffusionEtablissement", "dateCreationEtablissement", "trancheEffectifsEtablissement",
    "dateDernierTraitementEtablissement", "etablissementSiege", "complementAdresseEtablissement", "numeroVoieEtablissement",
    "indiceRepetitionEtablissement", "dernierNumeroVoieEtablissement", "indiceRepetitionDernierNumeroVoieEtablissement",
    "typeVoieEtablissement", "libelleVoieEtablissement", "codePostalEtablissement", "codeCedexEtablissement", "libelleCedexEtablissement",
    "libelleCommuneEtablissement", "libelleCommuneEtrangerEtablissement", "distributionSpecialeEtablissement", "codeCommuneEtablissement",
    "libellePaysEtrangerEtablissement", "coordonneeLambertAbscisseEtablissement", "coordonneeLambertOrdonneeEtablissement", "dateDebut",
    "etatAdministratifEtablissement", "enseigne1Etablissement", "denominationUsuelleEtablissement", "activitePrincipaleEtablissement",
    "nomenclatureActivitePrincipaleEtablissement", "caractereEmployeurEtablissement", "activitePrincipaleNAF25Etablissement",
)  # fmt: skip
"""The register's columns that a dataset is made of."""


UNIT_NEEDED: Final = (
    "denominationUniteLegale", "sigleUniteLegale", "prenomUsuelUniteLegale", "prenom1UniteLegale", "nomUsageUniteLegale", "nomUniteLegale",
    "categorieJuridiqueUniteLegale", "categorieEntreprise", "economieSocialeSolidaireUniteLegale", "societeMissionUniteLegale",
)  # fmt: skip
"""The legal unit's columns that are used when they are there."""

_UNTIDY: Final = r"^\s|\s$|\s\s|[^\S ]|\x{2019}"
_BETWEEN: Final = "\x1f"
"""The separator of the texts of a column when they are joined into one."""
_UNTIDY_TEXTS: Final = rf"{_UNTIDY}|\x1f\s|\s\x1f|^\x1f|\x1f\x1f|\x1f$"
"""Any text that is not tidy, or is empty, among two or more."""
_CODED: Final = (
    "activitePrincipaleEtablissement", "activitePrincipaleNAF25Etablissement", "trancheEffectifsEtablissement",
    "indiceRepetitionEtablissement", "indiceRepetitionDernierNumeroVoieEtablissement", "typeVoieEtablissement", "codeCommuneEtablissement",
    "codePostalEtablissement",
)  # fmt: skip
"""Columns of few different values, each of which is converted once."""


def run(frame: pl.DataFrame, parameters: Normalise, inputs: Inputs) -> Outcome:
    """The dataset of rows with canonical columns (those that a file lacks are null)."""
    frame = _complete(_tidy(frame))
    values = _Values(frame)
    frame = _with_lines(frame, values)
    unknown = pl.col("dateCreationEtablissement") == UNKNOWN_CREATION
    dataset = frame.select(
        **_names(with_persons=inputs.policy.person_names),
        complement_adresse=_masked(pl.col("__complement")),
        adresse=_masked(pl.col("__address")),
        code_postal="codePostalEtablissement",
        commune=pl.coalesce("libelleCommuneEtablissement", "libelleCommuneEtrangerEtablissement"),
        code_commune=values.converted("codeCommuneEtablissement", str.upper),
        pays="libellePaysEtrangerEtablissement",
        x=_metres(frame["coordonneeLambertAbscisseEtablissement"]),
        y=_metres(frame["coordonneeLambertOrdonneeEtablissement"]),
        departement=_department(values),
        siret="siret",
        siren="siren",
        naf=values.converted("activitePrincipaleEtablissement", _code),
        nomenclature="nomenclatureActivitePrincipaleEtablissement",
        naf_2025=values.converted("activitePrincipaleNAF25Etablissement", _code),
        etat="etatAdministratifEtablissement",
        date_creation=pl.when(~unknown).then("dateCreationEtablissement"),
        date_debut="dateDebut",
        siege="etablissementSiege",
        employeur="caractereEmployeurEtablissement",
        tranche_effectifs=values.converted(
            "trancheEffectifsEtablissement", lambda band: None if band == MASK else band
        ),
        statut_diffusion="statutDiffusionEtablissement",
        date_traitement=pl.col("dateDernierTraitementEtablissement").cast(pl.Date),
        forme_juridique="categorieJuridiqueUniteLegale",
        categorie_entreprise="categorieEntreprise",
        economie_sociale="economieSocialeSolidaireUniteLegale",
        societe_mission="societeMissionUniteLegale",
        numero_repare=pl.lit(value=False),
        **_places(frame),
    )
    dataset = dataset.with_columns(_region())
    counts = frame.select(unknown=unknown.sum(), malformed=_is_malformed().any()).row(0, named=True)
    repaired = 0
    if parameters.repair:
        dataset, repaired = _with_zeros(dataset)
        if counts["malformed"]:
            dataset, repaired = _repaired(dataset)
    else:
        dataset = dataset.drop("numero_repare")
    facts = {"rows": dataset.height, "unknown_creation": int(counts["unknown"]), "repaired_numbers": repaired}
    return Outcome(frame=in_order(dataset), facts=facts, warnings=warn(facts, parameters))


def warn(facts: Mapping[str, Any], parameters: Normalise) -> tuple[str, ...]:  # noqa: ARG001 - a step's signature
    """The warnings that the facts give reason for."""
    repaired = facts["repaired_numbers"]
    text = f"{repaired} numbers had lost their zeros and were mended: see the column `numero_repare`"
    return (text,) if repaired else ()


def _complete(frame: pl.DataFrame) -> pl.DataFrame:
    kinds: dict[str, pl.DataType | type[pl.DataType]] = {
        "date": pl.Date,
        "boolean": pl.Boolean,
        "timestamp": pl.Datetime("us"),
    }
    missing = [name for name in (*NEEDED, *UNIT_NEEDED) if name not in frame.columns]
    types = {**UNIT_COLUMNS, **REGISTER}
    return frame.with_columns(pl.lit(None, dtype=kinds.get(types[name], pl.String)).alias(name) for name in missing)


def _tidy(frame: pl.DataFrame) -> pl.DataFrame:
    """Texts without spaces around them or two in a row, with one kind of apostrophe, and null instead of empty.

    Most columns are tidy, and to search one as a single text is much cheaper than to search each of its texts.
    """
    counts = next(frame.select(pl.col(pl.String).count()).iter_rows(named=True), {})
    joined = [_is_untidy(name) for name, count in counts.items() if count > 1]
    untidy = next(frame.select(joined).iter_rows(named=True), {})
    # a single text is joined to none, and as cheap to tidy as to look at
    return frame.with_columns(_tidied(name) for name, count in counts.items() if count == 1 or untidy.get(name))


@cache
def _is_untidy(name: str) -> pl.Expr:
    """Whether a column has any text that is not tidy. Made once for each: to make such an expression takes as long as a thousand rows."""
    return pl.col(name).str.join(_BETWEEN).str.contains(_UNTIDY_TEXTS)


@cache
def _tidied(name: str) -> pl.Expr:
    """A column with tidy texts instead of those that are not."""
    text = pl.col(name)
    untidy = text.filter((text == "") | text.str.contains(_UNTIDY)).unique(maintain_order=True)
    tidy = untidy.str.replace_all("\u2019", "'", literal=True).str.replace_all(r"\s+", " ").str.strip_chars()
    return text.replace(untidy, tidy.replace("", None))


class _Values:
    """The different values of the coded columns of a frame."""

    def __init__(self, frame: pl.DataFrame) -> None:
        lists = frame.select(pl.col(name).unique().drop_nulls().implode() for name in _CODED)
        self._values: dict[str, list[str]] = {name: lists[name][0].to_list() for name in _CODED}

    def converted(self, name: str, convert: Callable[[str], str | None]) -> pl.Expr:
        """A column with each of its values converted."""
        changes = {value: new for value in self._values[name] if (new := convert(value)) != value}
        return pl.col(name).replace(changes) if changes else pl.col(name)


def _code(code: str) -> str:
    """An activity code with its dot."""
    code = code.upper()
    return naf.dotted(code) if re.fullmatch(r"\d{4}[A-Z]", code) else code


@cache
def _names(*, with_persons: bool) -> dict[str, pl.Expr]:
    company = pl.coalesce("denominationUniteLegale", *([_person()] if with_persons else []), "sigleUniteLegale")
    return {
        "raison_sociale": company,
        "enseigne": pl.coalesce("enseigne1Etablissement", "denominationUsuelleEtablissement", company),
    }


def _person() -> pl.Expr:
    # the names that a person uses, before those of the civil register
    first = pl.coalesce("prenomUsuelUniteLegale", "prenom1UniteLegale")
    last = pl.coalesce("nomUsageUniteLegale", "nomUniteLegale")
    name = (
        pl.when(last == MASK).then(pl.lit(MASK)).otherwise(pl.concat_str(first, last, separator=" ", ignore_nulls=True))
    )
    return pl.when(last.is_not_null()).then(name)


def _places(frame: pl.DataFrame) -> dict[str, pl.Expr]:
    """Longitude and latitude, where the file has any; those that are no degrees are missing."""
    return {
        name: pl.col(name).str.replace(",", ".", literal=True).cast(pl.Float64, strict=False)
        for name in PLACE_COLUMNS
        if name in frame.columns
    }


def _repetition(text: str) -> str:
    return code_lists.REPETITIONS.get(text.upper(), text.upper())


def _with_lines(frame: pl.DataFrame, values: _Values) -> pl.DataFrame:
    """The rows with the lines of their addresses, `__address` and `__complement`: made step by step, as each is looked at several times."""
    repetition = values.converted("indiceRepetitionEtablissement", _repetition)
    kind = values.converted(
        "typeVoieEtablissement", lambda text: code_lists.STREET_TYPES.get(text.upper(), text.upper())
    )
    frame = _with_rare_parts(frame, values, repetition)
    number, of_range = pl.col("numeroVoieEtablissement"), pl.col("__range")
    numbers = [pl.coalesce(of_range, number), pl.when(of_range.is_null()).then(repetition)]
    complement = ["complementAdresseEtablissement", "distributionSpecialeEtablissement", "__cedex"]
    return frame.with_columns(
        __address=pl.concat_str(*numbers, kind, "libelleVoieEtablissement", separator=" ", ignore_nulls=True),
        __complement=pl.concat_str(complement, separator=", ", ignore_nulls=True),
    )


_OF_RANGE: Final = ("dernierNumeroVoieEtablissement", "indiceRepetitionDernierNumeroVoieEtablissement")
_OF_CEDEX: Final = ("codeCedexEtablissement", "libelleCedexEtablissement")


def _with_rare_parts(frame: pl.DataFrame, values: _Values, repetition: pl.Expr) -> pl.DataFrame:
    """The rows with `__range` (the register's own form: `12-14`) and `__cedex`, which few have: they are made for those only."""
    has_any, place, masks = _rare()
    rare = frame.filter(has_any)
    parts = rare.select(
        number="numeroVoieEtablissement",
        first=_line([pl.col("numeroVoieEtablissement"), repetition], " "),
        last=_line([pl.col(_OF_RANGE[0]), values.converted(_OF_RANGE[1], _repetition)], " "),
        __cedex=_line([pl.col(name) for name in _OF_CEDEX], " "),
    )
    # the last number is the first one, or that without its index, where there is no range
    is_range = pl.all_horizontal(pl.col("last").ne_missing(pl.col(name)) for name in ("first", "number"))
    last = pl.when(is_range).then("last")
    parts = parts.select("__cedex", __range=_line([pl.col("first"), last], "-"))
    if not parts.height:
        return frame.with_columns(**masks)
    return frame.with_columns(place).with_columns(
        pl.coalesce(mask, pl.lit(parts[name]).gather("__place")).alias(name) for name, mask in masks.items()
    )


@cache
def _rare() -> tuple[pl.Expr, pl.Expr, dict[str, pl.Expr]]:
    """Whether a row has a range or a CEDEX, its place among those that do, and by part whether it is masked."""
    has_any = pl.any_horizontal(pl.col(name) != MASK for name in (*_OF_RANGE, *_OF_CEDEX)).fill_null(value=False)
    masks: dict[str, pl.Expr] = {
        part: pl.when(pl.any_horizontal(pl.col(name) == MASK for name in columns)).then(pl.lit(MASK))
        for part, columns in (("__range", _OF_RANGE), ("__cedex", _OF_CEDEX))
    }
    return has_any, pl.when(has_any).then(has_any.cum_sum() - 1).alias("__place"), masks


def _metres(column: pl.Series) -> pl.Series:
    """Coordinates with a decimal point, which a spreadsheet in French writes as a comma. What is no number stays as it is."""
    if not column.str.contains(",", literal=True).any():
        return column
    return column.str.replace(r"^(-?\d+),(\d+)$", "$1.$2")


def _department(values: _Values) -> pl.Expr:
    """The department from the commune's code where that can be one, else from the postal code. Abroad there is none."""
    by_commune = values.converted("codeCommuneEtablissement", lambda code: identifiers.department(code, None))
    by_post = values.converted("codePostalEtablissement", lambda code: identifiers.department(None, code))
    abroad = pl.col("libellePaysEtrangerEtablissement").is_not_null()
    abroad |= pl.col("codeCommuneEtablissement").str.starts_with("99").fill_null(value=False)
    return pl.coalesce(by_commune, pl.when(~abroad).then(by_post))


@cache
def _region() -> pl.Expr:
    regions = {department: code_lists.region_of(department) for department in code_lists.DEPARTMENTS}
    return pl.col("departement").replace_strict(regions, default=None, return_dtype=pl.String).alias("region")


def _line(parts: list[pl.Expr], separator: str) -> pl.Expr:
    """Parts joined by a separator; masked when one of them is, null when there is none."""
    return _masked(pl.concat_str(parts, separator=separator, ignore_nulls=True))


def _masked(text: pl.Expr) -> pl.Expr:
    return pl.when(text.str.contains(MASK, literal=True)).then(pl.lit(MASK)).when(text != "").then(text)


@cache
def _is_malformed() -> pl.Expr:
    """Whether a row has a SIRET or SIREN that is not all of its digits, such as a spreadsheet leaves."""
    return expressions.digits(pl.col("siret"), 14).is_null() | expressions.digits(pl.col("siren"), 9).is_null()


def _with_zeros(frame: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Codes of communes and postal codes with the zeros that a spreadsheet took, and how many rows had lost one. Abroad none is added."""
    columns: list[pl.Expr] = []
    conditions: list[pl.Expr] = []
    for name in ("code_commune", "code_postal"):
        values = frame[name].drop_nulls().unique().to_list()
        changes = {code: whole for code in values if (whole := identifiers.whole_code(code)) != code}
        if changes:
            has_lost = pl.col("pays").is_null() & pl.col(name).is_in(list(changes)).fill_null(value=False)
            columns.append(pl.when(has_lost).then(pl.col(name).replace(changes)).otherwise(name).alias(name))
            conditions.append(has_lost)
    if not columns:
        return frame, 0
    repaired = frame.with_columns(*columns, numero_repare=pl.any_horizontal(conditions))
    return repaired, int(repaired["numero_repare"].sum())


def _repaired(frame: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """SIREN and SIRET with the zeros that a spreadsheet took, and how many rows have any repaired value."""
    # one by one, because each has to pass its check: only those that are malformed, which are few
    malformed = frame.filter(_is_malformed())
    sirets = {text: repair_siret(text) for text in malformed["siret"].drop_nulls().unique()}
    sirens = {text: repair_siren(text) for text in malformed["siren"].drop_nulls().unique()}
    flagged = [text for text, (_, state) in (sirets | sirens).items() if state == "repaired"]
    repaired = frame.with_columns(
        numero_repare=pl.col("numero_repare")
        | (pl.col("siret").is_in(flagged) | pl.col("siren").is_in(flagged)).fill_null(value=False),
        siret=pl.col("siret").replace({text: new for text, (new, _) in sirets.items()}),
        siren=pl.col("siren").replace({text: new for text, (new, _) in sirens.items()}),
    )
    from_siret = pl.when(pl.col("siren").is_null() & pl.col("siret").str.contains(r"^\d{14}$")).then(
        pl.col("siret").str.slice(0, 9)
    )
    repaired = repaired.with_columns(siren=from_siret.otherwise("siren"))
    return repaired, int(repaired["numero_repare"].sum())
