"""`--only`, `--upto`, `--from`, `--exclude`: what runs, what is said, and what going on means afterwards."""

import json

import pytest

from joblot import Batch
from joblot.config.load import decode
from joblot.errors import UsageError
from joblot.journal.folder import StateFolder

BATCH = """\
name: picked
jobs:
  - {name: fetch, run: "echo n=3 > $JOBLOT_OUTPUT; echo fetch >> ran.txt", tags: [nightly]}
  - {name: prep, run: "cat src.txt > prep.txt && echo prep >> ran.txt", needs: [fetch], outputs: [prep.txt]}
  - {name: report, run: "echo ${{ jobs.fetch.result.n }}", needs: [fetch, prep]}
  - {name: "build-${{ item.code }}", run: "cat prep.txt", needs: [prep], foreach: [{code: A}, {code: B}]}
  - {name: clean, run: "echo clean", needs: ["build-*"], when: always}
"""


@pytest.fixture
def picked(joblot):
    joblot.write("joblot.yaml", BATCH)
    joblot.write("src.txt", "x\n")
    return joblot


def results(joblot, run="last"):
    return {one["job"]: one["status"] for one in json.loads(joblot("show", run, "--json").out)["results"]}


def test_a_run_of_some_jobs_says_how_many_and_lists_no_other(picked):
    done = picked("run", "--only", "prep", "--run-id", "r1", "-j", "2")
    assert done.code == 0
    assert done.plain == (
        "INFO | run `r1`: 1 of 6 jobs selected, 2 at once\n"
        "INFO | [1/1] prep: success (T)\n"
        "Batch picked: success\n"
        "INFO | Batch complete: 1 ok, 0 failed, 0 skipped\n"
    )
    assert done.result == "run r1: 1 of 6 jobs selected: 1 succeeded, in T\n"


def test_selectors_may_be_given_often_or_with_commas(picked):
    assert picked("run", "--upto", "report", "--only", "clean,build-B", "--exclude", "tag:x,fetch").code == 2
    assert picked("run", "--upto", "report", "--only", "clean,build-B", "--exclude", "build-*").code == 0
    assert list(results(picked)) == ["fetch", "prep", "report", "clean"]


def test_from_takes_all_that_comes_after(picked):
    picked("run", "--only", "prep")
    assert picked("run", "--from", "item:code=B").code == 0
    assert results(picked) == {"build-B": "success", "clean": "success"}


def test_the_report_has_the_jobs_that_took_part_and_how_many_did_not(picked):
    picked("run", "--only", "prep,clean", "--report", "r.json")
    report = json.loads((picked.path / "r.json").read_text())
    assert (report["total_jobs"], report["left_out"], report["skipped"], report["all_passed"]) == (2, 4, 0, True)
    assert [one["job"] for one in report["results"]] == ["prep", "clean"]
    assert json.loads(picked("ls", "--json").out)[0]["total_jobs"] == 2


def test_mistakes_are_errors_of_usage(picked):
    done = picked("run", "--only", "perp")
    assert (done.code, done.err) == (2, "error: no job is called `perp`\nhint: did you mean `prep`?\n")
    done = picked("run", "--only", "report")
    message = "error: job `report` takes in the result of job `fetch`, which is not selected\n"
    assert (done.code, done.err) == (2, f"{message}hint: `--upto report` runs both\n")
    assert not (picked.path / ".joblot").exists()


# --- plan -------------------------------------------------------------------------------------------


def test_plan_shows_what_is_selected(picked):
    done = picked("plan", "--from", "prep", "--exclude", "report,build-B")
    assert done.out == (
        "Batch picked: 3 of 6 jobs selected in 3 tiers\n"
        "Tier 1\n"
        "  prep     run: cat src.txt > prep.txt && echo prep >> ran.txt  new; needs fetch\n"
        "Tier 2\n"
        "  build-A  run: cat prep.txt                                    new; needs prep\n"
        "Tier 3\n"
        "  clean    run: echo clean                                      new; needs build-A, build-B; when: always\n"
    )
    assert picked("run", "--dry-run", "--from", "prep", "--exclude", "report,build-B").out == done.out


def test_plan_as_json_has_what_is_selected(picked):
    plan = json.loads(picked("plan", "--only", "prep,clean", "--json").out)
    assert (plan["total_jobs"], plan["left_out"], plan["tiers"]) == (2, 4, [["prep"], ["clean"]])
    assert [job["job"] for job in plan["jobs"]] == ["prep", "clean"]


def test_a_need_that_is_not_selected_is_no_reason_to_run(picked):
    """Its files are taken as they are, and its own record stays."""
    picked("run", "--upto", "prep")
    assert picked("run", "--only", "prep").result.endswith("1 of 6 jobs selected: 1 cached, in T\n")
    assert json.loads(picked("plan", "--only", "prep", "--json").out)["jobs"][0]["why"] == "up to date"
    assert (picked.path / "ran.txt").read_text() == "fetch\nprep\n"
    picked("run", "--only", "build-A")
    assert picked("plan", "--only", "prep").out.splitlines()[2].endswith("up to date; needs fetch")


