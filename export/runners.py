"""Run written files for their verification: image to labels and logits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from export.import_model import Answers, import_model
from export.importers.tfjs import NORM_EPS, NORM_SUFFIX
from export.to_tfjs import quiet_tensorflow
from export.verify import Float, Run, reference_logits
from meshnet.model.checkpoint import Weights, load_checkpoint
from meshnet.model.graph import build_graph, check_same_graph
from meshnet.model.spec import ModelSpec


def run_onnx(path: Path, with_logits: onnx.ModelProto) -> Run:
    """Runs the file at `path` in ONNX Runtime for the labels, and `with_logits` for the logits."""
    file = _session(path.read_bytes())
    twin = _session(with_logits.SerializeToString())

    def run(image: Float) -> tuple[NDArray[np.uint8], Float]:
        (labels,) = file.run(["labels"], {"image": image})
        (logits,) = twin.run(["logits"], {"image": image})
        return labels, logits

    return run


def run_web(folder: Path) -> Run:
    """Runs the web bundle, read back from disk, in PyTorch."""
    spec, weights = load_checkpoint(folder)

    def run(image: Float) -> tuple[NDArray[np.uint8], Float]:
        logits = reference_logits(spec, weights, image)
        return logits.argmax(axis=1).astype(np.uint8), logits

    return run


def run_tfjs(folder: Path, spec: ModelSpec, weights: Weights) -> Run:
    """Runs the folder, read back by Keras, layer by layer, with the norm that brainchop's runner applies.

    Raises SpecError if `import_model` doesn't read back exactly the graph of `spec` and `weights`.
    """
    back = import_model(folder, Answers())
    check_same_graph(build_graph(spec, weights), build_graph(back.spec, back.weights), what=f"{folder}")
    with quiet_tensorflow(spec.id):
        import tensorflowjs

        layers = tensorflowjs.converters.load_keras_model(str(folder / "model.json")).layers[1:]

    def run(image: Float) -> tuple[NDArray[np.uint8], Float]:
        x = image.transpose(0, 2, 3, 4, 1)
        for layer in layers:
            x = layer(x).numpy()
            if layer.name.endswith(NORM_SUFFIX):
                mean = x.mean(axis=(1, 2, 3), keepdims=True, dtype=np.float64)
                variance = x.var(axis=(1, 2, 3), keepdims=True, dtype=np.float64)
                x = ((x - mean) / np.sqrt(variance + NORM_EPS)).astype(np.float32)
        logits = np.ascontiguousarray(x.transpose(0, 4, 1, 2, 3))
        return logits.argmax(axis=1).astype(np.uint8), logits

    return run


def _session(payload: bytes) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(payload, providers=["CPUExecutionProvider"])
