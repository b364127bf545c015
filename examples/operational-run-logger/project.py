"""Process the lines of a file and log the run: an example of `joblot.RunLogger` in a program of its own."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from joblot import JoblotError, RunLogger


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--input", type=Path, default=Path("data/sample_input.txt"), help="text file, one item a line")
    parser.add_argument("--output", type=Path, default=Path("data/processed.json"), help="where the processed items go")
    parser.add_argument("--log", type=Path, default=Path("data/run_log.json"), help="where the run log goes")
    parser.add_argument("--state", type=Path, help="state folder in which the run is kept, for `joblot ls`")
    parser.add_argument("--run-id", help="name of the run; made up when not given")
    parser.add_argument("--verbose", action="store_true", help="show each event as it happens")
    return parser.parse_args()


def process(source: Path, output: Path, run: RunLogger) -> None:
    with source.open(encoding="utf-8") as lines:
        items = [item for line in lines if (item := line.strip())]
    run.log_event("processing_started", item_count=len(items))
    if not items:
        run.log_warning("no items to process", input=str(source))
    results = []
    for index, item in enumerate(items):
        results.append({"index": index, "item": item, "processed": True})
        run.log_item("item_processed", index=index, item=item, length=len(item))
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".{output.name}.part")
    partial.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(output)
    run.log_event("processing_completed", results_count=len(results))


def main() -> int:
    args = arguments()
    code = 0
    try:
        run = RunLogger(args.run_id, log=args.log, state=args.state, verbose=args.verbose)
    except (ValueError, JoblotError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    try:
        with run:
            process(args.input, args.output, run)
    except (OSError, ValueError, JoblotError) as error:
        print(f"error: {run.last_error or error}", file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        code = 130
    finally:
        shown = ("run_id", "status", "events", "errors", "warnings")
        print(json.dumps({key: run.summary[key] for key in shown}, indent=2))
    return code


if __name__ == "__main__":
    sys.exit(main())
