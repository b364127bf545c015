"""Activity codes of both lists, at every level, and the rows that they match."""

import datetime as dt
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joblot_sirene.register import expressions, naf
from joblot_sirene.register.naf import NAF25, REV2, NafError, matching_rules, nearest, parse_code, parse_codes
from sirene.stock import table

REV2_CODES = sorted(naf.labels(REV2))
NEW_CODES = sorted(naf.labels(NAF25))


def row(code, nomenclature="NAFRev2", naf25=None):
    return {
        "activitePrincipaleEtablissement": code,
        "nomenclatureActivitePrincipaleEtablissement": nomenclature,
        "activitePrincipaleNAF25Etablissement": naf25,
    }


def test_the_lists_have_the_official_counts():
    assert len(REV2_CODES) == 732
    assert len(NEW_CODES) == 747
    assert len({code[:5] for code in REV2_CODES}) == 615
    assert len({code[:5] for code in NEW_CODES}) == 651
    assert len({code[:4] for code in REV2_CODES}) == 272
    assert len({code[:4] for code in NEW_CODES}) == 287
    assert len({code[:2] for code in REV2_CODES}) == 88
    assert len({code[:2] for code in NEW_CODES}) == 87
    assert len({naf.section_of(code, REV2) for code in REV2_CODES}) == 21
    assert len({naf.section_of(code, NAF25) for code in NEW_CODES}) == 22


def test_the_letter_tells_the_list():
    assert {code[-1] for code in REV2_CODES} == set("ZABCDEF")
    assert {code[-1] for code in NEW_CODES} == set("YGHJKL")
    assert not set(REV2_CODES) & set(NEW_CODES)
    assert all(naf.nomenclature_of(code) == REV2 for code in REV2_CODES)
    assert all(naf.nomenclature_of(code) == NAF25 for code in NEW_CODES)
    assert naf.nomenclature_of("52.4Y") is None


def test_classes_are_those_of_the_european_lists():
    nace = pytest.importorskip("stdnum.eu.nace")
    assert all(nace.is_valid(code[:5], revision="2.0") for code in REV2_CODES)
    assert all(nace.is_valid(code[:5], revision="2.1") for code in NEW_CODES)
    assert all(nace.info(code[:5], revision="2.0")["section"] == naf.section_of(code, REV2)[0] for code in REV2_CODES)
    assert all(nace.info(code[:5], revision="2.1")["section"] == naf.section_of(code, NAF25)[0] for code in NEW_CODES)


@pytest.mark.parametrize("text", ["6920Z", "69.20Z", "69.20z", " 69 . 20 Z ", "69.20 z"])
def test_r85_a_code_is_read_with_or_without_dot_in_any_case(text):
    selection = parse_code(text)
    assert (selection.code, selection.codes, selection.nomenclature) == ("6920Z", {"69.20Z"}, REV2)
    assert selection.label == "Activités comptables"


def test_r72_the_name_is_naf_and_the_code_in_upper_case_without_dots_and_spaces():
    assert parse_code("43 . 29 A").name == "naf_4329A"
    assert parse_code("f").name == "naf_F"
    assert parse_code("43.2").name == "naf_432"


@pytest.mark.parametrize(
    ("text", "level", "count"),
    [
        ("43", "division", 24),
        ("43.2", "group", 6),
        ("432", "group", 6),
        ("4329", "class", 2),
        ("43.29A", "sub-class", 1),
        ("F", "section", 38),
    ],
)
def test_r84_prefixes_stand_for_their_sub_classes(text, level, count):
    selection = parse_code(text)
    assert (selection.level, len(selection.codes)) == (level, count)


@given(st.sampled_from(REV2_CODES + NEW_CODES))
def test_every_code_is_in_its_class_group_division_and_section(code):
    nomenclature = naf.nomenclature_of(code)
    letter = naf.section_of(code, nomenclature)[0]
    for text in (code, code.replace(".", ""), code[:5], code[:4], code[:2], letter):
        assert (
            code
            in parse_code(text, None if text.replace(".", "")[-1].isalpha() and len(text) > 1 else nomenclature).codes
        )


