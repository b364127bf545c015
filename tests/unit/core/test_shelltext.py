"""Values in commands for the shell: where they can stand, how they arrive, and that none of them is ever code."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from joblot.core.references import TemplateError
from joblot.core.shelltext import LONGEST, programs_in, read

REF = "${{ vars.x }}"
SHELLS = {
    name: words
    for name, words in {
        "dash": ["dash"], "bash": ["bash"], "bash as sh": ["bash", "--posix"], "busybox": ["busybox", "sh"],
    }.items()
    if shutil.which(words[0])
}  # fmt: skip


def places(text):
    """Of each reference, what is special about its place."""
    return [place.refused or place.number or ("words" if place.spread else "text") for place in read(text).places]


def run(text, values, shell="dash", folder=None):
    """What a text prints in a shell, with values for `vars.x` and others."""
    argv = read(text).call({f"vars.{name}": value for name, value in values.items()}).argv()
    words = [*SHELLS[shell], *argv[1:]]
    return subprocess.run(words, capture_output=True, cwd=folder, env={"PATH": os.environ["PATH"]}, check=False)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (f"echo {REF}", "words"), (f"echo 'a' \"b\" {REF}", "words"), (f'echo "$(cat {REF})"', "words"), (f'echo \\" {REF}', "words"),
        (f'a={REF}; echo "$a"', "text"), (f"echo a#b {REF}", "words"), (f"cat <<E\nit's\nE\necho {REF}", "words"),
        (f"cat <<-'END' {'x'}\n\tthe \"\n\tEND\necho {REF}", "words"), (f"cat <<<{REF}", "text"), (f"echo $((1<<2)) {REF}", "words"),
        (f"# it's a comment\necho {REF}", "words"), (f"# it's {REF}\necho a", "words"), (f'echo a # "{REF}', "words"), (f"echo 'it'\\''s' {REF}", "words"), (f"case x in x) echo {REF};; esac", "words"),
        (f"(cd {REF} && ls)", "words"), (f"cat <<A <<B\n'\nA\n\"\nB\necho {REF}", "words"), (f'echo "{REF}"', "text"),
        (f"echo '{REF}'", "text"), (f'echo "a $(echo "{REF}")"', "text"), (f"cat <<E\n{REF}\nE\n", "text"),
        (f"cat <<A <<B\nx\nA\n{REF}\nB\n", "text"), (f"x=$(case a in a) echo {REF};; esac)", "words"), (f"echo ${{y:-{REF}}}", "text"),
        (f'echo "${{y:-{REF}}}"', "text"), (f"f() {{ echo {REF}; }}; f", "words"), (f"a \\\n  {REF} \\\n  # b", "words"),
        (f"case {REF} in x) ;; esac", "text"), (f"[ {REF} = a ]", "text"), (f"export A={REF}", "text"), (f"a=({REF})", "words"),
    ],
)  # fmt: skip
def test_i11_place_where_a_value_can_stand(text, where):
    """I11."""
    assert places(text) == [where]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (f"echo $(( {REF} + 1 ))", "`$(( ))`"), (f'echo "$(( 1 + {REF} ))"', "`$(( ))`"), (f"cat <<E\n$(( {REF} ))\nE\n", "`$(( ))`"),
        (f"(( {REF} > 1 ))", "`(( ))`"), (f"for (( i=0; i<{REF}; i++ )); do :; done", "`(( ))`"), (f"let y={REF}", "`let`"),
        (f'let "y = {REF}"', "`let`"), (f"[[ {REF} -eq 3 ]]", "`[[ ]]`"), (f"[[ a == b && 3 -lt {REF} ]]", "`[[ ]]`"),
        (f"[[ -v {REF} ]]", "`[[ -v ]]`"), (f"a[{REF}]=1", "`[ ]`"), (f"a=([{REF}]=1)", "`[ ]`"), (f"echo ${{a[{REF}]}}", "`${ }`"),
        (f"echo ${{y:{REF}}}", "`${ }`"), (f"echo ${{y:1:{REF}}}", "`${ }`"), (f"n={REF}; echo $((n + 1))", "the variable `n`"),
        (f"for n in {REF}; do echo $((n)); done", "the variable `n`"), (f"export n={REF}; [[ $n -gt 1 ]]", "the variable `n`"),
        (f"declare -i n={REF}", "`declare`"), (f"declare -n r={REF}", "`declare`"), (f"unset {REF}", "`unset`"), (f"read {REF}", "`read`"),
        (f"printf -v {REF} x", "`printf -v`"), (f"test -v {REF}", "`test -v`"), (f"if [ -v {REF} ]; then :; fi", "`[ -v`"),
        (f"m={REF}; n=$m; echo $((n))", "the variable `m`"), (f"f() {{ echo $(( $1 )); }}; f {REF}", "a parameter"),
        (f"f() {{ local n=$1; echo $((n)); }}; f a {REF}", "a parameter"), (f"set -- {REF}; echo $(( $1 ))", "a parameter"),
        (f"function f {{ echo $(( ${{1}} )); }}\nf {REF}", "a parameter"), (f"read n <<E\n{REF}\nE\necho $((n))", "the variable `n`"),
        (f"echo {REF} | while read n; do echo $((n)); done", "the variable `n`"), (f"while read n; do echo $((n)); done <<<{REF}", "the variable `n`"),
        (f"a=({REF}); echo $(( a[0] ))", "the variable `a`"), (f"echo ${{n:={REF}}} $((n))", "the variable `n`"),
        (f"printf -v n %s {REF}; echo $((n))", "the variable `n`"), (f"set -- {REF}; for n; do :; done; let y=$1", "a parameter"),
        (f"command let y={REF}", "`let`"), (f"le\\\nt y={REF}", "`let`"), (f"getopts o {REF}", "`getopts`"), (f"local {REF}", "`local`"),
    ],
)  # fmt: skip
def test_a_value_that_the_shell_evaluates_must_be_an_integer(text, what):
    assert places(text) == [what]
    for value in (
        "$(touch PWN)",
        "a[$(touch PWN)]",
        "x",
        "",
        "1.5",
        "010",
        "+1",
        " 1",
        "1\n",
        "9223372036854775808",
        "٣",
        None,
        True,
        ["a"],
    ):
        with pytest.raises(TemplateError) as caught:
            read(text).call({"vars.x": value}).argv()
        assert caught.value.message.startswith(f"`vars.x` stands in {what}, which the shell evaluates: only an integer")
    for value in (0, 41, "-7", "9223372036854775807"):
        assert read(text).call({"vars.x": value}).argv()[-1] == str(value)


@pytest.mark.parametrize(
    ("text", "where", "hint"),
    [
        (f"echo `cat {REF}`", "backquotes", "write `$( )`"), (f'echo "`cat {REF}`"', "backquotes", "write `$( )`"),
        (f"cat <<'E'\n{REF}\nE\n", "a quoted here-document", "write `<<E`"), (f"cat <<\\E\n{REF}\nE\n", "a quoted here-document", "write `<<E`"),
        (f"echo \\{REF}", "an escape", "leave out the backslash"),
        (f"cat <<E\n{REF}", "or behind a here-document without its end", "pass it through `env` instead"),
        (f'cat <<E"F"\n{REF}\nEF\n', "or behind a here-document whose end is written unusually", "write `<<END`"),
        (f"cat << $E\n{REF}\n$E\n", "or behind a here-document whose end is written unusually", "write `<<END`"),
        (f"echo $[ {REF} + 1 ]", "or behind `$[ ]`", "write `$(( ))`"), (f"echo $'it\\'s' {REF}", "or behind `$' '`", "pass it through `env` instead"),
        (f"echo $'{REF}'", "or behind `$' '`", "pass it through `env` instead"), (f"echo ${REF}", "or behind an expansion (`$`)", "pass it through `env` instead"),
        (f"echo $\\\n({REF})", "or behind an expansion (`$`)", "pass it through `env` instead"),
        (f"(\\\n( {REF} ))", "or behind a line that goes on within an operator", "pass it through `env` instead"),
        (f"echo ${{y#{REF}}}", "or behind `${ }` of this form", "give it to a variable first: `x=${{ ... }}`, then `$x`"),
        (f"echo \"${{y:-'}}\" {REF}", "or behind `${ }` of this form", "give it to a variable first: `x=${{ ... }}`, then `$x`"),
        (f"((echo a); cat {REF})", "or behind `(( ))` that may be brackets in brackets", "put a blank between the brackets"),
        (f"echo $(( $(cat {REF}) ))", "a command within `$(( ))`, which evaluates what it prints", "give what it prints to a variable first"),
        (f"let y=$(cat {REF})", "a command within `let`, which evaluates what it prints", "give what it prints to a variable first"),
        (f"echo '{REF}", "or behind quotes that are not closed", "pass it through `env` instead"),
        (f'echo {REF} "', "or behind quotes that are not closed", "pass it through `env` instead"),
        (f"echo $(ls {REF}", "or behind brackets that are not closed", "pass it through `env` instead"),
        (f"echo {REF} )", "or behind a `)` without `(`", "pass it through `env` instead"),
        (f"case x in a) {REF}", "or behind `case` without `esac`", "pass it through `env` instead"),
        (f"echo @(a|{REF})", "or behind `(` within a command", "pass it through `env` instead"),
        (f"[[ a == b || {REF} == c ]]", "or behind `||` within `[[ ]]`", "write two `[[ ]]`"),
        (f"cat <<E '\n'\n{REF}\nE\n", "or behind a here-document behind a line break", "pass it through `env` instead"),
        (f"cat <<E\na\\\nE\n{REF}\nE\n", "or behind a here-document with a line that goes on", "pass it through `env` instead"),
        (f"a[ {REF} ]=1", "or behind `[` behind a name", "pass it through `env` instead"), ("( " * 3000 + REF, "or behind brackets that are nested too deeply", "pass it through `env` instead"),
    ],
)  # fmt: skip
def test_i11_place_where_no_value_can_stand(text, where, hint):
    """I11: what is not understood is refused."""
    place = read(text).misplaced
    assert place is not None
    assert (place.reference.text, place.refused, place.hint) == ("vars.x", where, hint)
    with pytest.raises(TemplateError, match="where its value is not safe"):
        read(text).call({"vars.x": "1"}).argv()


def test_second_reference_is_named_when_it_is_the_wrong_one():
    place = read("echo ${{ vars.a }} `${{ vars.b }}` ${{ vars.c }}").misplaced
    assert place is not None
    assert place.reference.text == "vars.b"


@pytest.mark.parametrize(
    ("text", "program"),
    [
        (f"eval {REF}", "eval"), (f'eval "echo {REF}"', "eval"), (f"trap 'rm {REF}' EXIT", "trap"), (f"sh -c 'echo {REF}'", "sh -c"),
        (f'/bin/bash -ec "echo {REF}"', "bash -ec"), (f"awk '{{print {REF}}}' f", "awk"), (f"awk -F , -v a=1 '/{REF}/' f", "awk"),
        (f"python3 -c 'print({REF})'", "python3 -c"), (f"ssh host ls {REF}", "ssh"), (f"find . -exec sh -c 'x {REF}' \\;", "sh -c"),
        (f"sudo -u me sh -c 'x {REF}'", "sh -c"), (f"sh <<E\necho {REF}\nE\n", "sh"), (f"python3 - <<E\nprint({REF})\nE\n", "python3"),
        (f"echo {REF} | bash -s", "bash"), (f"bash <<<{REF}", "bash"), (f"perl -ne 'print {REF}'", "perl -ne"), (f"sed 's/a/{REF}/' f", "sed"),
        (f"if true; then nohup sh -c 'x {REF}'; fi", "sh -c"), (f"$SHELL -c 'x {REF}'", "-c"), (f"ssh host <<E\nls {REF}\nE\n", "ssh"),
    ],
)  # fmt: skip
def test_a_reference_within_another_programs_text_is_noticed(text, program):
    assert [(reference.text, what) for reference, what in read(text).programs] == [("vars.x", program)]


@pytest.mark.parametrize(
    "text",
    [
        f"sh -c 'echo \"$1\"' sh {REF}", f"awk -v n={REF} '{{print n}}' f", f"awk '{{print}}' {REF}", f"python3 -c 'x' {REF}",
        f"python3 script.py {REF}", f"echo eval {REF}", f"sh script.sh {REF}", f"sed 's/a/b/' {REF}", f"tar -c {REF}", f"sh script.sh <<E\n{REF}\nE\n",
        f"echo {REF} | sh script.sh", f"sort <<E\n{REF}\nE\n", f"awk -f program.awk {REF}",
    ],
)  # fmt: skip
def test_a_reference_beside_another_programs_text_is_fine(text):
    assert read(text).programs == []
    assert read(text).misplaced is None


def test_programs_are_noticed_in_lists_of_words_too():
    found = programs_in(["sh", "-c", f"echo {REF} ${{{{ vars.y }}}}", "sh", "${{ vars.z }}"])
    assert [(reference.text, what) for reference, what in found] == [("vars.x", "sh -c"), ("vars.y", "sh -c")]


# --- how values arrive --------------------------------------------------------------------------------

HOSTILE = [
    "", " ", "a b", "'", '"', "\\", "$(touch PWN)", "`touch PWN`", "; touch PWN", "&& touch PWN", "| touch PWN", "\n touch PWN\n", "*", "~",
    "$HOME", "-n", "#", "!x", "é\u202e", "a'b\"c\\", "${x}", "$((1))", "a[$(touch PWN)]", "E\nE\ntouch PWN\n", "\\`", "'\"'\"'", "if", "}", ")",
    "{a,b}", "\ue000", "${{ vars.x }}",
]  # fmt: skip


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "text",
    [
        f"printf '%s\\0' {REF}", f'printf "%s\\0" "{REF}"', f"printf '%s\\0' '{REF}'", f"v={REF}; printf '%s\\0' \"$v\"",
        f"f() {{ printf '%s\\0' {REF}; }}; set -- a b; f c", f"IFS=a; set -fu; printf '%s\\0' {REF}", f'printf "%s\\0" "$(printf "%s." {REF})"',
        f'printf "%s\\0" "${{nothing:-{REF}}}"', f"set -a; printf '%s\\0' {REF}; env", f"case {REF} in {REF}) printf '%s\\0' {REF};; esac",
    ],
)  # fmt: skip
def test_i11_hostile_values_arrive_byte_for_byte(text, shell, tmp_path):
    """I11: through real shells, and nothing that they hold is executed."""
    for value in HOSTILE:
        done = run(text, {"x": value}, shell, tmp_path)
        arrived = done.stdout.split(b"\0")[0].decode()
        assert (arrived, done.stderr) == (f"{value}." if "%s." in text else value, b""), (text, value)
        assert b"joblot_" not in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shell", SHELLS)
def test_i11_here_document_keeps_values(shell, tmp_path):
    """I11."""
    for value in HOSTILE:
        done = run(f"cat <<E; cat <<-F\n{REF}\nE\n\t<{REF}>\n\tF\n", {"x": value}, shell, tmp_path)
        assert (done.stdout.decode(), done.stderr) == (f"{value}\n<{value}>\n", b"")
    assert list(tmp_path.iterdir()) == []


def test_a_list_is_a_word_for_each_item_and_one_text_where_one_must_stand():
    values = {"x": ["a b", "", ["c", 3], None]}
    assert run(f"printf '<%s>' {REF}", values).stdout == b"<a b><><c><3><>"
    assert run(f"printf '<%s>' -{REF}-", values).stdout == b"<-a b><><c><3><->"
    assert run(f"for i in {REF}; do printf '<%s>' \"$i\"; done", values).stdout == b"<a b><><c><3><>"
    text = b'["a b","",["c",3],null]'
    assert run(f'printf "<%s>" "{REF}"', values).stdout == b"<" + text + b">"
    assert run(f'v={REF}; printf "<%s>" "$v"', values).stdout == b"<" + text + b">"
    assert run(f"printf '<%s>' a {REF} b", {"x": []}).stdout == b"<a><b>"


def test_a_second_item_of_a_list_is_never_a_commands_name(tmp_path):
    for text in (f"v={REF}", f"> {REF}", f"v={REF} true", f"[ {REF} ] || true"):
        run(text, {"x": ["a", "touch", "PWN"]}, folder=tmp_path)
    assert not (tmp_path / "PWN").exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_arithmetic_with_integers(shell):
    text = f"n={REF}; echo $(( {REF} + 1 )) $((5 -{REF})) $(( n * 2 ))"
    assert run(text, {"x": "-3"}, shell).stdout == b"-2 8 -6\n"


def test_values_that_no_command_takes():
    for value, message in (
        ("a\0b", "a value with a NUL cannot stand in a command"),
        (
            "x" * (LONGEST + 1),
            f"`vars.x` is longer than {LONGEST} bytes, which no command takes as one value: pass a file",
        ),
    ):
        with pytest.raises(TemplateError) as caught:
            read(f"echo {REF}").call({"vars.x": value}).argv()
        assert caught.value.message == message
    assert len(run(f"printf %s {REF}", {"x": "x" * LONGEST}).stdout) == LONGEST


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("text", "printed"),
    [
        (f"printf '%s,' {REF} | tr -dc , | wc -c", "10000"), (f'for i in {REF}; do :; done; echo "$i"', "$(touch PWN) 9999"),
        (f"printf '%s\\n' a{REF}z | sed -n '1p;$p'", "a$(touch PWN) 0\n$(touch PWN) 9999z"),
        (f"(printf '%s\\n' {REF}; printf '%s\\n' {REF}) | sort -u | wc -l", "10000"),
        (f"printf '%s\\n' {REF} | awk '{{n += $3}} END {{print n}}'", "49995000"),
        ("echo ${{ vars.y }} " + REF + " | cut -c 1-23; echo ${{ vars.y }}", "an'other $(touch PWN) 0\nan'other"),
        (f"# {REF}\necho {REF} | wc -w", "30000"),
    ],
    ids=["count", "loop", "parts of words", "twice", "awk", "beside another", "and in a comment"],
)  # fmt: skip
def test_a_list_of_many_values_stays_in_the_parameters(shell, text, printed, tmp_path):
    """Ten thousand would be ten thousand variables, more than a program's text may have."""
    values = {"x": [f"$(touch PWN) {n}" for n in range(10_000)], "y": "an'other"}
    done = run(text, values, shell, folder=tmp_path)
    assert (done.stdout.decode(), done.stderr) == (f"{printed}\n", b"")
    assert not (tmp_path / "PWN").exists()


