"""The site refuses the files that meshnet/ refuses, in the same words."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from meshnet.scan.conform import conform
from meshnet.scan.nifti import ScanError, read_scan
from tests.helpers.parity.prepared import Site, write_nifti
from tests.helpers.scan_files import affine_of, blob


def patched(content: bytes, offset: int, form: str, *values: float | bytes) -> bytes:
    new = struct.pack(form, *values)
    return content[:offset] + new + content[offset + len(new) :]


#: Malformation of a good float32 NIfTI-1 file of 6 × 7 × 8 voxels, and what both sides say of it.
MALFORMED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda b: b"", "bad.nii: "),
    "text": (lambda b: b"no scan at all, just text" * 40, "not a NIfTI"),
    "short header": (lambda b: b[:200], "bad.nii: "),
    "Analyze 7.5": (lambda b: patched(b, 344, "4s", b"\0\0\0\0"), "Analyze 7.5"),
    "missing voxels": (lambda b: b[:-100], "100 bytes of voxels are missing"),
    "truncated gzip": (lambda b: gzip.compress(b)[:-300], "gzip stream ends early"),
    "damaged gzip": (lambda b: patched(gzip.compress(b, mtime=0), 100, "6s", b"\xff" * 6), "gzip stream"),
    "RGB24": (lambda b: patched(b, 70, "<hh", 128, 24), "voxels are RGB24"),
    "RGBA32": (lambda b: patched(b, 70, "<hh", 2304, 32), "RGBA32"),
    "complex64": (lambda b: patched(b, 70, "<hh", 32, 64), "voxels are complex"),
    "complex128": (lambda b: patched(b, 70, "<hh", 1792, 128), "voxels are complex"),
    "binary": (lambda b: patched(b, 70, "<hh", 1, 1), "bad.nii: "),
    "unknown datatype": (lambda b: patched(b, 70, "<hh", 77, 8), "77"),
    "4-D": (lambda b: patched(b, 40, "<5h", 4, 6, 7, 4, 2), "expected a 3-D volume, got shape (6, 7, 4, 2)"),
    "5-D": (lambda b: patched(b, 40, "<6h", 5, 6, 7, 2, 2, 2), "expected a 3-D volume, got shape (6, 7, 2, 2, 2)"),
    "2-D": (lambda b: patched(b, 40, "<3h", 2, 6, 7), "expected a 3-D volume, got shape (6, 7)"),
    "one slice": (lambda b: patched(b, 40, "<4h", 3, 6, 7, 1), "shape (6, 7, 1) is no 3-D head scan"),
    "absurd dimensions": (lambda b: patched(b, 40, "<4h", 3, 30000, 30000, 9), "shape (30000, 30000, 9) is no 3-D"),
    "negative dimension": (lambda b: patched(b, 40, "<4h", 3, 6, -7, 8), "shape (6, -7, 8) is no 3-D head scan"),
    "singular affine": (lambda b: patched(b, 280, "<12f", *[1, 0, 0, 0] * 3), "affine is singular or non-finite"),
    "non-finite affine": (lambda b: patched(b, 280, "<f", float("nan")), "affine is singular or non-finite"),
    "impossible quaternion": (lambda b: patched(patched(b, 252, "<hh", 1, 0), 256, "<3f", 1, 1, 1), "qform"),
    "voxels inside the header": (lambda b: patched(b, 108, "<f", 200), "damaged NIfTI header"),
    "slope without intercept": (lambda b: patched(b, 112, "<ff", 2, float("inf")), "intercept"),
    "infinite voxels": (lambda b: patched(b, 400, "<2f", float("inf"), float("-inf")), "2 of 336 voxels are NaN"),
    "constant": (lambda b: b[:352] + struct.pack("<f", 2.5) * 336, "every voxel has the value 2.5"),
    "slope that leaves one grey level": (
        lambda b: patched(patched(b, 70, "<hh", 2, 8), 112, "<f", 1e-3),
        "conformed to 0-255, every voxel has the value 0",
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_both_refuse_what_is_malformed_in_the_same_words(name: str, site: Site, tmp_path: Path) -> None:
    data = blob((6, 7, 8)).astype(np.float32)
    good = write_nifti(tmp_path / "good.nii", data, affine_of(voxel_size_mm=(20, 20, 20))).read_bytes()
    spoil, sentence = MALFORMED[name]
    path = tmp_path / "bad.nii"
    path.write_bytes(spoil(good))
    with pytest.raises(ScanError) as refusal:
        conform(read_scan(path), size=40)
    (good_result, result) = site(
        [
            {"files": [str(file)], "out": str(tmp_path / "out"), "grid": {"size": 40, "voxelSizeMm": 1}}
            for file in (tmp_path / "good.nii", path)
        ]
    )
    assert "error" not in good_result
    assert result.get("error", "").startswith("bad.nii: ")
    assert sentence in str(refusal.value)
    assert sentence in result["error"]
    assert result["frames"] == (2 if name == "4-D" else None)


@pytest.mark.parametrize(
    ("offset", "value", "sentence"),
    [
        (20, 7, "damaged MGH header"),
        (4, -6, "is no 3-D head scan"),
        (16, 9, "expected a 3-D volume, got shape (6, 7, 8, 9)"),
        (8, 70, "bytes of voxels are missing"),
        (28, 0, "no position in space"),
    ],
)
def test_both_refuse_a_malformed_freesurfer_volume(
    offset: int, value: int, sentence: str, site: Site, tmp_path: Path
) -> None:
    path = tmp_path / "bad.mgh"
    nib.save(nib.MGHImage(blob((6, 7, 8)).astype(np.float32), np.eye(4)), path)
    path.write_bytes(patched(path.read_bytes(), offset, ">i", value))
    with pytest.raises(ScanError) as refusal:
        read_scan(path)
    (result,) = site([{"files": [str(path)], "out": str(tmp_path / "out")}])
    assert sentence in str(refusal.value)
    assert sentence in result["error"]
