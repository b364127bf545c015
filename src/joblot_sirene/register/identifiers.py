"""Numbers that identify (SIREN, SIRET), and where an address lies (department, coordinates).

Checks are those of python-stdnum, which knows La Poste's exception. Projections are plane formulas, precise to centimetres inside their
territory. Nothing here knows files or tables.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from joblot_sirene.register.code_lists import DEPARTMENTS

if TYPE_CHECKING:
    from collections.abc import Mapping

LA_POSTE: Final = "356000000"
LA_POSTE_HEAD_OFFICE: Final = "35600000000048"

Repair = Literal["ok", "repaired", "invalid", "missing"]


class Point(NamedTuple):
    """A point in degrees (WGS 84)."""

    longitude: float
    latitude: float


def siren_valid(siren: str) -> bool:
    """Whether nine digits are a SIREN number (Luhn)."""
    from stdnum.fr import siren as rule

    # zeros pass the sum, and are nobody's
    return len(siren) == 9 and siren.isascii() and rule.is_valid(siren) and int(siren) > 0


def siret_valid(siret: str) -> bool:
    """Whether fourteen digits are a SIRET number (Luhn, or the sum of digits for sites of La Poste)."""
    from stdnum.fr import siret as rule

    return len(siret) == 14 and siret.isascii() and rule.is_valid(siret) and int(siret[:9]) > 0


def repair_siren(text: str | None) -> tuple[str | None, Repair]:
    """A SIREN that a spreadsheet read as a number, mended: zeros in front, and only when the result passes the check."""
    return _repair(text, 9)


def repair_siret(text: str | None) -> tuple[str | None, Repair]:
    """The same for a SIRET. Lost digits (`5.542E13`) cannot come back: such a value stays as it is and is called invalid."""
    return _repair(text, 14)


def _repair(text: str | None, digits: int) -> tuple[str | None, Repair]:
    if text is None or not text.strip():
        return None, "missing"
    valid = siren_valid if digits == 9 else siret_valid
    if valid(text):
        return text, "ok"
    # as spreadsheets write numbers: spaces between thousands, a decimal part of zeros
    plain = re.sub(r"[\s\u00a0\u202f]", "", text)
    plain = re.sub(r"[.,]0+$", "", plain)
    padded = plain.zfill(digits)
    if plain.isascii() and plain.isdigit() and int(plain) and len(padded) == digits and valid(padded):
        return padded, "repaired"
    return text, "invalid"


def whole_code(code: str) -> str:
    """A commune's or postal code of five digits that a spreadsheet read as a number, whole again: `1004`, `1004.0` are `01004`."""
    match = re.fullmatch(r"([0-9]{4,5})(\.0+)?", code)
    return match[1].zfill(5) if match else code


COMMUNE: Final = "^([0-9]{2}|2[AB])[0-9]{3}$"
"""The form of a commune's code, in upper case."""


@lru_cache(maxsize=2**16)
def department(commune_code: str | None, postal_code: str | None = None) -> str | None:
    """The department of a commune code; of a postal code when there is no commune, or none that can be one. None abroad (and Monaco).

    Only departments of the official geographic code are given: not 00, 20 (2A and 2B since 1976), 96.
    """
    commune_code = whole_code(commune_code or "").upper()
    if re.match(COMMUNE, commune_code):
        code = commune_code[:3] if commune_code[:2] in {"97", "98"} else commune_code[:2]
        if code in DEPARTMENTS or code == "99":
            return None if code == "99" else code
    postal_code = whole_code(postal_code or "")
    return _department_of_post(postal_code) if re.fullmatch(r"[0-9]{5}", postal_code) else None


def _department_of_post(code: str) -> str | None:
    if code.startswith("20"):  # Corsica, whose departments were one when postal codes were given
        return "2A" if code < "20200" else "2B"
    if code == "97133":  # Saint-Barthélemy and Saint-Martin kept the codes of Guadeloupe, to which they belonged
        return "977"
    if code == "97150":
        return "978"
    department = code[:3] if code[:2] in {"97", "98"} else code[:2]  # 980 is Monaco, no department
    return department if department in DEPARTMENTS else None


