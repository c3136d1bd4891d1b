"""A model with lesion and tissue labels, and label volumes as it could give them."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from meshnet.model.checkpoint import save_checkpoint
from meshnet.model.spec import Architecture, InputSpec, ModelSpec, dump_spec, make_labels
from meshnet.scan.orientation import reorient
from meshnet.synth.label_table import TARGET_LABELS
from meshnet.train.networks import LABEL_ROLES, SPEC_TASKS
from tests.helpers.export_models import small_model

CSF, GREY, WHITE, LESION = 1, 2, 3, 4


def joint_spec() -> ModelSpec:
    """Five classes: background, csf, grey, white, lesion."""
    labels = make_labels(TARGET_LABELS["tissue-lesion"], LABEL_ROLES["tissue-lesion"])
    spec, _ = small_model(classes=len(labels))
    return spec.model_copy(update={"labels": labels, "task": SPEC_TASKS["tissue-lesion"]})


def ball(shape: tuple[int, int, int], centre: tuple[float, float, float], radius: float) -> NDArray[np.bool_]:
    """Mask of the voxels at most `radius` voxels from `centre`."""
    i, j, k = np.indices(shape)
    return np.asarray((i - centre[0]) ** 2 + (j - centre[1]) ** 2 + (k - centre[2]) ** 2 <= radius**2)


def brain_with_lesions(
    shape: tuple[int, int, int], *lesions: tuple[tuple[float, float, float], float]
) -> NDArray[np.uint8]:
    """A brain (two thirds of the volume wide) of white matter, grey matter and a ventricle, with balls of lesion."""
    middle = (shape[0] / 2, shape[1] / 2, shape[2] / 2)
    labels = np.zeros(shape, np.uint8)
    for size, label in ((1 / 3, GREY), (0.27, WHITE), (0.08, CSF)):
        labels[ball(shape, middle, size * min(shape))] = label
    for centre, radius in lesions:
        labels[ball(shape, centre, radius)] = LESION
    return labels


#: The grid of `save_joint_model`, on which `write_joint_scan` lies too, so that nothing is interpolated.
EDGE, VOXEL_MM = 48, 5.0
#: Brightness (0 to 255) of background, csf, grey, white, lesion, as in a T2w scan.
_BRIGHTNESS = np.array([0, 160, 60, 110, 230])
#: A lesion in the brain, and one in an eye: centre (voxel) and radius (voxels) on the conformed grid.
STROKE, EYE = ((24.0, 20.0, 30.0), 4.0), ((33.0, 28.0, 43.0), 2.5)


def save_joint_model(folder: Path, model_id: str = "joint") -> ModelSpec:
    """A network that tells the five labels by their brightness. Each class has a line; the highest one wins."""
    kernel = np.zeros((1, 1, 3, 3, 3), np.float32)
    kernel[0, 0, 1, 1, 1] = 1
    order = np.argsort(_BRIGHTNESS)
    borders = (_BRIGHTNESS[order][1:] + _BRIGHTNESS[order][:-1]) / 2 / _BRIGHTNESS.max()
    slopes, offsets = np.zeros(5, np.float32), np.zeros(5, np.float32)
    slopes[order] = np.arange(5)
    offsets[order[1:]] = -np.cumsum(borders)
    weights = {
        "layers.0.conv.weight": kernel,
        "layers.0.conv.bias": np.zeros(1, np.float32),
        "classifier.weight": (100 * slopes).reshape(5, 1, 1, 1, 1),
        "classifier.bias": 100 * offsets,
    }
    architecture = Architecture(channels=1, classes=5, dilations=(1,), activation="relu")
    grid = InputSpec(size=(EDGE, EDGE, EDGE), voxel_size_mm=VOXEL_MM)
    spec = joint_spec().model_copy(
        update={"id": model_id, "name": "Joint", "architecture": architecture, "input": grid}
    )
    return save_checkpoint(folder, spec, weights)


#: A piece apart from the brain, large enough for a note.
NECK = ((7.0, 7.0, 7.0), 5.0)


def save_one_brain_model(folder: Path, model_id: str = "one-brain") -> ModelSpec:
    """The same network as a model of one brain: no label has a role, and only the largest piece is kept."""
    joint = save_joint_model(folder, model_id)
    labels = tuple(label.model_copy(update={"role": None}) for label in joint.labels)
    spec = joint.model_copy(update={"name": "One brain", "task": "tissue", "labels": labels, "pieces": "largest"})
    (folder / "model.json").write_text(dump_spec(spec))
    return spec


def write_joint_scan(path: Path, *lesions: tuple[tuple[float, float, float], float]) -> NDArray[np.uint8]:
    """A head in RAS order with the brightness of each label, tissue with noise. Returns its labels, LIA."""
    labels = brain_with_lesions((EDGE, EDGE, EDGE), *lesions)
    noise = np.random.default_rng(2).integers(-20, 21, labels.shape) * np.isin(labels, (CSF, GREY, WHITE))
    image = (_BRIGHTNESS[labels] + noise).astype(np.uint8)
    affine = np.diag([VOXEL_MM, VOXEL_MM, VOXEL_MM, 1])
    nib.save(nib.Nifti1Image(reorient(image, end="RAS"), affine), path)
    return labels
