"""The plan: a batch expanded into numbered jobs and what each needs. No file system, no clock.

Jobs are numbers, `0 .. len(plan)-1`, in the order of the batch; needs and dependents are compact arrays. A declaration that stands for
many jobs is kept once: its jobs have names, everything else about one of them is made on demand, so that a plan of a million jobs stays
small.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import msgspec

from joblot.core import graph
from joblot.core.fan_out import Making, making_of, pattern_of
from joblot.core.model import Limit, count_of
from joblot.core.numbered import Inferred, NumberedJobs, job_problem, of_items
from joblot.core.patterns import as_paths
from joblot.core.references import OF_ITEM, TemplateError, references, split_result, substitute
from joblot.core.resources import ONE_SLOT, PLAIN, Demand
from joblot.digest import blake2b
from joblot.errors import ConfigError, CyclicDependencyError, Diagnostic, did_you_mean

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from joblot.core.dataflow import Maker, Makers
    from joblot.core.fan_out import FanOutJobs
    from joblot.core.model import Config, JobSpec
    from joblot.core.numbered import Columns

_SHORT_S: Final = 2.0
PATTERN: Final = re.compile(r"[*?\[]")
TRUTHS: Final = {"true": True, "false": False}
"""How an item says a truth value."""
MOST_PAIRS: Final = 50_000_000
"""So many pairs of a job and its need fit into a plan."""
_MOST_SHOWN: Final = 20
_RESULT_OF: Final = r"\$\{\{\s*jobs\.([A-Za-z0-9][A-Za-z0-9._-]*)"


class Plan:
    """A graph of jobs. It never changes, but for `extend`: jobs may be added behind those that there are."""

    def __init__(self, config: Config, jobs: NumberedJobs, needs: Inferred) -> None:
        self.config = config
        self._grown: dict[int, Columns] = {}
        self._adopted: dict[int, JobSpec] = {}
        self._tried: tuple[int, Columns, tuple[NumberedJobs, Inferred]] | None = None
        self._set_jobs(jobs, needs)
        self.growing = frozenset(jobs.growing)
        """The jobs that are no work of their own: from a result they find the items of a fan-out, and then the plan grows by its jobs."""
        self.finals = frozenset(jobs.finals)
        """The jobs of `finally`: they start when all others have ended."""
        self.unread = tuple(jobs.unread)
        """Those of them whose items a command would list that was not run: such a plan is there to be looked at."""

    def _set_jobs(self, jobs: NumberedJobs, inferred: Inferred) -> None:
        self.needs = inferred.needs
        """By job, the jobs that it waits for: those that are written, and behind them those that make its input."""
        self._written = inferred.written
        self.dependents = self.needs.inverse()
        self.declarations: Sequence[JobSpec] = jobs.declarations
        """By job, what declares it: for the jobs of a fan-out the same, with references to the item where they differ."""
        self._jobs = jobs
        self._names = jobs.names
        self._numbers = jobs.numbers
        self._fans = jobs.fans
        self._starts = jobs.starts
        self._ranges = jobs.grown
        self._last_spec: tuple[int, JobSpec] | None = None
        """The job asked for last, and its spec: one is mostly asked for several times in a row."""

    def __len__(self) -> int:
        return len(self.declarations)

    def name(self, job: int) -> str:
        """The job's name."""
        return self._names[job] if job < len(self._names) else self._adopted[job].name

    def names(self) -> Sequence[str]:
        """The names of all jobs, in order."""
        return self._names

    def spec(self, job: int) -> JobSpec:
        """What the batch declares for the job, with its item filled in."""
        if job >= len(self.declarations):
            return self._adopted[job]
        declared = self.declarations[job]
        return declared if declared.fan_out is None or declared.fan_out.kind == "result" else self._make(job)

    def _make(self, job: int) -> JobSpec:
        last = self._last_spec
        if last is None or last[0] != job:
            number = bisect_right(self._starts, job) - 1
            spec = self._fans[number].spec(job - self._starts[number], self._names[job])
            self._last_spec = last = (job, spec)
        return last[1]

    def item(self, job: int) -> str:
        """The item of a fan-out's job, for people; empty for other jobs."""
        if self.declarations[job].fan_out is None or job in self.growing:
            return ""
        number = bisect_right(self._starts, job) - 1
        return self._fans[number].shown(job - self._starts[number])

    def fresh(self) -> Plan:
        """The plan of a run that begins: what has grown in another run is not in it."""
        return expand(self.config) if self.growing else self

    @property
    def fan_outs(self) -> list[tuple[JobSpec, range]]:
        """The declarations that stand for many jobs, each with the numbers of its jobs."""
        pairs = zip(self._starts, self._fans, strict=True)
        return [(self.declarations[start], range(start, start + len(fan))) for start, fan in pairs if len(fan)]

    def adopt(self, job: int, spec: JobSpec) -> None:
        """Know a job by its number that another process added to its copy of the plan; its needs are not known here."""
        self._adopted[job] = spec

    def forget(self, job: int) -> None:
        """Drop an adopted job."""
        self._adopted.pop(job, None)

    def extend(self, job: int, columns: Columns) -> range:
        """Add the jobs for the items that a growing job found, as columns. Done a second time it changes nothing.

        They need the growing job, and whatever needs that one needs them as well. Returns their numbers.

        Raises:
            ConfigError: names or outputs that cannot be; the plan is what it was.
        """
        if job not in self._grown:
            jobs, needs = self.try_to_extend(job, columns)
            self._grown = {**self._grown, job: columns}
            self._tried = None
            self._set_jobs(jobs, needs)
            for name in ("tiers", "makers", "only_ordered", "_used_results"):
                self.__dict__.pop(name, None)
        return self._ranges[job]

    def making_of_items(self, job: int, columns: Columns) -> Making:
        """What the jobs would make that `extend` adds."""
        return making_of(of_items(self.declarations[job], columns))

    def try_to_extend(self, job: int, columns: Columns) -> tuple[NumberedJobs, Inferred]:
        """What `extend` would make of the plan, without changing it.

        Raises:
            ConfigError: as `extend`.
        """
        if self._tried is None or self._tried[:2] != (job, columns):
            self._tried = (job, columns, _expanded(self.config, {**self._grown, job: columns}))
        return self._tried[2]

    def items_of(self, job: int) -> Columns:
        """The items that a growing job has found, as columns."""
        return self._grown[job]

    def written_needs(self, job: int) -> array[int]:
        """The jobs that the batch says the job needs, without those that only make its input."""
        needs = self.needs[job]
        return needs if self._written is None else needs[: self._written[job]]

    def made_input(self, job: int) -> dict[int, str]:
        """By job that makes something of this one's input, the first output of it that is read."""
        if self._written is None:
            return {}
        made = self.files_read(job)
        return {need: made[need] for need in self.needs[job] if need in made}

    def files_read(self, job: int) -> dict[int, str]:
        """By job that makes something of this one's input, needed or not, the first output of it that is read."""
        spec = self.spec(job)
        if not spec.input:
            return {}
        from joblot.core.dataflow import files_between

        return files_between(self.makers, spec.input, spec.patterns)

    def unneeded_maker(self, job: int, job_input: Any, left_out: Collection[int] = ()) -> Maker | None:
        """What makes a path that a job is to read and is not among its needs, near or far: it may be there, or half there, or not.

        Jobs in `left_out` make nothing.
        """
        if not self.config.rules or not self.makers or job in self.finals:
            return None
        makers = [maker for path in as_paths(job_input) for maker in self.makers.of(path) if maker.job not in left_out]
        return self.not_needed(job, makers)

    def not_needed(self, job: int, makers: Sequence[Maker]) -> Maker | None:
        """The first of the makers that is another job and not among the needs of this one, near or far."""
        makers = [maker for maker in makers if maker.job != job]
        near = frozenset(self.needs[job]) if makers else ()
        if all(maker.job in near for maker in makers):
            return None
        near_and_far: set[int] = set()
        left = [job]
        while left:
            more = [need for need in self.needs[left.pop()] if need not in near_and_far]
            near_and_far.update(more)
            left += more
        return next((maker for maker in makers if maker.job not in near_and_far), None)

    def outputs_matching(self, job: int, pattern: str) -> list[str]:
        """The outputs of other jobs that match a pattern in a job's input, in the order of their paths."""
        return [maker.path for maker in self.makers.matching(pattern) if maker.job != job] if self.config.rules else []

    @cached_property
    def makers(self) -> Makers:
        """What the jobs make, by path."""
        from joblot.core.dataflow import Makers

        return Makers(self.config.folder, self._jobs)

    def is_made(self, path: str) -> bool:
        """Whether a job makes a path, or a folder around it."""
        return self.makers.around(path) is not None

    def makers_as(self, folder: str, spelt: Callable[[str], str]) -> Makers:
        """What the jobs make, by path as `spelt` says that it is to be taken, in a folder of another spelling."""
        from joblot.core.dataflow import Makers

        return Makers(folder, self._jobs, spelt)

    def each(self, field: str) -> Iterator[Any]:
        """A field of every job, in order."""
        return self._jobs.each(field)

    @cached_property
    def only_ordered(self) -> dict[int, frozenset[int]]:
        """By job that runs when a need failed, the needs whose end it waits for and which decide nothing: they only make its input."""
        if self._written is None or all(spec.when != "failure" for spec in self.config.jobs):
            return {}
        jobs = (job for job, spec in enumerate(self.declarations) if spec.when == "failure")
        return {job: frozenset(more) for job in jobs if (more := self.needs[job][self._written[job] :])}

    @property
    def grown(self) -> dict[int, range]:
        """By growing job, the numbers of the jobs that were made of its items."""
        return self._ranges

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
        """What the job declares to hold while it runs; the same for all jobs of a declaration. `ready` adds what is expected of it.

        A job that may run only once, or has little time, must not be queued behind others in a worker: it asks for a slot of its own.
        """
        spec = self.declarations[job]
        if spec.fan_out is not None and spec.fan_out.kind == "result":
            return PLAIN
        resources = spec.resources
        if spec.fan_out is not None and spec.fan_out.max_parallel is not None:
            resources = {**resources, _parallel_limit(spec): 1.0}
        if resources:
            return tuple(sorted(resources.items()))
        if spec.once or (spec.timeout_s is not None and spec.timeout_s < _SHORT_S):
            return ONE_SLOT
        return PLAIN

    @cached_property
    def limits(self) -> dict[str, int]:
        """The named resources: those of the batch, and one for each fan-out that bounds how many of its jobs run at a time."""
        limits = {name: count_of(limit) for name, limit in self.config.limits.items()}
        for spec in self.config.jobs:
            if spec.fan_out is not None and spec.fan_out.max_parallel is not None:
                limits[_parallel_limit(spec)] = spec.fan_out.max_parallel
        return limits

    @cached_property
    def named_slots(self) -> dict[str, tuple[int | str, ...]]:
        """The names of the slots of those limits whose slots have names."""
        limits = self.config.limits.items()
        return {name: limit.slots for name, limit in limits if isinstance(limit, Limit) and limit.slots}

    def makings(self) -> list[Making]:
        """What the jobs that there are make, declaration by declaration."""
        plain = tuple(path for spec in self.config.jobs if spec.fan_out is None for path in spec.outputs)
        fans = (spec for spec in (self.declarations[numbers[0]] for _, numbers in self.fan_outs) if spec.outputs)
        return [Making(plain), *map(making_of, fans)]

    @cached_property
    def tiers(self) -> list[list[int]]:
        """The jobs in tiers; for display, never a barrier, but that the jobs of `finally` come last."""
        tiers, finals = graph.tiers(self.needs, self.dependents), self.finals
        if not finals:
            return tiers
        parts = ([job for job in tier if (job in finals) == last] for last in (False, True) for tier in tiers)
        return [part for part in parts if part]

    @cached_property
    def referenced_results(self) -> frozenset[int]:
        """The jobs whose results some other job refers to."""
        specs = (spec for spec in self.config.jobs if spec.deferred)
        names = (name for spec in specs for name in self.results_in(spec))
        return frozenset(self._numbers[name] for name in names if name in self._numbers)

    def results_in(self, spec: JobSpec) -> list[str]:
        """The names of the jobs whose results stand in the texts of a declaration, whether there are such jobs or not."""
        source = spec.fan_out.source if spec.fan_out is not None else ""
        text = msgspec.json.encode([spec.input, spec.params, spec.run, spec.env, spec.if_, source]).decode()
        pairs = (split_result(dotted.split("."), self._numbers.__contains__) for dotted in re.findall(_RESULT_OF, text))
        return [pair[0] for pair in pairs if pair is not None]

    @cached_property
    def _used_results(self) -> dict[int, frozenset[int]]:
        """By identity of a declaration, the jobs whose results its jobs refer to."""
        return {}

    def results_used(self, job: int) -> frozenset[int]:
        """The jobs whose results a job refers to."""
        spec = self.declarations[job]
        if not spec.deferred:
            return frozenset()
        used = self._used_results.get(id(spec))
        if used is None:
            numbers = map(self.find, self.results_in(spec))
            used = self._used_results[id(spec)] = frozenset(number for number in numbers if number is not None)
        return used

    def condition(self, job: int, results: Mapping[int, bytes]) -> bool | None:
        """Whether a job is to be run, as its `if` says; None when that is no truth value, or cannot be known.

        Of an item, which is a text as it was typed, `true` and `false` are truth values. `results` are those that are known, as JSON. A growing job whose `if` asks each item is to be run.
        """
        spec = self.spec(job)
        value = spec.if_
        written = self.declarations[job].if_
        of_item = isinstance(written, str) and any(one.root in OF_ITEM for one in references(written))
        if of_item and job in self.growing:
            return True
        if isinstance(value, str) and spec.deferred:
            found = {self.name(need): results[need] for need in self.results_used(job) if need in results}
            scope = {name: {"result": msgspec.json.decode(one) if one else None} for name, one in found.items()}
            try:
                value = substitute(value, {"jobs": scope})
            except TemplateError:
                return None
        if of_item and isinstance(value, str):
            value = TRUTHS.get(value)
        return value != spec.if_not if isinstance(value, bool) else None

    def takes_from(self, job: int, need: int) -> bool:
        """Whether a job takes in what another one makes: it refers to its result, or declares as `input` what is among its outputs.

        What only makes the input of a job that runs when a need failed, or always, comes before it and decides nothing else of it.
        """
        if need in self.results_used(job):
            return True
        if job in self.growing or (self.spec(job).when != "success" and need not in self.written_needs(job)):
            return False
        return need in self.files_read(job)

    @cached_property
    def encoded(self) -> bytes:
        """The batch as JSON, as it is stored beside a run's events."""
        return encoded(self.config)

    @cached_property
    def fingerprint(self) -> str:
        """What this plan would do, as a short hash: equal for equal plans, whatever file they came from."""
        return blake2b(self.encoded, digest_size=16).hexdigest()


