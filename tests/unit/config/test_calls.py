"""What batches made in Python take is what batch files take: the same table, the same messages, at the call."""

from __future__ import annotations

import collections
import datetime as dt
import enum
import json
import math
import re
import types
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

import joblot
from joblot import ACTIONS, Batch, ConfigError
from joblot.config.load import decode, load_text
from joblot.core.model import RULES, Config, FanOut, JobSpec, Retry
from joblot.core.plan import expand
from joblot.core.provenance import shown_command

FOLDER = "/batches"
RETRY = ("max_attempts", "delay", "backoff", "max_delay", "jitter", "retry_only")


def nothing():
    return None


def anything(input=None, **params):
    return input, params


def by_file(top, jobs):
    """The batch that a file with the same data declares."""
    text = json.dumps({**top, "jobs": [as_in_a_file(job) for job in jobs]})
    known = {"lookup": ACTIONS.signature, "names": ACTIONS.names}
    return load_text(text, folder=FOLDER, format="json", unknown="warning", **known)[0]


def as_in_a_file(job):
    fields = {name: value for name, value in job.items() if name not in RETRY}
    retry = {name.removeprefix("retry_"): job[name] for name in RETRY if name in job}
    return {**fields, "retry": retry} if retry else fields


def by_calls(top, jobs):
    batch = Batch(**{"name": "batch", "folder": FOLDER, **top})
    for job in jobs:
        fields = dict(job)
        batch.add(fields.pop("name", None), fields.pop("action", None), **fields)
    return batch.config()


def problems(make, top, jobs):
    """What is wrong, less the places, and less the names that only files or only calls have."""
    try:
        make(top, jobs)
    except ConfigError as error:
        told = [(found.code, found.message) for found in error.diagnostics]
        told = [(code, re.sub(r" \(first on line \d+\)", "", message)) for code, message in told]
        told = [(code, message.replace("`jobs[1]`", "the job")) for code, message in told]
        owner = re.compile(r"^(jobs\[\d+\]|job `[^`]*`|the job) is missing ")
        told = [(code, owner.sub("missing: ", message)) for code, message in told]
        return sorted(
            (code, message.replace("`only", "`retry_only").replace("missing: `action`", "missing: `what`"))
            for code, message in told
        )
    return []


def deep(levels):
    value = []
    for _ in range(levels - 1):
        value = [value]
    return value


def job(**fields):
    return {"name": "j", "run": "true", **fields}


def call(action, **fields):
    return {"name": "j", "action": action, **fields}


