"""The action `sirene.dataset`: one dataset by activity code from a stock file, and many of them from one scan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from joblot import BundleContext, Context, FusedJob, __version__, action, fused
from joblot_sirene import bundle
from joblot_sirene.jobs.request import DatasetRequest

if TYPE_CHECKING:
    from collections.abc import Sequence


@action("sirene.dataset", version=f"2 joblot {__version__}", tuning=("threads", "max_ram_mb", "stop"))
def dataset(
    input: list[Path],
    *,
    output: Path,
    code: str = "",
    profile: str = "quick",
    job: str = "",
    job_file: Path | None = None,
    profiles: Path | None = None,
    nomenclature: Literal["NAFRev2", "NAF2025"] = "NAFRev2",
    earlier: Path | None = None,
    stock_date: str = "",
    beside: str = "",
    bad_rows: Path | None = None,
    sample: int = 0,
    threads: int = 0,
    max_ram_mb: int = 0,
    stop: bool = False,
    ctx: Context,
) -> dict[str, Any]:
    """Build the dataset of an activity code from a stock file of the French business register.

    `input` is StockEtablissement (Parquet, CSV or zipped CSV), alone or in a list with StockUniteLegale and StockEtablissementHistorique,
    told apart by their columns; `output` is the folder of the dataset. What is wanted is a `code` with a `profile`, or `job` (the text of a
    job file), or `job_file`. `nomenclature` is the list of codes without a letter, `profiles` a file of own profiles, `earlier` a dataset's
    folder to compare with, `stock_date` the day of the stock (2026-11-01; without it the file's name or its newest treatment says), `beside` any text that changes when what is in these two does; `bad_rows` a file that says which rows of text have another number of fields than
    the header and were put aside, without which they are an error; `sample` takes the first so many rows, `max_ram_mb` is the memory that may be taken, `threads` how many datasets
    are built at once, `stop` ends a bundle at its first failure.
    """
    params = {
        "output": output, "code": code, "profile": profile, "job": job, "job_file": job_file, "profiles": profiles,
        "nomenclature": nomenclature, "earlier": earlier, "stock_date": stock_date, "beside": beside, "bad_rows": bad_rows, "sample": sample,
        "threads": threads, "max_ram_mb": max_ram_mb, "stop": stop,
    }  # fmt: skip
    results: list[dict[str, Any] | BaseException] = []
    bundle.build([DatasetRequest(input, params, ctx)], lambda _request, result: results.append(result))
    if isinstance(results[0], BaseException):
        raise results[0]
    return results[0]


@fused("sirene.dataset", on=("input", "threads", "max_ram_mb", "stop", "bad_rows", "stock_date"))
def datasets(jobs: Sequence[FusedJob], ctx: BundleContext) -> None:
    """Build the datasets of many jobs from one scan.

    Raises:
        StoppedError: a job failed, and its parameters say to stop then; the other jobs are not begun.
    """
    by_name = {job.name: job for job in jobs}

    def on_end(request: DatasetRequest, result: dict[str, Any] | BaseException) -> None:
        job = by_name[request.ctx.job]
        if isinstance(result, BaseException):
            ctx.failed(job, result)
        else:
            ctx.done(job, result)

    bundle.build([DatasetRequest(job.input, job.params, job.ctx) for job in jobs], on_end)
