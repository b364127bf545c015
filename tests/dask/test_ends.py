"""Whatever ends (a worker, its nanny, the scheduler, the runner), what ran ends with it, is told once, and runs again only after that."""

import asyncio
import os
import signal
import subprocess
import sys
import time

import cloudpickle
import pytest

from contract.test_executors import Bench, call, gone, living_sleeps, run
from dask_bench import OnCluster
from dask_cluster import DaskProcesses, cmdline
from joblot.cluster import agent as agent_calls
from joblot.cluster import messages
from joblot.cluster.connect import open_cluster
from joblot.cluster.settings import Settings
from joblot.core.commands import Kill
from joblot.core.model import Attempt
from joblot.errors import ClusterError, RunHeldError
from joblot.executors import processes

cloudpickle.register_pickle_by_value(sys.modules[__name__])


class ClusterBench(OnCluster, Bench):
    settings = Settings(min_workers=2, wait=30)


@pytest.fixture(scope="module")
def processes_of_all(tmp_path_factory):
    """The cluster of the tests that leave it as it was."""
    made = DaskProcesses(tmp_path_factory.mktemp("dask"))
    yield made
    made.close()


@pytest.fixture
def dask(processes_of_all, tmp_path):
    """A cluster of two workers with a thread each, and benches on it."""
    yield from benches(processes_of_all, tmp_path)


@pytest.fixture
def own_dask(tmp_path):
    """The same, for one test alone: it ends parts of it, adds to it, or counts what it has done."""
    (tmp_path / "dask").mkdir()
    processes = DaskProcesses(tmp_path / "dask")
    yield from benches(processes, tmp_path)
    processes.close()


def benches(processes, tmp_path):
    made = []

    def make(*jobs, **options):
        folder = tmp_path / f"batch{len(made)}"
        folder.mkdir()
        bench = ClusterBench(processes.address, "dask", folder, *jobs, **options)
        made.append(bench)
        return bench

    make.processes = processes
    yield make
    for one in made:
        one.close()


def until(found, world=None, limit=20.0):
    """Wait for something to come true."""
    end = time.monotonic() + limit
    while not (value := found()):
        assert time.monotonic() < end
        if world is not None:
            assert world.executor.wait(0.02) == []
        else:
            time.sleep(0.01)
    return value


def sleeping(marker):
    """The `sleep` processes themselves, without the shells that began them."""
    return [pid for pid in living_sleeps(marker) if cmdline(pid).startswith(b"sleep\0")]


def agent_pids(marker):
    return [pid for pid in living_sleeps("joblot.cluster.agent_process") if marker in processes_mark(pid)]


def processes_mark(pid):
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read().decode()
    except OSError:
        return ""


def test_a_killed_worker_costs_what_it_ran_and_the_run_goes_on(own_dask):
    marker = f"611{os.getpid()}"
    world = own_dask(run("a", f"sleep {marker} & sleep {marker}"), run("b", "true"), run("after", "true"))
    world.start("a")
    until(lambda: len(sleeping(marker)) == 2, world)
    for pid in own_dask.processes.worker_processes():
        os.kill(pid, signal.SIGKILL)
    outcome = world.wait()["a"]
    assert (outcome.kind, outcome.reason) == ("lost", "lost")
    assert outcome.message.startswith("worker `tcp://127.0.0.1:")
    assert not living_sleeps(marker), "nothing of it may live when it is told"
    world.start("b", "after")  # the nannies have begun other workers
    assert {one.kind for one in world.wait(2).values()} == {"ok"}


def test_a_killed_nanny_takes_its_worker_and_all_attempts_along(own_dask):
    marker = f"612{os.getpid()}"
    world = own_dask(run("a", f"sleep {marker}"), run("b", f"sleep {marker}"))
    world.start("a", "b")
    until(lambda: len(sleeping(marker)) == 2, world)
    for nanny in own_dask.processes.workers:
        own_dask.processes.kill(nanny)
    assert {one.kind for one in world.wait(2).values()} == {"lost"}
    assert not living_sleeps(marker)
    own_dask.processes.begin_worker()
    world.start("b")
    until(lambda: living_sleeps(marker), world)
    world.kill("b")
    assert world.wait()["b"].kind == "crash"


def test_a_killed_scheduler_loses_every_attempt_and_is_one_clear_error(own_dask):
    marker = f"613{os.getpid()}"
    names = [f"a{n}" for n in range(6)]
    world = own_dask(*[run(name, f"sleep {marker}") for name in names])
    world.start(*names)
    until(lambda: len(sleeping(marker)) == 2, world)
    own_dask.processes.kill(own_dask.processes.scheduler)
    came = world.wait(6, returned=True)
    assert sorted(one.kind for one in came.values()) == ["lost"] * 2 + ["returned"] * 4
    with pytest.raises(ClusterError) as raised:
        world.start("a0")
    assert raised.value.message == f"the Dask scheduler of `{own_dask.processes.address}` is gone"
    assert "joblot resume" in raised.value.hint
    with pytest.raises(ClusterError):
        world.look(0.1)
    assert gone(marker)


