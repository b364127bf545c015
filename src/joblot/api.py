"""joblot from Python: make a batch or load one, run it, read its report.

```python
from joblot import Batch

batch = Batch("nightly")

@batch.job(max_attempts=3, timeout="10m")
def fetch(): ...

@batch.job(needs=[fetch])
def report(): ...

result = batch.run()
```

How a run is put together and driven is `launch`'s affair.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, overload

import msgspec

from joblot.core.fan_out import pattern_of
from joblot.core.model import RETRIABLE, VARYING, Config, FanOut, JobSpec, Retry
from joblot.core.plan import Plan, expand
from joblot.core.selection import selectors
from joblot.errors import ConfigError, UsageError, did_you_mean
from joblot.runner.launch import resume_run, start_run
from joblot.runner.options import Options
from joblot.units import parse_duration, parse_size

if TYPE_CHECKING:
    from joblot.errors import Diagnostic
    from joblot.generate import Write
    from joblot.reports.report import Report
    from joblot.runner.engine import Observer

F = TypeVar("F", bound=Callable[..., Any])
_REFERENCE: Final = re.compile(r"\$\{\{.*?\}\}")
_RESULT: Final = re.compile(r"\$\{\{\s*jobs\.[A-Za-z0-9._\[\]-]+\s*\}\}")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Batch:
    """A batch made in Python. Jobs may be any callables; relative paths are relative to `folder` (default: the working folder)."""

    def __init__(
        self,
        name: str = "batch",
        *,
        folder: str | Path | None = None,
        env: Mapping[str, str] | None = None,
        limits: Mapping[str, int] | None = None,
        secrets: Iterable[str] = (),
        fail_fast: bool = False,
        max_failures: int | None = None,
        timeout: str | float | None = None,
        max_workers: int | None = None,
        durability: Literal["normal", "full"] = "normal",
    ) -> None:
        self.name = name
        self.folder = Path(folder or ".").absolute()
        self._settings: dict[str, Any] = {
            "env": dict(env or {}),
            "limits": dict(limits or {}),
            "secrets": tuple(secrets),
            "fail_fast": fail_fast,
            "max_failures": _at_least(1, max_failures, "max_failures"),
            "timeout_s": _seconds(timeout, "timeout"),
            "max_workers": _at_least(1, max_workers, "max_workers"),
            "durability": durability,
        }
        _check_batch(self._settings, name, str(self.folder))
        self._jobs: list[JobSpec] = []
        self._names: dict[int, str] = {}
        """Names of jobs by the `id` of their function, which the job keeps alive."""

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def jobs(self) -> Sequence[JobSpec]:
        """The jobs so far, in the order in which they were added."""
        return tuple(self._jobs)

    @overload
    def job(self, name: F, /) -> F: ...

    @overload
    def job(self, name: str | None = None, /, **options: Any) -> Callable[[F], F]: ...

    def job(self, name: str | Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """Make a function a job: `@batch.job`, `@batch.job("name")`, `@batch.job(needs=[...], max_attempts=3)`.

        The options are those of `add`. The function stays what it was.
        """
        if callable(name):
            self.add(name.__name__, name)
            return name

        def register(function: F) -> F:
            self.add(name or function.__name__, function, **options)
            return function

        return register

    def command(self, name: str, run: str | Sequence[str], **options: Any) -> None:
        """Add a shell command (a text), or a program with its arguments (a list; no shell). The options are those of `add`."""
        self.add(name, None, run=run if isinstance(run, str) else list(run), **options)

    def add(
        self,
        name: str,
        what: Callable[..., Any] | str | None,
        *,
        input: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
        params: Mapping[str, Any] | None = None,
        needs: Iterable[str | Callable[..., Any]] = (),
        when: Literal["success", "failure", "always"] = "success",
        max_attempts: int = 1,
        delay: str | float = 0,
        backoff: float = 1.0,
        max_delay: str | float = 3600.0,
        jitter: float = 0.0,
        retry_only: Iterable[str] = (),
        timeout: str | float | None = None,
        grace: str | float = 5.0,
        resources: Mapping[str, Any] | None = None,
        outputs: Iterable[str] = (),
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        once: bool = False,
        tags: Iterable[str] = (),
        priority: int = 0,
        description: str = "",
        run: str | list[str] | None = None,
        matrix: Mapping[str, Any] | None = None,
        zip: Mapping[str, Iterable[Any]] | None = None,
        foreach: Iterable[Any] | str | Mapping[str, Any] | None = None,
        max_parallel: int | None = None,
    ) -> None:
        """Add a job that calls a function or a registered action; with `matrix`, `zip` or `foreach` one for each item.

        `input` is a path, or a list of them for an action that takes several. `needs` are names, patterns, or functions that were made jobs before. Durations are seconds or texts such as `5m`. Items are any
        iterables, or the sources that a batch file can name; texts refer to them by `${{ matrix.NAME }}`, `${{ item }}` or
        `${{ item.NAME }}`, and a value that is such a reference as a whole keeps its type.

        Raises:
            ValueError: a name, number or word that cannot be right; nothing is added.
        """
        fan_out = None
        if matrix is not None or zip is not None or foreach is not None or max_parallel is not None:
            fan_out = _fan_out(matrix, zip, foreach, max_parallel, str(self.folder), self._settings["secrets"])
        if not _NAME.fullmatch(name if fan_out is None else _REFERENCE.sub("x", name)):
            raise ConfigError(
                f"bad job name `{name}`", hint="letters, digits, `.`, `_` and `-`, at most 100, a letter or digit first"
            )
        params, outputs, tags = dict(params or {}), tuple(outputs), tuple(tags)
        has_texts = bool(params or run is not None or env or input is not None)
        if has_texts or cwd or outputs or tags or description:
            _check_texts(name, params, input, run, env, (cwd, outputs, tags, description))
        spec = JobSpec(
            name=name,
            action=what if isinstance(what, str) else None,
            function=what if callable(what) else None,
            run=run,
            input=_paths(input),
            params=params,
            needs=tuple([self._need(name, need) for need in needs]) if needs else (),
            when=when,
            retry=_retry(max_attempts, delay, backoff, max_delay, jitter, retry_only),
            timeout_s=None if timeout is None else _seconds(timeout, "timeout"),
            grace_s=_seconds(grace, "grace", least=0.0) or 0.0,
            resources=_resources(resources, self._settings["limits"]),
            outputs=outputs,
            env=dict(env) if env else {},
            cwd=cwd,
            once=once,
            tags=tags,
            priority=priority,
            description=description,
            deferred=has_texts and "${{" in repr((params, str(input or ""), run, env)),
            fan_out=fan_out,
        )
        if fan_out is not None:
            spec = _of_items(spec, fan_out, "matrix" if foreach is None else "item")
        self._jobs.append(spec)
        if callable(what):
            self._names[id(what)] = name if fan_out is None else pattern_of(name)

    def _need(self, name: str, need: str | Callable[..., Any]) -> str:
        if isinstance(need, str):
            return need
        if id(need) not in self._names:
            raise ConfigError(
                f"job `{name}` needs `{getattr(need, '__name__', need)}`, which is not a job of this batch"
            )
        return self._names[id(need)]

    def config(self) -> Config:
        """The batch as the plan takes it."""
        return Config(name=self.name, folder=str(self.folder), jobs=list(self._jobs), **self._settings)

    def plan(self) -> Plan:
        """The expanded plan.

        Raises:
            ConfigError: (a ValueError) unknown needs or duplicate names.
            CyclicDependencyError: jobs that need each other.
        """
        return expand(self.config())

    def run(
        self,
        *,
        on: str = "local",
        workers: int | None = None,
        observers: Sequence[Observer] = (),
        resume: str | None = None,
        **options: Any,
    ) -> Report:
        """Run the batch to its end and return its report. Options as in `run`; `resume` goes on with an earlier run of this batch."""
        return run(self, on=on, workers=workers, observers=observers, resume=resume, **options)


# --- running ----------------------------------------------------------------------------------------


def load(
    path: str | Path | Sequence[str | Path], *, vars: Mapping[str, str] | None = None, strict: bool = False
) -> Config:
    """Read and check a batch file, or several of one folder as one batch, the needs of the jobs as well.

    Raises:
        ConfigError: everything that is wrong with it.
        UsageError: files that cannot be taken together.
    """
    config = load_with_warnings(path, vars=vars, strict=strict)[0]
    expand(config)
    return config


def load_with_warnings(
    path: str | Path | Sequence[str | Path],
    *,
    vars: Mapping[str, str] | None = None,
    strict: bool = False,
) -> tuple[Config, list[Diagnostic]]:
    """Read batch files and check them job by job; also what is doubtful in them. Whether the jobs hang together is the plan's affair."""
    from joblot.actions.registry import ACTIONS, import_modules
    from joblot.config.load import load as load_file

    found: dict[str, Any] = {"lookup": ACTIONS.signature, "names": ACTIONS.names, "importer": import_modules}
    if isinstance(path, (str, Path)):
        return load_file(path, vars=vars or {}, strict=strict, **found)
    if len(path) == 1:
        return load_file(path[0], vars=vars or {}, strict=strict, **found)
    if not path:
        raise UsageError("no batch file was named")
    from joblot.config.several import load_several

    return load_several(path, vars=vars or {}, strict=strict, **found)


