"""`meshnet.segment`: the Python interface. docs/python.md has examples."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
from nibabel.spatialimages import SpatialImage
from numpy.typing import NDArray

from meshnet.infer.arguments import cores
from meshnet.infer.confidence import Confidence, check_confidence
from meshnet.infer.dicom_seg import save_dicom_seg
from meshnet.infer.lesions import Lesion, find_lesions
from meshnet.infer.one_scan import Prediction, Result, segment_scan
from meshnet.infer.open_model import OpenModel, open_model
from meshnet.infer.outputs import RESULT_SUFFIXES, sidecar_path
from meshnet.infer.report.folder import check_pillow
from meshnet.infer.report.of_run import write_scan_page
from meshnet.infer.sidecar import (
    Engine,
    Settings,
    Sidecar,
    is_free_for_sidecar,
    make_sidecar,
    source_file,
    write_sidecar,
)
from meshnet.infer.sources import Source, Word, find_sources, read_source
from meshnet.model.label_roles import context_indices
from meshnet.model.shipped import DEFAULT_MODEL
from meshnet.model.spec import ModelSpec
from meshnet.scan.dicom_slices import DicomSeries, SourceSlices, find_slices
from meshnet.scan.nifti import Scan, read_scan, save_labels
from meshnet.scan.notes import Note
from meshnet.scan.scan_stream import ScanError

if TYPE_CHECKING:
    from ipyniivue import NiiVue

#: Scans that `segment` takes.
ScanLike = str | os.PathLike[str] | SpatialImage | NDArray[Any]


@dataclass(frozen=True)
class Segmentation:
    """Labels of one scan, and what was measured on them."""

    labels: nib.Nifti1Image  #: uint8 [i, j, k] on the scan's own grid, under its header
    probability: nib.Nifti1Image | None  #: of the lesion, float32 0 to 1 on the same grid, if it was asked for
    volumes_ml: dict[str, float]  #: by label name, the background left out
    lesions: list[Lesion]  #: the largest first; empty for a model without a lesion label
    notes: list[Note]  #: repairs and doubts about the scan and the result (docs/inputs.md)
    model: ModelSpec
    sidecar: Sidecar  #: how this was made, as written by `save`
    _scan: Scan = field(repr=False)
    _prediction: Prediction = field(repr=False)
    _slices: SourceSlices | ScanError = field(repr=False)  #: of the DICOM series, or why there are none

    @cached_property
    def scan(self) -> nib.Nifti1Image:
        """The scan as it was read, on the grid of the labels."""
        return nib.Nifti1Image(self._scan.data, self._scan.affine_vox2ras)

    def save(self, path: str | os.PathLike[str], *, sidecar: bool = False) -> Path:
        """Write the labels as NIfTI (.nii.gz or .nii) or DICOM-SEG (.dcm), as `meshnet-predict` does; returns the path.

        DICOM-SEG lies on the slices of the DICOM series that the scan was read from (docs/dicom-seg.md) and has all
        labels. sidecar: also write the JSON file of docs/sidecar.md beside it. An existing file is replaced. Raises
        ScanError for another ending, for DICOM-SEG of a scan that was no DICOM series or that dcm2niix resampled, or if
        a JSON file that is no sidecar is in the sidecar's place, OSError if nothing can be written.
        """
        target = Path(path)
        name = target.name.lower()
        if not name.endswith((*RESULT_SUFFIXES, ".dcm")):
            raise ScanError(
                f"{target}: labels are saved as NIfTI or DICOM-SEG; end the name with .nii.gz, .nii or .dcm"
            )
        beside = sidecar_path(target)
        if sidecar and not is_free_for_sidecar(beside):
            raise ScanError(f"{beside}: is there and is no sidecar of MeshNet; choose another name")
        labels = np.asarray(self.labels.dataobj)
        if name.endswith(".dcm"):
            if isinstance(self._slices, ScanError):
                raise self._slices
            save_dicom_seg(target, labels, self._slices, self.model, all_labels=True)
        else:
            save_labels(target, labels, self._scan.header)
        if sidecar:
            write_sidecar(beside, self.sidecar)
        return target

    def report(self, path: str | os.PathLike[str]) -> Path:
        """Write a report as one HTML file, as `meshnet-predict --report` does; returns the path.

        The report has volume, longest diameter, place and side of each label and lesion, slices through the lesions and
        a mosaic; with `probability=True` also their probabilities. An existing file is replaced. Raises ScanError for a
        name that doesn't end in .html or without Pillow (the extra `report`), OSError if nothing can be written.
        """
        target = Path(path)
        if target.suffix.lower() not in (".html", ".htm"):
            raise ScanError(f"{target}: a report is one HTML file; end the name with .html")
        check_pillow()
        write_scan_page(target, self._scan, self.model, self._prediction, self.sidecar)
        return target

    def show(self) -> NiiVue:
        """A NiiVue widget of the scan with the labels over it, for a notebook.

        Raises ModuleNotFoundError if ipyniivue is not installed (the extra `notebook`).
        """
        try:
            from ipyniivue import NiiVue, Volume
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError("show() needs ipyniivue; pip install 'meshnet[notebook]'") from error
        with tempfile.TemporaryDirectory(prefix="meshnet-") as folder:
            scan, labels = Path(folder, "scan.nii.gz"), Path(folder, "labels.nii.gz")
            nib.save(self.scan, scan)
            self.save(labels)
            viewer = NiiVue()
            viewer.load_volumes(
                [
                    Volume(name=scan.name, data=scan.read_bytes(), colormap="gray"),
                    Volume(name=labels.name, data=labels.read_bytes(), colormap="red", opacity=0.5),
                ]
            )
        return viewer


def segment(
    scan: ScanLike,
    model: str | os.PathLike[str] = DEFAULT_MODEL,
    *,
    affine: NDArray[np.float64] | None = None,
    frame: int | None = None,
    threshold: float | None = None,
    flip: bool = False,
    probability: bool = False,
    remove_below_ml: float | None = None,
    keep_outside_brain: bool = False,
    strict: bool = False,
    backend: str | None = None,
    threads: int | None = None,
) -> Segmentation:
    """Segment one scan, as `meshnet-predict` does.

    scan: a path (NIfTI, MGH/MGZ, NRRD, MetaImage, or a DICOM folder or zip with one series), a nibabel image, or an
    array [i, j, k] with `affine` [4, 4] (voxel to RAS, mm). model: a known id, a model folder or a model.json.
    frame: of a 4-D scan, counted from 0. threshold: on the lesion's probability, 0 to 1; None: the most probable label.
    flip: average with the left-right mirror image. probability: keep the lesion's probabilities. remove_below_ml:
    components below this volume become background. keep_outside_brain: leave the brain rule out
    (docs/conform.md). strict: raise ScanError for notes. backend: "cpu", "onnx" or "torch"; None: the fastest.
    threads: None: all cores.

    Raises ScanError for a scan that can't be used, SpecError for a model that can't (both are ValueErrors), OSError for
    a file that can't be read, TypeError for another kind of scan.
    """
    opened = open_model(Path(model), backend=backend, threads=threads or cores())
    confidence = Confidence(threshold=threshold, flip=flip, probability=probability)
    check_confidence(opened.spec, confidence)
    with tempfile.TemporaryDirectory(prefix="meshnet-") as folder:
        name, files, read, slices = _read(scan, affine, frame, Path(folder), opened.spec.id)
        result = segment_scan(
            read,
            opened.spec,
            opened.network,
            remove_below_ml=remove_below_ml,
            keep_outside_brain=keep_outside_brain,
            confidence=confidence,
            strict=strict,
        )
        source = source_file(name, files, frame=frame)
    settings = Settings(
        threshold=threshold,
        flip=flip,
        remove_below_ml=remove_below_ml,
        keep_outside_brain=keep_outside_brain,
        all_labels=bool(context_indices(opened.spec)),
    )
    sidecar = make_sidecar(
        opened.spec,
        interface="Python",
        engine=Engine(backend=opened.backend, device=opened.device),
        source=source,
        settings=settings,
        volumes=result.volumes,
        notes=result.notes,
    )
    return _segmentation(opened, read, result, sidecar, slices)


def _segmentation(
    opened: OpenModel, scan: Scan, result: Result, sidecar: Sidecar, slices: SourceSlices | ScanError
) -> Segmentation:
    prediction = result.prediction
    maps = prediction.probability
    return Segmentation(
        labels=nib.Nifti1Image(prediction.labels_native, scan.affine_vox2ras, scan.header),
        probability=None
        if maps is None
        else nib.Nifti1Image((maps.native / np.float32(255)).astype(np.float32), scan.affine_vox2ras),
        volumes_ml={label.name: ml for label, _, ml in result.volumes if label.index > 0},
        lesions=find_lesions(
            opened.spec, prediction.labels_native, scan.affine_vox2ras, None if maps is None else maps.native
        ),
        notes=result.notes,
        model=opened.spec,
        sidecar=sidecar,
        _scan=scan,
        _prediction=prediction,
        _slices=slices,
    )


def _read(
    scan: ScanLike, affine: NDArray[np.float64] | None, frame: int | None, scratch: Path, model_id: str
) -> tuple[str, tuple[Path, ...], Scan, SourceSlices | ScanError]:
    """Name, original files, content and DICOM slices of a scan of any kind."""
    no_dicom = ScanError("the scan was not read from a DICOM series, which DICOM-SEG needs; save it as .nii.gz")
    if isinstance(scan, str | os.PathLike):
        if not os.fspath(scan):
            raise ScanError("the path of the scan is empty; give a file or a folder")
        source = _one_source(Path(scan), scratch, model_id)
        read = read_source(source, frame=frame)
        return source.name.name, source.files, read, no_dicom if source.dicom is None else _slices(source.dicom, read)
    if isinstance(scan, SpatialImage):
        path = scan.get_filename()
        if path is not None and nib.is_proxy(scan.dataobj) and Path(path).is_file():  # nothing in it was changed
            return Path(path).name, (Path(path),), read_scan(Path(path), frame=frame), no_dicom
        image = _in_memory(np.asanyarray(scan.dataobj), scan.affine, scan.header)
    elif isinstance(scan, np.ndarray):
        if affine is None:
            raise TypeError("an array needs affine=, its [4, 4] matrix from voxels to RAS in mm")
        image = _in_memory(scan, affine, None)
    else:
        raise TypeError(f"expected a path, a nibabel image or an array with affine=, got {type(scan).__name__}")
    # Written and read again, so that every check of a file applies.
    written = scratch / "image.nii"
    nib.save(image, written)
    try:
        read = read_scan(written, frame=frame)
    except ScanError as error:
        raise ScanError(str(error).replace(str(written), "the image")) from error
    return "the image", (), replace(read, where="the image"), no_dicom


def _slices(series: DicomSeries, scan: Scan) -> SourceSlices | ScanError:
    """The slices are read at once: those of a zip are gone when the result is saved."""
    try:
        return find_slices(series, scan)
    except ScanError as error:
        return error


def _in_memory(voxels: NDArray[Any], affine: NDArray[np.float64] | None, header: Any) -> nib.Nifti1Image:
    """A NIfTI image of voxels [i, j, k] or [i, j, k, frame], unscaled, in a dtype that NIfTI has."""
    if voxels.dtype == bool:
        voxels = voxels.astype(np.uint8)
    elif voxels.dtype == np.float16:
        voxels = voxels.astype(np.float32)
    image = nib.Nifti1Image(
        voxels, affine, header if isinstance(header, nib.Nifti1Header) else None, dtype=voxels.dtype
    )
    image.set_data_dtype(voxels.dtype)
    return image


def _one_source(path: Path, scratch: Path, model_id: str) -> Source:
    """The one scan at a path."""
    sources, _ = find_sources([Word(path)], out=None, model_id=model_id, scratch=scratch)
    if len(sources) != 1:
        names = ", ".join(source.name.name for source in sources)
        raise ScanError(f"{path}: holds {len(sources)} scans ({names}); segment takes one; give its path")
    return sources[0]
