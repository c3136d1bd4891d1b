"""Template anatomy as tissue fractions, the input of `meshnet.synth.subject`.

Two heads on one 1 mm RAS grid in MNI space (template space), both built from files that installed
packages contain; nothing is downloaded:

* `colin27`: Debian's `mricron-data` (`ch2`, `ch2bet`): one person, averaged over 27 scans, with
  skull, scalp, eyes and real sulci.
* `icbm152`: nilearn's ICBM152 2009a symmetric T1, grey and white maps (no skull), inside Colin27's head.

Arrays are `[x, y, z]` in C order, x to the right, y anterior, z superior.
"""

from __future__ import annotations

import importlib.resources
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

#: Channels of `Anatomy.fractions`. Outside the brain the channels are knots of Colin27's
#: T1 intensity scale (hat functions), so that a random value per channel is a random contrast there.
CHANNELS = ("csf", "grey", "white", "dark", "low", "middle", "fat", "eye")
CSF, GREY, WHITE, DARK, LOW, MIDDLE, FAT, EYE = range(8)

MRICRON_TEMPLATES = Path("/usr/share/mricron/templates")

GRID_SHAPE = (181, 217, 221)
#: Template mm of voxel (0, 0, 0); the lowest 40 slices repeat Colin27's lowest one: a stretch of neck.
GRID_ORIGIN_MM = (-90.0, -125.0, -111.0)
_NECK_SLICES = 40

_METHOD_VERSION = 1
_ARRAYS = ("fractions", "brain", "ventricles")
_EYES_VOXEL = ((54, 189, 38), (129, 189, 38))
_EYE_RADIUS_MM = 14.0


class TemplateError(FileNotFoundError):
    """A template file that is not installed; the message says which package brings it."""


@dataclass(frozen=True)
class Anatomy:
    """One template head.

    fractions: uint8 [8, x, y, z], 255 = the voxel is wholly that channel; channels add up to at most
    255, what is missing is air. brain: uint8 {0, 1} [x, y, z], grey, white and the fluid between
    them (ventricles and sulci, not the outer subarachnoid space). ventricles: float32 [x, y, z],
    smooth, 0..1, used to widen them.
    """

    name: str
    fractions: NDArray[np.uint8]
    brain: NDArray[np.uint8]
    ventricles: NDArray[np.float32]


def cached_anatomies(cache: Path, templates: Path = MRICRON_TEMPLATES) -> tuple[Anatomy, Anatomy]:
    """`load_anatomies`, kept in `cache` (a folder) for the next run; the file's name carries the
    version of this module's method, so that a stale one is never read."""
    path = cache / f"anatomy-{_METHOD_VERSION}.npz"
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.npz")
        arrays = {f"{a.name}_{part}": getattr(a, part) for a in load_anatomies(templates) for part in _ARRAYS}
        np.savez_compressed(partial, **arrays)
        partial.replace(path)
    with np.load(path) as stored:
        colin, icbm = (
            Anatomy(name, *(stored[f"{name}_{part}"] for part in _ARRAYS)) for name in ("colin27", "icbm152")
        )
    return colin, icbm


def load_anatomies(templates: Path = MRICRON_TEMPLATES) -> tuple[Anatomy, Anatomy]:
    """`(colin27, icbm152)`; takes about half a minute. Raises TemplateError where a file is missing."""
    t1 = _read(templates / "ch2.nii.gz", "Debian's mricron-data").astype(np.float32)
    bet = _read(templates / "ch2bet.nii.gz", "Debian's mricron-data") > 0
    grey_map, white_map, t1_map = (_icbm(kind) for kind in ("gm", "wm", "t1"))
    colin = _colin_fractions(t1, bet, grey_map, white_map)
    icbm = _icbm_fractions(colin, grey_map, white_map, t1_map > 0)
    return _finish("colin27", colin), _finish("icbm152", icbm)


def _read(path: Path, package: str) -> NDArray[np.uint8]:
    if not path.is_file():
        raise TemplateError(f"{path}: template not found; install {package} or say where the templates are")
    image = cast(nib.Nifti1Image, nib.load(path))
    return np.asarray(image.dataobj)


