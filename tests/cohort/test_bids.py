"""Scans and masks are found in a BIDS data set and in a plain folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshnet.cohort.bids import CohortError, find_bids, find_pairs


def test_pairs_in_a_plain_folder_are_found(arc: Path, tmp_path: Path) -> None:
    case = find_bids(arc, [])[0][0]
    (tmp_path / "a.nii.gz").write_bytes(case.image.read_bytes())
    (tmp_path / "a_mask.nii.gz").write_bytes(case.mask.read_bytes())
    (tmp_path / "b.nii.gz").write_bytes(case.image.read_bytes())
    cases, excluded = find_pairs(tmp_path)
    assert [c.name for c in cases] == ["a"]
    assert excluded[0].reason == "no b_mask.nii.gz beside it"


def test_a_folder_without_scans_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="expected a BIDS data set"):
        find_bids(tmp_path, [])
