"""The journal's alphabet: what is written can be read, and its meaning is numbered."""

from hashlib import blake2b

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from joblot.core import events as ev
from joblot.core.model import STATES, Artifact, OutcomeKind
from joblot.errors import JournalDamagedError
from joblot.journal.codec import CHAIN_START, encode_events, jsonl_line, link, verified

KNOWN = (5, "d4b258a1c9afe1b4")
"""`SCHEMA`, and the hash of the definitions that it numbers."""


def test_the_definitions_have_their_number():
    digest = blake2b(ev.definition().encode(), digest_size=8).hexdigest()
    assert (digest == KNOWN[1] and KNOWN[0] == ev.SCHEMA) or (digest != KNOWN[1] and KNOWN[0] < ev.SCHEMA), (
        f"the events have changed and old journals mean something else now: raise `joblot.core.events.SCHEMA` above {KNOWN[0]},"
        f" then write ({ev.SCHEMA}, {digest!r}) into KNOWN"
    )
    assert (ev.SCHEMA, digest) == KNOWN, f"write ({ev.SCHEMA}, {digest!r}) into KNOWN"


def test_the_definition_is_the_same_in_every_process():
    """No address of an object stands in it."""
    assert " at 0x" not in ev.definition()
    assert len(ev.definition().splitlines()) == len(ev.AnyEvent.__args__) + 2


jobs = st.integers(0, 10**6)
texts = st.text(max_size=8)
seconds = st.floats(0, 1e9)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=3,
)
words = st.dictionaries(texts, values, max_size=2)
real_results = values.map(lambda value: msgspec.Raw(msgspec.json.encode(value)))
results = st.just(ev.NO_RESULT) | real_results
artifacts = st.lists(st.builds(Artifact, texts, st.integers(0, 2**60), texts), max_size=2).map(tuple)
one_event = st.one_of(
    st.builds(ev.RunStarted, texts, jobs, words, words),
    st.builds(ev.RunResumed, words, words),
    st.builds(ev.RunStopping, texts, texts, jobs),
    st.builds(ev.RunEnded, texts, seconds),
    st.builds(ev.RunReopened, st.lists(jobs)),
    st.builds(
        ev.AttemptsStarted,
        st.lists(jobs),
        slots=st.dictionaries(
            jobs, st.dictionaries(texts, st.lists(st.integers(0, 9) | texts, max_size=2), max_size=2), max_size=2
        ),
    ),
    st.builds(
        ev.AttemptEnded,
        job=jobs,
        attempt=st.integers(1, 99),
        outcome=st.sampled_from(OutcomeKind.__args__),
        state=st.sampled_from(STATES),
        began_s=st.none() | seconds,
        wall_s=seconds,
        cpu_s=seconds,
        peak_bytes=st.integers(0, 2**60),
        read_bytes=st.integers(0, 2**60),
        written_bytes=st.integers(0, 2**60),
        result=results,
        message=texts,
        reason=texts,
        exit_code=st.none() | st.integers(0, 255),
        signal=st.none() | st.integers(1, 64),
        delay_s=seconds,
        artifacts=artifacts,
    ),
    st.builds(ev.BackoffEnded, jobs),
    st.builds(
        ev.JobsEnded, st.lists(jobs), st.sampled_from(STATES), texts, jobs, texts, st.dictionaries(jobs, real_results)
    ),
    st.builds(ev.Logged, texts, texts, jobs, st.integers(0, 9), texts, st.none() | words),
)
records = st.lists(st.tuples(seconds, st.lists(one_event, min_size=1, max_size=2)), max_size=3)


def rows_of(records):
    rows, chain, seq = [], CHAIN_START, 1
    for at, events in records:
        body = encode_events(events)
        chain = link(chain, seq, at, body)
        rows.append((seq, at, body, chain))
        seq += len(events)
    return rows


@given(records)
def test_what_is_written_can_be_read(records):
    found = list(verified(rows_of(records), what="it"))
    assert [(record.at, record.events) for record in found] == records
    assert [record.seq for record in found] == [row[0] for row in rows_of(records)]


@given(records)
def test_a_line_of_the_second_copy_is_json_on_one_line(records):
    for row in rows_of(records):
        line = jsonl_line(*row)
        assert line.count(b"\n") == 1
        assert line.endswith(b"\n")
        found = msgspec.json.decode(line)
        assert (found["seq"], found["at"], found["chain"]) == (row[0], row[1], row[3].hex())
        assert found["events"] == msgspec.json.decode(row[2])


@given(st.binary(min_size=1, max_size=200))
def test_bytes_that_are_no_record_are_damage_and_nothing_else(body):
    """The chain holds: whoever wrote this could compute it."""
    row = (1, 0.0, body, link(CHAIN_START, 1, 0.0, body))
    try:
        said = f"{len(list(verified([row], what='it')))} record"
    except JournalDamagedError as error:
        said = error.message
    assert said.startswith(("1 record", "it holds an event that this version cannot read: "))


def test_an_event_of_a_newer_version_is_named():
    body = b'[{"type":"job_teleported","job":1}]'
    with pytest.raises(JournalDamagedError) as caught:
        list(verified([(1, 0.0, body, link(CHAIN_START, 1, 0.0, body))], what="it"))
    assert str(caught.value) == (
        "it holds an event that this version cannot read: Invalid value 'job_teleported' - at `$[0].type`"
    )


def test_a_field_that_this_version_does_not_know_is_passed_over():
    """A field with a default may be added without a new number of tables."""
    body = b'[{"type":"backoff_ended","job":1,"mood":"good"}]'
    (found,) = verified([(1, 0.0, body, link(CHAIN_START, 1, 0.0, body))], what="it")
    assert found.events == [ev.BackoffEnded(1)]
