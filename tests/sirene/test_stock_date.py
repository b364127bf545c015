"""The date of the stock is what the user or the file says, and no absurd row changes it."""

import datetime as dt
import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import polars as pl
import pytest

from joblot_sirene.errors import SireneError
from joblot_sirene.register.stock_date import StockDate, read_day, stock_date
from joblot_sirene.stock.prepare import prepare
from joblot_sirene.stock.source import day_of, open_source
from sirene.stock import place, write_places

LAST = "2026-10-31T08:30:00"


def rights(folder):
    return json.loads((folder / "out" / "naf_6201Z" / "manifest.json").read_text())["rights"]


@pytest.fixture
def build(sirene):
    def run(*words, treated=(LAST,), file="stock.csv"):
        write_places(sirene.folder / file, [place(n, dateDernierTraitement=moment) for n, moment in enumerate(treated)])
        done = sirene("batch", "--naf", "6201Z", "--input", file, "--output-dir", "out", "--rebuild", "--json", *words)
        return done, rights(sirene.folder)

    return run


@pytest.mark.parametrize(
    ("newest", "day", "line"),
    [
        ("2026-10-31T08:30:00", "2026-11-01", "stock of 2026-11-01"),
        ("2025-12-31", "2026-01-01", "stock of 2026-01-01"),
        ("2024-02-29T23:59:59", "2024-03-01", "stock of 2024-03-01"),
        ("2025-12-15T22:10:00", "2025-12-15", "newest treatment on 2025-12-15"),
        ("2026-11-01T02:00:00", "2026-11-01", "stock of 2026-11-01"),
        ("2026-10-30", "2026-10-30", "newest treatment on 2026-10-30"),
    ],
)
def test_the_newest_treatment_dates_a_stock_and_is_named_as_that(build, newest, day, line):
    _, said = build(treated=["2020-05-05T00:00:00", newest])
    assert (said["stock_date"], said["stock_date_from"]) == (day, "newest treatment")
    assert said["source"] == f"Source: INSEE, base Sirene, {line}"


@pytest.mark.parametrize(
    ("file", "absurd"),
    [
        ("stock.csv", "2925-03-01T00:00:00"),
        ("stock.csv", "dateDernierTraitementEtablissement"),
        ("stock.csv", "31/12/2026"),
        ("stock.csv", "2026-1x"),
        ("stock.zip", "9999-12-31T00:00:00"),
        ("stock.parquet", "2925-03-01T00:00:00"),
        ("stock.parquet", "[ND]"),
        ("stock.parquet", "0001-01-01T00:00:00"),
    ],
)
def test_one_absurd_treatment_changes_nothing(build, file, absurd):
    done, said = build("--profile", "standard", treated=[LAST, absurd, LAST], file=file)
    assert said["source"] == "Source: INSEE, base Sirene, stock of 2026-11-01"
    told = "1 rows were treated after today, which cannot be: they do not count for the date of the stock"
    assert (told in done.json["results"][0]["warnings"]) == absurd.startswith(("2925", "9999"))


def test_a_treatment_of_the_days_to_come_is_none_and_one_of_today_is(build):
    today = dt.datetime.now(dt.UTC).date()  # the batch may begin after midnight
    soon, now = ((today + dt.timedelta(days=days)).isoformat() + "T00:00:00" for days in (2, 0))
    assert build(treated=[LAST, soon])[1]["stock_date"] == "2026-11-01"
    assert build(treated=[LAST, now])[1]["stock_date"] >= today.isoformat()


def test_without_any_treatment_the_date_is_unknown_and_that_is_told(build):
    done, said = build(treated=["", "[ND]"])
    assert (said["stock_date"], said["source"]) == (None, "Source: INSEE, base Sirene, stock of unknown date")
    assert "the date of the stock is not known (give it with `--stock-date`)" in done.json["results"][0]["warnings"]


def test_other_writings_of_moments_date_a_stock_too(build):
    for moment in ("20261031", "2026-10-31", "2026-10-31 08:30:00"):
        assert build(treated=["", moment])[1]["stock_date"] == "2026-11-01"


def test_the_user_says_the_date(build):
    done, said = build("--stock-date", "2026-11-03", treated=["2026-10-12T00:00:00"])
    assert (said["stock_date"], said["stock_date_from"]) == ("2026-11-03", "option")
    assert said["source"] == "Source: INSEE, base Sirene, stock of 2026-11-03"
    assert not any("date" in text for text in done.json["results"][0]["warnings"])
    done, _ = build("--stock-date", "2026-10-01", treated=["2026-10-12T00:00:00"])
    told = "rows were treated after the date of the stock that was given, the last ones on 2026-10-12"
    assert told in done.json["results"][0]["warnings"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("2026-13-01", "the date of a stock is a day such as `2026-11-01`, not `2026-13-01`"),
        ("01/11/2026", "the date of a stock is a day such as `2026-11-01`, not `01/11/2026`"),
        ("20261101", "the date of a stock is a day such as `2026-11-01`, not `20261101`"),
        ("2026", "the date of a stock is a day such as `2026-11-01`, not `2026`"),
        ("2925-03-01", "the date of a stock does not lie in the future: `2925-03-01`"),
    ],
)
def test_a_date_that_cannot_be_one_is_refused_before_anything_is_written(sirene, text, error):
    with pytest.raises(SireneError, match="the date of a stock"):
        read_day(text)
    write_places(sirene.folder / "stock.csv", [place(1)])
    done = sirene("batch", "--naf", "6201Z", "--input", "stock.csv", "--output-dir", "out", "--stock-date", text)
    assert (done.code, done.out, done.err) == (2, "", f"error: {error}\n")
    assert [path.name for path in sirene.folder.iterdir()] == ["stock.csv"]


