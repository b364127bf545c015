"""A job file: what one dataset is to be, checked as a whole.

Every key has an effect or is refused with its line. Nothing here fills in templates, opens files of the register or runs anything.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import msgspec

from joblot import ConfigError, Diagnostic, Document, reason_of
from joblot_sirene.errors import SireneError
from joblot_sirene.fields import Fields
from joblot_sirene.jobs import original, profiles
from joblot_sirene.register import filters, privacy
from joblot_sirene.register.naf import REV2, Nomenclature

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from joblot_sirene.jobs.profiles import Profile
    from joblot_sirene.register.filters import Filters
    from joblot_sirene.register.privacy import Policy

# a niche names a job and a folder: no accents, no `..`, no file that `ls` hides
_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w-][\w.-]*)*", re.ASCII)
_NAME_MOST: Final = 100
_CENTURY_DAYS: Final = 36_525
_YEAR_MINUTES: Final = 366 * 24 * 60
_FOLDER: Final = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)*")
_RESERVED: Final = frozenset({"batch_report.json"})


class Output(msgspec.Struct, frozen=True):
    """How the dataset is written: the folder below the batch's own, and the look of the CSV file."""

    folder: str
    delimiter: str = ","
    bom: bool = False


class Budgets(msgspec.Struct, frozen=True):
    """What the job may use; 0 is no limit."""

    max_ram_mb: int = 0
    time_minutes: float = 60


class Job(msgspec.Struct, frozen=True):
    """One dataset: its name, its rows, what is done to them, who may be shown, how it is written, what it may cost."""

    niche: str
    profile: Profile
    filters: Filters
    policy: Policy
    output: Output
    budgets: Budgets
    warnings: tuple[str, ...] = ()


def template() -> str:
    """The text of the shipped template."""
    with template_path(None) as path:
        return path.read_text(encoding="utf-8")


class JobFile(msgspec.Struct, frozen=True):
    """A job file: its path, its text and job, and the code that it was made for (of files that a user wrote: those that it includes)."""

    path: Path
    text: str
    job: Job
    code: str

    @property
    def job_name(self) -> str:
        """The name of its job in a run."""
        return self.job.niche.replace("/", ".")


@contextmanager
def template_path(own: Path | None) -> Iterator[Path]:
    """The path of a user's own template, or of the shipped one."""
    if own is not None:
        yield own
        return
    from importlib.resources import as_file, files

    with as_file(files("joblot_sirene") / "data" / "job_template.yaml") as path:
        yield path


def parse(text: str, *, file: str = "", own_profiles: str | None = None, default: Nomenclature = REV2) -> Job:
    """The job of a job file's text. `own_profiles` is the text of a user's file of profiles.

    Raises:
        ConfigError: everything that is wrong, in the order of the file.
    """
    document = Document.parse(text, file=file)
    fields = Fields(document)
    if not isinstance(document.data or {}, dict):
        document.raise_problems()
    niche = _niche(fields)
    section = fields.section("filters")
    chosen_filters = filters.read(section, default=default)
    policy = _policy(fields)
    of_web = [key for key in original.SECTIONS if fields.raw(key) is not None]
    profile = _profile(fields, own_profiles, of_web)
    output = _output(fields.section("output"), niche)
    budgets = _budgets(fields.section("budgets"), of_web)
    if section.raw("naf_include") in (None, []):
        fields.add_problem("filters", "a job needs a code to include", "add `filters.naf_include`", at_key=True)
    fields.finish(unlisted=original.SECTIONS)
    if profile is not None:  # what is wrong with it has been noted
        _refuse_prospecting(fields, profile, policy)
    document.raise_problems()
    assert profile is not None
    return Job(niche, profile, chosen_filters, policy, output, budgets, original.warnings(of_web))


