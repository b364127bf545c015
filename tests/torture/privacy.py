"""Names of people who are not to be shown, planted in families of files, are in no byte of what joblot makes of them.

A family is a few dozen made-up establishments and their legal units, as files that people have: two months glued together, an update
appended, both kinds of columns in one file, an earlier dataset to compare with, a sorted copy. Some people are hidden: in one row of
several, by the unit, under another code, closed, with the zeros of their number lost, in a damaged row; some are natural persons whose names
no job asks for. Their names and addresses, and their SIRET where rows are left out, are searched in every file, in Parquet's packed pages
and on the terminal. Each family has a company that must be shown, with its name. Prints one line; exits 1 when something was shown, or a
control was not.

    python tests/torture/privacy.py --families 1000 [--seed 1]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # beside this file there is another `sirene`

import polars as pl

from joblot.__main__ import main as joblot_main
from sirene.files import MASK, change, hidden, person, row, siren, siret, text, unit, write

Row = dict[str, str]
KINDS = ("glued", "updated", "joined", "earlier", "prepared")
OLD, NEW = "2026-09-20T00:00:00", "2026-10-26T00:00:00"
PLANTED = ("enseigne1", "enseigne2", "denominationUsuelle", "libelleVoie", "complementAdresse", "distributionSpeciale")
UNIT_NAMES = (
    "nom",
    "nomUsage",
    "prenom1",
    "prenomUsuel",
    "pseudonyme",
    "denomination",
    "sigle",
    "denominationUsuelle1",
)
WAYS = (
    "hidden since", "hidden before", "irregularly masked", "other code", "closed", "status N", "no status", "zeros lost", "spaces",
    "unit", "unit twice", "damaged",
)  # fmt: skip


class Family:
    """One family: its rows of two months, its units, the words that must not be shown, and those that must."""

    def __init__(self, number: int, seed: int) -> None:
        self.random = random.Random(f"{seed}-{number}")
        self.kind = KINDS[number % len(KINDS)]
        self.name = (
            "stock.parquet"
            if self.kind == "prepared"
            else self.random.choice(("stock.csv", "stock.parquet", "stock.zip"))
        )
        # rows that hide somebody must be in the files: a damaged one only in text, the older one not beside an earlier dataset
        may_be_damaged = self.name == "stock.csv" and self.kind != "joined"
        left_out = {"damaged": not may_be_damaged, "hidden before": self.kind == "earlier"}
        ways = [way for way in WAYS if not left_out.get(way)]
        self.old: list[Row] = []
        self.new: list[Row] = []
        self.damaged: list[Row] = []
        self.units: list[Row] = []
        self.words: set[str] = set()
        self.unit_words: set[str] = set()
        self.sirets: set[str] = set()
        self.word = f"ZQ{number:05d}"
        self.control = f"SOCIETE OUVERTE {number:05d}"
        self._open(1, self.control, "A")
        for place in range(2, self.random.randint(8, 16)):
            self._open(place, f"SOCIETE {place}", self.random.choice(("A", "A", "F")))
        for place, way in enumerate(self.random.sample(ways, self.random.randint(4, len(ways))), 100):
            self._hidden(place, way)
        for place in range(200, 200 + self.random.randint(1, 4)):
            self._natural_person(place)
        for rows in (self.old, self.new):
            self.random.shuffle(rows)

    def _planted(self, place: int, names: tuple[str, ...]) -> dict[str, str]:
        word = f"{self.word}X{place}"
        self.words.add(word)
        return {name: f"{word} {name.upper()[:4]}" for name in names}

    def _open(self, place: int, name: str, state: str) -> None:
        made = row(place, enseigne1=f"SIGNE {place}", etatAdministratif=state, dateDernierTraitement=OLD)
        self.old.append(made)
        self.new.append(change(made, dateDernierTraitement=NEW))
        self.units.append(unit(place, denomination=name))

    def _natural_person(self, place: int) -> None:
        form = self.random.choice(("1000", "1000", "2110", "2210", "2310"))
        self.old.append(row(place, dateDernierTraitement=OLD))
        self.new.append(row(place, dateDernierTraitement=NEW))
        self.units.append(person(place, **self._planted(place, UNIT_NAMES), categorieJuridique=form))

    def _hidden(self, place: int, way: str) -> None:
        bare = row(place, dateDernierTraitement=OLD)
        shown = change(bare, **self._planted(place, PLANTED))
        masked = hidden(bare, dateDernierTraitement=NEW)
        status = "O"
        if way == "hidden before":
            shown, masked = change(shown, dateDernierTraitement=NEW), change(masked, dateDernierTraitement=OLD)
        elif way == "irregularly masked":
            shown = masked = change(shown, statutDiffusion="P")
        elif way == "other code":
            masked = change(masked, activitePrincipale="43.29A", activitePrincipaleNAF25="")
        elif way == "closed":
            masked = change(masked, etatAdministratif="F", dateDebut="2026-10-02")
        elif way in ("status N", "no status"):
            masked = change(masked, statutDiffusion="N" if way == "status N" else "")
        elif way == "zeros lost":
            shown = change(shown, siret=f"{place:05d}".zfill(14), siren=f"{0:09d}")
            masked = change(masked, siret=str(place), siren="0")
        elif way == "spaces":
            masked = change(masked, siret=f"{bare['siret'][:9]} {bare['siret'][9:]}.0")
        elif way in ("unit", "unit twice"):
            shown, masked, status = shown, change(shown, dateDernierTraitement=NEW), "P"
        elif way == "damaged":
            self.damaged.append(masked)
            masked = change(shown, dateDernierTraitement=NEW)
        if way in ("unit", "unit twice"):
            self.unit_words.add(f"{self.word}X{place}")
        self.sirets.add(siret(place))
        before, after = (masked, shown) if way == "hidden before" else (shown, masked)
        self.old.append(before)
        self.new.append(after)
        self.units.append(
            unit(place, **self._planted(place, UNIT_NAMES), statutDiffusion=status if way == "unit" else "O")
        )
        if way == "unit twice":
            twin = change(
                self.units[-1],
                statutDiffusion="P",
                dateDernierTraitement=self.random.choice((OLD, "2026-11-02T00:00:00")),
            )
            self.units.insert(self.random.randrange(len(self.units) + 1), twin)


def joblot(*words: str) -> str:
    """Run the command in this process, and return what it printed."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = joblot_main(words)
    if code:
        raise RuntimeError(f"{' '.join(words)}\n{out.getvalue()}")
    return out.getvalue()


