"""Datasets whose time is over go; nothing that is not theirs does, whatever a manifest says."""

import datetime as dt
import json

import pytest

from joblot_sirene.errors import SireneError
from joblot_sirene.package.purging import purge

TODAY = dt.date(2026, 11, 27)


def dataset(folder, *files, expires="2026-11-27", names=None):
    """A package with a log, whose manifest names `files` (or `names`)."""
    (folder / "logs").mkdir(parents=True)
    (folder / "logs" / "run.jsonl").touch()
    for file in files:
        (folder / file).write_text("rows")
    manifest = {
        "dataset": folder.name,
        "dataset_id": "x",
        "expires": expires,
        "files": [{"path": name} for name in names or files],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture
def mine(tmp_path):
    """A folder beside the datasets, with files that no dataset made."""
    (tmp_path / "mine").mkdir()
    for name in ("notes.txt", "own.jsonl"):
        (tmp_path / "mine" / name).write_text("mine")
    return tmp_path / "mine"


def contents(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_is_over_goes_and_what_is_not_stays(tmp_path):
    over = dataset(tmp_path / "out" / "over", "dataset.csv", "SHA256SUMS")
    later = dataset(tmp_path / "out" / "later", "dataset.csv", expires="2026-11-28")
    always = dataset(tmp_path / "out" / "always", "dataset.csv", expires=None)
    assert [one.folder for one in purge(tmp_path / "out", TODAY, remove=False)] == [over]
    assert over.exists()
    assert [one.dataset for one in purge(tmp_path / "out", TODAY)] == ["over"]
    assert not over.exists()
    assert contents(later) == contents(always) == ["dataset.csv", "logs", "manifest.json"]


def test_what_a_killed_attempt_left_unfinished_goes_too(tmp_path):
    folder = dataset(tmp_path / "over", "dataset.csv", "dataset.parquet")
    for name in (".dataset.csv.1.part", ".dataset.parquet.12.part", ".manifest.json.1.part", "logs/.run.jsonl.1.part"):
        (folder / name).write_text("rows")
    purge(tmp_path, TODAY)
    assert not folder.exists()


def test_what_the_manifest_does_not_name_stays(tmp_path):
    folder = dataset(tmp_path / "over", "dataset.csv")
    (folder / "notes.txt").touch()
    purge(tmp_path, TODAY)
    assert contents(folder) == ["notes.txt"]


@pytest.mark.parametrize("name", ["../mine/notes.txt", "{mine}/notes.txt", "link/notes.txt", "logs/../link/notes.txt"])
def test_a_manifest_reaches_nothing_outside_its_folder(tmp_path, mine, name):
    folder = dataset(tmp_path / "over", names=[name.format(mine=mine)])
    (folder / "link").symlink_to(mine)
    purge(tmp_path, TODAY)
    assert contents(mine) == ["notes.txt", "own.jsonl"]


def test_logs_that_are_a_link_to_elsewhere_are_not_followed(tmp_path, mine):
    folder = dataset(tmp_path / "over")
    (folder / "logs" / "run.jsonl").unlink()
    (folder / "logs").rmdir()
    (folder / "logs").symlink_to(mine)
    purge(tmp_path, TODAY)
    assert contents(mine) == ["notes.txt", "own.jsonl"]
    assert contents(folder) == ["logs"]


@pytest.mark.parametrize("name", [".", "..", "logs", "a\0b", ""])
def test_names_of_no_file_keep_nothing_from_being_removed(tmp_path, name):
    folder = dataset(tmp_path / "over", "dataset.csv", names=["dataset.csv", name])
    purge(tmp_path, TODAY)
    assert not folder.exists()


def test_what_is_no_manifest_of_ours_is_passed_over(tmp_path):
    texts = ["[" * 100_000, "[]", "{}", "no JSON", '{"dataset_id": "x", "expires": "2000-01-01", "files": 5}']
    for number, text in enumerate(texts):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "manifest.json").write_text(text)
    (tmp_path / "folder" / "manifest.json").mkdir(parents=True)
    assert purge(tmp_path, TODAY) == []
    assert len(contents(tmp_path)) == len(texts) + 1


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(SireneError) as error:
        purge(tmp_path / "nowhere", TODAY)
    assert error.value.message == f"no such folder: `{tmp_path}/nowhere`"
