"""`max_failures` as a share of the jobs: in batch files, as an option, in Python."""

import json

import pytest

from joblot import Batch, ConfigError

JOBS = [{"name": f"j{number}", "run": "exit 1" if number < 4 else "true"} for number in range(20)]


def ended(joblot, *words):
    done = joblot("run", "-q", "-j1", "--on", "inline", *words)
    assert done.code == 1
    report = json.loads(joblot("show", "--json").out)
    statuses = {job["job"]: job["status"] for job in report["results"]}
    return [name for name, status in statuses.items() if status == "failed"], [*statuses.values()].count("aborted")


def test_a_batch_says_a_share_and_an_option_overrides_it(joblot):
    joblot.write("joblot.json", json.dumps({"max_failures": "10%", "jobs": JOBS}))
    assert ended(joblot) == (["j0", "j1", "j2"], 17)
    assert ended(joblot, "--max-failures", "5%") == (["j0", "j1"], 18)
    assert ended(joblot, "--max-failures", "1") == (["j0"], 19)
    assert ended(joblot, "--max-failures", "50%") == (["j0", "j1", "j2", "j3"], 0)
    assert ended(joblot, "--only", "j0,j1,j10,j11") == (["j0"], 3)


def test_a_run_that_is_resumed_goes_on_with_it(joblot):
    joblot.write("joblot.yaml", "max_failures: 10%\njobs:\n" + "".join(f"  - {json.dumps(job)}\n" for job in JOBS))
    assert ended(joblot)[1] == 17
    assert joblot("resume", "-q", "-j1").code == 1
    report = json.loads(joblot("show", "--json").out)
    assert [job["job"] for job in report["results"] if job["status"] == "failed"] == ["j0", "j1", "j2"]


WRONG = [
    ("100%", "`max_failures` cannot be read: a share of failures is more than 0% and less than 100%, not 100%"),
    (
        "many%",
        "`max_failures` cannot be read: `many%` is not a number of failures: write `3`, or a share such as `10%`",
    ),
    ("many", "`max_failures` must be a whole number, or a share such as `10%`, not the text `many`"),
    ("3", "`max_failures` must be a whole number, or a share such as `10%`, not the text `3`"),
    (0.1, "`max_failures` must be a whole number, or a share such as `10%`, not the number 0.1"),
    (0, "`max_failures` must be at least 1, got 0"),
    (True, "`max_failures` must be a whole number, or a share such as `10%`, not `true`"),
]


@pytest.mark.parametrize(("value", "message"), WRONG)
def test_what_is_refused(joblot, value, message):
    joblot.write("joblot.json", json.dumps({"max_failures": value, "jobs": []}))
    done = joblot("validate", "--json")
    assert [error["message"] for error in json.loads(done.out)["errors"]] == [message]
    with pytest.raises(ConfigError) as caught:
        Batch("b", max_failures=value)
    assert caught.value.diagnostics[0].message == message


def test_the_option_says_what_it_takes(joblot):
    joblot.write("joblot.yaml", "jobs: []")
    done = joblot("run", "--max-failures", "many")
    assert done.code == 2
    assert "`many` is not a number of failures: write `3`, or a share such as `10%`" in done.err


def test_python_takes_a_share_for_a_batch_and_for_a_run(tmp_path):
    batch = Batch("b", folder=tmp_path, max_failures="10%")
    for job in JOBS:
        batch.command(job["name"], job["run"])
    assert batch.config().max_failures == 0.1
    report = batch.run(on="inline", state=False, max_failures="5%")
    assert [name for name, job in report.jobs.items() if job.state == "failed"] == ["j0", "j1"]


def test_files_that_do_not_agree_are_refused_in_these_words(joblot):
    joblot.write("a.yaml", "max_failures: 10%\njobs: []")
    joblot.write("b.yaml", "jobs: []")
    message = "b.yaml: error: `max_failures` is not set here and 10% in `a.yaml`, which is to be run together with it\n"
    assert joblot("validate", "a.yaml", "b.yaml").err.startswith(message)
