"""`meshnet-prepare DATASET OUT`: conforms, indexes and splits a data set for training.

OUT gets `volumes/NAME_image.nii.gz` and `NAME_labels.nii.gz` (uint8, on the conformed grid), `index.csv` (one row per
case with its folds), `excluded.csv` (every case left out, with the reason) and `prepared.json` (the settings). A second
run prepares only the missing cases.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from meshnet.cohort.arguments import at_least, given_twice, kind_of_folder, out_folder
from meshnet.cohort.bids import SPACE, Case, CohortError, Excluded, difference_from_arc, find_bids, find_pairs
from meshnet.cohort.splits import OUTER_FOLDS, PAPER_QUARTILES, nested_folds, own_quartiles, quartile
from meshnet.scan.conform import conform
from meshnet.scan.file_errors import sentence_of
from meshnet.scan.label_files import AFFINE_TOLERANCE_MM, read_labels
from meshnet.scan.lasting_streams import lasting_streams
from meshnet.scan.nifti import MIN_DIM, Scan, ScanError, new_header, read_scan, save_labels, save_volume
from meshnet.scan.scan_grid import resample_labels


@dataclass(frozen=True)
class Settings:
    """Settings that determine the content of a prepared folder. size: voxels along each axis; seed: of the folds."""

    size: int
    voxel_size_mm: float
    seed: int


@dataclass(frozen=True)
class Row:
    """One case of `index.csv`. image, labels: paths relative to the folder. inner_fold_N: inner fold within the
    training set of outer fold N, -1 if outer fold N tests the case."""

    name: str
    subject: str
    session: str
    acquisition: str
    run: str
    image: str
    labels: str
    lesion_voxels: int
    quartile: int
    outer_fold: int
    inner_fold_0: int
    inner_fold_1: int
    inner_fold_2: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line. Exit code 0; 2 if the data set can't be used."""
    with lasting_streams():
        return _run(_parser().parse_args(arguments))


def _run(args: argparse.Namespace) -> int:
    acquisitions = [] if args.acq == "all" else args.acq.split(",")
    try:
        if not args.dataset.is_dir():
            raise CohortError(f"{args.dataset}: no such folder; expected a BIDS data set, or a folder of pairs")
        _check_out(args.out)
        cases, excluded = find_pairs(args.dataset) if args.format == "pairs" else find_bids(args.dataset, acquisitions)
        if not cases:
            reasons = "; ".join(f"{e.name}: {e.reason}" for e in excluded[:3])
            raise CohortError(
                f"{args.dataset}: no scan to prepare with --acq {args.acq or chr(39) * 2} ({reasons}); expected acq "
                f"labels of the data set, by commas, or --acq all"
            )
        settings = Settings(args.size, args.voxel_size_mm, args.seed)
        bounds = PAPER_QUARTILES if args.quartiles == "paper" else None
        rows, left_out = prepare(cases, args.out, settings, bounds=bounds, workers=args.workers)
    except (CohortError, OSError, ValueError) as error:
        print(f"meshnet-prepare: {sentence_of(error)}", file=sys.stderr)
        return 2
    excluded += left_out
    _write_csv(args.out / "excluded.csv", ["name", "reason"], [asdict(e) for e in excluded])
    for item in excluded:
        print(f"left out: {item.name}: {item.reason}")
    print(f"{args.out}: {len(rows)} cases of {len({r.subject for r in rows})} subjects, {len(excluded)} left out")
    counts = Counter(r.acquisition for r in rows)
    if args.format == "bids" and any(counts[acquisition] for acquisition in SPACE):
        print(difference_from_arc(counts))
    return 0


def _check_out(out: Path) -> None:
    """Raise CohortError for a folder that holds something else than prepared data."""
    there = [path.name for path in out.iterdir() if not path.name.startswith(".")] if out.is_dir() else []
    if there and "volumes" not in there:
        raise CohortError(
            f"{out}: holds {kind_of_folder(out) or min(there)}; expected a new folder, or one of meshnet-prepare"
        )


