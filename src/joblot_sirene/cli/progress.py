"""What a batch prints on standard error while it runs. It reads the records of the run, and changes nothing."""

from __future__ import annotations

from typing import Any

import click


class Progress:
    """An observer of a run whose jobs are numbered like `codes`, and which goes on after a failure if `go_on`.

    With `verbose` every event is a line, on standard error if `err`.
    """

    def __init__(self, codes: list[str], *, go_on: bool, verbose: bool, err: bool) -> None:
        self._codes = codes
        self._go_on = go_on
        self._verbose = verbose
        self._err = err
        self._announced = 0
        self._ended: set[int] = set()

    def started(self, run_id: str, view: Any) -> None:  # noqa: ARG002 - an observer's signature
        """Print the run's id."""
        click.echo(f"run {run_id}: {len(self._codes)} codes", err=True)

    def recorded(self, record: Any) -> None:
        """Print what the events of a record mean for codes."""
        for event in record.events:
            kind = type(event).__name__  # the classes of events are no public names
            if kind == "AttemptsStarted":
                self._announce(min(event.jobs) + 1 if event.jobs else 0)
            elif kind == "AttemptEnded" and event.reason != "fail_fast":
                self._announce(event.job + (2 if event.outcome == "ok" or self._go_on else 1))
            elif kind == "JobsEnded":
                self._ended.update(event.jobs)
            if self._verbose:
                self._print_event(kind, event)

    def idle(self) -> None:
        """Called while the run waits, which is of no use here."""

    def warned(self, message: str) -> None:
        """Print a warning of the engine."""
        click.echo(f"WARNING: {message}", err=True)

    def ended(self, status: str) -> None:
        """Print how the run ended, if `verbose`."""
        if self._verbose:
            click.echo(f"run ended: {status}", err=self._err)

    def _announce(self, upto: int) -> None:
        """Print the codes up to this number, each once, in their order, but for those that ended without a start: up to date, or aborted."""
        for number in range(self._announced + 1, min(upto, len(self._codes)) + 1):
            if number - 1 not in self._ended:
                click.echo(f"[{number}/{len(self._codes)}] Processing NAF {self._codes[number - 1]}...", err=True)
            self._announced = number

    def _print_event(self, kind: str, event: Any) -> None:
        if kind == "AttemptEnded":
            code = self._codes[event.job]
            message = f": {event.message}" if event.message else ""
            click.echo(f"{code}: attempt {event.attempt} {event.outcome}, {event.wall_s:.2f} s{message}", err=self._err)
        elif kind == "Logged":
            code = self._codes[event.job] if event.job >= 0 else "run"
            click.echo(f"{code}: {event.level}: {event.message}", err=self._err)
        elif kind == "JobsEnded":
            for job in event.jobs:
                click.echo(f"{self._codes[job]}: {event.state} ({event.reason})", err=self._err)
        else:
            click.echo(kind, err=self._err)
