"""`joblot show`: one run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import click

from joblot.cli.options import (
    job_argument,
    job_help,
    json_option,
    no_color_option,
    report_option,
    run_or_job_argument,
    state_option,
)
from joblot.errors import EXIT_JOBS_FAILED, EXIT_OK, SHOWN, JoblotError, UsageError
from joblot.files import check_writable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from joblot.cli.output import Output
    from joblot.cli.runs import Run
    from joblot.reports.forms import ReportFile
    from joblot.reports.report import JobReport, Report

_RUNNING: Final = 8
"""So many running jobs of a large run are listed, the oldest first."""


@click.command(
    "show",
    help=f"Show one run, job by job; of more than 30 jobs failures and fan-outs only. Of one job what `explain` says.\n\n{job_help}",
)
@run_or_job_argument
@job_argument
@click.option("--events", is_flag=True, help="print every event instead (with `--json` the run log)")
@report_option
@state_option
@json_option
@no_color_option
@click.pass_obj
def command(
    output: Output,
    run: str | None,
    job: str | None,
    state: str | None,
    *,
    events: bool,
    reports: tuple[ReportFile, ...],
) -> int:
    """Read a run's records."""
    from joblot.cli.runs import open_job

    written = True
    with open_job(output, run, job, state) as (opened, named):
        if reports:
            written = _write(output, opened, named, reports)
        if named is not None:
            if events:
                raise UsageError("`--events` prints those of a whole run")
            from joblot.cli.explain import explain

            explain(output, opened, named)
        elif events:
            _events(output, opened)
        elif output.json:
            for part in opened.report().to_json_parts():
                output.result(part)
        else:
            output.result("\n".join(_text(output, opened)))
    return EXIT_OK if written else EXIT_JOBS_FAILED


def _write(output: Output, run: Run, job: str | None, files: Sequence[ReportFile]) -> bool:
    """Whether all files were written: one that cannot be does not take the others or the result with it, as at the end of a run."""
    if job is not None:
        raise UsageError("`--report` writes that of a whole run")
    for file in files:
        check_writable(file.path)
    report = run.report()
    written = True
    for file in files:
        try:
            report.write(file)
        except JoblotError as error:
            output.error(error.message, error.hint)
            written = False
    return written


def _events(output: Output, run: Run) -> None:
    if output.json:
        from joblot.reports.runlog import RunLog

        output.document(RunLog(run.id, run.plan.name).apply_all(run.records()).to_dict())
        return
    from joblot.cli.eventtext import event_lines

    for record in run.records():
        output.result("\n".join(event_lines(record, run.plan.name)))


def _text(output: Output, run: Run) -> list[str]:
    from joblot.cli.runs import local_time
    from joblot.core.written import shorten
    from joblot.reports.text import one_line

    report = run.report()
    lines = [f"Run {run.id} of {one_line(report.batch)}"]
    if report.source:
        lines.append(f"  batch file: {report.source}")
    if run.config.description:
        lines.append(f"  description: {shorten(run.config.description, SHOWN)}")
    lines.append(f"  started: {local_time(report.view.started_at)}, ended: {local_time(report.view.ended_at)}")
    if report.view.continues:
        lines.append(f"  continues: run {one_line(report.view.continues)}")
    if by := report.view.by:
        driver = f"process {by.get('pid')} of {by.get('user')} on {by.get('host')}, joblot {by.get('joblot')}"
        lines.append(f"  {'recorded' if run.of_program else 'driven'} by: {driver}")
    lines += [
        f"  files: {run.files.path}",
        *(_of_program(output, run, report) if run.of_program else _of_jobs(output, run, report)),
    ]
    for at, logged in list(report.view.logged)[-10:]:
        lines.append(f"  {local_time(at)} {logged.level}: {one_line(logged.message or logged.event)}")
    if report.status == "interrupted":
        goes_on = "the program that recorded this run was ended before it could finish it"
        if not run.of_program:
            goes_on = f"nobody drives this run any more: `joblot resume {run.id}` goes on with it"
        lines.append(goes_on)
    return lines


def _of_jobs(output: Output, run: Run, report: Report) -> list[str]:
    from joblot.reports.tail import last_printed
    from joblot.reports.text import SMALL, closing

    now = time.time()

    def going_on(job: JobReport) -> str:
        return run.going_on(report.view, run.job(job.name), now)

    lines = [closing(report, paint=output.tint, going_on=going_on, printed=last_printed)]
    if report.total_jobs > SMALL and report.view.counts["running"]:
        oldest = sorted((report.view.running_since(job), job) for job, _ in report.view.running())
        for _, job in oldest[:_RUNNING]:
            lines.append(
                f"  [{output.tint('running', 'running')}] {run.plan.name(job)} ({run.going_on(report.view, job, now)})"
            )
        if len(oldest) > _RUNNING:
            lines.append(f"  ... and {len(oldest) - _RUNNING} more running")
    return lines


def _of_program(output: Output, run: Run, report: Report) -> list[str]:
    from joblot.reports.runlog import RunLog
    from joblot.reports.text import duration, one_line

    log = RunLog(run.id, keep=False).apply_all(run.records())
    counts = {"event": log.event_count, "error": log.error_count, "warning": log.warning_count}
    words = [f"{count} {word}{'' if count == 1 else 's'}" for word, count in counts.items() if count]
    took = f", in {duration(report)}" if report.view.ended else ""
    return [
        f"Program {one_line(report.batch)}: {output.tint(report.status, report.status)}",
        f"{', '.join(words) or 'no events'}{took}",
    ]
