"""Memory limits with real processes: what passes its limit dies alone, soon, and says so."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from contract.test_executors import Bench, call, run
from joblot.executors import footprint

MIB = 2**20
HOG = "b = []\nwhile True: b.append(bytearray(b'x') * (1 << 24))"


@pytest.fixture
def local(tmp_path):
    made = []

    def make(*jobs, **options):
        made.append(Bench("local", tmp_path, *jobs, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def limit(mib):
    return {"memory": float(mib * MIB)}


def used(message: str, allowed: int) -> int:
    found = re.fullmatch(rf"out of memory: used ([0-9]+) MiB of {allowed} MiB", message)
    assert found, message
    return int(found[1])


def grow():
    kept = []
    while True:
        kept.append(bytearray(b"x") * (1 << 24))


def test_a_command_above_its_limit_is_killed_and_its_neighbour_is_not(local):
    """T9: the overshoot stays within a tenth and 64 MB at full speed."""
    world = local(
        run("hog", [sys.executable, "-c", HOG], resources=limit(256)),
        run("other", "sleep 0.5; echo fine", resources=limit(256)),
    )
    world.start("hog", "other")
    came = world.wait(2)
    assert (came["hog"].kind, came["hog"].reason) == ("oom", "oom")
    assert 256 <= used(came["hog"].message, 256) <= 256 * 1.1 + 64
    assert came["hog"].peak_bytes <= 256 * 1.1 * MIB + 64e6
    assert came["other"].kind == "ok"


def test_an_action_above_its_limit_is_killed_and_the_next_one_runs(local):
    """T9"""
    world = local(call("hog", grow, resources=limit(256)), call("after", lambda: 1, resources=limit(256)), slots=1)
    world.start("hog")
    outcome = world.wait()["hog"]
    assert (outcome.kind, outcome.reason) == ("oom", "oom")
    assert used(outcome.message, 256) <= 256 * 1.1 + 64
    world.start("after")
    assert world.wait()["after"].result == b"1"


def test_the_whole_tree_of_an_attempt_counts_with_what_has_left_its_session(local):
    """R110, T9: two children of 150 MiB each, one of them a daemon, are too much for 200 MiB."""
    hold = f"""{shlex.quote(sys.executable)} -c "import time; b = b'x' * (150 << 20); time.sleep(30)" """
    world = local(run("tree", f"{hold} & setsid {hold} & wait", resources=limit(200)))
    world.start("tree")
    outcome = world.wait()["tree"]
    assert outcome.kind == "oom"
    assert used(outcome.message, 200) > 200


def test_memory_that_forked_processes_share_counts_once(local):
    """Four children that only look at their parent's 150 MiB are no 750 MiB."""

    def fork():
        block = bytearray(b"x") * (150 * MIB)
        children = []
        for _ in range(4):
            pid = os.fork()
            if not pid:
                time.sleep(0.6)
                os._exit(0)
            children.append(pid)
        for pid in children:
            os.waitpid(pid, 0)
        return len(block)

    world = local(call("forks", fork, resources=limit(300)))
    world.start("forks")
    assert world.wait()["forks"].kind == "ok"


def test_the_pages_of_a_mapped_file_are_not_the_job_s_memory(local, tmp_path):
    data = tmp_path / "data"
    with data.open("wb") as file:
        for _ in range(200):
            file.write(b"x" * MIB)

    def look():
        import mmap

        with data.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as view:
            found = view.find(b"y")
            time.sleep(0.5)
            return found

    world = local(call("maps", look, resources=limit(100)))
    world.start("maps")
    assert world.wait()["maps"].result == b"-1"


def test_what_an_attempt_left_in_its_worker_does_not_count_against_the_next_limit(local):
    kept = []

    def keep():
        kept.append(b"x" * (150 * MIB))

    world = local(call("keeps", keep, resources=limit(200)), call("after", grow_to_100, resources=limit(200)), slots=1)
    world.start("keeps")
    assert world.wait()["keeps"].kind == "ok"
    world.start("after")
    assert world.wait()["after"].kind == "ok"


def grow_to_100():
    block = b"x" * (100 * MIB)
    time.sleep(0.4)
    return len(block)


def test_the_peak_of_an_attempt_is_not_that_of_the_one_before_it(local):
    world = local(call("big", lambda: len(b"x" * (200 * MIB))), call("small", lambda: 1), slots=1)
    world.start("big")
    assert world.wait()["big"].peak_bytes > 200 * MIB
    world.start("small")
    assert world.wait()["small"].peak_bytes < 150 * MIB


