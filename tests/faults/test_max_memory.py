"""The limit of what all that runs may hold together: who is ended when it is passed, and who is not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from shlex import quote

import pytest

from contract.test_executors import Bench, call, run
from joblot.executors import footprint
from joblot.executors.local import LocalExecutor

MIB = 2**20
HOLD = "import sys, time; b = bytearray(b'x') * (int(sys.argv[1]) << 20); time.sleep(float(sys.argv[2]))"


def holds(name, mib, seconds=30.0, **fields):
    return run(name, [sys.executable, "-c", HOLD, str(mib), str(seconds)], **fields)


def hold(mib, seconds=30.0):
    block = bytearray(b"x") * (mib << 20)
    time.sleep(seconds)
    return len(block) >> 20


@pytest.fixture
def local(tmp_path):
    made = []

    def make(*jobs, most, slots=2, **options):
        class Limited(Bench):
            def make(self, _kind, context, slots):
                context.max_memory = most * MIB
                return LocalExecutor(context, slots)

        made.append(Limited("local", tmp_path, *jobs, slots=slots, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def ended(outcome):
    return outcome.kind, outcome.reason, re.sub("used [0-9]+", "used N", outcome.message)


FOR_ALL = ("oom", "memory_pressure", "out of memory: all that ran used N MiB of 300 MiB (max_memory)")
ALONE = ("oom", "oom", "out of memory: used N MiB of 300 MiB (max_memory)")


def test_the_youngest_command_is_ended_and_the_older_one_goes_on(local):
    world = local(holds("old", 200, 1.5), holds("young", 200), most=300)
    world.start("old")
    world.look(0.3)
    world.start("young")
    came = world.wait(2)
    assert ended(came["young"]) == FOR_ALL
    assert 50 * MIB < came["young"].peak_bytes < 250 * MIB
    assert came["old"].kind == "ok"


def test_the_youngest_action_is_ended_and_those_that_wait_behind_it_run(local):
    jobs = [call("old", lambda: hold(200, 1.5)), call("young", lambda: hold(200)), call("quick", lambda: 1)]
    world = local(*jobs, most=300)
    world.start("old")
    world.look(0.4)
    world.start("young", "quick")
    came = world.wait(3)
    assert ended(came["young"]) == FOR_ALL
    assert came["young"].peak_bytes > 50 * MIB
    assert (came["old"].result, came["quick"].result) == (b"200", b"1")


def test_what_is_too_large_by_itself_is_ended_for_itself_and_younger_ones_that_hold_little_go_on(local):
    """Alone it would fit no better, and their end would bring nothing."""
    world = local(holds("large", 400), run("small", "sleep 1.5"), most=300)
    world.start("large", "small")
    came = world.wait(2)
    assert ended(came["large"]) == ALONE
    assert came["small"].kind == "ok"


def test_an_attempt_of_an_action_that_is_too_large_by_itself(local):
    world = local(call("large", lambda: hold(400)), most=300, slots=1)
    world.start("large")
    assert ended(world.wait()["large"]) == ALONE


@pytest.mark.parametrize("kind", ["command", "action"])
def test_what_may_run_only_once_is_spared_though_it_is_the_youngest(local, kind):
    once = holds("once", 200, 1.5, once=True) if kind == "command" else call("once", lambda: hold(200, 1.5), once=True)
    world = local(holds("old", 200), once, most=300)
    world.start("old")
    world.look(0.3)
    world.start("once")
    came = world.wait(2)
    assert ended(came["old"]) == FOR_ALL
    assert came["once"].kind == "ok"


def test_nothing_is_ended_when_all_may_run_only_once_and_a_warning_says_so(local):
    told = []
    jobs = [holds("a", 200, 1.0, once=True), call("b", lambda: hold(350, 1.0), once=True)]
    world = local(*jobs, most=300, warn=told.append)
    world.start("a", "b")
    came = world.wait(2)
    assert [came["a"].kind, came["b"].kind] == ["ok", "ok"]
    assert [re.sub("holds [0-9]+", "holds N", line) for line in told] == [
        "what runs holds N MiB of 300 MiB (max_memory), and nothing of it is ended: it may run only once"
    ]


def test_all_that_an_attempt_has_started_ends_with_it(local):
    """What has left its session too."""
    python = f'{quote(sys.executable)} -c "{HOLD}"'
    world = local(run("tree", f"setsid {python} 220 30 & {python} 220 30; wait"), most=300)
    world.start("tree")
    assert ended(world.wait()["tree"]) == ALONE
    left = subprocess.run(
        ["pgrep", "-f", "-c", r"^.+ -c import sys, time; b = .* 220 30"], capture_output=True, check=False
    )
    assert left.stdout.strip() == b"0"


def test_what_forked_processes_share_counts_once(local):
    def fork():
        block = bytearray(b"x") * (150 * MIB)
        children = []
        for _ in range(3):
            pid = os.fork()
            if not pid:
                time.sleep(0.8)
                os._exit(0)
            children.append(pid)
        for pid in children:
            os.waitpid(pid, 0)
        return len(block) // MIB

    world = local(call("forks", fork), most=300)
    world.start("forks")
    assert world.wait()["forks"].result == b"150"


def test_what_a_worker_has_kept_is_given_up_before_the_next_attempt_counts(local):
    kept = []

    def keep():
        kept.append(bytearray(b"x") * (180 << 20))
        time.sleep(0.5)

    world = local(call("keeps", keep), call("after", lambda: hold(200, 0.5)), most=300, slots=1)
    world.start("keeps")
    assert world.wait()["keeps"].kind == "ok"
    world.start("after")
    assert world.wait()["after"].result == b"200"


def test_the_run_is_told_what_all_hold_and_that_it_holds_less_when_they_have_ended(local):
    world = local(holds("a", 100, 1.0), holds("b", 100, 1.0), most=1000)
    world.start("a", "b")
    most, until = 0, time.monotonic() + 20
    came = []
    while len(came) < 2:
        assert time.monotonic() < until
        came += world.look(0.1)
        most = max(most, world.executor.held_bytes)
    assert 190 * MIB <= most < 300 * MIB
    assert world.executor.held_bytes == 0


def test_the_sum_is_told_when_it_has_changed_and_peaks_are_kept():
    total = footprint.Total(1000, time.monotonic())
    assert total.add_samples({1: 600, 2: 450}, time.monotonic()) == 1050
    assert total.peaks == {1: 600, 2: 450}
    total.add_samples({1: 500}, time.monotonic())
    assert (total.held, total.peaks) == ({1: 500}, {1: 600})
    assert total.news() == 500
    assert total.news() == -1
    assert [total.is_much(held) for held in (15, 16)] == [False, True]


RUN = """
import sys
from joblot import Batch
batch = Batch("seen", max_memory="300MiB")
program = "import time; b = bytearray(b'x') * (200 << 20); time.sleep(0.8)"
for name in "abc":
    batch.command(name, [sys.executable, "-c", program])
