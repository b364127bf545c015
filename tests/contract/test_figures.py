"""What is told of the memory, the storage and the CPU time that an attempt took is what it took, or nothing."""

from __future__ import annotations

import mmap
import os
import resource
import subprocess
import sys

import pytest

from contract.test_executors import Bench, call, run
from joblot.executors.footprint import Peak

MIB = 2**20
GROW = "x = bytearray({} << 20)"


@pytest.fixture(params=["inline", "local"])
def bench(request, tmp_path):
    made = []

    def make(*jobs, **options):
        made.append(Bench(request.param, tmp_path, *jobs, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def worker(tmp_path):
    """One worker, so that attempts follow one another in one process."""
    made = []

    def make(*jobs):
        made.append(Bench("local", tmp_path, *jobs, slots=1))
        return made[-1]

    yield make
    for one in made:
        one.close()


def python(*words):
    return [sys.executable, "-I", "-S", "-c", *words]


@pytest.mark.alone
@pytest.mark.parametrize(
    ("command", "least", "most"),
    [
        pytest.param("sleep 0.8", 0.3, 6, id="a program"),
        pytest.param("sleep 0.8; true", 0.3, 6, id="a program of a shell"),
        pytest.param("(sleep 0.8) & wait", 0.3, 6, id="beside a shell"),
        pytest.param(python("import time; time.sleep(0.8)"), 5, 16, id="a larger program"),
        pytest.param(python("x = bytearray(150 << 20)"), 150, 180, id="larger than what starts it"),
        pytest.param(
            ["sh", "-c", f"'{sys.executable}' -I -S -c 'x = bytearray(150 << 20)'; true"], 150, 180, id="below"
        ),
    ],
)
def test_the_peak_of_a_command_is_its_own(bench, command, least, most):
    world = bench(run("a", command))
    world.start("a")
    assert least * MIB < world.wait()["a"].peak_bytes < most * MIB


def test_the_peak_of_a_command_that_nobody_could_look_at_is_not_known(bench):
    world = bench(run("a", "true"))
    world.start("a")
    assert world.wait()["a"].peak_bytes == 0


@pytest.mark.parametrize(
    ("looked_s", "ended_s", "kernels", "told"),
    [
        (0.1, 0.15, 20 * MIB, 3 * MIB),
        (0.1, 0.25, 20 * MIB, 0),
        (None, 0.25, 20 * MIB, 0),
        (None, 0.25, 20 * MIB + 4096, 0),
        (None, 0.25, 22 * MIB, 22 * MIB),
        (0.1, 0.15, 22 * MIB, 22 * MIB),
    ],
)
def test_what_is_told_of_a_command_that_was_started_by_20_mib(tmp_path, looked_s, ended_s, kernels, told):
    peak = Peak(0.0)
    if looked_s is not None:
        peak._seen, peak._seen_at = 3 * MIB, looked_s
    assert peak.told(kernels, 20 * MIB, ended_s) == told


def test_a_look_at_processes_that_are_gone_sees_nothing():
    child = subprocess.Popen(["true"])
    child.wait()
    peak = Peak(0.0)
    peak.look([child.pid], 1.0)
    assert peak.told(MIB, 20 * MIB, 1.0) == 0


@pytest.mark.parametrize(("age_s", "next_s"), [(0.02, 0.04), (0.1, 0.2), (0.2, 0.4), (1.0, 1.2), (10.0, 11.0)])
def test_a_command_is_looked_at_seldom_as_it_grows_old(age_s, next_s):
    peak = Peak(5.0)
    assert peak.due == pytest.approx(5.02)
    peak.look([os.getpid()], 5.0 + age_s)
    assert peak.due == pytest.approx(5.0 + next_s)


def own_peak():
    """Bytes that this process has had at most, from which workers are forked."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_the_next_attempt_of_a_worker_has_a_peak_of_its_own(worker):
    def grow(mib):
        """By pages that are given back at once: what an allocator keeps of freed memory depends on what came before."""

        def action():
            with mmap.mmap(-1, max(mib, 1) * MIB) as pages:
                for at in range(0, mib * MIB, mmap.PAGESIZE):
                    pages[at] = 1

        return action

    sizes = {"large": 200, "small": 0, "middle": 60, "a little": 8, "none": 0}
    world = worker(*(call(name, grow(mib)) for name, mib in sizes.items()))
    peaks = {}
    for name in sizes:
        world.start(name)
        peaks[name] = world.wait()[name].peak_bytes
    base = peaks["none"]
    assert 0 < base < own_peak() + 10 * MIB
    grown = {name: peak - base for name, peak in peaks.items()}
    assert {name: abs(grown[name] - mib * MIB) < 3 * MIB for name, mib in sizes.items()} == dict.fromkeys(sizes, True)


def test_processes_that_an_action_has_waited_for_count(worker):
    def below(mib):
        return lambda: subprocess.run(python(GROW.format(mib)), check=True) and None

    world = worker(call("large", below(200)), call("less", below(100)), call("none", lambda: None))
    came = {}
    for name in ("large", "less", "none"):
        world.start(name)
        came |= world.wait()
    assert 200 * MIB < came["large"].peak_bytes < 230 * MIB
    assert came["less"].peak_bytes == 0  # the kernel keeps the largest only: not known
    assert 0 < came["none"].peak_bytes < min(own_peak() + 10 * MIB, 200 * MIB)


def test_the_cpu_time_of_processes_that_an_action_has_waited_for_counts(worker):
    spin = "import time\nwhile time.process_time() < 0.2: pass"
    world = worker(call("a", lambda: subprocess.run(python(spin), check=True) and None), call("b", lambda: None))
    world.start("a")
    world.start("b")
    came = world.wait(2)
    assert came["a"].cpu_s > 0.2
    assert came["b"].cpu_s < 0.1


def test_the_peak_of_an_action_in_the_runner_itself_is_not_known(tmp_path):
    world = Bench("inline", tmp_path, call("a", lambda: len(bytearray(b"x") * 50 * MIB)))
    world.start("a")
    assert world.wait()["a"].peak_bytes == 0
    world.close()


def write(path, blocks):
    with open(path, "wb") as file:
        file.writelines(os.urandom(4096) for _ in range(blocks))
        file.flush()
        os.fsync(file.fileno())


def test_what_attempts_write_to_storage_is_told(worker, tmp_path):
    path = tmp_path / "written"
    write(path, 1)
    if not _counts_writes(path):
        pytest.skip("this file system is none of storage, or its writes are not counted")
    size, words = 100 * 4096, "dd if=/dev/zero bs=4096 count=100 conv=fsync of="
    jobs = {
        "command": run("command", f"{words}{path}1"),
        "shell": run("shell", f"{words}{path}2; true"),
        "action": call("action", lambda: write(f"{path}3", 100)),
        "below": call("below", lambda: subprocess.run([*words.split()[:-1], f"of={path}4"], check=True) and None),
        "nothing": call("nothing", lambda: None),
        "no bytes": run("no bytes", "true"),
    }
    world = worker(*jobs.values())
    for name in jobs:
        world.start(name)
        wrote = world.wait()[name].written_bytes
        assert (wrote == 0) if name.startswith("no") else (size <= wrote < 3 * size), name


def _counts_writes(path):
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_oublock
    write(path, 10)
    return resource.getrusage(resource.RUSAGE_SELF).ru_oublock > before
