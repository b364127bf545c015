"""The report of a dataset as one page for people: it opens in any browser, without a network, and prints.

The page is made of counts. No name, no address and no number of an establishment is in it; communes, departments, activities and legal
forms are. The same report and the same rows give the same bytes. What is counted is in `summary`, the pictures in `charts`, the French in
`page_texts`, the style in `data/page.css`.
"""

from __future__ import annotations

import datetime as dt
import re
from html import escape
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from joblot_sirene.package import charts, france, page_texts, quality, summary
from joblot_sirene.package.charts import Bar, Column, Dot, Part
from joblot_sirene.package.page_texts import number, text
from joblot_sirene.register import naf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import polars as pl

    from joblot_sirene.package.summary import Ranking

POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""What the page may load: nothing. Its style is in it."""

MOST_RANKED: Final = 12
MOST_YEARS: Final = 50
MOST_WARNINGS: Final = 30
MOST_LETTERS: Final = 240
_NAMED_TOWNS: Final = 7

_EVOLUTIONS: Final = ("inchange", "nouveau", "demenage", "naf_change", "ferme", "rouvert")


class _View(NamedTuple):
    """What the page is made of: the report, the rows, the facts of each step, the date of the stock."""

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
    # all sections are made first: the contents, above them, list only those that have something in them
    sections = {anchor: list(_cards(view, cards)) for anchor, cards in _SECTIONS}
    anchors = [anchor for anchor, lines in sections.items() if lines]
    yield from _head(view)
    yield from _header(view, anchors)
    yield "<main>"
    for anchor in anchors:
        yield f'<section aria-labelledby="{anchor}"><h2 id="{anchor}">{_html(anchor)}</h2><div class="cards">'
        yield from sections[anchor]
        yield "</div></section>"
    yield f"</main><footer><p>{_html('rights.page')} {_html('footer')}</p></footer></body></html>"


def _cards(view: _View, cards: Iterable[_Card]) -> Iterator[str]:
    for card in cards:
        lines = list(card.lines(view))
        if lines and card.title:
            yield f'<article class="card{" wide" if card.wide else ""}"><h3>{_html(card.title)}</h3>'
            yield from lines
            yield "</article>"
        else:
            yield from lines


def _head(view: _View) -> Iterator[str]:
    from importlib.resources import files

    style = (files("joblot_sirene") / "data" / "page.css").read_text(encoding="utf-8")
    yield '<!DOCTYPE html><html lang="fr"><head><meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="referrer" content="no-referrer">'
    yield f'<meta name="color-scheme" content="light dark"><title>{_html("title")} · {escape(" ".join(_title(view)))}</title>'
    yield "<style>"
    yield from (line for line in style.splitlines() if line)
    yield "</style></head><body>"


def _title(view: _View) -> list[str]:
    """The codes, as files spell them, and their labels."""
    codes = ", ".join(_spelt(code) for code in (view.report["code"] or "").split(", "))
    return [_clipped(part) for part in (codes, view.report["label"]) if part]


def _spelt(code: str) -> str:
    return naf.dotted(code) if re.fullmatch(r"[0-9]{3,4}|[0-9]{4}[A-Z]", code) else code


def _header(view: _View, anchors: Sequence[str]) -> Iterator[str]:
    verdict = (view.report["verdict"] if view.report["kpis"] else None) or "none"
    title = _title(view) or [text("title")]
    code = f'<span class="code">{escape(title[0])}</span> ' if len(title) == 2 else ""
    yield f'<header><p class="above">{_html("about", profile=_clipped(str(view.report["profile"])))}</p>'
    yield f"<h1>{code}{escape(title[-1])}</h1>"
    yield f'<p class="lead"><strong>{_html("rows", n=view.rows)}</strong> <span class="pill {verdict}">{_html(f"verdict.{verdict}")}</span></p>'
    yield f'<p class="source">{escape(_source(view))} · {escape(view.report["rights"]["licence"])}</p>'
    yield from _tiles(_header_tiles(view))
    yield from _brief(view)
    links = "".join(f'<a href="#{anchor}">{_html(anchor)}</a>' for anchor in anchors)
    yield f'<nav aria-label="{_html("contents")}">{links}</nav></header>'


def _source(view: _View) -> str:
    if view.stock is None:
        return text("source.undated")
    is_newest = view.report["rights"]["source"].endswith(f"newest treatment on {view.stock.isoformat()}")
    return text("source.newest" if is_newest else "source", date=page_texts.date(view.stock))


def _header_tiles(view: _View) -> Iterator[tuple[str, str]]:
    for key, column, value in (("active", "etat", "A"), ("employers", "employeur", "O"), ("heads", "siege", True)):
        part = summary.share(view.frame, column, value)
        if part is not None:
            yield page_texts.share(part), text(f"tile.{key}")
    for key, column in (("units", "siren"), ("communes", "code_commune"), ("departments", "departement")):
        count = summary.distinct(view.frame, column)
        if count is not None:
            yield number(count), text(f"tile.{key}", n=count)
    median = (view.report["score"] or {}).get("p50")
    if median is not None:
        yield number(median, 1), text("tile.score")


def _tiles(tiles: Iterable[tuple[str, str]]) -> Iterator[str]:
    items = [f"<li><strong>{escape(value)}</strong> {escape(name)}</li>" for value, name in tiles]
    if items:
        yield '<ul class="tiles">'
        yield from items
        yield "</ul>"


def _brief(view: _View) -> Iterator[str]:
    """A few sentences for those who read nothing else."""
    sentences = [sentence for sentence in _sentences(view) if sentence]
    if sentences:
        yield f'<div class="brief"><h2>{_html("brief")}</h2><ul>'
        yield from (f"<li>{sentence}</li>" for sentence in sentences)
        yield "</ul></div>"


def _sentences(view: _View) -> Iterator[str]:
    if not view.rows:
        yield _html("empty")
    yield _where(view)
    yield _since(view)
    yield from _left_out_sentences(view)
    missed = [page_texts.label("kpi", kpi["key"]) for kpi in view.report["kpis"] if kpi["verdict"] != "pass"]
    if missed:
        yield _html("brief.missed", names=", ".join(missed))
    worst = max(view.report["issues"], key=lambda issue: issue["count"], default=None)
    if worst is not None:
        name = page_texts.label("issue", worst["key"])
        yield _html("brief.issue", name=name, share=page_texts.share(worst["share"]))
    changes = view.facts.get("comparison", {})
    if changes.get("compared"):
        yield _html("brief.changes", new=changes["rows"].get("nouveau", 0), gone=changes["gone"])
    warnings = quality.told(view.report)
    if warnings:
        yield _html("brief.warnings", n=len(warnings))


def _left_out_sentences(view: _View) -> Iterator[str]:
    rights = view.report["rights"]
    for key, rows in (
        ("closed", view.report["left_out"].get("closed_left_out", 0)),
        ("left_out", rights["rows_excluded_for_partial_diffusion"]),
        ("masked", rights["rows_masked_for_partial_diffusion"]),
    ):
        if rows:
            yield _html(f"brief.{key}", n=rows)


def _where(view: _View) -> str:
    ranking = summary.departments(view.frame, 1)
    if ranking is None:
        return ""
    communes = summary.distinct(view.frame, "code_commune")
    first = ranking.top[0]
    return _html(
        "brief.where",
        name=first.name or first.code,
        share=page_texts.share(first.rows / view.rows),
        communes="" if communes is None else text("brief.communes", n=communes),
    )


def _since(view: _View) -> str:
    """The year since which half of the establishments have been created."""
    years = summary.creations(view.frame, _last_year(view), 10_000)
    if years is None:
        return ""
    # from the newest year back, until half of all have been counted
    remaining = sum(years.by_year.values()) / 2
    for year in sorted(years.by_year, reverse=True):
        remaining -= years.by_year[year]
        if remaining <= 0:
            return _html("brief.since", year=str(year))
    return ""


def _last_year(view: _View) -> int | None:
    """The last year that a creation can be of: the one after the stock's."""
    day = summary.newest(view.frame) if view.stock is None else view.stock
    return None if day is None else day.year + 1


