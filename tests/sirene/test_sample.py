"""Synthetic stock files look like the register's, and nobody is in them."""

import hashlib
import zipfile

import polars as pl
import pytest

from joblot_sirene.register import expressions, identifiers, naf
from joblot_sirene.register.layout import COLUMNS, ESTABLISHMENT_LAYOUTS, HISTORY_COLUMNS, UNIT_COLUMNS, recognise
from joblot_sirene.register.privacy import MASK, MASKED_COLUMNS
from joblot_sirene.stock.source import open_source
from joblot_sirene.synthetic.periods import ABSURD_DATES
from joblot_sirene.synthetic.sample import establishments, history, legal_units, write_sample

ROWS = 30_000


@pytest.fixture(scope="module")
def stock():
    return establishments(ROWS, seed=7)


@pytest.fixture(scope="module")
def units():
    return legal_units(ROWS, seed=7)


@pytest.fixture(scope="module")
def periods():
    return history(ROWS, seed=7)


def share(frame, expression):
    return frame.select(expression.fill_null(value=False).mean()).item()


def test_columns_and_order_are_the_registers(stock, units):
    assert stock.columns == list(COLUMNS)
    assert units.columns == list(UNIT_COLUMNS)
    assert stock["siret"].is_sorted()
    assert stock["siret"].n_unique() == stock.height == ROWS


def test_numbers_are_valid_and_belong_together(stock):
    assert stock.select(
        expressions.siret_valid(pl.col("siret")).all() & expressions.siren_valid(pl.col("siren")).all()
    ).item()
    assert (stock["siret"] == stock["siren"] + stock["nic"]).all()
    post = stock.filter(pl.col("siren") == "356000000")
    assert post["siret"][0] == "35600000000048"
    assert all(identifiers.siret_valid(siret) for siret in post["siret"])


def test_the_skew_is_the_registers(stock):
    state = pl.col("etatAdministratifEtablissement") == "A"
    assert share(stock, state) == pytest.approx(0.381, abs=0.02)
    assert share(stock, state & (pl.col("caractereEmployeurEtablissement") == "O")) == pytest.approx(0.056, abs=0.01)
    assert share(stock, pl.col("statutDiffusionEtablissement") == "P") == pytest.approx(0.237, abs=0.02)
    assert share(stock, pl.col("trancheEffectifsEtablissement") == "NN") == pytest.approx(0.943, abs=0.01)
    assert 0.15 < share(stock, pl.col("numeroVoieEtablissement").is_null()) < 0.35
    assert 0.005 < share(stock, pl.col("dateCreationEtablissement").dt.year() == 1900) < 0.04


def test_old_lists_stand_in_closed_rows_only(stock):
    old = stock.filter(pl.col("nomenclatureActivitePrincipaleEtablissement").is_in(["NAF1993", "NAFRev1", "NAP"]))
    assert old.height > 1000
    assert set(old["etatAdministratifEtablissement"]) == {"F"}
    assert old["activitePrincipaleEtablissement"].str.contains(r"^\d\d\.\d[A-Z]$|^\d\d\.\d\d$").all()
    active = stock.filter(pl.col("etatAdministratifEtablissement") == "A")
    assert active["activitePrincipaleEtablissement"].is_in(list(naf.labels(naf.REV2))).all()
    assert active["activitePrincipaleNAF25Etablissement"].is_in(list(naf.labels(naf.NAF25))).all()


def test_hidden_rows_are_masked_as_irregularly_as_in_the_register(stock):
    hidden = stock.filter(pl.col("statutDiffusionEtablissement") == "P")
    assert (hidden["libelleVoieEtablissement"] == MASK).all()
    assert hidden["codeCommuneEtablissement"].null_count() < hidden.height / 100
    forgotten = hidden.filter(pl.col("enseigne1Etablissement").is_null() | (pl.col("enseigne1Etablissement") != MASK))
    assert 0 < forgotten.height < hidden.height * 0.03
    shown = stock.filter(pl.col("statutDiffusionEtablissement") == "O")
    assert all((shown[name] != MASK).all() for name in MASKED_COLUMNS & set(COLUMNS))


def test_traps_are_there(stock):
    assert {"2A", "2B", "974", "987"} <= {
        identifiers.department(code) for code in stock["codeCommuneEtablissement"].unique().drop_nulls()
    }
    assert stock.filter(pl.col("libelleCommuneEtablissement") == "RUE").height > 0
    assert (
        stock.filter(
            pl.col("codePaysEtrangerEtablissement").is_not_null() & pl.col("codeCommuneEtablissement").is_null()
        ).height
        > 0
    )
    assert stock["siren"].str.starts_with("000").any()
    assert stock["denominationUsuelleEtablissement"].str.contains(",").any()
    assert stock["enseigne1Etablissement"].str.contains('"').any()


def test_coordinates_lie_in_their_department(stock):
    names = (
        "coordonneeLambertAbscisseEtablissement",
        "coordonneeLambertOrdonneeEtablissement",
        "codeCommuneEtablissement",
    )
    for x, y, commune in stock.select(names).unique(maintain_order=True).head(5000).rows():
        assert not identifiers.coordinates(x, y, identifiers.department(commune))[1]


