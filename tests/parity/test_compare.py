"""The page and `meshnet-compare` give two masks the same numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from meshnet.scan.scan_grid import resample_labels
from meshnet.score.compare import compare
from tests.helpers.parity.prepared import Site
from tests.helpers.scan_files import affine_of

#: The page's name of each of `meshnet-compare`'s values.
NAMES = {
    "dice": "dice_lesion",
    "precision": "precision",
    "recall": "recall",
    "hd95Mm": "hd95_mm",
    "meanSurfaceDistanceMm": "msd_mm",
    "resultMl": "result_ml",
    "referenceMl": "reference_ml",
    "lesionsFound": "lesions_found",
    "lesionsMissed": "lesions_missed",
    "lesionsFalse": "lesions_false",
}
SHAPE = (31, 27, 23)
OBLIQUE = affine_of(axes="LSA", rotation_deg=(12, -7, 31), voxel_size_mm=(0.9, 1.7, 3.1))


def blobs(seed: int, threshold: float, shape: tuple[int, ...] = SHAPE) -> NDArray[np.uint8]:
    """Many components that touch each other by corners and edges, and reach the volume's border."""
    smooth = gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 1.3)
    return (smooth > threshold * smooth.std()).astype(np.uint8)


def job(folder: Path, **masks: tuple[NDArray[np.uint8], NDArray[np.float64]]) -> dict[str, Any]:
    sides = []
    for name, (labels, affine) in masks.items():
        path = folder / f"{name}.u8"
        path.write_bytes(labels.tobytes(order="F"))
        sides.append({"path": str(path), "dims": labels.shape, "affine": affine.ravel().tolist()})
    return {"compare": sides}


def from_command_line(folder: Path, *masks: NDArray[np.uint8]) -> dict[str, float]:
    paths = [folder / name for name in ("result_mask.nii.gz", "reference_mask.nii.gz")]
    for path, labels in zip(paths, masks, strict=True):
        nib.save(nib.Nifti1Image(labels, OBLIQUE), path)
    return compare(*paths)


def assert_equal(page: dict[str, float], wanted: dict[str, float]) -> None:
    numbers = {NAMES[key]: np.inf if value is None else value for key, value in page.items()}  # JSON has no infinity
    assert numbers == pytest.approx({name: wanted[name] for name in NAMES.values()}, rel=1e-6)


EMPTY = np.zeros(SHAPE, np.uint8)


@pytest.mark.parametrize(
    ("result", "reference"),
    [
        (blobs(1, 1.0), blobs(2, 1.2)),
        (blobs(1, 1.0), blobs(1, 1.3)),
        (blobs(3, 2.2), blobs(4, -0.5)),
        (EMPTY, blobs(2, 1.2)),
        (EMPTY, EMPTY),
    ],
    ids=["apart", "nested", "few in most", "an empty result", "both empty"],
)
def test_masks_on_one_oblique_grid(
    result: NDArray[np.uint8], reference: NDArray[np.uint8], site: Site, tmp_path: Path
) -> None:
    (page,) = site([job(tmp_path, result=(result, OBLIQUE), reference=(reference, OBLIQUE))])
    assert_equal(page, from_command_line(tmp_path, result, reference))


def test_a_reference_on_another_grid_is_resampled_through_the_affines(site: Site, tmp_path: Path) -> None:
    grid = affine_of(axes="RAS", voxel_size_mm=(1.3, 1.1, 2.0), origin_mm=(-30.0, -12.0, -8.0))
    result, reference = blobs(5, 1.0), blobs(6, 0.8, (40, 50, 30))
    resampled = resample_labels(reference, grid, OBLIQUE, SHAPE)
    assert 0 < resampled.sum() < result.size
    (page,) = site([job(tmp_path, result=(result, OBLIQUE), reference=(reference, grid))])
    assert_equal(page, from_command_line(tmp_path, result, resampled))
