"""What an attempt of a Python action leaves behind ends with the attempt, not only with its worker."""

from __future__ import annotations

import os
import subprocess
import time

import pytest

from contract.test_executors import Bench, call, gone, lives, living_sleeps, run


@pytest.fixture
def local(tmp_path):
    made = []

    def make(*jobs, **options):
        made.append(Bench("local", tmp_path, *jobs, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def daemon_of(marker):
    """A double fork into a session of its own, by a program."""

    def work():
        subprocess.run(["sh", "-c", f"setsid sh -c 'sleep {marker} & sleep {marker}' </dev/null >/dev/null 2>&1 &"])
        until = time.monotonic() + 30
        while len(living_sleeps(f"{marker}")) < 3:
            assert time.monotonic() < until
            time.sleep(0.01)
        return os.getpid()

    return work


def bare_daemon():
    """A double fork without a new program: no environment of its own tells whose it is."""
    read, write = os.pipe()
    if not os.fork():
        os.setsid()
        if not os.fork():
            os.write(write, b"%d" % os.getpid())
            time.sleep(60)
        os._exit(0)
    os.wait()
    return int(os.read(read, 20))


def clean_daemon(marker):
    """One that has thrown its environment away."""

    def work():
        subprocess.run(["sh", "-c", f"env -i setsid sleep {marker} </dev/null >/dev/null 2>&1 &"])
        until = time.monotonic() + 30
        while not living_sleeps(marker):
            assert time.monotonic() < until
            time.sleep(0.01)

    return work


def test_a_daemon_is_gone_when_the_attempt_has_ended_while_the_worker_lives_on(local):
    """P7, G3"""
    marker = f"81{os.getpid()}"
    world = local(call("a", daemon_of(marker)), call("next", os.getpid), slots=1)
    world.start("a")
    worker = world.wait()["a"].result
    assert not living_sleeps(marker)
    world.start("next")
    assert world.wait()["next"].result == worker


def test_a_forked_daemon_without_a_program_is_gone_too(local):
    """P7, G3"""
    world = local(call("a", bare_daemon), call("next", lambda: 1), slots=1)
    world.start("a")
    pid = int(world.wait()["a"].result)
    assert not lives(pid)
    world.start("next")
    assert world.wait()["next"].kind == "ok"


def test_a_daemon_without_its_environment_is_gone_too(local):
    """P7, G3"""
    marker = f"82{os.getpid()}"
    world = local(call("a", clean_daemon(marker)))
    world.start("a")
    assert world.wait()["a"].kind == "ok"
    assert not living_sleeps(marker)


def test_a_daemon_of_a_killed_action_is_gone_while_other_workers_go_on(local):
    """P7, R110, G3"""
    marker = f"83{os.getpid()}"

    def begin_and_wait():
        daemon_of(marker)()
        time.sleep(60)

    world = local(call("a", begin_and_wait), call("other", lambda: time.sleep(60)))
    world.start("a", "other")
    until = time.monotonic() + 30
    while len(living_sleeps(marker)) < 3:
        assert time.monotonic() < until
        world.look(0.02)
    world.kill("a", grace=0.0)
    assert world.wait()["a"].kind == "crash"
    assert gone(marker, 0.5)
    world.kill("other")
    world.wait()


def test_the_daemon_of_a_running_command_is_left_alone_until_that_ends(local):
    """P7"""
    marker = f"84{os.getpid()}"
    world = local(run("a", f"(setsid sleep {marker} &) ; sleep 1"), *[run(f"t{n}", "true") for n in range(5)])
    world.start("a")
    while not living_sleeps(marker):
        world.look(0.02)
    world.start(*[f"t{n}" for n in range(5)])
    world.wait(5)
    assert living_sleeps(marker)
    assert world.wait()["a"].kind == "ok"
    assert gone(marker, 0.5)
