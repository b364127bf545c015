"""What other hands make of the register's codes and dates is read where it has one meaning, and told where nobody understands it."""

import json

import polars as pl
import pytest

from joblot_sirene.register import spellings
from joblot_sirene.register.code_lists import HEADCOUNTS
from joblot_sirene.register.layout import COLUMNS, ESTABLISHMENT_LAYOUTS
from joblot_sirene.steps.parameters import NO_UNITS
from joblot_sirene.stock.prepare import prepare
from joblot_sirene.stock.source import open_source
from sirene.stock import place, write_places

NAMES = tuple(COLUMNS)


@pytest.fixture
def build(sirene):
    """Build one dataset from rows: its result, its rows by column, its warnings but that there are no legal units."""

    def run(rows, *, file="stock.csv", names=NAMES, filters="", words=(), code="6201Z"):
        write_places(sirene.folder / file, rows, names)
        (sirene.folder / "job.yaml").write_text(
            f"niche: own\nfilters: {{naf_include: ['{code}'], {filters or 'active_only: false'}}}\n"
        )
        done = sirene("batch", "job.yaml", "--input", file, "--output-dir", "out", "--rebuild", "--json", *words)
        [result] = done.json["results"]
        table = sirene.folder / "out" / "own" / "dataset.parquet"
        rows = pl.read_parquet(table) if result["status"] == "SUCCESS" else None
        return result, rows, [text for text in result.get("warnings", []) if text != NO_UNITS]

    return run


# --- activities -------------------------------------------------------------------------------------

SPELT = ["6201Z", "62.01z", "6201z", " 62.01Z ", " 6201Z", "6201 Z", "62 01 Z", "62-01Z", "62,01Z"]
LISTS = ["NAFREV2", "nafrev2", "NAF rev. 2", "NAFRév2", "NAF Rev 2", "NAF2008", " NAFRev2 "]
OLDER = ["NAFRev1", "nafrev1", "NAF rev. 1", "NAF1993", "naf 1993", "NAP", "nap"]


@pytest.mark.parametrize("file", ["stock.csv", "stock.parquet", "stock.zip"])
def test_activities_in_any_spelling_match_and_codes_of_older_lists_in_none(build, file):
    rows = [place(n, activitePrincipale=code) for n, code in enumerate(SPELT)]
    rows += [place(20 + n, nomenclatureActivitePrincipale=name) for n, name in enumerate(LISTS)]
    rows += [place(40 + n, nomenclatureActivitePrincipale=name) for n, name in enumerate(OLDER)]
    rows += [place(60, activitePrincipale="52.4Y", nomenclatureActivitePrincipale="NAF1993")]
    _, table, told = build(rows, file=file)
    assert table["siret"].to_list() == [row["siret"] for row in rows[: len(SPELT) + len(LISTS)]]
    assert set(table["naf"]) == {"62.01Z"}
    assert set(table["nomenclature"]) == {"NAFRev2"}
    assert told == []


@pytest.mark.parametrize("code", ["J", "62.0", "6201Z"])
def test_codes_of_every_level_match_other_spellings_also_in_the_sorted_copy(build, sirene, code):
    rows = [place(n, activitePrincipale=spelt) for n, spelt in enumerate([*SPELT, "56.10A", "5610a"])]
    _, table, _ = build(rows, file="stock.parquet", code=code)
    assert table.height == len(SPELT)
    prepare(sirene.folder / "stock.parquet")
    _, copied, _ = build(rows, file="stock.parquet", code=code)
    assert copied.equals(table)


@pytest.mark.parametrize("file", ["stock.csv", "stock.parquet"])
def test_naf_2025_in_any_spelling(build, file):
    spelt = ["62.10Y", "6210Y", "62.10y", " 6210y"]
    rows = [place(n, activitePrincipaleNAF25=code) for n, code in enumerate(spelt)]
    rows += [
        place(20 + n, activitePrincipale="6210y", nomenclatureActivitePrincipale=name, activitePrincipaleNAF25="")
        for n, name in enumerate(["NAF2025", "NAF 2025", "NAF25", "naf2025"])
    ]
    _, table, told = build([*rows, place(40, activitePrincipaleNAF25="62.20Y")], file=file, code="6210Y")
    assert table["siret"].to_list() == [row["siret"] for row in rows]
    assert told == []


