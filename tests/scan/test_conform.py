"""Conform makes FreeSurfer's grid and FastSurfer's grey levels, from any geometry."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from meshnet.scan.conform import (
    LIA_DIRECTIONS,
    conform,
    conformed_affine,
    coordinates,
    intensity_offset_factor,
    is_conformed,
    resample_linear,
    to_grey_levels,
    vox2vox,
)
from meshnet.scan.nifti import read_scan
from meshnet.scan.scan_stream import ScanError
from tests.helpers.scan_files import GEOMETRIES, affine_of, blob, reread, scan_of


def lia_affine() -> NDArray[np.float64]:
    affine = np.eye(4)
    affine[:3, :3] = LIA_DIRECTIONS
    affine[:3, 3] = (3.5, -8.25, 12.0)
    return affine


def naive_trilinear(
    data: NDArray[np.float64], affine_from: NDArray[np.float64], affine_to: NDArray[np.float64], shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """docs/conform.md, section 3, one voxel at a time."""
    matrix = np.linalg.inv(affine_from) @ affine_to
    out = np.zeros(shape)
    top = np.array(data.shape) - 1
    for voxel in np.ndindex(*shape):
        x = (matrix @ [*voxel, 1.0])[:3]
        if (x < -1e-6).any() or (x > top + 1e-6).any():
            continue
        x = np.clip(x, 0, top)
        low = np.minimum(np.floor(x).astype(int), top - 1)
        f = x - low
        for corner in np.ndindex(2, 2, 2):
            weight = np.prod(np.where(corner, f, 1 - f))
            out[voxel] += weight * data[tuple(low + corner)]
    return out


@pytest.mark.parametrize("name", GEOMETRIES)
def test_resampling_equals_a_voxel_by_voxel_reference(name: str) -> None:
    affine, shape = GEOMETRIES[name]
    data = blob(shape)
    target = conformed_affine(affine, shape, size=14, voxel_size_mm=2.5)
    fast = resample_linear(data, affine, target, (14, 14, 14))
    assert np.count_nonzero(fast) > 50
    # 1e-9 of intensities up to 1,000: both are double precision, summed in another order.
    assert np.allclose(fast, naive_trilinear(data, affine, target, (14, 14, 14)), rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_the_conformed_grid_is_strict_lia_and_keeps_the_centre(name: str) -> None:
    affine, shape = GEOMETRIES[name]
    target = conformed_affine(affine, shape)
    assert np.array_equal(target[:3, :3], [[-1, 0, 0], [0, 0, 1], [0, -1, 0]])
    assert nib.aff2axcodes(target) == ("L", "I", "A")
    centre = affine @ [*(np.array(shape) / 2), 1]
    assert np.allclose(target @ [128, 128, 128, 1], centre, atol=1e-12)


def test_an_already_conformed_scan_passes_through_unchanged() -> None:
    data = blob((16, 16, 16)).astype(np.uint8)
    scan = scan_of(data, lia_affine())
    conformed = conform(scan, size=16)
    assert conformed.data is data
    assert np.array_equal(conformed.affine_vox2ras, lia_affine())
    # The long way round gives the same, so the short cut is only that.
    target = conformed_affine(lia_affine(), data.shape, size=16)
    assert np.array_equal(resample_linear(data, lia_affine(), target, (16, 16, 16)), data)
    assert np.allclose(target, lia_affine())


@pytest.mark.parametrize(
    ("dtype", "affine", "shape"),
    [
        (np.int16, lia_affine(), (16, 16, 16)),
        (np.uint8, affine_of(), (16, 16, 16)),
        (np.uint8, lia_affine(), (16, 16, 15)),
        (np.uint8, lia_affine() @ np.diag([0.8, 0.8, 0.8, 1.0]), (16, 16, 16)),
        (np.uint8, lia_affine() @ np.diag([1.00001, 1, 1, 1]), (16, 16, 16)),
    ],
    ids=["int16", "RAS", "15 planes", "0.8 mm", "1.00001 mm"],
)
def test_what_differs_in_one_respect_is_not_conformed(
    dtype: type, affine: NDArray[np.float64], shape: tuple[int, int, int]
) -> None:
    assert not is_conformed(scan_of(blob(shape).astype(dtype), affine), size=16)


def test_a_scaled_uint8_file_is_not_conformed_but_keeps_its_values() -> None:
    raw = blob((16, 16, 16)).clip(0, 255).astype(np.uint8)
    scan = replace(scan_of(raw * 0.5, lia_affine()), stored_dtype=np.dtype(np.uint8))
    assert not is_conformed(scan, size=16)
    assert np.array_equal(conform(scan, size=16).data, np.rint(raw * 0.5))


def test_flips_and_permutations_copy_voxels_exactly() -> None:
    data = blob((8, 6, 4)).clip(1, 255).astype(np.uint8)
    voxels = np.stack([*np.indices(data.shape).reshape(3, -1), np.ones(data.size)])
    for axes in ("RAS", "LPS", "ASL", "PIR", "SRA"):
        scan = scan_of(data, affine_of(axes=axes))
        conformed = conform(scan, size=12)
        at = np.linalg.inv(conformed.affine_vox2ras) @ scan.affine_vox2ras @ voxels
        assert np.allclose(at, np.rint(at))
        i, j, k = np.rint(at[:3]).astype(int)
        assert np.array_equal(conformed.data[i, j, k], data.ravel()), axes
        assert np.count_nonzero(conformed.data) == data.size


def test_an_odd_size_is_half_a_voxel_off_and_interpolated() -> None:
    """By hand: three voxels 10, 20, 40 along x on an even grid give the means 15 and 30."""
    data = np.zeros((3, 2, 2), np.uint8)
    data[:, :, :] = np.array([10, 20, 40])[:, None, None]
    conformed = conform(scan_of(data, affine_of(origin_mm=(0.0, 0.0, 0.0))), size=4)
    assert sorted(set(conformed.data.ravel().tolist())) == [0, 15, 30]
    # LIA: i runs to the left, and dims/2 = 1.5 is at i = 2, so x = 3.5 - i: outside, outside, 1.5, 0.5.
    line = conformed.data[:, conformed.data.any(axis=(0, 2))][:, 0]
    assert line[:, line.any(axis=0)][:, 0].tolist() == [0, 0, 30, 15]


def test_the_outermost_voxel_is_inside_despite_rounding_noise_and_beyond_it_is_zero() -> None:
    data = np.full((4, 4, 4), 7.0)
    for shift, expected in ((0.0, 7.0), (9e-7, 7.0), (-9e-7, 7.0), (2e-6, 0.0), (0.4, 0.0)):
        target = np.diag([1.5, 1.5, 1.5, 1.0])
        target[0, 3] = shift
        mapped = resample_linear(data, np.eye(4), target, (3, 3, 3))
        assert mapped[2, 0, 0] == pytest.approx(expected, abs=1e-12), shift
    assert mapped[1, 1, 1] == pytest.approx(7.0, abs=1e-12)


def test_grey_levels_of_a_ramp_by_hand() -> None:
    """10,000 values 0..9999: 9 voxels above the cut (0.1 % of 9,999), the edge two bins below that."""
    offset, factor = intensity_offset_factor(np.arange(10_000, dtype=np.int16).reshape(10, 10, 100))
    # cutoff 10000 - 9 = 9991 voxels, first reached after all 1,000 bins; two edges below: 998 * 9.999.
    assert offset == 0.0
    assert factor == pytest.approx(255 / (998 * 9.999), rel=1e-12)


def test_negative_intensities_set_the_offset_and_zeros_stay_zero() -> None:
    data = np.linspace(-100, 300, 8000).reshape(20, 20, 20)
    offset, factor = intensity_offset_factor(data)
    assert offset == -100
    grey = to_grey_levels(np.array([-200.0, -100.0, 0.0, 1e-3, 100.0, 1e9]), offset, factor)
    assert grey.tolist() == [0, 0, 0, round(100 * factor), round(200 * factor), 255]


def test_int16_extremes_do_not_overflow() -> None:
    data = np.full((10, 10, 10), -32768, np.int16)
    data[0, 0, 0], data[5] = 32767, 100
    offset, factor = intensity_offset_factor(data)
    assert offset == -32768
    assert factor == pytest.approx(255 / (65535 * 500 / 1000), rel=0.01)


def test_halves_round_to_even() -> None:
    mapped = np.array([0.5, 1.5, 2.5, 3.5])
    assert to_grey_levels(mapped, 0.0, 1.0).tolist() == [0, 2, 2, 4]


def test_one_outlier_bin_wraps_around_to_the_maximum() -> None:
    """All but 0.1 % of the voxels in the first bin: FastSurfer's index -1 is the last edge."""
    data = np.ones((20, 20, 20))
    data[0, 0, :4], data[1, 0, 0] = 1e6, 0
    offset, factor = intensity_offset_factor(data)
    assert (offset, factor) == (0.0, 255 / 1e6)


