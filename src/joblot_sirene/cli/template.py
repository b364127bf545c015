"""`joblot sirene template`: the template of job files."""

from __future__ import annotations

import click


@click.command(
    "template",
    help="Print the template from which job files are made. Keep it in a file, change it, and name it with `--template`:\n\n"
    "  joblot sirene template > job_template.yaml",
)
def command() -> int:
    """Print the shipped template as it is."""
    from joblot_sirene.jobs import jobfile

    click.echo(jobfile.template(), nl=False)
    return 0
