"""Verify an export: the written file must compute what PyTorch computes, or nothing is kept.

The reference is `meshnet.model.network.MeshNet` with BatchNorm not folded. For float16 its weights are rounded first,
so that a difference comes from the format and not from the rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meshnet.model.spec import Architecture, ModelSpec, SpecError

Float = NDArray[np.float32]

#: Takes an image [1, in, D, H, W]; returns labels [1, D, H, W] and logits [1, classes, D, H, W].
Run = Callable[[Float], tuple[NDArray[np.uint8], Float]]

#: Largest allowed difference of a logit, as a share of the volume's largest logit. The order of summation of up to
#: 27 x 512 float32 products changes a logit by about 1e-6; a missing tap, bias or norm, or the wrong gelu, by 1e-3 or
#: more.
TOLERANCE = 2e-5


class VerificationError(SpecError):
    """A written file doesn't compute what PyTorch computes. The message has the numbers."""


@dataclass(frozen=True)
class Difference:
    """The difference between a written file and PyTorch on one input volume."""

    volume: str  #: name of the input volume
    worst_absolute: float  #: of the logits
    worst_relative: float  #: the same as a share of the volume's largest logit
    label_agreement: float  #: share of voxels with the same label, 0 to 1
    decided_agreement: float  #: the same over voxels whose two largest logits differ by more than the tolerance
    voxels: int

    def __str__(self) -> str:
        return (
            f"{self.volume} input: worst difference {self.worst_absolute:.2g} ({self.worst_relative:.1g} of the "
            f"largest logit), labels agree on {100 * self.label_agreement:.4g} % of {self.voxels:,} voxels"
        )


def verify(what: str, spec: ModelSpec, weights: Mapping[str, Float], run: Run) -> list[Difference]:
    """Run a written file and PyTorch on the volumes of `verification_inputs`; returns one difference for each.

    Raises VerificationError, which names `what` and the numbers, if a logit differs by more than TOLERANCE, if a label
    differs that the tolerance doesn't explain, or if a value is not finite.
    """
    results = []
    for volume, image in verification_inputs(spec.architecture).items():
        labels, logits = run(image)
        result = difference(volume, reference_logits(spec, weights, image), logits, labels)
        # This form of the condition fails for NaN too.
        if not (result.worst_relative <= TOLERANCE and result.decided_agreement == 1):
            raise VerificationError(
                f"{what}: differs from PyTorch: {result}; allowed is {TOLERANCE:g} of the largest logit; "
                f"nothing was kept"
            )
        results.append(result)
    return results


def verification_inputs(architecture: Architecture) -> dict[str, Float]:
    """Two volumes slightly larger than the widest dilation: intensities in [0, 1], and very large ones.

    Large activations show an unclamped tanh or float16 arithmetic; one spike keeps them large behind a norm too.
    """
    widest = max(8, *architecture.dilations)
    shape = (1, architecture.in_channels, widest + 3, widest + 6, widest + 9)
    rng = np.random.default_rng(20)
    large = 1e3 * rng.standard_normal(shape)
    large[..., widest // 2, widest // 2, widest // 2] = 1e6
    return {"random": rng.random(shape).astype(np.float32), "large": large.astype(np.float32)}


def reference_logits(spec: ModelSpec, weights: Mapping[str, Float], image: Float) -> Float:
    """Logits float32 [1, classes, D, H, W] of PyTorch on the CPU. Raises SpecError if torch is not installed."""
    try:
        import torch
    except ImportError as error:
        raise SpecError(f"{spec.id}: verifying an export needs torch: pip install 'meshnet[export]'") from error
    from meshnet.model.network import model_from

    with torch.inference_mode():
        logits: Float = model_from(spec.architecture, weights)(torch.from_numpy(image)).numpy()
    return logits


def difference(volume: str, reference: Float, logits: Float, labels: NDArray[np.uint8]) -> Difference:
    """The largest differences of the logits, and the labels' agreement with the argmax of the reference."""
    if logits.shape != reference.shape or labels.shape != reference.shape[:1] + reference.shape[2:]:
        raise VerificationError(
            f"{volume} input: logits {logits.shape} and labels {labels.shape}, expected logits {reference.shape}"
        )
    worst = float(np.abs(logits.astype(np.float64) - reference).max())
    largest = float(np.abs(reference).max())
    best_two = np.sort(reference, axis=1)[:, -2:]
    decided = best_two[:, 1] - best_two[:, 0] > 2 * TOLERANCE * largest
    same = labels == reference.argmax(axis=1)
    return Difference(
        volume=volume,
        worst_absolute=worst,
        worst_relative=worst / largest if largest > 0 else worst,
        label_agreement=float(same.mean()),
        decided_agreement=float(same[decided].mean()) if decided.any() else 1.0,
        voxels=same.size,
    )
