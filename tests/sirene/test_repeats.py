"""Rows that repeat a number: the newest one counts, and whoever one of them hides is hidden everywhere."""

import json

import polars as pl
import pytest

from joblot_sirene.register.repeats import Numbers, newest
from joblot_sirene.stock.memory import Budget
from joblot_sirene.stock.repeated import find_repeats
from joblot_sirene.stock.source import open_source
from sirene.files import MASK, change, hidden, holding, person, row, siret, unit, write

OLD, NEW = {"dateDernierTraitement": "2026-09-20T00:00:00"}, {"dateDernierTraitement": "2026-10-26T00:00:00"}
OPEN = row(1, enseigne1="ZZQXVJENSEIGNE", libelleVoie="ZZQXVJSECRETE", complementAdresse="ZZQXVJBATIMENT", **OLD)
CLOSED_NOW = hidden(OPEN, **NEW)


def batch(sirene, rows, *words, name="stock.csv", units=None, code="6201Z", template=None, out="out"):
    """The folder of the dataset that a batch makes of these rows; a file `copy.parquet` gets a sorted copy first."""
    write(rows, sirene.folder / name)
    if name == "copy.parquet":
        assert sirene("prepare", name).code == 0
    if units is not None:
        words = (*words, "--unite-legale", write(units, sirene.folder / "units.csv"))
    if template is not None:
        (sirene.folder / "template.yaml").write_text(template)
        words = (*words, "--template", "template.yaml")
    done = sirene("batch", "--naf", code, "--input", name, "--output-dir", out, *words)
    assert done.code == 0, done.err
    assert "ZZQXVJ" not in done.out + done.err
    return sirene.folder / out / f"naf_{code}"


def rows_of(folder):
    return pl.read_parquet(folder / "dataset.parquet")


# the same person, open in one row and hidden in another: how the two rows may differ
TWICE = {
    "newer": [OPEN, row(2), CLOSED_NOW],
    "first": [CLOSED_NOW, OPEN, row(2)],
    "older": [change(OPEN, **NEW), hidden(OPEN, **OLD), row(2)],
    "no date": [change(OPEN, dateDernierTraitement=""), hidden(OPEN, dateDernierTraitement=""), row(2)],
    "status N": [OPEN, change(CLOSED_NOW, statutDiffusion="N"), row(2)],
    "no status": [OPEN, change(CLOSED_NOW, statutDiffusion=""), row(2)],
    "other code": [OPEN, row(2), change(CLOSED_NOW, activitePrincipale="43.29A", activitePrincipaleNAF25="")],
    "no code": [OPEN, row(2), change(CLOSED_NOW, activitePrincipale="")],
    "closed": [OPEN, row(2), change(CLOSED_NOW, etatAdministratif="F")],
    "zeros lost": [change(OPEN, siret="000000032517", siren="3"), change(CLOSED_NOW, siret="32517", siren="3"), row(2)],
    "spaces": [change(OPEN, siret=f" {OPEN['siret'][:9]} {OPEN['siret'][9:]}"), CLOSED_NOW, row(2)],
    "a decimal": [OPEN, change(CLOSED_NOW, siret=CLOSED_NOW["siret"] + ".0"), row(2)],
    "three rows": [OPEN, CLOSED_NOW, change(OPEN, dateDernierTraitement="2026-10-30T00:00:00"), row(2)],
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "name"),
    [*((kind, name) for kind in TWICE for name in ("stock.csv", "copy.parquet")), ("newer", "stock.parquet"), ("other code", "stock.parquet"), ("newer", "stock.zip")],
)  # fmt: skip
def test_whoever_is_hidden_in_one_row_is_hidden(sirene, kind, name):
    folder = batch(sirene, TWICE[kind], name=name)
    assert rows_of(folder)["siret"].to_list() == [siret(2)]
    assert holding(sirene.folder / "out") == holding(sirene.folder / ".joblot") == []
    for copy in sirene.folder.glob("*.by-code.parquet"):
        assert "ZZQXVJ" not in str(pl.read_parquet(copy).to_dicts())


@pytest.mark.parametrize("kind", ["newer", "first", "older", "no status"])
def test_a_masked_dataset_has_such_a_person_once_and_masked(sirene, kind):
    folder = batch(sirene, TWICE[kind], "--profile", "deep", template=MASK)
    rows = rows_of(folder)
    assert sorted(rows["siret"]) == sorted([siret(1), siret(2)])
    found = rows.filter(pl.col("siret") == siret(1)).to_dicts()[0]
    assert (found["statut_diffusion"], found["adresse"], found["enseigne"]) == ("P", "[ND]", "[ND]")
    assert holding(sirene.folder / "out") == holding(sirene.folder / ".joblot") == []


