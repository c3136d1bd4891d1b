"""The page's DICOM-SEG is highdicom's: the same attributes, references, geometry and voxels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import highdicom
import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from meshnet import __version__
from meshnet.infer.dicom_seg import save_dicom_seg
from meshnet.infer.segment_codes import TABLE, codes_of
from meshnet.model.shipped import known_models
from meshnet.model.spec import Label, ModelSpec, dump_spec, read_spec
from meshnet.scan.dicom import convert_dicom
from meshnet.scan.dicom_slices import DicomSeries, find_slices
from meshnet.scan.nifti import Scan, read_scan
from tests.helpers.dicom_check import dicom_errors
from tests.helpers.dicom_series import as_echoes, write_enhanced, write_series
from tests.helpers.parity.prepared import Site
from tests.helpers.paths import REPO
from tests.helpers.scan_files import affine_of

#: Differ from file to file: new UIDs, times, and who wrote it.
NOT_COMPARED = {
    "SOPInstanceUID",
    "MediaStorageSOPInstanceUID",
    "DimensionOrganizationUID",
    "InstanceCreationDate",
    "InstanceCreationTime",
    "ContentDate",
    "ContentTime",
    "ContributingEquipmentSequence",
    "ImplementationClassUID",
    "ImplementationVersionName",
    "FileMetaInformationGroupLength",
}


def a_spec() -> ModelSpec:
    return read_spec(known_models()["t2-lesion"] / "model.json")


def a_model(spec: ModelSpec) -> dict[str, Any]:
    return {**json.loads(dump_spec(spec)), "weightsSha256": spec.weights.sha256}


def elements(dataset: Dataset, where: str = "") -> Iterator[tuple[str, str, Any]]:
    """Path, VR and value of every element that is compared."""
    for element in dataset:
        name = f"{where}/{element.keyword}"
        if element.keyword in NOT_COMPARED or name in ("/SeriesInstanceUID", "/PixelData"):
            continue
        if element.VR == "SQ":
            for n, item in enumerate(element.value):
                yield from elements(item, f"{name}[{n}]")
        elif element.VR == "DS":
            values = element.value if element.VM > 1 else [element.value]
            yield name, "DS", tuple(round(float(value), 6) for value in values if value not in (None, ""))
        else:
            yield name, element.VR, str(element.value or "")


def by_site(site: Site, series: DicomSeries, scan: Scan, labels: NDArray[np.uint8], out: Path, **options: bool) -> Any:
    """Write the page's DICOM-SEG to `out`; returns {} or an error."""
    raw = out.with_suffix(".u8")
    raw.write_bytes(labels.tobytes(order="F"))
    voxels = out.with_suffix(".f64")
    voxels.write_bytes(scan.data.astype("<f8").tobytes(order="F"))
    (result,) = site(
        [
            {
                "dicomSeg": [str(file) for file in series.files],
                "seriesUid": series.series_uid,
                "labels": str(raw),
                "voxels": str(voxels),
                "dims": scan.data.shape,
                "affine": scan.affine_vox2ras.reshape(-1).tolist(),
                "model": a_model(a_spec()),
                "allLabels": True,
                "version": __version__,
                **options,
                "out": str(out),
            }
        ]
    )
    return result


@pytest.mark.parametrize("axes", ["LPS", "LPI", "RIA", "PSR", "enhanced"])
def test_both_write_the_same_segmentation(axes: str, site: Site, tmp_path: Path) -> None:
    affine = affine_of(
        axes="LPS" if axes == "enhanced" else axes,
        voxel_size_mm=(1.1, 0.9, 3.3),
        rotation_deg=(12, -9, 17),
        origin_mm=(3, -41, 20),
    )
    data = np.random.default_rng(5).integers(0, 5, (9, 13, 8)).astype(np.int16)
    data[:, :, 2] = 0
    files = write_series(tmp_path / "in", data=data, affine_vox2ras=affine)
    if axes == "enhanced":
        files = [write_enhanced(tmp_path / "multi" / "IM1", files)]
    others = write_series(tmp_path / "other", data=data, affine_vox2ras=affine, number=5)
    series = next(
        s for s in convert_dicom([*files, *others], tmp_path / "work", where="in") if not s.name.startswith("5")
    )
    scan = read_scan(series.path)
    labels = scan.data.astype(np.uint8)
    python, page = tmp_path / "python.dcm", tmp_path / "page.dcm"
    save_dicom_seg(
        python, labels, find_slices(DicomSeries((*files, *others), series.uid), scan), a_spec(), all_labels=True
    )
    assert by_site(site, DicomSeries((*others, *files[::-1]), series.uid), scan, labels, page) == {}

    expected, found = dcmread(python), dcmread(page)
    assert list(elements(found.file_meta)) == list(elements(expected.file_meta))
    differing = set(elements(found)) ^ set(elements(expected))
    if axes == "enhanced":  # highdicom also copies the trial's empty attributes
        differing = {item for item in differing if not item[0].startswith("/ClinicalTrial")}
    assert differing == set()
    np.testing.assert_array_equal(found.pixel_array, expected.pixel_array)
    assert len(found.PixelData) % 2 == 0
    assert dicom_errors(page) == []


