"""Several batch files of one folder as one run: whose jobs are called what, what must agree, and what is said when it does not."""

import json

import pytest

import joblot
from cli.conftest import Project
from joblot.errors import ConfigError, UsageError

SAME = """\
env: {CODE: NAME}
vars: {day: 1}
jobs:
  - {name: fetch, run: "echo code=$CODE > $JOBLOT_OUTPUT"}
  - {name: build, run: "echo ${{ jobs.fetch.result.code }} ${{ vars.day }} $CODE > NAME.txt", needs: ["f*"], outputs: [NAME.txt]}
"""


@pytest.fixture
def folder(tmp_path):
    project = Project(tmp_path / "naf")
    for name in ("a", "b"):
        project.write(f"{name}.yaml", SAME.replace("NAME", name))
    return project


def told(*paths, **options):
    with pytest.raises((ConfigError, UsageError)) as caught:
        joblot.load(list(paths), **options)
    error = caught.value
    return [(error.message, error.hint)] if isinstance(error, UsageError) else list(error.diagnostics)


def heads(folder, *names, **options):
    """What is said of these files, without the folder."""
    found = told(*(folder.path / name for name in names), **options)
    return [
        (one.render() if hasattr(one, "render") else "\nhint: ".join(one)).replace(f"{folder.path}/", "")
        for one in found
    ]


# --- names and meanings -----------------------------------------------------------------------------


def test_jobs_are_called_by_their_file_and_mean_the_jobs_of_their_own_file(folder):
    done = folder("run", "a.yaml", "b.yaml", "--var", "day=7", "--json", "--run-id", "r1")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert report["batch"] == "naf"
    assert [one["job"] for one in report["results"]] == ["a.fetch", "a.build", "b.fetch", "b.build"]
    assert (folder.path / "a.txt").read_text() == "a 7 a\n"
    assert (folder.path / "b.txt").read_text() == "b 7 b\n"
    needs = json.loads(folder("plan", "a.yaml", "b.yaml", "--json").out)["jobs"]
    assert [one["needs"] for one in needs] == [[], ["a.fetch"], [], ["b.fetch"]]


def test_one_file_keeps_its_names(folder):
    assert [job.name for job in joblot.load([folder.path / "a.yaml"]).jobs] == ["fetch", "build"]


def test_validate_and_graph_take_several_files(folder):
    assert folder("validate", "a.yaml", "b.yaml").out == "ok: 4 jobs\n"
    assert '  j3["b.build"]\n' in folder("graph", "a.yaml", "b.yaml").out


def test_a_file_can_be_selected(folder):
    assert folder(
        "run", "a.yaml", "b.yaml", "--only", "file:b"
    ).result == "run {}: 2 of 4 jobs selected: 2 succeeded, in T\n".format(
        json.loads(folder("ls", "--json").out)[0]["run_id"]
    )
    assert not (folder.path / "a.txt").exists()
    again = folder("plan", "a.yaml", "b.yaml").out
    assert "b.build  run: echo ${{ jobs.b.fetch.result.code }} 7" not in again
    assert "Batch naf: 4 jobs in 2 tiers" in again


def test_what_is_up_to_date_stays_so_whichever_files_are_run_with_it(folder):
    folder.write("c.yaml", 'jobs: [{name: last, run: "true"}]')
    folder("run", "a.yaml", "b.yaml")
    done = folder("run", "--only", "*.build", "--upto", "*.build", "b.yaml", "c.yaml")
    assert "b.build: cached" in done.plain


