"""make gpu-bundle: what the archive holds, and its script on packages that are here and missing."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import lzma
import os
import subprocess
import sys
import tarfile
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath
from types import ModuleType

import pytest
import yaml  # type: ignore[import-untyped]
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bench.bundle import pack
from bench.bundle.pack import TOP, code_entries, collect, write_archive
from bench.bundle.packages import PACKAGES, _stem, collect_packages
from bench.bundle.recipe import one_phase
from bench.deno import DENO, ENGINE, build_deno_engine
from meshnet.train.recipe import compose_recipe
from tests.helpers.paths import REPO


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The files of an archive without training data, with one network for the report."""
    problem = None if (ENGINE / "webgpu.js").is_file() else build_deno_engine()
    if problem is not None:
        pytest.fail(problem)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pack, "all_names", lambda: ["meshnet-5"])
        patch.setattr(pack, "compressed_deno", empty_deno)  # compressing it takes minutes
        return collect(tmp_path_factory.mktemp("parts"), None, f"{sys.version_info.major}.{sys.version_info.minor}")


def empty_deno(parts: Path) -> Path:
    (parts / "deno.xz").write_bytes(lzma.compress(b""))
    return parts / "deno.xz"


def test_the_archive_holds_code_engine_deno_models_and_packages(entries: dict[str, Path]) -> None:
    wanted = {
        "run.py",
        "code/bench/gpu/cli.py",
        "code/bench/gpu/multiply_add.wgsl",
        "code/meshnet/train/loop.py",
        "code/meshnet/conf/trainer/cuda.yaml",
        "code/models/t2-lesion/model.json",
        "code/tests/train/test_gpu.py",
        "code/static/dist-engine/webgpu.js",
        "deno.xz",
        "code/recipe.yaml",
        "packages/scipy/scipy/ndimage/__init__.py",
        "packages/hydra-core/hydra/__init__.py",
        "work/models/meshnet-5/web/weights.safetensors",
        "work/models/meshnet-5/model.onnx",
    }
    assert wanted <= set(entries)
    assert all(path.is_file() for path in entries.values())
    assert {name.split("/")[1] for name in entries if name.startswith("packages/")} == {*PACKAGES, "packages.json"}


def test_nothing_of_the_data_folder_is_in_it_unless_it_is_asked_for(entries: dict[str, Path]) -> None:
    shared = REPO.parent / "shared"
    assert not [name for name, path in entries.items() if shared in path.resolve().parents]
    assert not [name for name in entries if name.startswith("data/")]


def test_before_compression_what_is_beside_deno_and_the_data_is_small(entries: dict[str, Path]) -> None:
    """Compressed, Deno takes 29 MB, heads and lesion masks 13 MB, and the rest less than a quarter of its bytes."""
    assert DENO.stat().st_size < 100e6
    assert sum(path.stat().st_size for path in entries.values() if path.suffix != ".xz") < 85e6


def test_of_scipy_and_lightning_only_what_is_used_is_taken(tmp_path: Path) -> None:
    by_name = {each.name: each for each in collect_packages(_here(), tmp_path)}
    scipy, lightning = by_name["scipy"], by_name["lightning"]
    assert lightning.files["lightning/__init__.py"].read_text() == ""
    assert "lightning/fabric/fabric.py" in lightning.files
    assert not [name for name in lightning.files if name.startswith("lightning/pytorch/")]
    assert "scipy/ndimage/_filters.py" in scipy.files
    assert not [name for name in scipy.files if name.startswith(("scipy/stats/", "scipy/optimize/"))]
    assert [name for name in scipy.files if name.startswith("scipy.libs/")]
    assert scipy.python == _here()
    here, other = (PurePosixPath(f"scipy/a.cpython-{version}-x86_64-linux-gnu.so") for version in (311, 312))
    assert _stem(here) == _stem(other)


def test_training_and_report_load_where_only_pytorch_and_the_archive_are(
    entries: dict[str, Path], tmp_path: Path
) -> None:
    for name, path in entries.items():
        if name.startswith(("code/", "packages/")):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).symlink_to(path.resolve())
    machine = tmp_path / "machine"
    machine.mkdir()
    for name in {"numpy"} | _needed_by("torch"):
        with contextlib.suppress(PackageNotFoundError):
            _link(distribution(name), machine)
    parts = "bench.gpu.cli, bench.gpu.peer_child, bench.gpu.train_child, meshnet.train.cli"
    command = [sys.executable, "-S", "-c", f"import {parts}"]  # -S: without this environment's packages
    folders = [tmp_path / "code", machine, *(tmp_path / "packages" / name for name in PACKAGES)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}
    loaded = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert loaded.returncode == 0, loaded.stderr


