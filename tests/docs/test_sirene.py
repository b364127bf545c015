"""The pages of `joblot sirene` and its code together: keys of job files, of manifests and reports, columns, profiles.

The data engine is never loaded here: it begins threads, and other tests of this folder fork. Datasets are built by commands.
"""

import json
import re
import shutil
import subprocess
import sys

import pytest

from command_server import SIRENE, server
from docs.pages import ROOT, first_cells, section, text
from joblot import ConfigError
from joblot_sirene.jobs import jobfile, profiles
from joblot_sirene.package.package import OPTIONAL, REQUIRED
from joblot_sirene.register import naf
from joblot_sirene.steps.model import COLUMNS
from joblot_sirene.steps.parameters import KPIS

JOB = {"niche": "naf_43", "filters": {"naf_include": "[43]"}}
NOBODY = "zzzzzzz"


def joblot(folder, *words):
    return server(SIRENE).run(["-m", "joblot", *words], folder)


def flow(tree):
    """A mapping of texts as YAML in one line."""
    if not isinstance(tree, dict):
        return tree
    return "{" + ", ".join(f"{key}: {flow(value)}" for key, value in tree.items()) + "}"


def with_key(path, value, **more):
    """A small job file with a key more, as text."""
    tree = {**JOB, **more, "filters": dict(JOB["filters"])}
    *above, last = path.split(".")
    place = tree
    for name in above:
        place[name] = place[name] if isinstance(place.get(name), dict) else {}
        place = place[name]
    place[last] = value
    return flow(tree)


# --- job files --------------------------------------------------------------------------------------


def rows_of(page, least):
    """The tables of a page whose first column are keys: key to the other cells."""
    found = {}
    for line in page.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\) \| ", line.strip("| "))]
        if line.startswith("| `") and len(cells) >= least:
            found[cells[0].strip("`")] = cells[1:]
    return found


PAGE = text("sirene/job-file.md")
KEYS = rows_of(PAGE.split("## Headcount bands")[0], 4)


def accepted(prefix=""):
    """The keys that a job file may have, as its reader lists them when it refuses one."""
    with pytest.raises(ConfigError) as refused:
        jobfile.parse(with_key(f"{prefix}{NOBODY}", "1"))
    for problem in refused.value.diagnostics:
        named = re.fullmatch(rf"unknown key `{re.escape(prefix)}{NOBODY}`", problem.message)
        known = re.fullmatch(r"known keys: (.*)", problem.hint) if named else None
        if f"no parameter `{NOBODY}`" in problem.message:
            known = re.fullmatch(r"parameters: (.*)", problem.hint)
        if known:
            for key in known[1].split(", "):
                below = list(accepted(f"{prefix}{key}."))
                if not below or key == "headcount":
                    yield f"{prefix}{key}"
                yield from below


def test_every_key_of_a_job_file_is_documented_and_nothing_else():
    refused = {"privacy.retention_days"}  # asked for to say where it stands
    assert set(KEYS) == set(accepted()) - refused


@pytest.mark.parametrize("key", KEYS)
def test_examples_of_keys_are_taken(key):
    example = KEYS[key][1]
    assert jobfile.parse(with_key(key, example.strip("`")))
    assert "`" in example


@pytest.mark.parametrize("key", [key for key, cells in KEYS.items() if cells[0].startswith("`")])
def test_defaults_of_keys_change_nothing(key):
    more = {} if key == "profile" else {"profile": "standard"}
    default = KEYS[key][0].strip("`")
    value = f'"{default}"' if default == "," else default
    assert jobfile.parse(with_key(key, value, **more)) == jobfile.parse(flow({**JOB, **more}))


def test_the_template_shows_every_key():
    template = jobfile.template()
    for key in KEYS:
        if key not in ("filters.nomenclature", "filters.headcount.max", "filters.created.to"):
            assert re.search(rf"\b{key.split('.')[-1]}\b", template), key


