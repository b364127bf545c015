"""Small clusters for all tests that do not end it. These tests have a process of their own: Dask begins threads, and the others fork."""

import os

import cloudpickle
import dask.config
import pytest
from distributed import LocalCluster

import contract.test_executors

cloudpickle.register_pickle_by_value(contract.test_executors)  # what the workers could not import

# Many times a second Dask looks at what its workers do and how late it is itself, for its dashboard: most of what idle workers cost.
os.environ["DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED"] = "False"
os.environ["DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL"] = "1s"
dask.config.refresh()


def begin(workers, threads):
    options = {"dashboard": False, "dashboard_address": "127.0.0.1:0", "allowed_failures": 0}
    return LocalCluster(n_workers=workers, threads_per_worker=threads, silence_logs=100, scheduler_kwargs=options)


@pytest.fixture(scope="session")
def cluster():
    with begin(2, 2) as made:
        yield made


@pytest.fixture(scope="module")
def one_worker():
    """Each run begins an agent on each worker, which is most of what a short test costs: for those that need one only."""
    with begin(1, 4) as made:
        yield made.scheduler_address


@pytest.fixture(scope="session")
def address(cluster):
    return cluster.scheduler_address
