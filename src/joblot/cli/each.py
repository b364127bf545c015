"""`joblot each`: run a command for each item of a list, without a batch file."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from joblot.cli.options import DURATION, GROUPS, Command, FilePath, driving_options_with
from joblot.errors import EXIT_JOBS_FAILED, EXIT_OK, UsageError
from joblot.units import format_failures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from joblot.cli.oneline import Items
    from joblot.cli.output import Output
    from joblot.core.model import Config
    from joblot.core.plan import Plan
    from joblot.reports.report import Report

_HELP = """Run a command for each item: of a list behind `:::`, of the lines of standard input, or of a file (`--from`).

\b
  joblot each -j8 convert {} {stem}.png ::: *.jpg
  cut -f1 list | joblot each ./load {}
  joblot each --from codes.csv ./build {code} {day}

Of an item, `{}` is all of it; of one that is a path `{root}` is the path without its suffix, `{name}`, `{stem}`, `{suffix}` and `{parent}` are
its parts. `{number}` counts the items. `{code}` is a column of a table, `{1}` the item of the first list where there are several, which make all
combinations (`:::+`: side by side); `{1.stem}` is a part of it. Without any of these the item is the last argument. `{{code}}` is the text `{code}`; other braces stay.

No shell reads the command, and a value is one word, whatever it holds. A command in one word is split at its blanks. With `--shell` it is one text for
`/bin/sh -e`, in which a value is still one word.

What the jobs print goes to standard output, job by job, in the order of the items. The run is one like any other: `joblot ls`, `show`, `logs`, `retry`, `resume`.