def encoded(config: Config) -> bytes:
    """A batch as JSON. Python callables stand as their qualified names."""
    return msgspec.json.encode(config, enc_hook=_callable_name)


def expand(config: Config, look: Callable[[Plan, NumberedJobs, Makers], object] | None = None) -> Plan:
    """The plan of a batch. `look` is given it with what its jobs make, if they make anything.

    Raises:
        ConfigError: duplicate names, needs and results of jobs that do not exist, double outputs. All of them at once.
        CyclicDependencyError: among them are jobs that need each other.
    """
    plan, problems, cycles = _checked(config, look=look)
    if cycles:
        raise CyclicDependencyError(problems, [plan.name(job) for job in [*cycles[0], cycles[0][0]]])
    if problems:
        raise ConfigError(problems)
    return plan


def problems_of(config: Config, unsure: Sequence[str] = ()) -> list[Diagnostic]:
    """What is wrong with how the jobs of a batch hang together, in the order of the file.

    `unsure` are beginnings of names of jobs that could not be read: who needs such a job may be right.
    """
    return _checked(config, unsure)[1]


def _checked(
    config: Config, unsure: Sequence[str] = (), look: Callable[[Plan, NumberedJobs, Makers], object] | None = None
) -> tuple[Plan, list[Diagnostic], list[list[int]]]:
    """The plan of a batch, what is wrong with it, and its cycles."""
    jobs, needs, problems, makers = _jobs_and_needs(config, {}, unsure)
    plan = Plan(config, jobs, needs)
    problems += [problem for spec in config.jobs if spec.deferred for problem in _unknown_results(plan, spec, unsure)]
    told, cycles = _cycles(plan)
    problems += told
    if len(problems) > 1:
        problems.sort(key=lambda problem: (problem.file, problem.line, problem.column))
    if look is not None and makers and not problems:
        look(plan, jobs, makers)
    return plan, problems, cycles


