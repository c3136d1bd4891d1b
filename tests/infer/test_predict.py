"""`meshnet-predict`: label files, volumes and table; a failing scan is reported and does not stop the others."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from meshnet.infer.backends import open_network
from meshnet.infer.kernel.library import Kernel, KernelMissingError
from meshnet.infer.one_scan import Prediction, predict
from meshnet.infer.predict import CSV_COLUMNS, main
from meshnet.infer.run_torch import run_torch
from meshnet.model.checkpoint import Weights, expected_shapes, save_checkpoint
from meshnet.model.graph import build_graph
from meshnet.model.network import model_from
from meshnet.model.spec import Architecture, BatchNorm, GroupNorm, InputSpec, ModelSpec, NoNorm, Quantile, make_labels
from meshnet.scan.conform import conform
from meshnet.scan.nifti import Scan, read_scan
from meshnet.scan.normalize import normalize
from meshnet.scan.orientation import reorient
from meshnet.scan.scan_grid import resample_labels
from tests.helpers.scan_files import GEOMETRIES, affine_of, blob, reread, scan_of, write_scan
from tests.helpers.specs import a_spec

INPUT = InputSpec(size=(24, 24, 24), voxel_size_mm=2.0)


def threshold_model(folder: Path, **changes: Any) -> ModelSpec:
    """A network with chosen weights: label 1 where the normalised intensity of the voxel is above 0.5."""
    architecture = Architecture(channels=1, classes=2, dilations=(1,), activation="relu")
    kernel = np.zeros((1, 1, 3, 3, 3), np.float32)
    kernel[0, 0, 1, 1, 1] = 1
    weights = {
        "layers.0.conv.weight": kernel,
        "layers.0.conv.bias": np.zeros(1, np.float32),
        "classifier.weight": np.array([0, 1], np.float32).reshape(2, 1, 1, 1, 1),
        "classifier.bias": np.array([0.5, 0], np.float32),
    }
    fields: dict[str, Any] = {"architecture": architecture, "input": INPUT, "id": "half"}
    return save_checkpoint(folder, a_spec(**(fields | changes)), weights)


def random_model(norm: NoNorm | BatchNorm | GroupNorm, activation: str = "relu") -> tuple[ModelSpec, Weights]:
    architecture = Architecture(
        channels=4, classes=11, dilations=(1, 4, 2), activation=activation, norm=norm, conv_bias=False
    )
    rng = np.random.default_rng(5)
    weights = {
        name: rng.uniform(0.2, 1.0, shape).astype(np.float32)
        if "running_var" in name
        else rng.standard_normal(shape).astype(np.float32)
        for name, shape in expected_shapes(architecture).items()
    }
    labels = make_labels([f"label {i}" for i in range(11)])
    return a_spec(architecture=architecture, labels=labels, input=INPUT), weights


@pytest.mark.parametrize("backend", ["cpu", "onnx", "torch"])
def test_labels_volumes_and_table_of_an_oblique_scan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], backend: str
) -> None:
    affine, shape = GEOMETRIES["oblique"]
    path = write_scan(tmp_path / "sub-01.nii.gz", blob(shape).astype(np.int16), affine)
    threshold_model(tmp_path / "model")
    code = main([str(tmp_path / "model"), str(path), "-o", str(tmp_path / "out"), "--backend", backend,
                 "--csv", str(tmp_path / "t.csv"), "--threads", "1"])  # fmt: skip
    assert code == 0
    scan, saved = read_scan(path), nib.load(tmp_path / "out" / "sub-01_half.nii.gz")
    labels = np.asarray(saved.dataobj)
    conformed = conform(scan, size=24, voxel_size_mm=2.0)
    assert np.array_equal(
        labels,
        resample_labels(
            (conformed.data / float(conformed.data.max()) > 0.5).astype(np.uint8),
            conformed.affine_vox2ras,
            scan.affine_vox2ras,
            shape,
        ),
    )
    assert 0 < labels.sum() < labels.size
    assert np.array_equal(saved.affine, scan.affine_vox2ras)
    ml = labels.sum() * 1.1 * 0.8 * 1.7 / 1000
    rows = read_table(tmp_path / "t.csv")
    assert tuple(rows[0]) == CSV_COLUMNS
    assert [(r["label"], r["name"], r["model"], r["scan"]) for r in rows] == [
        ("0", "background", "half", str(path)),
        ("1", "lesion", "half", str(path)),
    ]
    assert int(rows[1]["voxels"]) == labels.sum()
    assert float(rows[1]["volume_ml"]) == pytest.approx(ml, abs=1e-4)
    printed = capsys.readouterr()
    assert f" {ml:.2f} mL" in printed.out
    assert "100%" in printed.err


def test_conformed_labels_are_saved_on_the_conformed_grid_but_measured_on_the_scans_own(tmp_path: Path) -> None:
    affine, shape = GEOMETRIES["permuted ASL, anisotropic"]
    path = write_scan(tmp_path / "a.nii", blob(shape).astype(np.float32), affine)
    threshold_model(tmp_path / "model")
    common = [str(tmp_path / "model"), str(path), "-q"]
    for space in ("native", "conformed"):
        out, table = str(tmp_path / space), str(tmp_path / f"{space}.csv")
        assert main([*common, "-o", out, "--space", space, "--csv", table]) == 0
    saved = nib.load(tmp_path / "conformed" / "a_half_conformed.nii.gz")
    assert saved.shape == (24, 24, 24)
    assert nib.aff2axcodes(saved.affine) == ("L", "I", "A")
    assert np.allclose(saved.get_qform(), saved.get_sform(), atol=1e-5)
    assert (saved.header["sform_code"], saved.header["qform_code"]) == (2, 2)
    volumes = [[row["volume_ml"] for row in read_table(tmp_path / f"{space}.csv")] for space in ("native", "conformed")]
    assert volumes[0] == volumes[1]


def test_a_model_of_another_orientation_labels_the_same_place(tmp_path: Path) -> None:
    """A network that reads voxel d - 1 of its axis D, which lies on opposite sides for RAS and LIA."""
    kernel = np.zeros((1, 1, 3, 3, 3), np.float32)
    kernel[0, 0, 0, 1, 1] = 1  # reads voxel d - 1
    spec = a_spec(architecture=Architecture(channels=1, classes=2, dilations=(1,), activation="relu"))
    weights = {
        "layers.0.conv.weight": kernel,
        "layers.0.conv.bias": np.zeros(1, np.float32),
        "classifier.weight": np.array([0, 1], np.float32).reshape(2, 1, 1, 1, 1),
        "classifier.bias": np.array([0.5, 0], np.float32),
    }
    data = np.zeros((8, 8, 8), np.uint8)
    data[4, 3, 2] = 200
    scan = scan_of(data, affine_of(axes="RAS", origin_mm=(0.0, 0.0, 0.0)))
    places = {}
    for orientation in ("RAS", "LIA"):
        inputs = InputSpec(size=(16, 16, 16), orientation=orientation)
        oriented = spec.model_copy(update={"input": inputs})
        network, _ = open_network(oriented, weights, backend="cpu", threads=1)
        places[orientation] = np.argwhere(predict(scan, oriented, network).labels_native).tolist()
    assert places == {"RAS": [[5, 3, 2]], "LIA": [[3, 3, 2]]}


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


NORMS = [NoNorm(), BatchNorm(), GroupNorm(), GroupNorm(affine=True)]


@pytest.mark.parametrize("norm", NORMS, ids=str)
@pytest.mark.parametrize("activation", ["relu", "elu", "gelu", "gelu_tanh"])
def test_every_backend_labels_as_the_plain_network_does(norm: NoNorm, activation: str) -> None:
    """Odd sizes, 40 planes (more than a slab), 11 classes (more than an ONNX chunk)."""
    spec, weights = random_model(norm, activation)
    image = np.random.default_rng(1).random((40, 13, 17)).astype(np.float32)
    with torch.inference_mode():
        logits = model_from(spec.architecture, weights)(torch.from_numpy(image)[None, None])[0]
    two = logits.topk(2, dim=0).values
    clear = (two[0] - two[1] > 1e-5 * logits.abs().max()).numpy()  # elsewhere rounding may decide
    assert clear.mean() > 0.98
    for backend in ("torch", "onnx", "cpu"):
        network, steps = open_network(spec, weights, backend=backend, threads=1)
        called: list[int] = []
        labels = network(image, lambda called=called: called.append(1))
        assert labels.dtype == np.uint8
        assert len(called) == steps
        assert np.array_equal(labels[clear], logits.argmax(0).numpy()[clear])
        assert len(np.unique(labels)) >= 2


def test_the_lowest_class_wins_a_tie() -> None:
    spec, weights = random_model(NoNorm())
    weights["classifier.weight"][:] = 0
    weights["classifier.bias"][:] = np.array([0, 0, 1, 0, 0, 1, 0, 0, 0, 1, 0])
    assert set(run_torch(build_graph(spec, weights), np.ones((3, 4, 5), np.float32), threads=1).ravel()) == {2}


def test_one_bad_scan_does_not_stop_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    threshold_model(tmp_path / "model")
    scans = tmp_path / "scans"
    scans.mkdir()
    write_scan(scans / "a.nii", blob((9, 9, 9)).astype(np.float32))
    (scans / "b.nii.gz").write_bytes((scans / "a.nii").read_bytes()[:700])
    (scans / "c.nii.gz").symlink_to(tmp_path / "gone")
    write_scan(scans / "d.nii", blob((9, 9, 9), seed=1).astype(np.int16))
    write_scan(scans / "e.nii", np.stack([blob((9, 9, 9))] * 2, -1))
    write_scan(scans / "f.nii", np.where(np.arange(729).reshape(9, 9, 9) % 2, 1e308, -1e308))
    code = main([str(tmp_path / "model"), str(scans), "-o", str(tmp_path / "out"), "--csv", str(tmp_path / "t.csv")])
    assert code == 1
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a_half.nii.gz", "d_half.nii.gz"]
    assert [r["scan"][-5:] for r in read_table(tmp_path / "t.csv")] == ["a.nii"] * 2 + ["d.nii"] * 2
    err = capsys.readouterr().err
    assert "b.nii.gz: " in err
    assert "bytes of voxels are missing" in err
    assert "c.nii.gz" in err
    assert "e.nii: expected a 3-D volume, got shape (9, 9, 9, 2); pick a frame with --frame" in err
    assert "f.nii: values from -1e+308 to 1e+308 are too far apart" in err
    assert "4 of 6 scans failed" in err


def test_a_frame_of_a_4d_scan_is_segmented_on_request(tmp_path: Path) -> None:
    threshold_model(tmp_path / "model")
    write_scan(tmp_path / "a.nii", np.stack([blob((9, 9, 9), seed=s) for s in range(2)], -1).astype(np.float32))
    for frame in ("0", "1"):
        assert main([str(tmp_path / "model"), str(tmp_path / "a.nii"), "-o", str(tmp_path), "--frame", frame]) == 0
    for frame in (0, 1):
        assert nib.load(tmp_path / f"a_frame{frame}_half.nii.gz").shape == (9, 9, 9)


@pytest.mark.parametrize("space", ["native", "conformed"])
@pytest.mark.parametrize("change", ["shape", "place"])
def test_a_result_of_another_scan_is_never_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, space: str, change: str
) -> None:
    threshold_model(tmp_path / "model")
    for visit in ("first", "second"):
        (tmp_path / visit).mkdir()
    mine = write_scan(tmp_path / "first" / "a.nii", blob((9, 9, 9)).astype(np.float32), affine_of())
    # A scan of another visit under the same name. A shift of the centre moves the conformed grid as well.
    other_shape = (11, 9, 9) if change == "shape" else (9, 9, 9)
    other_affine = affine_of(origin_mm=(-10.5, 7.5, 3.25)) if change == "place" else affine_of()
    other = write_scan(tmp_path / "second" / "a.nii", blob(other_shape).astype(np.float32), other_affine)
    after = write_scan(tmp_path / "second" / "b.nii", blob((9, 9, 9), seed=1).astype(np.float32))
    common = ["-o", str(tmp_path / "out"), "--space", space, "-q"]
    assert main([str(tmp_path / "model"), str(mine), *common]) == 0
    (result,) = (tmp_path / "out").iterdir()
    before = result.read_bytes()
    assert main([str(tmp_path / "model"), str(mine), *common]) == 0  # the same scan's is replaced

    segmented: list[str] = []

    def noted(scan: Scan, *rest: Any, **named: Any) -> Prediction:
        segmented.append(scan.where)
        return predict(scan, *rest, **named)

    monkeypatch.setattr("meshnet.infer.one_scan.predict", noted)
    assert main([str(tmp_path / "model"), str(other), str(after), *common]) == 1
    assert segmented == [str(after)], "the network ran for a result that could not be kept"
    assert result.read_bytes() == before
    said = capsys.readouterr().err
    assert f"{result}: holds labels on another grid, so probably another scan's" in said
    assert "choose another --out or delete it" in said
    result.unlink()
    assert main([str(tmp_path / "model"), str(other), *common]) == 0


def test_a_damaged_result_is_replaced(tmp_path: Path) -> None:
    threshold_model(tmp_path / "model")
    scan = write_scan(tmp_path / "a.nii", blob((9, 9, 9)).astype(np.float32))
    result = tmp_path / "out" / "a_half.nii.gz"
    result.parent.mkdir()
    result.write_bytes(b"\x1f\x8b cut short")
    assert main([str(tmp_path / "model"), str(scan), "-o", str(tmp_path / "out"), "-q"]) == 0
    assert nib.load(result).shape == (9, 9, 9)


def test_ctrl_c_ends_a_batch_with_what_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    threshold_model(tmp_path / "model")
    scans = [write_scan(tmp_path / f"{name}.nii", blob((9, 9, 9)).astype(np.float32)) for name in "abc"]

    def interrupted_at_b(path: Path, *, frame: int | None) -> Scan:
        if path.name == "b.nii":
            raise KeyboardInterrupt
        return read_scan(path, frame=frame)

    monkeypatch.setattr("meshnet.infer.sources.read_scan", interrupted_at_b)
    arguments = ["-o", str(tmp_path / "out"), "--csv", str(tmp_path / "t.csv")]
    assert main([str(tmp_path / "model"), *map(str, scans), *arguments]) == 130
    assert "interrupted; 1 of 3 scans are done" in capsys.readouterr().err
    assert [row["scan"] for row in read_table(tmp_path / "t.csv")] == [str(scans[0])] * 2
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["a_half.nii.gz"]


def test_label_files_of_a_folder_are_left_out_and_said_to_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    threshold_model(tmp_path / "model")
    threshold_model(tmp_path / "other", id="other")
    scans = tmp_path / "scans"
    scans.mkdir()
    write_scan(scans / "a.nii", blob((9, 9, 9)).astype(np.float32))
    command = [str(tmp_path / "model"), str(scans), "-o", str(scans), "-q"]
    assert main(command) == 0
    assert "left out" not in capsys.readouterr().out
    # The result of another model is recognised by its header.
    assert main([str(tmp_path / "other"), *command[1:]]) == 0
    assert f"1 label file left out, the first is {scans / 'a_half.nii.gz'}" in capsys.readouterr().out
    assert main(command) == 0
    assert f"2 label files left out, the first is {scans / 'a_half.nii.gz'}" in capsys.readouterr().out
    assert sorted(p.name for p in scans.iterdir()) == ["a.nii", "a_half.nii.gz", "a_other.nii.gz"]
    assert main([*command[:2], str(scans / "a_other.nii.gz"), *command[2:]]) == 0
    assert (scans / "a_other_half.nii.gz").exists()


def test_a_known_model_goes_by_its_id(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("half", "quarter"):
        threshold_model(tmp_path / "shipped" / name, id=name)
    monkeypatch.setattr("meshnet.model.shipped.default_models", lambda: [tmp_path / "shipped"])
    scan = write_scan(tmp_path / "a.nii", blob((9, 9, 9)).astype(np.float32))
    assert main(["half", str(scan), "-o", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "a_half.nii.gz").exists()
    message = refused(capsys, "hlaf", scan, "-o", tmp_path / "out")
    assert "hlaf: no such folder and no known model" in message
    assert "one of these ids: half, quarter" in message


def test_two_scans_of_the_same_name_have_two_results(tmp_path: Path) -> None:
    threshold_model(tmp_path / "model")
    for seed, name in enumerate("ab"):
        (tmp_path / name).mkdir()
        write_scan(tmp_path / name / "x.nii.gz", blob((9, 9, 9), seed=seed).astype(np.float32))
    sources = [str(tmp_path / name / "x.nii.gz") for name in "ab"]
    assert main([str(tmp_path / "model"), *sources, "-o", str(tmp_path / "out"), "-q"]) == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a_x_half.nii.gz", "b_x_half.nii.gz"]


def test_a_scan_that_nearly_is_all_background_is_refused_by_a_quantile_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = INPUT.model_copy(update={"normalization": Quantile(low=0.02, high=0.98)})
    threshold_model(tmp_path / "model", input=inputs)
    write_scan(tmp_path / "a.nii", blob((9, 9, 9)).astype(np.float32))
    assert main([str(tmp_path / "model"), str(tmp_path / "a.nii"), "-o", str(tmp_path / "out")]) == 1
    assert "a.nii: can't normalise: the quantiles 0.02 and 0.98" in capsys.readouterr().err


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The error message of a run that can't start."""
    assert main([str(argument) for argument in arguments]) == 2
    return capsys.readouterr().err


