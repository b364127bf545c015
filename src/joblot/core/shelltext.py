"""Commands for the shell, and the values in them. A value is never a part of the program's text.

In place of each reference stands a variable of the shell, which the program sets from its positional parameters. What is read of the
shell's grammar decides only how the variable is written there, and where it would be evaluated: a misreading can split a value or leave it
out, and cannot run it. What is not understood is refused. Pure.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from joblot.core.references import OPENING, Reference, TemplateError, as_text, split
from joblot.core.shells import LONGEST, Call, call, is_long
from joblot.core.written import shorten

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_MARK: Final = "\ue000"
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,18})", re.ASCII)
_LARGEST: Final = (1 << 63) - 1

_OWN_PARAMETERS: Final = re.compile(
    r"\$[@*#!\d]|\$\{[@*#!\d]|\(\s*\)|\b(?:set|shift|getopts|function|source|eval)\b|(?:^|[\s;&|(])\.\s", re.ASCII
)
"""What has to do with positional parameters, or may have others: functions, files that are read, the parameters themselves."""
_QUOTED: Final = re.compile(r"'[^']*'")

_NONE: Final = Reference("")
_ENV: Final = "pass it through `env` instead"
_OWN_VARIABLE: Final = "give it to a variable first: `x=${{ ... }}`, then `$x`"


class Place(Struct):
    """Where one reference stands. `opening` and `closing` are what its variable is written between."""

    reference: Reference
    opening: str = '"'
    closing: str = '"'
    spread: bool = False
    """Whether a list becomes several words here."""
    number: str = ""
    """What evaluates the value as arithmetic, such as `$(( ))`: then only an integer is put in."""
    refused: str = ""
    """What it stands in, where no value can be put in."""
    hint: str = ""


class ShellText(Struct):
    """A shell text with references, as it was read: `pieces` of text, and a place between each two."""

    pieces: list[str]
    places: list[Place]
    programs: list[tuple[Reference, str]]
    """References within what another program runs as code, and that program."""

    @property
    def misplaced(self) -> Place | None:
        """The first place where no value can be put in."""
        return next((place for place in self.places if place.refused), None)

    def words(self, given: Mapping[str, Any]) -> list[list[str]]:
        """What is put in at each place; more or less than one word only for a list.

        Raises:
            TemplateError: a value that cannot stand there.
        """
        found = []
        for place in self.places:
            if place.refused:
                raise TemplateError(f"`{place.reference.text}` stands in {place.refused}, where its value is not safe")
            value = given[place.reference.text]
            texts = list(_flat(value)) if place.spread and isinstance(value, list) else [as_text(value)]
            for text in texts:
                _check(place, text)
            found.append(texts)
        return found

    def split(self, given: Mapping[str, Any]) -> list[str]:
        """The words of a text in which nothing but blanks means something to a shell.

        Raises:
            TemplateError: as `words`.
        """
        found: list[str] = []
        word: str | None = None  # between two blanks there is no word, and an empty value is one
        for piece, texts in zip(self.pieces, [*self.words(given), []], strict=True):
            for parts in (piece.split(" ") if piece else [], texts):
                for number, part in enumerate(parts):
                    if number and word is not None:
                        found.append(word)
                        word = None
                    if part or parts is texts:
                        word = (word or "") + part
        return found if word is None else [*found, word]

    def call(self, given: Mapping[str, Any], taken: Iterable[bytes] = (), shell: Sequence[str] = ()) -> Call:
        """How it is run. `taken` are the names of variables in the command's environment, `shell` is as `shells.call` takes it.

        Raises:
            TemplateError: as `words`.
        """
        prefix = "joblot_"
        # A variable of the environment would stay exported when it is set, and one of the text's own would be lost.
        while any(prefix in piece for piece in self.pieces) or any(name.startswith(prefix.encode()) for name in taken):
            prefix += "_"
        words = self.words(given)
        program, arguments = self._program(prefix, words, [])
        # So many variables take shells a time that grows with their square.
        if is_long(program) and not self._uses_parameters:
            lists = [texts for place, texts in zip(self.places, words, strict=True) if place.spread]
            program, arguments = self._program(prefix, words, max(lists, key=len, default=[]))
        return call(shell, program, arguments)

    @property
    def _uses_parameters(self) -> bool:
        """Whether the text may have to do with positional parameters; `$1` in single quotes is another program's, if nothing is evaluated."""
        text = "\n".join(self.pieces)
        return _OWN_PARAMETERS.search(text if _EVALUATING_TEXT.search(text) else _QUOTED.sub("", text)) is not None

    def _program(self, prefix: str, words: list[list[str]], kept: list[str]) -> tuple[str, list[str]]:
        """A program and its parameters. The list `kept` stays among those: wherever it stands it is `"$@"`, however long it is."""
        arguments: list[str] = []
        parts = [self.pieces[0]]
        for place, texts, piece in zip(self.places, words, self.pieces[1:], strict=True):
            if kept and place.spread and texts == kept:
                parts += ['"$@"', piece]
                continue
            first = len(arguments) + 1
            arguments += texts
            names = [f"{place.opening}${{{prefix}{n}}}{place.closing}" for n in range(first, len(arguments) + 1)]
            parts += [" ".join(names), piece]
        if arguments:
            numbers = range(1, len(arguments) + 1)
            parts.insert(0, " ".join([f"{prefix}{n}=${{{n}}}" for n in numbers]) + f"; shift {len(arguments)}; ")
        return "".join(parts), arguments + kept

    def shown(self, given: Mapping[str, Any]) -> str:
        """The command as a person would type it; references without a value stay."""
        parts = [self.pieces[0]]
        for place, piece in zip(self.places, self.pieces[1:], strict=True):
            name = place.reference.text
            parts += [_typed(place, given[name]) if name in given else f"{OPENING} {name} }}}}", piece]
        return "".join(parts)


