"""Pictures of numbers are exact, bounded and escaped."""

import re

import pytest

from joblot_sirene.package import charts, france
from joblot_sirene.package.charts import Bar, Column, Dot, Part

HOSTILE = "<b>\"&'"
SAFE = "&lt;b&gt;&quot;&amp;&#x27;"


def text(lines):
    return "\n".join(lines)


class TestBars:
    def test_the_longest_bar_fills_its_track_and_the_others_their_share(self):
        html = text(charts.bar_table("c", ("a", "b"), [Bar("x", 4, "4"), Bar("y", 1, "1"), Bar("z", 0, "0")]))
        assert re.findall(r"width:([\d.]+%)", html) == ["100%", "25%"]

    def test_bars_may_be_shares_of_a_whole_and_have_a_mark(self):
        html = text(charts.bar_table("c", ("a", "b"), [Bar("x", 0.5, "", tone="warn", mark=0.9)], whole=1))
        assert '<b class="warn" style="width:50%"></b><i style="left:90%"></i>' in html

    def test_nothing_is_longer_than_its_track(self):
        html = text(charts.bar_table("c", ("a", "b"), [Bar("x", 9, "", mark=12)], whole=3))
        assert re.findall(r":([\d.]+)%", html) == ["100", "100"]

    def test_a_row_without_a_bar_has_its_words(self):
        html = text(charts.bar_table("c", ("a", "b"), [Bar("x", None, "12")]))
        assert '<span class="track none" aria-hidden="true"></span><span class="value">12</span>' in html

    @pytest.mark.parametrize(
        ("words", "kind"), [("1 %", "bars short"), ("1234567 · 1 %", "bars"), ("w" * 21, "bars long")]
    )
    def test_the_room_for_words_follows_the_longest(self, words, kind):
        assert f'<table class="{kind}">' in text(charts.bar_table("c", ("a", "b"), [Bar("x", 1, words)]))

    def test_every_word_is_escaped(self):
        bars = [Bar(HOSTILE, 1, HOSTILE, HOSTILE, HOSTILE)]
        html = text(charts.bar_table(HOSTILE, (HOSTILE, HOSTILE), bars))
        assert HOSTILE not in html
        assert html.count(SAFE) == 7


class TestColumns:
    def test_each_column_is_a_rectangle_with_its_words(self):
        html = text(charts.column_chart("l", [Column("2020", 3, "trois", tick="2020"), Column("2021", 0, "0")], str))
        assert "<title>2020 : trois</title>" in html
        assert html.count("<rect") == 2
        assert html.count('class="tick"') == 1

    @pytest.mark.parametrize(
        ("most", "lines"),
        [
            (0, ["0", "1"]),
            (1, ["0", "1"]),
            (6, ["0", "1", "2", "3", "4", "5", "6"]),
            (7, ["0", "2", "4", "6", "8"]),
            (23, ["0", "5", "10", "15", "20", "25"]),
            (1001, ["0", "200", "400", "600", "800", "1000", "1200"]),
        ],
    )
    def test_lines_stand_at_round_numbers(self, most, lines):
        html = text(charts.column_chart("l", [Column("a", most, "")], lambda value: f"{value:.0f}"))
        assert re.findall(r'class="scale"[^>]*>([^<]*)<', html) == lines

    def test_what_is_below_the_line_has_a_scale_of_its_own_sign(self):
        html = text(charts.column_chart("l", [Column("a", 2, "", below=3)], lambda value: f"{value:.0f}"))
        assert re.findall(r'class="scale"[^>]*>([^<]*)<', html) == ["3", "2", "1", "0", "1", "2"]
        assert html.count('<line class="axis"') == 1
        tops = [float(y) for y in re.findall(r'<rect[^>]* y="([\d.]+)"', html)]
        heights = [float(height) for height in re.findall(r'height="([\d.]+)"', html)]
        assert tops[0] + heights[0] == pytest.approx(tops[1], abs=0.11)
        assert heights[1] / heights[0] == pytest.approx(1.5, abs=0.01)

    def test_no_columns_are_a_picture_too(self):
        assert "<rect" not in text(charts.column_chart("l", [], str))

    def test_every_word_is_escaped(self):
        html = text(
            charts.column_chart(HOSTILE, [Column(HOSTILE, 1, HOSTILE, tick=HOSTILE, tone=HOSTILE)], lambda _: HOSTILE)
        )
        assert HOSTILE not in html


