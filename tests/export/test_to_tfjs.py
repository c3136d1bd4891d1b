"""TF.js folders: their content, and which models they cannot express."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from export.to_tfjs import brainchop_entry, write_tfjs
from meshnet.model.spec import MinMax, ModelSpec, Quantile, SpecError, make_labels
from tests.helpers.export_models import small_model
from tests.helpers.exports import export_all


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
    labels = make_labels(["class 0", "class 1", "class 2"], (None, "context", "lesion"))
    spec = spec.model_copy(update={"labels": labels})
    out = export_all(tmp_path, spec, weights, format="tfjs")
    model = json.loads((out / "model.json").read_text())
    assert [label.get("role") for label in model["userDefinedMetadata"]["labels"]] == [None, "context", "lesion"]
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
