"""Records as bytes: events as one JSON array, and the chain of hashes that shows whether any byte has changed since.

The hash of a record covers the hash before it, the record's number and time, and the bytes of its events. SQLite's own check passes over
most flipped bits inside a value, so this one is ours.
"""

from __future__ import annotations

import struct
from functools import cache
from typing import TYPE_CHECKING, Final

import msgspec

from joblot.core.events import AnyEvent, Record
from joblot.digest import blake2b
from joblot.errors import JournalDamagedError, why_unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

CHAIN_START: Final = bytes(16)
NOT_JSON: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What reading stored JSON raises that is not what was written."""
_encoder: Final = msgspec.json.Encoder()
_HEAD: Final = struct.Struct(">qd")


@cache
def _decoder() -> msgspec.json.Decoder[list[AnyEvent]]:
    """Made when it is needed: it takes a millisecond, and most runs read nothing."""
    return msgspec.json.Decoder(list[AnyEvent])


def encode_events(events: Sequence[AnyEvent]) -> bytes:
    """The events of one record as a JSON array."""
    return _encoder.encode(events)


def decode_events(body: bytes) -> list[AnyEvent]:
    """The events of a record. Raises what `NOT_JSON` lists where they are none."""
    return _decoder().decode(body)


def link(previous: bytes, seq: int, at: float, body: bytes) -> bytes:
    """The hash of a record, given the hash of the record before it (16 bytes each)."""
    return blake2b(previous + _HEAD.pack(seq, at) + body, digest_size=16).digest()


def verified(rows: Iterable[tuple[int, float, bytes, bytes]], *, what: str) -> Iterator[Record]:
    """Records from rows of (seq, at, events, hash), read from the first of a run on.

    Raises:
        JournalDamagedError: a row is missing, changed, or not readable; `what` names the journal in the message.
    """
    previous, expected = CHAIN_START, 1
    for seq, at, body, chain in rows:
        if seq != expected or not _holds(previous, seq, at, body, chain):
            raise JournalDamagedError(
                f"{what} is damaged at event {expected}: what is read is not what was written",
                hint="`joblot recover` makes it again from the run's own `events.jsonl`; everything before that event is sound",
            )
        try:
            events = _decoder().decode(body)
        except NOT_JSON as error:
            raise JournalDamagedError(
                f"{what} holds an event that this version cannot read: {why_unreadable(error)}",
                hint="it is what was written: a newer joblot may have done so",
            ) from None
        yield Record(seq, at, events)
        previous, expected = chain, seq + len(events)


def _holds(previous: bytes, seq: int, at: float, body: bytes, chain: bytes) -> bool:
    try:
        return link(previous, seq, at, body) == chain
    except (TypeError, struct.error):  # a changed byte can change the type of a value
        return False


def jsonl_line(seq: int, at: float, body: bytes, chain: bytes) -> bytes:
    """A record as one line of a run's `events.jsonl`."""
    return b'{"seq":%d,"at":%a,"chain":"%b","events":%b}\n' % (seq, at, chain.hex().encode(), body)
