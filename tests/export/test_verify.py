"""An export is compared with PyTorch, and a wrong one leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import export.export_model
from export.cli import main
from export.verify import VerificationError, difference, reference_logits, verification_inputs, verify
from meshnet.model.checkpoint import load_checkpoint, save_checkpoint
from tests.helpers.export_models import small_model
from tests.helpers.exports import export_all


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
    result = difference("nan", reference, np.full_like(reference, np.nan), reference.argmax(axis=1).astype(np.uint8))
    assert not result.worst_relative <= 1


def test_large_input_makes_large_activations() -> None:
    spec, weights = small_model()
    image = verification_inputs(spec.architecture)["large"]
    assert np.abs(reference_logits(spec, weights, image)).max() > 65504  # beyond float16


def test_half_precision_is_compared_with_full_precision_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = export_all(tmp_path, *small_model(), "--dtype", "float16", format="web")
    spec, _ = load_checkpoint(out)
    assert spec.weights.dtype == "float16"
    assert "web float16 against float32 weights: random input: worst difference" in capsys.readouterr().out
