"""Files from a template: variables, values that stay values, headers, what is written and what is left alone. D13."""

import json
import tomllib
import tracemalloc

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from joblot.errors import ConfigError, UsageError
from joblot.generate import (
    Axis,
    Template,
    apply_writes,
    count,
    diff,
    kind_of,
    plan_writes,
    product,
    read_axis,
    read_header,
    read_template,
    render,
    seal,
    unfit,
)


def put(text, values=None, kind="yaml", **more):
    """The text with values in it."""
    return render(Template(text, file="t"), (values or {}) | more, kind=kind)


def refusal(text, kind="yaml", **values):
    """What is said of a value that cannot stand there: message, place and hint."""
    with pytest.raises(ConfigError) as caught:
        put(text, kind=kind, **values)
    [found] = caught.value.diagnostics
    return f"{found.line}:{found.column}", found.message, found.hint


# --- variables and braces -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{x}", "V"),
        ("a{x}b{x}", "aVbV"),
        ("{a: 1}", "{a: 1}"),
        ("{a: {b: 1}}", "{a: {b: 1}}"),
        ("{a: {b: {x}}}", "{a: {b: V}}"),
        ("{{x}}", "{x}"),
        ("{{{x}}}", "{V}"),
        ("{{a: {b: 1}}}", "{a: {b: 1}}"),
        ("{a: {{b}}}", "{a: {b}}"),
        ("{{{{.Names}}}}", "{{.Names}}"),
        ("{ x }", "{ x }"),
        ("{}{0}{:>5}{a b}", "{}{0}{:>5}{a b}"),
        ("}} {", "} {"),
        ("{{a}, {x}}}", "{a}, V}"),
        ("${{ vars.x }} {x}", "${{ vars.x }} V"),
        ('${{ "${{" }}{x}', '${{ "${{" }}V'),
        ("${{ {x} }}", "${{ {x} }}"),
        ("${{\n  vars.x }}{x}", "${{\n  vars.x }}V"),
        ("${{ left open\n{x}", "${{ left open\nV"),
        ("${HOME} ${y:-{x}} $x", "${HOME} ${y:-V} $x"),
    ],
)
def test_only_known_variables_are_replaced_and_other_braces_stay(text, filled):
    """D13, R71, R73: literal braces work, references of joblot and variables of the shell are left alone."""
    assert put(text, kind=None, x="V") == filled


def test_an_unknown_variable_is_named_with_its_place_and_the_nearest_known():
    """R73: all of them at once."""
    template = Template("a: {naf_cod}\nb: {naf_code} {zzz}\n", file="t.yaml")
    first, second = template.problems({"naf_code", "profile"})
    assert first.render() == (
        "t.yaml:1:4: error: unknown variable `naf_cod`\n    1 | a: {naf_cod}\n      |    ^\n"
        "hint: did you mean `naf_code`? For the characters themselves write `{{naf_cod}}`"
    )
    assert (second.line, second.column) == (2, 15)
    assert second.hint == "known: `naf_code`, `profile`. For the characters themselves write `{{zzz}}`"
    assert template.problems({"naf_cod", "naf_code", "zzz"}) == []
    [alone] = Template("{x}", file="t").problems(())
    assert alone.hint == "no variable was given. For the characters themselves write `{{x}}`"


def test_what_may_be_the_shells_or_the_templates_is_refused():
    assert refusal("run: echo ${x}", x="V") == (
        "1:11",
        "`${x}` may be the shell's variable or the template's",
        "write `$x` for the shell's, or give the template's another name",
    )


def test_names_are_the_same_however_their_accents_are_written():
    assert put("{e\u0301t\u00e9}", {"\u00e9t\u00e9": "V"}, kind=None) == "V"


# --- values stay values -------------------------------------------------------------------------------


def test_values_in_all_kinds_of_places_of_yaml():
    """R74: what is right where it stands is put in as it is."""
    text = "# {x}\nplain: a {x}\nsingle: '{x}'\ndouble: \"{x}\"\nblock: |\n  {x}\nfolded: >-\n  {x}\n{x}: [{n}, {t}]\n"
    made = put(text, x="one two", n="30", t="true")
    assert made.startswith("# one two\nplain: a one two\n")
    values = {"plain": "a one two", "single": "one two", "double": "one two", "block": "one two\n", "folded": "one two"}
    assert yaml.safe_load(made) == values | {"one two": [30, True]}


DOUBLE = 'put the text that it stands in into double quotes: `"..."`'
SINGLE = "put the text that it stands in into single quotes: `'...'`"
BLOCK = "give it a line of its own below a `|-`"
LITERAL = "put the text that it stands in between `'''` and `'''`"
NO_CHANGE = "it would change more than the text it stands in"


