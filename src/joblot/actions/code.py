"""What stands for the code of a function: its own, and that of what it names, so that a change elsewhere in its module is none of its.

Compiled code is looked at and not text: it is what runs, and comments, blank lines and places are no part of it. Names are followed to
functions, classes and simple values that are no installed ones', wherever they were made; what those of installed packages do is not seen,
as the versions of packages are not. A module counts by what is used of it, and where that is not known by its file and the files of all
that it imports. Another Python compiles to other code: everything runs once more.

Whoever compares must know: what cannot be compared is an error, and never left out.
"""

from __future__ import annotations

import builtins
import dis
import os
import re
import sys
import types
from contextlib import suppress
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from joblot.actions.registry import UnseenError, digest_of_code
from joblot.digest import blake2b

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

_MOST: Final = 100_000
"""So many values are compared at most: what holds more is data."""
_PLAIN: Final = (type(None), bool, int, float, complex, str, bytes, bytearray, range, type(...), type(NotImplemented))
_SAID_BY_REPR: Final = frozenset(
    {"datetime", "decimal", "fractions", "pathlib", "pathlib._local", "uuid", "zoneinfo", "typing"}
)
"""Modules whose objects show all that they are. A class of a user's that is derived from one of theirs is not theirs."""
_SLOTS: Final = (
    types.MemberDescriptorType, types.GetSetDescriptorType, types.WrapperDescriptorType, types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
)  # fmt: skip
_CONTENTS: Final[tuple[Any, ...]] = (dict, list, tuple, set, frozenset, str, int, float, bytes)
_SHOWN: Final[dict[Any, Callable[[Any], Any]]] = {
    dict: dict.copy, list: list.copy, str: str.__repr__, int: int.__repr__, float: float.__repr__, bytes: bytes.__repr__,
}  # fmt: skip
"""What they hold, whatever a class that is derived from them says that it is."""
_POINTER: Final = 8
_MADE_WHILE_RUNNING: Final = 1 << 9
"""The flag of types that are no part of the text of a C program."""
_GLOBAL: Final = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
_Import = tuple[str, tuple[str, ...], int]
"""A module, names that are taken from it and may be modules, and how many packages up."""
_DYNAMIC: Final = frozenset({"eval", "exec", "globals", "__import__"})
"""Who uses these may use anything of the module."""
_MODULES_BY_NAME: Final = {("sys", "modules"), ("importlib", "import_module")}
"""So may who asks these, mostly for the module itself."""
_NO_PART: Final = frozenset({
    "__module__", "__qualname__", "__dict__", "__weakref__", "__firstlineno__", "__static_attributes__", "__annotations__",
    "__annotate__", "__annotate_func__", "__annotations_cache__", "__abstractmethods__", "_abc_impl", "__dataclass_fields__",
    "__dataclass_params__", "__parameters__", "__type_params__",
})  # fmt: skip
"""What a class has that does nothing by itself, or is looked at otherwise."""
_WRITTEN: Final = (types.FunctionType, classmethod, staticmethod, property)
_INSTALLED: Final = ("/site-packages/", "/dist-packages/")
_STANDARD: Final = f"{os.path.dirname(os.__file__)}/"  # noqa: PTH120 - a text is wanted
_OURS: Final = f"{os.path.dirname(os.path.dirname(__file__))}/"  # noqa: PTH120


def code_digest(*functions: Callable[..., Any]) -> str:
    """What stands for the code of functions that do one job; equal for code that does the same in every call.

    Raises:
        UnseenError: they use what cannot be compared.
    """
    reader = _Reader()
    try:
        for function in functions:
            if isinstance(function, (types.FunctionType, type)):
                reader.roots.add(function.__module__)
            reader.read(function, getattr(function, "__name__", "it"))
    except RecursionError:
        raise UnseenError("what is nested too deeply") from None
    except UnseenError:
        raise
    except Exception as error:  # to ask an object for its attributes runs code of anybody's
        raise UnseenError(f"what cannot be looked at ({type(error).__name__})") from error
    return reader.digest()


