"""Read TF.js layers models (`model.json` and `.bin`): brainchop's published folders and this project's exports."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from export.importers.labels import read_json, read_labels
from export.importers.source import Array, Convolution, Norm, Source, check_chain
from export.importers.tfjs_graph import read_graph_model
from export.importers.tfjs_weights import read_weights
from meshnet.model.spec import FORMAT, Activation, BatchNorm, GroupNorm, ModelSpec, NoNorm, SpecError, parse_spec

#: Suffix of a convolution's name after which brainchop's runner applies a per-channel norm.
NORM_SUFFIX = "_gn"
#: The eps of that norm, fixed in brainchop's runner.
NORM_EPS = 1e-5

#: Activations of TF.js that a ModelSpec supports; TF.js's `gelu` is the exact erf form.
_ACTIVATIONS: Mapping[str, Activation] = {"relu": "relu", "elu": "elu", "gelu": "gelu", "gelu_new": "gelu_tanh"}


def is_tfjs(content: object) -> bool:
    """Whether the content of a `model.json` is a TF.js model, a layers model or a graph model."""
    return isinstance(content, dict) and "modelTopology" in content


def read_tfjs(path: Path) -> Source:
    """Read `model.json` (Keras 2 or 3), its shards, and `colormap.json` beside it if it exists.

    Raises SpecError, which names the layer, for everything that a MeshNet can't express, and for missing or truncated
    shards.
    """
    content = read_json(path)
    topology = content["modelTopology"]
    if content.get("format") == "graph-model" or (isinstance(topology, dict) and "node" in topology):
        return read_graph_model(path, content)
    layers = _read_layers(path, content)
    tensors = _numbered_weights(layers, _without_model_name(content, read_weights(path, content)))
    convolutions = tuple(_convolution(path, layer, tensors) for layer in layers)
    if tensors:
        raise SpecError(f"{path}: weights {sorted(tensors)[:4]} belong to no layer; model.json and .bin do not fit")
    check_chain(str(path), convolutions)

    colormap = path.parent / "colormap.json"
    source = Source(
        where=str(path),
        kind="TF.js layers model",
        convolutions=convolutions,
        dilations=tuple(layer.dilation for layer in layers[:-1]),
        activation=_activation(path, layers),
        norm=_norm(path, layers),
        labels=read_labels(colormap) if colormap.exists() else None,
        labels_file=colormap.name if colormap.exists() else None,
        spec=_own_spec(path, content),
    )
    if any(layer.dropout for layer in layers):
        source = source.with_notes("Dropout layers do nothing at inference and are left out")
    return source


class _Layer:
    """One layer of the network: a Conv3D of Keras and the Keras layers after it, up to the next Conv3D."""

    def __init__(self, config: Mapping[str, Any], dilation: int) -> None:
        self.name = str(config["name"])
        self.bias = bool(config.get("use_bias", True))
        self.dilation = dilation
        self.batch_norm: Mapping[str, Any] | None = None
        self.activation = str(config.get("activation") or "linear")
        self.dropout = False


def _read_layers(path: Path, content: Any) -> list[_Layer]:
    keras_layers = _chain(path, content)
    first = keras_layers[0]["config"]
    shape = first.get("batch_input_shape") or first.get("batch_shape")
    if not isinstance(shape, list) or len(shape) != 5 or any(n not in (None, 256) for n in shape[1:4]):
        raise SpecError(f"{path}: input shape {shape}; expected [null, 256, 256, 256, channels], a whole volume")
    layers: list[_Layer] = []
    for keras_layer in keras_layers:
        kind, config = keras_layer["class_name"], keras_layer["config"]
        where = f"{path}: layer {config.get('name')!r}"
        if kind == "InputLayer":
            continue
        if kind == "Conv3D":
            layers.append(_Layer(config, _check_convolution(where, config)))
            continue
        if not layers:
            raise SpecError(f"{where}: {kind} comes before any convolution; it cannot be folded into one")
        layer = layers[-1]
        if kind == "BatchNormalization":
            if layer.batch_norm is not None or layer.activation != "linear":
                raise SpecError(f"{where}: BatchNormalization does not follow a convolution directly; cannot be folded")
            if config.get("axis", -1) not in (-1, 4, [4], [-1]):
                raise SpecError(f"{where}: axis {config['axis']}; expected the channel axis (-1 or 4)")
            layer.batch_norm = config
        elif kind in ("Activation", "ReLU", "ELU"):
            if layer.activation != "linear":
                raise SpecError(f"{where}: a second activation after {layer.name!r}; a MeshNet layer has one")
            layer.activation = _activation_of(where, kind, config)
        elif kind in ("Dropout", "SpatialDropout3D"):
            layer.dropout = True
        else:
            raise SpecError(
                f"{where}: {kind} is not part of a MeshNet; "
                f"supported are Conv3D, BatchNormalization, Activation, ReLU, ELU"
            )
    return layers


def _activation_of(where: str, kind: str, config: Mapping[str, Any]) -> str:
    """Keras' name of the activation that an activation layer computes."""
    if kind == "Activation":
        return str(config.get("activation"))
    plain = {"max_value": None, "negative_slope": 0, "threshold": 0} if kind == "ReLU" else {"alpha": 1}
    for name, expected in plain.items():
        if config.get(name, expected) != expected:
            raise SpecError(f"{where}: {kind} with {name} {config[name]}; expected {expected}")
    return kind.lower()