def _niche(fields: Fields) -> str:
    niche = fields.text("niche") or ""
    if fields.raw("niche") is None:
        fields.add_problem(None, "a job needs a `niche`", "add `niche: naf_6920Z`: it names the dataset and its folder")
    elif niche and (_NAME.fullmatch(niche) is None or len(niche) > _NAME_MOST):
        fields.add_problem(
            "niche",
            "`niche` must be a word of letters, digits, `_`, `-` and dots",
            f"it names the job and its folder: without accents, a letter or digit first, at most {_NAME_MOST}",
        )
    elif _is_reserved(niche):
        fields.add_problem("niche", f"`{niche}` is the name of the batch's own report")
    return niche


def _is_reserved(folder: str) -> bool:
    return folder.partition("/")[0].casefold() in _RESERVED


def _policy(fields: Fields) -> Policy:
    retention = fields.number("retention_days", None, least=1, most=_CENTURY_DAYS, whole=True)
    section = fields.section("privacy")
    if section.raw("retention_days") is not None:
        section.add_problem(
            "retention_days", "`retention_days` stands at the top of a job", "move it there", at_key=True
        )
    policy = privacy.read(section)
    return msgspec.structs.replace(policy, retention_days=retention)


def _profile(fields: Fields, own: str | None, of_web: list[str]) -> Profile | None:
    name = fields.text("profile", "quick") or "quick"
    order = fields.texts("steps_order", str, "a step")
    changes, likeness = _changes(fields, of_web)
    try:
        profile = profiles.load(name, text=own)
        profile = profiles.with_steps(profile, order=order or None, add=tuple(changes), likeness=likeness)
        return profiles.with_parameters(profile, changes)
    except ConfigError as error:
        # a profile does not know the job's keys: what it says of a step's parameters is said of the key that set them
        for problem in error.diagnostics:
            key = _KEY_OF.get(problem.path.partition(".")[0].partition("[")[0], "profile")
            fields.add_problem(None if fields.raw(key) is None else key, problem.message, problem.hint, at_key=True)
        return None


_KEY_OF: Final[Mapping[str, str]] = {
    "duplicates": "dedupe",
    "likeness": "dedupe",
    "score": "scoring",
    "checks": "kpi_targets",
    "steps_order": "steps_order",
}


def _changes(fields: Fields, of_web: list[str]) -> tuple[dict[str, dict[str, Any]], bool | None]:
    """Parameters of steps that the job's own keys set, and whether likenesses are looked for (None: as the profile says).

    Keys that need the web are added to `of_web`.
    """
    changes: dict[str, dict[str, Any]] = {}
    dedupe = fields.section("dedupe")
    keys = dedupe.texts("keys", str, "a column")
    here = [key for key in keys if key not in original.COLUMNS]
    of_web += [f"dedupe.keys: {key}" for key in keys if key in original.COLUMNS]
    if dedupe.raw("keys") is not None and (here or not keys):
        changes["duplicates"] = {"keys": here}
    fuzzy = dedupe.raw("fuzzy")
    if isinstance(fuzzy, (int, float)) and not isinstance(fuzzy, bool):
        changes["likeness"] = {"threshold": float(fuzzy)}
    elif fuzzy is not None and not isinstance(fuzzy, bool):
        dedupe.add_mismatch("fuzzy", "`true`, `false` or a likeness from 50 to 100")
    dedupe.finish()
    scoring = fields.section("scoring")
    weights = original.weights(scoring.raw("weights"))
    scoring.finish()
    if weights is not None:
        changes["score"] = weights if isinstance(weights, dict) else {"weights": weights}
    targets, without_effect = original.targets(fields.raw("kpi_targets"))
    of_web += without_effect
    if targets is not None and (targets or not without_effect):
        changes["checks"] = {"kpi_targets": targets}
    return changes, None if fuzzy is None else fuzzy is not False


def _output(fields: Fields, niche: str) -> Output:
    folder = fields.text("dir") or niche
    is_set = fields.raw("dir") is not None
    if is_set and _FOLDER.fullmatch(folder) is None:
        fields.add_problem(
            "dir",
            "`output.dir` must be a folder below the output folder",
            "write it without `..` and without a `/` in front",
        )
    elif is_set and _is_reserved(folder):
        fields.add_problem("dir", f"`{folder}` is the name of the batch's own report")
    fields.choice("lang", ("fr",), "fr")
    delimiter = fields.choice("delimiter", (",", ";", "\t"), ",") or ","
    output = Output(folder, delimiter, fields.flag("bom", default=False))
    fields.finish()
    return output


