"""A dataset (CSV and Parquet) for each of N activity codes from one stock file: joblot's scan beside what one would write by hand.

    python benchmarks/sirene.py 10000000 [--file STOCK.parquet] [--codes 1,10,200] [--ram 512] [--rounds 1] [--prepare] [--tsv FILE]

Without `--file` a synthetic stock of so many rows is made first. The same 17 columns, the same active rows of NAF rev. 2 codes, for all
but `joblot sirene batch`: that is the whole command with its run, journal and packages, 32 columns read, normalised, checked and counted.
`--tsv` keeps the figures for `docs/make_curves.py`. `--codes ""` leaves out what is done without the sorted copy. What DuckDB needs is
printed where it is installed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from measure import JOBLOT, PYTHON, Figure, in_turn, once, table

SHARED = """
import sys
from pathlib import Path
path, wanted, out, ram = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
codes = Path(sys.argv[5]).read_text().split()
codes = [codes[int(place * len(codes) / wanted)] for place in range(wanted)]
out.mkdir(exist_ok=True)
CODE, LIST, STATE = (f"{name}Etablissement" for name in ("activitePrincipale", "nomenclatureActivitePrincipale", "etatAdministratif"))
COLUMNS = ["siret", "siren", "nic", "etablissementSiege", *(f"{name}Etablissement" for name in (
    "statutDiffusion dateCreation trancheEffectifs etatAdministratif numeroVoie typeVoie libelleVoie codePostal libelleCommune "
    "codeCommune enseigne1 denominationUsuelle activitePrincipale").split())]
"""
OURS = """
from joblot_sirene.stock.source import limit_threads
limit_threads(2)
import polars as pl
from joblot_sirene.register import naf
from joblot_sirene.stock.routing import RowRequest
from joblot_sirene.stock.scan import scan
from joblot_sirene.stock.source import open_source
from joblot_sirene.stock.writers import write_csv, write_parquet
def build(request, rows):
    frames = rows.frames if rows.size > (ram or 1024) * 2**20 / 5 else list(rows.frames()).__iter__
    write_csv(frames(), out / f"{request.name}.csv")
    write_parquet(frames(), out / f"{request.name}.parquet", schema=rows.schema)
def done(request, result):
    if result is not None:
        raise result
active = pl.col(STATE) == "A"
requests = [RowRequest(code, naf.matching_rules(naf.parse_code(code)), active) for code in codes]
scan(open_source(path), requests, columns=COLUMNS, build=build, on_done=done, folder=out, max_ram_bytes=ram * 2**20)
"""
POLARS = """
import polars as pl
rows = pl.scan_parquet(path).filter(pl.col(CODE).is_in(codes) & (pl.col(LIST) == "NAFRev2") & (pl.col(STATE) == "A"))
rows = rows.select(COLUMNS).collect(engine="streaming")
for (code,), found in rows.partition_by(CODE, as_dict=True, maintain_order=True).items():
    found.write_csv(out / f"{code}.csv")
    found.write_parquet(out / f"{code}.parquet")
"""
DUCKDB = """
import duckdb
db = duckdb.connect(config={"threads": 2, "memory_limit": f"{ram}MiB", "temp_directory": str(out)})
listed = ",".join(f"'{code}'" for code in codes)
db.execute(f"create temp table found as select {','.join(COLUMNS)} from '{path}' where {CODE} in ({listed})"
           f" and {LIST} = 'NAFRev2' and {STATE} = 'A' order by {CODE}")
for code in codes:
    db.execute(f"copy (from found where {CODE} = '{code}') to '{out / code}.csv'")
    db.execute(f"copy (from found where {CODE} = '{code}') to '{out / code}.parquet' (compression zstd)")
"""
EACH = """
import polars as pl
for code in codes:
    rows = pl.scan_parquet(path).filter((pl.col(CODE) == code) & (pl.col(LIST) == "NAFRev2") & (pl.col(STATE) == "A"))
    found = rows.select(COLUMNS).collect(engine="streaming")
    found.write_csv(out / f"{code}.csv")
    found.write_parquet(out / f"{code}.parquet")
"""
BARE = """
import polars as pl
file = pl.scan_parquet(path)
for start in range(0, file.select(pl.len()).collect().item(), 600_000):
    file.slice(start, 600_000).select(*COLUMNS, LIST).collect()
"""
PREPARE = "from joblot_sirene.stock.prepare import prepare\nprepare(path, max_ram_bytes=ram * 2**20)\n"
SORT = """
import duckdb
from joblot_sirene.stock.prepare import USUAL
db = duckdb.connect(config={"threads": 2, "memory_limit": f"{ram}MiB", "temp_directory": str(out)})
db.execute("create temp view stock as select " + ",".join(USUAL) + f", file_row_number from read_parquet('{path}', file_row_number = true)")
db.execute(f"copy (from stock order by {CODE}, file_row_number) to '{out / 'sorted.parquet'}' (format parquet, compression zstd, row_group_size 65536)")
"""
SORTED = DUCKDB.replace("import duckdb", "import duckdb\npath = out / 'sorted.parquet'")


BATCH = "joblot sirene batch, quick"
PLAIN = "joblot, plain scan"


def batch_words(file: Path, listed: Path, wanted: int, folder: Path, ram: int) -> list[str]:
    """The command that builds the datasets of so many of the listed codes, its job files made beforehand as for any later batch."""
    codes = listed.read_text(encoding="utf-8").split()
    chosen = [codes[int(place * len(codes) / wanted)] for place in range(wanted)]
    (folder / "chosen.txt").write_text("\n".join(chosen), encoding="utf-8")
    where = [
        "--output-dir",
        str(folder / "batch"),
        "--jobs-dir",
        str(folder / "jobs"),
        "--naf-file",
        str(folder / "chosen.txt"),
    ]
    report = ["--report", str(folder / "report.json")]
    return [
        *JOBLOT,
        "sirene",
        "batch",
        *where,
        "--input",
        str(file),
        "--max-ram-mb",
        str(ram),
        "--rebuild",
        "--json",
        *report,
    ]


def peak_of(folder: Path) -> float:
    """MiB of the worker that built the datasets, as joblot's own report of the run has it: a worker is no child of this process."""
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return max(job["peak_bytes"] for job in report["results"]) / 2**20


