"""The report of a dataset as one page for people: it opens in any browser, without a network, and prints.

The page is made of counts. No name, no address and no number of an establishment is in it; communes, departments, activities and legal
forms are. The same report and the same rows give the same bytes. What is asked of the rows is in `portrait`, the pictures in `charts`, the
words in `words`, the looks in `data/page.css`.
"""

from __future__ import annotations

import datetime as dt
import re
from html import escape
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from joblot_sirene.package import charts, france
from joblot_sirene.package import page_texts as words
from joblot_sirene.package import summary as portrait
from joblot_sirene.package.charts import Bar, Column, Dot, Part
from joblot_sirene.register import naf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import polars as pl

    from joblot_sirene.package.summary import Ranking

POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""What the page may load: nothing. Its style stands in it."""

MOST_RANKED: Final = 12
MOST_YEARS: Final = 50
MOST_WARNINGS: Final = 30
MOST_LETTERS: Final = 240
_NAMED_TOWNS: Final = 7

_EVOLUTIONS: Final = ("inchange", "nouveau", "demenage", "naf_change", "ferme", "rouvert")


class _View(NamedTuple):
    """What every part of the page looks at."""

    report: Mapping[str, Any]
    frame: pl.DataFrame
    facts: Mapping[str, Mapping[str, Any]]
    stock: dt.date | None

    @property
    def rows(self) -> int:
        return self.frame.height


def html_page(report: Mapping[str, Any], frame: pl.DataFrame) -> Iterator[str]:
    """The page as lines of HTML with their ends. `report` is what `quality.report` gave for these rows.

    Parts that the dataset has nothing for are left out or say so: a profile may make neither labels nor a score nor coordinates.
    """
    return (f"{line}\n" for line in _page(report, frame))


def _page(report: Mapping[str, Any], frame: pl.DataFrame) -> Iterator[str]:
    facts = {step["name"]: step["facts"] for step in report["steps"]}
    date = report["rights"]["stock_date"]
    view = _View(report, frame, facts, None if date is None else dt.date.fromisoformat(date))
    sections = {anchor: [line for card in cards for line in card(view)] for anchor, cards in _SECTIONS}
    shown = [anchor for anchor, lines in sections.items() if lines]
    yield from _head(view)
    yield from _header(view, shown)
    yield "<main>"
    for anchor in shown:
        yield f'<section aria-labelledby="{anchor}"><h2 id="{anchor}">{_said(anchor)}</h2><div class="cards">'
        yield from sections[anchor]
        yield "</div></section>"
    yield f"</main><footer><p>{_said('rights.page')} {_said('footer')}</p></footer></body></html>"


def _head(view: _View) -> Iterator[str]:
    from importlib.resources import files

    style = (files("joblot_sirene") / "data" / "page.css").read_text(encoding="utf-8")
    yield '<!DOCTYPE html><html lang="fr"><head><meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="referrer" content="no-referrer">'
    yield f'<meta name="color-scheme" content="light dark"><title>{_said("title")} · {escape(" ".join(_title(view)))}</title>'
    yield "<style>"
    yield from (line for line in style.splitlines() if line)
    yield "</style></head><body>"


def _title(view: _View) -> list[str]:
    """The codes, as files spell them, and their labels."""
    codes = ", ".join(_spelt(code) for code in (view.report["code"] or "").split(", "))
    return [_clipped(text) for text in (codes, view.report["label"]) if text]


def _spelt(code: str) -> str:
    return naf.dotted(code) if re.fullmatch(r"[0-9]{4}[A-Z]", code) else code


def _header(view: _View, shown: Sequence[str]) -> Iterator[str]:
    verdict = (view.report["verdict"] if view.report["kpis"] else None) or "none"
    title = _title(view) or [words.text("title")]
    code = f'<span class="code">{escape(title[0])}</span> ' if len(title) == 2 else ""
    yield f'<header><p class="above">{_said("about", profile=_clipped(str(view.report["profile"])))}</p>'
    yield f"<h1>{code}{escape(title[-1])}</h1>"
    yield f'<p class="lead"><strong>{_said("rows", n=view.rows)}</strong> <span class="pill {verdict}">{_said(f"verdict.{verdict}")}</span></p>'
    yield f'<p class="source">{escape(_source(view))} · {escape(view.report["rights"]["licence"])}</p>'
    yield from _tiles(_header_tiles(view))
    yield from _brief(view)
    links = "".join(f'<a href="#{anchor}">{_said(anchor)}</a>' for anchor in shown)
    yield f'<nav aria-label="{_said("contents")}">{links}</nav></header>'


def _source(view: _View) -> str:
    return words.text("source.undated") if view.stock is None else words.text("source", date=words.date(view.stock))


def _header_tiles(view: _View) -> Iterator[tuple[str, str]]:
    for key, column, value in (("active", "etat", "A"), ("employers", "employeur", "O"), ("heads", "siege", True)):
        part = portrait.share(view.frame, column, value)
        if part is not None:
            yield words.share(part), words.text(f"tile.{key}")
    for key, column in (("units", "siren"), ("communes", "code_commune"), ("departments", "departement")):
        count = portrait.distinct(view.frame, column)
        if count is not None:
            yield words.number(count), words.text(f"tile.{key}", n=count)
    median = (view.report["score"] or {}).get("p50")
    if median is not None:
        yield words.number(median, 1), words.text("tile.score")


def _tiles(tiles: Iterable[tuple[str, str]]) -> Iterator[str]:
    items = [f"<li><strong>{escape(value)}</strong> {escape(name)}</li>" for value, name in tiles]
    if items:
        yield '<ul class="tiles">'
        yield from items
        yield "</ul>"


def _brief(view: _View) -> Iterator[str]:
    """The few sentences that somebody reads who reads nothing else."""
    sentences = [sentence for sentence in _sentences(view) if sentence]
    if sentences:
        yield f'<div class="brief"><h2>{_said("brief")}</h2><ul>'
        yield from (f"<li>{sentence}</li>" for sentence in sentences)
        yield "</ul></div>"


def _sentences(view: _View) -> Iterator[str]:
    rights = view.report["rights"]
    if not view.rows:
        yield _said("empty")
    yield _where(view)
    yield _since(view)
    for key, rows in (
        ("closed", view.report["left_out"].get("closed_left_out", 0)),
        ("left_out", rights["rows_excluded_for_partial_diffusion"]),
        ("masked", rights["rows_masked_for_partial_diffusion"]),
    ):
        yield _said(f"brief.{key}", n=rows) if rows else ""
    missed = [words.known("kpi", kpi["key"]) for kpi in view.report["kpis"] if kpi["verdict"] != "pass"]
    yield _said("brief.missed", names=", ".join(missed)) if missed else ""
    worst = max(view.report["issues"], key=lambda issue: issue["count"], default=None)
    if worst is not None:
        yield _said("brief.issue", name=words.known("issue", worst["key"]), share=words.share(worst["share"]))
    changes = view.facts.get("comparison", {})
    if changes.get("compared"):
        yield _said("brief.changes", new=changes["rows"].get("nouveau", 0), gone=changes["gone"])
    warned = sum(len(step["warnings"]) for step in view.report["steps"])
    yield _said("brief.warnings", n=warned) if warned else ""


def _where(view: _View) -> str:
    found = portrait.departments(view.frame, 1)
    if found is None:
        return ""
    count = portrait.distinct(view.frame, "code_commune")
    first = found.top[0]
    return _said(
        "brief.where",
        name=first.name or first.code,
        share=words.share(first.rows / view.rows),
        communes="" if count is None else words.text("brief.communes", n=count),
    )


def _since(view: _View) -> str:
    found = portrait.creations(view.frame, _last_year(view), 10_000)
    if found is None:
        return ""
    left = sum(found.by_year.values()) / 2
    for year in sorted(found.by_year, reverse=True):
        left -= found.by_year[year]
        if left <= 0:
            return _said("brief.since", year=str(year))
    return ""


def _last_year(view: _View) -> int | None:
    """The last year that a creation can be of: the one after the stock's."""
    known = portrait.newest(view.frame) if view.stock is None else view.stock
    return None if known is None else known.year + 1


