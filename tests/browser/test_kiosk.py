"""A machine in a public place: the second visitor finds nothing of the first."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page, Playwright, expect

from tests.helpers.browser.chromium import WEBGL2, OpenPage
from tests.helpers.browser.page_clock import PAGE_CLOCK, stop_clock_after
from tests.helpers.browser.serving import Served, build_site, serve
from tests.helpers.browser.visits import PATIENCE_MS, open_scan, read_labels, segment, write_models, write_scan
from tests.helpers.paths import REPO

KIOSK = REPO / "deploy" / "kiosk"

#: No other text in the browser's memory looks like this.
FIRST_VISITOR = "mrs-hypatia-of-alexandria"

#: So long that no machine takes it for one step of a test; the page's clock is moved.
IDLE_SECONDS = 600
WARNING_SECONDS = 15


@pytest.fixture
def models(tmp_path: Path) -> Path:
    build_site()
    return write_models(tmp_path / "models", "small")


#: The entries of every cache of the page.
ADDRESSES_IN_CACHES = """(async () => {
  const stored = [];
  for (const name of await caches.keys()) {
    for (const request of await (await caches.open(name)).keys()) stored.push(request.url);
  }
  return stored;
})()"""


def is_a_file_of(url: str, address: str) -> bool:
    """Whether the server at `url` hands out `address`; a scan or a result is nowhere on it."""
    if not address.startswith(f"{url}/"):
        return False
    try:
        with urllib.request.urlopen(address, timeout=60):
            return True
    except urllib.error.HTTPError:
        return False


def heap_text(page: Page) -> str:
    """Everything reachable in the page's JavaScript memory, strings included."""
    control: Any = page.context.new_cdp_session(page)
    chunks: list[str] = []
    control.on("HeapProfiler.addHeapSnapshotChunk", lambda event: chunks.append(event["chunk"]))
    control.send("HeapProfiler.collectGarbage")
    control.send("HeapProfiler.takeHeapSnapshot", {"reportProgress": False})
    control.detach()
    return "".join(chunks)


def test_an_idle_kiosk_forgets_its_visitor(open_page: OpenPage, served: Served, tmp_path: Path, models: Path) -> None:
    url = served("--models", str(models), "--kiosk", "--idle", str(IDLE_SECONDS))
    page = open_page("/?backend=cpu", flags=WEBGL2, url=url, script=PAGE_CLOCK)
    expect(page.get_by_test_id("full-screen")).to_be_visible(timeout=PATIENCE_MS)
    page.get_by_test_id("file").set_input_files(
        [write_scan(tmp_path / f"{name}.nii.gz") for name in (FIRST_VISITOR, f"{FIRST_VISITOR}_again")]
    )
    page.get_by_test_id("run-all").click()
    expect(page.get_by_test_id("queue")).to_have_attribute("data-state", "finished", timeout=PATIENCE_MS)
    expect(page.get_by_test_id("status")).to_have_attribute("data-state", "done", timeout=PATIENCE_MS)
    expect(page.get_by_test_id("save-native")).to_be_hidden()
    page.evaluate("localStorage.setItem('left', 'behind'); sessionStorage.setItem('left', 'behind')")
    page.evaluate("new Promise((done) => { indexedDB.open('left behind').onsuccess = done; }).then(() => 0)")
    assert FIRST_VISITOR in heap_text(page), "the search for traces would find nothing anyway"

    stop_clock_after(page, IDLE_SECONDS - WARNING_SECONDS)
    expect(page.get_by_test_id("kiosk-warning")).to_be_visible(timeout=PATIENCE_MS)
    page.get_by_role("button", name="I am still here").click()
    expect(page.get_by_test_id("kiosk-warning")).to_be_hidden()
    expect(page.get_by_test_id("status")).to_have_attribute("data-state", "done")

    # Nobody touches it any more: the next visitor stands before a new page.
    stop_clock_after(page, IDLE_SECONDS)
    expect(page.get_by_test_id("status")).to_have_attribute("data-state", "idle", timeout=PATIENCE_MS)
    expect(page.get_by_test_id("model")).to_be_enabled(timeout=PATIENCE_MS)
    assert page.evaluate("[localStorage.length, sessionStorage.length]") == [0, 0]
    assert page.evaluate("indexedDB.databases()") == []
    assert page.evaluate("history.length") <= 2
    assert page.get_by_test_id("file").evaluate("(input) => input.files.length") == 0
    expect(page.locator("body")).not_to_contain_text(FIRST_VISITOR)
    assert FIRST_VISITOR not in heap_text(page)
    kept = page.evaluate(ADDRESSES_IN_CACHES)
    assert f"{url}/index.html" in kept, "the site itself is kept for use without a network"
    assert [address for address in kept if not is_a_file_of(url, address)] == []


