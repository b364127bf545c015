"""`joblot sirene prepare`: a copy of a stock file that is sorted by activity code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from joblot_sirene.cli import options
from joblot_sirene.cli.options import FilePath, number, option

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
@number("--max-ram-mb", least=0, default=1024, show_default=True, help="memory that may be taken (0: no limit)")
@number("--workers", least=1, most=1024, help="threads of the data engine (default: all processors)")
@options.json_option
def command(*, file: Path, out: Path | None, max_ram_mb: int, workers: int | None, as_json: bool) -> int:
    """Write the sorted copy and print its path and size."""
    from joblot_sirene.errors import need_engine
    from joblot_sirene.stock.prepare import prepare
    from joblot_sirene.stock.source import limit_threads

    need_engine()
    limit_threads(workers or 0)
    copy = prepare(file, out, max_ram_bytes=max_ram_mb * 2**20)
    size = copy.stat().st_size
    if as_json:
        options.print_json({"status": "OK", "file": str(copy), "bytes": size})
    else:
        click.echo(f"{copy}: {size / 2**20:.0f} MiB")
    return 0
