"""`meshnet-compare RESULTS REFERENCES`: scores label files against reference masks.

Files are paired by name (label_pairs.py); the two files of a pair must lie on one grid. The scores are those of
metrics.py.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

import numpy as np
from numpy.typing import NDArray

from meshnet.model.shipped import known_models
from meshnet.model.spec import SpecError, read_spec
from meshnet.scan.file_errors import Table, open_table, sentence_of
from meshnet.scan.label_files import AFFINE_TOLERANCE_MM, read_labels
from meshnet.scan.label_values import is_label_like
from meshnet.scan.lasting_streams import lasting_streams
from meshnet.scan.scan_grid import volume_ml
from meshnet.scan.scan_paths import is_label_file, location, stem_of
from meshnet.scan.scan_stream import ScanError
from meshnet.score.label_pairs import find_labels, pair_up
from meshnet.score.metrics import Mask, lesion_scores, match_lesions, mean_surface_distance_mm, precision, recall

#: The values of a pair -> (heading, decimals).
COLUMNS = {
    "dice_lesion": ("Dice", 3),
    "dice_macro": ("DICE macro", 3),
    "avd": ("AVD", 3),
    "mcc": ("MCC", 3),
    "hd95_mm": ("HD95 mm", 1),
    "lesion_f1": ("lesion F1", 3),
    "volume_error_ml": ("error mL", 2),
    "result_ml": ("result mL", 2),
    "reference_ml": ("reference mL", 2),
    "precision": ("precision", 3),
    "recall": ("recall", 3),
    "msd_mm": ("MSD mm", 2),
    "lesions_found": ("found", 0),
    "lesions_missed": ("missed", 0),
    "lesions_false": ("false", 0),
}

#: Largest distance of a label from a whole number; a scaled file may store 0.99999.
_WHOLE = 1e-4

#: Smallest width of a column, in characters.
_NARROWEST = 7


@dataclass(frozen=True)
class Row:
    """A pair of files with a value for each of `COLUMNS`."""

    result: Path
    reference: Path
    values: dict[str, float]


def main(argv: Sequence[str] | None = None) -> int:
    """Command line. Exit code 0; 1 if a file has no partner or a pair failed; 2 if no pair was compared."""
    with lasting_streams():
        return _run(_parser().parse_args(argv))


def _run(args: argparse.Namespace) -> int:
    try:
        pairs, problems = _pairs(args.results, args.references)
        _check_table(args.csv, pairs)
        for problem in problems:
            print(f"error: {problem}", file=sys.stderr)
        with ExitStack() as stack:
            columns = ("result", "reference", *COLUMNS)
            table = None if args.csv is None or not pairs else stack.enter_context(open_table(args.csv, columns))
            rows = _compare_all(pairs, args.label, table)
    except (ScanError, OSError) as error:
        print(f"error: {sentence_of(error)}", file=sys.stderr)
        return 2
    if not rows:
        print("error: no pair was compared, see above", file=sys.stderr)
        return 2
    return 1 if problems or len(rows) < len(pairs) else 0


def compare(result: Path, reference: Path, *, label: str | None = None) -> dict[str, float]:
    """Compare one result with its reference; returns a value for each of `COLUMNS`.

    label: the one label to compare, a number or a name in the result's model; None: all labels above 0. Raises
    ScanError if a file can't be read, is no label file or lies on another grid than its partner, or if the model has no
    such label.
    """
    number = None if label is None else label_number(label, result)
    predicted, affine = read_mask(result, number)
    true, affine_of_reference = read_mask(reference, number)
    if predicted.shape != true.shape:
        raise ScanError(
            f"{reference}: has {true.shape} voxels, its result {result} {predicted.shape}; expected one grid: "
            f"draw or resample (nearest neighbour) the reference on the scan that was segmented"
        )
    apart_mm = float(np.abs(affine - affine_of_reference).max())
    if not apart_mm <= AFFINE_TOLERANCE_MM:
        raise ScanError(
            f"{reference}: its affine differs from that of its result {result} by {apart_mm:.3g} mm; expected one "
            f"grid: draw or resample (nearest neighbour) the reference on the scan that was segmented"
        )
    i_mm, j_mm, k_mm = (float(size) for size in np.sqrt((affine[:3, :3] ** 2).sum(axis=0)))
    lesions = match_lesions(predicted, true)
    return {
        **lesion_scores(predicted, true, (i_mm, j_mm, k_mm)),
        "result_ml": volume_ml(int(np.count_nonzero(predicted)), affine),
        "reference_ml": volume_ml(int(np.count_nonzero(true)), affine),
        "precision": precision(predicted, true),
        "recall": recall(predicted, true),
        "msd_mm": mean_surface_distance_mm(predicted, true, (i_mm, j_mm, k_mm)),
        "lesions_found": sum(lesions.found),
        "lesions_missed": len(lesions.found) - sum(lesions.found),
        "lesions_false": lesions.false,
    }


def label_number(label: str, result: Path) -> int:
    """The number of a label given as a number, or by its name in the known model that the name of `result` ends with.

    Raises ScanError if there is no such model or it has no such label.
    """
    if label.isdecimal():
        return int(label)
    stem = re.sub(r"(_min[0-9.]+mL)?(_conformed)?$", "", stem_of(result))
    folder = next((folder for model_id, folder in known_models().items() if stem.endswith(f"_{model_id}")), None)
    if folder is None:
        raise ScanError(f"{result}: its name ends with no known model's id, so --label {label} has to be a number")
    try:
        numbers = {x.name: x.index for x in read_spec(folder / "model.json").labels}
    except SpecError as error:
        raise ScanError(f"{result}: --label {label}: {error}") from error
    if label not in numbers:
        raise ScanError(f"{result}: its model has no label {label}; expected one of {', '.join(numbers)}, or a number")
    return numbers[label]


def read_mask(path: Path, number: int | None = None) -> tuple[Mask, NDArray[np.float64]]:
    """Mask [i, j, k] of the voxels above 0 (or equal to `number`), and the affine [4, 4] (voxel to RAS, mm). Raises
    ScanError if `path` has no labels."""
    voxels, affine = read_labels(path)
    if voxels.ndim != 3 or voxels.dtype.kind not in "buif":
        raise ScanError(f"{path}: expected a 3-D map of labels, got shape {voxels.shape} of {voxels.dtype}")
    whole = np.rint(voxels) if voxels.dtype.kind == "f" else voxels
    with np.errstate(invalid="ignore"):  # infinite voxels give NaN here, hence are refused too
        is_whole = voxels.dtype.kind != "f" or bool((np.abs(voxels - whole) <= _WHOLE).all())
    if not is_whole:
        raise ScanError(f"{path}: has values that are not whole numbers; expected labels: threshold it and try again")
    if not (is_label_file(path) or is_label_like(whole)):
        raise ScanError(
            f"{path}: has the values of a scan, not of labels (few whole numbers from 0); "
            f"give the mask that was drawn on this scan"
        )
    mask: Mask = whole > 0 if number is None else whole == number
    return mask, affine


def _pairs(results: Path, references: Path) -> tuple[list[tuple[Path, Path]], list[str]]:
    if results.is_file() and references.is_file():
        return [(results, references)], []
    found: list[list[Path]] = []
    for source in (results, references):
        labels, others = find_labels(source)
        if others:
            one = len(others) == 1
            what = (
                "1 volume is not a label file and was" if one else f"{len(others)} volumes are not label files and were"
            )
            print(f"{source}: {what} left out, the first is {others[0]}")
        found.append(labels)
    return pair_up(*found)


def _compare_all(pairs: Sequence[tuple[Path, Path]], label: str | None, table: Table | None) -> list[Row]:
    """Compare, print and write pair by pair; a failing pair is reported and the next one is taken."""
    width = max([len("median"), *(len(stem_of(result)) for result, _ in pairs)])
    rows: list[Row] = []
    for result, reference in pairs:
        try:
            row = Row(result, reference, compare(result, reference, label=label))
        except (ScanError, OSError, MemoryError) as error:
            print(f"error: {sentence_of(error) or f'{result}: not enough memory'}", file=sys.stderr)
            continue
        if not rows:
            print(_cells("scan", width, (heading for heading, _ in COLUMNS.values())))
        rows.append(row)
        print(_line(stem_of(result), width, row.values), flush=True)
        if table is not None:
            table.writerows([(result, reference, *(row.values[c] for c in COLUMNS))])
    if rows:
        _summarize(rows, width)
    if rows and label is not None and not any(r.values["result_ml"] or r.values["reference_ml"] for r in rows):
        print(f"note: label {label} is in none of these files", file=sys.stderr)
    return rows


def _summarize(rows: Sequence[Row], width: int) -> None:
    """Print mean and median of each column over its finite values, and their number if it is not that of the pairs."""
    finite = {c: [row.values[c] for row in rows if math.isfinite(row.values[c])] for c in COLUMNS}
    print(_line("mean", width, {c: mean(values) if values else math.nan for c, values in finite.items()}))
    print(_line("median", width, {c: median(values) if values else math.nan for c, values in finite.items()}))
    for column, values in finite.items():
        if len(values) < len(rows):
            heading, _ = COLUMNS[column]
            print(f"{heading}: mean and median of {len(values)} of {len(rows)}; the others have an empty mask")


def _line(name: str, width: int, values: dict[str, float]) -> str:
    texts = (
        "n/a" if math.isnan(values[column]) else f"{values[column]:.{decimals}f}"
        for column, (_, decimals) in COLUMNS.items()
    )
    return _cells(name, width, texts)


def _cells(name: str, width: int, texts: Iterable[str]) -> str:
    headings = (heading for heading, _ in COLUMNS.values())
    columns = (text.rjust(max(_NARROWEST, len(heading))) for text, heading in zip(texts, headings, strict=True))
    return "  ".join([name.ljust(width), *columns])


def _check_table(table: Path | None, pairs: Sequence[tuple[Path, Path]]) -> None:
    if table is not None and location(table) in {location(path) for pair in pairs for path in pair}:
        raise ScanError(f"{table}: the table would overwrite this label file; choose another file with --csv")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="meshnet-compare",
        description="Compare segmentations with reference masks on the same grids.",
        epilog="A result is paired with the reference whose name it begins with (endings such as _mask are ignored), "
        "else with that of the same subject and session. Exit code: 0; 1 if a file has no partner or a pair failed; "
        "2 if no pair was compared.",
    )
    parser.add_argument("results", metavar="RESULTS", type=Path, help="label file, or a folder of meshnet-predict")
    parser.add_argument("references", metavar="REFERENCES", type=Path, help="mask, or a folder of masks")
    parser.add_argument("--csv", metavar="FILE", type=Path, help="also write one row per pair")
    parser.add_argument(
        "--label",
        metavar="LABEL",
        help="label to compare: its number in both files, or its name in the known model that made the results "
        "(default: all labels above 0)",
    )
    return parser
