"""Wheels in a folder are all that a machine without a network needs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from meshnet import __version__
from tests.helpers.browser.site import assert_same_labels, predicted, write_model, write_scan
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


def test_a_fresh_environment_gets_working_commands(wheels: Path, tmp_path: Path) -> None:
    """As pipx installs: an environment by itself, its commands linked into a folder on the path."""
    venv.create(tmp_path / "venv", with_pip=True)
    commands = tmp_path / "venv" / "bin"
    install = [commands / "python", "-m", "pip", "install", "--quiet", "--no-index", "--find-links", wheels, "meshnet"]
    subprocess.run(install, check=True, cwd=tmp_path)
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


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root, for a network namespace")
def test_without_any_route_wheels_install_serve_and_segment(wheels: Path, tmp_path: Path) -> None:
    visit = ["-m", "tests.helpers.browser.airgapped_visit", str(wheels), str(tmp_path)]
    command = ["unshare", "--net", sys.executable, *visit]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = json.loads(done.stdout)
    assert rows, "no label was measured"
    assert all("mL" in row for row in rows)
