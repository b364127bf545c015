"""What a job may say, and what becomes of it."""

from __future__ import annotations

import json
import subprocess

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from joblot.actions.registry import ACTIONS
from joblot.config.load import load_text
from joblot.core.model import Limit, Retry
from joblot.core.provenance import shown_command
from joblot.core.references import substitute
from joblot.errors import ConfigError
from joblot.executors.command import filled_call
from messages.signatures import SIGNATURES


def job_of(read, fields: str, top: str = "", **options):
    return read(f"{top}\njobs:\n  - name: a\n    {fields}\n", **options).jobs[0]


@pytest.mark.parametrize(
    ("fields", "name", "value"),
    [
        ("run: make", "run", "make"), ("run: [ls, 5, true]", "run", ["ls", "5", "true"]), ("run: 6920", "run", "6920"),
        ("run: x\n    input: [a, b]", "input", ["a", "b"]), ("run: x\n    input:", "input", None),
        ("run: x\n    needs: fetch", "needs", ("fetch",)), ("run: x\n    needs: [b, c-*]", "needs", ("b", "c-*")), ("run: x\n    needs:", "needs", ()),
        ("run: x\n    retry: 3", "retry", Retry(max_attempts=3)),
        ("run: x\n    retry: {max_attempts: 3, delay: 1m, backoff: 1.5, max_delay: 1h, jitter: 0.1, only: exit}", "retry", Retry(3, 60.0, 1.5, 3600.0, 0.1, ("exit",))),
        ("run: x\n    timeout: 90", "timeout_s", 90.0), ("run: x\n    timeout: 1h30m", "timeout_s", 5400.0), ("run: x\n    timeout: 250ms", "timeout_s", 0.25),
        ("run: x\n    timeout:", "timeout_s", None), ("run: x\n    grace: 0", "grace_s", 0.0), ("run: x\n    when: failure", "when", "failure"),
        ("run: x\n    resources: {cpu: 0.5, memory: 2GiB}", "resources", {"cpu": 0.5, "memory": float(2 << 30)}),
        ("run: x\n    env: {A: 01, B: 1.10, C: yes, D: true, E: 5}", "env", {"A": "01", "B": "1.10", "C": "yes", "D": "true", "E": "5"}),
        ("run: x\n    cwd: sub", "cwd", "sub"), ("run: x\n    once: true", "once", True), ("run: x\n    tags: slow", "tags", ("slow",)),
        ("run: x\n    priority: -5", "priority", -5), ("run: x\n    description: 1:30", "description", "1:30"), ("run: x\n    outputs: out.csv", "outputs", ("out.csv",)),
        ("run: x\n    x-note: {anything: [1]}", "run", "x"), ("action: notify\n    params: {a: 1.5, b: [x]}", "params", {"a": 1.5, "b": ["x"]}),
        ("action: notify\n    params:", "params", {}),
    ],
)  # fmt: skip
def test_fields(read, fields, name, value):
    assert getattr(job_of(read, fields), name) == value


def test_own_keys_are_passed_over_everywhere(read):
    config = read(
        "x-a: 1\nvars: {x-b: {}}\nenv: {x-c: []}\nlimits: {x-d: no}\ndefaults: {x-e: 1}\n"
        "jobs: [{name: a, run: x, x-f: 1, retry: {x-g: 1}, resources: {x-h: 1}, env: {x-i: 1}}]\n"
    )
    assert config.jobs[0].env == {}
    assert config.vars == {}


def test_defaults_are_merged_once(read):
    top = "defaults: {timeout: 5, grace: 1, retry: {max_attempts: 3, delay: 2}, env: {A: 1, B: 2}, resources: {cpu: 2}, tags: [t], priority: 1}"
    plain = job_of(read, "run: x", top)
    assert (plain.timeout_s, plain.grace_s, plain.retry, plain.env) == (5.0, 1.0, Retry(3, 2.0), {"A": "1", "B": "2"})
    assert (plain.resources, plain.tags, plain.priority) == ({"cpu": 2.0}, ("t",), 1)
    own = job_of(read, "run: x\n    timeout:\n    retry: 5\n    env: {B: 3}\n    resources: {memory: 1}", top)
    assert (own.timeout_s, own.retry, own.env) == (None, Retry(5, 2.0), {"A": "1", "B": "3"})
    assert own.resources == {"cpu": 2.0, "memory": 1.0}