def test_start_over_wipes_at_once(open_page: OpenPage, served: Served, tmp_path: Path, models: Path) -> None:
    url = served("--models", str(models), "--kiosk")
    page = open_page("/?backend=cpu", flags=WEBGL2, url=url)
    open_scan(page, write_scan(tmp_path / f"{FIRST_VISITOR}.nii.gz"))
    expect(page.get_by_test_id("keep")).to_be_hidden()
    page.get_by_test_id("start-over").click()
    expect(page.get_by_test_id("status")).to_have_attribute("data-state", "idle", timeout=PATIENCE_MS)
    expect(page.locator("body")).not_to_contain_text(FIRST_VISITOR)


def test_a_kiosk_without_a_queue_holds_one_scan_at_a_time(
    open_page: OpenPage, served: Served, tmp_path: Path, models: Path
) -> None:
    url = served("--models", str(models), "--kiosk", "--queue", "off")
    page = open_page("/?backend=cpu", flags=WEBGL2, url=url)
    expect(page.get_by_test_id("full-screen")).to_be_visible(timeout=PATIENCE_MS)
    expect(page.get_by_text("Folder", exact=True)).to_be_hidden()
    page.get_by_test_id("file").set_input_files([write_scan(tmp_path / f"{name}.nii.gz") for name in "ab"])
    choices = page.get_by_test_id("series")
    expect(choices).to_have_count(2, timeout=PATIENCE_MS)
    expect(page.get_by_test_id("open-all")).to_have_count(0)
    choices.first.click()
    expect(page.locator("#scan-summary")).to_contain_text("a.nii.gz", timeout=PATIENCE_MS)
    expect(page.get_by_test_id("run-all")).to_be_hidden()
    expect(page.get_by_test_id("status")).to_have_attribute("data-state", "ready", timeout=PATIENCE_MS)

    open_scan(page, tmp_path / "b.nii.gz")
    expect(page.locator("#scan-summary")).to_contain_text("b.nii.gz", timeout=PATIENCE_MS)
    expect(page.get_by_test_id("studies").locator("tbody tr")).to_have_count(1)


def test_a_kiosk_takes_no_models_of_its_visitors(
    open_page: OpenPage, served: Served, tmp_path: Path, models: Path
) -> None:
    url = served("--models", str(models), "--kiosk")
    page = open_page("/?backend=cpu", flags=WEBGL2, url=url)
    expect(page.get_by_test_id("full-screen")).to_be_visible(timeout=PATIENCE_MS)
    own = models / "small"
    page.get_by_test_id("file").set_input_files([own / "model.json", own / "weights.safetensors"])
    expect(page.get_by_test_id("status")).to_contain_text("fixed list of models", timeout=PATIENCE_MS)
    assert page.get_by_test_id("model").locator("option").count() == 1


def test_saving_goes_to_the_folder_that_the_visitor_picks(
    open_page: OpenPage, served: Served, tmp_path: Path, models: Path
) -> None:
    """The picker itself is the browser's; here it answers with a private folder."""
    url = served("--models", str(models), "--kiosk", "--saving", "folder")
    page = open_page("/healthz", flags=WEBGL2, url=url, expected=("404 (Not Found)",))
    page.add_init_script("window.showDirectoryPicker = () => navigator.storage.getDirectory()")
    downloads: list[str] = []
    page.on("download", lambda download: downloads.append(download.suggested_filename))
    page.goto(f"{url}/?backend=cpu")
    expect(page.get_by_test_id("full-screen")).to_be_visible(timeout=PATIENCE_MS)
    segment(page, write_scan(tmp_path / "scan.nii.gz"))
    page.get_by_test_id("save-native").click()
    expect(page.get_by_test_id("status")).to_contain_text("Saved in the folder", timeout=PATIENCE_MS)
    (saved,) = page.evaluate(FILES_OF_FOLDER)
    content = page.evaluate(
        "(name) => navigator.storage.getDirectory().then((d) => d.getFileHandle(name)).then((h) => h.getFile())"
        ".then((f) => f.arrayBuffer()).then((b) => Array.from(new Uint8Array(b)))",
        saved["name"],
    )
    assert saved["name"].endswith(".nii.gz")
    assert read_labels(bytes(content)).shape == (40, 36, 32)
    page.get_by_test_id("save-native").click()
    numbered = saved["name"].replace(".nii.gz", " (2).nii.gz")
    expect(page.get_by_test_id("status")).to_contain_text(numbered, timeout=PATIENCE_MS)
    assert {file["name"] for file in page.evaluate(FILES_OF_FOLDER)} == {saved["name"], numbered}
    assert downloads == []


