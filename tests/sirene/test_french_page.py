"""The page of a dataset is in French, whatever the level of its code and whatever is wrong with the file."""

import re

import pytest

from sirene.stock import place, write_places


@pytest.fixture
def page(sirene):
    def build(rows, *codes, nomenclature="rev2", words=()):
        write_places(sirene.folder / "stock.csv", rows)
        (sirene.folder / "job.yaml").write_text(f"niche: own\nprofile: deep\nfilters: {{naf_include: {list(codes)}}}\n")
        given = ("--input", "stock.csv", "--output-dir", "out", "--rebuild", "--nomenclature", nomenclature)
        done = sirene("batch", "job.yaml", *given, *words)
        assert done.code == 0, done.out
        return (sirene.folder / "out" / "own" / "report.html").read_text()

    return build


@pytest.mark.parametrize(
    ("codes", "nomenclature", "heading"),
    [
        (["62"], "rev2", "62 Programmation, conseil et autres activités informatiques"),
        (["472"], "rev2", "47.2 Commerce de détail alimentaire en magasin spécialisé"),
        (["6201"], "rev2", "62.01 Programmation informatique"),
        (["62", "472"], "rev2", "62, 47.2 Programmation, conseil et autres activités informatiques; Commerce de détail alimentaire en magasin spécialisé"),
        (["622"], "2025", "62.2 Activités de conseil en informatique et de gestion d'installations informatiques"),
        (["47"], "2025", "47 Commerce de détail"),
        (["J"], "rev2", "J Information et communication"),
    ],
)  # fmt: skip
def test_the_heading_is_the_label_of_the_level(page, codes, nomenclature, heading):
    text = page(
        [place(1), place(2, activitePrincipale="47.25Z", activitePrincipaleNAF25="47.25Y")],
        *codes,
        nomenclature=nomenclature,
    )
    [found] = re.findall("<h1>(.*)</h1>", text)
    assert re.sub("<[^>]+>", "", found).replace("&#x27;", "'") == heading
    assert "sub-class" not in text


def test_every_warning_of_the_file_and_of_the_steps_is_in_french(page):
    wrong = {"dateCreation": "x", "trancheEffectifs": "99", "nomenclatureActivitePrincipale": "NACE"}
    rows = [
        place(1, dateDernierTraitement="2925-03-01T00:00:00"),
        place(1, dateDernierTraitement="2026-01-01T00:00:00"),
        place(2, **wrong),
        place(3, dateCreation="y", coordonneeLambertAbscisse="x", coordonneeLambertOrdonnee="y"),
        place(4, dateCreation="0001-01-01", siret="12345678901234"),
        place(5, activitePrincipale="9.9.9"),
    ]
    text = page(rows, "6201Z", "4711", words=["--sample", "2"])
    assert 'lang="en"' not in text
    text = page(rows, "6201Z")
    assert 'lang="en"' not in text
    assert "ne sont pas comprises" in text or "n'est pas comprise" in text.replace("&#x27;", "'")
    text = page([place(1, dateDernierTraitement="")], "4711")
    assert 'lang="en"' not in text
    assert "Aucune ligne n'a le code <code>4711</code>" in text.replace("&#x27;", "'")
