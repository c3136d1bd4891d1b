"""The held-out synthetic subjects: a list of seeds and lesion masks, fixed in a file before training.

`python -m meshnet.lab.held_out --lesions FOLDER -o meshnet/conf/t2-lesion-held-out.json` wrote the committed list.
Training skips its masks (`data.held_out`); `meshnet.lab.evaluate_models` renders its subjects.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from meshnet.cohort.splits import PAPER_QUARTILES, quartile
from meshnet.synth.anatomy import Anatomy
from meshnet.synth.draw import SynthConfig
from meshnet.synth.lesion_masks import LesionMasks, load_lesion_masks
from meshnet.synth.render import Subject
from meshnet.synth.subject import Synthesizer

_PER_QUARTILE = 15
_LESION_FREE = 60
#: Training with seed 0 takes its seeds from 0 on, validation from 10⁹ on.
_FIRST_SEED = 2_000_000_000
_DRAW_SEED = 20_240_517


@dataclass(frozen=True)
class HeldOut:
    """lesions: mask file names, one per subject; lesion_seeds: their seeds, in the same order; lesion_free_seeds: the
    seeds of subjects without a lesion."""

    lesions: tuple[str, ...]
    lesion_seeds: tuple[int, ...]
    lesion_free_seeds: tuple[int, ...]


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: draws 15 masks from each lesion-volume quartile of the paper's cohort and writes the list."""
    parser = argparse.ArgumentParser(prog="python -m meshnet.lab.held_out", description=__doc__)
    parser.add_argument("--lesions", type=Path, required=True, help="folder of lesion masks in MNI space")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"), help="where packed masks are kept")
    parser.add_argument("-o", "--out", type=Path, required=True, help="file to write")
    args = parser.parse_args(arguments)
    names = masks_of_all_sizes(load_lesion_masks(args.lesions, args.cache), _PER_QUARTILE, _DRAW_SEED)
    content = {
        "lesions": names,
        "lesion_seeds": [_FIRST_SEED + i for i in range(len(names))],
        "lesion_free_seeds": [_FIRST_SEED + 1000 + i for i in range(_LESION_FREE)],
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(content, indent=1) + "\n")


def masks_of_all_sizes(masks: LesionMasks, per_quartile: int, seed: int) -> list[str]:
    """Names of masks drawn at random: `per_quartile` (or all, if there are fewer) from each lesion-volume quartile of
    the paper's cohort."""
    rng = np.random.default_rng(seed)
    names: list[str] = []
    for index in range(len(PAPER_QUARTILES) + 1):
        members = [m.name for m in masks.masks if quartile(m.voxels, PAPER_QUARTILES) == index]
        names.extend(str(n) for n in rng.choice(members, min(per_quartile, len(members)), replace=False))
    return names


def read_held_out(path: Path) -> HeldOut:
    """Read the list that `main` wrote."""
    stored = json.loads(path.read_text())
    return HeldOut(*(tuple(stored[key]) for key in ("lesions", "lesion_seeds", "lesion_free_seeds")))


def held_out_subjects(
    held_out: HeldOut, anatomies: Sequence[Anatomy], lesions: Path, cache: Path
) -> Iterator[tuple[str, Subject]]:
    """`(name, subject)`: the subjects with a lesion, then those without, all T2w."""
    masks = load_lesion_masks(lesions, cache, only=held_out.lesions)
    seeds = dict(zip(held_out.lesion_seeds, held_out.lesions, strict=True))
    for subject in lesion_subjects(anatomies, masks, seeds, held_out.lesion_free_seeds):
        yield f"{'healthy' if subject.lesion is None else 'lesion'}-{subject.seed}", subject


def lesion_subjects(
    anatomies: Sequence[Anatomy], masks: LesionMasks, mask_of_seed: Mapping[int, str], lesion_free_seeds: Iterable[int]
) -> Iterator[Subject]:
    """T2w subjects: one per seed of `mask_of_seed`, with that mask; then one per lesion-free seed."""
    config = SynthConfig(task="lesion", contrasts={"T2w": 1.0}, lesion_probability=1.0)
    of_name = {mask.name: mask for mask in masks.masks}
    synthesizer = Synthesizer(anatomies, config, masks)
    for seed, name in mask_of_seed.items():
        synthesizer.lesions = replace(masks, masks=(of_name[name],), chances=np.ones(1))
        yield synthesizer.subject(seed)
    synthesizer.config = replace(config, lesion_probability=0.0)
    for seed in lesion_free_seeds:
        yield synthesizer.subject(seed)


if __name__ == "__main__":
    main()
