"""The command line of `meshnet-predict`, and the checks of it that need no scan to be read."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from meshnet import __version__
from meshnet.infer.backends import BACKENDS
from meshnet.infer.outcome import CSV_COLUMNS
from meshnet.model.shipped import is_model, known_models
from meshnet.model.spec import ModelSpec, SpecError, read_spec
from meshnet.scan.scan_paths import SCAN_SUFFIXES, location, output_names
from meshnet.scan.scan_stream import ScanError


def check_order(model: Path, scans: Sequence[Path]) -> None:
    """Raise SpecError if a scan stands where the model belongs, or a model among the scans."""
    if is_model(model):
        for scan in scans:
            if is_model(scan):
                raise SpecError(f"{scan}: is a model, not a scan; give one model, then the scans")
        return
    other = next((scan for scan in scans if is_model(scan)), None)
    if other is not None:
        raise SpecError(
            f"{model}: is not a model; {other} is one; the model comes first: meshnet-predict {other} {model}"
        )
    if model.is_file() and model.name.lower().endswith(SCAN_SUFFIXES):
        raise SpecError(f"{model}: is a scan, not a model; the model comes first: meshnet-predict MODEL {model}")


def check_input(spec: ModelSpec) -> None:
    """Raise SpecError for a model that can't run on one conformed scan."""
    if spec.architecture.in_channels != 1:
        raise SpecError(
            f"{spec.id}: expects {spec.architecture.in_channels} input channels; meshnet-predict gives it one scan"
        )
    if len(set(spec.input.size)) != 1:
        raise SpecError(f"{spec.id}: input size {spec.input.size} is not a cube; conform only makes cubes")


def result_paths(scans: Sequence[Path], model_id: str, args: argparse.Namespace) -> list[Path]:
    """The result's path of each scan. Raises ScanError if one would overwrite a scan, or the table one of them."""
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


def prepare_folder(out: Path) -> None:
    """Make the folder for the results. Raises ScanError if nothing can be written there."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise ScanError(
            f"{out}: no results can be written there ({error.strerror}); choose another folder with -o"
        ) from error


def too_long(output: Path) -> str | None:
    """The reason why the file system can't take this result's name, or None."""
    partial = len(os.fsencode(f".{output.name}.partial"))  # `save_volume` writes under this name first
    try:
        most = os.pathconf(output.parent, "PC_NAME_MAX")
    except (OSError, ValueError, AttributeError):  # AttributeError: not on Windows
        most = 255
    if partial <= most:
        return None
    return f"the result's name {output.name} would be {partial - most} bytes too long; rename the scan"


class _ListModels(argparse.Action):
    """`--list-models`: prints the known models and ends, like `--version`."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        for model_id, folder in known_models().items():
            try:
                spec = read_spec(folder / "model.json")
                print(f"{model_id:<32s} {spec.task}; {' or '.join(spec.modality) or 'any contrast'}; {folder}")
            except SpecError as error:
                print(f"{model_id:<32s} can't be used: {error}")
        parser.exit()


def make_parser() -> argparse.ArgumentParser:
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
    parser.add_argument("--strict", action="store_true", help="a note on a scan is an error: its result is not saved")
    parser.add_argument(
        "--skip-done", action="store_true", help="take the results of an earlier run; segment the other scans only"
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object per scan on standard output instead of text"
    )
    parser.add_argument("--list-models", action=_ListModels, nargs=0, help="print the known models and exit")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
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