def _cycles(plan: Plan) -> tuple[list[Diagnostic], list[list[int]]]:
    """The cycles of a plan, and what is to be said of them."""
    if not plan.needs.partners or not graph.find_cycle(plan.needs, plan.dependents):
        return [], []
    cycles = graph.find_cycles(plan.needs, _MOST_SHOWN)
    return [_cyclic(plan, cycle) for cycle in cycles], cycles


def _expanded(config: Config, grown: Mapping[int, Columns]) -> tuple[NumberedJobs, Inferred]:
    """As `_jobs_and_needs`.

    Raises:
        ConfigError: what is wrong.
    """
    jobs, needs, problems, _ = _jobs_and_needs(config, grown)
    if needs.written is not None and not problems:
        problems += _cycles(Plan(config, jobs, needs))[0]  # what was found may need what waits for it
    if problems:
        raise ConfigError(problems)
    return jobs, needs


def _jobs_and_needs(
    config: Config, grown: Mapping[int, Columns], unsure: Sequence[str] = ()
) -> tuple[NumberedJobs, Inferred, list[Diagnostic], Makers | None]:
    """The jobs of a batch, what they need, what is wrong, and what they make, if they make anything.

    `grown` are the items that growing jobs have found, in the order in which they did.
    """
    jobs = NumberedJobs(config.jobs, grown)
    jobs.unsure = unsure
    problems = _name_problems(jobs)
    needs = Inferred(_needs(config, jobs, problems), None)
    if not any(spec.outputs for spec in config.jobs):
        return jobs, needs, problems, None
    from joblot.core.dataflow import Makers, with_inferred, written_inputs  # seldom needed

    makers = Makers(config.folder, jobs)
    problems += makers.problems
    if makers and any(spec.input for spec in config.jobs):
        if config.rules:
            needs = with_inferred(jobs, makers, needs.needs, problems, declared=jobs.declared)
        else:
            problems += written_inputs(jobs, makers)
    return jobs, needs, problems, makers


