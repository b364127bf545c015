"""From the register's columns to the dataset's: numbers with their zeros, one address line, one name, real dates, one spelling of codes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import polars as pl

from joblot_sirene import codes, identifiers, naf
from joblot_sirene.filters import UNKNOWN_CREATION
from joblot_sirene.identifiers import repair_siren, repair_siret
from joblot_sirene.layout import COLUMNS as REGISTER
from joblot_sirene.layout import UNIT_COLUMNS
from joblot_sirene.privacy import MASK
from joblot_sirene.steps.model import Inputs, Outcome, in_order

if TYPE_CHECKING:
    from collections.abc import Callable

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

_UNTIDY: Final = r"^\s|\s$|\s\s|[\t\r\n\x{2019}]|^$"


def run(frame: pl.DataFrame, parameters: Normalise, inputs: Inputs) -> Outcome:
    """The dataset of rows with canonical columns (those that a file lacks are null)."""
    frame = _tidy(_complete(frame))
    unknown = pl.col("dateCreationEtablissement") == UNKNOWN_CREATION
    made = frame.select(
        **_names(with_persons=inputs.policy.person_names),
        **_place(frame),
        siret="siret",
        siren="siren",
        naf=_values(frame, "activitePrincipaleEtablissement", _code),
        nomenclature="nomenclatureActivitePrincipaleEtablissement",
        naf_2025=_values(frame, "activitePrincipaleNAF25Etablissement", _code),
        etat="etatAdministratifEtablissement",
        date_creation=pl.when(~unknown).then("dateCreationEtablissement"),
        date_debut="dateDebut",
        siege="etablissementSiege",
        employeur="caractereEmployeurEtablissement",
        tranche_effectifs=_values(frame, "trancheEffectifsEtablissement", lambda band: None if band == MASK else band),
        statut_diffusion="statutDiffusionEtablissement",
        date_traitement=pl.col("dateDernierTraitementEtablissement").cast(pl.Date),
        forme_juridique="categorieJuridiqueUniteLegale",
        categorie_entreprise="categorieEntreprise",
        economie_sociale="economieSocialeSolidaireUniteLegale",
        societe_mission="societeMissionUniteLegale",
    )
    made = made.with_columns(region=_values(made, "departement", codes.region_of))
    made, repaired = _repaired(made) if parameters.repair else (made, 0)
    facts = {
        "rows": made.height,
        "unknown_creation": int(frame.select(unknown.sum()).item()),
        "repaired_numbers": repaired,
    }
    warnings = (
        (f"{repaired} numbers had lost their zeros and were mended: see the column `numero_repare`",)
        if repaired
        else ()
    )
    return Outcome(frame=in_order(made), facts=facts, warnings=warnings)


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

    Most columns of most files are tidy: one look at each is much cheaper than to write it anew.
    """
    texts = [name for name in (*NEEDED, *UNIT_NEEDED) if frame.schema[name] == pl.String]
    found = frame.select(pl.col(name).str.contains(_UNTIDY).any() for name in texts)
    return frame.with_columns(_tidied(name) for name in texts if found[name].item())


def _tidied(name: str) -> pl.Expr:
    text = pl.col(name).str.replace_all("\u2019", "'", literal=True).str.replace_all(r"\s+", " ").str.strip_chars()
    return pl.when(text != "").then(text).alias(name)


def _values(frame: pl.DataFrame, name: str, change: Callable[[str], str | None]) -> pl.Expr:
    """A column of few different values with each of them changed: every value is looked at once."""
    changes = {value: new for value in frame[name].unique().drop_nulls() if (new := change(value)) != value}
    return pl.col(name).replace(changes) if changes else pl.col(name)


def _code(code: str) -> str:
    """An activity code with its dot."""
    code = code.upper()
    return naf.dotted(code) if re.fullmatch(r"\d{4}[A-Z]", code) else code


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


def _place(frame: pl.DataFrame) -> dict[str, pl.Expr]:
    number, street = pl.col("numeroVoieEtablissement"), pl.col("libelleVoieEtablissement")
    repetition = _values(
        frame, "indiceRepetitionEtablissement", lambda text: codes.REPETITIONS.get(text.upper(), text.upper())
    )
    kind = _values(frame, "typeVoieEtablissement", lambda text: codes.STREET_TYPES.get(text.upper(), text.upper()))
    return {
        "complement_adresse": _line(
            [pl.col("complementAdresseEtablissement"), pl.col("distributionSpecialeEtablissement")], ", "
        ),
        "adresse": _line([number, repetition, kind, street], " "),
        "code_postal": pl.col("codePostalEtablissement"),
        "commune": pl.coalesce("libelleCommuneEtablissement", "libelleCommuneEtrangerEtablissement"),
        "code_commune": pl.col("codeCommuneEtablissement"),
        "departement": _department(frame),
        "pays": pl.col("libellePaysEtrangerEtablissement"),
        "x": pl.col("coordonneeLambertAbscisseEtablissement"),
        "y": pl.col("coordonneeLambertOrdonneeEtablissement"),
    }


def _department(frame: pl.DataFrame) -> pl.Expr:
    by_commune = _values(frame, "codeCommuneEtablissement", identifiers.department)
    by_post = _values(frame, "codePostalEtablissement", lambda code: identifiers.department(None, code))
    return pl.when(pl.col("codeCommuneEtablissement").is_not_null()).then(by_commune).otherwise(by_post)


def _line(parts: list[pl.Expr], separator: str) -> pl.Expr:
    """Parts put together; masked when one of them is, null when there is none."""
    text = pl.concat_str(parts, separator=separator, ignore_nulls=True)
    return pl.when(text.str.contains(MASK, literal=True)).then(pl.lit(MASK)).when(text != "").then(text)


def _repaired(frame: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Only numbers that are not whole are looked at one by one, and those are few."""
    broken = ~(pl.col("siret").str.contains(r"^\d{14}$") & pl.col("siren").str.contains(r"^\d{9}$")).fill_null(
        value=False
    )
    if not frame.select(broken.any()).item():
        return frame.with_columns(numero_repare=pl.lit(value=False)), 0
    sirets = {text: repair_siret(text) for text in frame.filter(broken)["siret"].drop_nulls().unique()}
    sirens = {text: repair_siren(text) for text in frame.filter(broken)["siren"].drop_nulls().unique()}
    flagged = [text for text, (_, state) in (sirets | sirens).items() if state == "repaired"]
    mended = frame.with_columns(
        numero_repare=(pl.col("siret").is_in(flagged) | pl.col("siren").is_in(flagged)).fill_null(value=False),
        siret=pl.col("siret").replace({text: new for text, (new, _) in sirets.items()}),
        siren=pl.col("siren").replace({text: new for text, (new, _) in sirens.items()}),
    )
    from_siret = pl.when(pl.col("siren").is_null() & pl.col("siret").str.contains(r"^\d{14}$")).then(
        pl.col("siret").str.slice(0, 9)
    )
    mended = mended.with_columns(siren=from_siret.otherwise("siren"))
    return mended, int(mended["numero_repare"].sum())
