"""The sorted copy gives every request the very rows that the file gives, and is used only when it is a copy of that file as it is."""

import os

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from joblot_sirene.footer import rows_per_group
from joblot_sirene.memory import MemoryLimitError
from joblot_sirene.prepare import ROWS_PER_GROUP, find_prepared, place, prepare
from joblot_sirene.source import SourceError, Span, open_source
from sirene.stock import CODE, NAMES, STATE, row, table, write
from sirene.test_scan import CODES, request, run


@pytest.mark.parametrize("name", ["s.parquet", "s.csv"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(found=st.lists(st.tuples(st.sampled_from(CODES), st.sampled_from("AF")), max_size=40))
def test_the_copy_gives_the_rows_of_the_file_in_its_order(tmp_path, name, found):
    path = write(
        table([row(number, code, **{STATE: state}) for number, (code, state) in enumerate(found)]), tmp_path / name
    )
    place(path).unlink(missing_ok=True)
    requests = [request(code, where=pl.col(STATE) == "A") for code in ("69.20Z", "69", "M", "43", "01.11Z")]
    plain = run(path, requests, tmp_path)
    prepare(path)
    assert find_prepared(open_source(path)) is not None
    prepared = run(path, requests, tmp_path)
    assert {code: frame.rows() for code, frame in prepared.items()} == {
        code: frame.rows() for code, frame in plain.items()
    }


def test_only_the_wanted_codes_are_read(tmp_path):
    path = write(table([row(number, CODES[number % 5]) for number in range(100)]), tmp_path / "s.parquet")
    prepare(path)
    prepared = find_prepared(open_source(path))
    assert prepared.rows_of == dict.fromkeys(CODES[:5], 20)
    assert sorted(prepared.rows_of) == ["43.21A", "43.29A", "69.10Z", "69.20Y", "69.20Z"]
    assert prepared.spans({"69.20Z", "absent"}) == [Span(0, 100)]
    assert prepared.spans({"absent"}) == []


def test_whole_row_groups_are_read_each_once(tmp_path):
    rows = ROWS_PER_GROUP // 2
    frame = table([row(0)]).sample(5 * rows, with_replacement=True)
    names = pl.Series([f"0{number // rows + 1}.11Z" for number in range(5 * rows)])
    path = write(frame.with_columns(names.alias(CODE)), tmp_path / "s.parquet")
    prepare(path)
    prepared = find_prepared(open_source(path))
    assert rows_per_group(prepared.path) == ROWS_PER_GROUP
    assert prepared.spans({"01.11Z", "02.11Z"}) == [Span(0, 2 * rows)]
    assert prepared.spans({"05.11Z"}) == [Span(4 * rows, rows)]
    assert prepared.spans({"01.11Z", "05.11Z"}) == [Span(0, 2 * rows), Span(4 * rows, rows)]
    assert prepared.spans({"02.11Z", "03.11Z"}) == [Span(0, 4 * rows)]


def test_codes_that_are_not_there_read_nothing(tmp_path):
    path = write(table([row(number) for number in range(10)]), tmp_path / "s.parquet")
    prepare(path)
    assert list(find_prepared(open_source(path)).source.batches(["siret"], 100, spans=[])) == []
    assert run(path, [request("01.11Z")], tmp_path)["01.11Z"].height == 0


def test_a_tally_of_the_copy_is_that_of_the_file(tmp_path):
    path = write(
        table([row(number, CODES[number % 5], **{STATE: "AF"[number % 2]}) for number in range(100)]),
        tmp_path / "s.parquet",
    )
    requests = [request("69.20Z", where=pl.col(STATE) == "A"), request("43")]
    counts = [run(path, requests, tmp_path, tally=[STATE], build=lambda _request, rows: rows.counts.rows())]
    prepare(path)
    counts.append(run(path, requests, tmp_path, tally=[STATE], build=lambda _request, rows: rows.counts.rows()))
    assert counts[0] == counts[1] == {"69.20Z": [("A", 10), ("F", 10)], "43": [("A", 20), ("F", 20)]}


def test_a_copy_of_an_earlier_state_is_not_used(tmp_path):
    path = write(table([row(1)]), tmp_path / "s.csv")
    prepare(path)
    write(table([row(2)]), path)
    os.utime(path, ns=(1, 1))
    assert find_prepared(open_source(path)) is None
    assert run(path, [request("69")], tmp_path)["69"]["siret"].to_list() == ["00000000000002"]


def test_what_only_looks_like_a_copy_is_not_used(tmp_path):
    path = write(table([row(1)]), tmp_path / "s.parquet")
    place(path).write_bytes(b"PAR1 nothing")
    assert find_prepared(open_source(path)) is None
    table([row(3)]).write_parquet(place(path))
    assert find_prepared(open_source(path)) is None


def test_a_column_that_the_copy_lacks_is_read_from_the_file(tmp_path):
    path = write(table([row(1, enseigne1Etablissement="ICI")]), tmp_path / "s.parquet")
    prepare(path, columns=["siret", STATE, CODE])
    assert run(path, [request("69")], tmp_path)["69"]["enseigne1Etablissement"].to_list() == ["ICI"]


def test_a_sample_of_the_copy_is_that_of_the_file(tmp_path):
    path = write(table([row(number, CODES[number % 4]) for number in range(40)]), tmp_path / "s.parquet")
    plain = run(path, [request("69", limit=3)], tmp_path)["69"]
    prepare(path)
    assert run(path, [request("69", limit=3)], tmp_path)["69"].equals(plain)


def test_a_copy_elsewhere(tmp_path):
    path = write(table([row(1)]), tmp_path / "s.csv")
    assert prepare(path, tmp_path / "copy.parquet") == tmp_path / "copy.parquet"
    assert pl.read_parquet(tmp_path / "copy.parquet")["siret"].to_list() == ["00000000000001"]
    assert find_prepared(open_source(path)) is None


def test_a_copy_that_cannot_be_made_leaves_nothing(tmp_path):
    path = write(table([row(1)]), tmp_path / "s.csv")
    path.write_bytes(path.read_bytes() + b"1,2,3,4,5,6,7,8,9\n")
    with pytest.raises(SourceError):
        prepare(path)
    assert [file.name for file in tmp_path.iterdir()] == ["s.csv"]
    with pytest.raises(MemoryLimitError):
        prepare(write(table([row(1)]), path), max_ram_bytes=2**20)


def test_names_of_columns_are_the_same_in_the_copy(tmp_path):
    path = write(table([row(1)]).rename(str.lower), tmp_path / "s.csv")
    prepare(path)
    assert find_prepared(open_source(path)).source.columns == open_source(path).columns
    assert set(open_source(path).columns) == set(NAMES)