def test_grey_levels_that_collapse_into_one_are_refused() -> None:
    data = np.zeros((16, 16, 16))
    data[8, 8, 8] = 1e-3
    scan = replace(scan_of(data, lia_affine(), where="probability.nii"), stored_dtype=np.dtype(np.uint8))
    with pytest.raises(ScanError, match=r"probability.nii: conformed to 0-255, every voxel has the value 0"):
        conform(scan, size=16)


@pytest.mark.parametrize("name", ["oblique", "permuted ASL, anisotropic"])
@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.uint16])
def test_a_scan_read_from_a_file_conforms_to_the_full_range(tmp_path: Path, name: str, dtype: type) -> None:
    affine, shape = GEOMETRIES[name]
    conformed = conform(reread(tmp_path / "a.nii.gz", blob(shape).astype(dtype), affine), size=32)
    assert conformed.data.shape == (32, 32, 32)
    assert conformed.data.dtype == np.uint8
    assert conformed.data.min() == 0
    assert conformed.data.max() >= 240


EXPECTED = {
    "M2265_T2w_regridded": "M2265_T2w_regridded.nii.gz",
    "alb_T1_head_2mm": "geometry/alb_T1_head_2mm.nii.gz",
    "nib_anatomical": "geometry/nib_anatomical.nii",
    "niivue_avg152T1_RL_nifti": "geometry/niivue_avg152T1_RL_nifti.nii.gz",
    "niivue_space_ASL": "geometry/niivue_space_ASL.nii.gz",
    "niivue_space_LPS": "geometry/niivue_space_LPS.nii.gz",
}


