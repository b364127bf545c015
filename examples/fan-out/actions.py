"""Actions of the batch: the page of one station, and the extremes of a kind of place. `imports` of the batch file brings them in."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any, Literal

from joblot import ActionError, action


@action
def station_page(input: Path, *, code: str, name: str, metres: int, place: str, output: Path) -> dict[str, Any]:
    """Write the page of one station, and beside it what was most extreme there.

    Raises:
        ActionError: nothing was observed there.
    """
    with input.open(encoding="utf-8", newline="") as file:
        days = [row for row in csv.DictReader(file) if row["station"] == code]
    if not days:
        raise ActionError(f"no observations of station {code}", reason="no_rows")
    rows = "".join(f"| {day['day']} | {day['low']} | {day['high']} | {day['rain']} |\n" for day in days)
    text = f"# {name}\n\n{metres} m, station {code}\n\n| day | low | high | rain |\n|---|--:|--:|--:|\n{rows}"
    coldest = min(days, key=lambda day: float(day["low"]))
    wettest = max(days, key=lambda day: float(day["rain"]))
    extremes = {
        "name": name,
        "place": place,
        "coldest": [float(coldest["low"]), coldest["day"]],
        "wettest": [float(wettest["rain"]), wettest["day"]],
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text, encoding="utf-8")
    output.with_suffix(".json").write_text(json.dumps(extremes, ensure_ascii=False), encoding="utf-8")
    return extremes


@action
def extreme(*, folder: Path, place: str, what: Literal["coldest", "wettest"], output: Path) -> str:
    """Write at which station of a kind of place it was coldest or wettest."""
    stations = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    found = [station for station in stations if station["place"] == place]
    best = (min if what == "coldest" else max)(found, key=lambda station: station[what][0])
    value, day = best[what]
    line = f"{place}, {what}: {value} {'degrees' if what == 'coldest' else 'mm'} at {best['name']} on {day}"
    output.write_text(line + "\n", encoding="utf-8")
    return line
