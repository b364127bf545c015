"""The door of this package: a file, a text or a dictionary in, a checked `Config` out, and `Config`s stored as JSON."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec.structs import replace

from joblot.config.check import BatchReader, Timing, check
from joblot.config.jobs import LoadOptions
from joblot.config.source import Format, ParsedText, decode_text, format_of, parse, read_bytes
from joblot.core.model import Config, Signature
from joblot.core.plan import encoded
from joblot.digest import blake2b
from joblot.errors import ConfigError, Diagnostic
from joblot.garbage import collection_paused

if TYPE_CHECKING:
    from pathlib import Path

    from joblot.config.env_files import EnvFiles
    from joblot.config.jobs import Unknown

Lookup = Callable[[str], Signature | None]
Names = Callable[[], Iterable[str]]
Importer = Callable[[list[str], str], None]

_NONE_GIVEN: Final[Mapping[str, Any]] = MappingProxyType({})


def load(
    path: str | Path,
    *,
    vars: Mapping[str, Any] = _NONE_GIVEN,
    lookup: Lookup,
    names: Names,
    strict: bool = False,
    unknown: Unknown = "error",
    importer: Importer | None = None,
    spare_vars: bool = False,
    commands: bool = True,
    moment: float | None = None,
    scheduled: bool = False,
) -> tuple[Config, list[Diagnostic]]:
    """The batch in a file (YAML, JSON or TOML by its ending), and warnings.

    `vars` are values given as text; `lookup` and `names` find actions; `importer` is called with each entry of `imports` before
    actions are looked up. With `strict` warnings are errors; `unknown` is what an action is that is not found. With `spare_vars` there may
    be more values than the batch has variables. Without `commands` none that lists items is run: what it would list is left open, in a plan
    to look at. `moment` is when the run begins, in seconds since the epoch: the day of `run.date`; None: now. With
    `scheduled` that is the due time for which a schedule has started it.

    Raises:
        ConfigError: with everything that is wrong.
    """
    shown = os.fspath(path)
    content = read_bytes(path)
    options = LoadOptions(
        variables=vars,
        lookup=lookup,
        names=names,
        strict=strict,
        unknown=unknown,
        importer=importer,
        spare_variables=spare_vars,
        commands=commands,
        moment=moment,
        scheduled=scheduled,
    )
    with collection_paused():
        document = parse(decode_text(content, shown), shown, format_of(path))
        source = os.path.abspath(shown)  # noqa: PTH100 - links stay as they are: paths are relative to where the user sees the file
        _refuse_odd_path(source, shown)
        folder, base = os.path.split(source)
        stem = os.path.splitext(base)[0]  # noqa: PTH122
        return check(
            document, folder=folder, source=source, digest=_digest(content), default_name=stem, options=options
        )


def load_text(
    text: str,
    *,
    file: str = "batch.yaml",
    folder: str | Path,
    format: Format = "yaml",
    vars: Mapping[str, Any] = _NONE_GIVEN,
    lookup: Lookup,
    names: Names,
    strict: bool = False,
    unknown: Unknown = "error",
    importer: Importer | None = None,
) -> tuple[Config, list[Diagnostic]]:
    """As `load`, for a text; `file` is what messages call it.

    Raises:
        ConfigError: with everything that is wrong.
    """
    options = LoadOptions(variables=vars, lookup=lookup, names=names, strict=strict, unknown=unknown, importer=importer)
    try:
        content = text.encode()
    except UnicodeEncodeError as error:
        raise ConfigError([Diagnostic("file", f"not UTF-8 text: `{file}` (character {error.start})")]) from None
    with collection_paused():
        document = parse(text.removeprefix("\ufeff"), file, format)
        stem = os.path.splitext(os.path.basename(file))[0] or "batch"  # noqa: PTH119, PTH122
        digest = _digest(content)
        return check(
            document,
            folder=os.path.abspath(folder),  # noqa: PTH100
            source="",
            digest=digest,
            default_name=stem,
            options=options,
        )


def timing_of(path: str | Path) -> Timing | None:
    """When a batch file is to be run; None where it has no schedule, or is none. No command is run, and nothing imported.

    Raises:
        ConfigError: it cannot be read, or what it says of that is wrong.
    """
    content = read_bytes(path)
    if b"schedule" not in content:
        return None
    shown = os.fspath(path)
    document = parse(decode_text(content, shown), shown, format_of(path))
    options = LoadOptions({}, lambda _name: None, tuple)
    return BatchReader(document, os.path.dirname(shown), options).timing()  # noqa: PTH120


def env_files_of(config: Config) -> EnvFiles | None:
    """The files of environment variables that a batch names, read now; None where it names none."""
    if not config.env_file and not any(spec.env_file for spec in config.jobs):
        return None
    from joblot.config.env_files import EnvFiles

    return EnvFiles(config)


def load_data(
    data: Mapping[str, Any], *, folder: str | Path, lookup: Lookup, names: Names
) -> tuple[Config, list[Diagnostic]]:
    """As `load`, for a batch that is data already, such as a command line makes: values keep their types.

    Raises:
        ConfigError: with everything that is wrong.
    """
    source = os.path.abspath(folder)  # noqa: PTH100
    _refuse_odd_path(source, os.fspath(folder))
    options = LoadOptions({}, lookup, names, typed=True)
    # Lists of jobs are emptied as they are read.
    document = ParsedText({name: list(value) if isinstance(value, list) else value for name, value in data.items()})
    with collection_paused():
        return check(document, folder=source, source="", digest="", default_name="batch", options=options)


def encode(config: Config) -> bytes:
    """The batch as JSON, for another process; jobs that are Python callables cannot be sent. What a journal stores is `Plan.encoded`."""
    return msgspec.json.encode(config)


def decode(content: bytes) -> Config:
    """The batch that `encode` or `Plan.encoded` wrote."""
    return msgspec.json.decode(content, type=Config)


def refuse_unreadable(config: Config) -> None:
    """Make sure that a batch made by hand reads back from what is stored of it, its functions aside.

    Raises:
        ConfigError: it does not.
    """
    hint = "make it with `Batch`, or load it from a file"
    try:
        again = decode(encoded(config))
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ConfigError(f"`batch` cannot be stored: {error}", hint=hint) from None
    jobs = ([replace(job, function=None) for job in one.jobs] for one in (config, again))
    if next(jobs) != next(jobs) or replace(config, jobs=[]) != replace(again, jobs=[]):
        raise ConfigError("`batch` holds values that cannot be stored", hint=hint)


def _refuse_odd_path(path: str, shown: str) -> None:
    """Everything that is recorded is UTF-8; the system's file names need not be."""
    try:
        path.encode()
    except UnicodeEncodeError:
        hint = "paths are kept as UTF-8: give the folder or the file another name"
        raise ConfigError([Diagnostic("file", f"the path of `{shown}` is not UTF-8 text", hint=hint)]) from None


def _digest(content: bytes) -> str:
    return blake2b(content, digest_size=32).hexdigest()