@pytest.mark.parametrize(
    ("text", "value", "reason", "hint"),
    [
        ("a: {x}", "b: c", "not valid YAML: mapping values are not allowed in this context", DOUBLE),
        ("a: {x}", "b #c", "the text would be read as `b`", DOUBLE),
        ("a: {x}", "[1]", NO_CHANGE, DOUBLE),
        ("a: [{x}]", "1, 2", NO_CHANGE, DOUBLE),
        ("a: {x}", "null", "it would be read as null", DOUBLE),
        ("a: {x}", "~", "it would be read as null", DOUBLE),
        ("a: {x}", " b", "the text would be read as `b`", DOUBLE),
        ("a: {x}", '"b"', "the text would be read as `b`", SINGLE),
        ("a: {x}", "\"b'", "not valid YAML: found unexpected end of stream", BLOCK),
        ("a: {x}", "01.10", "some readers of YAML would not take it for a text", DOUBLE),
        ("a: {x}", "no", "some readers of YAML would not take it for a text", DOUBLE),
        ("a: {x}", "2026-11-20", "some readers of YAML would not take it for a text", DOUBLE),
        ("a: {x}", "1.10", "it would be read as the number 1.1", DOUBLE),
        ("a: {x}", "1e3", "it would be read as the number 1000.0", DOUBLE),
        ("a: {x}", "TRUE", "it would be read as true", DOUBLE),
        ("a: 1{x}", ".50", "it would be read as the number 1.5", DOUBLE),
        ("a: {x}", "&b", "it would be read as null", DOUBLE),
        ("a: {x}", "*b", "alias `*b` has no anchor `&b` before it", DOUBLE),
        ("a: {x}", "!b c", "unknown tag `!b`", DOUBLE),
        ('a: ["{x}"]', '43"]', "not valid YAML: found unexpected end of stream", SINGLE),
        ('a: "{x}"', "\\n", "the text would be read as `\\n`", SINGLE),
        ('a: "{x}"', "\"'", "not valid YAML: found unexpected end of stream", BLOCK),
        ("a: '{x}'", "it's", "not valid YAML: did not find expected key", DOUBLE),
        ("a: '{x}'", "it''s", "the text would be read as `it's`", DOUBLE),
        ("a: |\n {x}\n", " b", "the text would be read as `b\\n`", BLOCK),
        ("{x}: 1\nb: 2", "b", "duplicate key `b`", DOUBLE),
        ("{x}: 1", "30", "key `30` is not a text", DOUBLE),
        ("{x}: 1", "<<", "merge key `<<` is not part of YAML 1.2", DOUBLE),
        ('a: "{x}"', "${{ env.HOME }}", "it would begin a reference", "no value may begin one: leave out the `${{`"),
    ],
)
def test_a_value_cannot_break_out_of_its_place_in_yaml(text, value, reason, hint):
    """D13, R74: refused, with the variable, its line, and how to write it."""
    place, message, shown_hint = refusal(text, x=value)
    assert message == f"the value `{value}` of `x` cannot stand here: {reason}"
    before = text[: text.index("{x}")].split("\n")
    assert place == f"{len(before)}:{len(before[-1]) + 1}"
    assert shown_hint == hint


def test_an_empty_value_needs_quotes():
    assert put('a: "{x}"', x="") == 'a: ""'
    assert refusal("a: {x}", x="") == (
        "1:4",
        "the empty value of `x` cannot stand here: it would be read as null",
        DOUBLE,
    )


def test_the_first_value_that_is_one_too_many_is_named():
    text = "a: {w}\nb: {x}\nc: {y}\nd: {z}\n"
    place, message, _ = refusal(text, w="1", x="2", y="a: b", z="c: d")
    assert (place, message.split("`")[3]) == ("3:4", "y")
    place, message, _ = refusal("{w}: 1\n{x}: 2\n", w="a", x="a")
    assert (place, message) == ("2:1", "the value `a` of `x` cannot stand here: duplicate key `a`")


@pytest.mark.parametrize("char", ["\n", "\r", "\t", "\0", "\x1b", "\x85", "\u2028", "\ud800", "\ufeff"])
@pytest.mark.parametrize("kind", ["yaml", "json", None])
def test_no_value_has_control_characters(char, kind):
    text = '{"a": "{x}"}'
    kind_of_char = "a line break" if char in "\n\r\x85\u2028" else "a control character"
    place, message, _ = refusal(text, kind=kind, x=f"a{char}")
    assert place == "1:8"
    assert message.startswith("the value `a")
    assert message.endswith(f"` of `x` holds {kind_of_char} (U+{ord(char):04X})")


def test_json_texts_are_escaped_because_json_has_one_kind_of_quotes():
    made = put(
        '{"a": "{x}", "{x}": [{n}, {t}], "c": {"d": "{x} ${{ vars.x }}"}}',
        kind="json",
        x='43"], \\',
        n="1.5",
        t="false",
    )
    assert json.loads(made) == {"a": '43"], \\', '43"], \\': [1.5, False], "c": {"d": '43"], \\ ${{ vars.x }}'}}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("1, 2", "a key in double quotes is missing here"),
        ("1.10", "it would be read as the number 1.1"),
        ("null", "it would be read as null"),
        ("[1]", NO_CHANGE),
        ('"b"', "the text would be read as `b`"),
        ("", "a value is missing here"),
        ('1, "b": 2', NO_CHANGE),
    ],
)
def test_a_value_without_quotes_in_json_is_one_value(value, reason):
    place, message, hint = refusal('{"a": {x}}', kind="json", x=value)
    assert place == "1:7"
    assert message.removeprefix(f"the value `{value}` of `x`").removeprefix("the empty value of `x`") in (
        f" cannot stand here: {reason}",
        f" cannot stand here: not valid JSON: {reason}",
    )
    assert hint == DOUBLE


