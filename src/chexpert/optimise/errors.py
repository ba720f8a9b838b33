"""What can be wrong with what is exported or compared."""

from chexpert.domain.errors import InputError

__all__ = ["NotExportable", "WrongCalibration"]


class NotExportable(InputError):
    """The exporter made no single ONNX file of the network."""

    def __init__(self, network: str, reason: str) -> None:
        super().__init__(f"{network} could not be exported to one ONNX file: {reason}")
        self.network = network
        self.reason = reason


class WrongCalibration(InputError):
    """Slopes and biases are not 14 finite numbers each."""

    def __init__(self, slope: tuple[int, ...], bias: tuple[int, ...]) -> None:
        super().__init__(f"calibration needs 14 finite slopes and 14 finite biases, not shapes {slope} and {bias}")
        self.slope = slope
        self.bias = bias