@lru_cache(maxsize=512)
def read(text: str) -> ShellText:
    """A shell text with references.

    Raises:
        TemplateError: as `references.split`.
    """
    pieces = [""]
    references = []
    for piece in split(text):
        if isinstance(piece, Reference):
            references.append(piece)
            pieces.append("")
        else:
            pieces[-1] += piece
    reader = _Reader(_MARK.join(piece.replace(_MARK, "x") for piece in pieces))
    reader.read()
    places = reader.places
    for place, reference in zip(places, references, strict=True):
        place.reference = reference
    return ShellText(pieces, places, [(references[mark], what) for mark, what in reader.programs])


def programs_in(words: Iterable[Any]) -> list[tuple[Reference, str]]:
    """References within what another program runs as code, in the words of a command that no shell reads.

    Raises:
        TemplateError: as `references.split`.
    """
    reader = _Reader("")
    found: list[_Word] = []
    references: list[Reference] = []
    for text in words:
        word = _Word()
        for piece in split(text) if isinstance(text, str) else ():
            if isinstance(piece, Reference):
                word.marks.append(len(references))
                references.append(piece)
            word.text += _MARK if isinstance(piece, Reference) else piece
        found.append(word)
    reader.warn(found)
    return [(references[mark], what) for mark, what in reader.programs]


def _flat(value: list[Any]) -> Iterator[str]:
    for item in value:
        if isinstance(item, list):
            yield from _flat(item)
        else:
            yield as_text(item)


def _check(place: Place, text: str) -> None:
    name = place.reference.text
    if place.number and not (_INTEGER.fullmatch(text) and -_LARGEST <= int(text) <= _LARGEST):
        raise TemplateError(
            f"`{name}` stands in {place.number}, which the shell evaluates: only an integer can be put in, not `{shorten(text)}`"
        )
    if "\0" in text:
        raise TemplateError("a value with a NUL cannot stand in a command")
    if len(text) > LONGEST // 4 and len(text.encode("utf-8", "surrogateescape")) > LONGEST:
        raise TemplateError(
            f"`{name}` is longer than {LONGEST} bytes, which no command takes as one value: pass a file"
        )


def _typed(place: Place, value: Any) -> str:
    import shlex

    if place.number or place.opening == '"':
        if isinstance(value, list) and place.spread:
            return " ".join(map(shlex.quote, _flat(value)))
        return shlex.quote(as_text(value))
    text = as_text(value)
    if place.opening:
        return text.replace("'", "'\\''")
    return re.sub(r'([\\"$`])', r"\\\1", text)


# --- reading ----------------------------------------------------------------------------------------

_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]*"
_NAMES: Final = re.compile(_NAME)
_ASSIGNMENT: Final = re.compile(rf"({_NAME})(?:\[[^\]]*\])?\+?=")
_PLAIN: Final = re.compile(r"[^ \t\n;&|()<>'\"\\`$\[\ue000]+")
_IN_QUOTES: Final = re.compile(r"[^\"\\`$\ue000]+")
_EXPANSION: Final = re.compile(rf"\$(?:{_NAME}|[0-9@*#?$!-])")
_BACKQUOTED: Final = re.compile(r"`(?:[^`\\]|\\.)*`", re.DOTALL)
_SUBSCRIPT: Final = re.compile(r"\[[\w@*+/%$!^.,:\ue000-]*\]", re.ASCII)
_REDIRECTION: Final = re.compile(r"<>|[<>]&|>>|>\||[<>]")
_HERE: Final = re.compile(
    r"<<(-?)[ \t]*(?:'([^'\n\ue000]+)'|\"([^\"\n\\$`\ue000]+)\"|(\\?)([\w.%+,:/@^-]+))(?=[ \t\n;&|<>()]|$)"
)
_EXPANSIONS: Final = re.compile(r"\$\{?\w+")
_PARAMETER: Final = rf"\$\{{[#!]?(?:{_NAME}(?:\[[\w@*+$-]*\])?|[0-9]+|[@*#?$!-])"
# Shells do not agree where a quote ends inside of `${ }`. So what is between quotes there may hold no sign that ends something else:
# then it does not matter.
_BARE: Final = r"[^{}'\"\\`$\ue000\n]"
_EXPANDED: Final = rf"\$\w++|\$\{{\w++(?:(?::?[-=+?]|[#%/^,]){_BARE}*+)?\}}|\$\((?:(?![()]){_BARE})*+\)"
_QUOTED_INSIDE: Final = rf"\"(?:{_BARE}|{_EXPANDED})*+\"|'{_BARE}*+'|\$'(?:{_BARE}|\\[a-z0-9])*+'"
_SIMPLE_INSIDE: Final = rf"{_BARE}|{_EXPANDED}|{_QUOTED_INSIDE}|\\[^\s{{}}'\"\\`$\ue000]"
_SIMPLE: Final = re.compile(rf"{_PARAMETER}(?:{_SIMPLE_INSIDE})*+\}}", re.ASCII)
_SIMPLE_QUOTED: Final = re.compile(
    rf"{_PARAMETER}(?:{_SIMPLE_INSIDE}|\"(?:'|{_BARE}|{_EXPANDED})*+\"|'[^{{}}'\ue000\n]*+')*+\}}", re.ASCII
)
_EVALUATED: Final = re.compile(r"\$\{(?:!(?!\w++(?:\[[@*]\]|[@*])\})|[^}]*@P\})", re.ASCII)
"""What takes what a variable holds for a name, or for a prompt."""
_DEFAULT: Final = re.compile(rf"{_PARAMETER}:?[-=+?](?:[^{{}}'\"\\`$()\n]|\$\w++)*+\}}", re.ASCII)
_CALCULATED: Final = re.compile(
    rf"\$\{{#?{_NAME}(?:\[[\w+*/%@$\ue000 -]*\](?::[\w+*/%()$:\ue000 -]*)?|:(?![-=+?])[\w+*/%()$:\ue000 -]*)\}}",
    re.ASCII,
)
_ANSI_QUOTED: Final = re.compile(r"\$'(?:[^'\\\ue000]|\\[^'\ue000])*'")

