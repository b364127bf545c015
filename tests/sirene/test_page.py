"""The page of a dataset: whole, for people, without a network, and without anybody in it."""

import datetime as dt
import re
from html.parser import HTMLParser
from importlib.resources import files
from itertools import pairwise

import polars as pl
import pytest

from joblot_sirene import pipeline
from joblot_sirene.jobs import profiles
from joblot_sirene.package import page, quality
from joblot_sirene.package import page_texts as words
from joblot_sirene.register import expressions, naf
from joblot_sirene.register.privacy import Policy
from joblot_sirene.register.stock_date import StockDate
from joblot_sirene.steps.model import Inputs
from joblot_sirene.synthetic.sample import establishments, history, legal_units

TODAY = dt.date(2026, 11, 20)
STOCK = StockDate(dt.date(2026, 11, 1), "option")
CODE = naf.parse_code("F")
HOSTILE = '<script>alert("x")</script>\'&'


@pytest.fixture(scope="module")
def stock():
    return establishments(15_000, seed=1).filter(expressions.matches(CODE))


@pytest.fixture(scope="module")
def companions():
    is_nameless = pl.col("siren").str.slice(-1).is_in(list("02468"))  # half of the companies: a target is missed
    names = ("denominationUniteLegale", "sigleUniteLegale")
    units = legal_units(15_000, seed=1).with_columns(pl.when(~is_nameless).then(name).alias(name) for name in names)
    return {"units": units, "history": history(15_000, seed=1)}


def report(name, rows, policy=Policy(), selections=(CODE,), stock_date=STOCK, left_out=None, **inputs):  # noqa: B008
    profile = profiles.load(name)
    result = pipeline.run(profile, [rows], Inputs(today=TODAY, policy=policy, **inputs))
    told = quality.report(result, profile, policy, selections=selections, stock_date=stock_date, left_out=left_out)
    return told, result.frame


def text_of(*arguments):
    return "".join(page.html_page(*arguments))


@pytest.fixture(scope="module")
def deep(stock, companions):
    earlier = report("deep", stock, **companions)[1]
    earlier = earlier.head(300).with_columns(
        etat=pl.when(pl.int_range(pl.len()) < 20).then(pl.lit("A")).otherwise("etat"),
        siret=pl.when(pl.int_range(pl.len()) == 299).then(pl.lit("99999999999999")).otherwise("siret"),
    )
    return report("deep", stock, earlier=earlier, **companions)


@pytest.fixture(scope="module")
def html(deep):
    return text_of(*deep)


VOID = {"meta", "line", "rect", "path"}


