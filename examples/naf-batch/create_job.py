"""`python create_job.py OUT --naf CODE [--batch]`: the job files alone, the same as `joblot sirene generate ...`."""

import os
import sys
from pathlib import Path

template = str(Path(__file__).with_name("job_template.yaml"))
words = ["sirene", "generate", "--template", template, *sys.argv[1:]]
os.execv(sys.executable, [sys.executable, "-m", "joblot", *words])
