"""The register's small code lists: headcount bands, legal forms, states, street types, departments and regions.

Labels are in French, as in the register. The activity codes are in `naf`. Source of the lists: INSEE, Licence Ouverte 2.0.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

HEADCOUNTS: Final[Mapping[str, tuple[int, int | None, str]]] = MappingProxyType(
    {
        "NN": (0, 0, "Aucun salarié ou effectif inconnu"),
        "00": (0, 0, "0 salarié (mais employeur dans l'année)"),
        "01": (1, 2, "1 ou 2 salariés"),
        "02": (3, 5, "3 à 5 salariés"),
        "03": (6, 9, "6 à 9 salariés"),
        "11": (10, 19, "10 à 19 salariés"),
        "12": (20, 49, "20 à 49 salariés"),
        "21": (50, 99, "50 à 99 salariés"),
        "22": (100, 199, "100 à 199 salariés"),
        "31": (200, 249, "200 à 249 salariés"),
        "32": (250, 499, "250 à 499 salariés"),
        "41": (500, 999, "500 à 999 salariés"),
        "42": (1000, 1999, "1 000 à 1 999 salariés"),
        "51": (2000, 4999, "2 000 à 4 999 salariés"),
        "52": (5000, 9999, "5 000 à 9 999 salariés"),
        "53": (10000, None, "10 000 salariés et plus"),
    }
)
"""By band: the least and the most people (None: no upper end), and the label."""

LEGAL_FORMS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "1": "Entrepreneur individuel",
        "2": "Groupement de droit privé non doté de la personnalité morale",
        "3": "Personne morale de droit étranger",
        "4": "Personne morale de droit public soumise au droit commercial",
        "5": "Société commerciale",
        "6": "Autre personne morale immatriculée au RCS",
        "7": "Personne morale et organisme soumis au droit administratif",
        "8": "Organisme privé spécialisé",
        "9": "Groupement de droit privé",
        "10": "Entrepreneur individuel",
        "21": "Indivision",
        "22": "Société créée de fait",
        "23": "Société en participation",
        "24": "Fiducie",
        "27": "Paroisse hors zone concordataire",
        "28": "Assujetti unique à la TVA",
        "29": "Autre groupement de droit privé non doté de la personnalité morale",
        "31": "Personne morale de droit étranger, immatriculée au RCS",
        "32": "Personne morale de droit étranger, non immatriculée au RCS",
        "41": "Établissement public ou régie à caractère industriel ou commercial",
        "51": "Société coopérative commerciale particulière",
        "52": "Société en nom collectif",
        "53": "Société en commandite",
        "54": "Société à responsabilité limitée (SARL)",
        "55": "Société anonyme à conseil d'administration",
        "56": "Société anonyme à directoire",
        "57": "Société par actions simplifiée",
        "58": "Société européenne",
        "61": "Caisse d'épargne et de prévoyance",
        "62": "Groupement d'intérêt économique",
        "63": "Société coopérative agricole",
        "64": "Société d'assurance mutuelle",
        "65": "Société civile",
        "69": "Autre personne morale de droit privé inscrite au RCS",
        "71": "Administration de l'État",
        "72": "Collectivité territoriale",
        "73": "Établissement public administratif",
        "74": "Autre personne morale de droit public administratif",
        "81": "Organisme gérant un régime de protection sociale à adhésion obligatoire",
        "82": "Organisme mutualiste",
        "83": "Comité social économique d'entreprise",
        "84": "Organisme professionnel",
        "85": "Organisme de retraite à adhésion non obligatoire",
        "91": "Syndicat de propriétaires",
        "92": "Association loi 1901 ou assimilé",
        "93": "Fondation",
        "99": "Autre personne morale de droit privé",
    }
)
"""Legal forms at the levels of one and two digits."""

LEGAL_FORM_COLUMN: Final = "categorieJuridiqueUniteLegale"
NATURAL_PERSONS: Final = ("1", "21", "22", "23")
"""Legal forms of natural persons begin so: individual entrepreneurs, and joint owners, companies created in fact and undeclared partnerships,
which are persons under a common name."""

_REGIONS: Final = (
    ("84", "Auvergne-Rhône-Alpes", "01 03 07 15 26 38 42 43 63 69 73 74"),
    ("27", "Bourgogne-Franche-Comté", "21 25 39 58 70 71 89 90"),
    ("53", "Bretagne", "22 29 35 56"),
    ("24", "Centre-Val de Loire", "18 28 36 37 41 45"),
    ("94", "Corse", "2A 2B"),
    ("44", "Grand Est", "08 10 51 52 54 55 57 67 68 88"),
    ("32", "Hauts-de-France", "02 59 60 62 80"),
    ("11", "Île-de-France", "75 77 78 91 92 93 94 95"),
    ("28", "Normandie", "14 27 50 61 76"),
    ("75", "Nouvelle-Aquitaine", "16 17 19 23 24 33 40 47 64 79 86 87"),
    ("76", "Occitanie", "09 11 12 30 31 32 34 46 48 65 66 81 82"),
    ("52", "Pays de la Loire", "44 49 53 72 85"),
    ("93", "Provence-Alpes-Côte d'Azur", "04 05 06 13 83 84"),
    ("01", "Guadeloupe", "971"),
    ("02", "Martinique", "972"),
    ("03", "Guyane", "973"),
    ("04", "La Réunion", "974"),
    ("06", "Mayotte", "976"),
)

REGIONS: Final[Mapping[str, str]] = MappingProxyType({code: name for code, name, _ in _REGIONS})
"""Names of the regions of 2016 by their code."""

REGION_OF: Final[Mapping[str, str]] = MappingProxyType(
    {dep: code for code, _, deps in _REGIONS for dep in deps.split()}
)
"""Code of the region by department."""

DEPARTMENTS: Final[Mapping[str, str]] = MappingProxyType({
    "01": "Ain", "02": "Aisne", "03": "Allier", "04": "Alpes-de-Haute-Provence", "05": "Hautes-Alpes", "06": "Alpes-Maritimes",
    "07": "Ardèche", "08": "Ardennes", "09": "Ariège", "10": "Aube", "11": "Aude", "12": "Aveyron", "13": "Bouches-du-Rhône",
    "14": "Calvados", "15": "Cantal", "16": "Charente", "17": "Charente-Maritime", "18": "Cher", "19": "Corrèze", "2A": "Corse-du-Sud",
    "2B": "Haute-Corse", "21": "Côte-d'Or", "22": "Côtes-d'Armor", "23": "Creuse", "24": "Dordogne", "25": "Doubs", "26": "Drôme",
    "27": "Eure", "28": "Eure-et-Loir", "29": "Finistère", "30": "Gard", "31": "Haute-Garonne", "32": "Gers", "33": "Gironde",
    "34": "Hérault", "35": "Ille-et-Vilaine", "36": "Indre", "37": "Indre-et-Loire", "38": "Isère", "39": "Jura", "40": "Landes",
    "41": "Loir-et-Cher", "42": "Loire", "43": "Haute-Loire", "44": "Loire-Atlantique", "45": "Loiret", "46": "Lot",
    "47": "Lot-et-Garonne", "48": "Lozère", "49": "Maine-et-Loire", "50": "Manche", "51": "Marne", "52": "Haute-Marne", "53": "Mayenne",
    "54": "Meurthe-et-Moselle", "55": "Meuse", "56": "Morbihan", "57": "Moselle", "58": "Nièvre", "59": "Nord", "60": "Oise",
    "61": "Orne", "62": "Pas-de-Calais", "63": "Puy-de-Dôme", "64": "Pyrénées-Atlantiques", "65": "Hautes-Pyrénées",
    "66": "Pyrénées-Orientales", "67": "Bas-Rhin", "68": "Haut-Rhin", "69": "Rhône", "70": "Haute-Saône", "71": "Saône-et-Loire",
    "72": "Sarthe", "73": "Savoie", "74": "Haute-Savoie", "75": "Paris", "76": "Seine-Maritime", "77": "Seine-et-Marne",
    "78": "Yvelines", "79": "Deux-Sèvres", "80": "Somme", "81": "Tarn", "82": "Tarn-et-Garonne", "83": "Var", "84": "Vaucluse",
    "85": "Vendée", "86": "Vienne", "87": "Haute-Vienne", "88": "Vosges", "89": "Yonne", "90": "Territoire de Belfort",
    "91": "Essonne", "92": "Hauts-de-Seine", "93": "Seine-Saint-Denis", "94": "Val-de-Marne", "95": "Val-d'Oise", "971": "Guadeloupe",
    "972": "Martinique", "973": "Guyane", "974": "La Réunion", "975": "Saint-Pierre-et-Miquelon", "976": "Mayotte",
    "977": "Saint-Barthélemy", "978": "Saint-Martin", "984": "Terres australes et antarctiques françaises", "986": "Wallis-et-Futuna",
    "987": "Polynésie française", "988": "Nouvelle-Calédonie", "989": "Île Clipperton",
})  # fmt: skip
"""Names of departments and of the territories that have a code of their own."""

STREET_TYPES: Final[Mapping[str, str]] = MappingProxyType({
    "ALL": "ALLÉE", "ALLEE": "ALLÉE", "AV": "AVENUE", "BD": "BOULEVARD", "BVD": "BOULEVARD", "CAR": "CARREFOUR", "CC": "CENTRE COMMERCIAL",
    "CHE": "CHEMIN", "CHEM": "CHEMIN", "CHS": "CHAUSSÉE", "CHAUSSEE": "CHAUSSÉE", "CITE": "CITÉ", "COR": "CORNICHE", "CRS": "COURS",
    "CTRE": "CENTRE", "DOM": "DOMAINE", "DSC": "DESCENTE", "ECA": "ÉCART", "ESP": "ESPLANADE", "FG": "FAUBOURG", "GR": "GRANDE RUE",
    "HAM": "HAMEAU", "HLE": "HALLE", "IMM": "IMMEUBLE", "IMP": "IMPASSE", "LD": "LIEU-DIT", "LOT": "LOTISSEMENT", "MAR": "MARCHÉ",
    "MTE": "MONTÉE", "MONTEE": "MONTÉE", "PAS": "PASSAGE", "PASS": "PASSAGE", "PL": "PLACE", "PLN": "PLAINE", "PLT": "PLATEAU",
    "PRO": "PROMENADE", "PROM": "PROMENADE", "PRV": "PARVIS", "QU": "QUAI", "QUA": "QUARTIER", "QUAR": "QUARTIER", "RES": "RÉSIDENCE",
    "RESIDENCE": "RÉSIDENCE", "RLE": "RUELLE", "ROC": "ROCADE", "RPT": "ROND-POINT", "RTE": "ROUTE", "SEN": "SENTE", "SQ": "SQUARE",
    "TPL": "TERRE-PLEIN", "TRA": "TRAVERSE", "VLA": "VILLA", "VLGE": "VILLAGE", "VOI": "VOIE", "ZA": "ZONE D'ACTIVITÉS",
    "ZAC": "ZONE D'AMÉNAGEMENT CONCERTÉ", "ZI": "ZONE INDUSTRIELLE",
})  # fmt: skip
"""Street types in full by their short form; a type that is not here is written in full already."""

REPETITIONS: Final[Mapping[str, str]] = MappingProxyType({"B": "BIS", "T": "TER", "Q": "QUATER", "C": "QUINQUIES"})
"""Repetition indices in full by their letter."""


def legal_form_label(form: str | None) -> str | None:
    """The label of a legal form of four digits at the level of two, or None when it is unknown."""
    return None if not form else LEGAL_FORMS.get(form[:2]) or LEGAL_FORMS.get(form[:1])


def region_of(department: str | None) -> str | None:
    """The name of the region of a department; None for territories outside the regions."""
    code = REGION_OF.get(department or "")
    return None if code is None else REGIONS[code]
