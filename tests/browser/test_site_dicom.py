"""DICOM dropped as it comes from a scanner: the slices of a series, in any order, among other files."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

import highdicom
import nibabel as nib
import numpy as np
import pytest
from playwright.sync_api import Page, expect
from pydicom import dcmread

from meshnet.infer.dicom_seg import save_dicom_seg
from meshnet.infer.predict import main
from meshnet.model.shipped import known_models
from meshnet.model.spec import read_spec
from meshnet.scan.dicom import convert_dicom
from meshnet.scan.dicom_slices import DicomSeries, find_slices
from meshnet.scan.nifti import read_scan
from tests.helpers.browser.chromium import NO_GPU, OpenPage
from tests.helpers.browser.serving import Served
from tests.helpers.browser.site import (
    counts,
    drop,
    labels_of,
    save,
    segment,
    status,
    wait_for,
    write_model,
    write_scan,
)
from tests.helpers.browser.visits import PATIENCE_MS
from tests.helpers.dicom_check import dicom_errors
from tests.helpers.dicom_series import as_echoes, sop_instance_uid, write_series
from tests.helpers.heads import head

#: Slices of one volume of the series; it has ten volumes.
SLICES = 15


@pytest.fixture
def page(open_page: OpenPage, tissue_url: str) -> Page:
    return open_page("/", flags=NO_GPU, url=tissue_url)


@pytest.fixture
def series(shared_data: Path) -> list[Path]:
    """Every file of the folder: 150 slices and a text."""
    return sorted((shared_data / "scans" / "dicom_epi").iterdir(), reverse=True)


def test_a_folder_of_slices_is_one_scan_and_of_its_volumes_the_first_is_offered(
    page: Page, series: list[Path], tmp_path: Path
) -> None:
    drop(page, *series)
    expect(status(page)).to_contain_text("got shape (64, 64, 15, 10)", timeout=PATIENCE_MS)
    page.get_by_test_id("use-frame").click()
    wait_for(page, "ready")

    expect(page.locator("#scan-summary")).to_contain_text("Axial_EPI-FMRI")
    expect(page.locator("#scan-summary")).to_contain_text("64 × 64 × 15 voxels of 3.75 × 3.75 × 5 mm, int16")
    segment(page, "tissue")
    assert sum(counts(page).values()) > 0
    saved = nib.load(save(page, "native", tmp_path))
    # Where the slices say they are: Image Position (0020,0032) of the lowest one, LPS turned to RAS.
    assert nib.aff2axcodes(saved.affine) in {("L", "A", "S"), ("R", "A", "S")}
    np.testing.assert_allclose(nib.affines.voxel_sizes(saved.affine), (3.75, 3.75, 5), rtol=1e-4)


def test_a_zipped_study_is_unpacked(page: Page, series: list[Path], tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "study.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in series:
            archive.write(path, f"study/{path.suffix.strip('.') or 'notes'}/{path.name}")
    drop(page, tmp_path / "study.zip")
    expect(status(page)).to_contain_text("got shape (64, 64, 15, 10)", timeout=PATIENCE_MS)
    page.get_by_test_id("use-frame").click()
    wait_for(page, "ready")
    expect(page.locator("#scan-summary")).to_contain_text(re.compile(r"study_\d+_Axial_EPI-FMRI"))
    segment(page, "tissue")
    assert "study_" in save(page, "native", tmp_path).name
    assert "_frame0_tissue" in save(page, "native", tmp_path).name


def test_a_zip_within_a_zip_is_refused(page: Page, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as archive:
        archive.writestr("inner.zip", b"PK")
    drop(page, tmp_path / "outer.zip")
    expect(status(page)).to_contain_text(
        "inner.zip is inside another zip; unpack the outer zip first", timeout=PATIENCE_MS
    )


def test_one_slice_is_refused_with_what_to_give_instead(page: Page, series: list[Path]) -> None:
    drop(page, series[-5])

    expect(status(page)).to_contain_text("give all slices of the series together", timeout=PATIENCE_MS)


def of_another_series(content: bytes) -> bytes:
    """The same slice under another Series Instance UID (0020,000E) and Series Number (0020,0011)."""
    for tag in (b"\x20\x00\x0e\x00UI", b"\x20\x00\x11\x00IS"):
        start = content.index(tag) + len(tag)
        length = int.from_bytes(content[start : start + 2], "little")
        value = content[start + 2 : start + 2 + length].rstrip(b"\0 ")
        last = start + 2 + len(value) - 1
        content = content[:last] + bytes([ord("1") + (content[last] - ord("0")) % 9]) + content[last + 1 :]
    return content


def test_of_several_series_one_is_chosen_or_all_are_listed(page: Page, series: list[Path], tmp_path: Path) -> None:
    first = [path for path in reversed(series) if path.suffix == ".dcm"][: 2 * SLICES]
    second = [tmp_path / path.name for path in first[:SLICES]]
    for path, copy in zip(first, second, strict=False):
        copy.write_bytes(of_another_series(path.read_bytes()))
    drop(page, *first, *second)
    choice = page.get_by_test_id("series")
    expect(choice).to_have_count(2, timeout=PATIENCE_MS)

    choice.nth(1).click()  # the largest comes first
    wait_for(page, "ready")
    expect(page.locator("#scan-summary")).to_contain_text("5_Axial_EPI-FMRI")
    expect(page.locator("#scan-summary")).to_contain_text("64 × 64 × 15")
    expect(page.locator("#question")).to_be_hidden()

    drop(page, *first, *second)
    page.get_by_test_id("open-all").click()
    names = page.get_by_test_id("studies").locator("tbody .pick")
    expect(names).to_have_count(3, timeout=PATIENCE_MS)
    page.get_by_test_id("model").select_option("tissue")
    page.get_by_test_id("run-all").click()
    queue = page.get_by_test_id("queue")
    expect(queue).to_have_attribute("data-state", "finished", timeout=PATIENCE_MS)
    # One series has two volumes, of which none was picked.
    expect(page.locator("#queue-text")).to_have_text("Queue finished: 2 of 3 done, 1 failed.")
    expect(page.get_by_test_id("studies")).to_contain_text("expected a 3-D volume, got shape (64, 64, 15, 2)")
    names.nth(1).click()
    page.get_by_test_id("use-frame").click()
    expect(page.locator("#scan-summary")).to_contain_text("64 × 64 × 15", timeout=PATIENCE_MS)
    page.get_by_test_id("run").click()
    expect(page.locator("#queue-text")).to_have_text("Queue finished: 3 of 3 done.", timeout=PATIENCE_MS)


def test_files_that_only_look_like_dicom_are_refused_in_words(
    open_page: OpenPage, tissue_url: str, tmp_path: Path
) -> None:
    page = open_page("/", flags=NO_GPU, url=tissue_url, expected=("Unable to find any DICOM",))
    (tmp_path / "IM0001").write_bytes(b"\0" * 128 + b"DICM and then nothing")

    drop(page, tmp_path / "IM0001")

    expect(status(page)).to_contain_text("IM0001: could not be converted", timeout=PATIENCE_MS)
    expect(status(page)).to_contain_text("drop the .nii.gz")


def test_labels_are_saved_on_the_slices_of_the_series_as_meshnet_predict_writes_them(
    open_page: OpenPage, served: Served, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    models = tmp_path_factory.mktemp("models")
    model = write_model(models, "tissue")
    files = write_series(tmp_path / "series")
    out = tmp_path / "predicted"
    assert main([str(model), str(tmp_path / "series"), "-o", str(out), "--dicom-seg", "-q"]) == 0
    (wanted,) = out.glob("*.dcm")
    url = served("--models", str(models))
    page = open_page("/", flags=NO_GPU, url=url)
    drop(page, write_scan(tmp_path / "plain.nii.gz"))
    wait_for(page, "ready")
    segment(page, "tissue")
    expect(page.get_by_test_id("save-dicom-seg")).to_be_hidden()

    drop(page, *reversed(files))
    wait_for(page, "ready")
    segment(page, "tissue")
    saved = save(page, "dicom-seg", tmp_path)
    status_text = status(page).inner_text()
    assert saved.name == "3_T2_test_tissue.dcm"
    assert "DICOM-SEG on the slices of the series" in status_text
    assert dicom_errors(saved) == []
    page_seg, python_seg = dcmread(saved), dcmread(wanted)
    np.testing.assert_array_equal(page_seg.pixel_array, python_seg.pixel_array)
    assert page_seg.PerFrameFunctionalGroupsSequence == python_seg.PerFrameFunctionalGroupsSequence
    assert page_seg.StudyInstanceUID == python_seg.StudyInstanceUID
    assert [segment_.SegmentLabel for segment_ in page_seg.SegmentSequence] == list(labels_of(model))[1:]


@pytest.mark.parametrize("kind", ["repetitions", "echoes"])
def test_every_volume_of_a_series_can_be_a_scan_and_save_all_holds_its_dicom_seg(
    kind: str, open_page: OpenPage, served: Served, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Oblique and anisotropic; the outermost slices are alike in both volumes."""
    models = tmp_path_factory.mktemp("models")
    model = write_model(models, "tissue")
    volumes = [head(), np.ascontiguousarray(head()[::-1, ::-1])]
    for volume in volumes:
        volume[:, :, [0, 39]] = 0
    files = [write_series(tmp_path / "series", data=volume, volume=n) for n, volume in enumerate(volumes)]
    if kind == "echoes":
        as_echoes(files)
    url = served("--models", str(models))
    page = open_page("/?backend=cpu", flags=NO_GPU, url=url)
    drop(page, *reversed([file for volume in files for file in volume]))
    if kind == "echoes":
        expect(page.get_by_test_id("series")).to_have_count(2, timeout=PATIENCE_MS)
        page.get_by_test_id("open-all").click()
    else:
        expect(status(page)).to_contain_text("got shape (41, 52, 40, 2)", timeout=PATIENCE_MS)
        page.get_by_test_id("use-all-frames").click()
    names = page.get_by_test_id("studies").locator("tbody .pick")
    expect(names).to_have_count(2, timeout=PATIENCE_MS)
    parts = ("_e1", "_e2") if kind == "echoes" else ("(frame 0)", "(frame 1)")
    for n, part in enumerate(parts):
        expect(names.nth(n)).to_contain_text(part)
    wait_for(page, "ready")
    page.get_by_test_id("run-all").click()
    expect(page.get_by_test_id("queue")).to_have_attribute("data-state", "finished", timeout=PATIENCE_MS)
    with page.expect_download(timeout=PATIENCE_MS) as download:
        page.get_by_test_id("save-all").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        archive.extractall(tmp_path / "zip")
    for n, part in enumerate(parts):
        stem = f"3_T2_test{part}_tissue" if kind == "echoes" else f"3_T2_test_frame{n}_tissue"
        seg = highdicom.seg.segread(tmp_path / "zip" / f"{stem}.dcm")
        assert {str(item.ReferencedSOPInstanceUID) for item in seg.SourceImageSequence} == {
            sop_instance_uid("1.2.826.0.1.1.3", k, n) for k in range(40)
        }
        assert dicom_errors(tmp_path / "zip" / f"{stem}.dcm") == []
        mask = np.asanyarray(nib.load(tmp_path / "zip" / f"{stem}.nii.gz").dataobj)
        pixels = seg.get_pixels_by_source_instance(
            [sop_instance_uid("1.2.826.0.1.1.3", k, n) for k in range(40)],
            combine_segments=True,
            assert_missing_frames_are_empty=True,
        )
        assert np.bincount(pixels.ravel(), minlength=3).tolist() == np.bincount(mask.ravel(), minlength=3).tolist()
        assert pixels.any()
        out = tmp_path / f"predicted{n}"
        given = [str(model), str(tmp_path / "series"), "-o", str(out), "--dicom-seg", "-q"]
        assert main([*given, *(() if kind == "echoes" else ("--frame", str(n)))]) == 0
        (wanted,) = out.glob(f"*{part}*.dcm") if kind == "echoes" else out.glob("*.dcm")
        saved, python = dcmread(tmp_path / "zip" / f"{stem}.dcm"), dcmread(wanted)
        np.testing.assert_array_equal(saved.pixel_array, python.pixel_array)
        assert saved.PerFrameFunctionalGroupsSequence == python.PerFrameFunctionalGroupsSequence
    results = json.loads((tmp_path / "zip" / "results.json").read_text())
    assert [scan["results"][0]["dicom_seg_reason"] for scan in results["scans"]] == [None, None]


