"""A batch of datasets: from codes to job files, from job files to a joblot run, from its report to the result that is printed and kept.

It knows jobs and folders, not what a dataset is made of nor how a run goes. Nothing here loads the data engine: workers are forked from this
process.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from joblot import Batch, ConfigError, Diagnostic, atomic_write, generate_files, reason_of
from joblot_sirene.errors import NafError, SireneError
from joblot_sirene.jobs import jobfile
from joblot_sirene.jobs.jobfile import read_text
from joblot_sirene.jobs.request import needs_units
from joblot_sirene.package import package
from joblot_sirene.register import naf
from joblot_sirene.stock.csvtext import SourceError
from joblot_sirene.stock.source import probe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from joblot import JobReport, Report
    from joblot_sirene.jobs.jobfile import Job, JobFile
    from joblot_sirene.register.layout import Kind
    from joblot_sirene.register.naf import Nomenclature, Selection
    from joblot_sirene.stock.source import Probe

REPORT: Final = "batch_report.json"
"""The result of the last batch, in the output folder."""
_ERRORS: Final = frozenset({"crash", "oom", "lost", "exit", "exit_code", "interrupted", "unknown"})
"""Reasons for which the machine is to blame, not the job."""
_NOT_STARTED: Final = frozenset({"aborted", "skipped", "cancelled"})
_MOST_NAMED: Final = 5
"""Codes named in front of a warning that several datasets have."""


class Files(msgspec.Struct, frozen=True, kw_only=True):
    """The files of the register that a batch reads."""

    stock: Path
    units: Path | None = None
    history: Path | None = None

    def check(self) -> bool:
        """Check their columns, without the data engine; whether legal forms are in any of them.

        Raises:
            SireneError: one of them cannot be read, or is another file than it should be.
        """
        stock = _probe(self.stock, "establishment")
        if self.units is not None:
            _probe(self.units, "unit")
        if self.history is not None:
            _probe(self.history, "history")
        return self.units is not None or bool(stock.layout.unit)

    @property
    def paths(self) -> list[str]:
        """Absolute paths, the stock first."""
        return [str(path.absolute()) for path in (self.stock, self.units, self.history) if path is not None]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How the datasets of a batch are built, beside what their job files say."""

    output: Path
    earlier: Path | None = None
    bad_rows: Path | None = None
    profiles: Path | None = None
    stock_date: str = ""
    nomenclature: Nomenclature = naf.REV2
    sample: int = 0
    threads: int = 0
    max_ram_mb: int = 0
    timeout: float | None = None
    go_on: bool = False


def check_folder(folder: Path, option: str) -> None:
    """Check that a folder is there or can be made, before anything is done.

    Raises:
        SireneError: something else has that name, or one above it.
    """
    nearest = next(path for path in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(path))
    if not nearest.is_dir():
        raise SireneError(f"not a folder: `{folder}`", hint=f"give `{option}` a folder; it is made if it is missing")


# --- codes and job files ----------------------------------------------------------------------------


def read_codes(
    texts: Iterable[str], nomenclature: Nomenclature | None, default: Nomenclature
) -> tuple[list[Selection], list[str]]:
    """The selections of codes as people write them, repeats merged, and warnings.

    Raises:
        ConfigError: with every text that is no code.
    """
    texts = list(texts)
    problems: list[Diagnostic] = []
    for text in dict.fromkeys(texts):
        try:
            naf.parse_code(text, nomenclature, default=default)
        except NafError as error:
            problems.append(Diagnostic("naf", error.message, hint=error.hint))
    if problems:
        raise ConfigError(problems)
    return naf.parse_codes(texts, nomenclature, default=default)


def codes_of_file(path: Path) -> list[str]:
    """The codes of a text file: what stands on each line before a comma, a semicolon, a tab or a `#`.

    Raises:
        SireneError: it cannot be read.
    """
    lines = (line.partition("#")[0].replace(";", ",").replace("\t", ",") for line in read_text(path).splitlines())
    firsts = (line.partition(",")[0].strip() for line in lines)
    return [first for first in firsts if first]