def run(
    batch: Batch | Config | str | Path | Sequence[str | Path],
    *,
    vars: Mapping[str, str] | None = None,
    observers: Sequence[Observer] = (),
    resume: str | None = None,
    report: str | Path | None = None,
    **options: Any,
) -> Report:
    """Run a batch, a loaded configuration, a batch file or several of one folder together to their end.

    `resume` is an earlier run of the same batch to go on with; `report` is a file to write; the rest is `Options`, with
    `timeout` also as a text such as `1h`, and `only`, `upto`, `from_` and `exclude` also as texts with commas.

    Raises:
        ConfigError: the batch is wrong; nothing ran.
        StateError: the state folder or its journal cannot be used.
        RunHeldError: another process drives the run.
    """
    if "timeout" in options:
        options["timeout_s"] = _seconds(options.pop("timeout"), "timeout")
    for word in ("only", "upto", "from_", "exclude"):
        if word in options:
            options[word] = _selectors(word, options[word])
    chosen = Options(**options)
    config = batch.config() if isinstance(batch, Batch) else batch
    if not isinstance(config, Config):
        config = load_with_warnings(config, vars=vars, strict=chosen.strict)[0]
    plan = expand(config)
    if resume is not None:
        made = resume_run(resume, chosen, observers=observers, plan=plan)
    else:
        made = start_run(plan, chosen, observers=observers)
    if report is not None:
        made.write(report)
    return made


