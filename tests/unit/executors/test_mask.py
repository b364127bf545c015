"""What is masked, in which forms; and cutting what is printed into pieces without cutting a secret in two."""

import json
import random
import re

import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from encoders import ENCODERS, forms, most_left
from joblot.core.model import Artifact, Config, JobSpec, LogLine, Outcome
from joblot.executors.mask import Mask


def mask_of(*secrets):
    return Mask(["S"], [{"S": secret} for secret in secrets])


def left(text):
    """What is not stars, when a secret was found; else everything."""
    return text.replace("*", "") if "***" in text else text


@pytest.fixture
def mask(monkeypatch):
    monkeypatch.setenv("KEY", "ababc-xyz")
    monkeypatch.setenv("OTHER", "z-ababd")
    return Mask(["KEY", "OTHER"])


@pytest.mark.parametrize(
    ("data", "ready"),
    [
        (b"", b""),
        (b"nothing here\n", b"nothing here\n"),
        (b"prompt> ", b"prompt> "),
        (b"so far aba", b"so far "),
        (b"so far abab", b"so far "),
        (b"all of ababc-xyz", b"all of "),
        (b"all of ababc-xyz.", b"all of ababc-xyz."),
        (b"both ababc-xyz-ab", b"both "),
    ],
)
def test_what_may_be_the_beginning_of_a_secret_is_held_back(mask, data, ready):
    assert data[: mask.cut(data)] == ready


def test_however_the_pieces_fall_no_secret_comes_through(mask):
    dice = random.Random(7)
    text = b" ".join(dice.choice((b"ababc-xyz", b"z-ababd", b"abab", b"plain", b"xyz-ababc-xyz")) for _ in range(300))
    for _ in range(50):
        came, held, at = b"", b"", 0
        while at < len(text):
            size = dice.randint(1, 12)
            held, at = held + text[at : at + size], at + size
            cut = mask.cut(held)
            came, held = came + mask.data(held[:cut]), held[cut:]
        came += mask.data(held)
        assert b"ababc-xyz" not in came
        assert b"z-ababd" not in came
        assert came.count(b"plain") == text.count(b"plain")


def test_a_cut_lies_in_no_secret_that_is_encoded(mask):
    text = b" ".join(b"%22ababc-xyz%22 YWJhYmMteHl6 eyJ6LWFiYWJkIjoxfQ== plain" for _ in range(40))
    dice = random.Random(3)
    for _ in range(20):
        came, held, at = b"", b"", 0
        while at < len(text):
            size = dice.randint(1, 30)
            held, at = held + text[at : at + size], at + size
            cut = mask.cut(held)
            came, held = came + mask.data(held[:cut]), held[cut:]
        assert came + mask.data(held) == mask.data(text)


# --- forms ------------------------------------------------------------------------------------------


def shown(secret):
    """The forms in which more of a secret is shown than belongs to what stands around it, and what is shown."""
    mask = mask_of(secret)
    masked = ((first, second, mask.text(f"<{form}>")) for first, second, form in forms(secret))
    return {(first, second): text for first, second, text in masked if len(left(text)) > most_left(first, second)}


@pytest.mark.parametrize(
    "secret",
    [
        "CANARY-0123456789-abcdefg", 'pa"ss-é-CANARY-0123456789', "it's 'a' \"b\" \\c and CANARY", "a+b/c=d&e?f<g>h;i:CANARY~",
        "☺ tab\tand $x `y` !CANARY", "''\"\"''-<&>-''CANARY''\"''", "/////////////////////////", "\\\\\\%%%{{}}\\n\\u0041CANARY",
        "\\%1\\n#n1#x%n%%%4;4&n;\\#1;#n4&;41\\n11x#;n\\&#4#;;4;#;##\\4&\\%;",
    ],
)  # fmt: skip
def test_i14_a_secret_is_masked_in_every_pair_of_encodings(secret):
    """I14: JSON with and without ASCII, addresses in both cases, base64 at three offsets, shells, HTML, `repr`."""
    assert shown(secret) == {}


@settings(
    max_examples=8, deadline=None, phases=[Phase.explicit, Phase.generate], database=None
)  # shrinking takes minutes
@given(st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), min_size=24, max_size=32))
def test_i14_holds_for_any_secret(secret):
    """I14"""
    assert shown(secret) == {}


@pytest.mark.parametrize(
    "written",
    [
        r"pa\"ss\/w\u00e9rd-X", r"pa\"ss\/w\u00E9rd-X", r"pa\u0022ss\u002fw\u00e9rd\u002dX", "pa&#34;ss/w&eacute;rd-X",
        "pa&quot;ss&#x2F;w&#233;rd-X", "pa%22ss%2Fw%E9rd-X", r"pa\x22ss/w\xe9rd-X", r"pa\"ss/w\303\251rd-X", 'pa""ss/wérd-X',
        r"pa\\\"ss\/wérd-X", r"pa\%22ss/w%c3%a9rd-X", "pa&amp;quot;ss/wérd-X", "7061227373",
    ],
)  # fmt: skip
def test_encoders_that_escape_other_characters_are_known_too(written):
    """I14: of JavaScript, Go, PHP, C, CSV, bash's `$'...'`; escaped once or twice."""
    assert "***" in mask_of('pa"ss/wérd-X', 'pa"ss').text(written)


