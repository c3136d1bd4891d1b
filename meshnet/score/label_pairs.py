"""Pair the label files of two folders by their names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from meshnet.scan.label_files import LABEL_ENDING, read_labels
from meshnet.scan.label_values import is_label_like
from meshnet.scan.scan_paths import files_below, is_hidden, is_label_file, stem_of
from meshnet.scan.scan_stream import ScanError

SUFFIXES = (".nii", ".nii.gz", ".mgh", ".mgz")

#: BIDS entities that distinguish scans, and entities that only describe a derived file.
_OF_SCANS = re.compile(r"(?:^|_)(sub|ses|acq|run)-([A-Za-z0-9]+)")
_OF_LABELS = re.compile(r"_(?:desc|label)-[A-Za-z0-9]+")


def find_labels(source: Path) -> tuple[list[Path], list[Path]]:
    """The label files of `source` (a file, or a folder searched recursively), and the volumes that were left out.

    If no file of a folder is a label file by name or header, the values of the voxels decide; if those say nothing, all
    its volumes count as label files. Raises ScanError for
    a missing path or a folder without volumes.
    """
    if not source.exists():
        raise ScanError(f"{source}: no such file or folder; check the path")
    if not source.is_dir():
        return [source], []
    volumes = sorted(p for p in files_below(source) if _is_volume(p, source))
    if not volumes:
        raise ScanError(f"{source}: no label files in this folder; expected files ending in {', '.join(SUFFIXES)}")
    labels = [path for path in volumes if is_label_file(path)] or [path for path in volumes if _holds_labels(path)]
    others = set(volumes) - set(labels)
    return (labels, sorted(others)) if labels else (volumes, [])


def pair_up(results: Sequence[Path], references: Sequence[Path]) -> tuple[list[tuple[Path, Path]], list[str]]:
    """Pairs of a result and its reference, and a message for every file without exactly one partner.

    Several results (of different models) may share a reference.
    """
    pairs: list[tuple[Path, Path]] = []
    problems: list[str] = []
    named: set[Path] = set()
    for result in results:
        fitting = references_of(result, references)
        named.update(fitting)
        if len(fitting) == 1:
            pairs.append((result, fitting[0]))
        elif fitting:
            several = ", ".join(str(path) for path in fitting[:3])
            problems.append(f"{result}: {len(fitting)} references fit it ({several}); give the two files by name")
        else:
            problems.append(
                f"{result}: no reference fits it; expected a file whose name it begins with, or of the same sub-…"
            )
    problems += [f"{path}: no result for this reference" for path in references if path not in named]
    return pairs, problems


def references_of(result: Path, references: Sequence[Path]) -> list[Path]:
    """The references of a result: those with the longest `scan_name` that its name begins with, else those of its
    subject.

    So `sub-01_T2w_t2-lesion` fits `sub-01_T2w_mask` and `sub-01_T2w_desc-lesion_mask`. Among the references of the same
    subject, those of the same session, acquisition and run come first; references of another one don't fit.
    """
    stem = stem_of(result)
    names = {path: scan_name(path) for path in references}
    beginning = [path for path, name in names.items() if f"{stem}_".startswith(f"{name}_")]
    if beginning:
        longest = max(len(names[path]) for path in beginning)
        return [path for path in beginning if len(names[path]) == longest]
    own = _entities(result)
    if "sub" not in own:
        return []
    entities = {path: _entities(path) for path in references}
    same = [path for path, theirs in entities.items() if theirs == own]
    return same or [
        path
        for path, theirs in entities.items()
        if "sub" in theirs and all(own[key] == theirs[key] for key in own.keys() & theirs.keys())
    ]


def scan_name(reference: Path) -> str:
    """The reference's name without endings and entities of masks; in most data sets, the name of the scan."""
    name = _OF_LABELS.sub("", stem_of(reference))
    return LABEL_ENDING.sub("", name) or name


def _holds_labels(path: Path) -> bool:
    """Whether the voxels look like labels; an unreadable file counts as labels, so that it is reported."""
    try:
        return is_label_like(read_labels(path)[0])
    except ScanError:
        return True


def _entities(path: Path) -> dict[str, str]:
    return dict(_OF_SCANS.findall(stem_of(path)))


def _is_volume(path: Path, folder: Path) -> bool:
    return path.name.lower().endswith(SUFFIXES) and not path.is_dir() and not is_hidden(path, folder)
