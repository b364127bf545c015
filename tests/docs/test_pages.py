"""Pages that are made from code are current, and links lead somewhere."""

import re
import tomllib

import pytest

from docs.pages import DOCS, PAGES, ROOT, anchors, first_cells, prose, section

_LINK = re.compile(r"(?<!\!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
_TOCTREE = re.compile(r"```\{toctree\}\n(.*?)```", re.DOTALL)


def test_the_reference_is_what_the_code_says_now():
    import make_reference

    outdated = [str(path.relative_to(ROOT)) for path, _ in make_reference.outdated()]
    assert outdated == [], "run: python docs/make_reference.py"


def test_every_block_of_the_reference_stands_in_a_page():
    import make_reference

    pages = "".join(path.read_text(encoding="utf-8") for path in make_reference.pages())
    missing = [name for name in make_reference.BLOCKS if f"<!-- begin: {name} -->" not in pages]
    assert missing == []


def test_the_picture_of_the_states_shows_the_moves_of_now():
    import make_states

    assert make_states.TARGET.read_text(encoding="utf-8") == make_states.picture(), "run: python docs/make_states.py"


def test_the_picture_of_the_speed_shows_the_figures_that_are_kept():
    import make_curves

    assert make_curves.TARGET.read_text(encoding="utf-8") == make_curves.picture(), "run: python docs/make_curves.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_files_and_headings_lead_there(page):
    broken = []
    for match in _LINK.finditer(prose(page)):
        target, _, anchor = (match[1] or match[2]).partition("#")
        if target.startswith(("https://", "http://")):
            continue
        path = (page.parent / target).resolve() if target else page
        if not path.exists() or (anchor and anchor not in anchors(path)):
            broken.append(match[1] or match[2])
    assert broken == []


def test_every_page_is_in_a_table_of_contents():
    listed = set()
    for page in DOCS.rglob("*.md"):
        for block in _TOCTREE.findall(page.read_text(encoding="utf-8")):
            entries = [line for line in block.splitlines() if line and not line.startswith(":")]
            listed |= {(page.parent / f"{entry}.md").resolve() for entry in entries}
    pages = {page.resolve() for page in DOCS.rglob("*.md") if "_build" not in page.parts}
    assert pages - listed == {DOCS / "index.md"}
    assert listed - pages == set()


def test_every_decision_is_complete():
    pages = sorted((DOCS / "adr").glob("0*.md"))
    numbers = [int(page.name[:4]) for page in pages]
    assert len(set(numbers)) == len(numbers)
    for page in pages:
        text = page.read_text(encoding="utf-8")
        parts = ["**Context.**", "**Decision.**", "**Price.**", "**What would change our mind.**"]
        assert [text.count(part) for part in parts] == [1, 1, 1, 1], page.name


def test_the_tests_that_hold_a_guarantee_exist():
    page = (DOCS / "concepts" / "guarantees.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", page)
    missing = [
        f"{file}::{test}"
        for file, test in named
        if not (ROOT / file).exists() or (test and f"def {test}(" not in (ROOT / file).read_text(encoding="utf-8"))
    ]
    assert len(named) > 20
    assert missing == []


def test_the_design_has_the_layers_that_the_linter_holds():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers = next(one["layers"] for one in contracts if one["type"] == "layers")
    shown = " > ".join(", ".join(f"`{name.strip()}`" for name in re.split(r"[|:]", layer)) for layer in layers)
    assert shown in (DOCS / "design.md").read_text(encoding="utf-8")


def test_the_design_says_what_every_part_does():
    page = section((DOCS / "design.md").read_text(encoding="utf-8"), "## The house")
    listed = {name.removesuffix("/") for name in first_cells(page)}
    source = ROOT / "src" / "joblot"
    rooms = (source, source / "runner", source / "core")
    parts = {path.stem for room in rooms for path in room.glob("*.py") if not path.name.startswith("_")}
    parts |= {path.parent.name for path in source.glob("*/__init__.py")}
    assert listed == parts


def test_the_design_counts_the_house_right():
    """Few things at the top, and no import upward."""
    import count_rooms

    figures = count_rooms.sentence()
    assert f"> {figures}\n" in (DOCS / "design.md").read_text(encoding="utf-8")
    assert int(figures.split()[0]) <= 26
    assert figures.endswith(" 0 upward")


def test_every_guarantee_names_what_holds_it():
    page = (DOCS / "concepts" / "guarantees.md").read_text(encoding="utf-8")
    promises = re.split(r"^## (?=G\d)", page, flags=re.MULTILINE)[1:]
    assert [promise[:2] for promise in promises] == ["G1", "G2", "G3", "G4", "G5", "G6", "G7", "G8"]
    assert all("Held by:" in promise for promise in promises)
