"""A finished dataset as a folder: CSV and Parquet, manifest, data dictionary, checksums, step log, and what the profile asks for beside.

Every file is whole or absent, and none takes its name before all are written. It knows files and their order, not how rows were selected
nor what was done to them.
"""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from fnmatch import fnmatchcase
from glob import escape
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import msgspec

from joblot import ActionError, reason_of
from joblot_sirene.package import quality
from joblot_sirene.register import privacy
from joblot_sirene.steps import model
from joblot_sirene.stock.csvtext import SourceError
from joblot_sirene.stock.writers import ROWS_PER_GROUP, write_csv, write_parquet

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    import polars as pl

    from joblot import Context
    from joblot_sirene.jobs.jobfile import Job
    from joblot_sirene.jobs.profiles import Profile
    from joblot_sirene.pipeline import Result
    from joblot_sirene.register.stock_date import StockDate

CSV: Final = "dataset.csv"
PARQUET: Final = "dataset.parquet"
MANIFEST: Final = "manifest.json"
SUMS: Final = "SHA256SUMS"
DICTIONARY: Final = "data_dictionary.json"
LOGS: Final = "logs"
REQUIRED: Final = (CSV, PARQUET, DICTIONARY, SUMS, MANIFEST)
"""The files that every package has, beside its log."""
OPTIONAL: Final = ("quality.json", "quality.md", "places.geojson", "report.html")
"""The files that a package has when its profile asks for them."""
_CHUNK: Final = 2**20


def file_names(profile: Profile) -> list[str]:
    """The files of a package with this profile, its log aside, as far as they do not depend on its rows."""
    steps = {call.name for call in profile.steps}
    names = {
        "quality": ["quality.json", "quality.md"],
        "places": ["places.geojson"] if "coordinates" in steps else [],
        "page": ["report.html"],
    }
    return [*REQUIRED, *(name for kind in profile.files for name in names[kind])]


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """Where the rows of a package come from: the file as the manifest names it, and the date of its stock."""

    file: str
    digest: str
    rows: int | None
    layout: str
    missing_columns: tuple[str, ...]
    unreadable_values: dict[str, int]
    stock_date: StockDate


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """How a dataset came about: its job, where its rows come from, which were left out, when it was made."""

    job: Job
    provenance: Provenance
    left_out: dict[str, Any]
    warnings: tuple[str, ...]
    made_at: dt.datetime
    sample: int | None


def write(folder: Path, result: Result, origin: Origin, ctx: Context) -> dict[str, Any]:
    """Write the package of a dataset into a folder, and return its manifest.

    Raises:
        ActionError: a file cannot be written.
    """
    job, frame = origin.job, result.frame
    report = quality.report(
        result,
        job.profile,
        job.policy,
        selections=job.filters.naf_include,
        stock_date=origin.provenance.stock_date,
        left_out=origin.left_out,
        warnings=origin.warnings,
    )
    optional = dict(_optional_files(job.profile.files, report, frame))
    log = f"{LOGS}/{ctx.run_id}.jsonl"
    names = [CSV, PARQUET, DICTIONARY, *optional, log, SUMS, MANIFEST]
    # rows of people must not stay behind: neither those of an attempt that was killed, nor (below) files of another profile
    for path in leftovers(folder, [*names, *OPTIONAL]):
        remove_leftover(path)
    with write_errors(folder), ctx.outputs(*(folder / name for name in names)) as paths:
        parts = dict(zip(names, paths, strict=True))
        write_csv(_frames(frame), parts[CSV], separator=job.output.delimiter, bom=job.output.bom)
        write_parquet(_frames(frame), parts[PARQUET], schema=dict(frame.schema))
        texts = {DICTIONARY: [_json(model.dictionary(frame))], **optional, log: _log(result, origin, ctx)}
        for name, lines in texts.items():
            _write(parts[name], lines)
        files = [_described(name, parts[name]) for name in names[:-2]]
        # the log, which has the run's name, is no part of the dataset that these sums identify
        _write(parts[SUMS], [f"{file['sha256']}  {file['path']}\n" for file in files if file["path"] != log])
        manifest = {**_manifest(result, origin, report, ctx), "files": files}
        _write(parts[MANIFEST], [_json(manifest)])
    for name in OPTIONAL:
        if name not in optional:
            (folder / name).unlink(missing_ok=True)
    return manifest


