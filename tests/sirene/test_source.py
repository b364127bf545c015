"""Any stock file comes out the same: formats, dialects, layouts, and one clear error for each that cannot be read."""

import datetime as dt
import zipfile

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from joblot_sirene.errors import LayoutError
from joblot_sirene.stock.csvtext import SourceError
from joblot_sirene.stock.footer import read_footer, rows_per_group
from joblot_sirene.stock.source import ORDER, Span, open_source, probe
from sirene.stock import CODE, NAMES, STATE, row, table, text, write

ROWS = [
    row(
        1,
        enseigne1Etablissement='CHEZ "JO", FILS',
        dateCreationEtablissement=dt.date(1900, 1, 1),
        etablissementSiege=True,
    ),
    row(2, enseigne1Etablissement="DEUX\nLIGNES; OUI", etablissementSiege=False),
    row(3, code="43.29A", enseigne1Etablissement="L’ÉTÉ"),
]
FORMATS = ["s.parquet", "s.csv", "s.zip"]


def everything(path, rows_per_batch=1000, columns=NAMES, **options):
    return pl.concat(open_source(path).batches(columns, rows_per_batch, **options))


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_rows(tmp_path, name):
    """R94: the same dataset from CSV, zipped CSV and Parquet; R78: identifiers stay text."""
    assert everything(write(table(ROWS), tmp_path / name)).rows() == table(ROWS).rows()


@pytest.mark.parametrize(
    "dialect",
    [{"delimiter": ";", "bom": True}, {"end": "\r\n"}, {"delimiter": "\t"}, {"delimiter": ";", "end": "\r\n"}],
)
def test_dialects_of_csv(tmp_path, dialect):
    rows = [dict(found, enseigne1Etablissement="A, B; C") for found in ROWS]
    assert everything(write(table(rows), tmp_path / "s.csv", **dialect)).rows() == table(rows).rows()


@settings(deadline=None)
@given(
    names=st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\r\0", exclude_categories=["Cs"]), max_size=12),
        min_size=1,
        max_size=40,
    ),
    size=st.integers(1, 40),
)
def test_a_row_is_never_cut_wherever_blocks_end(tmp_path_factory, names, size):
    """Quotes, delimiters and line feeds inside fields, with blocks of every size."""
    path = tmp_path_factory.mktemp("s") / "s.csv"
    rows = [row(number, enseigne1Etablissement=name) for number, name in enumerate(names)]
    write(table(rows), path)
    source = open_source(path)
    header = text(table([]))
    blocks = list(source._text.blocks(size))
    assert header + b"".join(blocks) == path.read_bytes()
    found = [value for (value,) in everything(path, columns=["enseigne1Etablissement"]).iter_rows()]
    assert found == [name or None for name in names]


def test_names_in_lower_case_and_more_columns(tmp_path):
    frame = table(ROWS).rename(str.lower).with_columns(longitude=pl.lit("1.5"), autre=pl.lit("x"))
    assert everything(write(frame, tmp_path / "s.csv")).rows() == table(ROWS).rows()


@pytest.mark.parametrize("name", FORMATS)
def test_a_column_that_the_layout_lacks_is_null(tmp_path, name):
    frame = table(ROWS).drop("activitePrincipaleNAF25Etablissement", "dateCreationEtablissement")
    source = open_source(write(frame, tmp_path / name))
    found = pl.concat(source.batches(NAMES, 10))
    assert found["dateCreationEtablissement"].dtype == pl.Date
    assert found["dateCreationEtablissement"].null_count() == 3
    assert "activitePrincipaleNAF25Etablissement" in source.layout.missing
    assert "activitePrincipaleNAF25Etablissement" not in source.columns


@pytest.mark.parametrize("name", FORMATS)
def test_an_empty_text_is_missing(tmp_path, name):
    assert everything(write(table([row(1, enseigne1Etablissement="")]), tmp_path / name))[
        "enseigne1Etablissement"
    ].to_list() == [None]


