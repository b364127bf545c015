"""Options that several commands share, and how they tell of errors when a program reads the result."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from joblot import ConfigError, JoblotError
from joblot_sirene.register.naf import NAF25, REV2, Nomenclature

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LISTS: Final[dict[str, Nomenclature]] = {"rev2": REV2, "2025": NAF25}


class FilePath(click.ParamType[Path]):
    """A path, as it was given; whether anything is there is said later, in one form for all."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path."""
        if not str(value):
            self.fail("the path is empty", param, ctx)
        return Path(value)


def option(*names: str, **settings: Any) -> Callable[[Any], Any]:
    """An option whose value is a path."""
    return click.option(*names, type=FilePath(), **settings)


json_option = click.option(
    "--json", "as_json", is_flag=True, help="print the result as JSON, and nothing else, on standard output"
)
template_option = option(
    "--template", metavar="FILE", help="the template of the job files (default: the one that comes with joblot)"
)
profile_option = click.option(
    "--profile",
    metavar="NAME",
    default="quick",
    show_default=True,
    help="what is done to the rows: quick, standard, deep, or one of `--profiles`",
)
profiles_option = option(
    "--profiles", metavar="FILE", help="a file of your own profiles, in the form of the shipped one"
)
nomenclature_option = click.option(
    "--nomenclature",
    type=click.Choice(list(_LISTS)),
    help="the list that codes without a letter are of (default: rev2; from 1 January 2027 on 2025)",
)
set_option = click.option(
    "--set",
    "constants",
    metavar="KEY=VALUE",
    multiple=True,
    help="a variable for your own template; may be given often",
)
naf_option = click.option(
    "--naf",
    "--naf-code",
    "codes",
    metavar="CODE",
    multiple=True,
    help="an activity code of any level; may be given often",
)
naf_file_option = option("--naf-file", metavar="FILE", help="a file with a code at the start of each line")


def lists(nomenclature: str | None) -> tuple[Nomenclature | None, Nomenclature]:
    """The list that was asked for, and the one that codes without a letter are read in when none was."""
    import datetime as dt

    from joblot_sirene.register.naf import default_nomenclature

    asked = None if nomenclature is None else _LISTS[nomenclature]
    return asked, asked or default_nomenclature(dt.datetime.now(dt.UTC).date())


def variables(constants: tuple[str, ...]) -> dict[str, str]:
    """`KEY=VALUE` as a mapping."""
    found: dict[str, str] = {}
    for text in constants:
        key, mark, value = text.partition("=")
        if not mark or not key.isidentifier():
            raise click.UsageError(f"`--set` takes KEY=VALUE, not `{text}`")
        if key in ("niche_name", "naf_code", "profile"):
            raise click.UsageError(f"`{key}` is filled in for each code, and cannot be set")
        found[key] = value
    return found


def own_profiles(path: Path | None) -> str | None:
    """The text of a file of profiles."""
    from joblot_sirene.jobs.request import read_text

    return None if path is None else read_text(path)


def check_profile(name: str, own: str | None, file: Path | None) -> None:
    """Refuse a profile that is not there before any file is looked at."""
    from joblot_sirene.jobs import profiles

    profiles.load(name, text=own, file="" if file is None else str(file))


def warn(message: str) -> None:
    """A warning on standard error."""
    click.echo(f"WARNING: {message}", err=True)


@contextmanager
def errors_as_json(*, wanted: bool) -> Iterator[None]:
    """With `--json` an error stands on standard output too, so that there is always one JSON document."""
    try:
        yield
    except JoblotError as error:
        found = error.diagnostics if isinstance(error, ConfigError) else []
        if wanted:
            _print([one.as_dict() for one in found] or [{"message": error.message, "hint": error.hint}])
        raise
    except click.UsageError as error:
        if wanted:
            _print([{"message": error.format_message(), "hint": ""}])
        raise


def _print(errors: list[dict[str, Any]]) -> None:
    import json

    click.echo(json.dumps({"status": "ERROR", "errors": errors}, ensure_ascii=False, indent=2))


class Command(click.Command):
    """A command that tells also of options which mean nothing as JSON, when that is asked for."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Read the command line."""
        with errors_as_json(wanted="--json" in args):
            return super().make_context(info_name, args, parent, **extra)