@pytest.mark.parametrize("kind", ["repetitions", "echoes"])
def test_of_several_volumes_in_one_series_both_refer_to_the_slices_of_the_segmented_one(
    kind: str, site: Site, tmp_path: Path
) -> None:
    """Oblique, flipped and anisotropic; the outermost slices are empty in every volume."""
    affine = affine_of(axes="RIA", voxel_size_mm=(1.1, 0.9, 3.3), rotation_deg=(12, -9, 17), origin_mm=(3, -41, 20))
    volumes = [np.random.default_rng(n).integers(0, 5, (9, 13, 8)).astype(np.int16) for n in range(3)]
    for volume in volumes:
        volume[:, :, [0, 7]] = 0
    files = [
        write_series(tmp_path / "in", data=volume, affine_vox2ras=affine, volume=n) for n, volume in enumerate(volumes)
    ]
    if kind == "echoes":
        as_echoes(files)
    every = tuple(file for volume in files for file in volume)
    found = convert_dicom(every, tmp_path / "work", where="in")
    assert len(found) == (3 if kind == "echoes" else 1)
    scan = read_scan(found[1].path) if kind == "echoes" else read_scan(found[0].path, frame=1)
    series = DicomSeries(every[::-1], found[0].uid)
    labels = scan.data.astype(np.uint8)
    python, page = tmp_path / "python.dcm", tmp_path / "page.dcm"
    save_dicom_seg(python, labels, find_slices(series, scan), a_spec(), all_labels=True)
    assert by_site(site, series, scan, labels, page) == {}
    expected, written = dcmread(python), dcmread(page)
    assert set(elements(written)) == set(elements(expected))
    np.testing.assert_array_equal(written.pixel_array, expected.pixel_array)
    referenced = {str(item.ReferencedSOPInstanceUID) for item in written.SourceImageSequence}
    assert referenced == {str(dcmread(file).SOPInstanceUID) for file in files[1]}


def test_of_an_enhanced_image_of_several_volumes_the_page_refers_to_the_frames_of_the_segmented_one(
    site: Site, tmp_path: Path
) -> None:
    affine = affine_of(axes="LPS", voxel_size_mm=(1.1, 0.9, 3.3), rotation_deg=(12, -9, 17), origin_mm=(3, -41, 20))
    volumes = [np.random.default_rng(n).integers(0, 5, (9, 13, 8)).astype(np.int16) for n in range(2)]
    files = [
        file
        for n, volume in enumerate(volumes)
        for file in write_series(tmp_path / "in", data=volume, affine_vox2ras=affine, volume=n)
    ]
    image = write_enhanced(tmp_path / "multi" / "IM1", files)
    series = DicomSeries((image,), str(dcmread(image).SeriesInstanceUID))
    for frame in (0, 1):
        nib.save(nib.Nifti1Image(volumes[frame], affine), tmp_path / "scan.nii")
        scan = read_scan(tmp_path / "scan.nii")
        labels = scan.data.astype(np.uint8)
        page = tmp_path / f"page{frame}.dcm"
        assert by_site(site, series, scan, labels, page) == {}
        assert dicom_errors(page) == []
        stored = dcmread(image).pixel_array
        read = highdicom.seg.segread(page)
        for n, groups in enumerate(read.PerFrameFunctionalGroupsSequence):
            source = groups.DerivationImageSequence[0].SourceImageSequence[0]
            number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
            label = [label.index for label in a_spec().labels if label.index > 0][number - 1]
            np.testing.assert_array_equal(
                read.pixel_array[n] > 0, stored[int(source.ReferencedFrameNumber) - 1] == label
            )


def test_an_empty_mask_is_valid_and_missing_slices_are_refused(site: Site, tmp_path: Path) -> None:
    files = write_series(tmp_path / "in", data=np.arange(9 * 13 * 8).reshape(9, 13, 8).astype(np.int16))
    (series,) = convert_dicom(files, tmp_path / "work", where="in")
    scan = read_scan(series.path)
    empty = np.zeros(scan.data.shape, np.uint8)
    assert by_site(site, DicomSeries(tuple(files), series.uid), scan, empty, tmp_path / "empty.dcm") == {}
    assert dicom_errors(tmp_path / "empty.dcm") == []
    assert not dcmread(tmp_path / "empty.dcm").pixel_array.any()
    assert {segment.SegmentAlgorithmType for segment in dcmread(tmp_path / "empty.dcm").SegmentSequence} == {
        "AUTOMATIC"
    }
    by_hand = DicomSeries(tuple(files), series.uid)
    assert by_site(site, by_hand, scan, np.ones_like(empty), tmp_path / "edited.dcm", isEdited=True) == {}
    assert dicom_errors(tmp_path / "edited.dcm") == []
    assert {s.SegmentAlgorithmType for s in dcmread(tmp_path / "edited.dcm").SegmentSequence} == {"SEMIAUTOMATIC"}
    refused = by_site(site, DicomSeries((*files[:3], *files[4:]), series.uid), scan, empty, tmp_path / "no.dcm")
    assert (
        "1 of the converted scan’s 8 slices have no slice in the DICOM series, the first is slice" in refused["error"]
    )
    refused = by_site(site, DicomSeries((*files, files[2]), series.uid), scan, empty, tmp_path / "no.dcm")
    assert "2 slices of the series lie in one plane, and 2 of them have the pixels of the scan" in refused["error"]


def test_both_give_the_same_codes_from_one_table(site: Site) -> None:
    copy = REPO / "static/src/generated/segment-codes.json"
    assert copy.read_text() == TABLE.read_text(), f"run: cp {TABLE.relative_to(REPO)} {copy.relative_to(REPO)}"
    names = ["lesion", "Left-Thalamus-Proper*", "ctx-lh-cuneus", "CC_Central", "grey", "unknown thing", "3rd-Ventricle"]
    for task in ("brain tissue", "Stroke lesion"):
        spec = a_spec().model_copy(update={"task": task})
        (found,) = site([{"segmentCodes": names, "task": task}])
        for name, page in zip(names, found, strict=True):
            codes = codes_of(Label(index=1, name=name, color=(0, 0, 0)), spec)
            assert tuple(page["category"]) == codes.category
            assert tuple(page["type"]) == codes.type
            assert (page["region"] and tuple(page["region"])) == codes.region
