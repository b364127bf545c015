"""Validates a whole document: every error at once, and the `Config` when there is none."""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from msgspec.structs import replace

from joblot.clock import iso_in, offset_at
from joblot.config.fields import (
    BATCH,
    MISSING,
    UNREAD_LIMIT,
    Mismatch,
    is_variable_name,
    limit,
    mapping,
    read_fields,
    slots_of_one_variable,
    without_odd,
)
from joblot.config.jobs import CONSEQUENCE, JobReader, LoadOptions, entry_below
from joblot.config.tree import Keys, Problem, describe, inspect
from joblot.core.model import RULES, Concurrency, Config, Limit, Schedule
from joblot.core.plan import problems_of
from joblot.core.references import TemplateError
from joblot.core.written import plain, shorten
from joblot.errors import ConfigError, Diagnostic, JoblotError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from joblot.config.secrets import Secrets
    from joblot.config.source import ParsedText
    from joblot.core.references import Reference

_CONFIG_NAMES: Final = {"timeout": "timeout_s"}
_LISTS: Final = ("jobs", "finally")
"""The lists of jobs."""
_TIMING: Final = ("name", "timezone", "schedule", "vars", "env", "concurrency")
"""The fields that are looked at to know when a batch is to be run, and those that these may refer to."""
_OWN_TIMING: Final = (("timezone",), ("schedule",), ("concurrency",))
_APART: Final = ("vars", "limits", "imports", "defaults", *_LISTS)
"""Fields that are read one by one, because others depend on them."""


def check(
    document: ParsedText, *, folder: str, source: str, digest: str, default_name: str, options: LoadOptions
) -> tuple[Config, list[Diagnostic]]:
    """The batch that a document declares, and warnings.

    Raises:
        ConfigError: with everything that is wrong with it.
    """
    reader = BatchReader(document, folder, options)
    config = reader.read(source, digest, default_name)
    problems = [problem for problem in (*document.problems, *reader.problems) if problem.code != CONSEQUENCE]
    if options.strict:
        problems = [replace(problem, severity="error") for problem in problems]
    errors = [problem for problem in problems if problem.severity == "error"]
    if errors:
        raise ConfigError(reader.with_broken_ties(reader.diagnostics(errors), config))
    assert config is not None, "BUG: no problem and no batch"
    return config, reader.diagnostics(problems) if problems else []


class Timing(Struct, frozen=True):
    """When a batch is to be run: its `schedule`, its `timezone`, and what happens to a run that finds another (empty: nothing is said)."""

    schedule: Schedule
    timezone: str
    on_conflict: str


