"""What is left on the disk of secrets that nobody has masked yet when joblot is killed."""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.alone
SECRET = "CANARY-0123456789"
ONCE = "test -e again && exit; "
JOBS = {
    "a result": {"run": ONCE + "echo r=$TOKEN > $JOBLOT_OUTPUT; echo x > began; sleep 60"},
    "a result as JSON": {"run": ONCE + """printf '{"r": "%s"}' $TOKEN > $JOBLOT_OUTPUT; echo x > began; sleep 60"""},
    "added to a result": {"run": ONCE + "echo a=b > $JOBLOT_OUTPUT; echo r=$TOKEN >> $JOBLOT_OUTPUT; echo x > began; sleep 60"},
    "a log": {"run": ONCE + "echo $TOKEN; echo x > began; sleep 60"},
    "a child's": {"run": ONCE + "setsid sh -c 'echo $TOKEN; echo r=$TOKEN > $JOBLOT_OUTPUT; echo x > began; sleep 60' & wait"},
    "an action's log": {"code": "print(os.environ['TOKEN'], flush=True)"},
    "a child's of an action": {"code": "subprocess.run('echo $TOKEN; echo $TOKEN >&2', shell=True)"},
}  # fmt: skip


def start(hostile: Any, job: dict[str, str], on: str = "local") -> Any:
    """A run in a state folder that everybody may read, up to the moment at which the secret is on the disk."""
    (hostile.folder / ".joblot").mkdir(mode=0o755)
    hostile.env["TOKEN"] = SECRET
    if "code" in job:
        code = f"import os, subprocess, time\nif not os.path.exists('again'):\n  {job['code']}\n  open('began', 'w').write('x')\n  time.sleep(60)"
        job = {"action": "python", "params": {"code": code}}
    hostile.yaml(json.dumps({"secrets": ["TOKEN"], "jobs": [{"name": "a", **job}]}))
    process = hostile.start(sys.executable, "-m", "joblot", "run", "batch.yaml", "-q", "--on", on)
    hostile.wait_for("began")
    return process


def found(hostile: Any) -> list[Path]:
    state = hostile.folder / ".joblot"
    return [path for path in state.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]


def wait_until(come: Any) -> bool:
    until = time.monotonic() + 10
    while not come() and time.monotonic() < until:
        time.sleep(0.02)
    return bool(come())


@pytest.mark.parametrize("job", JOBS)
def test_i14_the_warden_clears_away_what_is_not_masked_when_the_runner_is_killed(hostile: Any, job: str) -> None:
    """I14"""
    process = start(hostile, JOBS[job])
    assert found(hostile)
    process.kill()
    hostile.end(process)
    assert wait_until(lambda: not found(hostile))


@pytest.mark.parametrize("on", ["local", "inline"])
@pytest.mark.parametrize("job", JOBS)
def test_i14_what_is_not_masked_can_be_read_by_its_owner_only(hostile: Any, job: str, on: str) -> None:
    """I14: whatever the folder; also when the warden is killed at the same moment. Who resumes the run clears it away."""
    process = start(hostile, JOBS[job], on)
    wardens = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split() if on == "local" else []
    os.kill(process.pid, signal.SIGSTOP)  # so that neither sees the other's end
    for pid in map(int, [*wardens, process.pid]):
        os.kill(pid, signal.SIGKILL)
    hostile.end(process)
    left = found(hostile)
    assert left
    assert [path.name for path in left if stat.S_IMODE(path.stat().st_mode) != 0o600] == []
    assert {stat.S_IMODE(path.parent.stat().st_mode) for path in left} == {0o700}
    (hostile.folder / "again").touch()
    assert hostile.joblot("resume", "-q").code == 0
    assert found(hostile) == []


def test_a_result_is_read_as_before_when_there_are_secrets(hostile: Any) -> None:
    """Also one that the command moves into place, and none."""
    hostile.env["TOKEN"] = SECRET
    hostile.yaml("""
        secrets: [TOKEN]
        jobs:
          - {name: a, run: "echo r=1 > tmp; mv tmp $JOBLOT_OUTPUT"}
          - {name: b, run: "true"}
          - {name: c, run: "rm -f $JOBLOT_OUTPUT"}
    """)
    assert hostile.joblot("run", "batch.yaml", "-q").code == 0
    shown = [json.loads(hostile.joblot("explain", "last", name, "--json").out)["job"] for name in "abc"]
    assert [job["result"] for job in shown] == [{"r": "1"}, None, None]
