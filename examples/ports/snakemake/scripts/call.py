"""Which levels stand above the limit of their gauge: `call.py LIMITS GAUGE...`, lines of `gauge,day,level`."""

import sys
from pathlib import Path

limits = dict(line.split(",") for line in Path(sys.argv[1]).read_text().split())
for name in sys.argv[2:]:
    gauge = Path(name)
    for line in gauge.read_text().split():
        day, level = line.split(",")
        if int(level) > int(limits[gauge.stem]):
            print(f"{gauge.stem},{day},{level}")
