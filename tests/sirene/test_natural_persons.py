"""Names of natural persons are in no output unless a job asks for them, and it is said truly how many rows are theirs."""

import json

import polars as pl
import pytest

from sirene.files import holding, person, row, siret, unit, write

FORMS = ["1000", "1100", "1900", "2110", "2120", "2210", "2220", "2310", "2320", "2385"]
COMPANIES = ["2400", "2900", "3110", "5202", "5499", "5710", "7210", "9220"]


def batch(sirene, units, *words, stock=None, template=None):
    """The folder, the manifest and the rows of the dataset of two establishments with these units."""
    write(stock or [row(1), row(2)], sirene.folder / "stock.csv")
    write(units, sirene.folder / "units.csv")
    if template is not None:
        (sirene.folder / "own.yaml").write_text(
            f'niche: "{{niche_name}}"\nprofile: "{{profile}}"\nfilters: {{naf_include: ["{{naf_code}}"]{template}\n'
        )
        words = (*words, "--template", "own.yaml")
    done = sirene(
        "batch", "--naf", "6201Z", "--input", "stock.csv", "--unite-legale", "units.csv", "--output-dir", "out", *words
    )
    assert done.code == 0, done.err
    folder = sirene.folder / "out" / "naf_6201Z"
    return folder, json.loads((folder / "manifest.json").read_text()), pl.read_parquet(folder / "dataset.parquet")


def test_every_form_of_natural_persons_is_counted_and_their_names_left_out(sirene):
    units = [unit(n, categorieJuridique=form, denomination="ZZQXVJUN ET ZZQXVJDEUX") for n, form in enumerate(FORMS, 1)]
    units += [unit(n, categorieJuridique=form) for n, form in enumerate(COMPANIES, 50)]
    stock = [row(int(one["siren"][3:8])) for one in units]
    _, manifest, rows = batch(sirene, units, "--profile", "deep", stock=stock)
    rights = manifest["rights"]
    assert (rights["personal_data"], rights["rows_of_natural_persons"]) == (True, len(FORMS))
    assert rights["rows_of_unknown_legal_form"] == 0
    named = rows.filter(pl.col("raison_sociale").is_not_null())
    assert sorted(named["forme_juridique"]) == COMPANIES
    assert holding(sirene.folder / "out") == holding(sirene.folder / ".joblot") == []


NAMES = {
    "denomination": {"denomination": "ZZQXVJPRENOM ZZQXVJNOM EI"},
    "sigle": {"sigle": "ZZQXVJNOMSIGLE"},
    "denominationUsuelle1": {"denominationUsuelle1": "ZZQXVJUSUEL"},
    "denominationUsuelle3": {"denominationUsuelle3": "ZZQXVJUSUEL"},
    "pseudonyme": {"pseudonyme": "ZZQXVJPSEUDO"},
    "nomUsage": {"nomUsage": "ZZQXVJUSAGE"},
    "prenoms": {"prenom1": "ZZQXVJUN", "prenom2": "ZZQXVJDEUX"},
    "form of a spreadsheet": {"categorieJuridique": "1000.0", "denomination": "ZZQXVJNOM"},
    "form with spaces": {"categorieJuridique": " 1000", "denomination": "ZZQXVJNOM"},
}


@pytest.mark.parametrize("profile", ["quick", "deep"])
def test_no_name_of_a_person_is_shown_unasked(sirene, profile):
    units = [*(person(n, **cells) for n, cells in enumerate(NAMES.values(), 1)), unit(99, sigle="SIGLE")]
    stock = [*(row(n) for n in range(1, len(units))), row(99)]
    _, manifest, rows = batch(sirene, units, "--profile", profile, stock=stock)
    shown = dict(zip(NAMES, rows["raison_sociale"], strict=False))
    assert shown == dict.fromkeys(NAMES)
    assert rows["raison_sociale"].to_list()[len(NAMES) :] == ["SOCIETE 99"]
    assert manifest["rights"]["rows_of_natural_persons"] == len(NAMES)
    assert holding(sirene.folder / "out") == []


SIGNS = {
    "CHEZ ZZQXVJNOM": None,
    "zzqxvjnom & fils": None,
    "ZZQXVJPSEUDO": None,
    "BAR DES SPORTS": "BAR DES SPORTS",
    "LI": "LI",
}


