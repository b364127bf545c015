"""The examples of the page "From GNU parallel": both lines print what the page shows below them."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from docs.pages import section, text

PAGE = text("howto/from-gnu-parallel.md")
EXAMPLES = re.findall(
    r"^```console\n\$ ([^\n]*parallel [^\n]*)\n\$ ([^\n]*joblot each [^\n]*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL
)
FILES = {
    "in/a.txt": "two\none\n",
    "in/b.txt": "three\n",
    "codes.csv": "code,day\n01.10,1\n6920Z,2\n",
    "commands": "echo hello\nprintf abcde | wc -c\n",
    "fetch": '#!/bin/sh\ntest -e "tried-$1" || { touch "tried-$1"; exit 1; }\necho "fetched $1"\n',
}


@pytest.fixture
def folder(tmp_path):
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    (tmp_path / "fetch").chmod(0o755)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "joblot").write_text(f'#!/bin/sh\nexec {sys.executable} -m joblot "$@"\n')
    (programs / "joblot").chmod(0o755)
    return tmp_path


def run(line, folder):
    env = {**os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}", "HOME": str(folder)}
    return subprocess.run(
        ["/bin/sh", "-c", line], cwd=folder, env=env, capture_output=True, text=True, check=True
    ).stdout


def test_there_are_ten():
    assert len(EXAMPLES) == 10
    assert len(re.findall("```console", section(PAGE, "## Ten examples"))) == 10


@pytest.mark.parametrize(("parallel", "each", "shown"), EXAMPLES)
def test_the_line_of_joblot_prints_what_the_page_shows(folder, parallel, each, shown):
    assert run(each, folder) == shown


@pytest.mark.skipif(shutil.which("parallel") is None, reason="GNU parallel is not installed")
@pytest.mark.parametrize(("parallel", "each", "shown"), EXAMPLES)
def test_so_does_the_line_of_parallel(folder, parallel, each, shown):
    assert run(parallel, folder) == shown


def test_what_print_shows_is_what_it_prints(folder):
    line, shown = re.search(
        r"^\$ (joblot each [^\n]* --print [^\n]*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL
    ).groups()
    assert run(line, folder) == shown


def test_the_failure_is_told_as_the_page_shows_it(folder):
    (folder / "load").write_text('#!/bin/sh\ntest "$1" != b || exit 1\necho "loaded $1"\n')
    (folder / "load").chmod(0o755)
    line, shown = re.search(r"^\$ (joblot each \./load [^\n]*)\n(.*?)^\$", PAGE, re.MULTILINE | re.DOTALL).groups()
    env = {**os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}"}
    done = subprocess.run(["/bin/sh", "-c", line], cwd=folder, env=env, capture_output=True, text=True, check=False)
    varying = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|\d{8}-\d{6}-\w{8}|[\d.]+ m?s\b|/\S*/\.joblot"
    assert re.sub(varying, "_", done.stdout + done.stderr) == re.sub(varying, "_", shown)


def test_what_the_table_of_braces_says_of_a_path():
    from joblot.cli.oneline import PARTS

    (row,) = [line for line in section(PAGE, "## Braces").splitlines() if line.startswith("| `{root}`")]
    words = re.findall(r"`([^`]+)`", row)
    assert words[:5] == [f"{{{name}}}" for name in PARTS]
    assert words[5:10] == [part("in/x.tar.gz") for part in PARTS.values()]