class TestStrip:
    def test_parts_share_the_whole_and_are_listed(self):
        html = text(charts.strip("l", [Part("a", 3, "3", "tone1"), Part("b", 0, "0", "tone2")]))
        assert '<span class="tone1" style="flex:3"></span>' in html
        assert "flex:0" not in html
        assert html.count("<li>") == 2
        assert 'aria-label="l. a : 3, b : 0"' in html

    def test_every_word_is_escaped(self):
        assert HOSTILE not in text(charts.strip(HOSTILE, [Part(HOSTILE, 1, HOSTILE, HOSTILE)]))


class TestMap:
    SQUARE = ((0.0, 0.0), (100.0, 0.0), (100.0, 100.0), (0.0, 100.0))

    def drawn(self, dots, names=(), number=str):
        return text(charts.dot_map("l", [self.SQUARE], dots, names, 10, number))

    def test_north_is_up_and_the_margin_is_a_cell(self):
        html = self.drawn([])
        assert re.search(r'viewBox="0 0 520 520"', html)
        assert 'd="M43.3 476.7L476.7 476.7L476.7 43.3L43.3 43.3Z"' in html

    def test_larger_numbers_have_larger_dots_and_equal_ones_share_a_path(self):
        html = self.drawn([Dot(10, 10, 100), Dot(20, 20, 1), Dot(30, 30, 1)])
        small, large = re.findall(r'<path class="dots" stroke-width="([\d.]+)" d="(M[^"]*)"', html)[:2]
        assert float(small[0]) < float(large[0])
        assert (small[1].count("M"), large[1].count("M")) == (2, 1)

    def test_few_are_never_drawn_as_if_they_were_many(self):
        one = re.findall(r'stroke-width="([\d.]+)"', self.drawn([Dot(10, 10, 1)]))
        many = re.findall(r'stroke-width="([\d.]+)"', self.drawn([Dot(10, 10, 1000)]))
        assert float(one[0]) < float(many[0])

    @pytest.mark.parametrize("most", [20, 50, 779, 12_345])
    def test_the_key_says_the_least_value_of_a_size(self, most):
        for size in range(1, charts._SIZES + 1):
            assert charts._size(charts._least(size, most), most) == size
            assert size == 1 or charts._size(charts._least(size, most) - 1, most) == size - 1

    def test_names_near_the_right_edge_stand_on_the_left(self):
        html = self.drawn([], [(10, 50, "WEST"), (95, 50, "EAST")])
        assert re.findall(r'class="place (\w+)"', html) == ["start", "end"]

    def test_every_word_is_escaped(self):
        html = text(charts.dot_map(HOSTILE, [self.SQUARE], [], [(1, 1, HOSTILE)], 10, lambda _: HOSTILE))
        assert HOSTILE not in html


def test_the_outline_of_france_is_about_as_large_as_france():
    mainland, corsica = france.outline()
    assert max(y for _, y in mainland) - min(y for _, y in mainland) == pytest.approx(975, abs=15)
    assert max(x for x, _ in mainland) - min(x for x, _ in mainland) == pytest.approx(1000, abs=15)
    assert max(y for _, y in corsica) - min(y for _, y in corsica) == pytest.approx(183, abs=5)
    area = abs(sum(x * b - a * y for (x, y), (a, b) in zip(mainland, mainland[1:] + mainland[:1], strict=True))) / 2
    assert area == pytest.approx(535_000, rel=0.02)
