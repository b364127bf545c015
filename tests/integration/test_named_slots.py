"""Slots with names in whole runs of the real command: what a job finds, that no two have the same, and what is told of them."""

import json
import re
import signal

import pytest

from cli.conftest import Project

ACTIONS = """\
import os
import time

from joblot import action, fused


def found(ctx, job=None):
    return {"ctx": (job or ctx).slots, "variable": os.environ.get("JOBLOT_SLOT_GPU"), "pid": os.getpid()}


@action
def tell(*, device=None, text: str = "", ctx):
    return {"device": device, "text": text, **found(ctx)}


@action("many")
def one(*, like: str = "", ctx):
    return found(ctx)


@fused("many", on=("like",))
def many(jobs, ctx):
    for job in jobs:
        ctx.done(job, found(ctx, job.ctx))
"""
CARDS = "imports: [./acts.py]\nlimits: {gpu: {slots: [0, 1, GPU-7]}}\n"


class Slotted(Project):
    """A project with actions that tell what they hold."""

    def report(self, *arguments):
        done = self("run", "--json", *arguments)
        assert done.code == 0, done.err
        return {job["job"]: job for job in json.loads(done.out)["results"]}

    def held(self):
        """What each start has recorded, in the journal of the last run."""
        (path, *_) = sorted(self.path.glob(".joblot/runs/*/events.jsonl"), reverse=True)
        records = (json.loads(line) for line in path.read_text().splitlines())
        events = (event for record in records for event in record.get("events", ()))
        return [event.get("slots") for event in events if event["type"] == "attempts_started"]


@pytest.fixture
def joblot(tmp_path):
    project = Slotted(tmp_path)
    project.write("acts.py", ACTIONS)
    return project


@pytest.mark.parametrize("on", ["local", "inline"])
def test_a_job_finds_what_it_holds_in_its_texts_and_its_environment(joblot, on):
    joblot.write(
        "joblot.yaml",
        f"{CARDS}jobs:\n"
        "  - {name: text, run: 'echo card=${{ slots.gpu }}-$JOBLOT_SLOT_GPU >> $JOBLOT_OUTPUT', resources: {gpu: 1}}\n"
        "  - {name: sum, run: 'echo port=$(( 8000 + ${{ slots.gpu }} )) >> $JOBLOT_OUTPUT', resources: {gpu: 1}, needs: [text]}\n"
        "  - {name: words, run: [sh, -c, 'echo card=$0-$1 >> $JOBLOT_OUTPUT', '${{ slots.gpu }}', '${{ slots.gpu[2] }}'], resources: {gpu: 3}}\n"
        "  - name: cuda\n    run: echo cards=$CUDA_VISIBLE_DEVICES >> $JOBLOT_OUTPUT\n"
        "    env: {CUDA_VISIBLE_DEVICES: '${{ slots.gpu }}'}\n    resources: {gpu: 2}\n    needs: [words]\n"
        "  - {name: none, run: 'echo card=${JOBLOT_SLOT_GPU-none} >> $JOBLOT_OUTPUT'}\n",
    )
    results = {name: job["result"] for name, job in joblot.report("--on", on).items()}
    assert results == {
        "text": {"card": "0-0"},
        "sum": {"port": "8000"},
        "words": {"card": "0,1,GPU-7-GPU-7"},
        "cuda": {"cards": "0,1"},
        "none": {"card": "none"},
    }