# Quality


def _score(view: _View) -> Iterator[str]:
    score = view.report["score"]
    if score is None or not view.rows:
        return
    yield from _tiles(
        (number(score[key], 1), text(f"score.{key}")) for key in ("mean", "p50", "p90") if score[key] is not None
    )
    yield '<div class="pair">'
    columns = [
        Column(text("score.range", low=ten * 10, high=ten * 10 + 10), rows, _count(rows, view), tick=str(ten * 10))
        for ten, rows in enumerate(summary.scores(view.frame))
    ]
    yield from _chart(text("score.chart"), columns, text("score.band"))
    total = sum(score["weights"].values())
    bars = []
    for name, weight in score["weights"].items():
        part = score["parts"].get(name) or 0
        aside = text("score.weight", weight=number(weight / total * 100, 1))
        bars.append(Bar(page_texts.label("part", name), part, page_texts.share(part), aside))
    yield "<div>"
    yield from charts.bar_table(text("score.parts"), _heads("score.part", "value"), bars, whole=1)
    yield from _notes([text("score.note")])
    yield "</div></div>"


def _no_score(view: _View) -> Iterator[str]:
    if view.report["score"] is None or not view.rows:
        yield from _notes([text("score.none" if view.report["score"] is None else "no_rows")])


def _targets(view: _View) -> Iterator[str]:
    bars = [_target(kpi) for kpi in view.report["kpis"]]
    if bars:
        return charts.bar_table(text("targets.caption"), _heads("target", "targets.found"), bars, whole=1)
    return _notes([text("targets.none")])


