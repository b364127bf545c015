"""`python builder_cli.py batch ...`: the command of document 003, which is `joblot sirene batch ...`."""

import os
import sys

os.execv(sys.executable, [sys.executable, "-m", "joblot", "sirene", *sys.argv[1:]])