WRONG = [
    # names
    (job(name="a..b"), "`name` cannot be `a..b`"),
    (job(name="a."), "`name` cannot be `a.`"),
    (job(name="con"), "`name` cannot be `con`"),
    (job(name="Aux.txt"), "`name` cannot be `Aux.txt`"),
    (job(name="-a"), "`name` cannot be `-a`"),
    (job(name="x" * 101), f"`name` cannot be `{'x' * 57}...`"),
    (job(name="é"), "`name` cannot be `é`: `é` (U+00E9) is not an ASCII character"),
    (job(name=""), "`name` cannot be ``"),
    (job(name=None), "`name` must be a text, not null"),
    (job(name=["a"]), "`name` must be a text, not a list"),
    # words and numbers
    (job(when="sometimes"), "`when` must be one of `success`, `failure`, `always`, not `sometimes`"),
    (job(when=None), "`when` must be a text, not null"),
    (job(priority="x"), "`priority` must be a whole number, not the text `x`"),
    (job(priority=1.5), "`priority` must be a whole number, not the number 1.5"),
    (job(priority=10**7), "`priority` must be at most 1e+06, got 10000000"),
    (job(once="yes"), "`once` must be `true` or `false`, not the text `yes`"),
    (job(once=None), "`once` must be `true` or `false`, not null"),
    (job(max_attempts=0), "`max_attempts` must be at least 1, got 0"),
    (job(max_attempts=True), "`max_attempts` must be a whole number, not `true`"),
    (job(max_attempts=None), "`max_attempts` must be a whole number, not null"),
    (job(backoff=0), "`backoff` must be at least 1, got 0"),
    (job(jitter=2), "`jitter` must be at most 1, got 2"),
    (job(delay="soon"), "`delay` cannot be read: `soon` is not a duration: write seconds, or `90s`, `5m`, `1h30m`, `250ms`"),
    (job(delay=-1), "`delay` cannot be read: a duration is between 0 and 366 days, not -1"),
    (job(max_delay=[]), "`max_delay` must be a duration such as `90s`, `5m` or `1h30m`, not a list"),
    (job(retry_only=["exit", "late"]), "`retry_only[1]` is nothing that a try ends with: `late`"),
    (job(timeout=0), "`timeout` must be more than 0, got 0"),
    (job(timeout="0s"), "`timeout` must be more than 0, got 0s"),
    (job(timeout=True), "`timeout` must be a duration such as `90s`, `5m` or `1h30m`, not `true`"),
    (job(grace=2**70), "a number is too large: whole numbers have 64 bits"),
    # texts and lists
    (job(description=["x"]), "`description` must be a text, not a list"),
    (job(description="a\0b"), "a text holds a NUL (U+0000)"),
    (job(description="a\ud800"), "a text holds half of a surrogate pair (U+D800)"),
    (job(description="a\x1b[31m"), "a text holds a control character (U+001B)"),
    (job(cwd=" "), "`cwd` must not be empty"),
    (job(cwd={"a": 1}), "`cwd` must be a text, not a mapping"),
    (job(tags=["a", None]), "`tags[1]` must be a text, not null"),
    (job(tags={"a": 1}), "`tags` must be a list, not a mapping"),
    (job(outputs=["a", []]), "`outputs[1]` must be a text, not a list"),
    (job(outputs=[""]), "`outputs[0]` must not be empty"),
    (job(needs=[["a"]]), "`needs[0]` must be a text, not a list"),
    (job(needs={"a": 1}), "`needs` must be a list, not a mapping"),
    (job(input={"a": 1}), "`input` must be a text, not a mapping"),
    (job(input=[None]), "`input[0]` must be a text, not null"),
    # commands and environment
    (job(run=[]), "`run` must not be empty"),
    (job(run=" "), "`run` must not be empty"),
    (job(run={"a": 1}), "`run` must be a text, not a mapping"),
    (job(run=["echo", ["x"]]), "`run[1]` must be a text, not a list"),
    (job(run=["echo", "x\0"]), "a text holds a NUL (U+0000)"),
    (job(run="echo `cat ${{ env.HOME }}`"), "`env.HOME` stands in backquotes, where its value is not safe"),
    (job(run="echo ${{ jobs.x.result }}"), "`jobs.x.result` is the result of a job that this one does not need"),
    (job(run="echo ${{ vars.x }}"), "no variable `x`"),
    (job(env={"A=B": "x"}), "`A=B` cannot be an environment variable"),
    (job(env={"": "x"}), "`` cannot be an environment variable"),
    (job(env={"JOBLOT_RUN_ID": "x"}), "`JOBLOT_RUN_ID` cannot be set"),
    (job(env={"A": ["x"]}), "`A` must be a text, not a list"),
    (job(env={"A": None}), "`A` must be a text, not null"),
    (job(env=["A"]), "`env` must be a mapping, not a list"),
    (job(env={"A\0": "x"}), "key `A\\x00` holds a control character"),
    (job(params={"a": 1}), "job `j` has `params` but no action to take them"),
    ({"name": "j", "run": "x", "action": "count_lines"}, "job `j` has both `action` and `run`"),
    # resources
    (job(resources={"gpu": 1}), "unknown resource `gpu`"),
    (job(resources={"db": 3}), "`db` must be at most 2, which is the batch's limit, got 3"),
    (job(resources={"cpu": 0}), "`cpu` must be more than 0, got 0"),
    (job(resources={"cpu": "2"}), "`cpu` must be a number, not the text `2`"),
    (job(resources={"memory": "lots"}), "`memory` cannot be read: `lots` is not a size: write bytes, or `512MB`, `2GiB`"),
    (job(resources=["cpu"]), "`resources` must be a mapping, not a list"),
    # actions
    (call("count_lines", input="x", params={"ptn": "x"}), "action `count_lines` has no parameter `ptn`"),
    (call("count_lines", input="x", params={"pattern": ["x"]}), "parameter `pattern` of action `count_lines` must be text, not a list"),
    (call("count_lines", input="x", params=["x"]), "`params` must be a mapping, not a list"),
    (call("count_lines"), "missing: `input` (action `count_lines` needs one)"),
    (call("copy", input="x"), "action `copy` needs the parameter `output`"),
    (call("python", params={"value": deep(70)}), "nested deeper than 64 levels"),
    # fan-out
    (job(matrix={"a": [1]}, foreach=[1]), "`matrix` and `foreach` cannot stand together"),
    (job(max_parallel=2), "`max_parallel` has no fan-out to bound"),
    (job(foreach=[1], max_parallel=0), "`max_parallel` must be at least 1, got 0"),
    (job(matrix={}), "`matrix` must not be empty"),
    (job(matrix={"a": 1}), "`a` must be a list, not the number 1"),
    (job(matrix={"a b": [1]}), "`a b` cannot be a name here"),
    (job(zip={"a": [1], "b": [1, 2]}), "`zip` must have lists of one length: `a` has 1, `b` has 2"),
    (job(foreach=5), "`foreach` must be a list, a file, or one of `csv`, `tsv`, `jsonl`, `parquet`, `lines`, `glob`, `command`, not the number 5"),
    (job(foreach={"cvs": "x"}), "`foreach` cannot be read from `cvs`"),
    (job(foreach=["x"], env={"A": "${{ matrix.a }}"}), "`matrix.a` stands for nothing here"),
    (job(foreach=["../x"], outputs=["${{ item }}"]), "item 1 cannot be part of a path: `../x` holds `..`"),
]  # fmt: skip
WRONG_BATCHES = [
    ({"name": ""}, "`name` must not be empty"),
    ({"name": ["x"]}, "`name` must be a text, not a list"),
    ({"name": "a\0"}, "a text holds a NUL (U+0000)"),
    ({"durability": "fast"}, "`durability` must be one of `normal`, `full`, not `fast`"),
    ({"durability": None}, "`durability` must be a text, not null"),
    ({"limits": {"db": 0}}, "`db` must be at least 1, got 0"),
    ({"limits": {"db": -1}}, "`db` must be at least 1, got -1"),
    ({"limits": {"db": 1.5}}, "`db` must be a whole number, not the number 1.5"),
    ({"limits": {"cpu": 2}}, "`cpu` cannot be a limit of the batch"),
    ({"limits": {"gpu": [0, 1]}}, "`gpu` must be a whole number or a mapping, not a list"),
    ({"limits": {"gpu": {}}}, "`gpu` is missing `count` or `slots`"),
    ({"limits": {"gpu": {"count": 2, "slots": [0, 1]}}}, "`gpu` has both `count` and `slots`"),
    ({"limits": {"gpu": {"count": 0}}}, "`count` must be at least 1, got 0"),
    ({"limits": {"gpu": {"slot": [0]}}}, "unknown field `slot` in limit `gpu`"),
    ({"limits": {"gpu": {"slots": 2}}}, "`slots` must be a list, not the number 2"),
    ({"limits": {"gpu": {"slots": []}}}, "`slots` must not be empty"),
    ({"limits": {"gpu": {"slots": None}}}, "`slots` must not be empty"),
    ({"limits": {"gpu": {"slots": [0, "a b"]}}}, "`slots[1]` cannot be the text `a b`"),
    ({"limits": {"gpu": {"slots": ["0,1"]}}}, "`slots[0]` cannot be the text `0,1`"),
    ({"limits": {"gpu": {"slots": ["é"]}}}, "`slots[0]` cannot be the text `é`"),
    ({"limits": {"gpu": {"slots": [""]}}}, "`slots[0]` cannot be an empty text"),
    ({"limits": {"gpu": {"slots": ["x" * 101]}}}, f"`slots[0]` cannot be the text `{'x' * 57}...`"),
    ({"limits": {"gpu": {"slots": [-1]}}}, "`slots[0]` must be at least 0, got -1"),
    ({"limits": {"gpu": {"slots": [0.5]}}}, "`slots[0]` must be a whole number or a word, not the number 0.5"),
    ({"limits": {"gpu": {"slots": [True]}}}, "`slots[0]` must be a whole number or a word, not `true`"),
    ({"limits": {"gpu": {"slots": [0, None]}}}, "`slots[1]` must be a whole number or a word, not null"),
    ({"limits": {"gpu": {"slots": [0, [1]]}}}, "`slots[1]` must be a whole number or a word, not a list"),
    ({"limits": {"gpu": {"slots": [0, "0"]}}}, "`slots` names `0` twice"),
    ({"limits": {"gpu": {"count": 1, "across": "host"}}}, "`across` must be one of `run`, `machine`, not `host`"),
    ({"limits": {"gpu": {"count": 1, "across": None}}}, "`across` must be a text, not null"),
    ({"limits": {"a b": 2}}, "`a b` cannot be a limit"),
    ({"limits": ["db"]}, "`limits` must be a mapping, not a list"),
    ({"env": {"A-B": "x"}}, "`A-B` cannot be an environment variable"),
    ({"env": {"JOBLOT_X": "x"}}, "`JOBLOT_X` cannot be set"),
    ({"secrets": ["A-B"]}, "`secrets[0]` cannot be `A-B`"),
    ({"secrets": [None]}, "`secrets[0]` must be a text, not null"),
    ({"fail_fast": "no"}, "`fail_fast` must be `true` or `false`, not the text `no`"),
    ({"fail_fast": None}, "`fail_fast` must be `true` or `false`, not null"),
    ({"max_failures": 0}, "`max_failures` must be at least 1, got 0"),
    ({"max_workers": 0}, "`max_workers` must be at least 1, got 0"),
    ({"max_workers": 10_001}, "`max_workers` must be at most 10000, got 10001"),
    ({"seed": -1}, "`seed` must be at least 0, got -1"),
    ({"seed": 2**63}, "a number is too large: whole numbers have 64 bits"),
    ({"seed": 1.5}, "`seed` must be a whole number, not the number 1.5"),
    ({"seed": "x"}, "`seed` must be a whole number, not the text `x`"),
    ({"seed": True}, "`seed` must be a whole number, not `true`"),
    ({"timeout": 0}, "`timeout` must be more than 0, got 0"),
    ({"timeout": "never"}, "`timeout` cannot be read: `never` is not a duration: write seconds, or `90s`, `5m`, `1h30m`, `250ms`"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "message"), WRONG, ids=lambda value: str(value)[:60] if isinstance(value, dict) else ""
)
def test_a_job_that_a_file_cannot_declare_cannot_be_added(wrong, message):
    limits = {"limits": {"db": 2}}
    assert [told for _, told in problems(by_calls, limits, [wrong])] == [message]
    assert problems(by_file, limits, [wrong]) == problems(by_calls, limits, [wrong])


