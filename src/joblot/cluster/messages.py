"""The messages between a runner, its agents and their processes, as plain bytes: nothing of joblot is pickled on the way.

An *agent* runs attempts for one run in one Dask worker; a *parcel* is attempts that travel as one Dask task; a *receipt* is its answer.
Starts nothing, connects to nothing, and has no clock.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

from joblot.core.commands import Kill  # noqa: TC001 - msgspec reads the fields
from joblot.core.model import Attempt, Outcome  # noqa: TC001 - msgspec reads the fields

WIRE: Final = 5
"""The number of this form. Both sides must have the same joblot, so one form is all that either understands.

`greet`, `Hello` and `Answer` keep their names and fields: they are how two versions find out that they differ.
"""


class Hello(Struct, frozen=True, kw_only=True):
    """What a Dask worker must know of a run before it can run its attempts."""

    run_id: str
    token: str
    """The run's own name on clusters, the same for all its sessions: run ids repeat."""
    session: str
    """Names the process that drives the run; a resumed run has another one."""
    batch: bytes
    """The batch without its jobs: folder, environment, names of secrets, imports."""
    secrets: dict[str, str]
    """The values of the secrets, which only the runner's environment has."""
    masked: list[dict[str, str]] = []
    """Other values that jobs and files set for them; agents are not sent these."""
    actions: tuple[str, ...]
    """The actions of the run's jobs."""
    modules: tuple[str, ...]
    """The modules of Python functions among the jobs."""
    max_log: int
    slots: int = 0
    """How many attempts run at once at an agent, at the most; 0 for as many as the worker has threads."""
    max_memory: int = 0
    """Bytes that all that runs at an agent may hold together until its first parcel says it; 0: any."""
    versions: dict[str, str] = {}
    wire: int = WIRE


class Claim(Struct, frozen=True):
    """Makes a session of a run the newest: it ends those with a lower `epoch`. `token` is the run's, as in `Hello`."""

    token: str
    epoch: int
    session: str


class Answer(Struct, kw_only=True):
    """The answer to a `Hello`: an agent, or why there is none."""

    agent: str = ""
    problem: str = ""
    hint: str = ""
    folder: str = ""
    threads: int = 0
    totals: dict[str, float] = {}
    """Amounts that the worker has, by name: `memory`, and its Dask resources."""
    boot: str = ""
    """The id of the machine's boot: processes with the same one have the same monotonic clock."""
    now: float = 0.0


class Most(Struct, frozen=True, tag=True):
    """What all that runs at an agent may hold together from now on, in bytes, and whether that is all that the run may."""

    memory: int
    is_whole: bool = False


class Parcel(Struct, frozen=True, kw_only=True):
    """Attempts that travel as one task. Without attempts it asks for more receipts of the earlier task with this number."""

    key: str
    session: str
    agent: str
    number: int
    settled: int = 0
    """All parcels with lower numbers have ended."""
    attempts: list[Attempt] = []
    most: Most | None = None


class AttemptEnd(Struct):
    """The end of an attempt, and what it printed. The log of a bundle is with its last attempt only."""

    outcome: Outcome
    log: bytes = b""


class Receipt(Struct, kw_only=True):
    """What has ended of a parcel since its last receipt. `now` is the worker's monotonic clock."""

    number: int
    ends: list[AttemptEnd] = []
    is_open: bool = False
    """Whether other attempts of the parcel still run."""
    lost: str = ""
    """Why the ends of the parcel's other attempts will never be known; empty when they will, or there are none."""
    now: float = 0.0


class EndRequest(Struct, frozen=True):
    """End attempts at an agent; with `take_back` only those that have not begun."""

    session: str
    agent: str
    kills: list[tuple[int, Kill]]
    """With the numbers of the parcels that the attempts are in."""
    take_back: bool = False


class Limit(Struct, frozen=True):
    """Tells an agent what all that runs there may hold together, since other workers have come."""

    session: str
    agent: str
    most: Most


class Start(Struct, frozen=True, tag=True):
    """To an agent's process: run these attempts."""

    attempts: list[Attempt]


class End(Struct, frozen=True, tag=True):
    """To an agent's process: end these attempts."""

    kills: list[Kill]


class Ready(Struct, frozen=True, tag=True):
    """From an agent's process: it has started."""


class Refused(Struct, frozen=True, tag=True):
    """From an agent's process: it cannot run the batch."""

    problem: str
    hint: str = ""


class News(Struct, frozen=True, tag=True):
    """From an agent's process: these attempts have ended."""

    ends: list[AttemptEnd]


encode: Final = msgspec.msgpack.Encoder().encode
_TO_AGENT: Final[msgspec.msgpack.Decoder[Start | End | Most]] = msgspec.msgpack.Decoder(Start | End | Most)
_FROM_AGENT: Final[msgspec.msgpack.Decoder[Ready | Refused | News]] = msgspec.msgpack.Decoder(Ready | Refused | News)
LENGTH_BYTES: Final = 4


def decode(data: bytes, kind: type[Any]) -> Any:
    """The struct in these bytes."""
    return msgspec.msgpack.decode(data, type=kind)


def frame(message: Struct) -> bytes:
    """A message to or from an agent's process, with its length in front."""
    body = encode(message)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def to_agent(body: bytes) -> Start | End | Most:
    """The message to an agent's process in the body of a frame."""
    return _TO_AGENT.decode(body)


def from_agent(body: bytes) -> Ready | Refused | News:
    """The message from an agent's process in the body of a frame."""
    return _FROM_AGENT.decode(body)
