"""`python builder_cli.py batch ...`: the same as `joblot sirene batch ...`, with the template that lies beside this file."""

import os
import sys
from pathlib import Path

words = sys.argv[1:]
if words[:1] == ["batch"]:
    words[1:1] = ["--template", str(Path(__file__).with_name("job_template.yaml"))]  # one that is given later wins
os.execv(sys.executable, [sys.executable, "-m", "joblot", "sirene", *words])