def test_attempts_with_a_limit_are_never_queued_behind_each_other(local):
    world = local(
        *[call(f"q{n}", lambda: None) for n in range(50)],
        *[call(f"m{n}", os.getpid, resources=limit(500)) for n in range(2)],
    )
    world.start(*[f"q{n}" for n in range(50)])
    world.wait(50)
    world.start("m0", "m1", "q0", "q1")
    came = world.wait(4)
    assert came["m0"].result != came["m1"].result


def test_memory_is_counted_from_what_the_kernel_says_and_is_nothing_for_what_is_gone():
    block = b"x" * (50 * MIB)
    assert footprint.held_bytes([os.getpid()], 2**60) > len(block)
    assert (
        footprint.held_bytes([os.getpid()], 2**60, len(block))
        < footprint.held_bytes([os.getpid()], 2**60) - len(block) // 2
    )
    assert footprint.held_bytes([2**22 + 1], 0) == 0


def test_what_the_runner_had_in_memory_is_not_its_workers_use(local):
    """A notebook that holds much more than the limit can run small jobs."""
    block = b"x" * (300 * MIB)
    world = local(
        call("small", lambda: len(block), resources=limit(100)),
        call("hog", grow, resources=limit(100)),
        call("forks", lambda: [os.waitpid(sleeper(), 0) for _ in range(2)] and 1, resources=limit(300)),
    )
    world.start("small", "hog", "forks")
    came = world.wait(3)
    assert came["small"].kind == "ok"
    assert came["hog"].kind == "oom"
    assert came["forks"].kind == "ok"


def sleeper():
    pid = os.fork()
    if not pid:
        time.sleep(0.3)
        os._exit(0)
    return pid


def test_the_less_room_there_is_the_sooner_the_next_look():
    now = time.monotonic()
    watch = footprint.Watch(512 * MIB, now)
    assert not watch.add_sample(0, now)
    early = watch.due - now
    assert not watch.add_sample(500 * MIB, time.monotonic())
    late = watch.due - time.monotonic()
    assert 0.01 <= late < 0.03 < 0.1 < early <= 0.2
    assert watch.add_sample(513 * MIB, time.monotonic())
    assert not watch.add_sample(514 * MIB, time.monotonic())
    assert watch.verdict() == "out of memory: used 513 MiB of 512 MiB"


def test_the_kernel_s_kills_are_told_from_others_by_its_counter(tmp_path):
    counter = tmp_path / "vmstat"
    counter.write_text("nr_free_pages 1\noom_kill 3\nballoon 0\n")
    kills = footprint.KernelKills(str(counter))
    assert not kills.killed_lately()
    counter.write_text("nr_free_pages 1\noom_kill 4\nballoon 0\n")
    assert kills.killed_lately()
    now = time.monotonic()
    kills.sample(now + 2)
    kills.sample(now + 4)
    assert not kills.killed_lately()


def test_a_kernel_without_the_counter_blames_nothing_on_memory(tmp_path):
    assert not footprint.KernelKills(str(tmp_path / "none")).killed_lately()


CGROUP = Path("/sys/fs/cgroup/memory")


@pytest.mark.skipif(
    not os.access(CGROUP / "cgroup.procs", os.W_OK), reason="needs a writable cgroup v1 memory controller"
)
def test_a_command_killed_by_the_kernel_for_memory_is_oom_and_one_killed_otherwise_a_crash(local):
    group = CGROUP / f"joblot-test-{os.getpid()}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(64 * MIB))
        program = f"echo $$ > {group}/cgroup.procs; exec {shlex.join([sys.executable, '-c', HOG])}"
        world = local(run("hog", program), run("killed", "kill -KILL $$"))
        world.start("killed")
        outcome = world.wait()["killed"]
        assert (outcome.kind, outcome.message) == ("crash", "killed by SIGKILL")
        world.start("hog")
        outcome = world.wait()["hog"]
        assert (outcome.kind, outcome.reason, outcome.message) == ("oom", "oom", "out of memory: killed by the kernel")
    finally:
        for _ in range(50):
            try:
                group.rmdir()
                break
            except OSError:
                time.sleep(0.02)


def test_a_run_says_in_its_report_that_memory_was_the_end(tmp_path):
    """D3: the reason code `oom`, and a retry that asks for it."""
    program = f"""
import sys
from joblot import Batch
batch = Batch("m")
batch.command("hog", [sys.executable, "-c", {HOG!r}], resources={{"memory": "100MiB"}}, max_attempts=2)
report = batch.run()
job = report.jobs["hog"]
print(job.state, job.reason, job.attempts, job.message)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert re.fullmatch(r"failed oom 2 out of memory: used [0-9]+ MiB of 100 MiB\n", done.stdout), done.stdout
