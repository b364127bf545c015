"""`joblot sirene batch`: a dataset for each activity code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from joblot_sirene.cli import options
from joblot_sirene.cli.options import FilePath, option

if TYPE_CHECKING:
    from joblot_sirene.batch import JobFile, Settings


@click.command(
    "batch",
    cls=options.Command,
    help="Build a dataset for each activity code, all from one scan of INPUT. A job file is written for each code first; one that you "
    "have edited is used as it is. Instead of codes, or beside them, JOB_FILES can be named.\n\n"
    "It is a joblot run: `joblot ls`, `show`, `logs`, `resume` and `retry` know it.",
)
@click.argument("job_files", metavar="[JOB_FILES]...", nargs=-1, type=FilePath())
@options.naf_option
@options.naf_file_option
@option(
    "--input", "stock", metavar="FILE", help="StockEtablissement, in any of its layouts: Parquet, CSV or zipped CSV"
)
@option("--output-dir", "--out-dir", "output", metavar="DIR", help="the folder of the datasets")
@options.template_option
@options.profile_option
@options.profiles_option
@option("--jobs-dir", metavar="DIR", default="jobs_generated", show_default=True, help="the folder of the job files")
@click.option("-n", "--dry-run", is_flag=True, help="write the job files, build nothing")
@click.option(
    "--sample",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="only the first N rows of each dataset (0: all)",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1, max=1024),
    metavar="N",
    help="threads of the data engine (default: the processors, at most 8)",
)
@click.option(
    "--max-ram-mb",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="memory that may be taken, in MiB (0: no limit)",
)
@click.option(
    "--timeout",
    metavar="TIME",
    help="limit of each job, such as `30m` (default: `budgets.time_minutes` of its job file, one hour)",
)
@click.option(
    "--continue-on-error",
    "go_on",
    is_flag=True,
    help="go on with the other codes when one fails; the exit code is then 0",
)
@click.option("--strict", is_flag=True, help="with `--continue-on-error`: exit code 1 when a code failed")
@options.nomenclature_option
@option("--unite-legale", "units", metavar="FILE", help="StockUniteLegale, for names and legal forms")
@option("--historique", "history", metavar="FILE", help="StockEtablissementHistorique, for openings and closings")
@option("--earlier", metavar="DIR", help="the output folder of an earlier batch, to compare with")
@options.set_option
@click.option("--force", is_flag=True, help="overwrite job files that were edited")
@click.option("--rebuild", is_flag=True, help="build also what is up to date")
@click.option("--no-fuse", is_flag=True, help="a scan for each code, instead of one for all")
@click.option("--explain", is_flag=True, help="show the steps of each job's profile, and do nothing")
@click.option(
    "--on",
    metavar="WHERE",
    default="local",
    show_default=True,
    help="where the jobs run, as for `joblot run`: `inline`, `local`, or a Dask cluster that sees the same files",
)
@option("--cluster", metavar="FILE", help="the settings of the cluster")
@option("--report", metavar="FILE", help="write joblot's own report of the run")
@option("--state", metavar="DIR", help="the state folder (default: `.joblot`)")
@click.option("--verbose", is_flag=True, help="what happens, as it happens")
@options.json_option
def command(*, codes: tuple[str, ...], as_json: bool, **given: Any) -> int:
    """Write the job files, run the batch, tell the result."""
    with options.errors_as_json(wanted=as_json):
        return _batch(codes, as_json=as_json, **given)


def _batch(
    codes: tuple[str, ...],
    *,
    job_files: tuple[Path, ...],
    naf_file: Path | None,
    stock: Path | None,
    output: Path | None,
    dry_run: bool,
    explain: bool,
    as_json: bool,
    verbose: bool,
    **given: Any,
) -> int:
    from joblot_sirene import batch
    from joblot_sirene.errors import SireneError, need_engine

    wanted = [*codes, *(batch.codes_of_file(naf_file) if naf_file is not None else ())]
    if not wanted and not job_files:
        raise click.UsageError("no code is given: `--naf CODE`, `--naf-file FILE` or job files")
    if explain:
        return _explain(_jobs(wanted, job_files, given, write=False, tell=False)[0], as_json=as_json)
    if stock is None or output is None:
        missing = "`--input FILE`" if stock is None else "`--output-dir DIR`"
        raise click.UsageError(f"missing option {missing}")
    files = batch.Files(stock=stock, units=given["units"], history=given["history"])
    has_units = files.check()
    if given["earlier"] is not None and not given["earlier"].is_dir():
        raise SireneError(f"no such folder: `{given['earlier']}`", hint="`--earlier` is the output folder of a batch")
    batch.check_folder(output, "--output-dir")
    if wanted:
        batch.check_folder(given["jobs_dir"], "--jobs-dir")
    jobs, written = _jobs(wanted, job_files, given, write=True, tell=not as_json or verbose)
    if dry_run:
        return _dry(jobs, written, as_json=as_json)
    need_engine()
    settings = _settings(output, given)
    if settings.earlier is not None and not any(one.job.profile.compares for one in jobs):
        options.warn("`--earlier` has no effect: no job's profile has the step `comparison` (`--profile deep` has)")
    made = batch.make_batch(files, jobs, settings, has_units=has_units)
    return _run(made, jobs, settings, given, as_json=as_json, verbose=verbose)


def _jobs(
    wanted: list[str], job_files: tuple[Path, ...], given: dict[str, Any], *, write: bool, tell: bool
) -> tuple[list[JobFile], int]:
    """The jobs, and how many job files were written. Without `write` those of codes are made in a folder that is removed again."""
    from tempfile import TemporaryDirectory

    from joblot_sirene import batch

    asked, default = options.lists(given["nomenclature"])
    own = options.own_profiles(given["profiles"])
    if wanted:
        options.check_profile(given["profile"], own, given["profiles"])
    selections, warnings = batch.read_codes(wanted, asked, default)
    for warning in warnings:
        options.warn(warning)

    def make(folder: Path) -> tuple[list[JobFile], int]:
        made = (
            batch.make_job_files(
                selections,
                folder=folder,
                template=given["template"],
                profile=given["profile"],
                constants=options.variables(given["constants"]),
                own_profiles=own,
                nomenclature=default,
                force=given["force"],
            )
            if selections
            else []
        )
        _tell_of(made, tell=tell)
        paths = [(Path(one.path), selection.code) for one, selection in zip(made, selections, strict=True)]
        named = [(path, "") for path in job_files]
        jobs = batch.read_job_files([*paths, *named], own_profiles=own, nomenclature=default)
        return jobs, sum(one.state == "generated" for one in made)

    if write:
        return make(given["jobs_dir"])
    with TemporaryDirectory() as folder:
        return make(Path(folder))


def _tell_of(made: list[Any], *, tell: bool) -> None:
    from joblot_sirene.errors import SireneError

    for one in made:
        if one.state in ("edited", "not_ours"):
            how = "was edited" if one.state == "edited" else "is not joblot's"
            options.warn(f"`{one.path}` {how}: it is used as it is (`--force` writes it anew)")
        elif one.state == "failed":
            raise SireneError(one.reason)
        elif tell:
            click.echo(
                f"{'Generated job file' if one.state == 'generated' else 'Job file is as it was'}: {one.path}", err=True
            )


def _explain(jobs: list[JobFile], *, as_json: bool) -> int:
    from joblot_sirene import batch

    if as_json:
        found = [
            {
                "niche": one.job.niche,
                "profile": one.job.profile.name,
                "description": one.job.profile.description,
                "steps": [{"name": call.name, "purpose": call.purpose} for call in one.job.profile.steps],
                "files": list(one.job.profile.files),
            }
            for one in jobs
        ]
        click.echo(batch.as_json({"status": "OK", "jobs": found}), nl=False)
        return 0
    for one in jobs:
        click.echo(f"{one.job.niche} ({one.job.profile.name}): {one.job.profile.description}")
        for line in one.job.profile.explain():
            click.echo(f"  {line}")
    return 0


def _dry(jobs: list[JobFile], written: int, *, as_json: bool) -> int:
    from joblot_sirene import batch

    if as_json:
        result = {
            "status": "OK",
            "generated_jobs": len(jobs),
            "dry_run": True,
            "written": written,
            "job_files": [str(one.path) for one in jobs],
        }
        click.echo(batch.as_json(result), nl=False)
    else:
        click.echo(f"{len(jobs)} jobs, {written} job files written, nothing built (dry run)")
        for one in jobs:
            click.echo(f"  {one.job.niche}: {one.path}")
    return 0


def _settings(output: Path, given: dict[str, Any]) -> Settings:
    from joblot_sirene.batch import Settings

    return Settings(
        output=output,
        earlier=given["earlier"],
        profiles=given["profiles"],
        nomenclature=options.lists(given["nomenclature"])[1],
        sample=given["sample"],
        threads=given["workers"] or 0,
        max_ram_mb=given["max_ram_mb"],
        timeout=given["timeout"],
        go_on=given["go_on"],
    )


def _run(
    made: Any, jobs: list[JobFile], settings: Settings, given: dict[str, Any], *, as_json: bool, verbose: bool
) -> int:
    from joblot_sirene import batch
    from joblot_sirene.cli.progress import Progress

    progress = Progress([one.code for one in jobs], go_on=settings.go_on, verbose=verbose, err=as_json)
    report = made.run(
        observers=[progress],
        on=given["on"],
        cluster=given["cluster"],
        state=None if given["state"] is None else given["state"],
        force=("*",) if given["rebuild"] else (),
        fuse=not given["no_fuse"],
    )
    result = batch.result_of(report, jobs, settings)
    kept = _keep(report, result, settings, given["report"])
    click.echo(
        f"Batch processing completed: {result['successful_jobs']}/{result['total_jobs']} jobs successful", err=True
    )
    failed = [item["naf_code"] for item in result["results"] if item["status"] != "SUCCESS"]
    if failed:
        click.echo(f"Failed NAF codes: {failed}", err=True)
        click.echo(
            f"to go on: joblot resume {report.run_id}" + (f" --state {given['state']}" if given["state"] else ""),
            err=True,
        )
    if as_json:
        click.echo(batch.as_json(result), nl=False)
    else:
        _tell(result)
    code = _exit_code(report.exit_code, bool(failed), go_on=settings.go_on, strict=given["strict"])
    return code if kept else code or 1


def _keep(report: Any, result: dict[str, Any], settings: Settings, path: Path | None) -> bool:
    """Write the reports; when that fails the result is told all the same, and whether it failed."""
    from joblot import JoblotError
    from joblot_sirene import batch

    try:
        batch.write_result(result, settings.output)
        if path is not None:
            report.write(path)
    except JoblotError as error:
        options.warn(error.message)
        return False
    return True


def _tell(result: dict[str, Any]) -> None:
    for item in result["results"]:
        if item["status"] == "SUCCESS":
            same = ", up to date" if item["up_to_date"] else ""
            click.echo(f"[SUCCESS] {item['naf_code']}: {item['rows']} rows in {item['output_dir']}{same}")
        else:
            click.echo(f"[{item['status']}] {item['naf_code']}: {item['error']}")
    click.echo(f"{result['status']}: {result['successful_jobs']} of {result['total_jobs']} datasets")


def _exit_code(code: int, failed: bool, *, go_on: bool, strict: bool) -> int:
    """0 with failures when `--continue-on-error` allows for them, 1 with `--strict` all the same; a signal or a time limit is told in any case."""
    if failed and code == 1 and go_on and not strict:
        options.warn("some codes failed; the exit code is 0 because of `--continue-on-error` (`--strict` makes it 1)")
        return 0
    return code