# --- files from templates ---------------------------------------------------------------------------


def generate_files(
    template: str | Path,
    items: Iterable[Mapping[str, str]],
    *,
    folder: str | Path,
    name: str,
    force: bool = False,
    prune: bool = False,
    check: Callable[[str, str], list[Diagnostic]] | None = None,
    write: bool = True,
) -> list[Write]:
    """Write one file for each item from a template, in which `{name}` stands for a value of the item: what `joblot generate` does.

    `name` is the template of the files' names. `check` is given the text and path of each finished file and says what is wrong with it;
    without it a file that is a batch must be one that joblot takes. With `write=False` nothing is written. Each `Write` has a `path` and a
    `state`: `generated`, `unchanged`, `edited` or `not_ours` (left as it is, but with `force`), `pruned`, or `failed` (with a `reason`).

    Raises:
        ConfigError: everything that is wrong with the template, the names and the finished files; nothing is written.
        UsageError: the template or the folder cannot be read.
    """
    from joblot.generate import apply_writes, check_batch, plan_writes, read_template

    found = check_batch if check is None else (lambda text, file, _kind: check(text, file))
    writes, _ = plan_writes(
        read_template(template), items, folder=folder, name=name, force=force, prune=prune, check=found
    )
    return list(apply_writes(writes)) if write else writes


# --- fan-out ----------------------------------------------------------------------------------------


