"""One job with every feature, wherever the page runs: threshold, comparison, edit, mesh and report of one scan."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from playwright.sync_api import Page, expect
from scipy import ndimage

from export.published import import_published
from meshnet.infer import predict
from meshnet.score.compare import COLUMNS, compare
from tests.helpers.bright_model import write_bright_model
from tests.helpers.browser.chromium import WEBGL2, WEBGPU, OpenPage
from tests.helpers.browser.serving import Served, serve
from tests.helpers.browser.site import assert_same_labels, at_size, drop, segment, wait_for, wait_until_listed
from tests.helpers.browser.visits import PATIENCE_MS, wait_for_offline
from tests.helpers.scan_files import affine_of
from tests.helpers.scan_files import write_scan as write_nifti
from tests.helpers.stl import assert_watertight, read_stl, volume_and_centre

#: Oblique, flipped, anisotropic.
AFFINE = affine_of(axes="LAS", rotation_deg=(12, -7, 31), voxel_size_mm=(4.1, 4.4, 5.3))


@dataclass(frozen=True)
class Job:
    """A model folder, the index of its lesion label, and a scan."""

    model: Path
    lesion: int
    scan: Path


@dataclass(frozen=True)
class Setting:
    """Where the page runs. is_listed: the server has the model; otherwise the visitor drops it."""

    flags: Sequence[str] = WEBGL2
    backend: str = "cpu"
    server: tuple[str, ...] = ()
    is_listed: bool = True
    is_offline: bool = False


SETTINGS = {
    "WebGPU in software": Setting((*WEBGPU, "--enable-unsafe-swiftshader"), "webgpu"),
    "WebGL2 in software": Setting(backend="webgl2"),
    "a dropped model": Setting(is_listed=False),
    "no network": Setting(is_offline=True),
    "a kiosk": Setting(server=("--kiosk", "--saving", "folder")),
}


def write_head(path: Path) -> Path:
    """Two bright balls in a darker head."""
    voxels = np.moveaxis(np.indices((41, 37, 29)), 0, -1)

    def ball(centre: tuple[int, int, int], radius_mm: float) -> Any:
        offset_mm = nib.affines.apply_affine(AFFINE, voxels) - nib.affines.apply_affine(AFFINE, centre)
        return np.linalg.norm(offset_mm, axis=-1) < radius_mm

    data = np.where(ball((20, 18, 14), 70), 300, 0)
    data[ball((14, 18, 14), 24) | ball((30, 20, 13), 16)] = 1000
    return write_nifti(path, data.astype(np.int16), AFFINE)


@dataclass
class Visit:
    """A page and the folder that its files are saved to."""

    page: Page
    folder: Path
    is_kiosk: bool

    def save(self, button: str) -> Path:
        """Presses a button; the file that comes of it, under its own name."""
        if self.is_kiosk:
            return self._save_in_picked_folder(button)
        with self.page.expect_download(timeout=PATIENCE_MS) as download:
            self.page.get_by_test_id(button).click()
        path = self.folder / download.value.suggested_filename
        download.value.save_as(path)
        return path

    def _save_in_picked_folder(self, button: str) -> Path:
        before = set(self.page.evaluate(NAMES_IN_FOLDER))
        self.page.get_by_test_id(button).click()
        while not (new := set(self.page.evaluate(NAMES_IN_FOLDER)) - before):
            self.page.wait_for_timeout(100)
        (name,) = new
        path = self.folder / name
        path.write_bytes(bytes(self.page.evaluate(CONTENT_IN_FOLDER, name)))
        return path


#: Of files that are written; the kiosk's visitor has picked the site's private folder.
NAMES_IN_FOLDER = """async () => {
  const names = [];
  for await (const handle of (await navigator.storage.getDirectory()).values()) {
    if (!handle.name.endsWith('.crswap') && (await handle.getFile()).size > 0) names.push(handle.name);
  }
  return names;
}"""
CONTENT_IN_FOLDER = """async (name) => {
  const handle = await (await navigator.storage.getDirectory()).getFileHandle(name);
  return Array.from(new Uint8Array(await (await handle.getFile()).arrayBuffer()));
}"""


@pytest.mark.parametrize("name", SETTINGS)
def test_threshold_comparison_edit_mesh_and_report_work(
    open_page: OpenPage, served: Served, tmp_path: Path, name: str
) -> None:
    setting = SETTINGS[name]
    model = write_bright_model(tmp_path / "models" / "joint", tissue=0.2, id="joint", name="joint")
    write_bright_model(tmp_path / "others" / "plain", id="plain", name="plain")
    models = tmp_path / ("models" if setting.is_listed else "others")
    job = Job(model, 2, write_head(tmp_path / "scan.nii.gz"))
    options = ("--models", str(models), *setting.server)
    with contextlib.ExitStack() as until_cut:
        url = until_cut.enter_context(serve(*options)) if setting.is_offline else served(*options)
        page = open_page(
            "/healthz",
            flags=setting.flags,
            url=url,
            expected=("ERR_CONNECTION_REFUSED", "ERR_FAILED", "404 (Not Found)"),
        )
        page.add_init_script("window.showDirectoryPicker = () => navigator.storage.getDirectory()")
        page.goto(f"{url}/?backend={setting.backend}")
        wait_until_listed(page, "joint" if setting.is_listed else "plain")
        if setting.is_offline:
            wait_for_offline(page, "ready")
    if setting.is_offline:  # the server has ended
        page.reload()
        wait_until_listed(page, "joint")
    if not setting.is_listed:
        drop(page, model / "model.json", model / "weights.safetensors")
        expect(page.locator("#model-facts")).to_contain_text("your own model", timeout=PATIENCE_MS)
    do(job, Visit(page, tmp_path, is_kiosk="--kiosk" in setting.server))
    assert page.get_by_test_id("backend").get_attribute("data-backend") == setting.backend


def test_a_real_scan_goes_the_same_way(
    open_page: OpenPage, served: Served, shared_data: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The published lesion network on the part of M2265 around its lesion."""
    expected = nib.load(shared_data / "expected" / "M2265_T2w__brainchop_t2_lesion.nii.gz")
    first = np.argwhere(np.asanyarray(expected.dataobj)).mean(0).astype(int) - 48
    i, j, k = (slice(n, n + 96) for n in np.maximum(first, 0))
    scan = tmp_path / "M2265_part.nii.gz"
    nib.save(nib.load(shared_data / "scans" / "M2265_T2w.nii.gz").slicer[i, j, k], scan)
    published = tmp_path_factory.mktemp("published")
    import_published(shared_data / "models", published)
    model = at_size(published / "brainchop-t2-lesion", tmp_path / "models", 96)
    url = served("--models", str(tmp_path / "models"))
    page = open_page("/?backend=cpu", flags=WEBGL2, url=url)
    wait_until_listed(page, model.name)
    do(Job(model, 1, scan), Visit(page, tmp_path, is_kiosk=False))