def test_values_in_toml():
    text = "[{s}]\na = \"{x}\"\nb = '{x}'\nn = {n}\nf = {f}\nd = {d}\n"
    made = put(text, kind="toml", s="part", x="it is", n="30", f="1.5", d="2026-11-20")
    part = tomllib.loads(made)["part"]
    assert (part["a"], part["b"], part["n"], part["f"], str(part["d"])) == ("it is", "it is", 30, 1.5, "2026-11-20")


@pytest.mark.parametrize(
    ("text", "value", "reason", "hint"),
    [
        ("[{x}]", "a.b", "the text would be read as `a`", DOUBLE),
        ("a = [{x}]", "1, 2", NO_CHANGE, DOUBLE),
        ('a = "{x}"', 'b"', "not valid TOML: expected newline or end of document after a statement", SINGLE),
        ('a = "{x}"', "\\u0041", "the text would be read as `A`", SINGLE),
        ("a = '{x}'", "it's", "not valid TOML: expected newline or end of document after a statement", DOUBLE),
        ("a = '{x}'", "'\"", "not valid TOML: expected newline or end of document after a statement", LITERAL),
        ("a = {x}", "0x10", "the text would be read as `16`", DOUBLE),
        ("a = {x}", "1 # b", "the text would be read as `1`", DOUBLE),
    ],
)
def test_a_value_cannot_break_out_of_its_place_in_toml(text, value, reason, hint):
    _, message, shown_hint = refusal(text, kind="toml", x=value)
    assert message == f"the value `{value}` of `x` cannot stand here: {reason}"
    assert shown_hint == hint


COMMAND = "jobs:\n  - {name: a, run: %s}\n"
TO_VARS = "put it under `vars` and write `${{ vars.NAME }}` in the command: there it is quoted"


@pytest.mark.parametrize("value", ["b;reboot", "$HOME", "a b", "`ls`", "*", "", "a'b", "-x>y", "#b"])
def test_a_value_in_a_command_is_one_word(value):
    """R74: a value cannot be a command of its own either."""
    _, message, hint = refusal(
        COMMAND % "'echo {x} >> all.txt'" if "'" not in value else COMMAND % '"echo {x} >> all.txt"', x=value
    )
    assert message.endswith("cannot stand here: it is not one word to the shell")
    assert hint == TO_VARS


def test_words_and_parts_of_words_and_whole_commands_are_fine():
    for written, value in [
        ("echo {x}.csv", "data/69.20Z"),
        ("echo '{x}'", "a b"),
        ('echo "{x}"', "année 2026"),
        ("{x}", "ls -l | wc; rm *"),
        ("[echo, '{x}']", "$(reboot)"),
    ]:
        made = put(
            "jobs:\n  - name: a\n    run: " + (written if written[0] == "[" else "|-\n      " + written), x=value
        )
        assert value in made
    _, message, _ = refusal("jobs:\n  - name: a\n    run: |\n      # it's\n      echo {x}\n", x="a;b")
    assert message == "the value `a;b` of `x` cannot stand here: it is not one word to the shell"


PLACES = "a: {x}\nb: '{x}'\nc: \"{x}\"\nd: |-\n  {x}\ne: [{x}, z]\n# {x}\nf{x}: 1\n"


@given(st.text(max_size=12) | st.text("'\"\\:#[]{},&*!|>%@`- ~$0123456789.eExXabn", max_size=8))
def test_whatever_the_value_it_is_refused_or_read_back_by_another_reader(value):
    """R74: held against a reader that shares nothing with the check."""
    for line in PLACES.replace("d: |-\n", "d: |-\\n").splitlines():
        try:
            made = put(line.replace("\\n", "\n"), x=value)
        except ConfigError:
            continue
        if line.startswith("e") and "?" in value:
            continue  # YAML allows a question mark inside a word of a list in brackets; that reader does not
        read = yaml.safe_load(made)
        if line.startswith("#"):
            assert read is None
        elif line.startswith("f"):
            assert read == {f"f{value}": 1}
        elif line.startswith("e"):
            assert len(read["e"]) == 2
            assert read["e"][0] == value or str(read["e"][0]).lower() == value
        else:
            [only] = read.values()
            assert only == value or str(only).lower() == value


@given(st.text(max_size=12))
def test_whatever_the_value_json_reads_it_back(value):
    if unfit(value) or "${{" in value:
        assert refusal('{"a": "{x}"}', kind="json", x=value)[0] == "1:8"
    else:
        assert json.loads(put('{"a": "{x}"}', kind="json", x=value)) == {"a": value}


