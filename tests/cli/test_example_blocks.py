"""D17: what each document says to type works in its folder of `examples`, to the last line: its tests, too."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from command_server import JOBLOT, SIRENE, server

EXAMPLES = Path(__file__).parents[2] / "examples"
MADE = (".joblot", "out", "jobs", "jobs_generated", "__pycache__", ".pytest_cache", "*.by-code.parquet")

NAF = "python builder_cli.py batch --naf 6920Z --naf 4329A --input data/sirene_latest.parquet --output-dir out/batch_results"
SUMMARY = '{\n  "total_jobs": 4,\n  "succeeded": 4,\n  "failed": 0\n}\n'
PIPELINE = (
    "Pipeline PASSED\n"
    + "".join(
        f"  [SUCCESS] {name} (1 attempt(s), Tms)\n" for name in ("extract", "validate", "transform", "load", "notify")
    )
    + "Total: Tms\n"
)
BLOCKS = {
    "configurable-batch-runner": [
        ("python project.py --config data/batch_config.json --output data/batch_report.json", SUMMARY),
        ("pytest -q", "\n6 passed in "),
        ("python project.py --dry-run", '"total_jobs": 4'),
    ],
    "operational-run-logger": [
        (
            "python project.py --input data/sample_input.txt --output data/processed.json --log data/run_log.json --run-id demo-001",
            '{\n  "run_id": "demo-001",\n  "status": "completed",\n  "events": 23,',
        ),
        ("pytest -q", "\n5 passed in "),
        ("python project.py --verbose", " run_started {"),
    ],
    "naf-batch": [
        (NAF, "OK: 2 of 2 datasets\n"),
        ("python create_job.py jobs --naf 6920Z --batch", "jobs/naf_6920Z.yaml: generated\n"),
        (f"{NAF} --profile quick", "OK: 2 of 2 datasets\n"),
        (f"{NAF} --dry-run --verbose", "nothing built (dry run)\n"),
        (f"{NAF} --naf 43 --continue-on-error --verbose", "OK: 3 of 3 datasets\n"),
        (f"{NAF} --json", '"successful_jobs": 2,'),
        (f"{NAF} --template job_template.yaml --sample 5 --workers 2 --max-ram-mb 4000", "6920Z: 5 rows"),
        ("python builder_cli.py batch --help", "NAF code(s)"),
        ("pytest -q", "\n5 passed in "),
    ],
    "run-orchestrator": [
        ("python project.py", PIPELINE),
        ("pytest -v", "=== 11 passed in "),
    ],
}


@pytest.mark.parametrize("name", BLOCKS)
def test_what_a_document_says_to_type_works_to_its_end(tmp_path, name):
    """D6 D17"""
    folder = tmp_path / name
    shutil.copytree(EXAMPLES / name, folder, ignore=shutil.ignore_patterns(*MADE))
    for line, shown in BLOCKS[name]:
        program, *words = shlex.split(line)
        if program == "python":
            done = server(SIRENE if name == "naf-batch" else JOBLOT).run(words, folder)
        else:
            environment = {key: text for key, text in os.environ.items() if not key.startswith(("PYTEST", "COV"))}
            command = [sys.executable, "-m", program, *words]
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=100, check=False)
        out, err = (text.decode() if isinstance(text, bytes) else text for text in (done.stdout, done.stderr))
        assert (line, done.returncode) == (line, 0), out + err
        assert shown in re.sub(r"\d+ms", "Tms", out), line


def test_the_template_of_the_example_is_the_one_that_comes_with_joblot():
    """D17"""
    shipped = EXAMPLES.parent / "src" / "joblot_sirene" / "data" / "job_template.yaml"
    assert (EXAMPLES / "naf-batch" / "job_template.yaml").read_text() == shipped.read_text()
