"""What each step does to the rows of a dataset."""

import datetime as dt
import json
import re

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from joblot_sirene.register import identifiers as numbers
from joblot_sirene.register.privacy import MASK, Policy
from joblot_sirene.steps import (
    checks,
    comparison,
    coordinates,
    duplicates,
    identifiers,
    labels,
    likeness,
    model,
    normalise,
    parameters,
    score,
    units,
)
from joblot_sirene.steps.model import COLUMNS, Inputs

SPACES = "\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""What Unicode calls white space, as a set of a regular expression."""
TODAY = dt.date(2026, 11, 20)
INPUTS = Inputs(today=TODAY)

RAW = {
    "siren": "732829320",
    "siret": "73282932000074",
    "statutDiffusionEtablissement": "O",
    "dateCreationEtablissement": dt.date(2010, 11, 21),
    "trancheEffectifsEtablissement": "11",
    "dateDernierTraitementEtablissement": dt.datetime(2026, 3, 1, 10, 0),
    "etablissementSiege": True,
    "numeroVoieEtablissement": "12",
    "indiceRepetitionEtablissement": "B",
    "typeVoieEtablissement": "AV",
    "libelleVoieEtablissement": "DE  L\u2019ABBAYE ",
    "codePostalEtablissement": "75008",
    "libelleCommuneEtablissement": "PARIS 8",
    "codeCommuneEtablissement": "75108",
    "etatAdministratifEtablissement": "A",
    "dateDebut": dt.date(2020, 1, 1),
    "activitePrincipaleEtablissement": "6920z",
    "nomenclatureActivitePrincipaleEtablissement": "NAFRev2",
    "activitePrincipaleNAF25Etablissement": "69.20Y",
    "caractereEmployeurEtablissement": "O",
}
UNIT = {
    "siren": "732829320",
    "denominationUniteLegale": "ATELIER DES ORMES",
    "categorieJuridiqueUniteLegale": "5710",
    "categorieEntreprise": "PME",
}


def frame(*changes, **base):
    rows = [{**RAW, **base, **change} for change in changes or ({},)]
    kinds = {
        "dateCreationEtablissement": pl.Date,
        "dateDebut": pl.Date,
        "dateDernierTraitementEtablissement": pl.Datetime("us"),
        "etablissementSiege": pl.Boolean,
    }
    return pl.DataFrame(rows, schema={name: kinds.get(name, pl.String) for row in rows for name in row})


def normalised(*changes, policy=Policy(), **base):  # noqa: B008
    return normalise.run(frame(*changes, **base), parameters.Normalise(), Inputs(today=TODAY, policy=policy)).frame


def first(*changes, **base):
    return normalised(*changes, **base).row(0, named=True)


