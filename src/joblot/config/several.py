"""Several batch files of one folder as one batch: each is loaded by itself, then its jobs are called `FILE.NAME`.

What a file declares for its own jobs (variables, environment, defaults) stays its own; what holds for a whole run must be the same in all
of them. Whether the jobs hang together is the plan's affair.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from joblot.config.fields import slots_of_one_variable
from joblot.config.load import load
from joblot.core.model import DEFERRABLE, Concurrency, Config, FilePosition, JobSpec, Limit
from joblot.core.names import is_job_name
from joblot.core.plan import problems_of
from joblot.core.references import LITERAL, OPENING, Reference, protect, split
from joblot.core.written import shorten
from joblot.errors import ConfigError, Diagnostic, UsageError, did_you_mean
from joblot.units import format_failures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from joblot.config.jobs import Unknown
    from joblot.config.load import Importer, Lookup, Names

_OF_THE_RUN: Final = {
    "fail_fast": "fail_fast",
    "max_failures": "max_failures",
    "timeout_s": "timeout",
    "max_workers": "max_workers",
    "max_memory": "max_memory",
    "durability": "durability",
    "timezone": "timezone",
    "concurrency": "concurrency",
    "seed": "seed",
    "report": "report",
}
"""What files that are run together must agree in, and what it is called in a file."""


def load_several(
    paths: Sequence[str | Path],
    *,
    vars: Mapping[str, Any],
    lookup: Lookup,
    names: Names,
    strict: bool = False,
    unknown: Unknown = "error",
    importer: Importer | None = None,
    commands: bool = True,
    moment: float | None = None,
) -> tuple[Config, list[Diagnostic]]:
    """The batch that the files are together, and warnings. A variable is given to each file that declares it.

    The batch is called as the folder, and so is its source.

    Raises:
        UsageError: files that cannot be taken together.
        ConfigError: with everything that is wrong in any of them.
    """
    shown = [os.fspath(path) for path in paths]
    prefixes = _prefixes(shown)
    loaded: dict[str, Config] = {}
    warnings: list[Diagnostic] = []
    problems: list[Diagnostic] = []
    moment = time.time() if moment is None else moment  # one for all: `run.date` is the day of the run
    for path in shown:
        try:
            config, more = load(
                path,
                vars=vars,
                lookup=lookup,
                names=names,
                strict=strict,
                unknown=unknown,
                importer=importer,
                spare_vars=True,
                commands=commands,
                moment=moment,
            )
            if (
                config.concurrency and config.concurrency.on_conflict == "fail"
            ):  # whether it is said or not is the same here
                config = replace(config, concurrency=replace(config.concurrency, on_conflict=""))
            loaded[path] = config
            warnings += more
        except ConfigError as error:
            problems += error.diagnostics
    if not problems:  # else nobody knows which variables the others have
        problems += _unknown_variables(loaded, vars)
    problems += _disagreements(loaded) if loaded else ()
    jobs = [job for path, config in loaded.items() for job in _jobs(config, path, prefixes[path], problems)]
    if problems:  # what is wrong elsewhere must not hide how the jobs of a file hang together
        raise ConfigError([*problems, *(problem for config in loaded.values() for problem in problems_of(config))])
    return _together(loaded, jobs), warnings


def _prefixes(shown: Sequence[str]) -> dict[str, str]:
    """By file, what stands before the names of its jobs.

    Raises:
        UsageError: two files are one, have one name, stand in different folders, or have a name that jobs cannot have.
    """
    folders: dict[str, str] = {}
    stems: dict[str, str] = {}
    prefixes: dict[str, str] = {}
    for path in shown:
        folder, base = os.path.split(os.path.abspath(path))  # noqa: PTH100 - as `load` does: links stay as they are
        stem = os.path.splitext(base)[0]  # noqa: PTH122
        first = next(iter(folders.values()), path)
        if folders and folder not in folders:
            raise UsageError(
                f"`{first}` and `{path}` cannot be run together: they stand in different folders",
                hint="relative paths begin at a file's own folder: run the files of one folder at a time",
            )
        folders.setdefault(folder, path)
        other = stems.setdefault(stem.lower(), path)
        if other != path:
            raise UsageError(
                f"the jobs of `{other}` and `{path}` would have the same names", hint="rename one of the files"
            )
        if path in prefixes:
            raise UsageError(f"`{path}` is named twice")
        if not is_job_name(stem):
            raise UsageError(
                f"`{path}` cannot be run together with other files: jobs cannot be called `{stem}.NAME`",
                hint="name the file with letters, digits, `.`, `_` and `-`, a letter or digit first",
            )
        prefixes[path] = f"{stem}."
    return prefixes


def _unknown_variables(loaded: Mapping[str, Config], given: Mapping[str, str]) -> list[Diagnostic]:
    known = dict.fromkeys(name for config in loaded.values() for name in config.vars)
    listed = ", ".join(f"`{name}`" for name in known)
    has = f"they have {listed}" if known else "they have none"
    return [
        Diagnostic(
            "variable",
            f"no variable `{shorten(name)}` in any of these {len(loaded)} files: {has}",
            hint=did_you_mean(name, known),
        )
        for name in given
        if name not in known
    ]


def _disagreements(loaded: Mapping[str, Config]) -> list[Diagnostic]:
    """Where files differ in what holds for a whole run: of each such thing, the first file that differs."""
    problems = []
    (first, head), *others = loaded.items()
    for field, name in _OF_THE_RUN.items():
        here = getattr(head, field)
        for path, config in others:
            there = getattr(config, field)
            if there != here:
                shown = format_failures if field == "max_failures" else _value
                values = [_value(value) if value is None else shown(value) for value in (there, here)]
                problems.append(_disagreement(f"`{name}`", path, values[0], first, values[1]))
                break
    limits: dict[str, tuple[str, int | Limit]] = {}
    for path, config in loaded.items():
        for name, amount in config.limits.items():
            other, known = limits.setdefault(name, (path, amount))
            if known != amount:
                problems.append(_disagreement(f"limit `{name}`", path, _value(amount), other, _value(known)))
    for name, message in slots_of_one_variable({name: known for name, (_, known) in limits.items()}).items():
        problems.append(Diagnostic("name", message, file=limits[name][0], hint="rename one of them"))
    return problems


def _disagreement(what: str, path: str, value: str, other: str, known: str) -> Diagnostic:
    message = f"{what} is {value} here and {known} in `{other}`, which is to be run together with it"
    return Diagnostic("conflict", message, file=path, hint="write the same in both, or run the files one by one")


def _value(value: Any) -> str:
    if value in (None, "", ()):
        return "not set"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ", ".join(f"`{item}`" for item in value)
    if isinstance(value, Concurrency):
        return f"`{{{f'group: {value.group}, ' if value.group else ''}on_conflict: {value.on_conflict or 'fail'}}}`"
    if isinstance(value, Limit):
        shown = f"slots: [{', '.join(map(str, value.slots))}]" if value.slots else f"count: {value.count}"
        return f"`{{{shown}{f', across: {value.across}' if value.across != 'run' else ''}}}`"
    return f"{value:g} s" if isinstance(value, float) else str(value)


# --- jobs -------------------------------------------------------------------------------------------


def _jobs(config: Config, path: str, prefix: str, problems: list[Diagnostic]) -> list[JobSpec]:
    """The jobs of a file under their names in the whole."""
    made = []
    for spec in config.jobs:
        name = f"{prefix}{spec.name}"
        place = spec.place or FilePosition(path)
        if spec.fan_out is None and not is_job_name(name):
            message = f"job name `{shorten(name)}` is too long with its file's name before it"
            problems.append(Diagnostic("name", message, file=place.file, line=place.line, column=place.column))
        if spec.env_file and config.env:
            hint = "set the variables in the file or in the job, or run the files one by one"
            message = f"`env_file` of job `{shorten(spec.name)}` wins over the `env` of its batch, which becomes that of each job among several files"
            problems.append(
                Diagnostic("conflict", message, file=place.file, line=place.line, column=place.column, hint=hint)
            )
        made.append(_renamed(spec, name, prefix, place, config))
    return made


def _renamed(spec: JobSpec, name: str, prefix: str, place: FilePosition, config: Config) -> JobSpec:
    changes: dict[str, Any] = {}
    env = config.env
    if spec.deferred:
        changes = {field: _referring(getattr(spec, field), prefix) for field in (*DEFERRABLE, "if_")}
        if spec.fan_out is not None and spec.fan_out.source:
            changes["fan_out"] = replace(spec.fan_out, source=_referring(spec.fan_out.source, prefix))
    if env:
        template = spec.deferred or spec.fan_out is not None
        changes["env"] = {**(protect(dict(env)) if template else env), **changes.get("env", spec.env)}
    if config.env_file:
        changes["env_file"] = (*config.env_file, *spec.env_file)
    return replace(spec, name=name, needs=tuple(prefix + need for need in spec.needs), place=place, **changes)


def _referring(value: Any, prefix: str) -> Any:
    """The value with `jobs.NAME` for the jobs of the same file under their names in the whole."""
    if isinstance(value, str):
        return "".join(_piece(piece, prefix) for piece in split(value)) if OPENING in value else value
    if isinstance(value, list):
        return [_referring(item, prefix) for item in value]
    return {key: _referring(item, prefix) for key, item in value.items()} if isinstance(value, dict) else value


def _piece(piece: str | Reference, prefix: str) -> str:
    if isinstance(piece, str):
        return piece.replace(OPENING, LITERAL)
    root, dot, way = piece.text.partition(".")
    return f"{OPENING} {root}{dot}{prefix if root == 'jobs' else ''}{way} }}}}"


def _together(loaded: Mapping[str, Config], jobs: list[JobSpec]) -> Config:
    configs = list(loaded.values())
    first = configs[0]
    return Config(
        name=os.path.basename(first.folder) or "batch",  # noqa: PTH119
        rules=first.rules,
        folder=first.folder,
        source=first.folder,
        files={config.source: config.digest for config in configs},
        secrets=tuple(dict.fromkeys(name for config in configs for name in config.secrets)),
        limits={name: amount for config in configs for name, amount in config.limits.items()},
        imports=tuple(dict.fromkeys(module for config in configs for module in config.imports)),
        jobs=jobs,
        **{field: getattr(first, field) for field in _OF_THE_RUN},
    )