def test_values_that_are_no_date_are_counted_and_missing(tmp_path):
    frame = table(ROWS).with_columns(dateCreationEtablissement=pl.Series(["2020-02-30", "", "2020-02-29"]))
    source = open_source(write(frame, tmp_path / "s.csv"))
    found = pl.concat(source.batches(NAMES, 10))
    assert found["dateCreationEtablissement"].to_list() == [None, None, dt.date(2020, 2, 29)]
    assert source.unreadable == {"dateCreationEtablissement": 1}


@pytest.mark.parametrize("name", FORMATS)
def test_only_rows_that_meet_the_condition_with_their_places(tmp_path, name):
    found = everything(
        write(table(ROWS), tmp_path / name), columns=["siret"], where=pl.col(CODE) == "43.29A", order=True
    )
    assert found.rows() == [("00000000000003", 2)]
    assert found.columns == ["siret", ORDER]


def test_rows_of_parquet_are_known_and_can_be_read_from_the_middle(tmp_path):
    source = open_source(write(table(ROWS), tmp_path / "s.parquet"))
    assert source.rows == 3
    assert pl.concat(source.batches(["siret"], 1, spans=[Span(1, 2)]))["siret"].to_list() == [
        "00000000000002",
        "00000000000003",
    ]


@pytest.mark.parametrize("rows", [1, 7, 300])
def test_the_rows_of_a_row_group_are_found(tmp_path, rows):
    path = tmp_path / "s.parquet"
    table([row(number) for number in range(1000)]).write_parquet(path, row_group_size=rows)
    assert rows_per_group(path) == rows
    assert rows_per_group(write(table(ROWS), tmp_path / "s.csv")) == 0


def test_the_digest_follows_the_content(tmp_path):
    path = write(table(ROWS), tmp_path / "s.csv")
    before = open_source(path).digest
    assert open_source(path).digest == before
    write(table(ROWS[:2]), path)
    assert open_source(path).digest != before


def refused(path):
    with pytest.raises((SourceError, LayoutError)) as caught:
        for _ in open_source(path).batches(NAMES, 10):
            pass
    return caught.value.message


def test_columns_inside_lists_and_structs_are_no_columns(tmp_path):
    path = tmp_path / "nested.parquet"
    frame = table([row(1)]).with_columns(
        more=pl.struct("siret", deep=pl.concat_list("siret")), many=pl.concat_list("siret")
    )
    frame.write_parquet(path)
    found = read_footer(path)
    assert found is not None
    assert list(found.names) == frame.columns
    assert probe(path).layout.extra == ("more", "many")


def test_what_is_no_file(tmp_path):
    """R55: an input that is not there is one clear error."""
    assert refused(tmp_path / "s.csv") == f"cannot read `{tmp_path}/s.csv`: no such file or directory"
    assert refused(tmp_path) == f"cannot read `{tmp_path}`: is a directory"


def test_an_empty_file(tmp_path):
    (tmp_path / "s.csv").touch()
    assert refused(tmp_path / "s.csv") == f"`{tmp_path}/s.csv` is empty"


def test_foreign_columns(tmp_path):
    (tmp_path / "s.csv").write_text("a,b\n1,2\n")
    assert refused(tmp_path / "s.csv").startswith("the columns are not those of a stock file of the register: `a`, `b`")
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "s.parquet")
    assert refused(tmp_path / "s.parquet").startswith("the columns are not those of a stock file of the register: `a`")


def test_something_else_altogether(tmp_path):
    (tmp_path / "s.bin").write_bytes(bytes(range(256)) * 1000)
    assert refused(tmp_path / "s.bin") == f"`{tmp_path}/s.bin` is neither Parquet, nor CSV, nor a zip of CSV"


