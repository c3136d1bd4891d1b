"""Run a model with ONNX Runtime on the CPU, from the ONNX graph of `meshnet.model.onnx`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from meshnet.model.onnx import to_onnx
from meshnet.model.spec import ModelSpec


def open_session(
    spec: ModelSpec, weights: Mapping[str, NDArray[np.float32]], *, threads: int
) -> onnxruntime.InferenceSession:
    """An ONNX Runtime session of the model with `threads` CPU threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    payload = to_onnx(spec, weights).SerializeToString()
    return onnxruntime.InferenceSession(payload, options, providers=["CPUExecutionProvider"])


def run_onnx(session: onnxruntime.InferenceSession, image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Labels uint8 [D, H, W] of a normalised image float32 [D, H, W]; the lowest class wins a tie."""
    labels: NDArray[np.uint8] = session.run(["labels"], {"image": image[None, None]})[0][0]
    return labels