def file_digest(file: str, package: str) -> str:
    """What stands for a module as a whole, of that package: its file, and those of all that it imports and that are no installed ones."""
    reader = _Reader()
    reader.file(file, package)
    return reader.digest()


class _Reader:
    """Reads functions and values into one digest, each object once."""

    def __init__(self) -> None:
        self.roots: set[str] = set()
        self._hash = blake2b(digest_size=16)
        self._count = 0
        self._seen: dict[int, int] = {}
        self._files: set[str] = set()
        self._kept: list[Any] = []  # an object that has gone would give its number to another one

    def digest(self) -> str:
        return self._hash.hexdigest()

    def say(self, *words: str) -> None:
        for word in words:
            self._hash.update(b"%d:%b" % (len(word), word.encode("utf-8", "surrogatepass")))

    def read(self, value: Any, name: str) -> None:
        """Take in a value. `name` is what it is called where it is used, for messages."""
        kind = type(value)
        if kind in _PLAIN:
            self.say(kind.__name__, repr(value))
            return
        if kind in (list, dict, tuple, set, frozenset):
            self._count += len(value)
            if self._count > _MOST:
                raise UnseenError(f"`{name}`, which holds too many values")
        if kind in (tuple, set, frozenset):  # whether equal ones are one object is the compiler's affair
            self._unchanging(value, kind, name)
            return
        if id(value) in self._seen:
            self.say("again", str(self._seen[id(value)]))
            return
        self._seen[id(value)] = len(self._seen)
        self._kept.append(value)
        if kind is list:
            self.say("list", str(len(value)))
            for item in value:
                self.read(item, name)
        elif kind is dict:
            self.say("dict", str(len(value)))
            for key, item in value.items():
                self.read(key, name)
                self.read(item, name)
        elif kind is types.FunctionType:
            self._function(value, name)
        elif kind is types.ModuleType:
            self._module(value)
        elif isinstance(value, type):
            self._class(value)
        elif parts := _parts(value):
            self.say(kind.__name__)
            for part in parts:
                self.read(part, name)
        else:
            self._object(value, kind, name)

    def _unchanging(self, value: Any, kind: type, name: str) -> None:
        self.say(kind.__name__, str(len(value)))
        if kind is tuple:
            for item in value:
                self.read(item, name)
        else:
            self.say(*sorted(self._alone(item, name) for item in value))

    def _alone(self, value: Any, name: str) -> str:
        """A digest of one member of a set, whose members have no order."""
        reader = _Reader()
        reader.roots = self.roots
        reader.read(value, name)
        return reader.digest()

    def file(self, file: str, package: str) -> None:
        """Take in a module as a whole."""
        if file not in self._files:
            self._files.add(file)
            self.say("file", digest_of_code(file))
            for imported in _imports_of(file):
                self._imported(imported, package)

    def _imported(self, imported: _Import, package: str) -> None:
        for file, its_package in _files_imported(imported, package):
            self.file(file, its_package)

    def _module(self, module: types.ModuleType) -> None:
        self.say("module", module.__name__)
        if _is_installed(module.__name__):
            return
        file = getattr(module, "__file__", None)
        if file:
            self.file(file, getattr(module, "__package__", None) or "")
        elif not hasattr(module, "__path__"):
            raise UnseenError(f"`{module.__name__}`, a module without a file")
        for name, held in sorted(vars(module).items()):
            if isinstance(held, types.ModuleType) and held.__name__ == f"{module.__name__}.{name}":
                self.read(held, name)

    def _named(self, value: Any, attributes: tuple[str, ...], name: str) -> None:
        """What a global name leads to: of a module that is not installed what is used of it, not all of it."""
        for attribute in attributes:
            held = vars(value).get(attribute) if isinstance(value, types.ModuleType) else None
            if held is None or not (isinstance(held, types.ModuleType) or not _is_installed(value.__name__)):
                break
            self.say(attribute)
            value = held
        self.read(value, name)

    def _is_followed(self, made: type) -> bool:
        module = made.__module__
        if module in self.roots or not _is_installed(module):
            return True
        # One that says to be of an installed module may have been made by a call of that, with things of the user's.
        return bool(made.__flags__ & _MADE_WHILE_RUNNING) and _found(module, made.__qualname__) is not made

    def _function(self, function: types.FunctionType, name: str) -> None:
        own = function.__globals__
        # By its code: what it says of its module may be what a decorator has copied to it.
        file = function.__code__.co_filename
        if file.startswith("<") and not file.startswith("<frozen "):  # made of a text
            file = own.get("__file__") or ""
        if own.get("__name__") in self.roots or not _is_of_installed(file):
            self.say("function")
            self._code(function.__code__, own)
            self.read(function.__defaults__, name)
            self.read(function.__kwdefaults__, name)
            self._annotations(function, function.__annotations__, own)
            self.read(vars(function), name)
        else:
            self.say("other function", function.__module__ or "", function.__qualname__)
            if isinstance(registry := vars(function).get("registry"), types.MappingProxyType):  # of `singledispatch`
                self.read(registry, name)
                return
        # Also of others': it may be what a decorator of an installed package has made of one of the user's.
        for free, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            self.say(free)
            try:
                held = cell.cell_contents
            except ValueError:  # nothing has been assigned yet
                continue
            self.read(held, free)

    def _code(self, code: types.CodeType, names: Mapping[str, Any]) -> None:
        self.say("code", code.co_code.hex(), code.co_exceptiontable.hex())
        self.say(*map(str, (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)))
        self.say(*code.co_names, *code.co_varnames, *code.co_cellvars, *code.co_freevars)
        for const in code.co_consts:
            if isinstance(const, types.CodeType):
                self._code(const, names)
            elif not ("__firstlineno__" in code.co_names and const == code.co_firstlineno):  # where a class stands
                self.read(const, "a constant")
        for imported in _imports(code):
            self._imported(imported, names.get("__package__") or "")
        for used, attributes in _used(code):
            self.say(used)
            if used in names:
                self._named(names[used], attributes, used)
            if _may_use_anything(names, used, attributes):
                file = names.get("__file__") or ""
                if not file or _is_of_installed(file):
                    raise UnseenError(f"`{used}`, by which it may use anything")
                self.file(file, names.get("__package__") or "")

    def _annotations(self, annotated: Any, annotations: Mapping[str, Any], names: Mapping[str, Any]) -> None:
        """They are looked at by who converts values, joblot as well."""
        if (annotate := getattr(annotated, "__annotate__", None)) is not None:  # from Python 3.14 on
            self.read(annotate, "annotations")
            return
        for name, annotation in annotations.items():
            self.say(name)
            if isinstance(annotation, str):
                try:
                    self._code(compile(annotation, "<annotation>", "eval", dont_inherit=True), names)
                except (SyntaxError, ValueError):
                    self.say(annotation)
            else:
                self.read(annotation, name)

    def _class(self, made: type) -> None:
        self.say("class", made.__qualname__)
        if not self._is_followed(made):
            self.say(made.__module__)
            return
        for base in (type(made), *made.__bases__):
            self.read(base, base.__name__)
        is_enum = issubclass(made, Enum)  # with bookkeeping of its own, under names that nobody else may use
        for name, value in sorted(vars(made).items()):
            if name not in _NO_PART and not (is_enum and name.startswith("_") and not isinstance(value, _WRITTEN)):
                self.say(name)
                if not (name == "__doc__" and isinstance(value, str) and " at 0x" in value):  # made, of defaults
                    self.read(value, f"{made.__name__}.{name}")
        loaded = sys.modules.get(made.__module__)
        self._annotations(made, vars(made).get("__annotations__") or {}, vars(loaded) if loaded is not None else {})
        for field in (vars(made).get("__dataclass_fields__") or {}).values():
            self.read(field.metadata, f"{made.__name__}.{field.name}")

    def _object(self, value: Any, kind: type, name: str) -> None:
        module, own = kind.__module__, getattr(value, "__module__", None)
        named = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
        if isinstance(value, _SLOTS) or module == "dataclasses" or kind.__name__ == "_tuplegetter":
            self.say(kind.__name__, str(named))
        elif module in _SAID_BY_REPR and " at 0x" not in (shown := repr(value)):
            self.say(kind.__name__, shown)
        elif module == "logging" and isinstance(getattr(value, "name", None), str):
            self.say("logger", value.name)
        elif isinstance(own, str) and isinstance(named, str) and _found(own, named) is value and _is_installed(own):
            self.say("of a package", own, named)
        elif isinstance(value, Enum):
            self.say("member", value.name)
            self.read(kind, kind.__name__)
            self.read(value.value, name)
        elif (module == "collections" or self._is_followed(kind)) and (state := _state(value)) is not None:
            self.say("object")
            self.read(kind, kind.__name__)
            for part in state:
                self.read(part, name)
        else:
            raise UnseenError(f"`{name}`, a value of type `{kind.__qualname__}`")