def make_job_files(
    selections: Sequence[Selection],
    *,
    folder: Path,
    template: Path | None,
    profile: str,
    constants: Mapping[str, str] | None = None,
    name: str = "{niche_name}.yaml",
    own_profiles: str | None = None,
    nomenclature: Nomenclature = naf.REV2,
    force: bool = False,
    warn: Callable[[str], None] | None = None,
) -> list[Any]:
    """Write a job file for each code, but for those that somebody has edited; returns what became of each, as `generate_files` does.

    `warn` is called with what is to be known of the template, each once.

    Raises:
        ConfigError: something in the template, or in a file that it makes, is wrong; nothing is written.
    """
    warnings: dict[str, None] = {}

    def check(text: str, file: str) -> list[Diagnostic]:
        try:
            job = jobfile.parse(text, file=file, own_profiles=own_profiles, default=nomenclature)
        except ConfigError as error:
            return list(error.diagnostics)
        warnings.update(dict.fromkeys(job.warnings))
        return []

    items = [
        {**(constants or {}), "niche_name": selection.name, "naf_code": selection.code, "profile": profile}
        for selection in selections
    ]
    with jobfile.template_path(template) as path:
        made = generate_files(path, items, folder=folder, name=name, force=force, check=check)
    if warn is not None:
        for warning in warnings:
            warn(warning)
    return made


def make_batch(files: Files, jobs: Sequence[JobFile], settings: Settings, *, has_units: bool) -> Batch:
    """The batch: a job for each dataset, in the order given, named by its niche.

    Raises:
        SireneError: a job needs the file of legal units, and there is none.
    """
    output = settings.output.absolute()
    # one worker, because one scan makes all datasets and has threads of its own
    batch = Batch(f"sirene-{output.name}", folder=Path.cwd(), fail_fast=not settings.go_on, max_workers=1)
    for file in jobs:
        if file.job.filters.needs_unit and not has_units:
            raise needs_units(file.job)
        folder = output / file.job.output.folder
        batch.add(
            file.job_name,
            "sirene.dataset",
            input=files.paths,
            params={"job": file.text, "output": str(folder), **_params(file.job, settings)},
            outputs=[str(folder / name) for name in package.file_names(file.job.profile)],
            timeout=settings.timeout or file.job.budgets.time_minutes * 60 or None,
            tags=["sirene"],
        )
    return batch


def _params(job: Job, settings: Settings) -> dict[str, Any]:
    earlier = None if settings.earlier is None else settings.earlier.absolute() / job.output.folder
    compared = earlier / package.PARQUET if earlier is not None and job.profile.compares else None
    return {
        "profiles": None if settings.profiles is None else str(settings.profiles.absolute()),
        "nomenclature": settings.nomenclature,
        "earlier": None if earlier is None else str(earlier),
        "stock_date": settings.stock_date,
        "beside": _digest([settings.profiles, compared]),
        "bad_rows": None if settings.bad_rows is None else str(settings.bad_rows.absolute()),
        "sample": settings.sample,
        "threads": settings.threads or min(os.cpu_count() or 1, 8),
        "max_ram_mb": settings.max_ram_mb or job.budgets.max_ram_mb,
        "stop": not settings.go_on,
    }


def _digest(paths: Sequence[Path | None]) -> str:
    """A text that changes when one of these files does. They are no input of the job, so joblot does not see that they change."""
    digest = sha256()
    for path in paths:
        content = b""
        if path is not None and path.is_file():
            with suppress(OSError):  # the job will report it
                content = path.read_bytes()
        digest.update(sha256(content).digest())
    return digest.hexdigest()[:16] if any(paths) else ""


