"""`joblot sirene batch`: its options, its tree, its words, its exit codes."""

import hashlib
import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import polars as pl
import pytest

from joblot import ActionError
from joblot_sirene.batch import codes_of_file, status_of
from joblot_sirene.errors import SireneError
from joblot_sirene.package import package
from joblot_sirene.register import naf
from joblot_sirene.steps.parameters import NO_UNITS
from sirene.files import siret

TREE = {*package.REQUIRED, "logs"}


def batch(sirene, stock, *words, out="out", codes=("6820B", "43")):
    named = [word for code in codes for word in ("--naf", code)]
    return sirene("batch", *named, "--input", stock.establishments, "--output-dir", out, *words)


def names(folder):
    return {path.name for path in folder.iterdir()}


def datasets(folder):
    return {path.parent.name: path.read_bytes() for path in sorted(folder.glob("*/dataset.csv"))}


def test_r53_r77_a_dataset_for_each_code_in_its_tree(processes, stock):
    done = batch(processes, stock)
    assert done.code == 0, done.err
    assert names(processes.folder / "out") == {"naf_6820B", "naf_43", "batch_report.json"}
    for name in ("naf_6820B", "naf_43"):
        assert names(processes.folder / "out" / name) == TREE
        assert len(names(processes.folder / "out" / name / "logs")) == 1
    assert names(processes.folder / "jobs_generated") == {"naf_6820B.yaml", "naf_43.yaml"}  # R59: the default
    assert re.fullmatch(
        r"\[SUCCESS\] 6820B: \d+ rows in out/naf_6820B\n\[SUCCESS\] 43: \d+ rows in out/naf_43\nOK: 2 of 2 datasets\n",
        done.out,
    )


def test_r93_progress_is_told_on_stderr(processes, stock):
    done = batch(processes, stock)
    lines = [line for line in done.err.splitlines() if not line.startswith(("run ", "Generated"))]
    assert lines == [
        "[1/2] Processing NAF 6820B...",
        "[2/2] Processing NAF 43...",
        "Batch processing completed: 2/2 jobs successful",
        f"WARNING: 6820B, 43: {NO_UNITS}",
    ]


def test_r93_only_codes_that_are_built_are_told_of(processes, stock):
    batch(processes, stock, codes=["6820B", "43"])
    again = batch(processes, stock, codes=["6820B", "47", "43", "68"])
    assert re.findall(r"Processing NAF (\w+)", again.err) == ["47", "68"]
    assert "[2/4] Processing NAF 47...\n[4/4] Processing NAF 68...\n" in again.err


def test_r78_csv_and_parquet_hold_the_same_rows_and_numbers_keep_their_zeros(sirene, stock):
    batch(sirene, stock, codes=["43"])
    folder = sirene.folder / "out" / "naf_43"
    table = pl.read_parquet(folder / "dataset.parquet")
    text = pl.read_csv(folder / "dataset.csv", infer_schema=False)
    assert text.columns == table.columns
    as_text = table.select(pl.all().cast(pl.String))
    assert text.equals(as_text)
    assert table.schema["siret"] == table.schema["code_postal"] == pl.String
    assert table["siren"].str.starts_with("0").any()


