"""What runs a text: a shell that ends at the first failure, the shell that a job asks for, or another program."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
from msgspec.structs import replace

import joblot
from joblot import Batch
from joblot.errors import ConfigError

REF = "${{ item }}"


def ran(folder, text, *, on="inline", state=False, **fields):
    """The only job of a batch, run to its end."""
    batch = Batch("b", folder=folder)
    batch.command("a", text, **fields)
    (job,) = batch.run(on=on, state=state, workers=1).jobs.values()
    return job


def read(tmp_path, yaml):
    (tmp_path / "b.yaml").write_text(yaml)
    return joblot.load(tmp_path / "b.yaml")


def problem(tmp_path, yaml):
    """The only problem of a batch, as message and hint."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, yaml)
    (found,) = caught.value.diagnostics
    return found.message, found.hint


ENDING = {
    "two lines": "false\ntouch after",
    "one line": "false; touch after",
    "first of three": "cat missing > out\ncp out other\ntouch after",
    "assignment": "x=$(cat missing); touch after",
    "brackets": "(false; touch after); touch after",
    "group": "{ false; touch after; }",
    "function": "f() { false; touch after; }; f",
    "loop": "for i in 1 2; do false; done; touch after",
    "folder": "cd nowhere; touch after",
    "redirection": "echo a > nowhere/file; touch after",
    "test": "[ -e missing ]\ntouch after",
    "last of and": "true && false; touch after",
    "last of a pipe": "true | false; touch after",
    "line that goes on": "false \\\n  a\ntouch after",
    "nested shell": "sh -c 'exit 3'\ntouch after",
}


@pytest.mark.parametrize("text", ENDING.values(), ids=ENDING)
@pytest.mark.parametrize("shell", [None, "bash", "dash", "busybox"])
def test_a_text_ends_at_the_first_failure(tmp_path, text, shell):
    """D18."""
    if shell is not None and shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    job = ran(tmp_path, text) if shell is None else ran(tmp_path, text, shell=shell)
    assert (job.state, job.reason) == ("failed", "exit_code")
    assert not (tmp_path / "after").exists()


@pytest.mark.parametrize("text", [f"false {REF}; touch after", f"cat missing\ntouch after; echo '{REF}'"])
def test_a_text_with_values_ends_there_too(tmp_path, text):
    assert ran(tmp_path, text, foreach=["x"]).state == "failed"
    assert not (tmp_path / "after").exists()


@pytest.mark.parametrize("more", ["", f" {REF}"], ids=["plain", "values"])
def test_a_run_that_an_earlier_program_began_goes_on_as_it_was(tmp_path, more):
    batch = Batch("b", folder=tmp_path)
    batch.command("a-${{ item }}", f"false{more}; touch after", foreach=["x"])
    batch.command("plain-${{ item }}", f"echo{more}", foreach=["x"])
    assert joblot.run(replace(batch.config(), rules=0), on="inline", state=False).ok
    assert (tmp_path / "after").exists()


def test_a_text_of_the_action_shell_ends_there_too(tmp_path):
    batch = Batch("b", folder=tmp_path)
    batch.add("a", "shell", params={"command": "false; touch after"})
    assert not batch.run(on="inline", state=False).ok
    assert not (tmp_path / "after").exists()


def test_a_command_that_lists_items_ends_there_too(tmp_path):
    yaml = "jobs: [{name: 'a-${{ item }}', run: 'true', foreach: {command: '%s'}}]"
    found = problem(tmp_path, yaml % "cat missing; echo a")
    assert found == (
        "`foreach`: `cat missing; echo a` ended with 1",
        "cat: missing: No such file or directory",
    )
    found = problem(tmp_path, "vars: {x: a}\n" + yaml % "cat missing; echo ${{ vars.x }}")
    assert found[0] == "`foreach`: `cat missing; echo a` ended with 1"


def test_a_long_command_that_lists_items_goes_by_a_file(tmp_path):
    long = "echo a; : " + "x" * 200_000
    batch = json.dumps({"jobs": [{"name": "a-${{ item }}", "run": "true", "foreach": {"command": long}}]})
    (tmp_path / "b.json").write_text(batch)
    assert [spec.fan_out.columns for spec in joblot.load(tmp_path / "b.json").jobs] == [{"": ["a"]}]