def _budgets(fields: Fields, of_web: list[str]) -> Budgets:
    of_web += [f"budgets.{key}" for key in original.BUDGETS if fields.raw(key) is not None]
    # the names of the program that this one replaces are read too
    old_minutes = fields.number("time_budget_min", Budgets().time_minutes, most=_YEAR_MINUTES)
    old_ram = fields.number("ram_mb", 0, most=2**31, whole=True)
    minutes = fields.number("time_minutes", old_minutes, most=_YEAR_MINUTES)
    budgets = Budgets(fields.number("max_ram_mb", old_ram, most=2**31, whole=True), float(minutes))
    fields.finish(unlisted=(*original.BUDGETS, "time_budget_min", "ram_mb"))
    return budgets


def _refuse_prospecting(fields: Fields, profile: Profile, policy: Policy) -> None:
    """Rows with partial diffusion must not be used for prospecting: no score of how well people can be reached."""
    reach = next((call.parameters.contactability for call in profile.steps if call.name == "score"), 0)
    if policy.partial_diffusion == "mask" and reach:
        fields.add_problem(
            "privacy",
            "rows with partial diffusion must not be used for prospecting, and this job scores how well people can be reached",
            "set `scoring.weights.contactability` to 0, or leave these rows out (`partial_diffusion: exclude`)",
            at_key=True,
        )


def read_job_file(path: Path, code: str = "", *, own_profiles: str | None, nomenclature: Nomenclature) -> JobFile:
    """A job file as it is on disk.

    Raises:
        ConfigError: everything in it that is wrong.
        SireneError: it cannot be read.
    """
    text = read_text(path)
    job = parse(text, file=str(path), own_profiles=own_profiles, default=nomenclature)
    return JobFile(path, text, job, code or ", ".join(selection.code for selection in job.filters.naf_include))


def read_job_files(
    paths: Sequence[tuple[Path, str]], *, own_profiles: str | None, nomenclature: Nomenclature
) -> list[JobFile]:
    """Several job files and the codes that they were made for; all that is wrong with any of them is reported at once.

    Raises:
        ConfigError: also when two of them have one niche or one folder.
        SireneError: one cannot be read.
    """
    files: list[JobFile] = []
    problems: list[Diagnostic] = []
    for path, code in paths:
        try:
            files.append(read_job_file(path, code, own_profiles=own_profiles, nomenclature=nomenclature))
        except ConfigError as error:
            problems += error.diagnostics
    problems += _clashes(files)
    if problems:
        raise ConfigError(problems)
    return files


def _clashes(files: Iterable[JobFile]) -> Iterator[Diagnostic]:
    by_name: dict[str, JobFile] = {}
    by_folder: dict[str, JobFile] = {}
    for file in files:
        other = by_name.setdefault(file.job_name, file)
        if other is not file:
            message = f"the jobs of `{other.path}` and `{file.path}` have one name, `{file.job_name}`"
            yield Diagnostic("sirene", message, file=str(file.path), hint="give each another `niche`")
            continue
        # names that differ in case are one folder on some disks
        other = by_folder.setdefault(file.job.output.folder.casefold(), file)
        if other is not file:
            message = f"the datasets of `{other.path}` and `{file.path}` have one folder, `{file.job.output.folder}`"
            yield Diagnostic("sirene", message, file=str(file.path), hint="give each another `niche` or `output.dir`")


# --- the run ----------------------------------------------------------------------------------------


def read_text(path: Path) -> str:
    """The text of a file that a user has written.

    Raises:
        SireneError: it cannot be read, or is not UTF-8 text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise SireneError(f"`{path}` is not UTF-8 text", hint="save the file as UTF-8") from None
    except OSError as error:
        raise SireneError(f"cannot read `{path}`: {reason_of(error)}") from None
