"""Evaluate models on the held-out cases: makes the table of the README and of the model cards.

    python -m meshnet.lab.evaluate_models --data FOLDER [--models models .models] [-o runs/evaluate-models]

OUT/scores.csv keeps the scores by the weights' SHA-256, so that a second call scores only what is new. OUT/table.md is
the table; OUT/structures.csv has the Dice of every structure; OUT/slices/ has a picture of each case for our own
models.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from tqdm import tqdm

from meshnet.infer.backends import fastest_backend, open_network
from meshnet.infer.brain_rule import without_parts_outside_brain
from meshnet.lab.cases import Case, Kind, Tissue, Volumes, all_cases
from meshnet.lab.held_out import read_held_out
from meshnet.lab.opened import Opened, labels_of
from meshnet.lab.structures import structure_dice, structure_names
from meshnet.lab.table import OWN, Row, table
from meshnet.model.checkpoint import load_checkpoint
from meshnet.model.label_roles import lesion_indices, mask_of
from meshnet.model.spec import ModelSpec
from meshnet.score.metrics import dice
from meshnet.synth.anatomy import cached_anatomies

HELD_OUT = Path(__file__).parents[1] / "conf" / "t2-lesion-held-out.json"


#: The kind of case for each task of a ModelSpec.
KIND_OF_TASK: dict[str, Kind] = {
    "stroke lesion": "lesion",
    "brain tissue and stroke lesion": "lesion",
    "tissue": "tissue",
    "brain tissue": "tissue",
    "brain": "brain",
    "deep brain structures": "structures",
    "subcortical structures": "structures",
}
#: Published models; the voxels that both mark are the consensus on M2265.
_PUBLISHED_LESION = ("brainchop-t2-lesion", "arc-meshnet26")


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m meshnet.lab.evaluate_models", description=__doc__)
    parser.add_argument("--models", type=Path, nargs="+", default=[Path("models"), Path(".models")])
    parser.add_argument("--only", nargs="+", default=[], help="ids of the models to run (default: all that fit)")
    parser.add_argument("--groups", nargs="+", default=[], help="groups of cases to run (default: all)")
    parser.add_argument("--data", type=Path, required=True, help="folder of real scans and lesion masks")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"), help="where prepared templates are kept")
    parser.add_argument(
        "--brain-model",
        type=Path,
        default=Path(".models/brainchop-mindgrab"),
        help="model folder whose labels are the brain of the real heads without a stroke",
    )
    parser.add_argument(
        "--structures-model",
        type=Path,
        default=Path(".models/brainchop-model30chan18cls"),
        help="model folder whose labels are the structures of the page's T1w sample",
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("-o", "--out", type=Path, default=Path("runs/evaluate-models"))
    args = parser.parse_args(arguments)
    models = open_models(args.models, args.only, args.threads)
    anatomies = cached_anatomies(args.cache)
    cases = all_cases(
        read_held_out(HELD_OUT),
        anatomies,
        args.data,
        args.cache,
        brain_model=args.brain_model,
        structures_model=args.structures_model,
    )
    chosen = [c for c in cases if not args.groups or c.group in args.groups]
    rows = evaluate(models, chosen, args.out)
    text = table(rows)
    (args.out / "table.md").write_text(text)
    print(text, end="")


def open_models(folders: Sequence[Path], only: Sequence[str], threads: int) -> list[Opened]:
    """The models in `folders` whose task has cases; published ones first, because the consensus needs their results."""
    backend = fastest_backend()
    found = []
    for path in sorted(p.parent for folder in folders for p in folder.glob("*/model.json")):
        spec, weights = load_checkpoint(path)
        if spec.task in KIND_OF_TASK and (not only or spec.id in only):
            found.append(Opened(spec, open_network(spec, weights, backend=backend, threads=threads)[0]))
    return sorted(found, key=lambda m: (m.spec.id not in _PUBLISHED_LESION, m.spec.id))


def evaluate(models: Sequence[Opened], cases: Sequence[Case], out: Path) -> list[Row]:
    """One row per model and case of its kind; rows found in `out/scores.csv` are reused."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / "scores.csv"
    known = {(r.sha256, r.case): r for r in read_rows(path)}
    rows: list[Row] = []
    for case in tqdm(cases, unit="case", disable=None):
        fitting = [m for m in models if KIND_OF_TASK[m.spec.task] == case.kind and _made_for(m.spec, case.contrast)]
        if all((m.spec.weights.sha256, case.name) in known for m in fitting):
            rows.extend(known[m.spec.weights.sha256, case.name] for m in fitting)
            continue
        volumes = case.load()
        predictions: dict[str, NDArray[np.uint8]] = {}
        for model in fitting:
            predicted = predictions[model.spec.id] = run(model, volumes.image)
            of_structure = structures(model.spec, volumes, predicted) if case.kind == "structures" else {}
            row = score(model.spec, case, volumes, predicted, _consensus(case, predictions), of_structure=of_structure)
            rows.append(row)
            if (row.sha256, row.case) not in known:
                _append(path, [asdict(row)])
                if of_structure:
                    about = {"model": row.model, "sha256": row.sha256, "case": row.case}
                    lines = [{**about, "structure": name, "dice": value} for name, value in of_structure.items()]
                    _append(out / "structures.csv", lines)
            if model.spec.id in OWN:
                ours = foreground(model.spec, case.kind, predicted)
                _picture(out / "slices" / f"{model.spec.id}-{case.name}.png", volumes, ours, row)
    return rows


