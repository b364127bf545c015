"""Run a workflow and print what its steps came to: the demo, or one from a file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from orchestrator import RunReport, StepStatus, Workflow, WorkflowStep

from joblot import ConfigError, JoblotError

ACTIONS = {
    "extract": lambda: "120 records",
    "validate": lambda: "118 records are complete",
    "transform": lambda: "118 records in the new form",
    "load": lambda: "118 records loaded",
    "notify": lambda: "mail sent to the owners",
}


def demo() -> Workflow:
    names = list(ACTIONS)
    needs: list[list[str]] = [[], *([name] for name in names[:-1])]
    steps = zip(names, ACTIONS.values(), needs, strict=True)
    return Workflow((WorkflowStep(name, action, depends_on) for name, action, depends_on in steps), name="demo")


def workflow(file: Path | None) -> Workflow:
    if file is None:
        return demo()
    from workflow_files import load_workflow

    return load_workflow(file, ACTIONS)


def show(report: RunReport) -> None:
    print("Pipeline PASSED" if report.all_passed else "Pipeline FAILED")
    for result in report.results:
        print(f"  [{result.status:<7}] {result.step_name} ({result.attempts} attempt(s), {result.duration_ms}ms)")
    print(f"Total: {report.total_duration_ms}ms")
    for result in report.results:
        if result.status is not StepStatus.SUCCESS:
            where = f" (see {result.log})" if result.log else ""
            print(f"{result.step_name}: {result.error}{where}", file=sys.stderr)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "file", nargs="?", type=Path, help="JSON, or lines of `name|depends_on|description`; without it the demo runs"
    )
    parser.add_argument(
        "--continue-on-error", action="store_true", help="go on with the steps that do not depend on a failed one"
    )
    parser.add_argument(
        "--workers", type=int, choices=range(1, 65), default=1, metavar="N", help="how many steps run at once"
    )
    args = parser.parse_args()
    try:
        steps = workflow(args.file)
        report = steps.run(fail_fast=not args.continue_on_error, workers=args.workers, state=None)
    except JoblotError as error:
        if isinstance(error, ConfigError):
            print("\n".join(diagnostic.head() for diagnostic in error.diagnostics), file=sys.stderr)
        else:
            print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    show(report)
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
