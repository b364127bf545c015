"""What goes to a cluster and what comes back, as plain bytes: nothing of joblot is pickled on the way.

Words: a *agent* is what runs attempts for one run in one Dask worker; a *parcel* is attempts that travel as one Dask task; a *receipt* is
what comes back of it. Knows no cluster, no process and no clock.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

from joblot.core.commands import Kill  # noqa: TC001 - msgspec reads the fields
from joblot.core.model import Attempt, Outcome  # noqa: TC001 - msgspec reads the fields

WIRE: Final = 2
"""The number of this form. Both sides must have the same joblot, so nothing else is ever understood."""


class Hello(Struct, frozen=True, kw_only=True):
    """What a worker must know of a run before it can run its attempts."""

    run_id: str
    token: str
    """The run's own name on clusters, for ever: run ids repeat."""
    session: str
    """Names the process that drives the run; a resumed run has another one."""
    batch: bytes
    """The batch without its jobs: folder, environment, names of secrets, imports."""
    secrets: dict[str, str]
    """The values of the secrets, which only the runner's environment has."""
    actions: tuple[str, ...]
    """The actions that the run's jobs name."""
    modules: tuple[str, ...]
    """The modules that Python functions among the jobs come from."""
    max_log: int
    slots: int = 0
    """How many attempts run at once at an agent, at the most; 0: as many as the worker has threads."""
    versions: dict[str, str] = {}
    wire: int = WIRE


class Claim(Struct, frozen=True):
    """Says which session of a run is the newest. `token` is the run's own, for ever; a higher `epoch` ends the sessions before."""

    token: str
    epoch: int
    session: str


class Answer(Struct, kw_only=True):
    """What a worker says to a `Hello`: an agent, or why there is none."""

    agent: str = ""
    problem: str = ""
    hint: str = ""
    folder: str = ""
    threads: int = 0
    totals: dict[str, float] = {}
    """Amounts of what the worker has: `memory`, and its Dask resources."""
    boot: str = ""
    """The machine's boot: two processes of one boot have the same monotonic clock."""
    now: float = 0.0


class Parcel(Struct, frozen=True, kw_only=True):
    """Attempts that travel as one task. Without attempts: go on telling of those of an earlier task with this number."""

    key: str
    session: str
    agent: str
    number: int
    settled: int = 0
    """All parcels below this number have ended."""
    attempts: list[Attempt] = []


class AttemptEnd(Struct):
    """The end of an attempt, and what it printed. The log of a bundle stands with its last attempt only."""

    outcome: Outcome
    log: bytes = b""


class Receipt(Struct, kw_only=True):
    """What is new of a parcel. `now` is the worker's monotonic clock."""

    number: int
    ends: list[AttemptEnd] = []
    is_open: bool = False
    """Whether attempts of it still run."""
    lost: str = ""
    """Why the others of its attempts will never be heard of; empty when they will, or there are none."""
    now: float = 0.0


class EndRequest(Struct, frozen=True):
    """End attempts at an agent, or only take back what has not begun there."""

    session: str
    agent: str
    kills: list[tuple[int, Kill]]
    """Each with the number of its attempt's parcel."""
    take_back: bool = False


class Start(Struct, frozen=True, tag=True):
    """To an agent's process: run these."""

    attempts: list[Attempt]


class End(Struct, frozen=True, tag=True):
    """To an agent's process: end these."""

    kills: list[Kill]


class Ready(Struct, frozen=True, tag=True):
    """From an agent's process: it can begin."""


class Refused(Struct, frozen=True, tag=True):
    """From an agent's process: it cannot."""

    problem: str
    hint: str = ""


class News(Struct, frozen=True, tag=True):
    """From an agent's process: these have ended."""

    ends: list[AttemptEnd]


encode: Final = msgspec.msgpack.Encoder().encode
_TO_AGENT: Final[msgspec.msgpack.Decoder[Start | End]] = msgspec.msgpack.Decoder(Start | End)
_FROM_AGENT: Final[msgspec.msgpack.Decoder[Ready | Refused | News]] = msgspec.msgpack.Decoder(Ready | Refused | News)
LENGTH_BYTES: Final = 4


def decode(data: bytes, kind: type[Any]) -> Any:
    """The struct in these bytes."""
    return msgspec.msgpack.decode(data, type=kind)


def frame(message: Struct) -> bytes:
    """A message as it goes to or comes from an agent's process."""
    body = encode(message)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def to_agent(body: bytes) -> Start | End:
    """The message to an agent's process in the body of a frame."""
    return _TO_AGENT.decode(body)


def from_agent(body: bytes) -> Ready | Refused | News:
    """The message from an agent's process in the body of a frame."""
    return _FROM_AGENT.decode(body)
