"""Wheels in a folder are all that a machine without a network needs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from meshnet import __version__
from tests.helpers.browser.site import assert_same_labels, predicted, write_model, write_scan
from tests.helpers.dicom_series import write_series
from tests.helpers.heads import HEAD_AFFINE, bright_model, head
from tests.helpers.paths import REPO


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheels of `make wheels`, built from a copy of the committed files."""
    work = tmp_path_factory.mktemp("wheels")
    subprocess.run(["git", "clone", "--quiet", "--depth", "1", REPO.as_uri(), work / "source"], check=True)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation"]
    command += ["-c", "constraints.txt", "-w", str(work / "wheels"), "."]
    done = subprocess.run(command, cwd=work / "source", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return work / "wheels"


#: Runs a command without any route to another machine, where that is allowed.
ISOLATED = ["unshare", "--net"] if os.geteuid() == 0 and shutil.which("unshare") else []


@pytest.fixture(scope="module")
def commands(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the commands of a fresh environment that was installed from the wheels."""
    folder = tmp_path_factory.mktemp("fresh")
    subprocess.run([*ISOLATED, sys.executable, "-m", "venv", folder / "venv"], check=True)
    install = ["-m", "pip", "install", "--quiet", "--no-index", "--find-links", wheels, "meshnet"]
    subprocess.run([*ISOLATED, folder / "venv" / "bin" / "python", *install], check=True, cwd=folder)
    return folder / "venv" / "bin"


def test_the_wheel_contains_the_built_site_and_the_models(wheels: Path) -> None:
    (own,) = wheels.glob("meshnet-*.whl")
    names = set(zipfile.ZipFile(own).namelist())
    assert {"webapp/site/index.html", "webapp/site/sw.js", "webapp/site/manifest.webmanifest"} <= names
    assert any(name.startswith("webapp/site/assets/") and name.endswith(".wasm") for name in names)
    models = sorted(path.parent.name for path in (REPO / "models").glob("*/model.json"))
    assert models
    for model in models:
        assert f"webapp/models/{model}/model.json" in names


def test_what_serving_needs_has_neither_torch_nor_tensorflow(wheels: Path) -> None:
    assert not [
        path.name for path in wheels.iterdir() if path.name.lower().startswith(("torch", "tensorflow", "keras"))
    ]


def test_a_fresh_environment_gets_working_commands(commands: Path, tmp_path: Path) -> None:
    """As pipx installs: an environment by itself, its commands linked into a folder on the path."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "meshnet-predict").symlink_to(commands / "meshnet-predict")
    write_model(tmp_path, "coarse")
    write_scan(tmp_path / "scan.nii.gz")
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}
    environment.pop("PYTHONPATH", None)

    def run(*words: str) -> str:
        command = [tmp_path / "bin" / "meshnet-predict", *words]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert __version__ in run("--version")
    assert all(path.parent.name in run("--list-models") for path in (REPO / "models").glob("*/model.json"))
    run("coarse", "scan.nii.gz", "-o", "out")
    assert_same_labels(
        next((tmp_path / "out").rglob("*.nii.gz")), predicted(tmp_path / "coarse", tmp_path / "scan.nii.gz", tmp_path)
    )


@pytest.mark.skipif(not ISOLATED, reason="needs root, for a network namespace")
def test_without_any_route_wheels_install_serve_and_segment(commands: Path, tmp_path: Path) -> None:
    visit = ["-m", "tests.helpers.browser.airgapped_visit", str(commands), str(tmp_path)]
    done = subprocess.run([*ISOLATED, sys.executable, *visit], cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert set(found["models"]) >= {path.parent.name for path in (REPO / "models").glob("*/model.json")}
    assert found["rows"], "no label was measured"
    assert all("mL" in row for row in found["rows"])


def commands_of_the_readme() -> list[str]:
    """The table "Ten things to type"."""
    _, table, *_ = (REPO / "README.md").read_text().split("### Ten things to type")[1].split("\n\n")
    return re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)


def write_data(folder: Path) -> None:
    """The files and folders that these commands name."""

    def save(name: str, data: np.ndarray) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(data, HEAD_AFFINE), folder / name)

    for name in ("scan", "scans/a", "bids/sub-01/anat/sub-01_T2w"):
        save(f"{name}.nii.gz", head())
    save("masks/a_mask.nii.gz", (head() > 600).astype(np.uint8))
    slices = write_series(folder / "dicom-folder")
    with zipfile.ZipFile(folder / "study.zip", "w") as archive:
        for path in slices:
            archive.write(path, path.name)


def test_the_ten_commands_of_the_readme_run_from_the_wheel(wheels: Path, tmp_path: Path) -> None:
    """With a quick model under the ids of those that ship; the wheel's dependencies are this environment's."""
    (own,) = wheels.glob("meshnet-*.whl")
    site, work = tmp_path / "installed", tmp_path / "work"
    install = ["install", "--quiet", "--no-index", "--no-deps", "--target", site, own]
    subprocess.run([sys.executable, "-m", "pip", *install], check=True)
    for model_id in ("t2-lesion", "tissue"):
        bright_model(site / "webapp" / "models" / model_id, model_id=model_id, modality=("T2w",), task="stroke lesion")
    work.mkdir()
    write_data(work)
    environment = os.environ | {"PYTHONPATH": str(site), "PATH": f"{site / 'bin'}:{os.environ['PATH']}"}
    commands = commands_of_the_readme()
    assert len(commands) == 10
    for command in commands:
        done = subprocess.run(
            ["bash", "-c", command], cwd=work, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        assert "Traceback" not in done.stderr, command
    expected = [
        *("scan_t2-lesion.nii.gz", "tissue.nii.gz", "volumes.csv", "results/a_t2-lesion.nii.gz", "scores.csv"),
        *("picked/sub-01_T2w_t2-lesion.nii.gz", "from-dicom/dicom-folder_3_T2_test_t2-lesion.nii.gz"),
        *("from-dicom/study_3_T2_test_t2-lesion.nii.gz", "from-dicom/study_3_T2_test_t2-lesion.dcm"),
        *("scan_t2-lesion_flip_threshold0.3.nii.gz", "scan_t2-lesion_flip_threshold0.3_probseg.nii.gz"),
        *("bids/derivatives/meshnet/sub-01/anat/sub-01_label-lesion_mask.nii.gz",),
    ]
    assert [name for name in expected if not (work / name).is_file()] == []
    assert "lesion" in done.stdout