@pytest.mark.parametrize(("wrong", "message"), WRONG_BATCHES)
def test_a_batch_that_a_file_cannot_declare_cannot_be_made(wrong, message):
    assert [told for _, told in problems(by_calls, wrong, [])] == [message]
    assert problems(by_file, wrong, []) == problems(by_calls, wrong, [])


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "field", ["timeout", "grace", "delay", "backoff", "jitter", "priority", "max_attempts", "params", "env"]
)
def test_what_is_no_number_is_refused_by_both(field, number):
    value = {"a": number} if field in ("params", "env") else number
    wrong = call("python", params=value) if field == "params" else job(**{field: value})
    expected = "not a number that a batch can hold: it is infinite or no number at all"
    assert [message for _, message in problems(by_calls, {}, [wrong])] == [expected]
    written = json.dumps({"jobs": [as_in_a_file(wrong)]}).replace("NaN", ".nan")
    with pytest.raises(ConfigError):
        load_text(re.sub("-?Infinity", ".inf", written), folder=FOLDER, lookup=ACTIONS.signature, names=ACTIONS.names)


# --- all at once, and nothing kept --------------------------------------------------------------------


def refused(make):
    with pytest.raises(ConfigError) as caught:
        make()
    return caught.value


def test_everything_that_is_wrong_with_a_call_is_told_at_once():
    batch = Batch("b")
    error = refused(
        lambda: batch.command("j", "true", max_attempts=0, retry_only="late", when="x", tags=[1], timeout=-1)
    )
    assert [(found.path, found.message, found.hint, found.file) for found in error.diagnostics] == [
        ("when", "`when` must be one of `success`, `failure`, `always`, not `x`", "", ""),
        ("max_attempts", "`max_attempts` must be at least 1, got 0", "", ""),
        (
            "retry_only",
            "`retry_only` is nothing that a try ends with: `late`",
            "outcomes (`timeout`), `exit 75`, exceptions (`ConnectionError`), reasons (`missing_input`), `reason CODE` of an action's own",
            "",
        ),
        ("timeout", "`timeout` cannot be read: a duration is between 0 and 366 days, not -1", "", ""),
        ("tags[0]", "`tags[0]` must be a text, not the number 1", "put it in quotes", ""),
    ]
    assert error.message == "job `j`: `when` must be one of `success`, `failure`, `always`, not `x` (and 4 more)"
    assert isinstance(error, ValueError)
    assert len(batch) == 0


