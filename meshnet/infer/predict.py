"""`meshnet-predict`: segments scans and writes one label file per scan.

Steps per scan (docs/conform.md): read, conform, reorder the axes, normalise, run the network with argmax, resample the
labels to the scan's own grid, save, measure.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from meshnet.infer.backends import BACKENDS, Network, fastest_backend, open_network
from meshnet.model.checkpoint import load_checkpoint
from meshnet.model.shipped import find_model
from meshnet.model.spec import Label, ModelSpec, SpecError
from meshnet.scan.conform import Conformed, conform, conformed_grid
from meshnet.scan.label_files import check_replaceable
from meshnet.scan.nifti import Scan, new_header, read_scan, save_labels, space_code
from meshnet.scan.normalize import normalize
from meshnet.scan.orientation import CONFORMED, reorient
from meshnet.scan.scan_grid import label_counts, resample_labels, volume_ml
from meshnet.scan.scan_paths import find_scans, location, output_names
from meshnet.scan.scan_stream import ScanError

CSV_COLUMNS = ("scan", "model", "label", "name", "voxels", "volume_ml", "output")

#: Exit code after Ctrl-C: 128 + SIGINT, as in shells.
INTERRUPTED = 130


@dataclass(frozen=True)
class Prediction:
    """Labels of one scan on both grids."""

    labels_native: NDArray[np.uint8]  #: [i, j, k] on the scan's own grid; volumes are measured here
    labels_conformed: NDArray[np.uint8]  #: [i, j, k] on the conformed grid, LIA
    conformed: Conformed  #: the image that the network saw, before reordering and normalisation


def main(argv: Sequence[str] | None = None) -> int:
    """Command line. Exit code 0; 1 if a scan failed; 2 if the run could not start; 130 after Ctrl-C."""
    args = _parser().parse_args(argv)
    try:
        spec, weights = load_checkpoint(find_model(args.model))
        _check_input(spec)
        scans, labels = find_scans(args.scans, out=args.out, model_id=spec.id)
        outputs = _outputs(scans, spec.id, args)
        backend = args.backend or fastest_backend()
        network, steps = open_network(spec, weights, backend=backend, threads=args.threads)
        if labels:
            files = "label file" if len(labels) == 1 else "label files"
            print(f"{len(labels)} {files} left out, the first is {labels[0]}; name a file to segment it anyway")
        return _predict_all(args, spec, list(zip(scans, outputs, strict=True)), network, steps)
    except (SpecError, ScanError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def predict(scan: Scan, spec: ModelSpec, network: Network, *, step: Callable[[], object] = lambda: None) -> Prediction:
    """Segment one scan; `step` is called after each step of progress.

    Raises ScanError if the scan can't be conformed or normalised.
    """
    conformed = conform(scan, size=spec.input.size[0], voxel_size_mm=spec.input.voxel_size_mm)
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
        table = _open_table(stack, args.csv) if args.csv else None
        try:
            for index, (path, output) in enumerate(jobs):
                bar.set_description(path.name)
                try:
                    scan = read_scan(path, frame=args.frame)
                    check_replaceable(output, *_grid(scan, spec, args.space))
                    prediction = predict(scan, spec, network, step=bar.update)
                    _save(output, scan, prediction, args.space)
                except (ScanError, OSError, MemoryError) as error:
                    failed += 1
                    bar.write(f"error: {str(error) or f'{path}: not enough memory'}", file=sys.stderr)
                except Exception as error:  # an unforeseen error in one scan must not stop the others
                    failed += 1
                    bar.write(f"error: {path}: {type(error).__name__}: {error}; please report it", file=sys.stderr)
                else:
                    volumes = measure(spec, scan, prediction)
                    if table is not None:
                        rows = [(path, spec.id, x.index, x.name, n, f"{ml:.4f}", output) for x, n, ml in volumes]
                        table.writerows(rows)  # in one call, so that an interrupted scan has all its rows or none
                    done += 1
                    bar.write(f"{path} -> {output}")
                    for label, voxels, ml in volumes:
                        bar.write(f"  {label.index:3d}  {label.name:<32s} {ml:10.2f} mL  {voxels:10d} voxels")
                bar.update((index + 1) * steps_per_scan - bar.n)
        except KeyboardInterrupt:
            bar.write(f"interrupted; {done} of {len(jobs)} scans are done", file=sys.stderr)
            return INTERRUPTED
    if failed:
        print(f"error: {failed} of {len(jobs)} scans failed, see above", file=sys.stderr)
    return 1 if failed else 0


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


def measure(spec: ModelSpec, scan: Scan, prediction: Prediction) -> list[tuple[Label, int, float]]:
    """`(label, voxels, volume_ml)` of each label, counted on the scan's own grid."""
    counts = label_counts(prediction.labels_native, spec.architecture.classes)
    return [(label, n, volume_ml(n, scan.affine_vox2ras)) for label, n in zip(spec.labels, counts, strict=True)]