Options stand before the command; what follows its first word belongs to it."""
_GROUPS = {
    "The items": ("source", "null"),
    "The command": ("shell", "retry", "job_timeout"),
    "Look first": ("dry_run", "print_batch"),
    **{title: GROUPS[title] for title in ("How it runs", "State and journal")},
    "Output": ("as_ready", "table", *GROUPS["Output"]),
}


_SETTINGS = {
    "max_workers": "workers",
    "fail_fast": "fail_fast",
    "max_failures": "max_failures",
    "timeout": "timeout",
    "max_memory": "max_memory",
}


@click.command("each", cls=Command, groups=_GROUPS, help=_HELP, context_settings={"allow_interspersed_args": False})
@click.argument(
    "words",
    nargs=-1,
    type=click.UNPROCESSED,
    metavar="COMMAND... [::: ITEM...]",
    shell_complete=FilePath().shell_complete,
)
@click.option(
    "--from", "source", metavar="FILE", shell_complete=FilePath().shell_complete,
    help="the items: a table (`.csv`, `.tsv`, `.jsonl`, `.parquet`), lines (`.txt`), or a pattern of file names; `csv:FILE`, `lines:FILE` and so on whatever it is called; "
    "`csv:-` is standard input",
)  # fmt: skip
@click.option("-0", "--null", is_flag=True, help="the items of standard input end with NUL, as `find -print0` has them")
@click.option("--shell", is_flag=True, help="the command is one text for `/bin/sh -e`")
@click.option(
    "--retry", metavar="N", type=click.IntRange(min=0), default=0, help="how often a job that failed is tried again"
)
@click.option(
    "--timeout", "job_timeout", metavar="D", type=DURATION, help="how long one job may take, such as `90s`, `2h`"
)
@click.option("-n", "--dry-run", is_flag=True, help="print the commands, as a shell would read them, and run none")
@click.option("--print", "print_batch", is_flag=True, help="print the batch file that does the same, and run nothing")
@click.option("--as-ready", is_flag=True, help="print what jobs print in the order in which they end")
@click.option(
    "--table",
    metavar="FILE",
    type=FilePath(),
    help="write a table of the jobs, separated by tabs: what each was, how it ended, what it took",
)
@click.option("--run-id", metavar="ID", help="what to call the run (default: made of the time)")
@driving_options_with(
    click.option("--run-timeout", "timeout", metavar="D", type=DURATION, help="stop the whole run after this time")
)
@click.pass_obj
def command(
    output: Output,
    /,
    words: tuple[str, ...],
    *,
    source: str | None,
    null: bool,
    shell: bool,
    retry: int,
    job_timeout: float | None,
    dry_run: bool,
    print_batch: bool,
    as_ready: bool,
    table: str | None,
    run_id: str | None,
    **driving: Any,
) -> int:
    """Make the batch of the line, and show it, or run it."""
    from joblot.cli.oneline import as_yaml, split_line

    line, listed = split_line(words)
    line = _command(line, shell=shell)
    items = (
        listed
        if listed is not None and source is None and not null
        else _other_items(output, listed, source, null=null)
    )
    fields = {"retry": {"max_attempts": retry + 1} if retry else None, "timeout": job_timeout}
    if print_batch:
        _, batch = _checked(output, line, items, fields, _settings(driving), shell=shell, file=True)
        jobs = batch.pop("jobs")
        output.result(as_yaml({**batch, "jobs": jobs}), exact=True)
        return EXIT_OK
    if not len(items):  # nobody knows what columns there would have been
        output.log("INFO", "no items: nothing to run")
        return EXIT_OK
    config, _ = _checked(output, line, items, fields, _settings(driving), shell=shell)
    from joblot.core.plan import expand

    plan = expand(config)
    if dry_run:
        return _show(output, plan)
    return _run(output, plan, run_id, table, driving, in_order=not as_ready)


# --- the line ---------------------------------------------------------------------------------------


def _command(line: list[str], *, shell: bool) -> list[str]:
    from joblot.cli.oneline import split_command
    from joblot.core.written import shorten

    for word in line:
        _refuse_odd(word, "the command")
    if shell and len(line) > 1:
        shown = shorten(" ".join(line))
        raise UsageError(
            f"with `--shell` the command is one text, and there are {len(line)} words: `{shown}`",
            hint="put it in quotes, which the shell that reads this line takes away",
        )
    if len(line) == 1 and not shell and any(char.isspace() for char in line[0]):
        line = split_command(line[0])
    if not any(map(str.strip, line)):
        raise UsageError(
            "no command to run for each item",
            hint="`joblot each COMMAND ::: ITEM...`; where each line is a command: `joblot each sh -c {}`",
        )
    return line


def _other_items(output: Output, listed: Items | None, source: str | None, *, null: bool) -> Items:
    """The items from a file or standard input."""
    if source is not None and listed is not None:
        raise UsageError("`--from` and `:::` exclude each other", hint="keep one of them")
    if null and (source is not None or listed is not None):
        raise UsageError("`--null` is for items from standard input")
    return _items_of(output, source) if source is not None else _lines_of_input(output, null=null)


def _items_of(output: Output, source: str) -> Items:
    from joblot.cli.oneline import Items
    from joblot.config.items import SOURCES, TEXTS, ItemsError, items_of_text, read_items, source_of
    from joblot.core.written import shorten

    _refuse_odd(source, "`--from`")
    if source == "-":
        return _lines_of_input(output, null=False)
    kind, colon, path = source.partition(":")
    if not (colon and kind in SOURCES and kind != "command"):
        path, found = source, source_of(source)
        if found is None:
            raise UsageError(
                f"`{shorten(source)}` has no ending that says what it holds",
                hint=f"say it: `--from lines:{shorten(source)}` (or `csv:`, `tsv:`, `jsonl:`, `parquet:`, `glob:`)",
            )
        kind = found
    try:
        if path == "-":
            if kind not in TEXTS:
                raise UsageError(f"items of the kind `{kind}` cannot come from standard input")
            columns, place = items_of_text(kind, _read_input(), "standard input"), None
        else:
            columns, place = read_items(kind, path, "."), {kind: path}
    except ItemsError as error:
        raise UsageError(error.message, hint=error.hint) from None
    if kind == "glob":
        columns = {"": columns[""]}
    return Items(columns or {"": []}, source=place)


def _lines_of_input(output: Output, *, null: bool) -> Items:
    """The items of standard input, a line each, or up to a NUL each."""
    from joblot.cli.oneline import Items
    from joblot.config.items import ItemsError, items_of_text

    content = _read_input()
    if not null:
        if b"\0" in content:
            raise UsageError("standard input holds a NUL", hint="`-0` takes items that end with one")
        try:
            items = Items(items_of_text("lines", content, "standard input"))
        except ItemsError as error:
            raise UsageError(error.message, hint="a run keeps its items as UTF-8") from None
        if blank := content.removesuffix(b"\n").count(b"\n") + bool(content) - len(items):
            lines = "1 blank line is" if blank == 1 else f"{blank} blank lines are"
            output.log("WARNING", f"{lines} left out of the items (`--null` keeps empty ones)")
        return items
    values = content.split(b"\0")
    if not values[-1]:
        values.pop()
    try:
        return Items({"": [value.decode() for value in values]})
    except UnicodeDecodeError:
        return Items({"": [value.decode("utf-8", "surrogateescape") for value in values]})


def _read_input() -> bytes:
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError(
            "no items: none behind `:::`, no `--from`, and standard input is a terminal",
            hint="`joblot each COMMAND ::: ITEM...`, or `LISTING | joblot each COMMAND`",
        )
    return sys.stdin.buffer.read()


def _refuse_odd(text: str, what: str) -> None:
    """Everything that is recorded is UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{what} is not UTF-8 text", hint="a run keeps its commands and items as UTF-8") from None


