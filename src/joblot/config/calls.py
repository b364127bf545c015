"""What a program says by calls (`Batch`, `add`, `run`), read by the tables that batch files are read by.

What only Python has becomes what a file would hold (tuples and other iterables lists, paths and dates texts, functions in `needs` names),
or stays what it is: a function to run. Problems have no place; all of one call become one `ConfigError`, and nothing is kept of that call.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from joblot.config import fields as table
from joblot.config.check import BatchReader
from joblot.config.fields import WAYS, Field, Mismatch, Sink
from joblot.config.jobs import SPEC_NAMES, JobReader, LoadOptions
from joblot.config.source import ParsedText
from joblot.config.tree import (
    MAX_DEPTH,
    PLAIN,
    Keys,
    Problem,
    describe,
    from_python,
    inspect,
    is_listed,
    path_text,
    single,
)
from joblot.core.fan_out import pattern_of
from joblot.core.model import JobSpec
from joblot.core.names import is_job_name
from joblot.core.selection import selectors
from joblot.core.written import shorten
from joblot.errors import ConfigError, Diagnostic, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from joblot.config.fields import Reader
    from joblot.core.model import FilePosition, Signature

_RETRY: Final = {"retry_only" if name == "only" else name: name for name in table.RETRY}
"""The arguments that make up `retry`, and its fields."""
_ITERABLES: Final = frozenset(
    {
        *WAYS,
        "run",
        "shell",
        "input",
        "outputs",
        "tags",
        "retry_only",
        "secrets",
        "needs",
        "vars",
        "limits",
        "env_file",
        "report",
    }
)
"""The arguments that are lists, or have lists in them: any iterable does."""
_TEXTS: Final = frozenset({str})
_NO_PARAMS: Final[dict[str, Any]] = {}


def _refusal(problems: Iterable[Problem], about: str = "") -> ConfigError:
    """One error for all that is wrong with a call; it names the argument, and the job that it is `about`."""
    diagnostics = []
    for problem in problems:
        if problem.severity == "error":  # a call that is only odd goes on
            way, message = problem.keys[2:] if problem.keys[:1] == ("jobs",) else problem.keys, problem.message
            if way[:1] == ("action",):
                way, message = ("what", *way[1:]), message.replace("`action`", "`what`", 1)
            diagnostics.append(Diagnostic(problem.code, message, path_text(way), hint=problem.hint))
    first = diagnostics[0]
    summary, argument = first.message, first.path.partition(".")[0].partition("[")[0]
    if argument and f"`{argument}" not in summary and first.code != "duplicate_name":
        summary = f"`{shorten(first.path)}`: {summary}"
    if about and about not in summary and argument != "name":
        summary = f"{about}: {summary}"
    return ConfigError(diagnostics, summary=summary)


def _as_data(name: str, value: Any, keys: Keys, unfit: list[Problem]) -> Any:
    """The value of an argument as a file would give it."""
    try:
        if isinstance(value, (dict, list, tuple, Mapping)) or (name in _ITERABLES and is_listed(value)):
            return from_python(value, keys, unfit, iterables=name in _ITERABLES)
        return single(value)
    except RecursionError:
        unfit.append(Problem("limit", f"nested deeper than {MAX_DEPTH} levels", keys))
        return None


# --- a batch and its jobs ---------------------------------------------------------------------------


def _function_or_name(_: Sink, value: Any, __: Keys) -> Any:
    if not callable(value) and (not isinstance(value, str) or not value.strip()):
        raise Mismatch(f"must be a function or the name of an action, not {describe(value)}")
    return value


class CallReader(JobReader):
    """Reads the calls that make one batch; `settings` is that batch without its jobs.

    Raises:
        ConfigError: what is given for the batch itself is wrong.
    """

    _spec_names: ClassVar[Mapping[str, str]] = {**SPEC_NAMES, **dict.fromkeys(_RETRY, "retry")}
    _table: ClassVar[Mapping[str, Field]] = {
        **{name: field for name, field in table.JOB.items() if name not in ("retry", "if")},
        **{argument: table.RETRY[name] for argument, name in _RETRY.items()},
        "action": Field(_function_or_name, {}, "A function, or the name of a registered action."),
        "if_": table.JOB["if"],
        "cache": Field(table.flag, {}, "Whether the job need not run while its result is up to date."),
        "finally_": Field(table.flag, {}, "Whether the job runs when all others have ended, whatever ended the run."),
    }

    def __init__(
        self,
        given: Mapping[str, Any],
        lookup: Callable[[str], Signature | None],
        names: Callable[[], Iterable[str]],
    ) -> None:
        first = Sink()
        data = {name: _as_data(name, value, (name,), first.problems) for name, value in given.items()}
        folder = first.read(_folder, data.pop("folder", "."), ("folder",))
        options = LoadOptions({}, lookup, names, unknown="warning", typed=True)
        reader = BatchReader(ParsedText({**data, "jobs": []}), str(folder), options)
        settings = reader.read("", "", "")
        if settings is None or first.problems:
            raise _refusal([*first.problems, *reader.problems])
        document = ParsedText(None, clean=True)
        super().__init__(
            document, options, reader.scope, secrets=reader.secrets, limits=settings.limits, zone=settings.timezone
        )
        self.settings = settings
        self._unfit: list[Problem] = []  # what no file could hold, in the call at hand
        self._functions: dict[int, str] = {}  # names of jobs by the `id` of their function, which the job keeps alive
        self.doubts: dict[int, list[str]] = {}
        """By number, what is odd about jobs and no error."""
        self._unchecked: dict[int, dict[str, Any]] = {}  # by number, jobs whose actions are not known yet

    def job(self, index: int, name: Any, what: Any, given: Mapping[str, Any]) -> JobSpec:
        """The job of that number, from the arguments of `Batch.add`.

        Raises:
            ConfigError: everything that is wrong with it.
        """
        # Three ways from cheap to thorough; what the first two do not know for right is read with care, never refused by them.
        spec, job = self._plain_function(index, name, what, given), {}
        if spec is None:
            job = self._as_job(("jobs", index), name, what, given)
            if self._unfit:  # the other arguments are read all the same
                job = table.without_odd(job, (problem.keys[2:] for problem in self._unfit))
            spec = (None if self.problems or self._unfit else self._quick(index, job)) or self._careful(index, job)
        if self.problems or self._unfit:
            problems, self.problems, self._unfit = [*self._unfit, *self.problems], [], []
            if spec is None or any(problem.severity == "error" for problem in problems):
                raise self._refused(index, name, problems)
            # Whether an action is known is asked again when the batch is run.
            told, about = (
                [odd.message for odd in problems if odd.code != "unknown_action"],
                f"job `{shorten(spec.name)}`",
            )
            self.doubts[index] = [message if about in message else f"{about}: {message}" for message in told]
        assert spec is not None, "BUG: no problem and no job"
        if spec.cache and spec.input is None and (file := self._file_in_params(spec)):
            message = f"job `{shorten(spec.name)}`: `cache` sees no change of `{shorten(file)}`: files are compared when they are `input`"
            self.doubts.setdefault(index, []).append(message)
        if spec.function is not None:
            self._functions[id(what)] = spec.name if spec.fan_out is None else pattern_of(spec.name)
        elif spec.action is not None and self._signature(spec.action) is None:
            self._unchecked[index] = job
        return spec

    def _file_in_params(self, spec: JobSpec) -> str:
        """A file that `params` or the first item name, and which is no output; empty if there is none."""
        items = () if spec.fan_out is None else (values[0] for values in spec.fan_out.columns.values() if values)
        texts = (
            value for value in (*spec.params.values(), *items) if isinstance(value, str) and value not in spec.outputs
        )
        # Not by pathlib, which raises for a text that is too long for a name.
        return next((text for text in texts if os.path.isfile(os.path.join(self.settings.folder, text))), "")  # noqa: PTH113, PTH118

    def number_of(self, name: Any) -> int | None:
        """The number of the job, or the declaration, of exactly that name; None when there is none."""
        folded = name.lower() if isinstance(name, str) else ""
        return self._first.get(folded) if self._spelled.get(folded, folded) == name else None

    def job_instead(self, index: int, old: JobSpec, name: Any, what: Any, given: Mapping[str, Any]) -> JobSpec:
        """The job that takes the place of another one of the same name; what is wrong with it leaves that one as it is.

        Raises:
            ConfigError: as for `job`.
        """
        unchecked, known = self._unchecked.pop(index, None), self._functions.pop(id(old.function), None)
        doubts = self.doubts.pop(index, [])
        if old.fan_out is None:
            self._forget_name(old.name)
        try:
            return self.job(index, name, what, given)
        except ConfigError:
            if old.fan_out is None:
                self._note_name(old.name, index)
            self.doubts[index] = doubts
            if known is not None:
                self._functions[id(old.function)] = known
            if unchecked is not None:
                self._unchecked[index] = unchecked
            raise

    def check_again(self, jobs: list[JobSpec]) -> list[ConfigError]:
        """Read those jobs again whose actions became known after them, in place; for each of them that is wrong an error."""
        found = []
        for index, job in list(self._unchecked.items()):
            if self._signature(job["action"]) is not None:
                spec = self._careful(index, job)
                problems, self.problems = self.problems, []
                if spec is None:
                    found.append(_refusal(problems, f"job `{job['name']}`"))
                    continue
                jobs[index] = spec
                del self._unchecked[index]
        problems, self.problems = self.problems, []
        self.refuse_made_items(jobs)
        if self.problems:
            found.append(_refusal(self.problems))
        self.problems = problems
        return found

    def _plain_function(self, index: int, name: Any, what: Any, given: Mapping[str, Any]) -> JobSpec | None:
        """The job, when it is of the kind that most are: a function, with nothing but needs and parameters, and none of them odd."""
        if not callable(what) or type(name) is not str or not is_job_name(name):
            return None
        needs, params = given.get("needs", ()), given.get("params", _NO_PARAMS)
        if given and not (
            len(given) == ("needs" in given) + ("params" in given)
            and type(needs) in (list, tuple)
            and all(map(self._is_plain_text, needs))
            and (params is _NO_PARAMS or self._is_plain_mapping(params))
        ):
            return None
        self._note_name(name, index)
        return JobSpec(name=name, function=what, needs=tuple(needs), params=dict(params))

    def _as_job(self, keys: Keys, name: Any, what: Any, given: Mapping[str, Any]) -> dict[str, Any]:
        """The job as a file would give it, but that its action may be a function. What cannot be so is noted as odd."""
        job = {"name": name, **given} if what is None else {"name": name, "action": what, **given}
        for field, value in job.items():
            if type(value) in PLAIN:
                continue
            known = self._needs([value] if callable(value) else value, keys) if field == "needs" else value
            job[field] = known if callable(known) else _as_data(field, known, (*keys, field), self._unfit)
        return job

    def _needs(self, value: Any, keys: Keys) -> Any:
        """Names for functions that were made jobs before."""
        if not is_listed(value):
            return value
        names = []
        for number, need in enumerate(value):
            if callable(need) and id(need) not in self._functions:
                shown = getattr(need, "__name__", type(need).__name__)
                message = f"`needs[{number}]` is the function `{shown}`, which is not a job of this batch"
                self.add("unknown_need", message, (*keys, "needs", number))
            else:
                names.append(self._functions[id(need)] if callable(need) else need)
        return names

    def _refused(self, index: int, name: Any, problems: list[Problem]) -> ConfigError:
        folded = name.lower() if isinstance(name, str) else ""
        if self._first.get(folded) == index:  # noted for this job, which there will not be
            self._forget_name(name)
        return _refusal(problems, f"job `{shorten(name)}`" if isinstance(name, str) else "")

    def _forget_name(self, name: str) -> None:
        self._first.pop(name.lower(), None)
        self._spelled.pop(name.lower(), None)

    def _inspect(self, job: dict[str, Any], keys: Keys) -> None:
        super()._inspect({name: value for name, value in job.items() if name not in WAYS}, keys)

    def _has_errors(self, before: int) -> bool:
        return bool(self._unfit) or super()._has_errors(before)

    def _right_before(self, action: Any, source: Any, params: Any) -> bool:
        if not callable(action):
            return super()._right_before(action, source, params)
        return self._is_plain_mapping(params)

    def _is_plain_mapping(self, value: Any) -> bool:
        keys_are_texts = type(value) is dict and _TEXTS.issuperset(map(type, value))
        return keys_are_texts and self._are_plain(value) and self._are_plain(value.values())

    def _signature(self, action: str) -> Signature | None:
        found = super()._signature(action)
        if found is None:
            del self._signatures[action]  # it may be registered later
        return found

    def _miss_work(self, keys: Keys, owner: str) -> None:
        hint = "a job has a function or an action, or a command to `run`"
        self.add("missing", f"{owner} is missing `what`", keys, hint=hint)

    def _against_signature(
        self, fields: dict[str, Any], job: dict[str, Any], params: dict[str, Any], keys: Keys, owner: str
    ) -> dict[str, Any]:
        return params if callable(fields["action"]) else super()._against_signature(fields, job, params, keys, owner)

    def _spec(self, fields: dict[str, Any], deferred: bool, place: FilePosition | None) -> JobSpec:
        retry = {name: fields.pop(argument) for argument, name in _RETRY.items() if argument in fields}
        if retry:
            fields["retry"] = {table.RETRY_NAMES.get(name, name): value for name, value in retry.items()}
        if callable(fields.get("action")):
            fields["function"] = fields.pop("action")
        return super()._spec(fields, deferred, place)


# --- arguments of functions -------------------------------------------------------------------------


def read_arguments(arguments: Mapping[str, Reader], /, **given: Any) -> dict[str, Any]:
    """The arguments of a public function; one that is not known here is left as it is.

    Raises:
        ConfigError: everything that is wrong with them.
        UsageError: one that selects jobs is empty.
    """
    sink = Sink()
    sink.typed = True
    found = {}
    for name, value in given.items():
        before, known = len(sink.problems), list(value) if is_listed(value) else single(value)
        if name not in _INSPECTED_BY_OTHERS:
            inspect(known, (name,), sink.problems)
        if len(sink.problems) == before:
            found[name] = sink.read(arguments[name], known, (name,)) if name in arguments else value
    if sink.problems:
        raise _refusal(sink.problems)
    return found


def _optional(reader: Reader) -> Reader:
    return lambda sink, value, keys: None if value is None else reader(sink, value, keys)


def _each(reader: Reader) -> Reader:
    return table.each(lambda sink, value, keys: reader(sink, single(value), keys), one_is_a_list=True)


def _path(_: Sink, value: Any, __: Keys) -> str:
    if not isinstance(value, str):
        raise Mismatch(f"must be a path, not {describe(value)}")
    try:
        os.fsencode(value)
    except UnicodeEncodeError:
        raise Mismatch("must be a path, and holds half of a surrogate pair", code="character") from None
    if "\0" in value:
        raise Mismatch("must be a path, and holds a NUL", code="character")
    return value


def _paths(sink: Sink, value: Any, keys: Keys) -> str | tuple[str, ...]:
    if isinstance(value, str):
        return _path(sink, value, keys)
    if not isinstance(value, list):
        what = "a batch, a path" if keys == ("batch",) else "a path"
        raise Mismatch(f"must be {what}, or a list of paths, not {describe(value)}")
    paths: tuple[str, ...] = _each(_path)(sink, value, keys)
    return paths


def _folder(sink: Sink, value: Any, keys: Keys) -> Path:
    """The absolute path of a batch's folder. It is recorded, which takes UTF-8."""
    folder = Path(_path(sink, value, keys)).absolute()
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        hint = "paths are kept as UTF-8: give the folder another name"
        raise Mismatch(f"is not UTF-8 text: `{shorten(str(folder))}`", hint=hint, code="file") from None
    return folder


