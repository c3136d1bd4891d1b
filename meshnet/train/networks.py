"""A network from its settings, and a model folder from a trained network."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save_file
from torch import nn
from torch.utils.checkpoint import checkpoint

from meshnet.model.checkpoint import Weights, load_checkpoint, save_checkpoint
from meshnet.model.network import MeshNet, weights_of
from meshnet.model.refine import coarsened_weights, is_finer, refined_weights
from meshnet.model.spec import (
    Activation,
    Architecture,
    InputSpec,
    Label,
    LabelRole,
    ModelSpec,
    Provenance,
    WeightsFile,
    make_labels,
)
from meshnet.synth.label_table import DEEP_COLORS, DEEP_NUMBERS
from meshnet.train.baselines import build_baseline
from meshnet.train.config import ConfigError, TrainConfig
from meshnet.train.settings import NORMS


def architecture_of(config: TrainConfig) -> Architecture:
    """The architecture of the MeshNet that the settings describe, which must have passed `check_values`."""
    m = config.model
    return Architecture(
        channels=m.channels,
        classes=len(config.data.labels),
        dilations=tuple(m.dilations),
        activation=cast(Activation, m.activation),
        norm=NORMS[m.norm],
    )


def build_network(config: TrainConfig, size: tuple[int, int, int] = (256, 256, 256)) -> nn.Module:
    """A randomly initialised network, or one with the weights of the model folder `model.init_from`.

    size: of the training volumes in voxels; only some baselines depend on it. With `trainer.checkpoint_activations` the
    network recomputes activations in the backward pass. Raises ConfigError, and SpecError for a damaged model folder.
    """
    if config.model.kind != "meshnet":
        return _baseline(config, size)
    network = MeshNet(architecture_of(config))
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    if config.model.init_from:
        folder = Path(config.model.init_from)
        spec, weights = read_start(folder, config.model.init_sha256)
        _load_start(network, folder, spec, weights, new_classifier=config.model.new_classifier)
    return _Recomputing(network) if config.trainer.checkpoint_activations else network


def read_start(folder: Path, sha256: str = "") -> tuple[ModelSpec, Weights]:
    """Description and weights of the model folder that training starts from.

    sha256: that the weights file must have; empty for any. Raises ConfigError where it has another one, and SpecError
    where the folder is no model folder.
    """
    spec, weights = load_checkpoint(folder)
    if sha256 and spec.weights.sha256 != sha256:
        raise ConfigError(
            f"{folder / spec.weights.file}: the weights to start from must have SHA-256 {sha256}, got "
            f"{spec.weights.sha256}; pass the folder with those weights, or the SHA-256 of this one"
        )
    return spec, weights


def _load_start(network: MeshNet, folder: Path, spec: ModelSpec, weights: Weights, *, new_classifier: bool) -> None:
    """Copy the weights of a MeshNet of the same width; the classifier only where the number of classes agrees and
    `new_classifier` is off.

    A coarse network (half the dilations, trained on voxels twice the size) is refined first. A refined network is taken
    back to the coarse network that it was made from, where the dilations ask for that one. Raises ConfigError.
    """
    theirs = spec.architecture
    ours = network.architecture.model_copy(update={"classes": theirs.classes})  # the classifier is copied apart
    try:
        if is_finer(theirs, ours):
            weights = refined_weights(theirs, weights, ours)
        elif is_finer(ours, theirs):
            weights = coarsened_weights(theirs, weights, ours)
    except ValueError as error:
        raise ConfigError(f"model.init_from: {folder}: {error}") from error
    state = network.state_dict()
    body = {k: torch.from_numpy(v) for k, v in weights.items() if not k.startswith("classifier.")}
    wrong = [k for k, v in body.items() if k not in state or state[k].shape != v.shape]
    if wrong:
        raise ConfigError(f"model.init_from: {folder} has another {wrong[0]}; expected the same channels and norm")
    state.update(body)
    if theirs.classes == network.architecture.classes and not new_classifier:
        state.update({k: torch.from_numpy(v) for k, v in weights.items() if k.startswith("classifier.")})
    network.load_state_dict(state)


def _baseline(config: TrainConfig, size: tuple[int, int, int]) -> nn.Module:
    try:
        network = build_baseline(config.model.kind, size, len(config.data.labels))
    except ValueError as error:
        raise ConfigError(f"model.kind: {error} (or meshnet)") from error
    if config.trainer.checkpoint_activations:
        for block in _blocks(network):
            _recompute(block)
    return network


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    """The stages, encoder and decoder blocks of a network: its children with parameters, containers opened."""
    for child in module.children():
        if isinstance(child, nn.Sequential | nn.ModuleList) or type(child).__name__ == "SkipConnection":
            yield from _blocks(child)
        elif next(child.parameters(), None) is not None:
            yield child


def _recompute(block: nn.Module) -> None:
    """Make a block keep only its inputs in training and recompute its activations in the backward pass.

    `forward` is replaced instead of wrapping the block, so that the names of the weights stay the same.
    """
    plain = block.forward

    def forward(*inputs: Any, **options: Any) -> Any:
        if not (block.training and torch.is_grad_enabled()):
            return plain(*inputs, **options)
        return checkpoint(plain, *inputs, use_reentrant=False, context_fn=partial(_contexts, block), **options)

    block.forward = forward


class _Recomputing(nn.Module):
    """MeshNet that keeps only the inputs of its layers in training and recomputes activations in the backward pass."""

    def __init__(self, network: MeshNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = image
        for layer in self.network.layers:
            if self.training:
                x = checkpoint(layer, x, use_reentrant=False, context_fn=partial(_contexts, layer))
            else:
                x = layer(x)
        logits: torch.Tensor = self.network.classifier(x)
        return logits


def _contexts(layer: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Contexts for the forward pass of a block and for its recomputation in the backward pass."""
    return nullcontext(), _no_running_statistics(layer)