@pytest.mark.parametrize(
    "text",
    [
        f"f() {{ echo {REF}; }}; f", f"function f {{ echo {REF}; }}; f", f"set -- a; echo {REF} $1", f"echo {REF}; echo $#", f'echo {REF} "$@"',
        f"echo {REF} ${{1:-x}}", f". ./lib; echo {REF}", f"source ./lib; echo {REF}", f"echo {REF}; shift || :", f"while getopts a o; do echo {REF}; done",
        f"x='$1'; n=$(( 1 )); echo {REF}",
    ],
)  # fmt: skip
def test_many_values_in_a_text_with_parameters_of_its_own_are_variables_of_a_program_in_a_file(text, tmp_path):
    program = read(text).call({"vars.x": ["1"] * 9000})
    assert (program.by_file, program.words) == (True, ["/bin/sh", "-e"])
    (tmp_path / "lib").write_text("")
    (tmp_path / "text").write_text(program.text or "")
    done = subprocess.run(
        ["bash", *program.argv("./text")[1:]], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split().count("1") == (0 if "getopts" in text else 9000)


def test_a_variable_is_never_one_of_the_text_or_of_the_environment():
    argv = read(f"joblot_1=5; echo {REF} $joblot_1").call({"vars.x": "a"}, [b"joblot__9"]).argv()
    assert argv == [
        "/bin/sh",
        "-e",
        "-c",
        'joblot___1=${1}; shift 1; joblot_1=5; echo "${joblot___1}" $joblot_1',
        "/bin/sh",
        "a",
    ]


@pytest.mark.parametrize(
    ("text", "value", "shown"),
    [
        (f"echo {REF}", "a b", "echo 'a b'"), (f"echo {REF}", ["a b", "c"], "echo 'a b' c"), (f'echo "<{REF}>"', 'a"$b', 'echo "<a\\"\\$b>"'),
        (f"echo '<{REF}>'", "it's", "echo '<it'\\''s>'"), (f"echo $(( {REF} + 1 ))", 3, "echo $(( 3 + 1 ))"), (f"v={REF}", ["a"], "v='[\"a\"]'"),
    ],
)  # fmt: skip
def test_a_command_is_shown_as_a_person_would_type_it(text, value, shown):
    assert read(text).shown({"vars.x": value}) == shown
    assert read(text).shown({}) == text


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (f"PS4='+ {REF} '; set -x; true", "the variable `PS4`"), (f"p={REF}; export PS4=$p", "the variable `p`"),
        (f"BASH_ENV={REF} bash -c true", "the variable `BASH_ENV`"), (f"x={REF}; echo ${{!x}}", "the variable `x`"),
        (f"f() {{ echo ${{!1}}; }}; f {REF}", "a parameter"), (f'x={REF}; echo "${{x@P}}"', "the variable `x`"),
        (f"x={REF}; [[ -v $x ]]", "the variable `x`"), (f'x={REF}; printf -v "$x" a', "the variable `x`"),
        (f'x={REF}; declare "$x=1"', "the variable `x`"), (f"declare -a a={REF}", "`declare`"), (f"x={REF}; local -A a=$x", "the variable `x`"),
        # what a command only prints
        (f"x=$(echo {REF}); echo $((x))", "the variable `x`"), (f'x="a$(printf %s {REF})"; echo $((x))', "the variable `x`"),
        (f"read x < <(echo {REF}); echo $((x))", "the variable `x`"), (f"f() {{ echo $(( $1 )); }}; f $(echo {REF})", "a parameter"),
        (f"mapfile -t a < <(printf %s {REF}); echo $((a[0]))", "the variable `a`"), (f"x=$(y=$(echo {REF}); echo $y); echo $((x))", "the variable `x`"),
        (f"for x in $(echo {REF}); do echo $((x)); done", "the variable `x`"), (f"x=$(command echo $(echo {REF})); : $((x))", "the variable `x`"),
        # what stands before something that is not understood
        (f"n={REF}; echo $'it\\'s' $((n))", "the variable `n`"), (f"n={REF}; echo ${{y#'}}'}}; [[ $n -gt 1 ]]", "the variable `n`"),
        (f"echo {REF} | {{ echo $[1]; read n; echo $((n)); }}", "a variable that is read"), (f"n={REF}; : $[ n ]", "the variable `n`"),
        (f"let y={REF} z=$[1]", "or behind `$[ ]`"), (f"[[ {REF} -gt 3 && x == $'\\'' ]]", "or behind `$' '`"),
    ],
)  # fmt: skip
def test_a_value_that_comes_to_be_evaluated_by_another_way(text, what):
    assert places(text) == [what]
    for value in ("$(touch PWN)", "a[$(touch PWN)]", "($(touch PWN))", "x"):
        with pytest.raises(TemplateError):
            read(text).call({"vars.x": value}).argv()


