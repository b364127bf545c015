"""Which establishments a job takes: the keys of `filters` in a job file, checked.

`expressions.keeps` says the same as an expression over columns. Who may be shown at all is another matter: see `privacy`.
"""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from typing import TYPE_CHECKING, Final

import msgspec

from joblot_sirene.register.code_lists import DEPARTMENTS, HEADCOUNTS, REGION_OF, REGIONS
from joblot_sirene.register.identifiers import whole_code
from joblot_sirene.register.naf import NAF25, REV2, Nomenclature, Selection, parse_code

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from joblot_sirene.fields import Fields

UNKNOWN_CREATION: Final = dt.date(1900, 1, 1)
"""What the register writes for an unknown date of creation."""

# Paris, Lyon and Marseille: the files have the codes of their districts instead of their own
_DISTRICTS: Final[Mapping[str, frozenset[str]]] = {
    "75056": frozenset(str(code) for code in range(75101, 75121)),
    "69123": frozenset(str(code) for code in range(69381, 69390)),
    "13055": frozenset(str(code) for code in range(13201, 13217)),
}


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows a job takes. Empty tuples and sets and None ask for nothing.

    The areas (departments, communes, postal prefixes) add up: an establishment is taken when it lies in any of them. `headcounts` are bands
    (`codes.HEADCOUNTS`), `legal_forms` beginnings of legal forms of the legal unit.
    """

    naf_include: tuple[Selection, ...] = ()
    naf_exclude: tuple[Selection, ...] = ()
    active_only: bool = True
    departments: frozenset[str] = frozenset()
    communes: frozenset[str] = frozenset()
    postal_prefixes: tuple[str, ...] = ()
    headcounts: frozenset[str] = frozenset()
    created_from: dt.date | None = None
    created_to: dt.date | None = None
    head_office_only: bool = False
    employers_only: bool = False
    legal_forms: tuple[str, ...] = ()
    natural_persons: bool = True

    @property
    def has_area(self) -> bool:
        """Whether the area is restricted at all."""
        return bool(self.departments or self.communes or self.postal_prefixes)

    @property
    def needs_unit(self) -> bool:
        """Whether the legal unit's form must be known."""
        return bool(self.legal_forms) or not self.natural_persons


def read(fields: Fields, *, default: Nomenclature = REV2) -> Filters:
    """The filters of a job file; problems are added to its document."""
    choice = fields.choice("nomenclature", (REV2, NAF25), None)
    nomenclature: Nomenclature | None = NAF25 if choice == NAF25 else REV2 if choice == REV2 else None
    # the program that this one replaces took both for `regions`: `_region` tells them apart
    areas = fields.texts(
        "regions", _region, "a region's name or the beginning of a postal code", known=REGIONS.values()
    )
    created = fields.section("created")
    filters = Filters(
        naf_include=_selections(fields, "naf_include", nomenclature, default),
        naf_exclude=_selections(fields, "naf_exclude", nomenclature, default),
        active_only=fields.flag("active_only", default=True),
        departments=frozenset(fields.texts("departments", _department, "a department's code (`35`, `2A`, `974`)"))
        | {code for code, region in REGION_OF.items() if region in areas},
        communes=_with_districts(
            fields.texts("communes", _commune, "a commune's code of five characters (`35238`, not its postal code)")
        ),
        postal_prefixes=_merged(
            [area[1:] for area in areas if area.startswith("=")],
            fields.texts("postal_prefixes", _prefix, "the beginning of a postal code (one to five digits)"),
        ),
        headcounts=_headcounts(fields),
        created_from=_date(created, "from"),
        created_to=_date(created, "to"),
        head_office_only=fields.flag("head_office_only", default=False),
        employers_only=fields.flag("employers_only", default=False),
        legal_forms=fields.texts(
            "legal_forms", _legal_form, "the beginning of a legal form (one to four digits, such as `57` or `5499`)"
        ),
        natural_persons=fields.flag("natural_persons", default=True),
    )
    if filters.created_from and filters.created_to and filters.created_from > filters.created_to:
        created.add_problem("to", "`filters.created.to` lies before `filters.created.from`", "swap them")
    created.finish()
    fields.finish()
    return filters