@pytest.mark.parametrize(
    ("written", "limit"),
    [
        ("2", 2), ("{count: 2}", 2), ("{count: 2, across: run, x-note: why}", 2), ("{slots: [0, 1]}", Limit(2, (0, 1))),
        ("{slots: [GPU-8932f937, /dev/ttyS0, 007, '8'], across: run}", Limit(4, ("GPU-8932f937", "/dev/ttyS0", "007", "8"))),
        ("{slots: '${{ vars.cards }}'}", Limit(3, (0, 1, "b"))), ("{count: '${{ vars.many }}'}", 5),
    ],
)  # fmt: skip
def test_limits(read, written, limit):
    assert read(f"vars: {{cards: [0, 1, b], many: 5}}\nlimits: {{gpu: {written}}}\njobs: []\n").limits == {"gpu": limit}


def test_what_has_slots_is_held_whole(read, errors):
    top = "limits: {gpu: {slots: [0, 1, 2]}}"
    assert job_of(read, "run: x\n    resources: {gpu: 2}", top).resources == {"gpu": 2.0}
    (found,) = errors(f"{top}\njobs: [{{name: a, run: x, resources: {{gpu: 0.5}}}}]\n")
    assert found.message == "`gpu` must be a whole number, got 0.5"
    (found,) = errors(f"{top}\njobs: [{{name: a, run: x, resources: {{gpu: 4}}}}]\n")
    assert found.message == "`gpu` must be at most 3, which is the batch's limit, got 4"


@pytest.mark.parametrize("attempts", [0, -1])
def test_r104_r105_attempts_are_at_least_one(errors, attempts):
    """R104, R105: a validation error, not a crash."""
    (found,) = errors(f"jobs:\n  - name: a\n    run: x\n    retry: {{max_attempts: {attempts}}}\n")
    assert found.head() == f"batch.yaml:4:27: error: `max_attempts` must be at least 1, got {attempts}"
    assert found.path == "jobs[0].retry.max_attempts"


@pytest.mark.parametrize(
    ("job", "message"),
    [
        ({"name": "a", "action": "count_lines"}, "jobs[0] is missing `input` (action `count_lines` needs one)"),
        ({"action": "count_lines", "input": "x"}, "jobs[0] is missing `name`"),
        ({"name": "a", "input": "x"}, "jobs[0] is missing `action`"),
    ],
)
def test_r18_missing_key_and_job_index_are_named(errors, job, message):
    """R18."""
    assert [found.message for found in errors(json.dumps({"jobs": [job]}), "json")] == [message]


# --- names ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "A1", "0", "a.b-c_d", "x" * 100, "con1", "naf_4329A", "console"])
def test_good_names(read_data, name):
    assert read_data({"jobs": [{"name": name, "run": "x"}]}).jobs[0].name == name


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", "../x", "a/b", "a\\b", "a..b", "a.", "-a", "_a", ".a", "a b", "x" * 101, "con", "NUL.txt", "Com1", "a\n", "a\u202eb",
        "é", "ａ", "а", "a\u0301", "a:b", "a*", "~", "$x", "\u200ba", "link/../x",
    ],
)  # fmt: skip
def test_i8_i9_names_that_could_lead_astray_are_refused(errors, name):
    """I8, I9: no paths, no look-alikes, no direction marks, nothing that another system cannot store."""
    found = errors(json.dumps({"jobs": [{"name": name, "run": "x"}]}), "json")
    assert [item.path for item in found] == ["jobs[0].name"]


