"""Batches made in Python and batch files go through one table of fields: the same is refused, in the same words."""

import datetime as dt
import json
from pathlib import PurePosixPath

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from joblot import Batch, ConfigError, load, run
from joblot.config.load import decode
from joblot.core.model import Config, JobSpec
from joblot.core.plan import expand
from joblot.errors import UsageError


def anything(input=None, **params):
    return input, params


def another(input=None, **params):
    return params, input


TOO_DEEP = {"a": 1}
for _ in range(70):
    TOO_DEEP = {"a": TOO_DEEP}

JOBS = {
    "two dots": {"name": "a..b"},
    "a name that Windows keeps": {"name": "con"},
    "such a name with an ending": {"name": "LPT1.txt"},
    "a dot at the end": {"name": "a."},
    "not ASCII": {"name": "é"},
    "a slash": {"name": "../x"},
    "an empty name": {"name": ""},
    "a long name": {"name": "a" * 101},
    "a name of another type": {"name": 5},
    "when": {"when": "sometimes"},
    "when of another type": {"when": True},
    "priority": {"priority": "x"},
    "priority with a fraction": {"priority": 1.5},
    "once": {"once": "yes"},
    "a variable of joblot's own": {"env": {"JOBLOT_RUN_ID": "1"}},
    "a variable with an equals sign": {"env": {"A=B": "1"}},
    "a variable without a name": {"env": {"": "1"}},
    "an environment that is a text": {"env": "A=1"},
    "a NUL in the environment": {"env": {"A": "a\0b"}},
    "a NUL in a command": {"run": "echo a\0b"},
    "half of a surrogate pair": {"run": "echo \ud800"},
    "an empty command": {"run": ""},
    "no words of a command": {"run": []},
    "unknown parameter": {"action": "copy", "input": "a", "params": {"to": "b", "mode": 1}},
    "parameter of another type": {"action": "search_pattern", "input": "a", "params": {"pattern": 5}},
    "missing parameter": {"action": "copy", "input": "a"},
    "missing input": {"action": "copy", "params": {"to": "b"}},
    "parameters that are a list": {"action": "copy", "input": "a", "params": [1]},
    "NaN": {"params": {"a": float("nan")}, "action": "process_items", "input": "a"},
    "a number that is too large": {"params": {"a": 1 << 70}, "action": "process_items", "input": "a"},
    "too deep": {"params": TOO_DEEP, "action": "process_items", "input": "a"},
    "outputs of another type": {"outputs": [5.5, None]},
    "outputs that are a mapping": {"outputs": {"a": 1}},
    "needs of another type": {"needs": 5},
    "a need of another type": {"needs": [None]},
    "timeout of nothing": {"timeout": 0},
    "a timeout that cannot be read": {"timeout": "soon"},
    "a timeout without an end": {"timeout": float("inf")},
    "grace below nothing": {"grace": -1},
    "resource unknown": {"resources": {"gpu": 1}},
    "resource above its limit": {"resources": {"db": 3}},
    "resource of nothing": {"resources": {"cpu": 0}},
    "resource of another type": {"resources": {"cpu": "many"}},
    "tags of another type": {"tags": [1.5]},
    "description of another type": {"description": 5},
    "cwd of another type": {"cwd": 5},
    "max_parallel alone": {"max_parallel": 2},
    "two ways of items": {"matrix": {"a": [1]}, "foreach": [1]},
    "a matrix that is no list": {"matrix": {"a": 1}},
}
RETRIES = {
    "no attempt": {"max_attempts": 0},
    "attempts of another type": {"max_attempts": "many"},
    "backoff of nothing": {"backoff": 0},
    "jitter above 1": {"jitter": 2},
    "a delay below nothing": {"delay": -1},
    "an unknown outcome": {"only": ["exits"]},
}
BATCHES = {
    "limit of nothing": {"limits": {"db": 0}},
    "limit below nothing": {"limits": {"db": -1}},
    "limit of another type": {"limits": {"db": "two"}},
    "a limit of the machine": {"limits": {"cpu": 1}},
    "durability": {"durability": "fast"},
    "fail_fast": {"fail_fast": "maybe"},
    "max_failures": {"max_failures": 0},
    "max_workers": {"max_workers": 0},
    "workers of another type": {"max_workers": "all"},
    "timeout": {"timeout": 0},
    "secrets": {"secrets": ["A B"]},
    "env": {"env": {"JOBLOT_JOB": "1"}},
    "an environment of another type": {"env": [1]},
    "name": {"name": 5},
}


