"""The settings file of a cluster is read as batch files are."""

from __future__ import annotations

import pytest

from joblot.cluster.settings import read_settings
from joblot.errors import UsageError


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("cluster.yaml", "workers: 1\nworkers: 2\n", "2:1: error: duplicate key `workers` (first on line 1)"),
        ("cluster.json", '{"workers": 1, "workers": 2}', "1:16: error: duplicate key `workers` (first on line 1)"),
        ("cluster.yaml", "options: {<<: {}}\n", "1:11: error: merge key `<<` is not part of YAML 1.2"),
        ("cluster.yaml", 'wait: "\\a"\n', "1:7: error: a text holds a control character (U+0007)"),
        ("cluster.yaml", "---\n---\n", "2:1: error: a second document begins here: a file holds one"),
        ("cluster.toml", "workers = 1e999\n", "1:11: error: not a number that a batch can hold: it is infinite or no number at all"),
    ],
)  # fmt: skip
def test_what_batch_files_refuse_is_refused_with_its_place(name, text, said, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError) as caught:
        read_settings(tmp_path / name)
    assert caught.value.message == f"{tmp_path / name}:{said}"


def test_values_are_plain(tmp_path):
    (tmp_path / "cluster.yaml").write_text("workers: 3\nwait: 90s\noptions: {a: &a [1.5, yes, true], b: *a}\n")
    settings = read_settings(tmp_path / "cluster.yaml")
    assert (settings.workers, settings.wait_s) == (3, 90.0)
    assert settings.options == {"a": [1.5, "yes", True], "b": [1.5, "yes", True]}
