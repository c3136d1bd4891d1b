"""`Segmentation.lesions` and the page's list of parts have the same order, sizes and centres."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from meshnet.infer.lesions import find_lesions, lesion_labels
from meshnet.model.spec import make_labels
from tests.helpers.parity.prepared import Site
from tests.helpers.scan_files import GEOMETRIES
from tests.helpers.specs import a_spec


def test_both_list_the_same_parts(site: Site, tmp_path: Path) -> None:
    affine, _ = GEOMETRIES["oblique"]
    smooth = gaussian_filter(np.random.default_rng(4).standard_normal((25, 31, 19)), 1)
    mask = (smooth > 0.22).astype(np.uint8)
    (tmp_path / "mask.u8").write_bytes(mask.tobytes(order="F"))
    spec = a_spec(task="stroke lesion")
    lesions = find_lesions(spec, mask, affine)
    (parts,) = site([{"parts": str(tmp_path / "mask.u8"), "dims": mask.shape}])
    assert parts["count"] == len(lesions) > 20
    assert [part["voxels"] for part in parts["largest"]] == [lesion.voxels for lesion in lesions]
    for part, lesion in zip(parts["largest"], lesions, strict=True):
        assert lesion.centre_ras_mm == pytest.approx((affine @ [*part["centre"], 1])[:3])
        assert lesion.volume_ml == pytest.approx(lesion.voxels * 1.1 * 0.8 * 1.7 / 1000)


def test_lesions_are_found_by_the_names_of_labels_and_by_the_task() -> None:
    assert lesion_labels(a_spec(task="stroke lesion")) == [1]
    assert lesion_labels(a_spec(task="tissue", labels=make_labels(["background", "grey"]))) == []
    assert lesion_labels(a_spec(task="lesions", labels=make_labels(["background", "stroke"]))) == [1]