_RESERVED: Final = frozenset(
    {"if", "then", "elif", "else", "fi", "while", "until", "do", "done", "!", "{", "}", "time", "coproc", "esac"}
)
_SPECIAL: Final = frozenset({"PS4", "BASH_ENV"})
"""Variables that shells expand, and so run, by themselves."""
_EVALUATING_TEXT: Final = re.compile(
    r"\(\(|\$\[|\[\[.*-(?:[gl][te]|eq|ne|v|R)\b|\w\[|\$\{(?:!|\w+:[^-=+?])|@P\}|\blet\b"
    r"|\b(?:declare|typeset|local|export|readonly)\s+(?:-\w+\s+)*[-+]\w*[inaA]"
    r"|(?:printf|test|\[)\s+-v|\bunset\s.*\$"
)
"""Whether a text may evaluate a variable; of one that is not understood."""
_DEFINITION: Final = re.compile(
    rf"(?:^|[;\n])[ \t]*([A-Za-z_]\w*)[ \t]*\(\)[ \t\n]*\{{([^{{}}()<=\[`{_MARK}]*[;\n][ \t]*)\}}", re.ASCII
)
"""A function in whose body nothing is assigned, evaluated, or run for what it prints, if its `}` is what it seems."""
_NO_SEPARATORS: Final = re.compile(r"\\[nt]|[12]?>&[12]")
_STRINGS: Final = re.compile(r"'[^'\\]*'|\"[^\"\\]*\"")
_ONLY_PRINTING: Final = frozenset({"echo", "printf", "cat", "date", "tee", ":", "true"})
_REDEFINING: Final = re.compile(
    r"\b(?:function|source|eval|alias|unset|unalias|trap|command_not_found_handle)\b|(?:^|[\s;&|(])\.\s"
)
"""What may give another meaning to a name, or look at the parameters of a function from outside."""
_READING: Final = re.compile(r"\b(?:read|readarray|mapfile)\b")
_DECLARING: Final = frozenset({"declare", "typeset", "local", "export", "readonly"})
_NAMING: Final = frozenset({"unset", "read", "readarray", "mapfile", "getopts"})
_NAMING_OPTIONS: Final = {"printf": "-v", "test": "-v", "[": "-v", "wait": "-p"}
_COMPARING: Final = frozenset({"-eq", "-ne", "-lt", "-le", "-gt", "-ge"})
_WRAPPERS: Final = frozenset({
    "command", "builtin", "exec", "env", "nohup", "nice", "sudo", "doas", "timeout", "xargs", "stdbuf", "setsid", "ionice", "busybox",
})  # fmt: skip
_EVALUATING: Final = frozenset({"eval", "trap", "alias", "ssh"})
_FIRST_WORD: Final = re.compile(r"(?:[gmn]?awk|sed)")
_WITH_OPTION: Final = {
    re.compile(r"(?:[adkz]|ba|da|mk)?sh|busybox|su|flock|script"): re.compile(r"-\w*c|--command"),
    re.compile(r"python[\d.]*|pypy[\d.]*"): re.compile(r"-\w*c"),
    re.compile(r"perl|ruby|node|lua|Rscript|php|sed"): re.compile(r"-\w*[eEpr]|--eval|--print|--expression"),
}
_READING_PROGRAMS: Final = re.compile(r"(?:[adkz]|ba|da|mk)?sh|python[\d.]*|pypy[\d.]*|perl|ruby|node|php|lua|ssh")
_AWK_OPTIONS: Final = re.compile(r"-[vFf]|--(?:assign|field-separator|file)")


_LENGTHS: Final = re.compile(r"\$\{#\w+\}")
_PARAMETERS: Final = "@"
"""Stands for the positional parameters among the names of variables."""


def _variables(text: str, without: int = 0) -> set[str]:
    """The names in a text that may be variables, but for the first so many. Of a `${#x}` nothing but the length is taken."""
    text = _LENGTHS.sub("", text)
    found = set(_NAMES.findall(text)[without:])
    return found | {_PARAMETERS} if re.search(r"\$\{?[0-9@*]", text) else found


class _NotUnderstoodError(Exception):
    """What follows cannot be told from here on."""

    def __init__(self, what: str, hint: str = _ENV, *, whole: bool = False) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint
        self.whole = whole
        """Whether what came before cannot be told either: a text that does not close what it opens was read wrong, or is wrong."""


class _Word:
    """A word of a command: its text without quotes, with marks for references."""

    __slots__ = ("marks", "nested", "plain", "text")

    def __init__(self, text: str = "") -> None:
        self.text = text
        self.marks: list[int] = []
        """The numbers of its references."""
        self.nested: list[int] = []
        """Of those in commands within it."""
        self.plain = True
        """Whether nothing in it is quoted."""