@pytest.mark.parametrize(
    ("options", "message", "path"),
    [
        ({"description": "a\0"}, "job `j`: `description`: a text holds a NUL (U+0000)", "description"),
        ({"env": {"A=B": "x"}}, "job `j`: `env.A=B`: `A=B` cannot be an environment variable", "env.A=B"),
        ({"params": {"a": {"b": math.nan}}}, "job `j`: `params.a.b`: not a number that a batch can hold: it is infinite or no number at all", "params.a.b"),
        ({"params": {"a": object()}}, "job `j`: `params.a`: a value of type `object` cannot stand in a batch", "params.a"),
        ({"params": {"a": [{1, 2}]}}, "job `j`: `params.a[0]`: a value of type `set` cannot stand in a batch", "params.a[0]"),
        ({"params": {1: "x"}}, "job `j`: `params`: key `1` is not a text", "params"),
        ({"needs": [nothing]}, "job `j`: `needs[0]` is the function `nothing`, which is not a job of this batch", "needs[0]"),
        ({"env": {"F": 1}}, "job `j`: `env.F`: `F` must be a text, not the number 1", "env.F"),
        ({"max_parallel": 1}, "job `j`: `max_parallel` has no fan-out to bound", "max_parallel"),
    ],
)  # fmt: skip
def test_the_message_names_the_job_and_the_argument(options, message, path):
    error = refused(lambda: Batch("b").add("j", nothing, **options))
    assert (error.message, error.diagnostics[0].path) == (message, path)


