"""Files from a template: one for each item, written so that a value can be nothing but a value, and an edited file is never lost.

`read_template`, `plan_writes` and `apply_writes` are the whole of it; `Template` and `render` do one text. Nothing here knows what the
files are for, but that a batch among them must be one that joblot takes.
"""

from __future__ import annotations

from joblot.generate.header import Header, read_header, seal
from joblot.generate.items import Axis, product, read_axis
from joblot.generate.safety import Shape, kind_of, render
from joblot.generate.text import Template, read_template, unfit
from joblot.generate.writes import Check, Write, apply_writes, check_batch, count, diff, plan_writes

__all__ = [
    "Axis",
    "Check",
    "Header",
    "Shape",
    "Template",
    "Write",
    "apply_writes",
    "check_batch",
    "count",
    "diff",
    "kind_of",
    "plan_writes",
    "product",
    "read_axis",
    "read_header",
    "read_template",
    "render",
    "seal",
    "unfit",
]
