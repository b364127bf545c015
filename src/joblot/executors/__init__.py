"""Ways of running attempts on one machine: `inline` in this process, `local` in killable processes.

Nothing is imported here: the warden loads little but the standard library.
"""