def test_items_growing_jobs_limits_and_environments_stay_apart(folder):
    text = """\
env: {WHAT: "NAME ${{ "${{" }} it"}
limits: {db: 1, own-NAME: 2}
jobs:
  - {name: list, run: "echo '[\\"x\\", \\"y\\"]' > $JOBLOT_OUTPUT"}
  - {name: grow, run: "echo ${{ item }} $WHAT", foreach: "${{ jobs.list.result }}", needs: [list], max_parallel: 1}
  - {name: "fan-${{ item }}", run: "echo ${{ item }} $WHAT", foreach: [p, q], resources: {db: 1}}
  - {name: after, run: "true", needs: ["grow-*", "fan-${{ item }}"], foreach: [p]}
"""
    for name in ("a", "b"):
        folder.write(
            f"{name}.yaml", text.replace('"NAME ${{ "${{" }} it"', "'NAME ${{ \"${{\" }} it'").replace("NAME", name)
        )
    done = folder("run", "a.yaml", "b.yaml", "--run-id", "r1")
    assert done.code == 0, done.err
    assert folder("logs", "r1", "b.grow-y").out == "y b ${{ it\n"
    assert folder("logs", "r1", "a.fan-q").out == "q a ${{ it\n"
    config = joblot.load([folder.path / "a.yaml", folder.path / "b.yaml"])
    assert config.limits == {"db": 1, "own-a": 2, "own-b": 2}


def test_python_runs_several_files_too(folder, monkeypatch):
    monkeypatch.chdir(folder.path)
    report = joblot.run(["a.yaml", "b.yaml"], on="inline", state="state", only="file:a", vars={"day": "3"})
    assert [job.name for job in report.taking_part()] == ["a.fetch", "a.build"]
    assert (folder.path / "a.txt").read_text() == "a 3 a\n"
    with pytest.raises(UsageError, match=r"^no batch file was named$"):
        joblot.run([])


def test_resume_says_which_file_has_changed(folder):
    folder("run", "a.yaml", "b.yaml", "--run-id", "r1")
    assert "changed" not in folder("resume", "r1").err
    folder.write("b.yaml", "jobs: []")
    warning = "WARNING | `DIR/b.yaml` has changed since run `r1` began: its recorded plan is used\n"
    assert folder("resume", "r1").plain.startswith(warning)
    folder.write("a.yaml", "jobs: []")
    warning = "WARNING | `DIR/a.yaml` and 1 more have changed since run `r1` began: its recorded plan is used\n"
    assert folder("resume", "r1").plain.startswith(warning)


# --- what cannot be taken together --------------------------------------------------------------------


def test_files_of_different_folders_are_refused(folder):
    folder.write("sub/c.yaml", "jobs: []")
    message = "`a.yaml` and `sub/c.yaml` cannot be run together: they stand in different folders"
    hint = "relative paths begin at a file's own folder: run the files of one folder at a time"
    assert heads(folder, "a.yaml", "sub/c.yaml") == [f"{message}\nhint: {hint}"]


def test_a_file_that_is_named_twice_is_refused(folder):
    assert heads(folder, "a.yaml", "a.yaml") == ["`a.yaml` is named twice\nhint: "]
    assert folder("run", "a.yaml", "./a.yaml").code == 2


def test_files_whose_jobs_would_be_called_the_same_are_refused(folder):
    folder.write("a.json", '{"jobs": []}')
    assert heads(folder, "a.yaml", "a.json") == [
        "the jobs of `a.yaml` and `a.json` would have the same names\nhint: rename one of the files"
    ]


def test_a_file_that_jobs_cannot_be_called_by_is_refused(folder):
    folder.write("two words.yaml", "jobs: []")
    message = "`two words.yaml` cannot be run together with other files: jobs cannot be called `two words.NAME`"
    hint = "name the file with letters, digits, `.`, `_` and `-`, a letter or digit first"
    assert heads(folder, "a.yaml", "two words.yaml") == [f"{message}\nhint: {hint}"]


def test_names_that_grow_too_long_are_refused(folder):
    folder.write("a.yaml", f'jobs: [{{name: {"x" * 99}, run: "true"}}]')
    (said,) = heads(folder, "a.yaml", "b.yaml")
    start = f"a.yaml:1:8: error: job name `a.{'x' * 55}...` is too long with its file's name before it"
    assert said == start


