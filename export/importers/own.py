"""Read this project's own files: model folders, web bundles and ONNX files of `meshnet-export`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper
from onnx.checker import ValidationError

from export.importers.onnx_chain import read_chain
from export.importers.source import Array, Convolution, Source
from meshnet.model.checkpoint import check_weights, load_checkpoint
from meshnet.model.onnx import METADATA_KEY
from meshnet.model.spec import ModelSpec, SpecError, parse_spec


def read_bundle(folder: Path) -> Source:
    """Read a model folder or web bundle. Raises SpecError as `load_checkpoint` does."""
    spec, weights = load_checkpoint(folder)
    return _source(str(folder), "MeshNet model folder", spec, weights)


def read_onnx(path: Path) -> Source:
    """Read an ONNX file: with the ModelSpec in its metadata if `meshnet-export` wrote it, else as `read_chain` does.

    Raises SpecError for a damaged file, if graph and metadata disagree, and for any graph that isn't a MeshNet.
    """
    try:
        model = onnx.load(path, load_external_data=False)
        onnx.load_external_data_for_model(model, str(path.parent))
    except DecodeError as error:
        raise SpecError(f"{path}: not an ONNX file, or damaged ({error})") from error
    except (FileNotFoundError, ValidationError) as error:
        raise SpecError(f"{path}: its weights are in a second file, which cannot be read ({error})") from error
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    if METADATA_KEY not in metadata:
        return read_chain(path, model)
    spec = parse_spec(metadata[METADATA_KEY], where=f"{path}: metadata {METADATA_KEY}")
    a = spec.architecture
    tensors = {
        tensor.name: tensor for tensor in model.graph.initializer if tensor.name.startswith(("layers.", "class"))
    }
    weights = {
        name: np.asarray(numpy_helper.to_array(tensor), np.float32)
        for name, tensor in tensors.items()
        if not name.endswith(".eps")
    }
    check_weights(a, weights, where=str(path))
    dilations = [
        attribute.ints[0]
        for node in model.graph.node
        for attribute in node.attribute
        if node.op_type == "Conv" and attribute.name == "dilations"
    ]
    if dilations != list(a.dilations):
        raise SpecError(
            f"{path}: dilations {dilations} in the graph, {list(a.dilations)} in its metadata; file was changed"
        )
    return _source(str(path), "ONNX file of meshnet-export", spec, weights)


def _source(where: str, kind: str, spec: ModelSpec, weights: Mapping[str, Array]) -> Source:
    a = spec.architecture
    names = [f"layers.{i}" for i in range(len(a.dilations))]
    hidden = tuple(
        Convolution(
            name,
            weights[f"{name}.conv.weight"],
            weights.get(f"{name}.conv.bias"),
            {part: weights[f"{name}.norm.{part}"] for part in _NORM_PARTS if f"{name}.norm.{part}" in weights} or None,
        )
        for name in names
    )
    classifier = Convolution("classifier", weights["classifier.weight"], weights.get("classifier.bias"))
    return Source(
        where=where,
        kind=kind,
        convolutions=(*hidden, classifier),
        dilations=a.dilations,
        activation=a.activation,
        norm=a.norm,
        labels=spec.labels,
        spec=spec,
    )


_NORM_PARTS = ("weight", "bias", "running_mean", "running_var")