# --- the batch --------------------------------------------------------------------------------------


def _settings(driving: dict[str, Any]) -> dict[str, Any]:
    """What the line says of the run, as fields of the batch: `resume` and `retry` go by them too."""
    chosen = {field: driving[option] for field, option in _SETTINGS.items() if driving[option] is not None}
    if isinstance(chosen.get("max_failures"), float):
        chosen["max_failures"] = format_failures(chosen["max_failures"])
    return chosen


def _checked(
    output: Output,
    line: Sequence[str],
    items: Items,
    fields: dict[str, Any],
    settings: dict[str, Any],
    *,
    shell: bool,
    file: bool = False,
) -> tuple[Config, dict[str, Any]]:
    """The batch, checked and as data. The names of its jobs have the numbers of the items in them where they would not differ without."""
    from joblot.actions.registry import ACTIONS
    from joblot.cli import batch as batches
    from joblot.cli.oneline import batch_of
    from joblot.config.load import load_data
    from joblot.core.fan_out import FanOutJobs

    _refuse_odd_items(items)
    for numbered in (False, True):
        batch = {**batch_of(line, items, shell=shell, numbered=numbered, file=file), **settings}
        job = batch["jobs"][0]
        job |= {name: value for name, value in fields.items() if value is not None}
        config, warnings = load_data(batch, folder=".", lookup=ACTIONS.signature, names=ACTIONS.names)
        names = FanOutJobs(config.jobs[0]).names()
        if len(set(map(str.lower, names))) == len(names):
            break
    batches.warn(output, [one for one in warnings if one.code != "items" and not one.message.count(" -c`")])
    return config, batch


def _refuse_odd_items(items: Items) -> None:
    from joblot.config.fan_out import inspect_values
    from joblot.config.fields import Sink

    for values in items.columns.values():
        for number, value in enumerate(values, 1):
            if type(value) is str and not value.isascii():
                _refuse_odd(value, f"item {number}")
    sink = Sink()
    inspect_values(sink, items.columns, ())
    if sink.problems:
        raise UsageError(sink.problems[0].message, hint=sink.problems[0].hint)


def _show(output: Output, plan: Plan) -> int:
    import shlex

    from joblot.core.shelltext import read

    for job in range(len(plan)):
        spec = plan.spec(job)
        shown = shlex.join(spec.run) if isinstance(spec.run, list) else read(spec.run or "").shown(spec.given or {})
        output.result(shown, exact=True)
    return EXIT_OK


# --- the run ----------------------------------------------------------------------------------------


def _run(
    output: Output, plan: Plan, run_id: str | None, table: str | None, driving: dict[str, Any], *, in_order: bool
) -> int:
    from pathlib import Path

    from joblot.cli import batch as batches
    from joblot.cli.drive import Choices, drive
    from joblot.cli.passing import JobOutput
    from joblot.clock import SystemClock, new_run_id
    from joblot.executors.spool import CAP
    from joblot.journal.folder import RunFolder
    from joblot.reports.forms import ReportFile
    from joblot.runner.launch import start_run

    if table is not None:
        driving["reports"] = (*driving["reports"], ReportFile("tsv", table))
    driving["state"] = batches.state_of(output, plan, driving["state"])
    choices = Choices(**driving)
    chosen = run_id or new_run_id(SystemClock().wall())
    options = choices.options(run_id=chosen)
    passing = None
    if not output.json:
        folder = RunFolder(Path(driving["state"]) / "runs" / chosen)
        passing = JobOutput(output, folder, in_order=in_order, is_told=not output.quiet, max_log=choices.max_log or CAP)
    output.quiet = True  # nothing is told of what goes well, as of other commands that others are composed of

    def begin(observers: Sequence[Any]) -> Report:
        return start_run(plan, options, observers=observers)

    code = drive(output, choices, chosen, begin, passing=passing)
    if passing is not None and passing.is_broken:
        if output.silent:
            raise BrokenPipeError
        return EXIT_JOBS_FAILED
    return code
