"""`env_file` in whole runs: who wins, what is kept of it, and what happens when it has changed or is not there."""

import json
import os

import pytest

from cli.test_secrets import CANARY, TALKS, seen

ORDER = """
env_file: batch.env
env: {B: batch}
jobs:
  - name: a
    run: echo $M $F $B $O $J
    env_file: [job.env, later.env]
    env: {J: job}
  - name: b
    action: python
    params: {code: "import os; print(*(os.environ.get(name, '-') for name in 'MFBOJ'))"}
    env_file: later.env
"""
FILES = {
    "batch.env": "F=batch-file\nB=batch-file\nO=batch-file\nJ=batch-file\n",
    "job.env": "B=job-file\nO=job-file\nJ=job-file\n",
    "later.env": "O=later-file\n",
}


@pytest.fixture
def ordered(joblot):
    joblot.write("joblot.yaml", ORDER)
    for name, text in FILES.items():
        joblot.write(name, text)
    joblot.env |= {"M": "machine", "F": "machine"}
    return joblot


@pytest.mark.parametrize("on", ["local", "inline"])
def test_machine_batch_file_batch_env_job_file_job_env_in_this_order(ordered, on):
    assert ordered("run", "-q", "--on", on).code == 0
    assert ordered("logs", "a").out == "machine batch-file job-file later-file job\n"
    assert ordered("logs", "b").out == "machine batch-file batch later-file batch-file\n"


def test_paths_begin_at_the_batch_file(joblot, tmp_path_factory):
    joblot.write("deep/joblot.yaml", "env_file: ../x.env\njobs: [{name: a, run: 'echo $A'}]")
    joblot.write("x.env", "A=found")
    assert joblot("run", "-q", "deep/joblot.yaml", cwd=tmp_path_factory.mktemp("elsewhere")).code == 2
    assert joblot("run", "-q", joblot.path / "deep/joblot.yaml", cwd=tmp_path_factory.mktemp("elsewhere")).code == 0
    assert joblot("logs", "a", cwd=joblot.path / "deep").out == "found\n"


def test_nothing_of_a_file_is_kept(ordered):
    ordered.write("job.env", "B=sesame-open\nO=x\nJ=y\n")
    ordered.write("joblot.yaml", ORDER.replace("echo", "true"))
    assert ordered("run", "-q").code == 0
    kept = [path for path in (ordered.path / ".joblot").rglob("*") if path.is_file()]
    assert kept
    assert [path for path in kept if b"sesame" in path.read_bytes()] == []


def test_a_resumed_run_reads_the_files_again(joblot):
    joblot.write("joblot.yaml", "jobs: [{name: a, run: 'echo $A; test $A = 2', env_file: x.env}]")
    joblot.write("x.env", "A=1")
    assert joblot("run", "-q").code == 1
    joblot.write("x.env", "A=2")
    assert joblot("resume", "-q").code == 0
    assert joblot("logs", "a").out == "2\n"
    joblot.write("x.env", "A=3")
    assert joblot("replay", "a").out == "3\n"


MISSING = "joblot.yaml:1:8: error: `env_file` of job `a`: no such file: `x.env`\n"


def test_a_missing_file_is_an_error_before_anything_runs(joblot):
    joblot.write("joblot.yaml", "jobs: [{name: a, run: touch made, env_file: x.env}, {name: b, run: touch made}]")
    for words in (["run"], ["run", "--on", "inline"]):
        done = joblot(*words)
        assert (done.code, done.err) == (2, MISSING)
    assert not (joblot.path / "made").exists()
    assert not (joblot.path / ".joblot" / "runs").exists()


def test_a_missing_file_of_a_job_that_takes_no_part_is_no_error(joblot):
    joblot.write("joblot.yaml", "jobs: [{name: a, run: 'true', env_file: x.env}, {name: b, run: exit 1}]")
    assert joblot("run", "-q", "--only", "b", "--run-id", "r1").code == 1
    assert joblot("resume", "-q", "r1").code == 1
    assert joblot("retry", "-q", "r1", "--job", "a").err == MISSING


