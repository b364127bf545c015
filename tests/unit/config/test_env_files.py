"""Files of environment variables: what they say, and what is refused because programs take it for different things."""

import os
import subprocess
from io import StringIO

import pytest
from dotenv import dotenv_values
from hypothesis import given
from hypothesis import strategies as st

from joblot import Batch, ConfigError
from joblot.config.env_files import EnvFiles, parse
from joblot.config.load import decode
from joblot.core.model import JobSpec
from joblot.core.plan import expand

SAID = {
    "": {},
    "\n  # a comment\n\t\n": {},
    "A=1": {"A": "1"},
    "A=1\r\nB=2\r\n": {"A": "1", "B": "2"},
    "\ufeffA=1": {"A": "1"},
    "export A=1\nexport\tB=2": {"A": "1", "B": "2"},
    "export=1": {"export": "1"},
    "  A=1  ": {"A": "1"},
    "A=": {"A": ""},
    "A=   ": {"A": ""},
    "A=one two": {"A": "one two"},
    "A=one # a comment with $ and '": {"A": "one"},
    "A=one#two": {"A": "one#two"},
    "A=#two": {"A": "#two"},
    "A=a=b=c": {"A": "a=b=c"},
    "A=postgres://u:p@h:5432/db?x=1&y=2": {"A": "postgres://u:p@h:5432/db?x=1&y=2"},
    "A=''": {"A": ""},
    "A='one # two' # three": {"A": "one # two"},
    "A='$x `y` \"z\" C:\\d'": {"A": '$x `y` "z" C:\\d'},
    "A='one\ntwo'\nB=3": {"A": "one\ntwo", "B": "3"},
    'A="one\r\ntwo"': {"A": "one\ntwo"},
    r'A="one\ntwo\ttab \"q\" \\ \$ \`"': {"A": 'one\ntwo\ttab "q" \\ $ `'},
    'A="it\'s"': {"A": "it's"},
    "É=1".replace("É", "E"): {"E": "1"},
    "A=é ☃": {"A": "é ☃"},
}


@pytest.mark.parametrize("text", SAID)
def test_what_a_file_says(text):
    assert parse(text, ".env") == (SAID[text], [])


_SINGLE = "write the value in single quotes: there it is taken as it stands"
WRONG = {
    "A": (1, 1, "there is no `=` in this line", "write `NAME=value`, and `#` in front of a comment"),
    "\nA=1\n secret words\n": (3, 2, "there is no `=` in this line", "write `NAME=value`, and `#` in front of a comment"),
    "my-name=1": (1, 1, "what stands before the `=` is no name of an environment variable", "environment variables are named with letters, digits and `_`"),
    "1A=1": (1, 1, "what stands before the `=` is no name of an environment variable", "environment variables are named with letters, digits and `_`"),
    "=1": (1, 1, "what stands before the `=` is no name of an environment variable", "environment variables are named with letters, digits and `_`"),
    "É=1": (1, 1, "what stands before the `=` is no name of an environment variable", "environment variables are named with letters, digits and `_`"),
    "export JOBLOT_X=1": (1, 8, "`JOBLOT_X` cannot be set", "names that begin with `JOBLOT_` are set by joblot itself"),
    "A =1": (1, 2, "there are blanks beside the `=` of `A`", "write `NAME=value`, and a value that begins with a blank in quotes"),
    "A= 1": (1, 3, "there are blanks beside the `=` of `A`", "write `NAME=value`, and a value that begins with a blank in quotes"),
    "A= # none": (1, 3, "there are blanks beside the `=` of `A`", "write `NAME=value`, and a value that begins with a blank in quotes"),
    "A=x$HOME": (1, 4, "`$` in the value of `A`, where other programs put something else in its place", _SINGLE),
    'A="${B}"': (1, 4, "`$` in the value of `A`, where other programs put something else in its place", _SINGLE),
    "A=`id`": (1, 3, "a backquote in the value of `A`, where other programs put something else in its place", _SINGLE),
    "A=C:\\d": (1, 5, "`\\` in the value of `A`: some programs take it as it is, others with the next character", _SINGLE),
    "A=it's": (1, 5, "a quote inside the value of `A`, which does not begin with it", "write the whole value in double quotes"),
    'A=a "b"': (1, 5, "a quote inside the value of `A`, which does not begin with it", "write the whole value in single quotes"),
    "A='a' b": (1, 6, "something follows the closing quote of `A`", "a value stands in one pair of quotes, or in none"),
    "A='a'b": (1, 6, "something follows the closing quote of `A`", "a value stands in one pair of quotes, or in none"),
    "A='a'#b": (1, 6, "something follows the closing quote of `A`", "a value stands in one pair of quotes, or in none"),
    "A='one\ntwo\nB=3": (1, 3, "the quote of `A` is not closed", "close it, or write none"),
    'A="one\\"': (1, 3, "the quote of `A` is not closed", "close it, or write none"),
    "A='it\\'s'": (1, 6, "`\\'` in the single quotes of `A`, which some programs end at the quote", "write the value in double quotes, or `'` nowhere in it"),
    'A="\\d"': (1, 4, "`\\` before a character of `A` that it says nothing of", 'in double quotes there are `\\n`, `\\r`, `\\t`, `\\\\`, `\\"`, `\\$` and `` \\` ``'),
    "A=1\nB=2\nexport A=3": (3, 1, "`A` is set twice (first on line 1)", "keep one of them"),
    "A=a\0b": (1, 4, "the character U+0000 cannot stand here", "a value is text"),
    "A='a\x1bb'": (1, 5, "the character U+001B cannot stand here", "a value is text"),
    "A=a\rb": (1, 4, "the character U+000D cannot stand here", "a value is text"),
    "\x07": (1, 1, "the character U+0007 cannot stand here", "a value is text"),
}  # fmt: skip


