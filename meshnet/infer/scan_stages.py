"""The stages of one scan of `meshnet-predict`: read and conform, run the network, save and report.

`overlap.py` runs them on three threads, so a stage uses nothing but what it is given.
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshnet.infer.brain_volume import Volumes, volumes_of_file
from meshnet.infer.confidence import Confidence, has_probabilities, run_network
from meshnet.infer.dicom_seg import check_highdicom, save_dicom_seg
from meshnet.infer.one_scan import (
    NetworkInput,
    Prediction,
    StrictError,
    make_input,
    measure,
    measured_result,
    notes_after,
    notes_before,
    to_prediction,
)
from meshnet.infer.open_model import OpenModel
from meshnet.infer.outcome import Outcome
from meshnet.infer.outputs import dicom_seg_path, probability_path, written_paths
from meshnet.infer.provenance import earlier_result, save_sidecar, sidecar_of
from meshnet.infer.report.folder import ReportFolder
from meshnet.infer.report.of_run import report_on_earlier, report_on_run
from meshnet.infer.sources import Source, read_source
from meshnet.model.label_roles import saved_labels
from meshnet.model.spec import ModelSpec
from meshnet.scan.conform import conformed_grid
from meshnet.scan.dicom_slices import SourceSlices, find_slices
from meshnet.scan.label_files import check_replaceable
from meshnet.scan.label_values import is_mask_like
from meshnet.scan.nifti import Scan, new_header, save_labels, save_probability, space_code
from meshnet.scan.notes import Note
from meshnet.scan.scan_stream import ScanError


class LeftOutError(ScanError):
    """A file of a folder, or a series of a study, turned out to be no scan."""


@dataclass(frozen=True)
class ScanJob:
    """A scan and the path of its result."""

    source: Source
    output: Path


@dataclass(frozen=True)
class ReadyScan:
    """A scan after the first stage."""

    scan: Scan
    notes: list[Note]  #: of the scan itself
    slices: SourceSlices | None  #: for --dicom-seg
    input: NetworkInput


@dataclass(frozen=True)
class EarlierResult:
    """The result of an earlier run, measured, which passes the network by."""

    scan: Scan
    slices: SourceSlices | None
    labels_native: NDArray[np.uint8]
    volumes: Volumes  #: `(label, voxels, volume_ml)`
    notes: list[Note]


@dataclass(frozen=True)
class ComputedScan:
    """A scan after the network. labels, probability: of `run_network`."""

    ready: ReadyScan
    labels: NDArray[np.uint8]
    probability: NDArray[np.uint8] | None


class Progress:
    """The progress bar, which the stages' threads share."""

    def __init__(self, bar: Any, steps_per_scan: int) -> None:
        self._bar, self._steps_per_scan = bar, steps_per_scan
        self._lock = threading.Lock()
        self._counted: Counter[ScanJob] = Counter()

    def step(self, job: ScanJob, steps: int = 1) -> None:
        with self._lock:
            self._counted[job] += steps
            self._bar.update(steps)

    def end(self, job: ScanJob) -> None:
        """Count the steps that a failed or earlier scan didn't take."""
        self.step(job, self._steps_per_scan - self._counted[job])

    def name(self, text: str) -> None:
        """The text before the bar."""
        with self._lock:
            self._bar.set_description(text)

    def write(self, text: str) -> None:
        """A line on standard error, around the bar."""
        self._bar.write(text, file=sys.stderr)


def steps_per_scan(model: OpenModel, args: argparse.Namespace) -> int:
    """Conform, the network's steps, resample to the scan's grid, save."""
    return model.steps * confidence_of(args).runs + 3


def read_stage(
    job: ScanJob, args: argparse.Namespace, model: OpenModel, progress: Progress
) -> ReadyScan | EarlierResult:
    """Read and conform a scan, or measure its earlier result. Raises ScanError, LeftOutError or OSError."""
    spec, source, output = model.spec, job.source, job.output
    if source.left_out is not None:
        raise LeftOutError(f"{source.name}: left out, it {source.left_out}")
    scan = read_source(source, frame=args.frame)
    if is_mask_like(scan.data) and not source.is_named:
        raise LeftOutError(
            f"{source.name}: left out, its values are those of a mask; name the file to segment it anyway"
        )
    notes = notes_before(spec, scan, strict=args.strict)
    for path in (output, *([probability_path(output)] if args.probability else [])):
        check_replaceable(path, *_grid(scan, spec, args.space))
    slices = _slices(source, scan) if args.dicom_seg else None
    is_done = args.skip_done and all(path.exists() for path in written_paths(output, args))
    if is_done and (earlier := earlier_result(output, scan, source, args, model)) is not None:
        labels, found = earlier
        measured = measure(spec, scan, labels)
        volumes = volumes_of_file(measured, all_labels=args.all_labels)
        if volumes is not None:
            found = found or [*notes, *notes_after(spec, scan, measured)]
            if args.strict and found:
                raise StrictError(scan, found)
            return EarlierResult(scan, slices, labels, volumes, found)
    ready = make_input(scan, spec, strict=args.strict)
    progress.step(job)
    return ReadyScan(scan, notes, slices, ready)


