"""The filters of a job file: every key has an effect or is refused with its line."""

import datetime as dt

import pytest

from joblot import ConfigError, Document
from joblot_sirene.fields import Fields
from joblot_sirene.register import expressions, filters
from sirene.reference import read_filters
from sirene.stock import table

ROW = {
    "siret": "73282932000074",
    "activitePrincipaleEtablissement": "69.20Z",
    "nomenclatureActivitePrincipaleEtablissement": "NAFRev2",
    "activitePrincipaleNAF25Etablissement": "69.20Y",
    "etatAdministratifEtablissement": "A",
    "codeCommuneEtablissement": "75108",
    "codePostalEtablissement": "75008",
    "libellePaysEtrangerEtablissement": None,
    "trancheEffectifsEtablissement": "11",
    "dateCreationEtablissement": dt.date(2015, 6, 1),
    "etablissementSiege": True,
    "caractereEmployeurEtablissement": "O",
    "categorieJuridiqueUniteLegale": "5710",
}


def read(text):
    document = Document.parse(text, file="job.yaml")
    found = filters.read(Fields(document, "filters"))
    document.raise_problems()
    return found


def keeps(row, chosen):
    frame = table([row], tuple(row))
    return frame.select(expressions.keeps(chosen)).item()


def errors(text):
    with pytest.raises(ConfigError) as caught:
        read(text)
    return [(problem.line, problem.message, problem.hint) for problem in caught.value.diagnostics]


def test_r86_no_filter_takes_active_rows():
    assert keeps(ROW, read_filters({}))
    assert not keeps({**ROW, "etatAdministratifEtablissement": "F"}, read_filters({}))
    assert keeps({**ROW, "etatAdministratifEtablissement": "F"}, read_filters({"active_only": False}))


@pytest.mark.parametrize(
    ("tree", "change", "expected"),
    [
        ({"naf_include": ["69"]}, {}, True),
        ({"naf_include": ["43", "69.20Z"]}, {}, True),
        ({"naf_include": ["43"]}, {}, False),
        ({"naf_include": ["69"], "naf_exclude": ["69.20Z"]}, {}, False),
        ({"naf_include": ["69.20Y"]}, {}, True),
        ({"naf_include": "69", "nomenclature": "NAF2025"}, {"activitePrincipaleNAF25Etablissement": None}, False),
        ({"regions": ["75"]}, {}, True),  # digits are the beginning of a postal code, as in the program before
        ({"regions": ["Île-de-France"]}, {}, True),
        ({"regions": ["ile de france"]}, {}, True),
        ({"regions": ["Bretagne"]}, {}, False),
        ({"regions": ["Bretagne"], "departments": ["75"]}, {}, True),  # areas add up
        ({"departments": [1, "2a"]}, {"codeCommuneEtablissement": "2A004"}, True),
        ({"departments": ["35"]}, {"codeCommuneEtablissement": None, "codePostalEtablissement": "35000"}, True),
        ({"communes": ["75056"]}, {}, True),  # a city stands for its districts
        ({"communes": ["75101"]}, {}, False),
        ({"communes": [1053]}, {"codeCommuneEtablissement": "01053"}, True),
        ({"departments": ["01"]}, {"codeCommuneEtablissement": "1004"}, True),  # a spreadsheet took the zero
        ({"departments": ["10"]}, {"codeCommuneEtablissement": "1004"}, False),
        ({"departments": ["04"]}, {"codeCommuneEtablissement": None, "codePostalEtablissement": "4000"}, True),
        ({"communes": ["01004"]}, {"codeCommuneEtablissement": "1004.0"}, True),
        ({"postal_prefixes": ["04"]}, {"codePostalEtablissement": "4000"}, True),
        ({"postal_prefixes": ["40"]}, {"codePostalEtablissement": "4000"}, False),
        ({"postal_prefixes": ["750"]}, {}, True),
        ({"postal_prefixes": ["751"]}, {}, False),
        ({"headcount": ["11", "12"]}, {}, True),
        ({"headcount": [1]}, {"trancheEffectifsEtablissement": "01"}, True),
        ({"headcount": {"min": 10}}, {}, True),
        ({"headcount": {"min": 10, "max": 19}}, {"trancheEffectifsEtablissement": "12"}, False),
        ({"headcount": {"min": 10}}, {"trancheEffectifsEtablissement": None}, False),
        ({"created": {"from": 2015, "to": 2015}}, {}, True),
        ({"created": {"from": "2015-06-02"}}, {}, False),
        ({"created": {"to": "2015-06-01"}}, {}, True),
        ({"created": {"to": 2020}}, {"dateCreationEtablissement": dt.date(1900, 1, 1)}, False),  # nobody knows when
        ({"created": {"to": 2020}}, {"dateCreationEtablissement": None}, False),
        ({"head_office_only": True}, {"etablissementSiege": False}, False),
        ({"head_office_only": True}, {}, True),
        ({"employers_only": True}, {"caractereEmployeurEtablissement": "N"}, False),
        ({"legal_forms": [57]}, {}, True),
        ({"legal_forms": ["5499"]}, {}, False),
        ({"natural_persons": False}, {"categorieJuridiqueUniteLegale": "1000"}, False),
        ({"natural_persons": False}, {}, True),
        ({"natural_persons": False}, {"categorieJuridiqueUniteLegale": None}, False),
    ],
)
def test_r86_each_filter_does_what_it_says(tree, change, expected):
    assert keeps({**ROW, **change}, read_filters(tree)) is expected


