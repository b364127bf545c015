"""From the register's columns to the dataset's: numbers with their zeros, one address line, one name, real dates, one spelling of codes."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from joblot_sirene.register import codes, identifiers, naf, vector
from joblot_sirene.register.filters import UNKNOWN_CREATION
from joblot_sirene.register.identifiers import repair_siren, repair_siret
from joblot_sirene.register.layout import COLUMNS as REGISTER
from joblot_sirene.register.layout import UNIT_COLUMNS
from joblot_sirene.register.privacy import MASK
from joblot_sirene.steps.model import Inputs, Outcome, in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from joblot_sirene.steps.parameters import Normalise

NEEDED: Final = (
    "siren", "siret", "statutDiffusionEtablissement", "dateCreationEtablissement", "trancheEffectifsEtablissement",
    "dateDernierTraitementEtablissement", "etablissementSiege", "complementAdresseEtablissement", "numeroVoieEtablissement",
    "indiceRepetitionEtablissement", "typeVoieEtablissement", "libelleVoieEtablissement", "codePostalEtablissement",
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
"""Stands between the texts of a column when they are looked at together."""
_UNTIDY_TEXTS: Final = rf"{_UNTIDY}|\x1f\s|\s\x1f"
_CODED: Final = (
    "activitePrincipaleEtablissement", "activitePrincipaleNAF25Etablissement", "trancheEffectifsEtablissement",
    "indiceRepetitionEtablissement", "typeVoieEtablissement", "codeCommuneEtablissement", "codePostalEtablissement",
)  # fmt: skip
"""Columns of few different values, each of which is looked at once."""


def run(frame: pl.DataFrame, parameters: Normalise, inputs: Inputs) -> Outcome:
    """The dataset of rows with canonical columns (those that a file lacks are null)."""
    frame = _complete(_tidy(frame))
    values = _Values(frame)
    unknown = pl.col("dateCreationEtablissement") == UNKNOWN_CREATION
    department = _department(values, identifiers.department)
    made = frame.select(
        **_names(with_persons=inputs.policy.person_names),
        **_place(values),
        departement=department,
        region=_department(values, _region),
        siret="siret",
        siren="siren",
        naf=values.changed("activitePrincipaleEtablissement", _code),
        nomenclature="nomenclatureActivitePrincipaleEtablissement",
        naf_2025=values.changed("activitePrincipaleNAF25Etablissement", _code),
        etat="etatAdministratifEtablissement",
        date_creation=pl.when(~unknown).then("dateCreationEtablissement"),
        date_debut="dateDebut",
        siege="etablissementSiege",
        employeur="caractereEmployeurEtablissement",
        tranche_effectifs=values.changed("trancheEffectifsEtablissement", lambda band: None if band == MASK else band),
        statut_diffusion="statutDiffusionEtablissement",
        date_traitement=pl.col("dateDernierTraitementEtablissement").cast(pl.Date),
        forme_juridique="categorieJuridiqueUniteLegale",
        categorie_entreprise="categorieEntreprise",
        economie_sociale="economieSocialeSolidaireUniteLegale",
        societe_mission="societeMissionUniteLegale",
        numero_repare=pl.lit(value=False),
    )
    made, zeros = _with_zeros(made) if parameters.repair else (made, 0)
    looked = frame.select(unknown=unknown.sum(), broken=_broken().any()).row(0, named=True)
    made, repaired = _repaired(made) if parameters.repair and looked["broken"] else (made, zeros)
    if not parameters.repair:
        made = made.drop("numero_repare")
    facts = {"rows": made.height, "unknown_creation": int(looked["unknown"]), "repaired_numbers": repaired}
    return Outcome(frame=in_order(made), facts=facts, warnings=warn(facts, parameters))


def warn(facts: Mapping[str, Any], parameters: Normalise) -> tuple[str, ...]:  # noqa: ARG001 - a step's signature
    """What the facts are a reason to warn of."""
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
    """Texts without spaces around and more than one inside, with one kind of apostrophe, and null instead of empty.

    Most texts are tidy: a look at a whole column as one text is much cheaper than one at each text, and than to write them anew.
    """
    texts = [name for name, kind in frame.schema.items() if kind == pl.String]
    found = frame.select(_is_untidy(name) for name in texts)
    return frame.with_columns(_tidied(name) for name in texts if found[name].item())


@cache
def _is_untidy(name: str) -> pl.Expr:
    """Whether a column has any text that is not tidy. Made once for each: to write such expressions down takes as long as a thousand rows."""
    text = pl.col(name)
    return (text == "").any() | text.str.join(_BETWEEN).str.contains(_UNTIDY_TEXTS)


@cache
def _tidied(name: str) -> pl.Expr:
    """A column with those of its texts mended that are not tidy."""
    text = pl.col(name)
    untidy = text.filter((text == "") | text.str.contains(_UNTIDY)).unique(maintain_order=True)
    mended = untidy.str.replace_all("\u2019", "'", literal=True).str.replace_all(r"\s+", " ").str.strip_chars()
    return text.replace(untidy, mended.replace("", None))


class _Values:
    """The different values of the coded columns of a frame."""

    def __init__(self, frame: pl.DataFrame) -> None:
        found = frame.select(pl.col(name).unique().drop_nulls().implode() for name in _CODED)
        self._values: dict[str, list[str]] = {name: found[name][0].to_list() for name in _CODED}

    def changed(self, name: str, change: Callable[[str], str | None]) -> pl.Expr:
        """A column with each of its values changed."""
        changes = {value: new for value in self._values[name] if (new := change(value)) != value}
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
    first = pl.coalesce("prenomUsuelUniteLegale", "prenom1UniteLegale")
    last = pl.coalesce("nomUsageUniteLegale", "nomUniteLegale")
    name = (
        pl.when(last == MASK).then(pl.lit(MASK)).otherwise(pl.concat_str(first, last, separator=" ", ignore_nulls=True))
    )
    return pl.when(last.is_not_null()).then(name)


def _place(values: _Values) -> dict[str, pl.Expr]:
    number, street = pl.col("numeroVoieEtablissement"), pl.col("libelleVoieEtablissement")
    repetition = values.changed(
        "indiceRepetitionEtablissement", lambda text: codes.REPETITIONS.get(text.upper(), text.upper())
    )
    kind = values.changed("typeVoieEtablissement", lambda text: codes.STREET_TYPES.get(text.upper(), text.upper()))
    return {
        "complement_adresse": _line(
            [pl.col("complementAdresseEtablissement"), pl.col("distributionSpecialeEtablissement")], ", "
        ),
        "adresse": _line([number, repetition, kind, street], " "),
        "code_postal": pl.col("codePostalEtablissement"),
        "commune": pl.coalesce("libelleCommuneEtablissement", "libelleCommuneEtrangerEtablissement"),
        "code_commune": pl.col("codeCommuneEtablissement"),
        "pays": pl.col("libellePaysEtrangerEtablissement"),
        "x": pl.col("coordonneeLambertAbscisseEtablissement"),
        "y": pl.col("coordonneeLambertOrdonneeEtablissement"),
    }


def _department(values: _Values, of: Callable[[str | None, str | None], str | None]) -> pl.Expr:
    """The department, or what goes with it, by the commune's code, where there is one, else by the postal code. Abroad there is none."""
    by_commune = values.changed("codeCommuneEtablissement", lambda code: of(code, None))
    by_post = values.changed("codePostalEtablissement", lambda code: of(None, code))
    abroad = pl.col("libellePaysEtrangerEtablissement").is_not_null()
    return pl.when(pl.col("codeCommuneEtablissement").is_not_null()).then(by_commune).when(~abroad).then(by_post)


