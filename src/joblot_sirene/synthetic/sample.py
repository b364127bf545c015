"""Synthetic stock files: the register's columns, its skew and its traps, and no real person.

The same rows, seed and layout give the same files. Rows are made in slices and written as they come, so ten million take no more memory than
a hundred thousand.
"""

from __future__ import annotations

import datetime as dt
import io
from typing import TYPE_CHECKING, Final, Literal

import msgspec
import polars as pl

from joblot import atomic_write
from joblot_sirene.register.layout import COLUMNS, ESTABLISHMENT_LAYOUTS, HISTORY_COLUMNS, UNIT_COLUMNS, UNIT_LAYOUTS
from joblot_sirene.register.naf import CODE_COLUMN
from joblot_sirene.register.privacy import MASK, MASKED_COLUMNS, NAME_COLUMNS, PERSON_COLUMNS, UNIT_NAME_COLUMNS
from joblot_sirene.synthetic import invented
from joblot_sirene.synthetic.invented import SIZE, activities, table, towns
from joblot_sirene.synthetic.periods import periods

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import IO

Format = Literal["parquet", "csv", "zip"]

STOCK_DATE: Final = dt.date(2026, 11, 1)
"""The date of the stock that samples pretend to be."""

SLICE_UNITS: Final = 90_000
"""Of a slice of rows."""

# establishments of fifteen units in a row: most have one
_GROUPS: Final = (1, 1, 1, 2, 1, 1, 1, 1, 4, 1, 1, 2, 1, 3, 1)
_ROWS: Final = sum(_GROUPS)
_SLICE_ROWS: Final = SLICE_UNITS // len(_GROUPS) * _ROWS
_UNIT_OF: Final = [unit for unit, count in enumerate(_GROUPS) for _ in range(count)]
_ORDER_OF: Final = [order for count in _GROUPS for order in range(count)]

_TYPES: Final[dict[str, pl.DataType | type[pl.DataType]]] = {
    "text": pl.String,
    "date": pl.Date,
    "bigint": pl.Int64,
    "boolean": pl.Boolean,
    "timestamp": pl.Datetime("us"),
}
_EPOCH_DAY: Final = (STOCK_DATE - dt.date(1970, 1, 1)).days
_LA_POSTE_PREFIX: Final = 35_600_000


class Sample(msgspec.Struct, frozen=True):
    """What was written: rows of establishments (repeats included) and legal units."""

    rows: int
    units: int


def write_sample(
    path: Path,
    rows: int,
    seed: int = 0,
    *,
    format: Format | None = None,
    layout: Literal[54, 53, 48] = 54,
    duplicates: float = 0.0,
    delimiter: str = ",",
    units: Path | None = None,
    history: Path | None = None,
) -> Sample:
    """Write a synthetic StockEtablissement of `rows` rows (its StockUniteLegale to `units`, its StockEtablissementHistorique to `history`).

    `format` is taken from the suffix when it is None. `duplicates` is the share of rows that stand a second time at the end, as when files
    were glued together. CSV files have a header and the register's spelling of values; a zip holds one CSV.

    Raises:
        ValueError: no rows, an unknown suffix or layout, or a share outside 0 to 1.
    """
    if rows < 1 or not 0 <= duplicates <= 1 or layout not in ESTABLISHMENT_LAYOUTS:
        raise ValueError("rows must be 1 or more, duplicates from 0 to 1, layout one of 48, 53 and 54")
    repeated = round(rows * duplicates)
    count = _unit_count(rows)
    old = layout == 48

    def write(target: Path, name: str, types: Mapping[str, str], slices: Iterator[pl.DataFrame]) -> None:
        target_format = format if target.suffix == path.suffix else None
        _write(target, target_format, types, slices, delimiter, f"{name}_utf8.csv")

    types = {name: COLUMNS[name] for name in ESTABLISHMENT_LAYOUTS[layout]}
    write(path, "StockEtablissement", types, _slices(rows, repeated, seed, tuple(types)))
    if units is not None:
        names = UNIT_LAYOUTS[{54: 35, 53: 34, 48: 33}[layout]]
        slices = (
            _units(start, min(SLICE_UNITS, count - start), rows, seed, old=old).select(names)
            for start in range(0, count, SLICE_UNITS)
        )
        write(units, "StockUniteLegale", {name: UNIT_COLUMNS[name] for name in names}, slices)
    if history is not None:
        write(history, "StockEtablissementHistorique", HISTORY_COLUMNS, _histories(rows, seed, old=old))
    return Sample(rows + repeated, count)


