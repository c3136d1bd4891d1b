"""Statistics of finished models over a data set: means over persons with intervals, tests, strata, agreement."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from meshnet.score.agreement import Agreement, Interval, agreement, bootstrap, wilson
from meshnet.score.data_set import UNNAMED, ReferenceScan
from meshnet.score.scan_scores import ScanScore
from meshnet.score.summary import Observation, Summary, per_subject, summarize
from meshnet.score.tables import Metric

MEASURES = {
    "dice_lesion": Metric("Dice", 3, "high", "2·TP / (2·TP + FP + FN) of the lesion, 0 to 1"),
    "dice_macro": Metric("DICE", 3, "high", "mean of the lesion's and the background's Dice"),
    "hd95_mm": Metric(
        "HD95 [mm]",
        1,
        "low",
        "the larger of the two 95th percentiles of the distances between the surfaces; the diagonal of the image where "
        "nothing is marked",
    ),
    "msd_mm": Metric(
        "Surface distance [mm]",
        2,
        "low",
        "mean distance of the voxels of both surfaces to the other surface; the diagonal where nothing is marked",
    ),
    "lesion_f1": Metric("Lesion F1", 3, "high", "F1 over connected components (26-neighbourhood) that share a voxel"),
    "lesion_sensitivity": Metric("Lesion sensitivity", 3, "high", "share of the reference's lesions that are found"),
    "false_lesions": Metric(
        "False lesions", 1, "low", "marked components without a voxel of the reference, number per scan"
    ),
    "volume_error_abs_ml": Metric("|Volume error| [mL]", 1, "low", "|V_result - V_reference|"),
    "volume_error_percent": Metric(
        "Volume error [%]", 0, "near 0", "(V_result - V_reference) / V_reference, best near 0"
    ),
    "outside_ml": Metric("Outside the brain [mL]", 2, "low", "marked volume outside the brain and the reference"),
    "outside_far_ml": Metric("> 5 mm outside [mL]", 2, "low", "the part of it farther than 5 mm from the brain"),
}

#: Measures that are tested against the reference model.
TESTED = ("dice_lesion", "hd95_mm", "lesion_f1", "volume_error_abs_ml")

#: Upper edges in mL of the lesion sizes in which sensitivity is counted.
SIZES_ML = (0.1, 0.5, 2.0, 10.0, 50.0, math.inf)

#: A lesion-free scan counts as right with at most this marked.
FREE_ML = 1.0


@dataclass(frozen=True)
class Estimate:
    """A mean or median over persons with its 95 % confidence interval."""

    value: float
    interval: Interval = (math.nan, math.nan)


@dataclass(frozen=True)
class Row:
    """Statistics of one measure of one model over the scans with a lesion. difference: mean over persons of the model's
    value minus the reference model's, on their common persons; None for the reference model and without one."""

    summary: Summary
    mean: Estimate
    median: Estimate
    difference: Estimate | None


@dataclass(frozen=True)
class ModelSummary:
    """One model: `measures` by name, `volumes` (None without scans), and counts over the scans with a lesion.

    persons: of them; empty: scans in which nothing was marked. sensitivity: by the size classes of `SIZES_ML`, the
    lesions found and all of them.
    """

    model: str
    scans: int
    persons: int
    empty: int
    measures: Mapping[str, Row]
    volumes: Agreement | None
    sensitivity: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class FreeSummary:
    """One model over the scans without a lesion.

    marked_ml: mean over persons; largest_ml: of a scan; false_lesions: per scan; share_right: of the scans with at most
    `FREE_ML` marked; outside_ml, outside_far_ml: mean over scans, NaN without a brain.
    """

    model: str
    scans: int
    persons: int
    marked_ml: Estimate
    largest_ml: float
    false_lesions: float
    share_right: float
    share_interval: Interval
    outside_ml: float
    outside_far_ml: float


def summarize_models(scores: Sequence[ScanScore], reference_model: str = "") -> dict[str, ModelSummary]:
    """The statistics of each model over its scans with a lesion, by decreasing median Dice.

    reference_model: that the others are tested against; empty for no tests.
    """
    lesion = [s for s in scores if s.reference_ml > 0]
    rows: dict[str, dict[str, Row]] = {}
    for measure in MEASURES:
        observations = _observations(lesion, measure)
        values = per_subject(observations)
        for summary in summarize(observations, reference_model if measure in TESTED else ""):
            own, other = values[summary.model], values.get(reference_model, {})
            differences = [own[key] - other[key] for key in own if key in other]
            tested = summary.model != reference_model and bool(differences)
            of_persons = list(own.values())
            rows.setdefault(summary.model, {})[measure] = Row(
                summary,
                Estimate(summary.mean, bootstrap(of_persons)),
                Estimate(summary.median, bootstrap(of_persons, np.median)),
                Estimate(float(np.mean(differences)), bootstrap(differences)) if tested else None,
            )
    order = sorted(rows, key=lambda m: (-rows[m]["dice_lesion"].median.value, -rows[m]["dice_lesion"].mean.value))
    return {model: _of_model(model, [s for s in lesion if s.model == model], rows[model]) for model in order}


