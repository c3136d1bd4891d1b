"""Reports on the scans of a run: on a result that was just made, or on an earlier one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from meshnet.infer.one_scan import Prediction
from meshnet.infer.outputs import sidecar_path
from meshnet.infer.report.facts import Report, make_report
from meshnet.infer.report.folder import ReportFolder
from meshnet.infer.report.pictures import Pictures, make_pictures
from meshnet.infer.report.scan_page import scan_page
from meshnet.infer.sidecar import Sidecar, read_sidecar
from meshnet.model.label_roles import context_indices, shown_indices
from meshnet.model.spec import ModelSpec
from meshnet.scan.conform import Conformed, conform
from meshnet.scan.nifti import Scan
from meshnet.scan.replacing import write_text
from meshnet.scan.scan_paths import stem_of


def report_on_run(
    folder: ReportFolder, output: Path, scan: Scan, prediction: Prediction, *, spec: ModelSpec, made: Sidecar
) -> None:
    """Add the report on a result of this run, whose labels lie in `output`."""
    facts, pictures = report_of(scan, spec, prediction, made)
    folder.add(stem_of(output), made.source.name, facts, pictures)


def write_scan_page(path: Path, scan: Scan, spec: ModelSpec, prediction: Prediction, made: Sidecar) -> None:
    """Write the report on one result as one HTML file, replacing it atomically. Raises OSError if that fails."""
    page = scan_page(*report_of(scan, spec, prediction, made))
    write_text(path, page)


def report_of(scan: Scan, spec: ModelSpec, prediction: Prediction, made: Sidecar) -> tuple[Report, Pictures]:
    """Facts and pictures of a result of this run."""
    labels, maps = prediction.labels_native, prediction.probability
    facts = make_report(spec, made, labels, scan.affine_vox2ras, None if maps is None else maps.native)
    return facts, _pictures(facts, scan, labels, spec, prediction.conformed)


def report_on_earlier(
    folder: ReportFolder, output: Path, scan: Scan, labels_native: NDArray[np.uint8], *, spec: ModelSpec, made: Sidecar
) -> None:
    """Add the report on a result of an earlier run; the sidecar beside it, if it has one, says how it was made.

    There are no probabilities, and where the file holds the lesion alone no brain.
    """
    has_context = bool(np.isin(labels_native, context_indices(spec)).any())
    in_file = None if has_context else (0, *shown_indices(spec))
    made = read_sidecar(sidecar_path(output)) or made
    facts = make_report(spec, made, labels_native, scan.affine_vox2ras, in_file=in_file)
    conformed = conform(scan, size=spec.input.size[0], voxel_size_mm=spec.input.voxel_size_mm)
    pictures = _pictures(facts, scan, labels_native, spec, conformed)
    folder.add(stem_of(output), made.source.name, facts, pictures)


def _pictures(
    facts: Report, scan: Scan, labels_native: NDArray[np.uint8], spec: ModelSpec, conformed: Conformed
) -> Pictures:
    centres = [lesion.centre_ras_mm for lesion in facts.lesions if lesion.centre_ras_mm is not None]
    return make_pictures(spec, conformed, labels_native, scan.affine_vox2ras, centres)