@pytest.mark.parametrize("on", ["local", "inline"])
def test_an_action_finds_it_too_and_a_warm_worker_keeps_nothing_of_it(joblot, on):
    chain = [
        ("one", "{device: '${{ slots.gpu }}', text: 'cuda:${{ slots.gpu }}'}", "resources: {gpu: 1}"),
        ("two", "{device: '${{ slots.gpu }}', text: 'cuda:${{ slots.gpu }}'}", "resources: {gpu: 2}"),
        ("bare", "{}", "resources: {gpu: 1}"),
        ("none", "{}", "tags: []"),
    ]
    lines = "".join(
        f"  - {{name: {name}, action: tell, params: {params}, {more}, needs: [{needs}]}}\n"
        for (name, params, more), needs in zip(chain, ["", "one", "two", "bare"], strict=True)
    )
    joblot.write("joblot.yaml", f"{CARDS}jobs:\n{lines}")
    results = {name: job["result"] for name, job in joblot.report("--on", on, "-j", "1").items()}
    assert len({result.pop("pid") for result in results.values()}) == 1
    assert results == {
        "one": {"device": 0, "text": "cuda:0", "ctx": {"gpu": [0]}, "variable": "0"},
        "two": {"device": [0, 1], "text": "cuda:0,1", "ctx": {"gpu": [0, 1]}, "variable": "0,1"},
        "bare": {"device": None, "text": "", "ctx": {"gpu": [0]}, "variable": "0"},
        "none": {"device": None, "text": "", "ctx": {}, "variable": None},
    }


@pytest.mark.parametrize("on", ["local", "inline"])
def test_jobs_that_run_as_one_hold_the_same(joblot, on):
    jobs = "".join(f"  - {{name: {name}, action: many, resources: {{gpu: 1}}}}\n" for name in "abc")
    joblot.write("joblot.yaml", f"{CARDS}jobs:\n{jobs}")
    report = joblot.report("--on", on)
    assert [job["bundle"] for job in report.values()] == [3, 3, 3]
    found = [(job["slots"], job["result"]["ctx"], job["result"]["variable"]) for job in report.values()]
    assert found == [({"gpu": [0]}, {"gpu": [0]}, "0")] * 3
    assert joblot.held() == [{str(job): {"gpu": [0]} for job in range(3)}]


def test_no_two_that_run_at_once_hold_the_same(joblot):
    """A folder for each slot, which only one can make at a time; the jobs outlive their shell for a moment."""
    joblot.write(
        "joblot.yaml",
        f"{CARDS}jobs:\n  - name: j-${{{{ matrix.n }}}}\n    matrix: {{n: [{', '.join(map(str, range(30)))}]}}\n"
        "    run: 'for slot in $(echo ${{ slots.gpu }} | tr , \" \"); do mkdir on-$slot; (sleep 0.0${{ matrix.n }}; rmdir on-$slot); done'\n"
        "    resources: {cpu: 0.1, gpu: 1}\n    retry: 1\n",
    )
    report = joblot.report("-j", "6")
    assert {job["status"] for job in report.values()} == {"success"}
    assert {job["slots"]["gpu"][0] for job in report.values()} == {0, 1, "GPU-7"}


def test_what_an_attempt_held_is_told(joblot):
    joblot.write(
        "joblot.yaml",
        f"{CARDS}jobs:\n"
        "  - {name: a, run: 'true', resources: {gpu: 2}}\n"
        "  - {name: b, run: 'exit $JOBLOT_SLOT_GPU', resources: {gpu: 1}, retry: 2, needs: [a]}\n"
        "  - {name: bad, run: 'false', resources: {gpu: 1}, retry: {max_attempts: 2, delay: 1ms}, needs: [a, b]}\n",
    )
    assert joblot("run", "-j", "1").code == 1
    said = {name: joblot("explain", "last", name).out for name in ("a", "b", "bad")}
    assert re.search(r"^  attempts: 1, [^,]+, with gpu 0,1$", said["a"], re.MULTILINE)
    assert re.search(r"^  attempts: 1, [^,]+, with gpu 0$", said["b"], re.MULTILINE)
    assert len(re.findall(r"^    [12]: exit after .* with gpu 0: exit status 1", said["bad"], re.MULTILINE)) == 2
    assert json.loads(joblot("explain", "last", "a", "--json").out)["job"]["slots"] == {"gpu": [0, 1]}
    assert joblot("replay", "a").code == 0
    done = joblot("show", "last", "--json")
    assert [job.get("slots") for job in json.loads(done.out)["results"]] == [
        {"gpu": [0, 1]},
        {"gpu": [0]},
        {"gpu": [0]},
    ]


