"""The example of a batch that is mended and tried again: `retry` that continues, and `concurrency`."""

import re
import shutil
from pathlib import Path

from cli.conftest import Project

EXAMPLE = Path(__file__).parents[2] / "examples" / "mended"


def test_the_mended_batch_does_what_is_left_as_the_readme_says(tmp_path):
    shutil.copytree(EXAMPLE, tmp_path / "example", ignore=shutil.ignore_patterns(".joblot"))
    joblot = Project(tmp_path / "example")
    readme = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    batch = (joblot.path / "joblot.yaml").read_text()
    (before, after) = re.findall(r"sed -i 's/(.*)/(.*)/' joblot.yaml", readme)[0]
    assert joblot("run").code == 1
    joblot.write("joblot.yaml", batch.replace(before, after))
    done = joblot("retry", "last")
    assert done.code == 0, done.err
    told = done.plain[done.plain.index("INFO | [1/5]") : done.plain.index("Batch mended: success\n")]
    lines = [re.sub(r" \(.*\)", "", line.partition(" | ")[2]) for line in told.splitlines() if "] " in line]
    assert "```text\n" + "\n".join(lines) + "\n```" in readme
    assert (joblot.path / "report.txt").read_text() == "total 42\n"
    assert (joblot.path / "ledger.txt").read_text() == "paid 2 orders\n"
    assert "One run of group `orders` at a time: another one waits for its turn\n" in joblot("plan").out
    why = "pay: cached\n  carried_over: carried over from the run that this one continues\n  done in run `"
    assert joblot("explain", "last", "pay").out.startswith(why)