def test_r92_a_package_says_what_it_is_and_its_checksums_hold(sirene, stock):
    done = batch(sirene, stock, "--json", codes=["43"])
    folder = sirene.folder / "out" / "naf_43"
    manifest = json.loads((folder / "manifest.json").read_text())
    for one in manifest["files"]:
        content = (folder / one["path"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (one["bytes"], one["sha256"])
    sums = dict(reversed(line.split("  ")) for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert sums == {one["path"]: one["sha256"] for one in manifest["files"] if not one["path"].startswith("logs/")}
    assert manifest["run_id"] == done.json["run_id"]
    assert manifest["records"] == done.json["results"][0]["rows"] == pl.read_parquet(folder / "dataset.parquet").height
    assert manifest["rights"]["source"] == "Source: INSEE, base Sirene, stock of 2026-11-01"
    dictionary = json.loads((folder / "data_dictionary.json").read_text())
    assert [column["name"] for column in dictionary] == pl.read_parquet(folder / "dataset.parquet").columns
    assert all(column["meaning"] for column in dictionary)
    [log] = (folder / "logs").iterdir()
    steps = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(step["step"], step["status"]) for step in steps] == [
        ("normalise", "OK"),
        ("identifiers", "OK"),
        ("duplicates", "OK"),
    ]
    assert log.stem == manifest["run_id"]


def test_r66_r67_with_json_stdout_is_the_result_and_nothing_else(processes, stock):
    result = batch(processes, stock, "--json").json
    assert list(result) == [
        "status", "run_id", "total_jobs", "successful_jobs", "failed_jobs", "not_started_jobs", "results",
    ]  # fmt: skip
    assert (result["status"], result["total_jobs"], result["successful_jobs"], result["failed_jobs"]) == ("OK", 2, 2, 0)
    first = result["results"][0]
    assert {"naf_code": "6820B", "status": "SUCCESS", "output_dir": "out/naf_6820B"}.items() <= first.items()
    assert first["duration"] == first["duration_ms"] / 1000  # D15


def test_r95_the_result_is_kept_in_the_output_folder(sirene, stock):
    done = batch(sirene, stock, "--json", codes=["43"])
    assert (sirene.folder / "out" / "batch_report.json").read_text() == done.out


def test_r54_without_a_code_nothing_is_done(sirene, stock):
    done = sirene("batch", "--input", stock.establishments, "--output-dir", "out")
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines()[0].lower() == ("error: no code is given: `--naf code`, `--naf-file file` or job files")
    assert names(sirene.folder) == set()


def test_r55_an_input_that_is_not_there_is_told_and_nothing_is_written(sirene):
    done = sirene("batch", "--naf", "43", "--input", "nope.parquet", "--output-dir", "out")
    assert (done.code, done.out, done.err.lower()) == (
        2,
        "",
        "error: cannot read `nope.parquet`: no such file or directory\n",
    )
    assert names(sirene.folder) == set()


def test_r56_both_names_of_the_output_folder_are_taken_and_one_is_needed(sirene, stock):
    done = sirene("batch", "--naf", "43", "--input", stock.establishments)
    assert (done.code, done.err.lower().splitlines()[0]) == (2, "error: missing option `--output-dir dir`")
    assert sirene("batch", "--naf", "43", "--input", stock.establishments, "--out-dir", "o").code == 0
    assert (sirene.folder / "o" / "naf_43" / "dataset.csv").exists()


def test_r57_the_shipped_template_is_found_from_anywhere_and_an_own_one_is_used(sirene, stock):
    (sirene.folder / "own.yaml").write_text(
        'niche: "{niche_name}_{city}"\nfilters: {naf_include: ["{naf_code}"], departments: [75]}\nprofile: "{profile}"\n'
    )
    done = batch(sirene, stock, "--template", "own.yaml", "--set", "city=paris", codes=["68"])
    assert done.code == 0, done.err
    table = pl.read_parquet(sirene.folder / "out" / "naf_68_paris" / "dataset.parquet")
    assert set(table["departement"]) == {"75"}


def test_r58_an_unknown_profile_is_refused(sirene, stock):
    done = batch(sirene, stock, "--profile", "fast")
    assert (done.code, done.out) == (2, "")
    assert done.err == ("error: there is no profile `fast`\nhint: profiles: `quick`, `standard`, `deep`\n")


def test_r60_d5_a_dry_run_writes_the_job_files_and_builds_nothing(sirene, stock):
    done = batch(sirene, stock, "--dry-run", "--json")
    assert (done.code, done.json["status"], done.json["generated_jobs"], done.json["dry_run"]) == (0, "OK", 2, True)
    assert names(sirene.folder) == {"jobs_generated"}
    assert done.json["job_files"] == ["jobs_generated/naf_6820B.yaml", "jobs_generated/naf_43.yaml"]


def test_r61_d9_a_sample_is_of_rows_that_meet_the_filters_of_the_legal_unit(sirene, stock):
    (sirene.folder / "own.yaml").write_text("niche: own\nfilters: {naf_include: ['68'], legal_forms: [92]}\n")
    words = ("batch", "own.yaml", "--input", stock.establishments, "--unite-legale", stock.units)
    whole = sirene(*words, "--output-dir", "whole", "--json").json["results"][0]["rows"]
    sample = sirene(*words, "--output-dir", "part", "--sample", whole - 1, "--json").json["results"][0]["rows"]
    assert whole > 10
    assert sample == whole - 1
    rows = [pl.read_parquet(sirene.folder / out / "own" / "dataset.parquet") for out in ("whole", "part")]
    assert rows[1].equals(rows[0].head(whole - 1))


def test_r61_a_sample_that_is_short_because_of_rows_that_may_not_be_shown_says_so(sirene, stock):
    rows = pl.read_parquet(stock.establishments).filter(pl.col("activitePrincipaleEtablissement") == "68.20B")
    state = {"etatAdministratifEtablissement": pl.lit("A")}
    hidden = rows.head(1).with_columns(**state, statutDiffusionEtablissement=pl.lit("P"))
    shown = rows.head(1).with_columns(**state, statutDiffusionEtablissement=pl.lit("O"))
    rows = pl.concat([hidden] * 130 + [shown] * 7)
    numbers = pl.Series([siret(number) for number in range(rows.height)])
    rows.with_columns(siret=numbers, siren=numbers.str.slice(0, 9)).write_parquet(sirene.folder / "hidden.parquet")
    words = ("batch", "--naf", "6820B", "--input", "hidden.parquet", "--output-dir", "out", "--json", "--sample")
    assert sirene(*words, "8").json["results"][0]["warnings"] == [
        "of the first 132 rows only 2 may be shown: the sample has no more",
        NO_UNITS,
    ]
    assert sirene(*words, "9").json["results"][0]["warnings"] == [
        "of the first 136 rows only 6 may be shown: the sample has no more",
        NO_UNITS,
    ]
    assert sirene(*words, "10").json["results"][0]["warnings"] == [NO_UNITS]  # all 137 were looked at


def test_d16_a_dataset_of_which_nothing_is_left_says_why(sirene, stock):
    pl.read_parquet(stock.establishments).drop("statutDiffusionEtablissement").write_parquet(
        sirene.folder / "old.parquet"
    )
    words = ("--output-dir", "out", "--json", "--input")
    [item] = sirene("batch", "--naf", "6820B", *words, "old.parquet").json["results"]
    assert item["rows"] == 0
    [nobody, nothing] = item["warnings"]
    assert nobody == "the file has no column `statutDiffusionEtablissement`: nobody in it can be told to be public"
    assert re.fullmatch(
        r"none of the \d+ rows with these codes is left: \d+ closed, \d+ that may not be shown, the others do not meet the filters",
        nothing,
    )
    (sirene.folder / "far.yaml").write_text("niche: far\nfilters: {naf_include: [68.20B], created: {from: 2999}}\n")
    [item] = sirene("batch", "far.yaml", *words, stock.establishments).json["results"]
    assert re.fullmatch(
        r"none of the \d+ rows with these codes is left: \d+ closed, 0 that may not be shown, the others do not meet the filters",
        *item["warnings"],
    )


def test_r61_d9_a_sample_is_the_first_rows_the_same_each_time(sirene, stock):
    batch(sirene, stock, codes=["43"], out="whole")
    batch(sirene, stock, "--sample", "5", codes=["43"], out="one")
    batch(sirene, stock, "--sample", "5", codes=["43"], out="two")
    whole, one, two = (datasets(sirene.folder / name)["naf_43"].splitlines() for name in ("whole", "one", "two"))
    assert one == two == whole[:6]


def test_r62_r79_threads_change_nothing_and_codes_come_in_the_order_given(processes, stock):
    one = batch(processes, stock, "--workers", "1", "--json", codes=["47", "43", "68", "A"], out="one").json
    many = batch(processes, stock, "--workers", "8", "--json", codes=["47", "43", "68", "A"], out="many").json
    assert datasets(processes.folder / "one") == datasets(processes.folder / "many")
    assert [item["naf_code"] for item in one["results"]] == ["47", "43", "68", "A"]
    ends = [item["duration_ms"] for item in many["results"]]
    assert ends == sorted(ends)


def test_r129_fused_and_one_scan_a_code_give_the_same_bytes(processes, stock):
    fused = batch(processes, stock, out="fused", codes=["43", "4329A", "6820B"])
    alone = batch(processes, stock, "--no-fuse", out="alone", codes=["43", "4329A", "6820B"])
    assert (fused.code, alone.code) == (0, 0)
    assert datasets(processes.folder / "fused") == datasets(processes.folder / "alone")


def test_r63_a_budget_that_is_too_small_is_a_named_reason(processes, stock):
    done = batch(processes, stock, "--max-ram-mb", "50", "--json", codes=["43"])
    assert (done.code, done.json["status"]) == (1, "FAILED")
    [item] = done.json["results"]
    assert (item["status"], item["reason"]) == ("FAILED", "memory_limit")
    assert item["error"] == "50 MiB of memory are too little for 32 columns: 160 MiB are needed"
    assert list((processes.folder / "out" / "naf_43").iterdir()) == []  # the folder of an output is made first


def test_r64_verbose_tells_more(processes, stock):
    plain = batch(processes, stock, codes=["43"])
    verbose = batch(processes, stock, "--verbose", "--rebuild", codes=["43"])
    assert "43: attempt 1 ok" in verbose.out
    assert len(verbose.out.splitlines()) > len(plain.out.splitlines())
    as_json = batch(processes, stock, "--verbose", "--rebuild", "--json", codes=["43"])
    assert "43: attempt 1 ok" in as_json.err
    assert as_json.json["status"] == "OK"  # D6: with --json events are on stderr


@pytest.fixture
def one_bad(processes):
    """A job that fails: another dataset that it is compared with is no Parquet file."""
    bad = processes.folder / "earlier" / "naf_43"
    bad.mkdir(parents=True)
    (bad / "dataset.parquet").write_text("no table")
    return ("--earlier", "earlier")


def test_r80_r83_the_first_failure_stops_the_batch_and_what_was_not_begun_is_listed(processes, stock, one_bad):
    done = batch(processes, stock, *one_bad, "--json", codes=["43", "68", "47"])
    assert (done.code, done.json["status"], done.json["successful_jobs"]) == (1, "FAILED", 0)
    assert [(item["naf_code"], item["status"]) for item in done.json["results"]] == [
        ("43", "FAILED"),
        ("68", "NOT_STARTED"),
        ("47", "NOT_STARTED"),
    ]
    assert (
        done.json["results"][0]["error"]
        == "cannot read the earlier dataset `DIR/earlier/naf_43/dataset.parquet`: it is damaged"
    )
    assert "Failed NAF codes: ['43']\nNAF codes not begun: ['68', '47']\n" in done.err
    assert re.findall(r"Processing NAF (\w+)", done.err) == ["43"]


def test_r65_r81_with_continue_on_error_all_codes_are_done_and_the_exit_code_is_0(processes, stock, one_bad):
    done = batch(processes, stock, *one_bad, "--json", "--continue-on-error", codes=["43", "68"])
    assert (done.code, done.json["status"]) == (0, "PARTIAL")
    assert [item["status"] for item in done.json["results"]] == ["FAILED", "SUCCESS"]
    assert (processes.folder / "out" / "naf_68" / "dataset.csv").exists()
    assert (
        "WARNING: some codes failed; the exit code is 0 because of `--continue-on-error` (`--strict` makes it 1)"
        in done.err
    )


def test_d1_strict_makes_a_failure_count(processes, stock, one_bad):
    done = batch(processes, stock, *one_bad, "--continue-on-error", "--strict", codes=["43", "68"])
    assert done.code == 1


def test_r82_d8_a_job_over_its_time_is_ended(processes, stock):
    """The job waits for an earlier dataset that never comes: it is a pipe that nobody writes to."""
    pipe = processes.folder / "earlier" / "naf_43" / "dataset.parquet"
    pipe.parent.mkdir(parents=True)
    os.mkfifo(pipe)
    done = batch(processes, stock, "--earlier", "earlier", "--timeout", "1s", "--json", codes=["43"])
    assert (done.code, done.json["results"][0]["status"]) == (1, "TIMEOUT")
    assert done.json["results"][0]["error"] == "timed out after 1 s"


def test_r82_the_limit_is_that_of_the_job_file_and_0_is_none(processes, stock):
    for minutes in ("0", "0.5"):
        (processes.folder / "own.yaml").write_text(
            f"niche: own\nfilters: {{naf_include: [43]}}\nbudgets: {{time_minutes: {minutes}}}\n"
        )
        done = processes(
            "batch", "own.yaml", "--input", stock.establishments, "--output-dir", f"out{minutes}", "--json"
        )
        assert (done.code, done.json["status"]) == (0, "OK"), done.err


@pytest.mark.parametrize(
    ("state", "reason", "said"),
    [
        ("success", "", "SUCCESS"),
        ("cached", "", "SUCCESS"),
        ("failed", "timeout", "TIMEOUT"),
        ("failed", "exception", "FAILED"),
        ("failed", "memory_limit", "FAILED"),
        ("failed", "crash", "ERROR"),
        ("failed", "oom", "ERROR"),
        ("failed", "lost", "ERROR"),
        ("failed", "fail_fast", "NOT_STARTED"),
        ("aborted", "fail_fast", "NOT_STARTED"),
        ("cancelled", "cancelled", "NOT_STARTED"),
    ],
)
def test_r68_ends_of_jobs_have_their_words(state, reason, said):
    report = SimpleNamespace(ok=state in ("success", "cached"), state=state, reason=reason)
    assert status_of(report) == said


def test_r68_a_worker_that_dies_is_an_error(sirene, stock):
    """Its process is killed while it builds: a crash, not the fault of the data."""
    (sirene.folder / "acts.py").write_text(
        "import os, signal\nimport joblot_sirene.bundle as d\n"
        "d.build = lambda wishes, tell: os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    code = (
        "import acts, sys\nfrom joblot.__main__ import main\n"
        f"sys.exit(main(['sirene', 'batch', '--naf', '43', '--input', {str(stock.establishments)!r}, '--output-dir', 'out', '--json']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=sirene.folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, json.loads(done.stdout)["results"][0]["status"]) == (1, "ERROR")


def test_r76_d11_edits_of_job_files_take_effect_and_are_never_overwritten(sirene, stock):
    batch(sirene, stock, "--dry-run", codes=["43"])
    path = sirene.folder / "jobs_generated" / "naf_43.yaml"
    edited = path.read_text().replace("active_only: true", "active_only: false")
    path.write_text(edited)
    done = batch(sirene, stock, codes=["43"])
    assert done.code == 0
    assert (
        "WARNING: `jobs_generated/naf_43.yaml` was edited: it is used as it is (`--force` writes it anew)" in done.err
    )
    assert path.read_text() == edited
    table = pl.read_parquet(sirene.folder / "out" / "naf_43" / "dataset.parquet")
    assert set(table["etat"]) == {"A", "F"}
    batch(sirene, stock, "--force", "--dry-run", codes=["43"])
    assert "active_only: true" in path.read_text()


def test_r76_a_batch_runs_from_job_files_alone(sirene, stock):
    batch(sirene, stock, "--dry-run", codes=["43"])
    done = sirene(
        "batch", "jobs_generated/naf_43.yaml", "--input", stock.establishments, "--output-dir", "out", "--json"
    )
    assert (done.code, done.json["results"][0]["naf_code"]) == (0, "43")


def test_job_files_that_mean_nothing_are_all_told_with_their_lines(sirene, stock):
    batch(sirene, stock, "--dry-run")
    for name in ("naf_43", "naf_6820B"):
        path = sirene.folder / "jobs_generated" / f"{name}.yaml"
        path.write_text(path.read_text().replace("active_only", "activ_only"))
    done = batch(sirene, stock)
    assert (done.code, done.out) == (2, "")
    assert [line for line in done.err.splitlines() if "error" in line] == [
        "jobs_generated/naf_43.yaml:11:3: error: unknown key `filters.activ_only`",
        "jobs_generated/naf_6820B.yaml:11:3: error: unknown key `filters.activ_only`",
        "2 errors",
    ]
    assert not (sirene.folder / "out").exists()


@pytest.mark.parametrize(("one", "other", "name"), [("a/b", "a.b", "a.b"), ("a", "a", "a")])
def test_two_job_files_of_one_name_are_refused(sirene, stock, one, other, name):
    for file, niche in (("1.yaml", one), ("2.yaml", other)):
        (sirene.folder / file).write_text(
            f"niche: {niche}\nfilters: {{naf_include: [69]}}\noutput: {{dir: of-{file}}}\n"
        )
    done = sirene("batch", "1.yaml", "2.yaml", "--input", stock.establishments, "--output-dir", "out")
    assert (done.code, done.out) == (2, "")
    words = f"2.yaml: error: the jobs of `1.yaml` and `2.yaml` have one name, `{name}`"
    assert done.err.splitlines()[0] == words
    assert not (sirene.folder / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "no code is given: `--naf CODE`, `--naf-file FILE` or job files"),
        (("--naf", "43"), "missing option `--input FILE`"),
        (("--naf", "43", "--workers", "0"), "Invalid value for '--workers': 0 is not in the range 1<=x<=1024."),
        (("--naf", "43", "--set", "x", "--explain"), "`--set` takes KEY=VALUE, not `x`"),
        (("--bogus",), "No such option '--bogus'."),
    ],
)
def test_r66_with_json_a_command_line_that_means_nothing_is_one_json_document_too(sirene, words, message):
    done = sirene("batch", *words, "--json")
    assert done.code == 2
    assert done.json["status"] == "ERROR"
    [error] = done.json["errors"]
    assert error["message"].startswith(message)


def test_r66_r87_steps_are_explained_as_json(sirene):
    done = sirene("batch", "--naf", "43", "--explain", "--json")
    [job] = done.json["jobs"]
    assert (done.code, job["niche"], job["profile"]) == (0, "naf_43", "quick")
    assert [step["name"] for step in job["steps"]] == ["normalise", "identifiers", "duplicates"]


@pytest.mark.parametrize("option", ["--output-dir", "--jobs-dir"])
@pytest.mark.parametrize("below", ["", "/x/y"])
def test_a_folder_that_is_a_file_is_told_before_anything_is_done(sirene, stock, option, below):
    (sirene.folder / "taken").touch()
    words = {"--output-dir": "out", "--jobs-dir": "jobs"} | {option: f"taken{below}"}
    done = sirene(
        "batch", "--naf", "43", "--input", stock.establishments, *(word for pair in words.items() for word in pair)
    )
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"error: not a folder: `taken{below}`\nhint: give `{option}` a folder; it is made if it is missing\n"
    )
    assert names(sirene.folder) == {"taken"}


