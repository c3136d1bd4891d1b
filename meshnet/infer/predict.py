"""`meshnet-predict`: segments scans and writes one label file per scan.

Each scan is read, goes through the steps of `one_scan.py`, and is saved.
"""

from __future__ import annotations

import argparse
import io
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from meshnet.infer.arguments import make_parser
from meshnet.infer.backends import backend_line
from meshnet.infer.brain_volume import volumes_of_file
from meshnet.infer.confidence import Confidence, check_confidence, has_probabilities
from meshnet.infer.dicom_seg import check_highdicom, save_dicom_seg
from meshnet.infer.one_scan import Prediction, StrictError, measure, notes_after, notes_before, segment_scan
from meshnet.infer.open_model import OpenModel, model_and_scans, open_model
from meshnet.infer.outcome import CSV_COLUMNS, Outcome, Reporter, lasting_streams, say
from meshnet.infer.outputs import (
    dicom_seg_path,
    prepare_folders,
    probability_path,
    result_paths,
    searched_without,
    too_long,
    without_results,
    written_paths,
)
from meshnet.infer.provenance import earlier_result, save_sidecar, sidecar_of
from meshnet.infer.report.folder import ReportFolder, check_pillow
from meshnet.infer.report.of_run import report_on_earlier, report_on_run
from meshnet.infer.sources import Source, expand, find_sources, read_source
from meshnet.model.label_roles import saved_labels
from meshnet.model.shipped import DEFAULT_MODEL
from meshnet.model.spec import ModelSpec, SpecError
from meshnet.scan.conform import conformed_grid
from meshnet.scan.dicom_slices import SourceSlices, find_slices
from meshnet.scan.label_files import check_replaceable
from meshnet.scan.label_values import is_mask_like
from meshnet.scan.nifti import Scan, new_header, save_labels, save_probability, space_code
from meshnet.scan.notes import Note
from meshnet.scan.scan_stream import ScanError

__all__ = ["CSV_COLUMNS", "main"]

#: Exit code after Ctrl-C: 128 + SIGINT, as in shells.
INTERRUPTED = 130


class LeftOutError(ScanError):
    """A file of a folder, or a series of a study, turned out to be no scan."""


def main(argv: Sequence[str] | None = None) -> int:
    """Command line. Exit code 0; 1 if a scan failed; 2 if the run could not start; 130 after Ctrl-C."""
    with lasting_streams():
        args = make_parser().parse_intermixed_args(argv)
        args.command = shlex.join(["meshnet-predict", *(sys.argv[1:] if argv is None else argv)])
        return _run(args)


