"""Results of actions: what JSON can say is written, what it would change is refused with its place."""

import datetime as dt
import enum
from collections import ChainMap, deque
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import inf, nan
from pathlib import Path, PurePosixPath
from types import MappingProxyType

import msgspec
import pytest

from joblot.errors import JoblotError
from joblot.executors.perform import _encoded_result


class Text(str):
    __slots__ = ()


class Whole(int):
    pass


class Number(float):
    pass


class Moment(dt.datetime):
    """Like a timestamp of a library."""


class Colour(enum.Enum):
    RED = Path("red")
    ONE = 1


class Scalar:
    """Like one of NumPy."""

    def __init__(self, value):
        self._value = value

    def item(self):
        return self._value


class Array(Scalar):
    shape = (1,)


class Nanoseconds(Scalar):
    """Like `numpy.datetime64`: `.item()` gives a bare number."""

    shape = ()

    class dtype:
        kind = "M"

    def __str__(self):
        return "2026-01-02T00:00:00.000000001"


class NotATime(Nanoseconds):
    __hash__ = None

    def __eq__(self, other):
        return False

    def __ne__(self, other):
        return True

    def __str__(self):
        return "NaT"


class Masked(Scalar):
    """Like `numpy.ma.masked`: `.item()` gives a number that nobody has measured."""

    shape = ()
    mask = True

    def __str__(self):
        return "--"


class LongDouble:
    def item(self):
        return self


@dataclass
class Row:
    value: object


class Record(msgspec.Struct):
    value: object


def loop():
    found = []
    found.append(found)
    return found


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ({"made": {"table": Path("out/table.csv")}}, {"made": {"table": "out/table.csv"}}),
        (PurePosixPath("x"), "x"),
        ({Path("a.csv"): 1}, {"a.csv": 1}),
        ([Text("a"), Whole(3), Number(2.5)], ["a", 3, 2.5]),
        ({Text("a"): {Whole(1): 2}}, {"a": {"1": 2}}),
        (deque([1, deque([Path("x")])]), [1, ["x"]]),
        ((Path("x"), None, True), ["x", None, True]),
        ({"mean": Scalar(1.5), "all": Scalar(True)}, {"mean": 1.5, "all": True}),
        ({Scalar(7): Path("x")}, {"7": "x"}),
        (Moment(2026, 1, 2, tzinfo=dt.UTC), "2026-01-02T00:00:00+00:00"),
        ([Nanoseconds(1767312000000000001)], ["2026-01-02T00:00:00.000000001"]),
        (Row(Path("x")), {"value": "x"}),
        (Record([Row(Number(1))]), {"value": [{"value": 1.0}]}),
        ([None, Row(None), Colour.RED, Colour.ONE], [None, {"value": None}, "red", 1]),
        (ChainMap({"a": 1}, {"b": None}), {"a": 1, "b": None}),
        (MappingProxyType({"a": range(2)}), {"a": [0, 1]}),
        ({"none": None, "at": dt.date(2026, 1, 2), "raw": b"x"}, {"none": None, "at": "2026-01-02", "raw": "eA=="}),
        ("null", "null"),
        (["NaN", 2**70], ["NaN", 2**70]),
        ({1.5: 1, 2: None}, {"1.5": 1, "2": None}),
    ],
)  # fmt: skip
def test_everyday_results_are_written(result, expected):
    assert msgspec.json.decode(_encoded_result(result)) == expected


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (nan, ": JSON has no nan"),
        ({"mean": nan, "rows": 0}, " at `mean`: JSON has no nan"),
        ({"max": -inf}, " at `max`: JSON has no -inf"),
        ({"a": [1, {"b": (2, inf)}]}, " at `a[1].b[1]`: JSON has no inf"),
        ([Number("nan")], " at `[0]`: JSON has no nan"),
        ({"mean": Scalar(nan)}, " at `mean`: JSON has no nan"),
        ({"mean": Decimal("NaN")}, " at `mean`: JSON has no NaN"),
        ([Decimal("-Infinity")], " at `[0]`: JSON has no -Infinity"),
        ({"at": NotATime(0)}, " at `at`: JSON has no NaT"),
        ({"mean": Masked(0.0)}, " at `mean`: JSON has no --"),
        ([Row(Masked(0.0))], " at `[0]`: JSON has no --"),
        (Row(nan), " at `value`: JSON has no nan"),
        ({"row": Record([nan])}, " at `row.value[0]`: JSON has no nan"),
        ({"d": deque([nan])}, " at `d[0]`: JSON has no nan"),
        ({nan: 1}, ": JSON has no nan"),
        ({1: "a", "1": "b"}, ": two keys become the same text `1`"),
        ({"d": [{1: "a", "1": "b"}]}, " at `d[0]`: two keys become the same text `1`"),
        ({Path("a"): 1, "a": 2}, ": two keys become the same text `a`"),
        ({1.0: 1, "1.0": 2}, ": two keys become the same text `1.0`"),
        ({dt.date(2026, 1, 2): 1, "2026-01-02": 2}, ": two keys become the same text `2026-01-02`"),
        (Row({Colour.ONE: 1, "1": 2}), " at `value`: two keys become the same text `1`"),
        ({"made": {"table": Fraction(1, 2)}}, " at `made.table`: Encoding objects of type Fraction is unsupported"),
        ([object()], " at `[0]`: Encoding objects of type object is unsupported"),
        ({"x": Array(1)}, " at `x`: Encoding objects of type Array is unsupported"),
        ({"x": LongDouble()}, " at `x`: Encoding objects of type LongDouble is unsupported"),
        ({"x": Row(object())}, " at `x`: Encoding objects of type object is unsupported"),
        ({"x": 1j}, " at `x`: Encoding objects of type complex is unsupported"),
        ({"x": {(1, 2): 3}}, " at `x`: Only dicts with str-like or number-like keys are supported"),
        ({"x": {None: 3}}, " at `x`: Only dicts with str-like or number-like keys are supported"),
        (["\ud800"], " at `[0]`: 'utf-8' codec can't encode character '\\ud800' in position 0: surrogates not allowed"),
        (loop(), ": it is nested too deeply"),
    ],
)  # fmt: skip
def test_what_json_would_change_is_refused_with_its_place(result, message):
    with pytest.raises(JoblotError) as caught:
        _encoded_result(result)
    assert caught.value.message == f"the result cannot be written as JSON{message}"