def _target(kpi: Mapping[str, Any]) -> Bar:
    """A target is a share of the rows, but for the one that is a number of rows."""
    value, target, verdict = kpi["value"], kpi["target"], kpi["verdict"]
    is_count = kpi["key"] == "rows"
    spell: Callable[[float], str] = number if is_count else page_texts.share
    whole = max(target, value or 0, 1) if is_count else 1
    if value is None:
        sentence = text("targets.unmeasured", wanted=spell(target))
    else:
        outcome = text(f"verdict.one.{verdict}")
        sentence = text("targets.value", found=spell(value), wanted=spell(target), verdict=outcome)
    return Bar(page_texts.label("kpi", kpi["key"]), (value or 0) / whole, sentence, tone=verdict, mark=target / whole)


def _issues(view: _View) -> Iterator[str]:
    issues = sorted(view.report["issues"], key=lambda issue: (-issue["count"], issue["key"]))
    if not issues:
        key = "issues.unchecked" if "checks" not in view.facts else "issues.none" if view.rows else "no_rows"
        return _notes([text(key)])
    bars = []
    for issue in issues:
        count, share = issue["count"], issue["share"]
        bars.append(Bar(page_texts.label("issue", issue["key"]), share, _rows_and_share(count, share), tone="issue"))
    return charts.bar_table(text("issues.caption"), _heads("issue", "count"), bars, whole=1)


# Territory


def _map(view: _View) -> Iterator[str]:
    locations = summary.locations(view.frame, _NAMED_TOWNS)
    if locations is None:
        return
    km = number(summary.CELL_KM)
    label = text("map.label", n=sum(cell.rows for cell in locations.cells), km=km)
    dots = [Dot(cell.x, cell.y, cell.rows) for cell in locations.cells]
    yield from charts.dot_map(label, france.outline(), dots, locations.towns, summary.CELL_KM, number)
    notes = [text("map.note", km=km)]
    for key, rows in (("elsewhere", locations.elsewhere), ("unknown", locations.unknown)):
        notes += [text(f"map.{key}", n=rows)] if rows else []
    yield from _notes(notes)


def _departments(view: _View) -> Iterator[str]:
    return _ranked(view, "department", summary.departments(view.frame, MOST_RANKED), unknown="abroad", codes=True)


def _communes(view: _View) -> Iterator[str]:
    return _ranked(view, "commune", summary.communes(view.frame, MOST_RANKED), unknown="abroad", codes=True)


# Profile


def _activities(view: _View) -> Iterator[str]:
    ranking = summary.activities(view.frame, MOST_RANKED)
    # a dataset of one activity has its name in the title
    return _ranked(view, "activity", ranking if ranking is not None and len(ranking.top) > 1 else None, codes=True)


def _states(view: _View) -> Iterator[str]:
    share = summary.share(view.frame, "etat", "A")
    if share is None or share == 1:
        return
    active = round(share * view.rows)
    parts = [
        Part(text(f"state.{state}"), rows, _count(rows, view), tone)
        for state, rows, tone in (("A", active, "tone2"), ("F", view.rows - active, "tone1"))
    ]
    yield from charts.strip(text("states.label"), parts)


def _headcounts(view: _View) -> Iterator[str]:
    bars = [
        Bar(count.name or text("headcount.unknown"), count.rows, _count(count.rows, view))
        for count in summary.headcounts(view.frame)
    ]
    if bars:
        yield from charts.bar_table(text("headcounts.caption"), _heads("headcount", "count"), bars)


def _forms(view: _View) -> Iterator[str]:
    ranking = summary.legal_forms(view.frame, MOST_RANKED)
    if ranking is None and view.rows:
        return _notes([text("forms.none")])
    return _ranked(view, "form", ranking)