def _chain(path: Path, content: Any) -> list[dict[str, Any]]:
    """The Keras layers in order. Raises SpecError unless each takes exactly the output of the one before."""
    try:
        model = content["modelTopology"].get("model_config", content["modelTopology"])
        config = model["config"]
        layers: list[dict[str, Any]] = config if isinstance(config, list) else config["layers"]
        if model["class_name"] == "Sequential":
            return layers
        previous = layers[0]["config"]["name"]
        for layer in layers[1:]:
            inbound = [_inputs_of_call(call) for call in layer["inbound_nodes"]]
            if inbound != [[previous]]:
                raise SpecError(
                    f"{path}: layer {layer['config']['name']!r} takes {inbound}, expected only {previous!r}; "
                    f"graphs that are not a plain chain are not supported"
                )
            previous = layer["config"]["name"]
        # Keras 3 writes a single output without a list around it.
        listed = config["output_layers"]
        outputs = [node[0] for node in ([listed] if isinstance(listed[0], str) else listed)]
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise SpecError(f"{path}: not a TF.js layers model ({type(error).__name__}: {error})") from error
    if outputs != [previous]:
        raise SpecError(f"{path}: the outputs are {outputs}, expected the last layer {previous!r} alone")
    return layers


def _inputs_of_call(call: Any) -> list[str]:
    """Names of the layers whose outputs a call takes.

    Keras 2 writes `[[name, node, tensor, {}], ...]`, Keras 3 `{"args": [tensor, ...], "kwargs": {...}}` with tensors
    `{"class_name": "__keras_tensor__", "config": {"keras_history": [name, node, tensor]}}` at any depth.
    """
    if isinstance(call, list):
        return [node[0] for node in call]
    return _keras_tensors([call["args"], call["kwargs"]])


def _keras_tensors(value: Any) -> list[str]:
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            return [str(value["config"]["keras_history"][0])]
        value = list(value.values())
    return [name for item in value for name in _keras_tensors(item)] if isinstance(value, list) else []


def _without_model_name(content: Any, tensors: dict[str, Array]) -> dict[str, Array]:
    """Tensors without the model's name before each of theirs, which Keras 3 writes for sequential models."""
    model = content["modelTopology"].get("model_config", content["modelTopology"])
    name = model["config"].get("name") if isinstance(model["config"], dict) else None
    prefix = f"{name}/"
    if not all(tensor.startswith(prefix) for tensor in tensors):
        return tensors
    return {tensor.removeprefix(prefix): array for tensor, array in tensors.items()}


def _numbered_weights(layers: list[_Layer], tensors: dict[str, Array]) -> dict[str, Array]:
    """Tensors by the names of layers, where they have the numbers of a `.keras` archive.

    Such a folder comes from `tensorflowjs_converter --input_format keras_keras`: `layers/conv3d_1/vars/0` is the kernel
    of the second Conv3D.
    """
    if not all(name.startswith("layers/") and "/vars/" in name for name in tensors):
        return tensors
    names: dict[str, str] = {}

    def number(kind: str, index: int, name: str, parts: list[str]) -> None:
        folder = f"layers/{kind}_{index}" if index else f"layers/{kind}"
        names.update({f"{folder}/vars/{i}": f"{name}/{part}" for i, part in enumerate(parts)})

    for i, layer in enumerate(layers):
        number("conv3d", i, layer.name, ["kernel", "bias"] if layer.bias else ["kernel"])
    for i, norm in enumerate(layer.batch_norm for layer in layers if layer.batch_norm is not None):
        affine = [part for part, key in (("gamma", "scale"), ("beta", "center")) if norm.get(key, True)]
        number("batch_normalization", i, str(norm["name"]), [*affine, "moving_mean", "moving_variance"])
    return {names.get(name, name): array for name, array in tensors.items()}