def _icbm(kind: str) -> NDArray[np.float32]:
    """An ICBM152 map cut to Colin27's 181x217x181 grid, 0..1 (or grey values of the T1)."""
    folder = importlib.resources.files("nilearn.datasets.data")
    with importlib.resources.as_file(folder / f"mni_icbm152_{kind}_tal_nlin_sym_09a_converted.nii.gz") as path:
        array = _read(path, "the Python package nilearn")
    cut = array[8 : 8 + 181, 9 : 9 + 217, 1 : 1 + 181]
    return cut.astype(np.float32) / 255.0


def _hat_weights(value: NDArray[np.float32], knots: list[NDArray[np.float32] | float]) -> list[NDArray[np.float32]]:
    """Weights of linear interpolation between increasing knots (they add up to one)."""
    weights = [np.zeros_like(value) for _ in knots]
    for i in range(len(knots) - 1):
        low, high = np.asarray(knots[i], np.float32), np.asarray(knots[i + 1], np.float32)
        t = np.clip((value - low) / (high - low), 0, 1)
        inside = value >= low if i else np.ones(value.shape, bool)
        if i < len(knots) - 2:
            inside = inside & (value < high)
        weights[i] = np.where(inside, 1 - t, weights[i])
        weights[i + 1] = np.where(inside, t, weights[i + 1])
    return weights


def _local_mean(value: NDArray[np.float32], mask: NDArray[np.float32], sigma_mm: float) -> NDArray[np.float32]:
    total = ndimage.gaussian_filter(value * mask, sigma_mm) + 1e-4 * float((value * mask).sum() / mask.sum())
    return np.asarray(total / (ndimage.gaussian_filter(mask, sigma_mm) + 1e-4), np.float32)


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    labels, count = ndimage.label(mask)
    if count == 0:
        return mask
    return np.asarray(labels == 1 + np.argmax(np.bincount(labels.ravel())[1:]))


def _ball(radius: int) -> NDArray[np.bool_]:
    x, y, z = np.ogrid[-radius : radius + 1, -radius : radius + 1, -radius : radius + 1]
    return np.asarray(x * x + y * y + z * z <= radius * radius + 1)


def _dilate(mask: NDArray[np.bool_], radius_mm: float) -> NDArray[np.bool_]:
    return np.asarray(ndimage.distance_transform_edt(~mask) <= radius_mm)


def _close(mask: NDArray[np.bool_], radius_mm: float) -> NDArray[np.bool_]:
    padded = np.pad(mask, int(radius_mm) + 2)
    grown = ndimage.distance_transform_edt(~padded) <= radius_mm
    closed = ndimage.distance_transform_edt(grown) > radius_mm
    inner = slice(int(radius_mm) + 2, -int(radius_mm) - 2)
    return np.asarray(ndimage.binary_fill_holes(closed[inner, inner, inner] | mask))


