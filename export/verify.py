"""Does a written file compute what PyTorch computes? Every export asks before it is kept.

The reference is `meshnet.model.network.MeshNet` with the weights as given (BatchNorm not folded), or, for
float16, with the rounded weights, so that a difference is the format's doing and not the rounding's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meshnet.model.spec import Architecture, ModelSpec, SpecError

Float = NDArray[np.float32]

#: Image [1, in, D, H, W] to labels [1, D, H, W] and logits [1, classes, D, H, W].
Run = Callable[[Float], tuple[NDArray[np.uint8], Float]]

#: Largest allowed difference of a logit, as a share of the largest logit of the volume. Sums of up to
#: 27 x 512 float32 products in another order differ by some 1e-6 of their size; a missing tap, bias,
#: norm or the wrong gelu by 1e-3 and more.
TOLERANCE = 2e-5


class VerificationError(SpecError):
    """A written file does not compute what PyTorch computes."""


@dataclass(frozen=True)
class Comparison:
    """One input volume through a written file and through PyTorch."""

    case: str
    worst_absolute: float  # of the logits
    worst_relative: float  # to the largest logit of the volume
    label_agreement: float  # share of voxels, 0 to 1
    decided_agreement: float  # the same over voxels whose two best logits differ by more than the tolerance
    voxels: int

    def __str__(self) -> str:
        return (
            f"{self.case} input: worst difference {self.worst_absolute:.2g} ({self.worst_relative:.1g} of the largest "
            f"logit), labels agree on {100 * self.label_agreement:.4g} % of {self.voxels:,} voxels"
        )


def verify(what: str, spec: ModelSpec, weights: Mapping[str, Float], run: Run) -> list[Comparison]:
    """Compare `run` with PyTorch on the volumes of `verification_inputs`; returns one result for each.

    Raises VerificationError, naming `what` and the numbers, where a logit differs by more than
    TOLERANCE, a label differs that the tolerance does not explain, or a value is not finite.
    """
    results = []
    for case, image in verification_inputs(spec.architecture).items():
        labels, logits = run(image)
        result = compare(case, reference_logits(spec, weights, image), logits, labels)
        # Written so that a NaN fails too.
        if not (result.worst_relative <= TOLERANCE and result.decided_agreement == 1):
            raise VerificationError(
                f"{what}: differs from PyTorch: {result}; allowed is {TOLERANCE:g} of the largest logit; "
                f"nothing was kept"
            )
        results.append(result)
    return results


def verification_inputs(architecture: Architecture) -> dict[str, Float]:
    """Two volumes just larger than the widest dilation: intensities in [0, 1], and very large ones.

    Large activations are where an unclamped tanh or float16 arithmetic fails; a lone spike keeps them
    large behind a norm too.
    """
    widest = max(8, *architecture.dilations)
    shape = (1, architecture.in_channels, widest + 3, widest + 6, widest + 9)
    rng = np.random.default_rng(20)
    large = 1e3 * rng.standard_normal(shape)
    large[..., widest // 2, widest // 2, widest // 2] = 1e6
    return {"random": rng.random(shape).astype(np.float32), "large": large.astype(np.float32)}


def reference_logits(spec: ModelSpec, weights: Mapping[str, Float], image: Float) -> Float:
    """Logits [1, classes, D, H, W] of PyTorch on the CPU, float32."""
    try:
        import torch
    except ImportError as error:
        raise SpecError(f"{spec.id}: verifying an export needs torch: pip install 'meshnet[export]'") from error
    from meshnet.model.network import model_from

    with torch.inference_mode():
        logits: Float = model_from(spec.architecture, weights)(torch.from_numpy(image)).numpy()
    return logits


def compare(case: str, reference: Float, logits: Float, labels: NDArray[np.uint8]) -> Comparison:
    """Largest differences of logits, and agreement of labels with the reference's argmax."""
    if logits.shape != reference.shape or labels.shape != reference.shape[:1] + reference.shape[2:]:
        raise VerificationError(
            f"{case} input: logits {logits.shape} and labels {labels.shape}, expected logits {reference.shape}"
        )
    worst = float(np.abs(logits.astype(np.float64) - reference).max())
    largest = float(np.abs(reference).max())
    best_two = np.sort(reference, axis=1)[:, -2:]
    decided = best_two[:, 1] - best_two[:, 0] > 2 * TOLERANCE * largest
    same = labels == reference.argmax(axis=1)
    return Comparison(
        case=case,
        worst_absolute=worst,
        worst_relative=worst / largest if largest > 0 else worst,
        label_agreement=float(same.mean()),
        decided_agreement=float(same[decided].mean()) if decided.any() else 1.0,
        voxels=same.size,
    )
