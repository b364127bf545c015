"""Files make the graph: which jobs make the files that others read, by the paths as the batch writes them. Part of the core: pure.

A job needs whatever makes its `input`: the path itself, a folder around it, or something below it. Nothing here looks at a disk: of two
ways to one file through links it knows nothing.
"""

from __future__ import annotations

import posixpath
import re
from array import array
from bisect import bisect_left
from itertools import chain
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from joblot.core import graph
from joblot.core.fan_out import FanOutJobs
from joblot.core.numbered import Inferred, job_problem
from joblot.core.patterns import STATE_HINT, as_paths, as_regex, is_in_state_folder, literal_length
from joblot.core.references import OPENING, Reference, split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from joblot.core.model import JobSpec
    from joblot.core.numbered import NumberedJobs
    from joblot.errors import Diagnostic

_MOST_SHOWN: Final = 20
_MOST_TRIED: Final = 50_000_000
"""So many pairs of a pattern and an output may be tried."""
_ANY: Final = "\x1f"
"""Stands for what an item gives while a path is made a pattern: no path of a batch holds it."""


class Maker(Struct, frozen=True, gc=False, order=True):
    """A job that makes something that is read, and its output as the batch writes it."""

    job: int
    path: str


class Makers:
    """What the jobs of a batch make, by path, and what is wrong with that.

    The jobs that a growing job will find are not known yet: that one stands for them, with their outputs as patterns. `spelt` says how
    another path is to be taken than it is written.
    """

    def __init__(self, folder: str, jobs: NumberedJobs, spelt: Callable[[str], str] = str) -> None:
        self.problems: list[Diagnostic] = []
        self._jobs = jobs
        self._spelt = spelt
        self._folder = folder
        self._own_folder = _path_key(folder, "/")
        self._owners: dict[str, int] = {}
        self._paths: dict[str, str] = {}
        self._sorted: list[str] | None = None
        self._tried = 0
        self._matched: dict[str, list[Maker]] = {}
        self._growing = [_unknown(job, path, folder) for job in jobs.growing for path in jobs.declarations[job].outputs]
        if any(spec.outputs for spec in jobs.specs):
            self._note_all()

    def __bool__(self) -> bool:
        return bool(self._owners or self._growing)

    def _note_all(self) -> None:
        """Two jobs that write one path, or one into what another makes; jobs that write the batch's own folder."""
        jobs, problems = self._jobs, self.problems
        for number, outputs in enumerate(jobs.each("outputs")):
            for path in outputs:
                self._note(number, self._spelt(path))
            if len(problems) > _MOST_SHOWN:  # mostly one mistake in a fan-out, which each of its jobs repeats
                return
        for key, number in self._owners.items():
            above = self._owner_above(key)
            if above is not None and above[1] != number:
                problems.append(_both_write(jobs, above[1], number, self._paths[key], "makes the folder of"))

    def _note(self, number: int, path: str) -> None:
        spec, name = self._jobs.declarations[number], self._jobs.names[number]
        key = _path_key(path, self._folder)
        if key == self._own_folder or self._own_folder.startswith(f"{key.rstrip('/')}/"):
            message = f"output `{path}` of job `{name}` is the batch's own folder, or one above it"
            hint = "name files, or a folder of its own"
            self.problems.append(job_problem("output_conflict", spec, message, hint=hint))
            return
        if "/.joblot" in key and is_in_state_folder(key):
            message = f"output `{path}` of job `{name}` is in a state folder"
            self.problems.append(job_problem("output_conflict", spec, message, hint=STATE_HINT))
            return
        first = self._owners.setdefault(key, number)
        if first != number:
            self.problems.append(_both_write(self._jobs, first, number, path, "writes too"))
        else:
            self._paths[key] = path

    def writes(self, job: int, path: str) -> bool:
        """Whether the job writes this path, or a folder around it."""
        key = _path_key(path, self._folder)
        above = self._owner_above(key)
        return self._owners.get(key) == job or (above is not None and above[1] == job)

    def _owner_above(self, key: str) -> tuple[str, int] | None:
        """The folder around the path that a job makes, and the job: a few look-ups a path, where comparing all pairs would take their square."""
        end = key.rfind("/")
        while end > 0:
            if key[:end] in self._owners:
                return key[:end], self._owners[key[:end]]
            end = key.rfind("/", 0, end)
        return None

    def of(self, path: str) -> list[Maker]:
        """What makes a path that is read: itself, the folder that it is in, or what is in it, in the order of the batch."""
        key = _path_key(path, self._folder)
        one = self._around(key)
        found = self._below(key) if one is None else [one]
        if self._growing:
            found += [Maker(made.job, made.path) for made in self._growing if made.may_be(key)]
        return found

    def around(self, path: str) -> Maker | None:
        """What makes just this path, or a folder around it; what jobs make that will be found is not known."""
        return self._around(_path_key(path, self._folder))

    def _around(self, key: str) -> Maker | None:
        if key in self._owners:
            return Maker(self._owners[key], self._paths[key])
        above = self._owner_above(key)
        return None if above is None else Maker(above[1], self._paths[above[0]])

    def _below(self, key: str) -> list[Maker]:
        return sorted(Maker(self._owners[each], self._paths[each]) for each in self._beginning(f"{key.rstrip('/')}/"))

    def _beginning(self, start: str) -> Iterator[str]:
        """The keys that begin so, in order."""
        if self._sorted is None:
            self._sorted = sorted(self._owners)
        for at in range(bisect_left(self._sorted, start), len(self._sorted)):
            if not self._sorted[at].startswith(start):
                break
            yield self._sorted[at]

    def matching(self, pattern: str) -> list[Maker]:
        """The outputs that match a pattern, in the order of their paths.

        Raises:
            ValueError: too many pairs of a pattern and an output would have to be tried.
        """
        if pattern not in self._matched:
            key = _path_key(pattern, self._folder)
            matches = re.compile(as_regex(key)).fullmatch
            found = []
            for each in self._beginning(key[: literal_length(key)]):
                self._tried += 1
                if matches(each):
                    found.append(Maker(self._owners[each], self._paths[each]))
            if self._tried > _MOST_TRIED:
                raise ValueError(
                    f"the patterns of all inputs are tried on more than {_MOST_TRIED:,} outputs".replace(",", " ")
                )
            self._matched[pattern] = found
        return self._matched[pattern]

    def of_pattern(self, pattern: str) -> list[Maker]:
        """What makes something that may match a pattern: an output, or a folder that it looks into."""
        key = _path_key(pattern, self._folder)
        start = key[: literal_length(key)]
        found = list(self.matching(pattern))
        if above := self._owner_above(start):  # it ends before the first wildcard, mostly with a slash
            found.append(Maker(above[1], self._paths[above[0]]))
        return found + [Maker(made.job, made.path) for made in self._growing if made.may_begin(start)]

    def spelt_otherwise(self, path: str, maker: Maker, *, is_pattern: bool) -> bool:
        """Whether two paths are one on some file systems only: they differ in case, or in how an accent is written."""
        if path == maker.path:
            return False
        read, made = (posixpath.normpath(posixpath.join(self._folder, each)) for each in (path, maker.path))
        if is_pattern:
            return not (re.fullmatch(as_regex(read), made) or read.startswith(f"{made}/"))
        return read != made and not read.startswith(f"{made}/") and not made.startswith(f"{read.rstrip('/')}/")


