"""`joblot sirene batch`: a dataset for each activity code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from joblot_sirene.cli import options
from joblot_sirene.cli.options import FilePath, number, option

if TYPE_CHECKING:
    from joblot import Batch, Report
    from joblot_sirene.batch import Settings
    from joblot_sirene.jobs.jobfile import JobFile


@click.command(
    "batch",
    cls=options.Command,
    groups={
        "Which datasets": ("codes", "naf_file", "nomenclature", "force", "rebuild"),
        "The files of the register": ("stock", "units", "history", "earlier", "stock_date", "bad_rows"),
        "What is in a dataset": ("output", "profile", "profiles", "sample", "template", "constants", "jobs_dir"),
        "Look first": ("dry_run", "explain"),
        "How it runs": ("workers", "max_ram_mb", "timeout", "go_on", "strict", "no_fuse", "on", "cluster"),
        "State and output": ("state", "report", "verbose", "as_json"),
    },
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
@number("--sample", least=0, default=0, help="only the first N rows of each dataset (0: all)")
@number("--workers", least=1, most=1024, help="threads of the data engine (default: the processors, at most 8)")
@number("--max-ram-mb", least=0, default=0, help="memory that may be taken, in MiB (0: no limit)")
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
@options.bad_rows_option
@click.option(
    "--stock-date",
    metavar="DATE",
    default="",
    help="the day of the stock, such as `2026-11-01` (default: that of the file's name, else its newest treatment)",
)
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
def command(
    *,
    codes: tuple[str, ...],
    naf_file: Path | None,
    job_files: tuple[Path, ...],
    stock: Path | None,
    output: Path | None,
    dry_run: bool,
    explain: bool,
    as_json: bool,
    verbose: bool,
    **values: Any,
) -> int:
    """Write the job files, run the batch, print the result."""
    from joblot_sirene import batch
    from joblot_sirene.errors import need_engine
    from joblot_sirene.register import stock_date

    texts = options.all_codes(codes, naf_file)
    if not texts and not job_files:
        raise click.UsageError("no code is given: `--naf CODE`, `--naf-file FILE` or job files")
    if explain:
        return _explain(_jobs(texts, job_files, values, write=False, verbose=False)[0], as_json=as_json)
    if stock is None or output is None:
        missing = "`--input FILE`" if stock is None else "`--output-dir DIR`"
        raise click.UsageError(f"missing option {missing}")
    # what can be wrong is found out before the first file is written, without the data engine: its threads do not survive a fork
    stock_date.read_day(values["stock_date"])
    files = batch.Files(stock=stock, units=values["units"], history=values["history"])
    has_units = files.check()
    _check_folders(output, values["jobs_dir"] if texts else None, values["earlier"])
    jobs, written = _jobs(texts, job_files, values, write=True, verbose=not as_json or verbose)
    if dry_run:
        return _print_dry_run(jobs, written, as_json=as_json)
    need_engine()
    settings = _settings(output, values)
    if settings.earlier is not None and not any(file.job.profile.compares for file in jobs):
        options.warn("`--earlier` has no effect: no job's profile has the step `comparison` (`--profile deep` has)")
    joblot_batch = batch.make_batch(files, jobs, settings, has_units=has_units)
    return _run(joblot_batch, jobs, settings, values, as_json=as_json, verbose=verbose)


def _check_folders(output: Path, jobs_dir: Path | None, earlier: Path | None) -> None:
    from joblot_sirene import batch
    from joblot_sirene.errors import SireneError

    if earlier is not None and not earlier.is_dir():
        raise SireneError(f"no such folder: `{earlier}`", hint="`--earlier` is the output folder of a batch")
    batch.check_folder(output, "--output-dir")
    if jobs_dir is not None:
        batch.check_folder(jobs_dir, "--jobs-dir")


def _jobs(
    texts: list[str], job_files: tuple[Path, ...], values: dict[str, Any], *, write: bool, verbose: bool
) -> tuple[list[JobFile], int]:
    """The jobs, and how many job files were written. Without `write` those of codes are made in a folder that is removed again."""
    from tempfile import TemporaryDirectory

    from joblot_sirene.jobs import jobfile

    own = options.own_profiles(values["profiles"])
    if texts:
        options.check_profile(values["profile"], own, values["profiles"])
    selections = options.read_codes(texts, values["nomenclature"])

    def make(folder: Path) -> tuple[list[JobFile], int]:
        results = options.make_job_files(selections, values, folder=folder, own_profiles=own) if selections else []
        _print_job_files(results, verbose=verbose)
        paths = [(Path(file.path), selection.code) for file, selection in zip(results, selections, strict=True)]
        paths += [(path, "") for path in job_files]
        nomenclature = options.nomenclatures(values["nomenclature"])[1]
        jobs = jobfile.read_job_files(paths, own_profiles=own, nomenclature=nomenclature)
        return jobs, sum(file.state == "generated" for file in results)

    if write:
        return make(values["jobs_dir"])
    with TemporaryDirectory() as folder:
        return make(Path(folder))


def _print_job_files(results: list[Any], *, verbose: bool) -> None:
    from joblot_sirene.errors import SireneError

    for file in results:
        if file.state in ("edited", "not_ours"):
            reason = "was edited" if file.state == "edited" else "is not joblot's"
            options.warn(f"`{file.path}` {reason}: it is used as it is (`--force` writes it anew)")
        elif file.state == "failed":
            raise SireneError(file.reason)
        elif verbose:
            state = "Generated job file" if file.state == "generated" else "Job file is as it was"
            click.echo(f"{state}: {file.path}", err=True)


def _explain(jobs: list[JobFile], *, as_json: bool) -> int:
    if as_json:
        items = [
            {
                "niche": file.job.niche,
                "profile": file.job.profile.name,
                "description": file.job.profile.description,
                "steps": [{"name": call.name, "purpose": call.purpose} for call in file.job.profile.steps],
                "files": list(file.job.profile.files),
            }
            for file in jobs
        ]
        options.print_json({"status": "OK", "jobs": items})
        return 0
    for file in jobs:
        click.echo(f"{file.job.niche} ({file.job.profile.name}): {file.job.profile.description}")
        for line in file.job.profile.explain():
            click.echo(f"  {line}")
    return 0


def _print_dry_run(jobs: list[JobFile], written: int, *, as_json: bool) -> int:
    # built datasets say it themselves, at the end
    for warning in dict.fromkeys(warning for file in jobs for warning in file.job.warnings):
        options.warn(warning)
    if as_json:
        result = {
            "status": "OK",
            "generated_jobs": len(jobs),
            "dry_run": True,
            "written": written,
            "job_files": [str(file.path) for file in jobs],
        }
        options.print_json(result)
    else:
        click.echo(f"{len(jobs)} jobs, {written} job files written, nothing built (dry run)")
        for file in jobs:
            click.echo(f"  {file.job.niche}: {file.path}")
    return 0


def _settings(output: Path, values: dict[str, Any]) -> Settings:
    from joblot_sirene.batch import Settings

    same = ("earlier", "bad_rows", "profiles", "stock_date", "sample", "max_ram_mb", "timeout", "go_on")
    return Settings(
        output=output,
        nomenclature=options.nomenclatures(values["nomenclature"])[1],
        threads=values["workers"] or 0,
        **{name: values[name] for name in same},
    )


def _run(
    joblot_batch: Batch,
    jobs: list[JobFile],
    settings: Settings,
    values: dict[str, Any],
    *,
    as_json: bool,
    verbose: bool,
) -> int:
    from joblot_sirene import batch
    from joblot_sirene.cli.progress import Progress

    progress = Progress([file.code for file in jobs], go_on=settings.go_on, verbose=verbose, err=as_json)
    report = joblot_batch.run(
        observers=[progress],
        progress=False,
        on=values["on"],
        cluster=values["cluster"],
        state=values["state"],
        force=("*",) if values["rebuild"] else (),
        fuse=not values["no_fuse"],
    )
    result = batch.result_of(report, jobs, settings)
    is_written = _write_reports(report, result, settings, values["report"])
    summary = f"{result['successful_jobs']}/{result['total_jobs']} jobs successful"
    click.echo(f"Batch processing completed: {summary}", err=True)
    ends = [(item["naf_code"], item["status"]) for item in result["results"]]
    failed = [code for code, status in ends if status not in ("SUCCESS", "NOT_STARTED")]
    not_begun = [code for code, status in ends if status == "NOT_STARTED"]
    if failed:
        click.echo(f"Failed NAF codes: {failed}", err=True)
    if not_begun:
        click.echo(f"NAF codes not begun: {not_begun}", err=True)
    if failed or not_begun:
        state = f" --state {values['state']}" if values["state"] else ""
        click.echo(f"to go on: joblot resume {report.run_id}{state}", err=True)
    # behind the progress and not in the middle of it: who reads only the terminal reads its end
    for warning in batch.grouped_warnings(result):
        options.warn(warning)
    if as_json:
        options.print_json(result)
    else:
        _print_results(result)
    code = _exit_code(report.exit_code, bool(failed or not_begun), go_on=settings.go_on, strict=values["strict"])
    return code if is_written else code or 1


def _write_reports(report: Report, result: dict[str, Any], settings: Settings, path: Path | None) -> bool:
    """Write the reports. When that fails the result is printed all the same, with a warning, and this is false."""
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


def _print_results(result: dict[str, Any]) -> None:
    for item in result["results"]:
        if item["status"] == "SUCCESS":
            cached = ", up to date" if item["up_to_date"] else ""
            verdict = f", verdict: {item['verdict']}" if item["verdict"] in ("warn", "fail") else ""
            click.echo(f"[SUCCESS] {item['naf_code']}: {item['rows']} rows in {item['output_dir']}{cached}{verdict}")
        else:
            click.echo(f"[{item['status']}] {item['naf_code']}: {item['error']}")
    missed = sum(item.get("verdict") == "fail" for item in result["results"])
    missed_text = f", {missed} with the verdict fail" if missed else ""
    click.echo(f"{result['status']}: {result['successful_jobs']} of {result['total_jobs']} datasets{missed_text}")


def _exit_code(code: int, failed: bool, *, go_on: bool, strict: bool) -> int:
    """0 with failures when `--continue-on-error` allows for them and `--strict` does not forbid it. A signal or a time limit always counts."""
    if failed and code == 1 and go_on and not strict:
        options.warn("some codes failed; the exit code is 0 because of `--continue-on-error` (`--strict` makes it 1)")
        return 0
    return code