def _parts(value: Any) -> tuple[Any, ...]:
    """What stands in a thing that wraps others; nothing of other things."""
    if isinstance(value, (staticmethod, classmethod)):
        return (value.__func__,)
    if isinstance(value, property):
        return value.fget, value.fset, value.fdel
    if isinstance(value, types.BuiltinFunctionType):  # of a module it goes by its name
        bound = value.__self__
        return () if bound is None or isinstance(bound, types.ModuleType) else (bound, value.__name__)
    if isinstance(value, re.Pattern):
        return value.pattern, value.flags
    if isinstance(value, types.MethodType):
        return value.__func__, value.__self__
    if isinstance(value, types.MappingProxyType):
        return (dict(value),)
    kind = type(value)
    if kind is types.SimpleNamespace or (kind.__module__, kind.__name__) == ("argparse", "Namespace"):
        return (vars(value),)
    if kind.__module__ == "functools":
        wrapped = (getattr(value, name, None) for name in ("__wrapped__", "func", "args", "keywords", "dispatcher"))
        return tuple(part for part in wrapped if part is not None)
    if kind.__module__ == "operator":
        return tuple(value.__reduce__())
    if kind.__module__ == "_struct":
        return (value.format,)
    if kind.__module__ in ("typing", "types", "collections.abc"):  # `list[int]`, `int | None`
        if (alias := getattr(value, "__value__", None)) is not None:
            return (value.__name__, alias)
        if isinstance(arguments := getattr(value, "__args__", None), tuple):
            return getattr(value, "__origin__", None), arguments, getattr(value, "__metadata__", ())
    return ()