def establishments(rows: int, seed: int = 0) -> pl.DataFrame:
    """The rows of a sample in memory, in the layout of 54 columns."""
    return pl.concat(list(_slices(rows, 0, seed, tuple(COLUMNS))))


def legal_units(rows: int, seed: int = 0) -> pl.DataFrame:
    """The legal units of the same sample, 35 columns."""
    return _units(0, _unit_count(rows), rows, seed, old=False).select(list(UNIT_COLUMNS))


def history(rows: int, seed: int = 0) -> pl.DataFrame:
    """The periods of the same sample's establishments, 18 columns."""
    return pl.concat(list(_histories(rows, seed, old=False)))


def _unit_count(rows: int) -> int:
    return -(-rows // _ROWS) * len(_GROUPS)


def _histories(rows: int, seed: int, *, old: bool) -> Iterator[pl.DataFrame]:
    for start in range(0, rows, _SLICE_ROWS):
        stock = _establishments(start, min(_SLICE_ROWS, rows - start), rows, seed, old=old)
        yield periods(stock.with_row_index("row", start), _draws("row", 9, seed, "p_pause p_kind p_absurd p_none")[:3])


def _slices(rows: int, repeated: int, seed: int, columns: tuple[str, ...]) -> Iterator[pl.DataFrame]:
    old = len(columns) == 48
    for count in (rows, repeated):
        for start in range(0, count, _SLICE_ROWS):
            yield _establishments(start, min(_SLICE_ROWS, count - start), rows, seed, old=old).select(columns)


def _draws(index: str, stream: int, seed: int, names: str) -> list[pl.Expr]:
    """Four columns of evenly spread numbers below 65 536 from the bits of a mixed counter (splitmix64)."""
    start = (stream * 0x9E3779B97F4A7C15 + (seed + 1) * 0xD1B54A32D192ED03) % 2**64
    bits = pl.col(index).cast(pl.UInt64) * _word(0x9E3779B97F4A7C15) + _word(start)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        bits = bits.xor(bits // _word(2**shift)) * _word(factor)
    bits = bits.xor(bits // _word(2**31))
    return [
        (bits // _word(2 ** (16 * number)) % _word(SIZE)).cast(pl.UInt32).alias(name)
        for number, name in enumerate(names.split())
    ]


def _word(value: int) -> pl.Expr:
    return pl.lit(value, dtype=pl.UInt64)


def _pick(values: pl.Series | list[str], index: str | pl.Expr) -> pl.Expr:
    """The value at a position; of a list, at the position modulo its length."""
    position = pl.col(index) if isinstance(index, str) else index
    if isinstance(values, list):
        values = pl.Series(values)
        position = position % len(values)
    return pl.lit(values).gather(position)


def _chance(index: str, share: float) -> pl.Expr:
    return pl.col(index) < round(share * SIZE)


def _unit_facts(rows: int, seed: int) -> list[pl.Expr]:
    """What both files have of a unit, made from its number alone so that they agree: the SIREN's digits, its kind, state, status, activity and town."""
    # spread over all eight-digit prefixes, so that some begin with zeros; the nearest to La Poste's is La Poste
    step = max(1, (99_000_000 - 325) // _unit_count(rows))
    number = pl.col("unit").cast(pl.Int64)
    post_office = (_LA_POSTE_PREFIX - 325) // step
    prefix = pl.when(number == post_office).then(_LA_POSTE_PREFIX).otherwise(number * step + 325)
    return [
        prefix.alias("prefix"),
        *_draws("unit", 0, seed, "a_form a_public a_live a_code"),
        *_draws("unit", 1, seed, "a_born a_town a_band a_boss"),
    ]


def _siren() -> list[pl.Expr]:
    # shares as in the register: of persons among units, of hidden ones among both, of live ones
    person = (pl.col("a_form") < round(0.564 * SIZE)) & (pl.col("prefix") != _LA_POSTE_PREFIX)
    return [
        pl.concat_str(pl.col("prefix").cast(pl.String).str.zfill(8), _check_digit(pl.col("prefix"), 8)).alias("siren"),
        person.alias("person"),
        pl.when(person)
        .then(pl.col("a_public") < round(0.4 * SIZE))
        .otherwise(pl.col("a_public") < round(0.03 * SIZE))
        .alias("hidden"),
        _chance("a_live", 0.45).alias("live"),
    ]


def _check_digit(number: pl.Expr, digits: int) -> pl.Expr:
    """The digit that makes a number pass Luhn's check when it is appended."""
    total = pl.lit(0, dtype=pl.Int64)
    for position in range(digits):
        digit = number // 10**position % 10
        total = total + (digit if position % 2 else 2 * digit - 9 * (digit > 4).cast(pl.Int64))
    return (10 - total % 10) % 10


def _days(index: str, other: str, span: int) -> pl.Expr:
    """Days before the stock, from zero to `span`, most of them few: a square of an even number, and a second one for the days between."""
    spread = pl.col(index).cast(pl.Int64) * pl.col(index).cast(pl.Int64) // SIZE
    return (spread * SIZE + pl.col(other).cast(pl.Int64)) * span // (SIZE * SIZE)


def _date(days_before: pl.Expr) -> pl.Expr:
    return (_EPOCH_DAY - days_before).cast(pl.Int32).cast(pl.Date)


def _treated(index: str, other: str) -> pl.Expr:
    """The moment of the last treatment, before the stock."""
    day = pl.lit(_EPOCH_DAY - 1, dtype=pl.Int64) - _days(index, other, 2400)
    return pl.from_epoch(day * 86_400 + pl.col(other).cast(pl.Int64)).cast(pl.Datetime("us"))


def _born(index: str, other: str) -> pl.Expr:
    unknown = pl.lit(dt.date(1900, 1, 1))
    return (
        pl.when(_chance(other, 0.02))
        .then(unknown)
        .when(_chance(other, 0.023))
        .then(None)
        .otherwise(_date(_days(index, other, 27_000)))
    )


def _establishments(start: int, count: int, rows: int, seed: int, *, old: bool) -> pl.DataFrame:
    """Rows `start` to `start + count` of the stock, with every column of its newest layout."""
    codes, new_codes, draw_code = activities()
    frame = pl.select(pl.int_range(start, start + count, dtype=pl.Int64).alias("row"))
    frame = frame.with_columns(
        (pl.col("row") // _ROWS * len(_GROUPS) + pl.lit(pl.Series(_UNIT_OF)).gather(pl.col("row") % _ROWS)).alias(
            "unit"
        ),
        pl.lit(pl.Series(_ORDER_OF)).gather(pl.col("row") % _ROWS).alias("order"),
    )
    frame = frame.with_columns(
        *_unit_facts(rows, seed),
        *_draws("row", 2, seed, "c_town c_code c_state c_list"),
        *_draws("row", 3, seed, "d_number d_type d_name d_more"),
        *_draws("row", 4, seed, "e_sign e_word e_usual e_band"),
        *_draws("row", 5, seed, "f_x f_y f_begun f_treated"),
        *_draws("row", 6, seed, "g_second g_seen g_special g_abroad"),
    ).with_columns(*_siren())
    first = pl.col("order") == 0
    active = pl.col("live") & _chance("c_state", 0.847)
    frame = frame.with_columns(
        active.alias("active"),
        pl.lit(draw_code)
        .gather(pl.when(first | _chance("c_code", 0.8)).then("a_code").otherwise("c_code"))
        .alias("code"),
        pl.lit(towns().draw)
        .gather(pl.when(first | _chance("c_town", 0.7)).then("a_town").otherwise("c_town"))
        .alias("town"),
        pl.when(active).then(pl.lit("NAFRev2")).otherwise(_pick(table(invented.OLD_LISTS), "c_list")).alias("list"),
        (active & _chance("a_boss", 0.147)).alias("employer"),
        _chance("g_abroad", 0.002).alias("abroad"),
        _nic().alias("nic"),
    )
    frame = frame.select(
        **_identity(),
        **_address(),
        **_second_address(),
        **_activity(codes, new_codes),
        hidden="hidden",
        g_seen="g_seen",
    )
    return _mask(_typed(frame, COLUMNS, "N" if old else "P"))


def _nic() -> pl.Expr:
    """Five digits that complete a SIREN: four of order, one check digit; La Poste's own rule for La Poste."""
    is_post_office = pl.col("prefix") == _LA_POSTE_PREFIX
    order = pl.col("order") + pl.when(is_post_office).then(4).otherwise(1)
    number = pl.col("siren").cast(pl.Int64) * 10_000 + order
    total = pl.sum_horizontal(number // 10**position % 10 for position in range(13))
    by_sum = pl.when(pl.col("order") == 0).then(8).otherwise((5 - total % 5) % 5)
    check = pl.when(is_post_office).then(by_sum).otherwise(_check_digit(number, 13))
    return (order * 10 + check).cast(pl.String).str.zfill(5)


def _identity() -> dict[str, pl.Expr]:
    band = (
        pl.when("employer")
        .then(_pick(table(invented.EMPLOYER_BANDS), "a_band"))
        .when(_chance("e_band", 0.998))
        .then(pl.lit("NN"))
    )
    return {
        "siren": pl.col("siren"),
        "nic": pl.col("nic"),
        "siret": pl.concat_str("siren", "nic"),
        "dateCreationEtablissement": _born("a_born", "d_more"),
        "trancheEffectifsEtablissement": band,
        "anneeEffectifsEtablissement": pl.when("employer").then(pl.lit(2024, dtype=pl.Int64)),
        "activitePrincipaleRegistreMetiersEtablissement": pl.when(_chance("e_usual", 0.03)).then(pl.lit("3212ZZ")),
        "dateDernierTraitementEtablissement": pl.when(_chance("e_word", 0.97)).then(_treated("f_treated", "f_begun")),
        "etablissementSiege": pl.col("order") == 0,
        "nombrePeriodesEtablissement": (1 + pl.col("e_band") % 5).cast(pl.Int64),
        "dateDebut": pl.when(_chance("f_begun", 0.99)).then(
            _date(_days("a_born", "d_more", 27_000) * pl.col("f_begun").cast(pl.Int64) // SIZE)
        ),
        "etatAdministratifEtablissement": pl.when("active").then(pl.lit("A")).otherwise(pl.lit("F")),
        "enseigne1Etablissement": pl.when(_chance("e_sign", 0.07)).then(_pick(invented.SIGNS, "e_word")),
        "enseigne2Etablissement": pl.when(_chance("e_sign", 0.002)).then(_pick(invented.SIGNS, "e_usual")),
        "denominationUsuelleEtablissement": pl.when(_chance("e_usual", 0.09)).then(
            pl.concat_str(_pick(invented.TRADES, "e_word"), pl.lit(" "), _pick(invented.THINGS, "e_sign"))
        ),
        "caractereEmployeurEtablissement": pl.when("employer")
        .then(pl.lit("O"))
        .when(_chance("e_band", 0.96))
        .then(pl.lit("N")),
    }


def _address() -> dict[str, pl.Expr]:
    every = towns()
    home = ~pl.col("abroad")
    x, y = (
        _pick(values, "town") + pl.col(jitter) // 12 - 2700 for values, jitter in ((every.x, "f_x"), (every.y, "f_y"))
    )
    located = home & (_pick(every.x, "town") > 0) & _chance("g_special", 0.83)
    commune = pl.when(home).then(_pick(every.commune, "town"))
    country = (pl.col("g_second") % len(invented.COUNTRIES)).cast(pl.UInt32)
    return {
        "complementAdresseEtablissement": pl.when(_chance("d_more", 0.06)).then(pl.lit("BATIMENT B")),
        "numeroVoieEtablissement": pl.when(home & _chance("f_y", 0.73)).then(
            (pl.col("d_number") % 180 + 1).cast(pl.String)
        ),
        "indiceRepetitionEtablissement": pl.when(_chance("f_x", 0.03)).then(_pick(["B", "T"], "d_name")),
        "dernierNumeroVoieEtablissement": pl.when(_chance("f_x", 0.01)).then(
            (pl.col("d_number") % 180 + 3).cast(pl.String)
        ),
        "typeVoieEtablissement": pl.when(home & _chance("d_number", 0.93)).then(
            _pick(table(invented.STREET_TYPES), "d_type")
        ),
        "libelleVoieEtablissement": pl.when(home & _chance("d_number", 0.985)).then(
            _pick(invented.STREET_NAMES, "d_name")
        ),
        "codePostalEtablissement": pl.when(home & _chance("d_type", 0.999)).then(_pick(every.post, "town")),
        "libelleCommuneEtablissement": pl.when(home).then(_pick(every.name, "town")),
        "libelleCommuneEtrangerEtablissement": pl.when("abroad").then(pl.lit("VILLE INVENTEE")),
        "distributionSpecialeEtablissement": pl.when(_chance("g_special", 0.01)).then(pl.lit("BP 12")),
        "codeCommuneEtablissement": commune,
        "codeCedexEtablissement": pl.when(_chance("g_special", 0.004)).then(pl.lit("75380")),
        "libelleCedexEtablissement": pl.when(_chance("g_special", 0.004)).then(pl.lit("PARIS CEDEX 08")),
        "codePaysEtrangerEtablissement": pl.when("abroad").then(
            _pick(pl.Series([code for code, _ in invented.COUNTRIES]), country)
        ),
        "libellePaysEtrangerEtablissement": pl.when("abroad").then(
            _pick(pl.Series([name for _, name in invented.COUNTRIES]), country)
        ),
        "identifiantAdresseEtablissement": pl.when(home).then(
            pl.concat_str(
                commune,
                pl.lit("_"),
                pl.col("d_name") % 9000 + 1000,
                pl.when(located).then(pl.lit("_B")).otherwise(pl.lit("_C")),
            )
        ),
        "coordonneeLambertAbscisseEtablissement": pl.when(located).then(_metres(x)),
        "coordonneeLambertOrdonneeEtablissement": pl.when(located).then(_metres(y)),
    }


def _metres(value: pl.Expr) -> pl.Expr:
    return pl.concat_str(value.cast(pl.Int64).cast(pl.String), pl.lit(".25"))


def _second_address() -> dict[str, pl.Expr]:
    second = _chance("g_second", 0.005)
    every = towns()
    return {
        "numeroVoie2Etablissement": pl.when(second).then((pl.col("d_type") % 90 + 1).cast(pl.String)),
        "typeVoie2Etablissement": pl.when(second).then(pl.lit("RUE")),
        "libelleVoie2Etablissement": pl.when(second).then(_pick(invented.STREET_NAMES, "d_more")),
        "codePostal2Etablissement": pl.when(second).then(_pick(every.post, "town")),
        "libelleCommune2Etablissement": pl.when(second).then(_pick(every.name, "town")),
        "codeCommune2Etablissement": pl.when(second).then(_pick(every.commune, "town")),
    }


def _activity(codes: pl.Series, new_codes: pl.Series) -> dict[str, pl.Expr]:
    code = pl.lit(codes).gather(pl.col("code"))
    letters = [chr(65 + letter) for letter in range(26)]
    old = pl.concat_str(code.str.slice(0, 4), _pick(letters, "d_more"))
    return {
        CODE_COLUMN: pl.when(pl.col("list").is_null() | (pl.col("list") == "NAFRev2"))
        .then(pl.when(pl.col("list").is_not_null()).then(code))
        .when(pl.col("list") == "NAP")
        .then(code.str.slice(0, 5))
        .otherwise(old),
        "nomenclatureActivitePrincipaleEtablissement": pl.col("list"),
        "activitePrincipaleNAF25Etablissement": pl.when(pl.col("active") | _chance("c_state", 0.001)).then(
            pl.lit(new_codes).gather(pl.col("code"))
        ),
    }


def _typed(frame: pl.DataFrame, columns: Mapping[str, str], hidden: str) -> pl.DataFrame:
    """All columns of a layout with their types: the ones that were not drawn are null, the status follows from who is hidden."""
    status = pl.when("hidden").then(pl.lit(hidden)).otherwise(pl.lit("O"))
    special = {name: status for name in columns if name.startswith("statutDiffusion")}
    return frame.select(
        *(
            (special[name] if name in special else pl.col(name) if name in frame.columns else pl.lit(None))
            .cast(_TYPES[kind])
            .alias(name)
            for name, kind in columns.items()
        ),
        "hidden",
        "g_seen",
    )


def _mask(frame: pl.DataFrame) -> pl.DataFrame:
    """Mask as the register does: all of the fields, but in one row of a hundred not the names."""
    names = {*NAME_COLUMNS, *UNIT_NAME_COLUMNS, *PERSON_COLUMNS}
    forgotten = pl.col("g_seen") < SIZE // 100
    return frame.with_columns(
        pl.when(pl.col("hidden") & ~forgotten if name in names else pl.col("hidden"))
        .then(pl.lit(MASK))
        .otherwise(pl.col(name))
        .alias(name)
        for name in frame.columns
        if name in MASKED_COLUMNS
    )


def _units(start: int, count: int, rows: int, seed: int, *, old: bool) -> pl.DataFrame:
    codes, new_codes, draw_code = activities()
    frame = pl.select(pl.int_range(start, start + count, dtype=pl.Int64).alias("unit"))
    frame = frame.with_columns(
        *_unit_facts(rows, seed),
        *_draws("unit", 7, seed, "h_first h_family h_trade h_thing"),
        *_draws("unit", 8, seed, "h_size h_social h_treated g_seen"),
    ).with_columns(*_siren())
    person = pl.col("person")
    frame = frame.with_columns(
        pl.lit(draw_code).gather(pl.col("a_code")).alias("code"), pl.lit(0, dtype=pl.Int64).alias("order")
    )
    boss = pl.col("live") & _chance("a_boss", 0.147)
    post_office = pl.col("prefix") == _LA_POSTE_PREFIX
    frame = frame.select(
        siren="siren",
        unitePurgeeUniteLegale=pl.when(~pl.col("live") & _chance("h_social", 0.2)).then(pl.lit(value=True)),
        dateCreationUniteLegale=_born("a_born", "h_treated"),
        sigleUniteLegale=pl.when(~person & _chance("h_size", 0.08)).then(
            _pick(invented.TRADES, "h_trade").str.slice(0, 3)
        ),
        sexeUniteLegale=pl.when(person).then(_pick(["F", "M"], "h_first")),
        prenom1UniteLegale=pl.when(person).then(_pick(invented.FIRST_NAMES, "h_first")),
        prenom2UniteLegale=pl.when(person & _chance("h_trade", 0.5)).then(_pick(invented.FIRST_NAMES, "h_thing")),
        prenomUsuelUniteLegale=pl.when(person).then(_pick(invented.FIRST_NAMES, "h_first")),
        trancheEffectifsUniteLegale=pl.when(boss)
        .then(_pick(table(invented.EMPLOYER_BANDS), "a_band"))
        .otherwise(pl.lit("NN")),
        anneeEffectifsUniteLegale=pl.when(boss).then(pl.lit(2024, dtype=pl.Int64)),
        dateDernierTraitementUniteLegale=_treated("h_treated", "h_size"),
        nombrePeriodesUniteLegale=(1 + pl.col("h_social") % 6).cast(pl.Int64),
        categorieEntreprise=pl.when(pl.col("live") & _chance("h_size", 0.3)).then(
            _pick(table([("PME", 97), ("ETI", 2.5), ("GE", 0.5)]), "h_trade")
        ),
        dateDebut=_date(_days("h_treated", "h_social", 6000)),
        etatAdministratifUniteLegale=pl.when("live").then(pl.lit("A")).otherwise(pl.lit("C")),
        nomUniteLegale=pl.when(person).then(_pick(invented.FAMILY_NAMES, "h_family")),
        nomUsageUniteLegale=pl.when(person & _chance("h_thing", 0.1)).then(_pick(invented.FAMILY_NAMES, "h_trade")),
        denominationUniteLegale=pl.when(post_office)
        .then(pl.lit("LA POSTE"))
        .when(~person)
        .then(pl.concat_str(_pick(invented.TRADES, "h_trade"), pl.lit(" "), _pick(invented.THINGS, "h_thing"))),
        categorieJuridiqueUniteLegale=pl.when(person)
        .then(pl.lit("1000"))
        .otherwise(_pick(table(invented.LEGAL_FORMS), "h_family")),
        activitePrincipaleUniteLegale=pl.lit(codes).gather(pl.col("code")),
        nomenclatureActivitePrincipaleUniteLegale=pl.lit("NAFRev2"),
        activitePrincipaleNAF25UniteLegale=pl.when("live").then(pl.lit(new_codes).gather(pl.col("code"))),
        nicSiegeUniteLegale=_nic(),
        economieSocialeSolidaireUniteLegale=pl.when(~person).then(
            pl.when(_chance("h_social", 0.04)).then(pl.lit("O")).otherwise(pl.lit("N"))
        ),
        societeMissionUniteLegale=pl.when(~person & _chance("h_social", 0.002)).then(pl.lit("O")),
        caractereEmployeurUniteLegale=pl.when(boss).then(pl.lit("O")).otherwise(pl.lit("N")),
        hidden="hidden",
        g_seen="g_seen",
    )
    return _mask(_typed(frame, UNIT_COLUMNS, "N" if old else "P"))


def _write(
    path: Path,
    format: Format | None,
    types: Mapping[str, str],
    slices: Iterator[pl.DataFrame],
    delimiter: str,
    member: str,
) -> None:
    formats: dict[str, Format] = {".parquet": "parquet", ".csv": "csv", ".zip": "zip"}
    chosen = format or formats.get(path.suffix)
    if chosen is None:
        raise ValueError(f"`{path.name}` ends in none of {', '.join(formats)}: name the format")
    with atomic_write(path) as part:
        if chosen == "parquet":
            _write_parquet(part, {name: _TYPES[kind] for name, kind in types.items()}, slices)
        elif chosen == "csv":
            with part.open("wb") as file:
                _write_csv(file, slices, delimiter)
        else:
            _write_zip(part, slices, delimiter, member)


def _write_csv(file: IO[bytes], slices: Iterator[pl.DataFrame], delimiter: str) -> None:
    for number, frame in enumerate(slices):
        text = io.BytesIO()
        frame.write_csv(text, include_header=number == 0, separator=delimiter, datetime_format="%Y-%m-%dT%H:%M:%S")
        file.write(text.getbuffer())


def _write_zip(path: Path, slices: Iterator[pl.DataFrame], delimiter: str, member: str) -> None:
    import zipfile

    about = zipfile.ZipInfo(member, date_time=(STOCK_DATE.year, STOCK_DATE.month, STOCK_DATE.day, 0, 0, 0))
    about.compress_type = zipfile.ZIP_DEFLATED
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open(about, "w", force_zip64=True) as file,
    ):
        _write_csv(file, slices, delimiter)


def _write_parquet(
    path: Path, schema: Mapping[str, pl.DataType | type[pl.DataType]], slices: Iterator[pl.DataFrame]
) -> None:
    from polars.io.plugins import register_io_source

    def produce(*_: object) -> Iterator[pl.DataFrame]:
        return slices  # the sink asks for all columns and all rows

    register_io_source(produce, schema=pl.Schema(schema)).sink_parquet(
        path, compression="snappy", row_group_size=_SLICE_ROWS
    )