def test_a_run_that_cannot_start_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    threshold_model(tmp_path / "model")
    scan = write_scan(tmp_path / "a.nii", blob((9, 9, 9)).astype(np.float32))
    out = tmp_path / "out"
    assert "no such folder; expected a model folder" in refused(capsys, tmp_path / "none", scan, "-o", out)
    assert "gone.nii: no such file or folder" in refused(capsys, tmp_path / "model", tmp_path / "gone.nii", "-o", out)
    assert "-o names a file that exists" in refused(capsys, tmp_path / "model", scan, "-o", scan)
    threshold_model(tmp_path / "flat", input=INPUT.model_copy(update={"size": (24, 24, 20)}))
    assert "input size (24, 24, 20) is not a cube" in refused(capsys, tmp_path / "flat", scan, "-o", out)
    scan.rename(tmp_path / "a_half.nii.gz")
    other = write_scan(tmp_path / "a.nii", blob((9, 9, 9)).astype(np.float32))
    message = refused(capsys, tmp_path / "model", other, tmp_path / "a_half.nii.gz", "-o", tmp_path)
    assert "the result would overwrite this scan" in message
    assert not out.exists()


def test_a_model_of_two_input_channels_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    architecture = Architecture(in_channels=2, channels=1, classes=2, dilations=(1,), activation="relu")
    weights = {name: np.ones(shape, np.float32) for name, shape in expected_shapes(architecture).items()}
    save_checkpoint(tmp_path / "m", a_spec(architecture=architecture), weights)
    scan = write_scan(tmp_path / "a.nii", blob((9, 9, 9)).astype(np.float32))
    assert "expects 2 input channels" in refused(capsys, tmp_path / "m", scan, "-o", tmp_path / "out")