def test_r95_a_result_that_cannot_be_kept_is_told_all_the_same(processes, stock):
    (processes.folder / "out" / "batch_report.json").mkdir(parents=True)
    done = batch(processes, stock, "--json", codes=["43"])
    assert (done.code, done.json["status"], done.json["successful_jobs"]) == (1, "OK", 1)
    assert "WARNING: cannot write `out/batch_report.json`: is a directory" in done.err.splitlines()


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), OSError("No space left on device (os error 28)")]
)
def test_a_dataset_that_cannot_be_written_says_where(tmp_path, error):
    """The system and the data engine say it differently."""
    with pytest.raises(ActionError) as told, package.write_errors(tmp_path):
        raise error
    assert told.value.message == f"cannot write to `{tmp_path}`: no space left on device"


def test_what_a_killed_attempt_left_unfinished_is_cleared_away(processes, stock):
    folder = processes.folder / "out" / "naf_43"
    folder.mkdir(parents=True)
    for name in (".dataset.csv.1.part", ".report.html.1.part", ".mine.1.part"):
        (folder / name).write_text("rows")
    batch(processes, stock, codes=["43"])
    assert {name for name in names(folder) if name.startswith(".")} == {".mine.1.part"}


def up_to_date(done):
    return [item["up_to_date"] for item in done.json["results"]]


