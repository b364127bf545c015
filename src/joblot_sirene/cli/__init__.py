"""`joblot sirene`: the commands for the French business register, each in a module of its own that is imported when it is called."""

from __future__ import annotations

from importlib import import_module
from typing import Final

import click

COMMANDS: Final[dict[str, str]] = {
    "batch": "build a dataset for each activity code, all from one scan",
    "generate": "write the job file of each activity code, and run nothing",
    "template": "print the template of job files, to copy and change",
    "inspect": "say what a file of the register is: layout, rows, codes, dates, what is missing",
    "prepare": "write a copy sorted by activity code, which later batches find by themselves",
    "sample": "write a synthetic stock file, with no real person in it",
    "purge": "remove the datasets whose time is over",
}
"""The commands and what they are for."""


class Commands(click.Group):
    """The group, from the table above."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"joblot_sirene.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The table as help text."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(
    "sirene",
    cls=Commands,
    no_args_is_help=True,
    short_help="datasets by activity code from the French business register",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
def sirene() -> None:
    """Datasets by activity code (NAF) from the stock files of the French business register: hundreds of codes from one scan."""