# --- the template itself ------------------------------------------------------------------------------


def test_what_is_wrong_with_a_template_is_shown_in_its_own_lines():
    with pytest.raises(ConfigError) as caught:
        render(Template("a: {x}\n{{b: [{x}, {y}: c\n", file="t.yaml"), {"x": "1", "y": "2"}, kind="yaml")
    [found] = caught.value.diagnostics
    assert (found.file, found.code, found.line) == ("t.yaml", "syntax", 3)
    with pytest.raises(ConfigError) as caught:
        render(Template("{{a: {x}, b: 1,\n{x}: {{{{, b: {y}}}\n", file="t.yaml"), {"x": "1", "y": "2"}, kind="yaml")
    # what stands before the place has other lengths in the template
    assert caught.value.diagnostics[0].head() == (
        "t.yaml:2:10: error: not valid YAML: did not find expected node content"
    )
    assert refusal("b: 1\nc: {x}\nb: {x}\n", x="1") == ("3:1", "duplicate key `b` (first on line 1)", "")


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            "[1]",
            "a JSON template must be a mapping",
            "the file says in its key `x-joblot-generated` that it was generated",
        ),
        ('{"x-joblot-generated": 1}', "a template cannot have the key `x-joblot-generated`", "remove it"),
        ('{"a": }', "not valid JSON: a value is missing here", ""),
    ],
)
def test_json_templates(text, message, hint):
    assert refusal(text, kind="json")[1:] == (message, hint)


def test_the_format_is_that_of_the_file_or_of_the_template():
    assert [kind_of(name) for name in ("a.yaml", "a.YML", "a.json", "a.toml", "a.txt", "a")] == [
        "yaml", "yaml", "json", "toml", None, None,
    ]  # fmt: skip
    assert kind_of("a.txt", "t.yaml") == "yaml"


def test_a_template_is_read_from_a_file(tmp_path):
    file = tmp_path / "t.yaml"
    file.write_bytes(b"\xef\xbb\xbfa: {x}\r\n")
    assert read_template(file).text == "a: {x}\r\n"
    file.write_bytes(b"a: \xff")
    with pytest.raises(UsageError, match=r"^not UTF-8 text: `.*t.yaml` \(byte 3\)\nhint: save the file as UTF-8$"):
        read_template(file)
    with pytest.raises(UsageError, match=r"^cannot read `.*no.yaml`: no such file or directory$"):
        read_template(tmp_path / "no.yaml")
    with pytest.raises(UsageError, match=r"^cannot read `.*`: is a directory$"):
        read_template(tmp_path)
    with pytest.raises(ConfigError, match=r"^the template's name holds a line break \(U\+000A\)$"):
        read_template("a\nb.yaml")


# --- items --------------------------------------------------------------------------------------------


def test_items_in_a_word_in_lines_and_in_tables(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "codes.txt").write_bytes("\ufeff# activities\n6920Z\r\n\n  4329A \n".encode())
    (tmp_path / "codes.csv").write_text('code,label\n6920Z,"a, b"\n\n4329A,c\n')
    (tmp_path / "french.csv").write_text("\ufeffcode;label\n6920Z;a, b\n")
    (tmp_path / "tabs.tsv").write_text("code\tlabel\n6920Z\ta;b\n")
    assert read_axis("code=6920Z, 4329A") == Axis(("code",), (("6920Z",), ("4329A",)))
    assert read_axis("code=@codes.txt").rows == (("6920Z",), ("4329A",))
    assert read_axis("@codes.csv") == Axis(("code", "label"), (("6920Z", "a, b"), ("4329A", "c")))
    assert read_axis("label=@codes.csv") == Axis(("label",), (("a, b",), ("c",)))
    assert read_axis("@french.csv").rows == (("6920Z", "a, b"),)
    assert read_axis("@tabs.tsv").rows == (("6920Z", "a;b"),)


def test_repeats_are_taken_once_with_a_warning(tmp_path):
    """D12"""
    assert read_axis("code=a,b,a") == Axis(("code",), (("a",), ("b",)), ("`a` is there twice: taken once",))
    file = tmp_path / "c.csv"
    file.write_text("code,label\na,b\na,b\n")
    assert read_axis(f"@{file}").warnings == (f"{file}:3: `a, b` is there twice: taken once",)


@pytest.mark.parametrize(
    ("written", "message", "hint"),
    [
        ("code", "`code` is not a list of items", "write `NAME=VALUE,VALUE`, `NAME=@FILE`, or `@FILE.csv`"),
        ("a b=1", "`a b` cannot be a variable", "letters, digits and `_` make a name"),
        ("a=1,,2", "an empty value in `a=1,,2`", "values are parted by single commas"),
        ("a=", "an empty value in `a=`", "values are parted by single commas"),
        (
            "@c.txt",
            "`@c.txt` does not say which variable its lines are for",
            "name it: `NAME=@c.txt`; a `.csv` has the names in its first line",
        ),
        ("a=@no.txt", "cannot read `no.txt`: no such file or directory", ""),
    ],
)
def test_wrong_items(written, message, hint):
    with pytest.raises(UsageError) as caught:
        read_axis(written)
    assert (caught.value.message, caught.value.hint) == (message, hint)