@pytest.mark.parametrize(
    ("order", "profile"), [("hidden last", "quick"), ("hidden first", "deep"), ("hidden older", "standard")]
)
def test_a_unit_that_is_hidden_in_one_row_hides_its_establishments(sirene, order, profile):
    units = [person(1, **OLD), person(1, statutDiffusion="P", nom="[ND]", prenomUsuel="[ND]", **NEW), unit(2)]
    if order == "hidden first":
        units = [units[1], units[0], units[2]]
    elif order == "hidden older":
        units = [change(units[0], **NEW), change(units[1], **OLD), units[2]]
    folder = batch(sirene, [row(1, enseigne1="ZZQXVJENSEIGNE"), row(2)], "--profile", profile, units=units)
    assert rows_of(folder)["siret"].to_list() == [siret(2)]
    assert holding(sirene.folder / "out") == []


@pytest.mark.parametrize("name", ["stock.csv", "stock.parquet"])
@pytest.mark.parametrize("with_units", [False, True])
def test_in_a_file_with_both_kinds_of_columns_a_unit_hides_all_its_establishments(sirene, name, with_units):
    """The row of one establishment says that the unit is open, that of another that it is hidden."""

    def joined(one, status):
        return one | {
            "statutDiffusionUniteLegale": status,
            "nomUniteLegale": "ZZQXVJNOM",
            "categorieJuridiqueUniteLegale": "1000",
        }

    rows = [joined(row(1, enseigne1="ZZQXVJENSEIGNE"), "O"), joined(row(2), "O")]
    rows += [joined(row(1, 2, activitePrincipale="43.29A", enseigne1="[ND]"), "O" if with_units else "P")]
    units = [person(1, statutDiffusion="P")] if with_units else None
    folder = batch(sirene, rows, name=name, units=units)
    assert rows_of(folder)["siret"].to_list() == [siret(2)]
    assert holding(sirene.folder / "out") == []


UNIT_STATUSES = {
    "no status": ([person(1, statutDiffusion="")], False),
    "no status in one row": ([person(1, statutDiffusion="", **OLD), person(1, **NEW)], False),
    "no status in the newest": ([person(1, **OLD), person(1, statutDiffusion="", **NEW)], False),
    "no status and no form": ([person(1, statutDiffusion="", categorieJuridique="")], False),
    "lower case": ([person(1, statutDiffusion="o")], False),
    "not in the file": ([], True),
    "open": ([person(1)], True),
}


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *((kind, name) for kind in UNIT_STATUSES for name in ("units.csv", "units.parquet")),
        *((kind, "joined.csv") for kind in UNIT_STATUSES if kind != "no status and no form"),  # such a row has no unit
    ],
)
def test_a_unit_is_public_only_with_its_status(sirene, kind, name):
    units, shown = UNIT_STATUSES[kind]
    places = [row(1, enseigne1="SIGNE"), row(2)]
    if name == "joined.csv":
        nothing = dict.fromkeys(unit(1), "")
        places = [one | places[0] for one in units or [nothing]] + [unit(2) | places[1]]
    else:
        write([*units, unit(2)], sirene.folder / name)
    words = [] if name == "joined.csv" else ["--unite-legale", name]
    folder = batch(sirene, places, *words, name="joined.csv" if name == "joined.csv" else "stock.csv")
    assert rows_of(folder)["siret"].to_list() == [*([siret(1)] if shown else []), siret(2)]


def test_a_file_of_units_without_statuses_says_nothing_of_who_may_be_shown(sirene):
    units = [{name: cell for name, cell in unit(n).items() if "statut" not in name} for n in (1, 2)]
    folder = batch(sirene, [row(1), row(2, statutDiffusion="P")], units=units)
    assert rows_of(folder)["raison_sociale"].to_list() == ["SOCIETE 1"]


AREAS = {"postal_prefixes": "[75011]", "regions": "[75]", "departments": "[75]"}
HIDING = {
    "its status": ([hidden(row(1), codePostal="75011", codeCommune="")], [unit(1)]),
    "its unit": ([row(1, codeCommune="")], [unit(1, statutDiffusion="P")]),
    "no status": ([row(1, codeCommune="", statutDiffusion="")], [unit(1)]),
    "another row": (
        [row(1, codeCommune="", **NEW), hidden(row(1), codePostal="75011", codeCommune="", **OLD)],
        [unit(1)],
    ),
}