def test_of_a_series_with_missing_slices_the_page_says_why_it_has_no_dicom_seg(page: Page, tmp_path: Path) -> None:
    drop(page, write_scan(tmp_path / "plain.nii.gz"))
    wait_for(page, "ready")
    drop(page, *write_series(tmp_path / "series", without=(18, 19, 20)))
    page.get_by_test_id("series").first.click()
    wait_for(page, "ready")
    segment(page, "tissue")
    page.get_by_test_id("save-dicom-seg").click()
    expect(status(page)).to_contain_text("have no slice in the DICOM series, the first is slice", timeout=PATIENCE_MS)
    with page.expect_download(timeout=PATIENCE_MS) as download:
        page.get_by_test_id("save-all").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        assert not [name for name in archive.namelist() if name.endswith(".dcm")]
        scans = json.loads(archive.read("results.json"))["scans"]
    (result,) = [result for scan in scans for result in scan["results"]]
    assert result["dicom_seg"] is None
    assert "have no slice in the DICOM series" in result["dicom_seg_reason"]


def test_a_segmentation_is_no_scan(page: Page, tmp_path: Path) -> None:
    files = write_series(tmp_path / "in", data=head()[:, :, 15:25])
    (series,) = convert_dicom(files, tmp_path / "work", where="in")
    scan = read_scan(series.path)
    slices = find_slices(DicomSeries(tuple(files), series.uid), scan)
    spec = read_spec(known_models()["tissue"] / "model.json")
    save_dicom_seg(tmp_path / "seg.dcm", np.ones(scan.data.shape, np.uint8), slices, spec, all_labels=True)
    drop(page, tmp_path / "seg.dcm")
    expect(status(page)).to_contain_text("seg.dcm is a DICOM segmentation, no scan; drop the series")


