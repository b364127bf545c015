"""Where a quoted value is safe in a shell command."""

from __future__ import annotations

import subprocess

import pytest

from joblot.config.shelltext import misplaced
from joblot.core.references import split, substitute

REF = "${{ vars.x }}"


@pytest.mark.parametrize(
    "text",
    [
        f"echo {REF}", f"echo 'a' \"b\" {REF}", f'echo "$(cat {REF})"', f'echo \\" {REF}', f'a={REF}; echo "$a"', f"echo a#b {REF}",
        f"cat <<E\nit's\nE\necho {REF}", f"cat <<-'END' {'x'}\n\tthe \"\n\tEND\necho {REF}", f"cat <<<{REF}", f"echo $((1<<2)) {REF}",
        f"# it's a comment\necho {REF}", f"echo 'it'\\''s' {REF}", f"case x in x) echo {REF};; esac", f"(cd {REF} && ls)",
        f"cat <<A <<B\n'\nA\n\"\nB\necho {REF}", f"echo < {REF} > {REF}",
    ],
)  # fmt: skip
def test_i11_reference_where_the_shell_reads_words(text):
    """I11."""
    assert misplaced(split(text)) is None


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (f'echo "{REF}"', "quotes"), (f"echo '{REF}'", "quotes"), (f"sh -c 'echo {REF}'", "quotes"), (f'echo "a $(echo "{REF}")"', "quotes"),
        (f"echo `cat {REF}`", "backquotes"), (f'echo "`cat {REF}`"', "backquotes"), (f"cat <<E\n{REF}\nE\n", "a here-document"),
        (f"cat <<'E'\n{REF}\nE\n", "a here-document"), (f"cat <<E\n{REF}", "a here-document"), (f"ls # {REF}", "a comment"),
        (f"echo \\{REF}", "an escape"), (f"cat <<A <<B\nx\nA\n{REF}\nB\n", "a here-document"),
    ],
)  # fmt: skip
def test_i11_reference_where_a_quoted_word_is_not_safe(text, where):
    """I11."""
    found = misplaced(split(text))
    assert found is not None
    assert found[1] == where
    assert found[0].text == "vars.x"


def test_second_reference_is_named_when_it_is_the_wrong_one():
    found = misplaced(split("echo ${{ vars.a }} '${{ vars.b }}' ${{ vars.c }}"))
    assert found is not None
    assert found[0].text == "vars.b"


HOSTILE = [
    "",
    " ",
    "a b",
    "'",
    '"',
    "\\",
    "$(id)",
    "`id`",
    "; id",
    "&& id",
    "| id",
    "\n id",
    "*",
    "~",
    "$HOME",
    "-n",
    "#",
    "!x",
    "é\u202e",
    "a'b\"c\\",
]


def test_i11_hostile_values_arrive_byte_for_byte():
    """I11: through a real shell."""
    places = "printf '%s\\0' " + " ".join(f"${{{{ vars.l.{number} }}}}" for number in range(len(HOSTILE)))
    assert misplaced(split(places)) is None
    command = substitute(places, {"vars": {"l": HOSTILE}}, shell=True)
    done = subprocess.run(["sh", "-c", command], capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == HOSTILE