KEY = "-----BEGIN KEY-----\nCANARY-0123456789/abcdefgh\nshort\nzz/CANARY+9876543210==\n-----END KEY-----\n"


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r", "\\n"])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_line_of_a_secret_is_masked(ends, encoder):
    """I14: whatever ends its lines."""
    mask = mask_of(KEY.replace("\n", ends))
    for line in ("CANARY-0123456789/abcdefgh", "zz/CANARY+9876543210=="):
        assert len(left(mask.text(ENCODERS[encoder](f"{line}\n")))) <= 16


@pytest.mark.parametrize("text", [KEY, KEY.strip(), KEY.replace("\n", "\r\n"), json.dumps(KEY)[1:-1]])
def test_a_secret_of_several_lines_is_masked_as_a_whole(text):
    """I14: its short lines too, with the last line break or without."""
    assert re.fullmatch(r"<\*\*\*(\r?\n|\\n)?>", mask_of(KEY).text(f"<{text}>"))


def test_short_values_and_short_lines_are_shown():
    assert mask_of("abc", "abcdef\nghi\n").text("abc ghi abcdef") == "abc ghi ***"
    assert not mask_of("abc", "")


def test_a_value_that_is_not_utf8_is_masked():
    secret = b"p\xe4ss-\xff\xfeword"
    mask = mask_of(secret.decode("utf-8", "surrogateescape"))
    replaced = secret.decode("utf-8", "replace")
    assert mask.data(b"<" + secret + b">") == b"<***>"
    assert mask.text(f"<{replaced}>") == "<***>"
    assert mask.text(json.dumps(replaced)) == '"***"'
    assert mask.text("<" + secret.decode("utf-8", "surrogateescape") + ">") == "<***>"


@pytest.mark.parametrize("size", [999, 1001, 2500])
def test_a_long_secret_is_masked_to_its_end(size):
    secret = "".join(random.Random(size).choices("abcdefghijklmnop/+0123456789", k=size))
    assert left(mask_of(secret).text(f"<{json.dumps(secret)}>")) == '<"">'


# --- where values come from --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [
        Config(name="b", folder="/", secrets=("S",), env={"S": "CANARY-1"}),
        Config(name="b", folder="/", secrets=("S",), jobs=[JobSpec(name="j", run="x", env={"S": "CANARY-1"})]),
        Config(name="b", folder="/", secrets=("T", "S"), jobs=[JobSpec(name="i", run="x"), JobSpec(name="j", run="x", env={"S": "CANARY-1"})]),
        Config(name="b", folder="/", secrets=("S",), jobs=[JobSpec(name="j", run="x", deferred=True, env={"S": 'CANARY-1${{ "${{" }}'})]),
    ],
    ids=["batch", "job", "second job", "protected"],
)  # fmt: skip
def test_the_values_that_a_batch_sets_are_masked_beside_those_of_the_environment(config, monkeypatch):
    """I14"""
    monkeypatch.setenv("S", "CANARY-2")
    assert Mask.of(config).text("CANARY-1${{ CANARY-2") in ("***${{ ***", "*** ***")


# --- results ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("secret", "result", "masked"),
    [
        ("nCANARY", {"a": "x\nCANARY"}, {"a": "x\nCANARY"}),
        ("u00e9", {"a": "é\x01"}, {"a": "é\x01"}),
        ("123456", {"pin": 123456, "near": 1.25}, {"pin": "***", "near": 1.25}),
        ("12345.5", [12345.5, True, None], ["***", True, None]),
        ('":{"', {"a": {"b": 1}}, {"a": {"b": 1}}),
        ("CANARY", {"CANARY": ["a CANARY", {"k": "Q0FOQVJZ"}]}, {"***": ["a ***", {"k": "***"}]}),
        ("true", {"a": True, "b": "true"}, {"a": True, "b": "***"}),
    ],
)  # fmt: skip
def test_a_result_stays_json_whatever_is_masked_in_it(secret, result, masked):
    outcome = Outcome(0, 1, "ok", result=msgspec.json.encode(result))
    mask_of(secret).outcome(outcome)
    assert msgspec.json.decode(outcome.result) == masked


def test_all_texts_of_an_outcome_are_masked():
    """I14"""
    outcome = Outcome(
        0, 1, "ok", message="m CANARY", reason="CANARY", logs=(LogLine("info", "l CANARY", {"n": 12345678, "CANARY": "x"}),),
        artifacts=(Artifact("out/CANARY.csv", 12345678),),
    )  # fmt: skip
    mask_of("CANARY", "12345678").outcome(outcome)
    assert (outcome.message, outcome.reason) == ("m ***", "***")
    assert outcome.logs == (LogLine("info", "l ***", {"n": "***", "***": "x"}),)
    assert outcome.artifacts[0].path == "out/***.csv"
