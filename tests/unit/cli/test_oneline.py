"""A command with placeholders and items as a batch: what each placeholder gives, what stays as it is, what is refused."""

import os
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from joblot.actions.registry import ACTIONS
from joblot.cli.oneline import PARTS, Items, as_yaml, batch_of, split_command, split_line
from joblot.config.load import load_data, load_text
from joblot.core.fan_out import FanOutJobs
from joblot.core.plan import expand
from joblot.core.shelltext import read
from joblot.errors import UsageError

PATHS = {"": ["in/a.tar.gz", "b"]}
TABLE = {"code": ["01.10", "43"], "file": ["x/y.csv", "z"], "odd one": ["p", "q"]}
DEEP = {"a": [{"b": 1}, {"b": 2}], "c": [True, None]}


def checked(batch):
    return load_data(batch, folder=".", lookup=ACTIONS.signature, names=ACTIONS.names)[0]


def commands(words, items, **options):
    """What each job runs, and what the same batch as a file does."""
    numbered = options.pop("numbered", False)
    found = []
    batch = batch_of(words, items, numbered=numbered, shell=options.get("shell", False))
    text = as_yaml(batch)
    loaded, _ = load_text(text, folder=".", lookup=ACTIONS.signature, names=ACTIONS.names)
    for config in (checked(batch), loaded):
        plan = expand(config)
        specs = [plan.spec(job) for job in range(len(plan))]
        assert [spec.name for spec in specs] == list(plan.names())
        found.append([(one.name, one.run if isinstance(one.run, list) else _call(one)) for one in specs])
    assert found[0] == found[1], text
    return [run for _, run in found[0]]


def _call(spec):
    return read(spec.run).call(spec.given or {}).argv()


@pytest.mark.parametrize(
    ("word", "columns", "first"),
    [
        ("{}", PATHS, "in/a.tar.gz"),
        ("{1}", PATHS, "in/a.tar.gz"),
        ("{root}", PATHS, "in/a.tar"),
        ("{name}", PATHS, "a.tar.gz"),
        ("{stem}", PATHS, "a.tar"),
        ("{suffix}", PATHS, ".gz"),
        ("{parent}", PATHS, "in"),
        ("{1.stem}", PATHS, "a.tar"),
        ("{number}", PATHS, "1"),
        ("-o{root}.{number}.png", PATHS, "-oin/a.tar.1.png"),
        ("{code}", TABLE, "01.10"),
        ("{file.stem}{file.suffix}", TABLE, "y.csv"),
        ("{odd one}", TABLE, "p"),
        ("{number}:{code}", TABLE, "1:01.10"),
        ("{a.b}", DEEP, "1"),
        ("{c}", DEEP, "true"),
        ("{a}", DEEP, '{"b":1}'),
        # what is no placeholder
        ("{{}}", PATHS, "{}"),
        ("{{stem}} {{code}}", PATHS, "{stem} {code}"),
        ("{{{stem}}}", PATHS, "{{stem}}"),
        ("{print $1} {1,2} { } {\n}", PATHS, "{print $1} {1,2} { } {\n}"),
        ("[0-9]{3}", PATHS, "[0-9]{3}"),
        ("${HOME} ${stem} ${#x} $5", PATHS, "${HOME} ${stem} ${#x} $5"),
        ("${{ run.id }} ${{ item }} ${{", PATHS, "${{ run.id }} ${{ item }} ${{"),
        ("{{.Names}} {{ .Names }} {{json .}}", PATHS, "{{.Names}} {{ .Names }} {{json .}}"),
        ('{"file":"{}","deep":{"of":"{name}"}}', PATHS, '{"file":"in/a.tar.gz","deep":{"of":"a.tar.gz"}}'),
        ('{"n":{number}}', PATHS, '{"n":1}'),
        ('{"n":{{code}}}', TABLE, '{"n":{code}}'),
        ("${}", PATHS, "$in/a.tar.gz"),
    ],
)
def test_a_word_of_the_command(word, columns, first):
    (ran, *_) = commands(["x", word, "{number}"], Items(columns))
    assert ran == ["x", first, "1"]


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("a", ("a", "a", "a", "", ".")),
        ("a.txt", ("a", "a.txt", "a", ".txt", ".")),
        ("d.x/a", ("d.x/a", "a", "a", "", "d.x")),
        ("/d/a.b/", ("/d/a", "a.b", "a", ".b", "/d")),
        (".bashrc", (".bashrc", ".bashrc", ".bashrc", "", ".")),
        ("a.", ("a", "a.", "a", ".", ".")),
        ("", ("", "", "", "", ".")),
        ("/", ("/", "", "", "", "/")),
        ("..", ("..", "..", "..", "", ".")),
    ],
)
def test_the_parts_of_a_path(path, parts):
    assert tuple(part(path) for part in PARTS.values()) == parts
    assert list(PARTS) == ["root", "name", "stem", "suffix", "parent"]


