"""The facts of a report on one result: how it was made, and every number that the report shows.

The page's reports hold the same keys: `static/src/generated/report.ts` is generated from these classes
(`python -m meshnet.infer.report.facts` prints the JSON Schema), and `static/src/volume/report-facts.ts` fills them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal, TypedDict

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from meshnet.infer.brain_volume import BrainVolume, brain_volume, percent_of
from meshnet.infer.confidence import chosen_label
from meshnet.infer.lesions import Lesion, find_lesions, lesion_labels, midline_x_mm, ras_mm
from meshnet.infer.sidecar import Sidecar, SidecarPart
from meshnet.model.label_roles import context_indices
from meshnet.model.spec import Label, ModelSpec
from meshnet.scan.extent import Side, longest_diameter_mm, nearest_to_mean, side_of
from meshnet.scan.scan_grid import volume_ml

#: Bins of the histogram of probabilities, from 0 to 1.
BINS = 20


class Geometry(SidecarPart):
    """The scan's own grid."""

    shape: tuple[int, int, int]
    voxel_size_mm: tuple[float, float, float]
    axes: str = Field(description="directions in which i, j, k grow, such as LAS")
    oblique_deg: float = Field(description="largest angle between an axis of the grid and the nearest world axis")


class Midline(SidecarPart):
    """The plane between left and right."""

    x_mm: float = Field(description="world x (RAS)")
    of_brain: bool = Field(description="the middle of the labelled brain; false: the scanner's x = 0")


class Brain(SidecarPart):
    """Of a model that labels lesion and tissue; the brain is tissue, fluid and lesion together."""

    lesion_ml: float
    brain_ml: float
    lesion_percent: float


class Extent(SidecarPart):
    """Size and place of a label or a lesion, on the scan's own grid."""

    voxels: int
    volume_ml: float
    longest_diameter_mm: float | None = Field(description="between two corners of voxels; null without a voxel")
    centre_ras_mm: tuple[float, float, float] | None = Field(
        description="of the voxel nearest to the mean position of the voxels; null without a voxel"
    )
    side: Literal["left", "right", "midline"] | None
    percent_of_brain: float | None = Field(description="null if the model doesn't label the brain")


class LabelFacts(Extent):
    """One label, background left out."""

    index: int
    name: str
    color: tuple[int, int, int]
    kind: Literal["lesion", "context", "other"] = Field(description="context: tissue or fluid around a lesion")


class LesionFacts(Extent):
    """One connected component (voxels sharing a face) of a lesion label."""

    number: int = Field(description="from 1, the largest first")
    name: str = Field(description="of its label")
    mean_probability: float | None = Field(description="0 to 1; null without probabilities")


class Histogram(SidecarPart):
    """Probabilities of one label in the voxels that have it."""

    name: str
    voxels: tuple[int, ...] = Field(description="in bins of equal width from 0 to 1")


class Report(SidecarPart):
    """The facts of a report on one result."""

    format: Literal["meshnet-report"] = "meshnet-report"
    version: Literal[1] = 1
    made: Sidecar
    geometry: Geometry
    midline: Midline
    brain: Brain | None
    labels: tuple[LabelFacts, ...]
    lesions: tuple[LesionFacts, ...]
    histogram: Histogram | None = Field(description="null without probabilities")