GOING_ON = {
    "or": (None, "false || true; touch after"),
    "condition": (None, "if false; then :; fi; touch after"),
    "negation": (None, "! false; touch after"),
    "in front of and": (None, "false && true; touch after"),
    "pipe": (None, "false | true; touch after"),
    "switched off": (None, "set +e; false; touch after"),
    "switched off by the shell": ("sh +e", "false; touch after"),
    "switched off by bash": ("bash --norc +e", "false; touch after"),
    "pipe of bash": (["bash", "-u"], "false | true; touch after"),
}


@pytest.mark.parametrize(("shell", "text"), GOING_ON.values(), ids=GOING_ON)
def test_what_is_no_failure_of_the_text_does_not_end_it(tmp_path, shell, text):
    assert ran(tmp_path, text, shell=shell).state == "success"
    assert (tmp_path / "after").exists()


ASKED_FOR = {
    "option with a name": "bash -o pipefail",
    "list": ["bash", "-euo", "pipefail"],
    "path": [shutil.which("bash"), "-o", "pipefail"],
    "long option": "bash -o pipefail --norc",
    "shopt": "bash -O extglob -o pipefail",
}


@pytest.mark.parametrize("shell", ASKED_FOR.values(), ids=ASKED_FOR)
def test_a_shell_gets_the_options_that_are_asked_for(tmp_path, shell):
    assert ran(tmp_path, "[[ a == a ]]; false | true; touch after", shell=shell).state == "failed"
    assert not (tmp_path / "after").exists()
    values = ran(tmp_path, f'test {REF} = "a b"; test $# = 0', shell=shell, foreach=["a b"])
    assert values.state == "success"


def test_a_shell_that_is_asked_for_is_started_also_for_plain_words(tmp_path):
    assert ran(tmp_path, "declare -p BASHOPTS", shell="bash").state == "success"
    assert ran(tmp_path, "declare -p BASHOPTS").state == "failed"


PYTHON = "import sys\nopen('out', 'w').write(sys.argv[0][-4:])\nfor n in range(2):\n    print('n')"


@pytest.mark.parametrize("on", ["inline", pytest.param("local", marks=pytest.mark.alone)])
@pytest.mark.parametrize("state", [False, "state"])
def test_another_program_gets_the_text_as_a_file(tmp_path, monkeypatch, on, state):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    job = ran(tmp_path, PYTHON, shell=[sys.executable, "-u"], on=on, state=state and tmp_path / state)
    assert (job.state, (tmp_path / "out").read_text()) == ("success", ".run")
    assert not list(tmp_path.rglob("*.run"))


def test_what_another_program_says_fails_the_job(tmp_path):
    job = ran(tmp_path, "raise SystemExit(7)", shell=[sys.executable])
    assert (job.state, job.message) == ("failed", "exit status 7")
    job = ran(tmp_path, "anything", shell="no-such-program -x")
    assert job.message == "command not found: `no-such-program`"


@pytest.mark.parametrize("on", ["inline", pytest.param("local", marks=pytest.mark.alone)])
@pytest.mark.parametrize("fields", [{}, {"shell": "bash"}, {"foreach": ["a"]}], ids=["sh", "bash", "values"])
def test_a_long_text_goes_by_a_file(tmp_path, monkeypatch, on, fields):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    value = f"test {REF} = a; " if "foreach" in fields else ""
    text = f"{value}echo begun > out\n: {'é' * 100_000}\nfalse; touch after"
    for state in (False, tmp_path / "state"):
        job = ran(tmp_path, text, on=on, state=state, **fields)
        assert (job.state, job.message, (tmp_path / "out").read_text()) == ("failed", "exit status 1", "begun\n")
        (tmp_path / "out").unlink()
    assert not (tmp_path / "after").exists()
    assert not list(tmp_path.rglob("*.run"))


def test_a_text_that_cannot_be_written_fails_its_job_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    job = ran(tmp_path, "print(1)", shell=[sys.executable])
    message = "the text of the command cannot be written: no such file or directory"
    assert (job.state, job.reason, job.message) == ("failed", "output", message)