def test_units_are_those_of_the_establishments(stock, units):
    assert set(stock["siren"]) <= set(units["siren"])
    heads = stock.filter("etablissementSiege").join(units, on="siren")
    assert (heads["nic"] == heads["nicSiegeUniteLegale"]).all()
    assert (heads["statutDiffusionEtablissement"] == heads["statutDiffusionUniteLegale"]).all()
    persons = units["categorieJuridiqueUniteLegale"] == "1000"
    assert persons.mean() == pytest.approx(0.564, abs=0.02)
    assert (
        units.filter(persons)["denominationUniteLegale"].is_in([MASK]).sum()
        == units.filter(persons)["denominationUniteLegale"].count()
    )
    assert units.filter(pl.col("siren") == "356000000")["denominationUniteLegale"].to_list() == ["LA POSTE"]


@pytest.mark.parametrize("suffix", ["csv", "zip", "parquet"])
@pytest.mark.parametrize("layout", [48, 53, 54])
def test_every_format_and_layout_holds_the_same_rows(tmp_path, suffix, layout):
    path = tmp_path / f"stock.{suffix}"
    written = write_sample(path, 500, 3, layout=layout, units=tmp_path / f"units.{suffix}")
    assert (written.rows, written.units) == (500, 345)
    frame = _read(path)
    assert frame.columns == list(ESTABLISHMENT_LAYOUTS[layout])
    assert recognise(frame.columns).missing == tuple(name for name in COLUMNS if name not in frame.columns)
    assert recognise(_read(tmp_path / f"units.{suffix}").columns).kind == "unit"
    expected = (
        establishments(500, 3).select("siret", "libelleVoieEtablissement", "enseigne1Etablissement").cast(pl.String)
    )
    assert frame.select(expected.columns).equals(expected)


def _read(path):
    if path.suffix == ".parquet":
        return pl.read_parquet(path)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            return pl.read_csv(archive.read(archive.namelist()[0]), infer_schema=False)
    return pl.read_csv(path, infer_schema=False)


def test_dates_and_booleans_in_csv_are_spelt_as_the_register_does(tmp_path):
    write_sample(tmp_path / "a.csv", 50)
    row = _read(tmp_path / "a.csv").row(0, named=True)
    assert row["etablissementSiege"] == "true"
    assert len(row["dateDernierTraitementEtablissement"]) == len("2024-03-29T10:02:01")


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(tmp_path):
    def digest(name, seed):
        write_sample(tmp_path / name, 400, seed)
        return hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()

    assert digest("a.csv", 1) == digest("b.csv", 1) != digest("c.csv", 2)
    assert digest("a.zip", 1) == digest("b.zip", 1)


def test_repeats_stand_at_the_end(tmp_path):
    assert write_sample(tmp_path / "a.csv", 100, duplicates=0.1).rows == 110
    frame = _read(tmp_path / "a.csv")
    assert frame["siret"].n_unique() == 100
    assert frame[100:].equals(frame[:10])


def test_the_history_fits_its_establishments(stock, periods):
    assert periods.columns == list(HISTORY_COLUMNS)
    assert periods["siret"].is_sorted()
    counts = periods.group_by("siret", maintain_order=True).len()
    assert counts["siret"].equals(stock["siret"])
    assert counts["len"].cast(pl.Int64).equals(stock["nombrePeriodesEtablissement"].alias("len"))
    now = periods.unique("siret", keep="first", maintain_order=True)
    assert now["dateFin"].null_count() == ROWS
    for name in ("dateDebut", "etatAdministratifEtablissement", "enseigne1Etablissement"):
        assert now[name].equals(stock[name])


def test_a_history_has_openings_closings_pauses_and_the_absurd_dates(periods):
    assert set(ABSURD_DATES) <= set(periods["dateDebut"])
    absurd = pl.col("dateDebut").is_in(ABSURD_DATES)
    assert 0 < periods.filter(absurd).height < ROWS / 100
    assert periods.filter(~absurd & (pl.col("dateFin") < pl.col("dateDebut"))).is_empty()
    changed = pl.col("changementEtatAdministratifEtablissement")
    assert 0 < periods.filter(changed & (pl.col("etatAdministratifEtablissement") == "A")).height < ROWS / 20
    newest = periods.unique("siret", keep="first", maintain_order=True)
    assert set(newest.filter(changed)["etatAdministratifEtablissement"]) == {"F"}


@pytest.mark.parametrize("suffix", ["csv", "zip", "parquet"])
def test_a_history_is_opened_where_one_is_expected(tmp_path, suffix):
    paths = [tmp_path / f"{name}.{suffix}" for name in ("stock", "history")]
    write_sample(paths[0], 500, 3, history=paths[1], duplicates=0.1)
    source = open_source(paths[1], expected="history")
    assert source.columns == list(HISTORY_COLUMNS)
    assert source.layout.kind == "history"
    read = pl.concat(source.batches(list(HISTORY_COLUMNS), 100))
    assert read.equals(history(500, 3))
    assert not source.unreadable


def test_impossible_wishes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="rows must be 1 or more"):
        write_sample(tmp_path / "a.csv", 0)
    with pytest.raises(ValueError, match=r"`a\.xlsx` ends in none of"):
        write_sample(tmp_path / "a.xlsx", 1)
