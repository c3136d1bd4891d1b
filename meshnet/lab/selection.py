"""`meshnet-select`: scores states of a run, or thresholds, to select one of them.

    meshnet-select --lesions FOLDER runs/A/last runs/B/last models/t2-lesion [--thresholds 0.5 0.73]
    meshnet-select --lesions FOLDER --anatomies FOLDER [--contrast FLAIR] [--split test] runs/A/last models/t2-lesion
    meshnet-select --task tissue runs/C/last models/tissue

With `--anatomies`, the heads are those of label maps: of the split `choose`, or with `--split test` the frozen test
subjects, which are for the selected state only.
The synthetic heads scored here are neither held out nor used in training, so that the held-out subjects still measure
the selected state. They have seeds that no other step uses; their lesions come from masks that training may draw.
A threshold is added to the one that `meshnet-finish` may have put into the biases. Lesion networks run on voxels of
2 mm, on which most of them are trained (a refined network is converted back to its coarse form, exactly), tissue
networks on voxels of 1 mm.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from meshnet.cohort.arguments import at_least
from meshnet.infer.backends import fastest_backend, open_network
from meshnet.lab.cases import HEAD, Tissue, Volumes, rendered, rendered_head, unseen_contrasts
from meshnet.lab.evaluate_models import HELD_OUT, KIND_OF_TASK, foreground, named, run
from meshnet.lab.held_out import lesion_subjects, masks_of_all_sizes, read_held_out
from meshnet.lab.opened import Opened
from meshnet.model.checkpoint import Weights, load_checkpoint
from meshnet.model.finish import with_threshold
from meshnet.model.label_roles import lesion_indices
from meshnet.model.refine import coarsened_weights
from meshnet.model.spec import ModelSpec, SpecError
from meshnet.score.metrics import dice
from meshnet.synth.anatomy import Anatomy, cached_anatomies
from meshnet.synth.draw import SynthConfig, Task
from meshnet.synth.frozen_subjects import FrozenSeeds, frozen_subjects, read_frozen_seeds
from meshnet.synth.grid import Grid
from meshnet.synth.label_maps import Split, load_heads
from meshnet.synth.lesion_masks import LesionMasks, load_lesion_masks
from meshnet.synth.render import Subject
from meshnet.synth.subject import Synthesizer
from meshnet.synth.synth_heads import HeadConfig, HeadGenerator
from meshnet.synth.torch_render import DrawnHead

Drawn = TypeVar("Drawn", Subject, DrawnHead)

#: Between the seeds of validation subjects (10⁹) and of held-out ones (2 · 10⁹); each kind of head has 1000 seeds.
_FIRST_SEED = 1_700_000_000
_DRAW_SEED = 77
_PER_QUARTILE, _HEALTHY = 15, 60
#: `meshnet.lab.cases.HEAD` with voxels of 2 mm.
_COARSE = Grid((88, 92, 104), 2.0, (0.0, 0.0, -2.0))


@dataclass(frozen=True)
class Outcome:
    """One state on one head. dice: of the lesion, or of brain (grey and white matter together), grey and white matter.
    Volumes are in mL."""

    kind: str
    dice: tuple[float, ...]
    marked_ml: float
    true_ml: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line. Exit code 0; 2 for models that can't be scored."""
    parser = argparse.ArgumentParser(
        prog="meshnet-select", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL_DIR", help="states to select from")
    parser.add_argument("--task", choices=("lesion", "tissue"), default="lesion", help="default: lesion")
    parser.add_argument(
        "--thresholds", type=float, nargs="+", default=[0.5], help="as of meshnet-finish (default: 0.5)"
    )
    parser.add_argument("--lesions", type=Path, help="folder of lesion masks in MNI space; needed for --task lesion")
    parser.add_argument(
        "--anatomies", type=Path, help="folder of label maps: heads of these in place of the templates'"
    )
    parser.add_argument("--contrast", choices=("T2w", "T1w", "FLAIR"), default="T2w", help="of those heads")
    parser.add_argument("--split", choices=("choose", "test"), default="choose", help="of those heads; default: choose")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"), help="where prepared templates are kept")
    parser.add_argument("--threads", type=at_least(1), default=1)
    args = parser.parse_args(arguments)
    if args.task == "lesion" and args.lesions is None:
        parser.error("--task lesion needs --lesions FOLDER, the lesion masks that training draws from")
    try:
        states = open_states(args.models, args.thresholds, task=args.task, threads=args.threads)
        _check_folders(args.lesions, args.anatomies)
        if args.task == "tissue":
            text = tissue_table(outcomes(states, tissue_heads(cached_anatomies(args.cache)), HEAD, rendered))
        elif args.lesions is None:
            raise ValueError("--lesions: required for --task lesion; pass the folder of lesion masks in MNI space")
        elif args.anatomies is not None:
            drawn = label_map_heads(args.anatomies, args.lesions, args.cache, args.contrast, args.split)
            text = lesion_table(outcomes(states, drawn, _COARSE, rendered_head))
        else:
            heads = lesion_heads(cached_anatomies(args.cache), not_held_out(args.lesions, args.cache))
            text = lesion_table(outcomes(states, heads, _COARSE, rendered))
    except (ValueError, SpecError, OSError) as error:
        print(f"meshnet-select: {error}", file=sys.stderr)
        return 2
    print(text, end="")
    return 0


def _check_folders(lesions: Path | None, anatomies: Path | None) -> None:
    """Raise ValueError for a missing or empty folder, before templates are prepared for minutes."""
    for option, folder, ending in (("--lesions", lesions, ".nii.gz"), ("--anatomies", anatomies, "")):
        if folder is None:
            continue
        if not folder.exists():
            raise ValueError(f"{option} {folder}: no such folder; check the path")
        if folder.is_dir() and not any(path.name.endswith(ending) for path in folder.iterdir()):
            raise ValueError(f"{option} {folder}: no files *{ending} here; check the path")


def open_states(folders: Sequence[Path], thresholds: Sequence[float], *, task: Task, threads: int) -> dict[str, Opened]:
    """Every model with every threshold, by its name in the table. Raises SpecError for a folder that is not a model,
    ValueError for a model of another task or a threshold that is not between 0 and 1."""
    backend = fastest_backend()
    states = {}
    for folder in folders:
        spec, weights = load_checkpoint(folder)
        if KIND_OF_TASK.get(spec.task) != task:
            wanted = " or ".join(repr(name) for name, kind in KIND_OF_TASK.items() if kind == task)
            raise ValueError(f"{folder}: expected a model whose task is {wanted}, got {spec.task!r}; see --task")
        if task == "lesion":
            spec, weights = _coarse(folder, spec, weights)
        for threshold in thresholds:
            careful = with_threshold(weights, threshold, lesion_indices(spec))
            network, _ = open_network(spec, careful, backend=backend, threads=threads)
            states[f"{folder}, {threshold:g}"] = Opened(spec, network)
    return states


def _coarse(folder: Path, spec: ModelSpec, weights: Weights) -> tuple[ModelSpec, Weights]:
    """The coarse (2 mm) form of a refined lesion network; any other network unchanged.

    Raises ValueError for a network with a refined one's dilations that can't be converted back: the paper's own
    networks, and refined ones that were trained further. They don't run on 2 mm.
    """
    first, *rest = spec.architecture.dilations
    if first != 1 or any(d % 2 for d in rest):
        return spec, weights
    coarse = spec.architecture.model_copy(update={"dilations": tuple(d // 2 for d in rest)})
    try:
        return spec.model_copy(update={"architecture": coarse}), coarsened_weights(spec.architecture, weights, coarse)
    except ValueError as error:
        raise ValueError(f"{folder}: can't be scored on voxels of 2 mm: {error}") from error


def not_held_out(lesions: Path, cache: Path) -> LesionMasks:
    """The masks that training draws from. Raises FileNotFoundError if the folder has none."""
    return load_lesion_masks(lesions, cache, skip=read_held_out(HELD_OUT).lesions)


def lesion_heads(anatomies: Sequence[Anatomy], masks: LesionMasks) -> Iterator[tuple[str, Subject]]:
    """`(kind, subject)`, all T2w: 60 with a lesion, 15 from each of the paper's volume quartiles; 60 without; and 12
    lesion-free heads of Colin27 with contrasts that training does not draw."""
    names = masks_of_all_sizes(masks, _PER_QUARTILE, _DRAW_SEED)
    seeds = {_FIRST_SEED + index: name for index, name in enumerate(names)}
    lesion_free_seeds = range(_FIRST_SEED + 1000, _FIRST_SEED + 1000 + _HEALTHY)
    for subject in lesion_subjects(anatomies, masks, seeds, lesion_free_seeds):
        yield "healthy" if subject.lesion is None else "lesion", subject
    for subject in unseen_contrasts(anatomies[0], _FIRST_SEED + 2000):
        yield "unseen contrast", subject


def label_map_heads(
    anatomies: Path, lesions: Path, cache: Path, contrast: str, split: Split
) -> Iterator[tuple[str, DrawnHead]]:
    """`(kind, subject)` of one contrast: 60 with a lesion, then 60 without.

    `choose`: lesions from masks that training draws; `test`: the frozen subjects, with the held-out masks. Raises
    LabelMapError for a folder without heads of that split.
    """
    if split == "test":
        names: Sequence[str] = read_held_out(HELD_OUT).lesions
        masks, seeds = load_lesion_masks(lesions, cache, only=names), read_frozen_seeds()
    else:
        masks = not_held_out(lesions, cache)
        names = masks_of_all_sizes(masks, _PER_QUARTILE, _DRAW_SEED)
        seeds = FrozenSeeds(_FIRST_SEED + 5000, _FIRST_SEED + 6000, _HEALTHY)
    generator = HeadGenerator(load_heads(anatomies, cache, (split,)), HeadConfig(target="lesion"))
    for _, subject in frozen_subjects(generator, masks, names, contrast, seeds):
        yield "healthy" if subject.lesion is None else "lesion", subject


def tissue_heads(anatomies: Sequence[Anatomy]) -> Iterator[tuple[str, Subject]]:
    """`(kind, subject)`: six T1w heads with sulci as wide as in real scans, and six of any other contrast."""
    config = SynthConfig(task="tissue", contrasts={"T1w": 1.0}, sulci=4.0, sulci_probability=0.85)
    synthesizer = Synthesizer(anatomies, config)
    for index in range(6):
        yield "T1w", synthesizer.subject(_FIRST_SEED + 3000 + index)
    synthesizer.config = replace(config, contrasts={"T2w": 0.5, "any": 0.5})
    for index in range(6):
        yield "other", synthesizer.subject(_FIRST_SEED + 4000 + index)


def outcomes(
    states: Mapping[str, Opened],
    heads: Iterator[tuple[str, Drawn]],
    grid: Grid,
    render: Callable[[Drawn, Grid], Volumes],
) -> list[tuple[str, list[Outcome]]]:
    """`(name, outcomes)` of every state. Each head is rendered once, by `render`."""
    found: list[tuple[str, list[Outcome]]] = [(name, []) for name in states]
    for kind, subject in tqdm(heads, unit="head", disable=None):
        volumes = render(subject, grid)
        for name, own in found:
            own.append(_outcome(states[name], kind, volumes, grid.voxel_size_mm**3 / 1000))
    return found


def _outcome(state: Opened, kind: str, volumes: Volumes, ml_per_voxel: float) -> Outcome:
    marked, labels = run(state, volumes.image), volumes.labels
    if KIND_OF_TASK[state.spec.task] == "lesion":
        pairs = [(foreground(state.spec, "lesion", marked), labels > 0)]
    else:
        grey, white = (named(state.spec, marked, word) for word in ("grey", "white"))
        true_grey, true_white = labels == Tissue.GREY, labels == Tissue.WHITE
        pairs = [(grey | white, true_grey | true_white), (grey, true_grey), (white, true_white)]
    values = tuple(dice(ours, true) for ours, true in pairs)
    ours, true = pairs[0]
    return Outcome(kind, values, float(ours.sum()) * ml_per_voxel, float(true.sum()) * ml_per_voxel)


def lesion_table(found: Sequence[tuple[str, Sequence[Outcome]]]) -> str:
    """Markdown, one line per state."""
    lines = [
        "| state, threshold | mean Dice | median | below 5 mL | volume, r | at most 1 mL in healthy heads "
        "| most in one | beyond the edge; mL in all |",
        "|---" * 8 + "|",
    ]
    for name, own in found:
        lesions, healthy, beyond = ([o for o in own if o.kind == k] for k in ("lesion", "healthy", "unseen contrast"))
        values = np.array([o.dice[0] for o in lesions])
        small = np.array([o.true_ml < 5 for o in lesions])
        volumes = np.array([(o.marked_ml, o.true_ml) for o in lesions]).T
        r = np.corrcoef(volumes)[0, 1] if volumes.std(axis=1).all() else float("nan")
        lines.append(
            f"| {name} | {values.mean():.3f} | {np.median(values):.3f} "
            f"| {values[small].mean() if small.any() else float('nan'):.2f} | {r:.2f} "
            f"| {np.mean([o.marked_ml <= 1 for o in healthy]):.0%} | {max(o.marked_ml for o in healthy):.0f} mL "
            f"| {_few_and_total(beyond)} |"
        )
    return "\n".join(lines) + "\n"


def _few_and_total(beyond: Sequence[Outcome]) -> str:
    """`10 of 12; 21`: heads with at most 1 mL marked, and mL marked in all of them."""
    if not beyond:
        return "-"
    return f"{sum(o.marked_ml <= 1 for o in beyond)} of {len(beyond)}; {sum(o.marked_ml for o in beyond):.0f}"


def tissue_table(found: Sequence[tuple[str, Sequence[Outcome]]]) -> str:
    """Markdown, one line per state."""
    lines = [
        "| state, threshold | T1w brain | grey | white | other contrasts brain | grey | white |",
        "|---" * 7 + "|",
    ]
    for name, own in found:
        means = [np.mean([o.dice for o in own if o.kind == kind], axis=0) for kind in ("T1w", "other")]
        lines.append(f"| {name} | " + " | ".join(f"{value:.3f}" for value in np.concatenate(means)) + " |")
    return "\n".join(lines) + "\n"
