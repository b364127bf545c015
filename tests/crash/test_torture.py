"""The campaigns of `tests/torture`, each with a small count: their own code is tried, and what they would find at once is found here.

The figures that count come from the large counts that each campaign's own text shows.
"""

import subprocess
import sys
from pathlib import Path

import pytest

TORTURE = Path(__file__).parent.parent / "torture"


@pytest.mark.parametrize(
    ("campaign", "words", "says"),
    [
        (
            "kill",
            [
                *("--kills", "4", "--per-run", "1", "--victim", "any"),
                *("--jobs", "40", "--plans", "mixed", "--check", "history"),
            ],
            "lost 0",
        ),
        ("journal", ["--kills", "4", "--durability", "normal"], "lost 0"),
        ("journal", ["--kills", "4", "--durability", "full"], "lost 0"),
        ("power", ["--cuts", "60"], "promised, but lost 0"),
        ("cut", ["--flips", "300", "--step", "97"], "another history 0"),
        ("race", ["--pairs", "2"], "not one winner 0"),
        ("clock", ["--jumps", "2", "--by", "python"], "half outputs 0"),
        ("schedule_kill", ["--kills", "12", "--real", "2"], "doubled 0"),
        ("nth", ["--errors", "ENOSPC", "--step", "24"], "not resumable 0"),
        ("limits", ["--kills", "4", "--per-round", "4", "--jobs", "8"], "above 0"),
        ("hostile", ["--cases", "1000", "--block", "500"], "other errors 0"),
        ("fuzz", ["--cases", "1000"], "other errors 0"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_a_few_rounds_find_nothing(campaign, words, says):
    """G1, G2, G5, G6: nothing acknowledged is lost, nothing with a recorded success runs again, every fault is one clear line."""
    command = [sys.executable, str(TORTURE / f"{campaign}.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    assert says in done.stdout.splitlines()[-1]
