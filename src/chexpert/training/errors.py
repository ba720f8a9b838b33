"""What can be wrong with what training is given."""

from chexpert.domain.errors import InputError

__all__ = ["NothingToTrainOn", "TooManyProcesses", "UnequalSizes"]


class NothingToTrainOn(InputError):
    """The manifest has no training row, or none with a label that counts."""

    def __init__(self, manifest_digest: str, rows: int) -> None:
        what = "none has a label that counts" if rows else "the split train is empty"
        super().__init__(f"manifest {manifest_digest[:12]} gives nothing to train on: {rows} training rows, {what}")
        self.manifest_digest = manifest_digest
        self.rows = rows


class TooManyProcesses(InputError):
    """A step has fewer images than there are processes: one would have none."""

    def __init__(self, images: int, processes: int) -> None:
        super().__init__(
            f"{images} images of a step are too few for {processes} processes: raise batch, or start fewer"
        )
        self.images = images
        self.processes = processes


class UnequalSizes(InputError):
    """Network and shards are of different image sizes."""

    def __init__(self, network: int, shards: int) -> None:
        super().__init__(f"the network takes {network} px, the shards hold {shards} px: build the shards at {network}")
        self.network = network
        self.shards = shards
