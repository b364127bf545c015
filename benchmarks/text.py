"""What the text actions cost, beside the usual tools: CPU seconds a gigabyte, wall time, and the largest resident size.

python benchmarks/text.py [MEGABYTES]

On a made-up corpus in a temporary folder. Every command is run three times and the best counts; what it takes on an empty file is
subtracted from its times, so that the start of Python does not count as reading.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PATTERN = "(WARN|ERROR) job-[0-9]*7 "
ACTION = (
    "import sys, json; from pathlib import Path; from joblot.actions.registry import ACTIONS; from joblot.actions.context import Context;"
    "print(ACTIONS[sys.argv[1]].call(Path(sys.argv[2]), json.loads(sys.argv[3]), Context.for_test(Path('/'))))"
)
RE_BLOCKS = (
    "import re, sys; f = open(sys.argv[1], 'rb'); p = re.compile(sys.argv[2].encode()); n = 0\n"
    "while b := f.read(4 << 20): n += sum(1 for _ in p.finditer(b + f.readline()))\n"
    "print(n)"
)
RE_LINES = "import re, sys; p = re.compile(sys.argv[2]); print(sum(len(p.findall(l)) for l in open(sys.argv[1], encoding='utf-8', newline='\\n')))"
SPLIT = (
    "import sys; from collections import Counter; c = Counter()\n"
    "for l in open(sys.argv[1], encoding='utf-8'): c.update(l.lower().split())\n"
    "print(c.most_common(3))"
)


def commands(path: str) -> list[tuple[str, list[str]]]:
    """The rows of the table: a label and a command line."""
    python = sys.executable

    def act(name: str, params: str = "{}") -> list[str]:
        return [python, "-c", ACTION, name, path, params]

    quoted = f'"{PATTERN}"'
    rows = [
        ("lines   wc -l", ["wc", "-l", path]),
        ("lines   count_lines", act("count_lines")),
        ("lines   count_lines, pattern ERROR", act("count_lines", '{"pattern": "ERROR"}')),
        ("lines   file_stats", act("file_stats")),
        ("regex   grep -cE (C locale)", ["env", "LC_ALL=C", "grep", "-cE", PATTERN, path]),
        ("regex   search_pattern", act("search_pattern", f'{{"pattern": {quoted}}}')),
        ("regex   search_pattern without a literal", act("search_pattern", '{"pattern": "[a-z]z[0-9]+"}')),
        ("regex   Python re, 4 MiB blocks", [python, "-c", RE_BLOCKS, path, PATTERN]),
        ("regex   Python re, line by line", [python, "-c", RE_LINES, path, PATTERN]),
        ("words   word_frequency, python", act("word_frequency", '{"top_n": 3, "engine": "python"}')),
        ("words   word_frequency, duckdb", act("word_frequency", '{"top_n": 3, "engine": "duckdb"}')),
        ("words   Python Counter, line by line", [python, "-c", SPLIT, path]),
    ]
    return [row for row in rows if shutil.which(row[1][0])]


def measure(argv: list[str]) -> tuple[int, float, float, int]:
    """Exit status, CPU seconds, wall seconds and peak resident bytes of a command and its children."""
    began = time.monotonic()
    program = shutil.which(argv[0]) or argv[0]
    # to a file, not to /dev/null: grep stops at the first hit when nobody reads its answer
    with tempfile.TemporaryFile() as out:
        actions = [(os.POSIX_SPAWN_DUP2, out.fileno(), 1), (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)]
        child = os.posix_spawn(program, argv, os.environ, file_actions=actions)
        _, status, usage = os.wait4(child, 0)
    wall = time.monotonic() - began
    return status, usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss * 1024


def main() -> None:
    """Print the table."""
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 256
    corpus = str(Path(__file__).with_name("corpus.py"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "corpus.txt")
        for label, accents in (("with accents", True), ("ASCII only", False)):
            # in a process of its own: a child's peak is never below the size that its parent had
            subprocess.run(
                [sys.executable, corpus, str(path), str(megabytes), "accents" if accents else "ascii"], check=True
            )
            table(label, str(path))


def table(label: str, path: str) -> None:
    """One table of all commands on one file."""
    size = os.path.getsize(path) / 1e9
    print(f"{label}, {size:.2f} GB\n{'':42} {'CPU s/GB':>9} {'wall s/GB':>9} {'peak MiB':>9}")
    empty = Path(path).with_name("empty.txt")
    empty.touch()
    for (name, argv), (_, start) in zip(commands(path), commands(str(empty)), strict=True):
        runs = [measure(argv) for _ in range(3)]
        if any(status for status, *_ in runs):
            print(f"{name:42} {'-':>9} {'-':>9} {'-':>9}   (failed or not installed)")
            continue
        starts = [measure(start) for _ in range(3)]
        cpu, wall = (min(run[n] for run in runs) - min(run[n] for run in starts) for n in (1, 2))
        peak = min(run[3] for run in runs)
        print(f"{name:42} {cpu / size:9.2f} {wall / size:9.2f} {peak / 2**20:9.0f}")


if __name__ == "__main__":
    main()
