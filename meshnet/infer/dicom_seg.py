"""Write labels as a DICOM Segmentation on the slices of the series that the scan came from, by highdicom.

The page writes the same object (static/src/volume/dicom/segmentation.ts). docs/dicom-seg.md describes the content.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from meshnet.infer.segment_codes import Code, codes_of
from meshnet.model.label_roles import shown_indices
from meshnet.model.spec import Label, ModelSpec
from meshnet.scan.dicom_slices import SourceSlices
from meshnet.scan.replacing import replacing
from meshnet.scan.scan_stream import ScanError
from meshnet.version import __version__

if TYPE_CHECKING:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import Segmentation, SegmentDescription
    from pydicom.sr.coding import Code as DicomCode

#: Attributes of patient and study that may be empty but have to be there (DICOM type 2).
_MAY_BE_EMPTY = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)

#: Added to the series number of the scan, so that a viewer lists the segmentation as another series.
_SERIES_NUMBER_OFFSET = 9000

_LONGEST_LO = 64  #: characters of a DICOM long string


def check_highdicom(where: str) -> None:
    """Raise ScanError if highdicom is not installed. where: the scan's name, for the message."""
    try:
        import highdicom  # noqa: F401
    except ModuleNotFoundError as error:
        raise ScanError(f"{where}: DICOM-SEG needs highdicom; pip install 'meshnet[dicom]'") from error


def save_dicom_seg(
    path: Path, labels_native: NDArray[np.uint8], slices: SourceSlices, spec: ModelSpec, *, all_labels: bool
) -> None:
    """Write uint8 labels [i, j, k] on the scan's grid as a DICOM-SEG file, replacing it atomically.

    One segment per label that is saved (`segment_labels`), also where no voxel has it. Raises ScanError if highdicom is
    missing or can't use the series, OSError if the file can't be written.
    """
    check_highdicom(str(path))
    segmentation = dicom_seg(labels_native, slices, spec, all_labels=all_labels)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        segmentation.save_as(partial)


def segment_labels(spec: ModelSpec, *, all_labels: bool) -> list[Label]:
    """The labels that become segments 1, 2, ...: those of the NIfTI result, without background."""
    chosen = shown_indices(spec)
    return [label for label in spec.labels if label.index > 0 and (all_labels or label.index in chosen)]


def dicom_seg(
    labels_native: NDArray[np.uint8], slices: SourceSlices, spec: ModelSpec, *, all_labels: bool
) -> Segmentation:
    """The segmentation as a data set; arguments and errors as `save_dicom_seg` has them."""
    import highdicom as hd

    labels = segment_labels(spec, all_labels=all_labels)
    numbers = np.zeros(256, np.uint8)
    numbers[[label.index for label in labels]] = np.arange(1, len(labels) + 1)
    algorithm = _algorithm(spec)
    for image in slices.images:
        for name in _MAY_BE_EMPTY:
            if name not in image:
                setattr(image, name, "")
    first = slices.images[0]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about unusual values of the source, and about an empty mask
            return hd.seg.Segmentation(
                source_images=slices.images,
                pixel_array=numbers[slices.pixels(labels_native)],
                segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
                segment_descriptions=[_description(n, label, spec, algorithm) for n, label in enumerate(labels, 1)],
                series_instance_uid=hd.UID(),
                series_number=int(first.get("SeriesNumber") or 0) + _SERIES_NUMBER_OFFSET,
                sop_instance_uid=hd.UID(),
                instance_number=1,
                manufacturer="MeshNet",
                manufacturer_model_name=spec.id[:_LONGEST_LO],
                software_versions=__version__,
                device_serial_number=spec.weights.sha256[:_LONGEST_LO],
                content_label="MESHNET",
                content_description=spec.name[:_LONGEST_LO],
                series_description=f"{spec.name} (MeshNet)"[:_LONGEST_LO],
            )
    except (ValueError, TypeError, AttributeError) as error:
        raise ScanError(f"highdicom can't write a segmentation of this series ({error})") from error


def _algorithm(spec: ModelSpec) -> AlgorithmIdentificationSequence:
    """Name of the model, version of the software and of the weights."""
    import highdicom as hd
    from pydicom.sr.codedict import codes

    return hd.AlgorithmIdentificationSequence(
        name=spec.name[:_LONGEST_LO],
        family=codes.cid7162.ArtificialIntelligence,
        version=f"MeshNet {__version__}, weights {spec.weights.sha256[:12]}",
        source="MeshNet",
    )


def _description(
    number: int, label: Label, spec: ModelSpec, algorithm: AlgorithmIdentificationSequence
) -> SegmentDescription:
    import highdicom as hd

    found = codes_of(label, spec)
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=label.name[:_LONGEST_LO],
        segmented_property_category=_sct(found.category),
        segmented_property_type=_sct(found.type),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
        anatomic_regions=None if found.region is None else [_sct(found.region)],
        display_color=hd.color.CIELabColor.from_rgb(*label.color),
    )


def _sct(code: Code) -> DicomCode:
    from pydicom.sr.coding import Code as DicomCode

    value, meaning = code
    return DicomCode(value, "SCT", meaning)
