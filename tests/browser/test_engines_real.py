"""Whole published models on whole real scans, in Chromium: the published labels, within a device's default limits."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.helpers.browser.chromium import NO_GPU, WEBGPU, OpenPage
from tests.helpers.browser.engine_page import run_in_page
from tests.helpers.engine_cases import agreement, published_case, smallest_dice

FLAGS = {"webgpu": WEBGPU, "cpu": NO_GPU}
SCANS = {"brainchop-model5-gw-ae": "t1_crop", "brainchop-t2-lesion": "M2265_T2w"}


@pytest.mark.parametrize(
    ("backend", "model"),
    [("webgpu", "brainchop-model5-gw-ae"), ("cpu", "brainchop-model5-gw-ae"), ("cpu", "brainchop-t2-lesion")],
)
def test_a_whole_scan_gets_the_expected_labels(
    shared_data: Path, tmp_path: Path, open_page: OpenPage, backend: str, model: str
) -> None:
    built = published_case(shared_data, tmp_path, model, SCANS[model])

    got = run_in_page(open_page("/selftest.html", flags=FLAGS[backend]), backend, built)

    assert got["error"] is None
    path = shared_data / "expected" / f"{SCANS[model]}__{model.replace('-', '_')}.nii.gz"
    expected = np.asarray(nib.load(path).dataobj, np.uint8).transpose(2, 1, 0)
    assert agreement(got["labels"], expected) >= 0.9999
    assert smallest_dice(got["labels"], expected) >= 0.999
    channels = json.loads(built.model_json)["architecture"]["channels"]
    # One volume of activations, the labels, and the ring of staged planes of the CPU or slabs of the GPU
    assert got["peakBytes"] <= (1.1 if backend == "cpu" else 1.25) * channels * 4 * 256**3
    if backend == "webgpu":
        assert got["largestBufferBytes"] <= 128 * 2**20  # what every device grants