report = batch.run(workers=3, progress=False)
for job in report.jobs.values():
    print(job.name, job.state, job.attempts, *[(end.outcome, end.state, end.reason) for end in job.history[:-1]])
"""


def test_jobs_that_say_nothing_are_kept_under_the_limit_of_the_batch_and_all_succeed(tmp_path):
    """They ran three at a time, each larger than the limit."""
    done = subprocess.run([sys.executable, "-c", RUN], cwd=tmp_path, capture_output=True, text=True, check=True)
    pressed = " ('oom', 'ready', 'memory_pressure')"
    rows = sorted(line[2:] for line in done.stdout.splitlines())
    assert rows == ["success 1", f"success 2{pressed}", f"success 2{pressed}"], done.stdout


def test_the_log_and_explain_say_why_it_ran_again(tmp_path):
    (tmp_path / "hold.py").write_text("import time\nb = bytearray(b'x') * (200 << 20)\ntime.sleep(0.8)\n")
    (tmp_path / "joblot.yaml").write_text(
        "max_memory: 300MiB\nmax_workers: 2\njobs:\n"
        f"  - {{name: a, run: [{sys.executable}, hold.py]}}\n  - {{name: b, run: [{sys.executable}, hold.py]}}\n"
    )

    def joblot(*words):
        line = [sys.executable, "-m", "joblot", *words]
        return subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)

    done = joblot("run", "--no-color")
    why = r"out of memory: all that ran used [0-9]+ MiB of 300 MiB \(max_memory\)"
    found = re.search(rf"WARNING \| ([ab]): attempt 1 ended with `oom`: {why}; again later, alone\n", done.stderr)
    assert done.returncode == 0 and found, done.stderr
    told = joblot("explain", "last", found[1]).stdout
    assert re.search(rf"    1: oom after [0-9.]+ m?s: {why}\n    2: ok ", told), told


def test_inline_says_that_it_holds_nothing(tmp_path):
    (tmp_path / "joblot.yaml").write_text("max_memory: 1GiB\njobs: [{name: a, run: 'true'}]\n")
    words = [sys.executable, "-m", "joblot", "run", "--on", "inline"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "WARNING | `max_memory` is not held with `--on inline`: nothing is ended that passes it\n" in done.stderr
