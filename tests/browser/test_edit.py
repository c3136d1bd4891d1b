"""A result corrected by hand: what the tools do to the voxels, and what is saved of it."""

from __future__ import annotations

import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Locator, Page, expect
from scipy import ndimage

from meshnet.scan.scan_grid import resample_labels
from tests.helpers.bright_model import write_two_bright_models
from tests.helpers.browser.chromium import WEBGL2, OpenPage
from tests.helpers.browser.serving import Served
from tests.helpers.browser.site import counts, drop, save, segment, wait_for
from tests.helpers.browser.visits import PATIENCE_MS
from tests.helpers.scan_files import affine_of
from tests.helpers.scan_files import write_scan as write_nifti

Labels = NDArray[np.uint8]
Voxel = tuple[int, int, int]

#: Oblique, flipped, anisotropic.
AFFINE = affine_of(axes="LAS", rotation_deg=(12, -7, 31), voxel_size_mm=(4.1, 4.4, 5.3))
SHAPE = (41, 37, 29)
#: Centres of two bright balls in a darker head.
LARGE, SMALL = (14, 18, 14), (30, 20, 13)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_two_bright_models(tmp_path_factory.mktemp("models"))


def mm(voxels: Any) -> NDArray[np.float64]:
    return np.asarray(nib.affines.apply_affine(AFFINE, voxels))


def distances_mm(voxel: Voxel) -> NDArray[np.float64]:
    """Of every voxel of the scan from this one."""
    return np.asarray(np.linalg.norm(mm(np.moveaxis(np.indices(SHAPE), 0, -1)) - mm(voxel), axis=-1))


def in_slices(first: int, last: int | None = None) -> NDArray[np.bool_]:
    """Whether a voxel lies in these slices along the scan's third axis."""
    k = np.indices(SHAPE)[2]
    return (k >= first) & (k <= (first if last is None else last))


def head() -> NDArray[np.int16]:
    data = np.where(distances_mm((20, 18, 14)) < 70, 300, 0)
    data[distances_mm(LARGE) < 24] = 1000
    data[distances_mm(SMALL) < 16] = 1000
    return data.astype(np.int16)


def scan_in(folder: Path, name: str = "scan") -> Path:
    return write_nifti(folder / f"{name}.nii.gz", head(), AFFINE)


def labels_of(path: Path) -> Labels:
    return np.asanyarray(nib.load(path).dataobj).astype(np.uint8)


def start(page: Page, scan: Path, model: str = "bright") -> None:
    """Opens and segments the scan, and opens the tools in one axial slice."""
    drop(page, scan)
    wait_for(page, "ready")
    segment(page, model)
    page.get_by_role("button", name="Axial").click()
    page.get_by_test_id("start-edit").click()
    expect(page.get_by_test_id("edit-tools")).to_be_visible()
    wait_for(page, "done")


def place(page: Page, x: float, y: float) -> tuple[float, float]:
    """A point of the picture, from fractions of its width and height."""
    box = page.locator("canvas").bounding_box()
    assert box is not None
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def look(page: Page, x: float, y: float) -> Voxel:
    """Moves the crosshair there; the voxel that the line below the picture names."""
    page.locator("canvas").press("v")
    page.mouse.click(*place(page, x, y))
    return crosshair(page)


def crosshair(page: Page) -> Voxel:
    text = page.locator("#readout").inner_text()
    found = re.search(r"voxel (\d+), (\d+), (\d+)", text)
    assert found is not None, text
    return (int(found[1]), int(found[2]), int(found[3]))


def look_at(page: Page, target: Voxel) -> tuple[float, float]:
    """Moves the crosshair to a voxel of the slice in the picture; the place of the picture that was pressed."""
    at = np.array([0.45, 0.45])
    voxel = np.array(look(page, *at))
    across = np.array([0.6, 0.45]), np.array([0.45, 0.65])
    steps = np.stack([(np.array(look(page, *other)) - voxel) / (other - at).sum() for other in across], axis=1)
    for _ in range(4):
        at = at + np.linalg.lstsq(steps, np.array(target) - voxel, rcond=None)[0]
        voxel = np.array(look(page, *at))
        if tuple(voxel) == target:
            return float(at[0]), float(at[1])
    raise AssertionError(f"voxel {target} is not in the slice of voxel {voxel}")


def go_to_piece(page: Page, n: int) -> Voxel:
    page.get_by_test_id("parts").locator("button").nth(n).click()
    return crosshair(page)


def key(page: Page, *keys: str) -> None:
    for one in keys:
        page.locator("canvas").press(one)


def pick(page: Page, tool: str, size_mm: float) -> None:
    """Picks a tool by its key, and its size."""
    key(page, tool)
    page.locator("#edit-size").fill(str(size_mm))


