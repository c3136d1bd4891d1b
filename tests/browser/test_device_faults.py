"""A graphics device that fails in the middle of a run: what the page does, and what it says.

The faults are brought about inside the page's worker, by a few lines put in front of its script; the software adapter
calls itself hardware there, because only then is it tried before the CPU.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.helpers.browser.chromium import WEBGL2, WEBGPU, OpenPage
from tests.helpers.browser.faults import open_with_fault
from tests.helpers.browser.site import (
    assert_same_labels,
    drop,
    predicted,
    save,
    wait_for,
    wait_until_listed,
    write_model,
)
from tests.helpers.browser.site import write_scan as write_head
from tests.helpers.browser.visits import PATIENCE_MS

_WEBGPU_AS_HARDWARE = """
Object.defineProperty(GPUAdapter.prototype, 'info', {get: () => (
  {vendor: 'test', architecture: 'card', device: '', description: '', isFallbackAdapter: false})});
"""

#: `faulty(device, submit, commands, number)` in place of the first device's submissions.
_WEBGPU_SUBMITS = (
    _WEBGPU_AS_HARDWARE
    + """
const requestDevice = GPUAdapter.prototype.requestDevice;
let devices = 0;
GPUAdapter.prototype.requestDevice = async function (...request) {
  const device = await requestDevice.apply(this, request);
  if (devices++ > 0) return device;
  const submit = device.queue.submit.bind(device.queue);
  let submissions = 0;
  device.queue.submit = (commands) => { faulty(device, submit, commands, ++submissions); };
  return device;
};
"""
)

#: The device ends with the second submission of its first run.
WEBGPU_LOST = (
    _WEBGPU_SUBMITS
    + """
function faulty(device, submit, commands, number) {
  submit(commands);
  if (number === 2) device.destroy();
}
"""
)

#: Drops the second submission without a word, as Metal does with those of a page in the background.
WEBGPU_DROPS = (
    _WEBGPU_SUBMITS
    + """
function faulty(device, submit, commands, number) { submit(number === 2 ? [] : commands); }
"""
)

#: Compiles every kernel wrongly, as some phones' drivers do: activations of half the size.
WEBGPU_MISCOMPILES = (
    _WEBGPU_AS_HARDWARE
    + """
const createShaderModule = GPUDevice.prototype.createShaderModule;
GPUDevice.prototype.createShaderModule = function ({code, ...rest}) {
  const wrong = code.replace('fn activate(v: f32) -> f32 {', 'fn activate(w: f32) -> f32 { let v = w * 0.5;');
  return createShaderModule.call(this, {code: wrong, ...rest});
};
"""
)

_WEBGL2_AS_HARDWARE = """
const GL = WebGL2RenderingContext.prototype;
const UNMASKED_RENDERER = 0x9246;
const getParameter = GL.getParameter;
GL.getParameter = function (name) { return name === UNMASKED_RENDERER ? 'test card' : getParameter.call(this, name); };
"""

#: The context is lost with the third draw of the first run.
WEBGL2_LOST = (
    _WEBGL2_AS_HARDWARE
    + """
const drawArrays = GL.drawArrays;
let draws = 0;
GL.drawArrays = function (...call) {
  drawArrays.apply(this, call);
  if (++draws === 3) this.getExtension('WEBGL_lose_context').loseContext();
};
"""
)

#: The device has no room for 32-bit textures of several channels.
WEBGL2_FULL = (
    _WEBGL2_AS_HARDWARE
    + """
const [texStorage3D, getError] = [GL.texStorage3D, GL.getError];
let full = false;
GL.texStorage3D = function (target, levels, format, ...size) {
  full = format === GL.RGBA32F;
  if (!full) texStorage3D.call(this, target, levels, format, ...size);
};
GL.getError = function () {
  const error = full ? GL.OUT_OF_MEMORY : getError.call(this);
  full = false;
  return error;
};
"""
)

#: As an iPhone's: announces eight render targets of 128 bits, and drops every draw to more than four.
WEBGL2_NARROW = (
    _WEBGL2_AS_HARDWARE
    + """
const [layer, texture2D, status, drawArrays] =
  [GL.framebufferTextureLayer, GL.framebufferTexture2D, GL.checkFramebufferStatus, GL.drawArrays];
let attached = 0;
GL.framebufferTextureLayer = function (target, attachment, ...rest) {
  attached = attachment - GL.COLOR_ATTACHMENT0 + 1;
  layer.call(this, target, attachment, ...rest);
};
GL.framebufferTexture2D = function (target, attachment, kind, texture, level) {
  attached = attachment - GL.COLOR_ATTACHMENT0 + (texture === null ? 0 : 1);
  texture2D.call(this, target, attachment, kind, texture, level);
};
GL.checkFramebufferStatus = function (target) {
  return attached > 4 ? GL.FRAMEBUFFER_UNSUPPORTED : status.call(this, target);
};
GL.drawArrays = function (...call) { if (attached <= 4) drawArrays.apply(this, call); };
"""
)

#: Drops the third draw, and says so only where it is asked for errors.
WEBGL2_REFUSES = (
    _WEBGL2_AS_HARDWARE
    + """
