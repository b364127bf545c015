"""`concurrency` in batch files and in Python: what it becomes, and what is said of wrong ones."""

import json

import pytest

from joblot import ACTIONS, Batch, ConfigError
from joblot.config.load import decode, load_text
from joblot.config.several import load_several
from joblot.core.model import Concurrency
from joblot.core.plan import expand

KNOWN = {"lookup": ACTIONS.signature, "names": ACTIONS.names}


def read(value, **options):
    text = json.dumps({"vars": {"base": "main"}, "concurrency": value, "jobs": []})
    return load_text(text, folder="/", format="json", **KNOWN, **options)[0].concurrency


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({}, Concurrency()),
        ({"group": "db"}, Concurrency("db")),
        ({"on_conflict": "wait"}, Concurrency("", "wait")),
        ({"group": "db-${{ vars.base }}", "on_conflict": "skip"}, Concurrency("db-main", "skip")),
        ({"group": "a group with blanks", "x-why": "because"}, Concurrency("a group with blanks")),
    ],
)
def test_what_is_written_is_what_is_meant(value, expected):
    assert read(value) == expected
    written = {name: item for name, item in value.items() if not str(item).count("$") and not name.startswith("x-")}
    config = Batch("b", folder="/", concurrency=written).config()
    assert config.concurrency == Concurrency(**written)
    assert decode(expand(config).encoded).concurrency == Concurrency(**written)


WRONG = [
    ("db", "`concurrency` must be a mapping, not the text `db`", "write `concurrency: {group: db}`"),
    (4, "`concurrency` must be a mapping, not the number 4", "how many jobs run at a time is `max_workers: 4`"),
    (True, "`concurrency` must be a mapping, not `true`", ""),
    (["db"], "`concurrency` must be a mapping, not a list", ""),
    (None, "`concurrency` must be a mapping, not null", ""),
    ({"group": ""}, "`group` must not be empty", ""),
    ({"group": 3}, "`group` must be a text, not the number 3", "put it in quotes"),
    ({"on_conflict": "cancel"}, "`on_conflict` must be one of `fail`, `wait`, `skip`, not `cancel`", ""),
    (
        {"on_conflict": "wiat"},
        "`on_conflict` must be one of `fail`, `wait`, `skip`, not `wiat`",
        "did you mean `wait`?",
    ),
    (
        {"cancel-in-progress": True},
        "unknown field `cancel-in-progress` in `concurrency`",
        "known are `group`, `on_conflict`; begin your own with `x-`",
    ),
]


@pytest.mark.parametrize(("value", "message", "hint"), WRONG)
def test_what_is_wrong_is_told(value, message, hint):
    in_python = [lambda: Batch("b", concurrency=value)] * (value is not None)  # where None means that nothing is said
    for make in [lambda: read(value), *in_python]:
        with pytest.raises(ConfigError) as error:
            make()
        assert [(one.message, one.hint) for one in error.value.diagnostics] == [(message, hint)]


def test_files_that_are_run_together_agree(tmp_path):
    (tmp_path / "a.yaml").write_text("concurrency: {group: db}\njobs: []\n")
    (tmp_path / "b.yaml").write_text("jobs: []\n")
    (tmp_path / "c.yaml").write_text("concurrency: {group: db, on_conflict: fail}\njobs: []\n")
    config, _ = load_several([tmp_path / "a.yaml", tmp_path / "c.yaml"], vars={}, **KNOWN)
    assert config.concurrency == Concurrency("db")
    with pytest.raises(ConfigError) as error:
        load_several([tmp_path / "a.yaml", tmp_path / "b.yaml"], vars={}, **KNOWN)
    (problem,) = error.value.diagnostics
    assert problem.message == (
        f"`concurrency` is not set here and `{{group: db, on_conflict: fail}}` in `{tmp_path / 'a.yaml'}`,"
        " which is to be run together with it"
    )
