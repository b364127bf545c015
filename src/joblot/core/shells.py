"""What runs a text: `/bin/sh -e`, or the program and the options that `shell` names. Pure: it looks for no program and starts none."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Sequence

SHELL: Final = "/bin/sh"
AS_BEFORE: Final = (SHELL, "+e")
"""The shell of a run that an earlier program began: there texts go on behind a failure."""
LONGEST: Final = (1 << 17) - 1
"""Bytes of one argument, which the kernel bounds."""

_UNDERSTOOD: Final = frozenset({"sh", "dash", "bash"})
_APPLETS: Final = frozenset({"sh", "ash"})
_STOPPING: Final = frozenset({"ash", "ksh", "mksh", "yash", "zsh"})
"""Shells that take `-e` as well. What values may stand for in their texts is not known."""
_LONG_OPTIONS: Final = frozenset({"--login", "--noprofile", "--norc", "--posix", "--restricted"})
_OPTIONS: Final = r"[-+][efuvxlmbhpCBEHPTr]*(o?)"
"""What says nothing about where the text comes from, and runs it."""
_NAMED: Final = r"[a-z][a-z_]*"
_CODE: Final = {
    "python": r"-\w*[cm].*", "pypy": r"-\w*[cm].*", "perl": r"-\w*[eE]", "ruby": r"-\w*e", "lua": "-e", "Rscript": "-e", "php": "-r",
    "node": "-[ep]|--eval|--print",
}  # fmt: skip
"""The options of programs that run something else than the file."""
_RUN_NOTHING: Final = frozenset({"noexec", "onecmd"})
_EXPORTING: Final = frozenset({"allexport", "keyword"})


class Call(Struct):
    """How a command is run: `words`, then its text or (`by_file`) the path of a file that holds it, if there is a text, then the parameters."""

    words: list[str]
    text: str | None = None
    parameters: list[str] = field(default_factory=list)
    by_file: bool = False

    def argv(self, path: str = "") -> list[str]:
        """What to execute; `path` is the file, where one is needed."""
        if self.text is None:
            return self.words
        return [*self.words, path if self.by_file else self.text, *self.parameters]


def call(shell: Sequence[str], text: str, parameters: Sequence[str] = ()) -> Call:
    """How a text is run by a shell that `fault_of` finds right; empty: `/bin/sh`.

    A shell ends at the first command that fails (`-e`), unless its options say otherwise. A text that is too long for an argument goes by a
    file, and so does one for a program whose options for texts are not known.
    """
    program, *options = shell or (SHELL,)
    if not takes_values(shell):
        return Call([program, *(["-e"] if _name(program) in _STOPPING else []), *options], text, by_file=True)
    words = [program]
    if _name(program) == "busybox":
        words.append(options.pop(0) if options else "sh")
    # Bash wants long options first. Behind `-e` stand the others, so that `+e` can take it away.
    words += [*(word for word in options if word.startswith("--")), "-e"]
    words += [word for word in options if not word.startswith("--")]
    if is_long(text):
        return Call(words, text, list(parameters), by_file=True)
    return Call([*words, "-c"], text, [program, *parameters] if parameters else [])


def is_long(text: str) -> bool:
    """Whether a text is too long for one argument."""
    return len(text) > LONGEST or len(text.encode("utf-8", "surrogateescape")) > LONGEST


def takes_values(shell: Sequence[str]) -> bool:
    """Whether `shelltext` knows how the shell reads a text, so that references may stand in it."""
    return not shell or _name(shell[0]) in _UNDERSTOOD or _name(shell[0]) == "busybox"


def fault_of(shell: Sequence[str]) -> tuple[str, str]:
    """What is wrong with a shell and its options, to be read behind `shell`, and a hint; two empty texts when it is right."""
    if any("{0}" in word for word in shell):
        return "cannot hold `{0}`", "leave it out: the text, or a file with it, comes behind the words"
    if not takes_values(shell):
        kind = _name(shell[0]).rstrip("0123456789.")
        code = next((word for word in shell[1:] if re.fullmatch(_CODE.get(kind, "(?!)"), word)), "")
        return (f"cannot have the option `{code}`", "the program stands in `run`") if code else ("", "")
    options = list(shell[1:])
    if _name(shell[0]) == "busybox" and options[:1] and options[0][:1] not in ("-", "+"):
        applet = options.pop(0)
        if applet not in _APPLETS:
            return f"cannot be the applet `{applet}` of busybox", "write `[busybox, sh]`"
    while options:
        word = options.pop(0)
        found = re.fullmatch(_OPTIONS, word)
        if word in _LONG_OPTIONS:
            continue
        if word[1:] == "O" and word[0] in "-+":
            name = "O"
        elif found is None or len(word) == 1:
            return _refused(word)
        else:
            name = found[1]
        if name:
            named = options.pop(0) if options else ""
            if not re.fullmatch(_NAMED, named):
                return f"needs the name of an option behind `{word}`", "such as `[bash, -o, pipefail]`"
            if named in _RUN_NOTHING | _EXPORTING:
                return _refused(f"{word} {named}")
    return "", ""


def _refused(word: str) -> tuple[str, str]:
    if word[:1] not in ("-", "+"):
        return f"takes options only, and `{word}` is none", "what is to be run stands in `run`"
    if re.match(r"-\w*c", word):
        return f"cannot have the option `{word}`", "leave `c` out: it is put before the text"
    return f"cannot have the option `{word}`", "`set` in the text sets all others"


def _name(program: str) -> str:
    return program.rpartition("/")[2]
