"""`python create_job.py OUT --naf CODE [--batch]`: the job files alone, the same as `joblot sirene generate ...`."""

import os
import sys

os.execv(sys.executable, [sys.executable, "-m", "joblot", "sirene", "generate", *sys.argv[1:]])
