"""Two paths of a batch that links lead to one file: the plan compares paths as they are written, and takes them for two.

It is looked at when a run begins, one look a folder, and into the folders that are read whole; a link that a job makes while the run goes on is not seen.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from operator import attrgetter
from posixpath import join, normpath
from typing import TYPE_CHECKING, Final

from joblot.core.numbered import job_problem
from joblot.core.patterns import STATE_NAME, as_literal, as_paths, literal_length
from joblot.core.references import OPENING
from joblot.errors import ConfigError, Diagnostic

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from joblot.core.dataflow import Makers
    from joblot.core.model import Config, JobSpec
    from joblot.core.plan import Plan

_FEW: Final = 64
"""Of so many paths of a folder each is asked whether it is a link; of more, the folder is read once."""
_MOST_SHOWN: Final = 20
_OF_FOUND_FILES: Final = {"", "name", "stem"}
"""The columns of items that a pattern has found: no other items have a value without a name beside others."""


def refuse_links(plan: Plan, left_out: Collection[int] = ()) -> None:
    """Refuse a batch in which links make two paths one file, of which the plan does not know that.

    A job that is left out reads nothing, and what it makes is read as it is.

    Raises:
        ConfigError: jobs write one file, or one reads what another makes that is not among its needs, near or far.
    """
    if not plan.config.rules or not any(spec.outputs for spec in plan.config.jobs) or not _may_meet_links(plan.config):
        return
    spelt = _Spelt(plan)
    if spelt.is_other or any(spelt.inside(path) for path in dict.fromkeys(path for _, path, _ in _inputs(plan))):
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
    read = {normpath(join(real, path)) for spec in config.jobs for path in as_paths(spec.input)}
    named: dict[str, list[str]] = {}
    open_ended: set[str] = set()
    for path in {path for spec in config.jobs for path in (*spec.outputs, *as_paths(spec.input), *_found_files(spec))}:
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
        or any(_leads_on(folder, names, read, real) for folder, names in named.items())
    )


def _leads_on(folder: str, names: list[str], read: Collection[str], base: str) -> bool:
    """Whether some of the names are links, or folders that are read and have links in them."""
    links, folders = _links_and_folders(folder, names)
    inner = [path for name in folders if (path := f"{folder}/{name}") in read]
    return bool(links) or any(_links_inside(path, base) for path in inner)


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
        yield from _read_inside(plan, makers, spelt, job, path, left_out)


def _read_inside(
    plan: Plan, makers: Makers, spelt: _Spelt, job: int, path: str, left_out: frozenset[int]
) -> Iterator[Diagnostic]:
    """What a link in a folder that a job reads leads to, and another makes."""
    for link, target in spelt.inside(path) if job not in plan.finals else ():
        found = [maker for maker in makers.of(target) if maker.job not in left_out]
        maker = plan.not_needed(job, found)
        if maker is not None:
            name, need = plan.name(job), plan.name(maker.job)
            message = f"job `{name}` reads `{link}`, a link to what job `{need}` makes, which it does not need: `{maker.path}`"
            yield job_problem("dataflow", plan.declarations[job], message, hint=f"`needs: [{need}]`")
            return


def _inputs(plan: Plan) -> Iterator[tuple[int, str, bool]]:
    """Each job with each path that it reads and that is known, and whether that is a pattern. A file that was found for it is read too."""
    last: JobSpec | None = None
    found: Sequence[str] = ()
    first = 0
    for job, job_input in enumerate(plan.each("input")):
        spec = plan.declarations[job]
        for at, path in enumerate(as_paths(job_input)):
            if OPENING not in path:
                yield job, path, at in spec.patterns
        if spec is not last:
            last, found, first = spec, _found_files(spec), job
        if found and found[job - first] != job_input:
            yield job, found[job - first], False


def _found_files(spec: JobSpec) -> Sequence[str]:
    """The files that a pattern has found as the items of a fan-out."""
    fan = spec.fan_out
    return fan.columns[""] if fan is not None and fan.kind == "rows" and fan.columns.keys() == _OF_FOUND_FILES else ()


class _Spelt:
    """The paths of a batch without links, relative to its real folder where they are below that. Of a pattern, the folder that it begins with."""

    def __init__(self, plan: Plan) -> None:
        self._lexical = plan.config.folder
        self.folder = os.path.realpath(self._lexical)
        self.is_other = False
        """Whether some path leads elsewhere than it says."""
        self._moved: dict[str, str] = {}
        self._is_made = plan.is_made
        self._folders: dict[str, str] = {}
        """The real paths of those that are folders."""
        self._inside: dict[str, list[tuple[str, str]]] = {}
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

    def inside(self, path: str) -> list[tuple[str, str]]:
        """The links in a folder that is read: the path of each, and where it really leads to."""
        if path not in self._inside:
            folder = self._folders.get(path)
            found = _links_inside(folder, self.folder, self._is_made) if folder is not None else ()
            self._inside[path] = [
                (f"{path.rstrip('/')}/{name}", self._below(real, self.folder)) for name, real in found
            ]
        return self._inside[path]

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
        links, inner = (names, []) if is_moved else _links_and_folders(real, names)
        for name in links:
            self._move(f"{folder}/{name}" if folder else name, os.path.realpath(f"{real}/{name}"))
        for name in inner:
            self._folders[f"{folder}/{name}" if folder else name] = f"{real}/{name}"

    def _move(self, path: str, real: str) -> None:
        if os.path.isdir(real):  # noqa: PTH112
            self._folders[path] = real
        written, real = self._below(normpath(join(self._lexical, path)), self._lexical), self._below(real, self.folder)
        self.is_other |= written != real
        if real != path:
            self._moved[path] = real

    @staticmethod
    def _below(path: str, folder: str) -> str:
        start = f"{folder.rstrip('/')}/"
        return path.removeprefix(start)


def _links_and_folders(folder: str, names: list[str]) -> tuple[list[str], list[str]]:
    """Those of the names that are links in the folder, and those that are folders."""
    kinds: dict[str, int] = {}
    with suppress(OSError):
        if len(names) <= _FEW:
            for name in names:
                with suppress(OSError, ValueError):
                    kinds[name] = stat.S_IFMT(os.lstat(f"{folder}/{name}").st_mode)
        else:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_symlink():
                        kinds[entry.name] = stat.S_IFLNK
                    elif entry.is_dir(follow_symlinks=False):
                        kinds[entry.name] = stat.S_IFDIR
    return [name for name in names if kinds.get(name) == stat.S_IFLNK], [
        name for name in names if kinds.get(name) == stat.S_IFDIR
    ]


def _links_inside(
    folder: str, base: str, is_made: Callable[[str], bool] = lambda _path: False
) -> list[tuple[str, str]]:
    """The links in a folder and in the folders that they lead to: the name of each from there, and its real path.

    A folder is entered once. One around the batch's folder `base` is not: whatever it holds of the batch has a name there already. Nor is
    one that a job makes: what it holds now is of an earlier run.
    """
    found: list[tuple[str, str]] = []
    real = os.path.realpath(folder)
    entered, waiting = {real}, [("", real)]
    while waiting:
        prefix, at = waiting.pop()
        if base.startswith(f"{at.rstrip('/')}/") or is_made(at.removeprefix(f"{base}/")):
            continue
        try:
            with os.scandir(at) as listing:
                entries = sorted(listing, key=attrgetter("name"))
        except OSError:
            continue
        for entry in entries:
            path = entry.path
            if entry.name == STATE_NAME:
                continue
            if entry.is_symlink():
                path = os.path.realpath(path)
                found.append((prefix + entry.name, path))
                if not os.path.isdir(path):  # noqa: PTH112
                    continue
            elif not entry.is_dir(follow_symlinks=False):
                continue
            if path not in entered:
                entered.add(path)
                waiting.append((f"{prefix}{entry.name}/", path))
    return found


def real_paths(job_input: object, plan: Plan) -> list[str]:
    """The real paths of what a job reads, and of what links in its folders lead to, those in the batch's folder relative to it."""
    base = os.path.realpath(plan.config.folder)
    paths = [os.path.realpath(join(base, path)) for path in as_paths(job_input)]
    folders = filter(os.path.isdir, paths)
    inside = [real for path in folders for _, real in _links_inside(path, base, plan.is_made)]
    return [path.removeprefix(f"{base}/") for path in (*paths, *inside)]
