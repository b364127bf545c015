"""Files make the graph: whoever reads what a job makes needs that job."""

import fnmatch
import random
import re

import pytest

from joblot.core.dataflow import Maker
from joblot.core.model import Config, FanOut, JobSpec
from joblot.core.patterns import as_regex
from joblot.core.plan import expand
from joblot.core.provenance import paths_read
from joblot.errors import ConfigError
from joblot.testing import World


def job(name, *needs, reads=None, makes=(), **fields):
    return JobSpec(name=name, run="true", needs=needs, input=reads, outputs=tuple(makes), **fields)


def plan_of(*jobs, rules=1, folder="/b"):
    return expand(Config(name="b", folder=folder, jobs=list(jobs), rules=rules))


def needs_of(plan, name="use"):
    return [plan.name(need) for need in plan.needs[plan.find(name)]]


def mistakes(*jobs):
    with pytest.raises(ConfigError) as caught:
        plan_of(*jobs)
    return [(found.message, found.hint) for found in caught.value.diagnostics]


def each(name, *values, **fields):
    return job(name, fan_out=FanOut("rows", {"": list(values)}), **fields)


@pytest.mark.parametrize(
    ("reads", "makes"),
    [
        ("mid.txt", "mid.txt"),
        ("./mid.txt", "mid.txt"),
        ("mid.txt", "sub/../mid.txt"),
        ("/b/mid.txt", "mid.txt"),
        ("mid.txt", "/b/mid.txt"),
        ("/elsewhere/x", "/elsewhere/x"),
        ("../x", "/x"),
        ("parts/a.csv", "parts"),
        ("parts/deep/a.csv", "parts/"),
        ("parts", "parts/a.csv"),
        ("parts/", "parts/deep/a.csv"),
        (".", "parts/a.csv"),
        ("é.txt", "é.txt"),
        (["other.txt", "mid.txt"], "mid.txt"),
        ("a[1].txt", "a[1].txt"),
        ("data//mid.txt", "data/mid.txt"),
    ],
)
def test_a_job_needs_what_makes_its_input(reads, makes):
    plan = plan_of(job("use", reads=reads, makes=["out.txt"] if reads != "." else ()), job("make", makes=[makes]))
    assert needs_of(plan) == ["make"]
    assert plan.made_input(0) == {1: makes}
    assert plan.tiers == [[1], [0]]


@pytest.mark.parametrize(
    ("reads", "makes"),
    [
        ("mid.txt", "mid.txt2"),
        ("parts2/a.csv", "parts"),
        ("part", "parts/a.csv"),
        ("mid", "mid.txt"),
        ("sub/mid.txt", "mid.txt"),
        ("${{ jobs.x.result }}", "${{ jobs.x.result }}x"),
        (["a", "b"], "c"),
        (None, "c"),
    ],
)
def test_and_nothing_else(reads, makes):
    assert needs_of(plan_of(job("use", reads=reads), job("make", makes=[makes]))) == []


def test_items_match_item_by_item():
    plan = plan_of(
        each("clean-${{ item }}", "a", "b", makes=["out/${{ item }}.csv"]),
        each("load-${{ item }}", "a", "b", reads="out/${{ item }}.csv"),
        job("all", reads="out"),
    )
    assert needs_of(plan, "load-a") == ["clean-a"]
    assert needs_of(plan, "load-b") == ["clean-b"]
    assert needs_of(plan, "all") == ["clean-a", "clean-b"]


def test_jobs_that_read_the_same_need_the_same():
    plan = plan_of(job("make", makes=["x"]), each("use-${{ item }}", 1, 2, 3, reads="x"))
    assert [needs_of(plan, f"use-{item}") for item in (1, 2, 3)] == [["make"]] * 3


def test_what_is_written_comes_first_and_stands_once():
    plan = plan_of(job("use", "b", "a", reads=["x", "y"]), job("a", makes=["x"]), job("b"), job("c", makes=["y"]))
    assert needs_of(plan) == ["b", "a", "c"]
    assert [plan.name(need) for need in plan.written_needs(0)] == ["b", "a"]


def test_what_is_compared_is_what_is_read():
    """A need that is written counts with all its outputs, one that is inferred with the files that are read."""
    make = job("make", makes=["x", "log.txt"])
    inferred, written = plan_of(job("use", reads="x"), make), plan_of(job("use", "make", reads="x"), make)
    assert paths_read(inferred, 0, "x") == ["x"]
    assert paths_read(written, 0, "x") == ["x", "log.txt"]


