"""Small files of the register for tests of the whole command: rows with all columns, every one of them made up."""

import csv
import io
import os
import zipfile

import polars as pl

from joblot_sirene.register.layout import COLUMNS, UNIT_COLUMNS
from joblot_sirene.stock.source import as_type, data_type

E, U = "Etablissement", "UniteLegale"
HIDDEN = dict.fromkeys(["numeroVoie", "typeVoie", "libelleVoie", "codePostal", "enseigne1"], "[ND]") | {
    "statutDiffusion": "P"
}
MASK = (
    'niche: "{niche_name}"\nprofile: "{profile}"\nfilters:\n  naf_include: ["{naf_code}"]\n  active_only: false\n'
    "privacy: {partial_diffusion: mask}\nscoring: {weights: {contactability: 0}}\n"
)
"""A template of job files that keeps closed and hidden rows."""


def key(text):
    """The number with the digit that makes it pass the Luhn check."""
    total = sum(d if i % 2 else d * 2 - 9 * (d > 4) for i, d in enumerate(map(int, reversed(text))))
    return text + str(-total % 10)


def siren(number):
    return key(f"399{number:05d}")


def siret(number, place=1):
    return key(siren(number) + f"{place:04d}")


def _named(made, cells, suffix):
    named = {name if name in made else name + suffix: value for name, value in cells.items()}
    assert set(named) <= set(made), set(named) - set(made)
    return made | named


def row(number, place=1, **cells):
    """An establishment; the ending of the register's names may be left out."""
    name = siret(number, place)
    made = dict.fromkeys(COLUMNS, "") | {
        "siren": name[:9],
        "nic": name[9:],
        "siret": name,
        "etablissementSiege": "true",
        "dateDebut": "2015-06-01",
    }
    usual = {
        "statutDiffusion": "O", "dateCreation": "2015-06-01", "trancheEffectifs": "NN", "dateDernierTraitement": "2026-10-31T08:30:00",
        "numeroVoie": "12", "typeVoie": "RUE", "libelleVoie": "DES LILAS", "codePostal": "75011", "libelleCommune": "PARIS", "codeCommune": "75111",
        "etatAdministratif": "A", "activitePrincipale": "62.01Z", "nomenclatureActivitePrincipale": "NAFRev2", "caractereEmployeur": "N",
        "activitePrincipaleNAF25": "62.10Y",
    }  # fmt: skip
    return _named(_named(made, usual, E), cells, E)


def hidden(made, **cells):
    """The same establishment as the register shows one with partial diffusion."""
    return _named(_named(made, HIDDEN, E), cells, E)


def change(made, **cells):
    return _named(made, cells, E if "siret" in made else U)


def unit(number, **cells):
    """A legal unit: a company."""
    made = dict.fromkeys(UNIT_COLUMNS, "") | {"siren": siren(number)}
    usual = {
        "statutDiffusion": "O", "dateCreation": "2015-06-01", "etatAdministratif": "A", "categorieJuridique": "5710",
        "denomination": f"SOCIETE {number}", "dateDernierTraitement": "2026-10-31T08:30:00", "economieSocialeSolidaire": "N",
    }  # fmt: skip
    return _named(_named(made, usual, U), cells, U)


def person(number, **cells):
    """A legal unit: an individual entrepreneur."""
    return unit(
        number,
        **{"denomination": "", "categorieJuridique": "1000", "prenomUsuel": "ZZQXVJPRENOM", "nom": "ZZQXVJNOM"} | cells,
    )


def text(rows, *, delimiter=",", end="\n", names=None):
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, names or list(rows[0]), delimiter=delimiter, lineterminator=end, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def write(rows, path, **dialect):
    """The rows as a file; the format is the path's ending."""
    if path.suffix == ".parquet":
        frame = pl.DataFrame(rows, dict.fromkeys(rows[0], pl.String))
        frame.select(
            as_type(pl.col(name), pl.String(), data_type(name)).alias(name) for name in frame.columns
        ).write_parquet(path)
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("stock.csv", text(rows, **dialect))
    else:
        path.write_text(text(rows, **dialect), newline="")
    return path


def holding(folder, word="ZZQXVJ"):
    """The files below a folder that hold a word."""
    found = []
    for place, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(place, name), "rb") as file:
                if word.encode() in file.read():
                    found.append(name)
            if name.endswith(".parquet") and word in str(pl.read_parquet(os.path.join(place, name)).to_dicts()):
                found.append(name)
    return found
