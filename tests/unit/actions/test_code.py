"""What a function is up to date by: its own code and what it names. Each change of a module is seen by exactly the functions that it is for."""

from __future__ import annotations

import importlib
import subprocess
import sys
from itertools import count
from types import ModuleType

import pytest

from joblot.actions.code import UnseenError, code_digest, file_digest

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


CHANGES = {
    "exec'd function": (
        "import json\nns = {}\nexec('def g(): return 1', ns)\ng = ns['g']\ndef f(): return g()",
        "return 1",
        "return 2",
    ),
    "exec'd class": ("ns = {}\nexec('class A:\\n  x = 1', ns)\nA = ns['A']\ndef f(): return A.x", "x = 1", "x = 2"),
    "wraps installed": (
        "import functools, json\ndef d(fn):\n    @functools.wraps(fn)\n    def inner(*a): return 1, fn(*a)\n    return inner\ndumps = d(json.dumps)\ndef f(): return dumps(1)",
        "return 1, fn",
        "return 2, fn",
    ),
    "function attribute": ("def g(): return g.k\ng.k = 1\ndef f(): return g()", "g.k = 1", "g.k = 2"),
    "parameter annotation": ("from pathlib import Path\ndef f(p: str): return repr(p)", "p: str", "p: Path"),
    "enum missing": (
        "from enum import Enum\nclass E(Enum):\n    A = 1\n    @classmethod\n    def _missing_(cls, v): return cls.A if v == 5 else None\ndef f(): return E(5)",
        "v == 5",
        "v == 6",
    ),
    "enum static": (
        "from enum import Enum\nclass E(Enum):\n    A = 1\n    @staticmethod\n    def _h(): return 5\ndef f(): return E._h()",
        "return 5",
        "return 6",
    ),
    "dataclass metadata": (
        "from dataclasses import *\n@dataclass\nclass S:\n    x: int = field(default=1, metadata={'u': 'm'})\ndef f(): return fields(S)[0].metadata['u']",
        "'m'",
        "'cm'",
    ),
    "dataclass type": (
        "from dataclasses import *\n@dataclass\nclass S:\n    x: int = 1\ndef f(): return fields(S)[0].type",
        "x: int",
        "x: float",
    ),
    "dataclass factory": (
        "from dataclasses import *\n@dataclass\nclass S:\n    x: list = field(default_factory=lambda: [1])\ndef f(): return S()",
        "[1]",
        "[2]",
    ),
    "struct type": (
        "import msgspec\nclass S(msgspec.Struct):\n    x: int\ndef f(): return msgspec.json.decode(b'{}', type=S)",
        "x: int",
        "x: float",
    ),
    "struct instance": (
        "import msgspec\nclass S(msgspec.Struct):\n    x: int\ns = S(1)\ndef f(): return s.x",
        "S(1)",
        "S(2)",
    ),
    "private slot": (
        "class A:\n    __slots__ = ('__x',)\n    def __init__(self, x): self.__x = x\n    def get(self): return self.__x\na = A(1)\ndef f(): return a.get()",
        "A(1)",
        "A(2)",
    ),
    "namespace with repr": (
        "from types import SimpleNamespace\nclass R:\n    def __init__(self, x): self.x = x\n    def __repr__(self): return 'R'\nc = SimpleNamespace(w=R(1))\ndef f(): return c.w.x",
        "R(1)",
        "R(2)",
    ),
    "class doc": ("class A:\n    'one'\ndef f(): return A.__doc__", "'one'", "'two'"),
    "annotation nested": (
        "from __future__ import annotations\nimport msgspec\nclass I(msgspec.Struct):\n    y: int\nclass S(msgspec.Struct):\n    x: list[I]\ndef f(): return msgspec.json.decode(b'{}', type=S)",
        "y: int",
        "y: str",
    ),
    "str subclass": (
        "class S(str):\n    def __str__(self): return 'x'\ns = S('1')\ndef f(): return s + ''",
        "S('1')",
        "S('2')",
    ),
    "mappingproxy": ("from types import MappingProxyType\nm = MappingProxyType({'a': 1})\ndef f(): return m", "1", "2"),
    "itemgetter": ("from operator import itemgetter\ng = itemgetter(1)\ndef f(): return g", "(1)", "(2)"),
    "singledispatch": (
        "from functools import singledispatch\n@singledispatch\ndef g(x): return 0\n@g.register\ndef _(x: int): return 1\ndef f(): return g(1)",
        "return 1",
        "return 2",
    ),
    "singledispatchmethod": (
        "from functools import singledispatchmethod\nclass A:\n    @singledispatchmethod\n    def g(self, x): return 0\n    @g.register\n    def _(self, x: int): return 1\ndef f(): return A().g(1)",
        "return 1",
        "return 2",
    ),
    "make_dataclass": (
        "from dataclasses import make_dataclass\nS = make_dataclass('S', [('x', int, 1)])\ndef f(): return S().x",
        "int, 1",
        "int, 2",
    ),
    "metaclass": (
        "class M(type):\n    def __call__(cls): return 1\nclass A(metaclass=M): pass\ndef f(): return A()",
        "return 1",
        "return 2",
    ),
    "async gen": ("async def g():\n    yield 1\ndef f(): return g", "yield 1", "yield 2"),
    "match": (
        "def f(x=1):\n    match x:\n        case {'a': 1}: return 1\n        case [1, *_]: return 2",
        "'a': 1",
        "'b': 1",
    ),
    "fstring": ("def f(x=1): return f'{x:>3}'", ":>3", ":>4"),
    "generic base": (
        "from typing import Generic, TypeVar\nT = TypeVar('T')\nclass B(Generic[T]): pass\nclass A(B[int]): pass\ndef f(): return A.__orig_bases__",
        "B[int]",
        "B[str]",
    ),
    "cached_property": (
        "from functools import cached_property\nclass A:\n    @cached_property\n    def p(self): return 1\ndef f(): return A().p",
        "return 1",
        "return 2",
    ),
    "nested lambda": ("d = {'a': lambda: 1}\ndef f(): return d['a']()", ": 1", ": 2"),
    "contextmanager": (
        "from contextlib import contextmanager\n@contextmanager\ndef g():\n    yield 1\ndef f():\n    with g() as x: return x",
        "yield 1",
        "yield 2",
    ),
    "monkeypatch method": (
        "class A:\n    def m(self): return 0\nA.m = lambda self: 1\ndef f(): return A().m()",
        "self: 1",
        "self: 2",
    ),
    "struct.Struct": ("import struct\ns = struct.Struct('<i')\ndef f(): return s", "<i", "<q"),
    "decorator own attr": (
        "def tag(t):\n    def d(fn):\n        fn.tag = t\n        return fn\n    return d\n@tag(1)\ndef f(): return f.tag",
        "tag(1)",
        "tag(2)",
    ),
    "kwonly": ("def g(*, a=1): return a\ndef f(): return g()", "a=1", "a=2"),
    "newtype/alias": ("from typing import Annotated\nX = Annotated[int, 'a']\ndef f(): return X", "'a'", "'b'"),
    "vars module": (
        "import sys\ndef g(): return 1\ndef f(): return getattr(sys.modules[__name__], 'g')()",
        "return 1",
        "return 2",
    ),
    "vars()": ("def g(): return 1\ndef f(): return vars(__import__(__name__))['g']()", "return 1", "return 2"),
    "import_module": (
        "import importlib\ndef g(): return 1\ndef f(): return importlib.import_module(__name__).g()",
        "return 1",
        "return 2",
    ),
}


