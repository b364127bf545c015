"""What this repository says of itself agrees: Pythons, systems, versions, and the files and commands that its pages name."""

import os
import re
import subprocess
import tomllib

import pytest
import yaml

from docs.pages import ROOT, section
from joblot import __version__

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
MATRIX = WORKFLOW["jobs"]["run"]["strategy"]["matrix"]["python"]
PAGES = ["CONTRIBUTING.md", "RELEASING.md", "SECURITY.md", ".github/pull_request_template.md"]


def classified(prefix):
    return [one.removeprefix(prefix) for one in PROJECT["project"]["classifiers"] if one.startswith(prefix)]


def test_every_page_says_the_same_pythons():
    """Classifiers, CI, `requires-python`, the README, and what the tools are told to write for."""
    assert [version for version in classified("Programming Language :: Python :: ") if "." in version] == MATRIX
    oldest = MATRIX[0]
    assert PROJECT["project"]["requires-python"] == f">={oldest}"
    assert f"\nLinux, Python {oldest} or newer; CI runs on {oldest} to {MATRIX[-1]}.\n" in README
    assert f"Python {oldest} or newer, Linux." in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert PROJECT["tool"]["mypy"]["python_version"] == oldest
    assert PROJECT["tool"]["ruff"]["target-version"] == f"py{oldest.replace('.', '')}"


def test_linux_is_the_only_system_that_is_promised():
    assert classified("Operating System :: ") == ["POSIX :: Linux"]
    assert "| Windows, macOS | several. joblot's guarantees about processes are Linux's |" in README


def test_there_is_one_version():
    assert "version" not in PROJECT["project"]
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "joblot.version.__version__"}
    literal = f'\n__version__ = "{__version__}"\n'  # setuptools reads a literal without importing the package
    assert literal in (ROOT / "src/joblot/version.py").read_text(encoding="utf-8")
    newest = re.findall(r"^## \[(.+?)\] - ", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)[0]
    assert newest == __version__


def test_hosted_ci_runs_what_everybody_can_run_and_may_only_read():
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert "permissions" not in WORKFLOW["jobs"]["run"]
    steps = WORKFLOW["jobs"]["run"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == [".ci/run"]
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"]) for step in steps if "uses" in step)
    assert os.access(ROOT / ".ci/run", os.X_OK)


def test_ci_hands_its_python_to_make(tmp_path):
    """With a `make` that says what it was called with."""
    stub = tmp_path / "make"
    stub.write_text('#!/bin/sh\necho "$1 ${2%%=*} $3"\n')
    stub.chmod(0o755)
    env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHON": "python3.99"}
    done = subprocess.run([ROOT / ".ci/run"], env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.splitlines() == [f"PYTHON=python3.99 VENV {target}" for target in ("check", "test", "demo")]


@pytest.mark.parametrize("page", PAGES)
def test_files_and_targets_that_a_page_names_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    quoted = re.findall(r"`([^`\n]+)`", text) + re.findall(r"^\s*(?:\.venv/bin/)?python (\S+\.py)", text, re.MULTILINE)
    paths = {word for word in quoted if re.fullmatch(r"\.?[\w-]+(/[\w.-]+)+/?|[A-Z]+\.md|\w+\.toml|\w+/", word)}
    where = (ROOT, ROOT / "src" / "joblot")
    made = re.compile(r"(build|dist|\.venv)/|docs/_build/")
    assert {path for path in paths if not made.match(path) and not any((top / path).exists() for top in where)} == set()
    targets = set(
        re.findall(r"\bmake ([a-z][a-z-]+)", " ".join([*quoted, *re.findall(r"^\s*make .*", text, re.MULTILINE)]))
    )
    assert targets <= set(re.findall(r"^([a-z-]+):.*##", MAKEFILE, re.MULTILINE))
    assert paths | targets, "nothing was looked at"


def test_the_tools_before_a_commit_are_those_of_make_check():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    local = next(repo["hooks"] for repo in hooks if repo["repo"] == "local")
    checked = re.search(r"^check:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    tools = set(re.findall(r"\$\(BIN\)/(\w+(?: \w+)?)", checked[1]))
    assert {re.match(r"\.venv/bin/(\w+(?: \w+)?)", hook["entry"])[1] for hook in local} == tools & {
        "ruff check", "ruff format", "mypy",
    }  # fmt: skip
    assert {"ruff check", "ruff format", "mypy"} <= tools


@pytest.mark.parametrize("form", ["bug", "feature"])
def test_a_form_asks_for_what_is_needed(form):
    asked = yaml.safe_load((ROOT / f".github/ISSUE_TEMPLATE/{form}.yml").read_text(encoding="utf-8"))
    fields = {field["id"]: field for field in asked["body"] if field["type"] != "markdown"}
    needed = {name for name, field in fields.items() if field.get("validations", {}).get("required")}
    if form == "bug":
        assert needed == {"version", "batch", "expected", "happened"}
        assert "joblot show RUN --json" in fields["report"]["attributes"]["description"]
    else:
        assert needed == {"goal", "now"}
        assert section(README, f"## {fields['goals']['attributes']['label']}").strip()


def test_what_holds_the_promises_about_safety_exists():
    held = re.findall(
        r"`(tests/[\w/]+\.py)`", section((ROOT / "SECURITY.md").read_text(encoding="utf-8"), "## What is not trusted")
    )
    assert len(held) > 5
    assert [path for path in held if not (ROOT / path).exists()] == []