def _check_convolution(where: str, config: Mapping[str, Any]) -> int:
    """The dilation of a Conv3D. Raises SpecError for parameters that a MeshNet convolution can't have."""
    kernel = _one_number(where, "kernel_size", config.get("kernel_size"))
    dilation = _one_number(where, "dilation_rate", config.get("dilation_rate", 1))
    stride = _one_number(where, "strides", config.get("strides", 1))
    if stride != 1:
        raise SpecError(f"{where}: stride {stride}; only stride 1 is supported")
    if config.get("groups", 1) != 1:
        raise SpecError(f"{where}: groups {config['groups']}; only groups 1 is supported")
    if config.get("data_format", "channels_last") != "channels_last":
        raise SpecError(f"{where}: data_format {config['data_format']!r}; expected channels_last")
    padding = config.get("padding", "valid")
    if padding != "same" and kernel != 1:
        raise SpecError(f"{where}: padding {padding!r}; expected 'same', that is dilation * (kernel - 1) / 2")
    return dilation


def _one_number(where: str, what: str, value: Any) -> int:
    values = set(value) if isinstance(value, list) else {value}
    if len(values) != 1 or not isinstance(next(iter(values)), int):
        raise SpecError(f"{where}: mixed {what} {value}; expected the same whole number along each axis")
    return int(values.pop())


def _convolution(path: Path, layer: _Layer, tensors: dict[str, Array]) -> Convolution:
    """Take the layer's tensors out of `tensors`, in PyTorch's axis order."""

    def take(name: str) -> Array:
        try:
            return tensors.pop(name)
        except KeyError as error:
            raise SpecError(f"{path}: weight {name!r} is missing from the weights manifest") from error

    kernel = take(f"{layer.name}/kernel")
    if kernel.ndim != 5:
        raise SpecError(f"{path}: {layer.name}/kernel has shape {kernel.shape}, expected [k, k, k, in, out]")
    norm = None
    if layer.batch_norm is not None:
        name, channels = layer.batch_norm["name"], kernel.shape[4]
        norm = {
            # Keras can omit scale or offset; they are then 1 and 0.
            "weight": take(f"{name}/gamma") if layer.batch_norm.get("scale", True) else np.ones(channels, np.float32),
            "bias": take(f"{name}/beta") if layer.batch_norm.get("center", True) else np.zeros(channels, np.float32),
            "running_mean": take(f"{name}/moving_mean"),
            "running_var": take(f"{name}/moving_variance"),
        }
    weight = np.ascontiguousarray(kernel.transpose(4, 3, 0, 1, 2))
    return Convolution(layer.name, weight, take(f"{layer.name}/bias") if layer.bias else None, norm)


def _activation(path: Path, layers: list[_Layer]) -> Activation:
    if layers[-1].activation != "linear":
        raise SpecError(
            f"{path}: {layers[-1].activation!r} after the classifier {layers[-1].name!r}; expected plain logits"
        )
    for layer in layers[:-1]:
        if layer.activation not in _ACTIVATIONS:
            known = ", ".join(_ACTIVATIONS)
            raise SpecError(f"{path}: unknown activation {layer.activation!r} after {layer.name!r}; supported: {known}")
        if layer.activation != layers[0].activation:
            raise SpecError(
                f"{path}: mixed activations: {layer.activation!r} after {layer.name!r}, {layers[0].activation!r} before"
            )
    return _ACTIVATIONS[layers[0].activation]


def _norm(path: Path, layers: list[_Layer]) -> Norm:
    hidden = layers[:-1]
    found: list[Norm] = []
    for layer in layers:
        suffixed = layer.name.endswith(NORM_SUFFIX)
        if suffixed and layer.batch_norm is not None:
            raise SpecError(f"{path}: {layer.name!r} has both the {NORM_SUFFIX} norm and a BatchNormalization")
        if layer.batch_norm is not None:
            found.append(BatchNorm(eps=float(layer.batch_norm.get("epsilon", 1e-3))))
        else:
            found.append(GroupNorm(affine=False, eps=NORM_EPS) if suffixed else NoNorm())
    if found[-1] != NoNorm():
        raise SpecError(f"{path}: the classifier {layers[-1].name!r} has a norm after it; not supported")
    for layer, norm in zip(hidden, found, strict=False):
        if norm != found[0]:
            raise SpecError(
                f"{path}: mixed norms: {hidden[0].name!r} and {layer.name!r} differ; all layers must be alike"
            )
    return found[0]


def _own_spec(path: Path, content: Mapping[str, Any]) -> ModelSpec | None:
    metadata = content.get("userDefinedMetadata")
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        return None
    return parse_spec(json.dumps(metadata), where=f"{path}: userDefinedMetadata")
