"""PyTorch and onnxruntime on the same networks and volumes, each in a child process (peer_child.py)."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from bench.gpu.cases import make_case
from bench.gpu.parts import Add, Clock, NotHereError, Setting, read_lines, run_child


def measure_torch(setting: Setting, clock: Clock, add: Add) -> None:
    """The part `pytorch`: a row per network and precision. The float32 labels are the reference of the other parts."""
    _measure("torch", setting, clock, add, ["float32", "float16"] if setting.device == "cuda" else ["float32"])


def measure_onnxruntime(setting: Setting, clock: Clock, add: Add) -> None:
    """The part `onnxruntime`: its CUDA provider."""
    if find_spec("onnxruntime") is None:
        raise NotHereError("not installed: the package onnxruntime-gpu")
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise NotHereError(f"not installed: onnxruntime {onnxruntime.__version__} is here without its CUDA provider")
    _measure("onnxruntime", setting, clock, add, ["float32"])


def _measure(runtime: str, setting: Setting, clock: Clock, add: Add, precisions: list[str]) -> None:
    """Run all networks in one child. Where it dies, the next child goes on after the network that it died of."""
    jobs, prepared = [], []
    for name in setting.models:
        try:
            case = make_case(name, setting.work, setting.size)
        except Exception as error:
            add({"model": name, "error": f"{type(error).__name__}: {error}"})
            continue
        for precision in precisions:
            jobs.append({"model": name, "precision": precision})
            prepared.append(
                {
                    **jobs[-1],
                    "bundle": str(case.bundle),
                    "onnx": str(case.onnx),
                    "image": str(case.ijk),
                    "labels": str(case.labels),
                    "size": case.size,
                    "device": setting.device,
                }
            )
    for row in run_rows(("bench.gpu.peer_child", runtime), jobs, prepared, setting, clock):
        add(row)


def run_rows(
    program: Sequence[str],
    titles: Sequence[dict[str, Any]],
    jobs: Sequence[dict[str, Any]],
    setting: Setting,
    clock: Clock,
) -> list[dict[str, Any]]:
    """A row per job, in order: its title, and what the child measured or why it couldn't.

    program: module and first argument. The child reads the jobs from a file and writes one line of JSON for each. After
    a job that kills it, another child starts with the next.
    """
    rows: list[dict[str, Any]] = []
    path, out = setting.work / f"{program[1]}-jobs.json", setting.work / f"{program[1]}-rows.jsonl"
    while len(rows) < len(jobs):
        path.write_text(json.dumps(jobs[len(rows) :]), encoding="utf-8")
        out.unlink(missing_ok=True)
        if clock.over():
            rows.extend(title | {"error": "not run: the part's time was over"} for title in titles[len(rows) :])
            break
        ended = run_child([sys.executable, "-m", *program, str(path), str(out)], clock, environment={**os.environ})
        for row in read_lines(out):
            rows.append(titles[len(rows)] | row)
        if len(rows) < len(jobs):
            rows.append(titles[len(rows)] | {"error": ended.why or "ended without a result"})
    return rows
