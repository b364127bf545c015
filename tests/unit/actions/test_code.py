"""What a function is up to date by: its own code and what it names. Each change of a module is seen by exactly the functions that it is for."""

from __future__ import annotations

import subprocess
import sys
from itertools import count
from types import ModuleType

import pytest

from joblot.actions.code import UnseenError, code_digest

MODULE = '''
import functools
import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from collections import Counter, defaultdict
from typing import NamedTuple

LIMIT = 10
NAMES = {"b", "a"}
TABLE = {"x": [1, 2]}
PATTERN = re.compile("a+")
HERE = Path("data")

class Colour(Enum):
    RED = 1

@dataclass
class Settings:
    depth: int = 3

SETTINGS = Settings(4)

class Point(NamedTuple):
    x: int = 1

@dataclass(slots=True)
class Narrow:
    width: int

class Words(list):
    pass

POINT, NARROW, WORDS, COUNTS, MANY = Point(2), Narrow(3), Words(["w"]), Counter("aab"), defaultdict(list, k=[1])
append = [6].append

class Base:
    def say(self): return "base"

class Child(Base):
    def __init__(self): self.held = 8
    def __call__(self): return self.say(), self.held

called = Child()
method = Child().say

def values():
    return POINT, NARROW, WORDS, COUNTS, MANY, append

class Reader:
    size = 5
    def read(self):
        return helper(self.size)
    @staticmethod
    def close(): return "closed"
    @property
    def name(self): return "reader"

def helper(n):
    return n + LIMIT

def decorated(function):
    @functools.wraps(function)
    def inner(*args, **kwargs):
        return function(*args, **kwargs)
    return inner

@decorated
def wrapped(n):
    return n * 2

@functools.lru_cache
def cached(n):
    return n - 1

def make(n):
    def inner(x):
        return x + n
    return inner

closure = make(7)

def uses(n, add=1, *, more=(1, 2)):
    """Text."""
    def nested(x):
        return [y for y in (helper(x), TABLE["x"][0]) if y not in NAMES]
    return nested(n) + add

def other(n):
    return PATTERN.match(str(n)), HERE, Colour.RED, SETTINGS

def classes():
    return Reader().read()

def unrelated():
    return 1

def recursive(n):
    return n and also(n)

def also(n):
    return n and recursive(n - 1)

def inner_class():
    class Inner:
        """Text."""
        x = 1
    return Inner
'''
_numbers = count()


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Make a module of a text, as an import of its file does."""

    def make(text):
        made = ModuleType("changing")
        made.__file__ = str(tmp_path / f"changing{next(_numbers)}.py")
        (tmp_path / made.__file__).write_text(text)
        monkeypatch.setitem(sys.modules, "changing", made)
        exec(compile(text, made.__file__, "exec", dont_inherit=True), made.__dict__)
        return made

    return make


def digests(module, text):
    made = module(text)
    names = [
        "wrapped",
        "cached",
        "closure",
        "uses",
        "other",
        "classes",
        "unrelated",
        "recursive",
        "inner_class",
        "values",
        "called",
        "method",
    ]
    return {name: code_digest(getattr(made, name)) for name in names}


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("LIMIT = 10", "LIMIT = 11", {"uses", "classes"}),
        ("LIMIT = 10", "LIMIT = 10.0", {"uses", "classes"}),
        ('{"b", "a"}', '{"b", "c"}', {"uses"}),
        ('{"b", "a"}', '{"a", "b"}', set()),
        ('"x": [1, 2]', '"x": [1, 3]', {"uses"}),
        ('re.compile("a+")', 're.compile("a+", re.I)', {"other"}),
        ('re.compile("a+")', f're.compile("{"a" * 500}")', {"other"}),
        ('Path("data")', 'Path("dat")', {"other"}),
        ("RED = 1", "RED = 2", {"other"}),
        ("Settings(4)", "Settings(5)", {"other"}),
        ("depth: int = 3", "depth: int = 4", {"other"}),
        ("Point(2)", "Point(5)", {"values"}),
        ("x: int = 1", "x: int = 2", {"values"}),
        ("Narrow(3)", "Narrow(4)", {"values"}),
        ('Words(["w"])', 'Words(["v"])', {"values"}),
        ('Counter("aab")', 'Counter("aabb")', {"values"}),
        ("defaultdict(list, k=[1])", "defaultdict(set, k=[1])", {"values"}),
        ("defaultdict(list, k=[1])", "defaultdict(list, k=[2])", {"values"}),
        ("[6].append", "[7].append", {"values"}),
        ('return "base"', 'return "b"', {"called", "method"}),
        ("self.held = 8", "self.held = 9", {"called", "method"}),
        ("return self.say(), self.held", "return self.held", {"called", "method"}),
        ("size = 5", "size = 6", {"classes"}),
        ('"closed"', '"shut"', {"classes"}),
        ('return "reader"', 'return "r"', {"classes"}),
        ("return n + LIMIT", "return LIMIT + n", {"uses", "classes"}),
        ("return function(*args, **kwargs)", "return function(*args)", {"wrapped"}),
        ("return n * 2", "return n * 3", {"wrapped"}),
        ("@decorated\n", "", {"wrapped"}),
        ("return n - 1", "return n - 2", {"cached"}),
        ("make(7)", "make(8)", {"closure"}),
        ("return x + n", "return x - n", {"closure"}),
        ("add=1", "add=2", {"uses"}),
        ("more=(1, 2)", "more=(1, 3)", {"uses"}),
        ("if y not in", "if y in", {"uses"}),
        ("recursive(n - 1)", "recursive(n - 2)", {"recursive"}),
        ("x = 1", "x = 2", {"inner_class"}),
        ("def unrelated():\n    return 1", "def unrelated():\n    return 2", {"unrelated"}),
        ("def unrelated():\n    return 1", "def unrelated():\n    return LIMIT", {"unrelated"}),
        ("def unrelated():\n", "\n\n# a comment\ndef unrelated():\n    # another one\n\n", set()),
        ("import functools\n", "import functools\n\n\n\n# far down\n", set()),
        ("    return n + LIMIT", "    return (\n        n\n        + LIMIT\n    )", set()),
        ("import re\n", "import re, json\nMORE = 5\n", set()),
        ("def also(n):", "def also(m):\n    n = m", {"recursive"}),
    ],
)  # fmt: skip
def test_a_change_is_seen_by_those_that_use_it(module, old, new, changed):
    assert MODULE.count(old) == 1
    before, after = digests(module, MODULE), digests(module, MODULE.replace(old, new))
    assert {name for name in before if before[name] != after[name]} == changed


def test_nothing_changes_by_calling_or_in_another_process(module, tmp_path):
    made = module(MODULE)
    before = code_digest(made.uses, made.other)
    for n in range(100):  # the interpreter writes what it has learned into the code
        made.unrelated(), made.helper(n), made.cached(n)
    assert code_digest(made.uses, made.other) == before
    (tmp_path / "changing.py").write_text(MODULE)
    program = "from joblot.actions.code import code_digest; import changing; print(code_digest(changing.uses, changing.other))"
    for seed in ("1", "2"):  # of hashes, which order sets
        made = subprocess.run(
            [sys.executable, "-c", program], cwd=tmp_path, env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert made.stdout.strip() == before


class Opaque:
    __slots__ = ("x",)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import threading\nlock = threading.Lock()\ndef f(): return lock", "`lock`, a value of type `lock`"),
        ("opened = open('/dev/null', 'rb', 0); opened.close()\ndef f(x=opened): return x", "`f`, a value of type `FileIO`"),
        ("class A(Exception): pass\na = A([1])\ndef f(): return a", "`a`, a value of type `A`"),
        ("import collections\nclass A(collections.Counter): pass\na = A([1])\ndef f(): return a", "`a`, a value of type `A`"),
        ("import numbers, collections\na = collections.UserDict(x=1)\ndef f(): return a", "`a`, a value of type `UserDict`"),
        ("big = list(range(100_001))\ndef f(): return [big]", "`big`, which holds too many values"),
        ("big = [[n] * 1000 for n in range(101)]\ndef f(): return big", "`big`, which holds too many values"),
        ("big = {'a': {n: n for n in range(60_000)}, 'b': set(range(60_000))}\ndef f(): return big", "`big`, which holds too many values"),
        ("deep = []\nfor n in range(5000): deep = [deep]\ndef g(): return deep\nf = g", "what is nested too deeply"),
        (
            "class A:\n    def __getattr__(self, name): raise KeyError(name)\na = A()\ndef f(): return a",
            "what cannot be looked at (KeyError)",
        ),
        ("def g(n):\n    yield n\ngen = g(3)\ndef f(): return gen", "`gen`, a value of type `generator`"),
        ("class A:\n    def __init__(self): self.x = iter([1])\na = A()\nf = A.__init__.__get__(a)", "`__init__`, a value of type `list_iterator`"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_said(module, text, why):
    made = module(text)
    with pytest.raises(UnseenError) as caught:
        code_digest(made.f)
    assert str(caught.value) == why


DYNAMIC = "def a(): return 1\ndef f(): return eval('a()')\n"


def test_who_may_use_anything_of_its_module_is_compared_by_all_of_it(module):
    before = code_digest(module(DYNAMIC).f)
    assert code_digest(module(DYNAMIC).f) == before
    assert code_digest(module(DYNAMIC.replace("1", "2")).f) != before
    made = ModuleType("nowhere")
    exec(DYNAMIC, made.__dict__)
    with pytest.raises(UnseenError, match=r"^`eval`, by which it may use anything$"):
        code_digest(made.f)


@pytest.mark.parametrize(
    "use", ["import own\ndef f(): return own.x", "from own import g\ndef f(): return g()", "def f():\n    import own\n    return own.x"]
)  # fmt: skip
def test_modules_beside_it_that_are_not_installed_are_followed(module, tmp_path, monkeypatch, use):
    monkeypatch.syspath_prepend(tmp_path)

    def of(text):
        (tmp_path / "own.py").write_text(text)
        sys.modules.pop("own", None)
        sys.path_importer_cache.clear()
        (tmp_path / "__pycache__").exists() and [path.unlink() for path in (tmp_path / "__pycache__").iterdir()]
        return code_digest(module(use).f)

    assert of("x = 1\ndef g(): return x\n") == of("x = 1\ndef g(): return x\n")
    assert of("x = 1\ndef g(): return x\n") != of("x = 2\ndef g(): return x\n")
    sys.modules.pop("own", None)


@pytest.mark.parametrize(
    "text",
    ["f = len", "import os\nf = os.path.join", "import functools\nf = functools.partial(print, 1, end='')", "f = lambda: 1", "import json\ndef f(): return json.dumps"],
)  # fmt: skip
def test_what_is_installed_goes_by_its_name(module, text):
    assert code_digest(module(text).f) == code_digest(module(text).f)