def test_r76_an_edited_file_of_profiles_takes_effect(processes, stock):
    words = ("--profiles", "own.yaml", "--profile", "mine", "--json")
    (processes.folder / "own.yaml").write_text("mine: {steps: [normalise, duplicates]}\n")
    assert up_to_date(batch(processes, stock, *words, codes=["43"])) == [False]
    assert up_to_date(batch(processes, stock, *words, codes=["43"])) == [True]
    (processes.folder / "own.yaml").write_text("mine: {steps: [normalise, identifiers]}\n")
    assert up_to_date(batch(processes, stock, *words, codes=["43"])) == [False]
    manifest = json.loads((processes.folder / "out" / "naf_43" / "manifest.json").read_text())
    assert manifest["steps"] == ["normalise", "identifiers"]


def test_another_earlier_dataset_is_compared_with_anew(sirene, stock):
    batch(sirene, stock, codes=["43"], out="before")
    words = ("--earlier", "before", "--profile", "deep", "--json")
    assert up_to_date(batch(sirene, stock, *words, codes=["43"])) == [False]
    assert up_to_date(batch(sirene, stock, *words, codes=["43"])) == [True]
    place = sirene.folder / "before" / "naf_43" / "dataset.parquet"
    pl.read_parquet(place).slice(1).write_parquet(place)
    assert up_to_date(batch(sirene, stock, *words, codes=["43"])) == [False]
    now = pl.read_parquet(sirene.folder / "out" / "naf_43" / "dataset.parquet")
    assert now["evolution"].to_list() == ["nouveau"] + ["inchange"] * (now.height - 1)