def _region(commune: str | None, postal_code: str | None) -> str | None:
    return codes.region_of(identifiers.department(commune, postal_code))


def _line(parts: list[pl.Expr], separator: str) -> pl.Expr:
    """Parts put together; masked when one of them is, null when there is none."""
    text = pl.concat_str(parts, separator=separator, ignore_nulls=True)
    return pl.when(text.str.contains(MASK, literal=True)).then(pl.lit(MASK)).when(text != "").then(text)


@cache
def _broken() -> pl.Expr:
    """Numbers that are not whole, such as a spreadsheet leaves."""
    return vector.digits(pl.col("siret"), 14).is_null() | vector.digits(pl.col("siren"), 9).is_null()


def _with_zeros(frame: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Codes of communes and postal codes with the zeros that a spreadsheet took, and how many rows had lost one. Abroad they are as they are."""
    changed = []
    for name in ("code_commune", "code_postal"):
        codes_there = frame[name].drop_nulls().unique().to_list()
        changes = {code: whole for code in codes_there if (whole := identifiers.whole_code(code)) != code}
        if changes:
            changed.append(
                (name, pl.col("pays").is_null() & pl.col(name).is_in(list(changes)).fill_null(value=False), changes)
            )
    if not changed:
        return frame, 0
    mended = frame.with_columns(
        *(
            pl.when(lost).then(pl.col(name).replace(changes)).otherwise(name).alias(name)
            for name, lost, changes in changed
        ),
        numero_repare=pl.any_horizontal(lost for _, lost, _ in changed),
    )
    return mended, int(mended["numero_repare"].sum())


def _repaired(frame: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Only numbers that are not whole are looked at one by one, and those are few."""
    broken = frame.filter(_broken())
    sirets = {text: repair_siret(text) for text in broken["siret"].drop_nulls().unique()}
    sirens = {text: repair_siren(text) for text in broken["siren"].drop_nulls().unique()}
    flagged = [text for text, (_, state) in (sirets | sirens).items() if state == "repaired"]
    mended = frame.with_columns(
        numero_repare=pl.col("numero_repare")
        | (pl.col("siret").is_in(flagged) | pl.col("siren").is_in(flagged)).fill_null(value=False),
        siret=pl.col("siret").replace({text: new for text, (new, _) in sirets.items()}),
        siren=pl.col("siren").replace({text: new for text, (new, _) in sirens.items()}),
    )
    from_siret = pl.when(pl.col("siren").is_null() & pl.col("siret").str.contains(r"^\d{14}$")).then(
        pl.col("siret").str.slice(0, 9)
    )
    mended = mended.with_columns(siren=from_siret.otherwise("siren"))
    return mended, int(mended["numero_repare"].sum())
