"""Values in shell texts, against real shells: none is executed, none is changed.

A case is a text with a reference, in one of many contexts and behind lines of noise, and a value made of what shells give a meaning to: an
expansion that would make the file `PWN`, quotes, ends of here-documents, arithmetic. About 40 texts that can be run become one program, so that
they are read together as well, by a shell that ends at the first failure; `dash`, `bash`, `bash` as `sh` and `busybox` take turns. What arrives must be the value, byte for byte, and the
folder must stay empty. One text in forty is torn: pieces of shell in any order, run alone, in which only nothing may be executed. Of each
context it is counted how often a text was refused, how often a value, how often it was run, executed and changed.

With `--old FOLDER` the joblot below that folder (its `src`), which puts quoted values into the text, is tried in the same way: that shows what
the cases can find.

    python tests/torture/shell.py --cases 1000000 [--seed 1] [--old FOLDER]
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

BLOCK = 40
SHELLS = {"dash": ["dash"], "bash": ["bash"], "bash as sh": ["bash", "--posix"], "busybox": ["busybox", "sh"]}
BASH = frozenset({"bash", "bash as sh"})
R = "\ue001"
"""Stands for the reference in the texts below."""

PRINTED = {
    "word": f"printf '%s' {R}",
    "part of a word": f"printf '%s' a={R}/b",
    "word beside words": f"printf '%s' '' {R} \"\"",
    "double quotes": f'printf "%s" "a{R}b"',
    "double quotes with quotes": f'printf "%s" "\'{R}\'"',
    "single quotes": f"printf '%s' '{R}'",
    "single quotes with quotes": f"printf '%s' '\"{R}\"'",
    "quotes beside quotes": f"printf '%s' 'a'{R}\"b\"'{R}'",
    "format": f"printf '%s' \"$(printf '%s.' {R})\"",
    "assignment": f'v={R}; printf "%s" "$v"',
    "assignment before a command": f"v={R} true; printf '%s' {R}",
    "exported assignment": f'export v={R}; printf "%s" "$v"',
    "quoted assignment": f'v="{R}"; printf "%s" "$v"',
    "substitution": f'printf "%s" "$(printf "%s." {R})"',
    "substitution in a substitution": f'printf "%s" "$(printf "%s." "$(printf "%s." {R})")"',
    "substitution with a case": f'printf "%s" "$(case a in a) printf "%s." {R};; esac)"',
    "here-document": f"cat <<E\n{R}\nE",
    "here-document with quotes": f"cat <<E\n'{R}' \"{R}\nE",
    "here-document with tabs": f"cat <<-E\n\t{R}\n\tE",
    "here-document with a substitution": f"cat <<E\n$(printf '%s.' {R})\nE",
    "second here-document": f"cat <<A; cat <<'B'; cat <<C\n'\nA\n\"$(\nB\n{R}\nC",
    "case word": f"case {R} in {R}) printf '%s' {R};; esac",
    "case pattern": f"case {R} in a|{R}) printf '%s' {R};; esac",
    "function": f"f() {{ printf '%s' {R}; }}; f x y",
    "function with parameters set": f"set -- a b; f() {{ shift; printf '%s' {R}; }}; f x y",
    "function that only prints": f"log() {{ printf '%s' \"$1\" >&1; }}; calc() {{ : $(( $1 )); }}; calc 1; log {R}",
    "subshell": f"(printf '%s' {R})",
    "group": f"{{ printf '%s' {R}; }}",
    "condition": f"if [ a{R} = a ]; then printf '%s' {R}; else printf '%s' {R}; fi",
    "loop": f'for i in {R}; do printf "%s" "$i"; done',
    "loop over a list": f'for i in a {R} b; do printf "%s" "$i"; done',
    "default": f"unset u; printf '%s' ${{u:-{R}}}",
    "default in quotes": f'unset u; printf "%s" "${{u:-{R}}}"',
    "alternative": f"u=1; printf '%s' ${{u+{R}}}",
    "line that goes on": f"printf '%s' \\\n  {R} \\\n  # a comment'",
    "behind a comment": f"# it's\nprintf '%s' {R} # \"",
    "in a comment": f"# it's {R}\nprintf '%s' {R} # \" {R} '",
    "behind an escape": f"printf '%s' \\\"\\'\\\\{R}",
    "behind a parameter": f"u=ab; printf '%s' \"${{u%b}}\" {R}",
    "behind arithmetic": f"printf '%s' $((1<<2)) {R}",
    "behind backquotes": f"printf '%s' `printf '\"'` {R}",
    "other field separator": f"IFS=a/; printf '%s' {R}; unset IFS",
    "pipe": f"printf '%s' {R} | cat",
    "and, or": f"true && printf '%s' {R} || :",
}  # fmt: skip
"""Texts that print their words, whatever the value."""
PRINTED_BY_BASH = {
    "here-string": f"cat <<<{R}",
    "process substitution": f"cat <(printf '%s' {R})",
    "array": f"arr=(x {R}); printf '%s' \"${{arr[@]}}\"",
    "test": f"[[ {R} == {R} ]] && printf '%s' {R}",
    "expression": f"[[ a{R} =~ a{R} ]] || :; printf '%s' {R}",
    "dollar quotes before": f"printf '%s' $'a' {R}",
    "locale quotes": f'printf "%s" $"a{R}"',
}  # fmt: skip
READ = "read in arithmetic"
ALONE = (READ, "function that only prints")
"""Beside the first any here-document could be what is read, beside the other its function could have another meaning: they are run alone."""
EVALUATED = {
    "arithmetic": f"printf '%s' $(( {R} ))",
    "arithmetic in quotes": f'printf "%s" "$(( {R} + 0 ))"',
    "arithmetic in a here-document": f"cat <<E\n$(( {R} ))\nE",
    "arithmetic in arithmetic": f"printf '%s' $(( ( $(( {R} )) ) ))",
    "variable in arithmetic": f"n={R}; printf '%s' $(( n ))",
    "expanded variable in arithmetic": f"n={R}; printf '%s' $(( $n ))",
    "copied variable in arithmetic": f"m={R}; n=$m; printf '%s' $(( n ))",
    "parameter in arithmetic": f"set -- {R}; printf '%s' $(( $1 ))",
    "parameter of a function in arithmetic": f"f() {{ n=$1; printf '%s' $(( n )); }}; f {R}",
    READ: f"read -r n <<E\n{R}\nE\nprintf '%s' $(( n ))",
    "default in arithmetic": f"unset n; : ${{n:={R}}}; printf '%s' $(( n ))",
    "loop variable in arithmetic": f"for n in {R}; do printf '%s' $((n)); done",
}  # fmt: skip
"""Texts that print an integer, and take nothing else."""
EVALUATED_BY_BASH = {
    "(( ))": f"(( n = {R} )) || :; printf '%s' \"$n\"",
    "for (( ))": f"for (( n={R}; ; )); do printf '%s' $n; break; done",
    "array in arithmetic": f"a=({R}); printf '%s' $(( a[0] ))",
    "printf -v in arithmetic": f"printf -v n %s {R}; printf '%s' $(( n ))",
    "let": f"let n={R} || :; printf '%s' $n",
    "let in quotes": f"let 'n = {R}' || :; printf '%s' $n",
    "[[ -eq ]]": f"[[ {R} -eq {R} ]] && printf '%s' '{R}'",
    "subscript": f"a[{R}]=1; printf '%s' {R}",
    "subscript in an array": f"a=([{R}]=1); printf '%s' {R}",
    "subscript in an expansion": f"printf '%s' ${{a[{R}]}}{R}",
    "substring": f"u=x; printf '%s' ${{u:{R}:0}}{R}",
    "declare -i": f"declare -i n={R}; printf '%s' $n",
    "declare -i before": f"declare -i m; m={R}; printf '%s' $m",
    "unset": f"unset {R} || :; printf '%s' {R}",
    "read": f"read {R} <<<x || :; printf '%s' {R}",
    "printf -v": f"printf -v {R} x || :; printf '%s' {R}",
    "test -v": f"test -v {R} || :; printf '%s' {R}",
    "[[ -v ]]": f"[[ -v {R} ]] || :; printf '%s' {R}",
    "nameref": f"declare -n q={R} || :; printf '%s' {R}",
}  # fmt: skip
REFUSED = {
    "quoted here-document": f"cat <<'E'\n{R}\nE",
    "escaped here-document": f"cat <<\\E\n{R}\nE",
    "odd end of a here-document": f"cat <<E\"F\"\n{R}\nE\n>q\nEF",
    "odd end with a blank": f"cat <<'E F'G\n{R}\nE F\n{R}\nE FG",
    "end with an expansion": f"cat << $E\n{R}\n$E",
    "end of other characters": f"cat <<E!F\nE\n{R}\nE!F",
    "backquotes": f"printf '%s' `printf '%s' {R}`",
    "backquotes in quotes": f"printf '%s' \"`printf '%s' {R}`\"",
    "comment behind a bracket": f"(:)# '\nprintf '%s' '{R}",
    "escape": f"printf '%s' \\{R}",
    "dollar": f"printf '%s' ${R}",
    "dollar quotes": f"printf '%s' $'a\\'{R}'",
    "behind dollar quotes": f"printf '%s' $'\\'' {R} ''",
    "pattern": f"u=ab; printf '%s' ${{u#{R}}}",
    "replacement": f"u=ab; printf '%s' ${{u/a/{R}}}",
    "quote in a parameter": f"printf '%s' \"${{u:-'}}\" {R} \"'\"",
    "old arithmetic": f"printf '%s' $[ {R} ]",
    "substitution in arithmetic": f"printf '%s' $(( $(printf '%s' {R}) + 1 ))",
    "arithmetic over two lines": f"printf '%s' $(\\\n( {R} ))",
    "brackets in brackets": f"((printf a); printf '%s' {R})",
    "case without brackets": f"printf '%s' $(case x in x) printf a;; esac) \"$(case x in (x) printf '%s' {R}",
    "subscript with blanks": f"a[ {R} ]=1",
    "unclosed quotes": f"printf '%s' {R} \"",
}  # fmt: skip
"""Texts that joblot refuses; `--old` shows which of them were run, and ran values."""
WARNED = {
    "eval": f"eval {R}", "sh -c": f"sh -c 'printf %s {R}'", "awk": f"awk 'BEGIN {{ {R} }}'", "trap": f"trap 'echo {R}' EXIT",
    "python -c": f"python3 -c 'print({R})'", "ssh": f"ssh host {R}", "here-document for sh": f"sh <<E\n{R}\nE",
}  # fmt: skip
NOISE = (
    "", "# it's \"quoted\" $( ` noise", ": 'a \" b' \"c ' d\" \\' \\\"", "cat >/dev/null <<E\nit's \" $u `:`\nE", "cat >/dev/null <<'E'\n' $( \" `\nE",
    "case a in (b) :;; a) : \"'\";; esac", ": $(: ')' \")\")", ": ${u-a} \"${u-b}\" ${#u} $# $$ $?", ": $((1 + (2 * 3) << 1))", "f() { :; }",
    ": `: \"'\"`", "if :; then :; fi; while :; do break; done", "for i in a 'b c'; do :; done", ": a#b \\# '#'", "u=a#b\nunset u", ": <<-E\n\ta\n\tE",
    "{ :; }; (:); (: ; (:))", ": \\\n  a", ": 2>/dev/null </dev/null >&2", "[ a = a ] && : || :", "! false", ": \"$(: \"a\" 'b')\"",
)  # fmt: skip
PIECES = (
    R, R, R, " ", " ", "\n", ";", "'", '"', "\\", "`", "$", "(", ")", "((", "))", "$((", "$(", "${", "}", "{ ", "; }", "[", "]", "[[ ", " ]]", "<<E\n",
    "\nE\n", "<<'E'\n", "<<-E\n", "<<<", "#", " # ", "=", "a", "a=", "u[", "u[0]", "+", "-eq ", " 1 ", "case ", " in ", "esac", ";;", "if :; then ",
    " fi\n", "for i in ", "; do ", " done\n", ": ", "let ", "printf %s ", "&&", "||", "|", "&", "\\\n", "$'", '$"', "$[", "declare -i ", "${u:", ":-", "!",
)  # fmt: skip
VALUES = (
    "$(>PWN)", "`>PWN`", "${u:=$(>PWN)}", "a[$(>PWN)]", "x=a[$(>PWN)]", "$((a[$(>PWN)]))", "'", '"', "\\", "''", '""', "'\"'", "\\'", ";>PWN;", "|>PWN",
    "&>PWN&", "\n>PWN\n", ")>PWN;(", "))>PWN;((", "}>PWN;{", ";;>PWN", "esac\n>PWN\n", "\nE\n>PWN\n", "\n\tE\n>PWN\n", "E", "'$(>PWN)'", '"$(>PWN)"',
    "'\"$(>PWN)", "\\$(>PWN)", "\\`>PWN\\`", "]=$(>PWN)", "0]$(>PWN)", "1 -o a[$(>PWN)]", "-v", "-n", "--", "*", "?", "~", "$u", "${u}", "$1", "$@", "#", " #",
    " ", "  a  b  ", "\t", "\n", "", "if", "then", "done", "in", "!", "[[", "]]", "{a,b}", "<", ">PWN", "<<E", "%s%n", "\\0", "é", "\u202e", "\ue000", "${{ v }}",
    "0", "1", "-1", "41", "010", "1.5", "1 + 1", "9223372036854775808", "n", "u",
)  # fmt: skip


class Current:
    """What this joblot makes of a text."""

    def __init__(self) -> None:
        from joblot.core.references import TemplateError
        from joblot.core.shelltext import read

        self._error, self._read = TemplateError, read

    def verdict(self, text: str, values: dict[str, str]) -> str:
        script = self._read(text)
        if script.misplaced is not None:
            return "text refused"
        if script.programs:
            return "warned"
        try:
            script.words(values)
        except self._error:
            return "value refused"
        return "run"

    def words(self, text: str, values: dict[str, str]) -> list[str]:
        return self._read(text).call(values).argv()[1:]


class Quoting:
    """What a joblot made of a text that put values in as quoted words."""

    def __init__(self) -> None:
        from joblot.config.shelltext import misplaced  # type: ignore[import-not-found]
        from joblot.core.references import split, substitute

        self._misplaced, self._split, self._substitute = misplaced, split, substitute

    def verdict(self, text: str, values: dict[str, str]) -> str:  # noqa: ARG002 - it took every value
        return "run" if self._misplaced(self._split(text)) is None else "text refused"

    def words(self, text: str, values: dict[str, str]) -> list[str]:
        scope = {"v": {name.partition(".")[2]: value for name, value in values.items()}}
        return ["-c", self._substitute(text, scope, shell=True)]


class Case:
    """A text and a value. `printed` is what must come out, or None."""

    __slots__ = ("context", "printed", "text", "value")

    def __init__(self, context: str, text: str, value: str, printed: str | None) -> None:
        self.context, self.text, self.value, self.printed = context, text, value, printed


def expected(context: str, template: str, value: str) -> str | None:
    """What a template prints, found from the template alone, not from what joblot makes of it."""
    if context in EVALUATED or context in EVALUATED_BY_BASH:
        return value + ("\n" if "cat <<" in template else "")
    wrapped = {
        "part of a word": "a={}/b", "double quotes": "a{}b", "double quotes with quotes": "'{}'", "single quotes with quotes": '"{}"',
        "quotes beside quotes": "a{0}b{0}", "format": "{}.", "substitution": "{}.", "substitution in a substitution": "{}..",
        "substitution with a case": "{}.", "here-document": "{}\n", "here-document with quotes": "'{0}' \"{0}\n", "here-document with tabs": "{}\n",
        "here-document with a substitution": "{}.\n", "second here-document": "'\n\"$(\n{}\n", "loop over a list": "a{}b", "behind an escape": "\"'\\{}",
        "behind a parameter": "a{}", "behind arithmetic": "4{}", "behind backquotes": '"{}', "here-string": "{}\n", "array": "x{}",
        "dollar quotes before": "a{}", "locale quotes": "a{}",
    }.get(context, "{}")  # fmt: skip
    return wrapped.replace("{0}", "{}").replace("{}", value)


class Campaign:
    """All cases of one seed."""

    def __init__(self, subject: Any, seed: int, folder: Path) -> None:
        self.subject = subject
        self.rng = random.Random(seed)
        self.folder = folder
        self.counts: dict[str, Counter[str]] = defaultdict(Counter)
        self.told = 0
        self.shells = {name: words for name, words in SHELLS.items() if shutil.which(words[0])}
        self.environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}

    def value(self) -> str:
        kind = self.rng.random()
        if kind < 0.25:
            return str(self.rng.randrange(-100, 100))
        return "".join(self.rng.choices(VALUES, k=1 if kind < 0.6 else self.rng.randint(2, 4)))

    def case(self, shell: str) -> Case:
        """A case for a shell; its reference still stands as `R`."""
        groups = [PRINTED, PRINTED, PRINTED, EVALUATED, REFUSED, WARNED]
        if shell in BASH:
            groups += [PRINTED_BY_BASH, EVALUATED_BY_BASH]
        group = self.rng.choice(groups)
        context = self.rng.choice(list(group))
        value = self.value()
        if value == "-0":
            value = "0"  # arithmetic prints it so
        if group is EVALUATED_BY_BASH:
            value = value.lstrip("-")  # a subscript must not be negative
        printed = None if group in (REFUSED, WARNED) else expected(context, group[context], value)
        noise = "\n".join(self.rng.choices(NOISE, k=self.rng.randint(0, 2)))
        return Case(context, f"{noise}\n{group[context]}\n", value, printed)

    def block(self, shell: str) -> None:
        cases = [self.case(shell) for _ in range(BLOCK)]
        runnable = []
        for case in cases:
            verdict = self.subject.verdict(case.text.replace(R, "${{ v.n0 }}"), {"v.n0": case.value})
            self.counts[case.context][verdict] += 1
            if case.context in REFUSED and verdict == "run" and isinstance(self.subject, Current):
                self.bad(case, "changed", "is not refused", shell)
            if verdict == "run":
                runnable.append(case)
        # What an old program runs is run alone, since one case may spoil the others.
        beside = [case for case in runnable if case.context not in ALONE]
        if isinstance(self.subject, Quoting) or self.together(beside, shell):
            for case in beside:
                self.alone(case, shell)
        for case in runnable:
            if case.context in ALONE:
                self.alone(case, shell)
        self.torn(shell)

    def together(self, cases: list[Case], shell: str) -> bool:
        """Run cases as one program; whether something is wrong, and each must be run alone."""
        text = "".join(
            f"printf '\\001'\n{case.text.replace(R, f'${{{{ v.n{n} }}}}')}printf '\\002'\n"
            for n, case in enumerate(cases)
        )
        printed = self.run(text, {f"v.n{n}": case.value for n, case in enumerate(cases)}, shell)
        wanted = "".join(f"\1{case.printed}\2" for case in cases).encode()
        return self.executed() or printed != wanted

    def alone(self, case: Case, shell: str) -> None:
        printed = self.run(case.text.replace(R, "${{ v.n0 }}"), {"v.n0": case.value}, shell)
        if self.executed():
            self.bad(case, "executed", "is executed", shell)
        elif case.printed is not None and printed != case.printed.encode():
            self.bad(case, "changed", f"arrives as {printed[:60]!r}", shell)

    def torn(self, shell: str) -> None:
        """Pieces of shell in any order: nothing of the value may be executed."""
        text = "".join(self.rng.choices(PIECES, k=self.rng.randint(2, 14))).replace("${{", "${")
        case = Case("torn", f"printf %s {text}{R}\n", self.value(), None)
        filled, values = case.text.replace(R, "${{ v.n0 }}"), {"v.n0": case.value}
        verdict = self.subject.verdict(filled, values)
        self.counts["torn"][verdict] += 1
        if verdict != "run":
            return
        self.run(filled, values, shell)
        if self.executed():
            # A torn text may hold a command by itself: with a harmless value it must then do the same.
            self.run(filled, {"v.n0": "0"}, shell)
            if not self.executed():
                self.bad(case, "executed", "is executed", shell)

    def run(self, text: str, values: dict[str, str], shell: str) -> bytes:
        words = [*self.shells[shell], *self.subject.words(text, values)]
        try:
            done = subprocess.run(
                words,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                cwd=self.folder,
                env=self.environment,
                timeout=20,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return b"(time is up)"
        return done.stdout

    def executed(self) -> bool:
        made = os.listdir(self.folder)
        for name in made:
            os.unlink(self.folder / name)
        return "PWN" in made

    def bad(self, case: Case, what: str, how: str, shell: str) -> None:
        self.counts[case.context][what] += 1
        self.told += 1
        if self.told <= 20:
            print(f"{shell}: {case.context}: {case.text!r}: {case.value!r} {how}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="values in shell texts")
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--old", help="folder of a joblot that puts quoted values into the text")
    options = parser.parse_args()
    if options.old:
        sys.path.insert(0, str(Path(options.old) / "src"))
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="joblot-shell-") as folder:
        campaign = Campaign(Quoting() if options.old else Current(), options.seed, Path(folder))
        names = list(campaign.shells)
        total = 0
        while total < options.cases:
            campaign.block(names[total // BLOCK % len(names)])
            total += BLOCK
    kinds = ("text refused", "value refused", "warned", "run", "executed", "changed")
    print("| context | " + " | ".join(kinds) + " |\n|---|" + "---|" * len(kinds))
    for context, counts in campaign.counts.items():
        print(f"| {context} | " + " | ".join(str(counts[kind]) for kind in kinds) + " |")
    sums = {kind: sum(counts[kind] for counts in campaign.counts.values()) for kind in kinds}
    shapes = [context for context, counts in campaign.counts.items() if counts["executed"]]
    print(
        f"cases {total}, shells {', '.join(names)}, contexts {len(campaign.counts)}, "
        + ", ".join(f"{kind} {sums[kind]}" for kind in kinds)
    )
    if shapes:
        print(f"executed in {len(shapes)} contexts: {', '.join(shapes)}")
    print(f"took {time.monotonic() - began:.0f} s")
    return 1 if sums["executed"] or sums["changed"] else 0


if __name__ == "__main__":
    sys.exit(main())