def test_plans_of_earlier_programs_hang_together_as_they_did():
    jobs = (job("use", reads="x"), job("make", makes=["x"]))
    assert needs_of(plan_of(*jobs, rules=0)) == []
    assert needs_of(plan_of(*jobs)) == ["make"]


def test_own_files_are_left_out():
    plan = plan_of(job("use", reads="data", makes=["data/report.txt"]), job("make", makes=["data/x"]))
    assert needs_of(plan) == ["make"]


def test_a_cycle_by_files_names_them():
    files = "(`mid.txt` of `make`, `out.txt` of `use`)"
    hint = "a file that goes from run to run stands in neither `input` nor `outputs`"
    assert mistakes(
        job("use", reads="mid.txt", makes=["out.txt"]), job("make", reads="out.txt", makes=["mid.txt"])
    ) == [(f"jobs need each other: use -> make -> use {files}", hint)]
    assert mistakes(job("use", reads="mid.txt"), job("make", "use", makes=["mid.txt"])) == [
        ("jobs need each other: use -> make -> use (`mid.txt` of `make`)", hint)
    ]


def test_a_cycle_of_needs_alone_speaks_of_needs():
    assert mistakes(job("a", "b"), job("b", "a")) == [
        ("jobs need each other: a -> b -> a", "`a -> b` means that `a` needs `b`; remove one of these needs")
    ]


@pytest.mark.parametrize("reads", ["mid.txt", ["x", "mid.txt"]])
def test_needs_none_is_no_way_to_read_what_is_made(reads):
    assert mistakes(job("use", reads=reads, needs_none=True), job("make", makes=["mid.txt"])) == [
        ("job `use` reads `mid.txt`, which job `make` makes, and says `needs: []`", "leave `needs` out")
    ]


@pytest.mark.parametrize(
    ("reads", "makes"),
    [
        ("Mid.txt", "mid.txt"),
        ("mid.txt", "MID.TXT"),
        ("Parts/a.csv", "parts"),
        ("parts", "Parts/a.csv"),
        ("\u00e9", "e\u0301"),
    ],
)
def test_paths_that_are_one_on_some_systems(reads, makes):
    assert mistakes(job("use", reads=reads), job("make", makes=[makes])) == [
        (f"job `use` reads `{reads}`, job `make` writes `{makes}`: on some systems one file", "write it the same")
    ]


GROWING = FanOut("result", source="${{ jobs.list.result }}")


@pytest.mark.parametrize("reads", ["out/a.csv", "out", ".", "out/a/b.csv", ["x", "out/a.csv"], "out/a.csv/inside"])
def test_who_may_read_what_will_be_found_waits_for_the_finder(reads):
    plan = plan_of(
        job("list"),
        job("clean-${{ item }}", "list", makes=["out/${{ item }}.csv"], fan_out=GROWING, deferred=True),
        job("use", reads=reads),
    )
    assert needs_of(plan) == ["clean-*"]


@pytest.mark.parametrize("reads", ["out/a.txt", "other", "ou", "outer/a.csv"])
def test_who_cannot_does_not(reads):
    plan = plan_of(
        job("list"),
        job("clean-${{ item }}", "list", makes=["out/${{ item }}.csv"], fan_out=GROWING, deferred=True),
        job("use", reads=reads),
    )
    assert needs_of(plan) == []


def grown(*jobs, items=("a", "b")):
    plan = plan_of(
        job("list"),
        job(
            "clean-${{ item }}",
            "list",
            reads="in/${{ item }}",
            makes=["out/${{ item }}.csv"],
            fan_out=GROWING,
            deferred=True,
        ),
        *jobs,
    )
    plan.extend(1, {"": list(items)})
    return plan


def test_found_jobs_need_what_makes_their_input():
    plan = grown(job("make", makes=["in/a"]))
    assert needs_of(plan, "clean-a") == ["clean-*", "make"]
    assert needs_of(plan, "clean-b") == ["clean-*"]


def test_readers_of_found_outputs_wait_for_all_that_was_found():
    for reads in ("out", "out/a.csv", "."):
        assert sorted(needs_of(grown(job("use", reads=reads)), "use")) == ["clean-*", "clean-a", "clean-b"]


