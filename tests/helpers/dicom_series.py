"""DICOM series of a small head, written slice by slice."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

from tests.helpers.heads import HEAD_AFFINE, head


def write_series(
    folder: Path,
    *,
    data: NDArray[np.int16] | None = None,
    affine_vox2ras: NDArray[np.float64] = HEAD_AFFINE,
    number: int = 3,
    description: str = "T2 test",
    study: str = "1.2.826.0.1.1",
    date: str = "20200101",
    without: Collection[int] = (),
    name: str = "IM{:04d}",
    volume: int = 0,
) -> list[Path]:
    """One file per slice (along k) of an MR series, in an order that is not spatial; returned in the order of k.

    without: slices left out. volume: of a series of several volumes, counted from 0.
    """
    data = head() if data is None else data
    affine_lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine_vox2ras
    spacing = np.linalg.norm(affine_lps[:3, :3], axis=0)
    axes = affine_lps[:3, :3] / spacing
    series, frame = f"{study}.{number}", f"{study}.9"
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for k in range(data.shape[2]):
        if k in without:
            continue
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = MRImageStorage
        meta.MediaStorageSOPInstanceUID = sop_instance_uid(series, k, volume)
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        # 7 and the number of slices have no common divisor.
        path = folder / name.format((k * 7) % data.shape[2] + volume * data.shape[2])
        slice_ = FileDataset(path, {}, file_meta=meta, preamble=b"\0" * 128)
        slice_.SOPClassUID, slice_.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
        slice_.Modality, slice_.PatientName, slice_.PatientID = "MR", "Test^Person", "T1"
        slice_.PatientBirthDate, slice_.PatientSex = "", ""
        slice_.AccessionNumber, slice_.StudyID, slice_.ReferringPhysicianName = "", "S1", ""
        slice_.Manufacturer = "Made up"
        slice_.StudyDate = slice_.SeriesDate = slice_.AcquisitionDate = slice_.ContentDate = date
        slice_.StudyTime = slice_.SeriesTime = slice_.AcquisitionTime = slice_.ContentTime = "120000"
        slice_.StudyInstanceUID, slice_.SeriesInstanceUID, slice_.FrameOfReferenceUID = study, series, frame
        slice_.SeriesNumber, slice_.SeriesDescription, slice_.InstanceNumber = (
            number,
            description,
            k + 1 + volume * data.shape[2],
        )
        slice_.ImageOrientationPatient = [float(f"{x:.9g}") for x in (*axes[:, 0], *axes[:, 1])]
        slice_.ImagePositionPatient = [float(f"{x:.9g}") for x in (affine_lps @ [0, 0, k, 1])[:3]]
        slice_.PixelSpacing = [float(f"{x:.9g}") for x in (spacing[1], spacing[0])]
        slice_.SliceThickness = float(f"{spacing[2]:.9g}")
        slice_.Rows, slice_.Columns = data.shape[1], data.shape[0]
        slice_.SamplesPerPixel, slice_.PhotometricInterpretation = 1, "MONOCHROME2"
        slice_.BitsAllocated, slice_.BitsStored, slice_.HighBit, slice_.PixelRepresentation = 16, 16, 15, 1
        slice_.PixelData = data[:, :, k].astype("<i2").tobytes(order="F")
        slice_.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def sop_instance_uid(series: str, k: int, volume: int = 0) -> str:
    """SOP Instance UID of slice k of a series that `write_series` wrote."""
    return str(generate_uid(entropy_srcs=[series, str(k), str(volume)]))


def write_enhanced(path: Path, slices: Sequence[Path]) -> Path:
    """One multi-frame Enhanced MR image of these single-frame slices."""
    import highdicom

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about attributes that the slices lack
        image = highdicom.legacy.LegacyConvertedEnhancedMRImage(
            [dcmread(slice_) for slice_ in slices], generate_uid(entropy_srcs=[str(path)]), 8, generate_uid(), 1
        )
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save_as(path, enforce_file_format=True)
    return path


def as_echoes(volumes: Sequence[Sequence[Path]]) -> None:
    """Makes these volumes of one series its echoes, of 20, 80, 140 ms."""
    for echo, files in enumerate(volumes):
        for file in files:
            slice_ = dcmread(file)
            slice_.EchoNumbers, slice_.EchoTime = echo + 1, 20 + 60 * echo
            slice_.save_as(file)


def set_transfer_syntax(path: Path, uid: str) -> None:
    """Change the transfer syntax in the meta header of a file of `write_series`; its pixels stay as they are."""
    content, old = path.read_bytes(), b"1.2.840.10008.1.2.1\0"
    new = uid.encode().ljust(len(uid) + len(uid) % 2, b"\0")
    at = content.index(old)
    changed = content[: at - 2] + len(new).to_bytes(2, "little") + new + content[at + len(old) :]
    length = changed.index(b"\2\0\0\0UL\4\0") + 8
    value = int.from_bytes(changed[length : length + 4], "little") + len(new) - len(old)
    path.write_bytes(changed[:length] + value.to_bytes(4, "little") + changed[length + 4 :])
