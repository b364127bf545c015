"""One pass gives each request exactly the rows that asking row by row would, in the order of the file, within its memory."""

import datetime as dt
import hashlib
import subprocess
import sys

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from joblot_sirene.register import expressions, naf
from joblot_sirene.stock.memory import BASELINE_BYTES, Budget, MemoryLimitError
from joblot_sirene.stock.routing import RowRequest
from joblot_sirene.stock.row_store import RowStore, RowStoreError
from joblot_sirene.stock.scan import scan
from joblot_sirene.stock.source import ParquetSource, ScanCancelledError, open_source
from joblot_sirene.stock.writers import cut, write_csv, write_parquet
from sirene import reference
from sirene.stock import CODE, CODE25, NAMES, NOMENCLATURE, STATE, full_width, row, table, write

CODES = ["69.20Z", "69.10Z", "43.29A", "43.21A", "69.20Y", "69.12", None]


def request(code, *, where=None, limit=None, nomenclature=None):
    return RowRequest(code, naf.matching_rules(naf.parse_code(code, nomenclature)), where, limit)


def run(path, requests, tmp_path, *, columns=NAMES, build=lambda _request, rows: rows.frame(), **options):
    """What was said of each request, by name, in order."""
    said = {}
    scan(
        open_source(path),
        requests,
        columns=columns,
        build=build,
        on_done=lambda request, result: said.update({request.name: result}),
        folder=tmp_path,
        **options,
    )
    return said


ANY_ROW = st.fixed_dictionaries(
    {
        CODE: st.sampled_from(CODES),
        NOMENCLATURE: st.sampled_from(["NAFRev2", "NAP", "NAF2025", None]),
        CODE25: st.sampled_from(["69.20Y", "43.21G", None]),
        STATE: st.sampled_from(["A", "F"]),
        "etablissementSiege": st.booleans(),
        "dateCreationEtablissement": st.sampled_from([None, dt.date(1900, 1, 1), dt.date(2020, 5, 1)]),
    }
)
ASKED = {
    "69.20Z": {},
    "69": {"active_only": False},
    "43": {},
    "69.20Y": {"active_only": False},
    "M": {"head_office_only": True},
    "4329A": {"created": {"from": "2010"}},
}


