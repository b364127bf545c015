"""Files, texts and dictionaries in; a `Config` or every error out."""

from __future__ import annotations

import datetime as dt
import gc
import json
import os
from hashlib import blake2b
from pathlib import Path

import pytest

from joblot.config.load import decode, encode, load, load_text
from joblot.core.model import RULES, Config, FilePosition, JobSpec, Limit, Retry
from joblot.core.provenance import shown_command
from joblot.errors import ConfigError, JoblotError
from messages.signatures import SIGNATURES

ACTIONS = {"lookup": SIGNATURES.get, "names": lambda: SIGNATURES}


def only_message(path: Path, **options) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path, **ACTIONS, **options)
    (found,) = caught.value.diagnostics
    return found.head()


def test_r23_missing_file_is_one_line(tmp_path):
    """R23."""
    assert only_message(tmp_path / "none.yaml") == f"error: no such file: `{tmp_path}/none.yaml`"


def test_i7_directory_is_one_line(tmp_path):
    """I7."""
    assert only_message(tmp_path) == f"error: a directory, not a batch file: `{tmp_path}`"


def test_path_below_a_file_and_nul_are_one_line(tmp_path):
    (tmp_path / "f").write_text("x")
    assert only_message(tmp_path / "f" / "g.yaml") == f"error: cannot read `{tmp_path}/f/g.yaml`: not a directory"
    assert only_message("a\0b.yaml") == "error: cannot read `a\0b.yaml`: embedded null byte"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file_is_one_line(tmp_path):
    path = tmp_path / "secret.yaml"
    path.write_text("jobs: []")
    path.chmod(0)
    assert only_message(path) == f"error: cannot read `{path}`: permission denied"


@pytest.mark.parametrize("content", [b"jobs: \xe9\n", "jobs: []".encode("utf-16")])
def test_i7_other_encodings_are_one_line(tmp_path, content):
    """I7."""
    path = tmp_path / "batch.yaml"
    path.write_bytes(content)
    assert only_message(path).startswith(f"error: not UTF-8 text: `{path}` (byte ")


@pytest.mark.parametrize(("name", "limit"), [("b.yaml", 16), ("b.toml", 16), ("b.json", 256)])
def test_i7_huge_file_is_refused_before_it_is_parsed(tmp_path, name, limit):
    """I7."""
    path = tmp_path / name
    with path.open("wb") as stream:
        stream.truncate((limit << 20) + 1)
    assert only_message(path) == f"error: larger than {limit} MiB: `{path}`"


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_i7_byte_order_mark_and_windows_line_ends(tmp_path, mark, ending):
    """I7."""
    path = tmp_path / "batch.yaml"
    path.write_bytes((mark + "jobs:\n  - name: a\n    run: make\n".replace("\n", ending)).encode())
    config, _ = load(path, **ACTIONS)
    assert config.jobs == [JobSpec(name="a", run="make", place=FilePosition(str(path), 2, 5))]


def test_source_folder_digest_and_name(tmp_path, monkeypatch):
    content = b'{"jobs": []}'
    (tmp_path / "nightly.load.json").write_bytes(content)
    monkeypatch.chdir(tmp_path)
    config, warnings = load("nightly.load.json", **ACTIONS)
    digest = blake2b(content, digest_size=32).hexdigest()
    source = str(tmp_path / "nightly.load.json")
    assert config == Config(name="nightly.load", rules=RULES, folder=str(tmp_path), source=source, digest=digest)
    assert warnings == []


@pytest.mark.parametrize("text", ['{"jobs": []}', "jobs: []", "jobs: []\nname: x"])
def test_r16_zero_jobs_are_a_batch(read, text):
    """R16."""
    assert read(text).jobs == []


