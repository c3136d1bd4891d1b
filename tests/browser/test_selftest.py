"""/selftest.html as a visitor uses it: press Run, wait, copy the report."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from playwright.sync_api import Page

from tests.helpers.browser.chromium import NO_GPU, WEBGL2, WEBGPU, OpenPage
from tests.helpers.browser.engine_page import reload_without_isolation

GOLDEN = ("elu, fused classifier", "gelu after instance norm")


def finished(page: Page, engines: Sequence[str], sizes: Sequence[int] = (32,)) -> str:
    """Presses Run for these engines; the report once the page says it is done.

    sizes: edges of the timed cubes. All engines on all sizes would take minutes in software.
    """
    page.evaluate(
        "([names, sizes]) => { Object.assign(window.meshnetEngines, { list: () => Promise.resolve(names), sizes }); }",
        [list(engines), list(sizes)],
    )
    page.get_by_test_id("run").click()
    status = page.get_by_test_id("status")
    page.wait_for_function(
        "() => ['done', 'error'].includes(document.querySelector('[data-testid=status]').dataset.state)",
        timeout=240_000,
    )
    report = page.get_by_test_id("report").inner_text()
    assert status.get_attribute("data-state") == "done", report
    return report


def section(report: str, engine: str) -> str:
    """The lines of one engine."""
    found = re.search(rf"^{engine}: (.*\n(?:  .*\n)*)", report, re.MULTILINE)
    assert found is not None, report
    return found[1]


@pytest.mark.parametrize(
    ("flags", "engine"),
    [(WEBGPU, "webgpu"), (WEBGL2, "webgl2"), (NO_GPU, "cpu"), (WEBGL2, "tfjs"), (NO_GPU, "tfjs")],
    ids=["webgpu", "webgl2", "cpu", "tfjs", "tfjs without WebGL2"],
)
def test_the_report_tells_results_and_timing_of_an_engine(
    open_page: OpenPage, flags: Sequence[str], engine: str
) -> None:
    page = open_page("/selftest.html", flags=flags)
    sizes = page.evaluate("window.meshnetEngines.sizes")
    assert sizes == [32, 64, 128, 256]
    report = finished(page, [engine], sizes if engine == "cpu" else sizes[:1])

    assert "Everything that can run here is right." in report
    assert re.search(r"^browser: Mozilla/5\.0 .*Chrome/", report, re.MULTILINE)
    assert re.search(r"^date: \d{4}-\d\d-\d\d, build: selftest-.+\.js$", report, re.MULTILINE)
    assert "cross-origin isolated: yes" in report
    lines = section(report, engine)
    for name in GOLDEN:
        assert f"  {name}: right\n" in lines
    assert ("  MeshNet-5 on the middle of 256³: as on the CPU\n" in lines) == (engine != "cpu")
    assert re.search(r"  MeshNet-5 on 32³: \d+ ms, [\d.]+ GFLOP/s\n", lines)


def test_the_report_says_why_an_engine_is_missing(open_page: OpenPage) -> None:
    page = open_page("/selftest.html", flags=NO_GPU)
    assert page.evaluate("window.meshnetEngines.list()") == ["webgpu", "webgl2", "cpu", "tfjs"]

    report = finished(page, ["webgpu"])

    assert re.match(r"not available\. \S", section(report, "webgpu"))


def test_the_report_can_be_copied_and_is_selected_where_the_clipboard_is_closed(open_page: OpenPage) -> None:
    page = open_page("/selftest.html", flags=NO_GPU)
    page.evaluate("window.meshnetEngines.list = () => Promise.resolve([])")  # what is copied is the matter here
    page.get_by_test_id("run").click()
    page.evaluate("""() => {
      window.copied = [];
      const value = { writeText: async (text) => { window.copied.push(text); } };
      Object.defineProperty(navigator, 'clipboard', { configurable: true, value });
    }""")
    report = page.get_by_test_id("report").text_content()
    assert report is not None

    page.get_by_test_id("copy").click()
    page.get_by_text("Copied.", exact=True).wait_for()
    assert page.evaluate("window.copied") == [report]

    page.evaluate("Object.defineProperty(navigator, 'clipboard', { configurable: true, value: undefined })")
    page.get_by_test_id("copy").click()
    page.get_by_text("Selected: copy it").wait_for()
    assert page.evaluate("getSelection().toString()").strip() == report.strip()


def test_without_isolation_the_report_says_so_and_names_one_thread(open_page: OpenPage) -> None:
    page = open_page("/selftest.html", flags=NO_GPU)
    reload_without_isolation(page)

    report = finished(page, ["cpu"])

    assert "cross-origin isolated: no" in report
    assert section(report, "cpu").startswith("1 thread,")
