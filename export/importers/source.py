"""`Source`: a foreign model as read, that is the tensors of a chain of convolutions and the facts stated about them.

A fact that the source doesn't state is None, and the user has to state it; nothing is guessed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from meshnet.model.checkpoint import Weights
from meshnet.model.spec import Activation, BatchNorm, GroupNorm, Label, ModelSpec, NoNorm, SpecError

Array = NDArray[np.float32]
Norm = NoNorm | BatchNorm | GroupNorm

#: PyTorch's default eps of BatchNorm and GroupNorm, which a file of tensors doesn't contain.
TORCH_EPS = 1e-5


@dataclass(frozen=True)
class Convolution:
    """The tensors of one convolution and, except for the classifier, of the norm after it."""

    name: str  # in the source, for messages
    weight: Array  # [out, in, k, k, k]
    bias: Array | None
    norm: Mapping[str, Array] | None = None  # weight, bias[, running_mean, running_var], each [out]

    @property
    def has_batch_norm(self) -> bool:
        return self.norm is not None and "running_mean" in self.norm


@dataclass(frozen=True)
class Source:
    """A model as read. spec: the description in this project's own files, which answers every question."""

    where: str
    kind: str
    convolutions: tuple[Convolution, ...]  # the last one is the 1x1x1 classifier
    dilations: tuple[int, ...] | None = None
    activation: Activation | None = None
    norm: Norm | None = None
    labels: tuple[Label, ...] | None = None
    labels_file: str | None = None  # the file beside the source that has the labels
    notes: tuple[str, ...] = ()
    spec: ModelSpec | None = None

    @property
    def in_channels(self) -> int:
        return int(self.convolutions[0].weight.shape[1])

    @property
    def channels(self) -> int:
        return int(self.convolutions[0].weight.shape[0])

    @property
    def classes(self) -> int:
        return int(self.convolutions[-1].weight.shape[0])

    def with_notes(self, *notes: str) -> Source:
        return replace(self, notes=(*self.notes, *notes))


def check_activations(where: str, layers: Sequence[tuple[str, Activation | None]]) -> None:
    """Raise SpecError unless all layers (name, activation) but the classifier, which has none, have the same one."""
    *hidden, (classifier, last) = layers
    for name, activation in hidden:
        if activation is None:
            raise SpecError(f"{where}: no activation after {name!r}; a MeshNet has one after each 3x3x3 convolution")
        if activation != hidden[0][1]:
            raise SpecError(
                f"{where}: mixed activations: {activation} after {name!r}, {hidden[0][1]} before; "
                f"all layers must be alike"
            )
    if last is not None:
        raise SpecError(
            f"{where}: {last} after the classifier {classifier!r}; expected plain logits, Softmax or ArgMax"
        )


def check_chain(where: str, convolutions: Sequence[Convolution]) -> None:
    """Raise SpecError unless the tensors form equally wide 3x3x3 convolutions and a 1x1x1 classifier."""
    if len(convolutions) < 2:
        raise SpecError(
            f"{where}: found {len(convolutions)} convolution(s); a MeshNet is a chain of 3x3x3 convolutions "
            f"and a 1x1x1 classifier"
        )
    width = convolutions[0].weight.shape[0]
    previous = convolutions[0].weight.shape[1]
    for i, convolution in enumerate(convolutions):
        shape = convolution.weight.shape
        last = i == len(convolutions) - 1
        kernel = (1, 1, 1) if last else (3, 3, 3)
        if shape[2:] != kernel:
            what = "the last convolution (classifier)" if last else "every convolution but the last"
            raise SpecError(f"{where}: {convolution.name} has kernel {shape[2:]}; {what} must have kernel {kernel}")
        if shape[1] != previous:
            raise SpecError(
                f"{where}: {convolution.name} takes {shape[1]} channels, the layer before gives {previous}; "
                f"grouped convolutions and anything but a plain chain of layers are not supported"
            )
        if not last and shape[0] != width:
            raise SpecError(
                f"{where}: mixed widths: {convolution.name} gives {shape[0]} channels, the first layer {width}; "
                f"all layers of a MeshNet are equally wide"
            )
        previous = shape[0]
    hidden = convolutions[:-1]
    for question, answers in (
        ("a bias", {c.bias is not None for c in hidden}),
        ("norm tensors", {tuple(sorted(c.norm)) if c.norm else () for c in hidden}),
    ):
        if len(answers) > 1:
            raise SpecError(f"{where}: some layers have {question} and others do not; all layers must be alike")
    if convolutions[-1].norm is not None:
        raise SpecError(f"{where}: {convolutions[-1].name} is the classifier and has a norm after it; not supported")


