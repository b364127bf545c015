"""Durations and sizes as people write them: `90s`, `1h30m`, `512MiB`. Seconds and bytes inside."""

from __future__ import annotations

import re
from typing import Final

_DURATION_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION_PART: Final = r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)"
_DURATION: Final = r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h|d))+"
_SIZE: Final = r"(?i)([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?i?b?)"
_SIZE_UNITS: Final = {
    "": 1, "b": 1,
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
    "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12,
    "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40,
}  # fmt: skip
MAX_SECONDS: Final = 366 * 86400.0
MAX_BYTES: Final = 2**60


def parse_duration(text: str | float) -> float:
    """Seconds from `90`, `1.5`, `90s`, `5m`, `1h30m` or `250ms`.

    Raises:
        ValueError: not a duration, negative, or longer than a year.
    """
    if isinstance(text, bool):
        raise ValueError("a duration is a number of seconds or a text such as `90s`, `5m`, `1h30m`")
    if isinstance(text, (int, float)):
        seconds = float(text)
    else:
        stripped = text.strip()
        if re.fullmatch(r"[0-9]+(\.[0-9]+)?", stripped):
            seconds = float(stripped)
        elif re.fullmatch(_DURATION, stripped):
            seconds = sum(
                float(number) * _DURATION_UNITS[unit] for number, unit in re.findall(_DURATION_PART, stripped)
            )
        else:
            raise ValueError(f"`{text}` is not a duration: write seconds, or `90s`, `5m`, `1h30m`, `250ms`")
    if not 0 <= seconds <= MAX_SECONDS:
        raise ValueError(f"a duration is between 0 and 366 days, not {text}")
    return seconds


def parse_size(text: str | int) -> int:
    """Bytes from `1024`, `512MB`, `2GiB` or `1.5 GB`.

    Raises:
        ValueError: not a size, negative, or above an exbibyte.
    """
    if isinstance(text, bool) or not isinstance(text, (int, str)):
        raise ValueError("a size is a number of bytes or a text such as `512MB` or `2GiB`")
    if isinstance(text, int):
        number = text
    else:
        match = re.fullmatch(_SIZE, text.strip())
        if match is None or match[2].lower() not in _SIZE_UNITS:
            raise ValueError(f"`{text}` is not a size: write bytes, or `512MB`, `2GiB`")
        number = int(min(float(match[1]) * _SIZE_UNITS[match[2].lower()], MAX_BYTES + 1))
    if not 0 <= number <= MAX_BYTES:
        raise ValueError(f"a size is between 0 and 1 EiB, not {text}")
    return number


def parse_failures(text: str | int) -> int | float:
    """How many failures are meant by `3`, as a whole number; by `10%` a share of 1, as a float.

    Raises:
        ValueError: neither, or a share of nothing or of all.
    """
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*%", text.strip()) if isinstance(text, str) else None
    if found is not None:
        if not 0 < float(found[1]) < 100:
            raise ValueError(f"a share of failures is more than 0% and less than 100%, not {text}")
        return float(found[1]) / 100
    if isinstance(text, str) and re.fullmatch(r"[0-9]{1,9}", text.strip()):
        text = int(text)
    if isinstance(text, bool) or not isinstance(text, int):
        raise ValueError(f"`{text}` is not a number of failures: write `3`, or a share such as `10%`")
    if text < 1:
        raise ValueError(f"at least 1 failure stops a run, not {text}")
    return text


def format_failures(most: float) -> str:
    """As `parse_failures` reads it."""
    return f"{most * 100:.10g}%" if isinstance(most, float) else str(most)


def format_size(size: float) -> str:
    """`512 B`, `12 KiB`, `3.4 MiB`, `1.2 GiB`: short, for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1023.5:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 9.95 else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def format_duration(seconds: float) -> str:
    """`12 ms`, `4.2 s`, `3m05s`, `2h07m`: short, for people."""
    # A form ends where rounding would write its limit: 59.96 is `1m00s`, not `60.0 s`.
    if seconds < 0.9995:
        return f"{round(seconds * 1000)} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    minutes = round(whole / 60)
    if minutes < 1440:
        return f"{minutes // 60}h{minutes % 60:02d}m"
    hours = round(whole / 3600)
    return f"{hours // 24}d{hours % 24:02d}h"


def format_age(seconds: float) -> str:
    """`<1 s`, `12 s`, `3m05s`, `2h07m`: how long something goes on already, which changes with each look."""
    return "<1 s" if seconds < 1 else f"{int(seconds)} s" if seconds < 60 else format_duration(int(seconds))


def about_duration(seconds: float) -> str:
    """`about 4 min`: a guess, with at most two digits."""
    for limit, unit_s, unit in ((90.0, 1.0, "s"), (5400.0, 60.0, "min"), (172800.0, 3600.0, "h")):
        if seconds < limit:
            return f"about {max(1, round(seconds / unit_s))} {unit}"
    days = round(seconds / 86400)
    return f"about {days} days" if days < 100 else "more than 99 days"