const [drawArrays, getError] = [GL.drawArrays, GL.getError];
let draws = 0;
let refused = false;
GL.drawArrays = function (...call) {
  if (++draws === 3) refused = true;
  else drawArrays.apply(this, call);
};
GL.getError = function () {
  const error = refused ? GL.INVALID_FRAMEBUFFER_OPERATION : getError.call(this);
  refused = false;
  return error;
};
"""
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder, "tissue")
    return folder


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return write_head(tmp_path / "sub-01_T1w.nii.gz")


def run(page: Page, scan: Path, state: str) -> str:
    drop(page, scan)
    wait_for(page, "ready")
    wait_until_listed(page, "tissue")
    page.get_by_test_id("run").click()
    return wait_for(page, state)


@pytest.mark.parametrize(
    ("flags", "fault", "said"),
    [
        (WEBGPU, WEBGPU_LOST, "WebGPU: failed: the device was closed"),
        (WEBGPU, WEBGPU_DROPS, "WebGPU: failed: the graphics device left 1 of "),
        (WEBGPU, WEBGPU_MISCOMPILES, "WebGPU: failed: its answers differ from the CPU's in "),
        (WEBGL2, WEBGL2_LOST, "WebGL2: failed: the graphics device was lost"),
        (WEBGL2, WEBGL2_REFUSES, "WebGL2: failed: the device refused a step of the computation"),
    ],
    ids=["webgpu", "webgpu drops work", "webgpu miscompiles", "webgl2", "webgl2 refuses a draw"],
)
def test_a_device_that_fails_in_a_run_hands_over_to_the_next_and_says_why(
    *,
    open_page: OpenPage,
    url: str,
    models: Path,
    scan: Path,
    tmp_path: Path,
    flags: tuple[str, ...],
    fault: str,
    said: str,
) -> None:
    page = open_with_fault(open_page, url, flags, fault)

    run(page, scan, "done")

    backend = page.get_by_test_id("backend")
    assert backend.get_attribute("data-backend") == "cpu"
    name, _, reason = said.partition(": failed: ")
    expect(backend).to_contain_text(name)
    assert reason in (page.get_by_test_id("diagnostics").text_content() or "")
    assert_same_labels(save(page, "native", tmp_path), predicted(models / "tissue", scan, tmp_path))


#: No thread's script can be loaded.
NO_THREADS = """
Object.defineProperty(navigator, 'hardwareConcurrency', {get: () => 2});
self.Worker = class {
  constructor() { setTimeout(() => this.onerror({message: ''}), 100); }
  postMessage() {}
  terminate() {}
};
"""


#: The browser gives no memory that threads could share.
NO_SHARED_MEMORY = """
Object.defineProperty(navigator, 'hardwareConcurrency', {get: () => 2});
const Given = WebAssembly.Memory;
WebAssembly.Memory = function (wanted) {
  if (wanted.shared) throw new RangeError('could not allocate memory');
  return new Given(wanted);
};
"""


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (NO_THREADS, "CPU thread: its script did not load"),
        (NO_SHARED_MEMORY, "CPU: the browser would not give 0.1 MiB of memory (131072 bytes)"),
    ],
    ids=["no threads", "no shared memory"],
)
def test_the_cpu_goes_on_alone_where_threads_cannot_be_had(
    *, open_page: OpenPage, url: str, models: Path, scan: Path, tmp_path: Path, fault: str, reason: str
) -> None:
    page = open_with_fault(open_page, url, (), fault, "?backend=cpu")

    run(page, scan, "done")

    said = page.get_by_test_id("diagnostics").text_content() or ""
    assert f"threads failed: {reason}" in said
    assert "  threads: 1\n" in said
    assert_same_labels(save(page, "native", tmp_path), predicted(models / "tissue", scan, tmp_path))


def test_a_lost_device_without_another_is_told_and_the_scan_stays_for_the_next_try(
    open_page: OpenPage, url: str, models: Path, scan: Path, tmp_path: Path
) -> None:
    page = open_with_fault(open_page, url, WEBGPU, WEBGPU_LOST, "?backend=webgpu")

    assert "the device was closed" in run(page, scan, "error")

    page.get_by_test_id("run").click()
    expect(page.get_by_test_id("status")).to_have_attribute("data-state", "done", timeout=PATIENCE_MS)
    assert_same_labels(save(page, "native", tmp_path), predicted(models / "tissue", scan, tmp_path))


def test_a_webgl2_device_without_room_for_float32_stores_float16_and_says_so(
    open_page: OpenPage, url: str, models: Path, scan: Path, tmp_path: Path
) -> None:
    page = open_with_fault(open_page, url, WEBGL2, WEBGL2_FULL)

    run(page, scan, "done")

    assert page.get_by_test_id("backend").get_attribute("data-backend") == "webgl2"
    assert "storage: float16" in (page.get_by_test_id("diagnostics").text_content() or "")
    # what float16 storage promises
    wanted = predicted(models / "tissue", scan, tmp_path)
    assert_same_labels(save(page, "native", tmp_path), wanted, agreement=0.999, smallest_dice=0.995)


def test_a_webgl2_device_that_draws_to_fewer_targets_than_it_announces_gets_no_more(
    open_page: OpenPage, url: str, models: Path, scan: Path, tmp_path: Path
) -> None:
    page = open_with_fault(open_page, url, WEBGL2, WEBGL2_NARROW)

    run(page, scan, "done")

    assert page.get_by_test_id("backend").get_attribute("data-backend") == "webgl2"
    assert_same_labels(save(page, "native", tmp_path), predicted(models / "tissue", scan, tmp_path))
