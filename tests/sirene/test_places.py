"""Where a place is: address, department, coordinates, the territory of French VAT; and how old it is."""

import json

import polars as pl
import pytest

from joblot_sirene.register import identifiers
from joblot_sirene.register.identifiers import NEW_CALEDONIA, Cone, coordinates, lambert93, lambert_cone
from joblot_sirene.register.layout import COLUMNS, ESTABLISHMENT_LAYOUTS, GEO_COLUMNS
from joblot_sirene.steps import comparison
from joblot_sirene.stock.prepare import prepare
from sirene.stock import place, write_places

NAMES = tuple(COLUMNS)
MASK = "privacy: {partial_diffusion: mask}\nscoring: {weights: {contactability: 0}}\n"


@pytest.fixture
def build(sirene):
    """Build one dataset from rows: its rows, its warnings, its folder."""

    def run(rows, *, profile="quick", file="stock.csv", names=NAMES, more="", filters=""):
        write_places(sirene.folder / file, rows, names)
        job = f"niche: own\nprofile: {profile}\nfilters: {{naf_include: [6201Z], active_only: false{filters}}}\n{more}"
        (sirene.folder / "job.yaml").write_text(job)
        done = sirene("batch", "job.yaml", "--input", file, "--output-dir", "out", "--rebuild", "--json")
        assert done.code == 0, done.out
        folder = sirene.folder / "out" / "own"
        return pl.read_parquet(folder / "dataset.parquet"), done.json["results"][0]["warnings"], folder

    return run


# --- departments ------------------------------------------------------------------------------------

DEPARTMENTS = {
    ("[ND]", "[ND]"): None, ("[ND]", "75009"): "75", ("AB123", "75009"): "75", ("ABCDE", "75009"): "75",
    ("00000", "75009"): "75", ("96001", "33000"): "33", ("96001", "96000"): None, ("20004", "20000"): "2A",
    ("20033", "20200"): "2B", ("2a004", "20000"): "2A", ("2b033", ""): "2B", ("2C004", "20200"): "2B", ("", "20190"): "2A",
    ("97901", "97400"): "974", ("98501", ""): None, ("", "98000"): None, ("", "97133"): "977", ("1004", "1000"): "01",
    ("98901", ""): "989", (" 35238 ", ""): "35", ("", "00123"): None, ("7511X", "75011"): "75", ("99138", "75011"): None,
}  # fmt: skip


@pytest.mark.parametrize("file", ["stock.csv", "stock.parquet"])
def test_departments_are_those_of_the_list_and_filters_take_what_the_column_says(build, file):
    rows = [place(n, codeCommune=commune, codePostal=post) for n, (commune, post) in enumerate(DEPARTMENTS)]
    rows.append(place(99, codeCommune="", codePostal="10115", libellePaysEtranger="ALLEMAGNE"))
    table, _, _ = build(rows, file=file)
    assert dict(zip(DEPARTMENTS, table["departement"], strict=False)) == DEPARTMENTS
    assert table["departement"][-1] is None
    assert table.filter(pl.col("departement") == "2A")["region"].unique().to_list() == ["Corse"]
    assert table.filter(pl.col("departement").is_null())["region"].null_count() == table["departement"].null_count()
    for chosen in ("2A", "10"):
        some, _, _ = build(rows, file=file, filters=f", departments: ['{chosen}']")
        assert some["siret"].to_list() == table.filter(pl.col("departement") == chosen)["siret"].to_list()


def test_one_row_and_a_column_give_the_same_departments():
    for (commune, post), expected in DEPARTMENTS.items():
        assert identifiers.department(commune.strip() or None, post or None) == expected


# --- VAT, numbers of zeros --------------------------------------------------------------------------

VAT = {
    ("75111", "75011"): True, ("", "75011"): True, ("97105", "97100"): True, ("97209", ""): True, ("97411", ""): True,
    ("2A004", "20000"): True, ("97302", "97300"): False, ("", "97300"): False, ("97611", ""): False, ("", "97600"): False,
    ("97502", "97500"): False, ("97701", "97133"): False, ("", "97133"): False, ("97801", ""): False, ("", "97150"): False,
    ("98611", ""): False, ("98735", "98714"): False, ("98818", "98800"): False, ("99138", "98000"): False, ("", "98000"): False,
    ("", ""): False,
}  # fmt: skip


def test_vat_numbers_are_given_only_where_french_vat_is_due(build):
    rows = [place(n, codeCommune=commune, codePostal=post) for n, (commune, post) in enumerate(VAT)]
    rows.append(place(98, codeCommune="75111", libellePaysEtranger="BELGIQUE"))
    table, _, _ = build(rows, profile="standard")
    assert [number is not None for number in table["tva"]] == [*VAT.values(), False]
    first = table.row(0, named=True)
    assert first["tva"] == f"FR{(12 + 3 * (int(first['siren']) % 97)) % 97:02d}{first['siren']}"