class TestNormalise:
    def test_columns_are_those_of_the_dictionary_in_order(self):
        made = normalised()
        assert made.columns == [name for name in COLUMNS if name in made.columns]
        assert [entry["name"] for entry in model.dictionary(made)] == made.columns
        assert all(entry["meaning"] for entry in model.dictionary(made))  # R92

    def test_the_address_is_one_line_with_words_in_full(self):
        row = first()
        assert row["adresse"] == "12 BIS AVENUE DE L'ABBAYE"
        assert (row["code_postal"], row["departement"], row["region"]) == ("75008", "75", "Île-de-France")

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            ({"numeroVoieEtablissement": None, "indiceRepetitionEtablissement": None}, "AVENUE DE L'ABBAYE"),
            ({"typeVoieEtablissement": "RUE", "indiceRepetitionEtablissement": ""}, "12 RUE DE L'ABBAYE"),
            ({"libelleVoieEtablissement": MASK}, MASK),
            (
                dict.fromkeys(
                    [
                        "numeroVoieEtablissement",
                        "indiceRepetitionEtablissement",
                        "typeVoieEtablissement",
                        "libelleVoieEtablissement",
                    ]
                ),
                None,
            ),
        ],
    )
    def test_parts_that_are_missing_leave_no_trace(self, change, expected):
        assert first(change)["adresse"] == expected

    @given(
        st.lists(
            st.none()
            | st.text(st.sampled_from("A\u00c9 \t\u00a0\u2009'\u2019\x1f"), max_size=6)
            | st.text(st.characters(codec="utf-8"), max_size=5),
            max_size=6,
        )
    )
    def test_texts_are_tidied_as_one_by_one(self, texts):
        """All texts of a column are looked at together: what stands next to a text must not matter."""

        def tidy(text):
            words = re.sub(rf"[{SPACES}]+", " ", text.replace("\u2019", "'")).strip(" ")
            return words or None

        made = normalise.run(
            frame(*({"libelleCommuneEtablissement": text} for text in texts)), parameters.Normalise(), INPUTS
        )
        expected = [None if text is None else tidy(text) for text in texts] or [RAW["libelleCommuneEtablissement"]]
        assert made.frame["commune"].to_list() == expected

    def test_codes_get_their_dot_and_upper_case(self):
        assert (first()["naf"], first()["naf_2025"]) == ("69.20Z", "69.20Y")
        assert first(activitePrincipaleEtablissement="52.4Y")["naf"] == "52.4Y"

    def test_the_day_nobody_knows_is_empty_and_counted(self):
        outcome = normalise.run(
            frame({"dateCreationEtablissement": dt.date(1900, 1, 1)}, {}), parameters.Normalise(), INPUTS
        )
        assert outcome.frame["date_creation"].to_list() == [None, dt.date(2010, 11, 21)]
        assert outcome.facts["unknown_creation"] == 1

    @pytest.mark.parametrize(
        ("unit", "policy", "name"),
        [
            ({"denominationUniteLegale": "ATELIER", "sigleUniteLegale": "AT"}, Policy(), "ATELIER"),
            ({"denominationUniteLegale": None, "sigleUniteLegale": "AT"}, Policy(), "AT"),
            ({"nomUniteLegale": "DULAIDEC", "prenomUsuelUniteLegale": "CLEO"}, Policy(), None),
            (
                {"nomUniteLegale": "DULAIDEC", "prenomUsuelUniteLegale": "CLEO"},
                Policy(person_names=True),
                "CLEO DULAIDEC",
            ),
            (
                {"nomUniteLegale": "DULAIDEC", "nomUsageUniteLegale": "PELLOVARD", "prenom1UniteLegale": "CLEO"},
                Policy(person_names=True),
                "CLEO PELLOVARD",
            ),
            ({"nomUniteLegale": MASK, "prenomUsuelUniteLegale": "CLEO"}, Policy(person_names=True), MASK),
        ],
    )
    def test_the_name_is_the_companys_and_a_persons_only_on_request(self, unit, policy, name):
        assert normalised(unit, policy=policy).row(0, named=True)["raison_sociale"] == name

    def test_the_sign_is_preferred_to_the_usual_name_and_the_companys(self):
        named = {
            "denominationUniteLegale": "ATELIER",
            "denominationUsuelleEtablissement": "USUAL",
            "enseigne1Etablissement": "SIGN",
        }
        assert first(named)["enseigne"] == "SIGN"
        assert first({**named, "enseigne1Etablissement": None})["enseigne"] == "USUAL"
        assert (
            first({**named, "enseigne1Etablissement": None, "denominationUsuelleEtablissement": ""})["enseigne"]
            == "ATELIER"
        )

    def test_r78_lost_zeros_come_back_with_a_flag(self):
        outcome = normalise.run(frame({"siret": "32517500016", "siren": "325175"}, {}), parameters.Normalise(), INPUTS)
        assert outcome.frame.select("siret", "siren", "numero_repare").rows() == [
            ("00032517500016", "000325175", True),
            ("73282932000074", "732829320", False),
        ]
        assert outcome.warnings == ("1 numbers had lost their zeros and were mended: see the column `numero_repare`",)
        left = normalise.run(
            frame({"siret": "32517500016", "codePostalEtablissement": "1000"}),
            parameters.Normalise(repair=False),
            INPUTS,
        )
        assert left.frame["siret"].to_list() == ["32517500016"]
        assert left.frame["code_postal"].to_list() == ["1000"]

    def test_r78_codes_of_places_get_their_zeros_back_too(self):
        place = {"codeCommuneEtablissement": "1004", "codePostalEtablissement": "1500.0"}
        abroad = {**place, "libellePaysEtrangerEtablissement": "SUISSE", "codeCommuneEtablissement": None}
        outcome = normalise.run(
            frame(place, {}, {**place, "siren": "73282932"}, abroad), parameters.Normalise(), INPUTS
        )
        assert outcome.frame.select("code_commune", "code_postal", "departement", "numero_repare").rows() == [
            ("01004", "01500", "01", True),
            ("75108", "75008", "75", False),
            ("01004", "01500", "01", True),
            (None, "1500.0", None, False),
        ]
        assert outcome.warnings == ("2 numbers had lost their zeros and were mended: see the column `numero_repare`",)

    def test_a_file_with_few_columns_gives_a_dataset_with_empty_ones(self):
        few = frame().select("siret", "siren", "statutDiffusionEtablissement")
        made = normalise.run(few, parameters.Normalise(), INPUTS).frame
        assert made["adresse"].to_list() == [None]
        assert made.columns == normalised().columns

    def test_no_rows_are_a_dataset_without_rows(self):
        made = normalise.run(frame().head(0), parameters.Normalise(), INPUTS).frame
        assert made.height == 0
        assert made.schema == normalised().schema

    def test_abroad_and_overseas(self):
        abroad = {
            "codeCommuneEtablissement": None,
            "codePostalEtablissement": None,
            "libelleCommuneEtablissement": None,
        }
        row = first(
            {**abroad, "libelleCommuneEtrangerEtablissement": "BERNE", "libellePaysEtrangerEtablissement": "SUISSE"}
        )
        assert (row["commune"], row["pays"], row["departement"], row["region"]) == ("BERNE", "SUISSE", None, None)
        assert first(codeCommuneEtablissement="97411", codePostalEtablissement="97400")["region"] == "La Réunion"


