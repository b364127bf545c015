"""What every executor promises of bundles, held against the one of clusters."""

from pathlib import Path

import pytest

from contract import test_bundles as contract
from contract.test_bundles import *  # noqa: F403
from contract.test_bundles import _fates  # noqa: F401
from dask_bench import OnCluster

TESTS = Path(contract.__file__).parents[1]
REGISTERING = f"""
import sys
sys.path.insert(0, {str(TESTS)!r})
from contract.test_bundles import FATES, together
from joblot import action, fused

@action(FATES)
def alone(*, fate: str = "ok", ctx):
    if fate == "hang":
        import time
        time.sleep(300)
    raise AssertionError("a bundle runs the fused form")

fused(FATES, on=("fate",))(together)
"""
NOT_HERE = {
    "test_the_log_of_a_bundle_that_takes_long_has_its_name_before_and_after": "logs come back with receipts",
    "test_the_warden_that_is_killed_loses_the_bundle": "looks into the local executor",
    "test_two_bundles_and_a_single_job_run_side_by_side_in_their_own_processes": "changes the plan behind its back",
}
for name in NOT_HERE:
    assert name in globals()
    del globals()[name]


class ClusterBundled(OnCluster, contract.Bundled):
    pass


@pytest.fixture
def bundle(address, tmp_path):
    made = []
    actions = tmp_path / "actions.py"
    actions.write_text(REGISTERING)

    def make(*fates, **fields):
        ClusterBundled.imports = (str(actions),)
        made.append(ClusterBundled(address, "dask", tmp_path, *fates, **fields))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def local(bundle):
    return bundle
