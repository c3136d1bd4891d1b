"""Real stroke masks to draw lesions from: a folder of NIfTI files in MNI space, or one packed file of them.

`load_lesion_masks` keeps the masks of a folder in the cache, each cut to its bounding box, as one compressed file.
`pack_masks` writes such a file, and `load_lesion_masks` reads it in place of the folder.
"""

from __future__ import annotations

import bz2
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class LesionMask:
    """One mask cut to its bounding box (RAS order): boolean [x, y, z], template mm of its voxel 0."""

    name: str
    mask: NDArray[np.bool_]
    origin_mm: tuple[float, float, float]
    voxels: int

    def center_mm(self) -> NDArray[np.float64]:
        """Template mm of the centroid."""
        return np.asarray(np.argwhere(self.mask).mean(axis=0) + np.array(self.origin_mm))


@dataclass(frozen=True)
class LesionMasks:
    """Masks to draw from, with the chance of each."""

    masks: tuple[LesionMask, ...]
    chances: NDArray[np.float64]


def load_lesion_masks(
    source: Path,
    cache: Path,
    *,
    skip: Collection[str] = (),
    only: Collection[str] = (),
    size_power: float = 0.5,
) -> LesionMasks:
    """All masks of a folder or of a packed file, but those named in `skip` (or just those in `only`).

    Names are those of the NIfTI files. Masks of fewer than 300 voxels are left out: at this resolution they are not
    learnable as lesions. Drawn in proportion to their size to the power `size_power`. Raises FileNotFoundError for an
    empty folder.
    """
    masks = tuple(m for m in _read_all(source, cache) if m.voxels >= 300)
    known = {m.name for m in masks}
    unknown = sorted((set(skip) | set(only)) - known)
    if unknown:
        raise FileNotFoundError(
            f"{source}: no lesion mask {unknown[0]!r} of at least 300 voxels ({len(unknown)} missing)"
        )
    chosen = tuple(m for m in masks if m.name not in skip and (not only or m.name in only))
    weight = np.array([m.voxels for m in chosen], float) ** size_power
    return LesionMasks(chosen, weight / weight.sum())


def mask_names(source: Path) -> list[str]:
    """File names of the masks of a folder or of a packed file."""
    if not source.is_file():
        return sorted(path.name for path in source.glob("*.nii.gz"))
    with _packed(source) as stored:
        return [str(name) for name in stored["names"]]


@contextmanager
def _packed(source: Path) -> Iterator[Mapping[str, NDArray[Any]]]:
    """The arrays of a packed file. Raises FileNotFoundError for a file that holds no packed masks."""
    with source.open("rb") as file:
        try:
            stored = np.load(file)
            if "names" not in stored:
                raise ValueError("no array called names")
        except (ValueError, EOFError, zipfile.BadZipFile) as error:
            raise FileNotFoundError(
                f"{source}: holds no packed lesion masks; expected a folder of masks (*.nii.gz), or a .npz file of "
                f"them; see data.lesions"
            ) from error
        yield stored


def pack_masks(folder: Path, packed: Path) -> None:
    """Write the masks of a folder as one file. Raises FileNotFoundError for an empty folder."""
    _pack(_mask_files(folder), packed)


def _read_all(source: Path, cache: Path) -> list[LesionMask]:
    packed = source
    if not source.is_file():
        paths = _mask_files(source)
        packed = cache / f"lesions-{len(paths)}-{sum(p.stat().st_size for p in paths)}.npz"
        if not packed.is_file():
            _pack(paths, packed)
    with _packed(packed) as stored:
        names, shapes, origins, offsets = (stored[k] for k in ("names", "shapes", "origins", "offsets"))
        # Earlier versions kept the bits uncompressed in the cache.
        bits = (
            stored["bits"]
            if "bits" in stored
            else np.frombuffer(bz2.decompress(stored["bits_bz2"].tobytes()), np.uint8)
        )
    out = []
    for i, name in enumerate(names):
        count = int(np.prod(shapes[i]))
        flat = np.unpackbits(bits[offsets[i] : offsets[i + 1]], count=count).astype(bool)
        origin = (float(origins[i][0]), float(origins[i][1]), float(origins[i][2]))
        out.append(LesionMask(str(name), flat.reshape(shapes[i]), origin, int(flat.sum())))
    return out


def _mask_files(folder: Path) -> list[Path]:
    paths = sorted(folder.glob("*.nii.gz"))
    if not paths:
        raise FileNotFoundError(f"{folder}: no lesion masks (*.nii.gz) here; see data.lesions")
    return paths


def _pack(paths: Sequence[Path], packed: Path) -> None:
    """A bit per voxel, compressed: the 1,449 masks of SOOP take 4.6 MB, and 72 MB without."""
    names, shapes, origins, pieces = [], [], [], []
    for path in paths:
        image = nib.as_closest_canonical(nib.load(path))
        mask = np.asarray(image.dataobj) > 0
        where = np.argwhere(mask)
        if not len(where):
            continue
        low, high = where.min(axis=0), where.max(axis=0) + 1
        cut = mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        names.append(path.name)
        shapes.append(cut.shape)
        origins.append((image.affine @ [*low, 1])[:3])
        pieces.append(np.packbits(cut.ravel()))
    packed.parent.mkdir(parents=True, exist_ok=True)
    partial = packed.with_suffix(".partial.npz")
    offsets = np.cumsum([0] + [len(p) for p in pieces])
    bits = np.frombuffer(bz2.compress(np.concatenate(pieces).tobytes()), np.uint8)
    np.savez_compressed(partial, names=names, shapes=shapes, origins=origins, offsets=offsets, bits_bz2=bits)
    partial.replace(packed)
