"""TF.js layers model, as `tf.loadLayersModel` and brainchop v4 read it.

One Keras layer per step (Conv3D, Activation), channels last, 256^3 x 1, written by the `tensorflowjs`
converter. The folder holds

    model.json, group1-shard1of1.bin    the model; ModelSpec in model.json's `userDefinedMetadata`
    colormap.json                       brainchop's colour table
    brainchop-entry.json                the entry to add to brainchop's model list, where brainchop can
                                        run the model as it was trained (see `brainchop_entry`)

A per-channel norm is marked by brainchop's layer-name suffix `_gn`: brainchop's runner and ours apply
it, a plain `tf.loadLayersModel` run does not.
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

#: Voxels along each axis that brainchop's format is made for.
SIZE = 256
#: Margin in voxels that brainchop keeps around the non-zero box, as its own light models have it.
BRAINCHOP_CROP_PADDING = 18
#: brainchop reduces the classes one at a time above this count, else it holds all logits at once.
BRAINCHOP_SEQUENTIAL_CLASSES = 32
#: The quantiles brainchop's own normalisation uses; it does not clip.
BRAINCHOP_QUANTILE = Quantile(low=0.05, high=0.95, clip=False)


def write_tfjs(folder: Path, spec: ModelSpec, weights: Mapping[str, NDArray[np.float32]]) -> list[str]:
    """Write the folder; returns remarks for the user. Weights are float32, BatchNorm is folded.

    Raises SpecError by name for what the format cannot express: several input channels, another size,
    `gelu_tanh` (Keras has no name for it), a per-channel norm with affine or with another eps than
    brainchop's; and where TensorFlow is not installed.
    """
    _check_expressible(spec)
    stored, values = stored_model(spec, weights, "float32")
    # brainchop's runner takes the classifier's bias for granted.
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
    """The entry for `inferenceModelsList` of brainchop v4, and remarks on what it cannot say.

    None where brainchop would feed the network something else than it was trained on. brainchop
    conforms to LIA, numbers its volume [k, j, i] and transposes it to [i, j, k] with `enableTranspose`;
    normalises by min-max, or by its own fixed quantiles with `enableQuantileNorm`; and always crops to
    the non-zero box plus `cropPadding`. Entries are numbered from 1; brainchop's list ends at 17.
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
    """Import and use TensorFlow with Keras 2, which the converter needs, and without its start-up chatter.

    Raises SpecError where the converter is not installed.
    """
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TFDF_DISABLE_WELCOME_MESSAGE", "1")
    with warnings.catch_warnings():
        # The converter's dependencies use deprecated interfaces; nothing here can change that.
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
