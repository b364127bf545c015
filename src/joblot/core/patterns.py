"""Paths of a batch as they are written, and patterns of them, as Python's `glob` reads them. Part of the core: pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from joblot.core.references import OPENING

if TYPE_CHECKING:
    from collections.abc import Sequence

STATE_NAME: Final = ".joblot"
"""A folder of this name is a state folder, and no part of what a job reads or makes."""
STATE_HINT: Final = f"`{STATE_NAME}` holds what joblot keeps of runs: name something else"


def as_word(path: str, folder: str) -> str:
    """A path as a word of a command: never an option. `folder` is the batch's where the command runs in another one, else empty."""
    if folder and not path.startswith("/"):
        return f"{folder}/{path}"
    return f"./{path}" if path.startswith(("-", OPENING)) else path


def as_paths(job_input: object) -> Sequence[str]:
    """The paths of an `input`: none, one, or a list."""
    if isinstance(job_input, str):
        return (job_input,)
    return [path for path in job_input if isinstance(path, str)] if isinstance(job_input, list) else ()


def is_in_state_folder(path: str) -> bool:
    """Whether a path is a state folder, or something inside of one, by its name."""
    return f"/{STATE_NAME}/" in f"/{path}/"


def has_wildcard(path: str) -> bool:
    """Whether a path as it is written is a pattern."""
    return "*" in path or "?" in path


def as_literal(value: str) -> str:
    """A value written so that it stands for itself in a pattern."""
    return re.sub(r"[*?[]", r"[\g<0>]", value)


def literal_length(pattern: str) -> int:
    """How much of a pattern stands for itself, up to its first wildcard."""
    match = re.search(r"[*?[]", pattern)
    return match.start() if match else len(pattern)


def as_regex(pattern: str) -> str:
    """A pattern as Python's `glob` reads it: `*` and `?` within a name, `[...]`, `**` for folders, none of them for a dot at the beginning."""
    *folders, last = pattern.split("/")
    parts = [r"(?:[^/.][^/]*/)*" if folder == "**" else f"{_name_as_regex(folder)}/" for folder in folders]
    parts.append(r"(?:[^/.][^/]*/)*[^/.][^/]*" if last == "**" else _name_as_regex(last))
    return "".join(parts)


def _name_as_regex(name: str) -> str:
    """A name's pattern. What stands between two stars is taken where it comes first, for good: so many stars take no time to speak of."""
    parts, at = [""], 0
    while at < len(name):
        end = _end_of_class(name, at) if name[at] == "[" else 0
        if end:
            from fnmatch import translate  # seldom needed, and it needs a lot

            parts[-1] += "(?!/)" + translate(name[at:end])[len("(?s:") : -len(r")\Z")]
        elif name[at] == "*":
            parts += [""]
        else:
            parts[-1] += "[^/]" if name[at] == "?" else re.escape(name[at])
        at = end or at + 1
    begin = r"(?!\.)" if name[:1] in ("*", "?", "[") else ""
    if len(parts) == 1:
        return begin + parts[0]
    first, *middle, last = parts
    return begin + first + "".join(f"(?>[^/]*?{part})" for part in middle if part) + f"[^/]*{last}"


def _end_of_class(name: str, at: int) -> int:
    """Where the `[...]` ends that begins there; 0 when it has no end and stands for itself. A `]` that is its first sign is one of it."""
    first = at + 1 + (name[at + 1 : at + 2] == "!")
    return name.find("]", first + 1) + 1