def run(family: Family, folder: Path) -> tuple[str, list[Path]]:
    """Make the files and the datasets of a family; what was printed, and which folders and files hold what joblot made."""
    choose = family.random.choice
    os.chdir(folder)
    inputs = folder / "in"
    inputs.mkdir()
    joined = family.kind == "joined"
    rows = list(family.new)
    if family.kind == "glued":
        rows = [*family.new, *family.old] if choose((True, False)) else [*family.old, *family.new]
    elif family.kind in ("updated", "joined", "prepared"):
        rows = [*family.old, *family.new]
    if joined:
        by_siren: dict[str, Row] = {}
        for one in family.units:
            if one["siren"] not in by_siren or one["statutDiffusionUniteLegale"] == "P":
                by_siren[one["siren"]] = one
        rows = [by_siren.get(one["siren"], dict.fromkeys(family.units[0], "")) | one for one in rows]
    stock = write(rows, inputs / family.name)
    has_damaged = bool(family.damaged)
    if has_damaged:
        with stock.open("a") as file:
            file.write(
                "".join(line.replace("\n", ",\n") for line in text(family.damaged).splitlines(keepends=True)[1:])
            )
    words = [
        "--naf",
        "6201Z",
        "--naf",
        "43",
        "--on",
        "inline",
        "--verbose",
        "--profile",
        choose(("quick", "standard", "deep")),
    ]
    if not joined:
        words += ["--unite-legale", str(write(family.units, inputs / f"units{choose(('.csv', '.parquet'))}"))]
    if choose((True, False)):
        (inputs / "mask.yaml").write_text(MASK)
        words += ["--template", str(inputs / "mask.yaml")]
    made = [folder / name for name in ("out", ".joblot", "jobs_generated")]
    printed = ""
    if family.kind == "earlier":
        write(family.old, inputs / "old.csv")
        words[words.index("--profile") + 1] = "deep"
        joblot(
            "sirene",
            "batch",
            *words,
            "--input",
            str(inputs / "old.csv"),
            "--output-dir",
            "old",
            "--state",
            str(inputs / "state"),
        )
        words += ["--earlier", "old"]
    if family.kind == "prepared":
        printed += joblot("sirene", "prepare", str(stock))
    if has_damaged:
        words += ["--bad-rows", "bad.csv"]
        made.append(folder / "bad.csv")
    printed += joblot(
        "sirene", "batch", *words, "--input", str(stock), "--output-dir", "out", "--report", "out/run.json"
    )
    printed += joblot("sirene", "inspect", str(stock), *(["--bad-rows", "inspected.csv"] if has_damaged else []))
    made += [folder / "inspected.csv"] if has_damaged else []
    return printed, made


def search(words: set[str], printed: str, made: list[Path]) -> list[str]:
    """Where the words were found."""
    found = [f"{word} on the terminal" for word in words if word in printed]
    for place in made:
        for path in [place] if place.is_file() else place.rglob("*"):
            if not path.is_file():
                continue
            content = path.read_bytes()
            if path.suffix == ".parquet":
                content += str(pl.read_parquet(path).to_dicts()).encode()
            found += [f"{word} in {path}" for word in words if word.encode() in content]
    return found


def main() -> int:
    """Run the families."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--families", type=int, default=1000)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    counts: Counter[str] = Counter()
    start = Path.cwd()
    for number in range(given.families):
        family = Family(number, given.seed)
        with tempfile.TemporaryDirectory(prefix="joblot-privacy-") as name:
            folder = Path(name)
            try:
                printed, made = run(family, folder)
                masks = (folder / "in" / "mask.yaml").exists()
                shown = search(family.words | (set() if masks else family.sirets), printed, made)
                shown += search(family.words - family.unit_words, "", list((folder / "in").glob("*.by-code.parquet")))
                rows = pl.read_parquet(folder / "out" / "naf_6201Z" / "dataset.parquet")
                is_control_shown = (
                    rows.filter(siret=siret(1), raison_sociale=family.control, siren=siren(1)).height == 1
                )
            finally:
                os.chdir(start)
        counts["files"] += len(made)
        counts[family.kind] += 1
        if shown:
            counts["shown"] += 1
            print(f"family {number} ({family.kind}, seed {given.seed}): {shown[:5]}", file=sys.stderr)
        if not is_control_shown:
            counts["controls not shown"] += 1
            print(f"family {number} ({family.kind}, seed {given.seed}): its control is not shown", file=sys.stderr)
    kinds = ", ".join(f"{counts[kind]} {kind}" for kind in KINDS)
    print(
        f"{given.families} families ({kinds}): {counts['shown']} shown, {counts['controls not shown']} controls not shown"
    )
    return 1 if counts["shown"] or counts["controls not shown"] else 0


if __name__ == "__main__":
    sys.exit(main())
