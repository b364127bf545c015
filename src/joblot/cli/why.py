"""`joblot why`: which job made a file, of what, and who made that."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import click
import msgspec
from msgspec import Struct

from joblot.cli.options import FilePath, json_option, no_color_option, state_option
from joblot.errors import EXIT_OK, NoRunsError, StateError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from joblot.cli.output import Output
    from joblot.cli.runs import Run
    from joblot.core.events import AttemptEnded
    from joblot.core.model import Artifact, FileFact
    from joblot.core.provenance import LastSuccess, Parts
    from joblot.journal.folder import StateFolder
    from joblot.outputs import Hashes
    from joblot.reports.report import JobReport

_SHOWN: Final = 20
"""So many inputs of a job, and so many jobs behind each other, are told; `--json` tells them all."""

Known = Literal["hash", "time", "changed", "missing", "remade", "unknown"]
"""By what a file is known to be what a job has made or read: by its contents, or by path and time only; or that it is not.

`remade`: another job has made it anew since it was read.
"""
_WORDS: Final[dict[str, str]] = {"hash": "by hash", "time": "by path and time only", "unknown": "by path only"}
_SINCE_READ: Final[dict[str, str]] = {
    "hash": ", and as it was then (by hash)", "time": ", and as it was then (by path and time only)", "unknown": " (by path only)",
    "changed": ", and changed since it was read", "missing": ", and not there now",
}  # fmt: skip
_DEEP: Final = 100
"""So many jobs behind each other are gone back to."""


class Origin(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who made a file or folder, and of what. `known` says how far that is certain."""

    path: str
    known: Known
    job: str = ""
    """Empty: no job is known to have made it."""
    folder: str = ""
    """The output that it is a part of, where that is a folder; then `known` is about the folder."""
    batch: str = ""
    run_id: str = ""
    cleared_up: bool = False
    """Whether the run is there no more."""
    attempt: int | None = None
    at: float = 0.0
    """When the job ended, in seconds since the epoch."""
    action: str = ""
    command: str | list[str] | None = None
    params: dict[str, Any] = {}
    variables: dict[str, Any] = {}
    inputs: list[Origin] = []


class _Made(NamedTuple):
    """A last success: the folder of its batch, and what was kept of it."""

    folder: str
    batch: str
    last: LastSuccess
    inputs: list[FileFact]
    outputs: list[FileFact]


@click.command(
    "why",
    help="Say which job made FILE, in which run, with which command, and of what, back to the files that nobody has made. "
    "FILE may be in a folder that a job makes.\n\nThe state folder is the one of FILE's folder, or of the nearest above it that knows FILE, else the one here.",
)
@click.argument("file", type=FilePath())
@state_option
@json_option
@no_color_option
@click.pass_obj
def command(output: Output, file: str, state: str | None) -> int:
    """Look through what is kept of the jobs' last successes."""
    looked: list[str] = []
    for place in _places(file, state):
        with suppress(NoRunsError):
            history = History(place)
            looked.append(str(place))
            try:
                origin = history.origin(file)
            finally:
                history.close()
            if origin is not None:
                output.document(_as_data(origin)) if output.json else output.result("\n".join(_text(origin)))
                return EXIT_OK
    where = ", ".join(f"`{place}`" for place in looked)
    hint = (
        f"{where} has what jobs declare as `outputs`, and what actions make by `ctx.output`"
        if looked
        else "`--state` names the state folder of its batch"
    )
    raise StateError(f"no job is known to have made `{file}`", hint=hint)


def _places(file: str, state: str | None) -> Iterator[Path]:
    """The state folders that may know the file, the nearest first."""
    from joblot.journal.folder import DEFAULT, state_path

    if state is not None:
        yield state_path(state)
        return
    seen: set[str] = set()
    for path in (file, os.path.realpath(file)):
        for folder in Path(path).parents:
            place = folder / DEFAULT
            if str(place) not in seen and os.path.lexists(place):
                seen.add(str(place))
                yield place
    here = state_path(None)
    if str(here) not in seen:
        yield here