@pytest.mark.parametrize(
    ("job", "message"),
    [
        (f"run: ['true'], env: {{X: {'x' * 140_000}}}", "its variable `X` has 140002 bytes, and the system takes 131071 in one"),
        (f"run: ['true', a, {'x' * 140_000}]", "its word 3 has 140000 bytes, and the system takes 131071 in one"),
    ],
    ids=["variable", "word"],
)  # fmt: skip
def test_what_is_too_long_is_said_exactly(tmp_path, job, message):
    read(tmp_path, f"jobs: [{{name: a, {job}}}]")
    report = joblot.run(tmp_path / "b.yaml", on="inline", state=False)
    assert report.jobs["a"].message == f"cannot execute `true`: {message}: pass a file"
    assert report.jobs["a"].reason == "too_long"


# --- the field ------------------------------------------------------------------------------------

WORDS = "a list may hold any words"
BAD = {
    "''": ("`shell` must not be empty", ""),
    "[]": ("`shell` must not be empty", ""),
    "{a: b}": ("`shell` must be a text, not a mapping", ""),
    "[bash, [a]]": ("`shell[1]` must be a text, not a list", ""),
    "make all | tee log": ("`shell` must be a program and its options, not the text `make all | tee log`", f"what is to be run stands in `run`; {WORDS}"),
    "['bash -e']": ("`shell` has a program with a blank in its name: `bash -e`", "write `[bash, -e]`"),
    "bash -c": ("`shell` cannot have the option `-c`", "leave `c` out: it is put before the text"),
    "bash -euc": ("`shell` cannot have the option `-euc`", "leave `c` out: it is put before the text"),
    "bash '{0}'": ("`shell` must be a program and its options, not the text `bash '{0}'`", f"what is to be run stands in `run`; {WORDS}"),
    "['bash', '{0}']": ("`shell` cannot hold `{0}`", "leave it out: the text, or a file with it, comes behind the words"),
    "['perl', '{0}']": ("`shell` cannot hold `{0}`", "leave it out: the text, or a file with it, comes behind the words"),
    "dash script": ("`shell` takes options only, and `script` is none", "what is to be run stands in `run`"),
    "sh -n": ("`shell` cannot have the option `-n`", "`set` in the text sets all others"),
    "sh -s": ("`shell` cannot have the option `-s`", "`set` in the text sets all others"),
    "sh -i": ("`shell` cannot have the option `-i`", "`set` in the text sets all others"),
    "sh -": ("`shell` cannot have the option `-`", "`set` in the text sets all others"),
    "sh --": ("`shell` cannot have the option `--`", "`set` in the text sets all others"),
    "bash -a": ("`shell` cannot have the option `-a`", "`set` in the text sets all others"),
    "bash --help": ("`shell` cannot have the option `--help`", "`set` in the text sets all others"),
    "bash --rcfile": ("`shell` cannot have the option `--rcfile`", "`set` in the text sets all others"),
    "bash -o noexec": ("`shell` cannot have the option `-o noexec`", "`set` in the text sets all others"),
    "bash -eo": ("`shell` needs the name of an option behind `-eo`", "such as `[bash, -o, pipefail]`"),
    "bash -o -e": ("`shell` needs the name of an option behind `-o`", "such as `[bash, -o, pipefail]`"),
    "python3 -c": ("`shell` cannot have the option `-c`", "the program stands in `run`"),
    "python3.11 -um": ("`shell` cannot have the option `-um`", "the program stands in `run`"),
    "perl -we": ("`shell` cannot have the option `-we`", "the program stands in `run`"),
    "node --eval": ("`shell` cannot have the option `--eval`", "the program stands in `run`"),
    "busybox ls": ("`shell` cannot be the applet `ls` of busybox", "write `[busybox, sh]`"),
    "/bin/busybox sh -c": ("`shell` cannot have the option `-c`", "leave `c` out: it is put before the text"),
}  # fmt: skip


@pytest.mark.parametrize(("shell", "expected"), BAD.items(), ids=BAD)
@pytest.mark.parametrize("where", ["job", "defaults"])
def test_a_shell_that_cannot_be(tmp_path, shell, expected, where):
    default, own = (f"shell: {shell}", "") if where == "defaults" else ("", f", shell: {shell}")
    if where == "job" and (shell.startswith("bash '") or "|" in shell):
        own = f', shell: "{shell}"'
    assert problem(tmp_path, f"defaults:\n  {default}\njobs: [{{name: a, run: a{own}}}]") == expected