def test_r6_the_json_of_the_seed_is_a_batch(read):
    """R6: `params` may be left out."""
    config = read(
        '{"jobs": [{"name": "a", "action": "count_lines", "input": "app.log", "params": {"pattern": "ERROR"}},'
        ' {"name": "b", "action": "count_lines", "input": "app.log"}]}',
        "json",
    )
    assert [(job.name, job.action, job.input, job.params) for job in config.jobs] == [
        ("a", "count_lines", "app.log", {"pattern": "ERROR"}),
        ("b", "count_lines", "app.log", {}),
    ]


YAML = """\
name: nightly
description: one
env: {A: 1.10, B: true}
vars: {day: 2026-11-20}
limits: {db: 2}
defaults: {timeout: 10m, retry: {max_attempts: 2, delay: 1s}}
jobs:
  - name: fetch
    run: curl example.org/${{ vars.day }}
    outputs: [in.csv]
    retry: {max_attempts: 5, only: [exit, timeout]}
  - name: find
    action: search_pattern
    input: in.csv
    params: {pattern: ERROR, ignore_case: true}
    needs: [fetch]
    resources: {cpu: 1, memory: 512MiB, db: 1}
"""
TOML = """\
name = "nightly"
description = "one"
vars = {day = 2026-11-20}
limits = {db = 2}
[env]
A = "1.10"
B = true
[defaults]
timeout = "10m"
retry = {max_attempts = 2, delay = "1s"}
[[jobs]]
name = "fetch"
run = "curl example.org/${{ vars.day }}"
outputs = ["in.csv"]
retry = {max_attempts = 5, only = ["exit", "timeout"]}
[[jobs]]
name = "find"
action = "search_pattern"
input = "in.csv"
params = {pattern = "ERROR", ignore_case = true}
needs = ["fetch"]
resources = {cpu = 1, memory = "512MiB", db = 1}
"""
DATA = {
    "name": "nightly",
    "description": "one",
    "env": {"A": "1.10", "B": True},
    "vars": {"day": dt.date(2026, 11, 20)},
    "limits": {"db": 2},
    "defaults": {"timeout": "10m", "retry": {"max_attempts": 2, "delay": "1s"}},
    "jobs": [
        {
            "name": "fetch",
            "run": "curl example.org/${{ vars.day }}",
            "outputs": (Path("in.csv"),),
            "retry": {"max_attempts": 5, "only": ["exit", "timeout"]},
        },
        {
            "name": "find",
            "action": "search_pattern",
            "input": Path("in.csv"),
            "params": {"pattern": "ERROR", "ignore_case": True},
            "needs": ["fetch"],
            "resources": {"cpu": 1, "memory": "512MiB", "db": 1},
        },
    ],
}


def without_places(config: Config) -> bytes:
    bare = json.loads(encode(config))
    bare.pop("digest", None)
    for job in bare["jobs"]:
        job.pop("place", None)
    return json.dumps(bare, sort_keys=True)


def test_r29_the_same_batch_in_yaml_toml_and_json(read):
    """R29."""
    yaml = read(YAML)
    assert [job.place for job in yaml.jobs] == [FilePosition("batch.yaml", 8, 5), FilePosition("batch.yaml", 12, 5)]
    assert yaml.jobs[0].retry == Retry(max_attempts=5, delay_s=1.0, only=("exit", "timeout"))
    assert shown_command(yaml.jobs[0]) == "curl example.org/2026-11-20"
    assert yaml.jobs[1].resources == {"cpu": 1.0, "memory": float(512 << 20), "db": 1.0}
    assert yaml.jobs[1].timeout_s == 600.0
    assert yaml.env == {"A": "1.10", "B": "true"}
    toml = read(TOML, "toml")
    assert [job.place for job in toml.jobs] == [FilePosition("batch.toml", 11, 1), FilePosition("batch.toml", 16, 1)]
    as_json = read(json.dumps(DATA, default=str), "json")
    assert without_places(yaml) == without_places(toml) == without_places(as_json)


