"""What the pages state and show is so: examples are run, and figures are those of the code."""

import json
import os
import re
import signal
import subprocess
import sys

import msgspec
import pytest

from command_server import server
from docs.pages import ROOT, section, text

JOBLOT = [sys.executable, "-m", "joblot"]


def joblot(folder, *words):
    return server().run(["-m", "joblot", *words], folder)


def sessions(page):
    """The console blocks of a page: each command with what it prints."""
    for block in re.findall(r"^```console\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, printed = part.partition("\n")
            yield command, printed


def shape(printed):
    """Without times and run ids, and without the order of jobs that run at once."""
    printed = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|\d{8}-\d{6}-[0-9a-f]{8}", "", printed)
    return sorted(re.sub(r"[\d.]+ m?s\b|\[\d/\d\]", "", printed).splitlines())


@pytest.fixture
def first(tmp_path):
    folder = tmp_path / "first"
    folder.mkdir()
    joblot(folder, "init")
    return folder


def test_the_tutorial_shows_what_is_printed(first):
    """The first batch, and the two mistakes in it."""
    shown = dict(sessions(text("tutorial.md").split("## Make a mistake")[0]))
    assert list(shown) == ["joblot validate", "joblot plan", "joblot run", "joblot logs report"]
    for command, printed in shown.items():
        done = joblot(first, *command.split()[1:])
        assert shape(done.stderr + done.stdout) == shape(printed), command
    batch = first / "joblot.yaml"
    wrong = batch.read_text().replace("    retry:", "    retrys:").replace("    action: count", "    actoin: count")
    batch.write_text(wrong)
    done = joblot(first, "validate")
    ((_, printed),) = sessions(section(text("tutorial.md"), "## Make a mistake"))
    assert (done.returncode, done.stderr) == (2, printed)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.search(r"```text\n(joblot\.yaml:31.*?)```", readme, re.DOTALL)[1] in printed


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """The second batch of the tutorial, killed while `slow` runs, with what was explained before and after."""
    folder = tmp_path_factory.mktemp("nightly")
    (batch,) = re.findall(r"```yaml\n(name: nightly.*?)```", text("tutorial.md"), re.DOTALL)
    (folder / "joblot.yaml").write_text(batch.replace("sleep 3", "touch began; sleep 30"))
    with subprocess.Popen([*JOBLOT, "run", "-q"], cwd=folder) as process:
        while not (folder / "began").exists():
            assert process.poll() is None
        while "count: running" in (waits := joblot(folder, "explain", "report").stdout):
            assert process.poll() is None  # both began at once, and the short one may still be at it
        os.kill(process.pid, signal.SIGKILL)
    return waits, joblot(folder, "explain", "slow").stdout


def test_the_pages_show_how_a_job_is_explained(killed):
    waits, cut_off = killed
    ((_, shown),) = sessions(text("howto/why-is-it-not-running.md"))
    assert waits == shown
    (shown,) = [printed for command, printed in sessions(text("tutorial.md")) if command == "joblot explain slow"]
    assert shape(cut_off) == shape(shown)


def test_the_report_of_the_reference_is_one_of_now(first):
    page = text("reference/report.md")
    shown = json.loads(re.search(r"```json\n(.*?)```", page, re.DOTALL)[1])
    report = json.loads(joblot(first, "run", "-q", "--json").stdout)
    assert keys(shown) == keys(report)
    assert [keys(result) for result in shown["results"]] == [keys(result) for result in report["results"]]


def keys(data):
    """Without what is there only where it is known, by chance of the machine."""
    return [key for key in data if key not in ("peak_bytes", "read_bytes", "written_bytes")]


def test_the_record_of_the_reference_has_the_hash_that_the_page_explains():
    from joblot.core.events import Record
    from joblot.journal.codec import CHAIN_START, link

    page = text("reference/events.md")
    line = re.search(r"```json\n(.*?)\n```", page, re.DOTALL)[1]
    record = msgspec.json.decode(line, type=Record)
    body = line.partition('"events":')[2].removesuffix("}")
    assert bytes(16) == CHAIN_START
    assert link(CHAIN_START, record.seq, record.at, body.encode()).hex() == json.loads(line)["chain"]


@pytest.mark.parametrize("page", ["fused-jobs.md", "generate.md", "fan-out.md"])
def test_python_of_the_how_to_runs(page, tmp_path, monkeypatch):
    from joblot.actions.registry import ACTIONS

    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.yaml").write_text('name: naf-{code}\ntitle: "{label}"\n')
    blocks = re.findall(r"^```python\n(.*?)^```", text(f"howto/{page}"), re.MULTILINE | re.DOTALL)
    before, scope = set(ACTIONS), {}
    try:
        for block in blocks:
            exec(block.replace("batch.run()", 'batch.run(on="inline")'), scope)
        for name in [name for name in scope if name.startswith("test_")]:
            scope[name](tmp_path)
    finally:
        for name in set(ACTIONS) - before:
            del ACTIONS[name]
    assert blocks


def test_defaults_of_options_are_those_of_the_code():
    from joblot.api import Options

    options = Options()
    rows = re.findall(r"^\| `(\w+)` \| `?([\w. ]+?)`? \|", text("howto/from-python.md"), re.MULTILINE)
    shown = {name: value for name, value in rows if name in Options.__struct_fields__}
    words = {"None": "none", "()": "none", str(64 << 20): "64 MiB"}
    told = {
        name: words.get(str(getattr(options, name)), f"{getattr(options, name)}".removesuffix(".0")) for name in shown
    }
    differ = {name for name in shown if shown[name] != told[name]}
    assert differ == {"state", "run_id"}  # in words
    assert len(shown) > 10
