"""The WebGPU engine as plain modules under Deno, on Mesa's lavapipe."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.deno import ENGINE, build_deno_engine, lavapipe_driver, trial_command
from tests.helpers.deno import Run
from tests.helpers.engine_cases import BuiltCase, write_case


@pytest.fixture(scope="session")
def engine() -> Path:
    """The engine as plain modules; Deno and the Vulkan driver must be there."""
    problem = build_deno_engine()
    if problem is not None:
        pytest.fail(problem)
    return ENGINE


@pytest.fixture
def run(engine: Path, tmp_path: Path) -> Run:
    """`run(built, timeout_s=600, **options)` → its report, arrays as NumPy [z, y, x] or [channel, z, y, x]."""

    def run_one(built: BuiltCase, *, timeout_s: float = 600, **options: Any) -> dict[str, Any]:
        write_case(built, tmp_path, **options)
        done = subprocess.run(
            trial_command(tmp_path),
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "VK_ICD_FILENAMES": lavapipe_driver() or ""},
            timeout=timeout_s,
        )
        assert done.returncode == 0, done.stderr
        report: dict[str, Any] = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
        if "fault" in options and report["error"] is not None:
            return report
        assert report["error"] is None, report["error"]
        shape = built.dims[::-1]
        report["labels"] = np.fromfile(tmp_path / "labels.u8", np.uint8).reshape(shape)
        if options.get("probabilities"):
            report["probabilities"] = np.fromfile(tmp_path / "probabilities.u8", np.uint8).reshape(-1, *shape)
        report["outputs"] = [
            np.fromfile(tmp_path / f"output-{i}.f32", "<f4").reshape(-1, *shape)
            for i in range(len(built.outputs) if options.get("inspect") else 0)
        ]
        return report

    return run_one