class TestUnits:
    def test_the_columns_of_the_unit_stand_beside_its_establishments(self):
        outcome = units.run(
            frame({}, {"siren": "000325175"}), parameters.Units(), Inputs(today=TODAY, units=pl.DataFrame([UNIT]))
        )
        assert outcome.frame["denominationUniteLegale"].to_list() == ["ATELIER DES ORMES", None]
        assert outcome.facts == {"joined": True, "rows_without_unit": 1, "rows_of_repeated_units": 0}
        assert outcome.warnings == ("1 rows have no legal unit in the file given: is it of the same month?",)

    def test_a_unit_that_is_there_twice_does_not_double_rows(self):
        assert (
            units.run(frame(), parameters.Units(), Inputs(today=TODAY, units=pl.DataFrame([UNIT, UNIT]))).frame.height
            == 1
        )

    @pytest.mark.parametrize(
        ("row", "unit"),
        [
            ({"siren": "325175"}, "000325175"),
            ({"siren": "000 325 175"}, "000325175"),
            ({"siren": "325175.0"}, "000325175"),
            ({"siren": "000325175"}, "325175"),
            ({"siren": None, "siret": "00032517500016"}, "000325175"),
            ({"siren": None, "siret": "32517500016"}, "000325175"),
            ({"siren": "not known", "siret": "00032517500016"}, "000325175"),
        ],
    )
    def test_a_unit_hides_its_establishments_whatever_a_spreadsheet_did_to_the_numbers(self, row, unit):
        hidden = {**UNIT, "siren": unit, "statutDiffusionUniteLegale": "P"}
        outcome = units.run(frame(row), parameters.Units(), Inputs(today=TODAY, units=pl.DataFrame([hidden])))
        assert outcome.frame["statutDiffusionUniteLegale"].to_list() == ["P"]
        assert outcome.frame["siren"].to_list() == [row["siren"]]  # mended, with a flag, in a later step

    @pytest.mark.parametrize("statuses", [("O", "P"), ("P", "O"), ("O", "O", "N"), (None, "P")])
    def test_of_a_unit_that_is_there_twice_the_status_that_hides_it_counts(self, statuses):
        twice = pl.DataFrame([{**UNIT, "statutDiffusionUniteLegale": status} for status in statuses])
        outcome = units.run(frame(), parameters.Units(), Inputs(today=TODAY, units=twice))
        assert outcome.frame["statutDiffusionUniteLegale"].item() in {"P", "N"}

    def test_without_a_file_a_profile_may_warn(self):
        assert units.run(frame(), parameters.Units(), INPUTS).warnings == ()
        [warning] = units.run(frame(), parameters.Units(required=True), INPUTS).warnings
        assert (
            warning
            == "no file of legal units: names, legal forms and categories are empty (give it with `--unite-legale`)"
        )


class TestIdentifiers:
    def test_numbers_are_flagged_and_counted(self):
        made = identifiers.run(normalised({}, {"siret": "73282932000075"}), parameters.Identifiers(), INPUTS)
        assert made.frame["siret_valide"].to_list() == [True, False]
        assert made.facts == {"invalid_siren": 0, "invalid_siret": 1}
        assert made.frame["tva"].to_list() == ["FR44732829320"] * 2

    def test_no_vat_number_when_it_is_not_asked_for(self):
        assert "tva" not in identifiers.run(normalised(), parameters.Identifiers(vat=False), INPUTS).frame.columns


