"""Values in commands, from the batch file to the process: none is code, and what cannot be put in fails its job alone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import joblot
from joblot import Batch
from joblot.config.load import decode
from joblot.core.plan import expand

HOSTILE = "$(touch PWN; echo 41)"


def ran(tmp_path, command, value=HOSTILE, **fields):
    """A job whose command gets a result of another one, run to its end."""
    batch = Batch("b", folder=tmp_path)
    batch.add("count", lambda: {"rows": value})
    batch.command("total", command, needs=["count"], **fields)
    report = batch.run(on="inline", state=tmp_path / "state")
    assert not (tmp_path / "PWN").exists()
    return report.jobs["total"]


def test_arithmetic_takes_an_integer_and_another_result_fails_its_job_alone(tmp_path):
    job = ran(tmp_path, "echo $(( ${{ jobs.count.result.rows }} + 1 )) > out")
    assert (job.state, job.reason) == ("failed", "bad_reference")
    assert job.message == (
        "`jobs.count.result.rows` stands in `$(( ))`, which the shell evaluates: only an integer can be put in,"
        " not `$(touch PWN; echo 41)`"
    )
    assert ran(tmp_path, "echo $(( ${{ jobs.count.result.rows }} + 1 )) > out", 41).state == "success"
    assert (tmp_path / "out").read_text() == "42\n"


@pytest.mark.parametrize(
    ("command", "printed"),
    [
        ("printf %s ${{ jobs.count.result.rows }} > out", HOSTILE), ('printf %s "a ${{ jobs.count.result.rows }}" > out', f"a {HOSTILE}"),
        ("cat > out <<E\n${{ jobs.count.result.rows }}\nE\n", f"{HOSTILE}\n"), ("touch ${{ jobs.count.result.rows }}", None),
    ],
)  # fmt: skip
def test_a_result_arrives_as_it_is(tmp_path, command, printed):
    """The last one needs no shell."""
    assert ran(tmp_path, command).state == "success"
    assert printed is None or (tmp_path / "out").read_text() == printed
    assert printed is not None or (tmp_path / HOSTILE).exists()


def test_items_and_results_in_one_command(tmp_path):
    batch = Batch("b", folder=tmp_path, env={"E": "$(touch PWN)"})
    batch.add("first", lambda: ["a b", "`touch PWN`"])
    batch.command(
        "show",
        "printf '%s|' ${{ item }} ${{ env.E }} ${{ jobs.first.result }} > out-${{ run.id }}",
        needs=["first"],
        foreach=["$(touch PWN) ${{ x"],
    )
    report = batch.run(on="inline", state=tmp_path / "state", run_id="r")
    assert report.ok
    assert (tmp_path / "out-r").read_text() == "$(touch PWN) ${{ x|$(touch PWN)|a b|`touch PWN`|"
    assert not (tmp_path / "PWN").exists()


def test_too_much_for_one_command_is_said(tmp_path):
    job = ran(tmp_path, "true ${{ jobs.count.result.rows }}", "x" * 200_000)
    assert (
        job.message
        == "`jobs.count.result.rows` is longer than 131071 bytes, which no command takes as one value: pass a file"
    )
    batch = Batch("b", folder=tmp_path)
    batch.command("total", "true ${{ item.x }}", foreach=[{"n": 1, "x": ["x" * 100_000] * 30}])
    (job,) = batch.run(on="inline", state=False).jobs.values()
    words = 5 + 30 * 100_001 + 31 * 8  # with the NULs and pointers, which count
    found = re.fullmatch(
        r"cannot execute `true`: its words \((\d+) bytes\) and its environment \((\d+) bytes\) are more than the"
        r" (\d+) bytes that the system takes: pass a file",
        job.message,
    )
    assert found and (int(found[1]), int(found[3])) == (words, os.sysconf("SC_ARG_MAX"))
    assert job.reason == "too_long"


def test_values_take_part_in_what_is_up_to_date(tmp_path):
    def run(value):
        batch = Batch("b", folder=tmp_path)
        batch.command(
            "show-${{ item.n }}", "printf %s ${{ item.v }} > out", foreach=[{"n": 1, "v": value}], outputs=["out"]
        )
        (job,) = batch.run(on="inline", state=tmp_path / "state").jobs.values()
        return job.state

    assert [run("a b"), run("a b"), run("c")] == ["success", "cached", "success"]
    assert (tmp_path / "out").read_text() == "c"


def test_fuzzer_of_shell_texts_finds_nothing():
    """A short one; `make campaigns` has a million."""
    script = Path(__file__).parents[1] / "torture" / "shell.py"
    done = subprocess.run([sys.executable, script, "--cases", "2000"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "executed 0, changed 0\n" in done.stdout


@pytest.mark.parametrize(
    ("value", "word"),
    [("2.50", "2.50"), ("2.5", "2.5"), ("1e3", "1e3"), ("01.10", "01.10"), ("7", "7"), ("true", "true"), ("[1.0, 0x1F]", "1.0 0x1F")],
)  # fmt: skip
def test_a_number_is_written_as_the_file_writes_it_also_when_the_plan_was_read_back(tmp_path, value, word):
    batch = tmp_path / "b.yaml"
    batch.write_text(f'vars: {{v: {value}}}\njobs: [{{name: a, run: "true; echo ${{{{ vars.v }}}} > out"}}]\n')
    config = joblot.load(batch)
    assert decode(expand(config).encoded) == config
    report = joblot.run(batch, on="inline", state=tmp_path / "state", run_id="r1")
    assert (report.ok, (tmp_path / "out").read_text()) == (True, f"{word}\n")
    (tmp_path / "out").unlink()
    subprocess.run(
        [sys.executable, "-m", "joblot", "retry", "r1", "--job", "a", "--state", "state"], cwd=tmp_path, check=True
    )
    assert (tmp_path / "out").read_text() == f"{word}\n"