def test_a_agent_s_process_that_is_killed_costs_what_it_ran(dask):
    marker = f"614{os.getpid()}"
    world = dask(run("a", f"sleep {marker}"), run("after", "true"))
    world.start("a")
    until(lambda: living_sleeps(marker), world)
    session = world.executor._session.id
    for pid in agent_pids(session):
        os.kill(pid, signal.SIGKILL)
    outcome = world.wait()["a"]
    assert (outcome.kind, outcome.message) == ("lost", "the agent's process has died")
    assert not living_sleeps(marker)
    world.start("after")
    assert world.wait()["after"].kind == "ok"


RUNNER = """
import sys, time
from joblot.executors.protocol import RunContext
from joblot.cluster.connect import open_cluster
from joblot.cluster.dask import DaskExecutor
from joblot.cluster.settings import Settings
from joblot.core.model import Attempt, Config, JobSpec
from joblot.core.plan import expand
from pathlib import Path

address, folder, marker = sys.argv[1:]
plan = expand(Config(name="b", folder=folder, jobs=[JobSpec(name=n, run=f"sleep {marker} & sleep {marker}") for n in "ab"]))
run_dir = Path(folder) / "run"
run_dir.mkdir()
executor = DaskExecutor(RunContext("r", plan, run_dir), open_cluster(address, Settings(min_workers=2), 2))
executor.start([Attempt(0, 1), Attempt(1, 1)])
print("started", flush=True)
while True:
    executor.wait(1)
"""


@pytest.fixture
def runner(dask, tmp_path):
    """A runner that has begun two attempts of two processes each, and can be killed."""
    marker = f"615{os.getpid()}"
    folder = tmp_path / "theirs"
    folder.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", RUNNER, dask.processes.address, str(folder), marker], stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"started\n"
    until(lambda: len(sleeping(marker)) == 4)
    process.marker, process.folder = marker, folder
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_what_a_killed_runner_has_left_on_the_workers_dies(dask, runner):
    """The tasks see themselves cancelled."""
    runner.kill()
    until(lambda: not sleeping(runner.marker))
    until(lambda: not agent_pids(str(dask.processes.folder)))


def test_who_takes_a_run_over_ends_what_lives_of_it_before_anything_begins(dask, runner):
    """A runner that is stopped, not killed: no connection has ended, and nothing on the workers can know."""
    os.kill(runner.pid, signal.SIGSTOP)
    world = Taker(dask.processes.address, "dask", runner.folder, run("a", "true"))
    try:
        assert len(sleeping(runner.marker)) == 4, "to look is not to take"
        world.start("a")
        assert not sleeping(runner.marker)
        assert world.wait()["a"].kind == "ok"
    finally:
        world.close()


class Taker(ClusterBench):
    """Goes on in the run's folder of another."""


def test_an_earlier_process_of_a_run_can_begin_nothing_more(dask, tmp_path):
    first = dask(run("a", "true"))
    (first.run_dir).mkdir()
    first.executor.start([])
    second = Taker(dask.processes.address, "dask", tmp_path / "batch0", run("a", "true"))
    try:
        second.start("a")
        assert second.wait()["a"].kind == "ok"
        first.start("a")
        outcome = first.wait()["a"]
        assert outcome.kind == "lost"
    finally:
        second.close()


def test_a_claim_that_is_older_than_the_newest_is_refused(dask, tmp_path):
    first = dask(run("a", "true"))
    first.run_dir.mkdir()
    second = Taker(dask.processes.address, "dask", tmp_path / "batch0", run("a", "true"))
    try:
        first.executor._session._epoch = 0
        second.executor._session.token = first.executor._session.token
        second.executor._session.begin()
        second.start("a")
        second.wait()
        (first.run_dir / "cluster.json").unlink()
        with pytest.raises(RunHeldError) as raised:
            first.start("a")
        assert raised.value.message.endswith("the run is driven by a later process")
    finally:
        second.close()


def test_a_task_that_comes_a_second_time_runs_nothing(own_dask, tmp_path):
    """Dask may run a task again whose result was lost with its worker; here it comes again where it ran, and elsewhere."""
    log = tmp_path / "ran"
    world = own_dask(run("a", f"echo ran >> {log}"))
    world.start("a")
    assert world.wait()["a"].kind == "ok"
    executor = world.executor
    here, elsewhere = executor._fleet.agents.values()
    if here.name != executor_agent(world):
        here, elsewhere = elsewhere, here
    again = messages.encode(
        messages.Parcel(
            key="again",
            session=executor._session.id,
            agent=here.name,
            number=1,
            attempts=[Attempt(0, 1, spec=world.plan.spec(0))],
        )
    )
    for address in (here.address, elsewhere.address):
        future = executor._client.submit(
            agent_calls.run_parcel, again, key=f"again-{address}", workers=[address], pure=False
        )
        receipt = messages.decode(future.result(), messages.Receipt)
        assert (receipt.ends, bool(receipt.lost)) == ([], True)
    assert log.read_text() == "ran\n"


