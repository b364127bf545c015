"""The list of requirements and the tests that hold them agree."""

import functools
import importlib
import re

import pytest

from docs.pages import ROOT, text

make_requirements = importlib.import_module("make_requirements")  # `docs.pages` has made it one that can be found
PAGE = text("requirements.md")
ROWS = make_requirements.rows(PAGE)
BY_NUMBER = functools.cache(make_requirements.tests_by_number)


def test_the_page_names_the_tests_of_now():
    assert make_requirements.made(PAGE, BY_NUMBER()) == PAGE, "run: python docs/make_requirements.py"


def test_every_number_stands_once():
    numbers = re.findall(r"^\| ([A-Z]\d+) \|", PAGE, re.MULTILINE)
    assert len(numbers) == len(set(numbers)) == len(ROWS)
    assert [f"R{n}" for n in range(1, 131)] == [number for number in numbers if number[0] == "R"]
    assert [f"D{n}" for n in range(1, 19)] == [number for number in numbers if number[0] == "D"]


def test_a_requirement_has_a_test_or_says_why_not():
    missing = {number: text.partition(make_requirements.NOT_YET)[2] for number, text in ROWS.items()}
    assert [number for number in ROWS if number not in BY_NUMBER() and len(missing[number]) <= 20] == []


def test_every_number_that_a_test_names_is_explained():
    guarantees = set(re.findall(r"^## (G\d):", text("concepts/guarantees.md"), re.MULTILINE))
    assert set(BY_NUMBER()) - set(ROWS) - guarantees == set()


@pytest.mark.parametrize(
    ("said", "numbers"),
    [
        ("R1: x", {"R1"}),
        ("R69 to R71, D13", {"R69", "R70", "R71", "D13"}),
        ("I1 to I2: whatever", {"I1", "I2"}),
        ("article R123-232-1", set()),
        ("U+D800, R1234, xR1", set()),
    ],
)
def test_numbers_are_found_in_words(said, numbers):
    assert make_requirements.named(said) == numbers


def test_numbers_are_found_in_names_docstrings_and_comments(tmp_path):
    path = tmp_path / "test_x.py"
    path.write_text('"""G1"""\n\n\ndef test_r1_d2():\n    """R3."""\n    x = "R4"  # R5\n\n\nx = 1  # noqa: S6\n')
    assert make_requirements.named_by(path) == {"G1", "R1", "D2", "R3", "R5"}


@pytest.mark.parametrize("folder", ["src", "examples", "benchmarks"])
def test_code_says_the_thing_and_not_its_number(folder):
    """A reader of the code does not have to look a number up."""
    paths = (ROOT / folder).rglob("*.py")
    files = sorted(path for path in paths if path.is_file() and "out" not in path.parts)  # where the demo writes
    numbers = re.compile(r"(?<![\w+])[DR]\d{1,3}(?![\w-])|document 00\d")
    found = {str(path): numbers.findall(path.read_text(encoding="utf-8").replace("noqa: D", "")) for path in files}
    assert files
    assert {path: words for path, words in found.items() if words} == {}
