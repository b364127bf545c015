"""`validate --format github`: what is wrong, as GitHub Actions shows it at its line."""

import pytest

from joblot.cli.validate import annotation
from joblot.errors import Diagnostic


def test_errors_stand_at_their_lines(joblot):
    """V9"""
    joblot.write("joblot.yaml", "jobs:\n  - {name: a, run: 'true', retrys: 3}\n  - {name: a, run: 'true'}\n")
    done = joblot("validate", "--format", "github")
    assert (done.code, done.err) == (2, "")
    assert done.out == (
        "::error file=joblot.yaml,line=2,col=28,title=unknown_field::unknown field `retrys` in job `a`%0Ahint: did you mean `retry`?\n"
        "::error file=joblot.yaml,line=3,col=12,title=duplicate_name::duplicate job name `a` (first on line 2)\n"
    )


def test_warnings_are_annotations_too_and_a_right_file_says_so(joblot):
    joblot.write("joblot.yaml", "jobs: [{name: a, run: 'true', env_file: x.env}]")
    done = joblot("validate", "--format", "github")
    assert done.code == 0
    assert done.out == (
        "::warning file=joblot.yaml,line=1,col=8,title=env_file::`env_file` of job `a`: no such file: `x.env`%0Ahint: no run begins without it\n"
        "ok: 1 job\n"
    )


def test_paths_begin_at_the_workspace(joblot):
    joblot.write("deep/joblot.yaml", "jobs: 1")
    done = joblot(
        "validate", joblot.path / "deep/joblot.yaml", "--format", "github", env={"GITHUB_WORKSPACE": str(joblot.path)}
    )
    assert done.out.startswith("::error file=deep/joblot.yaml,line=1,col=7,")


def test_it_is_one_form_or_the_other(joblot):
    joblot.write("joblot.yaml", "jobs: []")
    done = joblot("validate", "--format", "github", "--json")
    assert done.code == 2
    assert "`--format` and `--json` exclude each other" in done.out


@pytest.mark.parametrize(
    ("message", "file", "line"),
    [
        ("100%\r\n::set-output", "a,b:c%.yaml", "::error file=a%2Cb%3Ac%25.yaml,line=3,col=5,title=x::100%25%0D%0A::set-output"),
        ("plain", "", "::error line=3,col=5,title=x::plain"),
        ("`" + "x" * 5000 + "`", "", f"::error line=3,col=5,title=x::`{'x' * 117}...`"),
    ],
)  # fmt: skip
def test_nothing_of_a_message_is_a_command(message, file, line):
    """V4, V9"""
    assert annotation(Diagnostic("x", message, file=file, line=3, column=5)) == line