@pytest.mark.parametrize("name", ["stock.csv", "copy.parquet"])
@pytest.mark.parametrize(
    ("area", "hiding"),
    [*((area, "its unit") for area in AREAS), *(("postal_prefixes", way) for way in HIDING if way != "its unit")],
)
def test_a_masked_postal_code_takes_nobody_into_an_area(sirene, name, area, hiding):
    places, units = HIDING[hiding]
    template = MASK.replace("filters:\n", f"filters:\n  {area}: {AREAS[area]}\n")
    places = [*places, row(2, codeCommune=""), hidden(row(3))]
    folder = batch(sirene, places, name=name, units=[*units, unit(2), unit(3)], template=template)
    by_commune = [siret(3)] if area == "departments" else []
    assert rows_of(folder)["siret"].to_list() == [siret(2), *by_commune]
    assert json.loads((folder / "manifest.json").read_text())["rights"]["rows_masked_for_partial_diffusion"] == len(
        by_commune
    )
    batch(
        sirene,
        places,
        name=name,
        units=[*units, unit(2), unit(3)],
        template=template.replace("mask}", "exclude}"),
        out="open",
    )
    manifest = json.loads((sirene.folder / "open" / "naf_6201Z" / "manifest.json").read_text())
    assert (manifest["records"], manifest["left_out"]["partial_diffusion_left_out"]) == (1, len(by_commune))


OTHERS = {
    "another sign": ({"enseigne1": "NEUVE"}, "NEUVE"),
    "another street": ({"libelleVoie": "DU PORT"}, "12 RUE DU PORT"),
    "closed since": ({"etatAdministratif": "F", "dateDebut": "2026-10-25"}, None),
    "another activity": ({"activitePrincipale": "43.29A", "activitePrincipaleNAF25": "43.29H"}, None),
    "without activity": ({"activitePrincipale": ""}, None),
    "older list": ({"activitePrincipale": "62.01", "nomenclatureActivitePrincipale": "NAP"}, None),
}


@pytest.mark.parametrize(
    ("kind", "name", "order"),
    [*((kind, name, "old, new") for kind in OTHERS for name in ("stock.csv", "copy.parquet")), ("another sign", "stock.parquet", "new, old"), ("closed since", "stock.csv", "new, old"), ("another activity", "stock.parquet", "oldest, new, old")],
)  # fmt: skip
def test_the_newest_row_counts(sirene, kind, name, order):
    cells, shown = OTHERS[kind]
    old = row(1, enseigne1="ANCIENNE" if kind == "another sign" else "", **OLD)
    new = change(change(old, **cells), **NEW)
    oldest = change(old, dateDernierTraitement="2020-01-01T00:00:00")
    rows = {"old, new": [old, new], "new, old": [new, old], "oldest, new, old": [oldest, new, old]}[order]
    folder = batch(sirene, [*rows, row(2)], name=name)
    found = rows_of(folder)
    assert found["siret"].to_list() == ([siret(2)] if shown is None else [siret(1), siret(2)])
    assert shown is None or shown in str(found.to_dicts()[0])
    assert "ANCIENNE" not in str(found.to_dicts())
    manifest = json.loads((folder / "manifest.json").read_text())
    repeated = len(rows) - 1
    assert manifest["left_out"]["repeated_rows"] == repeated
    assert manifest["left_out"]["rows_of_these_codes"] == (2 if shown or kind == "closed since" else 1)
    assert manifest["warnings"][0].startswith(f"{repeated} rows of the file have the SIRET of a newer one")


def test_no_row_of_the_glued_half_is_lost_or_shown_twice(sirene):
    months = [
        [row(n, enseigne1=f"{month}-{n}", dateDernierTraitement=f"2026-{month}-05") for n in range(1, 40)]
        for month in ("08", "09")
    ]
    for name in ("stock.csv", "stock.parquet"):
        found = rows_of(batch(sirene, [*months[1], *months[0]], "--rebuild", name=name))
        assert found["enseigne"].to_list() == [f"09-{n}" for n in range(1, 40)]
    sampled = rows_of(batch(sirene, [*months[0], *months[1]], "--sample", "5", name="stock.parquet", out="sample"))
    assert sampled["enseigne"].to_list() == [f"09-{n}" for n in range(1, 6)]


