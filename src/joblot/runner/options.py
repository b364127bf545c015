"""How a batch is to be run: what a caller or a command line chooses."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - the fields of `Options` can be read
from typing import TYPE_CHECKING, Literal

import msgspec

from joblot.core.selection import Selection
from joblot.executors.spool import CAP
from joblot.runner.engine import DISK_WAIT_S, STOP_GRACE_S

if TYPE_CHECKING:
    from joblot.core.model import Config


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How to run a batch. What is None is taken from the batch, then from the defaults.

    `on` is where jobs run (`local`, `inline`, a kind of cluster, or the address of a Dask scheduler); `cluster` is the settings file of a
    cluster; `workers` how many attempts run at once (default: the batch's `max_workers`, else the
    machine's processors, or all that the cluster has); `state` the state folder, or False to keep nothing on disk; `stop_grace_s` how long running jobs may go on
    after the first Ctrl-C; `disk_wait_s` how long to wait for room when the disk is full; `allow_network_fs` whether the state folder may
    be on a network file system, at the risk of the journal; `max_failures` at how many failures it stops, or a float, when more than that share have failed; `max_memory` how many bytes all that runs may hold together; `max_log` how
    many bytes are kept of what an attempt prints; `strict` whether warnings of a batch file are errors; `skip_unknown_actions` whether jobs
    whose action is unknown are skipped rather than refused; `fuse` whether jobs that can be run as one are; `written` the files that the caller itself writes about the run, which are no part of a folder
    that a job reads; `wait` whether the end of another run is waited for that is in the way; `only`, `upto`, `from_` and `exclude` which
    jobs take part, as `Selection` says.
    """

    on: str = "local"
    cluster: str | Path | None = None
    workers: int | None = None
    fail_fast: bool | None = None
    max_failures: int | float | None = None
    timeout_s: float | None = None
    state: str | Path | Literal[False] | None = None
    run_id: str | None = None
    strict: bool = False
    skip_unknown_actions: bool = False
    stop_grace_s: float = STOP_GRACE_S
    disk_wait_s: float = DISK_WAIT_S
    allow_network_fs: bool = False
    max_memory: int | None = None
    max_log: int = CAP
    capture: bool = True
    force: tuple[str, ...] = ()
    fuse: bool = True
    written: tuple[str | Path, ...] = ()
    wait: bool = False
    only: tuple[str, ...] = ()
    upto: tuple[str, ...] = ()
    from_: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    @property
    def selection(self) -> Selection:
        """Which jobs take part."""
        return Selection(self.only, self.upto, self.from_, self.exclude)


def reports_of(config: Config) -> list[str]:
    """The files that the batch has its runs written to: no part of what a job reads."""
    if not config.report:
        return []
    from joblot.reports.forms import declared_files

    return [file.path for file in declared_files(config)]