@given(st.text(max_size=12))
def test_any_text_is_a_code_or_one_clear_error(text):
    try:
        selection = parse_code(text)
    except NafError as error:
        assert "\n" not in error.message  # noqa: PT017
    else:
        assert re.fullmatch(r"naf_([A-V]|\d{2,4}[A-Z]?)", selection.name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('43"]', '`43"]` is not an activity code'),
        ("../x", "`../x` is not an activity code"),
        ("", "`` is not an activity code"),
        ("4", "`4` is not an activity code"),
        ("٤٣", "`٤٣` is not an activity code"),
        ("４３", "`４３` is not an activity code"),
        ("\N{LATIN SMALL LETTER DOTLESS I}", "`\N{LATIN SMALL LETTER DOTLESS I}` is not an activity code"),
        ("43\n29A: x", "`43?29A: x` is not an activity code"),
        ("52.4Y", "`52.4Y` is not a code of NAF rev. 2 or NAF 2025: a letter follows four digits"),
        ("69.20Q", "`6920Q` is in no list of activities: no code ends in `Q`"),
        ("W", "`W` is no section of NAF rev. 2 or NAF 2025"),
    ],
)
def test_r74_a_malformed_code_is_refused(text, message):
    with pytest.raises(NafError) as caught:
        parse_code(text)
    assert caught.value.message == message
    assert caught.value.exit_code == 2


def test_d14_a_code_belongs_to_the_list_of_its_letter():
    assert parse_code("69.20Y").nomenclature == NAF25
    with pytest.raises(NafError) as caught:
        parse_code("69.20Z", NAF25)
    assert caught.value.message == "`6920Z` is a code of NAF rev. 2, not of NAF 2025"


def test_without_a_letter_the_default_or_the_only_list_decides():
    assert parse_code("62").nomenclature == REV2
    assert parse_code("62", NAF25).nomenclature == NAF25
    assert parse_code("62", default=NAF25).nomenclature == NAF25
    assert parse_code("45", default=NAF25).nomenclature == REV2  # rev. 2 only
    assert parse_code("V").nomenclature == NAF25
    with pytest.raises(NafError, match=r"`45` is in NAF rev\. 2 only, not in NAF 2025"):
        parse_code("45", NAF25)


def test_the_default_list_changes_on_1_january_2027():
    assert naf.default_nomenclature(dt.date(2026, 12, 31)) == REV2
    assert naf.default_nomenclature(dt.date(2027, 1, 1)) == NAF25


def test_d12_a_well_formed_code_that_no_list_has_is_taken_with_a_hint():
    selection = parse_code("99.99Z")
    assert (selection.known, selection.codes) == (False, {"99.99Z"})
    assert selection.hint == "nearest: `99.00Z`, `98.20Z`, `98.10Z`"
    assert parse_code("44").codes == frozenset()


def test_d12_repeats_are_merged_with_a_warning_and_overlaps_are_allowed():
    selections, warnings = parse_codes(["69.20z", "6920Z", "69", "43", "43.29A", "9999Z"])
    assert [selection.name for selection in selections] == ["naf_6920Z", "naf_69", "naf_43", "naf_4329A", "naf_9999Z"]
    assert warnings == [
        "the code `6920Z` is given twice: it is done once",
        "the code `9999Z` is in neither list of activities: nearest: `99.00Z`, `98.20Z`, `98.10Z`",
    ]


def test_d12_nearest_codes_share_the_longest_beginning():
    assert nearest("43.29A", ["43.29B", "43.21A", "69.20Z", "43.34Z"]) == ["43.29B", "43.21A", "43.34Z"]


