"""What runs hold of the limits of the machine: each `Permits` here is a run of its own, though all are in one process."""

import os
import select
import subprocess
import sys
import time
from types import MappingProxyType

import pytest

from joblot.core.model import Limit
from joblot.core.resources import UNIT
from joblot.errors import StateError
from joblot.executors import processes
from joblot.runner import permits as module
from joblot.runner.permits import Permits, look, waits_of

DB, NET, BOTH = (("db", 1.0),), (("net", 1.0),), (("db", 1.0), ("net", 1.0))


class Runs:
    """Runs that share `db` and `net`, and what each uses."""

    def __init__(self, folder):
        self.folder = folder
        self.open = []

    def begin(self, run_id="r", *, db=1, net=1, gpu=None, **options):
        limits = {"db": Limit(db, across="machine"), "net": Limit(net, across="machine")}
        if gpu is not None:
            limits["gpu"] = Limit(len(gpu), tuple(gpu), across="machine")
        run = Permits(run_id, batch="b", cookie=f"{self.folder}/runs/{run_id}", limits=limits, **options)
        self.open.append(run)
        return run

    def end(self, *runs):
        for run in runs or list(self.open):
            run.close()
            self.open.remove(run)


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    made = Runs(tmp_path)
    yield made
    made.end()


def used(db=0, net=0):
    return {"db": db * UNIT, "net": net * UNIT}


def asks(run, needed, used, slots=MappingProxyType({})):
    return run.ask(needed, used, dict(slots)) is not None


def is_rung(run):
    return bool(select.select([run.wake.fileno()], [], [], 0)[0])


def waits(run):
    return any(entry.wants for entry in look() if entry.name == run._name)


def kill(run):
    """As if its process had been killed: what it wrote stays, the lock does not."""
    os.close(run.fd)
    run.fd = os.open(os.devnull, os.O_RDWR)


def test_no_more_is_granted_than_there_is(runs):
    one, two = runs.begin("r1", db=2), runs.begin("r2", db=2)
    assert asks(one, DB, used())
    assert asks(two, DB, used())
    assert not asks(one, DB, used(db=1))
    assert not asks(two, DB, used(db=1))
    assert waits(one)


def test_what_is_given_back_is_told_to_whose_turn_it_is_and_to_no_other(runs):
    holder, first, second = runs.begin("r1"), runs.begin("r2"), runs.begin("r3")
    assert asks(holder, DB, used())
    assert not asks(first, DB, used())
    assert not asks(second, DB, used())
    assert holder.wanted() == {"db"}
    holder.settle(used(), {})
    assert (is_rung(first), is_rung(second)) == (True, False)
    assert not asks(second, DB, used()), "the other one was first"
    assert first.again()
    assert asks(first, DB, used())


def test_a_run_that_gives_back_and_asks_again_comes_last(runs):
    one, two = runs.begin("r1"), runs.begin("r2")
    for _ in range(3):
        assert asks(one, DB, used())
        assert not asks(two, DB, used())
        assert not asks(one, DB, used()), "what nobody uses is given back before it is asked for anew"
        assert is_rung(two)
        one, two = two, one


def test_several_limits_are_taken_together_or_not(runs):
    one, two, three = runs.begin("r1"), runs.begin("r2"), runs.begin("r3")
    assert asks(one, NET, used())
    assert not asks(two, BOTH, used())
    assert not asks(three, DB, used()), "it is free, and two waits for it with more"
    one.settle(used(), {})
    assert (is_rung(two), is_rung(three)) == (True, False)
    assert asks(two, BOTH, used())


def test_who_needs_nothing_of_what_others_wait_for_passes(runs):
    one, two, three = runs.begin("r1"), runs.begin("r2"), runs.begin("r3")
    assert asks(one, DB, used())
    assert not asks(two, DB, used())
    assert asks(three, NET, used())


def test_a_job_that_needs_all_is_not_passed_by_small_ones(runs):
    all_of_it = (("db", 2.0),)
    one, two, large = runs.begin("r1", db=2), runs.begin("r2", db=2), runs.begin("r3", db=2)
    assert asks(one, DB, used())
    assert not asks(large, all_of_it, used())
    assert not asks(two, DB, used())
    one.settle(used(), {})
    assert (is_rung(large), is_rung(two)) == (True, False)
    assert asks(large, all_of_it, used())


def test_each_run_holds_to_the_count_of_its_own_batch(runs):
    few, many = runs.begin("r1", db=1), runs.begin("r2", db=3)
    assert asks(many, DB, used())
    assert not asks(few, DB, used())
    few.settle(used(), {}, again=True)
    few.again()
    few.settle(used(), {}, again=True)
    assert asks(many, DB, used(db=1))
    assert not waits(few)


def test_what_nobody_asks_for_any_more_lets_others_pass(runs):
    one, two, three = runs.begin("r1"), runs.begin("r2"), runs.begin("r3")
    assert asks(one, DB, used())
    assert not asks(two, DB, used())
    assert not asks(three, DB, used())
    one.settle(used(), {})
    assert two.again()
    two.settle(used(), {}, again=True)
    assert is_rung(three)
    assert not waits(two)
    assert asks(three, DB, used())
    assert not asks(two, DB, used()), "it keeps its turn, which does not take away what was granted"


