"""Exports verify themselves, leave nothing behind when wrong, and come back in as the same graph."""

from __future__ import annotations

import importlib.util
import json
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import export.export_model
from export.cli import main
from export.import_model import Answers, import_model
from export.published import PUBLISHED, import_published
from export.to_tfjs import brainchop_entry, write_tfjs
from export.verify import VerificationError, compare, reference_logits, verification_inputs, verify
from meshnet.model.checkpoint import Weights, load_checkpoint, save_checkpoint
from meshnet.model.graph import build_graph, check_same_graph
from meshnet.model.onnx import METADATA_KEY, to_onnx
from meshnet.model.spec import MinMax, ModelSpec, Quantile, SpecError
from tests.helpers.export_models import KINDS, small_model
from tests.helpers.paths import REPO

#: Why a kind has no TF.js form.
NO_TFJS = {
    "affine group norm": "no affine parameters",
    "tanh gelu, two inputs": "2 input channels",
}


def export_all(tmp_path: Path, spec: ModelSpec, weights: Weights, *flags: str, format: str = "all") -> Path:
    save_checkpoint(tmp_path / "model", spec, weights)
    assert main([str(tmp_path / "model"), "--format", format, "-o", str(tmp_path / "out"), *flags]) == 0
    return tmp_path / "out"