def _fan_out(
    matrix: Mapping[str, Any] | None,
    zip: Mapping[str, Iterable[Any]] | None,
    foreach: Iterable[Any] | str | Mapping[str, Any] | None,
    max_parallel: int | None,
    folder: str,
    secrets: Iterable[str],
) -> FanOut:
    """How a job stands for many, from the arguments of `Batch.add`, of which at least one is given.

    Raises:
        ConfigError: they cannot be read, or are too many.
    """
    given = {way: value for way, value in (("matrix", matrix), ("zip", zip), ("foreach", foreach)) if value is not None}
    _at_least(1, max_parallel, "max_parallel")
    if len(given) != 1:
        ways = " and ".join(f"`{way}`" for way in given) or "`max_parallel` alone"
        raise ConfigError(f"{ways} cannot be given", hint="one of `matrix`, `zip` and `foreach` makes the items")
    from joblot.config.fanout import read_fan_out
    from joblot.config.fields import Sink

    ((way, value),) = given.items()
    if way == "foreach" and isinstance(value, str) and _RESULT.fullmatch(value.strip()):
        return FanOut("result", source=value.strip(), max_parallel=max_parallel)
    sink = Sink()
    fan_out = read_fan_out(sink, way, _plain_lists(value), (way,), folder, secrets=secrets, typed=True)
    wrong = next((problem for problem in sink.problems if problem.severity == "error"), None)
    if wrong is not None or fan_out is None:
        raise ConfigError(wrong.message if wrong else "", hint=wrong.hint if wrong else "")
    return msgspec.structs.replace(fan_out, max_parallel=max_parallel)


def _plain_lists(value: Any) -> Any:
    """Lists for all iterables, mappings and texts aside."""
    if isinstance(value, Mapping):
        return {str(name): _plain_lists(item) for name, item in value.items()}
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return (
        [_plain_lists(item) for item in value] if isinstance(value, Iterable) and not isinstance(value, str) else value
    )


def _of_items(spec: JobSpec, fan_out: FanOut, root: str) -> JobSpec:
    """The declaration, if all its references mean something. Those to the item begin with `root`.

    Raises:
        ConfigError: one does not, or an item does not fit where it is put.
    """
    from joblot.actions.registry import ACTIONS
    from joblot.config.fanout import check_items, find_column
    from joblot.config.fields import Sink
    from joblot.core.references import OF_ITEM, TemplateError, references

    fields = {name: getattr(spec, name) for name in VARYING}
    fields = {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items() if value}
    deferred = False
    for name, value in fields.items():
        try:
            for reference in references(value):
                if reference.root in OF_ITEM and reference.root != root:
                    raise TemplateError(f"`{reference.text}` stands for nothing here", hint=f"write `{root}`")
                if reference.root == root:
                    find_column(reference, fan_out)
                else:
                    deferred = deferred or name in ("run", "input", "params", "env")
        except TemplateError as error:
            raise ConfigError(f"job `{spec.name}`: {error.message}", hint=error.hint) from None
    sink = Sink()
    signature = ACTIONS.signature(spec.action) if spec.action is not None else None
    if fan_out.kind == "result":
        return msgspec.structs.replace(spec, deferred=True)
    check_items(sink, fan_out, {"params": {}, **fields}, signature, ("jobs",))
    if sink.problems:
        raise ConfigError(f"job `{spec.name}`: {sink.problems[0].message}", hint=sink.problems[0].hint)
    return msgspec.structs.replace(spec, deferred=deferred)


def _selectors(word: str, given: str | Iterable[str] | None) -> tuple[str, ...]:
    if given is None:
        return ()
    found = selectors(given)
    if not found:
        raise UsageError(f"`{word}` holds no selector", hint="leave it out, or give None, to mean all jobs")
    return found


# --- checking numbers -------------------------------------------------------------------------------


def _at_least(least: int, value: int | None, name: str) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
        raise ConfigError(f"`{name}` must be at least {least}, got {value}")
    return value


def _seconds(value: str | float | None, name: str, *, least: float | None = None) -> float | None:
    if value is None:
        return None
    try:
        seconds = parse_duration(value)
    except ValueError as error:
        raise ConfigError(f"`{name}`: {error}") from None
    if seconds == 0 and least is None:
        raise ConfigError(f"`{name}` must be more than 0")
    return seconds


