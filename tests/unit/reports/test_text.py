from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joblot.core import events as ev
from joblot.core.model import Config, FanOut, JobSpec
from joblot.core.plan import expand
from joblot.reports.report import Report
from joblot.reports.text import Cause, closing, digest, normalise, one_line, plain, summary
from joblot.reports.view import RunView


def report_of(jobs, *steps):
    plan = expand(Config(name="nightly", folder="/b", jobs=jobs))
    view = RunView(plan.name, len(plan))
    view.apply_all(ev.Record(n + 1, 1.8e9 + n, list(step)) for n, step in enumerate(steps))
    return Report(plan, view, run_id="r1")


def mixed():
    jobs = [
        JobSpec(name="extract", run="x"),
        JobSpec(name="load", run="x", needs=("extract",)),
        JobSpec(name="notify", run="x", needs=("load",)),
    ]
    return report_of(
        jobs,
        [ev.RunStarted("f", 3), ev.AttemptsStarted([0])],
        [ev.AttemptEnded(0, 1, wall_s=0.012), ev.AttemptsStarted([1])],
        [
            ev.AttemptEnded(1, 1, "exit", "ready", None, 2.0, reason="exit_code", message="exit status 2"),
            ev.AttemptsStarted([1]),
        ],
        [
            ev.AttemptEnded(
                1, 2, "exit", "failed", None, 2.2, reason="exit_code", message="\x1b[31mexit\x1b[0m\nstatus 2"
            )
        ],
        [ev.JobsEnded([2], "skipped", "need_failed", 1), ev.RunEnded("failed", 4.3)],
    )


def test_a_small_run_is_shown_job_by_job_r97():
    """R97 in the product's words: one line a job with state, attempts and time, then the total."""
    assert closing(mixed()) == (
        "Batch nightly: failed\n"
        "  [success] extract (1 attempt, 12 ms)\n"
        "  [failed ] load (2 attempts, 4.2 s): exit status 2\n"
        "  [skipped] notify: `load` failed\n"
        "3 jobs: 1 succeeded, 1 failed, 1 skipped, in 4.3 s"
    )


def test_the_caller_may_colour():
    text = closing(mixed(), paint=lambda state, word: f"<{state}>{word}</>")
    assert text.startswith("Batch nightly: <failed>failed</>\n  [<success>success</>] extract")


def many(failing):
    jobs = [JobSpec(name=f"j{n}", run="x") for n in range(100)]
    ends = [
        ev.AttemptEnded(n, 1, "error", "failed", reason="exception", message=f"no row {n} in /data/{n}.csv")
        if n < failing
        else ev.AttemptEnded(n, 1)
        for n in range(100)
    ]
    return report_of(
        jobs, [ev.RunStarted("f", 100), ev.AttemptsStarted(list(range(100)))], ends, [ev.RunEnded("failed", 61.0)]
    )


def test_a_large_run_shows_what_failed_and_why():
    lines = closing(many(2)).splitlines()
    assert lines == [
        "Batch nightly: failed",
        "  [failed] j0 (1 attempt, 0 ms): no row 0 in /data/0.csv",
        "  [failed] j1 (1 attempt, 0 ms): no row 1 in /data/1.csv",
        "Failures by cause:",
        "      2 x no row <n> in <path> (such as `j0`)",
        "100 jobs: 98 succeeded, 2 failed, in 1m01s",
    ]


def test_many_failures_are_counted_not_listed():
    lines = closing(many(100)).splitlines()
    assert len(lines) == 1 + 30 + 1 + 2 + 1
    assert lines[31:] == [
        "  ... and 70 more failed jobs",
        "Failures by cause:",
        "    100 x no row <n> in <path> (such as `j0`)",
        "100 jobs: 100 failed, in 1m01s",
    ]


def test_nothing_to_do_is_said_so():
    """D16"""
    report = report_of([], [ev.RunStarted("f", 0)], [ev.RunEnded("success")])
    assert closing(report) == "Batch nightly: success\nno jobs: nothing to do"


def test_a_run_that_is_not_over_counts_what_is_left():
    jobs = [JobSpec(name=name, run="x") for name in "ab"]
    assert summary(report_of(jobs, [ev.RunStarted("f", 2), ev.AttemptsStarted([0])])) == "2 jobs: 1 running, 1 waiting"