def make_report(
    spec: ModelSpec,
    made: Sidecar,
    labels_native: NDArray[np.uint8],
    affine_vox2ras: NDArray[np.float64],
    probability: NDArray[np.uint8] | None = None,
    *,
    in_file: Sequence[int] | None = None,
) -> Report:
    """The facts of labels uint8 [i, j, k]; affine [4, 4]: voxel to RAS, mm.

    made: how the result was made; its command is left out. probability: of the lesion, 0 to 255 on the same grid.
    in_file: indices of the labels that were kept, if some were not; None: all.
    """
    known = [label for label in spec.labels if in_file is None or label.index in in_file]
    counts = np.bincount(labels_native.reshape(-1), minlength=256)
    volumes = [
        (label, int(counts[label.index]), volume_ml(int(counts[label.index]), affine_vox2ras)) for label in known
    ]
    brain = brain_volume(volumes)
    x_mm, of_brain = midline_x_mm(spec, labels_native, affine_vox2ras)
    measured = [(label, voxels, ml) for label, voxels, ml in volumes if label.index > 0]
    context = context_indices(spec)
    measured.sort(key=lambda row: row[0].index in context)  # shown labels first, as in the page
    lesions = find_lesions(spec, labels_native, affine_vox2ras, probability)
    return Report(
        made=made.model_copy(update={"command": None}),  # its paths may name patients
        geometry=geometry_of(labels_native.shape, affine_vox2ras),
        midline=Midline(x_mm=x_mm, of_brain=of_brain),
        brain=None
        if brain is None
        else Brain(lesion_ml=brain.lesion_ml, brain_ml=brain.brain_ml, lesion_percent=brain.lesion_percent),
        labels=tuple(
            LabelFacts(
                index=label.index,
                name=label.name,
                color=label.color,
                kind=_kind(spec, label),
                voxels=voxels,
                volume_ml=ml,
                percent_of_brain=_percent(label, ml, brain),
                **_place(labels_native == label.index, affine_vox2ras, x_mm),
            )
            for label, voxels, ml in measured
        ),
        lesions=tuple(_lesion_facts(spec, n, lesion, brain) for n, lesion in enumerate(lesions, start=1)),
        histogram=_histogram(spec, labels_native, probability),
    )


def geometry_of(shape: tuple[int, ...], affine_vox2ras: NDArray[np.float64]) -> Geometry:
    """Shape, voxel size and directions of a grid."""
    size_mm = nib.affines.voxel_sizes(affine_vox2ras)
    columns = affine_vox2ras[:3, :3] / size_mm
    largest = np.abs(columns).argmax(0)
    letters = [("LR", "PA", "IS")[row][int(columns[row, n] > 0)] for n, row in enumerate(largest)]
    cosine = min(1.0, float(np.abs(columns).max(0).min()))
    return Geometry(
        shape=(shape[0], shape[1], shape[2]),
        voxel_size_mm=(float(size_mm[0]), float(size_mm[1]), float(size_mm[2])),
        axes="".join(letters),
        oblique_deg=float(np.degrees(np.arccos(cosine))),
    )


class _Place(TypedDict):
    longest_diameter_mm: float | None
    centre_ras_mm: tuple[float, float, float] | None
    side: Side | None


def _place(mask: NDArray[np.bool_], affine_vox2ras: NDArray[np.float64], midline: float) -> _Place:
    places = np.argwhere(mask)
    if len(places) == 0:
        return {"longest_diameter_mm": None, "centre_ras_mm": None, "side": None}
    centre = ras_mm(nearest_to_mean(places), affine_vox2ras)
    return {
        "longest_diameter_mm": longest_diameter_mm(mask, affine_vox2ras),
        "centre_ras_mm": centre,
        "side": side_of(centre[0], midline),
    }


def _kind(spec: ModelSpec, label: Label) -> Literal["lesion", "context", "other"]:
    if label.index in lesion_labels(spec):
        return "lesion"
    return "context" if label.role == "context" else "other"


def _lesion_facts(spec: ModelSpec, number: int, lesion: Lesion, brain: BrainVolume | None) -> LesionFacts:
    label = spec.labels[lesion.label]
    return LesionFacts(
        number=number,
        name=label.name,
        voxels=lesion.voxels,
        volume_ml=lesion.volume_ml,
        longest_diameter_mm=lesion.longest_diameter_mm,
        centre_ras_mm=lesion.centre_ras_mm,
        side=lesion.side,
        percent_of_brain=_percent(label, lesion.volume_ml, brain),
        mean_probability=lesion.mean_probability if lesion.label == chosen_label(spec) else None,
    )


def _percent(label: Label, ml: float, brain: BrainVolume | None) -> float | None:
    """The share of the brain; None for a label that is no part of it."""
    return None if brain is None or label.role is None else percent_of(ml, brain)


def _histogram(
    spec: ModelSpec, labels_native: NDArray[np.uint8], probability: NDArray[np.uint8] | None
) -> Histogram | None:
    chosen = chosen_label(spec)
    if probability is None or chosen is None:
        return None
    values = probability[labels_native == chosen].astype(np.int64)
    counts = np.bincount(np.minimum(values * BINS // 255, BINS - 1), minlength=BINS)
    return Histogram(name=spec.labels[chosen].name, voxels=tuple(int(n) for n in counts))


if __name__ == "__main__":
    print(json.dumps(Report.model_json_schema(mode="serialization"), indent=2))
