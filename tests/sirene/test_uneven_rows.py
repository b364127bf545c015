"""Rows of text that have not as many fields as the header: never shown as if they were right, never lost without a word."""

import csv
import json

import polars as pl
import pytest

from joblot_sirene.register.layout import HISTORY_COLUMNS
from joblot_sirene.steps.parameters import NO_UNITS
from joblot_sirene.stock.csvtext import SourceError
from joblot_sirene.stock.prepare import prepare
from joblot_sirene.stock.source import open_source
from sirene.files import hidden, row, siret, text, unit, write
from sirene.test_repeats import holding

GOOD = [row(1, enseigne1="ZZQXVJA"), row(2, enseigne1="BAR, TABAC"), row(3, enseigne1='LE "GRAND" BAR')]
HINT = "a text with the delimiter in it must stand in quotes; `batch` and `inspect` put such rows aside with `--bad-rows FILE`"


def read(path, columns=("siret", "enseigne1Etablissement"), aside=None):
    source = open_source(path)
    if aside is not None:
        source.put_aside(lambda *bad: aside.append(bad))
    return pl.concat(source.batches(columns, 2**20)).rows()


def spoiled(spoil, line=2, end="\n", delimiter=","):
    """The text of the file with one line changed."""
    lines = text(GOOD, delimiter=delimiter).split("\n")
    lines[line] = spoil(lines[line])
    return end.join(lines)


SPOILED = {
    "an unquoted delimiter": (lambda line: line.replace('"BAR, TABAC"', "BAR, TABAC"), 55),
    "a field too many at the end": (lambda line: line + ",", 55),
    "a field too many at the beginning": (lambda line: "," + line, 55),
    "several fields too many": (lambda line: line + ",a,b,c", 57),
    "a field too few": (lambda line: line.rsplit(",", 1)[0], 53),
    "cut after the SIRET": (lambda line: ",".join(line.split(",")[:3]), 3),
    "cut within the first field": (lambda line: line[:4], 1),
    "the next row on the same line": (lambda line: line + "," + line, 108),
    "a quote in a text": (lambda line: line.replace('"BAR, TABAC"', 'BAR "LE, TABAC"'), 55),
}


@pytest.mark.parametrize("kind", SPOILED)
@pytest.mark.parametrize("name", ["stock.csv", "stock.zip"])
def test_a_row_with_another_number_of_fields_is_refused_with_its_line(tmp_path, kind, name):
    spoil, fields = SPOILED[kind]
    path = tmp_path / name
    content = spoiled(spoil)
    if name == "stock.csv":
        path.write_text(content)
    else:
        import zipfile

        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("s.csv", content)
    for columns in (["siret"], ["siret", "activitePrincipaleNAF25Etablissement"], ["etatAdministratifEtablissement"]):
        with pytest.raises(SourceError) as refused:
            read(path, columns)
        member = "" if name == "stock.csv" else ": s.csv"
        assert refused.value.message == f"`{path}{member}`, line 3: {fields} fields, but the header has 54"
        assert refused.value.hint == HINT


@pytest.mark.parametrize("kind", SPOILED)
def test_such_rows_can_be_put_aside(tmp_path, kind):
    spoil, fields = SPOILED[kind]
    path = tmp_path / "stock.csv"
    path.write_text(spoiled(spoil))
    aside = []
    assert read(path, aside=aside) == [(siret(1), "ZZQXVJA"), (siret(3), 'LE "GRAND" BAR')]
    assert [(line, len(found)) for line, found, _ in aside] == [(3, fields)]


@pytest.mark.parametrize(
    ("delimiter", "end"), [(";", "\n"), ("\t", "\n"), (",", "\r\n"), (";", "\r\n"), (",", "\r"), (";", "\r")]
)
def test_whatever_the_delimiter_and_the_line_ends(tmp_path, delimiter, end):
    path = tmp_path / "stock.csv"
    path.write_bytes(text(GOOD, delimiter=delimiter, end=end).encode())
    assert read(path) == [(siret(1), "ZZQXVJA"), (siret(2), "BAR, TABAC"), (siret(3), 'LE "GRAND" BAR')]
    path.write_bytes(spoiled(lambda line: line + delimiter, end=end, delimiter=delimiter).encode())
    with pytest.raises(SourceError, match="line 3: 55 fields, but the header has 54"):
        read(path)


