"""`memory_factor` and `max_memory` of `retry`, in batch files and in Python."""

import json

import pytest

from joblot import Batch, ConfigError
from joblot.core.model import Retry

MIB = 2**20


def test_what_is_written_is_what_is_meant(read_data):
    retry = {"max_attempts": 3, "memory_factor": 2, "max_memory": "16MiB"}
    job = {"name": "a", "run": "true", "resources": {"memory": "4MiB"}}
    batch = Batch("b")
    batch.command("a", "true", resources={"memory": "4MiB"}, max_attempts=3, memory_factor=2, max_memory="16MiB")
    for spec in (
        read_data({"jobs": [job | {"retry": retry}]}).jobs[0],
        read_data({"defaults": {"retry": retry}, "jobs": [job]}).jobs[0],
        read_data({"defaults": {"retry": retry, "resources": {"memory": "4MiB"}}, "jobs": [{"name": "a", "run": "true"}]}).jobs[0],
        read_data({"defaults": {"retry": {"max_attempts": 3, "max_memory": "16MiB", "memory_factor": 3}}, "jobs": [job | {"retry": {"memory_factor": 2}}]}).jobs[0],
        batch.config().jobs[0],
    ):  # fmt: skip
        assert spec.retry == Retry(3, memory_factor=2.0, max_memory=16.0 * MIB)


def test_defaults_do_nothing_for_jobs_that_declare_no_memory(read_data):
    retry = {"max_attempts": 3, "memory_factor": 2}
    (spec,) = read_data({"defaults": {"retry": retry}, "jobs": [{"name": "a", "run": "true"}]}).jobs
    assert spec.retry.memory_factor == 2


MEMORY = {"resources": {"memory": "2GiB"}}
WRONG = [
    ({"memory_factor": 2}, {}, "job `a` has a `memory_factor` and no `memory` to raise", "`resources: {memory: 1GiB}` is what the first attempt may use"),
    ({"memory_factor": 2, "max_memory": "1GiB"}, MEMORY, "`max_memory` of job `a` is less than its `memory`: 1.0 GiB and 2.0 GiB", "`memory` is what the first attempt may use"),
    ({"max_memory": "3GiB"}, MEMORY, "job `a` has a `max_memory` and no `memory_factor` that leads to it", "`memory_factor: 2` doubles `memory` after each `oom`, up to `max_memory`"),
    ({"memory_factor": 0.5}, MEMORY, "`memory_factor` must be at least 1, got 0.5", ""),
    ({"memory_factor": 1001}, MEMORY, "`memory_factor` must be at most 1000, got 1001", ""),
    ({"memory_factor": "2"}, MEMORY, "`memory_factor` must be a number, not the text `2`", "write it without quotes"),
    ({"memory_factor": 2, "max_memory": 0}, MEMORY, "`max_memory` must be more than 0, got 0", ""),
    ({"memory_factor": 2, "max_memory": "lots"}, MEMORY, "`max_memory` cannot be read: `lots` is not a size: write bytes, or `512MB`, `2GiB`", ""),
]  # fmt: skip


@pytest.mark.parametrize(("retry", "rest", "message", "hint"), WRONG)
def test_what_is_refused(errors, retry, rest, message, hint):
    job = {"name": "a", "run": "true", "retry": {"max_attempts": 3, **retry}, **rest}
    (found,) = errors(json.dumps({"jobs": [job]}), "json")
    assert (found.message, found.hint) == (message, hint)
    with pytest.raises(ConfigError) as caught:
        Batch("b").command("a", "true", max_attempts=3, **retry, **rest)
    (found,) = caught.value.diagnostics
    assert (found.message, found.hint) == (message, hint)
    assert found.path in retry


@pytest.mark.parametrize(
    ("retry", "hint"),
    [
        ({"memory_factor": 2}, "`max_attempts: 3` lets it be tried twice more"),
        ({"memory_factor": 2, "max_attempts": 3, "only": ["timeout"]}, "add `oom` to `only`"),
    ],
)
def test_a_factor_that_does_nothing_is_a_warning(tmp_path, retry, hint):
    from unit.config.conftest import load_batch

    job = {"name": "a", "run": "true", "retry": retry, **MEMORY}
    (odd,) = load_batch(json.dumps({"jobs": [job]}), "json")[1]
    assert odd.message == "job `a` is never tried again after `oom`: `memory_factor` raises nothing"
    assert odd.hint == hint


def test_outside_of_retry_it_is_said_where_it_belongs(errors):
    (found,) = errors(json.dumps({"jobs": [{"name": "a", "run": "true", "memory_factor": 2}]}), "json")
    assert found.hint == "it belongs inside `retry`"
