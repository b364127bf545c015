"""Which file is meant where none is named."""

from __future__ import annotations

import os
from typing import Final

from joblot.errors import UsageError

BATCH_FILES: Final = ("joblot.yaml", "joblot.yml", "joblot.json", "joblot.toml")


def usual_file() -> str:
    """The batch file of this folder.

    Raises:
        UsageError: it has none of the usual names.
    """
    file = next((name for name in BATCH_FILES if os.path.exists(name)), None)  # noqa: PTH110 - pathlib costs start-up time
    if file is None:
        raise UsageError("no batch file was named, and there is no `joblot.yaml` here", hint="`joblot init` writes one")
    return file
