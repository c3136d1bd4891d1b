"""Every shipped and published model on a whole scan in Chromium, to the end: an hour and more on two cores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.runtimes import LLVMPIPE
from tests.helpers.browser.chromium import NO_GPU, WEBGPU, OpenPage
from tests.helpers.browser.engine_page import run_in_page
from tests.helpers.engine_cases import agreement, smallest_dice
from tests.helpers.whole_scans import SCAN_OF_MODEL, whole_case

#: Engine, how Chromium is started, and its most memory in activation volumes.
ENGINES = {
    "cpu": ("cpu", NO_GPU, 1.1),
    "webgl2-llvmpipe": ("webgl2", LLVMPIPE, 1.15),
    "webgpu": ("webgpu", WEBGPU, 1.25),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("whole")


@pytest.mark.long
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("model", SCAN_OF_MODEL)
def test_a_whole_scan_gets_pytorchs_labels(
    shared_data: Path, folder: Path, open_page: OpenPage, model: str, engine: str
) -> None:
    built = whole_case(shared_data, folder, model)
    backend, flags, volumes = ENGINES[engine]

    got = run_in_page(open_page("/selftest.html", flags=flags), backend, built)

    assert got["error"] is None
    assert agreement(got["labels"], built.labels) >= 0.9999
    assert smallest_dice(got["labels"], built.labels) >= 0.999
    channels = json.loads(built.model_json)["architecture"]["channels"]
    assert got["peakBytes"] <= volumes * channels * 4 * 256**3
