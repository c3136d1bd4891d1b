"""Checkpoints: model folders in the project's format, `model.json` (ModelSpec) and `weights.safetensors`.

Tensor names, in the order of the network, all C-contiguous:

    layers.{i}.conv.weight        [channels, in, 3, 3, 3]   axes D, H, W of the kernel last
    layers.{i}.conv.bias          [channels]                 where conv_bias
    layers.{i}.norm.weight, .bias [channels]                 BatchNorm, or GroupNorm with affine
    layers.{i}.norm.running_mean, .running_var [channels]    BatchNorm only
    classifier.weight             [classes, channels, 1, 1, 1]
    classifier.bias               [classes]                  where classifier_bias

Weights are NumPy arrays, so that the server, `meshnet-predict` and the exporters need no torch.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as parse_safetensors
from safetensors.numpy import save as serialize_safetensors

from meshnet.model.spec import (
    Architecture,
    BatchNorm,
    GroupNorm,
    ModelSpec,
    SpecError,
    WeightsFile,
    check_spec,
    dump_spec,
    read_spec,
)

#: Tensors by the names above.
Weights = dict[str, NDArray[np.float32]]


def expected_shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of the weights file, in the order of the network."""
    a = architecture
    shapes: dict[str, tuple[int, ...]] = {}
    width = a.in_channels
    for i in range(len(a.dilations)):
        shapes[f"layers.{i}.conv.weight"] = (a.channels, width, a.kernel_size, a.kernel_size, a.kernel_size)
        if a.conv_bias:
            shapes[f"layers.{i}.conv.bias"] = (a.channels,)
        if isinstance(a.norm, BatchNorm) or (isinstance(a.norm, GroupNorm) and a.norm.affine):
            shapes[f"layers.{i}.norm.weight"] = (a.channels,)
            shapes[f"layers.{i}.norm.bias"] = (a.channels,)
        if isinstance(a.norm, BatchNorm):
            shapes[f"layers.{i}.norm.running_mean"] = (a.channels,)
            shapes[f"layers.{i}.norm.running_var"] = (a.channels,)
        width = a.channels
    shapes["classifier.weight"] = (a.classes, width, 1, 1, 1)
    if a.classifier_bias:
        shapes["classifier.bias"] = (a.classes,)
    return shapes


def check_weights(architecture: Architecture, weights: Mapping[str, NDArray[np.generic]], *, where: str) -> None:
    """Raise SpecError unless `weights` has exactly the tensors of `expected_shapes`, all values finite.

    where: the file or model, for the message.
    """
    shapes = expected_shapes(architecture)
    missing = [name for name in shapes if name not in weights]
    extra = [name for name in weights if name not in shapes]
    if missing or extra:
        raise SpecError(
            f"{where}: tensors do not match model.json: missing {missing[:4] or 'none'}, "
            f"unexpected {extra[:4] or 'none'}; the weights belong to another architecture"
        )
    for name, shape in shapes.items():
        if weights[name].shape != shape:
            raise SpecError(f"{where}: {name} has shape {weights[name].shape}, model.json asks for {shape}")
        if not np.isfinite(weights[name]).all():
            raise SpecError(f"{where}: {name} has non-finite values; the training run diverged or the file is damaged")


def pack_checkpoint(spec: ModelSpec, weights: Mapping[str, NDArray[np.generic]]) -> tuple[ModelSpec, bytes]:
    """The bytes of the weights file in `spec.weights.dtype`, and the spec with their SHA-256.

    Raises SpecError unless `parse_spec` would read the spec and `weights` has exactly the expected tensors, with values
    that are finite in that dtype.
    """
    check_spec(spec)
    check_weights(spec.architecture, weights, where=f"{spec.id}")
    dtype = np.dtype(spec.weights.dtype)
    ordered = {name: np.ascontiguousarray(weights[name].astype(dtype)) for name in expected_shapes(spec.architecture)}
    check_weights(spec.architecture, ordered, where=f"{spec.id} as {dtype}")
    payload = serialize_safetensors(ordered)
    file = WeightsFile(file=spec.weights.file, dtype=spec.weights.dtype, sha256=hashlib.sha256(payload).hexdigest())
    return spec.model_copy(update={"weights": file}), payload


def save_checkpoint(folder: Path, spec: ModelSpec, weights: Mapping[str, NDArray[np.generic]]) -> ModelSpec:
    """Write a checkpoint to `folder`; returns the spec as written, with the SHA-256 of the weights.

    The weights are written in `spec.weights.dtype`. Files are replaced atomically, the weights first, so that
    model.json never describes weights that are missing. Raises SpecError as `pack_checkpoint` does.
    """
    written, payload = pack_checkpoint(spec, weights)
    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder / written.weights.file, payload)
    _replace(folder / "model.json", dump_spec(written).encode())
    return written


def load_checkpoint(folder: Path) -> tuple[ModelSpec, Weights]:
    """Read the checkpoint in `folder`: ModelSpec and weights as float32 arrays.

    Raises SpecError if model.json is malformed, the SHA-256 differs, or a tensor is missing, has another shape or
    values that are not finite.
    """
    if not folder.is_dir():
        raise SpecError(f"{folder}: no such folder; expected a model folder with model.json and its weights")
    spec = read_spec(folder / "model.json")
    path = folder / spec.weights.file
    try:
        payload = path.read_bytes()
    except FileNotFoundError as error:
        raise SpecError(f"{path}: missing, though model.json names it; copy the whole model folder") from error
    digest = hashlib.sha256(payload).hexdigest()
    if digest != spec.weights.sha256:
        raise SpecError(
            f"{path}: SHA-256 is {digest[:12]}…, model.json says {spec.weights.sha256[:12]}…; "
            f"the file is damaged or belongs to another model"
        )
    try:
        arrays = parse_safetensors(payload)
    except (SafetensorError, KeyError, ValueError) as error:  # KeyError: bfloat16, which NumPy lacks
        raise SpecError(f"{path}: not a safetensors file of {spec.weights.dtype} ({error})") from error
    wrong = [name for name, a in arrays.items() if a.dtype != np.dtype(spec.weights.dtype)]
    if wrong:
        raise SpecError(f"{path}: {wrong[0]} is {arrays[wrong[0]].dtype}, model.json says {spec.weights.dtype}")
    check_weights(spec.architecture, arrays, where=str(path))
    return spec, {name: arrays[name].astype(np.float32) for name in expected_shapes(spec.architecture)}


def _replace(path: Path, payload: bytes) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(payload)
    os.replace(partial, path)
