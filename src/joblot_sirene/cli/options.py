"""Options and output that several commands share, and how they report errors when a program reads the result."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from joblot import ConfigError, JoblotError
from joblot_sirene.register.naf import NAF25, REV2, Nomenclature

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from joblot_sirene.register.naf import Selection

_NAMES_WIDTH: Final = 27
_LISTS: Final[dict[str, Nomenclature]] = {"rev2": REV2, "2025": NAF25}


class FilePath(click.ParamType[Path]):
    """A path as it was typed; whether anything is there is checked later, with one message for all commands."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path."""
        if not str(value):
            self.fail("the path is empty", param, ctx)
        return Path(value)


def option(*names: str, **settings: Any) -> Callable[[Any], Any]:
    """An option whose value is a path."""
    return click.option(*names, type=FilePath(), **settings)


def number(*names: str, least: int, most: int | None = None, **settings: Any) -> Callable[[Any], Any]:
    """An option whose value is a whole number within bounds."""
    return click.option(*names, type=click.IntRange(min=least, max=most), metavar="N", **settings)


json_option = click.option(
    "--json", "as_json", is_flag=True, help="print the result as JSON, and nothing else, on standard output"
)
template_option = option(
    "--template",
    metavar="FILE",
    help="the template of the job files (default: `job_template.yaml`, which comes with joblot)",
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
bad_rows_option = option(
    "--bad-rows",
    metavar="FILE",
    help="put rows of CSV aside that have another number of fields than the header, and say in FILE which (default: they are an error)",
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
    help="NAF code(s) of any level; may be given often",
)
naf_file_option = option("--naf-file", metavar="FILE", help="a file with a code at the start of each line")


def nomenclatures(nomenclature: str | None) -> tuple[Nomenclature | None, Nomenclature]:
    """The list of `--nomenclature`, and the one in which codes without a letter are read when there is none."""
    import datetime as dt

    from joblot_sirene.register.naf import default_nomenclature

    chosen = None if nomenclature is None else _LISTS[nomenclature]
    return chosen, chosen or default_nomenclature(dt.datetime.now(dt.UTC).date())


def all_codes(codes: Sequence[str], naf_file: Path | None) -> list[str]:
    """The codes of `--naf` and of `--naf-file`."""
    from joblot_sirene import batch

    return [*codes, *(batch.codes_of_file(naf_file) if naf_file is not None else ())]


def read_codes(codes: Sequence[str], nomenclature: str | None) -> list[Selection]:
    """The selections of codes; warnings are printed."""
    from joblot_sirene import batch

    selections, warnings = batch.read_codes(codes, *nomenclatures(nomenclature))
    for warning in warnings:
        warn(warning)
    return selections


def make_job_files(
    selections: Sequence[Selection], values: Mapping[str, Any], *, folder: Path, own_profiles: str | None, **more: Any
) -> list[Any]:
    """Write the job files of selections, as the values of the options ask; what became of each."""
    from joblot_sirene import batch

    return batch.make_job_files(
        selections,
        folder=folder,
        template=values["template"],
        profile=values["profile"],
        constants=variables(values["constants"]),
        own_profiles=own_profiles,
        nomenclature=nomenclatures(values["nomenclature"])[1],
        force=values["force"],
        **more,
    )


def variables(constants: tuple[str, ...]) -> dict[str, str]:
    """`KEY=VALUE` as a mapping."""
    values: dict[str, str] = {}
    for text in constants:
        key, mark, value = text.partition("=")
        if not mark or not key.isidentifier():
            raise click.UsageError(f"`--set` takes KEY=VALUE, not `{text}`")
        if key in ("niche_name", "naf_code", "profile"):
            raise click.UsageError(f"`{key}` is filled in for each code, and cannot be set")
        values[key] = value
    return values


def own_profiles(path: Path | None) -> str | None:
    """The text of a file of profiles."""
    from joblot_sirene.jobs.jobfile import read_text

    return None if path is None else read_text(path)


def check_profile(name: str, own: str | None, file: Path | None) -> None:
    """Refuse a profile that is not there before any file is opened."""
    from joblot_sirene.jobs import profiles

    profiles.load(name, text=own, file="" if file is None else str(file))


def warn(message: str) -> None:
    """Print a warning on standard error."""
    click.echo(f"WARNING: {message}", err=True)


def print_json(value: Any) -> None:
    """Print a result on standard output."""
    from joblot_sirene import batch

    click.echo(batch.as_json(value), nl=False)


@contextmanager
def errors_as_json(*, enabled: bool) -> Iterator[None]:
    """With `--json` an error is printed on standard output too, so that there is always one JSON document."""
    try:
        yield
    except JoblotError as error:
        diagnostics = error.diagnostics if isinstance(error, ConfigError) else []
        if enabled:
            errors = [diagnostic.as_dict() for diagnostic in diagnostics]
            print_json({"status": "ERROR", "errors": errors or [{"message": error.message, "hint": error.hint}]})
        raise
    except click.UsageError as error:
        if enabled:
            print_json({"status": "ERROR", "errors": [{"message": error.format_message(), "hint": ""}]})
        raise


class Command(click.Command):
    """A command that reports every error as JSON with `--json`, also that of a wrong option.

    Of many options `groups` are titles, each with the names (in Python) of those that stand under it in the help.
    """

    def __init__(self, *arguments: Any, groups: Mapping[str, Sequence[str]] | None = None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.groups = groups or {}

    def grouped(self, ctx: click.Context) -> Iterator[tuple[str, list[click.Option]]]:
        """The titles, each with its options; the rest are `Options`."""
        options = {str(one.name): one for one in self.get_params(ctx) if isinstance(one, click.Option)}
        for title, names in self.groups.items():
            yield title, [options.pop(name) for name in names]
        yield "Options", list(options.values())

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The groups as help text."""
        for title, options in self.grouped(ctx):
            records = [record for one in options if (record := one.get_help_record(ctx)) is not None]
            with formatter.section(title):  # all with the texts in the same column
                formatter.write_dl(
                    [(f"{names:<{_NAMES_WIDTH if self.groups else 0}}", text) for names, text in records]
                )

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Read the command line."""
        with errors_as_json(enabled="--json" in args):
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with errors_as_json(enabled=ctx.params["as_json"]):
            return super().invoke(ctx)
