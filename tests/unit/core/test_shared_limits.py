"""Limits that all runs of the machine share: what is asked for, when, and what is given back."""

from joblot.core.model import Limit
from joblot.testing import World
from joblot.testing.declare import declare

DB, NET = ("db",), ("db", "net")


def world(batch, *, slots=4, shared=DB, **others):
    made = World(batch, slots=slots, named={"db": 2.0, "net": 1.0}, shared=shared)
    made.others.update(others)
    made.start()
    return made


def test_a_job_is_asked_for_before_it_starts():
    w = world("a db=1; b")
    assert w.running() == ["a", "b"]
    assert w.asks == [(("db", 1.0),)]


def test_what_is_refused_holds_nobody_back_and_no_slot():
    w = world("a db=1 priority=1; b; c; d net=1", slots=2, db=2.0)
    assert w.running() == ["b", "c"]
    w.ok("b")
    w.ok("c")
    assert w.running() == ["d"]
    assert w.asks == [(("db", 1.0),)]


def test_it_is_asked_for_again_when_it_may_be_free():
    w = world("a db=1", db=2.0)
    w.give_back(db=2.0)
    assert w.running() == []
    w.give_back(db=1.0)
    assert w.running() == ["a"]
    assert len(w.asks) == 3


def test_what_was_granted_is_kept_from_job_to_job():
    w = world("a db=1; b db=1; c db=1; d db=1")
    assert w.running() == ["a", "b"]
    asked = len(w.asks)
    w.ok("a")
    w.ok("b")
    assert w.running() == ["c", "d"]
    assert len(w.asks) == asked


def test_what_others_wait_for_is_asked_for_anew_for_each_job():
    w = world("a db=1; b db=1", db=1.0)
    assert w.running() == ["a"]
    w.others["db"] = 2.0  # it is theirs when it is given back
    w.cede("db")
    w.ok("a")
    assert w.running() == []
    assert w.state.resources.granted == {"db": 0}
    w.give_back(db=0.0)
    assert w.running() == ["b"]


def test_a_job_that_asks_for_several_has_all_or_none():
    w = world("a db=1 net=1", shared=NET, net=1.0)
    assert w.running() == []
    assert w.asks == [(("db", 1.0), ("net", 1.0))]
    assert w.state.resources.granted == {"db": 0, "net": 0}


def test_what_is_left_of_it_is_not_held_while_more_is_waited_for():
    w = world("a db=1; b needs a db=2", db=0.0)
    w.others["db"] = 1.0
    w.ok("a")
    assert w.running() == []
    assert w.state.resources.granted == {"db": 0}


def test_a_job_that_waits_for_slots_does_not_ask():
    w = world("a; b cpu=2 db=1", slots=2)
    assert w.running() == ["a"]
    assert w.asks == []
    w.ok("a")
    assert w.running() == ["b"]


def test_a_job_that_was_lost_too_often_asks_before_it_runs_alone():
    w = world("a db=1; b; c needs b", slots=2)
    for _ in range(2):
        w.lose("a", "b")
    w.others["db"] = 2.0
    w.cede("db")
    w.lose("a", "b")
    assert w.running() == ["b"], "it was lost too often as well, and waits for nothing"
    w.ok("b")
    assert w.running() == ["c"], "while the first one waits the others go on"
    w.ok("c")
    w.give_back(db=0.0)
    assert w.running() == ["a"]


def test_a_bundle_asks_for_what_one_of_its_jobs_needs():
    w = world("a fuse=x db=1; b fuse=x db=1; c fuse=x db=1")
    assert w.bundles() == [["a", "b", "c"]]
    assert w.asks == [(("db", 1.0),)]


def test_another_process_asks_anew():
    w = world("a db=1; b db=1")
    w.others["db"] = 2.0
    w.crash()
    assert w.running() == []
    w.give_back(db=1.0)
    assert w.running() == ["a"]


def test_jobs_of_finally_ask_too():
    w = world("a; z finally=yes db=1", db=2.0)
    w.ok("a")
    assert w.running() == []
    w.give_back(db=0.0)
    assert w.running() == ["z"]


def test_a_stop_ends_the_wait():
    w = world("a db=1", db=2.0)
    w.cancel()
    assert w.status == "cancelled"
    assert w.state.resources.granted == {"db": 0}


def gpus(batch, *, slots=("0", "1", "2"), **others):
    limits = {"gpu": Limit(len(slots), slots, across="machine")}
    made = World(declare(batch, limits=limits), slots=4, named={"gpu": float(len(slots))}, shared=("gpu",))
    made.others.update(others)
    made.start()
    return made


def held(w):
    return {w.plan.name(job): its["gpu"] for job, its in w.state.named_slots.held.items()}


def test_jobs_hold_the_slots_that_were_granted():
    """A world grants the last ones: others have the first."""
    w = gpus("a gpu=1; b gpu=1", gpu=1.0)
    assert held(w) == {"a": ["2"], "b": ["1"]}
    assert w.state.granted_slots == {"gpu": ["1", "2"]}


def test_a_slot_that_is_kept_goes_to_the_next_job():
    w = gpus("a gpu=1; b gpu=1", gpu=2.0)
    assert held(w) == {"a": ["2"]}
    w.ok("a")
    assert held(w) == {"b": ["2"]}
    assert len(w.asks) == 2, "the second one was asked for when the first began, and refused"


def test_a_slot_that_others_wait_for_is_given_back():
    w = gpus("a gpu=1; b gpu=1", gpu=2.0)
    w.others["gpu"] = 3.0
    w.cede("gpu")
    w.ok("a")
    assert held(w) == {}
    assert w.state.granted_slots == {"gpu": []}
    w.give_back(gpu=0.0)
    assert held(w) == {"b": ["2"]}