class History:
    """What the jobs of one state folder have made last, by its path."""

    def __init__(self, place: Path) -> None:
        from joblot.journal.folder import StateFolder

        self._folder: StateFolder = StateFolder(place, read_only=True)
        self._hashes: dict[str, Hashes] = {}
        self._runs: dict[str, Run | None] = {}
        self._known: dict[int, Origin] = {}

    def close(self) -> None:
        """Close the journal."""
        self._folder.close()

    @cached_property
    def _made(self) -> dict[str, tuple[_Made, FileFact]]:
        """By real path: who made it last, and the fact about it."""
        from joblot.runner.uptodate import files_of

        made: dict[str, tuple[_Made, FileFact]] = {}
        for key in self._folder.journal.batches_made():
            folder, _, batch = key.rpartition("/")
            for last in self._folder.journal.last_successes(key).values():
                files = files_of(last)
                one = _Made(folder, batch, last, files.inputs, files.outputs)
                for fact in files.outputs:
                    path = _absolute(folder, fact.path)
                    earlier = made.get(path)
                    if earlier is None or earlier[0].last.at < last.at:
                        made[path] = one, fact
        return made

    def origin(self, file: str) -> Origin | None:
        """Who made the file; None when nobody is known to have."""
        for path in dict.fromkeys((_real(file), os.path.realpath(file))):
            for output in (path, *map(str, Path(path).parents)):
                if output in self._made:
                    made, fact = self._made[output]
                    part = "" if output == path else fact.path
                    known = self._compared(made.folder, fact, _absolute(made.folder, fact.path), file)
                    return self._told(file, made, known, part, ())
        return self._undeclared(file)

    def _undeclared(self, file: str) -> Origin | None:
        """The last attempt that has told of the file though its job does not declare it: an action's, by `ctx.output`."""
        from joblot.core.events import AttemptEnded

        paths = {_real(file), os.path.realpath(file)}
        named = msgspec.json.encode(Path(file).name)[1:]
        for run_id, at, events in self._folder.journal.records_with(named):
            run = self._run(run_id)
            if run is None or run.of_program:
                continue
            for event in events:
                if isinstance(event, AttemptEnded):
                    for artifact in event.artifacts:
                        if _absolute(run.config.folder, artifact.path) in paths:
                            return _of_attempt(run, event, at, file, artifact)
        return None

    def _compared(self, folder: str, fact: FileFact, path: str, file: str) -> Known:
        """Whether what is there is what the job made."""
        if not os.path.lexists(file):
            return "missing"
        hashes = self._hashes_of(folder)
        stamp = hashes.stamp(path)
        if stamp is None:
            return "missing"
        if fact.sha256:
            return "hash" if hashes.fact(path, stamp).sha256 == fact.sha256 else "changed"
        return "time" if stamp[:2] == (fact.size, fact.mtime_ns) else "changed"

    def _hashes_of(self, folder: str) -> Hashes:
        if folder not in self._hashes:
            from joblot.journal.place import shared_folder
            from joblot.outputs import Hashes

            self._hashes[folder] = Hashes(folder, [shared_folder(), self._folder.path], lambda _path: True)
        return self._hashes[folder]

    def _told(self, path: str, made: _Made, known: Known, part: str, above: Sequence[int]) -> Origin:
        """All of one job and what is behind it. A job that was told before, or that is above itself, is told without that."""
        last, parts = made.last, _parts(made.last)
        if id(made) in self._known:
            earlier = self._known[id(made)]
            return msgspec.structs.replace(earlier, path=path, known=known, folder=part)
        run, job = self._run(last.run), None
        if run is not None:
            job = _job_of(run, last.job)
        inputs = []
        if id(made) not in above and len(above) < _DEEP:
            inputs = [self._read(made, fact, (*above, id(made))) for fact in made.inputs]
        origin = Origin(
            path=path,
            known=known,
            job=last.job,
            folder=part,
            batch=made.batch,
            run_id=last.run,
            cleared_up=bool(last.run) and run is None,
            attempt=job.attempts if job is not None else None,
            at=last.at,
            action=parts.action or "" if parts is not None else "",
            command=parts.run if parts is not None else None,
            params=parts.params if parts is not None else {},
            variables=run.config.vars if run is not None else {},
            inputs=inputs,
        )
        self._known[id(made)] = origin
        return origin

    def _read(self, reader: _Made, fact: FileFact, above: Sequence[int]) -> Origin:
        """Who made what a job has read."""
        path = _absolute(reader.folder, fact.path)
        made, output = self._made.get(path, (None, None))
        # What a folder's hash leaves out depends on the batch: what is there now is not compared.
        now: Known = "unknown" if Path(path).is_dir() else self._compared(reader.folder, fact, path, path)
        if made is None or output is None or made.last.job == reader.last.job:
            return Origin(path=fact.path, known=now)
        known: Known = "unknown"
        if fact.sha256 and output.sha256:
            known = "hash" if fact.sha256 == output.sha256 else "remade"
        elif (fact.size, fact.mtime_ns) == (output.size, output.mtime_ns):
            known = "time"
        if known != "remade" and now in ("changed", "missing"):
            known = now
        return self._told(fact.path, made, known, "", above)

    def _run(self, run_id: str) -> Run | None:
        if run_id not in self._runs:
            from joblot.cli.runs import Run

            info = self._folder.journal.info(run_id) if run_id else None
            self._runs[run_id] = Run(self._folder, info) if info is not None else None
        return self._runs[run_id]


