"""`joblot sirene purge`: remove the datasets whose time is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from joblot_sirene.cli import options
from joblot_sirene.cli.options import FilePath

if TYPE_CHECKING:
    from pathlib import Path


@click.command(
    "purge",
    cls=options.Command,
    help="Remove the datasets below FOLDER whose `retention_days` are over, as their manifests say. Only files that a manifest names go, and the "
    "folder when nothing else is in it.",
)
@click.argument("folder", type=FilePath())
@click.option("-n", "--dry-run", is_flag=True, help="say what would be removed; remove nothing")
@click.option("--today", metavar="DATE", help="take another day for today, such as 2027-01-31")
@options.json_option
def command(*, folder: Path, dry_run: bool, today: str | None, as_json: bool) -> int:
    """Remove expired datasets and print which."""
    import datetime as dt

    from joblot_sirene.package.purging import purge

    try:
        day = dt.date.fromisoformat(today) if today else dt.datetime.now(dt.UTC).date()
    except ValueError:
        raise click.UsageError(f"`--today` is a date such as 2027-01-31, not `{today}`") from None
    expired = purge(folder, day, remove=not dry_run)
    if as_json:
        items = [{"dataset": item.dataset, "folder": str(item.folder), "expired": item.expired} for item in expired]
        options.print_json({"status": "OK", "dry_run": dry_run, "removed": items})
        return 0
    for item in expired:
        click.echo(f"{'would remove' if dry_run else 'removed'} {item.folder}: its time was over on {item.expired}")
    if not expired:
        click.echo("nothing to remove")
    return 0
