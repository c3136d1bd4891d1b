"""The inputs of every runtime: models, volumes, and PyTorch's labels. Made once and kept in the work folder.

Memory order: `.ijk` files are [D, H, W] = [i, j, k] in C order (ONNX, TF.js, PyTorch); in `.zyx` files i runs fastest
(this project's engines in the browser).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from scipy.ndimage import gaussian_filter

from bench.estimate import total_macs
from export.to_web import write_web
from meshnet.infer.run_torch import run_torch
from meshnet.model.checkpoint import Weights, load_checkpoint
from meshnet.model.graph import build_graph, stored_model
from meshnet.model.network import MeshNet, weights_of
from meshnet.model.spec import PAPER_DILATIONS, Architecture, BatchNorm, ModelSpec, WeightsFile, make_labels

#: Edge, in voxels, of the volume that sets the random networks' BatchNorm statistics.
CALIBRATION_SIZE = 64
#: Share of voxels to which the random networks give label 1.
FOREGROUND = 0.3


@dataclass(frozen=True)
class Model:
    """A network with BatchNorm folded, and the folder of its files."""

    name: str
    spec: ModelSpec
    weights: Weights
    folder: Path

    @property
    def architecture(self) -> Architecture:
        return self.spec.architecture

    def macs(self, size: int) -> float:
        return total_macs(self.architecture, size)

    def first_layers(self, layers: int | None) -> Model:
        """The first `layers` layers followed by the classifier; the network itself for None."""
        if layers is None:
            return self
        dilations = self.architecture.dilations[:layers]
        kept = {
            name: array
            for name, array in self.weights.items()
            if not name.startswith("layers.") or int(name.split(".")[1]) < layers
        }
        architecture = self.architecture.model_copy(update={"dilations": dilations})
        spec = self.spec.model_copy(update={"architecture": architecture})
        name = f"{self.name}-first{layers}"
        return Model(name, spec, kept, self.folder.parent / name)


def paper_model(channels: int, work: Path) -> Model:
    """MeshNet-X of the stroke lesion paper with random weights and BatchNorm folded.

    The BatchNorm statistics come from a volume like the measured ones, so that activations have a variance of about 1
    in every layer, as in a trained network, and neither vanish nor saturate.
    """
    name = f"meshnet-{channels}"
    torch.manual_seed(channels)
    network = MeshNet(
        Architecture(channels=channels, classes=2, dilations=PAPER_DILATIONS, activation="relu", norm=BatchNorm())
    )
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm3d):
                module.momentum = 1.0  # the running statistics become those of this volume
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
                torch.nn.init.normal_(module.bias, 0, 0.3)
        image = torch.from_numpy(volume(CALIBRATION_SIZE))[None, None]
        network.train()(image)
        logits = network.eval()(image)[0]
        assert network.classifier.bias is not None
        network.classifier.bias[0] += torch.quantile((logits[1] - logits[0]).flatten(), 1 - FOREGROUND)
    spec = ModelSpec(
        id=name,
        name=f"MeshNet-{channels}, random weights",
        architecture=network.architecture,
        labels=make_labels(["background", "foreground"]),
        weights=WeightsFile(sha256="0" * 64),
    )
    return Model(name, *stored_model(spec, weights_of(network), "float32"), work / "models" / name)


def published_model(name: str, imported: Path, work: Path) -> Model:
    """An imported model of the folder `.models`. Raises SpecError if it is missing."""
    spec, weights = load_checkpoint(imported / f"brainchop-{name}")
    return Model(name, *stored_model(spec, weights, "float32"), work / "models" / name)


def volume(size: int) -> NDArray[np.float32]:
    """[size, size, size] float32 in 0..1: smooth structures at several scales, with noise."""
    rng = np.random.default_rng(size)
    field = np.zeros((size, size, size), np.float32)
    for sigma, weight in ((8, 1.0), (3, 0.5), (1, 0.2)):
        smooth = gaussian_filter(rng.standard_normal(field.shape, np.float32), sigma, mode="wrap")
        field += weight * smooth / smooth.std()
    scaled: NDArray[np.float32] = (field - field.min()) / (field.max() - field.min())
    return scaled


def volume_files(size: int, work: Path) -> tuple[Path, Path]:
    """Files of the volume, float32, in `.ijk` and in `.zyx` order; written if missing."""
    ijk, zyx = (work / "volumes" / f"{size}.{order}.f32" for order in ("ijk", "zyx"))
    if not zyx.exists():
        ijk.parent.mkdir(parents=True, exist_ok=True)
        data = volume(size)
        data.tofile(ijk)
        np.ascontiguousarray(data.transpose(2, 1, 0)).tofile(zyx)
    return ijk, zyx


def reference(model: Model, size: int, work: Path, threads: int) -> NDArray[np.uint8]:
    """PyTorch's labels uint8 [i, j, k]; computed if missing."""
    path = work / "reference" / f"{model.name}-{size}.u8"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        run_torch(build_graph(model.spec, model.weights), volume(size), threads=threads).tofile(path)
    return np.fromfile(path, np.uint8).reshape(size, size, size)


