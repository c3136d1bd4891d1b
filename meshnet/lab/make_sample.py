"""Write the site's sample scans: `python -m meshnet.lab.make_sample --anatomies FOLDER --lesions FOLDER -o FOLDER`.

`sample_T1w.nii.gz` is a healthy head, `sample_T2w.nii.gz` a head with an old stroke lesion. Both are synthetic, so that
they can be shipped: label maps of two people that no model was trained on, rendered by `meshnet.synth`.
"""

from __future__ import annotations

import argparse
import gzip
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from meshnet.synth.contrast import HeadContrast
from meshnet.synth.grid import Grid
from meshnet.synth.label_maps import load_heads
from meshnet.synth.lesion_masks import load_lesion_masks
from meshnet.synth.shapes import ScanRanges, ShapeRanges
from meshnet.synth.synth_heads import HeadConfig, HeadGenerator
from meshnet.synth.torch_render import render

#: [i, j, k] of the LIA grid, 1 mm: a whole head with the upper neck.
_GRID = Grid((176, 200, 216), 1.0, (0.0, 0.0, -10.0))
#: A held-out mask of SOOP: training never draws it.
_MASK = "bwsrsub-801_lesion.nii.gz"
#: An adult's head that looks ahead; no thick slices, nothing cut off or removed.
_SHAPE = ShapeRanges(rotation_deg=8.0, scale=(0.95, 1.05), child_probability=0.0, ventricle_mm=4.0)
_SCAN = ScanRanges(
    thick_probability=0.0, half_view_probability=0.0, defaced_probability=0.0, stripped_probability=0.0, bias=0.15
)


@dataclass(frozen=True)
class Sample:
    """contrast: of the scan. seed: of its subject. lesion: whether it holds one. grey_step: distance of
    the grey levels of a slice, to keep the file small."""

    contrast: HeadContrast
    seed: int
    lesion: bool
    grey_step: int


SAMPLES = (Sample("T1w", 6, lesion=False, grey_step=16), Sample("T2w", 1, lesion=True, grey_step=6))


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; writes both samples."""
    parser = argparse.ArgumentParser(prog="python -m meshnet.lab.make_sample", description=__doc__)
    parser.add_argument("--anatomies", type=Path, required=True, help="folder of whole-head label maps")
    parser.add_argument("--lesions", type=Path, required=True, help="folder of lesion masks in MNI space")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"), help="where prepared heads are kept")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder to write the samples to")
    args = parser.parse_args(arguments)
    heads = load_heads(args.anatomies, args.cache, ("choose",))
    generator = HeadGenerator(heads, HeadConfig(), load_lesion_masks(args.lesions, args.cache, only=[_MASK]))
    args.out.mkdir(parents=True, exist_ok=True)
    for sample in SAMPLES:
        image, _ = draw_sample(generator, sample)
        _save(args.out / f"sample_{sample.contrast}.nii.gz", image)


def draw_sample(generator: HeadGenerator, sample: Sample) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Image in steps of `sample.grey_step` and labels, uint8 [i, j, k] of the LIA grid. Without noise and texture,
    which would make the file large."""
    generator.config = HeadConfig(
        contrasts={sample.contrast: 1.0},
        lesion_probability=float(sample.lesion),
        old_probability=1.0,
        spots_probability=0.0,
        shape=_SHAPE,
        scan=_SCAN,
    )
    subject = generator.subject(sample.seed)
    quiet = replace(subject.acquisition, noise=0.0, gamma=1.0, gain=1.0, blur_mm=0.4)
    contrast = replace(subject.contrast, texture=0.0, outside_texture=min(subject.contrast.outside_texture, 0.2))
    scan = render(replace(subject, acquisition=quiet, contrast=contrast), _GRID)
    return in_steps(scan.image.numpy() * 255, sample.grey_step), scan.labels.numpy().astype(np.uint8)


def in_steps(image: NDArray[Any], step: int) -> NDArray[np.uint8]:
    """Grey levels 0..255 [i, j, k] in steps; air stays 0.

    The steps of each slice k start one level higher than those of the slice before, so that the whole has as many
    levels as a scan and is not taken for a label map.
    """
    start = np.arange(image.shape[2]) % step
    coarse = np.clip(np.rint((image - start) / step) * step + start, 0, 255)
    return np.where(image < step / 2, 0, coarse).astype(np.uint8)


def _save(path: Path, image: NDArray[np.uint8]) -> None:
    """Write a gzipped NIfTI-1, LIA, 1 mm, with the head's centre at 0. The bytes depend on the voxels alone."""
    i, j, k = ((n - 1) / 2 for n in image.shape)
    x, y, z = _GRID.center_mm
    affine = np.array([[-1, 0, 0, x + i], [0, 0, 1, y - k], [0, -1, 0, z + j], [0, 0, 0, 1]], float)
    volume = nib.Nifti1Image(image, affine)
    volume.header.set_xyzt_units("mm")
    path.write_bytes(gzip.compress(volume.to_bytes(), 9, mtime=0))


if __name__ == "__main__":
    main()