@pytest.mark.parametrize("path", ["a", "a.txt", "d.x/a.tar.gz", "/d/a.b", ".x", "../a b.c"])
def test_parent_stem_and_suffix_make_the_path_again(path):
    made = {name: part(path) for name, part in PARTS.items()}
    assert os.path.normpath(f"{made['parent']}/{made['stem']}{made['suffix']}") == path
    assert made["root"] + made["suffix"] == path
    assert made["stem"] + made["suffix"] == made["name"]


@pytest.mark.parametrize(
    ("words", "columns", "message", "hint"),
    [
        (["x", "{steem}"], PATHS, "`{steem}` stands for nothing", "did you mean `{stem}`? `{{steem}}` is the text itself"),
        (["x", "{qqq}"], PATHS, "`{qqq}` stands for nothing", "there are `{}`, `{root}`, `{name}`, `{stem}`, `{suffix}`, `{parent}`, `{number}`; `{{qqq}}` is the text itself"),
        (["x", "{stem}"], TABLE, "`{stem}` stands for nothing", "there are `{code}`, `{file}`, `{odd one}`, `{number}`; `{{stem}}` is the text itself"),
        (["x", "{}"], TABLE, "`{}` stands for nothing: the items have columns", "there are `{code}`, `{file}`, `{odd one}`, `{number}`; `{{}}` is the text itself"),
        (["x"], TABLE, "the items have columns, and the command names none", "there are `{code}`, `{file}`, `{odd one}`"),
        (["x", "{code.x}"], TABLE, "`{code.x}` stands for nothing", "did you mean `{code}`? `{{code.x}}` is the text itself"),
        (["x", "{.}"], PATHS, "`{.}` is GNU parallel's", "write `{root}`"),
        (["x", "a{/}"], PATHS, "`{/}` is GNU parallel's", "write `{name}`"),
        (["x", "{//}"], PATHS, "`{//}` is GNU parallel's", "write `{parent}`"),
        (["x", "{/.}"], PATHS, "`{/.}` is GNU parallel's", "write `{stem}`"),
        (["x", "{#}"], PATHS, "`{#}` is GNU parallel's", "write `{number}`"),
        (["x", "{%}"], PATHS, "`{%}` is GNU parallel's", "slots have no number"),
        (["x", "{2/.}"], PATHS, "`{2/.}` is GNU parallel's", "write `{2.stem}`"),
        (["x", "{-1}"], PATHS, "`{-1}` is GNU parallel's", "lists count from the left: `{1}`, `{2}`"),
        (["x", "{= s/a/b/ =}"], PATHS, "`{= s/a/b/ =}` is GNU parallel's", "with `--shell` a shell can do it: `${x%.*}`"),
        (
            ["sh", "-c", "rm {stem}"], PATHS, "`{stem}` stands in the text of `sh -c`, which would run its value as code",
            "give it as an argument, such as `sh -c 'echo \"$1\"' sh {}`; or `--shell 'echo {}'`, which does so",
        ),
        (
            ["python3", "-c", "print('{}')"], PATHS, "`{}` stands in the text of `python3 -c`, which would run its value as code",
            "give it as an argument, such as `sh -c 'echo \"$1\"' sh {}`; or `--shell 'echo {}'`, which does so",
        ),
    ],
)  # fmt: skip
def test_what_stands_for_nothing_is_refused(words, columns, message, hint):
    with pytest.raises(UsageError) as caught:
        batch_of(words, Items(columns), shell=False)
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_without_a_placeholder_the_item_is_the_last_argument():
    assert commands(["wc", "-l"], Items({"": ["a", "-b"]})) == [["wc", "-l", "a"], ["wc", "-l", "-b"]]