@pytest.mark.parametrize("text", WRONG)
def test_what_is_refused_and_where(text):
    (found,) = parse(text, ".env")[1]
    assert (found.line, found.column, found.message, found.hint) == WRONG[text]
    assert found.file == ".env"
    assert found.source == "", "the line may hold a secret"


def test_everything_that_is_wrong_is_told_at_once_and_the_rest_is_read():
    values, found = parse("A =1\nB=2\nC=$x\n'\nD=4\n", ".env")
    assert values == {"B": "2", "D": "4"}
    assert [(one.line, one.column) for one in found] == [(1, 2), (3, 3), (4, 1)]
    found = parse("A=1\nA=2\nB=$x\nA='\n'\nC D\n", ".env")[1]
    assert [(one.line, one.column) for one in found] == [(2, 1), (3, 3), (4, 1), (6, 1)]


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="'")))
def test_what_stands_in_single_quotes_is_taken_as_it_stands(value):
    if value.endswith("\\"):
        value += "."  # some programs take `\'` for a quote
    assert parse(f"A='{value}'", ".env") == ({"A": value}, [])


IN_DOUBLE = st.lists(st.sampled_from(["x", " ", "#", "'", "=", "é", "\n", r"\\", r"\"", r"\$", r"\`"]), max_size=5)
VALUES = (
    st.sampled_from(["", "x", "a=b", "#c", "é", "a#b", "x:/y?z=1"])
    | st.text('x \n#"=$`{}é', max_size=6).map("'{}'".format)
    | IN_DOUBLE.map(lambda parts: f'"{"".join(parts)}"')
)
ENTRIES = st.builds("{}{}={}{}\n".format, st.sampled_from(["", "export "]), st.sampled_from("ABC"), VALUES, st.sampled_from(["", " ", " # $ '"])).filter(
    lambda line: "= #" not in line  # blanks beside the `=`, which are refused
)  # fmt: skip
FILES = st.lists(ENTRIES | st.sampled_from(["\n", "# '\n"]), max_size=3).map("".join)


@given(FILES)
def test_what_is_not_refused_means_the_same_to_a_shell_and_to_python_dotenv(text):
    values, odd = parse(text, ".env")
    if odd:
        assert [one.message for one in odd if "is set twice" not in one.message] == []
        return
    script = "unset A B C\n" + text + "".join(f'printf "%s\\0" "${name}"\n' for name in values)
    done = subprocess.run(["sh", "-c", script], capture_output=True, check=True, env={"PATH": os.environ["PATH"]})
    assert done.stdout.decode().split("\0")[:-1] == list(values.values()), script
    if "\\$" not in text and "\\`" not in text:  # for which it has no escapes
        assert dict(dotenv_values(stream=StringIO(text), interpolate=False)) == values


PIECES = st.sampled_from(["A", "B", "=", "=x", " ", "\n", "'", '"', "\\n", "\\", "$", "#", " #", "export ", "x y", "`"])


@given(st.lists(PIECES, max_size=12).map("".join))
def test_whatever_stands_there_is_read_or_refused_and_never_otherwise_than_by_python_dotenv(text):
    values, odd = parse(text, ".env")
    if not odd and "\\$" not in text and "\\`" not in text:
        assert dict(dotenv_values(stream=StringIO(text), interpolate=False)) == values


# --- those of a batch -----------------------------------------------------------------------------


def files_of(tmp_path, files, **fields):
    for name, content in files.items():
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    batch = Batch("b", folder=tmp_path, **fields)
    batch.command("a", "true", env_file=["one.env", tmp_path / "two.env"], env={"D": "job"})
    return batch.config()


def test_a_later_file_wins_and_the_env_beside_it_over_all(tmp_path):
    files = {".env": "A=1\nB=1\nC=1\nD=1", "one.env": "C=2\nD=2\nE=2\nB=2", "two.env": "E=3"}
    config = files_of(tmp_path, files, env_file=".env", env={"B": "batch", "A": "batch"})
    found, (spec,) = EnvFiles(config), config.jobs
    assert found.of_batch == {"A": "1", "B": "1", "C": "1", "D": "1"}
    assert found.with_own(spec, spec.env) == {"C": "2", "B": "2", "E": "3", "D": "job"}
    assert found.set_for(spec) == {"C": "2", "B": "2", "E": "3"}, "`A` is the batch's own, `D` the job's"


