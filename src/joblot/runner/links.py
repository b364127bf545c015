"""Two paths of a batch that links lead to one file: the plan compares paths as they are written, and takes them for two.

It is looked at when a run begins, one look a folder; a link that a job makes while the run goes on is not seen.
"""

from __future__ import annotations

import os
from posixpath import join, normpath
from typing import TYPE_CHECKING, Final

from joblot.core.numbered import job_problem
from joblot.core.patterns import as_literal, as_paths, literal_length
from joblot.core.references import OPENING
from joblot.errors import ConfigError, Diagnostic

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from joblot.core.dataflow import Makers
    from joblot.core.model import Config
    from joblot.core.plan import Plan

_FEW: Final = 64
"""Of so many paths of a folder each is asked whether it is a link; of more, the folder is read once."""
_MOST_SHOWN: Final = 20


def refuse_links(plan: Plan, left_out: Collection[int] = ()) -> None:
    """Refuse a batch in which links make two paths one file, of which the plan does not know that.

    A job that is left out reads nothing, and what it makes is read as it is.

    Raises:
        ConfigError: jobs write one file, or one reads what another makes that is not among its needs, near or far.
    """
    if not plan.config.rules or not any(spec.outputs for spec in plan.config.jobs) or not _may_meet_links(plan.config):
        return
    spelt = _Spelt(plan)
    if spelt.is_other:
        spelt.leave_made_links(plan)
        makers = plan.makers_as(spelt.folder, spelt)
        hint = "links are followed: give each job files of its own"
        problems = [problem._replace(hint=hint) for problem in makers.problems]
        problems += _read(plan, makers, spelt, frozenset(left_out))
        if problems:
            raise ConfigError(problems[:_MOST_SHOWN])


def _may_meet_links(config: Config) -> bool:
    """Whether some path may lead elsewhere than it says, asked of the declarations: hundreds of thousands of jobs cost as much as one.

    Where an item, a value or a wildcard stands, it may be any name in the folder before it, or any path below.
    """
    real = os.path.realpath(config.folder)
    named: dict[str, list[str]] = {}
    open_ended: set[str] = set()
    for path in {path for spec in config.jobs for path in (*spec.outputs, *as_paths(spec.input))}:
        if path.startswith("/") and real != config.folder:  # it may name the batch's folder by its other name
            return True
        whole = join(real, path)
        known = whole.partition(OPENING)[0]
        known = known[: literal_length(known)]
        folder, _, name = normpath(whole).rpartition("/")
        if known != whole:
            open_ended.add(known.rpartition("/")[0])
        elif "/.." not in whole:
            named.setdefault(folder, []).append(name)
        elif os.path.realpath(whole) != f"{folder}/{name}":
            return True
    return (
        any(os.path.realpath(folder) != normpath(folder) for folder in (*named, *open_ended))
        or any(_has_links_or_folders(folder) for folder in open_ended)
        or any(_links(folder, names) for folder, names in named.items())
    )


def _has_links_or_folders(folder: str) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(entry.is_symlink() or entry.is_dir(follow_symlinks=False) for entry in entries)
    except OSError:
        return False


def _read(plan: Plan, makers: Makers, spelt: _Spelt, left_out: frozenset[int]) -> Iterator[Diagnostic]:
    for job, path, is_pattern in _inputs(plan):
        if job in left_out:
            continue
        real = spelt(path)
        if not is_pattern and makers.writes(job, real):
            message = f"job `{plan.name(job)}` reads `{path}` and writes it: it is `{real}`, links followed"
            yield job_problem("output_conflict", plan.declarations[job], message, hint="write to another file")
        made = makers.of_pattern(real) if is_pattern else makers.of(real)
        found = [maker for maker in made if maker.job not in left_out]
        maker = None if job in plan.finals else plan.not_needed(job, found)
        if maker is not None:
            name, need = plan.name(job), plan.name(maker.job)
            message = f"job `{name}` reads `{path}`, by a link what job `{need}` makes, which it does not need: `{maker.path}`"
            hint = f"write `{real}` there, or `needs: [{need}]`"
            yield job_problem("dataflow", plan.declarations[job], message, hint=hint)