def test_i9_names_equal_but_for_case_are_one_name(errors):
    """I9."""
    (found,) = errors("jobs:\n  - {name: Fetch, run: x}\n  - {name: b, run: x}\n  - {name: fetch, run: x}\n")
    assert found.message == "job names `Fetch` and `fetch` differ only in case (first on line 2)"
    assert (found.line, found.column) == (4, 12)


# --- references -------------------------------------------------------------------------------------


def test_references_known_now_are_filled_in(read, monkeypatch):
    monkeypatch.setenv("HOST", "h")
    config = read("""
        name: nightly-${{ vars.n }}
        vars: {n: 3, t: 5m, codes: [a, b], on: true}
        env: {A: "${{ vars.n }}-${{ env.HOST }}"}
        max_workers: ${{ vars.n }}
        defaults: {timeout: "${{ vars.t }}"}
        limits: {db: "${{ vars.n }}"}
        jobs:
          - name: j-${{ vars.n }}
            action: build
            input: ${{ batch.folder }}/x
            params: {codes: "${{ vars.codes }}", top: "${{ vars.n }}", output: "o/${{ vars.n }}"}
            env: {B: "${{ env.A }}", C: "${{ batch.name }}"}
            once: ${{ vars.on }}
            outputs: ["${{ vars.n }}.csv"]
            resources: {db: "${{ vars.n }}"}
    """)
    job = config.jobs[0]
    assert (config.name, config.env, config.max_workers, config.limits) == ("nightly-3", {"A": "3-h"}, 3, {"db": 3})
    assert (job.name, job.input, job.timeout_s, job.once, job.outputs) == ("j-3", "/batches/x", 300.0, True, ("3.csv",))
    assert job.params == {"codes": ["a", "b"], "top": 3, "output": "o/3"}
    assert job.env == {"B": "3-h", "C": "nightly-3"}
    assert job.deferred is False


EVIL = {"evil": "${{ run.id }}"}


def test_references_known_later_stay(read):
    job = read(
        """
        vars: {evil: x, n: 3}
        jobs:
          - {name: fetch, run: x}
          - name: j
            action: build
            params: {codes: ["${{ jobs.fetch.result.code }}", "${{ vars.evil }}"], top: "${{ jobs.fetch.result.n }}"}
            input: in-${{ run.id }}
            env: {A: "${{ vars.n }}"}
            needs: [fe*]
        """,
        vars=EVIL,
    ).jobs[1]
    assert job.deferred is True
    assert job.env == {"A": "3"}
    scope = {"run": {"id": "R"}, "jobs": {"fetch": {"result": {"code": "6920Z", "n": 7}}}}
    assert substitute(job.params, scope) == {"codes": ["6920Z", "${{ run.id }}"], "top": 7}
    assert substitute(job.input, scope) == "in-R"


def test_i10_value_with_a_reference_in_it_stays_a_text(read):
    """I10: single pass, at load as well."""
    job = job_of(read, "run: echo ${{ vars.evil }}\n    cwd: ${{ vars.evil }}", "vars: {evil: x}", vars=EVIL)
    assert shown_command(job) == "echo '${{ run.id }}'"
    assert job.cwd == "${{ run.id }}"
    assert job.deferred is False


def test_i10_default_environment_of_a_job_that_is_filled_in_later(read):
    """I10."""
    top = "vars: {evil: x}\ndefaults: {env: {A: '${{ vars.evil }}'}}"
    job = job_of(read, "run: echo ${{ run.id }}", top, vars=EVIL)
    assert substitute(job.env, {"run": {"id": "R"}}) == {"A": "${{ run.id }}"}


def test_i11_command_keeps_hostile_values_as_words(read):
    """I11: at load and at start, through a real shell."""
    evil = '\'; echo "$HOME" `id` $(id) \\ #\n*'
    job = read(
        json.dumps({"vars": {"e": evil}, "jobs": [{"name": "a", "run": "printf '%s|' ${{ vars.e }} ${{ run.id }}"}]}),
        "json",
    ).jobs[0]
    done = subprocess.run(filled_call(job.run, {**job.given, "run.id": evil}).argv(), capture_output=True, check=True)
    assert done.stdout.decode() == f"{evil}|{evil}|"


