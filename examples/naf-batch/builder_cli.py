"""`python builder_cli.py batch ...`: the same as `joblot sirene batch ...`, under the name that it had before."""

import os
import sys

os.execv(sys.executable, [sys.executable, "-m", "joblot", "sirene", *sys.argv[1:]])
