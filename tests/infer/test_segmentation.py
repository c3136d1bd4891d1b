"""`meshnet.segment` gives what `meshnet-predict` gives, for paths, images and arrays; the documented examples run."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

import meshnet
from meshnet.infer.predict import main
from meshnet.infer.sidecar import read_sidecar
from tests.helpers.dicom_series import write_series
from tests.helpers.heads import HEAD_AFFINE, bright_model, head, write_head
from tests.helpers.paths import REPO


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with scan.nii.gz and known models that mark what is bright: `t2-lesion` (the default) and `tissue`."""
    bright_model(tmp_path / "known" / "t2-lesion", model_id="t2-lesion", task="stroke lesion")
    bright_model(tmp_path / "known" / "tissue", model_id="tissue", task="tissue", above=0.3)
    monkeypatch.setattr("meshnet.model.shipped.default_models", lambda: [tmp_path / "known"])
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    nib.save(nib.Nifti1Image(head(), HEAD_AFFINE), "scan.nii.gz")
    return tmp_path / "here"


def labels_of(result: meshnet.Segmentation) -> np.ndarray:
    return np.asarray(result.labels.dataobj)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, []),
        ({"remove_below_ml": 0.2, "model": "tissue"}, ["--remove-below", "0.2", "--model", "tissue"]),
        ({"threshold": 0.4, "flip": True}, ["--threshold", "0.4", "--flip"]),
        ({"backend": "onnx", "threads": 1}, ["--backend", "onnx", "--threads", "1"]),
    ],
)
def test_labels_volumes_and_saved_files_are_those_of_the_command_line(options: dict, words: list[str]) -> None:
    result = meshnet.segment("scan.nii.gz", **options)
    assert main(["scan.nii.gz", "-o", "command.nii.gz", "--sidecar", "-q", *words]) == 0
    assert result.save("python.nii.gz", sidecar=True) == Path("python.nii.gz")
    assert Path("python.nii.gz").read_bytes() == Path("command.nii.gz").read_bytes()
    ours, theirs = read_sidecar(Path("python.json")), read_sidecar(Path("command.json"))
    assert ours is not None
    assert theirs is not None
    unlike = {"software", "created", "command"}
    assert ours.model_dump(exclude=unlike) == theirs.model_dump(exclude=unlike)
    assert (ours.software.interface, ours.command) == ("Python", None)
    assert result.volumes_ml == {v.name: pytest.approx(v.volume_ml, abs=1e-4) for v in theirs.volumes if v.index}


def test_paths_images_and_arrays_give_the_same_labels() -> None:
    expected = labels_of(meshnet.segment("scan.nii.gz"))
    assert 0 < expected.sum() < expected.size
    loaded = nib.load("scan.nii.gz")
    given = {
        "Path": (Path("scan.nii.gz"), {}),
        "loaded image": (loaded, {}),
        "image in memory": (nib.Nifti1Image(head(), HEAD_AFFINE), {}),
        "MGH image": (nib.MGHImage(head(), HEAD_AFFINE), {}),
        "array": (head(), {"affine": HEAD_AFFINE}),
        "float64 array": (head().astype(np.float64), {"affine": HEAD_AFFINE}),
        "int64 array": (head().astype(np.int64), {"affine": HEAD_AFFINE}),
    }
    for name, (scan, options) in given.items():
        result = meshnet.segment(scan, **options)
        assert np.array_equal(labels_of(result), expected), name
        assert np.allclose(result.labels.affine, HEAD_AFFINE, atol=1e-4), name
        is_file = name in ("Path", "loaded image")
        assert (result.sidecar.source.sha256 is not None) == is_file, name
        assert result.sidecar.source.name == ("scan.nii.gz" if is_file else "the image"), name


def test_an_image_that_was_changed_is_not_read_from_its_file() -> None:
    image = nib.load("scan.nii.gz")
    changed = image.slicer[:30]
    assert labels_of(meshnet.segment(changed)).shape == (30, 52, 40)


def test_formats_that_the_command_line_reads_are_read() -> None:
    sitk.WriteImage(sitk.ReadImage("scan.nii.gz"), "scan.mha")
    assert meshnet.segment("scan.mha").sidecar.source.name == "scan.mha"
    write_series(Path("study"))
    assert meshnet.segment("study").sidecar.source.name == "study_3_T2_test.nii"
    write_series(Path("study/more"), number=4)
    with pytest.raises(meshnet.ScanError, match=r"study: holds 2 scans \(study_3_T2_test.nii, study_4_T2_test.nii\)"):
        meshnet.segment("study")


