"""A conformed volume is reordered to any axis order by flips and permutations, and back."""

from __future__ import annotations

from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest

from meshnet.scan.orientation import reorient

CODES = ["".join(code) for pairs in permutations(("LR", "AP", "SI")) for code in product(*pairs)]


def test_the_48_orientations_give_48_different_volumes() -> None:
    volume = np.arange(4 * 5 * 6, dtype=np.uint8).reshape(4, 5, 6)
    turned = [reorient(volume, end=code) for code in CODES]
    assert len({(other.shape, other.tobytes()) for other in turned}) == 48


@pytest.mark.parametrize("code", CODES)
def test_every_orientation_agrees_with_nibabel_and_comes_back(code: str) -> None:
    volume = np.arange(4 * 5 * 6, dtype=np.uint8).reshape(4, 5, 6)
    there = reorient(volume, end=code)
    start, end = (nib.orientations.axcodes2ornt(codes) for codes in ("LIA", code))
    assert np.array_equal(there, nib.apply_orientation(volume, nib.orientations.ornt_transform(start, end)))
    assert there.flags.c_contiguous
    assert np.array_equal(reorient(there, start=code, end="LIA"), volume)


def test_ras_by_hand() -> None:
    """LIA voxel (i, j, k) lies at RAS voxel (n - 1 - i, k, n - 1 - j)."""
    volume = np.zeros((4, 5, 6), np.uint8)
    volume[1, 0, 2] = 9
    ras = reorient(volume, end="RAS")
    assert ras.shape == (4, 6, 5)
    assert np.argwhere(ras == 9).tolist() == [[2, 2, 4]]


@pytest.mark.parametrize("code", ["LIL", "LI", "LIAS", "XYZ", "lia", ""])
def test_what_is_no_orientation_is_refused(code: str) -> None:
    with pytest.raises(ValueError, match="expected one letter each of L/R, A/P and S/I"):
        reorient(np.zeros((2, 2, 2), np.uint8), end=code)
