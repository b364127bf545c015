"""Whole runs on a cluster from the command line: what the engine asks of an executor is kept."""

import json
import os
import re
import time

import pytest

from cli.conftest import Project
from command_server import DASK


@pytest.fixture
def joblot(tmp_path):
    return Project(tmp_path, DASK)


def states(done):
    return {job["job"]: (job["status"], job["attempts"]) for job in json.loads(done.out)["results"]}


def test_time_limits_retries_and_memory_limits_are_those_of_one_machine(joblot, address):
    hog = "import time; held = bytearray(300 * 2**20); time.sleep(60)"
    jobs = [
        {"name": "slow", "run": "sleep 60", "timeout": "300ms", "retry": 2},
        {"name": "again", "run": "test $JOBLOT_ATTEMPT = 3", "retry": 3},
        {"name": "hog", "run": ["python3", "-c", hog], "resources": {"memory": "100MiB"}},
        {"name": "behind", "run": "true", "needs": ["slow"]},
    ]
    joblot.write("joblot.json", json.dumps({"jobs": jobs}))
    done = joblot("run", "joblot.json", "--on", address, "--json")
    assert done.code == 1, done.err
    assert states(done) == {
        "slow": ("failed", 2),
        "again": ("success", 3),
        "hog": ("failed", 1),
        "behind": ("skipped", 0),
    }
    reasons = {job["job"]: job["reason"] for job in json.loads(done.out)["results"] if job["status"] == "failed"}
    assert reasons == {"slow": "timeout", "hog": "oom"}


def test_all_that_runs_is_held_to_one_limit_of_which_each_worker_has_a_share(joblot, address):
    """Two workers have 250 MiB each. What needs more runs alone, with all of it; what needs more than all of it has failed."""
    hold = "import sys, time; held = bytearray(b'x') * (int(sys.argv[1]) << 20); time.sleep(1)"
    sizes = {"small": 20, "large": 350, "huge": 600}
    jobs = [{"name": name, "run": ["python3", "-c", hold, str(mib)]} for name, mib in sizes.items()]
    joblot.write("joblot.json", json.dumps({"max_memory": "500MiB", "jobs": jobs}))
    done = joblot("run", "joblot.json", "--on", address, "--json")
    assert states(done) == {"small": ("success", 1), "large": ("success", 2), "huge": ("failed", 2)}, done.err
    share = r"out of memory: all that ran on its worker used [0-9]+ MiB of 250 MiB \(a share of max_memory\)"
    assert re.search(rf"large: attempt 1 ended with `oom`: {share}; again later, alone\n", done.err), done.err
    (huge,) = [job for job in json.loads(done.out)["results"] if job["job"] == "huge"]
    assert re.fullmatch(r"out of memory: used [0-9]+ MiB of 500 MiB \(max_memory\)", huge["message"]), huge
    assert huge["reason"] == "oom"


def test_a_plan_grows_on_a_cluster(joblot, address):
    jobs = [
        {"name": "list", "run": """echo '{"items": ["a", "b", "c"]}' > $JOBLOT_OUTPUT"""},
        {
            "name": "do-${{ item }}",
            "run": "echo v=${{ item }} > $JOBLOT_OUTPUT",
            "foreach": "${{ jobs.list.result.items }}",
            "needs": ["list"],
        },
    ]
    joblot.write("joblot.json", json.dumps({"jobs": jobs}))
    done = joblot("run", "joblot.json", "--on", address, "--json")
    assert done.code == 0, done.err
    results = {job["job"]: job["result"] for job in json.loads(done.out)["results"]}
    assert [results[f"do-{item}"] for item in "abc"] == [{"v": item} for item in "abc"]


