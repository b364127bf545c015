"""The columns of the register's stock files, and which of its layouts a file has.

A file is recognised by its columns, never by its name. This module knows names of columns and of types; it opens nothing.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from joblot_sirene.errors import LayoutError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

ColumnType = Literal["text", "date", "bigint", "boolean", "timestamp"]
Kind = Literal["establishment", "unit", "history"]


def _columns(text: str, suffix: str, kept: frozenset[str]) -> dict[str, ColumnType]:
    """`name` or `name:type` a word; the suffix is added to all but the kept names."""
    columns: dict[str, ColumnType] = {}
    for word in text.split():
        name, _, kind = word.partition(":")
        columns[name if name in kept else name + suffix] = kind or "text"  # type: ignore[assignment]
    return columns


_ADDRESS: Final = """
complementAdresse numeroVoie indiceRepetition {last} typeVoie libelleVoie codePostal libelleCommune
libelleCommuneEtranger distributionSpeciale codeCommune codeCedex libelleCedex codePaysEtranger libellePaysEtranger
"""
_FIRST_ADDRESS: Final = _ADDRESS.format(last="dernierNumeroVoie indiceRepetitionDernierNumeroVoie")
_SECOND_ADDRESS: Final = " ".join(f"{word}2" for word in _ADDRESS.format(last="").split())

COLUMNS: Final[Mapping[str, ColumnType]] = MappingProxyType(
    _columns(
        "siren nic siret statutDiffusion dateCreation:date trancheEffectifs anneeEffectifs:bigint "
        "activitePrincipaleRegistreMetiers dateDernierTraitement:timestamp etablissementSiege:boolean "
        f"nombrePeriodes:bigint {_FIRST_ADDRESS} identifiantAdresse coordonneeLambertAbscisse coordonneeLambertOrdonnee "
        f"{_SECOND_ADDRESS} dateDebut:date etatAdministratif enseigne1 enseigne2 enseigne3 denominationUsuelle "
        "activitePrincipale nomenclatureActivitePrincipale caractereEmployeur activitePrincipaleNAF25",
        "Etablissement",
        frozenset({"siren", "nic", "siret", "etablissementSiege", "dateDebut"}),
    )
)
"""The 54 columns of StockEtablissement in order, with their types. Coordinates are text, because some are `[ND]`."""

UNIT_COLUMNS: Final[Mapping[str, ColumnType]] = MappingProxyType(
    _columns(
        "siren statutDiffusion unitePurgee:boolean dateCreation:date sigle sexe prenom1 prenom2 prenom3 prenom4 "
        "prenomUsuel pseudonyme identifiantAssociation trancheEffectifs anneeEffectifs:bigint "
        "dateDernierTraitement:timestamp nombrePeriodes:bigint categorieEntreprise anneeCategorieEntreprise:bigint "
        "dateDebut:date etatAdministratif nom nomUsage denomination denominationUsuelle1 denominationUsuelle2 "
        "denominationUsuelle3 categorieJuridique activitePrincipale nomenclatureActivitePrincipale nicSiege "
        "economieSocialeSolidaire societeMission caractereEmployeur activitePrincipaleNAF25",
        "UniteLegale",
        frozenset({"siren", "categorieEntreprise", "anneeCategorieEntreprise", "dateDebut"}),
    )
)
"""The 35 columns of StockUniteLegale in order. The legal form is a number in Parquet and text in CSV: text here."""

HISTORY_COLUMNS: Final[Mapping[str, ColumnType]] = MappingProxyType(
    _columns(
        "siren nic siret dateFin:date dateDebut:date etatAdministratif changementEtatAdministratif:boolean "
        "enseigne1 enseigne2 enseigne3 changementEnseigne:boolean denominationUsuelle changementDenominationUsuelle:boolean "
        "activitePrincipale nomenclatureActivitePrincipale changementActivitePrincipale:boolean "
        "caractereEmployeur changementCaractereEmployeur:boolean",
        "Etablissement",
        frozenset({"siren", "nic", "siret", "dateFin", "dateDebut"}),
    )
)
"""The 18 columns of StockEtablissementHistorique in order: a row is a period of an establishment, not an establishment."""

GEO_COLUMNS: Final = (
    "longitude",
    "latitude",
    "geo_score",
    "geo_type",
    "geo_adresse",
    "geo_id",
    "geo_ligne",
    "geo_l4",
    "geo_l5",
)
"""What the geo-sirene files add to the establishment columns."""

PLACE_COLUMNS: Final = GEO_COLUMNS[:2]
"""Those of them that are read: degrees as text, which the register gives in metres only."""

_SINCE_2024: Final = frozenset(
    {
        "dernierNumeroVoieEtablissement",
        "indiceRepetitionDernierNumeroVoieEtablissement",
        "identifiantAdresseEtablissement",
        "coordonneeLambertAbscisseEtablissement",
        "coordonneeLambertOrdonneeEtablissement",
    }
)
_SINCE_2025: Final = frozenset({"activitePrincipaleNAF25Etablissement"})
_UNIT_LATER: Final = ("societeMissionUniteLegale", "activitePrincipaleNAF25UniteLegale")

ESTABLISHMENT_LAYOUTS: Final[Mapping[int, tuple[str, ...]]] = MappingProxyType(
    {
        48: tuple(name for name in COLUMNS if name not in _SINCE_2024 | _SINCE_2025),
        53: tuple(name for name in COLUMNS if name not in _SINCE_2025),
        54: tuple(COLUMNS),
    }
)
"""Column names by layout: 48 until 2023, 53 in 2024 and 2025, 54 since 16 December 2025."""

UNIT_LAYOUTS: Final[Mapping[int, tuple[str, ...]]] = MappingProxyType(
    {
        33: tuple(name for name in UNIT_COLUMNS if name not in _UNIT_LATER),
        34: tuple(name for name in UNIT_COLUMNS if name != _UNIT_LATER[1]),
        35: tuple(UNIT_COLUMNS),
    }
)

_DIGITS: Final = re.compile(r"[\d\s.,]*\d{4,}[\d\s.,]*")
_NAME: Final = re.compile(r"[^\W\d_][\w .()/'-]{0,59}")
"""What may be shown of a first line: names of columns, and nothing that only stands where they should."""

# a file is of a kind when it has all of these; what else is missing becomes null
_NEEDED: Final[Mapping[Kind, tuple[str, ...]]] = MappingProxyType(
    {
        "establishment": ("siret", "etatAdministratifEtablissement", "activitePrincipaleEtablissement"),
        "unit": ("siren", "etatAdministratifUniteLegale", "categorieJuridiqueUniteLegale"),
        "history": (
            "siret",
            "dateDebut",
            "etatAdministratifEtablissement",
            "changementEtatAdministratifEtablissement",
        ),
    }
)

_KNOWN: Final[Mapping[Kind, Mapping[str, ColumnType]]] = MappingProxyType(
    {"establishment": COLUMNS, "unit": UNIT_COLUMNS, "history": HISTORY_COLUMNS}
)
_OLDEST: Final[Mapping[Kind, tuple[str, ...]]] = MappingProxyType(
    {"establishment": ESTABLISHMENT_LAYOUTS[48], "unit": UNIT_LAYOUTS[33], "history": tuple(HISTORY_COLUMNS)}
)
_PLURALS: Final[Mapping[Kind, str]] = MappingProxyType(
    {"establishment": "establishments", "unit": "legal units", "history": "periods of establishments"}
)
_FILES: Final[Mapping[Kind, str]] = MappingProxyType(
    {"establishment": "StockEtablissement", "unit": "StockUniteLegale", "history": "StockEtablissementHistorique"}
)

# files of the same register that hold something else: a folded column that only they have, and what they are
_OTHERS: Final = (
    ("changementetatadministratifetablissement", "the history of establishments (StockEtablissementHistorique)"),
    ("changementetatadministratifunitelegale", "the history of legal units (StockUniteLegaleHistorique)"),
    ("sirendoublon", "the list of duplicates (StockDoublons)"),
    ("siretetablissementpredecesseur", "the links of succession (StockEtablissementLiensSuccession)"),
    ("apet700", "a stock file in the layout before 2019"),
)


class Layout(msgspec.Struct, frozen=True):
    """What the columns of a file mean.

    `canonical` gives the canonical name by the file's own name, for establishment columns and, in exports that join
    both files, for the columns of the legal unit (also listed in `unit`). `missing` are canonical names that the file
    lacks (null when read), `extra` the file's own names that no layout has. `confidence` is the share of the
    oldest layout's columns that are there, from 0 to 1.
    """

    kind: Kind
    canonical: dict[str, str]
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    unit: tuple[str, ...]
    confidence: float

    def describe(self) -> str:
        """One line: the kind, how many columns, what else is there or missing."""
        count = len(_KNOWN[self.kind])
        text = f"{_PLURALS[self.kind]}, {count - len(self.missing)} of {count} columns"
        if self.unit:
            text += f", {len(self.unit)} columns of the legal unit"
        if set(PLACE_COLUMNS) <= set(self.canonical.values()):
            text += ", geocoded"
        return text


def fold(name: str) -> str:
    """A column name without case, spaces, quotes or a byte order mark."""
    return name.strip().strip("\ufeff\"'").strip().casefold()


def recognise(names: Sequence[str], *, expected: Kind | None = None) -> Layout:
    """The layout of a file with these column names, in any order and case.

    A history of establishments is never taken for establishments: its rows are periods.

    Raises:
        LayoutError: the columns are not those of a stock file (of the expected kind), or one column is there twice.
    """
    folded = {fold(name) for name in names}
    kind = _kind(folded, expected)
    if kind is None or (expected is not None and kind != expected):
        raise _refused(names, folded, kind, expected)
    columns = _KNOWN[kind]
    # exports that join both files have columns of the legal unit beside those of the establishment
    unit_columns = [name for name in UNIT_COLUMNS if name not in COLUMNS] if kind == "establishment" else []
    place_columns = PLACE_COLUMNS if kind == "establishment" else ()
    canonical = _canonical_names(names, [*columns, *unit_columns, *place_columns])
    present = set(canonical.values())
    oldest = _OLDEST[kind]
    return Layout(
        kind=kind,
        canonical=canonical,
        missing=tuple(name for name in columns if name not in present),
        extra=tuple(name for name in names if name not in canonical),
        unit=tuple(name for name in unit_columns if name in present),
        confidence=round(len(present.intersection(oldest)) / len(oldest), 3),
    )


def _kind(folded: set[str], expected: Kind | None) -> Kind | None:
    if expected in (None, "history") and not _lacking("history", folded):
        return "history"
    if any(mark in folded for mark, _ in _OTHERS):
        return None
    return next((kind for kind in _NEEDED if not _lacking(kind, folded)), None)


def _lacking(kind: Kind, folded: set[str]) -> list[str]:
    return [name for name in _NEEDED[kind] if name.casefold() not in folded]


def _canonical_names(names: Iterable[str], columns: Iterable[str]) -> dict[str, str]:
    by_fold = {name.casefold(): name for name in columns}
    canonical: dict[str, str] = {}
    own_names: dict[str, str] = {}
    for name in names:
        column = by_fold.get(fold(name))
        if column is None:
            continue
        if column in own_names:
            raise LayoutError(
                f"the column `{column}` is there twice, as `{own_names[column]}` and as `{name}`",
                hint="drop or rename one of them",
            )
        canonical[name] = column
        own_names[column] = name
    return canonical


def _refused(names: Sequence[str], folded: set[str], kind: Kind | None, expected: Kind | None) -> LayoutError:
    target = expected or "establishment"
    # what helps most comes first: the wrong one of the files that are read, a file that is never read, the right one with columns missing
    if kind is not None:
        return LayoutError(
            f"the columns are those of {_FILES[kind]}, not of {_FILES[target]}", hint=f"give the file {_FILES[target]}"
        )
    for mark, description in _OTHERS:
        # when a history is expected, its mark is no sign of another file but of one with columns missing
        if mark in folded and not (target == "history" and mark == _OTHERS[0][0]):
            file = "current stock of establishments," if target == "establishment" else "file"
            return LayoutError(
                f"the columns are those of {description}, which is not read here",
                hint=f"give the {file} {_FILES[target]}",
            )
    key, lacking = _NEEDED[target][0], _lacking(target, folded)
    if key in folded and lacking:
        return LayoutError(
            f"the file has `{key}` but not {' nor '.join(f'`{name}`' for name in lacking)}",
            hint=f"export it again from {_FILES[target]} with these columns",
        )
    expects = f"expected columns such as {', '.join(f'`{name}`' for name in _NEEDED[target])}"
    if any(_DIGITS.fullmatch(name) for name in folded):
        # a file without a header may hold persons: nothing of it is repeated
        return LayoutError(
            "the first line holds values, not names of columns", hint=f"give the file with its header; {expects}"
        )
    known = [name for name in names if _NAME.fullmatch(name.strip())]
    first = ", ".join(f"`{name}`" for name in known[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return LayoutError(
        f"the columns are not those of a stock file of the register: {first if known else 'there are none'}",
        hint=expects,
    )