@pytest.mark.parametrize("value", ["..", "../x", "a/../b", "a/..", "..\\x"])
@pytest.mark.parametrize("field", ["outputs", "cwd"])
def test_i8_value_in_a_path_cannot_lead_out(errors, field, value):
    """I8."""
    job = {"name": "a", "run": "x", field: "out/${{ vars.v }}"}
    (found,) = errors(json.dumps({"vars": {"v": value}, "jobs": [job]}), "json")
    assert found.message == "`vars.v` cannot be part of a path: it holds `..`"


@pytest.mark.parametrize("field", ["outputs", "cwd", "input", "run", "description"])
def test_i8_nul_is_refused_everywhere(errors, field):
    """I8, I6."""
    (found,) = errors(json.dumps({"jobs": [{"name": "a", "run": "x", field: "a\0b"}]}), "json")
    assert found.message == "a text holds a NUL (U+0000)"


def test_environment_variable_that_is_not_set(errors, monkeypatch):
    monkeypatch.delenv("NOT_THERE", raising=False)
    (found,) = errors("jobs: [{name: a, run: 'echo ${{ env.NOT_THERE }}'}]\n")
    assert found.message == "environment variable `NOT_THERE` is not set"


def test_i6_environment_variable_with_odd_bytes(errors, monkeypatch):
    """I6."""
    monkeypatch.setenv("ODD", "a\udcffb")
    (found,) = errors("jobs: [{name: a, run: 'echo ${{ env.ODD }}'}]\n")
    assert found.message == "`env.ODD` cannot be used: a text holds half of a surrogate pair (U+DCFF)"


def test_secret_is_never_put_into_a_text(errors):
    (found,) = errors("secrets: [T]\njobs: [{name: a, run: x, env: {A: '${{ env.T }}'}}]\n")
    assert found.message == "`T` is a secret and cannot be put into a text"


@pytest.mark.parametrize(
    ("top", "message"),
    [
        ("env: {A: '${{ run.id }}'}", "`run.id` is known only when a job starts"),
        ("defaults: {env: {A: '${{ run.id }}'}}", "`run.id` is known only when a job starts"),
        ("name: ${{ batch.name }}", "`batch` has no `name` (in `batch.name`)"),
        ("timeout: ${{ vars.x }}", "no variable `x`"),
    ],
)
def test_references_out_of_place(errors, top, message):
    assert [found.message for found in errors(f"{top}\njobs: []\n")] == [message]


def test_aliases_in_yaml_may_be_shared_by_jobs(read):
    config = read(
        "x-r: &r {max_attempts: 3}\njobs:\n  - {name: a, run: x, retry: *r}\n  - {name: b, run: x, retry: *r}\n"
    )
    assert [job.retry.max_attempts for job in config.jobs] == [3, 3]


def test_mistake_behind_an_alias_is_shown_at_the_alias(errors):
    (found,) = errors("x-r: &r {max_attempts: 0}\njobs:\n  - {name: a, run: x, retry: *r}\n")
    assert (found.line, found.column, found.path) == (3, 30, "jobs[0].retry.max_attempts")


def test_actions_are_looked_up_once():
    asked = []

    def lookup(name):
        asked.append(name)
        return SIGNATURES.get(name)

    jobs = [
        {"name": f"j{number}", "action": action, "input": "x"}
        for number, action in enumerate(["count_lines", "nope"] * 20)
    ]
    load_text(
        json.dumps({"jobs": jobs}),
        format="json",
        folder="/x",
        lookup=lookup,
        names=lambda: SIGNATURES,
        unknown="warning",
    )
    assert sorted(asked) == ["count_lines", "nope"]


# --- the short way ----------------------------------------------------------------------------------