def test_who_only_looks_is_warned_also_with_strict(joblot):
    """The file may be where the batch will run."""
    joblot.write("joblot.yaml", "jobs: [{name: a, run: 'true', env_file: x.env}]")
    warning = MISSING.replace("error", "warning") + "hint: no run begins without it\n"
    for words in (["validate"], ["validate", "--strict"], ["plan"], ["run", "--dry-run"]):
        done = joblot(*words)
        assert (done.code, done.err) == (0, warning)
    assert json.loads(joblot("validate", "--json").out)["warnings"][0]["code"] == "env_file"


@pytest.mark.parametrize(
    "words", [["validate"], ["plan"], ["run"], ["run", "--dry-run"], ["accept", "joblot.yaml", "a"]]
)
def test_what_is_wrong_with_a_file_says_where_and_shows_no_value(joblot, words):
    joblot.write("joblot.yaml", "jobs: [{name: a, run: 'true', env_file: x.env, outputs: [out]}]")
    joblot.write("x.env", "A=1\nTOKEN=se$ame\n")
    done = joblot(*words)
    message = "x.env:2:9: error: `$` in the value of `TOKEN`, where other programs put something else in its place\n"
    assert (done.code, done.err) == (
        2,
        message + "hint: write the value in single quotes: there it is taken as it stands\n",
    )


# --- what is up to date -----------------------------------------------------------------------------

MAKES = """
env_file: x.env
secrets: [TOKEN]
jobs:
  - {name: a, run: "echo $A > a", outputs: [a]}
  - {name: b, run: "echo $B > b", outputs: [b], env: {A: own}}
"""


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("A=1\nB=2\nTOKEN=sesame\n", ""),
        ("# another comment\nexport B='2'\nTOKEN=sesame\nA=1\n", ""),
        ("A=1\nB=2\nTOKEN=mustard\n", ""),
        ("A=9\nB=2\nTOKEN=sesame\n", "a"),
        ("A=1\nB=9\nTOKEN=sesame\n", "ab"),
        ("A=1\nB=2\nTOKEN=sesame\nC=3\n", "ab"),
        ("B=2\nTOKEN=sesame\n", "a"),
    ],
)
def test_a_job_is_up_to_date_while_what_a_file_sets_for_it_is_as_it_was(joblot, text, changed):
    joblot.write("joblot.yaml", MAKES)
    joblot.write("x.env", "A=1\nB=2\nTOKEN=sesame\n")
    assert joblot("run", "-q").code == 0
    joblot.write("x.env", text)
    plan = json.loads(joblot("plan", "--json").out)
    why = {job["job"]: job["why"] for job in plan["jobs"]}
    assert why == {name: "changed: what `env_file` sets" if name in changed else "up to date" for name in "ab"}
    joblot("run", "-q")
    assert joblot("explain", "a").out.splitlines()[0] == ("a: success" if "a" in changed else "a: cached")


def test_accept_takes_the_files_as_they_are(joblot):
    joblot.write("joblot.yaml", MAKES)
    joblot.write("x.env", "A=1\nB=2")
    assert joblot("run", "-q").code == 0
    joblot.write("x.env", "A=9\nB=9")
    assert joblot("accept", "joblot.yaml", "a", "b").code == 0
    assert "changed" not in joblot("plan").out


# --- secrets ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("on", ["local", "inline"])
@pytest.mark.parametrize("place", ["batch", "job", "defaults"])
def test_i14_a_secret_of_a_file_is_masked(joblot, place, on):
    """I14"""
    joblot.write("x.env", f"TOKEN={CANARY}\n")
    os.chmod(joblot.path / "x.env", 0o600)
    job = {"name": "a", "run": TALKS, "retry": 2}
    batch = {"secrets": ["TOKEN"], "jobs": [job]}
    {"batch": batch, "job": job, "defaults": batch.setdefault("defaults", {})}[place]["env_file"] = "x.env"
    joblot.write("joblot.json", json.dumps(batch))
    done = joblot("run", "-v", "--json", "--on", on, "--run-id", "r1", "--report", "r.json", "--log", "l.json")
    texts = [done.out, done.err, *((joblot.path / name).read_text() for name in ("r.json", "l.json")), *seen(joblot)]
    assert "***" in joblot("logs", "r1").out
    assert [text for text in texts if "CANARY" in text] == []
    replayed = joblot("replay", "a")
    assert "***" in replayed.out
    assert "CANARY" not in replayed.out + replayed.err


