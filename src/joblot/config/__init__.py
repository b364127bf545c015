"""From the text of a batch file to a checked `Config`.

`source` reads text into plain data, `check` and `jobs` hold it against the vocabulary, `load` is the door. Nothing here runs a job
or looks at a job's files.
"""
