"""`retry.only`: which failures are tried again, from the batch file to the attempts."""

from __future__ import annotations

import subprocess
import sys

import pytest

import joblot
from joblot import ActionError, Batch
from joblot.actions.registry import ACTIONS
from joblot.config.load import load
from joblot.errors import ConfigError


class BusyError(ConnectionError):
    pass


def busy():
    raise BusyError("later")


def told():
    raise ActionError("later", reason="busy")


def left():
    sys.exit(75)


@pytest.mark.parametrize(
    ("what", "only", "attempts"),
    [
        ("exit 75", "exit 75", 3), ("exit 74", "exit 75", 1), ("exit 64", "exit 64..78", 3), ("exit 78", "exit 64..78", 3), ("exit 79", "exit 64..78", 1),
        ("exit 1", "exit", 3), ("exit 1", "timeout", 1), ("kill -9 $$", "exit 1..255", 1), ("kill -9 $$", "crash", 3), ("no-such-command", "exit 127", 3),
        (busy, "BusyError", 3), (busy, "ConnectionError", 3), (busy, "OSError", 3), (busy, "ValueError", 1), (busy, f"{__name__}.BusyError", 3),
        (busy, "other.BusyError", 1), (busy, "exit 1", 1), (busy, "exception", 3), (told, "reason busy", 3), (told, "ActionError", 3),
        (told, "exception", 1), (told, ["exit 9", "reason busy"], 3), (left, "SystemExit", 3), (left, "exit 75", 1),
    ],
)  # fmt: skip
def test_only_what_is_meant_is_tried_again(tmp_path, what, only, attempts):
    batch = Batch("b", folder=tmp_path)
    if callable(what):
        batch.add("a", what, max_attempts=3, retry_only=[only] if isinstance(only, str) else only)
    else:
        batch.command("a", what, max_attempts=3, retry_only=only)
    report = batch.run(on="inline", state=False)
    assert (report.jobs["a"].state, report.jobs["a"].attempts) == ("failed", attempts)


def test_a_missing_input_can_be_waited_for(tmp_path):
    (tmp_path / "b.yaml").write_text(
        "jobs: [{name: a, run: [cat, x], input: x, retry: {max_attempts: 2, only: [missing_input]}},"
        " {name: b, run: [cat, x], input: x, retry: {max_attempts: 2, only: [bad_input]}}]"
    )
    report = joblot.run(tmp_path / "b.yaml", on="inline", state=False)
    assert [job.attempts for job in report.jobs.values()] == [2, 1]


@pytest.mark.alone
def test_a_process_of_its_own_tells_what_was_raised(tmp_path):
    batch = Batch("b", folder=tmp_path)
    batch.add("a", busy, max_attempts=2, retry_only=["OSError"])
    batch.add("b", busy, max_attempts=2, retry_only=["KeyError"])
    report = batch.run(workers=1, state=False)
    assert [job.attempts for job in report.jobs.values()] == [2, 1]


HINT = "outcomes (`timeout`), `exit 75`, exceptions (`ConnectionError`), reasons (`missing_input`), `reason CODE` of an action's own"
NOTHING = "`only[0]` is nothing that a try ends with: `{}`"


@pytest.mark.parametrize(
    ("entry", "message", "hint"),
    [
        ("late", NOTHING.format("late"), HINT), ("timeuot", NOTHING.format("timeuot"), "did you mean `timeout`?"),
        ("missing_inptu", NOTHING.format("missing_inptu"), "did you mean `missing_input` or `missing_output`?"), ("75", NOTHING.format("75"), "write `exit 75` or `exit 64..78`"),
        ("exit75", NOTHING.format("exit75"), "write `exit 75` or `exit 64..78`"), ("exit 64-78", NOTHING.format("exit 64-78"), "write `exit 75` or `exit 64..78`"),
        ("exit 0", "`only[0]` cannot be `exit 0`", "a failed command ends with 1 to 255; the first stands before the last"),
        ("exit 256", "`only[0]` cannot be `exit 256`", "a failed command ends with 1 to 255; the first stands before the last"),
        ("exit 78..64", "`only[0]` cannot be `exit 78..64`", "a failed command ends with 1 to 255; the first stands before the last"),
        ("SIGKILL", "`only[0]` cannot be the signal `SIGKILL`", "a command that a signal ends is a `crash`"),
        ("lost", NOTHING.format("lost"), HINT), ("[exit]", "`only[0]` must be a text, not a list", ""), ("''", NOTHING.format(""), HINT),
        ("reason", NOTHING.format("reason"), HINT),
    ],
)  # fmt: skip
def test_what_no_try_ends_with(tmp_path, entry, message, hint):
    (tmp_path / "b.yaml").write_text(f"jobs: [{{name: a, run: x, retry: {{max_attempts: 2, only: [{entry}]}}}}]")
    with pytest.raises(ConfigError) as caught:
        joblot.load(tmp_path / "b.yaml")
    (found,) = caught.value.diagnostics
    assert (found.message, found.hint) == (message, hint)


@pytest.mark.parametrize(
    ("only", "warned"),
    [("[KeyError, a.b.BusyError]", True), ("KeyError", True), ("[KeyError, exit]", False), ("[]", False)],
)
def test_exceptions_alone_are_doubtful_for_a_command(tmp_path, only, warned):
    (tmp_path / "b.yaml").write_text(f"jobs: [{{name: a, run: x, retry: {{max_attempts: 2, only: {only}}}}}]")
    _, problems = load(tmp_path / "b.yaml", lookup=ACTIONS.signature, names=ACTIONS.names)
    message = "job `a` is never tried again: `only` has exceptions, and a command raises none"
    assert [(found.message, found.severity) for found in problems] == ([(message, "warning")] if warned else [])


def test_explain_says_why_it_was_not_tried_again(tmp_path):
    (tmp_path / "b.yaml").write_text("jobs: [{name: a, run: exit 1, retry: {max_attempts: 3, only: [exit 75]}}]")

    def cli(*words):
        done = subprocess.run(
            [sys.executable, "-m", "joblot", *words], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        return done.stdout

    cli("run", "b.yaml")
    assert "tries left, but it is tried again only after: exit 75\n" in cli("explain", "last", "a")