class BatchReader:
    """Reads a whole document; `scope` is what references in it may name."""

    def __init__(self, document: ParsedText, folder: str, options: LoadOptions) -> None:
        self.document = document
        self.folder = folder
        self.options = options
        self.scope: dict[str, Any] = {"env": os.environ, "batch": {"folder": folder}, "run": {}, "jobs": {}}
        self.sink = JobReader(document, options, self.scope)
        self.secrets: Secrets = {}
        self._zone: Any = ""
        self._is_scheduled: Any = False
        self._sketch: tuple[Config, list[str]] | None = None
        """Of a batch that is wrong: its jobs as far as they are known, and the beginnings of names of those that are not."""

    @property
    def problems(self) -> list[Problem]:
        """What is wrong, or doubtful, so far."""
        return self.sink.problems

    def diagnostics(self, problems: Iterable[Problem]) -> list[Diagnostic]:
        """Problems with their places, without values of secrets."""
        found = self.document.diagnostics(problems)
        if not self.secrets:
            return found
        from joblot.config.secrets import without_secrets

        return without_secrets(found, self.secrets)

    def with_broken_ties(self, found: list[Diagnostic], config: Config | None) -> list[Diagnostic]:
        """Also what is wrong with how the jobs hang together, as far as that can be known of a batch that is wrong elsewhere.

        `config` is what was read of a batch of which only the text is wrong, such as a key that stands twice.
        """
        sketch = self._sketch if config is None else (config, [])
        if sketch is None:
            return found
        told = {_of_job(one) for one in found if one.code == "duplicate_name"}  # compared when they were read
        more = [one for one in problems_of(*sketch) if one.code != "duplicate_name" or _of_job(one) not in told]
        return sorted([*found, *more], key=lambda one: (one.line, one.column)) if more else found

    def read(self, source: str, digest: str, default_name: str) -> Config | None:
        """The batch; None when something is wrong with it, which stands in `problems`."""
        data = self.document.data
        if not isinstance(data, dict):
            if data is None:
                hint = "a batch is a mapping with a list of `jobs`"
                self.problems.append(Problem("type", "the batch is empty", hint=hint, position=(1, 1)))
            else:
                self.sink.add("type", f"a batch must be a mapping, not {describe(data)}", ())
            return None
        return self._read(self._sound(data), source, digest, default_name)

    def timing(self) -> Timing | None:
        """When the batch is to be run; None: it has no schedule, or is no batch. Only what that depends on is looked at.

        Raises:
            ConfigError: that is wrong.
        """
        data = self.document.data
        if not isinstance(data, dict) or "schedule" not in data or "jobs" not in data:
            return None
        found = self._top({name: data[name] for name in _TIMING if name in data}, "")
        own = [problem for problem in self.problems if problem.keys[:1] in _OWN_TIMING]
        errors = [problem for problem in (*self.document.problems, *own) if problem.severity == "error"]
        if errors:
            raise ConfigError(self.diagnostics(errors))
        if "schedule" not in found or ("timezone" in data and "timezone" not in found):
            raise ConfigError(
                [Diagnostic("reference", "`schedule` depends on what is known only when the batch is run")]
            )
        concurrency = found.get("concurrency") or Concurrency()
        return Timing(found["schedule"], found.get("timezone", ""), concurrency.on_conflict)

    def _sound(self, data: dict[str, Any]) -> dict[str, Any]:
        """The fields, without what no batch may hold, which is noted."""
        odd: list[Problem] = []
        for name, value in data.items():
            if name not in _LISTS:
                inspect({name: value}, (), odd)
        self.problems.extend(odd)
        if not odd:
            return data
        fit = {name: value for name, value in data.items() if name.isprintable()}
        return without_odd(fit, (problem.keys for problem in odd if problem.keys))

    def _read(self, data: dict[str, Any], source: str, digest: str, default_name: str) -> Config | None:
        top = self._top(data, default_name)
        limits = self._limits(top.pop("limits", None))
        imports = self._imports(data)
        reader = JobReader(
            self.document,
            self.options,
            self.scope,
            limits=limits,
            secrets=self.secrets,
            zone=self._zone,
            is_scheduled=self._is_scheduled,
        )
        reader.problems = self.sink.problems
        reader.read_defaults(data.get("defaults"))
        jobs = reader.read_all(self._jobs(data))
        if "finally" in data:
            jobs += reader.read_finals(self._list("finally", data["finally"]))
        reader.refuse_made_items(jobs)
        if any(problem.severity == "error" for problem in self.problems):
            self._sketch = Config(name=default_name, rules=RULES, folder=self.folder, jobs=jobs), reader.unsure
            return None
        fields = {_CONFIG_NAMES.get(name, name): value for name, value in top.items()}
        return Config(
            **fields,
            rules=RULES,
            folder=self.folder,
            source=source,
            digest=digest,
            vars=plain(self.scope["vars"]),
            limits=limits,
            imports=imports,
            jobs=jobs,
        )

    def _top(self, data: dict[str, Any], default_name: str) -> dict[str, Any]:
        """The batch's own fields; fills the scope as it goes: secrets, the time zone, variables, environment, name."""
        secrets = self.sink.fill(data.get("secrets"), ("secrets",), self.sink.known)
        if secrets is MISSING:  # what can be read of them is not to be shown, whatever else is wrong
            secrets = self.document.data["secrets"]
        listed = secrets if isinstance(secrets, list) else [secrets]
        if known := [item for item in listed if isinstance(item, str) and item.isprintable()]:
            from joblot.config.secrets import environments_of, files_of, secrets_of

            written = self.document.data
            self.secrets = secrets_of(known, [*environments_of(written), *files_of(written, self.folder)])
            self.sink = self._reader()
        zone = self._field("timezone", data)
        self._zone = zone.get("timezone", MISSING if "timezone" in data else "")
        planned = self._schedule(data)
        self.sink = self._reader()
        declared = data.get("vars")
        self.scope["vars"] = {}
        if declared is MISSING:
            self.scope["vars"] = self._unread("vars")
        elif declared is not None or self.options.variables:
            from joblot.config.variables import read_variables

            given = self.options.variables
            if self.options.spare_variables:
                given = {
                    name: value for name, value in given.items() if isinstance(declared, dict) and name in declared
                }
            entries, own = declared if isinstance(declared, dict) else {}, data.get("env")
            fill = partial(self._variable, entries, own if isinstance(own, dict) else {})
            read_variables(self.sink, declared, given, self.secrets, self.scope["vars"], fill)
        found = zone | planned
        for name in ("env", "name"):  # before all others, which may refer to them
            found.update(self._field(name, data))
            if name == "env" and "env" in data:
                self.scope["env"] = {**os.environ, **self._unread("env"), **found.get("env", {})}
        found.setdefault("name", default_name)
        self.scope["batch"]["name"] = found["name"]
        for name in data:
            if name not in (*_APART, "env", "name", "timezone", "schedule"):
                found.update(self._field(name, data))
        if "limits" in data:
            found["limits"] = self.sink.fill(data["limits"], ("limits",), self.sink.known)
        return found

    def _schedule(self, data: dict[str, Any]) -> dict[str, Any]:
        """When the batch is to be run, and for which due time it is, if it is for one."""
        found = self._field("schedule", data)
        self._is_scheduled = self.options.scheduled or bool(found) or (MISSING if "schedule" in data else False)
        if found and not self._zone and self._zone is not MISSING and not _is_utc():
            message = "`schedule` goes by the clock of this machine, which is not UTC: on another it may be due at other times"
            hint = "write `timezone: Europe/Paris`, or the one that is meant, beside it"
            self.problems.append(Problem("schedule", message, ("schedule",), hint, at_key=True, severity="warning"))
        if self.options.scheduled and self.options.moment is not None and self._zone is not MISSING:
            found["scheduled_for"] = iso_in(self.options.moment, self._zone)
        return found

    def _variable(self, entries: dict[str, Any], env: dict[str, Any], name: str, item: Any) -> Any:
        """What is declared of a variable, with references to those above it filled in."""

        def resolve(reference: Reference) -> Any:
            other = reference.parts[1] if len(reference.parts) > 1 else ""
            if reference.root == "vars" and other in entries and other not in self.scope["vars"]:
                raise entry_below(reference, other, name, entries)
            if reference.root == "env" and other in env:
                hint = "`env` can refer to `vars`"
                raise TemplateError(f"`env.{other}` is set by the batch's `env`, which is read after `vars`", hint=hint)
            return self.sink.known(reference)

        return self.sink.fill(item, ("vars", name), resolve)

    def _reader(self) -> JobReader:
        """One that knows of secrets and of the time zone what is known by now."""
        reader = JobReader(
            self.document,
            self.options,
            self.scope,
            secrets=self.secrets,
            zone=self._zone,
            is_scheduled=self._is_scheduled,
        )
        reader.problems = self.problems
        return reader

    def _unread(self, name: str) -> dict[str, Any]:
        """What a mapping that could not be read would give names to: who refers to one of them need not be wrong."""
        written = self.document.data.get(name)
        return dict.fromkeys(written, MISSING) if isinstance(written, dict) else {}

    def _field(self, name: str, data: dict[str, Any]) -> dict[str, Any]:
        """One field of the batch, read; empty when it is not there or not right."""
        if name not in data:
            return {}
        fill = self.sink.fill_environment if name == "env" else self.sink.fill
        value = fill(data[name], (name,), self.sink.known) if name in BATCH else data[name]
        return {} if value is MISSING else read_fields(self.sink, BATCH, {name: value}, (), "the batch")

    def _limits(self, value: Any) -> dict[str, int | Limit]:
        keys: Keys = ("limits",)
        if value is MISSING:
            return dict.fromkeys(self._unread("limits"), UNREAD_LIMIT)
        try:
            given = mapping(value)
        except Mismatch as error:
            self.sink.add("type", f"`limits` {error.message}", keys)
            return {}
        limits: dict[str, int | Limit] = {}
        for name, item in given.items():
            if name in ("cpu", "memory"):
                hint = "they are the machine's own: a job asks for them under `resources`"
                self.sink.add("name", f"`{name}` cannot be a limit of the batch", (*keys, name), hint=hint, at_key=True)
            elif not is_variable_name(name):
                hint = "a resource is named with letters, digits, `_` and `-`"
                self.sink.add("name", f"`{shorten(name)}` cannot be a limit", (*keys, name), hint=hint, at_key=True)
            elif not name.startswith("x-"):
                read = self.sink.read(limit, item, (*keys, name))
                limits[name] = UNREAD_LIMIT if read is MISSING else read
        for name, message in slots_of_one_variable(limits).items():
            self.sink.add("name", message, (*keys, name), hint="rename one of them", at_key=True)
        return limits

    def _imports(self, data: dict[str, Any]) -> tuple[str, ...]:
        """The modules that register actions, imported one by one so that an error has its place."""
        entries = []
        for number, entry in enumerate(self._field("imports", data).get("imports", ())):
            is_file = "/" in entry or entry.endswith(".py")
            module = os.path.abspath(os.path.join(self.folder, entry)) if is_file else entry  # noqa: PTH100, PTH118
            entries.append(module)
            if self.options.importer is None:
                continue
            try:
                self.options.importer([module], self.folder)
            except JoblotError as error:
                at: Keys = ("imports", number) if isinstance(data["imports"], list) else ("imports",)
                self.sink.add("import", error.message, at, hint=error.hint)
        return tuple(entries)

    def _jobs(self, data: dict[str, Any]) -> list[Any]:
        if "jobs" not in data:
            self.sink.miss(("jobs",), "the batch is missing `jobs`", (), hint="write `jobs: []` for none")
            return []
        return self._list("jobs", data["jobs"])

    def _list(self, name: str, jobs: Any) -> list[Any]:
        if not isinstance(jobs, list):
            hint = "write a list: each job begins with `- name: ...`" if isinstance(jobs, dict) else ""
            self.sink.add("type", f"`{name}` must be a list, not {describe(jobs)}", (name,), hint=hint)
            return []
        return jobs


def _is_utc() -> bool:
    """Whether this machine's clock is UTC, in summer and winter."""
    offset, now = offset_at(), time.time()
    return not any(offset(now + days * 86_400) for days in range(0, 366, 61))


def _of_job(problem: Diagnostic) -> str:
    """The name that a message begins with."""
    return problem.message.partition("`")[2].partition("`")[0]