def _colin_fractions(
    t1: NDArray[np.float32], bet: NDArray[np.bool_], grey_map: NDArray[np.float32], white_map: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Fractions [8, 181, 217, 181] from Colin27's own intensities.

    Grey and white reference intensities vary in space (bias field, bright deep grey): local means
    where the ICBM152 maps are sure. The brain stem has no separate grey matter at this resolution and
    goes to white, as in FreeSurfer's labelling.
    """
    brain = _largest(ndimage.binary_opening(bet, _ball(2)))
    sure_grey = ((grey_map > 0.75) & brain & (t1 > 65) & (t1 < 108)).astype(np.float32)
    sure_white = ((white_map > 0.85) & brain & (t1 > 92)).astype(np.float32)
    grey_level = np.clip(_local_mean(t1, sure_grey, 9.0), 76, 100)
    white_level = np.clip(_local_mean(t1, sure_white, 9.0), 100, 125)
    stem = _brain_stem(t1.shape)
    grey_level = grey_level * (1 - stem) + 70.0 * stem
    white_level = np.maximum(white_level * (1 - stem) + 94.0 * stem, grey_level + 8)
    # sharpen the grey-white mixture: the template's mixture is wider than one voxel's partial volume
    csf, grey, white = _hat_weights(t1, [38.0, grey_level, white_level])
    middle = white / np.maximum(grey + white, 1e-6)
    sharper = np.clip((middle - 0.5) * 1.7 + 0.5, 0, 1) * (grey + white)
    grey, white = grey + white - sharper, sharper

    cavity = _close(_largest((t1 > 60) & brain), 8.0) | brain
    fluid = cavity & ~brain & (t1 > 16) & (t1 < 70)
    inside = brain.astype(np.float32)
    dark, low, mid, fat = _hat_weights(t1, [10.0, 45.0, 95.0, 150.0])
    head = ndimage.binary_fill_holes(_close(_largest(t1 > 14), 6.0))
    outside = (head & ~brain & ~fluid).astype(np.float32)
    x, y, z = np.ogrid[: t1.shape[0], : t1.shape[1], : t1.shape[2]]
    eye = np.zeros(t1.shape, bool)
    for cx, cy, cz in _EYES_VOXEL:
        eye |= ((x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2 <= _EYE_RADIUS_MM**2) & (t1 < 62) & (t1 > 18)
    eye = ndimage.binary_opening(eye & (outside > 0), _ball(1))
    outside = outside * ~eye
    return np.stack(
        [
            csf * inside + fluid,
            grey * inside,
            white * inside,
            dark * outside,
            low * outside,
            mid * outside,
            fat * outside,
            eye.astype(np.float32),
        ]
    )


def _brain_stem(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Soft mask of midbrain, pons and medulla on Colin27's grid, 0..1."""
    x, y, z = np.ogrid[: shape[0], : shape[1], : shape[2]]
    xmm, ymm, zmm = x - 90.0, y - 125.0, z - 71.0
    centre_y = -29.0 - 0.25 * (-30.0 - zmm)
    inside = ((xmm / 19.0) ** 2 + ((ymm - centre_y) / 15.0) ** 2 < 1) & (zmm > -70) & (zmm < -8)
    return np.asarray(ndimage.gaussian_filter(inside.astype(np.float32), 1.5))


def _icbm_fractions(
    colin: NDArray[np.float32], grey: NDArray[np.float32], white: NDArray[np.float32], envelope: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """ICBM152's brain in Colin27's head: fluid fills what is left between the brain and the skull."""
    envelope = ndimage.binary_fill_holes(envelope)
    stem = _brain_stem(grey.shape)
    grey, white = grey * (1 - stem), white + grey * stem
    total = grey + white
    # the average of 152 brains is blurred: steepen it to something like one person's brain
    solid = np.clip((total - 0.5) * 2.2 + 0.5, 0, 1)
    white_part = np.clip((white / np.maximum(total, 1e-6) - 0.5) * 2.2 + 0.5, 0, 1)
    fractions = colin.copy()
    fractions[3:, envelope] = 0
    outside_fluid = (colin[:3].sum(axis=0) > 0.5) & ~envelope
    fractions[:3] = 0
    fractions[CSF] = outside_fluid | envelope
    inside = envelope * solid
    fractions[CSF] -= inside
    fractions[GREY] = inside * (1 - white_part)
    fractions[WHITE] = inside * white_part
    return fractions


def _finish(name: str, fractions: NDArray[np.float32]) -> Anatomy:
    solid = _largest(ndimage.binary_opening(fractions[GREY] + fractions[WHITE] >= 0.5, _ball(1)))
    near = _dilate(solid, 2.5)
    fractions[CSF] += np.where(near, 0, fractions[GREY] + fractions[WHITE])
    fractions[GREY] *= near
    fractions[WHITE] *= near
    wide = _close(solid, 8.0)
    depth_mm = ndimage.distance_transform_edt(np.pad(wide, 1))[1:-1, 1:-1, 1:-1]
    brain = _close(solid, 3.0) | (depth_mm > 6.0)
    fluid = brain & (fractions[CSF] > 0.5)
    x, y, z = np.ogrid[: solid.shape[0], : solid.shape[1], : solid.shape[2]]
    deep = (np.abs(x - 90) < 45) & (y > 45) & (y < 170) & (z > 45) & (z < 110)
    lateral = _largest(ndimage.binary_opening(fluid & deep, _ball(2)))
    ventricles = ndimage.gaussian_filter(lateral.astype(np.float32), 5.0)
    bytes_ = np.clip(np.rint(fractions * 255), 0, 255).astype(np.uint8)
    neck = ((0, 0), (0, 0), (_NECK_SLICES, 0))
    bytes_ = np.pad(bytes_, ((0, 0), *neck), mode="edge")
    below = bytes_[..., :_NECK_SLICES]
    below[MIDDLE] = np.minimum(below[: WHITE + 1].sum(axis=0, dtype=np.int64) + below[MIDDLE], 255)
    below[: WHITE + 1] = 0
    return Anatomy(
        name=name,
        fractions=bytes_,
        brain=np.pad(brain, neck).astype(np.uint8),
        ventricles=np.pad(ventricles, neck),
    )