@pytest.mark.parametrize("name", ["s.parquet", "s.csv"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(
    found=st.lists(ANY_ROW, max_size=30),
    threads=st.sampled_from([1, 2]),
    wanted=st.sets(st.sampled_from(sorted(ASKED)), min_size=1),
)
def test_each_request_gets_the_rows_that_match_one_by_one(tmp_path, name, found, threads, wanted):
    """R84, R85, R86, R129: prefixes, sections and codes of both lists, overlapping, each with filters of its own."""
    rows = [{"siret": f"{number:014d}", **one} for number, one in enumerate(found)]
    chosen = {code: reference.read_filters(ASKED[code]) for code in sorted(wanted)}
    requests = [request(code, where=expressions.keeps(chosen[code])) for code in chosen]
    said = run(write(table(rows), tmp_path / name), requests, tmp_path, columns=["siret", CODE], threads=threads)
    for code, picked in chosen.items():
        selection = naf.parse_code(code)
        expected = [one["siret"] for one in rows if reference.matches(one, selection) and reference.keeps(one, picked)]
        assert said[code]["siret"].to_list() == expected
        assert said[code].columns == ["siret", CODE]


@pytest.mark.parametrize("name", ["s.parquet", "s.zip"])
def test_what_matched_by_code_is_counted_before_filters(tmp_path, name):
    rows = [
        row(1),
        row(2, **{STATE: "F"}),
        row(3, **{STATE: "F"}),
        row(4, code="69.10Z"),
        row(5, **{NOMENCLATURE: "NAP"}),
    ]
    requests = [request("69.20Z", where=pl.col(STATE) == "A"), request("69", where=pl.col(STATE) == "A")]
    path = write(table(rows), tmp_path / name)
    said = run(path, requests, tmp_path, tally=[STATE], build=lambda _request, rows: (rows.counts.rows(), rows.height))
    assert said == {"69.20Z": ([("A", 1), ("F", 2)], 1), "69": ([("A", 2), ("F", 2)], 2)}


@pytest.fixture
def unguarded(monkeypatch):
    """What this process holds by now, after hundreds of tests, is not what a scan took."""
    monkeypatch.setattr("joblot_sirene.stock.memory.resident_bytes", lambda: 0)


def spied(path, monkeypatch):
    """The open file, and a list of what is asked of it: columns, and rows at a time."""
    source, asked, batches = open_source(path), [], ParquetSource.batches

    def noted(self, columns, rows_per_batch, **options):
        asked.append((list(columns), rows_per_batch))
        return batches(self, columns, rows_per_batch, **options)

    monkeypatch.setattr(ParquetSource, "batches", noted)
    return source, asked


@pytest.mark.usefixtures("unguarded")
@pytest.mark.parametrize(("code", "found", "more"), [("69.20Z", 20_000, True), ("43.29A", 380_000, False)])
def test_a_file_is_read_twice_at_most_and_more_of_it_at_once_where_few_rows_match(
    tmp_path, monkeypatch, code, found, more
):
    """Counting reads the columns of codes and the one to count by; the other pass reads as much as memory allows of what it finds."""
    rows = [row(number, code="43.29A" if number % 20 else "69.20Z") for number in range(4000)]
    path = tmp_path / "s.parquet"
    repeated = pl.concat([table(rows)] * 100)
    numbers = pl.int_range(repeated.height).cast(pl.String).str.zfill(14)
    repeated.with_columns(siret=numbers).write_parquet(path)
    source, asked = spied(path, monkeypatch)
    said = {}
    options = {"columns": NAMES, "tally": [STATE], "folder": tmp_path, "max_ram_bytes": 128 * 2**20}
    scan(
        source,
        [request(code, where=pl.col(STATE) == "A")],
        build=lambda _request, rows: rows.height,
        on_done=lambda request, result: said.update({request.name: result}),
        **options,
    )
    assert said == {code: found}
    (counted, _), (read, at_once) = asked
    assert counted == [CODE, NOMENCLATURE, STATE]
    assert read == list(NAMES)
    assert (at_once > Budget(options["max_ram_bytes"], len(NAMES)).rows_per_slice) == more


@pytest.mark.parametrize("name", ["s.parquet", "s.csv"])
def test_a_sample_is_the_first_rows_of_the_file(tmp_path, name):
    """R61: the same five rows each time, in the order of the file."""
    rows = [row(number, code=CODES[number % 4]) for number in range(100)]
    path = write(table(rows), tmp_path / name)
    said = run(path, [request("69.20Z", limit=3), request("69", limit=5)], tmp_path, columns=["siret"])
    assert said["69.20Z"]["siret"].to_list() == [one["siret"] for one in rows if one[CODE] == "69.20Z"][:3]
    assert said["69"]["siret"].to_list() == [one["siret"] for one in rows if one[CODE].startswith("69")][:5]


def test_one_request_that_fails_does_not_disturb_the_others(tmp_path):
    """R79, R81: results come in the order given, errors among them."""

    def build(request, rows):
        if request.name == "43":
            (tmp_path / "missing" / "x").write_text("")
        return rows.height

    path = write(table([row(1), row(2, code="43.29A")]), tmp_path / "s.csv")
    said = run(path, [request("69"), request("43"), request("6920Z")], tmp_path, build=build)
    assert list(said) == ["69", "43", "6920Z"]
    assert isinstance(said["43"], FileNotFoundError)
    assert (said["69"], said["6920Z"]) == (1, 1)


def test_a_request_without_rows_has_an_empty_dataset(tmp_path):
    said = run(write(table([row(1)]), tmp_path / "s.csv"), [request("01.11Z")], tmp_path)
    assert said["01.11Z"].shape == (0, len(NAMES))
    assert said["01.11Z"].schema["dateCreationEtablissement"] == pl.Date


def test_too_little_memory_is_said_before_anything_is_read(tmp_path):
    """R63: 50 MiB give a failure with a named reason."""
    path = write(table([row(1)]), tmp_path / "s.parquet")
    with pytest.raises(MemoryLimitError) as caught:
        run(path, [request("69")], tmp_path, max_ram_bytes=50 * 2**20)
    assert caught.value.message == "50 MiB of memory are too little for 8 columns: 112 MiB are needed"
    assert caught.value.reason == "memory_limit"


def test_cancelled_between_slices(tmp_path):
    path = write(table([row(1)]), tmp_path / "s.parquet")
    with pytest.raises(ScanCancelledError):
        run(path, [request("69")], tmp_path, cancelled=lambda: True)
    assert [file.name for file in tmp_path.iterdir()] == ["s.parquet"]


@pytest.mark.parametrize("name", ["s.parquet", "s.csv", "s.zip"])
def test_progress_ends_with_the_whole_file(tmp_path, name):
    seen = []
    path = write(table([row(number) for number in range(3000)]), tmp_path / name)
    run(path, [request("69")], tmp_path, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1


@pytest.mark.usefixtures("unguarded")
def test_rows_beyond_what_memory_holds_go_through_the_disk(tmp_path):
    """R63: the smallest limit that is taken still gives all rows, in order."""
    rows = 200_000
    frame = pl.DataFrame(
        {"siret": [f"{number:014d}" for number in range(rows)], CODE: ["69.20Z", "43.29A"] * (rows // 2)}
    ).with_columns(pl.lit("A").alias(STATE), pl.lit("NAFRev2").alias(NOMENCLATURE), enseigne1Etablissement="siret")
    frame.write_parquet(tmp_path / "s.parquet", row_group_size=10_000)
    requests = [request("69"), request("43"), request("M")]
    columns = [*frame.columns, *(f"enseigne{number}Etablissement" for number in (2, 3)), *("nic", "siren")]
    said = run(tmp_path / "s.parquet", requests, tmp_path, columns=columns, max_ram_bytes=116 * 2**20)
    for name, code in {"69": "69.20Z", "43": "43.29A", "M": "69.20Z"}.items():
        assert said[name]["siret"].equals(frame.filter(pl.col(CODE) == code)["siret"])


def test_rows_that_take_more_than_anybody_could_foresee_end_the_scan_by_name(tmp_path, monkeypatch):
    """R63: never killed by the system. What the process holds is looked at with every slice."""
    path = tmp_path / "s.parquet"
    table([row(number) for number in range(100)]).write_parquet(path)
    allowed = 128 * 2**20
    monkeypatch.setattr("joblot_sirene.stock.memory.resident_bytes", lambda: allowed + BASELINE_BYTES + 1)
    with pytest.raises(MemoryLimitError) as caught:
        run(path, [request("69.20Z")], tmp_path, max_ram_bytes=allowed)
    assert str(caught.value) == "the rows need more memory than the 128 MiB that are allowed"
    monkeypatch.setattr("joblot_sirene.stock.memory.resident_bytes", lambda: allowed + BASELINE_BYTES)
    assert run(path, [request("69.20Z")], tmp_path, max_ram_bytes=allowed)["69.20Z"].height == 100


@pytest.mark.parametrize("held", [0, 3_000_000, 10**9])
@pytest.mark.parametrize("reverse", [False, True])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20, deadline=None)
@given(
    added=st.lists(
        st.lists(st.tuples(st.integers(0, 9), st.integers(0, 6000)), max_size=5, unique_by=lambda share: share[0]).map(
            sorted
        ),
        max_size=4,
    )
)
def test_a_store_gives_back_what_it_was_given(tmp_path, held, reverse, added):
    """Whether rows are in memory or on disk, whichever numbers share a part."""
    expected = {}
    with RowStore(tmp_path, held) as store:
        counted = 0
        for shares in added:
            rows = sum(count for _, count in shares)
            frame = pl.DataFrame({"x": range(counted, counted + rows)}, {"x": pl.Int64}).with_columns(
                t=pl.col("x").cast(pl.String)
            )
            if reverse:
                store.add(frame.reverse(), pl.Series(list(range(rows))[::-1], dtype=pl.UInt32), shares)
            else:
                store.add(frame, None, shares)
            for key, count in shares:
                expected.setdefault(key, []).extend(range(counted, counted + count))
                counted += count
        for key in sorted(expected):
            assert store.rows(key) == len(expected[key])
            assert [value for part in store.frames(key) for value in part["x"]] == expected[key]
            assert [value for part in store.frames(key) for value in part["t"]] == [
                str(value) for value in expected[key]
            ]
            store.forget(key)
            assert list(store.frames(key)) == []
        assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_hold_temporary_rows(tmp_path):
    with pytest.raises(RowStoreError) as caught:
        RowStore(tmp_path / "missing")
    assert caught.value.message == f"cannot write temporary rows to `{tmp_path}/missing`: no such file or directory"


PROGRAM = """
import sys
from pathlib import Path
from joblot_sirene.register import naf
from joblot_sirene.stock.routing import RowRequest
from joblot_sirene.stock.source import limit_threads, open_source
path, out, threads = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
limit_threads(threads)
from joblot_sirene.stock.scan import scan
from joblot_sirene.stock.writers import write_csv, write_parquet
source = open_source(path)
def build(request, rows):
    write_csv(rows.frames(), out / f"{request.name}.csv")
    write_parquet(rows.frames(), out / f"{request.name}.parquet", schema=rows.schema)
def done(request, result):
    assert result is None, result
scan(source, [RowRequest(c, naf.matching_rules(naf.parse_code(c))) for c in ("69", "43.29A")],
     columns=[n for n in source.columns if not n.startswith("nic")], build=build, on_done=done, folder=out, threads=threads,
     max_ram_bytes=int(sys.argv[4]) * 2**20)
"""


def test_the_same_bytes_from_any_format_and_any_number_of_threads(tmp_path):
    """R62, R94: CSV, zipped CSV and Parquet, 1 and 8 workers, little and much memory: equal files."""
    rows = [
        row(
            number,
            code=CODES[number % 4],
            enseigne1Etablissement=f'"{number}",\n',
            dateDebut=dt.date(2020, 1, 1 + number % 28),
        )
        for number in range(30_000)
    ]
    frame = full_width(rows)
    seen = set()
    for name, threads, ram in [("s.parquet", 1, 0), ("s.parquet", 8, 250), ("s.csv", 8, 0), ("s.zip", 1, 400)]:
        out = tmp_path / f"out-{name}-{threads}"
        out.mkdir()
        write(frame, tmp_path / name)
        words = [sys.executable, "-c", PROGRAM, tmp_path / name, out, str(threads), str(ram)]
        subprocess.run(words, check=True)
        seen.add(tuple(hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(out.iterdir())))
    assert len(seen) == 1
    assert len(seen.pop()) == 4


def test_csv_as_people_want_it(tmp_path):
    """R78: `,` by default; `;` and a byte order mark for Excel."""
    frame = pl.DataFrame({"a": ['x "y", z', None], "b": [dt.datetime(2020, 1, 2, 3, 4, 5), None], "c": [True, None]})
    path = tmp_path / "d.csv"
    assert write_csv([frame, frame.head(0)], path) == 2
    assert path.read_bytes() == b'a,b,c\n"x ""y"", z",2020-01-02T03:04:05,true\n,,\n'
    write_csv([frame], path, separator=";", bom=True)
    assert path.read_bytes() == b'\xef\xbb\xbfa;b;c\n"x ""y"", z";2020-01-02T03:04:05;true\n;;\n'


def test_parquet_in_several_frames_is_parquet_in_one(tmp_path):
    """R78: both files of a dataset hold the same rows and columns."""
    frame = table([row(number, enseigne1Etablissement=f"N {number}") for number in range(250)])
    sizes = [(1000, "a"), (100, "b")]
    for rows, name in sizes:
        assert write_parquet(cut([frame], rows), tmp_path / name, schema=dict(frame.schema), rows_per_group=100) == 250
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert pl.read_parquet(tmp_path / "a").equals(frame)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=8), st.integers(1, 20))
def test_frames_are_cut_anew(heights, rows):
    frames = [pl.DataFrame({"x": range(height)}, {"x": pl.Int64}) for height in heights]
    found = list(cut(frames, rows))
    assert [frame.height for frame in found[:-1]] == [rows] * (len(found) - 1)
    assert pl.concat(found).equals(pl.concat(frames))