@pytest.mark.parametrize("file", ["stock.csv", "stock.parquet"])
def test_what_is_excluded_is_excluded_in_any_spelling(build, file):
    rows = [place(n, activitePrincipale=code) for n, code in enumerate(["62.02A", "6202A", "62.02a", "6203Z"])]
    _, table, _ = build(rows, file=file, code="62", filters="naf_exclude: ['6202A']")
    assert table["naf"].to_list() == ["62.03Z"]


def test_a_late_row_in_another_spelling_is_found_where_the_first_ones_are_tidy(tmp_path):
    """What the beginning of a large file does not show is learnt from the rows that are counted."""
    from joblot_sirene.register import naf
    from joblot_sirene.stock import source as module
    from joblot_sirene.stock.routing import RowRequest
    from joblot_sirene.stock.scan import scan

    rows = [place(n) for n in range(6)] + [place(6, activitePrincipale="6201z"), place(7, etatAdministratif="Actif")]
    rows += [place(8, nomenclatureActivitePrincipale="NAF rev. 2"), place(9, activitePrincipale="62.01 Z")]
    path = write_places(tmp_path / "stock.parquet", rows)
    opened = open_source(path)
    assert isinstance(opened, module.ParquetSource)
    opened._is_probed = True  # as if all of these rows came after those that are looked at first
    got = []
    scan(
        opened,
        [RowRequest("one", naf.matching_rules(naf.parse_code("6201Z")), pl.col(spellings.STATE) == "A")],
        columns=["siret", spellings.STATE],
        build=lambda _request, found: found.frame()["siret"].to_list(),
        on_done=lambda _request, sirets: got.extend(sirets),
        folder=tmp_path,
        tally=[spellings.STATE],
    )
    assert got == [row["siret"] for row in rows]


@pytest.mark.parametrize("file", ["stock.csv", "stock.parquet"])
def test_a_list_of_activities_that_nobody_knows_is_told_or_refused(build, file):
    rows = [place(1), place(2, nomenclatureActivitePrincipale="NACE"), place(3, nomenclatureActivitePrincipale="NACE")]
    _, table, told = build(rows, file=file)
    assert table.height == 1
    assert told == ["2 values of `nomenclatureActivitePrincipaleEtablissement` are not understood: `NACE` (2)"]
    result, _, _ = build(rows[1:], file=file)
    assert (result["status"], result["error"]) == (
        "FAILED",
        (
            "no row is left: 2 values of `nomenclatureActivitePrincipaleEtablissement` are not understood: `NACE` (2); "
            "the register writes `NAFRev2` or `NAF2025`"
        ),
    )


@pytest.mark.parametrize("file", ["stock.csv", "stock.parquet"])
def test_codes_that_are_none_are_told_or_refused(build, file):
    codes = ["9.9.9.9", "informatique", "62.1", "6201", "9.9.9.9", "620.1.1", "52-4Y", "72. 2a"]
    wrong = [place(n, activitePrincipale=code, activitePrincipaleNAF25="") for n, code in enumerate(codes)]
    result, _, _ = build(wrong, file=file)
    assert result["status"] == "FAILED"
    assert result["error"] == (
        "no row is left: 4 values of `activitePrincipaleEtablissement` are not understood: `9.9.9.9` (2), `620.1.1` (1); "
        "the register writes codes such as `62.01Z`"
    )
    _, table, told = build([*wrong, place(99)], file=file)
    assert table.height == 1
    assert told == ["4 values of `activitePrincipaleEtablissement` are not understood: `9.9.9.9` (2), `620.1.1` (1)"]


# --- NAF 2025 that a file does not have ---------------------------------------------------------------