def _inputs(plan: Plan) -> Iterator[tuple[int, str, bool]]:
    """Each job with each path that it reads and that is known, and whether that is a pattern."""
    for job, job_input in enumerate(plan.each("input")):
        for at, path in enumerate(as_paths(job_input)):
            if OPENING not in path:
                yield job, path, at in plan.declarations[job].patterns


class _Spelt:
    """The paths of a batch without links, relative to its real folder where they are below that. Of a pattern, the folder that it begins with."""

    def __init__(self, plan: Plan) -> None:
        self._lexical = plan.config.folder
        self.folder = os.path.realpath(self._lexical)
        self.is_other = False
        """Whether some path leads elsewhere than it says."""
        self._moved: dict[str, str] = {}
        folders: dict[str, list[str]] = {}
        for path in dict.fromkeys(path for outputs in plan.each("outputs") for path in outputs):
            self._note(path, folders)
        begins: dict[str, str] = {}
        for _, path, is_pattern in _inputs(plan):
            if is_pattern:
                begins[path] = path[: literal_length(path)].rpartition("/")[0]
            else:
                self._note(path, folders)
        for path in begins.values():
            self._note(path, folders)
        for folder, names in folders.items():
            self._follow(folder, names)
        for pattern, begin in begins.items():
            if begin in self._moved:
                self._moved[pattern] = f"{as_literal(self._moved[begin])}/{pattern[len(begin) + 1 :]}"

    def leave_made_links(self, plan: Plan) -> None:
        """Take an output that is a link for itself, where what it leads to is made by a job that this one needs: then it is there to make the link."""
        for job, outputs in enumerate(plan.each("outputs")):
            for path in outputs:
                target = self._moved.get(path)
                maker = plan.makers.around(target) if target and os.path.islink(join(self.folder, path)) else None  # noqa: PTH114
                if maker is not None and maker.job != job and plan.not_needed(job, [maker]) is None:
                    folder, _, name = path.rpartition("/")
                    self._moved[path] = self._below(
                        join(os.path.realpath(join(self.folder, folder)), name), self.folder
                    )

    def __call__(self, path: str) -> str:
        """The path as it really is."""
        return self._moved.get(path, path)

    def _note(self, path: str, folders: dict[str, list[str]]) -> None:
        """Sort a path to those of its folder; one with `..` and the like is followed at once."""
        if path.startswith(("/", ".")) or "/." in path or "//" in path or path.endswith("/"):
            self._move(path, os.path.realpath(join(self._lexical, path)))
        elif path:
            folder, _, name = path.rpartition("/")
            folders.setdefault(folder, []).append(name)

    def _follow(self, folder: str, names: list[str]) -> None:
        real = os.path.realpath(f"{self.folder}/{folder}")
        is_moved = real != f"{self.folder}/{folder}".rstrip("/")
        names = list(dict.fromkeys(names))
        for name in names if is_moved else _links(real, names):
            self._move(f"{folder}/{name}" if folder else name, os.path.realpath(f"{real}/{name}"))

    def _move(self, path: str, real: str) -> None:
        written, real = self._below(normpath(join(self._lexical, path)), self._lexical), self._below(real, self.folder)
        self.is_other |= written != real
        if real != path:
            self._moved[path] = real

    @staticmethod
    def _below(path: str, folder: str) -> str:
        start = f"{folder.rstrip('/')}/"
        return path.removeprefix(start)


def _links(folder: str, names: list[str]) -> list[str]:
    """Those of the names that are links in the folder."""
    if len(names) <= _FEW:
        return [name for name in names if os.path.islink(f"{folder}/{name}")]  # noqa: PTH114
    try:
        with os.scandir(folder) as entries:
            links = {entry.name for entry in entries if entry.is_symlink()}
    except OSError:
        return []
    return [name for name in names if name in links] if links else []


def real_paths(job_input: object, folder: str) -> list[str]:
    """The real paths of what a job reads, those in the batch's folder relative to it."""
    base = os.path.realpath(folder)
    return [os.path.realpath(join(base, path)).removeprefix(f"{base}/") for path in as_paths(job_input)]