def prepare(
    cases: Sequence[Case], out: Path, settings: Settings, *, bounds: Sequence[int] | None = None, workers: int = 1
) -> tuple[list[Row], list[Excluded]]:
    """Conform every case, deal the folds, write the index; returns its rows and the cases that were left out.

    bounds: upper bounds (voxels) of the first three lesion-volume quartiles; None: those of the data. Raises
    CohortError if the folder was prepared with other settings, if too few cases are left, or if an indexed case would
    move to another outer fold.
    """
    _check_settings(out, settings)
    (out / "volumes").mkdir(parents=True, exist_ok=True)
    jobs = [(case, out, settings) for case in cases]
    with ProcessPoolExecutor(max_workers=workers) as pool:
        results = list(tqdm(pool.map(_prepare_case, jobs), total=len(jobs), desc="conform", unit="scan", disable=None))
    voxels = {c.name: r for c, r in zip(cases, results, strict=True) if isinstance(r, int)}
    excluded = [Excluded(c.name, r) for c, r in zip(cases, results, strict=True) if isinstance(r, str)]
    used = [case for case in cases if case.name in voxels]
    if len({case.subject for case in used}) < OUTER_FOLDS + 2:
        reasons = "; ".join(f"{e.name}: {e.reason}" for e in excluded[:3])
        raise CohortError(
            f"{out}: {len(used)} usable cases, expected those of at least {OUTER_FOLDS + 2} subjects for nested folds"
            + (f" (left out, among others: {reasons})" if reasons else "")
        )
    rows = _index(used, voxels, bounds or own_quartiles(list(voxels.values())), settings.seed)
    _check_folds(out, rows)
    _write_csv(out / "index.csv", [f.name for f in fields(Row)], [asdict(r) for r in rows])
    return rows, excluded


def read_index(folder: Path) -> list[Row]:
    """Rows of a prepared folder. Raises CohortError if it has no index, or one that meshnet-prepare didn't write."""
    path = folder / "index.csv"
    if not path.is_file():
        raise CohortError(f"{folder}: no index.csv; expected a folder written by meshnet-prepare")
    integers = {f.name for f in fields(Row) if f.type == "int"}
    again = "prepare the data again with meshnet-prepare, in another folder"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = list(csv.DictReader(file))
        typed: list[dict[str, Any]] = [{k: int(v) if k in integers else v for k, v in line.items()} for line in lines]
        rows = [Row(**line) for line in typed]
    except (ValueError, TypeError, csv.Error) as error:
        raise CohortError(
            f"{path}: cannot be read ({error}); expected the columns {', '.join(f.name for f in fields(Row))}; {again}"
        ) from error
    if not rows:
        raise CohortError(f"{path}: has no cases; expected one line per case; {again}")
    double = given_twice(row.name for row in rows)
    if double is not None:
        raise CohortError(f"{path}: {double} is in it twice; expected one line per case; {again}")
    return rows


def read_grid(folder: Path) -> tuple[int, float]:
    """Voxels along each axis and voxel size in mm of a prepared folder. Raises CohortError if they can't be read."""
    path = folder / "prepared.json"
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        return int(settings["size"]), float(settings["voxel_size_mm"])
    except (OSError, ValueError, KeyError) as error:
        raise CohortError(f"{path}: cannot read the grid ({error}); expected a file of meshnet-prepare") from error


def _index(cases: Sequence[Case], voxels: dict[str, int], bounds: Sequence[int], seed: int) -> list[Row]:
    quartiles = [quartile(voxels[case.name], bounds) for case in cases]
    strata = [f"{q} {case.acquisition}" for q, case in zip(quartiles, cases, strict=True)]
    outer, inner = nested_folds([case.subject for case in cases], strata, seed)
    return [
        Row(
            name=case.name,
            subject=case.subject,
            session=case.session,
            acquisition=case.acquisition,
            run=case.run,
            image=f"volumes/{case.name}_image.nii.gz",
            labels=f"volumes/{case.name}_labels.nii.gz",
            lesion_voxels=voxels[case.name],
            quartile=quartiles[i],
            outer_fold=outer[i],
            inner_fold_0=inner[0][i],
            inner_fold_1=inner[1][i],
            inner_fold_2=inner[2][i],
        )
        for i, case in enumerate(cases)
    ]


def _prepare_case(job: tuple[Case, Path, Settings]) -> int | str:
    """Number of lesion voxels on the conformed grid, or the reason why the case can't be used."""
    case, out, settings = job
    done = out / "volumes" / f"{case.name}.json"
    stamp = {"image": _stamp(case.image), "mask": _stamp(case.mask)}
    if done.is_file():
        stored = json.loads(done.read_text())
        files = [out / "volumes" / f"{case.name}_{kind}.nii.gz" for kind in ("image", "labels")]
        if stored["sources"] == stamp and all(file.is_file() for file in files):
            return int(stored["lesion_voxels"])
    try:
        scan, lesion = _scan_and_lesion(case)
        conformed = conform(scan, size=settings.size, voxel_size_mm=settings.voxel_size_mm)
    except (ScanError, OSError) as error:
        return str(error)
    for note in (*scan.notes, *conformed.notes):
        print(f"{case.name}: note: {note.text} [{note.code}]", flush=True)
    labels = resample_labels(lesion, scan.affine_vox2ras, conformed.affine_vox2ras, conformed.data.shape)
    voxels = int(np.count_nonzero(labels))
    if voxels == 0:
        return f"no lesion voxel is left on the {settings.size}^3 grid of {settings.voxel_size_mm} mm"
    _keep_settings(out, settings)
    header = new_header(conformed.affine_vox2ras, conformed.data.shape, code=1)
    save_volume(out / "volumes" / f"{case.name}_image.nii.gz", conformed.data, header)
    save_labels(out / "volumes" / f"{case.name}_labels.nii.gz", labels, header)
    partial = done.with_suffix(".partial")
    partial.write_text(json.dumps({"sources": stamp, "lesion_voxels": voxels}))
    os.replace(partial, done)
    return voxels