def test_slots_with_names_are_those_of_the_whole_run(joblot, address):
    """Of commands, actions and bundles, on whatever worker: a folder for each slot says that nobody else has it."""
    joblot.write(
        "acts.py",
        "import os\nfrom joblot import action, fused\n"
        "def found(ctx):\n    return {'ctx': ctx.slots, 'variable': os.environ['JOBLOT_SLOT_GPU']}\n"
        "@action('tell')\ndef tell(*, ctx):\n    return found(ctx)\n"
        "@action('many')\ndef one(*, like: str = '', ctx):\n    return found(ctx)\n"
        "@fused('many', on=('like',))\ndef many(jobs, ctx):\n    [ctx.done(job, found(job.ctx)) for job in jobs]\n",
    )
    alone = "mkdir on-${{ slots.gpu }}; sleep 0.1; rmdir on-$JOBLOT_SLOT_GPU"
    each = {"resources": {"cpu": 0.1, "gpu": 1}}
    jobs = [
        {"name": "j-${{ matrix.n }}", "matrix": {"n": list(range(8))}, "run": alone, **each},
        {"name": "tell", "action": "tell", "needs": ["j-*"], "resources": {"gpu": 2}},
        *({"name": name, "action": "many", "needs": ["tell"], **each} for name in "ab"),
    ]
    batch = {"imports": ["./acts.py"], "limits": {"gpu": {"slots": ["left", "right"]}}, "jobs": jobs}
    joblot.write("joblot.json", json.dumps(batch))
    done = joblot("run", "joblot.json", "--on", address, "--json")
    assert done.code == 0, done.err
    found = {job["job"]: job for job in json.loads(done.out)["results"]}
    assert {job["slots"]["gpu"][0] for name, job in found.items() if name.startswith("j-")} == {"left", "right"}
    assert found["tell"]["result"] == {"ctx": {"gpu": ["left", "right"]}, "variable": "left,right"}
    assert [found[name]["bundle"] for name in "ab"] == [2, 2]
    assert [found[name]["result"] for name in "ab"] == [{"ctx": {"gpu": ["left"]}, "variable": "left"}] * 2


def test_jobs_of_finally_are_told_how_the_run_went(joblot, address):
    joblot.write(
        "acts.py",
        "import os\nfrom joblot import action\n@action('tell')\ndef tell():\n    return os.environ['JOBLOT_STATUS']\n",
    )
    batch = {
        "imports": ["./acts.py"],
        "jobs": [{"name": "work", "run": "exit 3"}],
        "finally": [
            {"name": "tell", "action": "tell"},
            {"name": "read", "run": 'grep -c work "$JOBLOT_DIGEST" > "$JOBLOT_OUTPUT"', "when": "failure"},
            {"name": "good", "run": "true", "when": "success"},
        ],
    }
    joblot.write("joblot.json", json.dumps(batch))
    done = joblot("run", "joblot.json", "--on", address, "--json")
    assert done.code == 1, done.err
    assert states(done) == {
        "work": ("failed", 1),
        "tell": ("success", 1),
        "read": ("success", 1),
        "good": ("skipped", 0),
    }
    assert {job["job"]: job["result"] for job in json.loads(done.out)["results"] if job.get("result")}[
        "tell"
    ] == "failed"


def test_outputs_that_are_up_to_date_are_seen(joblot, address):
    joblot.write("in.txt", "x\n")
    jobs = [{"name": "copy", "run": "cp in.txt out.txt", "input": "in.txt", "outputs": ["out.txt"]}]
    joblot.write("joblot.json", json.dumps({"jobs": jobs}))
    came = [states(joblot("run", "joblot.json", "--on", address, "--json")) for _ in range(2)]
    assert came == [{"copy": ("success", 1)}, {"copy": ("cached", 0)}]


@pytest.fixture
def killed(joblot, address):
    """A run on the cluster whose runner was killed when two of its four jobs had begun."""
    script = "echo $JOBLOT_ATTEMPT >> $JOBLOT_JOB.txt; if [ $JOBLOT_ATTEMPT = 1 ]; then sleep 60; fi"
    jobs = [{"name": name, "run": script} for name in "ab"]
    jobs += [{"name": "after", "run": "true", "needs": ["a"]}, {"name": "last", "run": "true", "needs": ["b"]}]
    joblot.write("joblot.json", json.dumps({"jobs": jobs}))
    process = joblot.popen("run", "joblot.json", "--on", address, "--run-id", "killed")
    for name in "ab":
        joblot.wait_for(f"{name}.txt")
    process.kill()
    process.communicate()
    return joblot


def test_a_run_whose_runner_was_killed_goes_on_on_the_cluster(killed, address):
    done = killed("resume", "killed", "--on", address, "--json")
    assert done.code == 0, done.err
    assert states(done) == {"a": ("success", 2), "b": ("success", 2), "after": ("success", 1), "last": ("success", 1)}
    assert (killed.path / "a.txt").read_text() == "1\n2\n"