def _link(found: Distribution, folder: Path) -> None:
    """Links to the distribution's top-level files and folders, in `folder`."""
    for name in {PurePosixPath(str(path)).parts[0] for path in found.files or []} - {"..", "__pycache__"}:
        if not (folder / name).exists():
            (folder / name).symlink_to(Path(str(found.locate_file(name))).resolve())


def _needed_by(name: str) -> set[str]:
    """The distribution and everything that it requires, without extras."""
    found, waiting = set(), [name]
    while waiting:
        each = waiting.pop()
        if canonicalize_name(each) in found:
            continue
        found.add(canonicalize_name(each))
        with contextlib.suppress(PackageNotFoundError):
            needed = [Requirement(line) for line in distribution(each).requires or []]
            waiting += [each.name for each in needed if each.marker is None or each.marker.evaluate({"extra": ""})]
    return found


def _here() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def test_the_recipe_is_one_phase_from_the_shipped_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPO)
    (tmp_path / "recipe.yaml").write_text(
        one_phase(REPO / "meshnet" / "conf" / "recipe" / "t2-lesion.yaml", "label-maps-again")
    )
    assert list(yaml.safe_load((tmp_path / "recipe.yaml").read_text())["phases"]) == ["label-maps-again"]
    composed = compose_recipe([f"recipe={tmp_path / 'recipe.yaml'}", "data.anatomies=heads", "data.lesions=[a.npz]"])
    (config,) = composed.configs["label-maps-again"]
    assert config.data.labels == ["background", "csf", "grey", "white", "lesion"]
    assert composed.recipe.phases["label-maps-again"].start == "models/t2-lesion"


def test_the_archive_has_one_folder_and_keeps_programs_executable(tmp_path: Path) -> None:
    (tmp_path / "program").write_text("#!/bin/sh\n")
    (tmp_path / "program").chmod(0o755)
    (tmp_path / "text").write_text("a")
    archive = tmp_path / "small.tar.xz"
    size = write_archive(archive, {"code/program": tmp_path / "program", "run.py": tmp_path / "text"})
    assert size == archive.stat().st_size
    with tarfile.open(archive) as tar:
        modes = {member.name: (member.mode, member.uid) for member in tar.getmembers()}
    assert modes == {f"{TOP}/code/program": (0o755, 0), f"{TOP}/run.py": (0o644, 0)}


@pytest.fixture
def run_script(tmp_path: Path) -> ModuleType:
    """run.py in an unpacked archive with two packages, one of which is missing here."""
    (tmp_path / "run.py").write_text((REPO / "bench" / "bundle" / "run.py").read_text())
    (tmp_path / "packages" / "absent").mkdir(parents=True)
    listed = [
        {"name": "numpy", "module": "numpy", "python": ""},
        {"name": "absent", "module": "absent_module.part", "python": ""},
    ]
    (tmp_path / "packages" / "packages.json").write_text(json.dumps(listed))
    spec = importlib.util.spec_from_file_location("bundle_run", tmp_path / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_package_is_used_where_the_machine_lacks_it_only(run_script: ModuleType, tmp_path: Path) -> None:
    paths = run_script.packages_here()["PYTHONPATH"].split(":")
    assert paths[:2] == [str(tmp_path / "code"), str(tmp_path / "packages" / "absent")]
    assert str(tmp_path / "packages" / "numpy") not in paths


def test_a_missing_package_for_another_python_is_named_with_the_way_out(run_script: ModuleType, tmp_path: Path) -> None:
    listed = [{"name": "absent", "module": "absent_module", "python": "3.4"}]
    (tmp_path / "packages" / "packages.json").write_text(json.dumps(listed))
    with pytest.raises(RuntimeError, match=r"absent: packed for Python 3\.4, this is .*; pack again with"):
        run_script.packages_here()


def test_the_script_needs_nothing_but_the_standard_library() -> None:
    text = (REPO / "bench" / "bundle" / "run.py").read_text()
    imported = {line.split()[1].split(".")[0] for line in text.splitlines() if line.startswith(("import ", "from "))}
    assert imported <= set(sys.stdlib_module_names) | {"__future__"}


def test_an_engine_that_is_not_built_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pack, "ENGINE", tmp_path)
    with pytest.raises(FileNotFoundError, match="not there; `make gpu-bundle` builds it"):
        code_entries()