def expect_said(page: Page, text: str) -> None:
    expect(page.get_by_test_id("edit-said")).to_contain_text(text, timeout=PATIENCE_MS)


def lesion_row(page: Page) -> Locator:
    return page.get_by_test_id("volumes").locator("tbody tr[data-label]").first


def expect_lesion_voxels(page: Page, voxels: int) -> None:
    """Once the edits have been measured."""
    expect(lesion_row(page)).to_have_attribute("data-voxels", str(voxels), timeout=PATIENCE_MS)


def stroke(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*place(page, *start))
    page.mouse.down()
    page.mouse.move(*place(page, *end), steps=3)
    page.mouse.up()


@dataclass
class Steps:
    """The labels after each step, as numpy has them; the page's table has to agree."""

    page: Page
    labels: list[Labels]

    def expect(self, change: NDArray[np.bool_], label: int, said: str) -> None:
        expect_said(self.page, said)
        self.labels.append(np.where(change, np.uint8(label), self.labels[-1]))
        expect_lesion_voxels(self.page, int(self.labels[-1].sum()))


def use_pen_and_eraser(steps: Steps) -> None:
    """A sphere at the crosshair and a disc of the eraser, by keys alone."""
    page = steps.page
    centre = (22, 27, crosshair(page)[2])
    look_at(page, centre)
    pick(page, "p", 22)
    key(page, "s", "Enter")
    steps.expect(distances_mm(centre) <= 11, 1, "Done: pen.")
    pick(page, "e", 14)
    key(page, "s", "Enter")
    steps.expect((distances_mm(centre) <= 7) & in_slices(centre[2]), 0, "Done: eraser.")


def delete_grow_and_keep_a_piece(steps: Steps) -> None:
    """One press deletes a piece, region growing brings it back as the scan has it, and it is kept alone."""
    page = steps.page
    i, j, k = go_to_piece(page, 0)
    voxel = (i + 2, j - 1, k)
    where = look_at(page, voxel)
    pieces = ndimage.label(steps.labels[-1])[0]
    key(page, "d")
    page.mouse.click(*place(page, *where))
    steps.expect(pieces == pieces[voxel], 0, "Done: delete piece.")
    pick(page, "g", 100)
    key(page, "s", "Enter")
    steps.expect(distances_mm(LARGE) < 24, 1, "Done: grow.")
    pieces = ndimage.label(steps.labels[-1])[0]
    key(page, "k", "Enter")
    steps.expect((pieces > 0) & (pieces != pieces[voxel]), 0, "Done: keep piece.")


def fill_between_two_discs(steps: Steps) -> None:
    """Two discs, four slices apart, and what lies between."""
    page = steps.page
    key(page, "s")
    pick(page, "p", 20)
    look_at(page, (28, 18, crosshair(page)[2]))
    key(page, *["PageUp"] * 7)
    bottom = crosshair(page)
    key(page, "p", "Enter")
    disc = (distances_mm(bottom) <= 10) & in_slices(bottom[2])
    steps.expect(disc, 1, "Done: pen.")
    key(page, *["PageUp"] * 4, "Enter")
    assert crosshair(page) == (*bottom[:2], bottom[2] + 4)
    steps.expect(np.roll(disc, 4, axis=2), 1, "Done: pen.")
    key(page, "f")
    between = in_slices(bottom[2] + 1, bottom[2] + 3)
    steps.expect(disc.any(axis=2)[:, :, None] & between, 1, "Done: fill between slices.")


def smooth(steps: Steps) -> None:
    key(steps.page, "m")
    expect_said(steps.page, "Done: smooth.")
    sigma = 4.1 / np.array([4.1, 4.4, 5.3])
    blurred = ndimage.gaussian_filter(steps.labels[-1].astype(float), sigma, mode="nearest", radius=(3, 3, 3))
    steps.labels.append((blurred > 0.5).astype(np.uint8))
    expect_lesion_voxels(steps.page, int(steps.labels[-1].sum()))


def undo_all(steps: Steps) -> None:
    for labels in reversed(steps.labels[:-1]):
        key(steps.page, "Control+z")
        expect_lesion_voxels(steps.page, int(labels.sum()))
    expect(steps.page.get_by_role("button", name="Undo")).to_be_disabled()


def redo_all(steps: Steps) -> None:
    for labels in steps.labels[1:]:
        key(steps.page, "y")
        expect_lesion_voxels(steps.page, int(labels.sum()))
    expect(steps.page.get_by_role("button", name="Redo")).to_be_disabled()


