"""The list `finally` of a batch file, and its Python form."""

import pytest

from joblot import Batch, load
from joblot.config.load import load_text
from joblot.core.plan import expand
from joblot.errors import ConfigError
from messages.signatures import SIGNATURES

YAML = """
defaults: {retry: 2, when: failure, tags: [x]}
jobs:
  - {name: load, run: "true", when: always}
finally:
  - name: clean
    run: rm -rf scratch
  - name: mail
    run: mail
    needs: [clean]
    when: failure
    timeout: 1m
  - name: wait
    run: wait
    timeout:
"""
JSON = """{"defaults": {"retry": 2, "when": "failure", "tags": ["x"]},
"jobs": [{"name": "load", "run": "true", "when": "always"}],
"finally": [{"name": "clean", "run": "rm -rf scratch"},
 {"name": "mail", "run": "mail", "needs": ["clean"], "when": "failure", "timeout": "1m"},
 {"name": "wait", "run": "wait", "timeout": null}]}"""
TOML = """
defaults = {retry = 2, when = "failure", tags = ["x"]}
[[jobs]]
name = "load"
run = "true"
when = "always"
[[finally]]
name = "clean"
run = "rm -rf scratch"
[[finally]]
name = "mail"
run = "mail"
needs = ["clean"]
when = "failure"
timeout = "1m"
"""


def loaded(text, kind="yaml", **options):
    found = {"lookup": SIGNATURES.get, "names": lambda: SIGNATURES} | options
    return load_text(text, file=f"b.{kind}", folder="/b", format=kind, **found)[0]


@pytest.mark.parametrize(
    ("text", "kind", "lines"),
    [(YAML, "yaml", [4, 6, 8, 13]), (JSON, "json", [2, 3, 4, 5]), (TOML, "toml", [3, 7, 10])],
)
def test_its_jobs_are_like_others_with_defaults_of_their_own(text, kind, lines):
    jobs = loaded(text, kind).jobs
    assert [job.place.line for job in jobs] == lines
    found = [(job.name, job.finally_, job.when, job.timeout_s, job.retry.max_attempts, job.tags) for job in jobs]
    assert (
        found
        == [
            ("load", False, "always", None, 2, ("x",)),
            ("clean", True, "always", 600.0, 2, ("x",)),
            ("mail", True, "failure", 60.0, 2, ("x",)),
            ("wait", True, "always", None, 2, ("x",)),
        ][: len(jobs)]
    )


def test_a_timeout_of_the_defaults_is_theirs():
    jobs = loaded("defaults: {timeout: 2h}\njobs: []\nfinally: [{name: a, run: x}]").jobs
    assert [job.timeout_s for job in jobs] == [7200.0]


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("jobs: []\nfinally:", ["`finally` must be a list, not null"]),
        ("jobs: []\nfinally: mail", ["`finally` must be a list, not the text `mail`"]),
        ("finally: []", ["the batch is missing `jobs`"]),
        ("jobs: []\nfinally: [{run: x}]", ["finally[0] is missing `name`"]),
        ("jobs: []\nfinally: [{name: a}]", ["finally[0] is missing `action`"]),
        ("jobs: []\nfinally: [{name: a, run: x, env: {JOBLOT_STATUS: x}}]", ["`JOBLOT_STATUS` cannot be set"]),
        ("jobs: []\nfinally: [{name: a, run: x, outputs: b}]", ["a job of `finally` has no `outputs`"]),
        ("jobs: []\nfinally: [{name: a, run: x, finally: true}]", ["unknown field `finally` in job `a`"]),
        ("jobs: []\nfinally: [{name: a, run: x}, {name: A, run: x}]", ["job names `a` and `A` differ only in case (first on line 2)"]),
        ("jobs: []\nfinally: [{name: a, run: x, needs: [b]}]", ["job `a` needs unknown job `b`"]),
        ("jobs: []\nhandlers: []", ["unknown field `handlers` in the batch"]),
    ],
)  # fmt: skip
def test_what_is_wrong_with_it_is_told_where_it_stands(text, messages):
    with pytest.raises(ConfigError) as caught:
        expand(loaded(text))
    assert [one.message for one in caught.value.diagnostics] == messages


def test_one_for_each_item():
    plan = expand(loaded("jobs: []\nfinally: [{name: 'tell-${{ item }}', run: 'tell ${{ item }}', foreach: [a, b]}]"))
    assert [plan.name(job) for job in sorted(plan.finals)] == ["tell-a", "tell-b"]
    assert plan.spec(1).finally_


def test_a_secret_in_the_environment_of_one_is_a_secret(monkeypatch):
    monkeypatch.delenv("TOKEN", raising=False)
    with pytest.raises(ConfigError) as caught:
        loaded(
            "secrets: [TOKEN]\njobs: [{name: a, run: 'echo hush-hush-1', timeout: hush-hush-1}]\nfinally: [{name: b, run: x, env: {TOKEN: hush-hush-1}}]"
        )
    assert "hush" not in str(caught.value)


def test_the_python_form():
    batch = Batch()
    batch.command("load", "true")
    batch.command("clean", "true", finally_=True)
    batch.command("good", "true", finally_=True, when="success", timeout="1m")
    batch.command("bad", "true", finally_=True, when="failure", needs=["clean"])
    batch.command("plain", "true", timeout="1m", when="success")
    found = [(job.name, job.finally_, job.when, job.timeout_s) for job in batch.jobs]
    assert found == [
        ("load", False, "success", None),
        ("clean", True, "always", 600.0),
        ("good", True, "success", 60.0),
        ("bad", True, "failure", 600.0),
        ("plain", False, "success", 60.0),
    ]
    assert batch.plan().finals == {1, 2, 3}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"finally_": 1}, "job `a`: `finally_` must be `true` or `false`, not the number 1"),
        ({"finally_": True, "outputs": ["x"]}, "job `a`: a job of `finally` has no `outputs`"),
        ({"finally_": True, "when": "never"}, "job `a`: `when` must be one of `success`, `failure`, `always`, not `never`"),
    ],
)  # fmt: skip
def test_a_call_that_no_file_could_say_is_refused(options, message):
    with pytest.raises(ConfigError) as caught:
        Batch().command("a", "true", **options)
    assert str(caught.value) == message


def test_those_of_several_files_run_at_the_end_of_all(tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(
            "jobs: [{name: a, run: x}]\nfinally: [{name: b, run: 'echo ${{ jobs.a.result }}'}, {name: c, run: x, needs: [b]}]"
        )
    plan = expand(load([tmp_path / "one.yaml", tmp_path / "two.yaml"]))
    assert [[plan.name(job) for job in tier] for tier in plan.tiers] == [
        ["one.a", "two.a"],
        ["one.b", "two.b"],
        ["one.c", "two.c"],
    ]
    assert {
        plan.name(job): [plan.name(need) for need in used] for job in plan.finals if (used := plan.results_used(job))
    } == {
        "one.b": ["one.a"],
        "two.b": ["two.a"],
    }
