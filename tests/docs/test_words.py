"""What the code can say is explained in the pages: codes, reasons, states, variables, exit codes, keys of JSON."""

import ast
import json
import re

import click
import pytest

from command_server import server
from docs.pages import ROOT, first_cells, section, text
from joblot import errors
from joblot.cli import COMMANDS, cli
from joblot.config.fields import BATCH, JOB, LIMIT, RETRY, SCHEDULE
from joblot.core import events, model

SOURCES = sorted((ROOT / "src" / "joblot").rglob("*.py"))


def _calls(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield getattr(node.func, "id", getattr(node.func, "attr", "")), node


def _texts(node):
    """The texts that an expression may be, where they are written out."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return {node.value}
    if isinstance(node, ast.IfExp):
        return _texts(node.body) | _texts(node.orelse)
    return set()


def test_every_code_of_an_error_in_a_batch_file_is_explained():
    used = {
        "config",
        "type",
        "reference",
    }  # defaults of `ConfigError` and `Mismatch`, and one that is chosen beforehand
    for path in [*(ROOT / "src" / "joblot" / "config").glob("*.py"), *(ROOT / "src" / "joblot" / "core").glob("*.py")]:
        for name, call in _calls(path):
            if name in ("Problem", "Diagnostic", "job_problem") or (name == "add" and len(call.args) >= 3):
                used |= _texts(call.args[0]) if call.args else set()
            for keyword in call.keywords:
                if keyword.arg == "code":
                    used |= _texts(keyword.value)
    used.discard("consequence")  # never shown
    assert first_cells(section(text("reference/messages.md"), "## Errors in a batch file")) == used


def test_every_other_error_class_has_its_code_explained():
    from joblot.__main__ import _code
    from joblot.cli.output import StdoutError

    classes = [errors.JoblotError, StdoutError]
    for kind in classes:
        classes += [
            below for below in kind.__subclasses__() if below.__module__.startswith("joblot.") and below not in classes
        ]
    codes = {_code(kind.__new__(kind)) for kind in classes if not issubclass(kind, errors.ConfigError)}
    part = section(text("reference/messages.md"), "## Other errors")
    assert set(re.findall(r"`([a-z_]+)`", part)) == codes


def test_every_reason_is_explained():
    used = set()
    for path in SOURCES:
        for name, call in _calls(path):
            for keyword in call.keywords:
                if keyword.arg == "reason":
                    used |= _texts(keyword.value)
            if name in ("_skip_all", "JobsEnded") and len(call.args) > 2:
                used |= _texts(call.args[2])
    used |= {"need_failed", "need_skipped", "condition", "unknown_action"}
    used |= {"timeout", "unknown", "bad_result", "fail_fast", "max_failures", "time_limit", "cancelled"}
    listed = first_cells(section(text("reference/messages.md"), "## Reasons"))
    assert used - listed == {""}
    source = "".join(path.read_text(encoding="utf-8") for path in SOURCES)
    states = set(model.STATES)
    assert {reason for reason in listed - states if f'"{reason}"' not in source} == set()


def test_the_changelog_has_the_numbers_of_the_journal():
    from joblot.journal.sqlite import TABLES

    changelog = " ".join((ROOT / "CHANGELOG.md").read_text(encoding="utf-8").split())
    assert f"the tables are at {TABLES}, the events at {events.SCHEMA}" in changelog


def test_every_state_and_outcome_is_explained():
    page = text("concepts/glossary.md")
    assert first_cells(section(page, "## States of jobs")) == set(model.STATES)
    outcomes = set(model.OutcomeKind.__args__) | {"interrupted"}
    assert first_cells(section(page, "## Outcomes of attempts")) == outcomes


def test_every_exit_code_is_explained():
    from joblot.__main__ import EXIT_BROKEN_PIPE

    codes = {value for name, value in vars(errors).items() if name.startswith("EXIT_")} | {EXIT_BROKEN_PIPE}
    listed = re.findall(r"^\| (\d+) \|", text("reference/exit-codes.md"), re.MULTILINE)
    assert sorted(map(int, listed)) == sorted(codes)


def test_every_environment_variable_is_explained():
    files = [*SOURCES, *(ROOT / "tests").rglob("*.py"), ROOT / "Makefile"]
    files = [path for path in files if "docs" not in path.parts]
    used = {
        name
        for path in files
        for name in re.findall(r"(?<!_)\bJOBLOT_[A-Z][A-Z_]*[A-Z]\b", path.read_text(encoding="utf-8"))
    }
    listed = set(re.findall(r"`(JOBLOT_[A-Z_]*[A-Z])`", text("reference/environment.md")))
    assert listed == used


def test_every_event_and_field_stands_in_the_reference():
    page = text("reference/events.md")
    for kind in events.AnyEvent.__args__:
        part = section(page, f"## `{kind.__struct_config__.tag}`")
        assert first_cells(part) == set(kind.__struct_fields__)


def test_every_field_of_a_batch_file_stands_in_the_reference():
    page = text("reference/batch-file.md")
    assert first_cells(section(page, "## The batch")) == set(BATCH)
    assert first_cells(section(page, "## A job")) == set(JOB)
    assert first_cells(section(page, "## `retry`")) == set(RETRY)
    assert first_cells(section(page, "## `limits`")) == set(LIMIT)
    assert first_cells(section(page, "## `schedule`")) == set(SCHEDULE)


def test_every_command_stands_in_the_reference_with_all_its_options():
    page = text("reference/cli.md")
    sirene = cli.get_command(click.Context(cli), "sirene")
    commands = {name: cli.get_command(click.Context(cli), name) for name in COMMANDS}
    commands |= {
        f"sirene {name}": sirene.get_command(click.Context(sirene), name) for name in sirene.list_commands(None)
    }
    group = commands["schedule"]
    commands |= {f"schedule {name}": below for name, below in group.commands.items()}
    assert len(commands) > len(COMMANDS) + 5
    for name, command in commands.items():
        part = section(page, f"### `joblot {name}`")
        options = {
            option
            for one in command.params
            if isinstance(one, click.Option)
            for option in [*one.opts, *one.secondary_opts]
        }
        assert {word.split(" ")[0] for word in first_cells(part)} - {"-h", "--help"} == options


BATCH_TEXT = """\
imports: [./acts.py]
jobs:
  - {name: good, run: "echo said=1 > $JOBLOT_OUTPUT; echo printed"}
  - {name: made, action: makes}
  - {name: bad, run: exit 3, retry: 2}
  - {name: hit, run: kill -KILL $$}
  - {name: behind, run: "true", needs: [bad]}
"""
ACTIONS_TEXT = """\
from joblot import action

@action("makes")
def makes(*, size: int = 1, ctx) -> None:
    with ctx.output("made.txt") as part:
        part.write_text("x")
"""


@pytest.fixture(scope="module")
def run_joblot(tmp_path_factory):
    """Commands in a folder with one finished run."""
    folder = tmp_path_factory.mktemp("json")
    (folder / "joblot.yaml").write_text(BATCH_TEXT)
    (folder / "acts.py").write_text(ACTIONS_TEXT)

    def run(*words):
        return json.loads(server().run(["-m", "joblot", *words], folder).stdout)

    run("run", "--run-id", "shown", "--json")
    return run


def keys_of(value, *, free=()):
    """All keys of JSON, those of mappings whose keys are not ours left out."""
    if isinstance(value, list):
        return {key for item in value for key in keys_of(item, free=free)}
    if not isinstance(value, dict):
        return set()
    inner = {key for name, item in value.items() if name not in free for key in keys_of(item, free=free)}
    return set(value) | inner


def documented(*titles):
    page = text("reference/report.md")
    return {word for title in titles for word in re.findall(r"`([a-z_0-9]+)`", section(page, title))}


@pytest.mark.parametrize(
    ("words", "titles", "free"),
    [
        (("show", "shown", "--json"), ("## The report",), ("result",)),
        (("show", "shown", "--events", "--json"), ("## The run log",), ("data",)),
        (("validate", "--json"), ("## `joblot validate --json`",), ()),
        (("plan", "--json"), ("## `joblot plan --json`",), ("params", "resources")),
        (("ls", "--json"), ("## `joblot ls --json`",), ("counts",)),
        (("ls", "--job", "bad", "--json"), ("## `joblot ls --job NAME --json`",), ()),
        (("diff", "shown", "shown", "--json"), ("## `joblot diff --json`",), ("undone",)),
        (("explain", "shown", "bad", "--json"), ("## `joblot explain --json`",), ("result", "needs", "history")),
        (("cancel", "shown", "--json"), ("## `joblot cancel --json`",), ()),
        (("actions", "--import", "acts.py", "--json"), ("## `joblot actions --json`",), ("default",)),
    ],
    ids=lambda value: value[0] if value and "--json" in value else None,
)
def test_every_key_of_json_is_explained(run_joblot, words, titles, free):
    printed = keys_of(run_joblot(*words), free=free)
    assert len(printed) > 2
    own = {"bad"} if words[0] == "explain" else set()
    assert printed - documented(*titles) - own == set()


def test_failed_validation_is_explained(run_joblot, tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("jobs: [{nam: a}]")
    assert keys_of(run_joblot("validate", str(bad), "--json")) - documented("## `joblot validate --json`") == set()