def test_r88_an_unknown_key_is_refused_with_its_line():
    assert errors("filters:\n  activ_only: true\n") == [
        (2, "unknown key `filters.activ_only`", "did you mean `active_only`?")
    ]


def test_every_mistake_is_found_at_once_in_the_order_of_the_file():
    found = errors(
        "filters:\n"
        "  naf_include: [69.20Z, '43\"]', 52.4Y]\n"
        "  departments: [01, 2a, 200]\n"
        "  regions: [Bretange]\n"
        "  headcount: {min: 10, max: 5}\n"
        "  created: {from: 2020, to: 2019-13-01}\n"
        "  employers_only: yes\n"
        "  communes: [35000-1]\n"
    )
    assert found == [
        (
            2,
            '`43"]` is not an activity code',
            "write a section (`F`), a division (`43`), a group (`43.2`), a class (`43.29`) or a sub-class (`43.29A`)",
        ),
        (
            2,
            "`52.4Y` is not a code of NAF rev. 2 or NAF 2025: a letter follows four digits",
            "codes with a letter after three digits are of lists before 2008",
        ),
        (3, "`filters.departments`: `200` is not a department's code (`35`, `2A`, `974`)", ""),
        (
            4,
            "`filters.regions`: `Bretange` is not a region's name or the beginning of a postal code",
            "did you mean `Bretagne`?",
        ),
        (5, "`filters.headcount.max` is less than `filters.headcount.min`", "swap them"),
        (6, "`filters.created.to` must be a date such as `2020-01-31` or a year, not `2019-13-01`", ""),
        (7, "`filters.employers_only` must be `true` or `false`, not `yes`", ""),
        (
            8,
            "`filters.communes`: `35000-1` is not a commune's code of five characters (`35238`, not its postal code)",
            "",
        ),
    ]


def test_codes_keep_their_zeros():
    """As they were typed without quotes: `43.20` is a number to YAML, and `01.10` is none."""
    found = read("filters: {naf_include: [43.20, 01.10, 01], postal_prefixes: [04000, 35], departments: 01}")
    assert [selection.code for selection in found.naf_include] == ["4320", "0110", "01"]
    assert found.postal_prefixes == ("04000", "35")
    assert found.departments == {"01"}
    assert errors("filters: {naf_include: [1e3]}")[0][1] == "`1e3` is not an activity code"


def test_a_number_beyond_64_bits_is_refused_as_in_batch_files():
    message = "a number is too large: whole numbers have 64 bits"
    assert errors("filters:\n  headcount: {min: 99999999999999999999}\n") == [
        (2, message, "quote it if a text is meant")
    ]


@pytest.mark.parametrize("bounds", ["min: 20000", "min: 11, max: 18", "min: 9999999999999999"])
def test_bounds_that_no_band_meets_are_refused_and_do_not_take_every_row(bounds):
    assert errors(f"filters:\n  headcount: {{{bounds}}}\n") == [
        (
            2,
            "no band of the register lies within `filters.headcount`",
            "the register knows bands only, such as 10 to 19 and 20 to 49, the last one from 10000",
        )
    ]


@pytest.mark.parametrize("code", ["1", "٤٣٤٣٤", "100", "2A04"])
def test_what_is_no_commune_is_refused(code):
    message = f"`filters.communes`: `{code}` is not a commune's code of five characters (`35238`, not its postal code)"
    assert errors(f"filters:\n  communes: [{code}]\n") == [(2, message, "")]


def test_a_mapping_is_asked_for():
    assert errors("filters: [1]") == [(1, "`filters` must be a mapping of keys, not a list", "")]
