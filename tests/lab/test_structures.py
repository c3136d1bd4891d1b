"""`meshnet.lab.structures`: structures of models with other names, compared by name."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from meshnet.lab.cases import Case, Volumes
from meshnet.lab.evaluate_models import evaluate
from meshnet.lab.opened import Opened
from meshnet.lab.structures import DEEP_NAMES, canonical, structure_dice, structure_names
from meshnet.model.spec import make_labels
from meshnet.train.networks import labels_of_task
from tests.helpers.export_models import small_model


def planes(*values: int) -> NDArray[np.uint8]:
    """Labels [4, 4, 4 · len(values)]: four planes of each value."""
    return np.repeat(np.array(values, np.uint8), 4)[None, None, :] * np.ones((4, 4, 1), np.uint8)


@pytest.mark.parametrize(
    ("published", "ours"),
    [
        ("Cerebral-White-Matter", "white matter"),
        ("Left-Inferior-Lateral-Ventricle", "left lateral ventricle"),
        ("Right-Accumbens-area", "right accumbens"),
        ("VentralDC", "white matter"),
        ("Brain-Stem", "brain stem"),
        ("3rd-Ventricle", ""),
        ("Unknown", ""),
        ("left thalamus", "left thalamus"),
    ],
)
def test_a_published_name_becomes_the_name_of_the_same_structure(published: str, ours: str) -> None:
    assert canonical(published) == ours


def test_every_label_of_the_deep_target_keeps_its_name() -> None:
    assert tuple(map(canonical, DEEP_NAMES[1:])) == DEEP_NAMES[1:]


def test_sides_are_told_apart_where_both_have_them() -> None:
    names = ("", "left caudate", "right caudate")
    found = structure_dice(planes(1, 2, 0, 0), names, planes(1, 1, 2, 0), names)
    assert found == {"left caudate": pytest.approx(2 / 3), "right caudate": 0}


def test_a_reference_without_sides_is_compared_with_both_sides_together() -> None:
    found = structure_dice(planes(1, 2, 0), ("", "left caudate", "right caudate"), planes(1, 1, 1), ("", "caudate"))
    assert found == {"caudate": pytest.approx(4 / 5)}


def test_labels_that_are_one_structure_in_the_other_model_are_joined() -> None:
    published = tuple(map(canonical, ("Unknown", "Cerebellum-White-Matter", "Cerebellum-Cortex")))
    assert structure_dice(planes(1, 1), ("", "cerebellum"), planes(1, 2), published) == {"cerebellum": 1}


def test_a_structure_that_the_reference_lacks_is_not_counted_and_a_missed_one_is_zero() -> None:
    names = ("", "pallidum", "amygdala")
    assert structure_dice(planes(2, 0), names, planes(0, 1), names) == {"pallidum": 0}


def test_the_score_of_a_case_is_the_mean_and_each_structure_is_written(tmp_path: Path) -> None:
    spec = small_model(classes=3)[0]
    spec = spec.model_copy(
        update={"task": "deep brain structures", "labels": make_labels(["background", "left caudate", "right caudate"])}
    )
    volumes = Volumes(planes(0, 1, 2, 3), planes(1, 1, 2, 0), names=structure_names(spec))
    case = Case("label-map heads, structures", "structures-T1w-one", "structures", lambda: volumes)
    model = Opened(spec, lambda _image, _step: planes(1, 2, 0, 0))

    (row,) = evaluate([model], [case], tmp_path)
    evaluate([model], [case], tmp_path)

    assert row.dice == pytest.approx((2 / 3 + 0) / 2)
    with (tmp_path / "structures.csv").open(newline="") as file:
        written = [(line["structure"], float(line["dice"])) for line in csv.DictReader(file)]
    assert written == [("left caudate", pytest.approx(2 / 3)), ("right caudate", 0)], "once, though scored twice"


def test_a_model_of_structures_has_freesurfers_numbers_and_colours() -> None:
    labels = {label.name: label for label in labels_of_task("deep", DEEP_NAMES)}
    assert labels["left hippocampus"].freesurfer_id == 17
    assert labels["right hippocampus"].freesurfer_id == 53
    assert labels["right hippocampus"].color == labels["left hippocampus"].color == (220, 216, 20)
    assert labels["background"].freesurfer_id == 0
