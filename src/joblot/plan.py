"""The plan: a batch expanded into numbered jobs and what each needs. No file system, no clock.

Jobs are numbers, `0 .. len(plan)-1`, in the order of the batch; needs and dependents are compact arrays. Everything else about a job is
asked for by number and made on demand, so that a plan of a million jobs stays small.
"""

from __future__ import annotations

import posixpath
import re
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import msgspec

from joblot import graph
from joblot.digest import blake2b
from joblot.errors import ConfigError, CyclicDependencyError, Diagnostic, did_you_mean
from joblot.resources import PLAIN, Demand

if TYPE_CHECKING:
    from collections.abc import Sequence

    from joblot.model import Config, JobSpec

_SHORT_S: Final = 2.0
_ONE_SLOT: Final[Demand] = (("cpu", 1.0),)
PATTERN: Final = re.compile(r"[*?\[]")
_RESULT_OF: Final = re.compile(r"\$\{\{\s*jobs\.([A-Za-z0-9][A-Za-z0-9._-]*?)\.result\b")


class Plan:
    """An immutable graph of jobs."""

    def __init__(self, config: Config, needs: graph.Relation, numbers: dict[str, int]) -> None:
        self.config = config
        self.needs = needs
        self.dependents = needs.inverse()
        self._specs: Sequence[JobSpec] = config.jobs
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._specs)

    def name(self, job: int) -> str:
        """The job's name."""
        return self._specs[job].name

    def spec(self, job: int) -> JobSpec:
        """What the batch declares for the job."""
        return self._specs[job]

    def find(self, name: str) -> int | None:
        """The number of the job of that name."""
        return self._numbers.get(name)

    def match(self, pattern: str) -> list[int]:
        """The numbers of the jobs whose names match a pattern (`*`, `?`, `[...]`), in order; a plain name matches itself."""
        if not PATTERN.search(pattern):
            number = self._numbers.get(pattern)
            return [] if number is None else [number]
        return _matching(pattern, self._numbers)

    def demand(self, job: int) -> Demand:
        """What the job holds while it runs.

        A job that may run only once, or has little time, must not be queued behind others in a worker: it asks for a slot of its own.
        """
        spec = self._specs[job]
        if spec.resources:
            return tuple(sorted(spec.resources.items()))
        if spec.once or (spec.timeout_s is not None and spec.timeout_s < _SHORT_S):
            return _ONE_SLOT
        return PLAIN

    @cached_property
    def tiers(self) -> list[list[int]]:
        """The jobs in tiers; for display, never a barrier."""
        return graph.tiers(self.needs, self.dependents)

    @cached_property
    def wanted_results(self) -> frozenset[int]:
        """The jobs whose results some other job refers to."""
        wanted = set()
        for job, spec in enumerate(self._specs):
            if spec.deferred:
                text = msgspec.json.encode([spec.input, spec.params, spec.run, spec.env]).decode()
                for name in _RESULT_OF.findall(text):
                    found = self._numbers.get(name)
                    if found is not None and found != job:
                        wanted.add(found)
        return frozenset(wanted)

    @cached_property
    def encoded(self) -> bytes:
        """The batch as JSON, as it is stored beside a run's events. Python callables stand as their qualified names."""
        return msgspec.json.encode(self.config, enc_hook=_callable_name)

    @cached_property
    def fingerprint(self) -> str:
        """What this plan would do, as a short hash: equal for equal plans, whatever file they came from."""
        return blake2b(self.encoded, digest_size=16).hexdigest()


def expand(config: Config) -> Plan:
    """The plan of a batch.

    Raises:
        ConfigError: duplicate names, needs that name no job, a job that needs itself. All of them at once.
        CyclicDependencyError: jobs that need each other.
    """
    problems: list[Diagnostic] = []
    numbers: dict[str, int] = {}
    for number, spec in enumerate(config.jobs):
        first = numbers.setdefault(spec.name, number)
        if first != number:
            problems.append(_duplicate(config, first, number))
    if any(spec.needs for spec in config.jobs):
        matches: dict[str, list[int]] = {}
        rows = [_need_numbers(spec, number, numbers, matches, problems) for number, spec in enumerate(config.jobs)]
        needs = graph.Relation(rows)
    else:
        needs = graph.Relation.empty(len(config.jobs))
    if any(spec.outputs for spec in config.jobs):
        problems += _output_conflicts(config)
    if problems:
        raise ConfigError(problems)
    plan = Plan(config, needs, numbers)
    cycle = graph.find_cycle(plan.needs, plan.dependents) if needs.partners else []
    if cycle:
        raise _cyclic(plan, cycle)
    return plan


def _matching(pattern: str, numbers: dict[str, int]) -> list[int]:
    import fnmatch

    match = re.compile(fnmatch.translate(pattern)).match
    return [number for name, number in numbers.items() if match(name)]