def _of_attempt(run: Run, event: AttemptEnded, at: float, file: str, artifact: Artifact) -> Origin:
    """What made a file of which nothing is kept but its path and its size, and perhaps its hash."""
    from joblot.core.provenance import shown_command
    from joblot.outputs import content_hash

    known: Known = "unknown"
    try:
        size = Path(file).stat().st_size
        if content_hash(file) != artifact.sha256 if artifact.sha256 else size != artifact.size:
            known = "changed"
        elif artifact.sha256:
            known = "hash"
    except OSError:
        known = "missing"
    spec = run.plan.spec(event.job)
    return Origin(
        path=file,
        known=known,
        job=spec.name,
        batch=run.info.batch,
        run_id=run.id,
        attempt=event.attempt,
        at=at,
        action=spec.action or "",
        command=shown_command(spec),
        params=spec.params,
        variables=run.config.vars,
    )


def _job_of(run: Run, name: str) -> JobReport | None:
    with suppress(StateError):
        return run.report().jobs.get(name)
    return None


def _parts(last: LastSuccess) -> Parts | None:
    from joblot.core.provenance import Parts

    with suppress(msgspec.MsgspecError, UnicodeDecodeError):
        return msgspec.json.decode(last.parts, type=Parts)
    return None


def _absolute(folder: str, path: str) -> str:
    return _real(path if path.startswith("/") else f"{folder}/{path}")


def _real(path: str) -> str:
    """A path without links but for its last name, which may be a link that a job has made."""
    folder, name = os.path.split(os.path.normpath(path))
    return f"{os.path.realpath(folder).rstrip('/')}/{name}"


# --- what is told ---------------------------------------------------------------------------------


def _as_data(origin: Origin, told: set[tuple[str, str]] | None = None) -> dict[str, Any]:
    """As data; of a job that is met again without what is behind it, for there may be more ways than jobs."""
    from joblot.clock import iso_utc

    told = set() if told is None else told
    data: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(origin, inputs=[]))
    if origin.job:
        data["at"] = iso_utc(origin.at)
        if (origin.batch, origin.job) not in told:
            told.add((origin.batch, origin.job))
            data["inputs"] = [_as_data(one, told) for one in origin.inputs]
    return data


def _text(origin: Origin, depth: int = 0, told: set[tuple[str, str]] | None = None) -> Iterator[str]:
    from joblot.cli.runs import local_time

    told = set() if told is None else told
    indent = "    " * depth
    yield f"{indent}{origin.path}"
    indent += "  "
    if not origin.job:
        yield f"{indent}made by no job here{_SINCE_READ[origin.known]}"
        return
    yield f"{indent}{_who(origin)}"
    if (origin.batch, origin.job) in told:
        yield f"{indent}told above"
        return
    told.add((origin.batch, origin.job))
    attempt = f", attempt {origin.attempt}" if origin.attempt else ""
    gone = ", which was cleared up" if origin.cleared_up else ""
    run = f"in run {origin.run_id}{attempt}{gone}" if origin.run_id else "accepted as it was"
    yield f"{indent}{run}, {local_time(origin.at)}"
    yield from (f"{indent}{line}" for line in _how(origin))
    shown = origin.inputs[:_SHOWN] if depth < _SHOWN else []
    if origin.inputs:
        yield f"{indent}of:"
    for one in shown:
        yield from _text(one, depth + 1, told)
    if len(origin.inputs) > len(shown):
        yield f"{indent}  ... and {len(origin.inputs) - len(shown)} more files (`--json` tells all)"


def _who(origin: Origin) -> str:
    """Which job made a file, and how far that is certain."""
    job = f"job `{origin.job}` of `{origin.batch}`"
    what = f"`{origin.folder}`, which it is in, is" if origin.folder else "it is"
    if origin.known == "missing":
        where = f", if it was in `{origin.folder}`" if origin.folder else ""
        return f"made by {job}{where}; it is not there now"
    if origin.known == "remade":
        return f"made by {job}, which has made it anew since"
    if origin.known == "changed":
        return f"made by {job}, and changed since: {what} not what it made"
    part = f", in `{origin.folder}`" if origin.folder else ""
    return f"made by {job}{part} ({_WORDS[origin.known]})"


def _how(origin: Origin) -> Iterator[str]:
    from shlex import join

    from joblot.core.written import shorten

    if origin.command is not None:
        yield f"by: {shorten(origin.command if isinstance(origin.command, str) else join(origin.command))}"
    elif origin.action:
        params = ", ".join(f"{name}={value!r}" for name, value in origin.params.items())
        yield shorten(f"by action {origin.action}({params})")
    if origin.variables:
        yield shorten("with " + ", ".join(f"{name}={value!r}" for name, value in origin.variables.items()))