def _state(_: Sink, value: Any, __: Keys) -> Any:
    """Which paths can be a state folder is for whoever opens it to say."""
    if value is None or value is False or isinstance(value, str):
        return value
    raise Mismatch(f"must be a path, or `false` to keep nothing on disk, not {describe(value)}")


def _selected(sink: Sink, value: Any, keys: Keys) -> tuple[str, ...]:
    if value is None:
        return ()
    found = selectors(value) if isinstance(value, str) else _each(table.text)(sink, value, keys)
    if not found:
        raise UsageError(f"`{keys[0]}` holds no selector", hint="leave it out, or give None, to mean all jobs")
    return found


def _observer(_: Sink, value: Any, __: Keys) -> Any:
    for name in ("started", "recorded", "idle", "warned", "ended"):
        if not callable(getattr(value, name, None)):
            raise Mismatch(f"must be an observer, and has no method `{name}`")
    return value


def _values(sink: Sink, value: Any, keys: Keys) -> dict[str, Any]:
    return table.mapping(_as_data("vars", value, keys, sink.problems))


def _row(sink: Sink, value: Any, keys: Keys) -> dict[str, str]:
    return {name: sink.read(table.text, item, (*keys, name)) for name, item in _values(sink, value, keys).items()}


def _function(_: Sink, value: Any, __: Keys) -> Any:
    if not callable(value):
        raise Mismatch(f"must be a function, not {describe(value)}")
    return value


