"""The page of a run in a browser: from a file, with a hundred thousand jobs, with hostile texts, without script, dark and on a telephone.

They need Chromium (`apt-get install chromium`, or `CHROMIUM` with its path). Times are printed, and not asserted.
"""

import os
import shutil

import pytest

pytest.importorskip("playwright")

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

from joblot.core.model import FanOut, JobSpec, Retry
from made_runs import badly, commands, log_in, made_run, well

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-dev-shm-usage",
]  # fmt: skip
HOSTILE = "</script><img src=x onerror=alert(1)><svg onload=alert(2)>\u2028\x00\x1b[31m\u202e\"'&<!--"
WATCH = """
window.longTasks = [];
new PerformanceObserver((list) => longTasks.push(...list.getEntries().map((one) => Math.round(one.duration)))).observe({type: 'longtask', buffered: true});
new MutationObserver((_, observer) => {
  if (document.documentElement?.dataset.ready === undefined) return;
  window.readyAt = performance.now();
  observer.disconnect();
}).observe(document, {attributes: true, subtree: true});
"""

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium: `apt-get install chromium`"),
    pytest.mark.xdist_group("browser"),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with sync_playwright() as playwright:
        # The settings of whoever runs the tests are not touched, nor is anything left in the home folder.
        home = str(tmp_path_factory.mktemp("browser"))
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, env={**os.environ, "HOME": home})
        yield browser
        browser.close()


class Opened:
    """A page in a browser, and what it has asked for, complained about and shown in front of itself."""

    def __init__(self, browser, file, **options):
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}} | options)
        self.page = self.context.new_page()
        self.requests, self.errors = [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda message: self.errors.append(message.text))
        self.page.on("dialog", lambda dialog: self.errors.append(f"dialog {dialog.message}"))
        self.page.add_init_script(WATCH)
        self.page.goto(file.as_uri())
        if options.get("java_script_enabled", True):
            self.page.wait_for_selector("html[data-ready]", timeout=30_000)
        self.uri = file.as_uri()

    def __getattr__(self, name):
        return getattr(self.page, name)

    def fits(self):
        return self.page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    def alone(self):
        assert self.requests == [self.uri]
        assert self.errors == []


@pytest.fixture
def opened(browser):
    contexts = []

    def open_file(file, **options):
        page = Opened(browser, file, **options)
        contexts.append(page.context)
        return page

    yield open_file
    for context in contexts:
        context.close()


