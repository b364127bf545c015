"""Small stock files for tests: rows as dictionaries by canonical name, written in any of the formats."""

import csv
import io
import zipfile

import polars as pl

from joblot_sirene.register.layout import COLUMNS
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


def row(number, code="69.20Z", **more):
    return {"siret": f"{number:014d}", STATE: "A", CODE: code, NOMENCLATURE: "NAFRev2", **more}
