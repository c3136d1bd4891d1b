"""The environment in which Deno finds the machine's GPU, else Mesa's software driver."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from ctypes.util import find_library
from pathlib import Path
from typing import Any

from bench.deno import DENO, REPO, lavapipe_driver
from bench.gpu.parts import Clock, run_child

#: Folders in which drivers describe themselves, also ones that the Vulkan loader doesn't search.
_DRIVER_FOLDERS = (
    "/usr/share/vulkan/icd.d",
    "/etc/vulkan/icd.d",
    "/usr/local/share/vulkan/icd.d",
    "/usr/local/nvidia/share/vulkan/icd.d",
    "/usr/lib/x86_64-linux-gnu/nvidia/vulkan/icd.d",
)
#: Libraries that a bundle carries for a machine without them (bench/bundle).
_CARRIED = REPO / "lib"
_SOFTWARE = re.compile(r"llvmpipe|lavapipe|swiftshader|software", re.IGNORECASE)


def find_adapter(work: Path, clock: Clock) -> tuple[dict[str, str], dict[str, Any]]:
    """The environment of the best adapter, and the adapter (peaks.ts, without peaks). A software adapter is taken where
    there is no other; `available` is false where there is none at all."""
    best: tuple[dict[str, str], dict[str, Any]] | None = None
    reasons = []
    for environment in _environments():
        found = peaks(work, 0, environment, clock, limit_s=30)
        if found.get("available") and not found["software"]:
            return environment, found
        if found.get("available") and best is None:
            best = environment, found
        reasons.append(str(found.get("reason", "")))
    return best or (dict(os.environ), {"available": False, "reason": "; ".join(dict.fromkeys(filter(None, reasons)))})


def peaks(
    work: Path, seconds: float, environment: Mapping[str, str], clock: Clock, limit_s: float = 120
) -> dict[str, Any]:
    """What peaks.ts writes, with `software` and, where it failed, `reason`."""
    work.mkdir(parents=True, exist_ok=True)
    path = work / "peaks.json"
    path.unlink(missing_ok=True)
    program = Path(__file__).with_name("peaks.ts")
    command = [str(DENO), "run", "--allow-all", "--unstable-webgpu", "--no-lock", str(program), str(work), str(seconds)]
    ended = run_child(command, clock, environment=environment, limit_s=limit_s)
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"available": False}
    text = " ".join(str(found.get(key, "")) for key in ("vendor", "architecture", "device", "description"))
    found["software"] = bool(_SOFTWARE.search(text))
    if ended.why:
        found.setdefault("reason", ended.why)
    return found


def _environments() -> Iterator[dict[str, str]]:
    """The machine's usual one, then one for each hardware driver, then Mesa's software driver."""
    usual = {**os.environ, "DENO_WEBGPU_BACKEND": "vulkan", "NO_COLOR": "1"}
    if find_library("vulkan") is None and _CARRIED.is_dir():
        usual["LD_LIBRARY_PATH"] = ":".join(filter(None, [os.environ.get("LD_LIBRARY_PATH"), str(_CARRIED)]))
    yield usual
    if "VK_ICD_FILENAMES" in os.environ or "VK_DRIVER_FILES" in os.environ:
        return
    for folder in map(Path, _DRIVER_FOLDERS):
        for driver in sorted(folder.glob("nvidia*.json")):
            yield {**usual, "VK_ICD_FILENAMES": str(driver), "VK_DRIVER_FILES": str(driver)}
    if lavapipe_driver() is not None:
        yield {**usual, "VK_ICD_FILENAMES": str(lavapipe_driver())}