@pytest.mark.parametrize(
    ("dates", "counts"),
    [
        (["2026-08-01T00:00:00", "2026-10-26T00:00:00"], 1),
        (["2026-10-26T00:00:00", "2026-08-01T00:00:00"], 0),
        (["2026-10-26T08:00:00", "2026-10-26T09:00:00"], 1),
        (["2026-10-26T09:00:00", "2026-10-26T08:00:00"], 0),
        (["2026-10-26T00:00:00", "2026-10-26T00:00:00"], 1),
        (["", ""], 1),
        (["2026-10-26T00:00:00", ""], 0),
        (["2925-01-01T00:00:00", "2026-10-26T00:00:00"], 1),
        (["2026-10-26T00:00:00", "0199-01-01T00:00:00"], 0),
    ],
)
def test_which_of_two_rows_counts(dates, counts):
    """By the moment of treatment, then by the order of the file; absurd and missing moments are older than any other."""
    moments = pl.Series(dates).replace("", None).str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="ms")
    frame = pl.DataFrame({"number": [1, 1], "moment": moments, "at": [0, 1]})
    found = newest(frame, "number", "moment", pl.lit(value=False))
    assert found["at"].to_list() == [counts]


@pytest.mark.parametrize(
    ("parts", "repeated"),
    [
        ([[1, 2, 3], [4, 5]], []),
        ([[1, 2, 2], [4, 5]], [2]),
        ([[1, 2, 3], [3, 5]], [3]),
        ([[5, 4, 3], [2, 1]], []),
        ([[5, 4], [4, 5, 6]], [4, 5]),
        ([[None, 1, None], [None, 2]], []),
        ([[], [7], [], [7]], [7]),
    ],
)
def test_numbers_that_repeat_are_found_in_any_order(parts, repeated):
    numbers = Numbers(10**6)
    for part in parts:
        numbers.see(pl.Series(part, dtype=pl.UInt64))
    assert sorted(numbers.repeated()) == repeated


def test_too_many_numbers_to_keep_are_no_proof_that_none_repeats():
    numbers = Numbers(32)
    for part in ([5, 4, 3], [2, 1]):
        numbers.see(pl.Series(part, dtype=pl.UInt64))
    assert numbers.repeated() is None
    ascending = Numbers(32)
    for part in ([1, 2, 3], [4, 5]):
        ascending.see(pl.Series(part, dtype=pl.UInt64))
    assert ascending.repeated().is_empty()


@pytest.mark.parametrize("name", ["stock.csv", "stock.parquet"])
@pytest.mark.parametrize("all_numbers", [False, True])
def test_what_does_not_fit_into_memory_is_looked_for_in_several_readings(tmp_path, name, all_numbers):
    rows = [row(n, place) for n in range(1, 30) for place in (2, 1)] + [hidden(row(n)) for n in range(1, 30)]
    source = open_source(write(rows, tmp_path / name))
    budget = Budget(0, 3)
    budget.numbers = 1000
    suspects = None if all_numbers else pl.Series([int(one["siret"]) for one in rows], dtype=pl.UInt64).unique()
    found = find_repeats(source, suspects, 58, budget, lambda: None)
    assert sorted(found.superseded["__row"]) == list(range(1, 58, 2))
    assert sorted(found.hidden) == list(range(58, 87))


class TestEarlier:
    """Those who are gone since an earlier dataset are named only when they are public, or not in the files any more."""

    old = tuple(row(n, enseigne1="ZZQXVJ") for n in range(20, 28))

    def compared(self, sirene, now, units=None, template=None):
        write(self.old, sirene.folder / "september.csv")
        done = sirene("batch", "--naf", "6201Z", "--input", "september.csv", "--profile", "deep", "--output-dir", "sep")
        assert done.code == 0, done.err
        words = ("--profile", "deep", "--earlier", "sep")
        folder = batch(sirene, now, *words, units=units, template=template)
        steps = json.loads((folder / "quality.json").read_text())["steps"]
        return folder, next(step["facts"] for step in steps if step["name"] == "comparison")

    @pytest.mark.parametrize("with_units", [False, True])
    @pytest.mark.parametrize("name", ["stock.csv", "stock.parquet"])
    def test_who_is_hidden_now_is_counted_and_not_named(self, sirene, name, with_units):
        old = self.old
        now = [
            change(old[0], enseigne1=""), hidden(old[1]), hidden(old[2], etatAdministratif="F"), hidden(old[3], activitePrincipale="43.29A"),
            change(old[4], etatAdministratif="F"), hidden(old[5], statutDiffusion=""), old[6], hidden(old[6]), change(old[7], etatAdministratif="F"),
        ]  # fmt: skip
        units = [unit(20), person(27, statutDiffusion="P")] if with_units else None
        write(now, sirene.folder / name)
        folder, facts = self.compared(sirene, now, units)
        named = [siret(24)] if with_units else [siret(24), siret(27)]
        assert (facts["gone"], facts["gone_sirets"]) == (7, named)
        unnamed = {siret(n) for n in (21, 22, 23, 25, 26, *([27] if with_units else []))}
        everything = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
        assert not [number for number in unnamed if number.encode() in everything]
        assert siret(20).encode() in everything

    def test_who_was_masked_then_is_not_named_when_the_row_is_gone(self, sirene):
        write([row(20), hidden(row(21)), row(22)], sirene.folder / "september.csv")
        (sirene.folder / "template.yaml").write_text(MASK)
        words = ("--naf", "6201Z", "--profile", "deep", "--template", "template.yaml")
        assert sirene("batch", *words, "--input", "september.csv", "--output-dir", "sep").code == 0
        folder = batch(sirene, [row(20)], "--profile", "deep", "--earlier", "sep", template=MASK)
        steps = json.loads((folder / "quality.json").read_text())["steps"]
        facts = next(step["facts"] for step in steps if step["name"] == "comparison")
        assert (facts["gone"], facts["gone_sirets"]) == (2, [siret(22)])