def main() -> None:
    """Print a table for each number of codes."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("rows", type=int, nargs="?", default=1_000_000)
    words.add_argument("--file", type=Path)
    words.add_argument("--codes", default="1,2,10,50,200,732")
    words.add_argument("--ram", type=int, default=512)
    words.add_argument("--rounds", type=int, default=1)
    words.add_argument(
        "--prepare", action="store_true", help="then make the sorted copy beside the file, and measure with it"
    )
    words.add_argument("--tsv", type=Path, help="keep the figures there")
    given = words.parse_args()
    with tempfile.TemporaryDirectory(prefix="joblot-bench-") as folder:
        file = given.file or _sample(Path(folder) / "stock.parquet", given.rows)
        codes = _codes(file, Path(folder) / "codes")
        _measure(file, codes, Path(folder), given)


def _sample(path: Path, rows: int) -> Path:
    made = once(
        [
            PYTHON,
            "-c",
            f"from pathlib import Path; from joblot_sirene.synthetic.sample import write_sample; write_sample(Path({str(path)!r}), {rows})",
        ]
    )
    print(f"made {rows:,} rows in {made.cpu:.1f} CPU s, {path.stat().st_size / 1e6:,.0f} MB")
    return path


def _codes(file: Path, listed: Path) -> Path:
    """The codes of the file, the most frequent first."""
    import polars as pl

    names = ("activitePrincipaleEtablissement", "nomenclatureActivitePrincipaleEtablissement")
    rows = pl.scan_parquet(file).filter(pl.col(names[1]) == "NAFRev2").group_by(names[0]).len().collect()
    listed.write_text("\n".join(rows.drop_nulls().sort("len", names[0], descending=[True, False])[names[0]]))
    return listed


def _measure(file: Path, codes: Path, folder: Path, given: argparse.Namespace) -> None:
    def command(program: str, wanted: int, listed: Path = codes) -> list[str]:
        return [
            PYTHON,
            "-c",
            SHARED + program,
            str(file),
            str(wanted),
            str(folder / "out"),
            str(given.ram),
            str(listed),
        ]

    table(
        "the needed columns, decoded and thrown away",
        in_turn({"bare read": command(BARE, 1)}, given.rounds),
        "bare read",
    )
    has_duckdb = find_spec("duckdb") is not None
    kept: list[tuple[int, str, Figure]] = []
    numbers = [int(word) for word in given.codes.split(",") if word]
    for wanted in numbers:
        programs = {PLAIN: OURS, "polars, one scan, partition_by": POLARS}
        if has_duckdb:
            programs["duckdb, one scan, sorted table"] = DUCKDB
        if wanted in (2, 10):
            programs["polars, one scan a code"] = EACH
        commands = {name: command(program, wanted) for name, program in programs.items()}
        commands[BATCH] = batch_words(file, codes, wanted, folder, given.ram)
        figures = in_turn(commands, given.rounds)
        figures[BATCH] = replace(figures[BATCH], peak=peak_of(folder))
        table(f"{wanted} codes", figures, PLAIN)
        kept += [(wanted, name, figure) for name, figure in figures.items()]
        sys.stdout.flush()
    if given.tsv is not None:
        lines = [
            f"{wanted}\t{name}\t{figure.cpu:.2f}\t{figure.wall:.2f}\t{figure.peak:.0f}" for wanted, name, figure in kept
        ]
        given.tsv.write_text("\n".join(["codes\tprogram\tcpu_s\twall_s\tpeak_mib", *lines]) + "\n", encoding="utf-8")
    if given.prepare:
        makers = {"joblot sirene prepare": PREPARE} | ({"duckdb, order by": SORT} if has_duckdb else {})
        figures = in_turn({name: command(program, 1) for name, program in makers.items()}, given.rounds)
        table("making the sorted copy", figures, "joblot sirene prepare")
        all_codes = codes.read_text().split()
        middle = folder / "middle"
        middle.write_text(all_codes[len(all_codes) // 10])
        warm = {}
        for name, program in ({"joblot": OURS} | ({"duckdb": SORTED} if has_duckdb else {})).items():
            warm[f"{name}, 1 code less frequent than a tenth"] = command(program, 1, middle)
            warm |= {f"{name}, {wanted} codes": command(program, wanted) for wanted in numbers or [1]}
        table("with the sorted copy", in_turn(warm, given.rounds), next(iter(warm)))


if __name__ == "__main__":
    main()
