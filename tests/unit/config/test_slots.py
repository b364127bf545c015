"""References to the slots that a job holds."""

import pytest

from joblot import Batch, ConfigError
from joblot.core.plan import expand

TOP = "limits: {gpu: {slots: [0, 1, 2]}, my-port: {slots: [8080]}}"


@pytest.mark.parametrize(
    "fields",
    [
        "run: 'echo ${{ slots.gpu }}', resources: {gpu: 1}",
        "run: [echo, '${{ slots.gpu[1] }}', '${{ slots.gpu.0 }}'], resources: {gpu: 2}",
        "run: env, env: {CUDA_VISIBLE_DEVICES: '${{ slots.gpu }}', PORT: '${{ slots.my-port }}'}, resources: {gpu: 1, my-port: 1}",
        "action: notify, params: {a: '${{ slots.gpu }}'}, resources: {gpu: 3.0}",
        "run: 'echo ${{ slots.gpu }}', resources: {gpu: '${{ vars.n }}'}",
    ],
)
def test_they_stay_until_the_job_starts(read, fields):
    spec = read(f"{TOP}\nvars: {{n: 2}}\njobs: [{{name: a, {fields}}}]\n").jobs[0]
    assert spec.deferred


def test_what_all_jobs_ask_for_by_default_counts(read):
    config = read(
        f"{TOP}\ndefaults: {{resources: {{gpu: 2}}}}\njobs: [{{name: a, run: 'echo ${{{{ slots.gpu[1] }}}}'}}]\n"
    )
    assert config.jobs[0].resources == {"gpu": 2.0}


def test_they_stay_in_a_fan_out_and_in_the_jobs_that_grow_from_a_result(read):
    each = "run: 'echo ${{ item }} ${{ slots.gpu }}', resources: {gpu: 1}"
    plan = expand(
        read(
            f"{TOP}\njobs:\n  - {{name: 'a-${{{{ item }}}}', foreach: [x], {each}}}\n  - {{name: find, run: x}}\n"
            f"  - {{name: 'b-${{{{ item }}}}', foreach: '${{{{ jobs.find.result }}}}', needs: [find], {each}}}\n"
        )
    ).fresh()
    plan.extend(plan.find("b-*") or 2, {"": ["y"]})
    for name in ("a-x", "b-y"):
        spec = plan.spec(plan.find(name))
        assert (spec.deferred, spec.resources) == (True, {"gpu": 1.0})


def test_a_program_that_runs_text_gets_them_through_the_environment(errors):
    (found,) = errors(
        f"{TOP}\njobs: [{{name: a, shell: python3, run: 'print(${{{{ slots.gpu }}}})', resources: {{gpu: 1}}}}]\n"
    )
    assert found.message == "`slots.gpu` stands in a text that `python3` runs, where its value would be code"


def test_from_python():
    batch = Batch("b", limits={"gpu": {"slots": range(2)}, "db": 1}, folder="/b")
    batch.add("a", None, run=["train", "--gpu", "${{ slots.gpu }}"], resources={"gpu": 1})
    assert batch.config().limits["gpu"].slots == (0, 1)
    with pytest.raises(
        ConfigError, match=r"job `b`: `run\[2\]`: `slots.gpu` stands for nothing: the job does not ask for `gpu`"
    ):
        batch.add("b", None, run=["train", "--gpu", "${{ slots.gpu }}"])