def summarize_lesion_free(scores: Sequence[ScanScore]) -> dict[str, FreeSummary]:
    """The statistics of each model over its scans without a lesion, the least marked volume first."""
    free = [s for s in scores if s.reference_ml == 0]
    found = {}
    for model in dict.fromkeys(s.model for s in free):
        own = [s for s in free if s.model == model]
        per_person = _means_by_person(own, lambda s: s.result_ml)
        right = sum(s.result_ml <= FREE_ML for s in own)
        found[model] = FreeSummary(
            model,
            len(own),
            len(per_person),
            Estimate(float(np.mean(per_person)), bootstrap(per_person)),
            max(s.result_ml for s in own),
            float(np.mean([s.values["false_lesions"] for s in own])),
            right / len(own),
            wilson(right, len(own)),
            _mean_of(s.values["outside_ml"] for s in own),
            _mean_of(s.values["outside_far_ml"] for s in own),
        )
    return dict(sorted(found.items(), key=lambda item: item[1].marked_ml.value))


def quartile_edges_ml(scores: Iterable[ScanScore]) -> tuple[float, float, float]:
    """The quartiles of the reference's lesion volume over the scans with a lesion, each scan once."""
    volumes = {s.scan: s.reference_ml for s in scores if s.reference_ml > 0}
    low, middle, high = np.quantile(list(volumes.values()), (0.25, 0.5, 0.75))
    return float(low), float(middle), float(high)


def strata(
    scores: Sequence[ScanScore], scans: Mapping[str, ReferenceScan], *, centre: str = "centre"
) -> dict[str, dict[str, list[ScanScore]]]:
    """The scores by kind of stratum (size of the lesion, acquisition, contrast, centre), then by stratum.

    scores: either of scans with a lesion or of scans without. centre: what the kind of the centres is called. A kind
    with a single stratum that the data set doesn't name is left out.
    """
    of: dict[str, Callable[[ScanScore], str]] = {}
    if any(s.reference_ml > 0 for s in scores):
        edges = quartile_edges_ml(scores)
        of["lesion volume"] = lambda s: _size_name(s.reference_ml, edges)
    of |= {
        "acquisition": lambda s: scans[s.scan].acquisition,
        "contrast": lambda s: scans[s.scan].contrast,
        centre: lambda s: scans[s.scan].centre,
    }
    found: dict[str, dict[str, list[ScanScore]]] = {}
    for kind, name_of in of.items():
        groups: dict[str, list[ScanScore]] = {}
        for score in sorted(scores, key=lambda s: s.reference_ml if kind == "lesion volume" else 0):
            groups.setdefault(name_of(score), []).append(score)
        named = {name: group for name, group in groups.items() if name not in ("", UNNAMED)}
        if named and (len(groups) > 1 or kind == centre):
            found[kind] = groups
    return found


def _of_model(model: str, scores: Sequence[ScanScore], measures: Mapping[str, Row]) -> ModelSummary:
    persons = [s.subject for s in scores]
    lesions = [(ml, hit) for s in scores for ml, hit in zip(s.lesion_ml, s.found, strict=True)]
    lower = (0.0, *SIZES_ML[:-1])
    sizes = [[hit for ml, hit in lesions if low < ml <= high] for low, high in zip(lower, SIZES_ML, strict=True)]
    return ModelSummary(
        model,
        len(scores),
        len(set(persons)),
        sum(s.empty for s in scores),
        measures,
        agreement([s.result_ml for s in scores], [s.reference_ml for s in scores], persons) if scores else None,
        tuple((sum(hits), len(hits)) for hits in sizes),
    )


def _observations(scores: Iterable[ScanScore], measure: str) -> list[Observation]:
    return [Observation(s.model, 0, 0, s.subject, s.values[measure]) for s in scores]


def _means_by_person(scores: Iterable[ScanScore], value: Callable[[ScanScore], float]) -> list[float]:
    persons: dict[str, list[float]] = {}
    for score in scores:
        persons.setdefault(score.subject, []).append(value(score))
    return [float(np.mean(values)) for values in persons.values()]


def _mean_of(values: Iterable[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return float(np.mean(finite)) if finite else math.nan


def _size_name(volume_ml: float, edges: Sequence[float]) -> str:
    low, middle, high = (f"{edge:.3g}" for edge in edges)
    names = (f"up to {low} mL", f"{low} to {middle} mL", f"{middle} to {high} mL", f"over {high} mL")
    return names[sum(volume_ml > edge for edge in edges)]
