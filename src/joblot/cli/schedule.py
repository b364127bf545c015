"""`joblot schedule`: run batch files when their schedules are due, and say when that is."""

from __future__ import annotations

import os
import sys
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from joblot.cli.options import FilePath, json_option, no_color_option, quiet_option, state_option
from joblot.errors import EXIT_OK, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from joblot.cli.output import Output
    from joblot.journal.folder import StateFolder
    from joblot.journal.schedules import Row, Schedules
    from joblot.runner.schedule import Planned, Scheduler, Taken

_NEXT: Final = 3
_LOOKED_AT: Final = 1000
"""So many of the last rows are looked through for those that did not run."""


@click.group(
    "schedule",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
def command() -> None:
    """Run batch files when their schedules are due.

    Which files: those in DIR that have a `schedule`, or one file.
    """


_folder: Final[Callable[..., Any]] = click.argument("path", metavar="DIR", type=FilePath(), default=".", required=False)
_state: Final = state_option


@command.command("run")
@_folder
@_state
@quiet_option
@no_color_option
@click.pass_obj
def run(output: Output, path: str, state: str | None) -> int:
    """Start what is due until SIGTERM or Ctrl-C, in the foreground: for a container or a service.

    Changed files are taken in within 60 s. At the end runs are stopped gently and waited for.
    """
    from joblot.runner.schedule import Driver

    scheduler, place = _scheduler(output, path, state)
    with Driver(scheduler, output.log, place) as driver:
        return driver.run()


@command.command("tick")
@_folder
@_state
@quiet_option
@no_color_option
@click.pass_obj
def tick(output: Output, path: str, state: str | None) -> int:
    """Start what is due now, wait for it and end: for a crontab or a timer, once a minute.

    Any number may go on at once. With `-q` only what went wrong is printed.
    """
    from joblot.runner.schedule import Driver

    scheduler, place = _scheduler(output, path, state)
    with Driver(scheduler, output.log, place) as driver:
        return driver.tick()


@command.command("ls")
@_folder
@click.option(
    "-n",
    "--limit",
    metavar="N",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="at most so many that did not run",
)
@_state
@json_option
@no_color_option
@click.pass_obj
def ls(output: Output, path: str, state: str | None, *, limit: int) -> int:
    """List what is due next, the last run, and which due times had no run, with the reasons."""
    from joblot.journal.folder import past_runs
    from joblot.journal.schedules import Schedules

    files = _files(path)
    for fault in files.faults.values():
        output.note(fault)
    place = state_of(files.folder, state)
    with past_runs(place) as folder:
        schedules = None if folder is None else Schedules(folder.journal, read_only=True)
        found = [_Listed(planned, folder, schedules, limit) for planned in files.planned]
    if output.json:
        output.document([one.as_data() for one in found])
    elif found:
        output.result("\n".join(line for one in found for line in one.lines()))
    elif not files.faults:
        output.note(f"no batch file with a schedule in `{files.path}`")
    return EXIT_OK


@command.command("units")
@_folder
@_state
@click.pass_obj
def units(output: Output, path: str, state: str | None) -> int:
    """Print a systemd unit that runs the schedules of DIR, and the crontab line that does so without systemd. Nothing is installed."""
    files = _files(path)
    output.result(_unit(files.path, state), exact=True)
    return EXIT_OK


def take(batch: tuple[str, ...], scheduled_for: str, run_id: str, driving: dict[str, Any]) -> tuple[Taken, str]:
    """The due time that a run is for, to be taken, and the state folder.

    Raises:
        UsageError: the batch is not due then.
    """
    from joblot.cli.usual import usual_file
    from joblot.runner.schedule import Taken, planned_of, read_due

    if len(batch) > 1:
        raise UsageError("`--scheduled-for` is for one batch file")
    planned = planned_of(batch[0] if batch else usual_file())
    place = state_of(os.path.dirname(planned.source), driving["state"])  # noqa: PTH120
    network_ok = bool(driving["allow_network_fs"])
    return Taken(planned, read_due(planned, scheduled_for), run_id, place, network_ok=network_ok), str(place)


def _files(path: str) -> Any:
    from joblot.runner.schedule import Files

    files = Files(path)
    files.look()
    return files


def _scheduler(output: Output, path: str, state: str | None) -> tuple[Scheduler, Path]:
    from joblot.runner.schedule import Files, Scheduler

    files = Files(path)
    place = state_of(files.folder, state)
    return Scheduler(files, place, output.log), place


def state_of(folder: str, chosen: str | None) -> Path:
    """The state folder of the batch files of a folder."""
    from joblot.journal.folder import DEFAULT, state_path

    return state_path(chosen or os.path.join(folder, DEFAULT))  # noqa: PTH118


class _Listed:
    """One batch file, as `ls` tells it."""

    def __init__(self, planned: Planned, folder: StateFolder | None, schedules: Schedules | None, limit: int) -> None:
        self._planned = planned
        self._next = list(islice(planned.due_from(time.time()), _NEXT))
        rows = schedules.last_rows(planned.source, _LOOKED_AT) if schedules is not None else []
        self._last = next((row for row in rows if row.fate in ("claimed", "started")), None)
        self._others = [row for row in rows if row.fate not in ("claimed", "started")][:limit]
        info = folder.journal.info(self._last.run) if folder is not None and self._last is not None else None
        seen = self._last.why or "pruned" if self._last is not None and self._last.fate == "started" else "to begin"
        self._status = folder.status(info) if folder is not None and info is not None else seen

    def _why(self, row: Row) -> str:
        if row.fate == "merged":
            return f"merged into {self._planned.told(int(row.why))}"
        return f"{row.fate}: {row.why}"

    def lines(self) -> Iterator[str]:
        """For people."""
        planned, schedule = self._planned, self._planned.timing.schedule
        told = planned.told
        yield f"{planned.name}: {', '.join(schedule.cron)} ({planned.timing.timezone or 'the clock of this machine'})"
        if self._last is not None:
            yield f"  last  {told(self._last.at)}  run {self._last.run}: {self._status}"
        for number, at in enumerate(self._next):
            yield f"  {'next' if not number else '    '}  {told(at)}"
        if not self._next:
            yield "  next  never"
        for number, row in enumerate(self._others):
            count = f"  ({'more than ' * row.more}{row.count:,}, from {told(row.first)})" if row.count > 1 else ""
            yield f"  {'not run' if not number else '       '}  {told(row.at)}  {self._why(row)}{count}"

    def as_data(self) -> dict[str, Any]:
        """As JSON."""
        from joblot.clock import iso_in

        planned, schedule = self._planned, self._planned.timing.schedule

        def iso(at: int) -> str:
            return iso_in(at, planned.timing.timezone)

        last = self._last
        return {
            "batch_file": planned.source,
            "cron": list(schedule.cron),
            "timezone": planned.timing.timezone,
            "next": [iso(at) for at in self._next],
            "last": None if last is None else {"due": iso(last.at), "run_id": last.run, "status": self._status},
            "not_run": [
                {
                    "due": iso(row.at),
                    "first_due": iso(row.first),
                    "count": row.count,
                    "more": bool(row.more),
                    "fate": row.fate,
                    "reason": iso(int(row.why)) if row.fate == "merged" else row.why,
                }
                for row in self._others
            ],
        }


# --- units ------------------------------------------------------------------------------------------

_UNIT: Final = """\
# {name}.service: to ~/.config/systemd/user/, then
#   systemctl --user daemon-reload && systemctl --user enable --now {name}
#   loginctl enable-linger    (it runs when you are not logged in)
# Without systemd, in a crontab (crontab -e):
#   PATH={crontab_path}
#   * * * * *  {tick}

[Unit]
Description=joblot schedules of {description}

[Service]
ExecStart={run}
Environment={environment}
Restart=on-failure
KillMode=mixed
OOMPolicy=continue

[Install]
WantedBy=default.target
"""


def _unit(path: str, state: str | None) -> str:
    import re
    from shlex import join

    folder = path if os.path.isdir(path) else os.path.dirname(path)  # noqa: PTH112, PTH120
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", os.path.basename(folder)).strip("-.") or "batches"  # noqa: PTH119
    beside = Path(sys.executable).with_name("joblot")
    program = [str(beside)] if beside.exists() else [sys.executable, "-m", "joblot"]
    places = ["--state", state] if state else []
    search = os.environ.get("PATH", os.defpath)
    return _UNIT.format(
        name=f"joblot-{name}",
        description=path.replace("%", "%%"),
        run=" ".join(map(_unit_word, [*program, "schedule", "run", *places, path])),
        environment=_unit_word(f"PATH={search}", is_command=False),
        crontab_path=search,
        tick=join([*program, "schedule", "tick", "-q", *places, path]).replace("%", r"\%"),
    )


def _unit_word(word: str, *, is_command: bool = True) -> str:
    """A word of a unit as systemd reads it."""
    word = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    word = word.replace("$", "$$") if is_command else word
    return f'"{word}"' if any(char in word for char in " \t'\\;=") else word