@pytest.mark.parametrize("column", ["enseigne1", "denominationUsuelle"])
def test_a_sign_that_holds_the_name_of_its_person_is_that_name(sirene, column):
    units = [person(n, pseudonyme="ZZQXVJPSEUDO", nomUsage="LI") for n in range(1, len(SIGNS) + 1)]
    stock = [row(n, **{column: sign}) for n, sign in enumerate(SIGNS, 1)]
    company = unit(99, denomination="ZZQXVJNOM SARL")
    _, _, rows = batch(sirene, [*units, company], stock=[*stock, row(99, **{column: "ZZQXVJNOM"})])
    assert dict(zip(SIGNS, rows["enseigne"], strict=False)) == SIGNS
    assert rows["enseigne"].to_list()[len(SIGNS) :] == ["ZZQXVJNOM"]
    assert rows["raison_sociale"].to_list() == [*[None] * len(SIGNS), "ZZQXVJNOM SARL"]


@pytest.mark.parametrize(
    ("name", "sign", "shown"),
    [
        ("ZZQXVJNÉE", "CHEZ ZZQXVJNEE", False),
        ("ZZQXVJNEE", "Zzqxvjnée & fils", False),
        ("D'ZZQXVJARC", "BAR D\u2019ZZQXVJARC", False),
        ("LE ZZQXVJGOFF", "LE-ZZQXVJGOFF", False),
        ("LE-ZZQXVJGOFF", "LEZZQXVJGOFF COIFFURE", False),
        ("ZZQXVJCŒUR", "ZZQXVJCOEUR", False),
        ("ROY", "BAR OYAT", True),
    ],
)
def test_a_sign_writes_a_name_in_its_own_way(sirene, name, sign, shown):
    _, _, rows = batch(sirene, [person(1, nom=name), unit(2)], stock=[row(1, enseigne1=sign)])
    assert rows["enseigne"].to_list() == [sign if shown else None]
    assert shown or holding(sirene.folder / "out") == []


def test_a_job_that_asks_for_names_gets_them(sirene):
    units = [person(1, sigle="ZZQXVJSIGLE"), unit(2, categorieJuridique="2210", denomination="ZZQXVJUN ET ZZQXVJDEUX")]
    _, manifest, rows = batch(sirene, units, template="}\nprivacy: {person_names: true}")
    assert rows["raison_sociale"].to_list() == ["ZZQXVJPRENOM ZZQXVJNOM", "ZZQXVJUN ET ZZQXVJDEUX"]
    assert manifest["rights"]["names_of_natural_persons"] is True


@pytest.mark.parametrize(
    ("units", "personal", "persons", "unknown"),
    [
        ([unit(1), unit(2)], False, 0, 0),
        ([unit(1)], "unknown", 0, 1),
        ([unit(1), unit(2, categorieJuridique="")], "unknown", 0, 1),
        ([unit(3)], "unknown", 0, 2),
        ([person(1)], True, 1, 1),
        ([person(1), person(2)], True, 2, 0),
    ],
)
def test_personal_data_is_not_false_where_a_form_is_unknown(sirene, units, personal, persons, unknown):
    folder, manifest, _ = batch(sirene, units, "--profile", "deep")
    rights = manifest["rights"]
    found = (rights["personal_data"], rights["rows_of_natural_persons"], rights["rows_of_unknown_legal_form"])
    assert found == (personal, persons, unknown)
    assert (f"of {unknown} rows it is unknown" in (folder / "quality.md").read_text()) == (unknown > 0)
    page = (folder / "report.html").read_text()
    assert ("Aucune ligne n'est celle d'une personne physique" in page) == (persons == unknown == 0)
    assert ("La forme juridique de" in page) == (unknown > 0)


def test_the_filter_leaves_all_of_them_out(sirene):
    units = [unit(n, categorieJuridique=form) for n, form in enumerate([*FORMS, "5710"], 1)]
    stock = [row(n) for n in range(1, len(units) + 2)]
    _, _, rows = batch(sirene, units, stock=stock, template=", natural_persons: false}")
    assert rows["siret"].to_list() == [siret(len(FORMS) + 1)]
