"""`python -m meshnet.synth.look FOLDER --seed N -o picture.png`: a contact sheet of synthetic heads, labels overlaid.

One column per subject, contrasts in turn: three planes through the middle of the head (or of the lesion), and the
axial one again with the labels in colour.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from meshnet.synth.contrast import HeadContrast
from meshnet.synth.grid import Grid
from meshnet.synth.label_maps import Split, load_heads
from meshnet.synth.label_table import TARGET_LABELS, Target
from meshnet.synth.lesion_masks import load_lesion_masks
from meshnet.synth.synth_heads import HeadConfig, HeadGenerator
from meshnet.synth.torch_render import render


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    args = _parser().parse_args(arguments)
    lesions = load_lesion_masks(args.lesions, args.cache) if args.lesions else None
    heads = load_heads(args.folder, args.cache, [args.split])
    config = HeadConfig(target=args.target, lesion_probability=args.lesion_probability if lesions else 0.0)
    generator = HeadGenerator(heads, config, lesions, args.device)
    grid = Grid(_shape(args.voxel_size_mm), args.voxel_size_mm, (0.0, 0.0, -8.0))
    columns = []
    for index in range(args.subjects):
        kind = args.contrasts[index % len(args.contrasts)]
        generator.config = replace(config, contrasts={kind: 1.0})
        subject = generator.subject(args.seed + index)
        scan = render(subject, grid)
        a = subject.acquisition
        facts = [f"{kind} {subject.head.name[-2:]} seed {args.seed + index}"]
        facts.append(f"slices {a.slice_mm:.1f}" * (a.slice_mm > 0) + " defaced" * bool(a.deface))
        columns.append((" ".join(facts), scan.image.cpu().numpy(), scan.labels.cpu().numpy()))
    _draw(columns, len(TARGET_LABELS[config.target]), args.out)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m meshnet.synth.look", description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="folder of label maps")
    parser.add_argument("--lesions", type=Path, help="folder of lesion masks in MNI space; none by default")
    parser.add_argument("--lesion-probability", type=float, default=0.65, help="with --lesions; default 0.65")
    parser.add_argument("--contrasts", nargs="+", default=list(get_args(HeadContrast)), choices=get_args(HeadContrast))
    parser.add_argument("--target", default="tissue-lesion", choices=get_args(Target), help="which labels to overlay")
    parser.add_argument("--split", default="train", choices=get_args(Split), help="persons to draw from")
    parser.add_argument("--seed", type=int, default=0, help="of the first subject")
    parser.add_argument("--subjects", type=int, default=10)
    parser.add_argument("--voxel-size-mm", type=float, default=1.0)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"), help="where prepared heads are kept")
    parser.add_argument("-o", "--out", type=Path, required=True, help="picture to write")
    return parser


def _shape(voxel_size_mm: float) -> tuple[int, int, int]:
    """Voxels of a whole head with its neck, [i, j, k]."""
    x, z, y = (round(extent / voxel_size_mm) for extent in (180, 224, 220))
    return x, z, y


def _draw(columns: Sequence[tuple[str, NDArray[np.float32], NDArray[np.uint8]]], labels: int, out: Path) -> None:
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    colors = colormaps["tab20"](np.arange(labels) % 20)[:, :3]
    figure = Figure(figsize=(2.6 * len(columns), 11.5))
    axes = figure.subplots(4, len(columns), squeeze=False)
    for column, (title, image, label) in enumerate(columns):
        planes = _planes(image, label, labels)
        for row, (grey, overlay) in enumerate(planes):
            axes[row, column].imshow(grey, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            if row == len(planes) - 1:
                shown = np.concatenate([colors[overlay], 0.55 * (overlay > 0)[..., None]], axis=-1)
                axes[row, column].imshow(shown, interpolation="nearest")
            axes[row, column].set_axis_off()
        axes[0, column].set_title(title, fontsize=8)
    figure.tight_layout(pad=0.3)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=70)


def _planes(
    image: NDArray[np.float32], label: NDArray[np.uint8], labels: int
) -> list[tuple[NDArray[np.float32], NDArray[np.uint8]]]:
    """Sagittal, low axial, axial, and the axial plane again: through the lesion where there is one."""
    where = np.argwhere(label == labels - 1) if labels in (2, 5) else np.zeros((0, 3))
    middle = where.mean(axis=0) if len(where) > 20 else np.array(image.shape) * (0.49, 0.38, 0.5)
    i, j = int(middle[0]), int(middle[1])
    low = int(image.shape[1] * 0.55)
    return [
        (image[i], label[i]),
        (image[:, low].T[::-1], label[:, low].T[::-1]),
        (image[:, j].T[::-1], label[:, j].T[::-1]),
        (image[:, j].T[::-1], label[:, j].T[::-1]),
    ]


if __name__ == "__main__":
    main()
