"""The baselines of the paper's Table 1, by name, with the parameter counts printed there."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Baseline:
    """title: as in the paper's table. multiple_of: each side of the volume must be divisible by it."""

    title: str
    parameters: int
    multiple_of: int


BASELINES = {
    "segresnet": Baseline("SegResNet", 1_176_186, 8),
    "vnet": Baseline("V-Net", 45_597_898, 16),
    "unetr": Baseline("UNETR", 95_763_682, 16),
    "swinunetr": Baseline("Swin-UNETR", 18_346_844, 32),
    "resunet": Baseline("Residual U-Net", 1_979_610, 16),
    "mednext-s": Baseline("MedNeXt-S", 5_201_315, 16),
    "mednext-b": Baseline("MedNeXt-B", 10_526_307, 16),
    "mednext-m": Baseline("MedNeXt-M", 17_548_963, 16),
    "umamba-bot": Baseline("U-MAMBA-BOT", 7_351_400, 16),
    "umamba-enc": Baseline("U-MAMBA-ENC", 7_514_280, 16),
    "ukan": Baseline("U-KAN", 44_070_082, 32),
}

#: MeshNets of the same table: title and count with 1 input channel and 2 classes.
MESHNETS = {5: ("MeshNet-5", 5_682), 16: ("MeshNet-16", 56_194), 26: ("MeshNet-26", 147_474)}


def build_baseline(name: str, size: tuple[int, int, int], classes: int = 2) -> nn.Module:
    """A randomly initialised baseline for float [N, 1, *size] volumes, which computes logits of that size.

    Raises ValueError for an unknown name or a size the network cannot take.
    """
    if name not in BASELINES:
        raise ValueError(f"unknown baseline {name!r}; expected one of {', '.join(BASELINES)}")
    multiple = BASELINES[name].multiple_of
    if any(side % multiple for side in size):
        raise ValueError(f"{name}: volume {size}, expected every side to be a multiple of {multiple}")
    if name.startswith("mednext"):
        from meshnet.train.baselines.mednext import MedNeXt

        return MedNeXt(name[-1].upper(), classes=classes)
    if name.startswith("umamba"):
        from meshnet.train.baselines.umamba import UMamba

        return UMamba("enc" if name.endswith("enc") else "bot", classes=classes)
    if name == "ukan":
        from meshnet.train.baselines.ukan import UKAN

        return UKAN(classes=classes)
    return _monai(name, size, classes)


def parameter_count(network: nn.Module) -> int:
    """Trainable parameters (`requires_grad`)."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def _monai(name: str, size: tuple[int, int, int], classes: int) -> nn.Module:
    # imported here: MONAI takes seconds to load
    match name:
        case "segresnet":
            from monai.networks.nets.segresnet import SegResNet

            return SegResNet(spatial_dims=3, in_channels=1, out_channels=classes)
        case "vnet":
            from monai.networks.nets.vnet import VNet

            return VNet(spatial_dims=3, in_channels=1, out_channels=classes)
        case "swinunetr":
            from monai.networks.nets.swin_unetr import SwinUNETR

            return SwinUNETR(in_channels=1, out_channels=classes, feature_size=24, use_v2=True)
        case "resunet":
            from monai.networks.nets.unet import UNet

            return UNet(
                spatial_dims=3,
                in_channels=1,
                out_channels=classes,
                channels=(16, 32, 64, 128, 256),
                strides=(2, 2, 2, 2),
                num_res_units=0,
            )
        case "unetr":
            from monai.networks.nets.unetr import UNETR

            network = UNETR(in_channels=1, out_channels=classes, img_size=size)
            for key, parameter in network.named_parameters():
                # newer MONAI adds these for cross-attention; UNETR has none, so they never get a gradient
                if "norm_cross_attn" in key:
                    parameter.requires_grad_(False)
            return network
    raise ValueError(f"unknown baseline {name!r}")
