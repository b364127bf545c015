"""What a job may be called: its name is part of file names and of references."""

from __future__ import annotations

import re
from typing import Final

JOB_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.|$)){0,99}", re.ASCII)
"""Names of jobs; names that Windows reserves are refused as well."""
RESERVED_NAME: Final = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|$)", re.IGNORECASE)
NAME_RULE: Final = (
    "a name is 1 to 100 of `A-Z a-z 0-9 . _ -`, begins with a letter or a digit, has no `..` and no `.` at its end"
)


def is_job_name(name: str) -> bool:
    """Whether a job may be called so."""
    return bool(JOB_NAME.fullmatch(name)) and not RESERVED_NAME.match(name)
