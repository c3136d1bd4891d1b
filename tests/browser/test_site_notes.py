"""Notes on a scan are shown and saved with the table; files are taken by their content, whatever their name."""

from __future__ import annotations

import csv
import re
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.helpers.browser.chromium import NO_GPU, OpenPage
from tests.helpers.browser.site import drop, head, segment, status, wait_for, write_scan
from tests.helpers.browser.visits import PATIENCE_MS
from tests.helpers.heads import head as whole_head
from tests.helpers.heads import write_head
from tests.helpers.scan_files import affine_of


@pytest.fixture
def page(open_page: OpenPage, tissue_url: str) -> Page:
    return open_page("/", flags=NO_GPU, url=tissue_url)


def write_without_forms(path: Path) -> Path:
    """A scan with NaN air and no sform or qform."""
    data = head().astype(np.float32)
    data[data == 0] = np.nan
    image = nib.Nifti1Image(data, affine_of(voxel_size_mm=(4, 4, 5)))
    image.set_sform(None, 0)
    image.set_qform(None, 0)
    nib.save(image, path)
    return path


def test_a_note_is_shown_beside_the_scan_and_saved_with_the_table(page: Page, tmp_path: Path) -> None:
    notes = page.get_by_test_id("notes")
    drop(page, write_scan(tmp_path / "plain.nii.gz"))
    wait_for(page, "ready")
    expect(notes).to_be_hidden()

    drop(page, write_without_forms(tmp_path / "formless.nii.gz"))
    expect(page.locator("#scan-summary")).to_contain_text("formless.nii.gz", timeout=PATIENCE_MS)
    wait_for(page, "ready")
    expect(notes.get_by_role("listitem")).to_have_count(2)
    expect(notes).to_contain_text("The header has neither sform nor qform; left and right are a guess.")
    expect(notes).to_contain_text("of the voxels are NaN; they are read as 0.")
    expect(page.get_by_role("list", name="Notes on this scan")).to_be_visible()
    expect(page.get_by_test_id("diagnostics")).to_contain_text("[no-forms]")

    segment(page, "tissue")
    with page.expect_download() as download:
        page.get_by_test_id("save-table").click()
    table = tmp_path / "table.csv"
    download.value.save_as(table)
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert {row["notes"] for row in rows} == {"no-forms;nan-read-as-zero"}

    drop(page, write_scan(tmp_path / "plain.nii.gz"))
    wait_for(page, "ready")
    expect(notes).to_be_hidden()


def test_the_scans_in_a_zip_are_listed_and_other_files_are_left_out(page: Page, tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "scan.nii.gz")
    with zipfile.ZipFile(tmp_path / "study.zip", "w") as archive:
        for name in ("sub-01_T1w.nii.gz", "sub-02_T1w.nii.gz", "sub-01_T1w-seg.nii.gz"):
            archive.write(scan, f"study/{name}")
        archive.writestr("study/sub-01_T1w.json", "{}")
    drop(page, tmp_path / "study.zip")
    names = page.get_by_test_id("studies").locator("tbody .pick")
    expect(names).to_have_text(["sub-01_T1w", "sub-02_T1w"], timeout=PATIENCE_MS)
    expect(page.locator("#warnings")).to_contain_text("Left out as masks by their names: sub-01_T1w-seg.nii.gz.")
    expect(page.locator("#warnings")).to_contain_text("Left out one file that is no scan.")
    wait_for(page, "ready")
    expect(page.locator("#scan-summary")).to_contain_text("sub-01_T1w.nii.gz")
    names.nth(1).click()
    expect(page.locator("#scan-summary")).to_contain_text("sub-02_T1w.nii.gz", timeout=PATIENCE_MS)


def test_a_mask_beside_its_scan_is_left_out_and_a_mask_alone_gets_a_note(page: Page, tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "scan.nii.gz")
    mask = write_scan(tmp_path / "scan_mask.nii.gz", (head() > 500).astype(np.int16))
    drop(page, mask, scan)
    wait_for(page, "ready")
    expect(page.locator("#scan-summary")).to_contain_text("scan.nii.gz")
    expect(page.locator("#warnings")).to_contain_text("Left out as masks by their names: scan_mask.nii.gz.")
    drop(page, mask)
    expect(page.get_by_test_id("notes")).to_contain_text("The values look like labels", timeout=PATIENCE_MS)


def without_preamble(content: bytes) -> bytes:
    """The data set alone: no preamble, no mark, no meta header."""
    assert content[128:132] == b"DICM"
    length = int.from_bytes(content[140:144], "little")
    return content[144 + length :]


def one_volume(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix == ".dcm")[:15]


@pytest.mark.parametrize("name", ["{}.img", "{}.nii", "IM{}"])
def test_dicom_without_a_preamble_is_converted_whatever_it_is_called(
    name: str, page: Page, shared_data: Path, tmp_path: Path
) -> None:
    slices = [tmp_path / name.format(n) for n in range(15)]
    for path, source in zip(slices, one_volume(shared_data / "scans" / "dicom_epi"), strict=True):
        path.write_bytes(without_preamble(source.read_bytes()))
    drop(page, *slices)
    wait_for(page, "ready")
    expect(page.locator("#scan-summary")).to_contain_text("64 × 64 × 15 voxels of 3.75 × 3.75 × 5 mm")


