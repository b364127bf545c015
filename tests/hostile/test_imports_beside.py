"""Modules of a batch find what lies beside them, wherever joblot is started."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

ACT = "from joblot import action\n\n@action('twice')\ndef twice(*, n):\n    {inner}\n    return {value}\n"
FILES = {
    "beside": {"acts.py": "import lib\n" + ACT.format(inner="", value="lib.twice(n)"), "lib.py": ""},
    "in the action": {"acts.py": ACT.format(inner="import lib", value="lib.twice(n)"), "lib.py": ""},
    "beside the batch file": {"sub/acts.py": "import lib\n" + ACT.format(inner="", value="lib.twice(n)"), "lib.py": ""},
    "in a folder below": {"sub/acts.py": "import lib\n" + ACT.format(inner="", value="lib.twice(n)"), "sub/lib.py": ""},
    "a package": {"acts.py": "from pack import lib\n" + ACT.format(inner="", value="lib.twice(n)"), "pack/lib.py": "", "pack/__init__.py": " "},
    "a dotted name": {"pack/acts.py": "from pack import lib\n" + ACT.format(inner="", value="lib.twice(n)"), "pack/lib.py": ""},
    "a plain name": {"acts.py": "import lib\n" + ACT.format(inner="", value="lib.twice(n)"), "lib.py": ""},
}  # fmt: skip
NAMES = {"a dotted name": "pack.acts", "a plain name": "acts"}


@pytest.mark.parametrize("case", FILES)
def test_it_is_found(hostile: Any, case: str) -> None:
    """By plain names and by dotted ones."""
    batch = hostile.folder / "batch"
    batch.mkdir()
    for name, text in FILES[case].items():
        (batch / name).parent.mkdir(exist_ok=True)
        (batch / name).write_text(text or "def twice(n):\n    return 2 * n\n")
    acts = NAMES.get(case) or next(f"./{name}" for name in FILES[case] if name.endswith("acts.py"))
    (batch / "joblot.yaml").write_text(f"imports: [{acts}]\njobs: [{{name: a, action: twice, params: {{n: 4}}}}]\n")
    command = (sys.executable, "-m", "joblot", "run", "-q", "--json", str(batch / "joblot.yaml"))
    ended = hostile.end(hostile.start(*command, cwd="/"))
    assert ended.code == 0, ended
    assert json.loads(ended.out)["results"][0]["result"] == 8


def test_what_lies_beside_takes_nobodys_place(hostile: Any) -> None:
    """Files that are called as modules that joblot itself imports late stay what they are."""
    for name in ("sqlite3", "secrets", "json", "traceback", "msgspec", "joblot"):
        (hostile.folder / f"{name}.py").write_text("raise SystemExit(9)\n")
    (hostile.folder / "acts.py").write_text(ACT.format(inner="import json", value="json.loads('8')"))
    hostile.yaml("imports: [./acts.py]\njobs: [{name: a, action: twice, params: {n: 4}}]\n", "joblot.yaml")
    program = [sys.executable, "-P", "-m", "joblot", "run", "-q", "--json"]
    ended = hostile.end(hostile.start(*program))
    assert ended.code == 0, ended
