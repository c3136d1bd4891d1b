"""Both sides drop the same lesion components, and the same pieces."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from meshnet.infer.brain_rule import without_parts_outside_brain
from meshnet.model.spec import ModelSpec, dump_spec
from tests.helpers.joint_model import LESION, brain_with_lesions, joint_spec
from tests.helpers.parity.prepared import Site

SHAPE = (44, 48, 53)
RNG = np.random.default_rng(5)


def specks(share: float) -> NDArray[np.uint8]:
    labels = brain_with_lesions(SHAPE)
    labels[RNG.random(SHAPE) < share] = LESION
    return labels


VOLUMES = {
    "none": brain_with_lesions(SHAPE),
    "one in the brain, one in an eye, one at the volume's corner": brain_with_lesions(
        SHAPE, ((22, 20, 30), 5), ((22, 5, 46), 4), ((0, 47, 0), 3)
    ),
    "one across the edge of the brain": brain_with_lesions(SHAPE, ((22, 24, 38), 6)),
    "few specks": specks(0.002),
    "many specks": specks(0.05),
    "a sponge": specks(0.4),
    "all lesion": np.full(SHAPE, LESION, np.uint8),
    "noise of all labels": RNG.choice(5, SHAPE, p=(0.45, 0.15, 0.15, 0.15, 0.1)).astype(np.uint8),
}


@pytest.mark.parametrize("name", VOLUMES)
def test_both_drop_the_same_voxels(name: str, site: Site, tmp_path: Path) -> None:
    dropped = dropped_by_both(VOLUMES[name], joint_spec(), site, tmp_path)
    assert (dropped > 0) == (name not in ("none", "all lesion", "one across the edge of the brain"))


@pytest.mark.parametrize("name", VOLUMES)
def test_both_keep_the_same_piece(name: str, site: Site, tmp_path: Path) -> None:
    spec = joint_spec().model_copy(update={"pieces": "largest"})
    dropped = dropped_by_both(VOLUMES[name], spec, site, tmp_path)
    assert (dropped > 0) == (name != "all lesion"), "the tips of a ball are thinner than the pieces that are told apart"


def dropped_by_both(labels: NDArray[np.uint8], spec: ModelSpec, site: Site, tmp_path: Path) -> int:
    """Voxels that both set to background, after a comparison voxel by voxel."""
    (tmp_path / "labels.u8").write_bytes(labels.tobytes(order="F"))
    paths = {"brainRule": str(tmp_path / "labels.u8"), "out": str(tmp_path / "kept.u8")}
    (result,) = site([{**paths, "dims": SHAPE, "spec": json.loads(dump_spec(spec))}])
    kept, dropped = without_parts_outside_brain(labels, spec)
    assert result == {"removedVoxels": dropped}
    assert np.array_equal(np.fromfile(tmp_path / "kept.u8", np.uint8).reshape(SHAPE, order="F"), kept)
    return dropped
