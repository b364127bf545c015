"""What `if` may say."""

import pytest

from joblot import Batch, load
from joblot.config.load import load_text
from joblot.core.plan import expand
from joblot.errors import ConfigError
from messages.signatures import SIGNATURES


def loaded(text, kind="yaml", **options):
    found = {"lookup": SIGNATURES.get, "names": lambda: SIGNATURES} | options
    return load_text(text, file=f"b.{kind}", folder="/b", format=kind, **found)[0]


def job(condition, more=""):
    return f"vars: {{on: true, off: {{type: bool, default: false}}, text: 'true', n: 1}}\njobs:\n  - {{name: a, run: x}}\n  - name: b\n    run: x\n    needs: [a]\n    if: {condition}\n{more}"


@pytest.mark.parametrize(
    ("condition", "value", "denied"),
    [
        ("true", True, False),
        ("false", False, False),
        ("${{ vars.on }}", True, False),
        ("${{ vars.off }}", False, False),
        ("not ${{ vars.on }}", False, False),
        ("'not   ${{ vars.off }} '", True, False),
        ("${{ jobs.a.result.changed }}", "${{ jobs.a.result.changed }}", False),
        ("not ${{ jobs.a.result }}", "${{ jobs.a.result }}", True),
    ],
)
def test_one_reference_or_not_and_one(condition, value, denied):
    spec = loaded(job(condition)).jobs[1]
    assert (spec.if_, spec.if_not) == (value, denied)
    assert spec.deferred == isinstance(value, str)


def test_a_variable_on_the_command_line():
    spec = loaded(job("${{ vars.off }}"), vars={"off": "true"}).jobs[1]
    assert spec.if_ is True


@pytest.mark.parametrize(
    ("condition", "message", "hint"),
    [
        ("yes", "`if` must be `true`, `false`, or one reference to a truth value, not the text `yes`", "such as `${{ vars.full }}`, or `not ${{ vars.full }}`"),
        ("'true'", "`if` must be `true`, `false`, or one reference to a truth value, not the text `true`", "such as `${{ vars.full }}`, or `not ${{ vars.full }}`"),
        ("1", "`if` must be `true` or `false`, not `1`", ""),
        ("[true]", "`if` must be `true` or `false`, not a list", ""),
        ("", "`if` must be `true` or `false`, not null", ""),
        ("vars.on", "`if` must be `true`, `false`, or one reference to a truth value, not the text `vars.on`", "such as `${{ vars.full }}`, or `not ${{ vars.full }}`"),
        ("${{ vars.text }}", "`if` must be `true` or `false`, and `vars.text` is the text `true`", "declare the variable: `text: {type: bool}`"),
        ("not ${{ vars.n }}", "`if` must be `true` or `false`, and `vars.n` is the number 1", "declare the variable: `n: {type: bool}`"),
        ("${{ env.HOME }}", "`if` must be `true` or `false`, and `env.HOME` is the text `/h`", "texts are not taken for one"),
        ("${{ run.id }}", "`if` must be `true` or `false`, and `run.id` is a text", "texts are not taken for one"),
        ("${{ batch.name }}", "`if` must be `true` or `false`, and `batch.name` is the text `b`", "texts are not taken for one"),
        ("${{ vars.on }} and ${{ vars.off }}", "`if` must be one reference, or `not` and one, and nothing else", "no expressions: let a job find it out, and refer to its result"),
        ("not not ${{ vars.on }}", "`if` must be one reference, or `not` and one, and nothing else", "no expressions: let a job find it out, and refer to its result"),
        ("not${{ vars.on }}", "`if` must be one reference, or `not` and one, and nothing else", "no expressions: let a job find it out, and refer to its result"),
        ("${{ vars.on == 1 }}", "`vars.on == 1` is not a reference", "only dotted names such as `vars.day` stand between `${{` and `}}`: no expressions"),
        ("${{ vars.of }}", "no variable `of`", "did you mean `off`?"),
        ("${{ jobs.c.result }}", "`jobs.c.result` is the result of a job that this one does not need", "add `c` to `needs`"),
        ("${{ item }}", "`item` stands for nothing here", "it has its meaning in a job with `foreach`"),
    ],
)  # fmt: skip
def test_all_else_is_refused(condition, message, hint, monkeypatch):
    monkeypatch.setenv("HOME", "/h")
    with pytest.raises(ConfigError) as caught:
        loaded(job(condition))
    assert [(one.message, one.hint) for one in caught.value.diagnostics] == [(message, hint)]
    assert caught.value.diagnostics[0].line == 7