def test_numbers_of_zeros_are_nobodys(build):
    zeros = ["00000000000000", "00000000000018", "00000000012344"]
    rows = [place(n, siren="000000000", siret=siret) for n, siret in enumerate(zeros)]
    table, told, _ = build([*rows, place(9)], profile="standard")
    assert table["siren_valide"].to_list() == table["siret_valide"].to_list() == [False, False, False, True]
    assert table["tva"].null_count() == 3
    assert "3 SIRET numbers fail their check: see the column `siret_valide`" in told
    assert not any(identifiers.siret_valid(siret) for siret in zeros)
    assert not identifiers.siren_valid("000000000")


# --- ages -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["stock.csv", "stock.parquet"])
def test_ages_are_those_of_creations_that_can_be(build, file):
    ages = {
        "2027-03-01": None, "2026-11-02": None, "0001-01-01": None, "0199-05-05": None, "2925-01-01": None, "1799-12-31": None,
        "1800-01-01": 226, "1899-12-31": 126, "1900-01-01": None, "2026-11-01": 0, "2025-11-02": 0, "2025-11-01": 1,
        "2015-06-01": 11, "": None,
    }  # fmt: skip
    table, told, folder = build([place(n, dateCreation=day) for n, day in enumerate(ages)], profile="deep", file=file)
    assert dict(zip(ages, table["age_annees"], strict=True)) == ages
    assert "4 dates of creation are absurd, before 1800 or long after the stock: they give no age" in told
    assert "4 dates de création sont absurdes" in (folder / "report.html").read_text()


# --- addresses --------------------------------------------------------------------------------------

ADDRESSES = [
    (("12", "", "14", ""), "12-14 RUE DES LILAS"),
    (("12", "", "14", "T"), "12-14 TER RUE DES LILAS"),
    (("12", "B", "14", "T"), "12 BIS-14 TER RUE DES LILAS"),
    (("12", "b", "", ""), "12 BIS RUE DES LILAS"),
    (("12", "", "12", ""), "12 RUE DES LILAS"),
    (("12", "B", "12", "B"), "12 BIS RUE DES LILAS"),
    (("12", "T", "12", ""), "12 TER RUE DES LILAS"),
    (("12", "", "12", "B"), "12-12 BIS RUE DES LILAS"),
    (("", "", "14", ""), "14 RUE DES LILAS"),
    (("", "", "", ""), "RUE DES LILAS"),
    (("[ND]", "", "14", ""), "[ND]"),
]


@pytest.mark.parametrize("file", ["stock.csv", "stock.parquet"])
def test_an_address_says_the_whole_range_of_numbers(build, sirene, file):
    keys = ("numeroVoie", "indiceRepetition", "dernierNumeroVoie", "indiceRepetitionDernierNumeroVoie")
    rows = [place(n, **dict(zip(keys, cells, strict=True))) for n, (cells, _) in enumerate(ADDRESSES)]
    table, _, _ = build(rows, file=file)
    assert table["adresse"].to_list() == [address for _, address in ADDRESSES]
    prepare(sirene.folder / file)
    assert build(rows, file=file)[0].equals(table)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("12 RUE DES LILAS", "12-14 TER RUE DES LILAS"),
        ("12 BIS RUE DES LILAS", "12 BIS-14 RUE DES LILAS"),
        ("12 B rue des Lilas", "12 BIS-14 A RUE DES LILAS"),
        ("12-14 RUE DES LILAS", "12-16 RUE DES LILAS"),
    ],
)
def test_another_spelling_of_a_range_is_the_same_address(before, now):
    assert comparison._plain(before) == comparison._plain(now)
    assert comparison._plain("14 RUE DES LILAS") != comparison._plain(now)


def test_cedex_is_in_the_complement_and_files_of_48_columns_have_it_too(build):
    cedex = {"codeCedex": "75555", "libelleCedex": "PARIS CEDEX 11"}
    rows = [place(1, **cedex), place(2, distributionSpeciale="BP 12", complementAdresse="BAT A", **cedex), place(3)]
    for width in (48, 53, 54):
        table, _, _ = build(rows, names=ESTABLISHMENT_LAYOUTS[width])
        assert table["complement_adresse"].to_list() == [
            "75555 PARIS CEDEX 11",
            "BAT A, BP 12, 75555 PARIS CEDEX 11",
            None,
        ]


