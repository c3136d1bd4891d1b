"""Description of the machine for the report, from what any machine with PyTorch has."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from bench.deno import DENO, REPO
from bench.gpu.parts import Setting

_PACKAGES = ("numpy", "onnxruntime", "onnxruntime-gpu", "lightning", "monai")


def describe(adapter: dict[str, Any], setting: Setting) -> dict[str, Any]:
    """Processor, GPUs, versions, and the sizes of this report."""
    cuda = torch.cuda.is_available()
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "system": f"{platform.system()} {platform.release()}",
        "commit": _commit(),
        "gpu": torch.cuda.get_device_name() if cuda else None,
        "gpu_bytes": torch.cuda.get_device_properties(0).total_memory if cuda else None,
        "driver": _said(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]),
        "webgpu": adapter.get("description") or adapter.get("reason") or None,
        "software": bool(adapter.get("software")),
        "size": setting.size,
        "baseline_size": setting.baseline_size,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version() if cuda else None,  # type: ignore[no-untyped-call]
            "deno": (_said([str(DENO), "--version"]) or "").split(" (")[0].removeprefix("deno ") or None,
            **{name: _version(name) for name in _PACKAGES},
        },
    }


def _cpu() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor()


def _commit() -> str | None:
    """Of the checkout, or the one that a bundle was packed from."""
    packed = REPO / "COMMIT"
    if packed.is_file():
        return packed.read_text().strip()
    return _said(["git", "-C", str(REPO), "describe", "--always", "--dirty"])


def _said(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.strip().splitlines()
    return lines[0] if done.returncode == 0 and lines else None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