@pytest.mark.parametrize(
    ("text", "written", "message", "hint"),
    [
        ("", "@c.csv", "c.csv:1:1: error: no names of columns", "the first line names the columns: `code,label`"),
        (
            "code,a b\n",
            "@c.csv",
            "c.csv:1:1: error: column `a b` cannot be a variable",
            "letters, digits and `_` make a name",
        ),
        ("a,a\n", "@c.csv", "c.csv:1:1: error: column `a` is there twice", "give each column its own name"),
        ("a,b\n1,2\n1\n", "@c.csv", "c.csv:3:1: error: 1 cells, but there are 2 columns", "quote a cell with a comma"),
        ('a,b\n"1,2\n', "@c.csv", "c.csv:2:1: error: not valid CSV: unexpected end of data", ""),
        ("code,b\n", "cod=@c.csv", "c.csv:1:1: error: no column `cod`", "did you mean `code`?"),
        ("xx,yy\n", "cod=@c.csv", "c.csv:1:1: error: no column `cod`", "it has `xx`, `yy`"),
        ('a\n"1\n2"\n', "@c.csv", "c.csv:3:1: error: the value `1\\n2` of `a` holds a line break (U+000A)", ""),
    ],
)
def test_wrong_tables(tmp_path, monkeypatch, text, written, message, hint):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.csv").write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_axis(written)
    assert (caught.value.diagnostics[0].head(), caught.value.hint) == (message, hint)


def test_several_axes_give_every_combination():
    axes = [Axis(("a",), (("1",), ("2",))), Axis(("b", "c"), (("x", "y"),))]
    assert product(axes, {"d": "z"}) == [
        {"a": "1", "b": "x", "c": "y", "d": "z"},
        {"a": "2", "b": "x", "c": "y", "d": "z"},
    ]
    assert product([], {"d": "z"}) == [{"d": "z"}]
    assert product([Axis(("a",), ())], {}) == []
    with pytest.raises(UsageError, match=r"^variable `b` is given twice\nhint: keep one `--each` or `--set` of it$"):
        product(axes, {"b": "z"})
    many = Axis(("a",), tuple((str(number),) for number in range(1001)))
    with pytest.raises(UsageError, match=r"^1,002,001 items are too many: at most 100,000$"):
        product([many, many._replace(names=("b",))], {})


# --- headers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", ["a: 1\n", "", "no end", "#!/bin/sh\necho\n", "a: 1\r\nb: 2\r\n", "#!/bin/sh"])
def test_a_header_says_what_made_a_file_and_whether_it_is_intact(body):
    made = seal(body, "t, sha256:x.yaml", in_json=False)
    assert read_header(made) == ("t, sha256:x.yaml", True)
    assert read_header(made.replace("\r\n", "\n")).intact
    assert not read_header(made + " ").intact
    assert read_header(body) is None
    assert made.startswith(
        "#!/bin/sh" if body.startswith("#!/bin/sh\n") else "# generated by joblot from t, sha256:x.yaml, "
    )


@pytest.mark.parametrize("body", ["{}", '{"a": 1}', ' {\n  "a": {"b": 1}\n}\n', "{ }", '{\r\n "a": 1}\r\n'])
def test_a_json_file_has_its_header_in_its_first_key(body):
    made = seal(body, 'é"t.json', in_json=True)
    assert next(iter(json.loads(made))) == "x-joblot-generated"
    assert list(json.loads(made).items())[1:] == list(json.loads(body).items())
    assert read_header(made) == ('é"t.json', True)
    assert not read_header(made.rstrip()[:-1] + ' , "z": 1}').intact
    assert not read_header(json.dumps(json.loads(made) | {"z": 1}, indent=4)).intact


@given(st.text(max_size=40))
def test_no_other_text_has_a_header(text):
    assert read_header(text) is None


# --- names, and what is written -----------------------------------------------------------------------


def plan(folder, codes=("6920Z", "4329A"), text="code: '{code}'\n", name="naf_{code}.yaml", **more):
    items = [{"code": code} for code in codes]
    return plan_writes(Template(text, file="job.yaml"), items, folder=folder, name=name, **more)[0]


def states(writes):
    return [(write.path.rsplit("/", 1)[-1], write.state) for write in writes]


def do(folder, *args, **more):
    return states(apply_writes(plan(folder, *args, **more)))


