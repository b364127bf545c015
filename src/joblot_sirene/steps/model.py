"""The input and the outcome of a step, and the columns of a dataset."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from joblot_sirene.register.privacy import Hidden, Policy

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    import polars as pl


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """What a step may look at beside the rows: the day it counts from, the policy, and rows of other files.

    `units` are legal units, `earlier` is a dataset of an earlier stock, `history` has the periods of the establishments (`history.NEEDED`).
    `hidden` are numbers that other rows of the files hide; None where none can: the rows themselves and `units` say it all.
    """

    today: dt.date
    policy: Policy = Policy()
    units: pl.DataFrame | None = None
    earlier: pl.DataFrame | None = None
    history: pl.DataFrame | None = None
    hidden: Hidden | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a step: the rows, facts for the report as plain values, and warnings."""

    frame: pl.DataFrame
    facts: dict[str, Any] = {}
    warnings: tuple[str, ...] = ()


class Step(Protocol):
    """The function of a step."""

    def __call__(self, frame: pl.DataFrame, parameters: Any, inputs: Inputs) -> Outcome:
        """Change the rows; `parameters` is the step's own struct of parameters."""


COLUMNS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "siret": "number of the establishment, 14 digits as text",
        "siren": "number of the legal unit, 9 digits as text",
        "raison_sociale": "name of the legal unit; of a natural person only when the job asks for it",
        "enseigne": "shown name of the place: its sign, else its usual name, else the name of the legal unit",
        "complement_adresse": "building, floor, special distribution; CEDEX code and label",
        "adresse": "number or range of numbers with repetition indices, street type in full and street",
        "code_postal": "postal code, 5 digits as text",
        "commune": "name of the commune, or of the town abroad",
        "code_commune": "official code of the commune, 5 characters",
        "departement": "department, from the code of the commune, else from the postal code",
        "region": "name of the region of 2016",
        "pays": "country; empty for France",
        "naf": "activity code of the establishment, with dot",
        "nomenclature": "list that `naf` belongs to: NAFRev2, NAF2025, or an older one",
        "naf_2025": "activity code in NAF 2025, for live establishments",
        "etat": "A active, F closed",
        "date_creation": "date of creation; empty when the register says 1900-01-01, its word for unknown",
        "date_debut": "beginning of the current period; the closing date of a closed establishment",
        "siege": "whether it is the head office",
        "employeur": "whether it employs people: O or N",
        "tranche_effectifs": "headcount band (NN: none or unknown)",
        "statut_diffusion": "O public, P partial diffusion (masked), N the same in files before March 2023",
        "date_traitement": "day of the register's last change",
        "x": "first coordinate in metres of the local projection, as the register has it",
        "y": "second coordinate in metres",
        "forme_juridique": "legal form of the legal unit, 4 digits",
        "categorie_entreprise": "PME, ETI or GE",
        "economie_sociale": "whether it belongs to the social economy: O or N",
        "societe_mission": "whether it is a company with a mission: O or N",
        "siren_valide": "whether the SIREN passes its check",
        "siret_valide": "whether the SIRET passes its check",
        "numero_repare": "whether a number or code was mended: zeros that a spreadsheet had lost, blanks or decimals that it had added",
        "tva": "VAT number, computed from the SIREN; empty where French VAT is not due",
        "repetition": "1 for the first row of a repeated key, 2 for the second...",
        "groupe_doublons": "SIRET of the first of the establishments that look alike; empty when none does",
        "similarite": "how much it looks like the nearest of its group, 0 to 100",
        "naf_libelle": "label of `naf`",
        "naf_2025_libelle": "label of `naf_2025`",
        "section": "letter of the section",
        "section_libelle": "label of the section",
        "forme_juridique_libelle": "label of the legal form at two digits",
        "effectifs_libelle": "label of the headcount band",
        "departement_nom": "name of the department",
        "age_annees": "full years from the creation to the stock; empty before 1800 and after the stock",
        "longitude": "degrees, WGS 84",
        "latitude": "degrees, WGS 84",
        "hors_territoire": "whether the register's coordinates lie outside the territory of the department (then none are given)",
        "evolution": "since the earlier dataset: nouveau, inchange, demenage, naf_change, ferme, rouvert",
        "score": "quality of the row, 0 to 100, by the weights of the job",
    }
)
"""The columns that a dataset may have, in order, and what each means: the data dictionary."""

MADE_LATER: Final = frozenset(tuple(COLUMNS)[tuple(COLUMNS).index("siren_valide") :]) | {"numero_repare"}
"""Those that steps after `normalise` add, and one that it makes only sometimes."""


def in_order(frame: pl.DataFrame) -> pl.DataFrame:
    """The columns of a dataset in the order of the dictionary."""
    return frame.select([name for name in COLUMNS if name in frame.columns])


def dictionary(frame: pl.DataFrame) -> list[dict[str, str]]:
    """The data dictionary of one dataset: name, type and meaning of each column."""
    return [{"name": name, "type": str(kind), "meaning": COLUMNS.get(name, "")} for name, kind in frame.schema.items()]