def test_without_pytorch_the_torch_backend_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    threshold_model(tmp_path / "model")
    scan = write_scan(tmp_path / "a.nii", blob((9, 9, 9)).astype(np.float32))
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "meshnet.infer.run_torch")
    message = refused(capsys, tmp_path / "model", scan, "-o", tmp_path / "out", "--backend", "torch")
    assert "torch is not installed; pip install 'meshnet[export]'" in message


def test_without_a_kernel_onnx_runs_and_the_reason_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_kernel() -> Kernel:
        raise KernelMissingError("this CPU lacks SSE4.1, which the kernel needs")

    threshold_model(tmp_path / "model")
    scan = write_scan(tmp_path / "a.nii", blob((9, 9, 9)).astype(np.float32))
    command = [str(tmp_path / "model"), str(scan), "-o", str(tmp_path / "out")]
    assert main(command) == 0
    assert capsys.readouterr().out.startswith("backend: cpu, ")
    monkeypatch.setattr("meshnet.infer.backends.load_kernel", load_kernel)
    message = refused(capsys, *command, "--backend", "cpu")
    assert "--backend cpu: this CPU lacks SSE4.1, which the kernel needs; or use --backend onnx" in message
    assert main(command) == 0
    expected = "backend: onnx; cpu is faster, but this CPU lacks SSE4.1, which the kernel needs\n"
    assert capsys.readouterr().out.startswith(expected)


