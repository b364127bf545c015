"""Actions: the named Python callables that jobs run. `registry` finds them, `context` is what they get, the rest are built in."""
