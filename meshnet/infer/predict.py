"""`meshnet-predict`: segments scans and writes one label file per scan.

Steps per scan (docs/conform.md): read, conform, reorder the axes, normalise, run the network with argmax, resample the
labels to the scan's own grid, save, measure.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from meshnet.infer.arguments import check_input, check_order, make_parser, prepare_folder, result_paths, too_long
from meshnet.infer.backends import Network, fastest_backend, open_network
from meshnet.infer.outcome import CSV_COLUMNS, Outcome, Reporter, lasting_streams, say
from meshnet.infer.run_notes import contrast_notes, result_notes
from meshnet.model.checkpoint import load_checkpoint
from meshnet.model.shipped import find_model
from meshnet.model.spec import Label, ModelSpec, SpecError
from meshnet.scan.conform import Conformed, conform, conformed_grid
from meshnet.scan.label_files import check_replaceable, read_labels
from meshnet.scan.label_values import is_mask_like
from meshnet.scan.nifti import Scan, new_header, read_scan, save_labels, space_code
from meshnet.scan.normalize import normalize
from meshnet.scan.notes import Note
from meshnet.scan.orientation import CONFORMED, reorient
from meshnet.scan.scan_grid import label_counts, resample_labels, volume_ml
from meshnet.scan.scan_paths import find_scans, location
from meshnet.scan.scan_stream import ScanError

__all__ = ["CSV_COLUMNS", "Prediction", "main", "measure", "predict"]

#: Exit code after Ctrl-C: 128 + SIGINT, as in shells.
INTERRUPTED = 130


@dataclass(frozen=True)
class Prediction:
    """Labels of one scan on both grids."""

    labels_native: NDArray[np.uint8]  #: [i, j, k] on the scan's own grid; volumes are measured here
    labels_conformed: NDArray[np.uint8]  #: [i, j, k] on the conformed grid, LIA
    conformed: Conformed  #: the image that the network saw, before reordering and normalisation


class MaskError(ScanError):
    """A file of a folder turned out to hold labels, not a scan."""


class StrictError(ScanError):
    """A scan has notes, which --strict refuses."""

    def __init__(self, scan: Scan, notes: Sequence[Note]) -> None:
        self.notes = notes
        texts = "; ".join(f"{note.text} [{note.code}]" for note in notes)
        super().__init__(f"{scan.where}: {texts}; --strict takes no scan with notes")


def main(argv: Sequence[str] | None = None) -> int:
    """Command line. Exit code 0; 1 if a scan failed; 2 if the run could not start; 130 after Ctrl-C."""
    with lasting_streams():
        return _run(make_parser().parse_args(argv))


def _run(args: argparse.Namespace) -> int:
    try:
        with _said_at_the_start(args.json):
            check_order(args.model, args.scans)
            spec, weights = load_checkpoint(find_model(args.model))
            check_input(spec)
            scans, labels = find_scans(args.scans, out=args.out, model_id=spec.id)
            outputs = result_paths(scans, spec.id, args)
            backend = args.backend or fastest_backend()
            network, steps = open_network(spec, weights, backend=backend, threads=args.threads)
            prepare_folder(args.out)
            if labels:
                files = "label file" if len(labels) == 1 else "label files"
                print(f"{len(labels)} {files} left out, the first is {labels[0]}; name a file to segment it anyway")
        return _predict_all(args, spec, list(zip(scans, outputs, strict=True)), network, steps)
    except (SpecError, ScanError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


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


def predict(
    scan: Scan,
    spec: ModelSpec,
    network: Network,
    *,
    step: Callable[[], object] = lambda: None,
    strict: bool = False,
) -> Prediction:
    """Segment one scan; `step` is called after each step of progress.

    Raises ScanError if the scan can't be conformed or normalised; with `strict`, also for a note on conforming it.
    """
    conformed = conform(scan, size=spec.input.size[0], voxel_size_mm=spec.input.voxel_size_mm)
    if strict and conformed.notes:
        raise StrictError(scan, conformed.notes)
    step()
    try:
        image = normalize(reorient(conformed.data, end=spec.input.orientation), spec.input.normalization)
    except ValueError as error:
        raise ScanError(f"{scan.where}: {error}") from error
    labels = reorient(network(image, step), start=spec.input.orientation, end=CONFORMED)
    labels_native = resample_labels(labels, conformed.affine_vox2ras, scan.affine_vox2ras, scan.data.shape)
    step()
    return Prediction(labels_native, labels, conformed)


def _predict_all(
    args: argparse.Namespace, spec: ModelSpec, jobs: list[tuple[Path, Path]], network: Network, steps: int
) -> int:
    """Segment scan by scan. A failing scan is reported and the next one is taken; Ctrl-C ends the run."""
    done = failed = 0
    steps_per_scan = steps + 3  # conform, the network's steps, resample to the scan's grid, save
    with ExitStack() as stack:
        bar = stack.enter_context(tqdm(total=len(jobs) * steps_per_scan, unit="step", disable=args.quiet))
        reporter = Reporter(stack, bar, table=args.csv, as_json=args.json)
        for path, output in jobs:
            if reason := too_long(output):
                reporter.report(Outcome(path, spec.id, output, error=f"{path}: {reason}"))
                failed += 1
        try:
            for index, (path, output) in enumerate(jobs):
                if too_long(output):
                    continue
                bar.set_description(path.name)
                try:
                    reporter.report(_segment((path, output), args, spec, network, bar.update))
                except MaskError as error:
                    bar.write(str(error), file=sys.stderr)
                except Exception as error:  # an error in one scan must not stop the others
                    failed += 1
                    notes = error.notes if isinstance(error, StrictError) else ()
                    reporter.report(Outcome(path, spec.id, output, notes=notes, error=_message(path, error)))
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
    job: tuple[Path, Path], args: argparse.Namespace, spec: ModelSpec, network: Network, step: Callable[[], object]
) -> Outcome:
    """Read, segment, save and measure one scan (job: its path and its result's), or measure an earlier result.

    Raises ScanError, MaskError or OSError if that can't be done.
    """
    path, output = job
    scan = read_scan(path, frame=args.frame)
    if is_mask_like(scan.data) and location(path) not in {location(source) for source in args.scans}:
        raise MaskError(f"{path}: left out, its values are those of a mask; name the file to segment it anyway")
    notes = [*scan.notes, *contrast_notes(spec, scan)]
    if args.strict and notes:
        raise StrictError(scan, notes)
    check_replaceable(output, *_grid(scan, spec, args.space))
    if args.skip_done and (labels := _finished(output, scan)) is not None:
        volumes = measure(spec, scan, labels)
        return Outcome(path, spec.id, output, volumes, notes, from_before=True)
    prediction = predict(scan, spec, network, step=step, strict=args.strict)
    volumes = measure(spec, scan, prediction.labels_native)
    notes += [*prediction.conformed.notes, *result_notes(spec, volumes, prediction.conformed.head_ml)]
    if args.strict and notes:
        raise StrictError(scan, notes)
    _save(output, scan, prediction, args.space)
    return Outcome(path, spec.id, output, volumes, notes)


def _message(path: Path, error: Exception) -> str:
    if isinstance(error, ScanError | OSError | MemoryError):
        return str(error) or f"{path}: not enough memory"
    return f"{path}: {type(error).__name__}: {error}; please report it"


def _finished(output: Path, scan: Scan) -> NDArray[np.uint8] | None:
    """The labels of an earlier run on the scan's own grid, or None if there is no readable result."""
    try:
        labels, affine = read_labels(output)
    except ScanError:
        return None
    return resample_labels(labels.astype(np.uint8), affine, scan.affine_vox2ras, scan.data.shape)


def _grid(scan: Scan, spec: ModelSpec, space: str) -> tuple[NDArray[np.float64], tuple[int, ...]]:
    """Affine [4, 4] (voxel to RAS, mm) and shape of the labels that will be saved."""
    if space == "native":
        return scan.affine_vox2ras, scan.data.shape
    size, mm = spec.input.size, spec.input.voxel_size_mm
    return conformed_grid(scan, size=size[0], voxel_size_mm=mm)[0], size


def _save(output: Path, scan: Scan, prediction: Prediction, space: str) -> None:
    if space == "native":
        save_labels(output, prediction.labels_native, scan.header)
        return
    grid = prediction.conformed
    header = new_header(grid.affine_vox2ras, grid.data.shape, code=space_code(scan.header))
    save_labels(output, prediction.labels_conformed, header)


def measure(spec: ModelSpec, scan: Scan, labels_native: NDArray[np.uint8]) -> list[tuple[Label, int, float]]:
    """`(label, voxels, volume_ml)` of each label, counted on the scan's own grid."""
    counts = label_counts(labels_native, spec.architecture.classes)
    return [(label, n, volume_ml(n, scan.affine_vox2ras)) for label, n in zip(spec.labels, counts, strict=True)]
