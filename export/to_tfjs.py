"""Write a TF.js layers model, as `tf.loadLayersModel` and brainchop v4 read it.

One Keras layer per operation (Conv3D, Activation), channels last, input 256^3 x 1, written by the `tensorflowjs`
converter. The folder contains

    model.json, group1-shard1of1.bin    the model; ModelSpec in model.json's `userDefinedMetadata`
    colormap.json                       brainchop's colour table
    brainchop-entry.json                the entry for brainchop's model list, if brainchop can run the
                                        model as it was trained (see `brainchop_entry`)

The layer-name suffix `_gn` marks a per-channel norm. brainchop and this project apply it; a plain
`tf.loadLayersModel` run does not.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.importers.labels import colour_table
from export.importers.tfjs import NORM_EPS, NORM_SUFFIX
from meshnet.model.graph import Graph, Layer, build_graph, stored_model
from meshnet.model.spec import ModelSpec, Quantile, SpecError

#: Voxels along each axis of brainchop's volumes.
SIZE = 256
#: Margin in voxels around the non-zero box that brainchop crops to; as its light models have it.
BRAINCHOP_CROP_PADDING = 18
#: Above this number of classes brainchop should reduce them one at a time instead of holding all logits.
BRAINCHOP_SEQUENTIAL_CLASSES = 32
#: The quantiles of brainchop's normalisation, which doesn't clip.
BRAINCHOP_QUANTILE = Quantile(low=0.05, high=0.95, clip=False)


def write_tfjs(folder: Path, spec: ModelSpec, weights: Mapping[str, NDArray[np.float32]]) -> list[str]:
    """Write the folder, BatchNorm folded, weights float32; returns remarks for the user.

    Raises SpecError for a model that the format can't express (several input channels, another size, `gelu_tanh`, which
    Keras has no name for, a per-channel norm with affine parameters or another eps than brainchop's), and if TensorFlow
    is not installed.
    """
    _check_expressible(spec)
    stored, values = stored_model(spec, weights, "float32")
    # brainchop's runner requires a bias of the classifier.
    architecture = stored.architecture.model_copy(update={"classifier_bias": True})
    stored = stored.model_copy(update={"architecture": architecture})
    _convert(folder, stored, build_graph(stored, values))
    path = folder / "model.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["userDefinedMetadata"] = stored.model_dump(mode="json")
    _write_json(path, content)
    _write_json(folder / "colormap.json", colour_table(spec.labels))

    entry, remarks = brainchop_entry(spec)
    if entry is not None:
        _write_json(folder / "brainchop-entry.json", entry)
    if stored.architecture.norm.kind == "group":
        remarks.append(
            f"layers named *{NORM_SUFFIX} are followed by a norm that brainchop and this project apply; "
            f"a plain tf.loadLayersModel run leaves it out and is wrong"
        )
    return remarks


def brainchop_entry(spec: ModelSpec) -> tuple[dict[str, Any] | None, list[str]]:
    """The entry for `inferenceModelsList` of brainchop v4, and remarks on what the entry can't express.

    None if brainchop would give the network another input than it was trained on. brainchop conforms to LIA, stores its
    volume as [k, j, i] and transposes it to [i, j, k] with `enableTranspose`; it normalises by min-max, or by fixed
    quantiles with `enableQuantileNorm`; and it always crops to the non-zero box plus `cropPadding`. Entries are
    numbered from 1; brainchop's list ends at 17.
    """
    if spec.input.orientation not in ("LIA", "AIL"):
        return None, [
            f"no brainchop-entry.json: brainchop feeds its networks volumes in LIA order, this one needs "
            f"{spec.input.orientation}; the folder works in this project's site"
        ]
    remarks = []
    warning = None
    normalization = spec.input.normalization
    if isinstance(normalization, Quantile) and normalization != BRAINCHOP_QUANTILE:
        warning = (
            f"Trained with intensities scaled by quantiles {normalization.low} to {normalization.high}"
            f"{', clipped' if normalization.clip else ''}; brainchop scales by minimum and maximum."
        )
        remarks.append(f"brainchop-entry.json: {warning}")
    entry = {
        "id": 18,
        "type": "Segmentation",
        "path": f"/models/{spec.id}/model.json",
        "modelName": spec.name,
        "colormapPath": f"./models/{spec.id}/colormap.json",
        "preModelId": None,
        "preModelPostProcess": False,
        "isBatchOverlapEnable": False,
        "numOverlapBatches": 0,
        "enableTranspose": spec.input.orientation == "LIA",
        "enableCrop": True,
        "cropPadding": BRAINCHOP_CROP_PADDING,
        "autoThreshold": 0,
        "enableQuantileNorm": normalization == BRAINCHOP_QUANTILE,
        "filterOutWithPreMask": False,
        "enableSeqConv": spec.architecture.classes > BRAINCHOP_SEQUENTIAL_CLASSES,
        "textureSize": 0,
        "warning": warning,
        "inferenceDelay": 100,
        "description": spec.description or spec.name,
    }
    return entry, remarks


def _check_expressible(spec: ModelSpec) -> None:
    a = spec.architecture
    if a.in_channels != 1:
        raise SpecError(f"{spec.id}: {a.in_channels} input channels; a TF.js folder for brainchop takes one")
    if spec.input.size != (SIZE, SIZE, SIZE):
        raise SpecError(f"{spec.id}: input size {spec.input.size}; a TF.js folder for brainchop takes {SIZE}^3")
    if a.activation == "gelu_tanh":
        raise SpecError(
            f"{spec.id}: activation gelu_tanh has no name in Keras, whose gelu is the erf form; use ONNX or web"
        )
    if a.norm.kind == "group" and a.norm.affine:
        raise SpecError(
            f"{spec.id}: brainchop's {NORM_SUFFIX} norm has no affine parameters, this one does; use ONNX or web"
        )
    if a.norm.kind == "group" and a.norm.eps != NORM_EPS:
        raise SpecError(
            f"{spec.id}: brainchop's {NORM_SUFFIX} norm has eps {NORM_EPS}, this one {a.norm.eps}; use ONNX or web"
        )


def _convert(folder: Path, spec: ModelSpec, graph: Graph) -> None:
    with quiet_tensorflow(spec.id):
        import tensorflowjs
        import tf_keras as keras

        def convolution(layer: Layer, name: str, bias: bool) -> Any:
            return keras.layers.Conv3D(
                layer.weight.shape[0],
                layer.kernel_size,
                padding="same",
                dilation_rate=layer.dilation,
                use_bias=bias,
                kernel_initializer="zeros",
                name=name,
            )

        keras.backend.clear_session()
        x = image = keras.Input((SIZE, SIZE, SIZE, 1), name="input")
        for i, layer in enumerate(graph.layers[:-1]):
            suffix = "" if layer.norm is None else NORM_SUFFIX
            x = convolution(layer, f"conv3d_{i}{suffix}", spec.architecture.conv_bias)(x)
            x = keras.layers.Activation(layer.activation, name=f"activation_{i}")(x)
        x = convolution(graph.layers[-1], "output", bias=True)(x)
        model = keras.Model(image, x, name="meshnet")
        convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv3D)]
        for layer, written in zip(graph.layers, convolutions, strict=True):
            kernel = layer.weight.transpose(2, 3, 4, 1, 0)
            written.set_weights([kernel, layer.bias] if written.use_bias else [kernel])
        tensorflowjs.converters.save_keras_model(model, str(folder))


@contextlib.contextmanager
def quiet_tensorflow(where: str) -> Iterator[None]:
    """Use TensorFlow with Keras 2, which the converter needs, and without its start-up messages.

    Raises SpecError if the converter is not installed.
    """
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TFDF_DISABLE_WELCOME_MESSAGE", "1")
    with warnings.catch_warnings():
        # The converter's dependencies use deprecated interfaces, which only they can change.
        warnings.simplefilter("ignore")
        try:
            import tensorflow as tf
            import tensorflowjs  # noqa: F401
        except ImportError as error:
            raise SpecError(
                f"{where}: the TF.js format needs the tensorflowjs converter ({error}): pip install 'meshnet[tfjs]'"
            ) from error
        tf.get_logger().setLevel(logging.ERROR)
        yield


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
