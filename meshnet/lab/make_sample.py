"""Write the site's sample scans: `python -m meshnet.lab.make_sample --lesions FOLDER -o static/public/sample`.

`sample_T1w.nii.gz` is a healthy head, `sample_T2w.nii.gz` a head with an old stroke lesion. Both are synthetic, so that
they can be shipped: ICBM152's brain in Colin27's head, rendered by `meshnet.synth`.
"""

from __future__ import annotations

import argparse
import gzip
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from meshnet.synth.anatomy import cached_anatomies
from meshnet.synth.draw import Contrast, SynthConfig
from meshnet.synth.grid import Grid
from meshnet.synth.lesion_masks import load_lesion_masks
from meshnet.synth.subject import Synthesizer

#: [i, j, k] of the LIA grid, 1 mm: a whole head.
_GRID = Grid((180, 188, 216), 1.0, (0.0, 0.0, -4.0))
#: Grey levels are rounded to multiples of this to keep the file small.
_GREY_STEP = 5
_T1W_SEED, _T2W_SEED = 7, 23
_MASK = "bwsrsub-1014_lesion.nii.gz"


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; writes both samples."""
    parser = argparse.ArgumentParser(prog="python -m meshnet.lab.make_sample", description=__doc__)
    parser.add_argument("--lesions", type=Path, required=True, help="folder of lesion masks in MNI space")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"), help="where prepared templates are kept")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder to write the samples to")
    args = parser.parse_args(arguments)
    anatomies = cached_anatomies(args.cache)
    lesions = load_lesion_masks(args.lesions, args.cache, only=[_MASK])
    args.out.mkdir(parents=True, exist_ok=True)
    for kind, seed in (("T1w", _T1W_SEED), ("T2w", _T2W_SEED)):
        contrasts: dict[Contrast, float] = {"T1w": 1.0} if kind == "T1w" else {"T2w": 1.0}
        config = SynthConfig(
            task="lesion",
            contrasts=contrasts,
            stripped_probability=0,
            colin_probability=0,
            lesion_probability=float(kind == "T2w"),
            spots_probability=0,
            rotation_deg=6,
        )
        subject = Synthesizer(anatomies, config, lesions).subject(seed)
        quiet = replace(subject.acquisition, noise=0.0, gamma=1.0, gain=1.0, slice_thickness_mm=0.0, neck_cut_mm=82.0)
        smooth = replace(subject.contrast, texture=0.0)
        scan = replace(subject, acquisition=quiet, contrast=smooth).render(_GRID)
        coarse = np.rint(scan.image * 255 / _GREY_STEP) * _GREY_STEP
        _save(args.out / f"sample_{kind}.nii.gz", np.minimum(coarse, 255).astype(np.uint8))


def _save(path: Path, image: NDArray[np.uint8]) -> None:
    """Write a gzipped NIfTI-1, LIA, 1 mm. The bytes depend on the voxels alone."""
    affine = np.array([[-1, 0, 0, 90], [0, 0, 1, -126], [0, -1, 0, 98], [0, 0, 0, 1]], float)
    volume = nib.Nifti1Image(image, affine)
    volume.header.set_xyzt_units("mm")
    path.write_bytes(gzip.compress(volume.to_bytes(), 9, mtime=0))


if __name__ == "__main__":
    main()
