"""Find the scans that a command line names, and name their results."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from meshnet.scan.itk_formats import ITK_SUFFIXES
from meshnet.scan.label_files import lies_among_labels, maps_tissue_of, names_labels, says_labels
from meshnet.scan.scan_stream import ScanError, pair_partner

SCAN_SUFFIXES = (".nii", ".nii.gz", ".hdr", ".hdr.gz", ".img", ".img.gz", ".mgh", ".mgz", *ITK_SUFFIXES)


def find_scans(
    sources: Iterable[Path], *, out: Path | None, model_id: str, leave_out: Collection[Path] = ()
) -> tuple[list[Path], list[Path]]:
    """The scans among `sources` (files and folders), and the label files that were left out.

    Files are taken as given; folders are searched recursively. Each scan is listed once, a .hdr/.img pair by its .hdr.
    In folders, hidden files and files under `out` are ignored, and label files (results of any model, masks,
    segmentations) are left out, so that a second run doesn't segment the results of the first. out: None if results lie
    beside their scans. leave_out: files of folders that are no scans by their content. Raises ScanError for a missing
    path, and for a folder with neither scans nor files of `leave_out`.
    """
    found: dict[Path, Path] = {}
    left_out: dict[Path, Path] = {}
    for source in sources:
        if source.is_dir():
            scans, labels = _search(source, out, model_id, leave_out)
        elif source.exists() or source.is_symlink():  # `read_scan` reports a link to a missing file
            scans, labels = [_pair_header(source)], []
        else:
            raise ScanError(f"{source}: no such file or folder; check the path")
        for paths, known in ((scans, found), (labels, left_out)):
            for path in paths:
                known.setdefault(location(path), path)
    return list(found.values()), [path for place, path in left_out.items() if place not in found]


def output_names(
    scans: Sequence[Path],
    model_id: str,
    *,
    frame: int | None = None,
    flip: bool = False,
    threshold: float | None = None,
    remove_below_ml: float | None = None,
    conformed: bool = False,
) -> list[str]:
    """A unique name `<scan>[_frame<N>]_<model_id>[_flip][_threshold<T>][_min<ML>mL][_conformed].nii.gz` for each scan.

    The site uses the same names.

    Scans of the same name are prefixed with as many folder names as distinguish them (`a_x`, `b_x`); x.nii and x.nii.gz
    of one folder keep their endings. Raises ScanError if two names can't be distinguished.
    """
    of_frame = "" if frame is None else f"_frame{frame}"
    confidence = f"{'_flip' if flip else ''}{'' if threshold is None else f'_threshold{threshold:.12g}'}"
    cleaned = "" if remove_below_ml is None else f"_min{remove_below_ml:.12g}mL"
    ending = f"{of_frame}_{model_id}{confidence}{cleaned}{'_conformed' if conformed else ''}.nii.gz"
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
    """The absolute path with its folder resolved. A link keeps its name: data sets are often links to files named by
    hash."""
    return path.parent.resolve() / path.name


def stem_of(path: Path) -> str:
    """A file's name without its extensions."""
    name = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
    return Path(name).stem


def is_hidden(path: Path, folder: Path) -> bool:
    """Whether a file found in `folder`, or a folder between the two, is hidden."""
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def is_searched(path: Path, folder: Path, out: Path | None) -> bool:
    """Whether a file found in `folder` is neither hidden nor under the results' folder `out`."""
    if path.is_dir() or is_hidden(path, folder):
        return False
    if out is None or out.resolve() == folder.resolve():
        return True
    # os.path: Path.resolve fails for a link to itself.
    return not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(out))


def is_label_file(path: Path) -> bool:
    """Whether the name, the folder or the header of a file says that it holds labels."""
    if path.name.lower().endswith(".seg.nrrd"):  # a segmentation of 3D Slicer
        return True
    return names_labels(stem_of(path)) or lies_among_labels(path) or says_labels(path)


def files_below(folder: Path) -> Iterator[Path]:
    """The files in `folder` and all its subfolders, linked ones too; a folder that is met again is left out.

    Pipes, sockets and devices are left out: reading a pipe would wait for its writer.
    """
    seen: set[str] = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        # A link to a folder that contains the link would search that one's whole tree.
        folders[:] = sorted(name for name in folders if not _leads_up(os.path.join(parent, name), real))
        yield from (path for name in files if not is_special(path := Path(parent, name)))


def is_special(path: Path) -> bool:
    """Whether a path names a pipe, a socket or a device."""
    try:
        return not path.is_dir() and not path.is_file() and path.exists()
    except OSError:  # a link to itself; opening it says so
        return False


def _leads_up(folder: str, parent: str) -> bool:
    """Whether `folder` is a link to `parent` or to a folder above it."""
    return os.path.islink(folder) and Path(parent).is_relative_to(os.path.realpath(folder))


def _search(
    folder: Path, out: Path | None, model_id: str, leave_out: Collection[Path]
) -> tuple[list[Path], list[Path]]:
    """Scans and label files below `folder`. Raises ScanError if there is neither a scan nor a file of `leave_out`."""
    # Results of earlier versions have no intent code; their names identify them.
    results = (f"_{model_id}.nii.gz", f"_{model_id}_conformed.nii.gz")
    scans: list[Path] = []
    labels: list[Path] = []
    files = [p for p in files_below(folder) if p not in leave_out]
    paths = sorted({_pair_header(p) for p in files if _is_volume(p, folder, out)})
    names = {(path.parent, stem_of(path)) for path in paths}
    for path in paths:
        of_tissue = (path.parent, maps_tissue_of(stem_of(path))) in names
        (labels if path.name.endswith(results) or of_tissue or is_label_file(path) else scans).append(path)
    if scans or leave_out:
        return scans, labels
    if labels:
        raise ScanError(
            f"{folder}: no scans in this folder, label files only ({len(labels)}, the first {labels[0]}); "
            f"give the folder of the scans, or name the files to segment them anyway"
        )
    zips = [p.name for p in files if p.name.lower().endswith(".zip") and is_searched(p, folder, out)]
    hint = f"; name its zips to open them: {', '.join(sorted(zips)[:3])}" if zips else ""
    raise ScanError(
        f"{folder}: no scans in this folder; expected DICOM or files ending in {', '.join(SCAN_SUFFIXES)}{hint}"
    )


def _is_volume(path: Path, folder: Path, out: Path | None) -> bool:
    """Whether a file has the ending of a scan, is not hidden and does not lie under `out`."""
    return path.name.lower().endswith(SCAN_SUFFIXES) and is_searched(path, folder, out)


def _pair_header(path: Path) -> Path:
    """The .hdr of an .img if it exists; else the path itself, and `read_scan` reports the missing file."""
    if not path.name.lower().endswith((".img", ".img.gz")):
        return path
    try:
        return pair_partner(path, ".img", ".hdr")
    except ScanError:
        return path
