"""No output, log or journal of a batch holds a name or an address of somebody who must not be shown."""

import os

import polars as pl
import pytest

from joblot_sirene.register.layout import COLUMNS, UNIT_COLUMNS
from joblot_sirene.register.privacy import MASKED_COLUMNS, PERSON_COLUMNS
from joblot_sirene.stock.source import data_type

CANARY = "ZQXCANARY"
TEXTS = [name for name in MASKED_COLUMNS if data_type(name) == pl.String]


@pytest.fixture
def planted(processes, stock):
    """The stock with a word planted in every name and address of rows with partial diffusion, and in every name of natural persons."""
    rows, units = pl.read_parquet(stock.establishments), pl.read_parquet(stock.units)
    hidden = pl.col("statutDiffusionEtablissement") != "O"
    rows = rows.with_columns(
        pl.when(hidden).then(pl.lit(f"{CANARY}{name[:6]}")).otherwise(pl.col(name)).alias(name)
        for name in COLUMNS
        if name in TEXTS
    )
    person = pl.col("categorieJuridiqueUniteLegale").cast(pl.String).str.starts_with("1")
    unshown = pl.col("statutDiffusionUniteLegale") != "O"
    units = units.with_columns(
        pl.when(unshown | (person if name in PERSON_COLUMNS else pl.lit(value=False)))
        .then(pl.lit(f"{CANARY}{name[:6]}"))
        .otherwise(pl.col(name))
        .alias(name)
        for name in UNIT_COLUMNS
        if name in TEXTS
    )
    rows.write_parquet(processes.folder / "planted.parquet")
    units.write_parquet(processes.folder / "units.parquet")
    planted = rows.filter(hidden & pl.col("activitePrincipaleEtablissement").str.starts_with("68."))
    assert planted.height > 10
    return processes


def holding(folder):
    """Files below a folder, also hidden ones, that hold the planted word: as text, and inside Parquet's packed pages."""
    found = []
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            with open(path, "rb") as file:
                if CANARY.encode() in file.read():
                    found.append(path)
            if name.endswith(".parquet"):
                table = pl.read_parquet(path)
                if any(CANARY in text for text in table.select(pl.col(pl.String)).unpivot()["value"].drop_nulls()):
                    found.append(path)
    return found


@pytest.mark.parametrize("diffusion", ["exclude", "mask"])
@pytest.mark.parametrize("profile", ["quick", "deep"])
def test_a_planted_name_is_nowhere_in_what_a_batch_leaves(planted, profile, diffusion):
    (planted.folder / "own.yaml").write_text(
        'niche: "{niche_name}"\nprofile: "{profile}"\nfilters: {naf_include: ["{naf_code}"]}\n'
        f"privacy: {{partial_diffusion: {diffusion}}}\n"
        + ("" if profile == "quick" else "scoring: {weights: {contactability: 0}}\n")
    )
    done = planted(
        "batch", "--naf", "68", "--naf", "43", "--input", "planted.parquet", "--unite-legale", "units.parquet", "--template",
        "own.yaml", "--profile", profile, "--output-dir", "out", "--verbose", "--report", "report.json",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert CANARY not in done.out + done.err
    assert holding(planted.folder / "out") == []
    assert holding(planted.folder / ".joblot") == []
    assert holding(planted.folder / "jobs_generated") == []
    assert CANARY not in (planted.folder / "report.json").read_text()
    shown = pl.read_parquet(planted.folder / "out" / "naf_68" / "dataset.parquet")
    assert shown.height > 0
    assert set(shown["statut_diffusion"]) == ({"O"} if diffusion == "exclude" else {"O", "P"})


@pytest.mark.parametrize("lost", ["siren", "siret", "both", "column"])
def test_a_unit_hides_its_establishments_also_when_a_spreadsheet_took_the_zeros(sirene, stock, lost):
    """Establishments with full diffusion, in whose names a word is planted when their unit may not be shown."""
    rows, units = pl.read_parquet(stock.establishments), pl.read_parquet(stock.units)
    unshown = units.filter(pl.col("statutDiffusionUniteLegale") != "O")["siren"]
    hidden = pl.col("siren").is_in(unshown.implode())
    rows = rows.with_columns(
        pl.when(hidden).then(pl.lit(CANARY)).otherwise(pl.col(name)).alias(name) for name in COLUMNS if name in TEXTS
    ).with_columns(statutDiffusionEtablissement=pl.lit("O"))
    numbers = [name for name in ("siren", "siret") if lost in (name, "both")]
    rows = rows.with_columns(pl.col(name).cast(pl.Int64) for name in numbers)
    (rows.drop("siren") if lost == "column" else rows).write_parquet(sirene.folder / "lost.parquet")
    done = sirene(
        "batch", "--naf", "68", "--input", "lost.parquet", "--unite-legale", stock.units, "--output-dir", "out"
    )
    assert done.code == 0, done.err
    assert holding(sirene.folder / "out") == []
    assert pl.read_parquet(sirene.folder / "out" / "naf_68" / "dataset.parquet").height > 10


def test_the_planted_words_would_be_found(planted):
    """The search of the test above sees what it looks for: names of natural persons, when a job asks for them."""
    (planted.folder / "own.yaml").write_text(
        'niche: "{niche_name}"\nfilters: {naf_include: ["{naf_code}"]}\nprivacy: {person_names: true}\n'
    )
    planted(
        "batch", "--naf", "68", "--input", "planted.parquet", "--unite-legale", "units.parquet", "--template", "own.yaml",
        "--output-dir", "out",
    )  # fmt: skip
    found = {os.path.basename(path) for path in holding(planted.folder / "out")}
    assert found >= {"dataset.csv", "dataset.parquet"}