class TestDuplicates:
    def test_r89_a_row_glued_in_twice_is_dropped_and_reported(self):
        outcome = duplicates.run(normalised({}, {}, {"numeroVoieEtablissement": "14"}), parameters.Duplicates(), INPUTS)
        assert outcome.frame.height == 1
        assert outcome.facts == {"keys": ["siret"], "repeats": 2, "dropped": 2, "repeats_that_differ": 1}
        assert outcome.warnings == ("1 repeated rows differ from the first one, which is kept",)

    def test_r89_establishments_of_one_unit_are_never_taken_out(self):
        rows = normalised({}, {"siret": "73282932000082"})
        assert duplicates.run(rows, parameters.Duplicates(), INPUTS).frame.height == 2
        flagged = duplicates.run(rows, parameters.Duplicates(keys=("siren",)), INPUTS)
        assert flagged.frame["repetition"].to_list() == [1, 2]
        assert flagged.facts["dropped"] == 0

    def test_rows_without_a_key_are_nobodys_repeat(self):
        assert (
            duplicates.run(normalised({"siret": None}, {"siret": None}), parameters.Duplicates(), INPUTS).frame.height
            == 2
        )

    def test_keys_must_be_columns(self):
        with pytest.raises(ValueError, match="`keys` must name columns of the dataset, not `telephone`"):
            parameters.Duplicates(keys=("siret", "telephone"))

    def test_r89_likenesses_are_flagged_never_deleted(self):
        rows = normalised(
            {"siret": "1", "enseigne1Etablissement": "ATELIER DES ORMES"},
            {"siret": "2", "enseigne1Etablissement": "DES ORMES ATELIER"},
            {"siret": "3", "enseigne1Etablissement": "GARAGE DU PONT"},
            {"siret": "4", "enseigne1Etablissement": "ATELIER DES ORMES", "codeCommuneEtablissement": "35238"},
            {"siret": "5", "enseigne1Etablissement": MASK},
            {"siret": "6", "enseigne1Etablissement": "ATELIER DES ORMES", "libelleVoieEtablissement": "DU PORT"},
        )
        outcome = likeness.run(rows, parameters.Likeness(), INPUTS)
        assert outcome.frame["siret"].to_list() == rows["siret"].to_list()
        assert outcome.frame["groupe_doublons"].to_list() == ["1", "1", None, None, None, None]
        assert outcome.frame["similarite"].to_list()[:2] == [100.0, 100.0]
        assert outcome.facts == {"rows_compared": 5, "rows_alike": 2, "groups": 1, "rows_not_compared": 0}

    def test_likeness_goes_through_others(self):
        rows = normalised(*({"siret": str(n), "enseigne1Etablissement": "ATELIER DES ORMES"} for n in range(4)))
        assert set(likeness.run(rows, parameters.Likeness(), INPUTS).frame["groupe_doublons"]) == {"0"}

    def test_nothing_alike_is_a_column_without_values(self):
        found = likeness.run(normalised(), parameters.Likeness(), INPUTS).frame
        assert found.schema["groupe_doublons"] == pl.String
        assert found["groupe_doublons"].to_list() == [None]


def test_labels_stand_beside_codes():
    made = labels.run(normalised(categorieJuridiqueUniteLegale="5710"), parameters.Labels(), INPUTS)
    row = made.frame.row(0, named=True)
    assert row["naf_libelle"] == "Activités comptables"
    assert row["naf_2025_libelle"].startswith("Activités de comptabilité")
    assert (row["section"], row["section_libelle"]) == ("M", "Activités spécialisées, scientifiques et techniques")
    assert row["forme_juridique_libelle"] == "Société par actions simplifiée"
    assert (row["effectifs_libelle"], row["departement_nom"]) == ("10 à 19 salariés", "Paris")
    assert row["age_annees"] == 15  # the birthday is tomorrow
    assert made.facts == {"codes_without_label": 0, "absurd_creations": 0}


