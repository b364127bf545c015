"""What every executor promises, held against the one of clusters: the same tests as for the others.

Left out are those that look into `LocalExecutor` itself, and the one promise that is not kept here: the log of a long attempt can be read
only when it has ended.
"""

import pytest

from contract import test_executors as contract
from contract.test_executors import *  # noqa: F403
from contract.test_figures import test_the_peak_of_a_command_is_its_own  # noqa: F401
from dask_bench import OnCluster

NOT_HERE = {
    "test_the_log_of_a_long_attempt_can_be_read_while_it_runs": "logs come back with receipts",
    "test_large_outputs_are_hashed_where_nobody_waits_for_it": "its steps are those of one thread",
    "test_a_command_that_ended_well_did_so_whatever_ends_the_look_at_its_outputs": "looks into the local executor",
    "test_a_killed_warden_is_replaced_and_what_ran_is_lost": "looks into the local executor",
    "test_a_warden_that_is_gone_is_no_want_of_room": "looks into the local executor",
    "test_what_had_not_begun_when_the_warden_was_killed_is_not_lost": "looks into the local executor",
    "test_an_attempt_whose_worker_takes_long_to_start_stays_with_it": "looks into the local executor",
    "test_a_time_limit_shorter_than_the_start_of_a_worker_is_kept": "runs its batch on the local executor",
    "test_nothing_outlives_a_killed_runner": "forks; see test_ends",
    "test_close_leaves_no_process_and_no_spool_names_behind": "looks into the local executor; see test_ends",
}
for name in NOT_HERE:
    assert name in globals()
    del globals()[name]


class ClusterBench(OnCluster, contract.Bench):
    pass


@pytest.fixture
def bench(one_worker, tmp_path):
    made = []

    def make(*jobs, **options):
        made.append(ClusterBench(one_worker, "dask", tmp_path, *jobs, **options))
        return made[-1]

    make.kind = "dask"
    yield make
    for one in made:
        one.close()


@pytest.fixture
def local(bench):
    return bench