@pytest.mark.parametrize(
    "before",
    [
        "IFS=$'\\n\\t'", 'y=${y:-$(date +%F)}; echo "${y:-$(date +%F)}"', 'echo ${y:+"$y"} "${y:-"a b"}" ${y:-"it\'s"}', 'f() { : ${1:?"usage: f"}; }',
        "f() { echo \"${y//\\//_}\" \"${y//$'\\n'/ }\" \"${y#\"$z\"}\" \"${y%\"${y##*[![:space:]]}\"}\"; }", "function f () { :; }",
        'f() { [[ $y =~ ^v([0-9]+)\\.(a|b)$ ]] && echo "${!y@}" "${!y[@]}"; }', "n=1; x='a b'; : $((n + ${#x}))",
    ],
)  # fmt: skip
def test_what_people_write_before_a_reference_is_understood(before, tmp_path):
    text = f"{before}\nx={REF}; printf '<%s>' \"$x\" {REF}"
    assert places(text) == ["text", "words"]
    for value in ("a b", "$(touch PWN)", "it's"):
        assert run(text, {"x": value}, "bash", tmp_path).stdout.endswith(f"<{value}><{value}>".encode())
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_closed_is_found_in_linear_time():
    assert places("echo ${y:-" + "$abcdef" * 40 + f" {REF}") == ["or behind `${ }` of this form"]


