"""NRRD and MetaImage files lie where SimpleITK says that they do, left and right included."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from meshnet.scan.nifti import ScanError, read_scan
from tests.helpers.itk_files import ORTHOGONAL, write_itk
from tests.helpers.scan_files import GEOMETRIES, blob


@pytest.mark.parametrize("ending", [".nrrd", ".nhdr", ".mha", ".mhd"])
@pytest.mark.parametrize("name", ORTHOGONAL)
def test_every_voxel_lies_where_simpleitk_says(name: str, ending: str, tmp_path: Path) -> None:
    image = write_itk(tmp_path / f"a{ending}", name)
    scan = read_scan(tmp_path / f"a{ending}")
    affine, shape = GEOMETRIES[name]
    assert scan.data.shape == shape
    assert scan.data.dtype == np.int16
    assert np.allclose(scan.affine_vox2ras, affine, atol=1e-5)
    for voxel in ((0, 0, 0), (shape[0] - 1, 1, 0), (2, shape[1] - 1, shape[2] - 1)):
        left, posterior, superior = image.TransformIndexToPhysicalPoint(voxel)
        at = scan.affine_vox2ras @ [*voxel, 1]
        assert np.allclose(at[:3], (-left, -posterior, superior), atol=1e-5)
        assert scan.data[voxel] == image.GetPixel(voxel)
    assert [note.code for note in scan.notes] == []
    assert np.allclose(scan.header.get_sform(), affine, atol=1e-4)


def test_a_file_is_recognised_by_its_content(tmp_path: Path) -> None:
    write_itk(tmp_path / "a.nrrd", "oblique", np.float32)
    (tmp_path / "a.nrrd").rename(tmp_path / "a.nii")
    assert read_scan(tmp_path / "a.nii").data.shape == GEOMETRIES["oblique"][1]


def test_a_file_that_names_no_space_has_a_note(tmp_path: Path) -> None:
    write_itk(tmp_path / "a.nrrd", "aligned RAS")
    text = (tmp_path / "a.nrrd").read_bytes()
    head, voxels = text.split(b"\n\n", 1)
    kept = [line for line in head.splitlines() if not line.startswith((b"space", b"kinds"))]
    (tmp_path / "b.nrrd").write_bytes(b"\n".join([*kept, b"spacings: 1 1 1"]) + b"\n\n" + voxels)
    assert [note.code for note in read_scan(tmp_path / "b.nrrd").notes] == ["no-space"]
    assert not read_scan(tmp_path / "a.nrrd").notes


def test_frames_colours_and_cut_files_are_handled_in_words(tmp_path: Path) -> None:
    four = np.stack([blob((6, 7, 8), seed=seed) for seed in range(3)]).astype(np.float32)  # [frame, k, j, i]
    sitk.WriteImage(sitk.GetImageFromArray(four, isVector=False), str(tmp_path / "four.mha"))
    with pytest.raises(ScanError, match=r"four\.mha: expected a 3-D volume, got shape \(8, 7, 6, 3\); pick a frame"):
        read_scan(tmp_path / "four.mha")
    assert np.array_equal(read_scan(tmp_path / "four.mha", frame=2).data, four[2].T)
    sitk.WriteImage(sitk.GetImageFromArray(four.T.copy(), isVector=True), str(tmp_path / "colour.nrrd"))
    with pytest.raises(ScanError, match=r"colour\.nrrd: expected one value per voxel, got 3; choose"):
        read_scan(tmp_path / "colour.nrrd")
    write_itk(tmp_path / "cut.nrrd", "oblique")
    (tmp_path / "cut.nrrd").write_bytes((tmp_path / "cut.nrrd").read_bytes()[:900])
    with pytest.raises(ScanError, match=r"cut\.nrrd: SimpleITK can't read it \(.+\); get the file again"):
        read_scan(tmp_path / "cut.nrrd")


def test_without_simpleitk_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_itk(tmp_path / "a.mha", "oblique")
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(ScanError, match=r"a\.mha: NRRD and MetaImage need SimpleITK.*pip install 'meshnet\[formats\]'"):
        read_scan(tmp_path / "a.mha")
