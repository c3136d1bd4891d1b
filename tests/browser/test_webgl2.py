"""WebGL2 alone: devices with other limits, and where their weights lie (`test_engines.py` has the rest)."""

from __future__ import annotations

import json

import numpy as np
import pytest
from playwright.sync_api import Page

from meshnet.model.spec import Architecture, GroupNorm
from tests.helpers.browser.chromium import WEBGL2, OpenPage
from tests.helpers.browser.engine_page import run_in_page
from tests.helpers.browser.faults import precede_worker
from tests.helpers.engine_cases import Case, agreement, build


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    """The self-test page where WebGL2 is the GPU there is."""
    return open_page("/selftest.html", flags=WEBGL2)


#: In front of the worker's script: a context that says it is this renderer with these limits, and holds to them.
_LIMITED = """
const GL = WebGL2RenderingContext.prototype;
const limits = {limits};
const [getParameter, drawBuffers, bufferData] = [GL.getParameter, GL.drawBuffers, GL.bufferData];
GL.getParameter = function (name) {{ return limits[name] ?? getParameter.call(this, name); }};
GL.drawBuffers = function (buffers) {{
  if (buffers.length > limits[GL.MAX_DRAW_BUFFERS]) throw new Error(`${{buffers.length}} draw buffers`);
  drawBuffers.call(this, buffers);
}};
GL.bufferData = function (target, data, usage) {{
  if (data.byteLength > limits[GL.MAX_UNIFORM_BLOCK_SIZE]) throw new Error(`${{data.byteLength}} bytes of uniforms`);
  bufferData.call(this, target, data, usage);
}};
"""
UNMASKED_RENDERER, MAX_DRAW_BUFFERS, MAX_UNIFORM_BLOCK_SIZE = 0x9246, 0x8824, 0x8A30


#: In front of it: a device that has no room for the first 32-bit texture.
_FULL = """
const GL = WebGL2RenderingContext.prototype;
const [texStorage3D, getError] = [GL.texStorage3D, GL.getError];
let [full, refusals] = [false, 1];
GL.texStorage3D = function (target, levels, format, ...size) {
  full = format === GL.RGBA32F && refusals-- > 0;
  if (!full) texStorage3D.call(this, target, levels, format, ...size);
};
GL.getError = function () {
  const error = full ? GL.OUT_OF_MEMORY : getError.call(this);
  full = false;
  return error;
};
"""


def limit(page: Page, renderer: str, draw_buffers: int, uniform_block_bytes: int) -> None:
    limits = {
        UNMASKED_RENDERER: renderer,
        MAX_DRAW_BUFFERS: draw_buffers,
        MAX_UNIFORM_BLOCK_SIZE: uniform_block_bytes,
    }
    precede_worker(page, "selftest-worker", _LIMITED.format(limits=json.dumps(limits)))
    page.reload(wait_until="load")


@pytest.mark.parametrize(
    ("renderer", "draw_buffers", "uniform_block_bytes"),
    [
        ("test card", 8, 65536),
        ("test card", 6, 65536),
        ("test phone", 4, 16384),
        ("llvmpipe", 6, 65536),
        ("SwiftShader", 6, 65536),
    ],
)
def test_every_kind_of_device_gives_the_same_labels(
    page: Page, renderer: str, draw_buffers: int, uniform_block_bytes: int
) -> None:
    """Each cuts the layers into other draws, and keeps the weights in uniforms or in a texture."""
    wide = Architecture(channels=18, classes=3, dilations=(1, 4, 2), activation="relu")
    built = build(Case("wide", wide, (11, 9, 21)))
    limit(page, renderer, draw_buffers, uniform_block_bytes)

    assert page.evaluate("window.meshnetEngines.probe('webgl2')")["device"] == renderer
    got = run_in_page(page, "webgl2", built)

    assert got["error"] is None
    decided = built.margin > 1e-4
    assert agreement(got["labels"][decided], built.labels[decided]) == 1


def test_sixteen_channels_on_a_larger_volume_give_pytorchs_labels_in_little_more_than_one_volume(page: Page) -> None:
    dims = (40, 44, 64)
    sixteen = Architecture(channels=16, classes=3, dilations=(1, 16, 2), activation="elu")
    built = build(Case("sixteen", sixteen, dims))

    got = run_in_page(page, "webgl2", built)

    assert got["error"] is None
    decided = built.margin > 1e-4
    assert agreement(got["labels"][decided], built.labels[decided]) == 1
    plane_bytes = dims[0] * dims[1] * 16 * 4
    assert got["peakBytes"] < plane_bytes * (dims[2] + 16)  # not one volume more, whatever the dilation


def test_a_network_of_more_channels_than_uniforms_hold_runs(page: Page) -> None:
    wide = Architecture(channels=40, classes=2, dilations=(1, 2), activation="relu")
    built = build(Case("forty", wide, (6, 5, 4)))
    limit(page, "test phone", 4, 16384)

    got = run_in_page(page, "webgl2", built)

    assert got["error"] is None
    decided = built.margin > 1e-4
    assert agreement(got["labels"][decided], built.labels[decided]) == 1


@pytest.mark.parametrize("norm", [None, GroupNorm(affine=True)], ids=["no norm", "affine norm"])
def test_float16_storage_saturates_instead_of_overflowing(page: Page, norm: GroupNorm | None) -> None:
    """Infinity times the zero outside the volume would be no number, and every label the lowest."""
    architecture = Architecture(channels=4, classes=2, dilations=(1, 2, 1), activation="relu")
    if norm is not None:
        architecture = architecture.model_copy(update={"norm": norm})
    built = build(Case("overflow", architecture, (9, 3, 8), gain=200 if norm is None else 1e5))
    assert norm is not None or np.abs(built.outputs[2]).max() > 65504
    precede_worker(page, "selftest-worker", _FULL)
    page.reload(wait_until="load")

    got = run_in_page(page, "webgl2", built, inspect=True)

    assert got["error"] is None
    assert all(np.isfinite(output).all() for output in got["outputs"])
    if norm is None:
        assert np.abs(got["outputs"][2]).max() == 65504
