"""The notebook of the examples and the page on notebooks do what they say, by the program that runs notebooks without a browser."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FIRST = "import warnings\nwarnings.simplefilter('error', DeprecationWarning)"


def executed(cells, folder):
    """The cells with their outputs."""
    nbclient = pytest.importorskip("nbclient", reason="the extra `notebooks` is not installed")
    from nbformat.v4 import new_code_cell, new_notebook

    notebook = new_notebook(cells=[new_code_cell(source) for source in (FIRST, *cells)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the program that runs it
        nbclient.NotebookClient(
            notebook, timeout=100, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
        ).execute()
    return notebook.cells[1:]


def html_of(cell):
    return [output["data"]["text/html"] for output in cell.outputs if "text/html" in output.get("data", {})]


def code_of(name):
    import json

    notebook = json.loads((ROOT / "examples" / "notebook" / name).read_text(encoding="utf-8"))
    assert all(not cell.get("outputs") for cell in notebook["cells"])
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_the_notebook_of_the_examples_shows_what_failed_in_three_hundred_files(tmp_path):
    _, made, run, report, table, check = executed(code_of("csv-files.ipynb"), tmp_path)
    assert made.outputs == []
    (shown,) = html_of(run)
    assert "✗ sales: failed" in shown
    assert "300 jobs: 297 succeeded, 3 failed" in shown
    (shown,) = html_of(report)
    assert "could not convert string to float: &#x27;n/a&#x27;" in shown
    assert "total-*: 300 jobs" in shown
    assert len(shown.encode()) <= 20_000
    assert "297" in html_of(table)[0]
    assert "3 of 300 jobs failed: 3 x ValueError: could not convert string to float" in check.outputs[0]["text"]


def test_the_page_on_notebooks_runs(tmp_path):
    text = (ROOT / "docs" / "howto" / "notebooks.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "data").mkdir()
    for name in ("a", "b"):
        (tmp_path / "data" / f"{name}.csv").write_text("n\n1\n2\n")
    cells = executed(
        [*blocks, "print(report.status, [job.result for job in report.jobs.values()], list(jobs))"], tmp_path
    )
    assert "✓ sales: success" in html_of(cells[0])[0]
    printed = cells[-1].outputs[0]["text"]
    assert printed.startswith("success [{'rows': 2}, {'rows': 2}] ['item', 'name', 'stem', 'job', 'state', ")
    columns = set(re.findall(r"'([\w.]+)'", printed.split("}] ")[1]))
    told = set(re.findall(r"`([\w.]+)`", text.split("| columns | |")[1].split("Every row")[0]))
    assert columns - {"result.rows"} <= told
