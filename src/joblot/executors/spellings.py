"""How a secret may be written by programs that escape or encode what they print: each way as a list of characters, each with its spellings.

The spellings are made by what writes them (JSON encoders, percent-encoding, HTML, `repr`, shells), in every pair of two of them. Programs
differ in which characters they escape, so every character has all its spellings wherever it stands; what turns the whole text into
another (base64, hexadecimal) makes a way of its own. It does not know where secrets come from, or where they are looked for.
"""

from __future__ import annotations

import html
import json
import re
import shlex
from base64 import b64encode
from functools import cache
from html.entities import codepoint2name
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Spellings = tuple[bytes, ...]
"""The ways to write one character."""
SHORTEST: Final = 4
"""Bytes. Shorter values are not masked: they occur everywhere, and would turn logs into stars."""
SHORTEST_LINE: Final = 6
"""Bytes. Shorter lines of a value of several lines are masked only together with the others."""
_LONGEST: Final = 1000
"""Characters. A longer line is looked for in pieces of so many; a longer value of several lines only by its lines."""
_FEW: Final = 7
"""Of values of more lines base64 and hexadecimal are looked for only as they are made of the bare lines: to prepare for every
pair of encoders as well would take a second for each certificate in a chain."""
_LONG: Final = 8192
"""Characters. In longer values not even those."""
_BREAKS: Final = re.compile(r"\r\n|\r|\n|\\r\\n|\\n")
"""Ends of lines, also as `.env` files and JSON write them."""


def ways_to_write(value: bytes) -> Iterator[list[Spellings]]:
    """All ways to write a value, and each of its lines that is long enough: one element a character."""
    # Programs differ in what they make of bytes that are no UTF-8.
    for text in {value.decode("utf-8", "surrogateescape"), value.decode("utf-8", "replace")}:
        whole = text.strip("\r\n")
        if len(_bytes(whole)) < SHORTEST:
            continue
        lines = [line.strip() for line in _BREAKS.split(whole)]
        lines = [line for line in lines if len(_bytes(line)) >= SHORTEST_LINE] or [whole]
        pieces = [piece for line in dict.fromkeys(lines) for piece in _pieces(line)]
        for piece in dict.fromkeys([*([whole] if len(whole) <= _LONGEST else ()), *pieces]):
            yield [_spellings(char) for char in piece]
        if len(pieces) <= _FEW and len(whole) <= _LONGEST:
            pieces.append(whole)
        for piece in dict.fromkeys(pieces) if len(whole) <= _LONG else ():
            yield from _as_blocks(piece, deep=len(pieces) <= _FEW + 1)


def _pieces(text: str) -> Iterator[str]:
    """A long text in pieces."""
    count = max(1, len(text) // _LONGEST)
    for number in range(count):
        yield text[number * _LONGEST : (number + 1) * _LONGEST if number + 1 < count else None]


# --- character by character -----------------------------------------------------------------------


def _bytes(text: str) -> bytes:
    """UTF-8; a byte that was none stays what it was."""
    return text.encode("utf-8", "surrogateescape")


def _each(escape: Callable[[str], str]) -> Callable[[str], str]:
    """An encoder that escapes every character but ASCII letters and digits."""
    return lambda text: "".join(char if char.isascii() and char.isalnum() else escape(char) for char in text)


def _each_byte(form: str) -> Callable[[str], str]:
    return _each(lambda char: "".join(form % byte for byte in _bytes(char)))


def _utf16(text: str, form: str) -> str:
    """The text as JSON and JavaScript number its characters."""
    units = text.encode("utf-16-be", "surrogatepass")
    return "".join(form % int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2))


_OPEN_C: Final = str.maketrans({
    "\\": r"\\", "'": r"\'", '"': r"\"", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\b": r"\b", "\f": r"\f", "\v": r"\v", "\a": r"\a",
    "\x1b": r"\e",
})  # fmt: skip


def _c_octal(text: str) -> str:
    r"""As in bash's `$'...'`: `\n`, and `\303\251` for what is not ASCII."""
    escaped = text.translate(_OPEN_C)
    return "".join(
        char if char.isascii() and char.isprintable() else "".join(f"\\{byte:03o}" for byte in _bytes(char))
        for char in escaped
    )


def _html(text: str, quotes: tuple[str, str]) -> str:
    return html.escape(text, quote=False).replace('"', quotes[0]).replace("'", quotes[1])


def _named(char: str) -> str:
    name = codepoint2name.get(ord(char))
    return f"&{name};" if name else char


