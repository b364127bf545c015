"""Batches in the kernel of a notebook: what a cell shows, what it leaves behind when it is run again, and how it is stopped."""

from __future__ import annotations

import re

import pytest


def test_a_run_is_one_output_of_the_cell_whose_last_state_stays(kernel):
    shown = kernel.run(
        "batch = Batch('files')\n"
        "def read(number):\n    raise ValueError(f'cannot read {number}')\n"
        "batch.add('read', read, foreach=range(3), params={'number': '${{ item }}'})\n"
        "report = batch.run(workers=2)"
    )
    assert (shown.text, shown.error) == ("", "")  # no warning of threads, nor of a fork beside them
    assert "0 of 3 done" in shown.html[0]
    assert "✗ files: failed" in shown.html[-1]
    assert "ValueError: cannot read &lt;n&gt;" in shown.html[-1]
    assert "<details>" in kernel.run("report").html[0]
    error = kernel.run("report.check()").error
    cause = r"3 x ValueError: cannot read <n> \(such as `read-\d`\)"
    assert re.fullmatch(rf"BatchFailedError: 3 of 3 jobs failed: {cause}", error)


@pytest.mark.parametrize("on", ["local", "inline"])
def test_functions_of_a_notebook_are_jobs(kernel, on):
    shown = kernel.run(
        "batch, factor = Batch('f'), 3\n"
        "@batch.job\ndef one():\n    print('not in the cell')\n    return {'x': factor}\n"
        f"report = batch.run(on='{on}', progress=False)\n"
        "print(report.jobs['one'].result, open(report.jobs['one'].log).read())"
    )
    assert shown == ("{'x': 3} not in the cell\n\n", [], "")


def test_an_interrupted_kernel_stops_the_run_and_gives_its_report(kernel):
    kernel.run(
        "batch = Batch('slow')\nbatch.command('long', 'sleep 60', grace=0)\nbatch.command('next', 'true', needs=['long'])"
    )
    shown = kernel.run("report = batch.run(stop_grace_s=0.1)", interrupt_at="1 running")
    assert shown.error == ""
    assert "! slow: cancelled" in shown.html[-1]
    assert kernel.run("report.check()").error == f"BatchFailedError: run `{kernel.run('print(report.run_id)').text.strip()}` did not succeed: cancelled"  # fmt: skip


def test_a_kernel_that_is_interrupted_again_and_again_lives_on(kernel):
    kernel.run("kept, batch = 5, Batch('loop')\n@batch.job\ndef loop():\n    while True: pass")
    shown = kernel.run("report = batch.run(on='inline')", interrupt_at="1 running", again=True)
    assert kernel.run("print(kept)").text == "5\n"
    assert "KeyboardInterrupt" in shown.error + shown.html[-1]


ONE = "@batch.job\ndef one():\n    return {}\nprint([job.name for job in batch.jobs])"
AGAIN = "['one']\n"
DUPLICATE = "ConfigError: duplicate job name `one`"


@pytest.mark.parametrize(
    ("first", "second", "cells", "expected"),
    [
        (ONE.format(1), ONE.format(2), ("a", "a"), AGAIN),
        (ONE.format(1), ONE.format(2), ("", ""), AGAIN),
        (ONE.format(1), ONE.format(2), ("a", "b"), DUPLICATE),
        ("batch.command('one', 'true')", "batch.command('one', 'false')\nprint([j.name for j in batch.jobs])", ("a", "a"), AGAIN),
        ("batch.command('one', 'true')", "batch.command('one', 'false')\nprint([j.name for j in batch.jobs])", ("", ""), AGAIN),
        ("batch.command('one', 'true')", ONE.format(2), ("a", "a"), AGAIN),
        ("batch.command('one', 'true')", ONE.format(2), ("", ""), DUPLICATE),
        (ONE.format(1), "def other(): pass\nbatch.add('one', other)", ("", ""), DUPLICATE),
        (ONE.format(1), "def other(): pass\nbatch.add('One', other)", ("a", "a"), "ConfigError: job names `one` and `One` differ only in case"),
        ("", ONE.format(1) + "\n" + ONE.format(2), ("a", "a"), DUPLICATE),
        ("for n in range(3): batch.add(f'j{n}', print)", "for n in (1, 1): batch.add(f'j{n}', print)", ("a", "a"), "ConfigError: duplicate job name `j1`"),
    ],
)  # fmt: skip
def test_a_cell_that_is_run_again_replaces_its_jobs(kernel, first, second, cells, expected):
    kernel.run("batch = Batch('again')")
    assert kernel.run(first, cells[0]).error == ""
    shown = kernel.run(second, cells[1])
    assert expected in (shown.text, shown.error)


