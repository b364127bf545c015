"""What a cell of a notebook shows of a run: small whatever the run, and nothing of it is markup of a job's."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from joblot.core import events as ev
from joblot.core.model import Config, FanOut, JobSpec
from joblot.core.plan import expand
from joblot.reports.cell import MOST_BYTES, CellDisplay, ended
from joblot.reports.report import Report
from joblot.reports.view import LiveView, RunView
from made_runs import log_in

T0 = 1_800_000_000.0
TAGS = {"div", "p", "strong", "code", "table", "thead", "tbody", "tr", "th", "td", "details", "summary", "pre", "progress"}  # fmt: skip


class Tags(HTMLParser):
    """The tags of a text, each closed by its own, and what stands between them."""

    def __init__(self, html):
        super().__init__()
        self.open, self.seen, self.text = [], set(), ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        self.open.append(tag)
        assert {name for name, _ in attrs} <= {"style", "value", "max"}

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def read(html):
    tags = Tags(html)
    assert not tags.open
    assert tags.seen <= TAGS
    assert len(html.encode()) <= MOST_BYTES
    return tags.text


def report_of(jobs, *steps, log=None):
    plan = expand(Config(name="night<ly", folder="/b", jobs=jobs))
    records = [ev.Record(n + 1, T0 + n, list(step)) for n, step in enumerate(steps)]
    return Report(plan, RunView(plan.name, len(plan)).apply_all(records), run_id="r1", log=log)


def failing(count, message=lambda n: f"cannot read file {n}", log=None, name=lambda n: f"j{n}"):
    jobs = [JobSpec(name=name(n), run="x") for n in range(count)]
    ends = [ev.AttemptEnded(n, 1, "error", "failed", message=message(n), reason="exception") for n in range(count)]
    started = [ev.RunStarted("f", count), ev.AttemptsStarted(list(range(count)))]
    return report_of(jobs, started, ends, [ev.RunEnded("failed", 1.5)], log=log)


def test_failures_stand_by_cause_with_the_end_of_a_log(tmp_path):
    log = log_in(tmp_path)
    log.write_text("noise\n" * 100 + "ValueError: cannot read file 0\n")
    text = read(ended(failing(300, log=lambda job, attempt: str(log))))
    assert "✗ night<ly: failed" in text
    assert "300 jobs: 300 failed, in 1.5 s" in text
    assert "300cannot read file <n>j0" in text
    assert "the end of the log of j0" in text
    assert text.count("noise") == 19


HOSTILE = [
    "</pre></div><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\u2028\u202e<b>\x00\x1b[31mred",
    "&lt;script&gt;" * 50,
    "\ud800 half a pair",
    "]]>--><!--",
    "'\"><svg/onload=x>",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_job_says_is_never_markup(tmp_path, text):
    log = log_in(tmp_path)
    log.write_bytes(f"{text}\n".encode("utf-8", "replace") * 3)
    shown = read(ended(failing(2, lambda _: text, lambda job, attempt: str(log))))
    assert "\x00" not in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown


@pytest.mark.parametrize("char", ["<", "é", "€", "😀", "&", "x", '"'])
def test_a_run_of_any_size_is_small(tmp_path, char):
    log = log_in(tmp_path)
    log.write_text(f"{char * 5000}\n" * 100)
    names = lambda n: f"{'n' * 180}{n}"  # noqa: E731
    many = failing(3000, lambda n: f"{'abcdefghij'[n % 10]}{char * 3000}", lambda job, attempt: str(log), names)
    assert "more causes" in read(ended(many))
    fans = [
        JobSpec(name=f"{'f' * 100}{n}", run="x", fan_out=FanOut("rows", {f"c{char}{m}": [1, 2] for m in range(50)}))
        for n in range(40)
    ]
    assert "… and 30 more fan-outs" in read(ended(report_of(fans, [ev.RunStarted("f", 80)])))


def test_a_display_is_written_twice_a_second_at_most_and_keeps_its_end():
    shown, now = [], 0.0
    jobs = [JobSpec(name=f"j{n}", run="x") for n in range(4)]
    plan = expand(Config(name="b", folder="/b", jobs=jobs))
    view = LiveView(plan)
    display = CellDisplay("b", lambda html, text: shown.append((read(html), text)), now=lambda: now)
    display.warned("waiting for <another> run")
    assert shown.pop() == ("warning: waiting for <another> run", "b: begins")
    now = 0.6
    view.apply(ev.Record(1, T0, [ev.RunStarted("f", 4), ev.AttemptsStarted([0, 1])]))
    display.started("r1", view)
    for tick in range(1, 100):
        now = 0.6 + tick / 50
        display.recorded(ev.Record(2, T0, []))
        display.idle()
    assert 4 <= len(shown) <= 5
    assert "0 of 4 done · 2 waiting, 2 running" in shown[0][0].replace("  ", " ")
    display.ended("failed")
    display.close(failing(2))
    assert "✗ night<ly: failed" in shown[-1][0]
    assert "waiting for <another> run" in shown[-1][0]
    assert shown[-1][1] == "night<ly: failed: 2 jobs: 2 failed, in 1.5 s"