def _called(words: list[_Word]) -> tuple[str, list[_Word]]:
    """The name of what a command calls, behind `command` and `builtin`, and its arguments."""
    first = 0
    while first < len(words) - 1 and (
        words[first].text in ("command", "builtin") or (first and words[first].text[:1] == "-")
    ):
        first += 1
    return words[first].text, words[first + 1 :]


class _Command:
    """A simple command that is being read."""

    def __init__(self) -> None:
        self.words: list[_Word] = []
        self.fed: list[int] = []
        """References in what it gets on standard input."""
        self.in_test = False
        """Whether a `[[` is open."""

    @property
    def at_start(self) -> bool:
        """Whether the next word is one that the shell may reserve."""
        return all(word.plain and word.text in _RESERVED for word in self.words)

    @property
    def essential(self) -> list[_Word]:
        """Its words behind reserved ones and assignments."""
        words = self.words
        if words and words[0].text == "function":
            words = words[2:]
        for number, word in enumerate(words):
            if not (word.plain and word.text in _RESERVED) and not _ASSIGNMENT.match(word.text):
                return words[number:]
        return []


class _Commands:
    """Commands one after the other, which are being read."""

    def __init__(self, *, array: bool) -> None:
        self.array = array
        self.command = _Command()
        self.word: _Word | None = None
        """The word that is not over."""
        self.pending: list[tuple[str, bool, bool, _Command]] = []
        """Here-documents that begin on the next line: what ends them, whether that is quoted, whether tabs may stand before it, and whose."""
        self.piped: list[int] = []
        """References in the commands that the next one is piped from."""
        self.target = ""
        """The redirection whose word comes next."""
        self.cases = 0
        """How many `case` are open."""


def _printing_functions(text: str) -> frozenset[str]:
    """The functions of a text that only print their parameters, where that is certain.

    Each is defined once, and its body is of a few known commands that nothing redefines. What is doubtful is not taken for one.
    """
    if "(" not in text or _REDEFINING.search(text) or any(name in text for name in _SPECIAL):
        return frozenset()
    defined = re.findall(r"([^\s;&|(){}]+)[ \t\n]*\(", text)
    return frozenset(
        name for name, body in _DEFINITION.findall(text) if defined.count(name) == 1 and _only_prints(body, defined)
    )


def _only_prints(body: str, defined: list[str]) -> bool:
    bare = _STRINGS.sub("s", _NO_SEPARATORS.sub("", body))
    if any(char in bare for char in "'\"\\#"):  # quotes that go on behind the `}`, a comment that hides it
        return False
    commands = [words for command in re.split(r"[;&|\n]", bare) if (words := command.split())]
    return all(words[0] in _ONLY_PRINTING and words[0] not in defined and "-v" not in words for words in commands)


