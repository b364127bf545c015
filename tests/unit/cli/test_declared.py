"""Many jobs in few lines."""

import pytest

from joblot.cli import declared
from joblot.config.load import load_text
from joblot.core.plan import expand


def plan_of(**fans):
    jobs = "".join(
        f"  - {{name: '{name}-${{{{ item.n }}}}', run: 'true', foreach: [{', '.join(f'{{n: {n}}}' for n in range(count))}]}}\n"
        for name, count in fans.items()
    )
    text = f"name: b\njobs:\n{jobs}  - {{name: last, run: 'true'}}\n"
    config, _ = load_text(text, folder="/tmp", lookup=lambda _: None, names=list)
    return expand(config)


def told(plan, said, jobs=None, **options):
    return list(declared.lines(plan, range(len(plan)) if jobs is None else jobs, said, **options))


def test_few_jobs_have_a_line_each():
    plan = plan_of(a=19)
    assert told(plan, lambda job: ("new", f"new {job}")) == [*(f"a-{n}: new {n}" for n in range(19)), "last: new 19"]


SAID = [
    (lambda _: ("new", "new"), ["a-*: 30 jobs: new", "b-*: 30 jobs: new", "last: new"]),
    (
        lambda job: ("output missing", f"output missing: {job}.txt"),
        [
            "a-*: 30 jobs: output missing (such as `a-0`: 0.txt)",
            "b-*: 30 jobs: output missing (such as `b-0`: 30.txt)",
            "last: output missing: 60.txt",
        ],
    ),
    (
        lambda job: ("changed: run", 'changed: run "x" -> "y"') if job == 7 else ("input changed", "input changed: in"),
        [
            "a-*: 29 jobs: input changed: in",
            'a-7: changed: run "x" -> "y"',
            "b-*: 30 jobs: input changed: in",
            "last: input changed: in",
        ],
    ),
    (
        lambda job: ("", "") if job < 60 else ("failed", "failed: exit status 3"),
        ["a-*: 30 jobs: ", "b-*: 30 jobs: ", "last: failed: exit status 3"],
    ),
]


@pytest.mark.parametrize(("said", "lines"), SAID)
def test_many_are_told_by_declaration_and_kind(said, lines):
    assert told(plan_of(a=30, b=30), said) == lines


@pytest.mark.parametrize(
    ("kind", "text", "example"),
    [
        ("failed: exit status <n>", "failed: exit status 3", "exit status 3"),
        ("failed: ValueError: <n> cannot be", "failed: ValueError: 1 cannot be", "1 cannot be"),
        ("changed: run, env.A", 'changed: run "a" -> "b", env.A "c" -> "d"', 'run "a" -> "b", env.A "c" -> "d"'),
        ("changed: run", 'changed: run "a" -> "b"', '"a" -> "b"'),
        ("output missing", "output missing: a.txt", "a.txt"),
        ("skipped", "waiting", "waiting"),
    ],
)
def test_an_example_says_what_the_kind_does_not(kind, text, example):
    def said(job):
        return kind, text if job == 0 else f"{text} too"

    assert told(plan_of(a=30), said)[0] == f"a-*: 30 jobs: {kind} (such as `a-0`: {example})"


@pytest.mark.parametrize("kinds", [19, 20, 21, 60])
def test_there_are_never_more_lines_than_that(kinds):
    lines = told(
        plan_of(a=60), lambda job: (f"kind {job % kinds}", f"kind {job % kinds}: x"), range(60), rest=" (`--json`)"
    )
    assert len(lines) == min(kinds, 21)
    if kinds > 20:
        assert lines[-1] == f"... and {len([n for n in range(60) if n % kinds >= 20])} more (`--json`)"


@pytest.mark.parametrize(
    ("jobs", "words"),
    [
        (range(3), ["a-0", "a-1", "a-2"]),
        (range(20), [f"a-{n}" for n in range(20)]),
        (range(21), ["a-* (21 jobs)"]),
        ([*range(21), 60], ["a-* (21 jobs)", "last"]),
        ([0, *range(30, 60)], ["a-0", "b-* (30 jobs)"]),
    ],
)
def test_names_by_declaration(jobs, words):
    assert declared.names(plan_of(a=30, b=30), jobs) == words


def singles(count):
    jobs = "".join(f"  - {{name: j{n}, run: 'true'}}\n" for n in range(count))
    config, _ = load_text(f"name: b\njobs:\n{jobs}", folder="/tmp", lookup=lambda _: None, names=list)
    return expand(config)


@pytest.mark.parametrize(
    ("said", "lines"),
    [
        (lambda _: ("success", "success"), ["300 jobs: success"]),
        (
            lambda job: ("failed", f"failed: exit status {job}") if job in (7, 8) else ("success", "success"),
            ["298 jobs: success", "2 jobs: failed (such as `j7`: exit status 7)"],
        ),
        (
            lambda job: ("failed", "failed: exit status 3") if job == 7 else ("success", "success"),
            ["299 jobs: success", "j7: failed: exit status 3"],
        ),
    ],
)
def test_many_jobs_that_stand_for_themselves_are_told_by_kind(said, lines):
    assert told(singles(300), said) == lines


def test_names_of_many_that_stand_for_themselves():
    assert declared.names(singles(300), range(300)) == ["j0 and 299 more"]
    assert declared.by_declaration(singles(21), range(21)) == [("", list(range(21)))]


def test_a_fan_out_whose_pattern_is_not_its_name_alone():
    assert declared.by_declaration(plan_of(a=3), range(4)) == [("a-*", [0, 1, 2]), ("last", [3])]
