"""Structures of the brain, compared by name: the cases of `deep` and of the published models with structures.

Models name structures differently and separate more or fewer of them. Names are brought to those of the `deep` target
(`canonical`); two label volumes are compared by the names that both have, without sides where one of them has none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from meshnet.model.spec import ModelSpec
from meshnet.score.metrics import dice
from meshnet.synth.contrast import HeadContrast
from meshnet.synth.label_maps import load_heads
from meshnet.synth.label_table import TARGET_LABELS
from meshnet.synth.synth_heads import HeadConfig, HeadGenerator
from meshnet.synth.torch_render import DrawnHead

#: Names of the reference on label-map heads, by label.
DEEP_NAMES = TARGET_LABELS["deep"]
#: Structures of `deep` by their names in published models; an empty name counts as background.
_ALIASES = {
    "unknown": "",
    "background": "",
    "3rd ventricle": "",
    "4th ventricle": "",
    "cerebral white matter": "white matter",
    "ventraldc": "white matter",
    "cerebral cortex": "cortex",
    "inferior lateral ventricle": "lateral ventricle",
    "cerebellum white matter": "cerebellum",
    "cerebellum cortex": "cerebellum",
    "accumbens area": "accumbens",
}
_SIDES = ("left ", "right ")
#: Seeds of the subjects, beyond those of training, validation and the frozen subjects.
_FIRST_SEED = 2_000_200_000
_PER_HEAD = 3


def canonical(name: str) -> str:
    """The name that the `deep` target has for a model's label, such as "left thalamus"; "" for its background."""
    plain = name.lower().replace("-", " ").strip()
    side = next((s for s in _SIDES if plain.startswith(s)), "")
    rest = plain.removeprefix(side)
    rest = _ALIASES.get(rest, rest)
    return side + rest if rest else ""


def structure_names(spec: ModelSpec) -> tuple[str, ...]:
    """Canonical name of each label of a model."""
    return tuple(canonical(label.name) for label in spec.labels)


def structure_dice(
    predicted: NDArray[np.uint8], names: Sequence[str], reference: NDArray[np.uint8], reference_names: Sequence[str]
) -> dict[str, float]:
    """Dice of each structure that both have names for and that the reference holds.

    predicted, reference: uint8 [i, j, k], positions in `names` and `reference_names` (canonical).
    """
    if not (_has_sides(names) and _has_sides(reference_names)):
        names, reference_names = _without_sides(names), _without_sides(reference_names)
    shared = [name for name in dict.fromkeys(reference_names) if name and name in names]
    return {
        name: dice(np.isin(predicted, _places(names, name)), true)
        for name in shared
        if (true := np.isin(reference, _places(reference_names, name))).any()
    }


def _has_sides(names: Sequence[str]) -> bool:
    return any(name.startswith(_SIDES) for name in names)


def _without_sides(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name.removeprefix(_SIDES[0]).removeprefix(_SIDES[1]) for name in names)


def _places(names: Sequence[str], name: str) -> list[int]:
    return [place for place, other in enumerate(names) if other == name]


def structure_subjects(data: Path, cache: Path, contrast: HeadContrast) -> Iterator[tuple[str, DrawnHead]]:
    """`(name, subject)`: every head of the test split in this contrast, three times, without a lesion."""
    config = HeadConfig(target="deep", contrasts={contrast: 1.0}, lesion_probability=0.0)
    for index, head in enumerate(load_heads(data / "anatomy" / "synthseg", cache, ("test",))):
        generator = HeadGenerator([head], config)
        for repeat in range(_PER_HEAD):
            seed = _FIRST_SEED + 10 * index + repeat
            yield f"structures-{contrast}-{head.name}-{repeat}", generator.subject(seed)