@pytest.mark.parametrize(
    ("name", "what", "options", "message"),
    [
        ("a..b", nothing, {}, "`name` cannot be `a..b`"),
        (None, nothing, {}, "`name` must be a text, not null"),
        ("j", None, {}, "job `j` is missing `what`"),
        ("j", "", {}, "job `j`: `what` must be a function or the name of an action, not an empty text"),
        ("j", 5, {}, "job `j`: `what` must be a function or the name of an action, not the number 5"),
        ("j", nothing, {"run": "true"}, "job `j` has both `action` and `run`"),
        ("j", "count_lines", {}, "job `j` is missing `input` (action `count_lines` needs one)"),
    ],
)
def test_a_job_needs_a_name_and_something_to_do(name, what, options, message):
    assert refused(lambda: Batch("b").add(name, what, **options)).message == message


def test_a_command_needs_something_to_run():
    for run in (None, [], ""):
        assert refused(lambda run=run: Batch("b").command("j", run)).message == "job `j`: `run` must not be empty"


def test_a_callable_without_a_name_needs_one():
    import functools

    batch = Batch("b")
    nameless = functools.partial(print, "x")
    assert refused(lambda: batch.job(nameless)).message == "`name` must be a text, not null"
    batch.job("named")(nameless)
    assert [spec.name for spec in batch.jobs] == ["named"]


def test_a_name_belongs_to_one_job_and_a_refused_job_has_none():
    batch = Batch("b")
    assert (
        refused(lambda: batch.add("Fetch", nothing, timeout=0)).message
        == "job `Fetch`: `timeout` must be more than 0, got 0"
    )
    batch.add("other", nothing)
    batch.add("Fetch", nothing)
    assert refused(lambda: batch.add("Fetch", nothing)).message == "duplicate job name `Fetch`"
    assert refused(lambda: batch.add("fetch", nothing)).message == "job names `Fetch` and `fetch` differ only in case"
    assert [spec.name for spec in batch.jobs] == ["other", "Fetch"]


# --- what Python may say and a file cannot ------------------------------------------------------------


class Colour(enum.StrEnum):
    RED = "red"


class Count(int):
    def __str__(self):
        return "many"


def test_values_of_python_become_what_a_file_would_hold():
    batch = Batch("b", folder=Path(FOLDER), secrets={"TOKEN"}, limits=types.MappingProxyType({"db": 2}), timeout="2h")
    batch.add("first", nothing)
    batch.add(
        "j",
        anything,
        input=(Path("a"), "b"),
        params={"path": Path("x/y"), "day": dt.date(2026, 11, 20), "at": dt.time(8), "pair": (1, (2,)), "colour": Colour.RED, "count": Count(3)},
        needs=(name for name in [nothing, "first"]),
        outputs=[Path("out")],
        tags={"t"},
        cwd=Path("sub"),
        retry_only=iter(["exit"]),
        max_attempts=2,
        resources=collections.OrderedDict(db=1),
    )  # fmt: skip
    config = batch.config()
    assert config == Config(
        rules=RULES,
        name="b", folder=FOLDER, secrets=("TOKEN",), limits={"db": 2}, timeout_s=7200.0,
        jobs=[
            JobSpec(name="first", function=nothing),
            JobSpec(
                name="j", function=anything, input=["a", "b"], cwd="sub", outputs=("out",), tags=("t",), needs=("first", "first"),
                params={"path": "x/y", "day": "2026-11-20", "at": "08:00:00", "pair": [1, [2]], "colour": "red", "count": 3},
                retry=Retry(2, only=("exit",)), resources={"db": 1.0},
            ),
        ],
    )  # fmt: skip
    assert [type(value) for value in config.jobs[1].params.values()] == [str, str, str, list, str, int]
    reads_back(config)


def test_needs_may_be_one_name_or_one_function():
    batch = Batch("b")
    batch.add("a", nothing)
    batch.add("b", len, needs="a")
    batch.add("c", print, needs=nothing)
    assert [spec.needs for spec in batch.jobs] == [(), ("a",), ("a",)]


