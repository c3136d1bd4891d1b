"""Networks in PyTorch or onnxruntime: `python -m bench.gpu.peer_child torch|onnxruntime JOBS.json ROWS.jsonl`.

Writes one line of JSON for each job, at once, so that a later one that fails takes nothing away.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench.cell import agreement
from meshnet.model.checkpoint import load_checkpoint
from meshnet.model.network import model_from

#: Warm runs: as many as end within this time, at least one and at most ten.
_WARM_S = 3.0


def main(runtime: str, jobs: Path, out: Path) -> None:
    """Run all jobs; an exception becomes the error of its row."""
    run = {"torch": run_torch, "onnxruntime": run_onnxruntime}[runtime]
    with out.open("w", encoding="utf-8") as file:
        for job in json.loads(jobs.read_text(encoding="utf-8")):
            try:
                row = run(job)
            except Exception as error:
                row = {"error": f"{type(error).__name__}: {str(error).splitlines()[0][:300]}"}
            file.write(json.dumps(row) + "\n")
            file.flush()


def run_torch(job: dict[str, Any]) -> dict[str, Any]:
    """The plain module, channels_last_3d, TF32 off. Float32 labels are kept as the reference."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    device = torch.device(job["device"])
    half = job["precision"] == "float16"
    dtype = torch.float16 if half else torch.float32
    spec, weights = load_checkpoint(Path(job["bundle"]))
    network = model_from(spec.architecture, weights).to(device, dtype)
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    image = torch.from_numpy(_image(job))[None, None].to(device, dtype)
    image = image.contiguous(memory_format=torch.channels_last_3d)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)

    def once() -> Any:
        labels = network(image).argmax(dim=1)[0].to(torch.uint8)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return labels

    with torch.inference_mode():
        labels, first_s, seconds = timed(once)
    got: NDArray[np.uint8] = labels.cpu().numpy()
    row: dict[str, Any] = {"first_s": first_s, "seconds": seconds, "labels": len(np.unique(got))}
    if device.type == "cuda":
        row["peak_bytes"] = torch.cuda.max_memory_allocated(device)
        torch.cuda.empty_cache()
    if half:
        return row | _compared(got, job)
    got.tofile(job["labels"])
    return row


def run_onnxruntime(job: dict[str, Any]) -> dict[str, Any]:
    """The exported file with the CUDA provider; input and output stay on the device."""
    import onnxruntime

    path = Path(job["onnx"])
    if not path.is_file():
        _export(path, Path(job["bundle"]))
    session = onnxruntime.InferenceSession(str(path), providers=["CUDAExecutionProvider", "CPUExecutionProvider"])
    if "CUDAExecutionProvider" not in session.get_providers():
        return {"error": "the session didn't get the CUDA provider"}
    image = onnxruntime.OrtValue.ortvalue_from_numpy(_image(job)[None, None], "cuda", 0)
    binding = session.io_binding()
    binding.bind_ortvalue_input(session.get_inputs()[0].name, image)
    binding.bind_output("labels", "cuda", 0)

    def once() -> Any:
        session.run_with_iobinding(binding)
        return binding.get_outputs()[0]

    labels, first_s, seconds = timed(once)
    got: NDArray[np.uint8] = labels.numpy().reshape([job["size"]] * 3)
    return {"first_s": first_s, "seconds": seconds, "labels": len(np.unique(got))} | _compared(got, job)


def _export(path: Path, bundle: Path) -> None:
    import onnx

    from meshnet.model.onnx import to_onnx

    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(to_onnx(*load_checkpoint(bundle)), path)


def timed(once: Callable[[], Any]) -> tuple[Any, float, float]:
    """Result, seconds of the first run, and of the fastest one."""
    runs: list[float] = []
    while len(runs) < 2 or (len(runs) < 11 and sum(runs[1:]) < _WARM_S):
        began = time.perf_counter()
        result = once()
        runs.append(time.perf_counter() - began)
        if runs[0] > 4 * _WARM_S:
            break
    return result, runs[0], min(runs)


def _image(job: dict[str, Any]) -> NDArray[np.float32]:
    return np.fromfile(job["image"], np.float32).reshape([job["size"]] * 3)


def _compared(got: NDArray[np.uint8], job: dict[str, Any]) -> dict[str, Any]:
    """Agreement with PyTorch's float32 labels, where they are there."""
    path = Path(job["labels"])
    if not path.is_file():
        return {}
    share, dice = agreement(got, np.fromfile(path, np.uint8).reshape(got.shape))
    return {"agreement": share, "dice_min": dice}


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
