"""A move is a move: not a masked row, another spelling of an address, or another code of the same town."""

import json

import polars as pl
import pytest

from joblot_sirene.steps.comparison import run
from joblot_sirene.steps.model import Inputs
from joblot_sirene.steps.parameters import Comparison
from sirene.files import MASK, change, hidden, row, write

BEFORE = {
    "siret": "1", "adresse": "12 RUE DE L'ÉGLISE", "code_commune": "01004", "code_postal": "01500", "naf": "62.01Z", "etat": "A", "statut_diffusion": "O",
}  # fmt: skip
SAME = {
    "case": {"adresse": "12 rue de l'Église"},
    "accents": {"adresse": "12 RUE DE L'EGLISE"},
    "a typographic apostrophe": {"adresse": "12 RUE DE L\u2019ÉGLISE"},
    "no apostrophe": {"adresse": "12 RUE DE L EGLISE"},
    "marks": {"adresse": "12, RUE DE L'ÉGLISE."},
    "merged commune": {"code_commune": "01999"},
    "merged commune, another spelling": {"code_commune": "01999", "adresse": "12 rue de l'eglise"},
    "hidden since": {"adresse": "[ND]", "code_postal": "[ND]", "statut_diffusion": "P"},
    "hidden since, in another town": {
        "adresse": "[ND]",
        "code_postal": "[ND]",
        "statut_diffusion": "P",
        "code_commune": "75111",
    },
    "masked without a status": {"adresse": "[ND]"},
    "no address any more": {"adresse": None},
    "no code any more": {"code_commune": None},
    "another postal code": {"code_postal": "01501"},
}
MOVED = {
    "another number": {"adresse": "14 RUE DE L'ÉGLISE"},
    "a repetition": {"adresse": "12 BIS RUE DE L'ÉGLISE"},
    "another street": {"adresse": "12 RUE DU MOULIN"},
    "another type of street": {"adresse": "12 AVENUE DE L'ÉGLISE"},
    "another town": {"code_commune": "33063", "code_postal": "33000"},
    "another town without an address": {"code_commune": "33063", "code_postal": "33000", "adresse": None},
    "another street and town": {"code_commune": "33063", "code_postal": "33000", "adresse": "1 RUE DU MOULIN"},
}
PAIRS = [
    ("12 AV DE LA GARE", "12 AVENUE DE LA GARE", "inchange"),
    ("12 BIS BD VICTOR HUGO", "12 B BOULEVARD VICTOR HUGO", "inchange"),
    ("ALL DES TILLEULS", "ALLÉE DES TILLEULS", "inchange"),
    ("LD LE BOURG", "LIEU-DIT LE BOURG", "inchange"),
    ("3 PL ST-JEAN", "3 PLACE SAINT JEAN", "inchange"),
    ("3 RUE STE ANNE", "3 RUE SAINTE-ANNE", "inchange"),
    ("5 RUE DU CŒUR", "5 RUE DU COEUR", "inchange"),
    ("5 RUE DE LA PLACE", "5 PLACE DE LA RUE", "demenage"),
    ("12 RUE A", "12 RUE B", "demenage"),
]
DISTRICTS = [
    ("69123", "69381", "inchange"), ("69381", "69123", "inchange"), ("75056", "75111", "inchange"), ("13055", "13204", "inchange"),
    ("75111", "75112", "demenage"), ("69123", "75056", "demenage"), ("69123", "75111", "demenage"),
]  # fmt: skip


def evolution(before, now):
    names = list(BEFORE)
    frames = [
        pl.DataFrame({name: [one[name]] for name in names}, dict.fromkeys(names, pl.String)) for one in (before, now)
    ]
    outcome = run(frames[1], Comparison(), Inputs(today=None, earlier=frames[0]))
    return outcome.frame["evolution"].item()


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("kind", SAME)
def test_what_is_no_move(kind, turned):
    now = BEFORE | SAME[kind]
    assert evolution(*((now, BEFORE) if turned else (BEFORE, now))) == "inchange"


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("kind", MOVED)
def test_what_is_a_move(kind, turned):
    now = BEFORE | MOVED[kind]
    assert evolution(*((now, BEFORE) if turned else (BEFORE, now))) == "demenage"


@pytest.mark.parametrize(("before", "now", "found"), PAIRS)
def test_spellings_of_streets(before, now, found):
    assert evolution(BEFORE | {"adresse": before}, BEFORE | {"adresse": now}) == found


@pytest.mark.parametrize(("before", "now", "found"), DISTRICTS)
def test_a_town_and_its_districts(before, now, found):
    one = BEFORE | {"code_commune": before, "code_postal": before}
    assert evolution(one, BEFORE | {"code_commune": now, "code_postal": now}) == found


def test_an_earlier_dataset_without_postal_codes_and_statuses(tmp_path):
    now = pl.DataFrame([BEFORE, BEFORE | {"siret": "2", "code_commune": "33063"}])
    earlier = pl.DataFrame([BEFORE, BEFORE | {"siret": "2"}]).drop("code_postal", "statut_diffusion")
    assert run(now, Comparison(), Inputs(today=None, earlier=earlier)).frame["evolution"].to_list() == [
        "inchange",
        "demenage",
    ]


def test_the_whole_command_says_who_moved(sirene):
    old = [
        row(30, libelleVoie="DE LA GARE"), row(31), row(32, codeCommune="69123", libelleCommune="LYON", codePostal="69001"), row(33), row(34, typeVoie="AV"),
    ]  # fmt: skip
    now = [
        change(old[0], libelleVoie="de la Gare"), hidden(old[1]), change(old[2], codeCommune="69381", libelleCommune="LYON 1ER ARRONDISSEMENT"),
        change(old[3], numeroVoie="47", libelleVoie="DU MOULIN"), change(old[4], typeVoie="AVENUE"),
    ]  # fmt: skip
    (sirene.folder / "mask.yaml").write_text(MASK)
    for name, rows, more in (("sep", old, ()), ("oct", now, ("--earlier", "sep"))):
        write(rows, sirene.folder / f"{name}.csv")
        words = ("--input", f"{name}.csv", "--profile", "deep", "--template", "mask.yaml", "--output-dir", name)
        done = sirene("batch", "--naf", "6201Z", *words, *more)
        assert done.code == 0, done.err
    folder = sirene.folder / "oct" / "naf_6201Z"
    found = pl.read_parquet(folder / "dataset.parquet").sort("siret")["evolution"].to_list()
    assert found == ["inchange", "inchange", "inchange", "demenage", "inchange"]
    steps = json.loads((folder / "quality.json").read_text())["steps"]
    assert next(step["facts"]["rows"] for step in steps if step["name"] == "comparison") == {
        "demenage": 1,
        "inchange": 4,
    }
