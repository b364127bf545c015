"""Whether and when a failed job is tried again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joblot.core.model import RETRIABLE, Outcome, Retry
from joblot.core.retry import retry_delay


def delays(policy, kind="error", seed="s", job=0):
    """The waits after each failed try, up to the one after which there is none."""
    found = []
    while (delay := retry_delay(policy, len(found) + 1, kind, seed=seed, job=job)) is not None:
        found.append(delay)
    return found


def test_once_is_once():
    """R102 D4: `max_attempts` counts all attempts, 1 means no retry."""
    assert delays(Retry()) == []


def test_three_attempts_are_two_waits_of_nothing():
    """R122: without a delay there is no wait."""
    assert delays(Retry(max_attempts=3)) == [0.0, 0.0]


def test_backoff_multiplies_the_delay():
    assert delays(Retry(max_attempts=6, delay_s=1.0, backoff=2.0)) == [1.0, 2.0, 4.0, 8.0, 16.0]
    assert delays(Retry(max_attempts=4, delay_s=0.5, backoff=1.0)) == [0.5, 0.5, 0.5]


def test_no_delay_passes_the_cap():
    assert delays(Retry(max_attempts=6, delay_s=1.0, backoff=3.0, max_delay_s=10.0)) == [1.0, 3.0, 9.0, 10.0, 10.0]


@pytest.mark.parametrize("backoff", [2.0, 1000.0, 2, 1e300])
@pytest.mark.parametrize("tries", [2, 400, 1025, 5000])
def test_no_number_of_tries_overflows(backoff, tries):
    policy = Retry(max_attempts=10_000, delay_s=60.0, backoff=backoff, max_delay_s=90.0)
    assert retry_delay(policy, tries, "error", seed="s", job=0) == 90.0


@pytest.mark.parametrize("tries", [1, 200, 2000])
def test_no_delay_stays_none_however_often_it_is_multiplied(tries):
    """An overflow of the factor alone must not become the longest wait of all."""
    policy = Retry(max_attempts=10_000, delay_s=0.0, backoff=1000.0)
    assert retry_delay(policy, tries, "error", seed="s", job=0) == 0.0


def test_a_slow_backoff_goes_on_growing_up_to_the_cap():
    policy = Retry(max_attempts=10_000, delay_s=1.0, backoff=1.001, max_delay_s=1e6)
    assert retry_delay(policy, 3001, "error", seed="s", job=0) == pytest.approx(1.001**3000)


@pytest.mark.parametrize("kind", RETRIABLE)
def test_every_failure_is_retried_by_default(kind):
    assert delays(Retry(max_attempts=2), kind) == [0.0]


@pytest.mark.parametrize("kind", ["lost", "cancelled", "returned", "interrupted", "ok"])
def test_what_is_no_failed_try_is_not_for_the_policy(kind):
    assert delays(Retry(max_attempts=2), kind) == []


def test_only_narrows_it_to_some_kinds():
    policy = Retry(max_attempts=2, only=("exit", "timeout"))
    assert [kind for kind in RETRIABLE if delays(policy, kind)] == ["exit", "timeout"]


EXIT = Outcome(0, 1, "exit", reason="exit_code", exit_code=75)
KEY = Outcome(0, 1, "error", reason="exception", raised=("KeyError", "LookupError", "Exception", "BaseException"))
OWN = Outcome(0, 1, "error", reason="busy", raised=("shop.errors.Busy", "joblot.errors.ActionError", "Exception"))
INPUT = Outcome(0, 1, "error", reason="missing_input")
LATE = Outcome(0, 1, "crash", reason="crash", signal=15)


@pytest.mark.parametrize(
    ("only", "outcome", "kind", "again"),
    [
        ("exit 75", EXIT, "exit", True), ("exit 74", EXIT, "exit", False), ("exit 64..78", EXIT, "exit", True), ("exit 75..75", EXIT, "exit", True),
        ("exit 76..255", EXIT, "exit", False), ("exit 1..74", EXIT, "exit", False), ("exit 7", EXIT, "exit", False), ("exit_code", EXIT, "exit", True),
        ("exit", EXIT, "exit", True), ("exit 75", EXIT, "timeout", False), ("exit_code", EXIT, "timeout", False), ("timeout", EXIT, "timeout", True),
        ("KeyError", KEY, "error", True), ("LookupError", KEY, "error", True), ("Exception", KEY, "error", True), ("IndexError", KEY, "error", False),
        ("Key", KEY, "error", False), ("exception", KEY, "error", True), ("KeyError", KEY, "timeout", False), ("exception", OWN, "error", False),
        ("Busy", OWN, "error", True), ("shop.errors.Busy", OWN, "error", True), ("errors.Busy", OWN, "error", False), ("ActionError", OWN, "error", True),
        ("reason busy", OWN, "error", True), ("reason bus", OWN, "error", False), ("reason exception", OWN, "error", False),
        ("missing_input", INPUT, "error", True), ("reason missing_input", INPUT, "error", True), ("missing_output", INPUT, "error", False),
        ("crash", LATE, "crash", True), ("crash", LATE, "timeout", False), ("timeout", LATE, "timeout", True), ("exit 15", LATE, "crash", False),
        ("lost", Outcome(0, 1, "lost", reason="lost"), "lost", False),
    ],
)  # fmt: skip
def test_only_narrows_it_to_codes_exceptions_and_reasons(only, outcome, kind, again):
    policy = Retry(max_attempts=2, only=("oom", only))
    delay = retry_delay(policy, 1, kind, seed="s", job=0, outcome=outcome)
    assert delay == (0.0 if again else None)


def test_jitter_is_repeatable_and_differs_by_seed_job_and_try():
    policy = Retry(max_attempts=3, delay_s=10.0, jitter=0.5)
    assert delays(policy) == delays(policy)
    everything = [*delays(policy), *delays(policy, seed="t"), *delays(policy, job=1)]
    assert len(set(everything)) == 6


@given(st.integers(0, 10**6), st.floats(0.01, 1.0), st.integers(1, 50))
def test_jitter_moves_a_wait_by_at_most_its_share(job, jitter, tries):
    policy = Retry(max_attempts=100, delay_s=10.0, jitter=jitter)
    delay = retry_delay(policy, tries, "error", seed="s", job=job)
    assert delay is not None
    assert 10.0 * (1 - jitter) <= delay <= 10.0 * (1 + jitter)


def test_jitter_is_spread_evenly():
    policy = Retry(max_attempts=2, delay_s=10.0, jitter=1.0)
    waits = [delays(policy, job=job)[0] for job in range(4000)]
    quarters = [sum(low <= wait < low + 5 for wait in waits) for low in (0, 5, 10, 15)]
    assert all(900 < count < 1100 for count in quarters)
