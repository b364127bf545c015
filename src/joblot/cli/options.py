"""The options and arguments that several commands share, and the types of their values.

Environment variables are named one by one: `JOBLOT_JOB`, `JOBLOT_RUN_ID` and the like are set for every command that a job runs, and
a joblot inside a job must not take them for its own options.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import click

from joblot.cli.output import Output
from joblot.errors import JoblotError, UsageError
from joblot.units import parse_duration, parse_failures, parse_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from click.shell_completion import CompletionItem

    from joblot.core.selection import Selection
    from joblot.reports.forms import ReportFile

F = TypeVar("F", bound=Callable[..., Any])


class Quantity(click.ParamType):  # type: ignore[type-arg]  # not generic in click 8.2
    """A number with a unit, as `parse` reads it."""

    def __init__(self, name: str, parse: Callable[[Any], float]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number, such as one of seconds or bytes."""
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Moment(click.ParamType):  # type: ignore[type-arg]  # not generic in click 8.2
    """A point in time: a date, with a time or without, on this machine's clock, or how long ago it was. With `end` a date is its end."""

    name = "time"

    def __init__(self, *, end: bool = False) -> None:
        self._end = end

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds since the epoch."""
        import time
        from datetime import datetime, timedelta

        with suppress(ValueError):
            return time.time() - parse_duration(value)
        try:
            moment = datetime.fromisoformat(value)
            # Not 86400 s: on two days of a year there are others.
            whole_day = self._end and moment.time() == moment.min.time() and len(value) <= len("2026-11-20")
            return (moment + timedelta(days=whole_day)).timestamp()
        except (ValueError, OverflowError, OSError):
            self.fail(f"`{value}` is neither a date such as `2026-11-20` nor a duration such as `7d`", param, ctx)


class Several(click.ParamType):  # type: ignore[type-arg]  # not generic in click 8.2
    """Some of the known words, with commas."""

    name = "words"

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """The words."""
        if isinstance(value, tuple):
            return value
        words = tuple(word.strip() for word in value.split(","))
        unknown = next((word for word in words if word not in self.words), None)
        if unknown is not None:
            self.fail(f"`{unknown}` is none of {', '.join(f'`{word}`' for word in self.words)}", param, ctx)
        return words

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002 - click's signature
        """The words, behind those that are there."""
        from click.shell_completion import CompletionItem

        before, comma, last = incomplete.rpartition(",")
        return [CompletionItem(f"{before}{comma}{word}") for word in self.words if word.startswith(last)]


class Variable(click.ParamType):  # type: ignore[type-arg]  # not generic in click 8.2
    """A name and a value, from `name=value`."""

    name = "name=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Cut at the first `=`."""
        name, equals, text = str(value).partition("=")
        if not equals or not name:
            self.fail(f"`{value}` is not of the form `name=value`", param, ctx)
        return name, text


class ReportPath(click.ParamType):  # type: ignore[type-arg]  # not generic in click 8.2
    """A file that a run is written to, and its form."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> ReportFile:
        """The form, and the path from the root."""
        from joblot.reports.forms import report_file

        if not isinstance(value, str):
            return cast("ReportFile", value)
        try:
            return report_file(value)
        except JoblotError as error:
            self.fail(f"{error.message}{error.hint and f' ({error.hint})'}", param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The shell's own files and folders."""
        return _offering_files(ctx, param, incomplete)


class FilePath(click.ParamType):  # type: ignore[type-arg]  # not generic in click 8.2
    """A path, made absolute at once: a module of the batch or an action that changes the working folder does not change what is meant."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ARG002 - click's signature
        """The path from the root; an empty one stays empty."""
        return os.path.abspath(value) if value else ""  # noqa: PTH100 - links stay as they are

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The shell's own files and folders."""
        return _offering_files(ctx, param, incomplete)