def test_the_pen_paints_the_voxel_under_the_pointer_in_every_view(
    open_page: OpenPage, url: str, tmp_path: Path
) -> None:
    page = open_page("/?backend=cpu", flags=WEBGL2, url=url)
    start(page, scan_in(tmp_path))
    wanted = labels_of(save(page, "native", tmp_path))
    keys = page.locator("#edit-tools button kbd").all_inner_texts()
    assert keys == ["V", "P", "E", "G", "D", "K", "[", "]", "S", "F", "M", "Z", "Y", "Esc"]
    pick(page, "p", 0.5)

    def paint_one(view: str, axis: int, target: list[int]) -> None:
        page.get_by_role("button", name=view).click()
        target[axis] = crosshair(page)[axis]
        voxel: Voxel = (target[0], target[1], target[2])
        assert wanted[voxel] == 0
        where = look_at(page, voxel)
        key(page, "p")
        page.mouse.click(*place(page, *where))
        wanted[voxel] = 1
        expect_lesion_voxels(page, int(wanted.sum()))

    paint_one("Axial", 2, [21, 26, 0])
    paint_one("Coronal", 1, [23, 0, 10])
    paint_one("Sagittal", 0, [0, 24, 12])
    page.get_by_label("Right on the left").check()
    paint_one("Axial", 2, [19, 27, 0])
    np.testing.assert_array_equal(labels_of(save(page, "native", tmp_path)), wanted)

    # A disc drawn with the mouse stays in its slice and reaches from the first voxel to the last.
    ends = (0.42, 0.3), (0.55, 0.36)
    first, last = (look(page, *end) for end in ends)
    pick(page, "p", 15)
    stroke(page, *ends)
    expect_said(page, "5 steps can be undone")
    saved = labels_of(save(page, "native", tmp_path))
    painted = np.argwhere((saved == 1) & (wanted == 0))
    assert len(painted) > 5
    assert saved[first] == saved[last] == 1
    assert set(painted[:, 2]) == {first[2]} == {last[2]}
    assert np.all(distances_mm(first)[saved != wanted] <= np.linalg.norm(mm(first) - mm(last)) + 7.5 + 4.4)


def test_every_tool_changes_the_voxels_that_it_should_and_the_saved_file_has_them(
    open_page: OpenPage, url: str, tmp_path: Path
) -> None:
    page = open_page("/?backend=cpu", flags=WEBGL2, url=url)
    start(page, scan_in(tmp_path))
    plain = save(page, "native", tmp_path)
    steps = Steps(page, [labels_of(plain)])
    use_pen_and_eraser(steps)
    delete_grow_and_keep_a_piece(steps)
    fill_between_two_discs(steps)
    smooth(steps)
    saved = save(page, "native", tmp_path)
    undo_all(steps)
    assert save(page, "native", tmp_path / "undone").read_bytes() == plain.read_bytes()
    redo_all(steps)
    assert save(page, "native", tmp_path / "redone").read_bytes() == saved.read_bytes()

    assert saved.name == "scan_bright_edited.nii.gz"
    image = nib.load(saved)
    np.testing.assert_array_equal(np.asanyarray(image.dataobj), steps.labels[-1])
    assert image.header.binaryblock == nib.load(plain).header.binaryblock


def save_all(page: Page, folder: Path) -> Path:
    with page.expect_download(timeout=PATIENCE_MS) as download:
        page.get_by_test_id("save-all").click()
    download.value.save_as(folder / "all.zip")
    return folder / "all.zip"


def check_zip(archive: Path, native: Path, edited: Labels) -> None:
    """The mask, the JSON and the table of one edited and one other result."""
    with zipfile.ZipFile(archive) as content:
        assert content.read("first_joint_edited.nii.gz") == native.read_bytes()
        scans: Any = json.loads(content.read("results.json"))["scans"]
        table = content.read("table.csv").decode().splitlines()
    (result,), (other,) = (scan["results"] for scan in scans)
    assert (result["file"], result["edits"]) == ("first_joint_edited.nii.gz", ["delete piece"])
    assert result["volumes"][2]["voxels"] == (edited == 2).sum()
    assert (other["file"], other["edits"]) == ("second_bright.nii.gz", [])
    assert table[1].startswith('first.nii.gz,"joint, edited",done,')