def _run(args: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="meshnet-") as scratch:
        try:
            with _said_at_the_start(args.json):
                model, jobs = _prepare(args, Path(scratch))
            return _predict_all(args, model, jobs)
        except (SpecError, ScanError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 2


def _prepare(args: argparse.Namespace, scratch: Path) -> tuple[OpenModel, list[tuple[Source, Path]]]:
    """The opened model, and each scan with the path of its result. Prints what was chosen and left out.

    Raises SpecError, ScanError or OSError if the run can't start.
    """
    if args.report is not None:
        check_pillow()
    given, words = model_and_scans(args.words, args.model, lists=bool(args.lists))
    paths = expand(words, args.lists)
    model = open_model(given, backend=args.backend, threads=args.threads)
    check_confidence(model.spec, _confidence(args))
    if args.model is None and len(words) == len(args.words):
        print(f"model: {DEFAULT_MODEL}, the default")
    if model.reason is not None:
        print(backend_line(model.backend, model.reason))
    model_id = model.spec.id
    found, labels = find_sources(paths, out=searched_without(args.out), model_id=model_id, scratch=scratch)
    sources, results = without_results(found, model_id, args)
    outputs = result_paths(sources, model_id, args)
    prepare_folders(outputs)
    if labels := [*labels, *results]:
        files = "label file" if len(labels) == 1 else "label files"
        print(f"{len(labels)} {files} left out, the first is {labels[0]}; name a file to segment it anyway")
    if not sources:
        raise ScanError(f"{labels[0]}: no scan among these files, label files only; name one to segment it anyway")
    return model, list(zip(sources, outputs, strict=True))


@contextmanager
def _said_at_the_start(as_json: bool) -> Iterator[None]:
    """Holds printed lines back to the end of the block; with --json they go to standard error."""
    said = io.StringIO()
    try:
        with redirect_stdout(said):
            yield
    finally:
        if as_json:
            sys.stderr.write(said.getvalue())
        elif said.getvalue():
            say(said.getvalue().rstrip())


def _predict_all(args: argparse.Namespace, model: OpenModel, jobs: list[tuple[Source, Path]]) -> int:
    """Segment scan by scan. A failing scan is reported and the next one is taken; Ctrl-C ends the run."""
    model_id = model.spec.id
    done = failed = 0
    # Conform, the network's steps, resample to the scan's grid, save.
    steps_per_scan = model.steps * _confidence(args).runs + 3
    with ExitStack() as stack:
        bar = stack.enter_context(tqdm(total=len(jobs) * steps_per_scan, unit="step", disable=args.quiet))
        reporter = Reporter(stack, bar, table=args.csv, as_json=args.json)
        reports = None if args.report is None else ReportFolder(args.report, scans=len(jobs))
        if reports is not None:
            stack.callback(reports.finish)

        def fail(source: Source, output: Path, message: str, notes: Sequence[Note] = ()) -> None:
            reporter.report(Outcome(source.name, model_id, output, notes=notes, error=message))
            if reports is not None:
                reports.add_failure(source.name, message)

        for source, output in jobs:
            if reason := too_long(output, probability=args.probability):
                fail(source, output, f"{source.name}: {reason}")
                failed += 1
        try:
            for index, (source, output) in enumerate(jobs):
                if too_long(output, probability=args.probability):
                    continue
                bar.set_description(source.name.name)
                try:
                    reporter.report(_segment(source, output, args, model, bar.update, reports=reports))
                except LeftOutError as error:
                    bar.write(str(error), file=sys.stderr)
                except Exception as error:  # an error in one scan must not stop the others
                    failed += 1
                    notes = error.notes if isinstance(error, StrictError) else ()
                    fail(source, output, _message(source.name, error), notes)
                else:
                    done += 1
                bar.update((index + 1) * steps_per_scan - bar.n)
        except KeyboardInterrupt:
            bar.write(f"interrupted; {done} of {len(jobs)} scans are done", file=sys.stderr)
            return INTERRUPTED
    if failed:
        print(f"error: {failed} of {len(jobs)} scans failed, see above", file=sys.stderr)
    return 1 if failed else 0


def _segment(
    source: Source,
    output: Path,
    args: argparse.Namespace,
    model: OpenModel,
    step: Callable[[], object],
    *,
    reports: ReportFolder | None,
) -> Outcome:
    """Read, segment, save and measure one scan, or measure an earlier result; write the report if there are any.

    Raises ScanError, LeftOutError or OSError if that can't be done.
    """
    spec, name = model.spec, source.name
    if source.left_out is not None:
        raise LeftOutError(f"{name}: left out, it {source.left_out}")
    scan = read_source(source, frame=args.frame)
    if is_mask_like(scan.data) and not source.is_named:
        raise LeftOutError(f"{name}: left out, its values are those of a mask; name the file to segment it anyway")
    notes = notes_before(spec, scan, strict=args.strict)
    map_path = probability_path(output) if args.probability else None
    for path in (output, map_path):
        if path is not None:
            check_replaceable(path, *_grid(scan, spec, args.space))
    slices, seg_path = _slices(source, scan) if args.dicom_seg else None, dicom_seg_path(output)
    is_done = args.skip_done and all(path.exists() for path in written_paths(output, args))
    if is_done and (earlier := earlier_result(output, scan, source, args, model)) is not None:
        labels, found = earlier
        measured = measure(spec, scan, labels)
        volumes = volumes_of_file(measured, all_labels=args.all_labels)
        if volumes is not None:
            found = found or [*notes, *notes_after(spec, scan, measured)]
            if args.strict and found:
                raise StrictError(scan, found)
            if reports is not None:
                made = sidecar_of(source, args, model, volumes=volumes, notes=found)
                report_on_earlier(reports, output, scan, labels, spec=spec, made=made)
            return Outcome(
                name,
                spec.id,
                output,
                volumes,
                found,
                from_before=True,
                probability=map_path,
                dicom_seg=None if slices is None else seg_path,
            )
    result = segment_scan(
        scan,
        spec,
        model.network,
        remove_below_ml=args.remove_below,
        keep_outside_brain=args.keep_outside_brain,
        confidence=_confidence(args, spec if reports is not None else None),
        strict=args.strict,
        step=step,
    )
    _save(output, scan, spec, result.prediction, args)
    if slices is not None:
        save_dicom_seg(seg_path, result.prediction.labels_native, slices, spec, all_labels=args.all_labels)
    made = sidecar_of(source, args, model, volumes=result.volumes, notes=result.notes)
    save_sidecar(output, made, asked=args.sidecar)
    if reports is not None:
        report_on_run(reports, output, scan, result.prediction, spec=spec, made=made)
    return Outcome(
        name,
        spec.id,
        output,
        result.volumes,
        result.notes,
        probability=map_path,
        dicom_seg=None if slices is None else seg_path,
    )


def _slices(source: Source, scan: Scan) -> SourceSlices:
    """The DICOM slices of a scan for --dicom-seg. Raises ScanError if there are none or they don't fit."""
    if source.dicom is None:
        raise ScanError(f"{source.name}: --dicom-seg needs a scan that is a DICOM series; leave it out for other files")
    check_highdicom(str(source.name))
    return find_slices(source.dicom, scan)


def _confidence(args: argparse.Namespace, reported: ModelSpec | None = None) -> Confidence:
    """Use of probabilities. reported: the model if there is a report, which shows its probabilities where it can."""
    wanted = args.probability or (reported is not None and has_probabilities(reported))
    return Confidence(threshold=args.threshold, flip=args.flip, probability=wanted)


def _message(path: Path, error: Exception) -> str:
    if isinstance(error, ScanError | OSError | MemoryError):
        return str(error) or f"{path}: not enough memory"
    return f"{path}: {type(error).__name__}: {error}; please report it"


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
