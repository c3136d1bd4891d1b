"""Every shipped and published model on a whole scan under Deno on lavapipe: half an hour on two cores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.helpers.deno import Run
from tests.helpers.engine_cases import agreement, smallest_dice
from tests.helpers.whole_scans import SCAN_OF_MODEL, whole_case


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("whole")


@pytest.mark.long
@pytest.mark.parametrize("f16", [False, True], ids=["float32", "float16"])
@pytest.mark.parametrize("model", SCAN_OF_MODEL)
def test_a_whole_scan_gets_pytorchs_labels(run: Run, shared_data: Path, folder: Path, model: str, *, f16: bool) -> None:
    built = whole_case(shared_data, folder, model)

    got = run(built, timeout_s=3600, open={"f16": f16})

    least_equal, least_dice = (0.999, 0.995) if f16 else (0.9999, 0.999)
    assert agreement(got["labels"], built.labels) >= least_equal
    assert smallest_dice(got["labels"], built.labels) >= least_dice
    channels = json.loads(built.model_json)["architecture"]["channels"]
    assert got["peakBytes"] <= 1.25 * channels * (2 if f16 else 4) * 256**3
