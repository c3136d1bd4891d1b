"""A command line's files and folders become scans, each once, with results that never share a name."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshnet.scan_paths import find_scans, output_names
from meshnet.scan_stream import ScanError


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def test_folders_are_searched_for_scans_of_every_kind_and_nothing_else(tmp_path: Path) -> None:
    wanted = ["a.nii", "b/c.nii.gz", "b/d.hdr", "e.mgz", "F.NII.GZ", "g.mgh", "lone.img"]
    others = ["b/d.img", "notes.txt", "e.json", "._a.nii", ".hidden/a.nii", "a.nii.bak"]
    touch(*(tmp_path / name for name in wanted + others))
    found = find_scans([tmp_path], out=Path("elsewhere"), model_id="m")
    assert sorted(str(p.relative_to(tmp_path)) for p in found) == sorted(wanted)


def test_a_second_run_does_not_find_the_results_of_the_first(tmp_path: Path) -> None:
    touch(tmp_path / "a.nii", tmp_path / "a_m.nii.gz", tmp_path / "out" / "x.nii.gz")
    assert find_scans([tmp_path], out=tmp_path / "out", model_id="m") == [tmp_path / "a.nii"]
    # Results right beside the scans are told by their name.
    found = find_scans([tmp_path], out=tmp_path, model_id="m")
    assert found == [tmp_path / "a.nii", tmp_path / "out" / "x.nii.gz"]


def test_a_scan_named_twice_is_one_scan_and_a_pair_goes_by_its_header(tmp_path: Path) -> None:
    touch(tmp_path / "a.hdr", tmp_path / "a.img", tmp_path / "b.nii")
    sources = [tmp_path / "a.img", tmp_path / "a.hdr", tmp_path / "b.nii", tmp_path, tmp_path / "." / "b.nii"]
    assert find_scans(sources, out=tmp_path / "o", model_id="m") == [tmp_path / "a.hdr", tmp_path / "b.nii"]


def test_a_file_given_by_name_is_taken_whatever_its_ending(tmp_path: Path) -> None:
    touch(tmp_path / "scan.img.txt")
    assert find_scans([tmp_path / "scan.img.txt"], out=tmp_path / "o", model_id="m") == [tmp_path / "scan.img.txt"]


def test_a_missing_path_and_an_empty_folder_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ScanError, match=r"nowhere.nii: no such file or folder"):
        find_scans([tmp_path / "nowhere.nii"], out=tmp_path, model_id="m")
    with pytest.raises(ScanError, match=r"no scans in this folder; expected files ending in .nii, .nii.gz"):
        find_scans([tmp_path], out=tmp_path, model_id="m")


def test_a_broken_link_is_kept_to_be_reported_when_read(tmp_path: Path) -> None:
    (tmp_path / "gone.nii.gz").symlink_to(tmp_path / "annex" / "object")
    assert find_scans([tmp_path], out=tmp_path / "o", model_id="m") == [tmp_path / "gone.nii.gz"]


def test_links_to_one_stored_file_are_scans_of_their_own_names(tmp_path: Path) -> None:
    touch(tmp_path / ".store" / "5f3a.nii.gz")
    for name in ("sub-01.nii.gz", "sub-02.nii.gz"):
        (tmp_path / name).symlink_to(tmp_path / ".store" / "5f3a.nii.gz")
    found = find_scans([tmp_path], out=tmp_path / "o", model_id="m")
    assert output_names(found, "m") == ["sub-01_m.nii.gz", "sub-02_m.nii.gz"]


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
