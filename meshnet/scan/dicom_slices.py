"""Find the DICOM slice of every plane of a scan that dcm2niix converted, so that masks lie on the series' own slices.

Slices are matched by their position in space, never by their order. pydicom reads them (the extra `dicom`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from meshnet.scan.dicom_planes import PlaneOnGrid, SliceGeometry, pixels_of, plane_on_grid
from meshnet.scan.nifti import Scan
from meshnet.scan.scan_stream import ScanError

if TYPE_CHECKING:
    from pydicom import Dataset

#: Attributes that a slice needs so that a segmentation can refer to it.
_REFERENCES = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID")

#: Attributes that give a slice its place.
_PLACE = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns")


@dataclass(frozen=True)
class DicomSeries:
    """The DICOM files of a converted scan."""

    files: tuple[Path, ...]  #: all files that were given; other series may be among them
    series_uid: str | None  #: Series Instance UID; None if the files have none


@dataclass(frozen=True)
class SourceSlices:
    """The slices of one scan, each with the plane of the scan's grid that it is."""

    images: tuple[Dataset, ...]  #: headers without pixels: one per slice, or one multi-frame image
    planes: tuple[PlaneOnGrid, ...]  #: of each image, or of each frame of the one image

    def pixels(self, voxels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Voxels [i, j, k] on the scan's grid as pixels [slice, row, column] in the order of `planes`."""
        return np.stack([pixels_of(voxels, plane) for plane in self.planes]).astype(np.uint8, copy=False)


@dataclass(frozen=True)
class _Slice:
    image: Dataset
    path: Path
    plane: PlaneOnGrid


def find_slices(series: DicomSeries, scan: Scan) -> SourceSlices:
    """The slices that `scan` was converted from, one for each plane of its grid.

    Where several slices lie in one plane (other times or echoes of the series), the one with the scan's pixels is
    taken. Raises ScanError if pydicom is missing, if the slices lack identifiers or positions, or if a plane has no
    slice, as after dcm2niix resampled the series.
    """
    images = _images(series, scan.where)
    for path, image in images:
        if missing := [name for name in _REFERENCES if not image.get(name)]:
            raise ScanError(f"{path}: DICOM-SEG needs {', '.join(missing)}, which this slice lacks; {_LEAVE_OUT}")
    if enhanced := [image for _, image in images if "PerFrameFunctionalGroupsSequence" in image]:
        return _multi_frame(enhanced, scan)
    found = [
        _Slice(image, path, plane)
        for path, image in images
        if (plane := plane_on_grid(_geometry(image, image, image, image), scan.affine_vox2ras, scan.data.shape))
        is not None
    ]
    count = _plane_count([slice_.plane for slice_ in found], scan, len(images))
    chosen = _of_scan([[s for s in found if s.plane.index == index] for index in range(count)], scan)
    frames_of_reference = {str(slice_.image.FrameOfReferenceUID) for slice_ in chosen}
    if len(frames_of_reference) > 1:
        raise ScanError(
            f"{scan.where}: its slices have {len(frames_of_reference)} frames of reference, a DICOM-SEG has one; "
            f"{_LEAVE_OUT}"
        )
    return SourceSlices(tuple(s.image for s in chosen), tuple(s.plane for s in chosen))


_LEAVE_OUT = "leave --dicom-seg out and use the NIfTI result"


def _images(series: DicomSeries, where: str) -> list[tuple[Path, Dataset]]:
    """Headers of the series' images that have a place in space, with their paths."""
    try:
        import pydicom
        from pydicom.errors import InvalidDicomError
    except ModuleNotFoundError as error:
        raise ScanError(f"{where}: DICOM-SEG needs pydicom; pip install 'meshnet[dicom]'") from error
    if series.series_uid is None:
        raise ScanError(f"{where}: DICOM-SEG needs a Series Instance UID, which its slices lack; {_LEAVE_OUT}")
    images: list[tuple[Path, Dataset]] = []
    for path in series.files:
        try:
            uid = pydicom.dcmread(path, stop_before_pixels=True, force=True, specific_tags=["SeriesInstanceUID"])
            if uid.get("SeriesInstanceUID") != series.series_uid:
                continue
            image = pydicom.dcmread(path, stop_before_pixels=True, force=True)
        except (InvalidDicomError, OSError, ValueError):
            continue
        if all(name in image for name in _PLACE) or "PerFrameFunctionalGroupsSequence" in image:
            images.append((path, image))
    return images


def _multi_frame(images: Sequence[Dataset], scan: Scan) -> SourceSlices:
    """The frames of an enhanced image, which must be the planes of the scan, each once."""
    if len(images) > 1:
        raise ScanError(
            f"{scan.where}: is made of {len(images)} multi-frame images, DICOM-SEG can have one; {_LEAVE_OUT}"
        )
    (image,) = images
    shared = image.get("SharedFunctionalGroupsSequence") or [{}]
    planes = []
    for frame in image.PerFrameFunctionalGroupsSequence:
        groups = [_group(name, frame, shared[0]) for name in _PLACE_GROUPS]
        if None in groups:
            raise ScanError(f"{scan.where}: a frame of its multi-frame image has no place in space; {_LEAVE_OUT}")
        position, orientation, measures = groups
        plane = plane_on_grid(_geometry(position, orientation, measures, image), scan.affine_vox2ras, scan.data.shape)
        if plane is not None:
            planes.append(plane)
    total = len(image.PerFrameFunctionalGroupsSequence)
    count = _plane_count(planes, scan, total)
    if total > count:
        raise ScanError(
            f"{scan.where}: its multi-frame image has {total} frames and the scan {count} slices, so it holds several "
            f"volumes; DICOM-SEG needs one; {_LEAVE_OUT}"
        )
    return SourceSlices((image,), tuple(planes))


_PLACE_GROUPS = ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")


def _group(name: str, *groups: Any) -> Any:
    """The item of a functional group, of the frame or shared by all; None if neither has it."""
    return next((group[name][0] for group in groups if name in group), None)


def _geometry(position: Any, orientation: Any, measures: Any, image: Any) -> SliceGeometry:
    return SliceGeometry(
        position_mm=[float(x) for x in position.ImagePositionPatient],
        orientation=[float(x) for x in orientation.ImageOrientationPatient],
        spacing_mm=[float(x) for x in measures.PixelSpacing],
        rows=int(image.Rows),
        columns=int(image.Columns),
    )


def _plane_count(planes: Iterable[PlaneOnGrid], scan: Scan, slices: int) -> int:
    """Number of planes of the grid that the slices fill. Raises ScanError if they leave one empty."""
    planes = list(planes)
    reason = "; dcm2niix resampled the series" if any(note.code == "dicom-resampled" for note in scan.notes) else ""
    if not planes:
        raise ScanError(
            f"{scan.where}: none of the series' {slices} slices lies on the grid of the converted scan, "
            f"{scan.data.shape} voxels{reason}; {_LEAVE_OUT}"
        )
    count = int(scan.data.shape[planes[0].axis])
    filled = {plane.index for plane in planes if plane.axis == planes[0].axis}
    if len(filled) < count:
        missing = next(index for index in range(count) if index not in filled)
        raise ScanError(
            f"{scan.where}: {count - len(filled)} of the converted scan's {count} slices have no slice in the DICOM "
            f"series, the first is slice {missing}{reason}; {_LEAVE_OUT}"
        )
    return count


def _of_scan(planes: Sequence[list[_Slice]], scan: Scan) -> list[_Slice]:
    """Of the slices in each plane the one that has the scan's pixels.

    Where several have them, as empty slices do, the one at the place that the scan's other slices have among the
    slices of their planes.
    """
    for slices in planes:
        slices.sort(key=lambda slice_: int(slice_.image.get("InstanceNumber") or 0))
    alike = [
        [0] if len(slices) == 1 else [n for n, slice_ in enumerate(slices) if _has_pixels_of(slice_, scan)]
        for slices in planes
    ]
    places = {found[0] for slices, found in zip(planes, alike, strict=True) if len(slices) > 1 and len(found) == 1}
    chosen = []
    for slices, found in zip(planes, alike, strict=True):
        left = found if len(found) == 1 or len(places) != 1 else [place for place in found if place in places]
        if len(left) != 1:
            raise ScanError(
                f"{scan.where}: {len(slices)} slices of the series lie in one plane, and {len(found)} of them have the "
                f"pixels of the scan; give the files of one volume alone, or leave --dicom-seg out"
            )
        chosen.append(slices[left[0]])
    return chosen


def _has_pixels_of(slice_: _Slice, scan: Scan) -> bool:
    """Whether the slice's pixels, as stored or rescaled, are those of the scan in its plane."""
    import pydicom

    try:
        image = pydicom.dcmread(slice_.path, force=True)
        stored = image.pixel_array.astype(float)
    except Exception:  # no decoder for a compressed image, or damaged: pydicom raises many kinds
        return False
    rescaled = stored * float(image.get("RescaleSlope", 1)) + float(image.get("RescaleIntercept", 0))
    expected = pixels_of(scan.data, slice_.plane).astype(float)
    return any(np.allclose(pixels, expected, rtol=1e-4, atol=1e-3) for pixels in (stored, rescaled))
