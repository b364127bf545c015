"""The example `naf-batch`: its command lines word for word, the tree, the exit codes and the JSON that its README shows."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from command_server import SIRENE, server

EXAMPLE = Path(__file__).parents[2] / "examples" / "naf-batch"
README = (EXAMPLE / "README.md").read_text(encoding="utf-8")
MADE = (".joblot", "out", "jobs", "jobs_generated", "__pycache__", "*.by-code.parquet")

START = "python builder_cli.py batch --naf 6920Z --naf 4329A --input data/sirene_latest.parquet --output-dir out/batch_results"
BASIC = """\
python builder_cli.py batch \\
  --naf 6920Z \\
  --naf 4329A \\
  --input data/sirene_latest.parquet \\
  --output-dir out/batch_results \\
  --profile quick
"""
DRY = BASIC.replace("--profile quick", "--dry-run \\\n  --verbose")
TOLERANT = BASIC.replace("--profile quick", "--continue-on-error \\\n  --verbose").replace(
    "--naf 4329A \\", "--naf 4329A \\\n  --naf 43 \\"
)
AS_JSON = BASIC.replace("--profile quick", "--json")
ALONE = "python create_job.py jobs --naf 6920Z --batch"

PACKAGE = {"SHA256SUMS", "data_dictionary.json", "dataset.csv", "dataset.parquet", "logs", "manifest.json"}


@pytest.fixture
def folder(tmp_path):
    """A copy of the example as it is in the repository, without what earlier runs made."""
    shutil.copytree(EXAMPLE, tmp_path / "example", ignore=shutil.ignore_patterns(*MADE))
    return tmp_path / "example"


def run(folder, line, *more):
    """A command line of the README, with the Python of these tests."""
    program, *words = shlex.split(line.replace("\\\n", " "))
    assert program == "python"
    return server(SIRENE).run([*words, *more], folder)


def names(folder):
    return {path.name for path in folder.iterdir()}


def rows(folder):
    return (folder / "dataset.csv").read_text(encoding="utf-8").splitlines()[1:]


def tree(folder, indent=""):
    """The files below a folder as the README draws them."""
    paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    for path in paths:
        last = path == paths[-1]
        yield f"{indent}{'└' if last else '├'}── {path.name}{'/' if path.is_dir() else ''}"
        if path.is_dir() and path.name != "logs":
            yield from tree(path, indent + ("    " if last else "│   "))


def shown(text):
    """A text with no more than its shape: run ids and times are another each time."""
    return re.sub(r"\d{8}-\d{6}-[0-9a-f]{8}", "RUN", re.sub(r'("duration(?:_ms)?": )[\d.]+', r"\1T", text))


@pytest.mark.parametrize("line", [START, BASIC, DRY, TOLERANT, AS_JSON, ALONE])
def test_the_readme_has_the_command_lines(line):
    assert line.rstrip() in README


def test_a_dataset_for_each_code_in_its_tree_r53_r59_r77_r92_r93(folder):
    """R53 R59 R77 R92 R93; and the README shows what is printed and what is there then."""
    done = run(folder, START)
    assert done.returncode == 0, done.stderr
    out = folder / "out" / "batch_results"
    assert names(out) == {"naf_6920Z", "naf_4329A", "batch_report.json"}
    for name in ("naf_6920Z", "naf_4329A"):
        assert names(out / name) == PACKAGE
        assert re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{8}\.jsonl", next((out / name / "logs").iterdir()).name)
    assert names(folder / "jobs_generated") == {"naf_6920Z.yaml", "naf_4329A.yaml"}
    assert done.stdout in README
    assert shown(done.stderr) in shown(README)
    made = [f"{name}/\n" + "\n".join(tree(folder / name)) for name in ("jobs_generated", "out")]
    assert "\n".join(made) in README
    again = run(folder, BASIC)  # `quick` is the default (R58): the same jobs
    assert re.findall(r"up to date", again.stdout) == ["up to date"] * 2


def test_a_dry_run_writes_job_files_only_and_edits_take_effect_r60_r64_r66_r76(folder):
    """R60 R64 R76: generate, review, execute. R66: with `--json` the three keys of R60, and two more."""
    done = run(folder, DRY)
    assert (done.returncode, done.stdout in README) == (0, True), done.stdout
    assert "Generated job file: jobs_generated/naf_6920Z.yaml\n" in done.stderr
    result = json.loads(run(folder, DRY, "--json").stdout)
    assert list(result.items())[:3] == [("status", "OK"), ("generated_jobs", 2), ("dry_run", True)]
    assert not (folder / "out").exists()
    path = folder / "jobs_generated" / "naf_4329A.yaml"
    path.write_text(path.read_text().replace("active_only: true", "active_only: false"))
    done = run(folder, BASIC)
    assert done.returncode == 0
    warning = "WARNING: `jobs_generated/naf_4329A.yaml` was edited: it is used as it is (`--force` writes it anew)\n"
    assert warning in done.stderr
    assert warning in README
    assert len(rows(folder / "out" / "batch_results" / "naf_4329A")) > 13


def test_all_codes_are_done_and_a_division_is_its_sub_classes_r65_r79_r84(folder):
    """R65 R79 R84: in the order given; `43` holds the rows of `4329A`."""
    done = run(folder, TOLERANT)
    assert done.returncode == 0
    assert done.stdout[done.stdout.index("[SUCCESS]") :] in README
    assert "43: attempt 1 ok" in done.stdout  # R64
    order = re.findall(r"^\[\d/3\] Processing NAF (\w+)\.\.\.$", done.stderr, re.MULTILINE)
    assert order == ["6920Z", "4329A", "43"]
    out = folder / "out" / "batch_results"
    assert set(rows(out / "naf_4329A")) < set(rows(out / "naf_43"))


def test_json_is_all_of_stdout_and_is_kept_r66_r67_r95(folder):
    """R66 R67 R95; the README shows it."""
    done = run(folder, AS_JSON)
    assert done.returncode == 0
    assert shown(done.stdout) in shown(README)
    result = json.loads(done.stdout)
    assert [result[key] for key in ("status", "total_jobs", "successful_jobs", "failed_jobs")] == ["OK", 2, 2, 0]
    for item in result["results"]:
        assert {"naf_code", "status", "duration", "output_dir"} <= set(item)
    assert (folder / "out" / "batch_results" / "batch_report.json").read_text() == done.stdout


def test_the_readme_of_the_project_shows_what_is_printed(folder):
    page = (EXAMPLE.parents[1] / "README.md").read_text(encoding="utf-8")
    command, output = re.search(r"^\$ joblot (sirene .*)\n((?:.+\n)+?)```", page, re.MULTILINE).groups()
    done = server(SIRENE).run(["-m", "joblot", *command.split()], folder)
    assert (done.returncode, done.stdout) == (0, output)


def test_job_files_alone_in_a_folder_r69(folder):
    """R69: `OUT --naf CODE --batch`, and the other name of the option."""
    done = run(folder, ALONE)
    assert (done.returncode, done.stdout) == (0, "jobs/naf_6920Z.yaml: generated\n")
    assert names(folder / "jobs") == {"naf_6920Z.yaml"}
    assert 'naf_include: ["6920Z"]' in (folder / "jobs" / "naf_6920Z.yaml").read_text()
    assert run(folder, "python create_job.py jobs --naf-code 43 --batch --profile deep").returncode == 0
    assert 'profile: "deep"' in (folder / "jobs" / "naf_43.yaml").read_text()


def test_one_job_file_exactly_where_it_is_asked_for_r70(folder):
    """R70: without `--batch` OUT is the file; several codes are refused, never silently one of them."""
    line = "python create_job.py jobs/accountants.yaml --naf 6920Z"
    assert line in README
    done = run(folder, line)
    assert (done.returncode, done.stdout) == (0, "jobs/accountants.yaml: generated\n")
    assert done.stdout in README
    done = run(folder, "python create_job.py jobs/both.yaml --naf 6920Z --naf 43")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: 2 codes are given, and `jobs/both.yaml` is one file: with `--batch` it is")
    assert names(folder / "jobs") == {"accountants.yaml"}


def test_a_failure_stops_the_batch_with_exit_code_1_r63_r80_r83(folder):
    """R63 R80 R83; the README shows it."""
    (line,) = re.findall(r"^\$ (python .*--max-ram-mb 50)$", README, re.MULTILINE)
    done = run(folder, line)
    assert (done.returncode, done.stdout in README) == (1, True), done.stdout
    done = run(folder, line, "--continue-on-error")
    assert (done.returncode, done.stdout.count("[FAILED]")) == (0, 2)  # R65 R81
    assert "WARNING: some codes failed; the exit code is 0" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--input data/sirene_latest.parquet --output-dir out", "error: no code is given"),  # R54
        ("--naf 43 --input no.parquet --output-dir out", "error: cannot read `no.parquet`: no such file"),  # R55
        ("--naf ../x --input data/sirene_latest.parquet --output-dir out", "error: `../x` is not an activity code"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_writes_nothing_r54_r55_r74(folder, words, said):
    """R54 R55 R74; the rest is in `tests/sirene`."""
    before = names(folder)
    done = run(folder, f"python builder_cli.py batch {words}")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(said)
    assert names(folder) == before


def test_a_template_of_ones_own_r57_r71_r86(folder):
    """R57 R71 R86: a region, a CSV for spreadsheets in French, and the files of the profile `deep` (R87)."""
    (line,) = re.findall(r"^(python .*--template shops\.yaml.*)$", README, re.MULTILINE)
    done = run(folder, line)
    assert (done.returncode, done.stdout in README) == (0, True), done.stderr
    shops = folder / "out" / "bretagne" / "naf_47_bretagne"
    assert names(shops) == PACKAGE | {"quality.json", "quality.md", "places.geojson", "report.html"}
    header, *found = (shops / "dataset.csv").read_text(encoding="utf-8").splitlines()
    assert header.startswith("\ufeffsiret;siren;")
    column = header.split(";").index("region")
    assert {line.split(";")[column] for line in found} == {"Bretagne"}
    manifest = json.loads((shops / "manifest.json").read_text())
    assert manifest["expires"] > manifest["made_at"][:10]


def test_datasets_and_a_job_that_needs_them_are_one_batch_r123_r124_r129(folder):
    """R123: one plan, one report. R124: a run record. R129: one call for the four datasets."""
    command = [sys.executable, "-m", "joblot", "run", "joblot.yaml", "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    report = json.loads(done.stdout)
    assert (done.returncode, report["status"]) == (0, "success")
    jobs = ["naf_6920Z", "naf_4329A", "naf_56", "naf_47"]
    assert [result["job"] for result in report["results"]] == [*jobs, "merge"]
    lines = (folder / "out" / "all.csv").read_text(encoding="utf-8").splitlines()
    found = sum(len(rows(folder / "out" / name)) for name in jobs)
    assert len(lines) - 1 == found == int(report["results"][-1]["result"]["rows"])
    assert f"`out/all.csv` has {found} rows then." in README
    (events,) = (folder / ".joblot" / "runs").glob("*/events.jsonl")
    started = [line for line in events.read_text().splitlines() if '"attempts_started"' in line]
    assert '"bundles"' in started[0]
