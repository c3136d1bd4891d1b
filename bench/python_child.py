"""Run one visit in Python: `python -m bench.python_child JOB.json`. Writes labels.u8 and report.json beside
JOB.json."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.repeat import repeated, write_result

#: Takes a normalised image float32 [i, j, k]; returns labels uint8.
Run = Callable[[NDArray[np.float32]], NDArray[np.uint8]]


def main(path: Path) -> None:
    """Run the job and write its report; an exception becomes the report's error."""
    job = json.loads(path.read_text(encoding="utf-8"))
    image = np.fromfile(job["volume"], np.float32).reshape([job["size"]] * 3)
    kind, _, backend = job["engine"].partition(":")
    openers: dict[str, Callable[[], Run]] = {
        "predict": lambda: open_predict(job, backend),
        "ort": lambda: open_onnxruntime(job),
        "torch": lambda: open_torch(job),
    }
    write_result(path.parent, lambda: repeated(openers[kind], image, job["atMost"], job["withinS"]))


def open_predict(job: dict[str, Any], backend: str) -> Run:
    """The network of `meshnet-predict` on this backend."""
    from meshnet.infer.backends import open_network
    from meshnet.model.checkpoint import load_checkpoint

    network, _ = open_network(*load_checkpoint(Path(job["web"])), backend=backend, threads=job["threads"])
    return lambda image: network(image, lambda: None)


def open_onnxruntime(job: dict[str, Any]) -> Run:
    """The exported file in onnxruntime, with default options except the number of threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job["threads"]
    session = onnxruntime.InferenceSession(job["onnx"], options, providers=["CPUExecutionProvider"])

    def run(image: NDArray[np.float32]) -> NDArray[np.uint8]:
        labels: NDArray[np.uint8] = session.run(["labels"], {"image": image[None, None]})[0]
        return labels

    return run


def open_torch(job: dict[str, Any]) -> Run:
    """The plain PyTorch module in channels_last_3d, the memory order in which its CPU kernels are fastest."""
    import torch

    from meshnet.model.checkpoint import load_checkpoint
    from meshnet.model.network import model_from

    torch.set_num_threads(job["threads"])
    spec, weights = load_checkpoint(Path(job["web"]))
    model = model_from(spec.architecture, weights)
    model.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # its stub leaves this form out

    def run(image: NDArray[np.float32]) -> NDArray[np.uint8]:
        with torch.inference_mode():
            x = torch.from_numpy(image)[None, None].contiguous(memory_format=torch.channels_last_3d)
            labels: NDArray[np.uint8] = model(x).argmax(dim=1).to(torch.uint8).numpy()
        return labels

    return run


if __name__ == "__main__":
    main(Path(sys.argv[1]))
