"""Each plane of a converted scan is one slice of its DICOM series, found by position; where it is not, why."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread

from meshnet.scan.dicom import convert_dicom
from meshnet.scan.dicom_planes import SliceGeometry, pixels_of, plane_on_grid
from meshnet.scan.dicom_slices import DicomSeries, SourceSlices, find_slices
from meshnet.scan.nifti import Scan, read_scan
from meshnet.scan.scan_stream import ScanError
from tests.helpers.dicom_series import sop_instance_uid, write_enhanced, write_series
from tests.helpers.scan_files import affine_of

#: Directions of columns, rows and slices in patient space. "S", a slice above the other, is no longer along the normal
#: where the third letter is changed to "I": the normal is flipped.
ORIENTATIONS = ["LPS", "LPI", "RAS", "ASL", "PSR", "RIA", "LIP", "AIR"]


def noise(seed: int = 1) -> NDArray[np.int16]:
    """Voxels of which no mirror image or transposed image looks alike; odd sizes, all different."""
    return np.random.default_rng(seed).integers(0, 1000, (9, 12, 10)).astype(np.int16)


def oblique(axes: str) -> NDArray[np.float64]:
    return affine_of(axes=axes, voxel_size_mm=(1.1, 0.9, 3.3), rotation_deg=(12, -9, 17), origin_mm=(3.3, -41.7, 20.1))


def converted(files: list[Path], work: Path, frame: int | None = None) -> tuple[DicomSeries, Scan]:
    (series,) = convert_dicom(files, work, where="in")
    return DicomSeries(tuple(files), series.uid), read_scan(series.path, frame=frame)


def stored(slices: SourceSlices) -> NDArray[np.int16]:
    """Pixels [slice, row, column] of the files themselves."""
    return np.stack([dcmread(image.filename).pixel_array for image in slices.images])


@pytest.mark.parametrize("axes", ORIENTATIONS)
def test_every_plane_of_the_scan_has_the_pixels_of_its_slice(axes: str, tmp_path: Path) -> None:
    files = write_series(tmp_path / "in", data=noise(), affine_vox2ras=oblique(axes))
    series, scan = converted(files[::-1], tmp_path / "work")
    slices = find_slices(series, scan)
    assert len(slices.images) == 10
    np.testing.assert_array_equal(np.stack([pixels_of(scan.data, plane) for plane in slices.planes]), stored(slices))


def test_another_series_of_the_study_on_the_same_grid_is_not_mixed_in(tmp_path: Path) -> None:
    own = write_series(tmp_path / "a", data=noise(1), affine_vox2ras=oblique("LPS"))
    other = write_series(tmp_path / "b", data=noise(2), affine_vox2ras=oblique("LPS"), number=4)
    first, second = convert_dicom([*own, *other], tmp_path / "work", where="in")
    assert {first.uid, second.uid} == {"1.2.826.0.1.1.3", "1.2.826.0.1.1.4"}
    slices = find_slices(DicomSeries((*other, *own), first.uid), read_scan(first.path))
    assert {image.SeriesNumber for image in slices.images} == {3}


def test_of_several_volumes_the_slices_of_the_chosen_one_are_found_by_their_pixels(tmp_path: Path) -> None:
    volumes = [noise(1), noise(2)]
    files = [
        file
        for n in (0, 1)
        for file in write_series(tmp_path / "in", data=volumes[n], affine_vox2ras=oblique("LPS"), volume=n)
    ]
    for frame in (0, 1):
        series, scan = converted(files, tmp_path / f"work{frame}", frame=frame)
        slices = find_slices(series, scan)
        expected = {sop_instance_uid("1.2.826.0.1.1.3", k, frame) for k in range(10)}
        assert {str(image.SOPInstanceUID) for image in slices.images} == expected


def test_slices_that_are_empty_in_every_volume_are_those_of_the_chosen_one_all_the_same(tmp_path: Path) -> None:
    volumes = [noise(1), noise(2), noise(3)]
    for volume in volumes:
        volume[:, :, [0, 1, 9]] = 0
    files = [
        file
        for n, volume in enumerate(volumes)
        for file in write_series(tmp_path / "in", data=volume, affine_vox2ras=oblique("RIA"), volume=n)
    ]
    series, scan = converted(files[::-1], tmp_path / "work", frame=1)
    slices = find_slices(series, scan)
    expected = {sop_instance_uid("1.2.826.0.1.1.3", k, 1) for k in range(10)}
    assert {str(image.SOPInstanceUID) for image in slices.images} == expected


def test_the_frames_of_an_enhanced_image_are_the_planes_in_its_own_order(tmp_path: Path) -> None:
    files = write_series(tmp_path / "in", data=noise(), affine_vox2ras=oblique("PSR"))
    image = write_enhanced(tmp_path / "multi" / "IM1", files)
    series, scan = converted([image], tmp_path / "work")
    slices = find_slices(series, scan)
    assert len(slices.images) == 1
    found = np.stack([pixels_of(scan.data, plane) for plane in slices.planes])
    np.testing.assert_array_equal(found, dcmread(image).pixel_array)


def test_a_series_that_dcm2niix_resampled_is_refused_by_name(tmp_path: Path) -> None:
    files = write_series(tmp_path / "in", affine_vox2ras=oblique("LPS"), without=(18, 19, 20))
    (series,) = convert_dicom(files, tmp_path / "work", where="in")
    scan = read_scan(series.path)
    scan = Scan(scan.where, scan.data, scan.affine_vox2ras, scan.header, scan.stored_dtype, series.notes)
    with pytest.raises(ScanError, match=r"no slice in the DICOM series, the first is slice \d+; dcm2niix resampled"):
        find_slices(DicomSeries(tuple(files), series.uid), scan)


def test_a_missing_slice_and_missing_identifiers_are_refused_in_words(tmp_path: Path) -> None:
    files = write_series(tmp_path / "in", data=noise(), affine_vox2ras=oblique("LPS"))
    series, scan = converted(files, tmp_path / "work")
    with pytest.raises(ScanError, match=r"1 of the converted scan's 10 slices have no slice .*, the first is slice 4;"):
        find_slices(DicomSeries(tuple(files[:4] + files[5:]), series.series_uid), scan)
    with pytest.raises(ScanError, match="2 slices of the series lie in one plane, and 0 of them have the pixels"):
        find_slices(DicomSeries((*files, files[3]), series.series_uid), replaced(scan, scan.data + 1))
    with pytest.raises(ScanError, match="DICOM-SEG needs a Series Instance UID"):
        find_slices(DicomSeries(tuple(files), None), scan)
    image = dcmread(files[0])
    del image.FrameOfReferenceUID
    image.save_as(files[0])
    with pytest.raises(ScanError, match=re.escape(f"{files[0]}: DICOM-SEG needs FrameOfReferenceUID, which")):
        find_slices(series, scan)


def replaced(scan: Scan, data: NDArray[np.generic]) -> Scan:
    return Scan(scan.where, data, scan.affine_vox2ras, scan.header, scan.stored_dtype, scan.notes)


def test_a_slice_beside_the_grid_or_of_another_size_is_no_plane_of_it() -> None:
    affine = np.diag([2.0, 2.0, 5.0, 1.0])
    shape = (9, 12, 10)

    def plane(**changes: object) -> object:
        # Voxel (8, 11, 3) is at the first pixel: columns run to the left (x of LPS), rows to the back.
        fields: dict[str, object] = {
            "position_mm": (-16.0, -22.0, 15.0),
            "orientation": (1, 0, 0, 0, 1, 0),
            "spacing_mm": (2.0, 2.0),
            "rows": 12,
            "columns": 9,
        }
        return plane_on_grid(SliceGeometry(**(fields | changes)), affine, shape)  # type: ignore[arg-type]

    found = plane()
    assert found is not None
    assert (found.axis, found.index) == (2, 3)  # type: ignore[attr-defined]
    assert plane(position_mm=(-16.0, -22.0, 15.4)) is not None  # 0.08 voxels
    for changes in (
        {"position_mm": (-16.0, -22.0, 17.0)},
        {"position_mm": (-16.0, -22.0, 50.0)},
        {"position_mm": (-14.0, -22.0, 15.0)},
        {"rows": 11},
        {"spacing_mm": (2.0, 1.9)},
        {"orientation": (0.7071, 0.7071, 0, -0.7071, 0.7071, 0)},
        {"orientation": (0, 0, 0, 0, 0, 0)},
        {"orientation": (1, 0, 0, 1, 0, 0)},
    ):
        assert plane(**changes) is None, changes