MASKED = {
    "place, unit and missing status": ([row(1), hidden(row(2)), row(3), hidden(row(4), statutDiffusion="")], 3),
    "twice": ([row(1), hidden(row(2)), hidden(row(2)), row(3)], 2),
    "status N": ([row(1), hidden(row(2), statutDiffusion="N"), row(3)], 2),
    "lower case": ([row(1), hidden(row(2), statutDiffusion="p"), row(3)], 2),
    "none but by the unit": ([row(1), row(3)], 1),
    "open and hidden": ([row(1), row(2), hidden(row(2)), row(3)], 2),
}


@pytest.mark.parametrize("kind", MASKED)
def test_manifest_report_and_page_have_one_number_of_masked_rows(sirene, kind):
    rows, count = MASKED[kind]
    units = [unit(1), person(2, statutDiffusion="P"), person(3, statutDiffusion="P"), unit(4)]
    folder = batch(sirene, rows, "--profile", "deep", units=units, template=MASK)
    manifest = json.loads((folder / "manifest.json").read_text())
    report = json.loads((folder / "quality.json").read_text())
    assert manifest["rights"]["rows_masked_for_partial_diffusion"] == count
    assert report["rights"]["rows_masked_for_partial_diffusion"] == count
    assert {issue["key"]: issue["count"] for issue in report["issues"]}["partial_diffusion"] == count
    assert f"{count} masked." in (folder / "quality.md").read_text()
    found = rows_of(folder)
    masked = found.filter(pl.col("adresse") == "[ND]")
    assert masked.height == count == found.filter(pl.col("statut_diffusion") != "O").height


def test_examples_of_the_report_are_of_rows_that_are_shown(sirene):
    folder = batch(sirene, [row(1), hidden(row(2))], "--profile", "deep", template=MASK)
    issues = json.loads((folder / "quality.json").read_text())["issues"]
    assert siret(2) not in str(issues)


UNIT_ORDERS = {
    "old, new": ([("ANCIEN NOM", "2020-01-01T00:00:00"), ("NOUVEAU NOM", "2026-10-31T08:30:00")], 1),
    "new, old": ([("NOUVEAU NOM", "2026-10-31T08:30:00"), ("ANCIEN NOM", "2020-01-01T00:00:00")], 1),
    "three": ([("ANCIEN NOM", "2020-01-01"), ("NOUVEAU NOM", "2026-10-31"), ("AUTRE NOM", "2024-01-01")], 1),
    "no date": ([("ANCIEN NOM", ""), ("NOUVEAU NOM", "")], 1),
    "one date": ([("NOUVEAU NOM", "2026-10-31"), ("ANCIEN NOM", "")], 1),
    "absurd date": ([("ANCIEN NOM", "2925-01-01"), ("NOUVEAU NOM", "2026-10-31")], 1),
    "once": ([("NOUVEAU NOM", "2026-10-31")], 0),
}


@pytest.mark.parametrize("kind", UNIT_ORDERS)
def test_the_newest_row_of_a_unit_counts(sirene, kind):
    rows, repeated = UNIT_ORDERS[kind]
    units = [unit(1, denomination=name, dateDernierTraitement=day) for name, day in rows]
    folder = batch(sirene, [row(1), row(2)], "--profile", "standard", units=[*units, unit(2)])
    assert rows_of(folder)["raison_sociale"].to_list() == ["NOUVEAU NOM", "SOCIETE 2"]
    warnings = json.loads((folder / "manifest.json").read_text())["warnings"]
    told = "1 rows are of legal units that are in their file several times: the newest is taken"
    assert warnings.count(told) == repeated
