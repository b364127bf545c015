"""What a batch may not say of its secrets."""

import json

import pytest

from joblot.config.load import load_text
from joblot.errors import ConfigError

CANARY = "CANARY-0123456789"
HINT = "a command finds it in its environment: write `$TOK`"


def load(batch, **variables):
    text = batch if isinstance(batch, str) else json.dumps({"secrets": ["TOK"], "jobs": [], **batch}, indent=1)
    return load_text(text, folder="/b", vars=variables, lookup=lambda name: None, names=list, unknown="warning")


def refused(batch, **variables):
    with pytest.raises(ConfigError) as caught:
        load(batch, **variables)
    shown = [found.render() for found in caught.value.diagnostics]
    assert [text for text in shown if "CANARY" in text] == []
    return [(found.message, found.hint) for found in caught.value.diagnostics]


@pytest.mark.parametrize(
    ("declared", "given"),
    [
        ("", CANARY), ("", f"Bearer {CANARY}"), ({"type": "int"}, CANARY), ({"enum": ["a", "b"]}, CANARY), ({"type": "list"}, f"a,{CANARY}"),
        ({"type": "list"}, f'["a", "{CANARY}"]'), ({"type": "list"}, f'["a", "\\u{ord(CANARY[0]):04x}{CANARY[1:]}"]'),
        ({"type": "path"}, f"/x/{CANARY}/y"), ({"pattern": "[a-z]+"}, CANARY), (CANARY, None), ({"default": ["a", CANARY]}, None),
        ({"default": CANARY, "pattern": "x"}, None),
    ],
)  # fmt: skip
def test_no_variable_holds_a_secret(declared, given, monkeypatch):
    """Its value stands in the plan and in texts; no message says it."""
    monkeypatch.setenv("TOK", CANARY)
    found = refused({"vars": {"t": declared}}, **({} if given is None else {"t": given}))
    assert found == [("variable `t` holds the value of the secret `TOK`", HINT)]


@pytest.mark.parametrize("place", ["batch", "defaults", "job"])
def test_the_values_that_the_batch_sets_count_too(place):
    env = {"env": {"TOK": CANARY}}
    parts = {"batch": env, "defaults": {"defaults": env}, "job": {"jobs": [{"name": "a", "run": "x", **env}]}}[place]
    assert refused({"vars": {"t": ""}, **parts}, t=CANARY) == [
        ("variable `t` holds the value of the secret `TOK`", HINT)
    ]
    jobs = [*parts.get("jobs", ()), {"name": "b${{ item }}", "run": "x", "foreach": ["a", CANARY]}]
    assert refused({**parts, "jobs": jobs}) == [("item 2 holds the value of the secret `TOK`", HINT)]


@pytest.mark.parametrize(
    "text",
    ["${{ vars.t }}", "a${{ vars.t }}b", "${{ item }}", "${{ jobs.a.result.t }}", "${{ run.id }}", "${{ env.OTHER }}"],
)
def test_no_secret_is_made_of_a_reference(text, monkeypatch):
    """What it stands for is stored with each run."""
    monkeypatch.setenv("OTHER", "other-value")
    job = {"name": "b${{ item }}", "run": "x", "foreach": [1], "env": {"TOK": text}}
    name = text.partition("{{ ")[2].partition(" }}")[0]
    message = f"the secret `TOK` cannot be made of `{name}`, which is stored with each run"
    assert refused({"vars": {"t": "v"}, "jobs": [job]}) == [
        (message, "set `TOK` in the environment that joblot is called with")
    ]


@pytest.mark.parametrize("field", ["env", "defaults"])
def test_nor_is_one_of_the_batch_or_of_its_defaults(field):
    env = {"TOK": "${{ vars.t }}"}
    ((message, _),) = refused({"vars": {"t": "v"}, field: env if field == "env" else {"env": env}})
    assert message == "the secret `TOK` cannot be made of `vars.t`, which is stored with each run"


def test_another_variable_with_its_value_cannot_be_put_into_a_text(monkeypatch):
    monkeypatch.setenv("TOK", CANARY)
    monkeypatch.setenv("COPY", f"x{CANARY}")
    ((message, hint),) = refused({"jobs": [{"name": "a", "run": "echo ${{ env.COPY }}"}]})
    assert (message, hint) == ("`env.COPY` holds the value of the secret `TOK`", HINT)


@pytest.mark.parametrize(
    "batch",
    [
        f"secrets: [TOK]\njobs: [{{name: a, retrys: 1, run: x, env: {{TOK: {CANARY}}}}}]",
        f"secrets: TOK\nenv: {{TOK: {CANARY}, 'b d': {CANARY}}}\njobs: []",
        f"secrets: [TOK]\nenv: {{TOK: '{CANARY}''x'}}\nname: [1, {CANARY}''x]\njobs: []",
        f"secrets: [TOK]\nenv:\n  TOK: |\n    BEGIN\n    {CANARY}\n  {CANARY}: [1]\njobs: []",
        f"secrets: [TOK]\njobs: [{{name: '{CANARY}!', run: x, env: {{TOK: {CANARY}}}}}]",
    ],
)  # fmt: skip
def test_no_error_shows_the_value_or_its_line(batch):
    assert refused(batch)


def test_short_values_other_names_and_parameters_are_nobodys_business(monkeypatch):
    monkeypatch.setenv("TOK", "abc")
    batch = {
        "vars": {"t": "abc"}, "env": {"OTHER": "${{ vars.t }}", "TOK": 'plain value ${{ "${{" }}'},
        "jobs": [{"name": "a", "run": "x", "env": {"X": "${{ run.id }}"}}, {"name": "b", "action": "z", "params": {"env": {"TOK": "${{ vars.t }}"}}}],
    }  # fmt: skip
    config, _ = load(batch)
    assert config.env == {"OTHER": "abc", "TOK": "plain value ${{"}
