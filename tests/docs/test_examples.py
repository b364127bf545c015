"""What the pages show can be done: command lines exist, batch files are right, Python runs."""

import re
import shlex

import click
import pytest

from docs.pages import DOCS, PAGES, ROOT, prose, text
from joblot.actions.registry import ACTIONS
from joblot.cli import cli
from joblot.config.load import load_text
from joblot.errors import ConfigError, JoblotError

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_JOBLOT = re.compile(r"^(?:\$ )?joblot (.*)$")
_EXAMPLE = re.compile(r"^(?:\$ )?python (?P<program>builder_cli|create_job)\.py (?P<words>.*)$")
_STANDS_FOR = {"builder_cli": "sirene", "create_job": "sirene generate"}  # the programs of examples/naf-batch


def blocks(page, *kinds):
    return [found[2] for found in _BLOCK.finditer(page.read_text(encoding="utf-8")) if found[1] in kinds]


def command_lines():
    for page in PAGES:
        for block in blocks(page, "bash", "console"):
            for line in block.replace("\\\n", " ").splitlines():
                found, example = _JOBLOT.match(line), _EXAMPLE.match(line)
                if found:
                    yield page, found[1].split(" #")[0].split(" > ")[0].removesuffix(" &").strip()
                if example:
                    yield page, f"{_STANDS_FOR[example['program']]} {example['words']}".split(" #")[0].strip()


LINES = sorted({(str(page.relative_to(ROOT)), line) for page, line in command_lines()})


@pytest.mark.parametrize(("page", "line"), LINES)
def test_every_joblot_command_line_of_the_pages_can_be_parsed(page, line):
    name, *words = shlex.split(line)
    if name.startswith("-"):
        return
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    if isinstance(command, click.Group):
        name, *words = words or ["--help"]
        if name.startswith("-"):
            return
        command = command.get_command(click.Context(command), name)
        assert command is not None
    if command.context_settings.get("allow_interspersed_args") is False:  # what follows is for another program
        # A command keeps the help option that it was first asked for.
        context = click.Context(command, help_option_names=["-h", "--help"], **command.context_settings)
        command.make_parser(context).parse_args(words)
        return
    known = {option for one in command.params for option in [*one.opts, *one.secondary_opts]} | {"--help", "-h"}
    given = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    assert given <= known


def test_there_are_command_lines():
    assert len(LINES) > 20


def make_targets():
    for page in PAGES:
        yield from re.findall(r"`make ([a-z-]+)", prose(page))
        for block in blocks(page, "bash"):
            yield from re.findall(r"^make ([a-z-]+)", block, re.MULTILINE)


def test_every_make_target_of_the_pages_exists():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(make_targets())
    assert {"demo", "test", "check"} <= named
    assert {target for target in named if not re.search(rf"^{target}:", makefile, re.MULTILINE)} == set()


def batch_files():
    for page in [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]:
        if "_build" not in page.parts:
            for number, block in enumerate(blocks(page, "yaml")):
                if "jobs:" in block:
                    yield pytest.param(block, id=f"{page.relative_to(ROOT)}-{number}")


@pytest.mark.parametrize("block", list(batch_files()))
def test_every_batch_file_of_the_pages_is_right(block, tmp_path):
    (tmp_path / "codes.csv").write_text("code,top\n01.10,3\n")
    known = {"load_rows"}
    config, warnings = load_text(
        block,
        folder=tmp_path,
        vars={"day": "2026-11-20"} if "day: {type" in block else {},
        lookup=lambda name: None if name in known else ACTIONS.signature(name),
        names=ACTIONS.names,
        unknown="warning",
    )
    assert config.jobs
    assert {one.code for one in warnings} <= {"unknown_action"}


def python_of(name):
    return blocks(DOCS / "howto" / name, "python")


def test_the_action_of_the_how_to_works_as_its_test_says(tmp_path):
    scope = {}
    made, tested = python_of("python-actions.md")[:2]
    exec(made, scope)
    try:
        exec(tested, scope)
        scope["test_load_rows"](tmp_path)
    finally:
        del ACTIONS["load_rows"]
    assert (tmp_path / "loaded" / "people.txt").read_text() == "a\nb"


def test_the_batch_made_in_python_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.txt").write_text("a\n")
    block = next(block for block in python_of("from-python.md") if "Batch(" in block)
    scope = {}
    exec(block.replace("batch.run()", 'batch.run(on="inline")'), scope)
    assert scope["result"].ok
    assert scope["result"].jobs["lines"].result == {"total_lines": 1}


def test_the_readme_runs_from_python(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (block,) = blocks(ROOT / "README.md", "python")
    exec(block.replace("batch.run()", 'batch.run(on="inline")'), {})
    assert capsys.readouterr().out == "success {'rows': 12}\n"


def test_the_run_logger_of_the_how_to_writes_its_log(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    block = next(block for block in python_of("from-python.md") if "RunLogger" in block)
    exec(block, {})
    assert '"rows_loaded"' in (tmp_path / "run_log.json").read_text()


def test_the_file_that_users_write_is_read_and_refused_as_the_how_to_says():
    scope = {}
    block = next(block for block in python_of("from-python.md") if "Document" in block)
    exec(block, scope)
    assert scope["read_codes"]("codes: [01.10, 43]\n", "shop.yaml") == ["01.10", "43"]
    with pytest.raises(ConfigError) as caught:
        scope["read_codes"]("codes: [01.10, F]\ncodes: [43]\n", "shop.yaml")
    shown = "\n".join(found.render() for found in caught.value.diagnostics)
    assert f"```text\n{shown}\n```\n" in (DOCS / "howto" / "from-python.md").read_text()


def test_the_file_of_the_how_to_is_written_whole(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    block = next(block for block in python_of("from-python.md") if "atomic_write" in block)
    exec(block, {})
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("summary.txt", "12 rows\n")]
    with pytest.raises(JoblotError, match=r"^cannot write `no/summary.txt`: no such file or directory$"):
        exec(block.replace("summary.txt", "no/summary.txt"), {})


def test_the_options_of_run_are_all_listed():
    import msgspec

    from joblot.api import Options

    listed = set(
        re.findall(r"`([a-z_]+)`", text("howto/from-python.md").split("## Options")[1].split("## The report")[0])
    )
    fields = {field.name for field in msgspec.structs.fields(Options)} - {"timeout_s"} | {"timeout"}
    assert fields <= listed


def test_paths_in_the_pages_are_nobodys():
    known = r"home/you\b|bin/sh\b|dev/null\b|tls/"  # the last one is a mount in a pod
    for page in PAGES:
        found = re.findall(rf"(?<![\w.~)>}}*:/-])/(?!{known})\w+/\w\S*", page.read_text(encoding="utf-8"))
        assert found == [], page
