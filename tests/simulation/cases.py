"""Plans and limits to simulate: from a seed, and as Hypothesis strategies."""

import random
from typing import NamedTuple

from hypothesis import strategies as st
from msgspec.structs import replace

from joblot.core.limits import Limits
from joblot.core.model import Config, FanOut, JobSpec, Limit, Retry
from joblot.core.patterns import has_wildcard
from joblot.core.plan import Plan, expand

WHENS = ("success", "success", "success", "failure", "always")
CPUS = (0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)
AMOUNTS = (0.1, 0.2, 1.0, 2.0, 3.0)
LIMITS = ({}, {"db": 2.0}, {"db": 0.3}, {"db": 1.0, "net": 2.0})

ONLY = (
    (),
    (),
    ("exit",),
    ("exit 64..70", "timeout"),
    ("KeyError", "exit 71"),
    ("missing_input",),
    ("my.Error", "crash"),
)


class Case(NamedTuple):
    plan: Plan
    limits: Limits
    unknown: list[int]
    left_out: list[int]


SLOTS = (
    {"gpu": Limit(1, (0,))},
    {"gpu": Limit(2, (0, 1))},
    {"gpu": Limit(3, (2, "b", 0)), "port": Limit(2, (8080, 8081))},
)


def plan_of(jobs: list[JobSpec], rules: int = 0, limits: dict[str, int | Limit] | None = None) -> Plan:
    return expand(Config(name="simulated", folder="/b", jobs=jobs, rules=rules, limits=limits or {}))


