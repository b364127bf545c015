"""Establishments that look alike. They are only flagged: several of one legal unit, or two companies at one address, are normal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from joblot_sirene.steps.model import Inputs, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

    from joblot_sirene.steps.parameters import Likeness

LARGEST_BLOCK: Final = 4000
"""Rows that are compared with each other at most, which are 8 million pairs. A larger block is left out, and reported."""


class _Row(NamedTuple):
    number: int
    commune: str
    name: str
    address: str


def run(frame: pl.DataFrame, parameters: Likeness, inputs: Inputs) -> Outcome:  # noqa: ARG001
    """Flag establishments of one commune whose names and addresses look alike: none is taken out."""
    rows = _comparable(frame)
    groups = _Groups()
    skipped = 0
    for block in _blocks(rows):
        if len(block) > LARGEST_BLOCK:
            skipped += len(block)
            continue
        for first, second, likeness in _alike(block, parameters.threshold):
            groups.join(first, second, likeness)
    table = groups.table(frame["siret"].to_list())
    flagged = frame.with_row_index("_row").join(table, on="_row", how="left", maintain_order="left").drop("_row")
    warnings = (f"{skipped} rows stand in blocks too large to compare",) if skipped else ()
    facts = {
        "rows_compared": len(rows),
        "rows_alike": table.height,
        "groups": table["groupe_doublons"].n_unique(),
        "rows_not_compared": skipped,
    }
    return Outcome(frame=flagged, facts=facts, warnings=warnings)


def _comparable(frame: pl.DataFrame) -> list[_Row]:
    """The rows that have a commune, a name and an address, none of them masked."""
    name, address = (
        pl.col(column).str.to_uppercase().str.replace_all(r"[^\p{L}\p{N}]+", " ").str.strip_chars()
        for column in ("enseigne", "adresse")
    )
    texts = frame.with_row_index("_row").select("_row", "code_commune", name=name, address=address)
    rows = map(_Row._make, texts.drop_nulls().iter_rows())
    return [row for row in rows if row.name not in {"", "ND"} and row.address not in {"", "ND"}]


def _blocks(rows: list[_Row]) -> Iterable[list[_Row]]:
    """Rows of one commune that share a street, or the beginning of the name: to compare all rows of a city would take too long."""
    blocks: dict[tuple[str, str, str], list[_Row]] = {}
    for row in rows:
        street = row.address.lstrip("0123456789 ")
        blocks.setdefault((row.commune, "street", street), []).append(row)
        blocks.setdefault((row.commune, "name", row.name[:4]), []).append(row)
    return (block for block in blocks.values() if len(block) > 1)


def _alike(block: list[_Row], threshold: float) -> Iterable[tuple[int, int, float]]:
    """The numbers of rows that look alike, and how much: as much as the less alike of name and address."""
    from rapidfuzz import fuzz, process

    names = [row.name for row in block]
    for index, row in enumerate(block[:-1], 1):
        for _, by_name, offset in process.extract(
            row.name, names[index:], scorer=fuzz.token_sort_ratio, score_cutoff=threshold, limit=None
        ):
            other = block[index + offset]
            by_address = fuzz.token_sort_ratio(row.address, other.address, score_cutoff=threshold)
            if by_address:
                yield row.number, other.number, min(by_name, by_address)


class _Groups:
    """Rows that are alike, directly or through others: a union-find structure."""

    def __init__(self) -> None:
        self._parent: dict[int, int] = {}
        self._likeness: dict[int, float] = {}

    def join(self, first: int, second: int, likeness: float) -> None:
        for row in (first, second):
            self._parent.setdefault(row, row)
            self._likeness[row] = max(self._likeness.get(row, 0), likeness)
        root, other = sorted((self._root(first), self._root(second)))
        self._parent[other] = root

    def _root(self, row: int) -> int:
        while self._parent[row] != row:
            self._parent[row] = row = self._parent[self._parent[row]]
        return row

    def table(self, sirets: list[str]) -> pl.DataFrame:
        rows = [(row, sirets[self._root(row)], round(self._likeness[row], 1)) for row in sorted(self._parent)]
        return pl.DataFrame(
            rows, schema={"_row": pl.UInt32, "groupe_doublons": pl.String, "similarite": pl.Float64}, orient="row"
        )