def by_file(tmp_path, batch):
    """What a file of the same batch is refused with: the first mistake, without its place."""
    file = tmp_path / "batch.json"
    file.write_text(json.dumps(batch))
    with pytest.raises(ConfigError) as caught:
        load(file)
    return caught.value


def same(python, file):
    """The messages agree, but for the argument's name before one that does not say it, and JSON's own words for what it cannot hold."""
    return any(python.message.endswith(one.message) for one in file.diagnostics) or any(
        one.message == other.message for one in python.diagnostics for other in file.diagnostics
    )


UNLIKE_JSON = {"half of a surrogate pair", "a timeout without an end", "NaN"}


@pytest.mark.parametrize("case", JOBS)
def test_a_job_that_a_file_may_not_hold_is_refused_at_the_call(case, tmp_path):
    job = {"name": "a", **JOBS[case]}
    batch = Batch("b", limits={"db": 2}, folder=tmp_path)
    options = dict(job)
    name, action = options.pop("name"), options.pop("action", None)
    if action is None and "run" not in options:
        options["run"] = job["run"] = "true"
    with pytest.raises(ConfigError) as caught:
        batch.add(name, action, **options)
    assert len(batch) == 0
    assert isinstance(caught.value, ValueError)
    refused = by_file(tmp_path, {"limits": {"db": 2}, "jobs": [job]})
    assert case in UNLIKE_JSON or same(caught.value, refused), (caught.value.message, refused.diagnostics)


@pytest.mark.parametrize("case", RETRIES)
def test_a_retry_that_a_file_may_not_hold_is_refused_at_the_call(case, tmp_path):
    batch = Batch("b", folder=tmp_path)
    options = {"retry_only" if name == "only" else name: value for name, value in RETRIES[case].items()}
    with pytest.raises(ConfigError) as caught:
        batch.command("a", "true", **options)
    assert len(batch) == 0
    refused = by_file(tmp_path, {"jobs": [{"name": "a", "run": "true", "retry": RETRIES[case]}]})
    tail = refused.diagnostics[0].message.partition("` ")[2]
    assert caught.value.message.endswith(tail), (caught.value.message, refused.message)


@pytest.mark.parametrize("case", BATCHES)
def test_a_batch_that_a_file_may_not_hold_is_refused_at_the_call(case, tmp_path):
    with pytest.raises(ConfigError) as caught:
        Batch(**BATCHES[case], folder=tmp_path)
    refused = by_file(tmp_path, {**BATCHES[case], "jobs": []})
    assert same(caught.value, refused), (caught.value.message, refused.diagnostics)


ODD = [
    None,
    True,
    -1,
    0,
    1.5,
    float("nan"),
    float("inf"),
    1 << 80,
    b"x",
    [],
    [None],
    {},
    {1: 2},
    {"a"},
    object(),
    "\0",
    "\ud800",
    "",
]
ARGUMENTS = [
    "input", "params", "needs", "when", "max_attempts", "delay", "backoff", "max_delay", "jitter", "retry_only", "timeout", "grace",
    "resources", "outputs", "env", "cwd", "once", "tags", "priority", "description", "matrix", "zip", "foreach", "max_parallel",
]  # fmt: skip


@pytest.mark.parametrize("argument", [*ARGUMENTS, "name", "what"])
def test_whatever_an_argument_of_add_is_nothing_fails_from_the_inside(argument, tmp_path):
    messages, sizes = [], []
    for value in ODD:
        batch = Batch("b", folder=tmp_path)
        given = {"name": "a", "what": anything, argument: value}
        try:
            batch.add(given.pop("name"), given.pop("what"), **given)
        except (ConfigError, UsageError) as error:
            messages.append(error.message)
            sizes.append(len(batch))
        else:
            if argument == "needs" and value:
                continue  # whether there is such a job is for the plan to say
            plan = expand(msgspec.structs.replace(batch.config(), jobs=[without_function(job) for job in batch.jobs]))
            assert decode(plan.encoded) == plan.config
    assert len(messages) >= 4, "each argument has values that cannot be right"
    assert set(sizes) == {0}
    if argument not in ("needs", "name", "matrix", "zip", "foreach"):
        assert [message for message in messages if argument not in message] == []


def without_function(job):
    return msgspec.structs.replace(job, function=None, run="true")


