"""What can be wrong with what is exported or compared."""

from chexpert.domain.errors import InputError

__all__ = ["NoCalibrationImages", "NotExportable", "NotForTriton", "WrongCalibration"]


class NoCalibrationImages(InputError):
    """A reduced precision was asked for without images to calibrate it on."""

    def __init__(self) -> None:
        super().__init__("int8, fp16 and bf16 need at least one image of the tune split to be calibrated on")


class NotExportable(InputError):
    """The exporter made no single ONNX file of the network."""

    def __init__(self, network: str, reason: str) -> None:
        super().__init__(f"{network} could not be exported to one ONNX file: {reason}")
        self.network = network
        self.reason = reason


class NotForTriton(InputError):
    """A bundle's variant runs by a runtime that the written repository does not use."""

    def __init__(self, digest: str, runtime: str) -> None:
        super().__init__(f"bundle {digest} is for {runtime}, a Triton repository is written of ONNX Runtime's only")
        self.digest = digest
        self.runtime = runtime


class WrongCalibration(InputError):
    """Slopes and biases are not 14 finite numbers each."""

    def __init__(self, slope: tuple[int, ...], bias: tuple[int, ...]) -> None:
        super().__init__(f"calibration needs 14 finite slopes and 14 finite biases, not shapes {slope} and {bias}")
        self.slope = slope
        self.bias = bias