def test_a_second_time_nothing_is_touched(tmp_path):
    """R69: one file an item; the same bytes, and the same time of the file."""
    assert do(tmp_path / "out") == [("naf_6920Z.yaml", "generated"), ("naf_4329A.yaml", "generated")]
    file = tmp_path / "out" / "naf_6920Z.yaml"
    before = file.stat()
    assert yaml.safe_load(file.read_text()) == {"code": "6920Z"}
    assert {state for _, state in do(tmp_path / "out")} == {"unchanged"}
    assert (file.stat().st_mtime_ns, file.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
    assert do(tmp_path / "out", text="new: '{code}'\n")[0] == ("naf_6920Z.yaml", "generated")


def test_nothing_is_written_by_planning(tmp_path):
    writes = plan(tmp_path / "out", prune=True)
    assert count(writes)["generated"] == 2
    assert list(tmp_path.iterdir()) == []


def test_an_edited_file_and_a_foreign_one_are_left_alone_unless_forced(tmp_path):
    """D11"""
    do(tmp_path)
    edited, foreign = tmp_path / "naf_6920Z.yaml", tmp_path / "naf_01.yaml"
    edited.write_text(edited.read_text() + "active_only: false\n")
    foreign.write_text("mine: true\n")
    codes = ("6920Z", "4329A", "01")
    assert [state for _, state in do(tmp_path, codes, text="n: '{code}'\n")] == ["edited", "generated", "not_ours"]
    assert edited.read_text().endswith("active_only: false\n")
    assert foreign.read_text() == "mine: true\n"
    assert [state for _, state in do(tmp_path, codes, text="n: '{code}'\n", force=True)] == [
        "generated", "unchanged", "generated",
    ]  # fmt: skip
    assert yaml.safe_load(foreign.read_text()) == {"n": "01"}


def test_a_file_that_is_edited_between_planning_and_writing_counts_as_edited(tmp_path):
    do(tmp_path, ["a"])
    writes = plan(tmp_path, ["a", "b"], text="n: '{code}'\n")
    (tmp_path / "naf_a.yaml").write_text("mine")
    (tmp_path / "naf_b.yaml").write_text("mine too")
    assert [state for _, state in states(apply_writes(writes))] == ["edited", "edited"]
    assert (tmp_path / "naf_b.yaml").read_text() == "mine too"


def test_prune_removes_what_the_same_template_made_and_no_item_asks_for(tmp_path):
    do(tmp_path, ["a", "b", "c"])
    (tmp_path / "other.yaml").write_text(seal("a: 1\n", "other.yaml", in_json=False))
    (tmp_path / "mine.yaml").write_text("a: 1\n")
    (tmp_path / "bytes").write_bytes(b"\xff\x00")
    (tmp_path / "link.yaml").symlink_to(tmp_path / "naf_c.yaml")
    edited = tmp_path / "naf_b.yaml"
    edited.write_text(edited.read_text() + "# mine\n")
    assert do(tmp_path, ["a"], prune=True) == [
        ("naf_a.yaml", "unchanged"), ("naf_b.yaml", "edited"), ("naf_c.yaml", "pruned"),
    ]  # fmt: skip
    kept = {"bytes", "link.yaml", "mine.yaml", "naf_a.yaml", "naf_b.yaml", "other.yaml"}
    assert {path.name for path in tmp_path.iterdir()} == kept
    assert do(tmp_path, ["a"], prune=True, force=True)[-1] == ("naf_b.yaml", "pruned")
    assert do(tmp_path, [], prune=True) == [("naf_a.yaml", "pruned")]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("../x", "holds `/`"),
        ("a/b", "holds `/`"),
        ("..\\x", "holds `\\`"),
        ("a:b", "holds `:`"),
        ("a?", "holds `?`"),
        ("..", "means a folder"),
        (".", "means a folder"),
        ("", "is empty"),
        ("a\0b", "holds a control character (U+0000)"),
        ("a ", "begins or ends with a blank, or ends with a dot"),
        ("a.", "begins or ends with a blank, or ends with a dot"),
        ("NUL", "is one that Windows keeps for itself"),
        ("com1.x", "is one that Windows keeps for itself"),
        ("é" * 128, "is longer than 255 bytes"),
    ],
)
def test_a_file_name_is_a_name_in_the_folder(tmp_path, code, reason):
    """R74: `../x` is rejected; D13: a value never leaves the folder."""
    from joblot.core.written import shorten

    with pytest.raises(ConfigError) as caught:
        plan(tmp_path, [code], name="{code}", text="fixed: 1\n")
    [found] = caught.value.diagnostics
    assert found.message == f"file name `{shorten(code)}` {reason}"
    assert found.hint == f"`code` is `{shorten(code)}`"


def test_links_do_not_lead_out_of_the_folder(tmp_path):
    """R74"""
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere.yaml"
    out.mkdir()
    elsewhere.write_text("mine")
    (out / "naf_a.yaml").symlink_to(elsewhere)
    (out / "naf_b.yaml").mkdir()
    with pytest.raises(ConfigError) as caught:
        plan(out, ["a", "b"], force=True)
    assert [one.message for one in caught.value.diagnostics] == [
        "file name `naf_a.yaml` is a link that leads out of the folder",
        "file name `naf_b.yaml` belongs to something that is no file",
    ]
    (tmp_path / "linked").symlink_to(tmp_path / "real")
    (tmp_path / "real").mkdir()
    assert do(tmp_path / "linked", ["c"]) == [("naf_c.yaml", "generated")]
    assert (tmp_path / "real" / "naf_c.yaml").exists()