def web_bundle(model: Model) -> Path:
    """Web bundle (model.json and weights.safetensors); written if missing."""
    folder = model.folder / "web"
    if not (folder / "model.json").exists():
        write_web(folder, model.spec, model.weights)
    return folder


def onnx_file(model: Model) -> Path:
    """The exported ONNX file; written if missing, which needs the package onnx."""
    path = model.folder / "model.onnx"
    if not path.exists():
        import onnx

        from meshnet.model.onnx import to_onnx

        path.parent.mkdir(parents=True, exist_ok=True)
        onnx.save(to_onnx(model.spec, model.weights), path)
    return path


def tfjs_folder(model: Model, size: int) -> Path:
    """TF.js layers model for one size: a copy of the exported model.json, which states 256³, with another input
    shape."""
    folder = model.folder / "tfjs"
    if not (folder / "model.json").exists():
        from export.to_tfjs import write_tfjs

        write_tfjs(folder, model.spec, model.weights)
    target = folder / f"model-{size}.json"
    if not target.exists():
        content: dict[str, Any] = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        (first,) = [layer for layer in _layers(content) if layer["class_name"] == "InputLayer"]
        first["config"]["batch_input_shape"] = [None, size, size, size, 1]
        target.write_text(json.dumps(content), encoding="utf-8")
    return target


def _layers(content: dict[str, Any]) -> list[dict[str, Any]]:
    topology = content["modelTopology"]
    config = topology.get("model_config", topology)["config"]
    layers: list[dict[str, Any]] = config["layers"]
    return layers


def brainchop_files(model: Model) -> tuple[Path, Path]:
    """Configuration and weights in the form that `brainchop.tiny_meshnet.load_meshnet` reads."""
    folder = model.folder / "brainchop"
    config, weights = folder / "model.json", folder / "model.safetensors"
    if not config.exists():
        folder.mkdir(parents=True, exist_ok=True)
        a = model.architecture
        graph = build_graph(model.spec, model.weights)
        per_layer = 2 + (a.norm.kind == "group")  # brainchop numbers convolution, norm and activation separately
        tensors: dict[str, NDArray[np.float32]] = {}
        layers = []
        for i, layer in enumerate(graph.layers):
            last = layer is graph.layers[-1]
            bias = a.classifier_bias if last else a.conv_bias
            tensors[f"model.{per_layer * i}.weight"] = layer.weight
            if bias:
                tensors[f"model.{per_layer * i}.bias"] = layer.bias
            layers.append(
                {
                    "in_channels": layer.weight.shape[1],
                    "out_channels": layer.weight.shape[0],
                    "kernel_size": layer.kernel_size,
                    "padding": layer.dilation * (layer.kernel_size - 1) // 2,
                    "stride": 1,
                    "dilation": layer.dilation,
                    "bias": bias,
                }
            )
        save_file(tensors, weights)
        description = {
            "bnorm": a.norm.kind == "group",
            "gelu": a.activation in ("gelu", "gelu_tanh"),
            "elu": a.activation == "elu",
            "dropout_p": 0,
            "layers": layers,
        }
        config.write_text(json.dumps(description), encoding="utf-8")
    return config, weights
