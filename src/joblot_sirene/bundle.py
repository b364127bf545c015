"""The datasets of one scan: the stock is read once, each job gets its own rows, its own package, and its own failure.

It knows what jobs ask for and what a scan needs; it decides nothing about steps, privacy or files.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from joblot import ActionError, JoblotError
from joblot_sirene import pipeline
from joblot_sirene.errors import LayoutError, need_engine
from joblot_sirene.jobs.request import DatasetRequest, DatasetSpec, resolve
from joblot_sirene.package import package
from joblot_sirene.register import misread, naf, privacy, spellings
from joblot_sirene.register.naf import CODE_COLUMN, NAF25_COLUMN, NOMENCLATURE_COLUMN
from joblot_sirene.register.spellings import STATE
from joblot_sirene.register.stock_date import StockDate, read_day, stock_date
from joblot_sirene.steps.parameters import NO_UNITS
from joblot_sirene.stock.bad_rows import Aside, put_aside
from joblot_sirene.stock.companion import Companion
from joblot_sirene.stock.memory import MemoryLimitError, shown_size
from joblot_sirene.stock.routing import RowRequest
from joblot_sirene.stock.source import UNREAD, ScanCancelledError, day_of, limit_threads, open_source

if TYPE_CHECKING:
    from pathlib import Path

    from joblot_sirene.jobs.jobfile import Job
    from joblot_sirene.jobs.profiles import Profile
    from joblot_sirene.register.misread import Misread
    from joblot_sirene.stock.scan import Rows
    from joblot_sirene.stock.source import Source

TALLY: Final = (*misread.CODED, NOMENCLATURE_COLUMN, *(f"{UNREAD}{name}" for name in misread.CONVERTED))
"""Rows that match by code are counted by these before any filter: it is known then how many are closed, and what is not understood."""
ROW_BY_ROW_FACTOR: Final = 2.0
"""Memory that a dataset takes at most whose steps look at rows one by one, per byte of its rows (measured: 1.9)."""
ALL_ROWS_FACTOR: Final = 3.3
"""The same with steps that look at all rows together, and add columns to them (measured: 2.6 to 3.2)."""
_READ_FACTOR: Final = 4
_READ_MORE: Final = 100
"""Rows to read for a sample, times and plus: some of those that are read may not be shown."""

OnEnd = Callable[[DatasetRequest, dict[str, Any] | BaseException], None]


class StoppedError(ActionError):
    """Another job of the same scan failed, and the batch is to stop then."""

    def __init__(self, name: str) -> None:
        super().__init__(f"not begun: `{name}` failed before", reason="fail_fast")


def build(requests: Sequence[DatasetRequest], on_end: OnEnd) -> None:
    """Build the datasets of all requests from one scan; `on_end` is called for each with its result or its error, in their order."""
    limit_threads(requests[0].params["threads"])
    try:
        need_engine()
        bundle = Bundle(requests, on_end)
    except (JoblotError, OSError) as error:
        for request in requests:
            on_end(request, error)
        return
    bundle.run()


class Bundle:
    """The datasets of one scan."""

    def __init__(self, requests: Sequence[DatasetRequest], on_end: OnEnd) -> None:
        first = requests[0]
        self._requests = requests
        self._on_end = on_end
        self._threads = first.params["threads"] or 2
        self._max_ram_bytes = first.params["max_ram_mb"] * 2**20
        self._stop = first.params["stop"]
        self._bad_rows: Path | None = first.params["bad_rows"]
        sources = open_sources(first.input)
        self._source, self._units, self._history = sources["establishment"], sources.get("unit"), sources.get("history")
        self._sources = list(sources.values())
        self._digest = self._source.digest
        self._given_date = read_day(first.params["stock_date"])
        self._codes_in_file = _CodesInFile(self._source)
        self._made_at = dt.datetime.now(dt.UTC).replace(microsecond=0)
        self._failed = ""
        self._specs: dict[str, DatasetSpec] = {}
        self._refused: dict[str, BaseException] = {}
        for request in requests:
            try:
                spec = resolve(request, has_units=self._units is not None or bool(self._source.layout.unit))
                earlier = package.read_earlier(request.params["earlier"])
                self._specs[request.ctx.job] = replace(spec, earlier=earlier)
            except (JoblotError, OSError) as error:
                self._refused[request.ctx.job] = error
        self._hidden: privacy.Hidden | None = None
        self._aside = Aside()

    def run(self) -> None:
        """Scan the stock and build the datasets."""
        from joblot_sirene.stock.scan import scan

        remaining = iter(self._requests)

        def end_refused(name: str) -> DatasetRequest | None:
            """End the requests that were refused and come before the job of that name, which is returned; all that remain when there is none."""
            for request in remaining:
                if self._failed:
                    raise StoppedError(self._failed)
                if request.ctx.job == name:
                    return request
                self._end(request, self._refused[request.ctx.job])
            return None

        def done(row_request: RowRequest, result: dict[str, Any] | Exception) -> None:
            request = end_refused(row_request.name)
            assert request is not None
            self._end(request, result)

        # results come in the order of requests. Those that were refused have no part in the scan, and are ended in between
        row_requests = [self._row_request(spec) for spec in self._specs_to_build()]
        if row_requests:
            folder = next(iter(self._specs.values())).output.parent
            try:
                folder.mkdir(parents=True, exist_ok=True)
                with put_aside(self._bad_rows, self._sources) as self._aside:
                    self._hidden = self._hidden_by_rows()
                    scan(
                        self._source,
                        row_requests,
                        columns=self._columns(),
                        build=self._dataset,
                        on_done=done,
                        folder=folder,
                        max_ram_bytes=self._max_ram_bytes,
                        threads=self._threads,
                        tally=TALLY,
                        companions=self._companions(),
                        cancelled=lambda: self._requests[0].ctx.cancelled,
                        progress=lambda share: self._requests[0].ctx.progress(round(share * 100), 100, "%"),
                    )
            except (ScanCancelledError, StoppedError):
                raise
            except (JoblotError, OSError) as error:
                for request in remaining:
                    self._end(request, self._refused.get(request.ctx.job) or error)
        end_refused("")

    def _specs_to_build(self) -> list[DatasetSpec]:
        """All specs; where the first failure is to stop the batch, those before the first request that was refused."""
        specs = []
        for request in self._requests:
            if request.ctx.job in self._specs:
                specs.append(self._specs[request.ctx.job])
            elif self._stop:
                break
        return specs

    def _end(self, request: DatasetRequest, result: dict[str, Any] | BaseException) -> None:
        if isinstance(result, BaseException) and not self._failed and self._stop:
            self._failed = request.ctx.job
        if isinstance(result, dict):
            for warning in result["warnings"]:
                request.ctx.log(warning, "warning")
        self._on_end(request, result)

    def _row_request(self, spec: DatasetSpec) -> RowRequest:
        from joblot_sirene.register import expressions

        filters = spec.job.filters
        rules = [rule for selection in filters.naf_include for rule in naf.matching_rules(selection)]
        # how many rows meet filters on their units is not known before these are joined
        limit = None if spec.sample is None or filters.needs_unit else spec.sample * _READ_FACTOR + _READ_MORE
        return RowRequest(spec.request.ctx.job, rules, expressions.residual(filters), limit)

    def _columns(self) -> list[str]:
        from joblot_sirene.register.layout import COLUMNS, PLACE_COLUMNS
        from joblot_sirene.steps import normalise, units

        of_units = (*normalise.UNIT_NEEDED, *units.NEEDED) if self._source.layout.unit else ()
        needed = {*normalise.NEEDED, *of_units}
        of_places = [name for name in PLACE_COLUMNS if name in self._source.columns]
        names = dict.fromkeys((*COLUMNS, *self._source.layout.unit))
        return [
            *(name for name in names if name in needed),
            *(of_places if len(of_places) == len(PLACE_COLUMNS) else ()),
        ]

    def _hidden_by_rows(self) -> privacy.Hidden | None:
        """Who is hidden by rows that a dataset need not have: by others of the unit, where the stock has its columns; since an earlier dataset."""
        from joblot_sirene.stock.repeated import hidden_by_rows

        has_status = privacy.UNIT_STATUS_COLUMN in self._source.layout.unit
        compares = any(spec.earlier is not None and spec.job.profile.compares for spec in self._specs.values())
        return hidden_by_rows(self._sources) if has_status or compares else None

    def _companions(self) -> list[Companion]:
        from joblot_sirene.steps import history, units

        companions = []
        if self._units is not None:
            known = [name for name in units.NEEDED if name not in self._units.layout.missing]
            companions.append(Companion(self._units, "siren", known))
        if self._history is not None:
            companions.append(Companion(self._history, "siret", history.NEEDED))
        return companions

    # --- one dataset --------------------------------------------------------------------------------

    def _dataset(self, row_request: RowRequest, rows: Rows) -> dict[str, Any]:
        """Build the package of one request; called in any thread."""
        spec = self._specs[row_request.name]
        if self._failed:
            raise StoppedError(self._failed)
        self._check_memory(rows, spec.job.profile)
        left_out = {**_left_out(rows, spec.job), "repeated_rows": rows.repeated, "bad_rows": self._count_bad_rows()}
        unread = misread.find(rows.counts, rows.unknown_lists, UNREAD)
        if self._source.not_codes:
            unread[CODE_COLUMN] = misread.of_codes(self._source.not_codes)
        self._check_answerable(spec.job, rows, unread)
        result = pipeline.run(
            spec.job.profile, rows.frames(), self._inputs(spec, rows), spec.job.filters, most_rows=spec.sample
        )
        of_steps = [warning for step in result.steps for warning in step.warnings]
        of_scan = [
            *spec.job.warnings,
            *self._warnings(row_request, spec, rows, left_out, result),
            *misread.warnings(unread),
        ]
        warnings = list(dict.fromkeys([*of_scan, *of_steps]))
        origin = package.Origin(
            job=spec.job,
            provenance=self._provenance(unread),
            left_out={**left_out, "partial_diffusion_left_out": result.counts.excluded},
            warnings=tuple(warnings),
            made_at=self._made_at,
            sample=spec.sample,
        )
        manifest = package.write(spec.output, result, origin, spec.request.ctx)
        return {
            "niche": spec.job.niche,
            "codes": manifest["codes"],
            "rows": result.frame.height,
            "output": spec.request.ctx.shown(spec.output),
            "stock_date": manifest["rights"]["stock_date"],
            "closed_share": left_out["closed_share"],
            "verdict": manifest["verdict"],
            "warnings": warnings,
        }

    def _check_memory(self, rows: Rows, profile: Profile) -> None:
        row_by_row = all(call.name in pipeline.ROW_BY_ROW | {"duplicates"} for call in profile.steps)
        needed = int((ROW_BY_ROW_FACTOR if row_by_row else ALL_ROWS_FACTOR) * rows.total_size)
        if 0 < self._max_ram_bytes < needed:
            raise MemoryLimitError(
                f"the {rows.height} rows of this dataset need about {shown_size(needed)} of memory, and "
                f"{shown_size(self._max_ram_bytes)} are allowed",
                hint="allow more memory, or narrow the filters",
            )

    def _check_answerable(self, job: Job, rows: Rows, unread: dict[str, Misread]) -> None:
        """Refuse what the file cannot answer: an empty dataset would say that there is no such place."""
        filters = job.filters
        is_there = rows.counts is not None and rows.counts.height > 0
        selections = (*filters.naf_include, *filters.naf_exclude)
        if not is_there and NOMENCLATURE_COLUMN in unread:
            raise _refused(NOMENCLATURE_COLUMN, unread[NOMENCLATURE_COLUMN])
        if not is_there or (
            NAF25_COLUMN in self._source.layout.missing and any(s.nomenclature == naf.NAF25 for s in selections)
        ):
            lists = self._codes_in_file.lists
            for selection in selections:
                if lists and selection.nomenclature not in lists:
                    raise LayoutError(
                        f"the file has no activities of {naf.TITLES[selection.nomenclature]}, so `{selection.code}` cannot be looked "
                        f"for: {_OTHER_LIST[selection.nomenclature]}"
                    )
        if not is_there and not self._codes_in_file.lists and self._source.not_codes:
            raise _refused(CODE_COLUMN, misread.of_codes(self._source.not_codes))
        if is_there and not rows.height:
            for column in misread.needed(filters):
                if column in unread:
                    raise _refused(column, unread[column])

    @cached_property
    def _stock_date(self) -> StockDate:
        """The same for all datasets: they are built when the whole file has been read."""
        newest = self._source.newest
        return stock_date(
            None if newest is None else day_of(newest), given=self._given_date, file_name=self._source.path.name
        )

    def _inputs(self, spec: DatasetSpec, rows: Rows) -> Any:
        from joblot_sirene.steps.model import Inputs

        companions = iter(rows.companions)
        units = next(companions).frame() if self._units is not None else None
        history = next(companions).frame() if self._history is not None else None
        return Inputs(
            today=self._stock_date.day or self._made_at.date(),
            policy=spec.job.policy,
            units=units,
            history=history,
            earlier=spec.earlier,
            hidden=self._hidden_now(),
        )

    def _warnings(
        self, row_request: RowRequest, spec: DatasetSpec, rows: Rows, left_out: dict[str, Any], result: pipeline.Result
    ) -> Iterator[str]:
        if privacy.STATUS_COLUMN in self._source.layout.missing:
            yield f"the file has no column `{privacy.STATUS_COLUMN}`: nobody in it can be told to be public"
        if bad := self._count_bad_rows():
            file = "" if self._bad_rows is None else self._bad_rows.name  # no folder of this machine
            yield f"{bad} rows have another number of fields than the header of their file and were put aside: `{file}` says which"
        if rows.repeated:
            yield (
                f"{rows.repeated} rows of the file have the SIRET of a newer one: of each the row of the newest treatment "
                f"is taken, the last of several such, and it is hidden when one of the others is"
            )
        if rows.counts is None or not rows.counts.height:
            for selection in spec.job.filters.naf_include:
                yield f"no row has the code `{selection.code}`: {self._codes_in_file.nearest(selection)}"
        yield from self._warnings_of_date()
        if spec.job.profile.compares and spec.earlier is None and spec.request.params["earlier"] is not None:
            yield "no earlier dataset of this name: nothing was compared"
        total = left_out["rows_of_these_codes"]
        if total and not result.frame.height:
            closed, hidden = left_out["closed_left_out"], result.counts.excluded
            reasons = f"{closed} closed, {hidden} that may not be shown, the others do not meet the filters"
            yield f"none of the {total} rows with these codes is left: {reasons}"
        elif row_request.limit is not None and rows.height >= row_request.limit:
            # more rows than the sample needs were read, but not all: others might be shown
            kept = result.counts.kept
            if kept < (spec.sample or 0):
                yield f"of the first {rows.height} rows only {kept} may be shown: the sample has no more"
        if result.frame.height and self._units is None and not self._source.layout.unit:
            yield NO_UNITS  # whatever the profile: the most usual first run has no names, and nothing else would say why

    def _hidden_now(self) -> privacy.Hidden | None:
        """Who is hidden by rows that a dataset need not have, those that were put aside included."""
        by_bad_rows = self._aside.hidden
        if not by_bad_rows:
            return self._hidden
        return by_bad_rows if self._hidden is None else self._hidden.also(by_bad_rows)

    def _count_bad_rows(self) -> int:
        return sum(source.bad_rows for source in self._sources)

    def _provenance(self, unread: dict[str, Misread]) -> package.Provenance:
        source = self._source
        return package.Provenance(
            file=source.path.name,
            digest=self._digest,
            rows=source.rows,
            layout=source.layout.describe(),
            missing_columns=source.layout.missing,
            unreadable_values={column: found.rows for column, found in unread.items()},
            stock_date=self._stock_date,
        )

    def _warnings_of_date(self) -> Iterator[str]:
        newest, future = self._source.newest, self._source.future
        if future:
            yield f"{future} rows were treated after today, which cannot be: they do not count for the date of the stock"
        if self._stock_date.day is None:
            yield "the date of the stock is not known (give it with `--stock-date`)"
        elif newest is not None and self._stock_date.day < day_of(newest):
            yield f"rows were treated after the date of the stock that was given, the last ones on {day_of(newest)}"


_OTHER_LIST: Final[dict[naf.Nomenclature, str]] = {
    naf.NAF25: "take a stock of 16 December 2025 or later, which has 54 columns, or a code of NAF rev. 2",
    naf.REV2: "take a stock from before 2027, or a code of NAF 2025",
}


def _refused(column: str, found: Misread) -> LayoutError:
    # the way out stands in the message: of a job's error a batch shows no hint
    return LayoutError(f"no row is left: {found.described(column)}; the register writes {spellings.expected(column)}")


class _CodesInFile:
    """The codes that are in a file, read once, when a job asks for one that is not."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._read_codes: set[str] | None = None
        self._lock = Lock()

    @property
    def lists(self) -> set[naf.Nomenclature]:
        """The lists that the file has codes of."""
        return {nomenclature for code in self._codes if (nomenclature := naf.nomenclature_of(code))}

    def nearest(self, selection: naf.Selection) -> str:
        """The nearest codes that are there, as a sentence."""
        present = sorted(code for code in self._codes if naf.nomenclature_of(code) == selection.nomenclature)
        codes = naf.nearest(selection.code, present) if selection.code[0].isdigit() else []
        names = ", ".join(f"`{near}`" for near in codes)
        return f"nearest in the file: {names}" if codes else "the file has none like it"

    @property
    def _codes(self) -> set[str]:
        with self._lock:
            if self._read_codes is None:
                self._read_codes = self._read()
            return self._read_codes

    def _read(self) -> set[str]:
        codes: set[str] = set()
        source = self._source.again()
        for rows in source.batches([CODE_COLUMN, NAF25_COLUMN, NOMENCLATURE_COLUMN], 2**20):
            pairs = rows.select(CODE_COLUMN, NOMENCLATURE_COLUMN).unique().drop_nulls(CODE_COLUMN)
            for code, nomenclature in pairs.iter_rows():
                # the letter tells the list, but a row of an older one never matches
                if nomenclature in (None, naf.nomenclature_of(code)):
                    codes.add(code)
            codes.update(rows[NAF25_COLUMN].unique().drop_nulls())
        return {code for code in codes if naf.nomenclature_of(code)}


