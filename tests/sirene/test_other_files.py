"""Files of another form are refused in words, with what to do, and nothing that stands in them is repeated."""

import bz2
import gzip
import json
import lzma
import zipfile

import pytest

from joblot_sirene.errors import SireneError
from joblot_sirene.stock.source import open_source, probe
from sirene.files import row, text

STOCK = text([row(1, enseigne1="ZZQXVJENSEIGNE"), row(2)])
PUBLISHED = "give the stock file as INSEE publishes it: zipped CSV or Parquet"
SHEET = "save the sheet as CSV in UTF-8, or give the file as INSEE publishes it: zipped CSV or Parquet"
JSON = "JSON, such as the replies of the register's API"
FORMS = {
    "gzip": (gzip.compress(STOCK.encode()), "packed with gzip", "unpack it first"),
    "bzip2": (bz2.compress(STOCK.encode()), "packed with bzip2", "unpack it first"),
    "xz": (lzma.compress(STOCK.encode()), "packed with xz", "unpack it first"),
    "zstandard": (b"\x28\xb5\x2f\xfd" + bytes(range(256)), "packed with zstandard", "unpack it first"),
    "7z": (b"7z\xbc\xaf\x27\x1c" + bytes(range(256)), "a 7z archive", "unpack it first"),
    "old workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1000), "a workbook (xls)", SHEET),
    "reply": (json.dumps({"header": {"statut": 200}, "etablissements": [row(1, enseigne1="ZZQXVJ")]}).encode(), JSON, PUBLISHED),
    "list of objects": (json.dumps([row(1, enseigne1="ZZQXVJ")], indent=2).encode(), JSON, PUBLISHED),
    "JSON after a mark and spaces": (b"\xef\xbb\xbf \n" + json.dumps(row(1)).encode(), JSON, PUBLISHED),
    "web page": (b"<!doctype html><title>ZZQXVJ</title>", "XML or a web page", PUBLISHED),
    "UTF-16": (STOCK.encode("utf-16"), "text in UTF-16", "save the file as UTF-8"),
    "UTF-16, the other way round": (b"\xfe\xff" + STOCK.encode("utf-16-be"), "text in UTF-16", "save the file as UTF-8"),
    "PDF": (b"%PDF-1.7\n", "a PDF", PUBLISHED),
}  # fmt: skip


def refused(path):
    found = []
    for read in (open_source, probe):
        with pytest.raises(SireneError) as error:
            read(path, expected="establishment")
        found.append((error.value.message, error.value.hint))
    assert found[0] == found[1]
    assert "ZZQXVJ" not in str(found)
    assert found[0][0].isprintable()
    return found[0]


@pytest.mark.parametrize("kind", FORMS)
@pytest.mark.parametrize("name", ["stock.csv", "stock.zip"])
def test_another_form_is_named_with_what_to_do(tmp_path, kind, name):
    content, form, hint = FORMS[kind]
    path = tmp_path / name
    if name == "stock.zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("s.csv", content)
        assert refused(path) == (f"`{path}: s.csv` is {form}", hint)
    else:
        path.write_bytes(content)
        assert refused(path) == (f"`{path}` is {form}", hint)


@pytest.mark.parametrize(
    ("members", "message", "hint"),
    [
        (["[Content_Types].xml", "xl/workbook.xml", "xl/worksheets/sheet1.xml"], "is a workbook (xlsx)", SHEET),
        (["[Content_Types].xml", "xl/workbook.bin"], "is a workbook (xlsb)", SHEET),
        (["mimetype", "content.xml"], "is a workbook (ods)", SHEET),
        (["s.parquet"], "has no CSV file in it, only 1 other", "unpack the Parquet file in it, which is read as it is"),
        (["lisez-moi.pdf"], "has no CSV file in it, only 1 other", PUBLISHED),
        ([], "is a zip with nothing in it", PUBLISHED),
    ],
)
def test_a_zip_of_something_else_is_named(tmp_path, members, message, hint):
    path = tmp_path / "stock.xlsx"
    with zipfile.ZipFile(path, "w") as book:
        for member in members:
            book.writestr(member, "<x/>")
    assert refused(path) == (f"`{path}` {message}", hint)


EXPECTED = "expected columns such as `siret`, `etatAdministratifEtablissement`, `activitePrincipaleEtablissement`"


@pytest.mark.parametrize(
    ("first", "message", "hint"),
    [
        (STOCK.split("\n")[1], "the first line holds values, not names of columns", f"give the file with its header; {EXPECTED}"),
        ("1234,ZZQXVJDUPONT,rue", "the first line holds values, not names of columns", f"give the file with its header; {EXPECTED}"),
        (
            "a,\x1b[31mZZQXVJ,\x07,b c",
            "the columns are not those of a stock file of the register: `a`, `b c`",
            EXPECTED,
        ),
        (
            ",,;;",
            "the columns are not those of a stock file of the register: there are none",
            EXPECTED,
        ),
        (
            "nom,prenom,rue,ville,code,e-mail",
            "the columns are not those of a stock file of the register: `nom`, `prenom`, `rue`, `ville`, `code` and 1 more",
            EXPECTED,
        ),
    ],
)  # fmt: skip
def test_only_what_looks_like_names_of_columns_is_repeated(tmp_path, first, message, hint):
    path = tmp_path / "stock.csv"
    path.write_text(first + "\n1,2,3\n")
    assert refused(path) == (message, hint)


def test_the_command_refuses_it_before_anything_is_written(sirene):
    (sirene.folder / "stock.csv.gz").write_bytes(FORMS["gzip"][0])
    done = sirene("batch", "--naf", "6201Z", "--input", "stock.csv.gz", "--output-dir", "out")
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: `stock.csv.gz` is packed with gzip\nhint: unpack it first\n"
    assert [path.name for path in sirene.folder.iterdir()] == ["stock.csv.gz"]
