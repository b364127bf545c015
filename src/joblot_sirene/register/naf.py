"""Activity codes: NAF rev. 2 (until the end of 2026) and NAF 2025, from a section's letter to a sub-class.

The last letter of a full code says which list it is of: rev. 2 ends in Z A B C D E F, NAF 2025 in Y G H J K L, and no code is in both. Older lists
(NAF 1993, NAF rev. 1, NAP) are in the same column of the stock files, so a row matches by its nomenclature and its full code, never by a
prefix. Nothing here reads a file of the register or knows today's date.
"""

from __future__ import annotations

import re
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from joblot_sirene.errors import NafError
from joblot_sirene.fields import quoted

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection, Iterable, Mapping

Nomenclature = Literal["NAFRev2", "NAF2025"]
Level = Literal["section", "division", "group", "class", "sub-class"]

REV2: Final[Nomenclature] = "NAFRev2"
NAF25: Final[Nomenclature] = "NAF2025"
OLDER: Final = ("NAFRev1", "NAF1993", "NAP")
"""Lists before 2008, which closed establishments still have."""
LETTERS: Final[Mapping[Nomenclature, str]] = MappingProxyType({REV2: "ZABCDEF", NAF25: "YGHJKL"})

CODE_COLUMN: Final = "activitePrincipaleEtablissement"
NOMENCLATURE_COLUMN: Final = "nomenclatureActivitePrincipaleEtablissement"
NAF25_COLUMN: Final = "activitePrincipaleNAF25Etablissement"

TITLES: Final[Mapping[Nomenclature, str]] = MappingProxyType({REV2: "NAF rev. 2", NAF25: "NAF 2025"})
_FILES: Final[Mapping[Nomenclature, str]] = MappingProxyType({REV2: "naf_rev2.tsv", NAF25: "naf_2025.tsv"})
_LEVEL_FILES: Final[Mapping[Nomenclature, str]] = MappingProxyType(
    {REV2: "naf_rev2_levels.tsv", NAF25: "naf_2025_levels.tsv"}
)

# letter, last division, label: a section holds the divisions after the one before it
_SECTIONS: Final[Mapping[Nomenclature, tuple[tuple[str, int, str], ...]]] = MappingProxyType(
    {
        REV2: (
            ("A", 3, "Agriculture, sylviculture et pêche"),
            ("B", 9, "Industries extractives"),
            ("C", 33, "Industrie manufacturière"),
            ("D", 35, "Production et distribution d'électricité, de gaz, de vapeur et d'air conditionné"),
            ("E", 39, "Production et distribution d'eau ; assainissement, gestion des déchets et dépollution"),
            ("F", 43, "Construction"),
            ("G", 47, "Commerce ; réparation d'automobiles et de motocycles"),
            ("H", 53, "Transports et entreposage"),
            ("I", 56, "Hébergement et restauration"),
            ("J", 63, "Information et communication"),
            ("K", 66, "Activités financières et d'assurance"),
            ("L", 68, "Activités immobilières"),
            ("M", 75, "Activités spécialisées, scientifiques et techniques"),
            ("N", 82, "Activités de services administratifs et de soutien"),
            ("O", 84, "Administration publique"),
            ("P", 85, "Enseignement"),
            ("Q", 88, "Santé humaine et action sociale"),
            ("R", 93, "Arts, spectacles et activités récréatives"),
            ("S", 96, "Autres activités de services"),
            ("T", 98, "Activités des ménages en tant qu'employeurs ou producteurs pour usage propre"),
            ("U", 99, "Activités extra-territoriales"),
        ),
        NAF25: (
            ("A", 3, "Agriculture, sylviculture et pêche"),
            ("B", 9, "Industries extractives"),
            ("C", 33, "Industrie manufacturière"),
            ("D", 35, "Production et distribution d'électricité, de gaz, de vapeur et d'air conditionné"),
            ("E", 39, "Production et distribution d'eau ; assainissement, gestion des déchets et dépollution"),
            ("F", 43, "Construction"),
            ("G", 47, "Commerce"),
            ("H", 53, "Transports et entreposage"),
            ("I", 56, "Hébergement et restauration"),
            ("J", 60, "Édition, diffusion, production et distribution de contenu"),
            ("K", 63, "Télécommunications, programmation, conseil et services d'information"),
            ("L", 66, "Activités financières et d'assurance"),
            ("M", 68, "Activités immobilières"),
            ("N", 75, "Activités spécialisées, scientifiques et techniques"),
            ("O", 82, "Activités de services administratifs et de soutien"),
            ("P", 84, "Administration publique"),
            ("Q", 85, "Enseignement"),
            ("R", 88, "Santé humaine et action sociale"),
            ("S", 93, "Arts, sports et activités récréatives"),
            ("T", 96, "Autres activités de services"),
            ("U", 98, "Activités des ménages en tant qu'employeurs ou producteurs pour usage propre"),
            ("V", 99, "Activités extra-territoriales"),
        ),
    }
)