def test_an_earlier_folder_that_is_not_there_or_not_looked_at_is_told(sirene, stock):
    done = batch(sirene, stock, "--earlier", "nowhere", "--profile", "deep", codes=["43"])
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: no such folder: `nowhere`\nhint: `--earlier` is the output folder of a batch\n"
    assert names(sirene.folder) == set()
    batch(sirene, stock, codes=["43"], out="before")
    done = batch(sirene, stock, "--earlier", "before", codes=["43"])
    words = "WARNING: `--earlier` has no effect: no job's profile has the step `comparison` (`--profile deep` has)"
    assert words in done.err.splitlines()
    done = batch(sirene, stock, "--earlier", "before", "--profile", "deep", "--json", codes=["6820B"])
    assert done.json["results"][0]["warnings"][0] == "no earlier dataset of this name: nothing was compared"


def test_a_dataset_that_lacks_one_of_its_files_is_not_up_to_date(processes, stock):
    gone = {"01": "report.html", "02": "quality.json", "05": "quality.md", "07": "places.geojson", "08": None}
    batch(processes, stock, "--profile", "deep", codes=gone)
    paths = [processes.folder / "out" / f"naf_{code}" / name for code, name in gone.items() if name]
    for path in paths:
        path.unlink()
    again = batch(processes, stock, "--profile", "deep", "--json", codes=gone)
    assert up_to_date(again) == [False, False, False, False, True]
    assert all(path.exists() for path in paths)