VALUES = st.sampled_from(
    [
        "x",
        "",
        " ",
        "${{ vars.v }}",
        "${{ run.id }}",
        "${{",
        5,
        -1,
        1.5,
        True,
        None,
        10**30,
        float("inf"),
        [],
        ["a"],
        ["a", 1],
        {},
        {"a": 1},
    ]
)
PARAMS = st.dictionaries(
    st.sampled_from(["pattern", "ignore_case", "top", "share", "codes", "other"]), VALUES, max_size=3
)
FIELDS = {
    "name": st.one_of(st.sampled_from(["a", "b", "A", "a.", "con", "c-1"]), VALUES),
    "action": st.one_of(st.sampled_from(sorted(SIGNATURES)), st.sampled_from(["nope"]), VALUES),
    "run": VALUES,
    "input": st.one_of(st.just("x"), VALUES),
    "params": st.one_of(PARAMS, VALUES),
    "needs": st.one_of(st.just(["a"]), VALUES),
    "outputs": VALUES,
    "timeout": st.sampled_from([5, "5m", None, 0, "x", True, 1.5, float("nan")]),
    "retry": st.sampled_from([3, {"max_attempts": 2}, {"max_attempts": True}, 0, "x", {}]),
    "resources": st.sampled_from([{"cpu": 1}, {"db": 1}, {"db": 2}, {"db": 9}, None]),
    "env": st.sampled_from([{"A": "1"}, {"A": 1}, {"A": True}, {"A": "${{ vars.v }}"}]),
    "when": st.sampled_from(["always", "x"]),
    "other": st.just(1),
}
GOOD = [
    {"action": "count_lines", "input": "x", "params": {"pattern": "x"}},
    {"action": "count_lines", "input": "x"},
    {"action": "search_pattern", "input": "x", "params": {"pattern": "x", "ignore_case": True}, "needs": ["a"]},
    {"action": "build", "params": {"codes": ["a"], "top": 3}, "timeout": "5m"},
    {"action": "notify", "params": {"a": 1.5, "b": "x"}},
    {"run": "make", "needs": ["a", "b-*"], "outputs": ["x"]},
    {
        "run": "make",
        "retry": {"max_attempts": 3, "delay": 2},
        "timeout": 5,
        "resources": {"cpu": 1, "db": 2},
        "env": {"A": "1"},
    },
]
CHANGES = st.one_of(
    st.just({}),
    st.just({}),
    st.just({}),
    st.fixed_dictionaries({}, optional=FIELDS).map(lambda job: dict([*job.items()][:1])),
)
JOBS = st.lists(st.tuples(st.sampled_from(GOOD), CHANGES).map(lambda pair: {**pair[0], **pair[1]}), max_size=6)
DEFAULTS = st.sampled_from([{}, {"timeout": 7, "env": {"B": "2"}}, {"retry": {"delay": 1}}, {"resources": {"cpu": 2}}])


def outcome(data: dict):
    try:
        config, warnings = load_text(
            json.dumps(data), format="json", folder="/x", lookup=SIGNATURES.get, names=lambda: SIGNATURES
        )
    except ConfigError as error:
        return [(found.path, found.message, found.hint) for found in error.diagnostics]
    jobs = [{name: getattr(job, name) for name in job.__struct_fields__ if name != "place"} for job in config.jobs]
    return jobs, [(found.path, found.message) for found in warnings]


CIRCLE = [
    {"run": "make", "needs": ["a"], "outputs": ["x"]},
    {"name": "a", "action": "count_lines", "input": "x", "params": {"pattern": "x"}},
]
"""With a name that stands twice: a cycle through a file that a job which is wrong reads."""


@given(JOBS, DEFAULTS)
@example(CIRCLE, {})
@example([CIRCLE[0], {**CIRCLE[1], "input": "[x]"}], {})
@example([CIRCLE[0], {**CIRCLE[1], "input": "*"}], {})
def test_the_short_way_and_the_careful_way_come_to_the_same(jobs, defaults):
    """An escape anywhere in the text turns the short way off."""
    twice = [{"name": f"j{number}", **job} for number, job in enumerate([*jobs, *jobs])]
    data = {"vars": {"v": "w"}, "limits": {"db": 2}, "defaults": defaults, "jobs": twice}
    assert repr(outcome(data)) == repr(outcome({**data, "description": "\u00e9"}))