RUN = [
    "on", "workers", "fail_fast", "max_failures", "timeout", "run_id", "strict", "stop_grace_s", "disk_wait_s", "max_memory", "max_log",
    "force", "fuse", "only", "upto", "from_", "exclude", "cluster", "report", "vars", "observers",
]  # fmt: skip


@pytest.mark.parametrize("argument", RUN)
def test_whatever_an_argument_of_run_is_nothing_fails_from_the_inside(argument, tmp_path):
    batch = Batch("b", folder=tmp_path)
    messages = []
    for value in (object(), b"x", {1: 2}, [None], 1 << 80, float("nan")):
        try:
            run(batch, **{"on": "inline", "state": False, argument: value})
        except (ConfigError, UsageError) as error:
            messages.append(error.message)
    assert len(messages) >= 4
    assert [message for message in messages if argument not in message] == []


names = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
jobs = st.fixed_dictionaries(
    {"name": names | st.just("con") | st.just("a..b")},
    optional={
        "when": st.sampled_from(["success", "failure", "always", "sometimes"]),
        "priority": st.integers(-5, 5) | st.just("x"),
        "once": st.booleans() | st.just("yes"),
        "timeout": st.sampled_from(["5m", 0, 1.5, -1, "soon"]),
        "grace": st.sampled_from(["1s", 0, -1]),
        "env": st.dictionaries(st.sampled_from(["A", "JOBLOT_X", "B C"]), st.text(max_size=3), max_size=2),
        "tags": st.lists(st.text(max_size=3), max_size=2),
        "outputs": st.lists(st.sampled_from(["a.csv", "b/c", ""]), max_size=2, unique=True),
        "cwd": st.sampled_from(["x", ""]),
        "description": st.text(max_size=5),
        "resources": st.dictionaries(st.sampled_from(["cpu", "db", "gpu"]), st.integers(0, 3), max_size=2),
    },
)


@given(st.lists(jobs, max_size=3), values)
def test_python_and_files_accept_the_same_and_make_the_same_of_it(tmp_path_factory, some, value):
    """And whatever is accepted can be read back."""
    folder = tmp_path_factory.getbasetemp()
    file = folder / "same.json"
    batch = {"name": "same", "limits": {"db": 2}, "jobs": [{**job, "run": ["echo", "x"]} for job in some]}
    batch["jobs"].append({"name": "last-of-all", "action": "nobody.has.this", "params": {"value": value}})
    try:
        file.write_text(json.dumps(batch), encoding="utf-8")
        of_file = load(file, skip_unknown_actions=True)
    except (ConfigError, UnicodeEncodeError):
        of_file = None
    try:
        made = Batch("same", limits={"db": 2}, folder=folder)
        for job in batch["jobs"]:
            options = {name: item for name, item in job.items() if name not in ("name", "action")}
            made.add(job["name"], job.get("action"), **options)
        config = made.config()
        plan = expand(config)
    except ConfigError:
        config = None
    assert (config is None) == (of_file is None)
    if config is not None:
        assert decode(plan.encoded) == plan.config
        assert plain_config(config) == plain_config(of_file)


def plain_config(config: Config) -> Config:
    """Without what only a file has."""
    specs: list[JobSpec] = [msgspec.structs.replace(job, place=None) for job in config.jobs]
    return msgspec.structs.replace(config, jobs=specs, source="", digest="")


def test_what_only_python_has_is_taken(tmp_path):
    batch = Batch("b", folder=tmp_path)
    batch.add("first", anything, input=PurePosixPath("a"), tags=("x",), outputs=iter(["out"]))
    batch.add(
        "second", another, needs=[anything], params={"day": dt.date(2026, 11, 28)}, timeout=1.5, retry_only={"exit"}
    )
    first, second = batch.jobs
    assert (first.input, first.tags, first.outputs) == ("a", ("x",), ("out",))
    assert (second.needs, second.params, second.timeout_s, second.retry.only) == (
        ("first",),
        {"day": "2026-11-28"},
        1.5,
        ("exit",),
    )


def test_no_run_is_recorded_that_cannot_be_read_back(tmp_path):
    """A configuration that a program put together by itself is refused before anything is written."""
    odd = Config(name="b", folder=str(tmp_path), jobs=[JobSpec(name="a", run="true", when="sometimes")])
    with pytest.raises(ConfigError):
        run(odd, state=tmp_path / "state", on="inline")
    assert not (tmp_path / "state").exists()
