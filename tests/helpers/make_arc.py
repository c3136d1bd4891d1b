"""Prepared folders of the toy data set, for tests that train."""

from __future__ import annotations

from pathlib import Path

from meshnet.cohort import prepare
from meshnet.cohort.toy_data import EMPTY_LESION, MISSING_MASK, OTHER_ACQUISITION, WRONG_GRID, make_arc

__all__ = ["EMPTY_LESION", "MISSING_MASK", "OTHER_ACQUISITION", "WRONG_GRID", "make_arc", "prepare_arc"]


def prepare_arc(folder: Path, *, subjects: int, size: int, voxel_size_mm: float) -> Path:
    """The folder of meshnet-prepare for such a data set without broken scans; both are written below `folder`."""
    make_arc(folder / "bids", subjects=subjects, broken=False)
    grid = ["--size", str(size), "--voxel-size-mm", str(voxel_size_mm), "--workers", "1"]
    assert prepare.main([str(folder / "bids"), str(folder / "prepared"), *grid]) == 0
    return folder / "prepared"