# Lambert-93 (EPSG:2154): a conformal cone with two parallels on the GRS 80 ellipsoid. IGN, "Projections cartographiques coniques conformes
# de Lambert", algorithms ALG0002 and ALG0004; constants of the RGF93.
CONE: Final = 0.7256077650
SCALE: Final = 11754255.426
X_POLE: Final = 700000.0
Y_POLE: Final = 12655612.050
ECCENTRICITY: Final = 0.08181919104281579


def lambert93(x: float, y: float) -> Point:
    """Degrees of a point in Lambert-93 metres."""
    radius = math.hypot(x - X_POLE, y - Y_POLE)
    longitude = math.radians(3) + math.atan2(x - X_POLE, Y_POLE - y) / CONE
    isometric = math.exp(-math.log(radius / SCALE) / CONE)
    latitude = 2 * math.atan(isometric) - math.pi / 2
    for _ in range(8):  # each round gains two digits
        sine = ECCENTRICITY * math.sin(latitude)
        latitude = 2 * math.atan(((1 + sine) / (1 - sine)) ** (ECCENTRICITY / 2) * isometric) - math.pi / 2
    return Point(math.degrees(longitude), math.degrees(latitude))


# Transverse Mercator on GRS 80, Krueger's series to the third order in n (IOGP Guidance Note 7-2, method 9807).
_UTM_N: Final = 1 / 298.257222101 / (2 - 1 / 298.257222101)
_UTM_A: Final = 6378137.0 / (1 + _UTM_N) * (1 + _UTM_N**2 / 4 + _UTM_N**4 / 64)
_UTM_BETA: Final = (
    _UTM_N / 2 - 2 * _UTM_N**2 / 3 + 37 * _UTM_N**3 / 96,
    _UTM_N**2 / 48 + _UTM_N**3 / 15,
    17 * _UTM_N**3 / 480,
)
_UTM_DELTA: Final = (
    2 * _UTM_N - 2 * _UTM_N**2 / 3 - 2 * _UTM_N**3,
    7 * _UTM_N**2 / 3 - 8 * _UTM_N**3 / 5,
    56 * _UTM_N**3 / 15,
)


def utm(easting: float, northing: float, zone: int, *, south: bool) -> Point:
    """Degrees of a point in metres of a UTM zone (1 to 60)."""
    xi = (northing - (10_000_000 if south else 0)) / (0.9996 * _UTM_A)
    eta = (easting - 500_000) / (0.9996 * _UTM_A)
    xi_0 = xi - sum(b * math.sin(2 * k * xi) * math.cosh(2 * k * eta) for k, b in enumerate(_UTM_BETA, 1))
    eta_0 = eta - sum(b * math.cos(2 * k * xi) * math.sinh(2 * k * eta) for k, b in enumerate(_UTM_BETA, 1))
    conformal = math.asin(math.sin(xi_0) / math.cosh(eta_0))
    latitude = conformal + sum(d * math.sin(2 * k * conformal) for k, d in enumerate(_UTM_DELTA, 1))
    longitude = math.radians(zone * 6 - 183) + math.atan2(math.sinh(eta_0), math.cos(xi_0))
    return Point(math.degrees(longitude), math.degrees(latitude))


def lambert_cone(x: float, y: float, cone: Cone) -> Point:
    """Degrees of a point in metres of a conformal cone with two parallels on GRS 80 (IOGP Guidance Note 7-2, method 9802)."""

    def scale(latitude: float) -> float:
        sine = ECCENTRICITY * math.sin(latitude)
        return math.tan(math.pi / 4 - latitude / 2) / math.pow((1 - sine) / (1 + sine), ECCENTRICITY / 2)

    def radius_of(latitude: float) -> float:
        return math.cos(latitude) / math.sqrt(1 - (ECCENTRICITY * math.sin(latitude)) ** 2)

    first, second, origin, meridian = (math.radians(degrees) for degrees in cone[:4])
    exponent = math.log(radius_of(first) / radius_of(second)) / math.log(scale(first) / scale(second))
    factor = 6378137.0 * radius_of(first) / (exponent * scale(first) ** exponent)
    sign = math.copysign(1, exponent)
    east, south = sign * (x - cone.x), sign * (factor * scale(origin) ** exponent - (y - cone.y))
    target = (sign * math.hypot(east, south) / factor) ** (1 / exponent)
    latitude = math.pi / 2 - 2 * math.atan(target)
    for _ in range(8):
        sine = ECCENTRICITY * math.sin(latitude)
        latitude = math.pi / 2 - 2 * math.atan(target * ((1 - sine) / (1 + sine)) ** (ECCENTRICITY / 2))
    return Point(math.degrees(meridian + math.atan2(east, south) / exponent), math.degrees(latitude))