def _creations(view: _View) -> Iterator[str]:
    years = summary.creations(view.frame, _last_year(view), MOST_YEARS)
    if years is None:
        return
    first, last = str(min(years.by_year)), str(max(years.by_year))
    columns = [
        Column(str(year), rows, number(rows), tick=_tick(year, len(years.by_year)))
        for year, rows in years.by_year.items()
    ]
    yield from _chart(text("creations.chart", first=first, last=last), columns, text("year"))
    notes = [text("creations.earlier", n=years.earlier, year=first)] if years.earlier else []
    notes += [text("creations.unknown", n=years.unknown)] if years.unknown else []
    yield from _notes(notes)


def _ages(view: _View) -> Iterator[str]:
    bars = [Bar(_age(low, high), rows, _count(rows, view)) for low, high, rows in summary.ages(view.frame)]
    if bars:
        yield from charts.bar_table(text("ages.caption"), _heads("age", "count"), bars)


def _age(low: int, high: int | None) -> str:
    if high is None:
        return text("age.last", low=low)
    return text("age.first") if high == 0 else text("age.range", low=low, high=high)


# Change


def _comparison(view: _View) -> Iterator[str]:
    facts = view.facts.get("comparison")
    if facts is None:
        return
    if not facts["compared"]:
        yield from _notes([text("comparison.none")])
        return
    rows = {key: facts["rows"].get(key, 0) for key in _EVOLUTIONS}
    parts = [
        Part(text(f"evolution.{key}"), count, _count(count, view), f"tone{tone}")
        for tone, (key, count) in enumerate(rows.items(), 1)
    ]
    yield from charts.strip(text("comparison.label"), parts)
    yield from _notes([text("comparison.gone", n=facts["gone"])])


def _history(view: _View) -> Iterator[str]:
    facts = view.facts.get("history")
    if facts is None:
        return
    opened, closed = ({int(year): rows for year, rows in facts[key].items()} for key in ("openings", "closings"))
    years = sorted({*opened, *closed})
    notes = [text("history.file" if facts["from_file"] else "history.rows")]
    if years:
        # the last years one by one, as a picture has room for, and all before them as one number
        first, last = max(years[0], years[-1] - MOST_YEARS + 1), years[-1]
        columns = [
            _year(year, opened.get(year, 0), closed.get(year, 0), last - first + 1) for year in range(first, last + 1)
        ]
        yield from _chart(text("history.chart", first=str(first), last=str(last)), columns, text("year"))
        yield from _legend((("plain", "history.opened"), ("below", "history.closed")))
        before = [sum(rows for year, rows in events.items() if year < first) for events in (opened, closed)]
        if any(before):
            notes.append(text("history.earlier", year=str(first), opened=before[0], closed=before[1]))
    else:
        notes.append(text("history.none"))
    for key, count in (("absurd", facts["absurd_dates"]), ("unknown", facts.get("unknown_dates", 0))):
        notes += [text(f"history.{key}", n=count)] if count else []
    yield from _notes(notes)


def _year(year: int, opened: int, closed: int, years: int) -> Column:
    sentence = text("history.text", opened=opened, closed=closed)
    return Column(str(year), opened, sentence, closed, _tick(year, years))


def _legend(entries: Iterable[tuple[str, str]]) -> Iterator[str]:
    items = "".join(f'<li><span class="swatch {tone}"></span>{_html(key)}</li>' for tone, key in entries)
    yield f'<ul class="legend">{items}</ul>'


# Rights


def _rights(view: _View) -> Iterator[str]:
    rights = view.report["rights"]
    policy = "masked" if rights["partial_diffusion"] == "mask" else "left_out"
    hidden = rights[
        "rows_masked_for_partial_diffusion" if policy == "masked" else "rows_excluded_for_partial_diffusion"
    ]
    persons, retention = rights["rows_of_natural_persons"], rights["retention_days"]
    sentences = [
        *_of_these_codes(view.report["left_out"]),
        _html(f"rights.{policy}", n=hidden) if hidden else _html(f"rights.{policy}.none"),
        *_persons(persons, rights["rows_of_unknown_legal_form"]),
        _html(f"rights.names.{'in' if rights['names_of_natural_persons'] else 'out'}"),
        _html("rights.rebuilt"),
        *([] if retention is None else [_html("rights.retention", n=retention)]),
        f"{escape(_source(view))}. {_html('rights.licence', licence=rights['licence'])}",
    ]
    yield '<article class="card wide"><ul class="told">'
    yield from (f"<li>{sentence}</li>" for sentence in sentences)
    yield "</ul></article>"


