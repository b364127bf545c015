"""A command that names what another job makes, and waits for it in no way: a warning, once a declaration."""

import json

import pytest

from cli.conftest import Project
from joblot import load
from joblot.actions.registry import ACTIONS
from joblot.config.load import load_text
from joblot.core.named import expand_with_doubts
from joblot.errors import ConfigError


@pytest.fixture
def joblot(tmp_path):
    return Project(tmp_path)


MAKE = "{name: make, run: x, outputs: [mid.txt, parts, /far/away.txt]}"


def doubts(*jobs, folder="/b", rest=""):
    text = "jobs:\n" + "".join(f"  - {job}\n" for job in jobs) + rest
    config, warnings = load_text(text, folder=folder, lookup=ACTIONS.signature, names=ACTIONS.names)
    assert warnings == []
    return [(one.severity, one.message, one.line) for one in expand_with_doubts(config, strict=False)[1]]


def named(job, path, maker, line):
    return [("warning", f"job `{job}` names `{path}`, which job `{maker}` makes, and does not wait for it", line)]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ("run: cat mid.txt > all.txt", "mid.txt"),
        ("run: cat <mid.txt", "mid.txt"),
        ("run: 'wc \"./mid.txt\"; true'", "mid.txt"),
        ("run: 'x --from=mid.txt'", "mid.txt"),
        ("run: [cat, mid.txt]", "mid.txt"),
        ("run: cat parts/a.csv", "parts"),
        ("run: 'cat (parts/../mid.txt)'", "mid.txt"),
        ("run: cat /b/mid.txt", "mid.txt"),
        ("run: cat /far/away.txt", "/far/away.txt"),
        ("run: cat MID.TXT", "mid.txt"),
        ("run: cat ../mid.txt, cwd: sub", "mid.txt"),
        ("run: 'cat ${{ vars.x }}'", "mid.txt"),
        ("run: 'cat mid.txt parts/a mid.txt', input: other.txt", "mid.txt"),
    ],
)
def test_it_is_told(fields, path):
    assert doubts(MAKE, f"{{name: use, {fields}}}", rest="vars: {x: mid.txt}\n") == named("use", path, "make", 3)


@pytest.mark.parametrize(
    "fields",
    [
        "run: cat mid.txt, needs: [make]",
        "run: cat mid.txt, needs: [near]",
        "run: cat mid.txt, input: mid.txt",
        "run: cat mid.txt, input: parts/a",
        "run: cat mid.txt.old a/mid.txt",
        "run: cat mid.txt, cwd: sub",
        "run: ls parts",
        "run: 'x ${{ vars.y }}'",
        "action: count_lines, input: a.log, x-run: cat mid.txt",
        "run: cat own.txt, outputs: [own.txt]",
        "run: rm mid.txt, if: false",
        "run: rm mid.txt, if: 'not ${{ vars.on }}'",
    ],
)
def test_it_is_not_told_where_it_waits_or_means_something_else(fields):
    near = "{name: near, run: x, needs: [make]}"
    assert doubts(MAKE, near, f"{{name: use, {fields}}}", rest="vars: {y: mid, on: true}\n") == []


def test_it_is_not_told_of_a_job_that_comes_before_or_at_the_end():
    assert doubts("{name: make, run: x, outputs: [mid.txt], needs: [use]}", "{name: use, run: cat mid.txt}") == []
    assert doubts(MAKE, rest="finally:\n  - {name: tell, run: cat mid.txt}\n") == []


def test_it_is_not_told_of_what_is_not_made_in_this_run():
    first = "{name: first, run: x, if: '${{ vars.on }}'}"
    make, use = "{name: make, run: x, outputs: [mid.txt], needs: [first]}", "{name: use, run: rm mid.txt}"
    assert doubts(first, make, use, rest="vars: {on: false}\n") == []
    assert doubts(first, make, use, rest="vars: {on: true}\n") == named("use", "mid.txt", "make", 4)


def test_of_a_fan_out_it_is_told_once():
    clean = "{name: 'clean-${{ item }}', run: x, outputs: ['out/${{ item }}.csv'], foreach: [a, b, c]}"
    load = "{name: 'load-${{ item }}', run: 'load out/${{ item }}.csv', foreach: [a, b, c]}"
    assert doubts(clean, load) == named("load-a", "out/a.csv", "clean-a", 3)
    assert doubts(clean, load.replace("foreach", "input: 'out/${{ item }}.csv', foreach")) == []


def test_where_nothing_is_declared_nothing_is_told():
    assert doubts("{name: make, run: x > mid.txt}", "{name: use, run: cat mid.txt}") == []


def test_the_commands_tell_it_and_strict_refuses_it(joblot):
    joblot.write(
        "joblot.yaml",
        f"jobs:\n  - {MAKE.replace('x,', 'echo > mid.txt; mkdir parts,').replace(', /far/away.txt', '')}\n  - {{name: use, run: cat mid.txt}}\n",
    )
    said = "joblot.yaml:3:5: {}: job `use` names `mid.txt`, which job `make` makes, and does not wait for it\nhint: let it stand in `input`\n"
    done = joblot("validate")
    assert (done.code, done.err) == (0, said.format("warning"))
    document = json.loads(joblot("validate", "--json").out)
    assert [one["code"] for one in document["warnings"]] == ["named_only"]
    assert joblot("plan").err == said.format("warning")
    for command in ("validate", "plan", "run"):
        done = joblot(command, "--strict")
        assert (done.code, done.err) == (2, said.format("error"))
    with pytest.raises(ConfigError, match=r"names `mid\.txt`"):
        load(joblot.path / "joblot.yaml", strict=True)
    assert [job.name for job in load(joblot.path / "joblot.yaml").jobs] == ["make", "use"]
