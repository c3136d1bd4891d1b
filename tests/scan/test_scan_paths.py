"""Files and folders of a command line become a list of scans, each once, whose results have different names."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from meshnet.scan.nifti import LABEL_INTENT
from meshnet.scan.scan_paths import find_scans, output_names
from meshnet.scan.scan_stream import ScanError


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def scans_of(*sources: Path, out: Path) -> list[Path]:
    """The scans alone, for the model m."""
    return find_scans(sources, out=out, model_id="m")[0]


def test_folders_are_searched_for_scans_of_every_kind_and_nothing_else(tmp_path: Path) -> None:
    wanted = ["a.nii", "b/c.nii.gz", "b/d.hdr", "e.mgz", "F.NII.GZ", "g.mgh", "lone.img"]
    others = ["b/d.img", "notes.txt", "e.json", "._a.nii", ".hidden/a.nii", "a.nii.bak"]
    touch(*(tmp_path / name for name in wanted + others))
    found, left_out = find_scans([tmp_path], out=Path("elsewhere"), model_id="m")
    assert sorted(str(p.relative_to(tmp_path)) for p in found) == sorted(wanted)
    assert left_out == []


def test_a_second_run_does_not_find_the_results_of_the_first(tmp_path: Path) -> None:
    results = [tmp_path / "a_m.nii.gz", tmp_path / "a_m_conformed.nii.gz"]
    touch(tmp_path / "a.nii", *results, tmp_path / "out" / "x.nii.gz")
    assert scans_of(tmp_path, out=tmp_path / "out") == [tmp_path / "a.nii"]
    # Results beside the scans are recognised by their names.
    found, left_out = find_scans([tmp_path], out=tmp_path, model_id="m")
    assert found == [tmp_path / "a.nii", tmp_path / "out" / "x.nii.gz"]
    assert left_out == results


@pytest.mark.parametrize(
    "name",
    [
        *("a_mask.nii.gz", "a_T1w_dseg.nii", "a_labels.mgz", "a_seg.hdr", "a_ROI.nii", "sub-1_label-GM_probseg.nii.gz"),
        *(
            "BraTS-GLI-00000-000-seg.nii.gz",
            "sub-strokecase0001_ses-0001_msk.nii.gz",
            "sub-strokecase0001_lesion-msk.nii",
        ),
        *("sub-M2001_ses-1_lesion.nii.gz", "a_T1w_synthseg.nii.gz", "aseg.mgz", "aparc+aseg.mgz", "aseg.presurf.mgz"),
        *("aparc.DKTatlas+aseg.mgz", "lh.ribbon.mgz", "sub-1_aparc+aseg.nii", "labelsTr/case_0001.nii.gz", "c1a.nii"),
        *("mwp2a.nii", "wc3a.nii", "mask.nii.gz"),
    ],
)
def test_a_folders_masks_and_segmentations_are_left_out_by_their_names(tmp_path: Path, name: str) -> None:
    touch(tmp_path / "a.nii", tmp_path / "maskless.nii", tmp_path / name)
    found, left_out = find_scans([tmp_path], out=tmp_path / "o", model_id="m")
    assert found == [tmp_path / "a.nii", tmp_path / "maskless.nii"]
    assert left_out == [tmp_path / name]


@pytest.mark.parametrize("name", ["c1_T1w.nii", "c2b.nii", "p1.nii", "t2-lesion-study.nii", "segment.nii"])
def test_a_scan_whose_name_only_begins_like_a_masks_is_kept(tmp_path: Path, name: str) -> None:
    touch(tmp_path / "a.nii", tmp_path / name)
    kept = scans_of(tmp_path, out=tmp_path / "o")
    assert kept == sorted([tmp_path / "a.nii", tmp_path / name])


def test_linked_folders_are_searched_once_and_loops_are_not(tmp_path: Path) -> None:
    touch(tmp_path / "store" / "a.nii", tmp_path / "scans" / "b" / "c.nii")
    (tmp_path / "scans" / "link").symlink_to(tmp_path / "store")
    (tmp_path / "scans" / "again").symlink_to(tmp_path / "store")
    (tmp_path / "scans" / "b" / "up").symlink_to(tmp_path / "scans")
    (tmp_path / "scans" / "b" / "root").symlink_to(tmp_path)
    found = scans_of(tmp_path / "scans", out=tmp_path / "o")
    assert sorted(str(path.relative_to(tmp_path / "scans")) for path in found) == ["again/a.nii", "b/c.nii"]


def save(path: Path, image: nib.Nifti1Pair, *, intent: int) -> Path:
    image.header["intent_code"] = intent
    nib.save(image, path)
    return path


@pytest.mark.parametrize("intent", [0, LABEL_INTENT])
def test_label_files_in_a_folder_are_recognised_by_their_headers(tmp_path: Path, intent: int) -> None:
    voxels = np.zeros((3, 4, 5), np.uint8)
    for kind, name in ((nib.Nifti1Image, "a.nii.gz"), (nib.Nifti2Image, "b.nii"), (nib.Nifti1Pair, "c.hdr")):
        save(tmp_path / name, kind(voxels, np.eye(4)), intent=intent)
    big_endian = nib.Nifti1Image(voxels, np.eye(4), nib.Nifti1Header(endianness=">"))
    save(tmp_path / "d.nii", big_endian, intent=intent)
    nib.save(nib.MGHImage(voxels, np.eye(4)), tmp_path / "scan.mgz")
    touch(tmp_path / "empty.nii.gz")
    (tmp_path / "damaged.nii.gz").write_bytes((tmp_path / "a.nii.gz").read_bytes()[:30])
    found, left_out = find_scans([tmp_path], out=tmp_path / "o", model_id="m")
    these = [tmp_path / name for name in ("a.nii.gz", "b.nii", "c.hdr", "d.nii")]
    unreadable = [tmp_path / name for name in ("damaged.nii.gz", "empty.nii.gz", "scan.mgz")]
    assert left_out == (these if intent else [])
    assert found == sorted(unreadable + ([] if intent else these))


def test_a_label_file_given_by_name_is_taken_even_beside_its_folder(tmp_path: Path) -> None:
    touch(tmp_path / "a.nii", tmp_path / "a_mask.nii", tmp_path / "b_mask.nii")
    found, left_out = find_scans([tmp_path, tmp_path / "a_mask.nii"], out=tmp_path / "o", model_id="m")
    assert found == [tmp_path / "a.nii", tmp_path / "a_mask.nii"]
    assert left_out == [tmp_path / "b_mask.nii"]


def test_a_scan_named_twice_is_one_scan_and_a_pair_goes_by_its_header(tmp_path: Path) -> None:
    touch(tmp_path / "a.hdr", tmp_path / "a.img", tmp_path / "b.nii")
    sources = [tmp_path / "a.img", tmp_path / "a.hdr", tmp_path / "b.nii", tmp_path, tmp_path / "." / "b.nii"]
    assert scans_of(*sources, out=tmp_path / "o") == [tmp_path / "a.hdr", tmp_path / "b.nii"]


def test_a_file_given_by_name_is_taken_whatever_its_ending(tmp_path: Path) -> None:
    touch(tmp_path / "scan.img.txt")
    assert scans_of(tmp_path / "scan.img.txt", out=tmp_path / "o") == [tmp_path / "scan.img.txt"]


def test_a_missing_path_and_a_folder_without_scans_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ScanError, match=r"nowhere.nii: no such file or folder"):
        scans_of(tmp_path / "nowhere.nii", out=tmp_path)
    with pytest.raises(ScanError, match=r"no scans in this folder; expected DICOM or files ending in .nii, .nii.gz"):
        scans_of(tmp_path, out=tmp_path)
    touch(tmp_path / "a_mask.nii", tmp_path / "b_mask.nii")
    with pytest.raises(ScanError, match=r"label files only \(2, the first .*a_mask.nii\); give the folder"):
        scans_of(tmp_path, out=tmp_path)


def test_a_broken_link_is_kept_to_be_reported_when_read(tmp_path: Path) -> None:
    (tmp_path / "gone.nii.gz").symlink_to(tmp_path / "annex" / "object")
    assert scans_of(tmp_path, out=tmp_path / "o") == [tmp_path / "gone.nii.gz"]


def test_links_to_one_stored_file_are_scans_of_their_own_names(tmp_path: Path) -> None:
    touch(tmp_path / ".store" / "5f3a.nii.gz")
    for name in ("sub-01.nii.gz", "sub-02.nii.gz"):
        (tmp_path / name).symlink_to(tmp_path / ".store" / "5f3a.nii.gz")
    assert output_names(scans_of(tmp_path, out=tmp_path / "o"), "m") == ["sub-01_m.nii.gz", "sub-02_m.nii.gz"]


@pytest.mark.parametrize(
    ("scans", "names"),
    [
        (["/d/a.nii.gz", "/d/b.mgz", "/e/c.hdr"], ["a", "b", "c"]),
        (["/d/sub-01.v2.nii.gz"], ["sub-01.v2"]),
        (["/a/x.nii.gz", "/b/x.nii.gz", "/b/y.nii"], ["a_x", "b_x", "y"]),
        (["/p/s1/anat/x.nii", "/p/s2/anat/x.nii"], ["s1_anat_x", "s2_anat_x"]),
        (["/d/x.nii", "/d/x.nii.gz"], ["x.nii", "x.nii.gz"]),
        (["/a/x.nii", "/b/X.nii"], ["a_x", "b_X"]),
        (["/a/x.nii", "/b/x.nii", "/c/a_x.nii"], ["a_x", "b_x", "c_a_x"]),
        (["/x.nii", "/a/x.nii"], ["x", "a_x"]),
    ],
)
def test_results_have_different_names(scans: list[str], names: list[str]) -> None:
    assert output_names([Path(scan) for scan in scans], "m") == [f"{name}_m.nii.gz" for name in names]


def test_names_say_the_frame_and_the_conformed_grid_as_those_of_the_site_do() -> None:
    """The same names as in static/src/page/ui/ui.test.ts."""
    scan = [Path("/d/bold.nii")]
    assert output_names(scan, "t2-lesion", frame=3) == ["bold_frame3_t2-lesion.nii.gz"]
    assert output_names(scan, "t2-lesion", conformed=True) == ["bold_t2-lesion_conformed.nii.gz"]
    assert output_names(scan, "t2-lesion", frame=0, conformed=True) == ["bold_frame0_t2-lesion_conformed.nii.gz"]