def test_settings_of_the_whole_run_must_agree(folder):
    folder.write("a.yaml", "limits: {db: 2, gpu: {slots: [0, 1]}}\nfail_fast: true\ntimeout: 5m\njobs: []\n")
    folder.write("b.yaml", "limits: {db: 3, gpu: 2}\nmax_workers: 4\ndurability: full\njobs: []\n")
    together = ", which is to be run together with it\nhint: write the same in both, or run the files one by one"
    assert heads(folder, "a.yaml", "b.yaml") == [
        f"b.yaml: error: `fail_fast` is false here and true in `a.yaml`{together}",
        f"b.yaml: error: `timeout` is not set here and 300 s in `a.yaml`{together}",
        f"b.yaml: error: `max_workers` is 4 here and not set in `a.yaml`{together}",
        f"b.yaml: error: `durability` is full here and normal in `a.yaml`{together}",
        f"b.yaml: error: limit `db` is 3 here and 2 in `a.yaml`{together}",
        f"b.yaml: error: limit `gpu` is 2 here and `{{slots: [0, 1]}}` in `a.yaml`{together}",
    ]


def test_slots_of_limits_of_several_files_need_variables_of_their_own(folder):
    folder.write("a.yaml", "limits: {gpu-1: {slots: [0]}}\njobs: []\n")
    folder.write("b.yaml", "limits: {gpu_1: {slots: [0]}}\njobs: []\n")
    assert heads(folder, "a.yaml", "b.yaml") == [
        "b.yaml: error: limits `gpu-1` and `gpu_1` would both give jobs their slots in `JOBLOT_SLOT_GPU_1`\nhint: rename one of them"
    ]


def test_a_variable_is_given_to_each_file_that_declares_it(folder):
    folder.write("c.yaml", 'vars: {other: x}\njobs: [{name: c, run: "echo ${{ vars.other }}"}]')
    config = joblot.load([folder.path / "a.yaml", folder.path / "c.yaml"], vars={"day": "5", "other": "y"})
    assert [job.given for job in config.jobs][1:] == [
        {"vars.day": 5},
        {"vars.other": "y"},
    ]
    assert heads(folder, "a.yaml", "c.yaml", vars={"dya": "1"}) == [
        "error: no variable `dya` in any of these 2 files: they have `day`, `other`\nhint: did you mean `day`?"
    ]
    folder.write("d.yaml", "jobs: []")
    folder.write("e.yaml", "jobs: []")
    assert heads(folder, "d.yaml", "e.yaml", vars={"x": "1"}) == [
        "error: no variable `x` in any of these 2 files: they have none"
    ]


def test_all_mistakes_of_all_files_come_at_once_each_with_its_file(folder):
    folder.write("a.yaml", 'jobs:\n  - {name: x, run: "true", retrys: 1}\n')
    folder.write("b.yaml", 'jobs:\n  - {name: x, rum: "true"}\n')
    done = folder("validate", "a.yaml", "b.yaml", "gone.yaml")
    assert done.code == 2
    assert [line for line in done.err.splitlines() if "error: " in line] == [
        "error: no such file: `gone.yaml`",
        "a.yaml:2:28: error: unknown field `retrys` in job `x`",
        "b.yaml:2:15: error: unknown field `rum` in job `x`",
    ]


def test_needs_do_not_reach_into_another_file(folder):
    folder.write("c.yaml", 'jobs: [{name: c, run: "true", needs: [fetch]}]')
    done = folder("run", "a.yaml", "c.yaml")
    assert (done.code, done.err) == (
        2,
        "c.yaml:1:8: error: job `c.c` needs unknown job `c.fetch`\nhint: did you mean `a.fetch` or `c.c`?\n",
    )


def test_two_files_that_write_one_path_are_found_out(folder):
    folder.write("b.yaml", SAME.replace("NAME", "a"))
    done = folder("run", "a.yaml", "b.yaml")
    assert done.code == 2
    assert "error: job `b.build` writes `a.txt`, which job `a.build` (line 5) writes too" in done.err


@pytest.mark.parametrize("made", [lambda: joblot.Batch("b"), lambda: joblot.Batch("b").config()])
def test_a_batch_that_is_made_already_takes_no_variables(made):
    """They would have had no effect, and nobody would have been told."""
    said = r"^`vars` are for batch files: a batch that is made already takes none\nhint: give values to the functions of its jobs, or to `load`$"
    with pytest.raises(UsageError, match=said):
        joblot.run(made(), on="inline", state=False, vars={"day": "3"})
    assert joblot.run(made(), on="inline", state=False, vars={}).ok
