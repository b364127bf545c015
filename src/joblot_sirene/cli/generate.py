"""`joblot sirene generate`: the job file of each activity code, and nothing run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from joblot_sirene.cli import options
from joblot_sirene.cli.options import FilePath

if TYPE_CHECKING:
    from pathlib import Path

    from joblot_sirene.register.naf import Selection

_SAID = {
    "generated": "generated",
    "unchanged": "unchanged",
    "edited": "left as it is: it was edited (`--force` writes it anew)",
    "not_ours": "left as it is: joblot did not write it (`--force` writes it anew)",
}


@click.command(
    "generate",
    cls=options.Command,
    help="Write the job file of each activity code. OUT is the one file to write, for one code; with `--batch` it is the folder of the files.",
)
@click.argument("out", type=FilePath())
@options.naf_option
@options.naf_file_option
@click.option("--batch", "many", is_flag=True, help="OUT is a folder: write `naf_CODE.yaml` there for each code")
@options.template_option
@options.profile_option
@options.profiles_option
@options.nomenclature_option
@options.set_option
@click.option("--force", is_flag=True, help="overwrite job files that were edited")
@options.json_option
def command(*, codes: tuple[str, ...], naf_file: Path | None, as_json: bool, **given: Any) -> int:
    """Write the files and tell of each."""
    with options.errors_as_json(wanted=as_json):
        from joblot_sirene import batch

        wanted = [*codes, *(batch.codes_of_file(naf_file) if naf_file is not None else ())]
        if not wanted:
            raise click.UsageError("no code is given: `--naf CODE` or `--naf-file FILE`")
        asked, default = options.lists(given["nomenclature"])
        selections, warnings = batch.read_codes(wanted, asked, default)
        for warning in warnings:
            options.warn(warning)
        folder, name = _place(given["out"], selections, many=given["many"])
        own = options.own_profiles(given["profiles"])
        options.check_profile(given["profile"], own, given["profiles"])
        made = batch.make_job_files(
            selections,
            folder=folder,
            name=name,
            template=given["template"],
            profile=given["profile"],
            constants=options.variables(given["constants"]),
            own_profiles=own,
            nomenclature=default,
            force=given["force"],
        )
        return _tell(made, as_json=as_json)


def _place(out: Path, selections: list[Selection], *, many: bool) -> tuple[Path, str]:
    """The folder, and the names of the files in it."""
    if many:
        return out, "{niche_name}.yaml"
    if len(selections) > 1:
        raise click.UsageError(
            f"{len(selections)} codes are given, and `{out}` is one file: with `--batch` it is a folder with a file for each"
        )
    if out.is_dir():
        raise click.UsageError(f"`{out}` is a folder: with `--batch` a file is written into it")
    return out.parent, out.name.replace("{", "{{").replace("}", "}}")


def _tell(made: list[Any], *, as_json: bool) -> int:
    from joblot_sirene import batch

    if as_json:
        files = [
            {"file": one.path, "state": one.state} | ({"reason": one.reason} if one.reason else {}) for one in made
        ]
        ok = all(one.state in ("generated", "unchanged") for one in made)
        click.echo(
            batch.as_json({"status": "OK" if ok else "PARTIAL", "generated_jobs": len(made), "files": files}), nl=False
        )
    for one in made:
        if not as_json:
            click.echo(f"{one.path}: {_SAID.get(one.state) or one.reason}")
    return 0 if all(one.state in ("generated", "unchanged") for one in made) else 1
