"""YAML with places: what is wrong is said with its line."""

import pytest

from joblot import ConfigError
from joblot_sirene.document import Document, read, shown, written


@pytest.mark.parametrize(
    ("text", "head"),
    [
        ("a: [1\nb: 2", "job.yaml:2:2: error: not YAML: did not find expected ',' or ']'"),
        ("a: 1\na: 2", "job.yaml:2:1: error: the key `a` is there twice"),
        ("a: &x [*x]", "job.yaml:1:4: error: a value that contains itself"),
        ("? [1]\n: 2", "job.yaml:1:1: error: a key must be a word"),
    ],
)
def test_broken_texts_are_one_error_with_its_place(text, head):
    with pytest.raises(ConfigError) as caught:
        read(text, file="job.yaml")
    assert caught.value.diagnostics[0].head() == head


def test_plain_values_are_read_as_people_mean_them():
    tree = read("a: true\nb: null\nc: 012\nd: '1'\ne: 1.50\nf: 2020-01-01\ng: yes\nh: -3\n").tree
    assert tree == {"a": True, "b": None, "c": "012", "d": "1", "e": 1.5, "f": "2020-01-01", "g": "yes", "h": -3}
    assert str(tree["e"]) == "1.50"
    assert read("").tree is None


def test_a_finding_stands_at_the_nearest_known_place():
    document = read("steps:\n  - name: x\n", file="p.yaml")
    finding = document.diagnostic(("steps", 0, "missing"), "no `missing`")
    assert (finding.head(), finding.path) == ("p.yaml:2:5: error: no `missing`", "steps[0].missing")
    assert Document({}).diagnostic(("a",), "m").head() == "error: m"


def test_values_in_messages_are_short_and_harmless():
    assert shown("a\x1b[0m`b") == "`a?[0m?b`"
    assert shown("x" * 100) == f"`{'x' * 60}...`"
    assert (shown(None), shown(True), shown([1]), shown({})) == ("`null`", "`true`", "a list", "a mapping")
    assert written(("a", 1, "b")) == "a[1].b"
