"""`--remove-below` and the page's cleaning remove the same components."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from meshnet.scan.small_components import remove_small_components
from tests.helpers.parity.prepared import Site


@pytest.mark.parametrize("smallest_voxels", [1, 2.5, 7, 8, 300])
def test_both_remove_the_same_components(smallest_voxels: float, site: Site, tmp_path: Path) -> None:
    """Labels of four values whose components touch by faces, edges and corners, and reach the volume's border."""
    smooth = gaussian_filter(np.random.default_rng(2).standard_normal((37, 29, 23)), 1)
    labels = np.digitize(smooth, [0.05, 0.1, 0.2]).astype(np.uint8) * np.uint8(60)
    (tmp_path / "labels.u8").write_bytes(labels.tobytes(order="F"))
    kept, removed = remove_small_components(labels, smallest_voxels)
    job = {"clean": str(tmp_path / "labels.u8"), "dims": labels.shape, "smallestVoxels": smallest_voxels}
    (result,) = site([job | {"out": str(tmp_path / "kept.u8")}])
    assert result["removedVoxels"] == removed
    assert (removed > 0) == (smallest_voxels > 1)
    assert np.array_equal(np.fromfile(tmp_path / "kept.u8", np.uint8).reshape(labels.shape, order="F"), kept)