class Place(click.ParamType):  # type: ignore[type-arg]  # not generic in click 8.2
    """Where jobs run."""

    name = "place"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The place, if there is such a one."""
        from joblot.cluster.targets import check_on

        try:
            return check_on(value)
        except UsageError as error:
            self.fail(f"{error.message} ({error.hint})", param, ctx)


def _completing(what: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """What a shell is offered, by the function of that name; imported when it is asked for."""

    def complete(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
        from joblot.cli import completing

        return list(getattr(completing, what)(ctx, incomplete))

    return complete


def _offering_files(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


run_of_history: Final = _completing("runs")
job_of_run: Final = _completing("jobs_of_run")
job_of_batch: Final = _completing("jobs_of_batch")
DURATION: Final = Quantity("duration", parse_duration)
SIZE: Final = Quantity("size", parse_size)
FAILURES: Final = Quantity("failures", parse_failures)


_NAMES_WIDTH: Final = 26
GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "Which jobs": ("failed", "names", "only", "upto", "from_", "exclude", "force", "force_jobs", "skip_unknown_actions"),
    "The batch": ("variables", "scheduled_for", "strict", "as_it_was"),
    "Look first": ("dry_run", "no_commands"),
    "How it runs": ("on", "cluster", "workers", "fail_fast", "max_failures", "timeout", "max_memory", "stop_grace", "no_fuse", "wait"),
    "State and journal": ("run_id", "state", "allow_network_fs", "disk_wait", "max_log"),
    "Output": ("reports", "log", "json", "verbose", "quiet", "no_color", "help"),
}  # fmt: skip
"""The options of commands that run or plan jobs, by their names in Python, under the titles that they have in the help."""


class Command(click.Command):
    """A command with so many options that they are told in groups: titles and the names that stand under each."""

    def __init__(self, *arguments: Any, groups: Mapping[str, Sequence[str]] = GROUPS, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.groups = groups

    def grouped(self, ctx: click.Context) -> Iterator[tuple[str, list[click.Option]]]:
        """The titles, each with its options; `Others` are those that none names."""
        options = {
            "help" if "--help" in one.opts else str(one.name): one
            for one in self.get_params(ctx)
            if isinstance(one, click.Option)
        }
        for title, names in self.groups.items():
            found = [options.pop(name) for name in names if name in options]
            if found:
                yield title, found
        if options:
            yield "Others", list(options.values())

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The groups as help text."""
        for title, options in self.grouped(ctx):
            records = [record for one in options if (record := one.get_help_record(ctx)) is not None]
            with formatter.section(title):  # all with the texts in the same column
                formatter.write_dl([(f"{names:<{_NAMES_WIDTH}}", text) for names, text in records])