def test_a_line_that_is_an_item_may_be_a_command():
    assert commands(["sh", "-c", "{}"], Items({"": ["echo a"]})) == [["sh", "-c", "echo a"]]


# --- lists ------------------------------------------------------------------------------------------


def test_lists_make_all_combinations_the_last_one_turning_fastest():
    line, items = split_line(["x", "{}", "{2}-{1}", ":::", "a", "b", ":::", "1", "2"])
    assert commands(line, items) == [
        ["x", "a", "1", "1-a"], ["x", "a", "2", "2-a"], ["x", "b", "1", "1-b"], ["x", "b", "2", "2-b"],
    ]  # fmt: skip


def test_lists_side_by_side():
    line, items = split_line(["x", "{1}{2.stem}", "{3}", ":::", "a", "b", ":::+", "1.c", "2.c", ":::", "z"])
    assert commands(line, items) == [["x", "a1", "z"], ["x", "b2", "z"]]


def test_lists_without_a_placeholder_are_arguments_each():
    line, items = split_line(["x", ":::", "a", ":::", "b c"])
    assert commands(line, items) == [["x", "a", "b c"]]


def test_all_items_within_a_text_of_a_shell():
    _, items = split_line([":::", "a", ":::", "b c"])
    (argv,) = commands(["printf '<%s>' {}"], items, shell=True)
    assert argv[-2:] == ["a", "b c"]


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["x", "::::", "f"], "`::::` is GNU parallel's", "`--from FILE`, or the file as standard input"),
        (["x", ":::+", "a"], "`:::+` goes with the list before it, and there is none", "begin with `:::`"),
        (["x", ":::", "a", ":::+", "b", "c"], "lists side by side must be of one length: 1 and 2 items", "`:::` makes all combinations"),
    ],
)  # fmt: skip
def test_lists_that_cannot_be_taken_together(words, message, hint):
    with pytest.raises(UsageError) as caught:
        split_line(words)
    assert (caught.value.message, caught.value.hint) == (message, hint)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("{}x", "`{}` within a word stands for one item, and there are several lists"),
        ("{3}", "`{3}` stands for nothing"),
    ],
)
def test_placeholders_that_do_not_fit_lists(word, message):
    line, items = split_line(["x", word, ":::", "a", ":::", "b"])
    with pytest.raises(UsageError) as caught:
        batch_of(line, items, shell=False)
    assert caught.value.message == message


def test_lists_end_where_the_next_begins_and_may_be_empty():
    line, items = split_line(["x", ":::"])
    assert (line, len(items)) == (["x"], 0)
    assert split_line(["x", "y"]) == (["x", "y"], None)


# --- one word ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("wc -l {}", ["wc", "-l", "{}"]),
        ("a 'b  c' \"d 'e'\" f\\ g", ["a", "b  c", "d 'e'", "f g"]),
        ("grep 'a|b' \"c;d\" '$x'", ["grep", "a|b", "c;d", "$x"]),
        ("x a~b# \\$y '\\$z' \\n", ["x", "a~b#", "$y", "\\$z", "n"]),
        ('x "\\$z\\n"', ["x", "$z\\n"]),
        ("\nx 'a\\b' a\\\nb \"c\\\nd\"\t ''y\n", ["x", "a\\b", "ab", "cd", "y"]),
        ("x ''", ["x", ""]),
    ],
)  # fmt: skip
def test_a_command_in_one_word_is_split_as_a_shell_splits_it(text, words):
    assert split_command(text) == words


@pytest.mark.parametrize("sign", ["|", "&", ";", "<", ">", "(", ")", "$", "`", "*", "?", "[", "~", "#"])
def test_what_only_a_shell_reads_is_refused(sign):
    with pytest.raises(UsageError) as caught:
        split_command(f"x {sign} y")
    assert caught.value.message == f"`{sign}` in `x {sign} y` is for a shell, and none reads it"
    assert caught.value.hint == "`--shell` has a shell run it; in quotes it stands for itself"
    assert split_command(f"x '{sign}' y") == ["x", sign, "y"]