def with_inferred(
    jobs: NumberedJobs, makers: Makers, needs: graph.Relation, problems: list[Diagnostic], *, declared: int
) -> Inferred:
    """Add to each job's needs the jobs that make its input; what is wrong is added to `problems`.

    Jobs from `declared` on were found while the run went on. Whatever needs a growing job needs the jobs that it found as well.
    """
    counts = array("i")
    rows: list[Sequence[int]] = []
    no_need = () if not needs.partners else None
    is_any = False
    last: object = None
    last_makers: list[int] = []
    for number, job_input in enumerate(jobs.each("input")):
        row: Sequence[int] = needs[number] if no_need is None else no_need
        counts.append(len(row))
        if job_input and number not in jobs.finals:  # to those all others have ended
            if job_input is not last:  # the jobs of a fan-out mostly read the same: then it is one object
                last, last_makers = job_input, _makers_of(jobs, makers, number, job_input, problems)
            if number in last_makers:
                problems += _writes_too(jobs, makers, number, job_input)
            more = [maker for maker in last_makers if maker != number and maker not in row]
            if more and number < declared:
                more += [found for maker in more for found in jobs.grown.get(maker, ()) if found not in more]
            if more:
                is_any = True
                if jobs.declarations[number].needs_none:
                    problems.append(_says_none(jobs, makers, number, job_input))
                row = [*row, *more]
        rows.append(row)
        if len(problems) > _MOST_SHOWN * 5:
            return Inferred(needs, None)
    return Inferred(graph.Relation(rows), counts) if is_any else Inferred(needs, None)


