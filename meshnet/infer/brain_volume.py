"""Brain volume and the lesion's share of it, from the volumes of a model with lesion and context labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meshnet.model.spec import Label

#: `(label, voxels, volume_ml)` of each label of a result.
Volumes = Sequence[tuple[Label, int, float]]


@dataclass(frozen=True)
class BrainVolume:
    """Volumes on the scan's own grid. The brain is the lesion with its context: tissue, fluid and lesion together."""

    lesion_ml: float
    brain_voxels: int
    brain_ml: float

    @property
    def lesion_percent(self) -> float:
        """The lesion's share of the brain, 0 to 100; 0 without a brain."""
        return percent_of(self.lesion_ml, self)


def brain_volume(volumes: Volumes) -> BrainVolume | None:
    """None for the labels of a model that has no lesion with context."""
    of_role = {role: [v for v in volumes if v[0].role == role] for role in ("lesion", "context")}
    if not of_role["lesion"] or not of_role["context"]:
        return None
    brain = [*of_role["lesion"], *of_role["context"]]
    return BrainVolume(
        lesion_ml=sum(ml for _, _, ml in of_role["lesion"]),
        brain_voxels=sum(voxels for _, voxels, _ in brain),
        brain_ml=sum(ml for _, _, ml in brain),
    )


def percent_of(volume_ml: float, brain: BrainVolume) -> float:
    """A volume as percent of the brain; 0 without a brain."""
    return 100 * volume_ml / brain.brain_ml if brain.brain_ml > 0 else 0.0


def volumes_of_file(volumes: Volumes, *, all_labels: bool) -> Volumes | None:
    """The volumes that a saved result gives, measured as if it had every label; None if it has others than asked for.

    A file of the lesion alone gives neither the context nor the background, which took the context's place.
    """
    if brain_volume(volumes) is None:
        return volumes
    has_context = any(voxels for label, voxels, _ in volumes if label.role == "context")
    if has_context != all_labels:
        return None
    return volumes if all_labels else [v for v in volumes if v[0].index > 0 and v[0].role != "context"]