def test_lesions_have_their_volume_and_place() -> None:
    data = head()
    data[1:4, 1:4, 1:3] = 990
    result = meshnet.segment(data, affine=HEAD_AFFINE)
    large, small = result.lesions
    assert large.volume_ml > small.volume_ml == pytest.approx(small.voxels * 0.064)
    assert result.volumes_ml["lesion"] == pytest.approx(large.volume_ml + small.volume_ml)
    at = np.linalg.solve(HEAD_AFFINE, [*small.centre_ras_mm, 1])[:3]
    assert np.all((at > 0) & (at < 4))
    assert meshnet.segment(data, affine=HEAD_AFFINE, model="tissue").lesions != []  # its label is called lesion too


def test_the_probability_is_kept_when_it_is_asked_for() -> None:
    assert meshnet.segment("scan.nii.gz").probability is None
    result = meshnet.segment("scan.nii.gz", probability=True)
    assert result.probability is not None
    values = result.probability.get_fdata()
    assert result.probability.shape == result.labels.shape
    assert 0 <= values.min() < values.max() <= 1
    assert values[labels_of(result) == 1].min() >= 0.49


def test_notes_are_kept_and_strict_refuses_them() -> None:
    data = head().astype(np.float32)
    data[0] = np.nan
    result = meshnet.segment(data, affine=HEAD_AFFINE)
    assert [note.code for note in result.notes] == ["nan-read-as-zero", "third-of-head"]
    with pytest.raises(meshnet.ScanError, match=r"the image: .* are NaN"):
        meshnet.segment(data, affine=HEAD_AFFINE, strict=True)


def test_mistakes_are_named() -> None:
    with pytest.raises(TypeError, match=r"an array needs affine=, its \[4, 4\] matrix"):
        meshnet.segment(head())
    with pytest.raises(TypeError, match="expected a path, a nibabel image or an array with affine=, got list"):
        meshnet.segment([1, 2])  # type: ignore[arg-type]
    with pytest.raises(meshnet.ScanError, match=r"gone\.nii: no such file or folder"):
        meshnet.segment("gone.nii")
    with pytest.raises(meshnet.SpecError, match="no such folder and no known model"):
        meshnet.segment("scan.nii.gz", "t9-lesion")
    with pytest.raises(meshnet.ScanError, match=r"the image: expected a 3-D volume, got shape \(9, 9, 9, 2\)"):
        meshnet.segment(np.random.default_rng(1).random((9, 9, 9, 2)), affine=np.eye(4))
    result = meshnet.segment("scan.nii.gz")
    with pytest.raises(meshnet.ScanError, match=r"a\.mgz: labels are saved as NIfTI"):
        result.save("a.mgz")
    Path("a.json").write_text("[]")
    with pytest.raises(meshnet.ScanError, match=r"a\.json: is there and is no sidecar of MeshNet"):
        result.save("a.nii", sidecar=True)
    with pytest.raises(AttributeError, match="no attribute 'segmnt'"):
        _ = meshnet.segmnt  # type: ignore[attr-defined]


def test_importing_the_package_imports_its_version_alone() -> None:
    code = "import sys, meshnet; print([m for m in sys.modules if m.split('.')[0] in ('meshnet', 'numpy', 'nibabel')])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed == "['meshnet.version', 'meshnet']\n"
    assert set(meshnet.__all__) <= set(dir(meshnet))
    assert (REPO / "meshnet" / "py.typed").is_file()


def test_show_gives_a_viewer_of_scan_and_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    result = meshnet.segment("scan.nii.gz")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the widget library
        viewer = result.show()
    scan, labels = viewer.volumes
    assert (scan.colormap, labels.colormap) == ("gray", "red")
    assert bytes(labels.data[:2]) == b"\x1f\x8b"
    monkeypatch.setitem(sys.modules, "ipyniivue", None)
    with pytest.raises(ModuleNotFoundError, match=r"show\(\) needs ipyniivue; pip install 'meshnet\[notebook\]'"):
        result.show()


def test_the_documented_examples_run(capsys: pytest.CaptureFixture[str]) -> None:
    for name in "ab":
        write_head(Path("scans") / f"{name}.nii")
    Path("scans/broken.nii").write_bytes(b"no scan")
    blocks = re.findall(r"```python\n(.*?)```", (REPO / "docs" / "python.md").read_text(), re.DOTALL)
    assert len(blocks) == 4
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), names)  # one after the other, as in a notebook
    printed = capsys.readouterr().out
    assert "left out: scans/broken.nii: not a NIfTI" in printed
    assert Path("lesion.json").is_file()
