"""Keys of job files of the program that this one replaces: what is read in another form here, and what needs the web.

That program collected e-mail addresses, telephone numbers and sites. Nothing is asked of a network here, so its keys for that are named in a
warning and have no effect; its other keys have the effect of ours.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

SECTIONS: Final = ("http", "sitemap", "feeds", "pdf", "api", "enrich", "scraper")
"""At the top of a job: where its web steps looked, and how."""
BUDGETS: Final = ("max_http_bytes", "max_http_requests")
TARGETS: Final = (
    "min_quality_score", "min_url_valid_pct", "min_domain_resolved_pct", "min_email_plausible_pct", "min_lines_per_s",
)  # fmt: skip
"""Of `kpi_targets`: shares of what was found on the web, a score that is mostly made of it, and how fast it was found."""
COLUMNS: Final = ("domain_root", "best_email", "telephone_norm")
"""Of `dedupe.keys`: columns that came from the web."""
_MOST_REPEATED: Final = "max_dup_pct"
_WEIGHT: Final = re.compile(r"(\w+):(\d+(?:\.\d+)?)")


def targets(values: Any) -> tuple[Any, list[str]]:
    """`kpi_targets` in our form, and the keys that need the web."""
    if not isinstance(values, dict):
        return values, []
    ours = {key: value for key, value in values.items() if key not in TARGETS}
    share = ours.get(_MOST_REPEATED)
    if isinstance(share, (int, float)) and not isinstance(share, bool) and 0 <= share <= 100:
        del ours[_MOST_REPEATED]
        ours.setdefault("distinct", round(1 - share / 100, 6))
    return ours, [f"kpi_targets.{key}" for key in values if key in TARGETS]


def weights(values: Any) -> Any:
    """The weights of a score; its template wrote `{contactability:50}`, which is a key of YAML without a value."""
    if not isinstance(values, dict) or not values or any(value is not None for value in values.values()):
        return values
    found = [_WEIGHT.fullmatch(str(key)) for key in values]
    return {match[1]: float(match[2]) for match in found if match} if all(found) else values


def warnings(keys: Iterable[str]) -> tuple[str, ...]:
    """What to warn of, given the keys that have no effect."""
    names = ", ".join(f"`{key}`" for key in keys)
    return (f"these keys need the web and have no effect: {names}",) if names else ()
