"""Whether a value stays a value where it is put: in YAML, JSON and TOML the text is read back, and nothing else may have changed.

The template is read once with a harmless token for each variable. With the values in place of the tokens it must give the same tree: each
text that held a token is the same text with the value, all else is as it was. Nothing has to be known of quotes and escapes for that, so
nothing can be forgotten. A shell command in a batch is also read by the shell, and so is checked for that as well.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from joblot.config.source import Format, ParsedText, parse
from joblot.core.references import OPENING
from joblot.core.written import RawScalar, shorten
from joblot.errors import ConfigError, Diagnostic
from joblot.generate.header import KEY
from joblot.generate.text import unfit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from joblot.generate.text import Template

_KINDS: Final[Mapping[str, Format]] = {".yaml": "yaml", ".yml": "yaml", ".json": "json", ".toml": "toml"}
_DIGITS: Final = 6
_PLAIN_WORD: Final = re.compile(r"[\w@%+=:,./-]*")
_QUOTED_WORD: Final = re.compile(r"[\w@%+=:,./ -]*")
"""What means only itself to a shell: anywhere, and where blanks are quoted."""

_CHANGES: Final = "it would change more than the text it stands in"

_DOUBLE: Final = 'put the text that it stands in into double quotes: `"..."`'
_SINGLE: Final = "put the text that it stands in into single quotes: `'...'`"
_BLOCK: Final = "give it a line of its own below a `|-`"
_LITERAL: Final = "put the text that it stands in between `'''` and `'''`"
_VARS: Final = "put it under `vars` and write `${{ vars.NAME }}` in the command: there it is quoted"


class Scalar(NamedTuple):
    """A value of a tree without parts: `kind` is text, number, truth, null or date."""

    kind: str
    text: str


def kind_of(name: str, otherwise: str = "") -> Format | None:
    """The format that a file name stands for, else what another name does; None for plain text."""
    kind = _KINDS.get(os.path.splitext(name)[1].lower())  # noqa: PTH122 - a name, not a path
    return kind or (kind_of(otherwise) if otherwise else None)


def render(template: Template, values: Mapping[str, str], *, kind: Format | None) -> str:
    """The template with the values put in, each of which can be nothing but a value where it stands.

    For many items make one `Shape` and call its `render`.

    Raises:
        ConfigError: an unknown variable, a value that cannot stand where it would, or a template that cannot be read.
    """
    return Shape(template, kind).render(values)


class _Tokens:
    """A word or number for each variable, such as no template holds."""

    def __init__(self, template: Template, kind: Format | None) -> None:
        # A word in YAML; elsewhere a number, because what stands without quotes there must be one.
        prefix = "vqz" if kind == "yaml" else "7305918"
        while prefix in template.text:
            prefix += prefix[-1]
        self.pattern = re.compile(f"{prefix}([0-9]{{{_DIGITS}}})")
        self.all = [f"{prefix}{number:0{_DIGITS}}" for number in range(len(template.variables))]

    def numbers(self, text: str) -> list[int]:
        """Those that stand in a text."""
        return [int(match[1]) for match in self.pattern.finditer(text)]

    def replace(self, text: str, texts: Sequence[str]) -> str:
        """The text with `texts[n]` for the n-th token."""
        return self.pattern.sub(lambda match: texts[int(match[1])], text)


class Shape:
    """A template and what it must look like with values in it. `kind` None: plain text, of which nothing is known.

    Raises:
        ConfigError: the template itself is not of its kind.
    """

    def __init__(self, template: Template, kind: Format | None) -> None:
        self.template = template
        self.kind = kind
        if len(template.variables) >= 10**_DIGITS:
            raise ConfigError(f"`{template.file}` has more than {10**_DIGITS - 1:,} variables")
        self._tokens = _Tokens(template, kind)
        self._tree = self._read_template() if kind else None
        self._styles = self._find_styles() if kind == "yaml" else {}
        self._quoted = self._find_quoted() if kind == "json" else frozenset[int]()

    def render(self, values: Mapping[str, str]) -> str:
        """The template with the values put in; the function `render` says what is refused."""
        problems = self.template.problems(values.keys()) or self._unfit(values)
        if problems:
            raise ConfigError(problems)
        texts = [values[piece.name] for piece in self.template.variables]
        if self.kind and self._rejection(texts):
            raise ConfigError([self._first_rejected(texts)])
        return self.template.fill(self._escaped(texts))

    def _unfit(self, values: Mapping[str, str]) -> list[Diagnostic]:
        reasons = {name: unfit(value) for name, value in values.items()}
        return [
            self._at(piece.offset, f"the value `{shorten(values[piece.name])}` of `{piece.name}` {reasons[piece.name]}")
            for piece in self.template.variables
            if reasons[piece.name]
        ]

    # --- the template itself --------------------------------------------------------------------

    def _read_template(self) -> Any:
        try:
            document, tree = _read(self.template.fill(self._tokens.all), self.template.file, self.kind)
            problems = document.diagnostics(document.problems)
        except ConfigError as error:
            problems = list(error.diagnostics)
        if problems:
            raise ConfigError([self._in_template(problem) for problem in problems])
        if self.kind == "json" and not isinstance(tree, dict):
            hint = f"the file says in its key `{KEY}` that it was generated"
            raise ConfigError([self._at(0, "a JSON template must be a mapping", hint=hint)])
        if isinstance(tree, dict) and KEY in tree:
            offset = max(self.template.text.find(KEY), 0)
            raise ConfigError([self._at(offset, f"a template cannot have the key `{KEY}`", hint="remove it")])
        return tree

    def _in_template(self, problem: Diagnostic) -> Diagnostic:
        """A problem of the text with tokens, at its position in the template."""
        filled = self.template.fill(self._tokens.all).split("\n")
        offset = sum(len(line) + 1 for line in filled[: max(problem.line - 1, 0)]) + max(problem.column - 1, 0)
        origin, message = self.template.origin(self._tokens.all, offset), self._with_names(problem.message)
        positioned = self._at(origin, message, hint=problem.hint)
        return positioned._replace(code=problem.code, path=self._with_names(problem.path))

    def _with_names(self, message: str) -> str:
        return self._tokens.replace(message, [piece.text for piece in self.template.variables])

    def _find_styles(self) -> dict[int, str]:
        """By token, the quotes that it stands in: a blank for none, else `"`, `'`, `|` or `>`."""
        import yaml

        loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        return {
            number: (event.style or " ")
            for event in yaml.parse(self.template.fill(self._tokens.all), Loader=loader)
            if isinstance(event, yaml.ScalarEvent)
            for number in self._tokens.numbers(event.value)
        }

    def _find_quoted(self) -> frozenset[int]:
        """The tokens that stand between quotes."""
        return frozenset(number for text in _texts_of(self._tree) for number in self._tokens.numbers(text))

    # --- values ---------------------------------------------------------------------------------

    def _escaped(self, texts: Sequence[str]) -> list[str]:
        """The values as they are put in: JSON has one kind of quotes only, so there they are escaped."""
        return [_escaped(text) if number in self._quoted else text for number, text in enumerate(texts)]

    def _rejection(self, texts: Sequence[str]) -> str:
        """Why these values cannot stand where they would; empty when they can."""
        try:
            document, tree = _read(self.template.fill(self._escaped(texts)), "", self.kind)
        except ConfigError as error:
            return error.diagnostics[0].message
        if document.problems:
            return document.problems[0].message
        return _Comparison(self._tokens, self._styles, texts).difference(self._tree, tree)

    def _first_rejected(self, texts: Sequence[str]) -> Diagnostic:
        """The first variable whose value cannot stand where it would, by bisection: a reading costs as much as the whole file."""
        good, bad = 0, len(texts)
        while bad - good > 1:
            middle = (good + bad) // 2
            if self._rejection([*texts[:middle], *self._tokens.all[middle:]]):
                bad = middle
            else:
                good = middle
        reason = self._rejection([*texts[:bad], *self._tokens.all[bad:]])
        piece = self.template.variables[bad - 1]
        value = texts[bad - 1]
        shown = f"the value `{shorten(value)}`" if value else "the empty value"
        message = f"{shown} of `{piece.name}` cannot stand here: {self._with_names(reason)}"
        return self._at(piece.offset, message, hint=self._hint(bad - 1, value, reason))

    def _hint(self, number: int, value: str, reason: str) -> str:
        # The simplest that is left to try: quotes in which the value needs no escape and does not stand already.
        if reason == _REFERENCE:
            return f"no value may begin one: leave out the `{OPENING}`"
        if reason == _SHELL:
            return _VARS
        if self.kind == "json":
            return "" if number in self._quoted else _DOUBLE
        style = self._styles.get(number, "")
        fits_double = '"' not in value and "\\" not in value and style != '"'
        if fits_double and style not in ("|", ">"):
            return _DOUBLE
        if "'" not in value and style not in ("'", "|", ">"):
            return _SINGLE
        return _LITERAL if self.kind == "toml" else _BLOCK

    def _at(self, offset: int, message: str, *, hint: str = "") -> Diagnostic:
        return self.template.diagnostic("value", message, offset, hint=hint)


_REFERENCE: Final = "it would begin a reference"
_SHELL: Final = "it is not one word to the shell"


class _Comparison:
    """One reading of the values against the tree with tokens."""

    def __init__(self, tokens: _Tokens, styles: Mapping[int, str], texts: Sequence[str]) -> None:
        self.tokens = tokens
        self.styles = styles
        self.texts = texts

    def difference(self, before: Any, after: Any) -> str:
        """Why the trees are not what they should be; empty when they are."""
        # `strict=False`: trees of unequal length have a reason already, so their rest is never looked at.
        stack: list[tuple[Any, Any, tuple[str | int, ...]]] = [(before, after, ())]
        seen: set[tuple[int, int, int]] = set()
        while stack:
            was, now, keys = stack.pop()
            if isinstance(was, (dict, list)):
                # What aliases repeat is compared once; in the jobs of a batch once a level, because there a text may be a command.
                level = min(len(keys), 3) if keys[:1] in (("jobs",), ("finally",)) else 3
                if (id(was), id(now), level) in seen:
                    continue
                seen.add((id(was), id(now), level))
            if isinstance(was, dict) and isinstance(now, dict):
                reason = self._keys(was, now)
                stack += [(*pair, (*keys, key)) for key, *pair in zip(was, was.values(), now.values(), strict=False)]
            elif isinstance(was, list) and isinstance(now, list):
                reason = _CHANGES if len(was) != len(now) else ""
                stack += [(*pair, (*keys, number)) for number, pair in enumerate(zip(was, now, strict=False))]
            elif isinstance(was, (dict, list)) or isinstance(now, (dict, list)):
                reason = _CHANGES
            else:
                reason = self._scalar(_scalar(was), _scalar(now), keys)
            if reason:
                return reason
        return ""

    def _keys(self, was: Mapping[str, Any], now: Mapping[str, Any]) -> str:
        if len(was) != len(now):
            return _CHANGES
        pairs = zip(was, now, strict=True)
        return next(filter(None, (self._scalar(Scalar("text", a), Scalar("text", b), ()) for a, b in pairs)), "")

    def _scalar(self, was: Scalar, now: Scalar, keys: tuple[str | int, ...]) -> str:
        # From what surely is wrong to what only some readers get wrong, so that the message names the nearest reason.
        numbers = self.tokens.numbers(was.text)
        if not numbers:
            return "" if was == now else _CHANGES
        expected = self.tokens.replace(was.text, self.texts)
        if now.kind == "null":
            return "it would be read as null"
        if now.text != expected:
            return f"the text would be read as `{shorten(now.text)}`"
        if now.text.count(OPENING) != was.text.count(OPENING):
            return _REFERENCE
        bare = any(self.styles.get(number) == " " for number in numbers)
        reason = _other_reading(now) if now.kind != "text" or bare else ""
        return reason or (self._command(was.text, now.text, numbers) if _is_command(keys) else "")

    def _command(self, was: str, now: str, numbers: Sequence[int]) -> str:
        """A command of one variable is meant as it is; in any other a value must be a word, or a part of one."""
        if self.tokens.pattern.fullmatch(was.strip()):
            return ""
        import shlex

        # A value may still be one word and do something (`$HOME`, `*`), so it is held to characters that mean only themselves.
        values = [self.texts[number] for number in numbers]
        try:
            same = [self.tokens.replace(word, self.texts) for word in shlex.split(was)] == shlex.split(now)
        except ValueError:  # a here-document or a comment with a quote in it
            return "" if all(value and _PLAIN_WORD.fullmatch(value) for value in values) else _SHELL
        return "" if same and all(_QUOTED_WORD.fullmatch(value) for value in values) else _SHELL


def _read(text: str, file: str, kind: Format | None) -> tuple[ParsedText, Any]:
    """The document, and its tree with numbers as they are written."""
    assert kind is not None
    document = parse(text, file, kind)
    if kind == "json":
        import json

        integer = lambda digits: RawScalar(digits, int(digits))  # noqa: E731
        decimal = lambda digits: RawScalar(digits, float(digits))  # noqa: E731
        return document, json.loads(text, parse_int=integer, parse_float=decimal)
    if kind == "toml":
        import tomllib

        return document, tomllib.loads(text, parse_float=lambda digits: RawScalar(digits, float(digits)))
    return document, document.data


def _scalar(value: Any) -> Scalar:
    if isinstance(value, str):
        return Scalar("text", value)
    if value is None:
        return Scalar("null", "null")
    core = value.value if isinstance(value, RawScalar) else value
    written = value.text if isinstance(value, RawScalar) else ""
    if isinstance(core, bool):
        return Scalar("truth", written or str(core).lower())
    if isinstance(core, (int, float)):
        return Scalar("number", written or str(core))
    return Scalar("date", core.isoformat())


def _other_reading(scalar: Scalar) -> str:
    """What some reader takes a value without quotes for, if not for what it says."""
    text = scalar.text
    if scalar.kind == "number":
        number: float = float(text) if re.search(r"[.eE]", text) else int(text)
        return "" if str(number) == text else f"it would be read as the number {number}"
    if scalar.kind == "truth":
        return "" if text in ("true", "false") else f"it would be read as {text.lower()}"
    if scalar.kind == "text":
        import yaml

        known = yaml.SafeLoader.yaml_implicit_resolvers.get(text[:1], [])
        if any(pattern.match(text) for _, pattern in known):
            return "some readers of YAML would not take it for a text"
    return ""


def _is_command(keys: tuple[str | int, ...]) -> bool:
    return len(keys) == 3 and keys[0] in ("jobs", "finally") and keys[2] == "run"


def _texts_of(tree: Any) -> list[str]:
    texts: list[str] = []
    stack = [tree]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            texts += item
            stack += item.values()
        elif isinstance(item, list):
            stack += item
        elif isinstance(item, str):
            texts.append(item)
    return texts


def _escaped(text: str) -> str:
    import json

    return json.dumps(text, ensure_ascii=False)[1:-1]
