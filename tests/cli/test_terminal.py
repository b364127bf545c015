"""What texts of others do to the terminal: nothing, from any command."""

import json
import os
import pty
import re
import subprocess
import sys

import pytest

EVIL = "\x1b]0;title\x07\x9b31m\x7f\x08\x85\u202eevil\u2066\u200f\ttab\rback"
DRIVING = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
SCRIPT = "import json, os; json.dump({'v': os.environ['EVIL']}, open(os.environ['JOBLOT_OUTPUT'], 'w')); print(os.environ['EVIL'])"
BATCH = {
    "name": "evil",
    "jobs": [
        {"name": "v", "run": [sys.executable, "-c", SCRIPT]},
        {"name": "program", "run": ["${{ jobs.v.result.v }}", "a"], "needs": ["v"]},
        {"name": "folder", "run": ["ls", "${{ jobs.v.result.v }}"], "needs": ["v"]},
        {"name": "raises", "action": "python", "params": {"code": "import os\nraise ValueError(os.environ['EVIL'])"}},
        {"name": "logs", "action": "search_pattern", "input": "${{ jobs.v.result.v }}", "params": {"pattern": "x"}, "needs": ["v"]},
        {"name": "after", "run": "true", "needs": ["program"]},
    ],
}  # fmt: skip
COMMANDS = [
    ("ls",), ("show", "r1"), ("show", "r1", "--json"), ("show", "r1", "--events"), ("logs", "r1"), ("logs", "r1", "v"), ("explain", "r1", "program"),
    ("explain", "r1", "program", "--json"), ("explain", "r1", "raises"), ("explain", "r1", "after"), ("explain", "r1", "logs"),
    ("retry", "r1", "-v"), ("retry", "r1", "--json"), ("resume", "r1", "-v"), ("plan", "batch.json"), ("plan", "batch.json", "--json"),
    ("validate", "batch.json"), ("graph", "batch.json"), ("graph", "batch.json", "--format", "dot"), ("accept", "batch.json", "v"), ("cancel", "r1"),
    ("recover", "r1"), ("schema",), ("actions",), ("run", "batch.json"), ("run", "batch.json", "-v", "--json"),
]  # fmt: skip
BAD_NAMES = [
    ("run", f"no{EVIL}.yaml"), ("validate", f"no{EVIL}.yaml"), ("plan", f"bad{EVIL}.yaml"), ("graph", f"bad{EVIL}.yaml"), ("run", f"bad{EVIL}.yaml"),
    ("validate", f"bad{EVIL}.yaml", "--json"), ("explain", "r1", EVIL), ("show", EVIL), ("logs", "r1", EVIL), ("cancel", EVIL), ("replay", "r1", EVIL),
    ("accept", "batch.json", EVIL), ("recover", EVIL), ("schema", EVIL), ("actions", EVIL), ("retry", "r1", "--job", EVIL), (EVIL,), ("run", f"--{EVIL}"),
    ("run", "batch.json", "--only", EVIL), ("run", "batch.json", "--var", EVIL), ("run", "batch.json", "--state", f"{EVIL}/x"), ("init", EVIL),
    ("run", "batch.json", "--report", f"{EVIL}/none"), ("run", "batch.json", "--timeout", EVIL), ("generate", EVIL),
]  # fmt: skip


@pytest.fixture
def ran(joblot):
    joblot.env["EVIL"] = EVIL
    joblot.write("batch.json", json.dumps(BATCH))
    joblot.write(f"bad{EVIL}.yaml", f"jobs:\n- {{name: 'a\tb', run: x, {json.dumps(EVIL)}: 1}}\n")
    done = joblot("run", "batch.json", "--run-id", "r1")
    assert done.code == 1
    joblot.first = done
    return joblot


def test_i15_no_command_drives_the_terminal(ran):
    """I15: with results, messages, reasons and names of programs; JSON escapes what it holds. Tabs stay in logs."""
    for words in COMMANDS:
        done = ran(*words)
        shown = done.out.replace("\t", "") if words[0] == "logs" else done.out
        found = [DRIVING.findall(text) for text in (ran.first.err, ran.first.out, shown, done.err)]
        assert (words, found) == (words, [[], [], [], []])
        if "--json" in words:
            json.loads(done.out)


def test_i15_no_error_about_a_name_drives_the_terminal(ran):
    """I15: of files, runs, jobs, options, whatever the command."""
    for words in BAD_NAMES:
        done = ran(*words)
        assert (words, DRIVING.findall(done.out + done.err)) == (words, [])
        assert done.out + done.err
        assert "internal error" not in done.err


def test_json_says_the_same_characters(ran):
    assert json.loads(ran("explain", "r1", "v", "--json").out)["job"]["result"]["v"] == EVIL


def test_i15_on_a_terminal_there_are_our_own_colours_only(ran):
    """I15"""
    ours, theirs = pty.openpty()
    env = {name: value for name, value in ran.env.items() if name not in ("CI", "NO_COLOR")} | {"TERM": "xterm"}
    command = [sys.executable, "-m", "joblot", "run", "batch.json"]
    process = subprocess.Popen(command, cwd=ran.path, env=env, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs)
    os.close(theirs)
    text = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:
            break
        if not piece:
            break
        text += piece
    os.close(ours)
    assert process.wait() == 1
    shown = text.decode().replace("\r\n", "\n")
    assert "\x1b[31mERROR\x1b[0m" in shown
    assert DRIVING.findall(re.sub(r"\x1b\[(?:3[1-6]m|0m|[KJ]|\d+A)|\x1b\]9;4;\d;\d+\x1b\\|\r", "", shown)) == []
