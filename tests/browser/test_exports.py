"""Exported files in a real browser: TF.js folders in TF.js itself, ONNX files in onnxruntime-web.

A page of this test's own, not the site's: the site does not ship onnxruntime-web or TF.js's loader.
"""

from __future__ import annotations

import base64
import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from playwright.sync_api import Page

from export.export_model import export_model
from export.importers.tfjs import NORM_EPS, NORM_SUFFIX
from export.published import import_published
from export.verify import TOLERANCE, difference, reference_logits
from meshnet.model.checkpoint import Weights, load_checkpoint
from meshnet.model.graph import stored_model
from meshnet.model.onnx import to_onnx
from meshnet.model.spec import ModelSpec
from tests.helpers.browser.chromium import NO_GPU, Browsers
from tests.helpers.export_models import KINDS, small_model
from tests.helpers.paths import REPO

PEERS = REPO / "bench" / "node_modules"
SHAPE = (24, 20, 28)

#: Kinds with a TF.js form, and the published models that the round trip is about.
SMALL = ("batch norm, relu", "elu, two classes", "group norm, gelu", "no classifier bias", "104 classes")
PUBLISHED = ("brainchop-t2-lesion", "brainchop-mindgrab")


class _Handler(http.server.SimpleHTTPRequestHandler):
    """`/peers/…` from bench/node_modules, `/` a blank page, the rest from the test's folder."""

    extensions_map = {  # noqa: RUF012 (as in the base class)
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def translate_path(self, path: str) -> str:
        if path.startswith("/peers/"):
            return str(PEERS / path.removeprefix("/peers/").partition("?")[0])
        return super().translate_path(path)

    def do_GET(self) -> None:
        if self.path != "/":
            super().do_GET()
            return
        page = b"<!doctype html><title>exports</title><link rel=icon href='data:,'>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the page can fetch, the input volume among them."""
    path = tmp_path_factory.mktemp("exports")
    image().tofile(path / "image.bin")
    return path


@pytest.fixture(scope="module")
def page(folder: Path, browsers: Browsers) -> Iterator[Page]:
    if not PEERS.is_dir():
        pytest.fail("bench/node_modules is not there; make test installs it (npm ci in bench/)")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    context = browsers.launch(NO_GPU).new_context()
    try:
        opened = context.new_page()
        opened.set_default_timeout(120_000)
        opened.goto(f"http://127.0.0.1:{server.server_port}/")
        yield opened
    finally:
        context.close()
        server.shutdown()
        thread.join()
        server.server_close()


def image() -> np.ndarray:
    return np.random.default_rng(7).random((1, 1, *SHAPE)).astype(np.float32)


def model(name: str, shared_data: Path | None, folder: Path) -> tuple[ModelSpec, Weights]:
    if name in KINDS:
        return small_model(**KINDS[name])
    assert shared_data is not None
    models = folder / "models"
    if not (models / name).exists():
        import_published(shared_data / "models", models)
    return load_checkpoint(models / name)


def floats(encoded: str, shape: tuple[int, ...]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(encoded), np.float32).reshape(shape)


#: Runs a layers model one layer at a time, as brainchop does; its norm too, where the layer's name says so.
TFJS = """async ([url, shape, suffix, eps]) => {
  if (!globalThis.tf) await new Promise((done, failed) => {
    const script = document.createElement('script');
    script.src = '/peers/@tensorflow/tfjs/dist/tf.min.js';
    script.onload = done;
    script.onerror = failed;
    document.head.append(script);
  });
  await tf.setBackend('cpu');
  const data = new Float32Array(await (await fetch('/image.bin')).arrayBuffer());
  const model = await tf.loadLayersModel(url);
  let x = tf.tensor(data, [1, ...shape, 1]);
  for (const layer of model.layers.slice(1)) {
    const y = tf.tidy(() => {
      const out = layer.apply(x);
      if (!layer.name.endsWith(suffix)) return out;
      const { mean, variance } = tf.moments(out, [1, 2, 3], true);
      return out.sub(mean).mul(variance.add(eps).rsqrt());
    });
    x.dispose();
    x = y;
  }
  const bytes = new Uint8Array((await x.data()).buffer);
  x.dispose();
  model.dispose();
  let text = '';
  for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
  return btoa(text);
}"""

ONNX = """async ([url, shape, withLogits]) => {
  const ort = await import('/peers/onnxruntime-web/dist/ort.wasm.min.mjs');
  ort.env.wasm.numThreads = 1;
  const data = new Float32Array(await (await fetch('/image.bin')).arrayBuffer());
  const session = await ort.InferenceSession.create(url, { executionProviders: ['wasm'] });
  const outputs = await session.run({ image: new ort.Tensor('float32', data, [1, 1, ...shape]) });
  const encode = (array) => {
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    let text = '';
    for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
    return btoa(text);
  };
  const found = {
    inputs: session.inputNames, outputs: session.outputNames,
    dims: outputs.labels.dims, labels: encode(outputs.labels.data),
    logits: withLogits ? encode(outputs.logits.data) : null,
  };
  await session.release();
  return found;
}"""


def check(name: str, spec: ModelSpec, weights: Weights, logits: np.ndarray, labels: np.ndarray) -> None:
    result = difference(name, reference_logits(spec, weights, image()), logits, labels)
    assert result.worst_relative <= TOLERANCE, result
    assert result.decided_agreement == 1, result
    assert result.label_agreement >= 0.9999, result


@pytest.mark.parametrize("name", [*SMALL, *PUBLISHED])
def test_a_tfjs_folder_gives_pytorchs_labels_layer_by_layer(
    name: str, page: Page, folder: Path, request: pytest.FixtureRequest
) -> None:
    shared = request.getfixturevalue("shared_data") if name in PUBLISHED else None
    spec, weights = model(name, shared, folder)
    target = folder / f"tfjs-{name}".replace(" ", "-").replace(",", "")
    export_model(target, spec, weights, "tfjs")
    encoded: str = page.evaluate(TFJS, [f"/{target.name}/model.json", list(SHAPE), NORM_SUFFIX, NORM_EPS])
    logits = floats(encoded, (1, *SHAPE, spec.architecture.classes)).transpose(0, 4, 1, 2, 3)
    check(name, spec, weights, logits, logits.argmax(axis=1).astype(np.uint8))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("name", [*SMALL, "affine group norm", *PUBLISHED])
def test_an_onnx_file_gives_pytorchs_labels_in_onnxruntime_web(
    name: str, dtype: Any, page: Page, folder: Path, request: pytest.FixtureRequest
) -> None:
    shared = request.getfixturevalue("shared_data") if name in PUBLISHED else None
    spec, weights = model(name, shared, folder)
    found = {}
    for logits in (False, True):
        # A separate name: the page's cache goes by name.
        file = f"{name}-{dtype}-{logits}.onnx".replace(" ", "-").replace(",", "")
        onnx.save(to_onnx(spec, weights, logits=logits, dtype=dtype), folder / file)
        found[logits] = page.evaluate(ONNX, [f"/{file}", list(SHAPE), logits])
    assert found[False]["inputs"] == ["image"]
    assert found[False]["outputs"] == ["labels"]
    assert found[False]["dims"] == [1, *SHAPE]
    labels = np.frombuffer(base64.b64decode(found[False]["labels"]), np.uint8).reshape(1, *SHAPE)
    logits = floats(found[True]["logits"], (1, spec.architecture.classes, *SHAPE))
    if dtype == "float16":
        spec, weights = stored_model(spec, weights, dtype)
    check(name, spec, weights, logits, labels)
