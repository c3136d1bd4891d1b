"""TF.js layers folders, written layer by layer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Layer = dict[str, Any]
Model = dict[str, Any]


def conv(name: str, inbound: str, filters: int, **config: Any) -> Layer:
    kernel = config.pop("kernel", 3)
    defaults = {"name": name, "filters": filters, "kernel_size": [kernel] * 3, "strides": [1, 1, 1], "padding": "same"}
    defaults |= {"dilation_rate": [1, 1, 1], "data_format": "channels_last", "activation": "linear", "use_bias": True}
    return layer("Conv3D", inbound, {**defaults, **config})


def layer(kind: str, inbound: str, config: dict[str, Any]) -> Layer:
    return {"class_name": kind, "config": config, "inbound_nodes": [[[inbound, 0, 0, {}]]]}


def network(suffix: str = "", activation: str = "relu", bias: bool = True) -> list[Layer]:
    """Input, two layers of 4 channels with dilations 1 and 2, a classifier of two classes."""
    first, second = f"conv3d_0{suffix}", f"conv3d_1{suffix}"
    return [
        {
            "class_name": "InputLayer",
            "config": {"name": "input", "batch_input_shape": [None, 256, 256, 256, 1]},
            "inbound_nodes": [],
        },
        conv(first, "input", 4, use_bias=bias),
        layer("Activation", first, {"name": "activation_0", "activation": activation}),
        conv(second, "activation_0", 4, dilation_rate=[2, 2, 2], use_bias=bias),
        layer("Activation", second, {"name": "activation_1", "activation": activation}),
        conv("output", "activation_1", 2, kernel=1),
    ]


def keras3(layers: list[Layer], kind: str = "Functional") -> tuple[list[Layer], Callable[[Model], object]]:
    """The same layers as Keras 3 writes them, and the edit of `write` that makes the rest of the model Keras 3's.

    kind: 'Functional' or 'Sequential'; the latter has no inbound nodes, and its weights start with the model's name.
    """
    for entry in layers:
        config = entry["config"]
        config["dtype"] = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}}
        if "batch_input_shape" in config:
            config["batch_shape"] = config.pop("batch_input_shape")
        if kind == "Sequential":
            entry.pop("inbound_nodes")
            continue
        entry["name"] = config["name"]
        entry["inbound_nodes"] = [
            {"args": [keras_tensor(node[0]) for node in call], "kwargs": {"mask": None}}
            for call in entry["inbound_nodes"]
        ]

    def edit(model: Model) -> None:
        topology = model["modelTopology"]
        topology["keras_version"], topology["backend"] = "3.15.1", "tensorflow"
        topology["model_config"]["class_name"] = kind
        config = topology["model_config"]["config"]
        if kind == "Sequential":
            del config["output_layers"]
            config["build_input_shape"] = [None, 256, 256, 256, 1]
            for weight in model["weightsManifest"][0]["weights"]:
                weight["name"] = f"{config['name']}/{weight['name']}"
        else:
            config["input_layers"] = [layers[0]["config"]["name"], 0, 0]
            config["output_layers"] = config["output_layers"][0]

    return layers, edit


def keras_tensor(layer: str) -> dict[str, Any]:
    return {"class_name": "__keras_tensor__", "config": {"dtype": "float32", "keras_history": [layer, 0, 0]}}


def shapes(layers: list[Layer]) -> dict[str, list[int]]:
    width, found = 1, {}
    for entry in layers:
        config = entry["config"]
        if entry["class_name"] == "Conv3D":
            found[f"{config['name']}/kernel"] = [*config["kernel_size"], width, config["filters"]]
            if config["use_bias"]:
                found[f"{config['name']}/bias"] = [config["filters"]]
            width = config["filters"]
        elif entry["class_name"] == "BatchNormalization":
            for part in ("gamma", "beta", "moving_mean", "moving_variance"):
                found[f"{config['name']}/{part}"] = [width]
    return found


def write(
    folder: Path, layers: list[Layer], edit: Callable[[Model], object] = lambda model: None, shards: int = 1
) -> dict[str, np.ndarray]:
    """A TF.js folder with random positive weights; returns them by name."""
    rng = np.random.default_rng(0)
    arrays = {name: rng.uniform(0.1, 1, shape).astype(np.float32) for name, shape in shapes(layers).items()}
    payload = b"".join(array.tobytes() for array in arrays.values())
    names = [f"group1-shard{i + 1}of{shards}.bin" for i in range(shards)]
    cuts = np.linspace(0, len(payload), shards + 1).astype(int)
    for name, start, end in zip(names, cuts[:-1], cuts[1:], strict=True):
        (folder / name).write_bytes(payload[start:end])
    model: Model = {
        "format": "layers-model",
        "modelTopology": {
            "model_config": {
                "class_name": "Functional",
                "config": {"name": "m", "layers": layers, "output_layers": [[layers[-1]["config"]["name"], 0, 0]]},
            }
        },
        "weightsManifest": [
            {
                "paths": names,
                "weights": [{"name": n, "shape": list(a.shape), "dtype": "float32"} for n, a in arrays.items()],
            }
        ],
    }
    edit(model)
    (folder / "model.json").write_text(json.dumps(model))
    return arrays
