"""Which scans a command line means, and what their results are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from meshnet.scan_stream import ScanError, pair_partner

SCAN_SUFFIXES = (".nii", ".nii.gz", ".hdr", ".hdr.gz", ".img", ".img.gz", ".mgh", ".mgz")


def find_scans(sources: Iterable[Path], *, out: Path, model_id: str) -> list[Path]:
    """Files as given, folders searched recursively for scans; each scan once, a pair by its .hdr.

    In folders, hidden files, results of this model (`*_<model_id>.nii.gz`) and what lies under `out`
    are left out, so that a second run doesn't segment the results of the first. Raises ScanError for
    a folder without scans or a path that isn't there.
    """
    found: dict[Path, Path] = {}
    for source in sources:
        if source.is_dir():
            scans = sorted(p for p in source.rglob("*") if _is_scan(p, source, out, model_id))
            if not scans:
                raise ScanError(
                    f"{source}: no scans in this folder; expected files ending in {', '.join(SCAN_SUFFIXES)}"
                )
        elif source.exists():
            scans = [source]
        else:
            raise ScanError(f"{source}: no such file or folder; check the path")
        for scan in map(_pair_header, scans):
            found.setdefault(location(scan), scan)
    return list(found.values())


def output_names(scans: Sequence[Path], model_id: str) -> list[str]:
    """`<scan>_<model_id>.nii.gz` for each scan, all different.

    Scans of the same name get the names of their folders in front (`a_x`, `b_x`), as many as tell them
    apart; x.nii and x.nii.gz in one folder keep their endings.
    """
    absolute = [location(scan) for scan in scans]
    twins = Counter((scan.parent, _stem(scan).casefold()) for scan in absolute)
    base = [s.name if twins[s.parent, _stem(s).casefold()] > 1 else _stem(s) for s in absolute]
    depth = [0] * len(scans)

    def name(index: int) -> str:
        parents = absolute[index].parent.parts[1:]
        return "_".join([*parents[len(parents) - depth[index] :], base[index]])

    while True:
        names = [name(index) for index in range(len(scans))]
        count = Counter(n.casefold() for n in names)  # some file systems ignore case
        clashes = [i for i, n in enumerate(names) if count[n.casefold()] > 1]
        if not clashes:
            return [f"{n}_{model_id}.nii.gz" for n in names]
        deeper = [i for i in clashes if depth[i] < len(absolute[i].parent.parts) - 1]
        if not deeper:
            both = ", ".join(str(scans[i]) for i in clashes[:2])
            raise ScanError(f"{both}: their results would have the same name; rename one or run them separately")
        for index in deeper:
            depth[index] += 1


def location(path: Path) -> Path:
    """The path without detours. A link keeps its own name: data sets are often links into a store of hashes."""
    return path.parent.resolve() / path.name


def _is_scan(path: Path, folder: Path, out: Path, model_id: str) -> bool:
    if not path.name.lower().endswith(SCAN_SUFFIXES) or path.is_dir():
        return False
    if any(part.startswith(".") for part in path.relative_to(folder).parts):
        return False
    is_under_out = path.resolve().is_relative_to(out.resolve()) and out.resolve() != folder.resolve()
    return not is_under_out and not path.name.endswith(f"_{model_id}.nii.gz")


def _pair_header(path: Path) -> Path:
    """The .hdr of an .img where there is one (reading says so where there is none)."""
    if not path.name.lower().endswith((".img", ".img.gz")):
        return path
    try:
        return pair_partner(path, ".img", ".hdr")
    except ScanError:
        return path


def _stem(path: Path) -> str:
    name = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
    return Path(name).stem
