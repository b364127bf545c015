"""Which lines of a log are shown of a failure."""

import pytest

from joblot.reports.tail import telling_lines

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
    path = tmp_path / "logs" / "1.log"
    path.parent.mkdir()
    path.write_text("".join(f"{line}\n" for line in lines))
    assert telling_lines(path, 6) == shown