def test_a_list_of_words_has_no_shell(tmp_path):
    hint = "write `run` as a text, or take `shell` away"
    message = "job `a` has a `shell` and no text for it: `run` is a list"
    assert problem(tmp_path, "jobs: [{name: a, run: [a], shell: bash}]") == (message, hint)
    # Also behind a job that was right.
    text = "jobs: [{name: b, run: a, shell: bash}, {name: a, run: [a], shell: bash}]"
    assert problem(tmp_path, text) == (message, hint)
    # The batch's own is for all texts that there are.
    assert read(tmp_path, "defaults: {shell: bash}\njobs: [{name: a, run: [a]}]").jobs[0].shell == ("bash",)


def test_a_shell_without_a_text(tmp_path):
    found = problem(tmp_path, "jobs: [{name: a, shell: make all}]")
    assert found == ("jobs[0] is missing `action`", "`shell` says what runs the text; the text stands in `run`")


def test_a_shell_of_the_batch(tmp_path):
    found = problem(tmp_path, "shell: bash\njobs: []")
    assert found == ("unknown field `shell` in the batch", "write `defaults: {shell: ...}`, or `shell` in a job")


@pytest.mark.parametrize(
    ("more", "program"),
    [
        ("shell: python3", "python3"), ("shell: [perl, -w]", "perl"), ("shell: /usr/bin/env bash", "/usr/bin/env"), ("shell: zsh", "zsh"),
        ("shell: fish", "fish"), ('shell: "${{ vars.node }}"', "node"), ("foreach: [x], shell: Rscript", "Rscript"), ("", "ruby"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("text", ["print('${{ vars.a-b }}')", "x = ${{ vars.a-b }}", "`${{ vars.a-b }}`"])
def test_a_reference_in_the_text_of_another_program_is_refused(tmp_path, more, program, text):
    default = "" if more else "defaults: {shell: ruby -w}\n"
    yaml = f'{default}vars: {{a-b: 1, node: node}}\njobs:\n- {{name: a, run: "{text}", {more}}}'
    message, hint = problem(tmp_path, yaml)
    assert message == f"`vars.a-b` stands in a text that `{program}` runs, where its value would be code"
    assert hint == 'pass it through `env`: `env: {A_B: "${{ vars.a-b }}"}`'


def test_what_is_only_written_like_a_reference_stays(tmp_path):
    text = """print('${{ "${{" }} x }}')"""
    config = read(tmp_path, json.dumps({"jobs": [{"name": "a", "run": text, "shell": "python3"}]}))
    assert config.jobs[0].run == "print('${{ x }}')"
    # A job of its own that refers elsewhere is filled in later, its text too.
    job = {
        "name": "a",
        "run": f"{text}\nopen('out','w').write('${{{{ \"${{{{\" }}}}')",
        "shell": [sys.executable],
        "env": {"R": "${{ run.id }}"},
    }
    (tmp_path / "b.json").write_text(json.dumps({"jobs": [job]}))
    assert joblot.run(tmp_path / "b.json", on="inline", state=False).ok
    assert (tmp_path / "out").read_text() == "${{"


def test_values_reach_another_program_through_the_environment(tmp_path):
    text = "import os; open('out', 'w').write(os.environ['DAY'])"
    job = {"name": "a", "run": text, "shell": [sys.executable], "env": {"DAY": "${{ vars.day }}"}}
    (tmp_path / "b.json").write_text(json.dumps({"vars": {"day": "'); evil"}, "jobs": [job]}))
    assert joblot.run(tmp_path / "b.json", on="inline", state=False).ok
    assert (tmp_path / "out").read_text() == "'); evil"


def test_another_shell_makes_an_output_again(tmp_path):
    def run(**fields):
        return ran(tmp_path, "echo a > out; : b", state=tmp_path / "state", outputs=["out"], **fields)

    states = [run().state, run().state, run(shell="bash").state, run(shell="bash").state, run(shell="bash -u").state]
    assert states == ["success", "cached", "success", "cached", "success"]


def test_plan_and_explain_tell_of_the_shell(tmp_path):
    read(tmp_path, "jobs: [{name: a, run: 'false | true', shell: [bash, -o, pipefail]}]")

    def cli(*words):
        done = subprocess.run(
            [sys.executable, "-m", "joblot", *words], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        return done.stdout

    assert "run (bash -o pipefail): false | true" in cli("plan", "b.yaml")
    assert json.loads(cli("plan", "b.yaml", "--json"))["jobs"][0]["shell"] == ["bash", "-o", "pipefail"]
    cli("run", "b.yaml")
    assert "its text is run by `bash -o pipefail`" in cli("explain", "last", "a")