def _persons(persons: int | None, unknown: int) -> Iterator[str]:
    """How many rows are of natural persons, and how many may be."""
    if persons is None:
        yield _html("rights.persons.unknown")
        return
    if persons or not unknown:
        yield _html("rights.persons" if persons else "rights.persons.none", n=persons)
    if unknown:
        yield _html("rights.persons.some_unknown", n=unknown)


def _of_these_codes(left_out: Mapping[str, Any]) -> Iterator[str]:
    """How many rows the stock has of these codes, and that the closed ones were not wanted."""
    rows, closed = left_out.get("rows_of_these_codes", 0), left_out.get("closed_left_out", 0)
    if rows:
        part = page_texts.share(left_out["closed"] / rows)
        yield _html("rights.codes", n=rows, share=part) + (" " + _html("rights.closed", n=closed) if closed else "")


# Making


def _steps(view: _View) -> Iterator[str]:
    heads = ("step", "step.in", "step.out", "step.found")
    yield from _table_head("steps.caption", heads, numbers=("step.in", "step.out"))
    before = None
    for step in view.report["steps"]:
        yield from _left_out(view, before, step)
        before = step["rows_out"]
        yield _step_row(page_texts.label("step", step["name"]), step["rows_in"], before, _step_result(step))
    yield "</tbody></table></div>"


def _left_out(view: _View, before: int | None, step: Mapping[str, Any]) -> Iterator[str]:
    """A row of what happens between steps, whatever the profile says: rows that may not be shown go, and those that the filters leave out."""
    excluded = view.report["rights"]["rows_excluded_for_partial_diffusion"]
    hidden = before is None and step["name"] != "units" and excluded
    if hidden or before not in (None, step["rows_in"]):
        yield _step_row(text("step.rights"), before, step["rows_in"], _html("did.rights", excluded=excluded))


def _step_row(name: str, rows_in: int | None, rows_out: int, result: str) -> str:
    counts = [text("none") if rows is None else number(rows) for rows in (rows_in, rows_out)]
    cells = "".join(f'<td class="number">{count}</td>' for count in counts)
    return f'<tr><th scope="row">{escape(name)}</th>{cells}<td>{result}</td></tr>'


def _step_result(step: Mapping[str, Any]) -> str:
    """What a step did, as a sentence; empty when the facts that the sentence needs are not there. Of lists the length is given."""
    facts = {key: len(value) if isinstance(value, list) else value for key, value in step["facts"].items()}
    # a step that had nothing to do has fewer facts than its sentence needs
    numbers = {key: value for key, value in facts.items() if isinstance(value, (int, float))}
    try:
        return _html(f"did.{step['name']}", **numbers)
    except KeyError:
        return ""


def _warnings(view: _View) -> Iterator[str]:
    warnings = quality.told(view.report)
    if not warnings:
        yield from _notes([text("warnings.none")])
        return
    yield '<ul class="told">'
    for step, warning in warnings[:MOST_WARNINGS]:
        french = page_texts.warning(warning)
        sentence = f'<span lang="en">{_coded(warning)}</span>' if french is None else _coded(french)
        name = page_texts.label("step", step) if step else text("warnings.file")
        yield f"<li><b>{escape(name)}</b> {sentence}</li>"
    if len(warnings) > MOST_WARNINGS:
        yield f"<li>{_html('warnings.more', n=len(warnings) - MOST_WARNINGS)}</li>"
    yield "</ul>"


def _dictionary(view: _View) -> Iterator[str]:
    filled = summary.filled(view.frame)
    heads = ("dictionary.name", "dictionary.type", "dictionary.filled", "dictionary.meaning")
    yield from _table_head("dictionary.caption", heads, numbers=("dictionary.filled",))
    for column in view.report["columns"]:
        name = column["name"]
        meaning = page_texts.label("column", name)
        share = page_texts.share(filled[name]) if name in filled else text("none")
        kind = page_texts.label("type", column["type"])
        yield f'<tr><th scope="row"><code>{escape(name)}</code></th><td>{escape(kind)}</td>'
        yield f'<td class="number">{escape(share)}</td><td>{_coded(column["meaning"] if meaning == name else meaning)}</td></tr>'
    yield "</tbody></table></div>"


