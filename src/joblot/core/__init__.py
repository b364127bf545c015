"""Everything that decides, pure: no clock, no I/O, no randomness, also not indirectly."""
