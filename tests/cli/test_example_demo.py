"""The demo on a part of the standard library; `make demo` runs it on the whole."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

from command_server import server

EXAMPLE = Path(__file__).parents[2] / "examples" / "standard-library"


@pytest.fixture
def folder(tmp_path):
    """A copy of the example as it is in the repository."""
    ignored = shutil.ignore_patterns(".joblot", "__pycache__", "library", "out")
    shutil.copytree(EXAMPLE, tmp_path / "example", ignore=ignored)
    return tmp_path / "example"


@pytest.fixture
def small(folder):
    """The same, of a library that has the packages with two files each."""
    return with_small_library(folder)


def with_small_library(folder):
    library, batch = Path(sysconfig.get_path("stdlib")), folder / "joblot.yaml"
    for name in re.findall(r"input: library/(\w+)", batch.read_text()):
        (folder / "small" / name).mkdir(parents=True)
        for path in sorted((library / name).glob("*.py"))[:2]:
            shutil.copy(path, folder / "small" / name)
    text = batch.read_text().replace('sysconfig.get_path("stdlib")', '"small"')
    assert '"small"' in text
    batch.write_text(text)
    return folder


def joblot(folder, *args):
    return server().run(["-m", "joblot", *args], folder)


def last_report(folder):
    [run] = (folder / ".joblot" / "runs").iterdir()
    report = json.loads((run / "report.json").read_text())
    return report, {result["job"]: result for result in report["results"]}


def test_the_demo_measures_the_library(small):
    folder = small
    done = joblot(folder, "run", "joblot.yaml")
    report, jobs = last_report(folder)
    assert (done.returncode, report["status"], report["succeeded"]) == (0, "success", 24)
    lines = sum(path.read_bytes().count(b"\n") for path in (folder / "small").rglob("*.py"))
    assert jobs["total"]["result"]["line_count"] == lines > 5_000
    assert jobs["unreliable"]["attempts"] == 2
    json_lines = sum(len(path.read_text().splitlines()) for path in (folder / "library" / "json").glob("*.py"))
    assert jobs["package-json"]["result"]["lines"] == json_lines
    page = (folder / "out" / "report.md").read_text()
    sizes = [int(size.replace(",", "")) for size in re.findall(r"^\| \w+ \| \d+ \| ([\d,]+) ", page, re.MULTILINE)]
    assert len(sizes) == 16
    assert sizes == sorted(sizes, reverse=True)
    assert f"{lines:,} lines" in page


def test_a_wrong_pattern_is_one_cause_r11(small):
    """R11: many failures, said once at the end; what does not need them goes on."""
    done = joblot(small, "run", "joblot.yaml", "--var", "pattern=(")
    report, jobs = last_report(small)
    assert (done.returncode, report["succeeded"], report["failed"], report["skipped"]) == (1, 6, 17, 1)
    assert jobs["verify"]["status"] == "success"
    digest = "16 x not a regular expression: missing ), unterminated subpattern at position 0 (such as `package-"
    assert digest in done.stdout + done.stderr
    assert not (small / "out" / "report.md").exists()


def test_a_killed_demo_is_resumed_r127_r130(small):
    """R127 R130: what had succeeded is not run again."""
    running = subprocess.Popen(
        [sys.executable, "-m", "joblot", "run", "joblot.yaml"],
        cwd=small,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not (small / "out" / "all.py").exists() and running.poll() is None:
        time.sleep(0.005)
    running.kill()
    running.wait()
    done = joblot(small, "resume")
    report, jobs = last_report(small)
    assert (done.returncode, report["status"], report["succeeded"]) == (0, "success", 24)
    assert jobs["library"]["attempts"] == 1
    assert "library: success (" not in done.stderr.replace("[success]", "")
    assert (small / "out" / "report.md").exists()


def test_the_readme_tells_what_is_in_the_batch():
    batch, readme = ((EXAMPLE / name).read_text() for name in ("joblot.yaml", "README.md"))
    assert len(re.findall(r"^  - \{?\s*name: ", batch, re.MULTILINE)) == 24
    assert "24 jobs" in readme
