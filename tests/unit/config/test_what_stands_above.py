"""Entries of `vars` and of `env` that refer to those above them."""

import json

import pytest

from joblot.config.load import load_text
from joblot.errors import ConfigError


def read(batch, **options):
    text = json.dumps({"jobs": [], **batch})
    return load_text(text, file="b.json", folder="/b", format="json", lookup={}.get, names=dict, **options)[0]


def problems(batch, **options):
    with pytest.raises(ConfigError) as caught:
        read(batch, **options)
    return [(found.path, found.message, found.hint) for found in caught.value.diagnostics]


@pytest.mark.parametrize(
    ("declared", "given", "values"),
    [
        ({"a": "x", "b": "${{ vars.a }}/y"}, {}, {"a": "x", "b": "x/y"}),
        ({"a": "x", "b": "${{ vars.a }}", "c": "${{ vars.b }}${{ vars.a }}"}, {}, {"a": "x", "b": "x", "c": "xx"}),
        ({"a": "x", "b": "${{ vars.a }}/y"}, {"a": "z"}, {"a": "z", "b": "z/y"}),
        ({"a": "x", "b": "${{ vars.a }}/y"}, {"b": "z"}, {"a": "x", "b": "z"}),
        ({"a": 5, "b": "${{ vars.a }}", "c": "n${{ vars.a }}"}, {}, {"a": 5, "b": 5, "c": "n5"}),
        ({"a": "x", "b": {"type": "string", "default": "${{ vars.a }}", "enum": ["x", "y"]}}, {}, {"a": "x", "b": "x"}),
        ({"a": {"type": "int", "required": True}, "b": {"default": "${{ vars.a }}", "min": "${{ vars.a }}"}}, {"a": "7"}, {"a": 7, "b": 7}),
        ({"a": ["p", "q"], "b": "${{ vars.a[1] }}", "c": ["${{ vars.a }}", "r"]}, {}, {"a": ["p", "q"], "b": "q", "c": [["p", "q"], "r"]}),
        ({"x-a": "${{ nonsense }}", "b": "${{ batch.folder }}", "c": "${{ vars.b }}"}, {}, {"b": "/b", "c": "/b"}),
        ({"a": '${{ "${{" }} vars.b }}', "b": "${{ vars.a }}"}, {}, {"a": "${{ vars.b }}", "b": "${{ vars.b }}"}),
    ],
)  # fmt: skip
def test_variables_of_those_above(declared, given, values):
    assert read({"vars": declared}, vars=given).vars == values


@pytest.mark.parametrize(
    ("declared", "found"),
    [
        ({"a": "${{ vars.b }}", "b": 1}, [("vars.a", "`vars.b` stands below `a`", "write `b` above it")]),
        ({"a": "${{ vars.a }}"}, [("vars.a", "`vars.a` refers to itself", "give it a value")]),
        ({"a": "${{ vars.b }}", "b": "${{ vars.a }}"}, [("vars.a", "`vars.a` and `vars.b` refer to each other", "give one of them a value")]),
        (
            {"a": "${{ vars.b }}", "b": "${{ vars.c }}", "c": "-${{ vars.a }}"},
            [("vars.a", "`vars.a` and `vars.b` refer to each other", "give one of them a value"), ("vars.b", "`vars.b` and `vars.c` refer to each other", "give one of them a value")],
        ),
        ({"a": {"default": "${{ vars.b }}"}, "b": 1}, [("vars.a.default", "`vars.b` stands below `a`", "write `b` above it")]),
        ({"a": ["${{ vars.b }}"], "b": "${{ nope"}, [("vars.a[0]", "`vars.b` stands below `a`", "write `b` above it"), ("vars.b", "`${{` has no closing `}}`", 'to write the characters themselves: `${{ "${{" }}`')]),
        ({"abc": 1, "b": "${{ vars.abd }}"}, [("vars.b", "no variable `abd`", "did you mean `abc`?")]),
        ({"a": {"type": "int", "default": "x"}, "b": "${{ vars.a }}"}, [("vars.a.default", "`default` must be a whole number, not the text `x`", "")]),
        ({"a": "${{ vars.b }}", "b": 1, "c": "${{ vars.a }}"}, [("vars.a", "`vars.b` stands below `a`", "write `b` above it")]),
        ({"a": "${{ env.OWN }}"}, [("vars.a", "`env.OWN` is set by the batch's `env`, which is read after `vars`", "`env` can refer to `vars`")]),
    ],
)  # fmt: skip
def test_variables_that_cannot_be_had(declared, found):
    """What follows from them is not told."""
    job = {"name": "x", "run": f"echo {' '.join('${{ vars.' + name + ' }}' for name in declared)}"}
    assert problems({"vars": declared, "env": {"OWN": "1"}, "jobs": [job]}) == found