def leftovers(folder: Path, names: Iterable[str]) -> Iterator[Path]:
    """What an attempt at writing some files left behind when it was killed, files or folders: whole rows of people may be in them."""
    by_folder: dict[Path, list[str]] = {}
    for path in (folder / name for name in names if "\0" not in name and (folder / name).name):
        by_folder.setdefault(path.parent, []).append(f".{escape(path.name)}.*.part")
    for parent, patterns in by_folder.items():
        for part in sorted(parent.glob(".*.part")):
            if any(fnmatchcase(part.name, pattern) for pattern in patterns):
                yield part


def remove_leftover(path: Path) -> None:
    """Remove an unfinished file, or the folder that it stands in."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def write_errors(folder: Path) -> Iterator[None]:
    """Turn errors of the system into one line that names the folder."""
    try:
        yield
    except OSError as error:
        raise ActionError(f"cannot write to `{folder}`: {reason_of(error)}") from error


def _write(path: Path, texts: Iterable[str]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(texts)


def _described(name: str, path: Path) -> dict[str, Any]:
    digest = sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
        return {"path": name, "bytes": file.tell(), "sha256": digest.hexdigest()}


def _frames(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The rows in the frames that are written, one at least, each in one piece: large datasets come in several."""
    for start in range(0, max(frame.height, 1), ROWS_PER_GROUP):
        yield frame.slice(start, ROWS_PER_GROUP).rechunk()


def _optional_files(
    kinds: Iterable[str], report: Mapping[str, Any], frame: pl.DataFrame
) -> Iterator[tuple[str, Iterable[str]]]:
    for kind in kinds:
        if kind == "quality":
            yield "quality.json", [_json(report)]
            yield "quality.md", (f"{line}\n" for line in quality.markdown(report))
        elif kind == "places" and "longitude" in frame.columns:
            from joblot_sirene.steps.coordinates import geojson

            yield "places.geojson", geojson(frame)
        elif kind == "page":
            from joblot_sirene.package.page import html_page

            yield "report.html", html_page(report, frame)


def _log(result: Result, origin: Origin, ctx: Context) -> Iterator[str]:
    """A line for each step: its rows, its time, its facts, `OK` or `WARN`."""
    for step in result.steps:
        line = {
            "time": origin.made_at.isoformat(),
            "run_id": ctx.run_id,
            "job": ctx.job,
            "attempt": ctx.attempt,
            "step": step.name,
            "status": "WARN" if step.warnings else "OK",
            "rows_in": step.rows_in,
            "rows_out": step.rows_out,
            "duration_ms": step.duration_ms,
            "warnings": list(step.warnings),
        }
        yield json.dumps(line, ensure_ascii=False) + "\n"


def _manifest(result: Result, origin: Origin, report: Mapping[str, Any], ctx: Context) -> dict[str, Any]:
    job, provenance = origin.job, origin.provenance
    expires = privacy.expires(origin.made_at.date(), job.policy)
    return {
        "dataset": job.niche,
        "dataset_id": f"{job.niche}@{provenance.digest[:12]}",
        "run_id": ctx.run_id,
        "job": ctx.job,
        "made_at": origin.made_at.isoformat(),
        "expires": None if expires is None else expires.isoformat(),
        "records": result.frame.height,
        "sample": origin.sample,
        "codes": [selection.code for selection in job.filters.naf_include],
        "nomenclatures": sorted({selection.nomenclature for selection in job.filters.naf_include}),
        "label": report["label"],
        "profile": job.profile.name,
        "steps": [call.name for call in job.profile.steps],
        "source": {
            "file": provenance.file,
            "digest": provenance.digest,
            "rows": provenance.rows,
            "layout": provenance.layout,
            "missing_columns": list(provenance.missing_columns),
            "unreadable_values": provenance.unreadable_values,
        },
        "left_out": origin.left_out,
        "rights": report["rights"],
        "verdict": report["verdict"],
        "score": report["score"],
        "warnings": list(origin.warnings),
    }


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def read_earlier(path: Path | None) -> pl.DataFrame | None:
    """The earlier dataset at a path, if there is one; of a folder its Parquet file is read.

    Raises:
        SourceError: it is damaged.
    """
    if path is None:
        return None
    import polars as pl

    file = path / PARQUET if path.is_dir() else path
    if not file.exists():
        return None
    try:
        return pl.read_parquet(file, glob=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise SourceError(f"cannot read the earlier dataset `{file}`: it is damaged") from error