def _used(code: types.CodeType) -> list[tuple[str, tuple[str, ...]]]:
    """The global names that code uses, each with the attributes that it takes of it at once."""
    found = set()
    name = ""
    attributes: tuple[str, ...] = ()
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_ATTR", "LOAD_METHOD") and name:
            attributes = (*attributes, step.argval)
            continue
        if name:
            found.add((name, attributes))
        name, attributes = (step.argval if step.opname in _GLOBAL else ""), ()
    return sorted(found)


def _may_use_anything(names: Mapping[str, Any], used: str, attributes: tuple[str, ...]) -> bool:
    if used not in names:
        return used in _DYNAMIC
    value = names[used]
    if isinstance(value, types.ModuleType):
        return (value.__name__, *attributes[:1]) in _MODULES_BY_NAME
    return value is sys.modules or value is import_module


def _imports(code: types.CodeType) -> Iterator[_Import]:
    """What the import statements of code say."""
    level: Any = 0
    names: Any = None
    for step in dis.get_instructions(code):
        if step.opname == "IMPORT_NAME":
            yield step.argval, names or (), level
        level, names = names, step.argval


def _imports_of(file: str) -> Iterator[_Import]:
    """The same of a file, wherever they stand in it; of one that is not Python none."""
    try:
        found = [compile(Path(file).read_bytes(), file, "exec", dont_inherit=True)] if file.endswith(".py") else []
    except (OSError, SyntaxError, ValueError):
        return
    while found:
        code = found.pop()
        yield from _imports(code)
        found += [const for const in code.co_consts if isinstance(const, types.CodeType)]