@pytest.mark.parametrize(
    ("code", "nomenclature", "section", "older"),
    [
        ("43.29A", "NAFRev2", "F", 0),
        ("43.29A", None, "F", 0),
        ("43.29A", "NAF1993", None, 1),
        ("43.29A", "NAFRev1", None, 1),
        ("43.29A", "NAP", None, 1),
        ("43.29A", "NACE", None, 0),
        ("43.29A", "NAF2025", None, 0),
        ("62.10Y", "NAF2025", "K", 0),
        ("62.10Y", "NAFRev2", None, 0),
    ],
)
def test_a_label_is_of_the_list_of_its_row(code, nomenclature, section, older):
    names = {"activitePrincipaleEtablissement": code, "nomenclatureActivitePrincipaleEtablissement": nomenclature}
    made = labels.run(normalised(names), parameters.Labels(), INPUTS)
    row = made.frame.row(0, named=True)
    assert (row["naf"], row["section"]) == (code, section)
    assert (row["naf_libelle"] is None) == (row["section_libelle"] is None) == (section is None)
    issues = checks.run(made.frame, parameters.Checks(), INPUTS).facts["issues"]
    assert sum(issue["count"] for issue in issues if issue["key"] == "activity_of_older_list") == older


class TestChecks:
    def test_r91_issues_are_counted_with_examples(self):
        rows = normalised(
            {},
            {
                "siret": "2",
                "numeroVoieEtablissement": None,
                "libelleVoieEtablissement": None,
                "typeVoieEtablissement": None,
                "indiceRepetitionEtablissement": None,
            },
        )
        facts = checks.run(rows, parameters.Checks(), INPUTS).facts
        issues = {issue["key"]: (issue["count"], issue["examples"]) for issue in facts["issues"]}
        assert issues["address_missing"] == (1, ["2"])
        assert issues["name_missing"][0] == 2
        assert "siret_invalid" not in issues  # this profile did not check them
        json.dumps(facts)

    @pytest.mark.parametrize(("target", "verdict"), [(0.5, "pass"), (0.52, "warn"), (0.9, "fail")])
    def test_r91_targets_get_a_verdict(self, target, verdict):
        rows = normalised({}, {"trancheEffectifsEtablissement": "NN"})
        outcome = checks.run(rows, parameters.Checks(kpi_targets={"known_headcount": target}), INPUTS)
        assert outcome.facts["kpis"] == [{"key": "known_headcount", "target": target, "value": 0.5, "verdict": verdict}]
        assert outcome.facts["verdict"] == verdict
        assert len(outcome.warnings) == (verdict != "pass")

    def test_what_cannot_be_counted_is_never_a_pass(self):
        assert (
            checks.run(normalised(), parameters.Checks(kpi_targets={"distinct": 0.1}), INPUTS).facts["verdict"]
            == "warn"
        )

    def test_too_few_rows_fail(self):
        assert checks.run(normalised(), parameters.Checks(minimum_rows=2), INPUTS).facts["verdict"] == "fail"

    def test_targets_must_mean_something(self):
        with pytest.raises(ValueError, match="`emails` is not something to set a target for"):
            parameters.Checks(kpi_targets={"emails": 0.5})
        with pytest.raises(ValueError, match="the target of `with_name` must be a share from 0 to 1, not 95"):
            parameters.Checks(kpi_targets={"with_name": 95})


class TestScore:
    def test_r90_the_score_is_in_the_dataset_and_varies(self):
        rows = normalised(
            {"enseigne1Etablissement": "SIGN"},
            {"siret": "2", "codePostalEtablissement": None, "dateDernierTraitementEtablissement": None},
        )
        outcome = score.run(rows, parameters.Score(), INPUTS)
        full, poor = outcome.frame["score"].to_list()
        assert 80 < full <= 100
        assert poor < full - 40
        assert set(outcome.facts) >= {"rows", "mean", "p50", "p90", "weights", "note"}

    def test_r90_weights_decide(self):
        rows = normalised(
            {
                "libelleVoieEtablissement": None,
                "typeVoieEtablissement": None,
                "numeroVoieEtablissement": None,
                "indiceRepetitionEtablissement": None,
            }
        )
        only = score.run(rows, parameters.Score(contactability=1, unicity=0, completeness=0, freshness=0), INPUTS)
        assert only.frame["score"].to_list() == [0.0]
        fresh = score.run(rows, parameters.Score(contactability=0, unicity=0, completeness=0, freshness=3), INPUTS)
        assert fresh.frame["score"].to_list() == [100.0]

    def test_a_row_with_everything_has_all_points(self):
        rows = normalised({"enseigne1Etablissement": "SIGN", **UNIT})
        assert score.run(rows, parameters.Score(), INPUTS).frame["score"].to_list() == [100.0]

    def test_weights_must_be_weights(self):
        with pytest.raises(ValueError, match="weights must be 0 or more"):
            parameters.Score(contactability=0, unicity=0, completeness=0, freshness=0)

    def test_no_rows_have_no_mean(self):
        assert score.run(normalised().head(0), parameters.Score(), INPUTS).facts["mean"] is None