def test_config_survives_being_stored(read):
    """What `decode` gives is what `encode` got, every field of it."""
    config = read(YAML)
    assert decode(encode(config)) == config
    odd = Config(
        name="é", folder="/x", vars={"a": [1, 2.5, None, True, {"b": "${{"}]}, imports=("m",), timeout_s=0.1, max_failures=3,
        secrets=("T",), jobs=[JobSpec(name="a", run=["ls", "-l"], input=["x"], when="always", once=True, deferred=True, priority=-3)],
    )  # fmt: skip
    assert decode(encode(odd)) == odd
    limited = Config(name="l", folder="/x", limits={"db": 2, "gpu": Limit(2, (0, "b"))})
    assert encode(limited) == b'{"name":"l","folder":"/x","limits":{"db":2,"gpu":{"count":2,"slots":[0,"b"]}}}'
    assert decode(encode(limited)) == limited


def test_d7_unknown_action_is_an_error_or_a_warning():
    """D7, R15: skipping such a job is something to ask for."""
    text = "jobs:\n  - {name: a, action: count_line, input: x, params: {any: thing}}\n"
    config, (warning,) = load_text(text, folder="/x", unknown="skipped", **ACTIONS)
    assert config.jobs[0].action == "count_line"
    assert warning.head() == "batch.yaml:2:23: warning: unknown action `count_line`: the job will be skipped"
    assert warning.hint == "did you mean `count_lines`?"
    with pytest.raises(ConfigError) as caught:
        load_text(text, folder="/x", **ACTIONS)
    assert caught.value.diagnostics[0].head() == "batch.yaml:2:23: error: unknown action `count_line`"


def test_warnings_are_not_mixed_with_errors():
    with pytest.raises(ConfigError) as caught:
        load_text("jobs:\n  - {name: a, action: nope}\n  - {name: b}\n", folder="/x", unknown="skipped", **ACTIONS)
    assert [item.severity for item in caught.value.diagnostics] == ["error"]


def test_imports_are_imported_before_parameters_are_checked(tmp_path):
    known = dict(SIGNATURES)
    imported = []

    def importer(entries, _folder):
        imported.extend(entries)
        known["late"] = SIGNATURES["build"]

    text = "imports: [./my.py, sub/x.py, some.module]\njobs: [{name: a, action: late, params: {codes: [x]}}]\n"
    config, warnings = load_text(text, folder=tmp_path, lookup=known.get, names=lambda: known, importer=importer)
    assert imported == list(config.imports) == [f"{tmp_path}/my.py", f"{tmp_path}/sub/x.py", "some.module"]
    assert warnings == []


def test_import_that_fails_is_an_error_at_its_place(errors):
    def importer(entries, _folder):
        if entries[0].endswith("bad.py"):
            raise JoblotError(f"cannot import `{entries[0]}`", hint="mend it")

    (found,) = errors("imports:\n  - good.py\n  - bad.py\njobs: []\n", importer=importer)
    assert found.head() == "batch.yaml:3:5: error: cannot import `/batches/bad.py`"
    assert found.hint == "mend it"


def test_i6_text_that_is_not_unicode_is_an_error():
    """I6."""
    with pytest.raises(ConfigError, match=r"not UTF-8 text: `batch\.yaml`"):
        load_text("jobs: [\ud800]", folder="/x", **ACTIONS)


def test_garbage_collection_is_left_as_it_was():
    load_text("jobs: []", folder="/x", **ACTIONS)
    assert gc.isenabled()
    with pytest.raises(ConfigError):
        load_text("jobs: [", folder="/x", **ACTIONS)
    assert gc.isenabled()


def test_errors_come_in_the_order_of_the_file(errors):
    found = errors("jobs:\n  - {name: a, rnu: x}\n  - {nmae: b, run: make, timeout: x}\ntimeout: x\nnaem: y\n")
    assert [(item.line, item.column) for item in found] == sorted((item.line, item.column) for item in found)
    assert len(found) == 5