# Quality


def _score(view: _View) -> Iterator[str]:
    score = view.report["score"]
    if score is None or not view.rows:
        yield from _card("score", _notes([words.text("score.none" if score is None else "no_rows")]))
        return
    yield from _card("score", _score_lines(view, score), wide=True)


def _score_lines(view: _View, score: Mapping[str, Any]) -> Iterator[str]:
    yield from _tiles(
        (words.number(score[key], 1), words.text(f"score.{key}"))
        for key in ("mean", "p50", "p90")
        if score[key] is not None
    )
    yield '<div class="pair">'
    columns = [
        Column(
            words.text("score.range", low=ten * 10, high=ten * 10 + 10),
            rows,
            _count(rows, view.rows),
            tick=str(ten * 10),
        )
        for ten, rows in enumerate(portrait.scores(view.frame))
    ]
    yield from _chart(words.text("score.chart"), columns, words.text("score.band"))
    total = sum(score["weights"].values())
    parts = [
        Bar(
            words.known("part", name),
            score["parts"].get(name) or 0,
            words.share(score["parts"].get(name) or 0),
            words.text("score.weight", weight=words.number(weight / total * 100, 1)),
        )
        for name, weight in score["weights"].items()
    ]
    yield "<div>"
    yield from charts.bar_table(words.text("score.parts"), _heads("score.part", "value"), parts, whole=1)
    yield from _notes([words.text("score.note")])
    yield "</div></div>"


