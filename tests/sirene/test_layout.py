"""Files are recognised by their columns, in every layout that users have."""

import pytest

from joblot import JoblotError
from joblot_sirene.errors import LayoutError
from joblot_sirene.register.layout import (
    COLUMNS,
    ESTABLISHMENT_LAYOUTS,
    GEO_COLUMNS,
    HISTORY_COLUMNS,
    UNIT_COLUMNS,
    UNIT_LAYOUTS,
    recognise,
)


def test_the_canonical_columns_are_those_of_the_schema():
    assert len(COLUMNS) == 54
    assert len(UNIT_COLUMNS) == 35
    assert list(COLUMNS)[:4] == ["siren", "nic", "siret", "statutDiffusionEtablissement"]
    assert list(COLUMNS)[-1] == "activitePrincipaleNAF25Etablissement"
    assert list(UNIT_COLUMNS)[-2:] == ["caractereEmployeurUniteLegale", "activitePrincipaleNAF25UniteLegale"]
    assert COLUMNS["coordonneeLambertAbscisseEtablissement"] == "text"
    assert (COLUMNS["dateDebut"], COLUMNS["etablissementSiege"], COLUMNS["dateDernierTraitementEtablissement"]) == (
        "date",
        "boolean",
        "timestamp",
    )


@pytest.mark.parametrize("count", [48, 53, 54])
def test_every_establishment_layout_is_read_and_names_what_is_missing(count):
    layout = recognise(ESTABLISHMENT_LAYOUTS[count])
    assert layout.kind == "establishment"
    assert layout.confidence == 1.0
    assert len(layout.missing) == 54 - count
    assert ("activitePrincipaleNAF25Etablissement" in layout.missing) == (count < 54)
    assert layout.extra == ()


@pytest.mark.parametrize("count", [33, 34, 35])
def test_every_unit_layout_is_read(count):
    layout = recognise(UNIT_LAYOUTS[count], expected="unit")
    assert (layout.kind, len(layout.missing), layout.confidence) == ("unit", 35 - count, 1.0)


def test_lower_case_names_and_a_byte_order_mark_mean_the_same():
    names = ["\ufeff" + name.lower() if name == "siren" else name.lower() for name in COLUMNS]
    layout = recognise(names)
    assert layout.missing == ()
    assert layout.canonical["\ufeffsiren"] == "siren"
    assert layout.canonical["activiteprincipaleetablissement"] == "activitePrincipaleEtablissement"


def test_the_order_of_columns_does_not_matter():
    assert recognise(sorted(COLUMNS)).canonical == recognise(tuple(COLUMNS)).canonical


def test_geo_sirene_is_an_establishment_file_with_more_columns():
    layout = recognise([*ESTABLISHMENT_LAYOUTS[48], *GEO_COLUMNS])
    assert layout.extra == GEO_COLUMNS[2:]
    assert layout.describe() == "establishments, 48 of 54 columns, geocoded"


def test_an_export_of_both_files_keeps_the_columns_of_the_unit():
    layout = recognise([*ESTABLISHMENT_LAYOUTS[48], "denominationUniteLegale", "categorieJuridiqueUniteLegale"])
    assert layout.kind == "establishment"
    assert layout.unit == ("denominationUniteLegale", "categorieJuridiqueUniteLegale")
    assert layout.extra == ()


def test_few_columns_are_enough_when_they_are_the_needed_ones():
    layout = recognise(["siret", "etatAdministratifEtablissement", "activitePrincipaleEtablissement"])
    assert layout.kind == "establishment"
    assert layout.confidence < 0.1


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "b"], "the columns are not those of a stock file of the register: `a`, `b`"),
        ([], "the columns are not those of a stock file of the register: there are none"),
        (["siret", "etatAdministratifEtablissement"], "the file has `siret` but not `activitePrincipaleEtablissement`"),
        (
            ["SIREN", "NIC", "APET700"],
            "the columns are those of a stock file in the layout before 2019, which is not read here",
        ),
        (
            ["siren", "sirenDoublon", "dateDernierTraitementDoublon"],
            "the columns are those of the list of duplicates (StockDoublons), which is not read here",
        ),
        (
            [
                "siret",
                "dateFin",
                "etatAdministratifEtablissement",
                "changementEtatAdministratifEtablissement",
                "activitePrincipaleEtablissement",
            ],
            "the columns are those of the history of establishments (StockEtablissementHistorique), which is not read here",
        ),
        (
            ["siret", "Siret", "etatAdministratifEtablissement", "activitePrincipaleEtablissement"],
            "the column `siret` is there twice, as `siret` and as `Siret`",
        ),
    ],
)
def test_a_foreign_file_is_one_clear_error(names, message):
    with pytest.raises(LayoutError) as caught:
        recognise(names)
    assert caught.value.message == message
    assert isinstance(caught.value, JoblotError)
    assert caught.value.hint


def test_the_other_file_of_the_pair_is_named():
    with pytest.raises(LayoutError, match="the columns are those of StockUniteLegale, not of StockEtablissement"):
        recognise(tuple(UNIT_COLUMNS), expected="establishment")


HISTORY = (
    "the columns are those of the history of establishments (StockEtablissementHistorique), which is not read here"
)


@pytest.mark.parametrize("expected", [None, "history"])
def test_a_history_is_a_kind_of_its_own(expected):
    layout = recognise(tuple(HISTORY_COLUMNS), expected=expected)
    assert (layout.kind, layout.missing, layout.extra, layout.confidence) == ("history", (), (), 1.0)
    assert layout.describe() == "periods of establishments, 18 of 18 columns"
    assert list(HISTORY_COLUMNS)[:5] == ["siren", "nic", "siret", "dateFin", "dateDebut"]
    assert HISTORY_COLUMNS["changementEtatAdministratifEtablissement"] == "boolean"


@pytest.mark.parametrize("expected", ["establishment", "unit"])
def test_a_history_is_never_taken_for_another_file(expected):
    with pytest.raises(LayoutError) as caught:
        recognise(tuple(HISTORY_COLUMNS), expected=expected)
    assert caught.value.message == HISTORY
    file = "StockUniteLegale" if expected == "unit" else "StockEtablissement"
    assert caught.value.hint.endswith(file)


@pytest.mark.parametrize(
    ("names", "message", "hint"),
    [
        (
            tuple(COLUMNS),
            "the columns are those of StockEtablissement, not of StockEtablissementHistorique",
            "give the file StockEtablissementHistorique",
        ),
        (
            [name for name in HISTORY_COLUMNS if name != "dateDebut"],
            "the file has `siret` but not `dateDebut`",
            "export it again from StockEtablissementHistorique with these columns",
        ),
        (
            ["siren", "dateDebut", "changementEtatAdministratifUniteLegale"],
            "the columns are those of the history of legal units (StockUniteLegaleHistorique), which is not read here",
            "give the file StockEtablissementHistorique",
        ),
    ],
)
def test_what_is_given_in_place_of_a_history_is_named(names, message, hint):
    with pytest.raises(LayoutError) as caught:
        recognise(names, expected="history")
    assert (caught.value.message, caught.value.hint) == (message, hint)