def test_d12_codes_are_normalised_repeats_merged_and_bad_ones_all_told(sirene, stock):
    done = batch(sirene, stock, "--json", codes=["43.29a", "4329A"])
    assert [item["naf_code"] for item in done.json["results"]] == ["4329A"]
    assert "WARNING: the code `4329A` is given twice: it is done once" in done.err
    bad = batch(sirene, stock, "--json", codes=["99x", '43"]', "../x"], out="bad")
    assert (bad.code, bad.json["status"], len(bad.json["errors"])) == (2, "ERROR", 3)
    assert "3 errors" in bad.err
    assert not (sirene.folder / "bad").exists()


@pytest.mark.parametrize("code", ["04", "1004"])
def test_d12_d16_a_code_that_no_list_has_is_a_success_without_rows(sirene, stock, code):
    done = batch(sirene, stock, "--json", codes=[code])
    [item] = done.json["results"]
    assert (done.code, item["status"], item["rows"]) == (0, "SUCCESS", 0)
    assert re.fullmatch(rf"no row has the code `{code}`: nearest in the file: .*", item["warnings"][0])
    assert pl.read_csv(sirene.folder / "out" / f"naf_{code}" / "dataset.csv", infer_schema=False).height == 0


def test_d12_d16_a_code_without_rows_is_a_success_with_a_warning_that_names_the_nearest(sirene, stock):
    present = set(pl.read_parquet(stock.establishments)["activitePrincipaleNAF25Etablissement"])
    code = next(code for code in naf.labels(naf.NAF25) if code not in present).replace(".", "")
    done = batch(sirene, stock, "--json", codes=[code])
    [item] = done.json["results"]
    assert (item["status"], item["rows"]) == ("SUCCESS", 0)
    assert len(item["warnings"]) == 1
    assert item["warnings"][0].startswith(f"no row has the code `{code}`: nearest in the file: `")
    assert len((sirene.folder / "out" / f"naf_{code}" / "dataset.csv").read_text().splitlines()) == 1