def case_from(seed: int) -> Case:
    """A case in which everything occurs, up to 40 jobs."""
    rng = random.Random(seed)
    count = rng.randint(1, rng.choice((4, 12, 40)))
    jobs = [_job(rng, number) for number in range(count)]
    if seed % 5 < 2:
        jobs = _fused(random.Random(f"fused {seed}"), jobs)
    if seed % 3 == 1:
        jobs = _growing(random.Random(f"growing {seed}"), jobs, FanOut("result", source="${{ jobs.j0.result }}"))
    has_files = seed % 7 in (1, 2, 4)
    if has_files:
        jobs = _with_files(random.Random(f"files {seed}"), jobs)
    if rng.random() < 0.5:
        rng.shuffle(jobs)
    if seed % 5 == 3:
        jobs = _allowed(random.Random(f"allowed {seed}"), jobs)
    if seed % 6 == 2:
        jobs = _conditional(random.Random(f"if {seed}"), jobs)
    if seed % 4 == 0:
        jobs += _finals(random.Random(f"finally {seed}"), jobs)
    memory = {}
    if seed % 8 in (3, 6):
        jobs, memory = _greedy(random.Random(f"memory {seed}"), jobs), {"memory": 4.0}
    named_slots: dict[str, Limit] = {}
    if seed % 8 in (3, 5, 6):
        named_slots = random.Random(f"slots {seed}").choice(SLOTS)
        jobs = _with_slots(random.Random(f"slots {seed}"), jobs, named_slots)
    counts = {name: float(limit.count) for name, limit in named_slots.items()}
    limits = Limits(
        slots=rng.choice((1, 2, 4)),
        named=(named := rng.choice(LIMITS)) | memory | counts,
        shared=tuple(sorted([*named, *counts]))[seed % 2 :: 1 + seed % 3 // 2] if seed % 8 in (3, 6) else (),
        fail_fast=rng.random() < 0.15,
        max_failures=0.2 if seed % 9 == 4 else rng.choice((None, None, 2)),
        timeout_s=rng.choice((None, None, None, 20.0)),
        seed=str(seed),
    )
    if seed % 4 == 2:
        jobs, limits = _weighed(random.Random(f"memory {seed}"), jobs, limits)
    unknown = [number for number in range(len(jobs)) if rng.random() < 0.05]
    apart = random.Random(f"selected {seed}")
    share = apart.choice((0.1, 0.5, 0.9)) if seed % 4 == 3 else 0.0
    left_out = [number for number in range(len(jobs)) if apart.random() < share]
    return Case(plan_of(jobs, int(has_files), named_slots), limits, unknown, left_out)


def _job(rng: random.Random, number: int) -> JobSpec:
    needs = rng.sample(range(number), min(number, rng.choice((0, 0, 1, 1, 2, 3))))
    resources = {}
    if rng.random() < 0.25:
        resources["cpu"] = rng.choice(CPUS)
    if rng.random() < 0.2:
        resources[rng.choice(("db", "net"))] = rng.choice(AMOUNTS)
    return JobSpec(
        name=f"j{number}",
        action="test",
        needs=tuple(f"j{need}" for need in sorted(needs)),
        when=rng.choice(WHENS) if needs else "success",
        retry=Retry(
            rng.choice((1, 1, 2, 3)),
            rng.choice((0.0, 0.0, 1.0, 5.0)),
            rng.choice((1.0, 2.0)),
            jitter=rng.choice((0, 0.3)),
            only=ONLY[number % len(ONLY)],
        ),
        timeout_s=rng.choice((None, None, 1.0, 5.0)),
        grace_s=rng.choice((0.0, 2.0)),
        resources=resources,
        once=rng.random() < 0.05,
        priority=rng.choice((0, 0, 0, 1, -1)),
        outputs=(f"o{number}",) if number % 5 == 2 else (),
    )


def _weighed(rng: random.Random, jobs: list[JobSpec], limits: Limits) -> tuple[list[JobSpec], Limits]:
    """The same under a limit of all memory, of which jobs declare shares, or earlier runs tell."""
    most = 2**30
    declared = [{"memory": rng.choice((0.1, 0.4, 0.6, 1.5)) * most} if rng.random() < 0.2 else {} for _ in jobs]
    expected = {job: rng.choice((most // 8, most // 2, 2 * most)) for job in range(len(jobs)) if rng.random() < 0.1}
    weighed = replace(limits, max_memory=most, expected_memory=expected)
    # What a batch may not say is not simulated: a `max_memory` of its retries below the memory that a job declares.
    made = [
        replace(job, resources=job.resources | own, retry=replace(job.retry, max_memory=None)) if own else job
        for job, own in zip(jobs, declared, strict=True)
    ]
    return made, weighed


def _finals(rng: random.Random, jobs: list[JobSpec]) -> list[JobSpec]:
    """A few jobs of `finally`, some of which need each other, or refer to the result of a job of the run."""
    known = [job.name for job in jobs if job.fan_out is None]
    finals = []
    for number in range(rng.randint(1, 5)):
        job = _job(rng, number)
        fields = {}
        if known and rng.random() < 0.4:
            fields = {"params": {"value": f"${{{{ jobs.{rng.choice(known)}.result }}}}"}, "deferred": True}
        needs = tuple(need.replace("j", "f") for need in job.needs)
        when = rng.choice(("always", "always", "failure", "success"))
        finals.append(replace(job, name=f"f{number}", needs=needs, when=when, outputs=(), finally_=True, **fields))
    return finals


def _allowed(rng: random.Random, jobs: list[JobSpec]) -> list[JobSpec]:
    """The same jobs, many of which may fail; some of those that need one refer to its result, or read what it makes."""
    may = {job.name: job for job in jobs if rng.random() < 0.4}
    made = []
    for job in jobs:
        fields = {"allow_failure": job.name in may}
        taken = next((may[need] for need in job.needs if need in may and rng.random() < 0.5), None)
        if taken is not None and taken.outputs and job.fan_out is None:
            fields |= {"input": taken.outputs[0], "patterns": ()}
        elif taken is not None and job.fan_out is None:
            fields |= {"params": {"value": f"${{{{ jobs.{taken.name}.result }}}}"}, "deferred": True}
        made.append(replace(job, **fields))
    return made


def _conditional(rng: random.Random, jobs: list[JobSpec]) -> list[JobSpec]:
    """The same jobs, some of which are run only if a need of theirs found something odd, or nothing odd, or never."""
    single = {job.name for job in jobs if job.fan_out is None}
    made = []
    for job in jobs:
        asked = next((need for need in job.needs if need in single and rng.random() < 0.4), None)
        fields = {}
        if asked is not None and job.fan_out is None:
            value = f"${{{{ jobs.{asked}.result.odd }}}}"
            fields = {"if_": value, "if_not": rng.random() < 0.5, "deferred": True}
        elif rng.random() < 0.1:
            fields = {"if_": False}
        made.append(replace(job, **fields))
    return made


def _with_slots(rng: random.Random, jobs: list[JobSpec], limits: dict[str, Limit]) -> list[JobSpec]:
    """The same jobs, most of which ask for slots with names and little else, so that several run at once; fused ones mostly for the same."""
    made = []
    alike = {"gpu": 1.0}
    for job in jobs:
        asked = {name: float(rng.randint(1, limit.count)) for name, limit in limits.items() if rng.random() < 0.6}
        if job.action == "fused" and rng.random() < 0.7:
            asked = alike
        cpu = {"cpu": 0.1} if asked and rng.random() < 0.7 else {}
        made.append(replace(job, resources={**job.resources, **cpu, **asked}))
    return made


def _growing(rng: random.Random, jobs: list[JobSpec], fan: FanOut) -> list[JobSpec]:
    """The same jobs, some of which stand for many: with a result as the source for as many as are found when they start."""
    chosen = {job.name for job in jobs if job.fan_out is None and rng.random() < 0.3}
    return [
        replace(
            job,
            name=f"{job.name}-${{{{ item }}}}" if job.name in chosen else job.name,
            fan_out=fan if job.name in chosen else job.fan_out,
            outputs=tuple(f"{path}-${{{{ item }}}}" for path in job.outputs) if job.name in chosen else job.outputs,
            needs=tuple(f"{need}-*" if need in chosen else need for need in job.needs),
        )
        for job in jobs
    ]


def _with_files(rng: random.Random, jobs: list[JobSpec]) -> list[JobSpec]:
    """The same jobs, some more of them fan-outs, most of which make something or read what jobs before them make."""
    # Four jobs write to each folder. What is read is a path of an earlier job, or something of an earlier folder: so there are no cycles.
    jobs = _growing(rng, jobs, FanOut("rows", {"": ["0", "1", "2"]}))
    made: dict[int, str] = {}
    changed = []
    for job in sorted(jobs, key=_number):
        number = _number(job)
        fields = {}
        if rng.random() < 0.7:
            made[number] = _output(rng, number, is_many=job.fan_out is not None)
            fields["outputs"] = (made[number],)
        else:
            fields["outputs"] = ()
        if made.keys() - {number} and job.action == "test" and rng.random() < 0.7:
            paths = [_path_read(rng, job, made) for _ in range(rng.choice((1, 1, 2)))]
            fields["input"] = paths if len(paths) > 1 else paths[0]
            fields["patterns"] = tuple(at for at, path in enumerate(paths) if has_wildcard(path))
            if not job.needs and rng.random() < 0.2:
                fields["when"] = "always"
        changed.append(replace(job, **fields))
    by_number = {_number(job): job for job in changed}
    makers = [JobSpec(name="m0", action="test", outputs=("a",))] if any(job.input == "a" for job in changed) else []
    return [*(by_number[_number(job)] for job in jobs), *makers]


def _number(job: JobSpec) -> int:
    return int(job.name.partition("-")[0][1:])


def _output(rng: random.Random, number: int, *, is_many: bool) -> str:
    if is_many:
        kinds = ("{0}/g{1}-${{{{ item }}}}.csv", "{0}/g{1}/${{{{ item }}}}", "{0}/g{1}-${{{{ item }}}}/f.csv")
    else:
        kinds = ("{0}/f{1}.csv", "{0}/f{1}.csv", "{0}/d{1}", "{0}/s{1}/f.csv", "./x/../{0}/f{1}.csv", "/b/{0}/f{1}.csv")
    return rng.choice(kinds).format(f"t{number // 4:02}", number)


def _path_read(rng: random.Random, job: JobSpec, made: dict[int, str]) -> str:
    number = _number(job)
    maker = rng.choice([other for other in made if other < number])
    folder = f"t{maker // 4:02}"
    if number // 4 > maker // 4 and rng.random() < 0.5:
        kinds = (
            folder,
            f"./{folder}/",
            f"{folder}/*",
            f"{folder}/*.csv",
            f"{folder}/*/*.csv",
            f"{folder}/**",
            f"{folder}*",
        )
        return rng.choice((*kinds, f"{folder}/d?/x", f"{folder}/g*/?", f"{folder}/**/f*", f"/b/{folder}/?*"))
    item = "${{ item }}" if job.fan_out is not None else rng.choice("0129")
    path = made[maker].replace("${{ item }}", item)
    return f"{path}/part.csv" if f"/d{maker}" in path and rng.random() < 0.5 else path


def _fused(rng: random.Random, jobs: list[JobSpec]) -> list[JobSpec]:
    """The same jobs, most of them runs of a fused action, and many of those alike."""
    alike = {"timeout_s": rng.choice((None, 5.0)), "resources": {}, "priority": 0, "once": False, "grace_s": 2.0}
    made = []
    for job in jobs:
        fields = {"action": "fused", "input": rng.choice("ab")} if rng.random() < 0.8 else {}
        made.append(replace(job, **fields, **(alike if rng.random() < 0.7 else {})))
    return made


def _greedy(rng: random.Random, jobs: list[JobSpec]) -> list[JobSpec]:
    """The same jobs, most of which declare memory, and may use more of it after it was too little."""
    made = []
    for job in jobs:
        fields = {}
        if rng.random() < 0.7:
            retry = replace(
                job.retry,
                max_attempts=max(3, job.retry.max_attempts),
                only=(),
                memory_factor=rng.choice((1.0, 1.5, 2.0, 1000.0)),
                max_memory=rng.choice((None, 3.0, 6.0)),
            )
            fields = {"resources": {**job.resources, "memory": rng.choice((0.5, 1.0, 3.0))}, "retry": retry}
        made.append(replace(job, **fields))
    return made


@st.composite
def plans(
    draw: st.DrawFn, *, most: int = 40, whens: tuple[str, ...] = ("success", "failure", "always"), plain: bool = False
) -> Plan:
    """Any plan; `plain`: nothing but needs and `when`."""
    count = draw(st.integers(1, most))
    jobs = []
    fused = draw(st.booleans())
    for number in range(count):
        needs = draw(st.sets(st.integers(0, number - 1), max_size=4)) if number else set()
        fields = {} if plain or (fused and draw(st.integers(0, 3))) else draw(_fields)
        jobs.append(
            JobSpec(
                name=f"j{number}",
                action="fused" if fused else "test",
                input=draw(st.sampled_from("ab")) if fused else None,
                needs=tuple(f"j{need}" for need in sorted(needs)),
                when=draw(st.sampled_from(whens)),
                **fields,
            )
        )
    return plan_of(draw(st.permutations(jobs)) if count <= 12 else jobs)


_fields = st.fixed_dictionaries(
    {},
    optional={
        "retry": st.builds(
            Retry,
            max_attempts=st.integers(1, 4),
            delay_s=st.sampled_from((0.0, 0.5, 10.0)),
            backoff=st.sampled_from((1.0, 2.0)),
            jitter=st.sampled_from((0.0, 0.5)),
            only=st.sampled_from(((), ("exit", "timeout"), ("error",))),
        ),
        "timeout_s": st.sampled_from((0.5, 5.0)),
        "grace_s": st.sampled_from((0.0, 3.0)),
        "resources": st.dictionaries(
            st.sampled_from(("cpu", "db", "net", "memory")), st.sampled_from((*CPUS, *AMOUNTS)), max_size=2
        ),
        "once": st.booleans(),
        "priority": st.integers(-2, 2),
        "outputs": st.uuids().map(lambda name: (str(name),)),
    },
)

limits = st.builds(
    Limits,
    slots=st.integers(1, 5),
    named=st.sampled_from(LIMITS),
    fail_fast=st.booleans(),
    max_failures=st.sampled_from((None, 1, 3, 0.1, 0.5)),
    timeout_s=st.sampled_from((None, None, 15.0)),
    crash_limit=st.integers(1, 3),
    max_bundle=st.sampled_from((1000, 1000, 3, 1)),
    seed=st.just("simulated"),
)
