"""`joblot sirene sample`: a synthetic stock file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from joblot_sirene.cli import options
from joblot_sirene.cli.options import FilePath, number, option

if TYPE_CHECKING:
    from pathlib import Path


@click.command(
    "sample",
    cls=options.Command,
    help="Write a synthetic stock file with the register's columns, its skew and its traps, and no real person. The format is that of OUT's "
    "ending: `.parquet`, `.csv` or `.zip`. The same numbers give the same file.",
)
@click.argument("out", type=FilePath())
@number("--rows", least=1, default=100_000, show_default=True, help="establishments")
@number("--seed", least=0, default=0, show_default=True, help="another seed gives other rows")
@click.option(
    "--columns",
    type=click.Choice(["54", "53", "48"]),
    default="54",
    show_default=True,
    help="the layout: of today, of 2024, or before",
)
@click.option(
    "--duplicates",
    type=click.FloatRange(0, 1),
    default=0.0,
    metavar="SHARE",
    help="the share of rows that stand in the file twice",
)
@option("--units", metavar="FILE", help="write the fitting StockUniteLegale as well")
@option("--history", metavar="FILE", help="write the fitting StockEtablissementHistorique as well")
@options.json_option
def command(*, out: Path, rows: int, seed: int, columns: str, as_json: bool, **values: Any) -> int:
    """Write the files and print how many rows there are."""
    from joblot import reason_of
    from joblot_sirene.errors import SireneError, need_engine

    need_engine()
    from joblot_sirene.synthetic.sample import write_sample

    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        sample = write_sample(out, rows, seed, layout=int(columns), **values)  # type: ignore[arg-type]
    except ValueError as error:
        raise SireneError(str(error)) from None
    except OSError as error:
        raise SireneError(f"cannot write `{error.filename or out}`: {reason_of(error)}") from None
    if as_json:
        options.print_json({"status": "OK", "file": str(out), "rows": sample.rows, "units": sample.units})
    else:
        click.echo(f"{out}: {sample.rows} establishments")
    return 0
