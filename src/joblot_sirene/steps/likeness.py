"""Establishments that look alike. They are only flagged: several of one legal unit, or two companies at one address, are normal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from joblot_sirene.steps.model import Inputs, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

    from joblot_sirene.steps.parameters import Likeness

LARGEST_BLOCK: Final = 4000
"""Rows that are compared with each other at most: beyond, a block is left out and said so."""


def run(frame: pl.DataFrame, parameters: Likeness, inputs: Inputs) -> Outcome:  # noqa: ARG001
    """Flag establishments of one commune whose names and addresses look alike: none is taken out."""
    rows = _comparable(frame)
    groups = _Groups()
    skipped = 0
    for block in _blocks(rows):
        if len(block) > LARGEST_BLOCK:
            skipped += len(block)
            continue
        for one, other, likeness in _alike(block, parameters.threshold):
            groups.join(one, other, likeness)
    found = groups.table(frame["siret"].to_list())
    flagged = frame.with_row_index("_row").join(found, on="_row", how="left", maintain_order="left").drop("_row")
    warnings = (f"{skipped} rows stand in blocks too large to compare",) if skipped else ()
    facts = {
        "rows_compared": len(rows),
        "rows_alike": found.height,
        "groups": found["groupe_doublons"].n_unique(),
        "rows_not_compared": skipped,
    }
    return Outcome(frame=flagged, facts=facts, warnings=warnings)


Row = tuple[int, str, str, str]


def _comparable(frame: pl.DataFrame) -> list[Row]:
    """Number, commune, name and address of rows that have all three and are not masked."""
    text = [
        pl.col(name).str.to_uppercase().str.replace_all(r"[^\p{L}\p{N}]+", " ").str.strip_chars()
        for name in ("enseigne", "adresse")
    ]
    chosen = frame.with_row_index("_row").select("_row", "code_commune", name=text[0], address=text[1])
    return [row for row in chosen.drop_nulls().iter_rows() if row[2] not in {"", "ND"} and row[3] not in {"", "ND"}]


def _blocks(rows: list[Row]) -> Iterable[list[Row]]:
    """Rows of one commune that share a street, or the beginning of the name."""
    blocks: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        street = row[3].lstrip("0123456789 ")
        blocks.setdefault((row[1], "street", street), []).append(row)
        blocks.setdefault((row[1], "name", row[2][:4]), []).append(row)
    return (block for block in blocks.values() if len(block) > 1)


def _alike(block: list[Row], threshold: float) -> Iterable[tuple[int, int, float]]:
    from rapidfuzz import fuzz, process

    names = [row[2] for row in block]
    for place, (number, _, name, address) in enumerate(block[:-1]):
        rest = names[place + 1 :]
        for _, likeness, offset in process.extract(
            name, rest, scorer=fuzz.token_sort_ratio, score_cutoff=threshold, limit=None
        ):
            other = block[place + 1 + offset]
            by_address = fuzz.token_sort_ratio(address, other[3], score_cutoff=threshold)
            if by_address:
                yield number, other[0], min(likeness, by_address)


class _Groups:
    """Rows that are alike, directly or through others."""

    def __init__(self) -> None:
        self._parent: dict[int, int] = {}
        self._likeness: dict[int, float] = {}

    def join(self, one: int, other: int, likeness: float) -> None:
        for row in (one, other):
            self._parent.setdefault(row, row)
            self._likeness[row] = max(self._likeness.get(row, 0), likeness)
        first, second = sorted((self._root(one), self._root(other)))
        self._parent[second] = first

    def _root(self, row: int) -> int:
        while self._parent[row] != row:
            self._parent[row] = row = self._parent[self._parent[row]]
        return row

    def table(self, sirets: list[str]) -> pl.DataFrame:
        rows = [(row, sirets[self._root(row)], round(self._likeness[row], 1)) for row in sorted(self._parent)]
        return pl.DataFrame(
            rows, schema={"_row": pl.UInt32, "groupe_doublons": pl.String, "similarite": pl.Float64}, orient="row"
        )
