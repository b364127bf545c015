"""Who may be shown: the rules of the register and of the law, as data."""

import datetime as dt

import polars as pl
import pytest

from joblot import ConfigError
from joblot_sirene.register import privacy
from joblot_sirene.register.layout import COLUMNS, GEO_COLUMNS, UNIT_COLUMNS
from joblot_sirene.register.privacy import (
    ADDRESS_COLUMNS,
    MASK,
    MASKED_COLUMNS,
    NAME_COLUMNS,
    PERSON_COLUMNS,
    Counts,
    Policy,
    describe,
    protect,
)
from joblot_sirene.register.stock_date import StockDate
from sirene.reference import is_public, masked, read_policy

FRAME = pl.DataFrame(
    {
        "siret": ["1", "2", "3", "4"],
        "statutDiffusionEtablissement": ["O", "P", "N", None],
        "enseigne1Etablissement": ["SHOWN", "PLANTED NAME", "[ND]", "PLANTED TOO"],  # masking in the files is irregular
        "libelleVoieEtablissement": ["DES LILAS", "PLANTED STREET", None, None],
        "libelleCommuneEtablissement": ["RUE", "RENNES", "LYON", "PARIS"],
        "nomUniteLegale": ["PERSON", "PERSON", None, None],
        "categorieJuridiqueUniteLegale": ["1000", "1000", "5710", None],
    }
)


def test_masked_columns_are_those_that_the_register_masks():
    assert len(ADDRESS_COLUMNS) + len(NAME_COLUMNS) == 27
    assert set(COLUMNS) | set(UNIT_COLUMNS) | set(GEO_COLUMNS) >= MASKED_COLUMNS
    assert "codeCommuneEtablissement" not in MASKED_COLUMNS
    assert "libelleCommune2Etablissement" not in MASKED_COLUMNS
    assert {"coordonneeLambertAbscisseEtablissement", "codePostalEtablissement", "typeVoie2Etablissement"} <= set(
        ADDRESS_COLUMNS
    )


def test_r86_rows_with_partial_diffusion_are_left_out_and_counted():
    kept, counts = protect(FRAME, Policy())
    assert kept["siret"].to_list() == ["1"]
    assert counts == Counts(kept=1, excluded=3, masked=0, natural_persons=1)


def test_rows_that_are_kept_are_masked_by_us_whatever_the_file_shows():
    kept, counts = protect(FRAME, Policy(partial_diffusion="mask"))
    assert counts == Counts(kept=4, excluded=0, masked=3, natural_persons=2, unknown_forms=1)
    text = str(kept.to_dicts())
    assert "PLANTED" not in text
    assert kept["libelleCommuneEtablissement"].to_list() == ["RUE", "RENNES", "LYON", "PARIS"]
    assert kept["enseigne1Etablissement"].to_list() == ["SHOWN", MASK, MASK, MASK]


def test_masking_in_bulk_is_masking_row_by_row():
    kept, _ = protect(FRAME, Policy(partial_diffusion="mask", person_names=True))
    expected = [row if is_public(row) else masked(row) for row in FRAME.to_dicts()]
    assert expected[3]["statutDiffusionEtablissement"] is None
    expected[3]["statutDiffusionEtablissement"] = "P"  # nobody can be told to be public in it, and it says so
    assert kept.to_dicts() == expected


def test_names_of_natural_persons_are_there_only_on_request():
    assert not set(protect(FRAME, Policy())[0].columns) & set(PERSON_COLUMNS)
    assert protect(FRAME, Policy(person_names=True))[0]["nomUniteLegale"].to_list() == ["PERSON"]


def test_a_unit_with_partial_diffusion_hides_its_establishments():
    frame = FRAME.with_columns(pl.Series("statutDiffusionUniteLegale", ["P", "O", "O", "O"]))
    assert protect(frame, Policy())[1].excluded == 4


def test_without_a_status_nobody_is_shown():
    with pytest.raises(ValueError, match="BUG: `statutDiffusionEtablissement` is needed"):
        protect(FRAME.drop("statutDiffusionEtablissement"), Policy())


def test_r92_the_manifest_says_truly_what_personal_data_is_inside():
    _, counts = protect(FRAME, Policy())
    facts = describe(Policy(), counts, StockDate(dt.date(2026, 11, 1), "option"))
    assert facts["personal_data"] is True
    assert facts["rows_of_natural_persons"] == 1
    assert facts["rows_excluded_for_partial_diffusion"] == 3
    assert facts["source"] == "Source: INSEE, base Sirene, stock of 2026-11-01"
    assert facts["licence"] == "Licence Ouverte 2.0 (Etalab)"
    assert describe(Policy(), Counts(kept=2), StockDate())["personal_data"] == "unknown"
    assert (
        describe(Policy(), Counts(kept=2, natural_persons=0, unknown_forms=1), StockDate())["personal_data"]
        == "unknown"
    )
    assert describe(Policy(), Counts(kept=2, natural_persons=1, unknown_forms=1), StockDate())["personal_data"] is True
    assert describe(Policy(), Counts(kept=2, natural_persons=0), StockDate())["personal_data"] is False
    assert describe(Policy(), Counts(kept=0), StockDate())["personal_data"] is False


def test_r88_retention_days_decide_when_a_package_must_be_gone():
    policy = read_policy({"retention_days": 30})
    assert privacy.expires(dt.date(2026, 11, 1), policy) == dt.date(2026, 12, 1)
    assert privacy.expires(dt.date(2026, 11, 1), Policy()) is None
    assert privacy.is_expired({"expires": "2026-12-01"}, dt.date(2026, 12, 1))
    assert not privacy.is_expired({"expires": "2026-12-01"}, dt.date(2026, 11, 30))
    assert not privacy.is_expired({"expires": None}, dt.date(2030, 1, 1))


def test_wrong_keys_are_refused():
    with pytest.raises(ConfigError) as caught:
        read_policy({"partial_diffusion": "keep", "retention_days": 0, "person_name": True})
    assert [problem.message for problem in caught.value.diagnostics] == [
        "`privacy.partial_diffusion` must be `exclude` or `mask`, not `keep`",
        "`privacy.retention_days` must be a whole number of 1 or more, not `0`",
        "unknown key `privacy.person_name`",
    ]