def test_parquet_that_was_cut_off(tmp_path):
    path = write(table(ROWS), tmp_path / "s.parquet")
    path.write_bytes(path.read_bytes()[:-100])
    assert refused(path) == f"`{path}` is damaged: it begins like Parquet, but its list of contents cannot be read"


def test_parquet_with_damaged_pages(tmp_path):
    path = tmp_path / "s.parquet"
    table([row(number, enseigne1Etablissement=f"{number * 7919 % 10007}") for number in range(5000)]).write_parquet(
        path
    )
    body = bytearray(path.read_bytes())
    body[20:20000] = b"\xff" * 19980
    path.write_bytes(body)
    assert refused(path).startswith(f"`{path}` is damaged: ")


def test_zips_that_hold_no_stock_file(tmp_path):
    path = tmp_path / "s.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("lisez-moi.pdf", "x")
    assert refused(path) == f"`{path}` has no CSV file in it, only 1 other"
    with zipfile.ZipFile(path, "w"):
        pass
    assert refused(path) == f"`{path}` is a zip with nothing in it"


def test_a_zip_with_several_members(tmp_path):
    path = tmp_path / "s.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("codes.csv", "a,b\n")
        archive.writestr("stock.csv", text(table(ROWS)))
        archive.writestr("__MACOSX/stock.csv", "x")
    assert everything(path).height == 3
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("stock2.csv", text(table(ROWS)))
    assert refused(path) == f"`{path}` has several stock files in it: `stock.csv`, `stock2.csv`"


def test_damaged_zips(tmp_path):
    path = write(
        table([row(number, enseigne1Etablissement=f"{number * 7919}") for number in range(9000)]), tmp_path / "s.zip"
    )
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    assert refused(path) == f"`{path}` is damaged: it begins like a zip, but its list of contents cannot be read"
    path.write_bytes(whole[:40000] + bytes(100) + whole[40100:])
    assert refused(path).startswith(f"`{path}: StockEtablissement_utf8.csv`, line ")


def test_a_zip_with_a_flipped_bit_is_not_taken_for_whole(tmp_path):
    path = tmp_path / "s.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("stock.csv", text(table(ROWS)))
    path.write_bytes(path.read_bytes().replace(b"CHEZ", b"CHUZ"))
    assert refused(path) == f"cannot read `{path}: stock.csv`: Bad CRC-32 for file 'stock.csv'"


def test_a_csv_that_ends_in_the_middle_of_a_row(tmp_path):
    path = write(table(ROWS), tmp_path / "s.csv")
    path.write_bytes(path.read_bytes()[:-20])
    assert refused(path) == f"`{path}` ends in the middle of a row"


def test_a_last_row_without_a_line_feed_counts(tmp_path):
    path = write(table(ROWS), tmp_path / "s.csv")
    path.write_bytes(path.read_bytes()[:-1])
    assert everything(path).height == 3


def test_a_row_with_too_many_fields_is_named_by_its_line(tmp_path):
    path = write(table(ROWS), tmp_path / "s.csv")
    path.write_bytes(path.read_bytes() + b"1,2,3,4,5,6,7,8,9\n")
    assert refused(path) == f"`{path}`, line 6: 9 fields, but the header has 8"


def test_text_that_is_not_utf8_is_named_by_its_line(tmp_path):
    path = write(table(ROWS), tmp_path / "s.csv")
    path.write_bytes(
        path.read_bytes()
        + text(table([row(4, enseigne1Etablissement="ÉTÉ")])).split(b"\n", 1)[1].decode().encode("latin-1")
    )
    assert refused(path) == f"`{path}`, line 6: the byte 0xC9 is not UTF-8"


def test_a_header_alone_is_a_file_without_rows(tmp_path):
    path = write(table([]), tmp_path / "s.csv")
    assert everything_or_none(path) == 0
    assert STATE in open_source(path).columns


def everything_or_none(path):
    return sum(frame.height for frame in open_source(path).batches(NAMES, 10))