def test_the_template_is_never_overwritten(tmp_path):
    file = tmp_path / "job.yaml"
    file.write_text("a: 1\n")
    with pytest.raises(ConfigError, match=r"^file name `job.yaml` is the template's own$"):
        plan_writes(read_template(file), [{}], folder=tmp_path, name="job.yaml", force=True)


@pytest.mark.parametrize(
    ("codes", "name", "message"),
    [
        (["a", "b"], "x.yaml", "two items have the file name `x.yaml`"),
        (["ab", "AB"], "{code}.yaml", "file names `ab.yaml` and `AB.yaml` are the same to some file systems"),
        (["\u00e9", "e\u0301"], "{code}", "file names `\u00e9` and `e\u0301` are the same to some file systems"),
    ],
)
def test_two_items_have_two_names(tmp_path, codes, name, message):
    with pytest.raises(ConfigError) as caught:
        plan(tmp_path / "out", codes, name=name)
    [found] = caught.value.diagnostics
    assert found.message == message
    assert found.hint == "let `--name` hold every variable that tells items apart"
    assert not (tmp_path / "out").exists()


def test_an_unknown_variable_in_the_name(tmp_path):
    with pytest.raises(
        ConfigError,
        match=r"^--name:1:5: error: unknown variable `cod`\nhint: did you mean `code`\? For the characters themselves write `\{\{cod\}\}`$",
    ):
        plan(tmp_path, name="naf_{cod}.yaml")


def test_nothing_is_written_when_one_item_is_wrong(tmp_path):
    """R75: every error of every item at once, no file of any."""
    with pytest.raises(ConfigError) as caught:
        plan(tmp_path / "out", ["good", "it's", "that's"], text="a: '{code}'\n", name="fixed-{code}.yaml")
    assert [one.message.split("`")[1] for one in caught.value.diagnostics] == ["it's", "that's"]
    assert not (tmp_path / "out").exists()


def test_one_mistake_in_many_files_is_shown_a_few_times(tmp_path):
    batch = "jobs:\n  - {name: 'a{code}', action: count_lines, inptu: x}\n"
    with pytest.raises(ConfigError) as caught:
        plan(tmp_path, [str(number) for number in range(500)], text=batch)
    messages = [one.message for one in caught.value.diagnostics]
    assert messages[0] == "unknown field `inptu` in job `a0`"
    assert messages[4] == "unknown field `inptu` in job `a4` (and in 495 more files)"
    assert len(messages) == 5


def test_a_folder_that_is_none(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError) as caught:
        plan(tmp_path / "file")
    assert caught.value.message == f"not a folder: `{tmp_path / 'file'}`"


def test_a_file_that_cannot_be_written_has_failed_and_the_others_go_on(tmp_path):
    """R75: counted."""
    writes = plan(tmp_path / "out", ["a"]) + plan(tmp_path / "other", ["b"])
    (tmp_path / "out").symlink_to(tmp_path / ("x" * 300))
    failed, done = apply_writes(writes)
    assert (failed.state, done.state) == ("failed", "generated")
    assert failed.reason == f"cannot read `{tmp_path}/out/naf_a.yaml`: file name too long"


def test_a_diff_shows_what_would_change(tmp_path):
    [new] = plan(tmp_path, ["a"], text="code: '{code}'")
    assert diff(new).startswith(f"--- /dev/null\n+++ {tmp_path}/naf_a.yaml\n@@ -0,0 +1,2 @@\n+# generated by")
    assert diff(new).endswith("+code: 'a'\n\\ No newline at end of file\n")
    do(tmp_path, ["a"])
    assert [diff(one) for one in plan(tmp_path, ["a"])] == [""]
    [gone] = plan(tmp_path, [], prune=True)
    assert diff(gone).splitlines()[1:] == [
        "+++ /dev/null",
        "@@ -1,2 +0,0 @@",
        *(f"-{x}" for x in gone.before.decode().splitlines()),
    ]


# --- batches ------------------------------------------------------------------------------------------


def test_a_batch_is_held_against_what_joblot_takes(tmp_path):
    """R75: with the lines of the file that would be generated."""
    text = "# a comment\njobs:\n  - {name: 'count {code}', action: count_lines, input: x}\n"
    with pytest.raises(ConfigError) as caught:
        plan(tmp_path, ["a"], text=text)
    [found] = caught.value.diagnostics
    assert found.head().startswith(f"{tmp_path}/naf_a.yaml:4:12: error: `name` cannot be `count a`")
    cycle = "jobs:\n  - {name: a, run: x, needs: [b]}\n  - {name: b, run: x, needs: [a]}\n"
    with pytest.raises(ConfigError, match="jobs need each other: a -> b -> a"):
        plan(tmp_path, ["a"], text=cycle)


def test_what_only_a_run_knows_may_be_missing_from_a_batch(tmp_path):
    text = "vars: {day: {type: date, required: true}}\njobs:\n  - {name: a, run: 'echo ${{ vars.day }} ${{ env.NOT_SET_HERE }}'}\n"
    assert states(plan(tmp_path, ["a"], text=text)) == [("naf_a.yaml", "generated")]