@pytest.mark.parametrize("name", EXPECTED)
def test_real_scans_conform_as_fastsurfer_has_it(shared_data: Path, name: str) -> None:
    reference = nib.load(shared_data / "expected" / "conform" / f"{name}.nii.gz")
    scan = read_scan(shared_data / "scans" / EXPECTED[name])
    conformed = conform(scan)
    assert np.array_equal(conformed.affine_vox2ras.astype(np.float32), reference.affine.astype(np.float32))
    matrix = vox2vox(conformed.affine_vox2ras, scan.affine_vox2ras)
    inside = np.ones(conformed.data.shape, bool)
    for i in range(256):
        for x, n in zip(coordinates(matrix, i, conformed.data.shape), scan.data.shape, strict=True):
            inside[i] &= (x >= 0) & (x <= n - 1)
    difference = np.abs(conformed.data.astype(np.int16) - np.asarray(reference.dataobj))
    assert inside.mean() > 0.01
    assert (difference[inside] <= 1).mean() >= 0.999
    assert (difference[~inside] == 0).mean() >= 0.9999


def test_real_conformed_scans_pass_through_unchanged(shared_data: Path) -> None:
    for name in ("M2265_T2w", "t1_crop"):
        scan = read_scan(shared_data / "scans" / f"{name}.nii.gz")
        assert conform(scan).data is scan.data