def test_a_text_of_the_batch_that_holds_a_secret_of_a_file_is_refused(joblot):
    joblot.write("x.env", f"TOKEN={CANARY}\n")
    joblot.write(
        "joblot.yaml", "secrets: [TOKEN]\nenv_file: x.env\nvars: {t: a}\njobs: [{name: a, run: 'echo ${{ vars.t }}'}]"
    )
    done = joblot("run", "--var", f"t={CANARY}")
    assert done.code == 2
    assert "holds the value of the secret `TOKEN`" in done.err
    assert "CANARY" not in done.err


def test_a_secret_that_everybody_can_read_is_told(joblot):
    joblot.write("joblot.yaml", "secrets: [TOKEN]\nenv_file: x.env\njobs: [{name: a, run: 'true'}]")
    file = joblot.write("x.env", f"TOKEN={CANARY}\n")
    warning = (
        "WARNING | everybody on this machine can read `x.env`, which holds the secret `TOKEN` (`chmod 600 x.env`)\n"
    )
    file.chmod(0o644)
    assert warning in joblot("run").err
    file.chmod(0o640)
    assert warning not in joblot("run").err


# --- together with others ---------------------------------------------------------------------------


def test_several_files_together_keep_what_each_of_them_reads(joblot):
    for name in ("one", "two"):
        joblot.write(f"{name}.env", f"A={name}")
        joblot.write(f"{name}.yaml", f"env_file: {name}.env\njobs: [{{name: a, run: 'echo $A'}}]")
    assert joblot("run", "-q", "one.yaml", "two.yaml").code == 0
    assert [joblot("logs", f"{name}.a").out for name in ("one", "two")] == ["one\n", "two\n"]


def test_several_files_whose_order_could_not_be_kept_are_refused(joblot):
    joblot.write("one.yaml", "env: {A: b}\njobs: [{name: a, run: 'true', env_file: one.env}]")
    joblot.write("two.yaml", "jobs: []")
    done = joblot("validate", "one.yaml", "two.yaml")
    assert done.err == (
        "one.yaml:2:8: error: `env_file` of job `a` wins over the `env` of its batch, which becomes that of each job among several files\n"
        "hint: set the variables in the file or in the job, or run the files one by one\n"
    )


def test_jobs_with_other_files_are_not_run_as_one(joblot):
    jobs = [
        {"name": name, "action": "count_lines", "input": "in", "env_file": f"{name}.env" if name == "c" else "a.env"}
        for name in "abc"
    ]
    joblot.write("joblot.json", json.dumps({"jobs": jobs}))
    for name in ("in", "a.env", "c.env"):
        joblot.write(name, "")
    assert joblot("run", "-q").code == 0
    results = {job["job"]: job.get("bundle", 0) for job in json.loads(joblot("show", "--json").out)["results"]}
    assert results == {"a": 2, "b": 2, "c": 0}


def test_jobs_that_are_found_on_the_way_and_those_of_finally_have_their_files(joblot):
    batch = {
        "jobs": [
            {"name": "n", "run": "echo '{\"v\": [1, 2]}' > $JOBLOT_OUTPUT"},
            {"name": "a${{ item }}", "run": "echo $A", "foreach": "${{ jobs.n.result.v }}", "needs": ["n"], "env_file": "x.env"},
        ],
        "finally": [{"name": "end", "run": "echo $A $JOBLOT_STATUS", "env_file": "x.env"}],
    }  # fmt: skip
    joblot.write("joblot.json", json.dumps(batch))
    joblot.write("x.env", "A=found")
    assert joblot("run", "-q").code == 0
    assert [joblot("logs", name).out for name in ("a1", "a2", "end")] == ["found\n", "found\n", "found success\n"]