def establishment_part(filters: Filters) -> Filters:
    """What is asked of an establishment's own row, without the codes to include: a scan matches those by their rules (`naf.Rule`)."""
    return msgspec.structs.replace(filters, naf_include=(), legal_forms=(), natural_persons=True)


def unit_part(filters: Filters) -> Filters:
    """What is asked of the legal unit: to be applied where its columns are."""
    return Filters(active_only=False, legal_forms=filters.legal_forms, natural_persons=filters.natural_persons)


def _selections(
    fields: Fields, key: str, nomenclature: Nomenclature | None, default: Nomenclature
) -> tuple[Selection, ...]:
    selections: dict[str, Selection] = {}

    def read_code(text: str) -> str:
        selection = parse_code(text, nomenclature, default=default)
        return selections.setdefault(selection.name, selection).name

    fields.texts(key, read_code, "an activity code")
    return tuple(selections.values())


def _headcounts(fields: Fields) -> frozenset[str]:
    value = fields.raw("headcount")
    if not isinstance(value, dict):
        return frozenset(fields.texts("headcount", _band, f"a headcount band ({', '.join(HEADCOUNTS)})"))
    bounds = fields.section("headcount")
    least = bounds.number("min", 0, whole=True)
    most = bounds.number("max", None, whole=True)
    bounds.finish()
    if most is not None and most < least:
        bounds.add_problem("max", "`filters.headcount.max` is less than `filters.headcount.min`", "swap them")
        return frozenset()
    bands = frozenset(
        band
        for band, (low, high, _) in HEADCOUNTS.items()
        if low >= least and (most is None or (high is not None and high <= most))
    )
    if not bands:
        hint = "the register knows bands only, such as 10 to 19 and 20 to 49, the last one from 10000"
        fields.add_problem("headcount", "no band of the register lies within `filters.headcount`", hint)
    return bands


def _date(fields: Fields, key: str) -> dt.date | None:
    if fields.raw(key) is None:
        return None
    text = fields.written(key) or ""
    try:
        return dt.date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else _year(text, key)
    except ValueError:
        fields.add_mismatch(key, "a date such as `2020-01-31` or a year")
        return None


def _year(text: str, key: str) -> dt.date:
    if re.fullmatch(r"\d{4}", text) is None:
        raise ValueError(text)
    return dt.date(int(text), 1, 1) if key == "from" else dt.date(int(text), 12, 31)


def _plain(text: str) -> str:
    letters = unicodedata.normalize("NFD", text.casefold())
    return re.sub(r"[^a-z0-9]", "", letters)


def _region(text: str) -> str | None:
    """The region's code, or `=` and a postal prefix: digits mean what they meant to the program that this one replaces."""
    if text.isascii() and text.isdigit():
        prefix = _prefix(text)
        return None if prefix is None else f"={prefix}"
    return next((code for code, name in REGIONS.items() if _plain(name) == _plain(text)), None)


def _department(text: str) -> str | None:
    code = text.strip().upper()
    code = code.zfill(2) if code.isdigit() else code
    return code if code in DEPARTMENTS else None


def _commune(text: str) -> str | None:
    code = text.strip().upper()
    return whole_code(code) if re.fullmatch(r"[0-9]{4,5}|2[AB][0-9]{3}", code) else None


def _with_districts(codes: tuple[str, ...]) -> frozenset[str]:
    return frozenset(codes).union(*(_DISTRICTS.get(code, frozenset()) for code in codes))


def _merged(*lists: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(item for items in lists for item in items))


def _prefix(text: str) -> str | None:
    return text if re.fullmatch(r"[0-9]{1,5}", text) else None


def _band(text: str) -> str | None:
    code = text.strip().upper()
    code = code.zfill(2) if code.isdigit() else code
    return code if code in HEADCOUNTS else None


def _legal_form(text: str) -> str | None:
    return text if re.fullmatch(r"[1-9][0-9]{0,3}", text) else None
