"""Batches in one line, and runs as one line an event: a small language for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from joblot.core import events as ev
from joblot.core.model import Config, JobSpec, Retry
from joblot.core.patterns import has_wildcard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from joblot.core.plan import Plan

_RETRY_WORDS: Final = {
    "max_attempts": int,
    "delay": float,
    "backoff": float,
    "max_delay": float,
    "jitter": float,
    "memory_factor": float,
    "max_memory": float,
}
FUSED: Final = {"fused": {"input": None}}
"""The rules of the one action that is fused in worlds and simulations: its jobs agree in their input."""
_SPEC_WORDS: Final[dict[str, tuple[str, Callable[[str], Any]]]] = {
    "timeout": ("timeout_s", float), "grace": ("grace_s", float), "priority": ("priority", int), "when": ("when", str),
    "once": ("once", "yes".__eq__), "finally": ("finally_", "yes".__eq__),
    "allowed": ("allow_failure", "yes".__eq__), "input": ("input", str), "output": ("outputs", lambda path: (path,)),
}  # fmt: skip


def declare(text: str, **settings: Any) -> Config:
    """A batch from a line such as `a; b needs a; c needs a, b when=failure max_attempts=2 timeout=5 db=1`.

    Words behind the needs: `when`, `max_attempts`, `delay`, `backoff`, `max_delay`, `jitter`, `memory_factor`, `max_memory`, `only` (kinds with commas), `timeout`,
    `grace`, `priority`, `once=yes`, `finally=yes` (`when` is then `always` if nothing else is said), `allowed=yes`, `if` and `unless` (such as `a.result.odd`), `input` (a path or a pattern) and `output` (a path), `reads` (a job whose result is referred to), `fuse` (an input: jobs with the same one are run
    as one). Any other word is a resource and its amount.
    `settings` are fields of `Config`.
    """
    jobs = [_declared_job(part.split()) for part in text.split(";") if part.strip()]
    return Config(name="world", folder="/", jobs=jobs, **settings)


def _declared_job(words: list[str]) -> JobSpec:
    name, *rest = words
    needs: list[str] = []
    options: dict[str, str] = {}
    for word in rest:
        if "=" in word:
            key, _, options[key] = word.partition("=")
        elif word != "needs":
            needs += [need for need in word.split(",") if need]
    return _job_spec(name, needs, options)


def _job_spec(name: str, needs: Iterable[str], options: dict[str, str]) -> JobSpec:
    retry: dict[str, Any] = {}
    fields: dict[str, Any] = {"action": "test", "resources": {}}
    if "finally" in options:
        fields["when"] = "always"
    for key, value in options.items():
        if key in _RETRY_WORDS:
            retry[key if key not in ("delay", "max_delay") else f"{key}_s"] = _RETRY_WORDS[key](value)
        elif key == "only":
            retry["only"] = tuple(value.split(","))
        elif key in _SPEC_WORDS:
            field, read = _SPEC_WORDS[key]
            fields[field] = read(value)
            if key == "input" and has_wildcard(value):
                fields["patterns"] = (0,)
        elif key == "fuse":
            fields |= {"action": "fused", "input": value}
        elif key in ("if", "unless"):
            fields |= {"if_": f"${{{{ jobs.{value} }}}}", "deferred": True, "if_not": key == "unless"}
        elif key == "reads":
            fields |= {"params": {"value": f"${{{{ jobs.{value}.result }}}}"}, "deferred": True}
        else:
            fields["resources"][key] = float(value)
    return JobSpec(name=name, needs=tuple(needs), retry=Retry(**retry), **fields)


def started(plan: Plan, records: Iterable[ev.Record]) -> list[str]:
    """The names of the jobs in the order in which their attempts started."""
    events = (event for record in records for event in record.events)
    return [plan.name(job) for event in events if isinstance(event, ev.AttemptsStarted) for job in event.jobs]


def story(plan: Plan, records: Iterable[ev.Record]) -> str:
    """What happened, one line an event, with the jobs' names."""
    lines = []
    for record in records:
        for number, event in enumerate(record.events):
            lines.append(f"{record.seq + number:>5}  {record.at:>10.3f}  {_sentence(plan, event)}")
    return "\n".join(lines)


def _sentence(plan: Plan, event: ev.AnyEvent) -> str:
    words = msgspec.json.decode(msgspec.json.encode(event))
    kind = words.pop("type")
    jobs = words.pop("jobs", None)
    if isinstance(jobs, list):
        words["jobs"] = " ".join(plan.name(job) for job in jobs)
    for key in ("job", "cause"):
        if words.get(key, -1) >= 0:
            words[key] = plan.name(words[key])
    return " ".join([f"{kind:<16}", *(f"{key}={value}" for key, value in words.items())])
