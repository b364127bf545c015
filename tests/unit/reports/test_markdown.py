"""The Markdown of a run: what failed first, and never too much."""

from joblot.core import events as ev
from joblot.core.model import FanOut, JobSpec
from joblot.reports.markdown import MOST_BYTES, ROWS, markdown
from unit.reports.test_forms import made
from unit.reports.test_junit import everything


def text_of(report):
    (text,) = markdown(report)
    return text.decode()


def test_what_failed_and_why_comes_first():
    text = text_of(everything())
    assert text.startswith("## ✗ b: failed\n\n13 jobs")
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings == ["## ✗ b: failed", "### Failures by cause", "### Jobs that did not end well"]
    assert "| 1 | exit status 3 | `exit` |  |" in text
    assert "| `behind` | - skipped |  | \\`exit\\` failed |" in text
    assert "| `ok` |" not in text


def test_a_small_run_that_went_well_is_told_job_by_job():
    steps = [
        [ev.RunStarted("f", 1), ev.AttemptsStarted([0])],
        [ev.AttemptEnded(0, 1, began_s=0.0, wall_s=1.5), ev.RunEnded("success", 1.5)],
    ]
    text = text_of(made([JobSpec(name="a", run="x")], *steps))
    assert text.startswith("## ✓ b: success\n")
    assert "| `a` | ✓ success | 1.5 s |  |" in text
    assert "```bash" not in text


def large(count, message):
    fans = [
        JobSpec(name=f"f{n}-${{{{ item }}}}", run="x", fan_out=FanOut("rows", {"": [str(i) for i in range(count)]}))
        for n in range(30)
    ]
    jobs = 30 * count
    bad = [
        ev.AttemptEnded(n, 1, "exit", "failed", 0.0, 1.0, message=message(n), reason="exit_code") for n in range(jobs)
    ]
    return made(
        fans, [ev.RunStarted("f", jobs), ev.AttemptsStarted(list(range(jobs)))], [*bad, ev.RunEnded("failed", 2.0)]
    )


def test_a_large_run_has_few_rows_and_says_what_is_left_out():
    letters = "abcdefghijklmnopqrstuvwxyz"
    text = text_of(large(40, lambda n: f"{letters[n % 26]}{letters[n // 26 % 26]} failed"))
    rows = [line for line in text.splitlines() if line.startswith("|") and "---" not in line]
    assert len(rows) - 3 <= ROWS
    assert "and 15 more fan-outs" in text
    assert "and 1,180 more jobs" in text
    assert " more causes\n" in text


def test_it_never_is_larger_than_64_kib():
    """V6: all of a larger one might be thrown away."""
    text = text_of(large(40, lambda n: "ÿ<&|" * 5000 + str(n)))
    assert len(text.encode()) <= MOST_BYTES