def status_of(report: JobReport) -> str:
    """How a job ended: SUCCESS, TIMEOUT, FAILED (its own fault), ERROR (the machine's), NOT_STARTED."""
    if report.ok:
        return "SUCCESS"
    if report.reason == "timeout":
        return "TIMEOUT"
    if report.state in _NOT_STARTED or report.reason == "fail_fast":
        return "NOT_STARTED"
    return "ERROR" if report.reason in _ERRORS else "FAILED"


def result_of(report: Report, jobs: Sequence[JobFile], settings: Settings) -> dict[str, Any]:
    """The result of a batch, as `--json` prints it: every code, in the order given."""
    items = [_item(report.jobs[file.job_name], file, settings) for file in jobs]
    counts = Counter(item["status"] for item in items)
    successes, not_begun = counts["SUCCESS"], counts["NOT_STARTED"]
    return {
        "status": "OK" if successes == len(items) else "PARTIAL" if settings.go_on else "FAILED",
        "run_id": report.run_id,
        "total_jobs": len(items),
        "successful_jobs": successes,
        "failed_jobs": len(items) - successes - not_begun,
        "not_started_jobs": not_begun,
        "results": _with_cause(items),
    }


def _with_cause(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The items, those of codes that were not begun with the reason and no time: a shared scan's time is nobody's who has no dataset."""
    failed = next((item["naf_code"] for item in items if item["status"] not in ("SUCCESS", "NOT_STARTED")), None)
    for item in items:
        if item["status"] == "NOT_STARTED":
            item |= {"duration": 0.0, "duration_ms": 0}
            if item["reason"] != "fail_fast" or failed is None:
                item["error"] = "not begun: the batch was stopped"
            else:
                item["error"] = f"not begun: `{failed}` failed before"
    return items


def grouped_warnings(result: Mapping[str, Any]) -> list[str]:
    """What the datasets of a batch warn of, each text once, behind the codes that it concerns."""
    codes_of: dict[str, dict[str, None]] = {}
    for item in result["results"]:
        for warning in item.get("warnings", []):
            codes_of.setdefault(warning, {})[item["naf_code"]] = None
    return [f"{_listed(list(codes))}: {warning}" for warning, codes in codes_of.items()]


def _listed(codes: list[str]) -> str:
    named = ", ".join(codes[:_MOST_NAMED])
    return named if len(codes) <= _MOST_NAMED else f"{named} and {len(codes) - _MOST_NAMED} more"


def _item(report: JobReport, file: JobFile, settings: Settings) -> dict[str, Any]:
    status = status_of(report)
    item: dict[str, Any] = {
        "naf_code": file.code,
        "status": status,
        "duration": round(report.duration_ms / 1000, 3),
        "duration_ms": report.duration_ms,
        "output_dir": str(settings.output / file.job.output.folder),
    }
    if status == "SUCCESS":
        dataset = report.result if isinstance(report.result, dict) else {}
        item["rows"] = dataset.get("rows")
        item["verdict"] = dataset.get("verdict")
        item["warnings"] = dataset.get("warnings", [])
        item["up_to_date"] = report.state == "cached"
    else:
        item["reason"] = report.reason
        item["error"] = report.message or report.reason
        item.pop("output_dir")
    return item


def write_result(result: Mapping[str, Any], folder: Path) -> None:
    """Write the result to the output folder, whole or not at all.

    Raises:
        SireneError: it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(folder / REPORT) as part:
            part.write_text(as_json(result), encoding="utf-8")
    except OSError as error:
        raise SireneError(f"cannot write `{folder / REPORT}`: {reason_of(error)}") from None


def as_json(value: Any) -> str:
    """A result as it is printed and written."""
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def _probe(path: Path, kind: Kind) -> Probe:
    """What a file is. That it cannot be read is a mistake in the command line here (exit code 2), not the failure of a job."""
    try:
        return probe(path, expected=kind)
    except SourceError as error:
        raise SireneError(error.message, hint=error.hint) from error