@pytest.mark.parametrize(("text", "old", "new"), CHANGES.values(), ids=CHANGES)
def test_a_change_of_what_a_function_does_is_seen(module, text, old, new):
    assert text.count(old) == 1
    before = code_digest(module(text).f)
    assert code_digest(module(text).f) == before
    assert code_digest(module(text.replace(old, new)).f) != before


@pytest.mark.parametrize(
    "text",
    [
        "import numpy as np\nfrom types import SimpleNamespace\nc = SimpleNamespace(w=np.arange(5000))\nc.w[2500] = 1\ndef f(): return c.w",
        "import threading\nclass L(threading.local): pass\nl = L(); l.x = 1\ndef f(): return l.x",
        "from datetime import datetime\nclass D(datetime): pass\nd = D(2020, 1, 1)\ndef f(): return d",
        "from decimal import Decimal\nclass D(Decimal): pass\nd = D('1')\ndef f(): return d",
        "import numpy as np\nclass D(np.ndarray): pass\nd = np.arange(3).view(D)\ndef f(): return d",
    ],
)  # fmt: skip
def test_values_that_only_code_in_c_knows_whole_cannot_be_compared(module, text):
    with pytest.raises(UnseenError, match="a value of type"):
        code_digest(module(text).f)


MODULES = {
    "import own; own imports from other": (
        {
            "prog.py": "import own\ndef f(): return own.g()",
            "own.py": "from other import L\ndef g(): return L",
            "other.py": "L = 1",
        },
        "other.py",
        "L = 1",
        "L = 2",
    ),
    "import own; own.g changed": (
        {"prog.py": "import own\ndef f(): return own.g()", "own.py": "def g(): return 1"},
        "own.py",
        "1",
        "2",
    ),
    "package attribute": (
        {
            "prog.py": "import pkg.sub\ndef f(): return pkg.sub.g()",
            "pkg/__init__.py": "",
            "pkg/sub.py": "def g(): return 1",
        },
        "pkg/sub.py",
        "1",
        "2",
    ),
    "namespace package attribute": (
        {"prog.py": "import pkg.sub\ndef f(): return pkg.sub.g()", "pkg/sub.py": "def g(): return 1"},
        "pkg/sub.py",
        "1",
        "2",
    ),
    "package alias": (
        {
            "prog.py": "import pkg as p, pkg.sub\ndef f():\n    x = p\n    return x.sub.g()",
            "pkg/__init__.py": "",
            "pkg/sub.py": "def g(): return 1",
        },
        "pkg/sub.py",
        "1",
        "2",
    ),
    "from pkg import sub": (
        {
            "prog.py": "from pkg import sub\ndef f(): return sub.g()",
            "pkg/__init__.py": "",
            "pkg/sub.py": "def g(): return 1",
        },
        "pkg/sub.py",
        "1",
        "2",
    ),
    "pkg reexport": (
        {
            "prog.py": "import pkg\ndef f(): return pkg.g()",
            "pkg/__init__.py": "from .sub import g",
            "pkg/sub.py": "def g(): return 1",
        },
        "pkg/sub.py",
        "1",
        "2",
    ),
    "lazy import, its import": (
        {
            "prog.py": "def f():\n    from own import g\n    return g()",
            "own.py": "from other import L\ndef g(): return L",
            "other.py": "L = 1",
        },
        "other.py",
        "L = 1",
        "L = 2",
    ),
    "lazy from . import": (
        {
            "prog.py": "from p.a import f",
            "p/__init__.py": "",
            "p/a.py": "def f():\n    from . import b\n    return b.x",
            "p/b.py": "x = 1",
        },
        "p/b.py",
        "1",
        "2",
    ),
    "lazy from .. import": (
        {
            "prog.py": "from p.q.a import f",
            "p/__init__.py": "",
            "p/q/__init__.py": "",
            "p/q/a.py": "def f():\n    from ..b import x\n    return x",
            "p/b.py": "x = 1",
        },
        "p/b.py",
        "1",
        "2",
    ),
    "lazy from pkg import sub": (
        {"prog.py": "def f():\n    from p import b\n    return b.x", "p/__init__.py": "", "p/b.py": "x = 1"},
        "p/b.py",
        "1",
        "2",
    ),
    "lazy import a.b": (
        {"prog.py": "def f():\n    import p.b\n    return p.x", "p/__init__.py": "x = 1", "p/b.py": "y = 1"},
        "p/__init__.py",
        "1",
        "2",
    ),
    "eval elsewhere": (
        {
            "prog.py": "from own import g\ndef f(): return g()",
            "own.py": "def a(): return 1\ndef g(): return eval('a()')",
        },
        "own.py",
        "1",
        "2",
    ),
    "eval then other": (
        {"prog.py": "from own import zz\ndef f(): return eval('1') + zz()", "own.py": "def zz(): return 1"},
        "own.py",
        "1",
        "2",
    ),
    "eval uses import": (
        {"prog.py": "from own import zz\ndef f(): return eval('zz()')", "own.py": "def zz(): return 1"},
        "own.py",
        "1",
        "2",
    ),
    "lambda default": (
        {"prog.py": "import own\ndef f(g=own.g): return g()", "own.py": "def g(): return 1"},
        "own.py",
        "1",
        "2",
    ),
    "global in module changed at import": (
        {
            "prog.py": "import own, conf\nown.K = conf.K\ndef f(): return own.g()",
            "own.py": "K = 0\ndef g(): return K",
            "conf.py": "K = 1",
        },
        "conf.py",
        "1",
        "2",
    ),
    "monkeypatched module": (
        {"prog.py": "import own\nown.g = lambda: 1\ndef f(): return own.g()", "own.py": "def g(): return 0"},
        "prog.py",
        "1",
        "2",
    ),
}


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Write the files of a program and import `prog` of it, as a new process does."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)

    def make(files):
        folder = tmp_path / f"program{next(_numbers)}"
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        for name in set(sys.modules) - before:
            if str(tmp_path) in str(getattr(sys.modules[name], "__path__", "")) + str(
                getattr(sys.modules[name], "__file__", "")
            ):
                del sys.modules[name]
        monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
        importlib.invalidate_caches()
        return importlib.import_module("prog")

    yield make
    make({"prog.py": ""})
    del sys.modules["prog"]


