"""What stands for the code of a function: its own, and that of what it names, so that a change elsewhere in its module is none of its.

Compiled code is looked at and not text: it is what runs, and comments, blank lines and places are no part of it. Names are followed to
functions, classes and simple values in the modules that are no installed ones; what those of installed packages do is not seen, as the
versions of packages are not. Another Python compiles to other code: everything runs once more.

Whoever compares must know: what cannot be compared is an error, and never left out.
"""

from __future__ import annotations

import builtins
import dis
import os
import re
import sys
import types
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from joblot.actions.registry import UnseenError, digest_of_code
from joblot.digest import blake2b

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_MOST: Final = 100_000
"""So many values are compared at most: what holds more is data."""
_PLAIN: Final = (type(None), bool, int, float, complex, str, bytes, bytearray, range, type(...), type(NotImplemented))
_SAID_BY_REPR: Final = frozenset(
    {"datetime", "decimal", "fractions", "pathlib", "pathlib._local", "uuid", "zoneinfo", "typing", "types"}
)
"""Modules whose objects show all that they are. A class of a user's that is derived from one of theirs is not theirs."""
_SLOTS: Final = (
    types.MemberDescriptorType, types.GetSetDescriptorType, types.WrapperDescriptorType, types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
)  # fmt: skip
_CONTENTS: Final[tuple[Any, ...]] = (dict, list, tuple, set, frozenset, str, int, float, bytes)
_DYNAMIC: Final = frozenset({"eval", "exec", "globals", "__import__"})
"""Who uses these may use anything of the module."""
_NO_PART: Final = frozenset({
    "__module__", "__qualname__", "__doc__", "__dict__", "__weakref__", "__firstlineno__", "__static_attributes__", "__annotations__",
    "__annotate__", "__annotate_func__", "__annotations_cache__", "__abstractmethods__", "_abc_impl", "__dataclass_fields__",
    "__dataclass_params__", "__orig_bases__", "__parameters__", "__type_params__",
})  # fmt: skip
"""What a class has that does nothing by itself."""
_INSTALLED: Final = ("/site-packages/", "/dist-packages/")
_STANDARD: Final = f"{os.path.dirname(os.__file__)}/"  # noqa: PTH120 - a text is wanted
_OURS: Final = f"{os.path.dirname(os.path.dirname(__file__))}/"  # noqa: PTH120


class _DynamicError(Exception):
    """It may use anything of its module."""


def code_digest(*functions: Callable[..., Any]) -> str:
    """What stands for the code of functions that do one job; equal for code that does the same in every call.

    Raises:
        UnseenError: they use what cannot be compared.
    """
    reader = _Reader()
    try:
        for function in functions:
            reader.roots.add(getattr(function, "__module__", ""))
            reader.read(function, getattr(function, "__name__", "it"))
    except _DynamicError as dynamic:
        file = _file_of(getattr(functions[0], "__module__", ""))
        if not file:
            raise UnseenError(str(dynamic)) from None
        reader.say("module", digest_of_code(file))
    except RecursionError:
        raise UnseenError("what is nested too deeply") from None
    except UnseenError:
        raise
    except Exception as error:  # to ask an object for its attributes runs code of anybody's
        raise UnseenError(f"what cannot be looked at ({type(error).__name__})") from error
    return reader.digest()