@pytest.mark.parametrize("text", ["~/bin/x {}", 'x "$HOME" {}', "x ~"])
def test_so_are_a_home_and_a_variable_in_double_quotes(text):
    with pytest.raises(UsageError, match="is for a shell, and none reads it"):
        split_command(text)


def test_a_quote_that_is_not_closed():
    with pytest.raises(UsageError, match=r"^a quote is not closed in `x 'y`$"):
        split_command("x 'y")


# --- names ------------------------------------------------------------------------------------------


def names(words, items, **options):
    return FanOutJobs(checked(batch_of(words, items, shell=False, **options)).jobs[0]).names()


@pytest.mark.parametrize(
    ("words", "columns", "found"),
    [
        (["/bin/convert", "{}", "{stem}.png"], {"": ["in/a b.jpg"]}, ["convert-in-a-b.jpg"]),
        (["./load.sh"], {"": ["-x"]}, ["load--x"]),
        (["{}"], {"": ["a"]}, ["each-a"]),
        (["x", "{code}", "{file.stem}"], TABLE, ["x-01.10-x-y.csv", "x-43-z"]),
        (["x", "{number}"], TABLE, ["x-1", "x-2"]),
        (["--"], {"": ["a"]}, ["each-a"]),
    ],
)
def test_jobs_are_called_by_the_program_and_the_item(words, columns, found):
    assert names(words, Items(columns)) == found


def test_with_numbers_equal_items_have_names_of_their_own():
    assert names(["x"], Items({"": ["a", "a", "A"]}), numbered=True) == ["x-1-a", "x-2-a", "x-3-A"]


# --- the file ---------------------------------------------------------------------------------------

ITEM = st.sampled_from(["${{ item }}", '${{ "${{" }}', "${{", "true", "1e3", "null"]) | st.text(st.characters(exclude_categories=("Cs", "Cc")) | st.sampled_from("\n\t'\"{}$\\ -:#&*!|>%@`,[]~é\u2028\ufeff"), max_size=20)  # fmt: skip
WORD = st.lists(st.sampled_from(["{}", "{stem}", "{root}", "{number}", "{{stem}}", "${x}", "$", "{", "}", "${{", "a b", "'", '"', "\n", ":"]), max_size=5).map("".join)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.text("ab '\"\\\t-=.,:/%@+^!é\n", max_size=12))
def test_the_words_are_those_of_a_shell(text):
    try:
        words = split_command(f"x {text}")
    except UsageError:  # of a quote that is not closed, or a second line
        return
    ran = subprocess.run(["/bin/sh", "-c", f"printf '%s\\0' x {text}"], capture_output=True, check=True)
    assert ran.stdout.decode().split("\0")[:-1] == words


@settings(max_examples=300, deadline=None)
@given(words=st.lists(WORD, max_size=3), values=st.lists(ITEM, min_size=1, max_size=4))
def test_the_file_that_is_printed_does_the_same(words, values):
    try:
        ran = commands(["x", *words], Items({"": values}), numbered=True)
    except UsageError:
        return
    assert len(ran) == len(values)
    if not any("{" in word for word in words):
        assert ran == [["x", *words, value] for value in values]


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(st.tuples(ITEM, ITEM), min_size=1, max_size=4))
def test_the_file_of_a_table_does_the_same(rows):
    columns = {"a": [row[0] for row in rows], "b-c": [row[1] for row in rows]}
    ran = commands(["x", "{a}", "{b-c}", "={a.name}"], Items(columns), numbered=True)
    assert ran == [["x", a, b, f"={PARTS['name'](a)}"] for a, b in rows]


def test_items_of_a_file_are_named_by_it():
    items = Items({"code": ["1"], "day": ["2"]}, source={"csv": "codes.csv"})
    batch = batch_of(["x", "{code}"], items, shell=False, file=True)
    assert "    foreach: {csv: codes.csv}\n" in as_yaml(batch)
    pattern = Items({"": ["a.txt"]}, source={"glob": "*.txt"})
    text = as_yaml(batch_of(["x", "{}", "{stem}"], pattern, shell=False, file=True))
    assert '    foreach: {glob: "*.txt"}\n' in text
    assert '"${{ item.stem }}"' in text
    assert "glob" not in as_yaml(batch_of(["x", "{parent}"], pattern, shell=False, file=True))
