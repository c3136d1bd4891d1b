"""Exports of a model, and what must come back when they are imported."""

from __future__ import annotations

from pathlib import Path

from export.cli import main
from export.import_model import Answers, import_model
from meshnet.model.checkpoint import Weights, load_checkpoint, save_checkpoint
from meshnet.model.graph import build_graph, check_same_graph
from meshnet.model.spec import ModelSpec


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