def test_the_error_that_the_page_shows_is_what_is_said(tmp_path):
    shown = re.search(r"```text\n(.*?)```", PAGE, re.DOTALL)[1]
    (tmp_path / "jobs_generated").mkdir()
    template = jobfile.template().replace("active_only", "activ_only").replace("{niche_name}", "naf_43")
    template = template.replace("{naf_code}", "43").replace("{profile}", "quick")
    (tmp_path / "jobs_generated" / "naf_43.yaml").write_text(f"# by joblot\n{template}")
    done = joblot(tmp_path, "sirene", "batch", "--explain", "jobs_generated/naf_43.yaml")
    assert (done.returncode, shown in done.stderr) == (2, True), done.stderr


# --- profiles and codes -----------------------------------------------------------------------------


def test_the_own_profile_of_the_page_can_be_loaded():
    own = re.search(r"```yaml\n(mine:.*?)```", text("sirene/profiles.md"), re.DOTALL)[1]
    assert [call.name for call in profiles.load("mine", text=own).steps][-1] == "score"


def test_every_step_and_every_target_is_documented():
    page = text("sirene/profiles.md")
    assert set(KPIS) <= first_cells(section(page, "## Targets"))
    adding = first_cells(section(page, "## Steps"))
    assert set(profiles.STEPS) <= adding


def test_the_job_for_statistics_of_the_page_of_privacy_is_taken():
    job = re.search(r"```yaml\n(.*?)```", text("sirene/privacy.md"), re.DOTALL)[1]
    assert jobfile.parse(f"niche: x\nfilters: {{naf_include: [43]}}\n{job}").policy.partial_diffusion == "mask"
    with pytest.raises(ConfigError, match="prospecting"):
        jobfile.parse(f"niche: x\nfilters: {{naf_include: [43]}}\n{job.replace('contactability: 0', 'unicity: 1')}")


def test_the_levels_of_the_page_are_those_of_the_lists():
    page = text("sirene/codes.md")
    for words, count in re.findall(r"^\| [\w-]+ \| (`.*`) \| (\d+) \|$", section(page, "## Levels"), re.MULTILINE):
        for code in re.findall(r"`([^`]+)`", words):
            assert len(naf.parse_code(code).codes) == int(count)
    lists = section(page, "## Two lists")
    assert f"| sub-classes | {len(naf.labels(naf.REV2))} | {len(naf.labels(naf.NAF25))} |" in lists
    assert f"`{' '.join(naf.LETTERS[naf.REV2])}` | `{' '.join(naf.LETTERS[naf.NAF25])}`" in lists
    divisions = [len({code[:2] for code in naf.labels(name)}) for name in (naf.REV2, naf.NAF25)]
    assert "| divisions | {} | {} |".format(*divisions) in lists


def test_what_the_page_of_codes_says_is_refused_is():
    part = section(text("sirene/codes.md"), "## What is refused, and what is not")
    for line in part.splitlines():
        if "exit code 2" in line and "--nomenclature" not in line:
            for code in re.findall(r"`([^`]+)`", line.split(" | ")[0]):
                with pytest.raises(naf.NafError):
                    naf.parse_code(code)
    assert not naf.parse_code("9999Z").known


def test_making_the_pages_does_not_load_the_data_engine():
    code = "import sys, make_reference; make_reference.outdated(); print('polars' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "docs", capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "False\n"


