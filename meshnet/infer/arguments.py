"""The command line of `meshnet-predict`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from meshnet.infer.backends import BACKENDS
from meshnet.infer.outcome import CSV_COLUMNS
from meshnet.model.shipped import known_models
from meshnet.model.spec import SpecError, read_spec
from meshnet.version import __version__


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


EXAMPLES = """\
examples:
  meshnet-predict scan.nii.gz                          with t2-lesion, the default model; result beside the scan
  meshnet-predict tissue scan.nii.gz -o tissue.nii.gz  another model, and a name for the result
  meshnet-predict scans/ -o results --csv volumes.csv  all scans of a folder, and a table of volumes

"""


class _Parser(argparse.ArgumentParser):
    """A parser whose help begins with the examples."""

    def format_help(self) -> str:
        return EXAMPLES + super().format_help()


def make_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="meshnet-predict",
        usage="meshnet-predict [MODEL] SCAN... [-o OUT] [options]",
        description="Segment brain scans with a MeshNet model. For research, not for diagnosis.",
        epilog="Results are <scan>_<model id>.nii.gz (uint8 labels) in OUT or beside the scan; --frame N adds _frameN "
        "after the scan's name, and at the end --flip adds _flip, --threshold T _threshold<T>, --remove-below ML "
        "_min<ML>mL and --space conformed _conformed; scans of the same name from different folders are prefixed with "
        "the folders' names. Results of an earlier run are replaced. Exit code: 0; 1 if a scan failed (the others are "
        "still done); 2 if the run could not start; 130 if Ctrl-C ended it.",
    )
    _add_scans(parser)
    _add_network_options(parser)
    _add_lesion_options(parser)
    _add_batch_options(parser)
    return parser


def _add_scans(parser: argparse.ArgumentParser) -> None:
    """The model, the scans and the place of the results."""
    parser.add_argument(
        "words",
        metavar="[MODEL] SCAN...",
        nargs="*",
        help="MODEL: a known id like t2-lesion (the default), a folder of model.json and weights, or a model.json. "
        "SCAN: NIfTI (.nii, .nii.gz, .hdr/.img), MGH/MGZ, NRRD, MetaImage or DICOM file, a zip, a folder to search for "
        "them (not for labels), a quoted pattern like 'sub-*/*.nii.gz', @FILE for a list, or - for a list on standard "
        "input",
    )
    parser.add_argument(
        "-o",
        "--out",
        metavar="OUT",
        type=_path,
        help="folder for the results, or the file of one result if the name ends in .nii.gz or .nii (default: beside "
        "the scan)",
    )
    parser.add_argument("--model", metavar="MODEL", help="the model, instead of the first word")
    parser.add_argument(
        "--list",
        metavar="FILE",
        dest="lists",
        action="append",
        default=[],
        help="also take the scans of this text file, one path per line; - is standard input",
    )


def _add_network_options(parser: argparse.ArgumentParser) -> None:
    """Grid, backend, table and frame."""
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
        type=_path,
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


def _add_lesion_options(parser: argparse.ArgumentParser) -> None:
    """The options that change the labels, and the files beside them."""
    parser.add_argument(
        "--remove-below",
        metavar="ML",
        type=component_volume_ml,
        help="set connected components of a label that are smaller than this volume in mL to background (default: keep "
        "all)",
    )
    parser.add_argument(
        "--keep-outside-brain",
        action="store_true",
        help="keep what lies outside the brain (default: a model that labels lesion and tissue drops lesions there, a "
        "model of one brain all but its largest piece)",
    )
    parser.add_argument(
        "--all-labels",
        action="store_true",
        help="save the tissue around the lesion too (default: the lesion only; its volume is printed in any case)",
    )
    parser.add_argument(
        "--threshold",
        metavar="T",
        type=probability,
        help="label a voxel lesion if its lesion probability is at least T, 0 to 1 (default: if lesion is the most "
        "probable label)",
    )
    parser.add_argument(
        "--flip",
        action="store_true",
        help="average the probabilities with those of the left-right mirror image; takes twice the time",
    )
    parser.add_argument(
        "--probability",
        action="store_true",
        help="also save the lesion's probability map beside each result, under its name with _probseg at the end",
    )
    parser.add_argument(
        "--dicom-seg",
        action="store_true",
        help="also save the labels as DICOM-SEG on the slices of the DICOM series, beside each result under its name "
        "with .dcm at the end; an error for a scan that is no DICOM or that dcm2niix resampled",
    )


def _add_batch_options(parser: argparse.ArgumentParser) -> None:
    """Threads, records of a run, and how it goes on and prints."""
    parser.add_argument(
        "--threads",
        metavar="N",
        type=_thread_count,
        default=cores(),
        help="CPU threads (default: all cores, here %(default)s)",
    )
    parser.add_argument(
        "--sidecar",
        action="store_true",
        help="also write a JSON file beside each result: model, engine, settings, volumes, notes, the scan's SHA-256",
    )
    parser.add_argument(
        "--report",
        metavar="DIR",
        type=_path,
        help="also write a report on each scan (one HTML file: volume, diameter, place and slices of each lesion) to "
        "this folder, a table, and for several scans a page of all",
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


def _path(text: str) -> Path:
    """A path; an empty word, as of an unset variable, would be the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("expected a path, got an empty word")
    return Path(text)


def probability(text: str) -> float:
    """A probability from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a probability from 0 to 1, got {text}")
    return value


def _thread_count(text: str) -> int:
    """A thread count from 1 to twice the cores (at least 64). More threads would only wait for each other."""
    value, most = int(text), max(64, 2 * cores())
    if not 1 <= value <= most:
        raise argparse.ArgumentTypeError(f"expected 1 to {most} threads ({cores()} cores), got {value}")
    return value


def component_volume_ml(text: str) -> float:
    """A volume in mL, above 0 and up to 1000."""
    value = float(text)
    if not 0 < value <= 1000:  # the page takes 0.001 to 1,000
        raise argparse.ArgumentTypeError(f"expected a volume above 0 and up to 1000 mL, got {text}")
    return value


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
