"""`joblot sirene inspect`: what a file of the register is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from joblot_sirene.cli import options
from joblot_sirene.cli.options import FilePath, number

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@click.command(
    "inspect",
    cls=options.Command,
    help="Say what FILE is: its layout, rows, stock date, which columns are missing, and how its rows are spread over activities, states and "
    "diffusion.",
)
@click.argument("file", type=FilePath())
@click.option("--quick", is_flag=True, help="look at the columns only, read no rows")
@number("--most", least=1, default=10, show_default=True, help="how many codes are listed")
@options.bad_rows_option
@options.json_option
def command(*, file: Path, quick: bool, most: int, bad_rows: Path | None, as_json: bool) -> int:
    """Inspect the file and print the result."""
    from joblot_sirene.errors import need_engine
    from joblot_sirene.inspection import inspect

    need_engine()
    report = inspect(file, rows=not quick, most_codes=most, bad_rows=bad_rows)
    if as_json:
        options.print_json(report)
    else:
        for line in (*_file_lines(report), *_row_lines(report)):
            click.echo(line)
    return 0


def _file_lines(report: dict[str, Any]) -> Iterator[str]:
    yield f"{report['file']}: {report['format']}, {report['layout']}"
    if report["rows"] is not None:
        yield f"  rows: {report['rows']}"
    if report["stock_date"]:
        yield f"  stock: {report['stock_date']} (newest treatment {report['newest_treatment']})"
    if report["sorted_copy"]:
        yield f"  sorted copy: {report['sorted_copy']}"
    if report["bad_rows"]:
        yield f"  put aside: {report['bad_rows']} rows with another number of fields than the header"
    yield from (f"  missing: {name}" for name in report["missing_columns"])
    yield from (f"  also there: {name}" for name in report["extra_columns"])


def _row_lines(report: dict[str, Any]) -> Iterator[str]:
    for title, counts in report.get("counts", {}).items():
        yield f"  {title}: " + ", ".join(f"{value or '(none)'} {count}" for value, count in counts.items())
    if report.get("codes"):
        yield f"  codes: {report['distinct_codes']}, most rows:"
        yield from (f"    {item['code']} {item['rows']} {item['label'] or ''}".rstrip() for item in report["codes"])
    for name, count in report.get("unreadable_values", {}).items():
        yield f"  unreadable: {count} values of {name}"