@pytest.mark.parametrize("where", ["batch", "defaults", "job", "job that starts later", "job of a fan-out"])
@pytest.mark.parametrize(
    ("env", "values"),
    [
        ({"A": "/a", "B": "${{ env.A }}/b", "C": "${{ env.B }}/c"}, {"A": "/a", "B": "/a/b", "C": "/a/b/c"}),
        ({"OUTER": "in:${{ env.OUTER }}", "B": "${{ env.OUTER }}"}, {"OUTER": "in:out", "B": "in:out"}),
        ({"A": 5, "B": "${{ env.A }}"}, {"A": "5", "B": "5"}),
        ({"A": '${{ "${{" }}', "B": "${{ env.A }} x }}"}, {"A": "${{", "B": "${{ x }}"}),
        ({"A": "${{ vars.v }}", "B": "${{ env.A }}"}, {"A": "1", "B": "1"}),
    ],
)
def test_environments_of_what_stands_above(monkeypatch, where, env, values):
    monkeypatch.setenv("OUTER", "out")
    job = {"name": "x", "run": "true"}
    batch = {"vars": {"v": 1}, "jobs": [job]}
    if where == "batch":
        batch["env"] = env
    elif where == "defaults":
        batch["defaults"] = {"env": env}
    else:
        job["env"] = env
    if where == "job that starts later":
        job["run"] = "echo ${{ run.id }}"
    if where == "job of a fan-out":
        job["foreach"] = ["i"]
    config = read(batch)
    found = config.env if where == "batch" else config.jobs[0].env
    if where in ("job that starts later", "job of a fan-out"):
        from joblot.core.references import substitute

        found = substitute(found, {})
    assert found == values


@pytest.mark.parametrize(
    ("env", "found"),
    [
        ({"A": "${{ env.B }}", "B": "1"}, [("A", "`env.B` stands below `A`", "write `B` above it")]),
        ({"A": "${{ env.OUTER }}", "OUTER": "1"}, [("A", "`env.OUTER` stands below `A`", "write `OUTER` above it")]),
        ({"A": "${{ env.B }}", "B": "${{ env.A }}"}, [("A", "`env.A` and `env.B` refer to each other", "give one of them a value")]),
        ({"QZXJWV": "${{ env.QZXJWV }}"}, [("QZXJWV", "environment variable `QZXJWV` is not set", "")]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("where", ["env", "defaults.env", "jobs[0].env"])
def test_environments_that_cannot_be_had(monkeypatch, where, env, found):
    monkeypatch.setenv("OUTER", "out")
    job = {"name": "x", "run": "true"}
    batch = {"jobs": [job]}
    if where == "jobs[0].env":
        job["env"] = env
    else:
        batch |= {"env": env} if where == "env" else {"defaults": {"env": env}}
    assert problems(batch) == [(f"{where}.{name}", message, hint) for name, message, hint in found]


@pytest.mark.parametrize(
    ("value", "more"), [("${{ run.id }}", {}), ("-${{ item }}-", {"foreach": ["i"]}), ("${{ input }}", {"input": "in"})]
)
def test_what_is_not_known_yet_is_passed_on(value, more):
    job = {
        "name": "x",
        "run": "echo ${{ run.id }}",
        "env": {"A": value, "B": "<${{ env.A }}>", "C": "${{ env.B }}"},
        **more,
    }
    found = read({"jobs": [job]}).jobs[0].env
    assert (found["B"], found["C"]) == (f"<{found['A']}>", f"<{found['A']}>")
    assert found["A"] == (value if "input" not in more else "in")


def test_secrets_are_not_passed_on(monkeypatch):
    monkeypatch.setenv("TOKEN", "s3cret-value")
    env = {"TOKEN": "s3cret-value", "B": "${{ env.TOKEN }}"}
    hint = "a command finds it in its environment: write `$TOKEN`"
    for batch, path in (
        ({"env": env}, "env.B"),
        ({"jobs": [{"name": "x", "run": "true", "env": env}]}, "jobs[0].env.B"),
    ):
        ((at, message, told),) = problems({"secrets": ["TOKEN"], **batch})
        assert (at, message, told) == (path, "`TOKEN` is a secret and cannot be put into a text", hint)
    env = {"A": "s3cret-value", "B": "${{ env.A }}"}
    ((_, message, _),) = problems({"secrets": ["TOKEN"], "env": env})
    assert message == "`env.A` holds the value of the secret `TOKEN`"
