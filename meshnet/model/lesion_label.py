"""Which labels of a model are the lesion, and whether it shows the brain around it."""

from __future__ import annotations

from meshnet.model.spec import ModelSpec


def lesion_index(spec: ModelSpec) -> tuple[int, ...]:
    """The indices of the lesion: labels with that word in their name, else every label above 0 of a model whose task
    names a lesion; empty for a model of anything else."""
    named = tuple(label.index for label in spec.labels if label.index and "lesion" in label.name.lower())
    if named or "lesion" not in spec.task.lower():
        return named
    return tuple(label.index for label in spec.labels if label.index)


def shows_brain(spec: ModelSpec) -> bool:
    """Whether the model has labels above 0 beside the lesion, which are those of the brain."""
    return bool(lesion_index(spec)) and len(spec.labels) > 1 + len(lesion_index(spec))
