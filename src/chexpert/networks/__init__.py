"""Networks by name: grey images in [0, 1] in, 14 logits out; and their files.

Backbones are timm's. Nothing is downloaded; weights come from local files as safetensors or as a state dict of plain
tensors. No training, no data, no calibration here.
"""

__all__ = ["backbones", "build", "errors", "pretrained", "settings", "store"]
