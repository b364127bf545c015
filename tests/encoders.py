"""What programs do to a text before they print it. Written by other means than joblot's own list, as far as there are any."""

from __future__ import annotations

import base64
import html
import json
import shlex
import string
import urllib.parse
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SAFE: Final = string.ascii_letters + string.digits


def _each_byte(text: str, form: str, safe: str = SAFE) -> str:
    return "".join(chr(byte) if chr(byte) in safe else form.format(byte) for byte in text.encode())


def _bash(text: str) -> str:
    """`set -x` in bash."""
    return "'" + text.replace("'", "'\\''") + "'"


def _dash(text: str) -> str:
    """`export -p` in dash, `set -x` in busybox: quotes in a row between one pair of double quotes."""
    shown, at = "'", 0
    while at < len(text):
        end = at
        while end < len(text) and text[end] == "'":
            end += 1
        shown += "'\"" + text[at:end] + "\"'" if end > at else text[at]
        at = max(end, at + 1)
    return shown + "'"


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


ENCODERS: Final[dict[str, Callable[[str], str]]] = {
    "nothing": lambda text: text,
    "json": json.dumps,
    "json without ASCII": lambda text: json.dumps(text, ensure_ascii=False),
    "url": lambda text: urllib.parse.quote(text, safe=""),
    "url, paths": urllib.parse.quote,
    "url, in lower case": lambda text: _each_byte(text, "%{:02x}", SAFE + "-._~"),
    "form": urllib.parse.quote_plus,
    "encodeURIComponent": lambda text: _each_byte(text, "%{:02X}", SAFE + "-_.!~*'()"),
    "html": html.escape,
    "html, texts": lambda text: html.escape(text, quote=False),
    "repr": repr,
    "repr of bytes": lambda text: repr(text.encode()),
    "bash": _bash,
    "dash": _dash,
    "shlex": shlex.quote,
    "base64": _base64,
    "base64, later": lambda text: _base64("u:" + text + "!"),
    "base64, one byte later": lambda text: _base64("u" + text + "!?"),
    "base64 for addresses": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "base64 in lines": lambda text: base64.encodebytes(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
}
_BLOCKS: Final = frozenset(name for name in ENCODERS if name.startswith(("base64", "hex")))


def most_left(first: str, second: str) -> int:
    """How many characters may be left of a secret in this form: what stands around it, and letters that hold bits of its neighbours."""
    return 24 if first in _BLOCKS and second in _BLOCKS else 16


def forms(secret: str) -> Iterator[tuple[str, str, str]]:
    """The secret as every pair of encoders writes it, with their names.

    Left out is what is not promised: where the lines of base64 are broken nobody can tell any more when it is encoded again as a whole.
    """
    for first, inner in ENCODERS.items():
        once = inner(secret)
        for second, outer in ENCODERS.items():
            if not (first == "base64 in lines" and second in _BLOCKS and once.count("\n") > 1):
                yield first, second, outer(once)
