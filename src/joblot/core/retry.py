"""Whether and when a failed job is tried again. Pure: the same arguments give the same answer.

The jitter is not drawn from a generator but computed from the run's seed, the job and the try, so that a simulation repeats exactly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from joblot.core.model import RETRIABLE
from joblot.digest import blake2b

if TYPE_CHECKING:
    from joblot.core.model import Retry


def retry_delay(policy: Retry, failed_tries: int, kind: str, *, seed: str, job: int) -> float | None:
    """Seconds to wait before the next attempt, or None when there is none.

    `failed_tries` counts from 1 and includes the try that just ended with the outcome `kind`. The wait is
    `delay * backoff**(failed_tries-1)`, at most `max_delay`, then moved by a share of itself between `-jitter` and `+jitter`
    (the result may pass `max_delay` by that share, so that capped jobs do not all wake at once).
    """
    if kind not in (policy.only or RETRIABLE) or failed_tries >= policy.max_attempts:
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


def _share(text: str) -> float:
    """A number in [0, 1) that depends on the text alone and is evenly spread."""
    return int.from_bytes(blake2b(text.encode(), digest_size=7).digest()) / 2**56
