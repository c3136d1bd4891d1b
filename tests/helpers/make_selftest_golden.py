"""Writes `static/src/worker/selftest-golden.json`: tiny networks with PyTorch's activations, for the page /selftest.

python -m tests.helpers.make_selftest_golden
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np

from meshnet.model.spec import Architecture, GroupNorm
from tests.helpers.engine_cases import BuiltCase, Case, build

GOLDEN = Path(__file__).resolve().parents[2] / "static" / "src" / "worker" / "selftest-golden.json"

CASES = (
    Case(
        "elu, fused classifier",
        Architecture(channels=3, classes=3, dilations=(1, 3), activation="elu"),
        dims=(7, 6, 9),
        gain=4.0,
    ),
    Case(
        "gelu after instance norm",
        Architecture(channels=3, classes=2, dilations=(2, 1), activation="gelu", norm=GroupNorm(affine=True)),
        dims=(7, 6, 9),
        gain=4.0,
        seed=1,
    ),
)


def encode(case: Case, built: BuiltCase) -> dict[str, object]:
    """One case as JSON values; arrays are base64 of little-endian bytes."""

    def text(data: bytes) -> str:
        return base64.b64encode(data).decode("ascii")

    return {
        "name": case.name,
        "dims": built.dims,
        "modelJson": built.model_json,
        "weights": text(built.weights),
        "input": text(built.image.astype("<f4").tobytes()),
        "outputs": [text(np.ascontiguousarray(output).astype("<f4").tobytes()) for output in built.outputs],
        "labels": text(built.labels.tobytes()),
    }


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps([encode(case, build(case)) for case in CASES], indent=1) + "\n", encoding="utf-8")