def test_all_lines_of_a_part_are_named_up_to_five(tmp_path):
    path = tmp_path / "stock.csv"
    lines = text([row(n) for n in range(1, 20)]).split("\n")
    path.write_text(
        "\n".join(line + "," * (number in (3, 5, 7, 8, 9, 11, 12, 15)) for number, line in enumerate(lines, 1))
    )
    with pytest.raises(SourceError) as refused:
        read(path)
    assert (
        refused.value.message
        == f"`{path}`, line 3: 55 fields, but the header has 54 (also lines 5, 7, 8, 9, 11 and 2 more)"
    )


@pytest.mark.parametrize("size", [2**12, 2**24])
def test_lines_are_counted_over_quoted_line_ends_and_blocks(tmp_path, size):
    rows = [row(n, enseigne1="A\nB\r\nC" if n % 7 == 0 else "") for n in range(1, 300)]
    path = tmp_path / "stock.csv"
    content = text(rows) + text([row(999)]).split("\n")[1] + ",\n"
    path.write_text(content, newline="")
    with pytest.raises(SourceError) as refused:
        list(open_source(path).batches(["siret"], size // 200))
    line = next(number for number, one in enumerate(content.split("\n"), 1) if siret(999) in one)
    assert f", line {line}: 55 fields" in refused.value.message


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "sign",
    [
        "A\nB",
        "A\r\nB",
        'A ""\n""',
        '"',
        '""',
        '","',
        '"\n,',
        "",
        "ab" * 5000,
        "siren",
        "activitePrincipaleRegistreMetiersEtablissement",
    ],
)
def test_what_stands_in_quotes_is_one_field(tmp_path, sign, end):
    rows = [row(1), row(2, enseigne1=sign, enseigne2="BAR, TABAC"), row(3)]
    path = write(rows, tmp_path / "stock.csv", end=end)
    found = read(path, ["siret", "enseigne1Etablissement", "enseigne2Etablissement"])
    assert found == [(siret(1), None, None), (siret(2), sign or None, "BAR, TABAC"), (siret(3), None, None)]


def test_a_file_with_quotes_everywhere(tmp_path):
    rows = text([row(n, enseigne1="A, B") for n in range(1, 50)]).splitlines()
    path = tmp_path / "stock.csv"
    with path.open("w", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(csv.reader(rows))
    assert [found for found, _ in read(path)] == [siret(n) for n in range(1, 50)]


@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("at", ["between", "first", "last", "several"])
def test_headers_of_files_that_were_glued_together_are_no_rows(tmp_path, at, bom):
    header, *lines = text(GOOD).splitlines(keepends=True)
    again = bom + header
    parts = {
        "between": [lines[0], again, *lines[1:]], "first": [again, *lines], "last": [*lines, again], "several": [again, lines[0], again, again, *lines[1:]],
    }[at]  # fmt: skip
    path = tmp_path / "stock.csv"
    path.write_text("".join([header, *parts]))
    assert [found for found, _ in read(path)] == [siret(1), siret(2), siret(3)]


def test_a_second_header_with_the_columns_in_another_order_is_refused(tmp_path):
    path = tmp_path / "stock.csv"
    names = list(reversed(GOOD[0]))
    path.write_text(text(GOOD) + text(GOOD, names=names))
    with pytest.raises(SourceError) as refused:
        read(path)
    assert refused.value.message == f"`{path}`, line 5: a second header, with the columns in another order"


def test_files_of_two_layouts_glued_together_are_refused(tmp_path):
    path = tmp_path / "stock.csv"
    path.write_text(text(GOOD) + text(GOOD, names=list(GOOD[0])[:53]))
    with pytest.raises(SourceError, match="line 5: 53 fields, but the header has 54"):
        read(path)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_empty_lines_are_no_rows(tmp_path, end):
    lines = text(GOOD).splitlines()
    path = tmp_path / "stock.csv"
    path.write_text(end.join([lines[0], "", lines[1], "", "", lines[2], lines[3], "", ""]), newline="")
    assert [found for found, _ in read(path)] == [siret(1), siret(2), siret(3)]


@pytest.mark.parametrize("cut", [3, 60, 150])
@pytest.mark.parametrize("end", ["\n", "\r"])
def test_a_last_row_that_was_cut_off_is_refused(tmp_path, cut, end):
    path = tmp_path / "stock.csv"
    content = text(GOOD, end=end)
    path.write_text(content[: content.rindex(siret(3)[:9] + ",") + cut], newline="")
    with pytest.raises(SourceError, match="ends in the middle of a row"):
        read(path, aside=[])


@pytest.mark.parametrize(("delimiter", "bom"), [(",", ""), (";", "\ufeff"), ("\t", "")])
@pytest.mark.parametrize("first_end", ["\r", "\n"])
def test_carriage_returns_alone_end_rows(tmp_path, delimiter, bom, first_end):
    """The rows of a file of carriage returns only are all there; where the header ends otherwise they are refused."""
    content = bom + text(GOOD, delimiter=delimiter, end="\r")
    path = tmp_path / "stock.csv"
    if first_end == "\n":
        path.write_text(content.replace("\r", "\n", 1), newline="")
        with pytest.raises(SourceError):
            read(path)
    else:
        path.write_text(content, newline="")
        assert [found for found, _ in read(path)] == [siret(1), siret(2), siret(3)]


@pytest.mark.parametrize("end", ["\r", "\n"])
@pytest.mark.parametrize("kind", ["unit", "history"])
def test_the_same_is_true_of_the_other_files(tmp_path, kind, end):
    if kind == "unit":
        rows = [unit(n) for n in (1, 2, 3)]
        column, values = "denominationUniteLegale", ["SOCIETE 1", "SOCIETE 2", "SOCIETE 3"]
    else:
        rows = [
            dict.fromkeys(HISTORY_COLUMNS, "")
            | {"siret": siret(n), "dateDebut": "2020-01-01", "enseigne1Etablissement": "A"}
            for n in (1, 2, 3)
        ]
        column, values = "enseigne1Etablissement", ["A", "A", "A"]
    path = write(rows, tmp_path / "other.csv", end=end)
    assert [found for (found,) in read(path, [column])] == values
    lines = text(rows).split("\n")
    for spoiled_line in (lines[2] + ",", lines[2].rsplit(",", 2)[0], lines[2].replace(",", ", ,", 1)):
        path.write_text(end.join([*lines[:2], spoiled_line, *lines[3:]]), newline="")
        with pytest.raises(SourceError, match=r"line 3: \d+ fields, but the header has \d+"):
            read(path, [column])


def test_the_whole_command_refuses_or_puts_aside_and_says_so(sirene):
    lines = text([*GOOD, row(4)]).split("\n")
    lines[2] = lines[2].replace('"BAR, TABAC"', "BAR, TABAC")
    lines[4] = lines[4].rsplit(",", 5)[0]
    (sirene.folder / "stock.csv").write_text("\n".join(lines))
    words = ("batch", "--naf", "6201Z", "--input", "stock.csv", "--output-dir", "out", "--json")
    refused = sirene(*words)
    [item] = refused.json["results"]
    assert (refused.code, item["status"]) == (1, "FAILED")
    assert item["error"] == "`DIR/stock.csv`, line 3: 55 fields, but the header has 54 (also line 5)"
    done = sirene(*words, "--bad-rows", "bad.csv")
    assert done.code == 0, done.err
    warning = (
        "2 rows have another number of fields than the header of their file and were put aside: `bad.csv` says which"
    )
    assert [item["warnings"] for item in done.json["results"]] == [[warning, NO_UNITS]]
    folder = sirene.folder / "out" / "naf_6201Z"
    assert pl.read_parquet(folder / "dataset.parquet")["siret"].to_list() == [siret(1), siret(3)]
    assert json.loads((folder / "manifest.json").read_text())["left_out"]["bad_rows"] == 2
    with (sirene.folder / "bad.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["file", "line", "fields", "row"], ["stock.csv", "3", "55", lines[2]], ["stock.csv", "5", "49", lines[4]],
        ]  # fmt: skip
    assert (sirene.folder / "bad.csv").stat().st_mode & 0o777 == 0o600


def test_inspect_refuses_or_puts_aside(sirene):
    (sirene.folder / "stock.csv").write_text(spoiled(lambda line: line + ","))
    refused = sirene("inspect", "stock.csv")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err == f"error: `stock.csv`, line 3: 55 fields, but the header has 54\nhint: {HINT}\n"
    done = sirene("inspect", "stock.csv", "--bad-rows", "bad.csv")
    assert done.code == 0, done.err
    assert "  rows: 2\n" in done.out
    assert "  put aside: 1 rows with another number of fields than the header\n" in done.out
    assert (sirene.folder / "bad.csv").read_text().splitlines()[1].startswith("stock.csv,3,55,")
    quick = sirene("inspect", "stock.csv", "--quick")
    assert quick.code == 0, quick.err


def test_a_sorted_copy_of_such_a_file_is_refused(tmp_path):
    path = tmp_path / "stock.csv"
    path.write_text(spoiled(lambda line: line + ","))
    with pytest.raises(SourceError, match="line 3: 55 fields"):
        prepare(path)
    assert [file.name for file in tmp_path.iterdir()] == ["stock.csv"]


def test_a_file_of_bad_rows_that_cannot_be_written_is_told(sirene):
    write(GOOD, sirene.folder / "stock.csv")
    done = sirene("inspect", "stock.csv", "--bad-rows", "no/bad.csv")
    assert (done.code, done.err) == (1, "error: cannot write `no/bad.csv`: no such file or directory\n")


@pytest.mark.parametrize("how", ["bad row hidden", "another row hidden", "unit hidden", "bad unit hidden"])
def test_who_is_hidden_is_hidden_also_when_a_row_is_damaged(sirene, how):
    """A damaged row hides whoever it is of, and its text is in no file when another row hides its person."""
    open_row = row(1, enseigne1="ZZQXVJENSEIGNE", dateDernierTraitement="2026-10-31")
    lines = text([open_row, row(2)]).split("\n")[:-1]
    units = text([unit(1), unit(2)]).split("\n")[:-1]
    damaged = text([open_row]).split("\n")[1] + ",ZZQXVJ"
    if how == "bad row hidden":
        damaged = text([hidden(open_row, statutDiffusion="P")]).split("\n")[1] + ",ZZQXVJ"
    elif how == "another row hidden":
        lines.append(text([hidden(open_row, activitePrincipale="43.29A")]).split("\n")[1])
    elif how == "unit hidden":
        units[1] = text([unit(1, statutDiffusion="P")]).split("\n")[1]
    else:
        units[1] = text([unit(1, statutDiffusion="P")]).split("\n")[1] + ",ZZQXVJ"
    (sirene.folder / "stock.csv").write_text("\n".join([*lines, damaged, ""]))
    (sirene.folder / "units.csv").write_text("\n".join([*units, ""]))
    done = sirene(
        "batch", "--naf", "6201Z", "--input", "stock.csv", "--unite-legale", "units.csv", "--bad-rows", "bad.csv", "--output-dir", "out"
    )  # fmt: skip
    assert done.code == 0, done.err
    assert pl.read_parquet(sirene.folder / "out" / "naf_6201Z" / "dataset.parquet")["siret"].to_list() == [siret(2)]
    assert holding(sirene.folder / "out") == []
    assert "ZZQXVJ" not in (sirene.folder / "bad.csv").read_text()
