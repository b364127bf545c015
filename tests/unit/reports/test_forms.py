"""Which form a file has that a run is written to, and that each form holds nothing of anybody's as its own."""

import csv
import io
import json
import os
import re
from xml.etree import ElementTree as ET

import pytest

from joblot import Batch, ConfigError
from joblot.config.fields import REPORT_FORMS
from joblot.core import events as ev
from joblot.core.model import Config, FanOut, JobSpec
from joblot.core.plan import expand
from joblot.errors import UsageError
from joblot.reports.forms import FORMS, ReportFile, declared_files, report_file, write
from joblot.reports.report import Report
from joblot.reports.view import RunView

T0 = 1_800_000_000.0


def made(jobs, *steps, batch="b", log=None):
    """A report of jobs and what happened second after second."""
    plan = expand(Config(name=batch, folder="/b", jobs=jobs))
    records = [ev.Record(n + 1, T0 + n, list(step)) for n, step in enumerate(steps)]
    return Report(plan, RunView(plan.name, len(plan)).apply_all(records), run_id="r1", log=log)


@pytest.mark.parametrize(
    ("text", "form", "path", "appends"),
    [
        ("a.html", "html", "/f/a.html", False),
        ("A.HTML", "html", "/f/A.HTML", False),
        ("/x/a.xml", "xml", "/x/a.xml", False),
        ("a.json", "json", "/f/a.json", False),
        ("a.trace.json", "trace", "/f/a.trace.json", False),
        ("a.csv", "csv", "/f/a.csv", False),
        ("a.tsv", "tsv", "/f/a.tsv", False),
        ("a.md", "md", "/f/a.md", False),
        ("md:a", "md", "/f/a", True),
        ("md:a.md", "md", "/f/a.md", True),
        ("md:/tmp/x:y", "md", "/tmp/x:y", True),
        ("xml:a.json", "xml", "/f/a.json", False),
        ("trace:t", "trace", "/f/t", False),
        ("other:a", "json", "/f/other:a", False),
        ("./md:a", "json", "/f/md:a", False),
        ("report", "json", "/f/report", False),
        ("a.txt", "json", "/f/a.txt", False),
    ],
)
def test_the_end_of_a_name_or_the_word_before_it_says_the_form(text, form, path, appends):
    assert report_file(text, "/f") == ReportFile(form, path, appends)


@pytest.mark.parametrize("text", ["md:", "xml: ", "", "  "])
def test_a_form_without_a_path_is_refused(text):
    with pytest.raises(UsageError) as caught:
        report_file(text)
    assert caught.value.message == f"no file is named in `{text}`"
    expected = f"`{text.strip()}` stands before a path: is the variable set that names it?" if text.strip() else ""
    assert caught.value.hint == expected


def test_the_forms_of_batch_files_are_those_that_are_written():
    assert set(REPORT_FORMS) == set(FORMS)


WRONG = [
    (1, "`report` must be a list, not the number 1"),
    ("", "`report` must not be empty"),
    ("md:", "`report` names no file: `md:`"),
    ("r-*.html", "`report` must be a path, and `r-*.html` is a pattern"),
    ([["a"]], "`report[0]` must be a text, not a list"),
]


@pytest.mark.parametrize(("value", "message"), WRONG)
def test_what_a_batch_cannot_ask_for(errors_of, value, message):
    assert errors_of({"report": value, "jobs": []}) == [message]
    with pytest.raises(ConfigError) as caught:
        Batch("b", report=value)
    assert caught.value.diagnostics[0].message == message


@pytest.fixture
def errors_of(tmp_path):
    from joblot.config.load import load

    def read(batch):
        (tmp_path / "b.json").write_text(json.dumps(batch))
        with pytest.raises(ConfigError) as caught:
            load(tmp_path / "b.json", lookup=lambda _: None, names=list)
        return [one.message for one in caught.value.diagnostics]

    return read


def test_paths_of_a_batch_begin_at_its_folder(tmp_path):
    config = Batch("b", folder=tmp_path, report=["a.html", tmp_path / "x" / "b.xml", "md:sum"]).config()
    assert declared_files(config) == [
        ReportFile("html", f"{tmp_path}/a.html"),
        ReportFile("xml", f"{tmp_path}/x/b.xml"),
        ReportFile("md", f"{tmp_path}/sum", appends=True),
    ]


