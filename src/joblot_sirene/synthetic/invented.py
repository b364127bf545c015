"""Tables for synthetic stock files: words, shares and towns from which rows are drawn. No name here is a real person's.

A table is a column of 65 536 values in which the number of times that a value occurs is its share, so that a draw is one look-up.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl

from joblot_sirene.register import identifiers, naf

if TYPE_CHECKING:
    from collections.abc import Sequence

SIZE: Final = 65536

FIRST_NAMES: Final = [
    "ALBANE", "BASILE", "CLEO", "DORIAN", "ELOI", "FAUSTINE", "GASPARD", "HELOUAN", "ISAURE", "JORIS", "KLERVI", "LILWENN", "MAXENCE",
    "NOLWENN", "OCTAVE", "PERRINE",
]  # fmt: skip
_FAMILY_STARTS: Final = [
    "BERT", "MARV", "DULA", "FONT", "GRAV", "HOUR", "JOSS", "KERV", "LAMB", "MORV", "NOLL", "ORBE", "PELL", "QUIN", "ROUV", "SALV",
    "TREG", "VASS",
]  # fmt: skip
_FAMILY_ENDS: Final = ["ELIN", "OVARD", "EMONT", "IDEC", "AZIER", "OLLET", "UCHEL", "ANDAIS", "IGNEUL", "OUTIER"]
FAMILY_NAMES: Final = [start + end for start in _FAMILY_STARTS for end in _FAMILY_ENDS]

TRADES: Final = [
    "ATELIER", "MAISON", "COMPTOIR", "CABINET", "GARAGE", "FERME", "FOURNIL", "SALON", "CAVE", "STUDIO", "BUREAU", "JARDIN", "MOULIN",
    "RELAIS", "SOCIETE", "GROUPE",
]  # fmt: skip
THINGS: Final = [
    "DU VIEUX CHENE", "DES TROIS PUITS", "DE LA LOUTRE", "DU PONT BLEU", "DES ORMES", "DE L'ENVOL", "DE L\u2019ECLUSE",
    "DU GRAND LARGE", "DES QUATRE VENTS", "DE LA BRUME", "DU HERON, ET FILS", "DES SABLES", "DE LA CLAIRIERE", "DU BELVEDERE",
    "DES TISSERANDS", "DE LA GRANDE OURSE",
]  # fmt: skip
SIGNS: Final = [
    "L'ENVOL", "LE GRAND LARGE", 'LE "PETIT" FOURNIL', "AUX TROIS PUITS", "CHEZ LA LOUTRE", "LE PONT BLEU, BAR", "L\u2019ECLUSE",
    "O FIL DU TEMPS",
]  # fmt: skip
STREET_NAMES: Final = [
    "DES LILAS", "DU MOULIN", "DE LA GARE", "DES ECOLES", "DE LA FONTAINE", "DU STADE", "DES TILLEULS", "DE L'EGLISE", "DU LAVOIR",
    "DES ACACIAS", "DE LA REPUBLIQUE", "DU GENERAL INVENTE", "DES QUATRE VENTS", "DE L\u2019ABBAYE", "DU PORT", "DE LA LIBERTE",
]  # fmt: skip
STREET_TYPES: Final = (
    ("RUE", 52), ("AVENUE", 8), ("AV", 5), ("ROUTE", 5), ("RTE", 4), ("CHEMIN", 5), ("CHE", 3), ("BOULEVARD", 3), ("BD", 3), ("PLACE", 3),
    ("PL", 2), ("IMPASSE", 2), ("ALLEE", 2), ("LD", 1.4), ("HAM", 0.4), ("CHAUSSEE", 0.2), ("CHS", 0.2), ("QUAI", 0.6), ("SQ", 0.2),
)  # fmt: skip
LEGAL_FORMS: Final = (
    ("5710", 26), ("5499", 30), ("6540", 20), ("9220", 13), ("5202", 1), ("5599", 1.5), ("7210", 1.5), ("9210", 0.5), ("6316", 0.5), ("5498", 6),
)  # fmt: skip
EMPLOYER_BANDS: Final = (
    ("00", 7), ("01", 46), ("02", 20), ("03", 11), ("11", 8), ("12", 5), ("21", 1.7), ("22", 0.8), ("31", 0.15), ("32", 0.2), ("41", 0.1),
    ("42", 0.03), ("51", 0.01), ("52", 0.005), ("53", 0.005), ("[ND]", 0.05),
)  # fmt: skip
OLD_LISTS: Final = (("NAFRev2", 66), ("NAF1993", 17), ("NAP", 10), ("NAFRev1", 6), (None, 1))
COUNTRIES: Final = (("99131", "BELGIQUE"), ("99140", "SUISSE"), ("99109", "ALLEMAGNE"), ("99132", "ROYAUME-UNI"))

# the largest codes of the register with about their share in percent; the others follow Zipf's law in a fixed order
_LARGEST: Final = (
    ("68.20B", 9.0), ("68.20A", 4.2), ("01.11Z", 1.9), ("81.10Z", 2.2), ("94.99Z", 3.6), ("70.22Z", 1.9), ("96.09Z", 1.5), ("56.10A", 1.7),
    ("47.91B", 1.3), ("56.10C", 1.2), ("49.41A", 0.6), ("43.22A", 0.9), ("43.21A", 0.8), ("96.02A", 0.9), ("86.90D", 1.3), ("47.19B", 0.5),
    ("43.99C", 1.0), ("43.34Z", 0.7), ("85.59B", 1.1), ("53.20Z", 0.8), ("69.20Z", 0.35), ("43.29A", 0.15), ("56.30Z", 0.5), ("62.01Z", 0.9),
)  # fmt: skip


class Towns(NamedTuple):
    """Columns of the towns that rows lie in, and the table that draws one of them."""

    commune: pl.Series
    post: pl.Series
    name: pl.Series
    x: pl.Series
    y: pl.Series
    draw: pl.Series


def table(choices: Sequence[tuple[Any, float]], kind: pl.DataType | type[pl.DataType] = pl.String) -> pl.Series:
    """The table of some values with their shares; every value occurs in it at least once."""
    total = sum(share for _, share in choices)
    counts = [max(1, round(share / total * SIZE)) for _, share in choices]
    counts[counts.index(max(counts))] += SIZE - sum(counts)
    return pl.Series(
        [value for (value, _), count in zip(choices, counts, strict=True) for _ in range(count)], dtype=kind
    )


@cache
def activities() -> tuple[pl.Series, pl.Series, pl.Series]:
    """All codes of rev. 2, for each a code of NAF 2025 in its neighbourhood (not the official table), and the table of their numbers."""
    codes = list(naf.labels(naf.REV2))
    new_codes = list(naf.labels(naf.NAF25))
    largest = dict(_LARGEST)
    # two primes shuffle the others into an order that is the same on every machine
    others = sorted((code for code in codes if code not in largest), key=lambda code: _number(code) * 7919 % 9973)
    percent = 100 - sum(largest.values())
    zipf = {code: percent / (rank + 12) for rank, code in enumerate(others)}
    scale = percent / sum(zipf.values())
    shares = [(number, largest.get(code) or zipf[code] * scale) for number, code in enumerate(codes)]

    def nearest(code: str) -> str:
        return min(
            new_codes, key=lambda new: (new[:5] != code[:5], new[:4] != code[:4], abs(_number(new) - _number(code)))
        )

    neighbours = [nearest(code) for code in codes]
    return pl.Series(codes), pl.Series(neighbours), table(shares, pl.UInt32)


def _number(code: str) -> int:
    return int(code[:2] + code[3:5])


@cache
def towns() -> Towns:
    """The towns, their coordinates in metres of their own projection (0 where there is none)."""
    from importlib.resources import files

    text = (files("joblot_sirene") / "data" / "sample_places.tsv").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    points = [_metres(row[0], float(row[3]), float(row[4])) for row in rows]
    return Towns(
        commune=pl.Series([row[0] for row in rows]),
        post=pl.Series([row[1] for row in rows]),
        name=pl.Series([row[2] for row in rows]),
        x=pl.Series([x for x, _ in points]),
        y=pl.Series([y for _, y in points]),
        draw=table([(number, float(row[5])) for number, row in enumerate(rows)], pl.UInt32),
    )


def _metres(commune: str, longitude: float, latitude: float) -> tuple[float, float]:
    """Coordinates as the register has them, by iteration: only the way from metres to degrees is written down, and this needs no speed."""
    department = identifiers.department(commune)
    projection = identifiers.OVERSEAS.get(department or "", (None,))[0]
    if projection is None and (department is None or (department.startswith("9") and len(department) == 3)):
        return 0.0, 0.0
    x, y = (500_000.0, 5_000_000.0) if projection is not None else (700_000.0, 6_600_000.0)
    for _ in range(40):
        point = identifiers.lambert93(x, y) if projection is None else identifiers.overseas(x, y, projection)
        x += (longitude - point.longitude) * 70_000
        y += (latitude - point.latitude) * 100_000
    return float(round(x)), float(round(y))
