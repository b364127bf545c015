"""Looking at a batch or at runs starts no program: `validate`, completion, `ls`; with `--no-commands` also `plan`, `graph`, `run --dry-run`."""

import json
import os

import pytest

BATCH = """\
name: b
jobs:
  - {name: "get-${{ item }}", run: "echo ${{ item }}", foreach: {command: "touch SIDE; echo a"}}
  - {name: after, run: "true", needs: [%s]}
"""
UNREAD = "no command was run: what `get-*` stands for counts as one job\n"
LEFT = "the command that lists its items was not run"
BESIDE = """\
import os
os.symlink("x", "IMPORTED")
"""


def made(joblot):
    return sorted(os.listdir(joblot.path))


@pytest.mark.parametrize("needs", ["get-a", '"get-*"', '"get-a*"', '"g*"', '"*"', "get-nobody-knows"])
def test_validate_runs_no_command_and_takes_needs_that_its_jobs_may_meet(joblot, needs):
    joblot.write("joblot.yaml", BATCH % needs)
    assert joblot("validate") == (0, "ok: 2 jobs\n", UNREAD)
    assert made(joblot) == ["joblot.yaml"]


@pytest.mark.parametrize("source", ['{command: "touch SIDE; echo a"}', '{command: "touch SIDE; echo ${{ vars.x }}"}',
                                    '{command: "touch SIDE; echo 1", types: {"": int}}'])  # fmt: skip
@pytest.mark.parametrize(
    "looking", [["validate"], ["validate", "--strict", "--json"], ["plan", "--no-commands"],
                ["plan", "--no-commands", "--json"], ["graph", "--no-commands"], ["graph", "--no-commands", "--format", "dot"],
                ["run", "--dry-run", "--no-commands"], ["validate", "joblot.yaml", "other.yaml"]],
)  # fmt: skip
def test_no_way_to_look_starts_a_program(joblot, looking, source):
    joblot.write("joblot.yaml", 'vars: {x: "1"}\njobs:\n  - {name: get, run: "true", foreach: ' + source + "}\n")
    joblot.write("other.yaml", 'jobs:\n  - {name: get, run: "true", foreach: {command: "touch SIDE; echo a"}}\n')
    done = joblot(*looking)
    assert (done.code, made(joblot)) == (0, ["joblot.yaml", "other.yaml"])
    assert "get-*" in done.out + done.err


def test_validate_says_as_json_which_jobs_it_has_not_listed(joblot):
    joblot.write("joblot.yaml", BATCH % "get-a")
    found = json.loads(joblot("validate", "--json").out)
    assert found == {"ok": True, "jobs": 2, "errors": [], "warnings": [], "not_listed": ["get-*"]}


@pytest.mark.parametrize(
    ("field", "error"),
    [
        ("${{ item.code }}", "`item.code` stands for nothing: the items are single values"),
        ("${{ matrix.x }}", "`matrix.x` stands for nothing here"),
        ("${{ vars.no }}", "no variable `no`"),
    ],
)
def test_validate_checks_what_does_not_depend_on_the_items(joblot, field, error):
    text = 'jobs:\n  - {name: a, run: "echo %s", foreach: {command: "touch SIDE"}}\n'
    joblot.write("joblot.yaml", text % field)
    done = joblot("validate")
    assert (done.code, made(joblot)) == (2, ["joblot.yaml"])
    assert error in done.err


@pytest.mark.parametrize("need", ["other", '"other-*"'])
def test_a_need_that_no_job_of_a_command_can_meet_is_an_error(joblot, need):
    joblot.write("joblot.yaml", BATCH % need)
    done = joblot("validate")
    assert (done.code, done.err.splitlines()[0].partition(" error: ")[2][:17]) == (2, "job `after` needs")


def test_plan_shows_what_a_command_would_list_as_one_job(joblot):
    joblot.write("joblot.yaml", BATCH % "get-a")
    assert joblot("plan", "--no-commands").out.splitlines() == [
        "Batch b: 2 jobs in 2 tiers",
        "Tier 1",
        f"  get-*  run: echo ${{{{ item }}}}  {LEFT}",
        "Tier 2",
        "  after  run: true              new; needs get-*",
    ]
    assert joblot("plan", "--no-commands", "--only", "get-a").err == (
        "error: no job `get-a` is known: the command that lists the items of `get-*` was not run\n"
        "hint: select `get-*` as a whole\n"
    )
    assert made(joblot) == ["joblot.yaml"]
    joblot("run")
    jobs = json.loads(joblot("plan", "--no-commands", "--json").out)["jobs"]
    assert [job["why"] for job in jobs] == [LEFT, "no outputs declared"]


@pytest.mark.parametrize("looking", [["plan"], ["graph"], ["run", "--dry-run"]])
def test_what_runs_commands_says_so_in_its_help(joblot, looking):
    joblot.write("joblot.yaml", BATCH % "get-a")
    assert joblot(*looking).code == 0
    assert made(joblot) == ["SIDE", "joblot.yaml"]
    told = " ".join(joblot(looking[0], "--help").out.split())
    assert "Commands of `foreach: {command: ...}` are run, to know the items, unless `--no-commands` is given" in told


def test_a_run_without_commands_cannot_be(joblot):
    joblot.write("joblot.yaml", BATCH % "get-a")
    error = "error: `--no-commands` is for `--dry-run`: a run needs the items that commands list\n"
    assert joblot("run", "--no-commands") == (2, "", error)


@pytest.mark.parametrize("words", ["joblot ", "joblot sh", "joblot ls --", "joblot show ", "joblot run "])
def test_completion_and_ls_import_nothing_of_a_batch(joblot, words):
    joblot.write("beside.py", BESIDE)
    joblot.write("joblot.yaml", "imports: [beside.py]\n" + BATCH % "get-a")
    given = {"_JOBLOT_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    assert joblot("complete", env=given).err == ""
    assert joblot("ls").code == 4
    assert made(joblot) == ["beside.py", "joblot.yaml"]


def test_completing_the_name_of_a_command_imports_no_package(joblot):
    """click would import every command that packages offer, for its help."""
    site = joblot.path / "site"
    joblot.write("site/offers.py", f"open({str(joblot.path / 'IMPORTED')!r}, 'w')\n")
    joblot.write("site/offers-1.dist-info/METADATA", "Name: offers\nVersion: 1\n")
    joblot.write("site/offers-1.dist-info/entry_points.txt", "[joblot.commands]\noffered = offers:command\n")
    given = {"_JOBLOT_COMPLETE": "bash_complete", "COMP_WORDS": "joblot ", "COMP_CWORD": "1"}
    path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
    done = joblot("complete", env=given | {"PYTHONPATH": path})
    assert {"plain,offered", "plain,validate"} <= set(done.out.splitlines())
    assert made(joblot) == ["site"]


def test_a_job_that_finds_its_items_in_a_result_is_planned_with_its_command(joblot):
    """It was an internal error: nothing is called `item`."""
    batch = """\
jobs:
  - {name: find, run: "true"}
  - {name: "j-${{ item }}", run: "echo ${{ vars.x }} ${{ item }}", needs: [find], foreach: "${{ jobs.find.result.x }}"}
vars: {x: "1"}
"""
    joblot.write("joblot.yaml", batch)
    done = joblot("plan")
    assert (done.code, done.err) == (0, "")
    assert "  j-*   run: echo 1 ${{ item }}  new; needs find" in done.out