# --- hostile names ------------------------------------------------------------------------------------

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\x1b[31mred\x1b]0;title\x07",
    "nul\0byte",
    "line\u2028separator\u2029here",
    "bidi\u202eevil\u2066",
    "=cmd|' /C calc'!A1",
    "+1+1",
    "-2+3",
    "@SUM(1)",
    "a|b|c `code` **bold** [link](http://x) ![i](http://y) @octocat #1 $x$",
    '"quoted", and\ta tab\r\nand lines',
    "]]> &amp; &#0; <!-- ",
    "\ud7ff\ue000\ufffe\uffff",
    "half \udc80 of a pair",
]


def hostile_report(tmp_path):
    texts = [text.encode("utf-8", "replace").decode() for text in HOSTILE]
    fan = FanOut("rows", {"": texts})
    jobs = [JobSpec(name="j-${{ item }}", run="x", fan_out=fan)]
    logs = tmp_path / "a" / "b" / "c"  # such as a state folder has it
    logs.mkdir(parents=True)
    (logs / "1.log").write_bytes("\n".join(HOSTILE).encode("utf-8", "surrogateescape"))
    ends = [
        ev.AttemptEnded(n, 1, "exit", "failed", 0.0, 1.0, message=text, reason=text, exit_code=1)
        for n, text in enumerate(texts)
    ]
    begun = ev.AttemptsStarted(list(range(len(texts))))
    steps = [[ev.RunStarted("f", len(texts)), begun], [*ends, ev.RunEnded("failed", 2.0)]]
    report = made(jobs, *steps, batch="<b>|`x`\x1b[1m", log=lambda *_: str(logs / "1.log"))
    return report, texts


@pytest.fixture
def hostile(tmp_path):
    report, texts = hostile_report(tmp_path)

    def text_of(form):
        write(report, f"{form}:{tmp_path}/out.{form}")
        return (tmp_path / f"out.{form}").read_bytes().decode(), texts

    return text_of


NEVER = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


@pytest.mark.parametrize("form", [form for form in FORMS if form not in ("json", "trace")])
def test_nothing_drives_a_terminal(hostile, form):
    """V4. In JSON such characters are escaped."""
    assert NEVER.search(hostile(form)[0]) is None


@pytest.mark.parametrize("form", ["json", "trace"])
def test_json_is_read_back_whatever_it_holds(hostile, form):
    """V4"""
    text = hostile(form)[0]
    assert NEVER.search(text) is None
    assert json.loads(text)


def test_xml_is_read_back_whatever_it_holds(hostile):
    """V4, V5"""
    text, texts = hostile("xml")
    root = ET.fromstring(text)
    kinds = {element.tag for element in root.iter()}
    assert kinds == {"testsuites", "testsuite", "testcase", "failure"}
    assert len(root.findall(".//testcase")) == len(texts)
    assert "<script" not in text


@pytest.mark.parametrize(("form", "delimiter"), [("csv", ","), ("tsv", "\t")])
def test_no_cell_of_a_table_is_a_formula(hostile, form, delimiter):
    """V4, V8"""
    text, texts = hostile(form)
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    assert len(rows) == len(texts) + 1
    assert {len(row) for row in rows} == {len(rows[0])}
    assert [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))] == []
    assert [row[0].removeprefix("'") for row in rows[1:]] == [re.sub(NEVER, "", text) for text in texts]


def test_markdown_means_nothing_but_what_it_says(hostile):
    """V4, V6"""
    text = hostile("md")[0]
    assert "<script" not in text
    assert "<img" not in text
    assert re.search(r"(?<!\\)\[link|(?<!\\)@octocat|(?<!\\)\*\*bold|(?<!\\)!\[", text) is None
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {3, 5}, "no cell breaks its row"
    assert not set(text) & set("\u2028\u2029\u202e\u2066")


def test_a_file_in_the_way_is_replaced_and_md_goes_on(tmp_path):
    report = made([JobSpec(name="a", run="x")], [ev.RunStarted("f", 1)])
    for form in FORMS:
        path = tmp_path / "deep" / form
        path.parent.mkdir(exist_ok=True)
        path.write_text("what was there")
        write(report, f"{form}:{path}")
        first = path.read_text()
        assert first.startswith("what was there") == (form == "md")
        write(report, f"{form}:{path}")
        again = path.read_text()
        assert again == (first + first.removeprefix("what was there") if form == "md" else first)
        assert os.listdir(path.parent) == [form], "nothing is left beside it"
        path.unlink()
