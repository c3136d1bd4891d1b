"""One scan through page, `meshnet-predict`, `meshnet.segment`, `meshnet-bids` and npm package: identical labels."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

import meshnet
from meshnet.bids.cli import main as bids
from tests.helpers.browser.chromium import NO_GPU, OpenPage
from tests.helpers.browser.site import drop, predicted, save, segment, wait_for, write_model, write_scan
from tests.helpers.npm_package import EXAMPLES, install, pack, run_program

SCAN = "sub-1/anat/sub-1_T2w.nii.gz"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of three labels that have blurred borders."""
    folder = tmp_path_factory.mktemp("models")
    write_model(folder, "coarse", modality=("T2w",))
    return folder


@pytest.fixture(scope="module")
def data_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BIDS data set of one oblique, flipped, anisotropic scan."""
    folder = tmp_path_factory.mktemp("bids")
    (folder / SCAN).parent.mkdir(parents=True)
    write_scan(folder / SCAN)
    (folder / "dataset_description.json").write_text(json.dumps({"Name": "one", "BIDSVersion": "1.10.0"}))
    return folder


def labels_in(path: Path) -> NDArray[np.uint8]:
    return np.asanyarray(nib.load(path).dataobj)


def test_five_ways_give_identical_labels(
    models: Path, data_set: Path, url: str, open_page: OpenPage, tmp_path: Path
) -> None:
    model, scan = models / "coarse", data_set / SCAN
    found = {"meshnet-predict": labels_in(predicted(model, scan, tmp_path))}
    found["meshnet.segment"] = np.asarray(meshnet.segment(scan, model).labels.dataobj)

    out = tmp_path / "derivatives"
    assert bids([str(data_set), str(out), "participant", "--model", str(model)]) == 0
    found["meshnet-bids"] = labels_in(next(out.rglob("*_dseg.nii.gz")))

    project = install(pack(tmp_path), tmp_path / "project")
    shutil.copy(EXAMPLES / "node" / "segment.mjs", project)
    done = run_program("node", project / "segment.mjs", scan, tmp_path / "npm.nii.gz", model)
    assert done.returncode == 0, done.stderr
    found["npm package"] = labels_in(tmp_path / "npm.nii.gz")

    page = open_page("/", flags=NO_GPU, url=url)
    drop(page, scan)
    wait_for(page, "ready")
    segment(page, "coarse")
    found["page"] = labels_in(save(page, "native", tmp_path))

    wanted = found["meshnet-predict"]
    assert set(np.unique(wanted)) == {0, 1, 2}
    assert {way: int((labels != wanted).sum()) for way, labels in found.items()} == dict.fromkeys(found, 0)