class _Reader:
    """Reads functions and values into one digest, each object once."""

    def __init__(self) -> None:
        self.roots: set[str] = set()
        self._hash = blake2b(digest_size=16)
        self._count = 0
        self._seen: dict[int, int] = {}
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
            file = _file_of(value.__name__)
            self.say("module", value.__name__, digest_of_code(file) if file else "")
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

    def _is_followed(self, module: str) -> bool:
        return module in self.roots or module == "__main__" or bool(_file_of(module))

    def _function(self, function: types.FunctionType, name: str) -> None:
        followed = self._is_followed(function.__module__ or "")
        if followed:
            self.say("function")
            self._code(function.__code__, function.__globals__)
            self.read(function.__defaults__, name)
            self.read(function.__kwdefaults__, name)
        else:
            self.say("other function", function.__module__ or "", function.__qualname__)
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
        for used, imported in _used(code):
            self.say(used)
            if imported:
                file = _file_imported(used, str(names.get("__package__") or ""))
                self.say(digest_of_code(file) if file else "")
            elif used in names:
                self.read(names[used], used)
            elif used in _DYNAMIC:
                raise _DynamicError(f"`{used}`, by which it may use anything")

    def _class(self, made: type) -> None:
        self.say("class", made.__qualname__)
        if not self._is_followed(made.__module__):
            self.say(made.__module__)
            return
        for base in (type(made), *made.__bases__):
            self.read(base, base.__name__)
        is_enum = issubclass(made, Enum)  # with bookkeeping of its own, under names that nobody else may use
        for name, value in sorted(vars(made).items()):
            if name not in _NO_PART and not (
                is_enum and name.startswith("_") and not isinstance(value, types.FunctionType)
            ):
                self.say(name)
                self.read(value, f"{made.__name__}.{name}")

    def _object(self, value: Any, kind: type, name: str) -> None:
        module, own = kind.__module__, getattr(value, "__module__", None)
        named = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
        if isinstance(value, _SLOTS) or module == "dataclasses" or kind.__name__ == "_tuplegetter":
            self.say(kind.__name__, str(named))
        elif module in _SAID_BY_REPR and " at 0x" not in (shown := repr(value)):
            self.say(kind.__name__, shown)
        elif module == "logging" and isinstance(getattr(value, "name", None), str):
            self.say("logger", value.name)
        elif isinstance(own, str) and isinstance(named, str) and _found(own, named) is value and not _file_of(own):
            self.say("of a package", own, named)
        elif isinstance(value, Enum):
            self.say("member", value.name)
            self.read(kind, kind.__name__)
            self.read(value.value, name)
        elif (module == "collections" or self._is_followed(module)) and (state := _state(value)) is not None:
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
    if type(value).__module__ == "functools":
        wrapped = (getattr(value, name, None) for name in ("__wrapped__", "func", "args", "keywords"))
        return tuple(part for part in wrapped if part is not None)
    return ()


def _used(code: types.CodeType) -> Iterator[tuple[str, bool]]:
    """The global names and the modules that code uses, each once, and which of the two it is."""
    kinds = {"LOAD_GLOBAL": False, "LOAD_NAME": False, "IMPORT_NAME": True}
    found = {(step.argval, kinds[step.opname]) for step in dis.get_instructions(code) if step.opname in kinds}
    return iter(sorted(found))


def _state(value: Any) -> list[Any] | None:
    """All that an instance of a class that is written in Python holds; None where nobody knows."""
    kind = type(value)
    contents: list[Any] = [base(value) for base in _CONTENTS if isinstance(value, base)][:1]
    known = {object, *_CONTENTS} if contents else {object}
    written = [base for base in kind.__mro__ if base not in known]
    if contents and kind.__module__ == "collections":
        return [*contents, getattr(value, "default_factory", None), getattr(value, "maxlen", None)]
    if any(base.__module__ in ("builtins", "collections") for base in written):
        return None
    slots = [slot for base in written for slot in _names(vars(base).get("__slots__", ()))]
    held = {slot: getattr(value, slot) for slot in slots if hasattr(value, slot)}
    return [*contents, held, getattr(value, "__dict__", None)]


def _names(slots: Any) -> list[str]:
    names = [slots] if isinstance(slots, str) else list(slots)
    return [name for name in names if name not in ("__dict__", "__weakref__")]


def _found(module: str, name: str) -> Any:
    """What has that name in a module that is loaded."""
    found: Any = builtins if module == "builtins" else sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _file_of(module: str) -> str:
    """The file of a module that is loaded and not installed; empty for others."""
    return _own(getattr(sys.modules.get(module), "__file__", None) or "")


def _file_imported(module: str, package: str) -> str:
    """The same of a module that a function imports when it is called, whether it is loaded by now or not. Nothing is imported."""
    for name in (f"{package}.{module}".rstrip("."), module) if package else (module,):
        top, _, rest = name.partition(".")
        found = _spec_of(top)
        if found is None:
            continue
        if not rest:
            return _own(found.origin or "")
        for folder in found.submodule_search_locations or ():
            below = os.path.join(folder, *rest.split("."))  # noqa: PTH118 - a text is wanted
            for file in (f"{below}.py", f"{below}/__init__.py"):
                if os.path.isfile(file):  # noqa: PTH113
                    return _own(file)
    return ""


def _spec_of(module: str) -> Any:
    from importlib.util import find_spec

    try:
        return find_spec(module) if module else None
    except (ImportError, ValueError):  # it is loaded, and does not say from where
        return None


def _own(file: str) -> str:
    installed = file.startswith((_STANDARD, _OURS)) or any(part in file for part in _INSTALLED)
    return "" if installed else file
