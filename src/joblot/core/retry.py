"""Whether and when a failed job is tried again. Pure: the same arguments give the same answer.

The jitter is not drawn from a generator but computed from the run's seed, the job and the try, so that a simulation repeats exactly.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from joblot.core.model import RETRIABLE, Outcome
from joblot.digest import blake2b
from joblot.units import MAX_BYTES

if TYPE_CHECKING:
    from joblot.core.model import JobSpec, Retry


REASONS: Final = (
    "exception", "exit_code", "missing_input", "missing_output", "bad_input", "bad_items", "bad_params", "bad_pattern", "bad_reference",
    "bad_result", "no_end", "output", "too_large", "too_long",
)  # fmt: skip
"""The reason codes of joblot itself that a failed try can have beside its kind."""
EXIT: Final = r"exit ([0-9]+)(?:\.\.([0-9]+))?"


def retry_delay(
    policy: Retry, failed_tries: int, kind: str, *, seed: str, job: int, outcome: Outcome | None = None
) -> float | None:
    """Seconds to wait before the next attempt, or None when there is none.

    `failed_tries` counts from 1 and includes the try that just ended with the outcome `kind`; `outcome` tells more of it. The wait is
    `delay * backoff**(failed_tries-1)`, at most `max_delay`, then moved by a share of itself between `-jitter` and `+jitter`
    (the result may pass `max_delay` by that share, so that capped jobs do not all wake at once).
    """
    if failed_tries >= policy.max_attempts or kind not in RETRIABLE:
        return None
    if policy.only and kind not in policy.only and not (outcome and _is_meant(policy.only, kind, outcome)):
        return None
    if not policy.delay_s:
        return 0.0
    try:
        delay = policy.delay_s * float(policy.backoff) ** (failed_tries - 1)
    except OverflowError:
        delay = policy.max_delay_s
    delay = min(delay, policy.max_delay_s)
    if policy.jitter and delay:
        delay *= 1 + policy.jitter * (2 * _share(f"{seed}/{job}/{failed_tries}") - 1)
    return delay


def memory_after(spec: JobSpec, times: int) -> float:
    """Bytes that a job's next attempt may use when so many have ended for lack of memory; 0 when it declares none."""
    policy, declared = spec.retry, spec.resources.get("memory", 0.0)
    most = float(MAX_BYTES) if policy.max_memory is None else policy.max_memory
    try:
        return declared if policy.memory_factor == 1 else min(declared * policy.memory_factor**times, most)
    except OverflowError:
        return most


def _is_meant(only: tuple[str, ...], kind: str, outcome: Outcome) -> bool:
    """Whether an entry stands for how the try ended: one of `REASONS`, `reason CODE`, `exit FIRST..LAST`, or an exception's name."""
    reason = outcome.reason if outcome.kind == kind else ""  # else it was killed, and this is how the process went
    for entry in only:
        codes = re.fullmatch(EXIT, entry)
        if codes is not None:
            first, last = int(codes[1]), int(codes[2] or codes[1])
            met = kind == "exit" and first <= (outcome.exit_code or 0) <= last
        elif entry in REASONS or entry.startswith("reason "):
            met = reason == entry.removeprefix("reason ")
        else:
            met = kind == "error" and any(entry in (name, name.rpartition(".")[2]) for name in outcome.raised)
        if met:
            return True
    return False


def _share(text: str) -> float:
    """A number in [0, 1) that depends on the text alone and is evenly spread."""
    return int.from_bytes(blake2b(text.encode(), digest_size=7).digest()) / 2**56