def test_items_of_python_stay_what_they_are_and_are_no_templates():
    batch = Batch("b")
    rows = ({"n": n, "text": "${{ env.HOME }}", 1: (n,)} for n in range(2))
    batch.add("j-${{ item.n }}", anything, params={"v": "${{ item.text }}", "l": "${{ item.1 }}"}, foreach=rows)
    assert batch.jobs[0].fan_out == FanOut(
        "rows", columns={"n": [0, 1], "text": ["${{ env.HOME }}"] * 2, "1": [[0], [1]]}
    )
    assert [batch.plan().spec(number).params for number in (0, 1)] == [
        {"v": "${{ env.HOME }}", "l": [0]},
        {"v": "${{ env.HOME }}", "l": [1]},
    ]
    error = refused(lambda: batch.command("k", "true", foreach=["fine", "a\0"]))
    assert error.message == "job `k`: `foreach`: item 2: a text holds a NUL (U+0000)"


def test_references_mean_what_they_mean_in_files(monkeypatch):
    monkeypatch.setenv("PLACE", "here")
    batch = Batch("b", folder=FOLDER, env={"OWN": "mine"}, secrets=["TOKEN"])
    batch.command("a", "true")
    batch.command(
        "b",
        "echo ${{ env.PLACE }} ${{ env.OWN }} ${{ jobs.a.result }}",
        needs=["a"],
        env={"X": "${{ batch.name }} ${{ run.id }}"},
    )
    made = batch.jobs[1]
    assert (shown_command(made), made.env, made.deferred) == (
        "echo here mine ${{ jobs.a.result }}",
        {"X": "b ${{ run.id }}"},
        True,
    )
    error = refused(lambda: batch.command("c", "echo ${{ env.TOKEN }}"))
    assert error.message == "job `c`: `run`: `TOKEN` is a secret and cannot be put into a text"


def test_a_text_that_shows_itself_as_another_is_not_taken_for_it():
    """What was found right is remembered by how it is shown."""

    class Posing:
        def __repr__(self):
            return "'5m'"

    batch = Batch("b")
    batch.command("a", "true", timeout="5m", tags=["t"])
    error = refused(lambda: batch.command("b", "true", timeout=Posing(), tags=["t"]))
    assert (
        error.message
        == "job `b`: `timeout` must be a duration such as `90s`, `5m` or `1h30m`, not a value of type `Posing`"
    )
    batch.command("c", "true", timeout="5m", tags=["t"])
    assert batch.jobs[1] == replace(batch.jobs[0], name="c")


def test_a_job_does_not_take_over_the_fields_of_another():
    """Texts of several lines have no short way, and must not share one either."""
    batch = Batch("b")
    batch.command("a", "true", description="one\ntwo", timeout="5m")
    batch.command("b", "true", description="three\nfour", timeout="9m")
    batch.command("c", "true", description="é\tx", timeout=1, tags=["t"])
    batch.command("d", "true", description="y\tz", timeout=2, tags=["u"])
    assert [(spec.description, spec.timeout_s, spec.tags) for spec in batch.jobs] == [
        ("one\ntwo", 300.0, ()),
        ("three\nfour", 540.0, ()),
        ("é\tx", 1.0, ("t",)),
        ("y\tz", 2.0, ("u",)),
    ]


def test_many_jobs_that_are_alike_are_read_as_the_first_one_was():
    """The short way comes to what the long way comes to, and refuses no less."""
    options = {
        "needs": ["first"],
        "timeout": "5m",
        "tags": ["t"],
        "env": {"A": "b"},
        "resources": {"cpu": 2},
        "once": True,
        "max_attempts": 2,
    }
    batch = Batch("b")
    batch.add("first", nothing)
    for number in range(3):
        batch.add(f"function{number}", print, params={"n": number, "s": "x"}, **options)
        batch.add(f"action{number}", "count_lines", input="x", params={"pattern": "x"}, **options)
        batch.command(f"words{number}", ["echo", "x"], **options)
    for number in range(2, 7):
        assert replace(batch.jobs[number + 3], name="") == replace(
            batch.jobs[number], name="", params=batch.jobs[number + 3].params
        )
    for params in (
        {"n": math.nan},
        {"n": 2**70},
        {"n": "\0"},
        {"n": "${{ x }}"},
        {"\0": 1},
        {1: 2},
        {"n": object()},
        [],
    ):
        refused(lambda params=params: batch.add("bad", print, params=params, **options))
        refused(lambda params=params: batch.add("bad", print, params=params))
    for params in ({"pattern": "\0"}, {"pattern": 1}, {"ptn": "x"}, {"pattern": "${{ x }}"}):
        refused(lambda params=params: batch.add("bad", "count_lines", input="x", params=params, **options))
    for run in (["echo", "\0"], ["echo", 1], ["echo", "${{ x }}"], "\ud800"):
        refused(lambda run=run: batch.command("bad", run, **options))
    assert len(batch) == 10


