"""The common parts of `run`, `resume` and `retry`: their options, progress while they drive a run, and the end."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from joblot.cli.progress import EventLines, PlainProgress
from joblot.core.selection import EVERYTHING
from joblot.errors import EXIT_JOBS_FAILED, JoblotError, RunSkippedError
from joblot.files import check_writable
from joblot.journal.folder import DEFAULT, RunFolder, StateFolder, state_path
from joblot.reports.tail import last_printed
from joblot.reports.text import closing, summary
from joblot.runner.interrupts import asked_by_signal
from joblot.runner.options import Options

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from joblot.cli.output import Output
    from joblot.cli.passing import JobOutput
    from joblot.core.selection import Selection
    from joblot.reports.forms import ReportFile
    from joblot.reports.report import Report
    from joblot.runner.engine import Observer


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """What `driving_options` gives a command."""

    on: str
    cluster: str | None
    workers: int | None
    fail_fast: bool | None
    max_failures: int | float | None
    timeout: float | None
    max_memory: int | None
    max_log: int | None
    stop_grace: float | None
    disk_wait: float | None
    allow_network_fs: bool
    no_fuse: bool
    reports: tuple[ReportFile, ...]
    log: str | None
    state: str | None
    verbose: bool

    def options(
        self,
        *,
        run_id: str | None = None,
        skip_unknown_actions: bool = False,
        force: tuple[str, ...] = (),
        wait: bool = False,
        selection: Selection = EVERYTHING,
    ) -> Options:
        """The choices as the API takes them."""
        limits = {"stop_grace_s": self.stop_grace, "disk_wait_s": self.disk_wait, "max_log": self.max_log}
        # `Options` has defaults of its own for these, which None would replace.
        chosen: dict[str, Any] = {name: value for name, value in limits.items() if value is not None}
        return Options(
            on=self.on,
            cluster=self.cluster,
            workers=self.workers,
            fail_fast=self.fail_fast,
            max_failures=self.max_failures,
            timeout_s=self.timeout,
            max_memory=self.max_memory,
            state=self.state,
            run_id=run_id,
            skip_unknown_actions=skip_unknown_actions,
            force=force,
            allow_network_fs=self.allow_network_fs,
            fuse=not self.no_fuse,
            wait=wait,
            written=(*(file.path for file in self.reports), *([self.log] if self.log is not None else ())),
            only=selection.only,
            upto=selection.upto,
            from_=selection.from_,
            exclude=selection.exclude,
            **chosen,
        )


def drive(
    output: Output,
    choices: Choices,
    run_id: str,
    begin: Callable[[Sequence[Observer]], Report],
    *,
    passing: JobOutput | None = None,
) -> int:
    """Run jobs through `begin`, show what happens, and return the exit code.

    With `passing` standard output is for what the jobs print, and nothing else.
    """
    for path in (*(file.path for file in choices.reports), choices.log):
        if path is not None:
            check_writable(path)
    observer = _observer(output, choices, run_id, passing)
    try:
        with asked_by_signal(observer.ask):
            report = begin([observer] if passing is None else [observer, passing])
    except RunSkippedError as skipped:
        output.log("INFO", f"skipped: {skipped.message}")
        if output.json:
            output.document({"skipped": skipped.message})
        return skipped.exit_code
    except JoblotError as error:
        if state := _elsewhere(choices):
            command = r"`joblot (?:cancel|resume)\b(?![^`]* --state )[^`]*"
            error.hint = re.sub(command, lambda found: found[0] + state, error.hint)
        raise
    finally:
        observer.close()
        if passing is not None:
            passing.close()
    if not observer.begun:
        output.log("INFO", f"nothing to do: no job of run `{report.run_id}` is left to run")
    kept = RunFolder(state_path(choices.state) / "runs" / report.run_id).report
    return _finish(output, choices, report, kept, observer, told=passing is not None and passing.is_told)


def _observer(output: Output, choices: Choices, run_id: str, passing: JobOutput | None) -> PlainProgress:
    folder = RunFolder(state_path(choices.state) / "runs" / run_id)
    if choices.verbose:
        return EventLines(output, folder, output.note if output.json or passing else _to_stdout(output))
    if output.live and (passing.may_draw if passing is not None else not output.quiet):
        from joblot.cli.live import LiveProgress

        observer: PlainProgress = LiveProgress(output, folder)
    else:
        observer = PlainProgress(output, folder)
    if passing is not None:
        passing.make_room, observer.shows_logs = observer.make_room, not passing.on_terminal
    return observer


def _to_stdout(output: Output) -> Callable[[str], None]:
    """Events on standard output. A run does not end because nobody reads them any more."""
    broken = False

    def write(text: str) -> None:
        nonlocal broken
        if not broken:
            try:
                output.result(text)
            except (BrokenPipeError, JoblotError):
                broken = True

    return write


def _finish(
    output: Output, choices: Choices, report: Report, kept: Path, observer: PlainProgress, *, told: bool = False
) -> int:
    if not output.quiet:
        output.note(
            closing(report, paint=output.paint, printed=last_printed, told=observer.told_all).rpartition("\n")[0]
        )
    if not told:
        observer.conclude(_completion(report))
    if output.quiet and (
        told or report.exit_code
    ):  # which jobs failed was said, and not how many others did not run for it
        output.note(f"run {report.run_id}: {summary(report)}")
    for advice in _advice(report, choices, kept):
        if output.quiet:  # it goes with the failures, and a mail from cron has nothing else
            output.note(advice)
        else:
            observer.conclude(advice)
    written = _write_files(output, choices, report)
    with suppress(BrokenPipeError):  # the run is over and recorded: that nobody reads its summary is no failure
        if output.json:
            output.result(report.to_json())
        elif not output.quiet:
            output.result(f"run {report.run_id}: {summary(report)}")
    return report.exit_code if written else report.exit_code or EXIT_JOBS_FAILED


def _completion(report: Report) -> str:
    counts = report.counts
    ok = counts["success"] + counts["cached"]
    stopped = counts["cancelled"] + counts["aborted"]
    word = "complete" if report.status in ("success", "failed") else report.status
    ending = f", {stopped} stopped" if stopped else ""
    allowed = f" ({report.allowed_failures} allowed)" if report.allowed_failures else ""
    return f"Batch {word}: {ok} ok, {counts['failed']} failed{allowed}, {counts['skipped']} skipped{ending}"


def _advice(report: Report, choices: Choices, kept: Path) -> list[str]:
    """Where the report is, and the commands to see what happened and to go on from here, when there is something left to do."""
    if not report.exit_code:
        return []
    state = _elsewhere(choices)
    seen = [
        f"the report: {choices.reports[0].path if choices.reports else kept}",
        f"to see what happened: joblot show {report.run_id}{state}",
    ]
    if report.status in ("failed", "success"):
        from joblot.runner.continuing import changed_files

        which = "that goes on with this run; once the batch is changed, it begins a new run that continues this one"
        if changed_files(report.config):
            which = "that begins a new run, which continues this one: the batch was changed since this run began"
        again = f"to run again what failed: joblot retry {report.run_id} --failed{state}"
        return [*seen, again, which] if report.source else [*seen, again]
    return [*seen, f"to go on with the rest: joblot resume {report.run_id}{state}"]


def _elsewhere(choices: Choices) -> str:
    """What a command needs to find the run from this folder: ` --state DIR`, or nothing."""
    if not choices.state or choices.state == _state_here():
        return ""
    from shlex import quote

    return f" --state {quote(choices.state)}"


def _state_here() -> str:
    """The state folder that a command takes in this folder; empty where there is no folder any more."""
    try:
        return os.path.abspath(DEFAULT)  # noqa: PTH100 - as the option
    except FileNotFoundError:
        return ""


def _write_files(output: Output, choices: Choices, report: Report) -> bool:
    """Write what `--report`, `--log` and the batch ask for. A file that cannot be written does not take the others or the result with it.

    Returns whether all were written that an option asks for: of those that only the batch names it is a warning that one was not.
    """
    written = True
    report.earlier = lambda: _earlier(choices.state, report.run_id)
    writers = [partial(report.write, file) for file in choices.reports]
    if choices.log is not None:
        writers.append(partial(write_run_log, choices.log, choices.state, report))
    for write in writers:
        try:
            write()
        except JoblotError as error:
            output.error(error.message, error.hint)
            written = False
    for told in report.write_declared(but={file.path for file in choices.reports}):
        output.log("WARNING", told)
    return written


def _earlier(state: str | None, run_id: str) -> Report | None:
    from joblot.cli.runs import Run

    folder = StateFolder(state, read_only=True)
    try:
        return Run(folder, folder.resolve(run_id)).earlier()
    finally:
        folder.close()


def write_run_log(path: str, state: str | None, report: Report) -> None:
    """Write a run's log from its journal, so that a resumed run's log has its beginning too.

    Raises:
        JoblotError: it cannot be written.
    """
    from joblot.reports.runlog import RunLog

    names = list(report.jobs)
    folder = StateFolder(state, read_only=True)
    try:
        RunLog(report.run_id, names.__getitem__).apply_all(folder.journal.records(report.run_id)).write(path)
    finally:
        folder.close()