@pytest.mark.parametrize("first", ["use", "make"])
@pytest.mark.parametrize(
    ("reads", "found", "awaited"),
    [
        ("mid/a", "a", "a"),
        ("mid/a", "abc", "a"),
        ("mid/c", "abc", "c"),
        ("mid/a", "", ""),
        ("mid/z", "ab", ""),
        ("mid", "abc", "abc"),
        ("mid/b/part", "ab", "b"),
    ],
)
def test_found_jobs_wait_for_what_other_finders_find(first, reads, found, awaited):
    """In whatever order they are found, and for nothing else."""
    fan = FanOut("result", source="${{ run.id }}")
    make = JobSpec(name="make-${{ item }}", action="test", outputs=("mid/${{ item }}",), fan_out=fan, deferred=True)
    use = JobSpec(name="use-${{ item }}", action="test", input=reads, fan_out=fan, deferred=True)
    world = World(Config(name="b", folder="/b", jobs=[make, use], rules=1), slots=9)
    world.start()
    for finder in ("use", "make") if first == "use" else ("make", "use"):
        world.find(f"{finder}-*", *("1" if finder == "use" else found))
    for name in awaited:
        assert "use-1" not in world.running()
        world.ok(f"make-{name}")
    assert "use-1" in world.running()


def test_found_jobs_that_need_what_waits_for_them_are_a_cycle():
    with pytest.raises(ConfigError) as caught:
        grown(job("use", reads="out", makes=["in/a"]))
    assert caught.value.diagnostics[0].message.startswith("jobs need each other: ")


def test_input_that_is_known_at_the_start_is_looked_up_then():
    plan = plan_of(
        job("use", "near", reads="${{ jobs.near.result }}", deferred=True),
        job("near", "far"),
        job("far", makes=["x"]),
        job("other", makes=["y"]),
    )
    assert needs_of(plan) == ["near"]
    assert plan.unneeded_maker(0, "x") is None
    assert plan.unneeded_maker(0, ["x", "y"]) == Maker(3, "y")
    assert plan.unneeded_maker(0, "z") is None


def test_a_handler_is_ordered_and_not_decided_by_what_makes_its_input():
    plan = plan_of(job("fix", "a", reads="x", when="failure"), job("a"), job("make", makes=["x"]))
    assert needs_of(plan, "fix") == ["a", "make"]
    assert plan.only_ordered == {0: frozenset({2})}


def test_a_thousand_levels_and_paths_of_all_kinds_take_no_time_to_speak_of():
    deep = "/".join("d" * 1 for _ in range(1000))
    assert needs_of(plan_of(job("use", reads=deep), job("make", makes=["d/d/d"]))) == ["make"]


# --- patterns ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("out/*.csv", ["out/a.csv", "out/b.csv"]),
        ("out/?.csv", ["out/a.csv", "out/b.csv"]),
        ("out/[ac].csv", ["out/a.csv"]),
        ("out/[!a].csv", ["out/b.csv"]),
        ("./out/*", ["out/a.csv", "out/b.csv"]),
        ("/b/out/*", ["out/a.csv", "out/b.csv"]),
        ("**/*.csv", ["out/a.csv", "out/b.csv", "out/deep/c.csv"]),
        ("out/**", ["out/a.csv", "out/b.csv", "out/deep/c.csv"]),
        ("out/**/c.csv", ["out/deep/c.csv"]),
        ("**/a.csv", ["out/a.csv"]),
        ("*/a.csv", ["out/a.csv"]),
        ("out/*/c.csv", ["out/deep/c.csv"]),
        ("*.csv", []),
        ("out/*.cs", []),
        ("out/[*].csv", []),
        ("[*]", ["*"]),
        ("*", ["*"]),
        (".*", [".hidden"]),
        ("out/a.c?v", ["out/a.csv"]),
    ],
)
def test_a_pattern_stands_for_the_outputs_that_match(pattern, found):
    makes = ["out/a.csv", "out/b.csv", "out/deep/c.csv", "*", ".hidden"]
    jobs = [job(f"j{number}", makes=[path]) for number, path in enumerate(makes)]
    plan = plan_of(job("use", reads=pattern, patterns=(0,)), *jobs)
    assert list(plan.made_input(0).values()) == found
    assert plan.outputs_matching(0, pattern) == found
    assert set(needs_of(plan)) == {f"j{makes.index(path)}" for path in found}