# --- values that would be code ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("job", "message", "hint"),
    [
        ("action: shell, params: {command: 'echo ${{ vars.x }}'}", "`vars.x` would become code in `command`", "write `run` in place of `action`: there a value is never code"),
        ("action: shell, params: {command: '${{ run.id }}'}", "`run.id` would become code in `command`", "write `run` in place of `action`: there a value is never code"),
        ("action: python, params: {code: 'print(${{ vars.x }})'}", "`vars.x` would become code in `code`", "pass it in `args`, which the code finds in `sys.argv`"),
    ],
)  # fmt: skip
def test_a_value_never_becomes_a_program(job, message, hint):
    with pytest.raises(ConfigError) as caught:
        load_text(
            f"vars: {{x: 1}}\njobs: [{{name: a, {job}}}]\n", folder="/b", lookup=ACTIONS.signature, names=ACTIONS.names
        )
    assert [(one.message, one.hint) for one in caught.value.diagnostics] == [(message, hint)]


@pytest.mark.parametrize("run", ["sh -c 'echo ${{ vars.x }}'", "[sh, -c, 'echo ${{ vars.x }}']"])
def test_a_value_in_the_program_text_of_another_program_gets_a_warning(run):
    text = f"vars: {{x: 1}}\njobs:\n  - name: a\n    run: {run}\n"
    _, found = load_text(text, folder="/b", lookup=ACTIONS.signature, names=ACTIONS.names)
    message = "`vars.x` stands in the program text of `sh -c`, which runs its value as code"
    assert [(one.code, one.message, one.line) for one in found] == [("program", message, 4)]
    assert found[0].hint == "pass it as an argument, or through `env`"


def test_the_command_of_a_foreach_gets_values_that_are_no_code(tmp_path):
    command = """printf '%s\\n' ${{ vars.x }} "<${{ vars.x }}>\""""
    text = f"vars: {{x: $(touch PWN) *}}\njobs:\n  - name: a\n    run: x\n    foreach:\n      command: {command}\n"
    config, warnings = load_text(text, folder=tmp_path, lookup=ACTIONS.signature, names=ACTIONS.names)
    assert config.jobs[0].fan_out.columns == {"": ["$(touch PWN) *", "<$(touch PWN) *>"]}
    assert (warnings, list(tmp_path.iterdir())) == ([], [])


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("ls `${{ vars.x }}`", "`vars.x` stands in backquotes, where its value is not safe"),
        ("seq $(( ${{ vars.x }} ))", "`vars.x` stands in `$(( ))`, which the shell evaluates: only an integer can be put in, not `a b`"),
    ],
)  # fmt: skip
def test_a_command_of_a_foreach_that_cannot_be(command, message, tmp_path):
    text = f"vars: {{x: a b}}\njobs:\n  - {{name: a, run: x, foreach: {{command: '{command}'}}}}\n"
    with pytest.raises(ConfigError) as caught:
        load_text(text, folder=tmp_path, lookup=ACTIONS.signature, names=ACTIONS.names)
    assert [one.message for one in caught.value.diagnostics] == [message]


@pytest.mark.parametrize(
    ("job", "told"),
    [
        ({"needs": ["b-*"]}, 3),
        ({"needs": ["b"]}, 3),
        ({"outputs": ["x"]}, 2),
        ({"needs": ["b"], "outputs": ["x"]}, 5),
        ({}, 0),
    ],
)
def test_of_a_job_whose_name_stands_twice_all_is_told_by_both_ways(job, told):
    """Or its needs and outputs would come in a second round, and in one way of reading only."""
    data = {"jobs": [{"name": name, "run": "make", **job} for name in ("a", "a", "A")]}
    found = outcome(data)
    assert found == outcome({**data, "description": "\u00e9"})
    names = [message for _, message, _ in found if "duplicate" in message or "only in case" in message]
    assert (len(names), len(found) - len(names)) == (2, told), found
