"""The commands as their users run them, in a copy of this folder."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CODES = ["batch", "--naf", "6920Z", "--naf", "4329A"]
FILES = ["--input", "data/sirene_latest.parquet", "--output-dir", "out/batch_results"]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data").mkdir()
    for name in ("builder_cli.py", "create_job.py", "job_template.yaml", "data/sirene_latest.parquet"):
        shutil.copy(HERE / name, tmp_path / name)
    return tmp_path


def run(folder, *words):
    return subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


def test_a_dataset_for_each_code(folder):
    done = run(folder, "builder_cli.py", *CODES, *FILES, "--json")
    assert done.returncode == 0
    result = json.loads(done.stdout)
    assert (result["status"], result["total_jobs"], result["successful_jobs"]) == ("OK", 2, 2)
    assert [item["rows"] for item in result["results"]] == [25, 13]
    for name in ("naf_6920Z", "naf_4329A"):
        made = {path.name for path in (folder / "out" / "batch_results" / name).iterdir()}
        assert {"dataset.csv", "dataset.parquet", "logs"} <= made
        assert (folder / "jobs_generated" / f"{name}.yaml").is_file()


def test_a_dry_run_builds_nothing(folder):
    done = run(folder, "builder_cli.py", *CODES, *FILES, "--dry-run", "--json")
    assert done.returncode == 0
    assert [json.loads(done.stdout)[key] for key in ("status", "generated_jobs", "dry_run")] == ["OK", 2, True]
    assert not (folder / "out").exists()


def test_the_template_beside_the_program_makes_the_job_files(folder):
    template = folder / "job_template.yaml"
    template.write_text(template.read_text().replace("active_only: true", "active_only: false"))
    assert run(folder, "create_job.py", "jobs", "--naf", "6920Z", "--batch").returncode == 0
    text = (folder / "jobs" / "naf_6920Z.yaml").read_text()
    assert 'niche: "naf_6920Z"' in text
    assert "active_only: false" in text


def test_the_help_says_what_is_asked_for(folder):
    done = run(folder, "builder_cli.py", "batch", "--help")
    assert done.returncode == 0
    assert "NAF code(s)" in done.stdout


def test_an_input_that_is_not_there_stops_everything(folder):
    done = run(folder, "builder_cli.py", *CODES, "--input", "no.parquet", "--output-dir", "out")
    assert (done.returncode, done.stdout) == (2, "")
    assert not (folder / "jobs_generated").exists()
