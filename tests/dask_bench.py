"""A bench of the contract tests whose attempts run on a cluster that is there already."""

from joblot.cluster.connect import open_cluster
from joblot.cluster.dask import DaskExecutor
from joblot.cluster.settings import Settings


class OnCluster:
    """Before a `Bench`: the executor is the one of clusters."""

    settings = Settings()

    def __init__(self, address, *arguments, **options):
        self.address = address
        super().__init__(*arguments, **options)

    def make(self, kind, context, slots):
        return DaskExecutor(context, open_cluster(self.address, self.settings, slots), slots)

    def close(self):
        if self.executor is not None:
            super().close()
            self.executor = None
