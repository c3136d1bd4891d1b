"""Published models: their descriptions, and their exports are imported as the same graph."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from export.cli import main
from export.published import PUBLISHED, import_published
from meshnet.model.checkpoint import load_checkpoint
from meshnet.model.graph import build_graph, check_same_graph
from meshnet.model.spec import Quantile
from tests.helpers.exports import check_round_trip


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


def test_without_torch_the_pytorch_file_is_skipped_with_a_message(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else find(name))
    assert "arc-meshnet26" not in import_published(shared_data / "models", tmp_path)
    assert "arc-meshnet26: skipped, it is a PyTorch file and torch is not installed" in capsys.readouterr().out