def weights_of(source: Source) -> Weights:
    """The tensors by the names of `meshnet.model.checkpoint`."""
    weights: Weights = {}
    for i, convolution in enumerate(source.convolutions[:-1]):
        weights[f"layers.{i}.conv.weight"] = convolution.weight
        if convolution.bias is not None:
            weights[f"layers.{i}.conv.bias"] = convolution.bias
        for name, array in (convolution.norm or {}).items():
            weights[f"layers.{i}.norm.{name}"] = array
    classifier = source.convolutions[-1]
    weights["classifier.weight"] = classifier.weight
    if classifier.bias is not None:
        weights["classifier.bias"] = classifier.bias
    return weights


def chain_of_tensors(where: str, tensors: Mapping[str, Array]) -> tuple[Convolution, ...]:
    """Convolutions of a file of tensors, in the order of the numbers in the tensors' names.

    A five-dimensional `*.weight` is a convolution. A one-dimensional one belongs to the norm after the convolution with
    the same or the next lower numbers (`network.0.bn` to `network.0.conv`, `model.0.1` to `model.0.0`). A 1x1x1
    convolution without a number (`classifier`, `head`) is the last one. Raises SpecError for any other tensor.
    """
    arrays = {name: array for name, array in tensors.items() if not name.endswith("num_batches_tracked")}
    owner = {name: name.rpartition(".")[0] for name in arrays}
    modules: dict[str, dict[str, Array]] = {}
    for name in sorted(arrays, key=_numbers):
        modules.setdefault(owner[name], {})[name.rpartition(".")[2]] = arrays[name]
    found: list[tuple[tuple[int, ...], Convolution]] = []
    norms = []
    for module, members in modules.items():
        weight = members.get("weight")
        if weight is not None and weight.ndim == 5 and set(members) <= {"weight", "bias"}:
            head = not _numbers(module) and weight.shape[2:] == (1, 1, 1)
            place = (sys.maxsize,) if head else _numbers(module)
            found.append((place, Convolution(module, weight, members.get("bias"))))
        elif set(members) in ({"weight", "bias"}, _BATCH_NORM) and all(a.ndim == 1 for a in members.values()):
            norms.append((module, members))
        else:
            listing = ", ".join(f"{module}.{n} {list(a.shape)}" for n, a in members.items())
            raise SpecError(f"{where}: {listing}: neither a 3-D convolution nor a norm; not a MeshNet")
    found.sort(key=lambda item: item[0])
    for module, members in norms:
        before = [i for i, (numbers, _) in enumerate(found) if numbers <= _numbers(module)]
        convolution = found[before[-1]][1] if before else None
        if convolution is None or convolution.norm is not None:
            kind = "BatchNorm" if "running_mean" in members else "norm"
            raise SpecError(f"{where}: {kind} {module} does not directly follow a convolution; cannot be folded")
        if members["weight"].shape != convolution.weight.shape[:1]:
            raise SpecError(f"{where}: {module} has {members['weight'].shape} channels, {convolution.name} has others")
        found[before[-1]] = (found[before[-1]][0], replace(convolution, norm=members))
    convolutions = tuple(convolution for _, convolution in found)
    check_chain(where, convolutions)
    return convolutions


_BATCH_NORM = {"weight", "bias", "running_mean", "running_var"}


def _numbers(name: str) -> tuple[int, ...]:
    """Sort key: the numbers in a tensor's name, so that `convs.10` follows `convs.9`."""
    return tuple(int(part) for part in re.findall(r"\d+", name))
