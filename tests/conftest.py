"""What holds for all tests: they are the same whoever starts them, and however busy the machine is.

How long Hypothesis looks: `dev` by default, `nightly` with HYPOTHESIS_PROFILE=nightly.

Tests with the mark `alone` watch processes or the clock, or fork the process of pytest. They run one after the other in a process without
threads; the others may share the machine, each process of pytest-xdist with its part of them.
"""

import os
import signal
import sys

import pytest
from hypothesis import HealthCheck, settings

# A shell ignores Ctrl-C in what it starts in the background, and `nohup` ignores a hangup; whatever is started from here would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# No deadline: how long a case takes says something of the machine only.
settings.register_profile("dev", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("nightly", deadline=None, max_examples=5000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


ALONE = {"contract", "crash", "faults", "hostile"}
"""The folders whose tests all have the mark, but for those of"""
BESIDE = {
    *("test_torture.py", "test_texts.py", "test_aliases.py", "test_secret_results.py"),
    *("test_signals.py", "test_random_numbers.py", "test_printing_modules.py", "test_imports_beside.py"),
}
"""Modules that look at nothing but what they have started, and do not fork."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent.name in ALONE and item.path.name not in BESIDE:
            item.add_marker("alone")
        if item.path.parent.name == "dask":  # one process has the cluster that most of them share
            item.add_marker(pytest.mark.xdist_group("dask"))


@pytest.fixture(autouse=True, scope="session")
def claims(tmp_path_factory):
    """Runs of tests claim what they make among themselves, and not in the home of who runs the tests."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state-home"))


@pytest.fixture
def unmeasured(monkeypatch):
    """What the test starts is not measured by coverage.py, which imports modules of its own and writes files at the end."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


@pytest.fixture
def calls():
    """How many functions a function calls, itself included: what it costs, whatever else the machine does."""

    def count(function):
        counted = 0

        def note(_frame, event, _arg):
            nonlocal counted
            counted += event in ("call", "c_call")

        sys.setprofile(note)
        try:
            function()
        finally:
            sys.setprofile(None)
        return counted

    return count


if "PYTEST_XDIST_WORKER" in os.environ:

    def refuse():
        raise RuntimeError("this process has threads and is not to be forked: give the test the mark `alone`")

    os.register_at_fork(before=refuse)  # pytest makes it a warning, and warnings are errors