@pytest.mark.parametrize(
    ("message", "normal"),
    [
        ("exit status 2", "exit status 2"),
        ("exit status 139", "exit status 139"),
        (
            "Command 'x --n 7' returned non-zero exit status 75.",
            "Command 'x --n <n>' returned non-zero exit status 75.",
        ),
        ("container 12 ended: exit code 137 after 3.5 s", "container <n> ended: exit code 137 after <n> s"),
        ("status 12, 12:30:01,5 and v1.2", "status <n>, <n> and v<n>"),
        ("timed out after 1.5 s", "timed out after <n> s"),
        ("file not found: data/in-7.csv", "file not found: <path>"),
        ("cannot open '/var/tmp/x.db' (errno 13)", "cannot open '<path>' (errno <n>)"),
        ("no such key 0x7f3a2b in shard deadbeef01", "no such key <hex> in shard <hex>"),
        ("job 123e4567-e89b-12d3-a456-426614174000 is gone", "job <id> is gone"),
        ("GET https://example.org/a/1?x=2 gave 503", "GET <url> gave <n>"),
        ("either/or", "<path>"),
        ("a plain sentence", "a plain sentence"),
        ("KeyError: 'naf'", "KeyError: 'naf'"),
        ("two\nlines  \x1b[1mbold\x1b[0m", "two lines bold"),
    ],
)
def test_messages_that_differ_in_values_only_are_one_cause(message, normal):
    assert normalise(message) == normal


