"""Notes of a run: a scan of another contrast than the model's, and results that look implausible."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from meshnet.infer.contrast_names import guess_modality
from meshnet.model.label_roles import lesion_indices
from meshnet.model.spec import Label, ModelSpec
from meshnet.scan.appearance import fluid_brightness
from meshnet.scan.conform import Conformed
from meshnet.scan.nifti import Scan
from meshnet.scan.notes import Note, make_note

#: Contrasts in which fluid is dark. Of those that are missing here, T2w alone has fluid that is bright for certain.
_DARK_FLUID = {"t1w", "flair"}

#: Brightness of fluid (`fluid_brightness`) between those of T2w scans and of scans with dark fluid.
BRIGHT_FLUID = 1.75

#: A lesion larger than this share of the head is implausible.
LARGEST_LESION = 1 / 3

#: Pieces apart from the brain are noted from this share of the brain. A few mL are dropped from most scans.
PIECES_NOTED = 1 / 100


def contrast_notes(spec: ModelSpec, scan: Scan) -> list[Note]:
    """A note if the scan's name or header says a contrast that the model was not made for."""
    description = scan.header["descrip"].item().split(b"\0")[0].decode("latin-1").strip()
    guess = guess_modality(Path(scan.where).name, description)
    if guess is None or not spec.modality or guess.lower() in {modality.lower() for modality in spec.modality}:
        return []
    return [make_note("contrast-unlike", guess, spec.modality)]


def fluid_notes(spec: ModelSpec, conformed: Conformed) -> list[Note]:
    """A note if fluid is dark in the scan of a model for T2w alone, or bright for a model for T1w or FLAIR alone."""
    wanted = {modality.lower() for modality in spec.modality}
    is_for_t2w = wanted == {"t2w"}
    if not is_for_t2w and not (wanted and wanted <= _DARK_FLUID):
        return []
    brightness = fluid_brightness(conformed.data, spec.input.voxel_size_mm)
    if math.isnan(brightness) or (brightness >= BRIGHT_FLUID) == is_for_t2w:
        return []
    return [make_note("contrast-looks-unlike", brightness, spec.modality)]


def result_notes(
    spec: ModelSpec, volumes: Sequence[tuple[Label, int, float]], head_ml: float, outside_ml: float = 0.0
) -> list[Note]:
    """Notes if a lesion model found no lesion, if more was labelled than the head can hold, or if much was dropped.

    volumes: `(label, voxels, volume_ml)` of each label; head_ml: volume of tissue in the scan; outside_ml: lesions or
    pieces that the brain rule dropped.
    """
    lesions = lesion_indices(spec)
    lesion_ml = sum(ml for label, _, ml in volumes if label.index in lesions)
    labelled_ml = sum(ml for label, _, ml in volumes if label.index > 0)
    notes = []
    if lesions and not any(voxels for label, voxels, _ in volumes if label.index in lesions):
        notes.append(make_note("nothing-found"))
    elif lesions and 0 < head_ml * LARGEST_LESION < lesion_ml:
        notes.append(make_note("third-of-head", lesion_ml, lesion_ml / head_ml, True))
    elif 0 < head_ml < labelled_ml:
        notes.append(make_note("third-of-head", labelled_ml, labelled_ml / head_ml, False))
    if spec.pieces == "largest":
        if outside_ml > PIECES_NOTED * labelled_ml:
            notes.append(make_note("pieces-dropped", outside_ml))
    elif outside_ml > 0:
        notes.append(make_note("lesion-outside-brain", outside_ml))
    return notes
