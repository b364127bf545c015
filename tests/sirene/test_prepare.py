"""The sorted copy gives every request the very rows that the file gives, and is used only when it is a copy of that file as it is."""

import datetime as dt
import hashlib
import os
import subprocess
import sys

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from joblot_sirene.register import expressions, naf, privacy
from joblot_sirene.register.filters import Filters
from joblot_sirene.steps import normalise
from joblot_sirene.stock.footer import rows_per_group
from joblot_sirene.stock.memory import MemoryLimitError
from joblot_sirene.stock.prepare import ROWS_PER_GROUP, USUAL, copy_path, find_prepared, prepare
from joblot_sirene.stock.source import BLOCK_BYTES, SourceError, Span, open_source
from sirene.stock import CODE, NAMES, STATE, full_width, row, table, write
from sirene.test_scan import CODES, request, run


@pytest.mark.parametrize("name", ["s.parquet", "s.csv"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=12, deadline=None)
@given(found=st.lists(st.tuples(st.sampled_from(CODES), st.sampled_from("AF")), max_size=40))
def test_the_copy_gives_the_rows_of_the_file_in_its_order(tmp_path, name, found):
    path = write(
        table([row(number, code, **{STATE: state}) for number, (code, state) in enumerate(found)]), tmp_path / name
    )
    copy_path(path).unlink(missing_ok=True)
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
    frame = frame.with_columns(siret=pl.int_range(5 * rows).cast(pl.String).str.zfill(14))
    names = pl.Series([f"0{number // rows + 1}.11Z" for number in range(5 * rows)])
    path = write(frame.with_columns(names.alias(CODE)), tmp_path / "s.parquet")
    prepare(path)
    prepared = find_prepared(open_source(path))
    assert rows_per_group(prepared.path) == ROWS_PER_GROUP
    assert prepared.spans({"01.11Z", "02.11Z"}) == [Span(0, 2 * rows)]
    assert prepared.spans({"05.11Z"}) == [Span(4 * rows, rows)]
    assert prepared.spans({"01.11Z", "05.11Z"}) == [Span(0, 2 * rows), Span(4 * rows, rows)]
    assert prepared.spans({"02.11Z", "03.11Z"}) == [Span(0, 4 * rows)]


@pytest.fixture(scope="module")
def several_runs(tmp_path_factory):
    """A file of three times the rows that are sorted at once with 256 MiB; nine of ten have one code."""
    path = tmp_path_factory.mktemp("runs") / "s.parquet"
    rows = 300_000
    made = pl.select(at=pl.int_range(rows)).select(
        pl.when(pl.col("at") % 10 > 0).then(pl.lit("69.20Z")).otherwise(pl.lit("43.21A")).alias(CODE),
        siret=pl.col("at").cast(pl.String).str.zfill(14),
    )
    frame = (
        full_width([row(0, statutDiffusionEtablissement="O")])
        .sample(rows, with_replacement=True)
        .with_columns(made["siret"], made[CODE])
    )
    frame.write_parquet(path, row_group_size=50_000)
    return path


PROGRAM = """
import sys
from pathlib import Path
from joblot_sirene.stock.source import limit_threads
limit_threads(int(sys.argv[3]))
from joblot_sirene.stock.prepare import prepare
prepare(sys.argv[1], Path(sys.argv[2]), max_ram_bytes=256 * 2**20)
"""


def prepared_apart(path, copy, *, threads=2):
    subprocess.run([sys.executable, "-c", PROGRAM, path, copy, str(threads)], check=True)


def test_a_file_sorted_in_several_runs_gives_its_rows_in_its_order(several_runs, tmp_path):
    path = several_runs
    requests = [request(code) for code in ("43.21A", "69.20Z", "43", "M")]
    plain = run(path, requests, tmp_path)
    prepared_apart(path, copy_path(path))
    prepared = find_prepared(open_source(path))
    assert prepared.rows_of == {"43.21A": 30_000, "69.20Z": 270_000}
    copy = pl.read_parquet(prepared.path, columns=[CODE])[CODE]
    assert [(found["value"], found["len"]) for found in copy.rle()] == [("43.21A", 10_000), ("69.20Z", 90_000)] * 3
    assert prepared.spans({"43.21A"}) == [Span(0, 2 * ROWS_PER_GROUP), Span(3 * ROWS_PER_GROUP, ROWS_PER_GROUP)]
    assert prepared.spans({"69.20Z"}) == [Span(0, 300_000)]
    assert rows_per_group(prepared.path) == ROWS_PER_GROUP
    warm = run(path, requests, tmp_path)
    assert all(warm[name].equals(plain[name]) for name in plain)


def test_the_same_file_gives_the_same_bytes(several_runs, tmp_path):
    seen = set()
    for threads in (1, 4):
        prepared_apart(several_runs, tmp_path / "copy", threads=threads)
        seen.add(hashlib.sha256((tmp_path / "copy").read_bytes()).hexdigest())
    assert len(seen) == 1


def test_blocks_of_text_are_sorted_together(tmp_path):
    """A run has as many rows as memory allows, a block of text 16 MiB."""
    rows = 200_000
    codes = pl.select(pl.when(pl.int_range(rows) % 2 > 0).then(pl.lit("69.20Z")).otherwise(pl.lit("43.21A")))
    frame = table([row(0, enseigne1Etablissement="a sign that is long " * 4)]).sample(rows, with_replacement=True)
    path = tmp_path / "s.csv"
    frame.with_columns(codes.to_series().alias(CODE)).write_csv(path)
    assert path.stat().st_size > BLOCK_BYTES
    prepare(path)
    assert pl.read_parquet(copy_path(path), columns=[CODE])[CODE].is_sorted()


def test_a_copy_holds_what_any_dataset_and_any_filter_looks_at():
    every = Filters(
        naf_include=(naf.parse_code("6920Z"), naf.parse_code("6920Y")),
        departments=frozenset({"75"}),
        headcounts=frozenset({"01"}),
        created_from=dt.date(2020, 1, 1),
        active_only=True,
        head_office_only=True,
        employers_only=True,
    )
    needed = {*normalise.NEEDED, *expressions.keeps(every).meta.root_names(), privacy.STATUS_COLUMN}
    assert needed - set(USUAL) == set()


@pytest.mark.parametrize(
    ("loaded", "given", "kept"),
    [
        ("", None, True),
        ("import polars", None, False),
        ("", "polars's own", True),  # handed on by a program that has loaded it
        ("", "polars's own, handed on twice", True),
        ("", "dirty_decay_ms:1", False),  # somebody has chosen
    ],
)
def test_the_engine_keeps_what_it_freed_only_where_it_is_not_yet_loaded(loaded, given, kept):
    shown = "import os; print(os.environ.get('_RJEM_MALLOC_CONF', ''))"
    env = {name: value for name, value in os.environ.items() if name != "_RJEM_MALLOC_CONF"}

    def printed(program, more):
        words = [sys.executable, "-c", program]
        return subprocess.run(words, env={**env, **more}, check=True, capture_output=True, text=True).stdout.strip()

    if given is not None and given.startswith("polars"):
        own = printed(f"import polars; {shown}", {})
        given = printed(f"import polars; {shown}", {"_RJEM_MALLOC_CONF": own}) if "twice" in given else own
        assert given
    program = f"{loaded}\nfrom joblot_sirene.stock.memory import keep_freed_memory\nkeep_freed_memory()\n{shown}"
    found = printed(program, {} if given is None else {"_RJEM_MALLOC_CONF": given})
    assert ("dirty_decay_ms:10000" in found) is kept


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
    copy_path(path).write_bytes(b"PAR1 nothing")
    assert find_prepared(open_source(path)) is None
    table([row(3)]).write_parquet(copy_path(path))
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


def test_a_disk_without_room(tmp_path):
    path = write(table([row(1)]), tmp_path / "s.csv")
    program = (
        "import resource, sys\nresource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "from joblot_sirene.stock.prepare import SourceError, prepare\n"
        "try:\n    prepare(sys.argv[1])\nexcept SourceError as error:\n    print(error.message)"
    )
    found = subprocess.run([sys.executable, "-c", program, path], check=True, capture_output=True, text=True).stdout
    assert found == f"cannot write `{copy_path(path)}`: file too large\n"
    assert [file.name for file in tmp_path.iterdir()] == ["s.csv"]


def test_names_of_columns_are_the_same_in_the_copy(tmp_path):
    path = write(table([row(1)]).rename(str.lower), tmp_path / "s.csv")
    prepare(path)
    assert find_prepared(open_source(path)).source.columns == open_source(path).columns
    assert set(open_source(path).columns) == set(NAMES)
