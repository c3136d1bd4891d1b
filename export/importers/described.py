"""Read brainchop's PyTorch models: a file of tensors, described by a `layers.json` or `model.json` beside it.

Some of these descriptions contradict their weights (other class counts, norms without tensors). The tensors decide, and
every contradiction becomes a note. Dilations and activation, which tensors can't show, are taken from the description.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast, get_args

from export.importers.labels import read_json
from export.importers.source import TORCH_EPS, Convolution, Norm, Source, chain_of_tensors
from export.importers.tensors import read_tensors, zip_members
from export.importers.torchscript import is_torchscript, read_torchscript
from meshnet.model.spec import Activation, BatchNorm, GroupNorm, NoNorm, SpecError


def read_described(path: Path) -> Source:
    """Read a file of tensors and brainchop's description of it, if there is one beside it. Or a TorchScript file."""
    if is_torchscript(zip_members(path)):
        return read_torchscript(path)
    tensors, kind = read_tensors(path)
    convolutions = chain_of_tensors(str(path), tensors)
    source = Source(where=str(path), kind=kind, convolutions=convolutions, norm=_norm_of_tensors(convolutions))
    if kind == "safetensors" and path.suffix in (".pth", ".pt"):
        source = source.with_notes(f"{path.name} is a safetensors file despite its name")
    if convolutions[0].has_batch_norm:
        source = source.with_notes(f"BatchNorm's eps is not in the file; PyTorch's default {TORCH_EPS} is used")
    description = _read_description(path.parent)
    return source if description is None else _merge(source, description)


@dataclass
class _Layer:
    """One convolution of the description and the operations after it."""

    params: Mapping[str, Any]
    operations: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)


@dataclass(frozen=True)
class _Description:
    path: Path
    layers: list[_Layer]
    notes: tuple[str, ...] = ()
    activation: Activation | None = None
    says_norm: bool | None = None  # None: the operations state it
    classes: int | None = None


def _norm_of_tensors(convolutions: Sequence[Convolution]) -> Norm | None:
    first = convolutions[0]
    if first.norm is None:
        return None
    return BatchNorm(eps=TORCH_EPS) if first.has_batch_norm else GroupNorm(affine=True, eps=TORCH_EPS)


def _read_description(folder: Path) -> _Description | None:
    forward, config = folder / "layers.json", folder / "model.json"
    if forward.exists():
        description = _read_forward_pass(forward)
        note = f"{config.name} is there too and was not read" if config.exists() else ""
        return replace(description, notes=(note,)) if note else description
    if config.exists():
        content = read_json(config)
        if isinstance(content, dict) and isinstance(content.get("layers"), list):
            return _read_config(config, content)
    return None


def _read_forward_pass(path: Path) -> _Description:
    """`layers.json`: a list of operations with their parameters."""
    layers: list[_Layer] = []
    try:
        content = read_json(path)
        classes = content.get("metadata", {}).get("output_classes")
        for step in content["forward_pass"]:
            name, params = str(step["op"]), step.get("params", {})
            if name == "conv3d":
                layers.append(_Layer(params))
            elif not layers:
                raise SpecError(f"{path}: {name} comes before any convolution; it cannot be folded into one")
            else:
                layers[-1].operations.append((name, params))
    except (KeyError, TypeError, AttributeError) as error:
        raise SpecError(f"{path}: malformed forward_pass ({type(error).__name__}: {error})") from error
    return _Description(path, layers, activation=_activation_of_operations(path, layers), classes=classes)


def _activation_of_operations(path: Path, layers: list[_Layer]) -> Activation:
    found: list[str] = []
    for layer in layers[:-1]:
        names = [name for name, _ in layer.operations if name not in ("group_norm", "batch_norm3d", "dropout")]
        order = [name for name, _ in layer.operations]
        if len(names) != 1 or names[0] not in get_args(Activation):
            raise SpecError(
                f"{path}: unknown activation {names or 'none'} after a convolution; supported: relu, elu, gelu"
            )
        late = [name for name in order[order.index(names[0]) :] if name in ("group_norm", "batch_norm3d")]
        if late:
            raise SpecError(f"{path}: {late[0]} comes after the activation, not after a convolution; cannot be folded")
        found.append(names[0])
    if len(set(found)) != 1:
        raise SpecError(f"{path}: mixed activations {sorted(set(found))}; all layers must be alike")
    return cast(Activation, found[0])


def _read_config(path: Path, content: Mapping[str, Any]) -> _Description:
    """`model.json`: convolution parameters, and `bnorm` and `gelu` for all of them."""
    return _Description(
        path,
        [_Layer(params) for params in content["layers"]],
        # Without `gelu` the file doesn't state the activation.
        activation="gelu" if content.get("gelu") is True else None,
        says_norm=bool(content["bnorm"]) if "bnorm" in content else None,
    )