def test_who_holds_what_a_job_waits_for(joblot):
    joblot.write(
        "joblot.yaml",
        "limits: {gpu: {slots: [0, 1, 2]}, db: 2}\njobs:\n"
        "  - {name: a, run: 'touch began-a; while [ ! -e go ]; do sleep 0.05; done', resources: {gpu: 2}}\n"
        "  - {name: b, run: 'touch began-b; while [ ! -e go ]; do sleep 0.05; done', resources: {gpu: 1, db: 1}}\n"
        "  - {name: c, run: 'true', resources: {gpu: 1, db: 1}}\n",
    )
    with joblot.popen("run", "-j", "4") as run:
        joblot.wait_for("began-a")
        joblot.wait_for("began-b")
        running = joblot("explain", "last", "a").out
        waiting = joblot("explain", "last", "c").out
        joblot.write("go", "")
        run.communicate(timeout=60)
    assert "\n  holds gpu 0,1\n" in running
    assert waiting == (
        "c: waiting\n  ready: waits for a free slot and for gpu: 1, db: 1\n"
        "  gpu: 3 of 3 held by a (0,1), b (2)\n  db: 1 of 2 held by b\n"
    )


def test_a_run_that_was_killed_goes_on_with_slots_chosen_anew(joblot):
    joblot.write(
        "joblot.yaml",
        "limits: {gpu: {slots: [0, 1]}}\njobs:\n"
        "  - {name: a, run: 'true', resources: {gpu: 1}}\n"
        "  - {name: after, run: 'touch began-again', needs: [a]}\n"
        "  - {name: b, run: 'touch began; test -e go || sleep 60; echo $JOBLOT_SLOT_GPU > held', resources: {gpu: 1}}\n",
    )
    with joblot.popen("run", "-j", "2") as run:
        joblot.wait_for("began")
        joblot.wait_for("began-again")
        run.send_signal(signal.SIGKILL)
    joblot.write("go", "")
    assert "holds" not in joblot("explain", "last", "b").out
    assert joblot("resume").code == 0
    assert (joblot.path / "held").read_text() == "0\n"
    assert joblot.held()[0] == {"0": {"gpu": [0]}, "2": {"gpu": [1]}}
    assert joblot.held()[-1] == {"2": {"gpu": [0]}}


def test_which_slot_it_was_does_not_make_an_output_stale(joblot):
    text = (
        "limits: {gpu: {slots: [0, 1]}}\njobs:\n"
        "  - {name: first, run: 'true', resources: {gpu: 1}}\n"
        "  - {name: made, run: 'echo $(( 1 + ${{ slots.gpu }} )) > out', resources: {gpu: 1}, outputs: [out], env: {CARD: '${{ slots.gpu }}'}}\n"
    )
    joblot.write("joblot.yaml", text)
    assert joblot.report("-j", "2")["made"]["slots"] == {"gpu": [1]}
    again = joblot.report("-j", "2", "--only", "made")
    assert again["made"]["status"] == "cached"
    joblot.write("joblot.yaml", text.replace("1 + ${{ slots.gpu }}", "2 + ${{ slots.gpu }}"))
    assert joblot.report("-j", "2", "--only", "made")["made"]["slots"] == {"gpu": [0]}


@pytest.mark.alone
def test_rows_have_a_column_for_each_limit_whose_slots_have_names(tmp_path):
    from joblot import Batch

    batch = Batch("rows", folder=tmp_path, limits={"gpu": {"slots": ["x", "y"]}, "db": 1}, max_workers=1)
    batch.add("a", None, run="true", resources={"gpu": 2})
    batch.add("b", None, run="true", resources={"gpu": 1})
    batch.add("c", None, run="true", resources={"db": 1})
    result = batch.run()
    assert [(row["job"], row["slot.gpu"]) for row in result.rows()] == [("a", "x,y"), ("b", "x"), ("c", None)]
    assert "slot.db" not in result.rows()[0]
    assert [job.slots for job in result.jobs.values()] == [{"gpu": ["x", "y"]}, {"gpu": ["x"]}, {}]
