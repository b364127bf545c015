"""What a job is made of, in a form that can be kept and compared: what `up to date` means.

Parts and facts about files go in, differences in words come out. Pure: it reads no files, it knows no runs and no store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from joblot.core.model import FileFact  # noqa: TC001 - msgspec reads the annotations
from joblot.core.references import OPENING, references, substitute
from joblot.digest import blake2b

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from joblot.core.model import JobSpec
    from joblot.core.plan import Plan

_SHOWN: Final = 60


class Parts(Struct, frozen=True, gc=False, omit_defaults=True):
    """What decides what a job makes, but for the contents of files. `code` stands for the action's own code."""

    action: str | None = None
    code: str = ""
    run: str | list[str] | None = None
    params: dict[str, Any] = {}
    env: dict[str, str] = {}
    cwd: str | None = None
    input: Any = None
    outputs: tuple[str, ...] = ()
    seed: int | None = None
    shell: tuple[str, ...] = ()
    env_file: str = ""
    """Stands for what the job finds in its environment because a file says so: the values themselves are kept nowhere."""


class Files(Struct, frozen=True, gc=False, array_like=True):
    """The files around one success of a job: what it read, as it was before it began, and what it made; and whether it has failed since."""

    inputs: list[FileFact]
    outputs: list[FileFact]
    failed: bool = False


class LastSuccess(Struct, frozen=True, gc=False):
    """A job's last success, as it is kept: `parts` and `files` as JSON, the result as JSON (empty: none), the run, seconds since the epoch."""

    job: str
    parts: bytes
    files: bytes
    result: bytes = b""
    run: str = ""
    at: float = 0.0


class Change(Struct, frozen=True):
    """One thing that is not as it was. What was not there before, or is not there now, is unset."""

    what: str
    old: Any | UnsetType = UNSET
    new: Any | UnsetType = UNSET

    def __str__(self) -> str:
        """Such as `params.pattern 'a' -> 'b'`."""
        if self.what == "code":
            return "code of the action"
        if self.what == "env_file":
            return "what `env_file` sets"
        if self.old is self.new is UNSET:
            return self.what
        return f"{self.what} {_shown(self.old)} -> {_shown(self.new)}"


_encode = msgspec.json.Encoder().encode
_sorted = msgspec.json.Encoder(order="deterministic").encode


def encoded(parts: Parts | Files) -> bytes:
    """As it is kept."""
    return _encode(parts)


def decoded_files(stored: bytes) -> Files:
    """What `encoded` made of files.

    Raises:
        msgspec.MsgspecError: it is something else.
    """
    return msgspec.json.decode(stored, type=Files)


def parts_of(
    plan: Plan,
    job: int,
    code: str,
    values: dict[str, Any] | None = None,
    tuning: Collection[str] = (),
    from_files: Mapping[str, str] = {},
) -> Parts:
    """The parts of a job. `values` are its texts with references filled in, where it has any; parameters of `tuning` are no part of it.

    `from_files` are the variables that it finds in its environment because a file says so.
    """
    spec, env = plan.spec(job), plan.config.env
    own, params, job_input = spec.env, spec.params, spec.input
    run = shown_command(spec, None if values is None else values.get("given"))
    if values is not None:
        own, params, run = values["env"], values["params"], values.get("run", run)
        job_input = values.get("input")
    if tuning:
        params = {name: value for name, value in params.items() if name not in tuning}
    environment = {**env, **own} if env else own
    if plan.config.secrets:  # their values are shown where they differ
        environment = {name: value for name, value in environment.items() if name not in plan.config.secrets}
    seed = plan.config.seed if spec.run is None else None
    told = {name: value for name, value in from_files.items() if name not in plan.config.secrets}
    env_file = blake2b(_sorted(told), digest_size=16).hexdigest() if told else ""
    return Parts(
        spec.action, code, run, params, environment, spec.cwd, job_input, spec.outputs, seed, spec.shell, env_file
    )


def shown_command(spec: JobSpec, given: Mapping[str, Any] | None = None) -> str | list[str] | None:
    """The `run` of a job as a person would type it, with the values that are known; those of `given` were filled in at its start."""
    run = spec.run
    if not isinstance(run, str) or OPENING not in run or not (spec.given or spec.deferred):
        return run
    from joblot.core.shelltext import read

    if given is None:
        known = spec.given or {}
        if spec.fan_out is not None:  # of a job that stands for many nothing is known of the items
            known = {name: value for name, value in known.items() if not references(value)}
        given = substitute(known, {}) if spec.deferred else known
    return read(run).shown(given)


def paths_read(plan: Plan, job: int, job_input: Any) -> list[str]:
    """The files that a job reads, as far as the batch says so: its input, and what the needs that are written make. Each once, in that order."""
    paths = [job_input] if isinstance(job_input, str) else [path for path in job_input or () if isinstance(path, str)]
    needs = plan.written_needs(job)
    if needs:
        paths += [path for need in needs if need not in plan.growing for path in plan.spec(need).outputs]
    return paths if len(paths) < 2 else list(dict.fromkeys(paths))


def changes(old: bytes, new: bytes) -> list[Change]:
    """What differs between two encoded `Parts`, in terms of the batch file; empty when they mean the same."""
    if old == new:
        return []
    try:
        before = msgspec.json.decode(old, type=Parts)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return [Change("what was kept of it cannot be read")]
    after = msgspec.json.decode(new, type=Parts)
    if before.code != after.code and after.action is None:
        return [Change("code of the function"), *(one for one in _all_changes(before, after) if one.what != "code")]
    return list(_all_changes(before, after))


def _all_changes(before: Parts, after: Parts) -> Iterator[Change]:
    return (
        change
        for name in Parts.__struct_fields__
        for change in differing(name, getattr(before, name), getattr(after, name))
    )


def differing(what: str, old: Any, new: Any) -> Iterator[Change]:
    """What differs between two values; of two mappings which of their values, by names such as `params.pattern`."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            yield from differing(f"{what}.{key}" if what else str(key), old.get(key, UNSET), new.get(key, UNSET))
    elif UNSET in (old, new) or _sorted(old) != _sorted(new):  # `==` would take 1 for `True`
        yield Change(what, old, new)


def _shown(value: Any) -> str:
    if value is UNSET:
        return "(none)"
    text = repr(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def always_runs(spec: JobSpec) -> str:
    """Why a job runs whatever is there, in words; empty when it can be up to date."""
    return "" if spec.outputs or spec.cache else "no outputs declared"
