"""What holds for all tests: they are the same whoever starts them."""

import signal

# A shell ignores Ctrl-C in what it starts in the background, and `nohup` ignores a hangup; whatever is started from here would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