_INSPECTED_BY_OTHERS: Final = frozenset(
    {"state", "report", "cluster", "batch", "path", "vars", "template", "items", "folder"}
)
_OF_THE_BATCH: Final = {
    name: _optional(table.BATCH[name].read) for name in ("fail_fast", "max_failures", "timeout", "max_memory")
}
RUN: Final[dict[str, Reader]] = {
    **_OF_THE_BATCH, "workers": _optional(table.BATCH["max_workers"].read), "timeout_s": table.limit_duration,
    "batch": _paths, "path": _paths, "vars": _values, "observers": _each(_observer), "resume": _optional(table.text), "retry": _optional(table.text),
    "report": _optional(_each(_path)), "on": table.text, "cluster": _optional(_path), "state": _state, "run_id": _optional(table.text),
    "strict": table.flag, "skip_unknown_actions": table.flag, "stop_grace_s": table.duration, "disk_wait_s": table.duration, "allow_network_fs": table.flag,
    "max_log": table.whole_size, "capture": table.flag, "force": _each(table.filled_text), "fuse": table.flag,
    "written": _each(_path), "wait": table.flag, "only": _selected, "upto": _selected, "from_": _selected, "exclude": _selected,
}  # fmt: skip
"""What `run` and `load` take, those of `Options` included."""
GENERATE: Final[dict[str, Reader]] = {
    "template": _path, "items": _each(_row), "folder": _path, "name": table.text, "force": table.flag, "prune": table.flag,
    "write": table.flag, "check": _optional(_function),
}  # fmt: skip
"""What `generate_files` takes."""
