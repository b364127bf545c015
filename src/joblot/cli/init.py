"""`joblot init`: a first batch file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from joblot.errors import EXIT_OK, UsageError
from joblot.files import reason_of

if TYPE_CHECKING:
    from joblot.cli.output import Output

STARTER = """\
# yaml-language-server: $schema=./joblot.schema.json
# (for completion in your editor: joblot schema > joblot.schema.json)
#
#   joblot validate    check this file
#   joblot plan        show what would run
#   joblot run         run it

name: first

vars:
  who: world            # joblot run --var who=everyone

defaults:
  timeout: 10m          # each attempt of each job; bare numbers are seconds

jobs:
  # A shell command. Values from ${{ ... }} are quoted for the shell.
  - name: hello
    run: echo hello ${{ vars.who }} > hello.txt

  # An action: a Python function with checked parameters. `joblot actions` lists them.
  - name: count
    action: count_lines
    input: hello.txt                  # relative to this file's folder
    needs: [hello]                    # runs only after `hello` succeeded

  # Tried up to three times, waiting 1 s and then 2 s.
  - name: check
    run: grep -q hello hello.txt
    needs: [hello]
    retry: {max_attempts: 3, delay: 1s, backoff: 2}

  # Uses the result of another job.
  - name: report
    run: echo it has ${{ jobs.count.result.total_lines }} line
    needs: [count, check]
"""


@click.command("init", help="Write a first batch file that runs as it is, with comments. Nothing is overwritten.")
@click.argument("file", default="joblot.yaml")
@click.pass_obj
def command(output: Output, file: str) -> int:
    """Write the file."""
    try:
        # Not beside and renamed: that would overwrite what has come to stand there in the meantime.
        with Path(file).open("x", encoding="utf-8") as stream:
            stream.write(STARTER)
    except FileExistsError:
        raise UsageError(f"`{file}` exists already", hint="give another name: `joblot init other.yaml`") from None
    except OSError as error:
        raise UsageError(f"cannot write `{file}`: {reason_of(error)}") from None
    output.result(f"wrote `{file}`; next: joblot run{'' if file == 'joblot.yaml' else f' {file}'}")
    return EXIT_OK
