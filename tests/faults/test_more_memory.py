"""`memory_factor` with real processes: each attempt is held to what it may use, commands and actions alike."""

import json
import sys
import time
from shlex import quote

import pytest

from cli.conftest import Project

TAKES = "import time; held = bytearray(b'x') * (150 * 2**20); time.sleep(0.5)"
RETRY = {"max_attempts": 3, "memory_factor": 2.5, "max_memory": "400MiB"}


@pytest.fixture
def joblot(tmp_path):
    return Project(tmp_path)


def test_an_attempt_may_use_more_than_the_one_that_had_too_little(joblot):
    jobs = [
        {"name": "command", "run": ["sh", "-c", f'echo $JOBLOT_MEMORY; exec {quote(sys.executable)} -c "{TAKES}"']},
        {"name": "action", "action": "python", "params": {"code": TAKES}},
    ]
    jobs = [{**job, "resources": {"memory": "100MiB"}, "retry": RETRY} for job in jobs]
    joblot.write("joblot.json", json.dumps({"jobs": jobs}))
    done = joblot("run")
    assert done.code == 0, done.err
    for name in ("command", "action"):
        assert f"{name}: attempt 1 ended with `oom`: out of memory: used" in done.err
        assert f"{name}: attempt 3" not in done.err
        attempts = joblot("explain", name).out.partition("attempts:\n")[2].splitlines()[:2]
        assert "of 100 MiB; the next attempt may use 250 MiB" in attempts[0]
        assert attempts[1].strip().startswith("2: ok")
    assert [joblot("logs", "command", "--attempt", str(number)).out for number in (1, 2)] == [
        "104857600\n",
        "262144000\n",
    ]


def test_a_job_without_memory_is_not_told_any(joblot):
    joblot.write("joblot.yaml", "jobs: [{name: a, run: 'echo ${JOBLOT_MEMORY-none}'}]")
    joblot("run")
    assert joblot("logs", "a").out == "none\n"


def test_explain_tells_what_a_waiting_job_asks_for_by_now(joblot):
    hog = {"name": "a", "run": [sys.executable, "-c", TAKES], "retry": {**RETRY, "delay": "100ms"}}
    jobs = [
        {**hog, "resources": {"memory": "100MiB", "one": 1}},
        {"name": "b", "run": "sleep 60", "resources": {"one": 1}},
    ]
    joblot.write("joblot.json", json.dumps({"limits": {"one": 1}, "jobs": jobs}))
    with joblot.popen("run", "--max-memory", "1GiB") as runner:
        until = time.monotonic() + 30
        while "waits for" not in (told := "".join(joblot("explain", "a")[1:])) and time.monotonic() < until:
            time.sleep(0.05)
        runner.kill()
    assert "ready: waits for a free slot and for memory: 250 MiB of 1.0 GiB (max_memory), one: 1\n" in told