_CODE: Final = re.compile(r"(?P<section>[A-Z])|(?P<digits>[0-9]{2}(?:\s*\.?\s*[0-9]{1,2})?)(?:\s*(?P<letter>[A-Z]))?")
_LEVELS: Final[Mapping[int, Level]] = MappingProxyType({2: "division", 3: "group", 4: "class", 5: "sub-class"})


class Selection(msgspec.Struct, frozen=True):
    """What an activity code stands for.

    `code` is without dot and in upper case (`4329A`, `43`, `F`), `name` a word for files (`naf_4329A`), `codes` the full codes as they stand
    in stock files (`43.29A`). A well-formed code that is in no list has no full codes but itself; `hint` then names the nearest ones.
    """

    code: str
    name: str
    nomenclature: Nomenclature
    level: Level
    codes: frozenset[str]
    label: str
    known: bool = True
    hint: str = ""


class Rule(msgspec.Struct, frozen=True):
    """One way for a row to match.

    The code column holds one of `codes` and, when a nomenclature column is named, that one holds one of `nomenclatures` (null reads as "").
    """

    code_column: str
    nomenclature_column: str | None
    nomenclatures: frozenset[str]
    codes: frozenset[str]


@cache
def labels(nomenclature: Nomenclature) -> Mapping[str, str]:
    """The label of every sub-class by its code as in files (`43.29A`), in the order of the list."""
    return _read_labels(_FILES[nomenclature])


def _read_labels(file: str) -> Mapping[str, str]:
    from importlib.resources import files

    text = (files("joblot_sirene") / "data" / file).read_text(encoding="utf-8")
    rows = (line.partition("\t") for line in text.splitlines() if not line.startswith("#"))
    return MappingProxyType({code: title for code, _, title in rows})


def label(code: str) -> str | None:
    """The label of a full code of either list, or None."""
    code = dotted(code.replace(".", "").upper())
    return labels(REV2).get(code) or labels(NAF25).get(code)


def nomenclature_of(code: str) -> Nomenclature | None:
    """The list that a full code's letter tells, or None for a code of an older list."""
    if re.fullmatch(r"\d\d\.?\d\d[A-Z]", code) is None:
        return None
    return next((name for name, letters in LETTERS.items() if code[-1] in letters), None)


def section_of(code: str, nomenclature: Nomenclature) -> tuple[str, str] | None:
    """The letter and the label of the section that a code of two digits or more belongs to."""
    if not code[:2].isdigit():
        return None
    return next(((letter, text) for letter, last, text in _SECTIONS[nomenclature] if int(code[:2]) <= last), None)


def default_nomenclature(today: dt.date) -> Nomenclature:
    """The list that codes without a letter are read in: NAF 2025 is the official one from 1 January 2027."""
    return REV2 if today.year < 2027 else NAF25


def dotted(code: str) -> str:
    """`4329A` as files write it, `43.29A`."""
    return f"{code[:2]}.{code[2:]}" if len(code) > 2 else code


def parse_code(text: str, nomenclature: Nomenclature | None = None, *, default: Nomenclature = REV2) -> Selection:
    """What a code as people write it stands for: with or without dot, in any case, of any level.

    The letter of a full code tells its list. Without one, `nomenclature` decides; when it is None, `default`, or the other list if only that
    one has the code.

    Raises:
        NafError: the text is no code, or the code belongs to another list than the one asked for.
    """
    is_ascii = not any(char.isalnum() and not char.isascii() for char in text)  # `upper` would make some of them ASCII
    match = _CODE.fullmatch(text.strip().upper()) if is_ascii else None
    if match is None:
        raise NafError(
            f"{quoted(text, 40)} is not an activity code",
            hint="write a section (`F`), a division (`43`), a group (`43.2`), a class (`43.29`) or a sub-class (`43.29A`)",
        )
    if match["section"]:
        return _select(match["section"], nomenclature, default)
    digits = re.sub(r"[\s.]", "", match["digits"])
    if match["letter"] and len(digits) < 4:
        raise NafError(
            f"{quoted(text, 40)} is not a code of NAF rev. 2 or NAF 2025: a letter follows four digits",
            hint="codes with a letter after three digits are of lists before 2008",
        )
    return _select(digits + (match["letter"] or ""), nomenclature, default)


def parse_codes(
    texts: Iterable[str], nomenclature: Nomenclature | None = None, *, default: Nomenclature = REV2
) -> tuple[list[Selection], list[str]]:
    """The selections of several codes in the order given, repeats merged, and what to warn of."""
    selections: dict[tuple[str, Nomenclature], Selection] = {}
    warnings: list[str] = []
    for text in texts:
        selection = parse_code(text, nomenclature, default=default)
        key = (selection.code, selection.nomenclature)
        if key in selections:
            warnings.append(f"the code `{selection.code}` is given twice: it is done once")
        elif not selection.known:
            warnings.append(
                f"the code `{selection.code}` is in neither list of activities{f': {selection.hint}' if selection.hint else ''}"
            )
        selections.setdefault(key, selection)
    return list(selections.values()), warnings