def test_d10_the_share_of_closed_establishments_is_told(sirene, stock):
    batch(sirene, stock, codes=["43"])
    left_out = json.loads((sirene.folder / "out" / "naf_43" / "manifest.json").read_text())["left_out"]
    rows = pl.read_parquet(stock.establishments)
    of_code = rows.filter(
        pl.col("activitePrincipaleEtablissement").str.starts_with("43.")
        & (pl.col("nomenclatureActivitePrincipaleEtablissement") == "NAFRev2")
    )
    closed = of_code.filter(pl.col("etatAdministratifEtablissement") != "A").height
    assert (left_out["rows_of_these_codes"], left_out["closed"]) == (of_code.height, closed)
    assert left_out["closed_share"] == round(closed / of_code.height, 4)


def test_r130_what_is_up_to_date_is_not_built_again_unless_asked(processes, stock):
    batch(processes, stock)
    built = {path: path.stat().st_mtime_ns for path in (processes.folder / "out").glob("*/dataset.csv")}
    again = batch(processes, stock, "--json", "--workers", "3", "--max-ram-mb", "900", "--continue-on-error")
    assert [item["up_to_date"] for item in again.json["results"]] == [True, True]
    assert {path: path.stat().st_mtime_ns for path in built} == built
    forced = batch(processes, stock, "--json", "--rebuild")
    assert [item["up_to_date"] for item in forced.json["results"]] == [False, False]
    assert all(path.stat().st_mtime_ns > before for path, before in built.items())


def test_r94_csv_zip_and_parquet_give_equal_datasets(sirene, stock, tmp_path):
    from joblot_sirene.synthetic.sample import write_sample

    for name in ("s.csv", "s.zip"):
        write_sample(tmp_path / name, 6000, 3)
        done = sirene("batch", "--naf", "43", "--input", name, "--output-dir", f"out-{name}", "--profile", "standard")
        assert done.code == 0, done.err
    batch(sirene, stock, "--profile", "standard", codes=["43"])
    texts = {
        (sirene.folder / folder / "naf_43" / "dataset.csv").read_bytes() for folder in ("out", "out-s.csv", "out-s.zip")
    }
    assert len(texts) == 1
    rights = [
        json.loads((sirene.folder / folder / "naf_43" / "manifest.json").read_text())["rights"]
        for folder in ("out", "out-s.csv")
    ]
    assert rights[0] == rights[1]


def test_names_and_legal_forms_come_from_the_file_of_legal_units(sirene, stock):
    done = batch(sirene, stock, "--unite-legale", stock.units, "--profile", "standard", codes=["43"])
    assert done.code == 0, done.err
    table = pl.read_parquet(sirene.folder / "out" / "naf_43" / "dataset.parquet")
    units = pl.read_parquet(stock.units)
    joined = table.join(units, on="siren", how="left")
    assert table["forme_juridique"].to_list() == joined["categorieJuridiqueUniteLegale"].cast(pl.String).to_list()
    companies = joined.filter(pl.col("denominationUniteLegale").is_not_null())
    assert companies.height > 0
    spelled = companies["denominationUniteLegale"].str.replace_all("\u2019", "'").to_list()
    assert companies["raison_sociale"].to_list() == spelled


def test_filters_on_legal_forms_need_the_file_of_legal_units(sirene, stock):
    (sirene.folder / "own.yaml").write_text(
        'niche: "{niche_name}"\nprofile: "{profile}"\nfilters: {naf_include: ["{naf_code}"], legal_forms: ["57"]}\n'
    )
    refused = batch(sirene, stock, "--template", "own.yaml", codes=["43"])
    assert (refused.code, refused.err.splitlines()[-2:]) == (
        2,
        [
            "error: the filters of `naf_43` look at the legal form, which only the file of legal units has",
            "hint: give StockUniteLegale with `--unite-legale` (of the action: in the list of its `input`)",
        ],
    )
    done = batch(sirene, stock, "--template", "own.yaml", "--unite-legale", stock.units, codes=["43"])
    assert done.code == 0, done.err
    table = pl.read_parquet(sirene.folder / "out" / "naf_43" / "dataset.parquet")
    assert table.height > 0
    assert set(table["forme_juridique"].str.slice(0, 2)) == {"57"}