def _switch(attribute: str, *names: str, text: str) -> Callable[[F], F]:
    """A flag that sets an attribute of the command's `Output`, and does not reach the function."""

    def switch(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:  # click's signature
        if value:
            setattr(ctx.find_object(Output), attribute, True)

    return click.option(*names, is_flag=True, expose_value=False, is_eager=True, callback=switch, help=text)


json_option = _switch("json", "--json", text="print the result as JSON, and nothing else")
no_color_option = _switch("colourless", "--no-color", text="no colours (as NO_COLOR)")
quiet_option = _switch("quiet", "-q", "--quiet", text="only warnings, errors and results")
state_option = click.option(
    "--state",
    metavar="DIR",
    type=FilePath(),
    envvar="JOBLOT_STATE",
    show_envvar=True,
    help="the state folder (default: `.joblot` beside the batch file; without one, here)",
)
variables_option = click.option(
    "--var",
    "variables",
    multiple=True,
    type=Variable(),
    help="a value for one of the batch's `vars`; may be given often",
)
unknown_actions_option = click.option(
    "--skip-unknown-actions",
    is_flag=True,
    help="skip jobs whose action is unknown, with a warning, and what needs them",
)
no_commands_option = click.option(
    "--no-commands", is_flag=True, help="run no command of a `foreach`: the jobs that it would list are shown as one"
)
looking_help: Final = "Commands of `foreach: {command: ...}` are run, to know the items, unless `--no-commands` is given; `imports` are imported."
batch_argument = click.argument("batch", nargs=-1, shell_complete=_offering_files)
batch_argument_required = click.argument("batch", shell_complete=_offering_files)
batch_help: Final = (
    "BATCH is a YAML, JSON or TOML file; without it `joblot.yaml` (`.yml`, `.json`, `.toml`) in the working folder. "
    "Several files of one folder are taken together: the jobs of `a.yaml` are then called `a.NAME`."
)


run_help: Final = "RUN is a run's id, the beginning or the end of one, or `last`."
last_help: Final = f"{run_help} Without it the last run."
job_help: Final = f"{last_help} A single word may be a run, or a job of the last run."


run_argument = click.argument("run", required=False, shell_complete=run_of_history)
run_or_job_argument = click.argument("run", required=False, shell_complete=_completing("run_or_job"))
job_argument = click.argument("job", required=False, shell_complete=_completing("jobs_of_run"))


def _together(*options: Callable[[Any], Any]) -> Callable[[F], F]:
    """Several options as one decorator, which shows them in this order."""

    def add(function: F) -> F:
        for option in reversed(options):  # as decorators that stand above each other
            function = option(function)
        return function

    return add


forcing = _together(
    click.option("-f", "--force", is_flag=True, help="run all jobs, up to date or not"),
    click.option(
        "--force-job", "force_jobs", metavar="JOB", multiple=True, shell_complete=job_of_batch,
        help="run this job (or those that match a pattern), up to date or not; may be given often",
    ),
)  # fmt: skip
"""The options that say what runs although it is up to date; they reach the function as `force` and `force_jobs`."""

selecting = _together(
    click.option("--only", metavar="S", multiple=True, shell_complete=job_of_batch, help="just these jobs: a name, a pattern such as `build-*`, `tag:NAME`, "
                 "`item:COLUMN=VALUE`, `action:NAME`, `file:NAME`; several with commas, or given often"),
    click.option("--upto", metavar="S", multiple=True, shell_complete=job_of_batch, help="these jobs and everything that they need"),
    click.option("--from", "from_", metavar="S", multiple=True, shell_complete=job_of_batch, help="these jobs and everything that needs them"),
    click.option("--exclude", metavar="S", multiple=True, shell_complete=job_of_batch, help="not these jobs"),
)  # fmt: skip
"""The options that say which jobs take part; they reach the function as `only`, `upto`, `from_` and `exclude`."""


def selection_of(
    *, only: tuple[str, ...], upto: tuple[str, ...], from_: tuple[str, ...], exclude: tuple[str, ...]
) -> Selection:
    """What these options say together."""
    from joblot.core.selection import Selection, selectors

    def apart(texts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(selector for text in texts for selector in selectors(text))

    return Selection(apart(only), apart(upto), apart(from_), apart(exclude))


no_fuse_option = click.option(
    "--no-fuse", is_flag=True, envvar="JOBLOT_NO_FUSE", show_envvar=True,
    help="run each job for itself, also those that could be run as one",
)  # fmt: skip
"""The option that turns fused jobs off."""

report_option = click.option(
    "--report", "reports", metavar="FILE", type=ReportPath(), multiple=True,
    help="write the run to a file in the form that its name ends with: `.html` (a page for people), `.json`, `.xml` (JUnit), `.md`, `.csv`, `.tsv`, "
    "`.trace.json`; or `FORM:FILE`, where `md:` appends; may be given often",
)  # fmt: skip
"""The option that writes a run to files; they reach the function as `reports`."""


def driving_options_with(timeout: Callable[[F], F]) -> Callable[[F], F]:
    """The options of a command that runs jobs; `timeout` is the one that sets the time limit of the run."""
    return _together(
    click.option("--on", metavar="PLACE", type=Place(), default="local", envvar="JOBLOT_ON", show_envvar=True,
                 help="`local`: killable processes (default); `inline`: in this process, one job at a time; `dask`, `ssh`, `slurm`: "
                 "a cluster that begins with the run; `tls://HOST:PORT`, `tcp://127.0.0.1:PORT`: a Dask scheduler"),
    click.option("--cluster", metavar="FILE", envvar="JOBLOT_CLUSTER", show_envvar=True,
                 help="the settings of the cluster: certificates, workers, what its deployer is told"),
    click.option("-j", "--jobs", "--workers", "workers", metavar="N", type=click.IntRange(min=1), envvar="JOBLOT_WORKERS",
                 show_envvar=True, help="how many jobs run at once (default: as the batch says, else one a processor, or all that a cluster has)"),
    click.option("-x/-k", "--fail-fast/--keep-going", "fail_fast", default=None,
                 help="after the first failure start nothing more, or go on with what does not need it (default: as the batch says)"),
    click.option("--max-failures", metavar="N", type=FAILURES, help="stop after so many failed jobs, or when more than such a share as `10%` have failed"),
    timeout,
    click.option("--max-memory", metavar="SIZE", type=SIZE, envvar="JOBLOT_MAX_MEMORY", show_envvar=True,
                 help="how much memory all that runs may hold together, such as `8GiB` (default: as the batch says)"),
    click.option("--max-log", metavar="SIZE", type=SIZE, envvar="JOBLOT_MAX_LOG", show_envvar=True,
                 help="how much is kept of what one attempt prints: the first and the last half (default: 64MiB)"),
    click.option("--stop-grace", metavar="D", type=DURATION, envvar="JOBLOT_STOP_GRACE", show_envvar=True,
                 help="how long running jobs may go on after the first Ctrl-C (default: 10s)"),
    click.option("--disk-wait", metavar="D", type=DURATION, envvar="JOBLOT_DISK_WAIT", show_envvar=True,
                 help="how long to wait for room when the disk is full (default: 60s)"),
    click.option("--allow-network-fs", is_flag=True, envvar="JOBLOT_ALLOW_NETWORK_FS", show_envvar=True,
                 help="keep the state folder on a network file system, at the risk of the journal"),
    no_fuse_option,
    report_option,
    click.option("--log", metavar="FILE", type=FilePath(), help="write the run log (every event) as JSON"),
    state_option,
    json_option,
    click.option("-v", "--verbose", is_flag=True, help="print every event as it happens"),
    quiet_option,
    no_color_option,
    )  # fmt: skip


driving_options: Final = driving_options_with(
    click.option(
        "--timeout", metavar="D", type=DURATION, help="stop the whole run after this time, such as `90s`, `2h`"
    )
)
"""The options of every command that runs jobs. They reach the function as `joblot.cli.drive.Choices` takes them."""
