"""Any model on any backend through the self-test page's `window.meshnetEngines`."""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page, Route

from tests.helpers.browser.files import file_input
from tests.helpers.engine_cases import BuiltCase

RUN = """async ({backend, trial, weights, files}) => {
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const text = (array) => {
    const view = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    let out = '';
    for (let i = 0; i < view.length; i += 32768) out += String.fromCharCode(...view.subarray(i, i + 32768));
    return btoa(out);
  };
  const report = await window.meshnetEngines.run(backend, {
    ...trial, weights: bytes(weights), input: new Float32Array(await files.files[0].arrayBuffer()),
  });
  return {
    ...report,
    labels: report.labels && text(report.labels),
    probabilities: report.probabilities && text(report.probabilities),
    outputs: report.outputs.map(text),
  };
}"""


def reload_without_isolation(page: Page) -> None:
    """The page as a server without the isolation headers would give it: no shared memory, one thread."""

    def without_isolation(route: Route) -> None:
        response = route.fetch()
        headers = {name: value for name, value in response.headers.items() if not name.startswith("cross-origin-")}
        route.fulfill(response=response, headers=headers)

    page.route("**/selftest.html", without_isolation)
    page.reload(wait_until="load")
    page.unroute("**/selftest.html")


def run_in_page(page: Page, backend: str, built: BuiltCase, **options: Any) -> dict[str, Any]:
    """The report of `meshnetEngines.run`, arrays as NumPy [z, y, x] or [channel, z, y, x]."""
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "input.f32"
        image.write_bytes(built.image.astype("<f4").tobytes())
        report: dict[str, Any] = page.evaluate(
            RUN,
            {
                "backend": backend,
                "trial": {"modelJson": built.model_json, "dims": built.dims, **options},
                "weights": base64.b64encode(built.weights).decode(),
                "files": file_input(page, [image]),
            },
        )
    shape = built.dims[::-1]
    for key, of in (("labels", shape), ("probabilities", (-1, *shape))):
        if report[key] is not None:
            report[key] = np.frombuffer(base64.b64decode(report[key]), np.uint8).reshape(of)
    report["outputs"] = [np.frombuffer(base64.b64decode(text), "<f4").reshape(-1, *shape) for text in report["outputs"]]
    return report