NONE = (
    "the file has no activities of NAF 2025, so `{}` cannot be looked for: take a stock of 16 December 2025 or later, "
    "which has 54 columns, or a code of NAF rev. 2"
)


@pytest.mark.parametrize(
    ("file", "width", "code"),
    [
        ("stock.csv", 48, "6210Y"),
        ("stock.csv", 53, "9999Y"),
        ("stock.parquet", 48, "6210Y"),
        ("stock.zip", 53, "6210Y"),
    ],
)
def test_a_code_of_naf_2025_asked_of_a_file_without_is_refused(build, file, width, code):
    result, _, _ = build([place(1)], file=file, names=ESTABLISHMENT_LAYOUTS[width], code=code)
    assert (result["status"], result["error"]) == ("FAILED", NONE.format(code))


@pytest.mark.parametrize("code", ["62.1", "K"])
def test_a_level_of_naf_2025_asked_of_a_file_without_is_refused(sirene, code):
    write_places(sirene.folder / "stock.csv", [place(1)], ESTABLISHMENT_LAYOUTS[53])
    words = ("--nomenclature", "2025", "--input", "stock.csv", "--output-dir", "out", "--json")
    done = sirene("batch", "--naf", code, *words)
    name = code.replace(".", "")
    assert (done.code, done.json["results"][0]["error"]) == (1, NONE.format(name))


def test_a_column_of_naf_2025_that_is_empty_is_as_good_as_none(build):
    result, _, _ = build([place(1, activitePrincipaleNAF25="")], code="6210Y")
    assert result["error"] == NONE.format("6210Y")


def test_among_several_codes_the_one_that_cannot_be_answered_is_refused_also_when_it_is_excluded(build):
    names = ESTABLISHMENT_LAYOUTS[53]
    for filters in ("', '6210Y", "'], naf_exclude: ['6210Y"):
        result, _, _ = build([place(1)], names=names, code=f"6201Z{filters}")
        assert result["error"] == NONE.format("6210Y")


@pytest.mark.parametrize("width", [48, 53])
def test_a_file_whose_main_column_holds_naf_2025_is_answered(build, width):
    rows = [place(1, activitePrincipale="62.10Y", nomenclatureActivitePrincipale="NAF2025")]
    names = ESTABLISHMENT_LAYOUTS[width]
    assert build(rows, names=names, code="6210Y")[1].height == 1
    result, table, told = build(rows, names=names, code="6220Y")  # a list that is there, a code that is not
    assert (result["status"], table.height) == ("SUCCESS", 0)
    assert told == ["no row has the code `6220Y`: nearest in the file: `62.10Y`"]
    result, _, _ = build(rows, names=names)
    assert result["error"] == (
        "the file has no activities of NAF rev. 2, so `6201Z` cannot be looked for: take a stock from before 2027, "
        "or a code of NAF 2025"
    )


# --- states, employers, head offices, headcounts ------------------------------------------------------


READ = {
    "etatAdministratif": ("etat", {"Actif": "A", "actif ": "A", "ACTIVE": "A", "a": "A", "Fermé": "F", "FERME": "F", "f": "F"}),
    "caractereEmployeur": ("employeur", {"Oui": "O", "oui": "O", "true": "O", "o": "O", "Non": "N", "NON": "N", "n": "N"}),
    "etablissementSiege": ("siege", {"Oui": True, "O": True, "1.0": True, "vrai": True, "non": False, "N": False, "0": False}),
    "trancheEffectifs": (
        "tranche_effectifs",
        {
            "10 à 19 salariés": "11", "1 ou 2 salariés": "01", "1 000 à 1 999 salariés": "42", "10 000 salariés et plus": "53",
            "Etablissement non employeur": "NN", "nn": "NN", "Aucun salarié ou effectif inconnu": "NN", "0 salarié (mais employeur dans l'année)": "00", "0 salarié": "00", "0": "00", "1": "01", "1.0": "01", "3": "03",
            "11.0": "11", " 53 ": "53", "53,0": "53",
        },
    ),
}  # fmt: skip
FILTERS = {
    "etatAdministratif": ("active_only: true", {"A"}),
    "caractereEmployeur": ("employers_only: true", {"O"}),
    "etablissementSiege": ("head_office_only: true", {True}),
    "trancheEffectifs": ("headcount: {min: 1, max: 19}", {"01", "03", "11"}),
}