def test_help_documents_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["--help"])
    assert done.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for words in ("--space", "256^3 voxels of 1 mm", "--backend", "--csv", "volume (mL)", "--frame", "counted from 0",
                  "--threads", "CPU threads", "<scan>_<model id>.nii.gz"):  # fmt: skip
        assert words in text


@pytest.mark.parametrize("threads", ["0", "100000"])
def test_a_number_of_threads_out_of_range_is_refused(threads: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["m", "s", "-o", "o", "--threads", threads])
    said = capsys.readouterr().err
    assert "expected 1 to " in said
    assert f"got {threads}" in said


def test_prediction_takes_the_steps_of_the_documentation(tmp_path: Path) -> None:
    affine, shape = GEOMETRIES["odd sizes"]
    scan: Scan = reread(tmp_path / "a.nii.gz", blob(shape).astype(np.int16), affine)
    spec, weights = random_model(BatchNorm(), "elu")
    spec = spec.model_copy(update={"input": INPUT.model_copy(update={"orientation": "PSR"})})
    network, _ = open_network(spec, weights, backend="torch", threads=1)
    prediction = predict(scan, spec, network)
    image = normalize(reorient(conform(scan, size=24, voxel_size_mm=2.0).data, end="PSR"), spec.input.normalization)
    labels = reorient(network(image, lambda: None), start="PSR", end="LIA")
    assert np.array_equal(prediction.labels_conformed, labels)
    assert prediction.labels_native.shape == shape
    assert len(np.unique(prediction.labels_native)) > 2


@pytest.mark.parametrize("table", ["sub-01.nii.gz", "out/sub-01_half.nii.gz"])
def test_a_table_never_replaces_a_scan_or_a_result(
    table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    affine, shape = GEOMETRIES["odd sizes"]
    path = write_scan(tmp_path / "sub-01.nii.gz", blob(shape).astype(np.int16), affine)
    before = path.read_bytes()
    threshold_model(tmp_path / "model")
    assert main([str(tmp_path / "model"), str(path), "-o", str(tmp_path / "out"), "--csv", str(tmp_path / table)]) == 2
    assert "choose another file with --csv" in capsys.readouterr().err
    assert path.read_bytes() == before
