"""Simulated scores of the fourteen models of Table 1 on a small prepared folder, for the report's tests.

python -m tests.helpers.simulated_scores OUT    writes a report to look at
"""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import astuple, fields
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from meshnet.cohort.prepare import Row
from meshnet.score.metrics import lesion_scores
from meshnet.score.report import write_report
from meshnet.score.scores import Score
from meshnet.train.baselines import BASELINES, MESHNETS

SIZE, VOXEL_SIZE_MM, CASES = 64, 3.0, 18
AFFINE = np.array([[-3.0, 0, 0, 96], [0, 0, 3.0, -96], [0, -3.0, 0, 96], [0, 0, 0, 1]])
MODELS = [*MESHNETS.values(), *((b.title, b.parameters) for b in BASELINES.values())]


def simulate(folder: Path, *, restarts: int = 1) -> list[Score]:
    """Write a prepared folder of heads with a lesion, and masks of fourteen models that err more and more."""
    rng = np.random.default_rng(7)
    rows, scores = [], []
    for number in range(CASES):
        name = f"sub-{number:03d}_ses-1"
        image, lesion = head(rng, radius=4 + 0.5 * number)
        _save(folder / "volumes" / f"{name}.nii.gz", image)
        _save(folder / "volumes" / f"{name}_lesion.nii.gz", lesion)
        paths = (f"volumes/{name}.nii.gz", f"volumes/{name}_lesion.nii.gz")
        fold = number % 3
        rows.append(
            Row(name, f"sub-{number:03d}", "1", "spc3", "", *paths, int(lesion.sum()), number % 4, fold, 0, 0, 0)
        )
        for index, (model, parameters) in enumerate(MODELS):
            for restart in range(restarts):
                shift = rng.normal(0, 0.6 + 0.12 * index, 3)
                share = 1 - rng.uniform(0, 0.02 + 0.01 * index)
                predicted = ndimage.shift(lesion, shift, order=0) * (rng.random(lesion.shape) < share).astype(np.uint8)
                path = folder / "predictions" / f"{index}-{restart}" / f"{name}.nii.gz"
                _save(path, predicted)
                values = lesion_scores(predicted > 0, lesion > 0, (VOXEL_SIZE_MM,) * 3)
                scores.append(Score(model, parameters, fold, restart, f"sub-{number:03d}", name, path, values))
    with (folder / "index.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(f.name for f in fields(Row))
        writer.writerows(astuple(row) for row in rows)
    (folder / "prepared.json").write_text(json.dumps({"size": SIZE, "voxel_size_mm": VOXEL_SIZE_MM}))
    return scores


def head(rng: np.random.Generator, radius: float) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """An ellipsoid with a ball as lesion on one side: image and mask, uint8 [i, j, k] of a conformed grid (LIA)."""
    i, j, k = np.indices((SIZE, SIZE, SIZE)) - SIZE / 2
    inside = (i / 22) ** 2 + (j / 20) ** 2 + (k / 28) ** 2 < 1
    side = rng.choice((-9, 9))
    ball = inside & ((i - side) ** 2 + (j + rng.uniform(-4, 4)) ** 2 + (k - rng.uniform(-8, 8)) ** 2 < radius**2)
    image = np.where(ball, 210, np.where(inside, 110, 8)) + rng.normal(0, 8, inside.shape)
    return np.clip(image, 0, 255).astype(np.uint8), ball.astype(np.uint8)


def _save(path: Path, volume: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(volume, AFFINE), path)


if __name__ == "__main__":
    out = Path(sys.argv[1])
    write_report(simulate(out / "prepared"), out / "prepared", out / "report", reference="MeshNet-26")