# --- actions that are registered later ----------------------------------------------------------------


@pytest.fixture
def later():
    yield lambda function: ACTIONS.action("calls.later")(function)
    ACTIONS.pop("calls.later", None)


def test_an_action_may_be_registered_after_its_job_was_added(later):
    batch = Batch("b")
    batch.add("j", "calls.later", params={"times": 2})
    assert batch.plan().spec(0).action == "calls.later"

    def action(*, times: int):
        return times

    later(action)
    assert batch.run(on="inline", state=False).jobs["j"].result == 2


def test_a_job_whose_action_became_known_is_checked_before_anything_runs(later):
    batch = Batch("b")
    batch.add("first", nothing)
    batch.add("j", "calls.later", params={"tims": 2})
    batch.plan()

    def action(*, times: int = 1):
        return times

    later(action)
    for _ in range(2):
        error = refused(batch.plan)
        assert error.message == "job `j`: `params.tims`: action `calls.later` has no parameter `tims`"
        assert error.hint == "did you mean `times`?"


def test_an_action_that_is_never_registered_is_dealt_with_when_the_run_starts():
    batch = Batch("b")
    batch.add("j", "calls.never", params={"a": [1]})
    batch.add("k", "calls.nevr")
    error = refused(lambda: batch.run(on="inline", state=False))
    assert [one.message for one in error.diagnostics] == ["unknown action `calls.never`", "unknown action `calls.nevr`"]
    skipped = batch.run(on="inline", state=False, skip_unknown_actions=True)
    assert [job.reason for job in skipped.jobs.values()] == ["unknown_action"] * 2


# --- what is recorded can be read back ------------------------------------------------------------------


def reads_back(config):
    """The plan as it is stored gives the same batch, functions aside."""
    again = decode(expand(config).encoded)
    jobs = [[replace(spec, function=None) for spec in made.jobs] for made in (config, again)]
    assert jobs[0] == jobs[1]
    assert replace(config, jobs=[]) == replace(again, jobs=[])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (Config(name="b", folder="/", jobs=[JobSpec(name="j", run="true", once="no")]), "`batch` cannot be stored: Expected `bool`, got `str` - at `$.jobs[0].once`"),
        (Config(name="b", folder="/", jobs=[JobSpec(name="j", function=nothing, params={"a": math.nan})]), "`batch` holds values that cannot be stored"),
        (Config(name="b", folder="/", jobs=[JobSpec(name="j", function=nothing, params={"a": object()})]), "`batch` holds values that cannot be stored"),
        (Config(name="b", folder="/", jobs=[JobSpec(name="j", function=nothing, params={"a": (1,)})]), "`batch` holds values that cannot be stored"),
        (Config(name="b", folder="/", jobs=5), "`batch` cannot be stored: Expected `array`, got `int` - at `$.jobs`"),
    ],
)  # fmt: skip
def test_a_batch_made_by_hand_that_cannot_be_read_back_is_not_run(config, message, tmp_path):
    error = refused(lambda: joblot.run(config, on="inline", state=tmp_path / "state"))
    assert (error.message, error.hint) == (message, "make it with `Batch`, or load it from a file")
    assert not (tmp_path / "state").exists()


def test_a_batch_made_by_hand_that_can_be_read_back_is_run():
    config = Config(name="b", folder="/", jobs=[JobSpec(name="j", function=nothing)])
    assert joblot.run(config, on="inline", state=False).ok


def test_a_name_that_is_set_afterwards_is_read_as_any_other():
    batch = Batch("b", limits={"db": 1})
    batch.name, batch.folder = "other", Path("/tmp")
    assert batch.config() == Config(name="other", rules=RULES, folder="/tmp", limits={"db": 1})
    batch.name = 5
    assert refused(batch.config).message == "`name` must be a text, not the number 5"


