"""What other programs have in place of paths, and joblot does not: refused before anything runs, with what to write."""

import pytest

from joblot.config.load import load_text
from joblot.errors import ConfigError


def read(text):
    return load_text(text, folder="/x", lookup=lambda name: None, names=list)


ADDRESS = "have a job fetch or send it, and name the file on this machine"
REFUSED = [
    ("outputs", "*.csv", "must be a path, and `*.csv` is a pattern", "name each file, or the folder that they lie in"),
    ("outputs", "out/**/a.csv", "must be a path, and `out/**/a.csv` is a pattern", "name each file, or the folder that they lie in"),
    ("outputs", "part-?.csv", "must be a path, and `part-?.csv` is a pattern", "name each file, or the folder that they lie in"),
    ("outputs", "temp(a.csv)", "must be a path: `temp(...)` is a form of another program", "write `a.csv`"),
    ("outputs", "protected(out/a)", "must be a path: `protected(...)` is a form of another program", "write `out/a`"),
    ("outputs", "s3://bucket/a.csv", "must be a path, and `s3://` is an address", ADDRESS),
    ("outputs", "https://x.org/a", "must be a path, and `https://` is an address", ADDRESS),
    ("input", "gs://bucket/a.csv", "must be a path, and `gs://` is an address", ADDRESS),
    ("input", "file:///a.csv", "must be a path, and `file://` is an address", ADDRESS),
    ("input", "ancient(a.csv)", "must be a path: `ancient(...)` is a form of another program", "write `a.csv`"),
]  # fmt: skip


@pytest.mark.parametrize(("field", "path", "message", "hint"), REFUSED)
@pytest.mark.parametrize(
    "after", ["", "  - {name: plain, run: 'true', input: a, outputs: [b]}\n"], ids=["alone", "after another"]
)
def test_paths_that_cannot_be_are_refused(field, path, message, hint, after):
    """`*.csv` was right for `validate` and failed after the work was done."""
    value = f"['{path}']"
    with pytest.raises(ConfigError) as caught:
        read(f"jobs:\n{after}  - {{name: j, run: 'true', {field}: {value}}}\n")
    (found,) = caught.value.diagnostics
    assert (found.message, found.hint) == (f"`{field}[0]` {message}", hint)


@pytest.mark.parametrize("path", ["data/*.csv", "part-?.csv", "**/a"])
def test_a_pattern_as_input_is_one(path):
    config, warnings = read(f"jobs: [{{name: j, run: 'true', input: '{path}'}}]\n")
    assert (config.jobs[0].input, config.jobs[0].patterns, warnings) == (path, (0,), [])


@pytest.mark.parametrize(
    "path", ["a(1).csv", "plot(1)", "a[1].csv", "a:b", "temp", "temp(a).csv", "http:/a", "C:/x", "-a"]
)
def test_what_only_looks_odd_is_a_path(path):
    config, warnings = read(f"jobs: [{{name: j, run: 'true', input: '{path}', outputs: ['{path}.out']}}]\n")
    assert (config.jobs[0].input, config.jobs[0].outputs, warnings) == (path, (f"{path}.out",), [])


def test_what_a_variable_puts_into_a_pattern_stands_for_itself():
    config, _ = read("vars: {x: 'a*'}\njobs: [{name: j, run: 'true', input: 'out/${{ vars.x }}-?.csv'}]\n")
    assert (config.jobs[0].input, config.jobs[0].patterns) == ("out/a[*]-?.csv", (0,))
