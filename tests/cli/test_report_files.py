"""Files of a run: several at once, by option, in the batch and from Python, when it ends and any time later."""

import json

import pytest

from joblot import Batch, JoblotError

BATCH = """
name: night
{more}
jobs:
  - {{name: load, run: 'echo no such table; exit 3'}}
  - {{name: total, run: echo sum, needs: [load]}}
"""
FORMS = ("report.html", "report.json", "junit.xml", "sum.md", "jobs.csv", "jobs.tsv", "run.trace.json")
BEGINS = {
    "report.html": "<!DOCTYPE html>", "report.json": '{\n  "joblot"', "junit.xml": "<?xml", "sum.md": "## ✗ night: failed", "jobs.csv": "job,state,",
    "jobs.tsv": "job\tstate\t", "run.trace.json": '{"displayTimeUnit"',
}  # fmt: skip


def write(joblot, more=""):
    joblot.write("joblot.yaml", BATCH.format(more=more))


def options(*names):
    return [word for name in names for word in ("--report", name)]


def begins(joblot, folder="out"):
    return {name: (joblot.path / folder / name).read_text()[: len(text)] for name, text in BEGINS.items()}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("joblot.yaml", "is the batch file: it would be replaced"),
        ("link.json", "is the batch file: it would be replaced"),
        (".joblot/journal.db", "lies in the state folder, which is joblot's own"),
    ],
)
def test_what_is_joblots_own_is_never_replaced(joblot, name, words):
    write(joblot)
    (joblot.path / "link.json").symlink_to("joblot.yaml")
    refused = f"error: `DIR/{name}` {words}\nhint: name another file to write to\n"
    assert joblot("run", "-q", "--report", name)[::2] == (2, refused)
    write(joblot, f"report: {name}")
    assert joblot("run", "-q")[::2] == (2, refused)
    assert (joblot.path / "joblot.yaml").read_text() == BATCH.format(more=f"report: {name}")


def test_one_option_writes_all_forms_and_show_the_same_ones_later(joblot):
    write(joblot)
    done = joblot("run", "-q", *options(*(f"out/{name}" for name in FORMS)))
    assert done.code == 1
    assert "the report: DIR/out/report.html\n" in done.err
    assert begins(joblot) == BEGINS
    shown = joblot("show", *options(*(f"later/{name}" for name in FORMS)))
    assert shown.code == 0
    assert begins(joblot, "later") == BEGINS
    for name in FORMS:
        if name not in ("report.json", "report.html"):
            first, later = ((joblot.path / folder / name).read_text() for folder in ("out", "later"))
            assert first == later


def test_md_goes_on_where_a_step_before_it_ended(joblot):
    write(joblot)
    joblot.write("summary", "what a step before has written\n")
    joblot("run", "-q", "--report", "md:summary")
    joblot("show", "--report", "md:summary")
    text = (joblot.path / "summary").read_text()
    assert text.startswith("what a step before has written\n## ✗ night")
    assert text.count("## ✗ night: failed") == 2


def test_a_variable_that_is_not_set_is_said(joblot):
    write(joblot)
    done = joblot("run", "--report", "md:")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(
        "error: invalid value for `--report`: no file is named in `md:` (`md:` stands before a path: is the variable set that names it?)\n"
    )


def test_a_batch_asks_for_its_files_itself(joblot, tmp_path_factory):
    write(joblot, "report: [out/junit.xml, 'out/${{ vars.kind }}.md']\nvars: {kind: sum}")
    assert joblot("run", "-q", joblot.path / "joblot.yaml", cwd=tmp_path_factory.mktemp("elsewhere")).code == 1
    assert (joblot.path / "out/junit.xml").read_text().startswith("<?xml")
    assert (joblot.path / "out/sum.md").exists()
    (joblot.path / "out/junit.xml").unlink()
    assert joblot("resume", "-q").code == 1
    assert (joblot.path / "out/junit.xml").exists(), "a run that goes on writes them too"


def test_what_the_batch_asks_for_and_cannot_be_written_is_a_warning(joblot):
    """V3"""
    joblot.write("joblot.yaml", "report: [joblot.yaml/x.xml, ok.xml]\njobs: [{name: a, run: 'true'}]")
    done = joblot("run")
    assert done.code == 0
    warning = "WARNING | cannot write `DIR/joblot.yaml/x.xml`: not a directory, which the batch names under `report`\n"
    assert warning in done.err
    assert (joblot.path / "ok.xml").exists()


