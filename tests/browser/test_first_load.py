"""The first load on a slow line: what is fetched before the page is usable, in which order, and how long it takes.

Chromium throttles the line to 4G (1.6 Mbit/s, 150 ms, the "slow 4G" of Lighthouse). The browser's own trace counts the
CPU of the main thread in seconds of the thread, not of the clock. Four times as much is added to the time of the line,
so that a busy machine changes the result little.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.helpers.browser.chromium import WEBGL2, Browsers
from tests.helpers.browser.serving import DIST, build_site, serve
from tests.helpers.browser.site import write_model
from tests.helpers.browser.visits import PATIENCE_MS

#: The line: delay of a request, and bits per second.
LATENCY_S, BITS_PER_S = 0.15, 1.6e6
#: How many times as slow as here the visitor's CPU is.
CPU_SLOWDOWN = 4
#: What the trace has to hold: the mark, the first paint, and the main thread's tasks with their CPU time.
TRACED = ["blink.user_timing", "loading", "devtools.timeline", "toplevel", "disabled-by-default-devtools.timeline"]
#: Wanted: bytes of JavaScript (gzip) before the viewer, seconds to the first paint and until the page is usable.
SCRIPT_BYTES, PAINT_S, USABLE_S = 180_000, 1.0, 2.5


@dataclass(frozen=True)
class Load:
    """One load of the page. requests: paths in order; cpu_s: of the main thread, up to the mark."""

    requests: list[str]
    usable_after: int  #: requests that had been sent by the mark
    paint_cpu_s: float
    usable_cpu_s: float


@pytest.fixture(scope="module")
def load(browsers: Browsers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Load]:
    models = tmp_path_factory.mktemp("models")
    write_model(models, "default")
    write_model(models, "other")
    build_site()
    with serve("--models", str(models)) as url:
        yield _load(browsers, url)


def _load(browsers: Browsers, url: str) -> Load:
    browser = browsers.launch(WEBGL2)
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_MS)
    requests: list[str] = []
    context.on("request", lambda request: requests.append(request.url.removeprefix(url).split("?")[0]))
    page = context.new_page()
    session = context.new_cdp_session(page)
    line = {"latency": LATENCY_S * 1000, "downloadThroughput": BITS_PER_S / 8, "uploadThroughput": BITS_PER_S / 8}
    session.send("Network.enable")
    session.send("Network.emulateNetworkConditions", {"offline": False, **line})
    browser.start_tracing(page=page, categories=TRACED)
    page.goto(url, wait_until="commit")
    page.wait_for_function("() => performance.getEntriesByName('usable').length === 1")
    page.wait_for_function("() => performance.getEntriesByName('first-contentful-paint').length === 1")
    usable_after = len(requests)
    trace = json.loads(browser.stop_tracing())["traceEvents"]
    weights = "({ name }) => name.includes('/models/default/weights')"
    page.wait_for_function(f"() => performance.getEntriesByType('resource').some({weights})")
    asked = list(requests)
    context.close()
    return Load(asked, usable_after, *_thread_seconds(trace))


def _thread_seconds(trace: list[dict[str, Any]]) -> tuple[float, float]:
    """Seconds of the main thread from the navigation to the first contentful paint and to the mark `usable`."""
    usable = next(event for event in trace if event["name"] == "usable" and "tts" in event)
    thread = (usable["pid"], usable["tid"])
    busy = [
        (event["ts"], event["tdur"] / 1e6)
        for event in trace
        if (event["pid"], event["tid"]) == thread and event["name"] == "RunTask" and "tdur" in event
    ]
    assert sum(seconds for _, seconds in busy) > 0.01, "the trace has no tasks of the main thread"
    paint = next(event for event in trace if event["name"] == "firstContentfulPaint" and event["pid"] == thread[0])
    paint_s, usable_s = (sum(s for start, s in busy if start <= event["ts"]) for event in (paint, usable))
    return paint_s, usable_s


def _coded_bytes(path: str) -> int:
    """Bytes of a built file as gzip."""
    return len(gzip.compress((DIST / path.lstrip("/")).read_bytes(), 9))


def _before_the_viewer(load: Load) -> list[str]:
    viewer = next(n for n, path in enumerate(load.requests) if "/viewer-" in path)
    return load.requests[:viewer]


def test_the_page_is_usable_with_180_kb_of_script_before_the_viewer_is_asked_for(load: Load) -> None:
    before = _before_the_viewer(load)
    assert load.usable_after <= len(before) + 1, "the viewer was fetched before the page was usable"
    scripts = [path for path in before if path.endswith(".js")]
    assert any("/worker-" in path for path in scripts)
    assert sum(map(_coded_bytes, scripts)) <= SCRIPT_BYTES


def test_weights_are_fetched_while_the_visitor_chooses_a_scan_before_the_files_for_offline_use(load: Load) -> None:
    weights = next(
        n for n, path in enumerate(load.requests) if path.startswith("/models/default/") and "weights" in path
    )
    assert weights >= load.usable_after - 1
    assert not any(path.startswith("/models/other/") for path in load.requests[:weights])


def test_the_first_paint_comes_within_1_s_and_the_page_is_usable_within_2_5_s_on_4g(load: Load) -> None:
    page_files = ["/index.html"]
    styles = [path for path in load.requests if path.endswith(".css")]
    scripts = [path for path in _before_the_viewer(load) if path.endswith(".js")]
    # Connection, page, then the style sheet beside the scripts, which the paint does not wait for.
    paint = 3 * LATENCY_S + _line_s([*page_files, *styles]) + CPU_SLOWDOWN * load.paint_cpu_s
    # Connection, page, scripts with the list of models beside them, the worker.
    usable = 4 * LATENCY_S + _line_s([*page_files, *styles, *scripts]) + CPU_SLOWDOWN * load.usable_cpu_s
    print(f"first paint {paint:.2f} s, usable {usable:.2f} s")
    assert paint <= PAINT_S
    assert usable <= USABLE_S


def _line_s(paths: list[str]) -> float:
    return sum(8 * _coded_bytes(path) for path in paths) / BITS_PER_S
