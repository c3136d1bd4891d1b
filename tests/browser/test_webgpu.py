"""The WebGPU engine in Chromium (software adapter) against PyTorch, layer by layer, and its limits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from playwright.sync_api import Page

from export.published import import_published
from meshnet.checkpoint import load_checkpoint
from meshnet.normalize import normalize
from meshnet.spec import Architecture, GroupNorm
from tests.browser.conftest import NO_GPU, WEBGPU, OpenPage
from tests.browser.engine_page import run_in_page
from tests.engine_cases import (
    BuiltCase,
    Case,
    agreement,
    assert_outputs_equal,
    build,
    build_without_result,
    smallest_dice,
)

#: Sums of 27·C float32 terms in another order than PyTorch's, then at most one exp.
RELATIVE = 2e-5

CASES = (
    Case("relu", Architecture(channels=5, classes=3, dilations=(1, 2, 4, 8), activation="relu"), (13, 7, 21)),
    Case("elu", Architecture(channels=11, classes=2, dilations=(1, 16), activation="elu"), (9, 17, 7), gain=3),
    Case("gelu", Architecture(channels=3, classes=2, dilations=(2, 1), activation="gelu"), (5, 3, 9), gain=6),
    Case("gelu_tanh", Architecture(channels=3, classes=2, dilations=(2, 1), activation="gelu_tanh"), (5, 3, 9), gain=6),
    Case(
        "affine norm",
        Architecture(channels=6, classes=3, dilations=(1, 3), activation="gelu", norm=GroupNorm(affine=True)),
        (11, 9, 9),
    ),
    Case(
        "norm without bias",
        Architecture(
            channels=4, classes=2, dilations=(1, 2), activation="gelu", norm=GroupNorm(), conv_bias=False,
            classifier_bias=False,
        ),
        (7, 3, 17),
    ),
    Case("104 classes", Architecture(channels=21, classes=104, dilations=(1, 3), activation="relu"), (9, 2, 11)),
    Case(
        "two blocks of channels", Architecture(channels=18, classes=2, dilations=(1, 2), activation="elu"), (6, 2, 7)
    ),
    Case(
        "large activations, gelu_tanh",
        Architecture(channels=5, classes=3, dilations=(1, 2, 1), activation="gelu_tanh"),
        (9, 3, 8),
        gain=300,
    ),
    Case(
        "large activations, gelu",
        Architecture(channels=5, classes=3, dilations=(1, 2, 1), activation="gelu"),
        (9, 3, 8),
        gain=300,
    ),
)  # fmt: skip


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    """The self-test page on a WebGPU device."""
    return open_page("/selftest.html", flags=WEBGPU)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_layer_and_label_equals_pytorch(page: Page, case: Case) -> None:
    built = build(case)

    layers = run_in_page(page, "webgpu", built, inspect=True)
    fused = run_in_page(page, "webgpu", built, margin=True)

    assert layers["error"] is None
    assert_outputs_equal(layers["outputs"], built.outputs, relative=RELATIVE)
    assert fused["error"] is None
    decided = built.margin > 1e-4  # elsewhere two classes tie to rounding
    assert agreement(fused["labels"][decided], built.labels[decided]) == 1
    assert agreement(layers["labels"], fused["labels"]) >= 0.999
    assert np.abs(fused["margin"] - 255 * built.margin).max() <= 1


def test_instance_norm_survives_a_mean_far_from_zero(page: Page) -> None:
    """A mean 1000 times the deviation: E[x²] − E[x]² in float32 would leave no digit of the variance."""
    built = build(
        Case(
            "offset",
            Architecture(channels=3, classes=2, dilations=(1,), activation="elu", norm=GroupNorm()),
            (12, 10, 9),
            offset=300,
        )
    )

    got = run_in_page(page, "webgpu", built, inspect=True)

    assert got["error"] is None
    # 300 is stored to 2^-15; the deviation is about 0.2, so 1e-3 of the result is all that float32 holds.
    assert_outputs_equal(got["outputs"], built.outputs, relative=2e-3)


SMALL = Case("chunks", Architecture(channels=4, classes=3, dilations=(1, 3, 8, 2), activation="elu"), (10, 9, 23))
PLANE_BYTES = 4 * 10 * 9 * 4  # of one z-plane of SMALL's activations; stored 256-byte aligned


@pytest.mark.parametrize("planes", [1, 2, 4])
def test_small_buffers_give_the_same_labels(page: Page, planes: int) -> None:
    built = build(SMALL)
    limit = planes * (-(-PLANE_BYTES // 256) * 256)

    got = run_in_page(page, "webgpu", built, maxBufferBytes=limit)

    assert got["error"] is None
    decided = built.margin > 1e-4
    assert agreement(got["labels"][decided], built.labels[decided]) == 1
    assert np.all(np.diff(got["progress"]) >= 0)
    assert got["progress"][-1] == 1


def test_a_plane_that_does_not_fit_is_refused_with_both_numbers(page: Page) -> None:
    got = run_in_page(page, "webgpu", build(SMALL), maxBufferBytes=1024)

    assert "takes 1536 bytes" in got["error"]
    assert "allows 1024" in got["error"]


def test_cancel_takes_effect_within_a_second(page: Page) -> None:
    case = Case(
        "long", Architecture(channels=8, classes=2, dilations=(1, 2, 4, 8) * 3, activation="relu"), (96, 96, 96)
    )
    built = build_without_result(case)

    got = run_in_page(page, "webgpu", built, cancelAfterMs=1500)

    assert got["error"] is not None
    assert got["error"].startswith("AbortError")
    assert got["cancelledWithinMs"] < 1000
    again = run_in_page(page, "webgpu", build(SMALL))
    assert again["error"] is None


def test_a_volume_of_the_wrong_length_is_refused(page: Page) -> None:
    built = build(SMALL)

    got = run_in_page(page, "webgpu", replace(built, dims=(10, 9, 22)))

    assert "expected 1 × 10 × 9 × 22 = 1980 values, got 2070" in got["error"]


def test_without_an_adapter_the_reason_is_a_sentence(open_page: OpenPage) -> None:
    page = open_page("/selftest.html", flags=NO_GPU)

    probe = page.evaluate("window.meshnetEngines.probe('webgpu')")

    assert probe["available"] is False
    assert probe["reason"].startswith("WebGPU: ")


def test_the_software_adapter_is_known_as_such(page: Page) -> None:
    probe = page.evaluate("window.meshnetEngines.probe('webgpu')")

    assert probe["available"] is True
    assert probe["software"] is True
    assert "swiftshader" in (probe["device"] + str(probe["details"])).lower()


def test_the_self_test_page_reports_every_backend_right(page: Page) -> None:
    page.get_by_test_id("run").click()
    page.wait_for_selector("[data-state=done], [data-state=error]", timeout=240_000)

    report = page.get_by_test_id("report").inner_text()
    assert "FAILED" not in report, report
    for backend in page.evaluate("window.meshnetEngines.list()"):
        assert f"\n{backend}: " in report
    assert "GFLOP/s" in report


def test_a_whole_scan_gets_the_expected_labels(shared_data: Path, tmp_path: Path, page: Page) -> None:
    """MeshNet-5 at full 256³, within the default limits of a device."""
    import_published(shared_data / "models", tmp_path)
    model = tmp_path / "brainchop-model5-gw-ae"
    spec, _ = load_checkpoint(model)
    volume = np.asanyarray(nib.load(shared_data / "scans" / "t1_crop.nii.gz").dataobj)
    image = normalize(volume, spec.input.normalization).transpose(2, 1, 0)[None]
    built = BuiltCase(
        (256, 256, 256),
        (model / "model.json").read_text(encoding="utf-8"),
        (model / spec.weights.file).read_bytes(),
        image,
    )

    got = run_in_page(page, "webgpu", built)

    assert got["error"] is None
    expected = np.asanyarray(nib.load(shared_data / "expected" / "t1_crop__brainchop_model5_gw_ae.nii.gz").dataobj)
    expected = np.asarray(expected, np.uint8).transpose(2, 1, 0)
    assert agreement(got["labels"], expected) >= 0.9999
    assert smallest_dice(got["labels"], expected) >= 0.999
    assert got["largestBufferBytes"] <= 128 * 2**20
    assert got["peakBytes"] <= 1.25 * 5 * 4 * 256**3