def test_the_reason_of_dcm2niix_reaches_the_visitor(page: Page, tmp_path: Path) -> None:
    cut = write_series(tmp_path / "cut")
    cut[0].write_bytes(cut[0].read_bytes()[:-1000])
    drop(page, *cut)
    expect(status(page)).to_contain_text(
        f"File not large enough to store image data: {cut[0].name}", timeout=PATIENCE_MS
    )
    expect(status(page)).to_contain_text("40 DICOM files: could not be converted")


def test_a_series_that_dcm2niix_left_out_is_named_beside_the_others_and_its_warnings_are_notes(
    page: Page, tmp_path: Path
) -> None:
    good, cut = write_series(tmp_path / "a"), write_series(tmp_path / "b", number=4, name="CUT{:04d}")
    cut[0].write_bytes(cut[0].read_bytes()[:-1000])
    drop(page, *good, *cut)
    wait_for(page, "ready")
    expect(page.locator("#scan-summary")).to_contain_text("3_T2_test")
    expect(page.locator("#warnings")).to_contain_text("Not all of 80 DICOM files could be converted")
    expect(page.get_by_test_id("notes")).to_contain_text("Patient Position (0018,5100) not specified")


def test_a_series_without_pixel_spacing_is_refused(page: Page, tmp_path: Path) -> None:
    slices = write_series(tmp_path)
    for path in slices:
        slice_ = dcmread(path)
        del slice_.PixelSpacing
        slice_.save_as(path)
    drop(page, *slices)
    expect(status(page)).to_contain_text(
        "3_T2_test has no PixelSpacing; volumes could not be measured", timeout=PATIENCE_MS
    )