def _need_numbers(
    spec: JobSpec, number: int, numbers: dict[str, int], matches: dict[str, list[int]], problems: list[Diagnostic]
) -> list[int]:
    """The numbers of a job's needs, each once, in the order written."""
    try:
        plain = [numbers[need] for need in spec.needs]
    except KeyError:
        pass  # a pattern, or a mistake
    else:
        return plain if len(plain) < 2 else list(dict.fromkeys(plain))
    found: dict[int, None] = {}
    for need in spec.needs:
        single = numbers.get(need)
        if single is not None:
            found[single] = None
        elif PATTERN.search(need):
            if need not in matches:
                matches[need] = _matching(need, numbers)
            others = [other for other in matches[need] if other != number]
            if not others:
                problems.append(
                    _problem("unknown_need", spec, f"job `{spec.name}` needs `{need}`, which matches no other job")
                )
            found.update(dict.fromkeys(others))
        else:
            message = f"job `{spec.name}` needs unknown job `{need}`"
            problems.append(_problem("unknown_need", spec, message, hint=did_you_mean(need, numbers)))
    return list(found)


def _problem(code: str, spec: JobSpec, message: str, *, hint: str = "") -> Diagnostic:
    place = spec.place
    if place is None:
        return Diagnostic(code, message, hint=hint)
    return Diagnostic(code, message, file=place.file, line=place.line, column=place.column, hint=hint)


def _duplicate(config: Config, first: int, second: int) -> Diagnostic:
    one, two = config.jobs[first], config.jobs[second]
    where = f"on line {one.place.line}" if one.place and one.place.line else f"jobs[{first}]"
    return _problem(
        "duplicate_name", two, f"duplicate job name `{two.name}` (also {where})", hint="give each job its own name"
    )


def _output_conflicts(config: Config) -> list[Diagnostic]:
    """Two jobs that write one path, or one into what another makes; and outputs that cannot be told from what is there anyway."""
    problems: list[Diagnostic] = []
    owners: dict[str, int] = {}
    folder = _path_key(config.folder, "/")
    for number, spec in enumerate(config.jobs):
        given = [spec.input] if isinstance(spec.input, str) else spec.input or ()
        for path in spec.outputs:
            key = _path_key(path, config.folder)
            if key == folder or folder.startswith(f"{key.rstrip('/')}/"):
                message = f"output `{path}` of job `{spec.name}` is the batch's own folder, or one above it"
                problems.append(_problem("output_conflict", spec, message, hint="name files, or a folder of its own"))
                continue
            if path in given:
                message = f"job `{spec.name}` reads and writes `{path}`"
                problems.append(_problem("output_conflict", spec, message, hint="write to another file"))
            first = owners.setdefault(key, number)
            if first != number:
                problems.append(_both_write(config, first, spec, path, "writes too"))
    for key, number in owners.items():
        above = _owner_above(key, owners)
        if above is not None and above != number:
            spec = config.jobs[number]
            path = next(path for path in spec.outputs if _path_key(path, config.folder) == key)
            problems.append(_both_write(config, above, spec, path, "makes the folder of"))
    return problems


def _owner_above(key: str, owners: dict[str, int]) -> int | None:
    end = key.rfind("/")
    while end > 0:
        if key[:end] in owners:
            return owners[key[:end]]
        end = key.rfind("/", 0, end)
    return None


def _path_key(path: str, folder: str) -> str:
    """Equal for paths that some file system takes for the same: whatever the case, and however accents are written."""
    plain = not path.startswith(("/", ".")) and "/." not in path and "//" not in path and not path.endswith("/")
    key = f"{folder}/{path}" if plain else posixpath.normpath(posixpath.join(folder, path))
    if not key.isascii():
        from unicodedata import normalize

        key = normalize("NFKC", normalize("NFKC", key).casefold())
    return key.casefold()


def _both_write(config: Config, first: int, spec: JobSpec, path: str, how: str) -> Diagnostic:
    other = config.jobs[first]
    where = f"line {other.place.line}" if other.place and other.place.line else f"jobs[{first}]"
    message = f"job `{spec.name}` writes `{path}`, which job `{other.name}` ({where}) {how}"
    return _problem("output_conflict", spec, message, hint="give each job files of its own")


def _cyclic(plan: Plan, cycle: list[int]) -> CyclicDependencyError:
    names = [plan.name(job) for job in [*cycle, cycle[0]]]
    spec = plan.spec(cycle[0])
    message = f"jobs need each other: {' -> '.join(names)}"
    hint = "`a -> b` means that `a` needs `b`; remove one of these needs"
    return CyclicDependencyError([_problem("cycle", spec, message, hint=hint)], names)


def _callable_name(value: Any) -> str:
    return f"{getattr(value, '__module__', '?')}:{getattr(value, '__qualname__', type(value).__qualname__)}"
