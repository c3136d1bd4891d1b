"""The site's volume code (static/src/volume) gives what meshnet/ gives, and what FastSurfer gave."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from meshnet.model.spec import MinMax, Quantile
from meshnet.scan.conform import conform
from meshnet.scan.nifti import ScanError, read_scan
from meshnet.scan.normalize import normalize
from meshnet.scan.orientation import reorient
from tests.helpers.parity.prepared import (
    SMALL_GRID,
    Site,
    assert_like_fastsurfer,
    assert_same_saved_files,
    assert_same_volumes,
    prepare_both,
    write_nifti,
)
from tests.helpers.scan_files import GEOMETRIES, affine_of, blob


@pytest.mark.parametrize("name", GEOMETRIES)
def test_a_scan_of_hard_geometry_becomes_the_same_volumes_and_files(name: str, site: Site, tmp_path: Path) -> None:
    affine, shape = GEOMETRIES[name]
    path = write_nifti(tmp_path / "scan.nii", blob(shape).astype(np.float32), affine)
    both = prepare_both(site, path, tmp_path, grid=SMALL_GRID)
    assert np.unique(both.labels).size > 3
    assert_same_volumes(both)
    assert_same_saved_files(both)


OBLIQUE = affine_of(axes="PSR", rotation_deg=(10, -20, 30), voxel_size_mm=(1.2, 0.9, 2.0))

KINDS: dict[str, dict[str, Any]] = {
    "qform only": {"sform": 0, "qform": 1},
    "qform beside another sform code": {"sform": 1, "qform": 2},
    "no form at all": {"sform": 0, "qform": 0},
    "NIfTI-2": {"version": 2},
    "NIfTI-2, qform only": {"version": 2, "sform": 0, "qform": 3},
    "big-endian": {"big_endian": True},
    "big-endian NIfTI-2": {"big_endian": True, "version": 2},
    "slope and intercept": {"slope": 0.37, "inter": -20.5},
    "slope 0": {"slope": 0.0, "inter": 9.0},
}


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32"])
@pytest.mark.parametrize("name", KINDS)
def test_a_file_of_any_kind_becomes_the_same_volumes_and_files(
    name: str, dtype: str, site: Site, tmp_path: Path
) -> None:
    data = (blob((15, 17, 11)) / 4).astype(dtype)
    path = write_nifti(tmp_path / "scan.nii", data, OBLIQUE, **KINDS[name])
    both = prepare_both(site, path, tmp_path, grid=SMALL_GRID)
    assert_same_volumes(both)
    assert_same_saved_files(both)


@pytest.mark.parametrize("dtype", ["int8", "int32", "uint32", "int64", "uint64", "float64"])
def test_rarer_datatypes_are_read_alike(dtype: str, site: Site, tmp_path: Path) -> None:
    data = (blob((9, 10, 11)) / 8).astype(dtype)
    assert_same_volumes(prepare_both(site, write_nifti(tmp_path / "a.nii", data, OBLIQUE), tmp_path, grid=SMALL_GRID))


@pytest.mark.parametrize("orientation", ["LIA", "RAS", "PSR", "SAL"])
@pytest.mark.parametrize(
    "normalization", [MinMax(), Quantile(low=0.02, high=0.98), Quantile(low=0.1, high=0.7, clip=False)], ids=str
)
def test_the_network_gets_the_same_input(
    normalization: MinMax | Quantile, orientation: str, site: Site, tmp_path: Path
) -> None:
    path = write_nifti(tmp_path / "a.nii", blob((31, 33, 29)).astype(np.int16), affine_of(voxel_size_mm=(2, 2, 2)))
    size = SMALL_GRID["size"]
    spec = {
        "id": "example",
        "architecture": {"in_channels": 1},
        "input": {
            "size": [size] * 3,
            "voxel_size_mm": SMALL_GRID["voxelSizeMm"],
            "orientation": orientation,
            "normalization": normalization.model_dump(),
        },
    }
    (result,) = site([{"files": [str(path)], "out": str(tmp_path), "grid": SMALL_GRID, "spec": spec}])
    assert "error" not in result
    conformed = conform(read_scan(path), size=size, voxel_size_mm=SMALL_GRID["voxelSizeMm"])
    wanted = normalize(reorient(conformed.data, end=orientation), normalization)
    shape = (size, size, size)
    got = np.fromfile(tmp_path / "network.f32", np.float32).reshape(shape, order="F")
    # float32 rounding of the same float64 numbers.
    assert np.allclose(got, wanted, rtol=0, atol=1e-6)
    back = np.fromfile(tmp_path / "from_network.u8", np.uint8).reshape(shape, order="F")
    assert np.array_equal(back, reorient(conformed.data, start=orientation, end="LIA"))


GEOMETRY_FILES = [
    "alb_T1_head_2mm.nii.gz", "nib_anatomical.nii", "nib_example4d.nii.gz", "nib_example_nifti2.nii.gz",
    "niivue_avg152T1_RL_nifti.nii.gz", "niivue_low_res.nii.gz", "niivue_minimal.nii.gz", "niivue_ras.hdr",
    "niivue_shear.nii.gz", "niivue_space_ASL.nii.gz", "niivue_space_LPS.nii.gz", "niivue_space_PIR.nii.gz",
    "niivue_space_SRA.nii.gz",
]  # fmt: skip
REFUSED_FILES = {"niivue_complex.nii.gz": "complex", "niivue_ct_perfusion.nii.gz": "RGB24"}
FOUR_D = {"nib_example4d.nii.gz": 2, "nib_example_nifti2.nii.gz": 2}


def test_every_file_of_the_geometry_set_is_in_a_list_here(shared_data: Path) -> None:
    names = {path.name for path in (shared_data / "scans/geometry").iterdir() if path.suffix != ".img"}
    assert names == {*GEOMETRY_FILES, *REFUSED_FILES}


@pytest.mark.parametrize("name", GEOMETRY_FILES)
def test_a_real_file_becomes_the_same_volumes_and_files(
    name: str, shared_data: Path, site: Site, tmp_path: Path
) -> None:
    path = shared_data / "scans/geometry" / name
    both = prepare_both(site, path, tmp_path, frame=FOUR_D[name] - 1 if name in FOUR_D else None)
    assert_same_volumes(both)
    assert_same_saved_files(both)
    expected = shared_data / "expected/conform" / f"{name.removesuffix('.gz').removesuffix('.nii')}.nii.gz"
    if expected.exists():
        assert_like_fastsurfer(both, expected)


@pytest.mark.parametrize("name", ["M2265_T2w.nii.gz", "M2265_T2w_regridded.nii.gz"])
def test_a_patients_scan_becomes_the_same_volumes_and_files(
    name: str, shared_data: Path, site: Site, tmp_path: Path
) -> None:
    both = prepare_both(site, shared_data / "scans" / name, tmp_path)
    assert_same_volumes(both)
    assert_same_saved_files(both)
    if name == "M2265_T2w_regridded.nii.gz":
        assert_like_fastsurfer(both, shared_data / "expected/conform" / name)
    else:
        assert np.array_equal(both.site_volume("conformed.u8", np.uint8, (256, 256, 256)), both.scan.data)


def test_both_refuse_the_same_real_files_and_count_the_same_frames(
    shared_data: Path, site: Site, tmp_path: Path
) -> None:
    names = [*REFUSED_FILES, *FOUR_D]
    results = site([{"files": [str(shared_data / "scans/geometry" / n)], "out": str(tmp_path)} for n in names])
    for name, result in zip(names, results, strict=True):
        sentence = REFUSED_FILES.get(name, "expected a 3-D volume, got shape")
        assert sentence in result["error"]
        assert result["frames"] == FOUR_D.get(name)
        with pytest.raises(ScanError, match=sentence):
            read_scan(shared_data / "scans/geometry" / name)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float32", "uint16"])
@pytest.mark.parametrize("name", ["aligned RAS", "flipped LPS", "permuted ASL, anisotropic", "oblique"])
def test_a_freesurfer_volume_becomes_the_same_volumes_and_files(
    name: str, dtype: str, site: Site, tmp_path: Path
) -> None:
    affine, shape = GEOMETRIES[name]
    nib.save(nib.MGHImage((blob(shape) / 4).astype(dtype), affine), tmp_path / "orig.mgz")
    both = prepare_both(site, tmp_path / "orig.mgz", tmp_path, grid=SMALL_GRID)
    assert_same_volumes(both)
    assert_same_saved_files(both)


def test_of_a_freesurfer_volume_with_frames_one_is_taken(site: Site, tmp_path: Path) -> None:
    frames = np.stack([blob((12, 13, 14), seed=n) for n in range(2)], axis=3).astype(np.float32)
    nib.save(nib.MGHImage(frames, np.diag([2.0, 2.0, 2.0, 1.0])), tmp_path / "frames.mgh")
    both = prepare_both(site, tmp_path / "frames.mgh", tmp_path, frame=1, grid=SMALL_GRID)
    assert_same_volumes(both)
    assert_same_saved_files(both)
