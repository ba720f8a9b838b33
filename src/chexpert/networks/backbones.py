"""timm's backbones under our names: one grey channel, 14 outputs, random weights."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import timm
from timm.layers import PatchEmbed
from timm.models.resnet import BasicBlock, ResNet
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from chexpert.domain.observations import OBSERVATIONS
from chexpert.networks.errors import UnknownNetwork, UnusableSize
from chexpert.networks.settings import NetworkSettings

__all__ = ["BACKBONES", "backbone"]

_LABELS: Final = len(OBSERVATIONS)


class ConvolutionStem(PatchEmbed):
    """Four strided 3x3 convolutions in place of one 16x16 patch projection.

    Early convolutions let a small transformer learn from few images (Xiao et al. 2021, arXiv 2106.14881).
    """

    def __init__(self, *, img_size: int, patch_size: int, in_chans: int, embed_dim: int, **options: Any) -> None:
        super().__init__(
            img_size=img_size,
            patch_size=patch_size,
            in_chans=in_chans,
            embed_dim=embed_dim,
            **options,
        )
        eighth, quarter, half = embed_dim // 8, embed_dim // 4, embed_dim // 2
        self.proj = nn.Sequential(
            _halving(in_chans, eighth),
            _halving(eighth, quarter),
            _halving(quarter, half),
            nn.Conv2d(half, embed_dim, kernel_size=3, stride=2, padding=1),
        )


def backbone(settings: NetworkSettings) -> nn.Module:
    """The backbone that `settings` name; weights are random, `settings.weights` is not read.

    Raises:
        UnknownNetwork: No backbone has this name.
        UnusableSize: The image does not divide into its patches.
    """
    if settings.name not in BACKBONES:
        raise UnknownNetwork(settings.name, tuple(BACKBONES))
    multiple = _MULTIPLES.get(settings.name, 1)
    if settings.image_size < 1 or settings.image_size % multiple:
        raise UnusableSize(settings.name, settings.image_size, multiple)
    return BACKBONES[settings.name](settings)


def _small_cnn(settings: NetworkSettings) -> nn.Module:
    module: nn.Module = ResNet(
        BasicBlock,
        (1, 1, 1, 1),
        num_classes=_LABELS,
        in_chans=1,
        stem_type="deep",
        stem_width=8,
        channels=(24, 48, 96, 160),
        avg_down=True,
        drop_rate=settings.dropout,
        drop_path_rate=settings.drop_path,
    )
    return module


def _small_vit(settings: NetworkSettings) -> nn.Module:
    module: nn.Module = VisionTransformer(
        img_size=settings.image_size,
        patch_size=16,
        in_chans=1,
        num_classes=_LABELS,
        embed_dim=128,
        depth=3,
        num_heads=4,
        mlp_ratio=2.0,
        class_token=False,
        global_pool="avg",
        embed_layer=ConvolutionStem,
        drop_rate=settings.dropout,
        drop_path_rate=settings.drop_path,
    )
    return module


def _densenet121(settings: NetworkSettings) -> nn.Module:
    module: nn.Module = timm.create_model(
        "densenet121",
        pretrained=False,
        in_chans=1,
        num_classes=_LABELS,
        drop_rate=settings.dropout,
    )
    return module


def _vit_s16(settings: NetworkSettings) -> nn.Module:
    module: nn.Module = timm.create_model(
        "vit_small_patch16_224",
        pretrained=False,
        in_chans=1,
        num_classes=_LABELS,
        img_size=settings.image_size,
        drop_rate=settings.dropout,
        drop_path_rate=settings.drop_path,
    )
    return module


def _halving(channels_in: int, channels_out: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel_size=3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.GELU(),
    )


BACKBONES: Final[Mapping[str, Callable[[NetworkSettings], nn.Module]]] = MappingProxyType(
    {"small-cnn": _small_cnn, "small-vit": _small_vit, "densenet121": _densenet121, "vit-s16": _vit_s16},
)
_MULTIPLES: Final = MappingProxyType({"small-vit": 16, "vit-s16": 16})
