"""The page of a run: whole in one file, bounded whatever the run, and nothing that anybody has written is markup in it."""

import hashlib
import json
import re
import struct
import zlib
from base64 import b64decode, b64encode
from html.parser import HTMLParser
from importlib.resources import files
from math import isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joblot.core import events as ev
from joblot.core.model import FanOut, JobSpec, Outcome, Retry
from joblot.errors import StateError
from joblot.reports import page, pagedata
from joblot.units import format_duration
from made_runs import T0, badly, commands, log_in, made_run, well

HOSTILE = "</script><img src=x onerror=alert(1)>\u2028\x00\x1b[31m\u202e\"'&<!--"
VOID = {"meta", "input", "br", "img", "rect", "path"}


class Parsed(HTMLParser):
    """A page, as a browser without scripts reads it: every tag closed by its own, what stands where, and its scripts."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.attributes, self.scripts, self.style = [], [], [], [], ""
        self.text, self.ids = "", {}
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *one) for one in attrs]
        self.ids |= {value: tag for name, value in attrs if name == "id"}
        if tag == "script":
            self.scripts.append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *one) for one in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
        elif self.open and self.open[-1] == "style":
            self.style += data
        else:
            self.text += data

    @property
    def data(self):
        """The head of the data, with the columns behind it as lists."""
        head, _, columns = zlib.decompress(b64decode(self.scripts[0])).partition(b"\n")
        data = json.loads(head)
        assert (len(head) + 1) % 4 == 0
        sizes = [data["jobs"]] * 4 + [len(data["tries"][0])] * 2
        values = struct.unpack(f"<{sum(sizes)}f", columns)
        for name, size in zip(("start", "took", "cpu", "peak", "try_start", "try_took"), sizes, strict=True):
            data[name], values = list(values[:size]), values[size:]
        data["names"] = data["names"].split()
        return data


def html_of(report):
    return b"".join(page.html_page(report)).decode()


def read(report):
    return Parsed(html_of(report))


def sections(parsed):
    return [name for name, tag in parsed.ids.items() if tag == "h2"]


def log_of(tmp_path, text):
    log = log_in(tmp_path)
    log.write_text(text, encoding="utf-8")
    return lambda job, attempt: str(log)


# --- the file -------------------------------------------------------------------------------------


def test_the_page_is_one_file_that_loads_nothing():
    html = html_of(made_run(commands("a", "b")))
    parsed = Parsed(html)
    assert "http" not in html.replace("http-equiv", "")
    assert not [one for one in parsed.attributes if one[1] in ("src", "style") or one[1].startswith("on")]
    assert all(
        value.startswith("#") and value[1:] in parsed.ids for _, name, value in parsed.attributes if name == "href"
    )
    assert html.startswith("<!DOCTYPE html>")
    assert len(html.encode()) - len(parsed.scripts[0]) < 60_000


def test_the_policy_allows_this_very_script_and_style():
    parsed = read(made_run(commands("a")))
    policy = next(value for tag, name, value in parsed.attributes if tag == "meta" and value and "default-src" in value)

    def allowed(text):
        return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    assert policy == (
        f"default-src 'none'; script-src {allowed(parsed.scripts[1])}; style-src {allowed(parsed.style)}; base-uri 'none'; "
        "form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


def test_the_script_makes_no_markup_of_texts():
    script = page._own("page.js")
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval|Function\(|fetch|XMLHttp|import\(", script
    )


def test_what_a_person_asks_comes_in_order():
    fan = FanOut("rows", {"": [1, 2]})
    jobs = [JobSpec(name="make-${{ item }}", run="x", fan_out=fan), *commands("load", needs=("make-*",))]
    report = made_run(
        jobs, lambda job, attempt: badly(job, attempt) if job == 2 else well(job, attempt), vars={"day": "today"}
    )
    assert sections(read(report)) == ["failures", "fan-outs", "timeline", "slowest", "path", "graph", "jobs", "made"]


def test_a_run_in_which_all_went_well_says_so_and_asks_for_nothing():
    text = read(made_run(commands("a", "b"))).text
    assert "made ✓ success" in text
    assert "2 jobs: ✓ 2 success, in 100 ms" in text
    assert "What to type" not in text
    assert "What failed" not in text


# --- what failed ----------------------------------------------------------------------------------


def test_failures_stand_by_cause_with_the_end_of_a_log_and_what_to_type(tmp_path):
    log = log_of(tmp_path, "".join(f"line {n}\n" for n in range(50)) + "no such table: sales\n")
    fan = FanOut("rows", {"": list(range(40))})
    jobs = [JobSpec(name="load-${{ item }}", run="x", fan_out=fan), *commands("total", needs=("load-*",))]
    report = made_run(jobs, lambda job, attempt: badly(job, attempt) if job % 4 else well(job, attempt), log=log)
    text = read(report).text
    assert "✗ 30 × exit status 1: no such table: sales" in text
    assert "such as load-1 · 1 attempt, 100 ms" in text
    assert "1 job was skipped because of what failed." in text
    assert "line 31\nline 32" in text
    assert "line 30" not in text, "twenty lines"
    assert "joblot retry r1 --failed runs again what failed" in text
    assert "joblot logs r1 load-1 joblot retry r1 load-1" in text
    assert "in /b" in text


def test_what_the_items_of_failures_have_in_common_is_said():
    fan = FanOut("matrix", {"mesh": [64, 512], "seed": list(range(9)), "solver": ["lu"]})
    jobs = [JobSpec(name="sim-${{ matrix.mesh }}-${{ matrix.seed }}", run="x", fan_out=fan), *commands("other")]

    def of(bad, *more):
        return read(
            made_run(jobs, lambda job, attempt: badly(job, attempt) if job in (*bad, *more) else well(job, attempt))
        ).text

    assert "all with mesh 512 · such as sim-512-1" in of(range(10, 18, 2))
    assert "all with seed 3 · such as sim-64-3" in of([3, 12])
    assert "all with" not in of([3, 11]), "and the solver is that of all"
    assert "all with" not in of([3])
    assert "all with" not in of([9, 10], 18), "another declaration failed for it too"


def test_commands_name_a_state_folder_that_is_not_beside_the_batch():
    failing = {"jobs": commands("a"), "outcome": badly}
    assert "joblot retry r1 --failed --state '/else where'" in read(made_run(**failing, state="/else where")).text
    assert "--state" not in read(made_run(**failing, state="/b/.joblot")).text


def test_a_run_that_was_killed_says_how_to_go_on():
    report = made_run(commands("a", "b", needs=()), slots=1, stop_at=0.15)
    text = read(report).text
    assert "made ! interrupted" in text
    assert "Nobody drives this run any more" in text
    assert "joblot resume r1 does the rest" in text


def test_a_run_that_goes_on_says_how_it_stands():
    report = made_run(commands("a", "b"), slots=1, stop_at=0.15, live=True)
    parsed = read(report)
    assert "made … running" in parsed.text
    assert "2 jobs: ✓ 1 success, … 1 running" in parsed.text
    assert parsed.data["states"] == "42"


def test_many_causes_are_counted():
    report = made_run(
        commands(*(f"j{n}" for n in range(30))), lambda job, attempt: badly(job, attempt, f"cause {chr(97 + job)}")
    )
    text = read(report).text
    assert text.count("✗ cause") == 8
    assert "22 more causes, of 22 failures." in text


def test_a_batch_of_a_program_has_no_commands_that_would_need_a_file():
    report = made_run(commands("a"), badly, source="")
    assert "retry" not in read(report).text


def test_failures_that_are_allowed_are_said_to_be():
    report = made_run(commands("a", allow_failure=True), badly)
    text = read(report).text
    assert "made ✓ success" in text
    assert "✗ 1 failed (1 allowed)" in text
    assert "allowed to fail" in text


# --- nothing becomes markup -----------------------------------------------------------------------


def test_hostile_texts_stay_texts(tmp_path):
    """V4: names, messages, logs and variables."""
    log = log_of(tmp_path, f"{HOSTILE}\n" * 30)
    report = made_run(
        commands("a", "b"), lambda job, attempt: badly(job, attempt, f"{HOSTILE} {job}"), log=log, name=HOSTILE,
        source=f"/b/{HOSTILE}", folder=f"/b/{HOSTILE}", vars={"v": HOSTILE, HOSTILE: [HOSTILE]}, state=f"/{HOSTILE}",
    )  # fmt: skip
    html = html_of(report)
    parsed = Parsed(html)
    plain = read(made_run(commands("a", "b"), badly, vars={"v": "1"}, log=log_of(tmp_path, "x\n")))
    assert set(parsed.tags) <= set(plain.tags)
    assert {name for _, name, _ in parsed.attributes} <= {name for _, name, _ in plain.attributes}
    assert len(parsed.scripts) == 2
    for character in "\u2028\u202e\x00\x1b":
        assert character not in html
        assert character not in json.dumps(parsed.data, ensure_ascii=False)
    assert "alert(1)" in parsed.text


# --- the data -------------------------------------------------------------------------------------


def test_columns_say_what_the_report_says():
    retry = Retry(max_attempts=3)
    jobs = [*commands("a", "b"), *commands("c", retry=retry), *commands("d", needs=("b",))]

    def outcome(job, attempt):
        return badly(job, attempt, "exit status 7") if job == 1 or (job == 2 and attempt < 3) else well(job, attempt)

    report = made_run(jobs, outcome, slots=2)
    data = read(report).data
    assert data["names"] == ["a", "b", "c", "d"]
    assert data["states"] == "4546"
    assert data["attempts"] == [[1, 2], [1, 3]]
    assert [data["texts"][text] for text in data["whys"][1]] == ["exit status 7", "need failed"]
    assert data["whys"][0] == [1, 3]
    assert data["took"] == pytest.approx([0.1, 0.1, 0.3, 0.0])
    assert data["peak"][0] == 10 << 20
    assert data["start"][0] == pytest.approx(0.0)
    assert isnan(data["start"][2]), "its attempts stand one by one"
    assert data["tries"] == [[1, 2, 2, 2], [5, 3, 3, 4]]
    assert data["try_took"] == pytest.approx([0.1] * 4)


@given(
    st.lists(st.tuples(st.floats(0.01, 50), st.integers(0, 3)), min_size=1, max_size=30),
    st.integers(1, 5),
    st.randoms(),
)
def test_curves_hold_what_ran_and_what_waited(jobs, slots, random):
    """Over all bins together there is as much as all attempts took; what waited is what began later than it could have."""
    names = [f"j{n}" for n in range(len(jobs))]
    specs = [
        JobSpec(name=name, run="x", needs=tuple(random.sample(names[:number], min(number, jobs[number][1]))))
        for number, name in enumerate(names)
    ]

    def outcome(job, attempt):
        return Outcome(job, attempt, "ok", wall_s=jobs[job][0], cpu_s=jobs[job][0] / 2, peak_bytes=1000)

    report = made_run(specs, outcome, slots=slots)
    data = pagedata.PageData(report._plan, report.view, frozenset())
    total = sum(stop - start for start, stop in data.pieces)
    width = total / pagedata.BINS
    took = sum(seconds for seconds, _ in jobs)
    slack = pagedata.BINS * 0.05 * width  # each value is rounded
    assert sum(data.curves["running"]) * width == pytest.approx(took, abs=slack)
    assert sum(data.curves["cpu"]) * width == pytest.approx(took / 2, abs=slack)
    assert sum(data.curves["memory"]) * width == pytest.approx(took * 1000, abs=pagedata.BINS * width)
    assert max(data.curves["running"]) <= slots + 0.01
    facts, needs = report.view.arrays(), report._plan.needs
    waited = sum(
        facts.began[job] - max((facts.ended[need] for need in needs[job]), default=T0) for job in range(len(names))
    )
    assert sum(data.curves["waiting"]) * width == pytest.approx(waited, abs=slack)


def test_idle_times_are_cut_out():
    """Of a run that was resumed after days the page shows the hours in which something ran."""
    report = made_run(commands("a", "b"), slots=1)
    events = [
        ev.Record(1, T0, [ev.RunStarted("f", 2), ev.AttemptsStarted([0])]),
        ev.Record(3, T0 + 10, [ev.AttemptEnded(0, 1, began_s=0.0, wall_s=10.0)]),
        ev.Record(4, T0 + 500_000, [ev.RunResumed(), ev.AttemptsStarted([1])]),
        ev.Record(6, T0 + 500_005, [ev.AttemptEnded(1, 1, began_s=500_000.0, wall_s=5.0), ev.RunEnded("success")]),
    ]
    view = type(report.view)(report._plan.name, 2).apply_all(events)
    data = pagedata.PageData(report._plan, view, frozenset())
    assert data.pieces == [(0.0, 10.0), (500_000.0, 500_005.0)]
    assert max(data.curves["running"]) == 1.0
    assert sum(data.curves["running"]) * 15 / pagedata.BINS == pytest.approx(15, abs=0.1)


def test_jobs_that_were_left_out_are_nowhere():
    report = made_run(commands("a", "b", "c"))
    events = [
        ev.Record(1, T0, [ev.RunStarted("f", 3), ev.JobsEnded([1], "skipped", ev.NOT_SELECTED), ev.AttemptsStarted([0, 2])]),
        ev.Record(4, T0 + 1, [ev.AttemptEnded(0, 1, wall_s=1.0), ev.AttemptEnded(2, 1, wall_s=0.5), ev.RunEnded("success", 1.0)]),
    ]  # fmt: skip
    report.view = type(report.view)(report._plan.name, 3).apply_all(events)
    parsed = read(report)
    assert parsed.data["names"] == ["a", "c"]
    assert parsed.data["took"] == [1.0, 0.5]
    assert "2 of 3 jobs selected: ✓ 2 success" in parsed.text


def test_of_a_run_of_too_many_jobs_those_are_listed_that_somebody_looks_for(monkeypatch):
    monkeypatch.setattr(pagedata, "LISTED", 100)
    monkeypatch.setattr(pagedata, "_SLOWEST", 10)
    fan = FanOut("rows", {"": list(range(300))})

    def outcome(job, attempt):
        made = badly(job, attempt) if job % 50 == 0 else well(job, attempt)
        made.wall_s = job / 1000
        return made

    parsed = read(made_run([JobSpec(name="j-${{ item }}", run="x", fan_out=fan)], outcome))
    assert parsed.data["names"] == [
        f"j-{n}" for n in (0, 50, 100, 150, 200, *([250] if True else []), *range(290, 300))
    ]
    assert parsed.data["total"] == 300
    assert "Of 300 jobs the 16 that failed, took longest or were tried most can be found here." in parsed.text


# --- the sections ---------------------------------------------------------------------------------


def test_the_timeline_says_in_words_how_much_there_was():
    report = made_run(commands(*(f"j{n}" for n in range(7))), slots=3)
    told = "At most 3 jobs ran at once, of 3 that could, at most 4 waited for a slot or a resource, 350 ms of CPU time, the largest job took 10 MiB of memory."
    assert told in read(report).text


def test_the_critical_path_names_its_jobs_and_what_they_waited_for():
    jobs = [*commands("a"), *commands("b", needs=("a",)), *commands("c", needs=("b",)), *commands("other")]

    def outcome(job, attempt):
        made = well(job, attempt)
        made.wall_s = [1.0, 2.0, 1.0, 3.5][job]
        return made

    text = read(made_run(jobs, outcome, slots=2)).text
    assert "Each of these 3 jobs needs the one before it. Together they took 4.0 s, 100% of the run" in text
    assert "other" not in text[text.index("The chain of needs") : text.index("What needs what")]


def test_a_graph_has_a_box_a_declaration():
    fan = FanOut("rows", {"": [1, 2, 3]})
    jobs = [
        JobSpec(name="make-${{ item }}", run="x", fan_out=fan),
        *commands("load", "check", needs=("make-*",)),
        *commands("alone"),
    ]
    parsed = read(made_run(jobs))
    assert "✓ make-* (3)" in parsed.text
    assert parsed.tags.count("text") == 4
    edges = next(value for tag, name, value in parsed.attributes if tag == "path" and name == "d")
    assert edges.count("M") == 2


def test_declarations_that_need_each_other_in_a_circle_are_drawn():
    fan = FanOut("rows", {"": [1, 2]})
    jobs = [
        JobSpec(name="a-${{ item }}", run="x", fan_out=fan),
        JobSpec(name="b-${{ item }}", run="x", fan_out=fan, needs=("a-1",)),
        *commands("c", needs=("b-*",)),
    ]
    report = made_run(jobs)
    places, width, height = page._places(
        page._Boxes([0, 2, 4], [range(2), range(2, 4), range(4, 5)], [(0, 1), (1, 0), (1, 2)])
    )
    assert len(set(places)) == 3
    assert width > 0 < height
    assert "b-* (2)" in read(report).text


def test_too_many_declarations_are_not_drawn():
    jobs = [JobSpec(name=f"j{n}", run="x", needs=(f"j{n - 1}",) if n else ()) for n in range(101)]
    parsed = read(made_run(jobs))
    assert "101 declarations are more than can be drawn." in parsed.text
    assert "svg" in parsed.tags
    assert "text" not in parsed.tags


def test_a_small_run_lists_its_jobs_without_a_script():
    report = made_run(commands("a", "b"), lambda job, attempt: badly(job, attempt) if job else well(job, attempt))
    text = read(report).text
    assert "✓success" + "a" + format_duration(0.1) in text
    assert "✗failed" + "b" in text


def test_variables_versions_and_who_ran_it():
    text = read(made_run(commands("a"), vars={"day": "2026-11-20", "rows": [1, 2], "none": ""})).text
    for told in (
        "day2026-11-20the batch",
        "rows[1,2]",
        "noneempty",
        "joblot0.1.0",
        "Python3.11.7",
        "userme",
        "hosthere",
        "at once4",
    ):
        assert told in text


def test_what_is_different_from_the_last_success_is_told():
    report = made_run(commands("a", "b"), badly, vars={"day": HOSTILE})
    report.earlier = lambda: made_run(commands("a", "c"), vars={"day": "monday"})
    parsed = read(report)
    told = parsed.text[parsed.text.index("Compared with run r1 of 2027-01-15") :]
    for line in ("variables", "monday", "jobs added", "jobs gone", "newly failed", "2 x exit status 1"):
        assert line in told
    assert sections(parsed)[-1] == "changes"
    report = made_run(commands("a"))
    report.earlier = lambda: made_run(commands("a"))
    assert "Nothing is different from run r1" in read(report).text


def test_a_last_success_that_cannot_be_read_keeps_nobody_from_the_page():
    report = made_run(commands("a"), badly)

    def damaged():
        raise StateError("damaged")

    report.earlier = damaged
    assert "changes" not in sections(read(report))


def test_large_runs_are_compared_by_a_command(monkeypatch):
    monkeypatch.setattr(page, "_COMPARED", 1)
    assert "joblot diff r1 says it." in read(made_run(commands("a", "b"))).text


def test_a_run_without_jobs_is_a_page():
    assert "no jobs: nothing to do" in read(made_run([])).text


def test_the_page_is_bounded_whatever_the_run():
    """V1: 400 kB for a thousand jobs that all fail in their own way and are tried again."""
    fan = FanOut("rows", {"": [f"{n}-{'x' * 70}" for n in range(1000)]})
    words = "".join(chr(97 + n % 26) for n in range(400))
    jobs = [JobSpec(name="j-${{ item }}", run="x", fan_out=fan, retry=Retry(max_attempts=2)), *commands(*(f"k{n}" for n in range(90)), needs=("j-*",))]  # fmt: skip
    report = made_run(
        jobs, lambda job, attempt: badly(job, attempt, f"{words[job % 26 :]}{chr(97 + job // 26)}<"),
        vars={f"v{n}": "<" * 5000 for n in range(200)},
    )  # fmt: skip
    html = html_of(report)
    assert len(html.encode()) < 400_000
    assert len(Parsed(html).tags) < 2000


# --- the look -------------------------------------------------------------------------------------


STYLE = page._own("page.css")
LIGHT, DARK = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", part)) for part in STYLE.split("@media print")[0].split("@media (prefers-color-scheme"))  # fmt: skip
STATES = ("success", "cached", "failed", "skipped", "cancelled", "running", "waiting")


def linear(colour):
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]


def contrast(one, other):
    bright, dark = sorted((sum(map(float.__mul__, linear(colour), (0.2126, 0.7152, 0.0722))) for colour in (one, other)), reverse=True)  # fmt: skip
    return (bright + 0.05) / (dark + 0.05)


def lab(rgb):
    rows = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
    xyz = [sum(map(float.__mul__, row, rgb)) / white for row, white in zip(rows, (0.95047, 1.0, 1.08883), strict=True)]
    x, y, z = (value ** (1 / 3) if value > 0.008856 else 7.787 * value + 16 / 116 for value in xyz)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def deuteranopia(rgb):
    """As somebody without the middle cones sees it (Machado, Oliveira and Fernandes 2009)."""
    rows = ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881))
    return [min(max(sum(map(float.__mul__, row, rgb)), 0.0), 1.0) for row in rows]


def difference(one, other):
    """CIEDE2000."""
    from math import atan2, cos, degrees, exp, hypot, radians, sin, sqrt

    (l1, a1, b1), (l2, a2, b2) = one, other
    mean = (hypot(a1, b1) + hypot(a2, b2)) / 2
    stretch = 1 + 0.5 * (1 - sqrt(mean**7 / (mean**7 + 25**7)))
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = hypot(a1, b1), hypot(a2, b2)
    h1, h2 = (degrees(atan2(b, a)) % 360 for a, b in ((a1, b1), (a2, b2)))
    turn = (h2 - h1 + 180) % 360 - 180 if c1 * c2 else 0.0
    hue = h1 + turn / 2
    dl, dc, dh = l2 - l1, c2 - c1, 2 * sqrt(c1 * c2) * sin(radians(turn / 2))
    light, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    t = 1 - 0.17 * cos(radians(hue - 30)) + 0.24 * cos(radians(2 * hue)) + 0.32 * cos(radians(3 * hue + 6)) - 0.2 * cos(radians(4 * hue - 63))  # fmt: skip
    sl = 1 + 0.015 * (light - 50) ** 2 / sqrt(20 + (light - 50) ** 2)
    sc, sh = 1 + 0.045 * chroma, 1 + 0.015 * chroma * t
    around = ((hue % 360 - 275 + 180) % 360 - 180) / 25
    rotation = -2 * sqrt(chroma**7 / (chroma**7 + 25**7)) * sin(radians(60 * exp(-(around**2))))
    return sqrt((dl / sl) ** 2 + (dc / sc) ** 2 + (dh / sh) ** 2 + rotation * (dc / sc) * (dh / sh))


def test_the_difference_of_colours_is_that_of_the_published_examples():
    """Pairs 1, 17 and 24 of Sharma, Wu and Dalal 2005."""
    assert difference((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485)) == pytest.approx(2.0425, abs=1e-4)
    assert difference((50.0, 2.5, 0.0), (73.0, 25.0, -18.0)) == pytest.approx(27.1492, abs=1e-4)
    assert difference((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387)) == pytest.approx(1.2644, abs=1e-4)


@pytest.mark.parametrize("scheme", [LIGHT, {**LIGHT, **DARK}], ids=["light", "dark"])
def test_states_can_be_told_apart_and_read(scheme):
    """W7: failed and skipped differ, also for those who see no green; words in these colours can be read."""
    failed, skipped = linear(scheme["failed"]), linear(scheme["skipped"])
    assert difference(lab(failed), lab(skipped)) > 20
    assert difference(lab(deuteranopia(failed)), lab(deuteranopia(skipped))) > 10
    assert difference(lab(failed), lab(linear(scheme["success"]))) > 20
    for text in ("ink", "soft", "accent", *STATES):
        assert contrast(scheme[text], scheme["ground"]) >= 4.5, text
        assert contrast(scheme[text], scheme["card"]) >= 4.5, text
    for verdict in ("good", "bad"):
        assert contrast(scheme[verdict], scheme[f"{verdict}-ground"]) >= 4.5


def test_it_looks_like_the_page_of_a_dataset():
    other = (files("joblot_sirene") / "data" / "page.css").read_text(encoding="utf-8")
    for mine, its in zip((LIGHT, DARK), (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", part)) for part in re.split(r"@media", other)), strict=False):  # fmt: skip
        shared = set(mine) & set(its)
        assert shared >= {"ground", "card", "line", "ink", "soft", "track", "accent", "good", "bad"}
        assert [name for name in shared if mine[name] != its[name]] == []


def test_dark_names_every_colour_and_all_of_them_are_used():
    used = set(re.findall(r"var\(--([\w-]+)\)", STYLE))
    assert set(LIGHT) == set(DARK)
    assert used <= set(LIGHT)
    assert set(LIGHT) - used <= {"waiting"}
