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

What is given is checked by `config.calls`; how a run is put together and driven is `launch`'s affair.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, cast, overload

from msgspec.structs import replace

from joblot.actions.registry import ACTIONS
from joblot.actions.signature import misfits
from joblot.clock import day_of
from joblot.config.calls import GENERATE, RUN, CallReader, read_arguments
from joblot.config.tree import describe
from joblot.core.model import Config, JobSpec
from joblot.core.plan import Plan, expand, problems_of
from joblot.errors import ConfigError, Diagnostic, UsageError
from joblot.garbage import collection_paused
from joblot.runner.launch import begun_of, resume_run, retry_run, start_run, unknown_actions
from joblot.runner.options import Options

if TYPE_CHECKING:
    import os

    from joblot.generate import Write
    from joblot.reports.forms import ReportFile
    from joblot.reports.progress import Progress
    from joblot.reports.report import Report
    from joblot.runner.engine import Observer

    ProgressChoice = Literal["auto"] | bool | Callable[[Progress], Any]
    _Cell = tuple[str, str]
    """A run of a cell of a notebook, and the cell; that is empty where the notebook does not tell."""

F = TypeVar("F", bound=Callable[..., Any])


class Batch:
    """A batch made in Python. Jobs may be any callables; relative paths are relative to `folder` (default: the working folder)."""

    def __init__(
        self,
        name: str = "batch",
        *,
        folder: str | Path | None = None,
        env: Mapping[str, str] | None = None,
        env_file: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
        limits: Mapping[str, int | Mapping[str, Any]] | None = None,
        secrets: Iterable[str] = (),
        fail_fast: bool = False,
        max_failures: int | str | None = None,
        timeout: str | float | None = None,
        max_workers: int | None = None,
        max_memory: int | str | None = None,
        durability: Literal["normal", "full"] = "normal",
        timezone: str = "",
        seed: int | None = None,
        concurrency: Mapping[str, str] | None = None,
        report: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
    ) -> None:
        values = (
            folder, env, env_file, limits, secrets, fail_fast, max_failures, timeout, max_workers, max_memory, durability,
            timezone, seed, concurrency, report,
        )  # fmt: skip
        given = {"name": name, **_given(_BATCH, values)}
        self._reader = CallReader(given, ACTIONS.signature, ACTIONS.names)
        self._checked = 0
        """Of so many jobs it is known that their functions can be called."""
        self.name = self._reader.settings.name
        self.folder = Path(self._reader.settings.folder)
        self._jobs: list[JobSpec] = []
        self._cells: dict[int, _Cell] = {}
        """By number, in which run of which cell of a notebook a job was made."""
        self._fanned: dict[str, list[int]] = {}
        """By name, what cells have declared for each item: unlike jobs, several declarations may have one name."""

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
            self.add(getattr(name, "__name__", None), name)  # type: ignore[arg-type]  # a callable may have no name: it is refused
            return name

        def register(function: F) -> F:
            self.add(getattr(function, "__name__", None) if name is None else name, function, **options)  # type: ignore[arg-type]
            return function

        return register

    def command(self, name: str, run: str | Sequence[str], **options: Any) -> None:
        """Add a shell command (a text), or a program with its arguments (a list; no shell). The options are those of `add`."""
        self.add(name, None, run=[] if run is None else run, **options)

    def add(
        self,
        name: str,
        what: Callable[..., Any] | str | None,
        *,
        input: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
        params: Mapping[str, Any] | None = None,
        needs: Iterable[str | Callable[..., Any]] = (),
        when: Literal["success", "failure", "always", ""] = "",
        max_attempts: int = 1,
        delay: str | float = 0,
        backoff: float = 1.0,
        max_delay: str | float = 3600.0,
        jitter: float = 0.0,
        retry_only: Iterable[str] = (),
        memory_factor: float = 1.0,
        max_memory: str | int | None = None,
        timeout: str | float | None = None,
        grace: str | float = 5.0,
        resources: Mapping[str, Any] | None = None,
        outputs: Iterable[str] | Mapping[str, str] = (),
        env: Mapping[str, str] | None = None,
        env_file: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
        cwd: str | None = None,
        once: bool = False,
        tags: Iterable[str] = (),
        priority: int = 0,
        description: str = "",
        run: str | Sequence[str] | None = None,
        shell: str | Sequence[str] | None = None,
        matrix: Mapping[str, Any] | None = None,
        zip: Mapping[str, Iterable[Any]] | None = None,
        foreach: Iterable[Any] | str | Mapping[str, Any] | None = None,
        max_parallel: int | None = None,
        finally_: bool = False,
        allow_failure: bool = False,
        if_: bool | str = True,
        cache: bool = False,
    ) -> None:
        """Add a job that calls a function or a registered action; with `matrix`, `zip` or `foreach` one for each item.

        `input` is a path, or a list of them for an action that takes several. `needs` are names, patterns, or functions that were made jobs before. Durations are seconds or texts such as `5m`. Items are any
        iterables, or the sources that a batch file can name; texts refer to them by `${{ matrix.NAME }}`, `${{ item }}` or
        `${{ item.NAME }}`, and a value that is such a reference as a whole keeps its type. With `finally_` the job runs when all others
        have ended, whatever ended the run: its `when` (`always` where none is given; of other jobs `success`) asks how that was.
        A job that declares `outputs`, or with `cache`, is not run while what it comes from is as it was, its function's code included.

        Raises:
            ConfigError: (a ValueError) everything that a batch file could not say either; nothing is added. In a notebook a cell that is run again
                replaces the jobs that it has made. An action that is not registered
                yet is looked at when the batch is planned or run.
        """
        values = (
            input, params, needs, when, max_attempts, delay, backoff, max_delay, jitter, retry_only, memory_factor, max_memory, timeout, grace, resources,
            outputs, env, env_file, cwd, once, tags, priority, description, run, shell, matrix, zip, foreach, max_parallel, finally_, allow_failure, if_, cache,
        )  # fmt: skip
        given = _given(_ADD, values)
        if "IPython" in _MODULES and (here := _cell()) is not None:
            self._add_in_cell(here, name, what, given)
        else:
            self._jobs.append(self._reader.job(len(self._jobs), name, what, given))

    def _add_in_cell(self, here: _Cell, name: Any, what: Any, given: Mapping[str, Any]) -> None:
        index = self._made_before(name, what, here)
        if index is None:
            index = len(self._jobs)
            self._jobs.append(self._reader.job(index, name, what, given))
        else:
            self._jobs[index] = self._reader.job_instead(index, self._jobs[index], name, what, given)
            self._checked = min(self._checked, index)
        self._cells[index] = here
        if self._jobs[index].fan_out is not None and index not in (known := self._fanned.setdefault(name, [])):
            known.append(index)

    def _made_before(self, name: Any, what: Any, here: _Cell) -> int | None:
        """The job of that name that an earlier run of the same cell has made, and which is to be replaced.

        Where a notebook does not tell its cells apart, it is a function's of the same name, or no function's if this is none either.
        """
        index = self._reader.number_of(name)
        declared = self._fanned.get(name, ()) if isinstance(name, str) else ()
        return next((job for job in (*declared, index) if job is not None and self._is_old(job, what, here)), None)

    def _is_old(self, job: int, what: Any, here: _Cell) -> bool:
        """Whether an earlier run of this cell has made the job, as far as the notebook tells."""
        made_in = self._cells.get(job)
        if made_in is None or made_in[0] == here[0]:
            return False
        if made_in[1] and here[1]:
            return made_in[1] == here[1]
        return _place(self._jobs[job].function) == _place(what if callable(what) else None)

    def _doubts(self) -> list[str]:
        """What is odd about jobs and no error, in the order of the jobs."""
        return [doubt for _, doubts in sorted(self._reader.doubts.items()) for doubt in doubts]

    def _misfits(self) -> list[Diagnostic]:
        """Functions that cannot be called with what their jobs give them: other jobs would run before one failed for it."""
        problems = []
        for spec in self._jobs[self._checked :]:
            code = getattr(spec.function, "__code__", None)
            # What is called without anything, and takes nothing, is most of what programs have: no look at its signature.
            bare = code and not (code.co_argcount or code.co_kwonlyargcount or code.co_flags & _UNUSUAL or spec.params)
            if spec.function is not None and not bare:
                for message, hint in misfits(spec.function, spec.params, has_input=spec.input is not None):
                    problems.append(Diagnostic("params", f"job `{spec.name}`: {message}", hint=hint))
        if not problems:
            self._checked = len(self._jobs)
        return problems

    def config(self) -> Config:
        """The batch as the plan takes it.

        Raises:
            ConfigError: a job does not fit its action, which was registered after it was added; or its function cannot be called with
                what it is given. Then also what is wrong with how the jobs hang together.
        """
        return self._config(unknown=())

    def _config(self, unknown: Iterable[Diagnostic]) -> Config:
        errors = self._reader.check_again(self._jobs)
        if others := [*self._misfits(), *unknown]:
            errors.append(ConfigError(others))
        made = self._reader.settings
        if (self.name, self.folder) != (made.name, Path(made.folder)):  # they were set anew
            try:
                other = CallReader(
                    {"name": self.name, "folder": self.folder}, lookup=ACTIONS.signature, names=ACTIONS.names
                )
                made = replace(made, name=other.settings.name, folder=other.settings.folder)
            except ConfigError as error:
                errors.append(error)
        if self._reader.dated:
            made = replace(made, date=day_of(time.time(), made.timezone))
        config = replace(made, jobs=list(self._jobs))
        if errors:
            ties = problems_of(config)
            if len(errors) == 1 and not ties:
                raise errors[0]
            raise ConfigError([*(one for error in errors for one in error.diagnostics), *ties])
        return config

    def plan(self) -> Plan:
        """The expanded plan.

        Raises:
            ConfigError: (a ValueError) unknown needs, or as `config`.
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
        retry: str | None = None,
        progress: ProgressChoice = "auto",
        **options: Any,
    ) -> Report:
        """Run the batch to its end and return its report. Options as in `run`; `resume` and `retry` name an earlier run of this batch."""
        given: dict[str, Any] = {"on": on, "workers": workers, "resume": resume, "retry": retry, **options}
        return run(self, observers=observers, progress=progress, **given)


def _cell() -> _Cell | None:
    """The run of a cell that this is, if it is one."""
    shell_of = getattr(sys.modules["IPython"], "get_ipython", None)  # it may be half imported, or another one's
    shell = shell_of() if shell_of is not None else None
    if shell is None:
        return None
    try:
        parent = shell.kernel.get_parent("shell")
        return parent["header"]["msg_id"], parent["metadata"].get("cellId", "")
    except (AttributeError, KeyError):  # a terminal, or a kernel of another make
        return str(shell.execution_count), ""


def _place(function: Any) -> tuple[str, str] | None:
    """Where a function is defined, in words; None for what is none."""
    return None if function is None else (getattr(function, "__module__", ""), getattr(function, "__qualname__", ""))


_MODULES: Final = sys.modules
_UNUSUAL: Final = 0x04 | 0x08 | 0x20 | 0x80 | 0x200
"""Flags of code, as the module `inspect` has them: `*args`, `**kwargs`, a generator, a coroutine, both."""
_BATCH: Final = tuple((Batch.__init__.__kwdefaults__ or {}).items())
_ADD: Final = tuple((Batch.add.__kwdefaults__ or {}).items())
"""The names of arguments, and what they are when they are left out."""


def _given(left_out: Iterable[tuple[str, Any]], values: Iterable[Any]) -> dict[str, Any]:
    """Of the values of arguments those that were given, by name: what is left out need not be read."""
    return {name: value for (name, default), value in zip(left_out, values, strict=True) if value is not default}


# --- running ----------------------------------------------------------------------------------------


def _display(progress: ProgressChoice, config: Config, options: Options) -> Any:
    """The observer that shows a run to whoever began it, with a method `close`; None for nothing."""
    if progress is False:
        return None
    if progress is not True and progress != "auto":
        if not callable(progress):
            raise UsageError(f'`progress` must be "auto", true, false or a function, not {describe(progress)}')
        from joblot.reports.progress import Told

        return Told(progress)
    if "IPython" in sys.modules:
        from joblot.executors.processes import in_kernel

        if in_kernel():
            from joblot.reports.cell import CellDisplay, output_of_cell

            return CellDisplay(config.name, output_of_cell())
    if progress == "auto" and (sys.stderr is None or not sys.stderr.isatty()):
        return None
    from joblot.cli.program import display_of
    from joblot.journal.place import state_of

    runs = None if options.state is False else state_of(config, options.state, lambda _: None) / "runs"
    return display_of(runs, lines=progress is True)


def load(
    path: str | Path | Sequence[str | Path],
    *,
    vars: Mapping[str, Any] | None = None,
    strict: bool = False,
    skip_unknown_actions: bool = False,
) -> Config:
    """Read and check a batch file, or several of one folder as one batch, the needs of the jobs as well.

    The values of `vars` are texts, as on a command line, or numbers, truth values, dates, paths and iterables, as the file would have them. With `strict` warnings are errors, with
    `skip_unknown_actions` an action that is not known is no error.

    Raises:
        ConfigError: everything that is wrong with it.
        UsageError: files that cannot be taken together.
    """
    asked = read_arguments(RUN, path=path, vars=vars, strict=strict, skip_unknown_actions=skip_unknown_actions)
    config = load_with_warnings(**asked)[0]
    _plan(config, strict=asked.get("strict", False))
    return config


def _plan(config: Config, *, strict: bool) -> Plan:
    if not strict:
        return expand(config)
    from joblot.core.named import expand_with_doubts

    return expand_with_doubts(config, strict=True)[0]


def load_with_warnings(
    path: str | Path | Sequence[str | Path],
    *,
    vars: Mapping[str, Any] | None = None,
    strict: bool = False,
    skip_unknown_actions: bool = False,
    moment: float | None = None,
    scheduled: bool = False,
) -> tuple[Config, list[Diagnostic]]:
    """Read batch files and check them job by job; also what is doubtful in them. Whether the jobs hang together is the plan's affair.

    `moment` is when the run begins, in seconds since the epoch; None: now. `scheduled` says that a schedule has started it for that instant.
    """
    from joblot.actions.registry import import_modules
    from joblot.config.load import load as load_file

    found: dict[str, Any] = {"lookup": ACTIONS.signature, "names": ACTIONS.names, "importer": import_modules}
    found |= {"strict": strict, "unknown": "skipped" if skip_unknown_actions else "error", "moment": moment}
    if isinstance(path, (str, Path)):
        return load_file(path, vars=vars or {}, scheduled=scheduled, **found)
    if len(path) == 1:
        return load_file(path[0], vars=vars or {}, scheduled=scheduled, **found)
    if not path:
        raise UsageError("no batch file was named")
    from joblot.config.several import load_several

    return load_several(path, vars=vars or {}, **found)


def run(
    batch: Batch | Config | str | Path | Sequence[str | Path],
    *,
    vars: Mapping[str, Any] | None = None,
    observers: Sequence[Observer] = (),
    resume: str | None = None,
    retry: str | None = None,
    report: str | Path | Sequence[str | Path] | None = None,
    progress: ProgressChoice = "auto",
    **options: Any,
) -> Report:
    """Run a batch, a loaded configuration, a batch file or several of one folder together to their end.

    `resume` is an earlier run of the same batch to go on with. `retry` is one of which to run again what did not succeed: the same run goes on
    if the batch is as it was, else a new one continues it. A file is then read as of the day when that run began, and `vars` are those of that
    run, unless they are given; a batch that is made already takes none. `report` are files to write, each in the form that its name ends with, as `Report.write` has them. `progress` says how the run is shown: "auto" as the command shows it where standard
    error is a terminal, in an output of the cell in a notebook, and not at all elsewhere; true also as lines; a function is told a `Progress`,
    twice a second at most. The rest is `Options`, with `timeout` also as a text such as `1h`, and `only`,
    `upto`, `from_` and `exclude` also as texts with commas.

    Raises:
        ConfigError: the batch is wrong; nothing ran.
        StateError: the state folder or its journal cannot be used.
        RunHeldError: another process drives the run.
    """
    if not isinstance(batch, (Batch, Config)):
        options["batch"] = batch
    asked = read_arguments(RUN, vars=vars, observers=observers, resume=resume, retry=retry, report=report, **options)
    own = ("batch", "vars", "observers", "resume", "retry", "report")
    path, variables, observers, resume, retry, report = (asked.pop(name, None) for name in own)
    if resume is not None and retry is not None:
        raise UsageError("`resume` and `retry` exclude each other")
    if variables and isinstance(batch, (Batch, Config)):
        raise UsageError(
            "`vars` are for batch files: a batch that is made already takes none",
            hint="give values to the functions of its jobs, or to `load`",
        )
    if "timeout" in asked:
        asked["timeout_s"] = asked.pop("timeout")
    files = _report_files(cast("Iterable[str] | None", report))
    asked["written"] = (*asked.get("written", ()), *(file.path for file in files))
    chosen = Options(**asked)
    doubts: Iterable[str] = ()
    with collection_paused():
        if isinstance(batch, Batch):
            config = batch._config(() if chosen.skip_unknown_actions else unknown_actions(batch.jobs))  # noqa: SLF001 - of this module
            doubts = batch._doubts()  # noqa: SLF001 - of this module
        elif isinstance(batch, Config):
            config = batch
            if not config.source:  # no file says that it is right
                from joblot.config.load import refuse_unreadable

                refuse_unreadable(config)
        else:
            moment, scheduled = None, False
            if retry is not None:
                begun = begun_of(retry, Path(path if isinstance(path, str) else path[0]), chosen)
                variables, moment, scheduled = (
                    (begun.given if vars is None else variables),
                    begun.moment,
                    begun.scheduled,
                )
            config, odd = load_with_warnings(
                path,
                vars=variables,
                strict=chosen.strict,
                skip_unknown_actions=chosen.skip_unknown_actions,
                moment=moment,
                scheduled=scheduled,
            )
            doubts = [one.head().replace("warning: ", "", 1) for one in odd]
        plan = _plan(config, strict=chosen.strict)
    view = _display(progress, config, chosen)
    display, watching = None, list(observers or ())
    if view is not None:
        from joblot.reports.progress import Shown

        watching.append(display := Shown(view))
    made = None
    try:
        for doubt in doubts:
            for observer in watching:
                observer.warned(doubt)
        if resume is not None:
            made = resume_run(resume, chosen, observers=watching, plan=plan)
        elif retry is not None:
            made = retry_run(retry, plan, chosen, observers=watching, given=variables or {})
        else:
            made = start_run(plan, chosen, observers=watching, given=variables or {})
    finally:
        if display is not None:
            display.close(made)
    _write_reports(made, files, watching)
    return made


def _report_files(paths: Iterable[str] | None) -> list[ReportFile]:
    """The files that a run is to be written to."""
    if not paths:
        return []
    from joblot.reports.forms import report_file

    return [report_file(path) for path in paths]


def _write_reports(report: Report, files: Sequence[ReportFile], observers: Iterable[Observer]) -> None:
    """Write a run to the files that were asked for, and those that its batch names: of the latter it is told when one cannot be written.

    Raises:
        JoblotError: one that was asked for cannot be written.
    """
    for told in report.write_declared(but={file.path for file in files}):
        for observer in observers:
            observer.warned(told)
    for file in files:
        report.write(file)


# --- looking back -----------------------------------------------------------------------------------


def open_run(run: str | None = None, *, state: str | Path | None = None) -> Report:
    """The report of an earlier run, or of one that goes on, as it stands now. Nothing is written.

    `run` is its id, or a beginning or an end of it that only one run has; by default the last one. `state` is the state folder, by default
    `JOBLOT_STATE`, else `.joblot` in the working folder.

    Raises:
        StateError: there is no such run, or it cannot be read.
    """
    from joblot.cli.runs import Run
    from joblot.journal.folder import StateFolder

    folder = StateFolder(state, read_only=True)
    try:
        return Run(folder, folder.resolve(run)).report()
    finally:
        folder.close()


def runs(*, state: str | Path | None = None, limit: int | None = None) -> list[dict[str, Any]]:
    """The runs of a state folder, newest first, `limit` of them at most, as rows of a table; `state` as for `open_run`.

    Times are UTC; what is not known is None. A run that cannot be read is a warning.

    Raises:
        StateError: the folder cannot be read.
    """
    from datetime import UTC, datetime
    from warnings import warn

    from joblot.errors import NoRunsError
    from joblot.journal.folder import StateFolder

    def moment(at: float | None) -> datetime | None:
        return None if at is None else datetime.fromtimestamp(at, UTC)

    try:
        folder = StateFolder(state, read_only=True)
    except NoRunsError:
        return []
    try:
        return [
            {
                "run": info.run_id,
                "batch": info.batch,
                "status": folder.status(info),
                "started_at": moment(info.started_at),
                "ended_at": moment(info.ended_at),
                "duration_s": None if info.ended_at is None else round(max(0.0, info.ended_at - info.started_at), 3),
                "jobs": max(info.jobs, sum(info.counts.values())),
                "failed": info.counts.get("failed", 0) if info.ended_at is not None else None,
            }
            for info in folder.runs(lambda error: warn(error.message, stacklevel=4), limit=limit)
        ]
    finally:
        folder.close()


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

    asked = read_arguments(
        GENERATE,
        template=template,
        items=items,
        folder=folder,
        name=name,
        force=force,
        prune=prune,
        check=check,
        write=write,
    )
    source, own = read_template(asked.pop("template")), asked.pop("check")
    found = check_batch if own is None else (lambda text, file, _kind: own(text, file))
    is_meant = asked.pop("write")
    writes, _ = plan_writes(source, check=found, **asked)
    return list(apply_writes(writes)) if is_meant else writes