_LOWER: Final[re.Pattern[str]] = re.compile(r"%[0-9A-F]{2}")
_QUOTES: Final[re.Pattern[str]] = re.compile("'+")
_WRITERS: Final[tuple[Callable[[str], str], ...]] = (
    lambda text: text,
    lambda text: json.dumps(text)[1:-1],
    lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    lambda text: quote(_bytes(text), safe=""),
    lambda text: quote(_bytes(text)),
    lambda text: _LOWER.sub(lambda escape: escape[0].lower(), quote(_bytes(text), safe="")),
    lambda text: quote_plus(_bytes(text)),
    lambda text: quote(_bytes(text), safe="!*'()"),  # JavaScript's
    html.escape,
    lambda text: html.escape(text, quote=False),
    lambda text: repr(text)[1:-1],
    lambda text: repr(_bytes(text))[2:-1],
    lambda text: repr(text + "'\"")[1:-4] if "'" in text else text,  # with its single quotes escaped
    lambda text: repr(_bytes(text) + b"'\"")[2:-4] if "'" in text else text,
    lambda text: shlex.quote(f" {text}")[2:-1],  # the space, so that it quotes
    lambda text: text.replace("'", "'\\''"),
    lambda text: _QUOTES.sub(r"""'"\g<0>"'""", text),
)
"""What is written most, as a whole text."""
_ENCODERS: Final[tuple[Callable[[str], str], ...]] = (
    *_WRITERS,
    # JSON as JavaScript, Go and PHP write it
    lambda text: json.dumps(text, ensure_ascii=False)[1:-1].replace("/", "\\/"),
    _each(lambda char: _utf16(char, "\\u%04x")),
    _each(lambda char: _utf16(char, "\\u%04X")),
    # addresses
    _each_byte("%%%02X"),
    _each_byte("%%%02x"),
    _each(lambda char: f"%{ord(char):02X}" if ord(char) < 256 else f"%u{ord(char):04X}"),
    # HTML and XML
    lambda text: _html(text, ("&#34;", "&#39;")),
    lambda text: _html(text, ('"', "&apos;")),
    _each(lambda char: f"&#{ord(char)};"),
    _each(lambda char: f"&#x{ord(char):x};"),
    _each(lambda char: f"&#x{ord(char):X};"),
    _each(_named),
    lambda text: text.encode("ascii", "xmlcharrefreplace").decode(),
    # programs' own texts: Python, C, JavaScript
    lambda text: ascii(text)[1:-1],
    lambda text: text.translate(_OPEN_C),
    _c_octal,
    _each_byte("\\x%02x"),
    _each_byte("\\x%02X"),
    # shells: of quotes in a row some put all between one pair, also of those that belong to the next character
    lambda text: _QUOTES.sub(r"""'"\g<0>"'""", text).removeprefix("'\""),
    lambda text: _QUOTES.sub(r"""'"\g<0>"'""", text).removesuffix("\"'"),
    lambda text: _QUOTES.sub(r"""'"\g<0>"'""", text).removeprefix("'\"").removesuffix("\"'"),
    _each(lambda char: f"\\{char}"),
    # quotes and the like doubled: SQL, CSV, YAML, Makefiles
    lambda text: re.sub(r"""(["'\\$%{}])""", r"\1\1", text),
    lambda text: text.replace("\n", "\r\n"),
)


def _encoded(text: str, encoders: Iterable[Callable[[str], str]] = _ENCODERS) -> Iterator[str]:
    """The text as each of the encoders writes it."""
    for encode in encoders:
        try:
            yield encode(text)
        except UnicodeError:  # a byte that is not UTF-8, to an encoder that takes text only
            pass


@cache
def _spellings(char: str) -> Spellings:
    """One character, as one encoder or two write it."""
    if char.isascii() and char.isalnum():
        return (char.encode(),)
    return _sorted(twice for once in set(_encoded(char)) for twice in _encoded(once))


@cache
def _spellings_once(char: str) -> Spellings:
    return _sorted(_encoded(char))


def _sorted(texts: Iterable[str]) -> Spellings:
    return tuple(sorted(filter(None, map(_bytes, set(texts)))))


# --- the text as a whole --------------------------------------------------------------------------


def _as_blocks(text: str, *, deep: bool) -> Iterator[list[Spellings]]:
    """The text in base64 and hexadecimal; if `deep` also of what the usual encoders make of it, and encoded twice."""
    data = _bytes(text)
    for encoded in dict.fromkeys(map(_bytes, _encoded(text, _WRITERS if deep else _WRITERS[:1]))):
        for form in _base64(encoded, ends=encoded == data):
            yield _spelled(form, _ENDS if deep and encoded == data else _ENDS[:2])
        for form in (encoded.hex(), encoded.hex().upper()):
            yield _spelled(form)
    for form in (*_base64(data), *_base64(data, url=True), data.hex(), data.hex().upper()) if deep else ():
        for twice in _base64(form.encode()):
            yield _spelled(twice, _ENDS[:2])
        yield _spelled(form.encode().hex())


def _base64(data: bytes, *, url: bool = False, ends: bool = False) -> list[str]:
    """What is certain of the base64 of the data, wherever it stands in a longer text: at its beginning, or one or two bytes later.

    With `ends` also up to the end of that text, with what fills it up.
    """
    forms = []
    for offset in range(3):
        text = b64encode(bytes(offset) + data, altchars=b"-_" if url else None).decode()
        first, end = -(-offset * 8 // 6), (offset + len(data)) * 8 // 6
        forms += [text[first:end], *([text[first:]] if ends and end < len(text) else [])]
    return [form for form in forms if len(form) >= SHORTEST]


_ENDS: Final = (b"\n", b"\r\n", b"\\n", b"\\r\\n", b"%0A", b"%0D%0A", b"%0a", b"%0d%0a", b"&#10;", b"&#xA;", b"&#xa;")
"""Where lines of base64 are broken, and how that may be escaped."""


def _spelled(form: str, ends: Spellings = ()) -> list[Spellings]:
    """The characters of an encoded text; lines may be broken by any of `ends` anywhere within it."""
    letters = {char: _in_base64(char) for char in set(form)}
    later = {
        char: tuple(end + spelling for end in (b"", *ends) for spelling in spellings)
        for char, spellings in letters.items()
    }
    return [letters[form[0]], *(later[char] for char in form[1:])]


def _in_base64(char: str) -> Spellings:
    other = {"+": "-", "/": "_"}.get(char)
    return _spellings_once(char) + (_spellings_once(other) if other else ())
