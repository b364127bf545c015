"""Help that can be read: many options stand in groups."""

import re

import click
import pytest

from joblot.cli import COMMANDS, cli
from joblot.cli.options import Command
from joblot_sirene.cli.options import Command as SireneCommand

MANY = 8


def commands():
    loaded = {name: cli.get_command(click.Context(cli), name) for name in COMMANDS}
    sirene = cli.get_command(click.Context(cli), "sirene")
    loaded |= {f"sirene {name}": sirene.get_command(click.Context(sirene), name) for name in sirene.list_commands(None)}
    return {
        name: (one, [each for each in one.params if isinstance(each, click.Option)]) for name, one in loaded.items()
    }


GROUPS = {
    "run": ["Which jobs", "The batch", "Look first", "How it runs", "State and journal", "Output"],
    "resume": ["How it runs", "State and journal", "Output"],
    "retry": ["Which jobs", "The batch", "How it runs", "State and journal", "Output"],
    "plan": ["Which jobs", "The batch", "Look first", "How it runs", "State and journal", "Output"],
    "ls": ["Which runs", "State and output"],
    "sirene batch": [
        "Which datasets",
        "The files of the register",
        "What is in a dataset",
        "Look first",
        "How it runs",
        "State and output",
        "Options",
    ],
    "sirene generate": ["Which files", "What is in a file", "Options"],
    "each": ["The items", "The command", "Look first", "How it runs", "State and journal", "Output"],
    "generate": ["What is written", "How", "Look first", "Output"],
}


def test_every_command_with_many_options_has_them_in_groups():
    assert sorted(name for name, (_, options) in commands().items() if len(options) > MANY) == sorted(GROUPS)


@pytest.mark.parametrize("name", GROUPS)
def test_the_groups_of_a_command(name):
    command, options = commands()[name]
    assert isinstance(command, (Command, SireneCommand))
    context = click.Context(command, info_name=name, help_option_names=["-h", "--help"])
    found = dict(command.grouped(context))
    assert list(found) == GROUPS[name], "in this order, and none is left for `Others`"
    assert sorted(one.name for some in found.values() for one in some if "--help" not in one.opts) == sorted(
        one.name for one in options
    )


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_help_of_run_at_several_widths(joblot, width):
    text = joblot("run", "--help", env={"COLUMNS": str(width)}).out
    assert re.findall(r"^(\S.*):$", text, re.MULTILINE) == GROUPS["run"]
    assert "Options:" not in text
    assert max(map(len, text.splitlines())) <= width
    start = text.index("\nWhich jobs:\n")
    assert text[start:].splitlines()[2].startswith("  --only S                    just these jobs: a name")


def test_an_option_that_no_group_names_is_told_all_the_same():
    @click.command(cls=Command, groups={"First": ("a",), "Empty": ("c",)})
    @click.option("--a")
    @click.option("--b")
    def command(a, b):
        raise AssertionError

    text = command.get_help(click.Context(command, info_name="x"))
    assert re.findall(r"^(\S.*):$", text, re.MULTILINE) == ["First", "Others"]