def test_nothing_but_the_names_of_the_files_is_stored(tmp_path):
    config = files_of(tmp_path, {".env": "A=sesame", "one.env": "", "two.env": ""}, env_file=[".env"])
    again = decode(expand(config).encoded)
    assert (again.env_file, again.jobs[0].env_file) == ((".env",), ("one.env", str(tmp_path / "two.env")))
    assert b"sesame" not in expand(config).encoded


def refused(config):
    with pytest.raises(ConfigError) as caught:
        EnvFiles(config).refuse(config.jobs)
    return [one.render().replace(config.folder, "FOLDER") for one in caught.value.diagnostics]


def test_files_that_cannot_be_read_are_told_together(tmp_path):
    (tmp_path / "two.env").mkdir()
    (tmp_path / "pipe").touch()
    config = files_of(tmp_path, {".env": b"A=\xff", "big.env": "#" * (2**20 + 1)}, env_file=[".env", "big.env"])
    assert refused(config) == [
        "FOLDER/.env: error: not UTF-8 text (byte 2)\nhint: save the file as UTF-8",
        "FOLDER/big.env: error: larger than 1 MiB",
        "error: `env_file` of job `a`: no such file: `one.env`",
        "error: `env_file` of job `a`: not a file: `FOLDER/two.env`",
    ]


def test_a_pipe_is_no_file_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "one.env")
    config = files_of(tmp_path, {"two.env": ""})
    assert refused(config) == ["error: `env_file` of job `a`: not a file: `one.env`"]


def test_a_file_that_may_not_be_read_says_why(tmp_path):
    config = files_of(tmp_path, {"one.env": "", "two.env": ""}, env_file="x" * 300)
    assert refused(config) == [f"error: `env_file` of the batch: cannot read `{'x' * 117}...`: file name too long"]


def test_jobs_share_a_file_and_it_is_told_once(tmp_path):
    batch = Batch("b", folder=tmp_path)
    for name in "ab":
        batch.command(name, "true", env_file="x.env")
    assert refused(batch.config()) == ["error: `env_file` of job `a`: no such file: `x.env`"]


MISFITS = [
    (1, "`env_file` must be a list, not the number 1"),
    ({"a": "b"}, "`env_file` must be a list, not a mapping"),
    ("", "`env_file` must not be empty"),
    (["a.env", 1], "`env_file[1]` must be a text, not the number 1"),
    ("*.env", "`env_file` must be a path, and `*.env` is a pattern"),
    ("https://x/y", "`env_file` must be a path, and `https://` is an address"),
]


@pytest.mark.parametrize(("value", "message"), MISFITS)
def test_paths_are_checked_in_python(tmp_path, value, message):
    with pytest.raises(ConfigError) as caught:
        Batch("b", folder=tmp_path, env_file=value)
    assert caught.value.diagnostics[0].message == message
    with pytest.raises(ConfigError) as caught:
        Batch("b", folder=tmp_path).command("a", "true", env_file=value)
    assert caught.value.diagnostics[0].message == message


@pytest.mark.parametrize(("value", "message"), MISFITS)
def test_paths_are_checked_in_files(errors, value, message):
    import json

    found = errors(json.dumps({"env_file": value, "jobs": [{"name": "a", "run": "true", "env_file": value}]}), "json")
    assert [one.message for one in found] == [message] * 2


def test_defaults_come_before_a_job_s_own_and_variables_may_name_files(read):
    config = read(
        """
        vars: {stage: prod}
        env_file: ${{ vars.stage }}.env
        defaults: {env_file: [a.env]}
        jobs:
          - {name: x, run: "true", env_file: b.env}
          - {name: y, run: "true"}
          - {name: z, run: "true", env_file: [b.env]}
        """
    )
    assert config.env_file == ("prod.env",)
    assert [spec.env_file for spec in config.jobs] == [("a.env", "b.env"), ("a.env",), ("a.env", "b.env")]


def test_items_cannot_name_files(errors):
    (found,) = errors('jobs: [{name: "x${{ item }}", run: "true", foreach: [1], env_file: "${{ item }}.env"}]')
    assert found.message == "`item` cannot stand here"


@pytest.mark.parametrize("name", ["dotenv", "env_files", "EnvironmentFile", "envfile"])
def test_what_other_tools_call_it_leads_to_the_name(errors, name):
    (found,) = errors(f'jobs: [{{name: x, run: "true", {name}: a.env}}]')
    assert found.hint == "write `env_file`: a path or a list"


def test_a_job_without_files_is_stored_as_before():
    assert b"env_file" not in expand(Batch("b").config()).encoded
    assert JobSpec(name="a").env_file == ()