class _Card(NamedTuple):
    """A card of the page: the key of its title and the lines below it; without a title the lines are the card, without lines there is none."""

    title: str
    lines: Callable[[_View], Iterator[str]]
    wide: bool = False


_SECTIONS: Final = (
    (
        "quality",
        (
            _Card("score", _score, wide=True),
            _Card("score", _no_score),
            _Card("targets", _targets),
            _Card("issues", _issues),
        ),
    ),
    ("territory", (_Card("map", _map), _Card("departments", _departments), _Card("communes", _communes))),
    (
        "profile",
        (
            _Card("states", _states),
            _Card("creations", _creations),
            _Card("ages", _ages),
            _Card("headcounts", _headcounts),
            _Card("forms", _forms),
            _Card("activities", _activities),
        ),
    ),
    ("change", (_Card("comparison", _comparison), _Card("history", _history))),
    ("rights", (_Card("", _rights),)),
    (
        "making",
        (
            _Card("steps", _steps, wide=True),
            _Card("warnings", _warnings, wide=True),
            _Card("dictionary", _dictionary, wide=True),
        ),
    ),
)
"""The sections of the page and the cards of each, in order."""


# Pieces that several cards are made of


def _ranked(
    view: _View, what: str, ranking: Ranking | None, *, unknown: str = "unknown", codes: bool = False
) -> Iterator[str]:
    """The table of a ranking; nothing when there is none."""
    if ranking is None:
        return
    bars = [
        Bar(
            _clipped(count.name or count.code),
            count.rows,
            _count(count.rows, view),
            count.code if codes and count.name else "",
        )
        for count in ranking.top
    ]
    if ranking.other_values:
        bars.append(Bar(text("others", n=ranking.other_values), None, _count(ranking.other_rows, view)))
    if ranking.unknown:
        bars.append(Bar(text(unknown), None, _count(ranking.unknown, view)))
    key = "ranked.top" if ranking.other_values else "ranked.all"
    caption = text(key, what=text(f"what.{what}"), most=len(ranking.top))
    whole = max(count.rows for count in ranking.top)
    yield from charts.bar_table(caption, _heads(what, "count"), bars, whole=whole)


def _chart(label: str, columns: Sequence[Column], head: str) -> Iterator[str]:
    """A picture of columns, and the same numbers as a table for those who cannot see it."""
    yield "<figure>"
    yield from charts.column_chart(label, columns, number)
    yield f"<figcaption>{escape(label)}</figcaption>"
    yield f"<details><summary>{_html('figures')}</summary><table><caption>{escape(label)}</caption>"
    yield f'<thead><tr><th scope="col">{escape(head)}</th><th scope="col">{_html("count")}</th></tr></thead><tbody>'
    for column in columns:
        yield f'<tr><th scope="row">{escape(column.name)}</th><td>{escape(column.text)}</td></tr>'
    yield "</tbody></table></details></figure>"


def _table_head(caption: str, heads: Iterable[str], *, numbers: Sequence[str] = ()) -> Iterator[str]:
    cells = "".join(f'<th scope="col"{" class=number" if head in numbers else ""}>{_html(head)}</th>' for head in heads)
    yield f'<div class="scroll"><table class="plain"><caption>{_html(caption)}</caption><thead><tr>{cells}</tr></thead><tbody>'


def _notes(notes: Iterable[str]) -> Iterator[str]:
    note = " ".join(notes)
    if note:
        yield f'<p class="note">{escape(note)}</p>'


def _heads(first: str, second: str) -> tuple[str, str]:
    return text(first), text(second)


def _count(rows: int, view: _View) -> str:
    return _rows_and_share(rows, rows / view.rows) if view.rows else number(rows)


def _rows_and_share(rows: int, share: float) -> str:
    return f"{number(rows)} · {page_texts.share(share)}"


def _tick(year: int, years: int) -> str:
    """The years that have their number on the axis: about ten of them."""
    every = next(every for every in (1, 2, 5, 10) if years <= every * 12 or every == 10)
    return str(year) if year % every == 0 else ""


def _html(key: str, **values: Any) -> str:
    """The text of a key as HTML: the values that are filled in are escaped."""
    return text(key, **{name: escape(value) if isinstance(value, str) else value for name, value in values.items()})


def _clipped(line: str) -> str:
    return line if len(line) <= MOST_LETTERS else line[: MOST_LETTERS - 1] + "\u2026"


def _coded(line: str) -> str:
    """A line as HTML, with what stands in backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(_clipped(line)))
