"""Run a model with ONNX Runtime on the CPU, from the ONNX graph of `meshnet.model.onnx`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from meshnet.infer.probabilities import quantise
from meshnet.model.onnx import to_onnx
from meshnet.model.spec import ModelSpec


def open_session(
    spec: ModelSpec, weights: Mapping[str, NDArray[np.float32]], *, threads: int, logits: bool = False
) -> onnxruntime.InferenceSession:
    """An ONNX Runtime session of the model with `threads` CPU threads; `logits`: with that output too."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    payload = to_onnx(spec, weights, logits=logits).SerializeToString()
    return onnxruntime.InferenceSession(payload, options, providers=["CPUExecutionProvider"])


def run_onnx(session: onnxruntime.InferenceSession, image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Labels uint8 [D, H, W] of a normalised image float32 [D, H, W]; the lowest class wins a tie."""
    labels: NDArray[np.uint8] = session.run(["labels"], {"image": image[None, None]})[0][0]
    return labels


def run_onnx_logits(
    session: onnxruntime.InferenceSession, image: NDArray[np.float32], probabilities: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Like `run_onnx`, with a session that was opened with `logits`.

    Fills `probabilities` uint8 [classes - 1, D, H, W]. The logits exist at full size, 64 MiB per class at 256^3.
    """
    labels, logits = (output[0] for output in session.run(["labels", "logits"], {"image": image[None, None]}))
    for plane, _ in enumerate(image):
        probabilities[:, plane] = quantise(logits[:, plane], labels[plane])
    return np.asarray(labels, np.uint8)
