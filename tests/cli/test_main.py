"""What holds for every command: streams, exit codes, errors, environments, start-up."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from joblot import __version__, cli
from joblot.cli import COMMANDS

ONE = "name: one\njobs:\n  - {name: a, run: 'true'}\n"

MAY_IMPORT = {"joblot", "joblot.__main__", "joblot.errors", "joblot.version", "joblot.cli", "joblot.cli.output"}
"""What `joblot --help` and `joblot --version` may import of joblot."""
OFFERED = {"joblot_sirene", "joblot_sirene.cli"}
"""What `joblot --help` may import beside: the group of commands that the installed package offers, and none of the commands."""


IMPORTED = """
import os, sys
before = set(sys.modules)
for words in eval(sys.argv[1]):
    if not (pid := os.fork()):
        from joblot.__main__ import main
        main(words)
        tops = {name for name in sys.modules if name not in before and name.partition('.')[0] not in sys.stdlib_module_names}
        print(repr((words, tops)), file=sys.stderr)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
"""


@functools.cache
def imported():
    """What each command imports that nobody has imported before, by its words."""
    asked = [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)]
    words = [sys.executable, "-c", IMPORTED, repr(asked)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
    found = {tuple(words): names for words, names in map(eval, done.stderr.splitlines())}
    assert len(found) == len(asked)
    return found


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_and_version_import_only_click_and_the_table_of_commands(arguments):
    found = imported()[tuple(arguments)]
    offered = OFFERED if arguments == ["--help"] else set()
    assert {name for name in found if name.partition(".")[0] != "click"} <= MAY_IMPORT | offered


@pytest.mark.usefixtures("unmeasured")
def test_a_run_loads_no_openssl(tmp_path):
    """A tenth of what a run of one job takes would be looking for implementations of hashes that nobody asks for."""
    batch = tmp_path / "one.json"
    batch.write_text('{"jobs": [{"name": "only", "run": "true"}]}')
    code = f"import sys\nfrom joblot.__main__ import main\nmain(['run', '-q', '--state', {str(tmp_path / 's')!r}, {str(batch)!r}])"
    code += "\nprint(sorted({'_hashlib', 'hashlib', 'joblot.runner.engine'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "['joblot.runner.engine']\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_can_be_imported_and_has_help(name):
    from importlib import import_module

    command = import_module(f"joblot.cli.{name}").command
    assert command.name == name
    assert command.help


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_imports_nothing_heavy(name):
    found = imported()[name, "--help"]
    assert not found & {"rich", "yaml", "re2", "joblot.api", "joblot.runner.engine", "joblot.config.load"}


def test_version(joblot):
    assert joblot("--version") == (0, f"joblot {__version__}\n", "")


def test_help_lists_every_command_with_what_it_is_for(joblot):
    done = joblot("--help")
    assert done.code == 0
    assert all(f"  {name} " in done.out and about in done.out for name, about in COMMANDS.items())
    assert "_JOBLOT_COMPLETE=bash_source" in done.out


def test_completion_knows_commands_and_runs(joblot):
    joblot.write("joblot.yaml", ONE)
    joblot("run", "--run-id", "night-1")
    words = {"_JOBLOT_COMPLETE": "bash_complete", "COMP_CWORD": "2"}
    assert joblot("complete", env=words | {"COMP_WORDS": "joblot show "}).out.splitlines() == [
        "plain,last",
        "plain,night-1",
        "plain,a",
    ]
    assert "plain,resume" in joblot("complete", env=words | {"COMP_WORDS": "joblot re", "COMP_CWORD": "1"}).out


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["rnu"], "error: no such command: `rnu`\nhint: did you mean `run`?\n"),
        (["run", "--fail-fats"], "error: no such option: `--fail-fats`\nhint: did you mean `--fail-fast`?\n"),
        (["run", "--timeout", "5q"], None),
        (["run", "-j", "0"], None),
        (["run", "--var", "x"], None),
        (["accept", "b.yaml"], "error: missing argument `JOB...`\nhint: `joblot accept --help` says what it takes\n"),
    ],
)
def test_wrong_usage_is_one_line_and_a_hint_with_exit_code_2(joblot, arguments, error):
    """D1: usage errors are 2."""
    done = joblot(*arguments)
    assert (done.code, done.out) == (2, "")
    assert len(done.err.splitlines()) == 2
    assert done.err.startswith("error: ")
    assert error is None or done.err == error


def test_without_arguments_the_help_is_shown(joblot):
    done = joblot()
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("Usage: joblot [OPTIONS] COMMAND")


MAKES_IT = "`joblot run` makes it beside the batch file: go there, or name it with `--state`"


def test_state_errors_have_exit_code_4(joblot):
    """D1: no such run, or a state folder that cannot be used."""
    nothing = joblot("ls")
    assert nothing == (
        4,
        "",
        f"error: no runs here: `DIR/.joblot` does not exist or holds no journal\nhint: {MAKES_IT}\n",
    )
    joblot.write("joblot.yaml", ONE)
    joblot("run", "--run-id", "r1")
    error = "error: no run `r2` in `DIR/.joblot`, nor a job of its last run `r1`\n"
    assert joblot("show", "r2") == (4, "", f"{error}hint: `joblot ls` lists the runs\n")
    assert joblot("explain", "r1", "b") == (
        4,
        "",
        "error: run `r1` has no job `b`\nhint: `joblot show r1` lists them\n",
    )
    (joblot.path / "file").write_text("")
    assert joblot("run", "--state", "file/x").code == 4


def test_errors_are_json_too_when_json_was_asked_for(joblot):
    """D6: standard output carries JSON and nothing else."""
    done = joblot("show", "last", "--json")
    assert done.code == 4
    assert json.loads(done.out) == {
        "ok": False,
        "errors": [
            {
                "code": "no_runs",
                "message": "no runs here: `DIR/.joblot` does not exist or holds no journal",
                "path": "", "file": "", "line": 0, "column": 0, "source": "",
                "hint": MAKES_IT,
                "severity": "error",
            }
        ],
        "warnings": [],
    }  # fmt: skip


def test_an_internal_error_is_one_line_and_a_traceback_only_on_request(joblot):
    joblot.write("joblot.yaml", ONE)
    breaking = "import joblot.core.plan, sys\njoblot.core.plan.expand = None\nfrom joblot.__main__ import main\nsys.exit(main(['validate']))"

    def run(env):
        command = [sys.executable, "-c", breaking]
        return subprocess.run(
            command, capture_output=True, text=True, cwd=joblot.path, env=joblot.env | env, timeout=60, check=False
        )

    done = run({})
    assert (done.returncode, done.stdout) == (3, "")
    assert (
        done.stderr
        == "internal error: TypeError: 'NoneType' object is not callable; set JOBLOT_TRACEBACK=1 to see where\n"
    )
    assert "Traceback (most recent call last)" in run({"JOBLOT_TRACEBACK": "1"}).stderr


# --- I16: standard output closed or full --------------------------------------------------------------


def shell(joblot, line):
    command = f'joblot() {{ "{sys.executable}" -m joblot "$@"; }}; {line}'
    return subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        text=True,
        cwd=joblot.path,
        env=joblot.env,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("arguments", ["--version", "--help", "ls", "validate", "actions", "show last", "schema"])
def test_a_full_disk_behind_standard_output_is_one_error(joblot, arguments):
    """I16: /dev/full."""
    joblot.write("joblot.yaml", ONE)
    joblot("run")
    done = shell(joblot, f"joblot {arguments} > /dev/full")
    assert (done.returncode, done.stderr) == (1, "error: cannot write to standard output: no space left on device\n")


def test_a_run_is_finished_and_recorded_though_its_result_cannot_be_written(joblot):
    """I16: the run comes first."""
    joblot.write("joblot.yaml", ONE)
    done = shell(joblot, "joblot run -q --json > /dev/full")
    assert (done.returncode, done.stderr) == (1, "error: cannot write to standard output: no space left on device\n")
    assert " success " in joblot("ls").out


def test_a_reader_that_goes_away_is_no_news(joblot):
    """I16: a broken pipe is silent; a run that succeeded has succeeded."""
    joblot.write("joblot.yaml", ONE)
    done = shell(joblot, "(sleep 0.1; joblot run -v 2>&1; echo code $? >&2) | true")
    assert (done.stdout, done.stderr) == ("", "code 0\n")
    done = shell(joblot, "(sleep 0.1; joblot schema; echo code $? >&2) | true")
    assert (done.stdout, done.stderr) == ("", "code 141\n")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&-", ">&- 2>&- <&-"])
def test_closed_streams_do_not_matter(joblot, closed):
    """I16: the journal never gets the number of a closed stream."""
    joblot.write("joblot.yaml", ONE)
    assert shell(joblot, f"joblot run {closed}").returncode == 0
    assert " success " in joblot("ls").out


# --- I17: environments --------------------------------------------------------------------------------

PACKAGES = str(Path(cli.__file__).parents[2])
ENVIRONMENTS = {
    "nothing": {},
    "no home": {"HOME": ""},
    # Python does not find what is installed from a folder with an accent then, whose name an installer has written as UTF-8.
    "C": {"LANG": "C", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONPATH": PACKAGES},
    "POSIX": {"LC_ALL": "POSIX"},
    "unknown locale": {"LC_ALL": "xx_YY.UTF-8"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "dumb": {"TERM": "dumb"},
    "no temporary folder": {"TMPDIR": "/nonexistent"},
    "CI": {"CI": "true"},
    "no color": {"NO_COLOR": "1"},
    "empty state": {"JOBLOT_STATE": ""},
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_odd_environments_work(joblot, name):
    """I17"""
    joblot.write("joblot.yaml", "name: œuvre\njobs:\n  - {name: a, run: 'echo é; exit 1'}\n")
    done = joblot("run", "--run-id", "r1", env=ENVIRONMENTS[name])
    assert (done.code, done.result) == (1, "run r1: 1 job: 1 failed, in T\n")
    assert "  | é\n" in done.err
    assert "Batch œuvre: failed" in done.err


def test_a_restrictive_umask_works(joblot):
    """I17: umask 077"""
    joblot.write("joblot.yaml", ONE)
    assert joblot("run", umask=0o077).code == 0
    assert joblot("show", "last", umask=0o077).code == 0


def test_a_working_folder_that_was_deleted(joblot, tmp_path):
    """I17: absolute paths work; what needs the folder says so."""
    batch = joblot.write("b.yaml", ONE)
    (tmp_path / "gone").mkdir()
    state = tmp_path / "state"
    done = shell(joblot, f"cd gone; rmdir ../gone; joblot run {batch} --state {state} -q; echo $?; joblot ls; echo $?")
    assert done.stdout == "0\n2\n"
    assert (
        done.stderr
        == "error: the working folder does not exist any more\nhint: change to another, or give absolute paths\n"
    )


def test_a_file_name_that_is_not_utf_8_is_shown_escaped(joblot):
    """I17"""
    done = joblot("validate", os.fsdecode(b"b\xff.yaml"))
    assert (done.code, done.err) == (2, "error: no such file: `b\\udcff.yaml`\n")
