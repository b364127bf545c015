"""Colours: on a terminal that shows them, and nowhere else; never without a word or a sign that says the same."""

import os
import pty
import re
import sys

import pytest

from joblot.__main__ import main

BATCH = """\
name: mixed
jobs:
  - {name: bad, run: "exit 3"}
  - {name: after, run: "true", needs: [bad]}
  - {name: good, run: "true > out", outputs: [out]}
"""
SGR = re.compile(r"\x1b\[(\d+)m([^\x1b]*)\x1b\[0m")
GREEN, RED, YELLOW, CYAN = "32", "31", "33", "36"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("colours")
    (folder / "joblot.yaml").write_text(BATCH)
    (folder / "wrong.yaml").write_text("jobs: [{name: a, run: x, retrys: 3}]\n")
    (folder / "doubtful.yaml").write_text(
        "jobs:\n  - {name: a, run: 'true', outputs: [data.csv]}\n  - {name: b, run: 'cat data.csv'}\n"
    )
    items = ", ".join(f"{{n: {n}}}" for n in range(101))
    many = "{name: 'n-${{ item.n }}', run: 'true', outputs: ['${{ item.n }}.txt'], foreach: [ITEMS]}"
    (folder / "many.yaml").write_text(f"jobs: [{many.replace('ITEMS', items)}]\n")
    here = os.getcwd()
    os.chdir(folder)
    try:
        assert main(["run", "-q", "--on", "inline", "--run-id", "r1"]) == 1
        (folder / "0.txt").write_text("")
        assert main(["accept", "many.yaml", "n-0"]) == 0
    finally:
        os.chdir(here)
    return folder


@pytest.fixture
def shown(folder, monkeypatch):
    """What a command prints to a terminal."""
    for name in ("NO_COLOR", "CI", "JOBLOT_STATE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.chdir(folder)

    def on_a_terminal(*words, stdout=True, stderr=True):
        ours, theirs = pty.openpty()
        with monkeypatch.context() as patch, os.fdopen(theirs, "w") as terminal, open(os.devnull, "w") as nothing:
            patch.setattr(sys, "stdout", terminal if stdout else nothing)
            patch.setattr(sys, "stderr", terminal if stderr else nothing)
            main(list(words))
            terminal.write("\x04")
        text = b""
        while not text.endswith(b"\x04"):
            text += os.read(ours, 65536)
        os.close(ours)
        return text[:-1].decode()

    return on_a_terminal


TOLD = [
    ("ls", {(RED, "failed")}),
    ("show", {(RED, "failed"), (RED, "failed "), (YELLOW, "skipped"), (GREEN, "success")}),
    ("explain", {(RED, "failed"), (YELLOW, "skipped"), (GREEN, "success")}),
    ("explain bad", {(RED, "failed")}),
    ("explain after", {(YELLOW, "skipped"), (RED, "failed")}),
    ("plan", {(CYAN, "no outputs declared"), (GREEN, "up to date")}),
    ("plan many.yaml", {(GREEN, "1 job up to date"), (CYAN, "100 to run")}),
    ("validate", {(GREEN, "ok")}),
    ("validate wrong.yaml", {(RED, "error"), (RED, "^"), (CYAN, "hint")}),
    ("validate doubtful.yaml", {(YELLOW, "warning"), (GREEN, "ok")}),
    ("show nothing", {(RED, "error"), (CYAN, "hint")}),
]


@pytest.mark.parametrize(("words", "told"), TOLD)
def test_on_a_terminal_words_have_colours(shown, words, told):
    text = shown(*words.split())
    assert told <= set(SGR.findall(text)), text
    assert all(word.strip() for _, word in SGR.findall(text)), "a word or a sign beside every colour"


@pytest.mark.parametrize("words", [words for words, _ in TOLD])
def test_nothing_but_colours_differs_where_there_are_none(shown, monkeypatch, words):
    bare = SGR.sub(r"\2", shown(*words.split()))
    assert "\x1b" not in bare
    assert shown(*words.split(), "--no-color") == bare
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert (name, shown(*words.split())) == (name, bare)


@pytest.mark.parametrize(
    "words", [*(words for words, _ in TOLD), "ls --json", "show --json", "explain bad --json", "plan --json"]
)
def test_in_a_pipe_there_are_none(folder, words, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    main(words.split())
    assert "\x1b" not in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    "words", ["ls --json", "show --json", "explain bad --json", "explain --json", "plan --json", "validate --json"]
)
def test_json_has_none_on_a_terminal_either(shown, words):
    assert "\x1b" not in shown(*words.split(), stderr=False)


def test_each_stream_has_its_own(shown):
    """Only what is a terminal gets them: `joblot validate 2> errors` and `joblot ls > runs`."""
    assert "\x1b" in shown("ls", stderr=False)
    assert "\x1b" not in shown("ls", stdout=False)
    assert "\x1b" not in shown("validate", "wrong.yaml", stderr=False)
    assert "\x1b" in shown("validate", "wrong.yaml", stdout=False)