def test_an_unknown_action_in_a_batch_is_a_warning(tmp_path):
    text = "jobs:\n  - {name: 'a{code}', action: cuont_lines, input: x}\n"
    _, [warning] = plan_writes(Template(text, file="t.yaml"), [{"code": "1"}], folder=tmp_path, name="{code}.yaml")
    assert (warning.code, warning.severity, warning.line) == ("unknown_action", "warning", 3)


def test_batches_in_json_and_toml(tmp_path):
    in_json = '{"jobs": [{"name": "a{code}", "run": "echo {code}"}]}'
    in_toml = '[[jobs]]\nname = "a{code}"\nrun = "echo {code}"\n'
    assert states(plan(tmp_path, ["1"], text=in_json, name="b{code}.json")) == [("b1.json", "generated")]
    assert states(plan(tmp_path, ["1"], text=in_toml, name="b{code}.toml")) == [("b1.toml", "generated")]


def test_another_check_can_take_the_place_of_ours(tmp_path):
    seen = []
    template = Template("a: {code}", file="t.yaml")
    plan_writes(
        template, [{"code": "b"}], folder=tmp_path, name="{code}.yaml", check=lambda *args: seen.append(args) or []
    )
    [(text, file, kind)] = seen
    assert (text.splitlines()[1], file, kind) == ("a: b", f"{tmp_path}/b.yaml", "yaml")


def test_plain_text_is_filled_in_as_it_is(tmp_path):
    [write] = plan(tmp_path, ["it's"], text="#!/bin/sh\necho {code}\n", name="x.sh")
    # the template is a `.yaml`, so its files are read as YAML whatever they are called
    assert write.text.startswith("#!/bin/sh\n# generated by joblot from job.yaml, sha256:")
    template = Template("{code}: [", file="t.txt")
    [write] = plan_writes(template, [{"code": "x"}], folder=tmp_path, name="y.txt")[0]
    assert write.text.endswith("\nx: [")


@pytest.mark.parametrize("mark", [",", ";", "|"])
def test_tables_are_parted_as_those_of_a_fan_out(tmp_path, mark):
    """By what stands in the header most: such a table was read another way than under `foreach`."""
    table = tmp_path / "codes.csv"
    table.write_text(f"code{mark}label{mark}place\n1{mark}a{mark}b\n")
    assert read_axis(f"@{table}").rows == (("1", "a", "b"),)
    table.write_text('"code";"a, b";place\n1;2;3\n')
    assert read_axis(f"code=@{table}").rows == (("1",),)


MINE = seal("a: 1\n", "other.yaml", in_json=False).encode()
OF_OTHERS = {
    "zeros": b"",
    "text": b"mine: true\n",
    "a line without an end": b"x",
    "another template's": MINE,
    "another template's JSON": seal('{"a": 1}\n', "other.json", in_json=True).encode(),
    "a script": b"#!/bin/sh\necho\n",
}


@pytest.mark.parametrize("head", OF_OTHERS.values(), ids=OF_OTHERS)
@pytest.mark.parametrize("name", ["data.bin", "naf_b.yaml"])
def test_what_others_made_is_not_read_whole(tmp_path, head, name):
    """2 GB of memory for a file of 1 GB that was not joblot's: its first bytes say whose it is."""
    size = 64 << 20
    with (tmp_path / name).open("wb") as file:
        file.write(head)
        file.truncate(size)
    tracemalloc.start()
    try:
        writes = plan(tmp_path, ["a"], prune=True)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (states(writes), (tmp_path / name).stat().st_size) == ([("naf_a.yaml", "generated")], size)
    assert peak < 8 << 20


def test_a_large_file_of_another_with_a_name_that_is_wanted_is_not_read_whole(tmp_path):
    with (tmp_path / "naf_a.yaml").open("wb") as file:
        file.truncate(64 << 20)
    tracemalloc.start()
    try:
        writes = plan(tmp_path, ["a"])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert states(writes) == [("naf_a.yaml", "not_ours")]
    assert peak < 8 << 20


@pytest.mark.parametrize("size", [(1 << 16) - 200, 1 << 16, (1 << 16) + 1, 200_000])
def test_large_files_of_our_own_are_known_by_all_they_hold(tmp_path, size):
    text = f"code: '{{code}}'\n# {'x' * size}\n"
    assert do(tmp_path, ["a", "b"], text=text) == [("naf_a.yaml", "generated"), ("naf_b.yaml", "generated")]
    assert do(tmp_path, ["a", "b"], text=text) == [("naf_a.yaml", "unchanged"), ("naf_b.yaml", "unchanged")]
    file = tmp_path / "naf_b.yaml"
    file.write_text(file.read_text() + "# mine\n")
    assert do(tmp_path, ["a"], text=text, prune=True)[1:] == [("naf_b.yaml", "edited")]
    assert do(tmp_path, [], text=text, prune=True)[0] == ("naf_a.yaml", "pruned")