def test_a_pattern_as_the_file_system_reads_it(tmp_path):
    from joblot.config.items import files_matching

    makes = [
        "a.csv",
        "b.txt",
        "d/a.csv",
        "d/.h/a.csv",
        "d/e/f.csv",
        ".x/a.csv",
        "a[1].csv",
        "d/b+c.csv",
        "d/A.csv",
        "x-y.csv",
    ]
    for path in makes:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
    jobs = [job(f"j{number}", makes=[path]) for number, path in enumerate(makes) if path != "d/A.csv"]
    (tmp_path / "d/A.csv").unlink()
    for pattern in (
        "*",
        "*.csv",
        "**",
        "**/*.csv",
        "d/*",
        "d/**",
        "*/*.csv",
        "d/**/f.csv",
        "a[[]1].csv",
        "[ab]*",
        "?.???",
        "d/[!a]*",
        ".*/*",
        "**/a*",
        "[a-c]*.csv",
        "*[1]*",
        "*-*",
        "[]x]*",
        "d/b+*",
    ):
        plan = plan_of(job("use", reads=pattern, patterns=(0,)), *jobs, folder=str(tmp_path))
        assert plan.outputs_matching(0, pattern) == files_matching(pattern, str(tmp_path)), pattern


def test_a_pattern_that_looks_into_a_folder_that_is_made():
    plan = plan_of(job("use", reads="parts/*.csv", patterns=(0,)), job("split", makes=["parts"]))
    assert (needs_of(plan), plan.outputs_matching(0, "parts/*.csv")) == (["split"], [])


def test_own_outputs_are_no_input_of_a_pattern():
    plan = plan_of(job("use", reads="out/*", makes=["out/all"], patterns=(0,)), job("make", makes=["out/a"]))
    assert (needs_of(plan), plan.outputs_matching(0, "out/*")) == (["make"], ["out/a"])


def test_what_an_item_gives_to_a_pattern_stands_for_itself():
    plan = plan_of(
        each("use-${{ item }}", "x*", "[a]", "?", reads=["out/${{ item }}*.csv", "${{ item }}"], patterns=(0,)),
        job("a", makes=["out/x*1.csv"]),
        job("b", makes=["out/xy.csv"]),
    )
    assert [plan.spec(number).input for number in range(3)] == [
        ["out/x[*]*.csv", "x*"], ["out/[[]a]*.csv", "[a]"], ["out/[?]*.csv", "?"],
    ]  # fmt: skip
    assert needs_of(plan, "use-x") == ["a"]


def test_patterns_wait_for_what_will_be_found():
    plan = plan_of(
        job("list"),
        job("clean-${{ item }}", "list", makes=["out/${{ item }}.csv"], fan_out=GROWING, deferred=True),
        job("use", reads="out/*.csv", patterns=(0,)),
        job("other", reads="else/*.csv", patterns=(0,)),
    )
    assert (needs_of(plan), needs_of(plan, "other")) == (["clean-*"], [])


def test_a_pattern_in_another_case():
    assert mistakes(job("use", reads="Out/*.csv", patterns=(0,)), job("make", makes=["out/a.csv"])) == [
        ("job `use` reads `Out/*.csv`, job `make` writes `out/a.csv`: on some systems one file", "write it the same")
    ]


def test_patterns_that_take_too_long(monkeypatch):
    from joblot.core import dataflow

    monkeypatch.setattr(dataflow, "_MOST_TRIED", 3)
    jobs = [job(f"j{number}", makes=[f"out/{number}"]) for number in range(4)]
    assert mistakes(job("use", reads="out/*", patterns=(0,)), *jobs) == [
        (
            "the patterns of all inputs are tried on more than 3 outputs",
            "let the patterns begin with more that is not a wildcard",
        )
    ]


def test_any_text_is_a_pattern_and_means_in_a_name_what_it_means_to_python():
    """A class without an end, an empty or turned range: what `glob` makes of them, and no error."""
    rng = random.Random(7)
    matching = 0
    for _ in range(20_000):
        pattern = "".join(rng.choices("[[]]!-***??abz^\\&|~.", k=rng.randrange(1, 7)))
        name = "".join(rng.choices("abz[]!-^\\.", k=rng.randrange(1, 4)))
        expected = fnmatch.fnmatchcase(name, pattern) and not (name.startswith(".") and pattern[0] in "*?[")
        assert bool(re.fullmatch(as_regex(pattern), name)) == expected, (pattern, name)
        matching += expected
        assert pattern == "**" or not re.fullmatch(as_regex(pattern), f"{name}/{name}")
    assert matching > 600


def test_many_stars_are_no_trap():
    assert not re.fullmatch(as_regex("out/" + "*a" * 60 + "*b"), "out/" + "a" * 250)
    assert re.fullmatch(as_regex("out/" + "*a" * 60 + "*b"), "out/" + "a" * 250 + "b")
