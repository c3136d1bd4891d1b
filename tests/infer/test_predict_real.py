"""Published models on real scans at full size give the published results. Minutes, not seconds: whole 256^3 volumes."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import label as connected_components

from export.published import import_published
from meshnet.infer.backends import open_network
from meshnet.infer.one_scan import measure, predict
from meshnet.infer.predict import main
from meshnet.model.checkpoint import load_checkpoint
from meshnet.scan.nifti import read_scan
from meshnet.scan.scan_grid import label_counts


@pytest.fixture(scope="module")
def published(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of imported model folders, by id."""
    folder = tmp_path_factory.mktemp("published")
    import_published(shared_data / "models", folder)
    return folder


def load_labels(path: Path) -> NDArray[np.uint8]:
    labels: NDArray[np.uint8] = np.asarray(nib.load(path).dataobj)
    return labels


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float(2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b)))


def table(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def test_the_lesion_of_m2265_is_found_whole(shared_data: Path, published: Path, tmp_path: Path) -> None:
    scan = shared_data / "scans" / "M2265_T2w.nii.gz"
    code = main([str(published / "brainchop-t2-lesion"), str(scan), "-o", str(tmp_path), "-q",
                 "--csv", str(tmp_path / "t.csv")])  # fmt: skip
    assert code == 0
    labels = load_labels(tmp_path / "M2265_T2w_brainchop-t2-lesion.nii.gz")
    expected = load_labels(shared_data / "expected" / "M2265_T2w__brainchop_t2_lesion.nii.gz")
    assert int(labels.sum()) == 34_917
    assert (labels == expected).mean() >= 0.9999
    assert dice(labels > 0, expected > 0) >= 0.999
    assert connected_components(labels, np.ones((3, 3, 3)))[1] == 1
    assert round(float(table(tmp_path / "t.csv")["lesion"]["volume_ml"]), 1) == 34.9


def test_the_lesion_of_the_regridded_m2265_is_found_on_both_grids(shared_data: Path, published: Path) -> None:
    spec, weights = load_checkpoint(published / "brainchop-t2-lesion")
    scan = read_scan(shared_data / "scans" / "M2265_T2w_regridded.nii.gz")
    network, _ = open_network(spec, weights, backend="cpu", threads=os.cpu_count() or 1)
    prediction = predict(scan, spec, network)
    for space in ("conformed", "native"):
        labels = prediction.labels_native if space == "native" else prediction.labels_conformed
        name = f"M2265_T2w_regridded__brainchop_t2_lesion_{space}.nii.gz"
        expected = load_labels(shared_data / "expected" / name)
        assert dice(labels > 0, expected > 0) >= 0.999
    lesion = measure(spec, scan, prediction.labels_native)[1]
    assert lesion[0].name == "lesion"
    assert lesion[2] == pytest.approx(42.66, abs=0.05)


@pytest.mark.parametrize("backend", ["cpu", "onnx", "torch"])
def test_grey_and_white_matter_have_exactly_the_published_counts(
    shared_data: Path, published: Path, tmp_path: Path, backend: str
) -> None:
    scan = shared_data / "scans" / "t1_crop.nii.gz"
    model = str(published / "brainchop-model5-gw-ae")
    assert main([model, str(scan), "-o", str(tmp_path), "-q", "--backend", backend]) == 0
    labels = load_labels(tmp_path / "t1_crop_brainchop-model5-gw-ae.nii.gz")
    assert label_counts(labels, 3) == [15_523_464, 518_540, 735_212]
    expected = load_labels(shared_data / "expected" / "t1_crop__brainchop_model5_gw_ae.nii.gz")
    assert (labels == expected).mean() >= 0.9999
    for index in range(3):
        assert dice(labels == index, expected == index) >= 0.999


def test_meshnet26_of_arc_sees_the_scan_in_ras_order(shared_data: Path, published: Path, tmp_path: Path) -> None:
    scan = shared_data / "scans" / "M2265_T2w.nii.gz"
    assert main([str(published / "arc-meshnet26"), str(scan), "-o", str(tmp_path), "-q"]) == 0
    labels = load_labels(tmp_path / "M2265_T2w_arc-meshnet26.nii.gz")
    t2_lesion = load_labels(shared_data / "expected" / "M2265_T2w__brainchop_t2_lesion.nii.gz")
    assert int(labels.sum()) == pytest.approx(85_034, rel=1e-3)
    assert dice(labels > 0, t2_lesion > 0) == pytest.approx(0.580, abs=0.005)
    assert np.count_nonzero(labels & t2_lesion) / int(t2_lesion.sum()) == pytest.approx(0.996, abs=0.002)