def executor_agent(world):
    """The agent that ran the only parcel: the other one has taken none."""
    taken = world.executor._client.run(taken_by)
    return next(agent for agents in taken.values() for agent, count in agents.items() if count)


def taken_by():
    from joblot.cluster.agent import _AGENTS

    return {name: len(agent._accepted) + agent._settled for name, agent in _AGENTS.items()}


def test_a_task_sees_in_its_worker_that_it_was_cancelled(dask):
    """This looks at what is not part of Dask's interface: where it has changed, nothing else works."""

    async def look_for_the_end():
        from distributed import get_worker

        from joblot.cluster.agent import is_orphaned

        worker = get_worker()
        worker.seen = True
        while not is_orphaned(worker, "looked-for"):  # noqa: ASYNC110 - it is Dask that changes
            await asyncio.sleep(0.01)
        worker.orphaned = True

    world = dask(run("a", "true"))
    client = world.executor._client
    future = client.submit(look_for_the_end, key="looked-for", pure=False)
    until(lambda: any(client.run(seen).values()))
    assert not any(client.run(orphaned).values())
    future.cancel()
    until(lambda: any(client.run(orphaned).values()))


def seen(dask_worker):
    return getattr(dask_worker, "seen", False)


def orphaned(dask_worker):
    return getattr(dask_worker, "orphaned", False)


def test_close_leaves_no_process_and_no_folder(dask):
    marker = f"616{os.getpid()}"
    world = dask(run("a", f"sleep {marker}"), call("b", lambda: time.sleep(60)))
    world.start("a", "b")
    until(lambda: living_sleeps(marker), world)
    session = world.executor._session.id
    assert agent_pids(session)
    world.close()
    assert not living_sleeps(marker)
    assert not agent_pids(session)
    assert not list((dask.processes.folder).rglob("joblot-*"))


def test_an_attempt_that_is_ended_before_its_task_comes_never_begins(dask, tmp_path):
    log = tmp_path / "ran"
    world = dask(run("a", f"echo ran >> {log}"), run("b", "sleep 0.3"), slots=2)
    world.start("b")
    agent = next(iter(world.executor._fleet.agents.values()))
    request = messages.encode(
        messages.EndRequest(world.executor._session.id, agent.name, [(77, Kill(0, 1, "cancelled", 0.0))])
    )
    early = world.executor._client.run(agent_calls.end_attempts, request, workers=[agent.address])
    assert early == {agent.address: [(77, 0, 1)]}
    late = messages.Parcel(
        key="late",
        session=world.executor._session.id,
        agent=agent.name,
        number=77,
        attempts=[Attempt(0, 1, spec=world.plan.spec(0))],
    )
    future = world.executor._client.submit(
        agent_calls.run_parcel, messages.encode(late), workers=[agent.address], pure=False
    )
    receipt = messages.decode(future.result(), messages.Receipt)
    assert (receipt.ends, receipt.is_open, receipt.lost) == ([], False, "")
    assert not log.exists()
    assert world.wait()["b"].kind == "ok"


def test_workers_that_come_later_are_used(own_dask, tmp_path):
    names = [f"n{n}" for n in range(3)]
    script = f"touch {tmp_path}/$JOBLOT_JOB; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done"
    world = own_dask(*[run(name, script) for name in names], slots=4)
    world.start(*names)
    until(lambda: len(list(tmp_path.glob("n?"))) == 2, world)
    own_dask.processes.begin_worker()
    until(lambda: len(list(tmp_path.glob("n?"))) == 3, world)
    (tmp_path / "go").touch()
    assert {one.kind for one in world.wait(3).values()} == {"ok"}


def test_what_a_closed_runner_used_can_be_used_by_the_next(dask):
    for _ in range(2):
        world = dask(run("a", "true"))
        world.start("a")
        assert world.wait()["a"].kind == "ok"
        world.close()


def test_sweeping_by_a_mark_spares_what_has_another(tmp_path):
    doomed, spared = (
        subprocess.Popen(["sleep", "60"], env={**os.environ, "JOBLOT_SITE": f"test{os.getpid()}:{name}"})
        for name in ("doomed", "spared")
    )
    try:
        assert processes.sweep_marked("JOBLOT_SITE", lambda value: value == f"test{os.getpid()}:doomed") == 1
        assert doomed.wait(5) == -signal.SIGKILL
        assert spared.poll() is None
    finally:
        spared.kill()
        spared.wait()


def test_a_cluster_without_workers_says_so(tmp_path):
    (tmp_path / "dask").mkdir()
    processes = DaskProcesses(tmp_path / "dask", workers=0)
    try:
        with pytest.raises(ClusterError) as raised:
            open_cluster(processes.address, Settings(min_workers=2, wait="200ms"), 2)
        assert raised.value.message == f"0 of 2 workers came to `{processes.address}` within 0.2 s"
    finally:
        processes.close()
