"""Datasets of generated files of the register are what DuckDB computes of the same files by what docs/sirene says.

A family is the files of one made-up stock: establishments, legal units, periods, an older month to compare with, in one of the forms that
people have (INSEE's CSV, `;`, Opendatasoft, geo-sirene, carriage returns, zipped, Parquet with types and without, both kinds of columns in
one file, a sorted copy), with the traps of the register: rows that repeat, with treatments out of order; hidden rows beside open ones; other
spellings of codes, lists, states, bands, dates and coordinates; numbers that lost their zeros; places overseas and abroad; natural persons
whose names stand in signs; texts with quotes, delimiters and line ends. Ten random jobs are asked of each. The rules are written a second
time in `differential.sql`, from the documentation; nothing of joblot_sirene is imported. All rows and cells of the CSV and of the Parquet
file are compared, the counts of the manifest, the issues, targets and scores of the quality report, the points of the map. Each difference
is printed with the command that repeats it; exits 1 when there is one.

    python tests/torture/differential.py --requests 200 [--seed 1] [--family N] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import csv
import datetime as dt
import io
import json
import random
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from pathlib import Path

del sys.path[0]  # beside this file there is another `secrets`

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

Row = dict[str, str]
HERE = Path(__file__).resolve().parent
E, U = "Etablissement", "UniteLegale"


def names(text: str, suffix: str) -> list[str]:
    """Columns of the register: a word that ends in `*` takes the suffix."""
    return [word[:-1] + suffix if word.endswith("*") else word for word in text.split()]


PLACE = names(
    "siren nic siret statutDiffusion* dateCreation* trancheEffectifs* anneeEffectifs* activitePrincipaleRegistreMetiers* dateDernierTraitement* "
    "etablissementSiege nombrePeriodes* complementAdresse* numeroVoie* indiceRepetition* dernierNumeroVoie* indiceRepetitionDernierNumeroVoie* "
    "typeVoie* libelleVoie* codePostal* libelleCommune* libelleCommuneEtranger* distributionSpeciale* codeCommune* codeCedex* libelleCedex* "
    "codePaysEtranger* libellePaysEtranger* identifiantAdresse* coordonneeLambertAbscisse* coordonneeLambertOrdonnee* complementAdresse2* "
    "numeroVoie2* indiceRepetition2* typeVoie2* libelleVoie2* codePostal2* libelleCommune2* libelleCommuneEtranger2* distributionSpeciale2* "
    "codeCommune2* codeCedex2* libelleCedex2* codePaysEtranger2* libellePaysEtranger2* dateDebut etatAdministratif* enseigne1* enseigne2* "
    "enseigne3* denominationUsuelle* activitePrincipale* nomenclatureActivitePrincipale* caractereEmployeur* activitePrincipaleNAF25*",
    E,
)
UNIT = names(
    "siren statutDiffusion* unitePurgee* dateCreation* sigle* sexe* prenom1* prenom2* prenom3* prenom4* prenomUsuel* pseudonyme* "
    "identifiantAssociation* trancheEffectifs* anneeEffectifs* dateDernierTraitement* nombrePeriodes* categorieEntreprise anneeCategorieEntreprise "
    "dateDebut etatAdministratif* nom* nomUsage* denomination* denominationUsuelle1* denominationUsuelle2* denominationUsuelle3* categorieJuridique* "
    "activitePrincipale* nomenclatureActivitePrincipale* nicSiege* economieSocialeSolidaire* societeMission* caractereEmployeur* "
    "activitePrincipaleNAF25*",
    U,
)
PERIOD = names(
    "siren nic siret dateFin dateDebut etatAdministratif* changementEtatAdministratif* enseigne1* enseigne2* enseigne3* changementEnseigne* "
    "denominationUsuelle* changementDenominationUsuelle* activitePrincipale* nomenclatureActivitePrincipale* changementActivitePrincipale* "
    "caractereEmployeur* changementCaractereEmployeur*",
    E,
)
GEO = ["longitude", "latitude", "geo_score", "geo_type", "geo_adresse", "geo_id", "geo_ligne", "geo_l4", "geo_l5"]
ADDRESS = [*PLACE[PLACE.index(f"complementAdresse{E}") : PLACE.index(f"complementAdresse2{E}")], *GEO]
SINCE_2024 = names(
    "dernierNumeroVoie* indiceRepetitionDernierNumeroVoie* identifiantAdresse* coordonneeLambertAbscisse* coordonneeLambertOrdonnee*",
    E,
)
NAF25 = f"activitePrincipaleNAF25{E}"
TYPES = {
    name: kind
    for kind, listed in {
        pa.date32(): f"dateCreation{E} dateDebut dateCreation{U} dateFin",
        pa.timestamp("ms"): f"dateDernierTraitement{E} dateDernierTraitement{U}",
        pa.bool_(): f"etablissementSiege unitePurgee{U} "
        + " ".join(name for name in PERIOD if name.startswith("changement")),
        pa.int64(): f"anneeEffectifs{E} nombrePeriodes{E} anneeEffectifs{U} nombrePeriodes{U} anneeCategorieEntreprise categorieJuridique{U}",
    }.items()
    for name in listed.split()
}

FORMS = ("csv", "semicolon", "opendatasoft", "geo", "cr", "zip", "parquet", "text parquet", "joined", "prepared")
# commune, postal code, town, and a point that lies there: metres of the projection of the place, degrees
TOWNS = [
    ("75111", "75011", "PARIS", 654000, 6862000, 2.36, 48.86), ("75102", "75002", "PARIS", 651500, 6863500, 2.34, 48.87),
    ("69381", "69001", "LYON", 842000, 6520000, 4.83, 45.77), ("13204", "13004", "MARSEILLE", 895000, 6248000, 5.40, 43.31),
    ("35238", "35000", "RENNES", 352000, 6789000, -1.68, 48.11), ("44109", "44000", "NANTES", 355000, 6689000, -1.55, 47.22),
    ("01004", "01500", "AMBERIEU EN BUGEY", 882000, 6541000, 5.35, 45.95), ("04070", "04000", "DIGNE LES BAINS", 958000, 6336000, 6.23, 44.09),
    ("2A004", "20000", "AJACCIO", 1176000, 6110000, 8.73, 41.92), ("2B033", "20200", "BASTIA", 1226000, 6195000, 9.44, 42.69),
    ("80688", "80120", "RUE", 609000, 7020000, 1.67, 50.27), ("97105", "97100", "BASSE TERRE", 642000, 1769000, -61.73, 16.00),
    ("97209", "97200", "FORT DE FRANCE", 708000, 1616000, -61.07, 14.61), ("97302", "97300", "CAYENNE", 354000, 546000, -52.32, 4.93),
    ("97411", "97400", "SAINT DENIS", 338000, 7691000, 55.45, -20.88), ("97502", "97500", "SAINT PIERRE", 563360, 5181210, -56.17, 46.78),
    ("97611", "97600", "MAMOUDZOU", 524000, 8586000, 45.22, -12.78), ("97701", "97133", "SAINT BARTHELEMY", 516000, 1979000, -62.85, 17.90),
    ("97801", "97150", "SAINT MARTIN", 491500, 1998000, -63.08, 18.07), ("98613", "98600", "UVEA", 586700, 8531000, -176.19, -13.28),
    ("98735", "98714", "PAPEETE", 230000, 8056000, -149.57, -17.54), ("98818", "98800", "NOUMEA", 446000, 214000, 166.45, -22.27),
    ("67482", "67000", "STRASBOURG", 1050000, 6841000, 7.75, 48.58), ("59350", "59000", "LILLE", 704000, 7059000, 3.06, 50.63),
]  # fmt: skip
ABROAD = [
    ("99138", "98000", "MONACO", "MONACO"),
    ("99131", "", "BRUXELLES", "BELGIQUE"),
    ("99109", "10115", "BERLIN", "ALLEMAGNE"),
]
CODES = (
    "62.01Z",
    "62.02A",
    "63.11Z",
    "43.29A",
    "43.29B",
    "43.21A",
    "47.25Z",
    "47.11F",
    "69.20Z",
    "70.22Z",
    "01.13Z",
    "68.20A",
    "68.20B",
    "56.30Z",
)
OLD_CODES = (
    ("72.2A", "NAFRev1"),
    ("52.4Y", "NAF1993"),
    ("70.2C", "NAF1993"),
    ("62.01Z", "NAFRev1"),
    ("69.12", "NAP"),
    ("43.29A", "NAF1993"),
)
LISTS = {
    "NAFRev2": ("NAFREV2", "nafrev2", "NAF rev. 2", "NAFRév2", "NAF 2008", "naf-rev-2"),
    "NAF2025": ("NAF 2025", "naf25", "NAF25", "Naf 2025"),
    "NAFRev1": ("NAF rev. 1", "NAFREV1", "NAF 2003"),
    "NAF1993": ("NAF 1993", "naf1993"),
    "NAP": ("nap", "N.A.P."),
}
BANDS = ("NN", "00", "01", "02", "03", "11", "12", "21", "22", "31", "32", "41", "42", "51", "52", "53")
LABELS = {"NN": "Aucun salarié ou effectif inconnu", "01": "1 ou 2 salariés", "11": "10 à 19 salariés", "12": "20 à 49 salariés", "42": "1 000 à 1 999 salariés", "53": "10 000 salariés et plus"}  # fmt: skip
STREETS = ("RUE", "AV", "AVENUE", "BD", "BOULEVARD", "PL", "PLACE", "CHE", "CHS", "HAM", "LD", "QUAI", "RTE", "IMP", "ALL", "SQ", "CRS", "FG", "RPT", "VLGE", "ESP", "QUA", "PAS", "GR", "ZA", "TPL", "SEN", "RLE", "")  # fmt: skip
FORMS_OF_LAW = ("1000", "1000", "1000", "5499", "5499", "5710", "5202", "9220", "7210", "2110", "2210", "2310", "")


def key(text: str) -> str:
    """The number with the digit that makes it pass the Luhn check."""
    total = sum(d if i % 2 else d * 2 - 9 * (d > 4) for i, d in enumerate(map(int, reversed(text))))
    return text + str(-total % 10)


def read_codes(name: str) -> list[str]:
    """The sub-classes of a list of INSEE, from its table."""
    text = (HERE.parents[1] / "src/joblot_sirene/data" / name).read_text()
    return [line.split("\t")[0] for line in text.splitlines() if line and line[0] != "#"]


CODES25 = read_codes("naf_2025.tsv")


class Family:
    """The files of one made-up stock, and what is asked of them."""

    def __init__(self, number: int, seed: int, requests: int) -> None:
        self.random = random.Random(f"{seed}-{number}")
        self.number = number
        self.form = FORMS[number % len(FORMS)]
        self.typed = self.form in ("parquet", "prepared")
        self.messy = not self.typed and self.chance(0.8)
        self.layout = 48 if self.form == "geo" else self.random.choice((48, 53, 54, 54, 54))
        self.new_list = self.layout == 53 and self.chance(0.4)  # the main column holds NAF 2025 only
        self.units = (
            "joined"
            if self.form == "joined"
            else self.random.choice(("csv", "parquet", ""))
            if self.chance(0.8)
            else ""
        )
        self.earlier = self.chance(0.35)
        self.history = self.chance(0.3)
        self.word = 0
        self.names25 = self.random.sample(CODES25, 8)
        self.unit_rows: list[Row] = []
        self.place_rows: list[Row] = []
        self.period_rows: list[Row] = []
        for n in range(self.random.randint(50, 80)):
            self._firm(n)
        self._repeat()
        self.old_rows = self._older() if self.earlier else []
        self.jobs = [self._job(n) for n in range(requests)]

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def slip(self, share: float = 0.12) -> bool:
        """Whether this cell is one of a messy file's."""
        return self.messy and self.random.random() < share

    def name(self, length: int = 9) -> str:
        """A word that nothing else looks like."""
        self.word += 1
        return "".join(
            self.random.choice("BCDFGJKLMNPRSTVZ") + self.random.choice("AEIOU") for _ in range(length // 2)
        ) + str(self.word)

    # the rows of one firm

    def _firm(self, n: int) -> None:
        choose = self.random.choice
        siren = (
            "356000000"
            if n == 3
            else "000000000"
            if n == 4 and self.chance(0.5)
            else key(f"{choose(('000', '012', '299', '399', '732'))}{n:05d}")
        )
        if self.chance(0.04):
            siren = siren[:-1] + str((int(siren[-1]) + 5) % 10)  # fails its check
        unit = self._unit(siren)
        if self.chance(0.93):
            self.unit_rows.append(unit)
        for place in range(choose((1, 1, 1, 2, 3))):
            self.place_rows.append(self._place(siren, place + 1, unit))

    def _unit(self, siren: str) -> Row:
        choose, made = self.random.choice, dict.fromkeys(UNIT, "")
        form = choose(FORMS_OF_LAW)
        made |= {
            "siren": siren, f"statutDiffusion{U}": choose(("O",) * 12 + ("P", "N" if self.chance(0.5) else "")), f"dateCreation{U}": "2015-06-01",
            f"etatAdministratif{U}": choose("AAAC"), f"categorieJuridique{U}": form, f"dateDernierTraitement{U}": self._moment(),
            "categorieEntreprise": choose(("PME", "PME", "ETI", "GE", "")), f"economieSocialeSolidaire{U}": choose("NNO") if self.chance(0.8) else "",
            f"societeMission{U}": choose("NNO") if self.chance(0.7) else "", f"unitePurgee{U}": "", f"anneeEffectifs{U}": "2024",
        }  # fmt: skip
        if form == "1000":
            made |= {f"nom{U}": choose((self.name(), "LE GOFF", "D'ARC", "ROY", "LI", "NÉE")), f"prenom1{U}": self.name(5), f"prenomUsuel{U}": self.name(5) if self.chance(0.8) else ""}  # fmt: skip
            made[f"nomUsage{U}"] = self.name() if self.chance(0.25) else ""
            made[f"pseudonyme{U}"] = self.name() if self.chance(0.2) else ""
        if form != "1000" or self.chance(0.15):
            made[f"denomination{U}"] = self.name() if self.chance(0.9) else ""
        if self.chance(0.2):
            made[f"sigle{U}"] = self.name(6)
        if self.chance(0.15):
            made[f"denominationUsuelle1{U}"] = self.name()
        if self.slip(0.05):
            made["siren"] = siren.lstrip("0") or "0"
        return made

    def _moment(self) -> str:
        day = f"{self.random.choice((2019, 2023, 2024, 2025, 2026))}-{self.random.randint(1, 10):02d}-{self.random.randint(1, 28):02d}"
        if self.slip(0.06):
            return self.random.choice(
                (day, day.replace("-", ""), f"{day} 08:30:00", "03/02/2021", "2925-03-01T00:00:00", "", "[ND]")
            )
        return f"{day}T{self.random.randint(0, 23):02d}:{self.random.randint(0, 59):02d}:00"

    def _day(self) -> str:
        if self.chance(0.06):
            return self.random.choice(
                ("1900-01-01", "", "0001-01-01", "2925-01-01", "1780-05-05", "2027-03-01", "1899-12-31")
            )
        day = f"{self.random.randint(1960, 2026)}-{self.random.randint(1, 10):02d}-{self.random.randint(1, 28):02d}"
        if self.slip(0.08):
            return self.random.choice(
                (day.replace("-", ""), "03/02/2021", "2015-13-45", "0000-00-00", f"{day}T00:00:00", "[ND]")
            )
        return day

    def _code(self, code: str) -> str:
        return self.random.choice((code.replace(".", ""), code.lower(), code.replace(".", "").lower(), code.replace(".", ". "), f" {code}", code.replace(".", "-"), f"{code[:-1]} {code[-1:]}")) if code and code != "[ND]" and self.slip(0.2) else code  # fmt: skip

    def _list(self, name: str) -> str:
        if self.slip(0.25):
            return self.random.choice((*LISTS[name], "", "NACE" if self.chance(0.3) else name))
        return name

    def _activity(self) -> Row:
        new = self.random.choice(self.names25)
        code, name = (new, "NAF2025") if self.new_list or self.chance(0.05) else (self.random.choice(CODES), "NAFRev2")
        if self.chance(0.12) and not self.new_list:
            code, name = self.random.choice(OLD_CODES)
            new = new if self.chance(0.2) else ""
        if self.slip(0.03):
            code = self.random.choice(("", "ABCD", "[ND]", "62.01X", "62.01"))
        return {f"activitePrincipale{E}": self._code(code), f"nomenclatureActivitePrincipale{E}": self._list(name), NAF25: self._code(new) if self.chance(0.6) else ""}  # fmt: skip

    def _address(self) -> Row:
        choose, made = self.random.choice, {}
        commune, post, town, x, y, longitude, latitude = choose(TOWNS)
        if self.chance(0.06):
            code, post, town, country = choose(ABROAD)
            made = {
                f"codePaysEtranger{E}": code,
                f"libellePaysEtranger{E}": country,
                f"libelleCommuneEtranger{E}": town,
                f"codePostal{E}": post,
            }
        else:
            made = {f"codeCommune{E}": commune, f"codePostal{E}": post, f"libelleCommune{E}": town}
            if self.chance(0.08):
                made[f"codeCommune{E}"] = choose(("", "ABCDE", "00000", "20004", "96001", "[ND]"))
            if self.chance(0.05):
                made[f"codePostal{E}"] = choose(("", "[ND]", "20190", "20620", "97133", "97150", "7501"))
            if self.slip(0.08):
                code = made[f"codeCommune{E}"]
                made[f"codeCommune{E}"] = choose((code.lower().replace("[nd]", "[ND]"), code.lstrip("0")))
            if self.slip(0.08):
                made[f"codePostal{E}"] = made[f"codePostal{E}"].lstrip("0")
        if f"codePaysEtranger{E}" not in made and self.chance(0.75):
            dx, dy = (self.random.randint(-3000, 3000) / 4 for _ in "xy")
            x, y = (654000, 6862000) if self.chance(0.04) else (338000, 7691000) if self.chance(0.04) else (x, y)
            found = [f"{x + dx:.2f}", f"{y + dy:.2f}"]
            if self.slip(0.1):
                found = choose(
                    ([v.replace(".", ",") for v in found], ["[ND]", "[ND]"], ["abc", found[1]], [found[0], ""])
                )
            made |= {f"coordonneeLambertAbscisse{E}": found[0], f"coordonneeLambertOrdonnee{E}": found[1]}
        if self.form == "geo" and f"codePaysEtranger{E}" not in made and self.chance(0.8):
            longitude, latitude = (2.34, 48.86) if self.chance(0.05) else (longitude, latitude)
            near = [f"{degrees + self.random.randint(-900, 900) / 1e5:.5f}" for degrees in (longitude, latitude)]
            made |= {"longitude": near[0], "latitude": near[1], "geo_score": "0.9", "geo_adresse": self.name()}
        street = self.name()
        made |= {f"numeroVoie{E}": choose(("", "1", "12", "117")), f"typeVoie{E}": choose(STREETS), f"libelleVoie{E}": "" if self.chance(0.05) else choose(("DE ", "DE L’", "DE L'", "")) + street}  # fmt: skip
        if made[f"numeroVoie{E}"]:
            made[f"indiceRepetition{E}"] = choose(("", "", "", "B", "T", "Q", "A", "BIS"))
            made[f"dernierNumeroVoie{E}"] = choose(("", "", "14", made[f"numeroVoie{E}"]))
            made[f"indiceRepetitionDernierNumeroVoie{E}"] = choose(("", "T")) if made[f"dernierNumeroVoie{E}"] else ""
        if self.chance(0.15):
            made[f"complementAdresse{E}"] = choose(("BAT A", 'RESIDENCE "LES PINS", ESC 2', "ETAGE 3"))
        if self.chance(0.1):
            made[f"distributionSpeciale{E}"] = choose(("BP 12", "CS 40001"))
        if self.chance(0.1):
            made |= {f"codeCedex{E}": "75555", f"libelleCedex{E}": choose(("PARIS CEDEX 11", "LYON CEDEX", ""))}
        return made

    def _place(self, siren: str, place: int, unit: Row) -> Row:
        choose, made = self.random.choice, dict.fromkeys([*PLACE, *GEO], "")
        siret = key(siren + f"{place:04d}")
        if siren == "356000000":
            siret = next(
                f"{siren}{n:05d}" for n in range(40 + place * 10, 99999) if sum(map(int, f"{siren}{n:05d}")) % 5 == 0
            )
        if self.chance(0.03):
            siret = siret[:-1] + str((int(siret[-1]) + 3) % 10)
        band = choose(BANDS[:8] if self.chance(0.8) else BANDS)
        if self.slip(0.2):
            band = choose(
                (
                    band.lstrip("0") or "0",
                    f"{band.lstrip('0') or '0'}.0" if band != "NN" else band,
                    LABELS.get(band, band),
                    "99",
                    "",
                    "[ND]",
                    "Etablissement non employeur",
                )
            )
        yes = choose("ON")
        made |= {
            "siren": siren, "nic": siret[9:], "siret": siret, f"statutDiffusion{E}": choose(("O",) * 14 + ("P", "N" if self.chance(0.4) else "")),
            f"dateCreation{E}": self._day(), f"trancheEffectifs{E}": band, f"dateDernierTraitement{E}": self._moment(),
            "etablissementSiege": choose(("true", "false")), f"nombrePeriodes{E}": "1", "dateDebut": self._day(),
            f"etatAdministratif{E}": choose("AAAF"), f"caractereEmployeur{E}": yes if self.chance(0.95) else "", f"anneeEffectifs{E}": "2024",
        }  # fmt: skip
        made |= self._activity() | self._address()
        person = [unit[f"{name}{U}"] for name in ("nom", "nomUsage", "pseudonyme") if unit[f"{name}{U}"]]
        for name, share in (("enseigne1", 0.4), ("enseigne2", 0.1), ("denominationUsuelle", 0.25)):
            if self.chance(share):
                word = self.name()
                made[f"{name}{E}"] = choose((word, f"CHEZ {choose(person)}", f"{choose(person)} {word}", choose(person).lower().replace("é", "e"), f"{word} {choose(person)}".replace("'", "’").replace(" ", "-"), choose(person).replace(" ", ""))) if person else choose((word, f'"{word}", BAR; TABAC', f"{word}\n{self.name()}"))  # fmt: skip
        if self.chance(0.03):
            made[f"enseigne1{E}"] = "[ND]"
        if made[f"statutDiffusion{E}"] == "P" and self.chance(0.7):
            made |= {
                f"{name}{E}": "[ND]"
                for name in ("numeroVoie", "typeVoie", "libelleVoie", "codePostal", "enseigne1", "denominationUsuelle")
            }
        if self.slip(0.15):
            made |= {f"etatAdministratif{E}": {"A": "Actif", "F": "Fermé"}[made[f"etatAdministratif{E}"]]}
        if self.slip(0.03):
            made[f"etatAdministratif{E}"] = choose(("a", "ferme", "X", "", "C"))
        if self.slip(0.15):
            made[f"caractereEmployeur{E}"] = choose(("Oui", "Non", "oui", "o", "true", "false", "peut-être"))
        if self.slip(0.2):
            made["etablissementSiege"] = choose(("Oui", "non", "O", "N", "vrai", "FAUX", "1", "0", "TRUE", "siège", ""))
        if self.slip(0.08):
            made |= {
                name: made[name].lstrip("0") or "0" for name in choose((("siret",), ("siren",), ("siret", "siren")))
            }
        if self.slip(0.04):
            made["siret"] = choose((f"{siret}.0", f"{siret[:9]} {siret[9:]}"))
        return made

    # the rows of the files

    def _repeat(self) -> None:
        """Rows that stand in the files again, changed: an update, or another month."""
        for row in self.random.sample(self.place_rows, len(self.place_rows) // 5):
            for _ in range(self.random.choice((1, 1, 2))):
                twin = row | {
                    f"dateDernierTraitement{E}": self.random.choice((self._moment(), row[f"dateDernierTraitement{E}"]))
                }
                for change in self.random.sample(range(6), 2):
                    twin |= (
                        {f"statutDiffusion{E}": self.random.choice("OOPN")}, {f"etatAdministratif{E}": self.random.choice("AF")}, self._activity(),
                        dict.fromkeys(ADDRESS, "") | self._address(), {f"enseigne1{E}": self.name()}, {f"trancheEffectifs{E}": self.random.choice(BANDS)},
                    )[change]  # fmt: skip
                if self.slip(0.3):
                    twin |= {
                        "siret": self.random.choice(
                            (twin["siret"].lstrip("0"), f"{siret}.0" if len(siret := twin["siret"]) == 14 else siret)
                        )
                    }
                self.place_rows.append(twin)
        for row in self.random.sample(self.unit_rows, len(self.unit_rows) // 6):
            changed = {
                f"denomination{U}": self.name(),
                f"dateDernierTraitement{U}": self._moment(),
                f"statutDiffusion{U}": self.random.choice("OOOP"),
            }
            self.unit_rows.append(row | changed | {f"categorieJuridique{U}": self.random.choice(FORMS_OF_LAW[:-1])})
        if self.history:
            for siret in dict.fromkeys(row["siret"] for row in self.place_rows):
                self._periods(siret)
            self.random.shuffle(self.period_rows)
        self.random.shuffle(self.place_rows)
        self.random.shuffle(self.unit_rows)
        if not self.chance(0.4):
            return
        self.place_rows.sort(key=lambda row: row["siret"])

    def _periods(self, siret: str) -> None:
        if self.chance(0.1):
            return
        days = sorted(
            f"{self.random.randint(1970, 2025)}-0{self.random.randint(1, 9)}-15"
            for _ in range(self.random.randint(1, 4))
        )
        first = "0001-01-01" if self.chance(0.05) else "1900-01-01" if self.chance(0.05) else days[0]
        for start, end in zip([first, *days[1:]], [*days[1:], ""], strict=True):
            made = dict.fromkeys(PERIOD, "")
            state, changed = (
                self.random.choice("AAF"),
                "" if self.chance(0.1) else self.random.choice(("true", "false")),
            )
            made |= {
                "siret": siret,
                "dateDebut": start,
                "dateFin": end,
                f"etatAdministratif{E}": state,
                f"changementEtatAdministratif{E}": changed,
            }
            self.period_rows += [made] * (2 if self.chance(0.05) else 1)

    def _older(self) -> list[Row]:
        rows = []
        for row in self.place_rows:
            if self.chance(0.1):
                continue
            old = dict(row)
            if self.chance(0.4):
                old |= self.random.choice((
                    {f"etatAdministratif{E}": self.random.choice("AF")}, self._activity(), {f"libelleVoie{E}": self.name()}, {f"numeroVoie{E}": "99"},
                    {f"libelleVoie{E}": row[f"libelleVoie{E}"].lower()}, {f"typeVoie{E}": {"AV": "AVENUE", "BD": "BOULEVARD", "PL": "PLACE"}.get(row[f"typeVoie{E}"], row[f"typeVoie{E}"])},
                    {f"statutDiffusion{E}": "O"}, {f"libelleVoie{E}": ""},
                ))  # fmt: skip
            rows.append(old)
        return rows

    # what is asked

    def _job(self, n: int) -> dict[str, object]:
        choose, chance = self.random.choice, self.chance
        new = self.new_list or (self.layout == 54 and chance(0.2)) or chance(0.03)
        codes = self.names25 if new else CODES

        def level() -> str:
            code = choose(codes)
            short = code.replace(".", "")
            return choose((code, short, short.lower(), short[:2], short[:3], code[:4], short[:4], section(code, new)))

        included = list(dict.fromkeys(level() for _ in range(self.random.randint(1, 6))))
        if chance(0.3):
            included = (
                [choose(("62", "F", "47")), "43.2", "68", "69.20Z", "70", "01", "63", "56"]
                if not new
                else sorted({code[:2] for code in codes})
            )
        filters: dict[str, object] = {"naf_include": included, "nomenclature": "NAF2025" if new else "NAFRev2"}
        if chance(0.2):
            filters["naf_exclude"] = [level()]
        if chance(0.6):
            filters["active_only"] = choose((True, False, False))
        if chance(0.3):
            for name, values in (
                ("regions", ["Bretagne", "ile-de-france", "CORSE", "Provence-Alpes-Cote d'Azur", "La Réunion", "69"]),
                ("departments", ["75", "2A", "2B", "974", "01", "975", "988", "69", "977"]),
                ("communes", ["75056", "69123", "13055", "35238", "01004", "2A004", "97209"]),
                ("postal_prefixes", ["75", "200", "440", "01", "97", "04000"]),
            ):
                if chance(0.4):
                    filters[name] = self.random.sample(values, 3)
        if chance(0.15):
            filters["headcount"] = choose(
                (["01", "11", "53"], ["NN", "00"], {"min": 3}, {"max": 19}, {"min": 1, "max": 99})
            )
        if chance(0.12):
            filters["created"] = choose(({"from": "2000-01-01"}, {"to": "2015"}, {"from": "1990", "to": "2020-06-30"}))
        if chance(0.08):
            filters["head_office_only"] = True
        if chance(0.08):
            filters["employers_only"] = True
        if self.units in ("csv", "parquet"):
            if chance(0.1):
                filters["legal_forms"] = choose((["54", "57"], ["1"], ["5499", "2", "92"]))
            if chance(0.1):
                filters["natural_persons"] = False
        profile = choose(("quick", "standard", "deep"))
        privacy = {
            name: value
            for name, value, share in (("partial_diffusion", "mask", 0.4), ("person_names", True, 0.4))
            if chance(share)
        }
        job: dict[str, object] = {"niche": f"job{n}", "profile": profile, "filters": filters, "privacy": privacy}
        weights = (
            {name: choose((0, 10, 50, 70)) for name in ("contactability", "unicity", "completeness", "freshness")}
            if chance(0.3)
            else {}
        )
        if privacy.get("partial_diffusion") == "mask":
            weights["contactability"] = 0
        if weights and not any(weights.values()):
            weights["unicity"] = 20
        if weights and (profile != "quick" or privacy.get("partial_diffusion") == "mask" or chance(0.3)):
            job["scoring"] = {"weights": weights}
        if chance(0.2):
            job["dedupe"] = {"keys": choose((["siret"], ["siren"], ["siren", "code_commune"], ["siret", "naf"]))}
        if profile == "deep":
            job["dedupe"] = job.get("dedupe", {}) | {"fuzzy": False}  # type: ignore[operator]
        if chance(0.2):
            job["kpi_targets"] = {name: choose((0.3, 0.8, 1.0)) for name in self.random.sample(("valid_siret", "with_name", "with_sign", "with_address", "with_postal_code", "with_commune", "known_creation", "known_headcount", "current_activity"), 3)}  # fmt: skip
        if chance(0.2):
            job["output"] = {"delimiter": choose((";", "\t", ",")), "bom": choose((True, False))}
        if chance(0.1):
            job["retention_days"] = 90
        return job


SECTIONS = {
    False: (("A", 3), ("B", 9), ("C", 33), ("D", 35), ("E", 39), ("F", 43), ("G", 47), ("H", 53), ("I", 56), ("J", 63), ("K", 66), ("L", 68), ("M", 75), ("N", 82), ("O", 84), ("P", 85), ("Q", 88), ("R", 93), ("S", 96), ("T", 98), ("U", 99)),
    True: (("A", 3), ("B", 9), ("C", 33), ("D", 35), ("E", 39), ("F", 43), ("G", 47), ("H", 53), ("I", 56), ("J", 60), ("K", 63), ("L", 66), ("M", 68), ("N", 75), ("O", 82), ("P", 84), ("Q", 85), ("R", 88), ("S", 93), ("T", 96), ("U", 98), ("V", 99)),
}  # fmt: skip


def section(code: str, new: bool) -> str:
    return next(letter for letter, last in SECTIONS[new] if int(code[:2]) <= last)


def table(rows: list[Row], columns: list[str], *, typed: bool) -> tuple[list[Row], pa.Table]:
    """The rows as an Arrow table, and as the text that is in it: a cell that has no such type is empty."""
    arrays, texts = {}, {}
    for name in columns:
        kind = TYPES.get(name) if typed else None
        values = [as_type(row.get(name, ""), kind) for row in rows]
        arrays[name] = pa.array(values, kind or pa.string())
        texts[name] = [as_text(value) for value in values]
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*texts.values(), strict=True)], pa.table(arrays)


def as_type(text: str, kind: pa.DataType | None) -> object:
    try:
        if not text or kind is None:
            return text or None
        if kind == pa.bool_():
            return {"true": True, "false": False}.get(text.lower())
        if kind == pa.int64():
            return int(text)
        return dt.date.fromisoformat(text[:10]) if kind == pa.date32() else dt.datetime.fromisoformat(text)  # noqa: DTZ007
    except ValueError:
        return None


def as_text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else value.isoformat() if isinstance(value, dt.date) else str(value)


def write(rows: list[Row], columns: list[str], path: Path, *, form: str, typed: bool = False) -> list[Row]:
    """Write a file in one of the forms, and return what is in it."""
    if path.suffix == ".parquet":
        held, content = table(rows, columns, typed=typed)
        pq.write_table(content, path, row_group_size=60)
        return held
    out = io.StringIO(newline="")
    shown = [name.lower() for name in columns] if form == "opendatasoft" else columns
    end = {"cr": "\r", "zip": "\r\n"}.get(form, "\n")
    writer = csv.writer(out, delimiter=";" if form in ("semicolon", "opendatasoft") else ",", lineterminator=end)
    cells = [[row.get(name, "") for name in columns] for row in rows]
    if form == "cr":
        cells = [[cell.replace("\n", " ") for cell in line] for line in cells]
    writer.writerows([shown, *cells[: len(cells) // 2]])
    if form in ("semicolon", "csv"):  # two files glued together
        writer.writerow(shown)
    writer.writerows(cells[len(cells) // 2 :])
    content = ("\ufeff" if form in ("semicolon", "cr") else "") + out.getvalue()
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("StockEtablissement_utf8.csv", content)
    else:
        path.write_bytes(content.encode())
    return [dict(zip(columns, line, strict=True)) for line in cells]


HISTORY = {
    "siret": "siret",
    "dateFin": "dateFin",
    "dateDebut": "dateDebut",
    "state": f"etatAdministratif{E}",
    "changed": f"changementEtatAdministratif{E}",
}


class Reference:
    """DuckDB with the files of one family, which says what a job's dataset has to be."""

    def __init__(self, places: list[Row], units: list[Row] | None, periods: list[Row] | None, *, joined: bool) -> None:
        self.db = duckdb.connect(config={"threads": 1})
        for name, rows, columns in (("place", places, [*PLACE, *GEO]), ("unit", units or [], UNIT)):
            content = {column: pa.array([row.get(column) or None for row in rows], pa.string()) for column in columns}
            given = pa.table({"ord": pa.array(range(len(rows)), pa.int64()), **content})
            self.db.register("given", given)
            self.db.execute(f"CREATE TABLE {name} AS FROM given")
        lines = []
        for name, file in (("NAFRev2", "naf_rev2.tsv"), ("NAF2025", "naf_2025.tsv")):
            text = (HERE.parents[1] / "src/joblot_sirene/data" / file).read_text()
            lines += [(name, *line.split("\t")) for line in text.splitlines() if line and line[0] != "#"]
        self.db.execute("CREATE TABLE naf(list VARCHAR, code VARCHAR, label VARCHAR)")
        self.db.executemany("INSERT INTO naf VALUES (?, ?, ?)", lines)
        self.db.execute((HERE / "differential.sql").read_text())
        self.has_units = units is not None
        self.db.execute(f"SET VARIABLE has_history = {periods is not None}")
        given = pa.table(
            {
                name: pa.array([row[column] or None for row in periods or []], pa.string())
                for name, column in HISTORY.items()
            }
        )
        self.db.register("given", given)
        self.db.execute("INSERT INTO period FROM given")

        self.db.execute(f"SET VARIABLE joined = {joined}")
        self.db.execute(f"SET VARIABLE has_units = {units is not None}")
        for asked in ("true", "false"):
            self.db.execute(f"SET VARIABLE person_names = {asked}")
            self.db.execute(f"CREATE TABLE candidate_{asked} AS FROM candidate")
        self.db.execute(
            "SET VARIABLE stock = (SELECT CASE WHEN d = last_day(d) THEN d + 1 ELSE d END FROM (SELECT max(day(dateDernierTraitementEtablissement)) AS d FROM place WHERE day(dateDernierTraitementEtablissement) <= current_date))"
        )

    def value(self, query: str) -> object:
        return self.db.execute(query).fetchone()[0]

    def codes(self, asked: list[str], name: str) -> str:
        """An SQL list of the sub-classes that codes of any level stand for, without dots."""
        found: set[str] = set()
        for one in asked:
            bare = one.replace(".", "").upper()
            letters = {letter: last for letter, last in SECTIONS[name == "NAF2025"]}
            for (full,) in self.db.execute("SELECT code(code) FROM naf WHERE list = ?", [name]).fetchall():
                if section(full, name == "NAF2025") == bare if bare in letters else full.startswith(bare):
                    found.add(full)
        return "[" + ", ".join(f"'{one}'" for one in sorted(found)) + "]::VARCHAR[]"

    def matching(self, asked: list[str], name: str) -> str:
        codes = self.codes(asked, name)
        main = f"(list_contains({codes}, code(naf)) AND coalesce(nomenclature, '{name}') = '{name}')"
        both = main if name == "NAFRev2" else f"({main} OR list_contains({codes}, code(naf_2025)))"
        return f"coalesce({both}, false)"

    def filters(self, job: dict) -> str:
        """What a row has to pass besides its code, as SQL."""
        asked = job["filters"]
        parts = ["true"]
        if asked.get("active_only", True):
            parts.append("etat = 'A'")
        areas = []
        for region in asked.get("regions", []):
            areas.append(
                f"starts_with(open_post, '{region}')"
                if region.isdigit()
                else f"squeezed(region) = squeezed({literal(region)})"
            )
        areas += [f"departement = '{one}'" for one in asked.get("departments", [])]
        districts = {"75056": ("75101", "75120"), "69123": ("69381", "69389"), "13055": ("13201", "13216")}
        for commune in asked.get("communes", []):
            first, last = districts.get(commune, (commune, commune))
            areas.append(f"(code_commune = '{commune}' OR code_commune BETWEEN '{first}' AND '{last}')")
        areas += [f"starts_with(open_post, '{one}')" for one in asked.get("postal_prefixes", [])]
        if areas:
            parts.append("(" + " OR ".join(areas) + ")")
        if isinstance(bands := asked.get("headcount", []), dict):
            parts += [f"least >= {bands['min']}"] if "min" in bands else []
            parts += [f"most <= {bands['max']}"] if "max" in bands else []
        elif bands:
            parts.append(f"tranche_effectifs IN ({', '.join(map(literal, bands))})")
        for end, sign, rest in (("from", ">=", "-01-01"), ("to", "<=", "-12-31")):
            if end in asked.get("created", {}):
                given = asked["created"][end]
                parts.append(f"date_creation {sign} DATE '{given + rest if len(given) == 4 else given}'")
        parts += ["siege"] if asked.get("head_office_only") else []
        parts += ["employeur = 'O'"] if asked.get("employers_only") else []
        if forms := asked.get("legal_forms"):
            parts.append("(" + " OR ".join(f"starts_with(forme_juridique, '{form}')" for form in forms) + ")")
        if not asked.get("natural_persons", True):
            parts.append("(forme_juridique IS NOT NULL AND NOT is_person(forme_juridique))")
        return " AND ".join(parts)

    def build(self, job: dict) -> None:
        """Make the tables of a job: `of_codes`, `passed` (also who may not be shown), `dataset`."""
        name, masks = job["filters"]["nomenclature"], job["privacy"].get("partial_diffusion") == "mask"
        source = f"candidate_{str(job['privacy'].get('person_names', False)).lower()}"
        codes = self.matching(job["filters"]["naf_include"], name)
        excluded = job["filters"].get("naf_exclude")
        without = f" AND NOT {self.matching(excluded, name)}" if excluded else ""
        keys = job.get("dedupe", {}).get("keys", ["siret"])
        weights = {"contactability": 50, "unicity": 20, "completeness": 20, "freshness": 10} | job.get(
            "scoring", {}
        ).get("weights", {})
        self.db.execute(f"CREATE OR REPLACE TEMP TABLE of_codes AS FROM {source} WHERE {codes}")
        self.db.execute(f"CREATE OR REPLACE TEMP TABLE passed AS FROM of_codes WHERE {self.filters(job)}{without}")
        lacking = " OR ".join(f"{key} IS NULL" for key in keys)
        self.db.execute(
            f"CREATE OR REPLACE TEMP TABLE kept AS SELECT *, CASE WHEN {lacking} THEN 1 ELSE row_number() OVER (PARTITION BY {', '.join(keys)} ORDER BY ord) END AS repetition FROM passed WHERE NOT hidden OR {masks}"
        )
        self.db.execute(f"SET VARIABLE deep = {job['profile'] == 'deep'}")
        for weight, share in weights.items():
            self.db.execute(f"SET VARIABLE {weight} = {share}")
        self.db.execute("CREATE OR REPLACE TEMP TABLE dataset AS FROM scored ORDER BY ord")

    def know(self, before: Reference, job: dict, *, empty: bool) -> None:
        """Take the earlier dataset of a job, which there is none of when it failed."""
        rows = before.db.execute(
            "SELECT siret, adresse, code_commune, code_postal, naf, etat, statut_diffusion FROM dataset ORDER BY ord"
        ).fetchall()
        self.compares = job["profile"] == "deep" and not empty
        self.db.execute("DELETE FROM before")
        if rows and not empty:
            self.db.executemany("INSERT INTO before VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def facts(self) -> dict[str, dict[str, object]]:
        """The facts of steps in the quality report of the profile `deep`."""
        years = self.db.execute(
            "SELECT state, year, count(*) FROM event_year WHERE NOT absurd GROUP BY ALL ORDER BY ALL"
        ).fetchall()
        by_state = {state: {str(year): count for found, year, count in years if found == state} for state in "AF"}
        absurd, unknown = self.db.execute(
            "SELECT count(*) FILTER (absurd), count(*) FILTER (year IS NULL) FROM event_year"
        ).fetchone()
        history = {
            "openings": by_state["A"],
            "closings": by_state["F"],
            "absurd_dates": absurd,
            "unknown_dates": unknown,
        }
        if not self.compares:
            return {"history": history, "comparison": {"compared": False}}
        gone = self.db.execute(
            "SELECT b.siret, b.statut_diffusion = 'O' AND h.place_key IS NULL AND u.unit_key IS NULL FROM before b ANTI JOIN dataset USING (siret)"
            " LEFT JOIN hidden_place h ON h.place_key = b.siret LEFT JOIN hidden_unit u ON u.unit_key = b.siret[:9] ORDER BY b.siret"
        ).fetchall()
        kinds = dict(self.db.execute("SELECT evolution, count(*) FROM dataset GROUP BY ALL ORDER BY ALL").fetchall())
        comparison = {
            "compared": True,
            "rows": kinds,
            "gone": len(gone),
            "gone_sirets": [siret for siret, may_be_named in gone if may_be_named],
        }
        return {"history": history, "comparison": comparison}

    compares = False

    def targets(self, job: dict) -> list[dict[str, object]]:
        """The targets of the job and what comes of them."""
        of_profile = {
            "quick": {},
            "standard": {"valid_siret": 1.0, "with_commune": 0.98, "with_address": 0.8, "current_activity": 1.0},
        }
        of_profile["deep"] = of_profile["standard"] | {"with_name": 0.9}
        counts = {key: (count, rows) for key, count, rows in self.db.execute("SELECT * FROM issue").fetchall()}
        made = []
        for key, target in job.get("kpi_targets", of_profile[job["profile"]]).items():
            count, rows = counts.get(ISSUE_OF[key], (0, 0))
            value = 1 - count / rows if rows else None
            verdict = (
                "warn" if value is None else "pass" if value >= target else "warn" if value >= target - 0.05 else "fail"
            )
            made.append(
                {"key": key, "target": target, "value": None if value is None else round(value, 4), "verdict": verdict}
            )
        return sorted(made, key=lambda target: str(target["key"]))

    def failure(self, job: dict) -> str | None:
        """The column or list for which the job has to fail: an empty dataset would say that there is no such place."""
        name, asked = job["filters"]["nomenclature"], job["filters"]
        known = [
            list_
            for (list_,) in self.db.execute(
                f"SELECT DISTINCT list FROM naf WHERE code IN (SELECT naf FROM candidate_false WHERE coalesce(nomenclature, list) = list UNION SELECT naf_2025 FROM candidate_false)"
            ).fetchall()
        ]
        if not self.value("SELECT count(*) FROM of_codes"):
            codes = self.codes(asked["naf_include"], name)
            if self.value(
                f"SELECT count(*) FROM candidate_false WHERE odd_nomenclatureActivitePrincipale{E} AND list_contains({codes}, code(naf)) AND place_key NOT IN (SELECT place_key FROM of_codes)"
            ):
                return f"nomenclatureActivitePrincipale{E}"
            return None if name in known else name
        if name == "NAF2025" and name not in known:
            return name
        needed = {
            f"etatAdministratif{E}": asked.get("active_only", True), f"trancheEffectifs{E}": "headcount" in asked, f"caractereEmployeur{E}": "employers_only" in asked,
            "etablissementSiege": "head_office_only" in asked, f"dateCreation{E}": "created" in asked,
        }  # fmt: skip
        without_unit = job | {
            "filters": {key: value for key, value in asked.items() if key not in ("legal_forms", "natural_persons")}
        }
        if not self.value(f"SELECT count(*) FROM of_codes WHERE {self.filters(without_unit)}"):
            return next(
                (
                    column
                    for column, is_asked in needed.items()
                    if is_asked and self.value(f"SELECT count(*) FROM of_codes WHERE odd_{column}")
                ),
                None,
            )
        return None

    def figures(self, job: dict) -> dict[str, object]:
        """What the manifest has to say, by its keys."""
        active_only, masks = job["filters"].get("active_only", True), job["privacy"].get("partial_diffusion") == "mask"
        rows, closed = self.db.execute("SELECT count(*), count(*) FILTER (etat = 'F') FROM of_codes").fetchone()
        hidden = self.value("SELECT count(*) FROM passed WHERE hidden")
        total, numbers = self.db.execute("SELECT count(*), count(DISTINCT place_key) FROM known_place").fetchone()
        records, persons, unknown = self.db.execute(
            "SELECT count(*), count(*) FILTER (is_person(forme_juridique)), count(*) FILTER (forme_juridique IS NULL) FROM dataset"
        ).fetchone()
        personal = (
            True if persons and self.has_units else "unknown" if records and (unknown or not self.has_units) else False
        )
        codes = self.codes(job["filters"]["naf_include"], job["filters"]["nomenclature"])
        odd = {
            name.removeprefix("odd_"): self.value(f"SELECT count(*) FROM of_codes WHERE {name}")
            for (name, *_) in self.db.execute("DESCRIBE candidate").fetchall()
            if name.startswith("odd_")
        }
        odd[f"nomenclatureActivitePrincipale{E}"] = self.value(
            f"SELECT count(*) FROM candidate_false WHERE odd_nomenclatureActivitePrincipale{E} AND list_contains({codes}, code(naf)) AND place_key NOT IN (SELECT place_key FROM of_codes)"
        )
        odd[f"activitePrincipale{E}"] = self.value(
            f"SELECT count(*) FROM known_place WHERE strange(activitePrincipale{E}) AND NOT regexp_full_match(code(activitePrincipale{E}), '[0-9]{{3,4}}[A-Z]') AND NOT regexp_full_match(trim(activitePrincipale{E}), '[0-9]{{2}}\\.?[0-9]{{1,2}}')"
        )
        stock = self.value("SELECT getvariable('stock')")
        newest = self.value(
            f"SELECT max(day(dateDernierTraitement{E})) FROM place WHERE day(dateDernierTraitement{E}) <= current_date"
        )
        return {
            "records": records, "source.rows": total, "source.unreadable_values": {name: count for name, count in odd.items() if count},
            "left_out.rows_of_these_codes": rows, "left_out.closed": closed, "left_out.closed_share": round(closed / rows, 4) if rows else 0.0,
            "left_out.closed_left_out": closed if active_only else 0, "left_out.repeated_rows": total - numbers, "left_out.bad_rows": 0,
            "left_out.partial_diffusion_left_out": 0 if masks else hidden, "rights.rows_excluded_for_partial_diffusion": 0 if masks else hidden,
            "rights.rows_masked_for_partial_diffusion": hidden if masks else 0, "rights.personal_data": personal,
            "rights.rows_of_natural_persons": persons if self.has_units else None, "rights.rows_of_unknown_legal_form": unknown,
            "rights.names_of_natural_persons": job["privacy"].get("person_names", False), "rights.retention_days": job.get("retention_days"),
            "rights.stock_date": stock.isoformat(), "rights.stock_date_from": "newest treatment",
            "rights.source": f"Source: INSEE, base Sirene, {'stock of' if stock != newest or stock.day == 1 else 'newest treatment on'} {stock}",
            "profile": job["profile"], "nomenclatures": [job["filters"]["nomenclature"]],
            "codes": list(dict.fromkeys(code.replace(".", "").upper() for code in job["filters"]["naf_include"])),
        }  # fmt: skip


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


ISSUE_OF = {
    "valid_siret": "siret_invalid", "with_name": "name_missing", "with_sign": "sign_missing", "with_address": "address_missing",
    "with_postal_code": "postal_code_missing", "with_commune": "commune_missing", "known_creation": "creation_unknown",
    "known_headcount": "headcount_unknown", "current_activity": "activity_of_older_list",
}  # fmt: skip

# by step
COLUMNS = {
    "normalise": "siret siren raison_sociale enseigne complement_adresse adresse code_postal commune code_commune departement region pays naf nomenclature naf_2025 etat "
    "date_creation date_debut siege employeur tranche_effectifs statut_diffusion date_traitement x y forme_juridique categorie_entreprise economie_sociale societe_mission",
    "identifiers": "siren_valide siret_valide", "repair": "numero_repare", "vat": "tva", "duplicates": "repetition",
    "labels": "naf_libelle naf_2025_libelle section section_libelle forme_juridique_libelle effectifs_libelle departement_nom age_annees",
    "coordinates": "longitude latitude hors_territoire", "comparison": "evolution", "score": "score",
}  # fmt: skip


def columns(job: dict, *, placed: bool, earlier: bool) -> list[str]:
    """The columns of a dataset, in their order."""
    steps = ["normalise", "identifiers", "repair", "duplicates"]
    if job["profile"] != "quick":
        steps += ["vat", "labels", "score"]
    if job["profile"] == "deep":
        steps += ["coordinates"] + (["comparison"] if earlier else [])
    if "scoring" in job:
        steps.append("score")
    names = [name for step, listed in COLUMNS.items() if step in steps for name in listed.split()]
    if placed and job["profile"] != "deep":  # degrees of the file are in every profile
        at = names.index("score") if "score" in names else len(names)
        names[at:at] = ["longitude", "latitude"]
    return names


def joblot(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "joblot", *words], cwd=folder, capture_output=True, text=True, check=False, timeout=600
    )


class Campaign:
    """Families, the datasets of their jobs, and what differs."""

    def __init__(self, seed: int, keep: Path | None) -> None:
        self.seed, self.keep = seed, keep
        self.tally: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()

    def differs(self, family: Family, job: dict, what: str, where: str, found: object, expected: object) -> None:
        self.tally["differences"] += 1
        self.kinds[what] += 1
        if self.kinds[what] <= SHOWN:
            print(
                f"family {family.number} ({family.form}), {job['niche']} ({job['profile']}), {where}, {what}: {found!r}, and expected {expected!r}"
            )
        if self.kinds[what] == 1:
            print(
                f"    {json.dumps(job, ensure_ascii=False)}\n    python tests/torture/differential.py --seed {self.seed} --family {family.number} --requests {len(family.jobs)} --keep FOLDER"
            )

    def family(self, family: Family, folder: Path) -> None:
        """Make the files of a family and the datasets of its jobs, and compare them."""
        place_columns = [
            name
            for name in PLACE
            if not (family.layout < 54 and name == NAF25) and not (family.layout == 48 and name in SINCE_2024)
        ]
        if family.form == "geo":
            place_columns += GEO
        rows = family.place_rows
        unit_rows = None
        if family.units == "joined":
            by_siren = {row["siren"]: row for row in family.unit_rows}
            rows = [by_siren.get(row["siren"], dict.fromkeys(UNIT, "")) | row for row in rows]
            place_columns = [*place_columns, *(name for name in UNIT if name not in ("siren", "dateDebut"))]
        ending = {"zip": ".zip", "parquet": ".parquet", "prepared": ".parquet", "text parquet": ".parquet"}.get(
            family.form, ".csv"
        )
        stock = folder / f"stock{ending}"
        held = write(rows, place_columns, stock, form=family.form, typed=family.typed)
        words = ["--on", "inline", "--json", "--continue-on-error", "--input", stock.name]
        if family.units == "joined":
            unit_rows = held
        elif family.units:
            path = folder / f"units.{family.units}"
            unit_rows = write(family.unit_rows, UNIT, path, form="csv", typed=family.typed)
            words += ["--unite-legale", path.name]
        for job in family.jobs:
            (folder / f"{job['niche']}.yaml").write_text(json.dumps(job))
        if family.form == "prepared":
            joblot(folder, "sirene", "prepare", stock.name)
        words += [f"{job['niche']}.yaml" for job in family.jobs]
        periods = None
        if family.history:
            path = folder / f"periods{ending if ending != '.zip' else '.csv'}"
            periods = write(family.period_rows, PERIOD, path, form="csv", typed=family.typed)
            words += ["--historique", path.name]
        reference = Reference(held, unit_rows, periods, joined=family.units == "joined")
        before = None
        if family.earlier:
            older = (
                [by_siren.get(row["siren"], dict.fromkeys(UNIT, "")) | row for row in family.old_rows]
                if family.units == "joined"
                else family.old_rows
            )
            path = folder / f"older{ending}"
            old_held = write(older, place_columns, path, form=family.form, typed=family.typed)
            before = Reference(
                old_held, old_held if family.units == "joined" else unit_rows, periods, joined=family.units == "joined"
            )
            old_words = [path.name if word == stock.name else word for word in words]
            self.compare(family, before, None, folder, "old", old_words)
            words += ["--earlier", "old"]
        self.compare(family, reference, before, folder, "out", words)

    def compare(
        self, family: Family, reference: Reference, before: Reference | None, folder: Path, out: str, words: list[str]
    ) -> None:
        done = joblot(folder, "sirene", "batch", *words, "--output-dir", out)
        try:
            report = json.loads(done.stdout)
            results = report["results"]
        except (ValueError, KeyError):
            self.differs(family, family.jobs[0], "batch", "all", done.stdout[-500:] + done.stderr[-1500:], "a report")
            return
        for job, result in zip(family.jobs, results, strict=True):
            self.tally["datasets"] += 1
            if before is not None:
                before.build(job)
                reference.know(before, job, empty=before.failure(job) is not None)
            reference.build(job)
            reason = reference.failure(job)
            if result["status"] != ("FAILED" if reason else "SUCCESS"):
                expected = (
                    f"a failure for {reason}" if reason else f"{reference.value('SELECT count(*) FROM dataset')} rows"
                )
                self.differs(family, job, "status", "-", result["error"] if "error" in result else "SUCCESS", expected)
            elif reason:
                self.tally["refused"] += 1
            else:
                self.cells(family, job, reference, folder / out / job["niche"], earlier=reference.compares)
                self.counts(family, job, reference, folder / out / job["niche"])

    def counts(self, family: Family, job: dict, reference: Reference, place: Path) -> None:
        """Compare the manifest and the quality report."""
        manifest = json.loads((place / "manifest.json").read_text())
        for name, value in reference.figures(job).items():
            found = manifest
            for word in name.split("."):
                found = found.get(word, "(nothing)") if isinstance(found, dict) else found
            if found != value:
                self.differs(family, job, f"manifest {name}", "-", found, value)
        self.tally["figures"] += 24
        targets = reference.targets(job)
        verdicts = [target["verdict"] for target in targets]
        verdict = next((word for word in ("fail", "warn", "pass") if word in verdicts), None)
        if manifest["verdict"] != verdict:
            self.differs(family, job, "verdict", "-", manifest["verdict"], verdict)
        if (
            (score := manifest["score"]) is not None
            and score["rows"]
            and reference.value("SELECT count(*) FROM dataset")
        ):
            parts = dict(
                zip(
                    ("contactability", "unicity", "completeness", "freshness"),
                    reference.db.execute(
                        "SELECT avg(contactability), avg(unicity), avg(completeness), avg(freshness) FROM dataset"
                    ).fetchone(),
                    strict=True,
                )
            )
            wrong = {name: value for name, value in parts.items() if abs(float(value) - score["parts"][name]) > 0.0001}
            mean = reference.value("SELECT avg(score) FROM dataset")
            if wrong or abs(mean - score["mean"]) > 0.11:
                self.differs(family, job, "score summary", "-", (score["mean"], score["parts"]), (mean, wrong))
        if job["profile"] == "deep":
            points = [
                tuple(feature["geometry"]["coordinates"])
                for feature in json.loads((place / "places.geojson").read_text())["features"]
            ]
            expected = reference.db.execute(
                "SELECT longitude, latitude FROM dataset WHERE longitude IS NOT NULL ORDER BY ord"
            ).fetchall()
            if len(points) != len(expected) or any(
                abs(a - b) > 2e-5
                for point, right in zip(points, expected, strict=True)
                for a, b in zip(point, right, strict=True)
            ):
                self.differs(family, job, "places", "-", points, expected)
        if (place / "quality.json").exists():
            quality = json.loads((place / "quality.json").read_text())
            found_targets = sorted(quality["kpis"], key=lambda target: target["key"])
            if found_targets != targets:
                self.differs(family, job, "targets", "-", found_targets, targets)
            if job["profile"] == "deep":
                steps = {step["name"]: step["facts"] for step in quality["steps"]}
                steps["comparison"]["gone_sirets"] = sorted(steps["comparison"].get("gone_sirets", []))
                for step, facts in reference.facts().items():
                    facts = {"gone_sirets": []} | facts if step == "comparison" else facts
                    shown = {name: steps[step].get(name) for name in facts}
                    if shown != facts:
                        self.differs(family, job, f"step {step}", "-", shown, facts)
            issues = {key: (count, rows) for key, count, rows in reference.db.execute("SELECT * FROM issue").fetchall()}
            if job["profile"] != "deep":
                issues.pop("outside_territory", None)
            found = {issue["key"]: (issue["count"], issue["share"]) for issue in quality["issues"]}
            for key, (count, rows) in issues.items():
                self.tally["figures"] += 1
                expected = (count, round(count / rows, 4)) if count else None
                if found.get(key) != expected:
                    self.differs(family, job, f"issue {key}", "-", found.get(key), expected)

    def cells(self, family: Family, job: dict, reference: Reference, place: Path, *, earlier: bool) -> None:
        expected_names = columns(job, placed=family.form == "geo", earlier=earlier)
        with (place / "dataset.csv").open(
            newline="", encoding="utf-8-sig" if job.get("output", {}).get("bom") else "utf-8"
        ) as file:
            found_names, *found = csv.reader(file, delimiter=job.get("output", {}).get("delimiter", ","))
        if found_names != expected_names:
            self.differs(family, job, "columns", "-", found_names, expected_names)
        typed = [list(map(as_text, row.values())) for row in pq.read_table(place / "dataset.parquet").to_pylist()]
        if [list(map(number_or_text, row)) for row in typed] != [list(map(number_or_text, row)) for row in found]:
            self.differs(family, job, "parquet", "-", typed[:1], found[:1])
        shared = [name for name in expected_names if name in found_names]
        expected = {
            row[0]: dict(zip(shared, row[1:], strict=True))
            for row in reference.db.execute(f"SELECT siret, {', '.join(shared)} FROM dataset").fetchall()
        }
        by_siret = {row[0]: dict(zip(found_names, row, strict=True)) for row in found}
        for siret in expected.keys() - by_siret.keys():
            self.differs(
                family,
                job,
                "row",
                siret,
                "missing",
                {k: v for k, v in expected[siret].items() if k in ("naf", "nomenclature", "etat", "departement")},
            )
        for siret in by_siret.keys() - expected.keys():
            self.differs(family, job, "row", siret, "there", "no row")
        if not self.kinds["row"] and [row[0] for row in found] != list(expected):
            self.differs(family, job, "order", "-", [row[0] for row in found][:9], list(expected)[:9])
        for siret, row in expected.items():
            if siret in by_siret:
                self.tally["cells"] += len(row)
                for name, value in row.items():
                    if not same(by_siret[siret][name], value, 0.0501 if name == "score" else 2e-5):
                        self.differs(family, job, name, siret, by_siret[siret][name], as_text(value))


def number_or_text(cell: str) -> float | str:
    """A cell in which `1` and `1.0` are one value."""
    try:
        return float(cell) if "." in cell else cell
    except ValueError:
        return cell


def same(found: str, expected: object, within: float) -> bool:
    if isinstance(expected, float):
        return bool(found) and abs(float(found) - expected) < within
    return found == as_text(expected)


SHOWN = 3


def main() -> int:
    """Run the families."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--requests", type=int, default=200)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--family", type=int)
    options.add_argument("--keep", type=Path)
    given = options.parse_args()
    campaign = Campaign(given.seed, given.keep)
    families = [given.family] if given.family is not None else range(-(-given.requests // 10))
    for number in families:
        with tempfile.TemporaryDirectory(prefix="joblot-differential-") as name:
            folder = given.keep or Path(name)
            folder.mkdir(exist_ok=True)
            campaign.family(Family(number, given.seed, 10), folder)
    print(dict(campaign.tally), dict(campaign.kinds))
    return 1 if campaign.tally["differences"] else 0


if __name__ == "__main__":
    sys.exit(main())