def test_edits_stay_with_their_result_and_say_so_wherever_it_is_saved(
    open_page: OpenPage, url: str, tmp_path: Path
) -> None:
    page = open_page("/?backend=cpu", flags=WEBGL2, url=url)
    start(page, scan_in(tmp_path, "first"), "joint")
    plain_file = save(page, "native", tmp_path)
    plain = labels_of(plain_file)
    brain_ml = float(page.get_by_test_id("brain").get_attribute("data-ml") or "nan")
    pieces = ndimage.label(plain == 2)[0]
    go_to_piece(page, 1)
    gone = pieces == pieces[crosshair(page)]
    key(page, "d", "Enter")
    expect_said(page, "Done: delete piece.")
    edited = np.where(gone, 0, plain)
    # The tissue comes up where the lesion was: the brain keeps its volume.
    expect(lesion_row(page)).to_have_attribute("data-voxels", str(int((edited == 2).sum())), timeout=PATIENCE_MS)
    assert float(page.get_by_test_id("brain").get_attribute("data-ml") or "nan") == pytest.approx(brain_ml)

    # Another scan is opened and segmented; the edits are still there, and can still be undone.
    drop(page, scan_in(tmp_path, "second"))
    wait_for(page, "ready")
    expect(page.get_by_test_id("edit-tools")).to_be_hidden()
    segment(page, "bright")
    first = page.get_by_test_id("studies").locator("tbody tr").first
    expect(first.locator(".state")).to_have_text("edited")
    first.locator("button.pick").click()
    expect(page.locator("#results-heading")).to_have_text("Result of joint, edited", timeout=PATIENCE_MS)
    wait_for(page, "done")
    expect(page.locator("#threshold")).to_be_disabled()
    expect(page.locator("#threshold-text")).to_contain_text("revert the edits to change it")
    page.locator("#clean").check()
    page.locator("#clean-ml").fill("30")
    expect(page.locator("#warnings")).to_contain_text("This result was edited by hand", timeout=PATIENCE_MS)
    expect(lesion_row(page)).to_have_attribute("data-voxels", str(int((edited == 2).sum())))
    page.locator("#clean").uncheck()
    native, conformed = (save(page, space, tmp_path) for space in ("native", "conformed"))
    np.testing.assert_array_equal(labels_of(native), edited)
    assert (native.name, conformed.name) == ("first_joint_edited.nii.gz", "first_joint_edited_conformed.nii.gz")
    grid = nib.load(conformed)
    np.testing.assert_array_equal(
        labels_of(conformed), resample_labels(edited, nib.load(native).affine, grid.affine, grid.shape)
    )

    check_zip(save_all(page, tmp_path), native, edited)

    page.get_by_test_id("start-edit").click()
    expect(page.get_by_role("button", name="Undo")).to_be_enabled(timeout=PATIENCE_MS)
    page.get_by_test_id("revert-edits").click()
    expect(page.locator("#results-heading")).to_have_text("Result of joint", timeout=PATIENCE_MS)
    assert save(page, "native", tmp_path / "reverted").read_bytes() == plain_file.read_bytes()
    expect(page.locator("#threshold")).to_be_enabled()
    key(page, "z")
    expect(page.locator("#results-heading")).to_have_text("Result of joint, edited")
    key(page, "Escape")
    expect(page.get_by_test_id("edit-tools")).to_be_hidden(timeout=PATIENCE_MS)
    wait_for(page, "done")


def test_fingers_and_a_stylus_draw_and_a_second_finger_does_not(open_page: OpenPage, url: str, tmp_path: Path) -> None:
    page = open_page("/?backend=cpu", flags=WEBGL2, url=url)
    start(page, scan_in(tmp_path))
    before = counts(page)[1]
    where = look_at(page, crosshair(page))
    control: Any = page.context.new_cdp_session(page)
    x, y = place(page, *where)
    finger, other = {"x": x, "y": y, "id": 0}, {"x": x + 60, "y": y, "id": 1}
    key(page, "e")
    control.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [finger]})
    control.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [finger, other]})
    control.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    control.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [finger]})
    control.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{**finger, "y": y + 20}]})
    control.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect_said(page, "1 step can be undone")
    stylus = {"x": x + 20, "y": y, "button": "left", "pointerType": "pen", "clickCount": 1}
    control.send("Input.dispatchMouseEvent", {"type": "mousePressed", "buttons": 1, **stylus})
    control.send("Input.dispatchMouseEvent", {"type": "mouseReleased", "buttons": 0, **stylus})
    expect_said(page, "2 steps can be undone")
    # The palm beside the stylus draws nothing.
    control.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [other]})
    control.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    removed = labels_of(save(page, "native", tmp_path))
    expect_said(page, "2 steps can be undone")
    assert 0 < removed.sum() < before


def test_a_kiosk_can_switch_editing_off(open_page: OpenPage, served: Served, models: Path, tmp_path: Path) -> None:
    url = served("--models", str(models), "--kiosk", "--edit", "off")
    page = open_page("/?backend=cpu", flags=WEBGL2, url=url)
    expect(page.get_by_test_id("full-screen")).to_be_visible(timeout=PATIENCE_MS)
    drop(page, scan_in(tmp_path))
    wait_for(page, "ready")
    segment(page, "bright")
    expect(page.get_by_test_id("compare")).to_be_visible()
    expect(page.get_by_test_id("edit")).to_be_hidden()