def _unknown_results(plan: Plan, spec: JobSpec, unsure: Sequence[str]) -> list[Diagnostic]:
    """References to results of jobs that do not exist: jobs that are added while the run goes on cannot be named before."""
    problems = []
    for name in plan.results_in(spec):
        unread = (plan.name(job) for job in plan.unread)
        if (
            plan.find(name) is None
            and not name.startswith(tuple(unsure))
            and not any(_matching(pattern, {name: 0}) for pattern in unread)
        ):
            growing = next((plan.name(job) for job in sorted(plan.growing) if _matching(plan.name(job), {name: 0})), "")
            message = f"job `{spec.name}` refers to the result of `{name}`, and no job has that name"
            hint = f"jobs of `{growing}` are found while the run goes on, and cannot be named before" if growing else ""
            problems.append(job_problem("reference", spec, message, hint=hint or did_you_mean(name, plan.names())))
        elif spec.finally_ and (need := plan.find(name)) in plan.finals and not _needs_itself(plan, spec, need):
            message = f"job `{spec.name}` refers to the result of `{name}`, a job of `finally` that it does not need"
            problems.append(job_problem("reference", spec, message, hint=f"add `{name}` to `needs`"))
    return problems


def _needs_itself(plan: Plan, spec: JobSpec, need: int | None) -> bool:
    """Whether a job, or the first of its fan-out, has that one among its needs."""
    job = next((job for job in sorted(plan.finals) if plan.declarations[job] is spec), None)
    return job is None or need in plan.needs[job]


