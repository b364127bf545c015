"""The stock files: read, scanned once for many requests within a limit of memory, sorted, written."""
