"""Visits in a child process: Deno and Python."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.deno import REPO, lavapipe_driver, trial_command
from bench.inputs import brainchop_files, onnx_file, volume_files, web_bundle
from bench.memory import sampled
from bench.runtimes import Runtime
from bench.server import BENCH
from bench.visit import Job, Setting, Visit, visit_from_report

BRAINCHOP_PYTHON = REPO / ".bench-venv" / "bin" / "python"


def visit_deno(job: Job, setting: Setting) -> Visit:
    """Run the WebGPU engine as plain modules under Deno, on Mesa's software Vulkan driver."""
    _, zyx = volume_files(job.size, setting.work)
    folder = Path(tempfile.mkdtemp(prefix="meshnet-bench-"))
    try:
        for file in web_bundle(job.part).glob("*.*"):
            shutil.copy(file, folder)
        (folder / "input.f32").symlink_to(zyx.resolve())
        trial: dict[str, Any] = {
            "dims": [job.size] * 3,
            "open": {"f16": job.runtime.f16},
            "repeat": {"atMost": setting.runs_per_visit, "withinMs": setting.warm_within_s * 1e3},
        }
        if job.cap_s is not None:
            trial["cancelAfterMs"] = job.cap_s * 1e3
        (folder / "trial.json").write_text(json.dumps(trial), encoding="utf-8")
        environment = {**os.environ, "VK_ICD_FILENAMES": lavapipe_driver() or ""}
        trial_report = _run(trial_command(folder), folder, environment, job)
        report = _from_trial(trial_report) if "runsMs" in trial_report else trial_report
        return visit_from_report(report, job, _labels(folder, job, transposed=True))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def visit_python(job: Job, setting: Setting) -> Visit:
    """Run a runtime in a new Python process, so that its memory is that of one runtime."""
    ijk, _ = volume_files(job.size, setting.work)
    folder = Path(tempfile.mkdtemp(prefix="meshnet-bench-"))
    part = job.part
    brainchop = job.runtime.engine == "brainchop"
    try:
        content: dict[str, Any] = {
            "engine": job.runtime.engine,
            "size": job.size,
            "volume": str(ijk.resolve()),
            "web": str(web_bundle(part).resolve()),
            "onnx": str(onnx_file(part).resolve()),
            "threads": setting.threads,
            "atMost": setting.runs_per_visit,
            "withinS": setting.warm_within_s,
        }
        if brainchop:
            content["brainchop"] = [str(path.resolve()) for path in brainchop_files(part)]
        (folder / "job.json").write_text(json.dumps(content), encoding="utf-8")
        program = (
            [str(BRAINCHOP_PYTHON), str(BENCH / "brainchop_child.py")]
            if brainchop
            else [sys.executable, "-m", "bench.python_child"]
        )
        report = _run([*program, str(folder / "job.json")], folder, os.environ, job)
        return visit_from_report(report, job, _labels(folder, job, transposed=False))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(command: Sequence[str], folder: Path, environment: Mapping[str, str], job: Job) -> dict[str, Any]:
    """Run the child; returns its report with its peak memory, or an error if it wrote none."""
    with (
        (folder / "stderr.txt").open("wb") as errors,
        subprocess.Popen(command, cwd=REPO, stdout=subprocess.DEVNULL, stderr=errors, env=environment) as child,
        sampled(child.pid) as peak,
    ):
        try:
            child.wait(job.hard_s)
        except subprocess.TimeoutExpired:
            child.kill()
            return {"error": "timeout", "peakBytes": peak.bytes}
    path = folder / "report.json"
    if not path.exists():
        lines = (folder / "stderr.txt").read_text(errors="replace").strip().splitlines()
        why = lines[-1] if lines else "no output on stderr"
        return {"error": f"ended with code {child.returncode}: {why}", "peakBytes": peak.bytes}
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return {**report, "enginePeakBytes": report.get("peakBytes"), "peakBytes": peak.bytes}


def _from_trial(trial: dict[str, Any]) -> dict[str, Any]:
    """Convert an engine's trial report (static/src/worker/trial.ts) to the report of a visit."""
    error: str | None = trial["error"]
    return {
        **trial,
        "error": "cap" if error is not None and error.startswith("AbortError") else error,
        "setupMs": None,
        "allocatedBytes": trial["enginePeakBytes"],
        "largestBytes": trial["largestBufferBytes"],
        "device": trial["probe"].get("device") or trial["probe"].get("reason"),
    }


def _labels(folder: Path, job: Job, *, transposed: bool) -> Any:
    path = folder / "labels.u8"
    if not path.exists():
        return None
    labels = np.fromfile(path, np.uint8).reshape([job.size] * 3)
    return labels.transpose(2, 1, 0) if transposed else labels


def missing_python(runtime: Runtime) -> str | None:
    """Why a Python runtime can't be measured on this machine; None if it can."""
    if runtime.engine != "brainchop":
        return None
    if not BRAINCHOP_PYTHON.exists():
        return "the environment .bench-venv is missing; run `make bench`, which makes it or prints why it can't"
    return None
