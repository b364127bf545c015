"""What a job reads is what the jobs of this run made of it, without a word about needs. Whole runs of the real command."""

import json

import pytest

import joblot as lib
from cli.conftest import Project


@pytest.fixture
def joblot(tmp_path):
    return Project(tmp_path)


def batch(project, *jobs, name="joblot.yaml"):
    lines = "".join(f"  - {job}\n" for job in jobs)
    project.write(name, f"name: flow\njobs:\n{lines}")


def states(done) -> dict[str, str]:
    return {one["job"]: one["status"] for one in json.loads(done.out)["results"]}


MAKE = "{name: make, run: 'sleep 0.2; echo new > mid.txt', outputs: [mid.txt]}"
USE = "{name: use, run: 'cat mid.txt > out.txt', input: mid.txt, outputs: [out.txt]}"


@pytest.mark.parametrize("on", ["local", "inline"])
def test_what_is_made_is_read_and_not_what_was_there(joblot, on):
    joblot.write("mid.txt", "old\n")
    batch(joblot, USE, MAKE)
    assert joblot("run", "--on", on).code == 0
    assert (joblot.path / "out.txt").read_text() == "new\n"
    assert states(joblot("run", "--json")) == {"use": "cached", "make": "cached"}


def test_python_batches_and_several_files_too(joblot, tmp_path):
    joblot.write("a.yaml", f"jobs:\n  - {USE}\n")
    joblot.write("b.yaml", f"jobs:\n  - {MAKE}\n")
    done = joblot("run", "a.yaml", "b.yaml")
    assert (done.code, (joblot.path / "out.txt").read_text()) == (0, "new\n")
    made = lib.Batch("flow", folder=tmp_path)
    made.command("use", "cat mid.txt", input="mid.txt")
    made.command("make", "echo x > mid.txt", outputs=["mid.txt"])
    assert [made.plan().name(job) for tier in made.plan().tiers for job in tier] == ["make", "use"]


def test_plan_graph_and_explain_say_which_file(joblot):
    batch(joblot, USE, MAKE)
    assert "new; needs make (mid.txt)" in joblot("plan").out
    plan = json.loads(joblot("plan", "--json").out)
    assert [(job["needs"], job.get("input_made_by")) for job in plan["jobs"]] == [
        (["make"], {"make": "mid.txt"}),
        ([], None),
    ]
    assert 'j1 -->|"mid.txt"| j0' in joblot("graph").out
    assert 'j1 -> j0 [label="mid.txt"]' in joblot("graph", "--format", "dot").out
    joblot("run", "--run-id", "r1")
    assert "    make (makes `mid.txt`): success" in joblot("explain", "r1", "use").out
    assert json.loads(joblot("explain", "r1", "use", "--json").out)["input_made_by"] == {"make": "mid.txt"}


def test_what_makes_the_input_fails_and_nobody_reads_what_is_left(joblot):
    joblot.write("mid.txt", "old\n")
    batch(joblot, USE, "{name: make, run: 'exit 3', outputs: [mid.txt]}")
    done = joblot("run", "--json")
    assert (done.code, states(done)) == (1, {"use": "skipped", "make": "failed"})


@pytest.mark.parametrize(
    ("when", "of_need", "state"),
    [("failure", "exit 1", "success"), ("failure", "true", "skipped"), ("always", "true", "success")],
)
def test_a_handler_waits_for_its_input_and_runs_for_its_needs(joblot, when, of_need, state):
    """That what makes its input failed is no reason for a handler to run."""
    fix = f"{{name: fix, run: 'cat mid.txt > seen.txt', input: mid.txt, needs: [a], when: {when}}}"
    make = "{name: make, run: 'sleep 0.2; exit 1', outputs: [mid.txt]}"
    joblot.write("mid.txt", "")
    batch(joblot, fix, f"{{name: a, run: '{of_need}'}}", make)
    assert states(joblot("run", "--json"))["fix"] == state


