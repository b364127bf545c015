"""What a file of the register is: layout, rows, codes, dates, what is missing. It reads a few columns once and changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from joblot_sirene.register import naf, privacy
from joblot_sirene.register.naf import CODE_COLUMN, NOMENCLATURE_COLUMN
from joblot_sirene.register.stock_date import stock_date
from joblot_sirene.stock.bad_rows import put_aside
from joblot_sirene.stock.prepare import find_prepared
from joblot_sirene.stock.source import day_of, open_source, probe

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from joblot_sirene.stock.source import Source

_COUNTED: Final = {
    "establishment": ("etatAdministratifEtablissement", privacy.STATUS_COLUMN, NOMENCLATURE_COLUMN),
    "unit": ("etatAdministratifUniteLegale", privacy.UNIT_STATUS_COLUMN, "nomenclatureActivitePrincipaleUniteLegale"),
    "history": ("etatAdministratifEtablissement", NOMENCLATURE_COLUMN),
}
"""By kind of file, the columns whose values are counted."""
_CODES: Final = {
    "establishment": CODE_COLUMN,
    "unit": "activitePrincipaleUniteLegale",
    "history": CODE_COLUMN,
}
_ROWS_AT_ONCE: Final = 2**20


def inspect(path: Path, *, rows: bool = True, most_codes: int = 10, bad_rows: Path | None = None) -> dict[str, Any]:
    """What a file is, as plain values; without `rows` only what its first and last bytes tell. `bad_rows` is where rows that are put aside are told of.

    Raises:
        SourceError: it cannot be read.
        LayoutError: it is no stock file.
    """
    probed = probe(path)
    source = open_source(path)
    with put_aside(bad_rows if rows else None, [source]):
        counts = _counts(source, most_codes) if rows else {}
    newest = source.newest  # of CSV only known now that the rows have been read
    stock = stock_date(None if newest is None else day_of(newest), file_name=path.name)
    prepared = find_prepared(source) if source.layout.kind == "establishment" else None
    return {
        "file": str(path),
        "format": probed.format,
        "kind": source.layout.kind,
        "layout": source.layout.describe(),
        "rows": counts.pop("rows", probed.rows),
        "bad_rows": source.bad_rows,
        "stock_date": None if stock.day is None else stock.day.isoformat(),
        "newest_treatment": None if newest is None else newest.isoformat(),
        "sorted_copy": None if prepared is None else str(prepared.path),
        "missing_columns": list(source.layout.missing),
        "extra_columns": list(source.layout.extra),
        **counts,
    }


def _counts(source: Source, most_codes: int) -> dict[str, Any]:
    """What needs all rows to be read: their number, the values of some columns, the codes."""
    import polars as pl

    code = _CODES[source.layout.kind]
    columns = [name for name in _COUNTED[source.layout.kind] if name in source.columns]
    grouping = [*columns, *([code] if code in source.columns else [])]
    if not grouping:
        return {"rows": source.rows}
    # there are few combinations of values: what is kept of each batch is small
    parts = [rows.group_by(grouping).len() for rows in source.batches(grouping, _ROWS_AT_ONCE)]
    total = pl.concat(parts).group_by(grouping).agg(pl.col("len").sum()) if parts else pl.DataFrame()
    if not total.height:
        return {"rows": 0, "counts": {}, "codes": [], "distinct_codes": 0, "unreadable_values": {}}
    return {
        "rows": int(total["len"].sum()),
        "counts": {name: {value or "": count for value, count in _by_value(total, name).items()} for name in columns},
        **_code_counts(total, code, most_codes),
        "unreadable_values": dict(source.unreadable),
    }


def _code_counts(total: pl.DataFrame, code: str, most: int) -> dict[str, Any]:
    by_code = _by_value(total, code) if code in total.columns else {}
    codes = [
        {"code": code, "rows": rows, "label": naf.label(code)} for code, rows in by_code.items() if code is not None
    ]
    return {"distinct_codes": len(codes), "codes": codes[:most]}


def _by_value(total: pl.DataFrame, name: str) -> dict[str | None, int]:
    """How many rows have each value of a column, the most frequent first."""
    import polars as pl

    counts = total.group_by(name).agg(pl.col("len").sum()).sort("len", name, descending=[True, False])
    return dict(counts.iter_rows())