def test_a_run_that_has_not_looked_for_long_is_passed(runs, monkeypatch):
    one, two, three = runs.begin("r1"), runs.begin("r2"), runs.begin("r3")
    assert asks(one, DB, used())
    assert not asks(two, DB, used())
    one.settle(used(), {})
    later = time.monotonic() + 4
    monkeypatch.setattr(module.time, "monotonic", lambda: later)
    assert asks(three, DB, used())
    three.settle(used(), {})
    assert not is_rung(three)
    assert asks(two, DB, used())


def test_death_frees_what_a_run_held(runs):
    one, two = runs.begin("r1"), runs.begin("r2")
    assert asks(one, DB, used())
    kill(one)
    assert asks(two, DB, used())


def test_what_outlives_the_runner_and_its_warden_counts(runs):
    """The mark of the run tells; it is asked for by every look, and found at once when it is known."""
    one, two = runs.begin("r1"), runs.begin("r2")
    assert asks(one, DB, used())
    cookie = f"{runs.folder}/runs/r1"
    words = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"JOBLOT_RUN": cookie}) as left:
        left.stdout.readline()
        kill(one)
        assert not asks(two, DB, used())
        assert processes.is_of_run(left.pid, cookie)
        waits = waits_of(f"{runs.folder}/runs/r2", look())
        assert waits == {
            "db": f"`db` of this machine: 1 of 1 held by process {left.pid} of run `r1` of batch `b`, whose runner was killed"
        }
        assert not asks(two, DB, used())
        left.stdin.close()
        left.wait()
        assert asks(two, DB, used())


def test_what_a_killed_runner_left_on_a_cluster_counts_for_a_while(runs, monkeypatch):
    one, two = runs.begin("r1", lingers_s=2.0), runs.begin("r2")
    assert asks(one, DB, used())
    kill(one)
    assert not asks(two, DB, used())
    moment = time.time()
    monkeypatch.setattr(module.time, "time", lambda: moment + 1.5)
    assert not asks(two, DB, used())
    monkeypatch.setattr(module.time, "time", lambda: moment + 2.5)
    assert asks(two, DB, used())


def test_a_resumed_run_frees_what_its_last_process_held(runs):
    one = runs.begin("r1")
    assert asks(one, DB, used())
    kill(one)
    again = runs.begin("r1")
    assert asks(again, NET, used())
    again.forget_earlier()
    assert asks(again, DB, used(net=1))


def test_a_file_that_cannot_be_read_may_hold_anything_while_it_is_locked(runs):
    one, two = runs.begin("r1"), runs.begin("r2")
    os.pwrite(one.fd, b"?", one._at)
    assert not asks(two, DB, used())
    kill(one)
    assert asks(two, DB, used())


def test_what_is_no_file_of_a_run_is_passed_over(runs):
    run = runs.begin("r1")
    folder = runs.folder / "home/joblot/limits"
    (folder / "README").write_text("mine")
    (folder / ("0" * 32)).mkdir()
    (folder / ("1" * 32)).symlink_to("/etc/passwd")
    os.mkfifo(folder / ("2" * 32))
    assert asks(run, DB, used())


def test_nothing_is_left_when_all_have_ended(runs):
    one, two = runs.begin("r1"), runs.begin("r2")
    assert asks(one, DB, used())
    assert not asks(two, DB, used())
    runs.end(one)
    assert is_rung(two)
    runs.end()
    assert os.listdir(runs.folder / "home/joblot/limits") == []
    assert look() == []


def test_nobody_waits_for_what_the_run_alone_has(runs):
    one = runs.begin("r1")
    assert asks(one, DB, used())
    assert not asks(one, DB, used(db=1))
    assert waits_of(f"{runs.folder}/runs/r1", look()) == {}


def test_it_is_told_who_comes_before(runs):
    one, two, three = runs.begin("r1", db=2), runs.begin("r2", db=2), runs.begin("r3", db=2)
    assert asks(one, DB, used())
    assert not asks(two, (("db", 2.0),), used())
    assert not asks(three, DB, used())
    words = waits_of(f"{runs.folder}/runs/r3", look())["db"]
    assert words.startswith("`db` of this machine: 1 of 2 held by run `r1` of batch `b`, process ")
    assert words.endswith("; run `r2` comes before")


def test_of_many_who_hold_or_come_before_a_few_are_named(runs):
    holders = [runs.begin(f"h{number}", db=5) for number in range(5)]
    assert all(asks(holder, DB, used()) for holder in holders)
    waiting = [runs.begin(f"w{number}", db=5) for number in range(3)]
    assert not any(asks(run, DB, used()) for run in waiting)
    words = waits_of(f"{runs.folder}/runs/w2", look())["db"]
    assert words.count("of batch `b`, process ") == 3
    assert words.endswith(", 2 more; 2 runs come before")