FANS = "print([job.name for job in batch.jobs], len(batch.plan()))"
EACH = "@batch.job(foreach=range({0}), params={{'n': '${{{{ item }}}}'}})\ndef each(n): pass\n" + FANS
NAMED = "batch.add('x-${{{{ item }}}}', work, foreach=range({0}))\n" + FANS


@pytest.mark.parametrize(
    ("first", "second", "cells", "expected"),
    [
        (EACH.format(3), EACH.format(2), ("a", "a"), "['each'] 2\n"),
        (EACH.format(3), EACH.format(2), ("", ""), "['each'] 2\n"),
        (EACH.format(3), EACH.format(2), ("a", "b"), "ConfigError: duplicate job name `each-0` (also jobs[0]) (and 1 more)"),
        (NAMED.format(3), NAMED.format(4), ("a", "a"), "['x-${{ item }}'] 4\n"),
        ("batch.add('m', work, matrix={'a': [1, 2]})", "batch.add('m', work, matrix={'a': [1, 2, 3]})\n" + FANS, ("a", "a"), "['m'] 3\n"),
        ("batch.command('c', 'true', foreach=[1, 2])", "batch.command('c', 'true', foreach=[1])\n" + FANS, ("", ""), "['c'] 1\n"),
        # one name, several declarations: each in its place
        ("for n in (1, 2): batch.add('p', work, foreach=[n])", "for n in (3, 4): batch.add('p', work, foreach=[n])\n" + FANS, ("a", "a"), "['p', 'p'] 2\n"),
        # a job becomes one for each item, and the other way round; what is refused leaves what there is
        ("batch.add('each', work)", EACH.format(2), ("a", "a"), "['each'] 2\n"),
        (EACH.format(2), "batch.add('each', work)\n" + FANS, ("a", "a"), "['each'] 1\n"),
        (EACH.format(2), "try: batch.add('each', work, timeout='x')\nexcept ValueError: pass\nbatch.add('each', work)\n" + FANS, ("a", "a"), "['each'] 1\n"),
    ],
)  # fmt: skip
def test_a_cell_that_is_run_again_replaces_what_it_has_declared_for_each_item(kernel, first, second, cells, expected):
    kernel.run("batch = Batch('fans')\ndef work(): pass")
    assert kernel.run(first, cells[0]).error == ""
    shown = kernel.run(second, cells[1])
    assert expected in (shown.text, shown.error)


def test_the_job_that_replaces_another_runs_in_its_place(kernel):
    kernel.run("batch = Batch('place')")
    kernel.run("@batch.job\ndef one(number):\n    return 1", "a")
    kernel.run("@batch.job(needs=[one])\ndef two():\n    return 2", "b")
    assert "needs the parameter `number`" in kernel.run("batch.plan()").error
    assert "must be a function" in kernel.run("batch.add('one', 5)", "a").error  # and leaves what there is
    assert "needs the parameter `number`" in kernel.run("batch.plan()").error
    kernel.run("@batch.job(params={'number': 5})\ndef one(number):\n    return number", "a")
    shown = kernel.run("print([(n, j.result) for n, j in batch.run(on='inline').jobs.items()])")
    assert shown.text == "[('one', 5), ('two', 2)]\n"
    assert (
        kernel.run("@batch.job(needs=[one])\ndef three(): pass\nprint(batch.jobs[-1].needs)", "c").text == "('one',)\n"
    )


def test_what_is_known_to_hang_in_a_forked_job_is_told(kernel):
    """The last test of this kernel, which keeps the threads."""
    pytest.importorskip("polars")
    code = "batch = Batch('b')\n@batch.job\ndef one(): pass\nreport = batch.run()"
    assert "warning" not in kernel.run(code).html[-1]
    kernel.run("import polars\npolars.DataFrame({'a': [1]}).lazy().select('a').collect()")
    shown = kernel.run(code)
    assert "warning: Polars has been used in this kernel: a job that uses it" in shown.html[-1]
    assert "✓ b: success" in shown.html[-1]