def _merge(source: Source, description: _Description) -> Source:
    path = description.path
    if len(description.layers) != len(source.convolutions):
        raise SpecError(
            f"{source.where}: {len(source.convolutions)} convolutions, {path.name} describes "
            f"{len(description.layers)}; they belong to different models"
        )
    notes = [f"dilations are read from {path.name}", *description.notes]
    if description.classes not in (None, source.classes):
        notes.append(
            f"{path.name} states {description.classes} classes, the weights have {source.classes}; the weights win"
        )
    dilations = []
    for layer, convolution in zip(description.layers, source.convolutions, strict=True):
        dilations.append(_check_layer(path, layer.params, convolution))
        notes += _disagreements(path, layer.params, convolution)
    norm, remarks = _merge_norm(source, description)
    return replace(
        source,
        kind=f"{source.kind} described by {path.name}",
        dilations=tuple(dilations[:-1]),
        activation=description.activation,
        norm=norm,
    ).with_notes(*dict.fromkeys([*notes, *remarks]))


def _check_layer(path: Path, params: Mapping[str, Any], convolution: Convolution) -> int:
    """The dilation of a described convolution. Raises SpecError for parameters that a MeshNet convolution can't
    have."""
    where = f"{path}: {convolution.name}"
    kernel = convolution.weight.shape[2]
    try:
        dilation, padding, described = params.get("dilation", 1), params["padding"], params["kernel_size"]
        stride, groups = params.get("stride", 1), params.get("groups", 1)
    except (KeyError, AttributeError) as error:
        raise SpecError(f"{where}: malformed layer description ({type(error).__name__}: {error})") from error
    if not isinstance(dilation, int):
        raise SpecError(f"{where}: mixed dilations {dilation}; expected one whole number for all axes")
    if described != kernel:
        raise SpecError(
            f"{where}: described with kernel {described}, the weights have {kernel}; they do not belong together"
        )
    if padding != dilation * (kernel - 1) // 2:
        raise SpecError(
            f"{where}: padding {padding} with dilation {dilation} and kernel {kernel}; "
            f"expected dilation * (kernel - 1) / 2 = {dilation * (kernel - 1) // 2}"
        )
    if stride != 1:
        raise SpecError(f"{where}: stride {stride}; only stride 1 is supported")
    if groups != 1:
        raise SpecError(f"{where}: groups {groups}; only groups 1 is supported")
    return dilation


def _disagreements(path: Path, params: Mapping[str, Any], convolution: Convolution) -> list[str]:
    notes = []
    out, inside = convolution.weight.shape[:2]
    # -1 means "as many as the task needs".
    for key, actual in (("in_channels", inside), ("out_channels", out)):
        if params.get(key, -1) not in (-1, actual):
            notes.append(f"{path.name} states other channel or class counts than the weights have; the weights win")
    if "bias" in params and params["bias"] is not (convolution.bias is not None):
        notes.append(
            f"{path.name} states bias {str(params['bias']).lower()} for {convolution.name}, "
            f"the weights have {'one' if convolution.bias is not None else 'none'}; the weights win"
        )
    return notes


def _merge_norm(source: Source, description: _Description) -> tuple[Norm | None, list[str]]:
    """The norm (None if it is not known) and notes about it. Tensors decide."""
    path, first = description.path, description.layers[0]
    operations = dict(first.operations)
    group, batch = operations.get("group_norm"), operations.get("batch_norm3d")
    if source.norm is not None:
        if description.says_norm is False:
            return source.norm, [
                f"{path.name} states no norm, the weights have a {source.norm.kind} norm; the weights win"
            ]
        if isinstance(source.norm, BatchNorm) and group is not None:
            raise SpecError(f"{path}: group_norm and BatchNorm tensors after one convolution; a layer has one norm")
        return source.norm, []
    if group is not None:
        if group.get("num_groups") != group.get("num_channels"):
            raise SpecError(
                f"{path}: group_norm with {group.get('num_groups')} groups for {group.get('num_channels')} channels; "
                f"expected one group per channel"
            )
        notes = []
        if batch is not None:
            notes.append(f"{path.name} lists batch_norm3d, the weights have no tensors for it; the weights win")
        if group.get("affine", True):
            notes.append(f"{path.name} leaves group_norm affine, the weights have no tensors for it; the weights win")
        return GroupNorm(affine=False, eps=float(group.get("eps", TORCH_EPS))), notes
    if batch is not None or description.says_norm:
        return None, [f"{path.name} states a norm, the weights have no tensors for it"]
    if description.says_norm is None and not first.operations:
        return None, []
    return NoNorm(), []
