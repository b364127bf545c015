"""The parameters of each step of a profile, a struct of the step's name, checked when it is made.

They stand apart from the steps because a job file is read before processes are forked, and the steps' data engine begins threads.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import msgspec

from joblot_sirene.fields import quoted
from joblot_sirene.steps.model import COLUMNS, MADE_LATER

if TYPE_CHECKING:
    from collections.abc import Mapping

KPIS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "valid_siret": "siret_invalid",
        "with_name": "name_missing",
        "with_sign": "sign_missing",
        "with_address": "address_missing",
        "with_postal_code": "postal_code_missing",
        "with_commune": "commune_missing",
        "known_creation": "creation_unknown",
        "known_headcount": "headcount_unknown",
        "current_activity": "activity_of_older_list",
        "distinct": "looks_alike",
    }
)
"""What a job may set targets for, each a share of rows from 0 to 1: the issue that these rows do not have, by the key of the target."""


NO_UNITS: Final = "no file of legal units: names, legal forms and categories are empty (give it with `--unite-legale`)"
"""The warning of a dataset without names."""


class Units(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`required`: warn when no file of legal units is given."""

    required: bool = False


class Normalise(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`repair`: put back zeros that a spreadsheet took from SIREN and SIRET, flagged, when the result passes the check."""

    repair: bool = True


class Identifiers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`vat`: add the VAT number of valid SIREN numbers."""

    vat: bool = True


class Duplicates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`keys`: rows that agree in all of these are repeats; without `siret` among them they are flagged only."""

    keys: tuple[str, ...] = ("siret",)

    def __post_init__(self) -> None:
        unknown = [key for key in self.keys if key not in COLUMNS]
        if unknown or not self.keys:
            raise ValueError(
                f"`keys` must name columns of the dataset{f', not {quoted(unknown[0])}' if unknown else ''}"
            )
        later = [key for key in self.keys if key in MADE_LATER]
        if later:
            raise ValueError(f"`keys` must name columns that `normalise` makes, not `{later[0]}`")


class Likeness(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`threshold`: how much name and address must look alike, 50 to 100."""

    threshold: float = 90

    def __post_init__(self) -> None:
        if not 50 <= self.threshold <= 100:
            raise ValueError(f"`threshold` must be from 50 to 100, not {self.threshold:g}")


class Labels(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No parameters."""


class Coordinates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`decimals` of degrees: 5 is about a metre."""

    decimals: int = 5


class Comparison(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`required`: warn when there is no earlier dataset."""

    required: bool = False


class History(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`required`: warn when no file of the history is given."""

    required: bool = False


class Checks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`kpi_targets`: the least share of rows by the key of a target; `minimum_rows`: how many rows there must be."""

    kpi_targets: dict[str, float] = {}
    minimum_rows: int = 0

    def __post_init__(self) -> None:
        for key, target in self.kpi_targets.items():
            if key not in KPIS:
                raise ValueError(f"{quoted(key)} is not something to set a target for: {', '.join(KPIS)}")
            if not 0 <= target <= 1:
                raise ValueError(f"the target of `{key}` must be a share from 0 to 1, not {target:g}")


class Score(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The weights; they need not sum up to 100."""

    contactability: float = 50
    unicity: float = 20
    completeness: float = 20
    freshness: float = 10

    def __post_init__(self) -> None:
        weights = (self.contactability, self.unicity, self.completeness, self.freshness)
        if min(weights) < 0 or sum(weights) <= 0:
            raise ValueError("weights must be 0 or more, and one of them more than 0")