FILES_OF_FOLDER = """(async () => {
  const files = [];
  for await (const handle of (await navigator.storage.getDirectory()).values()) {
    if (handle.name.endsWith('.crswap')) continue; // still being written
    const { name, size } = await handle.getFile();
    files.push({ name, size });
  }
  return files;
})()"""


@pytest.fixture
def launched(tmp_path: Path, models: Path, playwright: Playwright) -> Iterator[tuple[Page, str, Path]]:
    """The shipped launcher with the shipped policy (for this server's port), in a separate view of the file system."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs root, to put the browser policy in place for this process alone")
    policies = tmp_path / "etc-chromium" / "policies" / "managed"
    policies.mkdir(parents=True)
    session = tmp_path / "session"
    session.mkdir()
    with serve("--models", str(models), "--kiosk", "--idle", "60") as url:
        policy = json.loads((KIOSK / "chromium-policy.json").read_text().replace("http://127.0.0.1:8000", url))
        del policy["DeveloperToolsAvailability"]  # it would hide the page from this test too
        (policies / "meshnet.json").write_text(json.dumps(policy, indent=2))
        inner = 'mkdir -p /etc/chromium && mount --bind "$0" /etc/chromium && exec "$@"'
        command = ["unshare", "--mount", "sh", "-c", inner, str(tmp_path / "etc-chromium")]
        command += [str(KIOSK / "meshnet-kiosk"), f"{url}/"]
        command += ["--headless=new", "--no-sandbox", "--remote-debugging-port=0", *WEBGL2]
        environment = {**os.environ, "XDG_RUNTIME_DIR": str(session), "HOME": str(session)}
        log = tmp_path / "browser.log"
        with (
            log.open("w") as stderr,
            subprocess.Popen(command, env=environment, stderr=stderr, start_new_session=True) as launcher,
        ):
            try:
                browser = playwright.chromium.connect_over_cdp(wait_for_page(log, url), timeout=PATIENCE_MS)
                # Remote control takes over downloads; the browser shall treat them as it does without.
                browser.new_browser_cdp_session().send("Browser.setDownloadBehavior", {"behavior": "default"})
                context = browser.contexts[0]
                page = context.pages[0] if context.pages else context.wait_for_event("page")
                kiosk, blocked = page.get_by_test_id("full-screen"), page.get_by_role("heading", name="is blocked")
                expect(kiosk.or_(blocked)).to_be_attached(timeout=PATIENCE_MS)
                if blocked.count():  # seen now and then: at its start Chromium knew the blocklist before the allowlist
                    page.goto(url)
                expect(kiosk).to_be_attached(timeout=PATIENCE_MS)
                yield page, url, session
                browser.new_browser_cdp_session().send("Browser.close")
                launcher.wait(timeout=180)
                assert list(session.glob("meshnet-kiosk*")) == [], "the browser's profile is still there"
            finally:
                launcher.kill()


def wait_for_page(log: Path, url: str) -> str:
    """Address for remote control of the browser that writes this log, once it shows the page."""
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while time.monotonic() < deadline:
        time.sleep(0.2)
        if listening := re.search(r"listening on ws://([^/]+)/", log.read_text()):
            with urllib.request.urlopen(f"http://{listening[1]}/json/list", timeout=20) as answer:
                if any(tab["type"] == "page" and tab["url"].startswith(url) for tab in json.load(answer)):
                    return f"http://{listening[1]}"
    pytest.fail(f"the browser did not show the page:\n{log.read_text()[-2000:]}")


def test_the_launchers_browser_keeps_no_downloads_and_goes_nowhere_else(launched: tuple[Page, str, Path]) -> None:
    page, url, session = launched
    page.evaluate(
        "() => { const a = document.createElement('a'); a.download = 'mask.nii.gz';"
        " a.href = URL.createObjectURL(new Blob(['mask'])); a.click(); }"
    )
    page.wait_for_timeout(3000)  # a download would lie there by now
    assert list(session.rglob("mask*")) == []
    for elsewhere in ("http://127.0.0.1:9/", "chrome://downloads", "chrome://history", "file:///etc/passwd"):
        tab = page.context.new_page()
        with pytest.raises(PlaywrightError, match=r"ERR_BLOCKED_BY_ADMINISTRATOR|ERR_ABORTED|ERR_INVALID_URL"):
            tab.goto(elsewhere)
        tab.close()
    policy = json.loads((KIOSK / "chromium-policy.json").read_text())
    assert policy["SavingBrowserHistoryDisabled"]
    page.goto(url)
    expect(page.get_by_test_id("status")).to_have_attribute("data-state", "idle", timeout=PATIENCE_MS)