@pytest.mark.parametrize(
    ("name", "day", "by"),
    [
        ("2026-11-01-StockEtablissement_utf8.zip", "2026-11-01", "file name"),
        ("StockEtablissement_utf8_202611.zip", "2026-11-01", "file name"),
        ("stock-stocketablissement-2026-11-03-parquet.parquet", "2026-11-03", "file name"),
        ("StockEtablissement_20261116.csv", "2026-11-16", "file name"),
        ("StockEtablissement_utf8.zip", "2026-10-29", "newest treatment"),
        ("StockEtablissement_202610.csv", "2026-10-29", "newest treatment"),  # before the newest treatment
        ("StockEtablissement_2027-01-01.csv", "2026-10-29", "newest treatment"),  # long after it
        ("StockEtablissement_2026-13-01.csv", "2026-10-29", "newest treatment"),
        ("export-2026-11-05.csv", "2026-10-29", "newest treatment"),  # no file of data.gouv.fr
    ],
)
def test_the_name_of_a_published_file_says_the_date(name, day, by):
    found = stock_date(dt.date(2026, 10, 29), file_name=name)
    assert found == StockDate(dt.date.fromisoformat(day), by)


def test_the_name_of_the_file_counts_in_a_batch(build):
    _, said = build(treated=["2026-10-29T00:00:00"], file="StockEtablissement_202611.csv")
    assert said["source"] == "Source: INSEE, base Sirene, stock of 2026-11-01"


def test_the_sorted_copy_of_text_knows_the_date_and_the_rows(build, sirene):
    _, before = build(treated=[LAST, "2925-03-01T00:00:00"])
    prepare(sirene.folder / "stock.csv")
    done, after = build(treated=[LAST, "2925-03-01T00:00:00"])
    assert after == before
    assert any("after today" in text for text in done.json["results"][0]["warnings"])
    manifest = json.loads((sirene.folder / "out" / "naf_6201Z" / "manifest.json").read_text())
    assert manifest["source"]["rows"] == 2


@pytest.mark.parametrize("file", ["stock.csv", "stock.parquet", "stock.zip"])
def test_the_manifest_names_the_file_without_its_folder_and_how_many_rows_it_has(sirene, file):
    folder = sirene.folder / "ZZQXVJUSER" / "stock"
    folder.mkdir(parents=True)
    write_places(folder / file, [place(1), place(2, activitePrincipale="56.10A"), place(3, etatAdministratif="F")])
    for input_path in (folder / file, f"ZZQXVJUSER/stock/{file}")[: 2 if file == "stock.csv" else 1]:
        words = ("--naf", "6201Z", "--profile", "deep", "--output-dir", "out", "--rebuild")
        done = sirene("batch", *words, "--input", input_path)
        assert done.code == 0, done.err
        written = sirene.folder / "out" / "naf_6201Z"
        source = json.loads((written / "manifest.json").read_text())["source"]
        assert (source["file"], source["rows"]) == (file, 3)
        for path in written.rglob("*"):
            if path.is_file():
                content = path.read_bytes()
                assert b"ZZQXVJUSER" not in content
                assert str(sirene.folder).encode() not in content


def test_inspect_says_the_same_date(sirene):
    write_places(sirene.folder / "stock.csv", [place(1), place(2, dateDernierTraitement="2925-03-01T00:00:00")])
    assert sirene("inspect", "stock.csv", "--json").json["stock_date"] == "2026-11-01"


def test_rows_of_text_are_known_when_all_have_been_read(tmp_path):
    source = open_source(write_places(tmp_path / "stock.csv", [place(n) for n in range(3)]))
    batches = source.batches(["siret"], 10)
    assert source.rows is None
    list(batches)
    assert source.rows == 3


@pytest.mark.parametrize("kind", ["text", "one of the future"])
def test_threads_that_ask_at_once_are_all_told_the_same_date(tmp_path, kind):
    """Datasets are built at once; whoever did not know the date counted ages and freshness to the day of the run."""
    moments = [f"2026-10-{day:02d}T08:00:00" for day in range(1, 29)] * 200
    moments += ["2925-03-01T00:00:00"] if kind == "one of the future" else []
    column = pl.Series("dateDernierTraitementEtablissement", moments)
    column = column.str.to_datetime() if kind == "one of the future" else column
    frame = pl.DataFrame([pl.Series("siret", [f"{n:014d}" for n in range(len(moments))]), column])
    frame = frame.with_columns(
        etatAdministratifEtablissement=pl.lit("A"), activitePrincipaleEtablissement=pl.lit("62.01Z")
    )
    frame.write_parquet(tmp_path / "stock.parquet")
    for _ in range(5):
        source, barrier = open_source(tmp_path / "stock.parquet"), Barrier(4)

        def ask(source=source, barrier=barrier):
            barrier.wait()
            return day_of(source.newest), source.future

        with ThreadPoolExecutor(4) as pool:
            told = {asked.result() for asked in [pool.submit(ask) for _ in range(4)]}
        assert told == {(dt.date(2026, 10, 28), int(kind == "one of the future"))}