def _targets(view: _View) -> Iterator[str]:
    kpis = view.report["kpis"]
    yield from _card("targets", _target_lines(kpis) if kpis else _notes([words.text("targets.none")]))


def _target_lines(kpis: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    bars = [_target(kpi) for kpi in kpis]
    yield from charts.bar_table(words.text("targets.caption"), _heads("target", "targets.found"), bars, whole=1)


def _target(kpi: Mapping[str, Any]) -> Bar:
    """A target is a share of the rows, but for the one that is a number of rows."""
    value, target, verdict = kpi["value"], kpi["target"], kpi["verdict"]
    counted = kpi["key"] == "rows"
    say: Callable[[float], str] = words.number if counted else words.share
    whole = max(target, value or 0, 1) if counted else 1
    if value is None:
        text = words.text("targets.unmeasured", wanted=say(target))
    else:
        told = words.text(f"verdict.one.{verdict}")
        text = words.text("targets.value", found=say(value), wanted=say(target), verdict=told)
    return Bar(words.known("kpi", kpi["key"]), (value or 0) / whole, text, tone=verdict, mark=target / whole)


def _issues(view: _View) -> Iterator[str]:
    found = sorted(view.report["issues"], key=lambda issue: (-issue["count"], issue["key"]))
    if found:
        bars = [
            Bar(
                words.known("issue", issue["key"]),
                issue["share"],
                _rows_and_share(issue["count"], issue["share"]),
                tone="issue",
            )
            for issue in found
        ]
        lines = charts.bar_table(words.text("issues.caption"), _heads("issue", "count"), bars, whole=1)
    else:
        key = "issues.unchecked" if "checks" not in view.facts else "issues.none" if view.rows else "no_rows"
        lines = _notes([words.text(key)])
    yield from _card("issues", lines)


# Territory


def _map(view: _View) -> Iterator[str]:
    found = portrait.places(view.frame, _NAMED_TOWNS)
    if found is None:
        return
    km = words.number(portrait.CELL_KM)
    label = words.text("map.label", n=sum(cell.rows for cell in found.cells), km=km)
    dots = [Dot(cell.x, cell.y, cell.rows) for cell in found.cells]
    notes = [words.text("map.note", km=km)]
    notes += [
        words.text(f"map.{key}", n=rows)
        for key, rows in (("elsewhere", found.elsewhere), ("unknown", found.unknown))
        if rows
    ]
    picture = charts.dot_map(label, france.outline(), dots, found.towns, portrait.CELL_KM, words.number)
    yield from _card("map", _then(picture, _notes(notes)))


def _departments(view: _View) -> Iterator[str]:
    yield from _ranked(
        view, "departments", "department", portrait.departments(view.frame, MOST_RANKED), unknown="abroad", codes=True
    )


def _communes(view: _View) -> Iterator[str]:
    yield from _ranked(
        view, "communes", "commune", portrait.communes(view.frame, MOST_RANKED), unknown="abroad", codes=True
    )


# Portrait


def _activities(view: _View) -> Iterator[str]:
    found = portrait.activities(view.frame, MOST_RANKED)
    if found is not None and len(found.top) > 1:
        yield from _ranked(view, "activities", "activity", found, codes=True)


def _states(view: _View) -> Iterator[str]:
    active = portrait.share(view.frame, "etat", "A")
    if active is None or active == 1:
        return
    rows = {"A": round(active * view.rows)}
    rows["F"] = view.rows - rows["A"]
    parts = [
        Part(words.text(f"state.{state}"), count, _count(count, view.rows), f"tone{tone}")
        for (state, count), tone in zip(rows.items(), (2, 1), strict=True)
    ]
    yield from _card("states", charts.strip(words.text("states.label"), parts))


def _headcounts(view: _View) -> Iterator[str]:
    found = portrait.headcounts(view.frame)
    bars = [
        Bar(count.name or words.text("headcount.unknown"), count.rows, _count(count.rows, view.rows)) for count in found
    ]
    if bars:
        yield from _card(
            "headcounts", charts.bar_table(words.text("headcounts.caption"), _heads("headcount", "count"), bars)
        )


def _forms(view: _View) -> Iterator[str]:
    found = portrait.legal_forms(view.frame, MOST_RANKED)
    if found is not None:
        yield from _ranked(view, "forms", "form", found)
    elif view.rows:
        yield from _card("forms", _notes([words.text("forms.none")]))


def _creations(view: _View) -> Iterator[str]:
    found = portrait.creations(view.frame, _last_year(view), MOST_YEARS)
    if found is None:
        return
    first, last = str(min(found.by_year)), str(max(found.by_year))
    columns = [
        Column(str(year), rows, words.number(rows), tick=_tick(year, len(found.by_year)))
        for year, rows in found.by_year.items()
    ]
    notes = [words.text("creations.earlier", n=found.earlier, year=first)] if found.earlier else []
    notes += [words.text("creations.unknown", n=found.unknown)] if found.unknown else []
    picture = _chart(words.text("creations.chart", first=first, last=last), columns, words.text("year"))
    yield from _card("creations", _then(picture, _notes(notes)))


def _ages(view: _View) -> Iterator[str]:
    bars = [Bar(_age(low, high), rows, _count(rows, view.rows)) for low, high, rows in portrait.ages(view.frame)]
    if bars:
        yield from _card("ages", charts.bar_table(words.text("ages.caption"), _heads("age", "count"), bars))


def _age(low: int, high: int | None) -> str:
    if high is None:
        return words.text("age.last", low=low)
    return words.text("age.first") if high == 0 else words.text("age.range", low=low, high=high)


# Change


def _comparison(view: _View) -> Iterator[str]:
    facts = view.facts.get("comparison")
    if facts is None:
        return
    if not facts["compared"]:
        yield from _card("comparison", _notes([words.text("comparison.none")]))
        return
    parts = [
        Part(
            words.text(f"evolution.{key}"),
            facts["rows"].get(key, 0),
            _count(facts["rows"].get(key, 0), view.rows),
            f"tone{place}",
        )
        for place, key in enumerate(_EVOLUTIONS, 1)
    ]
    lines = charts.strip(words.text("comparison.label"), parts)
    yield from _card("comparison", _then(lines, _notes([words.text("comparison.gone", n=facts["gone"])])))


def _history(view: _View) -> Iterator[str]:
    facts = view.facts.get("history")
    if facts is None:
        return
    opened, closed = ({int(year): rows for year, rows in facts[key].items()} for key in ("openings", "closings"))
    yield from _card("history", _history_lines(facts, opened, closed))


def _history_lines(facts: Mapping[str, Any], opened: dict[int, int], closed: dict[int, int]) -> Iterator[str]:
    years = sorted({*opened, *closed})
    notes = [words.text("history.file" if facts["from_file"] else "history.rows")]
    if years:
        first, last = max(years[0], years[-1] - MOST_YEARS + 1), years[-1]
        columns = [
            _year(year, opened.get(year, 0), closed.get(year, 0), last - first + 1) for year in range(first, last + 1)
        ]
        yield from _chart(words.text("history.chart", first=str(first), last=str(last)), columns, words.text("year"))
        yield from _legend((("plain", "history.opened"), ("below", "history.closed")))
        before = [sum(rows for year, rows in found.items() if year < first) for found in (opened, closed)]
        if any(before):
            notes.append(words.text("history.earlier", year=str(first), opened=before[0], closed=before[1]))
    else:
        notes.append(words.text("history.none"))
    for key, count in (("absurd", facts["absurd_dates"]), ("unknown", facts.get("unknown_dates", 0))):
        notes += [words.text(f"history.{key}", n=count)] if count else []
    yield from _notes(notes)


def _year(year: int, opened: int, closed: int, years: int) -> Column:
    return Column(
        str(year), opened, words.text("history.text", opened=opened, closed=closed), closed, _tick(year, years)
    )


def _legend(entries: Iterable[tuple[str, str]]) -> Iterator[str]:
    items = "".join(f'<li><span class="swatch {tone}"></span>{_said(key)}</li>' for tone, key in entries)
    yield f'<ul class="legend">{items}</ul>'


# Rights


def _rights(view: _View) -> Iterator[str]:
    rights = view.report["rights"]
    policy = "masked" if rights["partial_diffusion"] == "mask" else "left_out"
    hidden = rights[
        "rows_masked_for_partial_diffusion" if policy == "masked" else "rows_excluded_for_partial_diffusion"
    ]
    persons, retention = rights["rows_of_natural_persons"], rights["retention_days"]
    told = [
        *_of_these_codes(view.report["left_out"]),
        _said(f"rights.{policy}", n=hidden) if hidden else _said(f"rights.{policy}.none"),
        _said(
            "rights.persons.unknown" if persons is None else "rights.persons" if persons else "rights.persons.none",
            n=persons or 0,
        ),
        _said(f"rights.names.{'in' if rights['names_of_natural_persons'] else 'out'}"),
        _said("rights.rebuilt"),
        *([] if retention is None else [_said("rights.retention", n=retention)]),
        f"{escape(_source(view))}. {_said('rights.licence', licence=rights['licence'])}",
    ]
    yield '<article class="card wide"><ul class="told">'
    yield from (f"<li>{sentence}</li>" for sentence in told)
    yield "</ul></article>"


def _of_these_codes(left_out: Mapping[str, Any]) -> Iterator[str]:
    """How many rows the stock has of these codes, and that the closed ones were not wanted."""
    rows, closed = left_out.get("rows_of_these_codes", 0), left_out.get("closed_left_out", 0)
    if rows:
        part = words.share(left_out["closed"] / rows)
        yield _said("rights.codes", n=rows, share=part) + (" " + _said("rights.closed", n=closed) if closed else "")


# Making


def _steps(view: _View) -> Iterator[str]:
    yield from _card("steps", _step_lines(view), wide=True)


def _step_lines(view: _View) -> Iterator[str]:
    yield from _table_head(
        "steps.caption", ("step", "step.in", "step.out", "step.found"), numbers=("step.in", "step.out")
    )
    before = None
    for step in view.report["steps"]:
        yield from _left_out(view, before, step)
        before = step["rows_out"]
        yield _step_row(words.known("step", step["name"]), step["rows_in"], before, _did(step))
    yield "</tbody></table></div>"


def _left_out(view: _View, before: int | None, step: Mapping[str, Any]) -> Iterator[str]:
    """What happens between steps, whatever the profile says: rows that may not be shown go, and those that the filters do not want."""
    excluded = view.report["rights"]["rows_excluded_for_partial_diffusion"]
    hidden = before is None and step["name"] != "units" and excluded
    if hidden or before not in (None, step["rows_in"]):
        yield _step_row(words.text("step.rights"), before, step["rows_in"], _said("did.rights", excluded=excluded))


def _step_row(name: str, rows_in: int | None, rows_out: int, did: str) -> str:
    shown = [words.text("none") if rows is None else words.number(rows) for rows in (rows_in, rows_out)]
    numbers = "".join(f'<td class="number">{text}</td>' for text in shown)
    return f'<tr><th scope="row">{escape(name)}</th>{numbers}<td>{did}</td></tr>'


def _did(step: Mapping[str, Any]) -> str:
    """What a step found, in words; nothing when it has none of the facts that the words are about. Lists are told by their length."""
    facts = {key: len(value) if isinstance(value, list) else value for key, value in step["facts"].items()}
    try:
        return _said(
            f"did.{step['name']}", **{key: value for key, value in facts.items() if isinstance(value, (int, float))}
        )
    except KeyError:
        return ""


def _warnings(view: _View) -> Iterator[str]:
    told = [(step["name"], warning) for step in view.report["steps"] for warning in step["warnings"]]
    if not told:
        yield from _card("warnings", _notes([words.text("warnings.none")]), wide=True)
        return
    yield from _card("warnings", _warning_lines(told), wide=True)


def _warning_lines(told: Sequence[tuple[str, str]]) -> Iterator[str]:
    yield '<ul class="told">'
    for step, warning in told[:MOST_WARNINGS]:
        french = words.warning(warning)
        text = f'<span lang="en">{_coded(warning)}</span>' if french is None else _coded(french)
        yield f"<li><b>{escape(words.known('step', step))}</b> {text}</li>"
    if len(told) > MOST_WARNINGS:
        yield f"<li>{_said('warnings.more', n=len(told) - MOST_WARNINGS)}</li>"
    yield "</ul>"


def _dictionary(view: _View) -> Iterator[str]:
    yield from _card("dictionary", _dictionary_lines(view), wide=True)


def _dictionary_lines(view: _View) -> Iterator[str]:
    filled = portrait.filled(view.frame)
    heads = ("dictionary.name", "dictionary.type", "dictionary.filled", "dictionary.meaning")
    yield from _table_head("dictionary.caption", heads, numbers=("dictionary.filled",))
    for column in view.report["columns"]:
        name = column["name"]
        meaning = words.known("column", name)
        share = words.share(filled[name]) if name in filled else words.text("none")
        yield f'<tr><th scope="row"><code>{escape(name)}</code></th><td>{escape(words.known("type", column["type"]))}</td>'
        yield f'<td class="number">{escape(share)}</td><td>{_coded(column["meaning"] if meaning == name else meaning)}</td></tr>'
    yield "</tbody></table></div>"


_SECTIONS: Final[tuple[tuple[str, tuple[Callable[[_View], Iterator[str]], ...]], ...]] = (
    ("quality", (_score, _targets, _issues)),
    ("territory", (_map, _departments, _communes)),
    ("profile", (_states, _creations, _ages, _headcounts, _forms, _activities)),
    ("change", (_comparison, _history)),
    ("rights", (_rights,)),
    ("making", (_steps, _warnings, _dictionary)),
)
"""The sections of the page and the cards of each, in order."""


# Pieces that several cards are made of


def _card(key: str, lines: Iterable[str], *, wide: bool = False) -> Iterator[str]:
    yield f'<article class="card{" wide" if wide else ""}"><h3>{_said(key)}</h3>'
    yield from lines
    yield "</article>"


def _ranked(
    view: _View, title: str, what: str, found: Ranking | None, *, unknown: str = "unknown", codes: bool = False
) -> Iterator[str]:
    if found is None:
        return
    bars = [
        Bar(
            _clipped(count.name or count.code),
            count.rows,
            _count(count.rows, view.rows),
            count.code if codes and count.name else "",
        )
        for count in found.top
    ]
    if found.other_values:
        bars.append(Bar(words.text("others", n=found.other_values), None, _count(found.other_rows, view.rows)))
    if found.unknown:
        bars.append(Bar(words.text(unknown), None, _count(found.unknown, view.rows)))
    key = "ranked.top" if found.other_values else "ranked.all"
    caption = words.text(key, what=words.text(f"what.{what}"), most=len(found.top))
    whole = max(count.rows for count in found.top)
    yield from _card(title, charts.bar_table(caption, _heads(what, "count"), bars, whole=whole))


def _chart(label: str, columns: Sequence[Column], head: str) -> Iterator[str]:
    """A picture of columns, and the same numbers as a table for those who cannot see it."""
    yield "<figure>"
    yield from charts.column_chart(label, columns, words.number)
    yield f"<figcaption>{escape(label)}</figcaption>"
    yield f"<details><summary>{_said('figures')}</summary><table><caption>{escape(label)}</caption>"
    yield f'<thead><tr><th scope="col">{escape(head)}</th><th scope="col">{_said("count")}</th></tr></thead><tbody>'
    for column in columns:
        yield f'<tr><th scope="row">{escape(column.name)}</th><td>{escape(column.text)}</td></tr>'
    yield "</tbody></table></details></figure>"


def _table_head(caption: str, heads: Iterable[str], *, numbers: Sequence[str] = ()) -> Iterator[str]:
    cells = "".join(f'<th scope="col"{" class=number" if head in numbers else ""}>{_said(head)}</th>' for head in heads)
    yield f'<div class="scroll"><table class="plain"><caption>{_said(caption)}</caption><thead><tr>{cells}</tr></thead><tbody>'


def _notes(notes: Iterable[str]) -> Iterator[str]:
    text = " ".join(notes)
    if text:
        yield f'<p class="note">{escape(text)}</p>'


def _then(*parts: Iterable[str]) -> Iterator[str]:
    for part in parts:
        yield from part


def _heads(one: str, other: str) -> tuple[str, str]:
    return words.text(one), words.text(other)


def _count(rows: int, of: int) -> str:
    return _rows_and_share(rows, rows / of) if of else words.number(rows)


def _rows_and_share(rows: int, share: float) -> str:
    return f"{words.number(rows)} · {words.share(share)}"


def _tick(year: int, years: int) -> str:
    """The years that have their number on the axis: about ten of them."""
    every = next(every for every in (1, 2, 5, 10) if years <= every * 12 or every == 10)
    return str(year) if year % every == 0 else ""


def _said(key: str, **values: Any) -> str:
    """The words of a key as HTML: what is filled in is escaped."""
    return words.text(
        key, **{name: escape(value) if isinstance(value, str) else value for name, value in values.items()}
    )


def _clipped(text: str) -> str:
    return text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 1] + "\u2026"


def _coded(text: str) -> str:
    """Text as HTML, with what stands in backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(_clipped(text)))
