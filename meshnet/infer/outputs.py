"""Where the results of `meshnet-predict` are written, and the checks of these places before the first network runs."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from meshnet.infer.sidecar import is_free_for_sidecar
from meshnet.infer.sources import Source
from meshnet.scan.file_errors import check_folder, nearest_existing
from meshnet.scan.label_files import says_labels
from meshnet.scan.scan_paths import SCAN_SUFFIXES, location, output_names, stem_of
from meshnet.scan.scan_stream import ScanError

#: Names that `-o` takes for a file.
RESULT_SUFFIXES = (".nii.gz", ".nii")


def is_file_name(out: Path | None) -> bool:
    """Whether `-o` names a file, not a folder. Raises ScanError for the ending of another format."""
    if out is None or out.is_dir():
        return False
    name = out.name.lower()
    if name.endswith(RESULT_SUFFIXES):
        return True
    if name.endswith(SCAN_SUFFIXES):
        raise ScanError(f"{out}: -o has the ending of another format; results are NIfTI, so end it with .nii.gz")
    return False


def searched_without(out: Path | None) -> Path | None:
    """The folder in which no scans are searched: that of the results, unless `-o` names a file in it."""
    return None if is_file_name(out) else out


def result_paths(sources: Sequence[Source], model_id: str, args: argparse.Namespace) -> list[Path]:
    """The result's path of each scan.

    Raises ScanError if `-o` names one file for several scans or a file that is no result, or if a result would
    overwrite a scan, or the table one of them.
    """
    outputs = _named_by_out(sources, args.out) if is_file_name(args.out) else _named_by_scan(sources, model_id, args)
    inputs = {location(file) for source in sources for file in (source.name, *source.files)}
    for output in outputs:
        for path in written_paths(output, args):
            if path.is_dir():
                raise ScanError(f"{path}: is a folder, and the result has this name; move it or choose another -o")
            if location(path) in inputs:
                raise ScanError(f"{path}: the result would overwrite this scan; choose another folder with -o")
        if args.sidecar and not is_free_for_sidecar(sidecar_path(output)):
            raise ScanError(
                f"{sidecar_path(output)}: is there and is no sidecar of MeshNet; choose another name or folder with -o"
            )
    table = args.csv
    if table is not None and location(table) in inputs | {location(output) for output in outputs}:
        raise ScanError(f"{table}: the table would overwrite this scan or result; choose another file with --csv")
    return outputs


def without_results(
    sources: Sequence[Source], model_id: str, args: argparse.Namespace
) -> tuple[list[Source], list[Path]]:
    """The scans, without results of an earlier run, and these results: a shell's `*` names both."""
    outputs = set() if is_file_name(args.out) else {location(path) for path in _named_by_scan(sources, model_id, args)}
    results = {source.name for source in sources if location(source.name) in outputs and says_labels(source.path)}
    return [source for source in sources if source.name not in results], sorted(results)


def sidecar_path(output: Path) -> Path:
    """The file of a result's sidecar: its name with .json at the end."""
    return output.with_name(f"{stem_of(output)}.json")


def check_folders(outputs: Iterable[Path]) -> None:
    """Raise ScanError if nothing can be written in a folder of these results. The first result makes its folder."""
    for folder in dict.fromkeys(output.parent for output in outputs):
        check_folder(folder, "results", "choose another folder with -o")


def probability_path(output: Path) -> Path:
    """The file of the probability map that belongs to a result; BIDS names such maps `probseg`."""
    return output.with_name(f"{stem_of(output)}_probseg.nii.gz")


def dicom_seg_path(output: Path) -> Path:
    """The DICOM-SEG file that belongs to a result."""
    return output.with_name(f"{stem_of(output)}.dcm")


def written_paths(output: Path, args: argparse.Namespace) -> list[Path]:
    """A result, its probability map and its DICOM-SEG, as far as they were asked for."""
    maps = [probability_path(output)] if args.probability else []
    return [output, *maps, *([dicom_seg_path(output)] if args.dicom_seg else [])]


def too_long(output: Path, *, probability: bool = False) -> str | None:
    """The reason why the file system can't take this result's name, or None. probability: with its map's name."""
    output = probability_path(output) if probability else output
    partial = len(os.fsencode(f".{output.name}.partial"))  # `save_volume` writes under this name first
    try:
        most = os.pathconf(nearest_existing(output.parent), "PC_NAME_MAX")
    except (OSError, ValueError, AttributeError):  # AttributeError: not on Windows
        most = 255
    if partial <= most:
        return None
    return f"the result's name {output.name} would be {partial - most} bytes too long; rename the scan"


def _named_by_out(sources: Sequence[Source], out: Path) -> list[Path]:
    if len(sources) > 1:
        raise ScanError(
            f"{out}: -o names one file, but there are {len(sources)} scans; give -o a folder, or leave it out to have "
            f"each result beside its scan"
        )
    if out.exists() and not says_labels(out):
        raise ScanError(f"{out}: -o names a file that exists and holds no labels of MeshNet; choose another name")
    return [out]


def _named_by_scan(sources: Sequence[Source], model_id: str, args: argparse.Namespace) -> list[Path]:
    """`OUT/<scan>_<model id>.nii.gz`, or the same beside each scan."""
    if args.out is not None and args.out.exists() and not args.out.is_dir():
        raise ScanError(f"{args.out}: -o names a file that exists; expected a folder or a name ending in .nii.gz")
    by_folder: dict[Path, list[int]] = {}
    for index, source in enumerate(sources):
        by_folder.setdefault((args.out or source.home).resolve(), []).append(index)
    outputs: dict[int, Path] = {}
    for indices in by_folder.values():
        folder = args.out or sources[indices[0]].home
        names = output_names(
            [sources[index].name for index in indices],
            model_id,
            frame=args.frame,
            flip=args.flip,
            threshold=args.threshold,
            remove_below_ml=args.remove_below,
            conformed=args.space == "conformed",
        )
        outputs |= {index: folder / name for index, name in zip(indices, names, strict=True)}
    return [outputs[index] for index in range(len(sources))]