def do(job: Job, visit: Visit) -> None:
    """The whole job; the page lists the model already."""
    drop(visit.page, job.scan)
    wait_for(visit.page, "ready")
    segment(visit.page)
    mask = check_threshold(visit, job)
    check_comparison(visit, job, mask)
    edited = check_edit(visit, job, mask)
    check_mesh(visit, job, edited)
    check_report(visit, job, edited)


def check_threshold(visit: Visit, job: Job) -> Path:
    """Mask and probability map at a threshold are those of `meshnet-predict`. Returns the mask."""
    visit.page.locator("#threshold").fill("0.30")
    wait_for(visit.page, "done")
    mask, probability = visit.save("save-native"), visit.save("save-probability")
    out = visit.folder / "predicted"
    command = [str(job.model), str(job.scan), "-o", str(out), "-q"]
    assert predict.main([*command, "--threshold", "0.3", "--probability"]) == 0
    labels = assert_same_labels(mask, out / mask.name, agreement=0.999, smallest_dice=0.995)
    assert labels.any()
    ours, theirs = (
        np.asarray(nib.load(path).dataobj.get_unscaled()).astype(int) for path in (probability, out / probability.name)
    )
    assert np.abs(ours - theirs).max() <= 1
    return mask


def check_comparison(visit: Visit, job: Job, mask: Path) -> None:
    """With a colleague's mask, a voxel beside ours: the numbers of `meshnet-compare`."""
    image = nib.load(mask)
    moved = np.roll(np.asanyarray(image.dataobj) == job.lesion, 1, axis=1).astype(np.uint8)
    reference = write_nifti(visit.folder / "colleague_lesion.nii.gz", moved, image.affine)
    drop(visit.page, reference)
    expect(visit.page.get_by_test_id("comparison")).to_be_visible(timeout=PATIENCE_MS)
    wait_for(visit.page, "done")
    cells = visit.page.get_by_test_id("comparison-table").locator("td").all_inner_texts()
    found = [float(cell.split(" ")[0].replace(",", "")) for cell in cells[:5]]
    wanted = compare(mask, reference)
    names = ("dice_lesion", "precision", "recall", "hd95_mm", "msd_mm")
    assert found == pytest.approx([round(wanted[name], COLUMNS[name][1]) for name in names], abs=0.0051)
    visit.page.get_by_test_id("end-comparison").click()
    wait_for(visit.page, "done")