# --- datasets ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Datasets of the example: `quick`, and `deep` with all that it can have. Commands, so that the data engine stays out of here."""
    folder = tmp_path_factory.mktemp("naf") / "example"
    ignored = shutil.ignore_patterns(".joblot", "out", "jobs", "jobs_generated")
    shutil.copytree(ROOT / "examples" / "naf-batch", folder, ignore=ignored)

    def batch(*words):
        done = joblot(
            folder, "sirene", "batch", "--naf", "43", "--json", "--input", "data/sirene_latest.parquet", *words
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    batch("--output-dir", "quick")
    units = ["--unite-legale", "data/unite_legale.parquet", "--earlier", "quick", "--profile", "deep"]
    (folder / "result.json").write_text(json.dumps(batch("--output-dir", "deep", "--jobs-dir", "deep_jobs", *units)))
    return folder


def test_commands_print_what_the_pages_show(tmp_path):
    """In the order of the pages, on the file that the guide makes."""
    (sample,) = re.findall(r"^joblot (sirene sample .*)$", text("sirene/index.md"), re.MULTILINE)
    assert joblot(tmp_path, *sample.split()).returncode == 0
    shown = []
    for page in sorted((ROOT / "docs" / "sirene").glob("*.md"), key=lambda path: path.name != "index.md"):
        for block in re.findall(r"```console\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            command, _, output = block.removeprefix("$ joblot ").partition("\n")
            done = joblot(tmp_path, *command.split())
            assert (done.returncode, done.stdout) == (0, output), done.stderr
            shown.append(command)
    assert len(shown) > 3


def columns_of(folder):
    return [column["name"] for column in json.loads((folder / "data_dictionary.json").read_text())]


def keys_of(value, free=()):
    if isinstance(value, list):
        return {key for item in value for key in keys_of(item, free)}
    if not isinstance(value, dict):
        return set()
    return set(value) | {key for name, item in value.items() if name not in free for key in keys_of(item, free)}


def words_of(part):
    return set(re.findall(r"`([A-Za-z_0-9]+)`", part))


def test_every_file_of_a_dataset_is_documented(built):
    page = first_cells(section(text("sirene/datasets.md"), "## The folder"))
    assert {*REQUIRED, *OPTIONAL} <= page
    there = {path.name for path in (built / "deep" / "naf_43").iterdir()} - {"logs"}
    assert page - {"logs/RUN.jsonl"} == there
    tree = text("sirene/datasets.md").split("```text\n")[1].split("```")[0]
    quick = {path.name for path in (built / "quick" / "naf_43").iterdir()}
    assert {line.strip().rstrip("/") for line in tree.splitlines()[3:-1]} == quick


@pytest.mark.parametrize(
    ("file", "title", "free"),
    [
        ("deep/naf_43/manifest.json", "## The manifest", ("unreadable_values",)),
        ("deep/naf_43/quality.json", "## The quality report", ("facts", "score", "left_out", "rights")),
        ("result.json", "## The result of a batch", ()),
    ],
)
def test_every_key_of_json_is_documented(built, file, title, free):
    value = json.loads((built / file).read_text())
    part = section(text("sirene/datasets.md"), title)
    assert keys_of(value, free) <= words_of(part)
    listed = first_cells(part.split("### ")[0])
    assert set(value) <= listed


def test_every_key_of_the_step_log_is_documented(built):
    [log] = (built / "deep" / "naf_43" / "logs").iterdir()
    part = section(text("sirene/datasets.md"), "## The step log")
    for line in log.read_text().splitlines():
        assert set(json.loads(line)) <= words_of(part)


def test_every_issue_is_documented_and_nothing_else():
    code = "from joblot_sirene.steps import checks; print(*checks._ISSUES, 'creation_in_future')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert first_cells(section(text("sirene/datasets.md"), "### Issues")) == set(done.stdout.split())


def test_a_dataset_with_everything_has_the_documented_columns_in_their_order(built):
    assert columns_of(built / "deep" / "naf_43") == list(COLUMNS)


def test_steps_add_the_columns_that_the_page_says(built):
    part = section(text("sirene/profiles.md"), "## Steps").split("What the steps add")[1].split("`units` fills")[0]
    adds = {
        cells.split(" | ")[0].strip("`"): words_of(cells.split(" | ")[1])
        for cells in (line.strip("| ") for line in part.splitlines() if line.startswith("| `"))
    }
    names = list(COLUMNS)
    first, last = names.index("siret"), names.index("societe_mission")
    adds["normalise"] = {*names[first : last + 1], "numero_repare"}
    adds["identifiers"].discard("vat")
    assert set().union(*adds.values()) == set(COLUMNS)
    quick = adds["normalise"] | (adds["identifiers"] - {"tva"}) | adds["duplicates"]
    assert set(columns_of(built / "quick" / "naf_43")) == quick