def test_what_an_option_asks_for_and_cannot_be_written_is_exit_code_1(joblot):
    """V3"""
    joblot.write("joblot.yaml", "report: a.xml\njobs: [{name: a, run: 'rm -r out; touch out'}]")
    (joblot.path / "out").mkdir()
    done = joblot("run", *options("out/a.xml", "b.xml"))
    assert (done.code, "1 succeeded" in done.out) == (1, True)
    assert "error: cannot write `DIR/out/a.xml`: not a directory\n" in done.err
    assert (joblot.path / "a.xml").exists()
    assert (joblot.path / "b.xml").exists()
    done = joblot("run", *options("out/a.xml"))
    assert (done.code, done.out) == (2, ""), "before anything runs it is known by now"


def test_what_show_cannot_write_takes_neither_the_others_nor_the_result(joblot):
    write(joblot)
    joblot("run", "-q")
    done = joblot("show", "--report", "/dev/full", "--report", "md:sum")
    assert done.code == 1
    assert done.err == "error: cannot write `/dev/full`: no space left on device\n"
    assert "2 jobs: 1 failed, 1 skipped" in done.out
    assert (joblot.path / "sum").exists()


def test_a_file_of_the_batch_and_of_an_option_is_written_once(joblot):
    write(joblot, "report: md:sum")
    joblot("run", "-q", "--report", "md:sum")
    assert (joblot.path / "sum").read_text().count("## ✗ night") == 1


def test_files_that_are_written_are_no_part_of_a_folder_that_a_job_reads(joblot):
    joblot.write(
        "joblot.yaml",
        "report: data/junit.xml\njobs: [{name: a, run: 'ls data > out.txt', input: data, outputs: [out.txt]}]",
    )
    joblot.write("data/x", "")
    assert joblot("run", "-q", "--report", "data/r.md").code == 0
    assert joblot("run", "-q", "--report", "data/r.md").code == 0
    assert "cached" in joblot("explain", "a").out
    (joblot.path / "data/r.md").unlink()
    assert "up to date" in joblot("plan").out


def test_it_is_refused_in_these_words_where_files_run_together_do_not_agree(joblot):
    joblot.write("a.yaml", "report: [x.md, y.xml]\njobs: []")
    joblot.write("b.yaml", "jobs: []")
    assert joblot("validate", "a.yaml", "b.yaml").err.startswith(
        "b.yaml: error: `report` is not set here and `x.md`, `y.xml` in `a.yaml`, which is to be run together with it\n"
    )


def test_python_writes_them_alike(tmp_path):
    batch = Batch("night", folder=tmp_path, report=tmp_path / "declared.xml")
    batch.command("load", "exit 3")
    report = batch.run(on="inline", report=[tmp_path / "a.md", f"csv:{tmp_path}/table"])
    assert (tmp_path / "declared.xml").read_text().startswith("<?xml")
    assert (tmp_path / "a.md").read_text().startswith("## ✗ night")
    assert (tmp_path / "table").read_text().startswith("job,state,")
    report.write(tmp_path / "b.trace.json")
    assert json.loads((tmp_path / "b.trace.json").read_text())["traceEvents"]
    one = batch.run(on="inline", report=str(tmp_path / "one.json"))
    assert json.loads((tmp_path / "one.json").read_text())["run_id"] == one.run_id


def test_python_is_told_of_what_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    batch = Batch("b", folder=tmp_path, report="file/declared.xml")
    batch.command("a", "true")
    told = []

    class Watches:
        def started(self, run_id, view): ...
        def recorded(self, record): ...
        def idle(self): ...
        def ended(self, status): ...
        def warned(self, message):
            told.append(message)

    batch.run(on="inline", observers=[Watches()])
    assert told == [
        f"cannot write `{tmp_path}/file/declared.xml`: not a directory, which the batch names under `report`"
    ]
    with pytest.raises(JoblotError, match=r"^cannot write `.*/file/a\.md`: not a directory$"):
        batch.run(on="inline", report=tmp_path / "file" / "a.md")


def test_who_asks_for_no_file_loads_no_form(joblot):
    joblot.write("joblot.yaml", "jobs: [{name: a, run: 'true'}]")
    done = joblot("run", env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert done.code == 0
    for name in ("forms", "page", "junit", "markdown", "trace", "table", "rows"):
        assert f"joblot.reports.{name}\n" not in done.err
