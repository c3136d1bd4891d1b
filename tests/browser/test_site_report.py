"""Reports of the page: the numbers of `meshnet-predict --report`, in a file that stands alone."""

from __future__ import annotations

import base64
import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from meshnet.infer import predict
from meshnet.infer.sidecar import Sidecar, read_sidecar
from tests.helpers.browser.chromium import WEBGL2, OpenPage
from tests.helpers.browser.serving import Served
from tests.helpers.browser.site import drop, segment, wait_for
from tests.helpers.browser.visits import PATIENCE_MS
from tests.helpers.joint_model import STROKE, save_joint_model, write_joint_scan

#: A second lesion in the brain, on the other side.
SMALL = ((31.0, 22.0, 24.0), 1.5)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_joint_model(folder / "joint")
    return folder


def segmented(page: Page, *scans: Path) -> None:
    drop(page, *scans)
    wait_for(page, "ready")
    segment(page, "joint")


def press(page: Page, test_id: str) -> tuple[str, bytes]:
    """Name and content of what a button downloads."""
    with page.expect_download(timeout=PATIENCE_MS) as download:
        page.get_by_test_id(test_id).click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def facts_in(html: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="facts">(.*)</script>', html)
    assert found is not None
    facts: dict[str, Any] = json.loads(found[1])
    return facts


def pictures_in(html: str) -> list[np.ndarray]:
    return [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB"))
        for png in re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    ]


def test_the_report_has_the_numbers_and_pictures_of_meshnet_predict_and_the_mask_its_json(
    open_page: OpenPage, url: str, models: Path, tmp_path: Path
) -> None:
    scan = tmp_path / "scan.nii.gz"
    write_joint_scan(scan, STROKE, SMALL)
    page = open_page("/?backend=cpu", flags=WEBGL2, url=url)
    segmented(page, scan)
    name, content = press(page, "save-report")
    assert name == "scan_joint_report.html"
    html = content.decode()

    words = ["-o", str(tmp_path / "out"), "--report", str(tmp_path / "report"), "--sidecar", "-q"]
    assert predict.main([str(models / "joint"), str(scan), *words]) == 0
    theirs = (tmp_path / "report" / "scan_joint.html").read_text()
    ours, python = facts_in(html), facts_in(theirs)
    made, made_by_python = ours.pop("made"), python.pop("made")
    assert len(ours["lesions"]) == 2
    assert ours["histogram"] is not None
    assert json.loads(json.dumps(ours), parse_float=rounded) == json.loads(json.dumps(python), parse_float=rounded)
    unlike = ("software", "created", "engine")
    assert {k: v for k, v in made.items() if k not in unlike} == {
        k: v
        for k, v in made_by_python.items()
        if k not in (*unlike, "Description", "Sources", "SpatialReference", "Type")
    }
    for one, other in zip(pictures_in(html), pictures_in(theirs), strict=True):
        assert np.array_equal(one, other)

    # The file alone, opened from a disk: every picture is there and nothing is asked for.
    (tmp_path / name).write_bytes(content)
    requests: list[str] = []
    alone = page.context.new_page()
    alone.on("request", lambda request: requests.append(request.url))
    alone.set_content(html, wait_until="load")
    assert alone.locator("img").evaluate_all("(images) => images.every((one) => one.complete && one.naturalWidth > 0)")
    assert [address for address in requests if not address.startswith("data:")] == []
    expect(alone.get_by_role("heading", name="Lesion 2")).to_be_visible()

    # The JSON beside a mask is asked for.
    page.get_by_label("Save labels with a JSON file").check()
    with (
        page.expect_download(timeout=PATIENCE_MS) as first,
        page.expect_download(lambda one: one.suggested_filename.endswith(".json"), timeout=PATIENCE_MS) as second,
    ):
        page.get_by_test_id("save-native").click()
    assert first.value.suggested_filename == "scan_joint.nii.gz"
    assert second.value.suggested_filename == "scan_joint.json"
    expect(page.get_by_test_id("status")).to_contain_text("scan_joint.nii.gz and scan_joint.json")
    saved = Sidecar.model_validate_json(Path(second.value.path()).read_text())
    written = read_sidecar(tmp_path / "out" / "scan_joint.json")
    assert written is not None
    differs = {"software", "created", "engine", "command"}
    assert saved.model_dump(exclude=differs) == written.model_dump(exclude=differs)


def test_all_reports_are_in_one_zip_with_a_page_that_can_be_sorted(
    open_page: OpenPage, url: str, tmp_path: Path
) -> None:
    write_joint_scan(tmp_path / "a-small.nii.gz", SMALL)
    write_joint_scan(tmp_path / "c-large.nii.gz", STROKE)
    (tmp_path / "b-broken.nii.gz").write_bytes((tmp_path / "c-large.nii.gz").read_bytes()[:2000])
    page = open_page("/?backend=cpu", flags=WEBGL2, url=url)
    drop(page, *(tmp_path / f"{name}.nii.gz" for name in ("a-small", "b-broken", "c-large")))
    wait_for(page, "ready")
    page.get_by_test_id("run-all").click()
    expect(page.get_by_test_id("queue")).to_have_attribute("data-state", "finished", timeout=PATIENCE_MS)
    name, content = press(page, "save-reports")
    assert name == "meshnet-reports.zip"
    zipped = zipfile.ZipFile(io.BytesIO(content))
    assert sorted(zipped.namelist()) == [
        *("a-small_joint_report.html", "c-large_joint_report.html", "index.html", "report.csv"),
    ]
    assert 'href="index.html"' in zipped.read("a-small_joint_report.html").decode()

    index = page.context.new_page()
    index.set_content(zipped.read("index.html").decode())
    rows = index.locator("tbody tr th")
    assert [text.split(".")[0] for text in rows.all_inner_texts()] == ["a-small", "b-broken", "c-large"]
    heading = index.get_by_role("button", name="lesion, mL")
    heading.click()
    assert [text.split(".")[0] for text in rows.all_inner_texts()] == ["a-small", "c-large", "b-broken"]
    heading.click()
    assert [text.split(".")[0] for text in rows.all_inner_texts()] == ["c-large", "a-small", "b-broken"]
    expect(index.locator("th[aria-sort='descending']")).to_have_text("lesion, mL")
    expect(index.locator(".failed")).to_contain_text(re.compile("^the gzip stream ends early"))
    assert index.locator("svg rect").count() == 2


def test_a_kiosk_may_switch_reports_off(open_page: OpenPage, served: Served, models: Path, tmp_path: Path) -> None:
    write_joint_scan(tmp_path / "scan.nii.gz", STROKE)
    url = served("--models", str(models), "--kiosk", "--saving", "folder", "--report", "off")
    page = open_page("/?backend=cpu", flags=WEBGL2, url=url)
    segmented(page, tmp_path / "scan.nii.gz")
    expect(page.get_by_test_id("save-native")).to_be_visible()
    expect(page.get_by_test_id("save-report")).to_be_hidden()


def rounded(text: str) -> float:
    return round(float(text), 9)
