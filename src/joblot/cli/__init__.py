"""The command line: the list of commands, each of which has a module of its own that is imported when it is called.

Their one-line descriptions stand here, so that `joblot --help` imports none of them. Installed packages may offer more, in the entry point group
`joblot.commands`; they are looked for when a command is asked for that is not in the table, and for the help. It does not know what they do.
"""

from __future__ import annotations

from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import click

from joblot.errors import UsageError, did_you_mean
from joblot.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.metadata import EntryPoint

    from click.shell_completion import CompletionItem

ENTRY_POINTS: Final = "joblot.commands"
"""The entry point group in which a package names its commands, click commands that are given to `joblot`."""
SECTIONS: Final[dict[str, dict[str, str]]] = {
    "Write and check a batch": {
        "init": "write a first batch file, with comments",
        "validate": "check a batch file and list everything that is wrong",
        "plan": "show what would run, why, and how long it may take",
        "graph": "print the jobs and their needs for mermaid or dot",
        "generate": "write files from a template, one for each item",
    },
    "Run it": {
        "run": "run the jobs of a batch file",
        "each": "run a command for each item of a list, without a file",
        "resume": "go on with a run that was interrupted or stopped",
        "retry": "run again what failed in a run",
        "accept": "take what is there for up to date",
        "cancel": "stop a run that another process drives",
        "recover": "make a damaged or lost journal again",
        "prune": "clear up old runs",
    },
    "Run it on time": {
        "schedule": "run batch files when their schedules are due",
        "backfill": "run a batch file for past due times without a success",
    },
    "See what happened": {
        "ls": "list the runs",
        "show": "show one run",
        "logs": "print what jobs printed",
        "explain": "say why a job is in the state it is in",
        "why": "say which job made a file, and of what",
        "diff": "say what is different between two runs",
        "replay": "run one job of a past run alone, in this process",
    },
    "Look up": {
        "actions": "list the actions that jobs can name, or describe one",
        "schema": "print the JSON Schema of batch files, or a part of it",
    },
}
"""The commands and their one-line descriptions, as `joblot --help` lists them."""
COMMANDS: Final = {name: about for section in SECTIONS.values() for name, about in section.items()}
EPILOG: Final = """\b
Exit codes: 0 all well, 1 jobs failed, 2 wrong usage or batch file, 3 internal error, 4 no such run or unusable
state folder, 5 another process drives the run, 124 the run's time limit, 130 and 143 stopped by a signal.

Completion: `eval "$(_JOBLOT_COMPLETE=bash_source joblot)"` in bash, `zsh_source` in zsh,
`_JOBLOT_COMPLETE=fish_source joblot | source` in fish."""


class Commands(click.Group):
    """The group of all commands: those of the table above, and those that installed packages offer."""

    @cached_property
    def offered(self) -> Mapping[str, EntryPoint]:
        """The commands of other packages by name. Looked up once: reading what is installed takes tens of milliseconds."""
        from importlib.metadata import entry_points

        return {point.name: point for point in entry_points(group=ENTRY_POINTS) if point.name not in COMMANDS}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names, in the order of the table, then those of other packages."""
        return [*COMMANDS, *sorted(self.offered)]

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names of commands without importing any: click would import them all for their help."""
        from click.shell_completion import CompletionItem

        if incomplete[:1] == "-":
            return click.Command.shell_complete(self, ctx, incomplete)
        names = (name for name in self.list_commands(ctx) if name.startswith(incomplete))
        return [CompletionItem(name, help=COMMANDS.get(name)) for name in names]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import one command.

        Raises:
            UsageError: the package that offers it cannot be imported.
        """
        if cmd_name in COMMANDS:
            command: click.Command = import_module(f"joblot.cli.{cmd_name}").command
            return command
        return _loaded(self.offered[cmd_name]) if cmd_name in self.offered else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the first argument names."""
        name = args[0]
        if name not in COMMANDS and not ctx.resilient_parsing and not name.startswith("-") and name not in self.offered:
            hint = did_you_mean(name, [*COMMANDS, *self.offered]) or "`joblot --help` lists them"
            raise UsageError(f"no such command: `{name}`", hint=hint)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The table as help text."""
        width = max(map(len, COMMANDS))
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:<{width}}", about) for name, about in commands.items()])
        if self.offered:
            with formatter.section("From installed packages"):
                formatter.write_dl([(f"{name:<{width}}", _about(self.offered[name])) for name in sorted(self.offered)])


def _loaded(point: EntryPoint) -> click.Command:
    try:
        command: click.Command = point.load()
    except Exception as error:
        package = point.dist.name if point.dist else "?"
        raise UsageError(
            f"the command `{point.name}` of package `{package}` cannot be imported: {type(error).__name__}: {error}"
        ) from error
    return command


def _about(point: EntryPoint) -> str:
    """What a command says of itself in one line, or why it cannot."""
    try:
        return _loaded(point).get_short_help_str(limit=100)
    except UsageError as error:
        return error.message


def _print_version(ctx: click.Context, _parameter: click.Parameter, value: Any) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"joblot {__version__}")
        ctx.exit()


@click.command(
    cls=Commands,
    epilog=EPILOG,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="print the version"
)
def cli() -> None:
    """Runs a lot of jobs from one file, in parallel, and never loses one."""
