"""`joblot sirene prepare`: a copy of a stock file that is sorted by activity code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from joblot_sirene.cli import options
from joblot_sirene.cli.options import FilePath, option

if TYPE_CHECKING:
    from pathlib import Path


@click.command(
    "prepare",
    cls=options.Command,
    help="Write a copy of FILE that is sorted by activity code, beside it. Later batches find it by themselves as long as FILE stays as it "
    "is, and read only the codes that they want.",
)
@click.argument("file", type=FilePath())
@option("--out", metavar="FILE", help="another place for the copy; there it is not found by itself")
@click.option(
    "--max-ram-mb",
    type=click.IntRange(min=0),
    default=1024,
    show_default=True,
    metavar="N",
    help="memory that may be taken (0: no limit)",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1, max=1024),
    metavar="N",
    help="threads of the data engine (default: all processors)",
)
@options.json_option
def command(*, file: Path, out: Path | None, max_ram_mb: int, workers: int | None, as_json: bool) -> int:
    """Sort and write."""
    with options.errors_as_json(wanted=as_json):
        from joblot_sirene import batch
        from joblot_sirene.errors import need_engine
        from joblot_sirene.stock.prepare import prepare
        from joblot_sirene.stock.source import limit_threads

        need_engine()
        limit_threads(workers or 0)
        made = prepare(file, out, max_ram_bytes=max_ram_mb * 2**20)
        if as_json:
            click.echo(batch.as_json({"status": "OK", "file": str(made), "bytes": made.stat().st_size}), nl=False)
        else:
            click.echo(f"{made}: {made.stat().st_size / 2**20:.0f} MiB")
        return 0
