"""`--max-memory`: what is expected to hold more together than it may, said or seen, does not start; what does so all the same is ended."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from joblot.core.limits import Limits
from joblot.core.model import Config, JobSpec
from joblot.core.plan import expand
from joblot.core.runstate import RunState
from joblot.testing import audit

MIB = 2**20


def state(jobs, expected=None, budget=1000):
    plan = expand(Config(name="b", folder="/", jobs=jobs))
    return RunState(plan, Limits(slots=4, max_memory=budget * MIB, expected_memory=expected or {}))


def test_declared_memory_counts_against_the_limit():
    jobs = [JobSpec(name=name, run="true", resources={"memory": 400.0 * MIB}) for name in "abc"]
    assert state(jobs).start(0.0, 4).starts == [0, 1]


def test_a_job_that_asks_for_more_than_there_is_runs_when_nothing_else_does():
    jobs = [JobSpec(name="big", run="true", resources={"memory": 5000.0 * MIB}), JobSpec(name="b", run="true")]
    assert state(jobs).start(0.0, 4).starts == [0]


def test_what_was_seen_counts_for_jobs_that_declare_nothing():
    jobs = [JobSpec(name=name, run="true") for name in "abcd"]
    run = state(jobs, {0: 600 * MIB, 1: 600 * MIB})
    decision = run.start(0.0, 4)
    assert decision.starts == [0]
    audit(run)


def test_what_was_seen_stands_beside_other_demands():
    jobs = [JobSpec(name=name, run="true", resources={"cpu": 2.0}) for name in "ab"]
    assert state(jobs, {0: 600 * MIB, 1: 600 * MIB}).start(0.0, 4).starts == [0]


BATCH = """
import time
from joblot import Batch

def eat():
    block = b"x" * (150 << 20)
    time.sleep(0.5)
    return len(block)

batch = Batch("seen")
batch.add("a", eat)
batch.add("b", eat)
report = batch.run(workers=2, max_memory=256 << 20)
print(*sorted((report.jobs[name].state, report.jobs[name].attempts) for name in "ab"))
"""


def test_the_second_run_knows_what_the_first_one_took(tmp_path):
    """The first run learns that two of these are too many for 256 MiB, and ends one, whose worker began last; the second runs them one after the other."""
    told = [
        subprocess.run([sys.executable, "-c", BATCH], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert told == ["('success', 1) ('success', 2)\n", "('success', 1) ('success', 1)\n"]


def test_the_size_of_logs_can_be_chosen(tmp_path):
    """S15: `--max-log`"""
    (tmp_path / "joblot.yaml").write_text("jobs: [{name: a, run: 'head -c 5000 /dev/zero | tr \"\\\\0\" x'}]\n")
    done = subprocess.run(
        [sys.executable, "-m", "joblot", "run", "-q", "--run-id", "r", "--max-log", "1KiB"], cwd=tmp_path, check=True
    )
    assert done.returncode == 0
    log = (tmp_path / ".joblot/runs/r/logs/a/1.log").read_bytes()
    assert log == b"x" * 512 + b"\n[joblot: 3976 bytes left out]\n" + b"x" * 512


@pytest.mark.parametrize("where", ["--max-log", "JOBLOT_MAX_LOG"])
def test_a_size_that_is_none_is_refused(tmp_path, where):
    """G7"""
    (tmp_path / "joblot.yaml").write_text("jobs: [{name: a, run: 'true'}]\n")
    words = [sys.executable, "-m", "joblot", "run", *([where, "much"] if where.startswith("--") else [])]
    env = {"PATH": "/usr/bin:/bin", **({} if where.startswith("--") else {where: "much"})}
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert textwrap.dedent("`much` is not a size: write bytes, or `512MB`, `2GiB`") in done.stderr
