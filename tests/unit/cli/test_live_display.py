"""The live display on terminals of many sizes, drawn by a terminal emulator: with a clock that stands still, and a run that is only state."""

import io
import os
import sys
import termios
import unicodedata

import pyte
import pytest

from joblot import Batch
from joblot.cli.live import LiveProgress
from joblot.cli.output import Output
from joblot.cli.screen import cropped, width
from joblot.clock import ManualClock
from joblot.core import events as ev
from joblot.core.model import STATES, WAITING
from joblot.journal.folder import RunFolder
from joblot.reports.view import LiveView

SIZES = [40, 80, 120, 200]
JOBS = [1, 20, 5000, 1_000_000]


class Terminal(io.FileIO):
    """A terminal of a size that can be changed: what is written to it is kept, write by write, and drawn."""

    def __init__(self, columns, rows):
        self._master, slave = os.openpty()
        super().__init__(slave, "w")
        self.screen = pyte.HistoryScreen(columns, rows, history=1000)
        self._stream = pyte.Stream(self.screen)
        self.writes = []
        self.resize(columns, rows)

    def resize(self, columns, rows):
        termios.tcsetwinsize(self.fileno(), (rows, columns))
        self.screen.resize(rows, columns)

    def write(self, data):
        text = bytes(data).decode()
        self.writes.append(text)
        self._stream.feed(text.replace("\n", "\r\n"))
        return len(data)

    def close(self):
        if not self.closed:  # the stream around it closes it too
            os.close(self._master)
            super().close()

    @property
    def lines(self):
        """What stands on it, without what is empty at the end."""
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip().splitlines()


