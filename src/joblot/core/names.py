"""What a job may be called: its name is part of file names and of references."""

from __future__ import annotations

from typing import Final

LONGEST_NAME: Final = 100
_RESERVED: Final = frozenset(
    {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}
)
NAME_RULE: Final = (
    "a name is 1 to 100 of `A-Z a-z 0-9 . _ -`, begins with a letter or a digit, has no `..` and no `.` at its end"
)


def is_job_name(name: str) -> bool:
    """Whether a job may be called so."""
    if (
        4 < len(name) <= LONGEST_NAME and "." not in name
    ):  # as most are; names without an ending that Windows keeps are shorter
        return is_plain_word(name) and name[0] not in "_-"
    return keeps_rule(name) and not is_reserved(name)


def is_plain_word(text: str) -> bool:
    """Whether a text is one or more of `A-Z a-z 0-9 _ -`: what stands between the dots of a name."""
    return text.isascii() and text.replace("_", "0").replace("-", "0").isalnum()


def keeps_rule(name: str) -> bool:
    """Whether a name is as `NAME_RULE` says."""
    return len(name) <= LONGEST_NAME and name[:1].isalnum() and all(map(is_plain_word, name.split(".")))


def is_reserved(name: str) -> bool:
    """Whether Windows keeps a name for itself, whatever its ending."""
    return name.partition(".")[0].lower() in _RESERVED
