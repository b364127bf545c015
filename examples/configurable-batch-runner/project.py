"""Run the jobs of a batch file and write a report in this example's own words: a thin program over `joblot`."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblot

if TYPE_CHECKING:
    from joblot import JobReport, Report

STATUS = {"success": "ok", "cached": "ok", "skipped": "skipped"}
LEVEL = {"ok": "INFO", "error": "ERROR", "skipped": "WARNING"}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--config", type=Path, default=Path("data/batch_config.json"), help="batch file: JSON, YAML or TOML"
    )
    parser.add_argument("--output", type=Path, default=Path("data/batch_report.json"), help="where the report goes")
    parser.add_argument("--dry-run", action="store_true", help="check the batch file and run nothing")
    return parser.parse_args()


def log(level: str, message: str, at: str | None = None) -> None:
    time = at or datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    print(f"{time} | {level} | {message}", file=sys.stderr)


def item(job: JobReport) -> dict[str, Any]:
    status = STATUS.get(job.state, "error")
    outcome = {"result": job.result} if status == "ok" else {"reason": reason(job)}
    return {"job": job.name, "action": job.action, "status": status, "duration_ms": job.duration_ms} | outcome


def reason(job: JobReport) -> str:
    return "unknown action" if job.reason == "unknown_action" else job.message or job.reason


def log_job(job: JobReport) -> None:
    status = STATUS.get(job.state, "error")
    said = f"{job.duration_ms} ms" if status == "ok" else reason(job)
    log(LEVEL[status], f"job {job.name} ({job.action}) {status}: {said}", job.ended_at)
    if job.log and job.reason in {"exception", "exit_code"}:
        print(Path(job.log).read_text(encoding="utf-8", errors="replace").rstrip(), file=sys.stderr)


def in_our_words(report: Report) -> dict[str, Any]:
    results = [item(job) for job in report.jobs.values()]
    statuses = [result["status"] for result in results]
    counts = {
        "succeeded": statuses.count("ok"),
        "failed": statuses.count("error"),
        "skipped": statuses.count("skipped"),
    }
    return {"total_jobs": len(results), **counts, "results": results}


def write(path: Path, data: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    partial.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)


def run(config: Path, output: Path) -> int:
    report = joblot.run(config, skip_unknown_actions=True)
    for job in report.jobs.values():
        log_job(job)
    said = in_our_words(report)
    if not said["total_jobs"]:
        log("WARNING", "no jobs: nothing to do")
    write(output, said)
    log("INFO", f"Batch complete: {said['succeeded']} ok, {said['failed']} failed, {said['skipped']} skipped")
    print(json.dumps({key: said[key] for key in ("total_jobs", "succeeded", "failed")}, indent=2))
    return report.exit_code


def check(config: Path) -> int:
    batch = joblot.load(config)
    for job in batch.jobs:
        log("INFO", f"would run {job.name} ({job.action or 'run'})")
    print(json.dumps({"total_jobs": len(batch.jobs), "dry_run": True}, indent=2))
    return 0


def main() -> int:
    args = arguments()
    try:
        return check(args.config) if args.dry_run else run(args.config, args.output)
    except joblot.ConfigError as error:
        for diagnostic in error.diagnostics:
            print(diagnostic.head(), file=sys.stderr)
        return error.exit_code
    except joblot.JoblotError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"error: cannot write `{error.filename}`: {(error.strerror or str(error)).lower()}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
