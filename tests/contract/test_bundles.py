"""What every executor promises of bundles: jobs that are run as one call of a fused action, and end each for itself."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from pathlib import Path

import pytest

from contract.test_executors import Bench, gone
from joblot.actions.registry import ACTIONS, action, fused
from joblot.core.model import Attempt, JobSpec
from joblot.executors.inline import InlineExecutor

FATES = "test.fates"


@pytest.fixture(autouse=True)
def _fates():
    @action(FATES)
    def alone(*, fate: str = "ok", ctx):
        raise AssertionError("a bundle runs the fused form")

    fused(FATES, on=("fate",))(together)
    yield
    del ACTIONS[FATES]


def together(jobs, ctx):
    """Each job in turn meets its fate."""
    for job in jobs:
        job.ctx.log("met", fate=job.params["fate"])
        fate = job.params["fate"]
        if fate == "ok":
            ctx.done(job, {"name": job.name, "try": job.attempt})
        elif fate == "fail":
            ctx.failed(job, "its own fault")
        elif fate == "error":
            ctx.failed(job, ValueError("bad value"))
        elif fate == "raise":
            raise RuntimeError("all of us")
        elif fate == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif fate == "hang":
            time.sleep(300)
        elif fate == "print":
            os.write(1, f"this is {job.name}\n".encode())
            ctx.done(job)
        elif fate == "again" and job.attempt == 1:
            ctx.failed(job, "the first time")
        elif fate == "again":
            (ctx.batch_dir / "again").touch()
            time.sleep(300)
        elif fate == "slow":
            while not (ctx.run_dir / "go").exists():
                time.sleep(0.01)
            ctx.done(job)
        elif fate == "oom":
            hold = bytearray(600 * 2**20)
            ctypes.memset((ctypes.c_char * len(hold)).from_buffer(hold), 1, len(hold))
            time.sleep(300)
        elif fate == "child":
            if os.fork() == 0:
                os.execv("/bin/sleep", ["sleep", "777.25"])
            ctx.done(job)
        elif fate == "odd":
            ctx.done(job, object())
        elif fate == "twice":
            ctx.done(job, 1)
            ctx.done(job, 2)


class Bundled(Bench):
    """A bench whose jobs are named after their fates and run as one bundle."""

    def __init__(self, kind, folder, *fates, **fields):
        specs = [
            JobSpec(name=f"{number}-{fate}", action=FATES, params={"fate": fate}, **fields)
            for number, fate in enumerate(fates)
        ]
        super().__init__(kind, folder, *specs, slots=2)

    def begin(self, number=1):
        self.numbers = dict.fromkeys(range(len(self.plan)), number)
        attempts = [Attempt(job, number, None, 7) for job in range(len(self.plan))]
        self.started |= {(one.job, one.number): one for one in attempts}
        self.executor.start(attempts)


@pytest.fixture(params=["inline", "local"])
def bundle(request, tmp_path):
    made = []

    def make(*fates, **fields):
        made.append(Bundled(request.param, tmp_path, *fates, **fields))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def local(tmp_path):
    made = []

    def make(*fates, **fields):
        made.append(Bundled("local", tmp_path, *fates, **fields))
        return made[-1]

    yield make
    for one in made:
        one.close()


def ends(world, count):
    world.wait(count)
    return {world.plan.name(one.job): (one.kind, one.shared) for one in world.came}


def test_each_job_of_a_bundle_has_its_own_result_log_lines_and_times(bundle):
    """R129"""
    world = bundle("ok", "ok", "ok")
    world.begin()
    came = world.wait(3)
    assert {name: one.result for name, one in came.items()} == {
        f"{n}-ok": b'{"name":"%d-ok","try":1}' % n for n in range(3)
    }
    assert [line.message for one in came.values() for line in one.logs] == ["met"] * 3
    assert all(one.wall_s >= 0 and one.cpu_s >= 0 for one in came.values())
    known = {one.peak_bytes > 1_000_000 for one in came.values()}
    assert known == {not isinstance(world.executor, InlineExecutor)}


def test_a_job_that_fails_by_itself_leaves_the_others_alone(bundle):
    world = bundle("ok", "fail", "error", "ok", "odd")
    world.begin()
    assert ends(world, 5) == {
        "0-ok": ("ok", False),
        "1-fail": ("error", False),
        "2-error": ("error", False),
        "3-ok": ("ok", False),
        "4-odd": ("error", False),
    }
    messages = {world.plan.name(one.job): one.message for one in world.came if one.kind != "ok"}
    assert messages == {
        "1-fail": "its own fault",
        "2-error": "ValueError: bad value",
        "4-odd": "the result cannot be written as JSON: Encoding objects of type object is unsupported",
    }


def test_a_bundle_that_raises_tells_so_of_the_jobs_that_were_not_done(bundle):
    world = bundle("ok", "raise", "ok")
    world.begin()
    assert ends(world, 3) == {"0-ok": ("ok", False), "1-raise": ("error", True), "2-ok": ("error", True)}
    assert {one.message for one in world.came if one.shared} == {"RuntimeError: all of us"}
    assert "raise RuntimeError" in world.log("2-ok")


def test_jobs_of_which_nothing_was_said_are_not_done(bundle):
    world = bundle("ok", "silent", "silent")
    world.begin()
    assert ends(world, 3) == {"0-ok": ("ok", False), "1-silent": ("error", True), "2-silent": ("error", True)}
    assert world.came[-1].message == "the action returned without saying how this job ended"


def test_saying_twice_how_a_job_ended_is_an_error_of_the_action(bundle):
    world = bundle("twice", "ok")
    world.begin()
    assert ends(world, 2) == {"0-twice": ("ok", False), "1-ok": ("error", True)}
    assert world.came[-1].message == "it was said twice how job `0-twice` ended"


def test_wrong_parameters_are_the_fault_of_their_job_alone(bundle):
    world = bundle("ok", "ok")
    world.executor.start([Attempt(0, 1, {"params": {"fat": 1}, "env": {}}, 7), Attempt(1, 1, None, 7)])
    assert ends(world, 2) == {"0-ok": ("error", False), "1-ok": ("ok", False)}
    assert "fat" in world.came[0].message


def test_what_a_bundle_prints_is_in_the_log_of_each_of_its_jobs(bundle):
    world = bundle("print", "print", "ok")
    world.begin()
    world.wait(3)
    for name in ("0-print", "1-print", "2-ok"):
        assert world.log(name) == "this is 0-print\nthis is 1-print\n"


def test_a_bundle_that_prints_nothing_has_no_logs(bundle):
    world = bundle("ok", "ok")
    world.begin()
    world.wait(2)
    assert world.log("1-ok") == ""
    assert not (world.run_dir / "logs" / "1-ok").exists()


@pytest.mark.parametrize("fate", ["print", "ok"])
def test_the_log_of_a_bundle_that_takes_long_has_its_name_before_and_after(local, fate):
    world = local(fate, "slow", "ok")
    world.begin()
    ends(world, 1)
    until = time.monotonic() + 30
    while not (world.run_dir / "logs" / f"0-{fate}" / "1.log").exists():
        assert time.monotonic() < until
        world.came += world.executor.wait(0.1)
    (world.run_dir / "go").touch()
    while len(world.came) < 3:
        world.came += world.executor.wait(1)
    shown = [world.log(f"0-{fate}"), world.log("1-slow"), world.log("2-ok")]
    assert shown == (["this is 0-print\n"] * 3 if fate == "print" else [""] * 3)
    assert (world.run_dir / "logs" / f"0-{fate}" / "1.log").exists() == (fate == "print")


def test_a_timeout_ends_what_is_not_done(bundle):
    """R110"""
    world = bundle("ok", "hang", "ok", timeout_s=0.5)
    world.begin()
    if type(world.executor).__name__ != "InlineExecutor":
        assert ends(world, 1) == {"0-ok": ("ok", False)}
        world.kill("2-ok", kind="timeout")
        assert ends(world, 2) == {"0-ok": ("ok", False), "1-hang": ("crash", True), "2-ok": ("crash", True)}
    else:
        assert ends(world, 3) == {"0-ok": ("ok", False), "1-hang": ("timeout", True), "2-ok": ("timeout", True)}


def test_a_bundle_that_has_not_begun_is_given_back_as_a_whole(bundle):
    world = bundle("ok", "hang", "ok", "ok")
    if type(world.executor).__name__ == "InlineExecutor":
        world.begin()
        world.kill("2-ok")
        assert {one.kind for one in world.executor.wait(1)} == {"returned"}
        return
    busy = [Attempt(1, 1), Attempt(1, 2)]  # each in a worker of its own, for ever
    world.executor.start(busy)
    world.executor.start([Attempt(0, 1, None, 7), Attempt(2, 1, None, 7), Attempt(3, 1, None, 7)])
    world.numbers = {2: 1}
    world.kill("2-ok")
    assert sorted((one.job, one.kind) for one in world.executor.wait(1)) == [
        (0, "returned"),
        (2, "returned"),
        (3, "returned"),
    ]


def test_a_crash_takes_with_it_only_what_was_not_done(local):
    """The process dies by a signal; what it had told before counts."""
    world = local("ok", "print", "crash", "ok")
    world.begin()
    assert ends(world, 4) == {
        "0-ok": ("ok", False),
        "1-print": ("ok", False),
        "2-crash": ("crash", True),
        "3-ok": ("crash", True),
    }
    assert {one.message for one in world.came if one.shared} == {"killed by SIGSEGV"}
    assert "this is 1-print" in world.log("0-ok")
    assert "this is 1-print" in world.log("3-ok")
    world.begin(2)
    world.came.clear()
    assert ends(world, 4)["0-ok"] == ("ok", False)


def test_a_bundle_over_its_memory_is_ended_and_says_so(local):
    world = local("ok", "oom", "ok", resources={"memory": 300 * 2**20})
    world.begin()
    assert ends(world, 3) == {"0-ok": ("ok", False), "1-oom": ("oom", True), "2-ok": ("oom", True)}


@pytest.mark.parametrize("grace", [0.0, 5.0])
def test_one_kill_ends_the_bundle_whichever_job_it_names(local, grace):
    world = local("ok", "hang", "ok", "ok")
    world.begin()
    world.wait(1)
    world.kill("3-ok", grace=grace)
    kind = "cancelled" if grace else "crash"
    assert ends(world, 3) == {
        "0-ok": ("ok", False),
        "1-hang": (kind, True),
        "2-ok": (kind, True),
        "3-ok": (kind, True),
    }


def test_a_kill_that_names_a_job_that_was_just_done_ends_the_others(local):
    world = local("ok", "hang", "ok")
    world.begin()
    world.wait(1)
    world.kill("0-ok")
    assert ends(world, 2)["2-ok"] == ("crash", True)


def test_a_kill_of_an_attempt_leaves_the_bundle_of_an_earlier_attempt_alone(local):
    """A job that has failed by itself may be tried again while its bundle still runs, for the jobs of which nothing is known yet."""
    world = local("again", "again", "hang")
    world.begin()
    world.wait(2)
    world.numbers |= {0: 2, 1: 2}
    world.executor.start([Attempt(job, 2, None, 8) for job in (0, 1)])
    until = time.monotonic() + 60
    while not Path(world.plan.config.folder, "again").exists():
        assert time.monotonic() < until
        world.look(0.01)
    world.kill("0-again")
    assert ends(world, 2) == {"0-again": ("crash", True), "1-again": ("crash", True)}
    world.kill("2-hang")
    assert ends(world, 1)["2-hang"] == ("crash", True)


def test_what_a_bundle_starts_ends_with_it(local):
    world = local("child", "ok")
    world.begin()
    world.wait(2)
    assert gone("777.25")


def test_two_bundles_and_a_single_job_run_side_by_side_in_their_own_processes(local):
    world = local("ok", "ok", "ok", "ok", "ok")
    bundles = (1, 1, 2, 2, 0)

    @action("test.alone")
    def alone(*, ctx):
        return "alone"

    try:
        world.plan.declarations[4] = JobSpec(name="4-ok", action="test.alone")
        world.executor.start([Attempt(job, 1, None, bundles[job]) for job in range(4)])
        assert set(ends(world, 4).values()) == {("ok", False)}
    finally:
        del ACTIONS["test.alone"]


def test_the_warden_that_is_killed_loses_the_bundle(local):
    world = local("ok", "hang", "ok")
    world.begin()
    world.wait(1)
    os.kill(world.executor._warden_pid, signal.SIGKILL)
    assert ends(world, 2) == {"0-ok": ("ok", False), "1-hang": ("lost", True), "2-ok": ("lost", True)}


def test_a_large_bundle_is_one_frame_and_many_ends(bundle):
    world = bundle(*["ok"] * 1500)
    world.begin()
    assert set(ends(world, 1500).values()) == {("ok", False)}
    assert [one.job for one in world.came] == list(range(1500))
