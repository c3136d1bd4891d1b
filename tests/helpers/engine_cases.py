"""Small networks with random weights, their input, and what PyTorch computes: the oracle of every engine."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save

from export.published import PUBLISHED, import_one
from meshnet.model.checkpoint import load_checkpoint
from meshnet.model.network import MeshNet, weights_of
from meshnet.model.spec import Architecture, ModelSpec, WeightsFile, dump_spec, make_labels
from meshnet.scan.normalize import normalize

F32 = NDArray[np.float32]


@dataclass(frozen=True)
class Case:
    """A network and a volume. `dims` is (nx, ny, nz); `gain` scales the weights, so that activations grow;
    `offset` is added to the convolutions' biases, so that means lie far from zero."""

    name: str
    architecture: Architecture
    dims: tuple[int, int, int]
    gain: float = 1.0
    offset: float = 0.0
    seed: int = 0

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class BuiltCase:
    """An engine's input, and the output that it must give."""

    dims: tuple[int, int, int]
    model_json: str
    weights: bytes
    image: F32  # [channel, z, y, x]
    outputs: list[F32] = field(default_factory=list)  # per layer [channel, z, y, x], logits last
    labels: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))  # [z, y, x]
    margin: F32 = field(default_factory=lambda: np.zeros(0, np.float32))  # [z, y, x], p1 - p2 in 0..1
    probabilities: F32 = field(default_factory=lambda: np.zeros(0, np.float32))  # [class - 1, z, y, x], 0..1


def build(case: Case) -> BuiltCase:
    """Weights, input and PyTorch's result of a case (float32)."""
    built, model = _build(case)
    return with_result(built, model)


def build_without_result(case: Case) -> BuiltCase:
    """The same, for volumes on which PyTorch would take too long."""
    return _build(case)[0]


def _build(case: Case) -> tuple[BuiltCase, MeshNet]:
    a = case.architecture
    torch.manual_seed(case.seed)
    model = MeshNet(a).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.copy_(torch.randn_like(parameter) + (1 if name.endswith("weight") else 0))
            else:
                parameter.mul_(case.gain)
            if name.endswith("conv.bias"):
                parameter.add_(case.offset)
    image = torch.rand(1, a.in_channels, *case.dims)
    return bundle_of(model, to_zyx(image), case.name), model


def bundle_of(model: MeshNet, image: F32, name: str = "case") -> BuiltCase:
    """A network and its input [channel, z, y, x] as an engine gets them; without a result."""
    a = model.architecture
    data = save(weights_of(model))
    spec = ModelSpec(
        id="case",
        name=name,
        architecture=a,
        labels=make_labels([f"class {k}" for k in range(a.classes)]),
        weights=WeightsFile(sha256=hashlib.sha256(data).hexdigest()),
    )
    nz, ny, nx = image.shape[1:]
    return BuiltCase((nx, ny, nz), dump_spec(spec), data, image)


def with_result(built: BuiltCase, model: MeshNet) -> BuiltCase:
    """The case with what `model` computes on its image."""
    outputs: list[F32] = []
    with torch.no_grad():
        x = torch.from_numpy(np.ascontiguousarray(built.image.transpose(0, 3, 2, 1)))[None]
        for layer in model.layers:
            x = layer(x)
            outputs.append(to_zyx(x))
        logits = model.classifier(x)
        outputs.append(to_zyx(logits))
        softmax = torch.softmax(logits, dim=1)
        top = torch.topk(softmax, 2, dim=1).values
        margin = to_zyx(top[:, :1] - top[:, 1:])[0]
        labels = to_zyx(logits.argmax(dim=1, keepdim=True).float())[0].astype(np.uint8)
    probabilities = to_zyx(softmax[:, 1:])
    return replace(built, outputs=outputs, labels=labels, margin=margin, probabilities=probabilities)


def published_case(shared_data: Path, models: Path, model_id: str, scan: str) -> BuiltCase:
    """A published model, imported into `models`, and a whole conformed scan, normalised; without a result."""
    published = next(entry for entry in PUBLISHED if entry.id == model_id)
    import_one(published, shared_data / "models", models)
    spec, _ = load_checkpoint(models / model_id)
    volume = np.asanyarray(nib.load(shared_data / "scans" / f"{scan}.nii.gz").dataobj)
    image = normalize(volume, spec.input.normalization).transpose(2, 1, 0)[None]
    weights = (models / model_id / spec.weights.file).read_bytes()
    return BuiltCase(volume.shape, dump_spec(spec), weights, image)


def to_zyx(tensor: torch.Tensor) -> F32:
    """[1, C, D, H, W] (= x, y, z) to [C, z, y, x]."""
    return np.ascontiguousarray(tensor[0].numpy().transpose(0, 3, 2, 1), dtype=np.float32)


def write_case(built: BuiltCase, folder: Path, **options: Any) -> None:
    """The files that `tests/engine/run_deno.ts` reads."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.json").write_text(built.model_json, encoding="utf-8")
    (folder / "weights.safetensors").write_bytes(built.weights)
    (folder / "input.f32").write_bytes(np.ascontiguousarray(built.image, dtype=np.float32).tobytes())
    (folder / "trial.json").write_text(json.dumps({"dims": built.dims, **options}), encoding="utf-8")


def assert_outputs_equal(got: list[F32], wanted: list[F32], *, relative: float) -> None:
    """Every layer within `relative` of its largest absolute activation."""
    assert len(got) == len(wanted)
    for i, (ours, torchs) in enumerate(zip(got, wanted, strict=True)):
        assert np.isfinite(ours).all(), f"layer {i} is not finite"
        worst = float(np.abs(ours - torchs).max())
        allowed = relative * float(np.abs(torchs).max())
        assert worst <= allowed, f"layer {i}: worst difference {worst:g}, allowed {allowed:g}"


def agreement(got: NDArray[np.uint8], wanted: NDArray[np.uint8]) -> float:
    """Share of voxels with the same label."""
    return float((got == wanted).mean())


def smallest_dice(got: NDArray[np.uint8], wanted: NDArray[np.uint8]) -> float:
    """Dice of the label that agrees worst."""
    dice = []
    for label in np.union1d(np.unique(got), np.unique(wanted)):
        ours, theirs = got == label, wanted == label
        dice.append(2 * np.logical_and(ours, theirs).sum() / (ours.sum() + theirs.sum()))
    return float(min(dice))
