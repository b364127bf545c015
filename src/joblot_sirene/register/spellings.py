"""How files that have been through other hands write the register's codes: one reader a column, and the values that none understands.

The register writes `62.01Z`, `NAFRev2`, `A`, `01`, `2015-06-01`. Exports and spreadsheets write `6201Z`, `NAF rev. 2`, `Actif`, `1`, `Oui`. What
has one meaning only is read; anything else stays as it is, matches nothing, and is told. This module knows values and columns, no files.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from joblot_sirene.register.code_lists import HEADCOUNTS
from joblot_sirene.register.naf import CODE_COLUMN, NAF25, NAF25_COLUMN, NOMENCLATURE_COLUMN, OLDER, REV2, dotted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

STATE: Final = "etatAdministratifEtablissement"
HEADCOUNT: Final = "trancheEffectifsEtablissement"
EMPLOYER: Final = "caractereEmployeurEtablissement"
STATUS: Final = "statutDiffusionEtablissement"
HEAD_OFFICE: Final = "etablissementSiege"
HIDDEN: Final = "[ND]"
"""What the register writes where it does not show a value."""

NOMENCLATURES: Final = (REV2, NAF25, *OLDER)
"""The lists of activities that a row can be of."""

_TIDY: Final = re.compile(r"[0-9]{2}\.[0-9]{1,2}[A-Z]?").fullmatch
_NOMENCLATURES: Final = (
    (r"naf(rev(ision)?2|2008)", REV2),
    (r"naf(20)?25", NAF25),
    (r"naf(rev(ision)?1|2003)", "NAFRev1"),
    (r"naf(19)?93", "NAF1993"),
    (r"nap(1973|73|600)?", "NAP"),
)
_STATES: Final = {"a": "A", "actif": "A", "active": "A", "f": "F", "ferme": "F", "fermee": "F"}
_YES_NO: Final = {"o": "O", "oui": "O", "true": "O", "vrai": "O", "n": "N", "non": "N", "false": "N", "faux": "N"}
TRUTH: Final[Mapping[str, bool]] = MappingProxyType(
    dict.fromkeys(("true", "1", "1.0", "vrai", "oui", "o", "t"), True)
    | dict.fromkeys(("false", "0", "0.0", "faux", "non", "n", "f"), False)
)
"""Truth values in lower case, as exports write them."""


def activity(text: str) -> str | None:
    """An activity code as the register writes it: five signs have a dot (`62.01Z`); codes of older lists stay as they are."""
    if _TIDY(text):
        return text
    code = re.sub(r"[\W_]", "", text)
    if re.fullmatch(r"[0-9]{4}[A-Za-z]", code):
        return dotted(code.upper())
    is_older = re.fullmatch(r"[0-9]{3}[A-Za-z]", code) or re.fullmatch(r"[0-9]{2}\.?[0-9]{1,2}", text.strip())
    return text.strip() if is_older else None


USUAL_LENGTH: Final = len("62.01Z")
"""Of codes; what is longer has blanks or other signs in it."""


def usual_variants(code: str) -> tuple[str, ...]:
    """A full code as exports write it: with or without dot, in either case."""
    plain = code.replace(".", "")
    return tuple(dict.fromkeys((code, plain, code.lower(), plain.lower())))


def nomenclature(text: str) -> str | None:
    """The list of activities that a text names."""
    word = re.sub(r"[^a-z0-9]", "", _folded(text))
    return next((name for pattern, name in _NOMENCLATURES if re.fullmatch(pattern, word)), None)


def state(text: str) -> str | None:
    """A (active) or F (closed)."""
    return _STATES.get(_folded(text))


def yes_or_no(text: str) -> str | None:
    """O or N."""
    return _YES_NO.get(_folded(text))


def diffusion(text: str) -> str | None:
    """The status of diffusion as it is: no other spelling makes anybody public."""
    return text if text in ("O", "P", "N") else None


def headcount(text: str) -> str | None:
    """The band of two signs: of a number that a spreadsheet made (`1`, `53.0`), or of the band's label (`10 à 19 salariés`)."""
    word = _folded(text)
    number = re.fullmatch(r"([0-9]{1,2})([.,]0+)?", word)
    band = number[1].zfill(2) if number else word.upper()
    if band in HEADCOUNTS:
        return band
    if word in _BANDS:
        return _BANDS[word]
    words = re.sub(r"(?<=[0-9]) (?=[0-9]{3}\b)", "", word)
    bounds = re.fullmatch(r"([0-9]+)(?: (?:a|ou|et) ([0-9]+))? salaries?( et plus|\b.*)", words)
    if bounds is None:
        return "NN" if re.match(r"(etablissement|unite) non[- ]employeu", words) else None
    least = int(bounds[1])
    if bounds[2] is None:
        return "00" if least == 0 else "53" if (least, bounds[3]) == (10_000, " et plus") else None
    most = int(bounds[2])
    return next((band for band, (low, high, _) in HEADCOUNTS.items() if (low, high) == (least, most) and least), None)


READERS: Final[Mapping[str, Callable[[str], str | None]]] = MappingProxyType(
    {
        CODE_COLUMN: activity,
        NAF25_COLUMN: activity,
        NOMENCLATURE_COLUMN: nomenclature,
        STATE: state,
        EMPLOYER: yes_or_no,
        HEADCOUNT: headcount,
        STATUS: diffusion,
    }
)
"""By column, what makes a value of a file one of the register's; None: the value is not understood."""

_EXPECTED: Final[Mapping[str, str]] = MappingProxyType(
    {
        CODE_COLUMN: "codes such as `62.01Z`",
        NAF25_COLUMN: "codes such as `62.10Y`",
        NOMENCLATURE_COLUMN: "`NAFRev2` or `NAF2025`",
        STATE: "`A` or `F`",
        EMPLOYER: "`O` or `N`",
        HEADCOUNT: "the bands `NN`, `00` to `53`",
        STATUS: "`O` or `P`",
        HEAD_OFFICE: "`true` or `false`",
    }
)


@lru_cache(maxsize=2**14)
def read(column: str, value: str) -> str | None:
    """A value of a column as the register writes it; None when it is not understood. A hidden value is one that is missing, not one of these."""
    return READERS[column](value)


def is_understood(column: str, value: str) -> bool:
    """Whether a value, as files have it, is one of its column, or says that there is none."""
    return value == HIDDEN or not value.strip() or read(column, value) is not None


def expected(column: str) -> str:
    """What the register writes in a column, for a hint."""
    return _EXPECTED.get(column, "dates such as `2015-06-01`")


def _folded(text: str) -> str:
    """Without accents and case, one kind of blank."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    return " ".join("".join(char for char in letters if not unicodedata.combining(char)).split())


_BANDS: Final = {_folded(label): band for band, (_, _, label) in HEADCOUNTS.items()}
