"""One scan to labels: the steps that every command and the Python interface share.

Steps (docs/conform.md): conform, reorder the axes, normalise, run the network with argmax, apply the brain rule and the
removal of small components, resample the labels to the scan's own grid, measure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meshnet.infer.backends import Network
from meshnet.infer.brain_rule import without_parts_outside_brain
from meshnet.infer.confidence import NO_CONFIDENCE, Confidence, Probability, run_network
from meshnet.infer.run_notes import contrast_notes, fluid_notes, result_notes
from meshnet.model.spec import Label, ModelSpec
from meshnet.scan.conform import Conformed, conform
from meshnet.scan.nifti import Scan
from meshnet.scan.normalize import normalize
from meshnet.scan.notes import Note
from meshnet.scan.orientation import CONFORMED, reorient
from meshnet.scan.scan_grid import label_counts, resample_labels, volume_ml
from meshnet.scan.scan_stream import ScanError
from meshnet.scan.small_components import remove_small_components


@dataclass(frozen=True)
class NetworkInput:
    """A scan that is ready for the network."""

    scan: Scan
    conformed: Conformed
    image: NDArray[np.float32]  #: [D, H, W], normalised, in the model's orientation


@dataclass(frozen=True)
class Prediction:
    """Labels of one scan on both grids."""

    labels_native: NDArray[np.uint8]  #: [i, j, k] on the scan's own grid; volumes are measured here
    labels_conformed: NDArray[np.uint8]  #: [i, j, k] on the conformed grid, LIA
    conformed: Conformed  #: the image that the network saw, before reordering and normalisation
    probability: Probability | None = None  #: if it was asked for
    outside_brain_ml: float = 0.0  #: that the brain rule dropped, on the conformed grid


@dataclass(frozen=True)
class Result:
    """The result of a run on one scan."""

    prediction: Prediction
    volumes: list[tuple[Label, int, float]]  #: `(label, voxels, volume_ml)` on the scan's own grid
    notes: list[Note]  #: of the scan, of conforming it and of the result


class StrictError(ScanError):
    """A scan has notes, which --strict refuses."""

    def __init__(self, scan: Scan, notes: Sequence[Note]) -> None:
        self.notes = notes
        texts = "; ".join(f"{note.text} [{note.code}]" for note in notes)
        super().__init__(f"{scan.where}: {texts}; --strict takes no scan with notes")


def segment_scan(
    scan: Scan,
    spec: ModelSpec,
    network: Network,
    *,
    remove_below_ml: float | None = None,
    keep_outside_brain: bool = False,
    confidence: Confidence = NO_CONFIDENCE,
    strict: bool = False,
) -> Result:
    """Segment and measure one scan, as every command and the Python interface do.

    Raises ScanError as `predict` does, StrictError for notes with `strict`.
    """
    notes = notes_before(spec, scan, strict=strict)
    prediction = predict(
        scan,
        spec,
        network,
        remove_below_ml=remove_below_ml,
        keep_outside_brain=keep_outside_brain,
        confidence=confidence,
        strict=strict,
    )
    return measured_result(spec, scan, prediction, notes, strict=strict)


def measured_result(
    spec: ModelSpec, scan: Scan, prediction: Prediction, notes: Sequence[Note], *, strict: bool
) -> Result:
    """The prediction with its volumes and notes. notes: those of `notes_before`. Raises StrictError as above."""
    volumes = measure(spec, scan, prediction.labels_native)
    grid = prediction.conformed
    every = [
        *notes,
        *_notes_of_image(spec, scan, grid),
        *result_notes(spec, volumes, grid.head_ml, prediction.outside_brain_ml),
    ]
    if strict and every:
        raise StrictError(scan, every)
    return Result(prediction, volumes, every)


def notes_before(spec: ModelSpec, scan: Scan, *, strict: bool) -> list[Note]:
    """Notes on the scan itself. Raises StrictError if there are any and `strict` is set."""
    notes = [*scan.notes, *contrast_notes(spec, scan)]
    if strict and notes:
        raise StrictError(scan, notes)
    return notes


def notes_after(spec: ModelSpec, scan: Scan, volumes: Sequence[tuple[Label, int, float]]) -> list[Note]:
    """Notes on conforming the scan and on a result that an earlier run saved, without those on dropped lesions."""
    conformed = conform(scan, size=spec.input.size[0], voxel_size_mm=spec.input.voxel_size_mm)
    return [*_notes_of_image(spec, scan, conformed), *result_notes(spec, volumes, conformed.head_ml)]


def _notes_of_image(spec: ModelSpec, scan: Scan, conformed: Conformed) -> list[Note]:
    """Notes on conforming the scan, and on its contrast unless the scan's name says another one already."""
    of_contrast = [] if contrast_notes(spec, scan) else fluid_notes(spec, conformed)
    return [*of_contrast, *conformed.notes]


