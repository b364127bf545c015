"""Runs whose plan grows, through real processes: killed, resumed, retried, up to date, and with items of all kinds."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

LIST = "  - {name: list, run: 'cat items.json > $JOBLOT_OUTPUT'}\n"
COUNT = """\
  - name: n-${{ item }}
    action: count_lines
    input: data/${{ item }}.txt
    foreach: ${{ jobs.list.result.files }}
    needs: [list]
"""


@pytest.fixture
def project(joblot):
    joblot.write("items.json", '{"files": ["a", "b"]}')
    for name in "abc":
        joblot.write(f"data/{name}.txt", "1\n2\n")
    return joblot


def batch(project, *jobs):
    project.write("joblot.yaml", "name: grow\njobs:\n" + "".join(jobs))


def states(project, run="r1"):
    return {job["job"]: job["status"] for job in json.loads(project("show", run, "--json").out)["results"]}


def test_found_jobs_with_actions_run_again_in_another_process(project):
    """Its workers know the plan as the batch declares it: they are told of each job that was found."""
    batch(project, LIST, COUNT)
    assert project("run", "--run-id", "r1", "-q").code == 0
    assert project("retry", "r1", "--job", "n-a", "-q").code == 0
    assert states(project) == {"list": "success", "n-*": "success", "n-a": "success", "n-b": "success"}


def test_the_run_log_says_how_many_jobs_were_found(project):
    batch(project, LIST, COUNT)
    assert project("run", "--run-id", "r1", "-q", "--log", "log.json").code == 0
    told = json.loads(project("show", "r1", "--events", "--json").out)
    for log in (json.loads((project.path / "log.json").read_text()), told):
        (found,) = [entry["data"] for entry in log["events"] if entry["event_type"] == "plan_extended"]
        assert found == {"job": "n-*", "jobs": 2}
        ended = [entry["data"]["job"] for entry in log["events"] if entry["event_type"] == "attempt_ended"]
        assert sorted(ended) == ["list", "n-*", "n-a", "n-b"]


@pytest.mark.parametrize("fuse", [[], ["--no-fuse"]])
def test_a_killed_run_goes_on_with_what_it_found(project, fuse):
    project.write(
        "slow.py",
        "import time\nfrom joblot import action\n@action('slow')\ndef slow(*, n: int) -> int:\n    time.sleep(0.3)\n    return n\n",
    )
    project.write("items.json", '{"n": [1, 2, 3, 4, 5, 6]}')
    batch(
        project,
        LIST,
        "  - {name: 's-${{ item }}', action: slow, params: {n: '${{ item }}'}, foreach: '${{ jobs.list.result.n }}', needs: [list]}\n",
    )
    text = (project.path / "joblot.yaml").read_text().replace("jobs:", "imports: [./slow.py]\njobs:", 1)
    project.write("joblot.yaml", text)
    runner = subprocess.Popen(
        [sys.executable, "-m", "joblot", "run", "--run-id", "r1", "-q", "-j", "2", *fuse], cwd=project.path
    )
    events = project.path / ".joblot" / "runs" / "r1" / "events.jsonl"
    end = time.monotonic() + 20
    while time.monotonic() < end and not (events.exists() and events.read_text().count('"attempt_ended"') >= 4):
        time.sleep(0.02)
    os.kill(runner.pid, signal.SIGKILL)
    runner.wait()
    done = project("resume", "r1", "-q")
    assert (done.code, done.err.count("failed")) == (0, 0)
    assert set(states(project).values()) == {"success"}


@pytest.mark.parametrize(
    ("items", "job", "message"),
    [
        ('[{"c": 1}]', "run: 'echo ${{ item.d }}'", "`item` has no `d`"),
        ('[{"c": 1}]', "run: 'echo ${{ item }}'", "`item` alone is not a value"),
        ('{"a": 1}', "run: 'echo ${{ item }}'", "the items must be a list, not a mapping"),
        ('["../x"]', "run: x, outputs: ['o/${{ item }}']", "item 1 cannot be part of a path: `../x` holds `..`"),
        ('["a", "a"]', "run: 'echo ${{ item }}'", "duplicate job name `g-a` (items 1 and 2)"),
        ('["x", {"a": 1}]', "run: x", "item 1 is the text `x`, and others are mappings"),
        ('["x", "list"]', "action: count_lines, input: x, params: {nothing: 1}", None),
    ],
)
def test_items_that_jobs_cannot_be_made_of_fail_the_job_that_found_them(project, items, job, message):
    project.write("items.json", f'{{"value": {items}}}')
    batch(
        project,
        LIST,
        f"  - {{name: 'g-${{{{ item{'.c' if 'c' in items and '{' in items else ''} }}}}', {job}, foreach: '${{{{ jobs.list.result.value }}}}', needs: [list]}}\n",
    )
    done = project("run", "--run-id", "r1", "-q")
    if message is None:
        assert (done.code, "has no parameter `nothing`" in done.err) == (2, True)
        return
    assert done.code == 1
    failed = next(
        one for one in json.loads(project("show", "r1", "--json").out)["results"] if one["status"] == "failed"
    )
    assert failed["message"] == message
    assert project("resume", "r1", "-q").code == 1


def test_found_jobs_are_up_to_date_like_any_other(project):
    batch(
        project,
        "  - {name: list, run: 'cat items.json > $JOBLOT_OUTPUT; echo x > listed', outputs: [listed], input: items.json}\n",
        "  - {name: 'h-${{ item }}', run: 'cp data/${{ item }}.txt out-${{ item }}', input: 'data/${{ item }}.txt', outputs: ['out-${{ item }}'],"
        " foreach: '${{ jobs.list.result.files }}', needs: [list]}\n",
        "  - {name: all, run: 'cat out-* > sum', outputs: [sum], needs: ['h-*']}\n",
    )  # fmt: skip
    assert project("run", "--run-id", "r1", "-q").code == 0
    assert project("run", "--run-id", "r2", "-q").code == 0
    assert states(project, "r2") == {
        "list": "cached",
        "h-*": "success",
        "all": "cached",
        "h-a": "cached",
        "h-b": "cached",
    }
    project.write("data/a.txt", "changed\n")
    assert project("run", "--run-id", "r3", "-q").code == 0
    assert states(project, "r3") == {
        "list": "cached",
        "h-*": "success",
        "all": "success",
        "h-a": "success",
        "h-b": "cached",
    }


def test_a_list_that_has_changed_since_is_told(project):
    batch(project, LIST, COUNT)
    assert project("run", "--run-id", "r1", "-q").code == 0
    project.write("items.json", '{"files": ["b", "c"]}')
    done = project("retry", "r1", "--job", "list", "--job", "n-*", "-q")
    assert (
        "n-*: the items have changed since they were found, and this run keeps those: a new run takes the new ones"
        in done.err
    )
    assert set(states(project)) == {"list", "n-*", "n-a", "n-b"}


def test_a_mapping_where_a_text_is_wanted_is_its_json(project):
    project.write("items.jsonl", '{"c": {"x": 1}}\n')
    batch(project, "  - {name: 'g-${{ item.c.x }}', run: [echo, '${{ item.c }}'], cwd: '.', foreach: items.jsonl}\n")
    assert project("run", "--run-id", "r1", "-q").code == 0
    assert project("logs", "r1", "g-1").out.strip() == '{"x":1}'


def test_a_found_job_has_no_result_that_can_be_named_before(project):
    batch(project, LIST, COUNT, "  - {name: sum, run: 'echo ${{ jobs.n-a.result.total_lines }}', needs: ['n-*']}\n")
    done = project("validate", "joblot.yaml")
    assert done.code == 2
    assert "job `sum` refers to the result of `n-a`, and no job has that name" in done.err
    assert "hint: jobs of `n-*` are found while the run goes on, and cannot be named before" in done.err


def test_what_looks_back_counts_the_jobs_that_were_found(project):
    batch(project, LIST, COUNT)
    project("run", "--run-id", "r1", "-q")
    assert json.loads(project("ls", "--json").out)[0]["total_jobs"] == 4
    assert "  4: 4 success" in project("ls").out


def test_a_job_that_finds_others_cannot_be_accepted(project):
    batch(project, LIST, COUNT)
    assert project("accept", "joblot.yaml", "n-*").err == (
        "error: `n-*` makes nothing itself\nhint: its jobs are found, and judged, in a run\n"
    )


@pytest.mark.alone
def test_python_batches_grow_too(tmp_path):
    from joblot import Batch

    batch = Batch("grow", folder=tmp_path)
    batch.add("list", lambda: {"files": ["a", "b"]})
    batch.command(
        "make-${{ item }}",
        "echo ${{ item }} > ${{ item }}.txt",
        foreach="${{ jobs.list.result.files }}",
        needs=["list"],
    )
    batch.command("all", "cat *.txt > all", needs=["make-*"])
    report = batch.run(on="local", workers=2, state=tmp_path / "state")
    assert report.status == "success"
    assert (tmp_path / "all").read_text() == "a\nb\n"


def test_a_source_that_is_no_file_is_refused(project):
    batch(project, "  - {name: 'g-${{ item }}', run: x, foreach: {lines: /dev/zero}}\n")
    assert "`foreach`: `/dev/zero` is not a file" in project("validate", "joblot.yaml").err
