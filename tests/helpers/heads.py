"""A small head of simple shapes, and a model that segments it quickly: 64^3 voxels of 4 mm."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from meshnet.model.checkpoint import save_checkpoint
from meshnet.model.spec import Architecture, InputSpec, ModelSpec
from tests.helpers.scan_files import affine_of
from tests.helpers.specs import a_spec

#: The grid of `head`: oblique, 4 mm, odd-sized.
HEAD_AFFINE = affine_of(
    axes="LAS", voxel_size_mm=(4.0, 4.0, 4.0), rotation_deg=(8, -4, 5), origin_mm=(80.0, -90.0, -70.0)
)
CUBE = InputSpec(size=(64, 64, 64), voxel_size_mm=4.0)


def head(
    shape: tuple[int, int, int] = (41, 52, 40), centre: tuple[float, float, float] = (20, 26, 20)
) -> NDArray[np.int16]:
    """An ellipsoid of about 1,700 mL (radii 17, 21 and 18 voxels), 300 to 1,000 bright, in air of 2 to 12."""
    at = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij")).astype(float)
    radius = np.sqrt(sum(((x - c) / r) ** 2 for x, c, r in zip(at, centre, (17, 21, 18), strict=True)))
    noise = np.random.default_rng(3).integers(2, 13, shape)
    return np.where(radius <= 1, 1000 - 700 * radius + noise, noise).astype(np.int16)


def write_head(path: Path, data: NDArray[np.generic] | None = None, **fields: object) -> Path:
    """A NIfTI-1 file with both forms, code 1; `fields` then replace fields of the header, unchecked."""
    data = head() if data is None else data
    header = nib.Nifti1Header()
    header.set_data_dtype(data.dtype)
    header.set_data_shape(data.shape)
    header.set_sform(HEAD_AFFINE, 1)
    header.set_qform(HEAD_AFFINE, 1)
    header.set_xyzt_units("mm")
    header["vox_offset"], header["magic"], header["scl_slope"], header["scl_inter"] = 352, b"n+1", 1, 0
    for name, value in fields.items():
        header[name] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header.binaryblock + bytes(4) + data.tobytes(order="F"))
    return path


def bright_model(folder: Path, *, above: float = 0.5, model_id: str = "bright", **changes: object) -> ModelSpec:
    """A model whose label 1 is every voxel with a normalised intensity over `above`."""
    kernel = np.zeros((1, 1, 3, 3, 3), np.float32)
    kernel[0, 0, 1, 1, 1] = 1
    weights = {
        "layers.0.conv.weight": kernel,
        "layers.0.conv.bias": np.zeros(1, np.float32),
        "classifier.weight": np.array([0, 1], np.float32).reshape(2, 1, 1, 1, 1),
        "classifier.bias": np.array([above, 0], np.float32),
    }
    architecture = Architecture(channels=1, classes=2, dilations=(1,), activation="relu")
    fields = {"architecture": architecture, "input": CUBE, "id": model_id} | changes
    return save_checkpoint(folder, a_spec(**fields), weights)
