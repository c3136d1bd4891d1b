"""Labels are resampled to the right place on the scan's own grid, and volumes follow from its affine."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from meshnet.scan.conform import conformed_affine, vox2vox
from meshnet.scan.nifti import read_scan
from meshnet.scan.scan_grid import label_counts, resample_labels, volume_ml
from tests.helpers.scan_files import GEOMETRIES, READABLE, affine_of


def naive_nearest(
    labels: NDArray[np.uint8], affine_from: NDArray[np.float64], affine_to: NDArray[np.float64], shape: tuple[int, ...]
) -> NDArray[np.uint8]:
    """docs/conform.md, section 7, one voxel at a time."""
    matrix = np.linalg.inv(affine_from) @ affine_to
    out = np.zeros(shape, np.uint8)
    for voxel in np.ndindex(*shape):
        x = (matrix @ [*voxel, 1.0])[:3]
        index = np.floor(np.floor(x * 1e6 + 0.5) / 1e6 + 0.5).astype(int)
        if (index >= 0).all() and (index < labels.shape).all():
            out[voxel] = labels[tuple(index)]
    return out


@pytest.mark.parametrize("name", GEOMETRIES)
def test_nearest_neighbour_equals_a_voxel_by_voxel_reference(name: str) -> None:
    affine, shape = GEOMETRIES[name]
    labels = np.random.default_rng(0).integers(0, 5, (12, 12, 12)).astype(np.uint8)
    conformed = conformed_affine(affine, shape, size=12, voxel_size_mm=1.5)
    fast = resample_labels(labels, conformed, affine, shape)
    assert np.array_equal(fast, naive_nearest(labels, conformed, affine, shape))
    assert len(np.unique(fast)) == 5


def test_ties_go_up_even_with_rounding_noise() -> None:
    """Half-voxel offsets: x = 0.5, 1.5, ... takes index 1, 2, ..., also when noise puts x just below."""
    labels = np.arange(8, dtype=np.uint8).reshape(8, 1, 1)
    for noise in (0.0, 1e-9, -1e-9):
        shifted = np.eye(4)
        shifted[0, 3] = 0.5 + noise
        assert resample_labels(labels, np.eye(4), shifted, (8, 1, 1)).ravel().tolist() == [1, 2, 3, 4, 5, 6, 7, 0]


def test_beyond_the_conformed_box_there_is_no_label() -> None:
    labels = np.ones((4, 4, 4), np.uint8)
    native = resample_labels(labels, np.eye(4), affine_of(origin_mm=(-2.0, 0.0, 0.0)), (8, 4, 4))
    assert native[:, 0, 0].tolist() == [0, 0, 1, 1, 1, 1, 0, 0]


def test_the_same_grid_is_the_identity() -> None:
    labels = np.random.default_rng(1).integers(0, 9, (7, 5, 6)).astype(np.uint8)
    affine = affine_of(axes="LIA", rotation_deg=(3, 40, 7))
    assert np.array_equal(resample_labels(labels, affine, affine, labels.shape), labels)


@pytest.mark.parametrize("name", [n for n in GEOMETRIES if n != "thin"])
def test_a_label_survives_conform_and_back(name: str) -> None:
    affine, shape = GEOMETRIES[name]
    labels = np.zeros(shape, np.uint8)
    labels[2:-2, 3:-3, 2:-2] = 1
    conformed = conformed_affine(affine, shape, size=64, voxel_size_mm=0.75)
    there = resample_labels(labels, affine, conformed, (64, 64, 64))
    back = resample_labels(there, conformed, affine, shape)
    assert 2 * np.count_nonzero(labels & back) / (labels.sum() + back.sum()) >= 0.9


def test_volume_in_ml_by_hand() -> None:
    """500 voxels of 1 x 2 x 3 mm are 3 mL, however the grid is turned or flipped."""
    for axes in ("RAS", "LIA"):
        affine = affine_of(axes=axes, rotation_deg=(20, 10, 5), voxel_size_mm=(1, 2, 3))
        assert volume_ml(500, affine) == pytest.approx(3.0, rel=1e-12)


def test_labels_are_counted_per_class() -> None:
    assert label_counts(np.array([0, 2, 2, 0, 0], np.uint8), 4) == [3, 0, 2, 0]


@pytest.mark.parametrize("name", READABLE)
def test_a_label_on_a_real_file_survives_conform_and_back(shared_data: Path, name: str) -> None:
    """Dice 0.9 or more where the scan lies at least 1 mm inside the 256 mm box; beyond it nothing is labelled."""
    scan = read_scan(shared_data / "scans" / "geometry" / name)
    shape = scan.data.shape
    conformed = conformed_affine(scan.affine_vox2ras, shape)
    # An ellipsoid about the centre, as large as the volume allows.
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij"))
    labels = ((grid**2).sum(0) <= 0.9).astype(np.uint8)
    there = resample_labels(labels, scan.affine_vox2ras, conformed, (256, 256, 256))
    back = resample_labels(there, conformed, scan.affine_vox2ras, shape)
    voxels = np.stack([*np.indices(shape).reshape(3, -1), np.ones(labels.size)])
    at = (vox2vox(scan.affine_vox2ras, conformed) @ voxels)[:3]
    inside = ((at >= 1) & (at <= 254)).all(axis=0).reshape(shape)
    assert labels[inside].sum() >= 15
    dice = 2 * np.count_nonzero(labels[inside] & back[inside]) / (labels[inside].sum() + back[inside].sum())
    assert dice >= 0.9


def test_the_regridded_lesion_comes_back_as_expected(shared_data: Path) -> None:
    scan = read_scan(shared_data / "scans" / "M2265_T2w_regridded.nii.gz")
    stem = "M2265_T2w_regridded__brainchop_t2_lesion"
    conformed = nib.load(shared_data / "expected" / f"{stem}_conformed.nii.gz")
    expected = np.asarray(nib.load(shared_data / "expected" / f"{stem}_native.nii.gz").dataobj)
    native = resample_labels(np.asarray(conformed.dataobj), conformed.affine, scan.affine_vox2ras, scan.data.shape)
    assert 2 * np.count_nonzero(native & expected) / (int(native.sum()) + int(expected.sum())) >= 0.999
    assert volume_ml(int(native.sum()), scan.affine_vox2ras) == pytest.approx(42.66, abs=0.02)
