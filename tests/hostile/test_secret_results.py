"""Results of commands while a batch has secrets."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("on", ["local", "inline"])
@pytest.mark.parametrize(
    "run", ["set -o noclobber; echo a=1 > $JOBLOT_OUTPUT", "set -C; umask 0; echo a=$(stat -c %a .) >$JOBLOT_OUTPUT"]
)
def test_a_shell_that_overwrites_no_file_can_write_its_result(run, on, tmp_path):
    (tmp_path / "joblot.yaml").write_text(f"name: b\nsecrets: [HOME]\njobs:\n  - name: a\n    run: {run}\n")
    words = [sys.executable, "-m", "joblot", "run", "--on", on]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