TEXTS = st.sampled_from(
    ["x", "a b", "é", "a\tb\n", "${{ run.id }}", "${{ env.HOME }}", "${{ x }}", '${{ "${{" }}', "", " ", "a\0", "\x7f"]
)
DURATIONS = st.sampled_from(["90s", "1h30m", 5, 0, 0.5, "0", "soon", -1, None, True, []])
NUMBERS = st.sampled_from([0, 1, 2, 5, -3, 1.0, 1.5, 10**7, 2**70, "1", None, True, []])
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**64), 2**64), st.floats(allow_nan=False, allow_infinity=False), TEXTS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
LISTS = st.one_of(TEXTS, st.lists(TEXTS, max_size=2), st.sampled_from([None, {}, ["a", []]]))
FIELDS = {
    "input": LISTS,
    "needs": st.sampled_from(["first", ["first"], ["f*"], ["other"], [], None, [[]], {}]),
    "when": st.sampled_from(["success", "failure", "always", "never", None, []]),
    "max_attempts": NUMBERS, "backoff": NUMBERS, "jitter": NUMBERS, "delay": DURATIONS.filter(lambda value: value is not None), "max_delay": DURATIONS,
    "retry_only": st.sampled_from(["exit", ["exit", "oom"], [], None, "late", [[]]]),
    "timeout": DURATIONS, "grace": DURATIONS, "priority": NUMBERS, "description": TEXTS, "cwd": TEXTS,
    "outputs": LISTS, "tags": LISTS, "once": st.sampled_from([True, False, None, "yes", 1]),
    "resources": st.dictionaries(st.sampled_from(["cpu", "memory", "db", "gpu", "x-own"]), NUMBERS, max_size=2),
    "env": st.dictionaries(st.sampled_from(["A", "B_1", "JOBLOT_A", "A=B", "", "x-own"]), TEXTS, max_size=2),
}  # fmt: skip
WORK = st.one_of(
    st.fixed_dictionaries({"run": LISTS}),
    st.fixed_dictionaries({"action": st.just("calls.unknown")}, optional={"params": st.dictionaries(TEXTS, VALUES, max_size=3)}),
    st.fixed_dictionaries({"action": st.just("search_pattern")}, optional={"params": st.sampled_from(
        [{"pattern": "x"}, {"pattern": ["x"]}, {"ptn": "x"}, {"pattern": "x", "ignore_case": True}, {}, None, []])}),
)  # fmt: skip
FAN_OUTS = st.sampled_from(
    [{}, {}, {}, {"foreach": ["a", "b"]}, {"foreach": [{"x": "a"}], "max_parallel": 1}, {"foreach": 5}, {"foreach": "${{ jobs.first.result }}"},
     {"matrix": {"a": ["x"], "b": ["y", "z"]}}, {"matrix": {}}, {"zip": {"a": ["x"], "b": []}}]
)  # fmt: skip
JOBS = st.builds(
    lambda name, work, fields, fan_out: {**name, **work, **fields, **fan_out},
    st.fixed_dictionaries({"name": st.sampled_from(["j", "j", "j", "a.b-c", "first", "FIRST", "con", "a..b", "x" * 101, None])}),
    WORK,
    st.fixed_dictionaries({}, optional=FIELDS).map(lambda fields: dict(list(fields.items())[:4])),
    FAN_OUTS,
)  # fmt: skip
BATCHES = st.fixed_dictionaries(
    {"limits": st.just({"db": 2})},
    optional={
        "name": TEXTS, "env": FIELDS["env"], "secrets": st.sampled_from(["TOKEN", ["A", "B"], ["A-B"], None, [[]]]), "fail_fast": FIELDS["once"],
        "max_failures": NUMBERS, "timeout": DURATIONS, "max_workers": NUMBERS, "durability": st.sampled_from(["normal", "full", "fast", None]),
        "seed": NUMBERS,
    },
).map(lambda fields: dict(list(fields.items())[:3]))  # fmt: skip


OF_THE_WHOLE = {"cycle", "duplicate_name", "needs", "output_conflict", "reference", "unknown_need"}
"""Codes of what is wrong between jobs, which a file is told of with all else."""


def leave_out(data, *names):
    """Arguments that are None when they are left out say nothing; a file may say `null` where it says nothing else."""
    return {name: value for name, value in data.items() if value is not None or name not in names}


@settings(max_examples=300, deadline=None)
@given(top=BATCHES, made=JOBS)
def test_calls_and_files_take_the_same_and_it_reads_back(top, made):
    top = leave_out(top, "max_failures", "max_workers", "timeout", "env", "seed")
    made = leave_out(made, "input", "timeout", "env", "resources", "params", "run", "cwd")
    wrong = problems(by_calls, top, [])
    assert wrong == problems(by_file, top, [])
    if wrong:
        return  # there is no batch to add to
    jobs = [{"name": "first", "run": "true"}, made]
    wrong, told = problems(by_calls, top, jobs), problems(by_file, top, jobs)
    if wrong:  # a call is refused for what is wrong in itself, before anything is known of the other jobs
        told = [one for one in told if one in wrong or one[0] not in OF_THE_WHOLE]
    assert wrong == told
    if not wrong:
        config, other = by_calls(top, jobs), by_file(top, jobs)
        specs = [replace(spec, place=None) for spec in other.jobs]
        assert config == replace(other, jobs=specs, digest="", name=config.name)
        try:
            expand(config)
        except ConfigError:
            return  # whether the jobs hang together is the plan's affair
        reads_back(config)