def written_inputs(jobs: NumberedJobs, makers: Makers) -> list[Diagnostic]:
    """What is wrong with jobs that write their input, in a plan that infers no needs."""
    inputs = enumerate(jobs.each("input"))
    return [problem for number, job_input in inputs for problem in _writes_too(jobs, makers, number, job_input)]


def _writes_too(jobs: NumberedJobs, makers: Makers, number: int, job_input: object) -> list[Diagnostic]:
    """A job must not write the very path that it reads; below a folder that it reads it may."""
    spec, patterns = jobs.declarations[number], jobs.declarations[number].patterns
    made = [path for at, path in enumerate(as_paths(job_input)) if at not in patterns and makers.writes(number, path)]
    return [
        job_problem(
            "output_conflict",
            spec,
            f"job `{jobs.names[number]}` reads and writes `{path}`",
            hint="write to another file",
        )
        for path in made[:1]
    ]


def _makers_of(
    jobs: NumberedJobs, makers: Makers, number: int, job_input: object, problems: list[Diagnostic]
) -> list[int]:
    """The jobs that make what a job reads, each once, in the order of the paths that it reads."""
    found: dict[int, None] = {}
    patterns = jobs.declarations[number].patterns
    for at, path in enumerate(as_paths(job_input)):
        if OPENING in path:  # known only when the job starts
            continue
        try:
            all_makers = makers.of_pattern(path) if at in patterns else makers.of(path)
        except ValueError as error:
            hint = "let the patterns begin with more that is not a wildcard"
            problems.append(job_problem("dataflow", jobs.declarations[number], str(error), hint=hint))
            return []
        for maker in all_makers:
            if maker.job not in jobs.growing and makers.spelt_otherwise(path, maker, is_pattern=at in patterns):
                problems.append(_spelt_otherwise(jobs, number, path, maker))
            found[maker.job] = None
    return list(found)


def maker_of_items(jobs: Sequence[JobSpec], source: str, folder: str) -> JobSpec | None:
    """The declaration that makes the file, or one that the pattern matches, which items are read from, or a folder that it is in."""
    key = _path_key(source, folder)
    start = literal_length(key)
    matches = re.compile(as_regex(key) if start < len(key) else re.escape(key)).fullmatch
    folders = {*_with_folders(key if start == len(key) else key[:start].rpartition("/")[0])}
    for spec in jobs:
        for path in spec.outputs:
            made = _unknown(0, path, folder)
            if not (made.may_be(key) if start == len(key) else made.may_begin(key[:start])):
                continue
            paths: Iterable[str] = (path,)
            if spec.fan_out is not None:  # of items that are found on the way nothing is known
                paths = () if spec.fan_out.kind == "result" else chain.from_iterable(FanOutJobs(spec).values("outputs"))
            if any(matches(each) or each in folders for each in (_path_key(path, folder) for path in paths)):
                return spec
    return None