PARIS = {"coordonneeLambertAbscisseEtablissement": "652469.02", "coordonneeLambertOrdonneeEtablissement": "6862035.26"}
REUNION = {
    "coordonneeLambertAbscisseEtablissement": "338000",
    "coordonneeLambertOrdonneeEtablissement": "7692000",
    "codeCommuneEtablissement": "97411",
}


class TestCoordinates:
    def test_places_are_projected_and_counted(self):
        rows = normalised(PARIS, REUNION, {}, {**PARIS, "codeCommuneEtablissement": "2A004"})
        outcome = coordinates.run(rows, parameters.Coordinates(), INPUTS)
        assert outcome.frame["longitude"].to_list()[0] == pytest.approx(2.3522, abs=1e-4)
        assert 55 < outcome.frame["longitude"].to_list()[1] < 56
        assert outcome.frame["hors_territoire"].to_list() == [False, False, False, True]
        assert (outcome.facts["located"], outcome.facts["outside_territory"]) == (2, 1)
        assert outcome.facts["by_department"] == {"75": 2, "2A": 1, "974": 1}

    def test_the_bulk_is_the_reference(self):
        rows = normalised(
            *(
                {
                    "coordonneeLambertAbscisseEtablissement": x,
                    "coordonneeLambertOrdonneeEtablissement": y,
                    "codeCommuneEtablissement": c,
                }
                for x in ("652469.02", "0", MASK, None, "x", "1200000.5")
                for y in ("6862035.26", "6100000", "-3")
                for c in ("75108", "2B033", "97411", "98727", None)
            )
        )
        found = coordinates.run(rows, parameters.Coordinates(decimals=9), INPUTS).frame
        for row in found.iter_rows(named=True):
            place, outside = numbers.coordinates(row["x"], row["y"], row["departement"])
            assert row["hors_territoire"] == outside
            assert (row["longitude"], row["latitude"]) == (
                (None, None) if place is None else pytest.approx(tuple(place), abs=1e-6)
            )

    def test_geojson_holds_the_located_rows(self):
        made = coordinates.run(normalised(PARIS, {}), parameters.Coordinates(), INPUTS).frame
        features = json.loads("".join(coordinates.geojson(made)))["features"]
        assert [feature["properties"]["siret"] for feature in features] == ["73282932000074"]
        assert json.loads("".join(coordinates.geojson(made.head(0))))["features"] == []


class TestComparison:
    def test_every_row_says_how_it_changed(self):
        before = normalised(
            {"siret": "1"},
            {"siret": "2"},
            {"siret": "3"},
            {"siret": "4"},
            {"siret": "5"},
            {"siret": "6", "etatAdministratifEtablissement": "F"},
        )
        now = normalised(
            {"siret": "1"},
            {"siret": "2", "libelleVoieEtablissement": "DU PORT"},
            {"siret": "3", "activitePrincipaleEtablissement": "69.10Z"},
            {"siret": "4", "etatAdministratifEtablissement": "F"},
            {"siret": "6"},
            {"siret": "7"},
        )
        outcome = comparison.run(now, parameters.Comparison(), Inputs(today=TODAY, earlier=before))
        assert outcome.frame["evolution"].to_list() == [
            "inchange",
            "demenage",
            "naf_change",
            "ferme",
            "rouvert",
            "nouveau",
        ]
        assert (outcome.facts["gone"], outcome.facts["gone_sirets"]) == (1, ["5"])
        assert outcome.frame.columns == [*now.columns, "evolution"]

    def test_another_list_is_no_other_activity(self):
        before, now = (
            normalised(),
            normalised(activitePrincipaleEtablissement="69.20Y", nomenclatureActivitePrincipaleEtablissement="NAF2025"),
        )
        assert comparison.run(now, parameters.Comparison(), Inputs(today=TODAY, earlier=before)).frame[
            "evolution"
        ].to_list() == ["inchange"]

    def test_nothing_to_compare_with_is_said(self):
        assert comparison.run(normalised(), parameters.Comparison(required=True), INPUTS).warnings == (
            "no earlier dataset to compare with",
        )
        other = Inputs(today=TODAY, earlier=pl.DataFrame({"siret": ["1"]}))
        assert comparison.run(normalised(), parameters.Comparison(), other).warnings == (
            "the earlier dataset has no column `adresse`: nothing was compared",
        )
