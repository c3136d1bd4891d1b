"""DICOM-SEG of a DICOM scan: valid, on the series' own slices, coded, and with the voxels of the NIfTI result."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import highdicom
import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread

import meshnet
from meshnet.infer.dicom_seg import save_dicom_seg
from meshnet.infer.predict import main
from meshnet.model.shipped import known_models
from meshnet.model.spec import ModelSpec, read_spec
from meshnet.scan.dicom import convert_dicom, is_segmentation
from meshnet.scan.dicom_slices import DicomSeries, find_slices
from meshnet.scan.nifti import read_scan
from meshnet.scan.scan_stream import ScanError
from tests.helpers.bright_model import write_bright_model
from tests.helpers.dicom_check import dicom_errors
from tests.helpers.dicom_series import sop_instance_uid, write_enhanced, write_series
from tests.helpers.heads import head, write_head
from tests.helpers.scan_files import affine_of

SERIES = "1.2.826.0.1.1.3"


@pytest.fixture
def joint() -> ModelSpec:
    """Labels csf, grey, white and lesion."""
    return read_spec(known_models()["t2-lesion"] / "model.json")


def source_labels() -> NDArray[np.uint8]:
    """Labels 0 to 4 [column, row, slice] that no flip leaves as they are; slice 2 has none. Sizes no multiple of 8."""
    labels = np.random.default_rng(5).integers(0, 5, (9, 13, 8)).astype(np.uint8)
    labels[:, :, 2] = 0
    return labels


def pixels_by_slice(path: Path, count: int) -> NDArray[np.uint8]:
    """Segment numbers [column, row, slice] of a DICOM-SEG, by the slices that its frames refer to."""
    seg = highdicom.seg.segread(path)
    uids = [sop_instance_uid(SERIES, k) for k in range(count)]
    pixels = seg.get_pixels_by_source_instance(
        uids, combine_segments=True, assert_missing_frames_are_empty=True, ignore_spatial_locations=False
    )
    return np.asarray(pixels).transpose(2, 1, 0)


@pytest.mark.parametrize("axes", ["LPS", "LPI", "RIA", "PSR"])
def test_each_slice_has_its_own_labels_wherever_it_lies(axes: str, joint: ModelSpec, tmp_path: Path) -> None:
    affine = affine_of(axes=axes, voxel_size_mm=(1.1, 0.9, 3.3), rotation_deg=(12, -9, 17), origin_mm=(3, -41, 20))
    data = source_labels().astype(np.int16) * 100
    files = write_series(tmp_path / "in", data=data, affine_vox2ras=affine)
    (series,) = convert_dicom(files, tmp_path / "work", where="in")
    scan = read_scan(series.path)
    slices = find_slices(DicomSeries(tuple(files), series.uid), scan)
    path = tmp_path / "out.dcm"
    save_dicom_seg(path, (scan.data // 100).astype(np.uint8), slices, joint, all_labels=True)

    np.testing.assert_array_equal(pixels_by_slice(path, 8), source_labels())
    assert dicom_errors(path) == []
    seg, source = dcmread(path), dcmread(files[0])
    assert (seg.StudyInstanceUID, seg.FrameOfReferenceUID) == (source.StudyInstanceUID, source.FrameOfReferenceUID)
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == SERIES
    assert seg.SeriesInstanceUID != SERIES
    for frame in seg.PerFrameFunctionalGroupsSequence:
        (referred,) = frame.DerivationImageSequence[0].SourceImageSequence
        slice_ = next(f for f in files if dcmread(f).SOPInstanceUID == referred.ReferencedSOPInstanceUID)
        np.testing.assert_allclose(
            frame.PlanePositionSequence[0].ImagePositionPatient, dcmread(slice_).ImagePositionPatient
        )


def test_segments_are_coded_and_the_algorithm_is_named(joint: ModelSpec, tmp_path: Path) -> None:
    files = write_series(tmp_path / "in", data=source_labels().astype(np.int16))
    (series,) = convert_dicom(files, tmp_path / "work", where="in")
    scan = read_scan(series.path)
    slices = find_slices(DicomSeries(tuple(files), series.uid), scan)
    save_dicom_seg(tmp_path / "out.dcm", scan.data.astype(np.uint8), slices, joint, all_labels=False)
    seg = dcmread(tmp_path / "out.dcm")
    (segment,) = seg.SegmentSequence
    assert segment.SegmentLabel == "lesion"
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == "55641003"
    assert segment.SegmentedPropertyCategoryCodeSequence[0].CodeMeaning == "Morphologically Abnormal Structure"
    assert segment.AnatomicRegionSequence[0].CodeMeaning == "Brain"
    algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
    assert algorithm.AlgorithmName == joint.name
    assert algorithm.AlgorithmVersion == f"MeshNet {meshnet.__version__}, weights {joint.weights.sha256[:12]}"
    np.testing.assert_array_equal(pixels_by_slice(tmp_path / "out.dcm", 8), source_labels() == 4)


def test_an_enhanced_image_and_an_empty_mask_are_valid_too(joint: ModelSpec, tmp_path: Path) -> None:
    files = write_series(tmp_path / "in", data=source_labels().astype(np.int16))
    image = write_enhanced(tmp_path / "multi" / "IM1", files)
    (series,) = convert_dicom([image], tmp_path / "work", where="in")
    scan = read_scan(series.path)
    slices = find_slices(DicomSeries((image,), series.uid), scan)
    save_dicom_seg(tmp_path / "out.dcm", scan.data.astype(np.uint8), slices, joint, all_labels=True)
    assert dicom_errors(tmp_path / "out.dcm") == []
    seg = highdicom.seg.segread(tmp_path / "out.dcm")
    source = dcmread(image)
    pixels = seg.get_pixels_by_source_frame(
        source.SOPInstanceUID,
        list(range(1, 9)),
        combine_segments=True,
        assert_missing_frames_are_empty=True,
        ignore_spatial_locations=False,
    )
    np.testing.assert_array_equal(pixels, source.pixel_array)
    save_dicom_seg(tmp_path / "empty.dcm", np.zeros(scan.data.shape, np.uint8), slices, joint, all_labels=False)
    assert dicom_errors(tmp_path / "empty.dcm") == []
    assert not dcmread(tmp_path / "empty.dcm").pixel_array.any()


def test_the_command_line_writes_it_beside_the_result_of_a_folder_and_of_a_zip(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_bright_model(tmp_path / "bright", threshold=0.5)
    files = write_series(tmp_path / "head")
    with zipfile.ZipFile(tmp_path / "zipped.zip", "w") as archive:
        for file in files:
            archive.write(file, f"a/{file.name}")
    out = tmp_path / "out"
    words = [str(tmp_path / name) for name in ("bright", "head", "zipped.zip")]
    assert main([*words, "-o", str(out), "--dicom-seg", "--json", "-q"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 2
    (series,) = convert_dicom(files, tmp_path / "work", where="in")
    scan = read_scan(series.path)
    slices = find_slices(DicomSeries(tuple(files), series.uid), scan)
    for line in lines:
        labels = np.asarray(nib.load(line["output"]).dataobj)
        assert Path(line["dicom_seg"]) == Path(line["output"].replace(".nii.gz", ".dcm"))
        assert is_segmentation(Path(line["dicom_seg"]))
        uids = [str(image.SOPInstanceUID) for image in slices.images]
        by_slice = dict(zip(uids, slices.pixels(labels), strict=True))
        expected = np.stack([by_slice[sop_instance_uid(SERIES, k)] for k in range(40)]).transpose(2, 1, 0)
        assert expected.sum() == line["volumes"][1]["voxels"] > 100
        np.testing.assert_array_equal(pixels_by_slice(Path(line["dicom_seg"]), 40), expected)
    # A second run leaves its own segmentation out, wherever it lies.
    Path(lines[0]["dicom_seg"]).rename(tmp_path / "head" / "IMSEG")
    assert main([*words[:2], "-o", str(out), "--dicom-seg", "--json", "-q", "--skip-done"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_scan_that_is_no_dicom_and_a_resampled_one_fail_before_the_network_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_bright_model(tmp_path / "bright")
    nifti = write_head(tmp_path / "plain.nii")
    write_series(tmp_path / "gap", without=(18, 19, 20))
    assert main([str(tmp_path / "bright"), str(nifti), str(tmp_path / "gap"), "--dicom-seg", "-q"]) == 1
    errors = capsys.readouterr().err
    assert f"{nifti}: --dicom-seg needs a scan that is a DICOM series; leave it out for other files" in errors
    assert "have no slice in the DICOM series, the first is slice" in errors
    assert "dcm2niix resampled the series; leave --dicom-seg out and use the NIfTI result" in errors
    assert not list(tmp_path.glob("*bright*.*"))


def test_segmentations_alone_are_no_scan(tmp_path: Path, joint: ModelSpec) -> None:
    files = write_series(tmp_path / "in", data=head()[:, :, 15:25])
    (series,) = convert_dicom(files, tmp_path / "work", where="in")
    scan = read_scan(series.path)
    slices = find_slices(DicomSeries(tuple(files), series.uid), scan)
    save_dicom_seg(tmp_path / "a.dcm", np.ones(scan.data.shape, np.uint8), slices, joint, all_labels=True)
    with pytest.raises(ScanError, match=r"a\.dcm: these DICOM files are segmentations; give the series"):
        convert_dicom([tmp_path / "a.dcm"], tmp_path / "work2", where=str(tmp_path / "a.dcm"))


def test_python_saves_dicom_seg_of_a_zip_and_says_why_not_of_a_nifti_file(tmp_path: Path) -> None:
    write_bright_model(tmp_path / "bright", threshold=0.5)
    with zipfile.ZipFile(tmp_path / "zipped.zip", "w") as archive:
        for file in write_series(tmp_path / "head"):
            archive.write(file, file.name)
    found = meshnet.segment(tmp_path / "zipped.zip", tmp_path / "bright")
    path = found.save(tmp_path / "out.dcm")
    assert (pixels_by_slice(path, 40) > 0).sum() == (np.asarray(found.labels.dataobj) > 0).sum() > 100
    plain = meshnet.segment(write_head(tmp_path / "plain.nii"), tmp_path / "bright")
    with pytest.raises(ScanError, match=r"not read from a DICOM series, which DICOM-SEG needs; save it as \.nii\.gz"):
        plain.save(tmp_path / "plain.dcm")
