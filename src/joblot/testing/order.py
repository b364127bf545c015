"""Who comes before whom, read off a batch as a person would: each path that is read is held beside each that is made.

It judges `core.dataflow`, so it has nothing of it; it has no index either, and takes the square of the number of jobs.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from joblot.core.references import Reference, split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from joblot.core.plan import Plan


class Before(NamedTuple):
    """What a job comes after, as numbers of jobs."""

    written: set[int]
    """What the batch says that it needs."""
    makers: set[int]
    """What makes something that it reads."""
    needs: set[int]
    """Both, with what growing ones among them have found; by old rules what is written only."""


def before(plan: Plan) -> list[Before]:
    """By job, what it comes after."""
    finders = {job: finder for finder, found in plan.grown.items() for job in found}
    made = [
        [_parts(_any_item(path), plan.config.folder) for path in plan.spec(job).outputs] for job in range(len(plan))
    ]
    rows = []
    for job in range(len(plan)):
        written = {finders[job]} if job in finders else _named(plan, job, finders)
        makers = set() if job in plan.growing else _makers(plan, job, made)
        needs = written | makers if plan.config.rules and job not in plan.finals else set(written)
        if job not in finders:
            needs |= {found for found, finder in finders.items() if finder in needs}
        rows.append(Before(written, makers, needs - {job}))
    return rows


def _named(plan: Plan, job: int, finders: dict[int, int]) -> set[int]:
    others = [other for other in range(len(plan)) if other not in finders and other != job]
    phase = [other for other in others if (other in plan.finals) == (job in plan.finals)]
    return {other for need in plan.spec(job).needs for other in phase if fnmatchcase(plan.name(other), need)}


def _makers(plan: Plan, job: int, made: Sequence[Sequence[Sequence[str]]]) -> set[int]:
    spec, found = plan.spec(job), set[int]()
    for at, path in enumerate([spec.input] if isinstance(spec.input, str) else spec.input or []):
        read = _parts(path, plan.config.folder)
        for other in range(len(plan)):
            if other == job:
                continue
            if at not in spec.patterns:
                is_made = any(_overlap(one, read) for one in made[other])
            elif other in plan.growing:
                is_made = any(_begin_alike(read, one) for one in made[other])
            else:
                is_made = any(_matches(read, one) or _is_around(one, read) for one in made[other])
            found |= {other} if is_made else set()
    return found


def _any_item(path: str) -> str:
    """An output of jobs that are not known yet: the item stands for anything."""
    return "".join("*" if isinstance(piece, Reference) else piece for piece in split(path))


def _parts(path: str, folder: str) -> list[str]:
    parts: list[str] = []
    for part in (path if path.startswith("/") else f"{folder}/{path}").split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return parts


def _matches(pattern: Sequence[str], path: Sequence[str]) -> bool:
    """Whether a pattern finds a path, name by name; `**` stands for any number of them, as the last one for at least one."""
    if not pattern or not path:
        return not pattern and not path
    if pattern[0] == "**":
        return _matches(pattern[1:], path) or (len(pattern) == 1 == len(path)) or _matches(pattern, path[1:])
    return fnmatchcase(path[0], pattern[0]) and _matches(pattern[1:], path[1:])


def _is_around(folder: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a folder is one that a pattern names, and so looks into, whatever it finds."""
    beginning = pattern[: len(folder)]
    return (
        len(folder) < len(pattern)
        and list(folder) == list(beginning)
        and not any("*" in p or "?" in p for p in beginning)
    )


def _overlap(pattern: Sequence[str], path: Sequence[str]) -> bool:
    """Whether what an output stands for is a path, or something in it, or a folder around it."""
    return all(
        name == like or ("*" in like and fnmatchcase(name, like)) for like, name in zip(pattern, path, strict=False)
    )


def _begin_alike(read: Sequence[str], made: Sequence[str]) -> bool:
    """Whether a pattern and the output of jobs that are not known yet have the same beginning, as far as that is known of both."""
    one, other = (re.split(r"[*?]", "/".join(parts))[0] for parts in (read, made))
    return one.startswith(other) or other.startswith(one)