def _made_for(spec: ModelSpec, contrast: str) -> bool:
    return not contrast or contrast in spec.modality or "any" in spec.modality


def run(model: Opened, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Labels uint8 [i, j, k] of a conformed image uint8 [i, j, k]; the brain rule applied, as in meshnet-predict."""
    return without_parts_outside_brain(labels_of(model, image), model.spec)[0]


def foreground(spec: ModelSpec, kind: Kind, predicted: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Mask of what is scored on a case of this kind: the lesion, or every label above 0."""
    return mask_of(predicted, lesion_indices(spec)) if kind == "lesion" else predicted > 0


def score(
    spec: ModelSpec,
    case: Case,
    volumes: Volumes,
    predicted: NDArray[np.uint8],
    consensus: NDArray[np.bool_] | None = None,
    *,
    of_structure: Mapping[str, float] = MappingProxyType({}),
) -> Row:
    """Scores of one prediction (see `Row`). A tissue model's classes are found by their names. Brain is every label
    above 0 if the reference is `Tissue.BRAIN`, else grey and white matter together. Dice of a structures case is
    the mean of `of_structure`."""
    nan = float("nan")
    about = (spec.id, spec.weights.sha256, case.group, case.name)
    if case.kind == "lesion":
        ours, true = foreground(spec, "lesion", predicted), volumes.labels > 0
        share = nan if consensus is None else float((ours & consensus).sum() / max(1, consensus.sum()))
        outside = nan if volumes.near_brain is None else _ml(ours & ~volumes.near_brain)
        return Row(*about, dice(ours, true), nan, nan, _ml(ours), _ml(true), share, outside)
    if case.kind == "structures":
        mean = float(np.mean(list(of_structure.values())))
        return Row(*about, mean, nan, nan, _ml(predicted > 0), _ml(volumes.labels > 0))
    grey, white = (named(spec, predicted, word) for word in ("grey", "white"))
    true_grey, true_white, true_brain = (volumes.labels == t for t in (Tissue.GREY, Tissue.WHITE, Tissue.BRAIN))
    if true_brain.any():
        brain = predicted > 0
        return Row(*about, dice(brain, true_brain), nan, nan, _ml(brain), _ml(true_brain))
    both, true = grey | white, true_grey | true_white
    return Row(*about, dice(both, true), dice(grey, true_grey), dice(white, true_white), _ml(both), _ml(true))


def structures(spec: ModelSpec, volumes: Volumes, predicted: NDArray[np.uint8]) -> dict[str, float]:
    """Dice of each structure (`meshnet.lab.structures`)."""
    return structure_dice(predicted, structure_names(spec), volumes.labels, volumes.names)


def named(spec: ModelSpec, predicted: NDArray[np.uint8], word: str) -> NDArray[np.bool_]:
    """Mask of the voxels whose label has `word` in its name."""
    return np.isin(predicted, [label.index for label in spec.labels if word in label.name.lower()])


def _ml(mask: NDArray[np.bool_]) -> float:
    """Volume of a mask of 1 mm³ voxels."""
    return float(mask.sum()) / 1000


def _consensus(case: Case, predictions: dict[str, NDArray[np.uint8]]) -> NDArray[np.bool_] | None:
    """The voxels that both published models mark; None if the case is not M2265 or one of them was not run."""
    if case.group != "M2265" or not all(name in predictions for name in _PUBLISHED_LESION):
        return None
    first, second = (predictions[name] > 0 for name in _PUBLISHED_LESION)  # both have two classes
    return first & second


def read_rows(path: Path) -> list[Row]:
    """Rows of an earlier call; an empty list if the file does not exist."""
    if not path.is_file():
        return []
    text = {"model", "sha256", "group", "case"}
    with path.open(newline="") as file:
        return [Row(**{k: v if k in text else float(v) for k, v in row.items()}) for row in csv.DictReader(file)]  # type: ignore[arg-type]


def _append(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Add rows to a CSV file; a new file gets their keys as its header."""
    new = not path.is_file()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        if new:
            writer.writeheader()
        writer.writerows(rows)


def _picture(path: Path, volumes: Volumes, ours: NDArray[np.bool_], row: Row) -> None:
    """Save three axial slices through the lesion or brain: the reference outlined green, the prediction red."""
    true = volumes.labels > 0
    per_slice = (true | ours).sum(axis=(0, 2)) + 2 * (true ^ ours).sum(axis=(0, 2))
    middle = int(np.argmax(per_slice)) if per_slice.any() else true.shape[1] // 2
    figure = Figure(figsize=(7.5, 2.9), layout="constrained")
    for axes, plane in zip(figure.subplots(1, 3), (middle - 8, middle, middle + 8), strict=True):
        j = int(np.clip(plane, 0, true.shape[1] - 1))
        axes.imshow(volumes.image[:, j].T[::-1], cmap="gray", vmin=0, vmax=255)
        for mask, color in ((true, "#30c050"), (ours, "#e04040")):
            if mask[:, j].any():
                axes.contour(mask[:, j].T[::-1], levels=[0.5], colors=color, linewidths=0.8)
        axes.set_axis_off()
    figure.suptitle(f"{row.case}: Dice {row.dice:.2f}, {row.volume_ml:.1f} of {row.true_ml:.1f} mL", fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)


if __name__ == "__main__":
    main()
