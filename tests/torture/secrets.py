"""Secrets of any shape in every pair of encodings: through the mask whole and in pieces, and through runs with their logs, results, reports and events.

    python tests/torture/secrets.py --secrets 2000 --runs 20

Prints what was found and ends with 1 when more of a secret came through than stands around it.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import unicodedata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from encoders import forms, most_left

from joblot.executors.mask import Mask

ALPHABETS = ["ab1'\"\\%&<>+/=$` é☺-", "'\"\\", "abcXYZ019", "abcXYZ019+/", '{}[]:,"\\u0041', "%41&#x;\\n", None]


def invented(dice):
    """A secret: letters of one kind, or of all of Unicode; now and then with several lines."""
    alphabet, size = dice.choice(ALPHABETS), dice.randint(24, 60)
    text = "".join(dice.choice(alphabet) if alphabet else any_letter(dice) for _ in range(size)).strip()
    return text if len(text) >= 20 else text + "x" * 20


def any_letter(dice):
    while True:
        char = chr(
            dice.choice([dice.randrange(33, 256), dice.randrange(256, 0x3000), dice.randrange(0x1F300, 0x1F650)])
        )
        if unicodedata.category(char)[0] not in "CZ":
            return char


def left(text):
    return text.replace("*", "") if "***" in text else text


def in_pieces(mask, data, dice):
    came, held, at = b"", b"", 0
    while at < len(data):
        size = dice.randint(1, 200)
        held, at = held + data[at : at + size], at + size
        cut = mask.cut(held)
        came, held = came + mask.data(held[:cut]), held[cut:]
    return came + mask.data(held)


def masks(count, dice):
    """How many forms were tried, and those that came through."""
    tried, bad = 0, []
    for _ in range(count):
        secret = invented(dice)
        mask = Mask(["S"], [{"S": secret}])
        for first, second, form in forms(secret):
            tried += 1
            if len(left(mask.text(f"<{form}>"))) > most_left(first, second):
                bad.append((secret, first, second))
        line = next(f"<{form}>" for _, _, form in sorted(forms(secret), key=lambda _: dice.random())).encode()
        if len(left(in_pieces(mask, line * 3, dice).decode("utf-8", "replace"))) > 3 * 26:
            bad.append((secret, "pieces", line.decode()))
    return tried, bad


JOB = """
import json, os, sys
given = json.load(open(os.environ["FORMS"]))
for form in given: print(form)
json.dump({"forms": given, "same": {form[:200]: 1 for form in given[:20]}}, open(os.environ["JOBLOT_OUTPUT"], "w"), ensure_ascii=len(given) % 2 == 0)
"""


def runs(count, dice):
    """Whole runs: what stands anywhere in the state folder, but for the plan, and on the terminal. Returns files looked at, and bad ones."""
    looked, bad = 0, []
    for number in range(count):
        secret = invented(dice)
        several = [form for first, second, form in forms(secret) if len(form) > 8 and not form.isdigit()]
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "forms.json").write_text(json.dumps(several))
            (folder / "job.py").write_text(JOB)
            (folder / "act.py").write_text(
                "import json, os\nfrom joblot import action\n@action\ndef tell(ctx):\n    given = json.load(open(os.environ['FORMS']))\n"
                "    for form in given[:50]: ctx.log(form, data=form)\n    raise ValueError(' '.join(given[:3]))\n"
            )
            env = {"FORMS": str(folder / "forms.json")}
            own = {"env": {"TOK": secret}} if number % 2 else {}
            jobs = [{"name": "c", "run": [sys.executable, "job.py"], **own}, {"name": "a", "action": "tell", **own}]
            (folder / "b.json").write_text(
                json.dumps({"secrets": ["TOK"], "imports": ["./act.py"], "env": env, "jobs": jobs})
            )
            outer = {**os.environ, **({} if own else {"TOK": secret})}
            words = [
                sys.executable,
                "-m",
                "joblot",
                "run",
                "b.json",
                "-v",
                "--json",
                "--report",
                "r.json",
                "--log",
                "l.json",
            ]
            done = subprocess.run(words, cwd=folder, env=outer, capture_output=True, text=True, check=False)
            assert done.returncode in (0, 1), done.stderr
            # What the batch itself says stands in the plan, which the journal keeps too.
            files = [
                path
                for path in (folder / ".joblot").rglob("*")
                if path.is_file() and not (own and (path.name == "plan.json" or ".db" in path.name))
            ]
            texts = {
                path.name: path.read_text("utf-8", "replace") for path in [*files, folder / "r.json", folder / "l.json"]
            }
            for where, text in {**texts, "out": done.stdout, "err": done.stderr}.items():
                looked += 1
                bad += [(secret, where, form) for form in {secret, *several} if form in text]
    return looked, bad


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--secrets", type=int, default=500)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    dice, began = random.Random(options.seed), time.monotonic()
    tried, bad = masks(options.secrets, dice)
    looked, shown = runs(options.runs, dice)
    print(
        f"{options.secrets} secrets, {tried} forms: {len(bad)} came through; {options.runs} runs, {looked} files and streams: {len(shown)} held a form; {time.monotonic() - began:.0f} s"
    )
    for found in (bad + shown)[:10]:
        print(found)
    return 1 if bad or shown else 0


if __name__ == "__main__":
    sys.exit(main())
