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
