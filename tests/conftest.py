"""What holds for all tests: they are the same whoever starts them, and however busy the machine is.

How long Hypothesis looks: `dev` by default, `nightly` with HYPOTHESIS_PROFILE=nightly.
"""

import os
import signal

from hypothesis import HealthCheck, settings

# A shell ignores Ctrl-C in what it starts in the background, and `nohup` ignores a hangup; whatever is started from here would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# No deadline: how long a case takes says something of the machine only.
settings.register_profile("dev", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("nightly", deadline=None, max_examples=5000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))