@pytest.mark.parametrize(("files", "file", "old", "new"), MODULES.values(), ids=MODULES)
def test_a_change_of_another_module_is_seen(program, files, file, old, new):
    assert files[file].count(old) == 1
    before = code_digest(program(files).f)
    assert code_digest(program(files).f) == before
    assert code_digest(program({**files, file: files[file].replace(old, new)}).f) != before


@pytest.mark.parametrize(
    ("files", "file", "more"),
    [
        ({"prog.py": "import own\ndef f(): return own.g()", "own.py": "def g(): return 1\n"}, "own.py", "def h(): return 2\n"),
        ({"prog.py": "import p.b\ndef f(): return p.b.x", "p/__init__.py": "", "p/b.py": "x = 1\n"}, "p/b.py", "y = 1\n"),
        ({"prog.py": "import json\ndef f(): return json.dumps(1)\n"}, "prog.py", "def h(): return 2\n"),
    ],
)  # fmt: skip
def test_what_is_not_used_of_a_module_is_none_of_its(program, files, file, more):
    before = code_digest(program(files).f)
    assert code_digest(program({**files, file: files[file] + more}).f) == before


def test_the_file_of_an_action_counts_with_what_it_imports(program):
    def of(text):
        made = program({"prog.py": "def f():\n    from own import g\n", "own.py": "import deep", "deep.py": text})
        return file_digest(made.__file__, "")

    assert of("x = 1") == of("x = 1") != of("x = 2")


def test_a_module_that_nobody_can_compare_is_said(module):
    made = module("import types\nown = types.ModuleType('own')\ndef f(): return own")
    with pytest.raises(UnseenError, match=r"^`own`, a module without a file$"):
        code_digest(made.f)
