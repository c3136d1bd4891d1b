"""`meshnet-picture`: a model's picture for the page's gallery, an axial slice of a scan with the labels over it."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from meshnet.infer.segmentation import segment
from meshnet.model.label_roles import shown_indices
from meshnet.model.spec import PICTURE_FILE, ModelSpec, SpecError
from meshnet.scan.replacing import replacing
from meshnet.scan.scan_stream import ScanError

#: Width and height in pixels; the slice is fitted into it.
SIZE = (240, 180)
#: Share of a label's colour in the picture; the rest is the scan.
OPACITY = 0.6
#: This percentile of the slice's positive values becomes white.
WHITE_PERCENTILE = 99.5


def main(argv: Sequence[str] | None = None) -> int:
    """Command line. Exit code 0; 1 where the scan or the model can't be used; 2 for wrong arguments."""
    p = argparse.ArgumentParser(
        prog="meshnet-picture",
        description="Segment a scan and write the slice with most of what the model finds as its picture for the page.",
    )
    p.add_argument("model", type=Path, help="model folder")
    p.add_argument("scan", type=Path, help="scan of a contrast that the model is made for, which may be shown")
    p.add_argument("-o", "--out", type=Path, metavar="FILE", help=f"PNG (default: {PICTURE_FILE} in the model folder)")
    args = p.parse_args(argv)
    out = args.out or args.model / PICTURE_FILE
    try:
        if out.is_dir():
            raise ValueError(f"{out}: is a folder; expected the name of a .png file")
        if args.out is not None and not out.parent.is_dir():
            raise ValueError(f"{out}: there is no folder {out.parent}; make it, or choose another file with -o")
        found = segment(args.scan, args.model)
        if not np.isin(np.asarray(found.labels.dataobj), shown_indices(found.model)).any():
            raise ScanError(f"{args.scan}: {found.model.name} finds nothing in it; choose a scan in which it does")
        payload = picture_of(found.model, found.scan, found.labels)
        with replacing(out) as part:
            part.write_bytes(payload)
    except (SpecError, ValueError, OSError) as error:
        print(f"meshnet-picture: {error}", file=sys.stderr)
        return 1
    print(f"{out}: {len(payload) / 1000:.1f} KB")
    return 0


def picture_of(spec: ModelSpec, scan: nib.Nifti1Image, labels: nib.Nifti1Image) -> bytes:
    """A PNG of `SIZE`: the axial slice with the most voxels of the labels that are shown at first.

    scan, labels: on the same grid. The patient's left is on the left, the front at the top. Raises ModuleNotFoundError
    without Pillow (the extra `report`).
    """
    from PIL import Image

    grey, indices = (np.asarray(nib.as_closest_canonical(image).dataobj) for image in (scan, labels))
    voxel_size_mm = nib.affines.voxel_sizes(nib.as_closest_canonical(scan).affine)
    k = int(np.isin(indices, shown_indices(spec)).sum((0, 1)).argmax())
    pixels = painted(spec, grey[:, :, k], indices[:, :, k])
    height_mm, width_mm = pixels.shape[0] * voxel_size_mm[1], pixels.shape[1] * voxel_size_mm[0]
    scale = min(SIZE[0] / width_mm, SIZE[1] / height_mm)
    fitted = Image.fromarray(pixels).resize((max(1, round(width_mm * scale)), max(1, round(height_mm * scale))))
    image = Image.new("RGB", SIZE)
    image.paste(fitted, ((SIZE[0] - fitted.width) // 2, (SIZE[1] - fitted.height) // 2))
    file = io.BytesIO()
    image.quantize(128).save(file, "PNG", optimize=True)
    return file.getvalue()


def painted(spec: ModelSpec, grey: NDArray[np.generic], indices: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """RGB [row, column, 3] of a slice [i, j] in RAS, the labels that are shown at first in their colours."""
    values = np.nan_to_num(grey.astype(np.float32))
    positive = values[values > 0]
    white = float(np.percentile(positive, WHITE_PERCENTILE)) if positive.size else 1.0
    shade = np.clip(values / white, 0, 1)[..., None] * np.float32(255)
    colours = np.zeros((256, 3), np.float32)
    share = np.zeros((256, 1), np.float32)
    for index in shown_indices(spec):
        colours[index] = spec.labels[index].color
        share[index] = OPACITY
    mixed = shade * (1 - share[indices]) + colours[indices] * share[indices]
    return np.ascontiguousarray(mixed.transpose(1, 0, 2)[::-1]).round().astype(np.uint8)
