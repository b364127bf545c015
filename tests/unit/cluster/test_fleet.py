"""Where there is room on a cluster: bookkeeping without one."""

import pytest

from joblot.cluster.fleet import PLAIN, Demand, Fleet, RemoteAgent
from joblot.core.model import JobSpec


def fleet(*threads, max_slots=None, **totals):
    made = Fleet(max_slots)
    for number, count in enumerate(threads):
        made.add(RemoteAgent(f"tls://10.0.0.{number}:1", f"agent{number}", count, totals))
    return made


def fill(made, demand=PLAIN, ahead=0):
    """Send until there is no room. Where each went."""
    went = []
    while (agent := made.room(demand, ahead)) is not None:
        made.take(agent, len(went) + 1, demand)
        went.append(agent.name)
    return went


def test_every_thread_is_a_place_and_workers_take_turns():
    made = fleet(2, 1, 2)
    assert made.slots == 5
    assert fill(made) == ["agent0", "agent1", "agent2", "agent0", "agent2"]
    assert (made.busy, made.free_slots()) == (5, 0)


def test_a_place_that_is_given_back_is_taken_again():
    made = fleet(1, 1)
    fill(made)
    agent = made.agents["tls://10.0.0.1:1"]
    made.give_back(agent, 2)
    assert made.room(PLAIN) is agent
    assert made.free_slots() == 1


def test_no_more_than_may_run_at_once():
    made = fleet(2, 2, max_slots=3)
    assert (made.slots, made.may_run_ahead, made.may_spread) == (3, False, False)
    assert len(fill(made)) == 3


@pytest.mark.parametrize(("max_slots", "ahead", "spread"), [(None, True, True), (4, True, True), (1, False, False)])
def test_what_may_be_sent_ahead(max_slots, ahead, spread):
    made = fleet(2, 2, max_slots=max_slots)
    assert (made.may_run_ahead, made.may_spread) == (ahead, spread)


def test_with_one_slot_at_each_agent_a_parcel_runs_one_after_the_other():
    assert fleet(1, 1, max_slots=1).may_spread


def test_short_attempts_are_sent_ahead_evenly():
    made = fleet(1, 2)
    assert sorted(fill(made, ahead=1)) == ["agent0"] * 2 + ["agent1"] * 4
    assert made.free_slots(1) == 0


def test_a_job_of_several_slots_waits_for_one_worker_that_has_them():
    made = fleet(2, 4)
    wide = Demand({"cpu": 3})
    assert made.room(wide).name == "agent1"
    for number in (1, 2):
        made.take(made.agents["tls://10.0.0.1:1"], number, PLAIN)
    assert made.room(wide) is None
    assert made.could_ever(wide)
    assert not made.could_ever(Demand({"cpu": 5}))


def test_a_share_of_a_slot_is_a_place():
    assert Demand({"cpu": 0.5}).slots == 1
    assert Demand({"cpu": 1.5}).slots == 2
    assert Demand({"cpu": 2.0}).slots == 2


def test_memory_is_counted_for_each_worker():
    made = fleet(4, memory=1000.0)
    large = Demand({"memory": 400})
    assert len(fill(made, large)) == 2
    assert made.room(PLAIN) is not None
    assert not made.could_ever(Demand({"memory": 1001}))


def test_a_worker_whose_memory_is_not_known_takes_any():
    made = fleet(2)
    assert len(fill(made, Demand({"memory": 10**15}))) == 2


def test_a_name_is_a_dask_resource_where_any_worker_has_it():
    made = fleet(2)
    spec = JobSpec(name="a", run="true", resources={"gpu": 1, "db": 1})
    assert made.demand(spec).is_plain, "limits of the run only"
    made.add(RemoteAgent("tls://10.0.1.1:1", "with", 2, {"gpu": 1.0, "memory": 5.0}))
    demand = made.demand(spec)
    assert demand.amounts == {"gpu": 1}
    assert fill(made, demand) == ["with"]
    assert not made.could_ever(made.demand(JobSpec(name="b", run="true", resources={"gpu": 2})))


def test_a_worker_that_is_gone_takes_its_places_along():
    made = fleet(2, 2)
    fill(made)
    gone = made.remove("tls://10.0.0.0:1")
    assert (made.slots, made.busy, gone.gone) == (2, 2, True)
    for number in list(gone.parcels):
        made.give_back(gone, number)
    assert (made.busy, made.room(PLAIN)) == (2, None)
    assert made.remove("tls://10.0.0.0:1") is None


def test_demands_above_all_that_may_run_start_when_nothing_else_does():
    made = fleet(4, max_slots=2)
    assert made.room(Demand({"cpu": 3})) is not None
    made.take(made.room(PLAIN), 1, PLAIN)
    assert made.room(Demand({"cpu": 3})) is None


def test_more_memory_than_a_job_declares_is_asked_of_a_worker_up_to_all_that_the_largest_has():
    made = Fleet(None)
    for number, memory in enumerate((100.0, 400.0)):
        made.add(RemoteAgent(f"tls://10.0.0.{number}:1", f"agent{number}", 1, {"memory": memory}))
    spec = JobSpec(name="a", resources={"memory": 80.0})
    assert [made.demand(spec, memory).amounts for memory in (0, 160, 640)] == [
        {"memory": 80.0},
        {"memory": 160},
        {"memory": 400.0},
    ]
    agent = made.room(made.demand(spec, 640))
    assert agent is not None
    assert agent.name == "agent1"
