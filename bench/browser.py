"""Visits in Chromium. Each visit starts a new browser, so that its memory is that of one runtime."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page, sync_playwright

from bench.deno import lavapipe_driver
from bench.estimate import prefix_share
from bench.inputs import onnx_file, tfjs_folder, volume_files, web_bundle
from bench.memory import sampled
from bench.runtimes import Runtime
from bench.server import BENCH, Server
from bench.visit import Job, Setting, Visit, visit_from_report
from export.importers.tfjs import NORM_EPS, NORM_SUFFIX

#: Sends the labels by HTTP, because they exceed the browser's debugging protocol.
_SEND_LABELS = """async () => {
  if (window.benchLabels !== null) await fetch('/labels', { method: 'POST', body: window.benchLabels });
}"""

CHROMIUM = Path(os.environ.get("MESHNET_CHROMIUM", "/usr/bin/chromium"))


def visit_browser(job: Job, setting: Setting, server: Server) -> Visit:
    """Run one visit. A failing browser gives a Visit with its error, never an exception."""
    runtime = job.runtime
    environment: dict[str, str | float | bool] = dict(os.environ)
    if runtime.lavapipe:
        driver = lavapipe_driver()
        if driver is None:
            return Visit(error="Mesa's Vulkan driver is not installed (mesa-vulkan-drivers)")
        environment["VK_ICD_FILENAMES"] = driver
    server.labels = None
    script, path, arguments = _instructions(job, setting, server)
    try:
        with sync_playwright() as playwright:
            with sampled(os.getpid(), "chrom") as peak:
                browser = playwright.chromium.launch(
                    executable_path=CHROMIUM,
                    args=["--no-sandbox", "--headless=new", *runtime.flags],
                    env=environment,
                )
                page = browser.new_page()
                report = _run(page, server.url + path, script, arguments)
            # Not sampled: under Playwright the browser holds several copies of a request body.
            if report.get("error") is None:
                page.evaluate(_SEND_LABELS)
            browser.close()
    except PlaywrightError as error:
        report = {"error": f"the browser stopped: {error.message.splitlines()[0]}"}
    report["peakBytes"] = peak.bytes
    labels = None if server.labels is None else np.frombuffer(server.labels, np.uint8)
    if labels is not None:
        cube = labels.reshape(job.size, job.size, job.size)
        labels = cube.transpose(2, 1, 0) if runtime.host == "site" else cube
    return visit_from_report(report, job, labels)


def _run(page: Page, url: str, script: str, arguments: dict[str, Any]) -> dict[str, Any]:
    crashed: list[str] = []
    page.on("crash", lambda _: crashed.append("the page crashed (out of memory?)"))
    page.goto(url, wait_until="load")
    try:
        report: dict[str, Any] = page.evaluate(script, arguments)
    except PlaywrightError:
        if crashed:
            return {"error": crashed[0]}
        raise
    return report


def _instructions(job: Job, setting: Setting, server: Server) -> tuple[str, str, dict[str, Any]]:
    """The script to evaluate, the path of its page, and its arguments."""
    runtime, base = job.runtime, "/alone" if job.runtime.one_thread else ""
    ijk, zyx = volume_files(job.size, setting.work)

    def url(path: Path) -> str:
        return f"{server.url}{base}/data/{path.relative_to(setting.work)}"

    common = {
        "size": job.size,
        "capMs": None if job.cap_s is None else job.cap_s * 1e3,
        "hardMs": min(job.hard_s * 1e3, 2**31 - 1),
        "repeat": {"atMost": setting.runs_per_visit, "withinMs": setting.warm_within_s * 1e3},
    }
    arguments: dict[str, Any]
    if runtime.host == "site":
        engine, script, path = runtime.engine, "ours.js", f"{base}/site/selftest.html"
        arguments = {**common, "engine": engine, "folder": url(web_bundle(job.part)), "volume": url(zyx)}
    else:
        library = runtime.engine.split(":")[0]
        model = tfjs_folder(job.part, job.size) if library == "tfjs" else onnx_file(job.part)
        script, path = "peer.js", f"{base}/"
        arguments = {
            **common,
            "engine": runtime.engine,
            "base": server.url + base,
            "model": url(model),
            "volume": url(ijk),
            "threads": 1 if runtime.one_thread else setting.threads,
            "shares": _shares(job),
            "normSuffix": NORM_SUFFIX,
            "normEps": NORM_EPS,
        }
    return (BENCH / "page" / script).read_text(encoding="utf-8"), path, arguments


def _shares(job: Job) -> Sequence[float]:
    """Share of the multiply-adds done after each layer."""
    a = job.part.architecture
    classifier = a.channels * a.classes / job.part.macs(1)
    return [prefix_share(a, k + 1) - classifier for k in range(len(a.dilations))]


def missing(runtime: Runtime, setting: Setting) -> str | None:
    """Why a browser runtime can't be measured on this machine; None if it can."""
    if not CHROMIUM.exists():
        return f"{CHROMIUM} is missing; install Debian's chromium or set MESHNET_CHROMIUM"
    if runtime.host == "site" and not (setting.site / "selftest.html").exists():
        return f"{setting.site} is not a built site; run `make bench`, which builds it"
    if runtime.host == "peer" and not (BENCH / "node_modules").is_dir():
        return "bench/node_modules is missing; run `make bench`, which installs it"
    return None
