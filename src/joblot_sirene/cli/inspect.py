"""`joblot sirene inspect`: what a file of the register is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from joblot_sirene.cli import options
from joblot_sirene.cli.options import FilePath

if TYPE_CHECKING:
    from pathlib import Path


@click.command(
    "inspect",
    cls=options.Command,
    help="Say what FILE is: its layout, rows, stock date, which columns are missing, and how its rows are spread over activities, states and "
    "diffusion.",
)
@click.argument("file", type=FilePath())
@click.option("--quick", is_flag=True, help="look at the columns only, read no rows")
@click.option(
    "--most", type=click.IntRange(min=1), default=10, show_default=True, metavar="N", help="how many codes are listed"
)
@options.json_option
def command(*, file: Path, quick: bool, most: int, as_json: bool) -> int:
    """Look, and tell."""
    with options.errors_as_json(wanted=as_json):
        from joblot_sirene import batch
        from joblot_sirene.errors import need_engine
        from joblot_sirene.inspection import inspect

        need_engine()

        found = inspect(file, rows=not quick, most_codes=most)
        if as_json:
            click.echo(batch.as_json(found), nl=False)
        else:
            for line in _lines(found):
                click.echo(line)
        return 0


def _lines(found: dict[str, Any]) -> list[str]:
    lines = [f"{found['file']}: {found['format']}, {found['layout']}"]
    if found["rows"] is not None:
        lines.append(f"  rows: {found['rows']}")
    if found["stock_date"]:
        lines.append(f"  stock: {found['stock_date']} (newest treatment {found['newest_treatment']})")
    if found["sorted_copy"]:
        lines.append(f"  sorted copy: {found['sorted_copy']}")
    lines += [f"  missing: {name}" for name in found["missing_columns"]]
    lines += [f"  also there: {name}" for name in found["extra_columns"]]
    for title, counts in found.get("counts", {}).items():
        lines.append(f"  {title}: " + ", ".join(f"{name or '(none)'} {count}" for name, count in counts.items()))
    if found.get("codes"):
        lines.append(f"  codes: {found['distinct_codes']}, most rows:")
        lines += [f"    {one['code']} {one['rows']} {one['label'] or ''}".rstrip() for one in found["codes"]]
    lines += [f"  unreadable: {count} values of {name}" for name, count in found.get("unreadable_values", {}).items()]
    return lines
