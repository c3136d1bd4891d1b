"""The WGSL engine under Deno: labels against PyTorch, and every layer's time against the device's peaks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.cell import agreement
from bench.deno import DENO, ENGINE, trial_command
from bench.gpu.cases import Case, make_case
from bench.gpu.parts import Add, Clock, NotHereError, Setting, run_child
from bench.gpu.roofline import Layer, Peaks, layer_rows, layers_of, rates
from bench.gpu.vulkan import find_adapter, peaks

#: Runs of a network: one that compiles, and warm ones.
_RUNS = 3


class WebGpu:
    """The adapter of this report, and the peaks that were measured on it. Filled in by `measure_adapter`."""

    def __init__(self) -> None:
        self.environment: Mapping[str, str] | None = None
        self.found: dict[str, Any] = {}

    def measure_adapter(self, setting: Setting, clock: Clock, add: Add) -> None:
        """The part `adapter`: one row."""
        if not DENO.exists():
            raise NotHereError(f"{DENO} is missing (npm package @deno/linux-x64-glibc)")
        if self.environment is None:
            self.environment, self.found = find_adapter(setting.work, clock)
        if not self.found["available"]:
            raise NotHereError(f"WebGPU under Deno: {self.found.get('reason') or 'no adapter'}")
        measured = peaks(setting.work, setting.peak_s, self.environment, clock)
        self.found = {**self.found, **measured}
        add(self.found)

    def peaks(self, storage: str) -> Peaks:
        """Operations are float32 with float16 storage, too."""
        rate, memory = self.found.get("flops"), self.found.get("bytesPerS")
        return Peaks(*(value if isinstance(value, float | int) else None for value in (rate, memory)))

    def measure_engine(self, setting: Setting, clock: Clock, add: Add) -> None:
        """The part `engine`: a row per network and storage format."""
        if self.environment is None or not self.found.get("available"):
            raise NotHereError("no WebGPU adapter; see the part adapter")
        if not (ENGINE / "webgpu.js").is_file():
            raise NotHereError(f"{ENGINE} is missing; build it with `npx vite build --config vite.engine.config.ts`")
        storages = ["float32", *(["float16"] if "shader-f16" in self.found.get("features", []) else [])]
        for name in setting.models:
            for storage in storages:
                row: dict[str, Any] = {"model": name, "storage": storage}
                if clock.over():
                    add(row | {"error": "not run: the part's time was over"})
                    continue
                try:
                    row |= self._run(make_case(name, setting.work, setting.size), storage, setting, clock)
                except Exception as error:
                    row["error"] = f"{type(error).__name__}: {error}"
                add(row)

    def _run(self, case: Case, storage: str, setting: Setting, clock: Clock) -> dict[str, Any]:
        """One network. Raises RuntimeError with the engine's message."""
        folder = setting.work / "trials" / f"{case.name}-{storage}"
        write_trial(folder, case, storage, within_s=min(30.0, clock.left_s() / 2))
        assert self.environment is not None
        ended = run_child(trial_command(folder), clock, environment=self.environment)
        if ended.why:
            raise RuntimeError(ended.why)
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        if report["error"] is not None:
            raise RuntimeError(report["error"])
        runs = [milliseconds / 1e3 for milliseconds in report["runsMs"]]
        row: dict[str, Any] = {
            "first_s": runs[0],
            "seconds": min(runs),
            "runs": len(runs),
            "peak_bytes": report["peakBytes"],
            **network_rates(case, storage, report["lastTimings"], self.peaks(storage)),
        }
        got = np.fromfile(folder / "labels.u8", np.uint8).reshape([case.size] * 3).transpose(2, 1, 0)
        row["labels"] = len(np.unique(got))
        if case.labels.is_file():
            wanted = np.fromfile(case.labels, np.uint8).reshape([case.size] * 3)
            row["agreement"], row["dice_min"] = agreement(got, wanted)
        shutil.rmtree(folder)
        return row


def network_rates(case: Case, storage: str, timings: list[Any], measured: Peaks) -> dict[str, Any]:
    """Rates of every layer (`layers`), and of the whole network by the sum of their times (`whole`)."""
    width, architecture = 2 if storage == "float16" else 4, case.spec.architecture
    rows = layer_rows(architecture, case.voxels(), width, timings, measured)
    layers = layers_of(architecture, case.voxels(), width, fused=len(rows) < len(architecture.dilations) + 1)
    all_of_it = Layer("whole network", sum(x.operations for x in layers), sum(x.bytes for x in layers))
    whole = rates(all_of_it, sum(row["ms"] for row in rows), measured)
    if all("least_ms" in row for row in rows):
        whole["least_ms"] = sum(row["least_ms"] for row in rows)
    return {"layers": rows, "whole": whole}


def write_trial(folder: Path, case: Case, storage: str, within_s: float) -> None:
    """The files that tests/engine/run_deno.ts reads."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in ("model.json", "weights.safetensors"):
        shutil.copy(case.bundle / name, folder)
    (folder / "input.f32").symlink_to(case.zyx.resolve())
    trial = {
        "dims": [case.size] * 3,
        "open": {"f16": storage == "float16", "timestamps": True},
        "repeat": {"atMost": _RUNS, "withinMs": within_s * 1e3},
    }
    (folder / "trial.json").write_text(json.dumps(trial), encoding="utf-8")
