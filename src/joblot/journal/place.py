"""Where the state folder of a batch is: beside the batch file, unless another is chosen or an earlier one is still in use."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from joblot.errors import NoRunsError, StateError
from joblot.journal.folder import DEFAULT, StateFolder, state_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from joblot.core.model import Config


def state_of(config: Config, chosen: str | Path | None, warn: Callable[[str], None]) -> Path:
    """The state folder of a batch: as chosen, else `JOBLOT_STATE`, else `.joblot` in the batch's folder.

    Where there is none yet, one in the working folder is used that has earlier runs of the batch, and one in the working folder is made when the
    batch's folder cannot be written to; `warn` is told of both. Nothing is made or moved here.

    Raises:
        StateError: its path cannot be used.
    """
    if chosen or os.environ.get("JOBLOT_STATE"):
        return state_path(chosen)
    beside = state_path(Path(config.folder) / DEFAULT)
    try:
        here = state_path(DEFAULT)
    except FileNotFoundError:  # the working folder is gone
        return beside
    if here == beside or os.path.lexists(beside):
        return beside
    if _has_runs_of(here, config, warn):
        warn(f"earlier runs of this batch are in `{here}`, which is used; as `{beside}` it is found from every folder")
        return here
    if not os.access(config.folder, os.W_OK | os.X_OK):
        warn(f"`{config.folder}` cannot be written to: the state folder is `{here}`")
        return here
    return beside


def shared_folder() -> str:
    """The folder of what the runs of a user share, whatever their state folders are: `joblot` in `$XDG_STATE_HOME` or `~/.local/state`.

    It need not exist. Where the variable holds a relative path it is not used, as its specification asks for.
    """
    base = os.environ.get("XDG_STATE_HOME", "")
    if not base.startswith("/"):
        base = os.path.expanduser("~/.local/state")  # noqa: PTH111 - no home is no error here
    return f"{base}/joblot"


def _has_runs_of(state: Path, config: Config, warn: Callable[[str], None]) -> bool:
    try:
        folder = StateFolder(state, read_only=True)
    except NoRunsError:
        return False
    except StateError as error:  # it may be a stranger's: in a folder that many use that must stop nobody
        warn(f"whether `{state}` has earlier runs of this batch is not known: {error.message}")
        return False
    try:
        return folder.journal.has_runs_of(config.name, config.source)
    finally:
        folder.close()