def _files_imported(imported: _Import, package: str) -> Iterator[tuple[str, str]]:
    """The files that an import statement runs, loaded by now or not, each with its package. Nothing is imported, and installed modules are none."""
    module, names, level = imported
    if level:
        around = package.split(".")
        module = ".".join([*around[: len(around) - level + 1], *([module] if module else [])])
    top, *inner = module.split(".")
    file, folders = _place_of(top)
    if file and _is_of_installed(file):
        return
    at = top
    yield from [(file, at if folders else "")] if file else ()
    for part in inner:
        file, inner_folders = _inside(folders, part)
        yield from [(file, f"{at}.{part}" if inner_folders else at)] if file else ()
        at, folders = f"{at}.{part}", inner_folders
    for name in names:
        file, inner_folders = _inside(folders, name)
        yield from [(file, f"{at}.{name}" if inner_folders else at)] if file else ()


def _place_of(module: str) -> tuple[str, list[str]]:
    """The file of a module that is in no package, and the folders of what is in it."""
    from importlib.util import find_spec

    loaded = sys.modules.get(module)
    if getattr(loaded, "__file__", None):
        return str(loaded.__file__), list(getattr(loaded, "__path__", ()))  # type: ignore[union-attr]
    try:
        spec = find_spec(module) if module else None
    except (ImportError, ValueError):  # it is loaded, and does not say from where
        return "", []
    if spec is None:
        return "", []
    return (spec.origin or "") if spec.has_location else "", list(spec.submodule_search_locations or ())


def _inside(folders: Iterable[str], name: str) -> tuple[str, list[str]]:
    """The file of a module in a package, and the folders of what is in it."""
    for folder in folders:
        below = os.path.join(folder, name)  # noqa: PTH118 - a text is wanted
        if os.path.isfile(init := f"{below}/__init__.py"):  # noqa: PTH113
            return init, [below]
        if os.path.isfile(file := f"{below}.py"):  # noqa: PTH113
            return file, []
        if os.path.isdir(below):  # noqa: PTH112
            return "", [below]
    return "", []


def _state(value: Any) -> list[Any] | None:
    """All that an instance of a class that is written in Python holds; None where nobody knows."""
    kind = type(value)
    base: Any = next((base for base in _CONTENTS if isinstance(value, base)), object)
    contents = [] if base is object else [_SHOWN.get(base, base)(value)]
    written = [made for made in kind.__mro__ if made not in (object, base)]
    if contents and kind.__module__ == "collections":
        return [*contents, getattr(value, "default_factory", None), getattr(value, "maxlen", None)]
    if any(made.__module__ in ("builtins", "collections") for made in written):
        return None
    slots = [slot for made in written for slot in vars(made).values() if isinstance(slot, types.MemberDescriptorType)]
    # What is larger than its slots holds something that C code knows only, as a date or an array does.
    if kind.__basicsize__ > type("Plain", (base,), {}).__basicsize__ + _POINTER * len(slots):
        return None
    held = []
    for slot in slots:
        with suppress(AttributeError):  # nothing has been assigned yet
            held.append((slot.__name__, slot.__get__(value)))
    return [*contents, held, getattr(value, "__dict__", None)]


def _found(module: str, name: str) -> Any:
    """What has that name in a module that is loaded."""
    found: Any = builtins if module == "builtins" else sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _is_installed(module: str) -> bool:
    """Whether a module is one of Python's or of a package, and not the user's."""
    loaded = sys.modules.get(module)
    file = getattr(loaded, "__file__", None)
    if file:
        return _is_of_installed(file)
    return module in sys.builtin_module_names or getattr(getattr(loaded, "__spec__", None), "origin", None) == "frozen"


def _is_of_installed(file: str) -> bool:
    return file.startswith((_STANDARD, _OURS, "<frozen ")) or any(part in file for part in _INSTALLED)
