"""`joblot sirene generate`: the job file of each activity code, and nothing run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from joblot_sirene.cli import options
from joblot_sirene.cli.options import FilePath

if TYPE_CHECKING:
    from pathlib import Path

    from joblot_sirene.register.naf import Selection

_STATES = {
    "generated": "generated",
    "unchanged": "unchanged",
    "edited": "left as it is: it was edited (`--force` writes it anew)",
    "not_ours": "left as it is: joblot did not write it (`--force` writes it anew)",
}


@click.command(
    "generate",
    cls=options.Command,
    groups={
        "Which files": ("codes", "naf_file", "nomenclature", "many", "force"),
        "What is in a file": ("template", "profile", "profiles", "constants"),
    },
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
def command(*, out: Path, codes: tuple[str, ...], naf_file: Path | None, as_json: bool, **values: Any) -> int:
    """Write the files and print what became of each."""
    texts = options.all_codes(codes, naf_file)
    if not texts:
        raise click.UsageError("no code is given: `--naf CODE` or `--naf-file FILE`")
    selections = options.read_codes(texts, values["nomenclature"])
    folder, name = _target(out, selections, many=values["many"])
    own = options.own_profiles(values["profiles"])
    options.check_profile(values["profile"], own, values["profiles"])
    results = options.make_job_files(selections, values, folder=folder, own_profiles=own, name=name, warn=options.warn)
    is_ok = all(file.state in ("generated", "unchanged") for file in results)
    if as_json:
        files = [
            {"file": file.path, "state": file.state} | ({"reason": file.reason} if file.reason else {})
            for file in results
        ]
        options.print_json({"status": "OK" if is_ok else "PARTIAL", "generated_jobs": len(results), "files": files})
    else:
        for file in results:
            click.echo(f"{file.path}: {_STATES.get(file.state) or file.reason}")
    return 0 if is_ok else 1


def _target(out: Path, selections: list[Selection], *, many: bool) -> tuple[Path, str]:
    """The folder, and the template of the names of the files in it."""
    if many:
        return out, "{niche_name}.yaml"
    if len(selections) > 1:
        raise click.UsageError(
            f"{len(selections)} codes are given, and `{out}` is one file: with `--batch` it is a folder with a file for each"
        )
    if out.is_dir():
        raise click.UsageError(f"`{out}` is a folder: with `--batch` a file is written into it")
    return out.parent, out.name.replace("{", "{{").replace("}", "}}")