def test_what_is_held_can_be_given_back_on_a_full_disk(runs):
    """The page that says it is written when the run begins, and never grows while it says little."""
    run = runs.begin("r1")
    before = os.fstat(run.fd).st_size
    assert asks(run, DB, used())
    assert not asks(run, DB, used(db=1))
    assert os.fstat(run.fd).st_size == before


def test_a_folder_that_somebody_holds_refuses_and_is_asked_again(runs, monkeypatch):
    monkeypatch.setattr(module, "_WAIT_S", 0.01)
    monkeypatch.setattr(module, "_ENTER_S", 0.01)
    one = runs.begin("r1")
    folder = os.open(runs.folder / "home/joblot/limits", os.O_RDONLY)
    module.fcntl.flock(folder, module.fcntl.LOCK_EX)
    assert not asks(one, DB, used())
    with pytest.raises(StateError) as refused:
        runs.begin("r2")
    assert refused.value.message == f"another process has held `{runs.folder}/home/joblot/limits` for 0.01 s"
    assert refused.value.hint == "a joblot that stands still has it: end that, or let it go on"
    os.close(folder)
    assert one.again()
    assert asks(one, DB, used())


@pytest.mark.parametrize("home", ["relative", "others", "file"])
def test_without_a_folder_nothing_begins(home, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "nowhere" if home == "relative" else str(tmp_path))
    base = {"relative": "relative", "others": str(tmp_path / "others"), "file": str(tmp_path / "file" / "in")}[home]
    (tmp_path / "others").mkdir()
    (tmp_path / "others").chmod(0o777)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", base)
    with pytest.raises(StateError) as refused:
        Runs(tmp_path).begin()
    path = "nowhere/.local/state" if home == "relative" else base
    reason = {"relative": "there is no home", "others": "it is not yours alone", "file": "not a directory"}[home]
    assert refused.value.message == f"limits of this machine cannot be kept in `{path}/joblot/limits`: {reason}"
    assert refused.value.hint == "`XDG_STATE_HOME` takes a folder of yours on a disk of this machine"


def test_a_home_on_a_network_is_refused(runs, monkeypatch):
    monkeypatch.setattr(module, "network_type", lambda _: "nfs4")
    with pytest.raises(StateError) as refused:
        runs.begin()
    path = runs.folder / "home/joblot/limits"
    assert refused.value.message == f"limits of this machine cannot be kept in `{path}`: it is on a network (nfs4)"


def gpus(amount=1):
    return (("gpu", float(amount)),)


def holding(*slots):
    return {"gpu": len(slots) * UNIT}, {"gpu": list(slots)}


def test_each_name_is_held_by_one_run_at_a_time(runs):
    one, two = runs.begin("r1", gpu=[0, 1]), runs.begin("r2", gpu=[0, 1])
    assert one.ask(gpus(), *holding()) == {"gpu": [0]}
    assert two.ask(gpus(), *holding()) == {"gpu": [1]}
    assert one.ask(gpus(), *holding(0)) is None
    two.settle(*holding())
    assert is_rung(one)
    assert one.ask(gpus(), *holding(0)) == {"gpu": [1]}
    assert "held by run `r1` (0, 1) of batch `b`, process " in (
        two.ask(gpus(), *holding()) or waits_of(f"{runs.folder}/runs/r2", look())["gpu"]
    )


def test_what_a_run_does_not_name_is_in_nobodys_way(runs):
    one, two = runs.begin("r1", gpu=["a", "b"]), runs.begin("r2", gpu=["c", "b"])
    assert one.ask(gpus(2), *holding()) == {"gpu": ["a", "b"]}
    assert two.ask(gpus(), *holding()) == {"gpu": ["c"]}
    assert two.ask(gpus(), *holding("c")) is None


def test_a_number_and_a_text_are_one_name(runs):
    one, two = runs.begin("r1", gpu=[0]), runs.begin("r2", gpu=["0"])
    assert one.ask(gpus(), *holding()) == {"gpu": [0]}
    assert two.ask(gpus(), *holding()) is None


def test_what_has_no_names_may_be_any_of_those_that_have(runs):
    named = runs.begin("r1", gpu=[0, 1])
    limits = {"gpu": Limit(2, across="machine")}
    counted = Permits("r2", batch="c", cookie="c", limits=limits)
    runs.open.append(counted)
    assert counted.ask(gpus(), {"gpu": 0}, {}) == {}
    assert named.ask(gpus(), *holding()) == {"gpu": [0]}
    assert counted.ask(gpus(), {"gpu": UNIT}, {}) is None


def test_a_run_chooses_no_name_that_is_anothers_turn(runs):
    holder, narrow, wide = runs.begin("r1", gpu=[0, 1]), runs.begin("r2", gpu=[0]), runs.begin("r3", gpu=[0, 1])
    assert holder.ask(gpus(2), *holding()) == {"gpu": [0, 1]}
    assert narrow.ask(gpus(), *holding()) is None
    assert wide.ask(gpus(), *holding()) is None
    holder.settle(*holding())
    assert (is_rung(narrow), is_rung(wide)) == (True, True)
    assert wide.ask(gpus(), *holding()) == {"gpu": [1]}
    assert narrow.ask(gpus(), *holding()) == {"gpu": [0]}
