"""Which lines of a log are shown of a failure."""

import pytest

from joblot.reports.report import JobReport
from joblot.reports.tail import last_printed, telling_lines
from made_runs import log_in

OWN = [f'  File "/x/site-packages/joblot/executors/worker.py", line {n} in f{n}' for n in range(20)]
OWN += ['  File "/x/click/core.py", line 1 in invoke', '  File "/x/joblot/__main__.py", line 88 in main']
ACTS = ['  File "/b/acts.py", line 6 in inner', '  File "/b/joblot/acts.py", line 9 in seg']
SEGV, ABRT, BUS = (f"Fatal Python error: {why}" for why in ("Segmentation fault", "Aborted", "Bus error"))
THREAD = "Current thread 0x00007f0000000000 (most recent call first):"
OTHER = ["Thread 0x00007f1111111111 (most recent call first):", '  File "/b/other.py", line 3 in wait', ""]
MODULES = ["", "Extension modules: msgspec._core (total: 1)"]


@pytest.mark.parametrize(
    ("lines", "shown"),
    [
        ([SEGV, "", THREAD, *ACTS, *OWN, *MODULES], [SEGV, THREAD, *ACTS]),
        (["hello", ABRT, "", THREAD, *ACTS, *OWN], ["hello", ABRT, THREAD, *ACTS]),
        ([f"line {n}" for n in range(30)] + [BUS, "", THREAD, *ACTS, *OWN], ["line 28", "line 29", BUS, THREAD, *ACTS]),
        ([SEGV, "", *OTHER, THREAD, *ACTS, *OWN, *MODULES], [SEGV, THREAD, *ACTS]),
        ([SEGV, "", THREAD, *ACTS * 9, *OWN], [SEGV, THREAD, *(ACTS * 9)[:4]]),
        ([SEGV, "", THREAD, *OWN], [SEGV, THREAD, *OWN[:4]]),
        ([SEGV], [SEGV]),
        ([f"line {n}" for n in range(30)], [f"line {n}" for n in range(24, 30)]),
        ([], []),
    ],
)
def test_the_own_frames_of_an_action_that_crashed_are_shown(tmp_path, lines, shown):
    path = log_in(tmp_path)
    path.write_text("".join(f"{line}\n" for line in lines))
    assert telling_lines(path, 6) == shown


@pytest.mark.parametrize(
    ("log", "message", "last"),
    [
        ("reading\nno such table: t3\n", "exit status 1", "no such table: t3"),
        ("reading\nerror: no such table: t3\n", "exit status 1", "no such table: t3"),
        ("ValueError: bad row\n", "ValueError: bad row", ""),
        ("10 %\r20 %\x1b[31m red\n", "exit status 1", "20 % red"),
        ("x" * 100, "exit status 1", "x" * 79 + "…"),
        ("", "exit status 1", ""),
        (None, "exit status 1", ""),
    ],
)
def test_the_last_line_that_a_failed_job_printed(tmp_path, log, message, last):
    path = log_in(tmp_path)
    if log is not None:
        path.write_text(log)
    job = JobReport(
        name="load", action="run", state="failed", attempts=1, duration_ms=1, message=message, log=str(path)
    )
    assert last_printed(job) == last
