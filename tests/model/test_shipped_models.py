"""The models that ship are complete, have cards, and segment real scans. Whole scans: half a minute."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from meshnet.infer.backends import fastest_backend, open_network
from meshnet.infer.one_scan import Prediction, predict
from meshnet.model.checkpoint import load_checkpoint
from meshnet.scan.nifti import read_scan
from meshnet.score.metrics import dice
from tests.helpers.paths import REPO

SHIPPED = sorted(path.parent.name for path in (REPO / "models").glob("*/model.json"))
SAMPLES = REPO / "static" / "public" / "sample"
#: The lesion's label in `t2-lesion`.
LESION = 4


def _segment(model: str, scan: Path) -> Prediction:
    spec, weights = load_checkpoint(REPO / "models" / model)
    network, _ = open_network(spec, weights, backend=fastest_backend(), threads=2)
    return predict(read_scan(scan), spec, network)


def test_models_of_lesion_tissue_brain_and_deep_structures_ship() -> None:
    assert SHIPPED == ["brain", "deep", "t2-lesion", "tissue"]


@pytest.mark.parametrize("model", SHIPPED)
def test_a_card_names_its_weights_and_its_pictures_exist(model: str) -> None:
    folder = REPO / "models" / model
    card = (folder / "README.md").read_text()
    spec, _ = load_checkpoint(folder)
    assert spec.weights.sha256[:12] in card
    assert "not for diagnosis" in card
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", card)
    assert pictures
    for picture in pictures:
        assert (folder / picture).is_file(), picture


@pytest.mark.parametrize("name", ["sample_T1w", "sample_T2w"])
def test_a_sample_is_a_scan_without_a_doubt(name: str) -> None:
    scan = read_scan(SAMPLES / f"{name}.nii.gz")
    assert scan.notes == ()


def test_the_samples_lesion_is_found_where_it_is() -> None:
    """The T2w sample holds one lesion of 61 mL, in the left frontal lobe (`meshnet.lab.make_sample`)."""
    labels = _segment("t2-lesion", SAMPLES / "sample_T2w.nii.gz").labels_native
    affine = read_scan(SAMPLES / "sample_T2w.nii.gz").affine_vox2ras
    right_mm, _, superior_mm = affine[:3, :3] @ np.argwhere(labels == LESION).mean(axis=0) + affine[:3, 3]
    assert 35_000 < np.count_nonzero(labels == LESION) < 75_000
    assert -55 < right_mm < -25
    assert -30 < superior_mm < 25


def test_the_lesion_model_finds_the_lesion_of_a_real_scan(shared_data: Path) -> None:
    found = _segment("t2-lesion", shared_data / "scans" / "M2265_T2w.nii.gz").labels_conformed == LESION
    expected = np.asarray(read_scan(shared_data / "expected" / "M2265_T2w__brainchop_t2_lesion.nii.gz").data) > 0
    assert dice(found, expected) >= 0.65