def test_found_jobs_read_what_others_make(joblot):
    batch(
        joblot,
        "{name: list, run: 'cat items.json > $JOBLOT_OUTPUT'}",
        "{name: 'load-${{ item }}', run: ['cp', 'in-${{ item }}', 'got-${{ item }}'], input: 'in-${{ item }}', "
        "outputs: ['got-${{ item }}'], foreach: '${{ jobs.list.result }}', needs: [list]}",
        "{name: a, run: 'sleep 0.3; echo a > in-a', outputs: [in-a]}",
        "{name: b, run: 'exit 1', outputs: [in-b]}",
        "{name: all, run: 'cat got-* > all.txt', input: got-a}",
    )
    joblot.write("in-b", "old")
    joblot.write("items.json", '["a", "b"]')
    found = states(joblot("run", "--json"))
    assert found == {
        "list": "success", "load-*": "success", "a": "success", "b": "failed", "all": "skipped", "load-a": "success", "load-b": "skipped",
    }  # fmt: skip


def test_input_that_is_known_at_the_start_and_made_by_a_stranger(joblot):
    batch(
        joblot,
        '{name: which, run: \'echo "\\"mid.txt\\"" > $JOBLOT_OUTPUT\'}',
        "{name: use, run: 'true', input: '${{ jobs.which.result }}', needs: [which]}",
        MAKE,
    )
    done = joblot("run", "--json")
    use = next(one for one in json.loads(done.out)["results"] if one["job"] == "use")
    assert (use["status"], use["reason"]) == ("failed", "unneeded_input")
    assert use["message"] == "input `mid.txt` is made by job `make`, which `use` does not need (`needs: [make]`)"


@pytest.mark.parametrize("pattern", ["parts/*/x.csv", "p*/north/x.csv", "**/x.csv", "parts/[a-z]*/*"])
def test_a_pattern_that_finds_something_in_a_folder_that_a_stranger_makes(joblot, pattern):
    """What lies there is from another day, or half there."""
    make = "{name: make, run: 'sleep 0.2; echo new > parts/north/x.csv', outputs: [parts/north]}"
    batch(joblot, f"{{name: use, run: 'cat parts/*/x.csv > got.txt', input: '{pattern}'}}", make)
    joblot.write("parts/north/x.csv", "old\n")
    done = joblot("run", "--json")
    use = next(one for one in json.loads(done.out)["results"] if one["job"] == "use")
    assert (use["status"], use["reason"]) == ("failed", "unneeded_input")
    assert use["message"] == "input `parts/north` is made by job `make`, which `use` does not need (`needs: [make]`)"
    assert states(joblot("run", "--json", "--only", "use")) == {"use": "success"}


def test_what_is_not_selected_is_read_as_it_is(joblot):
    batch(joblot, USE, MAKE)
    done = joblot("run", "--only", "use")
    assert done.code == 2
    assert done.err == (
        "error: job `use` reads `mid.txt`, which is not there; `make`, which makes it, is not selected\n"
        "hint: `--upto use` runs both\n"
    )
    joblot.write("mid.txt", "old\n")
    done = joblot("run", "--only", "use")
    assert done.code == 0
    assert "use reads `mid.txt` as it is, of 2" in done.err
    assert ": `make`, which makes it, is not selected\n" in done.err
    assert states(joblot("run", "--json", "--upto", "use")) == {"use": "success", "make": "success"}


def test_a_batch_that_is_wrong(joblot):
    batch(
        joblot,
        USE,
        "{name: make, run: 'true', input: out.txt, outputs: [mid.txt]}",
        "{name: none, run: 'true', input: Mid.txt, needs: []}",
    )
    done = joblot("validate")
    assert done.code == 2
    assert done.err.splitlines() == [
        "joblot.yaml:3:5: error: jobs need each other: use -> make -> use (`mid.txt` of `make`, `out.txt` of `use`)",
        "hint: a file that goes from run to run stands in neither `input` nor `outputs`",
        "joblot.yaml:5:5: error: job `none` reads `Mid.txt`, job `make` writes `mid.txt`: on some systems one file",
        "hint: write it the same",
        "joblot.yaml:5:5: error: job `none` reads `mid.txt`, which job `make` makes, and says `needs: []`",
        "hint: leave `needs` out",
        "3 errors",
    ]


PARTS = "{name: 'part-${{ item }}', run: 'echo ${{ item }} > ${{ outputs }}', outputs: ['out/${{ item }}.csv'], foreach: [b, a]}"


def test_a_pattern_is_the_outputs_that_match(joblot):
    joblot.write("out/old.csv", "old\n")
    batch(
        joblot, "{name: all, run: 'cat ${{ input }} > ${{ outputs }}', input: 'out/*.csv', outputs: [all.txt]}", PARTS
    )
    done = joblot("run")
    assert done.code == 0
    assert (joblot.path / "all.txt").read_text() == "a\nb\n"
    assert "WARNING | all: `out/old.csv` matches `out/*.csv` and is left out: no job makes it\n" in done.err
    assert set(states(joblot("run", "--json")).values()) == {"cached"}