def files_between(makers: Makers, job_input: object, patterns: Sequence[int] = ()) -> dict[int, str]:
    """By job that makes something that is read, the first output of it that is. `patterns` says which paths are some."""
    found: dict[int, str] = {}
    for at, path in enumerate(as_paths(job_input)):
        if OPENING not in path:
            for maker in makers.of_pattern(path) if at in patterns else makers.of(path):
                found.setdefault(maker.job, maker.path)
    return found


class _Unknown(Struct, frozen=True):
    """An output of jobs that a growing job will find: what of it may be what is read, as patterns."""

    job: int
    path: str
    literal: str
    """Its key up to the first reference."""
    itself: re.Pattern[str]
    folders: list[re.Pattern[str]]

    def may_begin(self, start: str) -> bool:
        """Whether it may be something that a pattern finds which begins so."""
        literal = self.literal
        return start.startswith(literal) or literal.startswith(start)

    def may_be(self, key: str) -> bool:
        """Whether it may be the path of this key, a folder around it, or something below it."""
        is_around = any(self.itself.fullmatch(part) for part in _with_folders(key))
        return is_around or any(folder.fullmatch(key) for folder in self.folders)


def _unknown(job: int, path: str, folder: str) -> _Unknown:
    text = "".join(_ANY if isinstance(piece, Reference) else piece for piece in split(path))
    key = _path_key(text, folder)
    patterns = [re.compile(re.escape(part).replace(_ANY, ".*")) for part in _with_folders(key)]
    return _Unknown(job, path, key.partition(_ANY)[0], patterns[0], patterns[1:])


def _with_folders(key: str) -> Iterator[str]:
    """A path and the folders around it, but for the root."""
    while key.strip("/"):
        yield key
        key = posixpath.dirname(key)


def _path_key(path: str, folder: str) -> str:
    """Equal for paths that some file system takes for the same: whatever the case, and however accents are written."""
    is_plain = not path.startswith(("/", ".")) and "/." not in path and "//" not in path and not path.endswith("/")
    key = f"{folder}/{path}" if is_plain and folder != "/" else posixpath.normpath(posixpath.join(folder, path))
    if not key.isascii():
        from unicodedata import normalize

        key = normalize("NFKC", normalize("NFKC", key).casefold())
    return key.casefold()


def _both_write(jobs: NumberedJobs, first: int, second: int, path: str, how: str) -> Diagnostic:
    spec, other = jobs.declarations[second], jobs.declarations[first]
    if spec.fan_out is not None and spec is other:
        message = f"jobs `{jobs.names[first]}` and `{jobs.names[second]}` both write `{path}`"
        return job_problem("output_conflict", spec, message, hint="let the item stand in `outputs`")
    where = f"line {other.place.line}" if other.place and other.place.line else f"jobs[{first}]"
    message = f"job `{jobs.names[second]}` writes `{path}`, which job `{jobs.names[first]}` ({where}) {how}"
    return job_problem("output_conflict", spec, message, hint="give each job files of its own")


def _spelt_otherwise(jobs: NumberedJobs, number: int, path: str, maker: Maker) -> Diagnostic:
    message = (
        f"job `{jobs.names[number]}` reads `{path}`, job `{jobs.names[maker.job]}` writes `{maker.path}`: "
        f"on some systems one file"
    )
    return job_problem("dataflow", jobs.declarations[number], message, hint="write it the same")


def _says_none(jobs: NumberedJobs, makers: Makers, number: int, job_input: object) -> Diagnostic:
    made = files_between(makers, job_input, jobs.declarations[number].patterns)
    maker, path = next((job, path) for job, path in made.items() if job != number)
    message = f"job `{jobs.names[number]}` reads `{path}`, which job `{jobs.names[maker]}` makes, and says `needs: []`"
    return job_problem("dataflow", jobs.declarations[number], message, hint="leave `needs` out")