@contextmanager
def _no_running_statistics(layer: nn.Module) -> Iterator[None]:
    """Leave the running statistics of BatchNorm as they are: recomputation must not count the batch twice."""
    norms = [m for m in layer.modules() if isinstance(m, nn.BatchNorm3d)]
    momenta = [m.momentum for m in norms]
    try:
        for norm in norms:
            norm.momentum = 0.0
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def bare(network: nn.Module) -> nn.Module:
    """The network without the wrapper that recomputes activations."""
    return network.network if isinstance(network, _Recomputing) else network


def freeze_norm(network: nn.Module) -> None:
    """Make BatchNorm use its running statistics; its affine parameters still learn.

    Training on patches then computes the same function as inference on whole volumes.
    """
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.eval()


#: data.task, and the task that the description of a model trained on it names.
SPEC_TASKS = {
    "lesion": "stroke lesion",
    "tissue": "tissue",
    "tissue-lesion": "brain tissue and stroke lesion",
    "brain": "brain",
    "deep": "deep brain structures",
}

#: data.task, and the roles of its labels in their order; labels of other tasks have none.
LABEL_ROLES: dict[str, tuple[LabelRole | None, ...]] = {
    "tissue-lesion": (None, "context", "context", "context", "lesion"),
}

#: data.task of the models that label one brain, of which only the largest piece is kept.
ONE_BRAIN = ("tissue", "brain", "deep")


def labels_of_task(task: str, names: Sequence[str]) -> tuple[Label, ...]:
    """The labels of a model trained on `task`, with roles, or with FreeSurfer's numbers and colours."""
    labels = make_labels(names, LABEL_ROLES.get(task, ()))
    if task != "deep":
        return labels
    known = zip(labels, DEEP_NUMBERS, DEEP_COLORS, strict=True)
    return tuple(label.model_copy(update={"freesurfer_id": n, "color": color}) for label, n, color in known)


@dataclass(frozen=True)
class Trained:
    """Provenance of a saved network.

    data: description of the training data. size, voxel_size_mm: voxels along each axis and voxel size of the conformed
    grid. commit: of the code. validation_dice: None without validation.
    """

    data: str
    size: int
    voxel_size_mm: float
    command: str
    commit: str
    validation_dice: float | None


def save_network(folder: Path, network: nn.Module, config: TrainConfig, about: Trained) -> None:
    """Write the model folder of a trained network: description, provenance and weights."""
    network = bare(network)
    provenance = Provenance(
        source="trained in this project",
        data=about.data,
        command=about.command,
        commit=about.commit,
        license=config.license,
    )
    if not isinstance(network, MeshNet):
        _save_baseline(folder, network, config, provenance)
        return
    spec = ModelSpec(
        id=config.id,
        name=config.name,
        description=config.description,
        task=SPEC_TASKS.get(config.data.task, config.data.task),
        modality=tuple(config.data.modality),
        architecture=network.architecture,
        input=InputSpec(
            size=(about.size, about.size, about.size),
            voxel_size_mm=about.voxel_size_mm,
            orientation=config.data.orientation,
        ),
        labels=labels_of_task(config.data.task, config.data.labels),
        pieces="largest" if config.data.task in ONE_BRAIN else None,
        provenance=provenance,
        metrics={} if about.validation_dice is None else {"validation_dice": round(about.validation_dice, 4)},
        weights=WeightsFile(sha256="0" * 64),
    )
    save_checkpoint(folder, spec, weights_of(network))


def _save_baseline(folder: Path, network: nn.Module, config: TrainConfig, provenance: Provenance) -> None:
    """Write weights, name and provenance of a baseline for meshnet-evaluate; no engine runs it, so no ModelSpec."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / "weights.partial"
    save_file({k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}, partial)
    partial.replace(folder / "weights.safetensors")
    about = {"baseline": config.model.kind, "provenance": provenance.model_dump()}
    (folder / "baseline.json").write_text(json.dumps(about, indent=2) + "\n")