def _name_problems(jobs: NumberedJobs) -> list[Diagnostic]:
    """Invalid names, and those that two jobs have. The names of single jobs have been validated one by one."""
    problems = []
    for start, fan in zip(jobs.starts, jobs.fans, strict=True):
        problems += _invalid_names(jobs, start, fan)
    if len(jobs.numbers) != len(jobs.names) or (jobs.fans and len(set(map(str.lower, jobs.names))) != len(jobs.names)):
        problems += _duplicates(jobs)
    return problems


def _invalid_names(jobs: NumberedJobs, start: int, fan: FanOutJobs) -> list[Diagnostic]:
    if fan.names_always_valid:
        return []
    from joblot.core.names import is_job_name

    problems = []
    invalid = (number for number in range(len(fan)) if not is_job_name(jobs.names[start + number]))
    for number in islice(invalid, _MOST_SHOWN):
        message = f"cannot name a job `{jobs.names[start + number]}` (item {number + 1}: {fan.shown(number)})"
        hint = "begin the name with a word of its own, such as `build-`"
        problems.append(job_problem("name", jobs.declarations[start], message, hint=hint))
    return problems


def _duplicates(jobs: NumberedJobs) -> list[Diagnostic]:
    problems: list[Diagnostic] = []
    first: dict[str, int] = {}
    for number, name in enumerate(jobs.names):
        other = first.setdefault(name.lower(), number)
        if other != number:
            problems.append(_duplicate(jobs, other, number))
            if len(problems) == _MOST_SHOWN:
                break
    return problems


