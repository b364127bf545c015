"""A job file: what one dataset is to be, checked as a whole.

Every key has an effect or is refused with its line. Nothing here fills in templates, opens files of the register or runs anything.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import msgspec

from joblot import ConfigError
from joblot_sirene.document import Checker, plain, read
from joblot_sirene.jobs import profiles
from joblot_sirene.register import filters, privacy
from joblot_sirene.register.naf import REV2, Nomenclature

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from joblot_sirene.jobs.profiles import Profile
    from joblot_sirene.register.filters import Filters
    from joblot_sirene.register.privacy import Policy

_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w-][\w.-]*)*", re.ASCII)
_NAME_MOST: Final = 100
_CENTURY_DAYS: Final = 36_525
_YEAR_MINUTES: Final = 366 * 24 * 60
_FOLDER: Final = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)*")
_TAKEN: Final = frozenset({"batch_report.json"})
_DEFAULT_LIKENESS: Final = 90


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


def template() -> str:
    """The text of the shipped template."""
    with template_path(None) as path:
        return path.read_text(encoding="utf-8")


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
        ConfigError: everything that means nothing, in the order of the file.
    """
    document = read(text, file=file)
    checker = Checker(document)
    niche = checker.text("niche") or ""
    if not checker.has("niche"):
        checker.wrong(None, "a job needs a `niche`", "add `niche: naf_6920Z`: it names the dataset and its folder")
    elif niche and (_NAME.fullmatch(niche) is None or len(niche) > _NAME_MOST):
        checker.wrong(
            "niche",
            "`niche` must be a word of letters, digits, `_`, `-` and dots",
            f"it names the job and its folder: without accents, a letter or digit first, at most {_NAME_MOST}",
        )
    elif _is_taken(niche):
        checker.wrong("niche", f"`{niche}` is the name of the batch's own report")
    chosen = filters.read(checker.section("filters"), default=default)
    policy = _policy(checker)
    profile = _profile(checker, own_profiles)
    output = _output(checker.section("output"), niche)
    budgets = _budgets(checker.section("budgets"))
    if not chosen.naf_include and not checker.problems:
        checker.wrong("filters", "a job needs a code to include", "add `filters.naf_include`")
    checker.finish()
    if profile is not None:
        _refuse_prospecting(checker, profile, policy)
    checker.done()
    assert profile is not None
    return Job(niche, profile, chosen, policy, output, budgets)


def _is_taken(folder: str) -> bool:
    return folder.partition("/")[0].casefold() in _TAKEN


def _policy(checker: Checker) -> Policy:
    retention = checker.number("retention_days", None, least=1, most=_CENTURY_DAYS, whole=True)
    section = checker.section("privacy")
    if section.has("retention_days"):
        section.wrong("retention_days", "`retention_days` stands at the top of a job", "move it there")
    policy = privacy.read(section)
    return msgspec.structs.replace(policy, retention_days=retention)


def _profile(checker: Checker, own: str | None) -> Profile | None:
    name = checker.text("profile", "quick") or "quick"
    order = checker.words("steps_order", str, "a step")
    changes, likeness = _changes(checker)
    try:
        profile = profiles.load(name, text=own)
        profile = profiles.arranged(profile, order=order or None, add=tuple(changes), likeness=likeness)
        return profiles.with_parameters(profile, changes)
    except ConfigError as error:
        for problem in error.diagnostics:
            key = _KEY_OF.get(problem.path.partition(".")[0].partition("[")[0], "profile")
            checker.wrong(key if checker.has(key) else None, problem.message, problem.hint)
        return None


_KEY_OF: Final[Mapping[str, str]] = {
    "duplicates": "dedupe",
    "likeness": "dedupe",
    "score": "scoring",
    "checks": "kpi_targets",
    "steps_order": "steps_order",
}


def _changes(checker: Checker) -> tuple[dict[str, dict[str, Any]], bool | None]:
    """Parameters of steps that the job's own keys decide, and whether likenesses are looked for (None: as the profile says)."""
    changes: dict[str, dict[str, Any]] = {}
    dedupe = checker.section("dedupe")
    keys = dedupe.words("keys", str, "a column")
    if dedupe.has("keys"):
        changes["duplicates"] = {"keys": list(keys)}
    fuzzy = dedupe.raw("fuzzy")
    if isinstance(fuzzy, (int, float)) and not isinstance(fuzzy, bool):
        changes["likeness"] = {"threshold": float(fuzzy)}
    elif fuzzy is not None and not isinstance(fuzzy, bool):
        dedupe.wrong("fuzzy", f"`dedupe.fuzzy` must be `true`, `false` or a likeness from 50 to 100, not `{fuzzy}`")
    dedupe.finish()
    scoring = checker.section("scoring")
    weights = scoring.raw("weights")
    scoring.finish()
    if weights is not None:
        changes["score"] = plain(weights) if isinstance(weights, dict) else {"weights": weights}
    targets = checker.raw("kpi_targets")
    if targets is not None:
        changes["checks"] = {"kpi_targets": plain(targets)}
    return changes, None if fuzzy is None else fuzzy is not False


def _output(checker: Checker, niche: str) -> Output:
    folder = checker.text("dir") or niche
    if _FOLDER.fullmatch(folder) is None and checker.has("dir"):
        checker.wrong(
            "dir",
            "`output.dir` must be a folder below the output folder",
            "write it without `..` and without a `/` in front",
        )
    elif checker.has("dir") and _is_taken(folder):
        checker.wrong("dir", f"`{folder}` is the name of the batch's own report")
    checker.choice("lang", ("fr",), "fr")
    delimiter = checker.choice("delimiter", (",", ";", "\t"), ",") or ","
    output = Output(folder, delimiter, checker.flag("bom", default=False))
    checker.finish()
    return output


def _budgets(checker: Checker) -> Budgets:
    minutes = checker.number("time_minutes", Budgets().time_minutes, most=_YEAR_MINUTES)
    budgets = Budgets(checker.number("max_ram_mb", 0, most=2**31, whole=True), float(minutes))
    checker.finish()
    return budgets


def _refuse_prospecting(checker: Checker, profile: Profile, policy: Policy) -> None:
    """Rows with partial diffusion must not be used for prospecting: no score of how well people can be reached."""
    reach = next((call.parameters.contactability for call in profile.steps if call.name == "score"), 0)
    if policy.partial_diffusion == "mask" and reach:
        checker.wrong(
            "privacy",
            "rows with partial diffusion must not be used for prospecting, and this job scores how well people can be reached",
            "set `scoring.weights.contactability` to 0, or leave these rows out (`partial_diffusion: exclude`)",
        )
