"""What a job of `sirene.dataset` asks for: its parameters as they were passed, and the dataset that they describe.

It reads job files and files of profiles; it opens no file of the register.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from joblot_sirene.errors import SireneError
from joblot_sirene.jobs import jobfile, profiles
from joblot_sirene.register import naf

if TYPE_CHECKING:
    import polars as pl

    from joblot import Context
    from joblot_sirene.jobs.jobfile import Job


class DatasetRequest:
    """The input, the parameters and the context of one job, as they were passed."""

    def __init__(self, input: Any, params: dict[str, Any], ctx: Context) -> None:
        self.input: list[Path] = input if isinstance(input, list) else [input]
        self.params = params
        self.ctx = ctx


class DatasetSpec(msgspec.Struct, frozen=True):
    """The dataset that one job asks for."""

    request: DatasetRequest
    job: Job
    output: Path
    sample: int | None
    earlier: pl.DataFrame | None = None
    """What to compare with; read by whoever builds the dataset."""


def resolve(request: DatasetRequest, *, has_units: bool) -> DatasetSpec:
    """The request as a job, a folder and what to compare with.

    Raises:
        ConfigError: something in its job is wrong.
        SireneError: its job needs the file of legal units, and there is none.
    """
    params = request.params
    job = read_job(params)
    if job.filters.needs_unit and not has_units:
        raise needs_units(job)
    if has_units and job.profile.steps[0].name != "units":
        # whatever the profile says: who may be shown depends on the legal unit too, and filters may
        order = ["units", *(call.name for call in job.profile.steps)]
        job = msgspec.structs.replace(job, profile=profiles.with_steps(job.profile, add=("units",), order=order))
    return DatasetSpec(request, job, Path(params["output"]), params["sample"] or None)


def read_job(params: dict[str, Any]) -> Job:
    """The job that parameters of the action stand for.

    Raises:
        ConfigError: something in it is wrong.
        SireneError: no job is given, or in two ways, or a file cannot be read.
    """
    ways = [name for name in ("code", "job", "job_file") if params.get(name)]
    if len(ways) != 1:
        names = " and ".join(f"`{name}`" for name in ways)
        raise SireneError(
            f"{names} are given: one of them says what is wanted" if ways else "no code and no job is given",
            hint="give `code` (with `profile`), `job` or `job_file`",
        )
    nomenclature = params.get("nomenclature") or naf.REV2
    own_profiles = params.get("profiles")
    own = None if own_profiles is None else jobfile.read_text(Path(own_profiles))
    if ways[0] == "job_file":
        path = Path(params["job_file"])
        return jobfile.parse(jobfile.read_text(path), file=str(path), own_profiles=own, default=nomenclature)
    text = params["job"] if ways[0] == "job" else _simple(params["code"], params["profile"], nomenclature)
    return jobfile.parse(text, file="", own_profiles=own, default=nomenclature)


def needs_units(job: Job) -> SireneError:
    """The error of a job whose filters look at the legal unit, when there is no file of legal units."""
    return SireneError(
        f"the filters of `{job.niche}` look at the legal form, which only the file of legal units has",
        hint="give StockUniteLegale with `--unite-legale` (of the action: in the list of its `input`)",
    )


def _simple(code: str, profile: str, nomenclature: naf.Nomenclature) -> str:
    import json

    selection = naf.parse_code(code, default=nomenclature)
    return json.dumps({"niche": selection.name, "profile": profile, "filters": {"naf_include": [selection.code]}})