def test_the_estimate_speaks_of_the_jobs_that_are_selected(picked):
    picked("run", "--only", "prep,clean")
    out = picked("plan", "--only", "clean,build-A").out
    assert ", in which 1 of these 2 jobs have succeeded)" in out
    assert "Critical path: build-A -> clean" in out
    assert "Estimate" not in picked("plan", "--only", "build-A").out


# --- going on ---------------------------------------------------------------------------------------


def test_resume_and_retry_leave_out_what_was_left_out(picked):
    (picked.path / "src.txt").unlink()
    assert picked("run", "--only", "prep,clean", "--run-id", "r1").code == 1
    picked.write("src.txt", "x\n")
    assert picked("retry", "r1").code == 0
    assert results(picked) == {"prep": "success", "clean": "success"}
    assert picked("resume", "r1").plain.startswith("INFO | nothing to do")


def test_retry_of_a_job_by_name_takes_it_in(picked):
    picked("run", "--only", "prep", "--run-id", "r1")
    assert picked("retry", "r1", "--job", "build-A").code == 0
    assert results(picked) == {"prep": "success", "build-A": "success"}
    done = picked("retry", "r1", "--job", "report")
    message = "error: job `report` takes in the result of job `fetch`, which is not selected\n"
    assert (done.code, done.err) == (2, f"{message}hint: `--job fetch` runs it as well\n")
    assert picked("retry", "r1", "--job", "report", "--job", "fetch").code == 0
    assert list(results(picked)) == ["fetch", "prep", "report", "build-A"]


def test_explain_says_that_a_job_was_not_selected(picked):
    picked("run", "--only", "prep", "--run-id", "r1")
    out = picked("explain", "r1", "fetch").out
    assert out == "fetch: skipped\n  not_selected: not selected when the run began\n  needed by: prep, report\n"


@pytest.mark.parametrize("found", ['{"only":["prep"]}', "{"])
def test_a_run_that_was_killed_before_it_began_keeps_its_selection(picked, found):
    """The selection is on the disk before the run is in the journal."""
    picked("run", "--only", "prep", "--run-id", "r1")
    state = StateFolder(picked.path / ".joblot")
    plan = state.journal.plan("r1")
    assert decode(plan).name == "picked"
    assert (state.run_folder("r1").path / "selection.json").read_text() == '{"only":["prep"]}'
    state.journal.create("r2", batch="picked", source="", jobs=1, plan=plan, at=0.0)
    state.run_folder("r2").path.mkdir()
    (state.run_folder("r2").path / "selection.json").write_text(found)
    state.close()
    done = picked("resume", "r2", "--json")
    if found == "{":
        assert done.code == 4
        assert done.err.startswith("error: `DIR/.joblot/runs/r2/selection.json` is damaged: ")
        assert done.err.endswith("\nhint: nothing has run: begin a new run\n")
    else:
        assert [one["job"] for one in json.loads(done.out)["results"]] == ["prep"]


def test_a_run_id_that_is_taken_leaves_the_selection_of_its_run_alone(picked):
    picked("run", "--only", "prep", "--run-id", "r1")
    for more in ([], ["--only", "clean"]):
        assert picked("run", "--run-id", "r1", *more).err == "error: run `r1` exists already\n"
    assert (picked.path / ".joblot" / "runs" / "r1" / "selection.json").read_text() == '{"only":["prep"]}'


# --- Python -----------------------------------------------------------------------------------------


def batch_of_three(folder):
    batch = Batch("three", folder=folder)
    batch.command("a", "true")
    batch.command("b", "true", needs=["a"], tags=["t"])
    batch.command("c", "true", needs=["b"])
    return batch


@pytest.mark.parametrize(
    ("asked", "ran"),
    [
        ({"only": "a,c"}, ["a", "c"]),
        ({"upto": ["tag:t"]}, ["a", "b"]),
        ({"from_": "b", "exclude": ("c",)}, ["b"]),
        ({"only": None}, ["a", "b", "c"]),
    ],
)
def test_a_batch_made_in_python_is_selected_from_in_the_same_way(tmp_path, asked, ran):
    report = batch_of_three(tmp_path).run(on="inline", state=False, **asked)
    assert [job.name for job in report.taking_part()] == ran
    assert (report.ok, report.all_passed, report.total_jobs) == (True, True, len(ran))


def test_an_empty_list_does_not_mean_all(tmp_path):
    with pytest.raises(
        UsageError, match=r"^`only` holds no selector\nhint: leave it out, or give None, to mean all jobs$"
    ) as caught:
        batch_of_three(tmp_path).run(on="inline", state=False, only=[])
    assert caught.value.hint == "leave it out, or give None, to mean all jobs"


def test_a_run_that_goes_on_cannot_be_given_another_selection(tmp_path):
    batch = batch_of_three(tmp_path)
    batch.run(on="inline", state=tmp_path / "state", run_id="r1", only="a")
    with pytest.raises(UsageError) as caught:
        batch.run(on="inline", state=tmp_path / "state", resume="r1", only="b")
    assert caught.value.message == (
        "which jobs take part in a run is said when it begins, and cannot be said again when it goes on"
    )
    assert caught.value.hint == "`joblot retry RUN --job NAME` takes in a job that was left out"
    assert batch.run(on="inline", state=tmp_path / "state", resume="r1").counts["success"] == 1