def network_stage(
    job: ScanJob, scan: ReadyScan, args: argparse.Namespace, model: OpenModel, progress: Progress, *, reported: bool
) -> ComputedScan:
    """Run the network. reported: there is a report, which shows the probabilities where the model has them."""
    options = confidence_of(args, model.spec if reported else None)
    output = run_network(model.network, model.spec, scan.input.image, lambda: progress.step(job), options)
    return ComputedScan(scan, *output)


def finish_stage(
    job: ScanJob,
    computed: ComputedScan,
    args: argparse.Namespace,
    model: OpenModel,
    progress: Progress,
    *,
    reports: ReportFolder | None,
) -> Outcome:
    """Measure and save the result, and write the report if there are any. Raises StrictError or OSError."""
    spec, source, output, ready = model.spec, job.source, job.output, computed.ready
    prediction = to_prediction(
        ready.input,
        computed.labels,
        computed.probability,
        spec=spec,
        remove_below_ml=args.remove_below,
        keep_outside_brain=args.keep_outside_brain,
    )
    progress.step(job)
    result = measured_result(spec, ready.scan, prediction, ready.notes, strict=args.strict)
    _save(output, ready.scan, spec, prediction, args)
    if ready.slices is not None:
        labels = prediction.labels_native
        save_dicom_seg(dicom_seg_path(output), labels, ready.slices, spec, all_labels=args.all_labels)
    made = sidecar_of(source, args, model, volumes=result.volumes, notes=result.notes)
    save_sidecar(output, made, asked=args.sidecar)
    if reports is not None:
        report_on_run(reports, output, ready.scan, prediction, spec=spec, made=made)
    return _outcome(job, args, model, volumes=result.volumes, notes=result.notes, slices=ready.slices)


def earlier_stage(
    job: ScanJob, earlier: EarlierResult, args: argparse.Namespace, model: OpenModel, *, reports: ReportFolder | None
) -> Outcome:
    """The outcome of an earlier run's result; writes the report if there are any."""
    if reports is not None:
        made = sidecar_of(job.source, args, model, volumes=earlier.volumes, notes=earlier.notes)
        report_on_earlier(reports, job.output, earlier.scan, earlier.labels_native, spec=model.spec, made=made)
    outcome = _outcome(job, args, model, volumes=earlier.volumes, notes=earlier.notes, slices=earlier.slices)
    return replace(outcome, from_before=True)


def _outcome(
    job: ScanJob,
    args: argparse.Namespace,
    model: OpenModel,
    *,
    volumes: Volumes,
    notes: Sequence[Note],
    slices: SourceSlices | None,
) -> Outcome:
    output = job.output
    return Outcome(
        job.source.name,
        model.spec.id,
        output,
        volumes,
        notes,
        probability=probability_path(output) if args.probability else None,
        dicom_seg=None if slices is None else dicom_seg_path(output),
    )


def _slices(source: Source, scan: Scan) -> SourceSlices:
    """The DICOM slices of a scan for --dicom-seg. Raises ScanError if there are none or they don't fit."""
    if source.dicom is None:
        raise ScanError(f"{source.name}: --dicom-seg needs a scan that is a DICOM series; leave it out for other files")
    check_highdicom(str(source.name))
    return find_slices(source.dicom, scan)


def confidence_of(args: argparse.Namespace, reported: ModelSpec | None = None) -> Confidence:
    """Use of probabilities. reported: the model if there is a report, which shows its probabilities where it can."""
    wanted = args.probability or (reported is not None and has_probabilities(reported))
    return Confidence(threshold=args.threshold, flip=args.flip, probability=wanted)


def _grid(scan: Scan, spec: ModelSpec, space: str) -> tuple[NDArray[np.float64], tuple[int, ...]]:
    """Affine [4, 4] (voxel to RAS, mm) and shape of the labels that will be saved."""
    if space == "native":
        return scan.affine_vox2ras, scan.data.shape
    size, mm = spec.input.size, spec.input.voxel_size_mm
    return conformed_grid(scan, size=size[0], voxel_size_mm=mm)[0], size


def _save(output: Path, scan: Scan, spec: ModelSpec, prediction: Prediction, args: argparse.Namespace) -> None:
    grid = prediction.conformed
    is_native = args.space == "native"
    code = space_code(scan.header)
    header = scan.header if is_native else new_header(grid.affine_vox2ras, grid.data.shape, code=code)
    labels = prediction.labels_native if is_native else prediction.labels_conformed
    save_labels(output, saved_labels(labels, spec, all_labels=args.all_labels), header)
    if args.probability and (maps := prediction.probability) is not None:
        save_probability(probability_path(output), maps.native if is_native else maps.conformed, header)