@pytest.mark.parametrize(
    ("code", "line", "expected"),
    [
        ("69", row("69.20Z"), True),
        ("69", row("69.12", "NAP"), False),  # a naive prefix takes it
        ("69", row("69.20", "NAP"), False),
        ("52", row("52.4Y", "NAF1993"), False),
        ("52", row("52.29A", "NAFRev1"), False),
        ("69", row("69.20Z", None), True),
        ("69", row(None, None), False),
        ("69.20Y", row("69.20Z", "NAFRev2", "69.20Y"), True),
        ("69.20Z", row("69.20Z", "NAFRev2", "69.20Y"), True),
        ("69.20Y", row("69.20Z", "NAFRev2", None), False),
        ("69.20Y", row("69.20Y", "NAF2025", None), True),  # from 2027 the main column holds the new list
        ("69.20Z", row("69.20Y", "NAF2025", None), False),
        ("69.20Z", row("69.20Z", "NAFRev2", None), True),
    ],
)
def test_d14_a_row_matches_by_nomenclature_and_full_code(code, line, expected):
    frame = table([line], tuple(line))
    assert frame.select(expressions.matches(parse_code(code))).item() is expected


def test_the_rule_is_data_for_engines():
    [rule] = matching_rules(parse_code("69.20Z"))
    assert (rule.code_column, rule.nomenclature_column) == (
        "activitePrincipaleEtablissement",
        "nomenclatureActivitePrincipaleEtablissement",
    )
    assert rule.nomenclatures == {"NAFRev2", ""}
    first, second = matching_rules(parse_code("69.20Y"))
    assert (first.code_column, first.nomenclature_column) == ("activitePrincipaleNAF25Etablissement", None)
    assert second.nomenclatures == {"NAF2025", ""}


def test_labels_are_found_by_any_spelling():
    assert (
        naf.label("0111z") == "Culture de céréales (à l'exception du riz), de légumineuses et de graines oléagineuses"
    )
    assert naf.label("96.21G") == "Coiffure et activités de barbier en salon"
    assert naf.label("12.3") is None


@pytest.mark.parametrize(
    ("code", "nomenclature", "label"),
    [
        ("62", REV2, "Programmation, conseil et autres activités informatiques"),
        ("472", REV2, "Commerce de détail alimentaire en magasin spécialisé"),
        ("4721", REV2, "Commerce de détail de fruits et légumes en magasin spécialisé"),
        ("43.29", REV2, "Autres travaux d'installation"),
        (
            "46.21",
            REV2,
            "Commerce de gros de céréales, de tabac non manufacturé, de semences et d'aliments pour le bétail",
        ),
        ("01.3", REV2, "Reproduction de plantes"),
        ("F", REV2, "Construction"),
        ("47", NAF25, "Commerce de détail"),
        ("47.1", NAF25, "Commerce de détail non spécialisé"),
        ("59.11", NAF25, "Production de films cinématographiques, de vidéos et de programmes de télévision"),
        ("01.3", NAF25, "Reproduction de plantes"),
        ("62", NAF25, "Programmation, conseil et autres activités informatiques"),
    ],
)
def test_every_level_has_the_label_of_its_list(code, nomenclature, label):
    assert parse_code(code, nomenclature).label == label


@pytest.mark.parametrize(("nomenclature", "counts"), [(REV2, (88, 272, 615)), (NAF25, (87, 287, 651))])
def test_divisions_groups_and_classes_all_have_a_french_label(nomenclature, counts):
    every = naf.labels(nomenclature)
    levels = [sorted({code[:length] for code in every}) for length in (2, 4, 5)]
    assert tuple(map(len, levels)) == counts
    listed = naf._level_labels(nomenclature)
    assert set(listed) <= {code for level in levels for code in level}
    for code in (code for level in levels for code in level):
        selection = parse_code(code, nomenclature)
        assert len(selection.codes) == 1 or code in listed
        assert selection.label[0].isupper()
        assert "\u2019" not in selection.label