def _open_table(stack: ExitStack, path: Path) -> Any:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Line-buffered, so that finished rows are on disk if a later scan is interrupted.
    table = csv.writer(stack.enter_context(path.open("w", newline="", encoding="utf-8", buffering=1)))
    table.writerow(CSV_COLUMNS)
    return table


def _outputs(scans: Sequence[Path], model_id: str, args: argparse.Namespace) -> list[Path]:
    out, table = args.out, args.csv
    if out.exists() and not out.is_dir():
        raise ScanError(f"{out}: -o names a file that exists; expected a folder for the results")
    names = output_names(scans, model_id, frame=args.frame, conformed=args.space == "conformed")
    outputs: list[Path] = [out / name for name in names]
    inputs = {location(scan) for scan in scans}
    for output in outputs:
        if location(output) in inputs:
            raise ScanError(f"{output}: the result would overwrite this scan; choose another folder with -o")
    if table is not None and location(table) in inputs | {location(output) for output in outputs}:
        raise ScanError(f"{table}: the table would overwrite this scan or result; choose another file with --csv")
    return outputs


def _check_input(spec: ModelSpec) -> None:
    if spec.architecture.in_channels != 1:
        raise SpecError(
            f"{spec.id}: expects {spec.architecture.in_channels} input channels; meshnet-predict gives it one scan"
        )
    if len(set(spec.input.size)) != 1:
        raise SpecError(f"{spec.id}: input size {spec.input.size} is no cube; conform makes cubes only")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="meshnet-predict",
        description="Segment brain scans with a MeshNet model. For research, not for diagnosis.",
        epilog="Results are OUT/<scan>_<model id>.nii.gz (uint8 labels); --frame N adds _frameN after the scan's name, "
        "--space conformed adds _conformed at the end; scans of the same name from different folders are prefixed with "
        "the folders' names. Results of an earlier run are replaced. Exit code: 0; 1 if a scan failed (the others "
        "are still done); 2 if the run could not start; 130 if Ctrl-C ended it.",
    )
    parser.add_argument(
        "model", metavar="MODEL_DIR", type=Path, help="folder of model.json and weights, or a known id like t2-lesion"
    )
    parser.add_argument(
        "scans",
        metavar="SCAN",
        type=Path,
        nargs="+",
        help="NIfTI (.nii, .nii.gz, .hdr/.img) or MGH/MGZ file, or a folder to search for them (not for labels)",
    )
    parser.add_argument("-o", "--out", metavar="OUT", type=Path, required=True, help="folder for the results")
    parser.add_argument(
        "--space",
        choices=("native", "conformed"),
        default="native",
        help="grid of the saved labels: the scan's own, or 256^3 voxels of 1 mm in LIA order (default: native)",
    )
    parser.add_argument(
        "--backend",
        choices=BACKENDS,
        help="cpu: the site's own kernel compiled for this machine; onnx: ONNX Runtime; torch: PyTorch; all on the "
        "CPU (default: cpu, or onnx if there is no kernel; the choice and its reason are printed)",
    )
    parser.add_argument(
        "--csv",
        metavar="FILE",
        type=Path,
        help="also write one row per scan and label: "
        + ", ".join(CSV_COLUMNS)
        + "; voxels and volume (mL) on the scan's own grid",
    )
    parser.add_argument(
        "--frame",
        metavar="N",
        type=int,
        help="volume of a 4-D scan to segment, counted from 0 (default: 4-D is refused)",
    )
    parser.add_argument(
        "--threads",
        metavar="N",
        type=_thread_count,
        default=_cores(),
        help="CPU threads (default: all cores, here %(default)s)",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar")
    return parser


def _thread_count(text: str) -> int:
    """A thread count from 1 to twice the cores (at least 64). More threads would only wait for each other."""
    value, most = int(text), max(64, 2 * _cores())
    if not 1 <= value <= most:
        raise argparse.ArgumentTypeError(f"expected 1 to {most} threads ({_cores()} cores), got {value}")
    return value


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