class Cone(NamedTuple):
    """Two parallels, latitude and longitude of the origin in degrees; its coordinates in metres."""

    first: float
    second: float
    latitude: float
    longitude: float
    x: float
    y: float


NEW_CALEDONIA: Final = Cone(-(20 + 40 / 60), -(22 + 20 / 60), -21.5, 166.0, 400_000.0, 300_000.0)
"""Lambert of New Caledonia (RGNC91-93, EPSG:3163)."""

# department: the zone and southern half of its UTM or its own cone, and the territory as west, south, east, north in degrees
OVERSEAS: Final[Mapping[str, tuple[tuple[int, bool] | Cone, tuple[float, float, float, float]]]] = MappingProxyType(
    {
        "971": ((20, False), (-61.9, 15.7, -60.9, 16.6)),
        "972": ((20, False), (-61.3, 14.3, -60.7, 15.0)),
        "973": ((22, False), (-54.7, 2.0, -51.4, 6.0)),
        "974": ((40, True), (55.1, -21.5, 55.9, -20.8)),
        "975": ((21, False), (-56.6, 46.6, -56.0, 47.3)),
        "976": ((38, True), (44.9, -13.1, 45.4, -12.5)),
        "977": ((20, False), (-63.0, 17.8, -62.7, 18.0)),
        "978": ((20, False), (-63.2, 17.9, -62.9, 18.2)),
        "986": ((1, True), (-178.4, -14.6, -176.0, -13.0)),
        "988": (NEW_CALEDONIA, (163.3, -23.0, 168.4, -19.4)),
    }
)
UNPLACED: Final = ("984", "987", "989")
"""Territories that lie in several zones, of which the register does not say which one a coordinate is of: nothing is said of them."""


def overseas(x: float, y: float, projection: tuple[int, bool] | Cone) -> Point:
    """Degrees of a point in metres of a territory's own projection."""
    if isinstance(projection, Cone):
        return lambert_cone(x, y, projection)
    return utm(x, y, projection[0], south=projection[1])


MAINLAND: Final = (-5.3, 42.2, 8.3, 51.2)
CORSICA: Final = (8.4, 41.2, 9.7, 43.2)


def coordinates(x: str | None, y: str | None, department: str | None) -> tuple[Point | None, bool]:
    """The point of the register's two coordinate texts, and whether they had a value outside the department's territory.

    Texts that are no number (`[ND]`, empty) give no point and nothing amiss. A point outside its territory is not returned.
    """
    metres = number(x), number(y)
    if metres[0] is None or metres[1] is None or department in UNPLACED:
        return None, False
    point, box = _project(metres[0], metres[1], department or "")
    if point is None:
        return None, True
    west, south, east, north = box
    inside = west <= point.longitude <= east and south <= point.latitude <= north
    return (point, False) if inside else (None, True)


def _project(x: float, y: float, department: str) -> tuple[Point | None, tuple[float, float, float, float]]:
    if department in OVERSEAS:
        projection, box = OVERSEAS[department]
        return (overseas(x, y, projection) if 0 < x < 1_000_000 and 0 < y < 10_000_000 else None), box
    box = CORSICA if department in {"2A", "2B"} else MAINLAND
    projected = department[:2] not in {"97", "98"} and 0 < x < 1_400_000 and 6_000_000 < y < 7_300_000
    return (lambert93(x, y) if projected else None), box


NUMBER: Final = r"^\s*-?\d+([.,]\d+)?\s*$"
"""A coordinate as text; spreadsheets in French write a decimal comma."""


def number(text: str | None) -> float | None:
    """The number of a coordinate's text, or None."""
    return float(text.replace(",", ".")) if text is not None and re.match(NUMBER, text, re.ASCII) else None