@pytest.mark.parametrize("file", ["stock.csv", "stock.parquet"])
@pytest.mark.parametrize("column", READ)
def test_values_of_exports_are_those_of_the_register(build, file, column):
    name, meant = READ[column]
    rows = [place(n, **{column: cell}) for n, cell in enumerate(meant)]
    _, table, told = build(rows, file=file)
    assert dict(zip(meant, table[name], strict=True)) == meant
    assert told == []
    chosen, values = FILTERS[column]
    _, table, told = build(rows, file=file, filters=chosen)
    assert table["siret"].to_list() == [
        row["siret"] for row, value in zip(rows, meant.values(), strict=True) if value in values
    ]
    assert told == []


def test_whole_numbers_of_a_table_are_bands_too(sirene):
    for number, kind in ((1, pl.Int64), (1.0, pl.Float64)):
        frame = pl.DataFrame([place(1)]).with_columns(pl.lit(number, kind).alias("trancheEffectifsEtablissement"))
        frame.write_parquet(sirene.folder / "stock.parquet")
        sirene("batch", "--naf", "6201Z", "--input", "stock.parquet", "--output-dir", "out", "--profile", "standard")
        table = pl.read_parquet(sirene.folder / "out" / "naf_6201Z" / "dataset.parquet")
        assert table.select("tranche_effectifs", "effectifs_libelle").rows() == [("01", "1 ou 2 salariés")]


def test_every_label_of_a_band_is_read_as_the_band():
    for band, (_, _, label) in HEADCOUNTS.items():
        if band != "NN":
            assert spellings.headcount(label) == band
            assert spellings.headcount(band) == band
    assert [spellings.headcount(text) for text in ("99", "10", "4", "1 à 9 salariés", "dix", "[ND]")] == [None] * 6


@pytest.mark.parametrize(
    ("file", "column", "cell", "filters", "expected"),
    [
        ("stock.csv", "etatAdministratif", "Ouvert", "", "`A` or `F`"),
        ("stock.parquet", "etatAdministratif", "C", "", "`A` or `F`"),
        ("stock.csv", "caractereEmployeur", "peut-être", ", employers_only: true", "`O` or `N`"),
        ("stock.parquet", "etablissementSiege", "siège", ", head_office_only: true", "`true` or `false`"),
        ("stock.csv", "trancheEffectifs", "99", ", headcount: [11]", "the bands `NN`, `00` to `53`"),
        ("stock.parquet", "dateCreation", "03/02/2021", ", created: {from: 2020}", "dates such as `2015-06-01`"),
    ],
)
def test_values_of_none_are_told_and_refused_where_they_leave_nothing(sirene, file, column, cell, filters, expected):
    rows = [
        place(1, **{column: cell}),
        place(2, caractereEmployeur="O", trancheEffectifs="11", dateCreation="2021-01-01"),
    ]
    (sirene.folder / "job.yaml").write_text(f"niche: own\nfilters: {{naf_include: [6201Z]{filters}}}\n")
    words = ("batch", "job.yaml", "--input", file, "--output-dir", "out", "--rebuild", "--json")
    name = column if column in COLUMNS else f"{column}Etablissement"
    told = f"1 value of `{name}` is not understood: `{cell}` (1)"
    write_places(sirene.folder / file, rows)
    [result] = sirene(*words).json["results"]
    assert (result["rows"], told in result["warnings"]) == (1, True)
    manifest = json.loads((sirene.folder / "out" / "own" / "manifest.json").read_text())
    assert told in manifest["warnings"]
    assert manifest["left_out"]["closed"] == 0
    assert manifest["source"]["unreadable_values"] == {name: 1}
    write_places(sirene.folder / file, rows[:1])
    [result] = sirene(*words).json["results"]
    assert (result["status"], result["error"]) == ("FAILED", f"no row is left: {told}; the register writes {expected}")