def _scan_and_lesion(case: Case) -> tuple[Scan, NDArray[np.uint8]]:
    """The scan, and its lesion as 0 and 1 on the same grid. Raises ScanError if the grids differ or the mask is
    empty."""
    scan = read_scan(case.image)
    mask, affine = read_labels(case.mask)
    if scan.data.shape != mask.shape:
        raise ScanError(f"{case.mask}: the mask's grid has shape {mask.shape}, the scan's {scan.data.shape}")
    if np.abs(scan.affine_vox2ras - affine).max() > AFFINE_TOLERANCE_MM:
        raise ScanError(f"{case.mask}: its affine differs from the scan's; expected a mask on the scan's grid")
    lesion = (mask > 0).astype(np.uint8)
    if not lesion.any():
        raise ScanError(f"{case.mask}: the lesion mask is empty")
    return scan, lesion


def _stamp(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]


def _check_settings(out: Path, settings: Settings) -> None:
    """Raise CohortError if the folder was prepared with another grid or seed: a mixture would go unnoticed."""
    path = out / "prepared.json"
    wanted = asdict(settings)
    if path.is_file() and (stored := json.loads(path.read_text())) != wanted:
        raise CohortError(f"{out}: prepared before with {stored}, now asked for {wanted}; use another folder")


def _keep_settings(out: Path, settings: Settings) -> None:
    """Write prepared.json if it is missing.

    Called by any process just before it writes a volume, so that a call that writes none leaves no settings behind.
    """
    path = out / "prepared.json"
    if not path.is_file():
        partial = path.with_suffix(f".partial{os.getpid()}")
        partial.write_text(json.dumps(asdict(settings), indent=2) + "\n")
        os.replace(partial, path)


def _check_folds(out: Path, rows: Sequence[Row]) -> None:
    """Raise CohortError if an indexed case would change its outer fold, on which runs of this folder are evaluated."""
    if not (out / "index.csv").is_file():
        return
    before = {row.name: row.outer_fold for row in read_index(out)}
    moved = [row.name for row in rows if before.get(row.name, row.outer_fold) != row.outer_fold]
    if moved:
        raise CohortError(
            f"{out}: {len(moved)} of {len(before)} prepared cases would move to another outer fold (first {moved[0]}), "
            f"and runs trained on this folder would be tested on cases they learned from; "
            f"give the same cases, --seed and --quartiles as before, or use another folder"
        )


def _write_csv(path: Path, columns: list[str], rows: list[dict[str, object]]) -> None:
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    os.replace(partial, path)


#: Voxels along an axis; conforming computes with 8 bytes a voxel.
_MAX_SIZE = 1024


def _size(text: str) -> int:
    if not text.isdecimal() or not MIN_DIM <= int(text) <= _MAX_SIZE:
        raise argparse.ArgumentTypeError(f"expected a whole number of voxels from {MIN_DIM} to {_MAX_SIZE}, got {text}")
    return int(text)


def _voxel_size_mm(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected millimetres above 0, got {text}")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="meshnet-prepare", description="Conform, index and split a lesion data set for training."
    )
    parser.add_argument("dataset", type=Path, help="BIDS data set (e.g. ARC, ds004884), or a folder of pairs")
    parser.add_argument("out", type=out_folder, help="folder to write; running again resumes")
    parser.add_argument("--format", choices=("bids", "pairs"), default="bids", help="pairs: X.nii.gz and X_mask.nii.gz")
    parser.add_argument(
        "--acq", default=",".join(SPACE), help="BIDS acq labels to use, or 'all' (default: %(default)s, the paper's)"
    )
    parser.add_argument("--size", type=_size, default=256, help="voxels along each axis (default 256)")
    parser.add_argument("--voxel-size-mm", type=_voxel_size_mm, default=1.0, help="voxel size in mm (default 1)")
    parser.add_argument(
        "--quartiles",
        choices=("paper", "own"),
        default="own",
        help="lesion volumes that separate the strata of the folds: the data's quartiles, or those of the paper",
    )
    parser.add_argument("--seed", type=at_least(0), default=0, help="seed of the folds (default 0)")
    parser.add_argument(
        "--workers", type=at_least(1), default=os.cpu_count() or 1, help="processes (default: all cores)"
    )
    return parser