def nightly(tmp_path, text=""):
    """A run with everything that a page can show."""
    log = log_in(tmp_path)
    log.write_text(f"reading part 5\n{text}\nno such table: sales\n" * 9, encoding="utf-8")
    fan = FanOut("matrix", {"day": list(range(12)), "part": [1, 2]})
    jobs = [
        *commands("fetch"),
        JobSpec(name="load-${{ matrix.day }}-${{ matrix.part }}", run="x", fan_out=fan, needs=("fetch",), retry=Retry(max_attempts=2)),
        *commands("check", "total", needs=("load-*",)),
    ]  # fmt: skip

    def outcome(job, attempt):
        bad = job in (5, 9) or (job == 7 and attempt == 1)
        made = badly(job, attempt, f"no such table {text}") if bad else well(job, attempt)
        made.wall_s = 0.1 + job % 5 / 10
        made.cpu_s = made.wall_s / 2
        return made

    variables = {"day": "2026-11-20", "text": text}
    report = made_run(jobs, outcome, log=lambda job, attempt: str(log), vars=variables, name=f"nightly{text}")
    file = tmp_path / "report.html"
    report.write(file)
    return file


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A hundred thousand jobs, one in fifty of which fails, and as many are tried again."""
    fan = FanOut("matrix", {"seed": list(range(1000)), "angle": list(range(100))})
    jobs = [
        JobSpec(
            name="simulate-${{ matrix.seed }}-${{ matrix.angle }}", run="x", fan_out=fan, retry=Retry(max_attempts=2)
        )
    ]

    def outcome(job, attempt):
        bad = job % 50 == 7 or (job % 50 == 8 and attempt == 1)
        made = badly(job, attempt, f"did not converge in step {job}") if bad else well(job, attempt)
        made.wall_s = 0.05 + job * 7919 % 1000 / 10_000
        made.peak_bytes = (20 + job % 80) << 20
        return made

    file = tmp_path_factory.mktemp("large") / "report.html"
    made_run(jobs, outcome, slots=32).write(file)
    return file


def test_a_hundred_thousand_jobs_can_be_used_at_once(large, opened):
    """V1: 5 MB, 2,000 elements, a canvas of at most 8,000 x 4,000 pixels, and no task that keeps the page from answering for long."""
    page = opened(large)
    page.alone()
    size, elements = large.stat().st_size, page.evaluate("document.querySelectorAll('*').length")
    ready, tasks = page.evaluate("[Math.round(readyAt), longTasks]")
    print(f"\n100,000 jobs: {size:,} bytes, {elements} elements, ready after {ready} ms, long tasks {tasks} ms")
    assert size < 5_000_000
    assert elements < 2_000
    assert max(tasks, default=0) < 1_000, (
        "a page that is drawn in one piece takes longer, whatever else the machine does"
    )
    width, height = page.evaluate("[document.querySelector('canvas').width, document.querySelector('canvas').height]")
    assert 0 < width <= 8_000
    assert 0 < height <= 4_000
    assert page.locator("#found tbody tr").count() == 25
    assert page.get_by_role("status").inner_text() == "2,000 of 100,000 jobs; the first 25 are shown"
    page.get_by_label("state").select_option("any state")
    page.get_by_label("name").fill("simulate-77-5")
    page.get_by_text("11 of 100,000 jobs").wait_for()
    page.get_by_role("combobox", name="order").select_option("slowest first")
    rows = page.locator("#found tbody tr").all_inner_texts()
    assert len(rows) == 11
    took = [float(row.split("\t")[2].split()[0]) for row in rows]
    assert took == sorted(took, reverse=True)


def test_a_window_as_wide_as_a_wall_draws_no_larger_canvas(large, opened):
    page = opened(large, viewport={"width": 5000, "height": 900}, device_scale_factor=3)
    width, height = page.evaluate("[document.querySelector('canvas').width, document.querySelector('canvas').height]")
    assert width <= 8_000
    assert height <= 4_000


def test_hostile_texts_are_inert(tmp_path, opened):
    """V4: names, messages, logs and variables ask for nothing, run nothing and become no element."""
    page = opened(nightly(tmp_path, HOSTILE))
    page.alone()
    assert page.locator("img, [onerror], [onload], iframe").count() == 0
    assert page.locator("script").count() == 2
    page.get_by_label("state").select_option("any state")
    page.locator("canvas").focus()
    for _ in range(60):
        page.keyboard.press("ArrowRight")
    page.alone()
    assert "alert(1)" in page.locator("#found").inner_text()
    assert not {"\u2028", "\x00", "\x1b", "\u202e"} & set(page.content())


def test_without_script_what_failed_and_the_fan_outs_are_there(tmp_path, opened):
    page = opened(nightly(tmp_path), java_script_enabled=False)
    text = page.locator("body").inner_text()
    for told in (
        "failed",
        "no such table: sales",
        "joblot retry r1 --failed",
        "load-*-*: 24 jobs",
        "nightly",
        "What needs what",
        "2026-11-20",
    ):
        assert told in text
    assert page.locator("canvas").count() == 0
    assert page.get_by_role("searchbox").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_keeps_anybody_from_using_it(tmp_path, opened, scheme):
    """W7: no violation that axe finds."""
    page = opened(nightly(tmp_path), color_scheme=scheme, bypass_csp=True)
    found = Axe().run(page.page).response["violations"]
    assert [(one["id"], [node["html"][:120] for node in one["nodes"]][:3]) for one in found] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_telephone_scrolls_no_page_sideways(tmp_path, opened, scheme):
    page = opened(nightly(tmp_path, "x" * 200), viewport={"width": 320, "height": 640}, color_scheme=scheme)
    page.alone()
    assert page.fits()


def test_the_first_screen_says_what_failed_why_and_what_to_type(tmp_path, opened):
    page = opened(nightly(tmp_path))
    for text in ("joblot retry r1 --failed", "no such table: no such table: sales", "reading part 5"):
        box = page.get_by_text(text).first.bounding_box()
        assert box["y"] + min(box["height"], 20) < 800, text


def test_the_timeline_is_moved_by_keys_and_finds_its_jobs(tmp_path, opened):
    page = opened(nightly(tmp_path))
    canvas = page.get_by_role("slider", name="Moment of the run")
    canvas.focus()
    page.keyboard.press("End")
    assert "after the start" in canvas.get_attribute("aria-valuetext")
    page.keyboard.press("Home")
    assert "fetch: success, 100 ms" in canvas.get_attribute("aria-valuetext")
    page.keyboard.press("+")
    page.keyboard.press("Enter")
    assert page.get_by_label("name").input_value() == "fetch"
    assert page.locator("#found tbody tr").count() == 1


def test_a_job_has_an_address(tmp_path, browser, opened):
    """F3: the file's own, with the job's name behind it."""
    file = nightly(tmp_path)
    page = opened(file)
    page.goto(f"{file.as_uri()}#job=load-4-2")
    page.reload()
    page.wait_for_selector("html[data-ready]")
    assert page.get_by_label("name").input_value() == "load-4-2"
    assert page.locator("#found tbody tr").count() == 1


def test_an_address_that_is_none_and_a_browser_that_is_old_leave_the_rest_as_it_is(tmp_path, browser, opened):
    file = nightly(tmp_path)
    page = opened(file)
    page.goto(f"{file.as_uri()}#job=%E0%A4%A")
    page.reload()
    page.wait_for_selector("html[data-ready]")
    context = browser.new_context()
    old = context.new_page()
    old.add_init_script("delete window.DecompressionStream")
    old.goto(file.as_uri())
    old.get_by_text("This browser cannot draw it: DecompressionStream is not defined").wait_for()
    assert "no such table: sales" in old.locator("body").inner_text()
    context.close()


def test_who_wants_no_movement_sees_none(tmp_path, opened):
    file = nightly(tmp_path)
    calm = opened(file, reduced_motion="reduce")
    assert calm.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
    assert opened(file).evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "smooth"


def test_colours_follow_the_scheme_while_the_page_is_open(tmp_path, opened):
    page = opened(nightly(tmp_path))
    ground = "getComputedStyle(document.body).backgroundColor"
    light, drawn = page.evaluate(ground), page.evaluate("document.querySelector('canvas').toDataURL()")
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("(drawn) => document.querySelector('canvas').toDataURL() !== drawn", arg=drawn)
    assert page.evaluate(ground) != light