@pytest.fixture
def terminal(monkeypatch):
    """Makes a terminal that is standard error."""
    for name in ("CI", "NO_COLOR", "COLUMNS", "LINES", "TERM_PROGRAM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    made = []

    def make(columns=80, rows=24):
        made.append(Terminal(columns, rows))
        stream = io.TextIOWrapper(io.BufferedWriter(made[-1], 1 << 20), encoding="utf-8", line_buffering=True)
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setattr(sys, "stdout", io.StringIO())
        return made[-1]

    yield make
    monkeypatch.undo()
    for one in made:
        one.close()


class Shown:
    """A run on a terminal, which is told what happens as the engine does."""

    def __init__(self, names, *, slots=4, folder=None, run_id="r1", **options):
        batch = Batch("b")
        for name in names:
            batch.add(name, lambda **_: None, **options)
        self.clock = ManualClock()
        self._run_id = run_id
        self.view = LiveView(batch.plan())
        self.progress = LiveProgress(Output(), folder, now=self.clock.now, wall=self.clock.wall)
        self.tell(ev.RunStarted("f", len(names), settings={"workers": slots}))
        self.progress.tally.left_s = self._left_by_count

    def _left_by_count(self):
        """What is guessed is the business of another test: here it must only follow from the numbers that are shown."""
        tally = self.progress.tally
        known = tally.elapsed_s >= 20 and tally.done >= 0.05 * tally.total and tally.rate > 0
        return (tally.total - tally.done) / tally.rate if known else None

    def tell(self, *events):
        record = ev.Record(1, self.clock.wall(), list(events))
        self.view.apply(record)
        if not self.progress.begun:
            self.progress.started(self._run_id, self.view)
        self.progress.recorded(record)

    def idle(self, seconds=0.25):
        self.clock.advance(seconds)
        self.progress.idle()


def shown_of(jobs, **options):
    """A run of so many jobs, of which the first twenty are more than a number."""
    shown = Shown([f"job-{number}" for number in range(min(jobs, 20))], **options)
    shown.view.jobs = jobs
    shown.view._counts[WAITING] += max(0, jobs - 20)
    return shown


def fail(shown, job, message="exit status 3", *, state="failed", delay_s=0.0):
    shown.tell(ev.AttemptEnded(job, 1, "exit", state, reason="exit_code", message=message, wall_s=1.0, delay_s=delay_s))


def stated(shown, **counts):
    """Have the view say so many jobs in each state; the rest waits."""
    for state, count in counts.items():
        shown.view._counts[STATES.index(state)] += count
        shown.view._counts[WAITING] -= count


@pytest.mark.parametrize("jobs", JOBS)
@pytest.mark.parametrize("columns", SIZES)
def test_no_line_is_ever_broken_and_none_is_left_over(terminal, columns, jobs):
    """The lines fit at each size, before and after a resize in the middle, and then they are gone."""
    tty = terminal(columns)
    shown = shown_of(jobs, slots=12)
    shown.tell(ev.AttemptsStarted(list(range(min(jobs, 12)))))
    if jobs > 1:
        stated(shown, success=jobs // 2, cached=jobs // 10, skipped=jobs // 10)
        fail(shown, 0)
    before = tty.lines
    shown.clock.advance(20.0)
    for size in [columns, *SIZES, *reversed(SIZES)]:
        tty.resize(size, 24)
        shown.idle(10.0)
        above, frame = tty.lines[: len(before)], tty.lines[len(before) :]
        assert [line[:size] for line in above] == [line[:size] for line in before]
        before = above
        assert all(width(line) < size for line in frame)
        if jobs == 1:
            assert [line.split()[-1] for line in frame] == ["job-0"]
            continue
        assert frame[0].split(" ")[0] == "after" if size >= 80 else "/" in frame[0].split(",")[0]
        assert ", 1 failed" in frame[0]
        assert ", about " in frame[0]
        assert ["━" in line for line in frame] == [row == 1 and size >= 100 for row in range(len(frame))]
        assert sum(" job-" in line for line in frame) == 8
        assert frame[-1].startswith("  +3 more running, ")
        assert len(frame) == 10 + (size >= 100)
    shown.progress.close()
    assert tty.lines == before


HEADS = [
    "after 1m40s: 3100/5000 done, 2499 ok, 600 cached, 1 failed, 11 running, 31.0 jobs/s, about 61 s left",
    "after 1m40s: 3100/5000 done, 1 failed, 11 running, 31.0 jobs/s, about 61 s left",
    "after 1m40s: 3100/5000 done, 1 failed, 11 running, about 61 s left",
    "after 1m40s: 3100/5000 done, 1 failed, about 61 s left",
    "3100/5000 done, 1 failed, about 61 s left",
    "3100/5000, 1 failed, about 61 s",
]


@pytest.mark.parametrize(
    ("columns", "head"),
    [(200, HEADS[0]), (80, HEADS[1]), (40, HEADS[5]), *((len(HEADS[n]) + 1, HEADS[n]) for n in range(6)), *((len(HEADS[n]), HEADS[n + 1]) for n in range(5))],
)  # fmt: skip
def test_what_leaves_the_head_line_first(terminal, columns, head):
    """Rate, running, elapsed; how many are done and have failed and the time that is left stay."""
    tty = terminal(columns)
    shown = shown_of(5000, slots=12)
    shown.tell(ev.AttemptsStarted(list(range(12))))
    stated(shown, success=2499, cached=600)
    shown.tell(ev.AttemptEnded(0, 1, "exit", "failed"))
    shown.idle(100.0)
    assert head in tty.lines


@pytest.mark.parametrize(
    ("columns", "first"),
    [
        (40, "20261129-113556-013764b4: 20 jobs"),
        (51, "20261129-113556-013764b4: 20 jobs"),
        (52, "run `20261129-113556-013764b4`: 20 jobs, 12 at once"),
        (200, "run `20261129-113556-013764b4`: 20 jobs, 12 at once"),
    ],
)
def test_the_first_line_fits(terminal, columns, first):
    tty = terminal(columns)
    shown_of(20, slots=12, run_id="20261129-113556-013764b4").progress.close()
    assert tty.lines == [first]


@pytest.mark.parametrize("failed", [0, 7, 999_999])
def test_a_million_jobs_in_40_columns(terminal, failed):
    tty = terminal(40)
    shown = shown_of(1_000_000)
    stated(shown, failed=failed, success=999_999 - failed)
    shown.idle(4_000_000.0)
    few = {
        0: "999999/1000000 done, about 4 s left",
        7: "999999/1000000, 7 failed, about 4 s",
        999_999: "999k/1.0M, 999k failed, about 4 s",
    }
    assert tty.lines[1] == few[failed]


@pytest.mark.parametrize(
    ("rows", "shown_rows"), [(40, 8), (24, 8), (14, 8), (13, 7), (10, 4), (7, 1), (6, 0), (3, 0), (2, 0)]
)
def test_low_terminals_show_fewer_rows(terminal, rows, shown_rows):
    tty = terminal(80, rows)
    shown = shown_of(20, slots=12)
    shown.tell(ev.AttemptsStarted(list(range(12))))
    shown.idle(1.0)
    frame = [line for line in tty.lines if "run `r1`" not in line]
    assert sum(" job-" in line for line in frame) == shown_rows
    assert frame[0].startswith("after 1 s: 0/20 done, 12 running")
    assert len(frame) == min(shown_rows + 2, rows - 1)


def test_the_oldest_come_first_and_the_height_only_grows(terminal):
    """`+N more running, M waiting, K waiting to retry (next in 12 s)` in one row, and nothing jumps."""
    tty = terminal(80)
    shown = shown_of(20, slots=10)
    for job in range(10):
        shown.tell(ev.AttemptsStarted([job]))
        shown.idle(60.0)
    fail(shown, 9, state="backing_off", delay_s=12.3)
    shown.idle()
    frame = tty.lines[-10:]
    assert frame[0] == "after 10m00s: 0/20 done, 9 running, 1 waiting to retry"
    assert frame[1:9] == [f"{age:>7}  job-{job}" for job, age in enumerate(f"{10 - n}m00s" for n in range(8))]
    assert frame[9] == "  +1 more running, 10 waiting, 1 waiting to retry (next in 12 s)"
    for job in range(9):
        shown.tell(ev.AttemptEnded(job, 1))
    shown.idle()
    assert tty.writes[-1].count("\n") == 9
    assert tty.lines[-2:] == [
        "after 10m00s: 9/20 done, 54.0 jobs/h, about 12 min left",
        "  10 waiting, 1 waiting to retry (next in 11 s)",
    ]


def test_the_second_attempt_has_an_age_of_its_own(terminal):
    tty = terminal()
    shown = shown_of(20)
    shown.tell(ev.AttemptsStarted([0]))
    shown.idle(100.0)
    fail(shown, 0, state="ready")
    shown.tell(ev.AttemptsStarted([0]))
    shown.idle(5.0)
    assert "    5 s  job-0 (attempt 2)" in tty.lines


def test_a_frame_is_one_write_and_there_are_at_most_five_a_second(terminal):
    """Also while jobs fail all the time."""
    tty = terminal(200)
    shown = shown_of(5000, slots=8)
    shown.tell(ev.AttemptsStarted(list(range(8))))
    shown.idle(1.0)
    del tty.writes[:]
    for number in range(1000):
        if number % 100 == 0:
            fail(shown, number // 100)
        shown.idle(0.01)
    assert 40 <= len(tty.writes) <= 50
    assert all(write.startswith("\r") for write in tty.writes)
    assert max(map(len, tty.writes)) < 4096


NAMES = {
    "日本語" * 40: 2,
    "é" * 100: 1,
    "👩‍💻🚀" * 30: 2,
    "❤️" * 60: 2,
    "한글" * 40: 2,
    "ﬁ" * 90: 1,
    "name " * 30: 1,
    "a": 1,
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("columns", [20, 40, 80])
def test_signs_of_two_columns_and_of_none(terminal, name, columns):
    tty = terminal(columns)
    batch_names = {0: name}
    shown = shown_of(20)
    shown.view.plan.name = lambda job: batch_names.get(job, f"job-{job}")
    shown.tell(ev.AttemptsStarted([0, 1]))
    shown.idle(1.0)
    frame = tty.lines[-4:]
    assert "job-1" in frame[2]
    assert unicodedata.normalize("NFC", name)[0] in unicodedata.normalize("NFC", frame[1])
    assert frame[3].startswith("  18 waiting")


@pytest.mark.parametrize(
    "name", ["\x1b[2Jx", "\x1b]0;title\x07x", "a\x9b31mx", "x\r\ny", "\u202egnp.x", "\x1b[?1049hx", "tab\tx"]
)
def test_names_with_escape_bytes_are_harmless(terminal, name):
    tty = terminal()
    shown = shown_of(20)
    shown.view.plan.name = lambda job: name if job == 0 else f"job-{job}"
    shown.tell(ev.AttemptsStarted([0, 1]))
    shown.idle(1.0)
    drawn = tty.writes[-1]
    for ours in ("\x1b[K", "\x1b[J", "\x1b[3A", "\x1b]9;4;1;0\x1b\\"):
        drawn = drawn.replace(ours, "")
    assert drawn.replace("\r", "").replace("\n", "").isprintable()
    assert len(tty.lines) == 5
    assert "x" in tty.lines[2]


def test_one_job_has_no_bar_and_nothing_flashes(terminal, tmp_path):
    """After two seconds one row, with its age and the last line that it has printed."""
    tty = terminal(120)
    folder = RunFolder(tmp_path)
    shown = Shown(["convert"], folder=folder)
    shown.tell(ev.AttemptsStarted([0]))
    log = folder.log_path("convert", 1)
    log.parent.mkdir(parents=True)
    log.write_text("first\nlast \x1b[31mline\n\n")
    for _ in range(7):
        shown.idle(0.25)
    assert tty.lines == ["run `r1`: 1 job, 4 at once"]
    shown.idle(0.25)
    assert tty.lines[1:] == ["    2 s  convert: last line"]
    log.write_text("x" * 500)
    shown.idle(0.25)
    assert tty.lines[1:] == [f"    2 s  convert: {'x' * (119 - 18 - 1)}…"]
    fail(shown, 0, state="backing_off", delay_s=30.0)
    shown.idle()
    assert tty.lines[-1:] == ["  1 waiting to retry (next in 29 s)"]


def test_a_short_run_draws_nothing(terminal):
    tty = terminal(100)
    shown = shown_of(20)
    shown.tell(ev.AttemptsStarted([0, 1, 2]))
    shown.idle(0.25)
    fail(shown, 0)
    shown.progress.close()
    assert tty.lines[0] == "run `r1`: 20 jobs, 4 at once"
    assert "ERROR | [1/20] job-0: failed: exit status 3 (1 attempt, 1.0 s)" in tty.lines[1]
    assert not any("\x1b]9" in write for write in tty.writes)


def test_the_terminal_is_told_how_far_it_is(terminal):
    """State 2 once a job failed, cleared at the end."""
    tty = terminal()
    shown = shown_of(20)
    shown.tell(ev.AttemptsStarted([0, 1, 2, 3]))
    shown.idle(1.0)
    shown.tell(ev.AttemptEnded(0, 1))
    shown.idle()
    shown.idle()
    fail(shown, 1)
    shown.idle()
    shown.progress.close()
    told = [part for write in tty.writes for part in write.split("\x1b]9;4;")[1:]]
    assert [part.partition("\x1b")[0] for part in told] == ["1;0", "1;5", "2;10", "0;0"]


def test_iterm_took_it_for_a_message(terminal, monkeypatch):
    monkeypatch.setenv("TERM_PROGRAM", "iTerm.app")
    tty = terminal()
    shown = shown_of(20)
    shown.idle(1.0)
    shown.progress.close()
    assert not any("\x1b]9" in write for write in tty.writes)


def test_failures_go_by_above_it(terminal):
    tty = terminal(100, 30)
    shown = shown_of(20, slots=20)
    shown.tell(ev.AttemptsStarted(list(range(20))))
    shown.idle(1.0)
    for job in range(3):
        fail(shown, job)
        shown.idle()
    assert [line.partition(" | ")[2] for line in tty.lines[1:4]] == [
        f"ERROR | [{job + 1}/20] job-{job}: failed: exit status 3 (1 attempt, 1.0 s)" for job in range(3)
    ]
    assert tty.lines[4].startswith("after 1 s: 3/20 done, 3 failed, 17 running")
    assert sum("/20 done" in line for line in tty.lines) == 1


def test_a_terminal_that_has_gone_ends_nothing(terminal):
    tty = terminal()
    shown = shown_of(20)
    shown.idle(1.0)

    def gone(data):
        raise OSError(5, "Input/output error")

    tty.write = gone
    shown.idle(1.0)
    shown.idle(1.0)
    shown.progress.close()
    assert shown.progress.tally.total == 20


@pytest.mark.parametrize(
    ("text", "columns", "middle", "shown"),
    [
        ("abcdef", 6, True, "abcdef"),
        ("abcdef", 5, True, "ab…ef"),
        ("abcdef", 4, True, "ab…f"),
        ("abcdef", 5, False, "abcd…"),
        ("abcdef", 1, True, "…"),
        ("abcdef", 0, True, ""),
        ("日本語", 5, False, "日本…"),
        ("日本語", 4, False, "日…"),
        ("日本語日本語", 7, True, "日本…語"),
        ("ééé", 2, False, "é…"),
    ],
)
def test_cropping(text, columns, middle, shown):
    assert cropped(text, columns, middle=middle) == shown
    assert width(shown) <= columns