def test_the_digest_puts_the_most_frequent_cause_first():
    messages = ["timed out after 3 s", "row 1 is bad", "row 2 is bad", "row 3 is bad"]
    jobs = [JobSpec(name=f"j{n}", run="x") for n in range(5)]
    ends = [
        ev.AttemptEnded(n, 1, "error", "failed", reason="exception", message=text) for n, text in enumerate(messages)
    ]
    ends.append(ev.AttemptEnded(4, 1, "exit", "failed", reason="exit_code", message="row 4 is bad"))
    report = report_of(jobs, [ev.AttemptsStarted(list(range(5)))], ends)
    assert digest(report.failed) == [
        Cause("row <n> is bad", "exception", 3, "j1", "row 1 is bad"),
        Cause("timed out after 3 s", "exception", 1, "j0", "timed out after 3 s"),
        Cause("row 4 is bad", "exit_code", 1, "j4", "row 4 is bad"),
    ]


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain, été, 日本", "plain, été, 日本"),
        ("tab\tand\nnewline", "tab\tand\nnewline"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b[?25l\x1b[2Jcleared", "cleared"),
        ("\x9b31mred", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]52;c;c2VjcmV0\x1b\\text", "text"),
        ("\x9d52;c;c2VjcmV0\x9ctext", "text"),
        ("\x1b]8;;https://example.org\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]never ended\nnext line", "\nnext line"),
        ("\x1bPq#0;2;0;0;0\x1b\\sixel", "sixel"),
        ("\x1b_command\x1b\\\x1b^privacy\x1b\\\x1bXstring\x1b\\text", "text"),
        ("\x1bcreset \x1b(0line drawing \x1b7saved", "reset line drawing saved"),
        ("10%\r20%\r\ndone", "10%\n20%\ndone"),
        ("bell\x07 back\x08 null\x00 delete\x7f next\x85 shift\x0e", "bell back null delete next shift"),
        ("cut short \x1b", "cut short "),
        ("cut short \x1b[12", "cut short "),
        ("\x1b\x1b[31mnested\x1b]\x1b[0m", "nested"),
    ],
)
def test_i15_job_output_cannot_drive_the_terminal(raw, shown):
    """I15: C0 and C1 except tab and newline go, with the sequences that they begin."""
    assert plain(raw) == shown


@given(st.text(st.sampled_from("\x1b[]P_;0mc\\\x07\x9b\x9c\x9d\x90\r\n\tA é"), max_size=40))
def test_i15_holds_for_any_mixture(raw):
    shown = plain(raw)
    assert not any((ord(char) < 32 and char not in "\t\n") or 127 <= ord(char) < 160 for char in shown)
    assert plain(shown) == shown


def test_one_line_has_no_line_break():
    assert one_line("  a\r\n b\tc\x1b[K ") == "a b c"


def test_what_joblot_itself_took_is_for_programs():
    report = many(0)
    report.own_cpu_s = 0.0042
    assert "own share" not in closing(report)
    assert report.to_dict()["own_cpu_s"] == 0.0042


def failing(messages):
    """A run of as many jobs, each failed with its message."""
    jobs = [JobSpec(name=f"job-{number}-{'x' * 60}", run="x") for number in range(len(messages))]
    ends = [
        ev.AttemptEnded(number, 1, "error", "failed", reason="exception", message=text)
        for number, text in enumerate(messages)
    ]
    return report_of(
        jobs,
        [ev.RunStarted("f", len(jobs)), ev.AttemptsStarted(list(range(len(jobs))))],
        ends,
        [ev.RunEnded("failed", 61.0)],
    )


@pytest.mark.parametrize(
    ("messages", "causes"),
    [
        (["a", "b"], []),  # both are seen in the table
        (["a", "b", "b"], ["      2 x b (such as `job-1-xxxxxxxxxxxxxxxxxxxxxxxxx…`)"]),
        (["a"] * 11, ["     11 x a (such as `job-0-xxxxxxxxxxxxxxxxxxxxxxxxx…`)"]),
        ([f"{chr(97 + n % 3)}" for n in range(31)], [f"     {n} x {c} (such as `job-{k}-xxxxxxxxxxxxxxxxxxxxxxxxx…`)" for n, c, k in [(11, "a", 0), (10, "b", 1), (10, "c", 2)]]),
        (
            [f"{chr(97 + n)} {'long ' * 80}" for n in range(12)],
            [f"      1 x {chr(97 + n)} {('long ' * 80)[:97]}… (such as `job-{n}-xxxxxxxxxxxxxxxxxxxxxxxxx…`)" for n in range(4)]
            + ["  ... and 8 more causes of 8 failures"],
        ),
    ],
)  # fmt: skip
def test_the_causes_come_last_and_leave_room_on_the_screen(messages, causes):
    """Status, causes with an example each; the commands that follow need 11 rows of 24."""
    lines = closing(failing(messages)).splitlines()[:-1]
    told = lines[lines.index("Failures by cause:") + 1 :] if causes else []
    assert told == causes
    assert ("Failures by cause:" in lines) == bool(causes)
    assert sum(-(-len(line) // 80) for line in told) <= 9


def test_what_ended_well_is_not_listed_where_it_was_told():
    assert closing(mixed(), told=True) == (
        "Batch nightly: failed\n"
        "  [failed ] load (2 attempts, 4.2 s): exit status 2\n"
        "  [skipped] notify: `load` failed\n"
        "3 jobs: 1 succeeded, 1 failed, 1 skipped, in 4.3 s"
    )


def fan_of(count, *others):
    return [JobSpec(name="a-${{ item }}", run="x", fan_out=FanOut("rows", {"": list(range(count))})), *others]


def after(name):
    return JobSpec(name=name, run="x", needs=("a-*",))


ALONE = {
    "one that needs them": (fan_of(40, after("gather")), [], [40], ["  [skipped] gather: `a-0` failed"]),
    "three": (
        fan_of(40, after("b"), after("c"), after("d")),
        [],
        [40, 41, 42],
        [f"  [skipped] {name}: `a-0` failed" for name in "bcd"],
    ),
    "more": (
        fan_of(40, *map(after, "bcdef")),
        [],
        range(40, 45),
        [*(f"  [skipped] {name}: `a-0` failed" for name in "bcd"), "  ... and more skipped jobs"],
    ),
    "one of the fan-out": (fan_of(40, after("gather")), [40], [39], []),
    "one of both": (fan_of(40, after("gather")), [], [39, 40], ["  [skipped] gather: `a-0` failed"]),
    "none": (fan_of(40, after("gather")), [40], [], []),
}


@pytest.mark.parametrize(("jobs", "well", "skipped", "told"), ALONE.values(), ids=ALONE)
def test_a_job_of_its_own_that_was_skipped_is_named_among_thousands(jobs, well, skipped, told):
    """It was no more than a number in the last line, though it may be what the run was for."""
    ends = [ev.AttemptEnded(0, 1, "exit", "failed", reason="exit_code", message="exit status 3")]
    ends += [ev.AttemptEnded(n, 1) for n in [*range(1, 39), *well]]
    report = report_of(
        jobs,
        [ev.RunStarted("f", 39 + len(jobs)), ev.AttemptsStarted(list(range(39)))],
        [*ends, ev.JobsEnded(list(skipped), "skipped", "need_failed", 0)],
    )
    lines = closing(report).splitlines()
    assert [line for line in lines if "skipped] " in line or "skipped jobs" in line] == told
    fan = next(n for n, line in enumerate(lines) if line.startswith("  a-*: 40 jobs"))
    assert lines[fan + 1 : fan + 1 + len(told)] == told