def test_a_run_whose_runner_was_killed_goes_on_elsewhere_after_a_moment(killed, address):
    done = killed("resume", "killed", "--json")
    assert done.code == 0, done.err
    assert (
        f"the run was on `{address}` when its runner was killed: waiting 2 s for what may still end there" in done.err
    )
    assert {status for status, _ in states(done).values()} == {"success"}


def test_ctrl_c_twice_kills_what_runs(joblot, address):
    joblot.write("joblot.json", json.dumps({"jobs": [{"name": "a", "run": "echo $$ > pid; sleep 61.25"}]}))
    process = joblot.popen("run", "joblot.json", "--on", address)
    joblot.wait_for("pid")
    joblot.interrupt(process)
    assert any(b"starting nothing more" in line for line in process.stderr)
    joblot.interrupt(process)
    process.communicate(timeout=30)
    assert process.returncode == 130
    pid = int((joblot.path / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_cancel_kill_from_another_process(joblot, address):
    joblot.write("joblot.json", json.dumps({"jobs": [{"name": "a", "run": "echo $$ > pid; sleep 61.5"}]}))
    process = joblot.popen("run", "joblot.json", "--on", address, "--run-id", "r")
    joblot.wait_for("pid")
    assert joblot("cancel", "r", "--kill").code == 0
    process.communicate(timeout=30)
    assert process.returncode == 130
    until = time.monotonic() + 5
    while time.monotonic() < until:
        try:
            os.kill(int((joblot.path / "pid").read_text()), 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    raise AssertionError("it lives")


def test_a_run_in_python_travels_with_its_functions(joblot, address):
    joblot.write(
        "program.py",
        f"""
from joblot import Batch

factor = 7
batch = Batch("python")

@batch.job
def one():
    return factor * 3

@batch.job(needs=[one])
def two():
    print("seen")
    return [factor]

if __name__ == "__main__":
    report = batch.run(on={address!r})
    print(report.status, report.jobs["one"].result, report.jobs["two"].result)
""",
    )
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "program.py"], cwd=joblot.path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.returncode) == ("success 21 [7]\n", 0), done.stderr


def test_outputs_are_as_they_were_after_a_bad_end_and_their_folders_are_made(joblot, address):
    joblot.write("f", "whole\n")
    joblot.write("d/g", "whole\n")
    run = "test -d new/deep && cat f d/g >> seen; echo half > f; rm d/g; exit 3"
    jobs = [{"name": "a", "run": run, "outputs": ["f", "d", "new/deep/h"], "retry": {"max_attempts": 2}}]
    joblot.write("joblot.json", json.dumps({"jobs": jobs}))
    assert joblot("run", "joblot.json", "--on", address).code == 1
    assert [(joblot.path / name).read_text() for name in ("f", "d/g")] == ["whole\n"] * 2
    assert (joblot.path / "seen").read_text() == "whole\n" * 4, "each attempt begins alike"


def test_what_files_set_travels_and_secrets_among_it_are_masked(joblot, address):
    joblot.write("batch.env", "A=batch\nTOKEN=CANARY-01234567\n")
    joblot.write("job.env", "A=job\n")
    job = {"run": "echo $A $TOKEN; echo v=$A-$TOKEN > $JOBLOT_OUTPUT"}
    code = {"code": "import os; print(os.environ['A'], os.environ['TOKEN'])"}
    jobs = [
        {"name": "one", **job},
        {"name": "two", **job, "env_file": "job.env"},
        {"name": "three", "action": "python", "params": code, "env_file": "job.env"},
    ]
    joblot.write("joblot.json", json.dumps({"secrets": ["TOKEN"], "env_file": "batch.env", "jobs": jobs}))
    done = joblot("run", "joblot.json", "--on", address, "--json")
    assert done.code == 0, done.err
    assert [joblot("logs", name).out for name in ("one", "two", "three")] == ["batch ***\n", "job ***\n", "job ***\n"]
    assert [job["result"] for job in json.loads(done.out)["results"]] == [{"v": "batch-***"}, {"v": "job-***"}, None]
    kept = [path for path in (joblot.path / ".joblot").rglob("*") if path.is_file()]
    assert [path for path in kept if b"CANARY" in path.read_bytes()] == []