def test_a_foreign_file_is_one_clear_error(processes, stock):
    done = processes("batch", "--naf", "43", "--input", stock.units, "--output-dir", "out")
    assert (done.code, done.err) == (
        2,
        "error: the columns are those of StockUniteLegale, not of StockEtablissement\nhint: give the file StockEtablissement\n",
    )


def test_r87_steps_are_explained_without_any_file(sirene):
    done = sirene("batch", "--naf", "43", "--profile", "quick", "--explain")
    assert done.code == 0
    assert done.out.splitlines()[:2] == [
        "naf_43 (quick): filtered, normalised, checked for repeats",
        "  1. normalise: types, zeros, one address line, one name, real dates, department and region",
    ]
    assert names(sirene.folder) == set()


@pytest.mark.parametrize(
    "words",
    [
        ["batch", "--naf", "43", "--output-dir", "out", "--input"],
        ["inspect"],
        ["prepare"],
        ["sample", "--rows", "10"],
    ],
)
def test_without_the_data_engine_it_is_told_what_to_install(sirene, stock, words):
    code = (
        "import sys\nsys.modules['polars'] = None  # as if it were not installed\n"
        f"from joblot.__main__ import main\nsys.exit(main(['sirene', *{[*words, str(stock.establishments)]!r}]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=sirene.folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr.splitlines()[-2:]) == (
        2,
        [
            "error: the data engine is not installed",
            "hint: install the packages of the extra `sirene`: `pip install 'joblot[sirene]'`",
        ],
    )


def test_codes_come_from_a_file_as_well(sirene, stock):
    (sirene.folder / "codes.csv").write_text("# ours\n4329A; fitters\n\n69.20z\t# accountants\n")
    assert codes_of_file(sirene.folder / "codes.csv") == ["4329A", "69.20z"]
    done = batch(sirene, stock, "--naf-file", "codes.csv", "--json", codes=())
    assert [item["naf_code"] for item in done.json["results"]] == ["4329A", "6920Z"]


def test_a_file_of_codes_that_cannot_be_read_is_named_as_it_is(tmp_path):
    """Its path was told in lower case."""
    with pytest.raises(SireneError) as missing:
        codes_of_file(tmp_path / "Codes.csv")
    assert missing.value.message == f"cannot read `{tmp_path}/Codes.csv`: no such file or directory"
    (tmp_path / "Codes.csv").write_bytes(b"\xff")
    with pytest.raises(SireneError) as garbled:
        codes_of_file(tmp_path / "Codes.csv")
    assert (garbled.value.message, garbled.value.hint) == (
        f"`{tmp_path}/Codes.csv` is not UTF-8 text",
        "save the file as UTF-8",
    )


def test_it_is_a_joblot_run(processes, stock):
    """By real commands, as all of this page would be."""
    words = ("--naf", "6820B", "--naf", "43", "--input", stock.establishments, "--output-dir", "out", "--json")
    run = processes.real("sirene", "batch", *words).json["run_id"]
    shown = processes.real("show", run, "--json").json
    assert [(job["job"], job["action"], job["status"]) for job in shown["results"]] == [
        ("naf_6820B", "sirene.dataset", "success"),
        ("naf_43", "sirene.dataset", "success"),
    ]
    assert processes.real("resume", run).code == 0


def test_the_command_never_loads_the_data_engine_and_begins_no_thread(sirene, stock):
    """Its workers are forked from it: the engine's threads would not come along, and its locks would."""
    words = ["--naf", "43", "--input", str(stock.establishments), "--output-dir", "out", "--profile", "deep"]
    code = (
        "import os, sys\nfrom joblot.__main__ import main\n"
        f"code = main(['sirene', 'batch', *{words!r}])\n"
        "print('polars' in sys.modules, len(os.listdir('/proc/self/task')), file=sys.stderr)\nsys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=sirene.folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "False 1"), done.stderr
    assert (sirene.folder / "out" / "naf_43" / "report.html").exists()


def test_r128_nothing_is_asked_of_a_network():
    """No module of the package imports what talks to one."""
    import ast
    from pathlib import Path

    import joblot_sirene

    talkers = {"socket", "ssl", "http", "urllib", "ftplib", "requests", "httpx", "aiohttp"}
    for path in Path(joblot_sirene.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            found = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            found += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.partition(".")[0] for name in found} & talkers, path