def check_edit(visit: Visit, job: Job, mask: Path) -> Path:
    """The lesion is smoothed by a key. Returns the edited mask."""
    page = visit.page
    page.get_by_test_id("start-edit").click()
    expect(page.get_by_test_id("edit-tools")).to_be_visible()
    page.locator("canvas").press("m")
    expect(page.get_by_test_id("edit-said")).to_contain_text("Done: smooth.", timeout=PATIENCE_MS)
    page.locator("canvas").press("Escape")
    expect(page.locator("#results-heading")).to_contain_text("edited", timeout=PATIENCE_MS)
    wait_for(page, "done")
    edited = visit.save("save-native")
    assert edited.name == mask.name.replace(".nii.gz", "_edited.nii.gz")
    image = nib.load(mask)
    sizes_mm = np.array(image.header.get_zooms()[:3])
    lesion = (np.asanyarray(image.dataobj) == job.lesion).astype(float)
    blurred = ndimage.gaussian_filter(lesion, sizes_mm.min() / sizes_mm, mode="nearest", radius=(3, 3, 3))
    smoothed = np.asanyarray(nib.load(edited).dataobj) == job.lesion
    assert (smoothed != lesion).any()
    assert (smoothed == (blurred > 0.5)).mean() > 0.99999
    return edited


def volume_ml(mask: Path, label: int) -> float:
    image = nib.load(mask)
    voxels = int((np.asanyarray(image.dataobj) == label).sum())
    return float(voxels * abs(np.linalg.det(image.affine[:3, :3])) / 1000)


def check_mesh(visit: Visit, job: Job, edited: Path) -> None:
    visit.page.get_by_test_id("mesh-label").select_option(str(job.lesion))
    visit.page.get_by_test_id("mesh-quality").select_option("fine")
    corners = read_stl(visit.save("save-mesh"))
    assert_watertight(corners)
    assert volume_and_centre(corners)[0] / 1000 == pytest.approx(volume_ml(edited, job.lesion), rel=0.02)


def check_report(visit: Visit, job: Job, edited: Path) -> None:
    found = re.search(
        r'<script type="application/json" id="facts">(.*)</script>', visit.save("save-report").read_text()
    )
    assert found is not None
    facts = json.loads(found[1])
    assert facts["made"]["edits"] == ["smooth"]
    assert sum(lesion["volume_ml"] for lesion in facts["lesions"]) == pytest.approx(
        volume_ml(edited, job.lesion), rel=1e-6
    )


def test_a_kiosk_can_switch_every_feature_off(open_page: OpenPage, served: Served, tmp_path: Path) -> None:
    write_bright_model(tmp_path / "models" / "joint", tissue=0.2, id="joint", name="joint")
    features = ("confidence", "compare", "edit", "report", "mesh")
    off = [word for feature in ("queue", *features) for word in (f"--{feature}", "off")]
    scans = [write_head(tmp_path / f"{name}.nii.gz") for name in "ab"]
    url = served("--models", str(tmp_path / "models"), "--kiosk", "--saving", "folder", *off)
    page = open_page("/?backend=cpu", flags=WEBGL2, url=url)
    expect(page.get_by_test_id("full-screen")).to_be_visible(timeout=PATIENCE_MS)
    expect(page.get_by_test_id("keep")).to_be_hidden()
    drop(page, *scans)
    page.get_by_test_id("series").first.click()
    wait_for(page, "ready")
    expect(page.get_by_test_id("run-all")).to_be_hidden()
    segment(page)
    expect(page.get_by_test_id("save-native")).to_be_visible()
    for part in ("confidence", "compare", "edit", "save-report", "mesh"):
        expect(page.get_by_test_id(part)).to_be_hidden()