@pytest.mark.parametrize(
    ("run", "said"),
    [
        ("'echo ${{ input }}'", "x y/1.csv x y/2.csv"),
        ("['echo', '${{ input }}', '${{ input[1] }}']", "x y/1.csv x y/2.csv x y/2.csv"),
    ],
)
def test_a_pattern_is_the_files_that_are_there(joblot, run, said):
    joblot.write("x y/2.csv", "")
    joblot.write("x y/1.csv", "")
    batch(joblot, f"{{name: all, run: {run}, input: 'x y/*.csv'}}")
    assert joblot("run", "--run-id", "r1").code == 0
    assert joblot("logs", "r1", "all").out == f"{said}\n"


@pytest.mark.parametrize(
    ("job_input", "run", "said"),
    [
        ("[top.csv, 'in/*.csv', 'in/*.md']", "echo ${{ input[0] }} + ${{ input[1] }} + ${{ input[2] }}", "top.csv + in/1.csv in/2.csv + in/1.md"),
        ("['in/*.csv', top.csv]", "echo ${{ input[1] }}", "top.csv"),
        ("['in/*.md']", "echo ${{ input[0] }}", "in/1.md"),
        ("['in/*.csv']", "echo ${{ input[0] }}", "in/1.csv in/2.csv"),
        ("['in/*.csv', 'in/1.*']", "echo ${{ input[1] }} + ${{ input }}", "in/1.csv in/1.md + in/1.csv in/2.csv in/1.md"),
        ("['in/*.csv', top.csv]", "[echo, '${{ input[0] }}', '${{ input[1] }}']", "in/1.csv in/2.csv top.csv"),
        ("['in/*.csv', -x]", "echo ${{ input[1] }}", "./-x"),
    ],
)  # fmt: skip
def test_a_number_counts_the_entries_of_a_list_and_not_the_files_that_match(joblot, job_input, run, said):
    for name in ("top.csv", "in/1.csv", "in/2.csv", "in/1.md", "-x"):
        joblot.write(name, "")
    batch(joblot, f"{{name: all, run: {run if run[0] == '[' else repr(run)}, input: {job_input}}}")
    assert joblot("run", "--run-id", "r1").code == 0
    assert joblot("logs", "r1", "all").out == f"{said}\n"


def test_a_pattern_that_nothing_matches(joblot):
    batch(joblot, "{name: all, run: 'true', input: 'out/*.csv'}")
    result = json.loads(joblot("run", "--json").out)["results"][0]
    assert (result["status"], result["reason"], result["message"]) == (
        "failed",
        "missing_input",
        "no file matches `out/*.csv`",
    )


def test_an_action_gets_the_files_of_a_pattern(joblot):
    joblot.write("out/.keep", "")
    joblot.write(
        "acts.py",
        "import joblot\n\n@joblot.action('names')\ndef names(input, ctx):\n    print(*(path.name for path in input))\n",
    )
    joblot.write(
        "joblot.yaml",
        f"imports: [./acts.py]\njobs:\n  - {PARTS}\n  - {{name: all, action: names, input: 'out/*.csv'}}\n",
    )
    joblot("run", "--run-id", "r1")
    assert joblot("logs", "r1", "all").out == "a.csv b.csv\n"


def test_who_makes_the_only_output_that_matches_reads_the_files_that_are_there(joblot):
    joblot.write("out/old.csv", "old\n")
    batch(joblot, "{name: all, run: 'cat ${{ input }} > ${{ outputs }}', input: 'out/*.csv', outputs: [out/a.csv]}")
    for _ in range(2):  # the second time its own output is there too
        assert joblot("run", "--force").code == 0
        assert (joblot.path / "out/a.csv").read_text() == "old\n"