def matching_rules(selection: Selection) -> list[Rule]:
    """When a row of the establishment file matches: any of these rules does.

    NAF 2025 has a column of its own until it becomes the main one in 2027, so both are compared. A row whose nomenclature is empty is
    taken by its code, for no full code is in two lists.
    """
    main = Rule(CODE_COLUMN, NOMENCLATURE_COLUMN, frozenset({selection.nomenclature, ""}), selection.codes)
    return [main] if selection.nomenclature == REV2 else [Rule(NAF25_COLUMN, None, frozenset(), selection.codes), main]


def nearest(code: str, present: Collection[str], *, limit: int = 3) -> list[str]:
    """Of the full codes that are present, the ones nearest to a code: longest common beginning first, then by distance in the list."""
    code = code.replace(".", "")

    def rank(other: str) -> tuple[int, int, str]:
        digits = other.replace(".", "")
        common = next((length for length in range(len(code)) if not digits.startswith(code[: length + 1])), len(code))
        return -common, abs(_number(code) - _number(other)), other

    return sorted(present, key=rank)[:limit]


def _select(code: str, nomenclature: Nomenclature | None, default: Nomenclature) -> Selection:
    chosen, codes = _list_of(code, nomenclature, default)
    level: Level = "section" if code.isalpha() else _LEVELS[len(code)]
    if codes:
        return Selection(code, f"naf_{code}", chosen, level, codes, _label(code, chosen, codes))
    # a well-formed code that is in no list may be in a file all the same
    codes = frozenset({dotted(code)} if level == "sub-class" else ())
    hint = f"nearest: {', '.join(f'`{near}`' for near in nearest(code, labels(chosen)))}" if code[0].isdigit() else ""
    return Selection(code, f"naf_{code}", chosen, level, codes, label="", known=False, hint=hint)


def _list_of(
    code: str, nomenclature: Nomenclature | None, default: Nomenclature
) -> tuple[Nomenclature, frozenset[str]]:
    """The list that a code is read in, and its full codes there."""
    # no full code is in two lists, so a letter that contradicts `nomenclature` is a mistake. Without a letter the other list is taken where
    # only that one has the code, but not against `nomenclature`, which the user chose
    if len(code) == 5:
        chosen = nomenclature_of(code)
        if chosen is None:
            raise NafError(f"`{code}` is in no list of activities: no code ends in `{code[-1]}`", hint=_letters_hint())
        if nomenclature not in (None, chosen):
            raise NafError(
                f"`{code}` is a code of {TITLES[chosen]}, not of {TITLES[nomenclature]}",
                hint="leave `--nomenclature` out, or give a code of that list",
            )
        return chosen, _members(code, chosen)
    chosen = nomenclature or default
    codes = _members(code, chosen)
    other: Nomenclature = NAF25 if chosen == REV2 else REV2
    elsewhere = _members(code, other) if not codes else frozenset()
    if elsewhere and nomenclature is not None:
        raise NafError(
            f"`{code}` is in {TITLES[other]} only, not in {TITLES[nomenclature]}", hint="leave `--nomenclature` out"
        )
    if elsewhere:
        return other, elsewhere
    if not codes and code.isalpha():
        raise NafError(
            f"`{code}` is no section of {TITLES[REV2]} or {TITLES[NAF25]}",
            hint="sections are `A` to `U`, and `V` in NAF 2025",
        )
    return chosen, codes


def _members(code: str, nomenclature: Nomenclature) -> frozenset[str]:
    every = labels(nomenclature)
    if code.isalpha():
        return frozenset(full for full in every if (section := section_of(full, nomenclature)) and section[0] == code)
    return frozenset(full for full in every if full.replace(".", "").startswith(code))


def _label(code: str, nomenclature: Nomenclature, codes: frozenset[str]) -> str:
    if code.isalpha():
        return next(text for letter, _, text in _SECTIONS[nomenclature] if letter == code)
    listed = _level_labels(nomenclature).get(dotted(code))
    return listed or labels(nomenclature)[min(codes)]  # what has one sub-class has its label


@cache
def _level_labels(nomenclature: Nomenclature) -> Mapping[str, str]:
    """The labels of divisions, groups and classes, but for those that have that of their only sub-class."""
    return _read_labels(_LEVEL_FILES[nomenclature])


def _letters_hint() -> str:
    return "; ".join(f"{TITLES[name]} ends in {' '.join(letters)}" for name, letters in LETTERS.items())


def _number(code: str) -> int:
    """The first four digits of a code, such as 4329: how far apart two numbers are says how far apart codes of one beginning are."""
    digits = re.sub(r"\D", "", code)[:4]
    return int(digits.ljust(4, "0")) if digits else 0
