"""A bar for each gauge, as long as it has floods: `plot.py FLOODS`."""

import sys
from collections import Counter
from pathlib import Path

floods = Counter(line.partition(",")[0] for line in Path(sys.argv[1]).read_text().split())
for gauge, days in sorted(floods.items()):
    print(f"{gauge:8} {'#' * days}")