def test_of_a_hidden_row_neither_the_last_number_nor_cedex_nor_a_coordinate_is_shown(build):
    geo = dict(
        zip(
            GEO_COLUMNS,
            ("2.777", "48.777", "0.9", "housenumber", "ZZQXVJGEO", "ZZQXVJID", "ZZQXVJL", "ZZQXVJ4", "ZZQXVJ5"),
            strict=True,
        )
    )
    hidden = place(
        1, statutDiffusion="P", dernierNumeroVoie="7714", codeCedex="77555", libelleCedex="ZZQXVJCEDEX", **geo
    )
    shown = place(2, **(geo | {"longitude": "2.333", "latitude": "48.333"}))
    names = (*NAMES, *GEO_COLUMNS)
    for profile, more in (("deep", ""), ("deep", MASK), ("quick", MASK)):
        table, _, folder = build([hidden, shown], names=names, profile=profile, more=more)
        assert table.height == (2 if more else 1)
        assert table["longitude"].to_list()[-1] == 2.333
        for path in folder.rglob("*"):
            if path.is_file():
                content = path.read_bytes()
                assert not any(text in content for text in (b"7714", b"77555", b"ZZQXVJ", b"2.777", b"48.777"))


# --- coordinates ------------------------------------------------------------------------------------


def test_a_cone_with_the_parallels_of_lambert_93_is_lambert_93():
    france = Cone(44, 49, 46.5, 3, 700_000, 6_600_000)
    for x, y in ((654_000.5, 6_862_000.5), (100_000, 6_200_000), (1_200_000, 7_000_000)):
        assert lambert_cone(x, y, france) == pytest.approx(lambert93(x, y), abs=1e-8)
    assert lambert_cone(400_000, 300_000, NEW_CALEDONIA) == pytest.approx((166, -21.5))


@pytest.mark.parametrize(
    ("department", "x", "y", "longitude", "latitude"),
    [
        ("975", "563359.64", "5181210.98", -56.170, 46.781),
        ("975", "563359,64", "5181210,98", -56.170, 46.781),
        ("986", "586500", "8530000", -176.2, -13.3),
        ("988", "446950", "214050", 166.456, -22.276),
        ("974", "338000", "7692000", 55.44, -20.87),
        ("75", "654000,5", " 6862000,5 ", 2.373, 48.856),
    ],
)
def test_places_lie_in_their_territory(department, x, y, longitude, latitude):
    point, outside = coordinates(x, y, department)
    assert not outside
    assert point == pytest.approx((longitude, latitude), abs=0.02)


@pytest.mark.parametrize("department", ["984", "987", "989"])
def test_of_territories_in_several_zones_nothing_is_said(department):
    assert coordinates("654000", "8050000", department) == (None, False)


@pytest.mark.parametrize("department", ["975", "986", "988", "971", "75", "2A"])
def test_what_lies_elsewhere_is_flagged(department):
    assert coordinates("10", "10", department) == (None, True)


def test_coordinates_in_a_dataset(build):
    places = [
        ("97502", "563359.64", "5181210.98"), ("98735", "232000", "8055000"), ("75111", "654000,5", "6862000,5"),
        ("75111", "10", "10"), ("75111", "[ND]", "[ND]"), ("75111", "x", "6862000.5"), ("98818", "1", "1"),
    ]  # fmt: skip
    rows = [
        place(n, codeCommune=commune, codePostal="", coordonneeLambertAbscisse=x, coordonneeLambertOrdonnee=y)
        for n, (commune, x, y) in enumerate(places)
    ]
    table, told, folder = build(rows, profile="deep")
    assert table["hors_territoire"].to_list() == [False, False, False, True, False, False, True]
    assert [longitude is not None for longitude in table["longitude"]] == [
        True,
        False,
        True,
        False,
        False,
        False,
        False,
    ]
    assert "1 coordinates are no numbers: these rows have no place" in told
    assert "1 coordonnées ne sont pas des nombres" in (folder / "report.html").read_text()


@pytest.mark.parametrize(("file", "width"), [("stock.csv", 48), ("stock.parquet", 54)])
def test_the_degrees_of_geo_sirene_files_are_taken(build, file, width):
    names = (*ESTABLISHMENT_LAYOUTS[width], *GEO_COLUMNS)
    lambert = {"coordonneeLambertAbscisse": "654000.5", "coordonneeLambertOrdonnee": "6862000.5"}
    rows = [
        place(1, longitude="2.3", latitude="48.85"),
        place(2, longitude="2,31", latitude="48,85", **lambert),
        place(3, longitude="", latitude="", **lambert),
        place(4, longitude="-61.5", latitude="16.2"),
        place(5, longitude="-61.5", latitude="16.2", codeCommune="97105"),
        place(6, longitude="-149.57", latitude="-17.54", codeCommune="98735"),
    ]
    table, _, folder = build(rows, file=file, names=names, profile="deep")
    projected = [] if width == 48 else [2.37308]
    assert table["longitude"].to_list() == [2.3, 2.31, *(projected or [None]), None, -61.5, -149.57]
    assert table["hors_territoire"].to_list() == [False, False, False, True, False, False]
    features = json.loads((folder / "places.geojson").read_text())["features"]
    assert len(features) == 4 + len(projected)
    assert build(rows, file=file, names=names)[0]["longitude"].null_count() == 1  # the quick profile has them as well