def _needs(config: Config, jobs: NumberedJobs, problems: list[Diagnostic]) -> graph.Relation:
    """By job, the jobs that it needs; what is wrong with them is added to `problems`. After too much of that the relation is empty."""
    if not jobs.grown and not any(spec.needs for spec in config.jobs):
        return graph.Relation.empty(len(jobs.names))
    matches: dict[str, list[int]] = {}
    rows: list[Sequence[int]] = []
    # The jobs of a fan-out mostly need the same: one row for all of them. Not with a pattern: it leaves out the job that has it.
    same_needs: dict[tuple[str, ...], Sequence[int]] = {(): ()}
    pairs = 0
    for number, needs in enumerate(islice(jobs.each("needs"), jobs.declared)):
        row = same_needs.get(needs) if number not in jobs.finals else None
        if row is None:
            row = _need_numbers(jobs, number, needs, matches, problems)
            if jobs.grown:
                row += _grown_from(jobs, row)
            if jobs.fans and number not in jobs.finals and not any(map(PATTERN.search, needs)):
                same_needs[needs] = row
        rows.append(row)
        pairs += len(row)
        if pairs > MOST_PAIRS:
            message = f"the needs of all jobs come to more than {MOST_PAIRS:,} pairs".replace(",", " ")
            hint = "put one job between the two groups: it needs the first, and the second needs it"
            problems.append(job_problem("needs", jobs.declarations[number], message, hint=hint))
            return graph.Relation.empty(len(jobs.names))
        if problems and len(problems) > _MOST_SHOWN * 5:
            return graph.Relation.empty(len(jobs.names))
    for growing, added in jobs.grown.items():
        rows += [(growing,)] * len(added)
    return graph.Relation(rows)


def _grown_from(jobs: NumberedJobs, needs: Sequence[int]) -> list[int]:
    """The jobs that were made of the items of growing ones: whatever needs a growing job needs its jobs as well."""
    return [job for need in needs if need in jobs.grown for job in jobs.grown[need]]


def _matching(pattern: str, numbers: dict[str, int]) -> list[int]:
    import fnmatch

    match = re.compile(fnmatch.translate(pattern)).match
    return [number for name, number in numbers.items() if match(name)]


def _need_numbers(
    jobs: NumberedJobs, number: int, needs: Sequence[str], matches: dict[str, list[int]], problems: list[Diagnostic]
) -> list[int]:
    """The numbers of a job's needs, each once, in the order written."""
    numbers = jobs.numbers
    try:
        plain = [numbers[need] for need in needs]
    except KeyError:
        plain = [len(jobs.names)]  # a pattern, or a mistake
    if max(plain, default=0) < jobs.declared and (not jobs.finals or _in_one_phase(jobs, number, plain)):
        return plain if len(plain) < 2 else list(dict.fromkeys(plain))
    row: dict[int, None] = {}
    for need in needs:
        others = _jobs_meant(jobs, number, need, matches)
        row.update(dict.fromkeys(others))
        if not others:
            problems += _unknown_need(jobs, number, need)
    return list(row)


def _jobs_meant(jobs: NumberedJobs, number: int, need: str, matches: dict[str, list[int]]) -> Sequence[int]:
    """The jobs that one need of a job stands for, among those that the batch declares; `matches` keeps those of patterns.

    The jobs of `finally` and the others know nothing of each other.
    """
    single = jobs.numbers.get(need, jobs.declared)
    if single < jobs.declared:
        return (single,) if _in_one_phase(jobs, number, (single,)) else ()
    if not PATTERN.search(need):
        return tuple(other for other in jobs.unread if _matching(jobs.names[other], {need: 0}))
    if need not in matches:
        matches[need] = [other for other in _matching(need, jobs.numbers) if other < jobs.declared]
    return [other for other in matches[need] if other != number and _in_one_phase(jobs, number, (other,))]


def _in_one_phase(jobs: NumberedJobs, number: int, others: Iterable[int]) -> bool:
    """Whether a job and others are all of `finally`, or none of them is."""
    return all((other in jobs.finals) == (number in jobs.finals) for other in others)


