"""The rules of the register for one row at a time, written as plainly as they read: what expressions over whole columns are held against."""

import datetime as dt

from joblot import Document
from joblot_sirene.fields import Fields
from joblot_sirene.register import filters, naf, privacy
from joblot_sirene.register.code_lists import LEGAL_FORM_COLUMN, NATURAL_PERSONS
from joblot_sirene.register.filters import UNKNOWN_CREATION
from joblot_sirene.register.identifiers import department, whole_code


def read_section(reader, name, tree):
    """What `reader` makes of a job file's section of that name."""
    document = Document({name: tree})
    result = reader(Fields(document, name))
    document.raise_problems()
    return result


def read_filters(tree):
    return read_section(filters.read, "filters", tree)


def read_policy(tree):
    return read_section(privacy.read, "privacy", tree)


def matches(row, selection):
    """Whether a row (canonical column names) matches an activity code: `expressions.matches`."""
    return any(
        row.get(rule.code_column) in rule.codes
        and (rule.nomenclature_column is None or (row.get(rule.nomenclature_column) or "") in rule.nomenclatures)
        for rule in naf.matching_rules(selection)
    )


def keeps(row, chosen):
    """Whether a row is taken: `expressions.keeps`. A value that is missing never satisfies a filter that asks for one."""
    return (
        (not chosen.naf_include or any(matches(row, selection) for selection in chosen.naf_include))
        and not any(matches(row, selection) for selection in chosen.naf_exclude)
        and (not chosen.active_only or row.get("etatAdministratifEtablissement") == "A")
        and (not chosen.has_area or _keeps_area(row, chosen))
        and (not chosen.headcounts or row.get("trancheEffectifsEtablissement") in chosen.headcounts)
        and _keeps_creation(row.get("dateCreationEtablissement"), chosen)
        and (not chosen.head_office_only or row.get("etablissementSiege") is True)
        and (not chosen.employers_only or row.get("caractereEmployeurEtablissement") == "O")
        and (not chosen.needs_unit or _keeps_form(row.get(LEGAL_FORM_COLUMN), chosen))
    )


def _keeps_area(row, chosen):
    commune, post = (
        None if code is None else whole_code(code)
        for code in (row.get("codeCommuneEtablissement"), row.get("codePostalEtablissement"))
    )
    return (
        commune in chosen.communes
        or department(commune, None if row.get("libellePaysEtrangerEtablissement") else post) in chosen.departments
        or (post is not None and post.startswith(chosen.postal_prefixes))
    )


def _keeps_creation(created, chosen):
    if chosen.created_from is None and chosen.created_to is None:
        return True
    if created is None or created == UNKNOWN_CREATION:
        return False
    return (chosen.created_from or dt.date.min) <= created <= (chosen.created_to or dt.date.max)


def _keeps_form(form, chosen):
    if form is None:
        return False
    return (chosen.natural_persons or not form.startswith(NATURAL_PERSONS)) and (
        not chosen.legal_forms or form.startswith(chosen.legal_forms)
    )


def is_public(row):
    """Whether a row may be shown in full: status O of the establishment and, where it is known, of the legal unit."""
    return row.get(privacy.STATUS_COLUMN) == "O" and row.get(privacy.UNIT_STATUS_COLUMN, "O") in {"O", None}


def masked(row):
    """A row with every name and address field masked, whatever the file shows: `privacy.protect`."""
    return {name: privacy.MASK if name in privacy.MASKED_COLUMNS else value for name, value in row.items()}