@pytest.mark.parametrize(
    ("items", "condition", "message"),
    [
        ("foreach: [{n: a, on: true}, {n: b, on: 'no'}]", "${{ item.on }}", "`on` of item 2: `if` must be `true` or `false`, and `item.on` is the text `no`"),
        ("foreach: [true, 1]", "not ${{ item }}", "item 2: `if` must be `true` or `false`, and `item` is the text `1`"),
        ("matrix: {n: [1], on: [yes]}", "${{ matrix.on }}", "value 1 of `on`: `if` must be `true` or `false`, and `matrix.on` is the text `yes`"),
        ("zip: {n: [1, 2], on: [true, null]}", "${{ matrix.on }}", "`on` of item 2: `if` must be `true` or `false`, and `matrix.on` is null"),
        ("foreach: [{n: a, on: {x: true}}, {n: b, on: {x: 0}}]", "${{ item.on.x }}", "`on` of item 2: `if` must be `true` or `false`, and `item.on.x` is the text `0`"),
        ("foreach: [{n: a}]", "${{ item.on }}", "`item` has no `on`"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_item_is_told(items, condition, message):
    with pytest.raises(ConfigError) as caught:
        loaded(f"jobs:\n  - name: b\n    run: x\n    {items}\n    if: {condition}\n")
    assert [one.message for one in caught.value.diagnostics] == [message]


def test_items_decide_for_their_jobs():
    plan = expand(
        loaded("jobs: [{name: b, run: x, matrix: {n: [1, 2], on: [true, false]}, if: 'not ${{ matrix.on }}'}]")
    )
    assert [plan.condition(job, {}) for job in range(len(plan))] == [False, True, False, True]


def test_a_job_like_one_before_it_has_its_own():
    jobs = loaded(
        "jobs: [{name: a, run: x, if: true}, {name: b, run: x, if: false}, {name: c, run: x, if: true}, {name: d, run: x}]"
    ).jobs
    assert [job.if_ for job in jobs] == [True, False, True, True]


def test_the_python_form():
    batch = Batch()
    batch.command("a", "x", if_=False)
    batch.command("b", "x", needs=["a"], if_="not ${{ jobs.a.result.on }}")
    batch.command("c", "x", foreach=[{"n": 1, "on": True}], if_="${{ item.on }}")
    assert [(job.if_, job.if_not) for job in batch.jobs] == [
        (False, False),
        ("${{ jobs.a.result.on }}", True),
        ("${{ item.on }}", False),
    ]
    with pytest.raises(ConfigError) as caught:
        batch.command("d", "x", if_="yes")
    assert (
        str(caught.value)
        == "job `d`: `if_` must be `true`, `false`, or one reference to a truth value, not the text `yes`"
    )


def test_of_several_files_each_asks_its_own(tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(
            "jobs: [{name: a, run: x}, {name: b, run: x, needs: [a], if: 'not ${{ jobs.a.result }}'}]"
        )
    plan = expand(load([tmp_path / "one.yaml", tmp_path / "two.yaml"]))
    assert [(plan.name(job), plan.spec(job).if_) for job in (1, 3)] == [
        ("one.b", "${{ jobs.one.a.result }}"),
        ("two.b", "${{ jobs.two.a.result }}"),
    ]
    assert plan.condition(1, {0: b"false"}) is True
