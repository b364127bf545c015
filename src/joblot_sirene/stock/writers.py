"""Datasets as files: CSV and Parquet, written frame by frame, so memory follows a frame and not the dataset.

The same rows give the same bytes, whatever number of threads, frames or megabytes there was: frames are cut anew into
`ROWS_PER_GROUP` rows. Whoever calls gives a path that may be written to at once, such as that of `ctx.output` or `atomic_write`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    import polars as pl

ROWS_PER_GROUP: Final = 131_072
"""Of a Parquet row group, and of what is in memory of a dataset being written."""
_DATETIME: Final = "%Y-%m-%dT%H:%M:%S"
_ROWS_AT_ONCE: Final = 2**13
_BOM: Final = b"\xef\xbb\xbf"


def write_csv(frames: Iterable[pl.DataFrame], path: Path, *, separator: str = ",", bom: bool = False) -> int:
    """Write frames of one schema as UTF-8 CSV with one header: `,` as the register has it, `;` and `bom` for Excel.

    Missing values are empty fields, dates `2026-11-20`, times `2026-11-20T10:30:00`. At least one frame is needed, which may
    have no rows. Returns the number of rows.
    """
    rows = 0
    with path.open("wb") as file:
        if bom:
            file.write(_BOM)
        for number, frame in enumerate(frames):
            frame.write_csv(
                file,
                include_header=number == 0,
                separator=separator,
                datetime_format=_DATETIME,
                batch_size=_ROWS_AT_ONCE,
            )
            rows += frame.height
    return rows


def write_parquet(
    frames: Iterable[pl.DataFrame],
    path: Path,
    *,
    schema: dict[str, pl.DataType],
    rows_per_group: int = ROWS_PER_GROUP,
    compression: Literal["zstd", "lz4"] = "zstd",
    statistics: bool = True,
    metadata: Callable[[object], dict[str, str]] | None = None,
) -> int:
    """Write frames of this schema as Parquet, and return the number of rows. Frames of `rows_per_group` rows, or one, always give the same bytes.

    `metadata` is called when all frames have been written.
    """
    from polars.io.plugins import register_io_source

    rows = 0

    def produce(*_: object) -> Iterator[pl.DataFrame]:
        nonlocal rows
        for frame in frames:
            rows += frame.height
            yield frame

    register_io_source(produce, schema=schema).sink_parquet(
        path,
        compression=compression,
        compression_level=1
        if compression == "zstd"
        else None,  # higher levels take longer and make files hardly smaller
        statistics=statistics,
        row_group_size=rows_per_group,
        maintain_order=True,
        metadata=metadata,
        engine="streaming",
    )
    return rows


def cut(frames: Iterable[pl.DataFrame], rows: int = ROWS_PER_GROUP) -> Iterator[pl.DataFrame]:
    """The same rows in frames of exactly `rows` rows, but the last; an empty dataset is one empty frame."""
    import polars as pl

    parts: list[pl.DataFrame] = []
    height = 0
    is_empty = True
    for frame in frames:
        parts.append(frame)
        height += frame.height
        if height < rows:
            continue
        is_empty = False
        joined = pl.concat(parts).rechunk()  # `concat` leaves a single frame as it is
        for start in range(0, height - rows + 1, rows):
            yield joined.slice(start, rows)
        height %= rows
        parts = [joined.tail(height)] if height else []
    if height or is_empty:
        yield pl.concat(parts).rechunk()
