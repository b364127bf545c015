"""joblot_sirene: datasets by activity code from the stock files of the French business register.

A domain package on joblot's public names. Nothing here knows how jobs are run.
"""