class _Reader:
    """Reads a text with a mark for each reference. By hand: `shlex` knows neither here-documents nor `$(`."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.places: list[Place] = []
        self.programs: list[tuple[int, str]] = []
        self.assigned: list[tuple[str, int]] = []
        """Variables that references are given to."""
        self.copied: list[tuple[str, set[str]]] = []
        """Variables, and those that they are made of."""
        self.called: list[tuple[str, list[_Word]]] = []
        """Commands, and the words behind them."""
        self.functions = {"set"}
        """Commands whose words become parameters."""
        self.printing = _printing_functions(text)
        """Those that do no more with their parameters than print them: what another one evaluates does not concern their words."""
        self.filled: set[str] = set()
        """Variables that are read from standard input."""
        self.fed: list[int] = []
        """References in what commands get there."""
        self.printed: set[int] = set()
        """References in what `echo` and `printf` print, to no other command."""
        self.evaluated: set[str] = set(_SPECIAL)
        """Variables that stand in arithmetic, or are evaluated otherwise."""
        self.depth = 0
        self.begun = 0
        """Where the outermost command begins that is not read to its end."""
        self.finished = 0
        """The places in commands that are read to their end, also those around them."""

    def read(self) -> None:
        """Find all places."""
        problem = None
        try:
            self._commands("")
        except _NotUnderstoodError as error:
            problem = error
        except RecursionError:
            problem = _NotUnderstoodError("brackets that are nested too deeply", whole=True)
        if problem is not None:
            # What a command does with its words is known at its end only.
            del self.places[0 if problem.whole else self.finished :]
            while len(self.places) < self.text.count(_MARK):
                self.places.append(Place(_NONE, refused=f"or behind {problem.what}", hint=problem.hint))
            self.printing = frozenset()
            rest = self.text[self.begun :]
            if _EVALUATING_TEXT.search(rest):
                names = _variables(rest)
                self.evaluated |= names
                self.functions |= names
                self.filled |= names if _READING.search(rest) else set()
        self._follow_variables()

    def _follow_variables(self) -> None:
        """Let only integers into variables that stand in arithmetic, also by way of others, of parameters and of what is read."""
        for command, words in self.called:
            if command in self.functions and command not in self.printing:
                self.assigned += [(_PARAMETERS, mark) for word in words for mark in self._held(word)]
                self.copied += [(_PARAMETERS, _variables(word.text)) for word in words]
        count = -1  # until nothing is found any more: variables are copied in any order
        while count != len(self.evaluated):
            count = len(self.evaluated)
            for name, others in self.copied:
                if name in self.evaluated:
                    self.evaluated |= others
        read = self.filled & self.evaluated
        shown = f"the variable `{min(read)}`" if len(read) == 1 else "a variable that is read"
        for mark in self.fed if read else ():
            self.places[mark].number = self.places[mark].number or shown
        for name, mark in self.assigned:
            if name in self.evaluated:
                shown = "a parameter" if name == _PARAMETERS else f"the variable `{name}`"
                self.places[mark].number = self.places[mark].number or shown

    # --- places ---------------------------------------------------------------------------------

    def _place(self, opening: str = '"', closing: str = '"', **more: Any) -> int:
        self.places.append(Place(_NONE, opening, closing, **more))
        return len(self.places) - 1

    def _pass(self, end: int, opening: str = '"', closing: str = '"', **more: Any) -> list[int]:
        """Move on, over references that all stand in the same."""
        count = self.text.count(_MARK, self.at, end)
        self.at = end
        return [self._place(opening, closing, **more) for _ in range(count)]

    def _number(self, words: Iterable[_Word], what: str) -> None:
        """Let only integers into words that are evaluated, and nothing into commands within them."""
        for word in words:
            for mark in word.marks:
                self.places[mark].number = self.places[mark].number or what
            self.evaluated |= _variables("".join(_EXPANSIONS.findall(word.text)))
            self._refuse_nested(word.nested, what)

    def _refuse_nested(self, marks: Iterable[int], what: str) -> None:
        for mark in marks:
            self.places[mark].refused = f"a command within {what}, which evaluates what it prints"
            self.places[mark].hint = "give what it prints to a variable first"

    # --- commands -------------------------------------------------------------------------------

    def _commands(self, closing: str, *, array: bool = False) -> None:
        """Commands up to a `)`, which is passed, or the end of the text. With `array` the words of `name=( )`."""
        state = _Commands(array=array)
        self.depth += 1
        while self.at < len(self.text):
            char = self.text[self.at]
            if char in " \t":
                self._end_word(state)
                self.at += 1
            elif self.text.startswith("\\\n", self.at):
                if self.text[self.at - 1 : self.at] in ("(", "<", ">"):
                    raise _NotUnderstoodError("a line that goes on within an operator")
                self.at += 2
            elif state.command.in_test and char in "\n;&|()<>":
                self._separate_in_test(state, char)
            elif char in "\n;&|":
                self._separate(state, char)
            elif char == "(":
                self._open(state)
            elif char == ")":
                self._end_command(state)
                self.at += 1
                if not state.cases:  # else it ends a pattern
                    self._close(state, closing)
                    self.depth -= 1
                    return
            elif char in "<>" and not self.text.startswith(("<(", ">("), self.at):
                self._redirect(state)
            elif char == "#" and state.word is None:
                end = self.text.find("\n", self.at)
                self._pass(len(self.text) if end < 0 else end, spread=True)  # a shell that reads on takes it for a word
            else:
                self._continue_word(state)
        self._end_command(state)
        if closing:
            raise _NotUnderstoodError("brackets that are not closed", whole=True)
        if state.cases:
            raise _NotUnderstoodError("`case` without `esac`", whole=True)
        if state.pending:
            raise _NotUnderstoodError("a here-document without its end")

    def _close(self, state: _Commands, closing: str) -> None:
        if not closing:
            raise _NotUnderstoodError("a `)` without `(`", whole=True)
        if state.pending:
            raise _NotUnderstoodError("a here-document that ends in brackets")

    def _continue_word(self, state: _Commands) -> None:
        begin = self.at
        if state.word is None:
            state.word = _Word()
        self._piece(state.word, array=state.array)
        if state.pending and "\n" in self.text[begin : self.at]:
            raise _NotUnderstoodError("a here-document behind a line break")

    def _end_word(self, state: _Commands) -> None:
        word, state.word = state.word, None
        if word is None:
            return
        if state.target:
            self._keep_whole(word)
            # Of other redirections, `<(echo ...)` gives what it prints.
            state.command.fed += [mark for mark in self._held(word) if state.target == "<<<" or mark in word.nested]
            state.target = ""
            return
        command, start = state.command, state.command.at_start
        command.words.append(word)
        if not word.plain:
            return
        if word.text == "esac" and start and state.cases:
            state.cases -= 1
        elif word.text == "[[" and start:
            command.in_test = True
        elif word.text == "]]":
            command.in_test = False
        elif word.text == "in" and len(words := command.essential) == 3 and words[0].text == "case":
            self._keep_whole(words[1])
            state.cases += 1
            state.command = _Command()

    def _end_command(self, state: _Commands, separator: str = "") -> None:
        self._end_word(state)
        command, state.command = state.command, _Command()
        if not state.array:
            self._classify(command, state.piped)
        marks = [mark for word in command.words for mark in word.marks]
        if separator == "|":
            self.printed.difference_update(marks)
        state.piped = [*state.piped, *marks, *command.fed] if separator == "|" else []
        self.fed += [*state.piped, *command.fed]
        if self.depth == 1 and not state.pending:
            self.finished, self.begun = len(self.places), self.at

    def _separate_in_test(self, state: _Commands, char: str) -> None:
        self._end_word(state)
        state.command.words.append(_Word(char))
        self.at += 1
        # A shell without `[[` would take it for a command's name.
        if char == "|" and self.text[self.at :].lstrip()[:1] == _MARK:
            raise _NotUnderstoodError("`||` within `[[ ]]`", "write two `[[ ]]`")

    def _separate(self, state: _Commands, char: str) -> None:
        """At a line's end, `;`, `&` or `|`, of which `&>` is a redirection."""
        if self.text.startswith("&>", self.at):
            self._end_word(state)
            self.at += 3 if self.text.startswith("&>>", self.at) else 2
            state.target = ">"
            return
        if char == "\n":
            self._end_word(state)
            self.at += 1
            if state.command.words[-2:-1] and state.command.words[-2].text == "case":
                return  # its `in` is yet to come
            self._end_command(state)
            if state.pending:
                self._here_documents(state.pending)
                state.pending = []
            return
        double = self.text.startswith(char * 2, self.at)
        self._end_command(state, "" if double else char)
        self.at += 2 if double else 1

    def _open(self, state: _Commands) -> None:
        """At a `(`."""
        word, command = state.word, state.command
        if word is not None and word.text.endswith("=") and word.plain:
            self.at += 1
            first = len(self.places)
            self._commands(")", array=True)
            self.assigned += [(word.text.rstrip("+="), mark) for mark in range(first, len(self.places))]
        elif self.text.startswith("()", self.at) and (
            word is not None or len(command.words) == 1 or [one.text for one in command.words[:-1]] == ["function"]
        ):
            self.at += 2
            self.functions.add(word.text if word is not None else command.words[-1].text)
            state.word, state.command = None, _Command()
        elif word is not None or (not command.at_start and [one.text for one in command.words] != ["for"]):
            raise _NotUnderstoodError("`(` within a command")
        elif self.text.startswith("((", self.at):  # before a plain bracket, as shells try it
            self.at += 2
            self._arithmetic("`(( ))`")
        else:
            self.at += 1
            self._commands(")")
            state.command = _Command()

    def _redirect(self, state: _Commands) -> None:
        """At a `<` or `>`."""
        if state.word is not None and state.word.plain and state.word.text.isdecimal():
            state.word = None
        self._end_word(state)
        if self.text.startswith("<<<", self.at):
            self.at += 3
            state.target = "<<<"
        elif self.text.startswith("<<", self.at):
            state.pending.append((*self._here_delimiter(), state.command))
        else:
            match = _REDIRECTION.match(self.text, self.at)
            assert match is not None, "BUG: no redirection"
            self.at = match.end()
            state.target = ">"

    def _piece(self, word: _Word, *, array: bool) -> None:
        """One piece of a word: a reference, something quoted, an expansion, or plain characters."""
        text, char = self.text, self.text[self.at]
        # `word.text` is what the shell makes of it as far as that is known: commands are told by their names without quotes.
        if char == _MARK:
            word.marks.append(self._place(spread=True))
            word.text += _MARK
            self.at += 1
        elif char == "'":
            end = text.find("'", self.at + 1) + 1
            if not end:
                raise _NotUnderstoodError("quotes that are not closed", whole=True)
            word.text += text[self.at + 1 : end - 1]
            word.marks += self._pass(end, "'\"", "\"'")
        elif char == '"':
            self.at += 1
            self._quoted(word, '"')
        elif char == "\\":
            self._escape(word)
        elif char == "`":
            self._backquoted(word)
        elif char == "$":
            self._expansion(word, '"')
        elif char in "<>":
            self.at += 2
            self._nested(word)
        elif char == "[":
            self._bracket(word, array=array)
            return
        else:
            match = _PLAIN.match(text, self.at)
            assert match is not None, "BUG: nothing to move over"
            word.text += match[0]
            self.at = match.end()
            return
        word.plain = False

    def _bracket(self, word: _Word, *, array: bool) -> None:
        if not (_NAMES.fullmatch(word.text) and word.plain) and not (array and not word.text):
            word.text += "["
            self.at += 1
            return
        match = _SUBSCRIPT.match(self.text, self.at)
        if match is None:
            raise _NotUnderstoodError("`[` behind a name")
        self.evaluated.update(_variables(match[0]))
        word.text += match[0]
        word.marks += self._pass(match.end(), number="`[ ]`")

    def _escape(self, word: _Word) -> None:
        following = self.text[self.at + 1 : self.at + 2]
        if following == _MARK:
            self._pass(self.at + 2, refused="an escape", hint="leave out the backslash")
            return
        if following != "\n":
            word.text += following
        self.at += 2

    def _nested(self, word: _Word) -> None:
        """A command within a word."""
        first = len(self.places)
        self._commands(")")
        word.text += "$"
        word.nested += range(first, len(self.places))

    def _quoted(self, word: _Word, closing: str) -> None:
        """The inside of double quotes, or of a here-document (where nothing closes it but the end of the text)."""
        while self.at < len(self.text):
            char = self.text[self.at]
            if char == closing:
                self.at += 1
                return
            if char == _MARK:
                word.marks.append(self._place("", ""))
                word.text += _MARK
                self.at += 1
            elif char == "\\":
                self._escape(word)
            elif char == "`":
                self._backquoted(word)
            elif char == "$":
                self._expansion(word, "")
            elif char == '"':
                word.text += char
                self.at += 1
            else:
                match = _IN_QUOTES.match(self.text, self.at)
                assert match is not None, "BUG: nothing to move over"
                word.text += match[0]
                self.at = match.end()
        if closing:
            raise _NotUnderstoodError("quotes that are not closed", whole=True)

    def _backquoted(self, word: _Word) -> None:
        match = _BACKQUOTED.match(self.text, self.at)
        if match is None:
            raise _NotUnderstoodError("backquotes that are not closed", whole=True)
        word.text += "$"
        word.marks += self._pass(match.end(), refused="backquotes", hint="write `$( )`")

    def _expansion(self, word: _Word, quote: str) -> None:
        """What begins with `$`. `quote` is what a variable has to be put between here: nothing within quotes."""
        text = self.text
        following = text[self.at + 1 : self.at + 2]
        match = _EXPANSION.match(text, self.at)
        if match is not None:  # a plain variable, as most are
            word.text += match[0]
            self.at = match.end()
            return
        if text.startswith("$((", self.at):
            self.at += 3
            self._arithmetic("`$(( ))`")
        elif following == "(":
            self.at += 2
            self._nested(word)
            return
        elif following == "{":
            self._parameter(word, quote)
            return
        elif following == "'" and quote:
            match = _ANSI_QUOTED.match(text, self.at)
            if match is None:
                raise _NotUnderstoodError("`$' '`")
            self.at = match.end()
        elif following == "[":
            raise _NotUnderstoodError("`$[ ]`", "write `$(( ))`")
        elif following == _MARK or text.startswith("\\\n", self.at + 1):
            raise _NotUnderstoodError("an expansion (`$`)")
        else:
            self.at += 1
        word.text += "$"

    def _parameter(self, word: _Word, quote: str) -> None:
        """`${ }`: in most forms shells do not agree where a quote ends inside of it."""
        text = self.text
        if match := _CALCULATED.match(text, self.at):
            self.evaluated.update(_variables(match[0], 1))
            word.marks += self._pass(match.end(), "", "", number="`${ }`")
        elif match := (_SIMPLE_QUOTED if quote else _SIMPLE).match(text, self.at):
            if _EVALUATED.match(match[0]):
                self.evaluated |= _variables(match[0].replace("!", ""))
            self.at = match.end()
        elif match := _DEFAULT.match(text, self.at):
            marks = self._pass(match.end(), quote, quote)
            self.assigned += [(name, mark) for name in _NAMES.findall(match[0])[:1] for mark in marks]
            word.marks += marks
        else:
            raise _NotUnderstoodError("`${ }` of this form", _OWN_VARIABLE)
        word.text += match[0]

    def _arithmetic(self, what: str) -> None:
        """Up to the `))` that closes it."""
        text, depth, word = self.text, 0, _Word()
        while self.at < len(text):
            char = text[self.at]
            if char == _MARK:
                self._pass(self.at + 1, "", "", number=what)
            elif char == ")" and not depth:
                if not text.startswith("))", self.at):
                    raise _NotUnderstoodError(
                        f"{what} that may be brackets in brackets", "put a blank between the brackets"
                    )
                self.at += 2
                self.evaluated.update(_variables(word.text))
                self._number([word], what)
                return
            elif char in "\"'`\\":
                raise _NotUnderstoodError(f"quotes within {what}", _OWN_VARIABLE)
            elif char == "$":
                self._expansion(word, "")
            else:
                word.text += char
                depth += (char == "(") - (char == ")")
                self.at += 1
        raise _NotUnderstoodError(f"{what} that is not closed", whole=True)

    # --- here-documents -------------------------------------------------------------------------

    def _here_delimiter(self) -> tuple[str, bool, bool]:
        """What ends a here-document, whether it is quoted, and whether tabs may stand before it."""
        match = _HERE.match(self.text, self.at)
        if match is None:
            raise _NotUnderstoodError("a here-document whose end is written unusually", "write `<<END`")
        self.at = match.end()
        tabs, single, double, escape, word = match.groups()
        return single or double or word, word is None or bool(escape), bool(tabs)

    def _here_documents(self, pending: list[tuple[str, bool, bool, _Command]]) -> None:
        for delimiter, quoted, tabs, command in pending:
            ending = re.compile(rf"^{chr(9) + '*' if tabs else ''}{re.escape(delimiter)}(?:\n|\Z)", re.MULTILINE)
            match = ending.search(self.text, self.at)
            if match is None:
                raise _NotUnderstoodError("a here-document without its end")
            if quoted:
                self._pass(match.start(), refused="a quoted here-document", hint=f"write `<<{delimiter}`")
            else:
                marks = self._here_document(match.start())
                self.fed += marks
                command.fed += marks
                self._warn_fed(command, command.fed)
            self.at = match.end()

    def _here_document(self, end: int) -> list[int]:
        whole, word = self.text, _Word()
        if "\\\n" in whole[self.at : end]:
            raise _NotUnderstoodError("a here-document with a line that goes on")
        for nested in re.finditer(r"\$\(|`", whole[self.at : end]):
            if "\n" in whole[self.at + nested.start() : end].rpartition("\n")[0] and not self._on_one_line(
                self.at + nested.start(), end
            ):
                raise _NotUnderstoodError("a here-document with a command of several lines")
        self.text = whole[:end]
        try:
            self._quoted(word, "")
        finally:
            self.text = whole
        return word.marks

    def _on_one_line(self, begin: int, end: int) -> bool:
        """Whether a command that begins within a here-document is over when its line is."""
        line = self.text[begin : self.text.find("\n", begin, end)]
        if line.startswith("`"):
            return _BACKQUOTED.match(line) is not None
        return line.count("(") <= line.count(")")

    # --- what commands do with their words --------------------------------------------------------

    def _classify(self, command: _Command, piped: list[int]) -> None:
        """Find out where a command evaluates its words."""
        # Assignments stand before the command, also behind `if`, `while` and the like.
        for word in command.words:
            match = _ASSIGNMENT.match(word.text)
            if match is None and not (word.plain and word.text in _RESERVED):
                break
            if match is not None:
                self._assign(match[1], word)
        if [word.text for word in command.words[:1]] == ["function"]:
            self.functions.update(word.text for word in command.words[1:2])
        words = command.essential
        if not words:
            return
        if words[0].text in ("for", "select") and len(words) > 3:
            self.assigned += [(words[1].text, mark) for word in words[3:] for mark in self._held(word)]
            self.copied += [(words[1].text, _variables(word.text)) for word in words[3:]]
            return
        name, arguments = _called(words)
        self.called.append((name, arguments))
        if name in ("echo", "printf") or name in self.printing:
            self.printed.update(mark for word in arguments for mark in self._held(word))
        self._builtin(name, arguments)
        self.warn(words)
        self._warn_fed(command, [*piped, *command.fed])

    def _assign(self, name: str, word: _Word) -> None:
        self._keep_whole(word)
        self.assigned += [(name, mark) for mark in self._held(word)]
        self.copied.append((name, _variables(word.text.partition("=")[2])))

    def _held(self, word: _Word) -> list[int]:
        """The references whose values a word has: its own, and those that a command within it only prints."""
        return [*word.marks, *(mark for mark in word.nested if mark in self.printed)]

    def _keep_whole(self, word: _Word) -> None:
        """Let a list be one word."""
        for mark in word.marks:
            self.places[mark].spread = False

    def _builtin(self, name: str, words: list[_Word]) -> None:
        # What these do with a word is bash's manual; other shells have fewer of them, and then it is only too strict.
        if name == "[[":
            for number, word in enumerate(words):
                if word.text in _COMPARING:
                    operands = words[max(0, number - 1) : number + 2 : 2]
                    self.evaluated.update(found for operand in operands for found in _variables(operand.text))
                    self._number(operands, "`[[ ]]`")
                elif word.text in ("-v", "-R"):
                    self._number(words[number + 1 : number + 2], "`[[ -v ]]`")
                self._keep_whole(word)
        elif name == "let":
            for word in words:
                self.evaluated.update(_variables(word.text))
            self._number(words, "`let`")
        elif name in _DECLARING:
            self._declare(name, words)
        elif name in _NAMING:
            self.filled.update(word.text for word in words if name != "unset")
            self._number(words, f"`{name}`")
        elif name in _NAMING_OPTIONS:
            self._naming_option(name, _NAMING_OPTIONS[name], words)

    def _declare(self, name: str, words: list[_Word]) -> None:
        evaluated = any(re.match(r"[-+]\w*[in]", word.text) for word in words)
        array = any(re.match(r"[-+]\w*[aA]", word.text) for word in words)  # its value is read again, as `( )`
        for word in words:
            match = _ASSIGNMENT.match(word.text)
            if match is not None:
                self._assign(match[1], word)
            if evaluated and (found := _NAMES.match(word.text)):
                self.evaluated.add(found[0])
            if evaluated or array or match is None:
                self._number([word], f"`{name}`")

    def _naming_option(self, name: str, option: str, words: list[_Word]) -> None:
        """A command with an option whose word is the name of a variable."""
        beside = False  # whether the word before holds a reference, which may come to the option
        for number, word in enumerate(words):
            if name != "printf":
                self._keep_whole(word)
            before = words[number - 1].text if number else ""
            if name == "printf" and number > 1 and words[number - 2].text == option:
                for one in words[number:]:
                    self._assign(before, one)
            if before == option or word.text.startswith(option) or (beside and name != "printf"):
                self._number([word], f"`{name} {option}`")
            beside = bool(word.marks or word.nested)

    def warn(self, words: list[_Word]) -> None:
        """Note references in the program texts of other programs."""
        wrapped = words[0].text in _WRAPPERS
        for number, word in enumerate(words):
            name, rest = word.text.rpartition("/")[2], words[number + 1 :]
            # A warning only, so it errs on the side of saying too much: behind `env` or `sudo` any word may be the program.
            may_be_program = number == 0 or wrapped or words[number - 1].text in ("-exec", "-execdir")
            if may_be_program and name in _EVALUATING:
                self._note_program((mark for one in rest for mark in one.marks), name)
                return
            for programs, options in _WITH_OPTION.items():
                if programs.fullmatch(name) or (number == 0 and (_MARK in name or "$" in name)):
                    for at, one in enumerate(rest):
                        if options.fullmatch(one.text) and at + 1 < len(rest):
                            shown = f"{name} {one.text}" if programs.fullmatch(name) else one.text
                            self._note_program(rest[at + 1].marks, shown)
            if may_be_program and _FIRST_WORD.fullmatch(name):
                program = self._first_operand(rest)
                self._note_program(program.marks if program is not None else (), name)

    def _first_operand(self, words: list[_Word]) -> _Word | None:
        skip = False
        for word in words:
            if skip:
                skip = False
            elif _AWK_OPTIONS.fullmatch(word.text):
                if word.text in ("-f", "--file"):
                    return None
                skip = True
            elif not word.text.startswith("-"):
                return word
        return None

    def _warn_fed(self, command: _Command, marks: list[int]) -> None:
        words = command.essential
        name = words[0].text.rpartition("/")[2] if words else ""
        takes_input = name == "ssh" or all(word.text.startswith("-") for word in words[1:])
        if marks and takes_input and _READING_PROGRAMS.fullmatch(name):
            self._note_program(marks, name)

    def _note_program(self, marks: Iterable[int], what: str) -> None:
        self.programs += [(mark, what) for mark in marks if (mark, what) not in self.programs]