def predict(
    scan: Scan,
    spec: ModelSpec,
    network: Network,
    *,
    remove_below_ml: float | None = None,
    keep_outside_brain: bool = False,
    confidence: Confidence = NO_CONFIDENCE,
    strict: bool = False,
) -> Prediction:
    """Segment one scan.

    remove_below_ml: components of a label that are smaller than this volume on the conformed grid become background.
    keep_outside_brain: leaves the brain rule out (`meshnet.infer.brain_rule`).
    confidence: threshold, mirror image and probability map; they must have passed `check_confidence`.
    Raises ScanError if the scan can't be conformed or normalised; with `strict`, also for a note on conforming it.
    """
    ready = make_input(scan, spec, strict=strict)
    output = run_network(network, spec, ready.image, lambda: None, confidence)
    return to_prediction(
        ready, *output, spec=spec, remove_below_ml=remove_below_ml, keep_outside_brain=keep_outside_brain
    )


def make_input(scan: Scan, spec: ModelSpec, *, strict: bool = False) -> NetworkInput:
    """The steps before the network. Raises as `predict` does."""
    conformed = conform(scan, size=spec.input.size[0], voxel_size_mm=spec.input.voxel_size_mm)
    if strict and (notes := _notes_of_image(spec, scan, conformed)):
        raise StrictError(scan, notes)
    try:
        image = normalize(reorient(conformed.data, end=spec.input.orientation), spec.input.normalization)
    except ValueError as error:
        raise ScanError(f"{scan.where}: {error}") from error
    return NetworkInput(scan, conformed, image)


def to_prediction(
    ready: NetworkInput,
    labels: NDArray[np.uint8],
    probability: NDArray[np.uint8] | None,
    *,
    spec: ModelSpec,
    remove_below_ml: float | None,
    keep_outside_brain: bool,
) -> Prediction:
    """The steps after the network. labels, probability: of `run_network`, in the model's orientation."""
    scan, conformed = ready.scan, ready.conformed
    labels = reorient(labels, start=spec.input.orientation, end=CONFORMED)
    outside_voxels = 0
    if not keep_outside_brain:
        labels, outside_voxels = without_parts_outside_brain(labels, spec)
    if remove_below_ml is not None:
        smallest_voxels = remove_below_ml / volume_ml(1, conformed.affine_vox2ras)
        labels, _ = remove_small_components(labels, smallest_voxels)
    grids = (conformed.affine_vox2ras, scan.affine_vox2ras, scan.data.shape)
    labels_native = resample_labels(labels, *grids)
    maps = None
    if probability is not None:
        probability = reorient(probability, start=spec.input.orientation, end=CONFORMED)
        maps = Probability(resample_labels(probability, *grids), probability)
    outside_ml = volume_ml(outside_voxels, conformed.affine_vox2ras)
    return Prediction(labels_native, labels, conformed, maps, outside_ml)


def measure(spec: ModelSpec, scan: Scan, labels_native: NDArray[np.uint8]) -> list[tuple[Label, int, float]]:
    """`(label, voxels, volume_ml)` of each label, counted on the scan's own grid."""
    counts = label_counts(labels_native, spec.architecture.classes)
    return [(label, n, volume_ml(n, scan.affine_vox2ras)) for label, n in zip(spec.labels, counts, strict=True)]
