"""One scan prepared by meshnet/ and by the site, and what must be equal."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from meshnet.scan.conform import Conformed, conform
from meshnet.scan.nifti import Scan, new_header, read_scan, save_labels, space_code
from meshnet.scan.scan_grid import label_counts, resample_labels, volume_ml

#: Jobs of volume_cli.mjs to their results.
Jobs = list[dict[str, Any]]
Site = Callable[[Jobs], list[dict[str, Any]]]

SMALL_GRID: dict[str, Any] = {"size": 40, "voxelSizeMm": 1.5}


@dataclass(frozen=True)
class Both:
    """One scan, prepared by both."""

    scan: Scan
    conformed: Conformed
    labels: NDArray[np.uint8]  #: conformed labels that both took back to the native grid
    result: dict[str, Any]  #: of the site
    out: Path  #: what the site wrote

    def site_volume(self, name: str, dtype: type, shape: tuple[int, ...]) -> NDArray[Any]:
        return np.fromfile(self.out / name, dtype).reshape(shape, order="F")


def prepare_both(
    site: Site, path: Path, tmp_path: Path, *, frame: int | None = None, grid: dict[str, Any] | None = None
) -> Both:
    scan = read_scan(path, frame=frame)
    conformed = conform(scan, size=grid["size"], voxel_size_mm=grid["voxelSizeMm"]) if grid else conform(scan)
    labels = (conformed.data // 40).astype(np.uint8)
    (tmp_path / "labels.u8").write_bytes(labels.tobytes(order="F"))
    job = {
        "files": [str(path)] + ([str(path.with_suffix(".img"))] if path.suffix == ".hdr" else []),
        "out": str(tmp_path),
        "labels": str(tmp_path / "labels.u8"),
    }
    options = {"frame": frame, "grid": grid}
    (result,) = site([job | {key: value for key, value in options.items() if value is not None}])
    assert "error" not in result, result
    return Both(scan, conformed, labels, result, tmp_path)


def assert_same_volumes(both: Both) -> None:
    scan, conformed = both.scan, both.conformed
    assert np.array_equal(both.site_volume("native.f64", np.float64, scan.data.shape), scan.data.astype(np.float64))
    affine = np.reshape(both.result["affine"], (4, 4))
    # The qform's rotation goes through another order of float64 operations.
    assert np.allclose(affine, scan.affine_vox2ras, rtol=0, atol=1e-12)
    grey = both.site_volume("conformed.u8", np.uint8, conformed.data.shape).astype(int)
    apart = np.abs(grey - conformed.data)
    # The project's bound: a last bit of the interpolation may decide a rounding.
    assert np.mean(apart > 1) <= 0.001
    # The expectation: no voxel differs except by such a last bit.
    assert np.count_nonzero(apart) <= 10
    assert np.allclose(np.reshape(both.result["conformedAffine"], (4, 4)), conformed.affine_vox2ras, rtol=0, atol=1e-12)
    native = resample_labels(both.labels, conformed.affine_vox2ras, scan.affine_vox2ras, scan.data.shape)
    assert np.array_equal(both.site_volume("labels_native.u8", np.uint8, scan.data.shape), native)
    for index, count in enumerate(label_counts(native, 7)):
        assert both.result["volumes"][index]["voxels"] == count
        assert both.result["volumes"][index]["volumeMl"] == pytest.approx(volume_ml(count, scan.affine_vox2ras), 1e-12)


def assert_same_saved_files(both: Both) -> None:
    scan, conformed = both.scan, both.conformed
    native = resample_labels(both.labels, conformed.affine_vox2ras, scan.affine_vox2ras, scan.data.shape)
    save_labels(both.out / "python_native.nii.gz", native, scan.header)
    assert_same_files(both.out / "labels_native.nii.gz", both.out / "python_native.nii.gz")
    header = new_header(conformed.affine_vox2ras, conformed.data.shape, code=space_code(scan.header))
    save_labels(both.out / "python_conformed.nii.gz", conformed.data, header)
    assert_same_files(both.out / "conformed.nii.gz", both.out / "python_conformed.nii.gz")


#: Fields without a meaning in NIfTI, which the site leaves 0.
UNUSED = {"data_type", "db_name", "extents", "session_error", "regular", "glmax", "glmin", "unused_str"}
#: Compared as the rotation they stand for: q and -q are the same half turn.
QUATERNION = {"quatern_b", "quatern_c", "quatern_d"}


def assert_same_files(site_path: Path, python_path: Path) -> None:
    ours, reference = nib.load(site_path), nib.load(python_path)
    assert type(ours) is type(reference)
    assert ours.shape == reference.shape
    assert np.array_equal(ours.affine, reference.affine)
    assert np.count_nonzero(np.asarray(ours.dataobj) != np.asarray(reference.dataobj)) <= 10
    assert np.allclose(ours.header.get_qform(), reference.header.get_qform(), rtol=0, atol=1e-5)
    ours_raw, reference_raw = stored_header(site_path), stored_header(python_path)
    for field in set(ours_raw.dtype.names or ()) - UNUSED - QUATERNION:
        a, b = ours_raw[field], reference_raw[field]
        same = np.allclose(a, b, rtol=0, atol=1e-6) if a.dtype.kind == "f" else np.array_equal(a, b)
        assert same, f"{field}: {a} and {b}"


def stored_header(path: Path) -> np.void:
    """The header as it is in the file: nibabel clears scaling and offset when it loads an image."""
    content = gzip.decompress(path.read_bytes())
    kind = nib.Nifti1Header if struct.unpack("<i", content[:4]) == (348,) else nib.Nifti2Header
    fields: np.void = np.frombuffer(content, kind.template_dtype, count=1)[0]
    return fields


def write_nifti(
    path: Path,
    data: NDArray[Any],
    affine: NDArray[np.float64],
    *,
    sform: int = 1,
    qform: int = 0,
    version: int = 1,
    big_endian: bool = False,
    slope: float = 1.0,
    inter: float = 0.0,
) -> Path:
    """A single .nii with exactly these forms; `qform` holds the affine without its shear."""
    kind = nib.Nifti1Header if version == 1 else nib.Nifti2Header
    header = kind(endianness=">" if big_endian else "<")
    header.set_data_shape(data.shape)
    header.set_data_dtype(data.dtype)
    header.set_qform(affine, qform)
    header.set_sform(affine, sform)
    header.set_xyzt_units("mm", "sec")
    header["descrip"] = b"kept"
    header["scl_slope"], header["scl_inter"] = slope, inter
    header["magic"], header["vox_offset"] = header.single_magic, header.single_vox_offset
    voxels = data.astype(data.dtype.newbyteorder(header.endianness)).tobytes(order="F")
    path.write_bytes(header.binaryblock.ljust(header.single_vox_offset, b"\0") + voxels)
    return path


def assert_like_fastsurfer(both: Both, expected: Path) -> None:
    reference = nib.load(expected)
    grey = both.site_volume("conformed.u8", np.uint8, (256, 256, 256)).astype(int)
    apart = np.abs(grey - np.asarray(reference.dataobj))
    inside = (grey > 0) | (np.asarray(reference.dataobj) > 0)
    assert np.mean(apart[inside] > 1) <= 0.001
    # The reference is stored in float32: half a unit in the last place of 128 to 256 mm.
    assert np.allclose(reference.affine, np.reshape(both.result["conformedAffine"], (4, 4)), rtol=0, atol=1e-5)