@pytest.mark.parametrize(
    "text", [f"n=$(wc -l < {REF}); echo $((n + 1))", f"n=$(echo {REF} | wc -c); echo $((n + 1))", f"n=$(echo {REF}); echo $n $((m + 1))"]
)  # fmt: skip
def test_what_a_command_makes_of_a_value_is_its_own_affair(text):
    (place,) = read(text).places
    assert (place.refused, place.number) == ("", "")


# --- functions beside each other ----------------------------------------------------------------------

CALC = "calc() { echo $(( $1 )); }\n"
PRINTING = [
 f'log() {{ echo "$1"; }}\n{CALC}log "{REF}"; calc 1',
 f'log() {{ echo "$@" >&2; }}\n{CALC}log {REF}; calc 1',
 f'log() {{\n  printf "%s\\n" "$1"\n}}\n{CALC}log "{REF}"',
 f'log() {{ date; echo "$1" | tee -a log; }}\n{CALC}log "{REF}"',
 f'{CALC}log () {{\n\tprintf \'%s\\n\' "$*" 1>&2;\n}}\nlog {REF}',
 f'{CALC}log() {{ echo "a; b | c: $1"; }}; log {REF}',
]  # fmt: skip
NOT_ONLY_PRINTING = [
 f'log() {{ echo "$1"; }}\n{CALC}n=$(log {REF}); calc $n',
 f'log() {{ echo "$1"; }}\n{CALC}calc $(log {REF})',
 f'log() {{ echo "$1"; }}\n{CALC}log {REF} | while read n; do calc $n; done',
 f'log() {{ x="$1"; echo $x; }}\n{CALC}log {REF}; calc $x',
 f'log() {{ calc "$1"; }}\n{CALC}log {REF}',
 f'log() {{ printf -v x %s "$1"; }}\n{CALC}log {REF}; calc $x',
 f'echo() {{ calc "$1"; }}\nlog() {{ echo "$1"; }}\n{CALC}log {REF}',
 f'log() {{ echo "$1"; }}\nlog() {{ calc "$1"; }}\n{CALC}log {REF}',
 f'log() {{ echo "$1"; }}\nfunction log {{ calc "$1"; }}\n{CALC}log {REF}',
 f'log() {{ echo "$1"; }}\n. ./lib.sh\n{CALC}log {REF}',
 f'log() {{ echo "$1"; }}\neval "$y"\n{CALC}log {REF}',
 f'alias echo=let\nlog() {{ echo "$1"; }}\n{CALC}log {REF}',
 f'log() {{ echo $(calc "$1"); }}\n{CALC}log {REF}',
 f"log() {{ [[ $1 -eq 1 ]]; }}\n{CALC}log {REF}",
 f"log() {{ echo ${{1:?}}; }}\n{CALC}log {REF}",
 f'log() {{ read x; echo "$1"; }}\n{CALC}log {REF}',
 f'log() {{ echo "$1" | read x; }}\n{CALC}log {REF}; calc $x',
 f"cat <<'E'\nlog() {{ echo hi; }}\nE\nlog() {{ calc $1; }}\n{CALC}log {REF}",
 f'log() ( calc "$1" )\n{CALC}log {REF}',
 f'n=$(log {REF}); echo $((n))\nlog() {{ echo "$1"; }}',
 f'set -- {REF}; log() {{ echo "$1"; }}; echo $(( $1 ))',
 f'log() {{ set -- 1; echo "$1"; }}\n{CALC}log {REF}',
 f'log() {{ echo "$1" $(( $2 )); }}\n{CALC}log {REF}',
 f'log() {{ echo "a;}}b $1"; calc "$1"; }}\n{CALC}log {REF}',
 f"""log() {{ echo "x'"'; }}'; calc "$1"; }}\n{CALC}log {REF}""",
 f"""log() {{ echo '; }}' "$1"; calc "$1"; }}\n{CALC}log {REF}""",
 f'log() {{ echo a}}; calc "$1"; }}\n{CALC}log {REF}',
 f'log() {{ echo "$1" # x; }}\ncalc "$1"; }}\n{CALC}log {REF}',
 f'log() {{ echo \\"; }}\ncalc "$1"; }}\n{CALC}log {REF}',
 f"PS4='$(( $1 )) '; set -x; log() {{ echo \"$1\"; }}\nlog {REF}",
 f"trap 'let y=$1' DEBUG; set -T; log() {{ echo \"$1\"; }}\n{CALC}log {REF}",
 f"log() {{ for n; do calc $n; done; }}\n{CALC}log {REF}",
 f'log() {{ echo; calc "$1"; }}\n{CALC}log {REF}',
 f'log() {{ echo & calc "$1"; }}\n{CALC}log {REF}',
 f'log() {{ "calc" "$1"; }}\n{CALC}log {REF}',
 f'log() {{ c"alc" "$1"; }}\n{CALC}log {REF}',
 f'log() {{ $c "$1"; }}\n{CALC}c=calc; log {REF}',
 f'log() {{ echo "$1"; }}\n{CALC}log() {{ echo "$1"; }}\nlog {REF}',
 f'log() {{ echo "$1"; }}\n{CALC}log {REF} $[1]',
]  # fmt: skip


@pytest.mark.parametrize("text", PRINTING)
def test_what_a_function_only_prints_may_be_anything_though_another_one_calculates(text, tmp_path):
    assert places(text) in (["text"], ["words"])
    for shell in SHELLS:
        for value in ("it's $(touch PWN)", "a[$(touch PWN)]", "`touch PWN`;touch PWN"):
            assert value.encode() in run(text, {"x": value}, shell, tmp_path).stdout + b"" or ">&2" in text
        assert "PWN" not in os.listdir(tmp_path)


@pytest.mark.parametrize("text", NOT_ONLY_PRINTING)
def test_a_function_that_may_do_more_with_its_parameters_takes_integers_only(text):
    """A body that seems to end earlier than it does, a name that is given another meaning, what is printed and then read."""
    for value in ("$(touch PWN)", "a[$(touch PWN)]", "x"):
        with pytest.raises(TemplateError):
            read(text).call({"vars.x": value}).argv()