class Outline(HTMLParser):
    """The elements of a page, each closed where it should be; headings, anchors, attributes and text."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.words, self.headings = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.extend((tag, *pair) for pair in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in VOID
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.words.append(data)
            if self.open and self.open[-1] in {"h1", "h2", "h3"}:
                self.headings.append((self.open[-1], data))

    def values(self, name):
        return [value for _, attribute, value in self.attributes if attribute == name]

    @property
    def text(self):
        return " ".join(self.words)


class TestWhole:
    def test_the_page_is_whole_and_every_link_leads_somewhere(self, html):
        outline = Outline(html)
        assert outline.tags[0] == "html"
        assert {"header", "main", "nav", "footer", "section", "svg", "table", "figure"} <= set(outline.tags)
        assert [link[1:] for link in outline.values("href")] == [anchor for anchor, _ in page._SECTIONS]
        assert {link[1:] for link in outline.values("href")} <= set(outline.values("id"))

    def test_lines_have_their_ends(self, deep):
        assert all(line.count("\n") == 1 and line.endswith("\n") for line in page.html_page(*deep))

    def test_headings_come_in_order(self, html):
        levels = [int(tag[1]) for tag, _ in Outline(html).headings]
        assert levels[0] == 1
        assert levels.count(1) <= 2  # the code and the label
        assert all(after <= before + 1 for before, after in pairwise(levels))

    def test_nothing_is_loaded_and_nothing_runs(self, html):
        outline = Outline(html)
        assert page.POLICY in outline.values("content")
        assert not {"script", "img", "link", "iframe", "object", "form"} & set(outline.tags)
        assert not {"src", "srcset", "action", "data", "xlink:href"} & {name for _, name, _ in outline.attributes}
        assert not [name for _, name, _ in outline.attributes if name.startswith("on")]
        assert "http" not in html.replace("http-equiv", "")
        assert "url(" not in html
        assert "@import" not in html

    def test_the_same_dataset_gives_the_same_bytes(self, deep, stock, companions, html):
        assert text_of(*deep) == html
        shuffled = deep[1].sample(fraction=1, shuffle=True, seed=3)
        assert text_of(deep[0], shuffled) == html

    def test_pictures_and_tables_say_what_they_are(self, html):
        outline = Outline(html)
        pictures = [tag for tag, name, value in outline.attributes if (name, value) == ("role", "img")]
        labels = [value for tag, name, value in outline.attributes if name == "aria-label" and tag != "nav"]
        assert len(pictures) == len(labels) >= 5
        assert outline.tags.count("caption") == outline.tags.count("table")
        assert ("html", "lang", "fr") in outline.attributes

    def test_the_size_is_bounded_whatever_the_rows(self, html):
        assert len(html.encode()) < 150_000
        rows = 30_000
        wide = pl.DataFrame({"longitude": [-1.5 + 8 * (i * 0.618 % 1) for i in range(rows)]}).with_columns(
            latitude=pl.Series([43.5 + 6 * (i * 0.755 % 1) for i in range(rows)]),
            code_commune=pl.Series([f"{i:05d}" for i in range(rows)]),
            commune=pl.Series([f"COMMUNE DE TRES LONG NOM {i} " * 20 for i in range(rows)]),
            departement=pl.Series([f"{i % 95 + 1:02d}" for i in range(rows)]),
            naf=pl.Series([f"{i % 99:02d}.{i % 90 + 10}Z" for i in range(rows)]),
            date_creation=pl.Series([dt.date(1801 + i % 220, 1, 1) for i in range(rows)]),
        )
        told, _ = report("quick", establishments(30, seed=1))
        assert len(text_of(told, wide).encode()) < 150_000


class TestToldAtAGlance:
    def test_the_header_has_the_code_the_label_the_rows_and_the_verdict(self, deep, html):
        told, frame = deep
        assert told["verdict"] == "fail"
        assert '<h1><span class="code">F</span> Construction</h1>' in html
        assert f"<strong>{words.number(frame.height)} établissements</strong>" in html
        assert '<span class="pill fail">Objectifs manqués</span>' in html
        assert "Source : INSEE, base Sirene, stock du 1er novembre 2026 · Licence Ouverte 2.0 (Etalab)" in html

    def test_full_codes_are_spelt_as_in_files(self, stock):
        codes = [naf.parse_code(code) for code in ("6920Z", "62")]
        html = text_of(*report("quick", stock.head(3), selections=codes))
        assert '<span class="code">69.20Z, 62</span> Activités comptables; ' in html

    def test_who_was_left_out_and_why_is_said(self, deep, html):
        left_out = deep[0]["rights"]["rows_excluded_for_partial_diffusion"]
        assert f"<b>{words.number(left_out)}</b> lignes écartées : les personnes s'opposent" in html
        assert "R123-232-1" in html
        persons = deep[0]["rights"]["rows_of_natural_persons"]
        assert f"<b>{words.number(persons)}</b> lignes sont celles de personnes physiques" in html

    def test_closed_places_that_were_not_wanted_are_said(self, stock):
        left_out = {"rows_of_these_codes": 2000, "closed": 500, "closed_share": 0.25, "closed_left_out": 500}
        html = text_of(*report("quick", stock, left_out=left_out))
        assert "<li><b>500</b> établissements fermés écartés.</li>" in html
        assert "Le stock a <b>2\u202f000</b> lignes de ces codes, dont 25\u202f% d'établissements fermés." in html
        kept = text_of(*report("quick", stock, left_out={**left_out, "closed_left_out": 0}))
        assert "dont 25\u202f% d'établissements fermés.</li>" in kept

    def test_score_targets_and_issues(self, deep, html):
        outline = Outline(html)
        assert f"<strong>{words.number(deep[0]['score']['mean'], 1)}</strong> moyenne" in html
        assert "Raison sociale présente" in outline.text
        assert "pour 90\u202f% · manqué" in outline.text
        for issue in deep[0]["issues"]:
            assert words.label("issue", issue["key"]) in outline.text
            assert f"{words.number(issue['count'])} · {words.share(issue['share'])}" in outline.text

    def test_departments_communes_activities_forms_and_bands_have_their_names(self, html):
        text = Outline(html).text
        for name in ("Paris", "PARIS 8", "Entrepreneur individuel", "Aucun salarié ou effectif inconnu"):
            assert name in text
        assert "Travaux de plâtrerie <small>43.31Z</small>" in html

    def test_there_is_a_map_of_the_metropole(self, html):
        assert 'class="land"' in html
        assert 'class="dots"' in html
        assert "Carte : " in html

    def test_what_changed_and_what_opened_and_closed(self, deep, html):
        facts = {step["name"]: step["facts"] for step in deep[0]["steps"]}
        assert f"Nouveaux <strong>{words.number(facts['comparison']['rows']['nouveau'])} · " in html
        assert "1 établissement du jeu précédent n&#x27;est plus là." in html
        assert "D&#x27;après l&#x27;historique des établissements" in html
        year, opened = list(facts["history"]["openings"].items())[-1]
        closed = facts["history"]["closings"][year]
        assert f"<title>{year} : ouvertures : {opened}, fermetures : {closed}</title>" in html

    def test_steps_say_their_rows_and_who_left_between_them(self, deep, html):
        told = deep[0]
        first, second = told["steps"][:2]
        row = "".join(f'<td class="number">{words.number(n)}</td>' for n in (first["rows_out"], second["rows_in"]))
        assert f'<th scope="row">Diffusion partielle et filtres</th>{row}' in html
        assert all(f'<th scope="row">{words.label("step", step["name"])}</th>' in html for step in told["steps"])

    def test_a_profile_without_units_says_who_left_before_its_first_step(self, stock):
        told, frame = report("quick", stock)
        row = f'<td class="number">–</td><td class="number">{words.number(told["steps"][0]["rows_in"])}</td>'
        assert f'<th scope="row">Diffusion partielle et filtres</th>{row}' in text_of(told, frame)

    def test_the_dictionary_says_every_column_and_how_full_it_is(self, deep, html):
        for column in deep[0]["columns"]:
            assert f"<code>{column['name']}</code>" in html
        assert "<td>texte</td>" in html
        assert "libellé de <code>naf</code>" in html

    def test_warnings_are_in_french_and_unknown_ones_as_they_are(self, deep):
        told = {**deep[0], "steps": [dict(step) for step in deep[0]["steps"]]}
        told["steps"][0]["warnings"] = [
            "7 rows have no legal unit in the file given: is it of the same month?",
            HOSTILE,
        ]
        html = text_of(told, deep[1])
        assert "7 lignes n&#x27;ont pas d&#x27;unité légale dans le fichier fourni" in html
        assert '<span lang="en">&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;&#x27;&amp;</span>' in html


class TestNobodyIsInIt:
    def test_no_name_address_or_number_of_a_row(self, deep, html):
        rows = deep[1]
        for name in ("siret", "siren", "raison_sociale", "enseigne", "adresse", "complement_adresse", "tva"):
            values = {value for value in rows[name].drop_nulls() if len(value) > 5}
            text = Outline(html).text
            assert not [value for value in values if value in text]
        assert deep[0]["issues"][0]["examples"][0] not in html

    def test_hostile_names_are_escaped_everywhere(self, deep):
        told, frame = deep
        names = [name for name, kind in frame.schema.items() if kind == pl.String and name not in {"siret", "siren"}]
        hostile = frame.with_columns(pl.lit(HOSTILE).alias(name) for name in names)
        hostile = hostile.with_columns(departement=pl.lit("75"))
        told = {
            **told,
            "code": HOSTILE,
            "label": HOSTILE,
            "profile": HOSTILE,
            "issues": [{"key": HOSTILE, "count": 1, "share": 0.1, "examples": [HOSTILE]}],
            "kpis": [{"key": HOSTILE, "target": 1.0, "value": 0.5, "verdict": "fail"}],
            "rights": {**told["rights"], "licence": HOSTILE, "source": HOSTILE},
            "steps": [{**step, "warnings": [HOSTILE]} for step in told["steps"]]
            + [{"name": HOSTILE, "rows_in": 1, "rows_out": 1, "warnings": [HOSTILE], "facts": {HOSTILE: 1}}],
            "columns": [{"name": HOSTILE, "type": HOSTILE, "meaning": HOSTILE}],
        }
        html = text_of(told, hostile)
        outline = Outline(html)
        assert "script" not in outline.tags
        assert "<script" not in html
        assert HOSTILE in outline.text
        assert set(outline.values("class")) & {HOSTILE} == set()

    def test_masked_rows_are_counted_and_said_to_be_masked(self, stock, companions):
        policy = Policy(partial_diffusion="mask", retention_days=30)
        told, frame = report("deep", stock, policy, **companions)
        html = text_of(told, frame)
        masked = told["rights"]["rows_masked_for_partial_diffusion"]
        assert f"<b>{words.number(masked)}</b> lignes masquées : " in html
        assert "la prospection est interdite" in html
        assert "À détruire au plus tard 30 jours après la fabrication." in html
        assert "lignes écartées" not in html


class TestWhatIsMissing:
    def test_a_quick_profile_has_no_score_and_says_so(self, stock):
        html = text_of(*report("quick", stock))
        text = Outline(html).text
        assert "Ce profil ne calcule pas de score." in text
        assert "Ce profil ne fait pas de contrôles." in text
        assert "Sans objectif" in text
        assert "Inconnues : le fichier des unités légales n'a pas été fourni." in text
        assert "Le nombre de personnes physiques est inconnu" in text
        assert 'href="#change"' not in html
        assert 'class="map"' not in html

    @pytest.mark.parametrize("name", profiles.NAMES)
    def test_no_rows_are_a_page_too(self, stock, companions, name):
        html = text_of(*report(name, stock.head(0), **companions))
        text = Outline(html).text
        assert "Aucun établissement dans ce jeu de données" in text
        assert "0 établissement" in text
        assert "nan" not in text.lower().split()

    def test_a_dataset_of_few_columns_is_a_page(self):
        told, _ = report("quick", establishments(30, seed=1), selections=(), stock_date=StockDate())
        html = text_of({**told, "steps": [], "columns": []}, pl.DataFrame({"siret": ["1"]}))
        assert "<h1>Jeu de données Sirene</h1>" in html
        assert "stock de date inconnue" in html

    def test_columns_without_values_are_a_page(self, deep):
        told, frame = deep
        empty = frame.with_columns(pl.lit(None, dtype=kind).alias(name) for name, kind in frame.schema.items())
        outline = Outline(text_of(told, empty))
        headings = {text for _, text in outline.headings}
        assert {"Effectifs", "Dictionnaire des données"} <= headings
        assert not {"Territoire", "Années de création", "Activités"} & headings, "nothing is known of these"
        assert {link[1:] for link in outline.values("href")} <= set(outline.values("id"))
        assert f"{words.number(frame.height)} établissements" in outline.text
        assert f"{words.number(frame.height)} · 100\u202f%" in outline.text, "no headcount is known"
        assert not {"nan", "none", "null"} & set(outline.text.lower().split())

    def test_without_the_file_the_history_says_where_it_comes_from(self, stock, companions):
        html = text_of(*report("deep", stock, units=companions["units"]))
        assert "faute de fichier historique" in html
        assert "Pas de jeu précédent auquel comparer celui-ci." in html

    def test_one_row_is_spelt_in_the_singular(self, stock, companions):
        told, frame = report("deep", stock.filter(pl.col("statutDiffusionEtablissement") == "O").head(1), **companions)
        assert "<strong>1 établissement</strong>" in text_of(told, frame)


STYLE = (files("joblot_sirene") / "data" / "page.css").read_text(encoding="utf-8")


def colours(block):
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))


def contrast(one, other):
    def light(colour):
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        red, green, blue = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    bright, dark = sorted((light(one), light(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


class TestLooks:
    LIGHT, DARK, PRINT = (colours(part) for part in re.split(r"@media \((?=prefers)|@media print", STYLE))

    @pytest.mark.parametrize("scheme", [LIGHT, {**LIGHT, **DARK}, {**LIGHT, **PRINT}], ids=["light", "dark", "print"])
    def test_text_can_be_read_on_its_ground(self, scheme):
        for text in ("ink", "soft", "accent"):
            assert contrast(scheme[text], scheme["ground"]) >= 4.5
            assert contrast(scheme[text], scheme["card"]) >= 4.5
        for verdict in ("good", "fair", "bad"):
            assert contrast(scheme[verdict], scheme[f"{verdict}-ground"]) >= 4.5
        for fill in ("fill", "below"):
            assert contrast(scheme[fill], scheme["card"]) >= 3

    def test_dark_and_print_name_every_colour_that_light_has(self):
        assert set(self.LIGHT) == set(self.DARK) == set(self.PRINT)
        assert set(re.findall(r"var\(--([\w-]+)\)", STYLE)) == set(self.LIGHT)
