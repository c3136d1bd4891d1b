"""Which scans a command line means, and what their results are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from meshnet.scan.label_files import names_labels, says_labels
from meshnet.scan.scan_stream import ScanError, pair_partner

SCAN_SUFFIXES = (".nii", ".nii.gz", ".hdr", ".hdr.gz", ".img", ".img.gz", ".mgh", ".mgz")


def find_scans(sources: Iterable[Path], *, out: Path, model_id: str) -> tuple[list[Path], list[Path]]:
    """The scans that files and folders mean, and the label files that were left out of folders.

    Files are taken as given, folders are searched recursively; each scan comes once, a pair by its .hdr.
    In folders, hidden files and what lies under `out` are ignored, and label files are left out: results of any
    model, masks, segmentations, so that a second run doesn't segment the results of the first. Raises ScanError
    for a folder without scans or a path that isn't there.
    """
    found: dict[Path, Path] = {}
    left_out: dict[Path, Path] = {}
    for source in sources:
        if source.is_dir():
            scans, labels = _search(source, out, model_id)
        elif source.exists():
            scans, labels = [_pair_header(source)], []
        else:
            raise ScanError(f"{source}: no such file or folder; check the path")
        for paths, known in ((scans, found), (labels, left_out)):
            for path in paths:
                known.setdefault(location(path), path)
    return list(found.values()), [path for place, path in left_out.items() if place not in found]


def output_names(
    scans: Sequence[Path], model_id: str, *, frame: int | None = None, conformed: bool = False
) -> list[str]:
    """`<scan>[_frame<N>]_<model_id>[_conformed].nii.gz` for each scan, all different; the site names files so too.

    Scans of the same name get the names of their folders in front (`a_x`, `b_x`), as many as tell them
    apart; x.nii and x.nii.gz in one folder keep their endings.
    """
    ending = f"{'' if frame is None else f'_frame{frame}'}_{model_id}{'_conformed' if conformed else ''}.nii.gz"
    absolute = [location(scan) for scan in scans]
    twins = Counter((scan.parent, stem_of(scan).casefold()) for scan in absolute)
    base = [s.name if twins[s.parent, stem_of(s).casefold()] > 1 else stem_of(s) for s in absolute]
    depth = [0] * len(scans)

    def name(index: int) -> str:
        parents = absolute[index].parent.parts[1:]
        return "_".join([*parents[len(parents) - depth[index] :], base[index]])

    while True:
        names = [name(index) for index in range(len(scans))]
        count = Counter(n.casefold() for n in names)  # some file systems ignore case
        clashes = [i for i, n in enumerate(names) if count[n.casefold()] > 1]
        if not clashes:
            return [f"{n}{ending}" for n in names]
        deeper = [i for i in clashes if depth[i] < len(absolute[i].parent.parts) - 1]
        if not deeper:
            both = ", ".join(str(scans[i]) for i in clashes[:2])
            raise ScanError(f"{both}: their results would have the same name; rename one or run them separately")
        for index in deeper:
            depth[index] += 1


def location(path: Path) -> Path:
    """The path without detours. A link keeps its own name: data sets are often links into a store of hashes."""
    return path.parent.resolve() / path.name


def stem_of(path: Path) -> str:
    """A file's name without its extensions."""
    name = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
    return Path(name).stem


def is_hidden(path: Path, folder: Path) -> bool:
    """Whether a file found in `folder`, or a folder on the way to it, is a hidden one."""
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def is_label_file(path: Path) -> bool:
    """Whether name or header say that a file holds labels, not intensities."""
    return names_labels(stem_of(path)) or says_labels(path)


def _search(folder: Path, out: Path, model_id: str) -> tuple[list[Path], list[Path]]:
    """Scans and label files below `folder`. Raises ScanError where there is no scan."""
    # Results of earlier versions say what they are by their names alone.
    results = (f"_{model_id}.nii.gz", f"_{model_id}_conformed.nii.gz")
    scans: list[Path] = []
    labels: list[Path] = []
    for path in sorted({_pair_header(p) for p in folder.rglob("*") if _is_volume(p, folder, out)}):
        (labels if path.name.endswith(results) or is_label_file(path) else scans).append(path)
    if labels and not scans:
        raise ScanError(
            f"{folder}: no scans in this folder, label files only ({len(labels)}, the first {labels[0]}); "
            f"give the folder of the scans, or name files one by one to have them segmented all the same"
        )
    if not scans:
        raise ScanError(f"{folder}: no scans in this folder; expected files ending in {', '.join(SCAN_SUFFIXES)}")
    return scans, labels


def _is_volume(path: Path, folder: Path, out: Path) -> bool:
    """Whether a file has a scan's ending, is not hidden and doesn't lie among the results."""
    if not path.name.lower().endswith(SCAN_SUFFIXES) or path.is_dir() or is_hidden(path, folder):
        return False
    return not path.resolve().is_relative_to(out.resolve()) or out.resolve() == folder.resolve()


def _pair_header(path: Path) -> Path:
    """The .hdr of an .img where there is one (reading says so where there is none)."""
    if not path.name.lower().endswith((".img", ".img.gz")):
        return path
    try:
        return pair_partner(path, ".img", ".hdr")
    except ScanError:
        return path
