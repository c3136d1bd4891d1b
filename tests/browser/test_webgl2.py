"""The WebGL2 engine in Chromium (SwiftShader) against PyTorch, layer by layer, and its limits."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import Page

from meshnet.spec import Architecture, GroupNorm
from tests.browser.conftest import NO_GPU, WEBGL2, OpenPage
from tests.browser.engine_page import run_in_page
from tests.browser.test_webgpu import CASES, SMALL
from tests.engine_cases import Case, agreement, assert_outputs_equal, build, build_without_result

#: Sums of 27·C float32 terms in another order than PyTorch's, then at most one exp.
RELATIVE = 2e-5


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    """The self-test page where WebGL2 is the GPU there is."""
    return open_page("/selftest.html", flags=WEBGL2)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_layer_and_label_equals_pytorch(page: Page, case: Case) -> None:
    built = build(case)

    layers = run_in_page(page, "webgl2", built, inspect=True)
    fused = run_in_page(page, "webgl2", built, margin=True)

    assert layers["error"] is None
    assert_outputs_equal(layers["outputs"], built.outputs, relative=RELATIVE)
    assert fused["error"] is None
    decided = built.margin > 1e-4  # elsewhere two classes tie to rounding
    assert agreement(fused["labels"][decided], built.labels[decided]) == 1
    assert agreement(layers["labels"][decided], built.labels[decided]) == 1
    assert np.abs(fused["margin"] - 255 * built.margin).max() <= 1


def test_instance_norm_survives_a_mean_far_from_zero(page: Page) -> None:
    """A mean 1000 times the deviation: E[x²] − E[x]² in float32 would leave no digit of the variance."""
    architecture = Architecture(channels=3, classes=2, dilations=(1,), activation="elu", norm=GroupNorm())
    built = build(Case("offset", architecture, (12, 10, 9), offset=300))

    got = run_in_page(page, "webgl2", built, inspect=True)

    assert got["error"] is None
    # 300 is stored to 2^-15; the deviation is about 0.2, so 1e-3 of the result is all that float32 holds.
    assert_outputs_equal(got["outputs"], built.outputs, relative=2e-3)


@pytest.mark.parametrize("planes", [1, 4])
def test_small_textures_give_the_same_labels(page: Page, planes: int) -> None:
    built = build(SMALL)

    got = run_in_page(page, "webgl2", built, maxBufferBytes=planes * 10 * 9 * 4 * 4)

    assert got["error"] is None
    assert got["largestBufferBytes"] <= planes * 10 * 9 * 4 * 4
    decided = built.margin > 1e-4
    assert agreement(got["labels"][decided], built.labels[decided]) == 1
    assert np.all(np.diff(got["progress"]) >= 0)
    assert got["progress"][-1] == 1


def test_a_plane_that_does_not_fit_is_refused_with_both_numbers(page: Page) -> None:
    got = run_in_page(page, "webgl2", build(SMALL), maxBufferBytes=1024)

    assert "takes 1440 bytes" in got["error"]
    assert "allows 1024" in got["error"]


def test_a_network_wider_than_the_shader_is_refused_with_its_width(page: Page) -> None:
    wide = Case("wide", Architecture(channels=37, classes=2, dilations=(1, 2), activation="relu"), (6, 5, 4))

    got = run_in_page(page, "webgl2", build_without_result(wide))

    assert "has 37 channels" in got["error"]


def test_cancel_takes_effect_within_a_second(page: Page) -> None:
    case = Case(
        "long", Architecture(channels=8, classes=2, dilations=(1, 2, 4, 8) * 3, activation="relu"), (96, 96, 96)
    )

    got = run_in_page(page, "webgl2", build_without_result(case), cancelAfterMs=1500)

    assert got["error"] is not None
    assert got["error"].startswith("AbortError")
    assert got["cancelledWithinMs"] < 1000
    assert run_in_page(page, "webgl2", build(SMALL))["error"] is None


def test_without_webgl_the_reason_is_a_sentence(open_page: OpenPage) -> None:
    page = open_page("/selftest.html", flags=NO_GPU)

    probe = page.evaluate("window.meshnetEngines.probe('webgl2')")

    assert probe["available"] is False
    assert probe["reason"].startswith("WebGL2: no context")