def test_missing_slices_are_said_and_the_resampled_image_is_suggested(page: Page, shared_cases: Path) -> None:
    drop(page, *sorted((shared_cases / "dicom_missing_slices").iterdir()))
    choice = page.get_by_test_id("series")
    expect(choice).to_have_count(2, timeout=PATIENCE_MS)
    expect(choice.nth(0)).to_contain_text("resampled to even slice spacing; take this one")
    expect(choice.nth(1)).to_contain_text("slices are missing or unevenly spaced: its shape is wrong")
    choice.nth(1).click()
    wait_for(page, "ready")
    expect(page.locator("#warnings")).to_contain_text("slices are missing or unevenly spaced")


@pytest.mark.parametrize("case", ["dicom_no_preamble", "dicom_named_img"])
def test_the_dicom_case_is_converted(case: str, page: Page, shared_cases: Path) -> None:
    drop(page, *sorted(path for path in (shared_cases / case).rglob("*") if path.is_file()))
    wait_for(page, "ready")
    expect(page.locator("#scan-summary")).to_contain_text("voxels of")


def test_series_of_two_visits_are_told_apart_by_their_dates(page: Page, shared_cases: Path) -> None:
    drop(page, *sorted(path for path in (shared_cases / "dicom_two_visits").rglob("*") if path.is_file()))
    choice = page.get_by_test_id("series")
    expect(choice).to_have_count(2, timeout=PATIENCE_MS)
    names = choice.all_text_contents()
    assert sorted(name.split(" (")[0] for name in names) == ["3_T1_head_20200101", "3_T1_head_20210606"]


#: Cases that are read -> the note.
READ = {
    "one_voxel_minus_32768.nii.gz": "0.0012 % of the voxels (1) have values far outside the rest",
    "head_at_top_of_340mm.nii.gz": "the cube is moved by 0.0 / -42.0 / 0.0 mm",
    "units_micron.nii.gz": "The header gives micrometres; sizes are converted to mm.",
    "no_forms.nii.gz": "The header has neither sform nor qform; left and right are a guess.",
    "sform1_mirrors_qform2.nii.gz": "sform and qform disagree about left and right",
    "sform_zero_qform_ok.nii.gz": "the sform can't be used; the qform is used",
    "single_file_magic_ni1.nii": "has the magic of a .hdr/.img pair",
    "dim4_is_0.nii.gz": "dim[4] is 0; it is read as 1",
    "nan_background.nii.gz": "of the voxels are NaN; they are read as 0",
    "qform_w2_minus_3.8e-7.nii.gz": None,
    "reference.nii.gz": None,
}

REFUSED = {
    "annex_pointer.nii.gz": "is a pointer of git-annex / Git LFS, not the scan",
    "gzip_twice.nii.gz": "is compressed twice; unpack it once (gunzip)",
    "pixdim_zero_no_forms.nii.gz": "its header has no voxel size",
}


def test_the_cases_are_read_with_their_note_or_refused_by_name(page: Page, shared_cases: Path) -> None:
    for case, sentence in READ.items():
        drop(page, shared_cases / case)
        expect(page.locator("#scan-summary")).to_contain_text(case, timeout=PATIENCE_MS)
        wait_for(page, "ready")
        notes = page.get_by_test_id("notes")
        if sentence is None:
            expect(notes, case).to_be_hidden()
        else:
            expect(notes, case).to_contain_text(re.compile(re.escape(sentence), re.IGNORECASE))
    for case, sentence in REFUSED.items():
        drop(page, shared_cases / case)
        expect(status(page), case).to_contain_text(sentence, timeout=PATIENCE_MS)


def test_the_masks_of_the_cases_are_left_out(page: Page, shared_cases: Path) -> None:
    drop(page, *sorted((shared_cases / "masks_beside_scans").iterdir()))
    names = page.get_by_test_id("studies").locator("tbody .pick")
    expect(names).to_have_text(["BraTS-GLI-00000-000-t2w", "sub-strokecase0001_ses-0001_dwi"], timeout=PATIENCE_MS)
    expect(page.locator("#warnings")).to_contain_text("Left out as masks by their names: BraTS-GLI-00000-000-seg")


def test_a_cut_head_and_a_ct_are_said(page: Page, tmp_path: Path) -> None:
    cut = np.ascontiguousarray(whole_head()[:, :, :30])
    drop(page, write_head(tmp_path / "cut.nii", cut, dim=[3, *cut.shape, 1, 1, 1, 1]))
    wait_for(page, "ready")
    note = page.get_by_test_id("notes").locator("[data-code=head-cut]")
    expect(note).to_contain_text("The field of view cuts the head (superior")
    grey = whole_head()
    drop(page, write_head(tmp_path / "ct.nii", np.where(grey > 100, grey - 500, grey - 1010).astype(np.int16)))
    expect(page.locator("#scan-summary")).to_contain_text("ct.nii", timeout=PATIENCE_MS)
    wait_for(page, "ready")
    expect(page.get_by_test_id("notes")).to_contain_text("The values look like Hounsfield units of a CT")