def _unknown_need(jobs: NumberedJobs, number: int, need: str) -> list[Diagnostic]:
    """What is wrong with a need that stands for no job: nothing, when it means a fan-out without items."""
    name, spec = jobs.names[number], jobs.declarations[number]
    if need in jobs.numbers:  # of the other phase
        what, hint = "is a job of `finally`", "those start when all others have ended"
        if number in jobs.finals:
            what, hint = "is not", "it starts when all others have ended: leave that need out"
            name = f"{name}` of `finally"
        return [job_problem("unknown_need", spec, f"job `{name}` needs `{need}`, which {what}", hint=hint)]
    if jobs.unsure and (PATTERN.search(need) or need.startswith(tuple(jobs.unsure))):
        return []
    if not PATTERN.search(need):
        hint = _all_of(jobs, need) or did_you_mean(need, jobs.numbers)
        return [job_problem("unknown_need", spec, f"job `{name}` needs unknown job `{need}`", hint=hint)]
    if _is_empty(jobs, need):
        return []
    return [job_problem("unknown_need", spec, f"job `{name}` needs `{need}`, which matches no other job")]


def _is_empty(jobs: NumberedJobs, need: str) -> bool:
    """Whether a pattern means a fan-out that has no items, or one whose items are not known."""
    from fnmatch import fnmatchcase

    empty = (fan.pattern for fan in jobs.fans if not len(fan))
    if any(fnmatchcase(pattern, need) for pattern in empty):
        return True
    # Of two patterns nobody knows whether they have a name in common; that they begin alike must do.
    starts = (PATTERN.split(jobs.names[other])[0] for other in jobs.unread)
    start = PATTERN.split(need)[0]
    return any(start.startswith(known) or known.startswith(start) for known in starts)


def _all_of(jobs: NumberedJobs, need: str) -> str:
    """What to write for all jobs of a fan-out, when its own name was written."""
    for spec in (jobs.declarations[start] for start in jobs.starts if start < len(jobs.names)):
        if need == spec.name or f"{need}-*" == pattern_of(spec.name):
            return f"write `{pattern_of(spec.name)}` for all its jobs"
    return ""


def _duplicate(jobs: NumberedJobs, first: int, second: int) -> Diagnostic:
    spec, twin = jobs.declarations[second], jobs.declarations[first]
    name, other = jobs.names[second], jobs.names[first]
    clash = f"duplicate job name `{name}`" if name == other else f"job names `{other}` and `{name}` differ only in case"
    hint = "give each job its own name"
    if spec.fan_out is not None and spec is twin:
        index = bisect_right(jobs.starts, first) - 1
        start, fan = jobs.starts[index], jobs.fans[index]
        items = f"items {first - start + 1} and {second - start + 1}"
        same = fan.item(first - start) == fan.item(second - start)
        hint = "the item stands there twice" if same else "put more of the item into `name`"
        return job_problem("duplicate_name", spec, f"{clash} ({items})", hint=hint)
    where = f"on line {twin.place.line}" if twin.place and twin.place.line else f"jobs[{first}]"
    return job_problem("duplicate_name", spec, f"{clash} (also {where})", hint=hint)


def _parallel_limit(spec: JobSpec) -> str:
    """The name of the resource that bounds how many jobs of a fan-out run at a time; no resource of a batch can have it."""
    return f"max_parallel of {pattern_of(spec.name)}"


def _cyclic(plan: Plan, cycle: list[int]) -> Diagnostic:
    names = [plan.name(job) for job in [*cycle, cycle[0]]]
    pairs = zip(cycle, [*cycle[1:], cycle[0]], strict=True)
    files = [(need, plan.made_input(job)[need]) for job, need in pairs if need not in plan.written_needs(job)]
    message = f"jobs need each other: {' -> '.join(names)}"
    hint = "`a -> b` means that `a` needs `b`; remove one of these needs"
    if files:
        message += f" ({', '.join(f'`{path}` of `{plan.name(need)}`' for need, path in files)})"
        hint = "a file that goes from run to run stands in neither `input` nor `outputs`"
    return job_problem("cycle", plan.declarations[cycle[0]], message, hint=hint)


def _callable_name(value: Any) -> str:
    return f"{getattr(value, '__module__', '?')}:{getattr(value, '__qualname__', type(value).__qualname__)}"
