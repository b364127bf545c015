"""The chain of hashes: a record stands where it was written, after those that were written before it."""

import pytest

from contract.journals import STARTED
from joblot.core import events as ev
from joblot.errors import JournalDamagedError
from joblot.journal.codec import CHAIN_START, encode_events, link, verified


def rows_of(*bodies):
    """Records of one event each, a second apart, as a journal keeps them."""
    rows, chain = [], CHAIN_START
    for number, event in enumerate(bodies, start=1):
        body = encode_events([event])
        chain = link(chain, number, float(number), body)
        rows.append((number, float(number), body, chain))
    return rows


LONE = rows_of(STARTED, ev.AttemptsStarted([0]), ev.AttemptsStarted([2]))
OTHER = rows_of(STARTED, ev.AttemptsStarted([1]), ev.AttemptsStarted([2]))


def test_a_whole_chain_is_read():
    assert [record.seq for record in verified(LONE, what="journal `x`")] == [1, 2, 3]


@pytest.mark.parametrize(
    ("rows", "event"),
    [
        ([LONE[0], OTHER[1], LONE[2]], 3),
        ([LONE[0], LONE[1], OTHER[2]], 3),
    ],
    ids=["one in the middle", "the last"],
)
def test_a_record_of_another_run_in_its_place_is_found(rows, event):
    """Number, time, events and hash fit together; only what came before it was another history."""
    with pytest.raises(JournalDamagedError) as caught:
        list(verified(rows, what="journal `x`"))
    assert str(caught.value) == f"journal `x` is damaged at event {event}: what is read is not what was written"
