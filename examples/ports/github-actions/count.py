"""Count the lines or the words of a file: `count.py lines|words FILE`."""

import sys
import warnings
from pathlib import Path

what, name = sys.argv[1:]
text = Path(name).read_text()
if what == "words":
    warnings.warn("`words` will be called `tokens`", DeprecationWarning, stacklevel=1)
print(len(text.splitlines() if what == "lines" else text.split()))