def _paths(given: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None) -> str | list[str] | None:
    if isinstance(given, (list, tuple)):
        return [os.fspath(one) for one in given]
    return None if given is None else os.fspath(given)  # type: ignore[arg-type]


def _check_texts(
    name: str,
    params: Mapping[str, Any],
    given: object,
    run: str | list[str] | None,
    env: Mapping[str, str] | None,
    others: tuple[Any, ...],
) -> None:
    """What can neither be stored nor given to a process is refused here, where the mistake was made."""
    words = [run] if isinstance(run, str) else run
    if words is not None and (not words or not words[0] or not all(isinstance(word, str) for word in words)):
        raise ConfigError(f"job `{name}`: `run` is a text, or a list of texts that begins with a program, not {run!r}")
    _check_environment(f"job `{name}`", env or {})
    _refuse_nul(f"job `{name}`", *(words or ()), str(others[0] or ""))
    try:
        msgspec.json.encode([params, str(given or ""), run, env, others])
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ConfigError(f"job `{name}`: its texts and parameters must be plain data in UTF-8: {error}") from None


def _check_environment(owner: str, env: Mapping[str, str]) -> None:
    for key, value in env.items():
        if not isinstance(key, str) or not key or "=" in key or not isinstance(value, str):
            raise ConfigError(f"{owner}: `env` has names without `=` and texts as values, not {key!r}: {value!r}")
    _refuse_nul(owner, *env.keys(), *env.values())


def _check_batch(settings: Mapping[str, Any], name: str, folder: str) -> None:
    _check_environment("batch", settings["env"])
    _refuse_nul("batch", folder)
    try:
        msgspec.json.encode([name, folder, settings["env"], settings["limits"], settings["secrets"]])
    except (TypeError, ValueError) as error:
        raise ConfigError(f"batch: its name, folder and texts must be UTF-8: {error}") from None


def _refuse_nul(owner: str, *texts: str) -> None:
    if any("\0" in text for text in texts):
        raise ConfigError(f"{owner}: a NUL character cannot be given to a process")


_RETRIES: Final[dict[int, Retry]] = {}


def _retry(
    max_attempts: int, delay: str | float, backoff: float, max_delay: str | float, jitter: float, only: Iterable[str]
) -> Retry:
    _at_least(1, max_attempts, "max_attempts")
    if delay == 0 and backoff == 1.0 and jitter == 0.0 and not only:
        return _RETRIES.get(max_attempts) or _RETRIES.setdefault(max_attempts, Retry(max_attempts))
    if not 1 <= backoff <= 1000:
        raise ConfigError(f"`backoff` must be between 1 and 1000, got {backoff}")
    if not 0 <= jitter <= 1:
        raise ConfigError(f"`jitter` must be between 0 and 1, got {jitter}")
    kinds = tuple(only)
    for kind in kinds:
        if kind not in RETRIABLE:
            raise ConfigError(f"`retry_only`: unknown outcome `{kind}`", hint=f"one of: {', '.join(RETRIABLE)}")
    wait, cap = _seconds(delay, "delay", least=0.0) or 0.0, _seconds(max_delay, "max_delay", least=0.0) or 0.0
    return Retry(max_attempts, wait, backoff, cap, jitter, kinds)


_NO_RESOURCES: Final[dict[str, float]] = {}


def _resources(given: Mapping[str, Any] | None, limits: Mapping[str, int]) -> dict[str, float]:
    if not given:
        return _NO_RESOURCES
    resources: dict[str, float] = {}
    for name, amount in given.items():
        if name == "memory":
            resources[name] = parse_size(amount)
        elif name == "cpu" or name in limits:
            resources[name] = float(amount)
        else:
            raise ConfigError(f"unknown resource `{name}`", hint=did_you_mean(name, ["cpu", "memory", *limits]))
        if resources[name] <= 0 or (name in limits and resources[name] > limits[name]):
            raise ConfigError(f"resource `{name}` must be more than 0 and at most its limit, got {amount}")
    return resources