@pytest.mark.parametrize("on", ["local", "inline"])
@pytest.mark.parametrize(
    ("fields", "read"),
    [
        ("when: always", True),
        ("when: always, needs: [make]", True),
        ("when: failure, needs: [make]", True),
        ("when: failure, needs: [bad]", True),
        ("when: always, needs: [fine]", True),
        ("when: success", False),
    ],
)
def test_who_reads_what_was_put_back_is_told(joblot, on, fields, read):
    joblot.write("mid.txt", "old\n")
    batch(
        joblot,
        f"{{name: use, run: 'cat mid.txt > seen.txt', input: mid.txt, {fields}}}",
        "{name: make, run: 'echo half > mid.txt; exit 3', outputs: [mid.txt]}",
        "{name: bad, run: 'exit 1'}",
        "{name: fine, run: 'true'}",
    )
    done = joblot("run", "--on", on, "--run-id", "r1")
    told = "WARNING | use reads `mid.txt` as it was: `make`, which makes it, ended as `failed`\n"
    assert (done.code, done.err.count(told), (joblot.path / "seen.txt").exists()) == (1, read, read)
    said = "    make (makes `mid.txt`): failed: exit status 3; what was there before was read, if anything\n"
    assert (said in joblot("explain", "r1", "use").out) == read


def test_of_what_was_put_back_it_is_told_once(joblot):
    joblot.write("mid.txt", "old\n")
    batch(
        joblot,
        "{name: 'use-${{ item }}', run: 'true', input: mid.txt, when: always, foreach: [a, b, c]}",
        "{name: make, run: 'exit 3', outputs: [mid.txt]}",
        "{name: well, run: 'true', input: own.txt, when: always}",
        "{name: own, run: 'true > own.txt', outputs: [own.txt]}",
        "{name: nothing, run: 'true', input: never.txt, when: always}",
        "{name: never, run: 'exit 3', outputs: [never.txt]}",
    )
    assert joblot("run").err.count(" as it was: ") == 1


def test_a_job_of_finally_is_told_that_it_reads_what_was_there_before(joblot):
    joblot.write("a.txt", "old\n")
    joblot.write(
        "joblot.yaml",
        "jobs:\n  - {name: a, run: 'echo new > a.txt; exit 1', outputs: [a.txt]}\n"
        "finally:\n  - {name: end, run: 'cat a.txt > seen', input: a.txt}\n",
    )
    done = joblot("run")
    assert "WARNING | end reads `a.txt` as it was: `a`, which makes it, ended as `failed`\n" in done.err
    assert (joblot.path / "seen").read_text() == "old\n"


def test_a_job_that_is_off_reads_nothing(joblot):
    joblot.write(
        "joblot.yaml",
        "vars: {on: false}\njobs:\n  - {name: make, run: 'true', outputs: [mid.txt]}\n"
        "  - {name: use, run: 'true', input: mid.txt, if: '${{ vars.on }}'}\n",
    )
    assert joblot("run", "--only", "use").code == 0
    assert joblot("run", "--only", "use", "--var", "on=true").code == 2


@pytest.mark.parametrize("on", ["local", "inline"])
def test_fused_jobs_need_what_makes_their_one_input(joblot, on):
    joblot.write("mid.txt", "old old\n")
    batch(
        joblot,
        "{name: 's-${{ item }}', action: search_pattern, params: {pattern: '${{ item }}'}, input: ./mid.txt, foreach: [new, old]}",
        "{name: make, run: 'sleep 0.1; echo new > mid.txt', outputs: [mid.txt]}",
    )
    assert "s-new  search_pattern ./mid.txt" in (plan := joblot("plan").out)
    assert "needs make (mid.txt)" in plan
    assert "Fused: 2 jobs in 1 bundle" in plan
    found = {one["job"]: one.get("result") for one in json.loads(joblot("run", "--on", on, "--json").out)["results"]}
    assert [found[name]["matches"] for name in ("s-new", "s-old")] == [1, 0]


def test_a_job_of_finally_reads_what_was_made_and_needs_nothing_for_it(joblot):
    joblot.write(
        "joblot.yaml",
        f"jobs:\n  - {MAKE}\nfinally:\n  - {{name: tell, run: 'cat mid.txt > told.txt', input: ./mid.txt}}\n",
    )
    assert joblot("run").code == 0
    assert (joblot.path / "told.txt").read_text() == "new\n"
    assert "needs" not in joblot("plan").out


def test_a_need_without_outputs_orders_and_makes_nothing_run(joblot):
    batch(
        joblot,
        "{name: use, run: 'cat seen > out.txt', needs: [first], outputs: [out.txt]}",
        "{name: first, run: 'sleep 0.1; echo x > seen'}",
    )
    assert states(joblot("run", "--json")) == {"use": "success", "first": "success"}
    assert states(joblot("run", "--json")) == {"use": "cached", "first": "success"}