def open_sources(paths: Sequence[Path]) -> dict[str, Source]:
    """The files of a job by kind (`establishment`, `unit`, `history`), which is that of their columns.

    Raises:
        LayoutError: there are no establishments among them, or two files are of one kind.
        SourceError: one of them cannot be read.
    """
    if len(paths) == 1:
        return {"establishment": open_source(paths[0], expected="establishment")}
    sources: dict[str, Source] = {}
    for path in paths:
        source = open_source(path)
        other = sources.setdefault(source.layout.kind, source)
        if other is not source:
            raise LayoutError(
                f"`{other.path}` and `{path}` are both files of the same kind: {source.layout.describe()}",
                hint="give one file of each kind",
            )
    if "establishment" not in sources:
        raise LayoutError(
            "none of the files holds establishments",
            hint="give the current stock of establishments, StockEtablissement",
        )
    return sources


def _left_out(rows: Rows, job: Job) -> dict[str, Any]:
    """How many rows have the job's codes, how many of these are closed, and which share that is."""
    counts = rows.counts
    total = closed = 0
    if counts is not None and counts.height:
        total = int(counts["rows"].sum())
        closed = int(counts.filter(counts[STATE] == "F")["rows"].sum())
    return {
        "rows_of_these_codes": total,
        "closed": closed,
        "closed_share": round(closed / total, 4) if total else 0.0,
        "closed_left_out": closed if job.filters.active_only else 0,
    }
