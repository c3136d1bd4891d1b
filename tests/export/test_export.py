"""Exports are verified, leave nothing behind if they differ, and are imported as the same graph."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest

from export.cli import main
from export.import_model import Answers, import_model
from meshnet.model.checkpoint import save_checkpoint
from meshnet.model.onnx import METADATA_KEY, to_onnx
from meshnet.model.spec import ModelSpec, SpecError
from tests.helpers.export_models import KINDS, small_model
from tests.helpers.exports import check_round_trip, export_all
from tests.helpers.paths import REPO
from webapp.catalogue import read_model

#: Why a kind has no TF.js form.
NO_TFJS = {
    "affine group norm": "no affine parameters",
    "tanh gelu, two inputs": "2 input channels",
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_model_comes_back_as_the_same_graph(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, weights = small_model(**KINDS[kind])
    save_checkpoint(tmp_path / "model", spec, weights)
    model, out = str(tmp_path / "model"), tmp_path / "out"
    if kind not in NO_TFJS:
        assert main([model, "--format", "all", "-o", str(out)]) == 0
        check_round_trip(tmp_path / "model", out)
        return
    assert main([model, "--format", "all", "-o", str(out)]) == 2
    assert NO_TFJS[kind] in capsys.readouterr().err
    assert not out.exists()
    for name in ("onnx", "web"):
        assert main([model, "--format", name, "-o", str(out / name)]) == 0
    check_round_trip(tmp_path / "model", out, formats=("onnx", "web"))


def test_a_web_bundle_is_the_same_to_the_byte_every_time(tmp_path: Path) -> None:
    spec, weights = small_model(norm={"kind": "batch"})
    zips = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        out = export_all(tmp_path / name, spec, weights, format="web")
        zips.append((out / "small.zip").read_bytes())
    assert zips[0] == zips[1]
    with zipfile.ZipFile(out / "small.zip") as archive:
        assert archive.namelist() == ["model.json", "weights.safetensors"]
        for name in archive.namelist():
            assert archive.read(name) == (out / name).read_bytes()


def test_a_web_bundle_comes_with_the_picture_of_its_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "model", tmp_path / "out"
    save_checkpoint(source, *small_model())
    command = [str(source), "--format", "web", "-o", str(out), "--overwrite"]
    assert main(command) == 0
    assert not (out / "picture.png").exists()
    (source / "picture.png").write_bytes(b"\x89PNG and pixels")
    assert main(command) == 0  # over an export without a picture
    assert (out / "picture.png").read_bytes() == b"\x89PNG and pixels"
    assert read_model(out).files["picture.png"].body == b"\x89PNG and pixels"
    with zipfile.ZipFile(out / "small.zip") as archive:
        assert archive.namelist() == ["model.json", "weights.safetensors"]

    (source / "picture.png").write_bytes(b"\x89PNG" + bytes(100_000))
    assert main([str(source), "--format", "all", "-o", str(tmp_path / "all")]) == 0
    assert "picture.png is left out: the page shows only PNG files of at most 100 KB" in capsys.readouterr().out
    assert not list((tmp_path / "all").rglob("picture.png"))


def test_a_known_model_is_exported_by_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path / "shipped" / "small", *small_model())
    monkeypatch.setattr("meshnet.model.shipped.default_models", lambda: [tmp_path / "shipped"])
    assert main(["small", "--format", "onnx", "-o", str(tmp_path / "out")]) == 0
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["small.onnx"]


@pytest.mark.parametrize(
    ("out", "says"),
    [
        ("model", "is or contains the source"),
        ("models/../model", "is or contains the source"),
        ("work", "is or contains the source"),
        (".", "is or contains the current folder"),
        ("..", "is or contains the current folder"),
        ("afile", "expected a folder to create, got the file"),
        ("afile/x", "expected a folder to create, got the file"),
    ],
)
def test_an_output_that_would_cost_the_source_or_other_work_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], out: str, says: str
) -> None:
    here = tmp_path / "here"
    source = here / ("work/model" if out == "work" else "model")
    save_checkpoint(source, *small_model())
    (here / "models").mkdir()
    (here / "afile").write_text("precious")
    monkeypatch.chdir(here)
    monkeypatch.setattr("export.cli._write", lambda *_: pytest.fail("worked before looking at -o"))
    before = sorted(tmp_path.rglob("*"))
    assert main([str(source), "--format", "web", "-o", out, "--overwrite"]) == 2
    assert f"{out}: " in (message := capsys.readouterr().err)
    assert says in message
    assert sorted(tmp_path.rglob("*")) == before


def test_a_system_error_during_export_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_checkpoint(tmp_path / "model", *small_model())

    def full(*_: object) -> Any:
        raise OSError(28, "No space left on device", "a.bin")

    monkeypatch.setattr("export.cli._write", full)
    assert main([str(tmp_path / "model"), "--format", "web", "-o", str(tmp_path / "out")]) == 2
    assert "a.bin: cannot be read or written (No space left on device)" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_damaged_model_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec, weights = small_model()
    save_checkpoint(tmp_path / "model", spec, weights)
    (tmp_path / "model" / "weights.safetensors").write_bytes(b"")
    assert main([str(tmp_path / "model"), "--format", "web", "-o", str(tmp_path / "out")]) == 2
    assert "SHA-256" in capsys.readouterr().err


def test_an_onnx_file_changed_after_export_is_refused(tmp_path: Path) -> None:
    spec, weights = small_model()
    model = to_onnx(spec, weights)
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Conv" and attribute.name == "dilations" and attribute.ints[0] == 3:
                attribute.ints[:] = [2, 2, 2]
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(SpecError, match=r"dilations \[1, 2, 2\] in the graph, \[1, 3, 2\] in its metadata"):
        import_model(tmp_path / "model.onnx", Answers())


def test_a_description_that_does_not_fit_the_layers_is_refused(tmp_path: Path) -> None:
    out = export_all(tmp_path, *small_model(), format="tfjs")
    model = json.loads((out / "model.json").read_text())
    model["userDefinedMetadata"]["architecture"]["activation"] = "elu"
    (out / "model.json").write_text(json.dumps(model))
    with pytest.raises(SpecError, match="the file was changed after export"):
        import_model(out, Answers())


def test_an_import_of_our_own_file_takes_a_new_id_but_no_other_answers(tmp_path: Path) -> None:
    spec, weights = small_model()
    save_checkpoint(tmp_path / "model", spec, weights)
    renamed = import_model(tmp_path / "model", Answers(id="other", provenance={"license": "MIT"})).spec
    assert renamed == spec.model_copy(
        update={"id": "other", "provenance": replace_license(spec), "weights": renamed.weights}
    )
    with pytest.raises(SpecError, match="--orientation contradicts the source, which states LIA, not RAS"):
        import_model(tmp_path / "model", replace(Answers(), orientation="RAS"))


def replace_license(spec: ModelSpec) -> Any:
    return spec.provenance.model_copy(update={"license": "MIT"})


def test_the_key_of_the_onnx_metadata_is_the_documented_one() -> None:
    page = (REPO / "export" / "FORMAT.md").read_text()
    assert f"`{METADATA_KEY}`" in page