def check_round_trip(model: Path, out: Path, *, formats: tuple[str, ...] = ("onnx", "tfjs", "web")) -> None:
    """Every exported form, imported again without any flag, is the same folded graph and description."""
    spec, weights = load_checkpoint(model)
    for name in formats:
        back = import_model(out / name, Answers())
        check_same_graph(build_graph(spec, weights), build_graph(back.spec, back.weights), what=name)
        for field in ("id", "name", "labels", "input", "provenance", "task", "modality"):
            assert getattr(back.spec, field) == getattr(spec, field), (name, field)


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


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda p: p.id)
def test_every_published_model_comes_back_as_the_same_graph(
    tmp_path: Path, shared_data: Path, published: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    models = tmp_path / "source"
    models.mkdir()
    (models / published.folder).symlink_to(shared_data / "models" / published.folder)
    assert import_published(models, tmp_path / "models", every=True) == [published.id]
    model = tmp_path / "models" / published.id
    # The same weights in another file need not go through TensorFlow twice.
    formats = ("onnx", "tfjs", "web") if published.offered else ("onnx", "web")
    for name in formats:
        assert main([str(model), "--format", name, "-o", str(tmp_path / "out" / name)]) == 0
    check_round_trip(model, tmp_path / "out", formats=formats)
    said = capsys.readouterr().out
    for name in formats:
        assert f"{name} float32: large input: worst difference" in said


def test_the_two_forms_of_a_published_model_are_the_same_model(shared_data: Path, tmp_path: Path) -> None:
    import_published(shared_data / "models", tmp_path, every=True)
    for name in ("mindgrab", "model5-gw-ae"):
        a, b = (load_checkpoint(tmp_path / f"{form}-{name}") for form in ("brainchop", "brainchop-pth"))
        check_same_graph(build_graph(*a), build_graph(*b), what=name)
        assert a[0].architecture == b[0].architecture


def test_published_models_have_the_descriptions_known_of_them(shared_data: Path, tmp_path: Path) -> None:
    ids = import_published(shared_data / "models", tmp_path)
    assert not [name for name in ids if "pth" in name]
    specs = {name: load_checkpoint(tmp_path / name)[0] for name in ids}
    assert specs["brainchop-t2-lesion"].architecture.activation == "elu"
    assert specs["brainchop-model5-gw-ae"].architecture.activation == "relu"
    assert specs["brainchop-model30chan18cls"].architecture.activation == "elu"
    assert specs["brainchop-model21-104class"].architecture.classes == 104
    assert specs["brainchop-mindgrab"].input.normalization == Quantile(low=0.02, high=0.98)
    assert specs["arc-meshnet26"].input.orientation == "RAS"
    assert [label.name for label in specs["brainchop-t2-lesion"].labels] == ["background", "lesion"]
    for spec in specs.values():
        assert spec.provenance.license != "unknown"
        assert spec.modality


def test_without_torch_the_checkpoint_is_skipped_with_a_sentence(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else find(name))
    assert "arc-meshnet26" not in import_published(shared_data / "models", tmp_path)
    assert "arc-meshnet26: skipped, it is a PyTorch checkpoint and torch is not installed" in capsys.readouterr().out


@pytest.mark.parametrize("format", ["onnx", "web", "tfjs", "all"])
def test_a_file_that_computes_something_else_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], format: str
) -> None:
    spec, weights = small_model()
    save_checkpoint(tmp_path / "model", spec, weights)
    broken = {name: array.copy() for name, array in weights.items()}
    broken["layers.1.conv.weight"][2, 1, 0, 2, 1] += 0.05
    writer = {"web": "write_web", "tfjs": "write_tfjs"}.get(format, "to_onnx")
    write = getattr(export.export_model, writer)
    monkeypatch.setattr(
        export.export_model,
        writer,
        (lambda s, w, **k: write(s, broken, **k))
        if writer == "to_onnx"
        else (lambda folder, s, w, **k: write(folder, s, broken, **k)),
    )
    assert main([str(tmp_path / "model"), "--format", format, "-o", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "differs from PyTorch: random input" in said or "changed its weights" in said
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model"]


def test_the_tanh_form_of_gelu_does_not_pass_for_the_exact_one() -> None:
    spec, weights = small_model(activation="gelu")
    other = spec.model_copy(update={"architecture": spec.architecture.model_copy(update={"activation": "gelu_tanh"})})

    def run(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits = reference_logits(other, weights, image)
        return logits.argmax(axis=1).astype(np.uint8), logits

    with pytest.raises(VerificationError, match="small: differs from PyTorch: random input"):
        verify("small", spec, weights, run)


def test_values_that_are_not_finite_never_verify() -> None:
    spec, weights = small_model()
    with pytest.raises(VerificationError):
        verify("small", spec, weights, lambda x: (np.zeros((1, *x.shape[2:]), np.uint8), np.full_like(x, np.nan)))
    reference = reference_logits(spec, weights, verification_inputs(spec.architecture)["random"])
    result = compare("nan", reference, np.full_like(reference, np.nan), reference.argmax(axis=1).astype(np.uint8))
    assert not result.worst_relative <= 1


def test_a_changed_norm_is_a_changed_graph() -> None:
    spec, weights = small_model(norm={"kind": "group", "affine": True})
    changed = {**weights, "layers.1.norm.bias": weights["layers.1.norm.bias"] + np.float32(1e-3)}
    with pytest.raises(SpecError, match=r"layers.1 changed the parameters of its norm"):
        check_same_graph(build_graph(spec, weights), build_graph(spec, changed), what="small")


def test_large_input_makes_large_activations() -> None:
    spec, weights = small_model()
    image = verification_inputs(spec.architecture)["large"]
    assert np.abs(reference_logits(spec, weights, image)).max() > 65504  # beyond float16


def test_half_precision_is_compared_with_full_precision_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = export_all(tmp_path, *small_model(), "--dtype", "float16", format="web")
    spec, _ = load_checkpoint(out)
    assert spec.weights.dtype == "float16"
    assert "web float16 against float32 weights: random input: worst difference" in capsys.readouterr().out


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


def test_an_earlier_export_is_replaced_on_request_and_no_other_folder_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, weights = small_model()
    out = export_all(tmp_path, spec, weights, format="web")
    arguments = [str(tmp_path / "model"), "--format", "web", "-o", str(out)]
    assert main(arguments) == 2
    assert "exists already" in capsys.readouterr().err
    (out / "small.zip").write_bytes(b"of an earlier run")
    assert main([*arguments, "--overwrite"]) == 0
    assert zipfile.is_zipfile(out / "small.zip")
    (out / "notes").mkdir()
    (out / "notes" / "mine.txt").write_text("precious")
    (out / "small.zip").write_bytes(b"of an earlier run")
    assert main([*arguments, "--overwrite"]) == 2
    said = capsys.readouterr().err
    assert f"{out / 'notes' / 'mine.txt'}: not a file of this export, and --overwrite would delete it" in said
    assert (out / "notes" / "mine.txt").read_text() == "precious"
    assert (out / "small.zip").read_bytes() == b"of an earlier run"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model", "out"]


def test_a_checkpoint_or_an_export_of_another_model_is_not_taken_for_an_earlier_export(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_checkpoint(tmp_path / "model", *small_model())
    save_checkpoint(tmp_path / "trained", *small_model("other"))
    weights = (tmp_path / "trained" / "weights.safetensors").read_bytes()
    overwrite = [str(tmp_path / "model"), "--format", "web", "--overwrite", "-o"]
    assert main([*overwrite, str(tmp_path / "trained")]) == 2
    assert "trained: has no small.zip, so it is no earlier export of this kind" in capsys.readouterr().err
    assert (tmp_path / "trained" / "weights.safetensors").read_bytes() == weights
    assert main([str(tmp_path / "trained"), "--format", "web", "-o", str(tmp_path / "exported")]) == 0
    assert main([*overwrite, str(tmp_path / "exported")]) == 2
    assert "other.zip: not a file of this export" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main([*overwrite, str(tmp_path / "empty")]) == 0


def test_a_copy_of_the_site_is_known_by_what_its_own_worker_lists(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    (site / "assets").mkdir(parents=True)
    for name in ("index.html", "selftest.html", "sw.js", "assets/main-1.js", "assets/main-1.js.map"):
        (site / name).write_text(name)
    monkeypatch.setattr("export.to_site.default_site", lambda: site)
    for name in ("small", "tiny"):
        save_checkpoint(tmp_path / name, *small_model(name))
    copy = tmp_path / "copy"
    arguments = ["--format", "site", "-o", str(copy), "--overwrite"]
    assert main([str(tmp_path / "small"), *arguments]) == 0
    # Another build of the site, and another model: other names.
    for ending in ("js", "js.map"):
        (site / "assets" / f"main-1.{ending}").rename(site / "assets" / f"main-2.{ending}")
    assert main([str(tmp_path / "tiny"), *arguments]) == 0
    assert sorted(p.name for p in (copy / "models").iterdir()) == ["tiny"]
    assert sorted(p.name for p in (copy / "assets").iterdir()) == ["main-2.js", "main-2.js.map"]
    (copy / "CNAME").write_text("brain.example")
    assert main([str(tmp_path / "small"), *arguments]) == 2
    assert f"{copy / 'CNAME'}: not a file of this export" in capsys.readouterr().err
    assert sorted(p.name for p in (copy / "models").iterdir()) == ["tiny"]
    # What is there without a worker that lists it was never a copy.
    (copy / "CNAME").unlink()
    (copy / "sw.js").write_text("self.addEventListener('fetch', () => {});")
    assert main([str(tmp_path / "small"), *arguments]) == 2
    assert "not a file of this export" in capsys.readouterr().err


def test_where_the_new_export_cannot_be_put_in_place_the_earlier_one_comes_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = export_all(tmp_path, *small_model(), format="web")
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    rename = Path.rename

    def full(path: Path, target: Path) -> Path:
        if path.name == "new":
            raise OSError(28, "No space left on device", str(target))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", full)
    assert main([str(tmp_path / "model"), "--format", "web", "-o", str(out), "--overwrite"]) == 2
    assert "nothing was exported" in capsys.readouterr().err
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model", "out"]


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
        (".", "the folder you are in"),
        ("..", "the folder you are in"),
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


@pytest.mark.parametrize(
    ("architecture", "says"),
    [
        ({"activation": "gelu_tanh"}, "gelu_tanh has no name in Keras"),
        ({"norm": {"kind": "group", "affine": True}}, "no affine parameters"),
        ({"norm": {"kind": "group", "eps": 1e-3}}, r"eps 1e-05, this one 0.001"),
        ({"in_channels": 2}, "2 input channels"),
    ],
)
def test_what_a_tfjs_folder_cannot_express_is_refused_by_name(
    tmp_path: Path, architecture: dict[str, Any], says: str
) -> None:
    with pytest.raises(SpecError, match=says):
        write_tfjs(tmp_path, *small_model(**architecture))


def test_another_input_size_is_refused_for_tfjs(tmp_path: Path) -> None:
    spec, weights = small_model()
    spec = spec.model_copy(update={"input": spec.input.model_copy(update={"size": (128, 128, 128)})})
    with pytest.raises(SpecError, match=r"input size \(128, 128, 128\)"):
        write_tfjs(tmp_path, spec, weights)


def test_without_the_converter_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflowjs", None)
    with pytest.raises(SpecError, match=r"pip install 'meshnet\[tfjs\]'"):
        write_tfjs(tmp_path, *small_model())


def test_a_tfjs_folder_has_what_brainchop_reads(tmp_path: Path) -> None:
    spec, weights = small_model(activation="gelu", norm={"kind": "group"}, conv_bias=False, classifier_bias=False)
    out = export_all(tmp_path, spec, weights, format="tfjs")
    model = json.loads((out / "model.json").read_text())
    layers = model["modelTopology"]["model_config"]["config"]["layers"]
    assert [layer["class_name"] for layer in layers] == ["InputLayer", *["Conv3D", "Activation"] * 3, "Conv3D"]
    assert [layer["config"]["name"] for layer in layers if layer["class_name"] == "Conv3D"] == [
        "conv3d_0_gn",
        "conv3d_1_gn",
        "conv3d_2_gn",
        "output",
    ]
    assert layers[0]["config"]["batch_input_shape"] == [None, 256, 256, 256, 1]
    assert layers[-1]["config"]["use_bias"]  # brainchop's runner takes it for granted
    colours = json.loads((out / "colormap.json").read_text())
    assert colours["labels"] == ["class 0", "class 1", "class 2"]
    assert {len(colours[key]) for key in "RGB"} == {3}
    entry = json.loads((out / "brainchop-entry.json").read_text())
    assert entry["path"] == "/models/small/model.json"


def test_the_brainchop_entry_says_how_to_feed_the_network() -> None:
    spec, _ = small_model()

    def given(**changes: Any) -> ModelSpec:
        return spec.model_copy(update={"input": spec.input.model_copy(update=changes)})

    entry, remarks = brainchop_entry(given(normalization=MinMax(), orientation="LIA"))
    assert entry is not None
    assert (entry["enableTranspose"], entry["enableQuantileNorm"], entry["warning"], remarks) == (True, False, None, [])
    entry, _ = brainchop_entry(given(normalization=Quantile(low=0.05, high=0.95, clip=False), orientation="AIL"))
    assert entry is not None
    assert (entry["enableTranspose"], entry["enableQuantileNorm"]) == (False, True)
    entry, remarks = brainchop_entry(given(normalization=Quantile(low=0.02, high=0.98)))
    assert entry is not None
    assert "quantiles 0.02 to 0.98, clipped" in entry["warning"]
    assert remarks
    entry, remarks = brainchop_entry(given(orientation="RAS"))
    assert entry is None
    assert "this one needs RAS" in remarks[0]


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
    with pytest.raises(SpecError, match="--orientation contradicts the source, which says LIA, not RAS"):
        import_model(tmp_path / "model", replace(Answers(), orientation="RAS"))


def replace_license(spec: ModelSpec) -> Any:
    return spec.provenance.model_copy(update={"license": "MIT"})


def test_the_key_of_the_onnx_metadata_is_the_documented_one() -> None:
    page = (REPO / "export" / "FORMAT.md").read_text()
    assert f"`{METADATA_KEY}`" in page
