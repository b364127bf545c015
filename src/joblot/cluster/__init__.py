"""Runs on Dask: the executor, the agents on the workers, and the messages between them."""
