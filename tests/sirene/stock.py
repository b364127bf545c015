"""Small stock files for tests: rows as dictionaries by canonical name, written in any of the formats."""

import csv
import io
import zipfile

import polars as pl

from joblot_sirene.register.layout import COLUMNS, GEO_COLUMNS
from joblot_sirene.stock.source import data_type

CODE = "activitePrincipaleEtablissement"
NOMENCLATURE = "nomenclatureActivitePrincipaleEtablissement"
CODE25 = "activitePrincipaleNAF25Etablissement"
STATE = "etatAdministratifEtablissement"
NAMES = (
    "siret",
    "dateCreationEtablissement",
    "etablissementSiege",
    "enseigne1Etablissement",
    STATE,
    CODE,
    NOMENCLATURE,
    CODE25,
)


def table(rows, names=NAMES):
    return pl.DataFrame(
        {name: [row.get(name) for row in rows] for name in names}, {name: data_type(name) for name in names}
    )


def text(frame, *, delimiter=",", end="\n", bom=False):
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end)
    writer.writerow(frame.columns)
    for row in frame.iter_rows():
        writer.writerow(
            ["" if value is None else str(value).lower() if isinstance(value, bool) else value for value in row]
        )
    return ("\ufeff" if bom else "").encode() + out.getvalue().encode()


def write(frame, path, **dialect):
    """The format is the path's ending."""
    if path.suffix == ".parquet":
        frame.write_parquet(path)
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("StockEtablissement_utf8.csv", text(frame, **dialect))
    else:
        path.write_bytes(text(frame, **dialect))
    return path


def full_width(rows):
    return table(rows, tuple(COLUMNS))


def with_key(digits):
    """A number with the last digit that makes it pass Luhn's check."""
    total = sum(d if i % 2 else d * 2 - 9 * (d > 4) for i, d in enumerate(map(int, reversed(digits))))
    return digits + str(-total % 10)


def place(number, **cells):
    """All cells of a tidy, public, active establishment as text, by canonical name without `Etablissement`; `cells` replace some."""
    siren = with_key(f"299{number:05d}")
    siret = with_key(siren + "0001")
    tidy = {
        "siren": siren,
        "nic": siret[9:],
        "siret": siret,
        "statutDiffusion": "O",
        "dateCreation": "2015-06-01",
        "trancheEffectifs": "NN",
        "dateDernierTraitement": "2026-10-31T08:30:00",
        "etablissementSiege": "true",
        "numeroVoie": "12",
        "typeVoie": "RUE",
        "libelleVoie": "DES LILAS",
        "codePostal": "75011",
        "libelleCommune": "PARIS",
        "codeCommune": "75111",
        "dateDebut": "2015-06-01",
        "etatAdministratif": "A",
        "activitePrincipale": "62.01Z",
        "nomenclatureActivitePrincipale": "NAFRev2",
        "caractereEmployeur": "N",
        "activitePrincipaleNAF25": "62.10Y",
    } | cells
    return {
        name if name in COLUMNS or name in GEO_COLUMNS else f"{name}Etablissement": cell for name, cell in tidy.items()
    }


def write_places(path, rows, names=tuple(COLUMNS)):
    """Rows of text cells as CSV, zipped CSV, or Parquet in which every column is text."""
    frame = pl.DataFrame({name: [row.get(name) for row in rows] for name in names}, dict.fromkeys(names, pl.String))
    return write(frame, path)


def row(number, code="69.20Z", **more):
    return {"siret": f"{number:014d}", STATE: "A", CODE: code, NOMENCLATURE: "NAFRev2", **more}