def test_only_the_datasets_whose_rows_have_them_are_warned(sirene):
    write_places(sirene.folder / "stock.csv", [place(1), place(2, activitePrincipale="56.10A", dateCreation="x")])
    done = sirene("batch", "--naf", "6201Z", "--naf", "5610A", "--input", "stock.csv", "--output-dir", "out", "--json")
    one, two = done.json["results"]
    assert one["warnings"] == [NO_UNITS]
    assert two["warnings"] == [NO_UNITS, "1 value of `dateCreationEtablissement` is not understood: `x` (1)"]


def test_nothing_of_a_row_that_may_not_be_shown_is_an_example(build):
    hidden = {
        "statutDiffusion": "P",
        "dateCreation": "ZZQXVJSECRET",
        "trancheEffectifs": "ZZQXVJSECRET",
        "etatAdministratif": "ZZQXVJSECRET",
    }
    rows = [place(1), place(2, **hidden), place(3, statutDiffusion="ZZQXVJSECRET"), place(4, dateCreation="x")]
    _, _, told = build(rows)
    assert told == [
        "1 value of `etatAdministratifEtablissement` is not understood",
        "1 value of `statutDiffusionEtablissement` is not understood",
        "1 value of `trancheEffectifsEtablissement` is not understood",
        "2 values of `dateCreationEtablissement` are not understood: `x` (1)",
    ]


# --- dates ------------------------------------------------------------------------------------------


DATES = {
    "dateCreation": (
        "date_creation",
        ["2015-13-45", "0000-00-00", "NULL", "01/06/2015", "2015-02-30"],
        ["20150601", "2015-06-01T00:00:00", " 2015-06-01 "],
    ),
    "dateDebut": ("date_debut", ["2015-13-45", "x", "2015-6-1"], []),
    "dateDernierTraitement": (
        "date_traitement",
        ["31/10/2026", "hier", "2026-10-32T00:00:00"],
        ["2026-10-31", "20261031", "2026-10-31 08:30:00", "2026-10-31T08:30:00.123"],
    ),
}


@pytest.mark.parametrize("file", ["stock.csv", "stock.parquet"])
def test_dates_that_cannot_be_read_are_told_by_column(build, file):
    cells = [(column, cell) for column, (_, wrong, read) in DATES.items() for cell in [*wrong, *read, "", "[ND]"]]
    _, table, warnings = build([place(n, **{column: cell}) for n, (column, cell) in enumerate(cells)], file=file)
    assert table.height == len(cells)
    assert [text.partition(":")[0] for text in warnings] == [
        f"{len(wrong)} values of `{column if column in COLUMNS else f'{column}Etablissement'}` are not understood"
        for column, (_, wrong, _) in DATES.items()
    ]
    for column, (shown, wrong, _) in DATES.items():
        unread = [
            cell for (name, cell), date in zip(cells, table[shown], strict=True) if name == column and date is None
        ]
        assert unread == [*wrong, "", "[ND]"]


def test_a_filter_by_date_does_not_hide_what_it_leaves_out(build):
    rows = [
        place(1),
        place(2, dateCreation="01/06/2015"),
        place(3, dateCreation="20150601"),
        place(4, dateCreation="1999-01-01"),
    ]
    _, table, told = build(rows, filters="created: {from: 2010}")
    assert table.height == 2
    assert told == ["1 value of `dateCreationEtablissement` is not understood: `01/06/2015` (1)"]


def test_the_sorted_copy_is_not_used_where_the_file_says_more(build, sirene):
    rows = [place(1), place(2, dateCreation="x")]
    write_places(sirene.folder / "stock.csv", rows)
    prepare(sirene.folder / "stock.csv")
    assert build(rows)[2] == ["1 value of `dateCreationEtablissement` is not understood: `x` (1)"]
