"""A field of view that cuts the head is noted with its sides; a whole head and a cut neck are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from meshnet.scan.conform import conform
from meshnet.scan.nifti import read_scan
from tests.helpers.heads import head, write_head

#: Slices of `head`, whose axes run to left, anterior and superior, and the sides on which they cut it.
CUTS = {
    "whole": ((slice(None), slice(None), slice(None)), []),
    "nose and ears missing": ((slice(4, 36), slice(None), slice(None)), []),
    "top": ((slice(None), slice(None), slice(0, 32)), ["superior"]),
    "slab": ((slice(None), slice(None), slice(10, 30)), ["superior", "inferior"]),
    "half a head": ((slice(None), slice(None), slice(20, None)), ["inferior"]),
    "right side": ((slice(10, None), slice(None), slice(None)), ["right"]),
    "left side": ((slice(0, 30), slice(None), slice(None)), ["left"]),
    "face": ((slice(None), slice(0, 40), slice(None)), ["anterior"]),
    "back": ((slice(None), slice(14, None), slice(None)), ["posterior"]),
}


def sides_of(path: Path) -> list[str]:
    notes = {note.code: note.text for note in conform(read_scan(path), size=64, voxel_size_mm=4.0).notes}
    assert set(notes) <= {"head-cut"}
    words = notes.get("head-cut", "").replace("(", " ").split()
    return [side for side in words if side in {"superior", "inferior", "anterior", "posterior", "left", "right"}]


@pytest.mark.parametrize("name", CUTS)
def test_the_sides_that_are_cut_are_named(name: str, tmp_path: Path) -> None:
    part, sides = CUTS[name]
    data = np.ascontiguousarray(head()[part])
    assert sides_of(write_head(tmp_path / "edge.nii", data, dim=[3, *data.shape, 1, 1, 1, 1])) == sides
    padded = np.pad(data, 3)
    assert sides_of(write_head(tmp_path / "padded.nii", padded, dim=[3, *padded.shape, 1, 1, 1, 1])) == sides


def test_a_head_whose_neck_leaves_the_field_of_view_has_no_note(tmp_path: Path) -> None:
    data = head()
    data[13:28, 18:36, :12] = 500
    assert sides_of(write_head(tmp_path / "neck.nii", data)) == []


@pytest.mark.parametrize(
    ("name", "sides"),
    [
        ("M2265_T2w_regridded.nii.gz", []),
        ("head_FLAIR_1mm.nii.gz", []),
        ("t1_crop.nii.gz", []),
        ("oms/patient01_study2_T1W.nii.gz", []),
        ("oms/patient03_study1_T2W.nii.gz", ["superior"]),
    ],
)
def test_of_real_heads_only_one_with_brain_in_its_last_slice_is_cut(
    shared_data: Path, name: str, sides: list[str]
) -> None:
    assert sides_of(shared_data / "scans" / name) == sides


def test_a_real_ct_is_noted(shared_data: Path) -> None:
    path = shared_data / "scans" / "geometry" / "niivue_shear.nii.gz"
    (note,) = conform(read_scan(path), size=64, voxel_size_mm=4.0).notes
    assert note.code == "looks-like-ct"
